// A form that holds alerts back: by labels, for a time, with the alerts it would hold.

import { post } from './api.js';
import { ask, button, field, make } from './dom.js';

const NAMES = ['entity', 'rollup', 'period', 'severity', 'alertname'];
const KINDS = { '=': [false, true], '!=': [false, false], '=~': [true, true], '!~': [true, false] };
const HOURS = { '1 h': '+1h', '4 h': '+4h', '12 h': '+12h', '1 day': '+1d', '7 days': '+7d' };

/** @param {{name: string, value: string, isRegex?: boolean, isEqual?: boolean}[]} matchers @param {object[]} alerts that exist @param {() => any} done */
export function makeSilence(matchers, alerts, done) {
  const list = make('div', { className: 'matchers' });
  const held = make('p', { role: 'status', className: 'quiet' });
  const end = make('select', { id: 'silence-end' }, ...Object.entries(HOURS).map(([text, value]) => make('option', { value, textContent: text })));
  end.value = '+4h';
  const comment = make('input', { id: 'silence-comment', maxLength: 2000, placeholder: 'why' });

  const row = ({ name = 'entity', value = '', isRegex = false, isEqual = true } = {}) => {
    const parts = {
      name: make('input', { value: name, 'aria-label': 'Label', required: true }),
      kind: make('select', { 'aria-label': 'How' }, ...Object.keys(KINDS).map((kind) => make('option', { value: kind, textContent: kind }))),
      value: make('input', { value, 'aria-label': 'Value' }),
    };
    parts.name.setAttribute('list', 'silence-names');
    parts.kind.value = Object.keys(KINDS).find((kind) => KINDS[kind][0] === isRegex && KINDS[kind][1] === isEqual);
    const box = make('div', { className: 'bar tight' }, parts.name, parts.kind, parts.value, button('✕', () => { box.remove(); count(); }, { className: 'small', ariaLabel: 'Remove this label' }));
    box.parts = parts;
    box.oninput = count;
    list.append(box);
  };
  const given = () => [...list.children].map(({ parts: { name, kind, value } }) => ({ name: name.value, value: value.value, isRegex: KINDS[kind.value][0], isEqual: KINDS[kind.value][1] }));
  function count() {
    const firing = alerts.filter((one) => one.state === 'firing');
    let those = [];
    try {
      const wanted = given().map((m) => [m, m.isRegex ? new RegExp(`^(?:${m.value})$`) : null]);
      those = firing.filter((one) => wanted.every(([m, pattern]) => {
        const value = one.labels[m.name] ?? '';
        return (pattern ? pattern.test(value) : value === m.value) === m.isEqual;
      }));
    } catch {
      held.textContent = 'A pattern cannot be read yet.';
      return;
    }
    held.textContent = `Of ${firing.length} firing alerts it would hold ${those.length}${those.length ? `: ${those.slice(0, 5).map((one) => one.entity).join(', ')}${those.length > 5 ? ' …' : ''}` : ''}.`;
  }
  for (const one of matchers.length ? matchers : [{}]) row(one);
  count();
  ask('Hold alerts back', [
    make('datalist', { id: 'silence-names' }, ...NAMES.map((value) => make('option', { value }))),
    make('fieldset', {}, make('legend', { textContent: 'Alerts whose labels all match' }), list, button('Another label', () => { row({ name: 'severity' }); count(); }, { className: 'small' })),
    held, field('For', end), field('Comment', comment),
  ], async () => {
    await post('silences', { matchers: given(), end: end.value, comment: comment.value || 'from the page' });
    done();
  }, 'Silence');
}
