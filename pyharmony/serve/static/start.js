// The start: the choice of a way, and the uploads of its photos, after which the editor opens.

import * as api from "./api.js";
import { BEGIN } from "./document.js";
import { $, button, buttonOf, elementOf, input, inputs, passFocus } from "./dom.js";
import { UNPLACED, placeAt } from "./geometry.js";
import { announce, clear, fail, messageOf, showMessage } from "./messages.js";
import { openedLayers, openedRecipe, photosOf, readRecipe } from "./opening.js";
import { reducedFile } from "./pixels.js";
import { openedProject } from "./project.js";
import { START } from "./strings.js";
import { WAYS } from "./ways/all.js";

/** @import { Picture } from "./api.js" */
/** @import { Pictures, Slot, Way } from "./ways/way.js" */

/** @typedef {(way: Way, pictures: Pictures, draft?: import("./drafts.js").Started) => Promise<void>} Open */

/** The accepted files of a slot, and image files whose type the browser does not know. */
const [ACCEPTED, IMAGES] = ["image/*,.tif,.tiff,.heic,.heif,.avif,.json,.ora,.pyharmony", /\.(tiff?|hei[cf]|avif)$/i];

/** The files that the page has saved and opens. */
const SAVED = /\.(json|ora|pyharmony)$/i;

/** The smallest number of photos of one place. */
const FEWEST = 2;

/** Returns the title of a slot, and its description. @type {(way: Way, name: string) => [string, string]} */
const textsOf = (way, name) => /** @type {any} */ (START)[way.name][name];

export class Start {
  /**
   * @param {Open} open is called when all photos are there
   * @param {() => Promise<void>} home is called before photos are asked for
   */
  constructor(open, home) {
    this.open = open;
    this.home = home;
    /** The service, once it is known. @type {import("./requests.js").About | null} */
    this.about = null;
    this.way = WAYS.compose;
    /** The uploaded photos. @type {Record<string, any>} */
    this.photos = {};
    /** The recipe whose photos are asked for. @type {import("./opening.js").Recipe | null} */
    this.recipe = null;
    this.uploads = new AbortController();
    $("sample").addEventListener("click", () => this.openSamples());
    $("open-file").addEventListener("change", () => {
      const files = [...(input("open-file").files ?? [])];
      input("open-file").value = "";
      this.take(files, this.way.slots[0].name);
    });
    $("ways").addEventListener("change", ({ target }) => (
      this.choose(WAYS[/** @type {HTMLInputElement} */ (target).value])));
  }

  /** Whether there are photos, or some are on their way. */
  get isUsed() { return Object.values(this.photos).some((photo) => photo !== undefined); }

  /** Starts over with a way. @param {Way} [way] */
  choose(way = WAYS[this.way.name]) {
    clear();
    this.uploads.abort();
    this.uploads = new AbortController();
    this.way = way;
    this.photos = {};
    this.recipe = null;
    for (const one of inputs("#ways input")) one.checked = one.value === way.name;
    $("way-help").textContent = /** @type {any} */ (START)[way.name].help;
    $("slots").replaceChildren(...way.slots.map((slot) => this.slotOf(slot)));
    $("sample").hidden = !way.samples;
  }

