// Something is taken away from a photograph, and what is around it continues in its place.

import { filed, python } from "../code.js";
import { showMessage } from "../messages.js";
import { STEPS, WORK, plainly } from "../strings.js";
import { WAY } from "./way.js";

/** @import { Doc } from "../document.js" */
/** @import { Session } from "../session.js" */
/** @import { Body, Pictures, Way } from "./way.js" */

/** @type {(session: Session, doc: Doc) => Body} */
function wholeBody({ pictures }, { mask }) {
  const { background } = /** @type {Required<Pictures>} */ (pictures);
  return { image: background.id, mask: mask?.id };
}

/** @type {Way} */
export const remove = {
  ...WAY,
  name: "remove",
  slots: [{ name: "background", icon: "i-photo" }],
  samples: { background: "reading.jpg" },
  steps: [["cut", STEPS.select], ["save", STEPS.save]],
  work: WORK.remove,
  cuts: true,

  // What is taken away is segmented in the photograph itself.
  first({ background }) { return { photo: background }; },

  async begin(session) { await session.go("cut"); },

  isComplete({ ready, preview }) { return ready && Boolean(preview.shown); },

  show(session) {
    session.stage.mark([], null);
    session.scene.showWhole();
  },

  shown(_, { info }) {
    info.warnings.forEach((/** @type {string} */ text, /** @type {number} */ i) => (
      showMessage(`${plainly(text, info.warning_codes[i])}.`)));
  },

  async prepare(session) { if (session.doc.mask) await session.preview.whole(); },

  resultBody(session, doc) { return { ...wholeBody(session, doc), format: "png" }; },

  previewBody(session, doc) { return { ...wholeBody(session, doc), preview: true }; },

  command({ names, read }) {
    return { inputs: ["remove", filed(read(names.background))], options: ["--mask", filed(names.mask)] };
  },

  python({ names, read }) {
    return { name: "pyharmony.remove", values: [read(names.background), python(names.mask)] };
  },
};
