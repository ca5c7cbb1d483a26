"""The checks of `Swish`, `l1_penalty` and `kaiming_normal`."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.checks.answers import Causes
from helpers.checks.cifar10_resnet import reference
from helpers.checks.cifar10_resnet.judging import Exercise, call, require_module
from helpers.checks.diagnosis import as_array, consistent, expect, same
from helpers.checks.errors import CheckError
from helpers.checks.exercises import CUT, Function, normal
from helpers.checks.he import expect_deviations, expect_normal
from helpers.checks.parts import Check

Swish = Check("Swish", "values and gradients are those of x · σ(x)")
l1_penalty = Check("l1_penalty", "value and gradient are those of Σ|w| over the right weights")
kaiming_normal = Check("kaiming_normal", "every weight is drawn as He et al. have it")

# --- Swish

_NOT_SWISH: dict[str, Function] = {
    "the x is missing: this is the sigmoid": torch.sigmoid,
    "this is ReLU": F.relu,
    "x is added to the sigmoid, and should be multiplied": lambda X: X + X.sigmoid(),
    "tanh stands in place of the sigmoid": lambda X: X * X.tanh(),
    "the sign inside the sigmoid is wrong": lambda X: X * torch.sigmoid(-X),
    "this is GELU": F.gelu,
    "this is GELU's approximation, x · σ(1.702 x)": lambda X: X * torch.sigmoid(1.702 * X),
    "this is hard Swish, which is made of straight pieces": F.hardswish,
    "this is Mish": F.mish,
    "this is softplus": F.softplus,
    "this is the derivative of Swish": lambda X: X.sigmoid() * (1 + X * (1 - X.sigmoid())),
    "the sigmoid is applied twice": lambda X: X * X.sigmoid().sigmoid(),
    "this is the derivative of the sigmoid": lambda X: X.sigmoid() * (1 - X.sigmoid()),
    "x is multiplied twice": lambda X: X * X * X.sigmoid(),
    "a softmax stands in place of the sigmoid": lambda X: X * X.softmax(-1),
    "a softmax over the channels stands in place of the sigmoid": lambda X: X * X.softmax(1),
}


def _judge_swish(answer: type, X: Tensor, **options: bool) -> None:
    if not isinstance(answer, type) or not issubclass(answer, nn.Module):
        raise CheckError("Swish should be a module", "begin with class Swish(nn.Module):")
    module = call("Swish", answer, answer)
    if list(module.parameters()):
        raise CheckError("Swish has parameters", "x · σ(x) has none; β is fixed at 1")
    exercise = Exercise({"X": X}, lambda X: X * torch.sigmoid(X), list(_NOT_SWISH.items()))
    exercise.judge("Swish", answer, module, **options)


@Swish.part("the values")
def _(answer: type) -> None:
    for shape in ((3, 4), (2, 3, 5, 4)):
        _judge_swish(answer, 3 * normal(*shape, seed=1))


@Swish.part("the gradient")
def _(answer: type) -> None:
    _judge_swish(answer, 3 * normal(3, 7, seed=2), gradients=True)


@Swish.part("large numbers, without overflow in value or gradient")
def _(answer: type) -> None:
    X = torch.tensor([[-1000.0, -800.0, 900.0, 1.0]], dtype=torch.float64)
    _judge_swish(answer, X, gradients=True)


@Swish.part("single precision; X stays as it is")
def _(answer: type) -> None:
    for dtype in (torch.float64, torch.float32):
        _judge_swish(answer, normal(3, 5, seed=3).to(dtype), kept=True)


# --- the L1 penalty


class _Nested(nn.Module):
    """A network whose layers lie at several depths, one of them without a bias."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 3, (3, 2))
        self.block = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Conv2d(3, 4, 2, bias=False)))
        self.last = nn.ModuleList([nn.Linear(4, 5), nn.BatchNorm1d(5)])


def _networks() -> Iterator[nn.Module]:
    """Yield networks with random parameters of both signs, in double precision."""
    for build in (_Nested, reference.normalized_lenet5, lambda: nn.Sequential(nn.Linear(4, 3))):
        model = build().double()
        with torch.no_grad():
            for seed, parameter in enumerate(model.parameters()):
                parameter.copy_(normal(*parameter.shape, seed=seed))
        yield model


