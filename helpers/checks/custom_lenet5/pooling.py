"""The checks of average and max pooling and of the paper's trainable subsampling."""

from collections.abc import Callable, Iterator
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

AveragePooling2d = Check(
    "AveragePooling2d", "means, gradients and errors agree with the reference in all geometries"
)
MaxPooling2d = Check(
    "MaxPooling2d", "maxima, gradients and errors agree with the reference in all geometries"
)
TrainableSubsampling2d = Check(
    "TrainableSubsampling2d", "parameters, values and gradients are those of the reference"
)


@dataclass(frozen=True)
class Geometry:
    """The sizes of a pooling; pairs are (vertical, horizontal)."""

    shape: tuple[int, int, int, int]
    kernel_size: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def pooled(self, reduce: Function, X: Tensor) -> Tensor:
        """Return what `reduce` makes of the two last axes of the windows."""
        return reduce(reference.windows(X, self.kernel_size, self.stride, self.padding))

    def exercise(self, reduce: Function, others: dict[str, Function], low: float) -> Exercise:
        """Return images of random numbers around `low`, to be pooled by `reduce`.

        `others` are the reductions that may be mistaken for it.
        """
        X = normal(*self.shape, seed=sum(self.shape)) + low
        mistakes = [*_wrong_reductions(self, others), *_wrong_geometry(self, reduce)]
        settings = f"kernel_size {self.kernel_size}, stride {self.stride}, padding {self.padding}"
        return Exercise({"X": X}, partial(self.pooled, reduce), mistakes, settings)


def _wrong_reductions(
    geometry: Geometry, others: dict[str, Function]
) -> Iterator[tuple[str, Function]]:
    for words, reduce in others.items():
        yield words, partial(geometry.pooled, reduce)


def _wrong_geometry(geometry: Geometry, reduce: Function) -> Iterator[tuple[str, Function]]:
    (height, width), (down, across) = geometry.kernel_size, geometry.stride
    rows, columns = geometry.padding
    for words, change in {
        "vertical and horizontal stride are swapped": {"stride": (across, down)},
        "the stride is kernel_size, whatever stride says": {"stride": (height, width)},
        "the stride is ignored": {"stride": (1, 1)},
        "the vertical stride is used in both directions": {"stride": (down, down)},
        "the horizontal stride is used in both directions": {"stride": (across, across)},
        "height and width of the window are swapped": {"kernel_size": (width, height)},
        "height and width are swapped, of window and stride": {
            "kernel_size": (width, height), "stride": (across, down),
        },
        "the window is as wide as it is high": {"kernel_size": (height, height)},
        "the window is as high as it is wide": {"kernel_size": (width, width)},
        "the padding is ignored": {"padding": (0, 0)},
        "vertical and horizontal padding are swapped": {"padding": (columns, rows)},
        "the vertical padding is used in both directions": {"padding": (rows, rows)},
        "the horizontal padding is used in both directions": {"padding": (columns, columns)},
    }.items():  # fmt: skip
        other = replace(geometry, **change)
        if other != geometry:
            yield words, partial(other.pooled, reduce)
    if geometry.padding != (0, 0):
        bare = replace(geometry, padding=(0, 0))
        for words, border in {
            "all of the padding is before the image; it belongs on both sides": (
                *(2 * columns, 0, 2 * rows, 0),
            ),
            "all of the padding is behind the image; it belongs on both sides": (
                *(0, 2 * columns, 0, 2 * rows),
            ),
            "the padding is before the image only": (columns, 0, rows, 0),
            "the padding is behind the image only": (0, columns, 0, rows),
        }.items():
            yield words, lambda X, border=border: bare.pooled(reduce, F.pad(X, border))
        yield (
            "zeros of the padding do not count in the mean, and should",
            lambda X: geometry.pooled(reduce, X) / geometry.pooled(reduce, torch.ones_like(X)),
        )


def _mean(windows: Tensor) -> Tensor:
    return windows.mean((4, 5))


