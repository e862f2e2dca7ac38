// What is open: the images, the document with its history, and the step that people are in. Its parts do the rest.

import * as api from "./api.js";
import { Cutting } from "./cutting.js";
import { DocumentHistory } from "./document.js";
import { boxOf } from "./geometry.js";
import { fail, say, tell } from "./messages.js";
import * as panel from "./panel.js";
import { alphaOf, boundsOf, cutOutOf } from "./pixels.js";
import { Placing } from "./placing.js";
import { Preview } from "./preview.js";
import { Result } from "./result.js";
import { Scene } from "./scene.js";
import { SAID, WORK } from "./strings.js";
import { Suggestions } from "./suggestions.js";

/** @typedef {import("./document.js").Doc} Doc */
/** @typedef {import("./geometry.js").Box} Box */
/** @typedef {import("./geometry.js").Place} Place */
/** @typedef {import("./ways/way.js").Picture} Picture */
/** @typedef {import("./ways/way.js").StepName} StepName */
/**
 * What is cut out, for the screen; box is what it fills, from the middle of its photograph, in its own pixels.
 *
 * @typedef {{ mask: Picture | null, canvas: HTMLCanvasElement, box: Box }} Cutout
 */

export class Session {
  /**
   * @param {import("./editor.js").Editor} editor
   * @param {import("./ways/way.js").Way} way
   * @param {import("./ways/way.js").Pictures} pictures
   * @param {import("./api.js").About} about
   */
  constructor(editor, way, pictures, about) {
    this.editor = editor;
    this.way = way;
    this.pictures = pictures;
    this.about = about;
    this.stage = editor.stage;
    this.jobs = editor.jobs;
    this.blends = editor.blends;
    this.side = editor.side;
    this.history = new DocumentHistory(way.first(pictures));
    /** @type {StepName | null} */
    this.step = null;
    /** @type {Map<string, HTMLImageElement>} */
    this.images = new Map();
    /** @type {Map<string, Promise<HTMLCanvasElement>>} */
    this.alphas = new Map();
    /** @type {Cutout | null} */
    this.cutout = null;
    /** The mask that has nothing in it. @type {Picture | null} */
    this.empty = null;
    /** Where the subject is, for as long as something is dragged. @type {Place | null} */
    this.dragging = null;
    this.cutting = new Cutting(this);
    this.placing = new Placing(this);
    this.suggestions = new Suggestions(this);
    this.scene = new Scene(this);
    this.preview = new Preview(this);
    this.result = new Result(this);
  }

  get isOpen() { return this.editor.session === this; }
  get doc() { return this.history.doc; }
  /** The photograph that is moved. */
  get moving() { return /** @type {Picture} */ (this.pictures.subject ?? this.pictures.source); }
  /** The photograph below it. */
  get below() { return /** @type {Picture} */ (this.pictures.background ?? this.pictures.composite); }
  /** The people of the background; null: nobody looked for them. */
  get people() { return this.suggestions.people; }
  /** Whether what the document says is cut out is there to be placed. */
  get ready() { return Boolean(this.cutout && this.cutout.mask === this.doc.mask); }
  /** Whether the document says what is cut out: a mask, or a photograph with transparency. */
  get isCut() { return Boolean(this.doc.mask) || this.moving?.channels === 4; }
  get isComplete() { return this.way.isComplete(this); }
  /** What is cut out fills it; it is asked for where that is there. */
  get box() { return /** @type {Box} */ (this.cutout?.box); }

  /** @param {Picture} picture */
  imageOf(picture) { return /** @type {HTMLImageElement} */ (this.images.get(picture.id)); }

  /** Loads the photographs and begins. */
  async load() {
    const photos = [this.moving, this.below].filter(Boolean);
    const load = () => Promise.all(photos.map((photo) => api.image(photo.proxy_url)));
    const images = await this.jobs.work(WORK.open, load);
    if (!this.isOpen) return;
    photos.forEach((photo, i) => this.images.set(photo.id, images[i]));
    if (this.moving) panel.fitBrush(this.moving);
    await this.way.begin(this);
  }

  // ---- the document and its history ----

  /**
   * Changes the document; what is said is for screen readers.
   *
   * @param {Partial<Doc>} change
   * @param {string} [said]
   */
  commit(change, said = "") {
    this.history.commit(change);
    if (said) say(said);
    this.refresh();
  }

  /**
   * Goes back in the history, or on again.
   *
   * @param {number} by
   */
  travel(by) {
    if (!this.history.travel(by)) return;
    this.suggestions.touched = true;
    say(by < 0 ? SAID.undone : SAID.redone);
    // What lies nowhere yet is seen where it is cut out; what was cut out in another way has other places.
    if (this.step && this.step !== "cut" && this.wantsPlaces) this.go(this.doc.place ? this.step : "cut");
    else this.refresh();
  }

  /** Whether the document has no place, or other places are suggested for what it cuts out. */
  get wantsPlaces() { return this.way.cuts && (!this.doc.place || this.suggestions.mask !== this.doc.mask); }

  // ---- the steps ----

  /**
   * Goes to a step.
   *
   * @param {StepName} step
   */
  async go(step) {
    if (!this.way.steps.some(([name]) => name === step)) return;
    if (step !== "cut" && this.way.cuts && !this.ready) {
      if (this.isCut && this.doc.mask !== this.empty) await this.cut(this.doc.mask).catch(fail);
      if (!this.ready) {
        if (this.step !== "cut") this.go("cut");
        tell(this.empty && this.empty === this.doc.mask ? SAID.maskEmpty : SAID.cutFirst);
        return;
      }
    }
    this.editor.compare(false);
    this.step = step;
    panel.showStep(this.way, step);
    if (step !== "cut" && this.wantsPlaces) {
      const isPlaced = Boolean(this.doc.place);
      if (!isPlaced) this.history.amend({ place: this.way.firstPlace(this) });
      this.suggestions.ask(isPlaced);
    }
    this.refresh();
  }

  /**
   * Shows the document: the canvas and all controls.
   *
   * @param {boolean} [isPrepared] whether what the service makes of it is there
   */
  refresh(isPrepared = false) {
    if (!this.isOpen || !this.step) return;
    const { doc } = this;
    panel.show(this);
    if (this.step === "cut") this.cutting.show();
    else this.way.show(this);
    if (this.way.cuts && !this.ready) {
      if (!this.isCut) this.cutout = null;
      else if (!this.empty || this.empty !== doc.mask) {
        this.cut(doc.mask).then(() => this.doc === doc && this.refresh()).catch(fail);
      }
    }
    if (!isPrepared) this.preview.later();
  }

  // ---- masks ----

  /**
   * Returns a mask of the service as a canvas whose alpha it is; it is kept.
   *
   * @param {Picture} mask
   */
  alpha(mask) {
    const alpha = this.alphas.get(mask.id) ?? api.image(mask.proxy_url).then(alphaOf);
    this.alphas.set(mask.id, alpha);
    return alpha;
  }

  /**
   * Cuts out for the screen: colours of the photograph's proxy under its mask.
   *
   * @param {Picture | null} mask
   */
  async cut(mask) {
    const alpha = mask ? await this.alpha(mask) : null;
    // Of two that are on their way, the one that the document says counts.
    if (mask !== this.doc.mask) return;
    const canvas = cutOutOf(this.imageOf(this.moving), alpha);
    const bounds = boundsOf(canvas);
    if (bounds) {
      this.cutout = { mask, canvas, box: boxOf(bounds, this.moving) };
    } else {
      this.empty = mask;
      tell(SAID.maskEmpty);
    }
  }
}
