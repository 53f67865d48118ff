"""A real HTTP server that takes notifications, and misbehaves as told."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW_S = 0.5


class Receiver:
    """``answers`` is asked for each request in turn: a status, (status, headers), "close" for none at all, "short" for
    one that breaks off, or "slow" for one that comes after ``SLOW_S``.

    ``default`` is the answer once they are used up. ``down`` : nothing listens on the port any more, until ``up``.
    """

    def __init__(self, answers=()):
        self.requests, self._answers, self._lock = [], list(answers), threading.Lock()
        self.default = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(length := int(self.headers.get("Content-Length", 0)))
                if len(body) < length:
                    return  # the sender is gone
                with receiver._lock:
                    answer = receiver._answers.pop(0) if receiver._answers else receiver.default
                    receiver.requests.append((self.path, dict(self.headers), body, answer))
                if answer == "close":
                    self.connection.close()
                    return
                if answer == "slow":
                    time.sleep(SLOW_S)
                    answer = 200
                if answer == "short":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                    self.close_connection = True
                    return
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._handler, self._port = Handler, 0
        self.up()
        self.url = f"http://127.0.0.1:{self._port}"

    def up(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._server.handle_error = lambda *_: None
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def taken(self, path=""):
        """Return the bodies that were answered well, as JSON."""
        return [json.loads(body) for at, _, body, answer in self.requests if answer == 200 and at.startswith(path)]

    def down(self):
        self.close()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
