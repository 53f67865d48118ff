// Says a series' name without the labels that all of its entity's series share. No DOM here.

/**
 * @param {string} text holds names such as cpu{core="0",region="eu"} @param {Record<string, string[]>} labels of the entity; those with one value
 * go without saying
 */
export function brief(text, labels) {
  return text.replace(/\{((?:[^{}"]|"(?:[^"\\]|\\.)*")*)\}/g, (whole, inner) => {
    const pairs = inner.match(/[^,="]+="(?:[^"\\]|\\.)*"/g) ?? [];
    if (!pairs.length) return whole;
    const own = pairs.filter((pair) => {
      const at = pair.indexOf('=');
      const values = Object.hasOwn(labels, pair.slice(0, at)) ? labels[pair.slice(0, at)] : [];
      return values.length !== 1 || pair.slice(at + 1) !== JSON.stringify(values[0]);
    });
    return own.length ? `{${own.join(',')}}` : '';
  });
}
