"""The checks of max pooling, forwards and backwards."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np

from helpers.checks.diagnosis import Mistake, as_array, expect, recognise, same
from helpers.checks.errors import CheckError
from helpers.checks.numpy_lenet.reference import (
    Structure,
    array_of,
    call,
    call_and_compare,
    data_of,
    expect_sizes,
    flat,
    misread,
    miswritten,
    numbers,
    structure,
)
from helpers.checks.parts import Check, note

pooling_layer_forward = Check(
    "pooling_layer_forward", "maxima and sizes agree with the reference in 11 geometries"
)
pooling_layer_backward = Check(
    "pooling_layer_backward", "input_od agrees with the reference in 11 geometries, ties included"
)

Reduce = Callable[..., np.ndarray]
Share = Callable[[np.ndarray], np.ndarray]  # of a window's derivative, for each of its pixels


@dataclass(frozen=True)
class Pooling:
    """Max pooling of `maps` `[channel, height, width, batch_size]`, by its definition."""

    maps: np.ndarray
    k: int
    stride: int

    @property
    def layer(self) -> dict[str, object]:
        """Return the layer's description."""
        return {"type": "POOLING", "k": self.k, "stride": self.stride, "pad": 0}

    @property
    def size(self) -> tuple[int, int]:
        """Return the output's height and width."""
        _, height, width, _ = self.maps.shape
        return (height - self.k) // self.stride + 1, (width - self.k) // self.stride + 1

    def __str__(self) -> str:
        channel, height, width, batch_size = self.maps.shape
        return (
            f"{batch_size} × {channel} maps of {height} × {width} ({self.maps.dtype}), "
            f"k {self.k}, stride {self.stride}, pad 0"
        )

    def windows(self, maps: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield each window's place in the output and the window as a view of `maps`."""
        for i, j in np.ndindex(*self.size):
            top, left = i * self.stride, j * self.stride
            yield i, j, maps[:, top : top + self.k, left : left + self.k]

    def forward(self, reduce: Reduce = np.max) -> np.ndarray:
        """Return `[channel, height, width, batch_size]` of every window's maximum."""
        channel, _, _, batch_size = self.maps.shape
        output = np.empty((channel, *self.size, batch_size))
        for i, j, window in self.windows(self.maps):
            output[:, i, j] = reduce(window, axis=(1, 2))
        return output

    def diff(self) -> np.ndarray:
        """Return a derivative with respect to the output, in the maps' number type."""
        channel, _, _, batch_size = self.maps.shape
        return numbers((channel, *self.size, batch_size), seed=77, dtype=self.maps.dtype)

    def backward(self, share: Share, diff: np.ndarray | None = None) -> np.ndarray:
        """Return the derivative with respect to the maps, where `share` says who gets how much."""
        diff = self.diff() if diff is None else diff
        input_od = np.zeros(self.maps.shape)
        sources = self.windows(self.maps)
        for (i, j, target), (_, _, window) in zip(self.windows(input_od), sources, strict=True):
            target += share(window) * diff[:, np.newaxis, np.newaxis, i, j]
        return input_od

    def structures(self) -> tuple[Structure, Structure]:
        """Return the output, its `diff` filled in, and the input."""
        output = self.forward().astype(self.maps.dtype)
        return structure(output, self.diff()), structure(self.maps)


def first_maximum(window: np.ndarray) -> np.ndarray:
    """Return 1 at the first maximum in reading order of each `[channel, k, k, batch_size]`."""
    flattened = window.reshape(len(window), -1, window.shape[3])
    places = np.arange(flattened.shape[1])[:, np.newaxis]
    chosen = places == flattened.argmax(axis=1)[:, np.newaxis]
    return chosen.reshape(window.shape).astype(float)


def all_maxima(window: np.ndarray) -> np.ndarray:
    """Return 1 at every pixel that attains its window's maximum."""
    return (window == window.max(axis=(1, 2), keepdims=True)).astype(float)


# What each part tries: windows and strides, and the images' shape where it matters.
_SIDE_BY_SIDE = [((1, 4, 4, 1), 2, 2), ((1, 6, 6, 1), 2, 2)]
_OVERLAPPING = [((1, 7, 7, 1), 3, 1), ((1, 5, 5, 1), 3, 2), ((1, 4, 4, 1), 2, 1)]
_OTHERS = [((1, 5, 8, 1), 2, 3), ((1, 8, 8, 1), 4, 4), ((1, 5, 5, 1), 1, 2)]
_SEVERAL = [((3, 4, 6, 2), 2, 2), ((2, 7, 5, 4), 3, 2), ((3, 2, 8, 3), 2, 2)]


def _poolings(
    shapes: list[tuple[tuple[int, ...], int, int]], negative: bool = False
) -> Iterator[Pooling]:
    """Yield poolings of images from 0 to 2, every second in single precision.

    If `negative`, of images from -200,000 to 0 and of images from -0.0002 to 0.
    """
    for seed, (shape, k, stride) in enumerate(shapes):
        dtype = np.float32 if seed % 2 else np.float64
        maps = numbers(shape, seed, -2.0 if negative else 0.0, dtype)
        yield Pooling((1e-4 if seed % 2 else 1e5) * maps if negative else maps, k, stride)


def _other_geometries(pooling: Pooling) -> Iterator[tuple[str, Pooling]]:
    maps, k, stride = pooling.maps, pooling.k, pooling.stride
    others = {
        "the window is 2 × 2 and the stride 2, whatever `layer` says": (2, 2),
        "the window is 2 × 2, whatever layer['k'] says": (2, stride),
        "the stride is 2, whatever layer['stride'] says": (k, 2),
        "the stride is taken to be k; it is layer['stride']": (k, k),
        "the stride is taken to be 1; it is layer['stride']": (k, 1),
        "k and stride are swapped": (stride, k),
    }
    for words, (other_k, other_stride) in others.items():
        if (other_k, other_stride) != (k, stride) and other_k <= min(maps.shape[1:3]):
            yield words, Pooling(maps, other_k, other_stride)


# --- forwards


def _first(window: np.ndarray, axis: tuple[int, int]) -> np.ndarray:
    return window[:, 0, 0]


def _above_zero(window: np.ndarray, axis: tuple[int, int]) -> np.ndarray:
    return np.maximum(window.max(axis), 0)


_REDUCTIONS: dict[str, Reduce] = {
    "the mean of each window is taken, not its maximum": np.mean,
    "the minimum of each window is taken, not its maximum": np.min,
    "the sum of each window is taken, not its maximum": np.sum,
    "the first pixel of each window is taken, not the largest": _first,
    "the search for the maximum starts from 0, so negative maxima are lost": _above_zero,
    "the largest absolute value is taken": lambda window, axis: np.abs(window).max(axis),
    "the median of each window is taken, not its maximum": np.median,
}


def _forward_mistakes(pooling: Pooling) -> Iterator[Mistake]:
    right = pooling.forward()
    for words, reduce in _REDUCTIONS.items():
        yield words, flat(pooling.forward(reduce))
    for words, other in _other_geometries(pooling):
        yield words, flat(other.forward())
        (rows, columns), (height, width) = pooling.size, other.size
        if rows <= height and columns <= width:  # the output's size is right, the windows are not
            yield words, flat(other.forward()[:, :rows, :columns])
    without_last = right[:, : right.shape[1] - 1, : right.shape[2] - 1]
    yield "the last row and column of windows are missing", flat(without_last)
    empty = right.copy()
    empty[:, -1], empty[:, :, -1] = 0, 0
    yield "the last row and column of windows are missing", flat(empty)
    yield from miswritten(right)
    for words, maps in misread(pooling.maps):
        wrong = Pooling(maps, pooling.k, pooling.stride).forward()
        yield words, flat(wrong)
        for also, data in miswritten(wrong):
            yield f"{words}; and {also}", data
    everywhere = np.broadcast_to(right.max(axis=0), right.shape)
    yield "the maximum runs over the channels too; each is pooled by itself", flat(everywhere)
    yield "the maximum runs over the channels too", flat(right.max(axis=0, keepdims=True))
    everywhere = np.broadcast_to(right.max(axis=3, keepdims=True), right.shape)
    yield "the maximum runs over the images of the batch too", flat(everywhere)
    for axis, what in ((0, "channel"), (3, "image")):
        only = np.zeros_like(right)
        index = (slice(None),) * axis + (0,)
        only[index] = right[index]
        yield f"only the first {what} is pooled", flat(only)


def _expect_maxima(answer: Callable, pooling: Pooling) -> None:
    name, given = pooling_layer_forward.name, str(pooling)
    result = call(name, given, answer, structure(pooling.maps), pooling.layer)
    data = data_of(name, result)
    expect(f"{name}, data", given, data, flat(pooling.forward()), _forward_mistakes(pooling))


def _forward_part(answer: Callable, *, shapes: list, negative: bool = False) -> None:
    for pooling in _poolings(shapes, negative):
        _expect_maxima(answer, pooling)


for _name, _part in {
    "windows of 2 × 2 side by side": partial(_forward_part, shapes=_SIDE_BY_SIDE),
    "windows that overlap": partial(_forward_part, shapes=_OVERLAPPING),
    "other windows and strides": partial(_forward_part, shapes=_OTHERS),
    "several channels and images, sides that differ": partial(_forward_part, shapes=_SEVERAL),
    "negative numbers": partial(_forward_part, shapes=_SIDE_BY_SIDE, negative=True),
}.items():
    pooling_layer_forward.part(_name)(_part)


@pooling_layer_forward.part("the sizes of the output")
def _(answer: Callable) -> None:
    name = pooling_layer_forward.name
    for pooling in _poolings([((3, 4, 6, 2), 2, 2), ((2, 5, 7, 3), 3, 2), ((1, 4, 3, 4), 2, 1)]):
        given, right = str(pooling), pooling.forward()
        result = call(name, given, answer, structure(pooling.maps), pooling.layer)
        data = as_array(f"{name}, data", data_of(name, result))
        if data.shape != flat(right).shape:
            raise CheckError(
                f"{name}: data has the wrong shape\n  given: {given}\n"
                f"  expected: {flat(right).shape}\n  got: {data.shape}",
                recognise(data, _forward_mistakes(pooling)),
            )
        expect_sizes(name, given, result, right)


@pooling_layer_forward.part("the input is left as it was")
def _(answer: Callable) -> None:
    name = pooling_layer_forward.name
    for pooling in _poolings(_SIDE_BY_SIDE):
        arguments = {"input": structure(pooling.maps), "layer": pooling.layer}
        result = call_and_compare(name, str(pooling), answer, arguments)
        other = Pooling(-pooling.maps, pooling.k, pooling.stride)
        call(name, str(pooling), answer, structure(other.maps), pooling.layer)
        overwritten = "the next call overwrites it: each call returns a new array"
        mistakes = chain([(overwritten, flat(other.forward()))], _forward_mistakes(pooling))
        right = flat(pooling.forward())
        expect(f"{name}, data", str(pooling), data_of(name, result), right, mistakes)
        arguments["layer"] = pooling.layer | {"k": 1, "stride": 1}  # where nothing has to be done
        call_and_compare(name, f"{pooling}, but k and stride 1", answer, arguments)


# --- backwards


def _even(window: np.ndarray) -> np.ndarray:
    return np.full(window.shape, 1 / (window.shape[1] * window.shape[2]))


def _top_left(window: np.ndarray) -> np.ndarray:
    share = np.zeros(window.shape)
    share[:, 0, 0] = 1
    return share


def _values(window: np.ndarray) -> np.ndarray:
    return window * all_maxima(window)


def _waiting_again(window: np.ndarray) -> np.ndarray:
    """Return the shares where whoever is served in one place waits again in the next but one."""
    share, maxima = np.zeros(window.shape), all_maxima(window).astype(bool)
    waiting = np.ones_like(maxima[:, 0, 0])
    for row, column in np.ndindex(*window.shape[1:3]):
        share[:, row, column] = waiting & maxima[:, row, column]
        waiting = share[:, row, column] == 0
    return share


_SHARES: dict[str, Share] = {
    "the search for the maximum starts from 0, so windows of negative pixels get no gradient": (
        lambda w: first_maximum(w) * (w > 0)
    ),
    "the search for the maximum starts from 0, so windows of negative pixels give theirs to the "
    "first": lambda w: first_maximum(np.maximum(w, 0)),
    "every pixel that attains the maximum gets the whole gradient of its window; it has to be "
    "given once, to one of them or in shares": all_maxima,
    "a window that has been served waits again (waiting = ~hit for waiting &= ~hit)": (
        _waiting_again
    ),
    "the gradient is spread evenly over the window, as for average pooling": _even,
    "every pixel of the window gets the whole gradient, not the largest one": np.ones_like,
    "the gradient goes to the first pixel of each window, not to the largest": _top_left,
    "the gradient goes to the smallest pixel of each window": lambda w: first_maximum(-w),
    "the gradient is multiplied by the maximum": _values,
    "row and column inside the window are swapped": lambda w: first_maximum(w).swapaxes(1, 2),
    "the sign is wrong": lambda w: -first_maximum(w),
    "the gradient is divided by k², as for average pooling": lambda w: (
        first_maximum(w) / (w.shape[1] * w.shape[2])
    ),
}


def _overwritten(pooling: Pooling, whole: bool) -> np.ndarray:
    """Return the derivative when a later window overwrites earlier ones.

    It overwrites the `whole` window, zeros included, or the place of its maximum alone.
    """
    input_od, diff = np.zeros(pooling.maps.shape), pooling.diff()
    sources = pooling.windows(pooling.maps)
    for (i, j, target), (_, _, window) in zip(pooling.windows(input_od), sources, strict=True):
        chosen = first_maximum(window)
        own = chosen * diff[:, np.newaxis, np.newaxis, i, j]
        target[...] = own if whole else np.where(chosen > 0, own, target)
    return input_od


def _overwritten_by_place(pooling: Pooling, whole: bool) -> np.ndarray:
    """Return the derivative when, place by place inside the windows, all windows are written.

    Each place overwrites the `whole` image, zeros included, or the pixels that win there alone.
    """
    input_od, diff, k = np.zeros(pooling.maps.shape), pooling.diff(), pooling.k
    stride = pooling.stride
    chosen = {(i, j): first_maximum(window) for i, j, window in pooling.windows(pooling.maps)}
    for row, column in np.ndindex(k, k):
        for (i, j), share in chosen.items():
            chosen_here = share[:, row, column]
            target = input_od[:, i * stride + row, j * stride + column]
            own = chosen_here * diff[:, i, j]
            target[...] = own if whole else np.where(chosen_here > 0, own, target)
    return input_od


def _backward_mistakes(pooling: Pooling) -> Iterator[Mistake]:
    diff, right = pooling.diff(), pooling.backward(first_maximum)
    for words, share in _SHARES.items():
        yield words, flat(pooling.backward(share))
    overwritten = (
        "a pixel that wins in several windows keeps the gradient of one of them; they have to be "
        "added (+=)"
    )
    for whole in (True, False):
        yield overwritten, flat(_overwritten(pooling, whole))
        yield overwritten, flat(_overwritten_by_place(pooling, whole))
    yield (
        "nothing but zeros came: g = g + … makes a new array; g += … writes into the view",
        flat(np.zeros_like(right)),
    )
    yield "output['diff'] is not used", flat(pooling.backward(first_maximum, np.ones_like(diff)))
    data = "output['data'] is passed back, not output['diff']"
    yield data, flat(pooling.backward(first_maximum, pooling.forward()))
    yield "the gradient is added twice", flat(2 * right)
    for words, other in _other_geometries(pooling):
        if other.size == pooling.size:
            yield words, flat(other.backward(first_maximum, diff))
        rows, columns = (min(a, b) for a, b in zip(other.size, pooling.size, strict=True))
        part = np.zeros((*diff.shape[:1], *other.size, diff.shape[3]))
        part[:, :rows, :columns] = diff[:, :rows, :columns]
        yield words, flat(other.backward(first_maximum, part))
    yield from miswritten(right)
    for words, maps in misread(pooling.maps):
        wrong = Pooling(maps, pooling.k, pooling.stride).backward(first_maximum, diff)
        yield words, flat(wrong)
        for also, value in miswritten(wrong):
            yield f"{words}; and {also}", value
    for words, wrong in misread(diff):
        yield f"diff: {words}", flat(pooling.backward(first_maximum, wrong))
        for _, maps in misread(pooling.maps):
            both = Pooling(maps, pooling.k, pooling.stride).backward(first_maximum, wrong)
            yield words, flat(both)
            for also, value in miswritten(both):
                yield f"{words}; and {also}", value
    for axis, what in ((0, "channel"), (3, "image")):
        index = (slice(None),) * axis + (0,)
        only, shared = np.zeros_like(right), np.broadcast_to(diff[index], diff[index].shape)
        only[index] = right[index]
        yield f"only the first {what} gets its gradient", flat(only)
        everywhere = np.broadcast_to(np.expand_dims(shared, axis), diff.shape)
        words = f"every {what} gets the gradient of the first"
        yield words, flat(pooling.backward(first_maximum, everywhere))
    empty = diff.copy()
    empty[:, -1], empty[:, :, -1] = 0, 0
    words = "the last row and column of windows are missing"
    yield words, flat(pooling.backward(first_maximum, empty))


def _expect_input_od(answer: Callable, pooling: Pooling) -> None:
    name, given = pooling_layer_backward.name, str(pooling)
    got = call(name, given, answer, *pooling.structures(), pooling.layer)
    right = flat(pooling.backward(first_maximum))
    input_od = array_of(name, got)
    expect(f"{name}, input_od", given, input_od, right, _backward_mistakes(pooling))


def _backward_part(answer: Callable, *, shapes: list, negative: bool = False) -> None:
    for pooling in _poolings(shapes, negative):
        _expect_input_od(answer, pooling)


for _name, _part in {
    "windows of 2 × 2 side by side": partial(_backward_part, shapes=_SIDE_BY_SIDE),
    "windows that overlap": partial(_backward_part, shapes=_OVERLAPPING),
    "other windows and strides": partial(_backward_part, shapes=_OTHERS),
    "several channels and images, sides that differ": partial(_backward_part, shapes=_SEVERAL),
    "negative numbers": partial(_backward_part, shapes=_SIDE_BY_SIDE, negative=True),
}.items():
    pooling_layer_backward.part(_name)(_part)


@pooling_layer_backward.part("maxima that are attained more than once")
def _(answer: Callable) -> None:
    # Whoever shares a window's gradient among its maxima, in any proportion, is right: the maximum
    # has no derivative there. Windows that do not overlap can be judged each by itself.
    name = pooling_layer_backward.name
    for seed, (k, stride) in enumerate(((2, 2), (3, 3), (2, 2), (3, 2))):
        side = k + stride
        maps = np.random.default_rng(seed).integers(0, 3, (1, side, side, 1)).astype(float)
        maps[:, :k, :k] = seed - 1.0  # one window is blank, as on the border of a digit
        pooling = Pooling(maps, k, stride)
        given = f"{pooling}, whole numbers with many ties"
        output, input = pooling.structures()
        result = array_of(name, call(name, given, answer, output, input, pooling.layer))
        got = as_array(f"{name}, input_od", result)
        if got.shape == input["data"].shape and _is_shared_out(got.reshape(maps.shape), pooling):
            _note_ties(got, pooling)
            continue
        right = flat(pooling.backward(first_maximum))
        expect(f"{name}, input_od", given, got, right, _backward_mistakes(pooling))


def _note_ties(got: np.ndarray, pooling: Pooling) -> None:
    """Tell who gets the derivative of a tie, unless it is the first in reading order."""
    conventions = {
        "": first_maximum,
        "gives the derivative to the last pixel": lambda w: first_maximum(w[:, ::-1, ::-1])[
            :, ::-1, ::-1
        ],
        "shares the derivative out": lambda w: (
            all_maxima(w) / all_maxima(w).sum(axis=(1, 2), keepdims=True)
        ),
    }
    known = ((words, flat(pooling.backward(share))) for words, share in conventions.items())
    does = next((words for words, value in known if same(got, value)), "chooses in another way")
    if does:
        note(f"ties: your function {does}; the page's figures let the first pixel take all.")


def _is_shared_out(input_od: np.ndarray, pooling: Pooling) -> bool:
    """Tell whether each window's derivative went to its maxima, all of it and no more.

    Where windows overlap, only whether all of them together did.
    """
    diff, sources = pooling.diff(), pooling.windows(pooling.maps)
    if pooling.stride < pooling.k:
        beside = input_od[pooling.backward(all_maxima, np.ones_like(diff)) == 0]
        return bool((np.abs(beside) < 1e-4).all() and abs(input_od.sum() - diff.sum()) < 1e-4)
    for (i, j, own), (_, _, window) in zip(pooling.windows(input_od), sources, strict=True):
        shares = own / diff[:, np.newaxis, np.newaxis, i, j]
        elsewhere = shares[window < window.max()]
        inside = (shares > -1e-4).all() and (np.abs(elsewhere) < 1e-4).all()
        if not (inside and abs(shares.sum() - 1) < 1e-4):
            return False
    return True


@pooling_layer_backward.part("the arguments are left as they were")
def _(answer: Callable) -> None:
    name = pooling_layer_backward.name
    for pooling in _poolings(_SIDE_BY_SIDE):
        output, input = pooling.structures()
        arguments = {"output": output, "input": input, "layer": pooling.layer}
        got = call_and_compare(name, str(pooling), answer, arguments)
        right, mistakes = flat(pooling.backward(first_maximum)), _backward_mistakes(pooling)
        expect(f"{name}, input_od", str(pooling), array_of(name, got), right, mistakes)
