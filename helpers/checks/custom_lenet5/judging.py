"""How the checks of this chapter call an answer, and hold it against the reference."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from helpers.checks import exercises
from helpers.checks.answers import Causes, attempt
from helpers.checks.custom_lenet5.reference import standing_in
from helpers.checks.errors import CheckError, NotWrittenYet
from helpers.checks.exercises import Function

Shapes = Mapping[str, tuple[int, ...]]

CAUSES: Causes = (
    (r"leaf Variable that requires grad.*in-place", "an argument is changed in place"),
    (
        r"modified by an inplace operation",
        "a tensor that the gradient needs is changed in place afterwards",
    ),
    (
        r"missing the required .forward. function",
        "the layer has no method forward(self, X); mind the name and the indentation",
    ),
    (
        r"'(?!Tensor|NoneType)[A-Z]\w*' object has no attribute|before Module.__init__",
        "a name is used that was never set: mind its spelling, and that super().__init__() and "
        "self.… = … stand in __init__",
    ),
    (
        r"shapes cannot be multiplied|must match the size|einsum|shape '.*' is invalid|"
        r"size mismatch|non-singleton dimension|doesn't match the broadcast",
        "two tensors that belong together differ in shape: perhaps a vertical number is used for a "
        "horizontal one, or axes of length 1 are missing, bias[:, None, None]",
    ),
    (r"Boolean value of Tensor with more than one value", "ask whether the bias `is not None`"),
    (r"setStorage", "these steps lead out of the image: each belongs to an axis of the result"),
    (
        r"'NoneType'|NoneType: None|got NoneType",
        "something is None that is used nevertheless, such as the bias with bias=False",
    ),
)
# Parts of the names of what PyTorch has ready-made: a convolution, its windows, and any pooling.
READY_MADE = r"conv|pool|functional\.(un)?fold|im2col|col2im"


class OwnWork(TorchFunctionMode):
    """Refuses PyTorch's functions in whose name, with its module, `ready_made` is found."""

    def __init__(self, name: str, ready_made: str = READY_MADE):
        super().__init__()
        self.name, self.ready_made = name, ready_made

    def __torch_function__(self, func, types, args=(), kwargs=None):
        function = f"{getattr(func, '__module__', '')}.{getattr(func, '__name__', '')}"
        if re.search(self.ready_made, function):
            raise CheckError(
                f"{self.name} uses PyTorch's own {func.__name__}",
                "the exercise is to write this yourself",
            )
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Exercise(exercises.Exercise):
    """An exercise in which PyTorch's functions called as in `ready_made` are refused."""

    ready_made: str = READY_MADE
    causes: Causes = CAUSES

    @contextmanager
    def surroundings(self, name: str, answer: Callable) -> Iterator[None]:
        """Put the chapter's reference in the place of the other answers."""
        with standing_in(answer, name), OwnWork(name, self.ready_made):
            yield


def expect_errors(name: str, answer: Callable, cases: Mapping[str, Callable[[], object]]) -> None:
    """Raise `CheckError` unless each of the actions, by what is given to it, raises ValueError."""
    for given, action in cases.items():
        try:
            with standing_in(answer, name):
                result = attempt(name, action, causes=CAUSES)
        except NotWrittenYet:
            raise
        except CheckError as failure:
            error = failure.__cause__
            if isinstance(error, ValueError):
                continue
            if error is not None:
                raise CheckError(
                    f"{name}: {given} ends in {type(error).__name__}, and should in ValueError",
                    failure.hint or "look at settings and shapes first, and raise ValueError(…)",
                ) from error
            result = None
        shown = f"[{', '.join(map(str, result.shape))}]" if isinstance(result, Tensor) else result
        raise CheckError(
            f"{name} accepts {given} and returns {shown!s:.60}",
            "raise ValueError(…) where the window or the settings are impossible",
        )


