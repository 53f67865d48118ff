// The only file that says Dygraph: charts that share cursor, zoom and shading.

import { moment, short } from './time.js';

// Its own legend writes names as HTML and measures by a style attribute, which our content policy refuses.
Dygraph.PLUGINS = Dygraph.PLUGINS.filter((plugin) => plugin !== Dygraph.Plugins.Legend);

const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#8a7b00', '#7f7f7f'];

/** @type {Set<Chart>} */
const all = new Set();
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const chart = entry.target.chart;
    chart.visible = entry.isIntersecting;
    if (chart.visible && chart.stale) chart.draw();
  }
}, { rootMargin: '200px' });

export class Chart {
  /**
   * @param {HTMLElement} parent
   * @param {{title: string, table: import('./table.js').Table, range?: [number, number], view: object}} options
   * `view` is shared by all charts: {from, to, shades: [{start, end, kind}], onZoom(from, to), onPick(ms)}.
   */
  constructor(parent, { title, table, range, view }) {
    this.table = table;
    this.view = view;
    this.stale = true;
    this.visible = false;
    this.box = document.createElement('section');
    this.box.className = 'chart';
    this.box.setAttribute('aria-label', title);
    this.box.chart = this;
    const heading = document.createElement('h3');
    heading.textContent = title;
    this.readout = document.createElement('div');
    this.readout.className = 'readout';
    this.plot = document.createElement('div');
    this.plot.className = 'plot';
    this.box.append(heading, this.plot, this.readout);
    parent.append(this.box);
    this.graph = null;
    this.valueRange = range;
    all.add(this);
    seen.observe(this.box);
  }

  make() {
    const style = getComputedStyle(document.documentElement);
    this.graph = new Dygraph(this.plot, this.table.rows.length ? this.table.rows : [[new Date(this.view.from), ...this.table.columns.map(() => null)]], {
      labels: ['time', ...this.table.columns],
      colors: this.table.columns.map((_, i) => COLOURS[i % COLOURS.length]),
      dateWindow: [this.view.from, this.view.to],
      valueRange: this.valueRange ?? null,
      includeZero: !this.valueRange,
      gridLineColor: style.getPropertyValue('--line'),
      axisLineColor: style.getPropertyValue('--line'),
      strokeWidth: 1.4,
      series: patterns(this.table.columns),
      connectSeparatedPoints: true, // series of one chart need not have the same times; a real gap holds a NaN
      axes: { y: { valueFormatter: short, axisLabelFormatter: short, axisLabelWidth: 44 }, x: { axisLabelWidth: 64 } },
      highlightCallback: (_, ms) => this.pointAt(ms),
      unhighlightCallback: () => { for (const chart of all) chart.unpoint(); },
      zoomCallback: (from, to) => this.view.onZoom(from, to),
      clickCallback: (_, ms) => this.view.onPick(ms),
      underlayCallback: (canvas, area, graph) => this.shade(canvas, area, graph),
      interactionModel: panning(this),
    });
  }

  pointAt(ms) {
    for (const chart of all) chart.point(ms);
  }

  point(ms) {
    if (!this.visible || !this.graph || !this.table.rows.length) return;
    const at = Math.min(this.table.find(ms), this.table.rows.length - 1);
    const row = this.table.rows[at];
    this.readout.replaceChildren(`${moment(row[0], this.view.to - this.view.from)} `);
    this.table.columns.slice(0, 8).forEach((name, i) => {
      if (row[i + 1] === null) return;
      const bold = document.createElement('b');
      bold.style.color = COLOURS[i % COLOURS.length];
      bold.textContent = ` ${short(row[i + 1])}`;
      this.readout.append(bold, ` ${name}`);
    });
    this.graph.setSelection(at);
  }

  unpoint() {
    if (this.graph && this.visible) this.graph.clearSelection();
    this.readout.replaceChildren();
  }

  shade(canvas, area, graph) {
    const style = getComputedStyle(document.documentElement);
    this.band(canvas, graph, style.getPropertyValue('--band'));
    let shown = 0;
    for (const { start, end, kind } of this.view.shades) {
      const left = Math.max(area.x, graph.toDomXCoord(start));
      const right = Math.min(area.x + area.w, graph.toDomXCoord(end));
      if (right < area.x || left > area.x + area.w) continue;
      canvas.fillStyle = style.getPropertyValue(kind === 'incident' ? '--incident' : '--flag');
      canvas.fillRect(left, area.y, Math.max(2, right - left), area.h);
      if (kind !== 'incident') {
        canvas.fillStyle = style.getPropertyValue('--flag-edge');
        canvas.fillRect(left, area.y, Math.max(2, right - left), 3); // a bar as well, not the colour alone
        shown += 1;
      }
    }
    this.plot.dataset.flags = String(shown);
  }

  /** Fill between the forecast's low and high. */
  band(canvas, graph, colour) {
    const [low, high] = [this.table.index.get('low'), this.table.index.get('high')];
    if (low === undefined || high === undefined) return;
    const rows = this.table.rows.filter((row) => row[low + 1] !== null && row[high + 1] !== null);
    if (!rows.length) return;
    const at = (row, column) => [graph.toDomXCoord(row[0].getTime()), graph.toDomYCoord(row[column + 1])];
    canvas.fillStyle = colour;
    canvas.beginPath();
    for (const row of rows) canvas.lineTo(...at(row, high));
    for (const row of rows.reverse()) canvas.lineTo(...at(row, low));
    canvas.fill();
  }

  draw() {
    if (!this.visible) {
      this.stale = true;
      return;
    }
    this.stale = false;
    if (!this.graph) {
      this.make();
    } else {
      const labels = ['time', ...this.table.columns];
      const options = { file: this.table.rows, dateWindow: [this.view.from, this.view.to] };
      if (this.graph.numColumns() !== labels.length) {
        options.labels = labels;
        options.colors = this.table.columns.map((_, i) => COLOURS[i % COLOURS.length]);
        options.series = patterns(this.table.columns);
      }
      if (this.table.rows.length) this.graph.updateOptions(options);
    }
    this.plot.dataset.points = String(this.table.rows.length);
    this.plot.dataset.last = this.table.rows.length ? String(this.table.rows.at(-1)[0].getTime()) : '';
  }

  remove() {
    all.delete(this);
    seen.unobserve(this.box);
    this.graph?.destroy();
    this.box.remove();
  }
}

/** What is not measured now is not drawn as if it were: forecasts and the past are broken lines. */
function patterns(columns) {
  const broken = { forecast: [7, 3], low: [2, 4], high: [2, 4] };
  const past = (name) => (/ ago$/.test(name) ? [3, 3] : null);
  return Object.fromEntries(columns.map((name) => [name, { strokePattern: broken[name] ?? past(name) }]));
}

/** Drag zooms, shift-drag pans; when a pan ends the view is told. */
function panning(chart) {
  const model = Dygraph.defaultInteractionModel;
  return {
    ...model,
    mouseup(event, graph, context) {
      const panned = context.isPanning;
      model.mouseup?.(event, graph, context);
      if (panned) chart.view.onZoom(...graph.xAxisRange());
    },
    mousedown(event, graph, context) {
      model.mousedown(event, graph, context);
      if (!context.isPanning) return;
      const done = () => {
        document.removeEventListener('mouseup', done);
        chart.view.onZoom(...graph.xAxisRange());
      };
      document.addEventListener('mouseup', done);
    },
    dblclick() { chart.view.onZoom(null, null); },
  };
}
