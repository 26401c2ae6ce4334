/**
 * Virtual scroll: shows the rows around one place of a list of any length, each as high as it is. The
 * scroll bar is the browser's own, so wheel, touch and keys feel as they do elsewhere.
 *
 * `position` is the truth: how many pixels of rows lie above the top edge. An element cannot be as high
 * as ten million rows, so beyond `MOST_PIXELS` the scroll bar stands for a proportion, except near both ends:
 * small moves are taken as pixels, leaps by the bar's place, and when scrolling rests the bar is set to where
 * it belongs. Until then rows are shifted by the difference. The same shift takes up rows above that turn
 * out higher or lower than thought, so that what is being read never moves.
 *
 * Knows no log: rows are made and dropped by who uses it.
 */

import { Heights } from "./heights.js";
import { keepSelected, selectedRows } from "./selected.js";

/** What browsers lay out without losing pixels; the smallest limit among them is about 17 million. */
const MOST_PIXELS = 8_000_000;
/** From both ends, so many pixels of rows are as many of the bar. */
const EXACT_PIXELS = 500_000;
/** Milliseconds without a scroll event after which scrolling rests. */
const REST = 140;
/** Milliseconds after a jump, and frames painted since, in which a movement that was still under way does not undo it. */
const LANDING = 120;
const LANDING_FRAMES = 3;

/**
 * @typedef {object} Rows What is shown.
 * @property {(row: number) => HTMLElement} make The element of a row.
 * @property {(first: number, last: number) => void} shown These rows are in sight, or nearly so.
 * @property {(byReader: boolean) => void} moved The place has changed.
 */

/** @typedef {{ element: HTMLElement, top: number, measured: boolean }} Placed */

export class Viewport {
  /** @param {HTMLElement} scroller @param {HTMLElement} canvas @param {Rows} rows @param {number} usual Height of a usual row. */
  constructor(scroller, canvas, rows, usual) {
    this.scroller = scroller;
    this.canvas = canvas;
    this.rows = rows;
    this.heights = new Heights(usual);
    /** Rows may be of any height, and are measured. */
    this.measuring = false;
    /** Stay at the end when rows are added. */
    this.pinned = false;
    this.position = 0;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // The wheel's movement begins before its first event: to set the bar now would stop it.
    scroller.addEventListener("wheel", () => this.#waitForRest(), { passive: true });
    new ResizeObserver(() => this.#resized()).observe(scroller);
  }

  /** @type {Map<number, Placed>} */
  #placed = new Map();
  /** The bar, as last seen or set. */
  #lastTop = 0;
  #canvasHeight = -1;
  /** @type {number | undefined} */
  #height;
  #width = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #rest;
  #frame = 0;
  /** A jump lands until then, and for as many frames to come. */
  #landing = { until: 0, frames: 0 };
  /** The row that was gone to: it stays where it is while others around it turn out higher or lower. */
  #target = -1;

  /** Of what is in sight. Read when it is needed: to read it lays out the page. */
  get height() {
    this.#height ??= this.scroller.clientHeight;
    return this.#height;
  }

  /** How far the bar can go. */
  get #room() {
    if (this.heights.total === 0) return 0;
    return Math.max(0, Math.min(this.heights.total, MOST_PIXELS) - this.height);
  }

  /** Where the bar belongs. */
  get #bar() {
    const { position } = this;
    const furthest = this.#furthest;
    const room = this.#room;
    if (room >= furthest || position <= EXACT_PIXELS) return position;
    if (furthest - position <= EXACT_PIXELS) return room - (furthest - position);
    return EXACT_PIXELS + ((position - EXACT_PIXELS) * (room - 2 * EXACT_PIXELS)) / (furthest - 2 * EXACT_PIXELS);
  }

