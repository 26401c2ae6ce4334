/**
 * Lines by number: a log of any length of which only the windows around what is read are held. Fetches
 * what is wanted, drops what was wanted longest ago, gives up requests for what has been scrolled past.
 * Knows no element.
 */

import { get, isAbort, runPath } from "./api.js";
import { split } from "./place.js";

/** Lines of a window; one request. */
const WINDOW = 500;
/** Windows that are held. */
const MOST_WINDOWS = 60;
/** Lines beyond those in sight that are fetched ahead. */
const AHEAD = 200;
/** Requests for one window: several streams are merged from a place near to what was asked for. */
const MOST_ROUNDS = 4;
/** Milliseconds after an error until the same window is asked for again. */
const AGAIN = 3000;

/** @typedef {import("./types.js").Line} Line */
/** @typedef {import("./types.js").Window} Window */
/** @typedef {{ start?: number, around?: string }} Where A number, negative from the end; or `writer:seq`. */

/**
 * Who is told of lines.
 * @typedef {object} Listener
 * @property {(from: number, to: number) => void} came Lines from `from` up to, not including, `to`.
 * @property {() => void} grew There are more (or fewer) lines than before.
 * @property {(rows: number) => void} before So many rows were put before all others.
 * @property {() => void} end Who reads on has come to the newest line.
 * @property {(error: unknown) => void} failed
 * @property {(troubles: import("./types.js").Trouble[]) => void} troubled
 */

export class Numbered {
  /** @param {string} run @param {import("./api.js").Parameters} query @param {Listener} listener */
  constructor(run, query, listener) {
    this.path = linesPath(run);
    this.query = query;
    this.listener = listener;
    this.total = 0;
    this.complete = false;
    /** Rows are numbers of lines. */
    this.byNumber = true;
    /** Every line has a row. */
    this.isWhole = true;
  }

  /** By number; the most recently used last. @type {Map<number, (Line | undefined)[]>} */
  #windows = new Map();
  /** @type {Map<number, AbortController>} */
  #flights = new Map();
  /** @type {Map<number, number>} */
  #failed = new Map();
  #closed = false;
  /** Where the newest line known ends. @type {string | undefined} */
  #end;
  /** What is in sight. @type {[number, number]} */
  #wanted = [0, 0];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #again;

  /** The line of a row, if it is here. @param {number} row @returns {Line | undefined} */
  at(row) {
    return this.#windows.get(Math.floor(row / WINDOW))?.[row % WINDOW];
  }

