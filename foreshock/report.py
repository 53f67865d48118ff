"""What an evaluation found, as one page that needs nothing else: figures, curves and the worst cases, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stream.models.figures import Figures

CASES = 6  # of each sort
AROUND = 180  # rows drawn before and after a case
POINTS_MAX = 600  # of a line
_WIDTH, _HEIGHT = 640, 140
_COLOURS = {"anomaly_score": "score", "p_incident": "risk"}
_LEGEND = "<p class=quiet>Blue: anomaly_score, orange: p_incident, red: incident.</p>"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
html { color-scheme: light dark }
table { border-collapse: collapse }
td, th { padding: .2rem .8rem; text-align: right }
td:first-child { text-align: left }
svg { display: block; max-width: 100%; border: 1px solid #8886; margin: .4rem 0 1.2rem }
.score { fill: none; stroke: #06c; stroke-width: 1.5 } .risk { fill: none; stroke: #c60; stroke-width: 1.5 }
.incident { fill: #c00; opacity: .18 } .rule { stroke: #8888; stroke-dasharray: 4 4 } .quiet { opacity: .7 }
"""


class Scored(NamedTuple):
    """One series of an evaluation. ``label`` : bool[n], whether an incident is under way, None where nothing says;
    ``risk`` : ``p_incident`` float64[n], NaN where unknown, None where there is none."""

    name: str
    score: np.ndarray
    label: np.ndarray | None
    risk: np.ndarray | None = None


class Case(NamedTuple):
    title: str
    of: Scored
    at: int


def write_report(path: Path, title: str, all_of: Sequence[Scored]) -> None:
    """Write the page; names of series may be anything, they only ever go in as text."""
    labelled = [one for one in all_of if one.label is not None]
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{len(all_of)} series, {sum(len(s.score) for s in all_of)} rows.</p>"]
    if not labelled:
        parts.append("<p>Nothing beside the data says when incidents were, so there is nothing to be right about.</p>")
    curves = [("anomaly_score", _figures([(s.score, s.label) for s in labelled if s.label is not None]))]
    risky = [(s.risk, s.label) for s in labelled if s.risk is not None and s.label is not None]
    if risky:
        curves.append(("p_incident", _figures(risky)))
    curves = [(name, figures) for name, figures in curves if figures.roc_auc() is not None]
    if curves:
        parts += ["<h2>How right</h2>", _table(curves), "<p>An incident is under way: ROC curve.</p>"]
        parts.append(_square([(figures.roc_curve(), _COLOURS[name]) for name, figures in curves]))
        for name, figures in curves:
            if name == "p_incident":
                parts.append("<p>Calibration of p_incident: said, and what came of it.</p>")
                parts.append(_square([([row[:2] for row in figures.calibration_curve()], "risk")]))
        parts.append("<h2>By series</h2>" + _by_series(labelled))
    for heading, cases in (("Incidents missed", missed(labelled)), ("Loudest false alarms", false_alarms(labelled))):
        if cases:
            parts.append(
                f"<h2>{heading}</h2><p class=quiet>Blue: anomaly_score, orange: p_incident, red: incident.</p>"
            )
            parts += [f"<h3>{escape(case.title)}</h3>{_drawn(case)}" for case in cases]
    body = "\n".join(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style>\n{body}\n</html>\n",
        encoding="utf-8",
    )


