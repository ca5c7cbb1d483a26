"""How long a training step of LeNet takes in NumPy, in several forms and against PyTorch.

    python benchmarks/numpy_lenet.py [--rounds 5] [--steps 40] [--save]

One step is forward, backward and momentum update of a batch of 64. Each version runs in a process
of its own with its number of threads set before NumPy is imported; the versions take turns, round
after round, so that other work on the machine hits all of them. Compared are the medians.

- numpy: the layers of notebooks/numpy_lenet.ipynb, batch last, float32; each batch is divided among
  Python threads with one BLAS thread each;
- torch: the same network in PyTorch, eager, images [batch, channels, height, width];
- products: the matrix products of one step, and nothing else;
- batch_first: NumPy without loops over images or windows, images [batch, channels, height, width];
- numpy64 and batch_first64: the same two in float64;
- loops64: batch_first64 with loops over images and windows;
- handout64: what the assignment hands out. It also makes every im2col twice, and computes the
  derivative by the lowest layer's images, which nobody needs;
- convolution_…: the second convolution alone, forwards and backwards, float32.

With --save the figures go to benchmarks/results/numpy_lenet.json, where prose can name them
(tools/prose.py); none stands here. Those of a busy machine are not saved: between the versions, one
product is timed on all threads at once, and its median must be close to its own best.

Goals: at most 0.55 of PyTorch's time at one thread and 0.7 at two; 80 % of the step at one thread
in matrix products.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "numpy_lenet.json"
THREADS = 2
BUSY = 1.1  # how much longer than at its best the product may take

VERSIONS = [
    ("numpy", 1),
    ("torch", 1),
    ("numpy", 2),
    ("torch", 2),
    ("products", 1),
    ("numpy64", 1),
    ("batch_first", 1),
    ("batch_first64", 1),
    ("loops64", 1),
    ("handout64", 1),
    ("convolution_handout", 1),
    ("convolution_batch_first", 1),
    ("convolution_batch_last", 1),
    ("convolution_batch_last", 2),
    ("convolution_torch", 1),
    ("convolution_torch", 2),
]
RATIOS = {
    "numpy_over_torch_1": ("numpy_1", "torch_1"),
    "numpy_over_torch_2": ("numpy_2", "torch_2"),
    "products_over_numpy": ("products_1", "numpy_1"),
    "handout_over_numpy_1": ("handout64_1", "numpy_1"),
    "handout_over_numpy_2": ("handout64_1", "numpy_2"),
    # From the handout's form to ours, one change at a time; the layout in both precisions.
    "handout_over_loops": ("handout64_1", "loops64_1"),
    "loops_over_batch_first_64": ("loops64_1", "batch_first64_1"),
    "batch_first_over_batch_last_64": ("batch_first64_1", "numpy64_1"),
    "float64_over_float32": ("numpy64_1", "numpy_1"),
    "one_over_two_workers": ("numpy_1", "numpy_2"),
    "batch_first_over_batch_last": ("batch_first_1", "numpy_1"),
    # The second convolution alone.
    "convolution_handout_over_batch_first": ("convolution_handout_1", "convolution_batch_first_1"),
    "convolution_batch_first_over_batch_last": (
        "convolution_batch_first_1",
        "convolution_batch_last_1",
    ),
    "convolution_one_over_two_workers": ("convolution_batch_last_1", "convolution_batch_last_2"),
    "convolution_batch_last_over_torch_1": ("convolution_batch_last_1", "convolution_torch_1"),
    "convolution_batch_last_over_torch_2": ("convolution_batch_last_2", "convolution_torch_2"),
}


def measure(version, threads, steps):
    """Return the median time of a step in seconds, after three steps to warm up.

    Slow versions make fewer steps: at least three, and as many as fit into two seconds.
    """
    from versions import numpy_lenet as versions

    from helpers import runtime

    # As in the notebooks. In NumPy's versions the Python threads are the parallel part.
    runtime.set_threads(threads if "torch" in version else 1)
    step = getattr(versions, f"{version}_step")(threads)
    times = []
    while len(times) < 6 or (len(times) < 3 + steps and sum(times) < 2):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return median(times[3:])


def in_process(version, threads, steps):
    """Run `measure` in a new process with `threads` threads in all."""
    blas = str(threads) if "torch" in version else "1"
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(variables, blas)
    # Without this variable OpenBLAS chooses its kernels for the processor, as PyTorch always does.
    environment.pop("OPENBLAS_CORETYPE", None)
    command = [sys.executable, __file__, "--steps", str(steps), "--only", version, str(threads)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def probe():
    """Return a function that times a product on all threads at once, to tell if they are free."""
    import numpy as np

    from helpers import runtime

    runtime.set_threads(1)
    team, matrix = ThreadPoolExecutor(THREADS), np.ones((600, 600), np.float32)

    def seconds():
        start = time.perf_counter()
        list(team.map(lambda _: matrix @ matrix, range(THREADS)))
        return time.perf_counter() - start

    return seconds


def summary(rounds, probes):
    """Return what `--save` writes, from the rounds' times and those of the probe."""
    ratios = {
        name: [turn[above] / turn[below] for turn in rounds]
        for name, (above, below) in RATIOS.items()
    }
    times = {name: [1000 * turn[name] for turn in rounds] for name in rounds[0]}
    return {
        "rounds": len(rounds),
        "busy": median(probes) / min(probes),
        "milliseconds": {name: median(values) for name, values in times.items()},
        "millisecond_ranges": {name: [min(v), max(v)] for name, v in times.items()},
        "ratios": {name: median(values) for name, values in ratios.items()},
        "ratio_ranges": {name: [min(v), max(v)] for name, v in ratios.items()},
    }


