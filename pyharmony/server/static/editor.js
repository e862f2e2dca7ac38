// The editor: what people decided (the document), its history, and the jobs that show and save what it stands for.

import * as api from "./api.js";
import { commandOf, pythonOf } from "./code.js";
import { Stage, alphaOf, boundsOf, canvasOf, turnOf } from "./stage.js";
import { BLENDS, CUTTERS, METHODS, SAID, STEPS as NAMES, TO_MATCH, TROUBLE, WORK, plainly } from "./strings.js";

const $ = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const STEPS = {
  compose: [["cut", NAMES.cut], ["place", NAMES.place], ["match", NAMES.match], ["save", NAMES.save]],
  blend: [["place", NAMES.place], ["match", NAMES.blend], ["save", NAMES.save]],
  harmonize: [["match", NAMES.match], ["save", NAMES.save]],
  merge: [["save", NAMES.save]],
};
/** The blends of masks, with what the service and the live blend call them. */
const MODES = [
  ["gaussian-poisson", { mode: "gaussian-poisson" }, "gaussian_poisson"],
  ["poisson", { mode: "poisson" }, "poisson"],
  ["mixed", { mode: "poisson", gradients: "mixed" }, "poisson"],
  ["laplacian", { mode: "laplacian" }, "laplacian"],
  ["alpha", { mode: "alpha" }, "alpha"],
];
const BEGIN = {
  cutter: "auto", steps: [], marks: [], mask: null, place: null, front: [], strength: 1, method: "auto", blend: "alpha", mode: "gaussian-poisson",
  colours: false, sharpness: 1, grain: 1, shadow: "auto", tip: null, softness: 4,
};
/** The longer side of what is made for the screen. */
const SIDE = matchMedia("(max-width: 760px)").matches ? 640 : 1024;
/** The pause after a change before the match is made anew, in milliseconds. */
const SETTLE = 350;
/** The most pixels of a blend while something is dragged; where it is let go, it is made as fine as the screen. */
const LIVE_PIXELS = 40_000;
/** The most blends that are asked for at a time: the way to the service and back takes longer than a blend. */
const FLYING = 2;
/** The longer side of what is made while a size or an angle changes: it has to come soon. */
const QUICK = Math.min(SIDE, 512);
/** The seconds after which what is being made says how far it is. */
const LONG = 3;
/** By how far keys and buttons move what is seen of the picture, in pixels of the screen. */
const PAN = 80;
/** The milliseconds after which a subject that is dragged is shown by itself, where its blend is still to come. */
const LATE = 400;
/** Half pixels go to the whole number that was typed, whatever the last digits of a sum are. */
const TIE = 1e-4;

export class Editor {
  constructor({ say, tell, clear, fail, home }) {
    Object.assign(this, { say, tell, clear, fail, home });
    this.open_ = 0;
    this.stage = new Stage($("stage"), {
      point: (x, y, remove) => this.point(x, y, this.adds && !remove),
      line: (points, remove) => this.segment({ kind: "scribble", line: points.map(({ x, y }) => [x - 0.5, y - 0.5]), add: this.adds && !remove }),
      painted: (points, remove) => this.paint(points, this.stage.brush, this.adds && !remove),
      begun: (begun) => this.strokeBegun(begun),
      place: (place, done, how) => this.moved(place, done, how),
      tip: (x, y, done) => this.tipped({ x, y }, done),
      view: (zoom, whole) => {
        $("zoom-one").title = SAID.fullSize(Math.round(zoom * 100));
        $("pan").hidden = whole;
      },
      compare: (share) => { $("divider").value = share * 100; this.stage.compare(share); },
    });
    this.jobs = new Set();
    this.sent = 0;
    this.flights = new Map();
    this.beginBlends();
    this.wire();
  }

  get doc() { return this.history[this.now]; }
  get tool() { return document.querySelector("input[name=tool]:checked").value; }
  get adds() { return document.querySelector("input[name=sign]:checked").value === "+"; }
  /** The photograph that is moved, and the one below it. */
  get moving() { return this.pictures.subject ?? this.pictures.source; }
  get below() { return this.pictures.background ?? this.pictures.composite; }
  /** Whether what the document says is cut out is there to be placed. */
  get ready() { return Boolean(this.cutout && this.cutout.mask === this.doc.mask); }
  /** Whether the document says what is cut out: a mask, or a photograph with transparency. */
  get isCut() { return Boolean(this.doc.mask) || this.moving?.channels === 4; }

  // ---- opening and closing ----

