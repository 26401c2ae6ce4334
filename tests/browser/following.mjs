/**
 * A step followed while it runs: lines as they come, paused when scrolled up, how many wait below, taken up again
 * when the connection breaks, its end. Given: the run, and a file (a FIFO) whose lines the step prints.
 */

import { closeSync, openSync, writeSync } from "node:fs";

import { assert, assertWhole, BUSY, check, done, fragileWay, given, hold, open, picture, row, rows, shown, until } from "./support.mjs";

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
const levels = page.getByRole("combobox", { name: "Level", exact: true });
const last = ({ text }) => text.endsWith(` printed ${printed - 1}`);

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
    await row(page, "the new last line", last);
  }
  await page.getByRole("button", { name: "Following" }).waitFor();
  await picture(page, "following-light");
});

await check("who is at a field by key stays there, and what is selected of the header stays so", async () => {
  await levels.focus();
  await page.keyboard.press("ArrowDown");
  await until("another level", () => page.url(), (address) => address.includes("level=debug"));
  await shown(page);
  assert.ok(await levels.evaluate((one) => one === document.activeElement));
  await page.keyboard.press("ArrowUp");
  await until("all levels", () => page.url(), (address) => !address.includes("level="));
  await row(page, "the last line", last);
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
  await row(page, "the last line", last);
  await page.getByRole("button", { name: "30 new lines" }).waitFor({ state: "hidden" });
});

await check("f pauses and follows", async () => {
  await page.keyboard.press("f");
  await page.getByRole("button", { name: "Paused" }).waitFor();
  print(5);
  await page.getByRole("button", { name: "5 new lines" }).waitFor();
  await page.keyboard.press("f");
  await row(page, "the last line", last);
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
  await row(page, "the last line", last);
});

await check("a filter holds for what comes", async () => {
  await levels.selectOption("warning");
  await until("only warnings", () => rows(page), (all) => all.length > 0 && all.every(({ level }) => level === "Warning"));
  print(40);
  await until("new warnings", () => rows(page), (all) => all.some(({ number }) => number > printed - 25) && all.every(({ level }) => level === "Warning"));
  await levels.selectOption("");
  await row(page, "the last line", last);
});

/** Each row in sight is where it belongs: none is missing, none is doubled. */
const assertInOrder = async (one, what) => {
  const all = await assertWhole(one);
  for (const { number, text } of all) assert.ok(text.endsWith(` printed ${number - 1}`), `${what}: ${number} is ${text}`);
  for (const [at, { number }] of all.entries()) if (at > 0) assert.equal(number, all[at - 1].number + 1, what);
};

await check("a filtered log is followed again whenever its end is come to, and no line is missing or doubled", async () => {
  await levels.selectOption("info");
  print(1500);
  await row(page, "the last line", last);
  await page.locator("#log").focus();
  await page.keyboard.press("g");
  await row(page, "the first line", ({ number }) => number === 1);
  await page.getByRole("button", { name: "Paused" }).waitFor();
  // What comes while the end is fetched is not in the answer.
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await page.route("**/logs?*start=newest*", async (route) => {
    const response = await route.fetch();
    await held;
    await route.fulfill({ response });
  });
  const [asked] = await Promise.all([page.waitForRequest("**/logs?*start=newest*"), page.keyboard.press("G")]);
  print(5);
  await until("them to have come", () => page.locator("#new-lines-word").textContent(), (words) => words === "5 new lines");
  release();
  await (await asked.response()).finished();
  await page.unrouteAll({ behavior: "wait" });
  await row(page, "the last line", last);
  await page.getByRole("button", { name: "Following" }).waitFor();
  print(5);
  await row(page, "the last line", last);
  await assertInOrder(page, "from the end on");
  // Read on to the end.
  await page.keyboard.press("g");
  await row(page, "the first line", ({ number }) => number === 1);
  await until("the end", () => page.evaluate(() => {
    const log = document.getElementById("log");
    log.scrollTop = log.scrollHeight;
    return document.getElementById("follow-word").textContent;
  }), (words) => words === "Following");
  print(5);
  await row(page, "the last line", last);
  await assertInOrder(page, "read to the end");
});

await check("another filter, far above the end of a log that runs, does not end following", async () => {
  await page.keyboard.press("g");
  await row(page, "the first line", ({ number }) => number === 1);
  await levels.selectOption("debug");
  await row(page, "the first line", ({ number, waiting }) => number === 1 && !waiting);
  await page.getByRole("button", { name: "Paused" }).waitFor();
  await page.locator("#log").focus();
  await page.keyboard.press("f");
  await row(page, "the last line", last);
  print(5);
  await row(page, "the new last line", last);
  await page.getByRole("button", { name: "Following" }).waitFor();
});

