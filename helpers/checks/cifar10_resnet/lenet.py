"""The checks of `lenet5` and `normalized_lenet5`: layers, logits in both modes, and activations."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from helpers.checks.answers import Causes
from helpers.checks.cifar10_resnet.judging import (
    call,
    described,
    randomize,
    require_module,
    shapes,
)
from helpers.checks.cifar10_resnet.tracing import Layer, Trace
from helpers.checks.diagnosis import expect
from helpers.checks.errors import CheckError
from helpers.checks.exercises import normal
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

lenet5 = Check("lenet5", "62,006 parameters, and the logits are the reference's")
normalized_lenet5 = Check(
    "normalized_lenet5", "layers, order and logits are the reference's in both modes"
)

NAMES = ("conv1", "conv2", "fc1", "fc2", "fc3")
WEIGHTS = ((6, 3, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84))
PLACES = {
    "act0": "the first convolution",
    "act1": "the second convolution",
    "act2": "FC1",
    "act3": "FC2",
}


def _images(count: int) -> Tensor:
    """Return images of both signs in double precision."""
    return normal(count, 3, 32, 32, seed=count)


_CAUSES: Causes = (
    (
        r"expected \dD or \dD input|expected 4D input",
        "BatchNorm2d belongs behind convolutions, and BatchNorm1d behind linear layers",
    ),
    (r"is not a Module subclass", "activation is a class: activation() makes a layer"),
    (
        r"running_mean should contain",
        "a normalisation is for another number of channels than those that reach it",
    ),
)


def _build(name: str, answer: Callable, *settings: object) -> tuple[nn.Module, list[Layer]]:
    """Return a copy of the answer's network and its layers in the order of their use.

    The copy is in evaluation mode and in double precision.
    """
    made = require_module(name, call(name, answer, lambda: answer(*settings), causes=_CAUSES))
    if any(is_lazy(p) for p in made.parameters()):
        call(f"{name}: the network", answer, lambda: made(_images(3).float()))
    model = copy.deepcopy(made).double().eval()
    trace, X = Trace(model), _images(3)

    def action() -> object:
        with trace, torch.no_grad():
            return model(X)

    logits = call(
        f"{name}: the network, given images [3, 3, 32, 32],",
        answer,
        action,
        lambda: _explain_stop(trace),
        causes=_CAUSES,
    )
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (3, 10):
        raise CheckError(
            f"{name}: 3 images should give logits of shape (3, 10), not {shape}",
            "nn.Flatten() is missing before FC1" if isinstance(shape, tuple) and len(shape) > 2
            else "the last layer should have 10 outputs",
        )  # fmt: skip
    _require_sides(name, trace)
    if unused := trace.unused(model):
        raise CheckError(
            f"{name}: {', '.join(unused)} {'is' if len(unused) == 1 else 'are'} never used",
            "a layer is made in __init__ and left out in forward",
        )
    return model, trace.layers()


def _explain_stop(trace: Trace) -> str:
    """Return why a network stopped, from what has reached its layers."""
    if not trace.inputs:
        return ""
    weight, X = trace.inputs[-1]
    if weight.dim() > 2:
        if X.dim() == 4 and X.shape[1] != weight.shape[1]:
            return "each convolution needs as many input channels as the layer before puts out"
        return ""
    if X.dim() != 2:
        return "nn.Flatten() is missing before FC1"
    if X.shape[1] == weight.shape[1]:
        return ""
    why = _explain_sides(trace)
    return f"{X.shape[1]} numbers reach a linear layer with in_features={weight.shape[1]}" + (
        f"; {why}" if why else ""
    )


def _require_sides(name: str, trace: Trace) -> None:
    """Raise `CheckError` where padding or pooling gives maps of other sizes."""
    if why := _explain_sides(trace):
        numbers = trace.inputs[2][1].shape[1]
        raise CheckError(f"{name}: {numbers} numbers reach FC1, and 400 should", why)


def _explain_sides(trace: Trace) -> str:
    """Return which padding and pooling give the maps that reach the second convolution and FC1."""
    inputs = [X for _, X in trace.inputs]
    weights = [weight for weight, _ in trace.inputs]
    if [w.dim() for w in weights[:3]] != [4, 4, 2] or any(w.shape[-1] != 5 for w in weights[:2]):
        return ""
    sides = inputs[0].shape[-1], inputs[1].shape[-1], (inputs[2][0].numel() / 16) ** 0.5
    words = []
    for i, which in enumerate(("first", "second")):
        for padding, (pooling, (size, stride)) in product((0, 1, 2), _POOLINGS.items()):
            if (sides[i] + 2 * padding - 4 - size) // stride + 1 == sides[i + 1]:
                if padding:
                    words.append(f"the {which} convolution has padding={padding}, and none is "
                                 "asked for")  # fmt: skip
                if pooling:
                    words.append(f"the {which} pooling {pooling}")
                break
    return " and ".join(words)


_POOLINGS = {
    "": (2, 2),
    "is missing": (1, 1),
    "has the stride 1": (2, 1),
    "is 3 pixels wide": (3, 2),
    "is 4 pixels wide": (4, 4),
}


def _require_layers(name: str, model: nn.Module, layers: list[Layer], normalized: bool) -> None:
    """Raise `CheckError` unless weights, biases, scales and shifts have the right shapes."""
    if shapes(layers) != list(WEIGHTS):
        got = "; ".join(map(described, shapes(layers)))
        raise CheckError(
            f"{name} has other layers\n  expected: {'; '.join(map(described, WEIGHTS))}\n"
            f"  got: {got or 'none'}",
            _explain_layers(shapes(layers)),
        )
    for i, (which, layer) in enumerate(zip(NAMES, layers, strict=True)):
        own = [tuple(vector.shape) for vector in layer.vectors]
        size = tuple(layer.weight.shape[:1])
        follows = normalized and i < 4
        fits = own == [size] * (2 if follows else 1) or (follows and own == [size] * 3)
        if fits and bool(layer.averages) == follows:
            continue
        raise CheckError(
            f"{name}, {which}: {len(own)} vectors of parameters are used after the weights, and "
            f"{len(layer.averages)} averages",
            _explain_vectors(model, layer, follows, len(own)),
        )
    count = sum(p.numel() for p in model.parameters())
    if not normalized and count != 62_006:
        raise CheckError(f"{name} has {count:,} parameters, not 62,006")


def _explain_layers(got: list[tuple[int, ...]]) -> str:
    if len(got) != len(WEIGHTS):
        return "a layer is missing" if len(got) < len(WEIGHTS) else "there is a layer too many"
    i, (right, wrong) = next(
        (i, pair) for i, pair in enumerate(zip(WEIGHTS, got, strict=True)) if pair[0] != pair[1]
    )
    if len(right) != len(wrong):
        return "the layers are in another order"
    if right[2:] != wrong[2:]:
        return f"kernel_size is {wrong[2]} and should be 5"
    if right[0] != wrong[0]:
        return f"{NAMES[i]} has {wrong[0]} outputs and should have {right[0]}"
    return f"{NAMES[i]} has {wrong[1]} inputs and should have {right[1]}"


def _explain_vectors(model: nn.Module, layer: Layer, follows: bool, count: int) -> str:
    norms = [m for m in model.modules() if "Norm" in type(m).__name__]
    if follows:
        if count > 1 and not layer.averages:
            return "its normalisation keeps no running averages; BatchNorm2d and BatchNorm1d do"
        if any(not getattr(norm, "affine", True) for norm in norms):
            return "affine=False leaves scale and shift out"
        return "the normalisation behind this layer is missing"
    if count > 1:
        if len(norms) > 1:
            return "a normalisation stands behind the last layer, where none belongs"
        kind = type(norms[0]).__name__ if norms else "a normalisation"
        return f"{kind} is not part of this network"
    return "bias=False leaves the biases out" if count == 0 else ""


# --- the network as operations, and mistakes planted into it


def normalize(layer: Layer, training: bool, X: Tensor) -> Tensor:
    """Return batch normalisation with the scale, the shift and the averages of a layer."""
    mean, variance = (average.clone() for average in layer.averages)
    return F.batch_norm(X, mean, variance, *layer.vectors[-2:], training=training)


def _weigh(layer: Layer, X: Tensor) -> Tensor:
    # A bias stands before the scale and the shift of a normalisation, if there is one.
    vectors = layer.vectors[: len(layer.vectors) % 2]
    if layer.weight.dim() > 2:
        return F.conv2d(X, layer.weight, *vectors)
    return F.linear(X, layer.weight, *vectors)


_max_pool = partial(F.max_pool2d, kernel_size=2)


def operations(
    layers: list[Layer], training: bool = False, activation: Operation = F.relu
) -> dict[str, Operation]:
    """Return LeNet-5 as functions in their order, by name."""
    steps: dict[str, Operation] = {"image": identity}
    for i, (name, layer) in enumerate(zip(NAMES, layers, strict=True)):
        if i == 2:
            steps["flatten"] = partial(torch.flatten, start_dim=1)
        steps[name] = partial(_weigh, layer)
        if i < 4:
            steps[f"norm{i}"] = partial(normalize, layer, training) if layer.averages else identity
            steps[f"act{i}"] = activation
        if i < 2:
            steps[f"pool{i}"] = _max_pool
    return steps | {"end": identity}


def planted(
    layers: list[Layer], training: bool, activation: Operation, right: str = "ReLU"
) -> Iterator[Planted]:
    """Yield mistakes that leave all sizes right."""
    yield from wrong_activations(PLACES, right)
    yield from wrong_ends()
    yield "a ReLU stands before the first convolution", {"image": F.relu}
    yield "rows and columns of the images are swapped", {"image": lambda X: X.mT}
    yield "the channels of the maps come last when they are flattened", {
        "flatten": lambda X: X.permute(0, 2, 3, 1).flatten(1)
    }  # fmt: skip
    pools = {
        "average pooling stands in place of {} max pooling": partial(F.avg_pool2d, kernel_size=2),
        "{} pooling drops three numbers of four, and should take their maximum": (
            lambda X: X[..., ::2, ::2]
        ),
    }
    for where, places in {"every": (0, 1), "the first": (0,), "the second": (1,)}.items():
        for words, pool in pools.items():
            yield words.format(where), {f"pool{i}": pool for i in places}
    if layers[0].averages:
        yield from _wrong_norms(layers, training, activation)


def _wrong_norms(layers: list[Layer], training: bool, activation: Operation) -> Iterator[Planted]:
    norms = [partial(normalize, layer, training) for layer in layers[:4]]
    for where, places in {
        "every": range(4),
        "each convolution's": range(2),
        "each linear layer's": range(2, 4),
    }.items():
        yield (
            f"the normalisation stands behind {where} activation, and should stand before it",
            {f"norm{i}": activation for i in places} | {f"act{i}": norms[i] for i in places},
        )
    for i, where in enumerate(PLACES.values()):
        yield (
            f"the normalisation stands behind the activation of {where}, and should stand before",
            {f"norm{i}": activation, f"act{i}": norms[i]},
        )
    yield "the normalisation comes after the pooling, and should come first", {
        **{f"norm{i}": activation for i in (0, 1)},
        **{f"act{i}": _max_pool for i in (0, 1)},
        **{f"pool{i}": norms[i] for i in (0, 1)},
    }  # fmt: skip
    other = [partial(normalize, layer, not training) for layer in layers[:4]]
    yield (
        "the normalisation takes its running averages in training mode" if training
        else "the normalisation takes the batch's own mean and variance in evaluation mode, as "
        "with track_running_stats=False",
        {f"norm{i}": norm for i, norm in enumerate(other)},
    )  # fmt: skip


# --- the parts


@torch.no_grad()
def _expect_logits(
    name: str,
    answer: Callable,
    *settings: object,
    normalized: bool = False,
    training: bool = False,
    activation: Operation = F.relu,
    right: str = "ReLU",
) -> None:
    """Compare the logits of random weights in double precision."""
    model, layers = _build(name, answer, *settings)
    _require_layers(name, model, layers, normalized)
    model.train(training)
    randomize(layers)
    mode = "training" if training else "evaluation"
    for count in (4, 3) if training else (3, 1):
        X = _images(count)
        got, again = (call(name, answer, partial(model, X.clone())) for _ in range(2))
        if not torch.equal(got, again):
            raise CheckError(
                f"{name} gives other logits when it is given the same images again",
                "a layer draws random numbers, as dropout does; this network has none",
            )
        steps = operations(layers, training, activation)
        wrong = mistakes(steps, planted(layers, training, activation, right), X)
        given = f"{count} random images, random weights, {mode} mode"
        expect(f"{name}, logits", given, got, follow(steps, X), wrong, tolerance=1e-6)


@lenet5.part("the layers and their 62,006 parameters")
def _(answer: Callable) -> None:
    _require_layers("lenet5", *_build("lenet5", answer), normalized=False)


@lenet5.part("the logits")
def _(answer: Callable) -> None:
    _expect_logits("lenet5", answer)


@lenet5.part("the same logits in training mode")
def _(answer: Callable) -> None:
    _expect_logits("lenet5", answer, training=True)


def _require_new(name: str, answer: Callable) -> None:
    """Raise `CheckError` unless each call makes a network with weights of its own."""
    first, second = (call(name, answer, answer) for _ in range(2))
    own = {id(p) for p in first.parameters()}
    if any(id(p) in own for p in second.parameters()):
        raise CheckError(
            f"{name}: two calls return the same layers",
            "the network is made once, outside the function",
        )
    (_, layers), (_, others) = (_build(name, answer) for _ in range(2))
    for which, one, other in zip(NAMES, layers, others, strict=False):
        if torch.equal(one.weight, other.weight):
            raise CheckError(
                f"{name}: two calls give the same weights of {which}",
                "the weights are constant, or a seed is set inside the function",
            )


@lenet5.part("a new network at each call")
def _(answer: Callable) -> None:
    model, layers = _build("lenet5", answer)
    _require_layers("lenet5", model, layers, normalized=False)
    _require_new("lenet5", answer)


@normalized_lenet5.part("the layers and their parameters")
def _(answer: Callable) -> None:
    name = "normalized_lenet5"
    _require_layers(name, *_build(name, answer), normalized=True)
    _require_new(name, answer)


@normalized_lenet5.part("the logits in evaluation mode")
def _(answer: Callable) -> None:
    _expect_logits("normalized_lenet5", answer, normalized=True)


@normalized_lenet5.part("the logits in training mode")
def _(answer: Callable) -> None:
    _expect_logits("normalized_lenet5", answer, normalized=True, training=True)


@normalized_lenet5.part("another activation")
def _(answer: Callable) -> None:
    for kind, activation, right in ((nn.Tanh, torch.tanh, "tanh"), (nn.ELU, F.elu, "ELU")):
        _expect_logits(
            *("normalized_lenet5", answer, kind),
            normalized=True,
            activation=activation,
            right=right,
        )
