"""Starts and stops the real product for tests."""

import os
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest

PATIENCE = 5  # a busy machine is that much slower than a quiet one; who is ready waits for nothing
START_S = 60
CLI = [sys.executable, "-c", "from foreshock.cli import main; main()"]


def start(data, *extra, env=None, role="up"):
    """Return the running ``foreshock up``, or another role, and the address it is ready at."""
    arguments = list(extra) if "--port" in extra or role not in ("up", "api") else ["--port", "0", *extra]
    process = subprocess.Popen(
        [*CLI, role, "--data", str(data), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ) | (env or {}),
    )
    waiting = select.poll()  # select() knows no descriptor above 1,023, and some tests have more
    waiting.register(process.stdout, select.POLLIN)
    if not waiting.poll(1000 * START_S * PATIENCE):
        process.kill()
    line = process.stdout.readline()
    assert line.startswith("ready "), f"{role} {data} is not ready after {START_S * PATIENCE} s: {line!r}"
    return process, line.split()[1]


def stop(process, number=signal.SIGTERM, seconds=10):
    """Return how long a clean stop took, seconds; at most as many as are given, on a quiet machine."""
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(seconds * PATIENCE) == 0
    return time.monotonic() - began


def eventually(ask, wanted, seconds=20):
    """Ask until what is wanted is answered: for PATIENCE times as many seconds as a quiet machine may take at most.

    Between two questions it waits for as long as the last one took, so that who is asked gets on.
    """
    asked = time.monotonic()
    end = asked + seconds * PATIENCE
    while (got := ask()) != wanted and (now := time.monotonic()) < end:
        time.sleep(max(0.2, now - asked))
        asked = time.monotonic()
    assert got == wanted


def tool(*names):
    """Return the path of the first program that is there; skip the test where none is, but never under CI."""
    for name in names:
        if path := shutil.which(name):
            return path
    if os.environ.get("CI") == "true":
        pytest.fail(f"none of {', '.join(names)} is installed: .ci/run has to install it")
    pytest.skip(f"none of {', '.join(names)} is installed")
