// The charts of one entity, by family: builds them, reads history for those in view, draws what came live.

import { charts, Chart, whenSeen } from './chart.js';
import { get } from './api.js';
import { make } from './dom.js';
import { sections } from './families.js';
import { readForecasts, readLines, readSpread } from './history.js';
import { noMarks, readMarks } from './marks.js';
import { SeriesOf } from './series.js';
import { Strip } from './strip.js';
import { chartTools } from './export.js';
import { advance, onView, view } from './view.js';

const DRAW_MS = 1000; // the eye needs no more, and a hundred charts cost a hundred redraws
const MARKS_MS = 30_000;
const LATE_MS = 2000; // corrections come in crowds
const EMPTY_MS = 3000; // until an entity without series is asked for again
const EARLIER_MS = 60_000; // kept of a live line before what is shown

export class Board {
  /**
   * @param {{strip: HTMLElement, charts: HTMLElement, say: (text: string, retry?: () => void) => void, onShown: () => void, onSeries: () => void,
   *   onIncident: (incident: object) => void, onAlert: (alert: object) => void}} parts
   */
  constructor({ strip, charts: box, say, onShown, onSeries, onIncident, onAlert }) {
    Object.assign(this, { box, say, onShown, onSeries });
    /** What charts show: the view, and ahead of it where a forecast is. */
    this.screen = { from: view.from, to: view.to };
    this.marks = noMarks();
    this.strip = new Strip(strip, { view: this.screen, marks: this.marks, onIncident, onAlert });
    /** @type {Map<string, Chart>} */
    this.charts = new Map();
    this.series = new SeriesOf('', []);
    this.rollup = '';
    this.turn = 0;
    this.reading = new AbortController();
    this.wanted = new Set();
    this.timers = {};
    whenSeen((seen) => this.need(seen));
    onView((changed) => this.follow(changed));
    setInterval(() => this.tick(), 100);
    setInterval(() => { if (view.place === 'entity' && this.series.entity && !document.hidden) this.readMarks(); }, MARKS_MS);
  }

  follow(changed) {
    if (!this.series.entity) return;
    if (changed.has('metrics')) this.build();
    if (['live', 'span', 'from', 'to', 'beside', 'forecast', 'band'].some((name) => changed.has(name) && !(view.live && (name === 'from' || name === 'to')))) this.load();
    else if (changed.has('place') || changed.has('zone') || changed.has('at')) this.redraw();
  }

  /** Show another entity. @returns {Promise<void>} once its charts are there, before they are filled */
  async show(entity) {
    const turn = (this.turn += 1);
    const found = await get('series', { entity });
    if (turn !== this.turn) return;
    this.series = new SeriesOf(entity, found);
    this.marks.flags = [];
    for (const line of this.strip.chart.lines.values()) line.trim(Infinity);
    this.build();
    this.again();
    await this.load();
  }

  /** An entity may be looked at before its first series are known. */
  again() {
    clearTimeout(this.timers.empty);
    if (!this.series.metrics.size) this.timers.empty = setTimeout(() => this.rescan(), EMPTY_MS);
  }

  /** Look again which series there are; charts that stay keep their lines. */
  async rescan() {
    const { entity } = this.series;
    const found = await get('series', { entity }).catch(() => null);
    if (entity !== this.series.entity) return;
    if (found?.length) {
      this.series = new SeriesOf(entity, found);
      this.build();
      this.onSeries();
      this.need([...this.charts.values()].filter((chart) => chart.visible));
    }
    this.again();
  }

  /** @returns {string[]} the metrics that are shown */
  shown() {
    return [...this.series.metrics.keys()].filter((metric) => !view.metrics || view.metrics.includes(metric));
  }

  build() {
    const shown = new Set(this.shown());
    for (const [metric, chart] of this.charts) {
      if (shown.has(metric) && chart.entity === this.series.entity) continue;
      chart.remove();
      this.charts.delete(metric);
    }
    const parts = sections([...shown], (metric) => this.series.kind(metric)).map(([family, metrics]) => {
      const grid = make('div', { className: 'grid' });
      for (const metric of metrics) grid.append((this.charts.get(metric) ?? this.chart(metric, grid)).box);
      const open = make('details', { className: 'family', open: true, dataset: { family } },
        make('summary', {}, make('h2', { textContent: family === 'cpu' ? 'CPU' : family }), make('span', { className: 'quiet', textContent: String(metrics.length) })), grid);
      return open;
    });
    this.box.replaceChildren(...parts);
    if (!shown.size) this.box.append(make('p', { className: 'message', textContent: this.series.metrics.size ? 'No metric is chosen. Choose some under “Metrics”.' : 'Nothing is known of this entity: no sample of it has arrived. Choose another one.' }));
  }

  chart(metric, grid) {
    const series = this.series;
    const chart = new Chart(grid, {
      title: series.title(metric), view: this.screen, marks: this.marks, naming: (key) => series.name(key), tools: chartTools(() => chart, () => this.series),
    });
    Object.assign(chart, { metric, entity: series.entity });
    chart.say('Reading…');
    this.charts.set(metric, chart);
    return chart;
  }

  // ---- history