def _sums(model: nn.Module) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Yield mistakes as functions that add up a penalty."""
    layers = reference.weighted_layers(model)
    weights = [layer.weight for layer in layers]
    biases = [layer.bias for layer in layers if layer.bias is not None]
    every = list(model.parameters())
    norms = [m.weight for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    convolutions = [x.weight for x in layers if isinstance(x, nn.Conv2d)]
    linear = [x.weight for x in layers if isinstance(x, nn.Linear)]
    outer = [x.weight for x in model.children() if isinstance(x, nn.Conv2d | nn.Linear)]

    def total(some: list[Tensor], size: Callable[[Tensor], Tensor] = torch.abs) -> Tensor:
        return sum((size(w).sum() for w in some), torch.zeros(()).double())

    for words, some in {
        "the penalty acts on all parameters: biases and normalisation do not belong to it": every,
        "the penalty acts on the biases of the layers too": weights + biases,
        "the penalty acts on the scales of the normalisation too": weights + norms,
        "only the convolutions are counted: linear layers belong to it": convolutions,
        "only the linear layers are counted: convolutions belong to it": linear,
        "only the outermost layers are reached: model.modules() finds all": outer,
        "only the last layer is counted: += where = stands": weights[-1:],
        "only the first layer is counted": weights[:1],
    }.items():
        yield words, partial(total, some)
    yield "the weights are squared: that is the L2 penalty", partial(total, weights, torch.square)
    yield "the absolute value is missing", partial(total, weights, lambda w: w)
    yield "the penalty is half of what it should be", lambda: total(weights) / 2
    yield "the mean of all weights is taken, not the sum", lambda: (
        total(weights) / sum(w.numel() for w in weights)
    )  # fmt: skip
    yield "the mean of each layer is taken, not the sum", lambda: sum(
        w.abs().mean() for w in weights
    )  # fmt: skip
    yield "the Euclidean length of each layer's weights is added up", lambda: sum(
        w.norm() for w in weights
    )  # fmt: skip
    yield "the Euclidean length of all weights is taken", lambda: total(
        weights, torch.square
    ).sqrt()  # fmt: skip
    yield "the absolute value is taken of each layer's sum", lambda: sum(
        w.sum().abs() for w in weights
    )  # fmt: skip
    yield "the largest absolute weight of each layer is added up", lambda: sum(
        w.abs().max() for w in weights
    )  # fmt: skip
    yield "the penalty is the mean over the layers", lambda: total(weights) / len(weights)
    yield "the sign is wrong: the penalty is added to the loss", lambda: -total(weights)


def _expect_penalties(answer: Callable) -> list[tuple[nn.Module, Tensor]]:
    """Compare the penalty of several networks; return these with what came."""
    found, cases = [], []
    for model in _networks():
        before = [p.detach().clone() for p in model.parameters()]
        got = call("l1_penalty", answer, lambda model=model: answer(model))
        if not all(map(torch.equal, before, model.parameters())):
            raise CheckError("l1_penalty changes the weights of the network", "work on a copy")
        if isinstance(got, Tensor) and got.shape != ():
            raise CheckError(
                f"l1_penalty should return one number, not {list(got.shape)}",
                "the penalty is a sum over all weights",
            )
        cases.append(
            (as_array("l1_penalty", got), [(w, add().detach()) for w, add in _sums(model)])
        )
        found.append((model, got))
    rights = [reference.l1_penalty(model).item() for model, _ in found]
    if not all(same(got, np.asarray(r), 1e-9) for (got, _), r in zip(cases, rights, strict=True)):
        hint = consistent(cases, 1e-9)
        for (model, _), (got, _), right in zip(found, cases, rights, strict=True):
            given = f"a network of {sum(p.numel() for p in model.parameters()):,} parameters"
            wrong = [(hint, got)] if hint else []
            expect("l1_penalty", given, got, right, wrong, tolerance=1e-9)
    return found


@l1_penalty.part("the value")
def _(answer: Callable) -> None:
    _expect_penalties(answer)


@l1_penalty.part("the gradient: the sign of each weight, and none elsewhere")
def _(answer: Callable) -> None:
    for model, got in _expect_penalties(answer):
        if not isinstance(got, Tensor) or not got.requires_grad:
            raise CheckError(
                "l1_penalty returns no tensor that knows a gradient", f"for the loss, {CUT}"
            )
        parameters = list(model.parameters())
        right, found = (
            torch.autograd.grad(value, parameters, materialize_grads=True)
            for value in (reference.l1_penalty(model), got)
        )
        for (name, _), one, other in zip(model.named_parameters(), found, right, strict=True):
            expect(f"l1_penalty, gradient with respect to {name}", "a network", one, other, [
                ("this layer's weights are cut off from the gradient", 0 * other),
            ], tolerance=1e-9)  # fmt: skip


# --- He's initialisation

_MEAN = 3.0  # of all weights before they are drawn anew


class _Deep(nn.Module):
    """A network with layers of several kinds and depths, beside normalisation and an embedding."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 48, (5, 3))
        self.block = nn.Sequential(
            nn.Sequential(nn.Conv2d(48, 24, 3, bias=False), nn.BatchNorm2d(24)),
            nn.ModuleDict({"inner": nn.Conv2d(24, 60, 1)}),
        )
        self.head = nn.ModuleList([nn.Linear(60, 100), nn.BatchNorm1d(100), nn.Linear(100, 24)])


