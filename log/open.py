"""Which log a broker URL means."""

from __future__ import annotations

from log.base import Log
from log.embedded import EmbeddedLog


def open_log(url: str) -> Log:
    """Return the log of a broker URL; ``start`` it before use. Raises ValueError for another scheme."""
    if url.startswith("embedded://"):
        return EmbeddedLog.shared(url.removeprefix("embedded://"))
    raise ValueError(f"cannot use broker.url={url!r}: unknown scheme; want embedded:///DIR")


def faust_url(url: str) -> str:
    """Return the URL by which Faust finds the transport of the same log."""
    return url