def missed(all_of: Sequence[Scored]) -> list[Case]:
    """Return the incidents whose highest score is lowest among the scores of their series, the worst first."""
    found = []
    for one in all_of:
        order = np.sort(one.score)
        for first, after in _runs(one.label):
            rank = float(np.searchsorted(order, one.score[first:after].max()) / len(order))
            if rank < 0.999:
                title = f"{one.name}, rows {first} to {after - 1}: never above {rank:.1%} of its scores"
                found.append((rank, Case(title, one, (first + after) // 2)))
    return [case for _, case in sorted(found, key=lambda pair: pair[0])[:CASES]]


def false_alarms(all_of: Sequence[Scored]) -> list[Case]:
    """Return the highest scores outside of incidents, one of each series and no two close by."""
    found = []
    for one in all_of:
        score = np.where(one.label, -np.inf, one.score) if one.label is not None else one.score
        if len(score) and np.isfinite(score.max()):
            at = int(score.argmax())
            found.append((float(score[at]), Case(f"{one.name}, row {at}: {score[at]:.3f}", one, at)))
    return [case for _, case in sorted(found, key=lambda pair: -pair[0])[:CASES]]


def _figures(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Figures:
    figures = Figures()
    for p, label in pairs:
        figures.add(p, label.astype(float))
    return figures


def _table(curves: Sequence[tuple[str, Figures]]) -> str:
    rows = ["<tr><th><th>ROC AUC<th>average precision<th>Brier<th>calibration error<th>rows<th>in incidents"]
    for name, figures in curves:
        numbers = (figures.roc_auc(), figures.average_precision(), figures.brier(), figures.calibration_error())
        shown = "".join(f"<td>{number:.4f}" if number is not None else "<td>" for number in numbers)
        rows.append(f"<tr><td>{name}{shown}<td>{figures.windows}<td>{figures.positives}")
    return f"<table>{''.join(rows)}</table>"


def _by_series(all_of: Sequence[Scored]) -> str:
    rows = ["<tr><th>series<th>rows<th>incidents<th>ROC AUC"]
    for one in all_of:
        label = one.label if one.label is not None else np.zeros(len(one.score), bool)
        auc = _figures([(one.score, label)]).roc_auc()
        shown = f"{auc:.3f}" if auc is not None else ""
        rows.append(f"<tr><td>{escape(one.name)}<td>{len(one.score)}<td>{len(_runs(label))}<td>{shown}")
    return f"<table>{''.join(rows)}</table>"


def _runs(label: np.ndarray | None) -> list[tuple[int, int]]:
    if label is None:
        return []
    edge = np.diff(np.concatenate([[0], label.astype(int), [0]]))
    return list(zip(np.flatnonzero(edge == 1).tolist(), np.flatnonzero(edge == -1).tolist(), strict=True))


def _drawn(case: Case) -> str:
    one = case.of
    low, high = max(0, case.at - AROUND), min(len(one.score), case.at + AROUND)
    scale = _WIDTH / max(high - low, 1)
    parts = []
    for first, after in _runs(one.label):
        if after > low and first < high:
            x, width = (max(first, low) - low) * scale, (min(after, high) - max(first, low)) * scale
            parts.append(f'<rect class="incident" x="{x:.1f}" y="0" width="{max(width, 1):.1f}" height="{_HEIGHT}"/>')
    for values, name in ((one.score, "score"), (one.risk, "risk")):
        if values is not None:
            parts.append(_line(values[low:high], name))
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'


def _line(values: np.ndarray, name: str) -> str:
    """Return a polyline of values 0…1; where there are too many, the highest of neighbours."""
    step = -(-len(values) // POINTS_MAX)
    points = []
    for at in range(0, len(values), step):
        part = values[at : at + step]
        if np.isfinite(part).any():
            x, y = at / max(len(values) - 1, 1) * _WIDTH, (1 - float(np.nanmax(part))) * (_HEIGHT - 4) + 2
            points.append(f"{x:.1f},{y:.1f}")
    return f'<polyline class="{name}" points="{" ".join(points)}"/>'


def _square(curves: Sequence[tuple[Sequence[Sequence[float]], str]]) -> str:
    size = 260
    lines = [f'<line class="rule" x1="0" y1="{size}" x2="{size}" y2="0"/>']
    for points, name in curves:
        text = " ".join(f"{x * size:.1f},{(1 - y) * size:.1f}" for x, y in points)
        lines.append(f'<polyline class="{name}" points="{text}"/>')
    return f'<svg viewBox="0 0 {size} {size}" style="width: {size}px" role="img">{"".join(lines)}</svg>'
