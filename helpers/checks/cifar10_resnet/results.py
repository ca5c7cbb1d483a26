"""The checks of `one_cycle`, `predict`, `calibration` and `temperature`."""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.augmentation import Normalize
from helpers.checks.cifar10_resnet import reference
from helpers.checks.cifar10_resnet.judging import call, kept, pair
from helpers.checks.diagnosis import Mistake, as_array, consistent, expect, same
from helpers.checks.errors import CheckError
from helpers.checks.exercises import normal
from helpers.checks.parts import Check

one_cycle = Check("one_cycle", "the rate of every step is the reference's")
predict = Check("predict", "logits of all images, in order and in evaluation mode")
calibration = Check("calibration", "confidence, accuracy and count of every bin agree")
temperature = Check("temperature", "the temperature is the one with the least cross-entropy")

# --- the schedule

Schedule = Callable[[int, int, float, float], float]
# Steps, peak and warm-up; in all, the warm-up is a whole number of steps.
_RISING = ((50, 0.4, 0.2), (10, 1.0, 0.5), (200, 0.05, 0.25))
_SPECIAL = ((8, 0.3, 0.0), (1, 0.5, 0.2), (4, 0.1, 0.25))


def _turn(steps: int, warm_up: float) -> int:
    return max(1, round(warm_up * steps))


def _schedules() -> Iterator[tuple[str, Schedule]]:
    right = reference.one_cycle

    def on(up: Callable, down: Callable) -> Schedule:
        """Return a schedule from the parts of a peak; `t` is the turn."""

        def schedule(s: int, n: int, peak: float, w: float) -> float:
            t = _turn(n, w)
            return peak * (up(s, n, t) if s < t else down(s, n, t))

        return schedule

    rise = lambda s, n, t: (s + 1) / t  # noqa: E731
    fall = lambda s, n, t: (n - s) / (n - t + 1)  # noqa: E731
    at_once = "the warm-up is ignored, or taken for a number of steps: the rate falls at once"
    yield at_once, lambda s, n, p, w: p * (n - s) / n
    yield at_once, lambda s, n, p, w: p * (1 - s / max(n - 1, 1))
    yield "the rate stays at its peak: it should fall", on(rise, lambda s, n, t: 1.0)
    yield "the rate is always the peak", lambda s, n, p, w: p
    yield "the rate begins at 0: step 0 should take a part of the peak already", on(
        lambda s, n, t: s / t, fall
    )  # fmt: skip
    yield "the rate begins at 0, and falls from the peak one step later", on(
        lambda s, n, t: s / t, lambda s, n, t: (n - s) / max(n - t, 1)
    )  # fmt: skip
    yield "the rate reaches 0 at the last step, which then does nothing", on(
        rise, lambda s, n, t: (n - 1 - s) / max(n - t, 1)
    )  # fmt: skip
    yield "the rate falls in one step too few: the step behind the peak should be lower", on(
        rise, lambda s, n, t: (n - s) / max(n - t, 1)
    )  # fmt: skip
    yield "the rate begins at 0, and reaches 0 at the last step", on(
        lambda s, n, t: s / t, lambda s, n, t: (n - 1 - s) / max(n - 1 - t, 1)
    )  # fmt: skip
    yield "the rate begins at 0, and reaches 0 at the last step", on(
        lambda s, n, t: s / t, lambda s, n, t: (n - 1 - s) / max(n - t, 1)
    )  # fmt: skip
    yield "the rate jumps behind the peak: it falls as if from step 0", on(
        rise, lambda s, n, t: (n - s) / n
    )  # fmt: skip
    yield "the rate jumps behind the peak: it falls as if from step 0", on(
        rise, lambda s, n, t: 1 - s / n
    )  # fmt: skip
    yield "the rate rises to the end: it should fall behind the peak", on(
        rise, lambda s, n, t: (s + 1) / t
    )  # fmt: skip
    yield "the rate rises during all steps", lambda s, n, p, w: p * (s + 1) / n
    yield "the rate falls as a cosine, and should fall as a line", on(
        rise, lambda s, n, t: 0.5 + 0.5 * math.cos(math.pi * (s - t + 1) / (n - t + 1))
    )  # fmt: skip
    yield "the rate falls as a cosine, and should fall as a line", on(
        rise, lambda s, n, t: 0.5 + 0.5 * math.cos(math.pi * (s - t) / max(n - t, 1))
    )  # fmt: skip
    yield "the rate rises as a cosine, and should rise as a line", on(
        lambda s, n, t: 0.5 - 0.5 * math.cos(math.pi * (s + 1) / t), fall
    )  # fmt: skip
    yield "warm_up is taken for the share in which the rate falls", lambda s, n, p, w: right(
        s, n, p, 1 - w
    )  # fmt: skip
    yield "the peak is left out: the rates are parts of 1", lambda s, n, p, w: right(s, n, 1.0, w)
    yield "the schedule is one step too early", lambda s, n, p, w: right(s + 1, n, p, w)
    yield "the schedule is one step too late", lambda s, n, p, w: right(max(s - 1, 0), n, p, w)
    yield "the peak is one step too late", on(
        lambda s, n, t: (s + 1) / (t + 1), lambda s, n, t: (n - s) / (n - t)
    )  # fmt: skip
    yield "up and down are multiplied", lambda s, n, p, w: (
        p * min(1, (s + 1) / _turn(n, w)) * min(1, (n - s) / (n - _turn(n, w) + 1))
    )  # fmt: skip
    yield "the larger of the two lines is taken; the smaller one is the rate", lambda s, n, p, w: (
        p * max((s + 1) / _turn(n, w), (n - s) / (n - _turn(n, w) + 1))
    )  # fmt: skip
    for share in (0.1, 0.2, 0.3, 0.5):
        yield f"warm_up is always {share:g}", lambda s, n, p, w, share=share: right(s, n, p, share)
    yield "the sign is wrong", lambda s, n, p, w: -right(s, n, p, w)


