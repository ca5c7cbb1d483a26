/** The two experiments: move the digit, and fool the networks by changing single pixels. */

import { button, element, percent, pixelKeys } from "./elements.js";
import { tensor } from "./layers.js";
import { paint, pixelAt } from "./maps.js";
import { changeOf, move } from "./moves.js";
import { answerOf, forward } from "./networks.js";
import { SIDE } from "./prepare.js";

const SHAPE = [1, SIDE, SIDE];
const LAYERS = ["maps 1", "pooled 1", "maps 2", "pooled 2"]; // of each network
const STILL = { right: 0, down: 0, degrees: 0 };
const SLIDERS = {
  right: { label: "to the right (pixels)", most: 8 },
  down: { label: "down (pixels)", most: 8 },
  degrees: { label: "clockwise (degrees)", most: 60 },
};

/** Return a table with a caption and a head; `rows` are lists of texts. */
function table(caption, head, rows) {
  const cells = (texts, name) => texts.map((text) => element(name, {}, text));
  const line = ([first, ...rest]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...cells(rest, "td"));
  return element(
    "table",
    { className: "draw-table" },
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...cells(head, "th"))),
    element("tbody", {}, ...rows.map(line)),
  );
}

/** Return a box whose contents scroll by themselves where they are too wide, by keyboard too. */
function scroller() {
  return element("div", {
    className: "draw-wide",
    tabIndex: 0,
    role: "group",
    ariaLabel: "Answers",
  });
}

/** Shift and rotate: what becomes of the answers, and of the maps of each layer. */
export class Mover {
  /** `changed()` is called when the digit has been moved. */
  constructor(changed) {
    this.changed = changed;
    this.values = { ...STILL };
    this.result = scroller();
    this.charts = element("div", { className: "draw-charts" });
    this.inputs = {};
    const fields = Object.entries(SLIDERS).map(([name, { label, most }]) => {
      const shown = element("b", {}, "0");
      const input = element("input", { type: "range", min: -most, max: most, value: 0 });
      input.addEventListener("input", () => {
        this.values[name] = Number(input.value);
        shown.textContent = input.value.replace("-", "\u2212");
        this.changed();
      });
      this.inputs[name] = { input, shown };
      return element("label", {}, element("span", {}, label, ": ", shown), input);
    });
    const back = button("Move it back", () => this.reset());
    this.element = element(
      "div",
      {},
      element("div", { className: "draw-fields" }, ...fields, back),
    );
    this.element.append(this.result, this.charts);
  }

  reset() {
    Object.assign(this.values, STILL);
    for (const { input, shown } of Object.values(this.inputs)) {
      input.value = 0;
      shown.textContent = "0";
    }
    this.changed();
  }

  /** Return `image` moved as the sliders say. */
  apply(image) {
    const { right, down, degrees } = this.values;
    return right || down || degrees ? move(image, right, down, degrees) : image;
  }

  /** Tell what has changed between the passes of the digit in its place and of the moved one. */
  show(networks, before, after) {
    if (!before) {
      this.result.replaceChildren("Draw a digit, or choose one, and then move it.");
      return;
    }
    const rows = networks.map((network, n) => {
      const answer = answerOf(before[n]);
      const now = answerOf(after[n]);
      const sure = percent(after[n].amongDigits[answer]);
      const changes = LAYERS.map((_, i) => {
        const [was, is] = [before, after].map((passes) => passes[n].states[i].output);
        return percent(changeOf(was, is));
      });
      return [network.title, `${answer}`, `${now}`, sure, ...changes];
    });
    const head = ["network", "in its place", "moved", "still sure", ...LAYERS];
    this.result.replaceChildren(
      table("Answers to the moved digit, and the change of the maps", head, rows),
    );
  }

  /** Draw how sure each network stays of its answer, for each shift and each angle. */
  sweep(networks, image) {
    const shifts = Array.from({ length: 17 }, (_, i) => i - 8);
    const angles = Array.from({ length: 17 }, (_, i) => 7.5 * (i - 8));
    const curves = (values, moved) =>
      networks.map((network) => {
        const answer = answerOf(forward(network, image));
        return values.map((value) => forward(network, moved(value)).amongDigits[answer]);
      });
    this.charts.replaceChildren(
      chart(
        "shift to the right (pixels)",
        shifts,
        networks,
        curves(shifts, (n) => move(image, n, 0, 0)),
      ),
      chart(
        "rotation (degrees)",
        angles,
        networks,
        curves(angles, (n) => move(image, 0, 0, n)),
      ),
    );
  }
}

const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
const COLOURS = ["#0072b2", "#d55e00", "#007a5a", "#b03a86"]; // apart for colour-blind readers

