// Why and what to do: the verdict of the window under the cursor, pinned, or newest. Names only ever go in as text.

import { get, post } from './api.js';
import { brief } from './brief.js';
import { button, make } from './dom.js';
import { percent, short } from './numbers.js';
import { full, length } from './time.js';

const KEPT = 300; // verdicts that were read
const WAIT_MS = 120; // a moving cursor asks for the window it rests on
const WINDOW_MS_MAX = 3_600_000;

export class Why {
  /** @param {HTMLElement} box @param {{onLook: (entity: string, from: number, to: number) => void, onMetric: (metric: string) => void, onUnpin: () => void,
   *   labelsOf: (entity: string) => Record<string, string[]>}} does */
  constructor(box, does) {
    Object.assign(this, { box, does, known: new Map(), timer: 0, turn: 0, shown: '', filled: null });
    this.plain('Point at a chart, or choose a window.');
  }

  plain(text, mode = '') {
    this.shown = '';
    this.filled = null;
    this.box.dataset.mode = mode;
    this.box.replaceChildren(this.title(mode), make('p', { className: 'quiet', textContent: text }));
  }

  title(mode) {
    const words = { cursor: 'under the cursor', pinned: 'pinned', newest: 'the newest window' }[mode];
    return make('div', { className: 'bar tight' }, make('h2', { textContent: 'Why, and what to do' }), make('span', { className: 'quiet', textContent: words ?? '' }),
      button('More', () => this.box.classList.toggle('open'), { className: 'small more' }),
      mode === 'pinned' ? button('Unpin', this.does.onUnpin, { className: 'small', title: 'Escape does it too' }) : null);
  }

  /** Show the window that holds a moment, soon. @param {string} entity @param {number} ms @param {{step: number, flagged: boolean, mode: 'cursor'|'pinned'|'newest'}} how */
  at(entity, ms, how) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.show(entity, ms, how), how.mode === 'cursor' ? WAIT_MS : 0);
  }

  async show(entity, ms, how) {
    const turn = (this.turn += 1);
    try {
      const verdict = await this.find(entity, ms, how);
      if (turn !== this.turn) return;
      if (verdict) this.fill(verdict, how.mode);
      else if (how.mode !== 'newest') this.plain(`No window was judged at ${full(ms)}: nothing was measured, or it is still open.`, how.mode);
    } catch (error) {
      if (turn === this.turn) this.plain(`Cannot read why: ${error.message}. Point again to retry.`);
    }
  }

  /** The worst verdict of a moment, or of the step of time it stands for. */
  async find(entity, ms, { step, flagged }) {
    const begin = Math.floor(ms / step) * step;
    const key = `${entity}\n${begin}\n${step}\n${flagged}`;
    if (this.known.has(key)) return this.known.get(key);
    const query = flagged && step > 60_000
      ? { entity, from: begin, to: begin + step, flag: 1, limit: 20 }
      : { entity, from: Math.floor(ms) - 120_000, to: Math.floor(ms) + 1, limit: 60 };
    const found = (await get('verdicts', query)).filter((one) => one.entity === entity && (flagged && step > 60_000 ? true : one.start <= ms && ms < one.end && one.end - one.start <= WINDOW_MS_MAX));
    found.sort((a, b) => b.flag - a.flag || b.p_incident - a.p_incident || b.anomaly_score - a.anomaly_score);
    const verdict = found[0] ?? null;
    if (this.known.size >= KEPT) this.known.delete(this.known.keys().next().value);
    if (verdict && verdict.end < Date.now() - 60_000) this.known.set(key, verdict);
    return verdict;
  }

  /** A live verdict, while the newest is shown. */
  newest(verdict) {
    clearTimeout(this.timer);
    this.turn += 1;
    this.fill(verdict, 'newest');
  }

  /** What is shown, anew: labels that go without saying became known. */
  again() {
    this.shown = '';
    if (this.filled) this.fill(...this.filled);
  }

  fill(verdict, mode) {
    const key = `${verdict.id} ${verdict.version} ${mode}`;
    if (key === this.shown) return;
    if (this.box.contains(document.activeElement) && mode === 'newest') return; // somebody is reading, or about to answer
    this.shown = key;
    this.filled = [verdict, mode];
    const labels = this.does.labelsOf(verdict.entity);
    this.box.dataset.verdict = verdict.id;
    this.box.dataset.mode = mode;
    this.box.replaceChildren(this.head(verdict, mode), numbers(verdict), make('p', { className: 'reason', textContent: brief(verdict.reason, labels) || 'No reason was kept for this window.' }),
      next(verdict), this.similar(verdict), this.shares(verdict, labels), feedback(verdict));
  }

  head(verdict, mode) {
    const state = verdict.flag ? '⚑ flagged' : '· not flagged';
    return make('div', {}, this.title(mode),
      make('p', {}, make('span', { className: 'state', dataset: { flag: String(verdict.flag) }, textContent: state }),
        ` · ${full(verdict.start)} · ${verdict.rollup} window · ${verdict.period}${verdict.looks_like ? `, but its traffic looks like ${verdict.looks_like}` : ''}`));
  }

  shares(verdict, labels) {
    const most = Math.max(...verdict.contributions.map((one) => Math.abs(one.weight)), 1e-9);
    const rows = verdict.contributions.map((one) => {
      const bar = make('span', { className: 'share', dataset: { sign: one.weight < 0 ? 'less' : 'more' } });
      bar.style.width = `${Math.round((Math.abs(one.weight) / most) * 46)}px`;
      const name = one.stat ? button(brief(one.metric, labels), () => this.does.onMetric(one.metric), { className: 'link' }) : one.metric;
      return make('tr', {}, make('td', {}, name), make('td', { className: 'number', textContent: short(one.value) }), make('td', { className: 'number', textContent: short(one.expected) }),
        make('td', {}, bar, ` ${one.weight < 0 ? '−' : '+'}${short(Math.abs(one.weight))}`));
    });
    const head = ['metric', 'is', 'usually', 'weight'].map((text) => make('th', { scope: 'col', textContent: text }));
    return make('section', {}, make('h3', { textContent: `What speaks for it (${verdict.explains === 'p_incident' ? 'p_incident' : 'how unusual'}, log-odds)` }),
      make('table', {}, make('thead', {}, make('tr', {}, ...head)), make('tbody', {}, ...rows)));
  }

  similar(verdict) {
    const items = verdict.similar.map((one) => make('li', {},
      one.start_ms ? button(full(one.start_ms), () => this.does.onLook(verdict.entity, one.start_ms - 1_800_000, one.start_ms + 3_600_000), { className: 'link' }) : `incident ${one.incident}`,
      ` ${percent(one.similarity)} alike · ${one.resolution ? `ended by: ${one.resolution}` : 'how it ended was not written down'}`));
    const none = verdict.flag ? 'No past incident looked like this one.' : 'Compared with past incidents only when flagged.';
    return make('section', {}, make('h3', { textContent: 'Similar past incidents' }), items.length ? make('ul', {}, ...items) : make('p', { className: 'quiet', textContent: none }));
  }
}

