// The result at full size: computes it, saves it with its mask and recipe, and generates the code that reproduces it.

import * as api from "./api.js";
import { $, chosen, elementOf } from "./dom.js";
import { isVisible, subjectsOf } from "./document.js";
import { announce, fail, showMessage } from "./messages.js";
import { pageOf } from "./opening.js";
import { TEXTS, WORK } from "./strings.js";

/** @import { Picture } from "./api.js" */
/** @import { Doc } from "./document.js" */
/** @import { Body, Pictures } from "./ways/way.js" */
/**
 * A result, its document and request, and its mask and recipe if there are any.
 *
 * @typedef {object} Made
 * @property {Doc} doc
 * @property {Body} body
 * @property {Picture} picture
 * @property {Picture | null} mask
 * @property {string} recipe
 * @property {HTMLImageElement | null} image
 * @property {string[]} warnings
 * @property {Saved} [deep] the same for photos in 16 bits
 */
/** @typedef {{ picture: Picture, recipe: string }} Saved */

/** The time after which the URL of a file that was saved is released, in milliseconds. */
const RELEASE = 60_000;
/** The suffixes of files that differ from the name of the format, and the depths of formats. */
/** @type {[Record<string, string>, Record<string, number>]} */
const [ENDINGS, DEPTHS] = [{ jpeg: "jpg", tiff: "tif" }, { tiff: 16, jpeg: 8 }];

/** @param {Doc} doc */
const keyOf = (doc) => JSON.stringify({ ...doc, crop: null, guides: [] });