await check("what was asked for before a jump in a filtered log does not come behind it", async () => {
  const held = await hold(page, "**/logs?*after=*");
  await page.keyboard.press("g");
  await row(page, "the first line", ({ number }) => number === 1);
  const toBottom = () => page.evaluate(() => {
    const log = document.getElementById("log");
    log.scrollTop = log.scrollHeight;
  });
  await toBottom();
  await held.asked;
  await page.keyboard.press("G");
  await row(page, "the last line", last);
  await page.keyboard.press("f");
  await page.getByRole("button", { name: "Paused" }).waitFor();
  await held.release();
  print(5);
  await page.getByRole("button", { name: "5 new lines" }).waitFor();
  await toBottom();
  await row(page, "the new last line", last);
  await assertInOrder(page, "behind the jump");
});

await check("of a filtered log that is followed for long only so much is held", async () => {
  for (let turn = 0; turn < 11; turn += 1) {
    print(2000);
    await row(page, "the last line", last);
  }
  await until("less", () => page.locator("#lines").evaluate((lines) => lines.offsetHeight / 20), (held) => held < 20_000);
  await page.getByRole("button", { name: "Following" }).waitFor();
  print(5);
  await row(page, "the new last line", last);
  await assertInOrder(page, "what is held");
  await levels.selectOption("");
  await row(page, "the last line of all", last);
});

await check("a line of a log that runs is opened, and all behind it follows, whatever goes wrong at first", async () => {
  await page.keyboard.press("g");
  await page.locator(".row .number", { hasText: /^5$/ }).click();
  const address = await until("a link", () => page.url(), (url) => url.includes("#"));
  await page.keyboard.press("Escape");
  await page.keyboard.press("G");
  await row(page, "the last line", last);
  const place = address.slice(address.indexOf("/?"));
  // Answers that hold little: the end is not to be had in one.
  const followed = [];
  const slow = await open(place, {
    before: async (one) => {
      one.on("request", (request) => request.url().includes("/logs/stream") && followed.push(request));
      await one.route("**/lines?*start=-*", (route) => route.continue({ url: route.request().url().replace(/start=-\d+/, "start=-300").replace("count=500", "count=100") }));
    },
  });
  await row(slow, "the line", ({ number, classes }) => number === 5 && classes.includes("chosen"));
  await until("it to be followed", () => followed.length, (times) => times > 0);
  assert.ok(followed[0].headers()["last-event-id"], "not from the first line on");
  await slow.context().close();
  // The end is not to be had at first; who has gone there follows all the same.
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  const other = await open(place, {
    expected: ["503"],
    before: (one) => one.route("**/lines?*start=-*", async (route) => {
      await held;
      await route.fulfill(BUSY);
    }, { times: 1 }),
  });
  await row(other, "the line", ({ number, classes }) => number === 5 && classes.includes("chosen"));
  await other.keyboard.press("G");
  await other.getByRole("button", { name: "Following" }).waitFor();
  release();
  await other.getByRole("alert").getByText("Too much to do").waitFor();
  print(5);
  await row(other, "the last line", last);
  await other.context().close();
});

await check("a page that nobody looks at keeps no connection, and goes on when it is looked at", async () => {
  const other = await open(`/?run=${run}`, { before: (one) => one.clock.install() });
  const look = (hidden) => other.evaluate((isHidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await row(other, "the last line", last);
  await other.getByRole("button", { name: "Following" }).waitFor();
  const ended = other.waitForEvent("requestfailed", (request) => request.url().includes("/logs/stream"));
  await look(true);
  await other.clock.fastForward(30_000);
  await ended;
  print(15);
  await row(page, "the last line where it is looked at", last);
  assert.ok(!(await rows(other)).some(last));
  await look(false);
  await row(other, "the last line", last);
  await assertInOrder(other, "looked at again");
  await other.getByRole("button", { name: "Following" }).waitFor();
  await other.context().close();
});

await check("what the server does not let be followed is not asked for for ever", async () => {
  const other = await open(`/?run=${run}`, {
    expected: ["403"],
    before: (one) => one.route("**/logs/stream?*", (route) => route.fulfill({ ...BUSY, status: 403, body: JSON.stringify({ title: "Not for you", status: 403 }) })),
  });
  await other.getByRole("alert").getByText("Not for you").waitFor();
  await other.locator("#follow").waitFor({ state: "hidden" });
  await other.context().close();
});

await check("a connection that breaks is taken up again, and no line is missing or doubled", async () => {
  const way = await fragileWay();
  const expected = ["Failed to load resource: net::ERR_"];
  const other = await open(`/?run=${run}`, { way: way.address, expected, before: (one) => one.clock.install() });
  const isWhole = async () => {
    await row(other, "the last line", last);
    await assertInOrder(other, "taken up again");
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
  await row(page, "the last line without the way", last);
  await other.clock.fastForward(45_000);
  await isWhole();
  await other.context().close();
  way.close();
});

await check("the end is shown when it comes", async () => {
  print(3);
  closeSync(step);
  await row(page, "the last line", last);
  await page.locator("#header").getByText("exit code 3").waitFor();
  await page.locator("#follow").waitFor({ state: "hidden" });
  await shown(page);
});

await done();
