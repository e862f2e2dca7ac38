// Pixels on canvases: masks, cut-outs, mixtures; independent of the page and the service.

import { clamp } from "./geometry.js";

/** @import { Box, Place, Point, Rectangle, Size } from "./geometry.js" */
/** @typedef {(context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => void} Draw */

/** The value from which on a pixel of a shadow counts as unshaded. */
const LIGHT = 235;
/** The colour and the size of the squares under a cut-out, in pixels of the proxy. */
const [CHECK, SQUARE] = ["#c9ccca", 16];
/** The share of the largest side to which a photo is reduced, and the quality of its JPEG. */
const [FITS, JPEG] = [0.999, 0.95];

/** @param {HTMLCanvasElement} canvas */
const contextOf = (canvas) => (
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }))
);

/** Creates a canvas of a size, on which `draw` draws. */
/** @type {(width: number, height: number, draw?: Draw) => HTMLCanvasElement} */
export function canvasOf(width, height, draw = () => {}) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width));
  canvas.height = Math.max(1, Math.round(height));
  draw(contextOf(canvas), canvas);
  return canvas;
}

/** @param {HTMLCanvasElement} canvas */
const dataOf = (canvas) => contextOf(canvas).getImageData(0, 0, canvas.width, canvas.height);

/** Returns the pixel values of an image. @param {HTMLImageElement} image */
export function valuesOf(image) {
  return dataOf(canvasOf(image.naturalWidth, image.naturalHeight, (context) => context.drawImage(image, 0, 0)));
}

/** Returns a grey mask as the alpha of a canvas. @param {HTMLImageElement} mask */
export function alphaOf(mask) {
  return canvasOf(mask.naturalWidth, mask.naturalHeight, (context, canvas) => {
    context.drawImage(mask, 0, 0, canvas.width, canvas.height);
    const data = dataOf(canvas);
    const values = data.data;
    for (let i = 0; i < values.length; i += 4) values[i + 3] = values[i];
    context.putImageData(data, 0, 0);
  });
}

/** Returns the bounding box of the pixels of a canvas that are not transparent, as shares of its size; null: none. */
/** @type {(canvas: HTMLCanvasElement) => Box | null} */
export function boundsOf(canvas) {
  const { width, height } = canvas;
  const values = dataOf(canvas).data;
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (values[4 * (y * width + x) + 3] > 127) {
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < top) top = y;
        bottom = y;
      }
    }
  }
  if (right < 0) return null;
  return { x: left / width, y: top / height, width: (right + 1 - left) / width, height: (bottom + 1 - top) / height };
}

/** Returns the colours of a photo under the alpha of a mask; null: all of them. */
/** @type {(image: HTMLImageElement, alpha: HTMLCanvasElement | null) => HTMLCanvasElement} */
export function cutOutOf(image, alpha) {
  return canvasOf(image.naturalWidth, image.naturalHeight, (context, { width, height }) => {
    context.drawImage(image, 0, 0);
    if (alpha) {
      context.globalCompositeOperation = "destination-in";
      context.drawImage(alpha, 0, 0, width, height);
    }
  });
}

/** Returns a function that draws a cut-out of a photo at a place of a background that is reduced by a factor. */
/** @type {(image: HTMLCanvasElement, photo: Size, place: Place, factor: number) => Draw} */
export const drawnAt = (image, { width, height }, { x, y, scale, angle, flip }, factor) => (context) => {
  context.translate(x * factor, y * factor);
  context.rotate((angle * Math.PI) / 180);
  context.scale((flip ? -1 : 1) * scale * factor, scale * factor);
  context.drawImage(image, -width / 2, -height / 2, width, height);
};

/** Returns the area that two canvases of one size share, as a share of the smaller one of what is opaque. */
/** @type {(first: HTMLCanvasElement, second: HTMLCanvasElement) => number} */
export function overlapOf(first, second) {
  const [a, b] = [dataOf(first).data, dataOf(second).data];
  let [one, other, both] = [0, 0, 0];
  for (let i = 3; i < a.length; i += 4) {
    one += a[i];
    other += b[i];
    both += Math.min(a[i], b[i]);
  }
  return both / Math.max(1, Math.min(one, other));
}

/** Returns a canvas as a file of a type. @type {(canvas: HTMLCanvasElement, type: string) => Promise<Blob>} */
function encoded(canvas, type) {
  return new Promise((done, failed) => {
    canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("too large"))), type, JPEG);
  });
}

/** Returns a canvas as a file of PNG. @type {(canvas: HTMLCanvasElement, name: string) => Promise<File>} */
export const fileOfCanvas = async (canvas, name) => (
  new File([await encoded(canvas, "image/png")], name, { type: "image/png" }));

