// Numbers in words and in few characters.

/** @param {number|null} value */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  const size = Math.abs(value);
  if (size >= 1e12) return `${(value / 1e12).toPrecision(3)}T`;
  if (size >= 1e9) return `${(value / 1e9).toPrecision(3)}G`;
  if (size >= 1e6) return `${(value / 1e6).toPrecision(3)}M`;
  if (size >= 1e4) return `${(value / 1e3).toPrecision(3)}k`;
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(4)));
}

/** @param {number|null} value 0…1 */
export function percent(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  return `${(value * 100).toFixed(value < 0.095 && value >= 0.0005 ? 1 : 0)} %`;
}

/** The least of 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10 times a power of ten that is no less: axes then seldom move. */
export function roundUp(value) {
  if (!(value > 0)) return 0;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((n) => n * power >= value * (1 - 1e-9));
  return step * power;
}

/**
 * A range of values to draw in, which seldom changes while values come: from zero, or close to what varies little.
 * @param {number} low @param {number} high @returns {[number, number]}
 */
export function niceRange(low, high) {
  if (!(low <= high)) return [0, 1];
  if (low < 0) return [-roundUp(-low * 1.05), high > 0 ? roundUp(high * 1.05) : 0];
  if (high === 0) return [0, 1];
  if (low < 0.7 * high) return [0, roundUp(high * 1.05)];
  const step = roundUp(Math.max(high - low, high * 0.01));
  return [Math.max(0, (Math.floor(low / step) - 1) * step), (Math.ceil(high / step) + 1) * step];
}
