/** From strokes to what a network sees, and the moves of the first experiment. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { tensor } from "../../book/_draw/layers.js";
import { changeOf, move } from "../../book/_draw/moves.js";
import { prepare, SIDE } from "../../book/_draw/prepare.js";
import { DIGITS, PEN, rasterize, resized } from "../../book/_draw/strokes.js";

const rows = (image) =>
  Array.from({ length: SIDE }, (_, row) => image.slice(row * SIDE, (row + 1) * SIDE));
const sum = (pixels) => pixels.reduce((total, value) => total + value, 0);

test("no ink gives no image", () => {
  assert.equal(prepare(new Float32Array(100), 10), null);
  assert.equal(prepare(rasterize([], 50), 50), null);
});

test("a point is a round blot of the pen's size", () => {
  const ink = rasterize([[[0.5, 0.5]]], 100);
  assert.ok(Math.abs(sum(ink) - Math.PI * (100 * PEN) ** 2) < 2);
  assert.equal(ink[50 * 100 + 50], 1);
  assert.equal(ink[0], 0);
});

test("ink stays on the pad", () => {
  const line = [
    [-0.2, 0.5],
    [1.2, 0.5],
  ];
  const ink = rasterize([line], 50);
  assert.equal(ink.length, 2500);
  assert.deepEqual([ink[25 * 50], ink[25 * 50 + 49], ink[10 * 50 + 49]], [1, 1, 0]);
});

test("a drawing fills 20 pixels, keeps its form, and is in the middle", () => {
  const ink = new Float32Array(80 * 80);
  for (let row = 5; row < 45; row++) ink.fill(1, row * 80 + 60, row * 80 + 70); // 40 high, 10 wide
  const { image, left, top, width, height, centre } = prepare(ink, 80);
  assert.deepEqual([width, height, left, top], [5, 20, 12, 4]);
  assert.deepEqual(centre, [14.5, 14]);
  rows(image).forEach((row, y) => {
    assert.equal(sum(row), y >= 4 && y < 24 ? 5 : 0);
  });
});

test("the same drawing, elsewhere and smaller, is the same image", () => {
  const seen = (strokes) => prepare(rasterize(resized(strokes), 140), 140).image;
  for (const strokes of DIGITS) {
    const small = strokes.map((stroke) => stroke.map(([x, y]) => [x / 4 + 0.7, y / 4 + 0.1]));
    const [a, b] = [seen(strokes), seen(small)];
    const difference = Math.max(...a.map((value, i) => Math.abs(value - b[i])));
    assert.ok(difference < 1e-3, `${difference}`);
  }
});

test("a dot stays one, and nothing stays nothing", () => {
  const dot = [
    [0.9, 0.1],
    [0.91, 0.1],
  ];
  const [[[left], [right, y]]] = resized([dot]);
  assert.ok(Math.abs(left - 0.48) + Math.abs(right - 0.52) + Math.abs(y - 0.5) < 1e-9);
  assert.deepEqual(resized([[[0.9, 0.1]]]), [[[0.5, 0.5]]]);
  assert.deepEqual(resized([]), []);
});

test("the centre of mass, not of the box, is where MNIST has it", () => {
  for (const strokes of DIGITS) {
    const { image } = prepare(rasterize(strokes, 140), 140);
    const mass = sum(image);
    const x = sum(image.map((value, i) => value * ((i % SIDE) + 0.5))) / mass;
    const y = sum(image.map((value, i) => value * (Math.floor(i / SIDE) + 0.5))) / mass;
    assert.ok(Math.min(x, y) > 13.999 && Math.max(x, y) < 15.001, `${x}, ${y}`);
    assert.ok(Math.max(...image) > 0.95 && Math.min(...image) === 0);
  }
});

test("a heavy corner does not push the drawing over the edge", () => {
  const ink = new Float32Array(40 * 40);
  for (let row = 0; row < 10; row++) ink.fill(1, row * 40, row * 40 + 10);
  ink[39 * 40 + 39] = 1;
  const { left, top, image } = prepare(ink, 40);
  assert.deepEqual([left, top], [8, 8]);
  assert.ok(Math.abs(sum(image) - 101 / 4) < 1e-4);
});

test("a move of whole pixels moves whole pixels, and a turn of 90 degrees turns", () => {
  const image = new Float32Array(SIDE * SIDE);
  image[3 * SIDE + 10] = 1;
  assert.equal(move(image, 2, 5, 0)[8 * SIDE + 12], 1);
  assert.equal(sum(move(image, 2, 5, 0)), 1);
  assert.ok(Math.abs(move(image, 0, 0, 90)[10 * SIDE + 24] - 1) < 1e-6); // up becomes right
  assert.equal(sum(move(image, 20, 0, 0)), 0);
  assert.deepEqual(move(image, 0, 0, 0), image);
});

test("the change of maps is measured against their own variation", () => {
  const maps = tensor([1, 2, 2], Float32Array.from([1, -1, 1, -1]));
  const opposite = tensor(
    [1, 2, 2],
    maps.data.map((value) => -value),
  );
  const constant = tensor([1, 2, 2], new Float32Array(4).fill(3));
  assert.equal(changeOf(maps, maps), 0);
  assert.equal(changeOf(maps, opposite), 2);
  assert.equal(changeOf(constant, maps), 0);
});
