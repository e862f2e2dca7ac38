// The library of the canvas, which a script of its own brings, with its types; images and groups on it.

import { carriedTo } from "./geometry.js";

/** @typedef {typeof import("konva").default} KonvaLibrary */
/** @typedef {import("konva").default.Group} Group */
/** @typedef {import("./geometry.js").Place} Place */
/** @typedef {import("./geometry.js").Rectangle} Rectangle */
/** @typedef {HTMLImageElement | HTMLCanvasElement | ImageBitmap} Drawable */

export const { Konva } = /** @type {{ Konva: KonvaLibrary }} */ (/** @type {unknown} */ (globalThis));
// What is below a pointer is felt while something is dragged, too.
Konva.hitOnDragEnabled = true;

/**
 * Returns a colour of the style sheet.
 *
 * @param {string} name
 */
export const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The colours of what is added and removed by a line or a stroke. */
export const [ADDS, REMOVES] = ["#0f6b5c", "#b3261e"];

/**
 * Shows an image in a rectangle; null: does not.
 *
 * @param {import("konva").default.Image} node
 * @param {Drawable | null} image
 * @param {Rectangle} [box]
 */
export function put(node, image, [x, y, width, height] = [0, 0, 0, 0]) {
  if (!image) node.visible(false);
  else if (node.image() !== image || !node.visible() || node.x() !== x || node.y() !== y) {
    node.setAttrs({ image, x, y, width, height, visible: true });
  }
}

/**
 * Lays images into a group, whose own position then moves them together.
 *
 * @param {Group} group
 * @param {[Drawable, Rectangle][]} images
 * @param {GlobalCompositeOperation} [operation]
 */
export function fill(group, images, operation = "source-over") {
  group.destroyChildren();
  for (const [image, [x, y, width, height]] of images) {
    group.add(new Konva.Image({ image, x, y, width, height, globalCompositeOperation: operation, listening: false }));
  }
  group.visible(images.length > 0);
  group.getLayer()?.batchDraw();
}

/**
 * Makes a group in another one.
 *
 * @param {Group} parent
 */
export function groupIn(parent) {
  const group = new Konva.Group({ listening: false });
  parent.add(group);
  return group;
}

/**
 * Moves a group as a subject that was drawn at one place lies at another.
 *
 * @param {Group} group
 * @param {Place} from
 * @param {Place} to
 */
export function carry(group, from, to) {
  group.setAttrs(carriedTo(from, to));
  group.getLayer()?.batchDraw();
}
