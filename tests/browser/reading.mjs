/**
 * A run with a step that failed, opened and read: the place it opens at, what the header says, folds, colours,
 * sections, times, links to lines, copies, keys. Given: the run.
 */

import { assert, assertAccessible, assertFits, assertWhole, base, check, done, given, hold, open, picture, row, rows, shown, until } from "./support.mjs";

const [run] = given;
const page = await open(`/?run=${run}`, { clipboard: true });

await check("opens at the first error of the step that failed, with its traceback folded", async () => {
  await shown(page);
  const error = await row(page, "the first error", ({ text }) => text.includes("checkpoint of epoch 3 not uploaded"));
  assert.ok(error.classes.includes("current") && error.level === "Error");
  const all = await assertWhole(page);
  assert.ok(all.some(({ text }) => text.startsWith("Traceback")));
  assert.ok(!all.some(({ text }) => text.includes("upload(epoch)")), "the traceback is folded");
  assert.ok(all.some(({ text }) => text.startsWith("RuntimeError: checkpoint of epoch 3 is lost")), "but its last line is shown");
  await picture(page, "failed-light");
});

await check("the header says how it ended, how long it took, and the first error", async () => {
  const header = page.locator("#header");
  await header.getByText("exit code 1").waitFor();
  await header.getByRole("heading", { name: "train" }).waitFor();
  await header.getByText("checkpoint of epoch 3 not uploaded, going on").waitFor();
  assert.match(await page.title(), /^✗ train · /);
});

await check("the first error is a link back to it", async () => {
  await page.keyboard.press("g");
  await row(page, "the first line", ({ number }) => number === 1);
  await page.locator(".first-error").click();
  await row(page, "the first error", ({ text }) => text.includes("checkpoint of epoch 3 not uploaded"));
});

await check("a traceback unfolds with a click, and all of them with x", async () => {
  await page.getByRole("button", { name: /more lines/ }).first().click();
  await row(page, "the traceback", ({ text }) => text.includes("upload(epoch)"));
  await assertWhole(page);
  await page.keyboard.press("x");
  await page.keyboard.press("x");
  await until("folded again", () => rows(page), (all) => !all.some(({ text }) => text.includes("upload(epoch)")));
});

await check("e and E go through the errors", async () => {
  await page.keyboard.press("g");
  await page.keyboard.press("e");
  const first = await row(page, "an error", ({ classes }) => classes.includes("current"));
  await page.keyboard.press("e");
  const second = await row(page, "another error", ({ classes, number }) => classes.includes("current") && number !== first.number);
  assert.ok(second.number > first.number);
  await page.keyboard.press("E");
  await row(page, "the first again", ({ classes, number }) => classes.includes("current") && number === first.number);
});

await check("sections have names and fold", async () => {
  await page.keyboard.press("g");
  const head = await row(page, "a section", ({ text }) => text === "Install dependencies");
  assert.ok(head.classes.includes("section-start"));
  await row(page, "a section within", ({ text }) => text === "Build wheels");
  const fold = page.locator(".row", { hasText: /Install dependencies$/ }).locator("button.fold");
  await fold.click();
  const all = await until("folded", () => rows(page), (found) => !found.some(({ text }) => text.includes("Collecting package-3")));
  assert.equal(all[1].text, "Environment", "all of it is folded, with the one within");
  await picture(page, "sections-light");
  await fold.click();
  await row(page, "unfolded", ({ text }) => text.includes("Collecting package-3"));
  await page.keyboard.press("g");
  await page.keyboard.press("]");
  await page.keyboard.press("]");
  await row(page, "the second section", ({ classes }) => classes.includes("current") && classes.includes("section-start"));
});

