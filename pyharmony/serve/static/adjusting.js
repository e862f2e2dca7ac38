// Corrections by hand, by sliders and a tone curve: of the active subject on top of the match, of the background, or of
// the whole picture.

import { CurveEditor, STRAIGHT, isStraight } from "./curve.js";
import { corrects } from "./document.js";
import { $, all, chosen, elementOf, input, inputs, passFocus } from "./dom.js";
import { ADJUSTMENTS } from "./names.js";
import { TEXTS } from "./strings.js";

/** @import { Session } from "./session.js" */
/**
 * A correction: its range and its default on the slider, and the factor from the slider to the service; ofSubject: only
 * a subject has it.
 *
 * @typedef {{ name: string, low: number, high: number, initial: number, factor: number, unit: string,
 *   ofSubject?: boolean }} Adjustment
 */
/** @typedef {"adjust" | "adjustBackground" | "adjustResult"} Aim the field of the document that is changed */

/** @type {Adjustment[]} */
const EVERY = [
  { name: "exposure", low: -200, high: 200, initial: 0, factor: 0.01, unit: "" },
  { name: "temperature", low: -150, high: 150, initial: 0, factor: 1, unit: "" },
  { name: "contrast", low: -100, high: 100, initial: 0, factor: 0.01, unit: "%" },
  { name: "saturation", low: 0, high: 200, initial: 100, factor: 0.01, unit: "%" },
  { name: "edge", low: -30, high: 30, initial: 0, factor: 1, unit: "px", ofSubject: true },
  { name: "feather", low: 0, high: 50, initial: 0, factor: 1, unit: "px", ofSubject: true },
];

/** @type {CurveEditor} */
let curve;

/** @param {string} name */
const idOf = (name) => `adjust-${name}`;

/** Returns what is corrected. */
export const aim = () => /** @type {Aim} */ (chosen("adjusts"));

/** The corrections that it has. */
const adjustments = () => EVERY.filter(({ ofSubject }) => !ofSubject || aim() === "adjust");

/** Returns the corrections of the controls; those that change nothing are left out. */
function chosenCorrections() {
  const changed = adjustments().map((one) => ({ ...one, value: Number(input(idOf(one.name)).value) }))
    .filter(({ value, initial }) => value !== initial);
  return {
    ...Object.fromEntries(changed.map(({ name, value, factor }) => [name, Number((value * factor).toFixed(2))])),
    ...(isStraight(curve.points) ? {} : { curve: curve.points }),
  };
}

/** @param {Adjustment} adjustment */
function writeValue({ name, initial, unit, factor }) {
  const value = Number(input(idOf(name)).value);
  const text = name === "exposure" ? TEXTS.stops(value * factor) : `${value} ${unit}`.trim();
  $(`${idOf(name)}-out`).textContent = value > 0 && initial === 0 && name !== "exposure" ? `+${text}` : text;
}

/** @param {Aim} to */
function setAim(to) { for (const one of inputs("input[name=adjusts]")) one.checked = one.value === to; }

/** Creates the sliders and the curve; each picture begins with the subject. */
export function build() {
  curve = new CurveEditor();
  setAim("adjust");
  $("adjustments").replaceChildren(...EVERY.map(({ name, low, high }) => {
    const id = idOf(name);
    return elementOf(
      "div", { className: "field" }, elementOf("label", { htmlFor: id }, ADJUSTMENTS[name]),
      elementOf("output", { htmlFor: id, id: `${id}-out` }),
      elementOf("input", { type: "range", id, min: String(low), max: String(high), step: "1" }),
    );
  }), curve.element);
}

/** Shows the corrections of what is chosen. @param {Session} session */
export function show({ doc }) {
  const correction = doc[aim()];
  for (const one of EVERY) {
    const value = one.name in correction ? correction[one.name] / one.factor : one.initial;
    const slider = input(idOf(one.name));
    slider.value = String(Math.round(value));
    writeValue(one);
    /** @type {HTMLElement} */ (slider.parentElement).hidden = !adjustments().includes(one);
  }
  curve.show(correction.curve ?? STRAIGHT);
  const isReset = !corrects(correction);
  if (isReset) passFocus($("adjust-reset"), all("#adjust summary")[0]);
  $("adjust-reset").hidden = isReset;
}

/** Chooses what is corrected, and opens its controls. @type {(session: Session, to: Aim) => void} */
export function aimAt(session, to) {
  setAim(to);
  /** @type {HTMLDetailsElement} */ ($("adjust")).open = true;
  session.refresh(true);
}

/** Previews the corrections while a control changes; those of the whole picture are shown at its end. */
/** @param {Session} session */
export function preview(session) {
  for (const one of EVERY) writeValue(one);
  session.history.attempt({ [aim()]: chosenCorrections() });
  if (aim() !== "adjustResult") session.preview.layMeanwhile(session.doc);
}

/** Changes the corrections. @param {Session} session */
export function change(session) { session.commit({ [aim()]: chosenCorrections() }, TEXTS.adjusted); }

/** @param {Session} session */
export function reset(session) { session.commit({ [aim()]: {} }, TEXTS.adjusted); }
