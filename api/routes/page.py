"""The page and what it loads, from this address alone."""

from __future__ import annotations

import gzip
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


class _Held(NamedTuple):
    stamp: tuple[int, int]
    plain: bytes
    packed: bytes
    tag: str


class PageRoutes:
    """Serves the files that were there when the server started, by name: a path from outside never meets the disk.

    What was read is held, compressed too, until the file changes; a browser that has it already is told just that.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {f"/ui/{p.name}": p for p in sorted(folder.iterdir()) if p.suffix in _KINDS}
        vendor = folder / "node_modules" / "dygraphs" / "dist"
        for name in ("dygraph.min.js", "dygraph.css"):
            if (vendor / name).exists():
                self._files[f"/vendor/{name}"] = vendor / name
        self._held: dict[str, _Held] = {}

    async def index(self, request: Request) -> Response:
        return self._answer("/ui/index.html", request)

    async def file(self, request: Request) -> Response:
        return self._answer(request.url.path, request)

    def _answer(self, name: str, request: Request) -> Response:
        path = self._files.get(name)
        if path is None:
            raise HTTPException(404, "cannot find this file of the page; was it installed? (make run does it)")
        held = self._read(name, path)
        headers = {"Cache-Control": "no-cache", "ETag": held.tag, "Vary": "Accept-Encoding"}
        if held.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(held.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=_KINDS[path.suffix])
        return Response(held.plain, headers=headers, media_type=_KINDS[path.suffix])

    def _read(self, name: str, path: Path) -> _Held:
        found = path.stat()
        stamp = (found.st_mtime_ns, found.st_size)
        held = self._held.get(name)
        if held is None or held.stamp != stamp:
            plain = path.read_bytes()
            tag = f'"{blake2b(plain, digest_size=12).hexdigest()}"'
            held = self._held[name] = _Held(stamp, plain, gzip.compress(plain, mtime=0), tag)
        return held
