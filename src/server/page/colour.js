/**
 * Looks of terminal output: the sixteen colours are classes that fit each theme; the other 240 and
 * `#rrggbb` are made light or dark enough to be read on it. Parsing was done on the server.
 */

/** @typedef {import("./types.js").Span} Span */
/** @typedef {[number, number, number]} Rgb */

/** What text must stand out by (WCAG AA). */
const CONTRAST = 4.5;
/** @type {Record<"light" | "dark", Rgb>} What lines stand on; as in theme.css. */
const GROUND = { light: [255, 255, 255], dark: [22, 24, 29] };

/** @param {HTMLElement} element @param {Span} span */
export function paint(element, span) {
  const classes = element.classList;
  for (const name of /** @type {const} */ (["bold", "dim", "italic", "underline", "strike"])) {
    if (span[name]) classes.add(name);
  }
  let { fg, bg } = span;
  if (span.inverse) [fg, bg] = [bg, fg];
  if (span.inverse && !fg && !bg) classes.add("inverse");
  else if (span.inverse && !fg) classes.add("ground-text");
  colour(element, "fg", fg, bg);
  colour(element, "bg", bg, undefined);
}

/** @param {HTMLElement} element @param {"fg" | "bg"} kind @param {string | undefined} value @param {string | undefined} behind */
function colour(element, kind, value, behind) {
  if (value === undefined) return;
  const index = Number(value);
  if (index < 16 && !value.startsWith("#")) {
    element.classList.add(`${kind}-${index}`);
    return;
  }
  const rgb = value.startsWith("#") ? fromHex(value) : fromIndex(index);
  if (!rgb) return;
  element.classList.add(`${kind}-any`);
  for (const theme of /** @type {const} */ (["light", "dark"])) {
    const ground = (behind && (behind.startsWith("#") ? fromHex(behind) : fromIndex(Number(behind)))) || GROUND[theme];
    const shown = kind === "fg" ? readable(rgb, ground) : rgb;
    element.style.setProperty(`--${kind}-${theme}`, `rgb(${shown.join(" ")})`);
  }
}

/** @param {string} text @returns {Rgb | undefined} */
function fromHex(text) {
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(text);
  if (!match) return undefined;
  return /** @type {Rgb} */ (match.slice(1, 4).map((digits) => Number.parseInt(digits, 16)));
}

/** The usual sixteen, for what stands on them. @type {Rgb[]} */
const SIXTEEN = [
  [0, 0, 0], [205, 49, 49], [13, 188, 121], [229, 229, 16], [36, 114, 200], [188, 63, 188], [17, 168, 205], [229, 229, 229],
  [102, 102, 102], [241, 76, 76], [35, 209, 139], [245, 245, 67], [59, 142, 234], [214, 112, 214], [41, 184, 219], [255, 255, 255],
];

/** The colour cube and the greys of 256-colour terminals. @param {number} index @returns {Rgb | undefined} */
export function fromIndex(index) {
  if (!Number.isInteger(index) || index < 0 || index > 255) return undefined;
  if (index < 16) return SIXTEEN[index];
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return [grey, grey, grey];
  }
  const steps = [0, 95, 135, 175, 215, 255];
  const cube = index - 16;
  return [steps[Math.floor(cube / 36)] ?? 0, steps[Math.floor(cube / 6) % 6] ?? 0, steps[cube % 6] ?? 0];
}

/** The colour, moved towards white or black until it can be read. @param {Rgb} rgb @param {Rgb} ground @returns {Rgb} */
export function readable(rgb, ground) {
  const towards = luminance(ground) > 0.18 ? 0 : 255;
  for (let share = 0; share <= 1; share += 0.1) {
    const mixed = /** @type {Rgb} */ (rgb.map((part) => Math.round(part + (towards - part) * share)));
    if (contrast(mixed, ground) >= CONTRAST) return mixed;
  }
  return [towards, towards, towards];
}

/** @param {Rgb} left @param {Rgb} right */
export function contrast(left, right) {
  const [dark, light] = [luminance(left), luminance(right)].sort((a, b) => a - b);
  return ((light ?? 0) + 0.05) / ((dark ?? 0) + 0.05);
}

/** @param {Rgb} rgb */
function luminance(rgb) {
  const [red, green, blue] = rgb.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * (red ?? 0) + 0.7152 * (green ?? 0) + 0.0722 * (blue ?? 0);
}
