// Lines and strokes of the brush on the canvas, and the cross that draws them by keys.

import { clamp } from "./geometry.js";
import { ADDS, Konva, REMOVES } from "./konva.js";

/** @import { Point, Size } from "./geometry.js" */

/** The width of a line, in pixels of the screen. */
const LINE = 4;
/** The strokes of the cross: points, colour and width. @type {[number[], string, number][]} */
const CROSS = [
  [[-14, 0, 14, 0], "#000", 4], [[0, -14, 0, 14], "#000", 4],
  [[-13, 0, 13, 0], "#fff", 2], [[0, -13, 0, 13], "#fff", 2],
];

/** Returns the points of a line for the canvas; a single point becomes a very short line. @param {Point[]} points */
function dotted(points) {
  const [{ x, y }] = points;
  return points.length === 1 ? [x, y, x + 0.01, y] : points.flatMap((point) => [point.x, point.y]);
}

export class Strokes {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** The width of the brush, in pixels of the picture. */
    this.brush = 40;
    /** Whether the stroke removes. */
    this.removes = false;
    /** Whether a line is an outline, which is closed. */
    this.isClosed = false;
    /** The start of a line by a click. @type {Point | null} */
    this.anchor = null;
    /** The points of a stroke that a key began, and whether it removes. @type {Point[] | null} */
    this.keyed = null;
    this.keyedRemoves = false;
    /** @type {import("konva").default.Line} */
    this.line = new Konva.Line({ points: [], lineCap: "round", lineJoin: "round", listening: false, visible: false });
    this.cross = new Konva.Group({ name: "cross", listening: false, visible: false });
  }

  /** Whether a click or a key began a line or a stroke. */
  get isBegun() { return Boolean(this.anchor || this.keyed); }
  get colour() { return this.removes ? REMOVES : ADDS; }

  dress() {
    this.cross.destroyChildren();
    for (const [points, stroke, strokeWidth] of CROSS) this.cross.add(new Konva.Line({ points, stroke, strokeWidth }));
  }

  /** Hides the line, unless it was begun to be ended later. */
  hide() {
    if (!this.isBegun) this.line.visible(false);
  }

  /** Draws a line or a stroke; a line continues from the click that began it. @param {Point[]} points */
  draw(points) {
    const painted = this.stage.mode === "paint";
    this.line.setAttrs({
      points: dotted(points), strokeWidth: painted ? this.brush : LINE / this.stage.view.zoom, visible: true,
      stroke: this.colour, opacity: painted ? 0.55 : 0.9, closed: this.isClosed && !painted,
    });
    this.stage.tools.batchDraw();
  }

  /** Draws the outline of the brush. @param {Point} point */
  showBrush(point) {
    this.line.setAttrs({
      points: dotted([point]), strokeWidth: this.brush, visible: true, stroke: this.colour, opacity: 0.4,
    });
    this.stage.tools.batchDraw();
  }

  /** Begins a line at a click, which another one ends. @param {Point} point */
  begin(point) {
    this.anchor = point;
    this.draw([point]);
    this.stage.on.begun(true);
  }

  /** Ends a line or a stroke, which may have begun with a click. @type {(points: Point[], remove: boolean) => void} */
  end(points, remove) {
    const all = this.withAnchor(points);
    this.anchor = null;
    this.stage.on.begun(false);
    this.stage.emitLine(all, remove);
  }

  /** Returns the points of a line with that of the click that began it. @param {Point[]} points */
  withAnchor(points) { return this.anchor ? [this.anchor, ...points] : points; }

  /** Begins a line or a stroke at the cross, or ends it there: a drag by keys. @param {boolean} remove */
  strokeAtCross(remove) {
    const { x, y } = this.moveCross(0, 0);
    if (!this.keyed) {
      this.keyed = [{ x, y }];
      this.keyedRemoves = remove;
      this.draw(this.keyed);
      this.stage.on.begun(true);
      return;
    }
    const points = this.keyed;
    this.keyed = null;
    this.line.visible(false);
    this.stage.on.begun(false);
    this.stage.emitLine(points, remove || this.keyedRemoves);
  }

  /** Cancels a line or a stroke that was begun by a click or a key. */
  leave() {
    if (!this.isBegun) return;
    this.anchor = this.keyed = null;
    this.line.visible(false);
    this.stage.on.begun(false);
    this.stage.tools.batchDraw();
  }

  /** Moves the cross of the keyboard, in pixels of the screen, and returns its position. */
  /** @type {(dx: number, dy: number) => Point} */
  moveCross(dx, dy) {
    const { view: { zoom }, size } = this.stage;
    const { width, height } = /** @type {Size} */ (size);
    if (this.cross.visible()) {
      this.cross.position({
        x: clamp(this.cross.x() + dx / zoom, 0, width - 1), y: clamp(this.cross.y() + dy / zoom, 0, height - 1),
      });
    } else {
      this.cross.setAttrs({ x: width / 2, y: height / 2, scaleX: 1 / zoom, scaleY: 1 / zoom, visible: true });
    }
    if (this.keyed && (dx || dy)) {
      this.keyed.push({ ...this.cross.position() });
      this.draw(this.keyed);
    }
    this.stage.tools.batchDraw();
    return this.cross.position();
  }
}
