/**
 * The page: joins the address, the tree, the header, the bar and the log. Everything with a job of its own is
 * in a module of its own; here is only who tells whom.
 */

import { askForToken, sentence, whyAbsent } from "./absent.js";
import { get, isAbort, Problem, runPath, setToken } from "./api.js";
import { Bar } from "./bar.js";
import { copied, NOT_COPIED } from "./copy.js";
import { Strip } from "./density.js";
import { byId, el, fill, icon } from "./dom.js";
import { download } from "./download.js";
import { banner, banners, header, whyEmpty } from "./header.js";
import { fillHelp } from "./help.js";
import { listen } from "./keyboard.js";
import { Log } from "./log.js";
import { Runs } from "./runs.js";
import { choose, chooseSteps, conditionsOf, isFiltered, selectionOf } from "./selection.js";
import { link, State } from "./state.js";
import { applyTheme, theme, turnTheme } from "./theme.js";
import { isLongAgo, TIME_MODES, TIME_NAMES } from "./time.js";
import { Tree } from "./tree.js";
import { isOpen } from "./words.js";

/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./state.js").View} View */

/** Milliseconds between looks at a run that goes on, and at what is not there yet. */
const LOOK_AGAIN = 4000;
/** Between looks at a run that seems to be over, whose next step may begin yet; and at one that nobody looks at. */
const LOOK_SELDOM = 20_000;
/** Milliseconds after which the page is shown also without the answer to what it shows. */
const SHOWN_AFTER = 150;
/** Buckets of the strip. */
const BUCKETS = 400;

applyTheme();
const state = new State();
/** @type {Run | undefined} */
let run;
/** What could not be read. @type {Set<string>} */
const troubles = new Set();
/** An error that stands in a banner. @type {Problem | undefined} */
let problem;
/** Counts selections that were opened: an answer to an older one is dropped. */
let turn = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let again;

/** What each key does. @type {import("./keyboard.js").Key[]} */
const keys = [];

const page = document.body;
const helpDialog = /** @type {HTMLDialogElement} */ (byId("help"));

const log = new Log(byId("log"), byId("lines"), {
  view: (change) => state.change(change),
  search: drawSearch,
  place: drawPlace,
  following: () => bar.drawFollowing(),
  streams: () => void refresh(),
  ended: () => void refresh(),
  reached,
  failed,
  troubled: (found) => {
    for (const { what } of found) troubles.add(what);
    drawHeader();
  },
  say,
  whole: (line) => void save({ writer: line.writer, seq: String(line.seq) }, "raw"),
});
const bar = new Bar(state, log, (what, form) => {
  if (run) void save(what === "all" ? { attempt: "all" } : { ...selectionOf(run, state.view), ...conditionsOf(state.view) }, form);
});
const tree = new Tree(byId("tree"), (change) => {
  page.classList.remove("with-tree");
  state.change(change, { entry: true });
});
const runs = new Runs(byId("runs"), (name) => link({ ...state.view, ...nothing(), run: name }), (name) => state.change({ ...nothing(), run: name }, { entry: true }), reached, failed);
const strip = new Strip(/** @type {HTMLCanvasElement} */ (byId("strip")), byId("strip-hint"), (share) => void log.places.goToRow(Math.floor(share * strip.total)));

// The first frame waits a moment for the run, so that the question for its lines is not kept waiting by the frame.
setTimeout(() => page.classList.remove("starting"), SHOWN_AFTER);
state.subscribe((view, before) => void viewed(view, before));
wire();
void viewed(state.view, undefined);

/** The view has changed: what does that mean? @param {View} view @param {View | undefined} before */
async function viewed(view, before) {
  bar.draw(view);
  const differs = (/** @type {(keyof View)[]} */ ...names) => !before || names.some((name) => String(view[name]) !== String(before[name]));
  if (differs("run")) return openRun(view);
  if (!run) return;
  const filter = differs("filter") || (view.filter && differs("query", "regex", "matchCase"));
  if (differs("steps", "attempt", "source")) return openLog(view, false);
  if (differs("level", "iostream", "progress") || (filter && (view.query || before?.query))) return openLog(view, true);
  if (differs("query", "regex", "matchCase")) return log.startSearch(run, view, { go: true });
  if (differs("time", "wrap", "unfolded")) log.restyle(run, view);
  if (differs("line")) await log.choose(view);
}

