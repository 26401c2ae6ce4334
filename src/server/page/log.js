/**
 * The log: lines of the selection in the viewport, kept in step with the view. Joins what the other modules
 * do: lines.js or matching.js fetch, folds.js hides, rows.js draws, viewport.js scrolls, places.js goes
 * elsewhere, live.js brings what is new. What is around it (bar, header, tree) is told through `Told`, and lives
 * in main.js.
 */

import { isAbort } from "./api.js";
import { listenForCopies } from "./copy.js";
import { Folds } from "./folds.js";
import { Numbered } from "./lines.js";
import { Live } from "./live.js";
import { lookOf } from "./look.js";
import { Matching } from "./matching.js";
import { whereToBegin } from "./opening.js";
import { chosenBy, extended, firstOf, placeOf } from "./place.js";
import { Places } from "./places.js";
import { emptyRow, lineRow } from "./rows.js";
import { Sections } from "./sections.js";
import { choose, conditionsOf, formOf, isFiltered, searchOf, selectionOf } from "./selection.js";
import { Viewport } from "./viewport.js";

/** @typedef {import("./types.js").Line} Line */
/** @typedef {import("./types.js").Run} Run */
/** Where lines come from. @typedef {Numbered | Matching} Source */
/** @typedef {import("./state.js").View} View */

/** Pixels of a row of one line; as in log.css. */
const ROW = 20;
/** Rows before the ones that came that may look different by them. */
const BEFORE = 60;

/**
 * Who is told what happens.
 * @typedef {object} Told
 * @property {(change: Partial<View>) => void} view The reader chose a line.
 * @property {() => void} search Counts or the current match have changed.
 * @property {() => void} place Something else is in sight.
 * @property {() => void} following Following has begun, paused, ended; or new lines wait below.
 * @property {(streams: import("./types.js").Stream[]) => void} streams
 * @property {() => void} ended
 * @property {() => void} reached The server has given lines.
 * @property {(error: unknown) => void} failed
 * @property {(troubles: import("./types.js").Trouble[]) => void} troubled
 * @property {(words: string) => void} say
 * @property {(line: Line) => void} whole The whole of a line that was cut is wanted.
 */

