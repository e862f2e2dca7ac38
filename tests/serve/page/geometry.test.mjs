// Places, boxes, hits and views.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as geometry from "../../../pyharmony/serve/static/geometry.js";

const { UNPLACED } = geometry;
/** What is cut out fills this of a photograph of 120 × 80 pixels: it lies to the right of the middle and above it. */
const BOX = { x: 10, y: -30, width: 40, height: 20 };
const PHOTO = { width: 120, height: 80 };
const BACKGROUND = { width: 400, height: 300 };

const near = (actual, expected) => {
  for (const [name, value] of Object.entries(expected)) {
    assert.ok(Math.abs(actual[name] - value) < 1e-9, `${name}: ${actual[name]} is not ${value}`);
  }
};

test("an angle is told from -180 to 180", () => {
  assert.deepEqual([0, 180, 181, -181, 540, -540].map(geometry.turnOf), [0, -180, -179, 179, -180, -180]);
});

test("a button moves by a step, and others do not", () => {
  assert.deepEqual(geometry.moveOf("left", 10), { x: -10, y: 0 });
  assert.deepEqual(geometry.moveOf("down", 1), { x: 0, y: 1 });
  assert.equal(geometry.moveOf("larger", 1), null);
});

test("the middle of what is cut out is scaled, mirrored and turned about the middle of its photograph", () => {
  const place = { ...UNPLACED, x: 200, y: 100 };
  near(geometry.middleOf(BOX, place), { x: 230, y: 80 });
  near(geometry.middleOf(BOX, { ...place, scale: 2 }), { x: 260, y: 60 });
  near(geometry.middleOf(BOX, { ...place, flip: true }), { x: 170, y: 80 });
  // A quarter clockwise: what lay above lies to the right.
  near(geometry.middleOf(BOX, { ...place, angle: 90 }), { x: 220, y: 130 });
  near(geometry.footOf(BOX, place), { x: 230, y: 90 });
  near(geometry.footOf(BOX, { ...place, angle: 180 }), { x: 170, y: 110 });
});

test("where size, turn or side change, the middle of what is cut out stays", () => {
  const place = { x: 200, y: 100, scale: 1.5, angle: 20, flip: false };
  const middle = geometry.middleOf(BOX, place);
  for (const change of [{ scale: 0.3 }, { angle: -75 }, { flip: true, angle: -20 }]) {
    const changed = geometry.changedPlace(BOX, place, change);
    near(geometry.middleOf(BOX, changed), middle);
    near({ ...changed, flip: Number(changed.flip) }, { ...change, flip: Number(change.flip ?? false) });
  }
});

test("places that are offered are at least a width of the subject apart", () => {
  // What is cut out is 40 pixels wide: at scale 2, 80.
  const at = (x, y, scale = 1) => ({ place: { ...UNPLACED, x, y, scale } });
  const first = at(100, 100);
  const apart = (...places) => geometry.placesApart([first, ...places], BOX);
  assert.deepEqual(apart(), [first]);
  assert.deepEqual(apart(at(139, 100), at(100, 61)), [first]);
  assert.deepEqual(apart(at(141, 100), at(60, 100)), [first, at(141, 100), at(60, 100)]);
  // The larger of two counts, and so do all that were taken before.
  assert.deepEqual(apart(at(120, 100, 2)), [first]);
  assert.deepEqual(apart(at(300, 100), at(310, 110), at(100, 200)), [first, at(300, 100), at(100, 200)]);
});

test("two fingers move, scale and turn: what lay under them lies under them again", () => {
  const place = { x: 200, y: 100, scale: 1.5, angle: 20, flip: true };
  const from = [{ x: 180, y: 90 }, { x: 240, y: 130 }];
  /** Returns the point of the photograph at a point of the background. */
  const under = ({ x, y, scale, angle, flip }, point) => {
    const turn = (-angle * Math.PI) / 180;
    const [right, down] = [(point.x - x) / scale, (point.y - y) / scale];
    const across = right * Math.cos(turn) - down * Math.sin(turn);
    return { x: flip ? -across : across, y: right * Math.sin(turn) + down * Math.cos(turn) };
  };
  for (const to of [
    [{ x: 180, y: 90 }, { x: 240, y: 130 }], [{ x: 100, y: 50 }, { x: 260, y: 170 }],
    [{ x: 240, y: 130 }, { x: 180, y: 90 }], [{ x: 300, y: 10 }, { x: 300, y: 90 }],
  ]) {
    const next = geometry.pinchedPlace(place, from, to, true);
    [0, 1].forEach((i) => near(under(next, to[i]), under(place, from[i])));
    assert.equal(next.flip, true);
    assert.equal(geometry.pinchedPlace(place, from, to, false).angle, 20);
  }
  // No scale is beyond what fields accept, and fingers at one point divide by nothing.
  assert.equal(geometry.pinchedPlace(place, from, [{ x: 0, y: 0 }, { x: 9e6, y: 0 }], true).scale, 100);
  const one = [{ x: 5, y: 5 }, { x: 5, y: 5 }];
  assert.ok(Object.values(geometry.pinchedPlace(place, one, from, true)).every((value) => !Number.isNaN(value)));
});

