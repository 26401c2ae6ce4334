/**
 * The run at the left: run, steps, attempts, sources, each with how it stands, how long it took and when in the
 * run that was. A tree as screen readers know it: arrows move, Enter chooses, Space adds a step to those shown.
 */

import { el, fill, icon } from "./dom.js";
import { ALL, chooseSteps } from "./selection.js";
import { between, millis } from "./time.js";
import { counted, ofLevels, short, statusWords } from "./words.js";

/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./state.js").View} View */

/**
 * @typedef {object} Item
 * @property {string} id
 * @property {number} level
 * @property {string} name
 * @property {string} status
 * @property {string} started
 * @property {string | undefined} ended
 * @property {number} errors
 * @property {number} lines
 * @property {boolean} chosen
 * @property {string} [note]
 * @property {string} [step] Can be shown together with other steps.
 * @property {Partial<View>} view
 */

export class Tree {
  /** @param {HTMLElement} element @param {(change: Partial<View>) => void} choose */
  constructor(element, choose) {
    this.element = element;
    this.choose = choose;
    /** @type {Item[]} */
    this.items = [];
    this.focused = "";
    /** It was last used by key: the focus stays in it. */
    this.byKey = false;
    element.addEventListener("click", (event) => this.#clicked(event));
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {Run} run @param {View} view @param {number} now */
  draw(run, view, now) {
    this.chosen = chooseSteps(run, view);
    this.items = itemsOf(run, view, this.chosen);
    if (!this.items.some((item) => item.id === this.focused)) {
      this.focused = (this.items.find((item) => item.chosen) ?? this.items[0])?.id ?? "";
    }
    const hadFocus = this.element.contains(document.activeElement);
    const from = millis(run.started);
    const length = Math.max(1, (run.ended ? millis(run.ended) : now) - from);
    fill(this.element, ...this.items.map((item) => this.#row(item, from, length, now)));
    if (hadFocus) this.#focus(this.focused);
  }

  /** @param {Item} item @param {number} from @param {number} length @param {number} now */
  #row(item, from, length, now) {
    const started = (millis(item.started) - from) / length;
    const ended = ((item.ended ? millis(item.ended) : now) - from) / length;
    const bar = el("span", { class: `span ${item.status}` });
    bar.style.setProperty("--from", `${Math.max(0, Math.min(1, started)) * 100}%`);
    bar.style.setProperty("--long", `${Math.max(0.01, Math.min(1, ended) - Math.max(0, started)) * 100}%`);
    const took = between(item.started, item.ended, now);
    const title = `${item.name}: ${statusWords(item.status)}${item.lines ? `, ${counted(item.lines, "line")}` : ""}${item.errors ? `, ${counted(item.errors, "error")}` : ""}`;
    const row = el("div", { class: `item level-${item.level}${item.chosen ? " chosen" : ""}`, role: "treeitem", "aria-level": item.level, "aria-selected": String(item.chosen), tabindex: item.id === this.focused ? 0 : -1, title },
      icon(/** @type {import("./dom.js").Icon} */ (item.status), item.status),
      el("span", { class: "name" }, item.name),
      el("span", { class: "for-reader" }, `, ${statusWords(item.status)}, `),
      item.note && el("span", { class: "note" }, item.note),
      item.errors > 0 && el("span", { class: "errors" }, short(item.errors), el("span", { class: "for-reader" }, item.errors === 1 ? " error, " : " errors, ")),
      el("span", { class: "took" }, took),
      item.step !== undefined && el("span", { class: "add", "aria-hidden": "true", title: "Show together with others (Ctrl-click, or Space)", "data-does": "add" }, item.chosen ? "−" : "+"),
      item.level < 3 && bar);
    row.dataset["id"] = item.id;
    return row;
  }

  /** Times of what runs go on. @param {number} now */
  tick(now) {
    for (const row of /** @type {Iterable<HTMLElement>} */ (this.element.children)) {
      const item = this.#itemOf(row);
      const took = row.querySelector(".took");
      if (item && took && !item.ended) took.textContent = between(item.started, undefined, now);
    }
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const item = this.#itemOf(target);
    if (!item) return;
    this.focused = item.id;
    this.byKey = false;
    if (target.closest("[data-does=add]") || event.ctrlKey || event.metaKey) this.#add(item);
    else this.choose(item.view);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const at = this.items.findIndex((item) => item.id === this.focused);
    const item = this.items[at];
    this.byKey = true;
    const last = this.items.length - 1;
    const parent = this.items.slice(0, at).findLast((one) => one.level < (item?.level ?? 0));
    /** @type {Record<string, Item | undefined>} */
    const moves = { ArrowDown: this.items[Math.min(last, at + 1)], ArrowUp: this.items[Math.max(0, at - 1)], Home: this.items[0], End: this.items[last], ArrowLeft: parent, ArrowRight: this.items[Math.min(last, at + 1)] };
    const to = moves[event.key];
    if (to) this.#focus(to.id);
    else if (event.key === "Enter" && item) this.choose(item.view);
    else if (event.key === " " && item) this.#add(item);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Shows a step with those that are shown, or no longer. @param {Item} item */
  #add(item) {
    if (item.step === undefined) return;
    const shown = (this.chosen ?? []).includes(ALL) ? this.items.flatMap((one) => (one.step === undefined ? [] : [one.step])) : (this.chosen ?? []);
    const steps = shown.includes(item.step) ? shown.filter((step) => step !== item.step) : [...shown, item.step];
    if (steps.length > 0) this.choose({ steps, attempt: "", source: "", line: "" });
  }

  /** @param {string} id */
  #focus(id) {
    this.focused = id;
    for (const row of /** @type {NodeListOf<HTMLElement>} */ (this.element.querySelectorAll("[role=treeitem]"))) {
      row.tabIndex = row.dataset["id"] === id ? 0 : -1;
      if (row.dataset["id"] === id) row.focus();
    }
  }

  /** @param {HTMLElement} target */
  #itemOf(target) {
    const row = /** @type {HTMLElement | null} */ (target.closest("[role=treeitem]"));
    return this.items.find((item) => item.id === row?.dataset["id"]);
  }
}

/** @param {Run} run @param {View} view @param {string[]} chosen @returns {Item[]} */
function itemsOf(run, view, chosen) {
  const all = chosen.includes(ALL);
  /** @type {Item[]} */
  const items = [];
  if (run.steps.length > 1) {
    items.push({ id: "", level: 1, name: "All steps", status: run.status, started: run.started, ended: run.ended, errors: errorsOf(run.levels), lines: run.lines ?? 0, chosen: all, view: { steps: [ALL], attempt: "", source: "", line: "" } });
  }
  for (const step of run.steps) {
    const here = !all && chosen.includes(step.step_id);
    const whole = { steps: [step.step_id], attempt: "", source: "", line: "" };
    const tries = step.attempts.length;
    items.push({ id: step.step_id, level: 2, name: step.step_id, status: step.status, started: step.started, ended: step.ended, errors: errorsOf(step.levels), lines: step.lines ?? 0, chosen: here && view.attempt === "" && view.source === "", step: step.step_id, view: whole, ...(tries > 1 ? { note: `${tries} attempts` } : {}) });
    for (const attempt of step.attempts) {
      const id = `${step.step_id}\n${attempt.attempt}`;
      const isLast = attempt === step.attempts[tries - 1];
      const attemptView = { ...whole, attempt: String(attempt.attempt) };
      const isHere = here && (view.attempt === String(attempt.attempt) || (view.attempt === "" && isLast && tries === 1));
      if (tries > 1) {
        const levels = attempt.streams.reduce((sum, stream) => sum + errorsOf(stream.levels), 0);
        items.push({ id, level: 3, name: `Attempt ${attempt.attempt}`, status: attempt.status, started: attempt.started, ended: attempt.ended, errors: levels, lines: 0, chosen: isHere && view.source === "", view: attemptView });
      }
      const sources = [...new Set(attempt.streams.map((stream) => stream.source))];
      if (sources.length < 2) continue;
      for (const source of sources) {
        const stream = attempt.streams.findLast((one) => one.source === source);
        if (!stream) continue;
        items.push({ id: `${id}\n${source}`, level: tries > 1 ? 4 : 3, name: source, status: stream.status, started: stream.started, ended: stream.ended, errors: errorsOf(stream.levels), lines: stream.lines ?? 0, chosen: isHere && view.source === source, view: { ...attemptView, source } });
      }
    }
  }
  return items;
}

/** @param {import("./types.js").Levels | undefined} levels */
function errorsOf(levels) {
  return ofLevels(levels, ["ERROR", "CRITICAL"]);
}
