// Messages: on the page, and to screen readers.

import { Cancelled, ServiceError } from "./api.js";
import { $, buttonOf, elementOf, passFocus } from "./dom.js";
import { TROUBLE } from "./strings.js";

/** The milliseconds for which a message that is not an error is shown, and the largest number of messages. */
const [SHOWN, MOST] = [6000, 3];

/** Announces a text to screen readers. @param {string} text */
export function announce(text) {
  $("live").textContent = "";
  requestAnimationFrame(() => { $("live").textContent = text; });
}

/** Shows a message for a while; errors stay until they are closed or their topic, such as a file, is cleared. */
/** @type {(text: string, options?: { error?: boolean, topic?: string | null }) => HTMLElement} */
export function showMessage(text, { error = false, topic = null } = {}) {
  const toast = elementOf("div", { className: error ? "toast error" : "toast" }, elementOf("span", {}, text));
  const close = () => {
    passFocus(toast, $($("editor").hidden ? "home" : "stage"));
    toast.remove();
  };
  toast.append(buttonOf(TROUBLE.close, close));
  toast.setAttribute("role", error ? "alert" : "status");
  if (topic) toast.dataset.topic = topic;
  const toasts = $("toasts");
  for (const other of [...toasts.children]) if (other.firstChild?.textContent === text) other.remove();
  toasts.append(toast);
  while (toasts.children.length > MOST) toasts.firstChild?.remove();
  if (!error) setTimeout(close, SHOWN);
  return toast;
}

/** Removes the messages of a topic, or of all. @param {string | null} [topic] */
export function clear(topic = null) {
  for (const toast of $("toasts").querySelectorAll(topic ? `[data-topic="${topic}"]` : "[data-topic]")) toast.remove();
}

/** Returns the sentence about a failure. @param {unknown} error */
export function messageOf(error) {
  const message = error instanceof ServiceError ? error.message : TROUBLE.unexpected;
  return message.charAt(0).toUpperCase() + message.slice(1);
}

/** Shows the message of a failure; a cancellation by the user is none. */
/** @type {(error: unknown, topic?: string | null) => void} */
export function fail(error, topic = null) {
  if (error instanceof Cancelled) {
    announce(TROUBLE.cancelled);
    return;
  }
  if (!(error instanceof ServiceError)) console.error(error);
  showMessage(messageOf(error), { error: true, topic });
}