test("what is neither scaled nor turned lies on whole pixels, halves where its photograph is odd", () => {
  near(geometry.onPixels({ ...UNPLACED, x: 100.4, y: 50.6 }, PHOTO), { x: 100, y: 51 });
  near(geometry.onPixels({ ...UNPLACED, x: 100.4, y: 50.6 }, { width: 121, height: 81 }), { x: 100.5, y: 50.5 });
  // Half a pixel goes to what was typed, whatever the last digits of the sum are.
  near(geometry.onPixels({ ...UNPLACED, x: 100.50000000001, y: 99.5 }, PHOTO), { x: 100, y: 99 });
  const turned = { ...UNPLACED, x: 100.4, y: 50.6, angle: 1 };
  assert.equal(geometry.onPixels(turned, PHOTO), turned);
});

test("a corner and its place are one another's", () => {
  const place = { x: 170, y: 110, scale: 0.5, angle: 30, flip: true };
  assert.deepEqual(geometry.cornerOf(place, PHOTO), [140, 90]);
  assert.deepEqual(geometry.placeAt([140, 90], PHOTO, place), place);
});

test("places are the same where all values are", () => {
  const place = { x: 1, y: 2, scale: 3, angle: 4, flip: false };
  assert.ok(geometry.samePlace(place, { ...place }) && geometry.sameShape(place, { ...place, x: 9 }));
  for (const change of [{ x: 0 }, { y: 0 }, { scale: 1 }, { angle: 0 }, { flip: true }]) {
    assert.ok(!geometry.samePlace(place, { ...place, ...change }));
  }
});

test("a composite begins within the background, and on its lower edge where the photograph cuts it there", () => {
  const place = geometry.standingPlace(BOX, PHOTO, BACKGROUND);
  near(place, { scale: Math.min((0.62 * 300) / 20, (0.7 * 400) / 40) });
  near(geometry.middleOf(BOX, place), { x: 200 });
  near(geometry.footOf(BOX, place), { y: 0.94 * 300 });
  const cut = { ...BOX, y: 20 };
  near(geometry.footOf(cut, geometry.standingPlace(cut, PHOTO, BACKGROUND)), { x: 200, y: 300 });
});

test("a blend begins in the middle, on whole pixels, and no larger than it is", () => {
  assert.deepEqual(geometry.middlePlace(BOX, PHOTO, BACKGROUND), { ...UNPLACED, x: 200, y: 150 });
  assert.deepEqual(geometry.cornerOf(geometry.middlePlace(BOX, PHOTO, { width: 401, height: 301 }), PHOTO), [141, 111]);
  // A photograph of the background's size lies where it lay, whatever is cut out of it.
  assert.deepEqual(geometry.middlePlace(BOX, PHOTO, PHOTO), { ...UNPLACED, x: 60, y: 40 });
  near(geometry.middlePlace(BOX, PHOTO, { width: 40, height: 300 }), { scale: 0.8 });
});

test("a group that is carried to a place shows there what was drawn at another", () => {
  const from = { x: 100, y: 50, scale: 2, angle: 10, flip: false };
  assert.deepEqual(geometry.carriedTo(from, { ...from, x: 140 }), {
    x: 140, y: 50, offsetX: 100, offsetY: 50, scaleX: 1, scaleY: 1, rotation: 0,
  });
  const mirrored = geometry.carriedTo(from, { ...from, scale: 3, angle: 30, flip: true });
  assert.deepEqual([mirrored.scaleX, mirrored.scaleY, mirrored.rotation], [-1.5, 1.5, 40]);
});

