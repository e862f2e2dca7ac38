// The canvas: shows images, and reports clicks, drawn lines and drags. It is independent of the service.
//
// Coordinates are pixels of the picture at full size, counted from the corner of the first one.

import { clamp, fittedView, isInside, isWhole, toImage, zoomedView } from "./geometry.js";
import { Gestures } from "./gestures.js";
import { Handles } from "./handles.js";
import { ADDS, Konva, REMOVES } from "./konva.js";
import { Outline } from "./outline.js";
import { canvasOf } from "./pixels.js";
import { Strokes } from "./strokes.js";

/** @import { Mark } from "./document.js" */
/** @import { Place, Point, Size, View } from "./geometry.js" */
/**
 * @typedef {"view" | "place" | "point" | "line" | "paint"} Mode the action of a pointer: it moves the view, drags the
 *   placed subject, clicks, or draws a line or a stroke of the brush
 */
/**
 * The events of the canvas.
 *
 * @typedef {object} StageEvents
 * @property {(x: number, y: number, remove: boolean) => void} point
 * @property {(points: Point[], remove: boolean) => void} line
 * @property {(points: Point[], remove: boolean) => void} painted
 * @property {(isBegun: boolean) => void} begun when a click or a key begins a line or a stroke that another will end
 * @property {(place: Place, isDone: boolean, how: "move" | "transform", isFree: boolean) => void} place during a drag
 *   of the handles; isFree: it does not snap
 * @property {(tip: Point, isDone: boolean) => void} tip the end of the shadow, during a drag
 * @property {(zoom: number, isWhole: boolean) => void} view
 * @property {(share: number) => void} compare
 */

const CURSORS = { point: "crosshair", line: "crosshair", paint: "none", view: "default", place: "default" };
/** The largest number of pixels of a base that is drawn for the screen, and the pause before, in milliseconds. */
const [FINE_PIXELS, FINE_PAUSE] = [8e6, 60];
/** The longer side of a small copy, in pixels. */
const THUMB = 160;

