/** How long a forward pass takes, in whatever runs this module; tests/test_draw_page.py reports it. */

import { forward, pass } from "../../book/_draw/networks.js";

const WARM = 100; // calls before the clock runs, which the browser compiles on
const [ROUNDS, CALLS] = [15, 10]; // a browser's clock is too coarse for a single call

/** Return the median of the milliseconds that `action` takes. */
function time(action) {
  for (let i = 0; i < WARM; i++) action();
  const rounds = Array.from({ length: ROUNDS }, () => {
    const start = performance.now();
    for (let i = 0; i < CALLS; i++) action();
    return (performance.now() - start) / CALLS;
  });
  return rounds.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)];
}

/** Return the milliseconds of a forward pass of a network, and those of each stage by its title. */
export function benchmark(network, image) {
  const { input, states } = forward(network, image);
  const inputs = [input, ...states.map(({ output }) => output)];
  const stages = network.stages.map((stage, n) => [
    stage.title,
    time(() => pass(stage, inputs[n])),
  ]);
  return { all: time(() => forward(network, image)), ...Object.fromEntries(stages) };
}
