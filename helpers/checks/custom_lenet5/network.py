"""The check of `lenet5`: the network of 1998, layer by layer, and its first weights."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.checks.answers import attempt
from helpers.checks.custom_lenet5 import reference
from helpers.checks.custom_lenet5.judging import CAUSES, OwnWork
from helpers.checks.custom_lenet5.reference import standing_in
from helpers.checks.diagnosis import Mistake, expect
from helpers.checks.errors import CheckError
from helpers.checks.exercises import normal
from helpers.checks.parts import Check
from helpers.checks.scope import scope

lenet5 = Check("lenet5", "layers, 60,000 parameters, values and first weights are those of 1998")

Parameters = dict[str, Tensor]
Step = Callable[[Tensor], Tensor]

# The shapes of the parameters of each layer, and of what it gives for one image.
LAYERS: dict[str, tuple[dict[str, tuple[int, ...]], tuple[int, ...]]] = {
    "C1": ({"weight": (6, 1, 5, 5), "bias": (6,)}, (6, 28, 28)),
    "squash1": ({}, (6, 28, 28)),
    "S2": ({"coefficient": (6,), "bias": (6,)}, (6, 14, 14)),
    "squash2": ({}, (6, 14, 14)),
    "C3": ({"weight": (60, 5, 5), "bias": (16,)}, (16, 10, 10)),
    "squash3": ({}, (16, 10, 10)),
    "S4": ({"coefficient": (16,), "bias": (16,)}, (16, 5, 5)),
    "squash4": ({}, (16, 5, 5)),
    "C5": ({"weight": (120, 16, 5, 5), "bias": (120,)}, (120, 1, 1)),
    "squash5": ({}, (120, 1, 1)),
    "flatten": ({}, (120,)),
    "F6": ({"weight": (84, 120), "bias": (84,)}, (84,)),
    "squash6": ({}, (84,)),
    "output": ({}, (10,)),
}


def _given(answer: Callable, name: str) -> Tensor:
    """Return `CONNECTED` or `codes` of the notebook."""
    value = scope(answer).get(name)
    if not isinstance(value, Tensor):
        raise CheckError(f"lenet5 needs {name}, which the page gives", "run the cell that makes it")
    return value


def _build(answer: Callable) -> nn.Module:
    """Return the answer's network once its layers have the right names."""
    connected, codes = _given(answer, "CONNECTED"), _given(answer, "codes")
    with standing_in(answer, "lenet5"):
        model = attempt("lenet5", answer, causes=CAUSES)
    if not isinstance(model, nn.Sequential):
        raise CheckError(
            f"lenet5 should return an nn.Sequential, not {model!r:.60}",
            "what follows walks through its layers",
        )
    assert connected.shape == (16, 6) and codes.shape == (10, 84)
    every = model.named_modules(remove_duplicate=False)  # one squashing may serve several times
    names = [name for name, _ in every if name and "." not in name]
    if names != list(LAYERS):
        raise CheckError(
            f"lenet5 has other layers\n  expected: {', '.join(LAYERS)}\n  got: {', '.join(names)}",
            _explain_names(names),
        )
    return model


def _explain_names(names: list[str]) -> str:
    if names == [str(i) for i in range(len(names))] and names:
        return "nn.Sequential(OrderedDict(C1=…, squash1=…, …)) gives the layers their names"
    missing = [name for name in LAYERS if name not in names]
    surplus = [name for name in names if name not in LAYERS]
    if missing:
        return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    return f"{', '.join(surplus)} should not be there" if surplus else "the order is another one"


@lenet5.part("the layers and their 60,000 parameters")
def _(answer: Callable) -> None:
    model = _build(answer)
    if not model.training:
        raise CheckError("lenet5 returns a network in evaluation mode", "remove .eval()")
    if {p.dtype for p in model.parameters()} != {torch.float32}:
        raise CheckError("lenet5 should have parameters in float32, as `prepare` gives images")
    for name, (shapes, _) in LAYERS.items():
        layer = getattr(model, name)
        got = {key: tuple(p.shape) for key, p in layer.named_parameters() if p.requires_grad}
        if got != shapes:
            count, right = (sum(map(math.prod, s.values())) for s in (got, shapes))
            raise CheckError(
                f"lenet5: {name} has {count:,} trainable parameters and should have {right:,}\n"
                f"  expected: {shapes or 'none'}\n  got: {got or 'none'}",
                _explain_count(name, count),
            )
    if len({id(p) for p in model.parameters()}) != 12:
        raise CheckError("two layers of lenet5 are the same object", "make each layer anew")


