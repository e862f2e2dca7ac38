// The subjects of a composite: their list, and the composite of those below the active one, which is its background.

import { aim, aimAt } from "./adjusting.js";
import * as api from "./api.js";
import { $, all, buttonOf, elementOf, iconOf, inputs } from "./dom.js";
import { adding, changing, isVisible, ordering, removing, selecting, subjectsOf } from "./document.js";
import { UNPLACED } from "./geometry.js";
import { nameOf } from "./lettering.js";
import { announce, fail, showMessage } from "./messages.js";
import { cutOutOf } from "./pixels.js";
import { TEXTS, WORK } from "./strings.js";

/** @import { Picture, RunOptions } from "./api.js" */
/** @import { Doc, Subject } from "./document.js" */
/** @import { Place, Rectangle } from "./geometry.js" */
/** @import { Drawable } from "./konva.js" */
/** @import { Body } from "./ways/way.js" */
/**
 * A subject as it was drawn last, matched; or as it was cut out, if it was not active since the page was loaded.
 *
 * @typedef {Pick<Subject, "mask" | "photo" | "warp"> & { image: Drawable, box: Rectangle, place: Place }} Look
 */

/** The strength of a shadow whose direction is not known. */
const SHADE = 0.45;

export class Subjects {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
    /** The composite of the subjects below the active one; null: there are none, or it is not computed yet. */
    /** @type {Picture | null} */
    this.under = null;
    /** The subjects of that composite, as text. */
    this.underKey = "";
    this.isUpdating = false;
    /** The subjects as they were drawn last, by their numbers. @type {Map<number, Look>} */
    this.looks = new Map();
    /** Those whose looks are being loaded. @type {WeakSet<Subject>} */
    this.loading = new WeakSet();
    /** The recipes of single subjects, by their requests. @type {Map<string, Promise<any>>} */
    this.recipes = new Map();
    this.shown = "";
  }

  // ---- the composite below the active subject ----

  /** The visible subjects below the active one. */
  get lower() { return this.session.doc.others.slice(0, this.session.doc.rank).filter(isVisible); }
  /** The visible subjects except the active one. */
  get visible() { return this.session.doc.others.filter(isVisible); }
  /** The visible subjects above it. */
  get upper() { return this.session.doc.others.slice(this.session.doc.rank).filter(isVisible); }

  /** Computes the composite below the active subject if its subjects have changed. */
  async update() {
    // While a slider moves, nothing is composed again.
    if (this.isUpdating || this.session.history.aside) return;
    this.isUpdating = true;
    const { session } = this;
    try {
      for (;;) {
        const { lower } = this;
        const key = lower.length ? JSON.stringify([lower, session.doc.adjustBackground]) : "";
        if (key === this.underKey || !session.isOpen) return;
        const picture = lower.length ? await this.composite(lower) : null;
        if (picture) await session.loadImage(picture);
        this.under = picture;
        this.underKey = key;
        session.refresh();
      }
    } catch (error) {
      fail(error);
    } finally {
      this.isUpdating = false;
    }
  }

  /** @param {Subject[]} subjects */
  async composite(subjects) {
    const { jobs, way } = this.session;
    const { result } = await jobs.work(WORK.under, async (options) => (
      api.run(
        way.name, { ...await this.body(subjects, options, undefined, { adjustResult: {} }), format: "png" }, options)));
    return /** @type {Picture} */ (result.picture);
  }

  /**
   * Returns the request for a composite of subjects, each with its own settings: the recipes of the single subjects are
   * combined.
   *
   * @param {Subject[]} subjects
   * @param {RunOptions} [options]
   * @param {(text: string) => string} [renamed] replaces ids of photos
   * @param {Partial<Doc>} [change] what else differs from the document
   * @returns {Promise<Body>}
   */
  async body(subjects, options = {}, renamed = (text) => text, change = {}) {
    const { session } = this;
    const { doc, way } = session;
    const bodies = subjects.map((one) => (
      JSON.parse(renamed(JSON.stringify(way.resultBody(session, { ...doc, ...change, ...one }))))));
    if (bodies.length === 1) return bodies[0];
    const recipes = [];
    for (const body of bodies) recipes.push(await this.recipeOf(body, options));
    const recipe = {
      ...recipes[0], order: recipes.map((_, i) => i), subjects: recipes.flatMap((one) => one.subjects),
    };
    const { background, format } = bodies[0];
    return { subjects: bodies.map(({ subjects: [{ picture }] }) => ({ picture })), background, recipe, format };
  }

  /** Returns the recipe of a request for a single subject, from a preview. */
  /** @type {(body: Body, options: RunOptions) => Promise<any>} */
  async recipeOf(body, options) {
    const key = api.currently(JSON.stringify(body));
    const recipe = this.recipes.get(key) ?? api.run(this.session.way.name, { ...body, preview: true }, options)
      .then(async ({ result }) => (await fetch(await api.there(result.recipe_url))).json());
    this.recipes.set(key, recipe);
    recipe.catch(() => this.recipes.delete(key));
    return recipe;
  }

  // ---- changes ----

  /** Makes another subject the active one. @param {number} index */
  select(index) {
    const { session } = this;
    this.storeLook();
    session.history.amend(selecting(session.doc, index));
    announce(TEXTS.subjectActive(this.nameOf(subjectsOf(session.doc)[index])));
    this.shown = "";
    session.resume();
  }

  /** Adds a subject from a photo. @param {Picture} photo */
  async add(photo) {
    const { session } = this;
    await session.loadImage(photo);
    this.storeLook();
    session.commit(adding(session.doc, photo), TEXTS.subjectAdded);
    await session.way.begin(session);
    await session.editor.store();
  }

  /** Adds a subject from each file; in a way with one subject it is said where others can be added. */
  /** @param {File[]} files */
  async addFiles(files) {
    const { jobs, way } = this.session;
    if (!way.layered) showMessage(TEXTS.oneSubject);
    for (const file of way.layered ? files : []) {
      await this.add(await jobs.work(WORK.open, ({ signal }) => api.upload(file, undefined, signal)));
    }
  }

  /** @param {number} index */
  remove(index) { this.commit(removing(this.session.doc, index), TEXTS.subjectRemoved); }

  /** Moves a subject up or down in the order. @type {(index: number, by: number) => void} */
  order(index, by) { this.commit(ordering(this.session.doc, index, by), by > 0 ? TEXTS.subjectUp : TEXTS.subjectDown); }

  /** @type {(index: number, change: Partial<Subject>, said: string) => void} */
  change(index, change, said) { this.commit(changing(this.session.doc, index, change), said); }

  /** @type {(change: Doc, said: string) => void} */
  commit(change, said) {
    this.storeLook();
    this.session.commit(change, said);
    this.session.resume();
  }

  /** Stores the active subject as it is drawn, for when another one is active. */
  storeLook() {
    const { doc, preview, scene, step } = this.session;
    const layers = preview.layersOf(doc);
    if (layers && step !== "cut") {
      const { matched: { box }, mask, photo, warp, place } = layers;
      this.looks.set(doc.number, { mask, photo, warp, image: scene.mixtureOf(layers), box, place });
    }
  }

  /** Returns a subject above the active one as it is drawn; null: not loaded yet. @param {Subject} subject */
  lookOf(subject) {
    const look = this.looks.get(subject.number);
    if (look?.mask === subject.mask && look.photo === subject.photo && look.warp === subject.warp) return look;
    this.loadLook(subject).catch((error) => {
      this.loading.delete(subject);
      fail(error);
    });
    return null;
  }

  /** @param {Subject} subject */
  async loadLook(subject) {
    const { session } = this;
    if (this.loading.has(subject)) return;
    this.loading.add(subject);
    const { number } = subject;
    if (subject.warp) {
      // Only the service warps.
      const body = session.way.layersBody(session, { ...session.doc, ...subject }, session.side);
      const { result } = await session.jobs.work(WORK.match, (options) => (
        api.run("layers", /** @type {Body} */ (body), options)), true);
      const layer = result.layers.find((/** @type {any} */ { name }) => name === "matched");
      // Outside of the background it has none, and is not asked for again before it is changed.
      if (!layer) return;
      const image = await api.image(layer.picture.file_url);
      this.looks.set(number, { ...subject, image, box: layer.box, place: /** @type {Place} */ (subject.place) });
    } else {
      const { image, photo: { width, height } } = await this.cutOutOf(subject);
      this.looks.set(number, { ...subject, image, box: [-width / 2, -height / 2, width, height], place: UNPLACED });
    }
    this.loading.delete(subject);
    if (session.isOpen) session.refresh(true);
  }

  /** Returns a subject as it is cut out, with its photo. @param {Subject} subject */
  async cutOutOf({ mask, photo }) {
    const { session } = this;
    const own = /** @type {Picture} */ (photo ?? session.pictures.subject);
    return { image: cutOutOf(session.imageOf(own), mask ? await session.alpha(mask) : null), photo: own };
  }

  /** @param {Subject} subject */
  nameOf({ number, photo, text }) {
    const { pictures } = this.session;
    return TEXTS.subject(number, text ? nameOf(text) : (photo ?? pictures.subject)?.name ?? "");
  }

  // ---- the list ----

  /** Shows the list; its buttons are created again only if it has changed, and the focus stays. */
  show() {
    const { background, doc, step, way } = this.session;
    const subjects = subjectsOf(doc);
    const isAimed = step === "match" && aim() === "adjustBackground";
    $("subjects").hidden = !way.layered || step === "save" || (step === "cut" && subjects.length < 2);
    const list = $("subject-list");
    list.hidden = $("background-layer").hidden = subjects.length < 2 && step !== "match";
    $("background-name").textContent = TEXTS.backgroundLayer(background?.name ?? "");
    $("background-name").setAttribute("aria-pressed", String(isAimed));
    const key = JSON.stringify([doc.rank, isAimed, ...subjects.map((one) => (
      [this.nameOf(one), one.isHidden, one.isLocked, one.shadow, this.hasShadow(one)]))]);
    if (key !== this.shown) this.build(subjects, key, isAimed);
    for (const one of subjects) this.showShade(one);
  }

  /** Creates the list. @type {(subjects: Subject[], key: string, isAimed: boolean) => void} */
  build(subjects, key, isAimed) {
    this.shown = key;
    const list = $("subject-list");
    const focused = list.contains(document.activeElement) && document.activeElement?.getAttribute("data-key");
    // The topmost is the first, as in every list of layers.
    list.replaceChildren(...subjects.map((one, i) => (
      elementOf("li", {}, this.rowOf(one, i, subjects.length, isAimed), this.shadowRowOf(one, i)))).reverse());
    if (focused) this.focus(focused);
  }

  /** Focuses the same button as before; if it is gone or disabled, a neighbour. @param {string} key */
  focus(key) {
    const { doc, step } = this.session;
    const opposite = key.startsWith("up") ? key.replace("up", "down") : key.replace("down", "up");
    const [next] = [key, opposite, `name-${doc.number}`].flatMap((one) => all(`[data-key="${one}"]:enabled`));
    ($("subjects").hidden || $("subject-list").hidden ? $(`t-${step}`) : next).focus();
  }

  /** @type {(subject: Subject, index: number, count: number, isAimed: boolean) => HTMLElement} */
  rowOf(subject, index, count, isAimed) {
    const name = this.nameOf(subject);
    const row = elementOf("div", { className: "layer" });
    /** @type {(key: string, label: string, run: () => void, pressed?: boolean | null, isOff?: boolean) => void} */
    const add = (key, label, run, pressed = null, isOff = false) => {
      const one = key === "name" ? buttonOf(name, run, "name") : iconOf(`i-${key}`, run);
      one.dataset.key = `${key}-${subject.number}`;
      if (key !== "name") one.setAttribute("aria-label", `${label}: ${name}`);
      if (key !== "name") one.title = label;
      if (pressed !== null) one.setAttribute("aria-pressed", String(pressed));
      one.disabled = isOff;
      row.append(one);
    };
    const { isHidden, isLocked } = subject;
    const isActive = index === this.session.doc.rank;
    add("name", name, () => (isActive && isAimed ? aimAt(this.session, "adjust") : this.select(index)),
      isActive && !isAimed);
    add("up", TEXTS.bringUp, () => this.order(index, 1), null, index === count - 1);
    add("down", TEXTS.sendDown, () => this.order(index, -1), null, index === 0);
    const [hidden, locked] = [isHidden ? TEXTS.isShown : TEXTS.isHidden, isLocked ? TEXTS.isFree : TEXTS.isLocked];
    add("hide", TEXTS.hide, () => this.change(index, { isHidden: !isHidden }, hidden), isHidden);
    add("lock", TEXTS.lock, () => this.change(index, { isLocked: !isLocked }, locked), isLocked);
    add("remove", TEXTS.remove, () => this.remove(index));
    return row;
  }

  /** Whether a subject has a shadow, as far as is known. @param {Subject} subject */
  hasShadow({ number, shadow }) {
    const { doc, preview: { layers } } = this.session;
    return shadow === "on" || (shadow === "auto" && (number !== doc.number || !layers || Boolean(layers.shadow)));
  }

  /** Creates the row of a shadow, below its subject. @type {(subject: Subject, index: number) => HTMLElement} */
  shadowRowOf(subject, index) {
    const { number, shadow } = subject;
    const name = this.nameOf(subject);
    const isOff = shadow === "off";
    const slider = elementOf("input", { type: "range", min: "0", max: "100", hidden: !this.hasShadow(subject) });
    slider.dataset.key = `shade-${number}`;
    slider.setAttribute("aria-label", TEXTS.shadowStrength(name));
    slider.addEventListener("input", () => this.shade(index, Number(slider.value) / 100, false));
    slider.addEventListener("change", () => this.shade(index, Number(slider.value) / 100, true));
    const hide = iconOf("i-hide", () => (
      this.change(index, isOff ? { shadow: "auto" } : { shadow: "off", tip: null }, TEXTS.shadowChanged)));
    hide.dataset.key = `shadow-${number}`;
    hide.title = TEXTS.hide;
    hide.setAttribute("aria-label", TEXTS.hideShadow(name));
    hide.setAttribute("aria-pressed", String(isOff));
    const text = elementOf("span", { className: "of-layer" }, TEXTS.shadow);
    return elementOf("div", { className: "layer" }, text, slider, elementOf("output", { hidden: slider.hidden }), hide);
  }

  /** Changes the strength of a shadow; isDone: the slider was released. */
  /** @type {(index: number, shadowStrength: number, isDone: boolean) => void} */
  shade(index, shadowStrength, isDone) {
    const { session } = this;
    const change = { shadowStrength, shadow: "on" };
    if (isDone) {
      this.commit(changing(session.doc, index, change), TEXTS.percent(Math.round(100 * shadowStrength)));
    } else if (index === session.doc.rank) {
      session.history.attempt(change);
      session.preview.layMeanwhile(session.doc);
    }
  }

  /** Shows the strength of a shadow. @param {Subject} subject */
  showShade({ number, shadowStrength }) {
    const [slider] = inputs(`[data-key="shade-${number}"]`);
    slider.value = String(Math.round(100 * (shadowStrength ?? SHADE)));
    const out = /** @type {HTMLOutputElement} */ (slider.nextElementSibling);
    out.textContent = shadowStrength === null ? TEXTS.shadowAuto : TEXTS.share(slider.value);
  }

  /** Shows the corrections of the background. */
  async selectBackground() {
    const { session } = this;
    if (session.step !== "match") await session.go("match");
    if (session.step !== "match") return;
    aimAt(session, "adjustBackground");
    $("adjust").scrollIntoView({ block: "nearest" });
    announce(TEXTS.subjectActive(TEXTS.backgroundLayer(session.background.name ?? "")));
  }
}
