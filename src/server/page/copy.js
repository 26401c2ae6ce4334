/**
 * Copies: what is selected of the log goes to the clipboard as it was printed, without numbers, times and
 * labels, whole even where rows have been scrolled out of sight and left the page.
 */

/** @typedef {import("./types.js").Line} Line */
/** @typedef {{ total: number, at(row: number): Line | undefined }} Rows */
/** @typedef {{ row: number, offset: number }} End */

/** Lines that one copy takes; more is a download. */
export const MOST_LINES = 20_000;

/** The ends of the selection within the log, in order. @param {HTMLElement} canvas @returns {[End, End] | undefined} */
export function ends(canvas) {
  const selection = document.getSelection();
  if (!selection || selection.isCollapsed || selection.rangeCount === 0) return undefined;
  const range = selection.getRangeAt(0);
  const from = end(canvas, range.startContainer, range.startOffset);
  const to = end(canvas, range.endContainer, range.endOffset);
  return from && to ? [from, to] : undefined;
}

/**
 * @param {Rows} rows
 * @param {[End, End]} ends
 * @param {(row: number) => boolean} isLeftOut Rows that are an earlier state of another.
 */
export function text(rows, [from, to], isLeftOut) {
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
export function isHere(rows, [from, to]) {
  for (let row = from.row; row <= to.row; row += 1) if (!rows.at(row)) return false;
  return true;
}

/** @param {HTMLElement} canvas @param {Node} node @param {number} offset @returns {End | undefined} */
function end(canvas, node, offset) {
  const element = node instanceof Element ? node : node.parentElement;
  const row = /** @type {HTMLElement | null} */ (element?.closest("[data-row]"));
  if (!row || !canvas.contains(row)) return undefined;
  const number = Number(row.dataset["row"]);
  const cell = row.querySelector(".text");
  if (!cell) return { row: number, offset: 0 };
  if (!cell.contains(node)) {
    const isBefore = Boolean(cell.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_PRECEDING);
    return { row: number, offset: isBefore ? 0 : Number.MAX_SAFE_INTEGER };
  }
  const range = document.createRange();
  range.selectNodeContents(cell);
  range.setEnd(node, offset);
  return { row: number, offset: range.toString().length };
}
