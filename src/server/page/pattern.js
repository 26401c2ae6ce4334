/**
 * Where a search matches within a line that is shown. The server searches, with a matcher that takes no
 * more time than the text is long; the browser's may take for ever on an unlucky pattern, so this one
 * looks only where the work has a bound, and else marks the whole line. Pure.
 */

/** @typedef {import("./text.js").Range} Range */

/** Steps that one line may take. */
const MOST_STEPS = 20_000_000;
/** Matches of one line that are marked. */
const MOST_MATCHES = 500;

/** @typedef {{ text: string, fixed: boolean, ignoreCase: boolean }} Search */

/**
 * @param {Search | undefined} search
 * @returns {(text: string, known: boolean) => Range[]} `known`: the server says that the line matches.
 */
export function finder(search) {
  if (!search || search.text === "") return () => [];
  const pattern = compile(search);
  const loops = search.fixed ? 0 : unboundedLoops(search.text);
  return (text, known) => {
    const whole = known ? [{ from: 0, to: text.length }] : [];
    if (!pattern || loops === undefined || text.length ** (loops + 1) > MOST_STEPS) return whole;
    /** @type {Range[]} */
    const found = [];
    for (const match of text.matchAll(pattern)) {
      if (match[0].length > 0) found.push({ from: match.index, to: match.index + match[0].length });
      if (found.length >= MOST_MATCHES) break;
    }
    return found;
  };
}

/** @param {Search} search @returns {RegExp | undefined} */
function compile({ text, fixed, ignoreCase }) {
  const inline = /^\(\?(i)\)/.exec(text);
  const source = fixed ? text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&") : text.replace(/^\(\?i\)/, "").replace(/\(\?P</g, "(?<");
  try {
    return new RegExp(source, `g${fixed ? "" : "u"}${ignoreCase || (inline && !fixed) ? "i" : ""}`);
  } catch {
    return undefined;
  }
}

/** Loops without an end; `undefined` if one holds more than one way through. @param {string} pattern */
export function unboundedLoops(pattern) {
  const bare = pattern.replace(/\\./g, "a").replace(/\[\^?\]?[^\]]*\]/g, "a");
  if (/\)[*+{]/.test(bare)) return undefined;
  return (bare.match(/[*+]|\{\d*,\d*\}/g) ?? []).length;
}
