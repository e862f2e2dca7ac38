// Draws the document on the canvas: the background, the placed subject, the image before, and the result.

import { corrects, layerModeOf } from "./document.js";
import { input } from "./dom.js";
import { UNPLACED, footOf } from "./geometry.js";
import { carry, fill, groupIn, lay, put } from "./konva.js";
import { mixtureOf } from "./pixels.js";

/** @import { Picture } from "./api.js" */
/** @import { Place, Rectangle } from "./geometry.js" */
/** @import { SubjectLayers } from "./preview.js" */
/** @import { Cutout, Session } from "./session.js" */

/** Returns the rectangle of a photo around its centre. @type {(photo: Picture) => Rectangle} */
const around = ({ width, height }) => [-width / 2, -height / 2, width, height];

/** Returns the rectangle of a photo from its corner. @type {(photo: Picture) => Rectangle} */
const fromCorner = ({ width, height }) => [0, 0, width, height];

export class Scene {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    this.stage = session.stage;
    /** The id of the picture that is shown below everything. */
    this.base = "";
    /** The subject between plain and matched. */
    /** @type {{ layers: SubjectLayers, strength: number, canvas: HTMLCanvasElement } | null} */
    this.mixture = null;
    /** The place for which it was drawn. @type {Place} */
    this.origin = UNPLACED;
  }

  /** @type {(picture: Picture, image?: HTMLImageElement) => void} */
  showBase(picture, image = this.session.imageOf(picture)) {
    this.stage.show(image, picture.width, picture.height, this.base === picture.id);
    this.base = picture.id;
  }

  /** Shows a harmonised picture as a whole. */
  showWhole() {
    const { stage, session } = this;
    const { below, doc, preview: { shown } } = session;
    stage.setMode("view");
    this.showBase(below);
    put(stage.exact, shown?.image ?? null, fromCorner(below));
    stage.exact.opacity(doc.strength);
    this.drawBefore();
  }

  showPlaced() {
    const { stage, session } = this;
    const { doc, step, way, preview, warping } = session;
    if (!session.ready || !doc.place) return;
    stage.setMode("place");
    stage.mark([], null);
    const isCorrected = corrects(doc.adjustBackground) && !session.subjects.under;
    this.showBase(session.below, isCorrected ? preview.layers?.background?.image : undefined);
    this.drawPlaced(doc.place);
    const place = step === "save" || doc.isHidden || doc.isLocked ? null : doc.place;
    stage.handles.hold(place, session.box, { turns: way.turns, shown: step === "place" && !warping.isOn });
    this.drawTip(doc.place);
    this.showResult();
  }

  /** Shows the strength of the match while it changes. */
  showStrength() {
    const { session } = this;
    if (!session.way.places) this.showWhole();
    else if (session.placing.isPlaced && session.step !== "cut") this.drawPlaced(session.placing.place);
  }

  /** Draws the subject at a place: matched if the layers are known, else as it was cut out; or the newest blend. */
  /** @type {(place: Place) => void} */
  drawPlaced(place) {
    const { stage, session } = this;
    const { doc, moving, preview } = session;
    stage.exact.visible(false);
    const layers = preview.layersOf(doc);
    const cutout = /** @type {Cutout} */ (session.cutout);
    const canvas = layers ? this.mixtureOf(layers) : cutout.canvas;
    if (stage.drawn !== canvas) {
      stage.drawn = canvas;
      fill(stage.subject, [[canvas, layers ? layers.matched.box : around(moving)]]);
      const shadow = doc.strength ? layers?.shadow : undefined;
      fill(stage.shadow, shadow ? [[shadow.image, shadow.box]] : [], "multiply");
      const reflection = doc.strength ? layers?.reflection : undefined;
      fill(stage.reflection, reflection ? [[reflection.image, reflection.box]] : []);
    }
    lay(stage.subject, doc.opacity, layerModeOf(doc));
    stage.tile.opacity(doc.opacity);
    this.origin = layers?.place ?? UNPLACED;
    const front = doc.front.length ? preview.layers?.front : undefined;
    put(stage.front, front?.image ?? null, front?.box);
    this.drawBefore(place);
    this.drawAbove();
    if (doc.isHidden) {
      for (const node of [stage.subject, stage.shadow, stage.reflection, stage.tile, stage.front]) node.visible(false);
      return;
    }
    session.blends.follow(session, place);
    this.drawMoving(place);
  }

  /** Draws the subjects above the active one, as they were matched when they were active. */
  drawAbove() {
    const { stage, session: { subjects } } = this;
    fill(stage.above, []);
    for (const one of subjects.upper) {
      const look = subjects.lookOf(one);
      if (!look) continue;
      const group = groupIn(stage.above);
      fill(group, [[look.image, look.box]]);
      lay(group, one.opacity, layerModeOf(one));
      carry(group, look.place, /** @type {Place} */ (one.place));
      stage.above.visible(true);
    }
  }

  /** Draws the subject during a drag: the blend if it is known, the unblended subject if it is not or is late. */
  /** @type {(place: Place) => void} */
  drawMoving(place) {
    const { stage, session: { blends, preview: { layers } } } = this;
    const blended = blends.shown;
    stage.subject.visible(!blended);
    if (!blended) carry(stage.subject, this.origin, place);
    const at = blended ? blended.place : place;
    if (!layers) return;
    const moved = { x: at.x - layers.place.x, y: at.y - layers.place.y };
    for (const group of [stage.shadow, stage.reflection]) if (group.visible()) group.setAttrs(moved);
  }

  /** Returns the subject between plain and matched; strength 0 shows the former, 1 the latter. */
  /** @type {(layers: SubjectLayers) => HTMLCanvasElement} */
  mixtureOf(layers) {
    const { strength } = this.session.doc;
    if (this.mixture?.layers !== layers || this.mixture.strength !== strength) {
      const canvas = mixtureOf(layers.plain.values, layers.matched.values, strength);
      this.mixture = { layers, strength, canvas };
    }
    return this.mixture.canvas;
  }

  /** Draws the image before, during a comparison. @param {Place} [place] */
  drawBefore(place) {
    const { stage, session } = this;
    if (!stage.before.visible()) return;
    const { below, moving, doc, preview } = session;
    fill(stage.before, [[session.imageOf(below), fromCorner(below)]]);
    if (session.way.places && place && session.cutout) {
      const layers = preview.layersOf(doc);
      const inner = groupIn(stage.before);
      fill(inner, [layers ? [layers.plain.image, layers.plain.box] : [session.cutout.canvas, around(moving)]]);
      carry(inner, layers?.place ?? UNPLACED, place);
      const front = doc.front.length ? preview.layers?.front : undefined;
      if (front) fill(groupIn(stage.before), [[front.image, front.box]]);
    }
    stage.compare(Number(input("divider").value) / 100);
  }

  /** @param {Place} place */
  drawTip(place) {
    const { way, step, doc, placing, box } = this.session;
    const isShown = way.turns && step === "match" && doc.shadow !== "off" && doc.strength > 0;
    this.stage.handles.holdTip(isShown ? placing.tip : null, footOf(box, place));
  }

  /** Shows the result itself, if it was computed from this document. */
  showResult() {
    const { stage, session } = this;
    const { dragging, below, doc, way, preview: { shown }, result } = session;
    const { newest } = result;
    if (dragging) return;
    let image = null;
    if (newest && result.isOf(doc)) ({ image } = newest);
    else if (shown && shown.key === JSON.stringify(way.previewBody(session, doc))) ({ image } = shown);
    stage.exact.opacity(1);
    put(stage.exact, image, fromCorner(below));
    stage.element.dataset.exact = String(Boolean(image));
  }
}
