"""The checks of the convolution: in loops, by `unfold`, as a product, as a layer, and partial."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.checks.custom_lenet5 import reference
from helpers.checks.custom_lenet5.judging import (
    Exercise,
    build,
    called,
    expect_drawn,
    expect_errors,
)
from helpers.checks.custom_lenet5.reference import Pair
from helpers.checks.errors import CheckError
from helpers.checks.exercises import Function, normal
from helpers.checks.parts import Check

convolution_loops = Check("convolution_loops", "values and gradients agree with the reference")
convolution_unfold = Check("convolution_unfold", "values and gradients agree with the reference")
convolve = Check(
    "convolve", "values, gradients and errors agree with the reference in all geometries"
)
Convolution2d = Check(
    "Convolution2d", "parameters, values, gradients and errors are those of the reference"
)
PartialConvolution2d = Check(
    "PartialConvolution2d", "parameters, values and gradients are those of the reference"
)


@dataclass(frozen=True)
class Geometry:
    """The sizes of a convolution; pairs are (vertical, horizontal)."""

    batch: int
    channels: int
    filters: int
    size: Pair
    kernel_size: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)

    def exercise(self, *, symmetric: bool = False, bias: str = "random") -> Exercise:
        """Return images, kernels and biases: "random", "zero" or "none".

        `symmetric` kernels look the same flipped, so that the mistake is not punished again.
        """
        weight = normal(self.filters, self.channels, *self.kernel_size, seed=1)
        if symmetric:
            weight = weight + weight.flip(2)
            weight = weight + weight.flip(3)
        biases = {
            "random": normal(self.filters, seed=2),
            "zero": torch.zeros(self.filters).double(),
        }
        inputs = {
            "X": normal(self.batch, self.channels, *self.size, seed=3),
            "weight": weight,
            "bias": biases.get(bias),
        }
        right = partial(reference.convolve, stride=self.stride, padding=self.padding)
        mistakes = [*_wrong_geometry(self), *_wrong_sums(right)]
        settings = f"stride {self.stride}, padding {self.padding}"
        return Exercise(inputs, right, mistakes, settings)


def _wrong_geometry(geometry: Geometry) -> Iterator[tuple[str, Function]]:
    """Yield the mistakes of stride and padding, which other geometries are the right ones of."""
    (down, across), (rows, columns) = geometry.stride, geometry.padding

    def other(stride: Pair, padding: Pair) -> Function:
        return partial(reference.convolve, stride=stride, padding=padding)

    for words, stride in {
        "vertical and horizontal stride are swapped": (across, down),
        "the stride is ignored": (1, 1),
        "the vertical stride is used in both directions": (down, down),
        "the horizontal stride is used in both directions": (across, across),
    }.items():
        if stride != geometry.stride:
            yield words, other(stride, geometry.padding)
    for words, padding in {
        "vertical and horizontal padding are swapped": (columns, rows),
        "the padding is ignored": (0, 0),
        "the vertical padding is used in both directions": (rows, rows),
        "the horizontal padding is used in both directions": (columns, columns),
        "the padding is applied twice": (2 * rows, 2 * columns),
    }.items():
        if padding != geometry.padding:
            yield words, other(geometry.stride, padding)
    if geometry.stride != (1, 1):
        yield (
            "the windows lie side by side at every pixel: place u begins at u · stride",
            partial(_crowded, geometry),
        )
    if geometry.padding == (0, 0):
        return
    yield (
        "both stride and padding are swapped between the directions",
        other((across, down), (columns, rows)),
    )
    borders = {
        "all of the padding is before the image; it belongs on both sides": (
            lambda X: F.pad(X, (2 * columns, 0, 2 * rows, 0))
        ),
        "all of the padding is behind the image; it belongs on both sides": (
            lambda X: F.pad(X, (0, 2 * columns, 0, 2 * rows))
        ),
        "the padding is before the image only": lambda X: F.pad(X, (columns, 0, rows, 0)),
        "the padding is behind the image only": lambda X: F.pad(X, (0, columns, 0, rows)),
        "the padding is ones, and should be zeros": (
            lambda X: F.pad(X, (columns, columns, rows, rows), value=1.0)
        ),
        "the border repeats the image's, and should be zeros": (
            lambda X: F.pad(X, (columns, columns, rows, rows), mode="replicate")
        ),
    }
    for words, frame in borders.items():
        yield words, partial(_framed, frame, geometry.stride)


def _crowded(geometry: Geometry, X: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return as many places as there are, but with stride 1."""
    rows, columns = reference.convolve(X, weight, bias, geometry.stride, geometry.padding).shape[2:]
    return reference.convolve(X, weight, bias, (1, 1), geometry.padding)[..., :rows, :columns]


