// The keyboard of the editor: undo, redo and the project everywhere, and on the canvas all actions of dragging.

import { $, input } from "./dom.js";
import { compareAt, pan, setBrush } from "./controls.js";
import { adds, tool } from "./cutting.js";
import { fail } from "./messages.js";

/** @import { Editor } from "./editor.js" */
/** @import { Session } from "./session.js" */
/** @typedef {() => void} Run */
/** @typedef {[number, number, "left" | "right" | "up" | "down"]} Arrow */

/** @type {Record<string, Arrow>} */
const ARROWS = {
  arrowleft: [-1, 0, "left"], arrowright: [1, 0, "right"], arrowup: [0, -1, "up"], arrowdown: [0, 1, "down"],
};
/** The steps by which an arrow key moves the cross, small and large, in pixels of the screen. */
const CROSS = [8, 40];
/** The steps by which it moves the border of before and after, in percent of the image. */
const BORDER = [2, 10];
/** The factor by which a key changes the width of the brush. */
const BRUSH = 1.2;
/** The kinds of inputs without text. */
const UNTYPED = ["radio", "checkbox", "range", "file"];

/** @param {EventTarget | null} target */
export function isTypedIn(target) {
  const { tagName, type } = /** @type {HTMLInputElement} */ (target);
  return /^(INPUT|SELECT|TEXTAREA)$/.test(tagName) && !UNTYPED.includes(type);
}

/** @param {Editor} editor */
export function listen(editor) {
  document.addEventListener("keydown", (event) => {
    const { session } = editor;
    if (!session || /** @type {HTMLDialogElement} */ ($("token")).open) return;
    const run = event.key === "Escape" ? leaving(editor)
      : saving(editor, event) ?? undoing(session, event) ?? onPicture(editor, session, event);
    if (!run) return;
    if (event.key !== "Escape") event.preventDefault();
    run();
  });
}

/** Returns the action of Escape: it cancels a stroke, a job, or the comparison of before and after. */
/** @type {(editor: Editor) => Run | null} */
function leaving(editor) {
  if (editor.stage.strokes.isBegun) return () => editor.stage.strokes.leave();
  if (editor.jobs.newest) return () => editor.jobs.cancel();
  return editor.isComparing ? () => editor.compare(false) : null;
}

/** @type {(editor: Editor, event: KeyboardEvent) => Run | null} */
function saving(editor, { key, ctrlKey, metaKey, altKey, shiftKey }) {
  if (key.toLowerCase() !== "s" || !(ctrlKey || metaKey) || altKey || shiftKey) return null;
  return () => { editor.saveProject().catch(fail); };
}

/** @type {(session: Session, event: KeyboardEvent) => Run | null} */
function undoing(session, event) {
  const name = event.key.toLowerCase();
  if (!(event.ctrlKey || event.metaKey) || isTypedIn(event.target) || !["z", "y"].includes(name)) return null;
  return () => session.travel(name === "y" || event.shiftKey ? 1 : -1);
}

/** Returns the action of a key on the canvas. */
/** @type {(editor: Editor, session: Session, event: KeyboardEvent) => Run | null} */
function onPicture(editor, session, event) {
  const { stage } = editor;
  if (event.target !== stage.element) return null;
  const arrow = ARROWS[event.key.toLowerCase()];
  if (event.ctrlKey || event.metaKey || event.altKey) return arrow ? () => pan(stage, arrow[2]) : null;
  const own = session.step === "cut" ? inCut(session, event, arrow) : inPlace(editor, session, event, arrow);
  if (own) return own;
  return { 0: () => stage.fit(), 1: () => { editor.oneToOne(); } }[event.key] ?? null;
}

/** Returns the action of a key during segmentation. */
/** @type {(session: Session, event: KeyboardEvent, arrow: Arrow | undefined) => Run | null} */
function inCut({ stage, cutting }, { key, shiftKey: far }, arrow) {
  if (arrow) {
    const step = CROSS[Number(far)];
    return () => { stage.strokes.moveCross(arrow[0] * step, arrow[1] * step); };
  }
  if (key === "Enter" && tool() !== "click") return () => stage.strokes.strokeAtCross(far);
  if (key === "Enter") {
    return () => {
      const { x, y } = stage.strokes.moveCross(0, 0);
      cutting.point(x, y, !far && adds());
    };
  }
  if (key !== "[" && key !== "]") return null;
  return () => setBrush(stage, Number(input("brush").value) * (key === "]" ? BRUSH : 1 / BRUSH));
}

/** Returns the action of a key on the placed subject, which stays where it is while the image is saved. */
/** @type {(editor: Editor, session: Session, event: KeyboardEvent, arrow: Arrow | undefined) => Run | null} */
function inPlace(editor, { placing, step }, { key, shiftKey: far }, arrow) {
  if (arrow && arrow[0] && editor.isComparing) {
    return () => compareAt(editor.stage, Number(input("divider").value) + arrow[0] * BORDER[Number(far)]);
  }
  if (step === "save") {
    if (arrow) return () => pan(editor.stage, arrow[2]);
    return key === " " ? () => editor.compare(!editor.isComparing) : null;
  }
  if (arrow) return () => placing.nudge(arrow[2], far);
  /** @type {Record<string, Run>} */
  const keys = {
    "+": () => placing.nudge("larger", far), "=": () => placing.nudge("larger"),
    "-": () => placing.nudge("smaller"), _: () => placing.nudge("smaller", true),
    ",": () => placing.nudge("ccw"), "<": () => placing.nudge("ccw", true),
    ".": () => placing.nudge("cw"), ">": () => placing.nudge("cw", true),
    f: () => placing.flip(), b: () => { placing.behind().catch(fail); }, " ": () => editor.compare(!editor.isComparing),
  };
  return keys[key.toLowerCase()] ?? null;
}
