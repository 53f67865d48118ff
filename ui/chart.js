// The only file that says Dygraph: one chart of some lines, its readout and its menu.

import { make } from './dom.js';
import { niceRange, short } from './numbers.js';
import { LINES, colour, lineColour, onScheme } from './scheme.js';
import { Line, rowsOf, visible } from './table.js';
import { ticks } from './time.js';
import { underlay } from './underlay.js';

// Axes and grid are enough. Its legend writes names as HTML and styles as attributes, which our content policy refuses.
Dygraph.PLUGINS = [Dygraph.Plugins.Axes, Dygraph.Plugins.Grid];

// Colours come round again with another stroke.
const AGAIN = [null, [8, 2], [4, 2], [1, 2]];
const LINES_READ = 6; // so many values are read out below a chart

/** @type {Set<Chart>} */
export const charts = new Set();
let onSeen = () => {};
const seen = new IntersectionObserver((entries) => {
  const shown = [];
  for (const entry of entries) {
    const chart = entry.target.chart;
    chart.visible = entry.isIntersecting;
    if (chart.visible) shown.push(chart);
  }
  if (shown.length) onSeen(shown);
  for (const chart of shown) if (chart.stale) chart.draw();
}, { rootMargin: '150px' });
const sized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.chart.width !== target.clientWidth) target.chart.resize();
  }
});

/** @param {(charts: Chart[]) => void} listener called with charts that came into view */
export function whenSeen(listener) {
  onSeen = listener;
}

export class Chart {
  /**
   * @param {HTMLElement} parent
   * @param {{title: string, range?: [number, number], view: object, marks: object, tools?: HTMLElement, naming?: (name: string) => string, reading?: (value: number|null) => string}} options
   * `view`: {from, to}; `marks`: what is drawn under the lines, see underlay.js; both are shared by all charts.
   */
  constructor(parent, { title, range, view, marks, tools, naming = (name) => name, reading = short }) {
    Object.assign(this, { title, view, marks, naming, reading, range, graph: null, visible: false, stale: true, loaded: 0, step: 1000, labels: [], width: 0, pointed: null });
    /** @type {Map<string, Line>} what was measured */
    this.lines = new Map();
    /** @type {Map<string, Line>} what is shown beside it: the past, a forecast */
    this.dashed = new Map();
    /** @type {{kind: string, times: number[], low: number[], high: number[], middle?: number[]}[]} */
    this.bands = [];
    this.plot = make('div', { className: 'plot' });
    this.cursor = make('div', { className: 'cursor' });
    this.selection = make('div', { className: 'selection', hidden: true });
    this.readout = make('div', { className: 'readout' });
    this.note = make('div', { className: 'note', hidden: true });
    this.frame = make('div', { className: 'frame' }, this.plot, this.cursor, this.selection, this.note);
    this.box = make('section', { className: 'chart', 'aria-label': title },
      make('div', { className: 'head' }, make('h3', { textContent: title, title }), tools), this.frame, this.readout);
    this.box.chart = this;
    this.frame.chart = this;
    parent.append(this.box);
    charts.add(this);
    seen.observe(this.box);
    sized.observe(this.frame);
  }

  /** @returns {Line} of a series, made where there is none */
  line(name) {
    if (!this.lines.has(name)) this.lines.set(name, new Line());
    return this.lines.get(name);
  }

  /** Everything that is drawn as a line, in the order of its columns. */
  columns() {
    return [...this.lines, ...this.dashed];
  }

  options() {
    const columns = this.columns();
    const pixels = Math.max(100, this.plot.clientWidth - 56);
    const shown = columns.map(([, line]) => visible(line, { from: this.view.from, to: this.view.to, pixels, step: this.step }));
    const rows = rowsOf(shown);
    this.points = rows.length;
    // Dygraphs wants a row; an empty one draws axes alone.
    if (!rows.length) rows.push([new Date(this.view.from), ...columns.map(() => null)]);
    return { file: rows, dateWindow: [this.view.from, this.view.to], valueRange: this.range ?? this.extent(shown), labels: ['time', ...columns.map(([name]) => name)] };
  }

  extent(shown) {
    let [low, high] = [Infinity, -Infinity];
    const take = (values) => { for (const value of values) { if (value < low) low = value; if (value > high) high = value; } };
    for (const { values } of shown) take(values);
    for (const band of this.bands) { take(band.low); take(band.high); }
    return niceRange(low, high);
  }

  styles() {
    const measured = this.lines.size;
    const names = this.columns().map(([name]) => name);
    return {
      colors: names.map((_, i) => (i < measured ? lineColour(i) : lineColour((i - measured) % Math.max(1, measured)))),
      // What is not measured now is not drawn as if it were.
      series: Object.fromEntries(names.map((name, i) => [name, i < measured ? { strokeWidth: 1.5, strokePattern: AGAIN[Math.floor(i / LINES) % AGAIN.length] } : { strokePattern: name.endsWith('forecast') ? [7, 3] : [2, 3], strokeWidth: 1.2 }])),
    };
  }

