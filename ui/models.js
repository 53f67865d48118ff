// How right the models have been: figures and curves, kept as windows closed, of every rollup and traffic period.

import { get } from './api.js';
import { curve, grid, make } from './dom.js';

/** @param {HTMLElement} box */
export async function showModels(box) {
  const cards = await get('models');
  const whole = await Promise.all(cards.slice(0, 60).map((card) => get(`models/${encodeURIComponent(card.id)}`).catch(() => card)));
  const number = (value, digits = 3) => (value === null || value === undefined ? '–' : value.toFixed(digits));
  const rows = whole.map((card) => [
    `${card.rollup} · ${card.period}`,
    card.champion ? `${card.kind}, answers` : `${card.kind}, learns in the shadow`,
    String(card.windows),
    String(card.incidents),
    number(card.roc_auc),
    number(card.average_precision),
    number(card.brier, 4),
    lead(card.lead_time),
    figure(card.roc_curve, (row) => [row[0], row[1]], `ROC curve of ${card.id}`),
    figure(card.calibration_curve, (row) => [row[0], row[1]], `calibration curve of ${card.id}`),
  ]);
  const head = ['rollup · period', 'kind', 'windows', 'incidents', 'ROC AUC', 'average precision', 'Brier', 'lead time', 'ROC', 'calibration'];
  box.replaceChildren(
    make('h2', { textContent: 'Models' }),
    make('p', { className: 'quiet', textContent: 'Each window was scored when it closed and compared later, when it was known what came of it. A curve above the dashed line is better than chance; a calibration curve on it means that 30 % is 30 %.' }),
    rows.length ? grid(head, rows, '') : make('p', { textContent: 'No model has closed a window yet. They appear a few seconds after the first samples.' }),
  );
}

function lead(times) {
  const seconds = times?.median_s ?? times?.median;
  return seconds === null || seconds === undefined ? '–' : `${Math.round(seconds / 60)} min`;
}

function figure(points, of, label) {
  const known = (points ?? []).map(of).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  return known.length > 1 ? curve(known, label) : make('span', { className: 'quiet', textContent: 'needs incidents' });
}

