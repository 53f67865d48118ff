"""The quick form of ``make fuzz``: every parser refuses cleanly or takes what can be put on the log."""

import pytest

from bench.fuzz import fuzz, parsers

PARSERS = parsers()


@pytest.mark.parametrize("name", PARSERS)
def test_whatever_comes_is_taken_or_refused_cleanly(name):
    counts = fuzz(PARSERS[name], 800, seed=7_000_000)
    assert counts["taken"] > 5 and counts["refused"] > 5, f"inputs that are all alike: {counts}"


def test_a_parser_that_breaks_is_noticed():
    def broken(body):
        return body[10_000_000]

    with pytest.raises(AssertionError, match="seed 5: IndexError"):
        fuzz(PARSERS["time"]._replace(run=broken), 10, seed=5)
