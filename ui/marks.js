// What happened in the time that is shown: flagged windows, incidents, alerts, traffic periods. Shared by all charts.

import { get } from './api.js';

export function noMarks() {
  return { flags: [], incidents: [], alerts: [], periods: [], at: null, now: Date.now() };
}

/** Read incidents, alerts and periods of an entity into marks. */
export async function readMarks(marks, entity, { from, to }, signal) {
  const [incidents, alerts, periods] = await Promise.all([
    get('incidents', { entity }, signal),
    get('alerts', { entity }, signal),
    get('periods', { from: Math.floor(from), to: Math.ceil(to) }, signal),
  ]);
  Object.assign(marks, { incidents, alerts: alerts.filter((one) => one.state !== 'pending'), periods, now: Date.now() });
}

/** Neighbouring flagged buckets as one. @param {number[][]} rows of start, p_incident, anomaly_score, flag @param {number} step */
export function flaggedSpans(rows, step) {
  const out = [];
  for (const [start, , , flag] of rows) {
    if (!flag) continue;
    const last = out.at(-1);
    if (last && start <= last.end) last.end = Math.max(last.end, start + step);
    else out.push({ start, end: start + step });
  }
  return out;
}

/** Add one flagged window to spans, in order. */
export function addFlag(spans, start, end) {
  const last = spans.at(-1);
  if (last && start >= last.start && start <= last.end) last.end = Math.max(last.end, end);
  else spans.push({ start, end });
}
