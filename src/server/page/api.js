/**
 * Talks to the server: queries, errors as `Problem`, and Server-Sent Events over fetch, since EventSource
 * cannot send a token. The one place that knows paths' prefix and the token. Keeps no answers.
 */

import { keep, kept } from "./storage.js";

/** @typedef {Record<string, string | number | boolean | null | undefined | string[]>} Parameters */

/** Beside the page, so that both can stand behind a path of a proxy. */
const PREFIX = `${location.pathname.replace(/[^/]*$/, "")}api/v1`;
const TOKEN = "steplog.token";
/** The server says in the document whether it has tokens: to look for one takes time that most need not wait. */
const HAS_TOKENS = document.documentElement.hasAttribute("data-tokens");

/** An answer that is an error, in the server's words. */
export class Problem extends Error {
  /** @param {number} status @param {string} title @param {string} detail @param {string} next */
  constructor(status, title, detail, next) {
    super(detail ? `${title}: ${detail}` : title);
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.next = next;
  }
}

/** Takes a token out of `#token=…`, so that it stays in no history and no copied link. */
function takeToken() {
  const match = /^#token=([^&]+)/.exec(location.hash);
  if (!match?.[1]) return;
  setToken(decoded(match[1]));
  history.replaceState(history.state, "", location.pathname + location.search);
}

/** @param {string} token */
export function setToken(token) {
  keep("session", TOKEN, token);
}

export function hasToken() {
  return HAS_TOKENS && kept("session", TOKEN) !== null;
}

/** What `%` stands for; as it is, if that is nothing. @param {string} text */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * @param {string} path
 * @param {Parameters} [parameters]
 */
export function url(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined || value === null || value === "" || value === false) continue;
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, String(one));
  }
  const text = query.toString();
  return PREFIX + path + (text ? `?${text}` : "");
}

/** `/runs/RUN`, with whatever a run's name holds. @param {string} run */
export function runPath(run) {
  return `/runs/${encodeURIComponent(run)}`;
}

/**
 * @param {string} address
 * @param {{ signal?: AbortSignal | undefined, accept?: string, headers?: Record<string, string> }} [options]
 */
export async function request(address, { signal, accept = "application/json", headers = {} } = {}) {
  const token = HAS_TOKENS ? kept("session", TOKEN) : null;
  const all = { accept, ...headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(address, { headers: all, ...(signal ? { signal } : {}) });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem(0, "The server cannot be reached", "", "Is it still running? The page tries again.");
  }
  if (response.ok) return response;
  throw await problem(response);
}

/**
 * @template T
 * @param {string} path
 * @param {Parameters} [parameters]
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function get(path, parameters, signal) {
  const address = url(path, parameters);
  const asked = ahead.get(address);
  ahead.delete(address);
  // What went wrong is found out when it is asked for again.
  const answer = (await asked?.catch(() => undefined)) ?? (await ask(address, signal));
  return /** @type {T} */ (answer);
}

/** Answers that were asked for before they were needed, each for one `get`. @type {Map<string, Promise<unknown>>} */
const ahead = new Map();

/**
 * Asks for what `get` will be asked for.
 * @template T
 * @param {string} path
 * @param {Parameters} [parameters]
 * @returns {Promise<T>}
 */
export function askAhead(path, parameters) {
  const address = url(path, parameters);
  const answer = ask(address, undefined);
  ahead.set(address, answer);
  return /** @type {Promise<T>} */ (answer);
}

/** @param {string} address @param {AbortSignal | undefined} signal @returns {Promise<unknown>} */
async function ask(address, signal) {
  return (await request(address, { signal })).json();
}

takeToken();

/** @param {unknown} error */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/** @param {Response} response */
async function problem(response) {
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = { detail: text.slice(0, 500) };
  }
  return problemOf({ title: `The server answered ${response.status}`, status: response.status, ...body });
}

/** @param {{ title?: string, status?: number, detail?: string, next?: string }} body */
export function problemOf({ title, status, detail, next }) {
  return new Problem(status ?? 0, title ?? "The server failed", detail ?? "", next ?? "");
}

/**
 * One Server-Sent Event.
 * @typedef {{ event: string, id: string, data: string }} ServerEvent
 */

/**
 * The events of one connection. Ends when the server ends it; throws when it breaks.
 * @param {string} path
 * @param {Parameters} parameters
 * @param {AbortSignal} signal
 * @param {object} [options]
 * @param {string} [options.lastId] Where an earlier connection was.
 * @param {number} [options.silence] Milliseconds without a byte after which it is taken for broken.
 * @returns {AsyncGenerator<ServerEvent>}
 */
export async function* events(path, parameters, signal, { lastId = "", silence } = {}) {
  const headers = /** @type {Record<string, string>} */ (lastId ? { "last-event-id": lastId } : {});
  const silent = new AbortController();
  const giveUp = () => silent.abort(new Error("the server has gone silent"));
  const listen = () => (silence ? setTimeout(giveUp, silence) : undefined);
  let timer = listen();
  try {
    const either = AbortSignal.any([signal, silent.signal]);
    const response = await request(url(path, parameters), { signal: either, accept: "text/event-stream", headers });
    if (!response.body) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parse = parser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = listen();
      yield* parse(value);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Takes a text that comes in pieces, cut anywhere, apart into events. @returns {(piece: string) => Generator<ServerEvent>} */
function parser() {
  let rest = "";
  let event = { event: "message", id: "", data: "" };
  return function* (piece) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line === "") {
        if (event.data) yield event;
        event = { event: "message", id: "", data: "" };
        continue;
      }
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const content = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "event") event.event = content;
      else if (name === "id") event.id = content;
      else if (name === "data") event.data = event.data ? `${event.data}\n${content}` : content;
    }
  };
}