  async open(way, pictures, about) {
    this.close();
    const session = this.open_;
    this.way = way;
    this.about = about ?? await api.service();
    this.pictures = { ...pictures };
    this.history = [{ ...BEGIN, mask: way === "blend" ? pictures.mask : null, blend: "alpha" }];
    this.now = 0;
    this.fillMethods();
    $("steps").replaceChildren(...STEPS[way].map(([step, title]) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: title });
      button.dataset.to = step;
      button.addEventListener("click", () => this.go(step));
      item.append(button);
      return item;
    }));
    $("steps").hidden = STEPS[way].length < 2;
    $("to-match").textContent = TO_MATCH[way] ?? "";
    const named = [this.moving, this.below].filter(Boolean);
    const images = await this.work(WORK.open, async () => Promise.all(named.map(({ proxy_url: url }) => api.image(url))));
    if (session !== this.open_) return;
    this.images = new Map(named.map((picture, i) => [picture.id, images[i]]));
    if (this.moving) $("brush").max = Math.max(200, Math.round(Math.max(this.moving.width, this.moving.height) / 6));
    if (way === "merge") return this.merge();
    if (way === "compose") {
      // A photograph with transparency is cut out already.
      if (this.moving.channels === 4) {
        await this.cut(null);
        return this.go("place");
      }
      return this.go("cut");
    }
    if (way === "blend") {
      await this.cut(this.doc.mask);
      this.history = [{ ...this.doc, place: this.fittingPlace() }];
      return this.go("place");
    }
    return this.go("match");
  }

  close() {
    this.open_ += 1;
    for (const job of this.jobs) job.abort();
    this.jobs.clear();
    clearTimeout(this.settling);
    this.history = [BEGIN];
    this.now = 0;
    this.step = null;
    this.way = null;
    this.pictures = {};
    this.images = new Map();
    Object.assign(this, {
      cutout: null, empty: null, layers: null, laying: false, changing: null, tiled: null, asked: null, next: null, seen: this.sent, flights: new Map(), waits: 0, people: null, others: null, places: null, suggested: null, touched: false, made: null, shown: null,
      masks: new Map(), segmenting: null, wanted: null, mixed: null,
    });
    $("found-people").hidden = true;
    $("code").hidden = true;
    $("places").replaceChildren();
    this.allowSaving();
    this.compare(false);
    this.stage.leaveStroke();
    this.stage.clear();
    this.busy();
  }

  fillMethods() {
    const methods = [...this.about.methods, ...(this.way === "compose" ? ["none"] : [])];
    $("method").replaceChildren(...methods.map((name) => new Option(METHODS[name] ?? name, name)));
    $("cutter").replaceChildren(...this.about.segment_methods.map(({ name }) => new Option(CUTTERS[name]?.[0] ?? name, name)));
    $("mode").replaceChildren(...MODES.map(([name]) => new Option(BLENDS[name], name)));
  }

  // ---- the document and its history ----

  /** Changes the document; what is said is for screen readers. */
  commit(change, said = "") {
    const next = { ...this.doc, ...change };
    this.history = [...this.history.slice(0, this.now + 1), next];
    this.now += 1;
    if (said) this.say(said);
    this.refresh();
  }

  /** Goes back in the history, or on again. */
  travel(by) {
    const next = this.now + by;
    if (next < 0 || next >= this.history.length) return;
    this.now = next;
    this.touched = true;
    this.say(by < 0 ? SAID.undone : SAID.redone);
    // What lies nowhere yet is seen where it is cut out; what was cut out in another way has other places.
    const { doc } = this;
    if (this.way === "compose" && this.step !== "cut" && (!doc.place || this.suggested !== doc.mask)) this.go(doc.place ? this.step : "cut");
    else this.refresh();
  }

  /** Goes to a step. */
  async go(step) {
    if (!STEPS[this.way]?.some(([name]) => name === step)) return;
    if (step !== "cut" && this.way === "compose" && !this.ready && this.isCut && this.doc.mask !== this.empty) {
      await this.cut(this.doc.mask).catch(this.fail);
    }
    if (step !== "cut" && this.way === "compose" && !this.ready) {
      if (this.step !== "cut") this.go("cut");
      this.tell(this.empty && this.empty === this.doc.mask ? SAID.maskEmpty : SAID.cutFirst);
      return;
    }
    this.step = step;
    this.compare(false);
    for (const section of all("[data-step]")) section.hidden = section.dataset.step !== step;
    for (const button of all("[data-to]")) {
      if (button.dataset.to === step) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    }
    $("panel-body").scrollTop = 0;
    history.replaceState(null, "", `#${this.way}/${step}`);
    const title = STEPS[this.way].find(([name]) => name === step)[1];
    document.title = SAID.title(title);
    this.say(SAID.step(title));
    if (step !== "cut" && this.way === "compose" && (!this.doc.place || this.suggested !== this.doc.mask)) {
      const placed = Boolean(this.doc.place);
      if (!placed) this.history[this.now] = { ...this.doc, place: this.fittingPlace() };
      this.suggest(placed);
    }
    this.refresh();
  }

  /** Shows the document: the canvas and all controls; what has to be made anew is asked for, unless it is shown by this. */
  refresh(shown = false) {
    if (!this.way || !this.step) return;
    const { doc } = this;
    this.controls();
    if (this.step === "cut") {
      this.showCut();
    } else if (this.way === "harmonize" || this.way === "merge") {
      this.showWhole();
    } else {
      this.showPlaced();
    }
    if (this.way === "compose" && !this.ready) {
      if (!this.isCut) this.cutout = null;
      else if (!this.empty || this.empty !== doc.mask) this.cut(doc.mask).then(() => this.doc === doc && this.refresh()).catch(this.fail);
    }
    if (!shown) this.later();
  }

  controls() {
    const { doc, way, step } = this;
    $("undo").disabled = this.now === 0;
    $("redo").disabled = this.now === this.history.length - 1;
    this.allowSaving();
    $("compare").disabled = step === "cut" || way === "merge";
    $("cutter").value = doc.cutter;
    $("cutter-note").textContent = CUTTERS[doc.cutter]?.[1] ?? this.about.segment_methods.find(({ name }) => name === doc.cutter)?.about ?? "";
    $("to-place").disabled = !this.ready;
    $("save-mask").hidden = !doc.mask;
    if (doc.mask) Object.assign($("save-mask"), { href: `${doc.mask.file_url}?name=mask.png` });
    $("brush-field").hidden = this.tool !== "paint";
    $("brush-out").textContent = SAID.pixels($("brush").value);
    if (doc.place && this.ready) {
      const middle = this.middle(doc.place);
      const form = $("place").elements;
      const values = { x: Math.round(middle.x + TIE), y: Math.round(middle.y + TIE), scale: Math.round(doc.place.scale * 1000) / 10, angle: Math.round(doc.place.angle * 10) / 10 };
      for (const [name, value] of Object.entries(values)) if (document.activeElement !== form[name]) form[name].value = value;
    }
    $("flip").setAttribute("aria-pressed", String(Boolean(doc.place?.flip)));
    $("behind").setAttribute("aria-pressed", String(doc.front.length > 0));
    for (const [name, value] of [["strength", doc.strength], ["sharpness", doc.sharpness], ["grain", doc.grain]]) {
      $(name).value = Math.round(value * 100);
      $(`${name}-out`).textContent = SAID.share(Math.round(value * 100));
    }
    $("method").value = doc.method;
    $("mode").value = doc.mode;
    $("colours").checked = doc.colours;
    for (const input of all("input[name=blend]")) input.checked = input.value === doc.blend;
    for (const input of all("input[name=shadow]")) input.checked = input.value === doc.shadow;
    $("tip").hidden = $("tip-pad").hidden = doc.shadow === "off" || (doc.shadow === "auto" && !this.layers?.tip);
    const tip = this.tipNow;
    const form = $("tip").elements;
    if (document.activeElement !== form.x) form.x.value = tip ? Math.round(tip.x) : "";
    if (document.activeElement !== form.y) form.y.value = tip ? Math.round(tip.y) : "";
    if (document.activeElement !== form.softness) form.softness.value = doc.softness;
    document.querySelector(".strength").hidden = way === "blend" && !doc.colours;
    $("method-field").hidden = way === "blend";
    $("blend-field").hidden = way !== "compose";
    $("save-result-mask").hidden = way === "merge";
    for (const thumb of all(".thumb")) {
      const place = this.places?.[thumb.dataset.number]?.place;
      thumb.setAttribute("aria-pressed", String(Boolean(place && doc.place && samePlace(place, doc.place))));
    }
    $("plain-note").hidden = way !== "compose" || doc.strength !== 0;
    this.hint();
    $("stage-help").textContent = step === "cut" ? SAID.cutKeys[this.tool] : SAID.placeKeys;
  }

  /** Says on the picture what to do next, where that is not plain to see. */
  hint() {
    const line = this.stage.anchor ? SAID.lineEnds : "";
    $("hint").textContent = this.step === "cut" ? line || (this.doc.mask ? "" : SAID.hint) : "";
  }

  /** Hears that a line or a stroke begins by a click or a key, which another one ends; or that it is left. */
  strokeBegun(begun) {
    this.hint();
    this.say(begun ? SAID.strokeBegun : "");
  }

  /** Lets only what is complete be saved. */
  allowSaving() {
    for (const id of ["download", "save", "save-recipe", "save-result-mask", "copy-command", "copy-python"]) $(id).disabled = !this.complete;
  }

  get complete() {
    if (this.way === "compose" || this.way === "blend") return Boolean(this.doc.place && this.ready);
    return this.way === "harmonize" || Boolean(this.shown);
  }

  // ---- cutting out ----

  showCut() {
    const subject = this.moving;
    this.stage.clear();
    this.stage.show(this.images.get(subject.id), subject.width, subject.height, this.shownBase === subject.id);
    this.shownBase = subject.id;
    this.stage.setMode({ click: "point" }[this.tool] ?? this.tool);
    this.stage.removes = !this.adds;
    this.stage.brush = Number($("brush").value);
    this.veil();
  }

  async veil() {
    const { doc } = this;
    this.stage.mark(doc.marks, null);
    if (!doc.mask) return;
    const alpha = await this.alpha(doc.mask);
    if (doc !== this.doc || this.step !== "cut") return;
    const veil = canvasOf(alpha.width, alpha.height, (context, canvas) => {
      context.fillStyle = "rgb(16 20 18 / 66%)";
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.globalCompositeOperation = "destination-out";
      context.drawImage(alpha, 0, 0);
    });
    this.stage.mark(doc.marks, veil);
  }

  /** Returns a mask of the service as a canvas whose alpha it is; it is kept. */
  async alpha(mask) {
    if (!this.masks.has(mask.id)) this.masks.set(mask.id, api.image(mask.proxy_url).then((image) => alphaOf(image)));
    return this.masks.get(mask.id);
  }

  point(x, y, add) {
    this.segment({ kind: "click", x: x - 0.5, y: y - 0.5, add });
  }

  /** Takes one step more. */
  segment(step) {
    const before = this.wanted?.steps ?? this.doc.steps;
    if (!step.add && step.kind !== "mask" && !before.length) {
      this.tell(SAID.pointFirst);
      return;
    }
    this.cutOut([...before, step], this.wanted?.cutter ?? this.doc.cutter);
  }

  /** Cuts out by another method what was pointed at. */
  cutBy(cutter) {
    const steps = this.wanted?.steps ?? this.doc.steps;
    if (marksOf(steps).length) this.cutOut(steps, cutter);
    else this.commit({ cutter }, SAID.nextClick);
  }

  /** Cuts out what was pointed at; steps that come in the meantime go together. */
  async cutOut(asked, by) {
    this.wanted = { steps: asked, cutter: by };
    this.stage.mark(marksOf(asked), this.stage.veil.visible() ? this.stage.veil.image() : null);
    if (this.segmenting) return;
    this.segmenting = true;
    try {
      while (this.wanted) {
        const { wanted } = this;
        const { steps, cutter } = wanted;
        const { result } = await this.work(WORK.cut, (options) => api.run("segment", { picture: this.moving.id, steps, method: cutter }, options));
        if (this.wanted !== wanted) continue;
        this.wanted = null;
        if (!result.mask) {
          this.tell(SAID.nothingThere(plainly(result.info.reason ?? "")));
          this.refresh();
        } else {
          this.commit({ cutter, steps, marks: marksOf(steps), mask: result.mask, place: null, front: [] }, SAID.cut);
        }
      }
    } catch (error) {
      this.wanted = null;
      this.refresh();
      this.fail(error);
    } finally {
      this.segmenting = false;
    }
  }

  /** The method that people are looked for by: the one that is chosen, where it finds any. */
  get peopleCutter() {
    const { cutter } = this.doc;
    return this.about.segment_methods.some(({ name, people }) => name === cutter && people) ? cutter : "auto";
  }

  async findPeople() {
    try {
      const { result } = await this.work(WORK.people, (options) => api.run("segment", { picture: this.moving.id, people: true, method: this.peopleCutter }, options));
      const box = $("found-people");
      if (!result.masks.length) {
        this.tell(SAID.nobody);
        return;
      }
      const people = result.masks.map(({ mask }) => mask);
      box.replaceChildren(...people.map((mask, i) => {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", className: "second toggle", textContent: SAID.person(i + 1) });
        button.addEventListener("click", () => this.commit(masked(mask), SAID.personCut(i + 1)));
        return button;
      }));
      box.hidden = false;
      box.firstChild.click();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Paints into the mask: the service draws the stroke at the photo's full size. Strokes are drawn one after the other. */
  paint(points, width, add) {
    const session = this.open_;
    const stroke = { line: points.map(({ x, y }) => [x - 0.5, y - 0.5]), width, add };
    const draw = async () => {
      if (session !== this.open_) return;
      const mask = this.doc.mask ? { mask: this.doc.mask.id } : {};
      const { result } = await this.work(WORK.paint, (options) => api.run("paint", { picture: this.moving.id, ...mask, strokes: [stroke] }, options));
      this.commit(masked(result.mask), SAID.painted);
    };
    this.painting = (this.painting ?? Promise.resolve()).then(draw).catch((error) => this.fail(error));
  }

  async loadMask(file, said) {
    const topic = "cut mask";
    this.clear(topic);
    try {
      const mask = await this.work(WORK.mask, (options) => api.upload(file, undefined, options.signal));
      if (mask.width !== this.moving.width || mask.height !== this.moving.height) {
        this.tell(SAID.maskSize(mask, this.moving), { error: true, topic });
        return;
      }
      this.commit(masked(mask), said);
    } catch (error) {
      this.fail(error, topic);
    }
  }

  /** Cuts out for the screen: colours of the photograph's proxy under its mask. */
  async cut(mask) {
    const subject = this.moving;
    const image = this.images.get(subject.id);
    const alpha = mask ? await this.alpha(mask) : null;
    // Of two that are on their way, the one that the document says counts.
    if (mask !== this.doc.mask) return null;
    const canvas = canvasOf(image.naturalWidth, image.naturalHeight, (context, { width, height }) => {
      context.drawImage(image, 0, 0);
      if (alpha) {
        context.globalCompositeOperation = "destination-in";
        context.drawImage(alpha, 0, 0, width, height);
      }
    });
    const bounds = boundsOf(canvas);
    if (!bounds) {
      this.empty = mask;
      return this.tell(SAID.maskEmpty);
    }
    // From the middle of the photograph, in its own pixels.
    const box = {
      x: (bounds.x - 0.5) * subject.width, y: (bounds.y - 0.5) * subject.height,
      width: bounds.width * subject.width, height: bounds.height * subject.height,
    };
    this.cutout = { mask, canvas, box };
    return this.cutout;
  }

  // ---- placing ----

  /** Returns a place to begin with: in the middle, on the lower edge where the photograph cuts it there. */
  fittingPlace() {
    const { width, height } = this.below;
    const { box } = this.cutout;
    const subject = this.moving;
    if (this.way === "blend") {
      const scale = Math.min(1, (0.8 * width) / box.width, (0.8 * height) / box.height);
      const place = { x: 0, y: 0, scale, angle: 0, flip: false };
      if (subject.width === width && subject.height === height) return { ...place, x: width / 2, y: height / 2, scale: 1 };
      // The first pixel lies on a pixel, so that nothing is interpolated at scale 1.
      const at = [Math.round((width - subject.width * scale) / 2), Math.round((height - subject.height * scale) / 2)];
      return { ...place, x: at[0] + (subject.width * scale) / 2, y: at[1] + (subject.height * scale) / 2 };
    }
    const scale = Math.min((0.62 * height) / box.height, (0.7 * width) / box.width);
    const cutBelow = box.y + box.height > subject.height / 2 - 2;
    const bottom = cutBelow ? height : 0.94 * height;
    return { x: width / 2 - (box.x + box.width / 2) * scale, y: bottom - (box.y + box.height) * scale, scale, angle: 0, flip: false };
  }

  /** Returns where the middle of the cut-out lies at a place. */
  middle(place) {
    const { box } = this.cutout;
    const x = (box.x + box.width / 2) * place.scale * (place.flip ? -1 : 1);
    const y = (box.y + box.height / 2) * place.scale;
    const turn = (place.angle * Math.PI) / 180;
    return { x: place.x + x * Math.cos(turn) - y * Math.sin(turn), y: place.y + x * Math.sin(turn) + y * Math.cos(turn) };
  }

  /** Returns a place with some values changed; the middle of the cut-out stays. */
  turned(change) {
    const { place } = this.doc;
    const before = this.middle(place);
    const next = { ...place, ...change };
    const after = this.middle(next);
    return { ...next, x: next.x + before.x - after.x, y: next.y + before.y - after.y };
  }

  /** Commits a place; what was said of the shadow moves along. */
  put(asked, said) {
    this.touched = true;
    const { doc } = this;
    const place = this.onPixels(asked);
    const tip = doc.tip && { x: doc.tip.x + place.x - doc.place.x, y: doc.tip.y + place.y - doc.place.y };
    this.commit({ place, tip }, said);
  }

  /** Returns a place whose pixels lie on those of the background where it can: nothing is interpolated then. */
  onPixels(place) {
    if (place.scale !== 1 || place.angle !== 0) return place;
    const { width, height } = this.moving;
    return { ...place, x: Math.round(place.x - width / 2 - TIE) + width / 2, y: Math.round(place.y - height / 2 - TIE) + height / 2 };
  }

  /** Hears from the handles. */
  moved(place, done, how) {
    if (done) {
      this.dragging = this.changing = null;
      const { x, y } = this.middle(place);
      this.put(place, how === "move" ? SAID.at(x, y) : SAID.sizedAndTurned(Math.round(place.scale * 100), Math.round(place.angle)));
    } else {
      this.dragging = place;
      this.drawPlaced(place);
      if (how === "transform") this.layMeanwhile({ ...this.doc, place });
    }
  }

  /** Hears from the handle of the shadow's tip. */
  tipped(tip, done) {
    const shadow = this.doc.shadow === "auto" ? "on" : this.doc.shadow;
    if (done) {
      this.dragging = this.changing = null;
      this.commit({ tip, shadow }, SAID.shadowMoved);
    } else {
      this.dragging = this.doc.place;
      this.layMeanwhile({ ...this.doc, tip, shadow });
    }
  }

  /** Where the shadow ends: as it was said, or as it was found. */
  get tipNow() {
    const { doc, layers } = this;
    if (doc.tip || !doc.place) return doc.tip;
    if (layers?.tip) return { x: layers.tip.x + doc.place.x - layers.place.x, y: layers.tip.y + doc.place.y - layers.place.y };
    const foot = this.ready && doc.shadow === "on" ? this.foot(doc.place) : null;
    return foot && { x: foot.x + 40, y: foot.y - 20 };
  }

  nudgeTip(by, far) {
    const tip = this.tipNow;
    if (!tip) return;
    const step = far ? 10 : 1;
    const [x, y] = { left: [-step, 0], right: [step, 0], up: [0, -step], down: [0, step] }[by];
    this.commit({ tip: { x: tip.x + x, y: tip.y + y }, shadow: this.doc.shadow === "auto" ? "on" : this.doc.shadow }, SAID.at(tip.x + x, tip.y + y));
  }

  nudge(by, far = false) {
    const { place } = this.doc;
    if (!place || !this.ready || this.step === "cut") return;
    const step = far ? 10 : 1;
    const moves = { left: [-step, 0], right: [step, 0], up: [0, -step], down: [0, step] };
    if (moves[by]) {
      this.put({ ...place, x: place.x + moves[by][0], y: place.y + moves[by][1] }, "");
      const { x, y } = this.middle(this.doc.place);
      this.say(SAID.at(x, y));
    } else if (by === "larger" || by === "smaller") {
      const factor = (far ? 1.1 : 1.02) ** (by === "larger" ? 1 : -1);
      this.put(this.turned({ scale: Math.min(100, Math.max(0.01, place.scale * factor)) }), SAID.sized(Math.round(place.scale * factor * 100)));
    } else if (this.way === "compose") {
      const angle = turnOf(place.angle + (by === "cw" ? 1 : -1) * (far ? 10 : 1));
      this.put(this.turned({ angle }), SAID.turned(Math.round(angle)));
    }
  }

  flip() {
    if (this.way === "compose" && this.doc.place && this.ready) this.put(this.turned({ flip: !this.doc.place.flip, angle: -this.doc.place.angle }), SAID.mirrored);
  }

  async behind() {
    if (this.way !== "compose" || !this.doc.place || !this.ready) return;
    if (this.doc.front.length) return this.commit({ front: [] }, SAID.inFront);
    try {
      await this.findBackgroundPeople();
    } catch (error) {
      return this.fail(error);
    }
    const { box } = this.cutout;
    const middle = this.middle(this.doc.place);
    const reach = (Math.hypot(box.width, box.height) / 2) * this.doc.place.scale;
    const front = this.people.flatMap(({ box: [x, y, wide, high] }, i) => (
      x < middle.x + reach && x + wide > middle.x - reach && y < middle.y + reach && y + high > middle.y - reach ? [i] : []));
    if (!front.length) return this.tell(SAID.nobodyNear);
    return this.commit({ front }, SAID.behind);
  }

  /** Looks for people in the background, once; it tells of who was found. */
  async findBackgroundPeople() {
    if (this.people) return;
    this.finding ??= this.work(WORK.peopleBelow, (options) => (
      api.run("segment", { picture: this.below.id, people: true, method: this.peopleCutter }, options)))
      .then(({ result }) => {
        // Who may be nobody keeps no place and hides nothing.
        this.people = result.masks;
        this.others = result.others;
      })
      .finally(() => { this.finding = null; });
    await this.finding;
  }

  /** Asks for the best places; the first is taken unless it is placed already, or somebody moves it meanwhile. */
  async suggest(placed = false) {
    const session = this.open_;
    const { cutout } = this;
    const { mask } = this.doc;
    const box = $("places");
    this.touched = placed;
    this.places = null;
    this.suggested = mask;
    const stale = () => session !== this.open_ || this.suggested !== mask;
    box.replaceChildren(...[1, 2, 3].map((number) => {
      const thumb = document.createElement("button");
      Object.assign(thumb, { type: "button", className: "thumb waits", disabled: true });
      thumb.setAttribute("aria-label", SAID.placeWaits(number));
      return thumb;
    }));
    box.hidden = false;
    box.dataset.state = "waits";
    try {
      await this.findBackgroundPeople();
      const { result } = await this.work(WORK.places, (options) => api.run("place", {
        subject: this.moving.id, background: this.below.id, ...(mask ? { mask: mask.id } : {}),
        people: this.people.map((one) => one.mask.id), heads: this.people.map((one) => one.head),
        ...(this.others ? { others: this.others.id } : {}), k: 3, preview: true,
      }, options));
      if (stale()) return;
      const subject = this.moving;
      this.places = result.places.map((place) => ({
        place: { x: place.at[0] + (subject.width * place.scale) / 2, y: place.at[1] + (subject.height * place.scale) / 2, scale: place.scale, angle: place.angle, flip: place.flip },
        front: place.behind, reason: place.reason,
      }));
      box.replaceChildren(...this.places.map((one, i) => this.thumb(one, i, cutout)));
      $("place-note").textContent = this.places[0]?.reason ? SAID.notSure(plainly(this.places[0].reason)) : "";
      if (!this.touched && this.places.length && this.doc.mask === mask) {
        this.history[this.now] = { ...this.doc, place: this.places[0].place, front: this.places[0].front };
        this.say(SAID.placesFound(this.places.length));
      }
      box.dataset.state = "done";
      this.refresh();
    } catch (error) {
      if (!stale()) {
        box.replaceChildren();
        box.hidden = true;
        box.dataset.state = "done";
      }
      this.fail(error);
    }
  }

  thumb(one, i, cutout) {
    const { width, height } = this.below;
    const subject = this.moving;
    const scale = 240 / width;
    const canvas = canvasOf(240, height * scale, (context) => {
      context.drawImage(this.images.get(this.below.id), 0, 0, 240, height * scale);
      const { x, y, scale: size, angle, flip } = one.place;
      context.translate(x * scale, y * scale);
      context.rotate((angle * Math.PI) / 180);
      context.scale((flip ? -1 : 1) * size * scale, size * scale);
      context.drawImage(cutout.canvas, -subject.width / 2, -subject.height / 2, subject.width, subject.height);
    });
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "thumb" });
    button.dataset.number = i;
    button.setAttribute("aria-label", one.front.length ? SAID.placeBehind(i + 1) : SAID.place(i + 1));
    const number = document.createElement("span");
    number.textContent = i + 1;
    button.append(canvas, number);
    button.addEventListener("click", () => {
      this.touched = true;
      $("place-note").textContent = one.reason ? SAID.notSure(plainly(one.reason)) : "";
      this.commit({ place: one.place, front: one.front, tip: null }, SAID.place(i + 1));
    });
    return button;
  }

  // ---- showing what is placed ----

  showPlaced() {
    const { below, doc } = this;
    if (!this.ready || !doc.place) return;
    this.stage.setMode("place");
    this.stage.mark([], null);
    this.stage.show(this.images.get(below.id), below.width, below.height, this.shownBase === below.id);
    this.shownBase = below.id;
    this.drawPlaced(doc.place);
    this.stage.hold(this.step === "save" ? null : doc.place, this.cutout.box, { turns: this.way === "compose", shown: this.step === "place" });
    this.drawTip();
    this.rest();
  }

  /** Draws the subject at a place: matched where that is known, as it was cut out where not; or the newest blend. */
  drawPlaced(place) {
    const { stage, doc, moving } = this;
    const { layers } = this;
    this.hideExact();
    const half = [-moving.width / 2, -moving.height / 2, moving.width, moving.height];
    const cut = { x: 0, y: 0, scale: 1, angle: 0, flip: false };
    const known = layers?.plain && layers.mask === doc.mask;
    if (known) {
      if (this.mixed?.layers !== layers || this.mixed.strength !== doc.strength) this.mix();
    } else {
      this.mixed = null;
    }
    const { canvas } = this.mixed ?? this.cutout;
    if (stage.drawn !== canvas) {
      stage.drawn = canvas;
      stage.fill(stage.subject, [[canvas, known ? layers.matched.box : half]]);
      stage.fill(stage.shadow, known && doc.strength && layers.shadow ? [[layers.shadow.image, layers.shadow.box]] : [], "multiply");
    }
    this.origin = known ? layers.place : cut;
    stage.put(stage.front, layers?.front && doc.front.length ? layers.front.image : null, layers?.front?.box);
    this.drawBefore(place);
    this.blendLive(place);
    this.drawMoving(place);
  }

  /** Draws what moves: the real blend where it is known, the subject by itself where not or where the blend is late. */
  drawMoving(place) {
    const { stage, layers } = this;
    const late = this.waits && performance.now() - this.waits > LATE;
    const blended = Boolean(this.tiled) && stage.tile.visible() && !late;
    stage.subject.visible(!blended);
    if (!blended) stage.carry(stage.subject, this.origin, place);
    const at = blended ? this.tiledAt : place;
    if (layers && stage.shadow.visible()) stage.shadow.setAttrs({ x: at.x - layers.place.x, y: at.y - layers.place.y });
  }

  /** Mixes the subject as it was and matched; strength 0 shows the one, 1 the other. */
  mix() {
    const { plain, matched } = this.layers;
    const share = this.doc.strength;
    const canvas = canvasOf(plain.values.width, plain.values.height, (context) => {
      const data = context.createImageData(plain.values.width, plain.values.height);
      const [a, b, out] = [plain.values.data, matched.values.data, data.data];
      for (let i = 0; i < out.length; i += 1) out[i] = a[i] + share * (b[i] - a[i]);
      context.putImageData(data, 0, 0);
    });
    this.mixed = { layers: this.layers, strength: this.doc.strength, canvas };
  }

  drawBefore(place) {
    const { stage, layers } = this;
    if (!stage.before.visible()) return;
    const { width, height } = this.below;
    const images = [[this.images.get(this.below.id), [0, 0, width, height]]];
    stage.fill(stage.before, images);
    if (this.way === "compose" || this.way === "blend") {
      const inner = new globalThis.Konva.Group({ listening: false });
      stage.before.add(inner);
      const half = [-this.moving.width / 2, -this.moving.height / 2, this.moving.width, this.moving.height];
      const known = layers?.plain && layers.mask === this.doc.mask;
      stage.fill(inner, [known ? [layers.plain.image, layers.plain.box] : [this.cutout.canvas, half]]);
      stage.carry(inner, known ? layers.place : { x: 0, y: 0, scale: 1, angle: 0, flip: false }, place);
      if (layers?.front && this.doc.front.length) {
        const { image, box } = layers.front;
        const group = new globalThis.Konva.Group({ listening: false });
        stage.before.add(group);
        stage.fill(group, [[image, box]]);
      }
    }
    stage.compare(Number($("divider").value) / 100);
  }

  drawTip() {
    const { doc } = this;
    const shown = this.way === "compose" && this.step === "match" && doc.shadow !== "off" && doc.strength > 0;
    this.stage.holdTip(shown ? this.tipNow : null, this.foot(doc.place));
  }

  /** Returns where what is placed stands: the middle of the lower edge of its box. */
  foot(place) {
    const { box } = this.cutout;
    const x = (box.x + box.width / 2) * place.scale * (place.flip ? -1 : 1);
    const y = (box.y + box.height) * place.scale;
    const turn = (place.angle * Math.PI) / 180;
    return { x: place.x + x * Math.cos(turn) - y * Math.sin(turn), y: place.y + x * Math.sin(turn) + y * Math.cos(turn) };
  }

  get liveMode() {
    return this.way === "blend" ? MODES.find(([name]) => name === this.doc.mode)[2] : this.blendOf(this.doc);
  }

  /** Strength 0 is the plain paste, whatever blend is chosen for what is matched. */
  blendOf(doc) { return doc.strength === 0 ? "alpha" : doc.blend; }

  /** Asks for the real blend at a place; only the newest place counts, and few are on their way at a time. */
  blendLive(place) {
    const { stage, layers } = this;
    const mode = this.liveMode;
    const same = layers && ["scale", "angle", "flip"].every((name) => place[name] === layers.place[name]);
    const fits = this.way === "blend" || (mode !== "alpha" && layers?.plain && layers.mask === this.doc.mask && same);
    if (!fits) {
      stage.tile.visible(false);
      this.tiled = this.asked = this.next = null;
      return;
    }
    const detail = this.dragging ? this.detail(place) : 1;
    const body = { background: this.below.id, mode, side: this.way === "blend" ? SIDE : layers.side, detail, preview: true, format: this.dragging ? "jpeg" : "png" };
    if (this.way === "blend") {
      const { gradients } = MODES.find(([name]) => name === this.doc.mode)[1];
      Object.assign(body, { source: this.moving.id, mask: this.doc.mask.id, scale: place.scale, at: this.atOf(place), ...(gradients ? { gradients } : {}) });
    } else {
      const at = [layers.plain.box[0] + place.x - layers.place.x, layers.plain.box[1] + place.y - layers.place.y];
      Object.assign(body, { plain: layers.plain.picture.id, matched: layers.matched.picture.id, strength: this.doc.strength, at });
      if (layers.shadow && this.doc.strength) {
        const cast = [layers.shadow.box[0] + place.x - layers.place.x, layers.shadow.box[1] + place.y - layers.place.y];
        Object.assign(body, { shadow: layers.shadow.picture.id, cast });
      }
    }
    const key = JSON.stringify(body);
    if (this.tiled === key || this.asked === key) return;
    this.asked = key;
    this.next = { key, layers, mode, body, place };
    // An answer that is lost must not hold up the next ones for ever.
    if (this.waits && performance.now() - this.waits > 10 * LATE) {
      this.flights.clear();
      this.waits = 0;
    }
    // While one is drawn, the next is solved.
    // What is let go is not waited with: it is the next one, whatever is on its way.
    if (this.flights.size < FLYING || !this.dragging) this.blendNext();
  }

  /** Returns how fine blends are while something is dragged: so many pixels are solved many times a second. */
  detail(place) {
    const { box } = this.cutout;
    const side = this.way === "blend" ? SIDE : this.layers.side;
    const factor = place.scale * Math.min(1, side / Math.max(this.below.width, this.below.height));
    return Math.max(0.2, Math.min(1, Math.sqrt(LIVE_PIXELS / (box.width * factor * box.height * factor))));
  }

  blendNext() {
    const asked = this.next;
    this.next = null;
    this.sent += 1;
    this.waits ||= performance.now();
    this.flights.set(this.sent, asked);
    if (!this.blends) this.beginBlends();
    this.blends.postMessage({ number: this.sent, body: api.currently(asked.body) });
  }

  /** Begins the worker that asks for blends. One that cannot be loaded matters where a blend was asked for; the next one begins another. */
  beginBlends() {
    const blends = new Worker(new URL("live.js", import.meta.url), { type: "module" });
    blends.addEventListener("message", ({ data }) => this.blended(data));
    blends.addEventListener("error", () => {
      blends.terminate();
      this.blends = null;
      if (!this.flights.size) return;
      this.flights.clear();
      Object.assign(this, { asked: null, next: null, waits: 0 });
      this.fail(new Error(TROUBLE.noBlend));
    });
    this.blends = blends;
  }

  /** Shows a blend that has come, unless a newer one is shown or the document is another by now. */
  blended({ number, box, image, error }) {
    const asked = this.flights.get(number);
    this.flights.delete(number);
    if (!asked) return;
    this.waits = this.flights.size ? performance.now() : 0;
    if (this.next) this.blendNext();
    if (error) {
      this.asked = null;
      // A session that has expired is opened by any other request.
      if (error.status === 401) api.service().then(() => this.refresh(), this.fail);
      else {
        const session = this.open_;
        api.mend(new api.ServiceError(error.message, error), JSON.stringify(asked.body))
          .then(() => session === this.open_ && this.refresh(), this.fail);
      }
    } else if (asked.layers === this.layers && asked.mode === this.liveMode && number > this.seen) {
      this.seen = number;
      this.tiled = asked.key;
      this.stage.put(this.stage.tile, image, box);
      this.tiledAt = asked.place;
      this.drawMoving(this.dragging ?? this.doc.place);
      this.frames = (this.frames ?? 0) + 1;
      this.stage.element.dataset.frames = this.frames;
      this.stage.element.dataset.blend = asked.place === this.doc.place ? "fine" : "passing";
    }
  }

  // ---- what the service makes of it ----

  /** Asks, after a pause, for what the document needs: layers, or a preview of the whole. */
  later() {
    clearTimeout(this.settling);
    if (this.step === "cut" || !this.way) return;
    this.element().dataset.state = "works";
    this.settling = setTimeout(() => this.settle(), SETTLE);
  }

  async settle() {
    if (this.dragging) return this.later();
    if (this.laying) {
      this.again = true;
      return undefined;
    }
    const session = this.open_;
    this.laying = true;
    try {
      if (this.way === "compose") await this.lay(session);
      if (this.way === "harmonize") await this.preview(session);
      if (this.way === "blend") await this.preview(session);
    } catch (error) {
      this.fail(error);
    } finally {
      if (session === this.open_) {
        this.laying = false;
        if (this.again) this.later();
        else this.element().dataset.state = "rests";
        this.again = false;
      }
    }
    return undefined;
  }

  element() { return this.stage.element; }

  /** Makes the layers of what is being changed, as soon as the service can: one after the other, of the newest state. */
  async layMeanwhile(doc) {
    this.changing = doc;
    if (this.laying) return;
    const session = this.open_;
    this.laying = true;
    try {
      while (session === this.open_ && this.changing) {
        const next = this.changing;
        this.changing = null;
        await this.lay(session, next, QUICK);
      }
    } catch (error) {
      this.fail(error);
    } finally {
      if (session === this.open_) {
        this.laying = false;
        if (this.again) this.later();
        this.again = false;
      }
    }
  }

  layersBody(doc, side) {
    const subject = { picture: this.moving.id, at: this.atOf(doc.place), scale: doc.place.scale, angle: doc.place.angle, flip: doc.place.flip };
    if (doc.mask) subject.mask = doc.mask.id;
    const body = { subject, background: this.below.id, side, preview: true };
    if (this.people?.length) Object.assign(body, { people: this.people.map((one) => one.mask.id), front: doc.front });
    return { ...body, harmonize: doc.method === "none" ? null : doc.method, sharpness: doc.sharpness, grain: doc.grain, shadow: this.shadowOf(doc) };
  }

  shadowOf(doc) {
    if (doc.shadow === "off") return false;
    if (doc.tip) return { tip: [doc.tip.x, doc.tip.y], softness: doc.softness };
    if (doc.shadow === "on") return doc.softness === BEGIN.softness ? true : { softness: doc.softness };
    return "auto";
  }

  atOf(place) {
    return [place.x - (this.moving.width * place.scale) / 2, place.y - (this.moving.height * place.scale) / 2];
  }

  async lay(session, doc = this.doc, side = SIDE) {
    if (!doc.place || !this.ready) return;
    const body = this.layersBody(doc, side);
    const key = JSON.stringify(body);
    if (this.layers?.key === key) return;
    const { result } = await this.work(WORK.match, (options) => api.run("layers", body, options), true);
    const found = { key, place: doc.place, mask: doc.mask, side };
    await Promise.all(result.layers.map(async ({ name, box, picture }) => {
      const image = await api.image(picture.file_url);
      const values = name === "plain" || name === "matched" ? valuesOf(image) : null;
      found[name] = { box, picture, image, values };
    }));
    if (session !== this.open_) return;
    if (found.shadow && this.cutout) found.tip = farthest(found.shadow, this.foot(doc.place));
    this.layers = found;
    this.mixed = null;
    this.tiled = this.asked = null;
    $("match-note").textContent = [...new Set(result.info.reasons.map(plainly))].join(". ");
    if (this.dragging) {
      this.drawPlaced(this.dragging);
    } else {
      this.refresh(true);
      if (this.step !== "cut") this.say(SAID.matchShown);
    }
  }

  /** Shows what the service makes of the whole picture, on its proxies. */
  async preview(session) {
    const { doc } = this;
    const body = this.resultBody(doc, true);
    const operation = this.way;
    const key = JSON.stringify(body);
    if (this.shown?.key === key) return;
    const { result } = await this.work(operation === "blend" ? WORK.blend : WORK.match, (options) => api.run(operation, body, options), true);
    const image = await api.image(result.picture.file_url);
    if (session !== this.open_) return;
    this.shown = { key, image, info: result.info };
    $("match-note").textContent = [...new Set((result.info.warnings ?? []).map(plainly))].join(". ");
    if (!this.dragging && this.doc === doc) this.refresh(true);
  }

  /** Shows a harmonised or merged picture as a whole. */
  showWhole() {
    const { doc, stage, below } = this;
    if (this.way === "merge") return;
    stage.setMode("view");
    stage.show(this.images.get(below.id), below.width, below.height, this.shownBase === below.id);
    this.shownBase = below.id;
    stage.put(stage.exact, this.shown?.image ?? null, [0, 0, below.width, below.height]);
    stage.exact.opacity(doc.strength);
    this.drawBefore();
  }

  /** Shows the result itself, where it was made of this document. */
  rest() {
    const { stage, below, doc } = this;
    if (this.dragging) return;
    const image = this.made?.doc === doc ? this.made.image : this.way === "blend" && this.shown?.key === JSON.stringify(this.resultBody(doc, true)) ? this.shown.image : null;
    stage.exact.opacity(1);
    stage.put(stage.exact, image, [0, 0, below.width, below.height]);
    this.element().dataset.exact = String(Boolean(image));
  }

  hideExact() {
    if (this.way === "compose" || this.way === "blend") this.stage.exact.visible(false);
  }

  // ---- the result ----

  /** Returns what is asked of the service for the picture at full size, or for a preview of it. */
  resultBody(doc, preview = false) {
    if (this.way === "harmonize") {
      const { composite, mask } = this.pictures;
      return preview ? { image: composite.id, mask: mask.id, method: doc.method, preview: true }
        : { image: composite.id, mask: mask.id, method: doc.method, strength: doc.strength, format: "png" };
    }
    if (this.way === "blend") {
      const { source, background, mask } = this.pictures;
      const body = { src: source.id, dst: background.id, mask: mask.id, at: this.atOf(doc.place), ...MODES.find(([name]) => name === doc.mode)[1] };
      if (doc.place.scale !== 1) body.scale = doc.place.scale;
      if (doc.colours) Object.assign(body, { harmonize: true, strength: doc.strength });
      return preview ? { ...body, preview: true } : { ...body, format: "png", save_mask: true };
    }
    if (this.way === "merge") return { photos: this.pictures.photos.map((photo) => photo.id), format: "png" };
    const { place, strength } = doc;
    const subject = { picture: this.moving.id, at: this.atOf(place), scale: place.scale, angle: place.angle, flip: place.flip, behind: doc.front };
    if (doc.mask) subject.mask = doc.mask.id;
    return {
      subjects: [subject], background: this.below.id, people: (this.people ?? []).map((one) => one.mask.id), segment: doc.cutter,
      harmonize: strength === 0 || doc.method === "none" ? null : doc.method, strength, blend: this.blendOf(doc),
      sharpness: doc.sharpness * strength, grain: doc.grain * strength, shadow: strength === 0 ? false : this.shadowOf(doc), format: "png",
    };
  }

  /** Makes the picture at full size, once for each document. */
  async make() {
    const { doc, way } = this;
    if (this.made?.doc === doc) return this.made;
    const body = this.resultBody(doc);
    const { result } = await this.work(WORK.full, (options) => api.run(way, body, options));
    const made = { doc, body, picture: result.picture, mask: result.mask ?? null, recipe: result.recipe_url ?? null, image: null };
    this.made = made;
    if (way === "compose" || way === "blend") {
      api.image(result.picture.file_url).then((image) => {
        made.image = image;
        if (this.doc === doc && this.step) this.refresh();
      }).catch(() => {});
    }
    return made;
  }

  /**
   * Makes the picture of photos of 8 bits in 16, once, and returns it with its recipe: what lies between two levels is kept.
   * null: the photos have 16 bits themselves, and so has the picture.
   */
  async makeDeep(made) {
    if (made.deep !== undefined) return made.deep;
    const { body } = made;
    const photos = [this.moving, this.below, ...(this.pictures.photos ?? [])].filter((photo) => photo?.dtype === "uint8");
    if (!photos.length) return null;
    const deep = await this.work(WORK.deep, (options) => Promise.all(photos.map(({ id }) => (
      api.run("export", { picture: id, format: "tiff", depth: 16 }, options)))));
    try {
      const asked = deep.reduce((text, { result }, i) => text.replaceAll(photos[i].id, result.picture.id), JSON.stringify(body));
      const wanted = { ...JSON.parse(asked), format: "tiff" };
      const { result } = await this.work(WORK.deep, (options) => api.run(this.way, wanted, options));
      made.deep = { picture: result.picture, recipe: result.recipe_url ?? null };
      return made.deep;
    } finally {
      for (const { result } of deep) api.remove(result.picture);
    }
  }

  get format() { return document.querySelector("input[name=format]:checked").value; }

  /** The name of the file that is saved as a format. */
  outName(format) { return `${this.stem}-pyharmony.${{ jpeg: "jpg", tiff: "tif" }[format] ?? format}`; }

  get stem() {
    return ((this.below ?? this.pictures.photos?.[0])?.name ?? "picture").replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, "");
  }

  /** Makes the picture, writes it as the format that is chosen, and saves it. */
  async save() {
    if (!this.complete || this.saving) return;
    this.saving = true;
    const { format } = this;
    try {
      const made = await this.make();
      let picture;
      if (format === "ora" && this.way === "compose") {
        picture = (await this.work(WORK.layers, (options) => api.run("compose", { ...made.body, layers: true }, options))).result.openraster;
      } else {
        const kind = format === "ora" ? "png" : format;
        const sources = [this.moving, this.below, ...(this.pictures.photos ?? [])].filter(Boolean).map(({ id }) => id);
        const from = (kind === "tiff" && await this.makeDeep(made)) || made;
        const body = { picture: from.picture.id, format: kind, depth: { tiff: 16, jpeg: 8 }[kind] ?? null, sources };
        picture = (await this.work(WORK.file, (options) => api.run("export", body, options))).result.picture;
      }
      download(`${await api.there(picture.file_url)}?name=${encodeURIComponent(this.outName(format))}`);
      this.tell(SAID.savedAt(picture));
      this.say(SAID.saved);
    } catch (error) {
      this.fail(error);
    } finally {
      this.saving = false;
    }
  }

  async saveMask() {
    try {
      const made = await this.make();
      const mask = made.mask ?? this.doc.mask ?? this.pictures.mask;
      download(`${await api.there(mask.file_url)}?name=${encodeURIComponent(`${this.stem}-mask.png`)}`);
    } catch (error) {
      this.fail(error);
    }
  }

  async saveRecipe() {
    try {
      const made = await this.make();
      // A recipe is of photographs in their bits.
      const from = (this.format === "tiff" && await this.makeDeep(made)) || made;
      download(await api.there(from.recipe), "recipe.json");
    } catch (error) {
      this.fail(error);
    }
  }

  /** Copies what repeats the picture, and shows it; a recipe that it needs is saved beside. */
  async copy(write) {
    try {
      const made = await this.make();
      const { subject, background, composite, source, mask, photos } = this.pictures;
      const { names, same } = namesOf({
        subject: [subject, "subject.jpg"], background: [background, "background.jpg"], composite: [composite, "composite.png"],
        source: [source, "source.png"], mask: [mask, "mask.png"], ...Object.fromEntries((photos ?? []).map((photo, i) => [i, [photo, `photo${i + 1}.jpg`]])),
      });
      names.photos = (photos ?? []).map((_, i) => names[i]);
      const format = this.format === "ora" && this.way !== "compose" ? "png" : this.format;
      const body = { ...made.body, scale: made.body.scale ?? 1 };
      const text = write({
        way: this.way, names, out: this.outName(format), format, body,
        deepens: format === "tiff" && (photos ?? [this.below]).some(({ dtype }) => dtype === "uint8"),
        flattens: format === "jpeg" && made.picture.dtype !== "uint8",
      });
      $("code").textContent = text;
      $("code").hidden = false;
      const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
      this.tell([copied ? SAID.copied : SAID.notCopied, ...(this.way === "compose" ? [SAID.readsRecipe] : []), ...(same ? [SAID.sameNames] : [])].join(" "));
    } catch (error) {
      this.fail(error);
    }
  }

  async merge() {
    try {
      this.step = "save";
      for (const section of all("[data-step]")) section.hidden = section.dataset.step !== "save";
      const made = await this.make();
      const image = await api.image(made.picture.proxy_url);
      this.shown = { image };
      this.stage.setMode("view");
      this.stage.show(image, made.picture.width, made.picture.height);
      this.refresh();
    } catch (error) {
      this.home();
      this.fail(error);
    }
  }

  // ---- progress ----

  /** Runs a job, shows how far it is, and lets people cancel it. */
  async work(title, job, quiet = false) {
    const controller = new AbortController();
    controller.title = title;
    controller.quiet = quiet;
    controller.began = performance.now();
    this.jobs.add(controller);
    this.busy();
    const told = ({ step, steps, position, busy }) => {
      controller.told = position !== undefined && position !== null ? WORK.waits : busy ? WORK.busy(busy) : "";
      controller.share = steps ? Math.max(0, step - 0.5) / steps : 0;
      Object.assign(controller, { step, steps });
      this.busy();
    };
    // What takes long says how far it is, and for how long it has been at it.
    const clock = setInterval(() => this.busy(), 1000);
    try {
      return await job({ told, signal: controller.signal });
    } finally {
      clearInterval(clock);
      this.jobs.delete(controller);
      this.busy();
    }
  }

  busy() {
    const shown = [...this.jobs].at(-1);
    $("busy").hidden = !shown;
    document.documentElement.dataset.busy = String(Boolean(shown));
    if (!shown) return;
    const seconds = Math.round((performance.now() - shown.began) / 1000);
    const far = seconds >= LONG ? WORK.far(Math.max(1, shown.step ?? 1), shown.steps ?? 1, seconds) : "";
    $("busy-text").textContent = WORK.now(shown.title, shown.told || far);
    // Of a single step it is not known how far it is.
    $("busy-bar").hidden = !(shown.steps > 1);
    $("busy-bar").value = shown.share ?? 0;
    if (!shown.quiet && this.saidBusy !== shown) this.say(shown.title);
    this.saidBusy = shown;
  }

  compare(on) {
    this.comparing = on;
    $("compare").setAttribute("aria-pressed", String(on));
    $("divider").hidden = $("sides").hidden = !on;
    if (on) {
      this.stage.before.visible(true);
      this.drawBefore(this.doc.place);
      this.say(SAID.beforeAndAfter);
    } else {
      this.stage.compare(null);
    }
  }

  async oneToOne() {
    const box = this.stage.stage.size();
    this.stage.zoomTo(1 / (window.devicePixelRatio || 1), box.width / 2, box.height / 2);
    this.say(SAID.atFullSize);
    // Pixel by pixel, the picture itself is shown.
    if (this.step !== "cut" && this.complete && this.made?.doc !== this.doc && this.way !== "merge") await this.make().catch(this.fail);
  }

  // ---- controls ----

  wire() {
    const click = (id, run) => $(id).addEventListener("click", run);
    click("undo", () => this.travel(-1));
    click("redo", () => this.travel(1));
    click("compare", () => this.compare(!this.comparing));
    click("download", () => this.save());
    click("save", () => this.save());
    click("save-recipe", () => this.saveRecipe());
    click("save-result-mask", () => this.saveMask());
    click("save-mask", (event) => {
      event.preventDefault();
      api.there(this.doc.mask.file_url).then((url) => download(`${url}?name=mask.png`), this.fail);
    });
    click("copy-command", () => this.copy(commandOf));
    click("copy-python", () => this.copy(pythonOf));
    click("people", () => this.findPeople());
    click("start-over", () => this.commit({ steps: [], marks: [], mask: null, place: null, front: [] }, SAID.startOver));
    click("flip", () => this.flip());
    click("behind", () => this.behind());
    click("cancel", () => [...this.jobs].at(-1)?.abort());
    click("zoom-in", () => this.stage.zoomTo(this.stage.zoom * 1.25));
    click("zoom-out", () => this.stage.zoomTo(this.stage.zoom / 1.25));
    click("zoom-one", () => this.oneToOne());
    click("zoom-fit", () => this.stage.fit());
    for (const button of all("[data-pan]")) button.addEventListener("click", () => this.pan(button.dataset.pan));
    for (const button of all("[data-tip]")) button.addEventListener("click", (event) => this.nudgeTip(button.dataset.tip, !event.shiftKey));
    click("sheet", () => {
      const low = $("panel").classList.toggle("low");
      $("sheet").setAttribute("aria-expanded", String(!low));
    });
    for (const button of all("[data-next]")) button.addEventListener("click", () => this.go(button.dataset.next));
    for (const button of all("[data-nudge]")) button.addEventListener("click", (event) => this.nudge(button.dataset.nudge, !event.shiftKey));
    $("tools").addEventListener("change", () => this.refresh());
    $("cutter").addEventListener("change", () => this.cutBy($("cutter").value));
    $("brush").addEventListener("input", () => {
      this.stage.brush = Number($("brush").value);
      $("brush-out").textContent = SAID.pixels($("brush").value);
    });
    $("load-mask").addEventListener("change", (event) => {
      const [file] = event.target.files;
      event.target.value = "";
      if (file) this.loadMask(file, SAID.maskTaken);
    });
    $("point").addEventListener("submit", (event) => {
      event.preventDefault();
      const { x, y } = event.target.elements;
      const inside = Number(x.value) >= 0 && Number(x.value) < this.moving.width && Number(y.value) >= 0 && Number(y.value) < this.moving.height;
      if (!inside) return this.tell(SAID.photoSize(this.moving));
      return this.point(Number(x.value) + 0.5, Number(y.value) + 0.5, event.submitter?.value !== "-");
    });
    $("place").addEventListener("submit", (event) => event.preventDefault());
    $("place").addEventListener("change", (event) => this.typed(event.target));
    $("divider").addEventListener("input", () => this.stage.compare(Number($("divider").value) / 100));
    for (const name of ["strength", "sharpness", "grain"]) {
      const input = $(name);
      // While it is dragged it is shown; where it is let go it is a change that can be undone.
      input.addEventListener("input", () => {
        $(`${name}-out`).textContent = SAID.share(input.value);
        if (name === "strength") this.showStrength(input.value / 100);
      });
      input.addEventListener("change", () => {
        if (this.before) this.history[this.now] = this.before;
        this.before = null;
        this.commit({ [name]: input.value / 100 }, SAID.percent(input.value));
      });
    }
    $("method").addEventListener("change", () => this.commit({ method: $("method").value }));
    $("mode").addEventListener("change", () => this.commit({ mode: $("mode").value }));
    $("colours").addEventListener("change", () => this.commit({ colours: $("colours").checked }));
    for (const input of all("input[name=blend]")) input.addEventListener("change", () => this.commit({ blend: input.value }));
    for (const input of all("input[name=shadow]")) input.addEventListener("change", () => this.commit({ shadow: input.value, ...(input.value === "on" ? {} : { tip: null }) }));
    $("tip").addEventListener("submit", (event) => event.preventDefault());
    $("tip").addEventListener("change", () => {
      const { x, y, softness } = $("tip").elements;
      const tip = x.value !== "" && y.value !== "" ? { x: Number(x.value), y: Number(y.value) } : null;
      this.commit({ tip, softness: Math.min(90, Math.max(0, Number(softness.value))), shadow: tip && this.doc.shadow === "auto" ? "on" : this.doc.shadow }, SAID.shadowChanged);
    });
    document.addEventListener("keydown", (event) => this.key(event));
  }

  /** Looks at another part of the picture. */
  pan(by) {
    const [x, y] = { left: [PAN, 0], right: [-PAN, 0], up: [0, PAN], down: [0, -PAN] }[by];
    this.stage.pan(x, y);
  }

  /** Shows a strength while its slider is dragged. */
  showStrength(strength) {
    this.before ??= this.doc;
    this.history[this.now] = { ...this.doc, strength };
    if (this.way === "harmonize") this.showWhole();
    else if (this.doc.place && this.ready && this.step !== "cut") this.drawPlaced(this.doc.place);
  }

  typed(input) {
    const { place } = this.doc;
    const value = Number(input.value);
    if (!place || !this.ready || input.value === "" || !Number.isFinite(value)) return this.controls();
    if (input.name === "x" || input.name === "y") {
      const middle = this.middle(place);
      return this.put({ ...place, [input.name]: place[input.name] + value - middle[input.name] }, SAID.moved);
    }
    if (input.name === "scale") return this.put(this.turned({ scale: Math.min(100, Math.max(0.01, value / 100)) }), SAID.sized(value));
    return this.put(this.turned({ angle: turnOf(value) }), SAID.turned(value));
  }

  key(event) {
    if (!this.way || $("token").open) return;
    const command = event.ctrlKey || event.metaKey;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && !["radio", "checkbox", "range"].includes(event.target.type);
    const name = event.key.toLowerCase();
    if (command && !typing && (name === "z" || name === "y")) {
      event.preventDefault();
      return this.travel(name === "y" || event.shiftKey ? 1 : -1);
    }
    if (event.key === "Escape" && this.stage.leaveStroke()) return undefined;
    if (event.key === "Escape" && this.jobs.size) return [...this.jobs].at(-1).abort();
    if (event.key === "Escape" && this.comparing) return this.compare(false);
    if (event.target !== this.stage.element) return undefined;
    const far = event.shiftKey;
    const arrows = { arrowleft: [-1, 0, "left"], arrowright: [1, 0, "right"], arrowup: [0, -1, "up"], arrowdown: [0, 1, "down"] };
    const done = (run) => {
      event.preventDefault();
      run();
    };
    if ((command || event.altKey) && arrows[name]) return done(() => this.pan(arrows[name][2]));
    if (command || event.altKey) return undefined;
    if (this.step === "cut") {
      if (arrows[name]) return done(() => this.stage.moveCross(arrows[name][0] * (far ? 40 : 8), arrows[name][1] * (far ? 40 : 8)));
      if (event.key === "Enter" && this.tool !== "click") return done(() => this.stage.strokeAtCross(far));
      if (event.key === "Enter") {
        return done(() => {
          const { x, y } = this.stage.moveCross(0, 0);
          this.point(x, y, !far && this.adds);
        });
      }
      if (name === "[" || name === "]") {
        return done(() => {
          $("brush").value = Number($("brush").value) * (name === "]" ? 1.2 : 1 / 1.2);
          $("brush").dispatchEvent(new Event("input"));
        });
      }
    } else {
      if (this.comparing && (name === "arrowleft" || name === "arrowright")) {
        return done(() => {
          $("divider").value = Number($("divider").value) + arrows[name][0] * (far ? 10 : 2);
          this.stage.compare(Number($("divider").value) / 100);
        });
      }
      if (arrows[name]) return done(() => this.nudge(arrows[name][2], far));
      const keys = {
        "+": () => this.nudge("larger", far), "=": () => this.nudge("larger"), "-": () => this.nudge("smaller"), _: () => this.nudge("smaller", true),
        ",": () => this.nudge("ccw"), "<": () => this.nudge("ccw", true), ".": () => this.nudge("cw"), ">": () => this.nudge("cw", true),
        f: () => this.flip(), b: () => this.behind(), " ": () => this.compare(!this.comparing),
      };
      if (keys[name]) return done(keys[name]);
    }
    if (name === "0") return done(() => this.stage.fit());
    if (name === "1") return done(() => this.oneToOne());
    return undefined;
  }
}

