/**
 * A run of several steps followed while they run, all in one: each line with its step, one step that begins
 * later, one that fails while others go on, the end of all. Given: the run, and for each step its name and a file (a
 * FIFO) whose lines it prints; the last step is begun by who started this once a file `.begin` stands beside its FIFO.
 */

import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";

import { assert, assertWhole, check, done, given, open, picture, row, rows, until } from "./support.mjs";

const [run, ...pairs] = given;
const [first, second, late] = [0, 2, 4].map((at) => ({ name: pairs[at], path: pairs[at + 1], file: 0, printed: 0 }));
const begin = (step) => {
  step.file = openSync(step.path, "w");
};
const print = (step, count) => {
  let text = "";
  for (let at = 0; at < count; at += 1) {
    text += `${step.name} printed ${step.printed}\n`;
    step.printed += 1;
  }
  writeSync(step.file, text);
};
const last = (step) => ({ text, label }) => text.endsWith(`${step.name} printed ${step.printed - 1}`) && label === step.name;

begin(first);
begin(second);
const page = await open(`/?run=${run}&step=*`);

await check("lines of all steps appear by themselves, each with its step", async () => {
  for (let round = 0; round < 5; round += 1) {
    print(first, 20);
    print(second, 20);
    await row(page, "the last line of the first", last(first));
    await row(page, "the last line of the second", last(second));
  }
  await page.getByRole("button", { name: "Following" }).waitFor();
  await assertWhole(page);
});

await check("a step that begins meanwhile comes by itself", async () => {
  writeFileSync(`${late.path}.begin`, "");
  begin(late);
  print(late, 5);
  await row(page, "its last line", last(late));
  await page.getByRole("treeitem", { name: new RegExp(late.name) }).waitFor();
  await picture(page, "several-light");
});

await check("one fails, and the others go on", async () => {
  closeSync(first.file);
  await page.getByRole("treeitem", { name: new RegExp(`${first.name}.*failed|failed.*${first.name}`, "i") }).waitFor();
  print(second, 10);
  await row(page, "the last line of the second", last(second));
  await page.getByRole("button", { name: "Following" }).waitFor();
});

await check("the end of all is shown, and no line is missing or doubled", async () => {
  print(late, 1);
  closeSync(second.file);
  closeSync(late.file);
  await row(page, "the last line of the late one", last(late));
  await page.locator("#header").getByText("failed", { exact: false }).first().waitFor();
  await page.locator("#follow").waitFor({ state: "hidden" });
  const total = first.printed + second.printed + late.printed;
  await until("the last number", () => rows(page), (all) => all.length > 0 && all.at(-1).number === total);
  assert.ok((await page.locator("#header").textContent())?.includes(`${total} lines`));
});

await done();
