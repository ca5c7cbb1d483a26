/**
 * Strokes and their ink. A stroke is a list of points `[x, y]`, from 0 to 1 across the pad.
 */

/** Radius of the pen, as a part of the pad's side. */
export const PEN = 0.04;

const SIZE = 0.6; // how large MNIST's writers wrote for a pen as wide as this one
const MOST = 4; // nothing is enlarged by more, so that a dot stays one

/**
 * Return `strokes` in the size that makes the pen as wide as in MNIST, in the middle of the pad.
 *
 * Readers draw as large as they like, with the same pen: scaled to MNIST's size, a small drawing
 * would have strokes so thick that they close its loops.
 */
export function resized(strokes) {
  let [left, top, right, bottom] = [1, 1, 0, 0];
  for (const [x, y] of strokes.flat()) {
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  }
  const scale = Math.min(SIZE / Math.max(right - left, bottom - top), MOST);
  const place = ([x, y]) => [
    0.5 + scale * (x - (left + right) / 2),
    0.5 + scale * (y - (top + bottom) / 2),
  ];
  return strokes.map((stroke) => stroke.map(place));
}

/** Return the ink of `strokes` on `side` × `side` pixels, from 0 (paper) to 1, with soft edges. */
export function rasterize(strokes, side, pen = PEN) {
  const ink = new Float32Array(side * side);
  for (const stroke of strokes) {
    for (let i = 0; i < stroke.length; i++) {
      addSegment(ink, side, stroke[Math.max(i - 1, 0)], stroke[i], pen * side);
    }
  }
  return ink;
}

/** Ink every pixel that is within `radius` pixels of the line from `start` to `end`. */
function addSegment(ink, side, start, end, radius) {
  const [x0, y0, x1, y1] = [...start, ...end].map((place) => place * side);
  const [dx, dy] = [x1 - x0, y1 - y0];
  const squared = dx * dx + dy * dy || 1;
  const limit = (value) => Math.min(Math.max(Math.floor(value), 0), side);
  const reach = radius + 1;
  for (
    let row = limit(Math.min(y0, y1) - reach);
    row < limit(Math.max(y0, y1) + reach + 1);
    row++
  ) {
    for (
      let col = limit(Math.min(x0, x1) - reach);
      col < limit(Math.max(x0, x1) + reach + 1);
      col++
    ) {
      const [x, y] = [col + 0.5 - x0, row + 0.5 - y0];
      const along = Math.min(Math.max((x * dx + y * dy) / squared, 0), 1);
      const distance = Math.hypot(x - along * dx, y - along * dy);
      const covered = Math.min(Math.max(radius + 0.5 - distance, 0), 1);
      ink[row * side + col] = Math.max(ink[row * side + col], covered);
    }
  }
}

/** Return the points of an arc of an ellipse, from angle `from` to `to` in degrees, clockwise. */
function arc(x, y, rx, ry, from, to) {
  const steps = Math.ceil(Math.abs(to - from) / 12);
  return Array.from({ length: steps + 1 }, (_, i) => {
    const angle = ((from + ((to - from) * i) / steps) * Math.PI) / 180;
    return [x + rx * Math.cos(angle), y + ry * Math.sin(angle)];
  });
}

/** Ten digits as one might draw them, for readers who do not draw, and for tests. */
export const DIGITS = [
  [arc(0.5, 0.5, 0.2, 0.32, -90, 270)],
  [
    [
      [0.42, 0.28],
      [0.52, 0.18],
      [0.5, 0.82],
    ],
  ],
  [[...arc(0.5, 0.36, 0.2, 0.18, -170, 40), [0.3, 0.8], [0.72, 0.79]]],
  [[...arc(0.47, 0.34, 0.19, 0.16, -160, 90), ...arc(0.47, 0.66, 0.22, 0.17, -90, 150)]],
  [
    [
      [0.36, 0.2],
      [0.3, 0.54],
      [0.72, 0.52],
    ],
    [
      [0.63, 0.2],
      [0.6, 0.84],
    ],
  ],
  [[[0.68, 0.2], [0.37, 0.2], [0.34, 0.47], ...arc(0.48, 0.62, 0.2, 0.19, -115, 140)]],
  [
    [
      [0.6, 0.17],
      ...arc(0.52, 0.62, 0.21, 0.34, -150, -180),
      ...arc(0.5, 0.65, 0.19, 0.18, 180, 540),
    ],
  ],
  [
    [
      [0.28, 0.21],
      [0.72, 0.21],
      [0.45, 0.83],
    ],
  ],
  [[...arc(0.5, 0.34, 0.16, 0.15, 90, -270), ...arc(0.5, 0.66, 0.19, 0.17, -90, 270)]],
  [[...arc(0.49, 0.35, 0.17, 0.16, 0, -360), [0.66, 0.35], [0.61, 0.84]]],
];
