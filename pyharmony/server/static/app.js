// The page: the start, where photos come in, and what is said to people. What is done with them is in editor.js.

import * as api from "./api.js";
import { Editor } from "./editor.js";
import { START, TROUBLE } from "./strings.js";

const $ = (id) => document.getElementById(id);

/** The photos to give, by the way that is chosen. */
const WAYS = {
  compose: {
    slots: [{ name: "subject", icon: "i-person" }, { name: "background", icon: "i-photo" }],
    samples: { subject: "astronaut.jpg", background: "rocket.jpg" },
  },
  harmonize: {
    slots: [{ name: "composite", icon: "i-photo" }, { name: "mask", icon: "i-mask" }],
    samples: { source: "cat.png", background: "coffee.jpg", mask: "cat_mask.png" },
  },
  blend: {
    slots: [{ name: "source", icon: "i-person" }, { name: "mask", icon: "i-mask" }, { name: "background", icon: "i-photo" }],
    samples: { source: "cat.png", background: "coffee.jpg", mask: "cat_mask.png" },
  },
  merge: {
    slots: [{ name: "photos", icon: "i-photo", many: true }],
    samples: null,
  },
};

let about = null;
let way = "compose";
let given = {};
let uploads = null;

// ---- what is said ----

/** Says something to screen readers. */
export function say(text) {
  $("live").textContent = "";
  requestAnimationFrame(() => { $("live").textContent = text; });
}

/** Shows a message for a while; errors stay until they are closed or their topic, a file to give, is cleared. */
export function tell(text, { error = false, action = null, topic = null } = {}) {
  const toast = document.createElement("div");
  toast.className = error ? "toast error" : "toast";
  toast.setAttribute("role", error ? "alert" : "status");
  if (topic) toast.dataset.topic = topic;
  const message = document.createElement("span");
  message.textContent = text;
  toast.append(message);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = action?.title ?? TROUBLE.close;
  button.addEventListener("click", () => {
    toast.remove();
    action?.run();
  });
  toast.append(button);
  for (const other of [...$("toasts").children]) if (other.firstChild.textContent === text) other.remove();
  $("toasts").append(toast);
  while ($("toasts").children.length > 3) $("toasts").firstChild.remove();
  if (!error) setTimeout(() => toast.remove(), 6000);
  return toast;
}

/** Removes the messages of a topic, or of all. */
function clear(topic = null) {
  for (const toast of $("toasts").querySelectorAll(topic ? `[data-topic="${topic}"]` : "[data-topic]")) toast.remove();
}

/** Tells of a failure in words; what somebody cancelled is none. */
export function fail(error, topic = null) {
  if (error instanceof api.Cancelled) return say(TROUBLE.cancelled);
  const text = error instanceof api.ServiceError ? error.message : TROUBLE.unexpected;
  if (!(error instanceof api.ServiceError)) console.error(error);
  return tell(text.charAt(0).toUpperCase() + text.slice(1), { error: true, topic });
}

const editor = new Editor({ say, tell, clear, fail, home });

// ---- the start ----

function slotOf({ name, icon, many }) {
  const [title, hint] = START[way][name];
  const label = document.createElement("div");
  label.className = "slot";
  label.dataset.slot = name;
  label.innerHTML = `<svg aria-hidden="true"><use href="#${icon}"/></svg><span class="label"><b></b><br><small></small></span>`;
  label.querySelector("b").textContent = title;
  label.querySelector("small").textContent = hint;
  const input = document.createElement("input");
  Object.assign(input, { type: "file", multiple: true, accept: "image/*,.tif,.tiff,.heic,.heif,.avif" });
  input.setAttribute("aria-label", `${title}: ${hint}`);
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    take(files, name, many);
  });
  label.append(input);
  for (const kind of ["dragenter", "dragover"]) label.addEventListener(kind, (event) => { event.preventDefault(); label.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) label.addEventListener(kind, () => label.classList.remove("over"));
  label.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    take([...event.dataTransfer.files], name, many);
  });
  return label;
}

function choose(next) {
  clear();
  uploads?.abort();
  uploads = new AbortController();
  way = next;
  given = {};
  for (const input of $("ways").querySelectorAll("input")) input.checked = input.value === way;
  $("way-help").textContent = START[way].help;
  $("slots").replaceChildren(...WAYS[way].slots.map(slotOf));
  $("sample").hidden = !WAYS[way].samples;
}

/** Takes files for a slot, and those that are too many for the slots after it. */
async function take(files, name, many) {
  if (!files.length) return;
  const slots = WAYS[way].slots.map((slot) => slot.name);
  if (many) return receive(name, files, true);
  const free = [name, ...slots.filter((slot) => slot !== name && !given[slot])];
  await Promise.all(files.slice(0, free.length).map((file, i) => receive(free[i], [file], false)));
}