test("the box of a mask is told from the middle of its photograph", () => {
  const shares = { x: 0.25, y: 0.5, width: 0.5, height: 0.25 };
  assert.deepEqual(geometry.boxOf(shares, PHOTO), { x: -30, y: 0, width: 60, height: 20 });
});

test("a point is inside an image from its first pixel to its last", () => {
  const inside = ([x, y]) => geometry.isInside({ x, y }, PHOTO);
  const points = [[0, 0], [119.9, 79.9], [120, 10], [10, 80], [-0.1, 10]];
  assert.deepEqual(points.map(inside), [true, true, false, false, false]);
});

test("who stands near is told by number", () => {
  const place = { ...UNPLACED, x: 200, y: 100 };  // the middle of what is cut out lies at 230, 80
  const people = [[0, 0, 50, 300], [200, 60, 50, 50], [250, 90, 10, 10], [200, 200, 50, 50]];
  assert.deepEqual(geometry.nearTo(people, BOX, place), [1, 2]);
  assert.deepEqual(geometry.nearTo(people, BOX, { ...place, scale: 0.1 }), [1]);
  assert.deepEqual(geometry.nearTo([], BOX, place), []);
});

test("the places beside one end where the background ends", () => {
  const place = { ...UNPLACED, x: 200, y: 100 };  // what is cut out reaches from 210 to 250
  const [right, left] = geometry.placesBeside(BOX, PHOTO, place, BACKGROUND);
  assert.deepEqual([right.length, left.length], [15, 21]);
  assert.deepEqual([right[0], right[14].x, left[0].x, left[20].x], [{ ...place, x: 210 }, 350, 190, -10]);
  assert.deepEqual(geometry.placesBeside(BOX, PHOTO, { ...place, x: 400 }, BACKGROUND)[0], []);
  assert.deepEqual(geometry.placesBeside({ ...BOX, x: -60 }, PHOTO, place, BACKGROUND), []);
});

test("a crop that is typed keeps its corner and its ratio, within the image", () => {
  const typed = (crop, ratio = null) => geometry.typedCrop(crop, BACKGROUND, ratio, 16);
  assert.deepEqual(typed([20, 30, 100, 80]), [20, 30, 100, 80]);
  assert.deepEqual(typed([390, -4, 100, 400]), [384, 0, 16, 300]);
  assert.deepEqual(typed([20, 30, 102, 80], 16 / 9), [20, 30, 102, 57]);
  assert.deepEqual(typed([20, 200, 300, 80], 16 / 9), [20, 200, 178, 100]);
  assert.deepEqual(typed([395, 295, 1, 1], 16 / 9), [371, 284, 28, 16]);
  assert.deepEqual(geometry.typedCrop([3, 3, 50, 50], { width: 10, height: 8 }, 1, 16), [0, 0, 8, 8]);
  for (let width = 16; width <= 400; width += 1) {
    for (const ratio of [1, 4 / 3, 16 / 9, 0.75]) {
      const [x, y, wide, high] = typed([100, 50, width, 0], ratio);
      assert.ok(x === 100 && y === 50 && x + wide <= 400 && y + high <= 300 && Math.abs(wide - high * ratio) <= ratio);
    }
  }
});

test("the whole image fits into the view, with room for the tools", () => {
  const screen = { width: 1000, height: 728 };
  const room = [56, 36, 72, 36];
  const view = geometry.fittedView(BACKGROUND, screen, room);
  near(view, { zoom: 2, x: 100, y: 56 });
  assert.ok(geometry.isWhole(view, BACKGROUND, screen));
  assert.equal(geometry.fittedView({ width: 10, height: 10 }, screen, room).zoom, 4);
  assert.equal(geometry.fittedView({ width: 1e6, height: 10 }, screen, room).zoom, 0.01);
  near(geometry.fittedView(BACKGROUND, { width: 420, height: 500 }, [48, 10, 24, 10]), { zoom: 1, x: 10, y: 112 });
});

test("what lies under the pointer stays there while one looks closer", () => {
  const view = { x: 100, y: 56, zoom: 2 };
  const point = { x: 310, y: 222 };
  const closer = geometry.zoomedView(view, 5, point);
  near(geometry.toImage(closer, point), geometry.toImage(view, point));
  assert.deepEqual([geometry.zoomedView(view, 99, point).zoom, geometry.zoomedView(view, 0, point).zoom], [16, 0.02]);
  assert.ok(!geometry.isWhole(closer, BACKGROUND, { width: 1000, height: 728 }));
});
