"""What was acknowledged is read back, whatever happened in between."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from log import embedded
from log.embedded import EmbeddedLog
from log.lock import DataFolderInUse
from schemas.errors import SourceError

PAYLOADS = [(None, b""), (b"", b"x"), (b"key", b"value" * 50), (None, bytes(range(256)))]


@pytest.fixture
def log(tmp_path):
    opened = EmbeddedLog(str(tmp_path / "log"))
    opened.open()
    opened.create_topic("t", 2)
    yield opened
    opened.close()


def reopened(log):
    log.close()
    again = EmbeddedLog(str(log.folder))
    again.open()
    return again


def test_records_come_back_in_order_after_reopening(log):
    for key, value in PAYLOADS:
        log.append_now("t", 1, value, key)
    again = reopened(log)
    assert [(r.key, r.value) for r in again.read_now("t", 1, 0)] == PAYLOADS
    assert [r.offset for r in again.read_now("t", 1, 2)] == [2, 3]
    assert again.read_now("t", 0, 0) == []
    assert again.offsets_now("t", 1) == (0, 4)
    again.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=300), st.integers(0, 300), st.integers(1, 50))
def test_any_offset_is_read_the_same_before_and_after_reopening(tmp_path_factory, values, offset, records_max):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "SEGMENT_BYTES", 500)
        patch.setattr(embedded, "RECENT_BYTES", 200)
        patch.setattr(embedded, "RECENT_RECORDS", 20)
        log = EmbeddedLog(str(tmp_path_factory.mktemp("log")))
        log.open()
        log.create_topic("t", 1)
        for value in values:
            log.append_now("t", 0, value, value[:1] or None)
        recent = log.read_now("t", 0, offset, records_max=records_max, bytes_max=150)
        log = reopened(log)
        assert recent == log.read_now("t", 0, offset, records_max=records_max, bytes_max=150)
        log.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=300), st.integers(0, 300), st.integers(1, 50))
def test_any_offset_can_be_read_over_many_segments(tmp_path_factory, values, offset, records_max):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "SEGMENT_BYTES", 500)
        log = EmbeddedLog(str(tmp_path_factory.mktemp("log")))
        log.open()
        log.create_topic("t", 1)
        for value in values:
            log.append_now("t", 0, value)
        log = reopened(log)
        got = log.read_now("t", 0, offset, records_max=records_max)
        assert [r.value for r in got] == values[offset : offset + records_max]
        assert [r.offset for r in got] == list(range(offset, min(offset + records_max, len(values))))
        log.close()


def test_a_torn_tail_is_cut_off_at_every_byte(log, tmp_path):
    log.append_now("t", 0, b"first", b"k")
    path = next((log.folder / "t" / "0").glob("*.log"))
    whole = path.stat().st_size
    log.append_now("t", 0, b"second", b"k")
    data = path.read_bytes()
    for cut in range(whole, len(data)):
        log.close()
        path.write_bytes(data[:cut])
        log.open()
        assert [r.value for r in log.read_now("t", 0, 0)] == [b"first"]
        assert log.append_now("t", 0, b"third") == 1
        assert [r.value for r in log.read_now("t", 0, 0)] == [b"first", b"third"]


def test_a_flipped_bit_in_the_last_record_is_noticed(log):
    log.append_now("t", 0, b"first")
    log.append_now("t", 0, b"second")
    path = next((log.folder / "t" / "0").glob("*.log"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    log.close()
    path.write_bytes(data)
    log.open()
    assert [r.value for r in log.read_now("t", 0, 0)] == [b"first"]


def test_damage_in_an_older_segment_is_said(log, monkeypatch):
    monkeypatch.setattr(embedded, "SEGMENT_BYTES", 100)
    for _ in range(10):
        log.append_now("t", 0, b"x" * 50)
    path = min((log.folder / "t" / "0").glob("*.log"))
    log.close()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SourceError, match="damaged at byte"):
        log.open()


def test_trim_keeps_what_is_at_or_after_the_offset(log, monkeypatch):
    monkeypatch.setattr(embedded, "SEGMENT_BYTES", 100)
    for number in range(20):
        log.append_now("t", 0, b"%050d" % number)
    log.trim("t", 0, 7)
    begin, end = log.offsets_now("t", 0)
    assert 0 < begin <= 7 and end == 20
    assert int(log.read_now("t", 0, 7)[0].value) == 7
    assert log.read_now("t", 0, 0)[0].offset == begin


def test_a_second_instance_is_refused_by_pid(log):
    code = "import sys; from log.embedded import EmbeddedLog; EmbeddedLog(sys.argv[1]).open()"
    done = subprocess.run([sys.executable, "-c", code, str(log.folder)], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"pid {os.getpid()}" in done.stderr and DataFolderInUse.__name__ in done.stderr


def test_group_offsets_survive(log):
    assert log.committed("g", "t", 0) is None
    log.commit("g", "t", 0, 41)
    log.commit("g", "t", 0, 42)
    again = reopened(log)
    assert again.committed("g", "t", 0) == 42
    again.close()


def test_topic_names_never_leave_the_folder(log):
    log.create_topic("../../evil", 1)
    log.append_now("../../evil", 0, b"x")
    assert {p.name for p in log.folder.parent.iterdir()} == {log.folder.name}


async def test_tail_gives_old_and_new_records(log):
    log.append_now("t", 0, b"old")

    async def take(count):
        got = []
        async for records in log.tail({("t", 0): 0, ("t", 1): 0}):
            got += records
            if len(got) >= count:
                return got

    reader = asyncio.create_task(take(3))
    await asyncio.sleep(0)
    await log.append("t", 1, b"new")
    await log.append("t", 0, b"newer")
    got = await asyncio.wait_for(reader, 60)
    assert sorted(r.value for r in got) == [b"new", b"newer", b"old"]


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    code = (
        "import sys; from log.embedded import EmbeddedLog; log = EmbeddedLog(sys.argv[1]); log.open();"
        "log.create_topic('t', 1)\n"
        "while True: print(log.append_now('t', 0, b'x' * 300), flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = -1
    for _ in range(2000):
        acknowledged = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().splitlines()
    process.wait()
    if len(rest) > 1:
        acknowledged = int(rest[-2])
    log = EmbeddedLog(str(tmp_path / "log"))
    log.open()
    assert log.offsets_now("t", 0)[1] > acknowledged
    log.close()
