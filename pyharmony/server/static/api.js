// The service: uploads, jobs with progress and cancellation, images. Nothing here knows what a composite is.
// Where the service is gone, what was asked of it waits; what it forgot is made anew: its files are those of this page.

import { TROUBLE } from "./strings.js";

const API = "api/v1";
const HEADERS = { "X-Pyharmony": "1" };

/** A refusal of the service or a job that failed, with a sentence for people. */
export class ServiceError extends Error {
  constructor(message, { status = 0, kind = "", retryAfter = 0, exitCode = 0 } = {}) {
    super(message);
    Object.assign(this, { status, kind, retryAfter, exitCode });
  }
}

/** Is thrown where somebody cancelled a job, or a newer one takes its place. */
export class Cancelled extends Error {}

/** Is called where the service wants the token; resolves once it was accepted. */
let askForToken = async () => { throw new ServiceError(TROUBLE.noToken, { status: 401 }); };
export function onToken(ask) { askForToken = ask; }

/** How often something is tried again that the service left or forgot. */
const TRIES = 10;
/** The pauses between looks for a service that is gone, in milliseconds: the first and the longest. */
const [SOON, LATER] = [250, 2000];
const ID = /\b[0-9a-f]{32}\b/g;

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function answer(path, options = {}) {
  for (let tries = 0; ; tries += 1) {
    let response;
    try {
      response = await fetch(path, { ...options, headers: { ...HEADERS, ...options.headers } });
    } catch {
      throw new ServiceError(TROUBLE.offline, { kind: "offline" });
    }
    if (response.ok) return response;
    if (response.status === 401 && tries < 3) {
      await askForToken();
      continue;
    }
    const told = await response.json().catch(() => ({}));
    const retryAfter = Number(response.headers.get("retry-after") ?? 0);
    throw new ServiceError(told.error?.message ?? TROUBLE.answered(response.status), {
      status: response.status, kind: told.error?.kind ?? "", retryAfter,
    });
  }
}

export async function service() {
  return (await answer(`${API}/service`)).json();
}

/** Exchanges the token for a cookie that scripts cannot read. */
export async function openSession(token) {
  const response = await fetch(`${API}/session`, {
    method: "POST", headers: { ...HEADERS, Authorization: `Bearer ${token}` },
  });
  return response.ok;
}

// ---- what is gone, and comes back ----

/** How images came to be, by their ids: a file of this page, or a job and what it made. */
const origins = new Map();
/** The ids that the service has for them now, where it forgot the first ones. */
const renamed = new Map();
const remaking = new Map();
let waiting = null;
let session = 0;
let hear = () => {};

/** Is called with true where the service is gone, and with false where it is back. */
export function onGone(call) { hear = call; }

/** Forgets all images: nobody needs them any more. */
export function forget() {
  session += 1;
  waiting = null;
  for (const known of [origins, renamed, remaking]) known.clear();
}

/** Returns a text, or a value as JSON, with the ids that the service has for its images now. */
const current = (text) => text.replaceAll(ID, (id) => renamed.get(id) ?? id);
export const currently = (value) => JSON.parse(current(JSON.stringify(value)));

/** What a file of the service belongs to: its image or its job. */
const ownerOf = (url) => url.match(/^.*?\/(pictures|jobs)\/[0-9a-f]{32}/)?.[0] ?? url;

const isGone = ({ kind, status }) => kind === "offline" || [502, 503, 504].includes(status);

/** Waits until the service answers. */
function back() {
  const mine = session;
  const look = async () => {
    hear(true);
    try {
      for (let milliseconds = SOON; ; milliseconds = Math.min(2 * milliseconds, LATER)) {
        await pause(milliseconds);
        if (mine !== session) throw new Cancelled("cancelled");
        const response = await fetch("health", { cache: "no-store" }).catch(() => null);
        if (response && !isGone(response)) return;
      }
    } finally {
      if (mine === session) {
        waiting = null;
        hear(false);
      }
    }
  };
  waiting ??= look();
  return waiting;
}

/** Makes an image anew that the service forgot: sends its file again, or does again what made it. */
function remade(id) {
  const again = async () => {
    const { file, operation, body, result } = origins.get(id);
    if (file) {
      renamed.set(id, (await kept(() => send(file), "")).id);
      return;
    }
    const ended = await followedToEnd(operation, body, {});
    const [before, after] = [result, JSON.stringify(ended.result)].map((text) => text.match(ID) ?? []);
    // The same is made of the same: only the ids are others.
    if (before.length !== after.length) throw new ServiceError(TROUBLE.forgotten, { status: 404 });
    before.forEach((old, i) => renamed.set(old, after[i]));
  };
  if (!remaking.has(id)) remaking.set(id, again().finally(() => remaking.delete(id)));
  return remaking.get(id);
}

/** Makes anew what the service forgot of that which a text names; tells whether there was any. */
async function restored(text, signal) {
  const mine = session;
  let some = false;
  for (const id of new Set(text.match(ID))) {
    const made = origins.get(id);
    if (!made) continue;
    const of = made.file || !made.result.includes(`/jobs/${id}`) ? "pictures" : "jobs";
    const there = await answer(`${API}/${of}/${current(id)}`).then(() => true, (error) => {
      if (error.status === 404) return false;
      throw error;
    });
    if (there) continue;
    if (mine !== session) throw new Cancelled("cancelled");
    await unlessCancelled(remade(id), signal);
    some = true;
  }
  return some;
}

/**
 * Returns when something that failed can be tried again: the service is back, or has again what it forgot of that which
 * a text names. Throws the error where that would not help.
 */
