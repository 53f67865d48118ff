"""The interval holds what it says it holds, on series it was not made for."""

import numpy as np
import pytest

from api.forecasting import COVERAGE, DAY_MS, forecast

STEP = 900_000
DAY = DAY_MS // STEP


def series(rng, days, *, season, persistence, noise):
    n = days * DAY
    wave = season * np.sin(2 * np.pi * np.arange(n) / DAY) + 100
    drift, out = 0.0, np.empty(n)
    for i in range(n):
        drift = persistence * drift + rng.normal(0, noise)
        out[i] = wave[i] + drift
    return out


@pytest.mark.parametrize(
    ("season", "persistence", "noise"), [(0, 0.0, 1), (20, 0.0, 1), (20, 0.95, 1), (0, 0.99, 1), (50, 0.5, 5)]
)
def test_nine_of_ten_values_fall_inside_and_the_interval_is_no_wider_than_it_must_be(season, persistence, noise):
    inside, width, error, naive = [], [], [], []
    for seed in range(12):
        values = series(np.random.default_rng(seed), 15, season=season, persistence=persistence, noise=noise)
        past, future = values[: 14 * DAY], values[14 * DAY :]
        made = forecast(past, 0, STEP, DAY)
        inside.append(np.mean((future >= made.low) & (future <= made.high)))
        width.append(np.mean(made.high - made.low))
        error.append(np.mean(np.abs(future - made.mean)))
        naive.append(np.mean(np.abs(future - past[-1])))
        assert made.times_ms.tolist() == [(14 * DAY + i) * STEP for i in range(DAY)]
    assert abs(np.mean(inside) - COVERAGE) < 0.1, np.mean(inside)
    spread = noise / np.sqrt(1 - persistence**2)
    assert np.mean(width) < 2 * 1.645 * spread * 1.5
    assert np.mean(error) < np.mean(naive) * (1.1 if persistence > 0.98 else 1)  # there the last value is hard to beat


def test_gaps_short_pasts_and_constants():
    assert forecast(np.full(100, np.nan), 0, STEP, 10) is None
    assert forecast(np.arange(5.0), 0, STEP, 10) is None
    made = forecast(np.full(500, 7.0), 0, STEP, 10)
    assert np.allclose(made.mean, 7) and np.allclose(made.low, 7) and np.allclose(made.high, 7)
    rng = np.random.default_rng(1)
    holes = series(rng, 10, season=20, persistence=0.5, noise=1)
    holes[rng.random(len(holes)) < 0.4] = np.nan
    made = forecast(holes, 0, STEP, 3 * DAY)
    assert np.isfinite(made.mean).all() and (made.low <= made.mean).all() and (made.mean <= made.high).all()
    assert "time of day" in made.basis
    one = forecast(np.random.default_rng(2).normal(size=30), 0, STEP, 200)  # far beyond its past
    assert np.isfinite(one.low).all() and "level" in one.basis
