/**
 * Search over the whole log, on the server: how many lines match, where they are, and which is next. Keeps
 * positions, draws nothing and moves nothing.
 */

import { events, get, isAbort, Problem, problemOf, runPath } from "./api.js";
import { placeOf } from "./place.js";

/** Positions that are asked for. Beyond the last of them, one match is asked for at a time. */
const MOST = 10_000;

/** @typedef {import("./types.js").Position} Position */
/** @typedef {import("./types.js").Found} Found */

export class Search {
  /** @param {() => void} changed @param {(error: unknown) => void} failed */
  constructor(changed, failed) {
    this.changed = changed;
    this.failed = failed;
    /** @type {Position[]} */
    this.positions = [];
    /** @type {Set<string>} */
    this.places = new Set();
    this.matches = 0;
    this.complete = true;
    this.busy = false;
    this.asked = false;
    /** The match that was gone to; -1: none. */
    this.at = -1;
  }

  /** @type {AbortController | undefined} */
  #flight;

  /** Nothing is searched for. */
  clear() {
    this.#flight?.abort();
    this.positions = [];
    this.places = new Set();
    this.matches = 0;
    this.complete = true;
    this.busy = false;
    this.asked = false;
    this.at = -1;
  }

  /**
   * @param {string} run
   * @param {import("./api.js").Parameters} conditions
   * @returns {Promise<boolean>} Whether this search was not overtaken by another.
   */
  async start(run, conditions) {
    this.clear();
    const flight = new AbortController();
    this.#flight = flight;
    this.busy = true;
    this.asked = true;
    this.changed();
    try {
      /** @type {string | null | undefined} */
      let after;
      do {
        const found = await this.#ask(run, { ...conditions, limit: MOST, after }, flight.signal);
        this.#take(found);
        after = found.complete ? undefined : found.after;
        this.busy = Boolean(after) && this.positions.length < MOST;
        this.changed();
      } while (this.busy);
      return true;
    } catch (error) {
      if (isAbort(error)) return false;
      this.busy = false;
      this.complete = false;
      this.changed();
      this.failed(error);
      return false;
    }
  }

  /** Goes to the next match behind a line, or around to the first. @param {number} number @param {string} place Of several streams a number may be about right only. @param {1 | -1} step @returns {Position | undefined} */
  next(number, place, step) {
    const { positions } = this;
    if (positions.length === 0) return undefined;
    const here = positions[this.at];
    if (here && placeOf(here) === place) {
      this.at = (this.at + step + positions.length) % positions.length;
    } else {
      const behind = firstAfter(positions, number);
      this.at = step > 0 ? behind : firstAfter(positions, number - 1) - 1;
      this.at = (this.at + positions.length) % positions.length;
    }
    return positions[this.at];
  }

  /** Whether all matches up to behind a line are known. @param {number} number */
  covers(number) {
    const last = this.positions[this.positions.length - 1];
    return this.matches === this.positions.length || (last !== undefined && number < last.number);
  }

  /**
   * The match next to a line, where not all are known.
   * @param {string} run
   * @param {import("./api.js").Parameters} selection
   * @param {import("./api.js").Parameters} conditions
   * @param {string} place `writer:seq`
   * @param {1 | -1} step
   * @returns {Promise<Position | undefined>}
   */
  async beside(run, selection, conditions, place, step) {
    /** @type {import("./types.js").Window} */
    const here = await get(`${runPath(run)}/lines`, { ...selection, around: place, count: 1 });
    const from = step > 0 ? { after: here.after } : { before: here.before };
    /** @type {import("./types.js").Page} */
    const page = await get(`${runPath(run)}/logs`, { ...selection, ...conditions, ...from, limit: 1 });
    const line = page.items[0];
    this.at = -1;
    return line && { number: line.number ?? -1, writer: line.writer, seq: line.seq, time: line.time };
  }

  /** The first match at or behind a line, without going around. @param {number} number */
  nearest(number) {
    const at = firstAfter(this.positions, number - 1);
    this.at = at < this.positions.length ? at : this.positions.length - 1;
    return this.positions[this.at];
  }

  /** One answer; until it comes, how many matches there are so far. @param {string} run @param {import("./api.js").Parameters} query @param {AbortSignal} signal @returns {Promise<Found>} */
  async #ask(run, query, signal) {
    const before = this.matches;
    for await (const { event, data } of events(`${runPath(run)}/search`, query, signal)) {
      const answer = JSON.parse(data);
      if (event === "problem") throw problemOf(answer);
      this.matches = before;
      if (event === "result") return answer;
      this.matches += answer.matches;
      this.changed();
    }
    throw new Problem(0, "The search was broken off", "", "Search again.");
  }

  /** @param {Found} found */
  #take(found) {
    this.matches += found.matches;
    this.complete = found.complete;
    for (const position of found.positions) {
      this.positions.push(position);
      this.places.add(placeOf(position));
    }
  }
}

/** @param {Position[]} positions @param {number} number */
function firstAfter(positions, number) {
  let low = 0;
  let high = positions.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((positions[middle]?.number ?? 0) > number) high = middle;
    else low = middle + 1;
  }
  return low;
}