export class Result {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
    /** @type {Made | null} */
    this.newest = null;
    this.isSaving = false;
  }

  /** The photos of the result. */
  get photos() {
    const { background, doc, pictures } = this.session;
    const subjects = subjectsOf(doc).map(({ photo }) => photo ?? pictures.subject ?? pictures.source);
    const photos = new Set([...subjects, background, ...(pictures.photos ?? [])]);
    const once = new Map([...photos].map((photo) => [photo?.id, photo]));
    return /** @type {Picture[]} */ ([...once.values()].filter(Boolean));
  }

  get stem() {
    const { background, pictures } = this.session;
    const name = (background ?? pictures.photos?.[0])?.name ?? "picture";
    return name.replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, "");
  }

  /** Returns the name of the file that is saved as a format. @param {string} format */
  fileName(format) { return `${this.stem}-pyharmony.${ENDINGS[format] ?? format}`; }

  /** The chosen format; PNG in place of layers if there are none. */
  get format() {
    const format = chosen("format");
    return format === "ora" && !this.session.way.layered ? "png" : format;
  }

  /** Returns whether the newest result is that of a document, which may have another crop. @param {Doc} doc */
  isOf(doc) { return this.newest !== null && keyOf(this.newest.doc) === keyOf(doc); }

  /** Computes the image at full size, once for each document. */
  async make() {
    const { session } = this;
    const { doc, way } = session;
    if (this.newest && this.isOf(doc)) return this.newest;
    /** @type {Body} */
    let body = {};
    const { result } = await session.jobs.work(WORK.full, async (options) => {
      body = await way.fullBody(session, doc, options);
      return api.run(way.name, body, options);
    });
    /** @type {Made} */
    const made = {
      doc, body, picture: result.picture, mask: result.mask ?? null, recipe: result.recipe_url ?? "", image: null,
      warnings: result.info?.warnings ?? [],
    };
    this.newest = made;
    if (way.places) {
      api.image(result.picture.file_url).then((image) => {
        made.image = image;
        if (this.isOf(session.doc)) session.refresh();
      }).catch(() => {});
    }
    return made;
  }

  /**
   * Computes the result from photos of 8 bits in 16 bits, once, and returns it with its recipe: it keeps values between
   * two levels. null: the photos have 16 bits themselves, and so has the result.
   *
   * @param {Made} made
   */
  async makeDeep(made) {
    if (made.deep) return made.deep;
    const { jobs, way } = this.session;
    const photos = this.photos.filter((photo) => photo.dtype === "uint8");
    if (!photos.length) return null;
    const deep = await jobs.work(WORK.deep, (options) => Promise.all(photos.map(async ({ id }) => {
      const { result } = await api.run("export", { picture: id, format: "tiff", depth: 16 }, options);
      return /** @type {Picture} */ (result.picture);
    })));
    try {
      /** @param {string} text */
      const renamed = (text) => deep.reduce((body, { id }, i) => body.replaceAll(photos[i].id, id), text);
      const { result } = await jobs.work(WORK.deep, async (options) => {
        const body = await way.fullBody(this.session, made.doc, options, renamed);
        return api.run(way.name, { ...body, format: "tiff" }, options);
      });
      made.deep = { picture: result.picture, recipe: result.recipe_url ?? "" };
      return made.deep;
    } finally {
      deep.forEach((picture) => api.remove(picture));
    }
  }

  /** Computes the image, writes it in the chosen format, and saves it. */
  async save() {
    if (!this.session.isComplete || this.isSaving) return;
    this.isSaving = true;
    const { format, session: { doc } } = this;
    try {
      const made = await this.make();
      const isLayered = format === "ora";
      const picture = await (isLayered ? this.layersOf({ ...made, doc }) : this.fileOf(made, format, doc.crop));
      download(`${await api.there(picture.file_url)}?name=${encodeURIComponent(this.fileName(format))}`);
      this.session.saved = doc;
      this.session.editor.storeLater();
      showMessage(TEXTS.savedAt(picture));
      announce(TEXTS.saved);
    } catch (error) {
      fail(error);
    } finally {
      this.isSaving = false;
    }
  }

  /** @type {(made: Made) => Promise<Picture>} */
  async layersOf({ doc, body, recipe }) {
    const { jobs, way } = this.session;
    const job = await jobs.work(WORK.layers, async (options) => {
      const { subjects, background, format } = body;
      const cropped = doc.crop && {
        subjects: subjects.map((/** @type {Body} */ { picture }) => ({ picture })), background, format,
        recipe: { ...await (await fetch(await api.there(recipe))).json(), crop: doc.crop },
      };
      return api.run(way.name, { ...(cropped ?? body), layers: true }, options);
    });
    return job.result.openraster;
  }

  /** @type {(made: Made, format: string, crop: Doc["crop"]) => Promise<Picture>} */
  async fileOf(made, format, crop) {
    const from = (format === "tiff" && await this.makeDeep(made)) || made;
    const sources = this.photos.map(({ id }) => id);
    const body = { picture: from.picture.id, format, depth: DEPTHS[format] ?? null, sources, crop };
    return (await this.session.jobs.work(WORK.file, (options) => api.run("export", body, options))).result.picture;
  }

  async saveMask() {
    const made = await this.make();
    const mask = /** @type {Picture} */ (made.mask ?? this.session.doc.mask ?? this.session.pictures.mask);
    download(`${await api.there(mask.file_url)}?name=${encodeURIComponent(`${this.stem}-mask.png`)}`);
  }

  async saveRecipe() {
    const made = await this.make();
    // A recipe is for photos in their own depth.
    const from = (this.format === "tiff" && await this.makeDeep(made)) || made;
    const text = await (await fetch(await api.there(from.recipe))).text();
    const { doc, pictures } = this.session;
    // The numbers of the service stay as they are written.
    const added = JSON.stringify({ crop: doc.crop, page: pageOf(doc, pictures) });
    saveBlob(new Blob([`${added.slice(0, -1)}, ${text.slice(1)}`]), "recipe.json");
    // The recipe reads the images of words, which nobody has as files.
    for (const { file_url: file, name = "" } of this.session.texts.images) {
      download(`${await api.there(file)}?name=${encodeURIComponent(name)}`);
    }
  }

  /** Saves the mask of the cut-out. */
  async saveCutMask() {
    const mask = /** @type {Picture} */ (this.session.doc.mask);
    download(`${await api.there(mask.file_url)}?name=mask.png`);
  }

  /** Saves the cut-out with transparency, cropped to it. */
  async saveCutout() {
    const { doc, moving, jobs } = this.session;
    const mask = /** @type {Picture} */ (doc.mask);
    const body = { picture: moving.id, mask: mask.id, crop_to_mask: true };
    const { result } = await jobs.work(WORK.cutout, (options) => api.run("cutout", body, options));
    const name = `${(moving.name ?? "picture").replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, "")}-cutout.png`;
    download(`${await api.there(result.picture.file_url)}?name=${encodeURIComponent(name)}`);
  }

  /** Copies the code that reproduces the image, and shows it; a recipe that it needs is saved too. */
  /** @type {(write: (repeated: import("./code.js").Repeated) => string) => Promise<void>} */
  async copy(write) {
    const { way, pictures, background } = this.session;
    const made = await this.make();
    const subjects = subjectsOf(made.doc).filter(isVisible).map(({ photo }) => photo ?? pictures.subject);
    const own = made.body.mask && made.doc.mask;
    const mask = pictures.mask ?? (own && { ...own, name: own.name ?? `${this.stem}-mask.png` });
    const { names, same } = namesOf({ ...pictures, mask }, /** @type {Picture[]} */ (subjects.filter(Boolean)));
    const { format } = this;
    const text = write({
      way, names, out: this.fileName(format), format, body: { ...made.body, scale: made.body.scale ?? 1 },
      deepens: format === "tiff" && (pictures.photos ?? [background]).some(({ dtype }) => dtype === "uint8"),
      flattens: format === "jpeg" && made.picture.dtype !== "uint8",
      crop: way.layered ? null : this.session.doc.crop,
    });
    await copyText(text, [
      ...(way.layered ? [TEXTS.readsRecipe] : []), ...(own && !own.name ? [TEXTS.readsMask(names.mask)] : []),
      ...(same ? [TEXTS.sameNames] : []),
    ]);
  }
}

