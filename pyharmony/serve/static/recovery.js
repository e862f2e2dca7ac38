// Recovery: requests wait while the service is gone, and data that it has forgotten is created again from this page.

import { API, Cancelled, ServiceError, answer, pause, statusOf, unlessCancelled } from "./requests.js";
import { TROUBLE } from "./strings.js";

/**
 * The origin of data on the service: again creates it again, and returns a text with the new ids in the same order.
 *
 * @typedef {{ kind: "pictures" | "jobs", ids: string[], again: () => Promise<string> }} Origin
 */

/** The number of times that a request is tried again if the service is gone or has forgotten its data. */
const TRIES = 10;
/** The first and the longest pause between checks of a service that is gone, in milliseconds. */
const [SOON, LATER] = [250, 2000];
const ID = /\b[0-9a-f]{32}\b/g;

/** @type {Map<string, Origin>} */
const origins = new Map();
/** The current ids by the first ones, if the service has forgotten those. @type {Map<string, string>} */
const renamed = new Map();
/** @type {Map<string, Promise<void>>} */
const remaking = new Map();
/** @type {Promise<void> | null} */
let waiting = null;
let session = 0;
/** @type {(isGone: boolean) => void} */
let notify = () => {};

/** Sets the function that is called with true when the service is gone, and with false when it is back. */
/** @type {(call: (isGone: boolean) => void) => void} */
export function onGone(call) { notify = call; }

/** Discards the origins of all images, which are not needed any more. */
export function forget() {
  session += 1;
  waiting = null;
  for (const map of [origins, renamed, remaking]) map.clear();
}

/** Records the origin of the data whose ids are in a text. */
/** @type {(text: string, again: () => Promise<string>) => void} */
export function remember(text, again) {
  const ids = text.match(ID) ?? [];
  for (const id of ids) {
    const kind = text.includes(`/jobs/${id}`) ? "jobs" : "pictures";
    if (!origins.has(id)) origins.set(id, { kind, ids, again });
  }
}

/** Returns a text with the current ids of images on the service. @param {string} text */
export const current = (text) => text.replaceAll(ID, (id) => renamed.get(id) ?? id);

/** Returns a value of JSON with the current ids. @type {<T>(value: T) => T} */
export const currently = (value) => JSON.parse(current(JSON.stringify(value)));

/** @param {unknown} error */
const isGone = (error) => (error instanceof ServiceError && error.kind === "offline") || isAway(statusOf(error));
/** @param {number} status */
const isAway = (status) => [502, 503, 504].includes(status);

/** Waits until the service answers. */
function back() {
  const own = session;
  const look = async () => {
    notify(true);
    try {
      for (let milliseconds = SOON; ; milliseconds = Math.min(2 * milliseconds, LATER)) {
        await pause(milliseconds);
        if (own !== session) throw new Cancelled("cancelled");
        const response = await fetch("health", { cache: "no-store" }).catch(() => null);
        if (response && !isAway(response.status)) return;
      }
    } finally {
      if (own === session) {
        waiting = null;
        notify(false);
      }
    }
  };
  waiting ??= look();
  return waiting;
}

/** Creates forgotten data again: uploads a file, or runs the job again. */
/** @type {(id: string, origin: Origin) => Promise<void>} */
function remade(id, { ids, again }) {
  const make = async () => {
    const after = (await again()).match(ID) ?? [];
    // Equal inputs give equal results: only the ids differ.
    if (ids.length !== after.length) throw new ServiceError(TROUBLE.forgotten, { status: 404 });
    ids.forEach((old, i) => renamed.set(old, after[i]));
  };
  const running = remaking.get(id) ?? make().finally(() => remaking.delete(id));
  remaking.set(id, running);
  return running;
}

/** Creates again the forgotten data that a text refers to; returns whether there was any. */
/** @type {(text: string, signal?: AbortSignal) => Promise<boolean>} */
async function restored(text, signal) {
  const own = session;
  let some = false;
  for (const id of new Set(text.match(ID))) {
    const origin = origins.get(id);
    if (!origin) continue;
    const isThere = await answer(`${API}/${origin.kind}/${current(id)}`).then(() => true, (error) => {
      if (statusOf(error) === 404) return false;
      throw error;
    });
    if (isThere) continue;
    if (own !== session) throw new Cancelled("cancelled");
    await unlessCancelled(remade(id, origin), signal);
    some = true;
  }
  return some;
}

/**
 * Resolves when a failed request can be tried again: the service is back, or has again the data that a text refers
 * to. Throws the error if that would not help.
 *
 * @param {unknown} error
 * @param {string} text
 * @param {AbortSignal} [signal]
 */
export async function mend(error, text, signal = undefined) {
  if (isGone(error)) await unlessCancelled(back(), signal);
  else if (statusOf(error) !== 404 || !await restored(text, signal)) throw error;
}

/** Runs a function, and again after a failure that can be repaired; text has the ids that it uses. */
/** @type {<T>(act: () => Promise<T>, text: string, signal?: AbortSignal) => Promise<T>} */
export async function withRecovery(act, text, signal = undefined) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await act();
    } catch (error) {
      if (tries >= TRIES) throw error;
      await mend(error, text, signal).catch((other) => {
        // Also waits for a service that disappears during the repair.
        if (other === error || !isGone(other)) throw other;
      });
    }
  }
}
