"""A store with a year of rollups, made inside ClickHouse: what bench.range asks.

    python -m bench.year DATA [--entities 250] [--metrics 40] [--days 365] [--keep 10s=1/25,1m=2,5m=4]

Makes DATA/store, which ``foreshock up --data DATA`` then serves. Hours, days, weeks and months reach back ``--days``;
of the others only the last days that ``--keep`` names are made (``1/25``: a day, of 25 entities), else it would be 5.2
billion rows of 1m alone for 10,000 series. The table is cut into weeks, of which a query touches those it asks for:
what is further back costs it nothing. Values are a daily wave with noise, six decimals; a tenth never moves.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from foreshock.settings import Settings
from schemas.buckets import LOG_GAMMA
from schemas.series import Series, make_series
from store.base import Store, open_store
from store.retention import apply_retention
from store.rows import STORED

DAY_MS = 86_400_000
ROWS_AT_ONCE = 4_000_000
SIZES_S = {"10s": 10, "1m": 60, "5m": 300, "5m/1m": 300, "1h": 3600, "1d": 86400, "1w": 7 * 86400, "1mo": 30 * 86400}
SAMPLE_S = 10  # a sample each


def _key(value: str) -> str:
    return f"toInt16(if({value} = 0, 0, sign({value}) * (8192 + ceil(log(abs({value})) / {LOG_GAMMA!r}))))"


def _rows(name: str, hop_s: int) -> str:
    """Return the statement that makes windows [first, first + n) of the series numbered below high."""
    size_s, samples = SIZES_S[name], max(1, SIZES_S[name] // SAMPLE_S)
    varies = "0" if samples == 1 else "number % 10 > 0"
    spread = "0.2" if samples > 1 else "0"
    buckets = min(samples, 12)
    return f"""
    INSERT INTO rollups ({STORED})
    SELECT '{name}', series_id, start, {size_s}, {samples}, {varies} AS differ, round(mean + noise * 3, 6) AS tail,
        {"0" if samples == 1 else f"round(if(differ, mean, tail), 6) * {samples}"},
        if(differ, round(mean * (1 - {spread}), 6), 0) AS bottom, if(differ, round(mean * (1 + {spread}), 6), 0) AS top,
        if(differ, round(mean - noise, 6), 0), if(differ, pow(mean * 0.1, 2) * {samples}, 0),
        0, {(samples - 1) * SAMPLE_S * 1000}, nan,
        if(differ, {_key("mean")}, 0) AS middle, if(differ, {_key("top")}, 0), if(differ, {_key("top")}, 0),
        if(differ, arrayMap(i -> toInt16(middle - {buckets // 2} + i), range({buckets})), []),
        if(differ, arrayMap(i -> toUInt32({max(1, samples // buckets)}), range({buckets})), []), 1
    FROM
    (
        SELECT series_id, number, intDiv(start, 1000) AS s, level * (1 + 0.3 * sin(s / 13750.98)) + noise AS moved,
            if(number % 10 = 0, level, moved) AS mean, start,
            if(number % 10 = 0, 0, level * 0.05 * (toInt32(xxHash32(s, number) % 2000) - 1000) / 1000) AS noise
        FROM (SELECT series_id, number, level,
                  ({{first:Int64}} + arrayJoin(range({{n:UInt64}}))) * {hop_s * 1000} AS start
              FROM numbered WHERE number < {{high:UInt32}} ORDER BY series_id)
    )"""  # noqa: S608 - names of ours


def fill(store: Store, series: list[Series], kept: dict[str, tuple[int, int]], now_ms: int) -> None:
    """Write the series and their windows that ended by ``now_ms``; kept: (days, of how many series) by rollup."""
    ids = np.array([s.series_id for s in series], np.uint64)
    columns = {"series_id": ids, "labels": store_map(len(series))}
    names = {name: [getattr(s, name) for s in series] for name in ("entity", "metric", "key", "kind")}
    store.insert("series", columns | names)
    store.execute("CREATE TABLE numbered (series_id UInt64, number UInt32, level Float64) ENGINE = Memory")
    level = np.round(np.exp(np.random.default_rng(1).normal(3, 1, len(series))), 3)
    store.insert("numbered", {"series_id": ids, "number": np.arange(len(ids), dtype=np.uint32), "level": level})
    for name, (days, of) in kept.items():
        began, hop_s = time.monotonic(), 60 if name == "5m/1m" else SIZES_S[name]
        last = now_ms // 1000 // hop_s
        n = max(1, days * 86400 // hop_s)
        at_once = max(1, ROWS_AT_ONCE // of)
        for past in range(n, 0, -at_once):  # of all series at once, as time goes by: so are a store's parts
            parameters = {"first": last - past, "n": min(past, at_once), "high": of}
            store.execute(_rows(name, hop_s), parameters)
        rows = n * of
        print(f"{name}: {days} days, {rows:,} rows, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    store.execute(
        "INSERT INTO seen SELECT series_id, min(first_ms), max(last_ms) FROM rollups GROUP BY series_id"  # as 0007
    )
    # Made, not merged: else the first start would merge days, weeks and months of the whole year again.
    store.execute(
        "INSERT INTO touched SELECT DISTINCT rollup, start_ms, end_ms, -1, {now:Int64} FROM rollups"
        " WHERE rollup IN ('1h', '1d', '1w', '1mo')",
        {"now": now_ms},
    )
    store.execute("INSERT INTO merged SELECT rollup, start_ms, {now:Int64} FROM touched", {"now": now_ms + DAY_MS})
    store.execute("DROP TABLE numbered")


def store_map(n: int):
    import pyarrow

    return pyarrow.array([[]] * n, pyarrow.map_(pyarrow.string(), pyarrow.string()))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.year", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--entities", type=int, default=250)
    parser.add_argument("--metrics", type=int, default=40)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--keep", default="10s=1/25,1m=2,5m=4")
    options = parser.parse_args(arguments)
    every = options.entities * options.metrics
    kept = dict.fromkeys(("1h", "1d", "1w", "1mo"), (options.days, every))
    for name, asked in (item.split("=") for item in options.keep.split(",")):
        days, _, entities = asked.partition("/")
        kept[name] = (int(days), min(every, int(entities) * options.metrics) if entities else every)
    store = open_store(f"embedded://{options.data / 'store'}")
    store.open()
    now_ms = time.time_ns() // 1_000_000
    apply_retention(store, Settings().windows.retention_s, now_ms)  # as a store that has run for a year
    series = [make_series(f"host-{i}", f"metric_{j}") for i in range(options.entities) for j in range(options.metrics)]
    fill(store, series, kept, now_ms)
    parts = store.select(
        "SELECT count() AS n, sum(rows) AS r, sum(bytes_on_disk) AS b FROM system.parts"
        " WHERE active AND table = 'rollups' AND database = currentDatabase()"
    )
    print(f"{int(parts['r'][0]):,} rows in {int(parts['n'][0])} parts, {int(parts['b'][0]) / 2**30:.1f} GiB")
    store.close()


if __name__ == "__main__":
    main(sys.argv[1:])
