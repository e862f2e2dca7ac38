// The step of segmentation: prompts are sent to the service, and the resulting mask is put into the document.

import * as api from "./api.js";
import { $, buttonOf, chosen, input, thumbOf } from "./dom.js";
import { UNMASKED, marksOf, maskChange } from "./document.js";
import { clear, fail, showMessage } from "./messages.js";
import { backdropOf, thumbnailOf } from "./pixels.js";
import { TEXTS, WORK, plainly } from "./strings.js";

/** @import { Picture } from "./api.js" */
/** @import { Step } from "./document.js" */
/** @import { Point } from "./geometry.js" */

/** The mode of the pointer on the canvas, by tool. */
/** @type {Record<"click" | "line" | "lasso" | "paint" | "edge", import("./stage.js").Mode>} */
const TOOLS = { click: "point", line: "line", lasso: "line", paint: "paint", edge: "paint" };

/** Returns the points of a line as the service expects them. @param {Point[]} points */
const lineOf = (points) => points.map(({ x, y }) => /** @type {[number, number]} */ ([x - 0.5, y - 0.5]));

/** Returns prompts without the choice of a mask after the last one. @param {Step[]} steps */
const unchosen = (steps) => (steps.at(-1)?.kind === "choose" ? steps.slice(0, -1) : steps);
/** @type {(steps: Step[], cutter: string, photo: Picture) => string} */
const keyOf = (steps, cutter, photo) => JSON.stringify([unchosen(steps), cutter, photo.id]);

/** Returns the index of the chosen mask of the last prompt. @param {Step[]} steps */
function chosenIndex(steps) {
  const last = steps.at(-1);
  return last?.kind === "choose" ? last.index : 0;
}

/** Returns the reduced masks of a result, from part to whole, with their indices. */
/** @type {(masks: { thumb: Picture, area: number }[]) => { thumb: Picture, index: number }[]} */
function choicesOf(masks) {
  return masks.map((mask, index) => ({ ...mask, index })).sort((a, b) => a.area - b.area);
}

export const tool = () => /** @type {keyof typeof TOOLS} */ (chosen("tool"));
/** Whether prompts add to the object. */
export const adds = () => chosen("sign") === "+";

