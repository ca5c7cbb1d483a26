"""Hold first weights against He et al. (2015): normal about 0, of variance 2 / fan-in."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from helpers.checks.errors import CheckError

Shape = tuple[int, ...]  # of weights: outputs, inputs, and the sides of a kernel
Samples = Mapping[str, np.ndarray]  # weights `[draws, *shape]` by the name of their layer

# From the 4 000 weights of the smallest layer in all draws, the deviation is known to 1.1 %, the
# mean to 1.6 % of it, the kurtosis to 0.08: each limit is at least five times as wide.
DEVIATION, MEAN, KURTOSIS = 0.06, 0.1, 0.5


def fans(shape: Shape) -> tuple[int, int]:
    """Return the fan-in and the fan-out of a layer with weights of this shape."""
    return math.prod(shape[1:]), shape[0] * math.prod(shape[2:])


def wrong_deviations() -> Iterator[tuple[str, Callable[[Shape], float]]]:
    """Yield what can be wrong with a deviation, and the deviation of weights of a shape."""

    def he(inputs: float) -> float:
        return math.sqrt(2 / inputs)

    yield "2 / fan-in is the variance: the deviation is its root", lambda s: 2 / fans(s)[0]
    yield "the fan-in is that of the other side: this is the fan-out", lambda s: he(fans(s)[1])
    yield (
        "the fan-in counts the channels alone: each of them adds a kernel of numbers to a sum",
        lambda s: he(s[1]),
    )
    yield (
        "the fan-in counts one kernel alone: a sum runs over all channels",
        lambda s: he(math.prod(s[2:]) if len(s) > 2 else s[1]),
    )
    yield "the fan-in is taken to be the number of filters or outputs", lambda s: he(s[0])
    yield "the fan-in is taken to be the last axis, one side of the kernel", lambda s: he(s[-1])
    yield "the fan-in is taken to be the number of all weights", lambda s: he(math.prod(s))
    yield "fan-in and fan-out are averaged (Glorot)", lambda s: math.sqrt(2 / sum(fans(s)))
    yield "the variance is 1 / fan-in: the 2 for ReLU is missing", lambda s: fans(s)[0] ** -0.5
    yield "the 2 stands outside the root", lambda s: 2 / fans(s)[0] ** 0.5
    yield "the root is taken of the 2 alone", lambda s: math.sqrt(2) / fans(s)[0]
    yield "the deviation is 1 / fan-in", lambda s: 1 / fans(s)[0]
    yield "the fraction is upside down", lambda s: math.sqrt(fans(s)[0] / 2)
    yield (
        "the deviation is √(6 / fan-in), a uniform distribution's limit",
        lambda s: math.sqrt(6 / fans(s)[0]),
    )
    yield (
        "a uniform distribution's limit is √(2 / fan-in): that is not its deviation",
        lambda s: math.sqrt(2 / fans(s)[0] / 3),
    )
    yield (
        "this is PyTorch's default start, with a deviation of 1 / √(3 · fan-in)",
        lambda s: math.sqrt(1 / fans(s)[0] / 3),
    )
    for constant in (1.0, 0.1, 0.01, 0.05, 0.02, 0.001):
        yield f"all layers have the deviation {constant:g}", lambda s, c=constant: c


def expect_deviations(name: str, samples: Samples, fan_out_too: bool = False) -> None:
    """Raise `CheckError` unless all weights have He's deviation, naming the mistake.

    With `fan_out_too`, 2 / fan-out is accepted for all of them as well.
    """
    shapes = {layer: tuple(w.shape[1:]) for layer, w in samples.items()}
    got = {layer: float(np.sqrt((np.asarray(w) ** 2).mean())) for layer, w in samples.items()}
    if fan_out_too and all(near(got[k], math.sqrt(2 / fans(s)[1])) for k, s in shapes.items()):
        return
    right = {layer: math.sqrt(2 / fans(shape)[0]) for layer, shape in shapes.items()}
    for layer, shape in shapes.items():
        if not near(got[layer], right[layer]):
            words = (w for w, deviation in wrong_deviations() if _explains(deviation, got, shapes))
            draws = len(samples[layer])
            raise CheckError(
                f"{name}, {layer}: not the deviation of He et al.\n  given: weights "
                f"{list(shape)}, {draws} draw{'s' if draws > 1 else ''}\n  expected: "
                f"√(2 / {fans(shape)[0]}) = {right[layer]:.4g}\n  got: {got[layer]:.4g}",
                next(
                    words,
                    f"the deviation is {got[layer] / right[layer]:.3g} times what it should be",
                ),
            )


def _explains(
    deviation: Callable[[Shape], float], got: Mapping[str, float], shapes: Mapping[str, Shape]
) -> bool:
    """Tell whether a mistake gives every deviation, or every one that is wrong."""
    return all(
        near(value, deviation(shapes[layer])) or near(value, math.sqrt(2 / fans(shapes[layer])[0]))
        for layer, value in got.items()
    )


def near(value: float, expected: float) -> bool:
    """Tell whether a deviation is as expected, as far as so many weights can tell."""
    return abs(value - expected) <= DEVIATION * expected


def expect_normal(name: str, samples: Samples) -> None:
    """Raise `CheckError` unless the weights are normal about zero."""
    for layer, weights in samples.items():
        weights = np.asarray(weights)
        mean, scale = weights.mean(), np.sqrt((weights**2).mean())
        if abs(mean) > MEAN * scale:
            raise CheckError(
                f"{name}, {layer}: the mean is {mean:.3g}, and should be 0",
                "the numbers are all positive, as those of rand and abs are"
                if weights.min() >= 0
                else "the distribution is shifted",
            )
        kurtosis = (weights**4).mean() / scale**4
        if abs(kurtosis - 3) > KURTOSIS:
            raise CheckError(
                f"{name}, {layer}: the weights are not normally distributed\n  expected: a "
                f"kurtosis (E w⁴ / (E w²)²) of 3\n  got: {kurtosis:.3g}",
                "the distribution is uniform; a normal one is asked for"
                if abs(kurtosis - 1.8) < 0.1
                else "",
            )
