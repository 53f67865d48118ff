"""A slow departure of one entity stands out; what all share, noise, and what is usual for a series do not."""

import numpy as np
import pytest

from stream.features.drift import PEERS_MIN, SETTLE, Drift
from stream.models.base import pack, unpack

MINUTE, DAY = 60_000, 1440


def run(values, failing=None, window_ms=MINUTE):
    """Return the drift of values[windows, entities, metrics], and what made it."""
    one = Drift(window_ms)
    one.grow(*values.shape[1:])
    rows, none = np.arange(values.shape[1]), np.zeros(values.shape[1], bool)
    out = [
        one.step(rows, np.nan_to_num(x), np.isfinite(x), none if failing is None else failing[i])
        for i, x in enumerate(values)
    ]
    return one, np.array(out)


def noise(entities=6, minutes=2 * DAY, seed=1):
    return np.random.default_rng(seed).normal(2, 0.1, (minutes, entities, 1))


def test_a_slow_build_up_within_the_noise_of_a_minute_stands_out():
    values = noise()
    values[-45:, 0, 0] += np.linspace(0, 0.4, 45)
    _, drift = run(values)
    assert drift[-10:, 0].min() > 4
    assert np.abs(drift[-10:, 1:]).max() < 4
    assert np.mean(np.abs(drift[DAY:-60]) > 4) < 0.005


def test_what_moves_everybody_is_taken_off_and_only_where_enough_are_known():
    for entities, off in ((PEERS_MIN, True), (PEERS_MIN - 1, False)):
        values = noise(entities)
        values[-30:] += 1
        _, drift = run(values)
        assert (np.abs(drift[-5:]).max() < 4) == off
        assert (drift[-5:].min() > 8) == (not off)


def test_one_outlier_is_no_drift_and_a_series_that_wanders_has_a_wide_usual():
    values = noise()
    values[-1, 0] += 0.6
    _, drift = run(values)
    assert drift[-1, 0, 0] < 4
    wandering = noise()
    wandering[:, 0, 0] += np.sin(np.arange(len(wandering)) / 20)
    wandering[-30:, 1, 0] += 1
    _, drift = run(wandering)
    assert np.abs(drift[DAY:, 0]).max() < 4 < drift[-1, 1, 0]


def test_a_metric_that_stays_away_drifts_back_and_a_new_one_waits():
    values = noise()
    values[-90:-60, 0] += 1
    values[-60:, 0] = np.nan
    one, drift = run(values)
    assert drift[-61, 0, 0] > 8 and abs(drift[-1, 0, 0]) < 0.1
    assert not drift[:SETTLE].any() and drift[SETTLE + 1].any()
    one.grow(7, 2)
    assert not one.step(np.arange(7), np.full((7, 2), 9.0), np.ones((7, 2), bool), np.zeros(7, bool))[:, 1].any()


def test_an_incident_becomes_no_part_of_what_is_usual():
    values, failing = noise(), np.zeros((2 * DAY, 6), bool)
    values[-300:-200, 0] += 2
    failing[-300:-200, 0] = True
    told, untold = run(values, failing)[1], run(values)[1]
    assert np.abs(told[-150:, 0]).max() < 4
    assert untold[-150:, 0].min() < -4  # its hours are raised, so it seems low for a while


@pytest.mark.parametrize("window_ms", [10_000, 3_600_000, 86_400_000])
def test_windows_of_any_length_have_a_now_and_hours(window_ms):
    values = noise(minutes=400)
    values[-6:, 0] += 2
    _, drift = run(values, window_ms=window_ms)
    assert drift[-1, 0, 0] > 4


def test_a_snapshot_changes_nothing_and_the_order_of_entities_neither():
    values = noise()
    one, _ = run(values[:-1])
    again = Drift(MINUTE)
    again.restore(unpack(pack(one.state())))
    turned, last = np.arange(6)[::-1], values[-1]
    there, well = np.ones((6, 1), bool), np.zeros(6, bool)
    said = one.step(np.arange(6), last, there, well)
    assert again.step(turned, last[::-1], there, well)[::-1].tobytes() == said.tobytes()
    assert pack(one.state()) == pack(again.state())
