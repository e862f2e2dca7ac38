// The open session: the images, the document with its history, and the current step. Its parts do the work.

import * as api from "./api.js";
import { warpedBox } from "./corners.js";
import { Cropping } from "./cropping.js";
import { Cutting } from "./cutting.js";
import { DocumentHistory } from "./document.js";
import * as drafts from "./drafts.js";
import { boxOf } from "./geometry.js";
import { Guides } from "./guides.js";
import { announce, fail, showMessage } from "./messages.js";
import * as panel from "./panel.js";
import { alphaOf, boundsOf, cutOutOf } from "./pixels.js";
import { Placing } from "./placing.js";
import { Preview } from "./preview.js";
import { Result } from "./result.js";
import { Scene } from "./scene.js";
import { TEXTS, WORK } from "./strings.js";
import { Subjects } from "./subjects.js";
import { Suggestions } from "./suggestions.js";
import { Texts } from "./texts.js";
import { Warping } from "./warping.js";

/** @import { Picture } from "./api.js" */
/** @import { Doc } from "./document.js" */
/** @import { Box, Place } from "./geometry.js" */
/** @import { Pictures, StepName, Way } from "./ways/way.js" */
/**
 * A cut-out, for the screen; box is its bounding box, relative to the centre of its photo, in its own pixels.
 *
 * @typedef {{ photo: Picture, mask: Picture | null, canvas: HTMLCanvasElement, box: Box }} Cutout
 */

export class Session {
  /**
   * @param {import("./editor.js").Editor} editor
   * @param {Way} way
   * @param {Pictures} pictures
   * @param {import("./requests.js").About} about
   * @param {import("./drafts.js").Started} [draft] an unfinished picture, which is continued
   */
  constructor(editor, way, pictures, about, draft = undefined) {
    this.editor = editor;
    this.way = way;
    this.pictures = pictures;
    this.about = about;
    this.stage = editor.stage;
    this.jobs = editor.jobs;
    this.blends = editor.blends;
    this.side = editor.side;
    this.draft = draft;
    /** The key under which the picture is stored. */
    this.key = drafts.begin(draft?.key);
    /** The key of links to it, which stays. */
    this.link = draft?.link ?? draft?.key ?? this.key;
    this.history = new DocumentHistory(way.first(pictures), draft);
    /** The document that was saved last. @type {Doc | null} */
    this.saved = draft?.isSaved ? this.history.doc : null;
    /** The shown step, and the one that was chosen last. @type {StepName | null} */
    this.step = null;
    /** @type {StepName | null} */
    this.next = null;
    /** @type {Map<string, HTMLImageElement>} */
    this.images = new Map();
    /** @type {Map<string, Promise<HTMLCanvasElement>>} */
    this.alphas = new Map();
    /** @type {Cutout | null} */
    this.cutout = null;
    /** The mask, or the photo with transparency, that is empty. @type {Picture | null} */
    this.empty = null;
    /** The place of the subject during a drag. @type {Place | null} */
    this.dragging = null;
    this.cropping = new Cropping(this);
    this.cutting = new Cutting(this);
    this.placing = new Placing(this);
    this.suggestions = new Suggestions(this);
    this.subjects = new Subjects(this);
    this.scene = new Scene(this);
    this.preview = new Preview(this);
    this.result = new Result(this);
    this.texts = new Texts(this);
    this.guides = new Guides(this);
    this.warping = new Warping(this);
  }

  get isOpen() { return this.editor.session === this; }
  get doc() { return this.history.doc; }
  /** The photo of the placed subject. */
  get moving() { return /** @type {Picture} */ (this.doc.photo ?? this.pictures.subject ?? this.pictures.source); }
  /** The photo below all subjects. */
  get background() { return /** @type {Picture} */ (this.pictures.background ?? this.pictures.composite); }
  /** The image below the active subject: the background, with the subjects below it. */
  get below() { return this.subjects.under ?? this.background; }
  /** The people of the background; null: not detected yet. */
  get people() { return this.suggestions.people; }
  /** Whether the cut-out of the document is loaded. */
  get ready() { return this.cutout?.mask === this.doc.mask && this.cutout.photo === this.moving; }
  /** Whether nothing is cut out. */
  get isEmpty() { return this.empty === (this.doc.mask ?? this.moving); }
  /** Whether the document has a cut-out: a mask, or a photo with transparency. */
  get isCut() {
    const { moving, way } = this;
    return Boolean(this.doc.mask) || (way.places && moving?.channels === 4 && moving.cuts_out !== false);
  }
  get isComplete() { return this.way.isComplete(this); }
  /** The bounding box of the cut-out, as it is warped; valid if `ready`. */
  get box() { return warpedBox(/** @type {Cutout} */ (this.cutout)?.box, this.doc.warp, this.moving); }

  /** @param {Picture} picture */
  imageOf(picture) { return /** @type {HTMLImageElement} */ (this.images.get(picture.id)); }

