/**
 * One line to one row: number, time, label, level, fold, text. Pure given the line and how lines are to be
 * shown; adds no listener, since rows come and go by the thousand: the log listens for all of them.
 */

import { el, icon } from "./dom.js";
import { placeOf } from "./place.js";
import { show } from "./text.js";
import { stamp, wholeTime } from "./time.js";
import { count, gapWords } from "./words.js";

/** @typedef {import("./types.js").Line} Line */

/**
 * How lines are to be shown.
 * @typedef {object} Look
 * @property {import("./time.js").TimeMode} time
 * @property {number} start Milliseconds of the start.
 * @property {Map<string, { text: string, colour: number }>} labels By stream; empty: there is no column.
 * @property {(text: string, known: boolean) => import("./text.js").Range[]} find
 * @property {boolean} onlyMatches The server sent only lines that match.
 * @property {Set<string>} long Lines that are shown whole.
 * @property {boolean} progress All states of progress bars.
 */

/**
 * What the row is besides its line.
 * @typedef {object} Place
 * @property {number} row
 * @property {number} total
 * @property {Line | undefined} previous
 * @property {boolean} chosen It is the line of the address, or within its range.
 * @property {boolean} current It is the match, or the error, that was gone to.
 * @property {boolean} isMatch The server found it.
 * @property {number} group Lines of the group that begins here, or 0.
 * @property {boolean} open The group, or the section, is open.
 * @property {boolean} foldable A section that can be folded begins here.
 */

/** Characters that are shown at first. A terminal's worth of lines is enough to see what it is. */
export const MOST_CHARACTERS = 5000;

const LEVELS = /** @type {const} */ ({
  TRACE: ["T", "Trace"],
  DEBUG: ["D", "Debug"],
  INFO: ["I", "Info"],
  WARNING: ["W", "Warning"],
  ERROR: ["E", "Error"],
  CRITICAL: ["C", "Critical"],
});

/** A row whose line has not come yet. @param {number} row @param {number} total */
export function emptyRow(row, total) {
  return el("div", { class: "row waiting", role: "listitem", "aria-posinset": row + 1, "aria-setsize": total },
    el("span", { class: "number" }, String(row + 1)),
    el("span", { class: "text" }, el("span", { class: "for-reader" }, "loading")));
}

/** @param {Line} line @param {Place} place @param {Look} look */
export function lineRow(line, place, look) {
  const number = line.number ?? place.row;
  const row = el("div", { class: classes(line, place), role: "listitem", "aria-posinset": place.row + 1, "aria-setsize": place.total });
  row.dataset["place"] = placeOf(line);
  row.append(el("a", { class: "number", href: `#${placeOf(line)}`, tabindex: -1, title: `Line ${count(number + 1)} · ${line.iostream}\nClick: link to it · Shift-click: to here` }, String(number + 1)));
  if (look.time !== "off") {
    row.append(el("time", { class: `time time-${look.time}`, title: wholeTime(line.time) }, stamp(look.time, line.time, look.start, place.previous?.time)));
  }
  if (look.labels.size > 0) {
    const label = look.labels.get(line.writer);
    row.append(el("span", { class: `label label-${label?.colour ?? 0}`, title: `${line.step_id}, attempt ${line.attempt}, ${line.source}` }, label?.text ?? line.step_id));
  }
  row.append(levelCell(line), foldCell(line, place), textCell(line, place, look));
  return row;
}

/** @param {Line} line @param {Place} place */
function classes(line, place) {
  const names = ["row", line.iostream];
  if (line.level) names.push(line.level.toLowerCase());
  if (line.gap) names.push("gap");
  if (line.section) names.push(`section-${line.section.kind}`);
  if (line.progress) names.push("progress");
  if (line.group !== undefined) names.push("grouped");
  if (line.matched === false) names.push("context");
  if ((line.part ?? 1) > 1) names.push("part");
  if (place.chosen) names.push("chosen");
  if (place.current) names.push("current");
  if (line.message.includes("\n") || line.message.includes("\r")) names.push("varies");
  return names.join(" ");
}

/** @param {Line} line */
function levelCell(line) {
  if (!line.level) return el("span", { class: "level" });
  const [letter, name] = LEVELS[line.level];
  return el("span", { class: "level", title: name }, el("span", { "aria-hidden": "true" }, letter), el("span", { class: "for-reader" }, name));
}

/** @param {Line} line @param {Place} place */
function foldCell(line, place) {
  if (place.group < 5 && !place.foldable) return el("span", { class: "fold" });
  const what = line.section ? "section" : "traceback";
  const title = `${place.open ? "Fold" : "Unfold"} this ${what}`;
  return el("button", { class: "fold", type: "button", tabindex: -1, title, "aria-label": title, "aria-expanded": String(place.open), "data-does": line.section ? "section" : "group" }, icon("chevron"));
}

/** @param {Line} line @param {Place} place @param {Look} look */
function textCell(line, place, look) {
  const cell = el("span", { class: "text" });
  if (line.gap) {
    cell.append(gapWords(line.gap));
    return cell;
  }
  if (line.section?.kind === "start" && line.section.name && look.find(line.message, false).length === 0) {
    show(cell, line.section.name);
    return cell;
  }
  const all = shownText(line, look);
  const isLong = all.length > MOST_CHARACTERS && !look.long.has(placeOf(line));
  const text = isLong ? all.slice(0, MOST_CHARACTERS) : all;
  const known = place.isMatch || (look.onlyMatches && line.matched !== false);
  const spans = all === line.message ? line.spans : undefined;
  show(cell, text, { spans, found: look.find(text, known), current: place.current });
  if (isLong) cell.append(el("button", { class: "more", type: "button", "data-does": "long" }, `… show all ${count(all.length)} characters`));
  else if (line.cut !== undefined) cell.append(el("button", { class: "more", type: "button", "data-does": "whole" }, `… download all ${count(line.cut)} characters`));
  if (place.group >= 5 && !place.open) cell.append(el("button", { class: "more", type: "button", tabindex: -1, "data-does": "group" }, `${count(place.group - 2)} more lines`));
  if (line.progress && !look.progress && (line.states ?? 0) > 1) {
    cell.append(el("span", { class: "note", title: "States of this progress bar; the last is shown" }, `×${count(line.states ?? 0)}`));
  }
  return cell;
}

/** A progress bar as it is at last, or each state on a row of its own. @param {Line} line @param {Look} look */
function shownText(line, look) {
  if (!line.progress || !line.message.includes("\r")) return line.message;
  const states = line.message.split(/[\r\n]+/).filter((state) => state.trim() !== "");
  return look.progress ? states.join("\n") : (states[states.length - 1] ?? "");
}
