// Wires the page: what is chosen, what is asked of the server, what arrives live.

import { showAlerts } from './alerts.js';
import { get } from './api.js';
import { Chart } from './chart.js';
import { edit, showIncidents } from './incidents.js';
import { listen } from './keys.js';
import { Live } from './live.js';
import { showModels } from './models.js';
import { Overview } from './overview.js';
import { Table } from './table.js';
import { showWhy } from './why.js';

const RAW_SPAN_MS = 900_000; // up to this span the page also draws every sample as it comes
const ROLLUP_MS = { '10s': 10_000, '1m': 60_000, '5m': 300_000, '1h': 3_600_000, '1d': 86_400_000 };
const AGO = / (\d+(?:h|d|w|mo)) ago$/;
const SHOWN_FIRST = 12;
const LISTED = 200; // the overview shows all
const PREFERRED = [/^cpu$/, /^cpu/, /^load/, /^memory_used/, /pressure_avg/, /^disk.*bytes/, /^net_bytes/, /swap/];

const $ = (id) => document.getElementById(id);
const state = {
  entity: null, live: true, span: 900_000, rollup: '10s', series: new Map(), chosen: null, before: new Map(),
  risk: new Map(), flags: [], incidents: [], alerts: [], place: 'entity', overlay: '', forecast: false,
};
const view = {
  from: 0, to: 0, shades: [],
  onZoom: (from, to) => zoom(from, to),
  onPick: (ms) => pick(ms),
};
let charts = new Map(); // metric → Chart
let strip = null;
let loading = 0;
let dirty = false;

const overview = new Overview({ risk: state.risk, onChoose: (entity) => { place('entity'); choose(entity); } });

// ---- places

const PLACES = {
  overview: (box) => { box.replaceChildren(overview.box); overview.draw(); },
  incidents: (box) => showIncidents(box, look),
  alerts: (box) => showAlerts(box, look),
  models: (box) => showModels(box),
};

async function place(name) {
  state.place = name;
  for (const one of $('places').children) {
    if (one.dataset.place === name) one.setAttribute('aria-current', 'page');
    else one.removeAttribute('aria-current');
  }
  const charts_ = name === 'entity';
  $('place').hidden = charts_;
  document.querySelector('main').hidden = !charts_;
  $('time').hidden = !charts_;
  remember();
  if (charts_) return dirtyNow();
  $('place').textContent = 'Reading…';
  try {
    await PLACES[name]($('place'));
  } catch (error) {
    $('place').textContent = `Cannot show this: ${error.message}. Choose it again to retry.`;
  }
  return undefined;
}

function dirtyNow() {
  dirty = true;
  for (const chart of charts.values()) chart.stale = true;
  draw();
}

async function look(entity, from, to) {
  place('entity');
  if (state.risk.has(entity)) await choose(entity);
  await zoom(from, to);
}

const live = new Live({ onMessage: take, onState: connection });

function connection(now) {
  if ($('connection').dataset.state === now) return;
  $('connection').dataset.state = now;
  $('connection').textContent = { live: 'live', connecting: 'connecting', lost: 'connection lost, trying again' }[now];
}

function say(text) {
  $('message').hidden = !text;
  $('message').textContent = text;
}

// ---- what there is

async function begin() {
  const hash = new URLSearchParams(location.hash.slice(1));
  state.span = Number(hash.get('span')) || state.span;
  $('span').value = String(state.span);
  let entities = [];
  try {
    const now = Date.now();
    let scores;
    [entities, scores] = await Promise.all([get('entities'), get('scores', { from: now - 180_000, to: now })]);
    scores.forEach(note);
    for (const one of await get('verdicts', { from: now - 60_000, to: now, limit: 2000 })) overview.note(one);
  } catch (error) {
    if (error.status === 401) return signIn();
    say(`Cannot reach the server: ${error.message}. Trying again.`);
  }
  if (!entities.length) {
    if ($('message').hidden) say('Nothing has arrived yet. Send samples, or start without --no-collect.');
    setTimeout(begin, 1000);
    return undefined;
  }
  say('');
  for (const { entity } of entities) if (!state.risk.has(entity)) state.risk.set(entity, { p: 0, score: 0, flag: 0, of: new Map() });
  if (PLACES[hash.get('place')]) place(hash.get('place'));
  const asked = hash.get('entity');
  await choose(state.risk.has(asked) ? asked : riskiest()[0][0]);
  if (hash.get('from') && hash.get('to')) await zoom(Number(hash.get('from')), Number(hash.get('to')));
  listEntities();
  return undefined;
}

