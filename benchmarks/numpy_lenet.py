"""How long a training step of LeNet takes in NumPy, against PyTorch and the handout's loops.

    python benchmarks/numpy_lenet.py

One step is forward, backward and momentum update of a batch of 64, float32. Each version runs in a
process of its own with its number of threads set before NumPy is imported; the versions take turns,
round after round, so that other work on the machine hits all of them. Compared are the medians.

- numpy: the layers of notebooks/numpy_lenet.ipynb, each batch divided among Python threads with one
  BLAS thread each;
- torch: the same network in PyTorch, eager, images [batch, channels, height, width];
- handout: what the assignment hands out, a loop over images and windows, float64.

Goals: at most 0.75 of PyTorch's time at equal threads, at least 20 times as fast as the handout.
Claim (AMD EPYC, Zen 5, idle, torch 2.14.0, OpenBLAS 0.3.31 for AVX-512, 7 rounds): 0.68 of
PyTorch's time at one thread and 0.82 at two, 25 times as fast as the handout. 66 % of NumPy's step
at one thread are matrix products. With OpenBLAS for AVX2 it was 0.88, 1.01 and 21 times.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
BATCH_SIZE = 64
VERSIONS = [("numpy", 1), ("torch", 1), ("numpy", 2), ("torch", 2), ("handout", 2), ("products", 1)]


def notebook_namespace():
    """Run the notebook's imports and layer cells; return the names that they define."""
    notebook = json.loads((ROOT / "notebooks" / "numpy_lenet.ipynb").read_text(encoding="utf-8"))
    cells = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    lines = cells["setup"].splitlines()
    names = {"batch_size": BATCH_SIZE, "seed": 0}
    exec("\n".join(line for line in lines if line.startswith(("import ", "from "))), names)
    for cell, source in cells.items():
        solution = cell.startswith("q") and cell.endswith(("-forward", "-backward", "-momentum"))
        if solution or cell in ("functions", "lenet"):
            exec(source, names)
    return names


def batch():
    """Return a batch of digits, [784, 64] in 0…1, and its labels."""
    from helpers import convnet, data

    _, _, x, labels = convnet.load_mnist(True, data.mnist("stand-in"))
    return x[:, :BATCH_SIZE], labels[:BATCH_SIZE]


def zeros_like(params):
    import numpy as np

    return {i: {name: np.zeros_like(a) for name, a in own.items()} for i, own in params.items()}


def numpy_step(threads):
    """Return a function that makes one step with the notebook's layers."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from helpers import convnet

    names, (x, labels) = notebook_namespace(), batch()
    layers, functions = names["layers"], names["functions"]
    params = convnet.init_convnet(layers, 0)
    state = [params, zeros_like(params)]
    team = ThreadPoolExecutor(threads)

    def step():
        chosen = np.array_split(np.arange(BATCH_SIZE), threads)
        parts = [(x[:, part], labels[part]) for part in chosen]
        _, gradient = convnet.parallel_conv_net(team, parts, state[0], layers, functions)
        state[:] = names["sgd_momentum"](1e-3, 1e-3, 0.9, 5e-4, *state, gradient)

    return step


def torch_step(threads):
    """Return a function that makes one step of the same network in PyTorch."""
    import torch
    from torch import nn

    x, labels = batch()
    images = torch.tensor(x.T.reshape(-1, 1, 28, 28))
    labels = torch.tensor(labels)
    network = nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 500),
        nn.ReLU(),
        nn.Linear(500, 10),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)

    def step():
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def products_step(threads):
    """Return a function that computes one step's matrix products alone, on one thread."""
    import numpy as np

    rng = np.random.default_rng(0)
    b = BATCH_SIZE
    # rows, inner size and columns of each layer's product forwards, and whether it goes down too
    layers = [(20, 25, 576 * b, False), (50, 500, 64 * b, True), (500, 800, b, True)]
    layers += [(10, 500, b, True)]
    operands = []
    for rows, inner, columns, down in layers:
        shapes = (rows, inner), (inner, columns), (rows, columns)
        operands.append((*(rng.random(s, dtype=np.float32) for s in shapes), down))

    def step():
        for w, x, d, down in operands:
            w @ x
            d @ x.T
            if down:
                w.T @ d

    return step


