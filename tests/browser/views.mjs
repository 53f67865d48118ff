// Every place in both colour schemes and on a phone with thousands of entities and names that would be markup; then a server without data, and one with tokens.
import { createInterface } from 'node:readline';
import { DESK, Driver, PHONE, drawn, until } from './driver.mjs';

const [url, executablePath, shots, hostile, token] = process.argv.slice(2);
const driver = await new Driver(url, executablePath, shots).start();
const { seen } = driver;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function walk(page, name) {
  await page.waitForSelector('.row[data-entity]');
  await driver.check(page, `${name}-overview`);
  seen.rows = await page.locator('.row').count();
  await page.getByLabel('Find in the overview').fill(hostile);
  await until(page, () => document.querySelectorAll('.row[data-entity]').length === 1);
  seen.hostile = await page.locator('.row .name').textContent();
  await page.locator('.row[data-entity]').click();
  await until(page, (wanted) => document.querySelector('#entity-head h2')?.textContent === wanted, hostile);
  await page.waitForSelector('#charts h3');
  seen.metric = await page.locator('#charts h3').first().textContent();
  await drawn(page, 0);
  await driver.check(page, `${name}-charts`);
  for (const place of ['incidents', 'alerts', 'models', 'settings']) {
    await page.locator(`[data-place=${place}]`).click();
    await page.waitForSelector('#place h2');
    await until(page, () => document.querySelector('main').hidden && document.querySelector('main').getClientRects().length === 0);
    await driver.check(page, `${name}-${place}`);
  }
  seen[`wide-${name}`] = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
}

await driver.run(async (use) => {
  const nothing = use(await driver.open());
  await until(nothing, () => /Nothing has arrived yet/.test(document.querySelector('#message').textContent));
  await driver.check(nothing, 'empty');
  process.stdout.write('empty\n');
  await lines.next();
  // Data comes: the page that waited shows it by itself.
  await until(nothing, () => [...document.querySelectorAll('.row[data-entity], #charts .frame')].some((one) => one.checkVisibility()), null, 60_000);
  await nothing.context().close();

  for (const [colorScheme, viewport] of [['light', DESK], ['dark', DESK], ['dark', PHONE]]) {
    const page = use(await driver.open('#place=overview', { colorScheme, viewport }));
    await walk(page, `${colorScheme}-${viewport.width}`);
    if (viewport === DESK && colorScheme === 'light') {
      await page.keyboard.press('i');
      await page.getByRole('button', { name: 'Add one' }).click();
      await page.locator('#incident-entity').fill(hostile);
      await page.locator('#incident-start').fill('2026-11-01T10:00:00');
      await page.locator('#incident-end').fill('2026-11-01T10:30:00');
      await page.locator('#incident-resolution').fill('<b>restart</b>');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.waitForSelector('#place td');
      seen.incident = await page.locator('#place tbody tr').first().locator('td').allTextContents();
    }
    await page.context().close();
  }

  const page = use(await driver.open('#place=entity', { viewport: DESK }));
  await until(page, () => /entity=./.test(location.hash), null, 60_000);
  await page.evaluate(() => { location.hash = '#place=overview'; }); // a link without an entity
  await until(page, () => document.querySelectorAll('.row[data-entity]').length > 5);
  await page.waitForTimeout(500);
  seen.nameless = await page.evaluate(() => [document.querySelector('#message').textContent, document.querySelectorAll('.row[data-entity=""]').length, /entity=./.test(location.hash)]);
  await page.context().close();

  process.stdout.write('guarded\n');
  const { value: guarded } = await lines.next();
  driver.url = guarded;
  const stranger = use(await driver.open());
  await stranger.waitForSelector('#token');
  await driver.check(stranger, 'sign-in');
  await stranger.locator('#token').fill('wrong');
  await stranger.locator('#sign-in button').click();
  await until(stranger, () => /not known/.test(document.querySelector('#sign-in').textContent));
  await stranger.locator('#token').fill(token);
  await stranger.locator('#sign-in button').click();
  await until(stranger, () => document.querySelector('#connection').dataset.state === 'live' && document.querySelector('#sign-in').hidden, null, 60_000);
  seen.cookie = (await stranger.context().cookies()).map((one) => [one.httpOnly, one.sameSite]);
  seen.scriptSees = await stranger.evaluate(() => document.cookie);
});
