// Alerts: what fires, who was told and how often it was tried, and what holds alerts back.

import { get, post, remove } from './api.js';
import { button, grid, make } from './dom.js';
import { moment } from './time.js';

const HOURS = [1, 4, 24];

/** @param {HTMLElement} box @param {(entity: string, from: number, to: number) => void} look */
export async function showAlerts(box, look) {
  const [alerts, silences] = await Promise.all([get('alerts'), get('silences')]);
  const again = () => showAlerts(box, look);
  const rank = { firing: 0, pending: 1, resolved: 2 };
  alerts.sort((a, b) => rank[a.state] - rank[b.state] || b.start - a.start);
  const rows = alerts.slice(0, 300).map((one) => [
    make('span', { className: 'state', dataset: { flag: one.state === 'firing' ? '1' : '0' }, textContent: held(one) }),
    button(one.entity, () => look(one.entity, one.start - 1_800_000, (one.end ?? Date.now()) + 600_000), { className: 'link' }),
    one.rollup,
    moment(one.start, Infinity),
    one.end ? moment(one.end, Infinity) : '–',
    one.annotations.summary ?? '–',
    make('span', {}, one.deliveries.slice(0, 6).map(delivery).join('; ') || 'nobody was to be told'),
    one.state === 'firing' ? make('span', { className: 'bar' }, ...HOURS.map((h) => button(`Silence ${h} h`, () => silence(one.entity, h).then(again)))) : '',
  ]);
  const quiet = silences.filter((one) => one.state !== 'expired').map((one) => [
    one.state,
    one.matchers.map((m) => `${m.name}${m.isEqual === false ? '!' : ''}${m.isRegex ? '=~' : '='}${m.value}`).join(', '),
    moment(one.end, Infinity),
    one.created_by || '–',
    one.comment || '–',
    button('End it', () => remove(`silences/${encodeURIComponent(one.id)}`).then(again)),
  ]);
  box.replaceChildren(
    make('h2', { textContent: 'Alerts' }),
    rows.length
      ? grid(['state', 'entity', 'rollup', 'since', 'until', 'what', 'told', ''], rows, `${alerts.length} alerts, firing first`)
      : make('p', { textContent: 'No alert has been raised. Name targets under [[alerts.targets]] to be told (see README).' }),
    make('h2', { textContent: 'Silences' }),
    quiet.length ? grid(['state', 'matches', 'until', 'by', 'comment', ''], quiet, '') : make('p', { className: 'quiet', textContent: 'Nothing is held back.' }),
  );
}

function held(one) {
  if (one.state !== 'firing') return one.state;
  if (one.silenced_by.length) return '⚑ firing, silenced';
  if (one.inhibited_by) return `⚑ firing, held: ${one.inhibited_by} fires`;
  if (one.maintenance) return '⚑ firing, held: maintenance';
  return one.flapping ? '⚑ firing, flapping' : '⚑ firing';
}

function delivery(one) {
  const words = { delivered: 'told', waiting: 'trying', refused: 'refused', given_up: 'given up' };
  return `${one.target}: ${words[one.state]} (${one.attempts}${one.error ? `, ${one.error.slice(0, 80)}` : ''})`;
}

function silence(entity, hours) {
  return post('silences', { matchers: [{ name: 'entity', value: entity }], end: `+${hours}h`, comment: 'from the page' });
}
