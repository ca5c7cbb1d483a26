"""The checks of LeNet-5 of 1998 pass every right answer, and name the mistake in wrong ones."""

import math
import re
import textwrap
from collections import OrderedDict
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers import checks
from helpers.checks import CheckError, NotWrittenYet, custom_lenet5
from helpers.checks.custom_lenet5 import reference

# What the page gives, which finds the answers under their names.
GIVEN = '''
BACKGROUND, INK = -0.1, 1.175


def batch_last(X):
    return X.permute(1, 2, 3, 0).contiguous()


def batch_first(X):
    return X.permute(3, 0, 1, 2)


def pair(name, value, minimum):
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in values)
    if len(values) != 2 or not whole or min(values) < minimum:
        raise ValueError(f"{name} = {value!r}")
    return values


def count_places(X, kernel_size, stride, padding):
    if X.ndim != 4:
        raise ValueError(f"the input has shape {tuple(X.shape)}")
    return tuple(map(output_size, X.shape[2:], kernel_size, stride, padding))


def pad(X, padding):
    rows, columns = padding
    return F.pad(X, (0, 0, columns, columns, rows, rows))


class Windows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, X, kernel_size, places, stride):
        ctx.settings = X.shape, stride
        return gather_windows(X, kernel_size, places, stride)

    @staticmethod
    def backward(ctx, grad_windows):
        return scatter_windows(grad_windows, *ctx.settings), None, None, None


TABLE_I = """
    X...XXX..XXXX.XX
    XX...XXX..XXXX.X
    XXX...XXX..X.XXX
    .XXX..XXXX..X.XX
    ..XXX..XXXX.XX.X
    ...XXX..XXXX.XXX
"""
CONNECTED = torch.tensor([[mark == "X" for mark in row] for row in TABLE_I.split()]).T
codes = torch.randn(10, 84, generator=torch.Generator().manual_seed(0)).sign()
'''

