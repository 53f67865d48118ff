"""``foreshock restore``: an archive of ``foreshock backup`` becomes a data folder, whole or not at all.

An archive is hostile until it is read: what its manifest does not name is refused, nothing is written but new files
below a new folder, and only what is complete and has its checksums is moved to its place.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import posixpath
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import IO, Self

import click
import msgspec

from foreshock.backup import CHUNK_BYTES, FORMAT, MANIFEST, PARTS, Manifest
from foreshock.settings import default_data_dir
from schemas.errors import ForeshockError
from store.migrate import statements

MANIFEST_BYTES_MAX = 64 << 20
_EXTENDED_BYTES_MAX = 64 << 10  # of a member's extended header, which tarfile reads whole
_AFTER_BYTES_MAX = 1 << 20  # of padding after the last member


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder: empty, or not there yet.")
def restore(file: Path, data: Path | None) -> None:
    """Make a data folder of an archive that `foreshock backup` wrote."""
    folder = (data or default_data_dir(os.environ)).resolve()
    manifest = restore_to(file, folder)
    click.echo(f"restored {len(manifest.files)} files of release {manifest.release} to {folder}", err=True)


class _Member(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type not in tarfile.REGULAR_TYPES and found.size > _EXTENDED_BYTES_MAX:
            raise tarfile.ReadError(f"an extended header of {found.size} bytes")
        return found


def restore_to(file: Path, folder: Path) -> Manifest:
    """Make the data folder ``folder`` of an archive; return the manifest.

    Raises ForeshockError where the folder is not empty, or the archive is damaged, hostile, of a later release or
    larger than what is free; nothing is left behind then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if there := sorted(path.name for path in folder.iterdir()):
        raise ForeshockError(
            f"cannot restore to {folder}: it is not empty, it holds {there[0]!r}; want an empty folder"
        )
    # Below the folder itself, which may be a mount point: what is complete is only renamed.
    new = Path(tempfile.mkdtemp(prefix=".restoring-", dir=folder))
    try:
        with gzip.open(file, "rb") as packed, tarfile.open(fileobj=packed, mode="r|", tarinfo=_Member) as tar:
            manifest = _manifest(tar, file, folder)
            _extract(tar, manifest, new, file)
            if len(packed.read(_AFTER_BYTES_MAX)) == _AFTER_BYTES_MAX:
                raise _damaged(file, "it goes on after its last member")
        _link(manifest, new, file)
        os.sync()
        for part in reversed(PARTS):  # the log last: without it, nothing starts to read the rest
            os.rename(new / part, folder / part)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError, ValueError) as error:
        raise _damaged(file, str(error)) from error
    finally:
        shutil.rmtree(new)
    return manifest


def _damaged(file: Path, why: str) -> ForeshockError:
    return ForeshockError(f"cannot restore {file}: {why}; want an undamaged archive of `foreshock backup`")


def _manifest(tar: tarfile.TarFile, file: Path, folder: Path) -> Manifest:
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > MANIFEST_BYTES_MAX:
        raise _damaged(file, f"its first member is not {MANIFEST}")
    body = tar.extractfile(first)
    assert body is not None
    try:
        manifest = msgspec.json.decode(body.read(), type=Manifest)
    except msgspec.MsgspecError as error:
        raise _damaged(file, f"its {MANIFEST} cannot be read: {error}") from error
    unknown = set(manifest.migrations) - {name for name, _ in statements()}
    if manifest.format != FORMAT or unknown:
        what = f"schema has {min(unknown)}" if unknown else f"format is {manifest.format}"
        raise ForeshockError(
            f"cannot restore {file}: it is of release {manifest.release}, whose {what}; want it or a later one"
        )
    named = [*manifest.folders, *manifest.files, *manifest.links]
    if len(set(named)) != len(named) or not set(PARTS) <= set(manifest.folders):
        raise _damaged(file, f"its {MANIFEST} names something twice, or not all of {', '.join(PARTS)}")
    folders = set(manifest.folders)
    for name in named:
        _check(name, manifest.links.get(name), folders, file)
    size, free = sum(one.size for one in manifest.files.values()), shutil.disk_usage(folder).free
    if size > free:
        raise ForeshockError(f"cannot restore {file}: it holds {size} bytes, and {free} are free in {folder}")
    return manifest


def _check(name: str, target: str | None, folders: set[str], file: Path) -> None:
    """Raise ForeshockError for a name that is not plainly below the data folder, or a link that leads out of it."""
    parts = name.split("/")
    if parts[0] not in PARTS or any(part in ("", ".", "..") for part in parts) or "\0" in name:
        raise _damaged(file, f"it names {name!r}, which is not in {' or '.join(PARTS)}")
    if len(parts) > 1 and posixpath.dirname(name) not in folders:
        raise _damaged(file, f"it names {name!r}, whose folder it does not name")
    if target is not None:
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(name), target)).split("/")[0] in PARTS
        if not inside or posixpath.isabs(target) or "\0" in target:
            raise _damaged(file, f"its link {name!r} leads to {target!r}, out of the folder")


def _extract(tar: tarfile.TarFile, manifest: Manifest, new: Path, file: Path) -> None:
    for name in sorted(manifest.folders):
        (new / name).mkdir()
    missing = dict(manifest.files)
    while (member := tar.next()) is not None:
        about = missing.pop(member.name, None)
        if about is None or not member.isreg() or member.size != about.size:
            raise _damaged(file, f"its member {member.name!r} is not what {MANIFEST} says")
        body = tar.extractfile(member)
        assert body is not None
        with (new / member.name).open("xb") as out:
            if _copy(body, out) != about.sha256:
                raise _damaged(file, f"its member {member.name!r} has not the checksum that {MANIFEST} says")
            os.fchmod(out.fileno(), member.mode & 0o777 | 0o600)
        os.utime(new / member.name, (member.mtime, member.mtime))
    if missing:
        raise _damaged(file, f"it lacks {min(missing)!r} and {len(missing) - 1} more")


def _copy(body: IO[bytes], out: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while data := body.read(CHUNK_BYTES):
        digest.update(data)
        out.write(data)
    return digest.hexdigest()


def _link(manifest: Manifest, new: Path, file: Path) -> None:
    """Make the links once all files are there, so that nothing is written through one."""
    for name, target in manifest.links.items():
        os.symlink(target, new / name)
    inside = os.path.realpath(new)
    for name, target in manifest.links.items():
        if not os.path.realpath(new / name).startswith(inside + os.sep):
            raise _damaged(file, f"its link {name!r} leads to {target!r}, out of the folder")
