"""The chapter's functions and layers, written by definition and independent of the notebook's own.

`standing_in` puts them into the notebook, so that a check judges one answer and not those that it
calls. None of them uses PyTorch's own convolution or pooling, which an answer must not use either.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.checks.errors import CheckError
from helpers.checks.scope import replaced

Pair = tuple[int, int]  # vertical, horizontal
BACKGROUND, INK = -0.1, 1.175


def prepare(images: Tensor) -> Tensor:
    """Return uint8 `[batch, 1, 28, 28]` as float32 `[batch, 1, 32, 32]`."""
    return F.pad(BACKGROUND + (INK - BACKGROUND) / 255 * images.float(), (2,) * 4, value=BACKGROUND)


def output_size(size: int, kernel_size: int, stride: int = 1, padding: int = 0) -> int:
    """Return how many places a window has along a side; ValueError if it does not fit."""
    if size + 2 * padding < kernel_size:
        raise ValueError(f"a window of {kernel_size} does not fit into {size} + 2 · {padding}")
    return (size + 2 * padding - kernel_size) // stride + 1


# --- convolution


def windows(X: Tensor, kernel_size: Pair, stride: Pair, padding: Pair = (0, 0)) -> Tensor:
    """Return the windows of `[batch, channels, height, width]`: `[batch, channels, *places, *k]`.

    Raises ValueError for an input without four axes, or where a window does not fit.
    """
    if X.ndim != 4:
        raise ValueError(f"four axes are needed, not {X.ndim}")
    for size, k, p in zip(X.shape[2:], kernel_size, padding, strict=True):
        output_size(size, k, padding=p)
    rows, columns = padding
    return _unfolded(F.pad(X, (columns, columns, rows, rows)), kernel_size, stride)


def _unfolded(X: Tensor, kernel_size: Pair, stride: Pair) -> Tensor:
    return X.unfold(2, kernel_size[0], stride[0]).unfold(3, kernel_size[1], stride[1])


def convolve(
    X: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
) -> Tensor:
    """Return the cross-correlation `[batch, out, *places]`; ValueError for what does not fit."""
    seen = windows(X, weight.shape[2:], stride, padding)
    if X.shape[1] != weight.shape[1]:
        raise ValueError(f"{X.shape[1]} channels came, and the kernels have {weight.shape[1]}")
    Y = torch.einsum("bcyxij,ocij->boyx", seen, weight)
    return Y if bias is None else Y + bias[:, None, None]


def gather_windows(X: Tensor, kernel_size: Pair, places: Pair, stride: Pair) -> Tensor:
    """Return the windows of batch-last images, `[channels, *kernel_size, *places, batch]`."""
    # Whether a window fits is looked at before; an answer must not leave that to this one.
    seen = _unfolded(X.permute(3, 0, 1, 2), kernel_size, stride)
    return seen[:, :, : places[0], : places[1]].permute(1, 4, 5, 2, 3, 0).contiguous()


def scatter_windows(windows: Tensor, shape: tuple[int, ...], stride: Pair) -> Tensor:
    """Return zeros of `shape` to which every entry of the windows is added at its pixel."""
    X = windows.new_zeros(shape)
    _, height, width, *places, _ = windows.shape
    for i, j in product(range(height), range(width)):
        rows, columns = (
            slice(first, first + step * count, step)
            for first, step, count in zip((i, j), stride, places, strict=True)
        )
        X[:, rows, columns][:, : places[0], : places[1]] += windows[:, i, j]
    return X


class Convolution2d(nn.Module):
    """`convolve` as a layer; `kernel_size`, `stride` and `padding` are numbers or pairs."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = map(pair, (kernel_size, stride, padding))
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, *self.kernel_size) / 9)
        self.bias = nn.Parameter(torch.randn(out_channels) / 9) if bias else None

    def forward(self, X: Tensor) -> Tensor:
        return convolve(X, self.weight, self.bias, self.stride, self.padding)


class PartialConvolution2d(nn.Module):
    """A convolution with kernels where `connected` `[out, in]` is true, in `nonzero()`'s order."""

    def __init__(self, connected: Tensor, kernel_size: int):
        super().__init__()
        self.out_channels, self.in_channels = connected.shape
        self.kernel_size = pair(kernel_size)
        self.register_buffer("connected", connected, persistent=False)
        self.weight = nn.Parameter(torch.randn(int(connected.sum()), *self.kernel_size) / 9)
        self.bias = nn.Parameter(torch.randn(self.out_channels) / 9)

    def forward(self, X: Tensor) -> Tensor:
        return convolve(X, spread(self.weight, self.connected), self.bias)


