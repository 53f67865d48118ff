// Puts the parts of the page together.

import { get, onUnknown } from './api.js';
import { Board } from './board.js';
import { make } from './dom.js';
import { Feed } from './feed.js';
import { gestures } from './gestures.js';
import { editIncident } from './incidents.js';
import { listen } from './keys.js';
import { Live, showConnection } from './live.js';
import { Notice } from './notice.js';
import { Overview } from './overview.js';
import { Places } from './places.js';
import { Risk, stateOf } from './risk.js';
import { bindScheme } from './scheme.js';
import { Sidebar } from './sidebar.js';
import { signIn } from './signin.js';
import { TimeBar } from './timebar.js';
import { change, onView, view } from './view.js';
import { Why } from './why.js';

const LIST_MS = 2000;
const EMPTY_MS = 1000;
const BACK_TO_NEWEST_MS = 30_000;
const AT_A_GLANCE = 20; // so many entities or fewer: the charts of the riskiest come first
const RECENT_RECORDS = 30; // so that a page just opened has a line to show, and not a point

const $ = (id) => document.getElementById(id);
const notice = new Notice($('message'));
const risk = new Risk();
const overview = new Overview({ risk, onChoose: choose });
const board = new Board({
  strip: $('strip'),
  charts: $('charts'),
  say: (text, retry) => notice.say(text, retry),
  onShown: () => timebar.shown(),
  onSeries: () => sidebar.listMetrics(),
  onIncident: (incident) => editIncident(incident, () => board.readMarks(), incident.end ? 'title' : 'resolution'),
  onAlert: (alert) => pin(alert.start),
});
const timebar = new TimeBar($('time'), { board, say: (text) => notice.pass(text) });
const sidebar = new Sidebar({ risk, board, onChoose: choose });
const labelsOf = (entity) => risk.of(entity).labels;
const places = new Places({ overview, look, labelsOf });
const feed = new Feed(board);
const why = new Why($('why'), { onLook: look, onMetric: showMetric, onUnpin: () => change({ at: null }), labelsOf });
let pointing = 0; // when a cursor was last on a chart
let begun = false; // whether there was something to show

// ---- what is looked at

function choose(entity) {
  change({ place: 'entity', entity, at: null, metrics: null }, { step: true });
}

/** Show a time of an entity, from another place. */
function look(entity, from, to, at = null) {
  change({ place: 'entity', entity, live: false, from, to, span: to - from, at, ...(entity === view.entity ? {} : { metrics: null }) }, { step: true });
}

async function showEntity() {
  const { entity } = view;
  why.plain('Reading…');
  feed.reset();
  showHead();
  sidebar.listEntities();
  try {
    // Charts first, then live, then history: no sample falls between them.
    const shown = board.show(entity);
    own.subscribe({ entities: [entity], metrics: ['*'], rollups: ['*'], types: ['samples', 'rollup'] });
    await shown;
    if (entity !== view.entity) return;
    sidebar.listMetrics();
    explain();
  } catch (error) {
    notice.say(`Cannot show ${entity}: ${error.message}.`, showEntity);
  }
}

function showHead() {
  const one = risk.of(view.entity);
  const head = $('entity-head');
  const labels = Object.entries(one.labels).filter(([name]) => Object.hasOwn(board.series.common, name)).map(([name, values]) => `${name}=${values.join(',')}`);
  const { text, kind } = stateOf(one, Date.now());
  const key = JSON.stringify([view.entity, labels, text]);
  if (head.dataset.key === key) return;
  head.dataset.key = key;
  head.replaceChildren(make('h2', { textContent: view.entity }), make('span', { className: 'state', dataset: { kind, flag: String(one.flag) }, textContent: text }),
    ...labels.map((label) => make('span', { className: 'tag', textContent: label })));
}