def _expect_rates(answer: Callable, cases: tuple[tuple, ...], words: str, part: str) -> None:
    """Compare the rates of the "warm-up", of what is "behind" it, or of "all" steps."""
    found = {case: _rates(answer, case) for case in cases}
    rights = {case: _follow(reference.one_cycle, case) for case in cases}
    if all(same(found[case], rights[case], 1e-6) for case in cases):
        return
    for case in (*_RISING, *_SPECIAL):
        if case not in found:
            with suppress(CheckError):
                found[case] = _rates(answer, case)
    # In few steps many schedules agree, so a mistake has to explain all cases.
    hint = consistent(((got, _wrong_rates(case)) for case, got in found.items()), 1e-6)
    for case in cases:
        steps, peak, warm_up = case
        turn = _turn(steps, warm_up)
        some = {"warm-up": slice(turn), "behind": slice(turn, None), "all": slice(None)}[part]
        given = f"steps {steps}, peak {peak:g}, warm_up {warm_up:g}"
        got = found[case][some]
        expect(f"one_cycle, rates {words}", given, got, rights[case][some],
               [(hint, got)] if hint else [], tolerance=1e-6)  # fmt: skip


def _rates(answer: Callable, case: tuple) -> np.ndarray:
    """Return the answer's rates of all steps."""
    n, peak, warm_up = case
    got = [call("one_cycle", answer, lambda s=s: answer(s, n, peak, warm_up)) for s in range(n)]
    every = as_array("one_cycle", got)
    if every.shape != (n,):
        raise CheckError(f"one_cycle should return one number, not {got[0]!r:.60}")
    return every


def _follow(schedule: Schedule, case: tuple) -> np.ndarray:
    n, peak, warm_up = case
    return np.array([schedule(s, n, peak, warm_up) for s in range(n)])


def _wrong_rates(case: tuple) -> Iterator[Mistake]:
    for words, schedule in _schedules():
        with suppress(ZeroDivisionError):
            yield words, _follow(schedule, case)


