// What each way of working asks the service for, the command and Python that repeat it, and the words for reasons.

import assert from "node:assert/strict";
import { test } from "node:test";

import { commandOf, pythonOf } from "../../../pyharmony/serve/static/code.js";
import { BEGIN } from "../../../pyharmony/serve/static/document.js";
import { TEXTS, plainly } from "../../../pyharmony/serve/static/strings.js";
import { WAYS } from "../../../pyharmony/serve/static/ways/all.js";

const { compose, blend, harmonize, merge, remove, "apply-edit": edit } = WAYS;
const picture = (id, width = 120, height = 80) => ({ id, width, height, channels: 3 });
const PICTURES = {
  subject: picture("s"), source: picture("o"), mask: picture("m"), background: picture("b", 400, 300),
  composite: picture("c"), photos: [picture("p"), picture("q")],
};
const SESSION = { pictures: PICTURES, moving: PICTURES.subject, below: PICTURES.background, people: null, side: 1024,
  about: { fields: [{ name: "grain", look: true, fields: [] }, { name: "seed", look: false, fields: [] }] } };
const PLACE = { x: 200, y: 150, scale: 0.5, angle: 10, flip: true };
const DOC = { ...BEGIN, mask: PICTURES.mask, place: PLACE, front: [1] };

const written = (way, body, change = {}) => ({
  way, body, out: "b-pyharmony.png", format: "png", deepens: false, flattens: false, ...change,
  names: {
    subjects: ["-s.jpg"], background: "my b.jpg", composite: "c.png", source: "o.png", mask: "m.png",
    edited: "e.png",
    photos: ["p.jpg", "q.jpg"],
  },
});

test("each way has its steps, and gives its photographs", () => {
  const steps = Object.values(WAYS).map((way) => [way.name, way.steps.map(([name]) => name).join(" ")]);
  assert.deepEqual(Object.fromEntries(steps), {
    compose: "cut place match save", blend: "place match save", harmonize: "match save", merge: "save",
    "apply-edit": "changes save", remove: "cut save",
  });
  assert.deepEqual(blend.first(PICTURES), { mask: PICTURES.mask });
  assert.deepEqual(compose.first(PICTURES), {});
  assert.deepEqual([compose.methods(["auto"]), blend.methods(["auto"])], [["auto", "none"], ["auto"]]);
});

test("a setting is shown where it changes something", () => {
  assert.deepEqual(compose.settings(BEGIN), {
    strength: true, method: true, edge: true, mask: true, compare: true, plain: false,
  });
  assert.equal(compose.settings({ ...BEGIN, strength: 0 }).plain, true);
  assert.deepEqual([false, true].map((colours) => blend.settings({ ...BEGIN, colours }).strength), [false, true]);
  assert.deepEqual([merge.settings(BEGIN).mask, merge.settings(BEGIN).compare], [false, false]);
});

test("a composite is asked for with its subject, place and shares", () => {
  const body = compose.resultBody(SESSION, { ...DOC, strength: 0.5, options: { grain: 0.8 }, blend: "poisson" });
  assert.deepEqual(body, {
    subjects: [{ picture: "s", at: [170, 130], scale: 0.5, angle: 10, flip: true, mask: "m", behind: [1] }],
    background: "b", people: [], segment: "auto", harmonize: "auto", strength: 0.5, blend: "poisson",
    shadow: "auto", grain: 0.8, format: "png",
  });
});

test("layers are of a composite alone, and name people where there are any", () => {
  const body = compose.layersBody(SESSION, { ...DOC, mask: null, method: "none" }, 512);
  assert.deepEqual([body.side, body.harmonize, "mask" in body.subject, "people" in body], [512, null, false, false]);
  const people = [{ mask: picture("n") }];
  assert.deepEqual(compose.layersBody({ ...SESSION, people }, DOC, 512).people, ["n"]);
  for (const way of [blend, harmonize, merge]) assert.equal(way.layersBody(SESSION, DOC, 512), null);
});

