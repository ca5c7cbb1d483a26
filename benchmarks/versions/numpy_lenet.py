"""Steps of LeNet in NumPy, in several forms, and in PyTorch.

One step is forward, backward and momentum update of a batch of 64 digits.

- numpy: the layers of notebooks/numpy_lenet.ipynb, batch last, float32; each batch is divided among
  Python threads with one BLAS thread each;
- torch: the same network in PyTorch, eager, images [batch, channels, height, width];
- compiled: that, by `torch.compile`, where there is a C++ compiler;
- products: the matrix products of one step, and nothing else;
- batch_first: NumPy without loops over images or windows, images [batch, channels, height, width];
- numpy64 and batch_first64: the same two in float64;
- loops64: batch_first64 with loops over images and windows;
- handout64: what the assignment hands out. It also makes every im2col twice, and computes the
  derivative by the lowest layer's images, which nobody needs;
- convolution_…: the second convolution alone, forwards and backwards, float32;
- batch_N, width_N: numpy on N images, and with N times the channels and units.

Each function here that is called `…_step` takes a number of threads and returns a function without
arguments, which computes one step: of the whole network, or of its second convolution alone. With
64 behind its name, a version computes in float64.

Goals: at most 0.55 of PyTorch's time at one thread and 0.7 at two; 80 % of the step at one thread
in matrix products.
"""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from versions import cells
from versions.unavailable import Unavailable

from helpers import convnet, numpy_layers, runtime

BATCH_SIZE = 64
SOLUTIONS = (
    "q1-pooling-forward",
    "q2-relu-forward",
    "q3-inner-product-forward",
    "q4-pooling-backward",
    "q5-relu-backward",
    "q6-inner-product-backward",
    "q7-sgd-momentum",
    "functions",
    "lenet",
)
K = 5  # the convolutions' windows are K by K pixels


def make(version: str, threads: int) -> tuple[Callable[[], None], int]:
    """Return a function that makes one step, and 1.

    Raises `Unavailable` for torch.compile without a compiler.
    """
    # As in the notebooks. In NumPy's versions the Python threads are the parallel part.
    is_torch = "torch" in version or version == "compiled"
    runtime.set_threads(threads if is_torch else 1)
    kind, _, size = version.partition("_")
    if kind in ("batch", "width") and size.isdigit():
        return numpy_step(threads, **{{"batch": "batch_size"}.get(kind, kind): int(size)}), 1
    return globals()[f"{version}_step"](threads), 1


def notebook_names(batch_size=BATCH_SIZE):
    """Return what the notebook imports, and what its layer cells define; nothing else is run."""
    return cells.definitions("numpy_lenet", SOLUTIONS, batch_size=batch_size)


def batch(count=BATCH_SIZE):
    """Return a random batch, [784, count] in 0…1, and its labels: time does not depend on them."""
    rng = np.random.default_rng(0)
    return rng.random((784, count), np.float32), rng.integers(0, 10, count)


def zeros_like(params):
    return {i: {name: np.zeros_like(a) for name, a in own.items()} for i, own in params.items()}


# --- the whole network


def numpy_step(threads, dtype=np.float32, batch_size=BATCH_SIZE, width=1):
    """The notebook's layers; Python threads divide the batch."""
    names, (x, labels) = notebook_names(batch_size), batch(batch_size)
    functions, x = names["functions"], x.astype(dtype)
    layers = {i: widened(layer, width) for i, layer in names["layers"].items()}
    params = convnet.init_convnet(layers, 0, dtype)
    state = [params, zeros_like(params)]
    team = ThreadPoolExecutor(threads)

    def step():
        chosen = np.array_split(np.arange(batch_size), min(threads, batch_size))
        parts = [(x[:, part], labels[part]) for part in chosen]
        _, gradient = convnet.parallel_conv_net(team, parts, state[0], layers, functions)
        state[:] = names["sgd_momentum"](1e-3, 1e-3, 0.9, 5e-4, *state, gradient)
        return gradient

    return step


def widened(layer, width):
    """Return a layer with `width` times the channels or units; the last has one per class."""
    return layer | {"num": width * layer["num"]} if layer["type"] in ("CONV", "IP") else layer


def numpy64_step(threads):
    return numpy_step(threads, np.float64)


def batch_first_step(threads):
    """The same operations on images [batch, channels, height, width]."""
    return network(BatchFirst(), np.float32)


def batch_first64_step(threads):
    return network(BatchFirst(), np.float64)


def loops64_step(threads):
    """The same with loops over images and windows."""
    return network(Loops(), np.float64)


def handout64_step(threads):
    """What the assignment hands out."""
    return network(Handout(), np.float64)


