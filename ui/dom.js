// Makes elements. Text only ever goes in as text, so no name from outside can become markup.

/**
 * @param {string} name @param {Record<string, any>} [properties] @param {...(Node|string|null|undefined)} children
 * @returns {any}
 */
export function make(name, properties = {}, ...children) {
  const out = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === 'dataset') Object.assign(out.dataset, value);
    else if (key.includes('-') || key === 'role') out.setAttribute(key, value);
    else out[key] = value;
  }
  out.append(...children.filter((child) => child !== null && child !== undefined));
  return out;
}

/** @param {string} text @param {() => any} onclick @param {Record<string, any>} [properties] */
export function button(text, onclick, properties = {}) {
  return make('button', { type: 'button', textContent: text, onclick, ...properties });
}

/**
 * A table with a head; each cell is text or a node. On a narrow screen a row becomes a card, each cell under its name.
 * @param {string[]} head @param {(Node|string)[][]} rows @param {string} caption
 */
export function grid(head, rows, caption) {
  const lines = rows.map((cells) => make('tr', {}, ...cells.map((cell, i) => make('td', { 'data-head': head[i] }, cell ?? ''))));
  return make('table', { className: 'cards' }, make('caption', { className: 'quiet', textContent: caption ?? '' }),
    make('thead', {}, make('tr', {}, ...head.map((text) => make('th', { scope: 'col', textContent: text })))), make('tbody', {}, ...lines));
}

/**
 * A labelled field. @param {string} label @param {any} input @param {string} [hint]
 */
export function field(label, input, hint) {
  return make('label', {}, make('span', { textContent: label }), input, hint ? make('span', { className: 'quiet', textContent: hint }) : null);
}

/**
 * A form in a dialog that is gone when it is closed. @param {string} title @param {Node[]} fields
 * @param {() => Promise<any>} save raises what is to be said @param {string} [verb]
 */
export function ask(title, fields, save, verb = 'Save') {
  const problem = make('p', { role: 'alert', className: 'problem' });
  const form = make('form', { method: 'dialog' }, make('h2', { textContent: title }), ...fields, problem,
    make('div', { className: 'bar' }, make('button', { type: 'submit', className: 'main', textContent: verb }), button('Cancel', () => dialog.close())));
  const dialog = make('dialog', { 'aria-label': title }, form);
  form.onsubmit = async (event) => {
    event.preventDefault();
    problem.textContent = '';
    try {
      await save();
      dialog.close();
    } catch (error) {
      problem.textContent = `Not done: ${error.message}`;
    }
  };
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

const SVG = 'http://www.w3.org/2000/svg';

function drawing(width, height, className) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.setAttribute('class', className);
  return svg;
}

function shape(name, attributes) {
  const out = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) out.setAttribute(key, String(value));
  return out;
}

/** A line of scores, 0…100 or null; `show(line, version)` draws it when its version is new. */
export function sparkline() {
  const [width, height] = [110, 26];
  const svg = drawing(width, height, 'spark');
  svg.setAttribute('aria-hidden', 'true'); // the number beside it says as much
  const line = shape('polyline', { class: 'line' });
  svg.append(shape('line', { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5, class: 'frame' }), line);
  svg.show = (values, version) => {
    if (svg.version === version && svg.count === values.length) return;
    svg.version = version;
    svg.count = values.length;
    const points = [];
    values.forEach((value, i) => {
      if (value !== null) points.push(`${((i / Math.max(1, values.length - 1)) * width).toFixed(1)},${(1 + (1 - value / 100) * (height - 3)).toFixed(1)}`);
    });
    line.setAttribute('points', points.join(' '));
  };
  return svg;
}

/**
 * Curves through points of 0…1 × 0…1 with axes that say what they are.
 * @param {{points: [number, number][], name: string, dashed?: boolean}[]} curves @param {{label: string, x: string, y: string}} words
 */
export function curves(those, { label, x, y }) {
  const [left, top, size] = [40, 8, 150];
  const svg = drawing(left + size + 8, top + size + 32, 'curve');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `${label}: ${those.map((one) => one.name).join(', ')}`);
  const at = ([a, b]) => `${(left + a * size).toFixed(1)},${(top + (1 - b) * size).toFixed(1)}`;
  svg.append(shape('rect', { x: left, y: top, width: size, height: size, class: 'frame' }), shape('polyline', { points: `${at([0, 0])} ${at([1, 1])}`, class: 'chance' }));
  const text = (words, attributes) => {
    const out = shape('text', attributes);
    out.textContent = words;
    svg.append(out);
  };
  for (const value of [0, 0.5, 1]) {
    text(String(value), { x: left + value * size, y: top + size + 13, 'text-anchor': 'middle' });
    text(String(value), { x: left - 5, y: top + (1 - value) * size + 4, 'text-anchor': 'end' });
  }
  text(x, { x: left + size / 2, y: top + size + 28, 'text-anchor': 'middle' });
  text(y, { x: 0, y: 0, 'text-anchor': 'middle', transform: `translate(9 ${top + size / 2}) rotate(-90)` });
  those.forEach(({ points, dashed }, i) => svg.append(shape('polyline', { points: points.map(at).join(' '), class: 'line', 'data-line': (i % 8) + 1, ...(dashed ? { 'stroke-dasharray': '5 3' } : {}) })));
  return svg;
}
