"""The check of `LeNet5._initialize_network`: three networks, layer by layer and as a whole."""

from collections.abc import Iterator
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.checks.answers import attempt, require_written
from helpers.checks.diagnosis import expect
from helpers.checks.errors import CheckError
from helpers.checks.hw7.reference import ReferenceLeNet5, randomize, rows
from helpers.checks.parts import Check
from helpers.checks.planted import (
    Operation,
    Planted,
    follow,
    identity,
    mistakes,
    wrong_activations,
    wrong_ends,
)

initialize_network = Check(
    "_initialize_network",
    "M_avg, M_max and M_no have the right layers and compute what the reference does",
)

Shape = tuple[int, ...]
Window = tuple[int, int]  # kernel_size and stride of a pooling layer

_POOL, _POOL_STRIDE_1, _NO_POOL = (2, 2), (2, 1), (1, 1)
_RIGHT_INPUTS = {"avg": 400, "max": 400, "no": 9216}  # of the first linear layer


# --- building and sizes


def _build(LeNet5: type, pooling: str) -> nn.Module:
    """Return the answer's network once it has turned four rows into logits `[4, 10]`."""
    what = f'LeNet5("{pooling}")'
    if not isinstance(LeNet5, type):
        raise CheckError(f"expected the class LeNet5, got {LeNet5!r:.80}")
    require_written("_initialize_network", getattr(LeNet5, "_initialize_network", None))
    model = attempt(what, lambda: LeNet5(pooling))
    network = attempt(f"_initialize_network of {what}", lambda: getattr(model, "network", model))
    if not isinstance(network, nn.Module):
        raise CheckError(
            f"_initialize_network should return an nn.Sequential, not a {type(network).__name__}",
            "the layers are not wrapped in nn.Sequential(...)",
        )
    reached: list[tuple[nn.Linear, torch.Size]] = []
    linear = next((layer for layer in model.modules() if isinstance(layer, nn.Linear)), None)
    if linear is not None:
        linear.register_forward_pre_hook(lambda layer, X: reached.append((layer, X[0].shape)))
    logits = attempt(
        f"M_{pooling}, given 4 rows of 784 numbers,",
        lambda: model(rows()),
        lambda: _explain_stop(reached, pooling),
    )
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (4, 10):
        flattened = isinstance(shape, tuple) and len(shape) != 2
        raise CheckError(
            f"M_{pooling}: 4 rows of 784 numbers should give logits of shape (4, 10), not {shape}",
            "nn.Flatten() is missing before the first fully connected layer"
            if flattened
            else "the last layer is not a fully connected one with 10 outputs",
        )
    return model


def _explain_stop(reached: list[tuple[nn.Linear, torch.Size]], pooling: str) -> str:
    """Return why a network stopped with an error, from what reached its first linear layer."""
    if not reached:
        return (
            "the rows need Reshape(1, 28, 28) first, and each convolution as many input channels "
            "as the one before puts out"
        )
    layer, shape = reached[0]
    if len(shape) != 2:
        return "nn.Flatten() is missing before the first fully connected layer"
    if shape[1] == layer.in_features:
        return "in_features of a fully connected layer is not out_features of the one before"
    if shape[1] == _RIGHT_INPUTS[pooling]:
        why = _explain_in_features(layer.in_features, pooling)
    else:
        why = _explain_inputs(shape[1], pooling)
    return (
        f"{shape[1]} numbers reach the first fully connected layer, which has "
        f"in_features={layer.in_features}" + (f"; {why}" if why else "")
    )


def _explain_in_features(in_features: int, pooling: str) -> str:
    """Return what in_features has to be, where the layers before the first linear one are right."""
    side = 24 if pooling == "no" else 5
    needs = f"M_{pooling} needs in_features = 16 · {side} · {side}"
    if in_features not in _RIGHT_INPUTS.values():
        return needs
    without = "with" if pooling == "no" else "without"
    return f"{in_features} is right only {without} pooling: {needs}"


def _explain_inputs(inputs: int, pooling: str) -> str:
    """Return which padding or pooling lets `inputs` numbers reach the first linear layer."""
    choices = [
        {2: "", 0: "the first convolution lacks its padding of 2"},
        _pool_choices("first", pooling),
        {0: "", 2: "the second convolution has padding and should have none"},
        _pool_choices("second", pooling),
    ]
    found = [
        [words for choice, value in zip(choices, values, strict=True) if (words := choice[value])]
        for values in product(*choices)
        if _first_inputs(*values) == inputs
    ]
    return " and ".join(min(found, key=len)) if found else ""


