// The corners of a warped photo.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as corners from "../../../pyharmony/serve/static/corners.js";
import { insideOf, pointOf } from "../../../pyharmony/serve/static/geometry.js";

const PHOTO = { width: 200, height: 100 };
const PLACE = { x: 300, y: 150, scale: 0.5, angle: 30, flip: true };
const WARP = [[0.1, 0.2], [0, -0.1], [0.2, 0], [-0.1, 0.1]];
const near = (a, b) => a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) < 1e-9, `${a} and ${b}`));

test("a corner that is dragged to a point lies there", () => {
  for (const index of [0, 1, 2, 3]) {
    const point = { x: 260 + 10 * index, y: 120 };
    const warp = corners.shifted(WARP, index, corners.shiftTo(index, PHOTO, PLACE, point));
    const { x, y } = corners.cornersOn(warp, PHOTO, PLACE)[index];
    assert.ok(Math.hypot(x - point.x, y - point.y) < 2e-3);
    warp.forEach((shift, i) => { if (i !== index) assert.deepEqual(shift, WARP[i]); });
  }
  const { x, y } = insideOf(PLACE, pointOf(PLACE, 12, -7));
  near([x, y], [12, -7]);
});

test("corners without a shift are no warp", () => {
  assert.equal(corners.shifted([[0.1, 0], [0, 0], [0, 0], [0, 0]], 0, [0, 1e-7]), null);
  assert.equal(corners.shifted(null, 2, [0, 0]), null);
  assert.deepEqual(corners.shifted(null, 2, [0.1234567, 0])[2], [0.12346, 0]);
});

test("corners are convex, not mirrored, flat or far", () => {
  assert.ok(corners.isConvex(WARP) && corners.isConvex(corners.unwarped()));
  for (const [index, shift] of [[0, [0.6, 0.6]], [1, [0, 1]], [1, [-2, 0]], [2, [11, 11]], [3, [NaN, 0]]]) {
    assert.ok(!corners.isConvex(corners.unwarped().map((one, i) => (i === index ? shift : one))), `${shift}`);
  }
});

test("a warp takes the corners to where they are shifted, and lines to lines", () => {
  near(corners.warpedPoint(WARP, [0, 0]), [0.1, 0.2]);
  near(corners.warpedPoint(WARP, [1, 0]), [1, -0.1]);
  near(corners.warpedPoint(WARP, [1, 1]), [1.2, 1]);
  near(corners.warpedPoint(WARP, [0, 1]), [-0.1, 1.1]);
  const [a, b, c] = [[0.1, 0.3], [0.4, 0.45], [0.8, 0.65]].map((point) => corners.warpedPoint(WARP, point));
  near([(b[0] - a[0]) * (c[1] - a[1])], [(b[1] - a[1]) * (c[0] - a[0])]);
  const parallel = [[0.2, 0.1], [0.2, 0.1], [0.2, 0.1], [0.2, 0.1]];
  near(corners.warpedPoint(parallel, [0.5, 0.5]), [0.7, 0.6]);
});

test("the box of a warped cut-out is around it", () => {
  const box = { x: -100, y: -50, width: 200, height: 100 };
  assert.equal(corners.warpedBox(box, null, PHOTO), box);
  assert.equal(corners.warpedBox(undefined, null, undefined), undefined);
  const { x, y, width, height } = corners.warpedBox(box, WARP, PHOTO);
  near([x, y, width, height], [-120, -60, 260, 120]);
});
