"""A network as a row of named operations, and mistakes planted into it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.checks.diagnosis import Mistake

Operation = Callable[[Tensor], Tensor]
Operations = Mapping[str, Operation]
Planted = tuple[str, Operations]  # what is wrong, and the operations that it replaces


def identity(X: Tensor) -> Tensor:
    """Return `X`: an operation that is missing."""
    return X


_softmax, _log_softmax = partial(F.softmax, dim=1), partial(F.log_softmax, dim=1)
ACTIVATIONS: Operations = {
    "ReLU": F.relu,
    "a sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "a leaky ReLU": F.leaky_relu,
    "GELU": F.gelu,
    "ELU": F.elu,
    "SiLU": F.silu,
    "a softmax": _softmax,
}
AT_THE_END: Operations = {
    "a softmax": _softmax,
    "a log-softmax": _log_softmax,
    "a softmax over the batch": partial(F.softmax, dim=0),
    "a ReLU": F.relu,
    "a sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def follow(operations: Operations, X: Tensor) -> Tensor:
    """Return what the operations, one after the other, make of `X`."""
    for operation in operations.values():
        X = operation(X)
    return X


def wrong_activations(places: Mapping[str, str], right: str = "ReLU") -> Iterator[Planted]:
    """Yield activations that are missing or others; `places` says which operation is where."""
    for count in range(1, len(places) + 1):
        for some in combinations(places, count):
            words = f"{right} is missing after {listed(places[place] for place in some)}"
            yield words, dict.fromkeys(some, identity)
    for name, activation in ACTIVATIONS.items():
        if name == right:
            continue
        yield f"{name} stands in place of every {right}", dict.fromkeys(places, activation)
        for place, where in places.items():
            yield f"{name} stands in place of the {right} after {where}", {place: activation}


def wrong_ends(place: str = "end") -> Iterator[Planted]:
    """Yield what does not belong behind the last layer."""
    for name, end in AT_THE_END.items():
        yield f"{name} stands at the end; the network returns the logits themselves", {place: end}


@torch.no_grad()
def mistakes(operations: Operations, planted: Iterable[Planted], X: Tensor) -> Iterator[Mistake]:
    """Yield what each planted mistake makes of `X`, then every two that can occur together."""
    planted = list(planted)
    for words, changes in planted:
        yield words, follow({**operations, **changes}, X)
    for (words, changes), (more, others) in combinations(planted, 2):
        if changes.keys().isdisjoint(others):
            yield f"two: {words}; and {more}", follow({**operations, **changes, **others}, X)


def listed(words: Iterable[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
