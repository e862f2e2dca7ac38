// The service: uploads, jobs with progress and cancellation, images. Nothing here knows what a composite is.

import { current, kept, remember } from "./recovery.js";
import { API, Cancelled, ServiceError, answer, pause, send, statusOf, unlessCancelled } from "./requests.js";
import { TROUBLE } from "./strings.js";

export { currently, forget, mend, onGone } from "./recovery.js";
export { Cancelled, ServiceError, onToken, openSession, service } from "./requests.js";

/** @typedef {import("./requests.js").About} About */
/**
 * An image of the service.
 *
 * @typedef {object} Picture
 * @property {string} id
 * @property {string} url
 * @property {string} file_url
 * @property {string} proxy_url of a small one for the screen
 * @property {string} [name] of its file
 * @property {number} width
 * @property {number} height
 * @property {number} channels
 * @property {string} dtype
 */
/**
 * How far a job is: the step of so many; its position in the queue; busy, the seconds after which it is tried again,
 * where the queue is full.
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
 * How a job is followed: told hears how far it is; signal stops it, and the work with it; wait is for how many seconds
 * the first answer may wait for its end.
 *
 * @typedef {{ told?: (progress: Progress) => void, signal?: AbortSignal, wait?: number }} RunOptions
 */

/** How often a job is submitted where the queue is full, and the seconds between where the service says none. */
const [TRIES, SECONDS] = [5, 2];
/** How often a connection that tells of a job may break. */
const BREAKS = 5;

/**
 * Returns what a file of the service belongs to: its image or its job.
 *
 * @param {string} url
 */
const ownerOf = (url) => url.match(/^.*?\/(pictures|jobs)\/[0-9a-f]{32}/)?.[0] ?? url;

/**
 * Uploads a file; told is called with the share that has gone, 0 to 1.
 *
 * @param {File} file
 * @param {(share: number) => void} [told]
 * @param {AbortSignal} [signal]
 */
export async function upload(file, told = () => {}, signal = undefined) {
  const picture = await kept(() => send(file, told, signal), "", signal);
  remember(picture.id, async () => (await kept(() => send(file), "")).id);
  return picture;
}

/**
 * Runs an operation to its end and returns its result. Who is not patient is told that the service is gone, or forgot
 * an image.
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
async function followedToEnd(operation, text, { told = () => {}, signal = undefined, wait = 0.4 }, patient = true) {
  /** @type {Job | null} */
  let job = null;
  const act = async () => {
    // A job that was lost sight of may go on.
    if (job) job = await jobAt(job.url);
    job ??= await submit(operation, current(text), wait, signal, told);
    const ended = isOver(job) ? job : await followed(job, told, signal);
    if (ended.status === "done") return ended;
    job = null;
    // A service that stops cancels what it does.
    if (ended.status === "cancelled") throw new ServiceError(TROUBLE.lost, { kind: "offline" });
    throw new ServiceError(ended.error?.message ?? TROUBLE.failed, {
      kind: ended.error?.kind ?? "", exitCode: ended.error?.exit_code ?? 0,
    });
  };
  try {
    return await (patient ? kept(act, text, signal) : act());
  } catch (error) {
    if (job && error instanceof Cancelled) remove(job);
    throw error;
  }
}

/** @param {Job} job */
const isOver = (job) => ["done", "failed", "cancelled"].includes(job.status);

/**
 * Returns a job as it is now; null: the service does not know it.
 *
 * @param {string} url
 * @returns {Promise<Job | null>}
 */
async function jobAt(url) {
  try {
    return await (await answer(url)).json();
  } catch (error) {
    if (statusOf(error) === 404) return null;
    throw error;
  }
}

/**
 * Submits a job; where the queue is full, it waits as long as the service says, and tries again.
 *
 * @param {string} operation
 * @param {string} text
 * @param {number} wait
 * @param {AbortSignal | undefined} signal
 * @param {(progress: Progress) => void} told
 * @returns {Promise<Job>}
 */
async function submit(operation, text, wait, signal, told) {
  for (let tries = 0; ; tries += 1) {
    if (signal?.aborted) throw new Cancelled("cancelled");
    try {
      const asked = answer(`${API}/${operation}?wait=${wait}`, {
        method: "POST", body: text, headers: { "Content-Type": "application/json" },
      });
      /** @param {Job} job */
      const late = (job) => { if (!isOver(job)) remove(job); };
      // A job that nobody waits for is stopped as soon as the service has said its address.
      return await unlessCancelled(asked.then((response) => response.json()), signal, late);
    } catch (error) {
      if (!(error instanceof ServiceError) || error.status !== 429 || tries >= TRIES) throw error;
      const seconds = error.retryAfter || SECONDS;
      told({ busy: seconds, step: 0, steps: 1 });
      for (let waited = 0; waited < seconds * 10; waited += 1) {
        await pause(100);
        if (signal?.aborted) throw new Cancelled("cancelled");
      }
    }
  }
}

/**
 * Follows a job to its end.
 *
 * @param {Job} job
 * @param {(progress: Progress) => void} told
 * @param {AbortSignal} [signal]
 * @returns {Promise<Job>}
 */
function followed(job, told, signal) {
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
        told({ phase: name, step, steps, position: now.position });
      }
    });
    // The browser comes back by itself; a service that is gone, or forgot the job, does not.
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

/**
 * Deletes an image, which expires where that fails, or stops a job.
 *
 * @param {{ url: string }} owner
 */
export function remove({ url }) {
  answer(current(url), { method: "DELETE" }).catch(() => {});
}

/**
 * Returns where a file of the service is now.
 *
 * @param {string} url
 */
export function there(url) {
  return kept(async () => {
    await answer(ownerOf(current(url)));
    return current(url);
  }, url);
}

/**
 * Returns a sample photograph.
 *
 * @param {string} name
 */
export async function sample(name) {
  const blob = await (await answer(`samples/${name}`)).blob();
  return new File([blob], name, { type: blob.type });
}

/**
 * Loads an image of the service.
 *
 * @param {string} url
 */
export function image(url) {
  return kept(async () => {
    const one = new Image();
    one.src = current(url);
    try {
      await one.decode();
    } catch (error) {
      // An image does not say why it fails; its owner does, where it is gone.
      await answer(ownerOf(current(url)));
      throw error;
    }
    return one;
  }, url);
}