_NOT_ALL: Causes = (
    (r"'NoneType' object has no", "with bias=False, layer.bias is None: there is nothing to set"),
    (
        r"'_Deep' object is not (iterable|subscriptable)",
        "a network need not be an nn.Sequential: model.modules() finds all layers",
    ),
)


def _start(seed: int = 0) -> nn.Module:
    """Return a network in which nothing is as it should be; seed PyTorch's generator."""
    model = _Deep()
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.copy_(_MEAN + normal(*parameter.shape, seed=100 + i))
    torch.default_generator.manual_seed(seed)
    return model


def _initialized(answer: Callable, seed: int = 0) -> nn.Module:
    """Return what the answer makes of the network; raise `CheckError` where it is not drawn."""
    model = _start(seed)
    made = call("kaiming_normal", answer, lambda: answer(model), causes=_NOT_ALL)
    got = require_module("kaiming_normal", made)
    if got is not model:
        raise CheckError(
            "kaiming_normal returns another network than it is given",
            "it changes the weights of `model` in place and returns `model`",
        )
    weights = _weights(model)
    left = [name for name, w in weights.items() if (w.mean() - _MEAN).abs() < 0.5]
    if left:
        inner = [name for name in weights if "." in name.removesuffix(".weight")]
        raise CheckError(
            f"kaiming_normal leaves {', '.join(left)} as before",
            "only the outermost layers are reached: model.modules() finds those inside others"
            if left == inner
            else "both nn.Conv2d and nn.Linear have to be drawn anew, wherever they are",
        )
    return model


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {
        f"{name}.weight": module.weight.detach().double()
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def _samples(answer: Callable) -> dict[str, np.ndarray]:
    """Return the weights `[draws, *shape]` of each layer from several seeds."""
    drawn = [_weights(_initialized(answer, seed)) for seed in range(4)]
    for name, weights in drawn[0].items():
        if torch.equal(weights, drawn[1][name]):
            raise CheckError(
                f"kaiming_normal, {name}: two seeds give the same weights",
                "a seed is set inside the function, or the weights are constant",
            )
    return {name: torch.stack([weights[name] for weights in drawn]).numpy() for name in drawn[0]}


def _expect_deviations(answer: Callable, *, dims: int) -> None:
    samples = _samples(answer)
    expect_deviations("kaiming_normal", {k: w for k, w in samples.items() if w.ndim == dims + 1})


for _name, _dims in {
    "the deviation of the convolutions' weights": 4,
    "the deviation of the linear layers' weights": 2,
}.items():
    kaiming_normal.part(_name)(partial(_expect_deviations, dims=_dims))


@kaiming_normal.part("a normal distribution about zero")
def _(answer: Callable) -> None:
    expect_normal("kaiming_normal", _samples(answer))


@kaiming_normal.part("biases of zero; normalisation stays as it is")
def _(answer: Callable) -> None:
    model, before = _initialized(answer), _start()
    for name, module in model.named_modules():
        bias = getattr(module, "bias", None)
        if isinstance(module, nn.Conv2d | nn.Linear) and bias is not None and bias.any():
            raise CheckError(
                f"kaiming_normal, {name}.bias: the biases should be zero\n"
                f"  got: {bias[:3].tolist()}, …",
                "the biases are left as they were"
                if torch.equal(bias, before.get_parameter(f"{name}.bias"))
                else "the biases are drawn like the weights"
                if len(set(bias.tolist())) > 1
                else "the biases are set to a constant",
            )
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for key in ("weight", "bias"):
                now, then = (m.get_parameter(f"{name}.{key}") for m in (model, before))
                if not torch.equal(now, then):
                    raise CheckError(
                        f"kaiming_normal changes {name}.{key}, of a normalisation",
                        "only convolutions and linear layers are drawn anew",
                    )
