/** What the published networks read of digits as people write them, in five hands each. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { answerOf, forward, NETWORKS } from "../../book/_draw/networks.js";
import { prepare } from "../../book/_draw/prepare.js";
import { rasterize, resized } from "../../book/_draw/strokes.js";
import { unpack } from "../../book/_draw/weights.js";
import { hands } from "./hands.js";

const FOLDER = new URL("../../book/_static/networks/", import.meta.url);

for (const network of NETWORKS) {
  const file = new URL(`${network.file}.bin`, FOLDER);
  test(`${network.title} reads four of five hands`, { skip: !existsSync(file) }, async () => {
    const { arrays } = await unpack(readFileSync(file));
    Object.assign(network, network.build(arrays));
    for (let digit = 0; digit < 10; digit++) {
      const misread = hands(digit).filter(([, strokes]) => {
        const { image } = prepare(rasterize(resized(strokes), 140), 140);
        return answerOf(forward(network, image)) !== digit;
      });
      const names = misread.map(([name]) => name).join("; ");
      assert.ok(misread.length <= 1, `of the digit ${digit}: ${names}`);
    }
  });
}
