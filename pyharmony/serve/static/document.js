// The document: the user's decisions, as plain data, and its history; independent of the page and the service.

/** @import { Picture } from "./api.js" */
/** @import { Place, Point, Rectangle } from "./geometry.js" */
/**
 * A step of segmentation, as the service expects it: a click, a line, an outline, or a mask to continue from.
 *
 * @typedef {{ kind: "click", x: number, y: number, add: boolean }
 *   | { kind: "scribble" | "lasso", line: [number, number][], add: boolean }
 *   | { kind: "choose", index: number }
 *   | { kind: "mask", mask: string }} Step
 */
/** @typedef {Point & { add: boolean }} Mark a dot at a click */
/** @typedef {Record<string, any>} Correction corrections by hand, by their names; a curve is a list of points [x, y] */
/**
 * The decisions of the user about one subject.
 *
 * @typedef {object} Subject
 * @property {number} number its number in the order in which subjects were added, from 1
 * @property {Picture | null} photo its photo; null: that of the start
 * @property {boolean} isHidden
 * @property {boolean} isLocked whether its place is protected from changes
 * @property {string} cutter the method of segmentation
 * @property {Step[]} steps the prompts
 * @property {Mark[]} marks the dots that show them
 * @property {Picture | null} mask the mask of the object
 * @property {Place | null} place its place; null: none yet
 * @property {number[]} front the people of the background who occlude it
 * @property {number} strength of the match, 0 to 1
 * @property {string} method the method of matching
 * @property {string} blend the blend of a composite
 * @property {Correction} adjust the corrections by hand
 * @property {Record<string, any>} options the options of a composite without a dedicated control, by name
 * @property {string} shadow auto, on or off
 * @property {Point | null} tip the end of the shadow; null: as estimated by the service
 * @property {number | null} softness of the shadow's edge, in degrees; null: that of the service
 * @property {number} opacity of the subject, 0 to 1
 * @property {string} layerMode how its colours mix with those below
 * @property {number | null} shadowStrength how dark the shadow is, 0 to 1; null: as estimated by the service
 * @property {import("./lettering.js").Text | null} text the words of which its photo is an image; null: it is none
 * @property {import("./corners.js").Warp | null} warp how far the corners of its photo move; null: not at all
 */
/**
 * The decisions of the user: about the active subject, and about the others from the lowest to the topmost.
 *
 * @typedef {Subject & { mode: string, colours: boolean, others: Subject[], rank: number, crop: Rectangle | null,
 *   changes: number[] | null, adjustBackground: Correction, adjustResult: Correction,
 *   guides: import("./snapping.js").Guide[] }} Doc
 *   mode: the blend of a mask; colours: whether it matches colours; rank: the number of subjects below the active one;
 *   crop: that of the result, null: none; changes: the numbers of those of an edit that are applied, null: all;
 *   adjustBackground, adjustResult: the corrections of the background and of the whole picture;
 *   guides: the lines of the user, which are not in the result
 */

/** @type {Readonly<Subject>} */
const FIRST = Object.freeze({
  number: 1, photo: null, isHidden: false, isLocked: false, cutter: "auto", steps: [], marks: [], mask: null,
  place: null, front: [], strength: 1, method: "auto", blend: "alpha", adjust: {}, options: {}, shadow: "auto",
  tip: null, softness: null, opacity: 1, layerMode: "normal", shadowStrength: null, warp: null,
  text: null,
});
/** @type {Readonly<Doc>} */
export const BEGIN = Object.freeze({
  ...FIRST, mode: "gaussian-poisson", colours: false, others: [], rank: 0, crop: null, changes: null,
  adjustBackground: {}, adjustResult: {}, guides: [],
});

/** Returns a document that was stored by an earlier version of the page with the fields that are new. */
/** @type {(doc: Doc) => Doc} */
export const completed = (doc) => (
  { ...BEGIN, ...doc, others: (doc.others ?? []).map((one) => ({ ...FIRST, ...one })) });