export class Log {
  /** @param {HTMLElement} scroller @param {HTMLElement} canvas @param {Told} told */
  constructor(scroller, canvas, told) {
    this.scroller = scroller;
    this.canvas = canvas;
    this.told = told;
    this.places = new Places(this);
    this.live = new Live(this);
    this.viewport = new Viewport(scroller, canvas, {
      make: (row) => this.#make(row),
      shown: (first, last) => this.source?.want(first, last),
      moved: (byReader) => this.#moved(byReader),
    }, ROW);
    /** @type {Source | undefined} */
    this.source = undefined;
    /** @type {Run | undefined} */
    this.run = undefined;
    /** @type {View | undefined} */
    this.view = undefined;
    /** Counts what was opened: an answer to an older one is dropped. */
    this.opening = 0;
    canvas.addEventListener("click", (event) => this.#clicked(event));
    listenForCopies(canvas, () => this.source, (row) => this.viewport.heights.of(row) === 0, (row) => this.fetchRow(row), told.say);
  }

  #folds = new Folds({ total: 0, at: () => undefined });
  /** @type {import("./rows.js").Look} */
  #look = { time: "off", start: 0, labels: new Map(), find: () => [], onlyMatches: false, long: new Set(), progress: false };
  /** @type {WeakMap<HTMLElement, Line>} */
  #drawn = new WeakMap();

  /** What was in sight, and whether at the end, while what is opened in its stead is not there. @type {{ here: string | undefined, stay: boolean } | undefined} */
  #kept;
  /** Settled when what was opened last can be gone through. @type {Promise<unknown>} */
  #opened = Promise.resolve();

  /** Shows a selection, at the place of the view, or where it went wrong, or at its end while it runs. @param {Run} run @param {View} view @param {{ keep?: boolean }} [options] `keep`: at what is in sight now. */
  async open(run, view, { keep = false } = {}) {
    const { places, viewport } = this;
    const kept = keep ? (this.#kept ?? { here: places.inSight, stay: viewport.pinned }) : { here: undefined, stay: false };
    this.close();
    this.#kept = kept;
    const opened = this.#open(run, view, kept, keep);
    this.#waitFor(opened);
    await opened;
  }

  /** Until there is a log to go through, however often another is opened meanwhile. */
  async whenOpen() {
    for (let seen; seen !== this.#opened;) {
      seen = this.#opened;
      await seen;
    }
  }

  /** @param {Promise<unknown>} opened */
  #waitFor(opened) {
    // Who opens it is told what goes wrong.
    this.#opened = opened.catch(() => {});
  }

  /** @param {Run} run @param {View} view @param {{ here: string | undefined, stay: boolean }} kept @param {boolean} keep */
  async #open(run, view, { here, stay }, keep) {
    const { opening } = this;
    const { turns } = this.places;
    this.run = run;
    this.view = view;
    const chosen = choose(run, view);
    const selection = selectionOf(run, view);
    const listener = {
      came: (/** @type {number} */ from, /** @type {number} */ to) => opening === this.opening && this.#came(from, to),
      grew: () => opening === this.opening && this.#grew(),
      before: (/** @type {number} */ rows) => opening === this.opening && this.#before(rows),
      end: () => opening === this.opening && this.#reachedEnd(),
      failed: (/** @type {unknown} */ error) => opening === this.opening && this.told.failed(error),
      troubled: (/** @type {import("./types.js").Trouble[]} */ troubles) => opening === this.opening && this.told.troubled(troubles),
    };
    const filtered = isFiltered(view);
    const source = filtered ? new Matching(run.pipeline_run_id, selection, { ...conditionsOf(view), ...formOf(view) }, listener) : new Numbered(run.pipeline_run_id, { ...selection, ...formOf(view) }, listener);
    this.source = source;
    this.#folds = new Folds(source);
    this.#folds.unfolded = view.unfolded;
    this.#folds.progress = view.progress;
    this.#setLook(run, view, chosen);
    this.viewport.measuring = view.wrap;
    this.viewport.reset(0);
    this.live.state = chosen.open ? "on" : "off";
    /** @type {import("./lines.js").Where} */
    const where = stay ? { start: -500 } : here ? { around: here } : await whereToBegin(run, view, chosen);
    if (opening !== this.opening) return;
    const row = await source.open(where);
    if (opening !== this.opening) return;
    const isEnd = where.around === undefined && (where.start ?? 0) < 0;
    if (isEnd) this.viewport.goToEnd();
    else if (where.around && !here) await this.places.show(row, where.around);
    else this.viewport.goTo(row, "top");
    this.viewport.pinned = isEnd && chosen.open;
    this.#kept = undefined;
    // Another search may have been begun meanwhile.
    if (view.query && sameSearch(view, this.view)) void this.startSearch(this.run, this.view, { go: !keep && !view.line && turns === this.places.turns });
    if (source.atEnd) this.live.start();
  }

  close() {
    this.opening += 1;
    this.source?.close();
    this.live.close();
    this.places.clear();
    this.viewport.pinned = false;
    this.#kept = undefined;
    this.source = undefined;
    this.viewport.reset(0);
    this.told.search();
  }

  /** Lines look different now; the same lines. @param {Run} run @param {View} view */
  restyle(run, view) {
    this.run = run;
    const before = this.view;
    this.view = view;
    this.#setLook(run, view, choose(run, view));
    this.#folds.progress = view.progress;
    if (this.#folds.unfolded !== view.unfolded) {
      this.#folds.unfolded = view.unfolded;
      this.#folds.turned.clear();
      this.#arrangeAll();
    }
    // Times take room from the text, so that it wraps elsewhere.
    if (before?.wrap !== view.wrap || before.time !== view.time) {
      this.viewport.relayout(ROW, view.wrap);
      this.#arrangeAll();
    }
    this.viewport.invalidate(0, Number.MAX_SAFE_INTEGER);
  }

