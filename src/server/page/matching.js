/**
 * Lines that meet conditions: a list that grows by cursor at both ends, since nobody knows the number of
 * a match before all lines before it are looked at. Holds what has been scrolled through. Offers what
 * lines.js offers. Knows no element.
 */

import { get, isAbort, runPath } from "./api.js";
import { split } from "./place.js";

/** Lines of one request. */
const PAGE = 500;
/** Requests until a short answer is known to be all there is: answers are limited in bytes too. */
const MOST_ROUNDS = 4;
/** Rows from an end at which more are fetched. */
const NEAR = 150;
/** Lines that are held at the most of what is followed. */
const MOST_FOLLOWED = 20_000;

/** @typedef {import("./types.js").Line} Line */
/** @typedef {import("./types.js").Page} Page */

export class Matching {
  /**
   * @param {string} run
   * @param {import("./api.js").Parameters} selection
   * @param {import("./api.js").Parameters} query Conditions, and how lines come.
   * @param {import("./lines.js").Listener} listener
   */
  constructor(run, selection, query, listener) {
    this.run = runPath(run);
    this.selection = selection;
    this.query = { ...selection, ...query };
    this.listener = listener;
    /** @type {Line[]} */
    this.lines = [];
    this.byNumber = false;
  }

  /** @type {string | null | undefined} */
  #before;
  /** Where the lines that are held end; null: nothing more comes. @type {string | null | undefined} */
  #after;
  /** Gives up what was asked for beside these lines. */
  #stop = new AbortController();
  #loading = { before: false, after: false };
  #ended = false;

  get total() {
    return this.lines.length;
  }

  /** @param {number} row @returns {Line | undefined} */
  at(row) {
    return this.lines[row];
  }

  /** @returns {[number, number][]} */
  pieces() {
    return [[0, this.lines.length]];
  }

  /** The newest match is held. */
  get atEnd() {
    return this.#ended;
  }

  /** All matches are held. */
  get isWhole() {
    return this.#ended && !this.#before;
  }

  /** Where a stream goes on from the newest match; undefined: nothing more comes. */
  findEnd() {
    return Promise.resolve(this.#after ?? undefined);
  }

  /** @param {string} writer @param {number} seq */
  rowOf(writer, seq) {
    const row = this.lines.findIndex((line) => line.seq === seq && line.writer === writer);
    return row < 0 ? undefined : row;
  }

  /**
   * Begins at the oldest match, the newest, or around a place.
   * @param {{ start?: number, around?: string }} where A negative start is the end.
   * @returns {Promise<number>} The row to show.
   */
  async open(where) {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#loading = { before: false, after: false };
    this.#ended = false;
    const { signal } = this.#stop;
    if (where.around) return this.#openAround(where.around, signal);
    const newest = (where.start ?? 0) < 0;
    const page = await this.#fetch({ start: newest ? "newest" : "oldest" }, signal);
    this.lines = page.items;
    this.#before = page.before;
    this.#setEnd(page, newest);
    if (!newest) await this.#fillPage(signal);
    this.#tell(0, this.lines.length, page);
    return newest ? this.lines.length - 1 : 0;
  }

  /** @param {number} first @param {number} last */
  want(first, last) {
    if (first < NEAR && this.#before && !this.#loading.before) void this.#more("before");
    if (last > this.lines.length - NEAR && this.#after && !this.#ended && !this.#loading.after) void this.#more("after");
  }

  /** Lines that have only just been written. So as not to hold ever more, the end is let go of: it can be read on to, or opened anew. @param {Line[]} lines @param {string} end Where they end. */
  append(lines, end) {
    if (this.lines.length + lines.length > MOST_FOLLOWED) this.#ended = false;
    if (!this.#ended) return;
    const from = this.lines.length;
    this.lines.push(...lines);
    this.#after = end;
    this.listener.grew();
    this.listener.came(from, this.lines.length);
  }

  close() {
    this.#stop.abort();
  }

  /** @param {string} around @param {AbortSignal} signal */
  async #openAround(around, signal) {
    const [writer, seq] = split(around);
    const here = await get(`${this.run}/lines`, { ...this.selection, around, count: 1 }, signal);
    const { before } = /** @type {Page} */ (here);
    const [older, newer] = await Promise.all([
      before ? this.#fetch({ before }, signal) : { items: [], before: null },
      this.#fetch(before ? { after: before } : { start: "oldest" }, signal),
    ]);
    this.lines = [...older.items, ...newer.items];
    this.#before = older.before;
    this.#setEnd(newer, false);
    await this.#fillPage(signal);
    this.#tell(0, this.lines.length, newer);
    return this.rowOf(writer, Number(seq)) ?? Math.max(0, Math.min(older.items.length, this.lines.length - 1));
  }

  /** Behind these lines. @param {Page} page @param {boolean} isLast */
  #setEnd(page, isLast) {
    this.#after = page.after;
    this.#ended = isLast || !page.after || page.items.length === 0;
  }

  /** Goes on until there is enough to see, or no more. @param {AbortSignal} signal */
  async #fillPage(signal) {
    for (let round = 0; round < MOST_ROUNDS && !this.#ended && this.lines.length < PAGE; round += 1) {
      const page = await this.#fetch({ after: this.#after }, signal);
      this.lines.push(...page.items);
      this.#setEnd(page, false);
    }
  }

  /** @param {"before" | "after"} side */
  async #more(side) {
    const loading = this.#loading;
    loading[side] = true;
    try {
      const cursor = side === "before" ? this.#before : this.#after;
      const page = await this.#fetch({ [side]: cursor }, this.#stop.signal);
      if (side === "before") this.#takeBefore(page);
      else this.#takeAfter(page);
    } catch (error) {
      if (!isAbort(error)) this.listener.failed(error);
    } finally {
      loading[side] = false;
    }
  }

  /** @param {Page} page */
  #takeBefore(page) {
    this.#before = page.before;
    this.lines.unshift(...page.items);
    this.listener.before(page.items.length);
    this.#tell(0, page.items.length, page);
  }

  /** @param {Page} page */
  #takeAfter(page) {
    const from = this.lines.length;
    this.#setEnd(page, false);
    this.lines.push(...page.items);
    this.#tell(from, this.lines.length, page);
    if (this.#ended) this.listener.end();
  }

  /** @param {number} from @param {number} to @param {Page} page */
  #tell(from, to, page) {
    this.listener.grew();
    if (page.troubles?.length) this.listener.troubled(page.troubles);
    this.listener.came(from, to);
  }

  /** @param {import("./api.js").Parameters} ask @param {AbortSignal} signal @returns {Promise<Page>} */
  #fetch(ask, signal) {
    return get(`${this.run}/logs`, { ...this.query, limit: PAGE, ...ask }, signal);
  }
}
