// The series of one entity: which metrics there are, of what kind, and what each is called in a chart. No DOM here.

const KINDS = { gauge: ['mean', ''], counter: ['rate', ' (per second)'], event: ['count', ' (count)'] };

export class SeriesOf {
  /** @param {string} entity @param {{entity: string, metric: string, key: string, labels: Record<string, string>, kind: string}[]} found */
  constructor(entity, found) {
    this.entity = entity;
    /** @type {Map<string, {kind: string, keys: string[]}>} */
    this.metrics = new Map();
    this.keys = new Map(); // key → {metric, labels}
    for (const one of found) {
      if (one.entity !== entity) continue;
      if (!this.metrics.has(one.metric)) this.metrics.set(one.metric, { kind: one.kind, keys: [] });
      this.metrics.get(one.metric).keys.push(one.key);
      this.keys.set(one.key, { metric: one.metric, labels: one.labels });
    }
    const all = [...this.keys.values()];
    /** Labels that every series of the entity has alike: said once, not on each line. */
    this.common = Object.fromEntries(Object.entries(all[0]?.labels ?? {}).filter(([name, value]) => all.every(({ labels }) => Object.hasOwn(labels, name) && labels[name] === value)));
  }

  /** @returns {string} the metric of a series' key; of one never heard of, what stands before its labels */
  metricOf(key) {
    const known = this.keys.get(key);
    if (known) return known.metric;
    const at = key.indexOf('{');
    return at < 0 ? key : key.slice(0, at);
  }

  kind(metric) {
    return this.metrics.get(metric)?.kind ?? 'gauge';
  }

  /** @returns {string} the statistic that a chart of the metric shows */
  stat(metric) {
    return KINDS[this.kind(metric)]?.[0] ?? 'mean';
  }

  title(metric) {
    return metric + (KINDS[this.kind(metric)]?.[1] ?? '');
  }

  /** @returns {string} what tells a series from the others of its chart */
  name(key) {
    const known = this.keys.get(key);
    if (!known) return key;
    const own = Object.entries(known.labels).filter(([name]) => !Object.hasOwn(this.common, name));
    return own.map(([name, value]) => `${name}=${value}`).join(' ') || known.metric;
  }
}
