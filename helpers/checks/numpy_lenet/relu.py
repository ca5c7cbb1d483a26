"""The checks of ReLU, forwards and backwards."""

from collections.abc import Callable, Iterator

import numpy as np

from helpers.checks.diagnosis import Mistake, as_array, expect
from helpers.checks.errors import CheckError
from helpers.checks.numpy_lenet.reference import (
    array_of,
    call,
    call_and_compare,
    data_of,
    expect_sizes,
    flat,
    numbers,
    structure,
)
from helpers.checks.parts import Check

relu_forward = Check("relu_forward", "max(0, x) of small and large numbers, sizes kept")
relu_backward = Check("relu_backward", "the gradient passes where the input was positive")

_LAYER = {"type": "RELU"}
# Nothing is rounded: what is left over of a negative number is a mistake, however small.
EXACT = 1e-6
TINY, LARGE = 1e-6, 1e4  # the scales of what is tried besides 1
_SHAPES = ((1, 3, 4, 1), (2, 3, 5, 4))

# Of numbers x: what is done wrong, and what it gives.
_INSTEAD: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nothing but zeros came": np.zeros_like,
    "negative numbers pass as they are: nothing is done": lambda x: x,
    "the absolute value is taken; negative numbers should become 0": np.abs,
    "it is a leaky ReLU of slope 0.01; negative numbers should become 0": lambda x: np.where(
        x > 0, x, 0.01 * x
    ),
    "it is a leaky ReLU of slope 0.1; negative numbers should become 0": lambda x: np.where(
        x > 0, x, 0.1 * x
    ),
    "large numbers are clipped at 1": lambda x: np.clip(x, 0, 1),
    "large numbers are clipped at 6, as in ReLU6": lambda x: np.clip(x, 0, 6),
    "1 is returned for positive numbers, not the number itself": lambda x: (x > 0) * 1.0,
    "it is the sign": np.sign,
    "the smaller of x and 0 is taken, not the larger": lambda x: np.minimum(x, 0),
    "the larger of -x and 0 is taken": lambda x: np.maximum(-x, 0),
    "the larger of x and 1 is taken, not of x and 0": lambda x: np.maximum(x, 1),
    "numbers between 0 and 1 are lost: the threshold is 0": lambda x: np.where(x > 1, x, 0),
    "it is a sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "it is tanh": np.tanh,
    "it is softplus": lambda x: np.logaddexp(0, x),
    "it is ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "negative numbers are squared away": lambda x: np.maximum(x, 0) ** 2,
    "the largest number of all is subtracted": lambda x: np.maximum(x - x.max(), 0),
}