test("a live blend of layers moves with the place, and needs them for its size and angle", () => {
  const layer = (id, box) => ({ box, picture: picture(id) });
  const layers = {
    place: PLACE, side: 700, mask: DOC.mask, plain: layer("l", [10, 20, 5, 5]), matched: layer("t", [10, 20, 5, 5]),
    shadow: layer("w", [8, 30, 9, 9]),
  };
  const session = (change, ofDoc = layers) => (
    { ...SESSION, doc: { ...DOC, ...change }, preview: { layersOf: () => ofDoc } });
  const moved = { ...PLACE, x: 203, y: 149 };
  assert.deepEqual(compose.liveBody(session({ blend: "poisson" }), moved), {
    side: 700, plain: "l", matched: "t", strength: 1, at: [13, 19], shadow: "w", cast: [11, 29],
  });
  assert.equal(compose.liveBody(session({}), moved), null);  // a clean edge
  assert.equal(compose.liveBody(session({ blend: "poisson" }), { ...moved, scale: 0.6 }), null);
  assert.equal(compose.liveBody(session({ blend: "poisson" }, null), moved), null);
});

test("a blend is asked for by its mode, and its colours where they are matched", () => {
  const session = { ...SESSION, moving: PICTURES.source, doc: { ...DOC, mode: "mixed" } };
  const doc = { ...DOC, mode: "mixed", place: { ...PLACE, scale: 1, angle: 0, flip: false }, strength: 0.4 };
  assert.deepEqual(blend.resultBody(session, doc), {
    src: "o", dst: "b", mask: "m", at: [140, 110], mode: "poisson", gradients: "mixed", format: "png", save_mask: true,
  });
  const coloured = { ...doc, mode: "laplacian", colours: true };
  const { harmonize: matches, strength, mode, preview } = blend.previewBody(session, coloured);
  assert.deepEqual([matches, strength, mode, preview], ["auto", 0.4, "laplacian", true]);
  const live = blend.liveBody(session, doc.place);
  assert.deepEqual([live.source, live.mask, live.gradients, live.side], ["o", "m", "mixed", 1024]);
  assert.equal(blend.liveMode({ ...doc, mode: "gaussian-poisson" }), "gaussian-poisson");
});

test("a match is previewed at full strength, which the page mixes", () => {
  assert.deepEqual(harmonize.previewBody(SESSION, { ...DOC, strength: 0.4 }), {
    image: "c", mask: "m", method: "auto", preview: true,
  });
  assert.deepEqual(harmonize.resultBody(SESSION, { ...DOC, strength: 0.4 }).strength, 0.4);
  assert.deepEqual(merge.resultBody(SESSION, DOC), { photos: ["p", "q"], format: "png" });
});

test("what is placed is complete where it lies somewhere, and what is merged where it is shown", () => {
  assert.deepEqual([true, false].map((ready) => compose.isComplete({ doc: DOC, ready })), [true, false]);
  assert.equal(compose.isComplete({ doc: BEGIN, ready: true }), false);
  assert.equal(harmonize.isComplete({}), true);
  assert.deepEqual([null, {}].map((shown) => merge.isComplete({ preview: { shown } })), [false, true]);
});

test("the command quotes what a shell would read, and no name is an option", () => {
  assert.equal(commandOf(written(compose, { segment: "grabcut" })), (
    "pyharmony compose ./-s.jpg 'my b.jpg' -o b-pyharmony.png --recipe recipe.json\n"));
  assert.equal(commandOf(written(compose, { segment: "auto" }, { format: "ora", out: "b.ora" })), (
    "pyharmony compose ./-s.jpg 'my b.jpg' -o b.png --recipe recipe.json --layers b.ora\n"));
  assert.equal(commandOf(written(harmonize, { method: "auto", strength: 0.5 })), (
    "pyharmony harmonize c.png m.png -o b-pyharmony.png --method auto --strength 0.5\n"));
  const body = { mode: "poisson", at: [1.5, -2], scale: 2, gradients: "mixed", harmonize: "auto", strength: 1 };
  assert.equal(commandOf(written(blend, body)), (
    "pyharmony blend o.png 'my b.jpg' m.png -o b-pyharmony.png --mode poisson --at 1.5,-2 --scale 2 --gradients mixed"
    + " --harmonize auto --strength 1\n"));
  assert.equal(commandOf(written(merge, {})), "pyharmony merge p.jpg q.jpg -o b-pyharmony.png\n");
  assert.equal(commandOf(written(edit, {})), "pyharmony apply-edit 'my b.jpg' e.png -o b-pyharmony.png\n");
  assert.equal(commandOf(written(edit, { mask: "m" })), (
    "pyharmony apply-edit 'my b.jpg' e.png -o b-pyharmony.png --mask m.png\n"));
  const session = { pictures: { ...PICTURES, edited: picture("e") } };
  assert.deepEqual(edit.resultBody(session, { ...BEGIN, mask: PICTURES.mask, changes: [0] }), {
    original: "b", edited: ["e"], mask: "m", changes: [0], format: "png",
  });
  for (const [changes, words] of [[[0, 2], "0,2"], [[], "none"]]) {
    assert.ok(commandOf(written(edit, { changes })).endsWith(` --changes ${words}\n`));
  }
  // People count from 1.
  assert.deepEqual([TEXTS.change(0, 0.25), TEXTS.changeChosen(2, false)], [
    "Change 1: 25.0 % of the picture", "Change 3 is left out",
  ]);
});

