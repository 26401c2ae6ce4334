/**
 * What strangers print stays text: nothing of it runs, links go to the web only, what cannot be seen is shown, and
 * a line of 10 MB does not stop the page. Given: a run of tests/steps/hostile.py.
 */

import { assert, assertAccessible, assertWhole, check, done, given, open, picture, row, rows, shown, until } from "./support.mjs";

const [run] = given;
const page = await open(`/?run=${run}`, { clipboard: true });
const line = (name) => row(page, name, ({ text }) => text.startsWith(`${name}:`));
const html = (name) => page.locator(".row .text").filter({ hasText: new RegExp(`^${name}:`) }).first();

await check("markup is text", async () => {
  await shown(page);
  assert.ok((await line("script")).text.includes("<script>window.hacked = 1</script><img src=x onerror="));
  assert.ok((await line("svg")).text.includes("&lt;&amp;&#60;"));
  assert.equal(await page.locator("#lines script, #lines img, #lines svg:not(.icon), #lines iframe, #lines style").count(), 0);
  assert.equal(await page.evaluate(() => globalThis.hacked), undefined);
  await assertWhole(page);
  await picture(page, "hostile-light");
});

await check("links lead to the web only", async () => {
  for (const link of await page.locator("#lines .text a").all()) {
    assert.match(await link.getAttribute("href"), /^https?:\/\//);
    assert.match(await link.getAttribute("rel"), /noopener/);
  }
  assert.equal(await html("osc").locator("a").count(), 0);
  const address = await html("link").locator("a").getAttribute("href");
  assert.equal(address, "https://example.org/a", "a quote ends an address");
});

await check("what cannot be seen is shown by name, and copies as it is", async () => {
  const names = (name) => html(name).locator(".unseen").evaluateAll((all) => all.map((one) => one.dataset.name));
  assert.deepEqual((await names("control")).slice(0, 6), ["BEL", "BS", "NUL", "VT", "FF", "DEL"]);
  assert.deepEqual(await names("bidi"), ["<U+202E>", "<U+202C>", "<U+2067>", "<U+2069>", "<U+200F>"]);
  assert.deepEqual(await names("zero"), ["<U+200B>", "<U+2060>", "<U+FEFF>", "<U+00AD>", "<U+200D>", "<U+E0041>"]);
  assert.deepEqual(await names("emoji"), [], "a joiner within an emoji is part of it");
  assert.deepEqual(await names("separator"), ["<U+2028>", "<U+2029>"]);
  await html("bidi").evaluate((cell) => document.getSelection().selectAllChildren(cell));
  await page.keyboard.press("Control+c");
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(copied.startsWith("bidi: user \u202e gpj.exe \u202c"), JSON.stringify(copied));
});

await check("text that runs backwards turns nothing around but itself", async () => {
  const order = await html("bidi").evaluate((cell) => {
    const range = document.createRange();
    const places = [];
    const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      for (const word of ["user", "gpj.exe", "isolate", "end"]) {
        const at = node.data.indexOf(word);
        if (at < 0) continue;
        range.setStart(node, at);
        range.setEnd(node, at + word.length);
        places.push(range.getBoundingClientRect().left);
      }
    }
    return places;
  });
  assert.deepEqual(order, [...order].sort((left, right) => left - right), "words stand in the order of the bytes");
});

await check("four thousand changes of colour, and combining marks, are drawn", async () => {
  await line("zalgo");
  const spans = await html("spans").locator("span").count();
  assert.ok(spans > 1000, `${spans} spans`);
});

await check("a line of 10 MB is there, in pieces, and the page goes on", async () => {
  await page.locator("#log").focus();
  await page.keyboard.press("G");
  await row(page, "the last line", ({ text }) => text === "last: fine");
  await page.keyboard.press("g");
  await row(page, "the first line", ({ number }) => number === 1);
  await page.locator("#search").fill("long: 0123");
  const long = await row(page, "the long line", ({ text }) => text.startsWith("long: 0123456789"));
  assert.ok(long.text.length <= 6000, `${long.text.length} characters are drawn at first`);
  await assertWhole(page);
  const more = page.getByRole("button", { name: /show all .* characters/ }).first();
  await more.click();
  await until("more of it", async () => (await rows(page)).some(({ text }) => text.length > 6000), Boolean);
  await page.keyboard.press("Escape");
  await page.keyboard.press("w");
  await assertWhole(page);
  await page.locator("#log").focus();
  await page.keyboard.press("w");
  await page.keyboard.press("g");
  await row(page, "the first line", ({ number }) => number === 1);
  await picture(page, "hostile-long-light");
});

await check("patterns that would take the browser for ever do not", async () => {
  await page.getByRole("button", { name: "Regular expression" }).click();
  const start = Date.now();
  await page.locator("#search").fill("regex: (a+)+!");
  await row(page, "found by the server, marked whole", ({ text, marks }) => text.startsWith("regex:") && marks.join("") === text);
  await page.locator("#search").fill("(a|a)*$x|regex: (a*)*b");
  await until("answered", () => page.locator("#count").textContent(), (text) => text === "no match");
  assert.ok(Date.now() - start < 15_000);
});

await check("all of it is accessible", () => assertAccessible(page, "hostile"));

await done();
