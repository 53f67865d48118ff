"""The lock of an embedded log's folder: one process has it open."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from schemas.errors import ForeshockError

LOCK_FILE = "lock"  # holds the pid of who has it


class DataFolderInUse(ForeshockError):
    """Another process has the folder open; ``running`` says which."""

    def __init__(self, folder: Path, owner: str) -> None:
        super().__init__(
            f"cannot open data folder {folder}: another foreshock (pid {owner}) uses it; "
            "stop it, or choose another with --data"
        )
        self.running = f"in use by a running foreshock (pid {owner}); see its /readyz"


def lock(folder: Path) -> int:
    """Return the descriptor that holds the lock of a folder until it is closed; raises DataFolderInUse."""
    held = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(held, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(held)
        raise DataFolderInUse(folder, owner) from error
    os.ftruncate(held, 0)
    os.write(held, str(os.getpid()).encode())
    return held
