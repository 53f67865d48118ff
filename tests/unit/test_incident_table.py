"""Incidents are listed by the newest, a piece at a time, and none is left out."""

import random

from schemas.incident import Incident
from store.incidents import IncidentTable
from store.repository import Repository
from tests.unit.test_store import HOSTILE, store  # noqa: F401 - a fixture, both engines


async def test_pieces_put_together_are_all_incidents_newest_first(store):  # noqa: F811
    repository, rng = Repository(store), random.Random(4)
    table = IncidentTable(repository.thread)
    made = [Incident(id=f"{n}{HOSTILE[n % 13]}", entity=HOSTILE[n % 5], start_ms=rng.randrange(20)) for n in range(60)]
    await table.put(made)
    for one in made[:7]:
        one.withdrawn, one.updated_ms = True, 1
    await table.put(made[:7])
    for entities in ((), HOSTILE[:2]):
        want = [one for one in made[7:] if not entities or one.entity in entities]
        want.sort(key=lambda one: (-one.start_ms, one.id.encode()))
        assert await table.select(entities, limit=100) == want
        got: list[Incident] = []
        while piece := await table.select(entities, after=got[-1] if got else None, limit=7):
            got += piece
        assert got == want
    assert await table.select(["nobody"], limit=5) == []
