// Times arrive as UTC ms and become local, in the zone that was chosen, only here.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
const TICK_PX = 76; // the least room a label on the time axis takes
const STEPS = [1, 2, 5, 10, 15, 30].map((n) => n * SECOND)
  .concat([1, 2, 5, 10, 15, 30].map((n) => n * MINUTE), [1, 2, 3, 6, 12].map((n) => n * HOUR), [1, 2, 7].map((n) => n * DAY));
const MONTHS = [1, 3, 6, 12, 24, 60, 120];
const NAMES = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

let zone = 'UTC';
let format = null;
let offsets = new Map(); // quarter of an hour → ms that the zone is ahead of UTC there

/** @returns {string} the browser's own zone */
export function ownZone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
}

/** Show times in a zone. @param {string} name as IANA names it @returns {boolean} false where there is no such zone */
export function setZone(name) {
  try {
    format = new Intl.DateTimeFormat('en-GB', {
      timeZone: name, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric', era: 'short',
    });
  } catch {
    return false;
  }
  zone = name;
  offsets = new Map();
  return true;
}

export function zoneName() {
  return zone;
}

/** @param {number} ms @returns {number} how far the zone is ahead of UTC then, ms */
export function offsetMs(ms) {
  if (zone === 'UTC') return 0;
  const slot = Math.floor(ms / (15 * MINUTE));
  let found = offsets.get(slot);
  if (found === undefined) {
    const at = slot * 15 * MINUTE;
    const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
    const year = part.era?.startsWith('B') ? 1 - Number(part.year) : Number(part.year);
    found = Date.UTC(year, part.month - 1, part.day, part.hour, part.minute, part.second) - at;
    if (offsets.size > 5000) offsets.clear();
    offsets.set(slot, found);
  }
  return found;
}

/** A Date whose UTC fields are the zone's wall clock. @param {number} ms */
function wall(ms) {
  return new Date(ms + offsetMs(ms));
}

/** @param {number} wallMs the wall clock as if it were UTC @returns {number} ms; an hour that is skipped counts as the next */
export function fromWall(wallMs) {
  const guess = wallMs - offsetMs(wallMs);
  return wallMs - offsetMs(guess);
}

const two = (n) => String(n).padStart(2, '0');
const clock = (at) => `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
const date = (at) => `${at.getUTCFullYear()}-${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;

/** @param {number} ms @returns {string} 2026-11-24 21:24:51 */
export function full(ms) {
  if (!Number.isFinite(ms)) return '–';
  const at = wall(ms);
  return `${date(at)} ${clock(at)}:${two(at.getUTCSeconds())}`;
}

/** As short as what is on the screen allows. @param {number} ms @param {number} spanMs how much time that is */
export function moment(ms, spanMs = 0) {
  const at = wall(ms);
  if (spanMs > DAY) return `${date(at)} ${clock(at)}`;
  return `${clock(at)}:${two(at.getUTCSeconds())}`;
}

/** What a datetime-local input takes. @param {number} ms */
export function toInput(ms) {
  const at = wall(ms);
  return `${date(at)}T${clock(at)}:${two(at.getUTCSeconds())}`;
}

/** @param {string} text what a datetime-local input gives @returns {number} ms, NaN where it is none */
export function fromInput(text) {
  const wallMs = Date.parse(`${text}Z`);
  return Number.isNaN(wallMs) ? NaN : fromWall(wallMs);
}

/** @param {number} ms a length of time @returns {string} in the largest unit that fits: 12 min */
export function length(ms) {
  const size = Math.abs(ms);
  if (size < 2 * MINUTE) return `${Math.round(size / SECOND)} s`;
  if (size < 2 * HOUR) return `${Math.round(size / MINUTE)} min`;
  if (size < 2 * DAY) return `${Math.round(size / HOUR)} h`;
  return `${Math.round(size / DAY)} days`;
}

/**
 * Where the time axis is labelled: whole steps of the zone's wall clock.
 * @param {number} from @param {number} to @param {number} pixels @returns {{v: number, label: string}[]}
 */
export function ticks(from, to, pixels) {
  const most = Math.max(1, Math.floor(pixels / TICK_PX));
  const step = STEPS.find((size) => (to - from) / size <= most);
  if (step && step < DAY) return clockTicks(from, to, step);
  if (step) return dayTicks(from, to, step / DAY);
  return monthTicks(from, to, MONTHS.find((n) => (to - from) / (n * 30.4 * DAY) <= most) ?? 240);
}

function clockTicks(from, to, step) {
  const out = [];
  // In steps of the wall clock, so that 06:00 stays 06:00 over a change to summer time.
  for (let at = Math.floor((from + offsetMs(from)) / step) * step; ; at += step) {
    const ms = fromWall(at);
    if (ms > to) return out;
    const there = new Date(at);
    if (ms < from || out.at(-1)?.v === ms) continue;
    const midnight = at % DAY === 0;
    out.push({ v: ms, label: midnight ? `${NAMES[there.getUTCMonth()]} ${there.getUTCDate()}` : step < MINUTE ? `${clock(there)}:${two(there.getUTCSeconds())}` : clock(there) });
  }
}

function dayTicks(from, to, days) {
  const out = [];
  const first = Math.floor((from + offsetMs(from)) / DAY);
  for (let day = first - (first % days); ; day += days) {
    const ms = fromWall(day * DAY);
    if (ms > to) return out;
    const there = new Date(day * DAY);
    if (ms >= from) out.push({ v: ms, label: `${NAMES[there.getUTCMonth()]} ${there.getUTCDate()}` });
  }
}

function monthTicks(from, to, months) {
  const out = [];
  const begin = wall(from);
  for (let month = Math.floor((begin.getUTCFullYear() * 12 + begin.getUTCMonth()) / months) * months; ; month += months) {
    const there = new Date(0);
    there.setUTCFullYear(Math.floor(month / 12), month % 12, 1);
    const ms = fromWall(there.getTime());
    if (ms > to) return out;
    const year = String(there.getUTCFullYear());
    if (ms >= from) out.push({ v: ms, label: months % 12 === 0 ? year : month % 12 === 0 ? year : NAMES[month % 12] });
  }
}

setZone(ownZone());
