"""Threads share one heap, where the C library can be told."""

import platform
import subprocess
import sys

import pytest

ASKED = """
import ctypes, threading
from foreshock.heap import one_heap
one_heap()
libc = ctypes.CDLL(None)
every = threading.Barrier(5)
def work():
    libc.malloc(1000)
    every.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
every.wait()
libc.malloc_stats()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
@pytest.mark.parametrize("arenas", [1, 3])
def test_threads_share_one_heap_unless_the_environment_says_otherwise(arenas, monkeypatch):
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    if arenas > 1:
        monkeypatch.setenv("MALLOC_ARENA_MAX", str(arenas))
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr.count("Arena") == arenas, done.stderr
