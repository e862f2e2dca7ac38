// Project files: which images they have, and what a document may have to be opened.

import assert from "node:assert/strict";
import { test } from "node:test";

import { BEGIN } from "../../../pyharmony/serve/static/document.js";
import { idsOf, isSound, renewed } from "../../../pyharmony/serve/static/project.js";

const [ID, OTHER] = ["0123456789abcdef".repeat(2), "f".repeat(32)];
const PICTURE = { id: ID, proxy_url: `/${ID}/proxy`, file_url: `/${ID}/file`, name: "photo.png" };
const TEXT = { string: `Words ${OTHER}`, font: "serif", colour: "#00ff80", size: 40, weight: 400, align: "left" };

test("neither the name of a photo nor words are the id of an image", () => {
  assert.deepEqual(idsOf({ ...BEGIN, photo: { ...PICTURE, name: `${OTHER}.png` }, text: TEXT }), [ID]);
  assert.deepEqual(idsOf(BEGIN), []);
});

test("images are those of the service, never with the URLs of a file", async () => {
  const own = { id: OTHER, proxy_url: "/own", file_url: "/own" };
  const pictureOf = async () => ({ ...own });
  assert.deepEqual(await renewed({ photo: PICTURE, mask: null }, pictureOf), {
    photo: { ...own, name: "photo.png" }, mask: null,
  });
  assert.equal((await renewed({ ...PICTURE, proxy_url: "" }, pictureOf)).file_url, "/own");
  await assert.rejects(renewed({ id: "x", proxy_url: "", file_url: "https://example.org" }, pictureOf));
});

test("each field of a document has values that can be drawn", () => {
  const curve = [[0, 0], [0.5, 0.6], [1, 1]];
  const steps = [
    { kind: "click", x: 1, y: 2, add: true }, { kind: "lasso", line: [[1, 2], [3, 4]], add: false },
    { kind: "choose", index: 1 }, { kind: "mask", mask: ID },
  ];
  const sound = {
    ...BEGIN, photo: PICTURE, warp: [[0, 0], [0.1, 0], [0, 0], [0, 0]], text: TEXT, steps, crop: [0, 0, 9, 9],
    guides: [{ axis: "x", at: 3 }], adjust: { exposure: 0.5, curve }, shadowStrength: 0.5,
  };
  for (const [key, value] of Object.entries(sound)) assert.ok(isSound(key, value), key);
  const wrong = {
    warp: [[], [[0, 0]], [[0, 0], [1, 0], [0, 0], [0, "0"]], "abcd", [[0, 0], [0, 0], [0, 0], [0]]],
    text: [{}, "Words", { ...TEXT, font: "url(x)" }],
    guides: [null, [null], [{ axis: "z", at: 3 }], [{ axis: "x", at: "3" }]],
    steps: [
      [{ kind: "star" }], [null], [{ kind: "lasso" }], [{ kind: "scribble", line: [], add: true }],
      [{ kind: ["click"], x: 1, y: 1, add: true }], [{ kind: "mask", mask: 3 }],
    ],
    adjust: [null, [], { curve: [] }, { curve: [[0, 0]] }, { curve: [[0, 0], [1]] }, { exposure: "1" }],
    place: [{}, { x: Infinity, y: 0, scale: 1, angle: 0, flip: false }],
    crop: [[], [1, 2, 3]], strength: [NaN, "1", null], shadowStrength: ["dark"], front: [["x"]],
  };
  for (const [key, values] of Object.entries(wrong)) {
    for (const value of values) assert.ok(!isSound(key, value), `${key}: ${JSON.stringify(value)}`);
  }
});
