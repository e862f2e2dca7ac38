// The rules for the JavaScript of the page and its tests. What they need is installed in build/page by check_page.py.

import { createRequire } from "node:module";

const { configs } = createRequire(new URL("../../build/page/package.json", import.meta.url))("@eslint/js");

/** Names of the browser that the page uses. */
const BROWSER = [
  "AbortController", "Blob", "BroadcastChannel", "DOMParser", "DecompressionStream", "Event", "EventSource", "File",
  "IDBKeyRange", "Image", "Option", "ResizeObserver", "Response", "TextDecoder", "TextEncoder", "URL", "Worker",
  "XMLHttpRequest", "addEventListener", "atob", "clearInterval", "clearTimeout", "console", "createImageBitmap",
  "crypto", "document", "fetch", "getComputedStyle", "history", "indexedDB", "location", "matchMedia", "navigator",
  "performance", "requestAnimationFrame", "sessionStorage", "setInterval", "setTimeout", "window",
];

export default [
  configs.recommended,
  {
    languageOptions: {
      ecmaVersion: 2022, sourceType: "module", globals: Object.fromEntries(BROWSER.map((name) => [name, "readonly"])),
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "array-callback-return": "error",
      "consistent-return": "error",
      curly: ["error", "multi-line"],
      "default-param-last": "error",
      "dot-notation": "error",
      eqeqeq: "error",
      "max-len": ["error", { code: 120 }],
      "max-lines": ["error", { max: 350 }],
      "max-lines-per-function": ["error", { max: 60 }],
      "no-else-return": "error",
      "no-implicit-coercion": "error",
      "no-param-reassign": "error",
      "no-shadow": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "no-use-before-define": ["error", { functions: false, variables: false }],
      "no-useless-return": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "one-var": ["error", "never"],
      "prefer-arrow-callback": "error",
      "prefer-const": "error",
      "prefer-template": "error",
      "sort-imports": ["error", { ignoreDeclarationSort: true }],
    },
  },
  // Its table of what the library says is one row a line.
  {
    files: ["**/static/strings.js", "**/static/names.js"],
    rules: { "max-len": ["error", { code: 120, ignoreStrings: true }] },
  },
];
