"""Bodies as they come over the wire: bounded before and after decompression."""

from __future__ import annotations

import zlib
from typing import TypeVar

import cramjam
import msgspec
from starlette.exceptions import HTTPException

from schemas.errors import DataError

T = TypeVar("T")
GZIP_MEMBERS_MAX = 1000
_PIECE_BYTES = 1 << 16


def decompressed(data: bytes, encoding: str, limit: int) -> bytes:
    """Return the body; raises HTTPException 413 over ``limit`` bytes, 415 for an unknown encoding, DataError."""
    encoding = encoding.strip().lower()
    try:
        if encoding in ("", "identity"):
            return data
        if encoding == "gzip":
            out = _gunzipped(data, limit)
        elif encoding == "snappy":
            if _declared(data) > limit:
                raise _too_large(limit)
            out = bytes(cramjam.snappy.decompress_raw(data))
        elif encoding == "zstd":
            room = bytearray(limit + 1)
            out = bytes(room[: cramjam.zstd.decompress_into(data, room)])
        else:
            raise HTTPException(415, f"cannot read Content-Encoding {encoding[:20]!r}: want gzip, zstd or snappy")
    except (zlib.error, cramjam.DecompressionError, ValueError) as error:
        if "buffer" in str(error).lower() and encoding == "zstd":
            raise _too_large(limit) from error
        raise DataError(f"cannot decompress the body as {encoding}: {str(error)[:100]}") from error
    if len(out) > limit:
        raise _too_large(limit)
    return out


def _gunzipped(data: bytes, limit: int) -> bytes:
    """Return all members of a gzip stream (RFC 1952), one byte over the limit at the most; raises DataError.

    A piece at a time, so that what follows on a member is not copied once a member.
    """
    out, at = bytearray(), 0
    for _ in range(GZIP_MEMBERS_MAX):
        machine = zlib.decompressobj(wbits=31)
        while not machine.eof:
            piece = machine.unconsumed_tail or data[at : at + _PIECE_BYTES]
            if not machine.unconsumed_tail:
                if not piece:
                    raise DataError("cannot decompress the body: it ends too early")
                at += len(piece)
            out += machine.decompress(piece, limit + 1 - len(out))
            if len(out) > limit:
                return bytes(out)
        at -= len(machine.unused_data)
        if at == len(data):
            return bytes(out)
    raise DataError(f"cannot decompress the body: it has over {GZIP_MEMBERS_MAX} gzip members")


def read_json(body: bytes, type_: type[T], wanted: str) -> T:
    """Return a JSON body as a type; raises DataError, which says what would be right.

    The decoder has three ways to refuse: not JSON or of another shape, not UTF-8, and nested too deeply.
    """
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"cannot read the body: {error}; want {wanted}") from error


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"cannot take a body over {limit} bytes (limits.body); send smaller batches")


def _declared(data: bytes) -> int:
    """Return the length that a raw snappy block says it has."""
    length = shift = 0
    for byte in data[:5]:
        length |= (byte & 127) << shift
        if byte < 128:
            return length
        shift += 7
    raise DataError("cannot decompress the body as snappy: it does not begin with a length")