  /** Rows whose lines may be here: from, and up to but not including. @returns {[number, number][]} */
  pieces() {
    return [...this.#windows.keys()].map((window) => [window * WINDOW, Math.min(this.total, (window + 1) * WINDOW)]);
  }

  /** All lines are there. */
  get atEnd() {
    return true;
  }

  /** Where a stream goes on from the newest line; undefined: nothing more comes. An answer may stop short of it. */
  async findEnd() {
    for (let ask = windowAt({ start: -1 }); this.#end === undefined && !this.#closed;) {
      const answer = await this.#fetch(ask);
      this.#take(answer);
      if (!answer.after) break;
      if (answer.items.length === 0) this.#end = answer.after;
      ask = { cursor: answer.after, count: WINDOW };
    }
    return this.#end;
  }

  /** The row of a line that is here. @param {string} writer @param {number} seq */
  rowOf(writer, seq) {
    for (const [number, lines] of this.#windows) {
      const at = lines.findIndex((line) => line?.seq === seq && line.writer === writer);
      if (at >= 0) return number * WINDOW + at;
    }
    return undefined;
  }

  /**
   * Fetches lines from a number, or around a place, and says at which row they are.
   * @param {Where} where
   * @returns {Promise<number>}
   */
  async open(where) {
    const answer = await this.#fetch(windowAt(where));
    // What stands before the place is read with it; nothing is told before both are here, so nothing else is seen.
    const before = where.around && answer.before ? await this.#fetch({ cursor: answer.before, count: -AHEAD }) : undefined;
    this.#take(answer);
    if (before) this.#take(before);
    if (where.around) {
      const [writer = "", seq = ""] = split(where.around);
      return this.rowOf(writer, Number(seq)) ?? answer.start;
    }
    return answer.items[0]?.number ?? answer.start;
  }

  /** These rows are in sight. @param {number} first @param {number} last */
  want(first, last) {
    if (this.total === 0 || this.#closed) return;
    this.#wanted = [first, last];
    const from = Math.floor(Math.max(0, first - AHEAD) / WINDOW);
    const to = Math.floor(Math.min(this.total - 1, last + AHEAD) / WINDOW);
    for (const [number, flight] of this.#flights) {
      if (number < from - 1 || number > to + 1) flight.abort();
    }
    const sight = [Math.floor(first / WINDOW), Math.floor(last / WINDOW)];
    const numbers = [...new Set([...sight, ...range(from, to)])];
    for (const number of numbers) {
      if (number > to || this.#flights.has(number) || this.#isWhole(number)) continue;
      if (performance.now() - (this.#failed.get(number) ?? -AGAIN) < AGAIN) continue;
      void this.#fly(number);
    }
    for (const number of range(from, to)) this.#use(number);
  }

  /** Lines that have only just been written. @param {Line[]} lines @param {string} end Where they end. */
  append(lines, end) {
    this.#end = end;
    const from = this.total;
    for (const line of lines) {
      line.number ??= this.total;
      this.#put(line);
      this.total = Math.max(this.total, line.number + 1);
    }
    if (this.total !== from) this.listener.grew();
    this.listener.came(Math.min(from, lines[0]?.number ?? from), this.total);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#again);
    for (const flight of this.#flights.values()) flight.abort();
  }

  /** @param {number} number */
  #isWhole(number) {
    return this.#firstMissing(number) === undefined;
  }

  /** @param {number} number */
  #firstMissing(number) {
    const lines = this.#windows.get(number);
    const first = number * WINDOW;
    if (!lines) return first;
    const rows = Math.min(WINDOW, this.total - first);
    for (let at = 0; at < rows; at += 1) if (!lines[at]) return first + at;
    return undefined;
  }

  /** @param {number} number */
  async #fly(number) {
    const flight = new AbortController();
    this.#flights.set(number, flight);
    try {
      await this.#fill(number, flight.signal);
      this.#failed.delete(number);
    } catch (error) {
      if (isAbort(error) || this.#closed) return;
      this.#failed.set(number, performance.now());
      clearTimeout(this.#again);
      this.#again = setTimeout(() => this.want(...this.#wanted), AGAIN + 1);
      this.listener.failed(error);
    } finally {
      if (this.#flights.get(number) === flight) this.#flights.delete(number);
    }
  }

  /** Asks until the whole window is there. @param {number} number @param {AbortSignal} signal */
  async #fill(number, signal) {
    const end = Math.min((number + 1) * WINDOW, this.total);
    const start = this.#firstMissing(number) ?? end;
    /** @type {import("./api.js").Parameters} */
    let ask = { start, count: end - start };
    for (let round = 0; round < MOST_ROUNDS; round += 1) {
      const answer = await this.#fetch(ask, signal);
      this.#take(answer);
      if (this.#isWhole(number) || answer.items.length === 0) return;
      const first = answer.items[0]?.number ?? answer.start;
      const last = first + answer.items.length;
      if (first > start && answer.before) ask = { cursor: answer.before, count: -Math.min(2000, first - start) };
      else if (last < end && answer.after) ask = { cursor: answer.after, count: Math.min(2000, end - last) };
      else return;
    }
  }

  /** @param {import("./api.js").Parameters} ask @param {AbortSignal} [signal] @returns {Promise<Window>} */
  #fetch(ask, signal) {
    return get(this.path, { ...this.query, ...ask }, signal);
  }

  /** @param {Window} answer */
  #take(answer) {
    if (this.#closed) return;
    let number = answer.items[0]?.number ?? answer.start;
    const from = number;
    for (const line of answer.items) {
      line.number ??= number;
      number = line.number + 1;
      this.#put(line);
    }
    const total = Math.max(answer.total, number, this.complete ? 0 : this.total);
    this.complete = answer.complete;
    if (number >= total && answer.after) this.#end = answer.after;
    if (total !== this.total) {
      this.total = total;
      this.listener.grew();
    }
    if (answer.troubles?.length) this.listener.troubled(answer.troubles);
    this.listener.came(from, number);
  }

  /** @param {Line} line */
  #put(line) {
    const number = line.number ?? 0;
    const window = Math.floor(number / WINDOW);
    let lines = this.#windows.get(window);
    if (!lines) {
      lines = new Array(WINDOW).fill(undefined);
      this.#windows.set(window, lines);
      for (const oldest of this.#windows.keys()) {
        if (this.#windows.size <= MOST_WINDOWS) break;
        this.#windows.delete(oldest);
      }
    }
    lines[number % WINDOW] = line;
  }

  /** @param {number} number */
  #use(number) {
    const lines = this.#windows.get(number);
    if (!lines) return;
    this.#windows.delete(number);
    this.#windows.set(number, lines);
  }
}

/** @param {string} run */
export function linesPath(run) {
  return `${runPath(run)}/lines`;
}

/** What is asked for first. @param {Where} where @returns {import("./api.js").Parameters} */
export function windowAt(where) {
  return { ...where, count: WINDOW };
}

/** @param {number} from @param {number} to */
function range(from, to) {
  /** @type {number[]} */
  const numbers = [];
  for (let number = from; number <= to; number += 1) numbers.push(number);
  return numbers;
}
