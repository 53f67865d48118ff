"""``WS /api/v1/live``."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.live.cursor import Positions, decode_cursor, encode_cursor
from api.live.hub import Hub, Subscriber
from api.live.message import filter_key
from log.base import Log
from schemas.errors import DataError
from schemas.topics import SAMPLES

FIRST_MESSAGE_S = 10
CHARACTERS_MAX = 65_536
RECENT_RECORDS_MAX = 300


class LiveSocket:
    def __init__(self, hub: Hub, log: Log) -> None:
        self._hub, self._log = hub, log

    async def serve(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            text = await asyncio.wait_for(socket.receive_text(), FIRST_MESSAGE_S)
            wanted, after = self._first(text)
        except (DataError, TimeoutError, KeyError) as error:
            await socket.close(1008, (str(error) or "want a subscription as the first message")[:120])
            return
        except WebSocketDisconnect:
            return
        subscriber = Subscriber(self._hub.filter(wanted))
        sending = asyncio.create_task(self._send(socket, subscriber, after))
        listening = asyncio.create_task(self._until_gone(socket))
        try:
            await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, listening):
                task.cancel()
            await asyncio.gather(sending, listening, return_exceptions=True)
            self._hub.leave(subscriber)

    def _first(self, text: str) -> tuple[tuple, Positions | None]:
        if len(text) > CHARACTERS_MAX:
            raise DataError("the first message is too long")
        try:
            first = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise DataError(f"cannot read the first message: {error}") from error
        if not isinstance(first, dict):
            raise DataError('want {"subscribe": {…}} as the first message')
        wanted, after, recent = filter_key(first.get("subscribe")), first.get("after"), first.get("recent", 0)
        if after is not None:
            return wanted, decode_cursor(after, self._hub.at)
        if isinstance(recent, bool) or not isinstance(recent, int) or not 0 <= recent <= RECENT_RECORDS_MAX:
            raise DataError(
                f"cannot use recent: want the number of records of samples to begin with, 0 to {RECENT_RECORDS_MAX}"
            )
        if not recent:
            return wanted, None
        return wanted, {key: max(0, at - recent) if key[0] == SAMPLES else at for key, at in self._hub.at.items()}

    async def _send(self, socket: WebSocket, subscriber: Subscriber, after: Positions | None) -> None:
        if after is not None:
            await self._catch_up(socket, subscriber, after)
        self._hub.join(subscriber)
        hello = {"type": "subscribed", "cursor": encode_cursor(self._hub.at)}
        await socket.send_text(msgspec.json.encode(hello).decode())
        while True:
            await subscriber.ready.wait()
            missed, waiting = subscriber.take()
            if missed:
                await socket.send_text(_gap(missed, self._hub.at, "this subscriber read too slowly"))
            for text in waiting:
                await socket.send_text(text)

    async def _catch_up(self, socket: WebSocket, subscriber: Subscriber, at: Positions) -> None:
        """Send what is on the log between a cursor and the hub. Nothing awaits between the last look and the join."""
        for (topic, partition), offset in list(at.items()):
            begin, end = await self._log.offsets(topic, partition)
            if offset < begin or offset > end:  # trimmed, or the cursor of another log
                at[topic, partition] = begin if offset < begin else end
                lost = begin - offset if offset < begin else 0
                await socket.send_text(_gap(lost, at, f"{topic} is kept from {begin} on"))
        while behind := [key for key, offset in at.items() if offset < self._hub.at[key]]:
            for topic, partition in behind:
                end = self._hub.at[topic, partition]
                for record in await self._log.read(topic, partition, at[topic, partition]):
                    if record.offset >= end:
                        break
                    at[topic, partition] = record.offset + 1
                    for message in self._hub.messages(record, at):
                        if subscriber.wanted.wants(message) and (text := message.text(subscriber.wanted)) is not None:
                            await socket.send_text(text)

    async def _until_gone(self, socket: WebSocket) -> None:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass


def _gap(missed: int, at: Positions, why: str) -> str:
    return msgspec.json.encode({"type": "gap", "cursor": encode_cursor(at), "missed": missed, "why": why}).decode()
