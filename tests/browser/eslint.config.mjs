// Rules for the page and for its tests. Types are checked by tsc (tsconfig.json).

import { createRequire } from "node:module";

const require = createRequire(new URL("../../.node/", import.meta.url));
const js = require("@eslint/js");
const globals = require("globals");

const strict = {
  ...js.configs.recommended.rules,
  eqeqeq: "error",
  "no-var": "error",
  "prefer-const": "error",
  "object-shorthand": "error",
  "no-implicit-globals": "error",
  "no-shadow": "error",
  "no-param-reassign": "error",
  "no-eval": "error",
  "no-implied-eval": "error",
  "no-new-func": "error",
  "no-script-url": "error",
  "require-await": "error",
  "no-return-assign": "error",
  "no-unused-vars": ["error", { args: "all" }],
};

/** Ways by which text becomes HTML: there are none in the page. */
const asHtml = ["innerHTML", "outerHTML", "insertAdjacentHTML", "srcdoc", "setHTMLUnsafe"].map((property) => ({
  property,
  message: "text gets into the page as text nodes only",
}));

export default [
  {
    files: ["src/server/page/*.js"],
    languageOptions: { ecmaVersion: "latest", sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      ...strict,
      "no-console": ["error", { allow: ["error"] }],
      "no-restricted-properties": ["error", ...asHtml, { object: "document", property: "write" }],
      "no-restricted-globals": ["error", "eval", "DOMParser"],
    },
  },
  {
    files: ["tests/browser/*.mjs"],
    languageOptions: { ecmaVersion: "latest", sourceType: "module", globals: { ...globals.node, ...globals.browser } },
    rules: strict,
  },
];
