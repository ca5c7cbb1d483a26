/** What made one pixel: the window it saw, its kernel, and the sum of their products. */

import { button, decimal, element } from "./elements.js";
import { pad, tensor } from "./layers.js";
import { paint } from "./maps.js";
import { windowOf } from "./panel.js";

/**
 * Return the window that made a pixel, and what was done with it.
 *
 * `pass` is a forward pass of `network`. For a convolution there are `window`, `kernel` and
 * `products` `[channels, rows, columns]`, `bias`, `sum` and `value`; else no kernel.
 */
export function lookInto(network, pass, { stage: index, pixel }) {
  const stage = network.stages[index];
  const below = index ? pass.states[index - 1].output : pass.input;
  const isConvolution = stage.kind === "convolution";
  const input = isConvolution ? pad(below, stage.padding) : below;
  const { map, row, column, height, width } = windowOf({ ...stage, padding: 0 }, pixel);
  const maps = isConvolution ? Array.from({ length: below.shape[0] }, (_, i) => i) : [map];
  const window = tensor([maps.length, height, width]);
  window.data.forEach((_, i) => {
    const [y, x] = [row + (Math.floor(i / width) % height), column + (i % width)];
    const from = maps[Math.floor(i / (height * width))] * input.shape[1] + y;
    window.data[i] = input.data[from * input.shape[2] + x];
  });
  const [, rows, columns] = pass.states[index].output.shape;
  const place = (pixel.map * rows + pixel.row) * columns + pixel.column;
  const { sums, output } = pass.states[index];
  const seen = { stage, window, sum: sums.data[place], value: output.data[place] };
  if (!isConvolution) return seen;
  const count = window.data.length;
  const weights = stage.weight.data.subarray(pixel.map * count, (pixel.map + 1) * count);
  const products = window.data.map((value, i) => value * weights[i]);
  return {
    ...seen,
    kernel: tensor(window.shape, weights),
    products: tensor(window.shape, products),
    bias: stage.bias.data[pixel.map],
  };
}

/** Return the sentence that says how a pixel's value came about. */
export function account({ stage, window, products, bias, sum, value }, map) {
  const activated =
    stage.activation === "none" ? "" : `; after ${stage.activation} ${decimal(value)}`;
  if (products) {
    const total = products.data.reduce((all, product) => all + product, 0);
    return `The products add up to ${decimal(total)}; with the bias ${decimal(bias)}, ${decimal(sum)}${activated}.`;
  }
  const pixels = [...window.data].map(decimal).join(", ");
  if (stage.kind === "subsampling") {
    const [factor, added] = [stage.coefficient.data[map], stage.bias.data[map]].map(decimal);
    return `The sum of ${pixels} times the coefficient ${factor}, plus the bias ${added}, is ${decimal(sum)}${activated}.`;
  }
  return `The ${stage.kind} of ${pixels} is ${decimal(value)}.`;
}

export class Inspector {
  /** `close()` is called when the reader has seen enough. */
  constructor(close) {
    this.title = element("h3");
    this.close = button("Close", close);
    this.parts = element("div", { className: "draw-parts" });
    this.words = element("p");
    this.element = element("section", { className: "draw-inspector", ariaLabel: "One pixel" });
    const head = element("div", { className: "draw-head" }, this.title, this.close);
    this.element.append(head, this.parts, this.words);
    this.show(null, null);
  }

  /** Show what made the selected pixel in a forward pass; either may be null. */
  show(pass, selected) {
    if (!pass || !selected) {
      this.title.textContent = "One pixel";
      this.close.hidden = true;
      this.parts.replaceChildren();
      this.words.textContent = "Choose a pixel of any map to see its kernel and its window.";
      return;
    }
    this.close.hidden = false;
    const { network, stage, pixel } = selected;
    const found = lookInto(network, pass, selected);
    const isUnit = pass.states[stage].output.shape[1] === 1;
    const where = isUnit
      ? `unit ${pixel.map}`
      : `map ${pixel.map}, row ${pixel.row}, column ${pixel.column}`;
    this.title.textContent = `${network.title}, ${network.stages[stage].title}: ${where}`;
    const pictures = { window: "the window", kernel: "the kernel", products: "their products" };
    this.parts.replaceChildren(
      ...Object.entries(pictures)
        .filter(([name]) => found[name])
        .map(([name, words]) => {
          const canvas = element("canvas", {
            className: "draw-maps",
            role: "img",
            ariaLabel: words,
          });
          paint(canvas, found[name]);
          return element("figure", {}, canvas, element("figcaption", {}, words));
        }),
    );
    this.words.textContent = account(found, pixel.map);
  }
}
