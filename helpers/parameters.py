"""Checks of a notebook's parameters: each returns the value, or one sentence says what is wrong."""

from collections.abc import Sequence
from math import isfinite
from numbers import Integral, Real

from helpers.errors import ReaderError


class ParameterError(ReaderError, ValueError):
    """A parameter has a value that the notebook cannot work with."""

    def __init__(self, name: str, value: object, allowed: str):
        super().__init__(f"{name} = {value!r}: it must be {allowed}.")


def integer(name: str, value: int, *, minimum: int, maximum: int | None = None) -> int:
    """Return `value` as an `int` if it is a whole number in `[minimum, maximum]`.

    Raises `ParameterError` otherwise; `True` and `1.0` are not whole numbers here.
    """
    upper = "" if maximum is None else f" and at most {maximum}"
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < minimum or (maximum is not None and value > maximum):
        raise ParameterError(name, value, f"a whole number of at least {minimum}{upper}")
    return int(value)


def number(
    name: str,
    value: float,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` as a `float` if it is finite and inside the given bounds.

    `minimum` and `maximum` belong to the range, `above` and `below` do not.
    Raises `ParameterError` otherwise.
    """
    bounds = [
        ("at least", minimum, lambda bound: value >= bound),
        ("above", above, lambda bound: value > bound),
        ("at most", maximum, lambda bound: value <= bound),
        ("below", below, lambda bound: value < bound),
    ]
    given = [(words, bound, holds) for words, bound, holds in bounds if bound is not None]
    finite = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    if not finite or not all(holds(bound) for _, bound, holds in given):
        rule = " and ".join(f"{words} {bound:g}" for words, bound, _ in given)
        raise ParameterError(name, value, f"a finite number {rule}".strip())
    return float(value)


def choice(name: str, value: str, allowed: Sequence[str]) -> str:
    """Return `value` if it is one of `allowed`; raises `ParameterError` otherwise."""
    if value not in allowed:
        raise ParameterError(name, value, "one of " + ", ".join(map(repr, allowed)))
    return value


def boolean(name: str, value: bool) -> bool:
    """Return `value` if it is `True` or `False`; raises `ParameterError` otherwise."""
    if not isinstance(value, bool):
        raise ParameterError(name, value, "True or False")
    return value


def text(name: str, value: str) -> str:
    """Return `value` if it is a string with something in it; raises `ParameterError` otherwise."""
    if not isinstance(value, str) or not value.strip():
        raise ParameterError(name, value, "a text that is not empty")
    return value


def integers(name: str, values: Sequence[int], **bounds: int) -> list[int]:
    """Return `values` if it is a non-empty list whose elements each pass `integer`."""
    return [integer(f"{name}[{i}]", v, **bounds) for i, v in enumerate(_items(name, values))]


def numbers(name: str, values: Sequence[float], **bounds: float) -> list[float]:
    """Return `values` if it is a non-empty list whose elements each pass `number`."""
    return [number(f"{name}[{i}]", v, **bounds) for i, v in enumerate(_items(name, values))]


def _items(name: str, values: Sequence) -> Sequence:
    if not isinstance(values, list | tuple) or not values:
        raise ParameterError(name, values, "a list with at least one element")
    return values
