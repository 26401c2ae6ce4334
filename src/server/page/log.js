/**
 * The log: lines of the selection in the viewport, kept in step with the view. Joins what the other modules
 * do: lines.js or matching.js fetch, folds.js hides, rows.js draws, viewport.js scrolls, follow.js brings
 * what is new. What is around it (bar, header, tree) is told through `Told`, and lives in main.js.
 */

import { isAbort, Problem } from "./api.js";
import { listenForCopies } from "./copy.js";
import { Errors } from "./errors.js";
import { Folds } from "./folds.js";
import { Follow } from "./follow.js";
import { Numbered } from "./lines.js";
import { lookOf } from "./look.js";
import { Matching } from "./matching.js";
import { firstError, whereToBegin } from "./opening.js";
import { chosenBy, extended, firstOf, placeOf, split } from "./place.js";
import { emptyRow, lineRow } from "./rows.js";
import { Search } from "./search.js";
import { Sections } from "./sections.js";
import { choose, conditionsOf, formOf, isFiltered, searchOf, selectionOf } from "./selection.js";
import { Viewport } from "./viewport.js";

/** @typedef {import("./types.js").Line} Line */
/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./types.js").Position} Position */
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
    this.search = new Search(() => this.#searched(), (error) => told.failed(error));
    this.errors = new Errors((error) => told.failed(error));
    this.viewport = new Viewport(scroller, canvas, {
      make: (row) => this.#make(row),
      shown: (first, last) => this.source?.want(first, last),
      moved: (byReader) => this.#moved(byReader),
    }, ROW);
    /** @type {Numbered | Matching | undefined} */
    this.source = undefined;
    /** The place that was gone to. */
    this.current = "";
    /** Lines that came below what is in sight. */
    this.unseen = 0;
    /** @type {"off" | "on" | "paused" | "broken"} */
    this.live = "off";
    this.opening = 0;
    canvas.addEventListener("click", (event) => this.#clicked(event));
    listenForCopies(canvas, () => this.source, (row) => this.viewport.heights.of(row) === 0, (row) => this.#fetchRow(row), told.say);
  }

  /** @type {Follow | undefined} */
  #follow;
  #folds = new Folds({ total: 0, at: () => undefined });
  /** @type {import("./rows.js").Look} */
  #look = { time: "off", start: 0, labels: new Map(), find: () => [], onlyMatches: false, long: new Set(), progress: false };
  /** @type {Run | undefined} */
  #run;
  /** @type {View | undefined} */
  #view;
  /** @type {WeakMap<HTMLElement, Line>} */
  #drawn = new WeakMap();
  /** How often the reader has gone somewhere. */
  #turns = 0;

  /** Shows a selection, at the place of the view, or where it went wrong, or at its end while it runs. @param {Run} run @param {View} view @param {{ keep?: boolean }} [options] `keep`: at what is in sight now. */
  async open(run, view, { keep = false } = {}) {
    const here = keep ? this.#placeInSight() : undefined;
    const stay = keep && this.viewport.pinned;
    this.close();
    const opening = ++this.opening;
    this.#run = run;
    this.#view = view;
    const chosen = choose(run, view);
    const selection = selectionOf(run, view);
    const listener = {
      came: (/** @type {number} */ from, /** @type {number} */ to) => opening === this.opening && this.#came(from, to),
      grew: () => opening === this.opening && this.#grew(),
      before: (/** @type {number} */ rows) => opening === this.opening && this.#before(rows),
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
    this.viewport.reset(0, ROW);
    /** @type {import("./lines.js").Where} */
    const where = stay ? { start: -500 } : here ? { around: here } : await whereToBegin(run, view, chosen);
    if (opening !== this.opening) return;
    const row = await source.open(where);
    if (opening !== this.opening) return;
    const isEnd = where.around === undefined && (where.start ?? 0) < 0;
    if (isEnd) this.#goToEnd();
    else if (where.around && !here) await this.#show(row, where.around);
    else this.viewport.goTo(row, "top");
    this.viewport.pinned = isEnd && chosen.open;
    if (view.query) void this.startSearch(run, view, { go: !keep && !view.line });
    if (chosen.open) void this.#startFollowing(source, chosen, opening);
  }

  close() {
    this.opening += 1;
    this.source?.close();
    this.#follow?.close();
    this.#follow = undefined;
    this.search.clear();
    this.errors.clear();
    this.current = "";
    this.unseen = 0;
    this.live = "off";
    this.viewport.pinned = false;
    this.source = undefined;
    this.viewport.reset(0, ROW);
  }

  /** Lines look different now; the same lines. @param {Run} run @param {View} view */
  restyle(run, view) {
    this.#run = run;
    const before = this.#view;
    this.#view = view;
    this.#setLook(run, view, choose(run, view));
    this.#folds.progress = view.progress;
    if (this.#folds.unfolded !== view.unfolded) {
      this.#folds.unfolded = view.unfolded;
      this.#folds.turned.clear();
      this.#arrange(0, this.source?.total ?? 0);
    }
    if (before?.wrap !== view.wrap) {
      this.viewport.relayout(ROW, view.wrap);
      this.#arrange(0, this.source?.total ?? 0);
    }
    this.viewport.invalidate(0, Number.MAX_SAFE_INTEGER);
    if (before?.time !== view.time || before.wrap !== view.wrap) this.viewport.relayout(ROW, view.wrap);
  }

  /** Searches, and goes to the first match unless the reader has gone elsewhere by then. @param {Run} run @param {View} view @param {{ go: boolean }} options */
  async startSearch(run, view, { go }) {
    const turns = this.#turns;
    this.#view = view;
    this.#setLook(run, view, choose(run, view));
    this.viewport.invalidate(0, Number.MAX_SAFE_INTEGER);
    if (!view.query) {
      this.search.clear();
      this.#searched();
      return;
    }
    const done = await this.search.start(run.pipeline_run_id, { ...selectionOf(run, view), ...conditionsOf(view), ...searchOf(view) });
    if (done && go && turns === this.#turns) this.goToNearestMatch();
  }

  goToNearestMatch() {
    const number = this.#numberInSight();
    if (!this.search.covers(number)) return void this.nextMatch(1);
    const position = this.search.nearest(number);
    if (position) void this.#reveal(position);
    this.told.search();
  }

  /** @param {1 | -1} step */
  async nextMatch(step) {
    const turn = ++this.#turns;
    const number = this.#numberOfCurrent(step);
    const position = this.search.covers(number) ? this.search.next(number, step) : await this.#matchBeside(step);
    if (position && turn === this.#turns) await this.#reveal(position);
    this.told.search();
  }

  /** @param {1 | -1} step */
  async #matchBeside(step) {
    if (!this.#run || !this.#view) return undefined;
    const conditions = { ...conditionsOf(this.#view), ...searchOf(this.#view) };
    try {
      return await this.search.beside(this.#run.pipeline_run_id, selectionOf(this.#run, this.#view), conditions, this.place, step);
    } catch (error) {
      this.told.failed(error);
      return undefined;
    }
  }

  /** @param {1 | -1} step */
  async nextError(step) {
    const turn = ++this.#turns;
    if (!this.#run || !this.#view) return;
    if (!(await this.errors.ready(this.#run, this.#view, this.source?.total ?? 0))) return;
    // Meanwhile the reader may have gone elsewhere.
    if (turn !== this.#turns) return;
    const position = this.errors.next(this.#numberOfCurrent(step), step);
    if (position) await this.#reveal(position);
    this.told.say(this.errors.words);
  }

  async goToFirstError() {
    const turn = ++this.#turns;
    if (!this.#run || !this.#view) return;
    this.viewport.pinned = false;
    const line = await this.#firstError(this.#run, this.#view);
    if (line && turn === this.#turns) await this.#reveal({ number: -1, writer: line.writer, seq: line.seq, time: line.time });
  }

  /** @param {number} row */
  goToRow(row) {
    this.#turns += 1;
    this.viewport.pinned = false;
    this.viewport.goTo(Math.max(0, Math.min(row, (this.source?.total ?? 1) - 1)), "middle");
  }

  goToTop() {
    this.#turns += 1;
    this.current = "";
    if (this.source instanceof Matching) return void this.#reopen({ start: 0 });
    this.viewport.pinned = false;
    this.viewport.goTo(0, "top");
  }

  goToBottom() {
    this.#turns += 1;
    this.current = "";
    if (this.source instanceof Matching && !this.source.atEnd) return void this.#reopen({ start: -1 });
    this.viewport.pinned = this.live !== "off";
    this.#goToEnd();
    this.#moved(false);
  }

  /** Follows, or pauses. */
  toggleFollowing() {
    if (this.live === "off") return this.told.say("Nothing more comes: this log has ended");
    if (this.viewport.pinned) {
      this.viewport.pinned = false;
      this.#moved(false);
    } else this.goToBottom();
  }

  /** @param {1 | -1} step */
  async nextSection(step) {
    const turn = ++this.#turns;
    if (!this.#run || !this.#view || !(this.source instanceof Numbered)) return;
    const sections = new Sections(this.#run.pipeline_run_id, selectionOf(this.#run, this.#view));
    const marks = (await sections.marks()).filter(({ kind }) => kind !== "end");
    if (turn !== this.#turns) return;
    const here = this.#numberOfCurrent(step);
    const mark = step > 0 ? marks.find(({ row }) => row > here) : marks.findLast(({ row }) => row < here);
    if (!mark) return this.told.say(step > 0 ? "No section below" : "No section above");
    await this.#fetchRow(mark.row);
    if (turn === this.#turns) await this.#show(mark.row, "");
  }

  /** The line of the address has changed. @param {View} view */
  async choose(view) {
    if (!this.#view || this.#view.line === view.line) return;
    this.#view = view;
    this.viewport.invalidate(0, Number.MAX_SAFE_INTEGER);
    const place = firstOf(view.line);
    if (!place) return;
    const [writer, seq] = split(place);
    await this.#reveal({ number: -1, writer, seq: Number(seq), time: "" });
  }

  /** Why nothing is shown can only be said when it is known that there is nothing. */
  get isEmpty() {
    return this.source !== undefined && this.source.total === 0;
  }

  /** `writer:seq` of the line that was gone to, or the first in sight. */
  get place() {
    return this.#rowOfCurrent() === undefined ? (this.#placeInSight() ?? "") : this.current;
  }

  /** @param {Run} run @param {View} view @returns {Promise<Line | undefined>} */
  async #firstError(run, view) {
    try {
      return await firstError(run, view);
    } catch (error) {
      this.told.failed(error);
      return undefined;
    }
  }

  /** @param {{ start: number }} where */
  async #reopen(where) {
    if (!(this.source instanceof Matching)) return;
    this.viewport.reset(0, ROW);
    const row = await this.source.open(where);
    if (where.start < 0) this.#goToEnd();
    else this.viewport.goTo(row, "top");
  }

  /** @param {Numbered | Matching} source @param {import("./selection.js").Chosen} chosen @param {number} opening */
  async #startFollowing(source, chosen, opening) {
    if (!this.#run || !this.#view) return;
    if (source instanceof Matching && !source.atEnd) return;
    if (source.end === undefined && source instanceof Numbered) await source.open({ start: -500 });
    if (opening !== this.opening) return;
    this.live = "on";
    const query = { ...selectionOf(this.#run, this.#view), ...conditionsOf(this.#view) };
    this.#follow = new Follow(this.#run.pipeline_run_id, query, {
      lines: (lines) => this.#newLines(lines),
      streams: (streams) => this.told.streams(streams),
      trouble: (trouble) => this.told.troubled([trouble]),
      connected: (connected, error) => {
        this.live = connected ? "on" : "broken";
        // A connection that broke is taken up again; only what the server says needs words.
        if (error instanceof Problem && error.status > 0) this.told.failed(error);
        this.told.following();
      },
      ended: () => {
        this.live = "off";
        this.told.following();
        this.told.ended();
      },
    });
    this.told.following();
    void this.#follow.run(source.end);
    if (chosen.streams.length === 0) this.viewport.pinned = true;
  }

  /** @param {Line[]} lines */
  #newLines(lines) {
    if (!this.source || lines.length === 0) return;
    this.source.append(lines);
    if (!this.viewport.pinned) this.unseen += lines.length;
    this.told.following();
    this.told.place();
  }

  #goToEnd() {
    this.unseen = 0;
    this.viewport.goToEnd();
  }

  /** @param {boolean} byReader */
  #moved(byReader) {
    if (byReader) this.#turns += 1;
    if (byReader) this.viewport.pinned = this.live !== "off" && this.viewport.atEnd;
    if (this.viewport.atEnd) this.unseen = 0;
    this.told.following();
    this.told.place();
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
  }

  /** @param {number} from @param {number} to */
  #came(from, to) {
    this.#arrange(from, to);
    for (let row = Math.max(0, from - BEFORE); row < to; row += 1) {
      const element = this.viewport.element(row);
      if (!element) continue;
      const isNew = this.#drawn.get(element) !== this.source?.at(row);
      if (isNew || (row >= from - BEFORE && element.querySelector(".fold[data-does]"))) this.viewport.invalidate(row, row + 1);
    }
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
      chosen: chosenBy(this.#view?.line ?? "", line),
      current: place === this.current,
      isMatch: this.search.places.has(place),
      group,
      open: section ? !this.#folds.sections.has(row) : this.#folds.isOpen(line),
      foldable: section,
    }, this.#look);
    this.#drawn.set(element, line);
    return element;
  }

  /** Goes to a place, and opens what hides it. @param {Position} position */
  async #reveal(position) {
    const { source } = this;
    if (!source) return;
    this.viewport.pinned = false;
    const place = `${position.writer}:${position.seq}`;
    let row = source.rowOf(position.writer, position.seq);
    if (row === undefined) {
      const [opening, turn] = [this.opening, this.#turns];
      try {
        if (source instanceof Matching) this.viewport.reset(0, ROW);
        row = await source.open({ around: place });
      } catch (error) {
        if (!isAbort(error)) this.told.failed(error);
        return;
      }
      if (opening !== this.opening || turn !== this.#turns) return;
    }
    await this.#show(row, place);
  }

  /** @param {number} row @param {string} place */
  async #show(row, place) {
    const line = this.source?.at(row);
    for (const [head, { from, to }] of this.#folds.sections) {
      if (row >= from && row < to) await this.#turnSection(head);
    }
    if (line?.group !== undefined && line.group !== line.seq && !this.#folds.isOpen(line)) this.#turnGroup(row, line);
    const before = this.current;
    this.current = place || (line ? placeOf(line) : "");
    this.viewport.goTo(row, "near");
    this.#redraw(before);
    this.#redraw(this.current);
    this.told.search();
  }

  /** @param {string} place */
  #redraw(place) {
    if (!place) return;
    for (const element of /** @type {NodeListOf<HTMLElement>} */ (this.canvas.querySelectorAll("[data-place]"))) {
      const row = Number(element.dataset["row"]);
      if (element.dataset["place"] === place) this.viewport.invalidate(row, row + 1);
    }
  }

  /** @param {number} row */
  async #fetchRow(row) {
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
    if (!this.#run || !this.#view || !source) return;
    const folded = this.#folds.sections.get(row);
    if (folded) {
      this.#folds.sections.delete(row);
      this.viewport.adjust((heights) => heights.setRange(folded.from, folded.to, ROW));
      this.#arrange(folded.from, folded.to);
    } else {
      const sections = new Sections(this.#run.pipeline_run_id, selectionOf(this.#run, this.#view));
      const extent = await sections.extent(row, source.total);
      this.#folds.sections.set(row, extent);
      this.viewport.adjust((heights) => heights.setRange(extent.from, extent.to, 0));
    }
    this.viewport.invalidate(row, row + 1);
  }

  /** The search knows more. */
  #searched() {
    for (const element of /** @type {NodeListOf<HTMLElement>} */ (this.canvas.querySelectorAll("[data-place]"))) {
      if (this.search.places.has(element.dataset["place"] ?? "") && !element.querySelector("mark")) {
        const row = Number(element.dataset["row"]);
        this.viewport.invalidate(row, row + 1);
      }
    }
    this.told.search();
  }

  /** The number to go on from: of the line that was gone to, unless it has been scrolled away from. @param {1 | -1} step */
  #numberOfCurrent(step) {
    const row = this.#rowOfCurrent();
    const number = row === undefined ? undefined : this.source?.at(row)?.number;
    return number ?? (step > 0 ? this.#numberInSight() - 1 : this.#numberInSight());
  }

  /** The row that was gone to, if it is in sight. */
  #rowOfCurrent() {
    if (!this.current) return undefined;
    const [writer, seq] = split(this.current);
    const row = this.source?.rowOf(writer, Number(seq));
    return row !== undefined && row >= this.viewport.first && row <= this.viewport.last ? row : undefined;
  }

  #numberInSight() {
    const row = this.viewport.first;
    return this.source?.at(row)?.number ?? row;
  }

  #placeInSight() {
    const line = this.source?.at(this.viewport.first);
    return line && placeOf(line);
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
      const from = this.#view?.line ?? "";
      if (event.shiftKey) document.getSelection()?.removeAllRanges();
      this.told.view({ line: event.shiftKey ? extended(from, line) : from === placeOf(line) ? "" : placeOf(line) });
    }
  }
}