/** The states of a document, each an immutable value, and the index of the current one. */
export class DocumentHistory {
  /**
   * @param {Partial<Doc>} [first] differences from the initial document
   * @param {{ states: Doc[], now: number }} [stored] the states of a stored history, which replace it
   */
  constructor(first = {}, { states, now } = { states: [{ ...BEGIN, ...first }], now: 0 }) {
    // Those of older pages lack what was added since.
    this.states = states.map(completed);
    this.now = now;
    /** @type {Doc | null} */
    this.aside = null;
  }

  get doc() { return this.states[this.now]; }
  get canUndo() { return this.now > 0; }
  get canRedo() { return this.now < this.states.length - 1; }

  /** Changes the document by a step that can be undone, unless nothing changes; undone steps are discarded. */
  /** @type {(change: Partial<Doc>) => void} */
  commit(change) {
    this.leave();
    const keys = /** @type {(keyof Doc)[]} */ (Object.keys(change));
    if (keys.every((key) => JSON.stringify(this.doc[key]) === JSON.stringify(change[key]))) return;
    this.states = [...this.states.slice(0, this.now + 1), { ...this.doc, ...change }];
    this.now += 1;
  }

  /** Changes the document without a step, for values that are not decisions of the user. */
  /** @type {(change: Partial<Doc>) => void} */
  amend(change) {
    this.states[this.now] = { ...this.doc, ...change };
    if (this.aside) this.aside = { ...this.aside, ...change };
  }

  /** Changes the document during a drag: the next step begins from the state before it. @param {Partial<Doc>} change */
  attempt(change) {
    this.aside ??= this.doc;
    this.states[this.now] = { ...this.doc, ...change };
  }

  /** Restores the document before an attempt. */
  leave() {
    if (this.aside) this.states[this.now] = this.aside;
    this.aside = null;
  }

  /** Undoes or redoes a number of steps; returns whether there are as many. @param {number} by */
  travel(by) {
    const next = this.now + by;
    if (next < 0 || next >= this.states.length) return false;
    this.leave();
    this.now = next;
    return true;
  }
}

// ---- several subjects ----

/** Returns the decisions about the active subject. @param {Doc} doc @returns {Subject} */
const activeOf = (doc) => /** @type {any} */ (
  Object.fromEntries(Object.entries(doc).filter(([name]) => name in FIRST)));

/** Returns all subjects, from the lowest to the topmost. @param {Doc} doc */
export const subjectsOf = (doc) => [...doc.others.slice(0, doc.rank), activeOf(doc), ...doc.others.slice(doc.rank)];

/** Returns whether two documents give the same picture, whichever subject is active. */
/** @type {(a: Doc, b: Doc) => boolean} */
export const isSameResult = (a, b) => JSON.stringify(contentOf(a)) === JSON.stringify(contentOf(b));

/** @param {Doc} doc */
const contentOf = (doc) => [
  subjectsOf(doc), doc.mode, doc.colours, doc.crop, doc.changes, doc.adjustBackground, doc.adjustResult,
];

/** Returns whether a subject is a part of the composite. @param {Subject} subject */
export const isVisible = ({ isHidden, place }) => !isHidden && place !== null;

/** Returns the document with other subjects; index: that of the active one. */
/** @type {(doc: Doc, subjects: Subject[], index: number) => Doc} */
const withSubjects = (doc, subjects, index) => (
  { ...doc, ...FIRST, ...subjects[index], others: subjects.filter((_, i) => i !== index), rank: index });

/** @type {(doc: Doc, index: number) => Doc} */
export const selecting = (doc, index) => withSubjects(doc, subjectsOf(doc), index);

/** Returns the document with a new subject of a photo, which is the topmost and active. */
/** @type {(doc: Doc, photo: Picture) => Doc} */
export function adding(doc, photo) {
  const subjects = subjectsOf(doc);
  const number = 1 + Math.max(...subjects.map((one) => one.number));
  return withSubjects(doc, [...subjects, { ...FIRST, number, photo }], subjects.length);
}

