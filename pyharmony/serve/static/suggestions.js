// The places suggested by the service, and the people of the background, who affect places and occlude the subject.

import * as api from "./api.js";
import { $, elementOf, thumbOf } from "./dom.js";
import { placeAt, placesApart, placesBeside } from "./geometry.js";
import { announce, fail } from "./messages.js";
import { canvasOf, drawnAt, overlapOf } from "./pixels.js";
import { TEXTS, WORK, plainly } from "./strings.js";

/** @import { Picture } from "./api.js" */
/** @import { Place, Rectangle } from "./geometry.js" */
/** @import { Cutout, Session } from "./session.js" */
/** @typedef {{ mask: Picture, box: Rectangle, head: Rectangle | null }} Person */
/** @typedef {{ place: Place, front: number[], reason: string | null, code: string }} Suggestion */

/** The largest number of offered places, the number of those that are requested, and the width of their images. */
const [COUNT, REQUESTED, WIDTH] = [3, 9, 240];
/** The largest share of the smaller of two subjects that the other may share. */
const MOST_SHARED = 0.1;
/** The largest ratio of the size of a place to that of the plain fit, if there are no people to measure by. */
const MOST_RATIO = 2;

export class Suggestions {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    /** @type {Suggestion[] | null} */
    this.places = null;
    /** The decisions for which they were estimated, as text. */
    this.key = "";
    /** Whether the user has chosen a place since. */
    this.touched = false;
    /** The people in the background; null: not detected yet. @type {Person[] | null} */
    this.people = null;
    /** The mask of people who are not separated: they affect no place and occlude nothing. @type {Picture | null} */
    this.otherPeople = null;
    /** The places by their requests. @type {Map<string, Promise<import("./api.js").Job>>} */
    this.answers = new Map();
    /** @type {Promise<void> | null} */
    this.finding = null;
  }

  /** The decisions on which the places depend: the active subject, and what they must not cover. */
  get current() {
    const { doc: { number, mask }, subjects } = this.session;
    return JSON.stringify([number, mask, subjects.visible.map((one) => [one.photo, one.mask, one.place])]);
  }

  /** Detects the people in the background, once, and returns them. */
  async findPeople() {
    const { about, cutting, background } = this.session;
    if (!about.segment_methods.some((method) => method.detects_people)) this.people = [];
    if (!this.people) {
      this.finding ??= cutting.peopleOf(WORK.peopleBelow, background.id, false).then((result) => {
        this.people = result.masks;
        this.otherPeople = result.other_people;
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
    const { current } = this;
    this.touched = isPlaced;
    this.places = null;
    this.key = current;
    const isStale = () => !session.isOpen || this.current !== current || this.key !== current || !session.ready;
    box.replaceChildren(...Array.from({ length: COUNT }, (_, i) => waitingThumb(i + 1)));
    box.hidden = false;
    box.dataset.state = "waits";
    try {
      const places = await this.freeOf(await this.placesFor(mask), cutout);
      if (isStale()) {
        if (this.key === current) this.key = "";
        return;
      }
      this.places = places;
      box.replaceChildren(...places.map((suggestion, i) => this.thumb(suggestion, i, cutout)));
      const isPlausible = places.length > 0 && this.isPlausible(places[0]);
      showReason(places[0], isPlausible || isPlaced);
      if (!places.length) $("place-note").textContent = TEXTS.noFreePlace;
      if (!this.touched && isPlausible) {
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
      ...(this.otherPeople ? { other_people: this.otherPeople.id } : {}), k: REQUESTED, preview: true,
    };
    const key = JSON.stringify(body);
    const asked = this.answers.get(key) ?? jobs.work(WORK.places, (options) => api.run("place", body, options));
    this.answers.set(key, asked);
    asked.catch(() => this.answers.delete(key));
    const { result } = await asked;
    return result.places.map((/** @type {any} */ place) => (
      { place: placeAt(place.at, moving, place), front: place.behind, reason: place.reason, code: place.reason_code }));
  }

  /**
   * Returns the places that cover no other subject, except for a small share; in place of the rest, those beside. They
   * are at least the width of the subject apart.
   */
  /** @type {(places: Suggestion[], cutout: Cutout) => Promise<Suggestion[]>} */
  async freeOf(places, { canvas, photo, box }) {
    const { below, subjects } = this.session;
    if (!subjects.visible.length) return placesApart(places, box).slice(0, COUNT);
    const others = await Promise.all(subjects.visible.map(async (one) => {
      const other = await subjects.cutOutOf(one);
      return this.drawn(other.image, other.photo, /** @type {Place} */ (one.place));
    }));
    const factor = WIDTH / below.width;
    const people = (this.people ?? []).map((person) => canvasOf(WIDTH, below.height * factor, (context) => {
      const [x, y, width, height] = person.box.map((value) => value * factor);
      context.fillRect(x, y, width, height);
    }));
    /** @type {(place: Place, taken: HTMLCanvasElement[]) => boolean} */
    const isFree = (place, taken) => {
      const own = this.drawn(canvas, photo, place);
      return taken.every((other) => overlapOf(own, other) <= MOST_SHARED);
    };
    const free = places.flatMap((one) => {
      if (isFree(one.place, others)) return [one];
      const next = placesBeside(box, photo, one.place, below);
      const sides = next.map((side) => side.find((place) => isFree(place, [...others, ...people])));
      return sides.flatMap((place) => (place ? [{ ...one, place, front: [] }] : []));
    });
    return placesApart(free, box).slice(0, COUNT);
  }

  /** Returns what is cut out of a photo, at a place of the background; isOver: over it. */
  /** @type {(image: HTMLCanvasElement, photo: Picture, place: Place, isOver?: boolean) => HTMLCanvasElement} */
  drawn(image, photo, place, isOver = false) {
    const { session } = this;
    const factor = WIDTH / session.below.width;
    return canvasOf(WIDTH, session.below.height * factor, (context, canvas) => {
      if (isOver) context.drawImage(session.imageOf(session.below), 0, 0, canvas.width, canvas.height);
      drawnAt(image, photo, place, factor)(context, canvas);
    });
  }

  /** Returns the button of a place, with its image. */
  /** @type {(suggestion: Suggestion, i: number, cutout: Cutout) => HTMLButtonElement} */
  thumb(suggestion, i, cutout) {
    const { session } = this;
    const { place, front } = suggestion;
    const button = thumbOf(this.drawn(cutout.canvas, cutout.photo, place, true), () => {
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
