/**
 * Keys: which does what, in one table that the help shows too. Keys that go with Ctrl, Alt or Meta are the
 * browser's; while text is typed, only Escape is ours.
 */

/**
 * @typedef {object} Key
 * @property {string[]} keys As `KeyboardEvent.key` has them.
 * @property {string} what
 * @property {(key: string) => void} act
 */

/** @param {Key[]} table */
export function listen(table) {
  const acts = new Map(table.flatMap(({ keys, act }) => keys.map((key) => [key, act])));
  addEventListener("pointerdown", () => document.body.classList.remove("by-key"));
  addEventListener("keydown", (event) => {
    if (event.key === "Tab") document.body.classList.add("by-key");
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (isTyping(event.target) && event.key !== "Escape") return;
    if (document.querySelector("dialog[open]") && event.key !== "?") return;
    const act = acts.get(event.key);
    if (!act) return;
    event.preventDefault();
    act(event.key);
  });
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  return target.matches("input:not([type=checkbox]), textarea, select") || target.isContentEditable;
}
