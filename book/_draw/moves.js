/** The first experiment: a digit is shifted and rotated, and one sees what that does to the maps. */

import { SIDE } from "./prepare.js";

/**
 * Return an image of 28 × 28 pixels rotated clockwise about its middle, then shifted.
 *
 * A pixel that falls between others is their mean, weighted by nearness; outside there is paper.
 */
export function move(image, right, down, degrees) {
  const [sin, cos] = [Math.sin((degrees * Math.PI) / 180), Math.cos((degrees * Math.PI) / 180)];
  const middle = (SIDE - 1) / 2;
  return Float32Array.from(image, (_, i) => {
    const x = (i % SIDE) - middle - right;
    const y = Math.floor(i / SIDE) - middle - down;
    return between(image, cos * x + sin * y + middle, cos * y - sin * x + middle);
  });
}

function between(image, x, y) {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [dx, dy] = [x - left, y - top];
  const upper = at(image, left, top) * (1 - dx) + at(image, left + 1, top) * dx;
  const lower = at(image, left, top + 1) * (1 - dx) + at(image, left + 1, top + 1) * dx;
  return upper * (1 - dy) + lower * dy;
}

function at(image, x, y) {
  return x < 0 || y < 0 || x >= SIDE || y >= SIDE ? 0 : image[y * SIDE + x];
}

/**
 * Return by how much maps have changed, over the deviation of the maps from their own means.
 *
 * 0: not at all. About 1.4: as much as if the pixels had been shuffled.
 */
export function changeOf(before, after) {
  const pixels = before.shape[1] * before.shape[2];
  let [changed, varied] = [0, 0];
  for (let start = 0; start < before.data.length; start += pixels) {
    const map = before.data.subarray(start, start + pixels);
    const mean = map.reduce((sum, value) => sum + value, 0) / pixels;
    map.forEach((value, i) => {
      changed += (after.data[start + i] - value) ** 2;
      varied += (value - mean) ** 2;
    });
  }
  return varied > 0 ? Math.sqrt(changed / varied) : 0;
}
