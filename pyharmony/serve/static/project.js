// A picture as one file that any browser opens at any service: its photos and masks as they are, its document with its
// history, in a zip archive. Drafts come back by the same way: images are those that the service has now.

import * as api from "./api.js";
import { BEGIN, completed, marksOf, subjectsOf } from "./document.js";
import { UNPLACED } from "./geometry.js";
import { textOf } from "./lettering.js";
import { ServiceError } from "./requests.js";
import { isGuide } from "./snapping.js";
import { START } from "./strings.js";
import { WAYS } from "./ways/all.js";
import { archiveOf, partsOf } from "./zip.js";

/** @import { Picture } from "./api.js" */
/** @import { Draft } from "./drafts.js" */
/** @import { About } from "./requests.js" */
/** @import { Way } from "./ways/way.js" */
/** @typedef {Pick<Draft, "way" | "pictures" | "states" | "now" | "step">} Content */
/** @typedef {{ way: Way } & Omit<Content, "way">} Opened */

/** The version of the format, and the name of the document in the archive. */
const [VERSION, DOCUMENT] = [1, "project.json"];
/** The size of the largest document, in bytes. */
const LARGEST = 50_000_000;

/** @type {(value: any, count: number) => boolean} */
const areNumbers = (value, count) => isLike(value, [0]) && value.length === count;
/** @type {(value: any, least: number, most?: number) => boolean} */
const arePairs = (value, least, most = Infinity) => (
  isLike(value, [(/** @type {any} */ one) => areNumbers(one, 2)]) && value.length >= least && value.length <= most);
const LINE = { kind: "", line: (/** @type {any} */ value) => arePairs(value, 1), add: true };
/** What steps of segmentation are like, by their kinds. @type {Record<string, object>} */
const STEPS = {
  click: { kind: "", x: 0, y: 0, add: true }, scribble: LINE, lasso: LINE, choose: { kind: "", index: 0 },
  mask: { kind: "", mask: "" },
};
const isStep = (/** @type {any} */ one) => Object.hasOwn(STEPS, one?.kind) && isLike(one, STEPS[one.kind]);
const isCorrection = (/** @type {any} */ value) => isLike(value, {})
  && Object.entries(value).every(([name, one]) => (name === "curve" ? arePairs(one, 2) : isLike(one, 0)));
const PICTURE = { id: "", proxy_url: "" };
/** What a field of a document is like that is not null, or whether it is one. @type {Record<string, any>} */
const LIKE = {
  ...BEGIN, photo: PICTURE, mask: PICTURE, place: UNPLACED, tip: { x: 0, y: 0 }, softness: 0, shadowStrength: 0,
  front: [0], changes: [0], crop: (/** @type {any} */ value) => areNumbers(value, 4), steps: [isStep],
  marks: [{ x: 0, y: 0, add: true }], guides: [isGuide], text: textOf,
  warp: (/** @type {any} */ value) => arePairs(value, 4, 4),
  adjust: isCorrection, adjustBackground: isCorrection, adjustResult: isCorrection,
};

/** Returns the ids of the images of a value; photos may be named like one, and words may have one. */
/** @param {unknown} value */
export const idsOf = (value) => [...new Set(
  JSON.stringify(value, (key, one) => (["name", "string"].includes(key) ? null : one)).match(/\b[0-9a-f]{32}\b/g))];

/** Returns images and states with the images of the service; pictureOf returns each of these by its former id. */
/** @type {<T>(value: T, pictureOf: (id: string) => Promise<Picture>) => Promise<T>} */
export async function renewed(value, pictureOf) {
  let text = JSON.stringify(value);
  /** Images are compared by identity. @type {Map<string, Picture>} */
  const pictures = new Map();
  for (const id of idsOf(value)) {
    const picture = await pictureOf(id);
    pictures.set(picture.id, picture);
    text = text.replaceAll(id, picture.id);
  }
  return JSON.parse(text, (_, one) => {
    if (typeof one?.proxy_url !== "string") return one;
    // No image has URLs of the file's own. What the service has computed has no name; its upload has that of a file.
    return Object.assign(/** @type {Picture} */ (pictures.get(one.id)), { name: one.name && String(one.name) });
  });
}

/** Returns the file of a picture; null: it is too large. @param {Content} content */
export async function projectOf({ way, pictures, states, now, step }) {
  const text = JSON.stringify({ version: VERSION, way, pictures, states, now, step });
  /** @type {[string, Blob][]} */
  const files = [[DOCUMENT, new Blob([text])]];
  for (const id of idsOf([pictures, states])) {
    const blob = await api.blobOf(id);
    const name = blob instanceof File ? blob.name.replace(/^.*[\\/]/, "") : "picture.png";
    files.push([`files/${id}/${name}`, blob]);
  }
  return archiveOf(files);
}

/**
 * Uploads what a project file has and returns it, or throws: then the service has nothing of it.
 *
 * @param {File} file
 * @param {About} about
 * @param {(share: number) => void} onProgress
 * @param {AbortSignal} signal
 * @returns {Promise<Opened>}
 */
