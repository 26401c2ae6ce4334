/**
 * Lines as they are written: one connection of Server-Sent Events, taken up again where it was when it
 * breaks. Knows nothing of rows or scrolling.
 */

import { events, Problem, problemOf, runPath } from "./api.js";

/** Milliseconds before the first try after a break, and at most. */
const FIRST_WAIT = 500;
const MOST_WAIT = 15_000;
/**
 * Milliseconds of silence after which a connection has broken, though nobody says so: the machine slept, its network
 * was left. The server says something every 15 s.
 */
const SILENCE = 40_000;
/** Milliseconds until a page that nobody sees lets go: a browser has six connections to a server, in all its tabs. */
const UNSEEN = 20_000;

/**
 * @typedef {object} Listener
 * @property {(lines: import("./types.js").Line[], end: string) => void} lines And where they end.
 * @property {(streams: import("./types.js").Stream[]) => void} streams
 * @property {(trouble: import("./types.js").Trouble) => void} trouble
 * @property {() => void} ended
 * @property {(connected: boolean, error?: unknown) => void} connected
 */

export class Follow {
  /** @param {string} run @param {import("./api.js").Parameters} query @param {Listener} listener */
  constructor(run, query, listener) {
    this.path = `${runPath(run)}/logs/stream`;
    this.query = query;
    this.listener = listener;
    this.stop = new AbortController();
    document.addEventListener("visibilitychange", () => this.#look(), { signal: this.stop.signal });
  }

  #connection = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #unseen;

  /** @param {() => Promise<string | undefined>} end Where what is known ends; undefined: nothing more comes. */
  async run(end) {
    /** @type {string | undefined} */
    let last;
    let wait = FIRST_WAIT;
    while (!this.stop.signal.aborted) {
      this.#connection = new AbortController();
      this.#look();
      try {
        last ??= await end();
        if (this.stop.signal.aborted) return;
        if (last === undefined) return this.listener.ended();
        const signal = AbortSignal.any([this.stop.signal, this.#connection.signal]);
        for await (const event of events(this.path, this.query, signal, { lastId: last, silence: SILENCE })) {
          if (signal.aborted) break;
          this.listener.connected(true);
          wait = FIRST_WAIT;
          if (event.id) last = event.id;
          if (this.#take(event)) return;
        }
        signal.throwIfAborted();
        throw new Error("the server ended the connection");
      } catch (error) {
        if (this.stop.signal.aborted) return;
        if (this.#connection.signal.aborted) {
          if (document.hidden) await pause(undefined, this.stop.signal);
          continue;
        }
        this.listener.connected(false, error);
        if (isFinal(error)) return this.stop.signal.aborted ? undefined : this.listener.ended();
      }
      await pause(wait, this.stop.signal);
      wait = Math.min(wait * 2, MOST_WAIT);
    }
  }

  close() {
    this.stop.abort();
    clearTimeout(this.#unseen);
  }

  #look() {
    clearTimeout(this.#unseen);
    if (document.hidden) this.#unseen = setTimeout(() => this.#connection.abort(), UNSEEN);
  }

  /** @param {import("./api.js").ServerEvent} event @returns {boolean} Whether it was the last. */
  #take(event) {
    const data = JSON.parse(event.data);
    if (event.event === "lines") this.listener.lines(data.items, event.id);
    else if (event.event === "streams") this.listener.streams(data.streams);
    else if (event.event === "trouble") this.listener.trouble(data);
    else if (event.event === "problem") throw problemOf(data);
    else if (event.event === "end") {
      this.listener.ended();
      return true;
    }
    return false;
  }
}

/** To ask again would give the same answer. @param {unknown} error */
function isFinal(error) {
  return error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429;
}

/** Ends early when the machine has a network again, or the page is looked at. @param {number | undefined} ms @param {AbortSignal} signal @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((done) => {
    const over = new AbortController();
    const end = () => {
      clearTimeout(timer);
      over.abort();
      done();
    };
    const timer = ms === undefined ? undefined : setTimeout(end, ms);
    signal.addEventListener("abort", end, { signal: over.signal });
    addEventListener("online", end, { signal: over.signal });
    document.addEventListener("visibilitychange", () => document.hidden || end(), { signal: over.signal });
  });
}
