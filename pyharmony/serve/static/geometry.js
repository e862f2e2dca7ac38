// Geometry: places of a subject, boxes, and the view of an image on the screen. Nothing here draws.
//
// Coordinates are pixels of the image at full size, counted from the corner of the first one. The box of a cut-out is
// its bounding box, relative to the centre of its photo, in its own pixels.

/** @typedef {{ x: number, y: number }} Point */
/** @typedef {{ width: number, height: number }} Size */
/** @typedef {Point & Size} Box */
/** @typedef {[number, number, number, number]} Rectangle x, y, width and height, as the service writes them */
/**
 * The place of a subject: the position of its photo's centre, its scale, its rotation in degrees clockwise, and
 * whether it is mirrored.
 *
 * @typedef {Point & { scale: number, angle: number, flip: boolean }} Place
 */
/** @typedef {Point & { zoom: number }} View the position of an image's corner on the screen, and its scale there */

/** Half pixels are rounded to the integer that was typed, regardless of rounding errors in the last digits. */
export const TIE = 1e-4;
/** The place of a subject in its own photo, with the centre in the corner. */
export const UNPLACED = Object.freeze({ x: 0, y: 0, scale: 1, angle: 0, flip: false });
/** The smallest and the largest scale of a place. */
const SCALES = [0.01, 100];
/** The number of shifts of a place across the width of a background. */
const SHIFTS = 40;
/** The smallest and the largest zoom. */
const ZOOMS = [0.02, 16];

/** @type {(value: number, low: number, high: number) => number} */
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** @param {number} scale */
export const scaleWithin = (scale) => clamp(scale, SCALES[0], SCALES[1]);

/** Returns an angle normalised to -180 to 180. @param {number} angle */
export function turnOf(angle) {
  return ((((angle + 180) % 360) + 360) % 360) - 180;
}

/** Returns the move by a button or an arrow key: left, right, up or down; null: not a move. */
/** @type {(by: string, step: number) => Point | null} */
export function moveOf(by, step) {
  /** @type {Record<string, Point>} */
  const moves = { left: { x: -step, y: 0 }, right: { x: step, y: 0 }, up: { x: 0, y: -step }, down: { x: 0, y: step } };
  return moves[by] ?? null;
}

// ---- places ----

/** Returns the position of a point relative to the centre of the subject's photo, in its own pixels. */
/** @type {(place: Place, right: number, down: number) => Point} */
export function pointOf(place, right, down) {
  const x = right * place.scale * (place.flip ? -1 : 1);
  const y = down * place.scale;
  const turn = (place.angle * Math.PI) / 180;
  return { x: place.x + x * Math.cos(turn) - y * Math.sin(turn), y: place.y + x * Math.sin(turn) + y * Math.cos(turn) };
}

/** Returns a point of the background relative to the centre of a placed photo, in its own pixels. */
/** @type {(place: Place, point: Point) => Point} */
export function insideOf({ x, y, scale, angle, flip }, point) {
  const turn = (-angle * Math.PI) / 180;
  const [right, down] = [(point.x - x) / scale, (point.y - y) / scale];
  const across = right * Math.cos(turn) - down * Math.sin(turn);
  return { x: flip ? -across : across, y: right * Math.sin(turn) + down * Math.cos(turn) };
}

/** Returns the centre of a placed cut-out. @type {(box: Box, place: Place) => Point} */
export const middleOf = (box, place) => pointOf(place, box.x + box.width / 2, box.y + box.height / 2);

/** Returns the contact: the middle of the lower edge of the box. @type {(box: Box, place: Place) => Point} */
export const footOf = (box, place) => pointOf(place, box.x + box.width / 2, box.y + box.height);

/** Returns a place with some values changed; the centre of the cut-out is kept. */
/** @type {(box: Box, place: Place, change: Partial<Place>) => Place} */
export function changedPlace(box, place, change) {
  const before = middleOf(box, place);
  const next = { ...place, ...change };
  const after = middleOf(box, next);
  return { ...next, x: next.x + before.x - after.x, y: next.y + before.y - after.y };
}

/**
 * Returns a place after two fingers, in pixels of the background, have gone from one pair of points to another: what
 * lay under them lies under them again, as far as it turns and its scale allows.
 *
 * @type {(place: Place, from: [Point, Point], to: [Point, Point], turns: boolean) => Place}
 */
export function pinchedPlace(place, from, to, turns) {
  const [before, after] = [from, to].map(([a, b]) => {
    const [x, y] = [b.x - a.x, b.y - a.y];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, span: Math.hypot(x, y), angle: Math.atan2(y, x) };
  });
  const scale = scaleWithin((place.scale * after.span) / Math.max(before.span, Number.EPSILON));
  const turn = turns ? after.angle - before.angle : 0;
  const [x, y] = [place.x - before.x, place.y - before.y].map((one) => (one * scale) / place.scale);
  return {
    ...place, scale, angle: turnOf(place.angle + (turn * 180) / Math.PI),
    x: after.x + x * Math.cos(turn) - y * Math.sin(turn), y: after.y + x * Math.sin(turn) + y * Math.cos(turn),
  };
}

