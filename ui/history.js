// Reads what charts show from the server: lines, the past beside them, the spread within windows, forecasts.

import { get } from './api.js';
import { Line } from './table.js';

export const POINTS = 1000;
const AGO = / (\d+(?:h|d|w|mo)) ago$/;
const FORECASTS_MAX = 24; // at once: each is an answer of its own
const SPREAD_LINES_MAX = 2; // in a chart with more lines, bands would hide each other

/** Milliseconds of a rollup's name: of 5m/1m its size. @param {string} name */
export function sizeOf(name) {
  const found = /^(\d+)(s|m|h|d|w|mo)/.exec(name);
  if (!found) return 0;
  return Number(found[1]) * { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000, mo: 30 * 86_400_000 }[found[2]];
}

/** @param {import('./chart.js').Chart[]} charts @param {import('./series.js').SeriesOf} series */
function byStat(charts, series) {
  const out = new Map();
  for (const chart of charts) {
    const stat = series.stat(chart.metric);
    if (!out.has(stat)) out.set(stat, []);
    out.get(stat).push(chart);
  }
  return out;
}

/** What the server is asked for a chart's lines; also the link to the same query. */
export function queryOf(series, metrics, stat, { from, to, beside }, rollup = 'auto') {
  const query = { from: Math.floor(from), to: Math.ceil(to), rollup, points: POINTS, stat, entity: series.entity, metric: metrics };
  if (beside?.length) query.overlay = beside.join(',');
  return query;
}

/**
 * Fill charts with lines. @returns {Promise<string>} the rollup that was read, empty where nothing was asked
 */
export async function readLines(charts, series, view, signal) {
  let rollup = '';
  await Promise.all([...byStat(charts, series)].map(async ([stat, those]) => {
    const answer = await get('range', queryOf(series, those.map((chart) => chart.metric), stat, view), signal);
    rollup = rollup || answer.rollup;
    const step = sizeOf(answer.rollup);
    for (const chart of those) {
      chart.dashed.clear();
      if (!view.live) for (const line of chart.lines.values()) line.trim(Infinity);
      chart.step = step;
      chart.rollup = answer.rollup;
    }
    for (const [key, times, values] of columnsOf(answer, series.entity)) {
      const ago = AGO.exec(key);
      const own = ago ? key.slice(0, ago.index) : key;
      const chart = those.find((one) => one.metric === series.metricOf(own));
      if (!chart) continue;
      if (ago) chart.dashed.set(`${own} ${ago[1]} ago`, lineOf(times, values));
      else chart.line(key).fill(times, values);
    }
  }));
  return rollup;
}

function lineOf(times, values) {
  const line = new Line();
  line.fill(times, values);
  return line;
}

/** Columns of a range answer without what is not there. */
function* columnsOf(answer, entity) {
  const prefix = `${entity} `;
  for (let column = 1; column < answer.labels.length; column += 1) {
    if (!answer.labels[column].startsWith(prefix)) continue;
    const times = [];
    const values = [];
    for (const row of answer.data) {
      if (row[column] === null) continue;
      times.push(row[0]);
      values.push(row[column]);
    }
    yield [answer.labels[column].slice(prefix.length), times, values];
  }
}

/**
 * Ask for the spread within each window of gauges, least, greatest and p95, beside the lines: both are given the same
 * windows. @returns {() => Promise<void>} call it once the lines are there, to give it to the charts
 */
export function readSpread(charts, series, view, signal) {
  const those = charts.filter((chart) => series.kind(chart.metric) === 'gauge' && series.metrics.get(chart.metric).keys.length <= SPREAD_LINES_MAX);
  const ask = (some, rollup) => Promise.all(['min', 'max', 'p95'].map((stat) => get('range', queryOf(series, some.map((chart) => chart.metric), stat, { from: view.from, to: view.to }, rollup), signal)));
  const asked = those.length ? ask(those, 'auto') : Promise.resolve([]);
  asked.catch(() => {}); // it is told to whoever waits for it
  return async () => {
    const found = await asked;
    const same = those.filter((chart) => found.every((answer) => answer.rollup === chart.rollup));
    spread(same, series, found);
    const others = byRollup(those.filter((chart) => chart.rollup && !same.includes(chart)));
    await Promise.all([...others].map(async ([rollup, some]) => spread(some, series, await ask(some, rollup))));
  };
}

/** Give charts bands of what min, max and p95 answered. */
function spread(charts, series, found) {
  if (!charts.length) return;
  const [low, high, middle] = found.map((answer) => new Map([...columnsOf(answer, series.entity)].map(([key, times, values]) => [key, [times, values]])));
  for (const chart of charts) {
    chart.bands = chart.bands.filter((band) => band.kind !== 'spread');
    [...chart.lines.keys()].forEach((key, of) => {
      if (!low.has(key) || !high.has(key) || !middle.has(key)) return;
      const [times, lows] = low.get(key);
      const gap = 2.5 * chart.step;
      const band = { kind: 'spread', of, times: [], low: [], high: [], middle: [] };
      const push = (ms, a, b, c) => { band.times.push(ms); band.low.push(a); band.high.push(b); band.middle.push(c); };
      times.forEach((ms, i) => {
        if (i && ms - times[i - 1] > gap) push(times[i - 1] + chart.step, NaN, NaN, NaN);
        push(ms, lows[i], high.get(key)[1][i], middle.get(key)[1][i]);
      });
      chart.bands.push(band);
    });
  }
}

function byRollup(charts) {
  const out = new Map();
  for (const chart of charts) out.set(chart.rollup, [...(out.get(chart.rollup) ?? []), chart]);
  return out;
}

/** Ask where gauges of one series are going, from now on. @param {number} horizonMs @param {(chart: object) => void} onRead */
export async function readForecasts(charts, series, horizonMs, signal, onRead) {
  const minutes = Math.max(10, Math.min(7 * 1440, Math.round(horizonMs / 60_000)));
  const those = charts.filter((chart) => series.kind(chart.metric) === 'gauge' && series.metrics.get(chart.metric).keys.length === 1).slice(0, FORECASTS_MAX);
  await Promise.all(those.map(async (chart) => {
    const [key] = series.metrics.get(chart.metric).keys;
    const answer = await get('forecast', { entity: series.entity, metric: key, horizon: `${minutes}m` }, signal).catch((error) => {
      if (error.name === 'AbortError') throw error;
      return { data: [] };
    });
    chart.bands = chart.bands.filter((band) => band.kind !== 'forecast');
    chart.dashed.delete('forecast');
    if (!answer.data.length) return;
    const column = (i) => answer.data.map((row) => row[i]);
    chart.dashed.set('forecast', lineOf(column(0), column(1)));
    chart.bands.push({ kind: 'forecast', times: column(0), low: column(2), high: column(3) });
    onRead(chart);
  }));
}
