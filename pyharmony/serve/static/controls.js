// Handles the events of the editor's controls. The document is shown in them by panel.js.

import * as adjusting from "./adjusting.js";
import { commandOf, pythonOf } from "./code.js";
import { UNMASKED, tipChange } from "./document.js";
import { $, all, button, fields, input, inputs, select } from "./dom.js";
import { changed, showShare } from "./fields.js";
import { clamp, isInside } from "./geometry.js";
import { fail, showMessage } from "./messages.js";
import * as panel from "./panel.js";
import { TEXTS } from "./strings.js";

/** @import { Editor } from "./editor.js" */
/** @import { Session } from "./session.js" */
/** @import { Stage } from "./stage.js" */
/** @import { StepName } from "./ways/way.js" */

/** The factor of the zoom buttons. */
const ZOOM = 1.25;
/** The distance by which keys and buttons move the view, in pixels of the screen. */
const PAN = 80;

/** Moves the view left, right, up or down. @type {(stage: Stage, by: string) => void} */
export function pan(stage, by) {
  const [x, y] = { left: [PAN, 0], right: [-PAN, 0], up: [0, PAN], down: [0, -PAN] }[by] ?? [0, 0];
  stage.pan(x, y);
}

/** Compares before and after, with the border at a share of the width, in percent. */
/** @type {(stage: Stage, share: number) => void} */
export function compareAt(stage, share) {
  input("divider").value = String(share);
  stage.compare(Number(input("divider").value) / 100);
}

/** Sets the width of the brush, in pixels of the image. @type {(stage: Stage, width: number) => void} */
export function setBrush(stage, width) {
  input("brush").value = String(width);
  stage.strokes.brush = Number(input("brush").value);
  panel.showBrush();
}

/** @param {Editor} editor */
export function listen(editor) {
  /** Adds an event handler that runs with the open session; a failure is shown. @type {On} */
  const on = (target, kind, run) => {
    const element = typeof target === "string" ? $(target) : target;
    element.addEventListener(kind, async (event) => {
      try {
        if (editor.session) await run(editor.session, event);
      } catch (error) {
        fail(error);
      }
    });
  };
  listenToTools(editor, on);
  listenToCut(editor, on);
  listenToPlace(on);
  listenToMatch(on);
  listenToSaving(editor, on);
  for (const one of all("[data-next]")) {
    on(one, "click", (session) => session.go(/** @type {StepName} */ (one.dataset.next)));
  }
}

/** @typedef {(target: string | HTMLElement, kind: string, run: (session: Session, event: any) => void) => void} On */

/** @type {(editor: Editor, on: On) => void} */
function listenToTools(editor, on) {
  const { stage, jobs } = editor;
  on("undo", "click", (session) => session.travel(-1));
  on("redo", "click", (session) => session.travel(1));
  on("compare", "click", () => editor.compare(!editor.isComparing));
  on("divider", "input", () => compareAt(stage, Number(input("divider").value)));
  on("cancel", "click", () => jobs.cancel());
  on("zoom-in", "click", () => stage.zoomTo(stage.view.zoom * ZOOM));
  on("zoom-out", "click", () => stage.zoomTo(stage.view.zoom / ZOOM));
  on("zoom-one", "click", () => editor.oneToOne());
  on("zoom-fit", "click", () => stage.fit());
  on("zoom-menu", "click", () => panel.openZoom($("zoom-menu").getAttribute("aria-expanded") !== "true"));
  for (const one of all("[data-pan]")) on(one, "click", () => pan(stage, one.dataset.pan ?? ""));
  on("sheet", "click", () => {
    const low = $("panel").classList.toggle("low");
    $("sheet").setAttribute("aria-expanded", String(!low));
  });
}

/** @type {(editor: Editor, on: On) => void} */
function listenToCut(editor, on) {
  const { stage } = editor;
  on("people", "click", ({ cutting }) => cutting.findPeople());
  on("start-over", "click", ({ cutting }) => cutting.startOver());
  on("swap", "click", (session) => editor.swap(session));
  on("save-cutout", "click", ({ result }) => result.saveCutout());
  for (const name of ["tools", "backdrops"]) on(name, "change", (session) => session.refresh());
  on("cutter", "change", ({ cutting }) => cutting.cutBy(select("cutter").value));
  on("brush", "input", () => setBrush(stage, Number(input("brush").value)));
  for (const id of ["load-mask", "load-limit"]) {
    on(id, "change", ({ cutting }, { target }) => {
      const [file] = target.files;
      target.value = "";
      if (file) cutting.loadMask(file);
    });
  }
  on("remove-limit", "click", (session) => session.commit(UNMASKED, TEXTS.maskRemoved));
  on("save-mask", "click", ({ result }, event) => {
    event.preventDefault();
    result.saveCutMask();
  });
  on("point", "submit", ({ moving, cutting }, event) => {
    event.preventDefault();
    const point = { x: Number(fields("point").x.value), y: Number(fields("point").y.value) };
    if (isInside(point, moving)) cutting.point(point.x + 0.5, point.y + 0.5, event.submitter?.value !== "-");
    else showMessage(TEXTS.photoSize(moving));
  });
}

