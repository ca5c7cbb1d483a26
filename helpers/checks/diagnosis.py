"""Say which mistake explains a wrong number or array.

A mistake is a pair: what was done wrong, in words, and the value that an answer with this mistake
gives. A check offers the mistakes that its exercise invites, `expect` adds those that are common to
all arrays, and the first one that reproduces the answer is named:

    expect("the mean", "3 numbers", got, 2.0, [("the sum is returned", 6.0)])
"""

from collections.abc import Iterable, Iterator
from itertools import combinations

import numpy as np

from helpers.checks.errors import CheckError

Mistake = tuple[str, object]
# Of the largest expected value. Answers compute in single precision, over a few steps of training;
# a mistake is recognised more loosely, since many mistakes let rounding grow.
TOLERANCE, RECOGNISED = 1e-4, 2e-4


def as_array(what: str, value: object) -> np.ndarray:
    """Return numbers, arrays, tensors or sequences of them in float64; `CheckError` for others."""
    try:
        return np.asarray(_plain(value), dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:80] + "…"
        raise CheckError(f"{what}: expected numbers, got {shown}") from None


def same(got: np.ndarray, expected: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    """Tell whether shapes agree and all values do, to `tolerance` of the largest expected one."""
    if got.shape != expected.shape:
        return False
    bound = tolerance * np.abs(expected).max(initial=0.0)
    return bool((np.abs(got - expected) <= bound).all())  # never true of NaN


def expect(
    what: str,
    given: str,
    got: object,
    expected: object,
    mistakes: Iterable[Mistake] = (),
    *,
    batch_size: int = 1,
    tolerance: float = TOLERANCE,
) -> None:
    """Raise `CheckError` unless `got` is `expected`, naming the mistake that explains it.

    `what` names the value and `given` what it was computed from. `mistakes` are looked at one by
    one, and only when the values differ, so an iterator may compute them as they are asked for.
    """
    actual, wanted = as_array(what, got), as_array(what, expected)
    if same(actual, wanted, tolerance):
        return
    # Where little counts as wrong, a mistake that shows nowhere in these numbers explains nothing.
    closeness = min(RECOGNISED, tolerance)
    hint = recognise(actual, mistakes, closeness) or recognise(
        actual, common_mistakes(wanted, batch_size), closeness
    )
    difference = _difference(actual, wanted, tolerance)
    raise CheckError(
        f"{what}: not what the reference gives\n  given: {given}\n{difference}",
        hint or ("" if same(actual, wanted) else relation(actual, wanted)),
    )


def recognise(got: np.ndarray, mistakes: Iterable[Mistake], closeness: float = RECOGNISED) -> str:
    """Return the words of the first mistake whose value is `got`, or an empty text."""
    for words, value in mistakes:
        if same(got, np.asarray(_plain(value), dtype=np.float64), closeness):
            return words
    return ""


def consistent(
    cases: Iterable[tuple[np.ndarray, Iterable[Mistake]]], closeness: float = RECOGNISED
) -> str:
    """Return the words of the first mistake that gives what came in every case, or an empty text.

    A case is what came and the mistakes. One alone may agree with a mistake by chance.
    """
    agrees: dict[str, bool] = {}
    for got, mistakes in cases:
        found: dict[str, bool] = {}
        for words, value in mistakes:
            value = np.asarray(_plain(value), dtype=np.float64)
            found[words] = found.get(words, False) or same(got, value, closeness)
        for words, fits in found.items():
            agrees[words] = agrees.get(words, True) and fits
    return next((words for words, all_fit in agrees.items() if all_fit), "")


def common_mistakes(expected: np.ndarray, batch_size: int = 1) -> Iterator[Mistake]:
    """Yield what goes wrong with any array; the first axis is that of the batch."""
    yield "the sign is wrong", -expected
    if batch_size > 1:
        yield "a sum over the batch where the mean is asked for", expected * batch_size
        yield "divided by the batch size once too often", expected / batch_size
    if expected.ndim == 0:
        return
    yield "ReLU is applied, so that negative values are lost", np.maximum(expected, 0)
    for a, b in combinations(range(expected.ndim), 2):
        yield f"transposed: axes {a} and {b} are swapped", np.swapaxes(expected, a, b)
    for axis in range(expected.ndim):
        yield f"flipped: axis {axis} runs backwards", np.flip(expected, axis)
        for shift in (1, -1):
            yield f"off by one along axis {axis}", np.roll(expected, shift, axis)
    for index, which in ((-1, "last"), (0, "first")):
        if len(expected) > 1:
            yield f"only the {which} of {len(expected)} is returned", expected[index]
            yield f"only the {which} of {len(expected)} is returned", expected[[index]]
    yield "the mean over the batch is returned, not one value for each", expected.mean(0)
    if 1 in expected.shape:
        yield "an axis of length 1 is missing", expected.squeeze()


def relation(got: np.ndarray, expected: np.ndarray) -> str:
    """Return how `got` relates to `expected` where that is simple: a factor, an offset, …"""
    if not np.isfinite(got).all():
        return "a division by zero, a logarithm of zero or an overflow"
    if got.shape != expected.shape:
        if same(got.ravel(), expected.ravel()):
            return "the values are right and only the shape is not"
        return ""
    if not got.any():
        return "nothing but zeros came: the result is never filled in"
    factor = (got.ravel() @ expected.ravel()) / max((expected**2).sum(), 1e-300)
    if expected.size == 1:  # any two numbers have some ratio; one that is whole says something
        whole = abs(factor - round(factor)) < TOLERANCE and round(factor) > 1
        return f"the result is {factor:.0f} times what it should be" if whole else ""
    if same(got, factor * expected):
        return f"every value is {factor:.4g} times what it should be"
    offset = got - expected
    if same(offset, np.full_like(offset, offset.flat[0])):
        return f"every value is off by {offset.flat[0]:+.4g}, as when a bias is missing"
    channels = offset.mean(tuple(axis for axis in range(offset.ndim) if axis != 1), keepdims=True)
    if offset.ndim > 1 and same(offset, np.broadcast_to(channels, offset.shape)):
        return "each channel is off by a number of its own: its bias is missing or added twice"
    if same(np.sort(got.ravel()), np.sort(expected.ravel())):
        return "the values are right and their order is not"
    return ""


def _difference(got: np.ndarray, expected: np.ndarray, tolerance: float) -> str:
    if got.shape != expected.shape:
        return f"  expected: shape {expected.shape}\n  got: shape {got.shape}"
    if expected.size <= 10:
        pairs = (("  expected: ", expected), ("  got: ", got))
        return "\n".join(start + _show(values, start) for start, values in pairs)
    error = np.where(np.isfinite(got), np.abs(got - expected), np.inf)
    worst = np.unravel_index(np.argmax(error), error.shape)
    wrong = int((error > tolerance * np.abs(expected).max()).sum())
    where = f"at index {tuple(map(int, worst))} ({wrong} of {got.size} values differ)"
    return f"  expected: {expected[worst]:.5g} {where}\n  got: {got[worst]:.5g}"


def _show(values: np.ndarray, start: str) -> str:
    """Return the values in words; the rows of a matrix stand below each other after `start`."""
    if values.size == 1:
        value = values.item()
        return f"{value:,.0f}" if value.is_integer() else f"{value:.6g}"
    return np.array2string(values, precision=5, separator=", ", max_line_width=100, prefix=start)


def _plain(value: object) -> object:
    """Turn tensors, also inside a list or tuple, into what NumPy takes."""
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value
