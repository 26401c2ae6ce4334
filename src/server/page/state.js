/**
 * What is looked at, and how: kept in the address, so that a link, a reload and the back button show the
 * same. Choices of taste (theme, wrap, times) are remembered for the next visit too. Draws nothing.
 */

import { decoded } from "./api.js";
import { keep, kept } from "./storage.js";
import { TIME_MODES } from "./time.js";

/** @typedef {import("./time.js").TimeMode} TimeMode */

/**
 * @typedef {object} View
 * @property {string} run Empty: the list of runs.
 * @property {string[]} steps Empty: chosen by what happened. `*`: all of the run.
 * @property {string} attempt Empty: the last.
 * @property {string} source
 * @property {string} iostream
 * @property {string} level
 * @property {string} query What is searched for.
 * @property {boolean} regex
 * @property {boolean} matchCase
 * @property {boolean} filter Only lines that match.
 * @property {string} line `writer:seq`, or `writer:seq-seq`.
 * @property {TimeMode} time
 * @property {boolean} wrap
 * @property {boolean} progress All states of progress bars.
 * @property {boolean} unfolded Tracebacks are open.
 */

/** Names in the address. @type {Record<keyof View, string>} */
const NAMES = {
  run: "run",
  steps: "step",
  attempt: "attempt",
  source: "source",
  iostream: "iostream",
  level: "level",
  query: "q",
  regex: "regex",
  matchCase: "case",
  filter: "filter",
  line: "",
  time: "time",
  wrap: "wrap",
  progress: "progress",
  unfolded: "unfolded",
};

/** @type {View} */
const DEFAULTS = {
  run: "",
  steps: [],
  attempt: "",
  source: "",
  iostream: "",
  level: "",
  query: "",
  regex: false,
  matchCase: false,
  filter: false,
  line: "",
  time: "off",
  wrap: true,
  progress: false,
  unfolded: false,
};

const TASTE = /** @type {const} */ (["time", "wrap", "progress", "unfolded"]);
const REMEMBERED = "steplog.view";

export class State {
  constructor() {
    this.view = read();
    /** @type {((view: View, before: View) => void)[]} */
    this.listeners = [];
    addEventListener("popstate", () => this.#set(read()));
    addEventListener("hashchange", () => this.#set(read()));
  }

  /** @param {(view: View, before: View) => void} listener */
  subscribe(listener) {
    this.listeners.push(listener);
  }

  /**
   * Changes the view. `entry`: the back button comes back to what was.
   * @param {Partial<View>} change
   * @param {{ entry?: boolean }} [options]
   */
  change(change, { entry = false } = {}) {
    const view = { ...this.view, ...change };
    const address = link(view);
    if (address !== location.pathname + location.search + location.hash) {
      if (entry) history.pushState(null, "", address);
      else history.replaceState(null, "", address);
    }
    remember(view);
    this.#set(view);
  }

  /** @param {View} view */
  #set(view) {
    const before = this.view;
    this.view = view;
    for (const listener of this.listeners) listener(view, before);
  }
}

/** The address of a view. @param {View} view */
export function link(view) {
  const query = new URLSearchParams();
  for (const name of /** @type {(keyof View)[]} */ (Object.keys(NAMES))) {
    const value = view[name];
    if (name === "line" || same(value, DEFAULTS[name])) continue;
    for (const one of Array.isArray(value) ? value : [value]) {
      query.append(NAMES[name], typeof one === "boolean" ? (one ? "1" : "0") : one);
    }
  }
  const text = query.toString();
  return `${location.pathname}${text ? `?${text}` : ""}${view.line ? `#${view.line}` : ""}`;
}

/** The view of the address, and of what is remembered. @returns {View} */
function read() {
  return viewOfAddress(remembered());
}

/** The view of the address. @param {Partial<View>} [taste] What it does not say. @returns {View} */
export function viewOfAddress(taste = {}) {
  const query = new URLSearchParams(location.search);
  /** @type {View} */
  const view = { ...DEFAULTS, ...taste };
  /** @param {keyof View} name */
  const text = (name) => query.get(NAMES[name]) ?? "";
  /** @param {"regex" | "matchCase" | "filter" | "wrap" | "progress" | "unfolded"} name */
  const flag = (name) => {
    const value = query.get(NAMES[name]);
    if (value !== null) view[name] = value === "1";
  };
  view.run = text("run");
  view.steps = query.getAll(NAMES.steps);
  for (const name of /** @type {const} */ (["attempt", "source", "iostream", "level", "query"])) view[name] = text(name);
  for (const name of /** @type {const} */ (["regex", "matchCase", "filter", "wrap", "progress", "unfolded"])) flag(name);
  const time = TIME_MODES.find((mode) => mode === text("time"));
  if (time) view.time = time;
  const hash = decoded(location.hash.slice(1));
  view.line = /^[0-9a-f-]{36}:\d+(-\d+)?$/i.test(hash) ? hash : "";
  return view;
}

/** @returns {Partial<View>} */
function remembered() {
  try {
    const taste = JSON.parse(kept("local", REMEMBERED) ?? "{}");
    const view = /** @type {Partial<View>} */ ({});
    if (TIME_MODES.includes(taste.time)) view.time = taste.time;
    for (const name of /** @type {const} */ (["wrap", "progress", "unfolded"])) {
      if (typeof taste[name] === "boolean") view[name] = taste[name];
    }
    return view;
  } catch {
    return {};
  }
}

/** @param {View} view */
function remember(view) {
  const taste = Object.fromEntries(TASTE.map((name) => [name, view[name]]));
  keep("local", REMEMBERED, JSON.stringify(taste));
}

/** @param {unknown} left @param {unknown} right */
function same(left, right) {
  return Array.isArray(left) && Array.isArray(right) ? left.join("\n") === right.join("\n") : left === right;
}