/** @param {On} on */
function listenToPlace(on) {
  on("add-subject", "change", async ({ subjects }, { target }) => {
    const files = [...target.files];
    target.value = "";
    await subjects.addFiles(files);
  });
  on("add-same", "click", ({ subjects, moving }) => subjects.add(moving));
  on("flip", "click", ({ placing }) => placing.flip());
  on("behind", "click", ({ placing }) => placing.behind());
  for (const one of all("[data-nudge]")) {
    on(one, "click", ({ placing }, { shiftKey }) => placing.nudge(one.dataset.nudge ?? "", !shiftKey));
  }
  on("add-text", "click", ({ texts }) => texts.add());
  on("text", "submit", (_, event) => event.preventDefault());
  on("text", "change", ({ texts }) => texts.edit());
  on("text-string", "input", ({ texts }) => texts.type());
  on("snap", "click", ({ guides }) => guides.toggle());
  on("guide-x", "click", ({ guides }) => guides.add("x"));
  on("guide-y", "click", ({ guides }) => guides.add("y"));
  on("warp", "click", ({ warping }) => warping.toggle());
  on("warp-reset", "click", ({ warping }) => warping.put(null));
  on("warp-corner", "change", ({ warping }) => warping.show(true));
  on("warp-numbers", "submit", (_, event) => event.preventDefault());
  on("warp-numbers", "change", ({ warping }) => warping.type());
  for (const one of all("[data-warp]")) {
    on(one, "click", ({ warping }, { shiftKey }) => warping.nudge(one.dataset.warp ?? "", !shiftKey));
  }
  on("place", "submit", (_, event) => event.preventDefault());
  on("place", "change", (session, { target }) => {
    session.placing.typed(target.name, target.value);
    panel.showPlace(session, true);
  });
}

/** @param {On} on */
function listenToMatch(on) {
  for (const name of panel.SHARES) {
    const slider = input(name);
    // While it is dragged it is previewed; when it is released it becomes a change that can be undone.
    on(slider, "input", ({ history, scene }) => {
      panel.showShare(name);
      history.attempt({ [name]: Number(slider.value) / 100 });
      scene.showStrength();
    });
    on(slider, "change", (session) => (
      session.commit({ [name]: Number(slider.value) / 100 }, TEXTS.percent(Number(slider.value)))));
  }
  on("layer-mode", "change", (session) => session.commit({ layerMode: select("layer-mode").value }));
  on("adjust-of", "change", (session) => session.refresh(true));
  on("background-name", "click", ({ subjects }) => subjects.selectBackground());
  on("adjustments", "input", (session) => adjusting.preview(session));
  on("adjustments", "change", (session) => adjusting.change(session));
  on("adjust-reset", "click", (session) => adjusting.reset(session));
  on("fields", "input", (_, { target }) => { if (target.type === "range") showShare(target); });
  on("fields", "change", (session, { target }) => (
    session.commit({ options: changed(session.about.fields, session.doc.options, target) })));
  on("method", "change", (session) => session.commit({ method: select("method").value }));
  on("mode", "change", (session) => session.commit({ mode: select("mode").value }));
  on("colours", "change", (session) => session.commit({ colours: input("colours").checked }));
  for (const one of inputs("input[name=blend]")) {
    on(one, "change", (session) => session.commit({ blend: one.value }));
  }
  for (const one of inputs("input[name=shadow]")) {
    on(one, "change", (session) => session.commit({ shadow: one.value, ...(one.value === "on" ? {} : { tip: null }) }));
  }
  for (const one of all("[data-tip]")) {
    on(one, "click", ({ placing }, { shiftKey }) => placing.nudgeTip(one.dataset.tip ?? "", !shiftKey));
  }
  on("tip", "submit", (_, event) => event.preventDefault());
  on("tip", "change", (session, { target }) => {
    const { x, y, softness } = fields("tip");
    const tip = x.value === "" || y.value === "" ? null : { x: Number(x.value), y: Number(y.value) };
    const typed = softness.value === "" ? null : clamp(Number(softness.value), 0, 90);
    const change = target === softness ? { softness: typed, shadow: "on" } : tipChange(session.doc, tip);
    session.commit(change, TEXTS.shadowChanged);
    panel.showShadow(session, true);
  });
}

/** @type {(editor: Editor, on: On) => void} */
function listenToSaving(editor, on) {
  for (const one of inputs("input[name=crop]")) on(one, "change", ({ cropping }) => cropping.choose());
  on("crop-numbers", "submit", (_, event) => event.preventDefault());
  on("crop-numbers", "change", ({ cropping }, { target }) => cropping.type(target.name));
  for (const id of ["download", "save"]) on(button(id), "click", ({ result }) => result.save());
  on("save-recipe", "click", ({ result }) => result.saveRecipe());
  on("save-result-mask", "click", ({ result }) => result.saveMask());
  on("save-project", "click", () => editor.saveProject());
  on("copy-link", "click", () => editor.copyLink());
  on("copy-command", "click", ({ result }) => result.copy(commandOf));
  on("copy-python", "click", ({ result }) => result.copy(pythonOf));
}