def _framed(frame: Function, stride: Pair, X: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return reference.convolve(frame(X), weight, bias, stride)


def _wrong_sums(right: Function) -> Iterator[tuple[str, Function]]:
    """Yield the mistakes of kernels, channels and biases."""
    kernels: Mapping[str, Function] = {
        "the kernels are flipped in both directions": lambda w: w.flip(2, 3),
        "the kernels are flipped upside down": lambda w: w.flip(2),
        "the kernels are flipped left to right": lambda w: w.flip(3),
        "rows and columns of the kernels are swapped": lambda w: w.mT,
        "all filters get the first one's kernels": lambda w: w[:1].expand_as(w),
        "all channels get the first channel's kernel": lambda w: w[:, :1].expand_as(w),
        "only the first channel counts: the channels have to be added up": (
            lambda w: w * (torch.arange(w.shape[1]) == 0)[:, None, None]
        ),
        "only the last channel counts: the channels have to be added up": (
            lambda w: w * (torch.arange(w.shape[1]) == w.shape[1] - 1)[:, None, None]
        ),
        "the channels are averaged, and should be added up": lambda w: w / w.shape[1],
        "all numbers of a window are averaged, and should be added up": (
            lambda w: w / w[0].numel()
        ),
        "only the last number of the kernel counts: = where += belongs": (
            lambda w: F.pad(w[..., -1:, -1:], (w.shape[3] - 1, 0, w.shape[2] - 1, 0))
        ),
        "the channels are taken in reverse order": lambda w: w.flip(1),
        "filters and channels are swapped: weight is [out, in, height, width]": (
            lambda w: w.transpose(0, 1)
        ),
        "each filter sees one channel only: it has a kernel for every channel": (
            lambda w: w * torch.eye(*w.shape[:2]).to(w)[:, :, None, None]
        ),
    }
    for words, change in kernels.items():
        yield words, partial(_with_kernels, right, change)
    added: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
        "the bias is missing": lambda Y, b: Y,
        "the bias is subtracted": lambda Y, b: Y - b[:, None, None],
        "the bias is added twice": lambda Y, b: Y + 2 * b[:, None, None],
        "all filters get the first one's bias": lambda Y, b: Y + b[0],
        "all filters get the sum of the biases": lambda Y, b: Y + b.sum(),
        "the biases run along the width, not along the filters: bias[:, None, None]": (
            lambda Y, b: Y + b
        ),
        "the biases run along the height, not along the filters: bias[:, None, None]": (
            lambda Y, b: Y + b[:, None]
        ),
        "the biases run along the batch, not along the filters: bias[:, None, None]": (
            lambda Y, b: Y + b[:, None, None, None]
        ),
    }
    for words, add in added.items():
        yield words, partial(_with_bias, right, add)
    yield (
        "the bias is added once for each channel, and should be once",
        lambda X, weight, bias: right(X, weight, X.shape[1] * bias),
    )
    yield (
        "the output is [out, batch, height, width]: the batch belongs first",
        lambda X, weight, bias: right(X, weight, bias).transpose(0, 1),
    )


def _with_kernels(right: Function, change: Function, X: Tensor, weight: Tensor, bias: Tensor):
    return right(X, change(weight), bias)


def _with_bias(right: Function, add: Function, X: Tensor, weight: Tensor, bias: Tensor):
    if bias is None:
        raise ValueError("there is no bias to mistake")
    return add(right(X, weight, None), bias)


# --- how each answer is called

Call = Callable[[Callable, Geometry, Exercise], Function]


