"""Threads share one heap, and what is free in it is given back, where the C library can be told."""

import platform
import subprocess
import sys

import pytest

ASKED = """
import ctypes, threading
from foreshock.heap import prepare_heaps
prepare_heaps()
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


HOLES = """
import asyncio, ctypes
from foreshock import heap
heap.prepare_heaps()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
blocks = [libc.malloc(ctypes.c_size_t(100_000)) for _ in range(1000)]
for block in blocks:
    ctypes.memset(ctypes.c_void_p(block), 1, 100_000)
for block in blocks[:-1]:
    libc.free(ctypes.c_void_p(block))
before = resident()
async def a_while():
    heap.TRIM_EVERY_S = 0.01
    keeping = asyncio.create_task(heap.keep_trimmed())
    await asyncio.sleep(0.5)
    assert not keeping.done()
    keeping.cancel()
asyncio.run(a_while())
print(before - resident())
"""

of_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")


@of_glibc
@pytest.mark.parametrize("arenas", [1, 3])
def test_threads_share_one_heap_unless_the_environment_says_otherwise(arenas, monkeypatch):
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    if arenas > 1:
        monkeypatch.setenv("MALLOC_ARENA_MAX", str(arenas))
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr.count("Arena") == arenas, done.stderr


@of_glibc
def test_what_is_free_between_things_that_are_not_is_given_back():
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and int(done.stdout) > 80_000_000, done
