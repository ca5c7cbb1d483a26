/** How maps lie on a canvas, and which pixel is where. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { layout, pixelAt } from "../../book/_draw/maps.js";

test("maps lie in full rows, with a gap between them", () => {
  const lies = layout([6, 28, 28]);
  assert.deepEqual([lies.columns, lies.rows], [3, 2]);
  assert.deepEqual([lies.width, lies.height], [3 * 29 - 1, 2 * 29 - 1]);
  for (const count of [6, 16, 20, 50, 120, 500])
    assert.equal(count % layout([count, 5, 5]).columns, 0);
});

test("units lie without gaps, in as many columns as are wanted", () => {
  const lies = layout([84, 1, 1], 7);
  assert.deepEqual([lies.width, lies.height], [7, 12]);
  assert.deepEqual(pixelAt([84, 1, 1], 0.5, 0.999, 7), { map: 80, row: 0, column: 0 });
});

test("a place on the canvas is a pixel of a map, or a gap", () => {
  const shape = [6, 28, 28];
  const lies = layout(shape);
  const at = (x, y) => pixelAt(shape, (x + 0.5) / lies.width, (y + 0.5) / lies.height);
  assert.deepEqual(at(0, 0), { map: 0, row: 0, column: 0 });
  assert.deepEqual(at(29 + 3, 29 + 7), { map: 4, row: 7, column: 3 });
  assert.equal(at(28, 0), null);
  assert.equal(at(0, 28), null);
  assert.equal(pixelAt(shape, 1, 0.5), null);
  assert.equal(pixelAt(shape, -0.1, 0.5), null);
});
