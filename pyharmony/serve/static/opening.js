// Opens what the page has saved: a recipe with its photos, and the layers of an OpenRaster file.

import * as api from "./api.js";
import { documentOf, isVisible, subjectsOf } from "./document.js";
import { UNPLACED, clamp } from "./geometry.js";
import { textOf } from "./lettering.js";
import { LAYER_MODES } from "./names.js";
import { boundsOf, canvasOf, cutOutOf, fileOfCanvas } from "./pixels.js";
import { isSound } from "./project.js";
import { ServiceError } from "./requests.js";
import { isGuide } from "./snapping.js";
import { START, TEXTS } from "./strings.js";
import { uploadOfText } from "./texts.js";
import { partsOf } from "./zip.js";

/** @import { Picture } from "./api.js" */
/** @import { Correction, Doc, Subject } from "./document.js" */
/** @import { Rectangle } from "./geometry.js" */
/** @import { Pictures } from "./ways/way.js" */
/**
 * @typedef {{ subjects: any[], crop: Rectangle | null, page: { subjects: any[], background: string, guides?: any },
 *   adjust_background?: Correction, adjust_result?: Correction }} Recipe
 */
/** @typedef {{ pictures: Pictures, states: Doc[], now: number, step: "place" | "save" }} Opened */

/** The decisions about a subject that a recipe of the page keeps beside its masks. */
const KEPT = /** @type {const} */ ([
  "isLocked", "cutter", "place", "front", "strength", "method", "blend", "adjust", "options", "shadow", "tip",
  "softness", "opacity", "layerMode", "shadowStrength", "warp", "text",
]);
/** The largest number of layers above the lowest: that of subjects. */
const MOST_LAYERS = 8;

/** @param {string} name */
const baseOf = (name) => name.replace(/^.*[\\/]/, "");

/** Returns the decisions of a document, without images, for its recipe. */
/** @type {(doc: Doc, pictures: Pictures) => Recipe["page"]} */
export function pageOf(doc, pictures) {
  const subjects = subjectsOf(doc).filter(isVisible).map((one) => ({
    ...Object.fromEntries(KEPT.map((key) => [key, one[key]])),
    file: baseOf((one.photo ?? pictures.subject)?.name ?? ""),
  }));
  return { subjects, background: baseOf(pictures.background?.name ?? ""), guides: doc.guides };
}

// ---- a recipe ----

/** Returns a recipe of the page, or throws. @param {File} file @returns {Promise<Recipe>} */
export async function readRecipe(file) {
  const recipe = await file.text().then(JSON.parse).catch(() => null);
  const isOwn = Array.isArray(recipe?.page?.subjects) && recipe.page.subjects.length === recipe.subjects?.length;
  if (!isOwn) throw new ServiceError(START.noRecipe(file.name));
  return recipe;
}

/** Returns the names of the photos of a recipe, the background's last; words are drawn again. @param {Recipe} recipe */
export const photosOf = ({ page }) => [
  ...new Set([...page.subjects.filter(({ text }) => !textOf(text)).map(({ file }) => String(file)), page.background]),
];

/**
 * Returns a document of a recipe and its photos: each by its name, others in the order of the names; most: the largest
 * number of pixels of words, which are drawn again.
 *
 * @type {(recipe: Recipe, photos: Picture[], most: number) => Promise<Opened>}
 */
export async function openedRecipe(recipe, photos, most) {
  const names = photosOf(recipe);
  const every = [...names, ...recipe.page.subjects.map(({ file }) => String(file))];
  const named = photos.filter(({ name = "" }) => every.includes(baseOf(name)));
  const others = photos.filter((photo) => !named.includes(photo));
  const pictures = names.map((name) => named.find((one) => baseOf(one.name ?? "") === name) ?? others.shift());
  const photoOf = (/** @type {string} */ name) => /** @type {Picture} */ (
    pictures[names.indexOf(name)] ?? named.find((one) => baseOf(one.name ?? "") === name));
  const subjects = await Promise.all(recipe.page.subjects.map(async (own, i) => {
    const text = textOf(own.text);
    const file = photoOf(String(own.file));
    const lettering = text && !file ? await uploadOfText(text, i + 1, most) : null;
    const photo = lettering?.photo ?? file;
    const mask = await maskOf(recipe.subjects[i].mask, photo);
    /** Values of another kind than those of the page are left out. */
    const values = Object.fromEntries(KEPT.filter((key) => isSound(key, own[key])).map((key) => [key, own[key]]));
    if (lettering && values.place) values.place = { ...values.place, scale: lettering.scale };
    const steps = mask ? [{ kind: "mask", mask: mask.id }] : [];
    return /** @type {Partial<Subject>} */ ({ ...values, text, photo, mask, steps });
  }));
  const { guides } = recipe.page;
  return opened(subjects, photoOf(recipe.page.background), {
    guides: Array.isArray(guides) ? guides.filter(isGuide).map(({ axis, at }) => ({ axis, at })) : [],
    crop: recipe.crop ?? null, adjustBackground: recipe.adjust_background ?? {},
    adjustResult: recipe.adjust_result ?? {},
  });
}

