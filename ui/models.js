// How right the models have been: figures and curves, kept as windows closed, a card a rollup and traffic period.

import { get } from './api.js';
import { curves, grid, make } from './dom.js';
import { percent } from './numbers.js';
import { length } from './time.js';

const CARDS_MAX = 60;

/** @param {HTMLElement} box */
export async function showModels(box) {
  const listed = await get('models');
  const whole = await Promise.all(listed.slice(0, CARDS_MAX).map((card) => get(`models/${encodeURIComponent(card.id)}`).catch(() => card)));
  const groups = new Map();
  for (const card of whole) {
    const name = `${card.rollup} · ${card.period}`;
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(card);
  }
  const parts = [...groups].sort(([, a], [, b]) => sizeRank(a[0]) - sizeRank(b[0]) || rank(a[0].period) - rank(b[0].period) || a[0].period.localeCompare(b[0].period)).map(([name, cards]) => group(name, cards));
  box.replaceChildren(
    make('div', { className: 'bar' }, make('h2', { textContent: 'Models' })),
    make('p', { className: 'quiet', textContent: 'Each window was scored when it closed and compared later, when it was known what came of it. ROC: a curve above the dashed line is better than chance. Calibration: on the dashed line, 30 % is 30 %. The champion answers; challengers learn in the shadow.' }),
    parts.length ? make('div', { className: 'models' }, ...parts) : make('p', { className: 'message', textContent: 'No model has closed a window yet. They appear a few seconds after the first samples.' }),
  );
}

function sizeRank(card) {
  const found = /^(\d+)(s|m|h|d|w|mo)/.exec(card.rollup);
  return found ? Number(found[1]) * { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, mo: 2_592_000 }[found[2]] : 0;
}

const rank = (period) => (period === 'pooled' ? 0 : 1);

function group(name, cards) {
  cards.sort((a, b) => Number(b.champion) - Number(a.champion) || a.kind.localeCompare(b.kind));
  const called = (card) => `${card.kind}${card.champion ? ' (champion)' : ''}`;
  const number = (value, digits = 3) => (Number.isFinite(value) ? value.toFixed(digits) : '–');
  const rows = cards.map((card, i) => [
    make('span', {}, make('span', { className: 'swatch', dataset: { line: String((i % 8) + 1) }, textContent: card.champion ? '━' : '╍' }), ` ${card.kind}`),
    card.absent ? 'absent' : card.champion ? '★ champion' : 'challenger',
    number(card.roc_auc), number(card.average_precision), number(card.brier, 4), lead(card.lead_time),
    card.absent ? card.absent : `${card.windows} (${card.windows_positive ?? '–'} in incidents)`, String(card.incidents ?? '–'),
  ]);
  const drawn = (field) => cards.map((card) => ({ name: called(card), dashed: !card.champion, points: (card[field] ?? []).map(([x, y]) => [x, y]).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)) }));
  const figure = (field, words) => {
    const those = drawn(field);
    return those.some((one) => one.points.length > 1) ? curves(those, words) : make('p', { className: 'quiet', textContent: `${words.label}: ${wanting(cards)}` });
  };
  return make('section', { className: 'model', 'aria-label': name }, make('h3', { textContent: name }),
    make('div', { className: 'figures' }, figure('roc_curve', { label: 'ROC', x: 'false alarms', y: 'found' }), figure('calibration_curve', { label: 'Calibration', x: 'said', y: 'came true' })),
    grid(['kind', 'role', 'ROC AUC', 'avg. precision', 'Brier', 'lead time', 'windows', 'incidents'], rows, ''));
}

/** @returns {string} why there is no curve yet */
function wanting(cards) {
  if (!cards.some((card) => card.incidents)) return 'needs incidents: tell of some.';
  return cards.some((card) => card.windows) ? 'needs windows before and in incidents.' : 'no window is known yet; what came of one is, an hour after its longest horizon.';
}

function lead(times) {
  const seconds = times?.median_s ?? times?.median;
  if (!Number.isFinite(seconds)) return '–';
  return `${length(seconds * 1000)} median${times.incidents ? `, ${percent(times.warned / times.incidents)} of ${times.incidents} warned` : ''}`;
}