/** Return a figure of curves of probabilities over `values`. */
function chart(label, values, networks, curves) {
  const [width, height, left, bottom] = [320, 190, 40, 38];
  const [first, last] = [values[0], values.at(-1)];
  const x = (value) => left + ((value - first) / (last - first)) * (width - left - 10);
  const y = (share) => 10 + (1 - share) * (height - bottom - 10);
  const svg = (name, attributes, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(text);
    return made;
  };
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  picture.setAttribute("aria-label", `Probability of the first answer over the ${label}`);
  for (const share of [0, 0.5, 1]) {
    picture.append(
      svg("line", { x1: left, x2: width - 10, y1: y(share), y2: y(share), stroke: "#d0d0d0" }),
      svg("text", { x: left - 4, y: y(share) + 4, "text-anchor": "end" }, percent(share)),
    );
  }
  for (const value of [first, first / 2, 0, last / 2, last]) {
    const text = `${value}`.replace("-", "\u2212");
    picture.append(svg("text", { x: x(value), y: height - 22, "text-anchor": "middle" }, text));
  }
  const middle = (left + width - 10) / 2;
  picture.append(svg("text", { x: middle, y: height - 5, "text-anchor": "middle" }, label));
  curves.forEach((curve, n) => {
    const points = curve.map((share, i) => `${x(values[i])},${y(share)}`).join(" ");
    const look = { stroke: COLOURS[n], "stroke-width": 2, "stroke-dasharray": DASHES[n] };
    picture.append(svg("polyline", { points, fill: "none", ...look }));
  });
  const legend = networks.map((network, n) => {
    const line = svg("svg", { viewBox: "0 0 30 8", width: 30, height: 8, "aria-hidden": "true" });
    const look = { stroke: COLOURS[n], "stroke-width": 2, "stroke-dasharray": DASHES[n] };
    line.append(svg("line", { x1: 0, x2: 30, y1: 4, y2: 4, ...look }));
    return element("li", {}, line, " ", network.title);
  });
  const words = `How sure of its first answer each network stays: ${label}`;
  return element(
    "figure",
    {},
    picture,
    element("ul", { className: "draw-legend" }, ...legend),
    element("figcaption", {}, words),
  );
}

/** Fool it: the fewest pixels that a reader turns over until a network changes its answer. */
export class Fooler {
  /** `changed()` is called when a pixel has been turned over. */
  constructor(changed) {
    this.changed = changed;
    this.fewest = new Map();
    this.cursor = null;
    this.original = this.edited = null;
    this.canvas = element("canvas", { className: "draw-maps draw-grid" });
    const control = element("button", { type: "button", className: "draw-stage" }, this.canvas);
    control.ariaLabel = "The digit's 28 × 28 pixels: the arrow keys move, Enter turns a pixel over";
    pixelKeys(control, {
      shape: () => this.edited && SHAPE,
      at: () => this.cursor,
      choose: (pixel, how) => this.choose(pixel, how),
      find: (x, y) => pixelAt(SHAPE, x, y),
    });
    this.words = element("p", { role: "status" });
    this.result = scroller();
    const back = button("Turn all pixels back", () => this.take(this.original));
    this.element = element(
      "div",
      { className: "draw-fool" },
      element("div", {}, control, back),
      element("div", {}, this.words, this.result),
    );
  }

  /** Begin anew with an image; null for none. */
  begin(image) {
    this.fewest.clear();
    this.cursor = null;
    this.take(image);
  }

  take(image) {
    this.original = image;
    this.edited = image?.slice();
    this.changed();
  }

  choose({ row, column }, how) {
    this.cursor = { map: 0, row, column };
    if (how !== "move") {
      const i = row * SIDE + column;
      const was = this.original[i];
      this.edited[i] = this.edited[i] === was ? turned(was) : was;
    }
    this.changed();
  }

  /** Return how many pixels have been turned over. */
  count() {
    return this.edited ? this.edited.filter((value, i) => value !== this.original[i]).length : 0;
  }

  /** Show the passes of the original and of the edited image; null for none. */
  show(networks, before, after) {
    const blank = tensor(SHAPE);
    const marks = this.cursor ? [{ ...this.cursor, height: 1, width: 1 }] : [];
    paint(this.canvas, this.edited ? tensor(SHAPE, this.edited) : blank, { limit: 1, marks });
    if (!before) {
      this.words.textContent = "Draw a digit, or choose one, and then turn its pixels over.";
      this.result.replaceChildren();
      return;
    }
    const count = this.count();
    const rows = networks.map((network, n) => {
      const [answer, now] = [before[n], after[n]].map(answerOf);
      const known = this.fewest.get(network) ?? Number.POSITIVE_INFINITY;
      if (now !== answer) this.fewest.set(network, Math.min(known, count));
      const sure = percent(after[n].amongDigits[answer]);
      return [network.title, `${answer}`, `${now}`, sure, `${this.fewest.get(network) ?? "–"}`];
    });
    const fooled = rows.filter(([, answer, now]) => answer !== now).map(([title]) => title);
    this.words.textContent =
      `Pixels turned over: ${count}. ` +
      (fooled.length ? `Fooled: ${fooled.join("; ")}.` : "No network is fooled.");
    const head = ["network", "answer", "now", "still sure", "fewest pixels so far"];
    this.result.replaceChildren(table("What the changed pixels do", head, rows));
  }
}

/** Return ink for paper and paper for ink. */
function turned(value) {
  return value < 0.5 ? 1 : 0;
}
