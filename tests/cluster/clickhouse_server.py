"""A ClickHouse server for tests where none is installed: the native protocol in front of chDB, the same engine.

    python clickhouse_server.py --port PORT --path DIR [--fault-file FILE]

Prints ``READY 127.0.0.1:PORT``. Blocks are read and written by clickhouse-driver's own codec, so it serves what the
product needs and no more: SELECT, INSERT … VALUES and DDL; revision 54459, no compression, no external tables.
FILE, while it is there, says what becomes of an INSERT: ``drop`` (the connection, before), ``drop-after``, ``error``
or ``slow SECONDS``.
"""

from __future__ import annotations

import argparse
import re
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
from chdb import session
from clickhouse_driver.block import BlockInfo, ColumnOrientedBlock
from clickhouse_driver.bufferedreader import BufferedSocketReader
from clickhouse_driver.bufferedwriter import BufferedSocketWriter
from clickhouse_driver.columns.service import read_column
from clickhouse_driver.context import Context
from clickhouse_driver.reader import read_binary_str, read_binary_uint8, read_binary_uint64
from clickhouse_driver.streams.native import BlockOutputStream
from clickhouse_driver.varint import read_varint, write_varint
from clickhouse_driver.writer import write_binary_int32, write_binary_str, write_binary_uint8

REVISION = 54459
HELLO, QUERY, DATA, CANCEL, PING = range(5)
S_HELLO, S_DATA, S_EXCEPTION, S_PONG, S_END, S_PROFILE_EVENTS = 0, 1, 2, 4, 5, 14
ARROW = {
    "UInt8": pyarrow.uint8(),
    "UInt32": pyarrow.uint32(),
    "UInt64": pyarrow.uint64(),
    "Int16": pyarrow.int16(),
    "Int64": pyarrow.int64(),
    "Float64": pyarrow.float64(),
    "String": pyarrow.string(),
    "Map(String, String)": pyarrow.map_(pyarrow.string(), pyarrow.string()),
}
NUMBERS = {
    kind: np.dtype(type_.to_pandas_dtype()) for kind, type_ in ARROW.items() if pyarrow.types.is_primitive(type_)
}
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f"}


def plain(kind: str) -> str:
    return re.sub(r"LowCardinality\((\w+)\)", r"\1", kind)


def element(kind: str) -> str:
    """Return what an Array is of, nothing for another type."""
    inner = re.fullmatch(r"Array\((.+)\)", kind)
    return inner[1] if inner else ""


def base(kind: str) -> str:
    inner = re.fullmatch(r"SimpleAggregateFunction\(\w+, (\w+)\)", kind)
    return inner[1] if inner else kind


def arrow(kind: str) -> pyarrow.DataType:
    if inner := element(kind):
        return pyarrow.list_(arrow(inner))
    return ARROW[base(kind)]


class Engine:
    """One chDB session, one statement at a time."""

    def __init__(self, path: str) -> None:
        self._session, self._lock, self._path = session.Session(path), threading.Lock(), Path(path)
        self._settings: dict[str, str] = {}

    def use(self, settings: dict[str, str]) -> None:
        """Apply a client's settings, as a server does; here all clients send the same."""
        for name, value in settings.items():
            if name.isidentifier() and value.isdigit() and self._settings.get(name) != value:
                self.run(f"SET {name} = {value}")
                self._settings[name] = value

    def run(self, sql: str, shape: str = "Null", params: dict[str, str] | None = None) -> bytes:
        with self._lock:
            return self._session.query(sql, shape, params=params or {}).bytes()

    def columns(self, sql: str, params: dict[str, str] | None = None) -> list[tuple[str, str]]:
        answer = self.run(f"DESCRIBE TABLE {sql}", "ArrowStream", params)
        table = pyarrow.ipc.open_stream(answer).read_all()
        text = [
            [v.decode() if isinstance(v, bytes) else v for v in table.column(n).to_pylist()] for n in ("name", "type")
        ]
        return [(name, plain(kind)) for name, kind in zip(*text, strict=True)]

    def insert(self, into: str, names: list[str], types: list[str], data: list[list[Any]]) -> None:
        """``data`` : each column as the blocks that it came in."""
        arrays = [
            pyarrow.chunked_array([_arrow_array(values, kind) for values in blocks], arrow(kind))
            for blocks, kind in zip(data, types, strict=True)
        ]
        block = pyarrow.table(dict(zip(names, arrays, strict=True)))
        with tempfile.NamedTemporaryFile(suffix=".arrow", dir=self._path) as file:
            with pyarrow.ipc.new_file(file, block.schema) as writer:
                writer.write_table(block)
            file.flush()
            self.run(f"{into} FROM INFILE '{file.name}' FORMAT Arrow")


