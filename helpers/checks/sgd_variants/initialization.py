"""The check of `initialize`: He's deviation for each layer, zero biases, drawn from `rng`."""

import math
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from helpers.checks.answers import attempt
from helpers.checks.errors import CheckError
from helpers.checks.parts import Check
from helpers.checks.sgd_variants.functions import CAUSES
from helpers.checks.sgd_variants.reference import (
    PARAMETER_COUNT,
    SHAPES,
    Arrays,
    standing_in,
    views,
)

initialize = Check("initialize", "weights as He et al. have them, biases zero, drawn from rng")

CONVOLUTIONS = ("conv1.weights", "conv2.weights")
DENSE = ("hidden.weights", "output.weights")
WEIGHTS = (*CONVOLUTIONS, *DENSE)

# From the 4 000 weights of the first convolution in 40 draws, the deviation is known to 1.1 %, the
# mean to 1.6 % of it, the kurtosis to 0.08: each limit is at least five times as wide.
_DRAWS = 40
_DEVIATION, _MEAN, _KURTOSIS = 0.06, 0.1, 0.5


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


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the fan-in and the fan-out of a layer with weights of this shape."""
    return math.prod(shape[1:]), shape[0] * math.prod(shape[2:])


def _mistakes() -> Iterator[tuple[str, Callable[[tuple[int, ...]], float]]]:
    """Yield what can be wrong with a deviation, and the deviation of weights of a shape."""

    def he(inputs: float) -> float:
        return math.sqrt(2 / inputs)

    yield "2 / fan-in is the variance: the deviation is its root", lambda s: 2 / _fans(s)[0]
    yield "the fan-in is that of the other side: this is the fan-out", lambda s: he(_fans(s)[1])
    yield (
        "the fan-in counts the channels alone: each of them adds 5 · 5 numbers to a sum",
        lambda s: he(s[1]),
    )
    yield (
        "the fan-in counts one kernel of 5 · 5 alone: a sum runs over all channels",
        lambda s: he(math.prod(s[2:]) if len(s) > 2 else s[1]),
    )
    yield "the fan-in is taken to be the number of filters or outputs", lambda s: he(s[0])
    yield "the fan-in is taken to be the last axis, one side of the kernel", lambda s: he(s[-1])
    yield "the fan-in is taken to be the number of all weights", lambda s: he(math.prod(s))
    yield "fan-in and fan-out are averaged (Glorot)", lambda s: math.sqrt(2 / sum(_fans(s)))
    yield "the variance is 1 / fan-in: the 2 for ReLU is missing", lambda s: _fans(s)[0] ** -0.5
    yield "the 2 stands outside the root", lambda s: 2 / _fans(s)[0] ** 0.5
    yield "the root is taken of the 2 alone", lambda s: math.sqrt(2) / _fans(s)[0]
    yield "the deviation is 1 / fan-in", lambda s: 1 / _fans(s)[0]
    yield "the fraction is upside down", lambda s: math.sqrt(_fans(s)[0] / 2)
    yield (
        "the deviation is √(6 / fan-in), a uniform distribution's limit",
        lambda s: math.sqrt(6 / _fans(s)[0]),
    )
    yield (
        "a uniform distribution's limit is √(2 / fan-in): that is not its deviation",
        lambda s: math.sqrt(2 / _fans(s)[0] / 3),
    )
    for constant in (1.0, 0.1, 0.01, 0.05, 0.02, 0.001):
        yield f"all layers have the deviation {constant:g}", lambda s, c=constant: c


def _expect_deviations(answer: Callable, names: tuple[str, ...]) -> None:
    samples = _samples(answer)
    got = {name: float(np.sqrt((samples[name] ** 2).mean())) for name in names}
    for name in names:
        right = math.sqrt(2 / _fans(SHAPES[name])[0])
        if not _near(got[name], right):
            words = (w for w, deviation in _mistakes() if _explains(deviation, got))
            raise CheckError(
                f"initialize, {name}: not the deviation of He et al.\n  given: weights "
                f"{list(SHAPES[name])}, {_DRAWS} draws\n  expected: √(2 / {_fans(SHAPES[name])[0]})"
                f" = {right:.4g}\n  got: {got[name]:.4g}",
                next(words, f"the deviation is {got[name] / right:.3g} times what it should be"),
            )


def _explains(deviation: Callable[[tuple[int, ...]], float], got: dict[str, float]) -> bool:
    """Tell whether a mistake gives every deviation that is wrong, and no other than there are."""
    return all(_near(value, deviation(SHAPES[name])) for name, value in got.items()) or all(
        _near(value, deviation(SHAPES[name]))
        for name, value in got.items()
        if not _near(value, math.sqrt(2 / _fans(SHAPES[name])[0]))
    )


def _near(value: float, expected: float) -> bool:
    return abs(value - expected) <= _DEVIATION * expected


@initialize.part("the deviation of the convolutions' weights")
def _(answer: Callable) -> None:
    _expect_deviations(answer, CONVOLUTIONS)


@initialize.part("the deviation of the fully connected layers' weights")
def _(answer: Callable) -> None:
    _expect_deviations(answer, DENSE)


@initialize.part("a normal distribution about zero")
def _(answer: Callable) -> None:
    for name, weights in _samples(answer).items():
        mean, scale = weights.mean(), np.sqrt((weights**2).mean())
        if abs(mean) > _MEAN * scale:
            raise CheckError(
                f"initialize, {name}: the mean is {mean:.3g}, and should be 0",
                "the numbers are all positive, as rng.random() and abs() give them"
                if weights.min() >= 0
                else "the distribution is shifted",
            )
        kurtosis = (weights**4).mean() / scale**4
        if abs(kurtosis - 3) > _KURTOSIS:
            raise CheckError(
                f"initialize, {name}: the weights are not normally distributed\n  expected: a "
                f"kurtosis (E w⁴ / (E w²)²) of 3\n  got: {kurtosis:.3g}",
                "the distribution is uniform; rng.normal is normal"
                if abs(kurtosis - 1.8) < 0.1
                else "",
            )


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
