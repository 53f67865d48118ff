// Incidents: what happened, told here or by other systems; each is a label that the models learn from.

import { get, post, remove } from './api.js';
import { ask, button, field, grid, make } from './dom.js';
import { importing } from './import.js';
import { fromInput, full, length, toInput, zoneName } from './time.js';

const SEVERITIES = ['critical', 'major', 'minor', 'warning', 'info'];
const SHOWN = 500;

/** @param {HTMLElement} box @param {{look: (entity: string, from: number, to: number) => void}} does */
export async function showIncidents(box, { look }) {
  const found = await get('incidents');
  const again = () => showIncidents(box, { look });
  const rows = found.slice(0, SHOWN).map((one) => [
    button(one.entity, () => look(one.entity, one.start - 1_800_000, (one.end ?? Date.now()) + 1_800_000), { className: 'link', title: 'Show this time in the charts' }),
    full(one.start),
    one.end ? `${full(one.end)} (${length(one.end - one.start)})` : make('span', { className: 'state', dataset: { flag: '1' }, textContent: '● open' }),
    one.severity,
    one.title || '–',
    one.resolution || '–',
    one.source,
    make('span', { className: 'bar tight' },
      one.end ? null : button('Close', () => editIncident({ ...one, end: Date.now() }, again, 'resolution'), { className: 'small' }),
      button('Edit', () => editIncident(one, again), { className: 'small' })),
  ]);
  box.replaceChildren(
    make('div', { className: 'bar' }, make('h2', { textContent: 'Incidents' }), button('Add one', () => editIncident({}, again)), button('Import CSV or JSON', () => importing(again))),
    rows.length
      ? grid(['entity', 'began', 'ended', 'severity', 'title', 'what ended it', 'told by', ''], rows, `${found.length} incidents, the newest first${found.length > SHOWN ? `; the first ${SHOWN} are shown` : ''}. Times are ${zoneName()}.`)
      : make('p', { className: 'message', textContent: 'None yet. Mark one by dragging over a chart (Mark incident), add it here, import a file, or let Alertmanager or PagerDuty tell.' }),
  );
}

/**
 * A form for an incident; `given` may lack anything. @param {object} given @param {() => any} done called when it was saved or withdrawn
 * @param {'title'|'resolution'} focus
 */
export function editIncident(given, done, focus = 'title') {
  const input = (name, properties) => make('input', { name, id: `incident-${name}`, maxLength: 2000, ...properties });
  const inputs = {
    entity: input('entity', { value: given.entity ?? '', required: true }),
    start: input('start', { type: 'datetime-local', step: 1, required: true, value: given.start ? toInput(given.start) : '' }),
    end: input('end', { type: 'datetime-local', step: 1, value: given.end ? toInput(given.end) : '' }),
    severity: make('select', { id: 'incident-severity' }, ...[...new Set([...SEVERITIES, given.severity ?? 'major'])].map((value) => make('option', { value, textContent: value }))),
    title: input('title', { value: given.title ?? '' }),
    resolution: input('resolution', { value: given.resolution ?? '' }),
  };
  inputs.severity.value = given.severity ?? 'major';
  const save = async () => {
    const time = (name, was) => {
      if (!inputs[name].value) return null;
      // What was not touched keeps its milliseconds.
      return was && inputs[name].value === toInput(was) ? was : fromInput(inputs[name].value);
    };
    const body = { entity: inputs.entity.value, start: time('start', given.start), end: time('end', given.end), severity: inputs.severity.value, title: inputs.title.value, resolution: inputs.resolution.value };
    if (body.start === null) throw new Error('say when it began');
    if (given.id) body.id = given.id;
    if (given.external_id) body.external_id = given.external_id;
    await post('incidents', body);
    done();
  };
  const dialog = ask(given.id ? 'Change an incident' : 'An incident', [
    field('Entity', inputs.entity),
    field(`Began (${zoneName()})`, inputs.start),
    field('Ended', inputs.end, 'empty: still open'),
    field('Severity', inputs.severity),
    field('Title', inputs.title),
    field('What ended it', inputs.resolution, 'recommended when the like happens again'),
  ], save);
  if (given.id) {
    dialog.querySelector('.bar').append(button('Withdraw: it was none', async () => {
      await remove(`incidents/${encodeURIComponent(given.id)}`);
      dialog.close();
      done();
    }, { className: 'small' }));
  }
  inputs[focus].focus();
  return dialog;
}
