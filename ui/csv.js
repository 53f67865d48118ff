// Reads CSV (RFC 4180) and JSON lists of incidents. No DOM here.

/** @param {string} text @returns {string[][]} rows of cells; raises Error on a quote that never ends */
export function parseCsv(text) {
  const rows = [];
  let row = [];
  let cell = '';
  let quoted = false;
  const source = text.replace(/^\ufeff/, '');
  const endCell = () => { row.push(cell); cell = ''; };
  const endRow = () => { endCell(); if (row.length > 1 || row[0] !== '') rows.push(row); row = []; };
  for (let i = 0; i < source.length; i += 1) {
    const c = source[i];
    if (quoted) {
      if (c !== '"') cell += c;
      else if (source[i + 1] === '"') { cell += '"'; i += 1; } else quoted = false;
    } else if (c === '"' && cell === '') quoted = true;
    else if (c === ',') endCell();
    else if (c === '\n' || c === '\r') {
      if (c === '\r' && source[i + 1] === '\n') i += 1;
      endRow();
    } else cell += c;
  }
  if (quoted) throw new Error('cannot read this CSV: a quote is opened and never closed');
  if (cell !== '' || row.length) endRow();
  return rows;
}

const FIELDS = ['entity', 'start', 'end', 'title', 'severity', 'resolution', 'external_id'];

/**
 * @param {string} text CSV with a head line, a JSON list, or a JSON object a line
 * @returns {{row: number, incident?: object, problem?: string}[]} row: the line of a CSV file, the place in a list
 */
export function readIncidents(text) {
  const start = text.trimStart();
  if (start.startsWith('[')) return JSON.parse(start).map((incident, i) => checked(i + 1, incident));
  if (start.startsWith('{')) return start.split('\n').filter((line) => line.trim()).map((line, i) => checked(i + 1, JSON.parse(line)));
  const [head, ...rows] = parseCsv(text);
  const names = (head ?? []).map((name) => name.trim().toLowerCase());
  for (const name of ['entity', 'start']) {
    if (!names.includes(name)) throw new Error(`cannot read this CSV: its first line has no column “${name}”; want some of ${FIELDS.join(', ')}`);
  }
  return rows.map((cells, i) => checked(i + 2, Object.fromEntries(names.map((name, k) => [name, cells[k] ?? '']).filter(([name, value]) => FIELDS.includes(name) && value !== ''))));
}

function checked(row, given) {
  if (given === null || typeof given !== 'object') return { row, problem: 'not an object' };
  const incident = { ...given };
  for (const name of ['start', 'end']) if (typeof incident[name] === 'string' && /^\d{12,14}$/.test(incident[name])) incident[name] = Number(incident[name]);
  if (!incident.entity) return { row, problem: 'no entity' };
  if (incident.start === undefined || incident.start === '') return { row, problem: 'no start' };
  return { row, incident };
}
