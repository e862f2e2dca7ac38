// The tone curve of corrections by hand: points on a square, which a pointer and keys move, and the line through them.

import { buttonOf, elementOf } from "./dom.js";
import { clamp } from "./geometry.js";
import { TEXTS } from "./strings.js";

/** @typedef {[number, number]} Knot a point of a curve: in and out, 0 to 1 */

/** The points of a curve that changes nothing. @type {Knot[]} */
export const STRAIGHT = [[0, 0], [1, 1]];
/** The largest number of points. */
const MOST = 5;
/** The least distance of points, and the steps of a key, small and large. */
const [GAP, STEP, LEAP] = [0.02, 0.01, 0.05];
/** The number of parts of the drawn line. */
const PARTS = 50;

/** @type {Record<string, Knot>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** @param {number} value */
const rounded = (value) => Math.round(value * 100) / 100;

/** Returns whether points are those of a curve that nobody has changed. @param {Knot[]} points */
export const isStraight = (points) => JSON.stringify(points) === JSON.stringify(STRAIGHT);

/** Returns the tangents at the points, as the service computes them. @param {Knot[]} points */
function tangentsOf(points) {
  const steps = points.slice(1).map(([x], i) => x - points[i][0]);
  const slopes = points.slice(1).map(([, y], i) => (y - points[i][1]) / steps[i]);
  if (slopes.length === 1) return [slopes[0], slopes[0]];
  /** @type {(step: number, next: number, slope: number, beside: number) => number} */
  const end = (step, next, slope, beside) => {
    const tangent = ((2 * step + next) * slope - step * beside) / (step + next);
    if (tangent * slope <= 0) return 0;
    return slope * beside <= 0 && Math.abs(tangent) > 3 * Math.abs(slope) ? 3 * slope : tangent;
  };
  const inner = steps.slice(1).map((step, i) => {
    if (slopes[i] * slopes[i + 1] <= 0) return 0;
    const [before, after] = [2 * step + steps[i], step + 2 * steps[i]];
    return (before + after) / (before / slopes[i] + after / slopes[i + 1]);
  });
  const last = steps.length - 1;
  return [
    end(steps[0], steps[1], slopes[0], slopes[1]), ...inner,
    end(steps[last], steps[last - 1], slopes[last], slopes[last - 1]),
  ];
}

/** Returns a function of the values of the curve through points: monotone between them, constant beyond. */
/** @type {(points: Knot[]) => (x: number) => number} */
export function curveOf(points) {
  const tangents = tangentsOf(points);
  return (x) => {
    const part = clamp(points.filter(([at]) => at <= x).length - 1, 0, points.length - 2);
    const [[left, low], [right, high]] = points.slice(part);
    const [width, slope] = [right - left, (high - low) / (right - left)];
    const t = clamp((x - left) / width, 0, 1);
    const bend = (tangents[part] - slope) * (1 - t) - (tangents[part + 1] - slope) * t;
    return clamp(low + width * t * (slope + (1 - t) * bend), 0, 1);
  };
}

/** Returns the points with one moved, which stays between its neighbours. */
/** @type {(points: Knot[], index: number, to: Knot) => Knot[]} */
export function movedTo(points, index, [x, y]) {
  const low = index ? points[index - 1][0] + GAP : 0;
  const high = index < points.length - 1 ? points[index + 1][0] - GAP : 1;
  /** @type {Knot} */
  const moved = [rounded(clamp(x, low, high)), rounded(clamp(y, 0, 1))];
  return points.map((one, i) => (i === index ? moved : one));
}

/** Returns the points with another one, by default in the middle of the widest gap; null: there is no room for it. */
/** @type {(points: Knot[], at?: Knot | null) => { points: Knot[], index: number } | null} */
export function withPoint(points, at = null) {
  const gaps = points.slice(1).map(([x], i) => x - points[i][0]);
  const widest = gaps.indexOf(Math.max(...gaps));
  const middle = points[widest][0] + gaps[widest] / 2;
  const [x, y] = (at ?? [middle, curveOf(points)(middle)]).map(rounded);
  if (points.length >= MOST || points.some((one) => Math.abs(one[0] - x) < GAP)) return null;
  const index = points.filter((one) => one[0] < x).length;
  return { points: [...points.slice(0, index), [x, clamp(y, 0, 1)], ...points.slice(index)], index };
}

/** Returns the points without one; there are always two. @type {(points: Knot[], index: number) => Knot[]} */
export const withoutPoint = (points, index) => (
  points.length > 2 ? points.filter((_, i) => i !== index) : points);