def network(form, dtype):
    names, (x, labels) = notebook_names(), batch()
    params = convnet.init_convnet(names["layers"], 0, dtype)
    state = [params, zeros_like(params)]
    a1 = np.ascontiguousarray(x.astype(dtype).T).reshape(-1, 1, 28, 28)

    def step():
        p, gradient = state[0], {}
        a2, columns2 = form.convolve(a1, p[2])
        a3 = form.pool(a2)
        a4, columns4 = form.convolve(a3, p[4])
        a5 = form.pool(a4)
        flat = a5.reshape(len(a5), -1).T
        a6 = p[6]["w"] @ flat + p[6]["b"][:, None]
        a7 = np.maximum(a6, 0)
        _, _, diff = convnet.softmax_loss(p[8]["w"] @ a7 + p[8]["b"][:, None], labels)
        gradient[8] = {"w": diff @ a7.T, "b": diff.sum(axis=1)}
        diff = (p[8]["w"].T @ diff) * (a6 > 0)
        gradient[6] = {"w": diff @ flat.T, "b": diff.sum(axis=1)}
        diff = form.pool_back((p[6]["w"].T @ diff).T.reshape(a5.shape), a4, a5)
        gradient[4], diff = form.convolve_back(diff, a3, columns4, p[4])
        diff = form.pool_back(diff, a2, a3)
        gradient[2] = form.convolve_back_lowest(diff, a1, columns2, p[2])
        state[:] = names["sgd_momentum"](1e-3, 1e-3, 0.9, 5e-4, *state, gradient)
        return gradient

    return step


def torch_step(threads, compiled=False):
    """The same network in PyTorch, eager or compiled."""
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

    def loss_of(images, labels):
        return nn.functional.cross_entropy(network(images), labels)

    loss_of = torch.compile(loss_of) if compiled else loss_of

    def step():
        optimizer.zero_grad()
        loss_of(images, labels).backward()
        optimizer.step()

    return step


def compiled_step(threads):
    if not any(map(shutil.which, ("g++", "clang++", "cl"))):
        raise Unavailable("there is no C++ compiler")
    from torch._dynamo.exc import TorchDynamoException

    step = torch_step(threads, compiled=True)
    try:
        step()
    except TorchDynamoException as error:  # of a compiler that lacks Python's headers, say
        reason = str(error).strip().splitlines()[0]
        raise Unavailable(f"torch.compile failed: {reason}") from None
    return step


def products_step(threads):
    """The matrix products of one step, and nothing else."""
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
            x @ d.T  # as in helpers.numpy_layers
            if down:
                w.T @ d

    return step


# --- its second convolution alone, forwards and backwards: 20 to 50 channels, 12 × 12 images


def _convolution(dtype):
    """Return images [64, 20, 12, 12], the parameters, and the derivative by the outputs."""
    rng = np.random.default_rng(0)
    images = rng.random((BATCH_SIZE, 20, 12, 12)).astype(dtype)
    param = {"w": rng.normal(0, 0.05, (50, 20 * K * K)).astype(dtype), "b": np.zeros(50, dtype)}
    return images, param, rng.normal(size=(BATCH_SIZE, 50, 8, 8)).astype(dtype)


def convolution_handout_step(threads):
    return _convolution_batch_first(Handout())


def convolution_batch_first_step(threads):
    return _convolution_batch_first(BatchFirst())


def _convolution_batch_first(form):
    images, param, diff = _convolution(np.float32)

    def step():
        outputs, columns = form.convolve(images, param)
        gradient, d_images = form.convolve_back(diff, images, columns, param)
        return outputs, d_images, gradient["w"]

    return step


def convolution_batch_last_step(threads):
    images, param, diff = _convolution(np.float32)
    weights = param["w"].reshape(50, 20, K, K)
    halves = [
        (numpy_layers.batch_last(x), numpy_layers.batch_last(d))
        for x, d in zip(np.split(images, threads), np.split(diff, threads), strict=True)
    ]
    team = ThreadPoolExecutor(threads)

    def work(half):
        x, d = half
        outputs, columns = numpy_layers.convolution_forward(x, weights, param["b"])
        d_images, d_w, _ = numpy_layers.convolution_backward(d, columns, weights, x.shape)
        return outputs, d_images, d_w

    def step():
        outputs, d_images, d_w = zip(*team.map(work, halves), strict=True)
        return outputs, d_images, sum(d_w).reshape(50, -1)

    return step