def build(name: str, layer: type, *settings: object, has: Shapes, **named: object) -> nn.Module:
    """Return `layer(*settings, **named)`, or raise `CheckError` if its parameters are not `has`."""
    if not isinstance(layer, type):
        raise CheckError(f"{name} should be a class, not a {type(layer).__name__}")
    if not issubclass(layer, nn.Module):
        raise CheckError(f"{name} is not a layer", f"begin with class {name}(nn.Module):")
    words = [*map(_shown, settings), *(f"{key}={_shown(value)}" for key, value in named.items())]
    what = f"{name}({', '.join(words)})"
    with standing_in(layer, name):
        module = attempt(what, lambda: layer(*settings, **named), causes=CAUSES)
    got = {k: tuple(p.shape) for k, p in module.named_parameters() if p.requires_grad}
    if got != dict(has):
        raise CheckError(
            f"{what} has the wrong trainable parameters\n  expected: {_listed(has)}\n"
            f"  got: {_listed(got)}",
            _explain_parameters(module, got, has),
        )
    return module


def called(layer: nn.Module, *names: str) -> Function:
    """Return what a layer makes of `X`, as a function of `X` and its parameters by these names."""

    def action(X: Tensor, *parameters: Tensor | None) -> Tensor:
        given = zip(names, parameters, strict=True)
        return functional_call(layer, {name: p for name, p in given if p is not None}, (X,))

    return action


def expect_drawn(name: str, make: Callable[[], nn.Module]) -> nn.Module:
    """Return a layer that `make` builds once its parameters turn out to be drawn at random."""
    layer, again, other = (_seeded(make, seed) for seed in (0, 0, 1))
    for key, value in layer.named_parameters():
        same_seed, other_seed = again.get_parameter(key), other.get_parameter(key)
        if not value.isfinite().all():
            raise CheckError(
                f"{name}: {key} holds {value.flatten()[0]:g} at first",
                "torch.empty(…) is whatever was in memory: fill it with random numbers",
            )
        if key == "weight" and torch.equal(value, other_seed):
            raise CheckError(
                f"{name}: weight is the same for two seeds, {value.flatten()[0]:g}, …",
                "all kernels would learn the same; draw them at random",
            )
        if key == "weight" and len(value) > 1 and torch.equal(value[0], value[1]):
            raise CheckError(
                f"{name}: the first two kernels are the same",
                "they would learn the same; draw each number by itself",
            )
        if key == "weight" and (value.min() >= 0 or value.max() <= 0):
            raise CheckError(
                f"{name}: all weights have the same sign",
                "torch.rand(…) draws from 0 to 1; the weights should be spread around 0",
            )
        if not torch.equal(value, same_seed):
            raise CheckError(
                f"{name}: {key} differs although the seed is the same",
                "draw from torch's generator, or results cannot be repeated",
            )
    return layer


def _seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build with a seed; memory that is never filled in is NaN."""
    torch.default_generator.manual_seed(seed)
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("warn")  # which fills new memory with NaN
    try:
        return make()
    finally:
        torch.set_deterministic_debug_mode(before)


def _explain_parameters(module: nn.Module, got: Shapes, has: Shapes) -> str:
    for key in has:
        if key not in got and isinstance(getattr(module, key, None), Tensor):
            return f"{key} is not trained: that takes an nn.Parameter that requires its gradient"
    missing, surplus = sorted(has.keys() - got.keys()), sorted(got.keys() - has.keys())
    if missing and surplus:
        return f"the exercise names {', '.join(missing)} what is called {', '.join(surplus)} here"
    if surplus and all(isinstance(getattr(module, key, None), Tensor) for key in surplus):
        return f"{', '.join(surplus)} should not be trained: no nn.Parameter"
    if missing:
        return f"{', '.join(missing)} is missing: self.{missing[0]} = nn.Parameter(…)"
    key = next(key for key in has if got[key] != has[key])
    if sorted(got[key]) == sorted(has[key]):
        return f"the axes of {key} are in the wrong order"
    count, right = math.prod(got[key]), math.prod(has[key])
    if count != right:
        return f"{key} should hold {right} numbers, not {count}"
    return f"{key} should have the shape {list(has[key])}"


def _listed(shapes: Shapes) -> str:
    return ", ".join(f"{key} {list(shape)}" for key, shape in shapes.items()) or "none"


def _shown(value: object) -> str:
    return f"[{', '.join(map(str, value.shape))}]" if isinstance(value, Tensor) else repr(value)
