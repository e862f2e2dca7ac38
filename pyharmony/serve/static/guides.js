// Snapping while the subject is dragged, and the guides of the user: their lines on the canvas and their list.

import { warpedBox } from "./corners.js";
import { $, elementOf, iconOf } from "./dom.js";
import { boxOf } from "./geometry.js";
import { Konva } from "./konva.js";
import { announce, fail } from "./messages.js";
import { boundsOf as boundsOfPixels } from "./pixels.js";
import { boundsOf, snapOf, targetsOf } from "./snapping.js";
import { TEXTS } from "./strings.js";

/** @import { Subject } from "./document.js" */
/** @import { Box, Place } from "./geometry.js" */
/** @import { Axis, Guide, Snap, Target } from "./snapping.js" */
/** @typedef {import("konva").default.Line} Line */

/** The reach of a line, and the width at which a guide is caught, in pixels of the screen. */
const [REACH, CATCH] = [8, 24];
/** The entry of the browser's storage that says that nothing snaps. */
const OFF = "pyharmony-snap-off";
/** The colours of the lines to which the subject is drawn, and of guides. */
const [SNAPPED, OWN] = ["#ff4fc3", "#00b4d8"];

/** Whether subjects snap, as chosen last; a browser without a storage begins with it. */
let isOn = true;
try {
  isOn = globalThis.localStorage.getItem(OFF) === null;
} catch { /* it is not remembered */ }

/** Returns the key of a subject's cut-out. @param {Subject} subject */
const keyOf = ({ number, photo, mask }) => [number, photo?.id, mask?.id].join(" ");