def _explain_count(name: str, count: int) -> str:
    known = {
        ("C3", 2416): "all 16 maps see all 6 maps of S2; PartialConvolution2d(CONNECTED, 5) has "
        "only the connections of Table I",
        ("C3", 2400): "all 16 maps see all 6 maps of S2, and the biases are missing",
        ("output", 850): "nn.Linear(84, 10) takes the place of the codes",
        ("output", 840): "the codes are trained; of 1998, they are fixed",
        ("S2", 0): "a pooling without parameters takes the place of TrainableSubsampling2d",
        ("S4", 0): "a pooling without parameters takes the place of TrainableSubsampling2d",
        ("C5", 48000): "bias=False leaves the biases out",
        ("C1", 150): "bias=False leaves the biases out",
        ("F6", 10080): "bias=False leaves the biases out",
    }
    right = sum(map(math.prod, LAYERS[name][0].values()))
    wrapped = "the layer itself should stand here, not inside another one"
    return known.get((name, count), wrapped if count == right else "")


# --- values


def _steps(p: Parameters, connected: Tensor, codes: Tensor) -> dict[str, Step]:
    """Return what each layer does, by the parameters' names."""
    squash = reference.ScaledTanh()
    kernels = reference.spread(p["C3.weight"], connected)
    return {
        "C1": lambda X: reference.convolve(X, p["C1.weight"], p["C1.bias"]),
        "S2": lambda X: reference.subsample(X, p["S2.coefficient"], p["S2.bias"]),
        "C3": lambda X: reference.convolve(X, kernels, p["C3.bias"]),
        "S4": lambda X: reference.subsample(X, p["S4.coefficient"], p["S4.bias"]),
        "C5": lambda X: reference.convolve(X, p["C5.weight"], p["C5.bias"]),
        "flatten": lambda X: X.flatten(1),
        "F6": lambda X: F.linear(X, p["F6.weight"], p["F6.bias"]),
        "output": lambda X: reference.score(X, codes),
    } | {f"squash{i}": squash for i in range(1, 7)}


def _mistakes(name: str, step: Step, X: Tensor, connected: Tensor, p: Parameters, codes: Tensor):
    """Yield what a layer may be instead of `step`, with what it gives for `X`."""
    right = step(X)
    if name.startswith("squash"):
        yield "the squashing is missing: nothing is done here", X
        yield "the squashing is applied twice", step(right)
        yield "tanh without its two scales stands here, not ScaledTanh", X.tanh()
        yield "a ReLU stands here, not ScaledTanh", X.relu()
        yield "a sigmoid stands here, not ScaledTanh", X.sigmoid()
        return
    yield (
        "a squashing is applied inside this layer, beside the one behind it",
        (reference.ScaledTanh()(right)),
    )
    yield (
        "a squashing is applied before this layer, beside the one that is there",
        (step(reference.ScaledTanh()(X))),
    )
    if name == "C3":
        yield from _wrong_connections(X, connected, p)
    if name == "output":
        yield "the codes are in another order", reference.score(X, codes.flip(0))
        yield (
            "the codes are those of black ink: the sign of all is wrong",
            reference.score(X, -codes),
        )
    if name in ("S2", "S4"):
        yield "the mean is taken, not the sum", step(X / 4)


def _wrong_connections(X: Tensor, connected: Tensor, p: Parameters) -> Iterator[Mistake]:
    for words, table in {
        "CONNECTED is turned upside down": connected.flip(0),
        "CONNECTED is turned left to right": connected.flip(1),
        "the connections are another table than CONNECTED": connected.roll(1, 1),
    }.items():
        yield words, reference.convolve(X, reference.spread(p["C3.weight"], table), p["C3.bias"])