await check("colours of the terminal are shown, and no code of theirs", async () => {
  await page.keyboard.press("g");
  const look = (text) => page.locator(".row .text span", { hasText: text }).first().evaluate((span) => ({ color: getComputedStyle(span).color, weight: getComputedStyle(span).fontWeight }));
  await page.locator(".row", { hasText: "256 colours" }).first().waitFor();
  const green = await look("Compiling");
  assert.equal(green.weight, "600");
  assert.notEqual(green.color, (await look("warning")).color);
  assert.ok(!(await rows(page)).some(({ text }) => text.includes("[0m") || text.includes("\u001b")));
  assert.equal(await page.locator(".row a", { hasText: "the report" }).getAttribute("href"), "https://example.org/report");
  assert.equal(await page.locator(".row a", { hasText: "no link" }).count(), 0);
});

await check("a progress bar is one row: as it ended, and with p all its states", async () => {
  await page.locator("#search").fill("epoch 1: 100%");
  const bar = await row(page, "a bar", ({ text }) => text.includes("epoch 1: 100%"));
  assert.ok(!bar.text.includes("epoch 1:  50%"), "only the last state");
  await page.locator("#log").focus();
  await page.keyboard.press("p");
  await until("all states", () => page.locator(".row", { hasText: "epoch 1:  50%" }).count(), (count) => count > 0);
  await assertWhole(page);
  await page.keyboard.press("p");
  await until("the last state", () => page.locator(".row", { hasText: "epoch 1:  50%" }).count(), (count) => count === 0);
  await page.locator("#search").fill("");
  await page.locator("#log").focus();
});

await check("a jump while lines are on their way is not lost, nor is the place by a second change", async () => {
  const other = await open(`/?run=${run}&step=train&q=epoch`);
  await shown(other);
  await other.locator("#log").focus();
  let release;
  const hang = () => new Promise((resolve) => { release = resolve; });
  let held = hang();
  await other.route("**/lines?*", async (route) => {
    await held;
    await route.continue();
  });
  const before = await until("a place in the middle", () => rows(other), (all) => all.length > 0 && all[0].number > 5);
  await other.keyboard.press("p");
  await other.keyboard.press("p");
  await other.locator("#search").fill("");
  release();
  await until("the same place", () => rows(other), (all) => all.length > 0 && all.some(({ number, waiting }) => number === before[0].number && !waiting));
  await until("nothing that is no longer searched for is marked", () => other.locator("#lines mark").count(), (count) => count === 0);
  for (const [key, isThere] of [["g", ({ number }) => number === 1], ["G", ({ text }) => text.includes("evaluating shard 39")]]) {
    held = hang();
    await other.locator("#log").focus();
    await other.keyboard.press("p");
    await other.keyboard.press(key);
    release();
    await row(other, `where ${key} goes`, isThere);
    await assertWhole(other);
  }
  await other.context().close();
});

await check("t goes through the times: UTC, local, since the start, since the line before", async () => {
  await page.keyboard.press("g");
  await row(page, "the first line", ({ number }) => number === 1);
  assert.equal((await rows(page))[0].time, undefined);
  await page.keyboard.press("t");
  const utc = await row(page, "UTC", ({ time }) => /^\d\d:\d\d:\d\d\.\d{3}$/.test(time ?? ""));
  await page.keyboard.press("t");
  const local = await row(page, "local", ({ time, number }) => number === utc.number && time !== utc.time);
  assert.equal((Number(local.time.slice(0, 2)) - Number(utc.time.slice(0, 2)) + 24) % 24, 1, "Berlin in winter");
  await page.keyboard.press("t");
  await row(page, "since the start", ({ time }) => /^\+\d+\.\d{3}$/.test(time ?? ""));
  await page.keyboard.press("t");
  await row(page, "since the line before", ({ time, number }) => number === 1 && time === "");
  assert.match(page.url(), /time=delta/);
  await page.keyboard.press("t");
  await until("no times", () => rows(page), (all) => all[0].time === undefined);
  await page.keyboard.press("e");
  await row(page, "a traceback", ({ text }) => text.startsWith("Traceback"));
  await page.keyboard.press("t");
  const all = await until("times", () => rows(page), (found) => found.every(({ time }) => time !== undefined));
  assert.ok(!all.some(({ text }) => text.includes("upload(epoch)")), "what is folded stays folded");
  for (let turn = 0; turn < 4; turn += 1) await page.keyboard.press("t");
});

