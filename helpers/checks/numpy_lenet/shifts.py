"""The check of `random_shifts`: images moved at random, by moves that are all equally likely."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers.checks.answers import Causes
from helpers.checks.diagnosis import as_array
from helpers.checks.errors import CheckError
from helpers.checks.numpy_lenet.reference import call, call_and_compare, numbers
from helpers.checks.parts import Check

random_shifts = Check("random_shifts", "thousands of images moved as they should be")

Move = tuple[int, int]  # down and across
Shape = tuple[int, int, int]  # channel, height and width
# How far counts may be from those expected, in standard deviations. A right answer exceeds five
# about three times in ten million.
DEVIATIONS = 5

_ALL_AXES = "channels and batch are padded too; only height and width should be (numpy_layers.pad)"
_ONE_END = "one end never comes: rng.integers(a, b) stops before b"
_CAUSES: Causes = (
    (r"broadcast input array from shape \((\d+),\d+,\d+\) into shape \((?!\1,)", _ALL_AXES),
    (r"low >= high", _ONE_END),
)


def moved(images: np.ndarray, down: int, across: int) -> np.ndarray:
    """Return `[channel, height, width, batch_size]` moved, zeros coming in."""
    _, height, width, _ = images.shape
    result = np.zeros_like(images)
    rows, columns = _overlap(height, down), _overlap(width, across)
    result[:, rows[1], columns[1]] = images[:, rows[0], columns[0]]
    return result


def _overlap(size: int, move: int) -> tuple[slice, slice]:
    """Return where the pixels that stay come from, and where they go."""
    source = slice(max(-move, 0), max(size - max(move, 0), 0))
    return source, slice(max(move, 0), max(move, 0) + max(source.stop - source.start, 0))


def _edges(images: np.ndarray, down: int, across: int) -> np.ndarray:
    _, height, width, _ = images.shape
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - across, 0, width - 1)
    return images[:, rows][:, :, columns]


def _mirrored(images: np.ndarray, down: int, across: int) -> np.ndarray:
    p, q = abs(down), abs(across)
    padded = np.pad(images, ((0, 0), (p, p), (q, q), (0, 0)), mode="reflect")
    _, height, width, _ = images.shape
    return padded[:, p - down : p - down + height, q - across : q - across + width]


_FILLS: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "what leaves on one side comes in on the other (np.roll); zeros should come in": (
        lambda images, down, across: np.roll(images, (down, across), axis=(1, 2))
    ),
    "the border's pixels are repeated; zeros should come in": _edges,
    "the border is mirrored; zeros should come in": _mirrored,
    "rows and columns of the images are swapped": lambda images, down, across: moved(
        images, down, across
    ).swapaxes(1, 2),
    "the images are reversed in their batch": lambda images, down, across: moved(
        images, down, across
    )[..., ::-1],
}


@dataclass(frozen=True)
class Trial:
    """Images, how far they may move, and what the answer made of them."""

    images: np.ndarray
    shift: int
    result: np.ndarray

    def __str__(self) -> str:
        return _given(self.images, self.shift)

    @property
    def moves(self) -> list[Move]:
        """Return the moves that are allowed."""
        return _moves(self.shift)

    def found(self) -> np.ndarray:
        """Return for each image the number of its move in `moves`, or raise `CheckError`."""
        found = self.match(moved, self.moves)
        if (found < 0).any():
            lost = int((found < 0).sum())
            raise CheckError(
                f"random_shifts: {lost} of {len(found)} images are none of the "
                f"{len(self.moves)} images moved by up to {self.shift} pixels\n  given: {self}",
                self._explain(),
            )
        return found

    def match(self, move: Callable, moves: list[Move]) -> np.ndarray:
        """Return for each image which of `moves`, made with `move`, gives it, or -1."""
        found = np.full(self.images.shape[3], -1)
        for number, (down, across) in enumerate(moves):
            expected = move(self.images, down, across)
            if expected.shape != self.result.shape:
                return found
            open_ = np.flatnonzero(found < 0)
            away = np.abs(self.result[..., open_] - expected[..., open_])
            found[open_[(away < 1e-5).all(axis=(0, 1, 2))]] = number
        return found

    def _explain(self) -> str:
        farther = self.match(moved, _moves(2 * self.shift + 2))
        if (farther >= 0).all():
            reach = np.abs(np.array(_moves(2 * self.shift + 2))[farther]).max()
            return f"some are moved by {reach} pixels; they may be moved by {self.shift} at most"
        for words, fill in _FILLS.items():
            if (self.match(fill, self.moves) >= 0).all():
                return words
        negated = Trial(self.images, self.shift, -self.result)
        if (negated.match(moved, self.moves) >= 0).all():
            return "the sign of the pixels is wrong"
        for one in range(self.images.shape[0]):
            if (self._match_channel(one) >= 0).all() and self.images.shape[0] > 1:
                return "the channels of one image move apart; they should move together"
        return self._explain_fill()

    def _match_channel(self, channel: int) -> np.ndarray:
        alone = Trial(self.images[[channel]], self.shift, self.result[[channel]])
        return alone.match(moved, self.moves)

    def _explain_fill(self) -> str:
        """Say when images are moved as they may, and only the pixels that come in are wrong."""
        known = set(np.unique(self.images.astype(np.float32)).tolist()) | {0.0}
        strange = set(np.unique(self.result.astype(np.float32)).tolist()) - known
        if len(strange) == 1:
            return f"{strange.pop():g} comes in at the border; zeros should"
        if strange:
            return "the pixels' values change; images are moved by whole pixels, not in between"
        return ""


def _moves(shift: int) -> list[Move]:
    steps = range(-shift, shift + 1)
    return [(down, across) for down in steps for across in steps]


def _given(images: np.ndarray, shift: int) -> str:
    channel, height, width, batch_size = images.shape
    return f"{batch_size} images of {channel} × {height} × {width}, shift {shift}"


def _images(count: int, blank: int = 0, shape: Shape = (2, 5, 6)) -> np.ndarray:
    """Return images no two pixels of which are alike but for a border of zeros, `blank` wide.

    With a border as wide as the shift, it does not matter what comes in: where an image went can
    be told, and judged, although the answer fills the border wrongly.
    """
    border = ((0, 0), (blank, blank), (blank, blank), (0, 0))
    return np.pad(numbers((*shape, count), seed=8, lowest=0.0), border)


def _try(answer: Callable, images: np.ndarray, shift: int, rng: np.random.Generator) -> Trial:
    """Call the answer; `rng` goes on from call to call, and so is not copied."""
    given = _given(images, shift)
    result = call(
        "random_shifts", given, lambda copies: answer(copies, shift, rng), images, causes=_CAUSES
    )
    return _trial(images, shift, result)


def _trial(images: np.ndarray, shift: int, result: object) -> Trial:
    got = as_array("random_shifts", result)
    if got.shape != images.shape:
        raise CheckError(
            f"random_shifts: the sizes should stay as they are\n  given: {_given(images, shift)}\n"
            f"  expected: shape {images.shape}\n  got: shape {got.shape}",
            _explain_sizes(got, images, shift),
        )
    return Trial(images, shift, got)


def _explain_sizes(got: np.ndarray, images: np.ndarray, shift: int) -> str:
    grown = tuple(size + 2 * shift for size in images.shape)
    if got.ndim == 4 and (got.shape[0] == grown[0] or got.shape[3] == grown[3]):
        return _ALL_AXES
    if got.shape[1:3] == grown[1:3]:
        return "the padded images are returned; a window of the original size has to be cut out"
    return ""


def _several(answer: Callable, images: np.ndarray, shift: int, rng: np.random.Generator) -> Trial:
    """Return the trials of twelve calls in a row as one, so that no chance hides the moves."""
    results = [_try(answer, images, shift, rng).result for _ in range(12)]
    return Trial(np.concatenate([images] * 12, axis=3), shift, np.concatenate(results, axis=3))


def _require_moved(trial: Trial) -> None:
    """Raise `CheckError` where no image moves at all, or one that is not allowed."""
    found = trial.found()
    if (found == trial.moves.index((0, 0))).all():
        raise CheckError(
            f"random_shifts: no image has moved\n  given: {trial}",
            "the images are returned as they came, or the shift is always 0",
        )


@random_shifts.part("images are moved by whole pixels, zeros come in")
def _(answer: Callable) -> None:
    for shift, dtype, shape in (
        (1, np.float64, (2, 5, 6)),
        (2, np.float32, (1, 6, 5)),
        (1, np.float64, (3, 4, 4)),
    ):
        images = _images(15, shape=shape).astype(dtype)
        _require_moved(_several(answer, images, shift, np.random.default_rng(1)))


@random_shifts.part("all moves from -shift to shift are equally likely")
def _(answer: Callable) -> None:
    for calls, shift in ((200, 2), (300, 1)):
        trial = _one_by_one(answer, calls, shift)
        for what, moves in _by_direction(trial):
            _expect_even(trial, what, moves)
    trial = _batch(answer, 800, shift=4, shape=(1, 6, 5))
    for what, moves in _by_direction(trial):
        if len(set(moves.tolist())) > 1:  # else the part on batches says that all move alike
            _expect_even(trial, what, moves)


@random_shifts.part("a move down says nothing of the move across")
def _(answer: Callable) -> None:
    trial = _batch(answer, 500, shift=2, shape=(3, 4, 4))
    _require_moved(trial)
    (_, down), (_, across) = _by_direction(trial)
    if (down == across).all():
        hint = "down and across are the same number; each needs a draw of its own"
    elif (down == -across).all():
        hint = "across is minus down; each needs a draw of its own"
    else:
        hint = "they are drawn together, and should be drawn apart"
    _expect_independent(trial, "moves down and across", down, across, hint)
    for one, other in ((down, across), (across, down)):
        what = "moves down and across of neighbouring images"
        _expect_independent(trial, what, one[1:], other[:-1], "a draw is used for two images")


@random_shifts.part("each image of a batch has moves of its own")
def _(answer: Callable) -> None:
    trial = _batch(answer, 500, shift=2)
    for what, moves in _by_direction(trial):
        if len(set(moves.tolist())) == 1:
            raise CheckError(
                f"random_shifts: all images of the batch make the same move {what}\n"
                f"  given: {trial}",
                "one number is drawn for the whole batch; rng.integers(…, size=batch_size) "
                "draws one for each image",
            )
        hint = "a draw is used for several images, or the moves are in an order"
        what = f"moves {what} of neighbouring images"
        _expect_independent(trial, what, moves[1:], moves[:-1], hint)


@random_shifts.part("shifts of 0 and of 3")
def _(answer: Callable) -> None:
    for shift in (0, 3):
        images = _images(15, blank=shift)
        trial = _several(answer, images, shift, np.random.default_rng(3))
        reach = np.abs(np.array(trial.moves)[trial.found()]).max()
        if reach < shift:
            raise CheckError(
                f"random_shifts: no image moves by more than {reach} pixels\n  given: {trial}",
                "the shift is written as a fixed number" if reach else "nothing moves",
            )


@random_shifts.part("the moves come from rng")
def _(answer: Callable) -> None:
    images = _images(10, blank=1)
    rng = np.random.default_rng(5)
    once, then = (_several(answer, images, 1, rng) for _ in range(2))
    again, other = (_several(answer, images, 1, np.random.default_rng(seed)) for seed in (5, 6))
    _require_moved(once)
    if not np.array_equal(once.result, again.result):
        raise CheckError(
            "random_shifts: the same generator should lead to the same moves",
            "the moves are drawn from np.random, or a new generator, and not from rng",
        )
    if np.array_equal(once.result, other.result):
        raise CheckError(
            "random_shifts: another generator should lead to other moves",
            "the moves are drawn from a generator with a fixed seed, and not from rng",
        )
    if np.array_equal(once.result, then.result):
        raise CheckError(
            "random_shifts: a second batch should get other moves than the first",
            "rng is copied or seeded anew in each call",
        )


@random_shifts.part("the original images are left as they were")
def _(answer: Callable) -> None:
    images, rng = _images(10, blank=1), np.random.default_rng(7)
    given = _given(images, 1)

    def with_rng(images: np.ndarray, shift: int) -> object:
        return np.array([answer(images, shift, rng) for _ in range(12)])

    results = call_and_compare("random_shifts", given, with_rng, {"images": images, "shift": 1})
    if results.shape != (12, *images.shape):
        _trial(images, 1, results[0])
    _require_moved(_trial(np.concatenate([images] * 12, axis=3), 1, np.concatenate(results, -1)))


# --- counting moves


def _batch(answer: Callable, count: int, shift: int, shape: Shape = (2, 5, 6)) -> Trial:
    """Return the trial of one batch, large enough to count its moves."""
    images = _images(count, blank=shift, shape=shape)
    return _try(answer, images, shift, np.random.default_rng(4))


def _one_by_one(answer: Callable, calls: int, shift: int) -> Trial:
    """Return the trials of many batches of one image as one."""
    images, rng = _images(1, blank=shift), np.random.default_rng(2)
    results = [_try(answer, images, shift, rng).result]  # which finds what is wrong with one
    results += _repeat(answer, images, shift, rng, calls - 1)
    return Trial(np.repeat(images, calls, axis=3), shift, np.concatenate(results, axis=3))


def _by_direction(trial: Trial) -> tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]:
    """Return each image's moves down and across, or raise `CheckError` where it has none."""
    down, across = np.array(trial.moves)[trial.found()].T
    return ("down", down), ("across", across)


