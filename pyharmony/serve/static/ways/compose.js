// A person or object of one photo is composited into another: segmented, placed, matched in light.

import { filed, python } from "../code.js";
import { blendOf, isVisible, shadowOf, subjectsOf } from "../document.js";
import { bodyOf } from "../fields.js";
import { cornerOf, sameShape, standingPlace } from "../geometry.js";
import { STEPS, TO_MATCH, WORK } from "../strings.js";
import { WAY } from "./way.js";

/** @import { Picture } from "../api.js" */
/** @import { Subject } from "../document.js" */
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
const adjustOf = ({ adjust }) => (Object.keys(adjust).length ? { adjust } : {});

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

  async prepare(session) { await session.preview.lay(); },

  layersBody(session, doc, side) {
    const { people, below } = session;
    return {
      subject: subjectOf(session, doc), background: below.id, side, preview: true, ...adjustOf(doc),
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
    const { plain, matched, shadow } = layers;
    /** @param {import("../preview.js").Layer} layer */
    const at = ({ box }) => [box[0] + place.x - layers.place.x, box[1] + place.y - layers.place.y];
    return {
      side: layers.side, plain: plain.picture.id, matched: matched.picture.id, strength: doc.strength, at: at(plain),
      ...(shadow && doc.strength ? { shadow: shadow.picture.id, cast: at(shadow) } : {}),
    };
  },

  resultBody(session, doc) {
    return {
      subjects: [{ ...subjectOf(session, doc), behind: doc.front, ...adjustOf(doc) }],
      background: /** @type {Picture} */ (session.pictures.background).id,
      people: (session.people ?? []).map((one) => one.mask.id), segment: doc.cutter,
      harmonize: doc.method === "none" ? null : doc.method, strength: doc.strength, blend: doc.blend,
      shadow: shadowOf(doc), ...bodyOf(session.about.fields, doc.options), format: "png",
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