  /** @param {Slot} slot */
  slotOf({ name, icon, many = false }) {
    const [title, hint] = textsOf(this.way, name);
    const texts = [elementOf("b", {}, title), elementOf("br", {}), elementOf("small", {}, hint)];
    const field = elementOf("input", { type: "file", multiple: true, accept: ACCEPTED });
    const label = elementOf("div", { className: "slot" }, elementOf("span", { className: "label" }, ...texts), field);
    label.dataset.slot = name;
    label.insertAdjacentHTML("afterbegin", `<svg aria-hidden="true"><use href="#${icon}"/></svg>`);
    field.setAttribute("aria-label", `${title}: ${hint}`);
    field.addEventListener("change", () => {
      const files = [...(field.files ?? [])];
      field.value = "";
      this.take(files, name, many);
    });
    for (const kind of ["dragenter", "dragover"]) {
      label.addEventListener(kind, (event) => {
        event.preventDefault();
        label.classList.add("over");
      });
    }
    for (const kind of ["dragleave", "drop"]) label.addEventListener(kind, () => label.classList.remove("over"));
    label.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.take([...(event.dataTransfer?.files ?? [])], name, many);
    });
    return label;
  }

  /**
   * Opens a project, a recipe or a file with layers, if one is among files; of a recipe, the photos are asked for.
   * Returns whether there was one.
   *
   * @param {File[]} files
   * @param {AbortSignal} [signal] cancels the uploads of a project
   */
  async openSaved(files, signal = undefined) {
    const saved = files.find(({ name }) => SAVED.test(name));
    if (!saved) return false;
    try {
      if (/\.pyharmony$/i.test(saved.name)) {
        leaveOut(files.filter((file) => file !== saved));
        await this.openProject(saved, signal);
      } else if (/\.ora$/i.test(saved.name)) {
        const { pictures, ...draft } = await openedLayers(saved, (this.about ?? await api.service()).max_upload);
        await this.open(WAYS.compose, pictures, draft);
      } else {
        const recipe = await readRecipe(saved);
        await this.home();
        this.choose({ ...WAYS.compose, slots: [{ name: "photos", icon: "i-photo", many: true }], samples: null });
        this.recipe = recipe;
        $("way-help").textContent = START.addPhotos(photosOf(recipe));
        const photos = files.filter((file) => file !== saved);
        if (photos.length) await this.receive("photos", photos, true);
      }
    } catch (error) {
      fail(error);
    }
    return true;
  }

  /** @type {(file: File, signal?: AbortSignal) => Promise<void>} */
  async openProject(file, signal) {
    const own = new AbortController();
    for (const one of [this.uploads.signal, signal]) one?.addEventListener("abort", () => own.abort(), { once: true });
    const slot = within($("slots"), ".slot");
    const { bar, cancel } = showUpload(slot, 1, () => own.abort());
    try {
      const about = this.about ?? await api.service();
      const onProgress = (/** @type {number} */ share) => { bar.value = share; };
      const { way, pictures, ...draft } = await openedProject(file, about, onProgress, own.signal);
      await this.open(way, pictures, draft);
    } finally {
      passFocus(cancel, within(slot, "input"));
      bar.remove();
      cancel.remove();
    }
  }

  /** Adds files that were dropped outside of the slots, or pasted: they fill the first free slot. */
  /** @type {(files: File[]) => void} */
  bring(files) {
    const slot = this.way.slots.find(({ name }) => !this.photos[name]) ?? this.way.slots[0];
    this.take(usable(files), slot.name, slot.many);
  }

  /** Adds files to a slot, and surplus ones to the slots after it. */
  /** @type {(files: File[], name: string, many?: boolean) => Promise<void>} */
  async take(files, name, many = false) {
    if (!files.length || await this.openSaved(files)) return;
    if (many) {
      await this.receive(name, files, true);
      return;
    }
    const slots = this.way.slots.map((slot) => slot.name);
    const free = [name, ...slots.filter((slot) => slot !== name && !this.photos[slot])];
    leaveOut(files.slice(free.length));
    await Promise.all(files.slice(0, free.length).map((file, i) => this.receive(free[i], [file], false)));
  }

  /** Uploads files, and shows the progress. @type {(name: string, files: File[], many: boolean) => Promise<void>} */
  async receive(name, files, many) {
    const { about } = this;
    const slot = within($("slots"), `[data-slot="${name}"]`);
    slot.querySelector(".refusal")?.remove();
    const large = files.find((file) => about && file.size > about.max_upload);
    if (about && large) {
      const text = START.tooLarge(large.name, Math.floor(about.max_upload / 1e6));
      this.refuse(slot, text, () => this.reduce(slot, name, files, many));
      return;
    }
    const own = new AbortController();
    this.uploads.signal.addEventListener("abort", () => own.abort(), { once: true });
    const { bar, cancel } = showUpload(slot, files.length, () => own.abort());
    /** Several photos may come one by one. @type {Picture[]} */
    const pictures = (many && this.photos[name]) || [];
    this.photos[name] = null;
    try {
      for (const file of files) {
        const onProgress = (/** @type {number} */ share) => { bar.value = pictures.length + share * 0.9; };
        pictures.push(await api.upload(file, onProgress, own.signal));
      }
      if (own.signal.aborted) return;
      this.photos[name] = many ? pictures : pictures[0];
      showPhoto(slot, pictures[0]);
      const text = many ? START.photos(pictures.length) : START.size(pictures[0]);
      announce(`${within(slot, "b").textContent}: ${text}`);
      await this.goOn();
    } catch (error) {
      // Leaving, or choosing another file, cancels the upload.
      if (!slot.isConnected || slot.querySelector(".stop") !== cancel) return;
      this.photos[name] = undefined;
      slot.querySelector("img")?.remove();
      slot.classList.remove("full");
      if (error instanceof api.Cancelled) {
        announce(START.uploadCancelled);
      } else {
        const isTooLarge = error instanceof api.ServiceError && error.status === 413;
        const reduce = isTooLarge ? () => this.reduce(slot, name, files, many) : null;
        this.refuse(slot, messageOf(error), reduce);
      }
    } finally {
      passFocus(cancel, within(slot, "input"));
      bar.remove();
      cancel.remove();
    }
  }

  /** Shows in a slot why a file is not accepted, and a button that reduces it if that helps. */
  /** @type {(slot: HTMLElement, text: string, reduce: (() => void) | null) => void} */
  refuse(slot, text, reduce) {
    const note = elementOf("p", { className: "refusal" }, text);
    note.setAttribute("role", "alert");
    if (reduce) note.append(buttonOf(START.reduce, reduce, "second"));
    slot.querySelector(".refusal")?.remove();
    slot.append(note);
  }

  /** Uploads files reduced to the limits of the service. */
  /** @type {(slot: HTMLElement, name: string, files: File[], many: boolean) => Promise<void>} */
  async reduce(slot, name, files, many) {
    const about = /** @type {import("./requests.js").About} */ (this.about);
    passFocus(slot, within(slot, "input"));
    this.refuse(slot, START.reducing, null);
    try {
      const reduced = files.map((file) => reducedFile(file, about.max_pixels, about.max_upload));
      await this.receive(name, await Promise.all(reduced), many);
    } catch {
      this.refuse(slot, START.cannotReduce, null);
    }
  }

  /** Opens the editor if all photos are there. */
  async goOn() {
    const { photos, recipe, way } = this;
    if (recipe && photos.photos?.length < photosOf(recipe).length) return;
    if (recipe) {
      const about = this.about ?? await api.service();
      const { pictures, ...draft } = await openedRecipe(recipe, photos.photos, about.max_pixels);
      await this.open(WAYS.compose, pictures, draft);
      return;
    }
    const names = way.slots.map((slot) => slot.name);
    if (!names.every((name) => photos[name])) return;
    if (photos.photos?.length < FEWEST) {
      $("way-help").textContent = START.addAnother;
      announce(START.addAnother);
      return;
    }
    // Two files that were added together may be in the wrong order: a mask is grey.
    if (photos.mask && photos.mask.channels !== 1) {
      const other = names.find((name) => name !== "mask" && photos[name].channels === 1);
      if (other) [photos.mask, photos[other]] = [photos[other], photos.mask];
    }
    await this.open(way, photos);
  }

  async openSamples() {
    button("sample").disabled = true;
    const { way } = this;
    try {
      const samples = await Promise.all(Object.entries(way.samples ?? {}).map(async ([name, file]) => (
        [name, await api.upload(await api.sample(file))])));
      const pictures = await way.fromSamples(Object.fromEntries(samples));
      const place = way.sampleAt && placeAt(way.sampleAt, /** @type {Picture} */ (pictures.source), UNPLACED);
      const states = [{ ...BEGIN, ...way.first(pictures), place }];
      await this.open(way, pictures, place ? { states, now: 0, step: "place" } : undefined);
    } catch (error) {
      fail(error);
    } finally {
      button("sample").disabled = false;
    }
  }

  /** Shows the limits of the service. @param {import("./requests.js").About} about */
  showLimits(about) {
    this.about = about;
    $("way-merge").hidden = !about.operations.includes(WAYS.merge.name);
    $("limits").textContent = START.limits(Math.floor(about.max_upload / 1e6), Math.floor(about.max_pixels / 1e6));
  }
}

