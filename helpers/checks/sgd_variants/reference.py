"""The chapter's functions by PyTorch in double precision, independent of the notebook's own.

Images are batch-last, `[channels, height, width, batch]`, as in the notebook; each function keeps
the number type of its arguments. `standing_in` puts all of them into the notebook, so that a check
judges one answer and not those that it calls.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.checks.scope import replaced

Arrays = dict[str, np.ndarray]

SHAPES = {
    "conv1.weights": (4, 1, 5, 5),
    "conv1.bias": (4,),
    "conv2.weights": (4, 4, 5, 5),
    "conv2.bias": (4,),
    "hidden.weights": (49, 196),
    "hidden.bias": (49,),
    "output.weights": (10, 49),
    "output.bias": (10,),
}
PARAMETER_COUNT = sum(math.prod(shape) for shape in SHAPES.values())


def views(theta: np.ndarray) -> Arrays:
    """Return the arrays of `SHAPES`, by name, as views into the vector `theta`."""
    ends = np.cumsum([math.prod(shape) for shape in SHAPES.values()])
    pieces = np.split(theta, ends[:-1])
    return {name: a.reshape(shape) for (name, shape), a in zip(SHAPES.items(), pieces, strict=True)}


def initialize(rng: np.random.Generator, dtype: type = np.float32) -> np.ndarray:
    """Return a random `theta`: weights of the deviation √(2 / fan-in), biases zero."""
    theta = np.zeros(PARAMETER_COUNT, dtype)
    for array in views(theta).values():
        if array.ndim > 1:
            array[...] = math.sqrt(2 / array[0].size) * rng.standard_normal(array.shape)
    return theta


# --- softmax and its error


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return ln p of `[10, batch]`, over the classes."""
    return _like(logits, F.log_softmax(_tensor(logits), 0))


