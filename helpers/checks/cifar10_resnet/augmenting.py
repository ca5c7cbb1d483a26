"""The check of `crop_and_flip`: many draws from one image, each found among all possible ones."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.checks.answers import Causes
from helpers.checks.cifar10_resnet.judging import call, kept
from helpers.checks.errors import CheckError
from helpers.checks.parts import Check

crop_and_flip = Check("crop_and_flip", "windows and mirror images are those of the reference")

# In 150 draws a place in 9 or a mirror image is missed once in some ten million times.
_DRAWS = 150
_CAUSES: Causes = (
    (
        r"[Rr]equired crop size",
        "the window does not fit: RandomCrop(32, padding=padding) pads the image first",
    ),
    (r"pic should be PIL|Unexpected type", "the images are tensors; v2's transforms take these"),
)


def _image() -> Tensor:
    """Return an image, uint8 `[3, 32, 32]`, whose pixels tell their row and their column."""
    line = torch.arange(32, dtype=torch.uint8)
    third = torch.randint(1, 256, (32, 32), generator=torch.Generator().manual_seed(1))
    rows, columns = (line + 100)[:, None].expand(32, 32), (line + 50)[None].expand(32, 32)
    return torch.stack([rows, columns, third.to(torch.uint8)])


@dataclass(frozen=True)
class Draw:
    """The window of one result: its first row and column in the framed image, and how it lies."""

    row: int
    column: int
    mirrored: bool


def _draws(answer: Callable, padding: int, flip: bool, count: int = _DRAWS) -> list[Draw]:
    """Return what the answer's transform makes of one image, many times."""
    given = f"padding {padding}, flip {flip}"
    transform = call("crop_and_flip", answer, lambda: answer(padding, flip), causes=_CAUSES)
    if not callable(transform):
        raise CheckError(
            f"crop_and_flip should return a transform, not {type(transform).__name__}",
            "v2.Compose([…]) joins several into one",
        )
    if isinstance(transform, type):
        raise CheckError("crop_and_flip returns a class", "make one: v2.RandomCrop(32, …)")
    image, results = _image(), []
    for _ in range(count):
        copy = image.clone()
        got = call(
            f"crop_and_flip, {given}: the transform", answer, lambda: transform(copy),  # noqa: B023
            causes=_CAUSES,
        )  # fmt: skip
        kept("crop_and_flip", "image", copy, image)
        results.append(_require_image(got, image, padding, given))
    draws = [_place(got, image, padding, _FRAMES[""]) for got in results]
    if all(draws):
        return draws
    raise CheckError(
        f"crop_and_flip gives an image that no window of the frame shows\n  given: {given}",
        _explain_frame(results, image, padding)
        or _explain_no_window(results[draws.index(None)], image),
    )


def _require_image(got: object, image: Tensor, padding: int, given: str) -> Tensor:
    """Return a result, or raise `CheckError` if it has another size or number type."""
    if not isinstance(got, Tensor) or got.shape != image.shape:
        came = list(got.shape) if isinstance(got, Tensor) else type(got).__name__
        raise CheckError(
            f"crop_and_flip: an image [3, 32, 32] should stay as large\n  given: {given}\n"
            f"  got: {came}",
            "the padding is added and the window of 32 × 32 is not cut out: RandomCrop(32, …)"
            if isinstance(got, Tensor) and got.shape == (3, *(32 + 2 * padding,) * 2)
            else "",
        )
    if got.dtype != torch.uint8:
        raise CheckError(
            f"crop_and_flip turns bytes into {got.dtype}\n  given: {given}",
            "normalisation is a transform of its own, which comes behind",
        )
    return got.as_subclass(Tensor)


def _explain_frame(results: list[Tensor], image: Tensor, padding: int) -> str:
    """Return which other frame shows all results."""
    for other in (padding, *(p for p in range(13) if p != padding)):
        for mode, frame in _FRAMES.items():
            if all(_place(got, image, other, frame) for got in results):
                return mode or f"the frame has {other} pixels on each side, not {padding}"
    return ""


def _framed(mode: str) -> Callable[[Tensor, int], Tensor]:
    return lambda image, p: F.pad(image.float()[None], (p,) * 4, mode=mode)[0].to(torch.uint8)


_FRAMES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "": lambda image, p: F.pad(image, (p,) * 4),
    "the frame mirrors the image; RandomCrop's own padding is black": _framed("reflect"),
    "the frame repeats the border; RandomCrop's own padding is black": _framed("replicate"),
    "the frame is white; RandomCrop's own padding is black": (
        lambda image, p: F.pad(image, (p,) * 4, value=255)
    ),
    "the frame is grey; RandomCrop's own padding is black": (
        lambda image, p: F.pad(image, (p,) * 4, value=128)
    ),
}


