"""The checks of `forward` and `backward`: the whole network, with the reference for its layers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial, wraps
from itertools import combinations, count

import numpy as np

from helpers.checks.answers import Causes
from helpers.checks.diagnosis import as_array, expect
from helpers.checks.errors import CheckError
from helpers.checks.parts import Check
from helpers.checks.sgd_variants import reference
from helpers.checks.sgd_variants.functions import (
    CAUSES,
    TOLERANCE,
    Arguments,
    Function,
    Mistake,
    alike,
)
from helpers.checks.sgd_variants.reference import Arrays, views

forward = Check("forward", "all activations agree with the reference")
backward = Check("backward", "the gradients of all four layers agree with the reference")

ACTIVATIONS = ("relu1", "pool1", "relu2", "pool2", "flat", "hidden", "logits")

# np.empty may hand an answer the memory in which an earlier, right result stood. No exercise comes
# twice, so that what is left unwritten is never right by chance.
_SEEDS = count(1)


def _theta(rng: np.random.Generator) -> np.ndarray:
    """Return a `theta` whose biases are not zero, so that none can be left out unnoticed."""
    theta = reference.initialize(rng, np.float64)
    return theta + 0.1 * rng.normal(size=theta.shape)


def _images(rng: np.random.Generator, batch: int) -> np.ndarray:
    return rng.normal(size=(1, 28, 28, batch))


# --- forward

_KEYS = "the dictionary should hold images, relu1, pool1, relu2, pool2, flat, hidden and logits"
Step = Callable[[Arrays, Arrays], np.ndarray]  # from the activations so far and the parameters


def _convolved(a: Arrays, p: Arrays, source: str, name: str, bias: str = "") -> np.ndarray:
    bias = bias or name
    return reference.convolution_forward(a[source], p[f"{name}.weights"], p[f"{bias}.bias"])


def _summed(a: Arrays, p: Arrays, source: str, name: str) -> np.ndarray:
    return reference.dense_forward(a[source], p[f"{name}.weights"], p[f"{name}.bias"])


def _averaged(x: np.ndarray) -> np.ndarray:
    return sum(x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4


_STEPS: dict[str, Step] = {
    "relu1": lambda a, p: reference.relu_forward(_convolved(a, p, "images", "conv1")),
    "pool1": lambda a, p: reference.max_pool_forward(a["relu1"]),
    "relu2": lambda a, p: reference.relu_forward(_convolved(a, p, "pool1", "conv2")),
    "pool2": lambda a, p: reference.max_pool_forward(a["relu2"]),
    "flat": lambda a, p: a["pool2"].reshape(196, -1),
    "hidden": lambda a, p: reference.relu_forward(_summed(a, p, "flat", "hidden")),
    "logits": lambda a, p: _summed(a, p, "hidden", "output"),
}
_WRONG_STEPS: dict[str, dict[str, Step]] = {
    "relu1": {
        "the ReLU is missing": lambda a, p: _convolved(a, p, "images", "conv1"),
        "the bias is that of the second convolution": lambda a, p: reference.relu_forward(
            _convolved(a, p, "images", "conv1", "conv2")
        ),
    },
    "pool1": {
        "the pooling is missing": lambda a, p: a["relu1"],
        "this is average pooling": lambda a, p: _averaged(a["relu1"]),
    },
    "relu2": {
        "the ReLU is missing": lambda a, p: _convolved(a, p, "pool1", "conv2"),
        "the second convolution is given relu1, and should be given pool1": lambda a, p: (
            reference.relu_forward(_convolved(a, p, "relu1", "conv2"))
        ),
        "the bias is that of the first convolution": lambda a, p: reference.relu_forward(
            _convolved(a, p, "pool1", "conv2", "conv1")
        ),
    },
    "pool2": {
        "the pooling is missing": lambda a, p: a["relu2"],
        "this is the pooling of relu1": lambda a, p: reference.max_pool_forward(a["relu1"]),
        "this is average pooling": lambda a, p: _averaged(a["relu2"]),
    },
    "flat": {
        "the batch comes first; it belongs last, [196, batch]": lambda a, p: (
            a["pool2"].reshape(196, -1).T
        ),
        "images are mixed: reshape(batch, 196) cuts across, since the batch is the last axis": (
            lambda a, p: a["pool2"].reshape(-1, 196).T
        ),
        "the order is height, width, channels; it should be channels, height, width": (
            lambda a, p: a["pool2"].transpose(1, 2, 0, 3).reshape(196, -1)
        ),
        "height and width are swapped": lambda a, p: (
            a["pool2"].transpose(0, 2, 1, 3).reshape(196, -1)
        ),
        "nothing is flattened": lambda a, p: a["pool2"],
    },
    "hidden": {
        "the ReLU is missing": lambda a, p: _summed(a, p, "flat", "hidden"),
        "the bias is missing": lambda a, p: reference.relu_forward(p["hidden.weights"] @ a["flat"]),
    },
    "logits": {
        "a ReLU is applied to the logits, so that no class can be marked down": lambda a, p: (
            reference.relu_forward(_summed(a, p, "hidden", "output"))
        ),
        "these are ln p: log_softmax belongs into the error": lambda a, p: reference.log_softmax(
            _summed(a, p, "hidden", "output")
        ),
        "these are probabilities: the softmax belongs into the error": lambda a, p: np.exp(
            reference.log_softmax(_summed(a, p, "hidden", "output"))
        ),
        "the bias is missing": lambda a, p: p["output.weights"] @ a["hidden"],
        "the output layer is given the hidden sums before their ReLU": lambda a, p: (
            p["output.weights"] @ _summed(a, p, "flat", "hidden") + p["output.bias"][:, np.newaxis]
        ),
    },
}


FORWARD = Function(
    "forward",
    ("",),
    lambda theta, images: (reference.forward(theta, images),),
    lambda theta, images: iter(()),
)


def _activations(answer: Callable, arguments: dict[str, np.ndarray]) -> Arrays:
    """Return the answer's dictionary, or raise `CheckError` when it is not one."""
    (a,) = FORWARD.call(answer, arguments)
    if not isinstance(a, dict):
        raise CheckError(f"forward should return a dictionary, not {type(a).__name__}", _KEYS)
    return a


