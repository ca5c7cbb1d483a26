"""The NumPy building blocks that a handout would give: im2col, the convolution, finite differences.

Every array of images is batch-last, `[channels, height, width, batch]`: copying a window moves
runs of `width · batch` neighbouring numbers, which is what makes NumPy fast here. Images from
`helpers.data` are `[batch, channels, height, width]`; `batch_last` turns them round, once.

`kernel_size`, `stride` and `padding` are a whole number, or a pair `(vertical, horizontal)`.
All functions keep the number type of their arguments: float32 to train, float64 to check.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Size = int | tuple[int, int]


class NotFiniteError(ValueError):
    """An array holds NaN or infinity; the message names the layer."""


def batch_last(images: np.ndarray) -> np.ndarray:
    """Copy `[batch, channels, height, width]` to contiguous `[channels, height, width, batch]`."""
    images = np.asarray(images)
    _require(images.ndim == 4, "batch_last", f"needs four axes, got the shape {images.shape}")
    return np.ascontiguousarray(images.transpose(1, 2, 3, 0))


def batch_first(images: np.ndarray) -> np.ndarray:
    """Copy `[channels, height, width, batch]` to contiguous `[batch, channels, height, width]`."""
    images = np.asarray(images)
    _require(images.ndim == 4, "batch_first", f"needs four axes, got the shape {images.shape}")
    return np.ascontiguousarray(images.transpose(3, 0, 1, 2))


def output_size(
    input_size: Sequence[int],
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    layer: str = "window",
) -> tuple[int, int]:
    """Return the `(height, width)` of what windows sliding over `input_size` produce.

    `input_size` is `(height, width)` too. Each is
    `(size + 2·padding - kernel_size) / stride + 1`; a ValueError that names `layer` says when a
    window is larger than its padded input, or when the windows do not fit exactly.
    """
    kernel_size = pair(kernel_size, "kernel_size", 1, layer)
    stride = pair(stride, "stride", 1, layer)
    padding = pair(padding, "padding", 0, layer)
    sizes = []
    for axis, size, k, s, p in zip(
        ("height", "width"), input_size, kernel_size, stride, padding, strict=True
    ):
        room = size + 2 * p - k
        if room < 0 or room % s:
            where = f"the window's {axis} {k} over an input of {axis} {size} with padding {p}"
            _require(room >= 0, layer, f"{where} does not fit: it may be at most {size + 2 * p}")
            raise ValueError(
                f"{layer}: {where} and stride {s} does not fit: "
                f"({size} + 2·{p} - {k}) must be a multiple of {s}"
            )
        sizes.append(room // s + 1)
    return tuple(sizes)


def window_slices(
    kernel_size: Size, stride: Size, size: Sequence[int]
) -> tuple[tuple[slice, slice], ...]:
    """Return, for each position inside a window in row-major order, the slices that gather it.

    `images[:, rows, columns]` then holds that one pixel of every window: an array
    `[channels, *size, batch]`, where `size` is the `output_size`. Pad the images before.
    """
    return tuple(product(*map(_slices, pair(kernel_size), pair(stride), size)))


def _slices(kernel_size: int, stride: int, count: int) -> list[slice]:
    """Return the slices along one axis that gather each position inside `count` windows."""
    return [slice(k, k + stride * (count - 1) + 1, stride) for k in range(kernel_size)]


def pad(images: np.ndarray, padding: Size, value: float = 0) -> np.ndarray:
    """Surround each image of `[channels, height, width, batch]` with a border of `value`."""
    p_h, p_w = pair(padding, "padding", 0)
    if p_h == p_w == 0:
        return images
    channels, height, width, batch = images.shape
    # Not np.pad: its bookkeeping takes longer than the copy of a small image.
    shape = (channels, height + 2 * p_h, width + 2 * p_w, batch)
    padded = np.full(shape, value, images.dtype)
    padded[:, p_h : height + p_h, p_w : width + p_w] = images
    return padded


def crop(images: np.ndarray, padding: Size) -> np.ndarray:
    """Take off the border that `pad` put on."""
    p_h, p_w = pair(padding, "padding", 0)
    _, height, width, _ = images.shape
    return images[:, p_h : height - p_h, p_w : width - p_w]


def im2col(
    images: np.ndarray, kernel_size: Size, stride: Size = 1, padding: Size = 0
) -> np.ndarray:
    """Lay every window out as a column, so that a convolution becomes one matrix product.

    `images` is `[channels, height, width, batch]`. The result is
    `[channels · k_h · k_w, out_height · out_width · batch]`: a row for each channel and position
    inside the window, a column for each window and image.
    Source: Chellapilla, Puri and Simard, High performance convolutional neural networks for
    document processing (2006).
    """
    _require_images(images, "im2col")
    output_size(images.shape[1:3], kernel_size, stride, padding, "im2col")
    return _im2col(images, kernel_size, stride, padding)


def _im2col(images, kernel_size, stride, padding):
    (k_h, k_w), (s_h, s_w) = pair(kernel_size), pair(stride)
    windows = sliding_window_view(pad(images, padding), (k_h, k_w), axis=(1, 2))[:, ::s_h, ::s_w]
    # A view up to here, [channels, out_height, out_width, batch, k_h, k_w]; then the only copy.
    columns = windows.transpose(0, 4, 5, 1, 2, 3).copy()
    return columns.reshape(len(images) * k_h * k_w, -1)


def col2im(
    columns: np.ndarray,
    input_shape: Sequence[int],
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
) -> np.ndarray:
    """Add every column back where `im2col` took it from: the transpose of that linear map.

    `columns` is `[channels · k_h · k_w, out_height · out_width · batch]` and `input_shape` the
    `(channels, height, width, batch)` of the images; pixels that lie in several windows receive
    the sum.
    """
    channels, height, width, batch = input_shape
    size = output_size((height, width), kernel_size, stride, padding, "col2im")
    k_h, k_w = pair(kernel_size)
    shape = (channels * k_h * k_w, size[0] * size[1] * batch)
    _require(columns.shape == shape, "col2im", f"needs columns {shape}, got {columns.shape}")
    window_rows = columns.reshape(channels, k_h, k_w, *size, batch).swapaxes(0, 1)
    return _add_rows(window_rows, input_shape, (k_h, k_w), stride, padding, columns.dtype)


def _add_rows(
    window_rows: Iterable[np.ndarray],
    input_shape: Sequence[int],
    kernel_size: Size,
    stride: Size,
    padding: Size,
    dtype: np.dtype,
) -> np.ndarray:
    """Add the windows back into images, from one row of all the windows after the other.

    Each of the `k_h` rows is `[channels, k_w, out_height, out_width, batch]`.
    """
    (k_h, k_w), (s_h, s_w), (p_h, p_w) = pair(kernel_size), pair(stride), pair(padding)
    out_height, out_width = output_size(input_shape[1:3], kernel_size, stride, padding)
    channels, height, width, batch = input_shape
    # First down, then across: k_h + k_w additions of arrays instead of k_h · k_w.
    summed_down = np.zeros((channels, k_w, height + 2 * p_h, out_width, batch), dtype)
    for rows, window_row in zip(_slices(k_h, s_h, out_height), window_rows, strict=True):
        summed_down[:, :, rows] += window_row
    images = np.zeros((channels, height + 2 * p_h, width + 2 * p_w, batch), dtype)
    for position, cols in enumerate(_slices(k_w, s_w, out_width)):
        images[:, :, cols] += summed_down[:, position]
    return crop(images, padding)


def convolution_forward(
    images: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    stride: Size = 1,
    padding: Size = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-correlate images with filters; return `(outputs, columns)`.

    `images` is `[channels, height, width, batch]`, `weights` `[filters, channels, k_h, k_w]`,
    `bias` `[filters]`; `outputs` is `[filters, out_height, out_width, batch]`. The backward
    functions take `columns`, the im2col of the images.
    A ValueError names what does not fit.
    """
    _require_images(images, "convolution")
    filters, _, k_h, k_w = _require_filters(images, weights, bias)
    size = output_size(images.shape[1:3], (k_h, k_w), stride, padding, "convolution")
    columns = _im2col(images, (k_h, k_w), stride, padding)
    outputs = weights.reshape(filters, -1) @ columns
    outputs += bias[:, np.newaxis]
    return outputs.reshape(filters, *size, images.shape[3]), columns


