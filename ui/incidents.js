// Incidents: what happened, told here or by other systems; each is a label that the models learn from.

import { get, post } from './api.js';
import { button, grid, make } from './dom.js';
import { local, moment } from './time.js';

const SEVERITIES = ['critical', 'major', 'minor', 'warning', 'info'];

/** @param {HTMLElement} box @param {(entity: string, from: number, to: number) => void} look */
export async function showIncidents(box, look) {
  const found = await get('incidents');
  const again = () => showIncidents(box, look);
  const rows = found.slice(0, 500).map((one) => [
    button(one.entity, () => look(one.entity, one.start - 1_800_000, (one.end ?? Date.now()) + 1_800_000), { className: 'link' }),
    moment(one.start, Infinity),
    one.end ? moment(one.end, Infinity) : 'open',
    one.severity,
    one.title || '–',
    one.resolution || '–',
    one.source,
    make('span', { className: 'bar' }, button('Edit', () => edit(box, one, again)), one.end ? null : button('Close', () => close(box, one, again))),
  ]);
  box.replaceChildren(
    make('div', { className: 'bar' }, make('h2', { textContent: 'Incidents' }), button('Add one', () => edit(box, {}, again))),
    rows.length
      ? grid(['entity', 'began', 'ended', 'severity', 'title', 'what ended it', 'told by', ''], rows, `${found.length} incidents, the newest first`)
      : make('p', { textContent: 'None yet. Mark one: zoom to where it was and press “Mark as incident”, add it here, or let Alertmanager or PagerDuty tell (see README).' }),
  );
}

function close(box, one, again) {
  edit(box, { ...one, end: Date.now() }, again, 'resolution');
}

/** Show a form for an incident; `given` may lack anything. @param {() => any} done */
export function edit(box, given, done, focus = 'title') {
  const field = (name, properties, label) => {
    const input = make(properties.options ? 'select' : 'input', { name, id: `incident-${name}`, ...properties.of });
    for (const option of properties.options ?? []) input.append(make('option', { value: option, textContent: option }));
    if (properties.value !== undefined) input.value = properties.value;
    return make('label', { htmlFor: input.id }, label, input);
  };
  const problem = make('p', { role: 'alert' });
  const form = make('form', { className: 'panel' },
    make('h2', { textContent: given.id ? 'Change an incident' : 'An incident' }),
    field('entity', { value: given.entity ?? '', of: { required: true } }, 'Entity'),
    field('start', { value: given.start ? local(given.start) : '', of: { type: 'datetime-local', required: true, step: 1 } }, 'Began'),
    field('end', { value: given.end ? local(given.end) : '', of: { type: 'datetime-local', step: 1 } }, 'Ended (empty: still open)'),
    field('severity', { options: SEVERITIES, value: given.severity ?? 'major' }, 'Severity'),
    field('title', { value: given.title ?? '' }, 'Title'),
    field('resolution', { value: given.resolution ?? '' }, 'What ended it (recommended the next time)'),
    problem,
    make('div', { className: 'bar' }, make('button', { type: 'submit', textContent: 'Save' }), button('Cancel', done)));
  form.onsubmit = async (event) => {
    event.preventDefault();
    const said = Object.fromEntries(new FormData(form));
    const body = { ...said, start: new Date(said.start).getTime(), end: said.end ? new Date(said.end).getTime() : null };
    if (given.id) body.id = given.id;
    if (given.external_id) body.external_id = given.external_id;
    try {
      await post('incidents', body);
      done();
    } catch (error) {
      problem.textContent = `Not saved: ${error.message}`;
    }
  };
  box.replaceChildren(form);
  form.elements[focus]?.focus();
}