/** @param {View} view @param {{ again?: boolean }} [options] `again`: what is said of it stays until there is something else to say. */
async function openRun(view, { again: isAgain = false } = {}) {
  const mine = ++turn;
  clearTimeout(again);
  run = undefined;
  problem = undefined;
  troubles.clear();
  log.close();
  page.classList.toggle("at-runs", view.run === "");
  if (!isAgain) page.classList.remove("no-run");
  byId("run-name").textContent = view.run;
  fill(byId("header"));
  fill(byId("tree"));
  if (!isAgain) fill(byId("empty"));
  drawBanners();
  if (view.run === "") {
    page.classList.remove("starting");
    document.title = "Runs · steplog";
    await runs.show();
    return;
  }
  runs.close();
  document.title = `${view.run} · steplog`;
  try {
    /** @type {Run} */
    const found = await get(runPath(view.run));
    if (mine !== turn) return;
    run = found;
    page.classList.remove("no-run", "starting");
  } catch (error) {
    page.classList.remove("starting");
    if (mine === turn) notThere(error, view);
    return;
  }
  await openLog(state.view, false);
}

/** @param {View} view @param {boolean} keep At what is in sight. @param {{ again?: boolean }} [options] `again`: what went wrong is said until it goes well. */
async function openLog(view, keep, { again: isAgain = false } = {}) {
  if (!run) return;
  const mine = ++turn;
  if (!isAgain) problem = undefined;
  troubles.clear();
  strip.set({ density: undefined, matches: [], total: 0 });
  page.classList.toggle("is-filtered", isFiltered(view));
  drawHeader();
  drawTree();
  fill(byId("empty"));
  lookAgain();
  const chosen = choose(run, view);
  if (chosen.streams.length === 0) {
    // The server has nothing to say of it; it is opened when there is something.
    log.close();
    page.classList.add("is-empty");
    bar.drawFollowing();
    return fill(byId("empty"), ...whyEmpty(run, chosen, false, () => {}));
  }
  page.classList.add("is-loading");
  try {
    await log.open(run, view, { keep });
  } catch (error) {
    if (mine !== turn || isAbort(error)) return;
    failed(error);
    if (!mayPass(error)) return;
    setTimeout(() => mine === turn && void openLog(state.view, keep, { again: true }), LOOK_AGAIN);
    return;
  } finally {
    if (mine === turn) page.classList.remove("is-loading");
  }
  if (mine !== turn) return;
  if (isAgain) {
    problem = undefined;
    drawBanners();
  }
  takeFocus();
  drawPlace();
  bar.drawFollowing();
  if (!isFiltered(view)) void drawStrip(view, mine);
}

/** The log takes the keys, unless somebody is at something else by key. Lays out the page: not before the lines are there to be laid out with it. */
function takeFocus() {
  const here = document.activeElement;
  const isElsewhere = here && here !== page && here.checkVisibility() && (tree.byKey || !byId("tree").contains(here));
  if (!isElsewhere) byId("log").focus({ preventScroll: true });
}

/** The run again: it goes on. */
async function refresh() {
  const mine = turn;
  if (!run) return;
  try {
    /** @type {Run} */
    const found = await get(runPath(state.view.run));
    if (mine !== turn) return;
    const { streams, open } = choose(run, state.view);
    const chosenBefore = chooseSteps(run, state.view).join("\n");
    run = found;
    reached();
    drawAgain();
    drawTree();
    // What is followed stays, even if another step would be chosen by now.
    if (streams.length === 0 && choose(run, state.view).streams.length > 0) return void openLog(state.view, false);
    if (state.view.steps.length === 0 && chooseSteps(run, state.view).join("\n") !== chosenBefore) state.view.steps = chosenBefore.split("\n");
    const chosen = choose(run, state.view);
    // It had ended, and goes on: a step has begun, or another attempt, which stands by itself.
    if (!open && chosen.open) return void openLog(state.view, streams.every(({ writer }) => chosen.streams.some((stream) => stream.writer === writer)));
    log.renew(run, state.view);
    if (open && state.view.line === "" && !isFiltered(state.view)) void drawStrip(state.view, mine);
  } catch (error) {
    if (mine === turn && !isAbort(error)) failed(error);
  }
  lookAgain();
}

function lookAgain() {
  clearTimeout(again);
  if (!run) return;
  const goesOn = isOpen(run.status) || run.steps.some((step) => isOpen(step.status));
  if (!goesOn && isLongAgo(run.ended, Date.now())) return;
  again = setTimeout(() => void (goesOn || !document.hidden ? refresh() : lookAgain()), goesOn && !document.hidden ? LOOK_AGAIN : LOOK_SELDOM);
}

