// The real blend while something is dragged: few requests at a time, and only what is new is shown.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

// The library of the canvas is there before the modules; nothing is drawn here.
globalThis.Konva = {};
const { LiveBlends } = await import("../../../pyharmony/serve/static/blends.js");

const PLACE = { x: 0, y: 0, scale: 1, angle: 0, flip: false };
/** @type {Fake[]} */
let workers = [];

/** A worker that notes what it is asked for. */
class Fake {
  constructor() {
    this.sent = [];
    this.hear = {};
    workers.push(this);
  }

  addEventListener(kind, run) { this.hear[kind] = run; }
  postMessage(message) { this.sent.push(message); }
  terminate() {}
  answer(number, box = [0, 0, 9, 9]) { this.hear.message({ data: { number, box, image: { number } } }); }
}

class Node {
  constructor() { this.values = { visible: false }; }
  setAttrs(values) { Object.assign(this.values, values); }
  visible(value) {
    if (value !== undefined) this.values.visible = value;
    return this.values.visible;
  }
  image() { return this.values.image; }
  x() { return this.values.x; }
  y() { return this.values.y; }
}

function blendsOf() {
  const stage = { tile: new Node(), element: { dataset: {} } };
  const blends = new LiveBlends(stage);
  const session = {
    doc: { place: PLACE }, below: { id: "b", width: 400, height: 300 }, box: { width: 40, height: 40 }, dragging: PLACE,
    preview: { layers: null }, scene: { drawMoving() {} },
    way: { liveBody: (_, place) => ({ side: 1024, at: place.x }), liveMode: () => "poisson" },
  };
  const [worker] = workers;
  return { blends, stage, session, worker, follow: (x) => blends.follow(session, { ...PLACE, x }) };
}

beforeEach(() => {
  workers = [];
  globalThis.Worker = Fake;
});

test("while something is dragged two are asked for at a time, and of the rest the newest", () => {
  const { worker, stage, follow } = blendsOf();
  for (const x of [1, 2, 3, 4]) follow(x);
  assert.deepEqual(worker.sent.map(({ body }) => body.at), [1, 2]);
  worker.answer(1);
  assert.deepEqual(worker.sent.map(({ body }) => body.at), [1, 2, 4]);
  assert.deepEqual([stage.tile.image().number, stage.element.dataset.frames], [1, "1"]);
});

test("what is let go is asked for at once, in full and without loss", () => {
  const { worker, session, follow } = blendsOf();
  for (const x of [1, 2, 3]) follow(x);
  session.dragging = null;
  follow(3.5);
  const { body } = worker.sent.at(-1);
  assert.deepEqual([worker.sent.length, body.at, body.detail, body.format], [3, 3.5, 1, "png"]);
});

test("the same is asked for once, and again where it is to be forgotten", () => {
  const { blends, worker, follow } = blendsOf();
  follow(1);
  follow(1);
  worker.answer(1);
  follow(1);
  assert.equal(worker.sent.length, 1);
  blends.forget();
  follow(1);
  assert.equal(worker.sent.length, 2);
});

test("an older blend than the one that is shown is not shown", () => {
  const { blends, worker, stage, follow } = blendsOf();
  follow(1);
  follow(2);
  worker.answer(2);
  worker.answer(1);
  assert.deepEqual([stage.tile.image().number, blends.shown.place.x], [2, 2]);
});

test("a blend of other layers, of another mode or of what was closed is not shown", () => {
  const { blends, worker, session, stage, follow } = blendsOf();
  follow(1);
  session.preview.layers = {};
  worker.answer(1);
  follow(2);
  session.way.liveMode = () => "alpha";
  worker.answer(2);
  follow(3);
  blends.stop();
  worker.answer(3);
  assert.deepEqual([stage.tile.visible(), stage.element.dataset.frames], [false, undefined]);
});

test("where there is no blend, the subject is seen by itself", () => {
  const { blends, worker, session, stage, follow } = blendsOf();
  follow(1);
  worker.answer(1);
  assert.equal(blends.shown.place.x, 1);
  session.way.liveBody = () => null;
  follow(2);
  assert.deepEqual([blends.shown, stage.tile.visible(), worker.sent.length], [null, false, 1]);
});

test("a worker that cannot be loaded is begun again with the next blend", () => {
  const { worker, follow } = blendsOf();
  worker.hear.error();
  follow(1);
  assert.deepEqual([workers.length, workers[1].sent.length], [2, 1]);
});
