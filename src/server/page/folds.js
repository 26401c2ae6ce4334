/**
 * Which rows are hidden: the middle of tracebacks, earlier states of progress bars, and what is inside of
 * folded sections. Decides from neighbouring lines, so it is asked again whenever lines come. Makes no
 * element and fetches nothing.
 */

/** @typedef {import("./types.js").Line} Line */
/** @typedef {{ total: number, at(row: number): Line | undefined }} Rows */
/** @typedef {{ from: number, to: number }} Hidden Rows from `from` up to, not including, `to`. */

/** A neighbour of the same stream is looked for among so many rows of others. */
const REACH = 60;
/** A group of fewer lines is not worth a fold. */
const FEW = 5;
/** Lines of a group that are counted. */
const MOST_COUNTED = 5000;

export class Folds {
  /** @param {Rows} rows */
  constructor(rows) {
    this.rows = rows;
    /** Tracebacks are open unless told otherwise. */
    this.unfolded = false;
    /** All states of progress bars are shown. */
    this.progress = false;
    /** Groups that are not as `unfolded` says. @type {Set<string>} */
    this.turned = new Set();
    /** Sections that are folded, by the row of their first line. @type {Map<number, Hidden>} */
    this.sections = new Map();
  }

  /** @param {Line} line */
  isOpen(line) {
    return this.unfolded !== this.turned.has(groupOf(line));
  }

  /** @param {Line} line */
  turn(line) {
    const group = groupOf(line);
    if (!this.turned.delete(group)) this.turned.add(group);
  }

  /** Something was put before all rows. @param {number} rows */
  shift(rows) {
    this.sections = new Map([...this.sections].map(([row, { from, to }]) => [row + rows, { from: from + rows, to: to + rows }]));
  }

  /**
   * Says of the rows from `from` up to, not including, `to`, and of those before them that depend on
   * them, whether they are hidden.
   * @param {number} from
   * @param {number} to
   * @param {(row: number, hidden: boolean) => void} say
   */
  arrange(from, to, say) {
    const first = Math.max(0, from - REACH);
    const end = Math.min(this.rows.total, to + REACH);
    /** What comes next in each stream. @type {Map<string, Line>} */
    const next = new Map();
    for (let row = end - 1; row >= first; row -= 1) {
      const line = this.rows.at(row);
      if (!line) {
        next.clear();
        continue;
      }
      if (row < to) say(row, this.#inSection(row) || this.#isHidden(line, next.get(line.writer)));
      next.set(line.writer, line);
    }
  }

  /** @param {Line} line @param {Line | undefined} next @returns {boolean} */
  #isHidden(line, next) {
    if (!next) return false;
    if (!this.progress && line.progress && line.line !== undefined && next.line === line.line) return true;
    const inside = line.group !== undefined && line.seq !== line.group && next.group === line.group;
    return inside && !this.isOpen(line) && !this.#isShort(line);
  }

  /** @param {number} row */
  #inSection(row) {
    for (const { from, to } of this.sections.values()) if (row >= from && row < to) return true;
    return false;
  }

  /** @param {Line} line */
  #isShort(line) {
    const known = this.#sizes.get(groupOf(line));
    return known !== undefined && known < FEW;
  }

  /** Sizes of groups whose end has been seen. @type {Map<string, number>} */
  #sizes = new Map();

  /** Lines of the group that begins at a row, itself included; 0 if none begins there. @param {number} row */
  sizeOfGroup(row) {
    const head = this.rows.at(row);
    if (!head || head.group === undefined || head.group !== head.seq) return 0;
    const group = groupOf(head);
    const known = this.#sizes.get(group);
    if (known !== undefined) return known;
    let size = 1;
    let apart = 0;
    for (let at = row + 1; at < this.rows.total && size < MOST_COUNTED && apart < REACH; at += 1) {
      const line = this.rows.at(at);
      if (!line) return size;
      if (line.writer !== head.writer) {
        apart += 1;
        continue;
      }
      apart = 0;
      if (line.group !== head.group) {
        this.#sizes.set(group, size);
        break;
      }
      size += 1;
    }
    return size;
  }
}

/** @param {Line} line */
function groupOf(line) {
  return `${line.writer}:${line.group}`;
}
