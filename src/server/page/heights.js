/**
 * How high each row is and where it stands, for millions of rows: a sum tree over blocks of rows, exact
 * heights only inside blocks where a row differs from the usual. Pure arithmetic; touches no element.
 */

/** Rows of a block. */
export const BLOCK = 500;

export class Heights {
  /** @param {number} usual Height of a row of which nothing is known. */
  constructor(usual) {
    this.usual = usual;
    this.count = 0;
    /** @type {(Float32Array | undefined)[]} Exact heights, of blocks that have some. */
    this.exact = [];
    /** @type {Float64Array} Height of all rows of each block. */
    this.sums = new Float64Array(0);
    /** @type {Float64Array} The sum tree (Fenwick) over `sums`. */
    this.tree = new Float64Array(1);
    this.total = 0;
  }

  /** There are `count` rows now; those that were there keep their height. @param {number} count */
  resize(count) {
    if (count === this.count) return;
    const blocks = Math.ceil(count / BLOCK);
    const before = this.count;
    this.count = count;
    if (count < before) {
      this.exact.length = blocks;
      this.#rebuild(blocks);
      return;
    }
    const first = Math.floor(before / BLOCK);
    const partly = this.exact[first];
    if (partly) partly.fill(this.usual, before - first * BLOCK);
    if (blocks > this.sums.length) {
      // Room to grow, so that a live log does not rebuild the tree for each new block.
      this.#rebuild(blocks + (before > 0 ? Math.ceil(blocks / 4) + 16 : 0));
      return;
    }
    for (let block = first; block < blocks; block += 1) this.#setSum(block, this.#sumOf(block));
  }

  /** Forgets all exact heights. @param {number} usual */
  reset(usual) {
    this.usual = usual;
    this.exact = [];
    this.#rebuild(Math.ceil(this.count / BLOCK));
  }

  /** @param {number} row */
  of(row) {
    const block = Math.floor(row / BLOCK);
    const exact = this.exact[block];
    return exact ? (exact[row - block * BLOCK] ?? this.usual) : this.usual;
  }

  /** @param {number} row @param {number} height @returns {boolean} Whether it was another. */
  set(row, height) {
    const block = Math.floor(row / BLOCK);
    let exact = this.exact[block];
    if (!exact) {
      if (height === this.usual) return false;
      exact = new Float32Array(BLOCK).fill(this.usual);
      this.exact[block] = exact;
    }
    const at = row - block * BLOCK;
    const rounded = Math.fround(height);
    const before = exact[at] ?? this.usual;
    if (before === rounded) return false;
    exact[at] = rounded;
    this.#setSum(block, (this.sums[block] ?? 0) + rounded - before);
    return true;
  }

  /** The same height for the rows from `from` up to, not including, `to`. @param {number} from @param {number} to @param {number} height */
  setRange(from, to, height) {
    for (let row = from; row < Math.min(to, this.count);) {
      const block = Math.floor(row / BLOCK);
      const end = Math.min(to, (block + 1) * BLOCK, this.count);
      const exact = this.exact[block] ?? new Float32Array(BLOCK).fill(this.usual);
      exact.fill(height, row - block * BLOCK, end - block * BLOCK);
      this.exact[block] = exact;
      this.#setSum(block, this.#sumOf(block));
      row = end;
    }
  }

  /** Where a row begins. @param {number} row */
  top(row) {
    const block = Math.floor(row / BLOCK);
    let sum = 0;
    for (let at = block; at > 0; at -= at & -at) sum += this.tree[at] ?? 0;
    const exact = this.exact[block];
    if (!exact) return sum + (row - block * BLOCK) * this.usual;
    for (let at = 0; at < row - block * BLOCK; at += 1) sum += exact[at] ?? 0;
    return sum;
  }

  /** The row that stands at this place; never a hidden one if there is another. @param {number} y */
  at(y) {
    if (this.count === 0) return 0;
    let block = 0;
    let rest = Math.max(0, Math.min(y, this.total - 0.01));
    let bit = 1 << Math.floor(Math.log2(Math.max(1, this.sums.length)));
    for (; bit > 0; bit >>= 1) {
      const sum = this.tree[block + bit];
      if (block + bit <= this.sums.length && sum !== undefined && sum <= rest) {
        block += bit;
        rest -= sum;
      }
    }
    const first = block * BLOCK;
    const last = Math.min(first + BLOCK, this.count) - 1;
    const exact = this.exact[block];
    if (!exact) return Math.min(last, first + Math.floor(rest / this.usual));
    for (let row = first; row <= last; row += 1) {
      const height = exact[row - first] ?? 0;
      if (rest < height) return row;
      rest -= height;
    }
    return Math.max(0, Math.min(last, this.count - 1));
  }

  /** @param {number} block */
  #sumOf(block) {
    const rows = Math.max(0, Math.min(BLOCK, this.count - block * BLOCK));
    const exact = this.exact[block];
    if (!exact) return rows * this.usual;
    let sum = 0;
    for (let at = 0; at < rows; at += 1) sum += exact[at] ?? 0;
    return sum;
  }

  /** @param {number} block @param {number} sum */
  #setSum(block, sum) {
    const change = sum - (this.sums[block] ?? 0);
    if (change === 0) return;
    this.sums[block] = sum;
    this.total += change;
    for (let at = block + 1; at < this.tree.length; at += at & -at) {
      this.tree[at] = (this.tree[at] ?? 0) + change;
    }
  }

  /** @param {number} blocks */
  #rebuild(blocks) {
    this.sums = new Float64Array(blocks);
    this.tree = new Float64Array(blocks + 1);
    this.total = 0;
    for (let block = 0; block < blocks; block += 1) {
      const sum = this.#sumOf(block);
      this.sums[block] = sum;
      this.total += sum;
      const at = block + 1;
      this.tree[at] = (this.tree[at] ?? 0) + sum;
      const parent = at + (at & -at);
      if (parent <= blocks) this.tree[parent] = (this.tree[parent] ?? 0) + (this.tree[at] ?? 0);
    }
  }
}
