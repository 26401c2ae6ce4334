/**
 * Why there is nothing to see, or not all: a run that is not there yet, one that printed nothing, lines that were
 * lost, an end that never came, or for want of memory. And downloads. Given: runs with gaps, without output, without
 * an end, and one killed for want of memory.
 */

import { readFileSync } from "node:fs";

import { assert, assertAccessible, check, done, given, open, picture, row, shown } from "./support.mjs";

const [gaps, silent, endless, memory] = given;

await check("a run that is not there is said not to be", async () => {
  const page = await open("/?run=nowhere", { expected: ["404 (Not Found)"] });
  await page.locator("#empty h1").waitFor();
  await assertAccessible(page, "no such run");
  await picture(page, "not-there-light");
  await page.getByRole("link", { name: "All runs" }).click();
  await page.getByRole("heading", { name: "Runs" }).waitFor();
  await page.context().close();
});

await check("a step that printed nothing says so", async () => {
  const page = await open(`/?run=${silent}`);
  await page.getByText("It printed nothing").waitFor();
  await page.locator("#header").getByText("succeeded").waitFor();
  await assertAccessible(page, "silent");
  await picture(page, "silent-light");
  await page.context().close();
});

await check("a step that is not there is said not to be", async () => {
  const page = await open(`/?run=${silent}&step=nowhere`);
  await page.getByText("There is no such log in this run").waitFor();
  await page.locator("#header").getByText("not in this run").waitFor();
  await assertAccessible(page, "no such step");
  await picture(page, "no-such-step-light");
  await page.getByRole("treeitem", { name: /train/ }).click();
  await page.getByText("It printed nothing").waitFor();
  await page.context().close();
});

await check("lines that were lost are said to be, and where", async () => {
  const page = await open(`/?run=${gaps}`, { theme: "dark" });
  await shown(page);
  await page.getByText(/Lines are missing in \d+ place/).waitFor();
  await page.keyboard.press("G");
  const gap = await row(page, "a gap", ({ classes }) => classes.includes("gap"));
  assert.match(gap.text, /missing here: the spool was full and new lines were dropped/);
  await assertAccessible(page, "gaps");
  await picture(page, "gap-dark");
  await page.context().close();
});

await check("who was killed for want of memory is said to have been", async () => {
  const page = await open(`/?run=${memory}&step=train`);
  await shown(page);
  await page.locator("#header").getByText("failed · killed by SIGKILL (out of memory)").waitFor();
  await picture(page, "memory-light");
  await page.context().close();
});

await check("an end that never came is said to be missing", async () => {
  const page = await open(`/?run=${endless}`);
  await shown(page);
  await page.locator("#header").getByText(/no end yet|running/).first().waitFor();
  await picture(page, "endless-light");
  await page.context().close();
});

await check("what is shown can be downloaded, as it was printed, as text, as records", async () => {
  const page = await open(`/?run=${gaps}`);
  await shown(page);
  const get = async (name) => {
    await page.locator("summary[aria-label=Download]").click();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name }).first().click()]);
    await page.locator("#log").click({ position: { x: 300, y: 5 } });
    return { name: download.suggestedFilename(), text: readFileSync(await download.path(), "utf8") };
  };
  const raw = await get("As it was printed");
  assert.ok(raw.text.startsWith("2026-11-23 10:00:00,123 ERROR   trainer.loop line=00000000"));
  assert.match(raw.name, /\.log$/);
  const json = await get("As records, one JSON a line");
  assert.equal(JSON.parse(json.text.slice(0, json.text.indexOf("\n"))).seq, 0);
  await page.getByRole("combobox", { name: "Level", exact: true }).selectOption("warning");
  await row(page, "a warning", ({ text }) => text.includes("WARNING"));
  const text = await get("As text, with times");
  const lines = text.text.trimEnd().split("\n");
  assert.ok(lines.length > 3 && lines.filter((one) => /^\d{4}-\S+Z .*WARNING/.test(one)).length > 3 && !lines.some((one) => one.includes(" INFO ")), lines.slice(0, 5).join("\n"));
  await page.context().close();
});

await done();