def machine():
    """Return the processor, the versions, and the date."""
    import numpy as np
    import torch
    from threadpoolctl import threadpool_info

    from helpers import runtime

    blas = next(library for library in threadpool_info() if library["user_api"] == "blas")
    return {
        "date": date.today().isoformat(),
        "device": runtime.device_name("cpu"),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
            blas["internal_api"]: f"{blas['version']} ({blas['architecture']})",
        },
    }


def save(results, path):
    """Write the results; exit with a sentence where the machine was busy."""
    if results["busy"] > BUSY:
        sys.exit(
            f"Not saved: the machine was busy, for a product that needs it alone took "
            f"{results['busy']:.2f} times as long as at its best, and {BUSY} is the limit."
        )
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(machine() | results, indent=2) + "\n", encoding="utf-8")
    print(f"saved: {path.relative_to(ROOT)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often every version has its turn"
    )
    parser.add_argument("--steps", type=int, default=40, help="steps of each turn")
    parser.add_argument(
        "--save", action="store_true", help="write the figures to a file, for prose"
    )
    parser.add_argument("--only", nargs=2, metavar=("VERSION", "THREADS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        version, threads = options.only
        print(measure(version, int(threads), options.steps))
        return

    rounds, probes, product_seconds = [], [], probe()
    product_seconds()
    for number in range(options.rounds):
        turn = {}
        for version, threads in VERSIONS:
            probes += [product_seconds() for _ in range(10)]
            turn[f"{version}_{threads}"] = in_process(version, threads, options.steps)
        rounds.append(turn)
        shown = ", ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in turn.items())
        print(f"round {number + 1}, ms a step: {shown}", flush=True)

    results = summary(rounds, probes)
    print("\nmedian of the rounds' ratios (lowest to highest)")
    for name, value in results["ratios"].items():
        low, high = results["ratio_ranges"][name]
        print(f"  {name}: {value:.2f} ({low:.2f} to {high:.2f})")
    print(f"\nHow busy the machine was, 1 for idle: {results['busy']:.2f}")
    if options.save:
        save(results, RESULTS)


if __name__ == "__main__":
    main()
