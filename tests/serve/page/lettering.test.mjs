// Words as an image: what is accepted, their names, and where their lines lie.

import assert from "node:assert/strict";
import { test } from "node:test";

import { BEGIN, isSameResult } from "../../../pyharmony/serve/static/document.js";
import * as lettering from "../../../pyharmony/serve/static/lettering.js";

const TEXT = { string: "One\nlonger line", font: "serif", colour: "#00ff80", size: 40, weight: 400, align: "left" };
/** Letters that are all 10 wide and reach 2 to the left. */
const measure = (string) => (
  { width: 10 * string.length, actualBoundingBoxLeft: 2, actualBoundingBoxRight: 10 * string.length });

test("a text has words, and values of its form alone", () => {
  assert.deepEqual(lettering.textOf({ ...TEXT, other: 1 }), TEXT);
  assert.equal(lettering.textOf({ ...TEXT, size: 1e9 }).size, 4000);
  const wrong = [
    { string: " \n" }, { string: 3 }, { string: "a".repeat(3000) }, { font: "url(x)" }, { colour: "red" },
    { size: NaN }, { weight: "bold" }, { weight: 50 }, { align: "justify" },
  ];
  for (const change of wrong) assert.equal(lettering.textOf({ ...TEXT, ...change }), null);
  for (const value of [null, undefined, 3, "a"]) assert.equal(lettering.textOf(value), null);
});

test("it is named by its first line", () => {
  assert.equal(lettering.nameOf(TEXT), "One");
  assert.equal(lettering.nameOf({ ...TEXT, string: `\n ${"ab ".repeat(30)}` }).length, 39);
  assert.equal(lettering.fileOf({ ...TEXT, string: "../a: b?" }, 2), "..a b-2.png");
  assert.equal(lettering.fileOf({ ...TEXT, string: "???" }, 3), "text-3.png");
});

test("lines lie one below the other, to the left, in the middle or to the right", () => {
  const rows = ["left", "center", "right"].map((align) => lettering.layoutOf({ ...TEXT, align }, measure));
  for (const { width, height, lines } of rows) {
    assert.deepEqual([width, height, lines.length], [112 + 32, 100 + 32, 2]);
    assert.equal(lines[1].y - lines[0].y, 50);
    assert.equal(lines[1].x, 18);
  }
  assert.deepEqual(rows.map(({ lines }) => lines[0].x), [18, 58, 98]);
});

test("an image of words has two pixels for one of the background, within limits", () => {
  assert.equal(lettering.densityOf({ width: 300, height: 100 }), 2);
  assert.equal(lettering.densityOf({ width: 8000, height: 2000 }), 1);
  assert.equal(lettering.densityOf({ width: 16384, height: 10 }), 0.5);
  assert.equal(lettering.densityOf({ width: 1000, height: 1000 }, 250_000), 0.5);
});

test("words are a part of the result, and guides are none", () => {
  assert.ok(!isSameResult(BEGIN, { ...BEGIN, text: TEXT }));
  assert.ok(isSameResult(BEGIN, { ...BEGIN, guides: [{ axis: "x", at: 3 }] }));
});