def _maximum(windows: Tensor) -> Tensor:
    return windows.amax((4, 5))


def _sum(windows: Tensor) -> Tensor:
    return windows.sum((4, 5))


_NOT_MEANS: dict[str, Function] = {
    "the sum of each window is taken, not its mean": _sum,
    "the maximum of each window is taken, not its mean": _maximum,
    "the sum is divided by one side of the window, not by both": (
        lambda w: w.sum((4, 5)) / w.shape[4]
    ),
    "the sum is divided by the width of the window, not by its area": (
        lambda w: w.sum((4, 5)) / w.shape[5]
    ),
    "the sum is divided by 4, whatever kernel_size is": lambda w: w.sum((4, 5)) / 4,
    "the mean runs over the channels too": lambda w: w.mean((1, 4, 5), keepdim=True)[
        ..., 0, 0
    ].expand(w.shape[:4]),
    "the first number of each window is taken": lambda w: w[..., 0, 0],
    "only the last number of each window counts: = where += belongs": (
        lambda w: w[..., -1, -1] / w[0, 0, 0, 0].numel()
    ),
}
_NOT_MAXIMA: dict[str, Function] = {
    "the mean of each window is taken, not its maximum": _mean,
    "the minimum of each window is taken, not its maximum": lambda w: w.amin((4, 5)),
    "the sum of each window is taken, not its maximum": _sum,
    "the largest absolute value is taken": lambda w: w.abs().amax((4, 5)),
    "the search for the maximum starts from 0, so negative maxima are lost": (
        lambda w: w.amax((4, 5)).clamp(min=0)
    ),
    "the maximum runs over the channels too": lambda w: w.amax((1, 4, 5), keepdim=True)[
        ..., 0, 0
    ].expand(w.shape[:4]),
    "the maximum runs along the rows alone": lambda w: w.amax(5)[..., 0],
    "the maximum runs along the columns alone": lambda w: w.amax(4)[..., 0],
}

# --- the parts that both have

_SIDE_BY_SIDE = (
    Geometry((2, 3, 4, 6), (2, 2), (2, 2)),
    Geometry((1, 1, 7, 5), (3, 3), (3, 3)),  # pixels are left over
    Geometry((1, 2, 3, 4), (1, 1), (1, 1)),
    Geometry((2, 1, 5, 11), (5, 5), (5, 5)),
)
_OBLONG = (Geometry((2, 1, 6, 8), (2, 4), (2, 4)), Geometry((1, 2, 9, 4), (3, 2), (3, 2)))
_STRIDES = (
    Geometry((2, 2, 7, 6), (2, 2), (3, 1)),
    Geometry((1, 2, 6, 9), (2, 3), (1, 2)),
    Geometry((2, 1, 5, 6), (3, 3), (1, 1)),
)
_GRADIENTS = (Geometry((2, 3, 4, 6), (2, 2), (2, 2)), Geometry((2, 1, 7, 6), (3, 2), (2, 1)))


def _add_parts(check: Check, reduce: Function, others: dict[str, Function]) -> None:
    """Add to a check what both poolings have in common."""

    def judge(
        answer: type, geometry: Geometry, low: float = 0.5, single: bool = False, **options: bool
    ) -> None:
        exercise = geometry.exercise(reduce, others, low)
        settings = [geometry.kernel_size]
        if geometry.stride != geometry.kernel_size or geometry.padding != (0, 0):
            settings.append(geometry.stride)
        if geometry.padding != (0, 0):
            settings.append(geometry.padding)
        layer = build(check.name, answer, *settings, has={})
        exercise = exercise.in_single_precision() if single else exercise
        exercise.judge(check.name, answer, lambda X: layer(X), **options)

    @check.part("windows side by side")
    def _(answer: type) -> None:
        for geometry in _SIDE_BY_SIDE:
            exercise = geometry.exercise(reduce, others, 0.5)
            layer = build(check.name, answer, geometry.kernel_size[0], has={})
            exercise.judge(check.name, answer, lambda X, layer=layer: layer(X))
            judge(answer, geometry)

    @check.part("windows higher or wider than they are wide or high")
    def _(answer: type) -> None:
        for geometry in _OBLONG:
            judge(answer, geometry)

    @check.part("a stride of its own, which differs between the directions")
    def _(answer: type) -> None:
        for geometry in _STRIDES:
            judge(answer, geometry)

    @check.part("the gradient")
    def _(answer: type) -> None:
        for geometry in _GRADIENTS:
            judge(answer, geometry, gradients=True)

    @check.part("numbers below zero; single precision; the images stay as they are")
    def _(answer: type) -> None:
        for single in (False, True):
            judge(answer, _SIDE_BY_SIDE[0], -3.0, single, kept=True)
        judge(answer, _SIDE_BY_SIDE[0], -1e4)


