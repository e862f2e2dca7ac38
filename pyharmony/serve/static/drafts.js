// The unfinished pictures of this browser, in its own database: neither a reload nor a closed tab loses one.
//
// A page writes under a key of its own, in place of the draft that it continues. A tab that was duplicated therefore
// writes over nothing: the first one, which is told, stores its draft again. Files are shared by all drafts.

/** @import { Doc } from "./document.js" */
/** @import { Pictures, StepName } from "./ways/way.js" */
/**
 * An unfinished picture: its way, its photos, the states of its document and the current one, its step, and whether
 * the current state was saved.
 *
 * @typedef {object} Draft
 * @property {string} key
 * @property {string} [link] the key of links to it, which stays when another page continues it
 * @property {string} way
 * @property {Pictures} pictures
 * @property {Doc[]} states
 * @property {number} now
 * @property {StepName} step
 * @property {boolean} isSaved
 * @property {number} time of its last change, in milliseconds
 * @property {string[]} ids those of its files
 * @property {string} thumb the URL of a small image of it
 */

/**
 * What a session goes on with: a draft, or a file that was opened.
 *
 * @typedef {Pick<Draft, "states" | "now" | "step"> & Partial<Draft>} Started
 */

const [DATABASE, DRAFTS, FILES] = ["pyharmony", "drafts", "files"];
/** The time after which a draft is deleted, in milliseconds: a week. */
const LIFETIME = 7 * 24 * 3600 * 1000;
/** The name under which a tab keeps the key of its draft, which survives its reload. */
const TAB = "pyharmony-tab";

/** @type {Promise<IDBDatabase> | null} */
let opening = null;
/** The open database: with it, and files that are stored, a draft is written at once. @type {IDBDatabase | null} */
let base = null;
/** The ids of the stored files, as far as this page knows them. @type {Set<IDBValidKey>} */
let stored = new Set();
/** The time of the draft that was written last. */
let newest = 0;
/** The keys of the drafts that are continued, until their first change, by the new ones. @type {Map<string, string>} */
const continued = new Map();
/** Tells the other tabs of a draft that is continued here, or with "" of files that were deleted. */
const tabs = new BroadcastChannel(DATABASE);

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const ended = (request) => new Promise((done, failed) => {
  request.onsuccess = () => done(request.result);
  request.onerror = () => failed(request.error);
});

function database() {
  opening ??= new Promise((done, failed) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(DRAFTS);
      request.result.createObjectStore(FILES);
    };
    request.onsuccess = () => {
      base = request.result;
      done(base);
    };
    request.onerror = () => failed(request.error);
  });
  return opening;
}

/** Sets the function that is called with the key of a draft that another tab continues. */
/** @type {(call: (key: string) => void) => void} */
export function onTaken(call) {
  tabs.onmessage = ({ data }) => {
    stored = new Set();
    if (data) call(data);
  };
}

/** Returns the key of a picture that is opened, in place of the draft that it continues. @param {string} [last] */
export function begin(last = undefined) {
  const key = crypto.getRandomValues(new Uint32Array(3)).join("-");
  if (last) continued.set(key, last);
  return key;
}

/**
 * Stores a draft; blobOf returns the file of an image. Files that are stored already are not written again, and without
 * others nothing is awaited before: a page that is left cannot wait.
 *
 * @type {(draft: Draft, blobOf: (id: string) => Promise<Blob>) => Promise<void>}
 */
export async function save(draft, blobOf) {
  const { key, ids } = draft;
  /** @type {[string, Blob][]} */
  let fresh = [];
  if (!base || ids.some((id) => !stored.has(id))) {
    const files = (await database()).transaction(FILES).objectStore(FILES);
    stored = new Set(await ended(files.getAllKeys()));
    // A transaction ends while something else is awaited, so the files are read first.
    fresh = await Promise.all(ids.filter((id) => !stored.has(id)).map(async (id) => (
      /** @type {[string, Blob]} */ ([id, await blobOf(id)]))));
  }
  // Meanwhile a newer one may have been written.
  if (draft.time < newest) return;
  newest = draft.time;
  const writing = /** @type {IDBDatabase} */ (base).transaction([DRAFTS, FILES], "readwrite");
  for (const [id, blob] of fresh) writing.objectStore(FILES).put(blob, id);
  stored = new Set([...stored, ...ids]);
  const putting = ended(writing.objectStore(DRAFTS).put(draft, key));
  const last = continued.get(key);
  if (last) writing.objectStore(DRAFTS).delete(last);
  writing.commit?.();
  sessionStorage.setItem(TAB, key);
  if (last) tabs.postMessage(last);
  continued.delete(key);
  await putting.catch((error) => {
    stored = new Set();
    throw error;
  });
}

/** Returns a draft, by default that of this tab; null: it is gone. */
/** @type {(key?: string | null) => Promise<Draft | null>} */
export async function load(key = sessionStorage.getItem(TAB)) {
  if (!key) return null;
  return (await ended((await database()).transaction(DRAFTS).objectStore(DRAFTS).get(key))) ?? null;
}

/** Returns all drafts, the newest first. Old ones are deleted, and files that none refers to. */
/** @returns {Promise<Draft[]>} */
export async function list() {
  const store = (await database()).transaction([DRAFTS, FILES], "readwrite");
  const [drafts, files] = [store.objectStore(DRAFTS), store.objectStore(FILES)];
  /** @type {Draft[]} */
  const recent = [];
  for (const key of await ended(drafts.getAllKeys())) {
    const draft = await ended(drafts.get(key));
    if (Date.now() - draft.time < LIFETIME && draft.ids) recent.push(draft);
    else drafts.delete(key);
  }
  const used = new Set(recent.flatMap(({ ids }) => ids));
  const unused = (await ended(files.getAllKeys())).filter((id) => !used.has(String(id)));
  for (const id of unused) files.delete(id);
  if (unused.length) tabs.postMessage("");
  stored = used;
  return recent.sort((a, b) => b.time - a.time);
}

/** Returns the stored file of an image. @param {string} id @returns {Promise<Blob>} */
export async function fileOf(id) {
  return ended((await database()).transaction(FILES).objectStore(FILES).get(id));
}

/** Deletes a draft; its files go with the next list. @param {string} key */
export async function discard(key) {
  await ended((await database()).transaction(DRAFTS, "readwrite").objectStore(DRAFTS).delete(key));
}
