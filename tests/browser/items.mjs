// Goes through everything the page shows and does, on a shop's site with a fault under way.
import { readFileSync } from 'node:fs';
import { DESK, Driver, PHONE, drag, drawn, settled, until } from './driver.mjs';

const [url, executablePath, shots, csvFile] = process.argv.slice(2);
const driver = await new Driver(url, executablePath, shots).start();
const { seen } = driver;
const ask = async (page, path, options) => (await page.request.fetch(`${url}/api/v1/${path}`, options)).json();
const frames = '#charts .frame';
const shown = (page) => page.evaluate(() => [...document.querySelectorAll('#charts .frame')].filter((f) => f.chart.visible && f.chart.graph).map((f) => ({
  metric: f.chart.metric, window: f.chart.graph.xAxisRange().map(Math.round), cursor: f.chart.cursor.style.transform, readout: f.chart.readout.textContent, bands: f.chart.bands.map((b) => b.kind), dashed: [...f.chart.dashed.keys()], flags: Number(f.chart.plot.dataset.flags),
})));
/** How many pixels of the first chart are drawn, or whether less or more; `ahead`: of lines, from so many ms ahead of now on. */
const painted = ({ ahead, less, more }) => {
  const { chart } = document.querySelector('#charts .frame');
  let count = 0;
  for (const canvas of chart.plot.querySelectorAll('canvas')) {
    const left = ahead === undefined ? 0 : Math.max(0, Math.round(chart.graph.toDomXCoord(Date.now() + ahead) * (canvas.width / canvas.clientWidth)));
    if (left >= canvas.width) continue;
    const { data } = canvas.getContext('2d').getImageData(left, 0, canvas.width - left, canvas.height);
    for (let i = 3; i < data.length; i += 4) if (data[i] > (ahead === undefined ? 0 : 200)) count += 1;
  }
  return less !== undefined ? count < less : more !== undefined ? count > more : count;
};
const same = (values) => values.every((value) => JSON.stringify(value) === JSON.stringify(values[0]));

async function overview(page) {
  await until(page, () => document.querySelectorAll('.row[data-entity]').length > 5);
  seen.order = await page.evaluate(() => [...document.querySelectorAll('.row[data-entity]')].sort((a, b) => a.dataset.at - b.dataset.at).map((row) => [row.dataset.entity, row.dataset.flag, row.children[2].textContent, row.lastChild.textContent, row.querySelector('polyline').getAttribute('points').length > 20]));
  await driver.check(page, 'overview');
  await page.getByLabel('Find in the overview').fill('service=orders disk=nvme0');
  await until(page, () => document.querySelectorAll('.row[data-entity]').length === 2);
  seen.filtered = (await page.locator('.row[data-entity] .name').allTextContents()).sort();
  await page.getByLabel('Find in the overview').fill('');
  await page.getByLabel('Group by').selectOption('service');
  await until(page, () => document.querySelectorAll('.row.group').length >= 2);
  seen.groups = (await page.locator('.row.group .name').allTextContents()).sort();
  await page.locator('.row.group').first().click();
  await driver.shot(page, 'overview-groups');
  seen.folded = await page.locator('.row[data-entity]').count();
  await page.locator('.row.group').first().click();
  seen.groupAddress = new URL(page.url()).hash;
  await page.locator('.row[data-entity="web-2"]').click();
  await drawn(page, 10);
}

async function entity(page) {
  seen.families = await page.locator('.family h2').allTextContents();
  seen.charts = await page.locator('#charts .chart').count();
  await page.waitForSelector('#entity-head .tag');
  seen.head = await page.locator('#entity-head').innerText();
  await page.locator('#span').selectOption('21600000');
  await until(page, () => /1m/.test(document.querySelector('#resolution').textContent));
  seen.resolution = await page.textContent('#resolution');
  await until(page, () => [...document.querySelectorAll('#charts .frame')].some((f) => f.chart.bands.length));
  await until(page, () => document.querySelectorAll('.pin[data-kind=incident]').length && document.querySelectorAll('.pin[data-kind=alert]').length && [...document.querySelectorAll('.pin[data-kind=period]')].some((pin) => pin.title.includes('sale')), null, 60_000); // a weekend is a period too
  seen.pins = await page.evaluate(() => Object.fromEntries(['incident', 'alert', 'period'].map((kind) => [kind, [...document.querySelectorAll(`.pin[data-kind=${kind}]`)].map((pin) => pin.title).join('\n')])));
  await until(page, () => Number(document.querySelector('#charts .plot').dataset.flags) > 0);
  await settled(page);
  await page.waitForTimeout(300);
  seen.spread = (await shown(page))[0].bands;
  // The picture itself: the band's pixels go and come.
  const withBand = await page.evaluate(painted, {});
  await page.locator('#band').click();
  await until(page, () => !document.querySelector('#charts .frame').chart.bands.length);
  await until(page, painted, { less: withBand });
  const without = await page.evaluate(painted, {});
  await page.locator('#band').click();
  await until(page, painted, { more: without });

  const box = await page.locator(frames).nth(1).boundingBox();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 40);
  await page.mouse.move(box.x + box.width * 0.6, box.y + 40);
  const pointed = await shown(page);
  seen.cursors = same(pointed.map((one) => one.cursor)) && pointed.length >= 4 && pointed[0].cursor !== 'translateX(-9px)';
  seen.read = pointed.every((one) => /\d/.test(one.readout));
  await until(page, () => document.querySelector('#why').dataset.mode === 'cursor');
  seen.underCursor = await page.locator('#why').innerText();
  await driver.check(page, 'entity');
}