class Connection(threading.Thread):
    def __init__(self, sock: socket.socket, engine: Engine, fault_file: str | None) -> None:
        super().__init__(daemon=True)
        self._socket, self._engine, self._fault_file = sock, engine, fault_file
        self._in, self._out = BufferedSocketReader(sock, 1 << 18), BufferedSocketWriter(sock, 1 << 18)
        context = Context()
        context.server_info = SimpleNamespace(used_revision=REVISION, get_timezone=lambda: "UTC")
        context.client_settings = {
            "use_numpy": False,
            "strings_as_bytes": False,
            "strings_encoding": "utf-8",
            "input_format_null_as_default": False,
            "namedtuple_as_json": True,
            "server_side_params": True,
        }
        context.settings = {}
        self._context, self._blocks_out = context, BlockOutputStream(self._out, context)

    def run(self) -> None:
        try:
            self._hello()
            while True:
                kind = read_varint(self._in)
                if kind == PING:
                    write_varint(S_PONG, self._out)
                    self._out.flush()
                elif kind == QUERY:
                    self._query()
                elif kind == DATA:
                    self._read_block()
        except (EOFError, OSError):
            pass
        finally:
            self._socket.close()

    def _hello(self) -> None:
        if read_varint(self._in) != HELLO:
            raise EOFError
        read_binary_str(self._in)
        for _ in range(3):
            read_varint(self._in)
        database = read_binary_str(self._in)
        read_binary_str(self._in), read_binary_str(self._in)
        if database:
            self._engine.run(f"USE `{database.replace('`', '')}`")
        write_varint(S_HELLO, self._out)
        write_binary_str("ClickHouse", self._out)
        for number in (26, 9, REVISION):
            write_varint(number, self._out)
        write_binary_str("UTC", self._out)
        write_binary_str("test", self._out)
        write_varint(0, self._out)
        self._out.flush()
        read_binary_str(self._in)  # the quota key that follows

    def _settings(self) -> dict[str, str]:
        out = {}
        while name := read_binary_str(self._in):
            read_varint(self._in)
            out[name] = read_binary_str(self._in)
        return out

    def _read_block(self) -> list[Any]:
        """Return the columns; numbers come as they are in memory, the rest through the driver's codec."""
        read_binary_str(self._in)
        BlockInfo().read(self._in)
        columns, rows, out = read_varint(self._in), read_varint(self._in), []
        for _ in range(columns):
            read_binary_str(self._in)
            kind = read_binary_str(self._in)
            custom = bool(read_binary_uint8(self._in))
            inner = element(kind)
            if not rows:
                continue
            if custom or (inner or base(kind)) not in NUMBERS:
                out.append(read_column(self._context, kind, rows, self._in, has_custom_serialization=custom))
            elif inner:
                ends = self._numbers("UInt64", rows)
                offsets = np.concatenate(([0], ends)).astype(np.int32)
                out.append(pyarrow.ListArray.from_arrays(offsets, self._numbers(inner, int(ends[-1]))))
            else:
                out.append(self._numbers(base(kind), rows))
        return out

    def _numbers(self, kind: str, count: int) -> np.ndarray:
        dtype = NUMBERS[kind]
        return np.frombuffer(self._in.read(count * dtype.itemsize), dtype)

    def _query(self) -> None:
        read_binary_str(self._in)
        if read_binary_uint8(self._in):
            for _ in range(3):
                read_binary_str(self._in)
            read_binary_uint64(self._in)
            read_binary_uint8(self._in)
            for _ in range(3):
                read_binary_str(self._in)
            for _ in range(3):
                read_varint(self._in)
            read_binary_str(self._in)
            read_varint(self._in), read_varint(self._in)
            if read_binary_uint8(self._in):
                raise EOFError("no traces here")
            for _ in range(3):
                read_varint(self._in)
        settings = self._settings()
        read_binary_str(self._in)
        read_varint(self._in)
        if read_varint(self._in):
            raise EOFError("no compression here")
        sql = read_binary_str(self._in)
        params = {name: _unquoted(value) for name, value in self._settings().items()}
        if read_varint(self._in) != DATA or self._read_block():
            raise EOFError("no external tables here")
        try:
            self._engine.use(settings)
            if found := re.fullmatch(r"\s*(INSERT INTO (\w+) \(([\w, ]+)\)) VALUES\s*", sql):
                self._insert(found[1], found[2], found[3].split(", "))
            else:
                self._answer(sql, params)
        except (EOFError, OSError):
            raise
        except Exception as error:  # whatever it is, a server tells its client
            self._exception(str(error))

    def _answer(self, sql: str, params: dict[str, str]) -> None:
        if re.match(r"\s*(SELECT|WITH)\b", sql, re.I):
            types = self._engine.columns(f"({sql})", params)
            table = pyarrow.ipc.open_stream(self._engine.run(sql, "ArrowStream", params)).read_all()
            self._header(types)
            if table.num_rows:
                data = [_values(table.column(i), kind) for i, (_, kind) in enumerate(types)]
                write_varint(S_DATA, self._out)
                write_binary_str("", self._out)
                self._blocks_out.write(ColumnOrientedBlock(types, data))
            self._header([])
        else:
            self._engine.run(sql, "Null", params)
        write_varint(S_END, self._out)
        self._out.flush()

    def _insert(self, into: str, table: str, names: list[str]) -> None:
        known = dict(self._engine.columns(table))
        types = [known[name] for name in names]
        self._header(list(zip(names, types, strict=True)))
        self._out.flush()
        data: list[list[Any]] = [[] for _ in names]
        while read_varint(self._in) == DATA and (block := self._read_block()):
            for column, values in zip(data, block, strict=True):
                column.append(values)
            self._header([], S_PROFILE_EVENTS)
            self._out.flush()
        fault = ""
        if self._fault_file and Path(self._fault_file).exists():
            fault = Path(self._fault_file).read_text().strip()
        if fault == "drop":
            raise EOFError(fault)
        if fault.startswith("slow "):
            time.sleep(float(fault.removeprefix("slow ")))
        if fault == "error":
            raise RuntimeError("Code: 999. DB::Exception: Injected fault")
        if fault.startswith("land "):  # who sent it knows of nothing, and goes on
            late = threading.Timer(float(fault.removeprefix("land ")), self._engine.insert, (into, names, types, data))
            late.daemon = True
            late.start()
            raise EOFError(fault)
        if data[0]:
            self._engine.insert(into, names, types, data)
        if fault == "drop-after":
            raise EOFError(fault)
        self._header([], S_PROFILE_EVENTS)
        write_varint(S_END, self._out)
        self._out.flush()

    def _header(self, types: list[tuple[str, str]], packet: int = S_DATA) -> None:
        """Write a block without rows."""
        write_varint(packet, self._out)
        write_binary_str("", self._out)
        ColumnOrientedBlock().info.write(self._out)
        write_varint(len(types), self._out)
        write_varint(0, self._out)
        for name, kind in types:
            write_binary_str(name, self._out)
            write_binary_str(kind, self._out)
            write_binary_uint8(0, self._out)

    def _exception(self, text: str) -> None:
        code = re.search(r"Code: (\d+)", text)
        write_varint(S_EXCEPTION, self._out)
        write_binary_int32(int(code[1]) if code else 1001, self._out)
        for part in ("DB::Exception", text, ""):
            write_binary_str(part, self._out)
        write_binary_uint8(0, self._out)
        self._out.flush()


def _arrow_array(values: Any, kind: str) -> pyarrow.Array:
    if isinstance(values, pyarrow.Array):
        return values
    return pyarrow.array([list(v.items()) for v in values] if kind.startswith("Map") else values, arrow(kind))


def _unquoted(text: str) -> str:
    if not text.startswith("'"):
        return text
    return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), text[1:-1], flags=re.S)


def _values(column: Any, kind: str) -> list:
    values = column.to_pylist()
    if kind.startswith("Map"):
        return [{_text(k): _text(v) for k, v in pairs} for pairs in values]
    return [_text(v) for v in values] if kind == "String" else values


def _text(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--fault-file")
    given = parser.parse_args()
    Path(given.path).mkdir(parents=True, exist_ok=True)
    engine = Engine(given.path)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with socket.create_server(("127.0.0.1", given.port), backlog=64) as listener:
        print(f"READY 127.0.0.1:{listener.getsockname()[1]}", flush=True)
        try:
            while True:
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                Connection(sock, engine, given.fault_file).start()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
