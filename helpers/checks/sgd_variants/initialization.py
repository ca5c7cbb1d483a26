"""The check of `initialize`: He's deviation for each layer, zero biases, drawn from `rng`."""

from collections.abc import Callable
from itertools import combinations

import numpy as np

from helpers.checks.answers import attempt
from helpers.checks.errors import CheckError
from helpers.checks.he import expect_deviations, expect_normal
from helpers.checks.parts import Check
from helpers.checks.sgd_variants.functions import CAUSES
from helpers.checks.sgd_variants.reference import (
    PARAMETER_COUNT,
    Arrays,
    standing_in,
    views,
)

initialize = Check("initialize", "weights as He et al. have them, biases zero, drawn from rng")

CONVOLUTIONS = ("conv1.weights", "conv2.weights")
DENSE = ("hidden.weights", "output.weights")
WEIGHTS = (*CONVOLUTIONS, *DENSE)

# Of the 100 weights of the first convolution, that makes 4 000.
_DRAWS = 40


def _draw(answer: Callable, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    """Return the `theta` that the answer draws; raise `CheckError` if it is no such vector."""
    with standing_in(answer, "initialize"):
        rng = np.random.default_rng(seed)
        theta = attempt("initialize", lambda: answer(rng, dtype), causes=CAUSES)
    if not isinstance(theta, np.ndarray) or theta.shape != (PARAMETER_COUNT,):
        came = f"of shape {theta.shape}" if isinstance(theta, np.ndarray) else type(theta).__name__
        raise CheckError(
            f"initialize should return theta, an array of shape ({PARAMETER_COUNT},), not {came}"
        )
    if not np.isfinite(theta).all():
        raise CheckError(
            "initialize: some numbers are NaN or infinite",
            "np.empty holds what happens to be in memory, or a fan-in of 0 is divided by",
        )
    if not any(views(theta)[name].any() for name in WEIGHTS):
        raise CheckError(
            "initialize: all weights are zero",
            "nothing is written into theta: array[...] = … fills a view, array = … does not",
        )
    return theta


def _samples(answer: Callable) -> dict[str, np.ndarray]:
    """Return the weights `[draws, *shape]` of each layer from many seeds."""
    thetas = [views(_draw(answer, seed)) for seed in range(_DRAWS)]
    for name in WEIGHTS:
        _require_other_weights(name, thetas[0], thetas[1])
    return {name: np.stack([theta[name] for theta in thetas]) for name in WEIGHTS}


def _require_other_weights(name: str, one: Arrays, other: Arrays) -> None:
    if np.array_equal(one[name], other[name]):
        raise CheckError(
            f"initialize, {name}: two generators of different seeds give the same weights",
            "rng is not used, or a new generator with a fixed seed is made",
        )


def _expect_deviations(answer: Callable, names: tuple[str, ...]) -> None:
    samples = _samples(answer)
    expect_deviations("initialize", {name: samples[name] for name in names})


@initialize.part("the deviation of the convolutions' weights")
def _(answer: Callable) -> None:
    _expect_deviations(answer, CONVOLUTIONS)


@initialize.part("the deviation of the fully connected layers' weights")
def _(answer: Callable) -> None:
    _expect_deviations(answer, DENSE)


@initialize.part("a normal distribution about zero")
def _(answer: Callable) -> None:
    expect_normal("initialize", _samples(answer))


@initialize.part("the biases are zero")
def _(answer: Callable) -> None:
    for name, array in views(_draw(answer)).items():
        if array.ndim == 1 and array.any():
            raise CheckError(
                f"initialize, {name}: the biases should be zero\n  got: {array[:4]}, …",
                "the biases are drawn like the weights"
                if len(set(array.tolist())) > 1
                else "the biases start at a constant",
            )


@initialize.part("every weight has a number of its own, drawn from rng")
def _(answer: Callable) -> None:
    first, again, other = (_draw(answer, seed) for seed in (3, 3, 4))
    if not np.array_equal(first, again):
        raise CheckError(
            "initialize: two generators of the same seed give different weights",
            "the numbers come from elsewhere (np.random) and not from rng",
        )
    for name, weights in views(first).items():
        if name not in WEIGHTS:
            continue
        _require_other_weights(name, views(first), views(other))
        if len(np.unique(weights)) < 0.9 * weights.size:
            raise CheckError(
                f"initialize, {name}: {weights.size} weights have only {len(np.unique(weights))} "
                "different values",
                "all kernels, or all rows, are equal: they would stay equal, since their gradients "
                "are",
            )
    for one, two in combinations(WEIGHTS, 2):
        a, b = (views(first)[name].ravel() for name in (one, two))
        count = min(len(a), len(b))
        if abs(np.corrcoef(a[:count], b[:count])[0, 1]) > 0.95:
            raise CheckError(
                f"initialize: {one} and {two} have the same random numbers",
                "a generator is made anew for each layer, with the same seed",
            )


@initialize.part("the number type that is asked for")
def _(answer: Callable) -> None:
    for dtype in (np.float32, np.float64):
        theta = _draw(answer, dtype=dtype)
        if theta.dtype != dtype:
            raise CheckError(
                f"initialize: dtype {np.dtype(dtype)} is asked for, and theta is {theta.dtype}",
                "theta has to be made with the argument dtype",
            )
