// The settings, read-only: each value with what it means and how to change it; secrets are masked by the server.

import { get } from './api.js';
import { grid, make } from './dom.js';

/** @param {HTMLElement} box */
export async function showSettings(box) {
  const rows = await get('settings');
  const find = make('input', { type: 'search', placeholder: 'find a setting', 'aria-label': 'Find a setting' });
  const list = make('div', { className: 'settings' });
  const draw = () => {
    const wanted = find.value.toLowerCase();
    const sections = new Map();
    for (const row of rows) {
      if (wanted && !`${row.key} ${row.means} ${row.environment}`.toLowerCase().includes(wanted)) continue;
      const [section] = row.key.split('.');
      if (!sections.has(section)) sections.set(section, []);
      sections.get(section).push([
        make('code', { textContent: row.key }),
        make('span', {}, make('span', { className: 'value', textContent: shown(row.value) }), row.set ? make('span', { className: 'tag', textContent: 'set' }) : null),
        row.set ? shown(row.default) : '–',
        row.means,
        make('code', { textContent: row.environment }),
      ]);
    }
    list.replaceChildren(...[...sections].map(([section, lines]) => grid(['key', 'value', 'default', 'what it means', 'in the environment'], lines, `[${section}]`)));
    if (!sections.size) list.append(make('p', { className: 'message', textContent: 'No setting fits. Clear the search to see all.' }));
  };
  find.oninput = draw;
  draw();
  box.replaceChildren(make('div', { className: 'bar' }, make('h2', { textContent: 'Settings' }), find),
    make('p', { className: 'quiet', textContent: 'Read-only here: change foreshock.toml (--config) or the environment, and start again. Secrets are masked.' }), list);
}

function shown(value) {
  if (value === '') return '(empty)';
  if (Array.isArray(value)) return value.length ? value.map((one) => (typeof one === 'object' ? JSON.stringify(one) : one)).join(', ') : '(none)';
  if (value && typeof value === 'object') return Object.keys(value).length ? Object.entries(value).map(([key, one]) => `${key} = ${JSON.stringify(one)}`).join(', ') : '(none)';
  return String(value);
}
