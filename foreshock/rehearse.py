"""``foreshock rehearse`` and ``replay --verdicts``: a past interval through a model that a running server stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import httpx

from foreshock.client import address_of, token_option, told, url_option
from schemas.errors import ForeshockError

BEFORE_MS = 1_800_000  # a flag so long before an incident begins is of it


def verdict_lines(url: str | None, data: Path | None, token: str | None, asked: dict[str, str]) -> Iterator[str]:
    """Yield the lines of ``GET /api/v1/rehearsal``; raises ForeshockError when the server refuses."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    address = f"{address_of(url, data)}/api/v1/rehearsal"
    with httpx.stream("GET", address, params=asked, headers=headers, timeout=httpx.Timeout(60, read=600)) as answer:
        if answer.status_code != 200:
            text = answer.read().decode("utf-8", "replace")[:300]
            raise ForeshockError(f"cannot rehearse: the server answered {answer.status_code}: {text}")
        yield from answer.iter_lines()


class Counts(NamedTuple):
    """Incidents that were flagged within BEFORE_MS before they began or while they lasted, and those that were not.

    ``false`` : runs of flagged windows of an entity, one after another, that begin outside of every incident.
    """

    caught: int
    missed: int
    false: int


def counts(flagged: Sequence[dict[str, Any]], incidents: Sequence[dict[str, Any]], to_ms: int) -> Counts:
    """Count flagged verdicts beside the incidents; ``to_ms``: where one that is open counts as ended."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for one in incidents:
        end_ms = to_ms if one["end"] is None else one["end"]
        spans.setdefault(one["entity"], []).append((one["start"] - BEFORE_MS, end_ms))
    caught: set[tuple[str, tuple[int, int]]] = set()
    last_end: dict[str, int] = {}
    false = 0
    for verdict in sorted(flagged, key=lambda v: v["start"]):
        entity = verdict["entity"]
        of = [span for span in spans.get(entity, []) if verdict["start"] < span[1] and verdict["end"] > span[0]]
        caught |= {(entity, span) for span in of}
        if not of:
            false += verdict["start"] > last_end.get(entity, -1)
        last_end[entity] = verdict["end"]
    hit = sum((entity, span) in caught for entity, each in spans.items() for span in each)
    return Counts(hit, sum(map(len, spans.values())) - hit, false)


def _shown(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


@click.command()
@click.argument("from_", metavar="FROM")
@click.argument("to", metavar="TO")
@url_option
@click.option("--period", default="", help="Take every window for one of this traffic period; default: the calendar's.")
@click.option("--rollup", default="1m", show_default=True)
@click.option("--warmup", default="1d", show_default=True, help="So much before FROM says what is usual.")
@token_option
def rehearse(
    from_: str, to: str, url: str | None, data: Path | None, period: str, rollup: str, warmup: str, token: str | None
) -> None:
    """Say what the stored models would have flagged from FROM to TO, and when, beside the incidents told.

    Times are epoch ms, RFC 3339, now or -6h (write -- before a FROM that begins with a minus). Where the models had
    learned of the interval already, they know its incidents: the figures are then too good.
    """
    asked = {"from": from_, "to": to, "rollup": rollup, "warmup": warmup}
    asked |= {"period": period} if period else {}
    windows, flagged, span = 0, [], (0, 0)
    for line in verdict_lines(url, data, token, asked):
        verdict = json.loads(line)
        span = (min(verdict["start"], span[0] or verdict["start"]), max(verdict["end"], span[1]))
        windows += 1
        if verdict["flag"]:
            flagged.append(verdict)
    click.echo(f"{'would have flagged':20}  {'entity':24}  {'p_incident':>10}  {'score':>6}  reason")
    for one in sorted(flagged, key=lambda v: (v["end"], v["entity"])):
        p, score = one["p_incident"], one["anomaly_score"]
        risk = "-" if p is None else f"{p:.3f}"
        click.echo(f"{_shown(one['end']):20}  {one['entity'][:24]:24}  {risk:>10}  {score:>6.3f}  {one['reason']}")
    within = [one for one in told(url, data, token) if span[0] <= one["start"] < span[1]]
    made = counts(flagged, within, span[1])
    click.echo(
        f"{windows} windows, {len(flagged)} flagged; incidents: {made.caught} caught, {made.missed} missed; "
        f"{made.false} false alarms"
    )