@torch.no_grad()
def _expect_values(answer: Callable, *, names: tuple[str, ...]) -> None:
    """Give random inputs to each of the layers, with random parameters, and compare."""
    model = _build(answer).double()
    p = _randomized(model)
    connected, codes = _given(answer, "CONNECTED").cpu(), _given(answer, "codes").double().cpu()
    before = dict(zip(list(LAYERS)[1:], LAYERS.values(), strict=False))
    for name in names:
        shape = before[name][1] if name in before else (1, 32, 32)
        X = normal(2, *shape, seed=len(name))
        got = _called(f"lenet5, {name}", getattr(model, name), X)
        try:
            step = _steps(p, connected, codes)[name]
            right = step(X)
        except (KeyError, RuntimeError, ValueError):
            raise CheckError(
                f"lenet5: {name} has other parameters than it should",
                "see the part about the parameters",
            ) from None
        mistakes = _mistakes(name, step, X, connected, p, codes)
        expect(
            f"lenet5, {name}", f"random inputs {list(X.shape)}", got, right, mistakes,
            tolerance=1e-9,
        )  # fmt: skip


def _randomized(model: nn.Module) -> Parameters:
    """Draw all parameters of a network; return them by name."""
    for seed, parameter in enumerate(model.parameters()):
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 1
        parameter.copy_(normal(*parameter.shape, seed=seed) / math.sqrt(fan_in))
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


for _name, _names in {
    "the convolutions, the flattening and F6 compute what they should": (
        *("C1", "C3", "C5", "flatten", "F6"),
    ),
    "the subsampling layers and the output compute what they should": ("S2", "S4", "output"),
    "each layer but the output is squashed, once": tuple(f"squash{i}" for i in range(1, 7)),
}.items():
    lenet5.part(_name)(partial(_expect_values, names=_names))


@lenet5.part("the network applies its layers in order, from [batch, 1, 32, 32] to ten scores")
@torch.no_grad()
def _(answer: Callable) -> None:
    model = _build(answer).double()
    _randomized(model)
    for batch in (3, 1):
        X = right = normal(batch, 1, 32, 32, seed=batch)
        got = _called("lenet5", model, X)
        for name in LAYERS:
            right = _called(f"lenet5, {name}", getattr(model, name), right)
        if tuple(right.shape) != (batch, 10):
            raise CheckError(f"lenet5 turns {batch} images into {list(right.shape)}")
        if batch > 1 and torch.equal(right[0], right[1]):
            raise CheckError("lenet5 gives the same scores for two images")
        expect("lenet5", f"{batch} random images", got, right, tolerance=1e-9)


def _called(name: str, layer: nn.Module, X: Tensor) -> Tensor:
    with OwnWork(name):
        return attempt(name, partial(layer, X), causes=CAUSES)


# --- the first weights

NETWORKS = 20  # are drawn: S2 has only six numbers of a kind, and their range is asked for


def _fan_in(connected: Tensor) -> Parameters:
    """Return the number of inputs of the unit that each row of a parameter belongs to."""
    of_map = 25 * connected.sum(1)
    fan_in = {"C3.weight": of_map[connected.nonzero(as_tuple=True)[0]], "C3.bias": of_map}
    for name, units, inputs in (
        *(("C1", 6, 25), ("S2", 6, 4), ("S4", 16, 4), ("C5", 120, 400), ("F6", 84, 120)),
    ):
        for key in LAYERS[name][0]:
            fan_in[f"{name}.{key}"] = torch.full((units,), inputs)
    return fan_in


def _expect_drawn(answer: Callable, *, keys: tuple[str, ...]) -> None:
    """Check that each parameter is uniform in ±2.4 / fan-in, for units of each fan-in alone."""
    fan_in = _fan_in(_given(answer, "CONNECTED").cpu())
    networks = []
    for seed in range(NETWORKS):
        torch.default_generator.manual_seed(seed)
        networks.append(dict(_build(answer).named_parameters()))
    for key in keys:
        drawn = [network.get(key, torch.empty(0)).detach().double() for network in networks]
        if len(drawn[0]) != len(fan_in[key]):
            raise CheckError(f"lenet5: {key} is missing or has another size")
        for inputs in fan_in[key].unique().tolist():
            values = torch.stack(drawn)[:, fan_in[key] == inputs] * inputs / 2.4
            _expect_uniform(key, values, inputs)


