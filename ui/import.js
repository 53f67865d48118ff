// Brings in past incidents from a file; every row that is refused is listed with why.

import { post } from './api.js';
import { readIncidents } from './csv.js';
import { ask, field, make } from './dom.js';

const AT_ONCE = 4;
const PROBLEMS_SHOWN = 20;
const BYTES_MAX = 20_000_000;

/** @param {() => any} done called when some were taken */
export function importing(done) {
  const file = make('input', { type: 'file', accept: '.csv,.json,.ndjson,text/csv,application/json', required: true });
  const state = make('p', { role: 'status', className: 'quiet' });
  const problems = make('ul', { className: 'problems' });
  const take = async () => {
    const [chosen] = file.files;
    if (!chosen) throw new Error('choose a file');
    if (chosen.size > BYTES_MAX) throw new Error('the file is over 20 MB; use foreshock incidents import');
    const rows = readIncidents(await chosen.text());
    if (!rows.length) throw new Error('there is no incident in this file');
    const refused = rows.filter((one) => one.problem);
    const waiting = rows.filter((one) => one.incident);
    let taken = 0;
    const work = async () => {
      for (let one = waiting.shift(); one; one = waiting.shift()) {
        try {
          await post('incidents', one.incident);
          taken += 1;
        } catch (error) {
          refused.push({ row: one.row, problem: error.message });
        }
        state.textContent = `${taken} of ${rows.length} taken`;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (taken) done();
    if (!refused.length) return;
    refused.sort((a, b) => a.row - b.row);
    problems.replaceChildren(...refused.slice(0, PROBLEMS_SHOWN).map(({ row, problem }) => make('li', { textContent: `row ${row}: ${problem}` })));
    throw new Error(`${refused.length} of ${rows.length} rows were refused; ${taken} were taken`);
  };
  ask('Import incidents', [
    make('p', { className: 'quiet', textContent: 'CSV with a head line, or JSON: entity, start, and where known end, title, severity, resolution, external_id. Times: RFC 3339 or epoch ms. The same external_id again updates.' }),
    field('File', file), state, problems,
  ], take, 'Import');
}
