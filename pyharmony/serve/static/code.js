// Generates the command and the Python code that reproduce the image. The calls of each way are in its module.

/** @import { Way } from "./ways/way.js" */
/**
 * The inputs of the generated code.
 *
 * @typedef {object} Repeated
 * @property {Way} way
 * @property {Record<string, any>} names the names of files by their slots
 * @property {string} out the name of the result's file
 * @property {string} format the format that it is saved in
 * @property {boolean} deepens whether photos are converted to 16 bits first
 * @property {boolean} flattens whether the result is converted to 8 bits
 * @property {import("./geometry.js").Rectangle | null} crop the part that is saved, of a way without a recipe
 * @property {Record<string, any>} body the body of the request
 */

/** @param {string} text */
export const quoted = (text) => (/^[\w.,/+:=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
/** @param {string} text */
export const python = (text) => JSON.stringify(text);
/** Formats a number exactly: rounded, it would give another image. @param {number} value */
export const number = (value) => String(value);
/** Returns the name of a file, in a form that no command parses as an option. @param {string} name */
const path = (name) => (name.startsWith("-") ? `./${name}` : name);
/** @param {string} name */
export const filed = (name) => quoted(path(name));

const IN_BITS = "io.convert(photo, io.Picture(np.zeros((1, 1, photo.pixels.shape[2]), dtype), photo.profile))";

/** Returns the Python expression of the part of a photo. @param {import("./geometry.js").Rectangle} crop */
const partOf = ([x, y, width, height]) => (
  `replace(photo, pixels=photo.pixels[${y} : ${y + height}, ${x} : ${x + width}].copy())`);

/** Returns a command that converts an image to another depth, 8 or 16 bits, and crops it, or does one of both. */
/** @type {(from: string, to: string, bits: number, crop?: Repeated["crop"]) => string} */
function converted(from, to, bits, crop = null) {
  const statements = [
    ...(bits ? ["import numpy as np"] : []), ...(crop ? ["from dataclasses import replace"] : []),
    "from pyharmony import io", ...(bits ? [`dtype = np.uint${bits}`] : []), `photo = io.read(${python(from)})`,
    ...(bits && crop ? [`photo = ${IN_BITS}`] : []),
    `io.write(${crop ? partOf(crop) : IN_BITS}, ${python(to)})`,
  ];
  return `python -c ${quoted(statements.join("; "))}`;
}

/** Returns the name of a photo in 16 bits. @param {string} name */
const deepName = (name) => name.replace(/(\.[^./]*)?$/, "-16.tif");

/** Returns the commands, one a line. @param {Repeated} repeated */
export function commandOf({ way, names, out, format, deepens, flattens, crop, body }) {
  /** @type {string[]} */
  const lines = [];
  /** @param {string} name */
  const read = (name) => {
    if (!deepens) return name;
    lines.push(converted(name, deepName(name), 16));
    return deepName(name);
  };
  const layers = format === "ora" ? out : "";
  // Layers are written with an image, and a result for 8 bits is written in its own depth first.
  const whole = crop ? out.replace(/\.[^.]*$/, "-whole$&") : out;
  const file = path(layers || flattens || (crop && format === "jpeg") ? whole.replace(/\.[^.]*$/, ".png") : whole);
  const { inputs, options } = way.command({ names, body, read, layers, bits: deepens || flattens });
  lines.push(["pyharmony", ...inputs, "-o", quoted(file), ...options].join(" "));
  if (flattens || crop) lines.push(converted(file, path(out), flattens ? 8 : 0, crop));
  return `${lines.join("\n")}\n`;
}

/** Returns the Python code. @param {Repeated} repeated */
export function pythonOf({ way, names, out, format, deepens, flattens, crop, body }) {
  const layers = format === "ora";
  const bits = deepens || flattens;
  // Photos that are read first have a kind, which the result gets.
  /** @param {string} name */
  const read = (name) => {
    if (deepens) return `in_bits(io.read(${python(name)}), np.uint16)`;
    return layers || flattens || crop ? `io.read(${python(name)})` : python(name);
  };
  const lines = [
    ...(crop ? ["from dataclasses import replace", ""] : []), ...(bits ? ["import numpy as np"] : []),
    "import pyharmony", ...(bits || layers || crop ? ["from pyharmony import io"] : []), "",
  ];
  if (bits) lines.push("", "def in_bits(photo, dtype):", `    return ${IN_BITS}`, "", "");
  const { before = [], name, values } = way.python({ names, body, read, layers: layers ? out : "", bits });
  lines.push(...before);
  const call = (/** @type {string[]} */ ...last) => `${name}(${[...values, ...last].join(", ")})`;
  if (layers) {
    const info = "info.layers, result.pixels, profile=result.profile, dpi=result.dpi";
    lines.push(`result, info = ${call("return_info=True")}`, `io.write_layers(${python(out)}, ${info})`);
  } else if (flattens || crop) {
    const photo = flattens ? `in_bits(${call()}, np.uint8)` : call();
    if (crop) lines.push(`photo = ${photo}`);
    lines.push(`io.write(${crop ? partOf(crop) : photo}, ${python(out)})`);
  } else {
    lines.push(call(`out=${python(out)}`));
  }
  return `${lines.join("\n")}\n`;
}