def _expect_uniform(key: str, values: Tensor, inputs: int) -> None:
    """Raise `CheckError` unless all values are uniform in ±1, as far as so many of them can tell.

    The first axis is that of the networks. A right answer fails once in some ten million times.
    """
    what, bound = f"lenet5, first values of {key}, fan-in {inputs}", 2.4 / inputs
    if torch.equal(values[0], values[1]):
        raise CheckError(
            f"{what}: they are the same in two networks, {values.flatten()[0] * bound:.4g}, …",
            "they are constant and should be drawn at random, biases and coefficients too",
        )
    count = values.numel()
    low, high, mean = values.min(), values.max(), values.mean()
    deviation = values.std() * math.sqrt(3)  # 1 for a uniform distribution
    least = 1e-8 ** (1 / count)
    if (
        max(-low, high) <= 1 + 1e-5
        and min(-low, high) >= 2 * least - 1
        and abs(mean) <= 3.5 / math.sqrt(count)
        and abs(deviation - 1) <= 2.7 / math.sqrt(count)
    ):
        return
    raise CheckError(
        f"{what}: they are not uniform between ±2.4 / {inputs}\n  expected: from {-bound:.4g} to "
        f"{bound:.4g}\n  got: from {low * bound:.4g} to {high * bound:.4g}, mean "
        f"{mean * bound:.3g} (of {count:,} numbers)",
        _explain_range(float(max(-low, high)), float(deviation), float(low), inputs, count),
    )


def _explain_range(largest: float, deviation: float, low: float, inputs: int, count: int) -> str:
    """Return which other bound or distribution fits, all as parts of 2.4 / fan-in.

    The convolutions that stand in draw from a normal distribution with the deviation 1/9.
    """
    if low >= 0:
        return "none is negative: torch.rand draws from 0 to 1"
    near = 0.02 + 3 / count
    for words, bound in {
        "the bound is 1 / √fan-in, PyTorch's own": inputs**-0.5,
        "the bound is 2.4 / √fan-in": 2.4 * inputs**-0.5,
        "the bound is 1 / fan-in": 1 / inputs,
        "the bound is √(6 / fan-in), that of ReLU": (6 / inputs) ** 0.5,
        "the bound is 2.4, as of a fan-in of 1": 2.4,
        "the bound is 1": 1.0,
        "the fan-in is that of all 6 maps, 150; most maps of C3 see fewer": 2.4 / 150,
        "the fan-in is that of one kernel, 25; a map of C3 or C5 sees several maps": 2.4 / 25,
        "the fan-in is the number of channels; a unit of S2 has 4 inputs": 2.4 / 6,
        "the fan-in is the number of channels; a unit of S4 has 4 inputs": 2.4 / 16,
        "the number of outputs is taken, not that of inputs": 2.4 / 84,
    }.items():
        ratio = bound * inputs / 2.4
        if abs(largest / ratio - 1) < near and abs(deviation / ratio - 1) < 3 / math.sqrt(count):
            return words
    for words, spread in {
        "they are normal with the deviation 2.4 / fan-in; uniform is asked for": math.sqrt(3),
        "they are normal; uniform is asked for": 1.0,
        "the layer's own first values are left; lenet5 draws its weights and biases anew": (
            inputs / 2.4 / 9 * math.sqrt(3)
        ),
    }.items():
        if abs(deviation / spread - 1) < 3 / math.sqrt(count) and largest > 1.5 * spread / 1.7:
            return words
    return ""


for _name, _keys in {
    "the first weights are uniform in ±2.4 / fan-in": (
        *("C1.weight", "C3.weight", "C5.weight", "F6.weight"),
    ),
    "the first coefficients are uniform in ±2.4 / 4": ("S2.coefficient", "S4.coefficient"),
    "the first biases are in the range of their unit's weights": (
        *("C1.bias", "S2.bias", "C3.bias", "S4.bias", "C5.bias", "F6.bias"),
    ),
}.items():
    lenet5.part(_name)(partial(_expect_drawn, keys=_keys))
