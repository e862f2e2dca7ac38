// A person or object of one photo is composited into another: segmented, placed, matched in light.

import { filed, python } from "../code.js";
import { blendOf, corrects, isVisible, layerModeOf, shadowOf, subjectsOf } from "../document.js";
import { bodyOf } from "../fields.js";
import { cornerOf, sameShape, standingPlace } from "../geometry.js";
import { TO_MATCH } from "../names.js";
import { STEPS, WORK } from "../strings.js";
import { WAY } from "./way.js";

/** @import { Picture } from "../api.js" */
/** @import { Doc, Subject } from "../document.js" */
/** @import { Place } from "../geometry.js" */
/** @import { Session } from "../session.js" */
/** @import { Body, Way } from "./way.js" */

/** Returns a subject as the service expects it. @type {(session: Session, doc: Subject) => Body} */
function subjectOf({ pictures }, doc) {
  const photo = /** @type {Picture} */ (doc.photo ?? pictures.subject);
  const place = /** @type {Place} */ (doc.place);
  /** @type {Body} */
  const subject = {
    picture: photo.id, at: cornerOf(place, photo), scale: place.scale, angle: place.angle, flip: place.flip,
  };
  if (doc.mask) subject.mask = doc.mask.id;
  if (doc.warp) subject.warp = doc.warp;
  return subject;
}

/** Returns the corrections by hand as a part of a request. @param {Subject} doc */
const adjustOf = ({ adjust }) => (corrects(adjust) ? { adjust } : {});

/** Returns the corrections of the background, and those of the whole picture, likewise. */
/** @type {[(doc: Doc) => Body, (doc: Doc) => Body]} */
const [backgroundOf, wholeOf] = [
  ({ adjustBackground }) => (corrects(adjustBackground) ? { adjust_background: adjustBackground } : {}),
  ({ adjustResult }) => (corrects(adjustResult) ? { adjust_result: adjustResult } : {}),
];

/** Returns how a subject lies over what is below it, likewise. @param {Subject} doc */
const layOf = (doc) => ({
  ...(doc.opacity === 1 ? {} : { opacity: doc.opacity }),
  ...(layerModeOf(doc) === "normal" ? {} : { mode: layerModeOf(doc) }),
});

/** Returns one name, or a list of names, in Python. @param {string[]} names */
const listed = (names) => (names.length === 1 ? python(names[0]) : `[${names.map(python).join(", ")}]`);

/** @type {Way} */
export const compose = {
  ...WAY,
  name: "compose",
  slots: [{ name: "subject", icon: "i-person" }, { name: "background", icon: "i-photo" }],
  samples: { subject: "astronaut.jpg", background: "rocket.jpg" },
  steps: [["cut", STEPS.cut], ["place", STEPS.place], ["match", STEPS.match], ["save", STEPS.save]],
  toMatch: TO_MATCH.compose,
  work: WORK.match,
  cuts: true,
  places: true,
  turns: true,
  layered: true,

  /** @param {string[]} methods */
  methods(methods) { return [...methods, "none"]; },

  settings(doc) { return { ...WAY.settings(doc), edge: true, plain: doc.strength === 0 }; },

  async begin(session) {
    // A photo with transparency is a cut-out already.
    if (session.isCut) {
      await session.cut(null);
      await session.go("place");
    } else {
      await session.go("cut");
    }
  },

  firstPlace({ box, moving, below }) { return standingPlace(box, moving, below); },

  async prepare(session) {
    await session.preview.lay();
    // Corrections of the whole picture are shown on the finished one.
    if (session.isOpen && corrects(session.doc.adjustResult) && session.isComplete) await session.preview.whole();
  },

  // What tells previews of the whole apart: the requests for the single subjects.
  previewBody(session, doc) {
    return { bodies: subjectsOf(doc).filter(isVisible).map((one) => this.resultBody(session, { ...doc, ...one })) };
  },

  async wholeBody(session, doc, options) { return { ...await this.fullBody(session, doc, options), preview: true }; },

  layersBody(session, doc, side) {
    const { people, below, pictures } = session;
    return {
      subject: subjectOf(session, doc), background: below.id, side, preview: true, ...adjustOf(doc),
      // That of other subjects below is composed on the corrected background.
      ...(below === pictures.background ? backgroundOf(doc) : {}),
      ...(people?.length ? { people: people.map((one) => one.mask.id), front: doc.front } : {}),
      harmonize: doc.method === "none" ? null : doc.method, shadow: shadowOf(doc),
      ...bodyOf(session.about.fields, doc.options, true),
    };
  },

  liveMode(doc) { return blendOf(doc); },

  liveBody({ doc, preview }, place) {
    const layers = preview.layersOf(doc);
    // A clean edge needs no blend, a reflection has none; another scale or angle needs other layers.
    if (blendOf(doc) === "alpha" || !layers || layers.reflection || !sameShape(place, layers.place)) return null;
    const { background, plain, matched, shadow } = layers;
    /** @param {import("../preview.js").Layer} layer */
    const at = ({ box }) => [box[0] + place.x - layers.place.x, box[1] + place.y - layers.place.y];
    return {
      side: layers.side, plain: plain.picture.id, matched: matched.picture.id, strength: doc.strength, at: at(plain),
      ...(background ? { base: background.picture.id } : {}),
      ...(shadow && doc.strength ? { shadow: shadow.picture.id, cast: at(shadow) } : {}),
    };
  },

  resultBody(session, doc) {
    return {
      subjects: [{ ...subjectOf(session, doc), behind: doc.front, ...adjustOf(doc), ...layOf(doc) }],
      background: /** @type {Picture} */ (session.pictures.background).id,
      people: (session.people ?? []).map((one) => one.mask.id), segment: doc.cutter,
      harmonize: doc.method === "none" ? null : doc.method, strength: doc.strength, blend: doc.blend,
      shadow: shadowOf(doc), ...bodyOf(session.about.fields, doc.options), ...backgroundOf(doc), ...wholeOf(doc),
      format: "png",
    };
  },

  isComplete({ doc, ready }) {
    const isActiveReady = Boolean(doc.isHidden || (doc.place && ready));
    const areOthersPlaced = doc.others.every(({ isHidden, place }) => isHidden || place);
    return isActiveReady && areOthersPlaced && subjectsOf(doc).some(isVisible);
  },

  fullBody(session, doc, options, renamed) {
    return session.subjects.body(subjectsOf(doc).filter(isVisible), options, renamed);
  },

  command({ names, read, layers }) {
    return {
      inputs: ["compose", ...names.subjects.map(filed), filed(read(names.background))],
      options: ["--recipe", "recipe.json", ...(layers ? ["--layers", filed(layers)] : [])],
    };
  },

  python({ names, read }) {
    return {
      name: "pyharmony.compose",
      values: [listed(names.subjects), read(names.background), 'recipe="recipe.json"'],
    };
  },
};