await check("w wraps long lines, or lets them run on", async () => {
  const find = page.locator(".row", { hasText: "a long line:" }).first();
  await page.locator("#search").fill("a long line:");
  await find.waitFor();
  const height = async () => (await find.boundingBox())?.height ?? 0;
  await until("wrapped", height, (pixels) => pixels > 30);
  await page.locator("#log").focus();
  await page.keyboard.press("w");
  await until("one line", height, (pixels) => pixels === 20);
  await assertWhole(page);
  await page.keyboard.press("w");
  await until("wrapped again", height, (pixels) => pixels > 30);
  await assertWhole(page);
  await page.locator("#search").fill("");
  await page.locator("#log").focus();
});

await check("a click on a number links to the line, with Shift to a range; the link opens there", async () => {
  await page.keyboard.press("g");
  await row(page, "the first line", ({ number }) => number === 1);
  await page.locator(".row .number", { hasText: /^5$/ }).click();
  await row(page, "chosen", ({ number, classes }) => number === 5 && classes.includes("chosen"));
  assert.match(page.url(), /#[0-9a-f-]{36}:4$/);
  await page.locator(".row .number", { hasText: /^8$/ }).click({ modifiers: ["Shift"] });
  await until("a range", () => rows(page), (all) => all.filter(({ classes }) => classes.includes("chosen")).length === 4);
  assert.match(page.url(), /:4-7$/);
  const other = await open(page.url().slice(base.length));
  await until("the range in another tab", () => rows(other), (all) => all.filter(({ classes }) => classes.includes("chosen")).length === 4);
  await other.context().close();
  await page.keyboard.press("Escape");
  await until("none chosen", () => rows(page), (all) => !all.some(({ classes }) => classes.includes("chosen")));
  // Rows are drawn anew, as they were, while the button is down.
  const { x, y } = await page.locator(".row .number", { hasText: /^6$/ }).boundingBox();
  await page.mouse.move(x + 5, y + 5);
  await page.mouse.down();
  await page.locator("#search").fill("no line has these words");
  await page.locator("#count", { hasText: "no match" }).waitFor();
  await page.mouse.up();
  await row(page, "chosen", ({ number, classes }) => number === 6 && classes.includes("chosen"));
  await page.locator("#search").fill("");
  await page.locator("#log").focus();
  await page.keyboard.press("Escape");
});

await check("y copies a link to the line", async () => {
  await page.keyboard.press("e");
  await row(page, "an error", ({ classes }) => classes.includes("current"));
  await page.keyboard.press("y");
  const address = await until("a link", () => page.evaluate(() => navigator.clipboard.readText()), (text) => text.includes("#"));
  assert.match(address, /step=train.*#[0-9a-f-]{36}:\d+$/);
});

await check("a copy is what was printed: no numbers, no times", async () => {
  await page.keyboard.press("t");
  await page.keyboard.press("g");
  await row(page, "times", ({ number, time }) => number === 1 && Boolean(time));
  await page.evaluate(() => {
    const cell = (text) => [...document.querySelectorAll(".row .text")].find((one) => one.textContent.includes(text));
    const range = document.createRange();
    range.setStart(cell("package-2==").firstChild, 11);
    range.setEnd(cell("package-4==").firstChild, 20);
    const selection = document.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  });
  const expected = [
    "package-2==1.2.0 from https://packages.example/simple/package-2/",
    "Collecting package-3==1.3.0 from https://packages.example/simple/package-3/",
    "Collecting package-4",
  ];
  await page.keyboard.press("Control+c");
  assert.deepEqual((await page.evaluate(() => navigator.clipboard.readText())).split("\n"), expected);
  // Rows that are drawn anew stay selected.
  await page.keyboard.press("t");
  await until("other times", () => rows(page), (all) => all[0].time?.endsWith("Z") !== true);
  await page.evaluate(() => navigator.clipboard.writeText(""));
  await page.keyboard.press("Control+c");
  assert.deepEqual((await page.evaluate(() => navigator.clipboard.readText())).split("\n"), expected);
});

/** What a copy of the selection gives; the clipboard is emptied before. */
const copyOf = async (one, select) => {
  await one.evaluate(() => navigator.clipboard.writeText(""));
  await select();
  await one.keyboard.press("Control+c");
  return until("a copy", () => one.evaluate(() => navigator.clipboard.readText()), (text) => text !== "");
};

await check("a copy of a part of what stands for a line is of what stands there, of all of it is the line", async () => {
  await page.keyboard.press("g");
  await row(page, "the first line", ({ number }) => number === 1);
  const select = (from, to) => page.evaluate(([start, stop]) => {
    const cells = [...document.querySelectorAll(".row .text")].slice(0, 2);
    document.getSelection().setBaseAndExtent(cells[0].firstChild, start, (stop > 20 ? cells[1] : cells[0]).firstChild, stop % 20);
  }, [from, to]);
  assert.equal(await copyOf(page, () => select(0, 7)), "Install");
  assert.equal(await copyOf(page, () => select(8, 30)), "dependencies\nCollecting");
  assert.equal(await copyOf(page, () => select(0, 30)), "::group::Install dependencies\nCollecting");
});

await check("select all says so where not all is here, a browser without a clipboard that it has none", async () => {
  const other = await open(`/?run=${run}&step=train&iostream=stdout`, {
    clipboard: true,
    before: (one) => one.route("**/logs?*", (route) => route.continue({ url: route.request().url().replace("limit=500", "limit=40") })),
  });
  await shown(other);
  await other.keyboard.press("G");
  await row(other, "the last line", ({ text }) => text.endsWith("evaluating shard 39"));
  assert.match(await copyOf(other, () => other.keyboard.press("Control+a")), /evaluating shard 39/);
  await other.getByText("Copied what is here of it").waitFor();
  await other.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
  await other.keyboard.press("y");
  await other.getByText("The browser lets nothing be copied").waitFor();
  await other.context().close();
});

await check("what is folded stays so when lines come above it, and what is selected", async () => {
  const other = await open(`/?run=${run}&step=train&iostream=stdout`, {
    clipboard: true,
    before: (one) => one.route("**/logs?*", (route) => route.continue({ url: route.request().url().replace("limit=500", "limit=40") })),
  });
  await shown(other);
  await other.keyboard.press("G");
  await row(other, "the last line", ({ text }) => text.endsWith("evaluating shard 39"));
  await other.evaluate(() => {
    const cell = [...document.querySelectorAll(".row .text")].findLast((one) => one.textContent.endsWith("evaluating shard 39"));
    document.getSelection().selectAllChildren(cell);
  });
  const scrolled = (by, what, isSo) => until(what, async () => {
    await other.evaluate((pixels) => document.getElementById("log").scrollBy(0, pixels), by);
    return rows(other);
  }, (all) => all.some(isSo));
  await scrolled(-5000, "the first line", ({ number, waiting }) => number === 1 && !waiting);
  assert.match(await copyOf(other, () => {}), /evaluating shard 39$/);
  await scrolled(300, "what is below the traceback", ({ text }) => text.endsWith("evaluating shard 2"));
  const all = await assertWhole(other);
  assert.ok(all.some(({ text }) => text.startsWith("Traceback")) && !all.some(({ text }) => text.includes("upload(epoch)")));
  await other.context().close();
});

await check("a section that is folded while another log is opened hides nothing of that", async () => {
  const other = await open(`/?run=${run}&step=train`);
  await shown(other);
  await other.keyboard.press("g");
  const held = await hold(other, "**/search?*");
  await other.locator(".row", { hasText: /Install dependencies$/ }).locator("button.fold").click();
  await held.asked;
  await other.getByRole("treeitem", { name: /prepare/ }).click();
  await row(other, "the other step", ({ text }) => text === "1 images");
  await held.release();
  await other.keyboard.press("G");
  await row(other, "its last line", ({ text }) => text === "140 images");
  await other.keyboard.press("g");
  const all = await until("its first line", () => rows(other), (found) => found[0]?.number === 1);
  for (const [at, { number }] of all.entries()) assert.equal(number, at + 1);
  await other.context().close();
});

await check("a second e while errors are still looked for is not lost", async () => {
  const other = await open(`/?run=${run}&step=train`);
  await shown(other);
  await other.keyboard.press("g");
  const held = await hold(other, "**/search?*");
  await other.keyboard.press("e");
  await held.asked;
  await other.keyboard.press("e");
  await held.release();
  await other.getByText(/^Error 1 of/).waitFor();
  await other.context().close();
});

await check("select all is all of the log, also what is not on the screen", async () => {
  await page.locator("#log").focus();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Control+c");
  const text = await until("all of it", () => page.evaluate(() => navigator.clipboard.readText()), (copied) => copied.length > 5000);
  assert.ok(text.startsWith("::group::Install dependencies\nCollecting package-0"));
  assert.ok(text.includes("evaluating shard 39") && text.includes("MemoryError: CUDA out of memory"));
  assert.ok(text.includes("raise ConnectionError"), "what is folded is part of it");
});

await check("the help lists the keys", async () => {
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("search the whole log").waitFor();
  await assertAccessible(page, "help");
  await picture(page, "help-light");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
});

for (const theme of ["light", "dark"]) {
  await check(`all of it is accessible, ${theme}`, async () => {
    for (const [name, path] of [["failed", `/?run=${run}&step=train`], ["merged", `/?run=${run}&step=*&time=utc`], ["search", `/?run=${run}&step=train&q=epoch&unfolded=1`]]) {
      const other = await open(path, { theme });
      await shown(other);
      await assertWhole(other);
      await assertAccessible(other, `${name}, ${theme}`);
      await picture(other, `${name}-${theme}`);
      await other.keyboard.press("g");
      await row(other, "the first line", ({ number }) => number === 1);
      await assertAccessible(other, `${name} from its beginning, ${theme}`);
      await picture(other, `${name}-top-${theme}`);
      await other.context().close();
    }
  });
}

await check("it fits a small window, and the tree opens over it", async () => {
  const small = await open(`/?run=${run}&step=train`, { size: [800, 600], theme: "dark" });
  await shown(small);
  await picture(small, "small-dark");
  await small.getByRole("button", { name: "Steps" }).click();
  await small.getByRole("treeitem", { name: /prepare/ }).click();
  await row(small, "the other step", ({ text }) => text.includes("images"));
  await small.context().close();
});

await check("it fits a telephone", async () => {
  for (const [name, path] of [["failed", `/?run=${run}&step=train`], ["runs", "/"]]) {
    const small = await open(path, { size: [390, 800] });
    if (name === "runs") await small.getByRole("link", { name: new RegExp(run) }).waitFor();
    else await shown(small);
    await assertFits(small);
    await assertAccessible(small, `${name} on a telephone`);
    await picture(small, `telephone-${name}-light`);
    await small.context().close();
  }
});

await check("an address that is not one, and a browser that keeps nothing, stop nothing", async () => {
  const refuse = () => {
    for (const name of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(globalThis, name, { get() { throw new DOMException("refused", "SecurityError"); } });
    }
  };
  const other = await open(`/?run=${run}&step=train&time=%zz&attempt=none#%zz`, { before: (one) => one.addInitScript(refuse), expected: ["400 (Bad Request)"] });
  await other.getByRole("alert").waitFor();
  await other.getByRole("treeitem", { name: /prepare/ }).click();
  await shown(other);
  await other.getByRole("button", { name: /^Theme/ }).click();
  await until("the theme to be another", () => other.evaluate(() => document.documentElement.dataset.theme), (theme) => theme === "light");
  await other.context().close();
});

await done();