/** Returns a document of subjects; change: what else differs from the initial document. */
/** @type {(subjects: Partial<Subject>[], background: Picture, change?: Partial<Doc>) => Opened} */
function opened(subjects, background, change = {}) {
  const subject = /** @type {Picture} */ (subjects[0].photo);
  const doc = documentOf(subjects, change);
  return { pictures: { subject, background }, states: [doc], now: 0, step: doc.crop ? "save" : "place" };
}

/** Uploads the mask of a recipe, the PNG of a part of its photo. @type {(mask: any, photo: Picture) => Promise<any>} */
async function maskOf(mask, photo) {
  if (!mask) return null;
  const [width, height] = mask.size ?? [];
  if (width !== photo.width || height !== photo.height) {
    throw new ServiceError(TEXTS.maskSize({ width, height }, photo));
  }
  const part = new Image();
  part.src = `data:image/png;base64,${mask.png}`;
  await part.decode();
  const canvas = canvasOf(width, height, (context) => {
    context.fillRect(0, 0, width, height);
    context.drawImage(part, mask.box[0], mask.box[1]);
  });
  return uploaded(canvas, "mask.png");
}

/** @type {(canvas: HTMLCanvasElement, name: string) => Promise<Picture>} */
const uploaded = async (canvas, name) => api.upload(await fileOfCanvas(canvas, name));

// ---- layers ----

/**
 * Returns a document of the layers of an OpenRaster file: the lowest is the background, others are subjects. Shadows,
 * which multiply, and what is faint everywhere become a part of the background. No part may have more than most bytes.
 *
 * @type {(file: File, most: number) => Promise<Opened>}
 */
export async function openedLayers(file, most) {
  const parts = await partsOf(file, most).catch(() => new Map());
  const text = await parts.get("stack.xml")?.read().then((/** @type {Blob} */ one) => one.text(), () => "");
  if (!text) throw new ServiceError(START.noLayers(file.name));
  const stack = new DOMParser().parseFromString(text, "text/xml");
  const visible = [...stack.querySelectorAll("layer")].filter((one) => one.getAttribute("visibility") !== "hidden");
  const layers = await Promise.all(visible.reverse().map((one) => layerOf(parts, one))).catch(() => []);
  if (!layers.length) throw new ServiceError(START.noLayers(file.name));
  const [lowest, ...upper] = layers;
  const shades = upper.filter(({ isShade }) => isShade);
  const above = upper.filter(({ isShade }) => !isShade);
  if (!above.length || above.length > MOST_LAYERS) throw new ServiceError(START.layerCount(above.length, MOST_LAYERS));
  const { naturalWidth, naturalHeight } = lowest.image;
  const shaded = canvasOf(naturalWidth, naturalHeight, (context) => {
    context.drawImage(lowest.image, 0, 0);
    for (const { image, x, y, opacity, multiplies } of shades) {
      context.globalAlpha = opacity;
      context.globalCompositeOperation = multiplies ? "multiply" : "source-over";
      context.drawImage(image, x, y);
    }
  });
  const background = await (shades.length ? uploaded(shaded, lowest.file.name) : api.upload(lowest.file));
  const subjects = await Promise.all(above.map(async ({ file: own, x, y, opacity, layerMode }) => {
    const photo = await api.upload(own);
    const place = { ...UNPLACED, x: x + photo.width / 2, y: y + photo.height / 2 };
    // As it is in the file, nothing is matched.
    return { photo, place, strength: 0, opacity, layerMode };
  }));
  return opened(subjects, background);
}

/** @type {(parts: Map<string, import("./zip.js").Part>, layer: Element) => Promise<any>} */
async function layerOf(parts, layer) {
  const [x = 0, y = 0, opacity = 1] = ["x", "y", "opacity"].map((name) => {
    const value = parseFloat(layer.getAttribute(name) ?? "");
    return Number.isFinite(value) ? value : undefined;
  });
  const blob = /** @type {Blob} */ (await parts.get(layer.getAttribute("src") ?? "")?.read());
  const file = new File([blob], `${layer.getAttribute("name") || "layer"}.png`, { type: "image/png" });
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  await image.decode();
  URL.revokeObjectURL(image.src);
  const operator = layer.getAttribute("composite-op")?.replace("svg:", "") ?? "";
  // Other programs have further modes.
  const layerMode = Object.hasOwn(LAYER_MODES, operator) ? operator : "normal";
  const multiplies = layerMode === "multiply" && !layer.getAttribute("name")?.startsWith("subject ");
  const isShade = multiplies || !boundsOf(cutOutOf(image, null));
  return { x, y, file, image, opacity: clamp(opacity, 0, 1), layerMode, multiplies, isShade };
}
