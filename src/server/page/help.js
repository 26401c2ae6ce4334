/**
 * The help: every key, and what the mouse can do that one does not see. Made from the table of keyboard.js.
 */

import { el, fill } from "./dom.js";

/** What is done without a key. */
const HINTS = [
  ["Click on a line's number", "link to it; with Shift, to a range"],
  ["Ctrl-click on a step", "show it together with others"],
  ["Click on the strip at the right", "go there; red are errors, blue are matches"],
  ["Copy", "gives lines as they were printed, without numbers and times"],
];

/** @type {Record<string, string>} */
const NAMES = { Escape: "Esc", " ": "Space", ArrowUp: "↑", ArrowDown: "↓" };

/** @param {HTMLDialogElement} dialog @param {import("./keyboard.js").Key[]} table */
export function fillHelp(dialog, table) {
  const close = el("button", { type: "button", class: "button", autofocus: true }, "Close");
  close.addEventListener("click", () => dialog.close());
  fill(dialog,
    el("h2", { id: "help-title" }, "Keys"),
    el("dl", { class: "keys" }, ...table.flatMap(({ keys, what }) => [
      el("dt", {}, ...keys.map((key) => el("kbd", {}, NAMES[key] ?? key))),
      el("dd", {}, what),
    ])),
    el("h2", {}, "And"),
    el("dl", { class: "hints" }, ...HINTS.flatMap(([how, what]) => [el("dt", {}, how ?? ""), el("dd", {}, what ?? "")])),
    el("div", { class: "buttons" }, close));
}