async function whyAndFeedback(page) {
  // The newest flagged time: its window says what to do and what was alike.
  const at = await page.evaluate(() => { const flags = document.querySelector('#charts .frame').chart.marks.flags.at(-1); return (flags.start + flags.end) / 2; });
  const frame = page.locator(frames).first();
  const box = await frame.boundingBox();
  const x = await page.evaluate((ms) => document.querySelector('#charts .frame').chart.graph.toDomXCoord(ms), at);
  await page.mouse.click(box.x + x, box.y + 60);
  await until(page, () => document.querySelector('#why').dataset.mode === 'pinned' && /flagged/.test(document.querySelector('#why .state')?.textContent ?? ''));
  await until(page, () => document.querySelectorAll('#why ol li').length > 0);
  seen.actions = await page.locator('#why ol li').allTextContents();
  seen.similar = await page.locator('#why ul li').allTextContents();
  seen.atAddress = new URL(page.url()).hash;
  await driver.check(page, 'why');
  const answered = page.waitForResponse((response) => response.url().endsWith('/feedback'));
  await page.getByRole('button', { name: '✓ right' }).click();
  seen.feedback = (await answered).status();
  await until(page, () => /label now/.test(document.querySelector('#why .said').textContent));
  await page.keyboard.press('Escape');
  await until(page, () => document.querySelector('#why').dataset.mode === 'newest', null, 15_000);
}

async function timeOf(page) {
  await drag(page, page.locator(frames).first(), 0.5, 0.8);
  await until(page, () => document.querySelector('#live').getAttribute('aria-pressed') === 'false');
  await settled(page);
  const zoomed = await shown(page);
  seen.zoomTogether = same(zoomed.map((one) => one.window));
  const before = zoomed[0].window;
  await drag(page, page.locator(frames).first(), 0.4, 0.7, 'Shift');
  await until(page, ([from]) => Math.abs(document.querySelector('#charts .frame').chart.view.from - from) > 60_000, before);
  await settled(page);
  const panned = (await shown(page))[0].window;
  seen.panned = panned[0] < before[0] && Math.abs(panned[1] - panned[0] - (before[1] - before[0])) < 2000;
  await page.goBack();
  await until(page, ([from]) => Math.abs(document.querySelector('#charts .frame').chart.view.from - from) < 2, before);
  seen.back = true;
  await page.getByRole('button', { name: 'Zoom out' }).click();
  await until(page, ([from, to]) => { const { view } = document.querySelector('#charts .frame').chart; return view.to - view.from > 1.9 * (to - from); }, before);

  await page.locator('#between').click();
  await page.locator('#range-zone').selectOption('Asia/Tokyo');
  const [from, to] = await page.evaluate(() => { const now = new Date(Date.now() - 3_600_000); const text = (d) => new Date(d.getTime() + 9 * 3_600_000).toISOString().slice(0, 19); return [text(new Date(now - 1_800_000)), text(now)]; });
  await page.locator('#range-from').fill(from);
  await page.locator('#range-to').fill(to);
  await driver.check(page, 'from-to');
  await page.getByRole('button', { name: 'Show', exact: true }).click();
  await settled(page);
  const { window: chosen } = (await shown(page))[0];
  seen.tokyo = [Date.parse(`${from}+09:00`) - chosen[0], chosen[1] - chosen[0]];
  seen.zoneAddress = new URL(page.url()).hash;
  await driver.shot(page, 'zone');

  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.locator('#link').click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  const other = await driver.open(new URL(copied).hash);
  await drawn(other);
  await settled(other);
  seen.sameMoment = same([chosen, (await shown(other))[0].window]) && (await other.locator('#zone').inputValue()) === 'Asia/Tokyo';
  await other.context().close();

  await page.locator('#zone').selectOption('');
  await page.locator('#span').selectOption(String(5 * 365 * 86_400_000));
  await until(page, () => document.querySelector('#live').getAttribute('aria-pressed') === 'true');
  await settled(page);
  seen.years = (await shown(page))[0].window;
  await page.locator('#span').selectOption('3600000');
  await drawn(page, 50);
  await page.locator('[data-beside="1d"]').click();
  await until(page, () => document.querySelector('[data-beside="1d"]').getAttribute('aria-pressed') === 'true');
  await page.locator('#forecast').click();
  await until(page, () => [...document.querySelectorAll('#charts .frame')].some((f) => f.chart.dashed.has('forecast') && f.chart.bands.some((b) => b.kind === 'forecast')), null, 60_000);
  await until(page, painted, { ahead: 120_000, more: 20 }); // a line where nothing was measured yet
  seen.beside = new URL(page.url()).hash;
  await driver.check(page, 'forecast');
  await page.locator('#forecast').click();
  await page.locator('[data-beside="1d"]').click();
}

