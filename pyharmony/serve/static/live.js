// A worker of the page: requests blends at a place and decodes them, without blocking the page.

import { run } from "./api.js";

/** @typedef {{ number: number, body: Record<string, any> }} Request */

globalThis.addEventListener("message", async (/** @type {MessageEvent<Request>} */ { data: { number, body } }) => {
  try {
    const { result: { info: { url, box } } } = await run("live", body, { wait: 20, patient: false });
    const image = url ? await decoded(url) : null;
    globalThis.postMessage({ number, box, image }, { transfer: image ? [image] : [] });
  } catch (error) {
    const { message, status, kind } = /** @type {import("./requests.js").ServiceError} */ (error);
    globalThis.postMessage({ number, error: { message, status, kind } });
  }
});

/** Decodes an image from a data URL. @param {string} url */
async function decoded(url) {
  const text = atob(url.slice(url.indexOf(",") + 1));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = text.charCodeAt(i);
  return createImageBitmap(new Blob([bytes]));
}
