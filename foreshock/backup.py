"""``foreshock backup``: a stopped embedded folder as one archive, gzip over tar, with a manifest as its first member.

The folder is held by its log's lock meanwhile, so log and store are of the same moment. The manifest names every file
with its size and SHA-256, and the release and schema the store is of. Level 1 of gzip: the store is compressed already.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click
import msgspec

from foreshock import __version__
from foreshock.settings import default_data_dir
from log.lock import LOCK_FILE, lock
from schemas.errors import ForeshockError

MANIFEST = "manifest.json"
FORMAT = 1
PARTS = ("log", "store")  # of a data folder; all else is made anew
CHUNK_BYTES = 1 << 20


class File(msgspec.Struct):
    size: int  # bytes
    sha256: str


class Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """What an archive holds. Names are relative to the data folder; ``links``: name → where it points."""

    format: int
    release: str
    migrations: list[str]  # statements of schemas/clickhouse that the store has seen
    folders: list[str]
    files: dict[str, File]
    links: dict[str, str]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder.")
def backup(file: Path, data: Path | None) -> None:
    """Write a stopped embedded data folder into one archive."""
    manifest = back_up((data or default_data_dir(os.environ)).resolve(), file.resolve())
    size = sum(one.size for one in manifest.files.values())
    click.echo(f"backed up {len(manifest.files)} files, {size} bytes, to {file}", err=True)


def back_up(folder: Path, file: Path) -> Manifest:
    """Write the archive of a data folder, whole or not at all; return its manifest.

    Raises DataFolderInUse while a process has the folder open, ForeshockError where it is no data folder, holds the
    file, or the file is there already.
    """
    if missing := [part for part in PARTS if not (folder / part).is_dir()]:
        raise ForeshockError(
            f"cannot back up {folder}: it has no folder {missing[0]!r}; want the --data of an embedded `foreshock up`"
        )
    if file.exists() or file.is_relative_to(folder):
        raise ForeshockError(f"cannot back up to {file}: want a new file, outside of {folder}")
    held = lock(folder / "log")
    try:
        migrations = _migrations(folder / "store")
        manifest = Manifest(FORMAT, __version__, migrations, [], {}, {})
        for path in _below(folder):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink():
                manifest.links[name] = os.readlink(path)
            elif path.is_dir():
                manifest.folders.append(name)
            else:
                manifest.files[name] = File(path.stat().st_size, _sha256(path))
        partial = file.with_name(f".{file.name}.partial")
        try:
            with open(partial, "wb", opener=_private) as out:
                _write(folder, manifest, out)
                out.flush()
                os.fsync(out.fileno())
            os.rename(partial, file)
        finally:
            partial.unlink(missing_ok=True)
    finally:
        os.close(held)
    return manifest


def _migrations(store: Path) -> list[str]:
    """Return what the store noted of its schema, nothing where it is of a release that did not.

    An engine that cannot open the folder fails here, before anything is written.
    """
    from store.chdb import ChdbStore
    from store.migrate import done

    opened = ChdbStore(str(store))
    opened.connect()
    try:
        noted = bool(opened.select("EXISTS TABLE migrations")["result"][0])
        return sorted(done(opened)) if noted else []
    finally:
        opened.close()


def _below(folder: Path) -> Iterator[Path]:
    """Yield what is in a data folder, a folder before what is in it; links are not followed."""
    for part in PARTS:
        yield folder / part
        for at, folders, files in os.walk(folder / part):
            folders.sort()
            yield from (
                Path(at) / name for name in [*folders, *sorted(files)] if Path(at, name) != folder / "log" / LOCK_FILE
            )


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Hashed(io.RawIOBase):
    """Reads a file, and hashes what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.sha256 = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


def _write(folder: Path, manifest: Manifest, out: IO[bytes]) -> None:
    with (
        # No name in the header: no checksum covers it.
        gzip.GzipFile("", mode="wb", compresslevel=1, fileobj=out) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        said = msgspec.json.encode(manifest)
        head = tarfile.TarInfo(MANIFEST)
        head.size = len(said)
        tar.addfile(head, io.BytesIO(said))
        for name, about in manifest.files.items():
            with (folder / name).open("rb") as file:
                member, status = tarfile.TarInfo(name), os.fstat(file.fileno())
                member.size, member.mode, member.mtime = about.size, status.st_mode & 0o777, int(status.st_mtime)
                hashed = _Hashed(file)
                tar.addfile(member, hashed)  # raises OSError where the file became shorter
            if hashed.sha256.hexdigest() != about.sha256 or status.st_size != about.size:
                raise ForeshockError(f"cannot back up {folder / name}: it changed meanwhile; what else writes there?")
