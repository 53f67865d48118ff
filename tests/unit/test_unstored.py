"""Definitions that wait for the store are known until they are in it."""

import numpy as np

from schemas.series import make_series
from stream.agents.unstored import Unstored


def ids_of(series):
    return np.array([one.series_id for one in series], np.uint64)


def test_definitions_are_known_until_they_are_stored_however_often_that_fails():
    unstored, every = Unstored(), [make_series(f"e{n}", "m") for n in range(40)]
    for n, one in enumerate(every[:30]):  # a new one a second, while the store is away
        unstored.define([one])
        unstored.put_back(unstored.take())
        assert unstored.named(ids_of(every))[: n + 1] == every[: n + 1] and unstored
    assert len(unstored._taken_series) <= 1, "few lists are looked through"
    taken = unstored.take()
    assert [one for catalogue in taken.series for one in catalogue.every()] == every[:30]
    unstored.define(every[30:])
    assert unstored.named(ids_of(every)) == every
    unstored.stored(taken)
    assert unstored.named(ids_of(every)) == [None] * 30 + every[30:]
    unstored.stored(unstored.take_rollups())
    assert unstored.named(ids_of(every)) == [] and not unstored
