// Photos of one scene, each with other people, are merged into one with all of them.

import * as api from "../api.js";
import { filed } from "../code.js";
import { showMessage } from "../messages.js";
import { showStep } from "../panel.js";
import { STEPS, WORK, plainly } from "../strings.js";
import { WAY } from "./way.js";

/** @import { Picture } from "../api.js" */
/** @import { Way } from "./way.js" */

/** @type {Way} */
export const merge = {
  ...WAY,
  name: "merge",
  slots: [{ name: "photos", icon: "i-photo", many: true }],
  samples: { subject: "reading.jpg", background: "leaving.jpg" },
  steps: [["save", STEPS.save]],
  work: WORK.match,

  async fromSamples({ subject, background }) {
    return { photos: /** @type {Picture[]} */ ([subject, background]) };
  },

  settings(doc) { return { ...WAY.settings(doc), mask: false, compare: false }; },

  async begin(session) {
    session.step = "save";
    showStep(this, "save");
    session.stage.setMode("view");
    const photos = /** @type {Picture[]} */ (session.pictures.photos);
    const [first] = photos;
    session.stage.show(await api.image(first.proxy_url), first.width, first.height);
    const { picture, warnings } = await session.result.make();
    const image = await api.image(picture.proxy_url);
    session.preview.shown = { key: "", image };
    session.stage.show(image, picture.width, picture.height);
    session.refresh();
    if (warnings.length) {
      /** @param {string} text */
      const named = (text) => plainly(text).replace(
        /photos\[(\d+)\]/gi, (_, i) => photos[i].name ?? `photo ${Number(i) + 1}`);
      showMessage(warnings.map(named).join(". "), { error: true, topic: "photos" });
    }
  },

  isComplete({ preview }) { return Boolean(preview.shown); },

  /** A merged image is not redrawn. */
  show() {},

  async prepare() {},

  resultBody({ pictures }) {
    return { photos: /** @type {Picture[]} */ (pictures.photos).map((photo) => photo.id), format: "png" };
  },

  command({ names, read }) {
    return { inputs: ["merge", ...names.photos.map(read).map(filed)], options: [] };
  },

  python({ names, read }) {
    return { name: "pyharmony.merge", values: [`[${names.photos.map(read).join(", ")}]`] };
  },
};
