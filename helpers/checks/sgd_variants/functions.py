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
        r"matmul: Input operand|shapes .* not aligned|shapes cannot be multiplied",
        "the two factors of a matrix product do not fit: one has to be transposed, or their order "
        "is wrong",
    ),
    (
        r"could not be broadcast|non-broadcastable",
        "two arrays that belong together differ in shape; where one has an axis less, as a bias "
        "has, [:, np.newaxis] or keepdims=True puts it there",
    ),
    (
        r"to have \d+ channels|expected bias to be|should have number of channels",
        "the kernels do not fit the images: the axes are [filters, channels, 5, 5] and [channels, "
        "height, width, batch], with one bias for each filter",
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
    """What was done wrong, the results that it gives, and the parts that it costs their points.

    A result that the mistake does not touch is None. Without `parts`, it costs all in which it
    shows.
    """

    words: str
    results: tuple[object, ...]
    parts: tuple[str, ...] = ()


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
        tolerance = TOLERANCE[str(number_type(arguments))]
        for i, result in enumerate(self.results):
            if only and result not in only:
                continue
            what = self.what(result)
            actual, wanted = crop(as_array(what, got[i])), crop(np.asarray(expected[i], np.float64))
            if same(actual, wanted, tolerance):
                continue
            mistake, whole = self._explain(got, i, arguments, crop)
            if whole and part and mistake.parts and part not in mistake.parts:
                continue
            hint = mistake.words if mistake else ""
            _require_finite(what, describe(arguments), actual, hint)
            _require_precision(what, actual, wanted, tolerance)
            hint = hint or ("" if actual.any() else "nothing but zeros came")
            expect(
                what,
                describe(arguments),
                actual,
                wanted,
                [(hint, actual)] if hint else [],
                batch_size=batch_of(arguments),
                tolerance=tolerance,
            )

    def _explain(
        self,
        got: list[object],
        place: int,
        arguments: Arguments,
        crop: Callable[[np.ndarray], np.ndarray],
    ) -> tuple[Mistake | None, bool]:
        """Return the mistake that explains a result, and whether it explains all of them exactly.

        Only one that does is known for certain, and can be forgiven.
        """
        named, tolerance = None, TOLERANCE[str(number_type(arguments))]
        for mistake in self.mistakes(*arguments.values()):
            if mistake.results[place] is None:
                continue
            pairs = [
                (crop(_floats(actual)), crop(_floats(value)))
                for actual, value in zip(got, mistake.results, strict=True)
                if value is not None
            ]
            if all(alike(actual, value, tolerance) for actual, value in pairs):
                return mistake, True
            if named is None and alike(
                crop(_floats(got[place])), crop(_floats(mistake.results[place]))
            ):
                named = mistake
        return named, False

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

    def expect_unchanged(self, answer: Callable, arguments: Arguments, part: str) -> None:
        """Check that the arguments are as they were, and that the results are right."""
        self.call(answer, arguments, keep=True)
        self.expect(answer, arguments, part=part)


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


def alike(actual: np.ndarray, value: np.ndarray, tolerance: float = RECOGNISED) -> bool:
    """Tell whether two arrays agree, NaN and infinities at the same places included."""
    if actual.shape != value.shape:
        return False
    finite = np.isfinite(value)
    return np.array_equal(actual[~finite], value[~finite], equal_nan=True) and same(
        actual[finite], value[finite], tolerance
    )


def _floats(value: object) -> np.ndarray:
    """Return an array, empty for what is no numbers."""
    try:
        return as_array("", value)
    except CheckError:
        return np.empty(0)


def _require_finite(what: str, given: str, actual: np.ndarray, hint: str) -> None:
    """Raise `CheckError` for NaN and infinities."""
    bad = int((~np.isfinite(actual)).sum())
    if bad:
        raise CheckError(
            f"{what}: {bad} of {actual.size} values are NaN or infinite\n  given: {given}",
            hint or "a division by zero, a logarithm of zero or an overflow",
        )


def _require_precision(what: str, actual: np.ndarray, wanted: np.ndarray, tolerance: float) -> None:
    """Raise `CheckError` for a result that is right but for the rounding of single precision."""
    if tolerance < 1e-6 and same(actual, wanted, 2e-6):
        raise CheckError(
            f"{what}: right to about 7 digits only, where 16 are possible",
            "an array inside is float32 although the arguments are float64; make it of the "
            "arguments' number type, x.dtype",
        )
