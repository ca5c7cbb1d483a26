/**
 * The layers of the networks, each a function of one image's maps.
 *
 * A tensor is `{ shape, data }`: `data` is a Float32Array in C order; maps have the shape
 * `[channels, height, width]`. A linear layer is a convolution whose kernels are as large as its
 * maps, so that one function serves for both.
 */

/** Return a tensor of `shape`, of zeros if there is no `data`. */
export function tensor(shape, data) {
  const count = shape.reduce((product, side) => product * side, 1);
  const filled = data ?? new Float32Array(count);
  if (filled.length !== count) {
    throw new Error(`${filled.length} numbers do not fill the shape ${shape.join(" × ")}`);
  }
  return { shape, data: filled };
}

/** Return `x` with its maps framed by `padding` pixels of `value` on every side. */
export function pad(x, padding, value = 0) {
  if (padding === 0) return x;
  const [channels, height, width] = x.shape;
  const padded = tensor([channels, height + 2 * padding, width + 2 * padding]);
  padded.data.fill(value);
  for (let row = 0; row < channels * height; row++) {
    const top = Math.floor(row / height) * padded.shape[1] + (row % height) + padding;
    const pixels = x.data.subarray(row * width, (row + 1) * width);
    padded.data.set(pixels, top * padded.shape[2] + padding);
  }
  return padded;
}

/**
 * Return the convolution of `x` with each kernel, plus the kernel's bias.
 *
 * `weight` is `[kernels, channels, rows, columns]`, `bias` `[kernels]`; stride 1. As in the chapters,
 * the maps are first rearranged by im2col, and then all is one product of two matrices.
 */
export function convolution(x, weight, bias, padding = 0) {
  const input = pad(x, padding);
  const [channels, height, width] = input.shape;
  const [kernels, , rows, columns] = weight.shape;
  if (weight.shape[1] !== channels) {
    throw new Error(`${channels} maps for kernels of ${weight.shape[1]} channels`);
  }
  const result = tensor([kernels, height - rows + 1, width - columns + 1]);
  multiply(weight.data, im2col(input, rows, columns), bias.data, result.data);
  return result;
}

/** Return every window of `rows` × `columns` pixels of all maps, one window after the other. */
function im2col({ shape: [channels, height, width], data }, rows, columns) {
  const [outHeight, outWidth] = [height - rows + 1, width - columns + 1];
  const windows = new Float32Array(outHeight * outWidth * channels * rows * columns);
  let next = 0;
  for (let top = 0; top < outHeight; top++) {
    for (let left = 0; left < outWidth; left++) {
      for (let channel = 0; channel < channels; channel++) {
        for (let row = 0; row < rows; row++) {
          const start = (channel * height + top + row) * width + left;
          for (let i = start; i < start + columns; i++) windows[next++] = data[i];
        }
      }
    }
  }
  return windows;
}

/**
 * Fill `result` with the product of each kernel with each window, plus the kernel's bias.
 *
 * Four kernels meet a window at a time: each of its pixels is fetched once for the four, whose sums
 * need not wait for each other. Where there are fewer than four left, the last is taken again.
 */
function multiply(kernels, windows, bias, result) {
  const numKernels = bias.length;
  const numWindows = result.length / numKernels;
  const size = kernels.length / numKernels;
  const last = numKernels - 1;
  for (let a = 0; a < numKernels; a += 4) {
    const b = Math.min(a + 1, last);
    const c = Math.min(a + 2, last);
    const d = Math.min(a + 3, last);
    for (let window = 0; window < numWindows; window++) {
      let sumA = bias[a];
      let sumB = bias[b];
      let sumC = bias[c];
      let sumD = bias[d];
      for (let i = 0; i < size; i++) {
        const pixel = windows[window * size + i];
        sumA += kernels[a * size + i] * pixel;
        sumB += kernels[b * size + i] * pixel;
        sumC += kernels[c * size + i] * pixel;
        sumD += kernels[d * size + i] * pixel;
      }
      result[a * numWindows + window] = sumA;
      result[b * numWindows + window] = sumB;
      result[c * numWindows + window] = sumC;
      result[d * numWindows + window] = sumD;
    }
  }
}

/** Return `combine(a, b, c, d)` of the four pixels of every window of 2 × 2, map by map. */
function byWindow(x, combine) {
  const [channels, height, width] = x.shape;
  const result = tensor([channels, Math.floor(height / 2), Math.floor(width / 2)]);
  const [, rows, columns] = result.shape;
  let next = 0;
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < rows; row++) {
      const top = (channel * height + 2 * row) * width;
      for (let a = top; a < top + 2 * columns; a += 2) {
        const c = a + width;
        result.data[next++] = combine(x.data[a], x.data[a + 1], x.data[c], x.data[c + 1]);
      }
    }
  }
  return result;
}

/** Return the maximum of every window of 2 × 2. */
export function maxPooling(x) {
  return byWindow(x, Math.max);
}

/** Return the mean of every window of 2 × 2. */
export function averagePooling(x) {
  return byWindow(x, (a, b, c, d) => (a + b + c + d) / 4);
}

/** Return the sum of every window of 2 × 2, times its map's coefficient, plus its map's bias. */
export function subsampling(x, coefficient, bias) {
  const result = byWindow(x, (a, b, c, d) => a + b + c + d);
  const pixels = result.shape[1] * result.shape[2];
  result.data.forEach((sum, i) => {
    const map = Math.floor(i / pixels);
    result.data[i] = sum * coefficient.data[map] + bias.data[map];
  });
  return result;
}

/** What follows the sums of a layer, number by number. */
export const ACTIVATIONS = {
  none: (a) => a,
  ReLU: (a) => Math.max(a, 0),
  "scaled tanh": (a) => 1.7159 * Math.tanh((2 / 3) * a),
};

/** Return the activation called `name` of every number of `x`. */
export function activate(x, name) {
  return name === "none" ? x : tensor(x.shape, x.data.map(ACTIVATIONS[name]));
}

/** Return the squared distance of `x` to each code; `codes` is `[classes, numbers of x]`. */
export function squaredDistances(x, codes) {
  const [classes, count] = codes.shape;
  const result = tensor([classes, 1, 1]);
  for (let i = 0; i < classes * count; i++) {
    result.data[Math.floor(i / count)] += (x.data[i % count] - codes.data[i]) ** 2;
  }
  return result;
}

/** Return exp(score) for each score, divided by their sum. */
export function softmax(scores) {
  const largest = Math.max(...scores); // shifting all changes nothing but keeps exp finite
  const powers = Array.from(scores, (score) => Math.exp(score - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
