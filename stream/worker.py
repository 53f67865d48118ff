"""A stream worker: the Faust app with its agents, over any log and store."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import faust

from log.base import Log, Record
from log.between import between
from log.fetch import fetch_topic
from log.kafka_options import KafkaOptions
from log.kafka_topics import FETCH_BYTES
from log.open import faust_url
from schemas.errors import ForeshockError, SourceError
from schemas.topics import ALERTS, EVENTS_JSON, EVENTS_REJECTED, ROLLUPS, SAMPLES, VERDICTS
from store.repository import Repository
from stream.agents.alerting import PartitionAlerter
from stream.agents.scoring import PartitionScorer
from stream.agents.user_events import PartitionTranslator, Read
from stream.agents.windowing import PartitionWorker
from stream.jobs.longer import LongerRollups
from stream.kept import Kept, Place
from stream.settings import StreamSettings
from stream.watchdog import Watchdog

logger = logging.getLogger("foreshock.stream")

# Shown from the start, so that an alert rule on them never waits for the first one.
COUNTED = (
    "samples rows late_rows closes unreadable_records records_read_again records_trimmed_unread waits_for_store"
    " store_errors verdicts flags"
    " verdicts_unlike_calendar relearned alerts_firing alerts_resolved"
    " notifications_delivered notifications_refused notifications_given_up notifications_silenced"
    " user_events rejected_user_events longer_windows"
).split()
OPEN_MS = 12_000  # so long a partition's state is asked of a store that is away; then the process starts again
OPEN_RETRY_S = 0.5
GIVE_UP_S = 3.0  # so long what is pending may take to be written when partitions move: all workers wait for it

Worker = PartitionWorker | PartitionScorer | PartitionAlerter | PartitionTranslator


class StreamWorker:
    """``start`` it, watch ``failed``, ``stop`` it: that writes what is pending."""

    def __init__(
        self,
        *,
        broker_url: str,
        kafka: KafkaOptions | None = None,
        log: Log,
        repository: Repository,
        settings: StreamSettings,
        now_ms: Callable[[], int],
        datadir: str,
        agents: frozenset[str] = frozenset({"window", "score"}),
        read_event: Read | None = None,
        group: str = "foreshock",
    ) -> None:
        self._read_event = read_event
        self._log, self._repository, self._settings, self._now_ms = log, repository, settings, now_ms
        self.windows: dict[int, PartitionWorker] = {}
        self.scorers: dict[int, PartitionScorer] = {}
        self.alerters: dict[int, PartitionAlerter] = {}
        self.translators: dict[int, PartitionTranslator] = {}
        self.failed = asyncio.Event()
        self.why = "an agent cannot go on"  # it failed
        self._retired: Counter[str] = Counter()
        self._retired_close_seconds = 0.0
        self._kept: Kept[Worker] = Kept()
        self._gone: WeakSet[Worker] = WeakSet()  # whose partitions went to others without their being saved
        self._moves = 0  # how often partitions were taken from us
        self._saving: set[asyncio.Task] = set()
        self._busy: set[str] = set()  # topics whose agent works on records, or waits for the store
        self.lags: dict[tuple[str, int], int] = {}  # (topic, partition) → records not taken in yet
        self._forgotten = 0  # records of the log
        self._longer = LongerRollups(
            settings.long_windows,
            log=log,
            repository=repository,
            partitions=settings.partitions,
            lateness_ms=settings.lateness_ms,
            now_ms=now_ms,
        )
        self._tasks: list[asyncio.Task] = []
        self._started = False
        self.app: Any = faust.App(
            group,
            broker=faust_url(broker_url),
            broker_credentials=kafka.credentials() if kafka else None,
            datadir=datadir,
            web_enabled=False,
            topic_partitions=settings.partitions,
            stream_wait_empty=False,
            topic_disable_leader=True,
            # Kafka: a worker that was killed is replaced after the session timeout; the broker refuses less than 6 s.
            broker_session_timeout=6,
            broker_heartbeat_interval=1,
            broker_rebalance_timeout=10,
            broker_request_timeout=20,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=FETCH_BYTES,
        )
        self.app.foreshock_positions = self._position  # type: ignore[attr-defined]
        self.app.on_partitions_revoked.connect(self._give_up)  # type: ignore[arg-type]
        self.app.on_partitions_assigned.connect(self._let_go)  # type: ignore[arg-type]
        self._agents = agents
        self._workers_of: dict[str, dict[int, Any]] = {
            SAMPLES: self.windows,
            ROLLUPS: self.scorers,
            VERDICTS: self.alerters,
            EVENTS_JSON: self.translators,
        }
        names = {SAMPLES: "window", ROLLUPS: "score", VERDICTS: "alert", EVENTS_JSON: "events"}
        for topic, name in names.items():
            if name in agents:
                self._agent(topic, name, self._workers_of[topic])

    def _agent(self, topic: str, name: str, workers: dict[int, Any]) -> None:
        @self.app.agent(fetch_topic(self.app, topic, self._settings.partitions), name=name)
        async def agent(stream: Any) -> None:
            async for fetch in stream:
                try:
                    worker = workers.get(fetch.records[0].partition)
                    if worker is not None:  # else: the partition went to another worker, who reads it again
                        self._busy.add(topic)
                        # Shielded: a stop in the middle would leave windows closed that are not handed on yet.
                        await asyncio.shield(self._take_in(worker, fetch.records))
                except Exception as error:
                    if worker in self._gone:  # its partition went to another worker in the middle of it
                        logger.warning("agent %s: %s; the partition is another worker's by now", name, error)
                        continue
                    # Faust would acknowledge the records and go on: stop instead, the checkpoint knows where to resume.
                    logger.exception("agent %s cannot take in a fetch of records", name)
                    self.why = f"agent {name}: {error}"
                    self.failed.set()
                    raise
                finally:
                    self._busy.discard(topic)
                    self.app.consumer.taken_in(fetch)

    async def _take_in(self, worker: Worker, records: list[Record]) -> None:
        """Give a worker what follows on what it took in: what the client left out is read from the log."""
        first = records[0]
        while (at := worker.offset) < first.offset:
            missing = await between(self._log, first.topic, first.partition, at, first.offset)
            if not missing:
                logger.warning(
                    "%s %s: offsets %s to %s were trimmed unread", first.topic, first.partition, at, first.offset
                )
                worker.counters["records_trimmed_unread"] += first.offset - at
                break
            worker.counters["records_read_again"] += len(missing)
            await worker.process(missing)
            if worker.offset == at:
                return  # it was closed meanwhile
        await worker.process(records)

    async def _position(self, topic: str, partition: int) -> int | None:
        """Where an assigned partition is read from: the checkpoint in the store, not the broker's commit."""
        kept = self._kept.take((topic, partition), self.app.consumer_generation_id)
        if kept is not None:
            self._workers_of[topic][partition] = kept
            return kept.offset
        moves, until_ms = self._moves, self._now_ms() + OPEN_MS
        while True:
            worker = self._new_worker(topic, partition)
            if worker is None:
                return None
            try:
                offset = await worker.open()
                break
            except ForeshockError as error:
                worker.abandon()
                if self._now_ms() >= until_ms:
                    raise
                logger.warning("cannot begin with %s %s, trying again: %s", topic, partition, error)
                await asyncio.sleep(OPEN_RETRY_S)
        if moves != self._moves:
            worker.abandon()  # partitions were taken from us meanwhile: what is ours now is asked for anew
            return None
        if (before := self._workers_of[topic].pop(partition, None)) is not None:
            self._drop(before)
        self._workers_of[topic][partition] = worker
        return offset

    def _new_worker(self, topic: str, partition: int) -> Worker | None:
        given = (partition, self._log, self._repository)
        if topic == SAMPLES:
            return PartitionWorker(*given, self._settings, self._now_ms, lambda: len(self.windows))
        if topic == ROLLUPS:
            return PartitionScorer(*given, self._settings, self._now_ms)
        if topic == VERDICTS:
            return PartitionAlerter(*given, self._settings.alerts, self._now_ms)
        if topic == EVENTS_JSON and self._read_event is not None:
            return PartitionTranslator(*given, self._read_event, self._settings.partitions, self._now_ms)
        return None

    def _held(self) -> bool:
        """Whether the broker takes this process for the owner of its partitions still.

        One that was stopped for a while, or cut off, must not act on what it knew: others may have taken over.
        """
        held = getattr(self.app.consumer, "held", None)
        return held is None or held()

    async def _give_up(self, _: Any, revoked: set[Any], **__: Any) -> None:
        """Partitions may go to another worker: write what is pending, so that it has little to do again."""
        self._moves += 1
        gone: list[tuple[Place, Worker]] = [
            ((tp.topic, tp.partition), worker)
            for tp in revoked
            if (worker := self._workers_of.get(tp.topic, {}).pop(tp.partition, None))
        ]
        if not self._held():
            for place, worker in gone:
                logger.warning(
                    "%s went to another worker while this one was away; it is not written to any more", place
                )
                self._drop(worker)
            return
        # Windows first: what a model has not saved is scored again, and the others wait for us.
        gone.sort(key=lambda one: one[0][0] != SAMPLES)
        for place, worker in gone:
            self._kept.put(place, worker, self.app.consumer_generation_id)
        self._saving |= {asyncio.create_task(self._save(place, worker)) for place, worker in gone}
        if self._saving:  # those that take longer go on beside, for partitions that come back
            _, self._saving = await asyncio.wait(self._saving, timeout=GIVE_UP_S)

    async def _let_go(self, _: Any, assigned: set[Any], **__: Any) -> None:
        """Forget what is known of partitions that did not come back."""
        ours = {(tp.topic, tp.partition) for tp in assigned}
        for _place, worker in self._kept.lost(ours, self.app.consumer_generation_id):
            self._drop(worker)

    def _drop(self, worker: Worker) -> None:
        """Keep what a partition's worker counted, as counters never go back, and let go of the rest."""
        self._gone.add(worker)
        self._retired.update(worker.counters)
        self._retired_close_seconds += getattr(worker, "close_seconds", 0.0)
        worker.abandon()

    async def _save(self, place: Place, worker: Worker) -> None:
        try:
            await worker.save()
        except ForeshockError as error:
            logger.warning("%s; %s is read from the log by its next owner", error, place)
        except Exception:
            logger.exception("BUG: cannot write before giving up %s: its next owner reads it from the log", place)

    async def start(self) -> None:
        if "window" in self._agents:
            await self._repository.apply_retention(self._settings.retention_s, self._now_ms())
        # Before Faust, whose start waits for partitions: what does not get any is to be noticed too.
        self._tasks = [asyncio.create_task(work()) for work in (self._tick, self._watch, self._forget_old)]
        if "window" in self._agents:
            self._tasks.append(asyncio.create_task(self._merge_longer()))
        starting, failing = asyncio.create_task(self.app.start()), asyncio.create_task(self.failed.wait())
        try:
            await asyncio.wait({starting, failing}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                raise SourceError(f"cannot start the stream worker: {self.why}; the log keeps everything, start again")
            await starting
            self._started = True
        finally:
            starting.cancel()
            failing.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._settings.flush_interval_s)
            if self.app.crashed:
                self.why = f"the broker's client: {self.app.crash_reason!r}"
                self.failed.set()
            for worker in self._workers():
                if not self._held():
                    break
                if worker not in self._workers():
                    continue  # it was given up meanwhile
                try:
                    await worker.tick()
                except ForeshockError as error:
                    logger.error("%s; again in a second, the log keeps everything", error)
                except Exception:
                    if worker in self._workers():
                        logger.exception("BUG: cannot write; again in a second, the log keeps everything")

    async def _watch(self) -> None:
        """Follow the lag of each partition, and stop where one gets nothing any more without a word."""
        watchdog = Watchdog(self._settings.patience_ms)
        while True:
            await asyncio.sleep(self._settings.watch_interval_s)
            lags: dict[tuple[str, int], int] = {}
            for topic, workers in self._workers_of.items():
                for partition, worker in list(workers.items()):
                    try:
                        _, end = await self._log.offsets(topic, partition)
                    except ForeshockError as error:
                        logger.warning("%s; the lag is not known", error)
                        continue
                    lags[topic, partition] = max(0, end - worker.offset)
                    at = {"offset": worker.offset, "end": end, "busy": topic in self._busy, "now_ms": self._now_ms()}
                    if watchdog.stuck((topic, partition), **at):
                        self.why = f"{topic} {partition} ends at {end}, but nothing came from {worker.offset} on"
                        logger.error("%s: the consumer stopped without a word", self.why)
                        self.failed.set()
            waiting = self.app.rebalancing or not self._started
            reachable = not waiting or await self._reachable()
            at = {"offset": self.app.rebalancing_count, "end": self.app.rebalancing_count + waiting}
            if watchdog.stuck("rebalance", **at, busy=not reachable, now_ms=self._now_ms()):
                self.why = "partitions are being shared out for too long"
                logger.error("%s: the broker's client stopped without a word", self.why)
                self.failed.set()
            self.lags = lags
            watchdog.forget({*lags, "rebalance"})

    async def _reachable(self) -> bool:
        try:
            await self._log.offsets(EVENTS_REJECTED, 0)
        except ForeshockError:
            return False
        return True

    async def _forget_old(self) -> None:
        """Let old records of the log go that no restart reads again. Incidents are never forgotten."""
        while True:
            await asyncio.sleep(self._settings.forget_interval_s)
            try:
                await self.forget_old()
            except (ForeshockError, OSError) as error:
                logger.error("cannot remove old segments of the log: %s; again in a minute", error)

    async def forget_old(self) -> None:
        needed = {(topic, n): one.needed_offset for topic, of in self._workers_of.items() for n, one in of.items()}
        for topic in (ALERTS, EVENTS_REJECTED):  # only followed live
            needed[topic, 0] = (await self._log.offsets(topic, 0))[1]
        before_ms = self._now_ms() - self._settings.log_retention_ms
        self._forgotten += await self._log.drop_old(needed, before_ms=before_ms, bytes_max=self._settings.log_bytes_max)

    async def _merge_longer(self) -> None:
        """The owner of the first partition merges, so that in a cluster one does, whoever dies."""
        while True:
            await asyncio.sleep(self._settings.long_interval_s)
            if 0 in self.windows and self._held():
                try:
                    await self._longer.run()
                except ForeshockError as error:
                    logger.error("%s; longer rollups are merged in %s s", error, self._settings.long_interval_s)
                except Exception:
                    logger.exception("cannot merge longer rollups; again in %s s", self._settings.long_interval_s)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        held = self._held()
        for _place, worker in self._kept.lost(set(), 0):
            self._drop(worker)
        for workers in self._workers_of.values():
            while workers:  # before the group is left: the next owner begins where this one ends
                _, worker = workers.popitem()
                try:
                    await worker.close() if held else worker.abandon()
                except ForeshockError as error:
                    logger.error("%s; the next owner reads it from the log", error)
        await self.app.stop()

    def _workers(self) -> list[Worker]:
        return [worker for workers in self._workers_of.values() for worker in workers.values()]

    def status(self) -> dict[str, int]:
        """Return what was counted, over all partitions this process ever had."""
        total = Counter(dict.fromkeys(COUNTED, 0)) + self._retired
        total = Counter({name: total[name] for name in {*COUNTED, *total}})
        for worker in [*self._workers(), *self._kept.workers()]:
            total.update(worker.counters)
        total["longer_windows"] += self._longer.merged
        total["log_records_forgotten"] = self._forgotten
        return dict(total)

    @property
    def close_seconds(self) -> float:
        """How long windows took that closed, until they were on the log, since the start."""
        every = [*self._workers(), *self._kept.workers()]
        return self._retired_close_seconds + sum(getattr(worker, "close_seconds", 0.0) for worker in every)

    def owned(self) -> dict[str, int]:
        """Return how many partitions of each topic this process has."""
        return {topic: len(workers) for topic, workers in self._workers_of.items()}

    def watermarks(self) -> dict[int, int]:
        """Return each partition's watermark, epoch ms."""
        return {number: window.watermark_ms for number, window in self.windows.items()}
