"""A line that comes a hundred times a second is held back and counted; others pass."""

import logging

from aiokafka.errors import GroupAuthorizationFailedError, GroupCoordinatorNotAvailableError

from foreshock.quieted import EVERY_S, KINDS_MAX, Quieted, Retried
from schemas.errors import SinkError


def record(msg, *args, at, name="aiokafka"):
    one = logging.LogRecord(name, logging.ERROR, "", 0, msg, args, None)
    one.created = at
    return one


def test_the_same_line_passes_now_and_then_and_tells_how_many_were_held_back():
    quieted = Quieted(times=3)
    passed = [quieted.filter(record("no node %s", n, at=100 + n / 100)) for n in range(50)]
    assert passed == [True] * 3 + [False] * 47
    assert quieted.filter(record("another", at=100.6))
    later = record("no node %s", 7, at=100 + EVERY_S)
    assert quieted.filter(later)
    assert later.getMessage() == "no node 7 (and 47 more like it)"
    again = record("no node %s", 8, at=101 + 2 * EVERY_S)
    assert quieted.filter(again) and again.getMessage() == "no node 8"


def test_lines_that_are_all_different_fill_no_memory():
    quieted = Quieted()
    assert all(quieted.filter(record(f"line {n}", at=100)) for n in range(3 * KINDS_MAX))
    assert len(quieted._seen) <= KINDS_MAX


def test_what_a_client_tries_again_is_a_warning_and_other_errors_stay_errors():
    again = record("request failed: %s", GroupCoordinatorNotAvailableError(), at=100)
    final = record("request failed: %s", GroupAuthorizationFailedError(), at=100)
    ours = record("cannot write: %s", SinkError("away"), at=100, name="foreshock.stream")
    assert Retried().filter(again) and Retried().filter(final) and Retried().filter(ours)
    assert (again.levelname, final.levelname, ours.levelname) == ("WARNING", "ERROR", "ERROR")
    assert again.levelno == logging.WARNING
