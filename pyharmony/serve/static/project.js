// A picture as one file that any browser opens at any service: its photos and masks as they are, its document with its
// history, in a zip archive. Drafts come back by the same way: images are those that the service has now.

import * as api from "./api.js";
import { BEGIN, completed } from "./document.js";
import { UNPLACED } from "./geometry.js";
import { ServiceError } from "./requests.js";
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
/** What a field of a document is like that is not null, if at first it is. @type {Record<string, any>} */
const PICTURE = { id: "", proxy_url: "" };
const LIKE = {
  ...BEGIN, photo: PICTURE, mask: PICTURE, place: UNPLACED, tip: { x: 0, y: 0 }, softness: 0, crop: [0], changes: [0],
};

/** Returns the ids of the images of a value; a photo may be named like one. @param {unknown} value */
export const idsOf = (value) => [...new Set(
  JSON.stringify(value, (key, one) => (key === "name" ? null : one)).match(/\b[0-9a-f]{32}\b/g))];

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
    if (!one?.proxy_url) return one;
    // What the service has computed has no name; its upload has that of a file.
    return Object.assign(/** @type {Picture} */ (pictures.get(one.id)), { name: one.name && String(one.name) });
  });
}

/** Returns the file of a picture; null: it is too large. @param {Content} content */
export async function projectOf({ way, pictures, states, now, step, ...others }) {
  const text = JSON.stringify({ version: VERSION, way, pictures, states, now, step, ...others });
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
    const content = contentOf(file.name, about, JSON.parse(await (await parts.get(DOCUMENT)?.read())?.text() ?? ""));
    const ids = idsOf([content.pictures, content.states]);
    /** @type {Map<string, File>} */
    const files = new Map();
    for (const [path, { size, read }] of parts) {
      const [, id, name] = path.match(/^files\/([0-9a-f]{32})\/([^/\\]+)$/) ?? [];
      if (!ids.includes(id)) continue;
      if (size > about.max_upload) throw new ServiceError(START.tooLarge(name, Math.floor(about.max_upload / 1e6)));
      files.set(id, new File([await read()], name));
    }
    if (files.size < ids.length) throw new Error("a file is missing");
    const { pictures, states } = await renewed({ pictures: content.pictures, states: content.states }, async (id) => {
      const picture = await api.upload(/** @type {File} */ (files.get(id)), undefined, signal);
      uploaded.push(picture);
      onProgress(uploaded.length / ids.length);
      return picture;
    });
    return { ...content, pictures, states };
  } catch (error) {
    uploaded.forEach(api.remove);
    if (error instanceof ServiceError || error instanceof api.Cancelled) throw error;
    throw new ServiceError(START.noProject(file.name));
  }
}

/** Returns whether a value is like an example, as far as that goes. @type {(value: any, like: any) => boolean} */
function isLike(value, like) {
  if (like === null) return true;
  if (typeof value !== typeof like || value === null || Array.isArray(value) !== Array.isArray(like)) return false;
  if (Array.isArray(like)) return !like.length || value.every((/** @type {any} */ one) => isLike(one, like[0]));
  return typeof like !== "object" || Object.keys(like).every((key) => isLike(value[key], like[key]));
}

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
  const isSound = complete.every((/** @type {any} */ doc) => [doc, ...doc.others].every((one) => (
    Object.keys(one).every((key) => (one[key] === null && BEGIN[/** @type {"place"} */ (key)] === null)
      || isLike(one[key], LIKE[/** @type {"place"} */ (key)])))));
  const isThere = Number.isInteger(now) && now in states && way.steps.some(([one]) => one === step);
  if (!isComplete || !isSound || !isThere) throw new Error("not a project");
  return { way, pictures, states: complete, now, step };
}
