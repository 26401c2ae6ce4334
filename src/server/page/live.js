/**
 * Following: what is written while the log is open comes below its end, in sight or counted. Joins follow.js,
 * which has the connection, to the log; draws nothing.
 */

import { Problem } from "./api.js";
import { Follow } from "./follow.js";
import { conditionsOf, selectionOf } from "./selection.js";

/** @typedef {import("./types.js").Line} Line */

export class Live {
  /** @param {import("./log.js").Log} log */
  constructor(log) {
    this.log = log;
    /** @type {"off" | "on" | "broken"} */
    this.state = "off";
    /** Lines that came below what is in sight. */
    this.unseen = 0;
  }

  /** @type {Follow | undefined} */
  #follow;

  /** From where the lines that are held end. What was followed before is among them, or comes again. */
  start() {
    const { log } = this;
    const { run, source, view } = log;
    if (!run || !view || !source || this.state === "off") return;
    this.#follow?.close();
    this.#follow = new Follow(run.pipeline_run_id, { ...selectionOf(run, view), ...conditionsOf(view) }, {
      lines: (lines, end) => this.#came(lines, end),
      streams: (streams) => log.told.streams(streams),
      trouble: (trouble) => log.told.troubled([trouble]),
      connected: (connected, error) => {
        this.state = connected ? "on" : "broken";
        // A connection that broke is taken up again; only what the server says needs words.
        if (error instanceof Problem && error.status > 0) log.told.failed(error);
        log.told.following();
      },
      ended: () => {
        this.state = "off";
        log.told.following();
        log.told.ended();
      },
    });
    log.told.following();
    void this.#follow.run(() => source.findEnd());
  }

  close() {
    this.#follow?.close();
    this.#follow = undefined;
    this.unseen = 0;
    this.state = "off";
  }

  /** Follows, or pauses. */
  async toggle() {
    const { log } = this;
    await log.whenOpen();
    if (this.state === "off") return log.told.say("Nothing more comes: this log has ended");
    if (!log.viewport.pinned) return log.places.goToBottom();
    log.viewport.pinned = false;
    this.moved(false);
  }

  /** Something else is in sight; at the end, all has been seen. @param {boolean} byReader */
  moved(byReader) {
    const { source, told, viewport } = this.log;
    const isAtEnd = viewport.atEnd && source?.atEnd === true;
    if (byReader) viewport.pinned = this.state !== "off" && isAtEnd;
    if (isAtEnd) this.unseen = 0;
    told.following();
    told.place();
  }

  /** @param {Line[]} lines @param {string} end */
  #came(lines, end) {
    const { source, told, viewport } = this.log;
    if (!source || lines.length === 0) return;
    const { atEnd } = source;
    source.append(lines, end);
    if (!viewport.pinned) this.unseen += lines.length;
    // It has let go of what it held.
    else if (atEnd && !source.atEnd) void this.log.reopen({ start: -1 });
    told.following();
    told.place();
  }
}
