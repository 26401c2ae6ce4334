/**
 * What the browser keeps for the page: taste between visits, a token until the tab is closed. Where it refuses to
 * (some do for sites without a name, or when they are told to keep nothing), as long as the page is open.
 */

/** @type {Map<string, string>} */
const memory = new Map();

/** @param {"local" | "session"} where @param {string} name @returns {string | null} */
export function kept(where, name) {
  try {
    return storage(where).getItem(name);
  } catch {
    return memory.get(name) ?? null;
  }
}

/** @param {"local" | "session"} where @param {string} name @param {string} value */
export function keep(where, name, value) {
  memory.set(name, value);
  try {
    storage(where).setItem(name, value);
  } catch {
    // It is in memory.
  }
}

/** @param {"local" | "session"} where */
function storage(where) {
  return where === "local" ? localStorage : sessionStorage;
}
