/**
 * From a drawing to what the networks see, as NIST's writing became MNIST: the drawing is scaled to
 * fit into 20 × 20 pixels and put into 28 × 28 with its centre of mass in the middle.
 */

export const SIDE = 28;
const BOX = 20;

/**
 * Return the image and how it came about, or null for a drawing without ink.
 *
 * `ink` holds `side` × `side` numbers from 0 to 1. `image` is a Float32Array of 28 × 28 of them;
 * `left`, `top`, `width` and `height` say where in it the drawing is, in pixels, and `centre` is its
 * centre of mass `[x, y]`.
 */
export function prepare(ink, side) {
  const box = boundingBox(ink, side);
  if (!box) return null;
  const scale = BOX / Math.max(box.width, box.height);
  const width = Math.max(1, Math.round(box.width * scale));
  const height = Math.max(1, Math.round(box.height * scale));
  const small = resample(ink, side, box, width, height);
  const [x, y] = centreOfMass(small, width);
  // Whole pixels, so that nothing is blurred again, and never over the edge. In MNIST, the centre of
  // mass is in the pixel to the right of and below the middle: its place is from 14 to below 15.
  const left = clamp(Math.ceil(SIDE / 2 - x), 0, SIDE - width);
  const top = clamp(Math.ceil(SIDE / 2 - y), 0, SIDE - height);
  const image = new Float32Array(SIDE * SIDE);
  small.forEach((value, i) => {
    image[(top + Math.floor(i / width)) * SIDE + left + (i % width)] = value;
  });
  return { image, left, top, width, height, centre: [left + x, top + y] };
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** Return the smallest box that holds all pixels with at least half of the ink; null if none. */
function boundingBox(ink, side) {
  let [left, top, right, bottom] = [side, side, -1, -1];
  ink.forEach((value, i) => {
    if (value < 0.5) return;
    const [x, y] = [i % side, Math.floor(i / side)];
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  });
  return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/** Return `width` × `height` pixels, each the mean of the part of the box that it covers. */
function resample(ink, side, box, width, height) {
  const rows = shares(box.top, box.height, height);
  const columns = shares(box.left, box.width, width);
  const result = new Float32Array(width * height);
  rows.forEach((row, y) => {
    columns.forEach((column, x) => {
      let sum = 0;
      for (const [i, tall] of row) {
        for (const [j, wide] of column) sum += tall * wide * ink[i * side + j];
      }
      result[y * width + x] = sum;
    });
  });
  return result;
}

/** Return, for each of `count` equal parts of a line, the pixels in it and their shares of it. */
function shares(start, length, count) {
  const part = length / count;
  return Array.from({ length: count }, (_, n) => {
    const [from, to] = [start + n * part, start + (n + 1) * part];
    const found = [];
    for (let pixel = Math.floor(from); pixel < Math.min(Math.ceil(to), start + length); pixel++) {
      found.push([pixel, (Math.min(to, pixel + 1) - Math.max(from, pixel)) / part]);
    }
    return found;
  });
}

function centreOfMass(pixels, width) {
  let [mass, x, y] = [0, 0, 0];
  pixels.forEach((value, i) => {
    mass += value;
    x += value * ((i % width) + 0.5);
    y += value * (Math.floor(i / width) + 0.5);
  });
  return [x / mass, y / mass];
}