export async function openedProject(file, about, onProgress, signal) {
  /** @type {Picture[]} */
  const uploaded = [];
  try {
    const parts = await partsOf(file, Math.max(LARGEST, about.max_upload));
    const written = parts.get(DOCUMENT);
    if (!written || written.size > LARGEST) throw new Error("not a project");
    const content = contentOf(file.name, about, JSON.parse(await (await written.read()).text()));
    const ids = idsOf([content.pictures, content.states]);
    /** @type {Map<string, () => Promise<File>>} */
    const files = new Map();
    // Parts that overlap would be far more than the file.
    let rest = Math.max(about.max_upload, 2 * file.size);
    for (const [path, { size, read }] of parts) {
      const [, id, name] = path.match(/^files\/([0-9a-f]{32})\/([^/\\]+)$/) ?? [];
      if (!ids.includes(id)) continue;
      if (size > about.max_upload) throw new ServiceError(START.tooLarge(name, Math.floor(about.max_upload / 1e6)));
      rest -= size;
      files.set(id, async () => new File([await read()], name));
    }
    if (files.size < ids.length || rest < 0) throw new Error("a file is missing, or there is too much");
    const fresh = await renewed({ pictures: content.pictures, states: content.states }, async (id) => {
      const read = /** @type {() => Promise<File>} */ (files.get(id));
      const picture = await api.upload(await read(), undefined, signal);
      uploaded.push(picture);
      onProgress(uploaded.length / ids.length);
      return picture;
    });
    const again = renewed(fresh, async (id) => (
      recut(/** @type {Picture} */ (uploaded.find((one) => one.id === id)), fresh, signal)));
    return { ...content, ...await again };
  } catch (error) {
    uploaded.forEach(api.remove);
    if (error instanceof ServiceError || error instanceof api.Cancelled) throw error;
    throw new ServiceError(START.noProject(file.name));
  }
}

/** Returns a mask cut out again by its prompts, if that gives the same; what is uploaded is a source of the result. */
/** @type {(mask: Picture, content: Pick<Content, "pictures" | "states">, signal: AbortSignal) => Promise<Picture>} */
async function recut(mask, { pictures, states }, signal) {
  const cut = states.flatMap(subjectsOf).find((one) => one.mask?.id === mask.id && marksOf(one.steps).length);
  if (!cut) return mask;
  const photo = /** @type {Picture} */ (cut.photo ?? pictures.subject);
  const body = { picture: photo.id, steps: cut.steps, method: cut.cutter, alpha: true };
  const { result } = await api.run("segment", body, { signal }).catch((error) => {
    if (!(error instanceof ServiceError)) throw error;
    return { result: {} };
  });
  const bytesOf = async (/** @type {Picture} */ { id }) => (await api.blobOf(id)).arrayBuffer();
  if (!result.mask || indexedDB.cmp(await bytesOf(result.mask), await bytesOf(mask))) return mask;
  api.remove(mask);
  return result.mask;
}

/** Returns whether a value is like an example, as far as that goes, or as a function says; numbers are finite. */
/** @type {(value: any, like: any) => boolean} */
function isLike(value, like) {
  if (like === null) return true;
  if (typeof like === "function") return Boolean(like(value));
  if (typeof like === "number") return Number.isFinite(value);
  if (typeof value !== typeof like || value === null || Array.isArray(value) !== Array.isArray(like)) return false;
  if (Array.isArray(like)) return !like.length || value.every((/** @type {any} */ one) => isLike(one, like[0]));
  return typeof like !== "object" || Object.keys(like).every((key) => isLike(value[key], like[key]));
}

/** Returns whether a value is one of a field of a document. @type {(key: string, value: any) => boolean} */
export const isSound = (key, value) => (
  (value === null && BEGIN[/** @type {"place"} */ (key)] === null) || isLike(value, LIKE[key]));

/** Returns the content of a project's document, or throws. */
/** @type {(name: string, about: About, document: any) => Opened} */
function contentOf(name, { operations }, { version, way: wayName, pictures, states, now, step }) {
  if (version > VERSION) throw new ServiceError(START.newerProject(name));
  if (version !== VERSION) throw new Error("not a project");
  const isKnown = Object.hasOwn(WAYS, wayName) && operations.includes(wayName);
  const all = states.flatMap((/** @type {any} */ doc) => [doc, ...doc.others ?? []]);
  const isNewer = all.some((/** @type {object} */ one) => Object.keys(one).some((key) => !(key in BEGIN)));
  if (isNewer || !isKnown) throw new ServiceError(START.newerProject(name));
  const way = WAYS[wayName];
  const isComplete = way.slots.every(({ name: slot, many }) => isLike(pictures[slot], many ? [PICTURE] : PICTURE));
  const complete = states.map(completed);
  const areSound = complete.every((/** @type {any} */ doc) => doc.rank in [doc, ...doc.others]
    && [doc, ...doc.others].every((one) => Object.keys(one).every((key) => isSound(key, one[key]))));
  const isThere = Number.isInteger(now) && now in states && way.steps.some(([one]) => one === step);
  if (!isComplete || !areSound || !isThere) throw new Error("not a project");
  return { way, pictures, states: complete, now, step };
}
