"""Steps of LeNet-5 with layers of our own, with PyTorch's, and with alternatives to ours.

One step is forward, cross-entropy and backward of the modern reading of LeNet-5 (ReLU, average
pooling, 61 706 parameters) on 64 inputs of 32 × 32 in float32. Before the first step, each
version's gradients are held against those of PyTorch's layers.

- torch: `nn.Conv2d` and `nn.AvgPool2d`, images `[batch, channels, height, width]` in memory;
- torch_channels_last: the same with `torch.channels_last`;
- own: `convolve` and `AveragePooling2d` of notebooks/custom_lenet5.ipynb.

The alternatives that were tried for the own layers, each a change to them:

- by_autograd: windows by `Tensor.unfold`, pooling by slices, no backward of our own;
- window_rows: only the kernel's columns are unfolded, and each kernel row is a matrix product;
- batch_first: the same layers on a memory order `[batch, channels, height, width]`;
- framework_unfold: the framework's own im2col, which the assignment forbids;
- einsum: `Tensor.unfold` and `torch.einsum`;
- slices: one `torch.einsum` for each entry of the kernel.

Goal: own layers at most 0.75 of PyTorch's time.
"""

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from versions import cells

from helpers import runtime

CELLS = (
    *("output-size", "given", "seen-by", "windows", "windows-function"),
    *("convolve", "window-sum", "pooling"),
)
BATCH_SIZE = 64

Convolve = Callable[[Tensor, Tensor, Tensor], Tensor]
Pool = Callable[[Tensor], Tensor]


def make(version: str, threads: int) -> tuple[Callable[[], None], int]:
    """Return a function that makes one step, and 1; `AssertionError` for wrong gradients."""
    runtime.set_threads(threads)
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(BATCH_SIZE, 1, 32, 32, generator=generator)
    labels = torch.randint(10, (len(X),), generator=generator)
    model, reference = (LeNet5(*parts(name)) for name in (version, "torch"))
    for each in (model, reference):
        step(each, X, labels)
    for mine, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(
            mine.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=f"{version}: wrong gradients"
        )
    return lambda: step(model, X, labels), 1


def parts(version: str) -> tuple[Convolve, Pool, str]:
    """Return a version's convolution, its pooling, and the order of its input in memory."""

    def pool(X: Tensor) -> Tensor:
        return F.avg_pool2d(X, 2)

    alone = {
        "torch": (F.conv2d, pool, "batch first"),
        "torch_channels_last": (F.conv2d, pool, "channels last"),
        "by_autograd": (convolve_by_autograd, pool_by_autograd, "batch last"),
        "framework_unfold": (convolve_by_framework_unfold, pool_by_autograd, "batch first"),
        "einsum": (convolve_by_einsum, pool_by_autograd, "batch first"),
        "slices": (convolve_by_slices, pool_by_autograd, "batch first"),
    }
    if version in alone:
        return alone[version]
    names = cells.definitions("custom_lenet5", CELLS)
    own, own_pool = names["convolve"], names["AveragePooling2d"](2)

    def batch_first(X: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return own(X, weight, bias).contiguous()

    return {
        "own": (own, own_pool, "batch first"),
        "window_rows": (WindowRows.apply, own_pool, "batch last"),
        "batch_first": (batch_first, own_pool, "batch first"),
    }[version]


class LeNet5(nn.Module):
    """The modern reading of LeNet-5 over any way to convolve and pool; weights follow the seed."""

    def __init__(self, convolve: Convolve, pool: Pool, order: str):
        super().__init__()
        torch.manual_seed(0)
        self.C1, self.C3, self.C5 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5), nn.Conv2d(16, 120, 5)
        self.F6, self.output = nn.Linear(120, 84), nn.Linear(84, 10)
        self.convolve, self.pool, self.order = convolve, pool, order

    def forward(self, X: Tensor) -> Tensor:
        if self.order == "batch last":
            X = X.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
        elif self.order == "channels last":
            X = X.contiguous(memory_format=torch.channels_last)
        X = self.pool(self.convolve(X, self.C1.weight, self.C1.bias).relu())
        X = self.pool(self.convolve(X, self.C3.weight, self.C3.bias).relu())
        X = self.convolve(X, self.C5.weight, self.C5.bias).relu().flatten(1)
        return self.output(self.F6(X).relu())


