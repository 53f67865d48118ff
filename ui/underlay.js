// What lies under a chart's lines: bands, traffic periods, flagged windows, incidents, alerts, the pinned moment.

import { colour, lineColour } from './scheme.js';

const PERIOD_PX = 5;

/**
 * `chart.marks`: {flags: [{start, end}], incidents: [{start, end|null}], alerts: […], periods: [{name, start, end}], at: ms|null, now}
 */
export function underlay(canvas, area, graph, chart) {
  const { marks } = chart;
  const span = (start, end) => {
    const left = Math.max(area.x, graph.toDomXCoord(start));
    const right = Math.min(area.x + area.w, graph.toDomXCoord(end));
    return right < area.x || left > area.x + area.w ? null : [left, Math.max(2, right - left)];
  };
  for (const { name, start, end } of marks.periods) {
    const at = name === 'normal' ? null : span(start, end);
    if (at) hatch(canvas, at[0], area.y + area.h - PERIOD_PX, at[1], PERIOD_PX);
  }
  for (const { start, end } of marks.incidents) {
    const at = span(start, end ?? marks.now);
    if (!at) continue;
    canvas.fillStyle = colour('incident');
    canvas.fillRect(at[0], area.y, at[1], area.h);
    edge(canvas, at[0], area, 'incident-edge', []);
  }
  let flags = 0;
  for (const { start, end } of marks.flags) {
    const at = span(start, end);
    if (!at) continue;
    canvas.fillStyle = colour('flag');
    canvas.fillRect(at[0], area.y, at[1], area.h);
    canvas.fillStyle = colour('flag-edge');
    canvas.fillRect(at[0], area.y, at[1], 3); // a bar as well, not the colour alone
    flags += 1;
  }
  chart.plot.dataset.flags = String(flags);
  for (const { start } of marks.alerts) {
    const at = span(start, start);
    if (at) edge(canvas, at[0], area, 'alert-edge', [4, 3]);
  }
  for (const band of chart.bands) fill(canvas, graph, area, band);
  if (marks.at !== null && span(marks.at, marks.at)) edge(canvas, graph.toDomXCoord(marks.at), area, 'ink', [2, 2]);
}

function edge(canvas, x, area, ink, dashes) {
  canvas.strokeStyle = colour(ink);
  canvas.lineWidth = 1;
  canvas.setLineDash(dashes);
  canvas.beginPath();
  canvas.moveTo(Math.round(x) + 0.5, area.y);
  canvas.lineTo(Math.round(x) + 0.5, area.y + area.h);
  canvas.stroke();
  canvas.setLineDash([]);
}

/** Slanted strokes: a pattern, not a colour alone. */
function hatch(canvas, left, top, width, height) {
  canvas.save();
  canvas.beginPath();
  canvas.rect(left, top, width, height);
  canvas.clip();
  canvas.strokeStyle = colour('period');
  canvas.lineWidth = 1;
  canvas.beginPath();
  for (let x = left - height; x < left + width; x += 4) {
    canvas.moveTo(x, top + height);
    canvas.lineTo(x + height, top);
  }
  canvas.stroke();
  canvas.restore();
}

/** Fill between low and high, gaps left out; `middle` (p95) as a dotted line. */
function fill(canvas, graph, area, { kind, times, low, high, middle, of = 0 }) {
  const x = times.map((ms) => graph.toDomXCoord(ms));
  const y = (value) => Math.max(area.y, Math.min(area.y + area.h, graph.toDomYCoord(value)));
  canvas.save();
  canvas.beginPath();
  canvas.rect(area.x, area.y, area.w, area.h);
  canvas.clip();
  for (let begin = 0; begin < times.length;) {
    let end = begin;
    while (end < times.length && Number.isFinite(low[end]) && Number.isFinite(high[end])) end += 1;
    if (end > begin) {
      canvas.beginPath();
      for (let i = begin; i < end; i += 1) canvas.lineTo(x[i], y(high[i]));
      for (let i = end - 1; i >= begin; i -= 1) canvas.lineTo(x[i], y(low[i]));
      canvas.globalAlpha = kind === 'forecast' ? 0.16 : 0.2;
      canvas.fillStyle = lineColour(of);
      canvas.fill();
      canvas.globalAlpha = 1;
      if (middle) {
        canvas.beginPath();
        for (let i = begin; i < end; i += 1) canvas.lineTo(x[i], y(middle[i]));
        canvas.strokeStyle = lineColour(of);
        canvas.lineWidth = 1;
        canvas.setLineDash([1, 3]);
        canvas.stroke();
        canvas.setLineDash([]);
      }
    }
    begin = end + 1;
  }
  canvas.restore();
}
