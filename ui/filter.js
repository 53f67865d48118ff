// What is typed to find entities: words, and labels as name=value, name!=value, with * patterns. All must hold, or the
// entity's name holds the whole text as it is.

/** @param {string} text @returns {{whole: string, words: {name: string|null, negated: boolean, fits: (text: string) => boolean}[]}} */
export function parse(text) {
  const words = (text.match(/[^\s"]+"[^"]*"|"[^"]*"|\S+/g) ?? []).map((word) => {
    const found = /^([^\s=!"]+)(!?=)"?([^"]*)"?$/.exec(word);
    if (found) return { name: found[1], negated: found[2] === '!=', fits: pattern(found[3]) };
    const plain = word.replaceAll('"', '').toLowerCase();
    return { name: null, negated: false, fits: (value) => value.toLowerCase().includes(plain) };
  });
  return { whole: text.trim().toLowerCase(), words };
}

function pattern(text) {
  const pieces = text.split('*').map((piece) => piece.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  const whole = new RegExp(`^${pieces.join('.*')}$`, 'is');
  return (value) => whole.test(value);
}

/**
 * @param {ReturnType<parse>} wanted @param {string} entity @param {Record<string, string[]>} labels @param {string} reason
 */
export function holds(wanted, entity, labels, reason = '') {
  if (wanted.whole && entity.toLowerCase().includes(wanted.whole)) return true;
  return wanted.words.every(({ name, negated, fits }) => {
    if (name === null) return fits(entity) || fits(reason) || Object.values(labels).some((values) => values.some(fits));
    const values = name === 'entity' ? [entity] : Object.hasOwn(labels, name) ? labels[name] : [''];
    return values.some(fits) !== negated;
  });
}

/** The group of an entity: a label's value, or the entity's name up to its number. */
export function groupOf(by, entity, labels) {
  if (by === 'name') return entity.replace(/[-_.]?\d+$/, '') || entity;
  return Object.hasOwn(labels, by) ? labels[by].join(', ') : `no ${by}`;
}
