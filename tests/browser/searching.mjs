/**
 * Search over a long log, on the server, and filters. Given: a run of 300,000 lines as tests/support/lines.rs
 * numbers them.
 */

import { assert, assertWhole, check, done, given, open, picture, row, rows, shown, until } from "./support.mjs";

const [run] = given;
const page = await open(`/?run=${run}`, { expected: ["400 (Bad Request)"] });
const search = page.getByRole("textbox", { name: "Search the whole log" });
const count = () => page.locator("#count").textContent();
/** Lines whose number is in the text with eight digits. */
const numbered = (number) => `line=${String(number).padStart(8, "0")}`;

await check("/ searches lines that are not on the page; the number of matches is of the whole log", async () => {
  await shown(page);
  await page.keyboard.press("/");
  await page.keyboard.type(numbered(271_828));
  await until("one match", count, (text) => text === "1 / 1");
  const found = await row(page, "the match in sight", ({ text }) => text.includes(numbered(271_828)));
  assert.equal(found.number, 271_829);
  assert.deepEqual(found.marks, [numbered(271_828)]);
  await assertWhole(page);
});

await check("n and N go from match to match, and around", async () => {
  await search.fill("00777 ");
  await until("matches", count, (text) => /^\d \/ 3$/.test(text));
  await page.locator("#log").focus();
  const at = async () => (await rows(page)).find(({ classes }) => classes.includes("current"))?.number;
  const first = await until("a match", at, (number) => number !== undefined);
  await page.keyboard.press("n");
  const second = await until("the next", at, (number) => number !== undefined && number !== first);
  await page.keyboard.press("N");
  await until("the first again", at, (number) => number === first);
  assert.notEqual(first, second);
});

await check("a search is literal; .* makes it a pattern, Aa minds the case", async () => {
  await search.fill("line=.*99999 ");
  await until("nothing", count, (text) => text === "no match");
  await page.getByRole("button", { name: "Regular expression" }).click();
  await until("three", count, (text) => text.endsWith("3"));
  await search.fill("TRAINER.loop line=00000001");
  await until("any case", count, (text) => text.endsWith("1"));
  await page.getByRole("button", { name: "Match case" }).click();
  await until("this case", count, (text) => text === "no match");
  await page.getByRole("button", { name: "Match case" }).click();
});

await check("a pattern that is wrong is said to be, in the server's words", async () => {
  await search.fill("line=(");
  await page.locator(".banner.error").first().waitFor();
  await page.getByRole("button", { name: "Close" }).first().click();
  await search.fill("(a+)+$");
  await until("no match", count, (text) => text === "no match");
  await page.getByRole("button", { name: "Regular expression" }).click();
});

await check("only lines that match, from where the reader is, further both ways", async () => {
  await search.fill("WARNING");
  await until("matches", count, (text) => text.includes("/"));
  await page.locator("#log").focus();
  await page.keyboard.press("m");
  const all = await until("only matches", () => rows(page), (found) => found.length > 5 && found.every(({ text, waiting }) => waiting || text.includes("WARNING")));
  assert.ok(all.every(({ marks }) => marks.includes("WARNING")));
  await picture(page, "filter-light");
  // More can be typed while what was typed leaves fewer lines.
  await search.press("End");
  await search.pressSequentially(" trainer");
  await until("fewer", () => rows(page), (found) => found.length > 5 && found.every(({ marks, waiting }) => waiting || marks.includes("WARNING trainer") || marks.length === 0));
  assert.ok(await search.evaluate((field) => field === document.activeElement));
  await page.locator("#log").focus();
  await page.keyboard.press("m");
  await until("all lines", () => rows(page), (found) => found.some(({ text }) => text.includes("INFO")));
  await search.fill("");
});

await check("n goes on behind the matches whose places are known, and N comes back", async () => {
  await page.locator("#log").focus();
  await page.keyboard.press("G");
  await row(page, "the last line", ({ number }) => number === 300_000);
  await search.fill("trainer.loop");
  await until("all lines match", count, (text) => text.endsWith("300,000") || text.startsWith("300,000"));
  await page.locator("#log").focus();
  await page.keyboard.press("g");
  await row(page, "the first line", ({ number }) => number === 1);
  await page.locator("#log").evaluate((log) => { log.scrollTop = 200_000 * 20; });
  await until("there", () => rows(page), (found) => found.length > 0 && found[0].number > 190_000);
  await assertWhole(page);
  const at = async () => (await rows(page)).find(({ classes }) => classes.includes("current"))?.number;
  await page.keyboard.press("n");
  const first = await until("a match", at, (number) => number !== undefined && number > 190_000);
  await page.keyboard.press("n");
  await until("the next", at, (number) => number === first + 1);
  await page.keyboard.press("N");
  await until("back", at, (number) => number === first);
  await search.fill("");
});

await check("a level leaves the others out, a stream too; there are as many as the store says", async () => {
  await page.locator("#log").focus();
  await page.keyboard.press("g");
  await page.getByRole("combobox", { name: "Level", exact: true }).selectOption("warning");
  await until("warnings", () => rows(page), (found) => found.length > 5 && found.every(({ level, waiting }) => waiting || level === "Warning" || level === "Error"));
  await page.keyboard.press("G");
  const last = Math.floor(299_999 / 1009) * 1009;
  await row(page, "the last warning", ({ number }) => number === last + 1);
  await page.keyboard.press("g");
  await row(page, "the first again", ({ number }) => number === 1);
  await page.getByRole("combobox", { name: "Level", exact: true }).selectOption("");
  await page.getByRole("combobox", { name: "Output stream" }).selectOption("stderr");
  await page.getByText("No line matches").waitFor();
  await picture(page, "empty-filter-light");
  await page.getByRole("button", { name: "Show all lines" }).click();
  await shown(page);
});

await check("nothing is said of a search that is no longer there", async () => {
  await search.fill(numbered(271_828));
  await until("one match", count, (text) => text === "1 / 1");
  await page.locator("#home").click();
  await page.getByRole("link", { name: new RegExp(run) }).click();
  await shown(page);
  await until("no count", count, (text) => text === "");
  assert.equal(await search.inputValue(), "");
});

await check("the search is in the address", async () => {
  await search.fill(numbered(123_456));
  await row(page, "the match", ({ text }) => text.includes(numbered(123_456)));
  const other = await open(new URL(page.url()).search ? `/${new URL(page.url()).search}` : "/");
  await row(other, "the same in another tab", ({ text }) => text.includes(numbered(123_456)));
  await other.context().close();
});

await done();