def convolution_torch_step(threads):
    import torch

    images, param, diff = _convolution(np.float32)
    x, w, b = (
        torch.tensor(a, requires_grad=True)
        for a in (images, param["w"].reshape(50, 20, K, K), param["b"])
    )
    d_outputs = torch.tensor(diff)

    def step():
        x.grad = w.grad = b.grad = None
        outputs = torch.nn.functional.conv2d(x, w, b)
        outputs.backward(d_outputs)
        return outputs.detach(), x.grad, w.grad.reshape(50, -1)

    return step


# --- layers on images [batch, channels, height, width]


class BatchFirst:
    """Every layer without loops over images or windows."""

    def convolve(self, images, param):
        """Return the outputs, and columns [batch, channels · K · K, windows]."""
        columns = self.im2col(images)
        outputs = param["w"] @ columns + param["b"][:, None]
        size = images.shape[2] - K + 1
        return outputs.reshape(len(images), -1, size, size), columns

    def convolve_back(self, diff, images, columns, param):
        """Return the derivatives by the parameters and by the images."""
        d_images = self.add_windows(param["w"], diff.reshape(*diff.shape[:2], -1), images.shape)
        return d_parameters(diff, columns), d_images

    def convolve_back_lowest(self, diff, images, columns, param):
        """Return the derivatives by the parameters alone."""
        return d_parameters(diff, columns)

    def im2col(self, images):
        windows = sliding_window_view(images, (K, K), axis=(2, 3))
        return windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(images), images.shape[1] * K * K, -1)

    def add_windows(self, w, diff, shape):
        """Down, then across, one row of the windows at a time: as in helpers.numpy_layers."""
        batch, channels, height, width = shape
        size = width - K + 1
        summed_down = np.zeros((batch, channels, K, height, size), diff.dtype)
        for row in range(K):
            w_row = w.reshape(-1, channels, K, K)[:, :, row].reshape(len(w), -1)
            window_row = (w_row.T @ diff).reshape(batch, channels, K, size, size)
            summed_down[:, :, :, row : row + size] += window_row
        images = np.zeros(shape, diff.dtype)
        for column in range(K):
            images[..., column : column + size] += summed_down[:, :, column]
        return images

    def pool(self, images):
        maxima = images[..., ::2, ::2].copy()
        for row, column in [(0, 1), (1, 0), (1, 1)]:
            np.maximum(maxima, images[..., row::2, column::2], out=maxima)
        return maxima

    def pool_back(self, diff, images, maxima):
        d_images, waiting = np.zeros_like(images), np.ones(maxima.shape, bool)
        for row, column in np.ndindex(2, 2):
            first = waiting & (images[..., row::2, column::2] == maxima)
            d_images[..., row::2, column::2] = diff * first
            waiting &= ~first
        return d_images


def d_parameters(diff, columns):
    diff = diff.reshape(*diff.shape[:2], -1)
    return {"w": (diff @ columns.transpose(0, 2, 1)).sum(axis=0), "b": diff.sum(axis=(0, 2))}


class Loops(BatchFirst):
    """The same with loops over images and windows."""

    def im2col(self, images):
        size = images.shape[2] - K + 1
        places = list(np.ndindex(size, size))
        columns = [
            np.array([x[:, i : i + K, j : j + K].ravel() for i, j in places]) for x in images
        ]
        return np.array(columns).transpose(0, 2, 1)

    def add_windows(self, w, diff, shape):
        d_images = np.zeros(shape, diff.dtype)
        size = shape[2] - K + 1
        for image, d in zip(d_images, diff, strict=True):
            columns = w.T @ d
            for i, j in np.ndindex(size, size):
                image[:, i : i + K, j : j + K] += columns[:, i * size + j].reshape(-1, K, K)
        return d_images

    def pool(self, images):
        size = images.shape[2] // 2
        pooled = np.empty((*images.shape[:2], size, size), images.dtype)
        for i, j in np.ndindex(size, size):
            window = images[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            pooled[:, :, i, j] = window.max(axis=(2, 3))
        return pooled

    def pool_back(self, diff, images, maxima):
        d_images = np.zeros_like(images)
        n, c = np.indices(images.shape[:2])
        for i, j in np.ndindex(*diff.shape[2:]):
            window = images[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            row, column = np.divmod(window.reshape(*n.shape, 4).argmax(axis=2), 2)
            d_images[n, c, 2 * i + row, 2 * j + column] += diff[:, :, i, j]
        return d_images


class Handout(Loops):
    """Backwards it makes the columns again, and even the lowest layer passes a derivative down."""

    def convolve_back(self, diff, images, columns, param):
        return super().convolve_back(diff, images, self.im2col(images), param)

    def convolve_back_lowest(self, diff, images, columns, param):
        return self.convolve_back(diff, images, columns, param)[0]
