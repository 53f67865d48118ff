"""Whether who may come in is configured so that it can be used: tokens, their file, the certificate."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from pathlib import Path

from api.auth import parse_token, read_tokens
from foreshock.settings import Auth
from schemas.errors import SettingsError


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_access(auth: Auth) -> None:
    """Raise SettingsError for tokens, a file of them, or a certificate, that cannot be used."""
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