  /** The run goes on: lines of streams that have begun meanwhile stand beside others now, and are told apart. @param {Run} run @param {View} view */
  renew(run, view) {
    const before = labelled(this.#look);
    this.run = run;
    this.#setLook(run, view, choose(run, view));
    if (labelled(this.#look) === before) return;
    this.viewport.relayout(ROW, view.wrap);
    this.#arrangeAll();
    this.viewport.invalidate(0, Number.MAX_SAFE_INTEGER);
  }

  /** Searches, and goes to the first match unless the reader has gone elsewhere by then. @param {Run} run @param {View} view @param {{ go: boolean }} options */
  async startSearch(run, view, { go }) {
    const { opening, places } = this;
    const { turns } = places;
    this.view = view;
    this.#setLook(run, view, choose(run, view));
    this.viewport.invalidate(0, Number.MAX_SAFE_INTEGER);
    if (!view.query) {
      places.search.clear();
      this.searched();
      return;
    }
    await this.whenOpen();
    if (opening !== this.opening || !sameSearch(view, this.view)) return;
    const done = await places.search.start(run.pipeline_run_id, { ...selectionOf(run, view), ...conditionsOf(view), ...searchOf(view) });
    if (done && go && turns === places.turns) places.goToNearestMatch();
  }

  /** The line of the address has changed. @param {View} view */
  async choose(view) {
    if (!this.view || this.view.line === view.line) return;
    this.view = view;
    this.viewport.invalidate(0, Number.MAX_SAFE_INTEGER);
    const place = firstOf(view.line);
    if (place) await this.places.goTo(place);
  }

  /** Why nothing is shown can only be said when it is known that there is nothing. */
  get isEmpty() {
    return this.source !== undefined && this.source.total === 0;
  }

  /** Lines from elsewhere, and the row they begin at. Of lines that match only one stretch is held: until it is here nothing can be gone through. @param {import("./lines.js").Where} where */
  async openAt(where) {
    const { source, viewport, opening } = this;
    if (!(source instanceof Matching)) return source?.open(where);
    const opened = source.open(where);
    viewport.reset(0);
    this.#waitFor(opened);
    try {
      const row = await opened;
      if (opening === this.opening && source.atEnd) this.live.start();
      return row;
    } catch (error) {
      // What was held still is.
      if (opening === this.opening && !isAbort(error)) this.#grew();
      throw error;
    }
  }

  /** From an end, where it is not known how many lines match. @param {{ start: number }} where */
  async reopen(where) {
    const { opening, places, viewport } = this;
    const { turns } = places;
    try {
      const row = await this.openAt(where);
      if (row === undefined || opening !== this.opening || turns !== places.turns) return;
      viewport.pinned = where.start < 0 && this.live.state !== "off";
      if (where.start < 0) viewport.goToEnd();
      else viewport.goTo(row, "top");
    } catch (error) {
      if (!isAbort(error)) this.told.failed(error);
    }
  }

  /** @param {boolean} byReader */
  #moved(byReader) {
    if (byReader) this.places.turns += 1;
    this.live.moved(byReader);
  }

  /** What was still to come from the store is here: from now on it comes by itself. */
  #reachedEnd() {
    this.live.start();
    this.live.moved(true);
  }

  #grew() {
    const total = this.source?.total ?? 0;
    // A filtered view has fewer rows than its lines' numbers say.
    const last = this.source?.at(total - 1)?.number ?? 0;
    this.canvas.style.setProperty("--digits", String(Math.max(3, String(Math.max(total, last + 1)).length)));
    this.viewport.resize(total);
    this.told.place();
  }

