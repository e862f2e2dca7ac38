// The handles on the canvas: around the placed subject, and at the tip of its shadow.

import { turnOf } from "./geometry.js";
import { Konva, colourOf } from "./konva.js";
import { ANGLE_REACH, snappedAngle } from "./snapping.js";

/** @import { Box, Place, Point } from "./geometry.js" */

/** The smallest width and height to which a handle can resize, in pixels of the screen. */
const LEAST = 12;
/** The size of a handle on a touch screen, and on others. */
const SIZES = [18, 13];
/** The least side of the frame of handles, in pixels of the screen: in its middle, the subject can be dragged. */
const ROOM = 64;

export class Handles {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** Whether the placed subject is mirrored. */
    this.flip = false;
    /** Whether there are handles around it; without them it can still be dragged. */
    this.isShown = true;
    /** Whether it snaps to upright angles. */
    this.snaps = true;
    /** Whether it can be turned. */
    this.turns = true;
    /** Whether the tip of the shadow has a handle, and a line to it. */
    this.hasTip = false;
    /** The start of the shadow. @type {Point | null} */
    this.tipFrom = null;
    this.frame = new Konva.Group({ draggable: true, visible: false });
    this.grip = new Konva.Rect({ fill: "rgba(0,0,0,0.001)", strokeScaleEnabled: false });
    this.frame.add(this.grip);
    this.tipLine = new Konva.Arrow({
      points: [], strokeWidth: 2, dash: [6, 5], pointerLength: 0, pointerWidth: 0, listening: false,
      strokeScaleEnabled: false,
    });
    /** Other handles, which have the same size at each zoom. */
    this.pins = new Konva.Group();
    this.tip = new Konva.Circle({ radius: 11, draggable: true, strokeWidth: 3, visible: false, name: "tip" });
    this.transformer = new Konva.Transformer({
      nodes: [], keepRatio: true, flipEnabled: false, centeredScaling: false, rotateAnchorOffset: 30,
      borderStrokeWidth: 1.5, ignoreStroke: true, rotationSnaps: [0, 90, 180, 270],
      enabledAnchors: ["top-left", "top-right", "bottom-left", "bottom-right"],
      boundBoxFunc: (from, to) => (Math.abs(to.width) < LEAST || Math.abs(to.height) < LEAST ? from : to),
    });
    this.listen();
  }

  dress() {
    const accent = colourOf("--accent");
    const isTouched = matchMedia("(pointer: coarse)").matches;
    this.transformer.setAttrs({
      anchorSize: isTouched ? SIZES[0] : SIZES[1], anchorCornerRadius: 99, anchorFill: "#ffffff", anchorStroke: accent,
      anchorStrokeWidth: 2, borderStroke: "#ffffff",
    });
    this.tip.setAttrs({ fill: accent, stroke: "#ffffff", shadowColor: "#000", shadowBlur: 6, shadowOpacity: 0.4 });
    this.tipLine.setAttrs({ stroke: accent, fill: accent });
  }

  listen() {
    const { stage, frame, tip } = this;
    frame.on("dragmove", ({ evt }) => stage.on.place(this.place, false, "move", Boolean(evt?.altKey)));
    frame.on("transform", ({ evt }) => {
      this.transformer.rotationSnapTolerance(this.snaps && !evt?.altKey ? ANGLE_REACH : 0);
      stage.on.place(this.place, false, "transform", true);
    });
    frame.on("dragend transformend", ({ type }) => {
      // Two fingers end the drag of the first one.
      if (!frame.draggable()) return;
      stage.gestures.release();
      stage.on.place(this.place, true, type === "dragend" ? "move" : "transform", true);
    });
    frame.on("mouseenter", () => { stage.element.style.cursor = "move"; });
    frame.on("mouseleave", () => { stage.element.style.cursor = "default"; });
    tip.on("dragmove", () => this.dragTip(false));
    tip.on("dragend", () => {
      stage.gestures.release();
      this.dragTip(true);
    });
  }

  /** @param {boolean} isDone */
  dragTip(isDone) {
    const { x, y } = this.tip.position();
    if (this.tipFrom) this.tipLine.points([this.tipFrom.x, this.tipFrom.y, x, y]);
    this.stage.on.tip({ x, y }, isDone);
  }

  /** The place of the handles. @returns {Place} */
  get place() {
    const { frame, flip } = this;
    return { x: frame.x(), y: frame.y(), scale: frame.scaleX(), angle: turnOf(frame.rotation()), flip };
  }

  /**
   * Shows handles around a subject; box is that of its mask, relative to the centre of its photo, before rotation.
   * If they are hidden, it can still be dragged.
   *
   * @param {Place | null} place
   * @param {Box} box
   * @param {{ turns?: boolean, shown?: boolean }} [options]
   */
  hold(place, box, { turns = true, shown = true } = {}) {
    const { frame, transformer } = this;
    frame.visible(Boolean(place));
    if (place) {
      const { width, height } = box;
      this.grip.setAttrs({ x: place.flip ? -box.x - width : box.x, y: box.y, width, height });
      frame.setAttrs({ x: place.x, y: place.y, scaleX: place.scale, scaleY: place.scale, rotation: place.angle });
      this.flip = place.flip;
      this.turns = turns;
      transformer.rotateEnabled(turns);
      this.isShown = shown;
      this.show();
      if (transformer.nodes()[0] !== frame) transformer.nodes([frame]);
      this.makeRoom();
    } else {
      transformer.nodes([]);
    }
    this.stage.tools.batchDraw();
  }

  // ---- two fingers ----

  /** Returns whether a node is the placed subject: its frame, or what is around a small one. */
  /** @param {import("konva").default.Node} node */
  isSubject(node) { return node === this.grip || (node.name() === "back" && node.getParent() === this.transformer); }

  /** Ends the drag of one finger, for two, and returns the place. */
  seize() {
    this.frame.draggable(false);
    this.frame.stopDrag();
    return this.place;
  }

  /** Shows the subject where two fingers pull it. @param {Place} place */
  pull(place) {
    const { x, y, scale } = place;
    const rotation = this.snaps ? snappedAngle(place.angle) : place.angle;
    this.frame.setAttrs({ x, y, scaleX: scale, scaleY: scale, rotation });
    this.makeRoom();
    this.stage.on.place(this.place, false, "transform", true);
  }

  /** Reports the place after two fingers. */
  letGo() {
    this.frame.draggable(true);
    this.stage.on.place(this.place, true, "transform", true);
  }

  /** Moves the handles of a small subject apart. */
  makeRoom() {
    const { frame, grip, transformer, stage } = this;
    if (!frame.visible()) return;
    const factor = frame.scaleX() * stage.view.zoom;
    const padding = Math.max(0, (ROOM - Math.min(grip.width(), grip.height()) * factor) / 2);
    transformer.setAttrs({ padding, shouldOverdrawWholeArea: padding > 0 });
    transformer.forceUpdate();
  }

  /** Shows the handle of a shadow's tip, and the line from the start of the shadow. */
  /** @type {(tip: Point | null, from: Point) => void} */
  holdTip(tip, from) {
    this.hasTip = Boolean(tip);
    this.show();
    if (tip) {
      this.tip.position({ x: tip.x, y: tip.y });
      this.tipLine.points([from.x, from.y, tip.x, tip.y]);
      this.tipFrom = from;
    }
    this.stage.tools.batchDraw();
  }

  /** Shows the handles, but not during a comparison, where a drag moves the border. */
  show() {
    const isCovered = this.stage.share !== null;
    this.transformer.visible(!isCovered && this.isShown);
    this.tip.visible(!isCovered && this.hasTip);
    this.tipLine.visible(!isCovered && this.hasTip);
    this.pins.visible(!isCovered);
  }

  hide() {
    this.hasTip = false;
    for (const node of [this.frame, this.tip, this.tipLine]) node.visible(false);
    this.transformer.nodes([]);
  }
}
