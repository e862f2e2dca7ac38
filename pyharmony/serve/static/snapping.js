// Snapping: the lines to which a subject's box is drawn while it is dragged, and upright angles. Nothing here draws.

import { pointOf } from "./geometry.js";

/** @import { Box, Place, Size } from "./geometry.js" */
/** @typedef {"x" | "y"} Axis */
/** @typedef {{ axis: Axis, at: number }} Guide a line of the user: upright at an x, or level at a y */
/** @typedef {Record<Axis, [number, number, number]>} Bounds the start, middle and end on each axis */
/** @typedef {"edge" | "third" | "middle" | "subject" | "foot" | "guide"} TargetName */
/** @typedef {Guide & { part: 0 | 1 | 2, name: TargetName }} Target a line, and what part of a box it draws */
/** @typedef {Partial<Record<Axis, Target & { shift: number }>>} Snap */

/** The difference from an upright angle up to which it is taken, in degrees. */
export const ANGLE_REACH = 3;

/** Returns whether a value is a guide. @param {any} value */
export const isGuide = (value) => ["x", "y"].includes(value?.axis) && Number.isFinite(value.at);

/** Returns the bounds of a placed box on the background. @type {(box: Box, place: Place) => Bounds} */
export function boundsOf({ x, y, width, height }, place) {
  const corners = [[x, y], [x + width, y], [x, y + height], [x + width, y + height]];
  const points = corners.map(([right, down]) => pointOf(place, right, down));
  /** @type {(axis: Axis) => [number, number, number]} */
  const along = (axis) => {
    const values = points.map((point) => point[axis]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return [low, (low + high) / 2, high];
  };
  return { x: along("x"), y: along("y") };
}

/** Returns the lines of a background, of the other subjects and of the user, of which the first ones count for more. */
/** @type {(background: Size, others: Bounds[], guides: Guide[]) => Target[]} */
export function targetsOf({ width, height }, others, guides) {
  /** @type {(axis: Axis, length: number) => Target[]} */
  const ofImage = (axis, length) => [
    { axis, at: length / 2, part: 1, name: "middle" }, { axis, at: 0, part: 0, name: "edge" },
    { axis, at: length, part: 2, name: "edge" }, { axis, at: length / 3, part: 1, name: "third" },
    { axis, at: (2 * length) / 3, part: 1, name: "third" },
  ];
  const parts = /** @type {const} */ ([1, 0, 2]);
  return [
    ...guides.flatMap((guide) => parts.map((part) => /** @type {Target} */ ({ ...guide, part, name: "guide" }))),
    ...ofImage("x", width), ...ofImage("y", height),
    ...others.flatMap(({ x, y }) => /** @type {Target[]} */ ([
      { axis: "y", at: y[2], part: 2, name: "foot" }, { axis: "x", at: x[1], part: 1, name: "subject" },
      { axis: "y", at: y[1], part: 1, name: "subject" },
    ])),
  ];
}

/** Returns the nearest line on each axis within a reach, and how far a box has to move there. */
/** @type {(bounds: Bounds, targets: Target[], reach: number) => Snap} */
export function snapOf(bounds, targets, reach) {
  /** @type {Snap} */
  const snap = {};
  for (const target of targets) {
    const { axis, at, part } = target;
    const shift = at - bounds[axis][part];
    const best = snap[axis];
    const isNearest = !best || Math.abs(shift) < Math.abs(best.shift);
    if (isNearest && Math.abs(shift) <= reach) snap[axis] = { ...target, shift };
  }
  return snap;
}

/** Returns the upright angle that is near, or the angle. @param {number} angle */
export function snappedAngle(angle) {
  const upright = Math.round(angle / 90) * 90;
  return Math.abs(angle - upright) <= ANGLE_REACH ? upright : angle;
}