/** Returns a place aligned to the pixels of the background if possible, so that nothing is interpolated. */
/** @type {(place: Place, photo: Size) => Place} */
export function onPixels(place, { width, height }) {
  if (place.scale !== 1 || place.angle !== 0) return place;
  return {
    ...place,
    x: Math.round(place.x - width / 2 - TIE) + width / 2,
    y: Math.round(place.y - height / 2 - TIE) + height / 2,
  };
}

/** Returns the position of the first pixel of the subject's photo, before rotation: `at` of the service. */
/** @type {(place: Place, photo: Size) => [number, number]} */
export const cornerOf = (place, { width, height }) => [
  place.x - (width * place.scale) / 2, place.y - (height * place.scale) / 2,
];

/** Returns the place whose first pixel is at a corner. */
/** @type {(corner: [number, number], photo: Size, rest: Omit<Place, "x" | "y">) => Place} */
export const placeAt = ([x, y], { width, height }, { scale, angle, flip }) => ({
  x: x + (width * scale) / 2, y: y + (height * scale) / 2, scale, angle, flip,
});

/** @type {(a: Place, b: Place) => boolean} */
export const sameShape = (a, b) => a.scale === b.scale && a.angle === b.angle && a.flip === b.flip;

/** @type {(a: Place, b: Place) => boolean} */
export const samePlace = (a, b) => a.x === b.x && a.y === b.y && sameShape(a, b);

/** Returns the initial place in a composite: in the middle, on the lower edge if the photo crops the subject there. */
/** @type {(box: Box, subject: Size, background: Size) => Place} */
export function standingPlace(box, subject, { width, height }) {
  const scale = Math.min((0.62 * height) / box.height, (0.7 * width) / box.width);
  const cutBelow = box.y + box.height > subject.height / 2 - 2;
  const bottom = cutBelow ? height : 0.94 * height;
  return {
    ...UNPLACED, x: width / 2 - (box.x + box.width / 2) * scale, y: bottom - (box.y + box.height) * scale, scale,
  };
}

/** Returns the initial place in a blend: in the middle, at its own size if it fits. */
/** @type {(box: Box, subject: Size, background: Size) => Place} */
export function middlePlace(box, subject, { width, height }) {
  if (subject.width === width && subject.height === height) return { ...UNPLACED, x: width / 2, y: height / 2 };
  const scale = Math.min(1, (0.8 * width) / box.width, (0.8 * height) / box.height);
  // The first pixel is aligned, so that nothing is interpolated at scale 1.
  const [x, y] = [(width - subject.width * scale) / 2, (height - subject.height * scale) / 2];
  return placeAt([Math.round(x), Math.round(y)], subject, { ...UNPLACED, scale });
}

/** Returns the attributes that move a group that was drawn at one place to another. */
/** @type {(from: Place, to: Place) => Record<string, number>} */
export function carriedTo(from, to) {
  const flips = from.flip !== to.flip;
  const factor = to.scale / from.scale;
  return {
    x: to.x, y: to.y, offsetX: from.x, offsetY: from.y, scaleX: flips ? -factor : factor, scaleY: factor,
    rotation: flips ? to.angle + from.angle : to.angle - from.angle,
  };
}

/**
 * Returns the places to the right of a place and to its left, the nearest first, as far as the background reaches; none
 * if the photo crops the subject at a side, which would be seen.
 *
 * @type {(box: Box, photo: Size, place: Place, background: Size) => Place[][]}
 */
export function placesBeside(box, photo, place, { width }) {
  if (box.x < 1 - photo.width / 2 || box.x + box.width > photo.width / 2 - 1) return [];
  const { x } = middleOf(box, place);
  const half = (box.width * place.scale) / 2;
  const step = width / SHIFTS;
  const rooms = [width - half - x, x - half].map((room) => Math.max(0, Math.floor(room / step)));
  return rooms.map((count, side) => (
    Array.from({ length: count }, (_, i) => ({ ...place, x: place.x + (side ? -step : step) * (i + 1) }))));
}

/** Returns the places, the first of which are the best, that are at least a width of the cut-out from better ones. */
/** @type {<T extends { place: Place }>(places: T[], box: Box) => T[]} */
export function placesApart(places, box) {
  /** @type {typeof places} */
  const apart = [];
  for (const one of places) {
    const { x, y } = middleOf(box, one.place);
    const isFar = apart.every(({ place }) => {
      const other = middleOf(box, place);
      return Math.hypot(x - other.x, y - other.y) >= box.width * Math.max(place.scale, one.place.scale);
    });
    if (isFar) apart.push(one);
  }
  return apart;
}

