// The places of the page: one is shown at a time. Those that are read from the server are read again now and then.

import { showAlerts } from './alerts.js';
import { showIncidents } from './incidents.js';
import { showModels } from './models.js';
import { showSettings } from './settings.js';
import { make, button } from './dom.js';
import { change, onView, view } from './view.js';

const READ = { incidents: showIncidents, alerts: showAlerts, models: showModels, settings: showSettings };
const AGAIN_MS = { incidents: 15_000, alerts: 5000, models: 10_000 };

export class Places {
  /** @param {{overview: import('./overview.js').Overview, look: (entity: string, from: number, to: number, at?: number) => void,
   *   labelsOf: (entity: string) => Record<string, string[]>}} parts */
  constructor({ overview, look, labelsOf }) {
    Object.assign(this, { overview, look, labelsOf, turn: 0, timer: 0 });
    this.tabs = [...document.getElementById('places').children];
    for (const tab of this.tabs) tab.onclick = () => this.go(tab.dataset.place);
    onView((changed) => { if (changed.has('place')) this.show(); });
  }

  go(place) {
    if (place === view.place) this.show();
    else change({ place }, { step: true });
  }

  show() {
    for (const tab of this.tabs) {
      if (tab.dataset.place === view.place) tab.setAttribute('aria-current', 'page');
      else tab.removeAttribute('aria-current');
    }
    const charts = view.place === 'entity';
    const box = document.getElementById('place');
    document.getElementById('time').hidden = !charts;
    document.querySelector('main').hidden = !charts;
    box.hidden = charts;
    box.dataset.place = view.place;
    clearTimeout(this.timer);
    this.turn += 1;
    if (charts) return;
    if (view.place === 'overview') {
      if (this.overview.box.parentElement !== box) box.replaceChildren(this.overview.box);
      this.overview.draw();
      return;
    }
    box.replaceChildren(make('p', { className: 'message', role: 'status', textContent: 'Reading…' }));
    this.read(box, this.turn);
  }

  async read(box, turn) {
    const read = READ[view.place];
    if (!read) return;
    // Made aside, so that nothing jumps while it is read, and put in place of what was there.
    const made = make('div', {});
    try {
      await read(made, { look: this.look, labelsOf: this.labelsOf });
      if (turn !== this.turn) return;
      const open = [...box.querySelectorAll('details')].map((one) => one.open);
      [...made.querySelectorAll('details')].forEach((one, i) => { one.open = open[i] ?? one.open; });
      box.replaceChildren(made);
    } catch (error) {
      if (turn !== this.turn) return;
      box.replaceChildren(make('p', { className: 'message', role: 'alert' }, `Cannot show this: ${error.message}. `, button('Try again', () => this.show(), { className: 'small' })));
    }
    if (AGAIN_MS[view.place]) this.timer = setTimeout(() => this.again(box, turn), AGAIN_MS[view.place]);
  }

  again(box, turn) {
    // Not under somebody's hands.
    if (document.hidden || document.querySelector('dialog[open]') || (box.contains(document.activeElement) && document.activeElement.matches('input, select, button, summary'))) {
      this.timer = setTimeout(() => this.again(box, turn), 2000);
      return;
    }
    if (turn === this.turn) this.read(box, turn);
  }
}