/** Returns a photo reduced to a number of pixels and of bytes; an error: the browser cannot read it. */
/** @type {(file: File, pixels: number, bytes: number) => Promise<File>} */
export async function reducedFile(file, pixels, bytes) {
  const image = await createImageBitmap(file);
  const isPng = file.type === "image/png";
  let factor = Math.min(1, Math.sqrt(pixels / (image.width * image.height)) * FITS);
  for (;;) {
    const [wide, high] = [image.width, image.height].map((side) => Math.floor(side * factor));
    const canvas = canvasOf(wide, high, (context, { width, height }) => {
      context.imageSmoothingQuality = "high";
      context.drawImage(image, 0, 0, width, height);
    });
    const blob = await encoded(canvas, isPng ? "image/png" : "image/jpeg");
    if (blob.size <= bytes) {
      return new File([blob], file.name.replace(/\.[^.]*$/, isPng ? ".png" : ".jpg"), { type: blob.type });
    }
    factor *= Math.min(0.9, Math.sqrt(bytes / blob.size));
  }
}

/** Returns a small image of a cut-out on squares. */
/** @type {(photo: HTMLImageElement, alpha: HTMLCanvasElement) => HTMLCanvasElement} */
export function thumbnailOf(photo, alpha) {
  return canvasOf(alpha.width, alpha.height, (context, { width, height }) => {
    context.drawImage(photo, 0, 0, width, height);
    context.drawImage(backdropOf(alpha, "checks"), 0, 0);
  });
}

/** The styles of a cut-out: over its dimmed photo, on squares, or on white. */
/** @typedef {"photo" | "checks" | "white"} Backdrop */

/** Returns a layer over a photo that shows the cut-out of an alpha, its outline where the photo is seen. */
/** @type {(alpha: HTMLCanvasElement, backdrop: Backdrop) => HTMLCanvasElement} */
export function backdropOf(alpha, backdrop) {
  const outside = veilOf(alpha, { photo: "rgb(16 20 18 / 66%)", checks: "#fff", white: "#fff" }[backdrop]);
  const context = contextOf(outside);
  if (backdrop === "checks") {
    context.globalCompositeOperation = "source-atop";
    context.fillStyle = CHECK;
    for (let y = 0; y < outside.height; y += SQUARE) {
      const first = (y / SQUARE) % 2 ? SQUARE : 0;
      for (let x = first; x < outside.width; x += 2 * SQUARE) context.fillRect(x, y, SQUARE, SQUARE);
    }
  }
  if (backdrop === "photo") {
    context.globalCompositeOperation = "source-over";
    context.drawImage(outlineOf(alpha), 0, 0);
  }
  return outside;
}

/** Returns the outline of an alpha: a bright line, with a dark one outside. @param {HTMLCanvasElement} alpha */
function outlineOf(alpha) {
  const grown = (/** @type {number} */ width, /** @type {string} */ colour) => (
    canvasOf(alpha.width, alpha.height, (context, canvas) => {
      for (let i = 0; i < 16; i += 1) {
        const angle = (i * Math.PI) / 8;
        context.drawImage(alpha, width * Math.cos(angle), width * Math.sin(angle));
      }
      context.globalCompositeOperation = "source-in";
      context.fillStyle = colour;
      context.fillRect(0, 0, canvas.width, canvas.height);
    }));
  return canvasOf(alpha.width, alpha.height, (context) => {
    const width = Math.max(1, Math.max(alpha.width, alpha.height) / 640);
    context.drawImage(grown(2 * width, "#000"), 0, 0);
    context.drawImage(grown(width, "#fff"), 0, 0);
    context.globalCompositeOperation = "destination-out";
    context.drawImage(alpha, 0, 0);
  });
}

/** Returns a veil of a colour over the pixels outside a mask. */
/** @type {(alpha: HTMLCanvasElement, colour: string) => HTMLCanvasElement} */
function veilOf(alpha, colour) {
  return canvasOf(alpha.width, alpha.height, (context, canvas) => {
    context.fillStyle = colour;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "destination-out";
    context.drawImage(alpha, 0, 0);
  });
}

/** Returns a mixture of two images of one size: share 0 is the first, 1 the second. */
/** @type {(first: ImageData, second: ImageData, share: number) => HTMLCanvasElement} */
export function mixtureOf(first, second, share) {
  return canvasOf(first.width, first.height, (context) => {
    const mixture = context.createImageData(first.width, first.height);
    const [a, b, out] = [first.data, second.data, mixture.data];
    for (let i = 0; i < out.length; i += 1) out[i] = a[i] + share * (b[i] - a[i]);
    context.putImageData(mixture, 0, 0);
  });
}

/** Returns the point of a shadow that is farthest from its start; null: there is no shaded pixel. */
/** @type {(shadow: { image: HTMLImageElement, box: Rectangle }, from: Point) => Point | null} */
export function farthestOf({ image, box }, from) {
  const small = clamp(160 / image.naturalWidth, 0, 1);
  const canvas = canvasOf(image.naturalWidth * small, image.naturalHeight * small, (context, { width, height }) => (
    context.drawImage(image, 0, 0, width, height)));
  const values = dataOf(canvas).data;
  let best = null;
  let most = -1;
  for (let y = 0; y < canvas.height; y += 1) {
    for (let x = 0; x < canvas.width; x += 1) {
      if (values[4 * (y * canvas.width + x)] > LIGHT) continue;
      const point = {
        x: box[0] + ((x + 0.5) / canvas.width) * box[2], y: box[1] + ((y + 0.5) / canvas.height) * box[3],
      };
      const distance = Math.hypot(point.x - from.x, point.y - from.y);
      if (distance > most) [most, best] = [distance, point];
    }
  }
  return best;
}
