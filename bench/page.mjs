// Measures the page in a real Chromium by its own protocol: main-thread CPU seconds, heap after collection, times to paint and to zoom.
import { chromium } from '../ui/node_modules/playwright-core/index.mjs';

const [mode, url, executablePath, ...rest] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage', '--js-flags=--expose-gc', '--enable-precise-memory-info'] });
const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
const page = await context.newPage();
const client = await context.newCDPSession(page);
await client.send('Performance.enable', { timeDomain: 'threadTicks' });

async function metrics() {
  const { metrics: found } = await client.send('Performance.getMetrics');
  return Object.fromEntries(found.map(({ name, value }) => [name, value]));
}

async function heap() {
  for (let i = 0; i < 3; i += 1) await client.send('HeapProfiler.collectGarbage');
  const { JSHeapUsedSize, Nodes } = await metrics();
  return { bytes: JSHeapUsedSize, nodes: Nodes };
}

const drawn = (least) => page.waitForFunction((n) => [...document.querySelectorAll('#charts .frame')].filter((f) => f.chart.visible && f.chart.points > n).length >= 4, least, { timeout: 120_000 });
const WARM_MS = 420_000;
const say = (what) => console.log(JSON.stringify(what));

/** Main-thread CPU of a page with a hundred charts, each with a new value a second. */
async function busy(seconds, height) {
  await page.setViewportSize({ width: 1400, height });
  await page.goto(`${url}/#place=entity&entity=board&span=900000`);
  await drawn(50);
  await page.waitForTimeout(5000);
  const before = await metrics();
  const points = await page.evaluate(() => [...document.querySelectorAll('#charts .frame')].map((f) => [...f.chart.lines.values()][0]?.times.at(-1) ?? 0));
  const began = performance.now();
  await page.waitForTimeout(seconds * 1000);
  const after = await metrics();
  const moved = await page.evaluate(() => [...document.querySelectorAll('#charts .frame')].map((f) => [...f.chart.lines.values()][0]?.times.at(-1) ?? 0));
  const wall = (performance.now() - began) / 1000;
  say({
    charts: moved.length, seen: await page.evaluate(() => [...document.querySelectorAll('#charts .frame')].filter((f) => f.chart.visible).length),
    advanced: moved.filter((last, i) => last - points[i] > 0.7 * seconds * 1000).length, seconds: wall,
    task_share: (after.TaskDuration - before.TaskDuration) / wall, script_share: (after.ScriptDuration - before.ScriptDuration) / wall,
    layout_share: (after.LayoutDuration - before.LayoutDuration + after.RecalcStyleDuration - before.RecalcStyleDuration) / wall,
  });
}

/** Heap over simulated minutes: the page's clock runs faster, and as many samples come as in that time. */
async function memory(minutes, speed, startMs) {
  await page.addInitScript(([begin, factor]) => {
    const real = Date;
    const opened = real.now();
    const now = () => begin + (real.now() - opened) * factor;
    globalThis.Date = class extends real {
      constructor(...given) { super(...(given.length ? given : [now()])); }

      static now() { return now(); }
    };
  }, [startMs, speed]);
  await page.goto(`${url}/#place=entity&entity=board&span=300000`);
  say({ opened: true });
  await drawn(20);
  // Until the lines hold as many points as they ever will: before that they grow.
  await page.waitForFunction((until) => Date.now() >= until, startMs + WARM_MS, { timeout: 600_000, polling: 100 });
  const draws = await page.evaluate(() => {
    globalThis.drawnCount = 0;
    const { chart } = document.querySelector('#charts .frame');
    const draw = chart.draw.bind(chart);
    chart.draw = () => { globalThis.drawnCount += 1; draw(); };
    return Date.now();
  });
  const found = [];
  for (let minute = 0; minute <= minutes; minute += 1) {
    await page.waitForFunction((until) => Date.now() >= until, draws + minute * 60_000, { timeout: 600_000, polling: 100 });
    found.push({ minute, ...await heap(), draws: await page.evaluate(() => globalThis.drawnCount), points: await page.evaluate(() => [...document.querySelectorAll('#charts .frame')].reduce((sum, f) => sum + [...f.chart.lines.values()].reduce((n, line) => n + line.length, 0), 0)) });
  }
  say({ found });
}

