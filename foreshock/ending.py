"""An end that takes too long becomes one as by kill -9, which costs nothing that was accepted: it is read again."""

from __future__ import annotations

import logging
import os
import sys
import threading

logger = logging.getLogger("foreshock")

# Of the 5 s that a stop may take. What has its broker and store ends long before; without them writes are waited for.
END_S = 4.5


def end_within(seconds: float, status: int, why: str) -> None:
    """Let this process exit with ``status`` when it has not ended by itself in time, whatever it hangs in."""
    timer = threading.Timer(seconds, _end, (seconds, status, why))
    timer.daemon = True  # one that ends by itself does not wait for it
    timer.start()


def _end(seconds: float, status: int, why: str) -> None:
    logger.warning(
        "%s; not everything could be written within %s s: is broker or store away? What is left is read from the "
        "log at the next start",
        why,
        seconds,
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
