// What an AI edit changed goes back into its photograph; every other pixel stays as it was.

import { filed, python } from "../code.js";
import { $, elementOf, inputs, passFocus } from "../dom.js";
import { STEPS, TEXTS, WORK } from "../strings.js";
import { WAY } from "./way.js";

/** @import { Doc } from "../document.js" */
/** @import { Session } from "../session.js" */
/** @import { Body, Pictures, Way } from "./way.js" */

/** @type {(session: Session, doc: Doc) => Body} */
function wholeBody({ pictures }, { changes, mask }) {
  const { background, edited } = /** @type {Required<Pictures>} */ (pictures);
  const limits = { ...(mask && { mask: mask.id }), ...(changes && { changes }) };
  return { original: background.id, edited: [edited.id], ...limits };
}

/** The events after which another change may be pointed at; a touch is told by some browsers as those of a mouse. */
const POINTING = ["pointerenter", "pointerleave", "mouseenter", "mouseleave", "focusin", "focusout"];

/** Returns whether a change is applied. @type {(doc: Doc, number: number) => boolean} */
const isTaken = ({ changes }, number) => changes === null || changes.includes(number);

/** Returns the row of a change, with a box to leave it out. */
/** @type {(session: Session, change: any, number: number, count: number) => HTMLElement} */
function choiceOf(session, { box, share }, number, count) {
  const field = elementOf("input", { type: "checkbox", checked: isTaken(session.doc, number) });
  field.addEventListener("change", () => {
    const before = session.doc.changes ?? [...Array(count).keys()];
    const after = field.checked ? [...before, number].sort((a, b) => a - b) : before.filter((one) => one !== number);
    session.commit({ changes: after.length === count ? null : after }, TEXTS.changeChosen(number, field.checked));
  });
  const row = elementOf("label", { className: "check" }, field, TEXTS.change(number, share));
  row.dataset.box = JSON.stringify(box);
  for (const kind of POINTING) row.addEventListener(kind, () => outlinePointed(session));
  return row;
}

/** Outlines the change on the canvas whose row is under the pointer or has the focus. @param {Session} session */
function outlinePointed({ stage }) {
  const rows = /** @type {HTMLElement[]} */ ([...$("changes").children]);
  const row = rows.find((one) => one.matches(":hover")) ?? rows.find((one) => one.matches(":focus-within"));
  stage.outline.show(row?.dataset.box ? JSON.parse(row.dataset.box) : null, row && rows.indexOf(row));
}

/** @type {Way} */
export const edit = {
  ...WAY,
  name: "apply-edit",
  slots: [{ name: "background", icon: "i-photo" }, { name: "edited", icon: "i-photo" }],
  samples: { background: "desk.jpg", edited: "desk_edit.jpg" },
  steps: [["changes", STEPS.changes], ["save", STEPS.save]],
  work: WORK.edit,

  settings(doc) { return { ...WAY.settings(doc), strength: false, method: false }; },

  async begin(session) { await session.go("changes"); },

  isComplete({ preview }) { return Boolean(preview.shown); },

  show(session) {
    session.scene.showWhole();
    inputs("#changes input").forEach((one, i) => { one.checked = isTaken(session.doc, i); });
    const { mask } = session.doc;
    if (!mask) passFocus($("remove-limit"), $("load-limit"));
    $("remove-limit").hidden = !mask;
    if (session.step !== "changes") session.stage.outline.show(null);
  },

  shown(session, { info }) {
    const changes = /** @type {any[]} */ (info.edits[0].changes);
    const rows = changes.map((change, i) => choiceOf(session, change, i, changes.length));
    const before = /** @type {HTMLElement[]} */ ([...$("changes").children]);
    // Rows that stay the same keep the focus.
    if (String(rows.map(({ dataset }) => dataset.box)) === String(before.map(({ dataset }) => dataset.box))) return;
    $("changes").replaceChildren(...rows);
    outlinePointed(session);
  },

  resultBody(session, doc) { return { ...wholeBody(session, doc), format: "png" }; },

  previewBody(session, doc) { return { ...wholeBody(session, doc), preview: true }; },

  command({ names, body, read }) {
    return {
      inputs: ["apply-edit", filed(read(names.background)), filed(names.edited)],
      options: [
        ...(body.mask ? ["--mask", filed(names.mask)] : []),
        ...(body.changes ? ["--changes", body.changes.join(",") || "none"] : []),
      ],
    };
  },

  python({ names, body, read }) {
    const limits = [
      ...(body.mask ? [python(names.mask)] : []), ...(body.changes ? [`changes=[${body.changes.join(", ")}]`] : []),
    ];
    return { name: "pyharmony.apply_edit", values: [read(names.background), python(names.edited), ...limits] };
  },
};
