"""Thousands of websockets in one process, as cheap as they get: raw sockets, frames told by their headers.

    python -m bench.subscribers HOST PORT COUNT SLOW WINDOW_MESSAGES

Commands come as lines on standard input: ``report`` prints what was received, ``again SECONDS`` makes everybody who is
disconnected come back within so many seconds with the cursor of the last message.
"""

from __future__ import annotations

import json
import os
import random
import resource
import selectors
import socket
import sys
import time

SUBSCRIPTION = {"entities": ["*"], "metrics": ["*"], "rollups": ["1s"], "types": ["rollup"]}
SLOW_BYTES, SLOW_EVERY_S = 2500, 0.25  # what a slow one reads at once, and how often
CONNECTING_MAX = 200
RECEIVE_BYTES = 1 << 18


class Subscriber:
    """One websocket. Messages are counted; those of the slow ones are read whole."""

    __slots__ = ("again_at", "between", "carry", "connected_at", "gaps", "last", "missed", "received", "slow", "socket")
    __slots__ += ("state", "times")

    def __init__(self, slow: bool) -> None:
        self.slow, self.socket, self.state, self.carry = slow, None, "new", b""
        self.received = self.missed = self.gaps = 0
        self.last = b""
        self.times: list[tuple[int, float]] = []  # which second's window was complete when
        self.again_at = self.connected_at = 0.0
        self.between: list[str] = []

    def open(self, host: str, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if self.slow:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self.socket.connect_ex((host, port))
        self.state, self.carry = "connecting", b""

    def handshake(self, host: str, port: int) -> None:
        self.socket.send(
            f"GET /api/v1/live HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.state = "handshake"

    def subscribe(self) -> None:
        first = {"subscribe": SUBSCRIPTION}
        if self.last:
            first["after"] = json.loads(self.last)["cursor"]
        self.socket.send(masked(json.dumps(first).encode()))
        self.state = "subscribed"

    def take(self, data: bytes, now: float, window: int) -> None:
        """Count the frames in what came."""
        if self.state == "handshake":
            head, found, rest = (self.carry + data).partition(b"\r\n\r\n")
            if not found:
                self.carry = head
                return
            assert head.startswith(b"HTTP/1.1 101"), head[:200]
            self.subscribe()
            data, self.carry = rest, b""
        data = self.carry + data if self.carry else data
        at, size, last = 0, len(data), None
        while size - at >= 2:
            length, start = data[at + 1], at + 2
            if length == 126:
                length, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if start + length > size or start > size:
                break
            if data[at] == 0x81:
                kind = data[start + 9]  # of {"type":"…
                if kind == 0x72:  # rollup
                    self.received += 1
                    last = (start, length)
                    if self.received % window == 0:
                        begin = data.index(b'"start":', start) + 8
                        self.times.append((int(data[begin : data.index(b",", begin)]) // 1000, now))
                elif kind == 0x67:  # gap
                    self.gaps += 1
                    gap = json.loads(data[start : start + length])
                    self.missed += gap["missed"]
                    assert gap["missed"] == sum(gap["types"].values()) and gap["entities"], gap
                    last = (start, length)
                else:
                    self.connected_at = now
            at = start + length
        if last is not None:
            self.last = data[last[0] : last[0] + last[1]]
        self.carry = data[at:]


def masked(payload: bytes) -> bytes:
    mask = os.urandom(4)
    head = bytes((0x81, 0x80 | len(payload))) if len(payload) < 126 else b"\x81\xfe" + len(payload).to_bytes(2, "big")
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def main(arguments: list[str]) -> None:
    host, port, count, slow, window = arguments[0], *map(int, arguments[1:])
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    subscribers = [Subscriber(number < slow) for number in range(count)]
    selector = selectors.EpollSelector()
    selector.register(0, selectors.EVENT_READ)
    waiting, connecting, lazy_at, within = list(subscribers), 0, 0.0, 0.0
    commands = b""
    while True:
        now = time.monotonic()
        ready = [one for one in waiting if one.again_at <= now][: CONNECTING_MAX - connecting]
        for one in ready:
            waiting.remove(one)
            one.open(host, port)
            connecting += 1
            selector.register(one.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, one)
        if now >= lazy_at:  # the slow are not waited for, they look now and then
            lazy_at = now + SLOW_EVERY_S
            for one in subscribers:
                if one.slow and one.state == "subscribed":
                    try:
                        one.take(one.socket.recv(SLOW_BYTES), now, window)
                    except BlockingIOError:
                        pass
                    except OSError:
                        _lost(one, waiting, now + random.uniform(0, within))
        for key, _ in selector.select(0.05):
            one = key.data
            if one is None:
                commands += os.read(0, 1000)
                while b"\n" in commands:
                    line, _, commands = commands.partition(b"\n")
                    name, *rest = line.split()
                    if name == b"report":
                        print(json.dumps(_report(subscribers)), flush=True)
                    elif name == b"again":
                        within = float(rest[0])
                    else:
                        return
                continue
            try:
                if one.state == "connecting":
                    if one.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                        raise ConnectionRefusedError
                    one.handshake(host, port)
                    selector.modify(one.socket, selectors.EVENT_READ, one)
                    continue
                data = one.socket.recv(RECEIVE_BYTES)
                if not data:
                    raise ConnectionResetError
                before = one.state
                one.take(data, time.monotonic(), window)
                if before == "handshake" and one.state == "subscribed":
                    connecting -= 1
                    if one.slow:
                        selector.unregister(one.socket)
            except BlockingIOError:
                pass
            except OSError:
                connecting -= one.state in ("connecting", "handshake")
                selector.unregister(one.socket)
                spread = within if one.state == "subscribed" else 1.0
                _lost(one, waiting, now + random.uniform(0, spread))


def _lost(one: Subscriber, waiting: list[Subscriber], again_at: float) -> None:
    one.socket.close()
    one.state, one.again_at, one.connected_at = "new", again_at, 0.0
    waiting.append(one)


def _report(subscribers: list[Subscriber]) -> dict:
    fast, slow = [s for s in subscribers if not s.slow], [s for s in subscribers if s.slow]
    return {
        "connected": sum(s.connected_at > 0 for s in subscribers),
        "connected_at": max((s.connected_at for s in subscribers), default=0),
        "received": sum(s.received for s in subscribers),
        "fast": sorted({s.received for s in fast}),
        "fast_gaps": sum(s.gaps for s in fast),
        "times": [s.times for s in fast],
        "slow_with_gap": sum(s.gaps > 0 for s in slow),
        "slow_accounted": [s.received + s.missed for s in slow],
        "slow_missed": sum(s.missed for s in slow),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
