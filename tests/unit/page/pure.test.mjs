// The parts of the page that need no document.
import assert from 'node:assert/strict';
import { test } from 'node:test';

const ui = (name) => import(new URL(`../../../ui/${name}.js`, import.meta.url));
const { decode, encode, plainView } = await ui('address');
const { brief } = await ui('brief');
const { parseCsv, readIncidents } = await ui('csv');
const { FAMILIES, familyOf, sections } = await ui('families');
const { groupOf, holds, parse } = await ui('filter');
const { addFlag, flaggedSpans } = await ui('marks');
const { niceRange, percent, roundUp, short } = await ui('numbers');
const { Risk, stateOf } = await ui('risk');
const { SeriesOf } = await ui('series');
const { Line, rowsOf, visible } = await ui('table');
const time = await ui('time');

const MINUTE = 60_000;
const DAY = 86_400_000;

test('a view comes back from its address as it was', () => {
  const live = { ...plainView(), place: 'entity', entity: '<a href="x">&=#', span: 300_000, zone: 'Asia/Tokyo', forecast: true, band: false, metrics: ['a b', 'c{d="e"}'], group: 'name', find: 'env=prod' };
  assert.deepEqual(decode(`#${encode(live)}`), live);
  const past = { ...plainView(), live: false, from: 1_000_000, to: 2_000_000, span: 1_000_000, at: 1_500_000, beside: ['1d', '1w'], metrics: [] };
  assert.deepEqual(decode(encode(past)), past);
});

test('an address that cannot be read shows what is plain', () => {
  for (const hash of ['', '#', '#span=-1', '#span=1e99', '#from=5&to=2', '#from=1', '#from=&to=', '#place=nowhere', '#beside=9y', '#at=soon', '#%E0%A4%A']) assert.deepEqual(decode(hash), plainView(), hash);
});

test('names lose the labels that go without saying', () => {
  const labels = { region: ['eu'], disk: ['a', 'b'], q: ['say "x"'] };
  assert.equal(brief('cpu{region="eu"} 3, usually 1; io{disk="a",region="eu"} 2', labels), 'cpu 3, usually 1; io{disk="a"} 2');
  assert.equal(brief('m{q="say \\"x\\"",region="us"} {odd}', labels), 'm{region="us"} {odd}');
  assert.equal(brief('m{__proto__="x"}', labels), 'm{__proto__="x"}');
});

test('CSV with quotes, commas, line ends of both kinds and a byte order mark', () => {
  assert.deepEqual(parseCsv('\ufeffa,b\r\n"x, ""y""\nz",2\n\n,\n'), [['a', 'b'], ['x, "y"\nz', '2'], ['', '']]);
  assert.throws(() => parseCsv('a\n"b'), /never closed/);
});

test('incidents of a file, row by row', () => {
  const found = readIncidents('entity,start,end,extra\nweb-1,2026-01-01T00:00:00Z,1767225900000,x\n,2026-01-01T00:00:00Z,,\n');
  assert.deepEqual(found, [
    { row: 2, incident: { entity: 'web-1', start: '2026-01-01T00:00:00Z', end: 1767225900000 } },
    { row: 3, problem: 'no entity' },
  ]);
  assert.deepEqual(readIncidents('[{"entity":"a","start":1},3]').map((one) => one.problem ?? 'ok'), ['ok', 'not an object']);
  assert.equal(readIncidents('{"entity":"a","start":1}\n{"entity":"b","start":2}\n').length, 2);
  assert.throws(() => readIncidents('name,when\na,b\n'), /no column “entity”/);
});

test('metrics of this machine and of a shop fall into families', () => {
  const wanted = {
    cpu: ['cpu', 'cpu_busy', 'load1', 'cpu_ctx_switches_total', 'procs_running'], memory: ['memory_used_ratio', 'swap_in_bytes_total', 'vm_pgfault_total', 'mem_u'],
    disk: ['disk_read_bytes_total', 'disk_space_used_ratio', 'node_filesystem_free_bytes'], network: ['net_bytes_sent_total', 'tcp_currestab', 'udp_inerrors_total', 'eth1_fi'],
    requests: ['request_latency_p99_seconds', 'http_requests_total', 'errors_per_s'], queues: ['queue_depth', 'kafka_consumer_lag'], databases: ['db_connections_used', 'cache_hit_ratio'],
    processes: ['gc_pause_seconds', 'threads', 'open_files', 'forks_total'], pressure: ['pressure_avg10'], other: ['temperature', '<script>'],
  };
  for (const [family, names] of Object.entries(wanted)) for (const name of names) assert.equal(familyOf(name), family, name);
  assert.equal(familyOf('deploy', 'event'), 'events');
  const made = sections(['queue_depth', 'cpu', 'zzz', 'cpu_busy'], () => 'gauge');
  assert.deepEqual(made, [['cpu', ['cpu', 'cpu_busy']], ['queues', ['queue_depth']], ['other', ['zzz']]]);
  assert.ok(made.every(([family]) => FAMILIES.includes(family)));
});

