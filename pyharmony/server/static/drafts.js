// The unfinished picture of a tab, in the browser's own database: neither a reload nor a way back loses it.

/** @import { Doc } from "./document.js" */
/** @import { Pictures, StepName } from "./ways/way.js" */
/**
 * An unfinished picture: its way, its photos, the states of its document and the current one, its step, and whether
 * the current state was saved.
 *
 * @typedef {object} Draft
 * @property {string} way
 * @property {Pictures} pictures
 * @property {Doc[]} states
 * @property {number} now
 * @property {StepName} step
 * @property {boolean} isSaved
 * @property {number} time of its last change, in milliseconds
 */

const [DATABASE, DRAFTS, FILES] = ["pyharmony", "drafts", "files"];
/** The time after which a draft is deleted, in milliseconds: a week. */
const LIFETIME = 7 * 24 * 3600 * 1000;
/** The name of this tab, which survives its reload. */
const TAB = "pyharmony-tab";

/** @type {Promise<IDBDatabase> | null} */
let opening = null;
/** The open database: with it, and files that are stored, a draft is written at once. @type {IDBDatabase | null} */
let base = null;
/** The keys of the stored files of this tab. @type {Set<IDBValidKey>} */
let stored = new Set();
/** The time of the draft that was written last. */
let newest = 0;

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

function tab() {
  const name = sessionStorage.getItem(TAB) ?? crypto.getRandomValues(new Uint32Array(3)).join("-");
  sessionStorage.setItem(TAB, name);
  return name;
}

/** Returns the keys of the files of a tab. @param {string} name */
const filesOf = (name) => IDBKeyRange.bound(`${name}/`, `${name}/\uffff`);

/**
 * Stores a draft; blobOf returns the file of an image. Files that are stored already are not written again, and without
 * others nothing is awaited before: a page that is left cannot wait.
 *
 * @type {(draft: Draft, ids: string[], blobOf: (id: string) => Promise<Blob>) => Promise<void>}
 */
export async function save(draft, ids, blobOf) {
  const name = tab();
  const keys = ids.map((id) => `${name}/${id}`);
  /** @type {[string, Blob][]} */
  let fresh = [];
  if (!base || keys.some((key) => !stored.has(key))) {
    const files = (await database()).transaction(FILES).objectStore(FILES);
    stored = new Set(await ended(files.getAllKeys(filesOf(name))));
    // A transaction ends while something else is awaited, so the files are read first.
    fresh = await Promise.all(ids.filter((_, i) => !stored.has(keys[i])).map(async (id) => (
      /** @type {[string, Blob]} */ ([`${name}/${id}`, await blobOf(id)]))));
  }
  // Meanwhile a newer one may have been written.
  if (draft.time < newest) return;
  newest = draft.time;
  const writing = /** @type {IDBDatabase} */ (base).transaction([DRAFTS, FILES], "readwrite");
  const files = writing.objectStore(FILES);
  for (const [key, blob] of fresh) files.put(blob, key);
  for (const key of stored) if (!keys.includes(String(key))) files.delete(key);
  stored = new Set(keys);
  const putting = ended(writing.objectStore(DRAFTS).put(draft, name));
  writing.commit?.();
  await putting.catch((error) => {
    stored = new Set();
    throw error;
  });
}

/** Returns the draft of this tab; null: there is none. Old drafts of other tabs are deleted. */
/** @returns {Promise<Draft | null>} */
export async function load() {
  const store = (await database()).transaction([DRAFTS, FILES], "readwrite");
  const drafts = store.objectStore(DRAFTS);
  for (const name of await ended(drafts.getAllKeys())) {
    const { time } = await ended(drafts.get(name));
    if (Date.now() - time > LIFETIME) {
      drafts.delete(name);
      store.objectStore(FILES).delete(filesOf(String(name)));
      stored = new Set();
    }
  }
  return (await ended(drafts.get(tab()))) ?? null;
}

/** Returns the stored file of an image. @param {string} id @returns {Promise<Blob>} */
export async function fileOf(id) {
  return ended((await database()).transaction(FILES).objectStore(FILES).get(`${tab()}/${id}`));
}

/** Deletes the draft of this tab and its files. */
export async function discard() {
  const deleting = (await database()).transaction([DRAFTS, FILES], "readwrite");
  stored = new Set();
  deleting.objectStore(DRAFTS).delete(tab());
  await ended(deleting.objectStore(FILES).delete(filesOf(tab())));
}
