// Keyboard: one letter a place; `?` lists them.

import { button, grid, make } from './dom.js';

/** @param {Record<string, [string, () => void]>} keys letter → what it does, in words and in deed */
export function listen(keys) {
  const help = make('dialog', { 'aria-label': 'Keys' },
    grid(['key', 'does'], [['?', 'this list'], ...Object.entries(keys).map(([key, [words]]) => [key, words])], 'Keys'),
    button('Close', () => help.close()));
  document.body.append(help);
  addEventListener('keydown', (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== 'Escape')) return;
    if (event.key === '?') help.showModal();
    else if (keys[event.key] && !help.open) {
      event.preventDefault();
      keys[event.key][1]();
    }
  });
}