function signIn() {
  const form = document.createElement('form');
  const input = Object.assign(document.createElement('input'), { type: 'password', autocomplete: 'current-password' });
  input.setAttribute('aria-label', 'Token');
  const button = Object.assign(document.createElement('button'), { textContent: 'Sign in' });
  form.append('This server asks for a token: ', input, ' ', button);
  form.onsubmit = async (event) => {
    event.preventDefault();
    const body = JSON.stringify({ token: input.value });
    const answer = await fetch('/api/v1/session', { method: 'POST', body });
    if (answer.ok) begin();
    else button.textContent = 'Not known. Sign in';
  };
  $('message').hidden = false;
  $('message').replaceChildren(form);
}

function riskiest() {
  return [...state.risk].sort(([a, x], [b, y]) => y.flag - x.flag || y.p - x.p || y.score - x.score || a.localeCompare(b));
}

function note(verdict) {
  overview.note(verdict);
  const known = state.risk.get(verdict.entity) ?? { p: 0, score: 0, flag: 0, of: new Map() };
  // The newest verdict of each rollup counts: a slow one that is calm does not hide a fast one that is not.
  known.of.set(verdict.rollup, verdict);
  const those = [...known.of.values()];
  known.p = Math.max(...those.map((one) => one.p_incident));
  known.score = Math.max(...those.map((one) => one.anomaly_score));
  known.flag = Math.max(...those.map((one) => one.flag));
  state.risk.set(verdict.entity, known);
}

function listEntities() {
  const wanted = $('find-entity').value.toLowerCase();
  const those = riskiest().filter(([entity]) => entity.toLowerCase().includes(wanted));
  const items = those.slice(0, LISTED);
  const own = those.find(([entity]) => entity === state.entity);
  if (own && !items.includes(own)) items.unshift(own); // the one that is looked at is always there
  $('entities').replaceChildren(...items.map(([entity, { p, score, flag }]) => {
    const item = document.createElement('li');
    const button = document.createElement('button');
    button.type = 'button';
    if (entity === state.entity) button.setAttribute('aria-current', 'true');
    const name = Object.assign(document.createElement('span'), { textContent: entity });
    const risk = Object.assign(document.createElement('span'), { className: 'risk' });
    risk.dataset.flag = String(flag);
    risk.textContent = `${Math.round(p * 100)} % · ${Math.round(score * 100)}`;
    risk.title = 'probability of an incident · how unusual (0 to 100)';
    button.append(name, risk);
    button.onclick = () => choose(entity);
    item.append(button);
    return item;
  }));
}

function listMetrics() {
  const wanted = $('find-metric').value.toLowerCase();
  const names = [...state.series.keys()].filter((name) => name.toLowerCase().includes(wanted));
  $('metrics').replaceChildren(...names.map((name) => {
    const item = document.createElement('li');
    const label = document.createElement('label');
    const box = Object.assign(document.createElement('input'), { type: 'checkbox', checked: state.chosen.has(name) });
    box.onchange = () => {
      if (box.checked) state.chosen.add(name);
      else state.chosen.delete(name);
      build();
    };
    label.append(box, name);
    item.append(label);
    return item;
  }));
}