def _pool_choices(which: str, pooling: str) -> dict[Window, str]:
    """Return the right pooling with no words and the wrong ones with what is wrong."""
    if pooling == "no":
        surplus = f"the {which} pooling should not be there"
        return {_NO_POOL: "", _POOL: surplus, _POOL_STRIDE_1: surplus}
    return {
        _POOL: "",
        _NO_POOL: f"the {which} pooling is missing",
        _POOL_STRIDE_1: f"the stride of the {which} pooling is not 2",
    }


def _first_inputs(padding1: int, pool1: Window, padding2: int, pool2: Window) -> int:
    """Return how many numbers reach the first linear layer."""
    side = _pooled(28 + 2 * padding1 - 4, pool1)
    return 16 * _pooled(side + 2 * padding2 - 4, pool2) ** 2


def _pooled(side: int, window: Window) -> int:
    kernel_size, stride = window
    return (side - kernel_size) // stride + 1


def _require_sizes(model: nn.Module, pooling: str) -> None:
    """Raise `CheckError` unless the parameters have the reference's shapes, in its order."""
    expected, got = (
        [tuple(parameter.shape) for parameter in network.parameters()]
        for network in (ReferenceLeNet5(pooling), model)
    )
    if got == expected:
        return
    wanted, weights = ([shape for shape in shapes if len(shape) > 1] for shapes in (expected, got))
    if weights == wanted:
        biases = len(got) - len(weights)
        norm = _normalisation(model)
        raise CheckError(
            f"M_{pooling} should have 5 biases beside the weights of its 5 layers, not {biases} "
            "such vectors",
            f"{norm} is not part of this network" if norm else "bias=False leaves biases out",
        )
    if len(weights) != len(wanted):
        raise CheckError(
            f"M_{pooling} should have 5 layers with weights, not {len(weights)}\n  expected: "
            f"{_describe_all(wanted)}\n  got: {_describe_all(weights)}",
            "a layer is missing" if len(weights) < 5 else "there is a layer too many",
        )
    pairs = enumerate(zip(wanted, weights, strict=True))
    place, (right, wrong) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
    if sorted(wanted) == sorted(weights) or len(right) != len(wrong):
        hint = "the layers are in the wrong order"
    else:
        hint = _explain_size(place, right, wrong, pooling)
    raise CheckError(
        f"M_{pooling}: layer {place + 1} of the 5 with weights has the wrong size\n"
        f"  expected: {_describe(right)}\n  got: {_describe(wrong)}",
        hint,
    )


def _explain_size(place: int, right: Shape, wrong: Shape, pooling: str) -> str:
    if right[2:] != wrong[2:]:
        return f"kernel_size is {wrong[2]} and should be 5"
    if right[0] != wrong[0]:
        return f"this layer has {wrong[0]} outputs and should have {right[0]}"
    why = _explain_inputs(wrong[1], pooling) if place == 2 else ""
    return why or f"this layer has {wrong[1]} inputs and should have {right[1]}"


def _describe_all(shapes: list[Shape]) -> str:
    return "; ".join(map(_describe, shapes)) or "none"


def _describe(shape: Shape) -> str:
    if len(shape) == 4:
        return f"a convolution with {shape[0]} kernels of {' × '.join(map(str, shape[1:]))}"
    if len(shape) == 2:
        return f"a fully connected layer from {shape[1]} to {shape[0]}"
    return f"weights of shape {shape}"


def _normalisation(model: nn.Module) -> str:
    names = (type(module).__name__ for module in model.modules())
    return next((name for name in names if "Norm" in name), "")


# --- the network as functions, and mistakes planted into it


def _as_images(X: Tensor) -> Tensor:
    return X.reshape(-1, 1, 28, 28)


_average, _maximum = partial(F.avg_pool2d, kernel_size=2), partial(F.max_pool2d, kernel_size=2)
_POOLS: dict[str, Operation] = {"avg": _average, "max": _maximum, "no": identity}
_PLACES = {
    "relu1": "the first convolution",
    "relu2": "the second convolution",
    "relu3": "the first fully connected layer",
    "relu4": "the second fully connected layer",
}


