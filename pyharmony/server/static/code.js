// Writes the command and the lines of Python that repeat the picture elsewhere. What each way calls is in its module.

/** @typedef {import("./ways/way.js").Way} Way */
/**
 * What is repeated.
 *
 * @typedef {object} Repeated
 * @property {Way} way
 * @property {Record<string, any>} names the names of files by their slots
 * @property {string} out the name of the result's file
 * @property {string} format as which it is saved
 * @property {boolean} deepens whether photographs are brought to 16 bits before
 * @property {boolean} flattens whether the result is brought to 8 bits
 * @property {Record<string, any>} body what the service was asked for
 */

/** @param {string} text */
export const quoted = (text) => (/^[\w.,/+:=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
/** @param {string} text */
export const python = (text) => JSON.stringify(text);
/**
 * Writes a number as it was asked for: rounded, it would be another picture.
 *
 * @param {number} value
 */
export const number = (value) => String(value);
/**
 * Returns the name of a file, which no command takes for an option.
 *
 * @param {string} name
 */
const path = (name) => (name.startsWith("-") ? `./${name}` : name);
/** @param {string} name */
export const filed = (name) => quoted(path(name));

const IN_BITS = "io.convert(photo, io.Picture(np.zeros((1, 1, photo.pixels.shape[2]), dtype), photo.profile))";

/**
 * Returns a command that writes an image in other bits, 8 or 16.
 *
 * @param {string} from
 * @param {string} to
 * @param {number} bits
 */
function inBits(from, to, bits) {
  const statements = [
    "import numpy as np", "from pyharmony import io", `dtype = np.uint${bits}`, `photo = io.read(${python(from)})`,
    `io.write(${IN_BITS}, ${python(to)})`,
  ];
  return `python -c ${quoted(statements.join("; "))}`;
}

/**
 * Returns the name of a photograph in 16 bits.
 *
 * @param {string} name
 */
const deepName = (name) => name.replace(/(\.[^./]*)?$/, "-16.tif");

/**
 * Returns the commands, a line each.
 *
 * @param {Repeated} repeated
 */
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
  // Layers have a picture beside them, and what is narrowed to 8 bits is written in its own before.
  const file = path(layers || flattens ? out.replace(/\.[^.]*$/, ".png") : out);
  const { inputs, options } = way.command({ names, body, read, layers, bits: deepens || flattens });
  lines.push(["pyharmony", ...inputs, "-o", quoted(file), ...options].join(" "));
  if (flattens) lines.push(inBits(file, path(out), 8));
  return `${lines.join("\n")}\n`;
}

/**
 * Returns the lines of Python.
 *
 * @param {Repeated} repeated
 */
export function pythonOf({ way, names, out, format, deepens, flattens, body }) {
  const layers = format === "ora";
  const bits = deepens || flattens;
  // What is read before keeps its kind, and the result has it.
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