def handout_step(threads):
    """Return a function that makes one step with loops over images and windows, in float64."""
    import numpy as np

    from helpers import convnet

    names, (x, labels) = notebook_namespace(), batch()
    layers, x = names["layers"], x.astype(np.float64)
    params = convnet.init_convnet(layers, 0, np.float64)
    state = [params, zeros_like(params)]

    def convolve(images, w, b):
        outputs = []
        for image in images:  # [channels, height, width]
            size = image.shape[1] - 4
            columns = im2col(image, size)
            outputs.append((w @ columns + b[:, None]).reshape(len(w), size, size))
        return np.array(outputs)

    def im2col(image, size):
        windows = [image[:, i : i + 5, j : j + 5].ravel() for i in range(size) for j in range(size)]
        return np.array(windows).T

    def convolve_back(diff, images, w):
        d_images, d_w, d_b = np.zeros_like(images), np.zeros_like(w), np.zeros(len(w))
        for n, image in enumerate(images):
            size = image.shape[1] - 4
            d = diff[n].reshape(len(w), -1)
            d_w += d @ im2col(image, size).T
            d_b += d.sum(axis=1)
            columns = w.T @ d
            for i in range(size):
                for j in range(size):
                    window = columns[:, i * size + j].reshape(-1, 5, 5)
                    d_images[n, :, i : i + 5, j : j + 5] += window
        return {"w": d_w, "b": d_b}, d_images

    def pool(images):
        size = images.shape[2] // 2
        pooled = np.empty((*images.shape[:2], size, size))
        for i in range(size):
            for j in range(size):
                window = images[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                pooled[:, :, i, j] = window.max(axis=(2, 3))
        return pooled

    def pool_back(diff, images):
        d_images = np.zeros_like(images)
        n, c = np.indices(images.shape[:2])
        for i in range(diff.shape[2]):
            for j in range(diff.shape[3]):
                window = images[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                row, column = np.divmod(window.reshape(*n.shape, 4).argmax(axis=2), 2)
                d_images[n, c, 2 * i + row, 2 * j + column] += diff[:, :, i, j]
        return d_images

    def step():
        p, gradient = state[0], {}
        a1 = x.T.reshape(-1, 1, 28, 28)
        a2 = convolve(a1, p[2]["w"], p[2]["b"])
        a3 = pool(a2)
        a4 = convolve(a3, p[4]["w"], p[4]["b"])
        a5 = pool(a4)
        flat = a5.reshape(len(a5), -1).T
        a6 = p[6]["w"] @ flat + p[6]["b"][:, None]
        a7 = np.maximum(a6, 0)
        _, _, diff = convnet.softmax_loss(p[8]["w"] @ a7 + p[8]["b"][:, None], labels)
        gradient[8] = {"w": diff @ a7.T, "b": diff.sum(axis=1)}
        diff = (p[8]["w"].T @ diff) * (a6 > 0)
        gradient[6] = {"w": diff @ flat.T, "b": diff.sum(axis=1)}
        diff = pool_back((p[6]["w"].T @ diff).T.reshape(a5.shape), a4)
        gradient[4], diff = convolve_back(diff, a3, p[4]["w"])
        gradient[2], _ = convolve_back(pool_back(diff, a2), a1, p[2]["w"])
        state[:] = names["sgd_momentum"](1e-3, 1e-3, 0.9, 5e-4, *state, gradient)

    return step


def measure(version, threads, steps):
    """Return the median time of a step in seconds, after three steps to warm up."""
    from helpers import runtime

    # As in the notebooks. In NumPy's version the Python threads are the parallel part.
    runtime.set_threads(threads if version in ("torch", "handout") else 1)
    step = globals()[f"{version}_step"](threads)
    warm_up, steps = (1, max(2, steps // 15)) if version == "handout" else (3, steps)
    for _ in range(warm_up):
        step()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return median(times)


def in_process(version, threads, steps):
    """Run `measure` in a new process with `threads` threads in all."""
    blas = "1" if version in ("numpy", "products") else str(threads)
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(variables, blas)
    # Without this variable OpenBLAS chooses its kernels for the processor, as PyTorch always does.
    environment.pop("OPENBLAS_CORETYPE", None)
    command = [sys.executable, __file__, "--steps", str(steps), "--only", version, str(threads)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often every version has its turn"
    )
    parser.add_argument("--steps", type=int, default=40, help="steps of each turn")
    parser.add_argument("--only", nargs=2, metavar=("VERSION", "THREADS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        version, threads = options.only
        print(measure(version, int(threads), options.steps))
        return

    rounds = []
    for number in range(options.rounds):
        turn = {key: in_process(*key, options.steps) for key in VERSIONS}
        rounds.append(turn)
        shown = ", ".join(f"{v} {t}: {1000 * s:.1f}" for (v, t), s in turn.items())
        print(f"round {number + 1}, ms a step: {shown}", flush=True)

    def ratio(a, b):
        return median(turn[a] / turn[b] for turn in rounds)

    print("\nmedian of the rounds' ratios")
    for threads in (1, 2):
        value = ratio(("numpy", threads), ("torch", threads))
        print(f"  numpy / torch, {threads} thread(s) each: {value:.2f}   (goal: at most 0.75)")
    value = ratio(("handout", 2), ("numpy", 2))
    print(f"  handout / numpy, 2 threads each: {value:.0f}   (goal: at least 20)")
    value = ratio(("products", 1), ("numpy", 1))
    print(f"  matrix products' share of numpy's step, 1 thread: {value:.0%}")


if __name__ == "__main__":
    main()
