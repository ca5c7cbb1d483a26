"""What the handout of CMU 10-601, Homework 7 (Spring 2017) gives: everything but seven functions.

The network is a dictionary `layers` with the keys 1, 2, …, each a dictionary that names its `type`:
first DATA, last LOSS, between them CONV, POOLING, IP and RELU. `params[i]` holds the matrix `w` and
the vector `b` of layer i, for the layers that have any. What flows between layers is a dictionary,
here called a structure, of `height`, `width`, `channel`, `batch_size`, `data` and `diff`.

`data` is `[height·width·channel, batch_size]`, a column for each image. Its rows run channel by
channel, row by row: entry (i, j) of channel k is row (i-1)·width + j + (k-1)·height·width, counted
from one as in the assignment. So `data` is `[channel, height, width, batch_size]`, flattened
without a copy; `as_images` and `as_structure` go back and forth. `diff` is the loss's derivative
by `data`.

The layers that a student writes reach `conv_net` as an argument: a dictionary from a layer's type
to its two functions, `{"POOLING": (pooling_layer_forward, pooling_layer_backward), …}`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor

import numpy as np

from helpers import data as datasets
from helpers import numpy_layers
from helpers.errors import ReaderError
from helpers.numpy_layers import NotFiniteError

Structure = dict[str, object]
Layer = Mapping[str, object]
Parameters = dict[int, dict[str, np.ndarray]]
LayerFunctions = Mapping[str, tuple[Callable, Callable]]

WITH_PARAMETERS = ("CONV", "IP", "LOSS")
TYPES = ("DATA", "CONV", "POOLING", "IP", "RELU", "LOSS")


class Diverged(ReaderError, ArithmeticError):
    """A training whose numbers stopped being finite in step `step`, with its `settings`."""

    def __init__(self, step: int, settings: Mapping[str, float], cause: NotFiniteError):
        shown = ", ".join(f"{name} = {value:g}" for name, value in settings.items())
        super().__init__(
            f"step {step}, {cause}. The settings were {shown}; "
            "a smaller epsilon is the usual cure, or a larger batch."
        )
        self._made_of = step, settings, cause

    def __reduce__(self) -> tuple:
        """Let it come back from another process, where an exception is made anew."""
        return type(self), self._made_of


# Data and structures


def load_mnist(
    fullset: bool, dataset: datasets.ImageDataset | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return `(xtrain, ytrain, xtest, ytest)`: float32 features in [0, 1] and int64 labels.

    Features are `[784, n]`, a column for each image, stored image after image. Without `fullset`
    the training data is every 20th image; the test data is always whole. `dataset` is MNIST unless
    another `ImageDataset` is given.
    """
    dataset = dataset or datasets.mnist()
    step = 1 if fullset else 20
    train, test = dataset.train_images[::step], dataset.test_images
    xtrain, xtest = (
        x.reshape(len(x), -1).astype(np.float32).T / np.float32(255) for x in (train, test)
    )
    return xtrain, dataset.train_labels[::step], xtest, dataset.test_labels


def as_structure(images: np.ndarray) -> Structure:
    """Wrap `[channel, height, width, batch_size]` in a structure, its `diff` still unknown.

    Raises a ValueError for an array that does not have these four axes.
    """
    if np.ndim(images) != 4:
        raise ValueError(
            "as_structure needs [channel, height, width, batch_size], got the shape "
            f"{np.shape(images)}"
        )
    channel, height, width, batch_size = images.shape
    return {
        "height": height,
        "width": width,
        "channel": channel,
        "batch_size": batch_size,
        "data": images.reshape(-1, batch_size),
        "diff": None,
    }


def as_images(structure: Structure, layer: str, field: str = "data") -> np.ndarray:
    """Return `data` (or `diff`) as `[channel, height, width, batch_size]`, without a copy.

    A ValueError that names `layer` says when the array does not have the shape that the structure
    promises. A field in the place of the layer's name is a ValueError too.
    """
    if layer in ("data", "diff"):
        raise ValueError(
            "as_images takes the name of the layer first, then 'data' or 'diff': "
            f'as_images(…, "layer", {layer!r})'
        )
    shape = tuple(structure[name] for name in ("channel", "height", "width", "batch_size"))
    matrix = structure[field]
    promised = (shape[0] * shape[1] * shape[2], shape[3])
    if getattr(matrix, "shape", None) != promised:
        raise ValueError(
            f"{layer}: {field!r} must have the shape {promised}, channel {shape[0]} · height "
            f"{shape[1]} · width {shape[2]} by batch_size {shape[3]}; "
            f"got {getattr(matrix, 'shape', matrix)}"
        )
    return matrix.reshape(shape)


