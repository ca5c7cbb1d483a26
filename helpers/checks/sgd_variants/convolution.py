"""The checks of the convolution: forward, and backward to its parameters and to its input."""

from collections.abc import Callable, Iterator

import numpy as np

from helpers import numpy_layers
from helpers.checks.parts import Check
from helpers.checks.sgd_variants import reference
from helpers.checks.sgd_variants.functions import Function, Mistake, in_single_precision

convolution_forward = Check(
    "convolution_forward", "agrees with the reference for layers of 5 sizes"
)
convolution_backward_parameters = Check(
    "convolution_backward_parameters", "both gradients agree with the reference"
)
convolution_backward_input = Check(
    "convolution_backward_input", "agrees with the reference for layers of 5 sizes"
)

KEPT = "single precision; the arguments stay as they are"
# channels, filters, height, width, batch: once all different, once all that can be confused alike.
_SIZES = ((2, 3, 6, 7, 4), (3, 3, 5, 5, 3), (1, 4, 7, 5, 2), (4, 1, 6, 8, 1), (5, 5, 5, 5, 5))


def _layer(seed: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Return x, weights, bias and d_outputs."""
    channels, filters, height, width, batch = sizes
    rng = np.random.default_rng(seed)
    shapes = (
        *((channels, height, width, batch), (filters, channels, 5, 5), (filters,)),
        (filters, height, width, batch),
    )
    return tuple(rng.normal(size=shape) for shape in shapes)


def _symmetric(weights: np.ndarray) -> np.ndarray:
    """Return kernels that look the same flipped, and with rows and columns swapped."""
    for axis in (2, 3):
        weights = weights + np.flip(weights, axis)
    return weights + weights.swapaxes(2, 3)


def _padded(x: np.ndarray, before: int, after: int, **options) -> np.ndarray:
    border = (before, after)
    return np.pad(x, ((0, 0), border, border, (0, 0)), **options)


def _valid(padded: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Cross-correlate images that are padded already."""
    return numpy_layers.convolution_forward(padded, weights, np.zeros(len(weights)))[0]


def _inside(images: np.ndarray) -> np.ndarray:
    """Cut two pixels off each side: what is left does not depend on the padding."""
    return images[:, 2:-2, 2:-2] if images.ndim == 4 and min(images.shape[1:3]) > 4 else images


def _wrong_borders(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what is wrong with the padding, and the padded images."""
    yield "all of the padding is before the image; 2 pixels belong on each side", _padded(x, 4, 0)
    yield "all of the padding is behind the image; 2 pixels belong on each side", _padded(x, 0, 4)
    for mode in ("edge", "reflect", "symmetric", "wrap"):
        yield (
            f"the padding is that of mode {mode!r}, and should be zeros",
            _padded(x, 2, 2, mode=mode),
        )
    ones = _padded(x, 2, 2, constant_values=1)
    yield "the padding is ones, and should be zeros", ones
    zeroed = np.zeros_like(ones)
    zeroed[:, 4:-4, 4:-4] = x[:, 2:-2, 2:-2]
    yield "the two outermost rows and columns of the image are left out", zeroed
    if min(x.shape[1:3]) > 4:
        yield "the padding is missing, so that the outputs are smaller than the images", x
    yield "the padding is 1, and should be 2", _padded(x, 1, 1)
    yield "the padding is 3, and should be 2", _padded(x, 3, 3)
    yield "the padding is 4, and should be 2", _padded(x, 4, 4)


def _turned(weights: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield in which ways kernels can lie, and the kernels."""
    yield "flipped in both directions", np.flip(weights, (2, 3))
    yield "flipped upside down", np.flip(weights, 2)
    yield "flipped left to right", np.flip(weights, 3)
    yield "transposed (rows and columns swapped)", weights.swapaxes(2, 3)
    yield "rotated by 90°", np.rot90(weights, 1, (2, 3))
    yield "rotated by 90°", np.rot90(weights, -1, (2, 3))
    yield "flipped and transposed", np.flip(weights.swapaxes(2, 3), (2, 3))


# --- forward

KERNELS, CHANNELS, BORDER, BIAS = (
    "the kernels, laid on the images as they are",
    "the channels are added up",
    "the border of two zeros",
    "the biases",
)


def _forward_mistakes(x: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> Iterator[Mistake]:
    padded, added = _padded(x, 2, 2), bias[:, np.newaxis, np.newaxis, np.newaxis]
    right = _valid(padded, weights)
    for words, value in {
        "the bias is missing": right,
        "the bias is subtracted": right - added,
        "the bias is added once for each channel": right + len(x) * added,
        "the bias is added once for each number of a window": right + weights[0].size * added,
        "all filters get the bias of the first one": right + bias[0],
    }.items():
        yield Mistake(words, (value,), (BIAS,))
    if len(bias) == x.shape[3]:
        yield Mistake(
            "the biases are added along the batch, not along the filters", (right + bias,), (BIAS,)
        )
    for words, kernels in _turned(weights):
        yield Mistake(
            f"the kernels are {words} and should lie on the image as they are",
            (_valid(padded, kernels) + added,),
            (KERNELS,),
        )
    yield from _forward_channels(padded, weights, added)
    for words, bordered in _wrong_borders(x):
        yield Mistake(words, (_valid(bordered, weights) + added,), (BORDER,))
    outputs = right + added
    filters, height, width, batch = outputs.shape
    regrouped = outputs.reshape(filters, batch, height, width)
    yield Mistake(
        "the columns of the product are (height, width, batch), in this order, not (batch, …)",
        (regrouped.transpose(0, 2, 3, 1),),
    )
    yield Mistake(
        "the outputs are batch-first; the batch belongs last", (outputs.transpose(3, 0, 1, 2),)
    )
    yield Mistake("the stride is 2, and should be 1", (outputs[:, ::2, ::2],))
    corner = np.zeros_like(weights)
    corner[..., -1, -1] = weights[..., -1, -1]
    yield Mistake(
        "only the last number of the kernel counts: = stands in the loop where += belongs",
        (_valid(padded, corner) + added,),
    )


def _forward_channels(
    padded: np.ndarray, weights: np.ndarray, added: np.ndarray
) -> Iterator[Mistake]:
    channels = len(padded)
    if channels > 1:
        for words, one in {"first": slice(0, 1), "last": slice(-1, None)}.items():
            yield Mistake(
                f"only the {words} channel counts: the channels have to be added up",
                (_valid(padded[one], weights[:, one]) + added,),
                (CHANNELS,),
            )
        yield Mistake(
            "the channels are averaged, and should be added up",
            (_valid(padded, weights) / channels + added,),
            (CHANNELS,),
        )
        yield Mistake(
            "all channels get the first channel's kernel",
            (_valid(padded, np.repeat(weights[:, :1], channels, 1)) + added,),
            (CHANNELS,),
        )
        yield Mistake(
            "the channels are taken in reverse order",
            (_valid(padded[::-1], weights) + added,),
            (CHANNELS,),
        )
    if channels == len(weights):
        yield Mistake(
            "filters and channels are swapped: weights are [filters, channels, 5, 5]",
            (_valid(padded, weights.swapaxes(0, 1)) + added,),
            (CHANNELS,),
        )
        each = np.concatenate(
            [_valid(padded[c : c + 1], weights[c : c + 1, c : c + 1]) for c in range(channels)]
        )
        if channels > 1:
            yield Mistake(
                "each filter sees one channel only: it has a kernel for every channel",
                (each + added,),
                (CHANNELS,),
            )


FORWARD = Function(
    "convolution_forward",
    ("",),
    lambda *arguments: (reference.convolution_forward(*arguments),),
    _forward_mistakes,
)


def _forward(seed: int, sizes: tuple[int, ...], **changes) -> dict[str, np.ndarray]:
    x, weights, bias, _ = _layer(seed, sizes)
    return {"x": x, "weights": weights, "bias": bias} | changes


@convolution_forward.part(KERNELS)
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(_SIZES):
        FORWARD.expect(answer, _forward(seed, sizes), part=KERNELS)


@convolution_forward.part(CHANNELS)
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(_SIZES):
        exercise = _forward(seed, sizes)
        exercise["bias"] *= 0
        exercise["weights"] = _symmetric(exercise["weights"])
        FORWARD.expect(answer, exercise, part=CHANNELS, crop=_inside)


@convolution_forward.part(BORDER)
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(((1, 2, 6, 7, 3), (1, 1, 5, 5, 1), (1, 1, 3, 4, 2))):
        exercise = _forward(seed, sizes)
        exercise["bias"] *= 0
        exercise["weights"] = _symmetric(exercise["weights"])
        FORWARD.expect(answer, exercise, part=BORDER)


@convolution_forward.part(BIAS)
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(((2, 2, 6, 7, 3), (1, 4, 8, 8, 4), (3, 1, 7, 6, 2))):
        exercise = _forward(seed, sizes)
        exercise["weights"] = _symmetric(exercise["weights"])
        FORWARD.expect(answer, exercise, part=BIAS, crop=_inside)


@convolution_forward.part(KEPT)
def _(answer: Callable) -> None:
    exercise = _forward(7, (1, 2, 9, 8, 1))
    exercise["bias"] *= 0
    exercise["weights"] = _symmetric(exercise["weights"])
    FORWARD.expect_unchanged(answer, in_single_precision(exercise), KEPT)


# --- backward, to the parameters

D_WEIGHTS, D_BIAS = "d_weights", "d_bias"
SUMMED = "d_weights, several images: their gradients are added up"
TO_THE_BORDER = "d_weights, windows across the border of the images"
ONE_IMAGE, BIASES = "d_weights, one image", "d_bias"


def _parameter_mistakes(d_outputs: np.ndarray, x: np.ndarray) -> Iterator[Mistake]:
    d_weights, d_bias = reference.convolution_backward_parameters(d_outputs, x)
    batch, pixels = x.shape[3], x.shape[1] * x.shape[2]
    yield Mistake("the order is (d_weights, d_bias)", (d_bias, d_weights))
    for words, factor in {
        "averaged over the batch; the 1 / batch is already in d_outputs": batch,
        "averaged over the pixels; a sum is asked for": pixels,
        "averaged over pixels and batch; a sum is asked for": pixels * batch,
    }.items():
        owner = SUMMED if factor == batch else ONE_IMAGE
        yield Mistake(f"d_weights is {words}", (d_weights / factor, None), (owner,))
        yield Mistake(f"d_bias is {words}", (None, d_bias / factor))
    for words, one in {"first": slice(0, 1), "last": slice(-1, None)}.items():
        w, b = reference.convolution_backward_parameters(d_outputs[..., one], x[..., one])
        yield Mistake(f"d_weights is that of the {words} image alone", (w, None), (SUMMED,))
        yield Mistake(f"d_bias is that of the {words} image alone", (None, b))
    for words, turned in _turned(d_weights):
        yield Mistake(f"d_weights is {words}", (turned, None), (ONE_IMAGE,))
    yield Mistake(
        "filters and channels are swapped: d_weights is [filters, channels, 5, 5]",
        (d_weights.swapaxes(0, 1), None),
        (ONE_IMAGE,),
    )
    for words, bordered in _wrong_borders(x):
        yield Mistake(words, (_correlated(bordered, d_outputs), None), (TO_THE_BORDER,))
    yield Mistake(
        "the windows across the border of the image are left out",
        (_correlated(x, d_outputs[:, 2:-2, 2:-2]), None),
        (TO_THE_BORDER,),
    )
    flat = d_weights.reshape(len(d_weights), -1)
    yield Mistake("d_weights is still the matrix [filters, channels · 25]", (flat, None))
    yield Mistake("d_weights is still the matrix [channels · 25, filters]", (flat.T, None))
    yield Mistake(
        "the matrix [channels · 25, filters] has to be transposed before it is reshaped",
        (flat.T.reshape(d_weights.shape), None),
        (ONE_IMAGE,),
    )
    rows = d_outputs.transpose(0, 3, 1, 2).reshape(len(d_outputs), -1)
    yield Mistake(
        "the columns of d_outputs and of the unfolded images are in different orders: both are "
        "(height, width, batch)",
        ((rows @ reference.unfold(x).T).reshape(d_weights.shape), None),
        (SUMMED,),
    )
    summed = d_outputs.sum((1, 2))
    yield Mistake("d_bias has to be summed over the batch too", (None, summed))
    yield Mistake("d_bias has to be summed over height and width too", (None, d_outputs.sum(3)))
    yield Mistake("d_bias is summed over filters and pixels, and should have one number a filter", (
        None, d_outputs.sum((0, 1, 2)),
    ))  # fmt: skip
    yield Mistake("d_bias is summed over the filters too", (None, d_outputs.sum()))
    yield Mistake("d_bias has axes of length 1 too many: it is [filters]", (None, d_bias[:, None]))
    yield Mistake("d_bias has axes of length 1 too many: it is [filters]", (
        None, d_bias[:, None, None, None],
    ))  # fmt: skip


def _correlated(padded: np.ndarray, d_outputs: np.ndarray) -> np.ndarray:
    """Return the sums of products for each shift of `d_outputs` inside the padded images.

    There are 5 × 5 shifts, or as many as fit or exist.
    """
    shifts = [range(min(5, padded.shape[a] - d_outputs.shape[a] + 1)) for a in (1, 2)]
    _, height, width, _ = d_outputs.shape
    return np.stack(
        [
            np.stack(
                [
                    np.einsum("fhwb,chwb->fc", d_outputs, padded[:, i : i + height, j : j + width])
                    for j in shifts[1]
                ],
                -1,
            )
            for i in shifts[0]
        ],
        -2,
    )


PARAMETERS = Function(
    "convolution_backward_parameters",
    (D_WEIGHTS, D_BIAS),
    reference.convolution_backward_parameters,
    _parameter_mistakes,
)


def _parameters(seed: int, sizes: tuple[int, ...]) -> dict[str, np.ndarray]:
    x, _, _, d_outputs = _layer(seed, sizes)
    return {"d_outputs": d_outputs, "x": x}


def _framed(seed: int, sizes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return images in a frame of zeros, so that windows across the border add nothing."""
    exercise = _parameters(seed, sizes)
    for array in exercise.values():
        array[:, [0, 1, -1, -2]] = 0
        array[:, :, [0, 1, -1, -2]] = 0
    return exercise


@convolution_backward_parameters.part(ONE_IMAGE)
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(((1, 1, 9, 8, 1), (2, 3, 8, 9, 1), (3, 3, 9, 9, 1))):
        exercise = _framed(seed, sizes)
        PARAMETERS.expect(answer, exercise, [D_WEIGHTS], part=ONE_IMAGE)


@convolution_backward_parameters.part(SUMMED)
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(((2, 3, 9, 10, 4), (3, 3, 9, 9, 3))):
        PARAMETERS.expect(answer, _framed(seed, sizes), [D_WEIGHTS], part=SUMMED)


@convolution_backward_parameters.part(TO_THE_BORDER)
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(_SIZES):
        PARAMETERS.expect(answer, _parameters(seed, sizes), [D_WEIGHTS], part=TO_THE_BORDER)


@convolution_backward_parameters.part(BIASES)
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(_SIZES):
        PARAMETERS.expect(answer, _parameters(seed, sizes), [D_BIAS])


@convolution_backward_parameters.part(KEPT)
def _(answer: Callable) -> None:
    PARAMETERS.expect_unchanged(answer, in_single_precision(_framed(8, (2, 2, 9, 9, 1))), KEPT)


# --- backward, to the input

FLIPPED, FILTERS, EDGE = (
    "the kernels, flipped",
    "the filters are added up",
    "the gradient up to the border",
)


def _input_mistakes(d_outputs: np.ndarray, weights: np.ndarray) -> Iterator[Mistake]:
    padded, backwards = _padded(d_outputs, 2, 2), weights.swapaxes(0, 1)
    flipped = np.flip(backwards, (2, 3))
    yield Mistake(
        "the kernels are not flipped: the gradient takes the way back, with the opposite shifts",
        (_valid(padded, backwards),),
        (FLIPPED,),
    )
    for words, kernels in _turned(flipped):
        yield Mistake(
            f"the kernels are {words} after the right flip: both axes, and no other, run backwards",
            (_valid(padded, kernels),),
            (FLIPPED,),
        )
    full = _valid(_padded(d_outputs, 4, 4), flipped)
    yield Mistake("the padding is cut off on the wrong side", (full[:, 4:, 4:],), (EDGE,))
    yield Mistake("the padding is cut off on the wrong side", (full[:, :-4, :-4],), (EDGE,))
    yield Mistake("the padding has to be cut off the gradient", (full,), (EDGE,))
    for words, bordered in _wrong_borders(d_outputs):
        yield Mistake(words, (_valid(bordered, flipped),), (EDGE,))
    if len(weights) == weights.shape[1]:
        for words, kernels in {
            "filters and channels are not swapped: each channel collects from all filters": (
                np.flip(weights, (2, 3))
            ),
            "neither are filters and channels swapped nor the kernels flipped": weights,
        }.items():
            yield Mistake(words, (_valid(padded, kernels),), (FILTERS,))
    if len(weights) > 1:
        for words, one in {"first": slice(0, 1), "last": slice(-1, None)}.items():
            yield Mistake(
                f"only the {words} filter counts: the gradients of all filters are added up",
                (_valid(padded[one], flipped[:, one]),),
                (FILTERS,),
            )
        yield Mistake(
            "the gradients of the filters are averaged, and should be added up",
            (_valid(padded, flipped) / len(weights),),
            (FILTERS,),
        )
    right = _valid(padded, flipped)
    channels, height, width, batch = right.shape
    columns = weights.reshape(len(weights), -1).T @ d_outputs.reshape(len(d_outputs), -1)
    centre = columns.reshape(channels, 25, -1)[:, 12].reshape(right.shape)
    yield Mistake(
        "of the windows that hold a pixel only one counts: their gradients are added up", (centre,)
    )
    for position, where in ((0, "first"), (24, "last")):
        one = np.zeros_like(flipped)
        one[..., 4 - position // 5, 4 - position % 5] = weights.swapaxes(0, 1)[
            ..., position // 5, position % 5
        ]
        yield Mistake(
            f"only the {where} number of the kernel counts: = stands in the loop where += belongs",
            (_valid(padded, one),),
        )
    yield Mistake(
        "the gradient is averaged over the batch; each image has its own", (right / batch,)
    )
    yield Mistake(
        "the gradient is divided by the 25 numbers of a kernel; it is a sum", (right / 25,)
    )
    yield Mistake(
        "the columns of the product are (height, width, batch), in this order, not (batch, …)",
        (right.reshape(channels, batch, height, width).transpose(0, 2, 3, 1),),
    )


INPUT = Function(
    "convolution_backward_input",
    ("d_x",),
    lambda *arguments: (reference.convolution_backward_input(*arguments),),
    _input_mistakes,
)


def _input(seed: int, sizes: tuple[int, ...]) -> dict[str, np.ndarray]:
    _, weights, _, d_outputs = _layer(seed, sizes)
    return {"d_outputs": d_outputs, "weights": weights}


def _symmetric_input(seed: int, sizes: tuple[int, ...]) -> dict[str, np.ndarray]:
    exercise = _input(seed, sizes)
    return exercise | {"weights": _symmetric(exercise["weights"])}


@convolution_backward_input.part(FLIPPED)
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(((1, 1, 9, 8, 1), *_SIZES)):
        INPUT.expect(answer, _input(seed, sizes), part=FLIPPED)


@convolution_backward_input.part(FILTERS)
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(((2, 3, 8, 9, 2), (3, 3, 9, 9, 3), (1, 4, 7, 6, 2))):
        INPUT.expect(answer, _symmetric_input(seed, sizes), part=FILTERS, crop=_inside)


@convolution_backward_input.part(EDGE)
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(((2, 1, 6, 7, 2), (1, 1, 5, 5, 1), (1, 1, 3, 4, 2))):
        INPUT.expect(answer, _symmetric_input(seed, sizes), part=EDGE)


@convolution_backward_input.part(KEPT)
def _(answer: Callable) -> None:
    exercise = in_single_precision(_symmetric_input(9, (2, 1, 6, 7, 1)))
    INPUT.expect_unchanged(answer, exercise, KEPT)
