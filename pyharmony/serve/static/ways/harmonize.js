// The light and colour of the object in an existing composite are matched to the rest.

import * as api from "../api.js";
import { filed, number, python } from "../code.js";
import { STEPS, WORK } from "../strings.js";
import { blend } from "./blend.js";
import { WAY } from "./way.js";

/** @import { Doc } from "../document.js" */
/** @import { Session } from "../session.js" */
/** @import { Body, Pictures, Way } from "./way.js" */

/** @type {(session: Session, doc: Doc) => Body} */
function wholeBody({ pictures }, doc) {
  const { composite, mask } = /** @type {Required<Pictures>} */ (pictures);
  return { image: composite.id, mask: mask.id, method: doc.method };
}

/** @type {Way} */
export const harmonize = {
  ...WAY,
  name: "harmonize",
  slots: [{ name: "composite", icon: "i-photo" }, { name: "mask", icon: "i-mask" }],
  samples: blend.samples,
  steps: [["match", STEPS.match], ["save", STEPS.save]],
  work: WORK.match,

  async fromSamples(samples) {
    const { source, background, mask } = /** @type {Required<Pictures>} */ (samples);
    const ids = { src: source.id, dst: background.id, mask: mask.id };
    const { result } = await api.run("blend", { ...ids, at: blend.sampleAt, mode: "alpha", save_mask: true });
    return { composite: { ...result.picture, name: "composite.png" }, mask: { ...result.mask, name: "mask.png" } };
  },

  isComplete() { return true; },

  show(session) { session.scene.showWhole(); },

  resultBody(session, doc) { return { ...wholeBody(session, doc), strength: doc.strength, format: "png" }; },

  // Returns the body of a preview at full strength: the page mixes it with the image before.
  previewBody(session, doc) { return { ...wholeBody(session, doc), preview: true }; },

  command({ names, body, read }) {
    return {
      inputs: ["harmonize", filed(read(names.composite)), filed(names.mask)],
      options: ["--method", body.method, ...(body.strength === 1 ? [] : ["--strength", number(body.strength)])],
    };
  },

  python({ names, body, read }) {
    return {
      name: "pyharmony.harmonize",
      values: [
        read(names.composite), python(names.mask), `method=${python(body.method)}`, `strength=${number(body.strength)}`,
      ],
    };
  },
};