function numbers(verdict) {
  const meter = (label, value) => {
    const fill = make('span', { className: 'fill' });
    fill.style.width = `${Math.round(100 * Math.max(0, Math.min(1, value)))}%`;
    return make('div', { className: 'meter' }, make('span', { textContent: label }), make('span', { className: 'track' }, fill), make('b', { textContent: percent(value) }));
  };
  const horizons = verdict.horizons.map((one) => meter(`incident within ${length(one.horizon_s * 1000)}`, one.p_incident));
  return make('div', { className: 'meters' }, ...(horizons.length ? horizons : [meter('incident soon', verdict.p_incident)]), meter('how unusual', verdict.anomaly_score));
}

function next(verdict) {
  const actions = verdict.actions.map((one) => make('li', {}, make('b', { textContent: one.title }), ` (${percent(one.confidence)}: ${one.why})`));
  const none = !verdict.flag ? 'Nothing: this window was not flagged.'
    : verdict.similar.length ? 'No evidence yet: how the similar incidents ended was not written down.' : 'No evidence yet: no similar past incident, and no rule of the runbook fits.';
  return make('section', {}, make('h3', { textContent: 'What to do' }), actions.length ? make('ol', {}, ...actions) : make('p', { className: 'quiet', textContent: none }));
}

function feedback(verdict) {
  const out = make('div', { className: 'said', role: 'status' });
  const say = async (correct) => {
    try {
      await post(`verdicts/${encodeURIComponent(verdict.id)}/feedback`, { correct });
      out.replaceChildren(make('span', { className: 'quiet', textContent: `Thank you: “${correct ? 'right' : 'wrong'}” is a label now.` }));
    } catch (error) {
      out.append(make('span', { textContent: `Not saved: ${error.message}` }));
    }
  };
  out.append(make('span', { className: 'quiet', textContent: verdict.flag ? 'Was this flag' : 'Was this' }),
    button('✓ right', () => say(true), { className: 'small' }), button('✗ wrong', () => say(false), { className: 'small' }));
  return out;
}
