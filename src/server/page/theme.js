/**
 * Light, dark, or as the system has it: an attribute of the document that theme.css looks at.
 */

import { keep, kept } from "./storage.js";

const KEY = "steplog.theme";
/** @typedef {"auto" | "light" | "dark"} Theme */
/** @type {Theme[]} */
const THEMES = ["auto", "light", "dark"];

/** @returns {Theme} */
export function theme() {
  return THEMES.find((one) => one === kept("local", KEY)) ?? "auto";
}

export function applyTheme() {
  document.documentElement.dataset["theme"] = theme();
}

/** The next one. @returns {Theme} */
export function turnTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length] ?? "auto";
  keep("local", KEY, next);
  applyTheme();
  return next;
}
