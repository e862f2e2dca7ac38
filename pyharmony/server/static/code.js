// Writes the command and the lines of Python that repeat the picture elsewhere.

const quoted = (text) => (/^[\w.,/+:=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const python = (text) => JSON.stringify(text);
const number = (value) => String(Number(value.toFixed(4)));

/** Returns the command. about holds the way, the names of files, and what was asked of the service. */
export function commandOf({ way, names, out, body }) {
  if (way === "compose") {
    const cutter = body.segment === "auto" ? "" : ` --segment ${quoted(body.segment)}`;
    return `pyharmony compose ${quoted(names.subject)} ${quoted(names.background)} -o ${quoted(out)} --recipe recipe.json${cutter}`;
  }
  if (way === "harmonize") {
    const strength = body.strength === 1 ? "" : ` --strength ${number(body.strength)}`;
    return `pyharmony harmonize ${quoted(names.composite)} ${quoted(names.mask)} -o ${quoted(out)} --method ${body.method}${strength}`;
  }
  if (way === "blend") {
    const words = [`pyharmony blend ${quoted(names.source)} ${quoted(names.background)} ${quoted(names.mask)} -o ${quoted(out)}`];
    words.push(`--mode ${body.mode}`, `--at ${body.at.map(number).join(",")}`);
    if (body.scale !== 1) words.push(`--scale ${number(body.scale)}`);
    if (body.gradients) words.push(`--gradients ${body.gradients}`);
    if (body.harmonize) words.push("--harmonize", `--strength ${number(body.strength)}`);
    return words.join(" ");
  }
  return `pyharmony compose --merge ${names.photos.map(quoted).join(" ")} -o ${quoted(out)}`;
}

/** Returns the lines of Python. */
export function pythonOf({ way, names, out, body }) {
  const lines = ["import pyharmony", ""];
  if (way === "compose") {
    const cutter = body.segment === "auto" ? "" : `segment=${python(body.segment)}, `;
    lines.push(`pyharmony.compose(${python(names.subject)}, ${python(names.background)}, ${cutter}recipe="recipe.json", out=${python(out)})`);
  } else if (way === "harmonize") {
    lines.push(`pyharmony.harmonize(${python(names.composite)}, ${python(names.mask)}, method=${python(body.method)}, strength=${number(body.strength)}, out=${python(out)})`);
  } else if (way === "blend") {
    const name = body.mode.replaceAll("-", "_");
    const options = [`at=(${body.at.map(number).join(", ")})`, `scale=${number(body.scale)}`];
    if (body.gradients) options.push(`gradients=${python(body.gradients)}`);
    const target = body.harmonize ? "" : `, out=${python(out)}`;
    const call = `pyharmony.blend.${name}(${python(names.source)}, ${python(names.background)}, ${python(names.mask)}, ${options.join(", ")}${target})`;
    if (body.harmonize) {
      lines.push(`blended = ${call}`, `mask = ...  # where it lies, as "Mask" saves it`);
      lines.push(`pyharmony.harmonize(blended, mask, strength=${number(body.strength)}, out=${python(out)})`);
    } else {
      lines.push(call);
    }
  } else {
    lines.push(`pyharmony.merge([${names.photos.map(python).join(", ")}], out=${python(out)})`);
  }
  return `${lines.join("\n")}\n`;
}
