// Previews by the service for the screen: the layers of a composite, or a preview of the whole image.

import * as api from "./api.js";
import { $ } from "./dom.js";
import { footOf } from "./geometry.js";
import { announce, clear, fail } from "./messages.js";
import { farthestOf, valuesOf } from "./pixels.js";
import { TEXTS, WORK, plainly } from "./strings.js";

/** @import { Picture } from "./api.js" */
/** @import { Doc } from "./document.js" */
/** @import { Place, Point, Rectangle } from "./geometry.js" */
/**
 * A layer, its box, and its image.
 *
 * @typedef {object} Layer
 * @property {Rectangle} box
 * @property {Picture} picture
 * @property {HTMLImageElement} image
 */
/** @typedef {Layer & { values: ImageData }} SubjectLayer */
/**
 * The layers of a composite, with their place, mask and resolution; without a subject if it is outside of the
 * background.
 *
 * @typedef {object} Layers
 * @property {string} key the request as text
 * @property {Place} place
 * @property {number} number that of the subject
 * @property {Picture | null} mask
 * @property {Picture | null} photo
 * @property {Doc["warp"]} warp
 * @property {number} side
 * @property {Point | null} tip the end of the shadow
 * @property {Layer} [background] the corrected background
 * @property {Layer} [shadow]
 * @property {Layer} [reflection]
 * @property {Layer} [front]
 * @property {SubjectLayer} [plain]
 * @property {SubjectLayer} [matched]
 */
/** @typedef {Layers & { plain: SubjectLayer, matched: SubjectLayer }} SubjectLayers */

/** The pause after a change before the match is updated, in milliseconds. */
const SETTLE = 350;
/** The longer side of previews while a scale or an angle changes, which have to be fast. */
const QUICK = 512;

/** The topic of messages about failures, which a later success removes. */
const TOPIC = "preview";

/** Returns reasons as one text, each once. @type {(texts?: string[], codes?: string[]) => string} */
const noteOf = (texts = [], codes = []) => [...new Set(texts.map((text, i) => plainly(text, codes[i])))].join(". ");

export class Preview {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
    /** @type {Layers | null} */
    this.layers = null;
    /** The newest preview of the whole image, and its request. */
    /** @type {{ key: string, image: HTMLImageElement } | null} */
    this.shown = null;
    /** The document while a scale or an angle changes. @type {Doc | null} */
    this.changing = null;
    this.isBusy = false;
    /** Whether the last request failed. */
    this.hasFailed = false;
    /** Whether the document has changed since the pending request. */
    this.isOld = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.settling = undefined;
  }

  /** Returns the layers if they show the subject of a document. @param {Doc} doc */
  layersOf(doc) {
    const { layers } = this;
    const isOfSubject = layers?.plain && layers.number === doc.number && layers.mask === doc.mask
      && layers.photo === doc.photo;
    return isOfSubject ? /** @type {SubjectLayers} */ (layers) : null;
  }

  stop() { clearTimeout(this.settling); }

  /** Requests, after a pause, the preview of the document. */
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

  /** Updates the layers during a change, as often as the service can, always for the newest state. @param {Doc} doc */
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

  /** Runs a request while no other is pending, and later changes after it; isLast: it updates the whole document. */
  /** @type {(make: () => Promise<void>, isLast?: boolean) => Promise<void>} */
  async busily(make, isLast = false) {
    const { session } = this;
    this.isBusy = true;
    try {
      await make();
      if (this.hasFailed) clear(TOPIC);
      this.hasFailed = false;
    } catch (error) {
      this.hasFailed = true;
      fail(error, TOPIC);
    } finally {
      this.isBusy = false;
      const { isOld } = this;
      if (session.isOpen && this.changing) {
        // A change of scale or angle may have begun, and may already have ended: the document is updated after it.
        this.layMeanwhile(this.changing);
      } else {
        this.isOld = false;
        if (session.isOpen && isOld) this.later();
        else if (session.isOpen && isLast) session.stage.element.dataset.state = "rests";
      }
    }
  }

  /** Requests the layers of a composite. @type {(doc?: Doc, side?: number) => Promise<void>} */
  async lay(doc = this.session.doc, side = this.session.side) {
    const { session } = this;
    if (!doc.place || !session.ready) return;
    const body = session.way.layersBody(session, doc, side);
    const key = JSON.stringify(body);
    if (!body || this.layers?.key === key) return;
    const { result } = await session.jobs.work(WORK.match, (options) => api.run("layers", body, options), true);
    const { place, number, mask, photo, warp } = doc;
    /** @type {Layers} */
    const layers = { key, place, number, mask, photo, warp, side, tip: null };
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
      if (session.step !== "cut") announce(TEXTS.matchShown);
    }
  }

  /** Requests a preview of the whole image, from its proxies. */
  async whole() {
    const { session } = this;
    const { doc, way } = session;
    const key = JSON.stringify(way.previewBody(session, doc));
    if (this.shown?.key === key) return;
    const { result } = await session.jobs.work(way.work, async (options) => (
      api.run(way.name, await way.wholeBody(session, doc, options), options)), true);
    const image = await api.image(result.picture.file_url);
    if (!session.isOpen) return;
    this.shown = { key, image };
    // Of layers the note is that of the match.
    for (const id of way.layered ? [] : ["match-note", "changes-note"]) {
      $(id).textContent = noteOf(result.info.warnings, result.info.warning_codes);
    }
    way.shown(session, result);
    if (!session.dragging && session.doc === doc) session.refresh(true);
  }
}
