"""Random streams with late and repeated records, crashes and faults against plain Python; a seed replays exactly.

``python -m bench simulation --seeds 0 10000`` runs as many as one likes.
"""

from __future__ import annotations

import numpy as np
import pytest

from schemas.batch import make_batch
from stream.window.partition import PartitionWindows
from tests.simulation import core, worker
from tests.simulation.oracle import SPECS, check, small_limits, value_of


@pytest.fixture(autouse=True)
def small():
    with small_limits():
        yield


@pytest.mark.parametrize("block", range(4))
def test_every_sample_is_counted_once_in_every_window(block):
    for seed in range(block * 30, block * 30 + 30):
        check(*core.run(seed, crashes=False, value=value_of(seed)), rises=value_of(seed) is not None)


@pytest.mark.parametrize("block", range(4))
def test_crashes_at_any_point_leave_the_same_table(block):
    for seed in range(block * 30, block * 30 + 30):
        check(*core.run(seed, crashes=True, value=value_of(seed)), rises=value_of(seed) is not None)


@pytest.mark.parametrize("block", range(4))
def test_owners_that_lost_the_partition_and_write_on_damage_nothing(block):
    for seed in range(block * 30, block * 30 + 30):
        check(*core.run_with_zombies(seed))


@pytest.mark.parametrize("block", range(3))
def test_a_worker_that_is_killed_cancelled_and_cut_off_from_its_store_leaves_the_same_table(block):
    for seed in range(block * 20, block * 20 + 20):
        check(*worker.run(seed, value_of(seed)), rises=value_of(seed) is not None)


def test_a_jump_of_ten_years_does_not_walk_through_them():
    windows = PartitionWindows(SPECS, 5000, is_counter=lambda ids: ids > 99)
    for offset, at in enumerate((0, 10 * 365 * 86_400_000)):
        windows.apply(offset, make_batch([], np.array([1]), np.array([at]), np.array([1.0])))
    assert {r.rollup for r in windows.drain()} >= {"10s", "1m"}