  /** @param {number} rows */
  #before(rows) {
    this.#folds.shift(rows);
    this.viewport.prepend(rows, this.source?.total ?? 0);
    // It knows the heights only of what is near.
    this.#arrangeAll();
  }

  /** @param {number} from @param {number} to */
  #came(from, to) {
    this.told.reached();
    this.#arrange(from, to);
    this.viewport.invalidate(from - BEFORE, to, (element, row) => this.#drawn.get(element) !== this.source?.at(row) || element.querySelector(".fold[data-does]") !== null);
  }

  /** Of a long log only a few lines are here, and only they can be hidden. */
  #arrangeAll() {
    for (const [from, to] of this.source?.pieces() ?? []) this.#arrange(from, to);
    this.viewport.adjust((heights) => {
      for (const { from, to } of this.#folds.sections.values()) heights.setRange(from, to, 0);
    });
  }

  /** @param {number} from @param {number} to */
  #arrange(from, to) {
    this.viewport.adjust((heights) => {
      this.#folds.arrange(from, to, (row, hidden) => {
        const was = heights.of(row) === 0;
        if (hidden && !was) heights.set(row, 0);
        else if (!hidden && was) heights.set(row, ROW);
      });
    });
  }

  /** @param {Run} run @param {View} view @param {import("./selection.js").Chosen} chosen */
  #setLook(run, view, chosen) {
    this.#look = lookOf(run, view, chosen, this.#look.long);
    const widest = Math.max(0, ...[...this.#look.labels.values()].map(({ text }) => text.length));
    this.canvas.style.setProperty("--label", String(Math.min(24, widest)));
    this.scroller.classList.toggle("wrap", view.wrap);
  }

  /** @param {number} row */
  #make(row) {
    const { source } = this;
    const total = source?.total ?? 0;
    const line = source?.at(row);
    if (!line) return emptyRow(row, total);
    const group = this.#folds.sizeOfGroup(row);
    const section = line.section?.kind === "start" && source?.byNumber === true && this.#look.labels.size === 0;
    const place = placeOf(line);
    const element = lineRow(line, {
      row,
      total,
      previous: source?.at(row - 1),
      chosen: chosenBy(this.view?.line ?? "", line),
      current: place === this.places.current,
      isMatch: this.places.search.places.has(place),
      group,
      open: section ? !this.#folds.sections.has(row) : this.#folds.isOpen(line),
      foldable: section,
    }, this.#look);
    this.#drawn.set(element, line);
    return element;
  }

  /** Opens what hides a row. @param {number} row */
  async unfold(row) {
    for (const [head, { from, to }] of this.#folds.sections) {
      if (row >= from && row < to) await this.#turnSection(head);
    }
    const line = this.source?.at(row);
    if (line?.group !== undefined && line.group !== line.seq && !this.#folds.isOpen(line)) this.#turnGroup(row, line);
  }

  /** Draws a line again, if it is in sight. @param {string} place */
  redraw(place) {
    if (!place) return;
    this.viewport.invalidate(0, Number.MAX_SAFE_INTEGER, (element) => element.dataset["place"] === place);
  }

  /** Sees to it that the line of a row is here. @param {number} row */
  async fetchRow(row) {
    if (!this.source?.at(row)) await this.source?.open({ start: row });
  }

  /** @param {number} row @param {Line} line */
  #turnGroup(row, line) {
    this.#folds.turn(line);
    const reach = Math.max(BEFORE, this.#folds.sizeOfGroup(row)) + BEFORE;
    this.#arrange(Math.max(0, row - 5000), row + reach);
    this.viewport.invalidate(0, Number.MAX_SAFE_INTEGER);
  }

  /** @param {number} row */
  async #turnSection(row) {
    const { source } = this;
    if (!this.run || !this.view || !source) return;
    const folded = this.#folds.sections.get(row);
    if (folded) {
      this.#folds.sections.delete(row);
      this.viewport.adjust((heights) => heights.setRange(folded.from, folded.to, ROW));
      this.#arrange(folded.from, folded.to);
    } else {
      const sections = new Sections(this.run.pipeline_run_id, selectionOf(this.run, this.view));
      const { opening } = this;
      const extent = await sections.extent(row, source.total);
      if (opening !== this.opening) return;
      this.#folds.sections.set(row, extent);
      this.viewport.adjust((heights) => heights.setRange(extent.from, extent.to, 0));
    }
    this.viewport.invalidate(row, row + 1);
  }

  /** The search knows more. */
  searched() {
    const { places } = this.places.search;
    this.viewport.invalidate(0, Number.MAX_SAFE_INTEGER, (element) => places.has(element.dataset["place"] ?? "") && !element.querySelector("mark"));
    this.told.search();
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const element = /** @type {HTMLElement | null} */ (target.closest("[data-row]"));
    const row = Number(element?.dataset["row"]);
    const line = element && this.source?.at(row);
    if (!line) return;
    const does = /** @type {HTMLElement | null} */ (target.closest("[data-does]"))?.dataset["does"];
    if (does === "group") this.#turnGroup(row, line);
    else if (does === "section") void this.#turnSection(row).catch((error) => this.told.failed(error));
    else if (does === "long") {
      this.#look.long.add(placeOf(line));
      this.viewport.invalidate(row, row + 1);
    } else if (does === "whole") this.told.whole(line);
    else if (target.closest(".number") && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      const from = this.view?.line ?? "";
      if (event.shiftKey) document.getSelection()?.removeAllRanges();
      this.told.view({ line: event.shiftKey ? extended(from, line) : from === placeOf(line) ? "" : placeOf(line) });
    }
  }
}

/** @param {View} left @param {View} right */
function sameSearch(left, right) {
  return left.query === right.query && left.regex === right.regex && left.matchCase === right.matchCase;
}

/** @param {import("./rows.js").Look} look */
function labelled({ labels }) {
  return [...labels].map(([writer, { text }]) => `${writer} ${text}`).join("\n");
}
