/**
 * The list of runs: what one sees first. A run's name and start come with the list; how it stands is asked
 * for only when its row comes into sight.
 */

import { get, isAbort, runPath } from "./api.js";
import { el, fill, icon } from "./dom.js";
import { between, dayAndMinute, isLongAgo } from "./time.js";
import { count, ofLevels, statusWords } from "./words.js";

/** Runs of one request. */
const PAGE = 50;
/** Milliseconds between looks at what is new, and at runs that seem to be over, whose next step may begin yet. */
const LOOK_AGAIN = 4000;
const LOOK_SELDOM = 20_000;

/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./types.js").RunSummary} RunSummary */

export class Runs {
  /** @param {HTMLElement} element @param {(run: string) => string} address @param {(run: string) => void} open @param {() => void} reached @param {(error: unknown) => void} failed */
  constructor(element, address, open, reached, failed) {
    this.element = element;
    this.address = address;
    this.open = open;
    this.reached = reached;
    this.failed = failed;
    this.#watch = new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting) this.#detail(/** @type {HTMLElement} */ (entry.target));
    });
  }

  #watch;
  #flights = new AbortController();
  /** How runs stand, and how long that is taken to be so. @type {Map<string, { run: Run, until: number }>} */
  #known = new Map();
  /** Runs that have been in sight. @type {Set<string>} */
  #seen = new Set();

  /** The rows, by the names of their runs. @type {Map<string, HTMLElement>} */
  #rows = new Map();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #again;

  async show() {
    this.close();
    this.#flights = new AbortController();
    this.#rows.clear();
    const list = el("div", { class: "runs", role: "list", "aria-label": "Runs" });
    const find = el("input", { type: "search", class: "find", placeholder: "Find a run by its name, or open it with Enter", "aria-label": "Find a run" });
    const none = el("p", { class: "nothing", hidden: true }, "No run in this list has that in its name. Enter opens the run of exactly that name.");
    find.addEventListener("input", () => narrow(list, none, find.value));
    find.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && find.value.trim()) this.open(find.value.trim());
    });
    fill(this.element, el("h1", {}, "Runs"), find, list, none);
    const shown = () => narrow(list, none, find.value);
    const flights = this.#flights;
    await this.#more(list, undefined, shown);
    if (flights.signal.aborted) return;
    this.#again = setInterval(() => !document.hidden && void this.#look(list).then(shown), LOOK_AGAIN);
  }

  close() {
    clearInterval(this.#again);
    this.#flights.abort();
    this.#watch.disconnect();
  }

  /** What has begun since, and how those that run stand by now. @param {HTMLElement} list */
  async #look(list) {
    try {
      /** @type {{ items: RunSummary[] }} */
      const { items } = await get("/runs", { limit: PAGE }, this.#flights.signal);
      this.reached();
      if (this.#rows.size === 0 && items.length > 0) return void this.show();
      for (const run of items.filter((one) => !this.#rows.has(one.pipeline_run_id)).reverse()) list.prepend(this.#add(run));
      for (const [name, row] of this.#rows) if (this.#seen.has(name) && !this.#isKnown(name)) void this.#detail(row);
    } catch {
      // What is there stays; it is looked at again.
    }
  }

  /** @param {HTMLElement} list @param {string | undefined} before @param {() => void} shown */
  async #more(list, before, shown) {
    try {
      /** @type {{ items: RunSummary[], before?: string | null }} */
      const page = await get("/runs", { limit: PAGE, before }, this.#flights.signal);
      if (page.items.length === 0 && before === undefined) {
        list.replaceWith(el("p", { class: "nothing" }, "There are no runs in this log store yet. ", el("code", {}, "steplog run -- COMMAND"), " makes one."));
        return;
      }
      for (const run of page.items) if (!this.#rows.has(run.pipeline_run_id)) list.append(this.#add(run));
      shown();
      const cursor = page.before;
      if (!cursor) return;
      const more = el("button", { type: "button", class: "button" }, "Older runs");
      more.addEventListener("click", () => {
        more.remove();
        void this.#more(list, cursor, shown);
      });
      this.element.append(more);
    } catch (error) {
      if (!isAbort(error)) this.failed(error);
    }
  }

  /** A row, whose run is asked for when it comes into sight. @param {RunSummary} run */
  #add(run) {
    const row = el("div", { role: "listitem" });
    row.dataset["run"] = run.pipeline_run_id;
    fill(row, this.#link(run, undefined));
    this.#rows.set(run.pipeline_run_id, row);
    this.#watch.observe(row);
    return row;
  }

  /** @param {RunSummary} summary @param {Run | undefined} run */
  #link(summary, run) {
    const status = run?.status ?? "waiting";
    const errors = ofLevels(run?.levels, ["ERROR", "CRITICAL"]);
    const link = el("a", { class: `run ${status}`, href: this.address(summary.pipeline_run_id) },
      icon(/** @type {import("./dom.js").Icon} */ (status), status),
      el("span", { class: "name" }, summary.pipeline_run_id, run && el("span", { class: "for-reader" }, `, ${statusWords(run.status)}`)),
      el("span", { class: "dots" }, ...(run?.steps ?? []).slice(0, 24).map((step) => el("span", { class: `dot ${step.status}`, title: `${step.step_id}: ${statusWords(step.status)}` }))),
      el("span", { class: "errors" }, errors > 0 && `${count(errors)} ${errors === 1 ? "error" : "errors"}`),
      el("span", { class: "took" }, run && between(run.started, run.ended, Date.now())),
      el("time", { class: "when", datetime: summary.started }, dayAndMinute(summary.started)));
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.open(summary.pipeline_run_id);
    });
    return link;
  }

  /** @param {string} name */
  #isKnown(name) {
    return (this.#known.get(name)?.until ?? 0) > Date.now();
  }

  /** @param {HTMLElement} row */
  async #detail(row) {
    this.#watch.unobserve(row);
    const name = row.dataset["run"] ?? "";
    this.#seen.add(name);
    try {
      /** @type {Run} */
      const run = (this.#isKnown(name) && this.#known.get(name)?.run) || (await get(runPath(name), {}, this.#flights.signal));
      if (run.ended) this.#known.set(name, { run, until: isLongAgo(run.ended, Date.now()) ? Infinity : Date.now() + LOOK_SELDOM });
      fill(row, this.#link({ pipeline_run_id: name, started: run.started }, run));
    } catch (error) {
      if (!isAbort(error)) row.title = error instanceof Error ? error.message : String(error);
    }
  }
}

/** Leaves those that have the words in their name. @param {HTMLElement} list @param {HTMLElement} none @param {string} text */
function narrow(list, none, text) {
  const wanted = text.trim().toLowerCase();
  for (const row of /** @type {Iterable<HTMLElement>} */ (list.children)) {
    row.hidden = wanted !== "" && !(row.dataset["run"] ?? "").toLowerCase().includes(wanted);
  }
  const rows = [...list.children].map((row) => /** @type {HTMLElement} */ (row));
  none.hidden = rows.length === 0 || rows.some((row) => !row.hidden);
  list.hidden = rows.every((row) => row.hidden);
}
