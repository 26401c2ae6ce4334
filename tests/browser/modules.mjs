/**
 * The page's pure modules against models and tables, in the browser that runs them.
 */

import { assert, check, done, open } from "./support.mjs";

// The page runs what is in it, and nothing else; its modules by themselves are read around that.
const page = await open("/", { bypass: true });
/** Runs a function in the page, with a module of it. */
const inPage = (name, act, argument) => page.evaluate(`(async () => (${act})(await import(${JSON.stringify(new URL(name, page.url()).href)}), ${JSON.stringify(argument ?? null)}))()`);

await check("heights agree with a plain list, whatever is done to them", async () => {
  const wrong = await inPage("heights.js", ({ Heights }) => {
    let seed = 7;
    const random = (below) => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed % below;
    };
    for (let turn = 0; turn < 40; turn += 1) {
      const heights = new Heights(20);
      let list = [];
      for (let step = 0; step < 60; step += 1) {
        const what = random(6);
        if (what <= 1) {
          const count = what === 0 ? list.length + random(900) : Math.max(0, list.length - random(300));
          while (list.length < count) list.push(20);
          list.length = count;
          heights.resize(count);
        } else if (what === 2 && list.length > 0) {
          const from = random(list.length);
          const to = Math.min(list.length, from + random(1200));
          const height = [0, 20, 60][random(3)];
          list.fill(height, from, to);
          heights.setRange(from, to, height);
        } else if (what === 3 && random(10) === 0) {
          heights.reset(20);
          list = list.map(() => 20);
        } else if (list.length > 0) {
          const row = random(list.length);
          const height = random(3) === 0 ? 0 : 20 + random(200);
          list[row] = height;
          heights.set(row, height);
        }
        const sum = list.reduce((all, height) => all + height, 0);
        if (Math.abs(heights.total - sum) > 0.5) return `total ${heights.total}, not ${sum}`;
        for (let look = 0; look < 5 && list.length > 0; look += 1) {
          const row = random(list.length);
          const top = list.slice(0, row).reduce((all, height) => all + height, 0);
          if (heights.of(row) !== list[row]) return `row ${row} is ${heights.of(row)}, not ${list[row]}`;
          if (Math.abs(heights.top(row) - top) > 0.5) return `row ${row} is at ${heights.top(row)}, not ${top}`;
          if (list[row] > 0 && heights.at(top + list[row] / 2) !== row) return `at ${top} is ${heights.at(top + list[row] / 2)}, not ${row}`;
        }
      }
    }
    return "";
  });
  assert.equal(wrong, "");
});

await check("every colour of terminals can be read in both themes", async () => {
  const least = await inPage("colour.js", ({ readable, contrast, fromIndex }) => {
    const grounds = [[255, 255, 255], [22, 24, 29], [0, 0, 238], [205, 49, 49], [229, 229, 16], [127, 127, 127]];
    let worst = 21;
    for (const ground of grounds) {
      for (let index = 0; index < 256; index += 1) worst = Math.min(worst, contrast(readable(fromIndex(index), ground), ground));
    }
    return worst;
  });
  assert.ok(least >= 4.5, `${least}`);
});

await check("patterns whose work has no bound are left to the server", async () => {
  const loops = await inPage("pattern.js", ({ unboundedLoops }, patterns) => patterns.map((pattern) => unboundedLoops(pattern) ?? null), ["abc", "a+b", ".*x.*", "(a+)+$", "(a|a)*b", "(ab){2,}", "[)*]+", "\\)+", "x{2,3}", "(a|b)c"]);
  assert.deepEqual(loops, [0, 1, 2, null, null, null, 1, 1, 1, 0]);
});

await check("matches are found as the server finds them", async () => {
  const found = await inPage("pattern.js", ({ finder }, cases) => cases.map(([search, text, known]) => finder(search)(text, known).map(({ from, to }) => text.slice(from, to))), [
    [{ text: "a.b", fixed: true, ignoreCase: true }, "A.B axb", false],
    [{ text: "a.b", fixed: false, ignoreCase: false }, "A.B axb", false],
    [{ text: "(?i)a.b", fixed: false, ignoreCase: false }, "A.B axb", false],
    [{ text: "(?P<n>x)y", fixed: false, ignoreCase: false }, "xy", false],
    [{ text: "(", fixed: false, ignoreCase: false }, "any (", true],
    [{ text: "(x+)+y", fixed: false, ignoreCase: false }, "xxxx", true],
    [{ text: "x*", fixed: false, ignoreCase: false }, "ab", false],
    [{ text: "", fixed: true, ignoreCase: true }, "ab", true],
  ]);
  assert.deepEqual(found, [["A.B"], ["axb"], ["A.B", "axb"], ["xy"], ["any ("], ["xxxx"], [], []]);
});

