// Shows the document in the controls of the panel, whose events are handled in controls.js.

import * as adjusting from "./adjusting.js";
import { blendOf, corrects, softnessOf } from "./document.js";
import { $, all, button, buttonOf, chosen, elementOf, input, inputs, passFocus, select, write } from "./dom.js";
import { build as buildFields, show as showFields } from "./fields.js";
import { TIE, cornerOf, samePlace } from "./geometry.js";
import { announce } from "./messages.js";
import { BLENDS, CUTTERS, LAYER_MODES, METHODS } from "./names.js";
import { CUT, TEXTS } from "./strings.js";
import { MODES } from "./ways/blend.js";

/** @import { Session } from "./session.js" */
/** @import { StepName, Way } from "./ways/way.js" */

/** The buttons that save or copy the result. */
const SAVING = ["download", "save", "save-recipe", "save-result-mask", "copy-command", "copy-python"];

/** The sliders of shares. */
export const SHARES = /** @type {const} */ (["strength", "opacity"]);

/** Shows the steps of a way and its choices; go is called with a chosen step. */
/** @type {(way: Way, about: import("./requests.js").About, go: (step: StepName) => void) => void} */
export function begin(way, about, go) {
  $("steps").replaceChildren(...way.steps.map(([step, title]) => {
    const one = buttonOf(title, () => go(step));
    one.dataset.to = step;
    return elementOf("li", {}, one);
  }));
  $("steps").hidden = way.steps.length < 2;
  $("to-match").textContent = way.toMatch;
  const texts = cutTextsOf(way);
  $("t-cut").textContent = texts.title;
  Object.assign($("to-place"), { textContent: texts.next }).dataset.next = way.steps[1]?.[0] ?? "save";
  const methods = way.methods(about.methods).map((name) => new Option(METHODS[name] ?? name, name));
  const others = methods.filter(({ value }) => !["auto", "none"].includes(value));
  $("method").replaceChildren(
    ...methods.filter((one) => !others.includes(one)), elementOf("optgroup", { label: TEXTS.otherMethods }, ...others));
  $("cutter").replaceChildren(...about.segment_methods.map(({ name }) => new Option(CUTTERS[name]?.[0] ?? name, name)));
  buildFields(about.fields);
  adjusting.build();
  $("mode").replaceChildren(...Object.keys(MODES).map((name) => new Option(BLENDS[name], name)));
  $("layer-mode").replaceChildren(...Object.entries(LAYER_MODES).map(([name, text]) => new Option(text, name)));
}

/** Returns the texts of the step of segmentation. @param {Way} way */
const cutTextsOf = ({ name }) => CUT[name] ?? CUT.compose;

/** Clears the contents of the closed session. */
export function end() {
  $("found-people").hidden = true;
  $("code").hidden = true;
  for (const id of ["places", "changes", "place-note", "match-note", "changes-note"]) $(id).replaceChildren();
  allowSaving(false);
}

/** Shows or hides the buttons that move the view, which have to be opened on phones. @param {boolean} isOpen */
export function openZoom(isOpen) {
  $("zoom-menu").setAttribute("aria-expanded", String(isOpen));
  $("zoom").classList.toggle("open", isOpen);
  $("pan").classList.toggle("open", isOpen);
}

/** Fits the range of the brush to the size of a photo. @param {import("./geometry.js").Size} photo */
export function fitBrush({ width, height }) {
  input("brush").max = String(Math.max(200, Math.round(Math.max(width, height) / 6)));
}

/** @param {StepName} step */
function showSection(step) {
  for (const section of all("[data-step]")) section.hidden = section.dataset.step !== step;
}

/** Writes the address of a step; isNew: it is a place to go back to. */
/** @type {(way: Way, step: StepName, isNew?: boolean) => void} */
export function writeAddress(way, step, isNew = false) {
  history[isNew ? "pushState" : "replaceState"]({ step }, "", `#${way.name}/${step}`);
}

/** @type {(way: Way, step: StepName) => void} */
export function showStep(way, step) {
  const isShown = !$(`t-${step}`).closest("section")?.hidden;
  showSection(step);
  if (!isShown) $("code").hidden = true;
  for (const one of all("[data-to]")) {
    if (one.dataset.to === step) one.setAttribute("aria-current", "step");
    else one.removeAttribute("aria-current");
  }
  $("panel-body").scrollTop = 0;
  // Each step is a place to go back to.
  writeAddress(way, step, history.state?.step !== step);
  if (!isShown || !$("panel").contains(document.activeElement)) $(`t-${step}`).focus({ preventScroll: true });
  const title = way.steps.find(([name]) => name === step)?.[1] ?? "";
  document.title = TEXTS.title(title);
  announce(TEXTS.step(title));
}

/** Shows whether before and after are compared. @param {boolean} on */
export function showComparing(on) {
  $("compare").setAttribute("aria-pressed", String(on));
  $("divider").hidden = $("sides").hidden = !on;
}