def _repeat(
    answer: Callable, images: np.ndarray, shift: int, rng: np.random.Generator, calls: int
) -> list[np.ndarray]:
    """Return the results of many calls; asked for all at once, they take a third of the time."""

    def repeated(copies: np.ndarray) -> list[object]:
        return [answer(copies.copy(), shift, rng) for _ in range(calls)]

    results = call("random_shifts", _given(images, shift), repeated, images)
    return [_trial(images, shift, result).result for result in results]


def _unlikely(counts: np.ndarray, expected: np.ndarray, freedom: int) -> bool:
    """Tell whether chi-squared is too large for chance, by Wilson and Hilferty's approximation."""
    if freedom == 0:
        return False
    chi_squared, variance = ((counts - expected) ** 2 / expected).sum(), 2 / (9 * freedom)
    return np.cbrt(chi_squared / freedom) > 1 - variance + DEVIATIONS * np.sqrt(variance)


def _expect_even(trial: Trial, what: str, moves: np.ndarray) -> None:
    """Raise `CheckError` unless all moves in a direction are about as frequent."""
    shift, side = trial.shift, 2 * trial.shift + 1
    got, expected = np.bincount(moves + shift, minlength=side), len(moves) / side
    if not _unlikely(got, np.full(side, expected), side - 1):
        return
    shown = ", ".join(f"{move:+d}: {count}" for move, count in zip(_steps(shift), got, strict=True))
    raise CheckError(
        f"random_shifts: moves {what} from {-shift} to {shift} should be equally likely\n"
        f"  given: {trial}\n  expected: about {expected:.0f} each\n  got: {shown}",
        _explain_uneven(got, shift),
    )


