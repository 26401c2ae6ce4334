/**
 * Light, dark, or as the system has it: an attribute of the document that theme.css looks at.
 */

const KEY = "steplog.theme";
/** @typedef {"auto" | "light" | "dark"} Theme */
/** @type {Theme[]} */
const THEMES = ["auto", "light", "dark"];

/** @returns {Theme} */
export function theme() {
  return THEMES.find((one) => one === localStorage.getItem(KEY)) ?? "auto";
}

export function applyTheme() {
  document.documentElement.dataset["theme"] = theme();
}

/** The next one. @returns {Theme} */
export function turnTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length] ?? "auto";
  localStorage.setItem(KEY, next);
  applyTheme();
  return next;
}
