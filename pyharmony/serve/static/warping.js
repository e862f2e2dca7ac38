// The warp of the active subject: handles at the corners of its photo on the canvas, its numbers and buttons.

import { cornersOn, isConvex, shiftTo, shifted, unwarped } from "./corners.js";
import { $, button, fields, select, write } from "./dom.js";
import { moveOf } from "./geometry.js";
import { Konva, colourOf } from "./konva.js";
import { announce, showMessage } from "./messages.js";
import { TEXTS } from "./strings.js";

/** @import { Shift, Warp } from "./corners.js" */
/** @import { Point } from "./geometry.js" */

/** The steps by which a button moves a corner, small and large, in shares of the photo's sides. */
const STEPS = [0.002, 0.01];
/** The radius of a handle on a touch screen, and on others. */
const RADII = [14, 9];
/** The lines of the outline, a dark one under a bright one: colours and widths. */
const LINES = /** @type {const} */ ([["rgba(16,20,18,0.66)", 4], ["#fff", 1.5]]);

export class Warping {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
    this.isOn = false;
    /** The corners during a drag. @type {Warp | null} */
    this.dragged = null;
    const { stage } = session;
    this.lines = LINES.map(([stroke, strokeWidth]) => (
      new Konva.Line({ points: [], closed: true, stroke, strokeWidth, strokeScaleEnabled: false, listening: false })));
    this.corners = unwarped().map((_, i) => this.corner(i));
    stage.over.add(...this.lines);
    for (const line of [...this.lines].reverse()) line.moveToBottom();
    stage.handles.pins.add(...this.corners);
    this.show();
  }

  /** Returns the handle of a corner. @param {number} index */
  corner(index) {
    const one = new Konva.Circle({ draggable: true, fill: "#fff", strokeWidth: 3, name: `corner-${index}` });
    one.on("dragstart", () => { select("warp-corner").value = String(index); });
    one.on("dragmove", () => this.drag(index, one));
    one.on("dragend", () => {
      const { stage, placing, doc } = this.session;
      stage.gestures.release();
      const warp = this.dragged === null ? doc.warp : this.dragged;
      this.dragged = null;
      placing.letGo();
      this.put(warp && warp.flat().some(Boolean) ? warp : null);
    });
    return one;
  }

  /** The corner that the numbers and buttons change. */
  get index() { return Number(select("warp-corner").value); }

  /** Shows the subject while a corner is dragged; it stays where the corners would not be convex. */
  /** @type {(index: number, at: import("konva").default.Circle) => void} */
  drag(index, at) {
    const { doc, moving, placing, preview } = this.session;
    const { place } = placing;
    const current = this.dragged ?? doc.warp;
    const warp = shifted(current, index, shiftTo(index, moving, place, at.position())) ?? unwarped();
    if (isConvex(warp)) {
      this.dragged = warp;
      this.session.dragging = place;
      preview.layMeanwhile({ ...doc, warp });
    } else {
      at.position(cornersOn(current, moving, place)[index]);
    }
    this.draw(this.dragged ?? current);
    this.write(this.dragged ?? current);
  }

  /** Changes the warp. @param {Warp | null} warp */
  put(warp) {
    const { session } = this;
    if (!session.placing.isPlaced || !session.placing.mayMove()) this.show();
    else if (warp && !isConvex(warp)) {
      showMessage(TEXTS.notConvex);
      this.show(true);
    } else {
      session.suggestions.touched = true;
      session.commit({ warp }, warp ? TEXTS.warped : TEXTS.unwarped);
    }
  }

  /** Changes the corner that is chosen to typed percents. */
  type() {
    const { x, y } = fields("warp-numbers");
    const to = /** @type {Shift} */ ([x, y].map(({ value }) => Number(value) / 100));
    if (x.value !== "" && y.value !== "" && to.every(Number.isFinite)) {
      this.put(shifted(this.session.doc.warp, this.index, to));
    }
    this.show(true);
  }

  /** Moves the corner that is chosen: left, right, up or down. @type {(by: string, far: boolean) => void} */
  nudge(by, far) {
    const { warp } = this.session.doc;
    const move = /** @type {Point} */ (moveOf(by, STEPS[Number(far)]));
    const [x, y] = (warp ?? unwarped())[this.index];
    this.put(shifted(warp, this.index, [x + move.x, y + move.y]));
  }

  toggle() {
    this.isOn = !this.isOn;
    announce(this.isOn ? TEXTS.warps : TEXTS.warpsNot);
    this.session.refresh(true);
  }

  /** Shows the handles, the outline and the numbers in the step that places; isComplete: a number was entered. */
  show(isComplete = false) {
    const { step, placing, doc, way, stage } = this.session;
    const isUsed = this.isOn && way.turns && step === "place";
    const isShown = isUsed && placing.isPlaced && !doc.isHidden && !doc.isLocked;
    for (const node of [...this.lines, ...this.corners]) node.visible(isShown);
    $("warp").setAttribute("aria-pressed", String(this.isOn));
    $("warp-tools").hidden = !isUsed;
    button("warp-reset").disabled = !doc.warp;
    this.write(doc.warp, isComplete);
    if (isShown && !this.dragged) this.draw(doc.warp);
    stage.tools.batchDraw();
  }

  /** Draws the outline and its corners. @param {Warp | null} warp */
  draw(warp) {
    const { moving, placing: { place }, stage } = this.session;
    const points = cornersOn(warp, moving, place);
    for (const line of this.lines) line.points(points.flatMap(({ x, y }) => [x, y]));
    const radius = matchMedia("(pointer: coarse)").matches ? RADII[0] : RADII[1];
    const scale = 1 / stage.view.zoom;
    this.corners.forEach((one, i) => {
      one.setAttrs({ ...points[i], radius, stroke: colourOf("--accent"), scaleX: scale, scaleY: scale });
    });
    stage.tools.batchDraw();
  }

  /** Writes the numbers of the corner that is chosen. @type {(warp: Warp | null, isComplete?: boolean) => void} */
  write(warp, isComplete = false) {
    const [x, y] = (warp ?? unwarped())[this.index].map((value) => Math.round(value * 1000) / 10);
    write("warp-numbers", { x, y }, isComplete);
  }

  /** Removes the shapes from the canvas. */
  close() { for (const node of [...this.lines, ...this.corners]) node.destroy(); }
}
