"""How the checks of this chapter call an answer that maps arrays to arrays, and judge it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from helpers.checks.answers import Causes, attempt
from helpers.checks.diagnosis import RECOGNISED, as_array, expect, same
from helpers.checks.errors import CheckError
from helpers.checks.sgd_variants.reference import standing_in

Arguments = Mapping[str, object]  # by name, in the order in which an answer takes them

# Of the largest expected value. Double precision tells a small mistake from rounding.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}

# What NumPy says in the commonest cases, and what it comes from.
CAUSES: Causes = (
    (
        r"matmul: Input operand|shapes .* not aligned",
        "the two factors of a matrix product do not fit: one has to be transposed, or their order "
        "is wrong",
    ),
    (
        r"could not be broadcast|non-broadcastable",
        "two arrays that belong together differ in shape; a bias of one number per row is added "
        "to a batch as bias[:, np.newaxis], or with one more axis for each that follows",
    ),
    (
        r"Cannot cast ufunc",
        "an array is changed in place that cannot hold the result's number type",
    ),
    (r"cannot reshape array", "the new shape has another number of elements than the array"),
    (
        r"missing \d+ required|unexpected keyword|positional argument",
        "the arguments are not those that the exercise names",
    ),
)


class Mistake(NamedTuple):
    """What was done wrong, the results that it gives, and the part that it costs its points.

    A result that the mistake does not touch is None.
    """

    words: str
    results: tuple[object, ...]
    part: str = ""


@dataclass(frozen=True)
class Function:
    """An answer's name, what a message calls its results, the reference, and known mistakes.

    `right` and `mistakes` take the arguments of the answer. `right` returns all results.
    """

    name: str
    results: tuple[str, ...]
    right: Callable[..., tuple[object, ...]]
    mistakes: Callable[..., Iterator[Mistake]]
    causes: Causes = CAUSES

    def expect(
        self,
        answer: Callable,
        arguments: Arguments,
        only: Iterable[str] = (),
        *,
        part: str = "",
        crop: Callable[[np.ndarray], np.ndarray] = lambda result: result,
    ) -> None:
        """Compare the results called `only`, or all, with those of the reference.

        A mistake that costs the points of another part than `part` is forgiven in this one. `crop`
        cuts from both results what this part does not look at.
        """
        got = self.call(answer, arguments)
        expected = self.right(*arguments.values())
        batch_size = batch_of(arguments)
        for i, result in enumerate(self.results):
            if only and result not in only:
                continue
            actual, wanted = crop(as_array(self.what(result), got[i])), crop(np.array(expected[i]))
            tolerance = TOLERANCE[str(number_type(arguments))]
            if same(actual, np.asarray(wanted, np.float64), tolerance):
                continue
            known = [
                Mistake(words, (crop(np.asarray(results[i])),), owner)
                for words, results, owner in self.mistakes(*arguments.values())
                if results[i] is not None
            ]
            if part and _costs_another_part(actual, known, part):
                continue
            _require_finite(self.what(result), describe(arguments), actual, known)
            _require_precision(self.what(result), actual, wanted, tolerance)
            expect(
                self.what(result),
                describe(arguments),
                actual,
                wanted,
                ((words, results[0]) for words, results, _ in known),
                batch_size=batch_size,
                tolerance=tolerance,
            )

    def what(self, result: str) -> str:
        """Return what a message calls a result."""
        return f"{self.name}, {result}" if result else self.name

    def call(self, answer: Callable, arguments: Arguments, *, keep: bool = False) -> list[object]:
        """Return the results for copies of the arguments, as many as there should be.

        With `keep`, raise `CheckError` when the answer has changed an argument.
        """
        given = copies(arguments)
        with standing_in(answer, self.name), np.errstate(all="ignore"):
            got = attempt(self.name, lambda: answer(*given.values()), causes=self.causes)
        if keep:
            require_unchanged(self.name, given, arguments)
        if len(self.results) == 1:
            return [got]
        if not isinstance(got, list | tuple) or len(got) != len(self.results):
            wanted = ", ".join(self.results)
            came = f"{len(got)} values" if isinstance(got, list | tuple) else type(got).__name__
            raise CheckError(f"{self.name} should return ({wanted}), not {came}")
        return list(got)

    def expect_unchanged(self, answer: Callable, *exercises: Arguments) -> None:
        """Check that the arguments are as they were, and that the results are right."""
        for arguments in exercises:
            self.call(answer, arguments, keep=True)
            self.expect(answer, arguments)


def copies(arguments: Arguments) -> dict[str, object]:
    """Return the arguments with a copy of each array, also of those in a dictionary."""
    return {
        name: copies(value)
        if isinstance(value, dict)
        else value.copy()
        if isinstance(value, np.ndarray)
        else value
        for name, value in arguments.items()
    }


def require_unchanged(what: str, now: Arguments, before: Arguments) -> None:
    """Raise `CheckError` when an array among the arguments has changed."""
    for name, value in before.items():
        if isinstance(value, dict):
            require_unchanged(f"{what}, {name}", now[name], value)
        if isinstance(value, np.ndarray) and not np.array_equal(now[name], value):
            raise CheckError(
                f"{what} changes its argument {name}",
                "an operation in place (+=, out=…, x[…] = …) works on the caller's array: make a "
                "new one",
            )


def describe(arguments: Arguments) -> str:
    """Return names and shapes of the arguments, and their number type."""
    words = [
        f"{name} [{', '.join(map(str, value.shape))}]"
        for name, value in arguments.items()
        if isinstance(value, np.ndarray)
    ]
    words += [f"{name} {value:g}" for name, value in arguments.items() if isinstance(value, float)]
    return f"{', '.join(words)}, {number_type(arguments)}"


def number_type(arguments: Arguments) -> np.dtype:
    """Return the number type of the arguments' arrays."""
    return next(value.dtype for value in arguments.values() if isinstance(value, np.ndarray))