def _inputs(scale: float) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what is given, in words and as maps of numbers between `-scale` and `scale`."""
    for seed, shape in enumerate(_SHAPES):
        for dtype in (np.float64, np.float32):
            maps = (scale * numbers(shape, seed)).astype(dtype)
            channel, height, width, batch_size = shape
            given = (
                f"{batch_size} × {channel} maps of {height} × {width} ({maps.dtype}), numbers "
                f"from {-scale:g} to {scale:g}"
            )
            yield given, maps


def _forward_mistakes(maps: np.ndarray) -> Iterator[Mistake]:
    for words, instead in _INSTEAD.items():
        yield words, flat(instead(maps))
    yield (
        "np.max takes the largest number along an axis; np.maximum compares number by number",
        flat(maps).max(axis=0),
    )


def _expect_forward(given: str, maps: np.ndarray, result: object) -> None:
    what = f"{relu_forward.name}, data"
    right = flat(np.where(maps > 0, maps, 0))
    data, mistakes = data_of(relu_forward.name, result), _forward_mistakes(maps)
    expect(what, given, data, right, mistakes, tolerance=EXACT)


def _forward_part(answer: Callable, scale: float) -> None:
    for given, maps in _inputs(scale):
        _expect_forward(
            given, maps, call(relu_forward.name, given, answer, structure(maps), _LAYER)
        )


@relu_forward.part("numbers between -1 and 1")
def _(answer: Callable) -> None:
    for scale in (1, TINY):
        _forward_part(answer, scale)


@relu_forward.part("large numbers")
def _(answer: Callable) -> None:
    _forward_part(answer, LARGE)


@relu_forward.part("the sizes of the output")
def _(answer: Callable) -> None:
    for given, maps in _inputs(scale=1):
        result = call(relu_forward.name, given, answer, structure(maps), _LAYER)
        _expect_forward(given, maps, result)
        expect_sizes(relu_forward.name, given, result, maps)


@relu_forward.part("the input is left as it was")
def _(answer: Callable) -> None:
    for given, maps in _inputs(scale=1):
        arguments = {"input": structure(maps), "layer": _LAYER}
        result = call_and_compare(relu_forward.name, given, answer, arguments)
        _expect_forward(given, maps, result)
        arguments["input"] = structure(np.abs(maps))  # where nothing has to be done
        call_and_compare(relu_forward.name, given, answer, arguments)


# --- backwards


def _backward_mistakes(maps: np.ndarray, diff: np.ndarray) -> Iterator[Mistake]:
    mask = maps > 0
    for words, value in {
        "nothing but zeros came": np.zeros_like(diff),
        "the whole gradient passes; where the input was negative it has to be 0": diff,
        "the sign of the gradient decides what passes; the sign of the input should": (
            np.maximum(diff, 0)
        ),
        "the gradient has to be positive too to pass; only the input's sign counts": (
            np.maximum(diff, 0) * mask
        ),
        "the gradient passes where the input was negative, not where it was positive": diff * ~mask,
        "the mask alone is returned; it has to be multiplied by output['diff']": mask * 1.0,
        "the mask alone is returned, as -1 and 1": np.sign(maps),
        "the input is passed back, not output['diff']": maps * mask,
        "the gradient is multiplied by the input": diff * maps * mask,
        "the gradient is multiplied by the sign of the input": diff * np.sign(maps),
        "the sign is wrong": -diff * mask,
        "the absolute value of the gradient passes": np.abs(diff) * mask,
        "it is the gradient of a leaky ReLU of slope 0.01": np.where(mask, diff, 0.01 * diff),
        "it is the gradient of a leaky ReLU of slope 0.1": np.where(mask, diff, 0.1 * diff),
        "the gradient is divided by the batch size": diff * mask / maps.shape[3],
        "the gradient passes only where the input is above 1": diff * (maps > 1),
        "the threshold is 0.5, not 0": diff * (maps > 0.5),
    }.items():
        yield words, flat(value)


def _backward_cases(scale: float) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for given, maps in _inputs(scale):
        yield given, maps, numbers(maps.shape, seed=90, dtype=maps.dtype)


def _backward_arguments(maps: np.ndarray, diff: np.ndarray) -> dict[str, object]:
    output = structure(np.where(maps > 0, maps, 0).astype(maps.dtype), diff)
    return {"output": output, "input": structure(maps), "layer": _LAYER}


def _expect_backward(given: str, got: object, maps: np.ndarray, diff: np.ndarray) -> None:
    right, mistakes = flat(np.where(maps > 0, diff, 0)), _backward_mistakes(maps, diff)
    input_od = array_of(relu_backward.name, got)
    expect(f"{relu_backward.name}, input_od", given, input_od, right, mistakes, tolerance=EXACT)


@relu_backward.part("inputs between -1 and 1")
def _(answer: Callable) -> None:
    for given, maps, diff in (*_backward_cases(scale=1), *_backward_cases(TINY)):
        arguments = _backward_arguments(maps, diff).values()
        got = call(relu_backward.name, given, answer, *arguments)
        _expect_backward(given, got, maps, diff)


@relu_backward.part("large inputs")
def _(answer: Callable) -> None:
    for given, maps, diff in _backward_cases(LARGE):
        arguments = _backward_arguments(maps, diff).values()
        got = call(relu_backward.name, given, answer, *arguments)
        _expect_backward(given, got, maps, diff)


@relu_backward.part("inputs that are exactly 0")
def _(answer: Callable) -> None:
    # There is no derivative at 0; any number between those on either side, 0 and 1, may stand for
    # it. The page takes 0.
    name, given = relu_backward.name, "whole numbers from -2 to 2, many of them 0"
    maps = np.random.default_rng(3).integers(-2, 3, (2, 3, 4, 2)).astype(float)
    diff = numbers(maps.shape, seed=91)
    result = call(name, given, answer, *_backward_arguments(maps, diff).values())
    got = as_array(name, array_of(name, result))
    if got.shape != flat(diff).shape:
        _expect_backward(given, got, maps, diff)
    at_zero = flat(maps) == 0
    shares = got[at_zero] / flat(diff)[at_zero]
    elsewhere = np.where(at_zero, 0, got).reshape(maps.shape)
    right, mistakes = np.where(maps > 0, diff, 0), _backward_mistakes(maps, diff)
    left_out = ((words, np.where(at_zero, 0, value)) for words, value in mistakes)
    expect(f"{name}, input_od", given, flat(elsewhere), flat(right), left_out)
    if not ((shares > -1e-4) & (shares < 1 + 1e-4)).all():
        raise CheckError(
            f"{name}, input_od: where the input is 0, between none and all of the gradient may "
            f"pass\n  given: {given}\n  expected: shares from 0 to 1\n"
            f"  got: shares from {shares.min():.4g} to {shares.max():.4g}"
        )


@relu_backward.part("the arguments are left as they were")
def _(answer: Callable) -> None:
    for given, maps, diff in _backward_cases(scale=1):
        arguments = _backward_arguments(maps, diff)
        got = call_and_compare(relu_backward.name, given, answer, arguments)
        _expect_backward(given, got, maps, diff)