def _forward_exercise(batch: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(next(_SEEDS))
    return {"theta": _theta(rng), "images": _images(rng, batch)}


def _expect_activations(answer: Callable, *, names: tuple[str, ...]) -> None:
    """Compare activations with what follows from the answer's own earlier ones.

    So a mistake in one layer costs no points for the layers after it.
    """
    for batch in (3, 1):
        arguments = _forward_exercise(batch)
        p, right = views(arguments["theta"]), reference.forward(*arguments.values())
        a = _activations(answer, arguments)
        before = dict(right)
        for name in ACTIVATIONS:
            own = a.get(name)
            if isinstance(own, np.ndarray) and own.shape == right[name].shape:
                before[name] = own.astype(np.float64)
        for name in names:
            if name not in a:
                raise CheckError(f"forward: {name!r} is missing in {sorted(a)}", _KEYS)
            expect(
                f"forward, {name}",
                f"images [1, 28, 28, {batch}], random weights and biases",
                a[name],
                _STEPS[name](before, p),
                _wrong_activations(name, before, p),
                tolerance=TOLERANCE["float64"],
            )


def _wrong_activations(name: str, a: Arrays, p: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    for words, step in _WRONG_STEPS[name].items():
        yield words, step(a, p)
    for other in ACTIVATIONS:
        if other != name:
            yield f"this is {other}", a[other]


for _what, _names in {
    "the first convolution and its pooling": ("relu1", "pool1"),
    "the second convolution and its pooling": ("relu2", "pool2"),
    "flattening and the hidden layer": ("flat", "hidden"),
    "the logits": ("logits",),
}.items():
    forward.part(_what)(partial(_expect_activations, names=_names))


@forward.part("the images are kept; single precision; the arguments stay as they are")
def _(answer: Callable) -> None:
    arguments = {k: v.astype(np.float32) for k, v in _forward_exercise(2).items()}
    (a,) = FORWARD.call(answer, arguments, keep=True)
    right = reference.forward(*arguments.values())
    for name in (*ACTIVATIONS, "images"):
        if not isinstance(a, dict) or name not in a:
            raise CheckError(f"forward: {name!r} is missing", _KEYS)
        got = as_array(f"forward, {name}", a[name])
        if got.shape != right[name].shape:
            raise CheckError(
                f"forward, {name}: expected shape {right[name].shape}, got {got.shape}"
            )
        if not np.isfinite(got).all() or len(np.unique(got)) < 2:
            raise CheckError(f"forward, {name}: NaN, infinite or all the same")
    expect("forward, images", "two images in single precision", a["images"], arguments["images"])


# --- backward

OUTPUT, HIDDEN, CONV2, CONV1 = LAYERS = (
    "the output layer",
    "the hidden layer",
    "the second convolution",
    "the first convolution",
)
_NAMES = dict(zip(LAYERS, ("output", "hidden", "conv2", "conv1"), strict=True))
Back = Callable[[np.ndarray, np.ndarray], np.ndarray]  # from d_outputs and outputs


@dataclass(frozen=True)
class Way:
    """The way back through the network; a mistake replaces one of the functions."""

    start: Back = lambda d_logits, logits: d_logits
    mask_hidden: Back = reference.relu_backward
    below_hidden: Back = lambda d_masked, d_unmasked: d_masked
    unflatten: Callable[[np.ndarray], np.ndarray] = lambda d_flat: d_flat.reshape(4, 7, 7, -1)
    pool2: Callable[..., np.ndarray] = reference.max_pool_backward
    mask2: Back = reference.relu_backward
    through2: Back = reference.convolution_backward_input
    below2: Back = lambda d_masked, d_unmasked: d_masked
    pool1: Callable[..., np.ndarray] = reference.max_pool_backward
    mask1: Back = reference.relu_backward

    def gradients(self, theta: np.ndarray, a: Arrays, d_logits: np.ndarray) -> tuple:
        """Return the gradient of each of `LAYERS`, weights and biases in a row."""
        p = views(theta)
        d_logits = self.start(d_logits, a["logits"])
        d_sums, *output = reference.dense_backward(d_logits, a["hidden"], p["output.weights"])
        d_hidden = self.mask_hidden(d_sums, a["hidden"])
        _, *hidden = reference.dense_backward(d_hidden, a["flat"], p["hidden.weights"])
        d_flat = p["hidden.weights"].T @ self.below_hidden(d_hidden, d_sums)
        d_relu2 = self.pool2(self.unflatten(d_flat), a["relu2"], a["pool2"])
        d_conv2 = self.mask2(d_relu2, a["relu2"])
        conv2 = reference.convolution_backward_parameters(d_conv2, a["pool1"])
        d_pool1 = self.through2(self.below2(d_conv2, d_relu2), p["conv2.weights"])
        d_conv1 = self.mask1(self.pool1(d_pool1, a["relu1"], a["pool1"]), a["relu1"])
        conv1 = reference.convolution_backward_parameters(d_conv1, a["images"])
        return tuple(_in_a_row(*pair) for pair in (output, hidden, conv2, conv1))


def _in_a_row(*arrays: np.ndarray) -> np.ndarray:
    return np.concatenate([array.ravel() for array in arrays])


def _unmasked(d_outputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return d_outputs


def _masked_by_sign(d_outputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return np.maximum(d_outputs, 0)


def _spread(d_outputs: np.ndarray, x: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return d_outputs.repeat(2, axis=1).repeat(2, axis=2)


def _averaged_back(d_outputs: np.ndarray, x: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return _spread(d_outputs, x, outputs) / 4


_MASKS = {"mask_hidden": HIDDEN, "mask2": CONV2, "mask1": CONV1}


def _wrong_ways() -> Iterator[tuple[str, dict[str, Callable], tuple[str, ...]]]:
    """Yield what is done wrong, the functions that do it, and the layers that it costs."""
    for number in (1, 2, 3):
        for masks in combinations(_MASKS, number):
            layers = tuple(_MASKS[mask] for mask in masks)
            words = f"the ReLU mask of {' and '.join(layers)} is forgotten"
            yield words, dict.fromkeys(masks, _unmasked), layers
    for mask, layer in _MASKS.items():
        yield (
            f"the ReLU of {layer} masks by the gradient's sign, and should by its own outputs",
            {mask: _masked_by_sign},
            (layer,),
        )
    for words, start in {
        "d_logits is divided by the batch size again": lambda d, z: d / d.shape[1],
        "d_logits is multiplied by the batch size": lambda d, z: d * d.shape[1],
        "the sign of d_logits is changed": lambda d, z: -d,
        "a ReLU mask is applied to the logits, which have no ReLU": reference.relu_backward,
    }.items():
        yield words, {"start": start}, (OUTPUT,)
    yield (
        "the gradient is passed on below the hidden layer without its ReLU mask",
        {"below_hidden": lambda d_masked, d_unmasked: d_unmasked},
        (CONV2,),
    )
    for words, unflatten in {
        "d_flat is put back in the order height, width, channels": (
            lambda d: d.reshape(7, 7, 4, -1).transpose(2, 0, 1, 3)
        ),
        "d_flat is put back with height and width swapped": (
            lambda d: d.reshape(4, 7, 7, -1).transpose(0, 2, 1, 3)
        ),
        "images are mixed: reshape(batch, …) cuts across, since the batch is the last axis": (
            lambda d: d.reshape(-1, 4, 7, 7).transpose(1, 2, 3, 0)
        ),
    }.items():
        yield words, {"unflatten": unflatten}, (CONV2,)
    for pool, where, layer in (("pool2", "second", CONV2), ("pool1", "first", CONV1)):
        yield (
            f"the {where} pooling gives its gradient to all four numbers of a window",
            {pool: _spread},
            (layer,),
        )
        yield f"the {where} pooling goes back as average pooling", {pool: _averaged_back}, (layer,)
    yield (
        "the way back through the second convolution is left out",
        {"through2": lambda d_outputs, weights: d_outputs},
        (CONV1,),
    )
    yield (
        "the gradient is passed through the second convolution without its ReLU mask",
        {"below2": lambda d_masked, d_unmasked: d_unmasked},
        (CONV1,),
    )


def _backward_mistakes(theta: np.ndarray, a: Arrays, d_logits: np.ndarray) -> Iterator[Mistake]:
    """Yield each wrong way with all gradients, and what is not written into the vector."""
    for words, changes, layers in _wrong_ways():
        yield Mistake(words, replace(Way(), **changes).gradients(theta, a, d_logits), layers)
    right = Way().gradients(theta, a, d_logits)
    for i, (layer, name) in enumerate(_NAMES.items()):
        weights, bias = np.ones(right[i].shape), np.ones(right[i].shape)
        weights[views(theta)[f"{name}.weights"].size :] = 0
        bias -= weights
        for words, written in {
            "the biases' gradient is not written": weights,
            "the weights' gradient is not written": bias,
            "its gradient is not written into the vector": np.zeros(right[i].shape),
        }.items():
            yield Mistake(words, (*right[:i], written * right[i], *right[i + 1 :]), (layer,))


def _backward_pairs(
    got: list[object], theta: np.ndarray, a: Arrays, d_logits: np.ndarray
) -> Iterator[Mistake]:
    """Yield every two wrong ways of which one alone explains the first wrong layer."""
    ways = list(_wrong_ways())
    right = Way().gradients(theta, a, d_logits)
    wrong = next((i for i in range(4) if not alike(got[i], right[i])), 0)
    for words, changes, layers in ways:
        if not alike(got[wrong], replace(Way(), **changes).gradients(theta, a, d_logits)[wrong]):
            continue
        for more, others, deeper in ways:
            if changes.keys().isdisjoint(others):
                gradients = replace(Way(), **changes, **others).gradients(theta, a, d_logits)
                yield Mistake(f"two: {words}; and {more}", gradients, layers + deeper)


class _Backward(Function):
    """Looks for two mistakes at once where none alone explains the gradients."""

    def _explain(self, got: list[object], place: int, arguments: Arguments, crop: Callable):
        named, whole = super()._explain(got, place, arguments, crop)
        if not whole:
            for pair in _backward_pairs(got, *arguments.values()):
                if all(alike(*results) for results in zip(got, pair.results, strict=True)):
                    return pair, True
        return named, whole


_BACKWARD_CAUSES: Causes = (
    (
        r"^'\w+'$",
        "activations hold images, relu1, pool1, relu2, pool2, flat, hidden and logits; the check "
        "gives these and no others",
    ),
    *CAUSES,
)
BACKWARD = _Backward(
    "backward",
    LAYERS,
    Way().gradients,
    _backward_mistakes,
    _BACKWARD_CAUSES,
)


def _by_layer(answer: Callable) -> Callable:
    """Let `answer` return the gradients of `LAYERS`, which it returns as one vector."""

    @wraps(answer)
    def gradients(theta: np.ndarray, activations: Arrays, d_logits: np.ndarray) -> object:
        vector = answer(theta, activations, d_logits)
        if vector is None or vector is Ellipsis:
            return vector
        shape = np.shape(vector)
        if shape != theta.shape:
            raise CheckError(
                f"backward should return a vector of shape {theta.shape}, laid out as theta, not "
                f"{f'shape {shape}' if shape else type(vector).__name__}"
            )
        g = views(as_array("backward", vector))
        return [_in_a_row(g[f"{name}.weights"], g[f"{name}.bias"]) for name in _NAMES.values()]

    return gradients


def _backward_exercise(batch: int) -> dict[str, object]:
    rng = np.random.default_rng(next(_SEEDS))
    theta, d_logits = _theta(rng), rng.normal(size=(10, batch))
    activations = reference.forward(theta, _images(rng, batch))
    return {"theta": theta, "activations": activations, "d_logits": d_logits}


def _expect_gradient(answer: Callable, *, layer: str) -> None:
    for batch in (2, 1):
        BACKWARD.expect(_by_layer(answer), _backward_exercise(batch), [layer], part=layer)


for _layer in LAYERS:
    backward.part(f"the gradient of {_layer}")(partial(_expect_gradient, layer=_layer))


@backward.part("single precision; the arguments stay as they are")
def _(answer: Callable) -> None:
    exercise = _backward_exercise(2)
    for dtype in (np.float64, np.float32):
        arguments = {name: _in(dtype, value) for name, value in exercise.items()}
        BACKWARD.call(_by_layer(answer), arguments, keep=True)
        BACKWARD.expect(_by_layer(answer), arguments, part="the arguments")


def _in(dtype: type, value: object) -> object:
    if isinstance(value, dict):
        return {name: array.astype(dtype) for name, array in value.items()}
    return value.astype(dtype)
