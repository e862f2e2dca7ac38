// The four corners of a subject's photo, which a warp moves: in shares of its sides, on the background, and the box of
// what is warped. Nothing here draws.

import { insideOf, pointOf } from "./geometry.js";

/** @import { Box, Place, Point, Size } from "./geometry.js" */
/** @typedef {[number, number]} Shift how far a corner moves, in widths and heights of the photo */
/** @typedef {Shift[]} Warp the shifts of the corners, from the upper left clockwise */

/** The corners of the unit square. @type {Shift[]} */
const SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1]];
/** The decimal places of a shift. */
const DIGITS = 5;
/** The least area that the sides at a corner span, in photos, and the largest shift: those of the library. */
const [LEAST_SPAN, MOST_SHIFT] = [1e-3, 10];

/** The corners without a warp. @returns {Warp} */
export const unwarped = () => SQUARE.map(() => [0, 0]);

/** @type {(warp: Warp | null) => Shift[]} */
const cornersOf = (warp) => SQUARE.map(([x, y], i) => [x + (warp?.[i][0] ?? 0), y + (warp?.[i][1] ?? 0)]);

/** Returns whether the corners of a warp are convex, not mirrored, and neither flat nor far away. */
/** @param {Warp} warp */
export function isConvex(warp) {
  const corners = cornersOf(warp);
  return warp.flat().every((value) => Math.abs(value) <= MOST_SHIFT) && corners.every(([x, y], i) => {
    const [[a, b], [c, d]] = [corners[(i + 3) % 4], corners[(i + 1) % 4]];
    return (x - a) * (d - y) - (y - b) * (c - x) >= LEAST_SPAN;
  });
}

/** Returns a warp with a corner shifted; without any shift null. */
/** @type {(warp: Warp | null, index: number, to: Shift) => Warp | null} */
export function shifted(warp, index, to) {
  const next = (warp ?? unwarped()).map((one, i) => /** @type {Shift} */ (
    (i === index ? to : one).map((value) => Number(value.toFixed(DIGITS)))));
  return next.flat().some(Boolean) ? next : null;
}

/** Returns the corners of a placed photo on the background. */
/** @type {(warp: Warp | null, photo: Size, place: Place) => Point[]} */
export const cornersOn = (warp, { width, height }, place) => (
  cornersOf(warp).map(([x, y]) => pointOf(place, (x - 0.5) * width, (y - 0.5) * height)));

/** Returns how far a corner is shifted that lies at a point of the background. */
/** @type {(index: number, photo: Size, place: Place, point: Point) => Shift} */
export function shiftTo(index, { width, height }, place, point) {
  const { x, y } = insideOf(place, point);
  return [x / width + 0.5 - SQUARE[index][0], y / height + 0.5 - SQUARE[index][1]];
}

/** Returns where a warp takes a point, both in shares of the photo's sides (P. Heckbert 1989, section 2.2.3). */
/** @type {(warp: Warp, point: Shift) => Shift} */
export function warpedPoint(warp, [u, v]) {
  const [[x0, y0], [x1, y1], [x2, y2], [x3, y3]] = cornersOf(warp);
  const [dx1, dx2, dx3] = [x1 - x2, x3 - x2, x0 - x1 + x2 - x3];
  const [dy1, dy2, dy3] = [y1 - y2, y3 - y2, y0 - y1 + y2 - y3];
  const span = dx1 * dy2 - dx2 * dy1;
  const [g, h] = [(dx3 * dy2 - dx2 * dy3) / span, (dx1 * dy3 - dx3 * dy1) / span];
  const weight = g * u + h * v + 1;
  return [
    ((x1 - x0 + g * x1) * u + (x3 - x0 + h * x3) * v + x0) / weight,
    ((y1 - y0 + g * y1) * u + (y3 - y0 + h * y3) * v + y0) / weight,
  ];
}

/** Returns the box around a warped one, relative to the centre of the photo, in its pixels. */
/** @type {(box: Box, warp: Warp | null | undefined, photo: Size) => Box} */
export function warpedBox(box, warp, photo) {
  // Without a subject there is neither a box nor a photo.
  if (!warp) return box;
  const { width, height } = photo;
  const points = SQUARE.map(([x, y]) => warpedPoint(warp, [
    (box.x + x * box.width) / width + 0.5, (box.y + y * box.height) / height + 0.5,
  ]));
  const [xs, ys] = [points.map(([x]) => (x - 0.5) * width), points.map(([, y]) => (y - 0.5) * height)];
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
}
