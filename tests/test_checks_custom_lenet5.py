"""The checks of LeNet-5 of 1998 pass every right answer, and name the mistake in wrong ones."""

import math
import re
from collections import OrderedDict
from functools import partial
from itertools import product

import numpy as np
import planting
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.checks import custom_lenet5
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
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride = pair("stride", stride, 1)

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


def written(name: str, *changes: tuple[str, str], source: str = "") -> object:
    """Return the right answer called `name`, or that of `source`, with each `old` made `new`."""
    source = source or ANSWERS[name]
    names = {"torch": torch, "nn": nn, "F": F, "math": math, "product": product, "np": np}
    names["OrderedDict"] = OrderedDict
    names["squash"] = reference.ScaledTanh()
    for text in (GIVEN, planting.edited(source, changes)):
        exec(compile(text, "answer", "exec"), names)
    return names[name]


judged = partial(planting.judged, custom_lenet5)


@pytest.mark.parametrize("name", ANSWERS)
def test_right_answers_pass(name, capsys):
    getattr(custom_lenet5, name)(written(name))
    assert capsys.readouterr().out.startswith(f"✓ {name}: ")


# Other ways to write the same: a name, and what is written instead of what.
OTHERS = [
    (
        "PartialConvolution2d",
        "        self.weight = nn.Parameter",
        "        self.register_parameter('bias', None)  # it is then the first of them\n"
        "        self.weight = nn.Parameter",
    ),
    (
        "TrainableSubsampling2d",
        "self.coefficient = nn.Parameter",
        "self.register_parameter('bias', None)\n        self.coefficient = nn.Parameter",
    ),
    (
        "RadialBasisOutput",
        'self.register_buffer("codes", codes, persistent=False)',
        "self.codes = nn.Parameter(codes, requires_grad=False)",
    ),
    ("output_size", "    return ", "    return np.int64(1) * "),
    (
        "prepare",
        "return padded",
        (
            "images = images.float() / 255 * 1.275 - 0.1\n"
            "    return F.pad(images, (2,) * 4, value=-0.1)\n    return padded"
        ),
    ),
    ("output_size", "room // stride + 1", "len(range(0, room + 1, stride))"),
    ("convolution_loops", "(window * weight[o]).sum()", "torch.tensordot(window, weight[o], 3)"),
    (
        "convolution_unfold",
        'Y = torch.einsum("bchwij,ocij->bohw", windows, weight)',
        "Y = torch.tensordot(windows, weight, ([1, 4, 5], [1, 2, 3])).permute(0, 3, 1, 2)",
    ),
    (
        "lenet5",
        "parameter.uniform_(-1, 1)",
        "if layer[0] != 'S': parameter.uniform_(-1, 1)",
    ),
    (
        "gather_windows",
        "return X.as",
        (
            "X = X.unfold(1, kernel_size[0], stride[0]).unfold(2, kernel_size[1], "
            "stride[1])\n"
            "    return X.permute(0, 4, 5, 1, 2, 3)[:, :, :, : places[0], : "
            "places[1]].contiguous()\n    return X.as"
        ),
    ),
    (
        "scatter_windows",
        "    for",
        (
            "    for r, c in product(range(rows), range(columns)):\n"
            "        X[:, r * stride[0] : r * stride[0] + kh, c * stride[1] : c * "
            "stride[1] + kw] += windows[:, :, :, r, c]\n    return X\n    for"
        ),
    ),
    (
        "convolve",
        "Windows.apply(X, tuple(kernel_size), places, stride)",
        "gather_windows(X, kernel_size, places, stride)",
    ),
    (
        "convolve",
        ("kernels @ columns if bias is None else torch.addmm(bias[:, None], kernels, columns)"),
        "kernels @ columns\n    if bias is not None:\n        Y += bias[:, None]",
    ),
    (
        "Convolution2d",
        "return convolve(X, self.weight, self.bias, self.stride, self.padding)",
        (
            "return convolution_unfold(X, self.weight, self.bias, self.stride, "
            "self.padding) if X.ndim == 4 else convolve(X, self.weight)"
        ),
    ),
    ("AveragePooling2d", ".mean((1, 2))", ".sum(1).sum(1) / math.prod(self.kernel_size)"),
    ("MaxPooling2d", ".amax((1, 2))", ".flatten(1, 2).max(1).values"),
    ("ScaledTanh", "torch.tanh(2 / 3 * a)", "(2 * torch.sigmoid(4 * a / 3) - 1)"),
    (
        "TrainableSubsampling2d",
        "4 * AveragePooling2d(2)(X)",
        "X[:, :, ::2, ::2] + X[:, :, 1::2, ::2] + X[:, :, ::2, 1::2] + X[:, :, 1::2, 1::2]",
    ),
    (
        "PartialConvolution2d",
        "kernels[self.connected] = self.weight",
        "kernels = kernels.masked_scatter(self.connected[:, :, None, None], self.weight)",
    ),
    (
        "RadialBasisOutput",
        "-((X[:, None] - self.codes) ** 2).sum(2)",
        ("2 * X @ self.codes.T - X.square().sum(1, keepdim=True) - self.codes.square().sum(1)"),
    ),
    (
        "RadialBasisOutput",
        "-((X[:, None] - self.codes) ** 2).sum(2)",
        "-torch.stack([((X - code) ** 2).sum(1) for code in self.codes], 1)",
    ),
    (
        "discriminative_loss",
        "(total - scores.gather(1, labels[:, None])[:, 0]).mean()",
        "F.cross_entropy(torch.cat([scores, none], 1), labels)",
    ),
    (
        "discriminative_loss",
        ".logsumexp(1)",
        ("; m = total.amax(1, keepdim=True); total = m[:, 0] + (total - m).exp().sum(1).log()"),
    ),
    (
        "lenet5",
        "            parameter.uniform_(-1, 1).mul_(2.4 / inputs)",
        "            parameter.copy_((2 * torch.rand(parameter.shape) - 1) * 2.4 / inputs)",
    ),
    ("lenet5", "=ScaledTanh(),", "=squash,"),
    ("train", "losses.append(loss.item())", "losses.append(loss.detach())"),
    ("train", "optimizer.zero_grad()", "model.zero_grad()"),
    (
        "train",
        "    model.train()\n",
        (
            "    model.train()\n"
            "    order = torch.cat([torch.randperm(len(labels), "
            "generator=generator) for _ in range(9)])\n"
        ),
    ),
    (
        "train",
        "loss.backward()\n        optimizer.step()",
        "optimizer.step(lambda: loss.backward() or loss)",
    ),
]


