/** The layers by hand on small numbers; tests/test_draw.py holds them to the notebooks' own. */

import assert from "node:assert/strict";
import { test } from "node:test";
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
} from "../../book/_draw/layers.js";

const of = (shape, ...numbers) => tensor(shape, Float32Array.from(numbers));
const numbers = (x) => Array.from(x.data);

test("numbers must fill their shape", () => {
  assert.deepEqual(numbers(tensor([1, 2, 2])), [0, 0, 0, 0]);
  assert.throws(() => of([2, 2], 1, 2, 3), /3 numbers do not fill the shape 2 × 2/);
});

test("padding frames each map", () => {
  const x = of([2, 1, 2], 1, 2, 3, 4);
  assert.equal(pad(x, 0), x);
  assert.deepEqual(numbers(pad(x, 1, 9)).slice(0, 12), [9, 9, 9, 9, 9, 1, 2, 9, 9, 9, 9, 9]);
  assert.deepEqual(pad(x, 1).shape, [2, 3, 4]);
});

test("a kernel is not flipped, and sums over the channels", () => {
  const x = of([2, 2, 3], 1, 2, 3, 4, 5, 6, 0, 0, 1, 0, 0, 0);
  const weight = of([1, 2, 2, 2], 1, 0, 0, -1, 0, 10, 0, 0);
  const result = convolution(x, weight, of([1], 0.5));
  assert.deepEqual(result.shape, [1, 1, 2]);
  assert.deepEqual(numbers(result), [1 - 5 + 0.5, 2 - 6 + 10 + 0.5]);
});

test("padding keeps the size", () => {
  const weight = of([1, 1, 3, 3], 0, 0, 0, 0, 0, 1, 0, 0, 0);
  const result = convolution(of([1, 2, 2], 1, 2, 3, 4), weight, of([1], 0), 1);
  assert.deepEqual(numbers(result), [2, 0, 4, 0]);
});

test("a linear layer is a convolution with kernels as large as the maps", () => {
  const weight = of([2, 2, 1, 2], 1, 2, 3, 4, 0, 0, 0, 1);
  const result = convolution(of([2, 1, 2], 1, 1, 2, 2), weight, of([2], 0, 10));
  assert.deepEqual(result.shape, [2, 1, 1]);
  assert.deepEqual(numbers(result), [1 + 2 + 6 + 8, 2 + 10]);
});

test("kernels for another number of maps are refused", () => {
  const [x, bias] = [of([2, 1, 1], 1, 2), of([1], 0)];
  assert.throws(() => convolution(x, of([1, 1, 1, 1], 1), bias), /2 maps for kernels of 1 chan/);
});

test("pooling by windows of 2 × 2, an odd row or column left out", () => {
  const x = of([1, 3, 4], 1, 2, 3, 4, 5, 6, 7, -8, 9, 9, 9, 9);
  assert.deepEqual(numbers(maxPooling(x)), [6, 7]);
  assert.deepEqual(numbers(averagePooling(x)), [3.5, 1.5]);
  assert.deepEqual(maxPooling(x).shape, [1, 1, 2]);
  const two = of([2, 2, 2], 1, 2, 3, 4, 5, 6, 7, 8);
  assert.deepEqual(numbers(subsampling(two, of([2], 2, -1), of([2], 0.5, 1))), [20.5, -25]);
});

test("activations", () => {
  const x = of([3, 1, 1], -1, 0, 1);
  assert.equal(activate(x, "none"), x);
  assert.deepEqual(numbers(activate(x, "ReLU")), [0, 0, 1]);
  const [low, , high] = numbers(activate(x, "scaled tanh"));
  assert.ok(Math.abs(high - 1) < 1e-4 && low === -high);
});

test("squared distances, and probabilities that do not overflow", () => {
  const distances = squaredDistances(of([2, 1, 1], 1, 2), of([3, 2], 1, 2, 0, 0, -1, 2));
  assert.deepEqual(numbers(distances), [0, 5, 4]);
  assert.deepEqual(softmax([1000, 1000]), [0.5, 0.5]);
  assert.equal(softmax([-1e4, 0])[0], 0);
});