def convolution_backward_parameters(
    d_outputs: np.ndarray, columns: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return `(d_weights, d_bias)`, the loss's derivatives, from those by the outputs.

    `d_outputs` is `[filters, out_height, out_width, batch]` and `columns` what the forward pass
    returned. With matrices, `outputs = weights @ columns + bias`, so
    `d_weights = d_outputs @ columns.T` and `d_bias` sums over windows and images.
    """
    d_outputs = _as_matrix(d_outputs, columns, weights)
    # The same product, transposed: with its long side first, BLAS computes it faster.
    d_weights = (columns @ d_outputs.T).T
    return d_weights.reshape(weights.shape), d_outputs.sum(axis=1)


def convolution_backward_images(
    d_outputs: np.ndarray,
    weights: np.ndarray,
    input_shape: Sequence[int],
    stride: Size = 1,
    padding: Size = 0,
) -> np.ndarray:
    """Return the loss's derivative by the images, of shape `input_shape`, from that by the outputs.

    The product `weights.T @ d_outputs` holds a derivative for every pixel of every window, and
    those that belong to the same pixel of an image are added up, as `col2im` does. It is computed
    for one row of the windows at a time: what is added is then still in the processor's cache.
    """
    filters, channels, k_h, k_w = weights.shape
    size = output_size(input_shape[1:3], (k_h, k_w), stride, padding, "convolution")
    needed = (filters, *size, input_shape[3])
    _require(
        d_outputs.shape == needed,
        "convolution",
        f"d_outputs must be [filters, height, width, batch], {needed}; got {d_outputs.shape}",
    )
    d_matrix = d_outputs.reshape(filters, -1)
    window_rows = (
        (weights[:, :, row].reshape(filters, -1).T @ d_matrix).reshape(channels, k_w, *needed[1:])
        for row in range(k_h)
    )
    return _add_rows(window_rows, input_shape, (k_h, k_w), stride, padding, d_outputs.dtype)


def convolution_backward(
    d_outputs: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray,
    input_shape: Sequence[int],
    stride: Size = 1,
    padding: Size = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `(d_images, d_weights, d_bias)`; see the two functions above for the shapes."""
    d_weights, d_bias = convolution_backward_parameters(d_outputs, columns, weights)
    d_images = convolution_backward_images(d_outputs, weights, input_shape, stride, padding)
    return d_images, d_weights, d_bias


def finite_difference(function: Callable[[], float], x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """Return the gradient of `function()` by the array `x`, one element at a time.

    `function` takes no argument, reads `x` where it stands and returns a number; each element is
    moved by ±h and put back, `(f(x + h) - f(x - h)) / 2h`, with an error of order h². `x` must be
    float64: in float32 the difference drowns in rounding.
    """
    _require(
        isinstance(x, np.ndarray) and x.dtype == np.float64,
        "finite_difference",
        f"x must be a float64 array, got {getattr(x, 'dtype', type(x).__name__)}",
    )
    _require(h > 0, "finite_difference", f"the step h must be above 0, got {h}")
    gradient = np.empty_like(x)
    for index in np.ndindex(*x.shape):
        centre = x[index]
        x[index] = centre + h
        above = function()
        x[index] = centre - h
        below = function()
        x[index] = centre
        gradient[index] = (above - below) / (2 * h)
    return gradient


def pair(
    value: Size, name: str = "value", minimum: int | None = None, layer: str = "window"
) -> tuple[int, int]:
    """Return `(vertical, horizontal)` of a whole number or a pair; ValueError otherwise."""
    # Called many times in every training step, nearly always with a plain number.
    if type(value) is int and (minimum is None or value >= minimum):
        return value, value
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values)
    fits = whole and len(values) == 2 and (minimum is None or min(values) >= minimum)
    least = "" if minimum is None else f" of at least {minimum}"
    _require(fits, layer, f"{name} must be a whole number{least} or a pair of them, got {value!r}")
    return values


def require_finite(array: np.ndarray, layer: str) -> None:
    """Raise a `NotFiniteError` that names `layer` when the array holds NaN or infinity."""
    # The two extremes show both without the temporary array that isfinite(array) would need.
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        bad = int(np.sum(~np.isfinite(array)))
        raise NotFiniteError(
            f"{layer}: {bad} of {array.size} numbers in the array of shape {array.shape} "
            "are NaN or infinite; all must be finite"
        )


def _require_images(images: np.ndarray, layer: str) -> None:
    shape = getattr(images, "shape", None)
    _require(
        shape is not None and len(shape) == 4 and 0 not in shape,
        layer,
        f"images must be a non-empty [channels, height, width, batch] array, got the shape {shape}",
    )
    if images.dtype.kind != "f":  # the message takes longer to write than all else here
        raise ValueError(f"{layer}: images must hold floating-point numbers, got {images.dtype}")
    require_finite(images, layer)


def _require_filters(images: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> tuple[int, ...]:
    _require(
        weights.ndim == 4 and weights.shape[1] == images.shape[0],
        "convolution",
        f"weights must be [filters, {images.shape[0]}, k_h, k_w] for images of "
        f"{images.shape[0]} channels, got the shape {weights.shape}",
    )
    _require(
        bias.shape == weights.shape[:1],
        "convolution",
        f"bias must have one number for each of {weights.shape[0]} filters, got {bias.shape}",
    )
    return weights.shape


def _as_matrix(d_outputs: np.ndarray, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    filters = weights.shape[0]
    _require(
        d_outputs.ndim == 4
        and d_outputs.shape[0] == filters
        and columns.shape == (weights[0].size, d_outputs[0].size),
        "convolution",
        f"d_outputs {d_outputs.shape} does not belong to columns {columns.shape} "
        f"and weights {weights.shape}",
    )
    return d_outputs.reshape(filters, -1)


def _require(condition: bool, layer: str, message: str) -> None:
    if not condition:
        raise ValueError(f"{layer}: {message}")