@one_cycle.part("up to the peak")
def _(answer: Callable) -> None:
    _expect_rates(answer, _RISING, "of the warm-up", "warm-up")


@one_cycle.part("down from it")
def _(answer: Callable) -> None:
    _expect_rates(answer, _RISING, "behind the peak", "behind")


@one_cycle.part("no warm-up, and a single step")
def _(answer: Callable) -> None:
    _expect_rates(answer, _SPECIAL, "of all steps", "all")


# --- predictions


class _Linear(nn.Module):
    """A network with batch normalisation that notes how it is called."""

    def __init__(self):
        super().__init__()
        self.norm, self.linear = nn.BatchNorm2d(3), nn.Linear(12, 10)
        with torch.no_grad():
            for seed, tensor in enumerate((*self.parameters(), self.norm.running_mean)):
                tensor.copy_(normal(*tensor.shape, seed=seed))
            self.norm.running_var.fill_(2.0)
        self.calls: list[tuple[int, bool, bool]] = []  # images, training mode, gradients tracked

    def forward(self, X: Tensor) -> Tensor:
        if not X.is_floating_point():
            raise CheckError(
                f"predict gives the network images of {X.dtype}",
                "normalize(…) makes floats of zero mean and unit variance of the bytes",
            )
        self.calls.append((len(X), self.training, torch.is_grad_enabled()))
        if len(self.calls) > 20_000:
            raise CheckError("predict never ends")
        return self.logits(X)

    def logits(self, X: Tensor) -> Tensor:
        """Return the logits, and note nothing."""
        # Four pixels of each image are enough to tell images apart.
        return self.linear(self.norm(X)[:, :, ::17, ::17].flatten(1))


def _normalize() -> Normalize:
    mean, std = torch.tensor([0.3, 0.5, 0.45]), torch.tensor([0.2, 0.3, 0.25])
    return Normalize(mean.view(3, 1, 1), std.view(3, 1, 1))


def _predicted(answer: Callable, count: int) -> tuple[_Linear, Tensor, object]:
    """Return the network, the images and what the answer makes of them."""
    model, normalize = _Linear().train(), _normalize()
    few = torch.randint(
        0, 256, (min(count, 101), 3, 32, 32), generator=torch.Generator().manual_seed(count)
    ).to(torch.uint8)
    images = few[torch.arange(count) % len(few)]
    copy = images.clone()
    got = call(
        "predict", answer, lambda: answer(model, copy), normalize=normalize,
        causes=((r"Byte|uint8|unsigned char|dtype", "the images are bytes: normalize(images)"),),
    )  # fmt: skip
    kept("predict", "images", copy, images)
    if not model.calls:
        raise CheckError("predict never calls the network", "model(normalize(part))")
    if not isinstance(got, Tensor):
        raise CheckError(f"predict should return a tensor [{count}, 10], not {type(got).__name__}")
    return model, images, got


@torch.no_grad()
def _logits(images: Tensor, training: bool = False, scale: Callable | None = None) -> Tensor:
    model = _Linear().double().train(training)
    return model.logits((scale or _normalize())(images).double())


