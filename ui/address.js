// The view as the address holds it, so that a link is a moment. No DOM here.

export const PLACES = ['overview', 'entity', 'incidents', 'alerts', 'models', 'settings'];
export const SPAN_MS_MAX = 20 * 366 * 86_400_000;

/** @typedef {{place: string, entity: string, live: boolean, span: number, from: number, to: number, at: number|null,
 * zone: string, beside: string[], forecast: boolean, band: boolean, metrics: string[]|null, find: string, group: string}} View */

/** @returns {View} */
export function plainView() {
  return {
    place: '', entity: '', live: true, span: 900_000, from: 0, to: 0, at: null, zone: '', beside: [], forecast: false, band: true,
    metrics: null, find: '', group: '',
  };
}

/** @param {View} view @returns {string} without the # */
export function encode(view) {
  const out = new URLSearchParams();
  if (view.place) out.set('place', view.place);
  if (view.entity) out.set('entity', view.entity);
  if (view.live) {
    out.set('span', String(view.span));
  } else {
    out.set('from', String(Math.round(view.from)));
    out.set('to', String(Math.round(view.to)));
  }
  if (view.at !== null) out.set('at', String(Math.round(view.at)));
  if (view.zone) out.set('zone', view.zone);
  if (view.beside.length) out.set('beside', view.beside.join(','));
  if (view.forecast) out.set('forecast', '1');
  if (!view.band) out.set('band', '0');
  for (const metric of view.metrics ?? []) out.append('metric', metric);
  if (view.metrics && !view.metrics.length) out.append('metric', '');
  if (view.find) out.set('find', view.find);
  if (view.group) out.set('group', view.group);
  return out.toString();
}

/** @param {string} hash with or without # @returns {View} what cannot be read is as it would be plainly */
export function decode(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ''));
  const view = plainView();
  const number = (name) => (given.has(name) && given.get(name) !== '' ? Number(given.get(name)) : NaN);
  if (PLACES.includes(given.get('place'))) view.place = given.get('place');
  view.entity = given.get('entity') ?? '';
  const span = number('span');
  if (span >= 1000 && span <= SPAN_MS_MAX) view.span = span;
  const [from, to] = [number('from'), number('to')];
  if (from < to && to - from <= SPAN_MS_MAX) Object.assign(view, { live: false, from, to, span: to - from });
  if (Number.isFinite(number('at'))) view.at = number('at');
  view.zone = given.get('zone') ?? '';
  view.beside = (given.get('beside') ?? '').split(',').filter((one) => ['1d', '1w', '1mo'].includes(one));
  view.forecast = given.get('forecast') === '1';
  view.band = given.get('band') !== '0';
  if (given.has('metric')) view.metrics = given.getAll('metric').filter(Boolean);
  view.find = given.get('find') ?? '';
  view.group = given.get('group') ?? '';
  return view;
}
