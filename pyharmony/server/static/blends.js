// The real blend while something is dragged: a worker asks for it, and what comes is shown unless it is old.

import * as api from "./api.js";
import { put } from "./konva.js";
import { fail } from "./messages.js";
import { TROUBLE } from "./strings.js";

/** @typedef {import("./geometry.js").Place} Place */
/** @typedef {import("./geometry.js").Rectangle} Rectangle */
/** @typedef {import("./session.js").Session} Session */
/**
 * A blend that is asked for.
 *
 * @typedef {object} Request
 * @property {Session} session
 * @property {string} key what is asked for, as text
 * @property {Record<string, any>} body
 * @property {string} mode
 * @property {import("./preview.js").Layers | null} layers
 * @property {Place} place
 */
/** @typedef {{ message: string, status: number, kind: string }} Trouble */

/** The most pixels of a blend while something is dragged; where it is let go, it is made as fine as the screen. */
const LIVE_PIXELS = 40_000;
/** The most blends that are asked for at a time: the way to the service and back takes longer than a blend. */
const FLYING = 2;
/** The milliseconds after which a subject that is dragged is shown by itself, where its blend is still to come. */
const LATE = 400;

export class LiveBlends {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** The number of the newest blend that was asked for, and of the newest that was shown. */
    this.sent = this.newest = 0;
    /** How many were shown. */
    this.frames = 0;
    /** @type {Map<number, Request>} */
    this.flights = new Map();
    /** What is asked for as soon as it may be. @type {Request | null} */
    this.next = null;
    /** What was asked for last. */
    this.asked = "";
    /** The blend on the canvas. @type {Request | null} */
    this.tiled = null;
    /** When the one began that is waited for; 0: none is. */
    this.waits = 0;
    /** @type {Worker | null} */
    this.worker = this.begin();
  }

  /** Leaves all that was asked for. */
  stop() {
    this.flights.clear();
    this.newest = this.sent;
    this.next = null;
    this.waits = 0;
    this.forget();
  }

  /** Lets the next blend be asked for, whatever is shown. */
  forget() {
    this.tiled = null;
    this.asked = "";
  }

  get isLate() { return Boolean(this.waits) && performance.now() - this.waits > LATE; }

  /** The blend that is seen; null: the subject is seen by itself. */
  get shown() { return this.stage.tile.visible() && !this.isLate ? this.tiled : null; }

  /**
   * Asks for the real blend at a place; only the newest place counts, and few are on their way at a time.
   *
   * @param {Session} session
   * @param {Place} place
   */
  follow(session, place) {
    const { doc, way, below, dragging, preview: { layers } } = session;
    const own = way.liveBody(session, place);
    if (!own) {
      this.stage.tile.visible(false);
      this.forget();
      this.next = null;
      return;
    }
    const mode = way.liveMode(doc);
    const body = {
      background: below.id, mode, detail: dragging ? detailOf(session, place, own.side) : 1, preview: true,
      format: dragging ? "jpeg" : "png", ...own,
    };
    const key = JSON.stringify(body);
    if (this.tiled?.key === key || this.asked === key) return;
    this.asked = key;
    this.next = { session, key, body, mode, layers, place };
    // An answer that is lost must not hold up the next ones for ever.
    if (this.waits && performance.now() - this.waits > 10 * LATE) {
      this.flights.clear();
      this.waits = 0;
    }
    // While one is drawn, the next is solved. What is let go is not waited with: it is the next one, whatever is on
    // its way.
    if (this.flights.size < FLYING || !dragging) this.send(this.next);
  }

  /** @param {Request} request */
  send(request) {
    this.next = null;
    this.sent += 1;
    this.waits ||= performance.now();
    this.flights.set(this.sent, request);
    this.worker ??= this.begin();
    this.worker.postMessage({ number: this.sent, body: api.currently(request.body) });
  }

  /**
   * Begins the worker that asks for blends. One that cannot be loaded matters where a blend was asked for; the next one
   * begins another.
   */
  begin() {
    const worker = new Worker(new URL("live.js", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data: { number, box, image, error } }) => {
      const request = this.flights.get(number);
      this.flights.delete(number);
      if (!request) return;
      this.waits = this.flights.size ? performance.now() : 0;
      if (this.next) this.send(this.next);
      if (error) this.mend(request, error);
      else this.show(request, number, image, box);
    });
    worker.addEventListener("error", () => {
      worker.terminate();
      this.worker = null;
      if (!this.flights.size) return;
      this.flights.clear();
      Object.assign(this, { asked: "", next: null, waits: 0 });
      fail(new Error(TROUBLE.noBlend));
    });
    return worker;
  }

  /**
   * Asks again for a blend that failed, where that can be mended.
   *
   * @param {Request} request
   * @param {Trouble} trouble
   */
  mend({ session, body }, trouble) {
    this.asked = "";
    // A session that has expired is opened by any other request.
    const mended = trouble.status === 401 ? api.service()
      : api.mend(new api.ServiceError(trouble.message, trouble), JSON.stringify(body));
    mended.then(() => session.refresh(), fail);
  }

  /**
   * Shows a blend that has come, unless a newer one is shown or the document is another by now.
   *
   * @param {Request} request
   * @param {number} number
   * @param {ImageBitmap | null} image
   * @param {Rectangle} box
   */
  show(request, number, image, box) {
    const { session, layers, mode, place } = request;
    const { doc, way, preview, dragging, scene } = session;
    if (layers !== preview.layers || mode !== way.liveMode(doc) || number <= this.newest) return;
    this.newest = number;
    this.tiled = request;
    put(this.stage.tile, image, box);
    scene.drawMoving(/** @type {Place} */ (dragging ?? doc.place));
    this.frames += 1;
    this.stage.element.dataset.frames = String(this.frames);
    this.stage.element.dataset.blend = place === doc.place ? "fine" : "passing";
  }
}

/**
 * Returns how fine blends are while something is dragged: so many pixels are solved many times a second.
 *
 * @param {Session} session
 * @param {Place} place
 * @param {number} side
 */
function detailOf({ box, below }, place, side) {
  const factor = place.scale * Math.min(1, side / Math.max(below.width, below.height));
  return Math.max(0.2, Math.min(1, Math.sqrt(LIVE_PIXELS / (box.width * factor * box.height * factor))));
}
