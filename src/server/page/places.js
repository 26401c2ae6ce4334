/**
 * Where the reader is in the log, and the ways to be elsewhere: the next match, error or section, a line of the
 * address, either end. Opens what hides a line that is gone to. Fetches and draws through the log.
 */

import { isAbort } from "./api.js";
import { Errors } from "./errors.js";
import { Matching } from "./matching.js";
import { firstError } from "./opening.js";
import { placeOf, split } from "./place.js";
import { Search } from "./search.js";
import { Sections } from "./sections.js";
import { conditionsOf, searchOf, selectionOf } from "./selection.js";

/** @typedef {import("./types.js").Position} Position */

export class Places {
  /** @param {import("./log.js").Log} log */
  constructor(log) {
    this.log = log;
    this.search = new Search(() => log.searched(), (error) => log.told.failed(error));
    this.errors = new Errors((error) => log.told.failed(error));
    /** The place that was gone to. */
    this.current = "";
    /** How often the reader has gone somewhere: what was begun before is then of no use. */
    this.turns = 0;
  }

  clear() {
    this.search.clear();
    this.errors.clear();
    this.current = "";
  }

  /** `writer:seq` of the line that was gone to, or the first in sight. */
  get place() {
    return this.#currentInSight || (this.inSight ?? "");
  }

  get #currentInSight() {
    return this.#rowOfCurrent() === undefined ? "" : this.current;
  }

  /** `writer:seq` of the first line in sight. */
  get inSight() {
    const line = this.log.source?.at(this.log.viewport.first);
    return line && placeOf(line);
  }

  /** Counts a turn of the reader's, and waits until there is a log to go through. Another may have come by then. */
  async #turn() {
    const turn = ++this.turns;
    await this.log.whenOpen();
    return turn;
  }

  goToNearestMatch() {
    const number = this.#numberInSight();
    if (!this.search.covers(number)) return void this.nextMatch(1);
    const position = this.search.nearest(number);
    if (position) void this.reveal(position);
    this.log.told.search();
  }

  /** @param {1 | -1} step */
  async nextMatch(step) {
    const turn = await this.#turn();
    if (turn !== this.turns) return;
    const number = this.#numberOfCurrent(step);
    const position = this.search.covers(number) ? this.search.next(number, this.#currentInSight, step) : await this.#matchBeside(step);
    if (position && turn === this.turns) await this.reveal(position);
    this.log.told.search();
  }

  /** @param {1 | -1} step */
  async nextError(step) {
    const turn = await this.#turn();
    if (turn !== this.turns) return;
    const { run, view, source, told } = this.log;
    if (!run || !view) return;
    if (!(await this.errors.ready(run, view, source?.total ?? 0))) return;
    // Meanwhile the reader may have gone elsewhere.
    if (turn !== this.turns) return;
    const position = this.errors.next(this.#numberOfCurrent(step), this.#currentInSight, step);
    if (position) await this.reveal(position);
    told.say(this.errors.words);
  }

  async goToFirstError() {
    const turn = await this.#turn();
    if (turn !== this.turns) return;
    const { run, view, viewport, told } = this.log;
    if (!run || !view) return;
    viewport.pinned = false;
    try {
      const line = await firstError(run, view);
      if (line && turn === this.turns) await this.reveal({ number: -1, writer: line.writer, seq: line.seq, time: line.time });
    } catch (error) {
      told.failed(error);
    }
  }

  /** @param {1 | -1} step */
  async nextSection(step) {
    const turn = await this.#turn();
    if (turn !== this.turns) return;
    const { run, view, source, told } = this.log;
    if (!run || !view || !source?.byNumber) return;
    try {
      const marks = (await new Sections(run.pipeline_run_id, selectionOf(run, view)).marks()).filter(({ kind }) => kind !== "end");
      if (turn !== this.turns) return;
      const here = this.#numberOfCurrent(step);
      const mark = step > 0 ? marks.find(({ row }) => row > here) : marks.findLast(({ row }) => row < here);
      if (!mark) return told.say(step > 0 ? "No section below" : "No section above");
      await this.log.fetchRow(mark.row);
      if (turn === this.turns) await this.show(mark.row, "");
    } catch (error) {
      told.failed(error);
    }
  }

  /** @param {number} row */
  async goToRow(row) {
    if ((await this.#turn()) !== this.turns) return;
    const { source, viewport } = this.log;
    viewport.pinned = false;
    viewport.goTo(Math.max(0, Math.min(row, (source?.total ?? 1) - 1)), "middle");
  }

  async goToTop() {
    if ((await this.#turn()) !== this.turns) return;
    const { source, viewport } = this.log;
    this.current = "";
    viewport.pinned = false;
    if (source instanceof Matching) return this.log.reopen({ start: 0 });
    viewport.goTo(0, "top");
  }

  async goToBottom() {
    if ((await this.#turn()) !== this.turns) return;
    const { source, viewport, live } = this.log;
    this.current = "";
    if (source instanceof Matching && !source.atEnd) return this.log.reopen({ start: -1 });
    viewport.pinned = live.state !== "off";
    viewport.goToEnd();
    live.moved(false);
  }

  /** @param {string} place */
  async goTo(place) {
    if ((await this.#turn()) !== this.turns) return;
    const [writer, seq] = split(place);
    await this.reveal({ number: -1, writer, seq: Number(seq), time: "" });
  }

  /** Goes to a line, wherever it is, and opens what hides it. @param {Position} position */
  async reveal(position) {
    const { source, viewport, opening, told } = this.log;
    if (!source) return;
    viewport.pinned = false;
    const place = placeOf(position);
    const turn = this.turns;
    let row = source.rowOf(position.writer, position.seq);
    if (row === undefined) {
      try {
        row = await this.log.openAt({ around: place });
      } catch (error) {
        if (!isAbort(error)) told.failed(error);
        return;
      }
      if (row === undefined || opening !== this.log.opening || turn !== this.turns) return;
    }
    await this.show(row, place);
  }

  /** Goes to a row that is here. @param {number} row @param {string} place */
  async show(row, place) {
    const line = this.log.source?.at(row);
    await this.log.unfold(row);
    const before = this.current;
    this.current = place || (line ? placeOf(line) : "");
    this.log.viewport.goTo(row, "near");
    this.log.redraw(before);
    this.log.redraw(this.current);
    this.log.told.search();
  }

  /** Where not all matches are known. @param {1 | -1} step */
  async #matchBeside(step) {
    const { run, view, told } = this.log;
    if (!run || !view) return undefined;
    const conditions = { ...conditionsOf(view), ...searchOf(view) };
    try {
      return await this.search.beside(run.pipeline_run_id, selectionOf(run, view), conditions, this.place, step);
    } catch (error) {
      told.failed(error);
      return undefined;
    }
  }

  /** The number to go on from: of the line that was gone to, unless it has been scrolled away from. @param {1 | -1} step */
  #numberOfCurrent(step) {
    const row = this.#rowOfCurrent();
    const number = row === undefined ? undefined : this.log.source?.at(row)?.number;
    return number ?? (step > 0 ? this.#numberInSight() - 1 : this.#numberInSight());
  }

  /** The row that was gone to, if it is in sight. */
  #rowOfCurrent() {
    const { source, viewport } = this.log;
    if (!this.current) return undefined;
    const [writer, seq] = split(this.current);
    const row = source?.rowOf(writer, Number(seq));
    return row !== undefined && row >= viewport.first && row <= viewport.last ? row : undefined;
  }

  #numberInSight() {
    const { source, viewport } = this.log;
    return source?.at(viewport.first)?.number ?? viewport.first;
  }
}
