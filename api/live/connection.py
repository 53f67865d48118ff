"""Websockets for uvicorn (its setting ``ws``) that let the application write frames it made itself.

ASGI passes messages one at a time, each through a coroutine and an encoder of its own. Whoever sends the same to
thousands takes the connection over (extension ``EXTENSION`` of the scope, after ``websocket.accept``), returns, and
from then on writes ready-made frames and is called back. The handshake and what comes in are read by ``websockets``.
No compression is offered: a compressed frame would be another one for each subscriber.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any, Protocol, cast
from urllib.parse import unquote

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from api.live.frames import PING, close_frame

logger = logging.getLogger("foreshock.api")
_quiet = logging.getLogger("foreshock.api.websocket")
_quiet.setLevel(logging.ERROR)  # it would tell of every handshake and close

EXTENSION = "foreshock.frames"
INCOMING_BYTES_MAX = 1 << 17  # a message, however fragmented
# A subscriber is slow when so much is waiting in this process. The kernel is asked to hold little more than it has
# under way, or a slow reader would be shown minutes of the past before it learns of a gap.
WAITING_HIGH, WAITING_LOW = 16 << 10, 4 << 10
UNSENT_BYTES_MAX = 16 << 10
HOARD_BYTES_MAX = 1 << 20  # waiting: more can only come of a peer that makes us answer and does not read
CLOSE_WAIT_S = 5.0
STOP_WAIT_S = 0.5  # the server does not wait longer for what a slow one still has to read


class Receiver(Protocol):
    """Who took a connection over."""

    def on_text(self, text: str) -> None: ...

    def on_writable(self) -> None:
        """What waited is on its way: ``paused`` is False again."""

    def on_gone(self) -> None:
        """The connection is over. Called once, nothing after it."""


class Connection(asyncio.Protocol):
    """One websocket."""

    __slots__ = (
        "__weakref__",
        "_app",
        "_fragments",
        "_fragments_are_text",
        "_loop",
        "_offered",
        "_protocol",
        "_receiver",
        "_server_state",
        "_state",
        "_transport",
        "_waited",
        "heard",
        "open",
        "paused",
        "silent",
        "write",
    )

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any]) -> None:
        self._app, self._server_state, self._state = config.loaded_app, server_state, app_state
        self._loop = asyncio.get_running_loop()
        self._protocol = ServerProtocol(max_size=INCOMING_BYTES_MAX, logger=_quiet)
        self._receiver: Receiver | None = None
        self._fragments = bytearray()
        self._fragments_are_text = False
        self._offered: Any = None  # the response of the handshake, until it is sent
        self._waited = 0
        self.open = False  # accepted and not closing
        self.paused = False  # so much waits that more should not be written
        self.heard = True  # something came, or what waited went on, since ``check`` was called last
        self.silent = 0  # how many calls of ``check`` in a row found nothing of the kind
        self.write: Callable[[bytes], None]  # whole frames; only while ``open``

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server_state.connections.add(self)
        self._transport.set_write_buffer_limits(WAITING_HIGH, WAITING_LOW)
        self.write = self._transport.write
        raw = transport.get_extra_info("socket")
        if raw is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with contextlib.suppress(OSError):  # not TCP
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)

    def connection_lost(self, error: Exception | None) -> None:
        self._server_state.connections.discard(self)
        self.open = False
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.on_gone()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused, self.heard = False, True
        if self._receiver is not None and self.open:
            self._receiver.on_writable()

    def eof_received(self) -> bool:
        return False  # closes the transport

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._handshake(event)
            elif isinstance(event, Frame):
                self._frame(event)
        answers = [part for part in self._protocol.data_to_send() if part]
        if answers:
            self.write(b"".join(answers))
        if self._protocol.parser_exc is not None and not self.open:
            self._transport.close()
        elif self._protocol.state in (State.CLOSING, State.CLOSED) or self._protocol.parser_exc is not None:
            self._end()
        elif self.paused and self._transport.get_write_buffer_size() > HOARD_BYTES_MAX:
            self.abort()

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops: clients may come back."""
        self.close(1012, "the server stops; come back with the last cursor")
        self._loop.call_later(STOP_WAIT_S, self.abort)

    # -- the handshake and the application

    def _handshake(self, request: Request) -> None:
        response = self._protocol.accept(request)
        if response.status_code != 101:
            self._protocol.send_response(response)
            self._loop.call_soon(self._transport.close)
            return
        self._offered = response
        path, _, query = request.path.partition("?")
        tls = self._transport.get_extra_info("sslcontext") is not None
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if tls else "ws",
            "server": self._transport.get_extra_info("sockname"),
            "client": self._transport.get_extra_info("peername"),
            "root_path": "",
            "path": unquote(path),
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in request.headers.raw_items()],
            "subprotocols": [],
            "state": self._state.copy(),
            "extensions": {EXTENSION: self},
        }
        task = self._loop.create_task(self._run(scope))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, self._connect, self._answer)
        except Exception:
            logger.exception("cannot serve the websocket %r", scope["path"])
            self._refuse(500)
            self.close(1011, "an error of ours")
        if self._receiver is None:
            self._refuse(500)
            self.close(1000, "")

    async def _connect(self) -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def _answer(self, message: Any) -> None:
        if message["type"] == "websocket.accept" and self._offered is not None:
            response, self._offered = self._offered, None
            for name, value in (*self._server_state.default_headers, *message.get("headers", ())):
                if name != b"date":  # the handshake brings its own
                    response.headers[name.decode("latin-1")] = value.decode("latin-1")
            if self._transport.is_closing():
                return
            self._protocol.send_response(response)
            self.write(b"".join(self._protocol.data_to_send()))
            self.open = True
        elif message["type"] == "websocket.close":
            self._refuse(403)
            self.close(message.get("code", 1000), message.get("reason") or "")
        else:
            raise RuntimeError(f"BUG: {message['type']!r} on a websocket whose frames its application writes")

    def _refuse(self, status: int) -> None:
        """Answer the handshake with an error, where it was not answered yet."""
        if self._offered is not None:
            self._offered = None
            self._protocol.send_response(self._protocol.reject(status, ""))
            self.write(b"".join(self._protocol.data_to_send()))
            self._transport.close()

    # -- whoever took it over

    def take_over(self, receiver: Receiver) -> None:
        """From now on ``receiver`` hears of everything; the application may return."""
        assert self.open, "BUG: not accepted"
        self._receiver = receiver

    def close(self, code: int, reason: str) -> None:
        """Say why, and close; a peer that does not answer is cut off."""
        if self.open and self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason and close_frame(code, reason)[4:].decode())
            self.write(b"".join(self._protocol.data_to_send()))
        self._end()

    def _end(self) -> None:
        if self.open:
            self.open = False
            self._transport.close()  # once what waits is sent
            self._loop.call_later(CLOSE_WAIT_S, self.abort)

    def abort(self) -> None:
        """Cut it off, whatever waits; nothing where it is over."""
        self.open = False
        if self in self._server_state.connections:  # the transport of one that is over cannot be asked
            self._transport.abort()

    def check(self) -> int:
        """Return for how many calls in a row the peer has neither sent anything nor read what waits for it."""
        waiting = self._transport.get_write_buffer_size()
        if self.heard or waiting < self._waited:
            self.silent = 0
        else:
            self.silent += 1
        self.heard, self._waited = False, waiting
        return self.silent

    def ping(self) -> None:
        if self.open and not self.paused:
            self.write(PING)

    # -- what comes in

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._fragments, self._fragments_are_text = bytearray(frame.data), frame.opcode is Opcode.TEXT
        elif frame.opcode is Opcode.CONT:
            self._fragments += frame.data
        else:  # ``websockets`` has answered pings and closes
            return
        if not frame.fin:
            return
        data, self._fragments = self._fragments, bytearray()
        if not self._fragments_are_text:
            self.close(1003, "want text messages")
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.close(1007, "a text message has to be UTF-8")
            return
        if self._receiver is not None and self.open:
            self._receiver.on_text(text)
