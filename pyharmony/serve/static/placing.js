// Moves, scales, rotates and mirrors the placed subject, changes its depth order, and moves the end of its shadow.

import { placeChange, tipChange } from "./document.js";
import { changedPlace, cornerOf, footOf, moveOf, nearTo, onPixels, scaleWithin, turnOf } from "./geometry.js";
import { announce, fail, showMessage } from "./messages.js";
import * as panel from "./panel.js";
import { TEXTS } from "./strings.js";

/** @import { Place, Point } from "./geometry.js" */

/** The steps by which a button or a key moves, scales and rotates: small, and large. */
const [MOVES, FACTORS, TURNS] = [[1, 10], [1.02, 1.1], [1, 10]];
/** The default end of a shadow, relative to its start. */
const TIP = { x: 40, y: -20 };

export class Placing {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
  }

  /** Whether there is a placed subject. */
  get isPlaced() { return Boolean(this.session.doc.place && this.session.ready); }
  get place() { return /** @type {Place} */ (this.session.doc.place); }

  /** Returns the words for the position of a place, as its fields have it. @param {Place} place */
  where(place) { return TEXTS.at(...cornerOf(place, this.session.moving)); }

  /** Returns the place with some values changed; the centre of the cut-out is kept. @param {Partial<Place>} change */
  changed(change) { return changedPlace(this.session.box, this.place, change); }

  /** Returns whether the subject may be moved; says why not. */
  mayMove() {
    const { isHidden, isLocked } = this.session.doc;
    if (isHidden || isLocked) showMessage(isHidden ? TEXTS.hiddenStays : TEXTS.cannotMove);
    return !isHidden && !isLocked;
  }

  /** Commits a place; a shadow whose tip was set moves along. @type {(place: Place, said: string) => void} */
  put(place, said) {
    const { session } = this;
    if (!this.mayMove()) {
      session.refresh();
      return;
    }
    session.suggestions.touched = true;
    session.commit(placeChange(session.doc, onPixels(place, session.moving)), said);
    session.texts.sharpen().catch(fail);
  }

  /** Handles a drag of the handles; isFree: it does not snap. */
  /** @type {(to: Place, isDone: boolean, how: "move" | "transform", isFree: boolean) => void} */
  moved(to, isDone, how, isFree) {
    const { session } = this;
    const place = how === "move" && !isDone ? session.guides.snapped(to, isFree) : to;
    if (isDone) {
      this.letGo();
      const [size, angle] = [Math.round(place.scale * 100), Math.round(place.angle)];
      const snaps = session.guides.end();
      this.put(place, how === "move" ? TEXTS.movedTo(this.where(place), snaps) : TEXTS.sizedAndTurned(size, angle));
    } else {
      session.dragging = place;
      session.scene.drawPlaced(place);
      if (how === "transform") session.preview.layMeanwhile({ ...session.doc, place });
    }
  }

  /** Ends a drag and commits its change. */
  letGo() {
    this.session.dragging = this.session.preview.changing = null;
  }

  /** Handles a change of a field: x, y, scale or angle. @type {(name: string, text: string) => void} */
  typed(name, text) {
    const value = Number(text);
    if (!this.isPlaced || text === "" || !Number.isFinite(value)) {
      panel.show(this.session);
    } else if (name === "x" || name === "y") {
      const at = cornerOf(this.place, this.session.moving)[Number(name === "y")];
      this.put({ ...this.place, [name]: this.place[name] + value - at }, TEXTS.moved);
    } else if (name === "scale") {
      this.put(this.changed({ scale: scaleWithin(value / 100) }), TEXTS.sized(value));
    } else {
      this.put(this.changed({ angle: turnOf(value) }), TEXTS.turned(value));
    }
  }

  /** Moves, scales or rotates by a step: left, right, up, down, larger, smaller, cw or ccw. */
  /** @type {(by: string, far?: boolean) => void} */
  nudge(by, far = false) {
    const { session } = this;
    if (!this.isPlaced || session.step === "cut" || !this.mayMove()) return;
    const { place } = this;
    const move = moveOf(by, MOVES[Number(far)]);
    if (move) {
      this.put({ ...place, x: place.x + move.x, y: place.y + move.y }, "");
      announce(this.where(this.place));
    } else if (by === "larger" || by === "smaller") {
      const scale = place.scale * FACTORS[Number(far)] ** (by === "larger" ? 1 : -1);
      this.put(this.changed({ scale: scaleWithin(scale) }), TEXTS.sized(Math.round(scale * 100)));
    } else if (session.way.turns) {
      const angle = turnOf(place.angle + (by === "cw" ? 1 : -1) * TURNS[Number(far)]);
      this.put(this.changed({ angle }), TEXTS.turned(Math.round(angle)));
    }
  }

  flip() {
    if (!this.session.way.turns || !this.isPlaced) return;
    this.put(this.changed({ flip: !this.place.flip, angle: -this.place.angle }), TEXTS.mirrored);
  }

  /** Sends the subject behind the people near it, or in front of everybody. */
  async behind() {
    const { session } = this;
    if (!session.way.turns || !this.isPlaced) return;
    if (session.doc.front.length) {
      session.commit({ front: [] }, TEXTS.inFront);
      return;
    }
    const people = await session.suggestions.findPeople();
    const front = nearTo(people.map(({ box }) => box), session.box, this.place);
    if (front.length) session.commit({ front }, TEXTS.behind);
    else showMessage(TEXTS.nobodyNear);
  }

  // ---- the shadow ----

  /** The end of the shadow: as set, or as estimated by the service. */
  get tip() {
    const { doc, ready, preview: { layers }, box } = this.session;
    if (doc.tip || !doc.place) return doc.tip;
    if (layers?.tip) {
      return { x: layers.tip.x + doc.place.x - layers.place.x, y: layers.tip.y + doc.place.y - layers.place.y };
    }
    if (!ready || doc.shadow !== "on") return null;
    const foot = footOf(box, doc.place);
    return { x: foot.x + TIP.x, y: foot.y + TIP.y };
  }

  /** Handles a drag of the shadow's tip. @type {(tip: Point, isDone: boolean) => void} */
  tipped(tip, isDone) {
    const { session } = this;
    const change = tipChange(session.doc, tip);
    if (isDone) {
      this.letGo();
      session.commit(change, TEXTS.shadowMoved);
    } else {
      session.dragging = session.doc.place;
      session.preview.layMeanwhile({ ...session.doc, ...change });
    }
  }

  /** @type {(by: string, far: boolean) => void} */
  nudgeTip(by, far) {
    const { tip, session } = this;
    const move = moveOf(by, MOVES[Number(far)]);
    if (!tip || !move) return;
    const next = { x: tip.x + move.x, y: tip.y + move.y };
    session.commit(tipChange(session.doc, next), TEXTS.at(next.x, next.y));
  }
}