@pytest.mark.parametrize("name, old, new", OTHERS)
def test_other_right_answers_pass(name, old, new, capsys):
    failed, out = judged(name, written(name, (old, new)), capsys)
    assert failed == 0, out


# What is written instead of what, how many parts fail, and what the hint says, if there is one.
WRONG = {
    "prepare": [
        (("/ 255)", "/ images.max().float())"), 1, ""),
        (("/ 255)", "/ 256)"), 1, "divided by 256"),
        ((" + BACKGROUND\n", "\n"), 2, "offset of -0.1 is missing"),
        (("INK - BACKGROUND", "INK"), 1, "255 becomes 1.075"),
        (("INK - BACKGROUND", "1"), 1, "255 becomes 0.9"),
        (("2:30, 2:30", "4:32, 4:32"), 3, "above and to the left"),
        (("2:30, 2:30", "0:28, 0:28"), 3, "below and to the right"),
        (("= images\n", "= images.mT\n"), 1, "rows and columns"),
        (("padded.float() *", "images.float() *"), 1, "frame is missing"),
        (
            (
                "padded.float() * ((INK - BACKGROUND) / 255) + BACKGROUND",
                "F.pad(images.float() * (1.275 / 255) - 0.1, (2,) * 4)",
            ),
            1,
            "the frame is 0",
        ),
        (("padded.float()", "(padded // 255)"), 2, "whole numbers"),
        (("padded.float()", "padded.double()"), 1, "float32"),
        (("    return", "    images[0] = 0; return"), 1, ""),
    ],
    "output_size": [
        (("// stride + 1", "// stride"), 5, "the \\+ 1 is missing"),
        (("2 * padding", "padding"), 3, "as large as the image"),
        (("// stride + 1", "+ 1"), 2, "stride is ignored"),
        (("room // stride + 1", "-(-room // stride) + 1"), 2, "round down"),
        (("// stride + 1", "/ stride + 1"), 4, "//, not /"),
        (("room < 0", "room <= 0"), 5, "as large as the image"),
        (("room < 0", "False"), 1, "raise ValueError"),
        (('raise ValueError("too large")', "return 0"), 1, "raise ValueError"),
        (("raise ValueError", "raise IndexError"), 1, "raise ValueError"),
        (("room < 0", "room % stride"), 3, "pixels may be left over"),
        (("room < 0", "True"), 5, "fits"),
    ],
    "convolution_loops": [
        (("* weight[o])", "* weight[o].flip(1, 2))"), 2, "flipped in both"),
        (("(py, px)", "(px, py)"), 3, "padding are swapped"),
        (("+= bias[o]", "+= bias[j % len(bias)]"), 3, "along the width"),
        (
            ("(window * weight[o]).sum()", "(window * weight[o]).sum().item()"),
            1,
            "gradient is cut off",
        ),
        (("Y = X.new_zeros(", "Y = torch.zeros("), 7, "float32"),
        (("return Y", "return F.conv2d(X, weight, bias, stride)"), 7, "write this yourself"),
        (
            (
                "            Y[b, o, i, j] += bias[o]\n    return Y",
                "            Y[b, o, i, j] += bias[o]\n        return Y",
            ),
            7,
            "",
        ),
    ],
    "convolution_unfold": [
        (
            (
                "    windows",
                "    return F.fold(weight.flatten(1) @ F.unfold(X, weight.shape[2:], "
                "stride=stride) + (0 if bias is None else bias[:, None]), [(n - k) // "
                "s + 1 for n, k, s in zip(X.shape[2:], weight.shape[2:], stride)], 1)\n"
                "    windows",
            ),
            7,
            "write this yourself",
        ),
        (
            ("    X = F.pad", "    return convolution_loops(X, weight, bias)\n    X = F.pad"),
            7,
            "itself",
        ),
        (("windows, weight)", "windows, weight.flip(2, 3))"), 2, "flipped in both"),
        (("windows, weight)", "windows, weight.flip(2))"), 2, "upside down"),
        (("windows, weight)", "windows, weight.flip(3))"), 2, "left to right"),
        (("windows, weight)", "windows, weight / weight.shape[1])"), 6, "channels are averaged"),
        (("windows, weight)", "windows, weight / weight[0].numel())"), 7, "window are averaged"),
        (("windows, weight)", "windows, weight.detach())"), 1, "cut off"),
        (("windows, weight)", "windows.detach(), weight)"), 1, "cut off"),
        (("windows, weight)", "windows, weight[:1].expand_as(weight))"), 6, ""),
        (("windows, weight)", "windows[:, :1], weight[:, :1])"), 6, "only the first channel"),
        (("->bohw", "->bowh"), 7, "axes 2 and 3"),
        (("->bohw", "->obhw"), 6, "batch belongs first"),
        (("bchwij,ocij", "bchwij,ocji"), 7, "differ in shape"),
        (
            [("stride[0]", "stride[2]"), ("stride[1]", "stride[0]"), ("stride[2]", "stride[1]")],
            4,
            "stride are swapped",
        ),
        (("stride[1]", "stride[0]"), 4, "vertical stride is used"),
        ([("stride[0]", "1"), ("stride[1]", "1")], 4, "stride is ignored"),
        (
            (
                "padding[1], padding[1], padding[0], padding[0]",
                "padding[0], padding[0], padding[1], padding[1]",
            ),
            3,
            "padding are swapped",
        ),
        (("padding[1], padding[1], padding[0], padding[0]", "0, 0, 0, 0"), 3, "padding is ignored"),
        (
            (
                "padding[1], padding[1], padding[0], padding[0]",
                "2 * padding[1], 0, 2 * padding[0], 0",
            ),
            3,
            "before the image",
        ),
        (
            (
                "padding[1], padding[1], padding[0], padding[0]",
                "0, 2 * padding[1], 0, 2 * padding[0]",
            ),
            3,
            "behind the image",
        ),
        (
            ("padding[1], padding[1], padding[0], padding[0]", "padding[1], 0, padding[0], 0"),
            3,
            "before the image only",
        ),
        (
            (
                "padding[1], padding[1], padding[0], padding[0])",
                "padding[1], padding[1], padding[0], padding[0]), value=1.0",
            ),
            3,
            "ones",
        ),
        (
            (
                "padding[1], padding[1], padding[0], padding[0]",
                "padding[0],) * 2 + (padding[0],) * (2",
            ),
            3,
            "vertical padding is used",
        ),
        (("bias[:, None, None]", "bias"), 6, "along the width"),
        (("bias[:, None, None]", "bias[:, None]"), 5, "differ in shape"),
        (("bias[:, None, None]", "bias[:, None, None, None]"), 5, "along the batch"),
        (("bias[:, None, None]", "bias[0]"), 3, "first one's bias"),
        (("+ bias[:, None, None]", "- bias[:, None, None]"), 3, "subtracted"),
        (("+ bias[:, None, None]", ""), 3, "bias is missing"),
        (("Y if bias is None else Y", "Y"), 1, "something is None"),
        (("bias[:, None, None]", "weight.shape[1] * bias[:, None, None]"), 3, "added twice"),
        (("    return Y", "    X.zero_(); weight.zero_()\n    return Y"), 2, "in place"),
        (("    return Y", "    Y = torch.relu(Y)\n    return Y"), 7, "ReLU"),
    ],
    "gather_windows": [
        (("stride[0] * row, stride[1] * column", "stride[0], stride[1]"), 4, "so many rows"),
        ((".contiguous()", ""), 1, "contiguous"),
        ((".contiguous()", ".transpose(1, 2).contiguous()"), 4, "rows and columns of the windows"),
        ((".contiguous()", ".transpose(3, 4).contiguous()"), 4, "rows and columns of the places"),
        ((".contiguous()", ".permute(0, 3, 4, 1, 2, 5).contiguous()"), 4, "places stand before"),
        ((".contiguous()", ".permute(1, 2, 0, 3, 4, 5).contiguous()"), 4, "before the channels"),
        (
            (".contiguous()", ".permute(5, 0, 1, 2, 3, 4).contiguous()"),
            4,
            "batch is the first axis",
        ),
        ((".contiguous()", ".flip(1, 2).contiguous()"), 4, "flipped"),
        ((".contiguous()", ".flatten(0, 2).flatten(1)"), 4, "only the shape"),
        (
            ("stride[0] * row, stride[1] * column", "stride[1] * row, stride[0] * column"),
            3,
            "lead out of the image",
        ),
        (("stride[0] * row, stride[1] * column", "row, column"), 3, "stride is ignored"),
        (("return X", "return F.unfold(X, kernel_size)[0]; X"), 4, "write this yourself"),
        ((".contiguous()", ".double()"), 1, "number type"),
        (("    channel,", "    X[0] = 0; channel,"), 4, ""),
    ],
    "scatter_windows": [
        (("X[:, down, across] +=", "X[:, down, across] += (i, j) != (4, 4) and"), 2, ""),
        (("] += windows", "] = windows"), 3, "place of another"),
        (("windows[:, i, j]", "windows[:, kh - 1 - i, kw - 1 - j]"), 4, "windows are flipped"),
        ([("stride[0]", "1"), ("stride[1]", "1")], 3, "stride is ignored"),
        (("return X", "return X / (kh * kw)"), 4, "times what it should be"),
        (
            (
                "    for",
                (
                    "    for r, c in product(range(rows), range(columns)):\n"
                    "        X[:, r * stride[0] : r * stride[0] + kh, c * stride[1] : c * "
                    "stride[1] + kw] = windows[:, :, :, r, c]\n    return X\n    for"
                ),
            ),
            3,
            "place of another",
        ),
        (
            (
                "return X",
                (
                    "n = X * 0\n    for i, j in product(range(kh), range(kw)):\n"
                    "        n[:, i : i + stride[0] * (rows - 1) + 1 : stride[0], j : j + "
                    "stride[1] * (columns - 1) + 1 : stride[1]] += 1\n    return X / n.clamp(min=1)"
                ),
            ),
            3,
            "the mean of what falls",
        ),
        (("windows.new_zeros(shape)", "torch.zeros(shape)"), 4, "float32"),
        (("    return X", "    windows.zero_()\n    return X"), 1, "in place"),
        (("range(kh), range(kw)", "range(1), range(1)"), 4, "only the first entry"),
    ],
    "convolve": [
        (
            (
                "weight.flatten(1),",
                "weight.flatten(1) if weight[0].numel() < 65 else weight.flatten(1).detach(),",
            ),
            1,
            "cut off",
        ),
        (
            (
                "weight.flatten(1),",
                "weight.flatten(1) if weight[0].numel() < 65 else weight.flatten(1).flip(1),",
            ),
            1,
            "",
        ),
        (("weight.flatten(1)", "weight.flip(2, 3).flatten(1)"), 2, "flipped in both"),
        (
            ("places, stride)\n    kernels", "places, stride[::-1])\n    kernels"),
            4,
            "differ in shape",
        ),
        (("kernels @ columns if bias is None else ", ""), 1, "something is None"),
        (("bias[:, None]", "bias[:1, None]"), 3, "first one's bias"),
        (("batch_last(X)", "batch_last(X.data)"), 1, "cut off"),
        (("X.shape[1] != in_channels", "False"), 1, "differ in shape"),
        (
            (
                "places = count_places(X, kernel_size, stride, padding)",
                (
                    "places = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(X.shape[2:], "
                    "kernel_size, stride, padding)]"
                ),
            ),
            1,
            "raise ValueError",
        ),
        (("X.shape[1] != in_channels", "X.shape[1] < in_channels"), 1, "differ in shape"),
        (
            ("bias=None, stride=(1, 1), padding=(0, 0)", "bias, stride, padding"),
            1,
            "arguments are not",
        ),
        (
            ("return batch_first(Y.view", "return F.conv2d(X, weight, stride=stride); (Y.view"),
            8,
            "write this yourself",
        ),
        (
            (
                "Y.view(out_channels, *places, X.shape[-1])",
                "Y.view(out_channels, X.shape[-1], *places).permute(0, 2, 3, 1)",
            ),
            6,
            "order is not",
        ),
    ],
    "Convolution2d": [
        (("if bias else None", ""), 2, "bias should not be trained"),
        (("else None", "else torch.zeros(out_channels)"), 1, "should be None"),
        (
            ("            nn.init.uniform_(parameter, -bound, bound)", "            pass"),
            1,
            "whatever was in memory",
        ),
        (("-bound, bound)", "0, bound)"), 1, "spread around 0"),
        (
            ("nn.init.uniform_(parameter, -bound, bound)", "nn.init.constant_(parameter, bound)"),
            1,
            "all kernels would learn the same",
        ),
        (
            (
                "nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel_size))",
                "torch.randn(out_channels, in_channels, *self.kernel_size)",
            ),
            10,
            "is not trained",
        ),
        (("*self.kernel_size))", "*self.kernel_size), False)"), 10, "is not trained"),
        (
            ("torch.empty(out_channels, in_channels", "torch.empty(in_channels, out_channels"),
            9,
            "wrong order",
        ),
        (
            ("self.stride, self.padding)", "self.stride[::-1], self.padding)"),
            5,
            "stride are swapped",
        ),
        (("self.stride, self.padding)", "self.stride)"), 4, "padding is ignored"),
        (("self.bias, self.stride", "None, self.stride"), 6, "bias is missing"),
        (("X, self.weight,", "X, self.weight.data,"), 1, "cut off"),
        (("X, self.weight,", "X, self.weight.flip(2, 3),"), 3, "flipped in both"),
        (('pair("stride", stride, 1)', 'pair("stride", stride, 0)'), 1, "raise ValueError"),
        (('pair("padding", padding, 0)', 'pair("padding", padding, -5)'), 1, "raise ValueError"),
        (
            ('pair("kernel_size", kernel_size, 1)', 'pair("kernel_size", kernel_size, 0)'),
            1,
            "raise ValueError",
        ),
        (
            ('pair("channels", (in_channels, out_channels), 1)', "in_channels, out_channels"),
            1,
            "raise ValueError",
        ),
        (('pair("kernel_size", kernel_size, 1)', "kernel_size"), 2, "raise ValueError"),
        (("stride=1, padding=0, bias", "stride, padding, bias"), 3, "arguments are not"),
        (("super().__init__()", "pass"), 10, "__init__"),
        (("def forward", "def forwards"), 10, "no method forward"),
        (("return convolve(", "return F.conv2d("), 10, "write this yourself"),
        (("(nn.Module)", ""), 10, "class Convolution2d"),
    ],
    "AveragePooling2d": [
        ((".mean((1, 2))", ".sum((1, 2))"), 7, "sum of each window"),
        ((".mean((1, 2))", ".amax((1, 2))"), 7, "maximum of each window"),
        ((".mean((1, 2))", ".sum((1, 2)) / 4"), 6, "divided by 4"),
        ((".mean((1, 2))", ".mean(1).sum(1)"), 7, "one side of the window"),
        (
            ("        places", "        self.stride = self.stride[::-1]\n        places"),
            4,
            "stride are swapped",
        ),
        (
            (
                "stride = kernel_size if stride is None else stride",
                "stride = 1 if stride is None else stride",
            ),
            5,
            "stride is ignored",
        ),
        (
            ("stride = kernel_size if stride is None else stride", "stride = kernel_size"),
            4,
            "whatever stride says",
        ),
        (
            [
                (
                    "        X = pad",
                    "        n = pad(batch_last(torch.ones_like(X)), self.padding)\n"
                    "        X = pad",
                ),
                (
                    ".mean((1, 2))",
                    ".sum((1, 2)) / "
                    "Windows.apply(n, self.kernel_size, places, self.stride).sum((1, 2))",
                ),
            ],
            1,
            "do not count in the mean",
        ),
        (
            (
                "pad(batch_last(X), self.padding)",
                "F.pad(batch_last(X), (0, 0, 2 * self.padding[1], 0, 2 * self.padding[0], 0))",
            ),
            1,
            "before the image",
        ),
        (("pad(batch_last(X), self.padding)", "batch_last(X)"), 1, "padding is ignored"),
        (("batch_last(X)", "batch_last(X.detach())"), 2, "cut off"),
        (
            ("self.kernel_size, places", "self.kernel_size[::-1], places"),
            5,
            "height and width of the window",
        ),
        (("any(2 * p > k", "any(p > k"), 1, "raise ValueError"),
        (("any(2 * p > k", "all(2 * p > k"), 1, "raise ValueError"),
        (('pair("stride", stride, 1)', 'pair("stride", stride, 0)'), 1, "raise ValueError"),
        (
            ('pair("kernel_size", kernel_size, 1)', 'pair("kernel_size", kernel_size, 0)'),
            1,
            "raise ValueError",
        ),
        (('pair("padding", padding, 0)', 'pair("padding", padding, -3)'), 1, "raise ValueError"),
        (
            (
                "        places =",
                (
                    "        return F.avg_pool2d(X, self.kernel_size, self.stride, self.padding)\n"
                    "        places ="
                ),
            ),
            7,
            "write this yourself",
        ),
    ],
    "MaxPooling2d": [
        ((".amax((1, 2))", ".mean((1, 2))"), 7, "mean of each window"),
        ((".amax((1, 2))", ".amin((1, 2))"), 7, "minimum of each window"),
        ((".amax((1, 2))", ".abs().amax((1, 2))"), 5, "largest absolute"),
        ((".amax((1, 2))", ".amax((1, 2)).clamp(min=0)"), 2, "starts from 0"),
        ((".amax((1, 2))", ".detach().amax((1, 2))"), 2, "cut"),
        (
            ("        places", "        self.stride = self.stride[::-1]\n        places"),
            4,
            "stride are swapped",
        ),
        (
            ("stride = kernel_size if stride is None else stride", "stride = kernel_size"),
            3,
            "whatever stride says",
        ),
        (
            ('pair("kernel_size", kernel_size, 1)', 'pair("kernel_size", kernel_size, 0)'),
            1,
            "raise ValueError",
        ),
        ((".amax((1, 2))", ".flatten(1, 2).max(1)"), 7, ""),
        (
            (
                "        places =",
                "        return F.max_pool2d(X, self.kernel_size, self.stride)\n        places =",
            ),
            7,
            "write this yourself",
        ),
        (
            [
                ("batch_first(windows.amax((1, 2)))", "batch_first(All.apply(windows))"),
                (
                    "class MaxPooling2d",
                    (
                        "class All(torch.autograd.Function):\n    @staticmethod\n"
                        "    def forward(ctx, w):\n        ctx.save_for_backward(w)\n"
                        "        return w.amax((1, 2))\n\n    @staticmethod\n"
                        "    def backward(ctx, g):\n        (w,) = ctx.saved_tensors\n"
                        "        return (w == w.amax((1, 2), keepdim=True)) * g[:, None, None]\n"
                        "\n\nclass MaxPooling2d"
                    ),
                ),
            ],
            1,
            "each of several equal maxima",
        ),
    ],
    "ScaledTanh": [
        (("1.7159 * torch.tanh(2 / 3 * a)", "torch.tanh(a)"), 3, "both scales"),
        (("1.7159 * torch.tanh(2 / 3 * a)", "torch.tanh(2 / 3 * a)"), 3, "1.7159 is missing"),
        (("1.7159 * torch.tanh(2 / 3 * a)", "1.7159 * torch.tanh(a)"), 3, "2/3 inside is missing"),
        (("1.7159 * torch.tanh(2 / 3 * a)", "1.7159 * torch.tanh(3 / 2 * a)"), 3, "not 3/2"),
        (
            ("1.7159 * torch.tanh(2 / 3 * a)", "1.7159 * torch.tanh(0.6667 * a)"),
            3,
            "2/3 is rounded",
        ),
        (("1.7159 * torch.tanh(2 / 3 * a)", "1.7159 * torch.tanh(2 // 3 * a)"), 3, "2 // 3 is 0"),
        (("1.7159 * torch.tanh(2 / 3 * a)", "1.7159 * torch.sigmoid(2 / 3 * a)"), 3, "sigmoid"),
        (("1.7159 * torch.tanh(2 / 3 * a)", "a.clamp(-1.7159, 1.7159)"), 3, ""),
        (
            (
                "1.7159 * torch.tanh(2 / 3 * a)",
                "1.7159 * (torch.exp(4 / 3 * a) - 1) / (torch.exp(4 / 3 * a) + 1)",
            ),
            1,
            "overflow",
        ),
        (
            ("1.7159 * torch.tanh(2 / 3 * a)", "1.7159 * torch.tanh(2 / 3 * a.detach())"),
            2,
            "cut off",
        ),
        (
            ("1.7159 * torch.tanh(2 / 3 * a)", "1.7159 * torch.tanh(2 / 3 * a.float())"),
            3,
            "float32",
        ),
        (("1.7159 * torch.tanh(2 / 3 * a)", "1.7159 * a.mul_(2 / 3).tanh()"), 2, "in place"),
    ],
    "TrainableSubsampling2d": [
        (
            ("uniform_(-0.6, 0.6))\n        self.bias", "uniform_(-1.2, 1.2))\n        self.bias"),
            1,
            r"uniform_\(-0.6, 0.6\)",
        ),
        (
            ("torch.empty(channels).uniform_(-0.6, 0.6))\n\n", "torch.ones(channels))\n\n"),
            1,
            r"uniform_\(-0.6, 0.6\)",
        ),
        (
            ("self.coefficient", "self.weight"),
            4,
            "names coefficient what is called weight",
        ),
        (("4 * Average", "Average"), 4, "mean of each window"),
        (("4 * AveragePooling2d(2)(X)", "MaxPooling2d(2)(X)"), 4, "maximum of each window"),
        (
            (
                "return total * self.coefficient[:, None, None] + self.bias[:, None, None]",
                (
                    "return ScaledTanh()(total * self.coefficient[:, None, None] + "
                    "self.bias[:, None, None])"
                ),
            ),
            4,
            "squashed",
        ),
        (
            (
                "return total * self.coefficient[:, None, None] + self.bias[:, None, None]",
                (
                    "return torch.tanh(total * self.coefficient[:, None, None] + "
                    "self.bias[:, None, None])"
                ),
            ),
            4,
            "tanh is applied",
        ),
        ((" + self.bias[:, None, None]", ""), 3, "bias is missing"),
        (("total * self.coefficient[:, None, None]", "total"), 3, "coefficient is missing"),
        (
            (
                "return total * self.coefficient[:, None, None] + self.bias[:, None, None]",
                "return (total + self.bias[:, None, None]) * self.coefficient[:, None, None]",
            ),
            3,
            "multiplied by the coefficient",
        ),
        (("[:, None, None]", ""), 4, "along the width"),
        (("[:, None, None]", "[:, None, None, None]"), 4, "differ in shape"),
        ((".uniform_(-0.6, 0.6)", ""), 1, "whatever was in memory"),
        (("self.coefficient[:, None, None]", "self.coefficient.data[:, None, None]"), 1, "cut off"),
        (("AveragePooling2d(2)(X)", "AveragePooling2d(2)(X.detach())"), 1, "cut off"),
        (
            ("nn.Parameter(torch.empty(channels).uniform_(-0.6, 0.6))", "torch.rand(channels)"),
            4,
            "not trained",
        ),
        (("AveragePooling2d(2)(X)", "AveragePooling2d(2, 1)(X)"), 4, "the stride is 1"),
    ],
    "PartialConvolution2d": [
        (
            (
                "torch.randn(int(connected.sum()), kernel_size, kernel_size)",
                "torch.randn(kernel_size, kernel_size).repeat(int(connected.sum()), 1, 1)",
            ),
            1,
            "draw each number by itself",
        ),
        (
            (
                "kernels[self.connected] = self.weight",
                "kernels.transpose(0, 1)[self.connected.T] = self.weight",
            ),
            5,
            "connected.T.nonzero\\(\\)",
        ),
        (("= self.weight\n", "= self.weight.flip(0)\n"), 5, "reverse order"),
        (("= self.weight\n", "= self.weight.flip(1, 2)\n"), 5, "flipped"),
        (("= self.weight\n", "= self.weight.data\n"), 1, "cut off"),
        (("= self.weight\n", "= self.weight[0]\n"), 5, "first kernel"),
        (("kernels, self.bias)", "kernels)"), 5, "bias is missing"),
        (
            [
                ("int(connected.sum())", "*connected.shape"),
                (
                    "kernels[self.connected] = self.weight",
                    "kernels = self.weight * self.connected[:, :, None, None]",
                ),
            ],
            5,
            "should hold 99 numbers",
        ),
        (("/ 9", "* torch.nan"), 1, "whatever was in memory"),
        (("return convolve(", "return F.conv2d("), 5, "write this yourself"),
        (("X.new_zeros", "torch.zeros"), 5, "number type|precision"),
    ],
    "RadialBasisOutput": [
        (
            ("-((X[:, None] - self.codes) ** 2).sum(2)", "((X[:, None] - self.codes) ** 2).sum(2)"),
            3,
            "sign is wrong",
        ),
        (
            ("-((X[:, None] - self.codes) ** 2).sum(2)", "-torch.cdist(X, self.codes)"),
            3,
            "not squared",
        ),
        (
            ("-((X[:, None] - self.codes) ** 2).sum(2)", "-(X[:, None] - self.codes).abs().sum(2)"),
            3,
            "absolute differences",
        ),
        (
            (
                "-((X[:, None] - self.codes) ** 2).sum(2)",
                "-((X[:, None] - self.codes) ** 2).mean(2)",
            ),
            3,
            "the mean over the features",
        ),
        (
            (
                "-((X[:, None] - self.codes) ** 2).sum(2)",
                "-((X[:, None] - self.codes) ** 2).sum(1)",
            ),
            3,
            "over the classes",
        ),
        (("-((X[:, None] - self.codes) ** 2).sum(2)", "X @ self.codes.T"), 3, "linear layer"),
        (
            (
                "-((X[:, None] - self.codes) ** 2).sum(2)",
                "-((X[:, None] - self.codes) ** 2).sum(2).T",
            ),
            3,
            "batch belongs first",
        ),
        (
            (
                "-((X[:, None] - self.codes) ** 2).sum(2)",
                "-((X[:, None] - self.codes) ** 2).sum(2).sqrt() ** 2",
            ),
            1,
            "overflow",
        ),
        (
            (
                "-((X[:, None] - self.codes) ** 2).sum(2)",
                "-((X[:, None].detach() - self.codes) ** 2).sum(2)",
            ),
            1,
            "cut off",
        ),
        (
            (
                'self.register_buffer("codes", codes, persistent=False)',
                "self.codes = nn.Parameter(codes)",
            ),
            3,
            "should not be trained",
        ),
        (
            ('self.register_buffer("codes", codes, persistent=False)', "self.codes = codes"),
            1,
            "register_buffer",
        ),
    ],
    "discriminative_loss": [
        (("torch.cat([scores, none], 1).logsumexp(1)", "scores.logsumexp(1)"), 6, "rubbish class"),
        (("-rubbish)", "rubbish)"), 6, "sign of j"),
        ((".mean()", ".sum()"), 5, "mean is asked for"),
        ((".mean()", ""), 6, "their mean is asked for"),
        (
            (
                "(total - scores.gather(1, labels[:, None])[:, 0])",
                "(total[:, None] - scores[:, labels])",
            ),
            5,
            "gather takes one of each",
        ),
        (("-rubbish)", "-10.0)"), 2, "always 10"),
        (("    none", "    scores = -scores; none"), 6, "y = -scores"),
        (("(total - scores.gather(1, labels[:, None])[:, 0])", "total"), 6, "y_D is missing"),
        (("total - scores", "total + scores"), 6, "y_D has the wrong sign"),
        (("total - scores", "-scores"), 6, "y_D alone"),
        (
            (
                "torch.cat([scores, none], 1).logsumexp(1)",
                "(math.exp(-rubbish) + scores.exp().sum(1)).log()",
            ),
            1,
            "overflow",
        ),
        (
            (
                "torch.cat([scores, none], 1).logsumexp(1)",
                "(math.exp(-rubbish) + scores.exp().sum(1) + 1e-12).log()",
            ),
            4,
            "overflow|float32",
        ),
        (
            (
                "torch.cat([scores, none], 1)",
                "torch.cat([scores.scatter(1, labels[:, None], -torch.inf), none], 1)",
            ),
            6,
            "other classes only",
        ),
        (("scores.gather", "scores.detach().gather"), 2, "cut off"),
        (("torch.cat([scores", "torch.cat([scores.detach()"), 2, "cut off"),
        (("labels[:, None]", "0 * labels[:, None]"), 6, "label is always 0"),
        ((".mean()", ".mean() / len(labels)"), 5, "batch size twice"),
        (("    return", "    scores.zero_()\n    return"), 6, "in place"),
    ],
    "lenet5": [
        (("    return model", "    return nn.ModuleList(model)"), 8, "walks through its layers"),
        (
            (
                "        for name, parameter in model.named_parameters():",
                "        for name, parameter in model.S2.named_parameters(prefix='S2'):",
            ),
            2,
            "first values are left",
        ),
        (("            squash1=ScaledTanh(),\n", ""), 8, "squash1 is missing"),
        (("squash2=ScaledTanh()", "squash2=nn.Identity()"), 1, "squashing is missing"),
        (("squash4=ScaledTanh()", "squash4=nn.Tanh()"), 1, "without its two scales"),
        (("squash6=ScaledTanh()", "squash6=nn.ReLU()"), 1, "ReLU"),
        (
            ("squash3=ScaledTanh()", "squash3=nn.Sequential(ScaledTanh(), ScaledTanh())"),
            1,
            "applied twice",
        ),
        (
            [
                ("C3=PartialConvolution2d(CONNECTED, 5)", "C3=Convolution2d(6, 16, 5)"),
                ('if name == "C3.weight"', "if False"),
                ("25 * CONNECTED.sum(1)", "150"),
            ],
            6,
            "all 16 maps see all 6",
        ),
        (("CONNECTED, 5)", "CONNECTED.flip(0), 5)"), 1, "upside down"),
        (("CONNECTED, 5)", "CONNECTED.roll(1, 1), 5)"), 1, "another table"),
        (
            ("S2=TrainableSubsampling2d(6)", "S2=AveragePooling2d(2)"),
            4,
            "pooling without parameters",
        ),
        (("C1=Convolution2d", "C1=nn.Conv2d"), 2, "write this yourself"),
        (
            ("C5=Convolution2d(16, 120, 5)", "C5=Convolution2d(16, 120, 5, bias=False)"),
            3,
            "biases out",
        ),
        (
            [
                ("RadialBasisOutput(codes)", "nn.Linear(84, 10)"),
                ('"F6": 120', '"F6": 120, "output": 84'),
            ],
            2,
            "place of the codes",
        ),
        (("RadialBasisOutput(codes)", "RadialBasisOutput(codes.flip(0))"), 1, "another order"),
        (("RadialBasisOutput(codes)", "RadialBasisOutput(-codes)"), 1, "sign of all"),
        (("mul_(2.4 / inputs)", "mul_(inputs ** -0.5)"), 3, "PyTorch's own"),
        (("mul_(2.4 / inputs)", "mul_(2.4 * inputs ** -0.5)"), 3, "2.4 / √fan-in"),
        (("uniform_(-1, 1)", "uniform_(0, 1)"), 3, "none is negative"),
        (("uniform_(-1, 1)", "normal_()"), 3, "they are normal"),
        (("25 * CONNECTED.sum(1)", "150 + 0 * CONNECTED.sum(1)"), 2, "all 6 maps, 150"),
        (('"C5": 400', '"C5": 25'), 2, "one kernel, 25"),
        (('"S4": 4', '"S4": 16'), 2, "number of channels"),
        (('"F6": 120', '"F6": 84'), 2, "number of outputs"),
        (("mul_(2.4 / inputs)", "mul_(2.4 / inputs * (kind != 'bias'))"), 1, "they are constant"),
        (
            (
                "            parameter.uniform_(-1, 1).mul_(2.4 / inputs)",
                (
                    "            if kind == 'coefficient':\n                parameter.fill_(0.25)\n"
                    "            else:\n"
                    "                parameter.uniform_(-1, 1).mul_(2.4 / inputs)"
                ),
            ),
            1,
            "they are constant",
        ),
        (("    model = ", "    torch.manual_seed(0)\n    model = "), 3, "they are constant"),
        (("return model", "return model.eval()"), 1, "eval"),
    ],
    "train": [
        (("        optimizer.zero_grad()\n", ""), 1, "add up: optimizer.zero_grad"),
        (("schedule(step)", "schedule(step + 1)"), 1, "begins at step 1"),
        (("schedule(step)", "schedule(max(step - 1, 0))"), 1, "one step too late"),
        (('            group["lr"] = schedule(step)', "            pass"), 1, "never used"),
        (
            [
                (
                    (
                        "        for group in optimizer.param_groups:\n"
                        '            group["lr"] = schedule(step)\n'
                    ),
                    "",
                ),
                (
                    "        losses.append",
                    (
                        "        for group in optimizer.param_groups:\n"
                        '            group["lr"] = schedule(step)\n        losses.append'
                    ),
                ),
            ],
            1,
            "set after the step",
        ),
        (
            ("in optimizer.param_groups:", "in optimizer.param_groups[:1]:"),
            1,
            "only the first parameter group",
        ),
        (
            ("in optimizer.param_groups:", "in optimizer.param_groups[-1:]:"),
            1,
            "only the last parameter group",
        ),
        (
            ("torch.randperm(len(labels), generator=generator)", "torch.arange(len(labels))"),
            1,
            "not shuffled",
        ),
        (
            ("torch.randperm(len(labels), generator=generator)", "torch.randperm(len(labels))"),
            1,
            "once an epoch",
        ),
        (
            (
                "order[:batch_size], order[batch_size:]",
                "torch.randperm(len(labels), generator=generator)[:batch_size], order",
            ),
            1,
            "once an epoch",
        ),
        (
            [
                (
                    "batch, order = order[:batch_size], order[batch_size:]",
                    "batch = torch.randperm(len(labels), generator=generator)[:batch_size]",
                ),
                (
                    (
                        "        if len(order) < batch_size:\n"
                        "            order = torch.cat([order, torch.randperm(len(labels), "
                        "generator=generator)])\n"
                    ),
                    "",
                ),
            ],
            1,
            "drawn anew",
        ),
        (
            (
                "torch.cat([order, torch.randperm(len(labels), generator=generator)])",
                "torch.randperm(len(labels), generator=generator)",
            ),
            1,
            "rest of an epoch is dropped",
        ),
        (
            [
                ("len(order) < batch_size", "len(order) == 0"),
                (
                    "torch.cat([order, torch.randperm(len(labels), generator=generator)])",
                    "torch.randperm(len(labels), generator=generator)",
                ),
            ],
            1,
            "cut short",
        ),
        (
            ("batch, order = order[:batch_size], order[batch_size:]", "batch = order[:batch_size]"),
            1,
            "use the first batch",
        ),
        (
            (
                (
                    "        if len(order) < batch_size:\n"
                    "            order = torch.cat([order, torch.randperm(len(labels), "
                    "generator=generator)])"
                ),
                (
                    "        if step == 0:\n"
                    "            order = torch.randperm(len(labels), generator=generator).repeat(9)"
                ),
            ),
            1,
            "one permutation",
        ),
        (("loss.item())", "loss)"), 1, "keeps the graph"),
        (("return losses", "return losses[-1]"), 1, "one loss is returned"),
        (("    model.train()\n", ""), 1, "model.train"),
        (("model.train()", "model.eval()"), 1, "model.train"),
        (("range(steps)", "range(steps - 1)"), 4, "fewer steps"),
        (("range(steps)", "range(steps + 1)"), 3, "more steps"),
        (("range(steps)", "range(1, steps + 1)"), 1, "begins at step 1"),
        (("loss_function(model", "F.cross_entropy(model"), 6, "has to be used"),
        (
            ("prepare(images[batch])", "F.pad(images[batch] / 255, (2, 2, 2, 2))"),
            2,
            "changed on their way",
        ),
        (("prepare(images[batch])", "images[batch].float()"), 6, "prepare"),
        (("labels[batch]", "labels[:batch_size]"), 1, "first labels"),
        (("        loss.backward()\n", ""), 2, "no gradient"),
        (
            (
                "        loss.backward()\n        optimizer.step()",
                "        optimizer.step()\n        loss.backward()",
            ),
            2,
            "no gradient",
        ),
        (("        optimizer.step()\n", ""), 3, "optimizer.step\\(\\) is missing"),
        (
            ("        optimizer.step()\n", "        optimizer.step()\n        optimizer.step()\n"),
            3,
            "twice",
        ),
        (("loss.backward()", "(loss * len(batch)).backward()"), 1, "summed over the batch"),
        (
            ("model.train()", "model.train(); model = __import__('copy').deepcopy(model)"),
            2,
            "a copy of the network",
        ),
        (("losses.append", "images[0] = 0; losses.append"), 6, "work on a copy"),
        (
            ("losses.append", "[p.data.mul_(0.99) for p in model.parameters()]; losses.append"),
            1,
            "only optimizer.step",
        ),
        (
            (
                "    return losses",
                "    [p.data.mul_(0.5) for p in model.parameters()]\n    return losses",
            ),
            1,
            "only optimizer.step",
        ),
        (("losses.append", "model.eval(); losses.append"), 1, "model.train"),
        (
            (
                "        losses.append(loss.item())\n    return losses",
                "        losses.append(loss.item())\n        return losses",
            ),
            4,
            "fewer steps",
        ),
    ],
}