test('words, labels, negation and patterns find entities', () => {
  const labels = { env: ['prod'], disk: ['sda', 'sdb'] };
  const yes = ['web', 'env=prod', 'env=p*d', 'env!=test', 'region!=eu', 'disk=sdb', 'web env=prod', '"queue full"', 'entity=web-*', 'PROD', 'region='];
  const no = ['mysql', 'env=prod2', 'env=rod', 'env!=prod', 'region=eu', 'web env=test', 'entity=db*', 'env=(prod', '__proto__=x'];
  for (const text of yes) assert.ok(holds(parse(text), 'web-1', labels, 'queue full'), text);
  for (const text of no) assert.ok(!holds(parse(text), 'web-1', labels, 'queue full'), text);
  assert.ok(holds(parse(' a=b "c '), 'x a=b "c', {}), 'a name is found as it is written');
  assert.equal(groupOf('name', 'web-12', {}), 'web');
  assert.equal(groupOf('env', 'web-12', labels), 'prod');
  assert.equal(groupOf('region', 'web-12', labels), 'no region');
});

test('neighbouring flagged buckets are one span', () => {
  const rows = [[0, 1, 1, 1], [10, 1, 1, 1], [20, 1, 1, 0], [30, 1, 1, 1]];
  assert.deepEqual(flaggedSpans(rows, 10), [{ start: 0, end: 20 }, { start: 30, end: 40 }]);
  const spans = [{ start: 0, end: 20 }];
  addFlag(spans, 10, 30);
  addFlag(spans, 50, 60);
  assert.deepEqual(spans, [{ start: 0, end: 30 }, { start: 50, end: 60 }]);
});

test('numbers are short, and axes seldom move', () => {
  assert.deepEqual([null, NaN, 0, 0.00012, 12345, 4.2e7, -3.5e9].map(short), ['–', '–', '0', '1.2e-4', '12.3k', '42.0M', '-3.50G']);
  assert.deepEqual([0, 0.0004, 0.031, 0.5, 1, null].map(percent), ['0 %', '0 %', '3.1 %', '50 %', '100 %', '–']);
  for (let i = 0; i < 2000; i += 1) {
    const value = 10 ** (Math.random() * 20 - 8);
    const up = roundUp(value);
    assert.ok(up >= value * (1 - 1e-9) && up <= value * 1.51, `${value} ${up}`);
    const [low, high] = niceRange(value * Math.random(), value);
    assert.ok(low >= 0 && low < high && high >= value, `${value} ${low} ${high}`);
  }
  assert.deepEqual(niceRange(Infinity, -Infinity), [0, 1]);
  assert.deepEqual(niceRange(0, 0), [0, 1]);
  const [low, high] = niceRange(-3, 5);
  assert.ok(low <= -3 && high >= 5);
});

test('a line keeps its times rising, whatever comes', () => {
  const line = new Line();
  const known = new Map();
  for (let i = 0; i < 500; i += 1) {
    const ms = Math.floor(Math.random() * 200);
    line.put(ms, i);
    known.set(ms, i);
  }
  const sorted = [...known].sort(([a], [b]) => a - b);
  assert.deepEqual(line.times, sorted.map(([ms]) => ms));
  assert.deepEqual(line.values, sorted.map(([, value]) => value));
  line.fill([0, 5, 100], [1, 2, 3]);
  assert.deepEqual(line.times, [0, 5, 100, ...sorted.map(([ms]) => ms).filter((ms) => ms > 100)]);
  line.trim(100);
  assert.equal(line.times[0], 100);
  assert.equal(line.near(100, 1), 3);
  assert.equal(new Line().near(1, 1000), null);
});

test('a gap is a gap, and a spike survives thinning', () => {
  const line = new Line();
  for (let ms = 0; ms < 100_000; ms += 1000) if (ms < 40_000 || ms >= 60_000) line.put(ms, 1);
  const shown = visible(line, { from: 0, to: 100_000, pixels: 1000, step: 1000 });
  const at = shown.values.findIndex((value) => Number.isNaN(value));
  assert.ok(shown.times[at] > 39_000 && shown.times[at] < 60_000);
  assert.equal(shown.values.filter(Number.isNaN).length, 1);
  const long = new Line();
  for (let ms = 0; ms < 50_000; ms += 1) long.put(ms, ms === 31_234 ? 99 : ms === 31_240 ? -99 : 1);
  const thin = visible(long, { from: 0, to: 50_000, pixels: 300, step: 1 });
  assert.ok(thin.times.length <= 602 && thin.values.includes(99) && thin.values.includes(-99), String(thin.times.length));
  assert.deepEqual([...thin.times].sort((a, b) => a - b), thin.times);
});

test('a step of ten seconds followed by one of a second has no gap', () => {
  const line = new Line();
  for (let ms = 0; ms < 600_000; ms += 10_000) line.put(ms, 1);
  for (let ms = 600_000; ms < 900_000; ms += 1000) line.put(ms, 1);
  assert.ok(!visible(line, { from: 0, to: 900_000, pixels: 2000, step: 10_000 }).values.some(Number.isNaN));
});