/** First paint of the overview, and how smoothly it scrolls. */
async function overview(times) {
  const paints = [];
  for (let i = 0; i < times; i += 1) {
    const fresh = await browser.newContext({ viewport: { width: 1400, height: 900 } });
    const one = await fresh.newPage();
    await one.goto(`${url}/#place=overview`, { waitUntil: 'commit' });
    await one.waitForFunction(() => document.querySelectorAll('.row[data-entity]').length > 5, null, { polling: 'raf', timeout: 60_000 });
    paints.push(await one.evaluate(() => new Promise((done) => { requestAnimationFrame(() => setTimeout(() => done({ rows: performance.now(), first: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null }), 0)); })));
    await fresh.close();
  }
  await page.goto(`${url}/#place=overview`);
  await page.waitForSelector('.row[data-entity]');
  await page.waitForTimeout(2000);
  const before = await metrics();
  const frames = await page.evaluate(() => new Promise((done) => {
    const list = document.querySelector('.rows');
    const taken = [];
    let last = performance.now();
    const step = () => {
      const now = performance.now();
      taken.push(now - last);
      last = now;
      list.scrollTop += 120;
      if (taken.length < 300) requestAnimationFrame(step);
      else done(taken.slice(1));
    };
    requestAnimationFrame(step);
  }));
  const after = await metrics();
  frames.sort((a, b) => a - b);
  say({ paints, rows: await page.evaluate(() => document.querySelectorAll('.row').length), entities: await page.evaluate(() => document.querySelector('.overview [role=status]').textContent), frame_ms: { median: frames[150], p95: frames[284], most: frames.at(-1) }, script_ms_a_frame: ((after.TaskDuration - before.TaskDuration) / 300) * 1000 });
}

/** From a zoom over thirty days to its picture. */
async function zoom(entity, from, to, times) {
  await page.goto(`${url}/#place=entity&entity=${entity}&from=${from}&to=${to}`);
  await drawn(20);
  const taken = [];
  for (let i = 0; i < times; i += 1) {
    const width = 30 * 86_400_000;
    const begin = Number(from) + i * 3 * 86_400_000;
    taken.push(await page.evaluate(([a, b, name]) => new Promise((done) => {
      const began = performance.now();
      location.hash = `#place=entity&entity=${name}&from=${a}&to=${b}`;
      const look = () => {
        const those = [...document.querySelectorAll('#charts .frame')].filter((f) => f.chart.visible);
        const ready = those.every(({ chart }) => { const range = chart.graph?.xAxisRange(); return range && Math.abs(range[0] - a) < 2 && [...chart.lines.values()].some((line) => line.length > 20 && line.times[0] >= a - 3_600_000); });
        if (ready && !document.querySelector('#charts[aria-busy]')) requestAnimationFrame(() => done({ ms: performance.now() - began, charts: those.length, server: performance.getEntriesByType('resource').filter((r) => r.startTime >= began).map((r) => [r.name.split('/').at(-1).split('?')[0], Math.round(r.startTime - began), Math.round(r.duration)]) }));
        else setTimeout(look, 5);
      };
      look();
    }), [begin, begin + width, entity]));
    await page.waitForTimeout(800);
  }
  say({ taken });
}

await { busy: () => busy(...rest.map(Number)), memory: () => memory(...rest.map(Number)), overview: () => overview(Number(rest[0])), zoom: () => zoom(rest[0], ...rest.slice(1).map(Number)) }[mode]();
await browser.close();
process.exit(0);
