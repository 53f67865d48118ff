// What leaves the page: a chart as PNG or CSV, and the link to the same query.

import { parametersOf } from './api.js';
import { make } from './dom.js';
import { queryOf } from './history.js';
import { colour } from './scheme.js';
import { full, zoneName } from './time.js';
import { view } from './view.js';

const MARGIN_PX = 8;
const HEAD_PX = 22;
const FOOT_PX = 20;

/** The menu of a chart. @param {() => import('./chart.js').Chart} chartOf @param {() => import('./series.js').SeriesOf} seriesOf */
export function chartTools(chartOf, seriesOf) {
  const menu = make('details', { className: 'tools' }, make('summary', { textContent: '⋯', 'aria-label': 'Take this chart along', title: 'PNG, CSV, query' }));
  menu.addEventListener('toggle', () => {
    if (!menu.open || menu.childElementCount > 1) return;
    const chart = chartOf();
    const series = seriesOf();
    const action = (text, does) => make('button', { type: 'button', textContent: text, onclick: () => { menu.open = false; does(); } });
    const query = make('a', { textContent: 'Query', target: '_blank', rel: 'noreferrer' });
    query.onclick = () => { query.href = queryUrl(series, [chart.metric]); menu.open = false; };
    query.href = queryUrl(series, [chart.metric]);
    menu.append(make('div', { className: 'menu' },
      action('PNG', () => png(chart, series.entity)),
      action('CSV', () => save(new Blob([csv([chart])], { type: 'text/csv' }), `${fileName(series.entity, chart.metric)}.csv`)),
      query));
  });
  return menu;
}

/** @returns {string} the address that answers with the same numbers, as JSON */
export function queryUrl(series, metrics, extra = {}) {
  return `/api/v1/range?${parametersOf({ ...queryOf(series, metrics, series.stat(metrics[0] ?? ''), view), ...extra })}`;
}

function fileName(...words) {
  return words.join('-').replace(/[^\w.-]+/g, '_').slice(0, 100) || 'chart';
}

/** @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const href = URL.createObjectURL(blob);
  const link = make('a', { href, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/** What is seen, as text: a row a time, a column a line. @param {import('./chart.js').Chart[]} charts */
export function csv(charts) {
  const columns = charts.flatMap((chart) => chart.columns().map(([name, line]) => [name, line, chart.screenOf()]));
  const rows = new Map();
  columns.forEach(([, line, { from, to }], k) => {
    for (let i = line.find(from); i < line.length && line.times[i] <= to; i += 1) {
      const ms = line.times[i];
      if (!rows.has(ms)) rows.set(ms, columns.map(() => ''));
      rows.get(ms)[k] = String(line.values[i]);
    }
  });
  const head = ['timestamp', ...columns.map(([name]) => name)].map(quoted);
  const lines = [...rows].sort(([a], [b]) => a - b).map(([ms, values]) => [ms, ...values].join(','));
  return `${[head.join(','), ...lines].join('\n')}\n`;
}

function quoted(text) {
  // A cell that a spreadsheet would run as a formula is made plain text.
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

/** Paint what the chart shows on one canvas, labels included, and save it. */
async function png(chart, entity) {
  const box = chart.frame.getBoundingClientRect();
  const scale = devicePixelRatio || 1;
  const canvas = make('canvas', { width: (box.width + 2 * MARGIN_PX) * scale, height: (box.height + HEAD_PX + FOOT_PX + 2 * MARGIN_PX) * scale });
  const pen = canvas.getContext('2d');
  pen.scale(scale, scale);
  pen.fillStyle = colour('panel');
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = colour('ink');
  pen.font = '600 13px system-ui, sans-serif';
  pen.fillText(`${entity} · ${chart.title}`, MARGIN_PX, MARGIN_PX + 13, box.width);
  for (const drawn of chart.plot.querySelectorAll('canvas')) {
    const at = drawn.getBoundingClientRect();
    pen.drawImage(drawn, at.left - box.left + MARGIN_PX, at.top - box.top + HEAD_PX + MARGIN_PX, at.width, at.height);
  }
  pen.fillStyle = colour('quiet');
  pen.font = '11px system-ui, sans-serif';
  pen.textBaseline = 'top';
  for (const label of chart.plot.querySelectorAll('.dygraph-axis-label')) {
    const at = label.getBoundingClientRect();
    const right = label.classList.contains('dygraph-axis-label-y');
    pen.textAlign = right ? 'right' : 'center';
    pen.fillText(label.textContent, (right ? at.right : (at.left + at.right) / 2) - box.left + MARGIN_PX, at.top - box.top + HEAD_PX + MARGIN_PX);
  }
  pen.textAlign = 'left';
  pen.fillText(`${full(chart.screenOf().from)} to ${full(chart.screenOf().to)} (${zoneName()})`, MARGIN_PX, box.height + HEAD_PX + MARGIN_PX + 4);
  const blob = await new Promise((done) => { canvas.toBlob(done, 'image/png'); });
  save(blob, `${fileName(entity, chart.title)}.png`);
}
