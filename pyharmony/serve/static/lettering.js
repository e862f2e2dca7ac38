// Words as an image: their lines in fonts of the system, drawn for a size on the background.

import { canvasOf } from "./pixels.js";

/** @typedef {"left" | "center" | "right"} Align */
/**
 * Words, and how they look; the size is that of the font, in pixels of the background.
 *
 * @typedef {{ string: string, font: string, colour: string, size: number, weight: number, align: Align }} Text
 */
/** @typedef {{ width: number, height: number, lines: { string: string, x: number, y: number }[] }} Layout */
/** @typedef {Pick<TextMetrics, "width" | "actualBoundingBoxLeft" | "actualBoundingBoxRight">} Extent */
/** @typedef {(string: string) => Extent} Measure */

/** The families of fonts: generic ones, so that nothing is downloaded. */
export const FONTS = ["sans-serif", "serif", "monospace", "cursive", "system-ui"];
/** @type {Align[]} */
const ALIGNS = ["left", "center", "right"];
/** The bounds of a size. */
const SIZES = [4, 4000];
/** The largest number of characters. */
const MOST_LETTERS = 2000;
/** The height of a line and the margin around all of them, in sizes of the font: swashes reach beyond their letters. */
const [LINE, MARGIN] = [1.25, 0.4];
/** The pixels for one of the background, so that words that are turned or warped stay sharp. */
const DENSITY = 2;
/** The largest number of pixels of an image of words, and its longest side. */
const [MOST_PIXELS, MOST_SIDE] = [16e6, 8192];
/** The longest name, in characters. */
const LONGEST = 40;

/** Returns a text whose values are accepted; null: it is none, or has no words. */
/** @type {(value: any) => Text | null} */
export function textOf(value) {
  const { string, font, colour, size, weight, align } = value ?? {};
  const isText = typeof string === "string" && string.trim() !== "" && string.length <= MOST_LETTERS
    && FONTS.includes(font) && /^#[0-9a-f]{6}$/.test(colour) && Number.isFinite(size)
    && Number.isInteger(weight) && weight >= 100 && weight <= 900 && ALIGNS.includes(align);
  if (!isText) return null;
  return { string, font, colour, size: Math.min(SIZES[1], Math.max(SIZES[0], size)), weight, align };
}

/** Returns the first words of a text, as a name. @param {Text} text */
export function nameOf({ string }) {
  const line = string.trim().split("\n")[0].trim();
  return line.length > LONGEST ? `${line.slice(0, LONGEST - 1).trim()}…` : line;
}

/** Returns the name of the file of a text. @type {(text: Text, number: number) => string} */
export const fileOf = (text, number) => `${nameOf(text).replace(/[\\/:*?"<>|…]/g, "").trim() || "text"}-${number}.png`;

/** @param {Text} text */
const fontOf = ({ weight, size, font }) => `${weight} ${size}px ${font}`;

/** Returns where the lines of a text lie, on their baselines, and the size of all, in pixels of the background. */
/** @type {(text: Text, measure: Measure) => Layout} */
export function layoutOf({ string, size, align }, measure) {
  const rows = string.replace(/\s+$/, "").split("\n").map((row) => {
    const { width, actualBoundingBoxLeft: left, actualBoundingBoxRight: right } = measure(row);
    return { row, before: Math.max(0, left), wide: Math.max(0, left) + Math.max(width, right) };
  });
  const wide = Math.max(...rows.map((one) => one.wide));
  const share = ALIGNS.indexOf(align) / 2;
  const lines = rows.map(({ row, before, wide: own }, i) => (
    { string: row, x: MARGIN * size + before + share * (wide - own), y: (MARGIN + 1 + i * LINE) * size }));
  return { width: wide + 2 * MARGIN * size, height: (rows.length * LINE + 2 * MARGIN) * size, lines };
}

/** Returns the pixels for one of the background of an image of a size, which is limited. */
/** @type {(size: import("./geometry.js").Size, most?: number) => number} */
export const densityOf = ({ width, height }, most = MOST_PIXELS) => Math.min(
  DENSITY, Math.sqrt(Math.min(most, MOST_PIXELS) / (width * height)), MOST_SIDE / Math.max(width, height),
);

/** Returns where the lines of a text lie in the fonts of this machine, and the pixels for one of the background. */
/** @type {(text: Text, most: number) => { layout: Layout, density: number }} */
function measured(text, most) {
  const measure = /** @type {CanvasRenderingContext2D} */ (canvasOf(1, 1).getContext("2d"));
  measure.font = fontOf(text);
  const layout = layoutOf(text, (string) => measure.measureText(string));
  return { layout, density: densityOf(layout, most) };
}

/** Returns the scale at which an image of a text has its size; most: the largest number of pixels. */
/** @type {(text: Text, most: number) => number} */
export const scaleOf = (text, most) => 1 / measured(text, most).density;

/** Draws a text, and returns it with the scale at which it has its size; most: the largest number of pixels. */
/** @type {(text: Text, most: number) => { canvas: HTMLCanvasElement, scale: number }} */
export function canvasOfText(text, most) {
  const { layout, density } = measured(text, most);
  const canvas = canvasOf(layout.width * density, layout.height * density, (context) => {
    context.scale(density, density);
    Object.assign(context, { font: fontOf(text), fillStyle: text.colour });
    for (const { string, x, y } of layout.lines) context.fillText(string, x, y);
  });
  return { canvas, scale: 1 / density };
}
