/**
 * The list of runs, and the tree of one: steps, attempts, sources; several steps at once; keys; what is said of
 * how each ended. Given: the run.
 */

import { assert, assertAccessible, assertWhole, base, check, done, given, open, picture, row, rows, shown, until } from "./support.mjs";

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
