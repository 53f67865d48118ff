"""Other windows, and other times to keep them, on the data folder that is there already."""

import time

import httpx

from store.chdb import ChdbStore
from tests.api.test_backup import requests_of, send
from tests.cluster.load import differences, read
from tests.running import eventually, start, stop

HOUR_MS, MINUTE_MS, ROUND_MS = 3_600_000, 60_000, 600_000
SIZES = {"10s": 10_000, "1m": MINUTE_MS, "2m": 2 * MINUTE_MS, "5m": 5 * MINUTE_MS, "1h": HOUR_MS}
BEFORE = """[windows]
rollups = ["10s", "1m", "5m"]
"""
AFTER = """[windows]
rollups = ["10s", "1m", "2m", "1h"]
[windows.retention]
10s = "5s"
"""


def merge(folder, table):
    """Have a store merge all parts of a table, as it does itself in time."""
    store = ChdbStore(str(folder))
    store.connect()
    try:
        unfinished = "SELECT count() AS n FROM system.mutations WHERE table = {t:String} AND NOT is_done"
        eventually(lambda: store.select(unfinished, {"t": table})["n"].tolist(), [0])
        store.execute(f"OPTIMIZE TABLE {table} FINAL")
    finally:
        store.close()


def test_a_folder_follows_the_configuration_it_is_started_with(tmp_path):
    data, began_ms = tmp_path / "data", int(time.time() * 1000) // HOUR_MS * HOUR_MS - 2 * HOUR_MS
    first, second = requests_of(began_ms, 0), requests_of(began_ms, 1)
    old, new = sum(first, []), sum(second, [])
    changed_ms, ended_ms = began_ms + ROUND_MS, began_ms + 2 * ROUND_MS

    def started(configuration):
        file = tmp_path / "foreshock.toml"
        file.write_text(configuration + '[models]\nkinds = ["logistic"]\n')
        return start(data, "--no-collect", "--config", str(file))

    def holds(rollup, samples):
        # Windows that end after the newest sample are not looked at, unless they are long.
        last = [] if rollup == "1h" else [{**samples[-1], "timestamp": ended_ms}]
        size_ms, hop_ms = SIZES[rollup], MINUTE_MS if "/" in rollup else SIZES[rollup]
        eventually(lambda: differences(url, [*samples, *last], rollup, size_ms, hop_ms), [])

    process, url = started(BEFORE)
    try:
        send(url, first)
        for rollup in ("10s", "1m", "5m"):
            holds(rollup, old)
        stop(process)
        time.sleep(6)  # a row is kept for five seconds from when it was written
        process, url = started(AFTER)
        holds("1m", old)
        holds("1h", old)  # merged from what is stored
        stop(process)
        merge(data / "store", "rollups")  # left alone, what is over goes within two days (schemas/clickhouse/0006)
        process, url = started(AFTER)
        assert read(url, "10s", "count", began_ms, changed_ms) == {}  # not kept any longer
        holds("1m", old)
        refused = httpx.get(f"{url}/api/v1/range", params={"from": began_ms, "to": changed_ms, "rollup": "5m"})
        assert refused.status_code == 400
        assert "want auto, 10s, 1m, 2m, 1h" in refused.json()["detail"]
        send(url, second)
        holds("2m", new)  # from now on
        assert read(url, "2m", "count", began_ms, changed_ms) == {}
        holds("1m", old + new)
        holds("1h", old + new)
        stop(process)
        process, url = started(BEFORE)  # what was left out of the configuration has not been thrown away
        holds("5m", old)
        holds("1m", old + new)
        stop(process)
    finally:
        process.kill()
        process.wait()
