"""What we write in ClickHouse's native format is what its driver writes, byte by byte."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace

import numpy as np
import pyarrow
import pytest
from clickhouse_driver.bufferedreader import BufferedSocketReader
from clickhouse_driver.bufferedwriter import BufferedSocketWriter
from clickhouse_driver.columns.service import read_column, write_column
from clickhouse_driver.context import Context
from hypothesis import given, settings
from hypothesis import strategies as st

from store.native import encoded_column, objects

NUMBERS = {
    "UInt8": st.integers(0, 2**8 - 1),
    "UInt16": st.integers(0, 2**16 - 1),
    "UInt32": st.integers(0, 2**32 - 1),
    "UInt64": st.integers(0, 2**64 - 1),
    "Int16": st.integers(-(2**15), 2**15 - 1),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "Float32": st.floats(width=32),
    "Float64": st.floats(),
}


def some(test):
    """The driver reads pandas in with its first column: no deadline."""
    return settings(deadline=None)(given(st.data())(test))


def of_driver() -> Context:
    context = Context()
    context.server_info = SimpleNamespace(used_revision=54483)
    context.settings = {}
    context.client_settings = {"use_numpy": True, "strings_as_bytes": False, "strings_encoding": "utf-8"}
    return context


def drivers(kind: str, values: np.ndarray) -> bytes:
    """Return what the driver writes of a column."""
    context = of_driver()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        out = BufferedSocketWriter(ours, 1 << 20)
        write_column(context, "x", kind, values, out)
        out.flush()
        ours.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: theirs.recv(1 << 16), b""))


@pytest.mark.parametrize("kind", NUMBERS)
@some
def test_numbers(kind, data):
    values = np.array(data.draw(st.lists(NUMBERS[kind], min_size=1)), kind.lower())
    assert encoded_column(kind, values) == drivers(kind, values)
    assert encoded_column(f"SimpleAggregateFunction(min, {kind})", values) == drivers(kind, values)


@pytest.mark.parametrize("kind", ["Int16", "UInt32", "Float64"])
@some
def test_lists_of_numbers_and_parts_of_them(kind, data):
    lists = data.draw(st.lists(st.lists(NUMBERS[kind], max_size=5), min_size=1))
    first = data.draw(st.integers(0, len(lists) - 1))
    values = pyarrow.array(lists, pyarrow.list_(pyarrow.from_numpy_dtype(kind.lower()))).slice(first)
    assert encoded_column(f"Array({kind})", values) == drivers(f"Array({kind})", objects(values))


@some
def test_strings_and_parts_of_them(data):
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    strings = data.draw(st.lists(text, min_size=1))
    first = data.draw(st.integers(0, len(strings) - 1))
    values = pyarrow.array(strings, pyarrow.string()).slice(first)
    assert encoded_column("String", values) == drivers("String", objects(values))


@pytest.mark.parametrize("distinct", [1, 256, 257, 70_000])
def test_strings_of_few_kinds_are_what_the_driver_reads(distinct):
    rng = np.random.default_rng(distinct)
    strings = [f"rollup {n}" for n in rng.permutation(distinct).tolist()]
    strings += rng.choice(strings, 500).tolist()
    encoded = encoded_column("LowCardinality(String)", pyarrow.array(["left out", *strings]).slice(1))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sending = threading.Thread(target=ours.sendall, args=(encoded + b"end",))
        sending.start()
        reader = BufferedSocketReader(theirs, 1 << 16)
        read = read_column(of_driver(), "LowCardinality(String)", len(strings), reader)
        assert reader.read(3) == b"end"
        sending.join()
    assert read.tolist() == strings


def test_what_is_left_to_the_driver():
    assert encoded_column("String", pyarrow.array(["a", "b" * 128])) is None
    assert encoded_column("LowCardinality(String)", pyarrow.array(["a", "b" * 128])) is None
    assert encoded_column("Map(String, String)", pyarrow.array([[("a", "b")]])) is None
    assert encoded_column("DateTime64(3)", np.array([1])) is None
