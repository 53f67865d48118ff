"""Blocks in ClickHouse's native format: columns of numbers, of lists of numbers and of short strings as they lie.

clickhouse-driver writes lists and strings a Python value at a time, which was half of a worker's processor time; all
other columns are left to it, and so are the protocol and what is read. The format is that of ClickHouse's
``SerializationNumber``, ``SerializationArray``, ``SerializationString`` and ``SerializationLowCardinality``; tests hold
it to what the driver writes and reads.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from clickhouse_driver import Client, defines
from clickhouse_driver.block import ColumnOrientedBlock
from clickhouse_driver.columns.service import write_column
from clickhouse_driver.streams.native import BlockOutputStream
from clickhouse_driver.varint import write_varint
from clickhouse_driver.writer import write_binary_str, write_binary_uint8

from store.arrow import pyarrow

# The type of such a column, and of min(column) too; its values are plain ones.
SIMPLE = re.compile(r"SimpleAggregateFunction\(\w+, (.+)\)")
_ARRAY = re.compile(r"Array\((\w+)\)")
_NUMBERS = {
    f"{kind}Int{bits}": f"<{code}{bits // 8}" for kind, code in (("", "i"), ("U", "u")) for bits in (8, 16, 32, 64)
}
_NUMBERS |= {"Float32": "<f4", "Float64": "<f8"}
# Of LowCardinality: the version of its keys, and that a block has a dictionary of its own (additional keys, new ones).
_KEYS_VERSION, _OWN_DICTIONARY = 1, 1 << 9 | 1 << 10
_SHORT = 0x80  # bytes from which on a length takes more than one


class ColumnsClient(Client):
    """A driver's client whose inserts are columns, each a NumPy or an Arrow array or a list: one block an insert."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        connection = self.connection
        connection.get_block_out_stream = lambda: _BlockOut(connection.fout, connection.context)

    def send_data(self, sample_block: Any, data: Any, types_check: bool = False, columnar: bool = False) -> int:
        assert columnar, "BUG: rows"
        block = ColumnOrientedBlock(sample_block.columns_with_types, data, types_check=types_check)
        for one in (block, ColumnOrientedBlock()) if block.num_rows else (ColumnOrientedBlock(),):
            self.connection.send_data(one)
            self.receive_profile_events()
        return block.num_rows


class _BlockOut(BlockOutputStream):
    def write(self, block: Any) -> None:
        revision, out = self.context.server_info.used_revision, self.fout
        if revision >= defines.DBMS_MIN_REVISION_WITH_BLOCK_INFO:
            block.info.write(out)
        write_varint(block.num_columns, out)
        write_varint(block.num_rows, out)
        for (name, kind), values in zip(block.columns_with_types, block.data, strict=True):
            write_binary_str(name, out)
            write_binary_str(kind, out)
            if revision >= defines.DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION:
                write_binary_uint8(0, out)
            encoded = encoded_column(kind, values)
            if encoded is None:
                write_column(self.context, name, kind, objects(values), out, types_check=block.types_check)
            else:
                out.write(encoded)
        self.finalize()


def encoded_column(kind: str, values: Any) -> bytes | None:
    """Return a column of a type in the native format, None where that is left to the driver.

    values : numpy.ndarray, pyarrow.Array without nulls, or a list, which is always left.
    """
    kind = SIMPLE.sub(r"\1", kind)
    if kind in _NUMBERS and isinstance(values, np.ndarray):
        return _numbers(values, kind)
    if (inner := _ARRAY.fullmatch(kind)) and inner[1] in _NUMBERS and isinstance(values, pyarrow.ListArray):
        offsets = values.offsets.to_numpy()
        flat = values.values.to_numpy()[offsets[0] : offsets[-1]]
        return (offsets[1:] - offsets[0]).astype("<u8").tobytes() + _numbers(flat, inner[1])
    if kind == "String" and isinstance(values, pyarrow.StringArray):
        return _strings(values)
    if kind == "LowCardinality(String)" and isinstance(values, pyarrow.StringArray) and len(values):
        return _low_cardinality(values)
    return None


def _numbers(values: np.ndarray, kind: str) -> bytes:
    return values.astype(_NUMBERS[kind], copy=False).tobytes()


def _strings(values: pyarrow.StringArray) -> bytes | None:
    """Return strings, each after its length; None where one is longer than a byte can say."""
    _, at, text = values.buffers()
    offsets = np.frombuffer(at, "<i4")[values.offset : values.offset + len(values) + 1]
    lengths = np.diff(offsets)
    if lengths.max(initial=0) >= _SHORT:
        return None
    begin, end = int(offsets[0]), int(offsets[-1])
    flat = np.frombuffer(text, np.uint8)[begin:end] if text is not None else np.zeros(0, np.uint8)
    return np.insert(flat, offsets[:-1] - begin, lengths.astype(np.uint8)).tobytes()


def _low_cardinality(values: pyarrow.StringArray) -> bytes | None:
    """Return strings as a dictionary and which of it each is; None as for ``_strings``."""
    encoded = values.dictionary_encode()
    distinct = _strings(encoded.dictionary)
    if distinct is None:
        return None
    size = len(encoded.dictionary)
    width = next(n for n in range(3) if size <= 1 << (8 << n))  # of a key: 8, 16 or 32 bits
    head = np.array([_KEYS_VERSION, _OWN_DICTIONARY | width, size], "<i8").tobytes()
    keys = encoded.indices.to_numpy().astype(f"<u{1 << width}")
    return head + distinct + np.array([len(keys)], "<i8").tobytes() + keys.tobytes()


def objects(values: Any) -> np.ndarray:
    """Return a column as the driver's own code wants it."""
    if isinstance(values, pyarrow.Array):
        as_map = pyarrow.types.is_map(values.type)
        values = values.to_pylist()
        if as_map:
            values = [dict(pairs) for pairs in values]
    if isinstance(values, np.ndarray):
        return values
    if values and not isinstance(values[0], int | float):
        column = np.empty(len(values), dtype=object)  # np.array would make a matrix of lists of one length
        column[:] = values
        return column
    return np.array(values)