async function choose(entity) {
  state.entity = entity;
  $('why').hidden = true;
  state.series = new Map();
  charts = dropped(charts);
  for (const one of await get('series', { entity: literal(entity) })) {
    if (one.entity !== entity) continue;
    if (!state.series.has(one.metric)) state.series.set(one.metric, { kind: one.kind, keys: [] });
    state.series.get(one.metric).keys.push(one.key);
  }
  const rank = (name) => { const at = PREFERRED.findIndex((p) => p.test(name)); return at < 0 ? PREFERRED.length : at; };
  const names = [...state.series.keys()].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  state.series = new Map(names.map((name) => [name, state.series.get(name)]));
  state.chosen = new Set(names.slice(0, SHOWN_FIRST));
  listMetrics();
  listEntities();
  // Charts first, then live, then history: no sample falls between them.
  const built = build();
  live.subscribe({ entities: ['*'], metrics: ['*'], rollups: Object.keys(ROLLUP_MS) });
  await built;
}

/** An entity's name as a pattern that means just it: the server compares names first, so only * could mislead. */
function literal(entity) {
  return entity;
}

// ---- history

function dropped(old) {
  for (const chart of old.values()) chart.remove();
  return new Map();
}

async function build() {
  charts = dropped(charts);
  strip?.remove();
  $('strip').replaceChildren();
  strip = new Chart($('strip'), { title: 'p_incident and how unusual', table: new Table(['p_incident', 'anomaly_score']), range: [0, 1.02], view });
  for (const name of state.chosen) {
    const { keys, kind } = state.series.get(name);
    const title = kind === 'counter' ? `${name} (per second)` : kind === 'event' ? `${name} (count)` : name;
    charts.set(name, new Chart($('charts'), { title, table: new Table([...keys]), view }));
  }
  await load();
}

async function load() {
  const turn = (loading += 1);
  state.before = new Map();
  if (state.live) {
    view.to = Date.now();
    view.from = view.to - state.span;
  }
  const { from, to } = view;
  const fitting = Object.entries(ROLLUP_MS).find(([, ms]) => (to - from) / ms <= 1000);
  state.rollup = fitting ? fitting[0] : 'auto';
  const kinds = { gauge: 'mean', counter: 'rate', event: 'count' };
  const asked = { from: Math.floor(from), to: Math.ceil(to), rollup: state.rollup, points: 1000, entity: literal(state.entity) };
  if (state.overlay) asked.overlay = state.overlay;
  try {
    const answers = await Promise.all(Object.entries(kinds).map(async ([kind, stat]) => {
      const metric = [...state.chosen].filter((name) => state.series.get(name).kind === kind);
      return metric.length ? get('range', { ...asked, metric, stat }) : null;
    }));
    const scores = await get('scores', { from: asked.from, to: asked.to, entity: literal(state.entity) });
    const incidents = await get('incidents', { entity: state.entity });
    state.alerts = await get('alerts', { entity: state.entity });
    const ahead = state.forecast ? await forecasts(to - from) : [];
    if (turn !== loading) return;
    const before = new Map([...charts].map(([name, chart]) => [name, chart.table]));
    for (const chart of charts.values()) chart.table = new Table([...chart.table.columns]);
    answers.filter(Boolean).forEach(fill);
    if (state.live) keepNewer(before);
    strip.table = new Table(['p_incident', 'anomaly_score']);
    for (const one of scores) if (one.entity === state.entity) score(one);
    state.flags = scores.filter((one) => one.flag && one.entity === state.entity);
    state.incidents = incidents;
    ahead.forEach(append);
    if (ahead.length) view.to = Math.max(view.to, ...ahead.map((one) => one.data.at(-1)[0]));
    const file = new URLSearchParams({ from: asked.from, to: asked.to, rollup: state.rollup, entity: state.entity, format: 'csv' });
    for (const name of state.chosen) file.append('metric', name);
    $('csv').href = `/api/v1/range?${file}`;
    const shown = answers.find(Boolean);
    $('resolution').textContent = shown ? `windows of ${shown.rollup}` : '';
    say('');
  } catch (error) {
    say(`Cannot read history: ${error.message}. The live view goes on; zoom or choose again to retry.`);
  }
  draw();
}

