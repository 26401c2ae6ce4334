/**
 * Scrolling a long log, as by wheel, keys, scroll bar and strip: each line in its place, never a hole, few of them
 * held. Given: a run of 300,000 lines as tests/support/lines.rs numbers them.
 */

import { assert, assertWhole, check, done, given, open, picture, row, rows, shown, until } from "./support.mjs";

const [run] = given;
const TOTAL = 300_000;
const numbered = (number) => `line=${String(number).padStart(8, "0")}`;
/** Each row in sight is the line of its number. */
const assertTrue = async (page) => {
  const all = await assertWhole(page);
  for (const { number, text } of all) assert.ok(text.includes(numbered(number - 1)), `row ${number} is ${text}`);
  return all;
};

for (const wrap of [0, 1]) {
  const page = await open(`/?run=${run}&wrap=${wrap}`);
  const log = page.locator("#log");

  await check(`wheel, wrap=${wrap}: line after line`, async () => {
    await shown(page);
    await page.mouse.move(700, 500);
    let last = 0;
    for (let turn = 0; turn < 12; turn += 1) {
      await page.mouse.wheel(0, 400);
      const all = await until("moved", () => rows(page), (found) => found.length > 0 && found[0].number > last);
      last = all[0].number;
      await assertTrue(page);
    }
  });

  await check(`keys, wrap=${wrap}: a page, the end, the beginning`, async () => {
    await log.focus();
    await page.keyboard.press("End");
    await row(page, "the last line", ({ number }) => number === TOTAL);
    await assertTrue(page);
    await page.keyboard.press("PageUp");
    await until("a page up", () => rows(page), (found) => found.length > 0 && found.at(-1).number < TOTAL - 10);
    await assertTrue(page);
    await page.keyboard.press("Home");
    await row(page, "the first line", ({ number }) => number === 1);
    await assertTrue(page);
    await page.keyboard.press("G");
    await row(page, "the last line", ({ number }) => number === TOTAL);
    await page.keyboard.press("g");
    await row(page, "the first line", ({ number }) => number === 1);
  });

  await check(`the scroll bar, wrap=${wrap}: anywhere at once, and little is held`, async () => {
    const far = async (share) => {
      const all = await until(`at ${share}`, async () => {
        await log.evaluate((element, where) => { element.scrollTop = where * (element.scrollHeight - element.clientHeight); }, share);
        return rows(page);
      }, (found) => found.length > 0 && Math.abs(found[0].number / TOTAL - share) < 0.01);
      await assertTrue(page);
      return all;
    };
    for (const share of [0.5, 0.25, 0.9, 0.1, 0.75, 0.33, 0.66, 0.05, 0.95, 0.4]) await far(share);
    const elements = await page.locator("#lines .row").count();
    assert.ok(elements < 200, `${elements} rows are in the page`);
  });

  await check(`the strip, wrap=${wrap}: a click goes there`, async () => {
    const box = await page.locator("#strip").boundingBox();
    await page.mouse.click(box.x + box.width / 2, box.y + box.height * 0.6);
    await until("there", () => rows(page), (found) => found.some(({ number }) => Math.abs(number / TOTAL - 0.6) < 0.01));
    await assertTrue(page);
  });

  await page.context().close();
}

const page = await open(`/?run=${run}`, { clipboard: true });

await check("a server that goes away is said to be away, and lines come when it is there again", async () => {
  const other = await open(`/?run=${run}`, { expected: ["ERR_INTERNET_DISCONNECTED", "Failed to load resource"] });
  await shown(other);
  await other.context().setOffline(true);
  await other.keyboard.press("G");
  await other.getByRole("alert").getByText("The server cannot be reached").waitFor();
  await picture(other, "away-light");
  await other.context().setOffline(false);
  await row(other, "the last line", ({ number, waiting }) => number === 300_000 && !waiting);
  await other.getByRole("alert").waitFor({ state: "hidden" });
  await other.context().close();
});

await check("a selection goes on over rows that leave the page, and is copied whole", async () => {
  await shown(page);
  await page.evaluate(() => {
    const cell = [...document.querySelectorAll(".row .text")].find((one) => one.textContent.includes("line=00000003"));
    document.getSelection().setBaseAndExtent(cell.firstChild, 0, cell.firstChild, 1);
  });
  await page.mouse.move(700, 500);
  await page.mouse.wheel(0, 12_000);
  await until("far below", () => rows(page), (found) => found.length > 0 && found[0].number > 500);
  await assertTrue(page);
  await page.evaluate(() => {
    const last = [...document.querySelectorAll(".row:not(.waiting) .text")].at(-1);
    document.getSelection().extend(last.firstChild, last.textContent.length);
  });
  await page.keyboard.press("Control+c");
  const lines = (await until("copied", () => page.evaluate(() => navigator.clipboard.readText()), (text) => text.length > 1000)).split("\n");
  assert.ok(lines.length > 500, `${lines.length} lines: ${lines[0]} … ${lines.at(-1)}`);
  for (const [at, line] of lines.entries()) assert.ok(line.includes(numbered(3 + at)), `line ${at} is ${line}`);
});

await check("a selection of more than is held is copied whole", async () => {
  await page.keyboard.press("g");
  await row(page, "the first line", ({ number }) => number === 1);
  await page.evaluate(() => {
    const cell = [...document.querySelectorAll(".row .text")].find((one) => one.textContent.includes("line=00000003"));
    document.getSelection().setBaseAndExtent(cell.firstChild, 0, cell.firstChild, 1);
  });
  const goTo = (share) => until(`at ${share}`, async () => {
    await page.locator("#log").evaluate((element, where) => { element.scrollTop = where * (element.scrollHeight - element.clientHeight); }, share);
    return rows(page);
  }, (found) => found.length > 0 && Math.abs(found[0].number / TOTAL - share) < 0.01 && found.every(({ waiting }) => !waiting));
  for (let at = 0; at < 24; at += 1) await goTo(0.2 + at / 32);
  await goTo(0.055);
  await page.evaluate(() => {
    const end = [...document.querySelectorAll(".row:not(.waiting) .text")].at(-1);
    document.getSelection().extend(end.firstChild, end.textContent.length);
    return navigator.clipboard.writeText("");
  });
  await page.keyboard.press("Control+c");
  const lines = (await until("copied", () => page.evaluate(() => navigator.clipboard.readText()), (text) => text !== "")).split("\n");
  assert.ok(lines.length > 10_000, `${lines.length} lines`);
  for (const [at, line] of lines.entries()) assert.ok(line.includes(numbered(3 + at)), `line ${at} is ${line}`);
});

await check("what is being read stays when the window gets narrower and lines wrap", async () => {
  await page.evaluate(() => document.getSelection().removeAllRanges());
  const first = (await rows(page))[0].number;
  await page.setViewportSize({ width: 700, height: 900 });
  await until("wrapped", () => rows(page), (found) => found.length > 0 && found.some(({ height }) => height > 30));
  const now = (await assertTrue(page))[0].number;
  assert.ok(Math.abs(now - first) <= 1, `line ${first} was at the top, now ${now}`);
});

await done();
