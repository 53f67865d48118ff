// Lines of one chart, each with its own times, and the rows that are drawn of them. No DOM here.

const GAP_STEPS = 2.5; // a hole of more is a gap
const THIN_FROM = 2; // points a pixel

export class Line {
  constructor() {
    this.times = [];
    this.values = [];
  }

  get length() {
    return this.times.length;
  }

  /** Put a value at a time; one that was there is replaced. */
  put(ms, value) {
    const n = this.times.length;
    if (!n || ms > this.times[n - 1]) {
      this.times.push(ms);
      this.values.push(value);
      return;
    }
    const at = this.find(ms);
    const known = this.times[at] === ms;
    this.times.splice(at, known ? 1 : 0, ms);
    this.values.splice(at, known ? 1 : 0, value);
  }

  /** Take in history, times rising; what is newer than all of it stays. @param {number[]} times @param {number[]} values */
  fill(times, values) {
    const last = times.length ? times[times.length - 1] : -Infinity;
    const keep = this.find(last + 1);
    this.times = times.concat(this.times.slice(keep));
    this.values = values.concat(this.values.slice(keep));
  }

  /** @returns {number} the first index at or after a time */
  find(ms) {
    let low = 0;
    let high = this.times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] < ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** @returns {number|null} the value whose time is nearest, null where none is within `reach` */
  near(ms, reach) {
    const at = this.find(ms);
    const after = at < this.length ? this.times[at] - ms : Infinity;
    const before = at > 0 ? ms - this.times[at - 1] : Infinity;
    if (Math.min(before, after) > reach) return null;
    return before < after ? this.values[at - 1] : this.values[at];
  }

  /** @returns {boolean} whether there is a point in [from, to) */
  holds(from, to) {
    const at = this.find(from);
    return at < this.times.length && this.times[at] < to;
  }

  /** Forget what is before a time. */
  trim(ms) {
    const at = this.find(ms);
    if (at > 0) {
      this.times.splice(0, at);
      this.values.splice(0, at);
    }
  }

  /** @returns {number} how far apart points usually are here, never less than `step` */
  pace(step) {
    const n = this.times.length;
    if (n < 3) return step;
    const gaps = [];
    for (let i = Math.max(1, n - 200); i < n; i += 1) gaps.push(this.times[i] - this.times[i - 1]);
    gaps.sort((a, b) => a - b);
    return Math.max(step, gaps[gaps.length >> 1]);
  }
}

/**
 * Points of a line in [from, to], one more on either side, a NaN in each gap, and no more than the screen can show.
 * @param {Line} line @param {{from: number, to: number, pixels: number, step: number}} shown
 */
export function visible(line, { from, to, pixels, step }) {
  const begin = Math.max(0, line.find(from) - 1);
  const end = Math.min(line.length, line.find(to) + 1);
  const gap = GAP_STEPS * line.pace(step);
  const [times, values] = end - begin > THIN_FROM * pixels ? thinned(line, begin, end, (to - from) / pixels) : [line.times.slice(begin, end), line.values.slice(begin, end)];
  const out = { times: [], values: [] };
  for (let i = 0; i < times.length; i += 1) {
    if (i && times[i] - times[i - 1] > gap) {
      out.times.push(times[i - 1] + gap / GAP_STEPS);
      out.values.push(NaN);
    }
    out.times.push(times[i]);
    out.values.push(values[i]);
  }
  return out;
}

/** Keep of each pixel its lowest and highest point, so that no spike is lost. */
function thinned(line, begin, end, width) {
  const times = [];
  const values = [];
  const keep = (i) => { times.push(line.times[i]); values.push(line.values[i]); };
  for (let i = begin; i < end;) {
    const pixel = Math.floor(line.times[i] / width);
    let [low, high] = [i, i];
    for (; i < end && Math.floor(line.times[i] / width) === pixel; i += 1) {
      if (line.values[i] < line.values[low]) low = i;
      if (line.values[i] > line.values[high]) high = i;
    }
    keep(Math.min(low, high));
    if (low !== high) keep(Math.max(low, high));
  }
  return [times, values];
}

/**
 * Rows as dygraphs takes them: a Date, then a value a line; null where a line has no point, NaN where it has a gap.
 * @param {{times: number[], values: number[]}[]} lines
 */
export function rowsOf(lines) {
  const at = lines.map(() => 0);
  const rows = [];
  for (;;) {
    let next = Infinity;
    for (let k = 0; k < lines.length; k += 1) {
      if (at[k] < lines[k].times.length && lines[k].times[at[k]] < next) next = lines[k].times[at[k]];
    }
    if (next === Infinity) return rows;
    const row = [new Date(next)];
    for (let k = 0; k < lines.length; k += 1) {
      const here = at[k] < lines[k].times.length && lines[k].times[at[k]] === next;
      row.push(here ? lines[k].values[at[k]] : null);
      if (here) at[k] += 1;
    }
    rows.push(row);
  }
}
