// The one view that all parts of the page share: what is chosen, told to whoever listens, kept in the address.

import { decode, encode } from './address.js';
import { ownZone, setZone } from './time.js';

/** @type {import('./address.js').View} */
export const view = decode(location.hash);
const listeners = [];

/** @param {(changed: Set<string>) => void} listener */
export function onView(listener) {
  listeners.push(listener);
}

/** Change the view. @param {Partial<import('./address.js').View>} patch @param {{step?: boolean}} how `step`: back undoes it */
export function change(patch, { step = false } = {}) {
  const changed = new Set(Object.keys(patch).filter((name) => JSON.stringify(view[name]) !== JSON.stringify(patch[name])));
  if (!changed.size) return;
  Object.assign(view, patch);
  if (changed.has('zone')) setZone(view.zone || ownZone());
  history[step ? 'pushState' : 'replaceState'](null, '', `#${encode(view)}`);
  for (const listener of listeners) listener(changed);
}

/** Move a live view on: nobody is told, charts draw by themselves. @param {number} now */
export function advance(now) {
  view.to = now;
  view.from = now - view.span;
}

/** @returns {string} the address of just this: a live view's moments are written down, so that it shows the same later */
export function link() {
  return `${location.origin}${location.pathname}#${encode({ ...view, live: false })}`;
}

function follow() {
  const next = decode(location.hash);
  const changed = new Set(Object.keys(next).filter((name) => JSON.stringify(view[name]) !== JSON.stringify(next[name])));
  Object.assign(view, next);
  setZone(view.zone || ownZone());
  if (changed.size) for (const listener of listeners) listener(changed);
}

setZone(view.zone || ownZone());
if (view.live) advance(Date.now());
addEventListener('popstate', follow);