def _operations(weights: list[Tensor], pooling: str) -> dict[str, Operation]:
    """Return LeNet-5 as functions in their order, by name; `weights` alternate with biases."""
    (w1, b1), (w2, b2), (w3, b3), (w4, b4), (w5, b5) = zip(weights[::2], weights[1::2], strict=True)
    return {
        "image": _as_images,
        "pad": lambda X: F.pad(X, (2, 2, 2, 2)),
        "conv1": lambda X: F.conv2d(X, w1, b1),
        "relu1": F.relu,
        "pool1": _POOLS[pooling],
        "conv2": lambda X: F.conv2d(X, w2, b2),
        "relu2": F.relu,
        "pool2": _POOLS[pooling],
        "fc1": lambda X: F.linear(X.flatten(1), w3, b3),
        "relu3": F.relu,
        "fc2": lambda X: F.linear(X, w4, b4),
        "relu4": F.relu,
        "fc3": lambda X: F.linear(X, w5, b5),
        "end": identity,
    }


def _planted(pooling: str) -> Iterator[Planted]:
    """Yield mistakes that leave all sizes right, and the operations that they replace."""
    yield from wrong_activations(_PLACES)
    yield from wrong_ends()
    yield "a ReLU stands before the first convolution", {"image": lambda X: _as_images(F.relu(X))}
    yield "rows and columns of the image are swapped", {"image": lambda X: _as_images(X).mT}
    for mode in ("reflect", "replicate", "circular"):
        pad = partial(F.pad, pad=(2, 2, 2, 2), mode=mode)
        yield f"padding_mode is {mode!r}; the padding should be zeros", {"pad": pad}
    if pooling != "no":
        yield from _planted_pooling(pooling)


def _planted_pooling(pooling: str) -> Iterator[Planted]:
    right, other = ("average", "max") if pooling == "avg" else ("max", "average")
    wide = F.avg_pool2d if pooling == "avg" else F.max_pool2d
    instead: dict[str, Operation] = {
        f"{other} pooling": _maximum if pooling == "avg" else _average,
        "a stride of 2, which drops three numbers of four,": lambda X: X[..., ::2, ::2],
        "a sum over each window": lambda X: 4 * _average(X),
        "pooling with kernel_size 3": lambda X: wide(X, 3, 2, 1),
    }
    places = {"the first": ["1"], "the second": ["2"], "the first and the second": ["1", "2"]}
    for where, numbers in places.items():
        for name, pool in instead.items():
            yield (
                f"M_{pooling} has {name} in place of {where} {right} pooling",
                {f"pool{number}": pool for number in numbers},
            )
        swapped = {f"relu{number}": _POOLS[pooling] for number in numbers}
        swapped |= {f"pool{number}": F.relu for number in numbers}
        yield f"{where} pooling comes before ReLU and should come after it", swapped


# --- the parts


def _check_sizes(LeNet5: type, *, pooling: str) -> None:
    _require_sizes(_build(LeNet5, pooling), pooling)


@torch.no_grad()
def _check_logits(LeNet5: type, *, pooling: str) -> None:
    model, X = _build(LeNet5, pooling), rows()
    _require_sizes(model, pooling)
    randomize(list(model.parameters()), seed=2)
    weights = [parameter.double() for parameter in model.parameters()]
    name = f"M_{pooling}"
    logits, again, alone = (attempt(name, partial(model, rows)) for rows in (X, X, X[3:]))
    if not torch.equal(logits, again):
        raise CheckError(
            f"{name} gives other logits when it is given the same images again",
            "a layer draws random numbers, as dropout does; this network has none",
        )
    if norm := _normalisation(model):
        raise CheckError(f"{name} contains a {norm}", f"{norm} is not part of this network")
    operations = _operations(weights, pooling)
    expected = follow(operations, X.double())
    given = "a black, a white and two random images; random weights and biases"
    wrong = mistakes(operations, _planted(pooling), X.double())
    expect(f"{name}, logits", given, logits, expected, wrong)
    expect(f"{name}, logits of one image alone", given, alone, expected[3:])


for _check, _what in ((_check_sizes, "sizes of the layers"), (_check_logits, "logits")):
    for _pooling in ("avg", "max", "no"):
        initialize_network.part(f"{_what} of M_{_pooling}")(partial(_check, pooling=_pooling))
