/**
 * What a long log costs in the browser, for `benches/`: the first screen, jumps to anywhere, frames while it is
 * scrolled, tasks so long that a frame is lost (50 ms). Prints one line of JSON. Given: the run, how many lines.
 */

import { base, browser, given } from "./support.mjs";

const [run, count] = given;
const TRIES = Number(count ?? 7);

/** Tells when the first line was drawn, and counts frames and long tasks. */
function watch() {
  globalThis.measured = { first: undefined, frames: 0, long: [] };
  const { measured } = globalThis;
  new PerformanceObserver((list) => measured.long.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
  const frame = () => {
    measured.frames += 1;
    if (measured.first === undefined && document.querySelector("#lines .row:not(.waiting)")) measured.first = performance.now();
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

const middle = (values) => [...values].sort((left, right) => left - right)[values.length >> 1];
const most = (values) => Math.max(...values);
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
await context.addInitScript(watch);

const firsts = [];
let page;
for (let turn = 0; turn < TRIES; turn += 1) {
  await page?.close();
  page = await context.newPage();
  await page.goto(`${base}/?run=${run}&step=*`);
  await page.waitForFunction(() => globalThis.measured.first !== undefined);
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
  first_screen_ms: middle(firsts),
  first_screen_most_ms: most(firsts),
  jump_ms: middle(jumps),
  jump_most_ms: most(jumps),
  frames_per_second: (scrolled.frames * 1000) / scrolled.ms,
  long_tasks: scrolled.long.length,
  long_task_most_ms: Math.max(0, ...scrolled.long),
}));
await browser.close();
