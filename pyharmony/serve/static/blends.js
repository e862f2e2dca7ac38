// The blend while the subject is dragged: a worker requests it, and responses are shown unless they are outdated.

import * as api from "./api.js";
import { put } from "./konva.js";
import { fail } from "./messages.js";
import { TROUBLE } from "./strings.js";

/** @import { Place, Rectangle } from "./geometry.js" */
/** @import { Session } from "./session.js" */
/**
 * A request for a blend.
 *
 * @typedef {object} Request
 * @property {Session} session
 * @property {string} key the request as text
 * @property {Record<string, any>} body
 * @property {string} mode
 * @property {import("./preview.js").Layers | null} layers
 * @property {Place} place
 */
/** @typedef {{ message: string, status: number, kind: string }} Trouble */

/** The largest number of pixels of a blend during a drag; after the drag it has the resolution of the screen. */
const LIVE_PIXELS = 40_000;
/** The largest number of concurrent requests: the latency of the service is longer than a blend. */
const FLYING = 2;
/** The milliseconds after which a dragged subject is shown unblended, if its blend has not arrived. */
const LATE = 400;

export class LiveBlends {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** The number of the newest requested blend, and of the newest that was shown. */
    this.sent = this.newest = 0;
    /** The number of blends that were shown. */
    this.frames = 0;
    /** @type {Map<number, Request>} */
    this.flights = new Map();
    /** The request to send next. @type {Request | null} */
    this.next = null;
    /** The key of the last request. */
    this.asked = "";
    /** The blend on the canvas. @type {Request | null} */
    this.tiled = null;
    /** The time at which the pending request began; 0: there is none. */
    this.waits = 0;
    /** @type {Worker | null} */
    this.worker = this.begin();
  }

  /** Discards all requests. */
  stop() {
    this.flights.clear();
    this.newest = this.sent;
    this.next = null;
    this.waits = 0;
    this.forget();
  }

  /** Allows the next request, even if its blend is shown already. */
  forget() {
    this.tiled = null;
    this.asked = "";
  }

  get isLate() { return Boolean(this.waits) && performance.now() - this.waits > LATE; }

  /** The visible blend; null: the subject is shown unblended. */
  get shown() { return this.stage.tile.visible() && !this.isLate ? this.tiled : null; }

  /** Requests the blend at a place; only the newest place counts, and the number of concurrent requests is limited. */
  /** @type {(session: Session, place: Place) => void} */
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
    // A lost response must not block the next ones for ever.
    if (this.waits && performance.now() - this.waits > 10 * LATE) {
      this.flights.clear();
      this.waits = 0;
    }
    // While one is drawn, the next is solved. The end of a drag is sent at once: it is the next request, whatever is
    // pending.
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
   * Starts the worker that requests blends. If it cannot be loaded, that is reported for a requested blend; the next
   * request starts another.
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

  /** Requests a failed blend again, if the cause can be repaired. */
  /** @type {(request: Request, trouble: Trouble) => void} */
  mend({ session, body }, trouble) {
    this.asked = "";
    // An expired session is renewed by any other request.
    const mended = trouble.status === 401 ? api.service()
      : api.mend(new api.ServiceError(trouble.message, trouble), JSON.stringify(body));
    mended.then(() => session.refresh(), fail);
  }

  /** Shows a blend that has arrived, unless a newer one is shown or the document has changed. */
  /** @type {(request: Request, number: number, image: ImageBitmap | null, box: Rectangle) => void} */
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

/** Returns the resolution of blends during a drag: this many pixels can be solved many times a second. */
/** @type {(session: Session, place: Place, side: number) => number} */
function detailOf({ box, below }, place, side) {
  const factor = place.scale * Math.min(1, side / Math.max(below.width, below.height));
  return Math.max(0.2, Math.min(1, Math.sqrt(LIVE_PIXELS / (box.width * factor * box.height * factor))));
}
