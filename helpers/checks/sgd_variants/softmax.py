"""The checks of `log_softmax` and `cross_entropy`, with small, large and very unequal logits."""

from collections.abc import Callable, Iterator

import numpy as np

from helpers.checks.parts import Check
from helpers.checks.sgd_variants import reference
from helpers.checks.sgd_variants.functions import Function, Mistake, in_single_precision

log_softmax = Check("log_softmax", "agrees with the reference for small and for huge logits")
cross_entropy = Check("cross_entropy", "error and gradient agree with the reference")

STABLE = "logits of thousands"
KEPT = "single precision; the arguments stay as they are"


def _logits(batch: int, scale: float, seed: int, *, levels: float = 0.0) -> np.ndarray:
    """Return logits `[10, batch]`; each column lies about a level of its own, up to ±`levels`."""
    rng = np.random.default_rng(seed)
    level = levels * np.linspace(-1, 1, batch) if batch > 1 else np.full(1, levels)
    return scale * rng.normal(size=(10, batch)) + level


def _one_hot(batch: int, seed: int) -> np.ndarray:
    return np.eye(10)[:, np.random.default_rng(seed).integers(10, size=batch)]


# --- log_softmax


def _log_softmax_mistakes(logits: np.ndarray) -> Iterator[Mistake]:
    right = reference.log_softmax(logits)
    column = logits - logits.max(axis=0)
    flat = reference.log_softmax(logits.reshape(-1, 1)).reshape(logits.shape)
    across = reference.log_softmax(logits.T).T
    yield Mistake("probabilities are returned, not their logarithms", (np.exp(right),))
    yield Mistake("the sum runs over the batch (axis 1), not over the classes (axis 0)", (across,))
    yield Mistake("the sum runs over all numbers of the batch, not over each column", (flat,))
    yield Mistake("the logarithm is log2, and should be the natural one", (right / np.log(2),))
    yield Mistake("the logarithm is log10, and should be the natural one", (right / np.log(10),))
    yield Mistake("the logarithm of the sum is not subtracted", (column,))
    total = np.exp(column).sum(axis=0)
    yield Mistake("the sum is subtracted, and its logarithm should be", (column - total,))
    words = "the logarithm is log2, and should be the natural one"
    yield Mistake(words, (column - np.log2(total),))
    yield Mistake(
        "the sum runs over all numbers of the batch, not over each column",
        (column - np.log(total.sum()),),
    )
    with np.errstate(all="ignore"):
        log_sum = np.log(np.exp(logits).sum(axis=0))
        half = "the maximum is subtracted from one of the two logits and not from the other"
        yield Mistake(half, (logits - np.log(np.exp(column).sum(axis=0)),))
        yield Mistake(half, (column - log_sum,))
    yield from _unstable(logits)


def _unstable(logits: np.ndarray) -> list[Mistake]:
    """Return what is right for logits of a few units only."""
    own = "the largest logit of each column has to be subtracted from the column first"
    shifted, p = logits - logits.max(), np.exp(reference.log_softmax(logits))
    late = "the logarithm is taken of probabilities too small for a float; ln p = z - max z - ln Σ"
    values = []
    with np.errstate(all="ignore"):
        for words, z in {
            f"exp overflows or underflows: {own}": logits,
            f"all columns share one maximum, and some underflow: {own}": shifted,
        }.items():
            total = np.exp(z).sum(axis=0)
            values += [(words, z - np.log(total)), (words, np.log(np.exp(z) / total))]
        for smallest in (0.0, *(10.0**-digits for digits in range(5, 17))):
            values += [(late, np.log(p + smallest)), (late, np.log(np.maximum(p, smallest)))]
    return [Mistake(words, (value,), (STABLE,)) for words, value in values]


LOG_SOFTMAX = Function(
    "log_softmax", ("",), lambda logits: (reference.log_softmax(logits),), _log_softmax_mistakes
)


@log_softmax.part("logits of a few units")
def _(answer: Callable) -> None:
    for seed, batch in enumerate((6, 1, 10)):  # with ten columns, no axis is told by its length
        LOG_SOFTMAX.expect(answer, {"logits": _logits(batch, 2.0, seed)}, part="few units")


@log_softmax.part(STABLE)
def _(answer: Callable) -> None:
    for seed, levels in enumerate((3000.0, -3000.0)):
        for batch in (5, 1):
            exercise = {"logits": _logits(batch, 900.0, seed, levels=levels)}
            LOG_SOFTMAX.expect(answer, exercise, part=STABLE)


