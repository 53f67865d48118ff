// Drives the page as an SRE would. Says each step on stdout as JSON; the test beside it checks and restarts the server.
import { createInterface } from 'node:readline';
import { chromium } from '../../ui/node_modules/playwright-core/index.mjs';

const [url, executablePath, shots] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (step, seen) => console.log(JSON.stringify({ step, ...seen }));
const refused = [];

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
page.setDefaultTimeout(180_000);
page.on('pageerror', (error) => refused.push(String(error.stack)));
page.on('console', (line) => { if (line.type() === 'error' && /Content Security|TypeError/.test(line.text())) refused.push(line.text()); });
page.on('request', (request) => { if (!request.url().startsWith(url)) refused.push(`asked ${request.url()}`); });

const plots = '#charts .plot';
const figure = (name) => page.locator(plots).first().getAttribute(`data-${name}`).then(Number);
const until = (what, ...rest) => page.waitForFunction(what, rest, { timeout: 180_000 });

try {
  const opened = Date.now();
  await page.goto(url);
  await until(() => Number(document.querySelector('#charts .plot')?.dataset.points) > 1);
  await until(() => document.querySelector('#connection').dataset.state === 'live');
  const before = await figure('last');
  await until(([last]) => Number(document.querySelector('#charts .plot').dataset.last) > last, before);
  const painted = await page.locator(`${plots} canvas`).first().evaluate((canvas) => {
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.some((value) => value !== 0);
  });
  say('moves', { seconds: (Date.now() - opened) / 1000, painted, connection: await page.textContent('#connection') });

  await page.getByRole('button', { name: 'shop-1' }).click();
  await until(() => document.querySelector('#charts h3')?.textContent === 'latency' && Number(document.querySelector('#charts .plot').dataset.points) > 10);
  say('fault', {});
  await lines.next();
  await until(() => Number(document.querySelector('#charts .plot').dataset.flags) > 0);
  await until(() => document.querySelector('#entities [aria-current] .risk')?.dataset.flag === '1');
  await page.screenshot({ path: `${shots}/flagged.png` });
  say('flagged', { flags: await figure('flags'), risk: await page.locator('#entities [aria-current] .risk').getAttribute('data-flag') });

  const box = await page.locator(plots).first().boundingBox();
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * 0.3, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, y, { steps: 5 });
  const asked = page.waitForResponse((response) => response.url().includes('/api/v1/range'));
  await page.mouse.up();
  const history = await (await asked).json();
  await until(() => document.querySelector('#live').getAttribute('aria-pressed') === 'false');
  say('zoomed', { rows: history.data.length, address: new URL(page.url()).hash });
  await page.screenshot({ path: `${shots}/zoomed.png` });

  await page.getByRole('button', { name: 'Live' }).click();
  await page.locator(plots).first().click({ position: { x: box.width - 30, y: 40 } });
  await page.waitForSelector('#why:not([hidden]) table');
  say('why', { text: await page.textContent('#why') });

  say('restart', {});
  await lines.next();
  await until(() => document.querySelector('#connection').dataset.state === 'live');
  const at = await figure('last');
  say('back', {});
  await lines.next();
  await until(([last]) => Number(document.querySelector('#charts .plot').dataset.last) > last, at);
  say('survived', { refused });
} catch (error) {
  await page.screenshot({ path: `${shots}/failed.png` });
  say('failed', { error: String(error.stack), refused });
} finally {
  await browser.close();
  process.exit(0);
}