test("what is saved in other bits is brought there before and after", () => {
  const deep = commandOf(written(merge, {}, { deepens: true, format: "tiff" })).split("\n");
  assert.match(deep[0], /^python -c '.*np\.uint16.*"p\.jpg".*"p-16\.tif"\)'$/);
  assert.equal(deep[2], "pyharmony merge p-16.tif q-16.tif -o b-pyharmony.png");
  const saved = { flattens: true, out: "c.jpg" };
  const flat = commandOf(written(harmonize, { method: "auto", strength: 1 }, saved)).split("\n");
  assert.match(flat[0], / -o c\.png /);
  assert.match(flat[1], /np\.uint8.*"c\.png".*"c\.jpg"/);
});

test("Python calls what the command calls", () => {
  const lines = (way, body, change) => pythonOf(written(way, body, change)).trimEnd().split("\n");
  assert.deepEqual(lines(merge, {}), [
    "import pyharmony", "", 'pyharmony.merge(["p.jpg", "q.jpg"], out="b-pyharmony.png")',
  ]);
  assert.equal(lines(edit, { mask: "m", changes: [0] }).at(-1), (
    'pyharmony.apply_edit("my b.jpg", "e.png", "m.png", changes=[0], out="b-pyharmony.png")'));
  const body = { mode: "gaussian-poisson", at: [1, 2], scale: 1 };
  assert.deepEqual(lines(blend, body).at(-1), (
    'pyharmony.blend.gaussian_poisson("o.png", "my b.jpg", "m.png", at=(1, 2), scale=1, out="b-pyharmony.png")'));
  assert.deepEqual(lines(blend, { ...body, harmonize: "auto", strength: 0.5 }).slice(2), [
    'images = "o.png", "my b.jpg", "m.png"', "blended = pyharmony.blend.gaussian_poisson(*images, at=(1, 2), scale=1)",
    "mask = pyharmony.blend.placed_mask(*images, at=(1, 2), scale=1)",
    'pyharmony.harmonize(blended, mask, strength=0.5, out="b-pyharmony.png")',
  ]);
  assert.deepEqual(lines(compose, { segment: "auto" }, { format: "ora", out: "b.ora" }).slice(3), [
    'result, info = pyharmony.compose("-s.jpg", io.read("my b.jpg"), recipe="recipe.json", return_info=True)',
    'io.write_layers("b.ora", info.layers, result.pixels, profile=result.profile, dpi=result.dpi)',
  ]);
  assert.match(lines(harmonize, { method: "auto", strength: 1 }, { flattens: true, out: "c.jpg" }).at(-1), (
    /^io\.write\(in_bits\(pyharmony\.harmonize\(io\.read\("c\.png"\), "m\.png", .*\), np\.uint8\), "c\.jpg"\)$/));
});

test("a reason goes by its code, whatever its sentence", () => {
  assert.equal(plainly("any words", "object-small"), "Too little of it is visible to match its colours");
  assert.equal(plainly("the object is too small"), "The object is too small");
  assert.equal(plainly("no shadow: it floats", "floats"), "No shadow: it floats");
  assert.equal(plainly("", ""), "");
});

test("what is taken away is asked for by its mask, and the code repeats it", () => {
  assert.deepEqual(remove.first(PICTURES), { photo: PICTURES.background });
  const body = remove.resultBody(SESSION, DOC);
  assert.deepEqual(body, { image: "b", mask: "m", format: "png" });
  assert.deepEqual(remove.previewBody(SESSION, DOC), { image: "b", mask: "m", preview: true });
  assert.equal(commandOf(written(remove, body)), "pyharmony remove 'my b.jpg' -o b-pyharmony.png --mask m.png\n");
  assert.match(pythonOf(written(remove, body)), /pyharmony\.remove\("my b\.jpg", "m\.png", out="b-pyharmony\.png"\)/);
});
