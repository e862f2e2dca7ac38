// Subjects of text: their form, and their image, which is drawn again whenever they change and keeps its place.

import * as api from "./api.js";
import { adding, changing, isVisible, subjectsOf } from "./document.js";
import { $, chosen, fields, input, inputs, select, write } from "./dom.js";
import { UNPLACED } from "./geometry.js";
import { canvasOfText, fileOf, scaleOf, textOf } from "./lettering.js";
import { announce, fail, showMessage } from "./messages.js";
import { fileOfCanvas } from "./pixels.js";
import { TEXTS, WORK } from "./strings.js";

/** @import { Picture } from "./api.js" */
/** @import { Doc } from "./document.js" */
/** @import { Text } from "./lettering.js" */
/** @typedef {{ photo: Picture, scale: number }} Lettering an image, and the scale at which it has its size */

/** The share of the background's height that is the first size, and the words at the beginning. */
const FIRST_SHARE = 0.1;
/** @type {Omit<Text, "size">} */
const FIRST = { string: TEXTS.firstWords, font: "sans-serif", colour: "#ffffff", weight: 700, align: "center" };
/** The pause after a key before the words are drawn, in milliseconds. */
const PAUSE = 500;
/** The least change of a scale after which they are drawn again. */
const LEAST_CHANGE = 0.005;

/** Draws a text and uploads it; number: that of its subject. */
/** @type {(text: Text, number: number, most: number, signal?: AbortSignal) => Promise<Lettering>} */
export async function uploadOfText(text, number, most, signal = undefined) {
  const { canvas, scale } = canvasOfText(text, most);
  const file = await fileOfCanvas(canvas, fileOf(text, number));
  return { photo: await api.upload(file, undefined, signal), scale };
}

export class Texts {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
    /** The number of the newest change, which alone counts. */
    this.turn = 0;
    /** The document of the last pause while typing: the next pause amends it. @type {Doc | null} */
    this.typed = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.pausing = undefined;
  }

  /** Returns the image of a text, which is loaded for the screen, and its scale. */
  /** @type {(text: Text, number: number) => Promise<Lettering>} */
  async imageOf(text, number) {
    const { session } = this;
    const own = await session.jobs.work(
      WORK.text, ({ signal }) => uploadOfText(text, number, session.about.max_pixels, signal), true);
    await session.loadImage(own.photo);
    return own;
  }

  /** Adds a subject of text in the middle, without match and shadow. */
  async add() {
    const { session } = this;
    const { width, height } = session.background;
    const text = { ...FIRST, size: Math.max(8, Math.round(FIRST_SHARE * height)) };
    const number = 1 + Math.max(...subjectsOf(session.doc).map((one) => one.number));
    const { photo, scale } = await this.imageOf(text, number);
    if (!session.isOpen) return;
    session.subjects.storeLook();
    const place = { ...UNPLACED, x: width / 2, y: height / 2, scale };
    session.commit({ ...adding(session.doc, photo), text, strength: 0, shadow: "off", place });
    await session.way.begin(session);
    announce(TEXTS.textAdded);
    fields("text").string.focus();
    fields("text").string.select();
  }

  /** The text of the form; null: without words. */
  get written() {
    const { string, colour, size } = fields("text");
    const weight = Number(select("text-weight").value);
    return textOf({
      string: string.value, font: select("text-font").value, colour: colour.value, size: Number(size.value), weight,
      align: chosen("align"),
    });
  }

  /** Draws the words after a pause. */
  type() {
    clearTimeout(this.pausing);
    this.pausing = setTimeout(() => this.edit(true).catch(fail), PAUSE);
  }

  /** Leaves what is typed or being drawn: the document becomes another one. */
  leave() {
    clearTimeout(this.pausing);
    this.turn += 1;
    this.typed = null;
  }

  /** Changes the text to that of the form; isTyping: further changes belong to the same step. */
  async edit(isTyping = false) {
    clearTimeout(this.pausing);
    const { session } = this;
    const { doc } = session;
    const text = this.written;
    if (!doc.text || JSON.stringify(text) === JSON.stringify(doc.text)) {
      if (!isTyping) this.typed = null;
    } else if (!text) {
      if (isTyping) return;
      showMessage(TEXTS.noWords);
      this.show(true);
    } else {
      await this.draw(text, (change) => {
        const amends = this.typed === session.doc;
        if (amends) session.history.amend(change);
        else session.history.commit(change);
        // Meanwhile another subject may have been chosen.
        this.typed = isTyping && session.doc.number === doc.number ? session.doc : null;
        session.refresh();
      });
    }
  }

  /** Draws the text again at the size to which it was scaled, so that it is as sharp as at any other. */
  async sharpen() {
    const { doc, history, about } = this.session;
    if (!doc.text || !doc.place) return;
    const factor = doc.place.scale / scaleOf(doc.text, about.max_pixels);
    if (Math.abs(factor - 1) < LEAST_CHANGE) return;
    const text = textOf({ ...doc.text, size: Math.round(doc.text.size * factor * 10) / 10 });
    if (text) {
      await this.draw(text, (change) => {
        history.amend(change);
        this.session.refresh();
      });
    }
  }

  /** Draws a text, unless another one comes; put is called with the change. */
  /** @type {(text: Text, put: (change: Partial<Doc>) => void) => Promise<void>} */
  async draw(text, put) {
    const { session } = this;
    this.turn += 1;
    const { turn } = this;
    const { number } = session.doc;
    const { photo, scale } = await this.imageOf(text, number);
    const { doc, isOpen } = session;
    const subjects = subjectsOf(doc);
    const index = subjects.findIndex((one) => one.number === number);
    const own = subjects[index];
    if (turn !== this.turn || !isOpen || !own?.text || !own.place) return;
    const change = { photo, text, place: { ...own.place, scale } };
    // Words that were typed last belong to their subject, although another one was chosen meanwhile.
    put(index === doc.rank ? change : { others: changing(doc, index, change).others });
  }

  /** Shows the form of the active subject; isComplete: in the field with the focus, too. */
  show(isComplete = false) {
    const { text } = this.session.doc;
    document.body.dataset.text = String(Boolean(text));
    $("text").hidden = !text;
    if (!text) return;
    const { string, colour, size } = text;
    write("text", { string, colour, size }, isComplete);
    select("text-font").value = text.font;
    select("text-weight").value = String(text.weight);
    for (const one of inputs("input[name=align]")) one.checked = one.value === text.align;
    input("text-colour").title = colour;
  }

  /** The images of the visible texts, which a recipe needs as files. */
  get images() {
    return subjectsOf(this.session.doc).flatMap((one) => (one.text && one.photo && isVisible(one) ? [one.photo] : []));
  }
}
