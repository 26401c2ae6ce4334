/**
 * Where a log is opened; and, before all else of the page is there, the questions whose answers the first screen
 * needs. Draws nothing.
 */

import { askAhead, get, runPath } from "./api.js";
import { linesPath, windowAt } from "./lines.js";
import { firstOf, placeOf } from "./place.js";
import { choose, formOf, isFiltered, selectionOf } from "./selection.js";
import { viewOfAddress } from "./state.js";

/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./state.js").View} View */

/** Lines at the end that are asked for at once. */
const TAIL = -500;

/**
 * At the line of the address, at the end while it runs, at the first error if it failed, else at the beginning.
 * @param {Run} run @param {View} view @param {import("./selection.js").Chosen} chosen
 * @param {typeof get} [ask]
 * @returns {Promise<import("./lines.js").Where>}
 */
export async function whereToBegin(run, view, chosen, ask = get) {
  const around = firstOf(view.line);
  if (around) return { around };
  if (chosen.open) return { start: TAIL };
  const failed = chosen.streams.some((stream) => stream.status === "failed" || stream.status === "interrupted");
  if (!failed || isFiltered(view)) return { start: 0 };
  const known = chosen.streams.some((stream) => stream.first_error);
  // Where it cannot be found, its end is the next best.
  const line = known ? await firstError(run, view, ask).catch(() => undefined) : undefined;
  return line ? { around: placeOf(line) } : { start: TAIL };
}

/** The oldest line that is an error. @param {Run} run @param {View} view @param {typeof get} [ask] @returns {Promise<import("./types.js").Line | undefined>} */
export async function firstError(run, view, ask = get) {
  /** @type {import("./types.js").Page} */
  const page = await ask(`${runPath(run.pipeline_run_id)}/logs`, { ...selectionOf(run, view), level: "error", limit: 1 });
  return page.items[0];
}

/** Asks for the run and its first lines, as they will be asked for. @param {View} view */
async function askForFirstScreen(view) {
  if (view.run === "") return;
  /** @type {Run} */
  const run = await askAhead(runPath(view.run));
  const chosen = choose(run, view);
  if (isFiltered(view) || chosen.streams.length === 0) return;
  const where = await whereToBegin(run, view, chosen, askAhead);
  await askAhead(linesPath(run.pipeline_run_id), { ...selectionOf(run, view), ...formOf(view), ...windowAt(where) });
}

// What goes wrong is told when it is asked for again. What is remembered is not waited for: it hardly ever matters here.
askForFirstScreen(viewOfAddress()).catch(() => {});
