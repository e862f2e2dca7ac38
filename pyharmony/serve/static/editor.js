// The editor: opens and closes sessions, and connects the canvas, the controls and the keyboard.

import * as api from "./api.js";
import { LiveBlends } from "./blends.js";
import * as controls from "./controls.js";
import { adds } from "./cutting.js";
import { $, input } from "./dom.js";
import { isSameResult } from "./document.js";
import * as drafts from "./drafts.js";
import { Jobs } from "./jobs.js";
import * as keys from "./keys.js";
import { announce, fail, showMessage } from "./messages.js";
import * as panel from "./panel.js";
import { idsOf, projectOf } from "./project.js";
import { ServiceError } from "./requests.js";
import { copyText, saveBlob } from "./result.js";
import { Session } from "./session.js";
import { Stage } from "./stage.js";
import { TEXTS, WORK } from "./strings.js";

/** @import { About } from "./requests.js" */
/** @import { Pictures, Way } from "./ways/way.js" */

/** The longer side of previews for the screen, of a phone and of others. */
const SIDES = [640, 1024];
/** The pause after a change before it is stored, in milliseconds, and the number of stored states. */
const [STORE_PAUSE, MOST_STATES] = [400, 30];

export class Editor {
  constructor() {
    /** The open session. @type {Session | null} */
    this.session = null;
    /** The number of times that a session was opened or closed. */
    this.changes = 0;
    this.isComparing = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.storing = undefined;
    /** Whether the open picture is stored as a draft. */
    this.isStored = true;
    this.side = SIDES[matchMedia("(max-width: 760px)").matches ? 0 : 1];
    this.jobs = new Jobs();
    this.stage = new Stage($("stage"), {
      point: (x, y, remove) => this.session?.cutting.point(x, y, adds() && !remove),
      line: (points, remove) => this.session?.cutting.line(points, adds() && !remove),
      painted: (points, remove) => this.session?.cutting.paint(points, adds() && !remove),
      begun: (isBegun) => this.strokeBegun(isBegun),
      place: (place, isDone, how, isFree) => this.session?.placing.moved(place, isDone, how, isFree),
      tip: (tip, isDone) => this.session?.placing.tipped(tip, isDone),
      view: (zoom, isWhole) => {
        $("zoom-one").title = TEXTS.fullSize(Math.round(zoom * 100));
        $("pan").hidden = isWhole;
      },
      compare: (share) => {
        input("divider").value = String(share * 100);
        this.stage.compare(share);
      },
    });
    this.blends = new LiveBlends(this.stage);
    // The draft of a tab that was duplicated is stored again.
    drafts.onTaken((key) => { if (key === this.session?.key) this.store(); });
    controls.listen(this);
    keys.listen(this);
  }

  /** Opens images of the service; a draft is continued. */
  /** @type {(way: Way, pictures: Pictures, about: About | null, draft?: drafts.Started) => Promise<void>} */
  async open(way, pictures, about, draft = undefined) {
    this.close();
    const { changes } = this;
    const session = new Session(this, way, { ...pictures }, about ?? await api.service(), draft);
    if (changes !== this.changes) return;
    this.session = session;
    panel.begin(way, session.about, (step) => session.go(step));
    await session.load();
  }

  /** Exchanges the photo that is taken from and the one that is put into. @param {Session} session */
  async swap({ way, pictures: { subject, background }, about, key }) {
    await this.open(way, { subject: background, background: subject }, about);
    await drafts.discard(key).catch(() => {});
    announce(TEXTS.swapped);
  }

  /** Closes the session and cancels its jobs. */
  close() {
    clearTimeout(this.storing);
    this.changes += 1;
    this.session?.preview.stop();
    this.session?.cropping.close();
    this.session?.warping.close();
    this.session?.guides.close();
    this.session?.texts.leave();
    this.session = null;
    this.jobs.cancelAll();
    this.blends.stop();
    panel.end();
    this.compare(false);
    this.stage.strokes.leave();
    this.stage.clear();
    this.stage.base.visible(false);
  }

  /** Stores the open picture as a draft, a moment after its last change. */
  storeLater() {
    clearTimeout(this.storing);
    document.documentElement.dataset.stored = "false";
    this.storing = setTimeout(() => this.store(), STORE_PAUSE);
  }

  /** The open picture, as drafts and project files have it; null: there is none. */
  get content() {
    const { session } = this;
    if (!session?.step) return null;
    const { history, way, step } = session;
    const first = Math.max(0, history.now - MOST_STATES);
    const [pictures, states] = api.currently([session.pictures, history.states.slice(first)]);
    return { way: way.name, pictures, states, now: history.now - first, step, thumb: this.stage.thumbnail() };
  }

  /** Saves the open picture as a project file. */
  async saveProject() {
    const { session, content } = this;
    if (!session || !content) return;
    const { doc, result } = session;
    const file = await this.jobs.work(WORK.project, () => projectOf(content));
    if (!file) throw new ServiceError(TEXTS.projectTooLarge);
    saveBlob(file, `${result.stem}.pyharmony`);
    session.saved = doc;
    this.storeLater();
    showMessage(TEXTS.projectSaved);
  }

  /** Copies and shows a link to the open picture in this browser, and the address of the result if it is computed. */
  async copyLink() {
    const { session } = this;
    await this.store();
    if (!session || !this.isStored) throw new ServiceError(TEXTS.noLink);
    const { newest } = session.result;
    const isWhole = newest && session.result.isOf(session.doc) && !session.doc.crop;
    const files = isWhole ? [new URL(await api.there(newest.picture.file_url), location.href).href] : [];
    await copyText(new URL(`#open=${session.link}`, location.href).href, files.map(() => TEXTS.linkOfFile), files);
  }

  /** Stores the open picture as a draft; a browser without a database asks before it leaves the page instead. */
  async store() {
    clearTimeout(this.storing);
    this.storing = undefined;
    const { session, content } = this;
    if (!session || !content) return;
    const { key, link, doc, saved } = session;
    const ids = idsOf([content.pictures, content.states]);
    const isSaved = saved !== null && isSameResult(doc, saved);
    try {
      await drafts.save({ key, link, ...content, time: Date.now(), ids, isSaved }, api.blobOf);
      this.isStored = true;
    } catch {
      this.isStored = false;
    }
    document.documentElement.dataset.stored = String(this.isStored && this.storing === undefined);
  }

  /** Whether leaving the page would lose work. */
  get wouldLose() {
    const { session } = this;
    return Boolean(session && !this.isStored && session.history.now && session.doc !== session.saved);
  }

  /** Turns the comparison of before and after on or off. @param {boolean} on */
  compare(on) {
    this.isComparing = on;
    panel.showComparing(on);
    if (on && this.session) {
      this.stage.before.visible(true);
      this.session.scene.drawBefore(this.session.doc.place ?? undefined);
      announce(TEXTS.beforeAndAfter);
    } else {
      this.stage.compare(null);
    }
  }

  /** Shows the image pixel by pixel, which shows the result itself. */
  async oneToOne() {
    const { stage, session } = this;
    stage.zoomTo(1 / (window.devicePixelRatio || 1));
    announce(TEXTS.atFullSize);
    if (!session || session.step === "cut" || !session.isComplete) return;
    if (!session.result.isOf(session.doc)) await session.result.make().catch(fail);
  }

  /** Handles the start of a line or a stroke by a click or a key, which another one ends, or its cancellation. */
  /** @type {(isBegun: boolean) => void} */
  strokeBegun(isBegun) {
    if (this.session) panel.showHint(this.session);
    announce(isBegun ? TEXTS.strokeBegun : "");
  }
}
