"""Which names this server answers to, so that a page elsewhere cannot read it by a name of its own that leads here.

A browser lets a page at ``http://evil.example:8080`` read what is at that very address. Once the page is loaded its
owner lets the name lead to 127.0.0.1 (DNS rebinding), and the page is as good as ours: its ``Origin`` and its ``Host``
agree. Only the name gives it away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from starlette.datastructures import Headers

from schemas.patterns import fits

_WRITTEN = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::[0-9]{1,5})?")


class Hosts(NamedTuple):
    """names : answered to beside those of loopback, ``*`` allowed. addresses : whether any IP address is, too: a page
    may choose what its name leads to, but no address but its own."""

    names: Sequence[str]
    addresses: bool = False

    def refusal(self, headers: Headers) -> str:
        """Return why a request is not answered; empty where it is. No browser leaves the name out."""
        for given in headers.getlist("host"):
            if not self._answers(_name(given)):
                return f"cannot answer to the name {given[:100]!r}: add it to auth.hosts where it is a name of ours"
        return ""

    def _answers(self, name: str) -> bool:
        if (address := _address(name)) is not None and (self.addresses or address.is_loopback):
            return True
        return name == "localhost" or any(fits(name, known.lower()) for known in self.names)


def _name(given: str) -> str:
    """Return the name of a ``Host`` header without its port, in small letters.

    >>> [_name(given) for given in ("LocalHost:8080", "[::1]:8080", "localhost.", "[::1].evil.example", "a:b")]
    ['localhost', '::1', 'localhost', '[::1].evil.example', 'a:b']
    """
    found = _WRITTEN.fullmatch(given.strip().lower())
    return (found[1] or found[2]).removesuffix(".") if found else given


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None
