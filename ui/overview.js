// Every entity by risk, with its last scores and the reason in words. Only the rows in sight are in the document.

import { brief } from './brief.js';
import { button, make, sparkline } from './dom.js';
import { groupOf, holds, parse } from './filter.js';
import { percent } from './numbers.js';
import { byRisk, stateOf } from './risk.js';
import { change, onView, view } from './view.js';

const HEIGHTS = { wide: 44, narrow: 66 };
const narrow = matchMedia('(max-width: 800px)');

export class Overview {
  /** @param {{risk: import('./risk.js').Risk, onChoose: (entity: string) => void}} options */
  constructor({ risk, onChoose }) {
    Object.assign(this, { risk, onChoose, closed: new Set(), rows: new Map(), waiting: 0 });
    this.find = make('input', { type: 'search', value: view.find, placeholder: 'entity, reason, label=value, label!=val*', 'aria-label': 'Find in the overview' });
    this.find.oninput = () => change({ find: this.find.value });
    this.group = make('select', { 'aria-label': 'Group by' });
    this.group.onchange = () => change({ group: this.group.value });
    this.count = make('span', { className: 'quiet', role: 'status' });
    this.space = make('div', { className: 'space' });
    this.list = make('div', { className: 'rows', tabIndex: 0, role: 'region', 'aria-label': 'Entities by risk' }, this.space);
    this.list.onscroll = () => this.soon();
    this.list.onkeydown = (event) => this.walk(event);
    const head = make('div', { className: 'row headings', 'aria-hidden': 'true' },
      ...['state', 'entity', 'p(incident)', 'unusual', 'last 10 min', 'why'].map((text) => make('span', { textContent: text })));
    this.box = make('div', { className: 'overview' },
      make('div', { className: 'bar' }, make('h2', { className: 'hidden', textContent: 'Overview' }), this.find, make('label', {}, 'Group by ', this.group), this.count), head, this.list);
    narrow.addEventListener('change', () => this.draw());
    onView((changed) => {
      if (changed.has('find') && this.find.value !== view.find) this.find.value = view.find;
      if (changed.has('find') || changed.has('group')) this.draw();
    });
    addEventListener('resize', () => this.soon());
  }

  soon() {
    if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.place(); });
  }

  groups() {
    const names = ['', 'name', ...[...this.risk.names].sort()];
    if (this.group.childElementCount !== names.length) {
      this.group.replaceChildren(...names.map((name) => make('option', { value: name, textContent: { '': 'nothing', name: 'name up to its number' }[name] ?? `label ${name}` })));
    }
    this.group.value = names.includes(view.group) ? view.group : '';
  }

  /** What is listed, in order: entities, and above those of a group its head. */
  listed() {
    const wanted = parse(view.find);
    const those = this.risk.ordered((one) => holds(wanted, one.entity, one.labels, one.reason));
    this.matched = those.length;
    if (!this.group.value) return those.map((standing) => ({ key: `e ${standing.entity}`, standing }));
    const groups = new Map();
    for (const standing of those) {
      const name = groupOf(this.group.value, standing.entity, standing.labels);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(standing);
    }
    // A group stands where its worst entity stands.
    return [...groups].sort(([, a], [, b]) => byRisk(a[0], b[0])).flatMap(([name, members]) => [
      { key: `g ${name}`, group: name, members },
      ...(this.closed.has(name) ? [] : members.map((standing) => ({ key: `e ${standing.entity}`, standing }))),
    ]);
  }

  /** Order anew and draw. */
  draw() {
    if (!this.box.isConnected) return;
    this.groups();
    this.items = this.listed();
    this.height = narrow.matches ? HEIGHTS.narrow : HEIGHTS.wide;
    const all = this.risk.all.size;
    this.count.textContent = this.matched === all ? `${all} entities` : `${this.matched} of ${all} entities`;
    this.space.style.height = `${this.items.length * this.height}px`;
    this.space.dataset.empty = this.items.length ? '' : all ? 'No entity fits. Clear the search to see all.' : 'Nothing has arrived yet.';
    this.place();
  }

  /** Put the rows in sight where they belong; rows that stay are not made anew. */
  place() {
    if (!this.box.isConnected || !this.items) return;
    const first = Math.max(0, Math.floor(this.list.scrollTop / this.height) - 4);
    const last = Math.min(this.items.length, first + Math.ceil(this.list.clientHeight / this.height) + 9);
    const wanted = new Map(this.items.slice(first, last).map((item, i) => [item.key, [item, first + i]]));
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.remove();
      this.rows.delete(key);
    }
    const now = Date.now();
    for (const [key, [item, at]] of wanted) {
      let row = this.rows.get(key);
      if (!row) {
        row = item.standing ? this.entityRow(item.standing.entity) : this.groupRow(item.group);
        this.rows.set(key, row);
        this.space.append(row);
      }
      row.style.transform = `translateY(${at * this.height}px)`;
      row.dataset.at = String(at);
      if (item.standing) showEntity(row, item.standing, now);
      else this.showGroup(row, item);
    }
  }

  entityRow(entity) {
    const row = button('', () => this.onChoose(entity), { className: 'row', dataset: { entity } });
    row.append(make('span', { className: 'state' }), make('span', { className: 'name', textContent: entity, title: entity }),
      make('span', { className: 'number', title: 'probability of an incident' }), make('span', { className: 'number', title: 'how unusual, 0 to 100' }),
      sparkline(), make('span', { className: 'reason' }));
    return row;
  }

  groupRow(name) {
    const row = button('', () => {
      if (!this.closed.delete(name)) this.closed.add(name);
      this.draw();
    }, { className: 'row group' });
    row.append(make('span', { className: 'state' }), make('span', { className: 'name', textContent: name }), make('span', { className: 'reason' }));
    return row;
  }

  showGroup(row, { group, members }) {
    const open = !this.closed.has(group);
    row.setAttribute('aria-expanded', String(open));
    const flagged = members.filter((one) => one.flag).length;
    set(row.children[0], open ? '▾ group' : '▸ group');
    set(row.children[2], `${members.length} entities${flagged ? `, ⚑ ${flagged} flagged` : ''}; at worst ${percent(members[0].p)}`);
  }

  /** Arrow keys walk the rows. */
  walk(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const from = Number(document.activeElement?.dataset?.at ?? (by > 0 ? -1 : 0));
    const at = Math.max(0, Math.min(this.items.length - 1, from + by));
    const [top, bottom] = [at * this.height, (at + 1) * this.height];
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    if (bottom > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = bottom - this.list.clientHeight;
    this.place();
    [...this.rows.values()].find((row) => row.dataset.at === String(at))?.focus();
  }
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function showEntity(row, one, now) {
  const [state, , p, score, line, reason] = row.children;
  const { text, kind } = stateOf(one, now);
  set(state, text);
  if (row.dataset.kind !== kind) row.dataset.kind = kind;
  row.dataset.flag = String(one.flag);
  set(p, one.seen ? percent(one.p) : '–');
  set(score, one.seen ? String(Math.round(one.score * 100)) : '–');
  line.show(one.line, one.lineEnd);
  set(reason, brief(one.reason, one.labels) || (!one.seen ? 'no window was judged in the last 15 minutes' : one.flag ? 'unlike its normal' : 'as usual'));
}
