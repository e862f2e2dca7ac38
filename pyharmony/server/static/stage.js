// The canvas: shows images where it is told to, and tells what people point at, draw and drag. It knows no service.
//
// Coordinates are pixels of the picture at full size, counted from the corner of the first one.

const { Konva } = globalThis;
Konva.hitOnDragEnabled = true;

/** Makes a canvas of a size, with what draw puts on it. */
export function canvasOf(width, height, draw = () => {}) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width));
  canvas.height = Math.max(1, Math.round(height));
  draw(canvas.getContext("2d", { willReadFrequently: true }), canvas);
  return canvas;
}

/** Returns a grey mask as a canvas whose alpha it is. */
export function alphaOf(mask, width = mask.naturalWidth, height = mask.naturalHeight) {
  return canvasOf(width, height, (context, canvas) => {
    context.drawImage(mask, 0, 0, canvas.width, canvas.height);
    const data = context.getImageData(0, 0, canvas.width, canvas.height);
    const values = data.data;
    for (let i = 0; i < values.length; i += 4) values[i + 3] = values[i];
    context.putImageData(data, 0, 0);
  });
}

/** Returns x, y, width and height of where a canvas is not transparent, as shares of its size; null: nowhere. */
export function boundsOf(canvas) {
  const { width, height } = canvas;
  const values = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (values[4 * (y * width + x) + 3] > 127) {
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < top) top = y;
        bottom = y;
      }
    }
  }
  if (right < 0) return null;
  return { x: left / width, y: top / height, width: (right + 1 - left) / width, height: (bottom + 1 - top) / height };
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Stage {
  /**
   * @param {HTMLElement} element
   * @param on what is called: point(x, y, remove), line(points, remove), painted(points, remove), begun(begun) where a
   *   click or a key begins one of these and another will end it, place(place, done, how), tip(x, y, done),
   *   view(zoom, whole), compare(share)
   */
  constructor(element, on) {
    this.element = element;
    this.on = on;
    this.mode = "view";
    this.size = null;
    this.share = null;
    this.zoom = 1;
    this.brush = 40;
    this.removes = false;
    this.fitted = true;
    /** Where a click began a line, and the points of a stroke that a key began. */
    this.anchor = this.keyed = null;
    this.stage = new Konva.Stage({ container: element, width: 10, height: 10 });
    this.element.querySelector(".konvajs-content").setAttribute("aria-hidden", "true");
    this.pictures = new Konva.Layer({ listening: false });
    this.tools = new Konva.Layer();
    this.stage.add(this.pictures, this.tools);
    this.world = new Konva.Group();
    this.over = new Konva.Group();
    this.pictures.add(this.world);
    this.tools.add(this.over);

    this.base = new Konva.Image({ visible: false });
    this.shadow = new Konva.Group({ visible: false });
    this.subject = new Konva.Group({ visible: false });
    this.tile = new Konva.Image({ visible: false });
    this.exact = new Konva.Image({ visible: false });
    this.front = new Konva.Image({ visible: false });
    this.before = new Konva.Group({ visible: false });
    this.veil = new Konva.Image({ visible: false });
    this.world.add(this.base, this.shadow, this.subject, this.tile, this.front, this.exact, this.before, this.veil);

    this.marks = new Konva.Group({ listening: false });
    this.stroke = new Konva.Line({ lineCap: "round", lineJoin: "round", listening: false, visible: false });
    this.frame = new Konva.Group({ draggable: true, visible: false });
    this.grip = new Konva.Rect({ fill: "rgba(0,0,0,0.001)", strokeScaleEnabled: false });
    this.frame.add(this.grip);
    this.cross = new Konva.Group({ listening: false, visible: false });
    this.tipLine = new Konva.Arrow({ strokeWidth: 2, dash: [6, 5], pointerLength: 0, pointerWidth: 0, listening: false, strokeScaleEnabled: false });
    this.tipped = { tip: false, line: false };
    this.tip = new Konva.Circle({ radius: 11, draggable: true, strokeWidth: 3, visible: false, name: "tip" });
    this.over.add(this.marks, this.stroke, this.frame, this.tipLine, this.tip, this.cross);
    this.transformer = new Konva.Transformer({
      nodes: [], keepRatio: true, flipEnabled: false, centeredScaling: false, rotateAnchorOffset: 30, borderStrokeWidth: 1.5, ignoreStroke: true,
      enabledAnchors: ["top-left", "top-right", "bottom-left", "bottom-right"], rotationSnaps: [0, 90, 180, 270], rotationSnapTolerance: 3,
      boundBoxFunc: (from, to) => (Math.abs(to.width) < 12 || Math.abs(to.height) < 12 ? from : to),
    });
    this.edge = new Konva.Line({ strokeWidth: 2, visible: false, listening: false });
    this.tools.add(this.transformer, this.edge);

    this.dress();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.dress());
    this.listen();
    new ResizeObserver(() => this.resize()).observe(element);
    this.resize();
  }

  /** Takes the colours of the page. */
  dress() {
    const accent = colour("--accent");
    const large = matchMedia("(pointer: coarse)").matches;
    this.transformer.setAttrs({
      anchorSize: large ? 18 : 13, anchorCornerRadius: 99, anchorFill: "#ffffff", anchorStroke: accent, anchorStrokeWidth: 2, borderStroke: "#ffffff",
    });
    this.tip.setAttrs({ fill: accent, stroke: "#ffffff", shadowColor: "#000", shadowBlur: 6, shadowOpacity: 0.4 });
    this.tipLine.setAttrs({ stroke: accent, fill: accent });
    this.edge.setAttrs({ stroke: "#ffffff", shadowColor: "#000", shadowBlur: 4, shadowOpacity: 0.6 });
    this.cross.destroyChildren();
    for (const [points, stroke, width] of [[[-14, 0, 14, 0], "#000", 4], [[0, -14, 0, 14], "#000", 4], [[-13, 0, 13, 0], "#fff", 2], [[0, -13, 0, 13], "#fff", 2]]) {
      this.cross.add(new Konva.Line({ points, stroke, strokeWidth: width }));
    }
  }

  // ---- the view ----

  resize() {
    const { clientWidth, clientHeight } = this.element;
    if (!clientWidth || !clientHeight) return;
    this.stage.size({ width: clientWidth, height: clientHeight });
    if (this.fitted) this.fit();
    else this.look();
  }

  fit() {
    this.fitted = true;
    if (!this.size) return;
    const { width, height } = this.stage.size();
    const phone = width < 760;
    const [left, top, right, bottom] = phone ? [10, 46, 10, 40] : [36, 56, 36, 72];
    const zoom = Math.min((width - left - right) / this.size.width, (height - top - bottom) / this.size.height, 4);
    this.zoom = Math.max(zoom, 0.01);
    this.world.position({
      x: Math.round(left + (width - left - right - this.size.width * this.zoom) / 2),
      y: Math.round(top + (height - top - bottom - this.size.height * this.zoom) / 2),
    });
    this.look();
  }

  /** Looks closer or from farther away; what lies at (x, y) of the element stays there. */
  zoomTo(zoom, x = this.stage.width() / 2, y = this.stage.height() / 2) {
    this.fitted = false;
    const next = clamp(zoom, 0.02, 16);
    const { x: left, y: top } = this.world.position();
    this.world.position({ x: x - ((x - left) * next) / this.zoom, y: y - ((y - top) * next) / this.zoom });
    this.zoom = next;
    this.look();
  }

  pan(dx, dy) {
    this.fitted = false;
    this.world.position({ x: this.world.x() + dx, y: this.world.y() + dy });
    this.look();
  }

  look() {
    this.world.scale({ x: this.zoom, y: this.zoom });
    this.over.position(this.world.position());
    this.over.scale(this.world.scale());
    const same = 1 / this.zoom;
    for (const node of [this.tip, this.cross, ...this.marks.getChildren()]) node.scale({ x: same, y: same });
    this.fineBase();
    this.drawEdge();
    this.stage.batchDraw();
    this.on.view?.(this.zoom, this.isWhole());
  }

  /** Tells whether the whole picture is seen. */
  isWhole() {
    if (!this.size || this.fitted) return true;
    const { x, y } = this.world.position();
    return x >= -1 && y >= -1 && x + this.size.width * this.zoom <= this.stage.width() + 1 && y + this.size.height * this.zoom <= this.stage.height() + 1;
  }

  /** Draws the base once at the size of the screen, so that no frame has to scale it. */
  fineBase() {
    if (!this.source) return;
    clearTimeout(this.finer);
    this.base.image(this.source);
    this.finer = setTimeout(() => {
      const ratio = window.devicePixelRatio || 1;
      const [wide, high] = [this.size.width * this.zoom * ratio, this.size.height * this.zoom * ratio];
      if (wide >= (this.source.naturalWidth || this.source.width) || wide * high > 8e6) return;
      this.base.image(canvasOf(wide, high, (context, canvas) => {
        context.imageSmoothingQuality = "high";
        context.drawImage(this.source, 0, 0, canvas.width, canvas.height);
      }));
      this.pictures.batchDraw();
    }, 60);
  }

  at(event) {
    const box = this.element.getBoundingClientRect();
    return {
      x: (event.clientX - box.left - this.world.x()) / this.zoom,
      y: (event.clientY - box.top - this.world.y()) / this.zoom,
    };
  }

  // ---- what is shown ----

  /** Shows an image below everything, as a picture of so many pixels. */
  show(image, width, height, keepView = false) {
    const same = this.size && this.size.width === width && this.size.height === height;
    if (!same || !keepView) this.cross.visible(false);
    this.size = { width, height };
    this.source = image;
    this.base.setAttrs({ image, width, height, visible: true });
    if (!(same && keepView)) this.fit();
    else this.look();
  }

  clear() {
    for (const node of [this.shadow, this.subject, this.tile, this.exact, this.front, this.before, this.veil, this.frame, this.tip, this.tipLine, this.edge]) node.visible(false);
    if (!this.anchor && !this.keyed) this.stroke.visible(false);
    this.drawn = null;
    this.tipped = { tip: false, line: false };
    this.marks.destroyChildren();
    this.transformer.nodes([]);
    this.stage.batchDraw();
  }

  put(node, image, box) {
    if (!image) node.visible(false);
    else if (node.image() !== image || !node.visible() || node.x() !== box[0] || node.y() !== box[1]) node.setAttrs({ image, x: box[0], y: box[1], width: box[2], height: box[3], visible: true });
  }

  /** Lays images into a group, whose own position then moves them together. */
  fill(group, images, operation = "source-over") {
    group.destroyChildren();
    for (const [image, box] of images) {
      group.add(new Konva.Image({ image, x: box[0], y: box[1], width: box[2], height: box[3], globalCompositeOperation: operation, listening: false }));
    }
    group.visible(images.length > 0);
    this.pictures.batchDraw();
  }

  /** Moves a group as a subject that was drawn at place from lies at place to. */
  carry(group, from, to) {
    const flips = from.flip !== to.flip;
    const factor = to.scale / from.scale;
    group.setAttrs({
      x: to.x, y: to.y, offsetX: from.x, offsetY: from.y, scaleX: flips ? -factor : factor, scaleY: factor,
      rotation: flips ? to.angle + from.angle : to.angle - from.angle,
    });
    this.pictures.batchDraw();
  }

  /** Shows what was pointed at, [{x, y, add}], and dims what a mask leaves out. */
  mark(points, veil) {
    this.marks.destroyChildren();
    for (const point of points) {
      const fill = point.add ? colour("--accent") : "#b3261e";
      const mark = new Konva.Group({ x: point.x, y: point.y, scaleX: 1 / this.zoom, scaleY: 1 / this.zoom });
      mark.add(new Konva.Circle({ radius: 8, fill: point.add ? "#0f6b5c" : fill, stroke: "#fff", strokeWidth: 2 }));
      mark.add(new Konva.Line({ points: [-3.5, 0, 3.5, 0], stroke: "#fff", strokeWidth: 2 }));
      if (point.add) mark.add(new Konva.Line({ points: [0, -3.5, 0, 3.5], stroke: "#fff", strokeWidth: 2 }));
      this.marks.add(mark);
    }
    this.veil.setAttrs({ image: veil, x: 0, y: 0, width: this.size?.width, height: this.size?.height, visible: Boolean(veil) });
    this.stage.batchDraw();
  }

  /**
   * Shows handles around a subject; box is that of its mask, from the middle of its photograph, before it is turned.
   * Where they are not shown, it can still be dragged.
   */
  hold(place, box, { turns = true, shown = true } = {}) {
    const visible = Boolean(place && box);
    this.frame.visible(visible);
    if (visible) {
      this.grip.setAttrs({ x: place.flip ? -box.x - box.width : box.x, y: box.y, width: box.width, height: box.height });
      this.frame.setAttrs({ x: place.x, y: place.y, scaleX: place.scale, scaleY: place.scale, rotation: place.angle });
      this.flipped = place.flip;
      this.transformer.rotateEnabled(turns);
      this.holds = shown;
      this.transformer.visible(shown && this.share === null);
      if (this.transformer.nodes()[0] !== this.frame) this.transformer.nodes([this.frame]);
      this.transformer.forceUpdate();
    } else {
      this.transformer.nodes([]);
    }
    this.tools.batchDraw();
  }

  /** Shows the handle of a shadow's tip, and the line from where it begins. */
  holdTip(tip, from) {
    this.tipped = { tip: Boolean(tip), line: Boolean(tip && from) };
    this.showTip();
    if (tip) {
      this.tip.position(tip);
      if (from) this.tipLine.points([from.x, from.y, tip.x, tip.y]);
      this.tipFrom = from;
    }
    this.tools.batchDraw();
  }

  /** Shows the handle of the tip, but not over before and after, where a drag moves the border. */
  showTip() {
    this.tip.visible(this.tipped.tip && this.share === null);
    this.tipLine.visible(this.tipped.line && this.share === null);
  }

  setMode(mode) {
    if (mode !== this.mode) this.leaveStroke();
    this.mode = mode;
    this.element.dataset.mode = mode;
    this.element.style.cursor = { point: "crosshair", line: "crosshair", paint: "none" }[mode] ?? "default";
    if (!["point", "line", "paint"].includes(mode)) this.cross.visible(false);
    this.tools.batchDraw();
  }

  // ---- before and after ----

  /** Shows what was before, left of a share of the picture's width; null: does not. */
  compare(share) {
    this.share = share;
    this.before.visible(share !== null);
    this.edge.visible(share !== null);
    if (share !== null && this.size) {
      this.before.clip({ x: 0, y: 0, width: this.size.width * share, height: this.size.height });
      this.drawEdge();
    }
    this.transformer.visible(share === null && this.holds !== false);
    this.showTip();
    this.stage.batchDraw();
  }

  drawEdge() {
    if (this.share === null || !this.size) return;
    const x = this.world.x() + this.size.width * this.share * this.zoom;
    const y = this.world.y();
    this.edge.points([x, y, x, y + this.size.height * this.zoom]);
  }

  // ---- what people do ----

  listen() {
    const pointers = new Map();
    let drawn = null;
    let pressed = null;
    const { element } = this;

    const drawnTo = (points, remove) => {
      if (this.mode === "paint") this.on.painted?.(points, remove);
      else this.on.line?.(points, remove);
    };
    this.finish = drawnTo;
    const away = (event) => {
      pointers.delete(event.pointerId);
      if (pointers.size < 2) this.pinched = null;
    };
    this.stage.on("pointerdown", ({ evt, target }) => {
      element.focus({ preventScroll: true });
      if (evt.button > 1) return;
      pointers.set(evt.pointerId, { x: evt.clientX, y: evt.clientY });
      // A second finger has to be felt while the first one drags; a mouse has none, and its drags are drawn sooner.
      Konva.hitOnDragEnabled = evt.pointerType === "touch";
      if (target !== this.stage) return;
      element.setPointerCapture?.(evt.pointerId);
      pressed = { x: evt.clientX, y: evt.clientY, moved: false, remove: evt.shiftKey || evt.altKey };
      if (pointers.size > 1) {
        drawn = null;
        this.stroke.visible(false);
      } else if (this.share === null && (this.mode === "line" || this.mode === "paint") && evt.button === 0) {
        this.keyed = null;
        drawn = [this.at(evt)];
        this.drawStroke(this.anchor ? [this.anchor, ...drawn] : drawn);
      }
    });
    element.addEventListener("pointermove", (event) => {
      const last = pointers.get(event.pointerId);
      if (this.mode === "paint" && !last && !this.keyed) this.showBrush(this.at(event));
      if (this.anchor && !last) this.drawStroke([this.anchor, this.at(event)]);
      if (!last || !pressed) return;
      const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > 4) pressed.moved = true;
      if (pointers.size === 2) {
        const [a, b] = [...pointers.values()];
        const box = element.getBoundingClientRect();
        const now = { span: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2 - box.left, y: (a.y + b.y) / 2 - box.top };
        if (this.pinched) {
          this.pan(now.x - this.pinched.x, now.y - this.pinched.y);
          this.zoomTo((this.zoom * now.span) / Math.max(1, this.pinched.span), now.x, now.y);
        }
        this.pinched = now;
      } else if (drawn) {
        drawn.push(this.at(event));
        this.drawStroke(this.anchor ? [this.anchor, ...drawn] : drawn);
      } else if (this.share !== null) {
        this.on.compare?.(clamp(this.at(event).x / this.size.width, 0, 1));
      } else if (pressed.moved) {
        this.pan(dx, dy);
      }
    });
    element.addEventListener("pointerup", (event) => {
      const was = pressed;
      away(event);
      if (!was || pointers.size) return;
      pressed = null;
      const line = drawn;
      drawn = null;
      this.stroke.visible(false);
      const point = this.at(event);
      if (this.share !== null) {
        this.on.compare?.(clamp(point.x / this.size.width, 0, 1));
      } else if (line && this.mode === "line" && !was.moved && !this.anchor) {
        // A click begins a line, and another one ends it; a drag does both.
        this.anchor = point;
        this.drawStroke([point]);
        this.on.begun?.(true);
      } else if (line) {
        const points = this.anchor ? [this.anchor, ...line] : line;
        this.anchor = null;
        this.on.begun?.(false);
        drawnTo(points, was.remove);
      } else if (!was.moved && this.mode === "point" && this.inside(point)) {
        this.on.point?.(point.x, point.y, was.remove);
      }
      this.tools.batchDraw();
    });
    element.addEventListener("pointercancel", (event) => {
      away(event);
      pressed = drawn = null;
      this.stroke.visible(false);
    });
    element.addEventListener("pointerleave", () => {
      if (this.mode === "paint" && !drawn && !this.keyed) {
        this.stroke.visible(false);
        this.tools.batchDraw();
      }
    });
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = element.getBoundingClientRect();
      const step = event.deltaMode ? event.deltaY * 16 : event.deltaY;
      this.zoomTo(this.zoom * Math.exp(-clamp(step, -120, 120) / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });

    const held = () => ({
      x: this.frame.x(), y: this.frame.y(), scale: this.frame.scaleX(), angle: turnOf(this.frame.rotation()), flip: this.flipped,
    });
    this.frame.on("dragmove", () => this.on.place?.(held(), false, "move"));
    this.frame.on("dragend", () => { pressed = null; pointers.clear(); this.on.place?.(held(), true, "move"); });
    this.frame.on("transform", () => this.on.place?.(held(), false, "transform"));
    this.frame.on("transformend", () => { pressed = null; pointers.clear(); this.on.place?.(held(), true, "transform"); });
    this.frame.on("mouseenter", () => { element.style.cursor = "move"; });
    this.frame.on("mouseleave", () => { element.style.cursor = "default"; });
    const tipped = (done) => {
      if (this.tipFrom) this.tipLine.points([this.tipFrom.x, this.tipFrom.y, this.tip.x(), this.tip.y()]);
      this.on.tip?.(this.tip.x(), this.tip.y(), done);
    };
    this.tip.on("dragmove", () => tipped(false));
    this.tip.on("dragend", () => { pressed = null; pointers.clear(); tipped(true); });
  }

  inside({ x, y }) {
    return x >= 0 && y >= 0 && x < this.size.width && y < this.size.height;
  }

  drawStroke(points) {
    const painted = this.mode === "paint";
    this.stroke.setAttrs({
      points: points.flatMap(({ x, y }) => [x, y]).concat(points.length === 1 ? [points[0].x + 0.01, points[0].y] : []),
      strokeWidth: (painted ? this.brush : 4) / (painted ? 1 : this.zoom), visible: true,
      stroke: this.removes ? "#b3261e" : "#0f6b5c", opacity: painted ? 0.55 : 0.9,
    });
    this.tools.batchDraw();
  }

  showBrush({ x, y }) {
    this.stroke.setAttrs({ points: [x, y, x + 0.01, y], strokeWidth: this.brush, visible: true, stroke: this.removes ? "#b3261e" : "#0f6b5c", opacity: 0.4 });
    this.tools.batchDraw();
  }

  /** Begins a line or a stroke at the cross, or ends it there: what a drag does, by keys. */
  strokeAtCross(remove) {
    const { x, y } = this.moveCross(0, 0);
    if (!this.keyed) {
      this.keyed = [{ x, y }];
      this.keyedRemoves = remove;
      this.drawStroke(this.keyed);
      this.on.begun?.(true);
      return;
    }
    const points = this.keyed;
    this.keyed = null;
    this.stroke.visible(false);
    this.on.begun?.(false);
    this.finish(points, remove || this.keyedRemoves);
  }

  /** Leaves a line or a stroke that was begun by a click or a key; tells whether there was one. */
  leaveStroke() {
    const begun = Boolean(this.anchor || this.keyed);
    this.anchor = this.keyed = null;
    if (begun) {
      this.stroke.visible(false);
      this.on.begun?.(false);
      this.tools.batchDraw();
    }
    return begun;
  }

  /** Moves the cross of the keyboard, and returns where it is. */
  moveCross(dx, dy) {
    if (!this.cross.visible()) {
      this.cross.setAttrs({ x: this.size.width / 2, y: this.size.height / 2, scaleX: 1 / this.zoom, scaleY: 1 / this.zoom, visible: true });
    } else {
      this.cross.position({
        x: clamp(this.cross.x() + dx / this.zoom, 0, this.size.width - 1), y: clamp(this.cross.y() + dy / this.zoom, 0, this.size.height - 1),
      });
    }
    if (this.keyed && (dx || dy)) {
      this.keyed.push({ ...this.cross.position() });
      this.drawStroke(this.keyed);
    }
    this.tools.batchDraw();
    return this.cross.position();
  }
}

/** Returns an angle as one from -180 to 180. */
export function turnOf(angle) {
  return ((((angle + 180) % 360) + 360) % 360) - 180;
}
