/**
 * Numbers, sizes and statuses in words. Pure.
 */

/** @typedef {import("./types.js").Levels} Levels */
/** @typedef {import("./types.js").Status} Status */

/** `1,234,567`. By hand: `Intl` takes 20 ms to begin, and stands between a reader and the first screen. @param {number} value */
export function count(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `1 line`, `2 lines`. @param {number} value @param {string} one @param {string} [many] */
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** `1.2 MiB`. @param {number} bytes */
export function size(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? counted(bytes, "byte") : `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** `1.2 M`. For the tree, where there is little room. @param {number} value */
export function short(value) {
  if (value < 10_000) return count(value);
  if (value < 1_000_000) return `${Math.floor(value / 1000)} k`;
  return `${(value / 1_000_000).toFixed(value < 10_000_000 ? 1 : 0)} M`;
}

const LEVELS = ["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

/** Records of these levels. @param {Levels | undefined} levels @param {string[]} names */
export function ofLevels(levels, names) {
  if (!levels) return 0;
  const all = Array.isArray(levels) ? levels : LEVELS.map((name) => levels[name] ?? levels[name.toLowerCase()] ?? 0);
  return names.reduce((sum, name) => sum + (all[LEVELS.indexOf(name)] ?? 0), 0);
}

/** @type {Record<string, string>} */
const STATUSES = {
  running: "running",
  unfinished: "no end yet, and nothing comes",
  succeeded: "succeeded",
  failed: "failed",
  interrupted: "capture was interrupted",
  continued: "continued by another writer",
};

/** @param {string} status */
export function statusWords(status) {
  return STATUSES[status] ?? status;
}

/** Whether lines may still come. @param {string} status */
export function isOpen(status) {
  return status === "running" || status === "unfinished";
}

/** @type {Record<string, string>} */
const GAPS = {
  dropped_oldest: "the spool was full and the oldest lines were dropped",
  dropped_newest: "the spool was full and new lines were dropped",
  write_failed: "the spool's disk failed",
  corrupt: "a piece of the spool was damaged",
  missing: "a piece of the spool is missing",
};

/** @param {{ reason: string, bytes: number, lines: number }} gap */
export function gapWords(gap) {
  const lines = gap.lines > 0 ? `${counted(gap.lines, "line")} (${size(gap.bytes)})` : size(gap.bytes);
  return `${lines} missing here: ${GAPS[gap.reason] ?? gap.reason}`;
}
