// The bar that chooses the time and what is shown beside it.

import { ask, button, field, make } from './dom.js';
import { queryUrl } from './export.js';
import { DAY, fromInput, ownZone, setZone, toInput } from './time.js';
import { change, link, onView, view } from './view.js';

const PRESETS = {
  '5 min': 300_000, '15 min': 900_000, '1 h': 3_600_000, '6 h': 21_600_000, '1 day': DAY, '7 days': 7 * DAY, '30 days': 30 * DAY, '90 days': 90 * DAY, '1 year': 365 * DAY, '5 years': 5 * 365 * DAY,
};
const BESIDE = { '1d': 'day ago', '1w': 'week ago', '1mo': 'month ago' };
const SPAN_MS_MIN = 5000;

export class TimeBar {
  /** @param {HTMLElement} box @param {{board: import('./board.js').Board, say: (text: string) => void}} parts */
  constructor(box, { board, say }) {
    Object.assign(this, { board, marking: false });
    this.live = button('● Live', () => this.goLive(), { id: 'live', title: 'l' });
    this.span = make('select', { id: 'span', 'aria-label': 'Span of time' }, ...Object.entries(PRESETS).map(([text, value]) => make('option', { value: String(value), textContent: text })));
    this.span.onchange = () => { if (this.span.value) this.goLive(Number(this.span.value)); };
    this.between = button('From–to', () => this.choose(), { id: 'between', title: 't' });
    this.zone = make('select', { id: 'zone', 'aria-label': 'Time zone' }, ...zones().map(([value, text]) => make('option', { value, textContent: text })));
    this.zone.onchange = () => change({ zone: this.zone.value });
    this.beside = Object.entries(BESIDE).map(([value, text]) => button(text, () => this.toggleBeside(value), { dataset: { beside: value }, title: `Draw the same time a ${text} beside it` }));
    this.forecast = button('Forecast', () => change({ forecast: !view.forecast }, { step: true }), { id: 'forecast', title: 'f' });
    this.band = button('Spread', () => change({ band: !view.band }), { id: 'band', title: 'Least to greatest within each window, p95 dotted (b)' });
    this.mark = button('Mark incident', () => this.setMarking(!this.marking), { id: 'mark', title: 'Then drag over a chart (n); or drag with Alt' });
    this.csv = make('a', { id: 'csv', textContent: 'CSV', title: 'The same query, as CSV', download: 'foreshock.csv', href: '#' });
    this.copy = button('Link', async () => {
      try {
        await navigator.clipboard.writeText(link());
        say('The link to this moment is on the clipboard.');
      } catch {
        history.replaceState(null, '', link());
        say('The clipboard is refused here: the address above is now the link to this moment.');
      }
    }, { id: 'link', title: 'Copy a link to just this moment' });
    this.resolution = make('span', { id: 'resolution', className: 'quiet', role: 'status' });
    box.append(
      make('span', { className: 'set' }, this.live, this.span, this.between, button('−', () => this.scale(2), { title: 'Zoom out (-)', ariaLabel: 'Zoom out' }), button('+', () => this.scale(0.5), { title: 'Zoom in (+)', ariaLabel: 'Zoom in' }), this.zone),
      make('span', { className: 'set', role: 'group', 'aria-label': 'Beside it' }, ...this.beside, this.forecast, this.band),
      make('span', { className: 'set' }, this.mark, this.copy, this.csv, this.resolution));
    onView(() => this.show());
    this.show();
  }

  show() {
    this.live.setAttribute('aria-pressed', String(view.live));
    const preset = Object.values(PRESETS).includes(view.span) && view.live;
    let own = this.span.querySelector('[value=""]');
    if (!preset && !own) { own = make('option', { value: '', textContent: 'chosen' }); this.span.prepend(own); }
    this.span.value = preset ? String(view.span) : '';
    choose(this.zone, view.zone);
    for (const one of this.beside) one.setAttribute('aria-pressed', String(view.beside.includes(one.dataset.beside)));
    this.forecast.setAttribute('aria-pressed', String(view.forecast));
    this.band.setAttribute('aria-pressed', String(view.band));
    this.mark.setAttribute('aria-pressed', String(this.marking));
  }

  /** What the charts show was read: say its resolution, and where the same numbers are. */
  shown() {
    const { rollup, series } = this.board;
    this.resolution.textContent = !rollup ? '' : this.board.raw() ? `windows of ${rollup}, then every sample` : `windows of ${rollup}`;
    this.csv.href = queryUrl(series, this.board.shown(), { format: 'csv' });
  }

  goLive(span = view.span) {
    change({ live: true, span }, { step: true });
  }

  /** @param {number} from @param {number} to */
  zoom(from, to) {
    const wide = Math.max(SPAN_MS_MIN, to - from);
    change({ live: false, from, to: from + wide, span: wide }, { step: true });
  }

  /** Zoom around the middle; out of a live view it stays live, in too. @param {number} by */
  scale(by) {
    const span = Math.min(20 * 365 * DAY, Math.max(SPAN_MS_MIN, view.span * by));
    if (view.live) {
      this.goLive(span);
      return;
    }
    const middle = (view.from + view.to) / 2;
    this.zoom(middle - span / 2, middle + span / 2);
  }

  /** @param {number} by share of the span */
  shift(by) {
    const far = (view.to - view.from) * by;
    this.zoom(view.from + far, view.to + far);
  }

  toggleBeside(value) {
    change({ beside: view.beside.includes(value) ? view.beside.filter((one) => one !== value) : [...view.beside, value].sort() }, { step: true });
  }

  setMarking(on) {
    this.marking = on;
    document.body.classList.toggle('marking', on);
    this.show();
  }

  choose() {
    const from = make('input', { type: 'datetime-local', step: 1, required: true, id: 'range-from', value: toInput(view.from) });
    const to = make('input', { type: 'datetime-local', step: 1, required: true, id: 'range-to', value: toInput(view.to) });
    const zone = make('select', { id: 'range-zone' }, ...zones().map(([value, text]) => make('option', { value, textContent: text })));
    choose(zone, view.zone);
    let [fromMs, toMs] = [view.from, view.to];
    from.oninput = () => { fromMs = fromInput(from.value); };
    to.oninput = () => { toMs = fromInput(to.value); };
    zone.onchange = () => {
      // The same moments, told in the other zone.
      setZone(zone.value || ownZone());
      [from.value, to.value] = [toInput(fromMs), toInput(toMs)];
    };
    const dialog = ask('From–to', [field('From', from), field('To', to), field('Time zone', zone)], async () => {
      if (!(fromMs < toMs)) throw new Error('“to” must be after “from”');
      change({ zone: zone.value, live: false, from: fromMs, to: toMs, span: toMs - fromMs }, { step: true });
    }, 'Show');
    dialog.addEventListener('close', () => setZone(view.zone || ownZone()));
  }
}

/** Choose a zone in a list; one that an address named and the browser does not list is added. */
function choose(list, name) {
  if (![...list.options].some((option) => option.value === name)) list.append(make('option', { value: name, textContent: name }));
  list.value = name;
}

function zones() {
  const own = ownZone();
  const all = Intl.supportedValuesOf?.('timeZone') ?? [];
  return [['', `here (${own})`], ['UTC', 'UTC'], ...all.filter((name) => name !== own && name !== 'UTC').map((name) => [name, name])];
}

