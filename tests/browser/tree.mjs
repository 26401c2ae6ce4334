/**
 * The list of runs, and the tree of one: steps, attempts, sources; several steps at once; keys; what is said of
 * how each ended. Given: the run.
 */

import { assert, assertAccessible, assertWhole, base, BUSY, check, done, given, hold, open, picture, row, rows, shown, until } from "./support.mjs";

const [run] = given;
const page = await open("/");

await check("runs are listed with how they stand, and can be found by name", async () => {
  await page.getByRole("link", { name: new RegExp(`${run}.*failed`) }).waitFor();
  await assertAccessible(page, "runs");
  await picture(page, "runs-light");
  await page.getByRole("searchbox", { name: "Find a run" }).fill("no such run");
  await until("none", () => page.locator(".run:visible").count(), (count) => count === 0);
  await page.getByRole("searchbox", { name: "Find a run" }).fill(run.slice(1));
  await page.getByRole("link", { name: new RegExp(run) }).click();
  await page.getByRole("tree").waitFor();
});

await check("the list of runs goes on by itself: new ones come, and those that run end", async () => {
  const answers = [{ items: [] }];
  const other = await open("/", {
    before: (one) => one.route("**/api/v1/runs?*", async (route) => {
      const answer = answers.shift();
      if (answer) await route.fulfill({ json: answer });
      else await route.continue();
    }),
  });
  await other.getByText("There are no runs in this log store yet").waitFor();
  await assertAccessible(other, "no runs");
  await picture(other, "no-runs-light");
  await other.getByRole("link", { name: new RegExp(`${run}.*failed`) }).waitFor();
  await other.getByRole("searchbox", { name: "Find a run" }).fill("no such run");
  await other.getByText("No run in this list has that in its name").waitFor();
  await other.context().close();
});

const item = (name) => page.getByRole("treeitem", { name });

await check("the tree has steps, attempts and sources with how they ended", async () => {
  await item(/^prepare.*succeeded/).waitFor();
  await item(/^train.*failed/).waitFor();
  await item(/^killed.*failed/).waitFor();
  await item(/^Attempt 1.*failed/).waitFor();
  await item(/^hook:after.*succeeded/).waitFor();
  await assertAccessible(page, "tree");
});

await check("a step that a signal ended says so", async () => {
  await item(/^killed/).click();
  await page.locator("#header").getByText("SIGKILL").waitFor();
  assert.match(page.url(), /step=killed/);
});

await check("an attempt, and a source of it, can be read by themselves", async () => {
  await item(/^Attempt 1/).click();
  await row(page, "the first attempt", ({ text }) => text.includes("first attempt"));
  await item(/^Attempt 2/).click();
  await until("the second", () => rows(page), (all) => all.length > 0 && !all.some(({ text }) => text.includes("first attempt")));
  await item(/^hook:after/).click();
  await row(page, "the hook", ({ text }) => text.includes("from the hook"));
  await until("only the hook", () => rows(page), (all) => all.length === 1);
});

await check("the back button goes back to what was shown", async () => {
  await page.goBack();
  await until("the attempt", () => page.url(), (url) => url.includes("attempt=2") && !url.includes("source="));
});

await check("several steps are read together, in the order of time, each with its label", async () => {
  await item(/^prepare/).click();
  await row(page, "prepare", ({ text }) => text.includes("images"));
  await item(/^train/).click({ modifiers: ["Control"] });
  await until("both labels", () => rows(page), (all) => all.some(({ label }) => label?.startsWith("train")) || all.some(({ label }) => label?.startsWith("prepare")));
  await page.keyboard.press("g");
  await row(page, "prepare comes first", ({ number, label }) => number === 1 && label?.startsWith("prepare") === true);
  await page.keyboard.press("G");
  await row(page, "train at the end", ({ label }) => label?.startsWith("train") === true);
  await item(/^All steps/).click();
  await until("the whole run", () => page.url(), (url) => url.includes("step=*") || url.includes("step=%2A"));
  await shown(page);
  await assertWhole(page);
  await picture(page, "merged-end-light");
});