def batch_of(arguments: Arguments) -> int:
    """Return the length of the batch, the last axis of any argument that is no vector."""
    arrays = (value for value in arguments.values() if isinstance(value, np.ndarray))
    return next((array.shape[-1] for array in arrays if array.ndim > 1), 1)


def in_single_precision(arguments: Arguments) -> dict[str, object]:
    """Return the arguments with all arrays in float32."""
    return {
        name: value.astype(np.float32) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }


def _costs_another_part(actual: np.ndarray, known: list[Mistake], part: str) -> bool:
    """Tell whether the first mistake that explains the result belongs to another part."""
    for _, (value,), owner in known:
        if _alike(actual, np.asarray(value, np.float64)):
            return owner not in ("", part)
    return False


def _alike(actual: np.ndarray, value: np.ndarray) -> bool:
    """Tell whether two results agree, NaN and infinities at the same places included."""
    if actual.shape != value.shape:
        return False
    finite = np.isfinite(value)
    return np.array_equal(actual[~finite], value[~finite], equal_nan=True) and same(
        actual[finite], value[finite], RECOGNISED
    )


def _require_finite(what: str, given: str, actual: np.ndarray, known: list[Mistake]) -> None:
    """Raise `CheckError` for NaN and infinities, naming the mistake that makes them just there."""
    bad = int((~np.isfinite(actual)).sum())
    if not bad:
        return
    hint = next((words for words, (value,), _ in known if _alike(actual, value)), "")
    raise CheckError(
        f"{what}: {bad} of {actual.size} values are NaN or infinite\n  given: {given}",
        hint or "a division by zero, a logarithm of zero or an overflow",
    )


def _require_precision(what: str, actual: np.ndarray, wanted: np.ndarray, tolerance: float) -> None:
    """Raise `CheckError` for a result that is right but for the rounding of single precision."""
    if tolerance < 1e-6 and same(actual, np.asarray(wanted, np.float64), 2e-6):
        raise CheckError(
            f"{what}: right to about 7 digits only, where 16 are possible",
            "an array inside is float32 although the arguments are float64; make it of the "
            "arguments' number type, x.dtype",
        )
