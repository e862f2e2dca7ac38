// The document and its history.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as document from "../../../pyharmony/serve/static/document.js";

const { BEGIN, DocumentHistory } = document;
const MASK = { id: "m", width: 4, height: 4 };
const PLACE = { x: 10, y: 20, scale: 1, angle: 0, flip: false };

test("a document begins as every one, but for what a way says", () => {
  const history = new DocumentHistory({ mask: MASK });
  assert.deepEqual(history.doc, { ...BEGIN, mask: MASK });
  assert.deepEqual([history.canUndo, history.canRedo], [false, false]);
});

test("documents that give other pictures are told apart", () => {
  assert.ok(document.isSameResult(BEGIN, { ...BEGIN }));
  for (const change of [{ changes: [0] }, { mask: MASK }, { strength: 0.5 }, { crop: [0, 0, 9, 9] }]) {
    assert.ok(!document.isSameResult(BEGIN, { ...BEGIN, ...change }));
  }
});

test("steps are undone and done again, each state as it was", () => {
  const history = new DocumentHistory();
  const states = [history.doc];
  for (const strength of [0.8, 0.6, 0.4]) {
    history.commit({ strength });
    states.push(history.doc);
  }
  assert.ok(history.travel(-2));
  assert.equal(history.doc, states[1]);
  assert.deepEqual([history.canUndo, history.canRedo], [true, true]);
  assert.ok(history.travel(2));
  assert.equal(history.doc, states[3]);
  assert.deepEqual([history.travel(1), history.travel(-4)], [false, false]);
  assert.equal(history.doc, states[3]);
});

test("a step after an undo leaves what was undone", () => {
  const history = new DocumentHistory();
  history.commit({ strength: 0.8 });
  history.commit({ strength: 0.6 });
  history.travel(-1);
  history.commit({ softness: 0 });
  assert.equal(history.canRedo, false);
  assert.deepEqual([history.doc.strength, history.doc.softness], [0.8, 0]);
  history.travel(-2);
  assert.deepEqual(history.doc, BEGIN);
});

test("what is amended is no step", () => {
  const history = new DocumentHistory();
  history.commit({ mask: MASK });
  const before = history.doc;
  history.amend({ place: PLACE });
  assert.deepEqual(history.doc, { ...before, place: PLACE });
  assert.equal(before.place, null);
  history.travel(-1);
  assert.deepEqual(history.doc, BEGIN);
});

test("what is attempted while a slider moves is one step where it is let go", () => {
  const history = new DocumentHistory();
  for (const strength of [0.9, 0.5, 0.2]) history.attempt({ strength });
  assert.equal(history.doc.strength, 0.2);
  assert.equal(history.canUndo, false);
  history.commit({ strength: 0.2 });
  history.travel(-1);
  assert.deepEqual(history.doc, BEGIN);
});

test("what is attempted and not committed is gone with the next step", () => {
  const history = new DocumentHistory();
  history.commit({ softness: 0 });
  history.attempt({ strength: 0.2 });
  history.amend({ place: PLACE });
  history.travel(-1);
  history.travel(1);
  assert.deepEqual(history.doc, { ...BEGIN, softness: 0, place: PLACE });
});

test("a mask from elsewhere is where clicks go on, and lies nowhere yet", () => {
  assert.deepEqual(document.maskChange(MASK), {
    mask: MASK, steps: [{ kind: "mask", mask: "m" }], marks: [], place: null, front: [],
  });
});

test("marks lie in the middle of pixels, one for a click and one for a line", () => {
  const steps = [
    { kind: "mask", mask: "m" }, { kind: "click", x: 3, y: 4, add: true },
    { kind: "scribble", line: [[1, 2], [9, 9]], add: false },
  ];
  assert.deepEqual(document.marksOf(steps), [{ x: 3.5, y: 4.5, add: true }, { x: 1.5, y: 2.5, add: false }]);
});

