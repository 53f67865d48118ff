"""From an embedded folder to a cluster: what its log holds goes into the cluster's, through the same path.

Every record of the old log's samples is put on the new one, split by the new partitions, with a digest of its own: a
move that is cut off and begun again counts nothing twice. Incidents and feedback follow. Rollups, verdicts and models
are made of that as they were the first time.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
import numpy as np
from tqdm import tqdm

from foreshock.settings import Settings, load
from log.base import Log
from log.embedded import EmbeddedLog
from log.open import open_log
from schemas.batch import columns, decode_batch, encode_batch, make_batch
from schemas.errors import SettingsError
from schemas.incident import Incident
from schemas.series import Series, partition_of
from schemas.topics import ALL, INCIDENTS, PARTITIONED, SAMPLES
from store.base import open_store
from store.incidents import IncidentTable
from store.repository import Repository


class Moved(NamedTuple):
    samples: int
    incidents: int
    unreadable: int  # records of the old log that are not ours


async def move_to(folder: Path, settings: Settings, progress: Callable[[int], None]) -> Moved:
    """Move a folder to the broker and the store of the settings; raises ForeshockError."""
    if not settings.broker.url.startswith("kafka://") or not settings.store.url:
        raise SettingsError(
            f"cannot move {folder} to broker.url={settings.broker.url!r}, store.url={settings.store.url!r}: want both "
            "(FORESHOCK_BROKER_URL, FORESHOCK_STORE_URL) of the cluster it goes to"
        )
    log, repository = (
        open_log(settings.broker.url, settings.broker.kafka),
        Repository(open_store(settings.store.url, settings.store.server)),
    )
    partitions = settings.broker.partitions
    await log.start()
    try:
        await log.create_topics({topic: partitions if topic in PARTITIONED else 1 for topic in ALL})
        await repository.open()
        return await move(folder, log, repository, partitions, progress)
    finally:
        await repository.close()
        await log.stop()


async def move(
    folder: Path, log: Log, repository: Repository, partitions: int, progress: Callable[[int], None]
) -> Moved:
    """Put everything that a stopped embedded folder knows on ``log``; return how much it was.

    partitions : of the topic ``samples`` on ``log``. progress : told of each record's samples.
    Raises DataFolderInUse while the folder's own process runs, SettingsError where it is none.
    """
    if not (folder / "log" / "meta.sqlite").exists():
        raise SettingsError(f"cannot move {folder}: it holds no log; want the data folder of `foreshock up`")
    old = EmbeddedLog(str(folder / "log"))
    old.open()
    try:
        samples, unreadable = await _samples(old, log, partitions, progress)
        incidents = await _incidents(old, log, repository)
    finally:
        old.close()
    return Moved(samples, incidents, unreadable)


async def _samples(old: EmbeddedLog, log: Log, partitions: int, progress: Callable[[int], None]) -> tuple[int, int]:
    known: dict[int, Series] = {}
    moved = unreadable = 0
    for number in range(old.topics().get(SAMPLES, 0)):
        begin, end = old.offsets_now(SAMPLES, number)
        while begin < end and (records := old.read_now(SAMPLES, number, begin)):
            for record in records:
                begin = record.offset + 1
                try:
                    batch = decode_batch(record.value)
                    got = columns(batch)
                except (msgspec.MsgspecError, ValueError):
                    unreadable += 1
                    continue
                known.update((series.series_id, series) for series in batch.series)
                owner = np.array([partition_of(known[i].entity, partitions) for i in got.ids.tolist()], np.int64)
                for part in np.unique(owner).tolist():
                    mine = np.flatnonzero(owner == part)
                    ids = got.ids[mine]
                    named = [known[i] for i in np.unique(ids).tolist()]
                    made = make_batch(
                        named,
                        ids,
                        got.times[mine],
                        got.values[mine],
                        requests=_requests(batch.requests, mine, (number, record.offset)),
                        sent_ms=batch.sent_ms,
                    )
                    await log.append(SAMPLES, part, encode_batch(made))
                moved += len(got.ids)
                progress(len(got.ids))
    return moved, unreadable


def _requests(requests: list[tuple[int, int]], mine: np.ndarray, at: tuple[int, int]) -> list[tuple[int, int]]:
    """Return (digest, samples) of the requests of a record, of those of its samples that go to one partition.

    A request without a digest gets one of where it was, ``at``: (partition, offset) on the old log.
    """
    out: list[tuple[int, int]] = []
    begin = 0
    for number, (digest, count) in enumerate(requests):
        here = int(np.count_nonzero((mine >= begin) & (mine < begin + count)))
        begin += count
        if here:
            named = msgspec.msgpack.encode((*at, number))
            own = int.from_bytes(blake2b(named, digest_size=8, person=b"move").digest(), "little") >> 1
            out.append((digest or own, here))
    return out


async def _incidents(old: EmbeddedLog, log: Log, repository: Repository) -> int:
    if INCIDENTS not in old.topics():
        return 0
    table, count = IncidentTable(repository.thread), 0
    begin, end = old.offsets_now(INCIDENTS, 0)
    while begin < end and (records := old.read_now(INCIDENTS, 0, begin)):
        for record in records:
            begin = record.offset + 1
            try:
                said = msgspec.json.decode(record.value, type=Incident)
            except msgspec.MsgspecError:
                said = None  # feedback, which is kept on the log alone
            if said is not None:
                await table.put([said])
                count += 1
            await log.append(INCIDENTS, 0, record.value, record.key)
    return count


def run_move(folder: Path, config: Path | None) -> None:
    """What ``foreshock replay --from-data`` does; ends with status 1 where records could not be read."""
    with tqdm(desc=str(folder), unit=" samples", file=sys.stderr) as bar:
        moved = asyncio.run(move_to(folder, load(config), bar.update))
    said = f"moved {moved.samples} samples and {moved.incidents} incidents"
    click.echo(f"{said}; {moved.unreadable} records could not be read", err=True)
    if moved.unreadable:
        raise SystemExit(1)