def _wrong_predictions(images: Tensor, right: Tensor, sizes: list[int]) -> Iterator[Mistake]:
    yield "the images are divided by 255 and not normalised: normalize(part)", _logits(
        images, scale=lambda X: X.double() / 255
    )  # fmt: skip
    yield "the images are not normalised: normalize(part)", _logits(
        images, scale=lambda X: X.double()
    )  # fmt: skip
    yield "the images are divided by 255 before they are normalised, which does that too", _logits(
        images, scale=lambda X: _normalize()(X.double() / 255)
    )  # fmt: skip
    yield "the images are normalised twice", _logits(
        images, scale=lambda X: _normalize()(_normalize()(X))
    )  # fmt: skip
    yield "probabilities are returned, not logits", right.softmax(1)
    yield "logarithms of probabilities are returned, not logits", right.log_softmax(1)
    yield "classes are returned, not logits: argmax comes later", right.argmax(1)
    yield "the largest logits are returned, and all ten are asked for", right.amax(1)
    yield "the largest probabilities are returned, and logits are asked for", (
        right.softmax(1).amax(1)
    )  # fmt: skip
    yield "the logits are turned: images first, [n, 10]", right.T
    yield "the network is in training mode: model.eval() is missing", _logits(images, True)
    seen = sum(sizes)
    if sizes and seen <= len(images):
        parts = images[:seen].split(sizes)
        yield "the network is in training mode: model.eval() is missing", torch.cat(
            [_logits(part, True) for part in parts if len(part) > 1]
        )  # fmt: skip
        yield f"only {seen} of {len(images)} images are used: the last part is left out", (
            right[:seen]
        )  # fmt: skip
        yield "only the last part is returned: torch.cat puts all together", (
            right[:seen].split(sizes)[-1]
        )  # fmt: skip
        yield "only the first part is returned", right[: sizes[0]]
        backwards = right[:seen].split(sizes[::-1])[::-1]
        yield "the parts are in reverse order", torch.cat(backwards)
        if len(set(sizes)) == 1:
            yield "the parts are stacked: torch.cat joins them along the images", torch.stack(
                right[:seen].split(sizes)
            )  # fmt: skip


def _expect_predictions(answer: Callable, count: int) -> None:
    model, images, got = _predicted(answer, count)
    sizes = [size for size, _, _ in model.calls]
    # In the mode in which the network was called: the mode is judged by itself.
    right = _logits(images)
    expect("predict, logits", f"{count:,} images", got, right,
           _wrong_predictions(images, right, sizes), tolerance=1e-4)  # fmt: skip
    if got.device.type != "cpu":
        raise CheckError(f"predict returns a tensor on {got.device}", ".cpu() brings it back")


@predict.part("the logits of a few images")
def _(answer: Callable) -> None:
    for count in (53, 2):
        _expect_predictions(answer, count)


@predict.part("in parts, all of them, in order")
def _(answer: Callable) -> None:
    _expect_predictions(answer, 1_009)  # a prime
    model, images, got = _predicted(answer, 10_007)
    if max(size for size, _, _ in model.calls) == len(images):
        raise CheckError(
            f"predict gives all {len(images):,} images to the network at once",
            "their maps would take gigabytes: images.split(500) gives parts",
        )
    if got.shape != (len(images), 10):
        sizes = [size for size, _, _ in model.calls]
        expect("predict, logits", f"{len(images):,} images", got, _logits(images),
               _wrong_predictions(images, _logits(images), sizes))  # fmt: skip


@predict.part("evaluation mode, without gradients")
def _(answer: Callable) -> None:
    model, _, got = _predicted(answer, 1_009)
    if any(training for _, training, _ in model.calls):
        raise CheckError(
            "predict leaves the network in training mode",
            "model.eval() is missing: the logits would depend on the part",
        )
    if got.requires_grad or any(tracks for _, _, tracks in model.calls):
        raise CheckError("predict tracks gradients", "torch.no_grad() is missing")
    if got.dim() != 2:
        raise CheckError(f"predict returns {list(got.shape)}, not logits [1009, 10]")


# --- calibration

_RESULTS = ("confidence", "accuracy", "count")


