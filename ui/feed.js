// Takes what comes live: samples and closed windows into lines, verdicts into the strip, corrections wherever they belong.

import { sizeOf } from './history.js';
import { view } from './view.js';

const RESCAN_MS = 3000;

export class Feed {
  /** @param {import('./board.js').Board} board */
  constructor(board) {
    this.board = board;
    this.before = new Map(); // counter's key → [ms, value]
    this.rescanning = 0;
  }

  /** Another entity, or a break in the stream: counters begin anew. */
  reset() {
    this.before = new Map();
  }

  take(message) {
    const { board } = this;
    if (message.type === 'gap') {
      this.reset();
      board.corrected();
      return;
    }
    if (message.entity !== board.series.entity) return;
    if (message.type === 'verdict') {
      if (this.within(message.start)) board.strip.note(message);
    } else if (message.type === 'alert') {
      board.readMarks().catch(() => {});
    } else if (message.type === 'samples') {
      if (board.raw()) for (const [key, ms, value] of message.points) this.sample(key, ms, value);
    } else if (message.type === 'rollup') {
      this.meet(Object.keys(message.metrics));
      this.rollup(message);
    }
  }

  /** A series never heard of, whatever windows are shown: an entity may be looked at before it has any. */
  meet(keys) {
    if (this.rescanning || keys.every((key) => this.board.series.keys.has(key))) return;
    this.rescanning = setTimeout(() => { this.rescanning = 0; this.board.rescan(); }, RESCAN_MS);
  }

  within(ms) {
    return ms >= view.from - 60_000 && (view.live || ms <= view.to);
  }

  chartOf(key) {
    this.meet([key]);
    return this.board.charts.get(this.board.series.metricOf(key));
  }

  sample(key, ms, value) {
    const chart = this.chartOf(key);
    if (!chart || !this.within(ms)) return;
    const kind = this.board.series.kind(chart.metric);
    if (kind === 'event') return; // counted when its window closes
    if (kind !== 'counter') {
      chart.line(key).put(ms, value);
      chart.say('');
      return;
    }
    const before = this.before.get(key);
    this.before.set(key, [ms, value]);
    if (before && ms > before[0] && value >= before[1]) chart.line(key).put(ms, ((value - before[1]) / (ms - before[0])) * 1000);
  }

  rollup(message) {
    const { board } = this;
    const late = message.late && message.end > view.from && message.start < view.to;
    if (late && (message.rollup !== board.rollup || !view.live)) {
      // It touches what is shown in other windows, or in a picture that stands still.
      if (message.rollup === board.rollup) this.windows(message, !board.raw());
      if (sizeOf(message.rollup) <= sizeOf(board.rollup)) board.corrected();
      return;
    }
    if (message.rollup === board.rollup) this.windows(message, !board.raw() || message.late);
  }

  /** @param {boolean} every false: only what samples did not draw, such as events, or what was missed */
  windows(message, every) {
    if (!this.within(message.start)) return;
    const { series } = this.board;
    for (const [key, stats] of Object.entries(message.metrics)) {
      const chart = this.chartOf(key);
      if (!chart) continue;
      const kind = series.kind(chart.metric);
      const value = { counter: stats.rate, event: stats.count }[kind] ?? stats.mean;
      if (value === undefined || (!every && kind !== 'event' && chart.line(key).holds(message.start, message.end))) continue;
      chart.line(key).put(message.start, value);
      chart.say('');
      if (view.band && every) widen(chart, key, message.start, stats);
    }
    if (message.late && !view.live) this.board.redraw();
  }
}

/** A closed window's spread, appended to the band of its line. */
function widen(chart, key, ms, stats) {
  const of = [...chart.lines.keys()].indexOf(key);
  const band = chart.bands.find((one) => one.kind === 'spread' && one.of === of);
  if (!band || (band.times.at(-1) ?? 0) >= ms) return;
  band.times.push(ms);
  band.low.push(stats.min);
  band.high.push(stats.max);
  band.middle.push(stats.p95);
}
