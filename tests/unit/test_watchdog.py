from stream.watchdog import Watchdog


def looked_at(watchdog, rows):
    return [watchdog.stuck("p", offset=o, end=e, busy=b, now_ms=t) for o, e, b, t in rows]


def test_only_a_partition_that_stands_still_before_its_end_and_waits_for_nothing_is_stuck():
    still = [(5, 9, False, 0), (5, 9, False, 29_999), (5, 9, False, 30_000)]
    assert looked_at(Watchdog(30_000), still) == [False, False, True]
    for rows in (
        [(5, 5, False, 0), (5, 5, False, 90_000), (5, 9, False, 90_001)],  # nothing to read until now
        [(5, 9, False, 0), (5, 9, True, 29_000), (5, 9, False, 50_000)],  # it waited for the store
        [(5, 9, False, 0), (6, 9, False, 29_000), (6, 9, False, 50_000)],  # slow, but it moves
        [(5, 9, False, 0), (2, 9, False, 31_000), (2, 9, False, 50_000)],  # a new owner began further back
    ):
        assert not any(looked_at(Watchdog(30_000), rows)), rows


def test_what_went_to_another_worker_is_forgotten():
    watchdog = Watchdog(10)
    watchdog.stuck("p", offset=1, end=2, busy=False, now_ms=0)
    watchdog.forget(set())
    assert not watchdog.stuck("p", offset=1, end=2, busy=False, now_ms=99)
