// The fields of options without a dedicated control, generated from the descriptions of the service.

import { $ } from "./dom.js";
import { FIELDS, TEXTS, WORDS } from "./strings.js";

/**
 * An option of a composite, as the service describes it.
 *
 * @typedef {object} Field
 * @property {string} name
 * @property {string} about a description
 * @property {"number" | "whole" | "flag" | "word" | "group"} type
 * @property {any} default
 * @property {number | null} low
 * @property {number | null} high
 * @property {string[]} words the accepted words; none is null
 * @property {Field[]} fields the arguments of a group
 * @property {boolean} look whether layers show its effect
 */
/** @typedef {Record<string, any>} Options values of options by name; missing ones have their default */

/** Returns the label of a field, or its name if it has no label. @param {string} name */
export const labelOf = (name) => FIELDS[name] ?? `${name[0].toUpperCase()}${name.slice(1).replaceAll("_", " ")}`;

/** Returns whether a field is a slider, in percent. @param {Field} field */
const isShare = ({ type, low, high }) => type === "number" && low === 0 && high === 1;

/**
 * Returns the options as the service expects them.
 *
 * @param {Field[]} fields
 * @param {Options} options
 * @param {boolean} [ofLayers] whether to return only those with an effect on layers
 * @returns {Options}
 */
export function bodyOf(fields, options, ofLayers = false) {
  const own = fields.filter(({ name, look }) => name in options && (look || !ofLayers));
  return Object.fromEntries(own.map(({ name }) => [name, options[name]]));
}

/**
 * Returns the text of a control for a value.
 *
 * @param {Field} field
 * @param {any} value
 */
export function textOf(field, value) {
  if (value === null) return "none";
  return String(isShare(field) ? Math.round(value * 100) : value);
}

/**
 * Returns the value of a field for the text of its control, within its bounds; the default if there is no number.
 *
 * @param {Field} field
 * @param {string} text
 */
export function valueOf(field, text) {
  if (field.type === "word") return text === "none" ? null : text;
  const number = Number(text);
  if (text === "" || !Number.isFinite(number)) return field.default;
  const value = isShare(field) ? number / 100 : number;
  const inside = Math.min(field.high ?? Infinity, Math.max(field.low ?? -Infinity, value));
  return field.type === "whole" ? Math.round(inside) : inside;
}

/**
 * Returns options with one changed by a control, whose id is the name of the field, or GROUP-ARGUMENT.
 *
 * @param {Field[]} fields
 * @param {Options} options
 * @param {{ id: string, value: string, checked: boolean }} control
 */
export function changed(fields, options, { id, value, checked }) {
  const [name, argument] = id.split("-");
  const field = fields.find((one) => one.name === name);
  if (!field) return options;
  const inner = field.fields.find((one) => one.name === argument);
  if (inner) {
    const before = typeof options[name] === "object" ? options[name] : {};
    return { ...options, [name]: { ...before, [inner.name]: valueOf(inner, value) } };
  }
  if (field.type === "flag" || field.type === "group") return { ...options, [name]: checked };
  return { ...options, [name]: valueOf(field, value) };
}

/**
 * Creates the control of a field.
 *
 * @param {Field} field
 * @param {string} id
 */
function controlOf(field, id) {
  const row = document.createElement("div");
  row.className = "field";
  row.title = field.about;
  const label = document.createElement("label");
  if (field.type === "flag" || field.type === "group") {
    label.className = "check";
    const box = document.createElement("input");
    Object.assign(box, { type: "checkbox", id });
    label.append(box, labelOf(id));
    row.append(label);
    return row;
  }
  Object.assign(label, { htmlFor: id, textContent: labelOf(id) });
  if (field.type === "word") {
    const one = document.createElement("select");
    one.id = id;
    one.append(...field.words.map((word) => new Option(WORDS[word] ?? word, word)));
    row.append(label, one);
    return row;
  }
  const one = document.createElement("input");
  if (isShare(field)) {
    const out = document.createElement("output");
    Object.assign(out, { htmlFor: id, id: `${id}-out` });
    Object.assign(one, { type: "range", min: "0", max: "100", id });
    row.append(label, out, one);
  } else {
    const step = field.type === "whole" ? "1" : "any";
    Object.assign(one, { type: "number", id, min: String(field.low ?? ""), max: String(field.high ?? ""), step });
    row.append(label, one);
  }
  return row;
}

/** Creates the controls of all fields. @param {Field[]} fields */
export function build(fields) {
  $("fields").replaceChildren(...fields.flatMap((field) => {
    const row = controlOf(field, field.name);
    if (!field.fields.length) return [row];
    const group = document.createElement("div");
    group.id = `${field.name}-fields`;
    group.append(...field.fields.map((inner) => controlOf(inner, `${field.name}-${inner.name}`)));
    return [row, group];
  }));
}

/**
 * Shows options in the controls, except in the one with the focus.
 *
 * @param {Field[]} fields
 * @param {Options} options
 * @param {string} [before] the prefix of the ids of controls
 */
export function show(fields, options, before = "") {
  for (const field of fields) {
    const { name } = field;
    const value = name in options ? options[name] : field.default;
    const control = /** @type {HTMLInputElement} */ ($(`${before}${name}`));
    if (field.type === "flag" || field.type === "group") control.checked = Boolean(value);
    else if (document.activeElement !== control || isShare(field)) control.value = textOf(field, value);
    if (isShare(field)) showShare(control);
    if (field.fields.length) {
      $(`${name}-fields`).hidden = !value;
      show(field.fields, typeof value === "object" && value ? value : {}, `${name}-`);
    }
  }
}

/** Writes the share of a slider next to it, in percent. @param {{ id: string, value: string }} slider */
export function showShare({ id, value }) {
  const out = $(`${id}-out`);
  if (out) out.textContent = TEXTS.share(value);
}