_add_parts(AveragePooling2d, _mean, _NOT_MEANS)
_add_parts(MaxPooling2d, _maximum, _NOT_MAXIMA)


@AveragePooling2d.part("a padding, whose zeros count in the mean")
def _(answer: type) -> None:
    for geometry in (
        Geometry((2, 2, 3, 4), (3, 2), (1, 2), (1, 0)),
        Geometry((1, 1, 5, 4), (2, 4), (2, 1), (1, 2)),
        Geometry((2, 1, 4, 4), (2, 2), (2, 2), (1, 1)),
    ):
        exercise = geometry.exercise(_mean, _NOT_MEANS, 0.5)
        settings = geometry.kernel_size, geometry.stride, geometry.padding
        layer = build("AveragePooling2d", answer, *settings, has={})
        exercise.judge("AveragePooling2d", answer, lambda X, layer=layer: layer(X), gradients=True)
    exercise = Geometry((2, 1, 4, 6), (2, 2), (2, 2), (1, 1)).exercise(_mean, _NOT_MEANS, 0.5)
    layer = build("AveragePooling2d", answer, 2, padding=1, has={})
    exercise.judge("AveragePooling2d", answer, lambda X: layer(X))


@MaxPooling2d.part("the gradient of equal maxima is given once")
def _(answer: type) -> None:
    geometry = Geometry((2, 2, 6, 6), (3, 2), (3, 2))
    X = torch.randint(0, 3, geometry.shape, generator=torch.Generator().manual_seed(4)).double()
    largest = F.interpolate(X.unfold(2, 3, 3).unfold(3, 2, 2).amax((4, 5)), scale_factor=(3.0, 2.0))

    def looked_at(X: Tensor, gradient: Tensor) -> Tensor:
        """Return what a window's pixels get together, and what those below the maximum get."""
        together = geometry.pooled(_sum, gradient)
        return torch.cat([together.flatten(), gradient[largest > X]])

    def through(layer: Function, X: Tensor) -> Tensor:
        X = X.detach().requires_grad_()
        Y = layer(X)
        (gradient,) = torch.autograd.grad(Y, X, normal(*Y.shape, seed=5))
        return looked_at(X, gradient)

    def everyone(X: Tensor) -> Tensor:
        weights = normal(2, 2, 2, 3, seed=5)
        whole = F.interpolate(weights, scale_factor=(3.0, 2.0))
        return looked_at(X, torch.where(largest == X, whole, 0.0))

    layer = build("MaxPooling2d", answer, (3, 2), has={})
    exercise = Exercise(
        {"X": X},
        partial(through, lambda X: geometry.pooled(_maximum, X)),
        [
            ("each of several equal maxima gets the whole gradient of its window", everyone),
            (
                "the gradient is spread over the window",
                partial(through, partial(geometry.pooled, _mean)),
            ),
        ],
        "windows of 3 × 2 with equal maxima",
    )
    exercise.judge("MaxPooling2d", answer, partial(through, layer))


def _made(answer: type, X: Tensor, *settings: object) -> Callable[[], object]:
    return lambda: answer(*settings)(X)


