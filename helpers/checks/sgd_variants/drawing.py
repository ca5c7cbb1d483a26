"""The checks of `draw_balanced` and `epoch_batches`, whose results are drawn at random."""

from collections.abc import Callable

import numpy as np

from helpers.checks.answers import attempt
from helpers.checks.errors import CheckError
from helpers.checks.parts import Check
from helpers.checks.sgd_variants.functions import CAUSES, require_unchanged
from helpers.checks.sgd_variants.reference import standing_in

draw_balanced = Check("draw_balanced", "as many of each digit as asked for, at random and mixed")
epoch_batches = Check("epoch_batches", "each image once, in an order of its own for each epoch")


def _indices(what: str, value: object, count: int) -> np.ndarray:
    """Return whole numbers `[n]` between 0 and `count` - 1, or raise `CheckError`."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise CheckError(f"{what}: expected an array of indices, got {value!r:.80}") from None
    if array.dtype == bool:
        raise CheckError(
            f"{what}: expected indices, got an array of bool", "np.flatnonzero gives the places"
        )
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise CheckError(
            f"{what}: expected an array of whole numbers with one axis, got shape {array.shape} of "
            f"{array.dtype}"
        )
    if len(array) and not (array.min() >= 0 and array.max() < count):
        raise CheckError(
            f"{what}: indices run from 0 to {count - 1}, not {array.min()} to {array.max()}"
        )
    return array


# --- draw_balanced


def _labels(*, per_digit: int = 12) -> np.ndarray:
    """Return labels, sorted by digit, with `per_digit` of a 0 and one more of each next digit."""
    return np.repeat(np.arange(10), per_digit + np.arange(10))


def _draw(answer: Callable, labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    before = labels.copy()
    with standing_in(answer, "draw_balanced"):
        rng = np.random.default_rng(seed)
        chosen = attempt("draw_balanced", lambda: answer(labels, per_class, rng), causes=CAUSES)
    require_unchanged("draw_balanced", {"labels": labels}, {"labels": before})
    return _indices("draw_balanced", chosen, len(labels))


@draw_balanced.part("the same number of each digit")
def _(answer: Callable) -> None:
    for seed, per_class in enumerate((5, 1, 12)):
        for order in (np.arange(165), np.random.default_rng(seed).permutation(165)):
            labels = _labels()[order]
            drawn = labels[_draw(answer, labels, per_class, seed)]
            counts = np.bincount(drawn, minlength=10)
            if set(counts.tolist()) != {per_class}:
                raise CheckError(
                    f"draw_balanced: {per_class} of each digit are asked for\n  got: "
                    f"{counts.tolist()} of the digits 0 to 9",
                    _explain_counts(counts, per_class),
                )


def _explain_counts(counts: np.ndarray, per_class: int) -> str:
    if counts.sum() == per_class:
        return "per_class examples are drawn in all; it is the number of each digit"
    if counts.sum() == 10 * per_class:
        return "the draw does not look at the labels"
    if (counts[1:] == per_class).all() or (counts[:-1] == per_class).all():
        return "a digit is left out: they are range(10)"
    return ""


@draw_balanced.part("no example twice")
def _(answer: Callable) -> None:
    labels = _labels()
    for seed, per_class in enumerate((12, 6)):
        chosen = _draw(answer, labels, per_class, seed)
        different = len(np.unique(chosen))
        if different != len(chosen):
            raise CheckError(
                f"draw_balanced: {len(chosen)} examples are drawn, and only {different} are "
                "different",
                "rng.choice draws with replacement unless replace=False, and rng.integers always",
            )
        if not len(chosen) or np.array_equal(np.sort(chosen), np.arange(len(chosen))):
            raise CheckError("draw_balanced: only the first examples are taken, whatever they are")


@draw_balanced.part("the digits in mixed order")
def _(answer: Callable) -> None:
    labels = _labels(per_digit=40)
    drawn = labels[_draw(answer, labels, 30, 0)]
    changes = np.mean(drawn[1:] != drawn[:-1]) if len(drawn) > 1 else 0.0
    if changes < 0.5:
        raise CheckError(
            f"draw_balanced: the digits come one after the other, {drawn[:8]} …",
            "rng.permutation of all drawn indices mixes them",
        )
    if changes == 1:  # of 300 digits in random order, about 29 follow one of their own
        raise CheckError(
            f"draw_balanced: no digit ever follows one of its own, {drawn[:12]} …",
            "the digits take turns, and should be in random order",
        )


@draw_balanced.part("drawn by rng, from all examples of a digit")
def _(answer: Callable) -> None:
    labels = _labels()
    first, again, other = (_draw(answer, labels, 5, seed) for seed in (1, 1, 2))
    if not np.array_equal(first, again):
        raise CheckError(
            "draw_balanced: two generators of the same seed give different draws",
            "the numbers come from elsewhere (np.random) and not from rng",
        )
    if np.array_equal(np.sort(first), np.sort(other)):
        raise CheckError(
            "draw_balanced: two generators of different seeds draw the same examples",
            "the first examples of each digit are taken, or rng is not used",
        )
    # Of 12 or more examples, 5 are drawn 80 times: chance leaves none out (10⁻¹⁷).
    seen = np.unique(np.concatenate([_draw(answer, labels, 5, seed) for seed in range(80)]))
    possible = int(np.isin(labels, labels[seen]).sum())  # a digit left out costs another part
    if len(seen) < possible:
        raise CheckError(
            f"draw_balanced: in 80 draws, {possible - len(seen)} of {possible} examples are never "
            "drawn",
            "the draw is not from all examples of a digit",
        )


# --- epoch_batches


def _batches(answer: Callable, count: int, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    with standing_in(answer, "epoch_batches"):
        batches = attempt("epoch_batches", lambda: answer(count, size, rng), causes=CAUSES)
    if isinstance(batches, np.ndarray) and batches.ndim == 2:
        batches = list(batches)
    if not isinstance(batches, list | tuple):
        generator = hasattr(batches, "__next__")
        raise CheckError(
            f"epoch_batches should return a list of index arrays, not {type(batches).__name__}",
            "yield makes a generator: put the batches into a list" if generator else "",
        )
    return [_indices("epoch_batches, a batch", batch, count) for batch in batches]


def _in_a_row(batches: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(batches) if batches else np.zeros(0, int)


@epoch_batches.part("the sizes of the batches, the last one included")
def _(answer: Callable) -> None:
    for count, size in ((1000, 32), (10, 3), (7, 7), (5, 8), (6, 1), (12, 4)):
        rng = np.random.default_rng(0)
        sizes = [len(batch) for batch in _batches(answer, count, size, rng)]
        whole, rest = divmod(count, size)
        right = [size] * whole + ([rest] if rest else [])
        if sizes != right:
            raise CheckError(
                f"epoch_batches, sizes\n  given: count {count}, batch_size {size}\n  expected: "
                f"{_shown(right)}\n  got: {_shown(sizes)}",
                _explain_sizes(sizes, right, count, size),
            )


def _shown(sizes: list[int]) -> str:
    if len(sizes) < 9:
        return str(sizes)
    first, last = ", ".join(map(str, sizes[:3])), ", ".join(map(str, sizes[-2:]))
    return f"[{first}, …, {last}], {len(sizes)} batches"


def _explain_sizes(sizes: list[int], right: list[int], count: int, size: int) -> str:
    if sizes == right[:-1] and right[-1] < size:
        return "the last, smaller batch is dropped: the images in it are never learned from"
    if sizes == [*right, 0]:
        return "there is an empty batch at the end, where batch_size divides count"
    if sizes == [*right[:-1], size]:
        return "the last batch is filled up with images that were used already"
    if sizes == [*right[:-2], sum(right[-2:])]:
        return "what is left over is added to the last whole batch; it is a batch of its own"
    if sum(sizes) == count and len(sizes) == len(right):
        return "np.array_split makes batches of nearly equal size; only the last may be smaller"
    if len(sizes) == size:
        return "batch_size is taken for the number of batches"
    return ""


@epoch_batches.part("each image once in an epoch")
def _(answer: Callable) -> None:
    for seed, (count, size) in enumerate(((100, 10), (12, 4), (30, 1))):
        order = _in_a_row(_batches(answer, count, size, np.random.default_rng(seed)))
        times = np.bincount(order, minlength=count)
        missing = f"{int((times == 0).sum())} images are in no batch"
        if times.max() > 1:
            raise CheckError(
                f"epoch_batches, count {count}, batch_size {size}: {missing}, and one is there "
                f"{times.max()} times",
                "each batch is drawn on its own (rng.choice, rng.integers); cut one permutation of "
                "all images instead",
            )
        if not times.all():
            raise CheckError(f"epoch_batches, count {count}, batch_size {size}: {missing}")


@epoch_batches.part("a new random order in each epoch, drawn by rng")
def _(answer: Callable) -> None:
    count, size = 60, 10
    rng, same_seed = np.random.default_rng(1), np.random.default_rng(1)
    epochs = [_batches(answer, count, size, rng) for _ in range(2)]
    first, second = map(_in_a_row, epochs)
    again = _in_a_row(_batches(answer, count, size, same_seed))
    if np.array_equal(first, np.arange(len(first))) or not len(first):
        raise CheckError(
            "epoch_batches: the images come in the order 0, 1, 2, …", "rng.permutation is missing"
        )
    if not np.array_equal(first, again):
        raise CheckError(
            "epoch_batches: two generators of the same seed give different orders",
            "the numbers come from elsewhere (np.random, random) and not from rng",
        )
    if np.array_equal(first, second):
        raise CheckError(
            "epoch_batches: the second epoch has the order of the first",
            "rng is not used, or a new generator with a fixed seed is made in each call",
        )
    contents = [{tuple(sorted(b.tolist())) for b in epoch if len(b)} for epoch in epochs]
    if contents[0] & contents[1]:
        raise CheckError(
            "epoch_batches: in both epochs the same images are together in a batch",
            "the batches are shuffled, or the images inside a batch; shuffle all images before "
            "they are cut into batches",
        )
    # In a random order of 60, about one image is followed by the next one.
    if np.mean((first[1:] - first[:-1]) % count == 1) > 0.5:
        raise CheckError(
            f"epoch_batches: images follow each other as in the data, {first[:6]} …",
            "the order is turned round by a random number of places, and not shuffled",
        )
    # Each image stands first and last at times; chance misses one in 150 epochs with 10⁻⁹.
    orders = np.array([_in_a_row(_batches(answer, 7, 3, rng)) for _ in range(150)])
    if orders.shape[1] == 7 and any(len(set(orders[:, place])) < 7 for place in (0, -1)):
        raise CheckError(
            "epoch_batches: some images never come first or never come last in 150 epochs",
            "not all images are shuffled",
        )
