/**
 * What the reader has selected of the rows: where it begins and ends, and how it is selected again when its rows
 * have been drawn anew.
 */

/** A place in the text of a row, in characters. @typedef {{ row: number, offset: number }} End */

/** The rows that hold the ends of the selection. @param {HTMLElement} canvas */
export function selectedRows(canvas) {
  /** @type {Set<Element>} */
  const rows = new Set();
  const selection = document.getSelection();
  // Without a range nothing is selected; to ask whether a range is empty lays out the page.
  if (!selection || selection.rangeCount === 0 || selection.isCollapsed) return rows;
  for (const node of [selection.anchorNode, selection.focusNode]) {
    const row = node && rowOf(canvas, node);
    if (row) rows.add(row);
  }
  return rows;
}

/** The ends of the selection, in order. @param {HTMLElement} canvas @returns {[End, End] | undefined} */
export function ends(canvas) {
  const selection = document.getSelection();
  if (!selection || selection.isCollapsed || selection.rangeCount === 0) return undefined;
  const range = selection.getRangeAt(0);
  const from = end(canvas, range.startContainer, range.startOffset);
  const to = end(canvas, range.endContainer, range.endOffset);
  return from && to ? [from, to] : undefined;
}

/** Draws rows anew, and selects what was selected. @param {HTMLElement} canvas @param {() => void} draw */
export function keepSelected(canvas, draw) {
  const selection = document.getSelection();
  if (!selection || selection.rangeCount === 0) return draw();
  const [anchorNode, focusNode] = [selection.anchorNode, selection.focusNode];
  const isOurs = !selection.isCollapsed && anchorNode && focusNode;
  const anchor = isOurs ? end(canvas, anchorNode, selection.anchorOffset) : undefined;
  const focus = isOurs ? end(canvas, focusNode, selection.focusOffset) : undefined;
  draw();
  if (!anchor || !focus || (canvas.contains(anchorNode ?? null) && canvas.contains(focusNode ?? null))) return;
  const from = boundary(canvas, anchor);
  const to = boundary(canvas, focus);
  if (from && to) selection.setBaseAndExtent(...from, ...to);
}

/** @param {HTMLElement} canvas @param {Node} node */
function rowOf(canvas, node) {
  const element = node instanceof Element ? node : node.parentElement;
  const row = /** @type {HTMLElement | null} */ (element?.closest("[data-row]"));
  return row && canvas.contains(row) ? row : undefined;
}

/** @param {HTMLElement} canvas @param {Node} node @param {number} offset @returns {End | undefined} */
function end(canvas, node, offset) {
  const row = rowOf(canvas, node);
  if (!row) return undefined;
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

/** @param {HTMLElement} canvas @param {End} end @returns {[Node, number] | undefined} */
function boundary(canvas, { row, offset }) {
  const cell = canvas.querySelector(`[data-row="${row}"] .text`);
  if (!cell) return undefined;
  let left = offset;
  const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const { length } = /** @type {Text} */ (text);
    if (left <= length) return [text, left];
    left -= length;
  }
  return [cell, cell.childNodes.length];
}
