/** Tensors as pictures: every map a small image, all maps of a layer in a grid. */

const GAP = 1; // pixels between two maps
const FINE = 320; // pixels of the canvas across, or a few more: outlines are then thin

const ORANGE = [166, 80, 0]; // red, green and blue of the least number, and
const BLUE = [8, 48, 107]; // of the largest; 0 is white

/**
 * Return how the maps of a shape `[count, height, width]` lie: in `columns` and `rows`.
 *
 * The number of columns divides the count. Units, maps of one pixel, lie without gaps.
 */
export function layout([count, height, width], wanted) {
  const isUnits = height * width === 1;
  const gap = isUnits ? 0 : GAP;
  const ideal = isUnits ? Math.max(10, 1.7 * Math.sqrt(count)) : Math.min(90 / (width + gap), 10);
  const divisors = Array.from({ length: count }, (_, i) => i + 1).filter((n) => count % n === 0);
  const nearest = (best, n) => (Math.abs(n - ideal) < Math.abs(best - ideal) ? n : best);
  const columns = wanted ?? divisors.reduce(nearest);
  const rows = Math.ceil(count / columns);
  const [stepX, stepY] = [width + gap, height + gap];
  return { columns, rows, stepX, stepY, width: columns * stepX - gap, height: rows * stepY - gap };
}

/** Return the pixel `{ map, row, column }` of a tensor at `x`, `y`, from 0 to 1; null for a gap. */
export function pixelAt(shape, x, y, columns) {
  const lies = layout(shape, columns);
  const [left, top] = [Math.floor(x * lies.width), Math.floor(y * lies.height)];
  const map = Math.floor(top / lies.stepY) * lies.columns + Math.floor(left / lies.stepX);
  const [row, column] = [top % lies.stepY, left % lies.stepX];
  const isInside = x >= 0 && x < 1 && y >= 0 && y < 1 && map < shape[0];
  return isInside && row < shape[1] && column < shape[2] ? { map, row, column } : null;
}

/** Return the largest size of a number in `x`; 1 if all are 0. */
export function largest(x) {
  return x.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
}

/**
 * Paint a tensor `[maps, height, width]`; `limit` is the value of the full colour.
 *
 * `marks` are outlines `{ map, row, column, height, width }`.
 */
export function paint(canvas, x, { limit = largest(x), columns, marks = [] } = {}) {
  const [, height, width] = x.shape;
  const lies = layout(x.shape, columns);
  const place = (map) => [
    (map % lies.columns) * lies.stepX,
    Math.floor(map / lies.columns) * lies.stepY,
  ];
  const pixels = new ImageData(lies.width, lies.height);
  pixels.data.fill(255);
  let next = 0;
  for (let map = 0; map < x.shape[0]; map++) {
    const [left, top] = place(map);
    for (let row = top; row < top + height; row++) {
      for (let column = left; column < left + width; column++) {
        const value = x.data[next++] / limit;
        const full = value < 0 ? ORANGE : BLUE;
        const paper = 1 - Math.min(Math.abs(value), 1);
        const start = 4 * (row * lies.width + column);
        for (let n = 0; n < 3; n++) pixels.data[start + n] = full[n] + (255 - full[n]) * paper;
      }
    }
  }
  const zoom = Math.max(4, Math.round(FINE / lies.width));
  canvas.width = lies.width * zoom;
  canvas.height = lies.height * zoom;
  canvas.style.setProperty("--pixels", lies.width);
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.putImageData(pixels, 0, 0);
  pen.drawImage(canvas, 0, 0, lies.width, lies.height, 0, 0, canvas.width, canvas.height);
  pen.lineWidth = 3;
  pen.strokeStyle = "#d6006c";
  for (const mark of marks) {
    const [left, top] = place(mark.map).map((value) => value * zoom);
    const corner = [left + mark.column * zoom + 0.5, top + mark.row * zoom + 0.5];
    pen.strokeRect(...corner, mark.width * zoom - 1, mark.height * zoom - 1);
  }
}