async function gapsAndCorrections(page) {
  await page.goto(`${url}/#place=entity&entity=gappy&from=${seen.base}&to=${seen.base + 1_200_000}`);
  await page.reload();
  await drawn(page);
  seen.gap = await page.evaluate(() => { const { chart } = document.querySelector('#charts .frame'); return chart.options().file.filter((row) => Number.isNaN(row[1])).length; });
  const highest = () => page.evaluate(() => Math.max(...[...document.querySelector('#charts .frame').chart.lines.values()].flatMap((line) => line.values)));
  const was = await highest();
  await page.request.post(`${url}/api/v1/samples`, { data: { samples: [{ entity: 'gappy', metric: 'depth', timestamp: seen.base + 301_000, value: 500 }] } });
  await until(page, () => [...document.querySelector('#charts .frame').chart.lines.values()].some((line) => Math.max(...line.values) > 100));
  seen.corrected = [was, await highest()];
  await driver.shot(page, 'gap-and-correction');
}

async function incidents(page) {
  await page.goto(`${url}/#place=entity&entity=web-3&span=3600000`);
  await page.reload();
  await drawn(page, 50);
  await page.locator('#mark').click();
  await drag(page, page.locator(frames).nth(1), 0.4, 0.5);
  await page.waitForSelector('dialog[open]');
  seen.marked = [await page.locator('#incident-entity').inputValue(), await page.locator('#incident-start').inputValue(), await page.locator('#incident-end').inputValue()];
  await page.locator('#incident-title').fill('seen on a chart');
  await driver.check(page, 'mark-incident');
  await page.getByRole('button', { name: 'Save' }).click();
  await until(page, () => [...document.querySelectorAll('.pin[data-kind=incident]')].some((pin) => pin.title.includes('seen on a chart')));
  seen.stored = (await ask(page, 'incidents?entity=web-3')).map((one) => [one.title, one.end - one.start > 60_000]);

  await page.keyboard.press('i');
  await page.waitForSelector('#place table');
  await page.getByRole('button', { name: 'Add one' }).click();
  await page.locator('#incident-entity').fill('db-1');
  await page.locator('#incident-start').fill('2026-11-01T10:00:00');
  await page.locator('#incident-title').fill('still open');
  await page.getByRole('button', { name: 'Save' }).click();
  const row = page.locator('#place tbody tr').filter({ hasText: 'still open' });
  await row.getByRole('button', { name: 'Close' }).click();
  await page.locator('#incident-resolution').fill('vacuumed the table');
  await page.getByRole('button', { name: 'Save' }).click();
  await until(page, () => [...document.querySelectorAll('#place tbody tr')].some((one) => one.textContent.includes('vacuumed the table') && !one.textContent.includes('● open')));
  await page.getByRole('button', { name: 'Import' }).click();
  await page.locator('dialog input[type=file]').setInputFiles(csvFile);
  await page.getByRole('button', { name: 'Import', exact: true }).click();
  await until(page, () => /refused/.test(document.querySelector('dialog .problem')?.textContent ?? ''));
  seen.import = [await page.textContent('dialog .problem'), await page.locator('dialog .problems li').allTextContents()];
  await driver.check(page, 'import');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await until(page, () => document.querySelector('#place').textContent.includes('imported, with a comma'));
  await driver.check(page, 'incidents');
}