def spread(weight: Tensor, connected: Tensor) -> Tensor:
    """Return kernels `[out, in, k, k]`, zero where nothing is connected."""
    kernels = weight.new_zeros(*connected.shape, *weight.shape[1:])
    return kernels.index_put(connected.nonzero(as_tuple=True), weight)


def pair(value: int | Pair) -> Pair:
    """Return a number twice, or a pair as it is."""
    return value if isinstance(value, tuple) else (value, value)


# --- pooling and subsampling


class AveragePooling2d(nn.Module):
    """The mean of each window; zeros of the padding count."""

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        stride = kernel_size if stride is None else stride
        self.kernel_size, self.stride, self.padding = map(pair, (kernel_size, stride, padding))

    def forward(self, X: Tensor) -> Tensor:
        return windows(X, self.kernel_size, self.stride, self.padding).mean((4, 5))


class MaxPooling2d(nn.Module):
    """The maximum of each window."""

    def __init__(self, kernel_size, stride=None):
        super().__init__()
        stride = kernel_size if stride is None else stride
        self.kernel_size, self.stride = map(pair, (kernel_size, stride))

    def forward(self, X: Tensor) -> Tensor:
        return windows(X, self.kernel_size, self.stride).amax((4, 5))


def subsample(X: Tensor, coefficient: Tensor, bias: Tensor) -> Tensor:
    """Return coefficient · (sum of each 2 × 2 window) + bias, both one for each channel."""
    total = windows(X, (2, 2), (2, 2)).sum((4, 5))
    return total * coefficient[:, None, None] + bias[:, None, None]


class TrainableSubsampling2d(nn.Module):
    """`subsample` as a layer."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.coefficient = nn.Parameter(torch.empty(channels).uniform_(-0.6, 0.6))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-0.6, 0.6))

    def forward(self, X: Tensor) -> Tensor:
        return subsample(X, self.coefficient, self.bias)


# --- squashing, output and loss


class ScaledTanh(nn.Module):
    """1.7159 tanh(2a/3)."""

    def forward(self, a: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * a)


class RadialBasisOutput(nn.Module):
    """Minus the squared distance to each code."""

    def __init__(self, codes: Tensor):
        super().__init__()
        self.register_buffer("codes", codes, persistent=False)

    def forward(self, X: Tensor) -> Tensor:
        return score(X, self.codes)


def score(X: Tensor, codes: Tensor) -> Tensor:
    """Return minus the squared distance of each row of `X` to each code, `[batch, classes]`."""
    return -(X[:, None] - codes).square().sum(2)


def discriminative_loss(scores: Tensor, labels: Tensor, rubbish: float = 10.0) -> Tensor:
    """Return the mean over the batch of y_D + ln(e^-j + Σ e^-y), where y = -scores."""
    both = torch.cat([scores, scores.new_full((len(scores), 1), -rubbish)], 1)
    return F.cross_entropy(both, labels)


REFERENCE: dict[str, object] = {
    definition.__name__: definition
    for definition in (
        *(prepare, output_size, gather_windows, scatter_windows, convolve, Convolution2d),
        *(AveragePooling2d, MaxPooling2d, ScaledTanh, TrainableSubsampling2d),
        *(PartialConvolution2d, RadialBasisOutput, discriminative_loss),
    )
}
_FORMS = ("convolution_loops", "convolution_unfold", "convolve")
REFERENCE |= dict.fromkeys(_FORMS, convolve)


def standing_in(answer: Callable, name: str, **instead: object) -> AbstractContextManager[None]:
    """Let `answer`, called `name`, find the reference under all other names of the chapter.

    `instead` has what stands for a name instead of the reference.
    """
    others = {other: value for other, value in (REFERENCE | instead).items() if other != name}
    if name in _FORMS:
        others |= {form: partial(_refuse, name, form) for form in _FORMS if form != name}
    return replaced(answer, others)


def _refuse(name: str, form: str, *given: object, **named: object) -> None:
    raise CheckError(
        f"{name} calls {form}", "each form of the convolution is to be written out by itself"
    )
