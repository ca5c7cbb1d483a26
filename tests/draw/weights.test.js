/** Reading a network's file; tests/test_draw.py reads one that Python has written. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { unpack } from "../../book/_draw/weights.js";

function file(arrays, payload) {
  const head = Buffer.from(JSON.stringify({ notebook: "sample", arrays }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  return gzipSync(Buffer.concat([length, head, Buffer.from(payload)]));
}

const PAIR = [{ name: "b", shape: [2], type: "float16" }];

test("float16 in all its forms", async () => {
  const bits = [0x0000, 0x8000, 0x3c00, 0xc000, 0x3555, 0x0001, 0x7bff, 0x0400];
  const payload = bits.flatMap((each) => [each & 255, each >> 8]);
  const { arrays } = await unpack(file([{ ...PAIR[0], shape: [8] }], payload));
  const expected = [0, -0, 1, -2, 0.333251953125, 2 ** -24, 65504, 2 ** -14];
  assert.deepEqual(Array.from(arrays.b.data), expected);
});

test("bytes with a scale for each row", async () => {
  const scales = Buffer.alloc(8);
  scales.writeFloatLE(0.5, 0);
  scales.writeFloatLE(2, 4);
  const described = [{ name: "w", shape: [2, 2], type: "int8" }, ...PAIR];
  const payload = [...scales, 1, 255, 127, 129, 0, 0x3c, 0, 0x3c];
  const { header, arrays } = await unpack(file(described, payload));
  assert.equal(header.notebook, "sample");
  assert.deepEqual(arrays.w.shape, [2, 2]);
  assert.deepEqual(Array.from(arrays.w.data), [0.5, -0.5, 254, -254]);
  assert.deepEqual(Array.from(arrays.b.data), [1, 1]);
});

test("a damaged file is told as one", async () => {
  const whole = file(PAIR, [0, 0x3c, 0, 0x3c]);
  const flipped = Buffer.from(whole);
  flipped[whole.length - 6] ^= 1;
  const damaged = [
    Buffer.from("<html>"),
    Buffer.alloc(0),
    whole.subarray(0, whole.length - 4),
    flipped,
    file(PAIR, [0, 0x3c]),
    file(PAIR, [0, 0x3c, 0, 0x3c, 0]),
  ];
  for (const each of damaged) {
    await assert.rejects(unpack(each), { message: "the file of its weights is damaged" });
  }
});