def _expect_independent(
    trial: Trial, what: str, one: np.ndarray, other: np.ndarray, hint: str
) -> None:
    """Raise `CheckError` if one move tells something of the other."""
    shift, side = trial.shift, 2 * trial.shift + 1
    counts = np.zeros((side, side), int)
    np.add.at(counts, (one + shift, other + shift), 1)
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    seen = counts[rows > 0][:, columns > 0]
    expected = np.outer(rows[rows > 0], columns[columns > 0]) / len(one)
    if _unlikely(seen, expected, (len(seen) - 1) * (len(seen.T) - 1)):
        raise CheckError(
            f"random_shifts: {what} are not independent\n  given: {trial}\n"
            f"  counts, one by the other:\n{_table(counts)}",
            hint,
        )


def _steps(shift: int) -> range:
    return range(-shift, shift + 1)


def _explain_uneven(got: np.ndarray, shift: int) -> str:
    never = [move for move, count in zip(_steps(shift), got, strict=True) if count == 0]
    if never in ([shift], [-shift]):
        return _ONE_END
    if never == [0]:
        return "the move 0 never comes"
    if len(never) == 2 * shift:
        still = "the images never move in this direction"
        return still if got[shift] else "every image makes the same move"
    if shift > 1 and {*never, 0} == {move for move in _steps(shift) if abs(move) != shift}:
        return "images move by the whole shift or not at all; all steps between come too"
    if never == list(range(-shift, 0)) or never == list(range(1, shift + 1)):
        return "images move to one side only; the moves run from -shift to shift"
    if never:
        return f"the moves {', '.join(map(str, never))} never come"
    if got[0] < 0.75 * got[shift] and got[-1] < 0.75 * got[shift]:
        return (
            "the ends come less often than the middle, as when numbers are rounded, or are sums "
            "or normally distributed"
        )
    if got[shift] > 1.5 * max(got[0], got[-1]):
        return "numbers between -1 and 1 are cut off to 0, which comes more often"
    return ""


def _table(counts: np.ndarray) -> str:
    return "\n".join("    " + " ".join(f"{count:5d}" for count in row) for row in counts)
