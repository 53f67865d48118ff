"""``foreshock replay`` and ``foreshock query`` against a running product, live windows going on beside a history."""

import csv
import io
import json
import subprocess
import threading
import time
from itertools import pairwise

import httpx
import pyarrow
import pyarrow.parquet
import pytest
from websockets.sync.client import connect

from tests.running import CLI, eventually, start, stop

DAY = 86_400_000
BEGIN = int(time.time() * 1000) // DAY * DAY - 20 * DAY
LATENESS_S, WINDOW_MS = 1, 2000


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replay")
    config = folder / "foreshock.toml"
    config.write_text(f'[windows]\nrollups = ["2s", "1m", "1h"]\nlateness = "{LATENESS_S}s"\n[models]\nrollups = []\n')
    process, url = start(folder / "data", "--no-collect", "--config", str(config))
    yield url
    stop(process)


TIMEOUT_S = 30


def run(url, *arguments):
    return subprocess.run([*CLI, *arguments, "--url", url], capture_output=True, text=True, timeout=120, check=False)


def counts(url, entity, **more):
    query = {"entity": entity, "rollup": "1m", "stat": "count", "from": BEGIN, "to": BEGIN + 20 * DAY} | more
    answer = httpx.get(f"{url}/api/v1/range", params=query, timeout=TIMEOUT_S).json()
    return {label: sum(row[i] or 0 for row in answer["data"]) for i, label in enumerate(answer["labels"]) if i}


def write(path, entity, n):
    """Write n minutes of two metrics in the format that the suffix names."""
    rows = [(entity, m, BEGIN + i * 60_000, i % 7 + 0.5, str(i % 2)) for i in range(n) for m in ("cpu", "load")]
    names = ("entity", "metric", "timestamp", "value", "core")
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([names, *rows])
    elif path.suffix == ".parquet":
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        columns["timestamp"] = pyarrow.array(columns["timestamp"]).cast(pyarrow.timestamp("ms", "UTC"))
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    else:
        lines = (dict(zip(names[:4], row, strict=False)) | {"labels": {"core": row[4]}} for row in rows)
        path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")


@pytest.mark.parametrize("suffix", [".csv", ".ndjson", ".parquet"])
def test_every_format_is_taken_in_whole(url, tmp_path, suffix):
    entity, path = f"of{suffix}", tmp_path / f"history{suffix}"
    write(path, entity, 3000)
    done = run(url, "replay", str(path))
    assert done.returncode == 0 and "accepted 6000, rejected 0" in done.stderr, done.stderr
    assert path.name in done.stderr and "100%" in done.stderr, "a progress bar"
    wanted = {f'{entity} {m}{{core="{core}"}}': 1500 for m in ("cpu", "load") for core in (0, 1)}
    eventually(lambda: counts(url, entity), wanted, seconds=40)


