"""The check of `multiply_adds`: the work of a layer for one image."""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from helpers.checks.answers import attempt
from helpers.checks.diagnosis import Mistake, expect
from helpers.checks.hw7.reference import ReferenceLeNet5
from helpers.checks.parts import Check

multiply_adds = Check(
    "multiply_adds", "convolutions of six geometries, fully connected and other layers agree"
)


def _output_shape(layer: nn.Module, input_shape: tuple[int, ...]) -> torch.Size:
    with torch.no_grad():
        return layer(torch.zeros(1, *input_shape)).shape[1:]


def _count(layer: nn.Module, outputs: torch.Size) -> int:
    """Return the multiply-adds by definition: the weights of one output, for each output."""
    weight = getattr(layer, "weight", None)
    return 0 if weight is None else weight[0].numel() * outputs.numel()


def _miscounts(layer: nn.Module, inputs: tuple[int, ...], outputs: torch.Size) -> Iterator[Mistake]:
    """Yield what is easily counted in place of multiply-adds."""
    right, numbers, taken = _count(layer, outputs), outputs.numel(), int(np.prod(inputs))
    if right == 0:
        yield "one for each output is counted, but a layer without weights has none", numbers
        yield "one for each input is counted, but a layer without weights has none", taken
        return
    yield "multiplications and additions are counted apart: one of each makes one", 2 * right
    yield "the bias is counted as one more product", right + numbers
    if isinstance(layer, nn.Linear):
        yield "only the outputs are counted, and not the inputs of each", numbers
        yield "only the inputs are counted, once and not for each output", taken
        yield "inputs and outputs are added, not multiplied", numbers + taken
        return
    (rows, columns), channels = layer.kernel_size, layer.in_channels
    yield "in_channels is forgotten", numbers * rows * columns
    for side in (rows, columns):
        yield "one side of the kernel is counted, not its area", numbers * channels * side
        yield "the kernel is taken for a square", numbers * channels * side**2
    yield "out_channels is forgotten", right // outputs[0]
    yield "in_channels and the size of the kernel are forgotten", numbers
    yield "in_channels is missing and one side of the kernel is counted", numbers * rows
    yield "the weights are counted once, not at each position of the output", layer.weight.numel()
    parameters = layer.weight.numel() + outputs[0]
    yield "the parameters are counted, not their uses at each position", parameters
    yield "out_channels is counted twice", right * outputs[0]
    positions = inputs[1] * inputs[2]
    at_inputs = layer.weight.numel() * positions
    yield "positions of the input are counted; stride and padding decide the output's", at_inputs
    for side in outputs[1:]:
        yield "the output is taken for a square", layer.weight.numel() * side**2


def _expect_count(answer: Callable, layer: nn.Module, inputs: tuple[int, ...]) -> None:
    outputs = _output_shape(layer, inputs)
    given = f"{layer}, output_shape {tuple(outputs)}"
    got = attempt(
        f"multiply_adds, given {given},",
        lambda: answer(copy.deepcopy(layer), outputs),
        lambda: "a layer without weights has 0" if _count(layer, outputs) == 0 else "",
    )
    expect(
        "multiply_adds",
        given,
        got,
        _count(layer, outputs),
        _miscounts(layer, inputs, outputs),
        tolerance=0.0,
    )


@multiply_adds.part("a convolution with one input channel")
def _(answer: Callable) -> None:
    _expect_count(answer, nn.Conv2d(1, 6, 5, padding=2), (1, 28, 28))
    _expect_count(answer, nn.Conv2d(1, 4, 3, bias=False), (1, 9, 9))


@multiply_adds.part("a convolution with several input channels")
def _(answer: Callable) -> None:
    _expect_count(answer, nn.Conv2d(6, 16, 5), (6, 14, 14))
    _expect_count(answer, nn.Conv2d(3, 5, 3, bias=False), (3, 8, 8))


@multiply_adds.part("stride, padding, and sides that differ")
def _(answer: Callable) -> None:
    _expect_count(answer, nn.Conv2d(3, 5, 3, stride=2, padding=1), (3, 11, 11))
    _expect_count(answer, nn.Conv2d(2, 7, (3, 5), stride=(1, 2), padding=(0, 2)), (2, 9, 12))


@multiply_adds.part("fully connected layers")
def _(answer: Callable) -> None:
    _expect_count(answer, nn.Linear(400, 120), (400,))
    _expect_count(answer, nn.Linear(84, 10, bias=False), (84,))


@multiply_adds.part("every layer of M_max and M_no, also those without weights")
def _(answer: Callable) -> None:
    for pooling in ("max", "no"):
        shape = torch.Size([784])
        for layer in ReferenceLeNet5(pooling).network:
            _expect_count(answer, layer, shape)
            shape = _output_shape(layer, shape)
