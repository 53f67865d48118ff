// Alerts: what fires, who was told and how often it was tried, and what holds alerts back.

import { get, remove } from './api.js';
import { brief } from './brief.js';
import { button, grid, make } from './dom.js';
import { isHeld } from './risk.js';
import { makeSilence } from './silence.js';
import { full, length } from './time.js';

const SHOWN = 300;
const ATTEMPTS_SHOWN = 6;
const RANK = { firing: 0, pending: 1, resolved: 2 };

/** @param {HTMLElement} box @param {{look: (entity: string, from: number, to: number, at?: number) => void,
 *   labelsOf: (entity: string) => Record<string, string[]>}} does */
export async function showAlerts(box, { look, labelsOf }) {
  const [alerts, silences] = await Promise.all([get('alerts'), get('silences')]);
  const again = () => showAlerts(box, { look, labelsOf });
  alerts.sort((a, b) => RANK[a.state] - RANK[b.state] || b.start - a.start);
  const rows = alerts.slice(0, SHOWN).map((one) => [
    make('span', { className: 'state', dataset: { flag: one.state === 'firing' ? '1' : '0' }, textContent: stateOf(one) }),
    button(one.entity, () => look(one.entity, one.start - 1_800_000, (one.end ?? Date.now()) + 600_000, one.start), { className: 'link', title: 'Show this time in the charts' }),
    `${one.rollup}${one.labels.severity ? ` · ${one.labels.severity}` : ''}`,
    full(one.start),
    one.end ? `${full(one.end)} (${length(one.end - one.start)})` : '–',
    brief(one.annotations.summary ?? '–', labelsOf(one.entity)),
    told(one),
    one.state === 'resolved' ? '' : button('Silence…', () => makeSilence([{ name: 'entity', value: one.entity }], alerts, again), { className: 'small' }),
  ]);
  const quiet = silences.filter((one) => one.state !== 'expired').map((one) => [
    one.state === 'active' ? '● active' : '○ pending',
    one.matchers.map((m) => `${m.name}${m.isEqual === false ? '!' : ''}${m.isRegex ? '=~' : '='}${m.value}`).join(', ').replaceAll('!=~', '!~'),
    full(one.end),
    one.created_by || '–',
    one.comment || '–',
    button('End it', () => remove(`silences/${encodeURIComponent(one.id)}`).then(again), { className: 'small' }),
  ]);
  const firing = alerts.filter((one) => one.state === 'firing').length;
  box.replaceChildren(
    make('div', { className: 'bar' }, make('h2', { textContent: 'Alerts' }), button('Make a silence', () => makeSilence([], alerts, again))),
    rows.length
      ? grid(['state', 'entity', 'windows', 'since', 'until', 'what', 'who was told', ''], rows, `${firing} firing, ${alerts.length} in all${alerts.length > SHOWN ? `; the first ${SHOWN} are shown` : ''}`)
      : make('p', { className: 'message', textContent: 'No alert has been raised. To be told of one, name targets under [[alerts.targets]] in foreshock.toml.' }),
    make('h2', { textContent: 'Silences' }),
    quiet.length ? grid(['state', 'matches', 'until', 'by', 'comment', ''], quiet, '') : make('p', { className: 'quiet', textContent: 'Nothing is held back.' }),
  );
}

function stateOf(one) {
  if (one.state !== 'firing') return { pending: '◔ pending', resolved: '✓ resolved' }[one.state] ?? one.state;
  if (one.silenced_by.length) return '⚑ firing, silenced';
  if (one.inhibited_by) return `⚑ firing, held: ${one.inhibited_by} fires`;
  if (one.maintenance) return '⚑ firing, held: maintenance';
  return one.flapping ? '⚑ firing, flapping' : '⚑ firing';
}

function told(one) {
  if (!one.deliveries.length) return make('span', { className: 'quiet', textContent: isHeld(one) ? 'nobody: it is held back' : 'nobody: no target is set (alerts.targets), or not yet' });
  const words = { delivered: '✓ told', waiting: '… trying', refused: '✗ refused', given_up: '✗ given up', silenced: '— held back until it was over' };
  const items = one.deliveries.slice(0, ATTEMPTS_SHOWN).map((d) => make('li', {
    textContent: `${d.target}: ${words[d.state]} at ${full(d.updated)}, ${d.attempts} ${d.attempts === 1 ? 'attempt' : 'attempts'}${d.error ? `: ${d.error.slice(0, 120)}` : ''}${d.next ? `; again ${full(d.next)}` : ''}`,
  }));
  const first = one.deliveries[0];
  return make('details', {}, make('summary', { textContent: `${first.target}: ${words[first.state]} (${first.attempts})${one.deliveries.length > 1 ? ` and ${one.deliveries.length - 1} more` : ''}` }), make('ul', {}, ...items));
}