test("strength 0 is the plain paste, whatever blend is chosen", () => {
  assert.equal(document.blendOf({ ...BEGIN, blend: "poisson" }), "poisson");
  assert.equal(document.blendOf({ ...BEGIN, blend: "poisson", strength: 0 }), "alpha");
});

test("the shadow is as it was said, and as the service finds it where nothing was", () => {
  const shadow = (change) => document.shadowOf({ ...BEGIN, ...change });
  const tip = { x: 1, y: 2 };
  assert.equal(shadow({}), "auto");
  assert.equal(shadow({ shadow: "off", tip }), false);
  assert.equal(shadow({ shadow: "on" }), true);
  assert.deepEqual(shadow({ shadow: "on", softness: 9 }), { softness: 9 });
  assert.deepEqual(shadow({ shadow: "on", tip }), { tip: [1, 2], softness: 4 });
});

test("who moves the tip of a shadow wants one", () => {
  const tip = { x: 1, y: 2 };
  assert.deepEqual(document.tipChange(BEGIN, tip), { tip, shadow: "on" });
  assert.deepEqual(document.tipChange({ ...BEGIN, shadow: "off" }, tip), { tip, shadow: "off" });
  assert.deepEqual(document.tipChange(BEGIN, null), { tip: null, shadow: "auto" });
});

test("the tip of the shadow moves along with what casts it", () => {
  const next = { ...PLACE, x: 15, y: 17 };
  assert.deepEqual(document.placeChange({ ...BEGIN, place: PLACE, tip: { x: 50, y: 60 } }, next), {
    place: next, tip: { x: 55, y: 57 },
  });
  assert.deepEqual(document.placeChange({ ...BEGIN, place: PLACE }, next), { place: next });
});

test("subjects are added, ordered, changed and removed, each with its own decisions", () => {
  const { adding, changing, ordering, removing, selecting, subjectsOf } = document;
  const numbers = (doc) => subjectsOf(doc).map((one) => one.number);
  const first = { ...BEGIN, place: PLACE, strength: 0.5, mode: "alpha" };
  const two = adding(first, MASK);
  assert.deepEqual([numbers(two), two.number, two.rank, two.photo], [[1, 2], 2, 1, MASK]);
  assert.deepEqual([two.strength, two.place, two.mode], [1, null, "alpha"]);
  const three = adding(two, MASK);
  assert.deepEqual([numbers(three), three.rank], [[1, 2, 3], 2]);
  const back = selecting(three, 0);
  assert.deepEqual([back.number, back.strength, back.place, back.rank, numbers(back)], [1, 0.5, PLACE, 0, [1, 2, 3]]);
  assert.deepEqual(selecting(back, 2), three);
  // The active one stays active, wherever it comes to lie.
  const up = ordering(back, 0, 1);
  assert.deepEqual([numbers(up), up.number, up.rank], [[2, 1, 3], 1, 1]);
  const other = ordering(up, 0, 2);
  assert.deepEqual([numbers(other), other.number, other.rank], [[1, 3, 2], 1, 0]);
  const hidden = changing(three, 1, { isHidden: true });
  assert.deepEqual(subjectsOf(hidden).map((one) => one.isHidden), [false, true, false]);
  assert.equal(changing(three, 2, { isLocked: true }).isLocked, true);
  for (const [index, left, active] of [[0, [2, 3], 3], [2, [1, 2], 2]]) {
    const less = removing(three, index);
    assert.deepEqual([numbers(less), less.number], [left, active]);
  }
  const without = removing(selecting(three, 0), 0);
  assert.deepEqual([numbers(without), without.number], [[2, 3], 2]);
  assert.deepEqual([{ place: null }, { isHidden: true }, {}].map((change) => (
    document.isVisible({ ...first, ...change }))), [false, false, true]);
});

test("a change to the same values is no step", () => {
  const history = new DocumentHistory();
  history.attempt({ strength: 0.4 });
  history.commit({ strength: 1 });
  assert.deepEqual([history.canUndo, history.doc], [false, BEGIN]);
});