# The given layers


def im2col_conv(input: Structure, layer: Layer) -> np.ndarray:
    """Return a column for every window of every image: `[channel·k·k, windows·batch_size]`."""
    images = as_images(input, "convolution layer")
    return numpy_layers.im2col(images, layer["k"], layer["stride"], layer["pad"])


def col2im_conv(columns: np.ndarray, input: Structure, layer: Layer) -> np.ndarray:
    """Add every column to the window that it came from; return an array like `input["data"]`."""
    shape = as_images(input, "convolution layer").shape
    images = numpy_layers.col2im(columns, shape, layer["k"], layer["stride"], layer["pad"])
    return images.reshape(-1, shape[3])


def conv_layer_forward(
    input: Structure, layer: Layer, param: Mapping[str, np.ndarray]
) -> Structure:
    """Apply `num` filters of `k` by `k`; `w` is `[num, channel·k·k]`, `b` is `[num]`.

    The output also keeps its `columns`, which the backward pass needs again.
    """
    images = as_images(input, "convolution layer")
    weights = _filters(input, layer, param)
    outputs, columns = numpy_layers.convolution_forward(
        images, weights, param["b"], layer["stride"], layer["pad"]
    )
    return as_structure(outputs) | {"columns": columns}


def conv_layer_backward(
    output: Structure, input: Structure, layer: Layer, param: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return `(param_grad, input_od)` from `output["diff"]`; each has its original's shape."""
    input_od = numpy_layers.convolution_backward_images(
        as_images(output, "convolution layer", "diff"),
        _filters(input, layer, param),
        as_images(input, "convolution layer").shape,
        layer["stride"],
        layer["pad"],
    )
    gradient = conv_layer_backward_parameters(output, input, layer, param)
    return gradient, input_od.reshape(-1, input["batch_size"])


def conv_layer_backward_parameters(
    output: Structure, input: Structure, layer: Layer, param: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return `param_grad` alone: all that the lowest layer of a network needs."""
    diff = as_images(output, "convolution layer", "diff")
    weights = _filters(input, layer, param)
    w, b = numpy_layers.convolution_backward_parameters(diff, output["columns"], weights)
    return {"w": w.reshape(param["w"].shape), "b": b}


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the probabilities of `[classes, batch_size]` scores, a column for each image."""
    # Shifting a column changes nothing but keeps the exponentials finite.
    exponentials = np.exp(scores - scores.max(axis=0))
    return exponentials / exponentials.sum(axis=0)


def softmax_loss(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the mean of -log p(label), the probabilities, and the mean's derivative by the scores.

    `scores` is `[classes, batch_size]`, `labels` `[batch_size]` whole numbers from 0. The
    derivative is (probabilities - one-hot labels) / batch_size.
    """
    classes, batch_size = scores.shape
    labels = np.asarray(labels)
    known = labels.shape == (batch_size,) and np.issubdtype(labels.dtype, np.integer)
    if not known or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"loss layer: labels must be {batch_size} whole numbers from 0 to {classes - 1}, "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    columns = np.arange(batch_size)
    shifted = scores - scores.max(axis=0)
    # log p = score - log Σ exp(score): no logarithm of a probability that has rounded to zero.
    cost = np.mean(np.log(np.exp(shifted).sum(axis=0)) - shifted[labels, columns])
    probabilities = softmax(scores)
    derivative = probabilities / scores.dtype.type(batch_size)
    derivative[labels, columns] -= scores.dtype.type(1 / batch_size)
    return float(cost), probabilities, derivative


def mlrloss(
    input: Structure, layer: Layer, param: Mapping[str, np.ndarray], labels: np.ndarray
) -> tuple[dict[str, float], dict[str, np.ndarray], np.ndarray]:
    """Multinomial logistic regression: inner product, softmax and loss in one layer.

    Returns `cp` with the mean `cost` and the share `percent` of images classified correctly, the
    gradient of `w` `[num, d]` and `b` `[num]`, and the derivative by `input["data"]` `[d, batch]`.
    """
    scores = _scores(input, param)
    cost, probabilities, derivative = softmax_loss(scores, labels)
    cp = {"cost": cost, "percent": float(np.mean(probabilities.argmax(axis=0) == labels))}
    gradient = {"w": derivative @ input["data"].T, "b": derivative.sum(axis=1)}
    return cp, gradient, param["w"].T @ derivative


# The network


def init_convnet(layers: Mapping[int, Layer], seed: int, dtype: type = np.float32) -> Parameters:
    """Return `params`: `w` uniform in ±√(3 / inputs of a unit), of variance 1 / inputs; `b` zero.

    Walks through `layers` to find every shape, so that a geometry that does not fit is a
    ValueError before any training.
    """
    rng = np.random.default_rng(seed)
    params = {}
    for i, (shape, layer) in enumerate(zip(layer_shapes(layers), layers.values(), strict=True), 1):
        if layer["type"] in WITH_PARAMETERS:
            channel, height, width = shape
            inputs = (
                channel * layer["k"] ** 2 if layer["type"] == "CONV" else channel * height * width
            )
            bound = np.sqrt(3 / inputs)
            w = rng.uniform(-bound, bound, (layer["num"], inputs)).astype(dtype)
            params[i] = {"w": w, "b": np.zeros(layer["num"], dtype)}
    return params


def layer_shapes(layers: Mapping[int, Layer]) -> list[tuple[int, int, int]]:
    """Return the `(channel, height, width)` that enters each layer, for DATA the images' own."""
    kinds = [layers[i]["type"] if i in layers else None for i in range(1, len(layers) + 1)]
    known = all(kind in TYPES for kind in kinds)
    if not known or kinds[:1] != ["DATA"] or kinds[-1] != "LOSS" or "LOSS" in kinds[:-1]:
        raise ValueError(
            f"layers must have the keys 1 to {len(layers)}, begin with DATA and end with LOSS, "
            f"with types among {', '.join(TYPES)}; got {dict(zip(layers, kinds, strict=True))}"
        )
    first = layers[1]
    shapes = [(first["channel"], first["height"], first["width"])]
    shape = shapes[0]
    for i in range(2, len(layers) + 1):
        shapes.append(shape)
        layer, name = layers[i], layer_name(layers, i)
        if layer["type"] in ("CONV", "POOLING"):
            size = numpy_layers.output_size(
                shape[1:], layer["k"], layer["stride"], layer["pad"], name
            )
            shape = (layer["num"] if layer["type"] == "CONV" else shape[0], *size)
        elif layer["type"] == "IP":
            shape = (1, layer["num"], 1)
    return shapes


def layer_name(layers: Mapping[int, Layer], i: int) -> str:
    """Return what messages call a layer, e.g. "layer 3 (POOLING)"."""
    return f"layer {i} ({layers[i]['type']})"


def conv_net_forward(
    params: Parameters, layers: Mapping[int, Layer], data: np.ndarray, functions: LayerFunctions
) -> dict[int, Structure]:
    """Return the output of every layer but the last, by layer; `data` is `[d, batch_size]`."""
    first = layers[1]
    # Columns picked out of a larger array come in an order that would slow every copy down.
    data = np.ascontiguousarray(data)
    output = {1: {name: first[name] for name in ("height", "width", "channel")}}
    output[1] |= {"batch_size": data.shape[-1], "data": data, "diff": None}
    numpy_layers.require_finite(as_images(output[1], layer_name(layers, 1)), layer_name(layers, 1))
    for i in range(2, len(layers)):
        forward, _ = _functions(layers, i, functions)
        own = (params[i],) if i in params else ()
        output[i] = forward(output[i - 1], layers[i], *own)
    return output


def conv_net(
    params: Parameters,
    layers: Mapping[int, Layer],
    data: np.ndarray,
    labels: np.ndarray,
    functions: LayerFunctions,
) -> tuple[dict[str, float], Parameters]:
    """Return `cp`, the cost and the share of correct answers, and the gradient of all parameters.

    `data` is `[d, batch_size]`, `labels` `[batch_size]`; `functions` maps POOLING, IP and RELU to
    `(forward, backward)`. A `NotFiniteError` names the first layer whose output is not finite.
    """
    last = len(layers)
    output = conv_net_forward(params, layers, data, functions)
    cp, gradient, input_od = mlrloss(output[last - 1], layers[last], params[last], labels)
    if not np.isfinite(cp["cost"]):
        for i in range(2, last):
            numpy_layers.require_finite(output[i]["data"], layer_name(layers, i))
        raise NotFiniteError(f"{layer_name(layers, last)}: the cost is {cp['cost']}")
    param_grad = {last: gradient}
    for i in range(last - 1, 1, -1):
        output[i]["diff"] = input_od
        arguments = (output[i], output[i - 1], layers[i])
        if i == 2 and layers[i]["type"] == "CONV":
            # Nobody asks for the derivative by the images: a large product saved.
            param_grad[i] = conv_layer_backward_parameters(*arguments, params[i])
        elif i in params:
            param_grad[i], input_od = _functions(layers, i, functions)[1](*arguments, params[i])
        else:
            input_od = _functions(layers, i, functions)[1](*arguments)
    return cp, param_grad


def parallel_conv_net(
    workers: Executor,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    params: Parameters,
    layers: Mapping[int, Layer],
    functions: LayerFunctions,
) -> tuple[dict[str, float], Parameters]:
    """Run `conv_net` on all `parts` of a batch at once and return the whole batch's result.

    Each part is `(data, labels)`. Costs and gradients are means over images, so the batch's are
    the parts' means, weighted by their sizes.
    """
    runs = [workers.submit(conv_net, params, layers, *part, functions) for part in parts]
    total = sum(len(labels) for _, labels in parts)
    shares = [len(labels) / total for _, labels in parts]
    results = [run.result() for run in runs]
    costs, gradients = zip(*results, strict=True)
    cp = {name: _mean(shares, [cost[name] for cost in costs]) for name in costs[0]}
    param_grad = {
        i: {name: _mean(shares, [g[i][name] for g in gradients]) for name in own}
        for i, own in gradients[0].items()
    }
    return cp, param_grad


def predict(
    params: Parameters,
    layers: Mapping[int, Layer],
    data: np.ndarray,
    functions: LayerFunctions,
    batch_size: int = 100,
) -> np.ndarray:
    """Return the probabilities `[classes, n]` of all images `[d, n]`, `batch_size` at a time."""
    last = len(layers)
    probabilities = []
    for start in range(0, data.shape[1], batch_size):
        images = data[:, start : start + batch_size]
        output = conv_net_forward(params, layers, images, functions)[last - 1]
        probabilities.append(softmax(_scores(output, params[last])))
    return np.concatenate(probabilities, axis=1)


# Training


def get_lr(step: int, epsilon: float, gamma: float, power: float) -> float:
    """Return the learning rate ε / (1 + γ·step)^power of the assignment's equation 11."""
    return epsilon / (1 + gamma * step) ** power


def random_batches(count: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield, without end, `batch_size` of the indices below `count` at a time.

    Every image comes once before any comes again; each round has its own random order.
    """
    rng = np.random.default_rng(seed)
    waiting = np.empty(0, np.int64)
    while True:
        while len(waiting) < batch_size:
            waiting = np.concatenate([waiting, rng.permutation(count)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


# Checking gradients


def finite_difference(
    forward: Callable[[Structure], Structure],
    output: Structure,
    input: Structure,
    h: float = 1e-6,
) -> np.ndarray:
    """Return `input_od_approx`, the derivative that a layer's backward function should return.

    `output["diff"]` is the loss's derivative by the layer's output, so the loss changes with the
    input as the sum of `diff · forward(input)["data"]` does. `input["data"]` must be float64; it is
    moved by ±h, one element after the other, and put back.
    """
    diff = output["diff"]
    return numpy_layers.finite_difference(
        lambda: float(np.vdot(diff, forward(input)["data"])), input["data"], h
    )


def _functions(layers: Mapping[int, Layer], i: int, functions: LayerFunctions) -> tuple:
    kind = layers[i]["type"]
    if kind == "CONV":
        return conv_layer_forward, conv_layer_backward
    if kind not in functions:
        raise ValueError(
            f"{layer_name(layers, i)}: no functions were given for this type, "
            f"only for {', '.join(functions)}"
        )
    return functions[kind]


def _mean(shares: Sequence[float], values: Sequence) -> np.ndarray | float:
    mean = shares[0] * values[0]
    for share, value in zip(shares[1:], values[1:], strict=True):
        mean += share * value
    return mean


def _filters(input: Structure, layer: Layer, param: Mapping[str, np.ndarray]) -> np.ndarray:
    channel, k, num = input["channel"], layer["k"], layer["num"]
    if param["w"].shape != (num, channel * k * k):
        raise ValueError(
            f"convolution layer: w must be {(num, channel * k * k)}, num by channel · k · k; "
            f"got {param['w'].shape}"
        )
    return param["w"].reshape(num, channel, k, k)


def _scores(input: Structure, param: Mapping[str, np.ndarray]) -> np.ndarray:
    if param["w"].shape[1] != input["data"].shape[0]:
        raise ValueError(
            f"loss layer: w is {param['w'].shape}, so data must have {param['w'].shape[1]} rows; "
            f"got {input['data'].shape}"
        )
    return param["w"] @ input["data"] + param["b"][:, np.newaxis]