// ---- boxes and hits ----

/** Returns the box of these shares of a photo, relative to its centre, in its own pixels. */
/** @type {(shares: Box, photo: Size) => Box} */
export const boxOf = ({ x, y, width, height }, photo) => ({
  x: (x - 0.5) * photo.width, y: (y - 0.5) * photo.height, width: width * photo.width, height: height * photo.height,
});

/** @type {(point: Point, image: Size) => boolean} */
export const isInside = ({ x, y }, { width, height }) => x >= 0 && y >= 0 && x < width && y < height;

/** Returns the indices of the rectangles near a placed subject. */
/** @type {(rectangles: Rectangle[], box: Box, place: Place) => number[]} */
export function nearTo(rectangles, box, place) {
  const middle = middleOf(box, place);
  const reach = (Math.hypot(box.width, box.height) / 2) * place.scale;
  return rectangles.flatMap(([x, y, wide, high], i) => {
    const across = x < middle.x + reach && x + wide > middle.x - reach;
    return across && y < middle.y + reach && y + high > middle.y - reach ? [i] : [];
  });
}

/** Returns a rectangle in whole pixels within an image, of a ratio if there is one; least: the least side. */
/** @type {(rectangle: Rectangle, image: Size, ratio: number | null, least: number) => Rectangle} */
export function croppedTo([x, y, width, height], image, ratio, least) {
  let wide = clamp(Math.round(width) || least, least, image.width);
  let high = clamp(Math.round(height) || least, least, image.height);
  if (ratio) {
    // The larger of the two rectangles of the ratio that fit inside.
    wide = Math.max(1, Math.min(wide, Math.round(high * ratio)));
    high = Math.max(1, Math.min(high, Math.round(wide / ratio)));
  }
  // The middle stays, as far as the image allows.
  const [left, top] = [(Number(x) || 0) + (width - wide) / 2, (Number(y) || 0) + (height - high) / 2];
  return [clamp(Math.round(left), 0, image.width - wide), clamp(Math.round(top), 0, image.height - high), wide, high];
}

/** Returns the rectangle of typed numbers: its corner stays, and it ends within the image, with the ratio. */
/** @type {(rectangle: Rectangle, image: Size, ratio: number | null, least: number) => Rectangle} */
export function typedCrop([x, y, width, height], image, ratio, least) {
  const [low, flat] = [least * Math.max(1, ratio ?? 1), least * Math.max(1, 1 / (ratio ?? 1))];
  const [left, top] = [
    clamp(Math.round(x), 0, Math.max(0, Math.floor(image.width - low))),
    clamp(Math.round(y), 0, Math.max(0, Math.floor(image.height - flat))),
  ];
  const [across, down] = [image.width - left, image.height - top];
  if (!ratio) return [left, top, clamp(Math.round(width), least, across), clamp(Math.round(height), least, down)];
  const wide = clamp(width, low, Math.min(across, down * ratio));
  return [left, top, Math.round(wide), Math.max(1, Math.round(wide / ratio))];
}

// ---- the view ----

/** Returns the view that shows the whole image, with room above, below and beside it for what lies over the screen. */
/** @type {(image: Size, screen: Size, room: number[]) => View} */
export function fittedView(image, screen, [top, right, bottom, left]) {
  const [width, height] = [screen.width - left - right, screen.height - top - bottom];
  const zoom = Math.max(Math.min(width / image.width, height / image.height, 4), 0.01);
  const [x, y] = [left + (width - image.width * zoom) / 2, top + (height - image.height * zoom) / 2];
  return { x: Math.round(x), y: Math.round(y), zoom };
}

/** Returns a view with another zoom; the image point at a point of the screen is kept. */
/** @type {(view: View, zoom: number, point: Point) => View} */
export function zoomedView(view, zoom, { x, y }) {
  const next = clamp(zoom, ZOOMS[0], ZOOMS[1]);
  return { x: x - ((x - view.x) * next) / view.zoom, y: y - ((y - view.y) * next) / view.zoom, zoom: next };
}

/** Returns the point of the image at a point of the screen. @type {(view: View, point: Point) => Point} */
export const toImage = (view, { x, y }) => ({ x: (x - view.x) / view.zoom, y: (y - view.y) / view.zoom });

/** Returns whether the whole image is visible, except for a pixel. */
/** @type {(view: View, image: Size, screen: Size) => boolean} */
export const isWhole = ({ x, y, zoom }, image, screen) => x >= -1 && y >= -1
  && x + image.width * zoom <= screen.width + 1 && y + image.height * zoom <= screen.height + 1;
