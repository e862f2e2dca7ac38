// Requests to the service, and their errors.

import { TROUBLE } from "./strings.js";

/**
 * The version, limits and methods of the service.
 *
 * @typedef {object} About
 * @property {string[]} operations
 * @property {string[]} methods of matching
 * @property {{ name: string, about: string, detects_people: boolean }[]} segment_methods
 * @property {import("./fields.js").Field[]} fields of a composite
 * @property {number} max_upload
 * @property {number} max_pixels
 */

export const API = "api/v1";
const HEADERS = { "X-Pyharmony": "1" };
/** The number of times that a request is tried again after a request for the token. */
const TRIES = 3;

/** A refusal of the service or a job that failed, with a sentence for people. */
export class ServiceError extends Error {
  /**
   * @param {string} message
   * @param {{ status?: number, kind?: string, retryAfter?: number, exitCode?: number }} [facts]
   */
  constructor(message, { status = 0, kind = "", retryAfter = 0, exitCode = 0 } = {}) {
    super(message);
    this.status = status;
    this.kind = kind;
    this.retryAfter = retryAfter;
    this.exitCode = exitCode;
  }
}

/** An error for a job that was cancelled by the user, or replaced by a newer one. */
export class Cancelled extends Error {}

/** @type {() => Promise<void>} */
let ask = async () => { throw new ServiceError(TROUBLE.noToken, { status: 401 }); };

/** Sets the function that is called when the service needs the token; it resolves when the token was accepted. */
/** @type {(call: () => Promise<void>) => void} */
export function onToken(call) { ask = call; }

export const askForToken = () => ask();

/** @param {number} milliseconds */
export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Returns the status of an error; 0: it is not from the service. @param {unknown} error */
export const statusOf = (error) => (error instanceof ServiceError ? error.status : 0);

/** Sends a request to the service and returns its response. */
/** @type {(path: string, options?: RequestInit & { headers?: Record<string, string> }) => Promise<Response>} */
export async function answer(path, options = {}) {
  for (let tries = 0; ; tries += 1) {
    let response;
    try {
      response = await fetch(path, { ...options, headers: { ...HEADERS, ...options.headers } });
    } catch {
      throw new ServiceError(TROUBLE.offline, { kind: "offline" });
    }
    if (response.ok) return response;
    if (response.status === 401 && tries < TRIES) {
      await askForToken();
      continue;
    }
    const reply = await response.json().catch(() => ({}));
    throw refusal(response.status, reply, response.headers.get("retry-after"));
  }
}

/** Returns the error of a refusal. @type {(status: number, reply: any, retryAfter: string | null) => ServiceError} */
function refusal(status, reply, retryAfter) {
  return new ServiceError(reply?.error?.message ?? TROUBLE.answered(status), {
    status, kind: reply?.error?.kind ?? "", retryAfter: Number(retryAfter ?? 0),
  });
}

/** @returns {Promise<About>} */
export async function service() {
  return (await answer(`${API}/service`)).json();
}

/** Exchanges the token for a cookie that scripts cannot read. @param {string} token */
export async function openSession(token) {
  const headers = { ...HEADERS, Authorization: `Bearer ${token}` };
  return (await fetch(`${API}/session`, { method: "POST", headers })).ok;
}

/**
 * Uploads a file and returns its image on the service; onProgress is called with the share that was sent.
 *
 * @param {File} file
 * @param {(share: number) => void} [onProgress]
 * @param {AbortSignal} [signal]
 * @returns {Promise<import("./api.js").Picture>}
 */
export function send(file, onProgress = () => {}, signal = undefined) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${API}/pictures?name=${encodeURIComponent((file.name ?? "picture").slice(0, 200))}`);
    for (const [name, value] of Object.entries(HEADERS)) request.setRequestHeader(name, value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.loaded / Math.max(1, event.total));
    request.onerror = () => failed(new ServiceError(TROUBLE.offline, { kind: "offline" }));
    request.onabort = () => failed(new Cancelled("cancelled"));
    request.onload = () => {
      if (request.status === 201) done(request.response);
      else if (request.status === 401) askForToken().then(() => send(file, onProgress, signal)).then(done, failed);
      else failed(refusal(request.status, request.response, request.getResponseHeader("retry-after")));
    };
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}

/** Waits for a promise. After a cancellation, late is called with its result instead. */
/** @type {<T>(asked: Promise<T>, signal?: AbortSignal, late?: (value: T) => void) => Promise<T>} */
export function unlessCancelled(asked, signal, late = () => {}) {
  return new Promise((done, failed) => {
    const stop = () => {
      asked.then(late, () => {});
      failed(new Cancelled("cancelled"));
    };
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    asked.then(done, failed).finally(() => signal?.removeEventListener("abort", stop));
  });
}