export class Stage {
  /**
   * @param {HTMLElement} element
   * @param {StageEvents} on
   */
  constructor(element, on) {
    this.element = element;
    this.on = on;
    /** @type {Mode} */
    this.mode = "view";
    /** The size of the shown image. @type {Size | null} */
    this.size = null;
    /** The share of the width that shows the image before; null: none. @type {number | null} */
    this.share = null;
    /** @type {View} */
    this.view = { x: 0, y: 0, zoom: 1 };
    this.isFitted = true;
    /** The image below everything. @type {HTMLImageElement | null} */
    this.source = null;
    /** The drawn image of the subject. @type {import("./konva.js").Drawable | null} */
    this.drawn = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.finer = undefined;
    this.stage = new Konva.Stage({ container: /** @type {HTMLDivElement} */ (element), width: 10, height: 10 });
    this.element.querySelector(".konvajs-content")?.setAttribute("aria-hidden", "true");
    this.pictures = new Konva.Layer({ listening: false });
    this.tools = new Konva.Layer();
    this.stage.add(this.pictures, this.tools);
    this.world = new Konva.Group();
    this.over = new Konva.Group();
    this.pictures.add(this.world);
    this.tools.add(this.over);

    const image = () => new Konva.Image({ visible: false, image: undefined });
    this.base = image();
    this.shadow = new Konva.Group({ visible: false });
    this.reflection = new Konva.Group({ visible: false });
    this.subject = new Konva.Group({ visible: false });
    this.tile = image();
    this.exact = image();
    this.front = image();
    this.above = new Konva.Group({ visible: false });
    this.before = new Konva.Group({ visible: false });
    this.veil = image();
    this.world.add(
      this.base, this.shadow, this.reflection, this.subject, this.tile, this.front, this.above, this.exact,
      this.before, this.veil,
    );

    this.marks = new Konva.Group({ listening: false });
    this.strokes = new Strokes(this);
    this.handles = new Handles(this);
    this.outline = new Outline();
    const { frame, tipLine, tip, pins } = this.handles;
    this.over.add(this.marks, this.outline.group, this.strokes.line, frame, tipLine, tip, pins, this.strokes.cross);
    /** The border of before and after. @type {import("konva").default.Line} */
    this.edge = new Konva.Line({ strokeWidth: 2, visible: false, listening: false });
    this.tools.add(this.handles.transformer, this.edge);

    this.dress();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.dress());
    this.gestures = new Gestures(this);
    new ResizeObserver(() => this.resize()).observe(element);
    this.resize();
  }

  /** Applies the colours of the page. */
  dress() {
    this.handles.dress();
    this.strokes.dress();
    this.edge.setAttrs({ stroke: "#ffffff", shadowColor: "#000", shadowBlur: 4, shadowOpacity: 0.6 });
  }

  // ---- the view ----

  resize() {
    const { clientWidth, clientHeight } = this.element;
    if (!clientWidth || !clientHeight) return;
    this.stage.size({ width: clientWidth, height: clientHeight });
    if (this.isFitted) this.fit();
    else this.look();
  }

  fit() {
    this.isFitted = true;
    if (!this.size) return;
    const room = getComputedStyle(this.element).getPropertyValue("--room").trim().split(" ").map(Number);
    this.view = fittedView(this.size, this.stage.size(), room);
    this.look();
  }

  /** Changes the zoom; the image point at a point of the element, by default its middle, is kept. */
  /** @type {(zoom: number, point?: Point) => void} */
  zoomTo(zoom, point = { x: this.stage.width() / 2, y: this.stage.height() / 2 }) {
    this.isFitted = false;
    this.view = zoomedView(this.view, zoom, point);
    this.look();
  }

  /** @type {(dx: number, dy: number) => void} */
  pan(dx, dy) {
    this.isFitted = false;
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
    this.look();
  }

  look() {
    const { x, y, zoom } = this.view;
    for (const group of [this.world, this.over]) group.setAttrs({ x, y, scaleX: zoom, scaleY: zoom });
    const { tip, pins } = this.handles;
    for (const node of [tip, this.strokes.cross, ...this.marks.getChildren(), ...pins.getChildren()]) {
      node.scale({ x: 1 / zoom, y: 1 / zoom });
    }
    this.outline.look(zoom);
    this.handles.makeRoom();
    this.fineBase();
    this.drawEdge();
    this.stage.batchDraw();
    this.on.view(zoom, !this.size || this.isFitted || isWhole(this.view, this.size, this.stage.size()));
  }

  /** Draws the base once at the size of the screen, so that it is not scaled in each frame. */
  fineBase() {
    const { source, size } = this;
    if (!source || !size) return;
    clearTimeout(this.finer);
    this.base.image(source);
    this.finer = setTimeout(() => {
      const ratio = this.view.zoom * (window.devicePixelRatio || 1);
      const [wide, high] = [size.width * ratio, size.height * ratio];
      if (wide >= (source.naturalWidth || source.width) || wide * high > FINE_PIXELS) return;
      this.base.image(canvasOf(wide, high, (context, canvas) => {
        context.imageSmoothingQuality = "high";
        context.drawImage(source, 0, 0, canvas.width, canvas.height);
      }));
      this.pictures.batchDraw();
    }, FINE_PAUSE);
  }

  /** Returns the point of the picture at an event of a pointer. @param {{ clientX: number, clientY: number }} event */
  at(event) {
    const box = this.element.getBoundingClientRect();
    return toImage(this.view, { x: event.clientX - box.left, y: event.clientY - box.top });
  }

  /** Returns the URL of a small copy of what is shown of the image. */
  thumbnail() {
    const { size, view: { x, y, zoom } } = this;
    if (!size) return "";
    const factor = THUMB / Math.max(size.width, size.height);
    const ratio = this.pictures.getCanvas().getPixelRatio();
    return canvasOf(size.width * factor, size.height * factor, (context, { width, height }) => {
      const part = [x, y, size.width * zoom, size.height * zoom].map((one) => one * ratio);
      const [left, top, wide, high] = part;
      context.drawImage(this.pictures.getNativeCanvasElement(), left, top, wide, high, 0, 0, width, height);
    }).toDataURL("image/jpeg");
  }

  // ---- what is shown ----

  /** Shows an image below everything, as an image with this many pixels. */
  /** @type {(image: HTMLImageElement, width: number, height: number, keepView?: boolean) => void} */
  show(image, width, height, keepView = false) {
    const same = keepView && this.size?.width === width && this.size.height === height;
    if (!same) this.strokes.cross.visible(false);
    this.size = { width, height };
    this.source = image;
    this.base.setAttrs({ image, width, height, visible: true });
    if (same) this.look();
    else this.fit();
  }

  /** Hides everything except the base. */
  clear() {
    for (const node of [...this.world.getChildren(), this.edge]) if (node !== this.base) node.visible(false);
    this.strokes.hide();
    this.handles.hide();
    this.outline.show(null);
    this.drawn = null;
    this.marks.destroyChildren();
    this.stage.batchDraw();
  }

  /** The veil that dims the image outside a mask. */
  get veilShown() { return this.veil.visible() ? /** @type {HTMLCanvasElement} */ (this.veil.image()) : null; }

  /** Shows dots at clicks, and dims the image outside a mask. */
  /** @type {(points: Mark[], veil: HTMLCanvasElement | null) => void} */
  mark(points, veil) {
    this.marks.destroyChildren();
    const stroke = { stroke: "#fff", strokeWidth: 2 };
    for (const { x, y, add } of points) {
      const mark = new Konva.Group({ x, y, scaleX: 1 / this.view.zoom, scaleY: 1 / this.view.zoom });
      mark.add(new Konva.Circle({ radius: 8, fill: add ? ADDS : REMOVES, ...stroke }));
      mark.add(new Konva.Line({ points: [-3.5, 0, 3.5, 0], ...stroke }));
      if (add) mark.add(new Konva.Line({ points: [0, -3.5, 0, 3.5], ...stroke }));
      this.marks.add(mark);
    }
    this.veil.setAttrs({
      image: veil ?? undefined, x: 0, y: 0, width: this.size?.width, height: this.size?.height, visible: Boolean(veil),
    });
    this.stage.batchDraw();
  }

  /** @param {Mode} mode */
  setMode(mode) {
    if (mode !== this.mode) this.strokes.leave();
    this.mode = mode;
    this.element.dataset.mode = mode;
    this.element.style.cursor = CURSORS[mode];
    if (mode === "view" || mode === "place") this.strokes.cross.visible(false);
    this.tools.batchDraw();
  }

  // ---- before and after ----

  /** Shows the image before, left of a share of the width; null: hides it. @param {number | null} share */
  compare(share) {
    this.share = share;
    this.before.visible(share !== null);
    this.edge.visible(share !== null);
    if (share !== null && this.size) {
      this.before.clip({ x: 0, y: 0, width: this.size.width * share, height: this.size.height });
      this.drawEdge();
    }
    this.handles.show();
    this.stage.batchDraw();
  }

  drawEdge() {
    if (this.share === null || !this.size) return;
    const x = this.view.x + this.size.width * this.share * this.view.zoom;
    this.edge.points([x, this.view.y, x, this.view.y + this.size.height * this.view.zoom]);
  }

  // ---- events ----

  /** Reports a drag of the border of before and after. @param {Point} point */
  emitBorder({ x }) {
    if (this.size) this.on.compare(clamp(x / this.size.width, 0, 1));
  }

  /** Reports a click on the image. @type {(point: Point, remove: boolean) => void} */
  emitPoint(point, remove) {
    if (this.size && isInside(point, this.size)) this.on.point(point.x, point.y, remove);
  }

  /** Reports a line or a stroke that was drawn. @type {(points: Point[], remove: boolean) => void} */
  emitLine(points, remove) {
    if (this.mode === "paint") this.on.painted(points, remove);
    else this.on.line(points, remove);
  }
}
