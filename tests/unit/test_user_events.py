"""The user's own JSON topic: each message counts once, whatever comes and whenever it is read again."""

import json
import random

import numpy as np
import pytest

from api.ingest.json_samples import parse_json_record
from log.embedded import EmbeddedLog
from schemas.batch import columns, decode_batch
from schemas.series import make_series, partition_of
from schemas.topics import EVENTS_JSON, EVENTS_REJECTED, SAMPLES
from schemas.window_spec import parse_rollup
from store.chdb import ChdbStore
from store.repository import Repository
from stream.agents.user_events import PartitionTranslator
from stream.window.partition import PartitionWindows

NOW = 1_800_000_000_000


@pytest.fixture
async def parts(tmp_path):
    log = EmbeddedLog.shared(str(tmp_path / "log"))
    await log.start()
    await log.create_topics({EVENTS_JSON: 1, SAMPLES: 3, EVENTS_REJECTED: 1})
    repository = Repository(ChdbStore(str(tmp_path / "store")))
    await repository.open()
    yield log, repository
    await repository.close()
    await log.stop()


@pytest.mark.parametrize("seed", range(5))
async def test_messages_are_counted_once_across_crashes_and_rubbish_is_put_aside(parts, seed):
    log, repository = parts
    rng, want, bad = random.Random(seed), {}, 0
    for number in range(300):
        entity = f"e{rng.randrange(9)}"
        if rng.random() < 0.1:
            bad += 1
            body = rng.choice(
                [b"", b"{", b"[]", b'{"entity":1}', b"\xff\xfe", b"[" * 5000, b'{"entity":"e","metric":"m"}']
            )
        elif rng.random() < 0.2:
            body = json.dumps({"entity": entity, "event": "deploy", "timestamp": 1_700_000_000_000 + number}).encode()
            want[entity, "events"] = want.get((entity, "events"), 0) + 1
        else:
            body = json.dumps({"entity": entity, "metric": "m", "value": number}).encode()
            want[entity, "m"] = want.get((entity, "m"), 0) + 1
        await log.append(EVENTS_JSON, 0, body)

    def fresh():
        return PartitionTranslator(
            0, log, repository, lambda b, at: parse_json_record(b, now_ms=at, future_ms=0), 3, lambda: NOW
        )

    translator = fresh()
    offset = await translator.open()
    while records := await log.read(EVENTS_JSON, 0, offset, records_max=rng.randint(1, 60)):
        await translator.process(records)
        offset = records[-1].offset + 1
        if rng.random() < 0.5:
            await translator.tick()
        if rng.random() < 0.3:
            translator = fresh()
            offset = await translator.open()
    await translator.close()
    got, names = {}, {}
    for partition in range(3):
        windows = PartitionWindows([parse_rollup("10s")], 0, is_counter=lambda ids: np.zeros(len(ids), bool))
        for record in await log.read(SAMPLES, partition, 0, records_max=10**6):
            batch = decode_batch(record.value)
            names |= {s.series_id: s for s in batch.series}
            assert {partition_of(names[i].entity, 3) for i in columns(batch).ids.tolist()} == {partition}
            windows.apply(record.offset, batch)
        windows._advance_ms = 2**61
        for rollup in windows.drain():
            for series_id, count in zip(rollup.ids.tolist(), rollup.count.tolist(), strict=True):
                key = (names[series_id].entity, names[series_id].metric)
                got[key] = got.get(key, 0) + count
    assert got == want
    aside = [json.loads(r.value) for r in await log.read(EVENTS_REJECTED, 0, 0, records_max=10**6)]
    assert len({one["offset"] for one in aside}) == bad and all(one["error"] for one in aside)
    assert make_series("e1", "m").series_id in names