/** Copies a text, and shows it with other lines and notes. */
/** @type {(text: string, notes: string[], lines?: string[]) => Promise<void>} */
export async function copyText(text, notes, lines = []) {
  $("code").textContent = [text, ...lines].join("\n");
  $("code").hidden = false;
  const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  showMessage([copied ? TEXTS.copied : TEXTS.notCopied, ...notes].join(" "));
}

/** Returns the names of files by slot; of files with the same name, all but the first are renamed. */
/** @type {(pictures: Pictures, subjects: Picture[]) => { names: Record<string, any>, same: boolean }} */
function namesOf({ background, composite, source, mask, edited, photos = [] }, subjects) {
  const taken = new Set();
  let same = false;
  /** @type {(picture: Picture | undefined, other: string) => string} */
  const nameOf = (picture, other) => {
    if (!picture) return "";
    let name = picture.name?.replace(/^.*[\\/]/, "") || other;
    for (let number = 2; taken.has(name); number += 1) {
      name = name.replace(/(-\d+)?(\.[^.]*)?$/, (_, counted, suffix = "") => `-${number}${suffix}`);
      same = true;
    }
    taken.add(name);
    return name;
  };
  /** The names of photos of several subjects, by their ids. @type {Map<string, string>} */
  const once = new Map();
  const nameOnce = (/** @type {Picture} */ picture, /** @type {string} */ other) => {
    if (!once.has(picture.id)) once.set(picture.id, nameOf(picture, other));
    return once.get(picture.id);
  };
  const names = {
    subjects: subjects.map((subject) => nameOnce(subject, "subject.jpg")),
    background: nameOf(background, "background.jpg"),
    composite: nameOf(composite, "composite.png"), source: nameOf(source, "source.png"), mask: nameOf(mask, "mask.png"),
    edited: nameOf(edited, "edit.png"),
    photos: photos.map((photo, i) => nameOf(photo, `photo${i + 1}.jpg`)),
  };
  return { names, same };
}

/** Saves a file that the page has made. @type {(blob: Blob, name: string) => void} */
export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  download(url, name);
  setTimeout(() => URL.revokeObjectURL(url), RELEASE);
}

/** @type {(url: string, name?: string) => void} */
function download(url, name = "") {
  const link = elementOf("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}
