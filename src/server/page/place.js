/**
 * Names of lines: `writer:seq`, for ever, whatever is filtered around it; and ranges of them, as the address has
 * them: `writer:seq-seq`. Pure.
 */

/** @typedef {{ writer: string, seq: number }} Named A line, or where one is. */

/** @param {Named} line */
export function placeOf(line) {
  return `${line.writer}:${line.seq}`;
}

/** @param {string} place @returns {[string, string]} */
export function split(place) {
  const colon = place.lastIndexOf(":");
  return [place.slice(0, colon), place.slice(colon + 1)];
}

/** The line that the address names, or the first of its range. @param {string} address */
export function firstOf(address) {
  return /^.*:\d+/.exec(address)?.[0];
}

/** Whether the address names this line. @param {string} address @param {Named} line */
export function chosenBy(address, line) {
  const match = /^(.*):(\d+)(?:-(\d+))?$/.exec(address);
  if (!match || match[1] !== line.writer) return false;
  const from = Number(match[2]);
  return line.seq >= from && line.seq <= Number(match[3] ?? from);
}

/** The address of all from the line that it names to this one; of this one, if that is of another stream. @param {string} address @param {Named} line */
export function extended(address, line) {
  const match = /^(.*):(\d+)/.exec(address);
  if (!match || match[1] !== line.writer) return placeOf(line);
  const [from, to] = [Number(match[2]), line.seq].sort((left, right) => left - right);
  return from === to ? placeOf(line) : `${line.writer}:${from}-${to}`;
}