  make() {
    const { file, ...options } = this.options();
    this.graph = new Dygraph(this.plot, file, {
      ...options,
      ...this.styles(),
      gridLineColor: colour('grid'),
      axisLineColor: colour('line'),
      connectSeparatedPoints: true, // lines of one chart need not have the same times; a real gap holds a NaN
      drawHighlightPointsOnMouseMove: false,
      highlightCircleSize: 0,
      interactionModel: {},
      axes: {
        y: { axisLabelFormatter: (value) => this.reading(value), axisLabelWidth: 46, pixelsPerLabel: 26 },
        x: { ticker: (from, to, pixels) => ticks(from, to, pixels), axisLabelWidth: 72 },
      },
      underlayCallback: (canvas, area, graph) => underlay(canvas, area, graph, this),
    });
    this.labels = options.labels;
  }

  draw() {
    if (!this.visible || !this.frame.clientWidth) {
      this.stale = true;
      return;
    }
    this.stale = false;
    this.width = this.frame.clientWidth;
    if (!this.graph) {
      this.make();
    } else {
      const options = this.options();
      const same = options.labels.length === this.labels.length && options.labels.every((name, i) => name === this.labels[i]);
      if (same) delete options.labels;
      else Object.assign(options, this.styles());
      this.labels = options.labels ?? this.labels;
      this.graph.updateOptions(options);
    }
    const first = [...this.lines.values()].find((line) => line.length);
    this.plot.dataset.points = String(this.points);
    this.plot.dataset.last = first ? String(first.times.at(-1)) : '';
    this.point(this.pointed);
  }

  resize() {
    this.width = this.frame.clientWidth;
    if (!this.graph || !this.width) return;
    this.graph.resize();
    this.draw();
  }

  restyle() {
    if (this.graph) this.graph.updateOptions({ ...this.styles(), gridLineColor: colour('grid'), axisLineColor: colour('line') }, true);
    this.stale = true;
    this.draw();
  }

  /** @returns {number} the time at a place in the frame, px from its left */
  timeAt(x) {
    return this.graph ? this.graph.toDataXCoord(x) : this.view.from;
  }

  /** Mark a moment and read it out; null: the newest. @param {number|null} ms */
  point(ms) {
    this.pointed = ms;
    if (!this.visible || !this.graph) return;
    const area = this.graph.getArea();
    const x = ms === null ? -1 : this.graph.toDomXCoord(ms);
    const within = x >= area.x && x <= area.x + area.w;
    this.cursor.style.transform = `translateX(${within ? x : -9}px)`;
    this.read(ms);
  }

  read(ms) {
    const reach = Math.max(this.step * 1.5, (this.view.to - this.view.from) / 150);
    const parts = [];
    let i = 0;
    for (const [name, line] of this.lines) {
      if (i >= LINES_READ) break;
      const value = ms === null ? (line.length ? line.values[line.length - 1] : null) : line.near(ms, reach);
      parts.push([lineColour(i), this.reading(value), this.lines.size > 1 ? this.naming(name) : '']);
      i += 1;
    }
    for (const band of this.bands) {
      if (ms === null || band.kind !== 'spread') continue;
      const at = nearest(band.times, ms);
      if (at >= 0) parts.push(['', `${this.reading(band.low[at])} – ${this.reading(band.high[at])}, p95 ${this.reading(band.middle[at])}`, '']);
    }
    while (this.readout.childElementCount > parts.length) this.readout.lastElementChild.remove();
    while (this.readout.childElementCount < parts.length) this.readout.append(make('span', {}, make('i'), make('b'), ''));
    parts.forEach(([ink, value, name], k) => {
      const [swatch, bold, text] = this.readout.children[k].childNodes;
      swatch.style.backgroundColor = ink;
      if (bold.textContent !== value) bold.textContent = value;
      if (text.data !== (name ? ` ${name}` : '')) text.data = name ? ` ${name}` : '';
    });
  }

  /** Say in the plot why nothing is drawn. @param {string} text empty: nothing */
  say(text) {
    this.note.hidden = !text;
    this.note.textContent = text;
  }

  /** @returns {{from: number, to: number}} */
  screenOf() {
    return this.view;
  }

  trim(ms) {
    for (const line of this.lines.values()) line.trim(ms);
  }

  clear() {
    this.lines.clear();
    this.dashed.clear();
    this.bands = [];
  }

  remove() {
    charts.delete(this);
    seen.unobserve(this.box);
    sized.unobserve(this.frame);
    this.graph?.destroy();
    this.box.remove();
  }
}

function nearest(times, ms) {
  let best = -1;
  let [low, high] = [0, times.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= ms) { best = middle; low = middle + 1; } else high = middle - 1;
  }
  return best;
}

onScheme(() => { for (const chart of charts) chart.restyle(); });