/** Returns the first descendant that matches. @type {(element: HTMLElement, selector: string) => HTMLElement} */
const within = (element, selector) => /** @type {HTMLElement} */ (element.querySelector(selector));

/** Returns the files that can be used; others are named. @param {File[]} files */
export function usable(files) {
  const images = files.filter(({ name, type }) => type.startsWith("image/") || IMAGES.test(name) || SAVED.test(name));
  // Without an image, the service says what the files are.
  if (!images.length) return files;
  leaveOut(files.filter((file) => !images.includes(file)));
  return images;
}

/** Names the files that are not used, if there are any. @param {File[]} files */
function leaveOut(files) {
  if (files.length) showMessage(START.notUsed(files.map(({ name }) => name)));
}

/**
 * Shows the progress of an upload in a slot, in place of another one, which is cancelled.
 *
 * @param {HTMLElement} slot
 * @param {number} count of files
 * @param {() => void} stop
 */
function showUpload(slot, count, stop) {
  slot.querySelector("progress")?.remove();
  const bar = elementOf("progress", { max: count });
  bar.setAttribute("aria-label", START.upload);
  const cancel = buttonOf(START.cancelUpload, stop, "second stop");
  cancel.setAttribute("aria-label", `${START.cancelUpload}: ${within(slot, "b").textContent}`);
  /** @type {HTMLElement | null} */ (slot.querySelector(".stop"))?.click();
  slot.append(bar, cancel);
  return { bar, cancel };
}

/** @type {(slot: HTMLElement, picture: Picture) => void} */
function showPhoto(slot, picture) {
  slot.querySelector("img")?.remove();
  slot.prepend(elementOf("img", { src: picture.proxy_url, alt: "" }));
  slot.classList.add("full");
}
