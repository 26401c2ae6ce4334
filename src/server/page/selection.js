/**
 * What is selected of a run: which streams, in what words they are told apart, how they ended. Pure, given
 * the run and the view.
 */

import { isOpen } from "./words.js";

/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./types.js").Step} Step */
/** @typedef {import("./types.js").Attempt} Attempt */
/** @typedef {import("./types.js").Stream} Stream */
/** @typedef {import("./state.js").View} View */

/** All steps of the run. */
export const ALL = "*";

/**
 * @typedef {object} Chosen
 * @property {Step[]} steps
 * @property {Attempt[]} attempts
 * @property {Stream[]} streams
 * @property {boolean} open Lines may still come.
 */

/** The steps to show: as the view says, or the one that failed first, or the one that is running, or all. @param {Run} run @param {View} view @returns {string[]} */
export function chooseSteps(run, view) {
  if (view.steps.length > 0) return view.steps;
  const first = run.steps[0];
  if (run.steps.length === 1 && first) return [first.step_id];
  const failed = run.steps.find((step) => step.status === "failed") ?? run.steps.find((step) => step.status === "interrupted");
  if (failed) return [failed.step_id];
  const running = run.steps.filter((step) => step.status === "running");
  const only = running[0];
  if (running.length === 1 && only) return [only.step_id];
  return [ALL];
}

/** @param {Run} run @param {View} view @returns {Chosen} */
export function choose(run, view) {
  const names = chooseSteps(run, view);
  const steps = names.includes(ALL) ? run.steps : run.steps.filter((step) => names.includes(step.step_id));
  const attempts = steps.flatMap((step) => {
    if (view.attempt === "all") return step.attempts;
    const wanted = Number(view.attempt);
    return wanted ? step.attempts.filter((one) => one.attempt === wanted) : step.attempts.slice(-1);
  });
  const streams = attempts.flatMap((attempt) => attempt.streams).filter((stream) => view.source === "" || stream.source === view.source);
  return { steps, attempts, streams, open: streams.some((stream) => isOpen(stream.status)) || (streams.length === 0 && isOpen(run.status)) };
}

/** What the API is told of the selection. @param {Run} run @param {View} view @returns {import("./api.js").Parameters} */
export function selectionOf(run, view) {
  const steps = chooseSteps(run, view).filter((step) => step !== ALL);
  return { step: steps, attempt: view.attempt, source: view.source };
}

/** How lines come. @param {View} view @returns {import("./api.js").Parameters} */
export function formOf(view) {
  return { progress: view.progress ? "all" : "" };
}

/** Conditions that leave lines out; the search is one if it is to filter. @param {View} view @returns {import("./api.js").Parameters} */
export function conditionsOf(view) {
  const base = { level: view.level, iostream: view.iostream };
  return view.filter && view.query ? { ...base, ...searchOf(view) } : base;
}

/** @param {View} view @returns {import("./api.js").Parameters} */
export function searchOf(view) {
  return { grep: view.query, fixed: !view.regex, ignore_case: !view.matchCase };
}

/** Whether lines are left out. @param {View} view */
export function isFiltered(view) {
  return Boolean(view.level || view.iostream || (view.filter && view.query));
}

/**
 * As few words as tell streams apart, and a colour each.
 * @param {Stream[]} streams
 * @returns {Map<string, { text: string, colour: number }>}
 */
export function labelsOf(streams) {
  const steps = new Set(streams.map((stream) => stream.step_id));
  const attempts = new Set(streams.map((stream) => `${stream.step_id}\n${stream.attempt}`));
  const sources = new Set(streams.map((stream) => stream.source));
  /** @type {Map<string, { text: string, colour: number }>} */
  const labels = new Map();
  if (steps.size < 2 && attempts.size < 2 && sources.size < 2) return labels;
  /** @type {Map<string, number>} */
  const colours = new Map();
  for (const stream of streams) {
    const words = [];
    if (steps.size > 1) words.push(stream.step_id);
    if (attempts.size > steps.size) words.push(`#${stream.attempt}`);
    if (sources.size > 1) words.push(stream.source);
    const text = words.join(" ");
    if (!colours.has(text)) colours.set(text, colours.size % 8);
    labels.set(stream.writer, { text, colour: colours.get(text) ?? 0 });
  }
  return labels;
}
