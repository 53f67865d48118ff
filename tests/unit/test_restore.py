"""Archives that are damaged, cut off or hostile: refused by name, nothing written, nothing left behind."""

import gzip
import hashlib
import io
import random
import shutil
import tarfile

import msgspec
import pytest

from foreshock.backup import FORMAT, MANIFEST, File, Manifest, back_up
from foreshock.restore import restore_to
from log.embedded import EmbeddedLog
from schemas.errors import ForeshockError
from store.chdb import ChdbStore

BODY = b"what the log holds"
GOOD = {"log/a": BODY, "store/b": b""}


def manifest_of(files=GOOD, *, folders=("log", "store"), links=None, **changed):
    named = {name: File(len(body), hashlib.sha256(body).hexdigest()) for name, body in files.items()}
    fields = {"format": FORMAT, "release": "9.9", "migrations": [], "folders": list(folders)}
    return Manifest(**(fields | {"files": named, "links": links or {}} | changed))


def archive(path, manifest=None, members=GOOD, *, extra=(), first=MANIFEST):
    said = msgspec.json.encode(manifest or manifest_of())
    with tarfile.open(path, "w:gz") as tar:
        for name, body in [(first, said), *members.items()]:
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
        for member in extra:
            tar.addfile(member)
    return path


def special(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


HOSTILE = {
    "name above": lambda p: archive(p, manifest_of({"log/../../x": BODY}), {"log/../../x": BODY}),
    "absolute name": lambda p: archive(p, manifest_of({"/tmp/x": BODY}), {"/tmp/x": BODY}),
    "other folder": lambda p: archive(p, manifest_of({"bin/x": BODY}, folders=["log", "store", "bin"])),
    "dot": lambda p: archive(p, manifest_of({"log/./a": BODY}), {"log/./a": BODY}),
    "no folder named": lambda p: archive(p, manifest_of({"log/x/y": BODY}), {"log/x/y": BODY}),
    "a file for a folder": lambda p: archive(p, manifest_of({"log/a": BODY, "log/a/b": BODY})),
    "below a link": lambda p: archive(
        p, manifest_of({"log/l/x": BODY}, links={"log/l": "../store"}), {"log/l/x": BODY}
    ),
    "link and folder": lambda p: archive(
        p, manifest_of({"log/l/x": BODY}, folders=["log", "store", "log/l"], links={"log/l": "../store"})
    ),
    "absolute link": lambda p: archive(p, manifest_of(links={"log/l": "/etc"})),
    "link above": lambda p: archive(p, manifest_of(links={"log/l": "../.."})),
    "links that lead above together": lambda p: archive(
        p,
        manifest_of(
            folders=["log", "store", "store/x", "store/x/y"],
            links={"store/x/y/up": "../..", "log/out": "../store/x/y/up/../../../z"},
        ),
    ),
    "member is a link": lambda p: archive(
        p, members={"store/b": b""}, extra=[special("log/a", tarfile.SYMTYPE, "/etc/passwd")]
    ),
    "member is a device": lambda p: archive(p, members={"store/b": b""}, extra=[special("log/a", tarfile.CHRTYPE)]),
    "not named": lambda p: archive(p, members=GOOD | {"log/c": b"x"}),
    "twice": lambda p: archive(p, extra=[tarfile.TarInfo("store/b")]),
    "lacks one": lambda p: archive(p, members={"store/b": b""}),
    "another size": lambda p: archive(p, members=GOOD | {"log/a": BODY + b"x"}),
    "another content": lambda p: archive(p, members=GOOD | {"log/a": BODY[::-1]}),
    "no manifest": lambda p: archive(p, first="log/a"),
    "later schema": lambda p: archive(p, manifest_of(migrations=["9999_later.0"])),
    "later format": lambda p: archive(p, manifest_of(format=FORMAT + 1)),
    "more than is free": lambda p: archive(p, _huge()),
    "no archive": lambda p: p.write_bytes(b"nonsense"),
    "empty": lambda p: p.write_bytes(b""),
    "a long extended header": lambda p: _long_header(p),
    "endless padding": lambda p: p.write_bytes(archive(p).read_bytes() + gzip.compress(bytes(4 << 20))),
}


def _huge():
    manifest = manifest_of()
    manifest.files["log/a"].size = 1 << 60
    return manifest


def _long_header(path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 40
    path.write_bytes(gzip.compress(header.tobuf()))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path, name):
    folder, path = tmp_path / "in" / "data", tmp_path / "bad.tar.gz"
    HOSTILE[name](path)
    with pytest.raises((ForeshockError, OSError), match="cannot restore|bad.tar.gz"):
        restore_to(path, folder)
    assert sorted(tmp_path.rglob("*")) == sorted([path, folder.parent, folder])


def test_a_good_archive_of_the_same_maker_is_taken(tmp_path):
    links = {"log/l": "../store/b"}
    restore_to(archive(tmp_path / "good.tar.gz", manifest_of(links=links)), tmp_path / "data")
    assert (tmp_path / "data" / "log" / "a").read_bytes() == BODY
    assert (tmp_path / "data" / "log" / "l").resolve() == tmp_path / "data" / "store" / "b"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The archive of a real folder whose process was killed: with a journal beside its index."""
    folder = tmp_path_factory.mktemp("real")
    log, store = EmbeddedLog(str(folder / "data" / "log")), ChdbStore(str(folder / "data" / "store"))
    log.open()
    log.create_topic("samples", 1)
    for number in range(200):
        log.append_now("samples", 0, random.Random(number).randbytes(100))
    log.close()
    store.open()
    store.close()
    assert back_up(folder / "data", folder / "b.tar.gz").migrations
    return folder


def test_a_real_folder_comes_back_file_by_file_and_keeps_its_times(real, tmp_path):
    restore_to(real / "b.tar.gz", tmp_path)
    old, new = real / "data", tmp_path
    wanted = sorted(path.relative_to(old) for path in old.rglob("*") if path != old / "log" / "lock")
    assert sorted(path.relative_to(new) for path in new.rglob("*")) == wanted
    for name in wanted:
        if not (old / name).is_dir():
            assert (new / name).read_bytes() == (old / name).read_bytes()
            assert (new / name).is_symlink() == (old / name).is_symlink()
            assert abs((new / name).stat().st_mtime - (old / name).stat().st_mtime) < 1.01
    log = EmbeddedLog(str(new / "log"))
    log.open()
    assert log.offsets_now("samples", 0) == (0, 200)
    log.close()


def contents(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def test_an_archive_that_is_cut_off_or_changed_anywhere_restores_nothing_else(real, tmp_path):
    whole, rng = (real / "b.tar.gz").read_bytes(), random.Random(5)
    restore_to(real / "b.tar.gz", tmp_path / "good")
    good = contents(tmp_path / "good")
    assert good
    path, data, refused = tmp_path / "damaged.tar.gz", tmp_path / "data", 0
    turns = [(rng.randrange(10, len(whole)), rng.randrange(8), turn % 2) for turn in range(20)]
    turns += [(at, at % 8, 0) for at in (10, 11, 12, *range(len(whole) - 10, len(whole), 3))]
    turns += [(len(whole) - gone, 0, 1) for gone in (1, 4, 8, 9)]
    for at, bit, cut in turns:
        path.write_bytes(whole[:at] if cut else whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        try:
            restore_to(path, data)
        except ForeshockError as error:
            assert str(error).startswith("cannot restore ") and "damaged.tar.gz" in str(error)
            assert list(data.iterdir()) == [], at
            refused += 1
        else:  # a bit that pads a compressed block to a whole byte
            assert contents(data) == good, at
            shutil.rmtree(data)
    assert refused >= 0.9 * len(turns)
