"""Definitions that wait for the store are known until they are in it."""

from schemas.catalogue import named_by
from schemas.series import ids_of, make_series
from stream.agents.unstored import Unstored


def known(unstored, series):
    return named_by(unstored.series, ids_of(series))


def test_definitions_are_known_until_they_are_stored_however_often_that_fails():
    unstored, every = Unstored(), [make_series(f"e{n}", "m") for n in range(40)]
    for n, one in enumerate(every[:30]):  # a new one a second, while the store is away
        unstored.define([one])
        unstored.put_back(unstored.take())
        assert known(unstored, every)[: n + 1] == every[: n + 1] and unstored
    assert len(unstored._taken_series) <= 1, "few lists are looked through"
    taken = unstored.take()
    assert [one for catalogue in taken.series for one in catalogue.every()] == every[:30]
    unstored.define(every[30:])
    assert known(unstored, every) == every
    unstored.stored(taken)
    assert known(unstored, every) == [None] * 30 + every[30:]
    unstored.stored(unstored.take_rollups())
    assert known(unstored, every) == [None] * 40 and not unstored
