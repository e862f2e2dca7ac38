// Layers of a composite: the tone curve, opacity and modes, and what the service is asked for.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  STRAIGHT, curveOf, isStraight, movedTo, withPoint, withoutPoint,
} from "../../../pyharmony/serve/static/curve.js";
import {
  BEGIN, DocumentHistory, documentOf, isSameResult, layerModeOf, shadowOf,
} from "../../../pyharmony/serve/static/document.js";
import { compose } from "../../../pyharmony/serve/static/ways/compose.js";

const picture = (id, width = 120, height = 80) => ({ id, width, height, channels: 3 });
const PICTURES = { subject: picture("s"), background: picture("b", 400, 300) };
const SESSION = {
  pictures: PICTURES, moving: PICTURES.subject, below: PICTURES.background, people: null, about: { fields: [] },
};
const DOC = { ...BEGIN, place: { x: 200, y: 150, scale: 1, angle: 0, flip: false } };

test("a curve goes through its points, is monotone between them and constant beyond", () => {
  assert.deepEqual([0, 0.3, 1].map(curveOf(STRAIGHT)), [0, 0.3, 1]);
  const points = [[0.1, 0.2], [0.4, 0.3], [0.7, 0.9], [0.9, 0.9]];
  const value = curveOf(points);
  for (const [x, y] of points) assert.ok(Math.abs(value(x) - y) < 1e-12);
  assert.deepEqual([value(0), value(0.05), value(0.95), value(1)], [0.2, 0.2, 0.9, 0.9]);
  for (let x = 0; x < 1; x += 0.01) assert.ok(value(x + 0.01) >= value(x) - 1e-12);
  // Those of SciPy's PchipInterpolator.
  const wavy = curveOf([[0, 0], [0.25, 0.5], [0.6, 0.3], [1, 1]]);
  [[0.1, 0.286571428571], [0.4, 0.421282798834], [0.8, 0.500595238095]].forEach(([x, y]) => (
    assert.ok(Math.abs(wavy(x) - y) < 1e-9, `${x}: ${wavy(x)}`)));
});

test("a point stays between its neighbours and in the square", () => {
  const points = [[0, 0], [0.5, 0.5], [1, 1]];
  assert.deepEqual(movedTo(points, 1, [0.402, 0.7])[1], [0.4, 0.7]);
  assert.deepEqual(movedTo(points, 1, [-3, -3])[1], [0.02, 0]);
  assert.deepEqual(movedTo(points, 1, [9, 9])[1], [0.98, 1]);
  assert.deepEqual(movedTo(points, 0, [0.7, 0.1])[0], [0.48, 0.1]);
  assert.deepEqual(movedTo(points, 2, [0.1, 0.4])[2], [0.52, 0.4]);
  assert.deepEqual(points[1], [0.5, 0.5]);
});

test("points are added up to five, where there is room, and two stay", () => {
  let { points } = withPoint(STRAIGHT);
  assert.deepEqual(points, [[0, 0], [0.5, 0.5], [1, 1]]);
  assert.equal(withPoint(points, [0.505, 0.9]), null);
  assert.deepEqual(withPoint(points, [0.8, 2]), { points: [[0, 0], [0.5, 0.5], [0.8, 1], [1, 1]], index: 2 });
  for (let i = 0; i < 2; i += 1) ({ points } = withPoint(points));
  assert.deepEqual([points.length, withPoint(points)], [5, null]);
  assert.deepEqual(points.map(([x]) => x), [0, 0.25, 0.5, 0.75, 1]);
  for (let i = 0; i < 5; i += 1) points = withoutPoint(points, 1);
  assert.deepEqual(points, STRAIGHT);
  assert.deepEqual([isStraight(points), isStraight([[0, 0], [1, 0.9]])], [true, false]);
});

test("a subject is asked for with its opacity and mode, and the picture with its corrections", () => {
  const plain = compose.resultBody(SESSION, DOC);
  assert.deepEqual(Object.keys(plain).filter((name) => name.startsWith("adjust")), []);
  assert.deepEqual(["opacity" in plain.subjects[0], "mode" in plain.subjects[0]], [false, false]);
  const corrections = { adjustBackground: { exposure: 1 }, adjustResult: { contrast: 0.2 } };
  const own = { opacity: 0.4, layerMode: "soft-light", ...corrections };
  const body = compose.resultBody(SESSION, { ...DOC, ...own });
  assert.deepEqual([body.subjects[0].opacity, body.subjects[0].mode], [0.4, "soft-light"]);
  assert.deepEqual([body.adjust_background, body.adjust_result], [{ exposure: 1 }, { contrast: 0.2 }]);
  const layers = compose.layersBody(SESSION, { ...DOC, ...own }, 512);
  assert.deepEqual([layers.adjust_background, "adjust_result" in layers, "opacity" in layers.subject], [
    { exposure: 1 }, false, false,
  ]);
  // Other subjects below lie on the corrected background.
  assert.ok(!("adjust_background" in compose.layersBody({ ...SESSION, below: picture("u") }, { ...DOC, ...own }, 512)));
  assert.equal(compose.previewBody(SESSION, { ...DOC, others: [DOC], rank: 1 }).bodies.length, 2);
});

test("a gradient-domain blend has the normal mode, a plain paste any", () => {
  const doc = { ...DOC, layerMode: "screen" };
  assert.deepEqual([doc, { ...doc, blend: "poisson" }, { ...doc, blend: "poisson", strength: 0 }].map(layerModeOf), [
    "screen", "normal", "screen",
  ]);
  assert.ok(!("mode" in compose.resultBody(SESSION, { ...doc, blend: "poisson" }).subjects[0]));
});

test("the strength of a shadow is asked for where one is drawn", () => {
  const shadow = (change) => shadowOf({ ...BEGIN, shadowStrength: 0.3, ...change });
  assert.deepEqual([shadow({ shadow: "off" }), shadow({})], [false, "auto"]);
  assert.deepEqual(shadow({ shadow: "on" }), { strength: 0.3 });
  assert.deepEqual(shadow({ shadow: "on", softness: 2 }), { softness: 2, strength: 0.3 });
  assert.deepEqual(shadow({ shadow: "on", tip: { x: 1, y: 2 } }), { tip: [1, 2], softness: 4, strength: 0.3 });
  assert.equal(shadowOf({ ...BEGIN, shadow: "on" }), true);
});

test("an older draft opens with what was added since", () => {
  const { opacity, layerMode, shadowStrength, adjustBackground, adjustResult, ...older } = BEGIN;
  const [other] = documentOf([{}, {}], {}).others;
  delete other.opacity;
  const history = new DocumentHistory({}, { states: [{ ...older, others: [other], rank: 1 }], now: 0 });
  assert.deepEqual(history.doc, { ...BEGIN, others: [{ ...other, opacity: 1 }], rank: 1 });
  assert.deepEqual([opacity, layerMode, shadowStrength, adjustBackground, adjustResult], [1, "normal", null, {}, {}]);
  for (const change of [{ adjustBackground: { exposure: 1 } }, { adjustResult: { contrast: 1 } }, { opacity: 0.5 }]) {
    assert.ok(!isSameResult(history.doc, { ...history.doc, ...change }));
  }
});