@log_softmax.part(KEPT)
def _(answer: Callable) -> None:
    LOG_SOFTMAX.expect_unchanged(answer, in_single_precision({"logits": _logits(7, 2.0, 3)}), KEPT)


# --- cross_entropy

ERROR, GRADIENT = "the mean error", "d_logits"


def _cross_entropy_mistakes(logits: np.ndarray, one_hot: np.ndarray) -> Iterator[Mistake]:
    error, gradient = reference.cross_entropy(logits, one_hot)
    batch = logits.shape[1]
    log_p = reference.log_softmax(logits)
    p = np.exp(log_p)
    yield Mistake(
        "the error is summed over the batch; the mean is asked for", (error * batch, None)
    )
    yield Mistake("the mean runs over all ten numbers of a column as well", (error / 10, None))
    yield Mistake("the error is the negative of what it should be", (-error, None))
    yield Mistake(
        "one_hot is multiplied with probabilities: the logarithm is missing",
        (-(one_hot * p).sum() / batch, None),
    )
    yield Mistake(
        "one_hot is multiplied with the logits: log_softmax is missing",
        (-(one_hot * logits).sum() / batch, None),
    )
    with np.errstate(all="ignore"):
        others = (1 - one_hot) * np.log1p(-p)
    yield Mistake(
        "the terms (1 - y) ln(1 - p) are those of two classes, and not of ten that exclude each "
        "other",
        (error - others.sum() / batch, None),
    )
    yield Mistake("log_softmax is taken twice", (
        -(one_hot * reference.log_softmax(np.exp(log_p))).sum() / batch, None
    ))  # fmt: skip
    yield Mistake(
        "the error of each image is returned, not the mean", (-(one_hot * log_p).sum(0), None)
    )
    yield Mistake(
        "d_logits is not divided by the batch size, as the error's mean is",
        (None, p - one_hot),
    )
    yield Mistake("d_logits is divided by the batch size twice", (None, gradient / batch))
    yield Mistake("the sign of d_logits is wrong: it is p - y", (None, -gradient))
    yield Mistake(
        "the sign of d_logits is wrong, and it is not divided by the batch size",
        (None, one_hot - p),
    )
    yield Mistake("d_logits lacks - y", (None, p / batch))
    yield Mistake("d_logits lacks - y and the division by the batch size", (None, p))
    for divisor in (batch, 1):
        yield Mistake(
            "d_logits is computed from ln p where p belongs: np.exp is missing",
            (None, (log_p - one_hot) / divisor),
        )
        yield Mistake(
            "d_logits is computed from the logits where p belongs",
            (None, (logits - one_hot) / divisor),
        )
        yield Mistake(
            "d_logits is the derivative by p, -y / p, and not by the logits",
            (None, -one_hot / np.maximum(p, 1e-300) / divisor),
        )
        yield Mistake(
            "d_logits is p - y at the true class only: the other classes have a gradient too",
            (None, one_hot * (p - one_hot) / divisor),
        )
    yield Mistake(
        "d_logits is divided by all numbers, not by the batch size", (None, gradient / 10)
    )
    for words, (value,), parts in _unstable(logits):
        with np.errstate(all="ignore"):
            yield Mistake(words, (-(one_hot * value).sum() / batch, None), parts)


CROSS_ENTROPY = Function(
    "cross_entropy", (ERROR, GRADIENT), reference.cross_entropy, _cross_entropy_mistakes
)


def _example(batch: int, scale: float, seed: int) -> dict[str, np.ndarray]:
    return {"logits": _logits(batch, scale, seed), "one_hot": _one_hot(batch, seed)}


@cross_entropy.part("the mean error")
def _(answer: Callable) -> None:
    for seed, batch in enumerate((7, 1, 10, 32)):
        CROSS_ENTROPY.expect(answer, _example(batch, 1.5, seed), [ERROR], part=ERROR)


@cross_entropy.part("the gradient with respect to the logits")
def _(answer: Callable) -> None:
    for seed, batch in enumerate((7, 1, 10, 32)):
        CROSS_ENTROPY.expect(answer, _example(batch, 1.5, seed), [GRADIENT], part=GRADIENT)


@cross_entropy.part(STABLE)
def _(answer: Callable) -> None:
    for seed in range(3):  # one image each, so that a missing division costs its own part only
        CROSS_ENTROPY.expect(answer, _example(1, 3000.0, seed), part=STABLE)


@cross_entropy.part(KEPT)
def _(answer: Callable) -> None:
    CROSS_ENTROPY.expect_unchanged(answer, in_single_precision(_example(1, 1.5, 4)), KEPT)
