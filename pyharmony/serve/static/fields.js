// The fields of options without a dedicated control, generated from the descriptions of the service.

import { $, elementOf } from "./dom.js";
import { FIELDS, WORDS } from "./names.js";
import { TEXTS } from "./strings.js";

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

/** Returns the options as the service expects them; ofLayers: only those with an effect on layers. */
/** @type {(fields: Field[], options: Options, ofLayers?: boolean) => Options} */
export function bodyOf(fields, options, ofLayers = false) {
  const own = fields.filter(({ name, look }) => name in options && (look || !ofLayers));
  return Object.fromEntries(own.map(({ name }) => [name, options[name]]));
}

/** Returns the text of a control for a value. @type {(field: Field, value: any) => string} */
export function textOf(field, value) {
  if (value === null) return "none";
  return String(isShare(field) ? Math.round(value * 100) : value);
}

/** Returns the value of a field for the text of its control, within its bounds; the default if there is no number. */
/** @type {(field: Field, text: string) => any} */
export function valueOf(field, text) {
  if (field.type === "word") return text === "none" ? null : text;
  const number = Number(text);
  if (text === "" || !Number.isFinite(number)) return field.default;
  const value = isShare(field) ? number / 100 : number;
  const inside = Math.min(field.high ?? Infinity, Math.max(field.low ?? -Infinity, value));
  return field.type === "whole" ? Math.round(inside) : inside;
}

/** Returns options with one changed by a control, whose id is the name of the field, or GROUP-ARGUMENT. */
/** @type {(fields: Field[], options: Options, control: { id: string, value: string, checked: boolean }) => Options} */
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

/** Creates the control of a field. @type {(field: Field, id: string) => HTMLElement} */
function controlOf(field, id) {
  const row = (/** @type {HTMLElement[]} */ ...controls) => (
    elementOf("div", { className: "field", title: field.about }, ...controls));
  if (field.type === "flag" || field.type === "group") {
    return row(elementOf("label", { className: "check" }, elementOf("input", { type: "checkbox", id }), labelOf(id)));
  }
  const label = elementOf("label", { htmlFor: id }, labelOf(id));
  if (field.type === "word") {
    return row(label, elementOf("select", { id }, ...field.words.map((word) => new Option(WORDS[word] ?? word, word))));
  }
  if (isShare(field)) {
    const out = elementOf("output", { htmlFor: id, id: `${id}-out` });
    return row(label, out, elementOf("input", { type: "range", min: "0", max: "100", id }));
  }
  const [min, max, step] = [field.low ?? "", field.high ?? "", field.type === "whole" ? "1" : "any"].map(String);
  return row(label, elementOf("input", { type: "number", id, min, max, step }));
}

/** Creates the controls of all fields. @param {Field[]} fields */
export function build(fields) {
  $("fields").replaceChildren(...fields.flatMap((field) => {
    const row = controlOf(field, field.name);
    if (!field.fields.length) return [row];
    const inner = field.fields.map((one) => controlOf(one, `${field.name}-${one.name}`));
    return [row, elementOf("div", { id: `${field.name}-fields` }, ...inner)];
  }));
}

/** Shows options in the controls, except in the one with the focus; before is the prefix of their ids. */
/** @type {(fields: Field[], options: Options, before?: string) => void} */
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
