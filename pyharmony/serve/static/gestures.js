// Gestures of pointers on the canvas: one clicks, draws, drags the border of before and after or moves the view, and
// two zoom; if the first one is on the placed subject, they move, scale and turn it.

import { clamp, pinchedPlace } from "./geometry.js";
import { Konva } from "./konva.js";

/** @import { Point } from "./geometry.js" */
/** @typedef {Point & { moved: boolean, remove: boolean }} Press the position at which a pointer was pressed */

/** The distance from which on a moved pointer drags, in pixels of the screen. */
const SLACK = 4;
/** The pixels of a line of the wheel, the largest counted turn, and the turn that zooms by the factor e. */
const [WHEEL_LINE, WHEEL_MOST, WHEEL] = [16, 120, 400];

export class Gestures {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** The positions of the pressed pointers. @type {Map<number, Point>} */
    this.pointers = new Map();
    /** The points that are being drawn. @type {Point[] | null} */
    this.drawn = null;
    /** @type {Press | null} */
    this.pressed = null;
    /** The middle of two fingers, and their distance. @type {(Point & { span: number }) | null} */
    this.pinched = null;
    /** Whether the first pointer is on the placed subject. */
    this.isOnSubject = false;
    /** The place of the subject, and the points under two fingers, when the second came. */
    /** @type {{ place: import("./geometry.js").Place, points: [Point, Point] } | null} */
    this.held = null;
    const { element } = stage;
    stage.stage.on("pointerdown", ({ evt, target }) => this.down(evt, target));
    element.addEventListener("pointermove", (event) => this.move(event));
    element.addEventListener("pointerup", (event) => this.up(event));
    element.addEventListener("pointercancel", (event) => {
      this.leave(event);
      this.pressed = this.drawn = null;
      stage.strokes.line.visible(false);
    });
    element.addEventListener("pointerleave", () => {
      if (stage.mode !== "paint" || this.drawn || stage.strokes.keyed) return;
      stage.strokes.line.visible(false);
      stage.tools.batchDraw();
    });
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  /** Discards the pointers: a handle was dragged. */
  release() {
    this.pressed = null;
    this.pointers.clear();
  }

  /** @param {PointerEvent} event */
  leave(event) {
    this.pointers.delete(event.pointerId);
    if (this.pointers.size < 2) this.pinched = null;
    if (this.held && !this.pointers.size) {
      this.held = null;
      this.stage.handles.letGo();
    }
  }

  /** The points of the image under the first two fingers. @returns {[Point, Point]} */
  get points() {
    const [a, b] = [...this.pointers.values()].map(({ x, y }) => this.stage.at({ clientX: x, clientY: y }));
    return [a, b];
  }

  /** Handles a pressed pointer. @type {(event: PointerEvent, target: import("konva").default.Node) => void} */
  down(event, target) {
    const { stage, pointers } = this;
    const { element, strokes, handles } = stage;
    element.focus({ preventScroll: true });
    if (event.button > 1) return;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    // A second finger has to be noticed while the first one drags; a mouse has none, and its drags are drawn sooner.
    Konva.hitOnDragEnabled = event.pointerType === "touch";
    if (pointers.size === 1) this.isOnSubject = handles.isSubject(target);
    if (pointers.size === 2 && this.isOnSubject) {
      this.held = { place: handles.seize(), points: this.points };
      return;
    }
    if (target !== stage.stage || this.held) return;
    element.setPointerCapture?.(event.pointerId);
    this.pressed = { x: event.clientX, y: event.clientY, moved: false, remove: event.shiftKey || event.altKey };
    if (pointers.size > 1) {
      this.drawn = null;
      strokes.line.visible(false);
    } else if (stage.share === null && (stage.mode === "line" || stage.mode === "paint") && event.button === 0) {
      strokes.keyed = null;
      this.drawn = [stage.at(event)];
      strokes.draw(strokes.withAnchor(this.drawn));
    }
  }

  /** @param {PointerEvent} event */
  move(event) {
    const { stage, pointers, pressed, drawn } = this;
    const { strokes } = stage;
    const last = pointers.get(event.pointerId);
    if (stage.mode === "paint" && !last && !strokes.keyed) strokes.showBrush(stage.at(event));
    if (strokes.anchor && !last) strokes.draw(strokes.withAnchor([stage.at(event)]));
    if (!last) return;
    const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.held && pointers.size > 1) {
      const { place, points } = this.held;
      stage.handles.pull(pinchedPlace(place, points, this.points, stage.handles.turns));
    }
    if (this.held || !pressed) return;
    if (Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > SLACK) pressed.moved = true;
    if (pointers.size === 2) {
      this.pinch();
    } else if (drawn) {
      drawn.push(stage.at(event));
      strokes.draw(strokes.withAnchor(drawn));
    } else if (stage.share !== null) {
      stage.emitBorder(stage.at(event));
    } else if (pressed.moved) {
      stage.pan(dx, dy);
    }
  }

  /** Moves the view with two fingers, and zooms by their distance. */
  pinch() {
    const { stage, pinched } = this;
    const [a, b] = [...this.pointers.values()];
    const box = stage.element.getBoundingClientRect();
    const now = { span: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2 - box.left, y: (a.y + b.y) / 2 - box.top };
    if (pinched) {
      stage.pan(now.x - pinched.x, now.y - pinched.y);
      stage.zoomTo((stage.view.zoom * now.span) / Math.max(1, pinched.span), now);
    }
    this.pinched = now;
  }

  /** @param {PointerEvent} event */
  up(event) {
    const { stage, pressed, drawn } = this;
    const { strokes } = stage;
    this.leave(event);
    if (!pressed || this.pointers.size) return;
    this.pressed = this.drawn = null;
    strokes.line.visible(false);
    const point = stage.at(event);
    if (stage.share !== null) {
      stage.emitBorder(point);
    } else if (drawn && stage.mode === "line" && !pressed.moved && !strokes.anchor) {
      // A click begins a line, and another one ends it; a drag does both.
      strokes.begin(point);
    } else if (drawn) {
      strokes.end(drawn, pressed.remove);
    } else if (!pressed.moved && stage.mode === "point") {
      stage.emitPoint(point, pressed.remove);
    }
    stage.tools.batchDraw();
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    const { stage } = this;
    event.preventDefault();
    const box = stage.element.getBoundingClientRect();
    const turn = clamp(event.deltaMode ? event.deltaY * WHEEL_LINE : event.deltaY, -WHEEL_MOST, WHEEL_MOST);
    const point = { x: event.clientX - box.left, y: event.clientY - box.top };
    stage.zoomTo(stage.view.zoom * Math.exp(-turn / WHEEL), point);
  }
}
