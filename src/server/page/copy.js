/**
 * Copies: what is selected of the log goes to the clipboard as it was printed, without numbers, times and
 * labels, whole even where rows have been scrolled out of sight and left the page.
 */

import { ends } from "./selected.js";

/** @typedef {import("./types.js").Line} Line */
/** @typedef {{ total: number, isWhole: boolean, at(row: number): Line | undefined }} Rows */
/** @typedef {import("./selected.js").End} End */

/** Lines that one copy takes; more is a download. */
const MOST_LINES = 20_000;
/** What is said where a browser gives no clipboard: to a page of plain http, or because the reader forbids it. */
export const NOT_COPIED = "The browser lets nothing be copied from here";

/** Puts words on the clipboard. @param {string} words @returns {Promise<boolean>} Whether it could. */
export async function copied(words) {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    return false;
  }
}

/**
 * Takes over when something of the log is copied.
 * @param {HTMLElement} canvas
 * @param {() => Rows | undefined} source
 * @param {(row: number) => boolean} isHidden
 * @param {(row: number) => Promise<void>} fetchRow
 * @param {(words: string) => void} say
 */
export function listenForCopies(canvas, source, isHidden, fetchRow, say) {
  // "Select all" is all of the log, though only a few of its rows are in the page.
  let isWhole = false;
  document.addEventListener("pointerdown", () => { isWhole = false; });
  document.addEventListener("keydown", (event) => {
    const isShortcut = event.ctrlKey || event.metaKey;
    if (!isShortcut) isWhole = isWhole && event.key === "Control";
    if (!isShortcut || event.key !== "a" || !canvas.parentElement?.contains(document.activeElement)) return;
    event.preventDefault();
    document.getSelection()?.selectAllChildren(canvas);
    isWhole = true;
  });
  document.addEventListener("copy", (event) => {
    const rows = source();
    const selected = rows && isWhole ? everything(rows) : ends(canvas);
    if (!rows || !selected || !event.clipboardData) return;
    event.preventDefault();
    const [from, to] = selected;
    /** @param {number} row */
    const isLeftOut = (row) => Boolean(rows.at(row)?.progress) && isHidden(row);
    if (to.row - from.row >= MOST_LINES) return say("That is more than a copy should hold: download it instead");
    const shown = [from, to].map(({ row }) => shownOf(canvas, row));
    /** @type {Line[]} */
    const lines = [];
    for (let row = from.row; row <= to.row; row += 1) {
      const line = rows.at(row);
      if (!line) return void copyLater(row);
      lines.push(line);
    }
    event.clipboardData.setData("text/plain", text(lines, selected, shown, isLeftOut));
    if (isWhole && !rows.isWhole) say("Copied what is here of it: a download has all that matches");

    /** Lines in the middle have been dropped, and are fetched. Others may be dropped for them. @param {number} first */
    async function copyLater(first) {
      if (!rows || !selected) return;
      for (let row = first; row <= to.row; row += 1) {
        if (!rows.at(row)) await fetchRow(row).catch(() => {});
        const line = rows.at(row);
        if (!line) return say("Not copied: some of the lines cannot be fetched");
        lines.push(line);
      }
      say((await copied(text(lines, selected, shown, isLeftOut))) ? "Copied" : NOT_COPIED);
    }
  });
}

/** What a row shows, without what can be clicked there. @param {HTMLElement} canvas @param {number} row */
function shownOf(canvas, row) {
  const cell = /** @type {Element | undefined} */ (canvas.querySelector(`[data-row="${row}"] .text`)?.cloneNode(true));
  for (const extra of cell?.querySelectorAll(".more, .note") ?? []) extra.remove();
  return cell?.textContent ?? undefined;
}

/** @param {Rows} rows @returns {[End, End]} */
function everything(rows) {
  return [{ row: 0, offset: 0 }, { row: rows.total - 1, offset: Number.MAX_SAFE_INTEGER }];
}

/**
 * @param {Line[]} lines
 * @param {[End, End]} ends
 * @param {(string | undefined)[]} shown What the first row shows, and the last.
 * @param {(row: number) => boolean} isLeftOut Rows that are an earlier state of another.
 */
function text(lines, [from, to], shown, isLeftOut) {
  const pieces = [];
  for (const [at, line] of lines.entries()) {
    const row = from.row + at;
    if (line.gap || isLeftOut(row)) continue;
    const start = row === from.row ? from.offset : 0;
    const stop = row === to.row ? to.offset : Number.MAX_SAFE_INTEGER;
    pieces.push(part(line, row === from.row ? shown[0] : shown[1], start, stop));
    if (row < to.row && line.eol !== "") pieces.push("\n");
  }
  return pieces.join("");
}

/** A row may show something else than its line, as the name of a section: a part of it is of what it shows. @param {Line} line @param {string | undefined} shown @param {number} start @param {number} stop */
function part({ message }, shown, start, stop) {
  const isOther = shown !== undefined && !message.startsWith(shown) && (start > 0 || stop < shown.length);
  return (isOther ? shown : message).slice(start, stop);
}
