// The panel that says why a window was flagged and what ended it before. Text only ever goes in as text.

import { get, post } from './api.js';
import { moment, short } from './time.js';

/** @param {HTMLElement} panel @param {string} entity @param {{start: number, rollup: string}} flag */
export async function showWhy(panel, entity, flag) {
  const found = await get('verdicts', { entity, rollup: flag.rollup, from: flag.start, to: flag.start + 1 });
  const verdict = found.find((one) => one.entity === entity);
  if (!verdict) return;
  panel.hidden = false;
  panel.dataset.verdict = verdict.id;
  panel.replaceChildren(heading(verdict), reason(verdict), table(verdict), next(verdict), feedback(verdict));
}

function element(name, text, className = '') {
  const out = document.createElement(name);
  out.textContent = text;
  out.className = className;
  return out;
}

function heading(verdict) {
  const flagged = verdict.flag ? '⚑ flagged' : 'not flagged';
  const numbers = `p(incident) ${percent(verdict.p_incident)}, unusual ${percent(verdict.anomaly_score)}`;
  return element('h2', `${moment(verdict.start, Infinity)} · ${verdict.rollup} · ${flagged} · ${numbers}`);
}

function percent(value) {
  return `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`;
}

function reason(verdict) {
  return element('p', verdict.reason || 'No reason was kept for this window.');
}

function table(verdict) {
  const out = document.createElement('table');
  const head = out.insertRow();
  for (const name of ['metric', 'value', 'expected', `weight in ${verdict.explains || 'the score'}`]) head.append(element('th', name));
  for (const one of verdict.contributions) {
    const row = out.insertRow();
    for (const text of [one.metric, short(one.value), short(one.expected), short(one.weight)]) row.append(element('td', text));
  }
  return out;
}

function next(verdict) {
  const out = document.createElement('div');
  out.append(element('h2', 'What to do'));
  if (!verdict.actions.length) {
    const why = verdict.similar.length ? 'no resolution was written down for' : 'no';
    out.append(element('p', `No evidence yet: ${why} similar past incident.`, 'quiet'));
  }
  for (const action of verdict.actions) {
    out.append(element('p', `${action.title} (${percent(action.confidence)}: ${action.why})`));
  }
  return out;
}

function feedback(verdict) {
  const out = element('div', '', 'said');
  for (const [text, correct] of [['This was right', true], ['This was wrong', false]]) {
    const button = element('button', text);
    button.type = 'button';
    button.onclick = async () => {
      await post(`verdicts/${encodeURIComponent(verdict.id)}/feedback`, { correct });
      out.replaceChildren(element('span', 'Thank you: this is a label now.', 'quiet'));
    };
    out.append(button);
  }
  return out;
}
