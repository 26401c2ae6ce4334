/**
 * A message to elements: colours of its spans, links, matches of the search, and characters that cannot be
 * seen made visible. The text of what is made is the message, unchanged, so selections and copies are true;
 * the picture of a control character is drawn by CSS from an attribute. Only text nodes, never HTML.
 */

import { paint } from "./colour.js";

/** @typedef {import("./types.js").Span} Span */
/** @typedef {{ from: number, to: number }} Range */

/** Control characters, marks that turn text around, and what takes no room. */
// eslint-disable-next-line no-control-regex -- control characters are what this is about
const UNSEEN = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
/** A joiner is part of an emoji, and shown elsewhere. */
const JOINER = /(?<!\p{Extended_Pictographic}\ufe0f?|[\u{1f3fb}-\u{1f3ff}])\u200d/gu;
/** Up to what cannot be in one or cannot be seen; what ends a sentence is not part of it. */
const LINK = /\bhttps?:\/\/[^\s"'<>`\p{C}]+[^\s"'<>`.,;:!?)\]}\p{C}]/gu;
const PLAIN = /^[\t\u0020-\u007e]*$/;

/**
 * Puts a message into an element.
 * @param {HTMLElement} into
 * @param {string} text
 * @param {{ spans?: Span[] | undefined, found?: Range[], current?: boolean }} [looks]
 */
export function show(into, text, { spans = [], found = [], current = false } = {}) {
  const hasLink = text.includes("://");
  if (spans.length === 0 && found.length === 0 && !hasLink && PLAIN.test(text)) {
    into.append(text);
    return;
  }
  const links = hasLink ? matches(LINK, text) : [];
  const unseen = PLAIN.test(text) ? [] : [...matches(UNSEEN, text), ...matches(JOINER, text)];
  const cuts = new Set([0, text.length]);
  for (const { from, to } of [...links, ...unseen, ...found]) cuts.add(from).add(to);
  for (const span of spans) cuts.add(Math.min(span.at, text.length)).add(Math.min(span.at + span.len, text.length));
  const places = [...cuts].sort((left, right) => left - right);
  const span = cursor(spans.map((it) => ({ from: it.at, to: it.at + it.len, span: it })));
  const link = cursor(links);
  const mark = cursor(found);
  const control = cursor(unseen);
  for (let at = 0; at + 1 < places.length; at += 1) {
    const from = places[at] ?? 0;
    const to = places[at + 1] ?? 0;
    const piece = text.slice(from, to);
    /** @type {Node} */
    let node = control(from) ? unseenCharacter(piece) : document.createTextNode(piece);
    if (mark(from)) node = wrap(document.createElement("mark"), node, current ? "current" : "");
    const look = span(from)?.span;
    if (look) {
      const element = document.createElement("span");
      paint(element, look);
      node = wrap(element, node);
    }
    const plain = link(from);
    const target = look?.link ?? (plain && text.slice(plain.from, plain.to));
    if (target && /^https?:\/\//i.test(target)) node = anchor(target, node);
    into.append(node);
  }
}

/** @param {RegExp} pattern @param {string} text @returns {Range[]} */
function matches(pattern, text) {
  return [...text.matchAll(pattern)].map((match) => ({ from: match.index, to: match.index + match[0].length }));
}

/**
 * Asks for the range at ever later places; ranges do not overlap and stand in order.
 * @template {Range} R
 * @param {R[]} ranges
 * @returns {(at: number) => R | undefined}
 */
function cursor(ranges) {
  const sorted = ranges.length > 1 ? [...ranges].sort((left, right) => left.from - right.from) : ranges;
  let next = 0;
  return (at) => {
    while (next < sorted.length && (sorted[next]?.to ?? 0) <= at) next += 1;
    const range = sorted[next];
    return range && range.from <= at ? range : undefined;
  };
}

/** @param {HTMLElement} element @param {Node} node @param {string} [classes] */
function wrap(element, node, classes) {
  if (classes) element.className = classes;
  element.append(node);
  return element;
}

/** @param {string} target @param {Node} node */
function anchor(target, node) {
  const element = document.createElement("a");
  element.href = target;
  element.target = "_blank";
  element.rel = "noopener noreferrer nofollow";
  element.append(node);
  return element;
}

/** @param {string} character */
function unseenCharacter(character) {
  const code = character.codePointAt(0) ?? 0;
  const element = document.createElement("span");
  element.className = "unseen";
  element.dataset["name"] = picture(code);
  element.title = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  element.append(character);
  return element;
}

/** Of control characters, in order. */
const CONTROLS = "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US".split(" ");

/** `ESC` for a control character, `<U+202E>` for others. @param {number} code */
export function picture(code) {
  if (code < 0x20) return CONTROLS[code] ?? "";
  if (code === 0x7f) return "DEL";
  return `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
}
