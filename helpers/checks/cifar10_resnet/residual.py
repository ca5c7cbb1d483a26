"""The checks of `ResidualBlock` and `ResNet`: every block against the reference, with its input."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.checks.cifar10_resnet.judging import (
    call,
    described,
    kept,
    randomize,
    require_module,
    shapes,
)
from helpers.checks.cifar10_resnet.lenet import normalize
from helpers.checks.cifar10_resnet.reference import block_sizes, shortcut
from helpers.checks.cifar10_resnet.tracing import Layer, Trace, traced
from helpers.checks.diagnosis import as_array, expect, same
from helpers.checks.errors import CheckError
from helpers.checks.exercises import normal
from helpers.checks.he import expect_deviations, expect_normal
from helpers.checks.parts import Check
from helpers.checks.planted import listed

ResidualBlock = Check("ResidualBlock", "values, gradients and modes are the reference's")
ResNet = Check("ResNet", "20 layers, 269,722 parameters, and every block is the reference's")

Sizes = tuple[int, int, int]  # in_channels, out_channels and stride
# Loose enough for an answer that pads with zeros in single precision.
_TOLERANCE = 1e-6

# --- a block as functions, and mistakes planted into it

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Block:
    """What a block computes from its two layers; a mistake replaces some of it."""

    sizes: Sizes
    layers: list[Layer]
    training: bool
    strides: tuple[int, int] | None = None
    middle: Function = F.relu
    before_sum: Function = lambda Y: Y
    end: Function = F.relu
    skip: Callable[["Block", Tensor], Tensor] | None = None
    add: Callable[[Tensor, Tensor], Tensor] = torch.add
    normalized: tuple[bool, bool] = (True, True)
    relu_first: tuple[bool, bool] = (False, False)  # whether ReLU stands before a normalisation
    padding_mode: str = "constant"
    batch_statistics: bool | None = None
    front: int = 0  # zero channels before those of the input

    def __call__(self, X: Tensor) -> Tensor:
        strides = self.strides or (self.sizes[2], 1)
        Y = self._layer(0, X, strides[0])
        Y = self._layer(1, Y if self.relu_first[0] else self.middle(Y), strides[1])
        return self.end(self.add(self.before_sum(Y), self._skip(X)))

    def _layer(self, i: int, X: Tensor, stride: int) -> Tensor:
        layer = self.layers[i]
        bias = layer.vectors[: len(layer.vectors) % 2]
        X = F.conv2d(F.pad(X, (1,) * 4, mode=self.padding_mode), layer.weight, *bias, stride=stride)
        X = F.relu(X) if self.relu_first[i] else X
        training = self.training if self.batch_statistics is None else self.batch_statistics
        return normalize(layer, training, X) if self.normalized[i] else X

    def _skip(self, X: Tensor) -> Tensor:
        if self.skip is not None:
            return self.skip(self, X)
        return self.identity(X)

    def identity(self, X: Tensor) -> Tensor:
        """Return the shortcut of option A."""
        return shortcut(X, self.sizes[1] - self.sizes[0], self.sizes[2], self.front)


def _widened(block: Block, X: Tensor) -> Tensor:
    """Return `X` with zero channels, at its own height and width."""
    return shortcut(X, block.sizes[1] - block.sizes[0], 1, block.front)


Changes = Mapping[str, object]


def _wrong_blocks(right: Block) -> Iterator[tuple[str, Changes]]:
    """Yield mistakes that leave a block's output as large as it should be."""
    narrow, wide, stride = right.sizes
    yield "the shortcut is missing: the input is not added", {"skip": lambda block, X: 0}
    yield "ReLU is missing at the end, behind the addition", {"end": _same}
    yield "ReLU stands before the addition, and should stand behind it", {
        "before_sum": F.relu, "end": _same,
    }  # fmt: skip
    yield "there is a ReLU before the addition, beside the one behind it", {"before_sum": F.relu}
    yield "ReLU is missing between the two convolutions", {"middle": _same}
    yield "the first normalisation is not used", {"normalized": (False, True)}
    yield "the second normalisation is not used", {"normalized": (True, False)}
    yield "neither normalisation is used", {"normalized": (False, False)}
    yield "the normalisation stands behind ReLU, and should stand before it", {
        "relu_first": (True, False),
    }  # fmt: skip
    yield "ReLU stands before both normalisations", {"relu_first": (True, True)}
    yield "the second normalisation stands behind a ReLU", {"relu_first": (False, True)}
    yield "the second normalisation stands behind the addition", {
        "normalized": (True, False),
        "end": lambda Y: F.relu(normalize(right.layers[1], right.training, Y)),
    }  # fmt: skip
    yield "the shortcut is multiplied, and should be added", {"add": torch.mul}
    yield "the shortcut is subtracted, and should be added", {"add": torch.sub}
    yield "the shortcut is added twice", {"add": lambda Y, X: Y + 2 * X}
    yield "ReLU is applied to the shortcut", {"skip": lambda b, X: F.relu(b.identity(X))}
    yield "the shortcut is normalised, and is an identity in option A", {
        "skip": lambda b, X: normalize(right.layers[1], right.training, b.identity(X))
    }  # fmt: skip
    yield (
        "the normalisation takes the batch's own mean and variance in evaluation mode"
        if not right.training else "the normalisation takes its running averages in training mode",
        {"batch_statistics": not right.training},
    )  # fmt: skip
    for mode in ("reflect", "replicate", "circular"):
        yield f"padding_mode is {mode!r}, and should be zeros", {"padding_mode": mode}
    yield (
        "a dropout or another random layer stands in the block",
        {"middle": lambda Y: 2 * F.relu(Y)},
    )
    for name, other in {"a leaky ReLU": F.leaky_relu, "a sigmoid": torch.sigmoid,
                        "tanh": torch.tanh, "GELU": F.gelu, "SiLU": F.silu}.items():  # fmt: skip
        yield f"{name} stands in place of ReLU", {"middle": other, "end": other}
    if stride > 1:
        yield "the stride is in the second convolution, and belongs in the first", {
            "strides": (1, stride)
        }  # fmt: skip
        yield "the shortcut averages over windows; option A takes every other pixel", {
            "skip": lambda b, X: F.avg_pool2d(_widened(b, X), stride)
        }  # fmt: skip
        yield "the shortcut takes maxima over windows; option A takes every other pixel", {
            "skip": lambda b, X: F.max_pool2d(_widened(b, X), stride)
        }  # fmt: skip
        yield "the shortcut takes the odd rows and columns: [::2] begins with the first", {
            "skip": lambda b, X: _widened(b, X)[:, :, 1::stride, 1::stride]
        }  # fmt: skip
        yield "the shortcut takes a corner of the image, not every other pixel", {
            "skip": lambda b, X: _widened(b, X)[
                :, :, : X.shape[2] // stride, : X.shape[3] // stride
            ]
        }  # fmt: skip
    if wide == 2 * narrow:
        yield "the new channels of the shortcut repeat the input; option A has zeros there", {
            "skip": lambda b, X: X[:, :, ::stride, ::stride].repeat(1, 2, 1, 1)
        }  # fmt: skip
        yield "the new channels of the shortcut repeat the input; option A has zeros there", {
            "skip": lambda b, X: X[:, :, ::stride, ::stride].repeat_interleave(2, 1)
        }  # fmt: skip


