/**
 * Errors of the whole log, from each to the next. A search for a level, where the lines of one
 * traceback count once. Draws nothing and moves nothing.
 */

import { Search } from "./search.js";
import { conditionsOf, selectionOf } from "./selection.js";
import { count } from "./words.js";

/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./types.js").Position} Position */
/** @typedef {import("./state.js").View} View */

export class Errors {
  /** @param {(error: unknown) => void} failed */
  constructor(failed) {
    this.search = new Search(() => {}, failed);
    /** Lines there were when they were looked for. */
    this.of = -1;
    this.#found = Promise.resolve(false);
  }

  /** @type {Promise<boolean>} */
  #found;

  clear() {
    this.of = -1;
    this.search.clear();
  }

  /** Looks for them, if there may be others than before. @param {Run} run @param {View} view @param {number} total @returns {Promise<boolean>} */
  ready(run, view, total) {
    if (this.of !== total) this.#found = this.#find(run, view, total);
    return this.#found;
  }

  /** @param {Run} run @param {View} view @param {number} total */
  async #find(run, view, total) {
    this.of = total;
    const conditions = { ...selectionOf(run, view), ...conditionsOf(view), level: "error" };
    if (!(await this.search.start(run.pipeline_run_id, conditions))) {
      this.of = -1;
      return false;
    }
    this.search.positions = headsOnly(this.search.positions);
    return true;
  }

  /** @param {number} number @param {string} place @param {1 | -1} step */
  next(number, place, step) {
    return this.search.next(number, place, step);
  }

  /** Which one it is. */
  get words() {
    const { at, positions } = this.search;
    return positions.length === 0 ? "No errors here" : `Error ${count(at + 1)} of ${count(positions.length)}`;
  }
}

/** Errors that follow each other line by line are one: the lines of a traceback. @param {Position[]} positions */
function headsOnly(positions) {
  return positions.filter((position, at) => {
    const before = positions[at - 1];
    return !(before && before.writer === position.writer && before.seq + 1 === position.seq);
  });
}
