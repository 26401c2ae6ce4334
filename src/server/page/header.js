/**
 * What a person wants to know before reading: how it ended and why, how long it took, how much there is, the
 * first error as a link; and in banners what is not as it should be. Pure: makes elements from what it is given.
 */

import { el, icon } from "./dom.js";
import { ALL } from "./selection.js";
import { between, dayAndMinute } from "./time.js";
import { count, counted, ofLevels, size, statusWords } from "./words.js";

/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./selection.js").Chosen} Chosen */

/**
 * @param {Run} run @param {Chosen} chosen @param {string[]} names @param {number} now
 * @param {number} seen Lines that there are at least; of a step that runs nobody knows more.
 * @param {{ firstError: () => void, level: (level: string) => void }} act
 */
export function header(run, chosen, names, now, seen, act) {
  const isAll = names.includes(ALL) || chosen.steps.length !== 1;
  const [step] = chosen.steps;
  const attempt = chosen.attempts.length === 1 ? chosen.attempts[0] : undefined;
  if (chosen.steps.length === 0) return [titleOf("waiting", names.join(" + "), el("span", { class: "ending" }, chosen.open ? "not started yet" : "not in this run"))];
  const about = names.includes(ALL) ? run : !isAll && step ? (attempt ?? step) : together(chosen.steps);
  const title = isAll ? (names.includes(ALL) ? run.pipeline_run_id : names.join(" + ")) : (step?.step_id ?? "");
  const words = attempt && !isAll ? howItEnded(attempt.status, attempt.reason) : statusWords(about.status);
  const facts = [
    el("span", { class: `ending ${about.status}` }, words),
    el("span", { title: `From ${about.started}${about.ended ? ` to ${about.ended}` : ""}` }, between(about.started, about.ended, now)),
    el("time", { datetime: about.started }, dayAndMinute(about.started)),
    ...amounts(chosen, seen, act.level),
  ];
  if (!isAll && step && step.attempts.length > 1 && attempt) facts.push(el("span", {}, `attempt ${attempt.attempt} of ${step.attempts.length}`));
  const first = chosen.streams.find((stream) => stream.first_error !== undefined);
  return [
    titleOf(about.status, title, ...facts),
    first?.first_error !== undefined && firstError(first.first_error, act.firstError),
  ];
}

/** @param {string} status @param {string} title @param {...import("./dom.js").Child} facts */
function titleOf(status, title, ...facts) {
  return el("div", { class: "title" }, icon(/** @type {import("./dom.js").Icon} */ (status), status), el("h1", {}, title), el("div", { class: "facts" }, ...facts));
}

/** The worst first. */
const STATUSES = ["failed", "interrupted", "unfinished", "running"];

/** Several steps as one. @param {import("./types.js").Step[]} steps @returns {{ status: string, started: string, ended: string | undefined }} */
export function together(steps) {
  const status = STATUSES.find((one) => steps.some((step) => step.status === one)) ?? "succeeded";
  const started = steps.map((step) => step.started).sort()[0] ?? "";
  const ended = steps.every((step) => step.ended) ? steps.map((step) => step.ended ?? "").sort().at(-1) : undefined;
  return { status, started, ended };
}

/** `failed · exit code 1`, `failed · killed by SIGKILL (out of memory)`. @param {string} status @param {string | undefined} reason */
export function howItEnded(status, reason) {
  const words = statusWords(status);
  return reason && status !== "succeeded" ? `${words} · ${reason.replace("OOMKilled", "out of memory")}` : words;
}