/** Shows the document in all controls. @param {Session} session */
export function show(session) {
  const { history } = session;
  const [undo, redo] = [button("undo"), button("redo")];
  // Some browsers take the focus from a button as soon as it is disabled.
  undo.disabled = redo.disabled = false;
  if (!history.canUndo) passFocus(undo, redo);
  else if (!history.canRedo) passFocus(redo, undo);
  undo.disabled = !history.canUndo;
  redo.disabled = !history.canRedo;
  allowSaving(session.isComplete);
  session.subjects.show();
  showCut(session);
  showPlace(session);
  showMatch(session);
  showShadow(session);
  showHint(session);
  const tool = /** @type {keyof typeof TEXTS.cutKeys} */ (chosen("tool"));
  const { step } = session;
  const placeKeys = step === "save" ? TEXTS.saveKeys : TEXTS.placeKeys;
  $("stage-help").textContent = `${step === "cut" ? TEXTS.cutKeys[tool] : placeKeys} ${TEXTS.projectKey}`;
}

/** Enables saving if the document is complete. @param {boolean} isComplete */
function allowSaving(isComplete) {
  for (const id of SAVING) button(id).disabled = !isComplete;
}

/** @param {Session} session */
function showCut({ doc, about, ready, way }) {
  $("swap").hidden = !way.cuts || !way.places || doc.mask !== null || doc.others.length > 0;
  select("cutter").value = doc.cutter;
  $("cutter-note").textContent = CUTTERS[doc.cutter]?.[1]
    ?? about.segment_methods.find(({ name }) => name === doc.cutter)?.about ?? "";
  button("to-place").disabled = !ready;
  $("save-mask").hidden = $("save-cutout").hidden = !doc.mask;
  if (doc.mask) Object.assign($("save-mask"), { href: `${doc.mask.file_url}?name=mask.png` });
  $("brush-field").hidden = !["paint", "edge"].includes(chosen("tool"));
  for (const name of ["edge", "lasso"]) $(`${name}-note`).hidden = chosen("tool") !== name;
  // What is seen through an edge is neither added nor removed.
  $("signs").hidden = !$("edge-note").hidden;
  showBrush();
}

export function showBrush() {
  $("brush-out").textContent = TEXTS.pixels(Number(input("brush").value));
}

/** Shows the place; isComplete: a number was typed and entered. */
/** @type {(session: Session, isComplete?: boolean) => void} */
export function showPlace({ doc, ready, moving, suggestions }, isComplete = false) {
  if (doc.place && ready) {
    const [x, y] = cornerOf(doc.place, moving);
    write("place", {
      x: Math.round(x + TIE), y: Math.round(y + TIE),
      scale: Math.round(doc.place.scale * 1000) / 10, angle: Math.round(doc.place.angle * 10) / 10,
    }, isComplete);
  }
  $("flip").setAttribute("aria-pressed", String(Boolean(doc.place?.flip)));
  $("behind").setAttribute("aria-pressed", String(doc.front.length > 0));
  for (const thumb of all(".thumb")) {
    const place = suggestions.places?.[Number(thumb.dataset.number)]?.place;
    thumb.setAttribute("aria-pressed", String(Boolean(place && doc.place && samePlace(place, doc.place))));
  }
}

/** @param {Session} session */
function showMatch(session) {
  const { doc, way, step, about } = session;
  const has = way.settings(doc);
  button("compare").disabled = step === "cut" || !has.compare;
  for (const name of SHARES) {
    input(name).value = String(Math.round(doc[name] * 100));
    showShare(name);
  }
  showFields(about.fields, doc.options);
  adjusting.show(session);
  select("method").value = doc.method;
  select("mode").value = doc.mode;
  input("colours").checked = doc.colours;
  for (const one of inputs("input[name=blend]")) one.checked = one.value === doc.blend;
  all(".strength")[0].hidden = !has.strength;
  $("method-field").hidden = !has.method;
  $("blend-field").hidden = !has.edge;
  $("save-result-mask").hidden = !has.mask;
  select("layer-mode").value = doc.layerMode;
  select("layer-mode").disabled = blendOf(doc) !== "alpha";
  $("layer-mode-note").hidden = !select("layer-mode").disabled;
  const plain = corrects(doc.adjust) ? TEXTS.plainAdjusted : TEXTS.plain;
  $("plain-note").textContent = has.plain ? plain : "";
  $("crop-numbers").hidden = doc.crop === null;
}

/** Writes the share next to its slider. @param {string} name */
export function showShare(name) {
  $(`${name}-out`).textContent = TEXTS.share(input(name).value);
}

/** @type {(session: Session, isComplete?: boolean) => void} */
export function showShadow({ doc, preview: { layers }, placing }, isComplete = false) {
  for (const one of inputs("input[name=shadow]")) one.checked = one.value === doc.shadow;
  $("tip").hidden = $("tip-pad").hidden = doc.shadow === "off" || (doc.shadow === "auto" && !layers?.tip);
  const { tip } = placing;
  const [x, y] = tip ? [Math.round(tip.x), Math.round(tip.y)] : ["", ""];
  write("tip", { x, y, softness: softnessOf(doc) }, isComplete);
}

/** Shows a hint on the next action on the canvas, if it is not obvious. @param {Session} session */
export function showHint({ doc, step, stage, way }) {
  const line = stage.strokes.anchor ? TEXTS.lineEnds : "";
  $("hint").textContent = step === "cut" ? line || (doc.mask ? "" : cutTextsOf(way).hint) : "";
}
