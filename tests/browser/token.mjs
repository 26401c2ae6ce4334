/**
 * A server that wants a token: the page asks for it, takes it from the address, and leaves it nowhere. Given: the
 * token, a run that it may see, one that it may not.
 */

import { readFileSync } from "node:fs";

import { assert, assertAccessible, check, done, given, open, picture, shown } from "./support.mjs";

const [token, seen, hidden] = given;
const expected = ["401 (Unauthorized)", "403 (Forbidden)", "404 (Not Found)"];

await check("without a token nothing is shown, and the page asks for one", async () => {
  const page = await open("/", { expected });
  await page.getByText("This server wants a token").waitFor();
  await assertAccessible(page, "token");
  await picture(page, "token-light");
  await page.getByLabel("Token").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("This server wants a token").waitFor();
  await page.getByLabel("Token").fill(token);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: new RegExp(seen) }).waitFor();
  assert.equal(await page.getByRole("link", { name: new RegExp(hidden) }).count(), 0, "no run but its own");
  await page.context().close();
});

await check("a token in the address is taken out of it, and used for lines, streams and downloads", async () => {
  const page = await open(`/?run=${seen}#token=${token}`);
  await shown(page);
  assert.ok(!page.url().includes(token));
  assert.ok(!(await page.evaluate(() => JSON.stringify(Object.values(localStorage)))).includes(token));
  await page.locator("summary[aria-label=Download]").click();
  await page.evaluate(() => { delete globalThis.showSaveFilePicker; });
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "As it was printed" }).first().click()]);
  assert.equal(readFileSync(await download.path(), "utf8"), "for your eyes\n");
  await page.context().close();
});

await check("a run that it may not see is not shown, nor said to be empty", async () => {
  const page = await open(`/?run=${hidden}#token=${token}`, { expected });
  await page.locator("#empty h1").waitFor();
  const said = await page.locator("#empty").textContent();
  assert.ok(!said.includes("printed nothing") && !said.includes("secret"), said);
  await picture(page, "not-allowed-light");
  await page.context().close();
});

await done();
