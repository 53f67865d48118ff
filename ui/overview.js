// Every entity by risk, with its last scores and the reason in words. Only the rows in sight are in the document.

import { button, curve, make, percent } from './dom.js';

const ROW_PX = 52;
const KEPT = 60; // scores of an entity that its line is drawn of

export class Overview {
  /** @param {{risk: Map<string, object>, onChoose: (entity: string) => void}} options `risk` is shared with the page */
  constructor({ risk, onChoose }) {
    this.risk = risk;
    this.onChoose = onChoose;
    this.history = new Map(); // entity → [score…]
    this.reasons = new Map();
    this.find = make('input', { type: 'search', placeholder: 'find an entity or a reason', 'aria-label': 'Find in the overview' });
    this.find.oninput = () => this.draw();
    this.count = make('span', { className: 'quiet', role: 'status' });
    this.space = make('div', { className: 'space' });
    this.list = make('div', { className: 'rows', tabIndex: 0, role: 'region', 'aria-label': 'Entities by risk' }, this.space);
    this.list.onscroll = () => this.draw();
    this.box = make('div', {}, make('div', { className: 'bar' }, this.find, this.count), this.list);
    this.shown = '';
  }

  /** Take a verdict in. */
  note(verdict) {
    const line = this.history.get(verdict.entity) ?? [];
    if (!line.length || line.at(-1).start <= verdict.start) line.push({ start: verdict.start, score: verdict.anomaly_score, p: verdict.p_incident });
    if (line.length > KEPT) line.shift();
    this.history.set(verdict.entity, line);
    if (verdict.reason) this.reasons.set(verdict.entity, verdict.reason);
  }

  ordered() {
    const wanted = this.find.value.toLowerCase();
    return [...this.risk]
      .filter(([entity]) => !wanted || entity.toLowerCase().includes(wanted) || (this.reasons.get(entity) ?? '').toLowerCase().includes(wanted))
      .sort(([a, x], [b, y]) => y.flag - x.flag || y.p - x.p || y.score - x.score || a.localeCompare(b));
  }

  draw() {
    if (!this.box.isConnected) return;
    const all = this.ordered();
    this.count.textContent = `${all.length} of ${this.risk.size}`;
    this.space.style.height = `${all.length * ROW_PX}px`;
    const first = Math.max(0, Math.floor(this.list.scrollTop / ROW_PX) - 3);
    const last = Math.min(all.length, first + Math.ceil(this.list.clientHeight / ROW_PX) + 7);
    const focused = document.activeElement?.dataset?.entity;
    this.space.replaceChildren(...all.slice(first, last).map(([entity, risk], i) => this.row(entity, risk, first + i)));
    if (focused) [...this.space.children].find((row) => row.dataset.entity === focused)?.focus();
  }

  row(entity, { p, score, flag }, at) {
    const line = this.history.get(entity) ?? [];
    const points = line.map((one, i) => [line.length > 1 ? i / (line.length - 1) : 1, one.score]);
    const reason = this.reasons.get(entity) || (flag ? 'unlike its normal' : 'as usual');
    const row = button('', () => this.onChoose(entity), { className: 'row', dataset: { entity, flag: String(flag) } });
    row.style.top = `${at * ROW_PX}px`;
    row.append(
      make('span', { className: 'state', textContent: flag ? '⚑ flagged' : p >= 0.5 ? '▲ likely' : '· calm' }),
      make('span', { className: 'name', textContent: entity }),
      make('span', { className: 'number', textContent: percent(p), title: 'probability of an incident' }),
      make('span', { className: 'number', textContent: String(Math.round(score * 100)), title: 'how unusual, 0 to 100' }),
      curve(points, `how unusual ${entity} was lately`, { width: 110, height: 28, diagonal: false }),
      make('span', { className: 'reason', textContent: reason }),
    );
    return row;
  }
}
