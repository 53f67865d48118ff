"""The team's own runbook: which action fits what stands out in a window."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.patterns import fits
from schemas.verdict import Action, Contribution

DIRECTIONS = ("up", "down", "any")
ACTIONS_MAX = 3


@dataclass(frozen=True)
class Sign:
    """A metric (``*`` pattern, over its name or its key with labels) that is above, below or off its expectation."""

    metric: str
    direction: str


@dataclass(frozen=True)
class Rule:
    title: str
    link: str
    entities: tuple[str, ...]
    signs: tuple[Sign, ...]


def parse_runbook(text: str) -> tuple[Rule, ...]:
    """Return the rules of a runbook in TOML; raises ValueError saying which one is wrong and what would be right.

    >>> parse_runbook('[[action]]\\ntitle = "Drain it"\\nmatch = [{metric = "queue*", direction = "up"}]')[0].title
    'Drain it'
    """
    table = tomllib.loads(text)
    if set(table) - {"action"} or not isinstance(table.get("action", []), list):
        raise ValueError(f"want tables [[action]] alone; got {', '.join(sorted(table))}")
    return tuple(_rule(number, given) for number, given in enumerate(table.get("action", []), 1))


def _rule(number: int, given: Mapping[str, Any]) -> Rule:
    where = f"action {number}"
    if unknown := set(given) - {"title", "link", "entities", "match"}:
        raise ValueError(f"{where}: unknown {min(unknown)!r}; want title, link, entities, match")
    title, link, entities, match = (
        given.get(k, d) for k, d in (("title", ""), ("link", ""), ("entities", ["*"]), ("match", []))
    )
    if not isinstance(title, str) or not title or not isinstance(link, str):
        raise ValueError(f"{where}: want a title, and link as a string")
    if not isinstance(entities, list) or not all(isinstance(e, str) for e in entities):
        raise ValueError(f"{where}: want entities as a list of names, * allowed")
    if not isinstance(match, list) or not match or not all(isinstance(one, dict) for one in match):
        raise ValueError(f'{where}: want match = [{{metric = "queue*", direction = "up"}}]')
    signs = tuple(Sign(str(one.get("metric", "")), str(one.get("direction", "any"))) for one in match)
    for sign, one in zip(signs, match, strict=True):
        if not sign.metric or sign.direction not in DIRECTIONS or set(one) - {"metric", "direction"}:
            raise ValueError(f"{where}: want metric, and direction as one of {', '.join(DIRECTIONS)}; got {one}")
    return Rule(title, link, tuple(entities), signs)


def recommended(rules: Sequence[Rule], entity: str, contributions: Sequence[Contribution]) -> list[Action]:
    """Return the actions whose signs are all among what speaks for the score, the best founded first.

    ``confidence`` is the share of what speaks for the score that the signs account for.
    """
    evidence = [c for c in contributions if c.weight > 0 and c.value is not None]
    total = sum(c.weight for c in evidence)
    out = []
    for rule in rules:
        if not any(fits(entity, pattern) for pattern in rule.entities):
            continue
        found = [[c for c in evidence if _shows(c, sign)] for sign in rule.signs]
        if all(found):
            share = sum({c.metric: c.weight for each in found for c in each}.values()) / total
            said = ", ".join(f"{c.metric} {_word(c)}" for c in (each[0] for each in found))
            source = f"runbook {rule.link}".strip()
            out.append(Action(title=rule.title, why=said, source=source, confidence=round(share, 3)))
    return sorted(out, key=lambda action: -action.confidence)[:ACTIONS_MAX]


def _shows(contribution: Contribution, sign: Sign) -> bool:
    name = contribution.metric
    if not (fits(name, sign.metric) or fits(name.partition("{")[0], sign.metric)):
        return False
    return sign.direction in ("any", _direction(contribution))


def _direction(contribution: Contribution) -> str:
    value, expected = contribution.value, contribution.expected
    if value is None or expected is None or value == expected:
        return "any"
    return "up" if value > expected else "down"


def _word(contribution: Contribution) -> str:
    direction = _direction(contribution)
    if direction == "any":
        return "stands out"
    return f"is {direction}: {contribution.value:.4g}, usually {contribution.expected:.4g}"
