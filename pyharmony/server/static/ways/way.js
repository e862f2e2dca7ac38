// What the editor and the start ask of a way of working. The modules beside this one hold what is special to each.

/** @typedef {import("../api.js").Picture} Picture */
/** @typedef {import("../document.js").Doc} Doc */
/** @typedef {import("../geometry.js").Place} Place */
/** @typedef {import("../preview.js").Layers} Layers */
/** @typedef {import("../session.js").Session} Session */
/** @typedef {"cut" | "place" | "match" | "save"} StepName */
/** @typedef {Record<string, any>} Body what an operation of the service is asked for */
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
 * What the command and the lines of Python are written of.
 *
 * @typedef {object} Writing
 * @property {Record<string, any>} names the names of files by their slots
 * @property {Body} body what the service was asked for
 * @property {(name: string) => string} read how a photograph is named that may be brought to 16 bits before
 * @property {string} layers the name of the file of layers, if there is one
 * @property {boolean} bits whether images are written in other bits
 */

export class Way {
  name = "";
  /** @type {Slot[]} the photographs to give */
  slots = [];
  /** @type {Partial<Record<keyof Pictures, string>> | null} the sample photographs */
  samples = null;
  /** @type {[StepName, string][]} the steps and their titles */
  steps = [];
  /** What leads on from the place. */
  toMatch = "";
  /** What is said while the picture is matched for the screen. */
  work = "";
  /** Whether people cut out what is placed, in a step before that. */
  cuts = false;
  /** Whether something is placed on a background. */
  places = false;
  /** Whether what is placed can be turned, mirrored and sent behind people, and casts a shadow. */
  turns = false;
  /** Whether the result has layers and a recipe. */
  layered = false;

  /**
   * Returns how the document begins.
   *
   * @param {Pictures} _pictures
   * @returns {Partial<Doc>}
   */
  first(_pictures) { return {}; }

  /**
   * Returns the methods of matching to choose among.
   *
   * @param {string[]} methods those of the service
   */
  methods(methods) { return methods; }

  /**
   * Tells which settings there are: strength, method, edge, mask; compare: before and after; plain: a note that nothing
   * is matched.
   *
   * @param {Doc} _doc
   */
  settings(_doc) {
    return { strength: true, method: true, edge: false, mask: true, compare: true, plain: false };
  }

  /**
   * Returns the pictures to open of sample photographs.
   *
   * @param {Pictures} samples
   * @returns {Promise<Pictures>}
   */
  async fromSamples(samples) { return samples; }

  /**
   * Begins, where the photographs are loaded.
   *
   * @param {Session} session
   */
  async begin(session) { await session.go("match"); }

  /**
   * Returns where the subject lies at first.
   *
   * @param {Session} _session
   * @returns {Place}
   */
  firstPlace(_session) { throw new Error("nothing is placed"); }

  /**
   * Tells whether there is a result to be saved.
   *
   * @param {Session} session
   */
  isComplete(session) { return Boolean(session.doc.place && session.ready); }

  /**
   * Shows the document, but in the step of cutting out.
   *
   * @param {Session} session
   */
  show(session) { session.scene.showPlaced(); }

  /**
   * Asks the service for what shows the document.
   *
   * @param {Session} session
   */
  async prepare(session) { await session.preview.whole(); }

  /**
   * Returns the body that asks for the layers of a document; null: it is shown otherwise.
   *
   * @param {Session} _session
   * @param {Doc} _doc
   * @param {number} _side the longer side that they are made for
   * @returns {Body | null}
   */
  layersBody(_session, _doc, _side) { return null; }

  /**
   * Returns what the service makes live blends by, but for their fineness; null: there is none.
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
   * Returns the body that asks for the result at full size.
   *
   * @param {Session} _session
   * @param {Doc} _doc
   * @returns {Body}
   */
  resultBody(_session, _doc) { throw new Error("a way says what it asks for"); }

  /**
   * Returns the body that asks for a preview of the whole result.
   *
   * @param {Session} session
   * @param {Doc} doc
   * @returns {Body}
   */
  previewBody(session, doc) { return this.resultBody(session, doc); }

  /**
   * Returns the words of the command that makes the result, before and after the name of its file.
   *
   * @param {Writing} _writing
   * @returns {{ inputs: string[], options: string[] }}
   */
  command(_writing) { throw new Error("a way says how it is done by a command"); }

  /**
   * Returns the call of Python that makes the result, its arguments, and the lines before it.
   *
   * @param {Writing} _writing
   * @returns {{ name: string, values: string[], before?: string[] }}
   */
  python(_writing) { throw new Error("a way says how it is done in Python"); }
}
