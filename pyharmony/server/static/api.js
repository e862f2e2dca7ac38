// The service: uploads, jobs with progress and cancellation, images. Nothing here knows what a composite is.

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

/** Uploads a file; told is called with the share that has gone, 0 to 1. */
export function upload(file, told = () => {}, signal = undefined) {
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
          return done(await upload(file, told, signal));
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
 * again, where the queue is full; signal stops it, and the work with it.
 */
export async function run(operation, body, { told = () => {}, signal = undefined, wait = 0.4 } = {}) {
  const started = await submit(operation, body, wait, signal, told);
  const ended = isOver(started) ? started : await followed(started, told, signal);
  if (ended.status === "done") return ended;
  if (ended.status === "cancelled") throw new Cancelled("cancelled");
  throw new ServiceError(ended.error?.message ?? TROUBLE.failed, {
    kind: ended.error?.kind ?? "", exitCode: ended.error?.exit_code ?? 0,
  });
}

const isOver = (job) => ["done", "failed", "cancelled"].includes(job.status);

/** Submits a job; where the queue is full, it waits as long as the service says, and tries again. */
async function submit(operation, body, wait, signal, told) {
  for (let tries = 0; ; tries += 1) {
    if (signal?.aborted) throw new Cancelled("cancelled");
    try {
      const asked = answer(`${API}/${operation}?wait=${wait}`, {
        method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
      });
      return await unlessCancelled(asked.then((response) => response.json()), signal);
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

/** Waits for a job that was asked for. Who cancels does not wait: it is stopped as soon as the service has said its address. */
function unlessCancelled(asked, signal) {
  return new Promise((done, failed) => {
    const stop = () => {
      asked.then((job) => isOver(job) || remove(job), () => {});
      failed(new Cancelled("cancelled"));
    };
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
    const stop = () => {
      remove(job);
      end(failed, new Cancelled("cancelled"));
    };
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
    // The browser comes back by itself; a service that is gone for long, or forgot the job, does not.
    events.onerror = () => {
      lost += 1;
      if (lost > 5 || events.readyState === EventSource.CLOSED) {
        end(failed, new ServiceError(TROUBLE.lost, { kind: "offline" }));
      }
    };
  });
}

/** Deletes an image, which expires where that fails, or stops a job. */
export function remove({ url }) {
  answer(url, { method: "DELETE" }).catch(() => {});
}

export async function recipe(url) {
  return (await answer(url)).json();
}

export async function sample(name) {
  const blob = await (await answer(`samples/${name}`)).blob();
  return new File([blob], name, { type: blob.type });
}

/** Loads an image of the service. */
export async function image(url) {
  const found = new Image();
  found.src = url;
  await found.decode();
  return found;
}