/** What came live while history was read, and is newer, stays. */
function keepNewer(before) {
  for (const [name, chart] of charts) {
    const old = before.get(name);
    const last = chart.table.rows.length ? chart.table.rows.at(-1)[0].getTime() : 0;
    for (const [time, ...values] of old?.rows ?? []) {
      if (time.getTime() <= last) continue;
      values.forEach((value, i) => { if (value !== null) chart.table.put(old.columns[i], time.getTime(), value); });
    }
  }
}

function fill(answer) {
  const prefix = `${state.entity} `;
  const size = ROLLUP_MS[answer.rollup] ?? 0;
  let last = null;
  for (const [start, ...values] of answer.data) {
    values.forEach((value, i) => {
      const label = answer.labels[i + 1];
      if (!label.startsWith(prefix)) return;
      const key = label.slice(prefix.length);
      const chart = charts.get(metricOf(key));
      if (!chart) return;
      // A hole of more than one window is a gap in the line, not a straight line through it.
      if (last !== null && size && start - last > 2 * size) chart.table.put(key, last + size, NaN);
      if (value !== null) chart.table.put(key, start, value);
    });
    last = start;
  }
}

/** Ask where each shown gauge of one series is going. */
async function forecasts(span) {
  const minutes = Math.max(10, Math.min(7 * 1440, Math.round(span / 2 / 60_000)));
  const one = [...charts.keys()].filter((name) => state.series.get(name).kind === 'gauge' && state.series.get(name).keys.length === 1).slice(0, SHOWN_FIRST);
  const found = await Promise.all(one.map((name) => get('forecast', { entity: state.entity, metric: state.series.get(name).keys[0], horizon: `${minutes}m` }).catch(() => null)));
  return found.filter((answer) => answer?.data.length);
}

function append(answer) {
  const table = charts.get(metricOf(answer.metric))?.table;
  for (const [ms, ...values] of answer.data) {
    ['forecast', 'low', 'high'].forEach((name, i) => table?.put(name, ms, values[i]));
  }
}

function metricOf(given) {
  const key = given.replace(AGO, '');
  const at = key.indexOf('{');
  const name = at < 0 ? key : key.slice(0, at);
  return charts.has(key) ? key : name;
}

function score(verdict) {
  strip.table.put('p_incident', verdict.start, verdict.p_incident);
  strip.table.put('anomaly_score', verdict.start, verdict.anomaly_score);
}

async function zoom(from, to) {
  if (from === null) return goLive();
  state.live = false;
  $('live').setAttribute('aria-pressed', 'false');
  [view.from, view.to] = [from, to];
  remember();
  return load();
}

function goLive() {
  state.live = true;
  $('live').setAttribute('aria-pressed', 'true');
  remember();
  return load();
}

function remember() {
  const hash = new URLSearchParams({ entity: state.entity ?? '', span: String(state.span) });
  if (state.place !== 'entity') hash.set('place', state.place);
  if (!state.live) {
    hash.set('from', String(Math.round(view.from)));
    hash.set('to', String(Math.round(view.to)));
  }
  history.replaceState(null, '', `#${hash}`);
}

async function pick(ms) {
  const flag = state.flags.filter((one) => one.start <= ms && ms < one.end).at(-1);
  const nearest = strip.table.rows[Math.min(strip.table.find(ms), strip.table.rows.length - 1)];
  if (flag) await showWhy($('why'), state.entity, flag);
  else if (nearest) await showWhy($('why'), state.entity, { start: nearest[0].getTime(), rollup: state.rollup });
}

// ---- live

