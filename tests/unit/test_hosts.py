"""Which names are answered to: those of loopback and those that are configured, not what only looks like one."""

import pytest
from starlette.datastructures import Headers

from api.hosts import Hosts
from foreshock.access import answered_names, check_access
from foreshock.settings import Auth
from schemas.errors import SettingsError

OURS = ("localhost", "LOCALHOST:8080", "localhost.:1", "127.0.0.1", "127.8.9.1:65535", "[::1]", "[::1]:8080")
OTHERS = (
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "evil.localhost",
    "127.0.0.1.evil.example",
    "[::1].evil.example",
    "[::1]evil:80",
    "127.0.0.1:80:80",
    "127.0.0.1:evil",
    "127.1",
    "2130706433",
    "0.0.0.0",
    "[::]",
    "user@localhost",
    "localhost/evil.example",
    "localhost\t.evil.example",
    "xn--localhost",
    "\u00b2",
    ":8080",
    "",
)


def answers(hosts, *given):
    return not hosts.refusal(Headers(raw=[(b"host", name.encode("latin-1")) for name in given]))


@pytest.mark.parametrize("given", OURS)
def test_names_of_loopback_are_answered_to(given):
    assert answers(Hosts(()), given)


@pytest.mark.parametrize("given", OTHERS)
def test_other_names_are_not(given):
    assert not answers(Hosts(()), given)
    assert repr(given) in Hosts(()).refusal(Headers({"host": given})), "it says which, and nothing unescaped"


def test_of_two_names_both_have_to_be_ours_and_none_is_no_browsers():
    assert not answers(Hosts(()), "localhost", "evil.example") and not answers(Hosts(()), "evil.example", "localhost")
    assert answers(Hosts(()))


def test_configured_names_are_answered_to_beside_those_of_loopback():
    hosts = Hosts(("Ops.example.org", "*.svc.local"))
    for name in ("ops.example.org:443", "OPS.EXAMPLE.ORG.", "a.svc.local", "localhost"):
        assert answers(hosts, name), name
    for name in ("example.org", "ops.example.org.evil.example", "svc.local", "10.0.0.7"):
        assert not answers(hosts, name), name


def test_where_a_token_or_a_proxy_lets_in_any_name_is_answered_to_unless_some_are_configured():
    token = "a:read:" + "0" * 64
    for auth in (Auth(tokens=[token]), Auth(tokens_file="/x"), Auth(behind_proxy=True)):
        assert answered_names(auth, "127.0.0.1") is None and answered_names(auth, "0.0.0.0") is None
    assert answered_names(Auth(), "localhost") == Hosts(())
    named = answered_names(Auth(behind_proxy=True, hosts=["ops"]), "0.0.0.0")
    # A scrape by address goes on: a page cannot claim an address that is not its own.
    assert answers(named, "172.18.0.5:8080") and answers(named, "ops") and not answers(named, "evil.example")


@pytest.mark.parametrize("name", ["http://ops", "ops:80", "", 7])
def test_what_is_no_name_is_refused_by_name(name):
    with pytest.raises(SettingsError, match=r"auth\.hosts="):
        check_access(Auth(hosts=[name]))
