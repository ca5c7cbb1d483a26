"""What the checks of the NumPy LeNet share: structures, numbers to try, and safe calls."""

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

import numpy as np

from helpers.checks.answers import Causes, attempt
from helpers.checks.diagnosis import Mistake
from helpers.checks.errors import CheckError
from helpers.checks.parts import note, suspect

SIZES = ("channel", "height", "width", "batch_size")
Structure = dict[str, object]

# What NumPy and Python say in the commonest cases, and what it comes from.
_CAUSES: Causes = (
    (
        r"could not (be )?broadcast",
        "two arrays that belong together differ in shape: b[:, np.newaxis] makes a column of a "
        "vector, and each window has to fit what it is compared with or added to",
    ),
    (
        r"matmul|not aligned|core dimension",
        "the inner sizes of a matrix product differ: a factor is transposed or in the wrong place",
    ),
    (r"cannot reshape", "a size is taken from the wrong place, or written as a fixed number"),
    (
        r"read-only",
        "an array that belongs to the caller is changed in place",
    ),
    (r"'NoneType'", "something that is not filled in yet (None) is used, such as input['diff']"),
    (r"out of bounds", "an index runs past the end: look at how many windows fit"),
)


def numbers(
    shape: tuple[int, ...], seed: int, lowest: float = -1.0, dtype: type = np.float64
) -> np.ndarray:
    """Return numbers from `lowest` to `lowest + 2` in random order, all different and none zero."""
    return _numbers(shape, seed, lowest, dtype).copy()


@cache  # to seed a generator takes longer than all else here
def _numbers(shape: tuple[int, ...], seed: int, lowest: float, dtype: type) -> np.ndarray:
    count = int(np.prod(shape))
    order = np.random.default_rng(seed).permutation(count)
    return (lowest + 2 * (order + 0.3) / count).reshape(shape).astype(dtype)


def structure(maps: np.ndarray, diff: np.ndarray | None = None) -> Structure:
    """Wrap `[channel, height, width, batch_size]`, and a derivative of that shape, as layers do."""
    sizes = dict(zip(SIZES, maps.shape, strict=True))
    return {**sizes, "data": flat(maps), "diff": None if diff is None else flat(diff)}


def flat(maps: np.ndarray) -> np.ndarray:
    """Return a copy of `[channel, height, width, batch_size]` as `data` holds it."""
    return maps.reshape(-1, maps.shape[3]).copy()


def run(name: str, given: str, answer: Callable, *arguments: object, causes: Causes = ()) -> object:
    """Return what the answer makes of copies of `arguments`.

    An answer that changes an array of its caller is suspected of it when it turns out to be wrong.
    """
    copies = copy.deepcopy(arguments)
    action = partial(answer, *copies)
    result = attempt(f"{name}, given {given},", action, causes=(*causes, *_CAUSES))
    pairs = ((before, after) for _, before, after in _leaves(arguments, copies))
    if any(isinstance(before, np.ndarray) and not _equal(before, after) for before, after in pairs):
        suspect(
            "it writes into an array that it was given, perhaps through a view (out=, +=, "
            "[...] =), while the array is still read: start from .copy()"
        )
    return result


def call(
    name: str, given: str, answer: Callable, *arguments: object, causes: Causes = ()
) -> object:
    """Do as `run` does, for an answer that takes part in training: its number type counts."""
    result = run(name, given, answer, *arguments, causes=causes)
    if _float_types(arguments) == {"float32"} and "float64" in _float_types(result):
        note(
            "float32 came in and float64 went out. The numbers are right, but training will take "
            "about twice as long; give dtype=… of the input."
        )
    return result


def _float_types(values: object) -> set[str]:
    arrays = [value for _, value, _ in _leaves(values, values) if isinstance(value, np.ndarray)]
    return {array.dtype.name for array in arrays if array.dtype.kind == "f"}


def call_and_compare(
    name: str, given: str, answer: Callable, arguments: Mapping[str, object]
) -> object:
    """Do as `call` does; refuse answers that change an argument, or return its memory."""
    copies = copy.deepcopy(dict(arguments))
    action = partial(answer, *copies.values())
    result = attempt(f"{name}, given {given},", action, causes=_CAUSES)
    for path, before, after in _leaves(arguments, copies):
        if not _equal(before, after):
            raise CheckError(
                f"{name} changes {path}, which belongs to its caller\n  given: {given}",
                "it is changed in place (+=, out=, [...] = or by filling a dictionary that was "
                "given); make a new array or dictionary",
            )
    arrays = [array for _, array, _ in _leaves(copies, copies) if isinstance(array, np.ndarray)]
    for path, value, _ in _leaves(result, result, "result"):
        shared = isinstance(value, np.ndarray) and any(
            np.may_share_memory(value, a) for a in arrays
        )
        if shared:
            raise CheckError(
                f"{name} returns memory of its caller, in {path}\n  given: {given}",
                "an array that was given, or a view of one, is returned; .copy() makes a new one",
            )
    return result


