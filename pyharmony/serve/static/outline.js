// The outline of a part of the image on the canvas, with its number.

import { Konva } from "./konva.js";

/** @import { Rectangle } from "./geometry.js" */

/** The lines of the outline, a bright one over a dark one that is seen beside it on any image: colours and widths. */
const LINES = /** @type {const} */ ([["rgba(16,20,18,0.66)", 6], ["#fff", 2]]);
/** The distance of the number above its outline, in pixels of the screen. */
const GAP = 5;

export class Outline {
  constructor() {
    this.group = new Konva.Group({ visible: false, listening: false });
    this.lines = LINES.map(([stroke, strokeWidth]) => (
      new Konva.Rect({ stroke, strokeWidth, strokeScaleEnabled: false, lineJoin: "round" })));
    this.number = new Konva.Label();
    this.text = new Konva.Text({ fill: "#fff", fontSize: 13, fontStyle: "600", padding: 5 });
    this.number.add(new Konva.Tag({ fill: "rgba(16,20,18,0.8)", cornerRadius: 6 }), this.text);
    this.group.add(...this.lines, this.number);
  }

  /** Shows a box and its number; null: hides them. @type {(box: Rectangle | null, number?: number) => void} */
  show(box, number = 0) {
    this.group.visible(box !== null);
    if (box) {
      const [x, y, width, height] = box;
      for (const line of this.lines) line.setAttrs({ x, y, width, height });
      this.text.text(String(number + 1));
      this.number.setAttrs({ x, y, offsetY: this.text.height() + GAP });
    }
    this.group.getLayer()?.batchDraw();
  }

  /** Gives the number the same size at each zoom. @param {number} zoom */
  look(zoom) { this.number.scale({ x: 1 / zoom, y: 1 / zoom }); }
}
