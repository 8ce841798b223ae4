/**
 * Writes numbers and times, as `Intl` does for "en": the first format of that a page makes
 * takes longer than to show all its queues.
 */

/**
 * Writes a count.
 *
 * @param {number | null | undefined} value The count.
 * @returns {string} Its text; a dash where the broker does not tell it.
 */
export function count(value) {
  return value === undefined || value === null ? "–" : grouped(value, 3);
}

/**
 * Writes a rate.
 *
 * @param {number | undefined} value By how much the depth changes in a second.
 * @returns {string} Its text, with its sign.
 */
export function rate(value) {
  if (value === undefined) return "–";
  if (value === 0) return "0";
  return `${value > 0 ? "+" : "−"}${grouped(Math.abs(value), 1)}`;
}

/**
 * Writes a time.
 *
 * @param {number | undefined} seconds The time, in seconds.
 * @returns {string} Its text, in the largest unit that fits.
 */
export function age(seconds) {
  if (seconds === undefined) return "–";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

const UNITS = ["", "K", "M", "B", "T"];

/**
 * Writes a number in little room.
 *
 * @param {number} value The number.
 * @returns {string} Its first two digits or its whole part, and its unit: `1.2K`.
 */
export function compact(value) {
  let left = Math.abs(value);
  let unit = 0;
  while (unit < UNITS.length - 1 && shortened(left) >= 1000) {
    left /= 1000;
    unit++;
  }
  return `${value < 0 ? "-" : ""}${shortened(left)}${UNITS[unit]}`;
}

/**
 * Writes a moment of a day, as the clocks of its reader show it.
 *
 * @param {number} time Milliseconds since 1970.
 * @returns {string} Hours, minutes and seconds.
 */
export function clock(time) {
  return new Date(time).toTimeString().slice(0, 8);
}

/** @param {number} value */
function shortened(value) {
  return value < 10 ? Number(value.toPrecision(2)) : Math.round(value);
}

/**
 * @param {number} value
 * @param {number} digits So many behind the point at most.
 */
function grouped(value, digits) {
  const scale = 10 ** digits;
  const [whole = "", part] = String(Math.round(value * scale) / scale)
    .split(".");
  const groups = whole.replace(/\B(?=(?:\d{3})+$)/g, ",");
  return part === undefined ? groups : `${groups}.${part}`;
}