def _expect_impossible(
    check: Check,
    answer: type,
    reduce: Function,
    others: dict[str, Function],
    more: dict[str, tuple[object, ...]],
) -> None:
    fits = Geometry((1, 2, 3, 2), (3, 2), (3, 2))
    layer = build(check.name, answer, (3, 2), has={})
    fits.exercise(reduce, others, 0.5).judge(check.name, answer, lambda X: layer(X))
    X = torch.rand(2, 3, 4, 5)
    settings = {
        "kernel_size=0": (0,),
        "kernel_size=0, stride=1": (0, 1),
        "kernel_size=(2, -1), stride=1": ((2, -1), 1),
        "kernel_size=1.5": (1.5,),
        "kernel_size=(2, 2, 2)": ((2, 2, 2),),
        "stride=0": (2, 0),
        "stride=(1, -1)": (2, (1, -1)),
        "stride=(1, 0)": (2, (1, 0)),
        "stride=1.5": (2, 1.5),
        "a window of 5 rows for an image of 4": ((5, 2),),
        "a window of 6 columns for an image of 5": ((2, 6),),
        **more,
    }
    cases = {given: _made(answer, X, *values) for given, values in settings.items()}
    cases["an image without the axis of the batch"] = _made(answer, X[0], 2)
    expect_errors(check.name, answer, cases)


@AveragePooling2d.part("ValueError for impossible settings and inputs")
def _(answer: type) -> None:
    more = {
        "padding=-1": (2, 2, -1),
        "padding=(0, -1)": (2, 2, (0, -1)),
        "padding=0.5": (2, 2, 0.5),
        "padding=2, more than half of kernel_size=3": (3, 1, 2),
        "padding=(1, 2), more than half of kernel_size=3": (3, 1, (1, 2)),
        "padding=(1, 0), more than half of kernel_size=(1, 3)": ((1, 3), 1, (1, 0)),
    }
    _expect_impossible(AveragePooling2d, answer, _mean, _NOT_MEANS, more)


@MaxPooling2d.part("ValueError for impossible settings and inputs")
def _(answer: type) -> None:
    _expect_impossible(MaxPooling2d, answer, _maximum, _NOT_MAXIMA, {})


# --- the paper's subsampling


def _subsampling(batch: int, channels: int, size: Pair, **changes: Tensor) -> Exercise:
    inputs = {
        "X": normal(batch, channels, *size, seed=1) + 0.5,
        "coefficient": normal(channels, seed=2),
        "bias": normal(channels, seed=3),
    } | changes
    right = reference.subsample

    def other(reduce: Function) -> Function:
        def wrong(X: Tensor, coefficient: Tensor, bias: Tensor) -> Tensor:
            reduced = reduce(reference.windows(X, (2, 2), (2, 2)))
            return reduced * coefficient[:, None, None] + bias[:, None, None]

        return wrong

    mistakes = {
        "the mean of each window is taken; the sum is asked for": other(_mean),
        "the maximum of each window is taken; the sum is asked for": other(_maximum),
        "only the last pixel of each window counts: = where += belongs": (
            other(lambda w: w[..., -1, -1])
        ),
        "the coefficient is missing": lambda X, coefficient, bias: right(
            X, torch.ones_like(coefficient), bias
        ),
        "the bias is missing": lambda X, coefficient, bias: right(X, coefficient, 0 * bias),
        "the bias is subtracted": lambda X, coefficient, bias: right(X, coefficient, -bias),
        "the bias is multiplied by the coefficient too": lambda X, coefficient, bias: right(
            X, coefficient, coefficient * bias
        ),
        "coefficient and bias are swapped": lambda X, coefficient, bias: right(
            X, bias, coefficient
        ),
        "all channels get the first one's coefficient and bias": (
            lambda X, coefficient, bias: right(
                X, coefficient[:1].expand_as(coefficient), bias[:1].expand_as(bias)
            )
        ),
        "coefficient and bias run along the width: [:, None, None] puts them on the channels": (
            lambda X, coefficient, bias: (
                reference.windows(X, (2, 2), (2, 2)).sum((4, 5)) * coefficient + bias
            )
        ),
        "coefficient and bias run along the height: [:, None, None] puts them on the channels": (
            lambda X, coefficient, bias: (
                reference.windows(X, (2, 2), (2, 2)).sum((4, 5)) * coefficient[:, None]
                + bias[:, None]
            )
        ),
        "coefficient and bias run along the batch, not along the channels": (
            lambda X, coefficient, bias: (
                reference.windows(X, (2, 2), (2, 2)).sum((4, 5)) * coefficient[:, None, None, None]
                + bias[:, None, None, None]
            )
        ),
        "the result is squashed; that is a layer of its own": (
            lambda *given: reference.ScaledTanh()(right(*given))
        ),
        "tanh is applied; squashing is a layer of its own": (lambda *given: right(*given).tanh()),
        "a sigmoid is applied; squashing is a layer of its own": (
            lambda *given: right(*given).sigmoid()
        ),
        "the stride is 1; windows lie side by side": lambda X, coefficient, bias: (
            reference.windows(X, (2, 2), (1, 1)).sum((4, 5)) * coefficient[:, None, None]
            + bias[:, None, None]
        ),
    }
    return Exercise(inputs, right, list(mistakes.items()))