export class Cutting {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
    /** The pending prompts. @type {{ steps: Step[], cutter: string } | null} */
    this.pending = null;
    this.isCutting = false;
    /** Reduced masks of prompts, from part to whole. @type {Map<string, { thumb: Picture, index: number }[]>} */
    this.choices = new Map();
    /** The photo whose people are offered. @type {Picture | null} */
    this.peoplePhoto = null;
    /** The last stroke of the brush. @type {Promise<void>} */
    this.painting = Promise.resolve();
  }

  /** The method that segments people: the chosen one, if it can. */
  get peopleCutter() {
    const { doc, about } = this.session;
    const method = about.segment_methods.find(({ name }) => name === doc.cutter);
    return method?.detects_people ? doc.cutter : "auto";
  }

  show() {
    const { stage, scene, moving } = this.session;
    stage.clear();
    scene.showBase(moving);
    $("found-people").hidden = this.peoplePhoto !== moving;
    stage.setMode(TOOLS[tool()]);
    stage.strokes.removes = !adds() && tool() !== "edge";
    stage.strokes.isClosed = tool() === "lasso";
    stage.strokes.brush = Number(input("brush").value);
    this.showMask().catch(fail);
    this.showChoices().catch(fail);
  }

  async showMask() {
    const { session } = this;
    const { doc, stage } = session;
    stage.mark(doc.marks, null);
    if (!doc.mask) return;
    const alpha = await session.alpha(doc.mask);
    if (doc === session.doc && session.step === "cut" && session.isOpen) {
      stage.mark(doc.marks, backdropOf(alpha, /** @type {import("./pixels.js").Backdrop} */ (chosen("backdrop"))));
    }
  }

  /** Shows the masks of the last prompt, from part to whole, if there are several to choose from. */
  async showChoices() {
    const { session } = this;
    const { doc } = session;
    const choices = this.choices.get(keyOf(doc.steps, doc.cutter, session.moving)) ?? [];
    $("choices").hidden = choices.length < 2;
    if ($("choices").hidden) return;
    const photo = session.imageOf(session.moving);
    const alphas = await Promise.all(choices.map(({ thumb }) => session.alpha(thumb)));
    if (doc !== session.doc || !session.isOpen) return;
    $("choices").replaceChildren(...choices.map(({ index }, i) => {
      const thumb = thumbOf(thumbnailOf(photo, alphas[i]), () => this.choose(index));
      thumb.setAttribute("aria-label", TEXTS.choice(i + 1, choices.length));
      thumb.setAttribute("aria-pressed", String(index === chosenIndex(doc.steps)));
      return thumb;
    }));
  }

  /** Takes another mask of the last prompt. @param {number} index */
  choose(index) {
    const { steps, cutter } = this.session.doc;
    this.cutOut([...unchosen(steps), { kind: "choose", index }], cutter);
  }

  /** @type {(x: number, y: number, add: boolean) => void} */
  point(x, y, add) { this.segment({ kind: "click", x: x - 0.5, y: y - 0.5, add }); }

  /** @type {(points: Point[], add: boolean) => void} */
  line(points, add) {
    if (tool() !== "lasso") this.segment({ kind: "scribble", line: lineOf(points), add });
    else if (points.length < 3) showMessage(TEXTS.drawAround);
    else this.segment({ kind: "lasso", line: lineOf(points), add });
  }

  /** Adds one step. @param {Extract<Step, { add: boolean }>} step */
  segment(step) {
    const { steps, cutter } = this.pending ?? this.session.doc;
    if (step.add || steps.length) this.cutOut([...steps, step], cutter);
    else showMessage(TEXTS.pointFirst);
  }

  /** Segments the same prompts with another method. @param {string} cutter */
  cutBy(cutter) {
    const { steps } = this.pending ?? this.session.doc;
    if (marksOf(steps).length) this.cutOut(steps, cutter);
    else this.session.commit({ cutter }, TEXTS.nextClick);
  }

  /** Segments the object of prompts; steps that arrive in the meantime are combined. */
  /** @type {(steps: Step[], cutter: string) => Promise<void>} */
  async cutOut(steps, cutter) {
    this.pending = { steps, cutter };
    const { stage } = this.session;
    stage.mark(marksOf(steps), stage.veilShown);
    if (this.isCutting) return;
    this.isCutting = true;
    try {
      while (this.pending) await this.cutPending(this.pending);
    } catch (error) {
      this.pending = null;
      this.session.refresh();
      fail(error);
    } finally {
      this.isCutting = false;
    }
  }

  /** @param {{ steps: Step[], cutter: string }} pending */
  async cutPending(pending) {
    const { session } = this;
    const { steps, cutter } = pending;
    const isHere = this.remember();
    const key = keyOf(steps, cutter, session.moving);
    const body = { picture: session.moving.id, steps, method: cutter, thumbs: true, alpha: true };
    const { result } = await session.jobs.work(WORK.cut, (options) => api.run("segment", body, options));
    if (this.pending !== pending) return;
    this.pending = null;
    if (!isHere()) return;
    if (!this.choices.has(key)) {
      this.choices.set(key, choicesOf(result.masks));
    }
    if (result.mask) {
      const { doubts = [], doubt_codes: codes = [], reason_code: code } = result.info;
      const text = code === "no-effect" ? TEXTS.noEffect : doubts.length ? plainly(doubts[0], codes[0]) : TEXTS.cut;
      if (doubts.length) showMessage(text);
      session.commit({ cutter, steps, marks: marksOf(steps), mask: result.mask, place: null, front: [] }, text);
    } else {
      showMessage(TEXTS.nothingThere(plainly(result.info.reason ?? "", result.info.reason_code)));
      session.refresh();
    }
  }

  /** Segments the people in a photo, in a job with a title; alpha: as cut-outs. */
  /** @type {(title: string, id: string, alpha?: boolean) => Promise<any>} */
  async peopleOf(title, id, alpha = true) {
    const body = { picture: id, all_people: true, method: this.peopleCutter, alpha };
    return (await this.session.jobs.work(title, (options) => api.run("segment", body, options))).result;
  }

  /** Returns a function that returns whether the active subject and its photo are still the same. */
  remember() {
    const { session } = this;
    const { moving, doc: { number } } = session;
    return () => session.isOpen && session.doc.number === number && session.moving === moving;
  }

  /** Segments people, shows a button for each, and selects the first. */
  async findPeople() {
    const isHere = this.remember();
    const photo = this.session.moving;
    const { masks } = await this.peopleOf(WORK.people, photo.id);
    if (!isHere()) return;
    if (!masks.length) {
      showMessage(TEXTS.nobody);
      return;
    }
    const buttons = masks.map((/** @type {{ mask: Picture }} */ { mask }, /** @type {number} */ i) => {
      const take = () => this.session.commit(maskChange(mask), TEXTS.personCut(i + 1));
      return buttonOf(TEXTS.person(i + 1), take, "second toggle");
    });
    $("found-people").replaceChildren(...buttons);
    this.peoplePhoto = photo;
    $("found-people").hidden = false;
    buttons[0].click();
  }

  startOver() { this.session.commit(UNMASKED, TEXTS.startOver); }

  /** Paints into the mask: the service draws the stroke at the photo's full size. Strokes are drawn in order. */
  /** @type {(points: Point[], add: boolean) => void} */
  paint(points, add) {
    const { session } = this;
    const stroke = { line: lineOf(points), width: session.stage.strokes.brush, add, edge: tool() === "edge" };
    if (stroke.edge && !session.doc.mask) {
      showMessage(TEXTS.pointFirst);
      return;
    }
    const isHere = this.remember();
    const draw = async () => {
      if (!isHere()) return;
      const mask = session.doc.mask ? { mask: session.doc.mask.id } : {};
      const body = { picture: session.moving.id, ...mask, strokes: [stroke] };
      const { result } = await session.jobs.work(WORK.paint, (options) => api.run("paint", body, options));
      if (isHere()) session.commit(maskChange(result.mask), stroke.edge ? TEXTS.edgeRefined : TEXTS.painted);
    };
    this.painting = this.painting.then(draw).catch(fail);
  }

  /** Takes a mask of the photo that is cut out; where none is, it limits what may change. @param {File} file */
  async loadMask(file) {
    const { moving, background, jobs } = this.session;
    const photo = moving ?? background;
    const isHere = this.remember();
    const topic = "cut mask";
    clear(topic);
    try {
      const mask = await jobs.work(WORK.mask, ({ signal }) => api.upload(file, undefined, signal));
      if (mask.width !== photo.width || mask.height !== photo.height) {
        showMessage(TEXTS.maskSize(mask, photo), { error: true, topic });
      } else if (isHere()) {
        this.session.commit(maskChange(mask), TEXTS.maskTaken);
      }
    } catch (error) {
      fail(error, topic);
    }
  }
}
