"""Which action fits what stands out; no evidence, no action."""

import pytest

from schemas.verdict import Contribution
from stream.actions.runbook import parse_runbook, recommended

RULES = parse_runbook(
    """
[[action]]
title = "Restart the consumer"
link = "https://wiki/queue"
entities = ["shop-*"]
match = [{metric = "queue*", direction = "up"}, {metric = "throughput", direction = "down"}]
[[action]]
title = "Add a node"
match = [{metric = 'cpu{mode="user"}', direction = "up"}]
"""
)


def said(metric, weight, value, expected=10.0):
    return Contribution(metric=metric, stat="mean", weight=weight, value=value, expected=expected)


def test_all_signs_of_a_rule_have_to_show():
    both = [said("queue_length", 3.0, 90.0), said("throughput", 1.0, 2.0), said("cpu", 4.0, 11.0)]
    (action,) = recommended(RULES, "shop-1", both)
    assert (action.title, action.source, action.confidence) == (
        "Restart the consumer",
        "runbook https://wiki/queue",
        0.5,
    )
    assert action.why == "queue_length is up: 90, usually 10, throughput is down: 2, usually 10"
    assert recommended(RULES, "db-1", both) == [], "another entity"
    assert recommended(RULES, "shop-1", both[:1]) == [], "one sign is missing"
    assert recommended(RULES, "shop-1", [said("queue_length", 3.0, 90.0), said("throughput", 1.0, 20.0)]) == []
    assert recommended(RULES, "shop-1", [said("queue_length", -3.0, 90.0), said("throughput", 1.0, 2.0)]) == []
    assert recommended(RULES, "shop-1", []) == []


def test_keys_with_labels_and_best_founded_first():
    got = recommended(
        RULES, "shop-1", [said('cpu{mode="user"}', 6.0, 99.0), said("queue", 2.0, 50.0), said("throughput", 1.0, 1.0)]
    )
    assert [(a.title, a.confidence) for a in got] == [("Add a node", 0.667), ("Restart the consumer", 0.333)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[action]]\nmatch = [{metric = 'a'}]", "action 1: want a title"),
        ("[[action]]\ntitle = 'x'", "action 1: want match"),
        (
            "[[action]]\ntitle = 'x'\nmatch = [{metric = 'a', direction = 'sideways'}]",
            "want metric, and direction as one",
        ),
        ("[[action]]\ntitle = 'x'\nmatsch = 1", "unknown 'matsch'"),
        ("[actions]", "want tables"),
        ("[[action", "."),
    ],
)
def test_a_bad_runbook_is_refused_with_the_place(text, says):
    with pytest.raises(ValueError, match=says):
        parse_runbook(text)
