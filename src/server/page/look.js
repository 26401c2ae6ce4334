/**
 * How lines are to be shown, from the view: times, labels, what is marked; and which lines the address names. Pure.
 */

import { finder } from "./pattern.js";
import { placeOf } from "./rows.js";
import { labelsOf } from "./selection.js";
import { millis } from "./time.js";

/** @typedef {import("./types.js").Line} Line */
/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./state.js").View} View */

/** @param {Run} run @param {View} view @param {import("./selection.js").Chosen} chosen @param {Set<string>} long @returns {import("./rows.js").Look} */
export function lookOf(run, view, chosen, long) {
  const starts = chosen.streams.map((stream) => millis(stream.started));
  const search = view.query ? { text: view.query, fixed: !view.regex, ignoreCase: !view.matchCase } : undefined;
  return {
    time: view.time,
    start: starts.length > 0 ? Math.min(...starts) : millis(run.started),
    labels: labelsOf(chosen.streams),
    find: finder(search),
    onlyMatches: view.filter && view.query !== "",
    long,
    progress: view.progress,
  };
}

/** `writer:seq` of the line that the address names, or of the first of its range. @param {string} address */
export function firstOf(address) {
  return /^.*:\d+/.exec(address)?.[0];
}

/** Whether the address names this line. @param {string} address @param {Line} line */
export function chosenBy(address, line) {
  const match = /^(.*):(\d+)(?:-(\d+))?$/.exec(address);
  if (!match || match[1] !== line.writer) return false;
  const from = Number(match[2]);
  return line.seq >= from && line.seq <= Number(match[3] ?? from);
}

/** The address of all from the line that it names to this one; of this one, if that is of another stream. @param {string} address @param {Line} line */
export function extended(address, line) {
  const match = /^(.*):(\d+)/.exec(address);
  if (!match || match[1] !== line.writer) return placeOf(line);
  const [from, to] = [Number(match[2]), line.seq].sort((left, right) => left - right);
  return from === to ? placeOf(line) : `${line.writer}:${from}-${to}`;
}