/** The control of a curve, which fires `input` while it changes and `change` at the end, as a slider does. */
export class CurveEditor {
  constructor() {
    /** @type {Knot[]} */
    this.points = STRAIGHT;
    /** The index of the point that had the focus last. */
    this.last = 0;
    this.square = elementOf("div", { className: "curve" });
    this.square.setAttribute("role", "group");
    this.square.setAttribute("aria-label", TEXTS.curve);
    this.square.innerHTML = `<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
      <path class="grid" d="M25 0V100M50 0V100M75 0V100M0 25H100M0 50H100M0 75H100M0 100 100 0"/><path/></svg>`;
    this.add = buttonOf(TEXTS.addPoint, () => this.insert(), "second");
    this.remove = buttonOf(TEXTS.removePoint, () => this.take(this.last), "second");
    this.element = elementOf(
      "div", { className: "field" }, elementOf("span", { className: "title" }, TEXTS.curve), this.square,
      elementOf("div", { className: "row" }, this.add, this.remove),
    );
    this.square.addEventListener("click", ({ target, clientX, clientY }) => {
      if (!(/** @type {Element} */ (target).closest(".knot"))) this.insert(this.at(clientX, clientY));
    });
  }

  /** The handles of the points. */
  get knots() { return /** @type {HTMLElement[]} */ ([...this.square.querySelectorAll(".knot")]); }

  /** Returns the point of the curve at a point of the screen. @type {(x: number, y: number) => Knot} */
  at(x, y) {
    const box = this.square.getBoundingClientRect();
    return [(x - box.left) / box.width, (box.bottom - y) / box.height];
  }

  /** Shows a curve; the focus stays on a point with the same number. @param {Knot[]} points */
  show(points) {
    this.points = points;
    const focused = this.knots.findIndex((one) => one === document.activeElement);
    if (this.knots.length !== points.length) {
      for (const one of this.knots) one.remove();
      this.square.append(...points.map((_, index) => this.knotOf(index)));
      this.last = Math.min(this.last, points.length - 1);
      if (focused >= 0) this.knots[Math.min(focused, points.length - 1)].focus();
    }
    this.knots.forEach((knot, index) => {
      const [x, y] = points[index].map((value) => Math.round(100 * value));
      Object.assign(knot.style, { left: `${x}%`, bottom: `${y}%` });
      knot.setAttribute("aria-label", TEXTS.knot(index + 1, x, y));
      knot.setAttribute("aria-valuenow", String(y));
      knot.setAttribute("aria-valuetext", TEXTS.knotAt(x, y));
    });
    const value = curveOf(points);
    const line = Array.from({ length: PARTS + 1 }, (_, i) => `${100 * i / PARTS} ${100 - 100 * value(i / PARTS)}`);
    this.square.querySelector("path:last-of-type")?.setAttribute("d", `M${line.join("L")}`);
    this.add.disabled = points.length >= MOST;
    this.remove.disabled = points.length <= 2;
  }

  /** Creates the handle of a point. @param {number} index */
  knotOf(index) {
    const knot = elementOf("span", { className: "knot", tabIndex: 0 });
    knot.setAttribute("role", "slider");
    knot.setAttribute("aria-valuemin", "0");
    knot.setAttribute("aria-valuemax", "100");
    knot.addEventListener("focus", () => { this.last = index; });
    knot.addEventListener("keydown", (event) => this.press(event, index));
    knot.addEventListener("pointerdown", (event) => {
      knot.setPointerCapture(event.pointerId);
      knot.focus({ preventScroll: true });
      event.preventDefault();
    });
    knot.addEventListener("pointermove", ({ pointerId, clientX, clientY }) => {
      if (!knot.hasPointerCapture(pointerId)) return;
      this.change(movedTo(this.points, index, this.at(clientX, clientY)), false);
    });
    knot.addEventListener("lostpointercapture", () => this.change(this.points));
    return knot;
  }

  /** @type {(event: KeyboardEvent, index: number) => void} */
  press(event, index) {
    const arrow = ARROWS[event.key];
    const [x, y] = this.points[index];
    const step = event.shiftKey ? LEAP : STEP;
    if (arrow) this.change(movedTo(this.points, index, [x + arrow[0] * step, y + arrow[1] * step]));
    else if (event.key === "Delete" || event.key === "Backspace") this.take(index);
    else return;
    event.preventDefault();
  }

  /** Adds a point, which gets the focus. @param {Knot | null} [at] */
  insert(at = null) {
    const added = withPoint(this.points, at);
    if (!added) return;
    this.change(added.points);
    // Nothing moves away under a pointer.
    this.knots[added.index].focus({ preventScroll: at !== null });
  }

  /** Removes a point; the one beside it gets the focus. @param {number} index */
  take(index) {
    if (this.points.length <= 2) return;
    this.change(withoutPoint(this.points, index));
    this.knots[Math.min(index, this.points.length - 1)].focus();
  }

  /** @type {(points: Knot[], isDone?: boolean) => void} */
  change(points, isDone = true) {
    this.show(points);
    for (const kind of isDone ? ["input", "change"] : ["input"]) {
      this.square.dispatchEvent(new Event(kind, { bubbles: true }));
    }
  }
}