def _place(got: Tensor, image: Tensor, padding: int, frame: Callable) -> Draw | None:
    """Return where a result lies in the framed image, or None."""
    if padding > 15:
        return None
    # The pixel in the middle is one of the image, whichever window this is.
    row, column = int(got[0, 16, 16]) - 100, int(got[1, 16, 16]) - 50
    for mirrored in (False, True):
        middle = 15 if mirrored else 16
        top, left = row - 16 + padding, column - middle + padding
        if not (0 <= top <= 2 * padding and 0 <= left <= 2 * padding):
            continue
        framed = frame(image, padding)
        cut = framed[:, top : top + 32, left : left + 32]
        if torch.equal(cut.flip(-1) if mirrored else cut, got):
            return Draw(top, left, mirrored)
    return None


def _explain_no_window(got: Tensor, image: Tensor) -> str:
    for words, other in {
        "the image is turned upside down: RandomHorizontalFlip mirrors left and right": (
            image.flip(-2)
        ),
        "the image is turned by 180 degrees": image.flip(-2, -1),
        "rows and columns are swapped": image.mT,
        "the channels are in another order": image.flip(0),
        "the colours are inverted": 255 - image,
    }.items():
        top, left = int(got[0, 16, 16]), int(got[1, 16, 16])
        near = other[:, 16, 16]
        if torch.equal(other, got):
            return words
        # The same in a window that is shifted: rows then run the other way round.
        if "upside" in words and int(got[0, 17, 16]) == top - 1 and int(near[0]) and left:
            return words
    return "the pixels are resized, or the colours are changed: neither belongs to this transform"


@crop_and_flip.part("windows of the framed image, at every place")
def _(answer: Callable) -> None:
    for padding in (4, 2):
        draws = _draws(answer, padding, False)
        given = f"padding {padding}, flip False, {len(draws)} draws"
        for which in ("row", "column"):
            seen = Counter(getattr(draw, which) for draw in draws)
            missing = sorted(set(range(2 * padding + 1)) - seen.keys())
            if missing:
                raise CheckError(
                    f"crop_and_flip: windows never begin at some {which}s of the frame\n"
                    f"  given: {given}\n  expected: {which}s 0 to {2 * padding}\n"
                    f"  got: {', '.join(map(str, sorted(seen)))}",
                    _explain_places(set(seen), padding, draws),
                )
            if max(seen.values()) > 0.5 * len(draws) and padding > 1:
                raise CheckError(
                    f"crop_and_flip: most windows begin at {which} {max(seen, key=seen.get)}\n"
                    f"  given: {given}",
                    "each place should be equally likely",
                )


def _explain_places(seen: set[int], padding: int, draws: list[Draw]) -> str:
    if len(set(draws)) == 1 and seen == {padding}:
        return "nothing is cropped: RandomCrop(32, padding=padding) is missing, or has no padding"
    if len(set(draws)) == 1:
        return "the place is drawn once, and should be drawn anew at each call"
    if seen <= {0, padding, 2 * padding}:
        return "the window is moved by nothing or by all of the padding"
    if min(seen) >= padding or max(seen) <= padding:
        return "the image is padded on one side only"
    return "the last place is left out: there are 2 · padding + 1 of them" if (
        seen == set(range(2 * padding))
    ) else ""  # fmt: skip


@crop_and_flip.part("mirror images: half of them with flip, none without")
def _(answer: Callable) -> None:
    for flip in (True, False):
        for padding in (0, 3):
            draws = _draws(answer, padding, flip)
            share = sum(draw.mirrored for draw in draws) / len(draws)
            given = f"padding {padding}, flip {flip}, {len(draws)} draws"
            if abs(share - 0.5 * flip) > (0.25 if flip else 0):
                raise CheckError(
                    f"crop_and_flip mirrors {share:.0%} of the images\n  given: {given}",
                    _explain_share(share, flip),
                )


def _explain_share(share: float, flip: bool) -> str:
    if not flip:
        return "`flip` is not looked at" if share > 0 else ""
    if share == 0:
        return "RandomHorizontalFlip is missing, or `flip` is looked at the wrong way round"
    if share == 1:
        return "every image is mirrored, or it is drawn once for all: RandomHorizontalFlip(0.5)"
    return f"RandomHorizontalFlip(0.5) mirrors half of them, not {share:.0%}"


@crop_and_flip.part("without padding and flip, the image itself")
def _(answer: Callable) -> None:
    if len(set(_draws(answer, 0, False, 5))) > 1:
        raise CheckError("crop_and_flip(0, False) changes the image")
    # What never changes anything must not earn this part.
    if len(set(_draws(answer, 3, True))) == 1:
        raise CheckError(
            "crop_and_flip(3, True) gives the same window at each call",
            "the place has to be drawn anew at each call",
        )