/** @param {View} view @param {number} mine */
async function drawStrip(view, mine) {
  if (!run) return;
  try {
    /** @type {import("./types.js").Density} */
    const density = await get(`${runPath(run.pipeline_run_id)}/density`, { ...selectionOf(run, view), buckets: BUCKETS });
    if (mine === turn) strip.set({ density });
  } catch (error) {
    // The strip is a help; the log is there without it.
    if (!isAbort(error) && mine === turn) strip.set({ density: undefined });
  }
}

/** A run that cannot be shown. @param {unknown} error @param {View} view */
function notThere(error, view) {
  if (isAbort(error)) return;
  if (!(error instanceof Problem)) return failed(error);
  if (error.status === 401) return wantToken();
  page.classList.add("no-run");
  fill(byId("empty"), ...whyAbsent(error, view.run, backToRuns()));
  if (error.status !== 404 && !mayPass(error)) return;
  again = setTimeout(() => view.run === state.view.run && void openRun(state.view, { again: true }), LOOK_AGAIN);
}

function wantToken() {
  page.classList.remove("at-runs");
  page.classList.add("no-run");
  askForToken(byId("empty"), (token) => {
    setToken(token);
    void openRun(state.view);
  });
}

function backToRuns() {
  const back = el("a", { href: link({ ...state.view, ...nothing() }) }, "All runs");
  back.addEventListener("click", (event) => {
    event.preventDefault();
    state.change(nothing(), { entry: true });
  });
  return back;
}

/** Asked again, it may go well. @param {unknown} error */
function mayPass(error) {
  return error instanceof Problem && (error.status === 0 || error.status === 429 || error.status >= 500);
}

/** @param {unknown} error */
function failed(error) {
  if (isAbort(error)) return;
  problem = error instanceof Problem ? error : new Problem(0, "The page failed", String(error), "");
  if (problem.status === 401) {
    log.close();
    return wantToken();
  }
  if (!(error instanceof Problem)) console.error(error);
  drawBanners();
}

/** The server is there again, if it was not. */
function reached() {
  if (problem?.status !== 0) return;
  problem = undefined;
  drawBanners();
}

function drawHeader() {
  if (!run) return;
  const chosen = choose(run, state.view);
  const names = chooseSteps(run, state.view);
  fill(byId("header"), ...header(run, chosen, names, Date.now(), isFiltered(state.view) ? 0 : (log.source?.total ?? 0), {
    firstError: () => void log.places.goToFirstError(),
    level: (level) => state.change({ level: state.view.level === level ? "" : level }),
  }));
  const step = chosen.steps.length === 1 ? chosen.steps[0] : undefined;
  const mark = { succeeded: "✓ ", failed: "✗ ", running: "▶ " }[/** @type {"failed"} */ (step?.status ?? run.status)] ?? "";
  document.title = `${mark}${step ? `${step.step_id} · ` : ""}${run.pipeline_run_id} · steplog`;
  drawBanners();
}

/** The header as it is by now, unless somebody is about to copy from it. */
function drawAgain() {
  const selection = document.getSelection();
  if (selection && !selection.isCollapsed && byId("header").contains(selection.anchorNode)) return drawBanners();
  drawHeader();
}

function drawBanners() {
  /** @type {HTMLElement[]} */
  const all = run ? banners(choose(run, state.view), troubles) : [];
  if (problem) {
    const close = el("button", { type: "button", class: "icon-button", title: "Close", "aria-label": "Close" }, icon("close"));
    close.addEventListener("click", () => {
      problem = undefined;
      drawBanners();
    });
    all.push(banner("error", sentence(problem.title), [problem.detail, problem.next].filter(Boolean).map(sentence).join(" "), close));
  }
  fill(byId("banners"), ...all);
}

function drawTree() {
  if (run) tree.draw(run, state.view, Date.now());
}

function drawPlace() {
  const total = log.source?.total ?? 0;
  strip.set({ total, first: log.viewport.first, last: log.viewport.last });
  const isFull = total > 0;
  page.classList.toggle("is-empty", !isFull);
  if (isFull || !run || !log.isEmpty) fill(byId("empty"));
  else fill(byId("empty"), ...whyEmpty(run, choose(run, state.view), isFiltered(state.view), () => state.change({ level: "", iostream: "", filter: false })));
}

function drawSearch() {
  strip.set({ matches: log.places.search.positions });
  bar.drawSearch();
}

