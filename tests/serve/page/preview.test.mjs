// When the service is asked for what shows the document: one thing at a time, and the newest state last.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Preview } from "../../../pyharmony/serve/static/preview.js";

/** Returns a preview whose layers are noted, and a session whose way prepares until it is let go. */
function previewOf() {
  const laid = [];
  const session = { isOpen: true, step: "place", dragging: null, side: 1024, stage: { element: { dataset: {} } } };
  let letGo = () => {};
  session.way = { prepare: () => new Promise((done) => { letGo = done; }) };
  const preview = new Preview(session);
  preview.lay = async (doc, side) => { laid.push([doc, side]); };
  preview.later = () => laid.push("later");
  return { preview, session, laid, letGo: () => letGo() };
}

test("what is made of the document at rest is told where it is there", async () => {
  const { preview, session, laid, letGo } = previewOf();
  const settled = preview.settle();
  assert.equal(preview.isBusy, true);
  letGo();
  await settled;
  assert.deepEqual([preview.isBusy, session.stage.element.dataset.state, laid], [false, "rests", []]);
});

test("what changes while something is made is asked for after it, once", async () => {
  const { preview, session, laid, letGo } = previewOf();
  const settled = preview.settle();
  await preview.settle();
  await preview.settle();
  letGo();
  await settled;
  assert.deepEqual([laid, session.stage.element.dataset.state], [["later"], undefined]);
});

test("nothing is made while something is dragged", async () => {
  const { preview, session, laid } = previewOf();
  session.dragging = { x: 1, y: 2 };
  await preview.settle();
  assert.deepEqual([preview.isBusy, laid], [false, ["later"]]);
});

test("layers of what is being changed are quick, and the newest state comes last", async () => {
  const { preview, laid } = previewOf();
  const first = preview.layMeanwhile("first");
  preview.layMeanwhile("second");
  preview.layMeanwhile("third");
  await first;
  assert.deepEqual(laid, [["first", 512], ["third", 512]]);
});

test("what begins to change while something is made is followed, even where it then stays", async () => {
  const { preview, session, laid, letGo } = previewOf();
  const settled = preview.settle();
  session.dragging = { x: 1, y: 2 };
  await preview.layMeanwhile("turned");
  assert.deepEqual(laid, []);
  letGo();
  await settled;
  assert.deepEqual(laid, [["turned", 512]]);
});

test("who closes it is asked for nothing more", async () => {
  const { preview, session, laid, letGo } = previewOf();
  const settled = preview.settle();
  await preview.layMeanwhile("turned");
  session.isOpen = false;
  letGo();
  await settled;
  assert.deepEqual([laid, session.stage.element.dataset.state], [[], undefined]);
});

test("layers show the subject of the mask that they were made for", () => {
  const { preview } = previewOf();
  const [mask, layer] = [{ id: "m" }, {}];
  assert.equal(preview.layersOf({ mask }), null);
  preview.layers = { mask, plain: layer, matched: layer };
  assert.equal(preview.layersOf({ mask }), preview.layers);
  assert.equal(preview.layersOf({ mask: { id: "n" } }), null);
  preview.layers = { mask };
  assert.equal(preview.layersOf({ mask }), null);
});
