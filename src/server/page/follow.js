/**
 * Lines as they are written: one connection of Server-Sent Events, taken up again where it was when it
 * breaks. Knows nothing of rows or scrolling.
 */

import { events, isAbort, Problem, problemOf, runPath } from "./api.js";

/** Milliseconds before the first try after a break, and at most. */
const FIRST_WAIT = 500;
const MOST_WAIT = 15_000;
/**
 * Milliseconds of silence after which a connection has broken, though nobody says so: the machine slept, its network
 * was left. The server says something every 15 s.
 */
const SILENCE = 40_000;

/**
 * @typedef {object} Listener
 * @property {(lines: import("./types.js").Line[]) => void} lines
 * @property {(streams: import("./types.js").Stream[]) => void} streams
 * @property {(trouble: import("./types.js").Trouble) => void} trouble
 * @property {(status: string) => void} ended
 * @property {(connected: boolean, error?: unknown) => void} connected
 */

export class Follow {
  /** @param {string} run @param {import("./api.js").Parameters} query @param {Listener} listener */
  constructor(run, query, listener) {
    this.path = `${runPath(run)}/logs/stream`;
    this.query = query;
    this.listener = listener;
    this.stop = new AbortController();
  }

  /** @param {string | undefined} after Where what is known ends. */
  async run(after) {
    let last = "";
    let wait = FIRST_WAIT;
    while (!this.stop.signal.aborted) {
      try {
        const parameters = { ...this.query, after: last ? undefined : after };
        for await (const event of events(this.path, parameters, this.stop.signal, { lastId: last, silence: SILENCE })) {
          this.listener.connected(true);
          wait = FIRST_WAIT;
          if (event.id) last = event.id;
          if (this.#take(event)) return;
        }
        throw new Error("the server ended the connection");
      } catch (error) {
        if (isAbort(error) || this.stop.signal.aborted) return;
        this.listener.connected(false, error);
        if (isFinal(error)) return;
      }
      await pause(wait, this.stop.signal);
      wait = Math.min(wait * 2, MOST_WAIT);
    }
  }

  close() {
    this.stop.abort();
  }

  /** @param {import("./api.js").ServerEvent} event @returns {boolean} Whether it was the last. */
  #take(event) {
    const data = JSON.parse(event.data);
    if (event.event === "lines") this.listener.lines(data.items);
    else if (event.event === "streams") this.listener.streams(data.streams);
    else if (event.event === "trouble") this.listener.trouble(data);
    else if (event.event === "problem") throw problemOf(data);
    else if (event.event === "end") {
      this.listener.ended(data.status);
      return true;
    }
    return false;
  }
}

/** To ask again would give the same answer. @param {unknown} error */
function isFinal(error) {
  return error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429;
}

/** Ends early when the machine has a network again. @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((done) => {
    const over = new AbortController();
    const end = () => {
      clearTimeout(timer);
      over.abort();
      done();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end, { signal: over.signal });
    addEventListener("online", end, { signal: over.signal });
  });
}