export async function mend(error, text, signal = undefined) {
  if (isGone(error)) await unlessCancelled(back(), signal);
  else if (error.status !== 404 || !await restored(text, signal)) throw error;
}

/** Does something, and again where it can be mended. */
async function kept(act, text, signal = undefined) {
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

// ---- images and jobs ----

/** Uploads a file; told is called with the share that has gone, 0 to 1. */
export async function upload(file, told = () => {}, signal = undefined) {
  const made = await kept(() => send(file, told, signal), "", signal);
  origins.set(made.id, { file });
  return made;
}

function send(file, told = () => {}, signal = undefined) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${API}/pictures?name=${encodeURIComponent((file.name ?? "picture").slice(0, 200))}`);
    request.setRequestHeader("X-Pyharmony", "1");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = (event) => told(event.loaded / Math.max(1, event.total));
    request.onerror = () => failed(new ServiceError(TROUBLE.offline, { kind: "offline" }));
    request.onabort = () => failed(new Cancelled("cancelled"));
    request.onload = async () => {
      if (request.status === 201) return done(request.response);
      if (request.status === 401) {
        try {
          await askForToken();
          return done(await send(file, told, signal));
        } catch (error) {
          return failed(error);
        }
      }
      const error = request.response?.error;
      return failed(new ServiceError(error?.message ?? TROUBLE.answered(request.status), {
        status: request.status, kind: error?.kind ?? "", retryAfter: Number(request.getResponseHeader("retry-after") ?? 0),
      }));
    };
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}

/**
 * Runs an operation to its end and returns its result.
 * told is called with {phase, step, steps, position} at every change, and with {busy}, the seconds after which it tries
 * again, where the queue is full; signal stops it, and the work with it. Who is not patient is told that the service is
 * gone, or forgot an image.
 */
export async function run(operation, body, { patient = true, ...options } = {}) {
  const text = JSON.stringify(body);
  const ended = await followedToEnd(operation, text, options, patient);
  const result = JSON.stringify(ended.result);
  if (patient) for (const id of result.match(ID) ?? []) if (!origins.has(id)) origins.set(id, { operation, body: text, result });
  return ended;
}

async function followedToEnd(operation, text, { told = () => {}, signal = undefined, wait = 0.4 }, patient = true) {
  let job = null;
  const act = async () => {
    // A job that was lost sight of may go on.
    if (job) {
      job = await answer(job.url).then((response) => response.json(), (error) => {
        if (error.status === 404) return null;
        throw error;
      });
    }
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

const isOver = (job) => ["done", "failed", "cancelled"].includes(job.status);

/** Submits a job; where the queue is full, it waits as long as the service says, and tries again. */
async function submit(operation, text, wait, signal, told) {
  for (let tries = 0; ; tries += 1) {
    if (signal?.aborted) throw new Cancelled("cancelled");
    try {
      const asked = answer(`${API}/${operation}?wait=${wait}`, {
        method: "POST", body: text, headers: { "Content-Type": "application/json" },
      });
      // A job that nobody waits for is stopped as soon as the service has said its address.
      return await unlessCancelled(asked.then((response) => response.json()), signal, (job) => isOver(job) || remove(job));
    } catch (error) {
      if (error.status !== 429 || tries >= 5) throw error;
      const seconds = error.retryAfter || 2;
      told({ busy: seconds, step: 0, steps: 1 });
      for (let waited = 0; waited < seconds * 10; waited += 1) {
        await pause(100);
        if (signal?.aborted) throw new Cancelled("cancelled");
      }
    }
  }
}

/** Waits for something. Who cancels does not wait: late is called with what comes of it. */
function unlessCancelled(asked, signal, late = () => {}) {
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

function followed(job, told, signal) {
  return new Promise((done, failed) => {
    const events = new EventSource(job.events_url);
    let lost = 0;
    const end = (settle, value) => {
      events.close();
      settle(value);
    };
    const stop = () => end(failed, new Cancelled("cancelled"));
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
    events.addEventListener("job", (event) => {
      lost = 0;
      const now = JSON.parse(event.data);
      if (isOver(now)) {
        signal?.removeEventListener("abort", stop);
        end(done, now);
      } else {
        told({ phase: now.phase?.name ?? "wait", step: now.phase?.step ?? 0, steps: now.phase?.steps ?? 1, position: now.position });
      }
    });
    // The browser comes back by itself; a service that is gone, or forgot the job, does not.
    events.onerror = () => {
      lost += 1;
      const leave = () => end(failed, new ServiceError(TROUBLE.lost, { kind: "offline" }));
      if (lost > 5 || events.readyState === EventSource.CLOSED) leave();
      else answer(job.url).catch(leave);
    };
  });
}

/** Deletes an image, which expires where that fails, or stops a job. */
export function remove({ url }) {
  answer(current(url), { method: "DELETE" }).catch(() => {});
}

/** Returns where a file of the service is now. */
export function there(url) {
  return kept(async () => {
    await answer(ownerOf(current(url)));
    return current(url);
  }, url);
}

export async function sample(name) {
  const blob = await (await answer(`samples/${name}`)).blob();
  return new File([blob], name, { type: blob.type });
}

/** Loads an image of the service. */
export function image(url) {
  return kept(async () => {
    const found = new Image();
    found.src = current(url);
    try {
      await found.decode();
    } catch (error) {
      // An image does not say why it fails; its owner does, where it is gone.
      await answer(ownerOf(current(url)));
      throw error;
    }
    return found;
  }, url);
}
