// Keyboard: one key a deed; `?` lists them.

import { button, grid, make } from './dom.js';

/** @param {Record<string, [string, () => void]>} keys key → what it does, in words and in deed */
export function listen(keys) {
  const spelled = { ArrowLeft: '←', ArrowRight: '→' };
  const help = make('dialog', { 'aria-label': 'Keys' },
    grid(['key', 'does'], [['?', 'this list'], ...Object.entries(keys).map(([key, [words]]) => [make('kbd', { textContent: spelled[key] ?? key }), words])], 'Keys'),
    make('p', { className: 'quiet', textContent: 'On a chart: drag zooms, Shift and drag pans, Alt and drag marks an incident, a click pins the window, a double click zooms out.' }),
    button('Close', () => help.close()));
  document.body.append(help);
  const open = () => help.showModal();
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (event.target.matches?.('input, select, textarea, .rows, .rows *') && event.key !== 'Escape') return;
    if (event.key === '?') open();
    else if (Object.hasOwn(keys, event.key)) {
      event.preventDefault();
      keys[event.key][1]();
    }
  });
  return open;
}