def _as_function(answer: Callable, geometry: Geometry, exercise: Exercise) -> Function:
    def action(X: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return answer(X, weight, bias, geometry.stride, geometry.padding)

    return action


def _as_layer(answer: type, geometry: Geometry, exercise: Exercise) -> Function:
    shapes = {key: tuple(exercise.inputs[key].shape) for key in _parameters(exercise)}
    layer = build(
        *("Convolution2d", answer, geometry.channels, geometry.filters),
        *(geometry.kernel_size, geometry.stride, geometry.padding),
        **({} if "bias" in shapes else {"bias": False}),
        has=shapes,
    )

    return called(layer, "weight", "bias")


def _parameters(exercise: Exercise) -> list[str]:
    return [key for key in ("weight", "bias") if exercise.inputs[key] is not None]


# --- the parts that all four forms have

_ONE = Geometry(1, 1, 1, (5, 4), (3, 2))
_SEVERAL = (Geometry(3, 2, 4, (4, 5), (2, 3)), Geometry(2, 3, 3, (4, 4), (2, 2)))
# The number of filters is that of columns, then that of rows, then that of images.
_BIASES = (
    Geometry(2, 1, 3, (5, 4), (2, 2)),
    Geometry(2, 2, 3, (4, 6), (2, 2)),
    Geometry(3, 2, 3, (5, 6), (2, 2)),
)
_STRIDES = (
    Geometry(2, 1, 2, (7, 6), (2, 2), stride=(3, 1)),
    Geometry(1, 2, 1, (5, 8), (2, 3), stride=(1, 2)),
    Geometry(2, 1, 1, (6, 6), (3, 3), stride=(2, 2)),
)
_PADDINGS = (
    Geometry(2, 1, 2, (3, 4), (3, 2), padding=(2, 1)),
    Geometry(1, 2, 1, (4, 3), (2, 3), padding=(0, 2)),
    Geometry(1, 1, 2, (4, 5), (3, 3), padding=(1, 1)),
)
_TOGETHER = Geometry(2, 2, 3, (5, 6), (3, 2), stride=(1, 2), padding=(2, 1))
_AS_C3 = Geometry(2, 6, 3, (6, 7), (5, 5))  # the windows have 150 rows


def _add_parts(check: Check, call: Call) -> None:
    """Add to a check what all four forms of the convolution have in common."""

    def judge(answer: Callable, geometry: Geometry, exercise: Exercise, **options: bool) -> None:
        action = call(answer, geometry, exercise)
        exercise.judge(check.name, answer, action, **options)

    @check.part("the kernel, laid on the image as it is")
    def _(answer: Callable) -> None:
        judge(answer, _ONE, _ONE.exercise(bias="zero"))

    @check.part("several images, channels and filters")
    def _(answer: Callable) -> None:
        for geometry in _SEVERAL:
            judge(answer, geometry, geometry.exercise(symmetric=True, bias="zero"))

    @check.part("the bias, and none")
    def _(answer: Callable) -> None:
        for geometry in _BIASES:
            judge(answer, geometry, geometry.exercise(symmetric=True))
        judge(answer, _ONE, _ONE.exercise(symmetric=True, bias="none"))

    @check.part("a stride that differs between the directions")
    def _(answer: Callable) -> None:
        for geometry in _STRIDES:
            judge(answer, geometry, geometry.exercise(symmetric=True, bias="zero"))

    @check.part("a padding that differs between the directions")
    def _(answer: Callable) -> None:
        for geometry in (*_PADDINGS, _TOGETHER):
            judge(answer, geometry, geometry.exercise(symmetric=True, bias="zero"))

    @check.part("the gradients")
    def _(answer: Callable) -> None:
        for geometry in (_ONE, _TOGETHER, _AS_C3):
            judge(answer, geometry, geometry.exercise(), gradients=True)

    @check.part("single precision; the arguments stay as they are")
    def _(answer: Callable) -> None:
        for geometry in (replace(_ONE, padding=(0, 0)), _TOGETHER):
            exercise = geometry.exercise(symmetric=True)
            for given in (exercise, exercise.in_single_precision()):
                judge(answer, geometry, given, kept=True)


for _check in (convolution_loops, convolution_unfold, convolve):
    _add_parts(_check, _as_function)
_add_parts(Convolution2d, _as_layer)


@convolve.part("ValueError for what does not fit")
def _(answer: Callable) -> None:
    fits = Geometry(1, 2, 1, (3, 2), (3, 2))  # exactly
    exercise = fits.exercise(symmetric=True, bias="zero")
    exercise.judge("convolve", answer, _as_function(answer, fits, exercise))
    X, weight = torch.rand(2, 3, 4, 5), torch.rand(1, 3, 5, 2)
    expect_errors(
        "convolve",
        answer,
        {
            "a window of 5 rows for an image of 4": lambda: answer(X, weight),
            "a window of 5 rows for an image of 4, padded to the sides": lambda: answer(
                X, weight, padding=(0, 3)
            ),
            "a window of 6 columns for an image of 5": lambda: answer(X, torch.rand(1, 3, 2, 6)),
            "3 channels for kernels of 2": lambda: answer(X, torch.rand(1, 2, 2, 2)),
            "3 channels for kernels of 1": lambda: answer(X, torch.rand(1, 1, 2, 2)),
            "an image without the axis of the batch": lambda: answer(X[0], torch.rand(1, 3, 2, 2)),
        },
    )


# --- the layer


@Convolution2d.part("numbers in place of pairs; stride 1, no padding and a bias by default")
def _(answer: type) -> None:
    geometry = Geometry(2, 3, 2, (6, 7), (3, 3), (2, 2), (1, 1))
    plain = replace(geometry, stride=(1, 1), padding=(0, 0))
    for case, settings in (
        (geometry, {"stride": 2, "padding": 1}),
        (replace(geometry, stride=(2, 1)), {"stride": (2, 1), "padding": 1}),
        (plain, {}),
    ):
        exercise = case.exercise(symmetric=True)
        shapes = {"weight": (2, 3, 3, 3), "bias": (2,)}
        layer = build("Convolution2d", answer, 3, 2, 3, **settings, has=shapes)
        exercise.judge("Convolution2d", answer, called(layer, "weight", "bias"))


@Convolution2d.part("weight and bias, drawn at random and used")
def _(answer: type) -> None:
    shapes = {"weight": (4, 3, 2, 5), "bias": (4,)}
    layer = expect_drawn(
        "Convolution2d", lambda: build("Convolution2d", answer, 3, 4, (2, 5), has=shapes)
    )
    layer, X = layer.double(), normal(2, 3, 6, 7)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    exercise = Exercise(
        {"X": X},
        lambda X: reference.convolve(X, weight, bias),
        [
            (words, lambda X, f=f: f(X, weight, bias))
            for words, f in _wrong_sums(reference.convolve)
        ],
    )
    exercise.judge("Convolution2d", answer, layer, gradients=True)
    bare = build("Convolution2d", answer, 3, 4, (2, 5), bias=False, has={"weight": (4, 3, 2, 5)})
    if getattr(bare, "bias", None) is not None:
        raise CheckError("Convolution2d(…, bias=False) has a bias", "self.bias should be None then")


@Convolution2d.part("ValueError for impossible settings and inputs")
def _(answer: type) -> None:
    geometry = Geometry(1, 2, 1, (3, 2), (3, 2))  # it fits exactly
    exercise = geometry.exercise(symmetric=True)
    exercise.judge("Convolution2d", answer, _as_layer(answer, geometry, exercise))
    X = torch.rand(2, 3, 4, 5)

    def made(*settings: object, X: Tensor = X) -> Callable[[], object]:
        return lambda: answer(*settings)(X)

    expect_errors(
        "Convolution2d",
        answer,
        {
            "kernel_size=0": made(3, 2, 0),
            "kernel_size=(2, -1)": made(3, 2, (2, -1)),
            "kernel_size=1.5": made(3, 2, 1.5),
            "kernel_size=(2, 2, 2)": made(3, 2, (2, 2, 2)),
            "stride=0": made(3, 2, 2, 0),
            "stride=(1, -1)": made(3, 2, 2, (1, -1)),
            "stride=(1, 0)": made(3, 2, 2, (1, 0)),
            "stride=1.5": made(3, 2, 2, 1.5),
            "padding=-1": made(3, 2, 2, 1, -1),
            "padding=(0, -1)": made(3, 2, 2, 1, (0, -1)),
            "padding=0.5": made(3, 2, 2, 1, 0.5),
            "in_channels=0": made(0, 2, 2),
            "out_channels=0": made(3, 0, 2),
            "a window of 5 rows for an image of 4": made(3, 2, (5, 2)),
            "2 channels for a layer of 3": made(3, 2, 2, X=X[:, :2]),
            "an image without the axis of the batch": made(3, 2, 2, X=X[0]),
        },
    )


# --- only some connections


def _partial(connected: Tensor, kernel_size: int, size: Pair, batch: int) -> Exercise:
    count = int(connected.sum())
    inputs = {
        "X": normal(batch, connected.shape[1], *size, seed=3),
        "weight": normal(count, kernel_size, kernel_size, seed=1),
        "bias": normal(len(connected), seed=2),
    }

    def right(X: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return reference.convolve(X, reference.spread(weight, connected), bias)

    def column_by_column(weight: Tensor) -> Tensor:
        return reference.spread(weight, connected.T).transpose(0, 1)

    kernels: Mapping[str, Function] = {
        "the kernels are taken in the order of connected.T.nonzero(): input by input": (
            column_by_column
        ),
        "the kernels are taken in reverse order": lambda w: reference.spread(w.flip(0), connected),
        "the kernels are flipped": lambda w: reference.spread(w.flip(1, 2), connected),
        "rows and columns of the kernels are swapped": (
            lambda w: reference.spread(w.mT, connected)
        ),
        "all connections get the first kernel": (
            lambda w: reference.spread(w[:1].expand_as(w), connected)
        ),
        "of each map's connections only the last counts: they have to be added up": (
            lambda w: _last_only(reference.spread(w, connected), connected)
        ),
    }
    mistakes: list[tuple[str, Function]] = [
        (words, partial(_with_kernels, reference.convolve, change))
        for words, change in kernels.items()
    ]
    mistakes += [
        ("the bias is missing", lambda X, weight, bias: right(X, weight, None)),
        (
            "the bias is added once for each connection",
            lambda X, weight, bias: right(X, weight, bias * connected.sum(1)),
        ),
    ]
    settings = f"connected {list(connected.shape)} with {count} connections"
    return Exercise(inputs, right, mistakes, settings)


def _last_only(kernels: Tensor, connected: Tensor) -> Tensor:
    last = torch.zeros_like(connected)
    for row, one in zip(last, connected, strict=True):
        row[one.nonzero()[-1]] = True
    return kernels * last[:, :, None, None]


_TABLES = {
    "a table that differs from its transpose": (
        torch.tensor([[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 0], [0, 1, 1, 1], [1, 1, 0, 1]]) > 0
    ),
    "as many inputs as outputs": torch.tensor([[1, 1, 0], [0, 1, 1], [0, 1, 0]]) > 0,
    "all connections": torch.ones(2, 3, dtype=torch.bool),
}


def _judge_partial(answer: type, table: Tensor, exercise: Exercise, **options: bool) -> None:
    shapes = {key: tuple(exercise.inputs[key].shape) for key in ("weight", "bias")}
    k = shapes["weight"][1]
    layer = build("PartialConvolution2d", answer, table.clone(), k, has=shapes)
    action = called(layer, "weight", "bias")
    exercise.judge("PartialConvolution2d", answer, action, **options)


def _partial_part(answer: type, *, table: Tensor) -> None:
    for k, size, batch in ((3, (4, 5), 2), (1, (3, 2), 1), (2, (5, 3), len(table))):
        _judge_partial(answer, table, _partial(table, k, size, batch))


for _name, _table in _TABLES.items():
    PartialConvolution2d.part(_name)(partial(_partial_part, table=_table))


@PartialConvolution2d.part("the gradients")
def _(answer: type) -> None:
    for table in _TABLES.values():
        _judge_partial(answer, table, _partial(table, 2, (4, 3), 2), gradients=True)


@PartialConvolution2d.part("finite parameters; single precision; the arguments stay as they are")
def _(answer: type) -> None:
    table, *_ = _TABLES.values()
    exercise = _partial(table, 3, (4, 5), 2)
    shapes = {key: tuple(exercise.inputs[key].shape) for key in ("weight", "bias")}
    given = table.clone()
    name = "PartialConvolution2d"
    expect_drawn(name, lambda: build(name, answer, given, 3, has=shapes))
    for case in (exercise, exercise.in_single_precision()):
        _judge_partial(answer, table, case, kept=True)
    if not torch.equal(given, table):
        raise CheckError(f"{name} changes connected, which belongs to its caller", "work on a copy")