/** What is not as it should be with these streams. @param {Chosen} chosen @param {Set<string>} troubles */
export function banners(chosen, troubles) {
  const gaps = chosen.streams.reduce((sum, stream) => sum + stream.gaps, 0);
  /** @type {HTMLElement[]} */
  const all = [];
  if (gaps > 0) all.push(banner("warning", `Lines are missing in ${counted(gaps, "place")}.`, "Where they would be, the log says how many and why."));
  const unfinished = chosen.streams.filter((stream) => stream.status === "unfinished");
  if (unfinished.length > 0) {
    const seen = unfinished[0]?.last_seen;
    all.push(banner("warning", `There is no end yet, and nothing has come ${seen ? `since ${dayAndMinute(seen)}` : "for a while"}.`, "The step is quiet, or its logs are still on its machine (steplog ship --all delivers them), or both are gone."));
  }
  if (chosen.streams.some((stream) => stream.status === "interrupted")) {
    all.push(banner("warning", "Capture was ended before the step was.", "What had been captured until then is here; how the step ended is not known."));
  }
  for (const what of troubles) all.push(banner("error", "Some of the log cannot be read.", what));
  return all;
}

/** @param {"warning" | "error" | "note"} kind @param {string} what @param {string} [next] @param {...HTMLElement} more */
export function banner(kind, what, next, ...more) {
  return el("div", { class: `banner ${kind}`, role: kind === "error" ? "alert" : "status" }, icon("incomplete"), el("span", {}, el("strong", {}, what), next ? ` ${next}` : ""), ...more);
}

/** Why there is nothing to see. @param {Run} run @param {Chosen} chosen @param {boolean} filtered @param {() => void} clear */
export function whyEmpty(run, chosen, filtered, clear) {
  if (filtered) {
    const button = el("button", { type: "button", class: "button" }, "Show all lines");
    button.addEventListener("click", clear);
    return [el("h2", {}, chosen.open ? "No line matches so far" : "No line matches"), el("p", {}, "The log is here, but the filters leave nothing of it."), button];
  }
  if (chosen.streams.length === 0) {
    return chosen.open
      ? [el("h2", {}, "This has not started yet"), el("p", {}, "Lines appear here by themselves as soon as there are any.")]
      : [el("h2", {}, "There is no such log in this run"), el("p", {}, "It may have been another attempt or source; the list at the left has what there is.")];
  }
  if (chosen.open) return [el("h2", {}, "Nothing has been printed yet"), el("p", {}, "Lines appear here by themselves.")];
  if (chosen.streams.some((stream) => (stream.lines ?? 0) > 0)) {
    return [el("h2", {}, "The lines are not here"), el("p", {}, `The log's end says that there are ${count(chosen.streams.reduce((sum, stream) => sum + (stream.lines ?? 0), 0))} lines, but the log store has none of them. `, el("code", {}, `steplog verify ${run.pipeline_run_id}`), " says more.")];
  }
  return [el("h2", {}, "It printed nothing"), el("p", {}, "The step ended without a line on standard output or standard error.")];
}

/** @param {Chosen} chosen @param {number} seen @param {(level: string) => void} level */
function amounts(chosen, seen, level) {
  const known = chosen.streams.reduce((sum, stream) => sum + (stream.lines ?? 0), 0);
  const lines = chosen.open ? Math.max(known, seen) : known;
  const bytes = chosen.streams.reduce((sum, stream) => sum + (stream.bytes ?? 0), 0);
  const errors = chosen.streams.reduce((sum, stream) => sum + ofLevels(stream.levels, ["ERROR", "CRITICAL"]), 0);
  const warnings = chosen.streams.reduce((sum, stream) => sum + ofLevels(stream.levels, ["WARNING"]), 0);
  return [
    lines > 0 && el("span", { title: bytes > 0 ? size(bytes) : undefined }, counted(lines, "line")),
    errors > 0 && levelButton("error", counted(errors, "error"), () => level("error")),
    warnings > 0 && levelButton("warning", counted(warnings, "warning"), () => level("warning")),
  ];
}

/** @param {string} kind @param {string} words @param {() => void} act */
function levelButton(kind, words, act) {
  const button = el("button", { type: "button", class: `amount ${kind}`, title: `Show only lines of level ${kind} and above` }, words);
  button.addEventListener("click", act);
  return button;
}

/** @param {string} message @param {() => void} act */
function firstError(message, act) {
  const button = el("button", { type: "button", class: "first-error", title: "Go to the first error" },
    el("span", { class: "what" }, "First error"), el("span", { class: "message" }, message.slice(0, 400)));
  button.addEventListener("click", act);
  return button;
}
