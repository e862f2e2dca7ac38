// Corrections by hand of the active subject: sliders of light, colour and edge, on top of the match.

import { $, all, elementOf, input, passFocus } from "./dom.js";
import { ADJUSTMENTS, TEXTS } from "./strings.js";

/** @import { Session } from "./session.js" */
/**
 * A correction: its range and its default on the slider, and the factor from the slider to the service.
 *
 * @typedef {{ name: string, low: number, high: number, initial: number, factor: number, unit: string }} Adjustment
 */

/** @type {Adjustment[]} */
const EVERY = [
  { name: "exposure", low: -200, high: 200, initial: 0, factor: 0.01, unit: "" },
  { name: "temperature", low: -150, high: 150, initial: 0, factor: 1, unit: "" },
  { name: "contrast", low: -100, high: 100, initial: 0, factor: 0.01, unit: "%" },
  { name: "saturation", low: 0, high: 200, initial: 100, factor: 0.01, unit: "%" },
  { name: "edge", low: -30, high: 30, initial: 0, factor: 1, unit: "px" },
  { name: "feather", low: 0, high: 50, initial: 0, factor: 1, unit: "px" },
];

/** @param {string} name */
const idOf = (name) => `adjust-${name}`;

/** Returns the corrections of the sliders; those that change nothing are left out. */
function chosenCorrections() {
  const changed = EVERY.map((one) => ({ ...one, value: Number(input(idOf(one.name)).value) }))
    .filter(({ value, initial }) => value !== initial);
  return Object.fromEntries(changed.map(({ name, value, factor }) => [name, Number((value * factor).toFixed(2))]));
}

/** @param {Adjustment} adjustment */
function writeValue({ name, initial, unit, factor }) {
  const value = Number(input(idOf(name)).value);
  const text = name === "exposure" ? TEXTS.stops(value * factor) : `${value} ${unit}`.trim();
  $(`${idOf(name)}-out`).textContent = value > 0 && initial === 0 && name !== "exposure" ? `+${text}` : text;
}

/** Creates the sliders. */
export function build() {
  $("adjustments").replaceChildren(...EVERY.map(({ name, low, high }) => {
    const id = idOf(name);
    return elementOf(
      "div", { className: "field" }, elementOf("label", { htmlFor: id }, ADJUSTMENTS[name]),
      elementOf("output", { htmlFor: id, id: `${id}-out` }),
      elementOf("input", { type: "range", id, min: String(low), max: String(high), step: "1" }),
    );
  }));
}

/** Shows the corrections of the active subject. @param {Session} session */
export function show({ doc }) {
  for (const one of EVERY) {
    const value = one.name in doc.adjust ? doc.adjust[one.name] / one.factor : one.initial;
    input(idOf(one.name)).value = String(Math.round(value));
    writeValue(one);
  }
  const isReset = Object.keys(doc.adjust).length === 0;
  if (isReset) passFocus($("adjust-reset"), all("#adjust summary")[0]);
  $("adjust-reset").hidden = isReset;
}

/** Previews the corrections while a slider moves. @param {Session} session */
export function preview(session) {
  for (const one of EVERY) writeValue(one);
  session.history.attempt({ adjust: chosenCorrections() });
  session.preview.layMeanwhile(session.doc);
}

/** Changes the corrections. @param {Session} session */
export function change(session) { session.commit({ adjust: chosenCorrections() }, TEXTS.adjusted); }

/** @param {Session} session */
export function reset(session) { session.commit({ adjust: {} }, TEXTS.adjusted); }
