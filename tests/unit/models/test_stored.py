"""Which rows of scored windows a snapshot names, whoever wrote them and whenever."""

import random

from stream.models.stored import StoredWindows

DAY_MS = 86_400_000


def restored(table, state):
    """Return the numbers of the entries that a snapshot brings back."""
    out = []
    for lineage, first, until in StoredWindows.of(state).parts:
        for (of, _), (numbers, _) in sorted(table.items()):
            out += [n for n in numbers if of == lineage and first <= n < until]
    return [n for n in out if n >= state["ring"]["first"]]


def test_snapshots_bring_back_their_windows_whatever_a_stale_owner_writes_later():
    for seed in range(200):
        rng = random.Random(seed)
        table, state, owners, until, now_ms = {}, None, [], 0, 1_700_000_000_000
        for _ in range(rng.randrange(2, 25)):
            if not owners or rng.random() < 0.2:
                owners.append((StoredWindows.of(state) if state else StoredWindows(), until, state))
            now_ms += rng.randrange(20) * DAY_MS  # the row that replaces a lost one is of this moment too
            table = {at: row for at, row in table.items() if now_ms - row[1] < 60 * DAY_MS}
            mine = len(owners) - 1 if rng.random() < 0.7 else rng.randrange(len(owners))
            stored, next_number, before = owners[mine]
            relearned = (before["ring"]["relearned"] if before else 0) + (rng.random() < 0.15)
            next_number += rng.randrange(4)
            kept = max(0, next_number - 12)
            begin = max(kept, stored.next_for(relearned, now_ms))
            if begin < next_number:
                table[stored.lineage, begin] = list(range(begin, next_number)), now_ms
            stored.saved(kept, next_number)
            ring = {"relearned": relearned, "first": kept, "next": next_number}
            saved = {"ring": ring, **stored.state(), "stored": [list(part) for part in stored.parts]}
            owners[mine] = (stored, next_number, saved)
            if mine == len(owners) - 1:  # the row of a stale owner loses
                state, until = saved, next_number
            assert restored(table, state) == list(range(state["ring"]["first"], state["ring"]["next"])), seed


def test_a_snapshot_of_the_release_before_names_its_windows_by_how_often_the_model_was_learned_anew():
    assert StoredWindows.of({"ring": {"relearned": 3, "first": 10, "next": 20}}).parts == [[3, 10, 20]]
