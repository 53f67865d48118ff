"""How long a token's check takes tells nothing of how much of it was right, nor of which token it is."""

import hashlib
import hmac

import pytest
from starlette.datastructures import Headers

from api import auth
from api.auth import COOKIE, Tokens


class Sealed(str):
    """A digest that only :func:`hmac.compare_digest` may compare: all else stops at the first difference."""

    def _compared(self, *_):
        raise AssertionError("a digest was compared in a time that tells how much of it was right")

    __eq__ = __ne__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = startswith = find = _compared
    __hash__ = str.__hash__


@pytest.fixture
def checked(monkeypatch):
    """Three tokens whose digests are sealed, and the comparisons that are made."""
    secrets = ["first", "second", "third"]
    tokens = Tokens([f"{s}:read:{hashlib.sha256(s.encode()).hexdigest()}" for s in secrets], now_s=lambda: 0.0)
    monkeypatch.setattr(tokens, "_fixed", [t._replace(digest=Sealed(t.digest)) for t in tokens._fixed])
    made = []
    compare = hmac.compare_digest
    monkeypatch.setattr(auth.hmac, "compare_digest", lambda a, b: made.append(a) or compare(a, b))
    return tokens, made


@pytest.mark.parametrize("secret", ["first", "second", "third", "none", "", "firs", "ä" * 1000])
def test_a_secret_is_compared_with_every_token_wherever_it_is_found(checked, secret):
    tokens, made = checked
    found = tokens.of_headers(Headers({"authorization": f"Bearer {secret}"})) if secret else tokens.of_secret(secret)
    assert (found.name if found else None) == (secret if secret in ("first", "second", "third") else None)
    assert len(made) == 3


def test_a_session_s_seal_is_compared_in_constant_time(checked):
    tokens, made = checked
    cookie = tokens.session(tokens.tokens[1])
    assert tokens.of_headers(Headers({"cookie": f"{COOKIE}={cookie}"})).name == "second" and len(made) == 1
    wrong = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
    assert tokens.of_session(wrong) is None and len(made) == 2
