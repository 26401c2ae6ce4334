/**
 * Where sections begin and end: `::group::`, `##[group]`, `--- `, GitLab's. A section may be longer than what
 * is held of the log, so the server is asked for all lines that mark one. Draws nothing.
 */

import { get, runPath } from "./api.js";

/** Begins one, within others; ends the innermost. Between them, Buildkite's have no end but the next. */
const START = String.raw`^\s*(::group::|##\[group\]|section_start:)`;
const END = String.raw`^\s*(::endgroup::|##\[endgroup\]|section_end:)`;
const NEXT = String.raw`^(--- |\+\+\+ |~~~ )`;
/** Marks that are asked for. */
const MOST = 10_000;

/** @typedef {import("./types.js").Position} Position */
/** @typedef {{ row: number, kind: "start" | "end" | "next" }} Mark */

export class Sections {
  /** @param {string} run @param {import("./api.js").Parameters} selection */
  constructor(run, selection) {
    this.path = `${runPath(run)}/search`;
    this.selection = selection;
  }

  /** @returns {Promise<Mark[]>} In order. */
  async marks() {
    const [start, end, next] = await Promise.all([this.#find(START), this.#find(END), this.#find(NEXT)]);
    return [...mark(start, "start"), ...mark(end, "end"), ...mark(next, "next")].sort((left, right) => left.row - right.row);
  }

  /** Rows of the section that begins at a row, without its first. @param {number} row @param {number} total */
  async extent(row, total) {
    return extent(await this.marks(), row, total);
  }

  /** @param {string} grep @returns {Promise<Position[]>} */
  async #find(grep) {
    /** @type {import("./types.js").Found} */
    const found = await get(this.path, { ...this.selection, grep, limit: MOST });
    return found.positions;
  }
}

/**
 * @param {Mark[]} marks
 * @param {number} row
 * @param {number} total
 * @returns {{ from: number, to: number }}
 */
export function extent(marks, row, total) {
  const own = marks.find((one) => one.row === row);
  let depth = 0;
  for (const one of marks) {
    if (one.row <= row) continue;
    if (own?.kind === "next") {
      if (one.kind === "next") return { from: row + 1, to: one.row };
      continue;
    }
    if (one.kind === "start") depth += 1;
    if (one.kind !== "end") continue;
    if (depth === 0) return { from: row + 1, to: one.row + 1 };
    depth -= 1;
  }
  return { from: row + 1, to: total };
}

/** @param {Position[]} positions @param {Mark["kind"]} kind @returns {Mark[]} */
function mark(positions, kind) {
  return positions.map(({ number }) => ({ row: number, kind }));
}