def _leaves(before: object, after: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield the path, the value before and the value after of all that dictionaries hold.

    The values of tuples and lists of one length are looked at one by one too.
    """
    rows = isinstance(before, tuple | list) and isinstance(after, tuple | list)
    if rows and len(before) == len(after):
        before, after = dict(enumerate(before)), dict(enumerate(after))
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        yield path, before, after
        return
    for key in [*before, *(key for key in after if key not in before)]:
        inner = f"{path}[{key!r}]" if path else str(key)
        yield from _leaves(before.get(key, Ellipsis), after.get(key, Ellipsis), inner)


def _equal(before: object, after: object) -> bool:
    if isinstance(before, np.ndarray) or isinstance(after, np.ndarray):
        same_kind = isinstance(before, np.ndarray) and isinstance(after, np.ndarray)
        return same_kind and before.dtype == after.dtype and np.array_equal(before, after)
    return before is after or before == after


def data_of(name: str, result: object) -> object:
    """Return the `data` of the structure that a forward function returned."""
    if isinstance(result, Mapping) and "data" in result:
        return result["data"]
    if isinstance(result, Mapping):
        raise CheckError(f"{name} returns a dictionary without 'data'; it has {list(result)}")
    raise CheckError(
        f"{name} should return a structure, a dictionary with {', '.join(SIZES)} and data, "
        f"not {type(result).__name__}",
        "the array is returned alone" if isinstance(result, np.ndarray) else "",
    )


def array_of(name: str, result: object) -> object:
    """Return the derivative that a backward function returned alone; refuse a structure."""
    if isinstance(result, Mapping):
        raise CheckError(
            f"{name} should return an array, not a dictionary with {list(result)}",
            "return the array input_od alone",
        )
    return result


def expect_sizes(name: str, given: str, result: Mapping, maps: np.ndarray) -> None:
    """Raise `CheckError` unless the structure's sizes are those of `maps`, its `diff`'s too."""
    wanted = dict(zip(SIZES, maps.shape, strict=True))
    got = {key: result.get(key) for key in SIZES}
    if got == wanted:
        if result.get("diff") is not None and np.shape(result["diff"]) != flat(maps).shape:
            raise CheckError(
                f"{name}: the output's diff has a shape of its own\n  given: {given}",
                "diff is None until the backward pass fills it",
            )
        return
    missing = [key for key in SIZES if key not in result]
    if missing:
        hint = f"the output structure has no {' and no '.join(missing)}"
    elif got == wanted | {"height": wanted["width"], "width": wanted["height"]}:
        hint = "height and width are swapped"
    else:
        wrong = [key for key in SIZES if got[key] != wanted[key]]
        hint = f"{' and '.join(wrong)} should be computed from the input and the layer"
    raise CheckError(
        f"{name}: the output's sizes are wrong\n  given: {given}\n"
        f"  expected: {wanted}\n  got: {got}",
        hint,
    )


def pair_of(name: str, result: object) -> tuple[Mapping, object]:
    """Return `(param_grad, input_od)`, or raise `CheckError` for anything else."""
    fits = isinstance(result, tuple | list) and len(result) == 2
    if fits and isinstance(result[1], Mapping) and not isinstance(result[0], Mapping):
        raise CheckError(
            f"{name} should return (param_grad, input_od)", "the pair is in the wrong order"
        )
    if not fits or not isinstance(result[0], Mapping):
        alone = isinstance(result, Mapping | np.ndarray)
        raise CheckError(
            f"{name} should return (param_grad, input_od), a dictionary with 'w' and 'b' and an "
            f"array; got {type(result).__name__}",
            "one of the two is returned alone" if alone else "",
        )
    missing = [key for key in ("w", "b") if key not in result[0]]
    if missing:
        raise CheckError(
            f"{name}: param_grad should have 'w' and 'b', not {list(result[0])}",
            f"the gradient of {' and '.join(missing)} is missing",
        )
    return result[0], result[1]


# --- columns that are read or written in a wrong order


def misread(maps: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what `maps` become when their `data` is reshaped wrongly."""
    channel, height, width, batch_size = maps.shape
    data = flat(maps)
    yield (
        "data is read as height · width · channel; its rows run channel by channel",
        data.reshape(height, width, channel, batch_size).transpose(2, 0, 1, 3),
    )
    yield (
        "data is read as channel · width · height; inside a channel it runs row by row",
        data.reshape(channel, width, height, batch_size).transpose(0, 2, 1, 3),
    )
    yield (
        "data is reshaped with the batch first; its columns are the images",
        data.reshape(batch_size, channel, height, width).transpose(1, 2, 3, 0),
    )
    yield (
        "data is read in column-major order, as in Octave",
        data.reshape((height, width, channel, batch_size), order="F").transpose(2, 0, 1, 3),
    )


def miswritten(maps: np.ndarray) -> Iterator[Mistake]:
    """Yield `data` in orders and shapes that are not the structure's."""
    batch_size = maps.shape[3]
    orders = {
        "the result is flattened as height · width · channel, not channel by channel": (1, 2, 0, 3),
        "the result is flattened column by column, not row by row": (0, 2, 1, 3),
        "the result is flattened with the batch first, so that columns mix images": (3, 0, 1, 2),
    }
    for words, order in orders.items():
        yield words, maps.transpose(order).reshape(-1, batch_size)
    yield "a row is an image; the columns should be", flat(maps).T
    images = [maps[..., [n]].reshape(-1) for n in range(batch_size)]
    yield (
        "the images stand one after the other in one column",
        np.concatenate(images)[:, np.newaxis],
    )
