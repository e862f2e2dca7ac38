// The places suggested by the service, and the people of the background, who affect places and occlude the subject.

import * as api from "./api.js";
import { $, elementOf, thumbOf } from "./dom.js";
import { placeAt } from "./geometry.js";
import { announce, fail } from "./messages.js";
import { canvasOf } from "./pixels.js";
import { TEXTS, WORK, plainly } from "./strings.js";

/** @import { Picture } from "./api.js" */
/** @import { Place, Rectangle } from "./geometry.js" */
/** @import { Cutout, Session } from "./session.js" */
/** @typedef {{ mask: Picture, box: Rectangle, head: Rectangle | null }} Person */
/** @typedef {{ place: Place, front: number[], reason: string | null, code: string }} Suggestion */

/** The number of requested places, and the width of their images. */
const [COUNT, WIDTH] = [3, 240];
/** The largest ratio of the size of a place to that of the plain fit, if there are no people to measure by. */
const MOST_RATIO = 2;

export class Suggestions {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    /** @type {Suggestion[] | null} */
    this.places = null;
    /** The mask for which they were estimated. @type {Picture | null} */
    this.mask = null;
    /** Whether the user has chosen a place since. */
    this.touched = false;
    /** The people in the background; null: not detected yet. @type {Person[] | null} */
    this.people = null;
    /** The mask of people who are not separated: they affect no place and occlude nothing. @type {Picture | null} */
    this.others = null;
    /** The places by their requests. @type {Map<string, Promise<import("./api.js").Job>>} */
    this.answers = new Map();
    /** @type {Promise<void> | null} */
    this.finding = null;
  }

  /** Detects the people in the background, once, and returns them. */
  async findPeople() {
    if (!this.people) {
      const { cutting, background } = this.session;
      this.finding ??= cutting.peopleOf(WORK.peopleBelow, background.id).then(({ masks, others }) => {
        this.people = masks;
        this.others = others;
      }).finally(() => { this.finding = null; });
      await this.finding;
    }
    return /** @type {Person[]} */ (this.people);
  }

  /**
   * Requests the best places. The first is used if it is good and plausible, unless the subject is placed already, or
   * is moved meanwhile.
   */
  /** @type {(isPlaced: boolean) => Promise<void>} */
  async ask(isPlaced) {
    const { session } = this;
    const { mask } = session.doc;
    const cutout = /** @type {Cutout} */ (session.cutout);
    const box = $("places");
    this.touched = isPlaced;
    this.places = null;
    this.mask = mask;
    const isStale = () => !session.isOpen || this.mask !== mask;
    box.replaceChildren(...Array.from({ length: COUNT }, (_, i) => waitingThumb(i + 1)));
    box.hidden = false;
    box.dataset.state = "waits";
    try {
      const places = await this.placesFor(mask);
      if (isStale()) return;
      this.places = places;
      box.replaceChildren(...places.map((suggestion, i) => this.thumb(suggestion, i, cutout)));
      const isPlausible = places.length > 0 && this.isPlausible(places[0]);
      showReason(places[0], isPlausible || isPlaced);
      if (!this.touched && isPlausible && session.doc.mask === mask) {
        session.history.amend({ place: places[0].place, front: places[0].front });
      }
      announce(TEXTS.placesFound(places.length, isPlausible));
      box.dataset.state = "done";
      session.refresh();
    } catch (error) {
      if (!isStale()) {
        box.replaceChildren();
        box.hidden = true;
        box.dataset.state = "done";
      }
      fail(error);
    }
  }

  /** Returns whether a place has no defect, and a size near that of the plain fit unless people give the scale. */
  /** @param {Suggestion} suggestion */
  isPlausible({ place, reason }) {
    if (reason) return false;
    const ratio = place.scale / this.session.way.firstPlace(this.session).scale;
    return Boolean(this.people?.length) || (ratio >= 1 / MOST_RATIO && ratio <= MOST_RATIO);
  }

  /** @type {(mask: Picture | null) => Promise<Suggestion[]>} */
  async placesFor(mask) {
    const { moving, below, jobs } = this.session;
    const people = await this.findPeople();
    const body = {
      subject: moving.id, background: below.id, ...(mask ? { mask: mask.id } : {}),
      people: people.map((one) => one.mask.id), heads: people.map((one) => one.head),
      ...(this.others ? { others: this.others.id } : {}), k: COUNT, preview: true,
    };
    const key = JSON.stringify(body);
    const asked = this.answers.get(key) ?? jobs.work(WORK.places, (options) => api.run("place", body, options));
    this.answers.set(key, asked);
    asked.catch(() => this.answers.delete(key));
    const { result } = await asked;
    return result.places.map((/** @type {any} */ place) => (
      { place: placeAt(place.at, moving, place), front: place.behind, reason: place.reason, code: place.reason_code }));
  }

  /** Returns the button of a place, with its image. */
  /** @type {(suggestion: Suggestion, i: number, cutout: Cutout) => HTMLButtonElement} */
  thumb(suggestion, i, cutout) {
    const { session } = this;
    const { place, front } = suggestion;
    const { width, height } = session.below;
    const subject = session.moving;
    const scale = WIDTH / width;
    const canvas = canvasOf(WIDTH, height * scale, (context) => {
      context.drawImage(session.imageOf(session.below), 0, 0, WIDTH, height * scale);
      context.translate(place.x * scale, place.y * scale);
      context.rotate((place.angle * Math.PI) / 180);
      context.scale((place.flip ? -1 : 1) * place.scale * scale, place.scale * scale);
      context.drawImage(cutout.canvas, -subject.width / 2, -subject.height / 2, subject.width, subject.height);
    });
    const button = thumbOf(canvas, () => {
      if (!session.placing.mayMove()) return;
      this.touched = true;
      showReason(suggestion);
      session.commit({ place, front, tip: null }, TEXTS.place(i + 1));
    });
    button.append(elementOf("span", {}, String(i + 1)));
    button.dataset.number = String(i);
    button.setAttribute("aria-label", front.length ? TEXTS.placeBehind(i + 1) : TEXTS.place(i + 1));
    return button;
  }
}

/** @param {number} number */
function waitingThumb(number) {
  const button = elementOf("button", { type: "button", className: "thumb waits", disabled: true });
  button.setAttribute("aria-label", TEXTS.placeWaits(number));
  return button;
}

/** Shows why a suggested place may be bad; isUsed: whether it is the place of the subject. */
/** @type {(suggestion: Suggestion | undefined, isUsed?: boolean) => void} */
function showReason(suggestion, isUsed = true) {
  const reason = suggestion?.reason ? TEXTS.notSure(plainly(suggestion.reason, suggestion.code)) : "";
  const offer = suggestion && !isUsed ? TEXTS.offers : "";
  $("place-note").textContent = [reason, offer].filter(Boolean).join(". ");
}
