// The API of the service: uploads, jobs with progress and cancellation, images; without knowledge of composites.

import * as recovery from "./recovery.js";
import { current, remember, withRecovery } from "./recovery.js";
import { API, Cancelled, ServiceError, answer, pause, send, statusOf, unlessCancelled } from "./requests.js";
import { TROUBLE } from "./strings.js";

export { currently, mend, onGone } from "./recovery.js";
export { Cancelled, ServiceError, onToken, openSession, service } from "./requests.js";

/**
 * An image of the service.
 *
 * @typedef {object} Picture
 * @property {string} id
 * @property {string} url
 * @property {string} file_url
 * @property {string} proxy_url of a small version for the screen
 * @property {string} [name] of its file
 * @property {number} width
 * @property {number} height
 * @property {number} channels
 * @property {boolean | null} [cuts_out] whether its alpha cuts an object out; null: not known
 * @property {string} dtype
 */
/**
 * The progress of a job: the step of the number of steps; its position in the queue; busy, the seconds until the next
 * try if the queue is full.
 *
 * @typedef {{ phase?: string, step: number, steps: number, position?: number | null, busy?: number }} Progress
 */
/**
 * A job of the service.
 *
 * @typedef {object} Job
 * @property {string} url
 * @property {string} events_url
 * @property {string} status
 * @property {any} result
 * @property {any} error
 */
/**
 * The options of a job: onProgress gets its progress; signal cancels it; wait is the number of seconds that the first
 * response may wait for its end.
 *
 * @typedef {{ onProgress?: (progress: Progress) => void, signal?: AbortSignal, wait?: number }} RunOptions
 */

/** The number of times that a job is submitted if the queue is full, and the default seconds between. */
const [TRIES, SECONDS] = [5, 2];
/** The number of times that the event stream of a job may break. */
const BREAKS = 5;

/** Discards the origins and files of all images, which are not needed any more. */
export function forget() {
  files.clear();
  names.clear();
  recovery.forget();
}

/** Returns the URL of the image or job that a file of the service belongs to. @param {string} url */
const ownerOf = (url) => url.match(/^.*?\/(pictures|jobs)\/[0-9a-f]{32}/)?.[0] ?? url;

/** The files of images by their ids: uploads, and results that were read again. @type {Map<string, Promise<Blob>>} */
const files = new Map();
/** The names of uploaded files by the ids of their images. @type {Map<string, string>} */
const names = new Map();

/** Returns a message that names files, not ids. @param {string} text */
const withNames = (text) => text.replace(/\b[0-9a-f]{32}\b/g, (id) => names.get(id) ?? id);

/** Uploads a file; onProgress is called with the share that was sent, 0 to 1. */
/** @type {(file: File, onProgress?: (share: number) => void, signal?: AbortSignal) => Promise<Picture>} */
export async function upload(file, onProgress = () => {}, signal = undefined) {
  const picture = await withRecovery(() => send(file, onProgress, signal), "", signal);
  register(picture.id, file);
  return picture;
}

/** Records the file of an image that the service has, so that it can be uploaded again. */
/** @type {(id: string, file: File) => void} */
export function register(id, file) {
  files.set(id, Promise.resolve(file));
  names.set(id, file.name);
  remember(id, async () => (await withRecovery(() => send(file), "")).id);
}

/** Returns the file of an image: the uploaded one, or as the service wrote it. @param {string} id */
export function blobOf(id) {
  const blob = files.get(id) ?? withRecovery(async () => (
    (await answer(`${API}/pictures/${current(id)}/file`)).blob()), id);
  files.set(id, blob);
  blob.catch(() => files.delete(id));
  return blob;
}

/** Returns an image of the service; null: it has none of this id. @type {(id: string) => Promise<Picture | null>} */
export const find = (id) => answer(`${API}/pictures/${id}`).then((response) => response.json(), (error) => {
  if (statusOf(error) === 404) return null;
  throw error;
});

/**
 * Runs an operation to its end and returns its result. Without patient, it fails if the service is gone, or has
 * forgotten an image.
 *
 * @param {string} operation
 * @param {Record<string, any>} body
 * @param {RunOptions & { patient?: boolean }} [options]
 * @returns {Promise<Job>}
 */
export async function run(operation, body, { patient = true, ...options } = {}) {
  const text = JSON.stringify(body);
  const job = await followedToEnd(operation, text, options, patient);
  if (patient) {
    remember(JSON.stringify(job.result), async () => JSON.stringify((await followedToEnd(operation, text, {})).result));
  }
  return job;
}

/**
 * @param {string} operation
 * @param {string} text the body
 * @param {RunOptions} options
 * @param {boolean} [patient]
 * @returns {Promise<Job>}
 */