@pytest.mark.parametrize(
    "name, changes, failing, hint",
    [(name, *line) for name, lines in WRONG.items() for line in lines],
)
def test_wrong_answers_are_named(name, changes, failing, hint, capsys):
    changes = changes if isinstance(changes, list) else [changes]
    failed, out = judged(name, written(name, *changes), capsys)
    assert failed == failing, out
    assert not hint or re.search(f"(?s)Likely mistake: [^✗]*{hint}", out), out


@pytest.mark.parametrize("name", ANSWERS)
def test_what_does_nothing_earns_nothing(name, capsys):
    check = getattr(custom_lenet5, name)
    total = len(check.parts)
    head = f"def {name}(*given, **settings):"
    for body in (
        "pass",
        "return given[0] if given else 0",
        "return torch.zeros(2, 3)",
        "raise NotImplementedError",
    ):
        answer = written(name, source=f"{head}\n    {body}")
        assert judged(name, answer, capsys)[0] == total, body
    assert judged(name, None, capsys)[0] == total
    if not name[0].isupper():
        return
    start, _, _ = ANSWERS[name].partition("    def forward")
    for body in ("return X", "return 0 * X", "return None", "raise NotImplementedError"):
        source = f"{start}    def forward(self, X):\n        {body}\n"
        assert judged(name, written(name, source=source), capsys)[0] == total, body
