"""How the checks of this chapter call an answer, and what its error messages come from."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from helpers.checks import exercises
from helpers.checks.answers import Causes, attempt
from helpers.checks.cifar10_resnet.reference import standing_in
from helpers.checks.cifar10_resnet.tracing import Layer
from helpers.checks.errors import CheckError
from helpers.checks.exercises import normal

CAUSES: Causes = (
    (
        r"missing the required .forward. function",
        "the module has no method forward(self, X); mind the name and the indentation",
    ),
    (
        r"before Module.__init__",
        "super().__init__() has to stand first in __init__",
    ),
    (
        r"NVIDIA driver|not compiled with CUDA|No CUDA GPUs",
        '"cuda" is written out: use `device`, which is the CPU where there is no GPU',
    ),
    (r"leaf Variable that requires grad.*in-place", "the input, or a parameter, is changed "
     "in place: the caller's tensors stay as they are"),
    (
        r"modified by an inplace operation",
        "a tensor that the gradient needs is changed in place afterwards",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Exercise(exercises.Exercise):
    """An exercise in which the answer finds the chapter's reference."""

    causes: Causes = CAUSES

    def surroundings(self, name: str, answer: Callable) -> AbstractContextManager[None]:
        """Put the reference in the place of the other answers."""
        return standing_in(answer, name)


def call(
    name: str,
    answer: Callable,
    action: Callable[[], object],
    explain: Callable[[], str] = lambda: "",
    *,
    causes: Causes = (),
    **instead: object,
) -> object:
    """Return what `action` returns, which calls `answer`, called `name`."""
    with standing_in(answer, name, **instead):
        return attempt(name, action, explain, causes=(*causes, *CAUSES))


def pair(name: str, result: object, what: Sequence[str]) -> list[object]:
    """Return the values that an answer returned, as many as `what` has words for."""
    if not isinstance(result, list | tuple) or len(result) != len(what):
        came = f"{len(result)} values" if isinstance(result, list | tuple) else f"{result!r:.60}"
        raise CheckError(f"{name} should return ({', '.join(what)}), not {came}")
    return list(result)


def require_module(name: str, model: object) -> nn.Module:
    """Return a network, or raise `CheckError` if it is none."""
    if not isinstance(model, nn.Module):
        raise CheckError(
            f"{name} should return a network (nn.Module), not {model!r:.60}",
            f"make one: {model.__name__}()" if isinstance(model, type) else "",
        )
    if any(p.dtype != torch.float32 for p in model.parameters()):
        raise CheckError(f"{name} should have parameters in float32")
    return model


def kept(name: str, what: str, now: Tensor, before: Tensor) -> None:
    """Raise `CheckError` when an answer has changed what belongs to its caller."""
    if not torch.equal(now, before):
        raise CheckError(
            f"{name} changes the {what} that it is given",
            "an operation in place (+=, …_(), [...] =) works on the caller's tensor",
        )


@torch.no_grad()
def randomize(layers: Sequence[Layer]) -> None:
    """Draw all parameters and averages of a network; none is zero, scales have both signs."""
    seed = 0
    for layer in layers:
        spread = (2 / layer.weight[0].numel()) ** 0.5
        for tensor, scale in ((layer.weight, spread), *((v, 1.0) for v in layer.vectors)):
            seed += 1
            drawn = normal(*tensor.shape, seed=seed)
            tensor.copy_(scale * (drawn if scale != 1 else drawn + 0.5 * drawn.sign()))
        for i, average in enumerate(layer.averages):
            seed += 1
            drawn = normal(*average.shape, seed=seed)
            average.copy_(drawn.abs() + 0.5 if i else drawn)


def shapes(layers: Sequence[Layer]) -> list[tuple[int, ...]]:
    """Return the shapes of the weights of some layers."""
    return [tuple(layer.weight.shape) for layer in layers]


def described(shape: tuple[int, ...]) -> str:
    """Return a weight's shape in words."""
    if len(shape) == 4:
        return f"a convolution with {shape[0]} kernels of {' × '.join(map(str, shape[1:]))}"
    if len(shape) == 2:
        return f"a linear layer from {shape[1]} to {shape[0]}"
    return f"weights of shape {list(shape)}"