async function receive(name, files, many) {
  clear(name);
  const own = new AbortController();
  const { signal } = own;
  const stop = () => own.abort();
  uploads.signal.addEventListener("abort", stop, { once: true });
  const slot = $("slots").querySelector(`[data-slot="${name}"]`);
  const large = files.find((file) => about && file.size > about.max_upload);
  if (large) return tell(START.tooLarge(large.name, Math.floor(about.max_upload / 1e6)), { error: true, topic: name });
  slot.querySelector("progress")?.remove();
  const bar = document.createElement("progress");
  bar.max = files.length;
  bar.setAttribute("aria-label", START.upload);
  const cancel = document.createElement("button");
  Object.assign(cancel, { type: "button", className: "second stop", textContent: START.cancelUpload });
  cancel.setAttribute("aria-label", `${START.cancelUpload}: ${slot.querySelector("b").textContent}`);
  cancel.addEventListener("click", stop);
  slot.querySelector(".stop")?.click();
  slot.append(bar, cancel);
  given[name] = null;
  try {
    const found = [];
    for (const file of files) {
      found.push(await api.upload(file, (share) => { bar.value = found.length + share * 0.9; }, signal));
    }
    if (signal.aborted) return undefined;
    given[name] = many ? found : found[0];
    const picture = document.createElement("img");
    picture.src = found[0].proxy_url;
    picture.alt = "";
    slot.querySelector("img")?.remove();
    slot.prepend(picture);
    slot.classList.add("full");
    const text = many ? START.photos(found.length) : START.size(found[0]);
    say(`${slot.querySelector("b").textContent}: ${text}`);
    return ready();
  } catch (error) {
    // Who went elsewhere, or gave another file, cancelled it by that.
    if (!slot.isConnected || slot.querySelector(".stop") !== cancel) return undefined;
    given[name] = undefined;
    slot.querySelector("img")?.remove();
    slot.classList.remove("full");
    if (error instanceof api.Cancelled) {
      slot.querySelector("input").focus();
      return say(START.uploadCancelled);
    }
    return fail(error, name);
  } finally {
    bar.remove();
    cancel.remove();
  }
}

/** Goes on where everything is there. */
async function ready() {
  const names = WAYS[way].slots.map((slot) => slot.name);
  if (!names.every((name) => given[name])) return;
  // Two files that came together may be in the wrong order: a mask is grey.
  if (way !== "compose" && given.mask && given.mask.channels !== 1) {
    const other = names.find((name) => name !== "mask" && given[name].channels === 1);
    if (other) [given.mask, given[other]] = [given[other], given.mask];
  }
  await open(way, given);
}

async function open(name, pictures) {
  clear();
  try {
    document.body.dataset.view = "editor";
    document.body.dataset.way = name;
    $("start").hidden = true;
    $("editor").hidden = false;
    await editor.open(name, pictures, about);
  } catch (error) {
    home();
    fail(error);
  }
}

function home() {
  editor.close();
  api.forget();
  $("toasts").replaceChildren();
  document.body.dataset.view = "start";
  $("start").hidden = false;
  $("editor").hidden = true;
  document.title = "pyharmony";
  history.replaceState(null, "", location.pathname);
  choose(way);
}

async function samples() {
  const button = $("sample");
  button.disabled = true;
  try {
    const names = WAYS[way].samples;
    const found = {};
    await Promise.all(Object.entries(names).map(async ([name, file]) => { found[name] = await api.upload(await api.sample(file)); }));
    if (way === "harmonize") {
      const { source, background, mask } = found;
      const at = [0.16 * background.width, 0.58 * background.height];
      const { result } = await api.run("blend", { src: source.id, dst: background.id, mask: mask.id, at, mode: "alpha", save_mask: true });
      await open("harmonize", { composite: { ...result.picture, name: "composite.png" }, mask: { ...result.mask, name: "mask.png" } });
    } else {
      await open(way, found);
    }
  } catch (error) {
    fail(error);
  } finally {
    button.disabled = false;
  }
}

// ---- a service that is gone ----

let gone = null;
api.onGone((isGone) => {
  const known = gone?.isConnected;
  gone?.remove();
  gone = isGone ? tell(TROUBLE.gone, { error: true }) : null;
  if (!isGone && known) tell(TROUBLE.isBack);
});

// ---- the token ----

let asking = null;
api.onToken(() => {
  asking ??= new Promise((done) => {
    const form = $("token-form");
    $("token").showModal();
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (await api.openSession(form.elements.token.value.trim())) {
        form.reset();
        $("token").close();
        asking = null;
        done();
      } else {
        $("token-note").textContent = START.wrongToken;
      }
    };
  });
  return asking;
});

// ---- begin ----

$("home").addEventListener("click", home);
$("sample").addEventListener("click", samples);
$("ways").addEventListener("change", (event) => choose(event.target.value));
// A photo that is dropped beside a slot, or pasted, goes to the first that is free.
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    if (kind === "drop" && document.body.dataset.view === "start") bring([...event.dataTransfer.files]);
  });
}
document.addEventListener("paste", (event) => {
  if (document.body.dataset.view === "start") bring([...(event.clipboardData?.files ?? [])]);
});
function bring(files) {
  const slot = WAYS[way].slots.find(({ name }) => !given[name]) ?? WAYS[way].slots[0];
  take(files.filter((file) => file.type.startsWith("image/") || /\.(tiff?|hei[cf]|avif)$/i.test(file.name)), slot.name, slot.many);
}

choose(way);
api.service().then((found) => {
  about = found;
  $("way-merge").hidden = !found.operations.includes("merge");
  $("limits").textContent = START.limits(Math.floor(found.max_upload / 1e6), Math.floor(found.max_pixels / 1e6));
  document.documentElement.dataset.ready = "true";
}).catch(fail);
