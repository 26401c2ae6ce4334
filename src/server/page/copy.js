/**
 * Copies: what is selected of the log goes to the clipboard as it was printed, without numbers, times and
 * labels, whole even where rows have been scrolled out of sight and left the page.
 */

import { ends } from "./selected.js";

/** @typedef {import("./types.js").Line} Line */
/** @typedef {{ total: number, at(row: number): Line | undefined }} Rows */
/** @typedef {import("./selected.js").End} End */

/** Lines that one copy takes; more is a download. */
const MOST_LINES = 20_000;

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
    if (to.row - from.row >= MOST_LINES) say("That is more than a copy should hold: download it instead");
    else if (isHere(rows, selected)) event.clipboardData.setData("text/plain", text(rows, selected, isLeftOut));
    else void copyLater();

    /** Lines in the middle have been dropped: they are fetched first. */
    async function copyLater() {
      if (!rows || !selected) return;
      for (let row = from.row; row <= to.row; row += 1) if (!rows.at(row)) await fetchRow(row);
      await navigator.clipboard.writeText(text(rows, selected, isLeftOut));
      say("Copied");
    }
  });
}

/** @param {Rows} rows @returns {[End, End]} */
function everything(rows) {
  return [{ row: 0, offset: 0 }, { row: rows.total - 1, offset: Number.MAX_SAFE_INTEGER }];
}

/**
 * @param {Rows} rows
 * @param {[End, End]} ends
 * @param {(row: number) => boolean} isLeftOut Rows that are an earlier state of another.
 */
function text(rows, [from, to], isLeftOut) {
  const pieces = [];
  for (let row = from.row; row <= to.row; row += 1) {
    const line = rows.at(row);
    if (!line || line.gap || isLeftOut(row)) continue;
    const start = row === from.row ? from.offset : 0;
    const stop = row === to.row ? to.offset : line.message.length;
    pieces.push(line.message.slice(start, stop));
    if (row < to.row && line.eol !== "") pieces.push("\n");
  }
  return pieces.join("");
}

/** @param {Rows} rows @param {[End, End]} ends */
function isHere(rows, [from, to]) {
  for (let row = from.row; row <= to.row; row += 1) if (!rows.at(row)) return false;
  return true;
}