  /** Loads the photos and begins. */
  async load() {
    const added = this.history.states.flatMap((doc) => [doc, ...doc.others]).map(({ photo }) => photo);
    const photos = [this.pictures.subject ?? this.pictures.source, this.background, ...added];
    await this.jobs.work(WORK.open, () => Promise.all(photos.map((photo) => photo && this.loadImage(photo))));
    if (!this.isOpen) return;
    if (this.moving) panel.fitBrush(this.moving);
    if (this.draft && (this.way.places || this.way.cuts)) await this.goOn(this.draft.step);
    else await this.way.begin(this);
  }

  /** Loads the image of a photo for the screen. @param {Picture} picture */
  async loadImage(picture) {
    if (this.images.has(picture.id)) return;
    this.images.set(picture.id, await api.image(picture.proxy_url));
  }

  /** Shows the step again, after a change of the active subject; without a place, it is cut out first. */
  async resume() { await this.go(this.doc.place && this.step ? this.step : "cut"); }

  /** Continues an unfinished picture. @param {StepName} step */
  async goOn(step) {
    if (this.isCut) await this.cut(this.doc.mask);
    if ([this.doc, ...this.doc.others].some(({ front }) => front.length)) await this.suggestions.findPeople();
    await this.go(this.ready ? step : this.way.steps[0][0]);
  }

  // ---- the document and its history ----

  /** Changes the document; said is announced to screen readers. */
  /** @type {(change: Partial<Doc>, said?: string) => void} */
  commit(change, said = "") {
    this.history.commit(change);
    if (said) announce(said);
    this.refresh();
  }

  /** Undoes or redoes steps. @param {number} by */
  travel(by) {
    if (!this.history.travel(by)) return;
    this.texts.leave();
    this.suggestions.touched = true;
    announce(by < 0 ? TEXTS.undone : TEXTS.redone);
    // Without a place, the cut-out is shown in its photo; another cut-out gets other places.
    const isUncut = this.way.cuts && !this.isCut;
    if (this.step && this.step !== "cut" && (this.wantsPlaces || isUncut)) this.go(this.doc.place ? this.step : "cut");
    else this.refresh();
  }

  /** Whether the document has no place, or other places are suggested for its cut-out. */
  get wantsPlaces() {
    const { doc, suggestions, way } = this;
    return way.cuts && way.places && !doc.text && (!doc.place || suggestions.key !== suggestions.current);
  }

  // ---- the steps ----

  /** Goes to a step. @param {StepName} step */
  async go(step) {
    if (!this.way.steps.some(([name]) => name === step)) return;
    this.next = step;
    if (step !== "cut" && this.way.cuts && !this.ready) {
      if (this.isCut && !this.isEmpty) await this.cut(this.doc.mask).catch(fail);
      // Meanwhile another step may have been chosen.
      if (!this.isOpen || this.next !== step) return;
      if (!this.ready) {
        if (this.step !== "cut") this.go("cut");
        showMessage(this.isEmpty ? TEXTS.maskEmpty : this.way.places ? TEXTS.cutFirst : TEXTS.pointFirst);
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

  /** Shows the document: the canvas and all controls; isPrepared: the previews of the service are loaded. */
  /** @type {(isPrepared?: boolean) => void} */
  refresh(isPrepared = false) {
    if (!this.isOpen || !this.step) return;
    const { doc } = this;
    this.subjects.update();
    panel.show(this);
    this.cropping.show();
    if (this.step === "cut") this.cutting.show();
    else this.way.show(this);
    this.warping.show();
    this.guides.show();
    this.texts.show();
    if (this.way.cuts && !this.ready) {
      if (!this.isCut) this.cutout = null;
      else if (!this.isEmpty) {
        this.cut(doc.mask).then(() => this.doc === doc && this.refresh()).catch(fail);
      }
    }
    if (!isPrepared) this.preview.later();
    this.editor.storeLater();
  }

  // ---- masks ----

  /** Returns a mask of the service as the alpha of a canvas; it is cached. @param {Picture} mask */
  alpha(mask) {
    const alpha = this.alphas.get(mask.id) ?? api.image(mask.proxy_url).then(alphaOf);
    this.alphas.set(mask.id, alpha);
    alpha.catch(() => this.alphas.delete(mask.id));
    return alpha;
  }

  /** Creates the cut-out for the screen: colours of the photo's proxy under its mask. @param {Picture | null} mask */
  async cut(mask) {
    const alpha = mask ? await this.alpha(mask) : null;
    // If two are loading, the one of the document counts.
    if (mask !== this.doc.mask) return;
    const canvas = cutOutOf(this.imageOf(this.moving), alpha);
    const bounds = boundsOf(canvas);
    if (bounds) {
      this.cutout = { photo: this.moving, mask, canvas, box: boxOf(bounds, this.moving) };
    } else {
      this.empty = mask ?? this.moving;
      showMessage(TEXTS.maskEmpty);
    }
  }
}
