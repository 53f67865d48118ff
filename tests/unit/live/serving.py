"""A live socket on loopback over a real log, and clients that speak the protocol byte by byte."""

import asyncio
import contextlib
import json
import socket
import time

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from api.live.connection import Connection
from api.live.hub import LIVE_TOPICS, Hub
from api.live.socket import LiveSocket
from log.embedded import EmbeddedLog
from schemas.batch import encode_batch, make_batch
from schemas.catalogue import Catalogue
from schemas.series import make_series
from schemas.topics import SAMPLES

EVERYTHING = {"entities": ["*"], "metrics": ["*"], "rollups": ["*"]}


class Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield


class Serving:
    """The hub, its websockets and the log they follow."""

    def __init__(self, folder, subscribers_max=1000, check_s=5.0, partitions=1, stored=None, stored_until=None):
        self.log, self._check_s, self._subscribers_max = EmbeddedLog(str(folder)), check_s, subscribers_max
        self._stored = Catalogue() if stored is None else stored
        self._stored_until = {} if stored_until is None else stored_until
        self._topics, self.value = dict.fromkeys(LIVE_TOPICS, partitions), 0

    async def __aenter__(self):
        self.log.open()
        await self.log.create_topics(self._topics)
        self.hub = Hub(self.log, self._topics, self._stored, time.monotonic)
        await self.hub.open(self._stored_until)
        self.live = LiveSocket(self.hub, self._subscribers_max)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        app = Starlette(routes=[WebSocketRoute("/api/v1/live", self.live.serve)])
        config = uvicorn.Config(app, ws=Connection, lifespan="off", log_level="error", timeout_graceful_shutdown=1)
        self._server = Quiet(config)
        self._tasks = [
            asyncio.create_task(self._server.serve(sockets=[listener])),
            asyncio.create_task(self.hub.run()),
            asyncio.create_task(self.live.run(self._check_s)),
        ]
        while not self._server.started:
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_):
        self._server.should_exit = True
        await self._tasks[0]
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.log.close()

    def write(self, entities=3, size=1):
        """Append a record of samples, one or more of each entity, each value one more than the last; return them."""
        series = [make_series(f"e{number}", "m") for number in range(entities)]
        values = np.arange(self.value, self.value + entities * size, dtype=float)
        self.value += entities * size
        ids = np.repeat(np.array([s.series_id for s in series], np.uint64), size)
        batch = make_batch(series, ids, np.full(len(ids), 1_700_000_000_000), values)
        self.log.append_now(SAMPLES, 0, encode_batch(batch))
        return values.tolist()


class Client:
    """A raw websocket."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port, headers="", receive_buffer=0, host="localhost"):
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=raw, limit=1024)
        writer.write(
            f"GET /api/v1/live HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await reader.readexactly(1)
        client = cls(reader, writer)
        client.status = int(head.split()[1])
        return client

    async def subscribe(self, **first):
        self.send(json.dumps({"subscribe": EVERYTHING, **first}).encode())

    def send(self, payload, opcode=1, fin=True, mask=b"abcd", length=None):
        size = len(payload) if length is None else length
        head = bytes((opcode | (0x80 if fin else 0),))
        flag = 0x80 if mask else 0
        if size < 126:
            head += bytes((flag | size,))
        elif size < 1 << 16:
            head += bytes((flag | 126,)) + size.to_bytes(2, "big")
        else:
            head += bytes((flag | 127,)) + size.to_bytes(8, "big")
        if mask:
            payload = mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        self.writer.write(head + payload)

    async def frame(self, seconds=10):
        """Return the opcode and payload of the next frame."""
        return await asyncio.wait_for(self._frame(), seconds)

    async def _frame(self):
        first, size = await self.reader.readexactly(2)
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        return first, await self.reader.readexactly(size)

    async def message(self, seconds=10):
        first, payload = await self.frame(seconds)
        assert first == 0x81, (first, payload)
        return json.loads(payload)

    async def close_code(self, seconds=10):
        """Return the code the server closes with; 0 where it cuts the connection off."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, payload = await self.frame(seconds)
                if first == 0x88:
                    return int.from_bytes(payload[:2], "big")
        return 0

    def close(self):
        self.writer.transport.abort()


def values_of(message):
    return [value for _, _, value in message.get("points", [])]
