/**
 * What stands where a run would be if there is none to show: it is not there, this reader may not see it, a token is
 * wanted, the server fails. Makes elements from what it is given; asks nothing.
 */

import { el } from "./dom.js";

/** Words of the server as a sentence. @param {string} words */
export function sentence(words) {
  return capital(words) + (/[.!?…]$/.test(words) ? "" : ".");
}

/** @param {string} words */
function capital(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Why a run is not shown. @param {import("./api.js").Problem} problem @param {string} run @param {HTMLElement} back */
export function whyAbsent(problem, run, back) {
  if (problem.status === 404) {
    return [
      el("h1", {}, `There is no run ${run} here`),
      el("p", {}, "It may not have begun yet, or nothing of it has arrived: this page looks again by itself."),
      el("p", {}, back),
    ];
  }
  return [
    el("h1", {}, capital(problem.title)),
    problem.detail && el("p", {}, sentence(problem.detail)),
    problem.next && el("p", {}, sentence(problem.next)),
    el("p", {}, back),
  ];
}

/** Asks for a token. @param {HTMLElement} place @param {(token: string) => void} open */
export function askForToken(place, open) {
  const field = el("input", { type: "password", class: "find", name: "token", autocomplete: "current-password", "aria-label": "Token" });
  const form = el("form", {}, field, el("button", { class: "button", type: "submit" }, "Open"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    open(field.value.trim());
  });
  place.replaceChildren(el("h1", {}, "This server wants a token"), el("p", {}, "Whoever started it has one. It is kept until this tab is closed."), form);
  field.focus();
}