  /** Read anew what is in view; the rest when it comes into view. */
  async load() {
    const turn = (this.turn += 1);
    this.reading.abort();
    this.reading = new AbortController();
    if (view.live) advance(Date.now());
    this.place();
    for (const chart of this.charts.values()) {
      chart.loaded = 0;
      if (!view.forecast) { chart.dashed.delete('forecast'); chart.bands = chart.bands.filter((band) => band.kind !== 'forecast'); }
      if (!view.band) chart.bands = chart.bands.filter((band) => band.kind !== 'spread');
    }
    this.box.setAttribute('aria-busy', 'true');
    const visible = [...this.charts.values()].filter((chart) => chart.visible);
    try {
      await Promise.all([this.fill(visible, turn), this.risk(turn), this.readMarks()]);
      if (turn === this.turn) this.say('');
    } catch (error) {
      this.failed(error);
    }
    if (turn === this.turn) this.box.removeAttribute('aria-busy');
  }

  failed(error) {
    if (error.name === 'AbortError') return;
    for (const chart of this.charts.values()) if (!chart.points) chart.say('Could not be read.');
    this.say(`Cannot read history: ${error.message}. What comes live goes on.`, () => this.load());
  }

  /** Charts came into view: read those that were not read yet, together. */
  need(seen) {
    for (const chart of seen) if (chart.metric && chart.loaded !== this.turn) this.wanted.add(chart);
    if (!this.wanted.size || this.timers.need) return;
    this.timers.need = setTimeout(() => {
      this.timers.need = 0;
      const those = [...this.wanted].filter((chart) => chart.loaded !== this.turn && charts.has(chart));
      this.wanted.clear();
      this.fill(those, this.turn).catch((error) => this.failed(error));
    }, 30);
  }

  async fill(those, turn) {
    const { signal } = this.reading;
    for (const chart of those) chart.loaded = turn;
    if (!those.length) return;
    const asked = { from: view.from, to: view.to, live: view.live, beside: view.beside };
    const spread = view.band && !this.raw() ? readSpread(those, this.series, asked, signal) : null;
    const rollup = await readLines(those, this.series, asked, signal);
    if (turn !== this.turn) return;
    this.rollup = rollup;
    for (const chart of those) chart.say([...chart.lines.values()].some((line) => line.length) ? '' : 'Nothing was measured in this time.');
    this.onShown();
    this.redraw(those);
    const more = [];
    if (spread) more.push(spread());
    if (view.forecast) more.push(readForecasts(those, this.series, this.ahead(), signal, (chart) => { if (turn === this.turn) this.redraw([chart]); }));
    if (!more.length) return;
    await Promise.all(more);
    if (turn === this.turn) this.redraw(those);
  }

  async risk(turn) {
    await this.strip.read(this.series.entity, view, this.reading.signal);
    if (turn === this.turn) this.redraw([]);
  }

  async readMarks() {
    const { entity } = this.series;
    const found = noMarks();
    try {
      await readMarks(found, entity, this.screen, this.reading.signal);
    } catch (error) {
      if (error.name !== 'AbortError') throw error;
      return;
    }
    if (entity !== this.series.entity) return;
    const { incidents, alerts, periods, now } = found;
    Object.assign(this.marks, { incidents, alerts, periods, now });
    this.redraw();
  }

  /** Something known before was corrected: read it again, once for many. */
  corrected() {
    if (this.timers.late) return;
    this.timers.late = setTimeout(() => { this.timers.late = 0; this.load(); }, LATE_MS);
  }

  // ---- time

  /** @returns {boolean} whether every sample is drawn as it comes, and not windows */
  raw() {
    return view.live && view.span <= 900_000;
  }

  ahead() {
    return view.forecast && (view.live || view.to > Date.now() - view.span / 10) ? (view.to - view.from) / 2 : 0;
  }

  place() {
    this.screen.from = view.from;
    this.screen.to = view.to + this.ahead();
    this.marks.now = Date.now();
    this.marks.at = view.at;
  }

  /** Move the picture while a hand drags it; read when it lets go. */
  pan(from, to) {
    Object.assign(this.screen, { from, to });
    this.paint([...this.charts.values()]);
  }

  redraw(those = [...this.charts.values()]) {
    this.place();
    if (view.place !== 'entity') {
      for (const chart of charts) chart.stale = true;
      return;
    }
    this.paint(those);
  }

  paint(those) {
    this.pending = new Set([...(this.pending ?? []), ...those]);
    if (this.timers.paint) return;
    this.timers.paint = requestAnimationFrame(() => {
      this.timers.paint = 0;
      const painted = this.pending;
      this.pending = new Set();
      this.strip.draw();
      for (const chart of painted) chart.draw();
    });
  }

  point(ms) {
    for (const chart of charts) chart.point(ms);
  }

  /** Draw what came live, at most once a second, and only when it can be seen. */
  tick() {
    const now = Date.now();
    if (!view.live || document.hidden || view.place !== 'entity' || !this.series.entity) return;
    if (now - (this.drawn ?? 0) < Math.max(DRAW_MS - 50, view.span / 2000)) return;
    this.drawn = now;
    advance(now);
    for (const chart of [this.strip.chart, ...this.charts.values()]) chart.trim(view.from - EARLIER_MS);
    this.marks.flags = this.marks.flags.filter((one) => one.end > view.from);
    this.redraw();
  }
}
