// The fields of options, made from descriptions: what is sent, what is shown, and what a control changes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { bodyOf, changed, labelOf, textOf, valueOf } from "../../../pyharmony/serve/static/fields.js";

const field = (more) => ({ about: "", low: null, high: null, words: [], fields: [], look: false, ...more });
const GRAIN = field({ name: "grain", type: "number", default: 1, low: 0, high: 1, look: true });
const SEED = field({ name: "seed", type: "whole", default: 0, low: 0, high: 99 });
const UPSCALE = field({ name: "upscale", type: "word", default: "auto", words: ["auto", "srgan", "none"] });
const REFLECTION = field({ name: "reflection", type: "group", default: false, look: true, fields: [
  field({ name: "blur", type: "number", default: 0.03, low: 0 }),
] });
const TRIAL = field({ name: "corner_shade", type: "flag", default: false });
const ALL = [GRAIN, SEED, UPSCALE, REFLECTION, TRIAL];
const control = (id, more) => ({ id, value: "", checked: false, ...more });

test("what was changed is sent, and to layers what they show", () => {
  const options = { grain: 0.5, seed: 3, gone: 1 };
  assert.deepEqual(bodyOf(ALL, options), { grain: 0.5, seed: 3 });
  assert.deepEqual(bodyOf(ALL, options, true), { grain: 0.5 });
  assert.deepEqual(bodyOf(ALL, {}), {});
});

test("a value stays within its bounds, and what is no number is the default", () => {
  assert.deepEqual(["30", "300", "-1", "x", ""].map((text) => valueOf(GRAIN, text)), [0.3, 1, 0, 1, 1]);
  assert.deepEqual(["7.6", "1000"].map((text) => valueOf(SEED, text)), [8, 99]);
  assert.deepEqual(["none", "srgan"].map((text) => valueOf(UPSCALE, text)), [null, "srgan"]);
  assert.deepEqual([textOf(GRAIN, 0.3), textOf(SEED, 4), textOf(UPSCALE, null)], ["30", "4", "none"]);
});

test("a control changes its option, or an argument of its group", () => {
  assert.deepEqual(changed(ALL, { seed: 2 }, control("grain", { value: "40" })), { seed: 2, grain: 0.4 });
  assert.deepEqual(changed(ALL, {}, control("reflection", { checked: true })), { reflection: true });
  const blurred = changed(ALL, { reflection: true }, control("reflection-blur", { value: "0.1" }));
  assert.deepEqual(blurred, { reflection: { blur: 0.1 } });
  assert.deepEqual(changed(ALL, blurred, control("reflection")), { reflection: false });
  assert.deepEqual(changed(ALL, {}, control("other")), {});
});

test("a new option has a label and a place in the body", () => {
  assert.equal(labelOf("corner_shade"), "Corner shade");
  const options = changed(ALL, {}, control("corner_shade", { checked: true }));
  assert.deepEqual(bodyOf(ALL, options), { corner_shade: true });
});