await check("what fails at first is tried again by itself: the runs, a run, its lines", async () => {
  const busy = async (one, address, answer) => {
    let isBusy = true;
    await one.route(address, async (route) => {
      if (isBusy) await answer(route);
      else await route.continue();
    });
    return () => {
      isBusy = false;
      return one.clock.fastForward(5000);
    };
  };
  const expected = ["503", "Failed to load resource"];
  const other = await open("/api/v1/healthz", { expected });
  await other.clock.install();
  let mend = await busy(other, "**/api/v1/runs?*", (route) => route.abort("connectionrefused"));
  await other.goto(base);
  await other.getByRole("alert").getByText("The server cannot be reached").waitFor();
  await mend();
  await other.getByRole("link", { name: new RegExp(run) }).waitFor();
  await other.getByRole("alert").waitFor({ state: "hidden" });
  mend = await busy(other, `**/api/v1/runs/${run}`, (route) => route.fulfill(BUSY));
  await other.goto(`${base}/?run=${run}&step=prepare`);
  await other.getByRole("heading", { name: "Too much to do" }).waitFor();
  await mend();
  await shown(other);
  mend = await busy(other, "**/lines?*", (route) => route.fulfill(BUSY));
  await other.goto(`${base}/?run=${run}&step=prepare`);
  await other.getByRole("alert").getByText("Too much to do").waitFor();
  await mend();
  await shown(other);
  await other.getByRole("alert").waitFor({ state: "hidden" });
  await other.context().close();
});

await check("what is chosen while the run is on its way holds", async () => {
  let held;
  const other = await open(`/?run=${run}&step=train`, { before: async (one) => { held = await hold(one, `**/api/v1/runs/${run}`); } });
  await other.getByRole("combobox", { name: "Level", exact: true }).selectOption("error");
  await held.release();
  await until("only errors", () => rows(other), (all) => all.length > 0 && all.every(({ level, waiting }) => !waiting && level === "Error"));
  await other.context().close();
});

await check("a run that seems to be over is looked at again: a step may begin yet", async () => {
  let goesOn = false;
  const other = await open("/api/v1/healthz");
  await other.clock.install();
  await other.route(`**/api/v1/runs/${run}`, async (route) => {
    const json = await (await route.fetch()).json();
    if (!goesOn) return route.fulfill({ json });
    const more = structuredClone(json.steps[0]);
    Object.assign(more, { step_id: "publish", status: "running", ended: undefined });
    for (const stream of more.attempts[0].streams) Object.assign(stream, { step_id: "publish", status: "running", ended: undefined, writer: "00000000-0000-4000-8000-000000000000" });
    return route.fulfill({ json: { ...json, status: "running", ended: undefined, steps: [...json.steps, more] } });
  });
  await other.goto(base);
  await other.getByRole("link", { name: new RegExp(`${run}.*failed`) }).waitFor();
  goesOn = true;
  await other.clock.fastForward(25_000);
  await other.getByRole("link", { name: new RegExp(`${run}.*running`) }).waitFor();
  goesOn = false;
  await other.goto(`${base}/?run=${run}&step=*`);
  await shown(other);
  const [before] = await assertWhole(other);
  goesOn = true;
  await other.clock.fastForward(25_000);
  await other.getByRole("treeitem", { name: /^publish.*running/ }).waitFor();
  await other.getByRole("button", { name: "Paused" }).waitFor();
  const [now] = await assertWhole(other);
  assert.equal(now.number, before.number, "what is read stays");
  await other.unrouteAll({ behavior: "ignoreErrors" });
  await other.context().close();
});

await check("n goes on also where numbers of matches are only about right", async () => {
  const other = await open(`/?run=${run}&step=*`, {
    before: (one) => one.route("**/search?*", async (route) => {
      const response = await route.fetch();
      const body = (await response.text()).replace(/(?<="number":)\d+/g, (number) => `${Number(number) + 1}`);
      await route.fulfill({ response, body });
    }),
  });
  await shown(other);
  await other.keyboard.press("/");
  await other.keyboard.type("of 140");
  const count = (words) => other.locator("#count", { hasText: words }).waitFor();
  await count(/^\d+ \/ 140$/);
  await other.locator("#log").focus();
  await other.keyboard.press("g");
  await row(other, "the first line", ({ number }) => number === 1);
  for (const which of [1, 2, 3, 4]) {
    await other.keyboard.press("n");
    await count(`${which} / 140`);
    await row(other, "that match", ({ classes, text }) => classes.includes("current") && text.includes(`shard ${which - 1} of`));
  }
  await other.keyboard.press("N");
  await count("3 / 140");
  await other.context().close();
});

await check("what is said of two steps together is of those two", async () => {
  await page.goto(`${base}/?run=${run}&step=prepare&step=killed`);
  await page.locator("#header").getByRole("heading", { name: "prepare + killed" }).waitFor();
  await page.locator("#header .ending.failed").waitFor();
  await page.goto(`${base}/?run=${run}&step=prepare&step=nowhere`);
  await page.locator("#header .ending.succeeded").waitFor();
});

await check("the tree is used by keys", async () => {
  await item(/^All steps/).focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await until("the first step", () => page.url(), (url) => /step=[a-z]+/.test(url));
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press(" ");
  await until("two steps", () => page.url(), (url) => (url.match(/step=/g) ?? []).length === 2);
});

await done();