export class Guides {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
    /** The boxes of other subjects, by their cut-outs; null: loading. @type {Map<string, Box | null>} */
    this.boxes = new Map();
    /** The lines of the drag. @type {Target[] | null} */
    this.targets = null;
    /** Where the subject is drawn to. @type {Snap} */
    this.snap = {};
    this.listed = "";
    const line = () => new Konva.Line({
      stroke: SNAPPED, strokeWidth: 1, strokeScaleEnabled: false, listening: false, visible: false, name: "snap",
    });
    /** The lines to which the subject is drawn. @type {Record<Axis, Line>} */
    this.snapLines = { x: line(), y: line() };
    this.own = new Konva.Group();
    session.stage.over.add(this.own, this.snapLines.x, this.snapLines.y);
    this.own.moveToBottom();
  }

  /** @returns {Guide[]} */
  get guides() { return this.session.doc.guides ?? []; }

  // ---- snapping ----

  /** Returns the place to which a dragged one snaps, and moves the handles there; isFree: it does not snap. */
  /** @type {(place: Place, isFree: boolean) => Place} */
  snapped(place, isFree) {
    const { box, stage } = this.session;
    this.targets ??= this.targetsNow();
    this.snap = isOn && !isFree ? snapOf(boundsOf(box, place), this.targets, REACH / stage.view.zoom) : {};
    for (const axis of /** @type {const} */ (["x", "y"])) {
      const target = this.snap[axis];
      this.snapLines[axis].visible(Boolean(target));
      if (target) this.stretch(this.snapLines[axis], target);
    }
    const next = { ...place, x: place.x + (this.snap.x?.shift ?? 0), y: place.y + (this.snap.y?.shift ?? 0) };
    stage.handles.frame.position({ x: next.x, y: next.y });
    return next;
  }

  /** Ends a drag, and returns the names of what the subject was drawn to. */
  end() {
    const names = [this.snap.x, this.snap.y].flatMap((one) => (one ? [TEXTS.snaps[one.name]] : []));
    this.targets = null;
    this.snap = {};
    for (const line of Object.values(this.snapLines)) line.visible(false);
    this.session.stage.tools.batchDraw();
    return [...new Set(names)];
  }

  /** The lines to which the active subject is drawn. */
  targetsNow() {
    const { subjects, pictures, below } = this.session;
    const others = subjects.visible.flatMap((one) => {
      const box = this.boxes.get(keyOf(one));
      const photo = one.photo ?? pictures.subject;
      return box && photo ? [boundsOf(warpedBox(box, one.warp, photo), /** @type {Place} */ (one.place))] : [];
    });
    return targetsOf(below, others, this.guides);
  }

  /** Finds the box of each other subject, once. */
  load() {
    const { subjects } = this.session;
    for (const one of subjects.visible) {
      if (this.boxes.has(keyOf(one))) continue;
      this.boxes.set(keyOf(one), null);
      subjects.cutOutOf(one).then(({ image, photo }) => {
        const shares = boundsOfPixels(image);
        if (shares) this.boxes.set(keyOf(one), boxOf(shares, photo));
      }).catch(fail);
    }
  }

  toggle() {
    isOn = !isOn;
    try {
      if (isOn) globalThis.localStorage.removeItem(OFF);
      else globalThis.localStorage.setItem(OFF, "true");
    } catch { /* it is not remembered */ }
    announce(isOn ? TEXTS.snapsOn : TEXTS.snapsOff);
    this.show();
  }

  // ---- the guides of the user ----

  /** @type {(guides: Guide[], said: string) => void} */
  put(guides, said) { this.session.commit({ guides }, said); }

  /** Adds a guide in the middle of what is seen. @param {Axis} axis */
  add(axis) {
    const { stage, below } = this.session;
    const { view } = stage;
    const [side, length] = axis === "x" ? [stage.stage.width(), below.width] : [stage.stage.height(), below.height];
    const at = Math.round(Math.min(length, Math.max(0, (side / 2 - view[axis]) / view.zoom)));
    this.put([...this.guides, { axis, at }], TEXTS.guideAdded);
  }

  /** @param {number} index */
  remove(index) { this.put(this.guides.filter((_, i) => i !== index), TEXTS.guideRemoved); }

  /** Moves a guide; beyond the image it is removed. @type {(index: number, to: number) => void} */
  move(index, to) {
    const { below } = this.session;
    const { axis } = this.guides[index];
    const at = Math.round(to);
    if (!Number.isFinite(to) || at < 0 || at > (axis === "x" ? below.width : below.height)) this.remove(index);
    else this.put(this.guides.map((one, i) => (i === index ? { axis, at } : one)), TEXTS.guideAt(at));
  }

  /** Shows the switch, the lines and the list in the step that places. */
  show() {
    const { step, stage, way } = this.session;
    $("snap").setAttribute("aria-pressed", String(isOn));
    stage.handles.snaps = isOn;
    const isShown = step === "place" && way.places;
    this.own.visible(isShown);
    if (!isShown) return;
    if (isOn) this.load();
    const lines = this.own.getChildren();
    // A line that is being dragged stays, unless a guide was added or removed meanwhile.
    if (lines.length === this.guides.length && lines.some((line) => line.isDragging())) return;
    this.own.destroyChildren();
    this.guides.forEach((guide, i) => this.own.add(this.lineOf(guide, i)));
    this.list();
    stage.tools.batchDraw();
  }

  /** Returns the line of a guide, which can be dragged. @type {(guide: Guide, index: number) => Line} */
  lineOf(guide, index) {
    const { stage } = this.session;
    const { axis } = guide;
    /** @type {Line} */
    const line = new Konva.Line({
      stroke: OWN, strokeWidth: 1.5, dash: [7, 4], strokeScaleEnabled: false, hitStrokeWidth: CATCH,
      draggable: true, name: `guide-${index}`,
    });
    this.stretch(line, guide);
    line.dragBoundFunc((to) => ({ ...line.absolutePosition(), [axis]: to[axis] }));
    line.on("mouseenter", () => { stage.element.style.cursor = axis === "x" ? "col-resize" : "row-resize"; });
    line.on("mouseleave", () => { stage.element.style.cursor = "default"; });
    line.on("dragend", () => {
      stage.gestures.release();
      this.move(index, line[axis]());
    });
    return line;
  }

  /** Lays a line across the background at a guide. @type {(line: Line, guide: { axis: Axis, at: number }) => void} */
  stretch(line, { axis, at }) {
    const { width, height } = this.session.below;
    if (axis === "x") line.setAttrs({ x: at, y: 0, points: [0, 0, 0, height] });
    else line.setAttrs({ x: 0, y: at, points: [0, 0, width, 0] });
  }

  /** Lists the guides; the rows are created again only if there are others, and the focus stays. */
  list() {
    const { guides } = this;
    const key = guides.map(({ axis }) => axis).join("");
    const list = $("guide-list");
    if (key !== this.listed) {
      this.listed = key;
      const hadFocus = list.contains(document.activeElement);
      list.replaceChildren(...guides.map(({ axis }, i) => this.rowOf(axis, i)));
      if (hadFocus) (list.querySelector("button") ?? $("guide-x")).focus();
    }
    list.hidden = !guides.length;
    guides.forEach(({ at }, i) => {
      const field = /** @type {HTMLInputElement} */ (list.children[i].querySelector("input"));
      if (document.activeElement !== field) field.value = String(at);
    });
  }

  /** @type {(axis: Axis, index: number) => HTMLElement} */
  rowOf(axis, index) {
    const field = elementOf("input", { type: "number", step: "1" });
    field.addEventListener("change", () => this.move(index, field.value === "" ? NaN : Number(field.value)));
    const remove = iconOf("i-remove", () => this.remove(index));
    remove.setAttribute("aria-label", TEXTS.removeGuide(axis, index + 1));
    const unit = elementOf("span", { className: "unit" }, "px");
    return elementOf("li", {}, elementOf("label", {}, TEXTS.guide(axis, index + 1), field, unit), remove);
  }

  /** Removes the shapes from the canvas. */
  close() { for (const node of [this.own, ...Object.values(this.snapLines)]) node.destroy(); }
}
