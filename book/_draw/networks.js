/**
 * The book's networks: how each is put together from the arrays that its published run exported.
 *
 * A stage is a layer as the page shows it: what it sums up, and the activation that follows.
 * `kind` is "convolution" (with `weight` `[kernels, channels, rows, columns]`, `bias` and
 * `padding`), "maximum", "average", "subsampling" (with `coefficient` and `bias`) or "distances"
 * (with `codes`). `columns` is how its maps lie, where that matters.
 */

import {
  activate,
  averagePooling,
  convolution,
  maxPooling,
  pad,
  softmax,
  squaredDistances,
  subsampling,
  tensor,
} from "./layers.js";

/** The loss of 1998 has a constant for "none of the ten": the distance of a code for rubbish. */
const RUBBISH = 10;

/** Every network of the page: its file, its names, its chapter, and how it is built. */
export const NETWORKS = [
  {
    file: "custom_lenet5-LeNet5",
    title: "LeNet-5 of 1998",
    note: "trainable subsampling, scaled tanh, ten drawn codes",
    chapter: "notebooks/custom_lenet5.html",
    build: lenet1998,
  },
  {
    file: "numpy_lenet-LeNet",
    title: "LeNet in NumPy",
    note: "max pooling, and no activation before the hidden layer",
    chapter: "notebooks/numpy_lenet.html",
    build: numpyLenet,
  },
  {
    file: "hw7-M_avg",
    title: "LeNet-5, average pooling",
    note: "M_avg of the pooling study: ReLU, mean of each window",
    chapter: "notebooks/hw7.html",
    build: (arrays) => pooled(arrays, "average"),
  },
  {
    file: "hw7-M_max",
    title: "LeNet-5, max pooling",
    note: "M_max of the pooling study: the same with the maximum",
    chapter: "notebooks/hw7.html",
    build: (arrays) => pooled(arrays, "maximum"),
  },
];

/**
 * Return what each stage makes of an image, and the probabilities.
 *
 * `image` holds 28 × 28 numbers from 0 (paper) to 1 (ink). `states` has, for each stage, `sums`
 * and `output`. `probabilities` are those of the ten digits; for the network of 1998 an eleventh
 * follows, that of "none of these". `amongDigits` are the ten probabilities if it must be a digit,
 * by which the networks can be compared.
 */
export function forward(network, image) {
  const input = network.prepare(tensor([1, 28, 28], image));
  const states = [];
  for (const stage of network.stages) states.push(pass(stage, states.at(-1)?.output ?? input));
  const last = states.at(-1).output.data;
  const isDistance = network.stages.at(-1).kind === "distances";
  const scores = isDistance ? last.map((distance) => -distance) : last;
  const amongDigits = softmax(scores);
  const probabilities = isDistance ? softmax([...scores, -RUBBISH]) : amongDigits;
  return { input, states, probabilities, amongDigits };
}

/** Return the digit that a forward pass finds most probable. */
export function answerOf({ amongDigits }) {
  return amongDigits.indexOf(Math.max(...amongDigits));
}

/** Return what a stage makes of its input: `sums`, and `output` after the activation. */
export function pass(stage, x) {
  const sums = apply(stage, x);
  return { sums, output: activate(sums, stage.activation) };
}

function apply(stage, x) {
  switch (stage.kind) {
    case "convolution":
      return convolution(x, stage.weight, stage.bias, stage.padding);
    case "maximum":
      return maxPooling(x);
    case "average":
      return averagePooling(x);
    case "subsampling":
      return subsampling(x, stage.coefficient, stage.bias);
    default:
      return squaredDistances(x, stage.codes);
  }
}

/** Return an array in another shape; an array that is missing or too small is an Error. */
function shaped(arrays, name, shape) {
  if (!arrays[name]) throw new Error(`the array ${name} is missing`);
  return tensor(shape, arrays[name].data);
}