/** @param {import("./api.js").Parameters} query @param {import("./download.js").Form} form */
async function save(query, form) {
  if (!run) return;
  try {
    await download(run.pipeline_run_id, query, form);
  } catch (error) {
    failed(error);
  }
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let said;

/** A word that goes by itself, read out to who cannot see it. @param {string} words */
function say(words) {
  const field = byId("say");
  field.textContent = words;
  field.classList.add("shown");
  clearTimeout(said);
  said = setTimeout(() => field.classList.remove("shown"), 2500);
}

/** What belongs to one run, and not to the next. @returns {Partial<View>} */
function nothing() {
  return { run: "", steps: [], attempt: "", source: "", iostream: "", level: "", query: "", filter: false, line: "" };
}

function turnTime() {
  const next = TIME_MODES[(TIME_MODES.indexOf(state.view.time) + 1) % TIME_MODES.length] ?? "off";
  state.change({ time: next });
  say(TIME_NAMES[next]);
}

function drawTheme() {
  const now = theme();
  const button = byId("theme");
  fill(button, icon(/** @type {const} */ ({ auto: "auto", light: "sun", dark: "moon" })[now]));
  button.title = `Theme: ${now === "auto" ? "as the system has it" : now}`;
  button.setAttribute("aria-label", button.title);
  strip.draw();
}

async function copyLink() {
  const place = log.places.place;
  if (!place) return;
  const address = new URL(link({ ...state.view, steps: run ? chooseSteps(run, state.view) : [], line: state.view.line || place }), location.href);
  say((await copied(address.href)) ? "Link copied" : NOT_COPIED);
}

function wire() {
  drawTheme();
  /** @param {string} id @param {() => void} act */
  const on = (id, act) => byId(id).addEventListener("click", act);
  on("home", () => state.change(nothing(), { entry: true }));
  on("menu", () => page.classList.toggle("with-tree"));
  on("shade", () => page.classList.remove("with-tree"));
  on("theme", () => {
    turnTheme();
    drawTheme();
  });
  on("show-help", turnHelp);
  wireKeys();
  setInterval(() => {
    if (!run || document.hidden || !isOpen(run.status)) return;
    drawAgain();
    tree.tick(Date.now());
  }, 1000);
}

/** Opens or closes the help. */
function turnHelp() {
  if (helpDialog.open) return helpDialog.close();
  if (!helpDialog.firstChild) fillHelp(helpDialog, keys);
  helpDialog.showModal();
  // The button at its end has the focus; to be read it begins at its beginning.
  helpDialog.scrollTop = 0;
}

function wireKeys() {
  keys.push(
    { keys: ["/"], what: "search the whole log", act: () => bar.focusSearch() },
    { keys: ["n", "N"], what: "next match, match before", act: (key) => void log.places.nextMatch(key === "n" ? 1 : -1) },
    { keys: ["e", "E"], what: "next error, error before", act: (key) => void log.places.nextError(key === "e" ? 1 : -1) },
    { keys: ["g", "G"], what: "first line, last line", act: (key) => void (key === "g" ? log.places.goToTop() : log.places.goToBottom()) },
    { keys: ["Home", "End"], what: "the same", act: (key) => void (key === "Home" ? log.places.goToTop() : log.places.goToBottom()) },
    { keys: ["j", "k"], what: "a line down, a line up", act: (key) => log.viewport.scrollBy(key === "j" ? 20 : -20) },
    { keys: ["]", "["], what: "next section, section before", act: (key) => void log.places.nextSection(key === "]" ? 1 : -1) },
    { keys: ["f"], what: "follow, or pause", act: () => log.live.toggle() },
    { keys: ["m"], what: "only lines that match, or all", act: () => state.view.query && state.change({ filter: !state.view.filter }) },
    { keys: ["w"], what: "wrap long lines, or not", act: () => state.change({ wrap: !state.view.wrap }) },
    { keys: ["t"], what: "times: none, UTC, local, since the start, since the line before", act: turnTime },
    { keys: ["x"], what: "unfold tracebacks, or fold them", act: () => state.change({ unfolded: !state.view.unfolded }) },
    { keys: ["p"], what: "all states of progress bars", act: () => state.change({ progress: !state.view.progress }) },
    { keys: ["y"], what: "copy a link to this line", act: () => void copyLink() },
    { keys: ["?"], what: "this help", act: turnHelp },
    { keys: ["Escape"], what: "back to the log", act: escape },
  );
  listen(keys);
}

function escape() {
  page.classList.remove("with-tree");
  if (state.view.line) state.change({ line: "" });
  byId("log").focus();
}
