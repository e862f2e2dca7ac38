// The canvas library, which is loaded by its own script, with its types; images and groups on it.

import { carriedTo } from "./geometry.js";

/** @typedef {typeof import("konva").default} KonvaLibrary */
/** @typedef {import("konva").default.Group} Group */
/** @import { Place, Rectangle } from "./geometry.js" */
/** @typedef {HTMLImageElement | HTMLCanvasElement | ImageBitmap} Drawable */

export const { Konva } = /** @type {{ Konva: KonvaLibrary }} */ (/** @type {unknown} */ (globalThis));
// Detects the shape below a pointer during a drag, too.
Konva.hitOnDragEnabled = true;

/** Returns a colour of the style sheet. @param {string} name */
export const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The colours of lines and strokes that add and remove. */
export const [ADDS, REMOVES] = ["#0f6b5c", "#b3261e"];

/** Shows an image in a rectangle; null: hides it. */
/** @type {(node: import("konva").default.Image, image: Drawable | null, box?: Rectangle) => void} */
export function put(node, image, [x, y, width, height] = [0, 0, 0, 0]) {
  if (!image) node.visible(false);
  else if (node.image() !== image || !node.visible() || node.x() !== x || node.y() !== y) {
    node.setAttrs({ image, x, y, width, height, visible: true });
  }
}

/** Puts images into a group, whose position then moves them together. */
/** @type {(group: Group, images: [Drawable, Rectangle][], operation?: GlobalCompositeOperation) => void} */
export function fill(group, images, operation = "source-over") {
  group.destroyChildren();
  for (const [image, [x, y, width, height]] of images) {
    group.add(new Konva.Image({ image, x, y, width, height, globalCompositeOperation: operation, listening: false }));
  }
  group.visible(images.length > 0);
  group.getLayer()?.batchDraw();
}

/** Lays the images of a group over what is below them: their opacity and their mode. */
/** @type {(group: Group, opacity: number, mode: string) => void} */
export function lay(group, opacity, mode) {
  group.opacity(opacity);
  for (const image of /** @type {import("konva").default.Image[]} */ (group.getChildren())) {
    image.globalCompositeOperation(/** @type {GlobalCompositeOperation} */ (mode === "normal" ? "source-over" : mode));
  }
}

/** Creates a group in another one. @param {Group} parent */
export function groupIn(parent) {
  const group = new Konva.Group({ listening: false });
  parent.add(group);
  return group;
}

/** Moves a group of a subject that was drawn at one place to another place. */
/** @type {(group: Group, from: Place, to: Place) => void} */
export function carry(group, from, to) {
  group.setAttrs(carriedTo(from, to));
  group.getLayer()?.batchDraw();
}