/** Returns the document of some subjects, from the lowest to the topmost, which is the active one. */
/** @type {(subjects: Partial<Subject>[], change: Partial<Doc>) => Doc} */
export const documentOf = (subjects, change) => withSubjects(
  { ...BEGIN, ...change }, subjects.map((one, i) => ({ ...FIRST, ...one, number: i + 1 })), subjects.length - 1,
);

/** Returns the document without a subject. @type {(doc: Doc, index: number) => Doc} */
export function removing(doc, index) {
  const subjects = subjectsOf(doc).filter((_, i) => i !== index);
  return withSubjects(doc, subjects, Math.min(doc.rank - Number(index < doc.rank), subjects.length - 1));
}

/** Returns the document with a subject moved by a number of places in the order. */
/** @type {(doc: Doc, index: number, by: number) => Doc} */
export function ordering(doc, index, by) {
  const subjects = subjectsOf(doc);
  const active = subjects[doc.rank];
  const [moved] = subjects.splice(index, 1);
  subjects.splice(index + by, 0, moved);
  return withSubjects(doc, subjects, subjects.indexOf(active));
}

/** @type {(doc: Doc, index: number, change: Partial<Subject>) => Doc} */
export const changing = (doc, index, change) => (
  withSubjects(doc, subjectsOf(doc).map((one, i) => (i === index ? { ...one, ...change } : one)), doc.rank));

// ---- changes ----

/** Returns the changes by a mask from elsewhere; clicks continue from it. @type {(mask: Picture) => Partial<Doc>} */
export const maskChange = (mask) => ({
  mask, steps: [{ kind: "mask", mask: mask.id }], marks: [], place: null, front: [],
});

/** The changes of starting over. */
export const UNMASKED = Object.freeze({ steps: [], marks: [], mask: null, place: null, front: [] });

/** Returns the dots to show for steps: clicks, and the first point of lines. @type {(steps: Step[]) => Mark[]} */
export function marksOf(steps) {
  return steps.flatMap((step) => {
    if (step.kind === "choose" || step.kind === "mask") return [];
    const [x, y] = step.kind === "click" ? [step.x, step.y] : step.line[0];
    return [{ x: x + 0.5, y: y + 0.5, add: step.add }];
  });
}

/** Returns the blend of live composites: strength 0 is the plain paste, whatever blend is chosen. @param {Doc} doc */
export const blendOf = (doc) => (doc.strength === 0 ? "alpha" : doc.blend);

/** Returns the mode of a subject; gradient-domain blends have the normal one. @param {Subject} doc */
export const layerModeOf = (doc) => (doc.strength === 0 || doc.blend === "alpha" ? doc.layerMode : "normal");

/** Returns whether corrections change something. @param {Correction} correction */
export const corrects = (correction) => Object.keys(correction).length > 0;

/** Returns the shadow as the service expects it. @param {Doc} doc */
export function shadowOf(doc) {
  const { shadow, tip, softness, shadowStrength } = doc;
  if (shadow === "off") return false;
  const strength = shadowStrength === null ? {} : { strength: shadowStrength };
  if (tip) return { tip: [tip.x, tip.y], softness: softnessOf(doc), ...strength };
  if (shadow !== "on") return "auto";
  const options = { ...(softness === null ? {} : { softness }), ...strength };
  return Object.keys(options).length > 0 ? options : true;
}

/** Returns the softness that is drawn: without a direction the service's light is high and soft. @param {Doc} doc */
export const softnessOf = (doc) => doc.softness ?? (doc.tip ? 4 : 60);

/** Returns the changes by a move of the tip of the shadow. @type {(doc: Doc, tip: Point | null) => Partial<Doc>} */
export const tipChange = (doc, tip) => ({ tip, shadow: tip && doc.shadow === "auto" ? "on" : doc.shadow });

/** Returns the changes by a move to another place: the tip of the shadow moves along. */
/** @type {(doc: Doc, place: Place) => Partial<Doc>} */
export function placeChange(doc, place) {
  if (!doc.tip || !doc.place) return { place };
  return { place, tip: { x: doc.tip.x + place.x - doc.place.x, y: doc.tip.y + place.y - doc.place.y } };
}
