// The document: what people decided, as plain data, and its history. It knows neither the page nor the service.

/** @typedef {import("./geometry.js").Place} Place */
/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./api.js").Picture} Picture */
/**
 * A step of cutting out, as the service takes it: a click, a line, or a mask to go on from.
 *
 * @typedef {{ kind: "click", x: number, y: number, add: boolean }
 *   | { kind: "scribble", line: [number, number][], add: boolean }
 *   | { kind: "mask", mask: string }} Step
 */
/** @typedef {Point & { add: boolean }} Mark a dot where somebody pointed */
/**
 * What people decided.
 *
 * @typedef {object} Doc
 * @property {string} cutter the method of cutting out
 * @property {Step[]} steps what was pointed at
 * @property {Mark[]} marks the dots that show it
 * @property {Picture | null} mask what is cut out
 * @property {Place | null} place where it lies; null: nowhere yet
 * @property {number[]} front the people of the background who stay in front of it
 * @property {number} strength how far it is matched, 0 to 1
 * @property {string} method the method of matching
 * @property {string} blend the blend of a composite
 * @property {string} mode the blend of a mask
 * @property {boolean} colours whether the blend of a mask matches colours
 * @property {Record<string, any>} options the options of a composite that have no control of their own, by name
 * @property {string} shadow auto, on or off
 * @property {Point | null} tip where the shadow ends; null: where the service finds it to
 * @property {number} softness of the shadow's edge, in degrees
 */

/** @type {Readonly<Doc>} */
export const BEGIN = Object.freeze({
  cutter: "auto", steps: [], marks: [], mask: null, place: null, front: [], strength: 1, method: "auto", blend: "alpha",
  mode: "gaussian-poisson", colours: false, options: {}, shadow: "auto", tip: null, softness: 4,
});

/** The states of a document, each a value that is never changed, and which of them it is in. */
export class DocumentHistory {
  /** @param {Partial<Doc>} [first] what differs at the beginning */
  constructor(first = {}) {
    /** @type {Doc[]} */
    this.states = [{ ...BEGIN, ...first }];
    this.now = 0;
    /** @type {Doc | null} */
    this.aside = null;
  }

  get doc() { return this.states[this.now]; }
  get canUndo() { return this.now > 0; }
  get canRedo() { return this.now < this.states.length - 1; }

  /**
   * Changes the document by a step that can be undone; what was undone before is gone.
   *
   * @param {Partial<Doc>} change
   */
  commit(change) {
    this.leave();
    this.states = [...this.states.slice(0, this.now + 1), { ...this.doc, ...change }];
    this.now += 1;
  }

  /**
   * Changes the document without a step: to what is not decided by people.
   *
   * @param {Partial<Doc>} change
   */
  amend(change) {
    this.states[this.now] = { ...this.doc, ...change };
    if (this.aside) this.aside = { ...this.aside, ...change };
  }

  /**
   * Changes the document for as long as something is dragged: the next step begins from what it was before.
   *
   * @param {Partial<Doc>} change
   */
  attempt(change) {
    this.aside ??= this.doc;
    this.states[this.now] = { ...this.doc, ...change };
  }

  /** Puts back what the document was before an attempt. */
  leave() {
    if (this.aside) this.states[this.now] = this.aside;
    this.aside = null;
  }

  /**
   * Goes back, or on again, by so many steps; tells whether there are as many.
   *
   * @param {number} by
   */
  travel(by) {
    const next = this.now + by;
    if (next < 0 || next >= this.states.length) return false;
    this.leave();
    this.now = next;
    return true;
  }
}

/**
 * Returns what a mask that was made elsewhere changes; clicks go on from it.
 *
 * @param {Picture} mask
 * @returns {Partial<Doc>}
 */
export const maskChange = (mask) => ({
  mask, steps: [{ kind: "mask", mask: mask.id }], marks: [], place: null, front: [],
});

/** What changes where somebody starts over. */
export const UNMASKED = Object.freeze({ steps: [], marks: [], mask: null, place: null, front: [] });

/**
 * Returns the dots to show for steps: clicks, and the first point of lines.
 *
 * @param {Step[]} steps
 * @returns {Mark[]}
 */
export function marksOf(steps) {
  return steps.flatMap((step) => {
    if (step.kind === "click") return [{ x: step.x + 0.5, y: step.y + 0.5, add: step.add }];
    if (step.kind === "scribble") return [{ x: step.line[0][0] + 0.5, y: step.line[0][1] + 0.5, add: step.add }];
    return [];
  });
}

/**
 * Returns the blend of live composites: strength 0 is the plain paste, whatever is chosen for what is matched.
 *
 * @param {Doc} doc
 */
export const blendOf = (doc) => (doc.strength === 0 ? "alpha" : doc.blend);

/**
 * Returns the shadow as the service takes it.
 *
 * @param {Doc} doc
 */
export function shadowOf(doc) {
  if (doc.shadow === "off") return false;
  if (doc.tip) return { tip: [doc.tip.x, doc.tip.y], softness: doc.softness };
  if (doc.shadow === "on") return doc.softness === BEGIN.softness ? true : { softness: doc.softness };
  return "auto";
}

/**
 * Returns what a tip of the shadow that somebody moves changes: there is a shadow then.
 *
 * @param {Doc} doc
 * @param {Point | null} tip
 * @returns {Partial<Doc>}
 */
export const tipChange = (doc, tip) => ({ tip, shadow: tip && doc.shadow === "auto" ? "on" : doc.shadow });

/**
 * Returns what a move to another place changes: the tip of the shadow moves along.
 *
 * @param {Doc} doc
 * @param {Place} place
 * @returns {Partial<Doc>}
 */
export function placeChange(doc, place) {
  if (!doc.tip || !doc.place) return { place };
  return { place, tip: { x: doc.tip.x + place.x - doc.place.x, y: doc.tip.y + place.y - doc.place.y } };
}