function take(message) {
  if (message.type === 'gap') {
    say(`${message.missed} live messages were missed (${message.why}); reading them from history.`);
    load();
  }
  if (message.type === 'verdict') note(message);
  if (message.entity !== state.entity) {
    if (message.entity && !state.risk.has(message.entity)) state.risk.set(message.entity, { p: 0, score: 0, flag: 0, of: new Map() });
    return;
  }
  if (message.type === 'verdict') {
    if (message.flag) state.flags.push(message);
    score(message);
  } else if (message.type === 'samples' && state.span <= RAW_SPAN_MS) {
    for (const [key, ms, value] of message.points) raw(key, ms, value);
  } else if (message.type === 'rollup' && message.rollup === state.rollup && (state.span > RAW_SPAN_MS || message.late)) {
    for (const [key, stats] of Object.entries(message.metrics)) window_(key, message.start, stats);
  } else {
    return;
  }
  dirty = true;
}

function raw(key, ms, value) {
  const name = metricOf(key);
  const chart = charts.get(name);
  if (!chart) return;
  const kind = state.series.get(name).kind;
  if (kind === 'event') return;
  if (kind !== 'counter') {
    chart.table.put(key, ms, value);
    return;
  }
  const before = state.before.get(key);
  state.before.set(key, [ms, value]);
  if (before && ms > before[0] && value >= before[1]) chart.table.put(key, ms, (value - before[1]) / (ms - before[0]) * 1000);
}

function window_(key, start, stats) {
  const name = metricOf(key);
  const kind = state.series.get(name)?.kind;
  const value = { counter: stats.rate, event: stats.count }[kind] ?? stats.mean;
  charts.get(name)?.table.put(key, start, value);
}

function draw() {
  view.shades = [
    ...state.alerts.filter((one) => one.state === 'firing').map((one) => ({ start: one.start, end: Date.now(), kind: 'incident' })),
    ...state.incidents.map((one) => ({ start: one.start, end: one.end ?? Date.now(), kind: 'incident' })),
    ...state.flags.map((one) => ({ start: one.start, end: one.end, kind: 'flag' })),
  ];
  strip?.draw();
  for (const chart of charts.values()) chart.draw();
}

// At most once a second, whatever arrived: the eye needs no more, and a hundred charts cost a hundred redraws.
let drawn = 0;
setInterval(() => {
  if (!state.live || !dirty || document.hidden || !strip || Date.now() - drawn < 950) return;
  dirty = false;
  drawn = Date.now();
  view.to = Date.now();
  view.from = view.to - state.span;
  for (const chart of [strip, ...charts.values()]) chart.table.trim(view.from - 60_000);
  state.flags = state.flags.filter((one) => one.end > view.from);
  draw();
}, 100);
setInterval(() => { if (state.place === 'entity') listEntities(); else if (state.place === 'overview') overview.draw(); }, 2000);

$('live').onclick = goLive;
$('span').onchange = () => { state.span = Number($('span').value); goLive(); };
$('find-entity').oninput = listEntities;
$('find-metric').oninput = listMetrics;
addEventListener('hashchange', () => location.reload());
for (const one of $('places').children) one.onclick = () => place(one.dataset.place);
$('overlay').onchange = () => { state.overlay = $('overlay').value; load(); };
$('forecast').onclick = () => {
  state.forecast = !state.forecast;
  $('forecast').setAttribute('aria-pressed', String(state.forecast));
  if (state.live && state.forecast) zoom(Date.now() - state.span, Date.now());
  else load();
};
$('mark').onclick = () => {
  const given = { entity: state.entity, start: Math.round(view.from), end: state.live ? null : Math.round(view.to) };
  place('incidents').then(() => edit($('place'), given, () => place('incidents')));
};
listen({
  o: ['overview', () => place('overview')],
  c: ['charts', () => place('entity')],
  i: ['incidents', () => place('incidents')],
  a: ['alerts', () => place('alerts')],
  m: ['models', () => place('models')],
  l: ['go live', () => { place('entity'); goLive(); }],
  f: ['forecast', () => $('forecast').click()],
  '/': ['find an entity', () => { if (state.place === 'overview') overview.find.focus(); else $('find-entity').focus(); }],
});

begin();