def test_what_cannot_be_read_is_named_and_the_rest_is_taken(url, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(
        f"entity,metric,timestamp,value\nw,m,{BEGIN},1\nw,m,{BEGIN},x\n,,,\nw,m,never,1\nw,m,{BEGIN + 1},2\n"
    )
    done = run(url, "replay", str(path))
    assert done.returncode == 1 and "accepted 2, rejected 3" in done.stderr and "value=x" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    path.write_text("nothing\n1\n")
    done = run(url, "replay", str(path))
    assert done.returncode == 1 and "accepted 0, rejected 1" in done.stderr and "Traceback" not in done.stderr


def test_speed_is_times_real_time(url, tmp_path):
    path = tmp_path / "slow.ndjson"
    lines = [{"entity": "slow", "metric": "m", "timestamp": BEGIN + i * 1000, "value": i} for i in range(120)]
    path.write_text("\n".join(map(json.dumps, lines)))
    began = time.monotonic()
    assert run(url, "replay", str(path), "--speed", "60").returncode == 0
    assert time.monotonic() - began >= 119 / 60


def test_live_windows_close_on_time_beside_a_history(url, tmp_path):
    path, ended, sent = tmp_path / "months.csv", threading.Event(), []
    write(path, "months", 15_000)

    def live():
        with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
            while not ended.is_set():
                at = int(time.time() * 1000)
                answer = client.post(
                    "/api/v1/samples", json={"entity": "now", "metric": "m", "timestamp": at, "value": 1}
                )
                assert answer.status_code == 202
                sent.append(at)
                time.sleep(0.1)

    thread = threading.Thread(target=live)
    delays, closed = [], {}
    with connect(f"{url.replace('http', 'ws')}/api/v1/live") as socket:
        socket.send(json.dumps({"subscribe": {"entities": ["now"], "metrics": ["*"], "rollups": ["2s"]}}))
        thread.start()
        replaying = subprocess.Popen([*CLI, "replay", str(path), "--url", url], stderr=subprocess.DEVNULL)
        try:
            while replaying.poll() is None or len(closed) < 3:
                message = json.loads(socket.recv(timeout=120))
                if message["type"] == "rollup" and "m" in message["metrics"]:
                    closed[message["start"]] = message["metrics"]["m"]["count"]
                    delays.append(time.time() * 1000 - message["end"] - LATENESS_S * 1000)
        finally:
            ended.set()
            thread.join()
            replaying.wait()
    assert replaying.returncode == 0
    whole = sorted(closed)[1:]
    assert whole == list(range(whole[0], whole[-1] + 1, WINDOW_MS)), "every window came"
    for start_ms in whole:
        assert closed[start_ms] == sum(start_ms <= at < start_ms + WINDOW_MS for at in sent)
    assert sorted(delays)[len(delays) // 2] < 2500, delays
    eventually(lambda: sum(counts(url, "months").values()), 30_000, seconds=60)


def test_query_says_the_same_in_every_form(url, tmp_path):
    path = tmp_path / "asked.csv"
    write(path, "asked", 60)
    assert run(url, "replay", str(path)).returncode == 0
    eventually(lambda: sum(counts(url, "asked").values()), 120)
    asked = ["query", "--entity", "asked", "--from", str(BEGIN), "--to", str(BEGIN + 3_600_000), "--rollup", "1m"]
    plain = json.loads(run(url, *asked, "--format", "json", "--metric", "cpu*").stdout)
    assert plain["rollup"] == "1m" and len(plain["data"]) == 60 and len(plain["labels"]) == 3
    rows = list(csv.reader(io.StringIO(run(url, *asked, "--format", "csv", "--metric", "cpu*").stdout)))
    assert rows[0] == ["timestamp", 'cpu{core="0"}', 'cpu{core="1"}']
    assert [[float(v) if v else None for v in row] for row in rows[1:]] == plain["data"]
    table = run(url, *asked, "--metric", "cpu*").stdout.splitlines()
    assert table[0].split("  ")[0] == "timestamp" and len(table) == 61 and "-" in table[1].split()
    maximum = json.loads(run(url, *asked, "--format", "json", "--stat", "max", "--metric", "load*").stdout)
    assert maximum["stat"] == "max" and {v for row in maximum["data"] for v in row[1:]} > {6.5}
    wrong = run(url, *asked, "--stat", "median")
    assert wrong.returncode == 1 and "want one of mean" in wrong.stderr.replace("min, max", "mean") + wrong.stderr
    assert run(url, "query", "--format", "xml").returncode == 2


def increases(url, entity, rollup, size_ms):
    """Return the increase of each window that has one, by its start."""
    query = {"entity": entity, "rollup": rollup, "stat": "rate", "points": 10_000}
    query |= {"from": BEGIN, "to": BEGIN + DAY // 4}
    rows = httpx.get(f"{url}/api/v1/range", params=query, timeout=TIMEOUT_S).json().get("data", [])  # none yet
    return {row[0]: round(row[1] * size_ms / 1000, 6) for row in rows if row[1] is not None}


def test_counters_of_a_history_rise_from_window_to_window_and_by_what_comes_later_still(url, tmp_path):
    entity, samples, value = "counted", [], 0.0
    for i in range(1200):
        value = 0.0 if i == 700 else value + i % 5  # it restarts once
        samples.append((BEGIN + i * 15_000, value))
    late = {i for i in range(3, 1200, 37) if abs(i - 700) > 60}
    late |= {i + 1 for i in list(late)[::3]}  # two at once
    for part in ([s for i, s in enumerate(samples) if i not in late], [samples[i] for i in sorted(late)]):
        path = tmp_path / "history.csv"
        with path.open("w", newline="") as file:
            rows = ((entity, "x_total", *sample) for sample in part)
            csv.writer(file).writerows([("entity", "metric", "timestamp", "value"), *rows])
        assert run(url, "replay", str(path)).returncode == 0
        for rollup, size_ms in (("2s", WINDOW_MS), ("1m", 60_000), ("1h", 3_600_000)):
            want = {BEGIN: 0.0}
            for (_, before), (at, now) in pairwise(part if part[0] == samples[0] else samples):
                start = at // size_ms * size_ms
                want[start] = want.get(start, 0.0) + (now if now < before else now - before)
            eventually(lambda of=(rollup, size_ms): increases(url, entity, *of), want, seconds=40)
