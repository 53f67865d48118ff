// Walks through every place of the page, in both colour schemes and on a phone, with an accessibility check each.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from '../../ui/node_modules/playwright-core/index.mjs';

const [url, executablePath, shots, hostile] = process.argv.slice(2);
const axe = readFileSync(fileURLToPath(new URL('../../ui/node_modules/axe-core/axe.min.js', import.meta.url)), 'utf8');
const refused = [];
const findings = [];
const seen = {};
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });

async function open(options) {
  const page = await (await browser.newContext(options)).newPage();
  page.on('pageerror', (error) => refused.push(String(error.stack)));
  page.on('console', (line) => { if (line.type() === 'error' && /Content Security|TypeError/.test(line.text())) refused.push(line.text()); });
  page.on('dialog', (dialog) => { refused.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('request', (request) => { if (!request.url().startsWith(url) && !request.url().startsWith('data:')) refused.push(`asked ${request.url()}`); });
  await page.goto(url);
  await page.waitForFunction(() => Number(document.querySelector('#charts .plot')?.dataset.points) > 1, null, { timeout: 60_000 });
  return page;
}

async function check(page, name) {
  await page.screenshot({ path: `${shots}/${name}.png` });
  // The checker is put in by the debugger: the page's own policy lets no script but ours in.
  const client = await page.context().newCDPSession(page);
  await client.send('Runtime.evaluate', { expression: axe });
  const result = await client.send('Runtime.evaluate', {
    expression: 'axe.run(document, { resultTypes: ["violations"] }).then((r) => JSON.stringify(r.violations.map((v) => ({ id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)) }))))',
    awaitPromise: true, returnByValue: true,
  });
  for (const one of JSON.parse(result.result.value)) if (['serious', 'critical'].includes(one.impact)) findings.push({ at: name, ...one });
}

try {
  for (const [colorScheme, viewport] of [['light', { width: 1400, height: 900 }], ['dark', { width: 1400, height: 900 }], ['dark', { width: 390, height: 844 }]]) {
    const page = await open({ colorScheme, viewport });
    const name = `${colorScheme}-${viewport.width}`;
    await check(page, `${name}-charts`);
    await page.keyboard.press('o');
    await page.waitForSelector('.row');
    await check(page, `${name}-overview`);
    seen.rows = await page.locator('.row').count();
    await page.getByLabel('Find in the overview').fill(hostile);
    await page.waitForFunction(() => document.querySelectorAll('.row').length === 1);
    seen.hostile = await page.locator('.row .name').textContent();
    await page.locator('.row').click();
    await page.waitForFunction((wanted) => document.querySelector('#entities [aria-current] span')?.textContent === wanted, hostile);
    await page.waitForFunction(() => document.querySelector('#charts h3') !== null);
    seen.metric = await page.locator('#charts h3').first().textContent();
    for (const place of ['incidents', 'alerts', 'models']) {
      await page.locator(`[data-place=${place}]`).click();
      await page.waitForSelector('#place h2');
      await page.waitForFunction(() => document.querySelector('main').hidden && document.querySelector('main').getClientRects().length === 0);
      await check(page, `${name}-${place}`);
    }
    if (viewport.width > 1000 && colorScheme === 'light') {
      await page.locator('[data-place=incidents]').click();
      await page.getByRole('button', { name: 'Add one' }).click();
      await page.locator('#incident-entity').fill(hostile);
      await page.locator('#incident-start').fill('2026-11-01T10:00:00');
      await page.locator('#incident-end').fill('2026-11-01T10:30:00');
      await page.locator('#incident-resolution').fill('<b>restart</b>');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.waitForSelector('#place td');
      seen.incident = await page.locator('#place tbody tr').first().locator('td').allTextContents();
      await page.locator('[data-place=entity]').click();
      await page.locator('#find-entity').fill('history');
      await page.locator('#entities button').filter({ hasText: 'history' }).click();
      await page.waitForFunction(() => Number(document.querySelector('#charts .plot')?.dataset.points) > 1);
      await page.locator('#span').selectOption('21600000');
      await page.waitForFunction(() => /1m|5m/.test(document.querySelector('#resolution').textContent));
      await page.locator('#forecast').click();
      await page.waitForFunction(() => Number(document.querySelector('#charts .plot').dataset.last) > Date.now() + 600_000, null, { timeout: 20_000 });
      await page.screenshot({ path: `${shots}/forecast.png` });
      await page.locator('#overlay').selectOption('1d');
      await page.waitForResponse((response) => response.url().includes('overlay=1d'));
      seen.csv = (await (await page.request.get(url + await page.locator('#csv').getAttribute('href'))).text()).split('\n')[0];
      await page.keyboard.press('?');
      await page.waitForSelector('dialog[open]');
      await check(page, `${name}-keys`);
      await page.keyboard.press('Escape');
      seen.address = await page.evaluate(() => location.hash);
    }
    await page.context().close();
  }
  console.log(JSON.stringify({ seen, refused, findings }));
} catch (error) {
  console.log(JSON.stringify({ error: String(error.stack), seen, refused, findings }));
} finally {
  await browser.close();
  process.exit(0);
}
