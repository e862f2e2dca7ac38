// The lines to which a dragged subject snaps.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as snapping from "../../../pyharmony/serve/static/snapping.js";

const BOX = { x: -20, y: -10, width: 40, height: 20 };
const at = (x, y, change = {}) => ({ x, y, scale: 1, angle: 0, flip: false, ...change });
const BACKGROUND = { width: 300, height: 150 };
const TARGETS = snapping.targetsOf(BACKGROUND, [], []);
const snap = (place, targets = TARGETS, reach = 4) => snapping.snapOf(snapping.boundsOf(BOX, place), targets, reach);

test("bounds are around a turned box", () => {
  assert.deepEqual(snapping.boundsOf(BOX, at(50, 40)), { x: [30, 50, 70], y: [30, 40, 50] });
  const { x, y } = snapping.boundsOf(BOX, at(50, 40, { angle: 90, scale: 2 }));
  [...x, ...y].forEach((value, i) => assert.ok(Math.abs(value - [30, 50, 70, 0, 40, 80][i]) < 1e-9));
});

test("the middle, thirds and edges of the background draw the middle and the sides of a box", () => {
  const cases = [
    [[152, 60], { x: -2 }, { x: "middle" }], [[97, 60], { x: 3 }, { x: "third" }],
    [[22, 60], { x: -2 }, { x: "edge" }], [[278, 143], { x: 2, y: -3 }, { x: "edge", y: "edge" }],
    [[60, 52], { y: -2 }, { y: "third" }], [[60, 60], {}, {}],
  ];
  for (const [[x, y], shifts, names] of cases) {
    const found = snap(at(x, y));
    assert.deepEqual(Object.fromEntries(Object.entries(found).map(([axis, one]) => [axis, one.shift])), shifts);
    assert.deepEqual(Object.fromEntries(Object.entries(found).map(([axis, one]) => [axis, one.name])), names);
  }
});

test("nothing snaps beyond the reach, and the nearest line counts", () => {
  assert.deepEqual(snap(at(154.5, 60)), {});
  assert.equal(snap(at(154.5, 60), TARGETS, 5).x.at, 150);
  const targets = snapping.targetsOf(BACKGROUND, [], [{ axis: "x", at: 153 }]);
  assert.deepEqual([snap(at(152.9, 60), targets).x.name, snap(at(150.4, 60), targets).x.name], ["guide", "middle"]);
});

test("the feet and the middle of others, and any side at a guide", () => {
  const other = snapping.boundsOf(BOX, at(200, 100));
  const targets = snapping.targetsOf(BACKGROUND, [other], [{ axis: "y", at: 30 }]);
  const feet = snapping.boundsOf({ ...BOX, height: 30 }, at(60, 92));
  assert.deepEqual([snapping.snapOf(feet, targets, 4).y.shift, snapping.snapOf(feet, targets, 4).y.name], [-2, "foot"]);
  assert.equal(snap(at(203, 60), targets).x.name, "third");
  assert.equal(snap(at(60, 118), snapping.targetsOf({ width: 900, height: 900 }, [other], []), 20).y.name, "foot");
  for (const y of [38, 31, 22]) assert.equal(snap(at(60, y), targets).y.at, 30);
});

test("an angle near an upright one is upright", () => {
  assert.deepEqual([2, -2.5, 88, -91, 179, 4, -94, 45].map(snapping.snappedAngle), [0, -0, 90, -90, 180, 4, -94, 45]);
});