ANSWERS = {
    "prepare": '''
def prepare(images):
    padded = images.new_zeros(len(images), 1, 32, 32)
    padded[:, :, 2:30, 2:30] = images
    return padded.float() * ((INK - BACKGROUND) / 255) + BACKGROUND
''',
    "output_size": '''
def output_size(size, kernel_size, stride=1, padding=0):
    room = size + 2 * padding - kernel_size
    if room < 0:
        raise ValueError("too large")
    return room // stride + 1
''',
    "convolution_loops": '''
def convolution_loops(X, weight, bias, stride=(1, 1), padding=(0, 0)):
    (sy, sx), (py, px) = stride, padding
    batch, _, height, width = X.shape
    out, _, kh, kw = weight.shape
    rows, columns = output_size(height, kh, sy, py), output_size(width, kw, sx, px)
    X = F.pad(X, (px, px, py, py))
    Y = X.new_zeros(batch, out, rows, columns)
    for b, o, i, j in product(*map(range, Y.shape)):
        window = X[b, :, i * sy : i * sy + kh, j * sx : j * sx + kw]
        Y[b, o, i, j] = (window * weight[o]).sum()
        if bias is not None:
            Y[b, o, i, j] += bias[o]
    return Y
''',
    "convolution_unfold": '''
def convolution_unfold(X, weight, bias, stride=(1, 1), padding=(0, 0)):
    X = F.pad(X, (padding[1], padding[1], padding[0], padding[0]))
    windows = X.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    Y = torch.einsum("bchwij,ocij->bohw", windows, weight)
    return Y if bias is None else Y + bias[:, None, None]
''',
    "gather_windows": '''
def gather_windows(X, kernel_size, places, stride):
    channel, row, column, image = X.stride()
    steps = channel, row, column, stride[0] * row, stride[1] * column, image
    return X.as_strided((len(X), *kernel_size, *places, X.shape[3]), steps).contiguous()
''',
    "scatter_windows": '''
def scatter_windows(windows, shape, stride):
    X = windows.new_zeros(shape)
    _, kh, kw, rows, columns, _ = windows.shape
    for i, j in product(range(kh), range(kw)):
        down = slice(i, i + stride[0] * (rows - 1) + 1, stride[0])
        across = slice(j, j + stride[1] * (columns - 1) + 1, stride[1])
        X[:, down, across] += windows[:, i, j]
    return X
''',
    "convolve": '''
def convolve(X, weight, bias=None, stride=(1, 1), padding=(0, 0)):
    out_channels, in_channels, *kernel_size = weight.shape
    places = count_places(X, kernel_size, stride, padding)
    if X.shape[1] != in_channels:
        raise ValueError(f"the input has {X.shape[1]} channels; it must have {in_channels}")
    X = pad(batch_last(X), padding)
    windows = Windows.apply(X, tuple(kernel_size), places, stride)
    kernels, columns = weight.flatten(1), windows.flatten(0, 2).flatten(1)
    Y = kernels @ columns if bias is None else torch.addmm(bias[:, None], kernels, columns)
    return batch_first(Y.view(out_channels, *places, X.shape[-1]))
''',
    "Convolution2d": '''
class Convolution2d(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()
        self.in_channels, self.out_channels = pair("channels", (in_channels, out_channels), 1)
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride, self.padding = pair("stride", stride, 1), pair("padding", padding, 0)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        bound = 1 / math.sqrt(self.weight[0].numel())
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, X):
        return convolve(X, self.weight, self.bias, self.stride, self.padding)
''',
    "AveragePooling2d": '''
class AveragePooling2d(nn.Module):
    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        stride = kernel_size if stride is None else stride
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride, self.padding = pair("stride", stride, 1), pair("padding", padding, 0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size)):
            raise ValueError("too much padding")

    def forward(self, X):
        places = count_places(X, self.kernel_size, self.stride, self.padding)
        X = pad(batch_last(X), self.padding)
        return batch_first(Windows.apply(X, self.kernel_size, places, self.stride).mean((1, 2)))
''',
    "MaxPooling2d": '''
class MaxPooling2d(nn.Module):
    def __init__(self, kernel_size, stride=None):
        super().__init__()
        stride = kernel_size if stride is None else stride
        self.kernel_size, self.stride = pair("kernel_size", kernel_size, 1), pair("stride", stride, 1)

    def forward(self, X):
        places = count_places(X, self.kernel_size, self.stride, (0, 0))
        windows = Windows.apply(batch_last(X), self.kernel_size, places, self.stride)
        return batch_first(windows.amax((1, 2)))
''',
    "ScaledTanh": '''
class ScaledTanh(nn.Module):
    def forward(self, a):
        return 1.7159 * torch.tanh(2 / 3 * a)
''',
    "TrainableSubsampling2d": '''
class TrainableSubsampling2d(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.coefficient = nn.Parameter(torch.empty(channels).uniform_(-0.6, 0.6))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-0.6, 0.6))

    def forward(self, X):
        total = 4 * AveragePooling2d(2)(X)
        return total * self.coefficient[:, None, None] + self.bias[:, None, None]
''',
    "PartialConvolution2d": '''
class PartialConvolution2d(nn.Module):
    def __init__(self, connected, kernel_size):
        super().__init__()
        self.register_buffer("connected", connected, persistent=False)
        self.weight = nn.Parameter(torch.randn(int(connected.sum()), kernel_size, kernel_size) / 9)
        self.bias = nn.Parameter(torch.zeros(len(connected)))

    def forward(self, X):
        kernels = X.new_zeros(*self.connected.shape, *self.weight.shape[1:])
        kernels[self.connected] = self.weight
        return convolve(X, kernels, self.bias)
''',
    "RadialBasisOutput": '''
class RadialBasisOutput(nn.Module):
    def __init__(self, codes):
        super().__init__()
        self.register_buffer("codes", codes, persistent=False)

    def forward(self, X):
        return -((X[:, None] - self.codes) ** 2).sum(2)
''',
    "discriminative_loss": '''
def discriminative_loss(scores, labels, rubbish=10.0):
    none = scores.new_full((len(scores), 1), -rubbish)
    total = torch.cat([scores, none], 1).logsumexp(1)
    return (total - scores.gather(1, labels[:, None])[:, 0]).mean()
''',
    "lenet5": '''
def lenet5():
    model = nn.Sequential(
        OrderedDict(
            C1=Convolution2d(1, 6, 5),
            squash1=ScaledTanh(),
            S2=TrainableSubsampling2d(6),
            squash2=ScaledTanh(),
            C3=PartialConvolution2d(CONNECTED, 5),
            squash3=ScaledTanh(),
            S4=TrainableSubsampling2d(16),
            squash4=ScaledTanh(),
            C5=Convolution2d(16, 120, 5),
            squash5=ScaledTanh(),
            flatten=nn.Flatten(),
            F6=nn.Linear(120, 84),
            squash6=ScaledTanh(),
            output=RadialBasisOutput(codes),
        )
    )
    fan_in = {"C1": 25, "S2": 4, "C3": 25 * CONNECTED.sum(1), "S4": 4, "C5": 400, "F6": 120}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            layer, kind = name.split(".")
            inputs = torch.as_tensor(fan_in[layer])
            if name == "C3.weight":
                inputs = inputs[CONNECTED.nonzero()[:, 0]][:, None, None]
            parameter.uniform_(-1, 1).mul_(2.4 / inputs)
    return model
''',
    "train": '''
def train(
    model, optimizer, images, labels, *, steps, batch_size, schedule, loss_function, generator
):
    order, losses = torch.empty(0, dtype=torch.int64), []
    model.train()
    for step in range(steps):
        if len(order) < batch_size:
            order = torch.cat([order, torch.randperm(len(labels), generator=generator)])
        batch, order = order[:batch_size], order[batch_size:]
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        optimizer.zero_grad()
        loss = loss_function(model(prepare(images[batch])), labels[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
''',
}  # fmt: skip
Changes = list[tuple[str, str]]


def written(name: str, *changes: tuple[str, str], source: str = "") -> object:
    """Return the right answer called `name`, or that of `source`, with each `old` made `new`."""
    source = source or ANSWERS[name]
    for old, new in changes:
        assert old in source, f"{old!r} does not occur"
        source = source.replace(old, new)
    names = {"torch": torch, "nn": nn, "F": F, "math": math, "product": product, "np": np}
    names["OrderedDict"] = OrderedDict
    for text in (GIVEN, textwrap.dedent(source)):
        exec(compile(text, "answer", "exec"), names)
    return names[name]


def passes(name: str, answer: object, capsys) -> None:
    check = getattr(custom_lenet5, name)
    check(answer)
    assert capsys.readouterr().out.startswith(f"✓ {name}: ")


@pytest.mark.parametrize("name", ANSWERS)
def test_right_answers_pass(name, capsys):
    passes(name, written(name), capsys)