await check("times are written as people want them", async () => {
  const written = await inPage("time.js", ({ stamp, duration, millis }) => {
    const time = "2026-11-25T10:00:01.234567890Z";
    const start = millis("2026-11-25T09:58:56.234Z");
    return [
      stamp("off", time, start, undefined), stamp("utc", time, start, undefined), stamp("local", time, start, undefined),
      stamp("relative", time, start, undefined), stamp("delta", time, start, undefined), stamp("delta", time, start, "2026-11-25T10:00:01.000Z"),
      stamp("delta", time, start, "2026-11-25T11:00:01.235Z"), stamp("utc", "nonsense", start, undefined),
      duration(0), duration(999.4), duration(59_999), duration(60_000), duration(3_725_000), duration(100 * 3_600_000),
    ];
  });
  assert.deepEqual(written, ["", "10:00:01.234", "11:00:01.234", "+1:05.001", "", "+0.235", "−1:00:00.000", "", "0 ms", "999 ms", "59.9 s", "1 min 00 s", "1 h 02 min", "4 d 4 h"]);
});

await check("a section ends where its own end is, or the next of its kind", async () => {
  const marks = [[0, "start"], [3, "start"], [5, "end"], [9, "end"], [10, "next"], [12, "start"], [20, "next"]].map(([row, kind]) => ({ row, kind }));
  const extents = await inPage("sections.js", ({ extent }, given) => [0, 3, 10, 12, 20].map((row) => extent(given, row, 30)), marks);
  assert.deepEqual(extents, [{ from: 1, to: 10 }, { from: 4, to: 6 }, { from: 11, to: 20 }, { from: 13, to: 30 }, { from: 21, to: 30 }]);
});

await check("an element that is filled again keeps the focus where it was", async () => {
  const words = await inPage("dom.js", ({ el, fill }) => {
    const box = el("div");
    document.body.append(box);
    const draw = () => fill(box, el("button", {}, "one"), el("button", {}, "two"));
    draw();
    box.querySelectorAll("button")[1].focus();
    draw();
    const { textContent } = document.activeElement;
    box.remove();
    return textContent;
  });
  assert.equal(words, "two");
});

await check("several steps have ended as the worst of them", async () => {
  const all = await inPage("header.js", ({ together }) => {
    const step = (status, started, ended) => ({ status, started: `2026-01-01T00:00:0${started}Z`, ended: ended && `2026-01-01T00:00:0${ended}Z` });
    return [
      together([step("succeeded", 3, 4), step("succeeded", 1, 2)]),
      together([step("succeeded", 1, 2), step("running", 3, undefined)]),
      together([step("running", 3, undefined), step("failed", 1, 2)]),
    ].map(({ status, started, ended }) => `${status} ${started.slice(17, 19)} ${ended?.slice(17, 19)}`);
  });
  assert.deepEqual(all, ["succeeded 01 04", "running 01 undefined", "failed 01 undefined"]);
});

await check("streams are told apart by as little as does it", async () => {
  const stream = (writer, step, attempt = 1, source = "step") => ({ writer, step_id: step, attempt, source });
  const labels = await inPage("selection.js", ({ labelsOf }, cases) => cases.map((streams) => [...labelsOf(streams).values()].map(({ text }) => text)), [
    [stream("a", "train")],
    [stream("a", "train"), stream("b", "eval")],
    [stream("a", "train"), stream("b", "train", 2)],
    [stream("a", "train"), stream("b", "train", 1, "client")],
    [stream("a", "train"), stream("b", "train", 2), stream("c", "eval", 1, "client")],
  ]);
  assert.deepEqual(labels, [[], ["train", "eval"], ["#1", "#2"], ["step", "client"], ["train #1 step", "train #2 step", "eval #1 client"]]);
});

await done();