def unfolded(X: Tensor, k: int) -> Tensor:
    """View the windows of `[batch, channels, height, width]` as `[…, rows, columns, k, k]`."""
    return X.unfold(2, k, 1).unfold(3, k, 1)


def convolve_by_autograd(X: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    windows = unfolded(X, weight.shape[2]).permute(1, 4, 5, 2, 3, 0)
    rows, columns, batch = windows.shape[3:]
    windows = windows.reshape(weight[0].numel(), -1)
    Y = torch.addmm(bias[:, None], weight.flatten(1), windows)
    return Y.view(len(weight), rows, columns, batch).permute(3, 0, 1, 2)


def pool_by_autograd(X: Tensor) -> Tensor:
    return sum(X[:, :, i::2, j::2] for i, j in product(range(2), range(2))) / 4


class WindowRows(torch.autograd.Function):
    """A convolution in which only the columns of the kernel are unfolded."""

    @staticmethod
    def forward(ctx, X, weight, bias):
        X = X.permute(1, 2, 3, 0)
        k = weight.shape[2]
        (channels, height, width, batch), out = X.shape, len(weight)
        rows, columns = height - k + 1, width - k + 1
        strips = X.unfold(2, k, 1).permute(0, 4, 1, 2, 3)
        strips = strips.reshape(channels * k, height, columns * batch)
        Y = bias[:, None].repeat(1, rows * columns * batch)
        for i in range(k):
            Y.addmm_(weight[:, :, i].reshape(out, -1), strips[:, i : i + rows].flatten(1))
        ctx.save_for_backward(strips, weight)
        ctx.sizes = height, width, batch, rows, columns
        return Y.view(out, rows, columns, batch).permute(3, 0, 1, 2)

    @staticmethod
    def backward(ctx, grad):
        strips, weight = ctx.saved_tensors
        height, width, batch, rows, columns = ctx.sizes
        out, channels, k, _ = weight.shape
        grad = grad.permute(1, 2, 3, 0).reshape(out, -1)
        parts = [strips[:, i : i + rows].flatten(1) @ grad.T for i in range(k)]
        grad_weight = torch.stack([part.T.view(out, channels, k) for part in parts], 2)
        grad_X = None
        if ctx.needs_input_grad[0]:
            back = torch.zeros_like(strips)
            for i in range(k):
                part = weight[:, :, i].reshape(out, -1).T @ grad
                back[:, i : i + rows] += part.view(channels * k, rows, -1)
            back = back.view(channels, k, height, columns, batch)
            grad_X = strips.new_zeros(channels, height, width, batch)
            for j in range(k):
                grad_X[:, :, j : j + columns] += back[:, j]
            grad_X = grad_X.permute(3, 0, 1, 2)
        return grad_X, grad_weight, grad.sum(1)


def convolve_by_framework_unfold(X: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    side = X.shape[3] - weight.shape[3] + 1
    Y = weight.flatten(1) @ F.unfold(X, weight.shape[2:]) + bias[:, None]
    return Y.unflatten(2, (-1, side))


def convolve_by_einsum(X: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    windows = unfolded(X, weight.shape[2])
    return torch.einsum("bcuvij,ocij->bouv", windows, weight) + bias[:, None, None]


def convolve_by_slices(X: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    k = weight.shape[2]
    rows, columns = X.shape[2] - k + 1, X.shape[3] - k + 1
    return bias[:, None, None] + sum(
        torch.einsum("bcuv,oc->bouv", X[:, :, i : i + rows, j : j + columns], weight[:, :, i, j])
        for i, j in product(range(k), range(k))
    )


def step(model: LeNet5, X: Tensor, labels: Tensor) -> None:
    """Compute the gradients of a batch."""
    model.zero_grad(set_to_none=True)
    F.cross_entropy(model(X), labels).backward()