def cross_entropy(logits: np.ndarray, one_hot: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean error of a batch and its gradient by the logits `[10, batch]`."""
    z = _tensor(logits).requires_grad_()
    error = F.cross_entropy(z.T, _tensor(one_hot).argmax(0))
    error.backward()
    return error.item(), _like(logits, z.grad)


# --- the layers


def relu_forward(x: np.ndarray) -> np.ndarray:
    """Return max(x, 0)."""
    return np.where(x > 0, x, np.zeros_like(x))


def relu_backward(d_outputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the gradient by the inputs, which is 0 where the output is."""
    return np.where(outputs > 0, d_outputs, np.zeros_like(d_outputs))


def max_pool_forward(x: np.ndarray) -> np.ndarray:
    """Return the maxima of windows of 2 × 2."""
    return _like(x, _batch_last(F.max_pool2d(_batch_first(x), 2)))


def max_pool_backward(d_outputs: np.ndarray, x: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the gradient by `x`; of equal maxima of a window, the first one receives it."""
    X = _batch_first(x)
    _, places = F.max_pool2d(X, 2, return_indices=True)
    return _like(x, _batch_last(F.max_unpool2d(_batch_first(d_outputs), places, 2)))


def unfold(x: np.ndarray) -> np.ndarray:
    """Return every 5 × 5 window of the padded `x` as a column, `[channels · 25, height · …]`."""
    channels, height, width, batch = x.shape
    columns = F.unfold(_batch_first(x), 5, padding=2)  # [batch, channels · 25, height · width]
    return _like(x, columns.permute(1, 2, 0).reshape(channels * 25, height * width * batch))


def convolution_forward(x: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the cross-correlation with kernels of 5 × 5, of the size of `x`."""
    outputs = F.conv2d(_batch_first(x), _tensor(weights), _tensor(bias), padding=2)
    return _like(x, _batch_last(outputs))


def convolution_backward_parameters(
    d_outputs: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient by the kernels `[filters, channels, 5, 5]` and by the biases."""
    shape = (len(d_outputs), len(x), 5, 5)
    d_weights = torch.nn.grad.conv2d_weight(
        _batch_first(x), shape, _batch_first(d_outputs), padding=2
    )
    return _like(x, d_weights), _like(x, _tensor(d_outputs).sum((1, 2, 3)))


def convolution_backward_input(d_outputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the gradient by the input of the convolution."""
    d_x = F.conv_transpose2d(_batch_first(d_outputs), _tensor(weights), padding=2)
    return _like(d_outputs, _batch_last(d_x))


def dense_forward(x: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return W x + b for each column of `[inputs, batch]`."""
    return _like(x, F.linear(_tensor(x).T, _tensor(weights), _tensor(bias)).T)


def dense_backward(
    d_outputs: np.ndarray, x: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients by `x`, by the weights and by the biases."""
    d_y, X, W = map(_tensor, (d_outputs, x, weights))
    d_weights = torch.einsum("ob,ib->oi", d_y, X)
    return _like(x, W.T @ d_y), _like(x, d_weights), _like(x, d_y.sum(1))


# --- the network


def forward(theta: np.ndarray, images: np.ndarray) -> Arrays:
    """Return the images and all activations by name."""
    p, a = views(theta), {"images": images}
    a["relu1"] = relu_forward(convolution_forward(images, p["conv1.weights"], p["conv1.bias"]))
    a["pool1"] = max_pool_forward(a["relu1"])
    convolved = convolution_forward(a["pool1"], p["conv2.weights"], p["conv2.bias"])
    a["relu2"] = relu_forward(convolved)
    a["pool2"] = max_pool_forward(a["relu2"])
    a["flat"] = a["pool2"].reshape(-1, images.shape[3])
    a["hidden"] = relu_forward(dense_forward(a["flat"], p["hidden.weights"], p["hidden.bias"]))
    a["logits"] = dense_forward(a["hidden"], p["output.weights"], p["output.bias"])
    return a


def backward(theta: np.ndarray, activations: Arrays, d_logits: np.ndarray) -> np.ndarray:
    """Return the gradient by `theta`, a vector laid out as it."""
    p, a = views(theta), activations
    gradient = np.empty_like(theta)
    g = views(gradient)
    d_hidden, g["output.weights"][...], g["output.bias"][...] = dense_backward(
        d_logits, a["hidden"], p["output.weights"]
    )
    d_hidden = relu_backward(d_hidden, a["hidden"])
    d_flat, g["hidden.weights"][...], g["hidden.bias"][...] = dense_backward(
        d_hidden, a["flat"], p["hidden.weights"]
    )
    d_relu2 = max_pool_backward(d_flat.reshape(a["pool2"].shape), a["relu2"], a["pool2"])
    d_conv2 = relu_backward(d_relu2, a["relu2"])
    g["conv2.weights"][...], g["conv2.bias"][...] = convolution_backward_parameters(
        d_conv2, a["pool1"]
    )
    d_pool1 = convolution_backward_input(d_conv2, p["conv2.weights"])
    d_conv1 = relu_backward(max_pool_backward(d_pool1, a["relu1"], a["pool1"]), a["relu1"])
    g["conv1.weights"][...], g["conv1.bias"][...] = convolution_backward_parameters(
        d_conv1, a["images"]
    )
    return gradient


def error_and_gradient(
    theta: np.ndarray, images: np.ndarray, one_hot: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the mean error of a batch and its gradient by `theta`."""
    activations = forward(theta, images)
    error, d_logits = cross_entropy(activations["logits"], one_hot)
    return error, backward(theta, activations, d_logits)


# --- the reference in place of the notebook's own functions

_FUNCTIONS = (
    *(views, initialize, log_softmax, cross_entropy),
    *(relu_forward, relu_backward, max_pool_forward, max_pool_backward, unfold),
    *(convolution_forward, convolution_backward_parameters, convolution_backward_input),
    *(dense_forward, dense_backward, forward, backward, error_and_gradient),
)
REFERENCE = {
    "SHAPES": SHAPES,
    "PARAMETER_COUNT": PARAMETER_COUNT,
    **{function.__name__: function for function in _FUNCTIONS},
}


def standing_in(answer: Callable, name: str, **instead: object) -> AbstractContextManager[None]:
    """Let `answer`, called `name`, find the reference under all other names of the chapter.

    `instead` has what stands for a name instead of the reference. Afterwards, also after an error,
    the notebook has its own functions again.
    """
    others = {other: value for other, value in (REFERENCE | instead).items() if other != name}
    return replaced(answer, others)


# --- between NumPy, batch-last, and torch, batch-first


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float64))


def _like(array: np.ndarray, values: Tensor) -> np.ndarray:
    return values.detach().numpy().astype(array.dtype)


def _batch_first(images: np.ndarray) -> Tensor:
    return _tensor(images).permute(3, 0, 1, 2)


def _batch_last(images: Tensor) -> Tensor:
    return images.permute(1, 2, 3, 0)
