// The strip above the charts: p_incident and how unusual, with incidents, alerts and periods as notes one can choose.

import { get } from './api.js';
import { Chart } from './chart.js';
import { make } from './dom.js';
import { addFlag, flaggedSpans } from './marks.js';
import { percent } from './numbers.js';
import { full } from './time.js';

const POINTS = 600;
const STEP_MS = 10_000;
const PIN_PX = 20;
const NAMES = { p_incident: 'probability of an incident', anomaly_score: 'how unusual' };

export class Strip {
  /** @param {HTMLElement} parent @param {{view: object, marks: object, onIncident: (incident: object) => void, onAlert: (alert: object) => void}} options */
  constructor(parent, { view, marks, onIncident, onAlert }) {
    Object.assign(this, { view, marks, onIncident, onAlert, step: STEP_MS, drawnPins: '' });
    this.chart = new Chart(parent, { title: 'Risk', range: [0, 1.04], view, marks, naming: (name) => NAMES[name], reading: percent });
    this.chart.box.classList.add('strip');
    this.chart.frame.tabIndex = 0;
    this.chart.frame.setAttribute('role', 'group');
    this.chart.frame.setAttribute('aria-label', 'Risk over time: left and right arrow move from window to window');
    for (const name of Object.keys(NAMES)) this.chart.line(name);
    this.pins = make('div', { className: 'pins' });
    this.chart.frame.append(this.pins);
  }

  async read(entity, { from, to, live }, signal) {
    const answer = await get('risk', { entity, from: Math.floor(from), to: Math.ceil(to), points: POINTS }, signal);
    this.step = this.chart.step = answer.step;
    const column = (i) => answer.data.map((row) => row[i]);
    const [p, score] = [this.chart.line('p_incident'), this.chart.line('anomaly_score')];
    if (!live) for (const line of [p, score]) line.trim(Infinity);
    p.fill(column(0), column(1));
    score.fill(column(0), column(2));
    const newer = this.marks.flags.filter((one) => live && one.start > (answer.data.at(-1)?.[0] ?? 0));
    this.marks.flags = [...flaggedSpans(answer.data, answer.step), ...newer];
  }

  /** Take a live verdict in: of each bucket the worst of all rollups. */
  note(verdict) {
    for (const [name, value] of [['p_incident', verdict.p_incident], ['anomaly_score', verdict.anomaly_score]]) {
      const line = this.chart.line(name);
      for (let at = Math.floor(verdict.start / this.step) * this.step; at < verdict.end; at += this.step) {
        const known = line.times[line.find(at)] === at ? line.values[line.find(at)] : 0;
        line.put(at, Math.max(known, value));
      }
    }
    if (verdict.flag) addFlag(this.marks.flags, verdict.start, verdict.end);
  }

  draw() {
    this.chart.draw();
    this.drawPins();
  }

  drawPins() {
    const { graph } = this.chart;
    if (!graph) return;
    const area = graph.getArea();
    const { from, to } = this.view;
    const found = [];
    const place = (ms) => Math.round(Math.max(area.x, Math.min(area.x + area.w - PIN_PX, graph.toDomXCoord(ms))));
    for (const one of this.marks.incidents) {
      if (one.start > to || (one.end ?? this.marks.now) < from) continue;
      const title = `Incident: ${one.title || 'no title'}, ${full(one.start)} to ${one.end ? full(one.end) : 'now'}${one.resolution ? `, ended by: ${one.resolution}` : ''}`;
      found.push({ x: place(one.start), text: 'I', kind: 'incident', title, does: () => this.onIncident(one) });
    }
    for (const one of this.marks.alerts) {
      if (one.start > to || (one.end ?? this.marks.now) < from) continue;
      const title = `Alert ${one.state} on ${one.rollup} windows since ${full(one.start)}${one.end ? ` until ${full(one.end)}` : ''}: ${one.annotations.summary ?? ''}`;
      found.push({ x: place(one.start), text: 'A', kind: 'alert', title, does: () => this.onAlert(one) });
    }
    for (const { name, start, end } of this.marks.periods) {
      if (name === 'normal' || start > to || end < from) continue;
      found.push({ x: place(start), text: name, kind: 'period', title: `Traffic period ${name}: ${full(start)} to ${full(end)}`, does: null });
    }
    found.sort((a, b) => a.x - b.x);
    const key = JSON.stringify(found.map(({ x, text, title }) => [x, text, title]));
    if (key === this.drawnPins) return;
    this.drawnPins = key;
    const focused = document.activeElement?.parentElement === this.pins ? document.activeElement.title : null;
    apart(found.filter((one) => one.kind !== 'period'), area.x + area.w - PIN_PX);
    this.pins.replaceChildren(...found.map(({ x, text, kind, title, does }) => {
      const pin = make(does ? 'button' : 'span', { className: 'pin', textContent: text, title, dataset: { kind } });
      if (does) Object.assign(pin, { type: 'button', onclick: does, ariaLabel: title });
      pin.style.left = `${x}px`;
      return pin;
    }));
    if (focused) [...this.pins.children].find((pin) => pin.title === focused)?.focus();
  }

  remove() {
    this.chart.remove();
  }
}

/** Move pins so that none covers another: to the right, and back where the right ends. */
function apart(pins, most) {
  for (let i = 1; i < pins.length; i += 1) pins[i].x = Math.max(pins[i].x, pins[i - 1].x + PIN_PX);
  let limit = most;
  for (let i = pins.length - 1; i >= 0; i -= 1) {
    pins[i].x = Math.min(pins[i].x, limit);
    limit = pins[i].x - PIN_PX;
  }
}
