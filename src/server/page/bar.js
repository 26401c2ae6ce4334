/**
 * The bar above the lines: search, level, stream, times, follow, how lines are shown, downloads. Its fields show
 * the view and change it; what the search and the following say of themselves is shown beside them. Finds nothing
 * and fetches nothing.
 */

import { byId, el } from "./dom.js";
import { TIME_MODES, TIME_NAMES } from "./time.js";
import { count, counted } from "./words.js";

/** @typedef {import("./state.js").View} View */

/** Milliseconds without a key until a search begins. */
const TYPED = 250;
/** Switches, which are called as what they switch. */
const SWITCHES = /** @type {const} */ (["wrap", "regex", "matchCase", "filter", "progress", "unfolded"]);

export class Bar {
  /** @param {import("./state.js").State} state @param {import("./log.js").Log} log @param {(what: string, form: import("./download.js").Form) => void} save */
  constructor(state, log, save) {
    this.state = state;
    this.log = log;
    this.search = /** @type {HTMLInputElement} */ (byId("search"));
    this.level = /** @type {HTMLSelectElement} */ (byId("level"));
    this.iostream = /** @type {HTMLSelectElement} */ (byId("iostream"));
    this.time = /** @type {HTMLSelectElement} */ (byId("time"));
    for (const mode of TIME_MODES) this.time.append(el("option", { value: mode }, TIME_NAMES[mode]));
    for (const name of SWITCHES) this.#on(name, () => state.change({ [name]: !state.view[name] }));
    this.level.addEventListener("change", () => state.change({ level: this.level.value }));
    this.iostream.addEventListener("change", () => state.change({ iostream: this.iostream.value }));
    this.time.addEventListener("change", () => state.change({ time: TIME_MODES.find((mode) => mode === this.time.value) ?? "off" }));
    this.#on("next", () => void log.places.nextMatch(1));
    this.#on("previous", () => void log.places.nextMatch(-1));
    this.#on("follow", () => log.live.toggle());
    this.#on("new-lines", () => void log.places.goToBottom());
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-download]"))) {
      const [what, form] = (button.dataset["download"] ?? "").split(" ");
      button.addEventListener("click", () => save(what ?? "", /** @type {import("./download.js").Form} */ (form)));
    }
    for (const menu of /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll("details.menu"))) closeOutside(menu);
    this.#listenForWords();
  }

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #typed;

  /** Fields as the view has them. @param {View} view */
  draw(view) {
    if (document.activeElement !== this.search && this.search.value !== view.query) this.search.value = view.query;
    this.level.value = view.level;
    this.iostream.value = view.iostream;
    this.time.value = view.time;
    for (const name of SWITCHES) {
      const button = byId(name);
      button.setAttribute(button.role === "switch" ? "aria-checked" : "aria-pressed", String(view[name]));
    }
  }

  /** How many match, and which of them was gone to. */
  drawSearch() {
    const { positions, at, matches, busy, complete, asked } = this.log.places.search;
    byId("search-box").classList.toggle("busy", busy);
    for (const id of ["next", "previous"]) /** @type {HTMLButtonElement} */ (byId(id)).disabled = positions.length === 0;
    const all = `${count(matches)}${complete || busy ? "" : "+"}`;
    /** @returns {string} */
    const words = () => {
      if (!asked) return "";
      if (busy && at < 0) return matches === 0 ? "searching…" : `${all} so far`;
      if (matches === 0) return "no match";
      return at < 0 ? `${all} ${matches === 1 ? "match" : "matches"}` : `${count(at + 1)} / ${all}`;
    };
    byId("count").textContent = words();
  }

  /** Whether lines come, and how many wait below. */
  drawFollowing() {
    const { live, viewport } = this.log;
    const button = /** @type {HTMLButtonElement} */ (byId("follow"));
    button.hidden = live.state === "off";
    button.setAttribute("aria-pressed", String(viewport.pinned));
    button.classList.toggle("broken", live.state === "broken");
    byId("follow-word").textContent = live.state === "broken" ? "Reconnecting" : viewport.pinned ? "Following" : "Paused";
    byId("new-lines").hidden = live.state === "off" || viewport.pinned || live.unseen === 0;
    byId("new-lines-word").textContent = counted(live.unseen, "new line");
  }

  focusSearch() {
    this.search.focus();
    this.search.select();
  }

  /** @param {string} id @param {() => void} act */
  #on(id, act) {
    byId(id).addEventListener("click", act);
  }

  /** What is typed is searched for: after a moment, or at once with Enter. */
  #listenForWords() {
    const { search, log } = this;
    search.addEventListener("input", () => {
      clearTimeout(this.#typed);
      this.#typed = setTimeout(() => this.#apply(), TYPED);
    });
    search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        if (!this.#apply()) void log.places.nextMatch(event.shiftKey ? -1 : 1);
      } else if (event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        if (search.value) {
          search.value = "";
          this.#apply();
        } else byId("log").focus();
      } else if (event.key === "ArrowDown") byId("log").focus();
    });
  }

  /** @returns {boolean} Whether it is another search. */
  #apply() {
    const { search, state, log } = this;
    clearTimeout(this.#typed);
    if (search.value === state.view.query) return false;
    log.places.current = "";
    state.change({ query: search.value, ...(search.value ? {} : { filter: false }), line: "" });
    return true;
  }
}

/** A menu closes when something else is used. @param {HTMLDetailsElement} menu */
function closeOutside(menu) {
  addEventListener("pointerdown", (event) => {
    if (!menu.contains(/** @type {Node} */ (event.target))) menu.open = false;
  });
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !menu.contains(/** @type {Node} */ (event.relatedTarget))) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary")?.focus();
    event.stopPropagation();
  });
}
