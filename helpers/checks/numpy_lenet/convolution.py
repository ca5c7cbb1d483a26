"""The checks of the convolution: in loops, backwards in loops, and as the handout's layer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from helpers import numpy_layers
from helpers.checks.diagnosis import Mistake, as_array, expect
from helpers.checks.errors import CheckError
from helpers.checks.numpy_lenet.reference import (
    call,
    call_and_compare,
    flat,
    misread,
    miswritten,
    numbers,
    pair_of,
    run,
    structure,
)
from helpers.checks.parts import Check

convolution_loops = Check("convolution_loops", "outputs agree with the reference in 9 geometries")
convolution_backward_loops = Check(
    "convolution_backward_loops", "d_w and d_image agree with the reference in 9 geometries"
)
conv_layer_backward = Check(
    "conv_layer_backward", "param_grad and input_od agree with the reference in 9 geometries"
)


@dataclass(frozen=True)
class Convolution:
    """Images `[channels, height, width, batch]`, filters, and the gradient at the output.

    All images lie under one sum, `outputs[f, i, j, n] = Σ w[f, c, a, b] · padded[c, s·i + a,
    s·j + b, n]`, and the derivatives are read off it term by term.
    """

    images: np.ndarray
    w: np.ndarray
    d_outputs: np.ndarray
    stride: int = 1
    padding: int = 0

    @property
    def k(self) -> int:
        """Return the side of a filter."""
        return self.w.shape[2]

    @property
    def padded(self) -> np.ndarray:
        """Return the images with their border of zeros."""
        p = self.padding
        return np.pad(self.images, ((0, 0), (p, p), (p, p), (0, 0)))

    @property
    def size(self) -> tuple[int, int]:
        """Return the output's height and width."""
        _, height, width, _ = self.padded.shape
        return (height - self.k) // self.stride + 1, (width - self.k) // self.stride + 1

    def places(self) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
        """Yield each place in the output with the slices of its window in the padded images."""
        for i, j in np.ndindex(*self.size):
            top, left = self.stride * i, self.stride * j
            yield i, j, (slice(top, top + self.k), slice(left, left + self.k))

    def forward(self, w: np.ndarray | None = None) -> np.ndarray:
        """Return `[filters, out_height, out_width, batch]`."""
        w, padded = self.w if w is None else w, self.padded
        outputs = np.zeros((len(w), *self.size, padded.shape[3]))
        for i, j, window in self.places():
            outputs[:, i, j] = np.einsum("fcab,cabn->fn", w, padded[:, *window])
        return outputs

    def d_w(self, d_outputs: np.ndarray | None = None) -> np.ndarray:
        """Return the derivative with respect to the weights, summed over places and images."""
        d_outputs = self.d_outputs if d_outputs is None else d_outputs
        d_w, padded = np.zeros(self.w.shape), self.padded
        for i, j, window in self.places():
            d_w += np.einsum("fn,cabn->fcab", d_outputs[:, i, j], padded[:, *window])
        return d_w

    def d_b(self) -> np.ndarray:
        """Return the derivative with respect to a bias for each filter."""
        return self.d_outputs.sum(axis=(1, 2, 3))

    def d_images(
        self,
        w: np.ndarray | None = None,
        d_outputs: np.ndarray | None = None,
        add: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.add,
    ) -> np.ndarray:
        """Return the gradient of the images; `add` combines what a pixel has with what it gets."""
        w = self.w if w is None else w
        d_outputs = self.d_outputs if d_outputs is None else d_outputs
        d_padded = np.zeros(self.padded.shape)
        for i, j, window in self.places():
            own = np.einsum("fn,fcab->cabn", d_outputs[:, i, j], w)
            d_padded[:, *window] = add(d_padded[:, *window], own)
        return self.crop(d_padded)

    def crop(self, padded: np.ndarray) -> np.ndarray:
        """Take off the border."""
        p, (_, height, width, _) = self.padding, padded.shape
        return padded[:, p : height - p, p : width - p]


