"""What is let in: limits refuse by name what is new, never what is known."""

import asyncio

import numpy as np
import pytest
from starlette.exceptions import HTTPException

from api.ingest.admission import Admission, Limits
from api.ingest.parsed import Parsed
from api.ingest.publisher import Publisher
from schemas.batch import columns, decode_batch
from schemas.catalogue import Catalogue
from schemas.series import make_series, partition_of


class Memory:
    """Keeps what is appended."""

    def __init__(self):
        self.batches = []

    async def append(self, topic, partition, value):
        self.batches.append((partition, decode_batch(value)))
        return len(self.batches) - 1


def parsed(*names):
    series = [make_series(entity, metric) for entity, metric in names]
    return Parsed(series, list(range(len(series))), [float(i) for i in range(len(series))], [], True)


@pytest.mark.parametrize("partitions", [1, 3])
async def test_new_series_over_a_limit_are_refused_by_name_and_known_ones_go_on(partitions):
    log, stored = Memory(), Catalogue()
    stored.add([make_series("old", "a")])
    admission = Admission(Limits(series=4, series_per_entity=2), stored, lambda: 0)
    publisher = Publisher(log, partitions, admission.series, stored, lambda: 0)
    taken = await publisher.publish(parsed(("e", "a"), ("e", "b"), ("e", "c"), ("old", "a"), ("e", "a")), 5)
    assert [(s.entity, s.key) for s in taken.series] == [("e", "a"), ("e", "b"), ("old", "a"), ("e", "a")]
    why = "its entity has 2 already (limits.series_per_entity); known ones go on"
    assert taken.rejected == [{"index": 2, "error": f"cannot take new series 'c' of 'e': {why}"}]
    taken = await publisher.publish(parsed(("f", "a"), ("g", "a"), ("e", "b"), ("old", "a")), 6)
    assert [(s.entity, s.key) for s in taken.series] == [("f", "a"), ("e", "b"), ("old", "a")]
    assert "there are 4 already (limits.series)" in taken.rejected[0]["error"]
    assert admission.series.refused == 2
    got = [
        (int(i), float(v)) for _, b in log.batches for i, v in zip(*(columns(b).ids, columns(b).values), strict=True)
    ]
    ids = {name: make_series(*name).series_id for name in (("e", "a"), ("e", "b"), ("old", "a"), ("f", "a"))}
    want = [(("e", "a"), 0), (("e", "b"), 1), (("old", "a"), 3), (("e", "a"), 4), (("f", "a"), 0), (("e", "b"), 2)]
    assert sorted(got) == sorted([(ids[name], float(v)) for name, v in want] + [(ids["old", "a"], 3.0)])
    # Definitions go along once, in the record of their own partition; that of a stored one does not.
    said = [s.series_id for _, b in log.batches for s in b.series]
    assert sorted(said) == sorted(i for name, i in ids.items() if name != ("old", "a"))


@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_request_that_was_refused_in_part_is_refused_in_part_again(partitions):
    log, admission = Memory(), Admission(Limits(series=3), Catalogue(), lambda: 0)
    publisher = Publisher(log, partitions, admission.series, Catalogue(), lambda: 0)
    names = [(f"h{n}", "a") for n in range(6)]
    known = parsed(*names[3:])
    await publisher.publish(known, 0)
    for digest in (1, 2, 3):
        whole = parsed(*names)
        log.batches.clear()
        taken = await publisher.publish(whole._replace(ids=whole.series_ids()), digest)
        assert [one.entity for one in taken.series] == ["h3", "h4", "h5"] and len(taken.rejected) == 3
        assert taken.series_ids().tolist() == known.series_ids().tolist()
        got = {(partition, i) for partition, batch in log.batches for i in columns(batch).ids.tolist()}
        assert got == {(partition_of(one.entity, partitions), one.series_id) for one in known.series}


async def test_arrays_and_lists_are_taken_alike():
    for make in (list, np.array):
        log, admission = Memory(), Admission(Limits(series=1), Catalogue(), lambda: 0)
        one = parsed(("e", "a"), ("e", "b"), ("e", "a"))
        one = one._replace(times=make(one.times), values=make(one.values))
        taken = await Publisher(log, 1, admission.series, Catalogue(), lambda: 0).publish(one, 0)
        assert list(taken.times) == [0, 2] and columns(log.batches[0][1]).values.tolist() == [0.0, 2.0]


def test_a_token_that_sends_too_much_waits_and_others_do_not():
    now = [0]
    admission = Admission(Limits(samples_per_s=100), Catalogue(), lambda: now[0])
    for _ in range(2):
        admission.check_rate("fast")
        admission.spend("fast", 100)
        now[0] += 10
    with pytest.raises(HTTPException) as refused:
        admission.check_rate("fast")
    assert refused.value.status_code == 429 and refused.value.headers == {"Retry-After": "1"}
    admission.check_rate("slow")
    now[0] += 2000
    admission.check_rate("fast")


def test_bodies_wait_for_room_but_one_is_always_let_in():
    admission = Admission(Limits(pending=100), Catalogue(), lambda: 0)
    with admission.body(1000):
        with pytest.raises(HTTPException) as refused, admission.body(1):
            pass
        assert refused.value.status_code == 503 and "Retry-After" in refused.value.headers
    with admission.body(60), admission.body(40):
        assert admission.pending == 100
    assert admission.pending == 0


async def test_whoever_else_is_waiting_comes_in_between_two_bodies_and_bodies_in_their_order():
    """Hundreds of bodies ready at once took the overview's every step behind them all: 12 s instead of 0.1 s."""
    admission, order = Admission(Limits(), Catalogue(), lambda: 0), []

    async def body(number: int) -> None:
        await admission.turn()
        order.append(number)

    async def other() -> None:
        while len(order) < 200:
            await asyncio.sleep(0)
            order.append(None)

    await asyncio.gather(*(body(number) for number in range(50)), other())
    bodies = [at for at, number in enumerate(order) if number is not None]
    assert [order[at] for at in bodies] == list(range(50))
    assert all(None in order[a:b] for a, b in zip(bodies, bodies[1:], strict=False))
