"""The checks of `prepare` and of `output_size`."""

from collections.abc import Callable
from functools import partial
from itertools import product
from numbers import Integral

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.checks.answers import attempt
from helpers.checks.custom_lenet5 import reference
from helpers.checks.custom_lenet5.judging import Exercise, expect_errors
from helpers.checks.custom_lenet5.reference import BACKGROUND, INK, standing_in
from helpers.checks.diagnosis import expect, recognise
from helpers.checks.errors import CheckError
from helpers.checks.exercises import Function
from helpers.checks.parts import Check

prepare = Check("prepare", "scale, frame and number type are those of the reference")
output_size = Check("output_size", "agrees with the reference for all sizes, strides and paddings")

# --- prepare


def _scaled(images: Tensor, low: float = BACKGROUND, high: float = INK, top: int = 255) -> Tensor:
    return low + (high - low) / top * images.float()


def _framed(images: Tensor, value: float = BACKGROUND, left: int = 2, top: int = 2) -> Tensor:
    return F.pad(images, (left, 4 - left, top, 4 - top), value=value)


_SCALES: dict[str, Function] = {
    "the images are divided by 255 and no more": lambda X: X.float() / 255,
    "the images are not scaled": lambda X: X.float(),
    "the grey values are not divided by 255": partial(_scaled, top=1),
    "the grey values are divided by 256, not by 255": partial(_scaled, top=256),
    "255 becomes 1.075: from -0.1 to 1.175 it is 1.275": partial(_scaled, high=1.075),
    "255 becomes 0.9: from -0.1 to 1.175 it is 1.275": partial(_scaled, high=0.9),
    "0.1 is added, and should be subtracted": partial(_scaled, low=0.1, high=1.375),
    "255 becomes 1.275: the offset of -0.1 is missing": partial(_scaled, low=0.0, high=1.275),
    "the background becomes 0, not -0.1": partial(_scaled, low=0.0),
    "the background becomes +0.1, not -0.1": partial(_scaled, low=0.1),
    "black and white are swapped": partial(_scaled, low=INK, high=BACKGROUND),
    "the images are divided by 255 as whole numbers (//)": lambda X: _scaled(X // 255, top=1),
    "rows and columns of the images are swapped": lambda X: _scaled(X.mT),
}
_FRAMES: dict[str, Function] = {
    "the frame is 0, and should be background, -0.1": partial(_framed, value=0.0),
    "the frame is +0.1, and should be background, -0.1": partial(_framed, value=0.1),
    "the frame is ink, 1.175, and should be background, -0.1": partial(_framed, value=INK),
    "the frame is above and to the left; 2 pixels belong on each side": (
        partial(_framed, left=4, top=4)
    ),
    "the frame is below and to the right; 2 pixels belong on each side": (
        partial(_framed, left=0, top=0)
    ),
    "the frame repeats the border of the image": lambda X: F.pad(X, (2,) * 4, mode="replicate"),
    "the frame mirrors the image": lambda X: F.pad(X, (2,) * 4, mode="reflect"),
    "the frame is missing: 32 × 32 pixels are asked for": lambda X: X,
}


def _inside(prepared: Tensor) -> Tensor:
    """Cut the frame off."""
    return prepared[..., 2:-2, 2:-2] if prepared.shape[-1] == 32 else prepared


def _frame(prepared: Tensor) -> Tensor:
    """Blank all but the frame."""
    inner = F.pad(torch.ones(28, 28, dtype=torch.bool), (2,) * 4)
    return prepared.masked_fill(inner, 0) if prepared.shape[-2:] == inner.shape else prepared


def _bytes(batch: int) -> Tensor:
    """Return random images, uint8 `[batch, 1, 28, 28]`, with black, white and ink at the border.

    With more than three, they are darker, and none has white.
    """
    generator, most = torch.Generator().manual_seed(batch), 255 if batch < 4 else 200
    images = torch.randint(0, most + 1, (batch, 1, 28, 28), generator=generator)
    images[:, :, 5:9, 3:20], images[:, :, 10:12, 4:8] = 0, most
    return images.to(torch.uint8)


def _judge_images(answer: Callable, look: Function, *, kept: bool = False) -> None:
    """Compare what `look` leaves of the prepared images; with `kept`, the number type too."""

    def seen(images: Tensor) -> object:
        prepared = answer(images)
        if not isinstance(prepared, Tensor):
            return prepared
        if kept and prepared.dtype != torch.float32:
            raise CheckError(f"prepare returns {prepared.dtype}", "the layers compute in float32")
        return look(prepared.float())

    mistakes = [(words, lambda X, f=f: look(_framed(f(X)))) for words, f in _SCALES.items()]
    mistakes += [(words, lambda X, f=f: look(f(_scaled(X)))) for words, f in _FRAMES.items()]
    for batch in (3, 1, 5):
        right = lambda images: look(reference.prepare(images))  # noqa: E731
        exercise = Exercise({"images": _bytes(batch)}, right, mistakes)
        exercise.judge("prepare", answer, seen, kept=kept)


@prepare.part("the grey values")
def _(answer: Callable) -> None:
    _judge_images(answer, _inside)


@prepare.part("the frame of background")
def _(answer: Callable) -> None:
    _judge_images(answer, _frame)


@prepare.part("float32; the images stay as they are")
def _(answer: Callable) -> None:
    _judge_images(answer, lambda X: torch.corrcoef(_inside(X).flatten(1)).flatten(), kept=True)


# --- output_size

_SIZES = [
    (size, k, stride, padding)
    for size, k, stride, padding in product(
        (1, 4, 5, 7, 28), (1, 2, 3, 5), (1, 2, 3, 5), (0, 1, 2, 4)
    )
    if size + 2 * padding >= k
]
_FORMULAS: dict[str, Callable[[int, int, int, int], float]] = {
    "the + 1 is missing": lambda n, k, s, p: (n + 2 * p - k) // s,
    "the padding is counted once; it is on both sides": lambda n, k, s, p: (n + p - k) // s + 1,
    "the padding is ignored": lambda n, k, s, p: (n - k) // s + 1,
    "the stride is ignored": lambda n, k, s, p: n + 2 * p - k + 1,
    "a part of a step counts as a whole one: round down": (
        lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1
    ),
    "+ 1 belongs behind the division by the stride": lambda n, k, s, p: (n + 2 * p - k + 1) // s,
    "rounded to the nearest; round down": lambda n, k, s, p: round((n + 2 * p - k) / s) + 1,
    "the kernel is not subtracted": lambda n, k, s, p: (n + 2 * p) // s,
    "the padding is subtracted": lambda n, k, s, p: (n - 2 * p - k) // s + 1,
    "the padding makes up for the kernel, as with padding='same'": lambda n, k, s, p: -(-n // s),
}


def _expect_sizes(answer: Callable, *, stride: bool, padding: bool) -> None:
    """Compare the sizes for all settings in which stride and padding are given, or are not."""
    cases = [case for case in _SIZES if (case[2] > 1) == stride and (case[3] > 0) == padding]
    texts, got = [], []
    for n, k, s, p in cases:
        settings = ({"stride": s} if stride else {}) | ({"padding": p} if padding else {})
        words = (f"{name} {value}" for name, value in settings.items())
        texts.append(", ".join([f"size {n}, kernel_size {k}", *words]))
        action = partial(answer, n, k, **settings)
        what = f"output_size, given {texts[-1]},"
        with standing_in(answer, "output_size"):
            got.append(attempt(what, action, _explain_raise))
        if not isinstance(got[-1], Integral) or isinstance(got[-1], bool):
            raise CheckError(f"{what} returns {got[-1]!r:.40}, which is no int", "use //, not /")
    sizes = np.array(got, dtype=float)
    wrong = [(words, [formula(*case) for case in cases]) for words, formula in _FORMULAS.items()]
    for text, value, case in zip(texts, got, cases, strict=True):
        right = reference.output_size(*case)
        hint = "" if value == right else recognise(sizes, wrong)
        expect("output_size", text, value, right, [(hint, value)] if hint else [])


def _explain_raise() -> str:
    return "this window fits: pixels may be left over, and a window may be as large as the image"


for _name, (_stride, _padding) in {
    "stride 1, no padding": (False, False),
    "the stride": (True, False),
    "the padding": (False, True),
    "stride and padding": (True, True),
}.items():
    output_size.part(_name)(partial(_expect_sizes, stride=_stride, padding=_padding))


@output_size.part("ValueError where the window does not fit")
def _(answer: Callable) -> None:
    for size, k, padding in ((5, 5, 0), (2, 4, 1), (1, 1, 0)):
        with standing_in(answer, "output_size"):
            got = attempt("output_size", partial(answer, size, k, 2, padding), _explain_raise)
        expect("output_size", f"size {size}, kernel_size {k}, padding {padding}", got, 1)
    cases = ((4, 5, 1, 0), (4, 5, 2, 0), (4, 7, 1, 1), (3, 8, 3, 2), (1, 10, 4, 0))
    expect_errors(
        "output_size",
        answer,
        {
            f"size {n}, kernel_size {k}, stride {s}, padding {p}": partial(answer, n, k, s, p)
            for n, k, s, p in cases
        },
    )
