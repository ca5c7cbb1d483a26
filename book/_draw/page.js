/** The page "Draw a digit": the book's networks run in the reader's browser as one draws. */

import { button, element } from "./elements.js";
import { Fooler, Mover } from "./experiments.js";
import { Inspector } from "./inspector.js";
import { tensor } from "./layers.js";
import { paint } from "./maps.js";
import { answerOf, forward, NETWORKS } from "./networks.js";
import { Pad } from "./pad.js";
import { Panel } from "./panel.js";
import { prepare, SIDE } from "./prepare.js";
import { DIGITS, rasterize, resized } from "./strokes.js";
import { load } from "./weights.js";

const FOLDER = "_static/networks/";
const TEST_IMAGES = "hw7-digits";
const INKED = 140; // pixels of a side on which strokes become ink

/** Return what the networks see of `strokes`, and how it came about; null for no strokes. */
function inked(strokes) {
  return prepare(rasterize(resized(strokes), INKED), INKED);
}

class Page {
  constructor() {
    this.networks = []; // those whose weights have arrived, in the order of NETWORKS
    this.base = null; // the digit in its place; null while there is none
    this.selected = null;
    this.pad = null; // the next line already calls what needs it
    this.pad = new Pad(() => this.draw());
    this.seen = element("canvas", { className: "draw-maps draw-grid", role: "img" });
    this.seenWords = element("p", { className: "draw-note" });
    this.status = element("p", { className: "draw-hidden", role: "status" });
    this.inspector = new Inspector(() => this.select(null));
    this.mover = new Mover(() => this.moved());
    this.fooler = new Fooler(() => this.plan());
    this.panels = NETWORKS.map((network) => new Panel(network, (place) => this.select(place)));
    this.examples = element("div", { className: "draw-examples", role: "group" });
    this.examples.ariaLabel = "Digits to choose from";
    this.mount();
    this.offerStrokes();
    this.update();
  }

  /** Put the parts into their places between the page's sentences. */
  mount() {
    const { pad, seen, seenWords, examples, status } = this;
    const parts = {
      "draw-pad": [
        element("div", {}, pad.canvas, element("div", {}, pad.undo, pad.clear)),
        element("div", {}, seen, seenWords),
      ],
      "draw-examples": [examples, status],
      "draw-networks": this.panels.map((panel) => panel.element),
      "draw-inspector": [this.inspector.element],
      "draw-mover": [this.mover.element],
      "draw-fooler": [this.fooler.element],
    };
    for (const [id, children] of Object.entries(parts)) {
      document.getElementById(id).replaceChildren(...children);
    }
  }

  /** Load every network; each is shown as soon as it is there. */
  async load() {
    const loads = NETWORKS.map(async (network, n) => {
      try {
        const { header, arrays } = await load(network.file, FOLDER);
        Object.assign(network, network.build(arrays));
        this.panels[n].build(header);
        this.networks = NETWORKS.filter((each) => each.stages);
        this.update();
      } catch (error) {
        this.panels[n].miss(error);
      }
    });
    await Promise.all([...loads, this.offerTestImages()]);
  }

  /** Offer digits made of strokes. */
  offerStrokes() {
    DIGITS.forEach((strokes, digit) => {
      const canvas = element("canvas");
      const show = () => this.pad.show(strokes.map((stroke) => stroke.map((point) => [...point])));
      const choice = button(canvas, show);
      choice.ariaLabel = `a drawn ${digit}`;
      paint(canvas, tensor([1, SIDE, SIDE], inked(strokes).image));
      this.examples.append(choice);
    });
  }

  /** Offer images of MNIST's test set, if the published run has exported some. */
  async offerTestImages() {
    const file = await load(TEST_IMAGES, FOLDER).catch(() => null);
    if (!file) return;
    const { images, labels } = file.arrays;
    labels.data.forEach((label, n) => {
      const pixels = images.data.subarray(n * SIDE * SIDE, (n + 1) * SIDE * SIDE);
      const image = pixels.map((value) => value / 255);
      const canvas = element("canvas");
      const choice = button(canvas, () => this.choose(image, label));
      choice.ariaLabel = `a ${label} of the test set, image ${n + 1}`;
      paint(canvas, tensor([1, SIDE, SIDE], image), { limit: 1 });
      this.examples.append(choice);
    });
  }

  /** The pad has changed: prepare what is drawn. */
  draw() {
    if (!this.pad) return;
    const prepared = inked(this.pad.strokes);
    this.frame = prepared && { ...prepared, map: 0, row: prepared.top, column: prepared.left };
    this.take(prepared?.image ?? null, "");
  }

  /** A test image has been chosen: it is prepared already. */
  choose(image, label) {
    this.pad.show([]);
    this.frame = null;
    this.take(image, `A test image of the digit ${label}, as MNIST has it.`);
  }

  take(image, words) {
    this.base = image;
    this.words = words;
    this.moved();
  }

  moved() {
    this.fooler.begin(this.base && this.mover.apply(this.base));
  }

  /** Update once before the next frame, however often something changes until then. */
  plan() {
    if (this.planned) return;
    this.planned = requestAnimationFrame(() => this.update());
  }

  select(place) {
    this.selected = place;
    this.plan();
  }

  /** Run all networks and show everything. */
  update() {
    this.planned = null;
    const { networks, base } = this;
    const run = (image) => image && networks.map((network) => forward(network, image));
    const { original, edited } = this.fooler;
    const passes = run(edited);
    const untouched = this.fooler.count() ? run(original) : passes;
    this.passes = passes;
    this.showSeen(edited);
    this.panels.forEach((panel) => {
      const n = networks.indexOf(panel.network);
      if (n >= 0) panel.show(passes?.[n] ?? null, this.selected);
    });
    const chosen = networks.indexOf(this.selected?.network);
    this.inspector.show(passes?.[chosen] ?? null, this.selected);
    this.mover.show(networks, base === original ? untouched : run(base), untouched);
    this.fooler.show(networks, untouched, passes);
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.rest(), 300);
  }

  /** Do what can wait until nothing has changed for a moment. */
  rest() {
    if (this.pad.isDrawing) return;
    if (!this.passes) {
      this.status.textContent = "Nothing is drawn, so nothing is predicted.";
      this.mover.charts.replaceChildren();
      return;
    }
    const answers = this.networks.map(({ title }, n) => {
      return `${title}: ${answerOf(this.passes[n])}`;
    });
    this.status.textContent = answers.join("; ");
    this.mover.sweep(this.networks, this.base);
  }

  showSeen(image) {
    const isInPlace = this.base === this.fooler.original;
    const isDrawn = isInPlace && this.frame;
    const marks = isDrawn ? [this.frame] : [];
    paint(this.seen, tensor([1, SIDE, SIDE], image ?? undefined), { limit: 1, marks });
    this.seen.ariaLabel = "what the networks see";
    if (!image) {
      this.seenWords.textContent = "Nothing is drawn, so nothing is predicted.";
    } else if (isDrawn) {
      const { width, height, centre } = this.frame;
      const place = centre.map((value) => value.toFixed(1)).join(", ");
      this.seenWords.textContent =
        `What the networks see: your drawing, its strokes as thick as those of MNIST, scaled to ` +
        `${width} × ${height} pixels, with its centre of mass at (${place}).`;
    } else {
      this.seenWords.textContent = isInPlace
        ? this.words
        : "The digit as the sliders below move it.";
    }
  }
}

new Page().load();