def _judge_subsampling(answer: type, exercise: Exercise, **options: bool) -> None:
    channels = exercise.inputs["X"].shape[1]
    has = {"coefficient": (channels,), "bias": (channels,)}
    layer = build("TrainableSubsampling2d", answer, channels, has=has)
    action = called(layer, "coefficient", "bias")
    exercise.judge("TrainableSubsampling2d", answer, action, **options)


@TrainableSubsampling2d.part("the sum of each window")
def _(answer: type) -> None:
    for batch, channels, size in ((2, 3, (4, 6)), (1, 1, (2, 4)), (3, 2, (6, 2))):
        zero, one = torch.zeros(channels).double(), torch.ones(channels).double()
        exercise = _subsampling(batch, channels, size, coefficient=one, bias=zero)
        _judge_subsampling(answer, exercise)


@TrainableSubsampling2d.part("coefficient and bias of each channel")
def _(answer: type) -> None:
    # As many channels as columns, rows and images, in turn.
    for batch, channels, size in ((2, 3, (4, 6)), (2, 3, (6, 4)), (3, 3, (4, 4)), (2, 4, (2, 6))):
        _judge_subsampling(answer, _subsampling(batch, channels, size))


@TrainableSubsampling2d.part("the gradients")
def _(answer: type) -> None:
    for batch, channels, size in ((2, 3, (4, 6)), (1, 2, (6, 2))):
        _judge_subsampling(answer, _subsampling(batch, channels, size), gradients=True)


@TrainableSubsampling2d.part("the first values; single precision; the images stay as they are")
def _(answer: type) -> None:
    name, has = "TrainableSubsampling2d", {"coefficient": (1000,), "bias": (1000,)}
    layer = expect_drawn(name, lambda: build(name, answer, 1000, has=has))
    for key, values in layer.named_parameters():
        low, high, deviation = values.min().item(), values.max().item(), values.std().item()
        # Of a thousand uniform numbers, the deviation is within 6 % as good as always.
        if not (-0.6001 < low < -0.57 and 0.57 < high < 0.6001 and 0.326 < deviation < 0.367):
            raise CheckError(
                f"{name}: the first values of {key} are not uniform in ±2.4 / 4 = ±0.6\n"
                f"  got: from {low:.4g} to {high:.4g}, standard deviation {deviation:.3g}",
                "torch.empty(channels).uniform_(-0.6, 0.6)",
            )
    exercise = _subsampling(2, 3, (4, 6))
    for case in (exercise, exercise.in_single_precision()):
        _judge_subsampling(answer, case, kept=True)
