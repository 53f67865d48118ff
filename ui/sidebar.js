// Beside the charts: entities by risk, and which metrics are shown.

import { button, make } from './dom.js';
import { sections } from './families.js';
import { holds, parse } from './filter.js';
import { percent } from './numbers.js';
import { change, view } from './view.js';

const LISTED = 100; // the overview shows all

export class Sidebar {
  /** @param {{risk: import('./risk.js').Risk, board: import('./board.js').Board, onChoose: (entity: string) => void}} parts */
  constructor({ risk, board, onChoose }) {
    Object.assign(this, { risk, board, onChoose });
    const byId = (id) => document.getElementById(id);
    [this.entities, this.metrics, this.findEntity, this.findMetric] = ['entities', 'metrics', 'find-entity', 'find-metric'].map(byId);
    this.findEntity.oninput = () => this.listEntities();
    this.findMetric.oninput = () => this.listMetrics();
    byId('metrics-all').onclick = () => change({ metrics: null }, { step: true });
    byId('metrics-none').onclick = () => change({ metrics: [] }, { step: true });
  }

  listEntities() {
    const wanted = parse(this.findEntity.value);
    const those = this.risk.ordered((one) => holds(wanted, one.entity, one.labels));
    const items = those.slice(0, LISTED);
    const own = this.risk.all.get(view.entity);
    if (own && !items.includes(own)) items.unshift(own); // the one that is looked at is always there
    while (this.entities.childElementCount > items.length) this.entities.lastElementChild.remove();
    while (this.entities.childElementCount < items.length) this.entities.append(this.item());
    items.forEach((one, i) => {
      const row = this.entities.children[i].firstElementChild;
      const [name, risk] = row.children;
      row.dataset.entity = one.entity;
      if (name.textContent !== one.entity) name.textContent = one.entity;
      const text = one.seen ? `${percent(one.p)} · ${Math.round(one.score * 100)}` : 'no verdict';
      if (risk.textContent !== text) risk.textContent = text;
      risk.dataset.flag = String(one.flag);
      if (one.entity === view.entity) row.setAttribute('aria-current', 'true');
      else row.removeAttribute('aria-current');
    });
    document.getElementById('entities-more').textContent = those.length > items.length ? `and ${those.length - items.length} more: see the overview` : '';
  }

  item() {
    const row = button('', () => this.onChoose(row.dataset.entity));
    row.append(make('span'), make('span', { className: 'risk', title: 'probability of an incident · how unusual, 0 to 100' }));
    return make('li', {}, row);
  }

  listMetrics() {
    const wanted = this.findMetric.value.toLowerCase();
    const { series } = this.board;
    const chosen = new Set(this.board.shown());
    const names = [...series.metrics.keys()].filter((name) => name.toLowerCase().includes(wanted));
    this.metrics.replaceChildren(...sections(names, (name) => series.kind(name)).flatMap(([family, metrics]) => [
      make('li', { className: 'quiet', textContent: family }),
      ...metrics.map((name) => {
        const box = make('input', { type: 'checkbox', checked: chosen.has(name) });
        box.onchange = () => {
          const next = new Set(this.board.shown());
          if (box.checked) next.add(name);
          else next.delete(name);
          change({ metrics: next.size === series.metrics.size ? null : [...next] });
        };
        return make('li', {}, make('label', {}, box, name));
      }),
    ]));
  }
}
