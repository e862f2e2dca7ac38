// Where the service is gone, what was asked of it waits; what it forgot is made anew: its files are those of this page.

import { API, Cancelled, ServiceError, answer, pause, statusOf, unlessCancelled } from "./requests.js";
import { TROUBLE } from "./strings.js";

/**
 * How something of the service came to be: again makes it anew, and returns a text with the new ids in their order.
 *
 * @typedef {{ kind: "pictures" | "jobs", ids: string[], again: () => Promise<string> }} Origin
 */

/** How often something is tried again that the service left or forgot. */
const TRIES = 10;
/** The pauses between looks for a service that is gone, in milliseconds: the first and the longest. */
const [SOON, LATER] = [250, 2000];
const ID = /\b[0-9a-f]{32}\b/g;

/** @type {Map<string, Origin>} */
const origins = new Map();
/** The ids that the service has now, where it forgot the first ones. @type {Map<string, string>} */
const renamed = new Map();
/** @type {Map<string, Promise<void>>} */
const remaking = new Map();
/** @type {Promise<void> | null} */
let waiting = null;
let session = 0;
/** @type {(isGone: boolean) => void} */
let hear = () => {};

/**
 * Takes what is called with true where the service is gone, and with false where it is back.
 *
 * @param {(isGone: boolean) => void} call
 */
export function onGone(call) { hear = call; }

/** Forgets all images: nobody needs them any more. */
export function forget() {
  session += 1;
  waiting = null;
  for (const map of [origins, renamed, remaking]) map.clear();
}

/**
 * Remembers how that came to be whose ids a text has.
 *
 * @param {string} text
 * @param {() => Promise<string>} again makes it anew, and returns a text with the new ids in the same order
 */
export function remember(text, again) {
  const ids = text.match(ID) ?? [];
  for (const id of ids) {
    const kind = text.includes(`/jobs/${id}`) ? "jobs" : "pictures";
    if (!origins.has(id)) origins.set(id, { kind, ids, again });
  }
}

/**
 * Returns a text with the ids that the service has for its images now.
 *
 * @param {string} text
 */
export const current = (text) => text.replaceAll(ID, (id) => renamed.get(id) ?? id);

/**
 * Returns a value as JSON has it, with the ids that the service has for its images now.
 *
 * @template T
 * @param {T} value
 * @returns {T}
 */
export const currently = (value) => JSON.parse(current(JSON.stringify(value)));

/** @param {unknown} error */
const isGone = (error) => (error instanceof ServiceError && error.kind === "offline") || isAway(statusOf(error));
/** @param {number} status */
const isAway = (status) => [502, 503, 504].includes(status);

/** Waits until the service answers. */
function back() {
  const own = session;
  const look = async () => {
    hear(true);
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
        hear(false);
      }
    }
  };
  waiting ??= look();
  return waiting;
}

/**
 * Makes anew what the service forgot: sends a file again, or does again what made it.
 *
 * @param {string} id
 * @param {Origin} origin
 */
function remade(id, { ids, again }) {
  const make = async () => {
    const after = (await again()).match(ID) ?? [];
    // The same is made of the same: only the ids are others.
    if (ids.length !== after.length) throw new ServiceError(TROUBLE.forgotten, { status: 404 });
    ids.forEach((old, i) => renamed.set(old, after[i]));
  };
  const running = remaking.get(id) ?? make().finally(() => remaking.delete(id));
  remaking.set(id, running);
  return running;
}

/**
 * Makes anew what the service forgot of that which a text names; tells whether there was any.
 *
 * @param {string} text
 * @param {AbortSignal} [signal]
 */
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
 * Returns when something that failed can be tried again: the service is back, or has again what it forgot of that which
 * a text names. Throws the error where that would not help.
 *
 * @param {unknown} error
 * @param {string} text
 * @param {AbortSignal} [signal]
 */
export async function mend(error, text, signal = undefined) {
  if (isGone(error)) await unlessCancelled(back(), signal);
  else if (statusOf(error) !== 404 || !await restored(text, signal)) throw error;
}

/**
 * Does something, and again where it can be mended.
 *
 * @template T
 * @param {() => Promise<T>} act
 * @param {string} text what it names
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function kept(act, text, signal = undefined) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await act();
    } catch (error) {
      if (tries >= TRIES) throw error;
      await mend(error, text, signal).catch((other) => {
        // A service that goes while it is mended is waited for, too.
        if (other === error || !isGone(other)) throw other;
      });
    }
  }
}
