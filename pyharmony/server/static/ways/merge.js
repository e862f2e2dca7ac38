// Photos of one scene, each with other people, are merged into one with all of them.

import * as api from "../api.js";
import { filed } from "../code.js";
import { showSection } from "../panel.js";
import { STEPS, WORK } from "../strings.js";
import { Way } from "./way.js";

/** @import { Picture } from "../api.js" */
/** @import { Doc } from "../document.js" */
/** @import { Session } from "../session.js" */
/** @import { Slot, StepName, Writing } from "./way.js" */

class Merge extends Way {
  name = "merge";
  /** @type {Slot[]} */
  slots = [{ name: "photos", icon: "i-photo", many: true }];
  /** @type {[StepName, string][]} */
  steps = [["save", STEPS.save]];
  work = WORK.match;

  /** @param {Doc} doc */
  settings(doc) { return { ...super.settings(doc), mask: false, compare: false }; }

  /** @param {Session} session */
  async begin(session) {
    session.step = "save";
    showSection("save");
    const { picture } = await session.result.make();
    const image = await api.image(picture.proxy_url);
    session.preview.shown = { key: "", image };
    session.stage.setMode("view");
    session.stage.show(image, picture.width, picture.height);
    session.refresh();
  }

  /** @param {Session} session */
  isComplete({ preview }) { return Boolean(preview.shown); }

  /** A merged image is not redrawn. */
  show() {}

  async prepare() {}

  /** @param {Session} session */
  resultBody({ pictures }) {
    return { photos: /** @type {Picture[]} */ (pictures.photos).map((photo) => photo.id), format: "png" };
  }

  /** @param {Writing} writing */
  command({ names, read }) {
    return { inputs: ["merge", ...names.photos.map(read).map(filed)], options: [] };
  }

  /** @param {Writing} writing */
  python({ names, read }) {
    return { name: "pyharmony.merge", values: [`[${names.photos.map(read).join(", ")}]`] };
  }
}

export const merge = new Merge();
