/**
 * Run a network of the page on many images: node forward.js FILE IMAGES OUT [answers].
 *
 * FILE is a network's file as its run exports it, called after the page's name for it; IMAGES holds
 * 784 float32 numbers for each image. Written to OUT, as float32, one image after the other: what
 * each stage makes of it, then the ten probabilities and, for the network of 1998, an eleventh; with
 * "answers", only these. Said on the way out: milliseconds per image.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { forward, NETWORKS } from "../../book/_draw/networks.js";
import { unpack } from "../../book/_draw/weights.js";

const [file, images, out, only] = process.argv.slice(2);
const network = NETWORKS.find((each) => `${each.file}.bin` === basename(file));
const { arrays } = await unpack(readFileSync(file));
Object.assign(network, network.build(arrays));
const pixels = new Float32Array(Uint8Array.from(readFileSync(images)).buffer);
const made = [];
const start = performance.now();
for (let place = 0; place < pixels.length; place += 784) {
  const { states, probabilities } = forward(network, pixels.subarray(place, place + 784));
  if (only !== "answers") made.push(...states.map(({ output }) => output.data));
  made.push(Float32Array.from(probabilities));
}
console.log(((performance.now() - start) / (pixels.length / 784)).toFixed(3));
writeFileSync(
  out,
  Buffer.concat(
    made.map(({ buffer, byteOffset, byteLength }) => {
      return Buffer.from(buffer, byteOffset, byteLength);
    }),
  ),
);
