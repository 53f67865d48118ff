"""Whether who may come in is configured so that it can be used: tokens, their file, the certificate."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from pathlib import Path

from api.auth import parse_token, read_tokens
from api.hosts import Hosts
from foreshock.settings import Auth
from schemas.errors import SettingsError


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def answered_names(auth: Auth, host: str) -> Hosts | None:
    """Return the names to answer to on an address; None: any, because a token or a proxy is what lets in.

    Tokens alone hold off a page that gave its own name for ours: it has neither our cookie nor a token. Where nothing
    else is asked the name is.
    """
    if not auth.hosts and (auth.tokens or auth.tokens_file or auth.behind_proxy):
        return None
    return Hosts(tuple(auth.hosts), addresses=not is_loopback(host))


def check_access(auth: Auth) -> None:
    """Raise SettingsError for tokens, a file of them, names, or a certificate, that cannot be used."""
    for name in auth.hosts:
        if not isinstance(name, str) or not name or set(name) & set("/:@ "):
            raise SettingsError(f"cannot use auth.hosts={name!r}: want a name without scheme or port, * allowed")
    try:
        for line in auth.tokens:
            parse_token(line)
    except ValueError as error:
        raise SettingsError(f"cannot use auth.tokens: {error}") from error
    try:
        if auth.tokens_file:
            read_tokens(Path(auth.tokens_file))
    except ValueError as error:
        raise SettingsError(f"cannot use auth.tokens_file={auth.tokens_file!r}: {error}") from error
    except OSError as error:
        raise SettingsError(f"cannot use auth.tokens_file={auth.tokens_file!r}: {error.strerror}") from error
    if bool(auth.tls_cert) != bool(auth.tls_key):
        raise SettingsError("cannot use auth.tls_cert without auth.tls_key, nor the other way round: set both")
    if auth.tls_cert:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(auth.tls_cert, auth.tls_key)
        except OSError as error:  # ssl.SSLError is one
            raise SettingsError(f"cannot use auth.tls_cert={auth.tls_cert!r} and its key: {error}") from error
