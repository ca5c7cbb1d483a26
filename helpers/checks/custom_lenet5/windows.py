"""The checks of `gather_windows` (im2col) and `scatter_windows` (col2im), batch last."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import torch
from torch import Tensor

from helpers.checks.custom_lenet5 import reference
from helpers.checks.custom_lenet5.judging import Exercise
from helpers.checks.custom_lenet5.reference import Pair
from helpers.checks.errors import CheckError
from helpers.checks.exercises import Function, normal
from helpers.checks.parts import Check

gather_windows = Check("gather_windows", "the windows are those of the reference, in its order")
scatter_windows = Check("scatter_windows", "every entry is added to its pixel, as by the reference")

# Shape [channels, height, width, batch], kernel_size, places and stride; the last two leave pixels
# over, and one of these is given fewer places than fit.
_SIDE_BY_SIDE = (((2, 4, 6, 3), (2, 3), (2, 2), (2, 3)), ((1, 3, 3, 2), (1, 1), (3, 3), (1, 1)))
_OVERLAPPING = (
    ((2, 5, 4, 3), (3, 2), (3, 3), (1, 1)),
    ((3, 4, 4, 1), (2, 2), (3, 3), (1, 1)),
    ((1, 7, 6, 2), (5, 5), (3, 2), (1, 1)),
)
_STRIDES = (((2, 7, 6, 2), (3, 2), (3, 2), (2, 3)), ((1, 5, 8, 2), (2, 4), (4, 2), (1, 2)))


def _swapped(pair: Pair) -> Pair:
    return pair[1], pair[0]


def _gathered(case: tuple) -> Exercise:
    shape, kernel_size, places, stride = case
    right = partial(reference.gather_windows, kernel_size=kernel_size, places=places, stride=stride)
    orders = {
        "rows and columns of the windows are swapped": (0, 2, 1, 3, 4, 5),
        "rows and columns of the places are swapped": (0, 1, 2, 4, 3, 5),
        "rows and columns are swapped, of windows and places": (0, 2, 1, 4, 3, 5),
        "the places stand before the entries of a window: [C, kh, kw, *places, B] is asked for": (
            (0, 3, 4, 1, 2, 5)
        ),
        "the entries of a window stand before the channels": (1, 2, 0, 3, 4, 5),
        "the batch is the first axis; it belongs last": (5, 0, 1, 2, 3, 4),
    }

    def mistakes() -> Iterator[tuple[str, Function]]:
        for words, order in orders.items():
            yield words, partial(_then, right, lambda w, order=order: w.permute(order))
        for words, change in {
            "the windows are flipped": lambda w: w.flip(1, 2),
            "the places run backwards": lambda w: w.flip(3, 4),
            "all windows are the first one": lambda w: w[:, :, :, :1, :1].expand_as(w),
        }.items():
            yield words, partial(_then, right, change)
        for words, steps in {
            "vertical and horizontal stride are swapped": _swapped(stride),
            "the stride is ignored": (1, 1),
            "the windows lie side by side: the stride is taken to be kernel_size": kernel_size,
            "the vertical stride is used in both directions": (stride[0],) * 2,
            "the horizontal stride is used in both directions": (stride[1],) * 2,
        }.items():
            yield (
                words,
                lambda X, steps=steps: reference.gather_windows(X, kernel_size, places, steps),
            )
        yield (
            "a step along the places is taken to be `stride` numbers in memory: it is so many rows "
            "or columns, stride · X.stride()",
            partial(_by_memory, kernel_size, places, stride),
        )
        yield (
            "height and width of the images are swapped",
            lambda X: reference.gather_windows(X.transpose(1, 2), kernel_size, places, stride),
        )

    settings = f"kernel_size {kernel_size}, places {places}, stride {stride}"
    return Exercise({"X": normal(*shape)}, right, list(mistakes()), settings)


def _by_memory(kernel_size: Pair, places: Pair, stride: Pair, X: Tensor) -> Tensor:
    channel, row, column, image = X.stride()
    steps = channel, row, column, *stride, image
    return X.as_strided((len(X), *kernel_size, *places, X.shape[3]), steps)


def _then(right: Function, change: Function, tensor: Tensor) -> Tensor:
    return change(right(tensor))


def _judge_gathered(answer: Callable, case: tuple, exercise: Exercise, **options: bool) -> Tensor:
    _, kernel_size, places, stride = case
    action = lambda X: answer(X, kernel_size, places, stride)  # noqa: E731
    return exercise.judge("gather_windows", answer, action, **options)


def _gather_part(answer: Callable, *, cases: tuple) -> None:
    for case in cases:
        _judge_gathered(answer, case, _gathered(case))


for _name, _cases in {
    "windows side by side": _SIDE_BY_SIDE,
    "windows that overlap": _OVERLAPPING,
    "strides that differ, and pixels left over": _STRIDES,
}.items():
    gather_windows.part(_name)(partial(_gather_part, cases=_cases))


@gather_windows.part("contiguous, in single precision; X stays as it is")
def _(answer: Callable) -> None:
    for case in (*_SIDE_BY_SIDE, *_OVERLAPPING):
        exercise = _gathered(case).in_single_precision()
        got = _judge_gathered(answer, case, exercise, kept=True)
        if not got.is_contiguous():
            raise CheckError(
                f"gather_windows returns a tensor that is not contiguous\n  given: {exercise}",
                "a matrix product needs the windows in one block: .contiguous()",
            )


# --- back to the pixels


def _scattered(case: tuple) -> Exercise:
    shape, kernel_size, places, stride = case
    right = partial(reference.scatter_windows, shape=shape, stride=stride)
    windows = normal(shape[0], *kernel_size, *places, shape[3])

    def counts() -> Tensor:
        return right(torch.ones_like(windows)).clamp(min=1)

    def mistakes() -> Iterator[tuple[str, Function]]:
        for by_place in (False, True):
            yield (
                "where windows overlap, an entry takes the place of another: += for =",
                partial(_assigned, shape, stride, by_place),
            )
        yield (
            "the mean of what falls on a pixel is taken, not the sum",
            lambda w: right(w) / counts(),
        )
        yield "only the first entry of each window is added", lambda w: right(_only(w, 0))
        yield "only the last entry of each window is added", lambda w: right(_only(w, -1))
        for words, change in {
            "the windows are flipped": lambda w: w.flip(1, 2),
            "the places run backwards": lambda w: w.flip(3, 4),
            "rows and columns of the windows are swapped": lambda w: w.transpose(1, 2),
            "rows and columns of the places are swapped": lambda w: w.transpose(3, 4),
        }.items():
            yield words, lambda w, change=change: right(change(w))
        for words, steps in {
            "vertical and horizontal stride are swapped": _swapped(stride),
            "the stride is ignored": (1, 1),
            "the windows lie side by side: the stride is taken to be kernel_size": kernel_size,
            "the vertical stride is used in both directions": (stride[0],) * 2,
            "the horizontal stride is used in both directions": (stride[1],) * 2,
        }.items():
            yield words, lambda w, steps=steps: reference.scatter_windows(w, shape, steps)

    settings = f"shape {shape}, stride {stride}"
    return Exercise({"windows": windows}, right, list(mistakes()), settings)


def _assigned(shape: tuple, stride: Pair, by_place: bool, windows: Tensor) -> Tensor:
    """Return what = in place of += leaves, in a loop over the places or over a window's entries."""
    X = windows.new_zeros(shape)
    entries, places = (
        list(product(*map(range, sizes))) for sizes in (windows.shape[1:3], windows.shape[3:5])
    )
    pairs = product(places, entries) if by_place else ((p, e) for e in entries for p in places)
    for (row, column), (i, j) in pairs:
        X[:, row * stride[0] + i, column * stride[1] + j] = windows[:, i, j, row, column]
    return X


def _only(windows: Tensor, index: int) -> Tensor:
    kept = torch.zeros_like(windows)
    kept[:, index, index] = windows[:, index, index]
    return kept


def _judge_scattered(answer: Callable, case: tuple, exercise: Exercise, **options: bool) -> None:
    shape, _, _, stride = case
    action = lambda windows: answer(windows, shape, stride)  # noqa: E731
    exercise.judge("scatter_windows", answer, action, **options)


def _scatter_part(answer: Callable, *, cases: tuple) -> None:
    for case in cases:
        _judge_scattered(answer, case, _scattered(case))


for _name, _cases in {
    "windows side by side": _SIDE_BY_SIDE,
    "windows that overlap": _OVERLAPPING,
    "strides that differ, and pixels left over": _STRIDES,
}.items():
    scatter_windows.part(_name)(partial(_scatter_part, cases=_cases))


@scatter_windows.part("single precision; the windows stay as they are")
def _(answer: Callable) -> None:
    for case in (*_SIDE_BY_SIDE, *_OVERLAPPING):
        for exercise in (_scattered(case), _scattered(case).in_single_precision()):
            _judge_scattered(answer, case, exercise, kept=True)
