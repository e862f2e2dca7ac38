// The part of a source under a mask is blended into a destination, without a seam.

import { ServiceError } from "../api.js";
import { filed, number, python } from "../code.js";
import { cornerOf, middlePlace } from "../geometry.js";
import { TO_MATCH } from "../names.js";
import { STEPS, TEXTS, WORK } from "../strings.js";
import { WAY } from "./way.js";

/** @import { Picture } from "../api.js" */
/** @import { Doc } from "../document.js" */
/** @import { Place } from "../geometry.js" */
/** @import { Session } from "../session.js" */
/** @import { Body, Pictures, Way } from "./way.js" */

/** The blends of masks, by their names on the page: the body of the request, and the live blend. */
/** @type {Record<string, { body: Body, live: string }>} */
export const MODES = {
  "gaussian-poisson": { body: { mode: "gaussian-poisson" }, live: "gaussian-poisson" },
  poisson: { body: { mode: "poisson" }, live: "poisson" },
  mixed: { body: { mode: "poisson", gradients: "mixed" }, live: "poisson" },
  laplacian: { body: { mode: "laplacian" }, live: "laplacian" },
  alpha: { body: { mode: "alpha" }, live: "alpha" },
};

/** @type {(session: Session, doc: Doc) => Body} */
function wholeBody({ pictures, moving }, doc) {
  const { source, background, mask } = /** @type {Required<Pictures>} */ (pictures);
  const place = /** @type {Place} */ (doc.place);
  return {
    src: source.id, dst: background.id, mask: mask.id, at: cornerOf(place, moving), ...MODES[doc.mode].body,
    ...(place.scale === 1 ? {} : { scale: place.scale }),
    ...(doc.colours ? { harmonize: "auto", strength: doc.strength } : {}),
  };
}

/** @type {Way} */
export const blend = {
  ...WAY,
  name: "blend",
  slots: [
    { name: "source", icon: "i-person" }, { name: "mask", icon: "i-mask" }, { name: "background", icon: "i-photo" },
  ],
  samples: { source: "cat.png", background: "coffee.jpg", mask: "cat_mask.png" },
  sampleAt: [208, 113],  // in the crema
  steps: [["place", STEPS.place], ["match", STEPS.blend], ["save", STEPS.save]],
  toMatch: TO_MATCH.blend,
  work: WORK.blend,
  places: true,

  first({ mask }) { return { mask }; },

  settings(doc) { return { ...WAY.settings(doc), strength: doc.colours, method: false }; },

  async begin(session) {
    await session.cut(session.doc.mask);
    if (!session.ready) throw new ServiceError(TEXTS.maskEmpty);
    session.history.amend({ place: this.firstPlace(session) });
    await session.go("place");
  },

  firstPlace({ box, moving, below }) { return middlePlace(box, moving, below); },

  liveMode(doc) { return MODES[doc.mode].live; },

  liveBody({ doc, moving, side }, place) {
    const { gradients } = MODES[doc.mode].body;
    return {
      side, source: moving.id, mask: /** @type {Picture} */ (doc.mask).id, scale: place.scale,
      at: cornerOf(place, moving), ...(gradients ? { gradients } : {}),
    };
  },

  resultBody(session, doc) { return { ...wholeBody(session, doc), format: "png", save_mask: true }; },

  previewBody(session, doc) { return { ...wholeBody(session, doc), preview: true }; },

  command({ names, body, read }) {
    return {
      inputs: ["blend", filed(names.source), filed(read(names.background)), filed(names.mask)],
      options: [
        "--mode", body.mode, "--at", body.at.map(number).join(","),
        ...(body.scale === 1 ? [] : ["--scale", number(body.scale)]),
        ...(body.gradients ? ["--gradients", body.gradients] : []),
        ...(body.harmonize ? ["--harmonize", body.harmonize, "--strength", number(body.strength)] : []),
      ],
    };
  },

  python({ names, body, read, bits }) {
    const call = `pyharmony.blend.${body.mode.replaceAll("-", "_")}`;
    const images = [python(names.source), read(names.background), python(names.mask)];
    const at = [`at=(${body.at.map(number).join(", ")})`, `scale=${number(body.scale)}`];
    const gradients = body.gradients ? [`gradients=${python(body.gradients)}`] : [];
    if (!body.harmonize) return { name: call, values: [...images, ...at, ...gradients] };
    const mask = `pyharmony.blend.placed_mask(${["*images", ...at].join(", ")})`;
    return {
      before: [
        `images = ${images.join(", ")}`,
        `blended = ${call}(${["*images", ...at, ...gradients].join(", ")})`,
        `mask = ${bits ? `in_bits(${mask}, np.uint8)` : mask}`,
      ],
      name: "pyharmony.harmonize", values: ["blended", "mask", `strength=${number(body.strength)}`],
    };
  },
};
