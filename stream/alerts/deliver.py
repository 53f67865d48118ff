"""Sends what the outbox holds: in order a group and target, again and again until it is taken or given up."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from hashlib import blake2b

import httpx
import msgspec

from schemas.alert import Alert, Notification
from schemas.errors import ForeshockError
from stream.alerts.hold import held_by
from stream.alerts.lane import parts, plan
from stream.alerts.settings import Target
from stream.alerts.targets import requests_of

TIMEOUT_S = 10.0
BACKOFF_MS = 1_000
BACKOFF_MS_MAX = 300_000
RETRY_AFTER_MS_MAX = 3_600_000
CONCURRENT = 8  # requests to one target
ANSWER_BYTES_MAX = 64 * 1024


class Deliverer:
    """``add`` what is waiting, call ``pump`` now and then, ``changed`` tells what has to be written down.

    Before each ``pump`` call ``apart``, and write what it returns. That something is sent is written down before, by
    ``write_down``: after a crash nobody may think that a target has not heard of it.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        give_up_ms: int,
        now_ms: Callable[[], int],
        write_down: Callable[[list[Notification]], Awaitable[None]],
        rng: random.Random | None = None,
        known: Callable[[Alert], Alert | None] = lambda alert: alert,
    ) -> None:
        """known : an alert as it is now, which may be held back since it was to be told."""
        self._targets = {target.name: target for target in targets}
        self._give_up_ms, self._now_ms, self._write_down = give_up_ms, now_ms, write_down
        self._rng, self._known = rng or random.Random(), known
        self._queues: dict[tuple[str, str], deque[Notification]] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task] = {}
        self._room = {name: asyncio.Semaphore(CONCURRENT) for name in self._targets}
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False)
        self._changed: dict[str, Notification] = {}

    def add(self, notification: Notification) -> None:
        """Queue a notification behind the earlier ones of its group and target."""
        self._queues.setdefault(_lane(notification), deque()).append(notification)

    def waiting(self, target: str, group: dict[str, str]) -> bool:
        return bool(self._queues.get((target, _key(group))))

    def changed(self) -> list[Notification]:
        """Return what changed since the last call."""
        out, self._changed = list(self._changed.values()), {}
        return out

    def apart(self) -> list[Notification]:
        """Take apart what is held back in part; return what has to be durable before the next ``pump``.

        Nobody was sent any of it. After a crash it is the whole again, or its parts, and never both.
        """
        out: list[Notification] = []
        for lane, queue in self._queues.items():
            if lane in self._tasks and not self._tasks[lane].done():
                continue
            for at, alerts in reversed(parts(tuple(queue), self._known).items()):
                whole = queue[at]
                made = [self._part(whole, some) for some in alerts]
                del queue[at]
                for one in reversed(made):
                    queue.insert(at, one)
                gone = {"alerts": [], "state": "silenced", "error": "told in parts: some of it is held back"}
                out += [msgspec.structs.replace(whole, **gone, updated_ms=self._later(whole)), *made]
        return out

    def _part(self, whole: Notification, alerts: list[Alert]) -> Notification:
        key = msgspec.json.encode([whole.id, [(alert.fingerprint, alert.sequence) for alert in alerts]])
        name = blake2b(key, digest_size=16).hexdigest()
        return msgspec.structs.replace(whole, id=name, alerts=alerts, updated_ms=self._later(whole))

    def pump(self) -> None:
        """Start an attempt of each lane's first, where it is due."""
        for lane, queue in list(self._queues.items()):
            if lane in self._tasks and not self._tasks[lane].done():
                continue
            if not queue:
                self._queues.pop(lane), self._tasks.pop(lane, None)
            elif (at := self._next(queue)) is not None:
                self._tasks[lane] = asyncio.create_task(self._work(queue, at))

    def _next(self, queue: deque[Notification]) -> int | None:
        """Return which goes now, after what is held back was marked, and what is of no use any more left out."""
        hold, drop, send = plan(tuple(queue), self._known, self._now_ms())
        for at in (*hold, *drop):
            alerts = [now for alert in queue[at].alerts if (now := self._known(alert)) is not None]
            why = "; ".join(dict.fromkeys(held_by(alert) for alert in alerts if alert.held))
            changes = {
                "held": True,
                "state": "silenced" if at in drop else "waiting",
                "updated_ms": self._later(queue[at]),
            }
            error = f"held back: {why}" if why else queue[at].error
            queue[at] = self._changed[queue[at].id] = msgspec.structs.replace(queue[at], error=error, **changes)
        for at in reversed(drop):
            del queue[at]
        return None if send is None else send - sum(at < send for at in drop)

    async def _work(self, queue: deque[Notification], at: int | None) -> None:
        while at is not None:
            done = await self._attempt(queue[at])
            self._changed[done.id] = done
            if done.state == "waiting":
                queue[at] = done
            else:
                del queue[at]
            at = self._next(queue)

    async def _attempt(self, one: Notification) -> Notification:
        target = self._targets.get(one.target)
        if target is None:
            why = "this target is not in the configuration any more"
            return msgspec.structs.replace(one, state="given_up", error=why, updated_ms=self._later(one))
        before = one
        one = msgspec.structs.replace(one, attempts=one.attempts + 1, held=False, updated_ms=self._later(one))
        error, retry_ms, never = "", 0, False
        async with self._room[one.target]:
            if not before.attempts:
                try:
                    await self._write_down([one])
                except ForeshockError as why:
                    return self._put_off(before, str(why))
            for request in requests_of(target, one):
                error, retry_ms, never = await self._send(request.url, request.headers, request.body)
                if error:
                    break
        now = self._now_ms()
        if not error:
            return msgspec.structs.replace(one, state="delivered", error="", updated_ms=self._later(one))
        wait_ms = max(retry_ms, self._backoff_ms(one.attempts))
        state = "refused" if never else "given_up" if now + wait_ms - one.created_ms > self._give_up_ms else "waiting"
        changes = {"state": state, "error": error, "next_ms": now + wait_ms, "updated_ms": self._later(one)}
        return msgspec.structs.replace(one, **changes)

    def _put_off(self, one: Notification, error: str) -> Notification:
        """Return what was not even tried."""
        at_ms = self._now_ms() + self._backoff_ms(1)
        return msgspec.structs.replace(one, error=error, next_ms=at_ms, updated_ms=self._later(one))

    def _later(self, one: Notification) -> int:
        """Return a time of change that replaces the row before, whose writer's clock may be ahead of ours."""
        return max(self._now_ms(), one.updated_ms + 1)

    def _backoff_ms(self, attempts: int) -> int:
        most = min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** min(attempts - 1, 20))
        return int(most * self._rng.uniform(0.5, 1.0))

    async def _send(self, url: str, headers: dict[str, str], body: bytes) -> tuple[str, int, bool]:
        """Return (error, how long to wait at least in ms, whether it is of no use to try again)."""
        try:
            async with (
                asyncio.timeout(TIMEOUT_S * 2),
                self._client.stream("POST", url, headers=headers, content=body) as answer,
            ):
                text = b""
                async for chunk in answer.aiter_bytes():
                    text += chunk
                    if len(text) > ANSWER_BYTES_MAX:
                        break
                status = answer.status_code
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            return f"{type(error).__name__}: {error}"[:300], 0, False
        if 200 <= status < 300:
            return "", 0, False
        said = f"answered {status}: {text[:200].decode('utf-8', 'replace')}"
        retry_ms = retry_after_ms(answer.headers.get("retry-after", ""), self._now_ms())
        return said, retry_ms, 400 <= status < 500 and status not in (408, 425, 429)

    def abandon(self) -> None:
        """Stop at once, whatever is under way."""
        for task in self._tasks.values():
            task.cancel()
        self._queues.clear()

    async def close(self) -> None:
        """Stop; what was under way is sent again by whoever goes on."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._client.aclose()


def retry_after_ms(text: str, now_ms: int) -> int:
    """Return the wait that a ``Retry-After`` asks for (seconds or a date, RFC 9110), 0 for none, bounded."""
    if text.isascii() and text.strip().isdigit():
        return min(int(text[:9]) * 1000, RETRY_AFTER_MS_MAX)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0, min(int(at.timestamp() * 1000) - now_ms, RETRY_AFTER_MS_MAX))


def _key(group: dict[str, str]) -> str:
    return msgspec.json.encode(sorted(group.items())).decode()


def _lane(notification: Notification) -> tuple[str, str]:
    return notification.target, _key(notification.group)
