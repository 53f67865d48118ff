"""The simulations of tests/simulation over as many seeds as one likes; a seed that fails replays exactly.

python -m bench simulation [--seeds FIRST COUNT]
"""

from __future__ import annotations

import argparse
import logging
import sys

from tests.simulation import core, worker
from tests.simulation.oracle import check, small_limits, value_of

OWNERS = "windows alone, owners that go on after the partition moved"
SCENARIOS = {
    "windows alone": lambda seed, value: core.run(seed, crashes=False, value=value),
    "windows alone, crashes": lambda seed, value: core.run(seed, crashes=True, value=value),
    OWNERS: lambda seed, value: core.run_with_zombies(seed),
    "a worker, faults of log and store, cancellations, crashes": worker.run,
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench simulation")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 2000), metavar=("FIRST", "COUNT"))
    first, count = parser.parse_args(arguments).seeds
    logging.getLogger("foreshock").setLevel(logging.ERROR)  # each fault is told of
    failed = 0
    for name, run in SCENARIOS.items():
        bad = []
        for seed in range(first, first + count):
            try:
                value = value_of(seed)
                with small_limits():
                    check(*run(seed, value), rises=value is not None and name != OWNERS)
            except AssertionError as error:
                bad.append(seed)
                print(f"seed {seed}, {name}: {error!r}; again: python -m bench simulation --seeds {seed} 1", flush=True)
        print(f"{name}: {count - len(bad)} of {count} seeds leave the table that plain Python makes", flush=True)
        failed += len(bad)
    if failed:
        sys.exit(1)
