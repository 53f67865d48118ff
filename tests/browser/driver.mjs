// A page in a real Chromium: what it refuses or asks elsewhere is kept, and an accessibility check that the page's own policy cannot stop.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from '../../ui/node_modules/playwright-core/index.mjs';

const axe = readFileSync(fileURLToPath(new URL('../../ui/node_modules/axe-core/axe.min.js', import.meta.url)), 'utf8');
export const PHONE = { width: 390, height: 844 };
export const DESK = { width: 1400, height: 900 };

export class Driver {
  constructor(url, executablePath, shots) {
    Object.assign(this, { url, executablePath, shots, refused: [], findings: [], seen: {} });
  }

  async start() {
    this.browser = await chromium.launch({ executablePath: this.executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
    return this;
  }

  /** @returns a page of a browser that knows nothing yet */
  async open(hash = '', options = { viewport: DESK }) {
    const context = await this.browser.newContext({ acceptDownloads: true, timezoneId: 'UTC', ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(120_000);
    page.on('pageerror', (error) => this.refused.push(String(error.stack)));
    page.on('console', (line) => { if (line.type() === 'error' && /Content Security|Error:/.test(line.text())) this.refused.push(line.text()); });
    page.on('dialog', (dialog) => { this.refused.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
    page.on('request', (request) => { if (!request.url().startsWith(this.url) && !/^(data|blob):/.test(request.url())) this.refused.push(`asked ${request.url()}`); });
    await page.goto(this.url + hash);
    return page;
  }

  /** A picture, kept as an artefact, and what axe finds serious. */
  async check(page, name) {
    await page.screenshot({ path: `${this.shots}/${name}.png` });
    const client = await page.context().newCDPSession(page);
    await client.send('Runtime.evaluate', { expression: axe });
    const result = await client.send('Runtime.evaluate', {
      expression: 'axe.run(document, { resultTypes: ["violations"] }).then((r) => JSON.stringify(r.violations.map((v) => ({ id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)) }))))',
      awaitPromise: true, returnByValue: true,
    });
    await client.detach();
    for (const one of JSON.parse(result.result.value)) if (['serious', 'critical'].includes(one.impact)) this.findings.push({ at: name, ...one });
  }

  async shot(page, name) {
    await page.screenshot({ path: `${this.shots}/${name}.png` });
  }

  /** Run the steps and say as one line of JSON what was seen; a failure with its place and a picture. */
  async run(steps) {
    let last = null;
    try {
      await steps((page) => { last = page; return page; });
      console.log(JSON.stringify({ seen: this.seen, refused: this.refused, findings: this.findings }));
    } catch (error) {
      await last?.screenshot({ path: `${this.shots}/failed.png` }).catch(() => {});
      console.log(JSON.stringify({ error: String(error.stack), seen: this.seen, refused: this.refused, findings: this.findings }));
    } finally {
      await this.browser.close();
      process.exit(0);
    }
  }
}

/** Wait until something holds in the page. */
export function until(page, what, argument = null, timeout = 120_000) {
  return page.waitForFunction(what, argument, { timeout });
}

/** Wait until charts in view hold points. */
export function drawn(page, least = 1) {
  return until(page, (n) => [...document.querySelectorAll('#charts .frame')].some((frame) => frame.chart.visible && frame.chart.points > n), least, 60_000);
}

/** Wait until everything in view was read and shows the same, chosen time. */
export function settled(page) {
  return until(page, () => !document.querySelector('#charts[aria-busy]') && [...document.querySelectorAll('.chart .frame')].filter((f) => f.chart.visible && f.chart.graph).every(({ chart }) => {
    const [from, to] = chart.graph.xAxisRange();
    return Math.abs(from - chart.view.from) < 1500 && Math.abs(to - chart.view.to) < 1500;
  }));
}

/** Drag across a chart. */
export async function drag(page, locator, from, to, key = null) {
  const box = await locator.boundingBox();
  const y = box.y + box.height / 2;
  if (key) await page.keyboard.down(key);
  await page.mouse.move(box.x + box.width * from, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * to, y, { steps: 6 });
  await page.mouse.up();
  if (key) await page.keyboard.up(key);
}
