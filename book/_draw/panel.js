/** One network's column: its answer, its probabilities, and the maps of each of its layers. */

import { element, percent, pixelKeys } from "./elements.js";
import { tensor } from "./layers.js";
import { paint, pixelAt } from "./maps.js";
import { answerOf } from "./networks.js";

const NONE = "none of these";

export class Panel {
  /** `select(place)` is called when the reader chooses a pixel, `{ network, stage, pixel }`. */
  constructor(network, select) {
    this.network = network;
    this.select = select;
    this.answer = element("p", { className: "draw-answer" }, "–");
    this.bars = element("ol", { className: "draw-bars" });
    this.stages = [];
    this.element = element(
      "section",
      { className: "draw-network", ariaLabel: network.title },
      element("h3", {}, element("a", { href: network.chapter }, network.title)),
      element("p", { className: "draw-note" }, network.note),
    );
  }

  /** Show the sentence that takes the place of a network that is not there. */
  miss(error) {
    const sentence = `${this.network.title} cannot be shown: ${error.message}.`;
    this.element.append(element("p", { className: "draw-missing" }, sentence));
  }

  /** Make the parts that show a network, once its weights are there. */
  build(header) {
    const { stages } = this.network;
    const isRadial = stages.at(-1).kind === "distances";
    const labels = [..."0123456789", ...(isRadial ? [NONE] : [])];
    for (const label of labels) {
      const [bar, share] = [element("span", { className: "draw-bar" }), element("span")];
      this.bars.append(element("li", {}, element("b", {}, label), bar, share));
    }
    this.element.append(this.answer, this.bars);
    stages.forEach((stage, index) => {
      const isCodes = stage.kind === "distances";
      this.stages.push(isCodes ? this.codes(stage) : this.maps(stage, index));
    });
    const sha256 = header.sha256.slice(0, 12);
    const origin = `Weights of ${header.date}, SHA-256 ${sha256}…`;
    this.element.append(element("p", { className: "draw-note" }, origin));
  }

  /** Return what draws the maps of a stage. */
  maps(stage, index) {
    const canvas = element("canvas", { className: "draw-maps" });
    const size = element("span");
    const control = element("button", { type: "button", className: "draw-stage" }, canvas);
    let state = null;
    let chosen = null;
    pixelKeys(control, {
      shape: () => state?.output.shape,
      at: () => chosen,
      choose: (pixel) => this.select({ network: this.network, stage: index, pixel }),
      find: (x, y) => pixelAt(state.output.shape, x, y, stage.columns),
    });
    this.element.append(
      element(
        "div",
        {},
        element("p", { className: "draw-title" }, stage.title, ": ", size),
        control,
      ),
    );
    return (next, marks, pixel) => {
      [state, chosen] = [next, pixel];
      control.disabled = !state;
      const shape = state?.output.shape;
      const words = !shape ? "" : shape[1] > 1 ? shape.join(" × ") : `${shape[0]} units`;
      size.textContent = words;
      control.ariaLabel = `${stage.title}, ${words}: the arrow keys choose a pixel to look into`;
      const blank = { limit: 1, columns: stage.columns };
      if (state) paint(canvas, state.output, { marks, columns: stage.columns });
      else paint(canvas, tensor([1, 1, 1]), blank);
    };
  }

  /** Return what draws the ten codes and their distances. */
  codes(stage) {
    const list = element("ol", { className: "draw-codes" });
    const cells = Array.from({ length: 10 }, (_, digit) => {
      const [canvas, distance] = [element("canvas", { role: "img" }), element("span")];
      canvas.ariaLabel = `the code of ${digit}`;
      const code = tensor([1, 12, 7], stage.codes.data.subarray(84 * digit, 84 * digit + 84));
      paint(canvas, code);
      const cell = element("li", {}, canvas, distance);
      list.append(cell);
      return { cell, distance };
    });
    const title = "the ten codes, and the squared distance of F6 to each";
    this.element.append(element("p", { className: "draw-title" }, title), list);
    return (state) => {
      const distances = state?.output.data;
      const nearest = distances?.indexOf(Math.min(...distances));
      cells.forEach(({ cell, distance }, digit) => {
        distance.textContent = distances ? distances[digit].toFixed(1) : "–";
        cell.classList.toggle("draw-nearest", digit === nearest);
      });
    };
  }

  /** Show a forward pass, or nothing if `pass` is null; `selected` is the pixel looked into. */
  show(pass, selected) {
    const probabilities = pass?.probabilities;
    const answer = pass && answerOf(pass);
    this.answer.textContent = pass ? `${answer}` : "–";
    // Nearest of the ten, but none of them by the network's own measure.
    this.answer.classList.toggle("draw-doubtful", probabilities?.[10] > probabilities?.[answer]);
    [...this.bars.children].forEach((row, i) => {
      const [, bar, share] = row.children;
      bar.style.setProperty("--share", probabilities?.[i] ?? 0);
      share.textContent = probabilities ? percent(probabilities[i]) : "";
      row.classList.toggle("draw-nearest", i === answer);
    });
    this.stages.forEach((draw, index) => {
      const isHere = selected?.network === this.network;
      const pixel = isHere && selected.stage === index ? selected.pixel : null;
      const marks = isHere && pass ? marksOn(this.network, selected, index) : [];
      draw(pass?.states[index], marks, pixel);
    });
  }
}

/** Return the outlines on a stage's maps: the chosen pixel, or the window that it is made from. */
function marksOn(network, { stage, pixel }, index) {
  if (index === stage) return [{ ...pixel, height: 1, width: 1 }];
  if (index !== stage - 1) return [];
  const { kind, weight } = network.stages[stage];
  const window = windowOf(network.stages[stage], pixel);
  if (kind !== "convolution") return [window];
  const [, channels, rows, columns] = weight.shape;
  const size = rows * columns;
  const isSeen = (map) => {
    const start = (pixel.map * channels + map) * size;
    return weight.data.subarray(start, start + size).some((value) => value !== 0);
  };
  const windows = Array.from({ length: channels }, (_, map) => ({ ...window, map }));
  return windows.filter(({ map }) => isSeen(map));
}

/** Return the window of the maps below that a pixel of `stage` is made from, and its `map`. */
export function windowOf(stage, { map, row, column }) {
  if (stage.kind !== "convolution") {
    return { map, row: 2 * row, column: 2 * column, height: 2, width: 2 };
  }
  const [, , height, width] = stage.weight.shape;
  return { row: row - stage.padding, column: column - stage.padding, height, width };
}