/** Returns the names of files by what they are for; of files with one name, all but the first get another. */
function namesOf(pictures) {
  const names = {};
  const taken = new Set();
  let same = false;
  for (const [use, [picture, other]] of Object.entries(pictures)) {
    if (!picture) continue;
    let name = picture.name?.replace(/^.*[\\/]/, "") || other;
    for (let number = 2; taken.has(name); number += 1) {
      name = name.replace(/(-\d+)?(\.[^.]*)?$/, (_, counted, suffix = "") => `-${number}${suffix}`);
      same = true;
    }
    taken.add(name);
    names[use] = name;
  }
  return { names, same };
}

const samePlace = (a, b) => ["x", "y", "scale", "angle", "flip"].every((name) => a[name] === b[name]);

/** Returns what a mask that was made elsewhere changes; clicks go on from it. */
const masked = (mask) => ({ mask, steps: [{ kind: "mask", mask: mask.id }], marks: [], place: null, front: [] });

/** Returns the dots to show for steps: clicks, and the first point of lines. */
function marksOf(steps) {
  return steps.flatMap((step) => {
    if (step.kind === "click") return [{ x: step.x + 0.5, y: step.y + 0.5, add: step.add }];
    return step.kind === "scribble" ? [{ x: step.line[0][0] + 0.5, y: step.line[0][1] + 0.5, add: step.add }] : [];
  });
}

function valuesOf(image) {
  return canvasOf(image.naturalWidth, image.naturalHeight, (context) => context.drawImage(image, 0, 0))
    .getContext("2d").getImageData(0, 0, image.naturalWidth, image.naturalHeight);
}

/** Returns the point of a shadow that is farthest from where it begins. */
function farthest({ image, box }, from) {
  const small = Math.min(1, 160 / image.naturalWidth);
  const canvas = canvasOf(image.naturalWidth * small, image.naturalHeight * small, (context, { width, height }) => context.drawImage(image, 0, 0, width, height));
  const values = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let best = null;
  let most = -1;
  for (let y = 0; y < canvas.height; y += 1) {
    for (let x = 0; x < canvas.width; x += 1) {
      if (values[4 * (y * canvas.width + x)] > 235) continue;
      const point = { x: box[0] + ((x + 0.5) / canvas.width) * box[2], y: box[1] + ((y + 0.5) / canvas.height) * box[3] };
      const distance = Math.hypot(point.x - from.x, point.y - from.y);
      if (distance > most) [most, best] = [distance, point];
    }
  }
  return best;
}

function download(url, name = "") {
  const link = document.createElement("a");
  Object.assign(link, { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}
