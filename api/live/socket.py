"""``WS /api/v1/live``: a subscriber from its first message to its end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
from starlette.websockets import WebSocket

from api.live.channel import Channel, Member
from api.live.connection import EXTENSION, Connection
from api.live.cursor import Positions, decode_cursor, encode_cursor
from api.live.frames import text_frame
from api.live.hub import Hub
from api.live.message import filter_key
from schemas.errors import DataError, ForeshockError
from schemas.topics import SAMPLES

logger = logging.getLogger("foreshock.api")

CHECK_EVERY_S = 5.0
FIRST_MESSAGE_CHECKS = 2
PING_AFTER_CHECKS = 4  # of silence
GONE_AFTER_CHECKS = 8
CHARACTERS_MAX = 65_536
RECENT_RECORDS_MAX = 300
AHEAD_S = 0.02


class LiveSocket:
    """Every open websocket; ``run`` as a task looks after those that fell silent."""

    def __init__(self, hub: Hub, subscribers_max: int) -> None:
        self.hub, self._subscribers_max = hub, subscribers_max
        self._subscribers: set[Subscriber] = set()
        self.refused = self.lost = self.failed = 0

    async def serve(self, socket: WebSocket) -> None:
        await socket.accept()
        connection: Connection = socket.scope["extensions"][EXTENSION]
        if not connection.open:
            return
        if len(self._subscribers) >= self._subscribers_max:
            self.refused += 1
            why = f"{self._subscribers_max} subscribers are connected (limits.subscribers); try again later"
            await socket.close(1013, why)
            return
        subscriber = Subscriber(self, connection)
        self._subscribers.add(subscriber)
        connection.take_over(subscriber)

    def __len__(self) -> int:
        return len(self._subscribers)

    @property
    def counters(self) -> dict[str, int]:
        return {**self.hub.counters, "live_refused": self.refused, "live_lost": self.lost, "live_failed": self.failed}

    def forget(self, subscriber: Subscriber) -> None:
        self._subscribers.discard(subscriber)

    async def run(self, every_s: float = CHECK_EVERY_S) -> None:
        """Ask the silent for a sign, let those go that neither answer nor read what waits for them."""
        while True:
            await asyncio.sleep(every_s)
            for number, subscriber in enumerate(list(self._subscribers)):
                self.lost += subscriber.check()
                if number % 500 == 499:
                    await asyncio.sleep(0)


class Subscriber:
    """One websocket. It subscribes, is sent what the log holds since its cursor, then joins its channel."""

    __slots__ = ("_catching_up", "_channel", "_checks", "_connection", "_key", "_live", "_member", "_writable")

    def __init__(self, live: LiveSocket, connection: Connection) -> None:
        self._live, self._connection = live, connection
        self._checks = 0
        self._key: tuple = ()
        self._channel: Channel | None = None
        self._member: Member | None = None  # once it is sent what is new
        self._catching_up: asyncio.Task | None = None
        self._writable: asyncio.Event | None = None

    # -- what the connection says

    def on_text(self, text: str) -> None:
        if self._channel is not None:
            return  # nothing but a subscription is understood, and it has one
        hub = self._live.hub
        try:
            self._key, after = _first(text, hub.at)
        except DataError as error:
            self._connection.close(1008, str(error))
            return
        self._channel = hub.channel(self._key)
        if after is None:
            self._join()
        else:
            self._catching_up = asyncio.create_task(self._catch_up(after))

    def on_writable(self) -> None:
        if self._writable is not None:
            self._writable.set()
        if self._member is not None and self._channel is not None:
            self._channel.pump(self._member)

    def on_gone(self) -> None:
        self._live.forget(self)
        if self._catching_up is not None:
            self._catching_up.cancel()
        if self._channel is not None:
            self._live.hub.release(self._key, self._member)

    def check(self) -> bool:
        """Called now and then; return whether it was let go because nothing came of it."""
        connection, silent = self._connection, self._connection.check()
        self._checks += self._channel is None
        if self._checks > FIRST_MESSAGE_CHECKS and self._channel is None:
            connection.close(1008, "want a subscription as the first message")
        elif silent >= GONE_AFTER_CHECKS:
            connection.abort()
            return True
        elif silent == PING_AFTER_CHECKS:
            connection.ping()
        return False

    # -- what it is sent

    def _join(self) -> None:
        assert self._channel is not None
        hello = {"type": "subscribed", "cursor": encode_cursor(self._live.hub.at)}
        self._connection.write(text_frame(msgspec.json.encode(hello)))
        self._member = Member(self._connection)
        self._channel.join(self._member)

    async def _catch_up(self, at: Positions) -> None:
        """Send what is on the log between a cursor and the hub. Nothing awaits between the last look and the join."""
        assert self._channel is not None
        hub, connection = self._live.hub, self._connection
        try:
            await self._begin(at)
            while connection.open:
                if any(position < hub.at[key] for key, position in at.items()):
                    piece = await hub.history.piece(self._channel.wanted, at, dict(hub.at))
                    at = dict(piece.to)
                    self._channel.delivered += piece.messages
                    if piece.frames and connection.open:
                        await self._send(piece.frames)
                elif at != hub.at:  # the cursor of a process that is further than this one
                    await asyncio.sleep(AHEAD_S)
                else:
                    self._join()
                    return
        except ForeshockError as error:
            logger.warning("cannot send a subscriber what it missed: %s", error)
            connection.close(1011, "the log cannot be read now; come back with the last cursor")
        except Exception:  # a bug of ours: logged whole, and whoever waits is told instead of hearing nothing for ever
            self._live.failed += 1
            logger.exception("BUG: a subscriber could not be sent what it missed")
            connection.close(1011, "an error of the server's; come back with the last cursor")
        finally:
            self._catching_up = None

    async def _begin(self, at: Positions) -> None:
        """Move the positions to what the log still holds, and tell of what it does not."""
        history = self._live.hub.history
        held = await history.held(list(at))
        if any(offset > held[key][1] for key, (offset, _) in at.items()):
            held = await history.held(list(at), now=True)
        for (topic, partition), (offset, _) in list(at.items()):
            begin, end = held[topic, partition]
            if not begin <= offset <= end:  # trimmed, or the cursor of another log
                after = encode_cursor(at)
                at[topic, partition] = (begin if offset < begin else end, 0)
                gap = {
                    "type": "gap",
                    "cursor": encode_cursor(at),
                    "after": after,
                    "missed": max(0, begin - offset),
                    "records": {f"{topic}.{partition}": [offset, begin]} if offset < begin else {},
                    "why": f"{topic} is kept from {begin} on" if offset < begin else f"{topic} ends at {end}",
                }
                await self._send(text_frame(msgspec.json.encode(gap)))

    async def _send(self, frames: bytes) -> None:
        connection = self._connection
        if not connection.open:
            return
        connection.write(frames)
        if connection.paused:
            self._writable = self._writable or asyncio.Event()
            self._writable.clear()
            await self._writable.wait()


def _first(text: str, hub_at: Positions) -> tuple[tuple, Positions | None]:
    """Return what is wanted, and from where on; raises DataError."""
    if len(text) > CHARACTERS_MAX:
        raise DataError("the first message is too long")
    try:
        first: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(f"cannot read the first message: {error}") from error
    if not isinstance(first, dict):
        raise DataError('want {"subscribe": {…}} as the first message')
    wanted, after, recent = filter_key(first.get("subscribe")), first.get("after"), first.get("recent", 0)
    if after is not None:
        return wanted, decode_cursor(after, hub_at)
    if isinstance(recent, bool) or not isinstance(recent, int) or not 0 <= recent <= RECENT_RECORDS_MAX:
        raise DataError(
            f"cannot use recent: want the number of records of samples to begin with, 0 to {RECENT_RECORDS_MAX}"
        )
    if not recent:
        return wanted, None
    return wanted, {key: (max(0, at[0] - recent), 0) if key[0] == SAMPLES else at for key, at in hub_at.items()}
