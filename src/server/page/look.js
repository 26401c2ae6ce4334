/**
 * How lines are to be shown, from the view: times, labels, what is marked. Pure.
 */

import { finder } from "./pattern.js";
import { labelsOf } from "./selection.js";
import { millis } from "./time.js";

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
