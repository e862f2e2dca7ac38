// What the service makes of the document for the screen: the layers of a composite, or a preview of the whole.

import * as api from "./api.js";
import { $ } from "./dom.js";
import { footOf } from "./geometry.js";
import { fail, say } from "./messages.js";
import { farthestOf, valuesOf } from "./pixels.js";
import { SAID, WORK, plainly } from "./strings.js";

/** @typedef {import("./document.js").Doc} Doc */
/** @typedef {import("./geometry.js").Place} Place */
/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./api.js").Picture} Picture */
/**
 * A layer, where it lies, and its values.
 *
 * @typedef {object} Layer
 * @property {import("./geometry.js").Rectangle} box
 * @property {Picture} picture
 * @property {HTMLImageElement} image
 */
/** @typedef {Layer & { values: ImageData }} SubjectLayer */
/**
 * The layers of a composite, the place and the mask that they are for, and how fine they are; a subject that lies
 * outside of the background has none of its own.
 *
 * @typedef {object} Layers
 * @property {string} key what was asked for
 * @property {Place} place
 * @property {Picture | null} mask
 * @property {number} side
 * @property {Point | null} tip where the shadow ends
 * @property {Layer} [shadow]
 * @property {Layer} [reflection]
 * @property {Layer} [front]
 * @property {SubjectLayer} [plain]
 * @property {SubjectLayer} [matched]
 */
/** @typedef {Layers & { plain: SubjectLayer, matched: SubjectLayer }} SubjectLayers */

/** The pause after a change before the match is made anew, in milliseconds. */
const SETTLE = 350;
/** The longer side of what is made while a size or an angle changes: it has to come soon. */
const QUICK = 512;

/**
 * Returns reasons or warnings as one text, each once.
 *
 * @param {string[]} [texts]
 * @param {string[]} [codes]
 */
const noteOf = (texts = [], codes = []) => [...new Set(texts.map((text, i) => plainly(text, codes[i])))].join(". ");

export class Preview {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
    /** @type {Layers | null} */
    this.layers = null;
    /**
     * The newest preview of the whole, and what was asked for.
     *
     * @type {{ key: string, image: HTMLImageElement } | null}
     */
    this.shown = null;
    /** The document as it is while a size or an angle changes. @type {Doc | null} */
    this.changing = null;
    this.isBusy = false;
    /** Whether something changed since what is being made was asked for. */
    this.isOld = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.settling = undefined;
  }

  /**
   * Returns the layers where they show the subject of a document.
   *
   * @param {Doc} doc
   * @returns {SubjectLayers | null}
   */
  layersOf(doc) {
    const { layers } = this;
    return layers?.plain && layers.mask === doc.mask ? /** @type {SubjectLayers} */ (layers) : null;
  }

  stop() { clearTimeout(this.settling); }

  /** Asks, after a pause, for what the document needs. */
  later() {
    this.stop();
    const { session } = this;
    if (session.step === "cut" || !session.isOpen) return;
    session.stage.element.dataset.state = "works";
    this.settling = setTimeout(() => this.settle(), SETTLE);
  }

  async settle() {
    const { session } = this;
    if (session.dragging) {
      this.later();
    } else if (this.isBusy) {
      this.isOld = true;
    } else {
      await this.busily(() => session.way.prepare(session), true);
    }
  }

  /**
   * Makes the layers of what is being changed, as soon as the service can: one after the other, of the newest state.
   *
   * @param {Doc} doc
   */
  async layMeanwhile(doc) {
    this.changing = doc;
    if (this.isBusy) return;
    await this.busily(async () => {
      while (this.session.isOpen && this.changing) {
        const next = this.changing;
        this.changing = null;
        await this.lay(next, Math.min(this.session.side, QUICK));
      }
    });
  }

  /**
   * Makes something while nothing else is made; what changed meanwhile is asked for after it.
   *
   * @param {() => Promise<void>} make
   * @param {boolean} [isLast] whether all that the document needs is made by it
   */
  async busily(make, isLast = false) {
    const { session } = this;
    this.isBusy = true;
    try {
      await make();
    } catch (error) {
      fail(error);
    } finally {
      this.isBusy = false;
      if (session.isOpen) {
        // A size or an angle may have begun to change, and may stay where it is.
        if (this.changing) this.layMeanwhile(this.changing);
        else if (this.isOld) this.later();
        else if (isLast) session.stage.element.dataset.state = "rests";
      }
      this.isOld = false;
    }
  }

  /**
   * Makes the layers of a composite.
   *
   * @param {Doc} [doc]
   * @param {number} [side]
   */
  async lay(doc = this.session.doc, side = this.session.side) {
    const { session } = this;
    if (!doc.place || !session.ready) return;
    const body = session.way.layersBody(session, doc, side);
    const key = JSON.stringify(body);
    if (!body || this.layers?.key === key) return;
    const { result } = await session.jobs.work(WORK.match, (options) => api.run("layers", body, options), true);
    /** @type {Layers} */
    const layers = { key, place: doc.place, mask: doc.mask, side, tip: null };
    await Promise.all(result.layers.map(async (/** @type {any} */ { name, box, picture }) => {
      const image = await api.image(picture.file_url);
      const values = name === "plain" || name === "matched" ? valuesOf(image) : null;
      Object.assign(layers, { [name]: { box, picture, image, values } });
    }));
    if (!session.isOpen) return;
    if (layers.shadow && session.cutout) layers.tip = farthestOf(layers.shadow, footOf(session.box, doc.place));
    this.layers = layers;
    session.blends.forget();
    $("match-note").textContent = noteOf(result.info.reasons, result.info.reason_codes);
    if (session.dragging) {
      session.scene.drawPlaced(session.dragging);
    } else {
      session.refresh(true);
      if (session.step !== "cut") say(SAID.matchShown);
    }
  }

  /** Shows what the service makes of the whole picture, on its proxies. */
  async whole() {
    const { session } = this;
    const { doc, way } = session;
    const body = way.previewBody(session, doc);
    const key = JSON.stringify(body);
    if (this.shown?.key === key) return;
    const { result } = await session.jobs.work(way.work, (options) => api.run(way.name, body, options), true);
    const image = await api.image(result.picture.file_url);
    if (!session.isOpen) return;
    this.shown = { key, image };
    $("match-note").textContent = noteOf(result.info.warnings, result.info.warning_codes);
    if (!session.dragging && session.doc === doc) session.refresh(true);
  }
}
