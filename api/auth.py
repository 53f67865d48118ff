"""Who may do what: bearer tokens with scopes, kept as hashes; a cookie for the page; a check of the origin."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Sequence
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import problem
from api.hosts import Hosts

audit = logging.getLogger("foreshock.audit")
audit.setLevel(logging.INFO)  # whatever else is shown

COOKIE = "foreshock_session"
SESSION_S = 12 * 3600
# Samples come by the thousand; what comes in there is counted in /metrics.
INGEST = ("/api/v1/samples", "/api/v1/events", "/api/v1/write", "/api/v2/write", "/write", "/collectd", "/v1/metrics")
LOOK_EVERY_S = 1.0
_INFLUX = ("/write", "/api/v2/write")  # 1.x clients may say who they are by ?u=…&p=…
_SAFE = ("GET", "HEAD", "OPTIONS")
_NAME = "foreshock.token"
_OPEN = ("/healthz", "/readyz", "/api/v1/session")
_GUARDED = ("/api/", "/metrics", "/v1/", "/write", "/collectd")


class Token(NamedTuple):
    name: str
    scopes: frozenset[str]
    digest: str  # SHA-256 of the secret, hex


def parse_token(line: str) -> Token:
    """Return a token of the configuration, ``name:read+write:sha256``; raises ValueError."""
    name, scopes, digest = line.split(":") if line.count(":") == 2 else ("", "", "")
    if set(scopes.split("+")) - {"read", "write", "admin"} or len(digest) != 64:
        raise ValueError("want name:read+write:sha256 as `foreshock token` prints it")
    int(digest, 16)
    return Token(name, frozenset(scopes.split("+")), digest)


def token_name(scope: Scope) -> str:
    """Return whose request it is; empty where everything is open."""
    return scope.get(_NAME, "")


def read_tokens(path: Path) -> list[Token]:
    """Return the tokens of a file, one a line, ``#`` begins a comment; raises ValueError and OSError."""
    out = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                out.append(parse_token(line.strip()))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
    return out


class Tokens:
    """Admin includes write and read, write includes neither.

    A secret comes as ``Bearer``, as ``Token`` (Influx 2.x), or as the password of ``Basic``, whoever the user is.

    file : read again when it changes, so that tokens come and go without a restart; while it cannot be read, the
        tokens it held last go on. Where tokens or a file were configured, nobody comes in without one.
    """

    def __init__(self, lines: Sequence[str], now_s: Callable[[], float] = time.time, file: Path | None = None) -> None:
        self._fixed, self._file, self._now_s = [parse_token(line) for line in lines], file, now_s
        self._of_file: list[Token] = read_tokens(file) if file else []
        self._stamp = _stamp(file)
        self._looked_s = now_s()
        self.required = bool(lines) or file is not None

    @property
    def tokens(self) -> list[Token]:
        if self._file is not None and self._now_s() - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = self._now_s()
            if (stamp := _stamp(self._file)) != self._stamp:
                self._stamp = stamp
                try:
                    self._of_file = read_tokens(self._file)
                    audit.info("tokens read again from %s: %s", self._file, [t.name for t in self._of_file])
                except (OSError, ValueError) as error:
                    audit.error("cannot read tokens from %s: %s; those it held last go on", self._file, error)
        return self._fixed + self._of_file

    def of_secret(self, secret: str) -> Token | None:
        digest = hashlib.sha256(secret.encode()).hexdigest()
        found = None
        for token in self.tokens:  # all of them, so that time tells nothing
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    def session(self, token: Token) -> str:
        """Return a cookie's value. It ends by itself, and with its token."""
        text = f"{token.name}:{int(self._now_s()) + SESSION_S}"
        return f"{text}:{self._seal(token, text)}"

    def of_session(self, value: str) -> Token | None:
        text, _, seal = value.rpartition(":")
        name, _, until = text.rpartition(":")
        if not (until.isascii() and until.isdigit()) or int(until) < self._now_s():
            return None
        for token in self.tokens:
            if token.name == name and hmac.compare_digest(seal, self._seal(token, text)):
                return token
        return None

    @staticmethod
    def _seal(token: Token, text: str) -> str:
        return hmac.new(bytes.fromhex(token.digest), text.encode(), hashlib.sha256).hexdigest()

    def of_headers(self, headers: Headers) -> Token | None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme and (secret := _secret(scheme.lower(), given.strip())):
            return self.of_secret(secret)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return None
        return self.of_session(cookie.value) if cookie else None


def _secret(scheme: str, given: str) -> str:
    """Return the secret of an Authorization header; what an Influx 1.x client or ``basic_auth`` calls the password."""
    if scheme == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode()
        except ValueError:  # of the alphabet, or not UTF-8
            return ""
    elif scheme not in ("bearer", "token"):
        return ""
    return given if scheme == "bearer" else given.rpartition(":")[2]


def _stamp(file: Path | None) -> tuple[int, int]:
    try:
        found = file.stat() if file else None
    except OSError:
        found = None
    return (found.st_mtime_ns, found.st_size) if found else (0, 0)


_ADMIN = "/api/v1/models/"  # which model answers is for those who run the place


class Guard:
    """ASGI middleware: name, origin, token and scope, security headers. Without tokens everything is open.

    hosts : the names that are answered to; None for any.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, hosts: Hosts | None = None) -> None:
        self._app, self._tokens, self._hosts = app, tokens, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            if scope["type"] == "http":
                send = _with_headers(send)
                if scope["method"] not in _SAFE and scope["path"] not in INGEST:
                    send = _audited(scope, send)
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            status, why = refusal
            extra = {"WWW-Authenticate": "Bearer"} if status == 401 else None
            await problem(status, why, extra)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1][:120]})

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        if self._hosts is not None and (why := self._hosts.refusal(headers)):
            return 403, why
        origin, changes = headers.get("origin"), scope.get("method", "GET") not in _SAFE
        if origin and (changes or scope["type"] == "websocket") and _site(origin) != headers.get("host"):
            return 403, f"cannot take a request from another site ({origin[:60]!r}): open the page at this address"
        path = scope["path"]
        if not self._tokens.required or path in _OPEN or not path.startswith(_GUARDED):
            return None
        token = self._tokens.of_headers(headers)
        if token is None and path in _INFLUX:
            password = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("p", [""])[0]
            token = self._tokens.of_secret(password) if password else None
        if token is None:
            return 401, "cannot let you in: want a token (Authorization: Bearer …), or sign in on the page"
        scope[_NAME] = token.name
        need = "read" if not changes else "admin" if path.startswith(_ADMIN) else "write"
        if need in token.scopes or "admin" in token.scopes:
            return None
        audit.warning("refused %s %r to %r: it lacks the scope %s", scope.get("method"), path, token.name, need)
        return 403, f"cannot do this with token {token.name!r}: it lacks the scope {need}"


def _site(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # no address at all
        return ""


_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"content-security-policy",
        # dygraphs places its labels by style properties, not by style attributes in markup, so 'self' is enough.
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
]


def _audited(scope: Scope, send: Send) -> Send:
    """Who changed what, from where, and what came of it: one line a change, nothing of its content."""

    async def wrapped(message: Any) -> None:
        if message["type"] == "http.response.start":
            who, client = token_name(scope) or "anybody", (scope.get("client") or ("?",))[0]
            audit.info("%s %r by %r from %s: %s", scope["method"], scope["path"], who, client, message["status"])
        await send(message)

    return wrapped


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HEADERS]
        await send(message)

    return wrapped
