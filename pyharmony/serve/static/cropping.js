// The crop of the result: a rectangle on the canvas and in numbers, with a free or a fixed ratio.

import { chosen, fields, inputs, write } from "./dom.js";
import { croppedTo, typedCrop } from "./geometry.js";
import { Konva, colourOf } from "./konva.js";
import { TEXTS } from "./strings.js";

/** @import { Rectangle } from "./geometry.js" */

const CORNERS = ["top-left", "top-right", "bottom-left", "bottom-right"];
const SIDES = ["top-center", "bottom-center", "middle-left", "middle-right"];
const NUMBERS = ["x", "y", "width", "height"];
/** The least side of a crop, in pixels. */
const LEAST = 16;

export class Cropping {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
    const { stage } = session;
    /** @type {import("konva").default.Rect} */
    this.frame = new Konva.Rect({ draggable: true, fill: "rgba(0,0,0,0.001)", visible: false });
    /** The pixels outside. @type {import("konva").default.Shape} */
    this.outside = new Konva.Shape({
      listening: false, visible: false, fill: "rgba(16,20,18,0.6)",
      sceneFunc: (context, shape) => {
        const { width, height } = /** @type {import("./geometry.js").Size} */ (stage.size);
        const { x, y, width: wide, height: high } = this.frame.getClientRect({ relativeTo: stage.over });
        context.beginPath();
        context.rect(0, 0, width, height);
        context.rect(x, y + high, wide, -high);
        context.fillShape(shape);
      },
    });
    this.handles = new Konva.Transformer({
      nodes: [this.frame], rotateEnabled: false, flipEnabled: false, ignoreStroke: true, visible: false,
      anchorCornerRadius: 99, anchorSize: 14, anchorFill: "#fff", anchorStrokeWidth: 2, borderStroke: "#fff",
    });
    stage.over.add(this.frame, this.outside);
    for (const node of [this.frame, this.outside]) node.moveToBottom();
    stage.tools.add(this.handles);
    this.frame.on("dragmove transform", () => stage.tools.batchDraw());
    this.frame.on("dragend transformend", () => {
      stage.gestures.release();
      const { x, y } = this.frame.position();
      const scale = this.frame.scale();
      this.fit([x, y, this.frame.width() * scale.x, this.frame.height() * scale.y]);
    });
  }

  /** The ratio of width and height that is chosen; null: free. */
  get ratio() {
    const [width, height] = chosen("crop").split(":").map(Number);
    return height ? width / height : null;
  }

  /** Changes the crop; null: the whole image. @param {Rectangle | null} crop */
  set(crop) { this.session.commit({ crop }, crop ? TEXTS.cropped(crop[2], crop[3]) : TEXTS.uncropped); }

  /** Changes the crop to the nearest one within the image. @param {Rectangle} crop */
  fit(crop) { this.set(croppedTo(crop, this.session.background, this.ratio, LEAST)); }

  /** Changes the crop to a chosen form. */
  choose() {
    const { doc, background: { width, height } } = this.session;
    if (chosen("crop") === "none") this.set(null);
    else this.fit((this.ratio === null && doc.crop) || [0, 0, width, height]);
  }

  /** Changes the crop to the typed numbers, of which one is new: of a fixed ratio, it decides about both sides. */
  /** @param {string} changed */
  type(changed) {
    const { session: { background }, ratio } = this;
    const form = fields("crop-numbers");
    const [x, y, width, height] = NUMBERS.map((name) => Number(form[name].value));
    const wide = ratio && changed === "height" ? height * ratio : width;
    if (form[changed].value !== "") this.set(typedCrop([x, y, wide, height], background, ratio, LEAST));
    this.show(true);
  }

  /** Shows the crop in the step that saves; isComplete: a number was typed and entered. */
  show(isComplete = false) {
    const { session: { doc: { crop }, step, background, stage }, frame, handles, outside } = this;
    const isShown = step === "save" && crop !== null;
    for (const node of [frame, handles, outside]) node.visible(isShown);
    const [none, free] = inputs("input[name=crop]");
    if (crop === null) none.checked = true;
    else if (none.checked) free.checked = true;
    const [x, y, width, height] = crop ?? [0, 0, background?.width, background?.height];
    write("crop-numbers", { x, y, width, height }, isComplete);
    if (isShown) {
      frame.setAttrs({ x, y, width, height, scaleX: 1, scaleY: 1 });
      handles.setAttrs({ keepRatio: this.ratio !== null, anchorStroke: colourOf("--accent") });
      handles.enabledAnchors(this.ratio === null ? [...CORNERS, ...SIDES] : CORNERS);
      handles.forceUpdate();
    }
    stage.tools.batchDraw();
  }

  /** Removes the shapes from the canvas. */
  close() { for (const node of [this.frame, this.handles, this.outside]) node.destroy(); }
}