/** Return a stage of kernels; the shape of its weights is `[kernels, ...window]`. */
function kernels(arrays, prefix, title, count, window, options = {}) {
  return {
    title,
    kind: "convolution",
    padding: 0,
    activation: "none",
    weight: shaped(arrays, options.weight ?? `${prefix}.weight`, [count, ...window]),
    bias: shaped(arrays, options.bias ?? `${prefix}.bias`, [count]),
    ...options.stage,
  };
}

/** LeNet-5 as in the paper; its input has 32 × 32 pixels, from -0.1 (paper) to 1.175 (ink). */
function lenet1998(arrays) {
  const tanh = { activation: "scaled tanh" };
  const halve = (name, channels) => ({
    title: name,
    kind: "subsampling",
    coefficient: shaped(arrays, `${name}.coefficient`, [channels]),
    bias: shaped(arrays, `${name}.bias`, [channels]),
    ...tanh,
  });
  const third = { "C3.weight": partlyConnected(arrays), "C3.bias": arrays["C3.bias"] };
  return {
    prepare: (x) =>
      pad(
        tensor(
          x.shape,
          x.data.map((ink) => 1.275 * ink - 0.1),
        ),
        2,
        -0.1,
      ),
    stages: [
      kernels(arrays, "C1", "C1", 6, [1, 5, 5], { stage: tanh }),
      halve("S2", 6),
      kernels(third, "C3", "C3", 16, [6, 5, 5], { stage: tanh }),
      halve("S4", 16),
      kernels(arrays, "C5", "C5", 120, [16, 5, 5], { stage: tanh }),
      kernels(arrays, "F6", "F6", 84, [120, 1, 1], { stage: { ...tanh, columns: 7 } }),
      {
        title: "distances",
        kind: "distances",
        codes: shaped(arrays, "codes", [10, 84]),
        activation: "none",
      },
    ],
  };
}

/** Return C3's kernels `[16, 6, 5, 5]`, with zeros where two maps are not connected (Table I). */
function partlyConnected(arrays) {
  const connected = shaped(arrays, "connected", [16, 6]).data;
  const given = shaped(arrays, "C3.weight", [60, 5, 5]).data;
  const weight = tensor([16, 6, 5, 5]);
  let next = 0;
  connected.forEach((is, place) => {
    if (is) weight.data.set(given.subarray(25 * next, 25 * ++next), 25 * place);
  });
  return weight;
}

/** The NumPy LeNet; its arrays are called after the numbers of its layers. */
function numpyLenet(arrays) {
  const layer = (number, title, count, window, stage = {}) =>
    kernels(arrays, number, title, count, window, {
      weight: `${number}.w`,
      bias: `${number}.b`,
      stage,
    });
  return {
    prepare: (x) => x,
    stages: [
      layer(2, "convolution 1", 20, [1, 5, 5]),
      { title: "pooling 1", kind: "maximum", activation: "none" },
      layer(4, "convolution 2", 50, [20, 5, 5]),
      { title: "pooling 2", kind: "maximum", activation: "none" },
      layer(6, "hidden layer", 500, [50, 4, 4], { activation: "ReLU" }),
      layer(8, "scores", 10, [500, 1, 1]),
    ],
  };
}

/** M_avg or M_max of the pooling study; `kind` is how it pools. */
function pooled(arrays, kind) {
  const relu = { activation: "ReLU" };
  const layer = (number, title, count, window, stage) =>
    kernels(arrays, `network.${number}`, title, count, window, { stage });
  return {
    prepare: (x) => x,
    stages: [
      layer(1, "convolution 1", 6, [1, 5, 5], { ...relu, padding: 2 }),
      { title: "pooling 1", kind, activation: "none" },
      layer(4, "convolution 2", 16, [6, 5, 5], relu),
      { title: "pooling 2", kind, activation: "none" },
      layer(8, "linear 1", 120, [16, 5, 5], relu),
      layer(10, "linear 2", 84, [120, 1, 1], relu),
      layer(12, "scores", 10, [84, 1, 1]),
    ],
  };
}
