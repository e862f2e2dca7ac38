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

/** Returns a command that converts an image to another depth, 8 or 16 bits. */
/** @type {(from: string, to: string, bits: number) => string} */
function inBits(from, to, bits) {
  const statements = [
    "import numpy as np", "from pyharmony import io", `dtype = np.uint${bits}`, `photo = io.read(${python(from)})`,
    `io.write(${IN_BITS}, ${python(to)})`,
  ];
  return `python -c ${quoted(statements.join("; "))}`;
}

/** Returns the name of a photo in 16 bits. @param {string} name */
const deepName = (name) => name.replace(/(\.[^./]*)?$/, "-16.tif");

/** Returns the commands, one a line. @param {Repeated} repeated */
export function commandOf({ way, names, out, format, deepens, flattens, body }) {
  /** @type {string[]} */
  const lines = [];
  /** @param {string} name */
  const read = (name) => {
    if (!deepens) return name;
    lines.push(inBits(name, deepName(name), 16));
    return deepName(name);
  };
  const layers = format === "ora" ? out : "";
  // Layers are written with an image, and a result for 8 bits is written in its own depth first.
  const file = path(layers || flattens ? out.replace(/\.[^.]*$/, ".png") : out);
  const { inputs, options } = way.command({ names, body, read, layers, bits: deepens || flattens });
  lines.push(["pyharmony", ...inputs, "-o", quoted(file), ...options].join(" "));
  if (flattens) lines.push(inBits(file, path(out), 8));
  return `${lines.join("\n")}\n`;
}

/** Returns the Python code. @param {Repeated} repeated */
export function pythonOf({ way, names, out, format, deepens, flattens, body }) {
  const layers = format === "ora";
  const bits = deepens || flattens;
  // Photos that are read first have a kind, which the result gets.
  /** @param {string} name */
  const read = (name) => {
    if (deepens) return `in_bits(io.read(${python(name)}), np.uint16)`;
    return layers || flattens ? `io.read(${python(name)})` : python(name);
  };
  const lines = [
    ...(bits ? ["import numpy as np"] : []), "import pyharmony",
    ...(bits || layers ? ["from pyharmony import io"] : []), "",
  ];
  if (bits) lines.push("", "def in_bits(photo, dtype):", `    return ${IN_BITS}`, "", "");
  const { before = [], name, values } = way.python({ names, body, read, layers: layers ? out : "", bits });
  lines.push(...before);
  const call = (/** @type {string[]} */ ...last) => `${name}(${[...values, ...last].join(", ")})`;
  if (layers) {
    const info = "info.layers, result.pixels, profile=result.profile, dpi=result.dpi";
    lines.push(`result, info = ${call("return_info=True")}`, `io.write_layers(${python(out)}, ${info})`);
  } else if (flattens) {
    lines.push(`io.write(in_bits(${call()}, np.uint8), ${python(out)})`);
  } else {
    lines.push(call(`out=${python(out)}`));
  }
  return `${lines.join("\n")}\n`;
}
