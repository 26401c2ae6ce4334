/**
 * What every browser test needs: a page in Chromium that must not fail, warn, or ask anything outside, what a
 * reader sees of the log, waiting until something is so, pictures, and accessibility checks.
 */

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { fileURLToPath } from "node:url";

const require = createRequire(new URL("../../.node/", import.meta.url));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const PICTURES = fileURLToPath(new URL("../../target/screenshots/", import.meta.url));

/** Where the server is. */
export const base = process.argv[2] ?? "";
/** What the Rust test gave besides. */
export const given = process.argv.slice(3);

const WAIT = 20_000;
/** Chromium. */
export const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const pages = [];

/** One thing that a person does and sees. */
export async function check(what, act) {
  try {
    await act();
    for (const { complaints } of pages) assert.deepEqual(complaints, [], "the page complains");
    console.log(`ok ${what}`);
  } catch (error) {
    console.log(`FAILED ${what}\n${error.stack}`);
    for (const [at, { page }] of pages.entries()) if (!page.isClosed()) await picture(page, `failed-${at}`);
    await browser.close();
    process.exit(1);
  }
}

/** Says that all went well. */
export async function done() {
  await browser.close();
}

/** A way to the server: its address; `cut` resets all connections and lets none be made until `mend`, `silence` lets those that are followed hang. */
export async function fragileWay() {
  const { hostname, port } = new URL(base);
  const sockets = new Set();
  const followed = new Set();
  let isCut = false;
  const way = createServer((near) => {
    if (isCut) return void near.resetAndDestroy();
    const far = connect(Number(port), hostname);
    far.on("data", (bytes) => bytes.includes("text/event-stream") && followed.add(far));
    for (const [one, other] of [[near, far], [far, near]]) {
      sockets.add(one);
      one.on("error", () => other.destroy()).on("close", () => sockets.delete(one) && other.destroy());
      one.pipe(other);
    }
  });
  await new Promise((listens) => way.listen(0, "127.0.0.1", listens));
  return {
    address: `http://127.0.0.1:${way.address().port}`,
    cut: () => {
      isCut = true;
      sockets.forEach((one) => one.resetAndDestroy());
    },
    mend: () => {
      isCut = false;
    },
    silence: () => followed.forEach((one) => one.unpipe().pause()),
    close: () => {
      way.close();
      sockets.forEach((one) => one.destroy());
    },
  };
}

/** A page at an address of the server, or of a `way` to it; `before` is done to it before it goes there. */
export async function open(path, { theme = "light", size = [1440, 900], expected = [], clipboard = false, bypass = false, way = base, before } = {}) {
  const context = await browser.newContext({ viewport: { width: size[0], height: size[1] }, colorScheme: theme, timezoneId: "Europe/Berlin", locale: "en-GB", acceptDownloads: true, bypassCSP: bypass });
  if (clipboard) await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: way });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT);
  const complaints = [];
  pages.push({ page, complaints });
  const complain = (words) => expected.some((one) => words.includes(one)) || complaints.push(words);
  page.on("pageerror", (error) => complain(`error: ${error.stack}`));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complain(`console: ${message.text()}`));
  page.on("dialog", (dialog) => complain(`dialog: ${dialog.message()}`));
  page.on("request", (request) => request.url().startsWith(way) || request.url().startsWith("blob:") || complain(`request outside: ${request.url()}`));
  await before?.(page);
  await page.goto(way + path);
  return page;
}

/** Holds what is asked for at such an address until it is let go; `asked` is settled once it is. */
export async function hold(page, address) {
  let release;
  let arrived;
  const held = new Promise((resolve) => { release = resolve; });
  const asked = new Promise((resolve) => { arrived = resolve; });
  await page.route(address, async (route) => {
    arrived();
    await held;
    // It may have been given up.
    await route.continue().catch(() => {});
  });
  return {
    asked,
    release: async () => {
      release();
      await page.unrouteAll({ behavior: "wait" });
    },
  };
}

