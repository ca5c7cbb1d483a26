"""Single comparisons: each prints a line that begins with ✓, or raises and says what came."""

from collections.abc import Sequence

import numpy as np

from helpers.checks.errors import CheckError


def equal(what: str, got: object, expected: object) -> None:
    """Check that `got == expected`; for numbers, strings and containers of these.

    Raises `CheckError` when they differ. Arrays belong to `close` and `shape`.
    """
    if isinstance(got, np.ndarray) or not bool(got == expected):
        raise CheckError(f"{what}: expected {_show(expected)}, got {_show(got)}")
    _passed(what)


def shape(what: str, got: object, expected: Sequence[int]) -> None:
    """Check that the array or tensor `got` has the shape `expected`; raises `CheckError`."""
    if not hasattr(got, "shape"):
        raise CheckError(f"{what}: expected an array of shape {tuple(expected)}, got {_show(got)}")
    if tuple(got.shape) != tuple(expected):
        raise CheckError(f"{what}: expected shape {tuple(expected)}, got {tuple(got.shape)}")
    _passed(what)


def close(
    what: str, got: object, expected: object, *, rtol: float = 1e-7, atol: float = 1e-9
) -> None:
    """Check that `|got - expected| ≤ atol + rtol·|expected|` in every element.

    Both may be numbers, arrays or tensors. Shapes must be equal, without broadcasting, and a value
    that is not finite never passes. Raises `CheckError` with the worst element.
    """
    try:
        actual, wanted = (np.asarray(_detached(v), dtype=np.float64) for v in (got, expected))
    except (TypeError, ValueError):
        raise CheckError(f"{what}: expected {_show(expected)}, got {_show(got)}") from None
    if got is None:  # which NumPy would take for NaN
        raise CheckError(f"{what}: expected {_show(expected)}, got None")
    if actual.shape != wanted.shape:
        raise CheckError(f"{what}: expected shape {wanted.shape}, got shape {actual.shape}")
    if not np.isfinite(wanted).all():
        raise ValueError(f"{what}: the expected values are not finite, so nothing can match them")
    if not np.isfinite(actual).all():
        count = int((~np.isfinite(actual)).sum())
        raise CheckError(f"{what}: {count} of {actual.size} values are not finite")
    excess = np.abs(actual - wanted) - (atol + rtol * np.abs(wanted))
    if excess.size and not (excess <= 0).all():
        worst = np.unravel_index(np.argmax(excess), excess.shape)
        where = f" at index {tuple(map(int, worst))}" if worst else ""
        wrong = int((excess > 0).sum())
        share = f" ({wrong} of {actual.size} values differ)" if actual.size > 1 else ""
        raise CheckError(
            f"{what}: expected {wanted[worst]:.8g}, got {actual[worst]:.8g}{where}{share}"
        )
    _passed(what)


def true(what: str, condition: bool, otherwise: str) -> None:
    """Check that `condition` holds; raises `CheckError` with the sentence `otherwise`."""
    if not bool(condition):
        raise CheckError(f"{what}: {otherwise}")
    _passed(what)


def _passed(what: str) -> None:
    print(f"✓ {what}")


def _detached(value: object) -> object:
    # A tensor that requires gradients, or lives on a GPU, does not turn into an array by itself.
    return value.detach().cpu() if hasattr(value, "detach") else value


def _show(value: object) -> str:
    words = repr(value)
    return words if len(words) <= 200 else words[:200] + "…"
