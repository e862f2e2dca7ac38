// Writes the command and the lines of Python that repeat the picture elsewhere.

const quoted = (text) => (/^[\w.,/+:=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const python = (text) => JSON.stringify(text);
/** A number as it was asked for: rounded, it would be another picture. */
const number = (value) => String(value);
/** The name of a file, which no command takes for an option. */
const path = (name) => (name.startsWith("-") ? `./${name}` : name);

const IN_BITS = "io.convert(photo, io.Picture(np.zeros((1, 1, photo.pixels.shape[2]), dtype), photo.profile))";

/** Returns a command that writes an image in other bits, 8 or 16. */
function inBits(from, to, bits) {
  const line = `import numpy as np; from pyharmony import io; dtype = np.uint${bits}; photo = io.read(${python(from)}); io.write(${IN_BITS}, ${python(to)})`;
  return `python -c ${quoted(line)}`;
}

/** The name of a photograph in 16 bits. */
const deepName = (name) => name.replace(/(\.[^./]*)?$/, "-16.tif");

/**
 * Returns the commands, a line each.
 *
 * about holds the way; the names of files; out, the result's; format, as which it is saved; deepens and flattens, whether
 * photographs are brought to 16 bits before, or the result to 8; and the body that the service was asked by.
 */
export function commandOf({ way, names: given, out: wanted, format, deepens, flattens, body }) {
  const names = { ...given };
  const lines = [];
  const deep = (name) => {
    if (!deepens) return path(name);
    lines.push(inBits(name, deepName(name), 16));
    return path(deepName(name));
  };
  const first = { compose: "background", harmonize: "composite", blend: "background" }[way];
  if (first) names[first] = deep(names[first]);
  // Layers have a picture beside them, and what is narrowed to 8 bits is written in its own before.
  const out = format === "ora" || flattens ? path(wanted.replace(/\.[^.]*$/, ".png")) : path(wanted);
  const file = (name) => quoted(path(name));
  if (way === "compose") {
    const cutter = body.segment === "auto" ? "" : ` --segment ${quoted(body.segment)}`;
    const layers = format === "ora" ? ` --layers ${file(wanted)}` : "";
    lines.push(`pyharmony compose ${file(names.subject)} ${file(names.background)} -o ${quoted(out)} --recipe recipe.json${cutter}${layers}`);
  } else if (way === "harmonize") {
    const strength = body.strength === 1 ? "" : ` --strength ${number(body.strength)}`;
    lines.push(`pyharmony harmonize ${file(names.composite)} ${file(names.mask)} -o ${quoted(out)} --method ${body.method}${strength}`);
  } else if (way === "blend") {
    const words = [`pyharmony blend ${file(names.source)} ${file(names.background)} ${file(names.mask)} -o ${quoted(out)}`];
    words.push(`--mode ${body.mode}`, `--at ${body.at.map(number).join(",")}`);
    if (body.scale !== 1) words.push(`--scale ${number(body.scale)}`);
    if (body.gradients) words.push(`--gradients ${body.gradients}`);
    if (body.harmonize) words.push("--harmonize", `--strength ${number(body.strength)}`);
    lines.push(words.join(" "));
  } else {
    const photos = names.photos.map(deep);
    lines.push(`pyharmony compose --merge ${photos.map(quoted).join(" ")} -o ${quoted(out)}`);
  }
  if (flattens) lines.push(inBits(out, path(wanted), 8));
  return `${lines.join("\n")}\n`;
}

/** Returns the lines of Python; about is as for the command. */
export function pythonOf({ way, names, out, format, deepens, flattens, body }) {
  const layers = format === "ora";
  const lines = [];
  // What is read before keeps its kind, and the result has it.
  const read = (name) => (deepens ? `in_bits(io.read(${python(name)}), np.uint16)` : layers || flattens ? `io.read(${python(name)})` : python(name));
  const end = layers ? "return_info=True" : flattens ? "" : `out=${python(out)}`;
  const call = (name, ...given) => {
    const made = `${name}(${given.filter(Boolean).join(", ")})`;
    if (layers) {
      lines.push(`result, info = ${made}`, `io.write_layers(${python(out)}, info.layers, result.pixels, profile=result.profile, dpi=result.dpi)`);
    } else if (flattens) {
      lines.push(`io.write(in_bits(${made}, np.uint8), ${python(out)})`);
    } else {
      lines.push(made);
    }
  };
  if (way === "compose") {
    const cutter = body.segment === "auto" ? "" : `segment=${python(body.segment)}`;
    call("pyharmony.compose", python(names.subject), read(names.background), cutter, 'recipe="recipe.json"', end);
  } else if (way === "harmonize") {
    call("pyharmony.harmonize", read(names.composite), python(names.mask), `method=${python(body.method)}`, `strength=${number(body.strength)}`, end);
  } else if (way === "blend") {
    const blend = `pyharmony.blend.${body.mode.replaceAll("-", "_")}`;
    const at = [`at=(${body.at.map(number).join(", ")})`, `scale=${number(body.scale)}`];
    const gradients = body.gradients ? `gradients=${python(body.gradients)}` : "";
    if (body.harmonize) {
      lines.push(`images = ${python(names.source)}, ${read(names.background)}, ${python(names.mask)}`);
      lines.push(`blended = ${blend}(${["*images", ...at, gradients].filter(Boolean).join(", ")})`);
      const mask = `pyharmony.blend.placed_mask(${["*images", ...at].join(", ")})`;
      lines.push(`mask = ${deepens || flattens ? `in_bits(${mask}, np.uint8)` : mask}`);
      call("pyharmony.harmonize", "blended", "mask", `strength=${number(body.strength)}`, end);
    } else {
      call(blend, python(names.source), read(names.background), python(names.mask), ...at, gradients, end);
    }
  } else {
    call("pyharmony.merge", `[${names.photos.map(read).join(", ")}]`, end);
  }
  const bits = deepens || flattens;
  const head = [...(bits ? ["import numpy as np"] : []), "import pyharmony", ...(bits || layers ? ["from pyharmony import io"] : []), ""];
  if (bits) head.push("", "def in_bits(photo, dtype):", `    return ${IN_BITS}`, "", "");
  return `${[...head, ...lines].join("\n")}\n`;
}
