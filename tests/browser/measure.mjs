/**
 * What a long log costs in the browser, for `benches/`: the first screen, jumps to anywhere, frames while it is
 * scrolled, tasks so long that a frame is lost (50 ms). Prints one line of JSON. Given: the run, how many lines.
 */

import { base, browser, given } from "./support.mjs";

const [run, count] = given;
const TRIES = Number(count ?? 7);

/** What the page says when its first line is there. To ask it again and again would take of its time. */
const SHOWN = "the first line is shown";

/** Tells when the first frame and the first line were drawn, and counts frames and long tasks. */
function watch(shown) {
  globalThis.measured = { frame: undefined, first: undefined, frames: 0, long: [] };
  const { measured } = globalThis;
  new PerformanceObserver((list) => measured.long.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
  const frame = () => {
    measured.frames += 1;
    measured.frame ??= performance.now();
    if (measured.first === undefined && document.querySelector("#lines .row:not(.waiting)")) {
      measured.first = performance.now();
      console.info(shown);
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

const middle = (values) => [...values].sort((left, right) => left - right)[values.length >> 1];
const most = (values) => Math.max(...values);
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
await context.addInitScript(watch, SHOWN);

const firsts = [];
/** First frames of a page of one word: what no page can be quicker than. */
const empty = [];
let page;
for (let turn = 0; turn < TRIES; turn += 1) {
  await page?.close();
  page = await context.newPage();
  await page.goto(`${base}/api/v1/healthz`);
  await page.waitForFunction(() => globalThis.measured.frame !== undefined);
  empty.push(await page.evaluate(() => globalThis.measured.frame));
  await page.close();
  page = await context.newPage();
  const shown = page.waitForEvent("console", (message) => message.text() === SHOWN);
  await page.goto(`${base}/?run=${run}&step=*`);
  await shown;
  firsts.push(await page.evaluate(() => globalThis.measured.first));
}

const jumps = await page.evaluate(async (turns) => {
  const log = document.getElementById("log");
  const next = () => new Promise((done) => { requestAnimationFrame(done); });
  const isThere = () => {
    const { top, bottom } = log.getBoundingClientRect();
    const rows = [...document.querySelectorAll("#lines .row")].filter((row) => row.getBoundingClientRect().bottom > top && row.getBoundingClientRect().top < bottom);
    return rows.length > 10 && rows.every((row) => !row.classList.contains("waiting"));
  };
  const took = [];
  for (let turn = 0; turn < turns; turn += 1) {
    const start = performance.now();
    log.scrollTop = ((turn * 0.618) % 1) * (log.scrollHeight - log.clientHeight);
    do await next(); while (!isThere());
    took.push(performance.now() - start);
  }
  return took;
}, TRIES * 3);

await page.evaluate(() => { document.getElementById("log").scrollTop = 1_000_000; });
await page.waitForTimeout(500);
await page.evaluate(() => Object.assign(globalThis.measured, { frames: 0, long: [], since: performance.now() }));
const devtools = await context.newCDPSession(page);
await devtools.send("Input.synthesizeScrollGesture", { x: 700, y: 500, yDistance: -12_000, speed: 3000, gestureSourceType: "mouse" });
const scrolled = await page.evaluate(() => ({ ...globalThis.measured, ms: performance.now() - globalThis.measured.since }));

console.log(JSON.stringify({
  empty_page_ms: middle(empty),
  first_screen_ms: middle(firsts),
  first_screen_most_ms: most(firsts),
  jump_ms: middle(jumps),
  jump_most_ms: most(jumps),
  frames_per_second: (scrolled.frames * 1000) / scrolled.ms,
  long_tasks: scrolled.long.length,
  long_task_most_ms: Math.max(0, ...scrolled.long),
}));
await browser.close();