async function followedToEnd(operation, text, { onProgress = () => {}, signal, wait = 0.4 }, patient = true) {
  /** @type {Job | null} */
  let job = null;
  const act = async () => {
    // A job whose connection was lost may still be running.
    if (job) job = await jobAt(job.url);
    job ??= await submit(operation, current(text), wait, signal, onProgress);
    const ended = isOver(job) ? job : await followed(job, onProgress, signal);
    if (ended.status === "done") return ended;
    job = null;
    // A service that stops cancels its jobs.
    if (ended.status === "cancelled") throw new ServiceError(TROUBLE.lost, { kind: "offline" });
    throw new ServiceError(withNames(ended.error?.message ?? TROUBLE.failed), {
      kind: ended.error?.kind ?? "", exitCode: ended.error?.exit_code ?? 0,
    });
  };
  try {
    return await (patient ? withRecovery(act, text, signal) : act());
  } catch (error) {
    if (job && error instanceof Cancelled) remove(job);
    throw error;
  }
}

/** @param {Job} job */
const isOver = (job) => ["done", "failed", "cancelled"].includes(job.status);

/** Returns the current state of a job; null: the service does not know it. */
/** @type {(url: string) => Promise<Job | null>} */
async function jobAt(url) {
  try {
    return await (await answer(url)).json();
  } catch (error) {
    if (statusOf(error) === 404) return null;
    throw error;
  }
}

/**
 * Submits a job; if the queue is full, waits as long as the service says, and tries again.
 *
 * @param {string} operation
 * @param {string} text
 * @param {number} wait
 * @param {AbortSignal | undefined} signal
 * @param {(progress: Progress) => void} onProgress
 * @returns {Promise<Job>}
 */
async function submit(operation, text, wait, signal, onProgress) {
  for (let tries = 0; ; tries += 1) {
    if (signal?.aborted) throw new Cancelled("cancelled");
    try {
      const asked = answer(`${API}/${operation}?wait=${wait}`, {
        method: "POST", body: text, headers: { "Content-Type": "application/json" },
      });
      /** @param {Job} job */
      const late = (job) => { if (!isOver(job)) remove(job); };
      // A job that is not awaited any more is stopped as soon as its URL is known.
      return await unlessCancelled(asked.then((response) => response.json()), signal, late);
    } catch (error) {
      if (!(error instanceof ServiceError) || error.status !== 429 || tries >= TRIES) throw error;
      const seconds = error.retryAfter || SECONDS;
      onProgress({ busy: seconds, step: 0, steps: 1 });
      for (let waited = 0; waited < seconds * 10; waited += 1) {
        await pause(100);
        if (signal?.aborted) throw new Cancelled("cancelled");
      }
    }
  }
}

/** Follows a job to its end. */
/** @type {(job: Job, onProgress: (progress: Progress) => void, signal?: AbortSignal) => Promise<Job>} */
function followed(job, onProgress, signal) {
  return new Promise((done, failed) => {
    const events = new EventSource(job.events_url);
    let breaks = 0;
    const stop = () => {
      events.close();
      failed(new Cancelled("cancelled"));
    };
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
    events.addEventListener("job", (event) => {
      breaks = 0;
      const now = JSON.parse(event.data);
      if (isOver(now)) {
        signal?.removeEventListener("abort", stop);
        events.close();
        done(now);
      } else {
        const { name = "wait", step = 0, steps = 1 } = now.phase ?? {};
        onProgress({ phase: name, step, steps, position: now.position });
      }
    });
    // The browser reconnects by itself; a service that is gone, or has forgotten the job, does not respond.
    events.onerror = () => {
      breaks += 1;
      const leave = () => {
        events.close();
        failed(new ServiceError(TROUBLE.lost, { kind: "offline" }));
      };
      if (breaks > BREAKS || events.readyState === EventSource.CLOSED) leave();
      else answer(job.url).catch(leave);
    };
  });
}

/** Deletes an image, which expires if that fails, or stops a job. @param {{ url: string }} owner */
export function remove({ url }) {
  answer(current(url), { method: "DELETE" }).catch(() => {});
}

/** Returns the current URL of a file of the service. @param {string} url */
export function there(url) {
  return withRecovery(async () => {
    await answer(ownerOf(current(url)));
    return current(url);
  }, url);
}

/** Returns a sample photo. @param {string} name */
export async function sample(name) {
  const blob = await (await answer(`samples/${name}`)).blob();
  return new File([blob], name, { type: blob.type });
}

/** Loads an image of the service. @param {string} url */
export function image(url) {
  return withRecovery(async () => {
    const one = new Image();
    one.src = current(url);
    try {
      await one.decode();
    } catch (error) {
      // The error of an image has no cause; its owner reports if it was deleted.
      await answer(ownerOf(current(url)));
      throw error;
    }
    return one;
  }, url);
}