async function modelsAlertsSettings(page) {
  await page.keyboard.press('m');
  await page.waitForSelector('.model .curve .line');
  seen.models = { cards: await page.locator('.model').count(), curves: await page.locator('.model .curve').count(), text: (await page.locator('.model').first().innerText()).replace(/\s+/g, ' ') };
  await driver.check(page, 'models');
  await page.keyboard.press('a');
  await page.waitForSelector('#place table');
  await until(page, () => [...document.querySelectorAll('#place td')].some((cell) => /firing/.test(cell.textContent)), null, 60_000);
  await page.locator('#place summary').first().click();
  seen.attempts = await page.locator('#place details[open] li').first().textContent();
  await page.getByRole('button', { name: 'Silence…' }).first().click();
  await until(page, () => /would hold [1-9]/.test(document.querySelector('dialog [role=status]').textContent));
  await page.locator('#silence-comment').fill('known');
  await driver.check(page, 'silence');
  await page.getByRole('button', { name: 'Silence', exact: true }).click();
  await until(page, () => [...document.querySelectorAll('#place tbody tr')].some((one) => /active/.test(one.textContent) && /known/.test(one.textContent)));
  await driver.check(page, 'alerts');
  await page.locator('#place tbody tr').filter({ hasText: 'known' }).getByRole('button', { name: 'End it' }).click();
  await until(page, () => /Nothing is held back/.test(document.querySelector('#place').textContent));
  await page.keyboard.press('s');
  await page.getByLabel('Find a setting').fill('lateness');
  seen.setting = await page.locator('#place tbody tr').first().innerText();
  await page.getByLabel('Find a setting').fill('');
  await driver.check(page, 'settings');
}

async function takeAlong(page) {
  await page.goto(`${url}/#place=entity&entity=web-2&span=3600000`);
  await page.reload();
  await drawn(page, 50);
  const take = async (name) => {
    await page.locator('#charts .tools > summary').first().click();
    const coming = page.waitForEvent('download');
    await page.locator('.menu').first().getByRole('button', { name }).click();
    const path = await (await coming).path();
    return readFileSync(path);
  };
  await page.locator('#charts .tools > summary').first().click();
  await driver.check(page, 'take-along');
  seen.query = await page.locator('.menu a').first().getAttribute('href');
  await page.locator('#charts .tools > summary').first().click();
  const png = await take('PNG');
  seen.png = [png.subarray(1, 4).toString(), png.length > 5000, png.readUInt32BE(16)];
  const csv = (await take('CSV')).toString().split('\n');
  seen.csv = [csv[0], csv.length];
  const same_ = await (await page.request.get(url + seen.query)).json();
  seen.queryAnswers = same_.labels[1];
  seen.csvLink = (await (await page.request.get(url + await page.locator('#csv').getAttribute('href'))).text()).split('\n')[0].split(',').length;
}

async function keysStatesAndStillness(page) {
  await page.keyboard.press('?');
  await page.waitForSelector('dialog[open]');
  seen.keys = await page.locator('dialog[open] kbd').allTextContents();
  await driver.check(page, 'keys');
  await page.keyboard.press('Escape');
  await page.locator('#strip .frame').focus();
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  await until(page, () => document.querySelector('#why').dataset.mode === 'pinned');
  await page.keyboard.press('Escape');

  await page.route('**/api/v1/range*', (route) => route.abort());
  await page.keyboard.press('-');
  await until(page, () => /Cannot read history/.test(document.querySelector('#message').textContent));
  await driver.check(page, 'error');
  await page.unroute('**/api/v1/range*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await until(page, () => document.querySelector('#message').hidden);

  await page.locator('#span').selectOption('900000');
  await drawn(page, 20);
  await page.waitForTimeout(1500);
  seen.shift = await page.evaluate(() => new Promise((done) => {
    let sum = 0;
    new PerformanceObserver((list) => { for (const one of list.getEntries()) if (!one.hadRecentInput) sum += one.value; }).observe({ type: 'layout-shift' });
    setTimeout(() => done(sum), 5000);
  }));
  seen.moves = await page.evaluate(() => new Promise((done) => {
    const plot = document.querySelector('#charts .plot');
    const before = Number(plot.dataset.last);
    setTimeout(() => done(Number(plot.dataset.last) - before), 3000);
  }));
}

async function phoneAndScheme() {
  const page = await driver.open('#place=entity&entity=web-2&span=3600000', { viewport: PHONE, hasTouch: true, isMobile: true, colorScheme: 'light' });
  await drawn(page);
  await until(page, () => document.querySelector('#why').dataset.mode === 'newest');
  await driver.check(page, 'phone-entity');
  seen.phoneWidth = await page.evaluate(() => document.documentElement.scrollWidth);
  await page.locator(frames).first().tap();
  await until(page, () => document.querySelector('#why').dataset.mode === 'pinned');
  await page.getByRole('button', { name: 'More' }).click();
  await driver.check(page, 'phone-why');
  const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await back();
  await page.locator('#scheme').click();
  await page.locator('#scheme').click();
  seen.schemes = [light, await back()];
  await page.context().close();
}

await driver.run(async (use) => {
  const page = use(await driver.open('#place=overview', { viewport: DESK, colorScheme: 'light' }));
  await overview(page);
  await entity(page);
  await whyAndFeedback(page);
  await timeOf(page);
  seen.base = Number(process.argv[6]);
  await gapsAndCorrections(page);
  await incidents(page);
  await modelsAlertsSettings(page);
  await takeAlong(page);
  await keysStatesAndStillness(page);
  await phoneAndScheme();
});
