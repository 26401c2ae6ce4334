/**
 * The strip beside the scroll bar: the whole log from top to bottom, with errors, warnings and matches
 * marked, and the time that each part took. A click goes there. For who does not use it, the keys for the next
 * error and the next match do the same.
 */

import { millis, duration } from "./time.js";
import { count, counted } from "./words.js";

/** @typedef {import("./types.js").Density} Density */
/** @typedef {import("./types.js").Position} Position */

export class Strip {
  /** @param {HTMLCanvasElement} canvas @param {HTMLElement} hint @param {(share: number) => void} go */
  constructor(canvas, hint, go) {
    this.canvas = canvas;
    this.hint = hint;
    /** @type {Density | undefined} */
    this.density = undefined;
    /** @type {Position[]} */
    this.matches = [];
    this.total = 0;
    this.first = 0;
    this.last = 0;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      go(this.#share(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) go(this.#share(event));
      this.#explain(event);
    });
    canvas.addEventListener("pointerleave", () => hint.classList.remove("shown"));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  #frame = 0;
  #drawn = false;

  /** @param {Partial<Pick<Strip, "density" | "matches" | "total" | "first" | "last">>} change */
  set(change) {
    Object.assign(this, change);
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.draw();
    });
  }

  draw() {
    const { canvas, density } = this;
    // A canvas takes its time to begin: not before there is something to draw.
    if (!density && this.matches.length === 0 && !this.#drawn) return;
    this.#drawn = true;
    const scale = devicePixelRatio;
    const width = Math.round(canvas.clientWidth * scale);
    const height = Math.round(canvas.clientHeight * scale);
    if (width === 0 || height === 0) return;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    if (!context) return;
    const style = getComputedStyle(canvas);
    /** @param {string} name */
    const colour = (name) => style.getPropertyValue(name);
    context.clearRect(0, 0, width, height);
    if (density && this.total > 0) this.#drawBuckets(context, width, height, density, colour);
    context.fillStyle = colour("--strip-match");
    for (const { number } of this.matches) {
      context.fillRect(width * 0.62, (number / Math.max(1, this.total)) * height - scale, width * 0.38, 2 * scale);
    }
    if (this.total > 0) {
      const size = Math.max(3 * scale, ((this.last + 1 - this.first) / this.total) * height);
      const top = Math.min(height - size, (this.first / this.total) * height);
      context.fillStyle = colour("--strip-here");
      context.fillRect(0, top, width, size);
      context.strokeStyle = colour("--strip-edge");
      context.lineWidth = scale;
      context.strokeRect(scale / 2, top + scale / 2, width - scale, Math.max(scale, size - scale));
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context @param {number} width @param {number} height
   * @param {Density} density @param {(name: string) => string} colour
   */
  #drawBuckets(context, width, height, density, colour) {
    const { buckets } = density;
    const times = buckets.map((bucket) => millis(bucket.time));
    const took = times.map((time, at) => Math.max(0, (times[at + 1] ?? millis(density.to ?? "")) - time) || 0);
    const most = Math.max(1, ...took);
    for (const [at, bucket] of buckets.entries()) {
      const top = Math.floor((bucket.number / this.total) * height);
      const end = Math.ceil(((bucket.number + bucket.lines) / this.total) * height);
      const share = Math.log1p(took[at] ?? 0) / Math.log1p(most);
      context.fillStyle = colour("--strip-time");
      context.fillRect(0, top, width * 0.55 * share, Math.max(1, end - top));
      const tick = Math.max(Math.round(devicePixelRatio * 2), end - top);
      if (bucket.warnings > 0) {
        context.globalAlpha = strength(bucket.warnings, bucket.lines);
        context.fillStyle = colour("--strip-warning");
        context.fillRect(width * 0.6, top, width * 0.4, tick);
      }
      if (bucket.errors > 0) {
        context.globalAlpha = Math.max(0.55, strength(bucket.errors, bucket.lines));
        context.fillStyle = colour("--strip-error");
        context.fillRect(width * 0.15, top, width * 0.85, tick);
      }
      context.globalAlpha = 1;
    }
  }

  /** @param {PointerEvent} event */
  #share(event) {
    const box = this.canvas.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientY - box.top) / box.height));
  }

  /** @param {PointerEvent} event */
  #explain(event) {
    const number = Math.floor(this.#share(event) * this.total);
    const buckets = this.density?.buckets ?? [];
    const at = buckets.findIndex((bucket) => number < bucket.number + bucket.lines);
    const bucket = buckets[at];
    if (!bucket) return;
    const next = buckets[at + 1]?.time ?? this.density?.to ?? bucket.time;
    const took = Math.round(millis(next) - millis(bucket.time));
    const words = [`line ${count(number + 1)}`, bucket.time.slice(0, 19).replace("T", " "), `${counted(bucket.lines, "line")}${took > 0 ? ` in ${duration(took)}` : ""}`];
    if (bucket.errors) words.push(counted(bucket.errors, "error"));
    if (bucket.warnings) words.push(counted(bucket.warnings, "warning"));
    this.hint.textContent = words.join("\n");
    this.hint.style.top = `${event.clientY}px`;
    this.hint.classList.add("shown");
  }
}

/** How strongly a part is marked: one among many lines less than all of them. @param {number} some @param {number} all */
function strength(some, all) {
  return 0.3 + 0.7 * Math.sqrt(Math.min(1, some / Math.max(1, all)));
}