  /** The position that a place of the bar stands for. @param {number} bar */
  #fromBar(bar) {
    const furthest = this.#furthest;
    const room = this.#room;
    if (room >= furthest || bar <= EXACT_PIXELS) return bar;
    if (room - bar <= EXACT_PIXELS) return furthest - (room - bar);
    return EXACT_PIXELS + ((bar - EXACT_PIXELS) * (furthest - 2 * EXACT_PIXELS)) / (room - 2 * EXACT_PIXELS);
  }

  get #furthest() {
    if (this.heights.total === 0) return 0;
    return Math.max(0, this.heights.total - this.height);
  }

  /** Nothing lies below what is in sight. */
  get atEnd() {
    return this.position >= this.#furthest - 2;
  }

  /** The row at the top edge. */
  get first() {
    return this.heights.at(this.position);
  }

  /** The last row in sight. */
  get last() {
    return this.heights.at(this.position + this.height - 1);
  }

  /** There are so many rows now. @param {number} count */
  resize(count) {
    this.heights.resize(count);
    this.refresh();
  }

  /** Begins anew with other rows. @param {number} count */
  reset(count) {
    for (const placed of this.#placed.values()) placed.element.remove();
    this.#placed.clear();
    this.heights = new Heights(this.heights.usual);
    this.heights.resize(count);
    this.position = 0;
    this.#target = -1;
    this.#moveBar();
  }

  /** So many rows have been put before all others. @param {number} count @param {number} total */
  prepend(count, total) {
    const anchor = this.#anchor();
    const usual = this.heights.usual;
    const kept = [...this.#placed.entries()].map(([row]) => [row, this.heights.of(row)]);
    this.heights = new Heights(usual);
    this.heights.resize(total);
    for (const [row, height] of kept) this.heights.set(Number(row) + count, Number(height));
    const moved = [...this.#placed.entries()];
    if (this.#target >= 0) this.#target += count;
    this.#placed.clear();
    for (const [row, placed] of moved) {
      placed.element.dataset["row"] = String(row + count);
      this.#placed.set(row + count, placed);
    }
    this.#restore({ row: anchor.row + count, into: anchor.into });
    this.#draw();
    this.#moveBar();
  }

  /** Heights are to be set by `change`; what is being read stays where it is. @param {(heights: Heights) => void} change */
  adjust(change) {
    const anchor = this.#anchor();
    change(this.heights);
    this.#restore(anchor);
    this.refresh();
  }

  /**
   * Rows may look different now: those of a range of which that is so.
   * @param {number} from @param {number} to
   * @param {(element: HTMLElement, row: number) => boolean} isStale
   */
  invalidate(from, to, isStale = () => true) {
    const stale = [...this.#placed].filter(([row, { element }]) => row >= from && row < to && isStale(element, row));
    // Once for all of them: to ask for the selection lays out the page.
    if (stale.length > 0) keepSelected(this.canvas, () => stale.forEach(([row, placed]) => this.#redraw(row, placed)));
    this.refresh();
  }

  /** @param {number} row @param {Placed} placed */
  #redraw(row, placed) {
    const made = this.rows.make(row);
    made.dataset["row"] = String(row);
    made.style.transform = placed.element.style.transform;
    // One that looks the same stays: what is under the pointer can be clicked, what is selected stays so.
    if (made.isEqualNode(placed.element)) return;
    placed.element.replaceWith(made);
    this.#placed.set(row, { element: made, top: Number.NaN, measured: false });
  }

  /** The usual height has changed, or whether rows wrap. @param {number} usual @param {boolean} measuring */
  relayout(usual, measuring) {
    const anchor = this.#anchor();
    this.measuring = measuring;
    this.heights.reset(usual);
    this.#restore(anchor);
    for (const placed of this.#placed.values()) placed.measured = false;
    this.refresh();
  }

  /** Draws before the next frame. */
  refresh() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  /** Goes to a row. @param {number} row @param {"top" | "middle" | "near"} where `near`: only as far as needed. */
  goTo(row, where = "middle") {
    this.#draw();
    this.#target = row;
    const top = this.heights.top(row);
    const height = Math.max(this.heights.of(row), this.heights.usual);
    if (where === "near") {
      const margin = Math.min(3 * this.heights.usual, this.height / 4);
      if (top - margin >= this.position && top + height + margin <= this.position + this.height) return;
    }
    const above = where === "top" ? 0 : Math.max(0, (this.height - height) / 3);
    this.#place(top - above);
    // Rows around have been measured only now.
    this.#place(this.heights.top(row) - above);
    this.rows.moved(false);
  }

  goToEnd() {
    this.#target = -1;
    this.#place(this.#furthest);
    this.#place(this.#furthest);
    this.rows.moved(false);
  }

  /** By pixels, as a key does. @param {number} pixels */
  scrollBy(pixels) {
    this.#target = -1;
    this.#place(this.position + pixels);
    this.#landing = { until: 0, frames: 0 };
    this.rows.moved(true);
  }

  /** @param {number} position */
  #place(position) {
    if (this.#rest) this.#land();
    this.position = Math.max(0, Math.min(position, this.#furthest));
    this.#draw();
    this.#moveBar();
  }

  /** Events of the movement come with frames, of which a busy machine paints few. */
  #land() {
    const landing = { until: performance.now() + LANDING, frames: LANDING_FRAMES };
    this.#landing = landing;
    const painted = () => {
      landing.frames -= 1;
      if (landing.frames > 0) requestAnimationFrame(painted);
    };
    requestAnimationFrame(painted);
  }

  #anchor() {
    const isInSight = this.#target >= 0 && this.#target < this.heights.count && this.heights.of(this.#target) > 0;
    const row = isInSight ? this.#target : this.heights.at(this.position);
    return { row, into: this.position - this.heights.top(row) };
  }

  /** @param {{ row: number, into: number }} anchor */
  #restore(anchor) {
    this.position = this.heights.top(anchor.row) + anchor.into;
  }

  #scrolled() {
    // At the end of a window that has become higher the browser moves the bar, which is no movement of the
    // reader's; this event may come before that of the observer.
    if (this.pinned && this.scroller.clientHeight > this.height) return this.#resized();
    const top = this.scroller.scrollTop;
    const by = top - this.#lastTop;
    if (Math.abs(by) < 0.01) return;
    this.#lastTop = top;
    if (this.#landing.frames > 0 || performance.now() < this.#landing.until) {
      this.#moveBar();
      return;
    }
    if (by < 0) this.pinned = false;
    this.#target = -1;
    const leap = Math.abs(by) > 3 * this.height;
    this.position = leap ? this.#fromBar(top) : this.position + by;
    this.position = Math.max(0, Math.min(this.position, this.#furthest));
    this.#draw();
    // At its end the bar cannot wait until scrolling rests: it could not go on.
    const wall = top < 1 || top > this.#room - 1;
    if (wall) this.#moveBar();
    else this.#waitForRest();
    this.rows.moved(true);
  }

  /** Scrolling goes on: the bar is the browser's until it rests. */
  #waitForRest() {
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.#moveBar(), REST);
  }

  #resized() {
    const { clientHeight, clientWidth } = this.scroller;
    const wasAtEnd = this.pinned;
    const anchor = this.#anchor();
    this.#height = clientHeight;
    if (this.measuring && clientWidth !== this.#width) {
      for (const placed of this.#placed.values()) placed.measured = false;
    }
    this.#width = clientWidth;
    this.#restore(anchor);
    if (wasAtEnd) this.position = this.#furthest;
    this.#draw();
    this.#moveBar();
  }

  /** Puts rows and canvas where they belong for `position`. */
  #draw() {
    if (this.pinned) this.position = this.#furthest;
    for (let round = 0; round < 4; round += 1) {
      const changed = this.#drawOnce();
      if (!changed) break;
      if (this.pinned) this.position = this.#furthest;
    }
    const grown = this.#fitCanvas();
    // While the browser scrolls, the bar is its own: to set it would stop the movement.
    if (this.pinned || (grown && !this.#rest)) this.#moveBar();
  }

  /** @returns {boolean} Whether it had another height. */
  #fitCanvas() {
    const height = Math.min(this.heights.total, MOST_PIXELS);
    if (height === this.#canvasHeight) return false;
    this.#canvasHeight = height;
    this.canvas.style.height = `${height}px`;
    return true;
  }

  /** @returns {boolean} Whether heights turned out to be others. */
  #drawOnce() {
    const count = this.heights.count;
    // After a leap what is in sight comes first, what is near it with the next frame.
    const leapt = !this.#placed.has(this.heights.at(this.position));
    if (leapt && this.heights.total > 0) this.refresh();
    const spare = leapt ? 0 : this.height;
    const from = this.heights.at(this.position - spare);
    const end = this.position + this.height + spare;
    this.position = Math.max(0, Math.min(this.position, this.#furthest));
    /** @type {number[]} */
    const rows = [];
    let bottom = this.heights.top(from);
    for (let row = from; row < count && bottom < end;) {
      const height = this.heights.of(row);
      if (height > 0) rows.push(row);
      bottom += height;
      row = height > 0 || this.heights.of(row + 1) > 0 ? row + 1 : Math.max(row + 1, this.heights.at(bottom + 0.01));
    }
    const wanted = new Set(rows);
    // The rows that hold its ends stay, so that the reader's selection does.
    const chosen = selectedRows(this.canvas);
    for (const [row, placed] of this.#placed) {
      if (wanted.has(row) || (chosen.has(placed.element) && row < count && this.heights.of(row) > 0)) continue;
      placed.element.remove();
      this.#placed.delete(row);
    }
    // In the order of the list, for selections and for who reads with a screen reader.
    let next = this.canvas.firstElementChild;
    for (const row of rows) {
      while (next && Number(/** @type {HTMLElement} */ (next).dataset["row"]) < row) next = next.nextElementSibling;
      let placed = this.#placed.get(row);
      if (!placed) {
        placed = { element: this.rows.make(row), top: Number.NaN, measured: false };
        this.#placed.set(row, placed);
      }
      if (placed.element.dataset["row"] !== String(row)) placed.element.dataset["row"] = String(row);
      if (placed.element === next) next = next.nextElementSibling;
      else if (placed.element.parentElement !== this.canvas || placed.element.nextElementSibling !== next) this.canvas.insertBefore(placed.element, next);
    }
    const changed = this.#measure();
    let top = 0;
    let last = -2;
    const shift = this.position - this.#lastTop;
    for (const [row, placed] of [...this.#placed].sort((left, right) => left[0] - right[0])) {
      top = row === last + 1 ? top + this.heights.of(last) : this.heights.top(row);
      last = row;
      const at = top - shift;
      if (Math.abs(placed.top - at) < 0.01) continue;
      placed.top = at;
      placed.element.style.transform = `translateY(${at}px)`;
    }
    if (rows.length > 0) this.rows.shown(rows[0] ?? 0, rows[rows.length - 1] ?? 0);
    return changed;
  }

  /** Reads all heights first, then writes: one layout. */
  #measure() {
    const fresh = [...this.#placed].filter(([, placed]) => !placed.measured);
    if (fresh.length === 0) return false;
    const anchor = this.#anchor();
    let changed = false;
    for (const [row, placed] of fresh) {
      placed.measured = true;
      const varies = this.measuring || placed.element.classList.contains("varies");
      const height = varies ? placed.element.offsetHeight : this.heights.usual;
      if (this.heights.of(row) > 0 && this.heights.set(row, height)) changed = true;
    }
    if (changed) this.#restore(anchor);
    return changed;
  }

  /** Sets the bar to where `position` is, and the rows with it. */
  #moveBar() {
    clearTimeout(this.#rest);
    this.#rest = undefined;
    this.#fitCanvas();
    const before = this.#lastTop;
    // Setting it, even to what it is, would stop a movement that has only just begun.
    if (Math.abs(this.#bar - before) < 0.5) return;
    this.scroller.scrollTop = this.#bar;
    this.#lastTop = this.scroller.scrollTop;
    if (this.#lastTop === before) return;
    const shift = this.position - this.#lastTop;
    for (const [row, placed] of this.#placed) {
      placed.top = this.heights.top(row) - shift;
      placed.element.style.transform = `translateY(${placed.top}px)`;
    }
  }
}
