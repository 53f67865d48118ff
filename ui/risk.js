// How each entity stands: the newest verdict of every rollup, labels, the last scores. No DOM here.

const LINE_POINTS = 60;

/** @typedef {{entity: string, p: number, score: number, flag: number, reason: string, labels: Record<string, string[]>, line: (number|null)[],
 *   lineEnd: number, of: Map<string, object>, alerts: Map<string, string>, seen: number}} Standing alerts: firing or held, by fingerprint */

export class Risk {
  constructor() {
    /** @type {Map<string, Standing>} */
    this.all = new Map();
    this.step = 10_000;
    this.names = new Set(); // of labels
  }

  /** @returns {Standing} */
  of(entity) {
    let known = this.all.get(entity);
    if (!known) {
      known = { entity, p: 0, score: 0, flag: 0, reason: '', labels: {}, line: [], lineEnd: 0, of: new Map(), alerts: new Map(), seen: 0 };
      this.all.set(entity, known);
    }
    return known;
  }

  /** Take in what GET /api/v1/overview says. */
  read(answer) {
    this.step = answer.step;
    for (const one of answer.entities) {
      const known = this.of(one.entity);
      Object.assign(known, { labels: one.labels, line: one.line, lineEnd: answer.from + one.line.length * answer.step, alerts: new Map(Object.entries(one.alerts)) });
      if (one.reason) known.reason = one.reason;
      for (const name of Object.keys(one.labels)) this.names.add(name);
      for (const verdict of one.verdicts) this.weigh(known, verdict);
    }
  }

  /** Take a live verdict in. */
  note(verdict) {
    const known = this.of(verdict.entity);
    if (!this.weigh(known, verdict)) return;
    if (verdict.reason) known.reason = verdict.reason;
    const score = Math.round(verdict.anomaly_score * 100);
    if (verdict.start < known.lineEnd) {
      const at = known.line.length - 1;
      if (at >= 0) known.line[at] = Math.max(known.line[at] ?? 0, score);
      return;
    }
    known.line.push(score);
    known.lineEnd = Math.max(known.lineEnd + this.step, verdict.end);
    if (known.line.length > LINE_POINTS) known.line.shift();
  }

  /** The newest verdict of each rollup counts: a slow one that is calm does not hide a fast one that is not. */
  weigh(known, verdict) {
    const before = known.of.get(verdict.rollup);
    if (before && before.start > verdict.start) return false;
    known.of.set(verdict.rollup, { start: verdict.start, p: verdict.p_incident, score: verdict.anomaly_score, flag: verdict.flag });
    Object.assign(known, { p: 0, score: 0, flag: 0 });
    for (const one of known.of.values()) {
      known.p = Math.max(known.p, one.p);
      known.score = Math.max(known.score, one.score);
      known.flag = Math.max(known.flag, one.flag);
    }
    known.seen = Math.max(known.seen, verdict.end);
    return true;
  }

  /** An alert that fires, is held back, or ends; another one of the entity may fire still. */
  alert(message) {
    const alerts = this.all.get(message.entity)?.alerts;
    if (message.state !== 'firing') alerts?.delete(message.fingerprint);
    else alerts?.set(message.fingerprint, isHeld(message) ? 'held' : 'firing');
  }

  /** @param {(one: Standing) => boolean} [wanted] @returns {Standing[]} the riskiest first */
  ordered(wanted = () => true) {
    return [...this.all.values()].filter(wanted).sort(byRisk);
  }
}

/** p_incident first, as it is shown, then how unusual; a flag stands above all. */
export function byRisk(a, b) {
  return b.flag - a.flag || b.p - a.p || b.score - a.score || (a.entity < b.entity ? -1 : 1);
}

/** @param {Standing} one @param {number} now @returns {{text: string, kind: string}} its state in a word and a shape */
export function stateOf(one, now) {
  if (one.alerts.size) return { text: [...one.alerts.values()].includes('firing') ? '⚑ alert' : '⚑ held alert', kind: 'alert' };
  if (one.flag) return { text: '⚑ flagged', kind: 'flag' };
  if (!one.seen) return { text: '○ no verdict', kind: 'silent' };
  if (now - one.seen > 300_000) return { text: '○ silent', kind: 'silent' };
  if (one.p >= 0.5) return { text: '▲ likely', kind: 'likely' };
  return { text: '· calm', kind: 'calm' };
}

/** @param {{silenced_by?: string[], inhibited_by?: string, maintenance?: boolean}} alert @returns {boolean} whether nobody is told of it now */
export function isHeld(alert) {
  return Boolean(alert.silenced_by?.length || alert.inhibited_by || alert.maintenance);
}
