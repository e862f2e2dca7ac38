// The interface of a way of working for the editor and the start. The other modules here implement it.

/** @import { Picture } from "../api.js" */
/** @import { Doc } from "../document.js" */
/** @import { Place } from "../geometry.js" */
/** @import { Session } from "../session.js" */
/** @typedef {"cut" | "place" | "match" | "save"} StepName */
/** @typedef {Record<string, any>} Body the body of a request to an operation */
/**
 * The images of the service, by the slots of the start.
 *
 * @typedef {object} Pictures
 * @property {Picture} [subject]
 * @property {Picture} [source]
 * @property {Picture} [background]
 * @property {Picture} [composite]
 * @property {Picture} [mask]
 * @property {Picture[]} [photos]
 */
/** @typedef {{ name: keyof Pictures, icon: string, many?: boolean }} Slot */
/**
 * The inputs of the generated command and Python code.
 *
 * @typedef {object} Writing
 * @property {Record<string, any>} names the names of files by their slots
 * @property {Body} body the body of the request
 * @property {(name: string) => string} read returns the name of a photo that may be converted to 16 bits first
 * @property {string} layers the name of the file of layers, if there is one
 * @property {boolean} bits whether images are converted to another depth
 */

export class Way {
  name = "";
  /** @type {Slot[]} the photos of the way */
  slots = [];
  /** @type {Partial<Record<keyof Pictures, string>> | null} the sample photos */
  samples = null;
  /** @type {[StepName, string][]} the steps and their titles */
  steps = [];
  /** The label of the button after the place. */
  toMatch = "";
  /** The title of the job that matches the image for the screen. */
  work = "";
  /** Whether the user segments the subject, in a step before placing it. */
  cuts = false;
  /** Whether a subject is placed on a background. */
  places = false;
  /** Whether the placed subject can be rotated, mirrored and sent behind people, and casts a shadow. */
  turns = false;
  /** Whether the result has layers and a recipe. */
  layered = false;

  /**
   * Returns the initial values of the document.
   *
   * @param {Pictures} _pictures
   * @returns {Partial<Doc>}
   */
  first(_pictures) { return {}; }

  /**
   * Returns the available methods of matching.
   *
   * @param {string[]} methods those of the service
   */
  methods(methods) { return methods; }

  /**
   * Returns which settings there are: strength, method, edge, mask; compare: before and after; plain: a note that
   * nothing is matched.
   *
   * @param {Doc} _doc
   */
  settings(_doc) {
    return { strength: true, method: true, edge: false, mask: true, compare: true, plain: false };
  }

  /**
   * Returns the images to open for sample photos.
   *
   * @param {Pictures} samples
   * @returns {Promise<Pictures>}
   */
  async fromSamples(samples) { return samples; }

  /**
   * Begins, when the photos are loaded.
   *
   * @param {Session} session
   */
  async begin(session) { await session.go("match"); }

  /**
   * Returns the initial place of the subject.
   *
   * @param {Session} _session
   * @returns {Place}
   */
  firstPlace(_session) { throw new Error("nothing is placed"); }

  /**
   * Returns whether there is a result to save.
   *
   * @param {Session} session
   */
  isComplete(session) { return Boolean(session.doc.place && session.ready); }

  /**
   * Shows the document, in all steps except segmentation.
   *
   * @param {Session} session
   */
  show(session) { session.scene.showPlaced(); }

  /**
   * Requests the preview of the document.
   *
   * @param {Session} session
   */
  async prepare(session) { await session.preview.whole(); }

  /**
   * Returns the body of the request for the layers of a document; null: there are none.
   *
   * @param {Session} _session
   * @param {Doc} _doc
   * @param {number} _side the longer side of the layers
   * @returns {Body | null}
   */
  layersBody(_session, _doc, _side) { return null; }

  /**
   * Returns the body of live blends, without their resolution; null: there is none.
   *
   * @param {Session} _session
   * @param {Place} _place
   * @returns {Body | null}
   */
  liveBody(_session, _place) { return null; }

  /**
   * Returns the mode of live blends.
   *
   * @param {Doc} _doc
   */
  liveMode(_doc) { return ""; }

  /**
   * Returns the body of the request for the result at full size.
   *
   * @param {Session} _session
   * @param {Doc} _doc
   * @returns {Body}
   */
  resultBody(_session, _doc) { throw new Error("not implemented"); }

  /**
   * Returns the body of the request for a preview of the whole result.
   *
   * @param {Session} session
   * @param {Doc} doc
   * @returns {Body}
   */
  previewBody(session, doc) { return this.resultBody(session, doc); }

  /**
   * Returns the words of the command that computes the result, before and after the name of its file.
   *
   * @param {Writing} _writing
   * @returns {{ inputs: string[], options: string[] }}
   */
  command(_writing) { throw new Error("not implemented"); }

  /**
   * Returns the Python call that computes the result, its arguments, and the lines before it.
   *
   * @param {Writing} _writing
   * @returns {{ name: string, values: string[], before?: string[] }}
   */
  python(_writing) { throw new Error("not implemented"); }
}
