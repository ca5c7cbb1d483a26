/** The drawing pad: strokes by mouse, pen and finger, with undo and clear. */

import { button, element } from "./elements.js";
import { PEN } from "./strokes.js";

const PIXELS = 560; // pixels of the canvas, which is shown at half that size or less

export class Pad {
  /** `changed()` is called whenever the strokes have changed; `isDrawing` tells if one goes on. */
  constructor(changed) {
    this.strokes = [];
    this.isDrawing = false;
    this.changed = changed;
    this.canvas = element("canvas", {
      className: "draw-pad",
      width: PIXELS,
      height: PIXELS,
      role: "img",
      ariaLabel: "Drawing pad. Without a pointer, choose one of the digits below.",
    });
    this.canvas.addEventListener("pointerdown", (event) => this.begin(event));
    this.canvas.addEventListener("pointermove", (event) => this.go(event));
    for (const end of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(end, () => this.end());
    }
    this.undo = button("Undo", () => this.show(this.strokes.slice(0, -1)));
    this.clear = button("Clear", () => this.show([]));
    this.show([]);
  }

  begin(event) {
    if (event.button !== 0 || this.isDrawing) return; // nor for a second finger
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.isDrawing = true;
    this.show([...this.strokes, [this.place(event)]]);
  }

  go(event) {
    if (!this.isDrawing) return;
    // All places since the last frame, so that a fast curve does not become a polygon.
    const events = event.getCoalescedEvents?.() ?? [];
    const places = (events.length ? events : [event]).map((each) => this.place(each));
    this.strokes.at(-1).push(...places);
    this.show(this.strokes);
  }

  end() {
    if (!this.isDrawing) return;
    this.isDrawing = false;
    this.show(this.strokes);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const places = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return places.map((place) => Math.min(Math.max(place, 0), 1)); // no ink but on the pad
  }

  /** Show `strokes` in place of what was drawn. */
  show(strokes) {
    this.strokes = strokes;
    this.undo.disabled = this.clear.disabled = strokes.length === 0;
    const pen = this.canvas.getContext("2d");
    pen.fillStyle = "#ffffff";
    pen.fillRect(0, 0, PIXELS, PIXELS);
    pen.strokeStyle = "#08306b";
    pen.lineWidth = 2 * PEN * PIXELS;
    pen.lineCap = pen.lineJoin = "round";
    for (const stroke of strokes) {
      pen.beginPath();
      for (const [x, y] of [stroke[0], ...stroke]) pen.lineTo(x * PIXELS, y * PIXELS);
      pen.stroke();
    }
    this.changed();
  }
}