function showMetric(metric) {
  const chart = board.charts.get(board.series.metricOf(metric));
  if (!chart) return;
  chart.box.closest('details').open = true;
  chart.box.scrollIntoView({ block: 'center', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
  chart.box.classList.add('found');
  setTimeout(() => chart.box.classList.remove('found'), 1500);
}

// ---- why

function stepAt(ms) {
  const { step } = board.strip;
  return { step, flagged: board.marks.flags.some((one) => one.start < ms + step && one.end > ms - step) };
}

function explain() {
  if (view.at !== null) why.at(view.entity, view.at, { ...stepAt(view.at), mode: 'pinned' });
  else if (view.live) newest();
  else why.plain('Point at a chart, or choose a window. Shaded windows were flagged.');
}

async function newest() {
  const { entity } = view;
  const found = await get('verdicts', { entity, from: '-10m', limit: 200 }).catch(() => []);
  const last = found.filter((one) => one.entity === entity).at(-1);
  if (entity !== view.entity || view.at !== null || !view.live) return;
  if (last) why.newest(last);
  else why.plain('No window of this entity was judged in the last minutes.');
}

function point(ms) {
  board.point(ms);
  if (ms === null) return;
  pointing = Date.now();
  if (view.at === null) why.at(view.entity, ms, { ...stepAt(ms), mode: 'cursor' });
}

function pin(ms) {
  change({ at: ms }, { step: true });
}

// ---- live

const lives = [];
const connection = () => showConnection($('connection'), lives);
const all = new Live({ onState: connection, onMessage: takeAll });
const own = new Live({ onState: connection, onMessage: (message) => feed.take(message), recent: RECENT_RECORDS });
lives.push(all, own);

function takeAll(message) {
  if (message.type === 'verdict') {
    risk.note(message);
    feed.take(message);
    if (message.entity === view.entity && view.live && view.at === null && Date.now() - pointing > BACK_TO_NEWEST_MS) why.newest(message);
  } else if (message.type === 'alert') {
    risk.alert(message);
    feed.take(message);
  } else if (message.type === 'gap') {
    begin();
  }
}

function list() {
  if (document.hidden) return;
  const flagged = risk.ordered((one) => one.flag).length;
  document.title = flagged ? `⚑ ${flagged} flagged · Foreshock` : 'Foreshock';
  if (view.place === 'entity') {
    sidebar.listEntities();
    showHead();
  } else if (view.place === 'overview') {
    overview.draw();
  }
}

// ---- begin

/** Read how everything stands; again until there is something. */
async function begin() {
  try {
    risk.read(await get('overview'));
  } catch (error) {
    if (error.status === 401) return;
    notice.say(`Cannot reach the server: ${error.message}. Trying again.`);
    setTimeout(begin, EMPTY_MS);
    return;
  }
  if (!all.subscription) all.subscribe({ entities: ['*'], metrics: ['*'], rollups: ['*'], types: ['verdict', 'alert'] });
  if (!risk.all.size) {
    notice.say('Nothing has arrived yet. Send samples (POST /api/v1/samples), or start without --no-collect.');
    if (!view.place) change({ place: 'overview' });
    setTimeout(begin, EMPTY_MS);
    return;
  }
  if (!begun) {
    begun = true;
    notice.say('');
    const riskiest = risk.ordered()[0].entity;
    const place = view.place && !(view.place === 'overview' && !view.entity && began === 'empty') ? view.place : risk.all.size > AT_A_GLANCE ? 'overview' : 'entity';
    change({ place, entity: view.entity || riskiest });
    why.again();
  }
  list();
}

onView((changed) => {
  if (changed.has('entity') && view.entity) showEntity();
  else if (changed.has('entity') && risk.all.size) change({ entity: risk.ordered()[0].entity }); // an address without one
  else if (changed.has('at') || changed.has('live')) explain();
  if (changed.has('metrics')) sidebar.listMetrics();
  if (changed.has('zone')) { places.show(); explain(); }
});
onUnknown(() => signIn($('sign-in'), begin));
bindScheme($('scheme'));
gestures($('stage'), {
  view: board.screen,
  marking: () => timebar.marking,
  onPoint: point,
  onPick: pin,
  onZoom: (from, to) => timebar.zoom(from, to),
  onOut: () => timebar.scale(2),
  onPan: (from, to, done) => (done ? timebar.zoom(from, to) : board.pan(from, to)),
  onMark: (start, end) => {
    timebar.setMarking(false);
    editIncident({ entity: view.entity, start: Math.round(start), end: Math.round(end) }, () => board.readMarks());
  },
});
$('strip').addEventListener('keydown', (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || event.target.closest('.pin')) return;
  event.preventDefault();
  event.stopPropagation();
  const { step } = board.strip;
  const from = view.at ?? (by > 0 ? view.from : view.to);
  const at = Math.max(view.from, Math.min(view.to - 1, (Math.floor(from / step) + by) * step + step / 2));
  change({ at });
  board.point(at);
});
const charts = (does) => () => { if (view.place === 'entity') does(); };
$('help').onclick = listen({
  o: ['overview', () => places.go('overview')],
  c: ['charts', () => places.go('entity')],
  i: ['incidents', () => places.go('incidents')],
  a: ['alerts', () => places.go('alerts')],
  m: ['models', () => places.go('models')],
  s: ['settings', () => places.go('settings')],
  l: ['go live', () => { places.go('entity'); timebar.goLive(); }],
  t: ['choose from–to', charts(() => timebar.choose())],
  '-': ['zoom out', charts(() => timebar.scale(2))],
  '+': ['zoom in', charts(() => timebar.scale(0.5))],
  ArrowLeft: ['earlier (on the strip of risk: the window before)', charts(() => timebar.shift(-0.5))],
  ArrowRight: ['later (on the strip of risk: the window after)', charts(() => timebar.shift(0.5))],
  n: ['mark an incident by dragging', charts(() => timebar.setMarking(!timebar.marking))],
  f: ['forecast', charts(() => timebar.forecast.click())],
  b: ['spread within windows', charts(() => timebar.band.click())],
  '/': ['find', () => (view.place === 'overview' ? overview.find : $('find-entity')).focus()],
  Escape: ['unpin, stop marking', () => { timebar.setMarking(false); change({ at: null }); pointing = 0; }],
});
$('choices').open = innerWidth > 800;
setInterval(list, LIST_MS);
const began = view.place ? 'address' : 'empty';
if (view.place) places.show();
if (view.entity) showEntity();
begin();
