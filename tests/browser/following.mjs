/**
 * A step followed while it runs: lines as they come, paused when scrolled up, how many wait below, taken up again
 * when the connection breaks, its end. Given: the run, and a file (a FIFO) whose lines the step prints.
 */

import { closeSync, openSync, writeSync } from "node:fs";

import { assert, assertWhole, check, done, fragileWay, given, open, picture, row, rows, shown, until } from "./support.mjs";

const [run, fifo] = given;
const step = openSync(fifo, "w");
let printed = 0;
const print = (count) => {
  let text = "";
  for (let at = 0; at < count; at += 1) {
    text += `${printed % 20 === 19 ? "WARNING" : "INFO"} printed ${printed}\n`;
    printed += 1;
  }
  writeSync(step, text);
};

const page = await open(`/?run=${run}`);

await check("a step that has printed nothing says so", async () => {
  await page.getByText("Nothing has been printed yet").or(page.getByText("This has not started yet")).waitFor();
  await picture(page, "nothing-yet-light");
});

await check("lines appear by themselves, and the last is in sight", async () => {
  print(200);
  await row(page, "the last line", ({ text }) => text.endsWith("printed 199"));
  await assertWhole(page);
  for (let round = 0; round < 5; round += 1) {
    print(10);
    await row(page, "the new last line", ({ text }) => text.endsWith(`printed ${printed - 1}`));
  }
  await page.getByRole("button", { name: "Following" }).waitFor();
  await picture(page, "following-light");
});

await check("who is at a field by key stays there, and what is selected of the header stays so", async () => {
  const level = page.getByRole("combobox", { name: "Level", exact: true });
  await level.focus();
  await page.keyboard.press("ArrowDown");
  await until("another level", () => page.url(), (address) => address.includes("level=debug"));
  await shown(page);
  assert.ok(await level.evaluate((one) => one === document.activeElement));
  await page.keyboard.press("ArrowUp");
  await until("all levels", () => page.url(), (address) => !address.includes("level="));
  await row(page, "the last line", ({ text }) => text.endsWith(`printed ${printed - 1}`));
  const clock = page.getByRole("treeitem").first().locator(".took");
  const before = await clock.textContent();
  // In one go: between finding it and selecting it, it may be drawn anew.
  await page.evaluate(() => {
    const title = document.querySelector("#header h1");
    if (title) document.getSelection()?.selectAllChildren(title);
  });
  await until("a second to go by", () => clock.textContent(), (now) => now !== before);
  assert.equal(await page.evaluate(() => String(document.getSelection())), "train");
  await page.locator("#log").focus();
  await page.evaluate(() => document.getSelection().empty());
});

await check("a step that begins meanwhile stands beside the others, each with its label", async () => {
  let isMore = false;
  const other = await open(`/?run=${run}&step=*`, {
    before: (one) => one.route(`**/api/v1/runs/${run}`, async (route) => {
      const answer = await route.fetch();
      const json = await answer.json();
      const more = structuredClone(json.steps[0]);
      more.step_id = "evaluate";
      for (const stream of more.attempts[0].streams) Object.assign(stream, { step_id: "evaluate", writer: "00000000-0000-4000-8000-000000000000" });
      await route.fulfill({ json: isMore ? { ...json, steps: [...json.steps, more] } : json });
    }),
  });
  const last = ({ text }) => text.endsWith(`printed ${printed - 1}`);
  assert.equal((await row(other, "the last line", last)).label, undefined);
  isMore = true;
  await row(other, "a label", (one) => last(one) && one.label === "train");
  await other.getByRole("treeitem", { name: /evaluate/ }).waitFor();
  await other.unrouteAll({ behavior: "ignoreErrors" });
  await other.context().close();
});

await check("scrolled up, it stays, and says how many lines wait", async () => {
  await page.mouse.move(700, 500);
  await page.mouse.wheel(0, -1500);
  await page.getByRole("button", { name: "Paused" }).waitFor();
  const before = await until("scrolled", () => rows(page), (all) => all.length > 0 && all.at(-1).number < printed - 20);
  print(30);
  await page.getByRole("button", { name: "30 new lines" }).waitFor();
  assert.equal((await rows(page))[0].number, before[0].number);
  await picture(page, "paused-light");
  await page.getByRole("button", { name: "30 new lines" }).click();
  await row(page, "the last line", ({ text }) => text.endsWith(`printed ${printed - 1}`));
  await page.getByRole("button", { name: "30 new lines" }).waitFor({ state: "hidden" });
});

await check("f pauses and follows", async () => {
  await page.keyboard.press("f");
  await page.getByRole("button", { name: "Paused" }).waitFor();
  print(5);
  await page.getByRole("button", { name: "5 new lines" }).waitFor();
  await page.keyboard.press("f");
  await row(page, "the last line", ({ text }) => text.endsWith(`printed ${printed - 1}`));
});

await check("what comes and goes above the log does not end following", async () => {
  await page.evaluate(async () => {
    const frame = () => new Promise((next) => requestAnimationFrame(() => setTimeout(next)));
    const above = document.createElement("p");
    above.style.height = "60px";
    document.getElementById("banners").append(above);
    await frame();
    await frame();
    above.remove();
    // Laid out at once, so that the bar has been moved before the page is told that there is more room.
    void document.getElementById("log").scrollTop;
    await frame();
    await frame();
  });
  print(5);
  await row(page, "the last line", ({ text }) => text.endsWith(`printed ${printed - 1}`));
});

await check("a filter holds for what comes", async () => {
  await page.getByRole("combobox", { name: "Level", exact: true }).selectOption("warning");
  await until("only warnings", () => rows(page), (all) => all.length > 0 && all.every(({ level }) => level === "Warning"));
  print(40);
  await until("new warnings", () => rows(page), (all) => all.some(({ number }) => number > printed - 25) && all.every(({ level }) => level === "Warning"));
  await page.getByRole("combobox", { name: "Level", exact: true }).selectOption("");
  await row(page, "the last line", ({ text }) => text.endsWith(`printed ${printed - 1}`));
});

await check("a connection that breaks is taken up again, and no line is missing or doubled", async () => {
  const way = await fragileWay();
  const expected = ["Failed to load resource: net::ERR_"];
  const other = await open(`/?run=${run}`, { way: way.address, expected, before: (one) => one.clock.install() });
  const isWhole = async () => {
    await row(other, "the last line", ({ text }) => text.endsWith(`printed ${printed - 1}`));
    const all = await assertWhole(other);
    for (const [at, one] of all.entries()) if (at > 0) assert.equal(one.number, all[at - 1].number + 1);
    for (const { number, text } of all) assert.ok(text.endsWith(`printed ${number - 1}`), `${number}: ${text}`);
  };
  await isWhole();
  await other.getByRole("button", { name: "Following" }).waitFor();
  way.cut();
  await other.getByRole("button", { name: "Reconnecting" }).waitFor();
  print(15);
  way.mend();
  await other.evaluate(() => dispatchEvent(new Event("online")));
  await isWhole();
  // Nobody says that it has broken: no byte comes any more.
  way.silence();
  print(15);
  await row(page, "the last line without the way", ({ text }) => text.endsWith(`printed ${printed - 1}`));
  await other.clock.fastForward(45_000);
  await isWhole();
  await other.context().close();
  way.close();
});

await check("the end is shown when it comes", async () => {
  print(3);
  closeSync(step);
  await row(page, "the last line", ({ text }) => text.endsWith(`printed ${printed - 1}`));
  await page.locator("#header").getByText("exit code 3").waitFor();
  await page.locator("#follow").waitFor({ state: "hidden" });
  await shown(page);
});

await done();
