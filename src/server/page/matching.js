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
    this.complete = false;
    this.byNumber = false;
    /** @type {string | undefined} */
    this.end = undefined;
  }

  /** @type {string | null | undefined} */
  #before;
  /** @type {string | null | undefined} */
  #after;
  #closed = new AbortController();
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

  get atEnd() {
    return this.#ended;
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
    if (where.around) {
      const found = await this.#openAround(where.around);
      if (found !== undefined) return found;
    }
    const newest = (where.start ?? 0) < 0;
    const page = await this.#fetch({ start: newest ? "newest" : "oldest" });
    this.lines = page.items;
    this.#before = page.before;
    this.#setEnd(page, newest);
    if (!newest) await this.#fillPage();
    this.#tell(0, this.lines.length, page);
    return newest ? this.lines.length - 1 : 0;
  }

  /** @param {number} first @param {number} last */
  want(first, last) {
    if (first < NEAR && this.#before && !this.#loading.before) void this.#more("before");
    if (last > this.lines.length - NEAR && this.#after && !this.#ended && !this.#loading.after) void this.#more("after");
  }

  /** @param {Line[]} lines */
  append(lines) {
    if (!this.#ended) return;
    const from = this.lines.length;
    this.lines.push(...lines);
    this.listener.grew();
    this.listener.came(from, this.lines.length);
  }

  close() {
    this.#closed.abort();
  }

  /** @param {string} around */
  async #openAround(around) {
    const [writer, seq] = split(around);
    const here = await get(`${this.run}/lines`, { ...this.selection, around, count: 1 }, this.#closed.signal);
    const { before } = /** @type {Page} */ (here);
    const [older, newer] = await Promise.all([
      before ? this.#fetch({ before }) : { items: [], before: null },
      this.#fetch(before ? { after: before } : { start: "oldest" }),
    ]);
    this.lines = [...older.items, ...newer.items];
    this.#before = older.before;
    this.#setEnd(newer, false);
    await this.#fillPage();
    this.#tell(0, this.lines.length, newer);
    return this.rowOf(writer, Number(seq)) ?? Math.max(0, Math.min(older.items.length, this.lines.length - 1));
  }

  /** Behind these lines. @param {Page} page @param {boolean} isLast */
  #setEnd(page, isLast) {
    this.#after = page.after ?? this.#after;
    this.#ended = isLast || !page.after || page.items.length === 0;
    if (this.#ended) this.end = this.#after ?? undefined;
  }

  /** Goes on until there is enough to see, or no more. */
  async #fillPage() {
    for (let round = 0; round < MOST_ROUNDS && !this.#ended && this.lines.length < PAGE; round += 1) {
      const page = await this.#fetch({ after: this.#after });
      this.lines.push(...page.items);
      this.#setEnd(page, false);
    }
  }

  /** @param {"before" | "after"} side */
  async #more(side) {
    this.#loading[side] = true;
    try {
      const cursor = side === "before" ? this.#before : this.#after;
      const page = await this.#fetch({ [side]: cursor });
      if (side === "before") this.#takeBefore(page);
      else this.#takeAfter(page);
    } catch (error) {
      if (!isAbort(error)) this.listener.failed(error);
    } finally {
      this.#loading[side] = false;
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
  }

  /** @param {number} from @param {number} to @param {Page} page */
  #tell(from, to, page) {
    if (this.#closed.signal.aborted) return;
    this.listener.grew();
    if (page.troubles?.length) this.listener.troubled(page.troubles);
    this.listener.came(from, to);
  }

  /** @param {import("./api.js").Parameters} ask @returns {Promise<Page>} */
  #fetch(ask) {
    return get(`${this.run}/logs`, { ...this.query, limit: PAGE, ...ask }, this.#closed.signal);
  }
}
