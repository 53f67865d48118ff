"""A process that hangs in its end is ended; one that does not is left alone."""

import subprocess
import sys

import pytest

HANGS = """
import threading, time
from foreshock.ending import end_within
threading.Thread(target=time.sleep, args=({hangs},)).start()
end_within({limit}, 3, "asked to stop")
"""


@pytest.mark.parametrize(("hangs", "limit", "status"), [(600, 0.2, 3), (0.2, 600, 0)])
def test_what_hangs_is_ended_in_time_and_says_so(hangs, limit, status):
    program = HANGS.format(hangs=hangs, limit=limit)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == status
    assert ("asked to stop" in ended.stderr) == (status == 3)
