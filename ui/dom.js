// Makes elements. Text only ever goes in as text, so no name from outside can become markup.

/**
 * @param {string} name @param {Record<string, any>} [properties] @param {...(Node|string)} children
 * @returns {HTMLElement}
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

/** A table with a head; each cell is text or a node. @param {string[]} head @param {(Node|string)[][]} rows */
export function grid(head, rows, caption) {
  const line = (kind, cells) => make('tr', {}, ...cells.map((cell) => make(kind, kind === 'th' ? { scope: 'col' } : {}, cell ?? '')));
  return make('table', {}, make('caption', { className: 'quiet', textContent: caption ?? '' }),
    make('thead', {}, line('th', head)), make('tbody', {}, ...rows.map((cells) => line('td', cells))));
}

const SVG = 'http://www.w3.org/2000/svg';

/** A line through points of 0…1 × 0…1, y upwards. @param {[number, number][]} points */
export function curve(points, label, { width = 160, height = 120, diagonal = true } = {}) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `-2 -2 ${width + 4} ${height + 4}`);
  svg.setAttribute('class', 'curve');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', label);
  const line = (those, name) => {
    const drawn = document.createElementNS(SVG, 'polyline');
    drawn.setAttribute('points', those.map(([x, y]) => `${(x * width).toFixed(1)},${((1 - y) * height).toFixed(1)}`).join(' '));
    drawn.setAttribute('class', name);
    svg.append(drawn);
  };
  if (diagonal) line([[0, 0], [1, 1]], 'chance');
  line([[0, 1], [0, 0], [1, 0]], 'frame');
  line(points, 'line');
  return svg;
}

export function percent(value) {
  return value === null || value === undefined ? '–' : `${(value * 100).toFixed(value < 0.1 && value > 0 ? 1 : 0)} %`;
}
