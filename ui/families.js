// Which family a metric belongs to, by its name: what an SRE looks for together stands together.

const RULES = [
  ['pressure', /pressure|psi_/],
  ['memory', /mem|swap|oom|pgfault|pgmaj|pgpg|heap|^vm_|cached_bytes|buffers/],
  ['cpu', /cpu|^load|context|ctx_|interrupt|irq|throttl|steal|^procs_/],
  ['disk', /disk|filesystem|^fs_|inode|iops|blk|nvme|mount|(^|_)io(_|$)/],
  ['network', /(^|_)net(_|$)|network|tcp|udp|eth\d|packet|retrans|socket|^dns|^ip_/],
  ['queues', /queue|kafka|consumer|(^|_)lag|backlog|(^|_)jobs?(_|$)/],
  ['databases', /(^|_)db(_|$)|sql|query|queries|cache|redis|mongo|(^|_)pool|transaction/],
  ['requests', /request|http|latency|throughput|error|response|duration|(^|_)(rps|qps)|visits|checkout/],
  ['processes', /(^|_)gc(_|$)|thread|process|fork|(^|_)fds?(_|$)|file|jvm|uptime/],
];
export const FAMILIES = ['cpu', 'memory', 'disk', 'network', 'requests', 'queues', 'databases', 'processes', 'pressure', 'events', 'other'];

/** @param {string} metric @param {string} kind gauge, counter or event @returns {string} one of FAMILIES */
export function familyOf(metric, kind = 'gauge') {
  if (kind === 'event') return 'events';
  const name = metric.toLowerCase();
  return RULES.find(([, pattern]) => pattern.test(name))?.[0] ?? 'other';
}

/** @param {string[]} metrics @param {(metric: string) => string} kindOf @returns {[string, string[]][]} in order, none empty */
export function sections(metrics, kindOf) {
  const found = new Map(FAMILIES.map((family) => [family, []]));
  for (const metric of metrics) found.get(familyOf(metric, kindOf(metric))).push(metric);
  return [...found].filter(([, those]) => those.length).map(([family, those]) => [family, those.sort((a, b) => a.localeCompare(b))]);
}