/** An answer of a server that has too much to do. */
export const BUSY = { status: 503, contentType: "application/problem+json", body: JSON.stringify({ title: "Too much to do", status: 503 }) };

/** The rows that are in sight, from the top. */
export function rows(page) {
  return page.evaluate(() => {
    const log = document.getElementById("log").getBoundingClientRect();
    return [...document.querySelectorAll("#lines .row")]
      .map((element) => ({ element, box: element.getBoundingClientRect() }))
      .filter(({ box }) => box.bottom > log.top + 1 && box.top < log.bottom - 1)
      .sort((left, right) => left.box.top - right.box.top)
      .map(({ element, box }) => {
        const cell = element.querySelector(".text").cloneNode(true);
        for (const extra of cell.querySelectorAll(".more, .note")) extra.remove();
        return {
          number: Number(element.querySelector(".number").textContent.replace(/\D/g, "")),
          text: cell.textContent,
          classes: [...element.classList],
          time: element.querySelector(".time")?.textContent,
          label: element.querySelector(".label")?.textContent,
          level: element.querySelector(".level .for-reader")?.textContent,
          marks: [...element.querySelectorAll("mark")].map((mark) => mark.textContent),
          top: box.top - log.top,
          height: box.height,
          waiting: element.classList.contains("waiting"),
        };
      });
  });
}

/** Waits until lines are in sight. */
export async function shown(page) {
  await page.locator("#lines .row:not(.waiting)").first().waitFor();
}

/** Asks until the answer is as it should be; fails with the last answer. */
export async function until(what, ask, isSo) {
  const end = Date.now() + WAIT;
  for (;;) {
    const answer = await ask();
    if (isSo(answer)) return answer;
    if (Date.now() > end) assert.fail(`${what}: still ${brief(answer)}`);
    await new Promise((next) => setTimeout(next, 30));
  }
}

/** An answer in words; of rows only what a reader sees first. */
function brief(answer) {
  if (!Array.isArray(answer)) return JSON.stringify(answer);
  return answer.map((one) => (one.text === undefined ? JSON.stringify(one) : `${one.number} ${one.classes.slice(2).join(" ")} | ${one.text.slice(0, 80)}`)).join("\n");
}

/** Waits until a row in sight is as it should be, and gives it. */
export async function row(page, what, isSo) {
  const all = await until(what, () => rows(page), (found) => found.some(isSo));
  return all.find(isSo);
}

/** Rows stand below each other without a hole, and none is still to come. */
export function assertWhole(page) {
  // Rows are put in their places just before a frame is painted; a script may look earlier.
  const fits = (one, next) => !next || Math.abs(one.top + one.height - next.top) < 1.5;
  return until("rows below each other", () => rows(page), (found) => found.length > 0 && found.every((one, at) => !one.waiting && fits(one, found[at + 1])));
}

/** Nothing stands out of the window at its side, or is cut off by it. */
export async function assertFits(page) {
  const out = await page.evaluate(() => [...document.querySelectorAll("#top *, #header *, #banners *, #bar *, #runs *, #empty *")].filter((element) => {
    const { left, right, width } = element.getBoundingClientRect();
    // What only a screen reader sees is cut off on purpose; closed menus have no size.
    return width > 1 && element.checkVisibility() && (left < -0.5 || right > innerWidth + 0.5);
  }).map((element) => element.outerHTML.slice(0, 120)));
  assert.deepEqual(out, []);
}

/** A picture for people, kept with the results of the tests. */
export async function picture(page, name) {
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: `${PICTURES}${name}.png`, animations: "disabled" });
}

/** No rule of WCAG 2.2 AA, nor what axe calls best practice, is broken. */
export async function assertAccessible(page, what) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  const words = violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.slice(0, 5).map((node) => `  ${node.html.slice(0, 200)}\n  ${node.failureSummary}`).join("\n")}`);
  assert.deepEqual(words, [], what);
}

export { assert };
