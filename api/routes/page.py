"""The page and what it loads, from this address alone."""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class PageRoutes:
    """Serves the files that were there when the server started, by name: a path from outside never meets the disk."""

    def __init__(self, folder: Path) -> None:
        self._files = {f"/ui/{p.name}": p for p in sorted(folder.iterdir()) if p.suffix in _KINDS}
        vendor = folder / "node_modules" / "dygraphs" / "dist"
        for name in ("dygraph.min.js", "dygraph.css"):
            if (vendor / name).exists():
                self._files[f"/vendor/{name}"] = vendor / name

    async def index(self, _: Request) -> Response:
        return self._file("/ui/index.html")

    async def file(self, request: Request) -> Response:
        return self._file(request.url.path)

    def _file(self, name: str) -> Response:
        path = self._files.get(name)
        if path is None:
            raise HTTPException(404, "cannot find this file of the page; was it installed? (make run does it)")
        return FileResponse(path, media_type=_KINDS[path.suffix], headers={"Cache-Control": "no-cache"})