def _convolution(
    channels: int,
    size: tuple[int, int],
    filters: int,
    k: int,
    batch_size: int = 1,
    stride: int = 1,
    padding: int = 0,
    dtype: type = np.float64,
) -> Convolution:
    """Return a convolution of random images, filters and derivatives of these sizes."""
    images = numbers((channels, *size, batch_size), seed=1, lowest=-0.8, dtype=dtype)
    w = numbers((filters, channels, k, k), seed=2, lowest=-0.7, dtype=dtype)
    out = tuple((side + 2 * padding - k) // stride + 1 for side in size)
    d_outputs = numbers((filters, *out, batch_size), seed=3, lowest=-0.6, dtype=dtype)
    return Convolution(images, w, d_outputs, stride, padding)


_ONE = [_convolution(1, (4, 4), 1, 2), _convolution(1, (5, 5), 1, 3, dtype=np.float32)]
_CHANNELS = [_convolution(3, (4, 4), 1, 2), _convolution(2, (5, 5), 1, 3, dtype=np.float32)]
_FILTERS = [_convolution(1, (4, 4), 3, 2), _convolution(2, (4, 4), 2, 2, dtype=np.float32)]
_SIDES = [
    _convolution(2, (5, 7), 3, 4),
    _convolution(3, (6, 3), 2, 1, dtype=np.float32),
    _convolution(3, (3, 3), 2, 3),  # one place in all
]


# --- one image, in loops


def _loops_given(case: Convolution) -> str:
    return (
        f"image {list(case.images.shape[:3])}, w {list(case.w.shape)} ({case.w.dtype}), stride 1, "
        "no padding"
    )


def _flipped(w: np.ndarray) -> np.ndarray:
    return w[:, :, ::-1, ::-1]


def _padded_alike(case: Convolution) -> Convolution:
    return Convolution(case.images, case.w, case.d_outputs, 1, case.k // 2)


def _forward_mistakes(case: Convolution) -> Iterator[Mistake]:
    right, w = case.forward()[..., 0], case.w
    for words, wrong in {
        "the filter is rotated by 180°; it lies on the image as it is": _flipped(w),
        "the filter is transposed: its rows run along the image's columns": w.swapaxes(2, 3),
        "the filter is mirrored": w[:, :, :, ::-1],
        "the filter is upside down": w[:, :, ::-1],
        "the filter of the first channel is used on all channels": (
            np.broadcast_to(w[:, :1], w.shape)
        ),
        "the first filter is used for all outputs": np.broadcast_to(w[:1], w.shape),
        "the channels of the filter are in the wrong order": w[:, ::-1],
    }.items():
        yield words, case.forward(wrong)[..., 0]
    single = [
        Convolution(case.images[[c]], w[:, [c]], case.d_outputs).forward()[..., 0]
        for c in range(len(case.images))
    ]
    channels = "the channels of the image are not summed"
    yield channels, np.stack(single)
    yield channels, np.stack(single, axis=1)
    yield channels, np.concatenate(single)
    yield "only the first channel of the image counts; all are summed", single[0]
    yield "only the last channel counts: the sum over channels starts anew", single[-1]
    yield "the mean over the channels is taken; they are summed", right / len(case.images)
    count = w[0].size
    yield "the mean of the products is taken; they are summed", right / count
    yield (
        "only one product of each window counts: their sum starts anew (= for +=)",
        (np.stack([case.images[-1, case.k - 1 :, case.k - 1 :, 0] * f[-1, -1, -1] for f in w])),
    )
    off = "off by one: there are height − k + 1 rows and width − k + 1 columns"
    yield off, right[:, :-1, :-1]
    short = right.copy()
    short[:, -1], short[:, :, -1] = 0, 0
    yield f"{off}; the last of them stay empty", short
    height, width = right.shape[1:]
    yield (
        "the image is padded with zeros, so that the output is larger",
        (_padded_alike(case).forward()[..., 0]),
    )
    large = np.zeros((len(w), *case.images.shape[1:3]))
    large[:, :height, :width] = right
    yield "the output is as large as the image; it is height − k + 1 by width − k + 1", large
    yield "rows and columns of the output are swapped", right.swapaxes(1, 2)
    yield "the filters come last; they are the first axis", np.moveaxis(right, 0, -1)
    yield "the outputs of the filters are summed", right.sum(axis=0)
    yield "the outputs of the filters are summed", right.sum(axis=0, keepdims=True)
    yield "only the first filter is used", np.concatenate([right[:1], 0 * right[1:]])
    yield "ReLU is applied", np.maximum(right, 0)


def _expect_loops(case: Convolution, got: object) -> None:
    right, mistakes = case.forward()[..., 0], _forward_mistakes(case)
    expect(convolution_loops.name, _loops_given(case), got, right, mistakes)


def _loops_part(name: str, cases: list[Convolution]) -> None:
    @convolution_loops.part(name)
    def _(answer: Callable) -> None:
        for case in cases:
            given, image = _loops_given(case), case.images[..., 0]
            _expect_loops(case, run(convolution_loops.name, given, answer, image, case.w))


_loops_part("one channel, one filter", _ONE)
_loops_part("several channels", _CHANNELS)
_loops_part("several filters", _FILTERS)
_loops_part("sides that differ, and filters of 4 × 4 and 1 × 1", _SIDES)


@convolution_loops.part("the arguments are left as they were")
def _(answer: Callable) -> None:
    for case in _ONE:
        arguments = {"image": case.images[..., 0], "w": case.w}
        result = call_and_compare(convolution_loops.name, _loops_given(case), answer, arguments)
        _expect_loops(case, result)


# --- backwards, in loops


def _d_w_mistakes(case: Convolution) -> Iterator[Mistake]:
    right, d_outputs, filters = case.d_w(), case.d_outputs, len(case.w)
    yield "the pair is in the wrong order: (d_w, d_image)", case.d_images()[..., 0]
    yield "d_w is rotated by 180°; it is a correlation, without flipping", _flipped(right)
    yield "d_w is transposed", right.swapaxes(2, 3)
    yield "filters and channels are swapped", right.swapaxes(0, 1)
    turned = d_outputs[:, ::-1, ::-1]
    yield "d_outputs is rotated by 180°; d_w is a correlation, without flipping", case.d_w(turned)
    last = np.zeros_like(d_outputs)
    last[:, -1, -1] = d_outputs[:, -1, -1]
    overwritten = "d_w is overwritten at each place (=); the places are summed (+=)"
    yield overwritten, case.d_w(last)
    first = np.zeros_like(d_outputs)
    first[:, 0, 0] = d_outputs[:, 0, 0]
    yield "only the first place counts; the places are summed", case.d_w(first)
    missing = d_outputs.copy()
    missing[:, -1], missing[:, :, -1] = 0, 0
    yield "the last row and column of d_outputs are missing", case.d_w(missing)
    count = d_outputs[0].size
    yield "the mean over the places is taken; they are summed", right / count
    yield "d_outputs is not used", case.d_w(np.ones_like(d_outputs))
    shared = np.broadcast_to(d_outputs[:1], d_outputs.shape)
    yield "all filters get the gradient of the first output", case.d_w(shared)
    together = np.broadcast_to(d_outputs.sum(axis=0), d_outputs.shape)
    yield "the outputs of all filters are summed; each has its own gradient", case.d_w(together)
    summed = np.broadcast_to(right.sum(axis=1, keepdims=True), right.shape)
    yield "the channels are summed; each has its own weights", summed
    yield "the channels are summed; each has its own weights", right.sum(axis=1)
    yield "all channels get the gradient of the first", np.broadcast_to(right[:, :1], right.shape)
    yield "all channels but the first stay at zero", _only_first(right, 1)
    yield "all filters but the first stay at zero", _only_first(right, 0)
    yield (
        "the weights themselves take the place of the image",
        (d_outputs.sum(axis=(1, 2, 3)).reshape(filters, 1, 1, 1) * case.w),
    )
    yield "d_w is the gradient times the weights", right * case.w
    yield "the sign is wrong", -right


def _d_image_mistakes(case: Convolution) -> Iterator[Mistake]:
    right, d_outputs, w = case.d_images()[..., 0], case.d_outputs, case.w
    yield "the pair is in the wrong order: (d_w, d_image)", case.d_w()
    for words, wrong in {
        "a correlation with the filter as it lies is computed; the image's gradient is the full "
        "convolution, with the filter rotated by 180°": _flipped(w),
        "the filter is transposed": w.swapaxes(2, 3),
        "the filter is mirrored along one axis only": w[:, :, ::-1],
        "the filter is mirrored along one axis": w[:, :, :, ::-1],
        "the filter of the first channel is used for all channels": (
            np.broadcast_to(w[:, :1], w.shape)
        ),
        "the first filter is used for all outputs": np.broadcast_to(w[:1], w.shape),
        "the filters in the wrong order": w[::-1],
        "the weights are not used": np.ones_like(w),
    }.items():
        yield words, case.d_images(wrong)[..., 0]
    if len(w) == w.shape[1]:
        swapped = case.d_images(w.swapaxes(0, 1))[..., 0]
        yield "filters and channels are swapped", swapped
        swapped = case.d_images(_flipped(w.swapaxes(0, 1)))[..., 0]
        yield "filters and channels are swapped, and the filter is not rotated", swapped
    overwritten = (
        "a pixel keeps the gradient of the last place that reaches it (=); those of all places "
        "are summed (+=)"
    )
    yield overwritten, case.d_images(add=lambda old, new: new)[..., 0]
    for f in (-1, 0):
        which = "last" if f else "first"
        one = Convolution(case.images, w[[f]], d_outputs[[f]], case.stride, case.padding)
        yield f"only the {which} filter counts; all filters are summed", one.d_images()[..., 0]
        both = one.d_images(add=lambda old, new: new)[..., 0]
        yield f"{overwritten}, and so are those of all filters", both
    inner = np.zeros_like(right)
    edge, (height, width) = case.k - 1, right.shape[1:]
    middle = (slice(edge, height - edge), slice(edge, width - edge))
    inner[:, *middle] = right[:, *middle]
    border = "the border is lost: a pixel at the edge is reached by fewer places, but by some"
    if edge:
        yield border, inner
        yield border, right[:, *middle]
        yield border, right[:, : height - edge, : width - edge]
        yield border, right[:, edge:, edge:]
        for words, weights in (("", w), (", and the filter is not rotated", _flipped(w))):
            same = np.pad(case.d_images(weights)[..., 0], ((0, 0), (edge, edge), (edge, edge)))
            for start in (0, edge, 2 * edge):
                cut = same[:, start : start + height, start : start + width]
                if start != edge:
                    yield f"the gradient is moved by {edge} pixels{words}", cut
    missing = d_outputs.copy()
    missing[:, -1], missing[:, :, -1] = 0, 0
    yield (
        "the last row and column of d_outputs are missing",
        (case.d_images(d_outputs=missing)[..., 0]),
    )
    ones = np.ones_like(d_outputs)
    yield "d_outputs is not used", case.d_images(d_outputs=ones)[..., 0]
    summed = np.broadcast_to(right.sum(axis=0), right.shape)
    yield "the channels are summed; each has its own gradient", summed
    yield "the channels are summed; each has its own gradient", right.sum(axis=0)
    yield "all channels but the first stay at zero", _only_first(right, 0)
    yield "the mean over the filters is taken; they are summed", right / len(w)
    yield "the gradient is multiplied by the image", right * case.images[..., 0]
    yield "the sign is wrong", -right


def _only_first(values: np.ndarray, axis: int) -> np.ndarray:
    kept, index = np.zeros_like(values), (slice(None),) * axis + (0,)
    kept[index] = values[index]
    return kept


def _as_pair(result: object) -> tuple[object, object]:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise CheckError(
            f"{convolution_backward_loops.name} should return (d_w, d_image), not "
            f"{type(result).__name__}",
            "one of the two is returned alone" if isinstance(result, np.ndarray) else "",
        )
    return result[0], result[1]


def _backward_given(case: Convolution) -> str:
    return f"{_loops_given(case)}, d_outputs {list(case.d_outputs.shape[:3])}"


def _expect_d_w(case: Convolution, result: object) -> None:
    what = f"{convolution_backward_loops.name}, d_w"
    d_w, mistakes = _as_pair(result)[0], _d_w_mistakes(case)
    expect(what, _backward_given(case), d_w, case.d_w(), mistakes)


def _expect_d_image(case: Convolution, result: object) -> None:
    what = f"{convolution_backward_loops.name}, d_image"
    d_image, mistakes = _as_pair(result)[1], _d_image_mistakes(case)
    expect(what, _backward_given(case), d_image, case.d_images()[..., 0], mistakes)


_EXPECT = {"d_w": _expect_d_w, "d_image": _expect_d_image}


def _backward_part(which: str, name: str, cases: list[Convolution]) -> None:
    @convolution_backward_loops.part(f"{which}, {name}")
    def _(answer: Callable) -> None:
        for case in cases:
            arguments = case.d_outputs[..., 0], case.images[..., 0], case.w
            given = _backward_given(case)
            result = run(convolution_backward_loops.name, given, answer, *arguments)
            _EXPECT[which](case, result)


for _which in _EXPECT:
    _backward_part(_which, "one channel, one filter", _ONE)
    _backward_part(_which, "several channels", _CHANNELS)
    _backward_part(_which, "several filters", _FILTERS)
    _backward_part(_which, "sides that differ, and filters of 4 × 4 and 1 × 1", _SIDES)


@convolution_backward_loops.part("the arguments are left as they were")
def _(answer: Callable) -> None:
    for case in _ONE:
        arguments = {
            "d_outputs": case.d_outputs[..., 0],
            "image": case.images[..., 0],
            "w": case.w,
        }
        name = convolution_backward_loops.name
        result = call_and_compare(name, _backward_given(case), answer, arguments)
        _expect_d_w(case, result)
        _expect_d_image(case, result)


# --- the handout's layer


_PLAIN = [
    _convolution(1, (4, 4), 2, 2),
    _convolution(3, (5, 6), 4, 3, batch_size=2),
    _convolution(2, (3, 5), 2, 2, batch_size=5, dtype=np.float32),
]
_STRIDES = [
    _convolution(2, (6, 4), 3, 2, batch_size=2, stride=2),
    _convolution(1, (7, 5), 2, 3, batch_size=3, stride=2),
    _convolution(2, (4, 7), 2, 1, batch_size=2, stride=3),
]
_PADDED = [
    _convolution(2, (4, 3), 3, 2, batch_size=2, padding=2),
    _convolution(1, (5, 3), 2, 5, batch_size=3, padding=2),
    _convolution(2, (5, 7), 2, 3, batch_size=2, stride=2, padding=1),
]


def _layer_given(case: Convolution) -> str:
    channels, height, width, batch_size = case.images.shape
    return (
        f"{batch_size} images of {channels} × {height} × {width} ({case.w.dtype}), num "
        f"{len(case.w)}, k {case.k}, stride {case.stride}, pad {case.padding}"
    )


def _layer_b(case: Convolution) -> np.ndarray:
    return numbers((len(case.w),), seed=5, dtype=case.w.dtype)


def _layer_outputs(case: Convolution) -> np.ndarray:
    return case.forward() + _layer_b(case)[:, np.newaxis, np.newaxis, np.newaxis]


def _layer_arguments(case: Convolution) -> dict[str, object]:
    """Return output, with the columns that the forward pass keeps, input, layer and param."""
    num, k, dtype = len(case.w), case.k, case.w.dtype
    outputs = _layer_outputs(case).astype(dtype)
    columns = numpy_layers.im2col(case.images, k, case.stride, case.padding)
    return {
        "output": structure(outputs, case.d_outputs) | {"columns": columns},
        "input": structure(case.images),
        "layer": {"type": "CONV", "num": num, "k": k, "stride": case.stride, "pad": case.padding},
        "param": {"w": case.w.reshape(num, -1), "b": _layer_b(case)},
    }


def _matrix(w: np.ndarray) -> np.ndarray:
    return w.reshape(len(w), -1)


def _layer_w_mistakes(case: Convolution) -> Iterator[Mistake]:
    right, d_outputs = case.d_w(), case.d_outputs
    num, batch_size = len(case.w), case.images.shape[3]
    yield "the gradient of w is left at zero", np.zeros_like(_matrix(right))
    yield "w keeps the shape [num, channel, k, k]; param['w'] is [num, channel · k · k]", right
    yield "the gradient of w is transposed", _matrix(right).T
    yield "w itself is returned, not its gradient", _matrix(case.w)
    one = np.zeros_like(d_outputs)
    for n, which in ((0, "first"), (-1, "last")):
        one[...] = 0
        one[..., n] = d_outputs[..., n]
        yield f"only the {which} image counts; the images are summed", _matrix(case.d_w(one))
        one[...] = 0
        one[:, n, n] = d_outputs[:, n, n]
        yield f"only the {which} window counts; the windows are summed", _matrix(case.d_w(one))
    yield (
        "divided by the batch size: that division is in output['diff'] already",
        _matrix(right) / batch_size,
    )
    yield (
        "the mean over the windows is taken; they are summed",
        _matrix(right) / (d_outputs[0, ..., 0].size),
    )
    yield (
        "the mean over windows and images is taken; they are summed",
        _matrix(right) / d_outputs[0].size,
    )
    yield "the filters' gradients are rotated by 180°", _matrix(_flipped(right))
    yield (
        "a filter's gradient is written with the channel last",
        (_matrix(right.transpose(0, 2, 3, 1))),
    )
    yield "a filter's gradient is written column by column", _matrix(right.swapaxes(2, 3))
    for words, wrong in misread(d_outputs):
        yield f"output['diff']: {words}", _matrix(case.d_w(wrong))
    orders = flat(d_outputs).reshape(num, -1, batch_size).transpose(0, 2, 1)
    mixed = orders.reshape(d_outputs.shape)
    yield (
        "windows and images are mixed up: the columns run image after image in one factor and "
        "window after window in the other",
        _matrix(case.d_w(mixed)),
    )
    yield "weight decay or w is added; that belongs to sgd_momentum", _matrix(right + case.w)
    outputs = _layer_outputs(case)
    yield "output['data'] is used in place of output['diff']", _matrix(case.d_w(outputs))
    yield from ((words, _matrix(other.d_w())) for words, other in _other_layers(case))


def _other_layers(case: Convolution) -> Iterator[tuple[str, Convolution]]:
    """Yield the case with stride or padding left out, where the windows still fit the outputs."""
    choices = {
        "layer['stride'] is ignored": (1, case.padding),
        "layer['pad'] is ignored": (case.stride, 0),
        "layer['stride'] and layer['pad'] are ignored": (1, 0),
    }
    _, rows, columns, _ = case.d_outputs.shape
    for words, (stride, padding) in choices.items():
        if (stride, padding) == (case.stride, case.padding):
            continue
        padded = Convolution(case.images, case.w, case.d_outputs, stride, padding)
        height, width = padded.size
        d_outputs = np.zeros((len(case.w), height, width, case.images.shape[3]))
        rows, columns = min(rows, height), min(columns, width)
        d_outputs[:, :rows, :columns] = case.d_outputs[:, :rows, :columns]
        yield words, Convolution(case.images, case.w, d_outputs, stride, padding)


def _layer_b_mistakes(case: Convolution) -> Iterator[Mistake]:
    right, d_outputs = case.d_b(), case.d_outputs
    num, batch_size = len(right), d_outputs.shape[3]
    yield "the gradient of b is left at zero", np.zeros(num)
    yield "b is kept as a column [num, 1]; its gradient is [num], as in param", right[:, None]
    yield "b is kept as a row; its gradient is [num], as in param", right[None]
    yield (
        "divided by the batch size: that division is in output['diff'] already",
        (right / batch_size),
    )
    windows = d_outputs[0, ..., 0].size
    yield "the mean over the windows is taken; they are summed", right / windows
    yield "the mean over windows and images is taken; they are summed", d_outputs.mean((1, 2, 3))
    yield (
        "the sum runs over the windows only; it should over the images too",
        (d_outputs.sum(axis=(1, 2))),
    )
    yield (
        "the sum runs over the images only; it should over the windows too",
        (d_outputs.sum(axis=3).reshape(num, -1)),
    )
    yield (
        "the sum runs over the images only; it should over the windows too",
        (flat(d_outputs).sum(axis=1)),
    )
    yield "the sum runs over the filters too", np.full(num, right.sum())
    yield "the sum runs over the filters too", right.sum()
    for n, which in ((0, "first"), (-1, "last")):
        only = d_outputs[..., n].sum(axis=(1, 2))
        yield f"only the {which} image counts; the images are summed", only
        only = d_outputs[:, n, n].sum(axis=1)
        yield f"only the {which} window counts; the windows are summed", only
    for words, wrong in misread(d_outputs):
        yield f"output['diff']: {words}", wrong.sum(axis=(1, 2, 3))
    yield (
        "output['data'] is used in place of output['diff']",
        _layer_outputs(case).sum(axis=(1, 2, 3)),
    )


def _layer_input_mistakes(case: Convolution) -> Iterator[Mistake]:
    right, d_outputs, w = case.d_images(), case.d_outputs, case.w
    num, channels, k, _ = w.shape
    yield "input_od is left at zero", np.zeros_like(flat(right))
    yield (
        "that is the derivative of the table; col2im_conv adds it up",
        _matrix(w).T @ d_outputs.reshape(num, -1),
    )
    yield (
        "the filters are rotated once too often: col2im places them as they lie",
        (flat(case.d_images(_flipped(w)))),
    )
    overwritten = (
        "a pixel keeps the gradient of one window; those of all windows that hold it are summed"
    )
    yield overwritten, flat(case.d_images(add=lambda old, new: new))
    yield (
        "the border is not cut off: input_od has the shape of the padded images",
        (flat(Convolution(case.padded, w, d_outputs, case.stride).d_images())),
    )
    padded = Convolution(case.padded, w, d_outputs, case.stride).d_images()
    _, height, width, _ = right.shape
    corner = padded[:, :height, :width]
    yield "the border is cut off at one side only; the images lie in the middle", flat(corner)
    yield from miswritten(right)
    for words, wrong in misread(d_outputs):
        yield f"output['diff']: {words}", flat(case.d_images(d_outputs=wrong))
    last = w.reshape(num, k, k, channels).transpose(0, 3, 1, 2)
    yield (
        "a row of w is read with the channel last; it runs channel by channel",
        (flat(case.d_images(last))),
    )
    yield "a row of w is read column by column", flat(case.d_images(w.swapaxes(2, 3)))
    if num == channels * k * k:
        transposed = _matrix(w).T.reshape(w.shape)
        yield "w has to be transposed", flat(case.d_images(transposed))
    yield (
        "output['data'] is used in place of output['diff']",
        (flat(case.d_images(d_outputs=_layer_outputs(case)))),
    )
    first = np.repeat(right[..., :1], right.shape[3], axis=3)
    yield "all images get the gradient of the first", flat(first)
    together = np.repeat(right.sum(axis=3, keepdims=True), right.shape[3], axis=3)
    yield "the images' gradients are added up; each has its own", flat(together)
    for words, other in _other_layers(case):
        if other.d_images().shape == right.shape:
            yield words, flat(other.d_images())


def _expect_layer(case: Convolution, result: object, which: str) -> None:
    name, given = conv_layer_backward.name, _layer_given(case)
    param_grad, input_od = pair_of(name, result)
    if which == "input_od":
        got, right, mistakes = input_od, flat(case.d_images()), _layer_input_mistakes(case)
    elif which == "w":
        got, right, mistakes = param_grad["w"], _matrix(case.d_w()), _layer_w_mistakes(case)
    else:
        got, right, mistakes = param_grad["b"], case.d_b(), _layer_b_mistakes(case)
    what = which if which == "input_od" else f"param_grad[{which!r}]"
    got = as_array(f"{name}, {what}", got)
    expect(f"{name}, {what}", given, got, right, mistakes)


def _layer_part(name: str, which: tuple[str, ...], cases: list[Convolution]) -> None:
    @conv_layer_backward.part(name)
    def _(answer: Callable) -> None:
        for case in cases:
            arguments = _layer_arguments(case).values()
            result = call(conv_layer_backward.name, _layer_given(case), answer, *arguments)
            for each in which:
                _expect_layer(case, result, each)


_layer_part("the gradient with respect to w", ("w",), _PLAIN)
_layer_part("the gradient with respect to b", ("b",), [*_PLAIN, *_STRIDES, *_PADDED])
_layer_part("the gradient with respect to the input", ("input_od",), _PLAIN)
_layer_part("strides above 1: w", ("w",), _STRIDES)
_layer_part("strides above 1: the input", ("input_od",), _STRIDES)
_layer_part("padding: w", ("w",), _PADDED)
_layer_part("padding: the input", ("input_od",), _PADDED)


@conv_layer_backward.part("the arguments are left as they were")
def _(answer: Callable) -> None:
    case = _PLAIN[0]
    name, given = conv_layer_backward.name, _layer_given(case)
    result = call_and_compare(name, given, answer, _layer_arguments(case))
    for which in ("w", "b", "input_od"):
        _expect_layer(case, result, which)