test('rows of lines with times of their own', () => {
  const rows = rowsOf([{ times: [1, 3], values: [10, 30] }, { times: [2, 3], values: [20, 31] }]);
  assert.deepEqual(rows.map(([at, ...values]) => [at.getTime(), ...values]), [[1, 10, null], [2, null, 20], [3, 30, 31]]);
  assert.deepEqual(rowsOf([]), []);
});

test('times are of the zone that was chosen, over changes of the clock', () => {
  time.setZone('Europe/Berlin');
  assert.equal(time.full(Date.UTC(2026, 6, 1, 10)), '2026-07-01 12:00:00');
  assert.equal(time.toInput(Date.UTC(2026, 0, 1, 10)), '2026-01-01T11:00:00');
  for (let day = 0; day < 365; day += 1) {
    const ms = Date.UTC(2026, 0, 1, 12) + day * DAY;
    assert.equal(time.fromInput(time.toInput(ms)), ms);
  }
  assert.ok(Number.isNaN(time.fromInput('')));
  for (const zone of ['UTC', 'Europe/Berlin', 'Asia/Kathmandu', 'America/St_Johns', 'Pacific/Apia', 'Australia/Lord_Howe']) {
    assert.ok(time.setZone(zone));
    for (const span of [5000, MINUTE, 17 * MINUTE, 5 * 3_600_000, DAY, 9 * DAY, 100 * DAY, 800 * DAY, 4000 * DAY]) {
      for (const begin of [Date.UTC(2026, 9, 24, 20), Date.UTC(2026, 2, 28, 22), 1, Date.UTC(2030, 5, 1)]) {
        const found = time.ticks(begin, begin + span, 700).map((tick) => tick.v);
        assert.ok(found.length <= 12, `${zone} ${span}: ${found.length} ticks`);
        assert.ok(found.every((ms, i) => ms >= begin && ms <= begin + span && (!i || ms > found[i - 1])), `${zone} ${span}`);
      }
    }
  }
  assert.equal(time.setZone('Mars/Base'), false);
  time.setZone('UTC');
  assert.deepEqual(time.ticks(0, 4 * 3_600_000, 400).map((tick) => tick.label), ['Jan 1', '01:00', '02:00', '03:00', '04:00']);
});

test('an alert is over when the last of the entity is, and shows whatever the newest window says', () => {
  const risk = new Risk();
  const row = { entity: 'a', labels: {}, line: [], reason: '', verdicts: [], alert: 'firing', alerts: { one: 'firing' } };
  risk.read({ step: 10_000, from: 0, entities: [row] });
  const said = () => stateOf(risk.of('a'), 0).text;
  const alert = (fingerprint, state, more = {}) => risk.alert({ entity: 'a', fingerprint, state, silenced_by: [], ...more });
  assert.equal(said(), '⚑ alert');
  alert('two', 'firing');
  alert('one', 'resolved');
  assert.equal(said(), '⚑ alert');
  alert('two', 'firing', { silenced_by: ['s'] });
  assert.equal(said(), '⚑ held alert');
  alert('two', 'resolved');
  assert.equal(said(), '○ no verdict');
  risk.alert({ entity: 'nobody', fingerprint: 'x', state: 'firing' });
  assert.equal(risk.all.has('nobody'), false);
});

test('the riskiest come first, by the newest verdict of each rollup', () => {
  const risk = new Risk();
  const verdict = (entity, rollup, start, p, flag = 0) => ({ entity, rollup, start, end: start + 10_000, p_incident: p, anomaly_score: p / 2, flag, reason: '' });
  risk.note(verdict('a', '10s', 0, 0.1));
  risk.note(verdict('b', '10s', 0, 0.9));
  risk.note(verdict('c', '10s', 0, 0.2, 1));
  assert.deepEqual(risk.ordered().map((one) => one.entity), ['c', 'b', 'a']);
  risk.note(verdict('c', '10s', 10_000, 0.1));
  risk.note(verdict('b', '10s', -10_000, 0));
  assert.deepEqual(risk.ordered().map((one) => one.entity), ['b', 'a', 'c']);
  risk.note(verdict('a', '1m', 0, 0.95));
  assert.equal(risk.ordered()[0].entity, 'a');
  for (let i = 2; i < 500; i += 1) risk.note(verdict('a', '10s', i * 10_000, 0.5));
  assert.ok(risk.of('a').line.length <= 60);
});

test('labels that all series share are not said on each line', () => {
  const one = (metric, labels, kind = 'gauge') => ({ entity: 'e', metric, labels, kind, key: `${metric}{${Object.entries(labels).map(([k, v]) => `${k}="${v}"`)}}` });
  const series = new SeriesOf('e', [one('cpu', { core: '0', env: 'p' }), one('cpu', { core: '1', env: 'p' }), one('hits', { env: 'p' }, 'counter'), { ...one('other', {}), entity: 'e2' }]);
  assert.deepEqual(series.common, { env: 'p' });
  assert.equal(series.name('cpu{core="0",env="p"}'), 'core=0');
  assert.deepEqual([...series.metrics.keys()], ['cpu', 'hits']);
  assert.equal(series.stat('hits'), 'rate');
  assert.equal(series.metricOf('new{x="{"}'), 'new');
});
