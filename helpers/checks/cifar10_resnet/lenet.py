"""The checks of `lenet5` and `normalized_lenet5`: layers, logits in both modes, and activations."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.checks.cifar10_resnet.judging import (
    call,
    described,
    randomize,
    require_module,
    shapes,
    with_notes,
)
from helpers.checks.diagnosis import expect
from helpers.checks.errors import CheckError
from helpers.checks.exercises import normal
from helpers.checks.parts import Check
from helpers.checks.planted import (
    Operation,
    Planted,
    identity,
    mistakes,
    wrong_activations,
    wrong_ends,
)
from helpers.checks.planted import apply as follow
from helpers.checks.tracing import Layer, traced

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


def _build(name: str, answer: Callable, *settings: object) -> tuple[nn.Module, list[Layer]]:
    """Return the answer's network, in evaluation mode, and its layers in the order of their use."""
    model = require_module(name, call(name, answer, lambda: answer(*settings))).double().eval()
    reached: list[tuple[int, ...]] = []
    hooks = [
        module.register_forward_pre_hook(lambda m, X: reached.append((m.in_features, *X[0].shape)))
        for module in model.modules()
        if isinstance(module, nn.Linear)
    ]
    X = _images(3)
    logits, trace = call(
        f"{name}: the network, given images [3, 3, 32, 32],",
        answer,
        lambda: traced(model, X),
        lambda: _explain_stop(reached),
        causes=((r"mat1 and mat2 shapes", _explain_stop(reached)),) if reached else (),
    )
    for hook in hooks:
        hook.remove()
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (3, 10):
        raise CheckError(
            f"{name}: 3 images should give logits of shape (3, 10), not {shape}",
            "nn.Flatten() is missing before FC1" if isinstance(shape, tuple) and len(shape) > 2
            else "the last layer should have 10 outputs",
        )  # fmt: skip
    if unused := trace.unused(model):
        raise CheckError(
            f"{name}: {', '.join(unused)} {'is' if len(unused) == 1 else 'are'} never used",
            "a layer is made in __init__ and left out in forward",
        )
    return model, trace.layers()


def _explain_stop(reached: list[tuple[int, ...]]) -> str:
    """Return why a network stopped, from in_features and the shape that came to linear layers."""
    if not reached:
        return "each convolution needs as many input channels as the layer before puts out"
    expected, *shape = reached[-1]
    if len(shape) != 2:
        return "nn.Flatten() is missing before FC1"
    why = _explain_inputs(shape[1]) if len(reached) == 1 and shape[1] != 400 else ""
    return f"{shape[1]} numbers reach a linear layer with in_features={expected}" + (
        f"; {why}" if why else ""
    )


def _explain_inputs(inputs: int) -> str:
    """Return which padding or pooling lets `inputs` numbers reach FC1."""
    paddings = {0: "", 1: "padding=1", 2: "padding=2"}
    poolings = {(2, 2): "", (1, 1): "is missing", (2, 1): "has the stride 1", (3, 2): "is 3 wide"}
    found = []
    for (p1, w1), (k1, v1), (p2, w2), (k2, v2) in product(
        *(paddings.items(), poolings.items(), paddings.items(), poolings.items())
    ):
        side = (32 + 2 * p1 - 4 - k1[0]) // k1[1] + 1
        side = (side + 2 * p2 - 4 - k2[0]) // k2[1] + 1
        if 16 * side**2 == inputs:
            words = [f"the {which} convolution has {w}, and no padding is asked for"
                     for which, w in (("first", w1), ("second", w2)) if w]  # fmt: skip
            words += [f"the {which} pooling {v}" for which, v in (("first", v1), ("second", v2))
                      if v]  # fmt: skip
            found.append(words)
    return " and ".join(min(found, key=len)) if found else ""


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
    why = _explain_inputs(wrong[1]) if i == 2 else ""
    return why or f"{NAMES[i]} has {wrong[1]} inputs and should have {right[1]}"


def _explain_vectors(model: nn.Module, layer: Layer, follows: bool, count: int) -> str:
    norm = next(with_notes(model, "Norm"), "")
    if follows:
        if count > 1 and not layer.averages:
            return f"{norm or 'this normalisation'} keeps no running averages; BatchNorm2d and "\
                "BatchNorm1d do"  # fmt: skip
        if norm and any("affine" in m.extra_repr() and not m.affine for m in model.modules()
                        if hasattr(m, "affine")):  # fmt: skip
            return "affine=False leaves scale and shift out"
        return "the normalisation behind this layer is missing"
    if count > 1:
        return (
            f"{norm or 'a normalisation'} stands behind the last layer, where none belongs"
            if any(with_notes(model, "BatchNorm")) and layer.weight.shape[0] == 10
            else f"{norm or 'a normalisation'} is not part of this network"
        )
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
    for where, places in {"": (0, 1), "the first ": (0,), "the second ": (1,)}.items():
        for words, pool in {
            "average pooling stands in place of {}max pooling": partial(
                F.avg_pool2d, kernel_size=2
            ),
            "{}pooling drops three numbers of four": lambda X: X[..., ::2, ::2],
        }.items():
            text = words.format(where or "all " if words.startswith("{}") else where)
            yield text, {f"pool{i}": pool for i in places}
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
    (_, first), (_, second) = (_build(name, answer) for _ in range(2))
    for which, one, other in zip(NAMES, first, second, strict=False):
        if one.weight is other.weight or torch.equal(one.weight, other.weight):
            raise CheckError(
                f"{name}: two calls give the same weights of {which}",
                "the network is made once, outside the function"
                if one.weight is other.weight
                else "the weights are constant, or a seed is set inside the function",
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
