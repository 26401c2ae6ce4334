/**
 * Times as people want them: UTC, local, since the start, since the line before. Pure; reads no clock.
 */

/** @typedef {"off" | "utc" | "local" | "relative" | "delta"} TimeMode */

/** In the order that `t` goes through them. @type {TimeMode[]} */
export const TIME_MODES = ["off", "utc", "local", "relative", "delta"];

/** @type {Record<TimeMode, string>} */
export const TIME_NAMES = {
  off: "No times",
  utc: "UTC",
  local: "Local time",
  relative: "Since the start",
  delta: "Since the line before",
};

/** Milliseconds with a fraction; nanoseconds would not all fit, microseconds do. @param {string} time */
export function millis(time) {
  const match = /^(.*?)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(time);
  if (!match) return Number.NaN;
  return Date.parse(`${match[1]}${match[3]}`) + Number(`0${match[2] ?? ""}`) * 1000;
}

/**
 * What stands before a line.
 * @param {TimeMode} mode
 * @param {string} time
 * @param {number} start Milliseconds of the start, for `relative`.
 * @param {string | undefined} previous The line before, for `delta`.
 */
export function stamp(mode, time, start, previous) {
  const at = millis(time);
  if (mode === "off" || Number.isNaN(at)) return "";
  if (mode === "utc") return new Date(at).toISOString().slice(11, 23);
  if (mode === "local") return clock(new Date(at));
  if (mode === "relative") return elapsed(at - start);
  return previous === undefined ? "" : elapsed(at - millis(previous));
}

/** All there is to say of a time, for a tooltip. @param {string} time */
export function wholeTime(time) {
  const at = millis(time);
  if (Number.isNaN(at)) return time;
  const date = new Date(at);
  return `${time}\n${day(date)} ${clock(date)} local`;
}

/** `2026-11-25 17:05`: day and minute, local. @param {string} time */
export function dayAndMinute(time) {
  const at = millis(time);
  if (Number.isNaN(at)) return time;
  const date = new Date(at);
  return `${day(date)} ${pad(date.getHours())}:${pad(date.getMinutes())}`;
}

/** More than an hour, or nobody knows. @param {string | undefined} time @param {number} now */
export function isLongAgo(time, now) {
  return !(now - millis(time ?? "") < 3_600_000);
}

/** `850 ms`, `12.3 s`, `4 min 05 s`, `2 h 07 min`, `3 d 4 h`. @param {number} ms */
export function duration(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(seconds % 60)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** From one time to another, or to `now`. @param {string} from @param {string | undefined} to @param {number} now */
export function between(from, to, now) {
  return duration((to ? millis(to) : now) - millis(from));
}

/** @param {number} ms */
function elapsed(ms) {
  const sign = ms < 0 ? "−" : "+";
  const all = Math.abs(Math.round(ms));
  const seconds = Math.floor(all / 1000);
  const fraction = String(all % 1000).padStart(3, "0");
  if (seconds < 60) return `${sign}${seconds}.${fraction}`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${sign}${minutes}:${pad(seconds % 60)}.${fraction}`;
  return `${sign}${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(seconds % 60)}.${fraction}`;
}

/** @param {Date} date */
function day(date) {
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

/** @param {Date} date */
function clock(date) {
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${ms}`;
}

/** @param {number} number */
function pad(number) {
  return String(number).padStart(2, "0");
}
