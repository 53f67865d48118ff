"""Websocket frames from a server (RFC 6455, 5.2). They are not masked, so the same bytes serve everybody."""

from __future__ import annotations

import struct

_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89
PING = bytes((_PING, 0))
REASON_BYTES_MAX = 123


def text_frame(payload: bytes) -> bytes:
    """Return a whole text message, UTF-8, as one frame.

    >>> text_frame(b"{}")
    b'\\x81\\x02{}'
    """
    size = len(payload)
    if size < 126:
        return bytes((_TEXT, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", _TEXT, 126, size) + payload
    return struct.pack("!BBQ", _TEXT, 127, size) + payload


def close_frame(code: int, reason: str) -> bytes:
    """Return a close frame; the reason is cut to what a frame holds."""
    said = reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore").encode()
    return struct.pack("!BBH", _CLOSE, 2 + len(said), code) + said