def _same(X: Tensor) -> Tensor:
    return X


def _accepted(right: Block) -> list[Block]:
    """Return a block with its zero channels behind, before and on both sides of the input's."""
    new = right.sizes[1] - right.sizes[0]
    fronts = sorted({0, new, new // 2, new - new // 2})
    return [_changed(right, {"front": front}) for front in fronts]


def _changed(block: Block, changes: Changes) -> Block:
    return Block(**({**block.__dict__, **changes}))


def _explain_block(
    accepted: list[Block], X: Tensor, got: np.ndarray, after: Function, *, pairs: bool = True
) -> str:
    """Return which mistake, or which two, give what came; `after` is applied to both."""
    if got.shape != tuple(after(accepted[0](X)).shape):
        return ""
    planted = [(block, list(_wrong_blocks(block))) for block in accepted]
    for block, wrong in planted:
        for words, changes in wrong:
            if _gives(_changed(block, changes), X, got, after):
                return words
    for block, wrong in planted if pairs else ():
        for (words, changes), (more, others) in combinations(wrong, 2):
            if changes.keys().isdisjoint(others) and _gives(
                _changed(block, {**changes, **others}), X, got, after
            ):
                return f"two: {words}; and {more}"
    return ""


def _gives(block: Block, X: Tensor, got: np.ndarray, after: Function) -> bool:
    try:
        return same(got, as_array("", after(block(X))), _TOLERANCE)
    except (RuntimeError, ValueError):  # the mistake has no meaning for these sizes
        return False


# --- a single block


def _block(answer: type, sizes: Sizes) -> tuple[nn.Module, list[Layer]]:
    """Return the answer's block in evaluation mode and its two layers."""
    what = f"ResidualBlock{sizes}"
    if not isinstance(answer, type) or not issubclass(answer, nn.Module):
        raise CheckError("ResidualBlock should be a module", "class ResidualBlock(nn.Module):")
    made = require_module(what, call("ResidualBlock", answer, lambda: answer(*sizes)))
    block, X = made.double().eval(), normal(2, sizes[0], 6, 8)
    Y, trace = call(
        what, answer, lambda: traced(block, X), lambda: _explain_sum(sizes),
        causes=((r"must match the size of tensor|expanded size", _explain_sum(sizes)),),
    )  # fmt: skip
    right = (2, sizes[1], 6 // sizes[2], 8 // sizes[2])
    if not isinstance(Y, Tensor) or tuple(Y.shape) != right:
        came = list(Y.shape) if isinstance(Y, Tensor) else type(Y).__name__
        raise CheckError(
            f"{what} turns images {list(X.shape)} into {came}, not {list(right)}",
            _explain_shape(Y, right, sizes[2]) if isinstance(Y, Tensor) else "",
        )
    layers = trace.layers()
    _require_block_layers(what, block, layers, trace.unused(block), sizes)
    return block, layers


def _explain_sum(sizes: Sizes) -> str:
    narrow, wide, stride = sizes
    if stride == 1 and narrow == wide:
        return "both convolutions need padding=1, to keep height and width"
    return (
        f"the input, {narrow} channels, has to become as large as the residual before they are "
        f"added: every {stride}nd pixel, X[:, :, ::{stride}, ::{stride}], and {wide - narrow} "
        "channels of zeros"
    )


def _explain_shape(Y: Tensor, right: tuple[int, ...], stride: int) -> str:
    if Y.dim() != 4:
        return "a block gives maps [batch, channels, height, width]"
    if Y.shape[1] != right[1]:
        return f"both convolutions put out {right[1]} channels"
    if tuple(Y.shape[2:]) == tuple(side * stride for side in right[2:]) and stride > 1:
        return "the stride is not passed on to the first convolution"
    if all(0 < b - a <= 4 for a, b in zip(Y.shape[2:], right[2:], strict=True)):
        return "both convolutions need padding=1, to keep height and width"
    return "only the first convolution has the stride" if stride > 1 else ""


def _require_block_layers(
    what: str, block: nn.Module, layers: list[Layer], unused: list[str], sizes: Sizes
) -> None:
    narrow, wide, _ = sizes
    right = [(wide, narrow, 3, 3), (wide, wide, 3, 3)]
    got = shapes(layers)
    projections = [s for s in got if s[2:] == (1, 1)]
    if projections or any(p.dim() > 2 and p.shape[2:] == (1, 1) for p in block.parameters()):
        raise CheckError(
            f"{what} has a convolution of 1 × 1\n  expected: two convolutions of 3 × 3",
            "a shortcut with a convolution is option B of the paper; option A has no parameters",
        )
    if unused:
        raise CheckError(
            f"{what}: {', '.join(unused)} {'is' if len(unused) == 1 else 'are'} never used",
            _explain_unused(block, unused),
        )
    if got != right:
        raise CheckError(
            f"{what} has other convolutions\n  expected: {'; '.join(map(described, right))}\n"
            f"  got: {'; '.join(map(described, got)) or 'none'}",
            _explain_convolutions(got, right),
        )
    for which, layer in zip(("first", "second"), layers, strict=True):
        _require_norm(f"{what}, {which} convolution", layer)


def _explain_unused(block: nn.Module, unused: list[str]) -> str:
    owners = {name.rpartition(".")[0] for name in unused}
    norms = [o for o in owners if "Norm" in type(block.get_submodule(o)).__name__]
    if norms:
        return f"the normalisation {listed(sorted(norms))} is made and never applied"
    return "a layer is made in __init__ and left out in forward"


def _explain_convolutions(got: list, right: list) -> str:
    if len(got) < 2:
        return "a convolution is missing, or the same one is used twice"
    if len(got) > 2:
        return "a block has two convolutions: the shortcut has none"
    if any(a[2:] != b[2:] for a, b in zip(got, right, strict=True)):
        return "the kernels should be 3 × 3"
    return "the first convolution goes from in_channels to out_channels, the second keeps these"


def _require_norm(what: str, layer: Layer) -> None:
    """Raise `CheckError` unless a batch normalisation follows a convolution, with or without bias.

    Only where the parameters of both are there can their values be compared.
    """
    wide, own = layer.weight.shape[:1], [v.shape for v in layer.vectors]
    if own in ([wide] * 2, [wide] * 3) and [a.shape for a in layer.averages] == [wide] * 2:
        return
    raise CheckError(
        f"{what}: {len(own)} vectors of parameters and {len(layer.averages)} averages are used "
        "behind it",
        "its normalisation is missing, or one normalisation serves twice"
        if len(own) < 2
        else "nn.BatchNorm2d keeps running averages; other normalisations do not"
        if not layer.averages
        else "there is a normalisation too many: the shortcut has none",
    )


_SIZES: tuple[Sizes, ...] = ((3, 3, 1), (4, 8, 2), (6, 12, 2))


def _expect_block(answer: type, sizes: Sizes, training: bool, *, gradients: bool = False) -> None:
    block, layers = _block(answer, sizes)
    block.train(training)
    with torch.no_grad():
        randomize(layers)
    X = normal(4, sizes[0], 6, 8, seed=sum(sizes))
    what = f"ResidualBlock{sizes}"
    copy = X.clone().requires_grad_(gradients)
    if gradients:  # a leaf must not be changed in place, and what belongs to others neither
        copy.requires_grad_()
    accepted = _accepted(Block(sizes, layers, training))
    got = call(what, answer, lambda: block(copy))
    kept(what, "maps", copy.detach(), X)
    if training and not torch.equal(got, block(X.clone())):
        raise CheckError(
            f"{what} gives other maps when it is given the same again",
            "a layer draws random numbers, as dropout does; this block has none",
        )
    with torch.no_grad():
        options = [right(X) for right in accepted]
    mode = "training" if training else "evaluation"
    given = f"random maps {list(X.shape)}, random weights, {mode} mode"
    actual = as_array(what, got)
    matching = [i for i, r in enumerate(options) if same(actual, as_array("", r), _TOLERANCE)]
    if not matching:
        with torch.no_grad():
            hint = _explain_block(accepted, X, actual, _same)
        expect(what, given, got, options[0], [(hint, got)] if hint else [], tolerance=_TOLERANCE)
    if gradients:
        _expect_gradient(what, answer, given, accepted[matching[0]], X, got, copy)


def _expect_gradient(
    what: str, answer: type, given: str, right: Block, X: Tensor, got: Tensor, leaf: Tensor
) -> None:
    weights = normal(*got.shape, seed=77)
    leaves = {"the input": leaf}
    for i, layer in enumerate(right.layers):
        leaves |= {f"the weights of convolution {i + 1}": layer.weight}
    found = call(
        what, answer,
        lambda: torch.autograd.grad(got, list(leaves.values()), weights, allow_unused=True),
    )  # fmt: skip
    own = X.clone().requires_grad_()
    inputs = [own, *list(leaves.values())[1:]]
    wanted = torch.autograd.grad(right(own), inputs, weights)
    cut = _changed(right, {"skip": lambda b, X: b.identity(X).detach()})
    without = torch.autograd.grad(cut(own), inputs, weights)
    for which, value, correct, other in zip(leaves, found, wanted, without, strict=True):
        if value is None:
            raise CheckError(f"{what}: no gradient reaches {which}", "it is cut off: .data, detach")
        expect(
            f"{what}, gradient with respect to {which}", given, value, correct,
            [("the shortcut passes no gradient on: .detach(), .data or torch.no_grad()", other)],
            tolerance=_TOLERANCE,
        )  # fmt: skip


@ResidualBlock.part("blocks that keep the size")
def _(answer: type) -> None:
    for sizes in ((3, 3, 1), (8, 8, 1)):
        _expect_block(answer, sizes, training=False)


@ResidualBlock.part("blocks that halve the side and double the channels")
def _(answer: type) -> None:
    for sizes in ((4, 8, 2), (6, 12, 2)):
        _expect_block(answer, sizes, training=False)


@ResidualBlock.part("training mode")
def _(answer: type) -> None:
    for sizes in _SIZES:
        _expect_block(answer, sizes, training=True)


@ResidualBlock.part("the gradients, and the input stays as it is")
def _(answer: type) -> None:
    for sizes in _SIZES:
        _expect_block(answer, sizes, training=False, gradients=True)


# --- the whole network


@dataclass
class Network:
    """An answer's network, the layers in the order of their use, and how it is called."""

    answer: type
    n: int
    model: nn.Module
    layers: list[Layer]
    blocks: list[Sizes] = field(default_factory=list)

    def run(self, X: Tensor, training: bool) -> tuple[Tensor, Trace]:
        """Return logits and trace in double precision."""
        self.model.train(training)
        what = f"ResNet({self.n})"
        return call(what, self.answer, lambda: traced(self.model, X.clone()))


def _weights(n: int) -> list[tuple[int, ...]]:
    """Return the shapes of the weights of all 6n + 2 layers."""
    right: list[tuple[int, ...]] = [(16, 3, 3, 3)]
    for narrow, wide, _ in block_sizes(n):
        right += [(wide, narrow, 3, 3), (wide, wide, 3, 3)]
    return [*right, (10, 64)]


def _network(answer: type, n: int) -> Network:
    """Return the answer's network once its layers are those of the paper."""
    what = f"ResNet({n})"
    if not isinstance(answer, type) or not issubclass(answer, nn.Module):
        raise CheckError("ResNet should be a module", "begin with class ResNet(nn.Module):")
    model = require_module(what, call("ResNet", answer, lambda: answer(n))).double().eval()
    X = normal(2, 3, 32, 32)
    logits, trace = call(
        f"{what}, given images [2, 3, 32, 32],", answer, lambda: traced(model, X),
        causes=(
            (
                r"mat1 and mat2 shapes",
                "the maps [batch, 64, 8, 8] become [batch, 64] by their mean, .mean((2, 3)), "
                "before the linear layer",
            ),
            (
                r"Calculated output size",
                "the maps are too small at the end: only where the channels double, the side is "
                "halved, from 32 to 16 and to 8",
            ),
        ),
    )  # fmt: skip
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (2, 10):
        came = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise CheckError(
            f"{what} turns 2 images into {came}, not into logits [2, 10]",
            "the linear layer has ten outputs",
        )
    layers, unused = trace.layers(), trace.unused(model)
    if any(p.dim() == 4 and p.shape[2:] == (1, 1) for p in model.parameters()):
        raise CheckError(
            f"{what} has convolutions of 1 × 1",
            "a shortcut with a convolution is option B of the paper; option A has no parameters",
        )
    if unused:
        raise CheckError(
            f"{what}: {', '.join(unused[:4])}{', …' if len(unused) > 4 else ''} "
            f"{'is' if len(unused) == 1 else 'are'} never used",
            _explain_unused(model, unused),
        )
    _require_layers(what, n, layers)
    return Network(answer, n, model, layers, block_sizes(n))


def _require_layers(what: str, n: int, layers: list[Layer]) -> None:
    right, got = _weights(n), shapes(layers)
    if len(got) != len(right):
        raise CheckError(
            f"{what} should have {len(right)} layers with weights, not {len(got)}",
            f"{what} has 3 · {n} blocks of two convolutions, one convolution before them and one "
            "linear layer behind" + (
                "; a layer that is used twice counts once" if len(got) < len(right) else ""
            ),
        )  # fmt: skip
    for i, (wanted, shape) in enumerate(zip(right, got, strict=True)):
        if wanted != shape:
            raise CheckError(
                f"{what}: layer {i + 1} has the wrong size\n  expected: {described(wanted)}\n"
                f"  got: {described(shape)}",
                "the widths are 16, 32 and 64, each for n blocks"
                if len(wanted) == len(shape) and wanted[2:] == shape[2:]
                else "the kernels should be 3 × 3"
                if len(wanted) == len(shape)
                else "",
            )
    for i, layer in enumerate(layers[:-1]):
        _require_norm(f"{what}, layer {i + 1}", layer)
    last = [v.shape for v in layers[-1].vectors]
    if last != [torch.Size([10])]:
        raise CheckError(
            f"{what}: {len(last)} vectors of parameters follow the linear layer's weights",
            "it has a bias" if not last else "nothing stands behind the linear layer",
        )


@ResNet.part("the layers of ResNet-20, and 269,722 parameters")
def _(answer: type) -> None:
    network = _network(answer, 3)
    count = sum(p.numel() for p in network.model.parameters())
    if count != 269_722:
        biases = sum(v.numel() for layer in network.layers[:-1] for v in layer.vectors[:-2])
        raise CheckError(
            f"ResNet(3) has {count:,} parameters, not 269,722",
            "the convolutions have biases, which their normalisation takes off again: bias=False"
            if biases and count - biases == 269_722
            else "",
        )


@ResNet.part("as many layers as n says")
def _(answer: type) -> None:
    for n in (1, 9):
        network = _network(answer, n)
        assert len(network.layers) == 6 * n + 2


@torch.no_grad()
def _expect_network(answer: type, *, training: bool) -> None:
    """Compare each block with the reference for the input that reached it, then the end."""
    network = _network(answer, 3)
    randomize(network.layers)
    X = normal(3, 3, 32, 32, seed=8)
    logits, trace = network.run(X, training)
    mode = "training" if training else "evaluation"
    given = f"3 random images, random weights, {mode} mode"
    by_weight = {id(weight): value for weight, value in trace.inputs}
    # What reaches each convolution and the linear layer tells what the layers before have made.
    reached = [by_weight.get(id(layer.weight)) for layer in network.layers]
    what = "ResNet(3)"
    if all(value is not None for value in reached):
        _expect_stem(what, given, network, X, reached[1], training)
        _expect_blocks(what, given, network, reached, training)
        _expect_end(what, given, network, reached[-1], logits)
    right = _follow(network, X, training)
    if not any(same(as_array(what, logits), as_array("", z), 1e-5) for z in right):
        expect(what, given, logits, right[0], tolerance=1e-5)


def _follow(network: Network, X: Tensor, training: bool) -> list[Tensor]:
    """Return the logits of the reference, with the zero channels behind, before or around."""
    results = []
    for where in range(3):
        Y = F.relu(_stem(network, X, training))
        for i, sizes in enumerate(network.blocks):
            layers = network.layers[1 + 2 * i : 3 + 2 * i]
            accepted = _accepted(Block(sizes, layers, training))
            Y = accepted[min(where, len(accepted) - 1)](Y)
        results.append(_classify(network, Y.mean((2, 3))))
    return results


def _stem(network: Network, X: Tensor, training: bool) -> Tensor:
    layer = network.layers[0]
    bias = layer.vectors[: len(layer.vectors) % 2]
    return normalize(layer, training, F.conv2d(X, layer.weight, *bias, padding=1))


def _classify(network: Network, features: Tensor) -> Tensor:
    last = network.layers[-1]
    return F.linear(features, last.weight, last.vectors[0])


def _expect_stem(
    what: str, given: str, network: Network, X: Tensor, got: Tensor, training: bool
) -> None:
    normalized = _stem(network, X, training)
    layer = network.layers[0]
    bias = layer.vectors[: len(layer.vectors) % 2]
    plain = F.conv2d(X, layer.weight, *bias, padding=1)
    wrong = [
        ("ReLU is missing behind the first convolution", normalized),
        ("ReLU stands before the first normalisation", normalize(layer, training, F.relu(plain))),
        ("the first normalisation is not used", F.relu(plain)),
        ("the first normalisation and ReLU are missing", plain),
    ]
    if got.shape[2:] != (32, 32):
        hint = "no stride and no pooling stand at the start of the network for CIFAR-10"
        raise CheckError(f"{what}: maps {list(got.shape)} reach the first block", hint)
    expect(f"{what}, what reaches the first block", given, got, F.relu(normalized), wrong,
           tolerance=_TOLERANCE)  # fmt: skip


def _expect_blocks(
    what: str, given: str, network: Network, reached: list[Tensor], training: bool
) -> None:
    """Compare what each block makes of its own input, the last one by the means of its maps."""
    failed: dict[int, tuple] = {}
    last = len(network.blocks) - 1
    for i, sizes in enumerate(network.blocks):
        X, got = reached[1 + 2 * i], as_array(what, reached[3 + 2 * i])
        after = _pooled if i == last else _same
        accepted = _accepted(Block(sizes, network.layers[1 + 2 * i : 3 + 2 * i], training))
        if any(_gives(block, X, got, after) for block in accepted):
            continue
        if i == last:
            _expect_pooled(what, given, accepted, X, got)
        failed[i + 1] = (accepted, X, got, after)
    if not failed:
        return
    hints = {number: _explain_block(*case, pairs=False) for number, case in failed.items()}
    hint = next(filter(None, hints.values()), "")
    # To try every two mistakes takes seconds, so it is done once.
    first, case = next(iter(failed.items()))
    hint = hint or _explain_side(network.blocks[first - 1], *case[1:3]) or _explain_block(*case)
    which = f"block {first}" if len(failed) == 1 else f"blocks {listed(map(str, failed))}"
    explained = [number for number, words in hints.items() if words == hint]
    where = f" (in {listed(map(str, explained))})" if 0 < len(explained) < len(failed) else ""
    raise CheckError(
        f"{what}: {which} of {last + 1} {'is' if len(failed) == 1 else 'are'} not what the "
        f"reference gives for the same input\n  given: {given}",
        f"{hint}{where}" if hint else "",
    )


def _explain_side(sizes: Sizes, X: Tensor, got: np.ndarray) -> str:
    stride = sizes[2]
    if got.ndim == 4 and stride > 1 and got.shape[2:] == tuple(X.shape[2:]):
        return "the stride is missing: where the channels double, the side is halved"
    if got.ndim == 4 and stride == 1 and got.shape[2] < X.shape[2]:
        return "the side is halved in a block that keeps the channels, and should stay"
    return ""


def _pooled(Y: Tensor) -> Tensor:
    return Y.mean((2, 3))


def _expect_pooled(
    what: str, given: str, accepted: list[Block], X: Tensor, got: np.ndarray
) -> None:
    """Raise `CheckError` where the last block is right and the pooling behind it is wrong."""
    pools: dict[str, Function] = {
        "the maxima of the maps are taken, not their means": lambda Y: Y.amax((2, 3)),
        "the sums of the maps are taken, not their means": lambda Y: Y.sum((2, 3)),
        "one pixel of each map is taken, not the mean": lambda Y: Y[:, :, 0, 0],
        "the means are divided by the number of pixels once more": (
            lambda Y: _pooled(Y) / Y[0, 0].numel()
        ),
    }
    for words, pool in pools.items():
        if any(_gives(block, X, got, pool) for block in accepted):
            raise CheckError(
                f"{what}: the linear layer does not get the mean of each map\n  given: {given}",
                words,
            )


def _expect_end(what: str, given: str, network: Network, features: Tensor, logits: Tensor) -> None:
    X = features if features.dim() == 2 else features.flatten(1)
    right = _classify(network, X)
    wrong = [
        (f"{name} stands at the end; the network returns the logits themselves", end(right))
        for name, end in {
            "a softmax": partial(F.softmax, dim=1), "a log-softmax": partial(F.log_softmax, dim=1),
            "a ReLU": F.relu, "a sigmoid": torch.sigmoid,
        }.items()
    ]  # fmt: skip
    expect(f"{what}, logits", given, logits, right, wrong, tolerance=_TOLERANCE)


for _name, _training in {"evaluation": False, "training": True}.items():
    ResNet.part(f"every block and the logits in {_name} mode")(
        partial(_expect_network, training=_training)
    )


@ResNet.part("the first weights of the convolutions, as He et al. have them")
def _(answer: type) -> None:
    drawn = []
    for seed in range(4):
        torch.default_generator.manual_seed(seed)
        layers = _network(answer, 3).layers[:-1]
        drawn.append([layer.weight.detach().double().clone() for layer in layers])
    samples = {
        f"layer {i + 1}": torch.stack(w).numpy() for i, w in enumerate(zip(*drawn, strict=True))
    }
    for name, weights in samples.items():
        if np.array_equal(weights[0], weights[1]):
            raise CheckError(f"ResNet(3), {name}: the first weights are the same for two seeds")
    wide = {name: w for name, w in samples.items() if w[0].size > 400}
    expect_deviations("ResNet(3)", wide, fan_out_too=True)
    expect_normal("ResNet(3)", wide)