def _classified(count: int, classes: int, scale: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return logits in double precision and labels, about half of them the largest logit's."""
    logits = scale * normal(count, classes, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=generator)
    right = torch.rand(count, generator=generator) < 0.5
    return logits, torch.where(right, logits.argmax(1), labels)


def _wrong_calibrations(logits: Tensor, labels: Tensor, bins: int) -> Iterator[tuple[str, tuple]]:
    right = reference.calibration(logits, labels, bins)
    confidence, accuracy, count = right
    p = logits.softmax(1)
    top, answers = p.max(1)
    correct = (answers == labels).double()
    places = (top * bins).ceil().long() - 1
    binned = reference.binned
    yield "confidence and accuracy are returned in the wrong order", (accuracy, confidence, count)
    dropped = torch.where(top >= 1, bins, places)
    yield "confidences of 1.0 fall behind the last bin: it is closed at 1", (
        binned(top, correct, dropped, bins)
    )  # fmt: skip
    zero = lambda values: torch.nan_to_num(values, nan=0.0)  # noqa: E731
    for words, other in {
        "empty bins have 0, and should have NaN: nothing was measured there": right,
        "empty bins have 0 instead of NaN, and confidences of 1.0 fall behind the last bin": (
            binned(top, correct, dropped, bins)
        ),
    }.items():
        yield words, (zero(other[0]), zero(other[1]), other[2])
    own = p.gather(1, labels[:, None])[:, 0]
    yield "the probability of the label is taken, and should be the largest one", (
        binned(own, correct, (own * bins).ceil().long().clamp(min=1) - 1, bins)
    )  # fmt: skip
    low = 1 / logits.shape[1]
    narrow = ((top - low) / (1 - low) * bins).ceil().long().clamp(1, bins) - 1
    yield "the bins divide 1 / classes to 1, and should divide 0 to 1", (
        binned(top, correct, narrow, bins)
    )  # fmt: skip
    ranks = top.argsort().argsort()
    yield "each bin has as many images; the bins should be equally wide", (
        binned(top, correct, ranks * bins // len(top), bins)
    )  # fmt: skip
    yield "the images of each bin are added up: their mean is asked for", (
        zero(confidence * count), zero(accuracy * count), count
    )  # fmt: skip
    yield "correct answers are counted, not their fraction", (None, zero(accuracy * count), None)
    yield "the means are taken over all images, not over those of the bin", (
        zero(confidence * count) / len(top), zero(accuracy * count) / len(top), count
    )  # fmt: skip
    middles = (torch.arange(bins) + 0.5) / bins
    yield "the middle of each bin is returned, not the mean confidence in it", (
        middles, None, None
    )  # fmt: skip
    yield "the edges of the bins are returned, not the mean confidence in them", (
        (torch.arange(bins) + 1) / bins, None, None
    )  # fmt: skip
    yield "the accuracy is in per cent", (None, 100 * accuracy, None)
    yield "the fraction of wrong answers is returned", (None, 1 - accuracy, None)
    yield "the count is a share of all images", (None, None, count / len(top))
    yield "only the correct answers are counted", (None, None, zero(accuracy * count))
    sigmoids = logits.sigmoid().amax(1)
    yield "a sigmoid stands in place of the softmax", (
        binned(sigmoids, correct, (sigmoids * bins).ceil().long() - 1, bins)
    )  # fmt: skip
    across = logits.softmax(0).amax(1)
    yield "the softmax runs over the images, not over the classes", (
        binned(across, correct, (across * bins).ceil().long() - 1, bins)
    )  # fmt: skip
    raw = logits.amax(1)
    yield "the softmax is missing: the largest logit is no probability", (
        binned(raw, correct, (raw * bins).ceil().long() - 1, bins)
    )  # fmt: skip
    yield "the smallest logit is taken for the answer (argmin)", (
        binned(top, (logits.argmin(1) == labels).double(), places, bins)
    )  # fmt: skip
    yield "the bins are in reverse order", tuple(values.flip(0) for values in right)
    yield "each bin is one further: the first is (0, 1 / bins]", (
        binned(top, correct, places + 1, bins)
    )  # fmt: skip
    yield "each image lands in the nearest bin: round is not ceil", (
        binned(top, correct, (top * bins).round().long().clamp(max=bins - 1), bins)
    )  # fmt: skip
    inside = [top[places == b] for b in range(bins)]
    median = torch.stack([v.median() if len(v) else v.new_tensor(torch.nan) for v in inside])
    yield "the median confidence is taken, not the mean", (median, None, None)


def _calibrated(answer: Callable, logits: Tensor, labels: Tensor, bins: int) -> list[np.ndarray]:
    copies = logits.clone(), labels.clone()
    result = call(
        "calibration", answer, lambda: answer(*copies, bins),
        causes=((r"out of bounds|out of range",
                 "a confidence of 1.0 falls behind the last bin, which is closed at 1"),),
    )  # fmt: skip
    for what, now, before in zip(("logits", "labels"), copies, (logits, labels), strict=True):
        kept("calibration", what, now, before)
    values = pair("calibration", result, _RESULTS)
    return [as_array(f"calibration, {k}", v) for k, v in zip(_RESULTS, values, strict=True)]


def _expect_bins(
    answer: Callable, logits: Tensor, labels: Tensor, bins: int, *which: int, empty: bool = False
) -> None:
    """Compare some of the results; with `empty`, in the bins without images too."""
    got = _calibrated(answer, logits, labels, bins)
    right = [as_array("", value) for value in reference.calibration(logits, labels, bins)]
    given = f"{len(logits)} images, {logits.shape[1]} classes, {bins} bins"
    full = right[2] > 0
    for i in which:
        what = f"calibration, {_RESULTS[i]}"
        if got[i].shape != (bins,):
            raise CheckError(
                f"{what}: should have one number for each of {bins} bins, not the shape "
                f"{list(got[i].shape)}",
                "confidences of 1.0 fall into a bin behind the last one, which is closed at 1"
                if got[i].shape == (bins + 1,) and logits.softmax(1).max() == 1
                else "bins + 1 edges have `bins` bins between them"
                if got[i].shape == (bins + 1,)
                else "empty bins belong to it as well"
                if got[i].shape == (int(full.sum()),)
                else "",
            )
        shown = np.ones(bins, bool) if empty else full
        actual, wanted = (np.nan_to_num(v, nan=-1.0)[shown] for v in (got[i], right[i]))
        marked = " (-1 stands for NaN)" if min(actual.min(), wanted.min()) < 0 else ""
        wrong = (
            (words, np.nan_to_num(as_array("", values[i]), nan=-1.0)[shown])
            for words, values in _likeliest_first(got, logits, labels, bins)
            if values[i] is not None
        )
        expect(f"{what}{marked}", given, actual, wanted, wrong, tolerance=1e-6)


def _likeliest_first(
    got: list[np.ndarray], logits: Tensor, labels: Tensor, bins: int
) -> list[tuple[str, tuple]]:
    """Return the mistakes, those first that explain all three results and not only one."""
    right = reference.calibration(logits, labels, bins)

    def differs(item: tuple[str, tuple]) -> bool:
        values = (r if v is None else v for v, r in zip(item[1], right, strict=True))
        pairs = zip(got, (as_array("", v) for v in values), strict=True)
        return not all(
            a.shape == b.shape and np.allclose(a, b, rtol=1e-6, equal_nan=True) for a, b in pairs
        )

    return sorted(_wrong_calibrations(logits, labels, bins), key=differs)


_SETS = ((400, 10, 2.0, 10), (300, 4, 1.0, 7), (350, 5, 3.0, 15))


def _sets() -> Iterator[tuple[Tensor, Tensor, int]]:
    for seed, (count, classes, scale, bins) in enumerate(_SETS):
        yield (*_classified(count, classes, scale, seed), bins)


@calibration.part("the mean confidence in each bin")
def _(answer: Callable) -> None:
    for logits, labels, bins in _sets():
        _expect_bins(answer, logits, labels, bins, 0)


@calibration.part("the accuracy in each bin")
def _(answer: Callable) -> None:
    for logits, labels, bins in _sets():
        _expect_bins(answer, logits, labels, bins, 1)


@calibration.part("the number of images in each bin")
def _(answer: Callable) -> None:
    for logits, labels, bins in _sets():
        _expect_bins(answer, logits, labels, bins, 2, empty=True)


@calibration.part("empty bins have NaN")
def _(answer: Callable) -> None:
    for logits, labels, bins in _sets():
        _expect_bins(answer, logits, labels, bins, 0, 1, empty=True)


@calibration.part("confidences of exactly 1 belong to the last bin")
def _(answer: Callable) -> None:
    logits, labels = _classified(90, 6, 1.5, 9)
    logits[::3] *= 400  # whose softmax is 1 to the last digit
    for dtype in (torch.float64, torch.float32):
        _expect_bins(answer, logits.to(dtype), labels, 8, 0, 1, 2)


# --- temperature

_NEAR = 0.02  # of the temperature: a grid, or few steps of a search, are as right


def _overconfident(factor: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return logits that are `factor` times too large for their labels, single precision."""
    logits = 1.5 * normal(600, 6, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return (factor * logits).float(), labels


def _fit(answer: Callable, logits: Tensor, labels: Tensor) -> float:
    copies = logits.clone(), labels.clone()
    got = call("temperature", answer, lambda: answer(*copies))
    for what, now, before in zip(("logits", "labels"), copies, (logits, labels), strict=True):
        kept("temperature", what, now.detach(), before)
    if copies[0].requires_grad:
        raise CheckError("temperature makes the logits require a gradient", "only T is fitted")
    if isinstance(got, Tensor) and got.requires_grad:
        raise CheckError("temperature returns a tensor with a gradient", ".item() makes a number")
    value = as_array("temperature", got)
    if value.size != 1:
        raise CheckError(f"temperature should return one number, not {got!r:.60}")
    return float(value.reshape(()))


def _wrong_temperatures(logits: Tensor, labels: Tensor) -> Iterator[Mistake]:
    right = reference.temperature(logits, labels)
    yield "the logits are multiplied by T, and should be divided: this is 1 / T", 1 / right
    yield "ln T is returned, not T", math.log(right)
    yield "the sign is wrong", -right
    yield "T² is returned", right**2
    yield "this is the root of T, as when the logits are divided by T²", right**0.5
    probabilities = logits.double().softmax(1)
    yield "a softmax comes before the division by T", reference.temperature(probabilities, labels)
    yield "this is the least cross-entropy, not its temperature", F.cross_entropy(
        logits.double() / right, labels
    ).item()  # fmt: skip
    yield "T is never changed: it stays at 1", 1.0
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    yield "this is confidence divided by accuracy", probabilities.amax(1).mean().item() / accuracy


def _expect_temperatures(answer: Callable, factors: tuple[float, ...]) -> None:
    """Compare the temperatures; a mistake is named where it explains all of them."""
    sets = [_overconfident(factor, seed) for factor in factors for seed in (1, 2)]
    found = [_fit(answer, *one) for one in sets]
    rights = [reference.temperature(*one) for one in sets]
    hint = consistent(
        ((np.asarray(got), _wrong_temperatures(*one))
         for got, one in zip(found, sets, strict=True)),
        _NEAR,
    )  # fmt: skip
    for (logits, labels), got, right in zip(sets, found, rights, strict=True):
        if abs(got - right) <= _NEAR * right:
            continue
        losses = [
            f"{F.cross_entropy(logits.double() / t, labels).item():.5f}" if t > 0 else "none"
            for t in (right, got)
        ]
        raise CheckError(
            f"temperature: not the one with the least cross-entropy\n  given: {len(logits)} "
            f"logits [{logits.shape[1]}] with a spread of {logits.std():.2g}\n  expected: "
            f"{right:.4g}, with a cross-entropy of {losses[0]}\n  got: {got:.4g}, with {losses[1]}",
            hint,
        )


for _name, _factors in {
    "logits that are too large": (2.5, 4.0),
    "logits that are too small": (0.4, 3.0),
    # T = 1 for all would be right for the first of these.
    "logits that are right, or almost": (1.0, 1.25, 3.0),
}.items():
    temperature.part(_name)(partial(_expect_temperatures, factors=_factors))
