// The elements of the page, by their ids and with their types.

/** @param {string} id */
export const $ = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {string} id */
export const input = (id) => /** @type {HTMLInputElement} */ ($(id));

/** @param {string} id */
export const select = (id) => /** @type {HTMLSelectElement} */ ($(id));

/** @param {string} id */
export const button = (id) => /** @type {HTMLButtonElement} */ ($(id));

/** Returns the fields of a form. @type {(id: string) => Record<string, HTMLInputElement>} */
export const fields = (id) => /** @type {any} */ (/** @type {HTMLFormElement} */ ($(id)).elements);

/** Writes values into fields, except into the one with the focus, unless its number is complete. */
/** @type {(form: string, values: Record<string, number | string>, isComplete?: boolean) => void} */
export function write(form, values, isComplete = false) {
  for (const [name, value] of Object.entries(values)) {
    const field = fields(form)[name];
    if (isComplete || document.activeElement !== field) field.value = String(value);
  }
}

/** Returns the elements that match a selector. @param {string} selector */
export const all = (selector) => [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(selector))];

/** Returns the inputs that match a selector. @param {string} selector */
export const inputs = (selector) => all(selector).map((one) => /** @type {HTMLInputElement} */ (one));

/** Returns the value of the selected radio button of a name. @param {string} name */
export const chosen = (name) => inputs(`input[name=${name}]:checked`)[0].value;

/** Moves the focus from an element that is about to go, or from inside it, to another one. */
/** @type {(from: HTMLElement, to: HTMLElement) => void} */
export function passFocus(from, to) {
  if (from.contains(document.activeElement)) to.focus({ preventScroll: true });
}

/** Creates a button with a text. @type {(text: string, run: () => void, className?: string) => HTMLButtonElement} */
export function buttonOf(text, run, className = "") {
  const one = elementOf("button", { type: "button", ...(className ? { className } : {}) }, text);
  one.addEventListener("click", run);
  return one;
}

/** Creates a button with an icon of index.html. @type {(icon: string, run: () => void) => HTMLButtonElement} */
export function iconOf(icon, run) {
  const one = elementOf("button", { type: "button", className: "icon" });
  one.innerHTML = `<svg aria-hidden="true"><use href="#${icon}"/></svg>`;
  one.addEventListener("click", run);
  return one;
}

/** Creates a button with an image. @type {(image: HTMLCanvasElement, run: () => void) => HTMLButtonElement} */
export function thumbOf(image, run) {
  const one = elementOf("button", { type: "button", className: "thumb" }, image);
  one.addEventListener("click", run);
  return one;
}

/**
 * Creates an element with properties and children.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} properties
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function elementOf(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
