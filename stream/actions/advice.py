"""What to do: the team's runbook first, then what ended similar incidents, with its record. Nothing is invented."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.verdict import Action, Contribution
from stream.actions.runbook import Rule, recommended
from stream.models.signatures import SIMILAR_MIN, Similar

ACTIONS_MAX = 3
COMPARED = 12  # so many of the most similar incidents have a say
NO_EVIDENCE = (
    "no evidence for an action: no rule of the runbook fits, and no past incident with a resolution is "
    f"{SIMILAR_MIN:.0%} similar or more"
)


def advice(
    rules: Sequence[Rule],
    entity: str,
    contributions: Sequence[Contribution],
    similar: Sequence[Similar],
    record: Callable[[str], tuple[int, int]],
) -> list[Action]:
    """Return actions, the best founded first within each source; empty: there is no evidence for any.

    similar : past incidents, the most similar first; record : of a resolution, (tried, risk fell after it).
    """
    by_resolution: dict[str, list[Similar]] = {}
    for one in similar[:COMPARED]:
        if one.incident.resolution:
            by_resolution.setdefault(one.incident.resolution, []).append(one)
    # Several alike say more than one, but the nearer ones by far the most.
    weight = {text: sum(one.similarity**8 for one in those) for text, those in by_resolution.items()}
    out = []
    for text in sorted(by_resolution, key=lambda text: -weight[text])[:ACTIONS_MAX]:
        those = by_resolution[text]
        best = those[0]
        others = f" and {len(those) - 1} more like it" if len(those) > 1 else ""
        tried, fell = record(text)
        known = f"tried {tried} {_times(tried)}, risk fell within 10 minutes in {fell}" if tried else "no record yet"
        why = f"ended incident {best.incident.id}, {best.similarity:.0%} similar{others}; {known}"
        source, confidence = f"incident {best.incident.id}", round(best.similarity, 3)
        out.append(Action(title=text, why=why, source=source, confidence=confidence))
    return recommended(rules, entity, contributions) + out


def _times(n: int) -> str:
    return "time" if n == 1 else "times"
