/**
 * Makes elements. The only way that text gets into the page is a text node, so a log line can hold
 * anything and stays text. Knows nothing of logs.
 */

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * An element. `on…` are listeners, `class` is the class, `true` is an empty attribute, `false`, null
 * and undefined are none; everything else is an attribute.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on") && typeof value === "function") {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (name === "class") {
      element.className = String(value);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  add(element, children);
  return element;
}

/**
 * Replaces what an element holds. Who is at one of its buttons or links by key stays there.
 * @param {Element} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  const focused = element.contains(document.activeElement) ? used(element).findIndex((one) => one === document.activeElement) : -1;
  element.replaceChildren();
  add(element, children);
  if (focused >= 0) used(element)[focused]?.focus({ preventScroll: true });
}

/** @param {Element} element @returns {HTMLElement[]} */
function used(element) {
  return [.../** @type {NodeListOf<HTMLElement>} */ (element.querySelectorAll("a, button"))];
}

/**
 * The element of that id, which index.html has.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element;
}

/** @param {Element} element @param {Child[]} children */
function add(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child);
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** Paths on a grid of 16 × 16. Those of a status are told apart by shape as well as by colour. */
const ICONS = {
  succeeded: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM5.2 8.2l2 2 3.7-4.2",
  failed: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM5.7 5.7l4.6 4.6M10.3 5.7l-4.6 4.6",
  running: "M8 1.5a6.5 6.5 0 1 1-6.5 6.5",
  unfinished: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM8 4.5V8l2.4 1.6",
  interrupted: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM5 8h6",
  continued: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM5 8h6M8.5 5.5L11 8l-2.5 2.5",
  incomplete: "M8 1.5l6.8 12.5H1.2zM8 6v3.8M8 11.6v.6",
  waiting: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z",
  chevron: "M6 3.5L10.5 8 6 12.5",
  search: "M7 2a5 5 0 1 0 0 10A5 5 0 0 0 7 2zM10.7 10.7L14.2 14.2",
  up: "M3.5 10L8 5.5l4.5 4.5",
  down: "M3.5 6L8 10.5 12.5 6",
  download: "M8 2v8M4.5 6.8L8 10.3l3.5-3.5M2.5 13.5h11",
  wrap: "M2 3.5h12M2 12.5h3.5M2 8h9.8a2.3 2.3 0 0 1 0 4.5H9M10.7 10.6L8.6 12.5l2.1 1.9",
  clock: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8zM8 4.6V8l2.3 1.5",
  filter: "M2 3h12l-4.6 5.4V13l-2.8-1.4V8.4z",
  follow: "M8 1.8v9M4.2 7.3L8 11l3.8-3.7M3 14.2h10",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3.050 3.050l1.150 1.150M11.8 11.8l1.150 1.150M3.050 12.950l1.150-1.150M11.8 4.2l1.150-1.150",
  moon: "M13.6 9.8A6 6 0 0 1 6.2 2.4a6 6 0 1 0 7.4 7.4z",
  auto: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 2v12M8 5l4.5 0M8 8h6M8 11h4.5",
  help: "M5.8 6a2.2 2.2 0 1 1 3.3 1.9c-.7.4-1.1.9-1.1 1.7M8 12v.4",
  menu: "M2 4h12M2 8h12M2 12h12",
  close: "M4 4l8 8M12 4l-8 8",
  link: "M6.7 9.3a2.6 2.6 0 0 0 3.7 0l2.5-2.5a2.6 2.6 0 0 0-3.7-3.7L8 4.3M9.3 6.7a2.6 2.6 0 0 0-3.7 0L3.1 9.2a2.6 2.6 0 0 0 3.7 3.7L8 11.7",
  fold: "M4 6l4 4 4-4",
  options: "M2 4.5h7M12 4.5h2M2 11.5h2M7 11.5h7M10.5 3v3M5.5 10v3",
};

/** @typedef {keyof typeof ICONS} Icon */

/**
 * A picture; decoration for who cannot see it, so the element around it says the same in words.
 * @param {Icon} name
 * @param {string} [classes]
 */
export function icon(name, classes = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", `icon icon-${name} ${classes}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}
