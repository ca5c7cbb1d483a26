"""The check of `get_intermediate`: what the first convolution and the first pooling put out."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from helpers.checks.answers import attempt
from helpers.checks.diagnosis import Mistake, expect
from helpers.checks.errors import CheckError
from helpers.checks.hw7.reference import ReferenceLeNet5, randomize, rows
from helpers.checks.parts import Check

get_intermediate = Check(
    "get_intermediate", "both outputs agree with the reference for M_avg and M_max"
)

CONVOLVED, POOLED = 1, 3  # places in the reference's nn.Sequential
NAMES = {CONVOLVED: "first convolution's output", POOLED: "first pooling layer's output"}

_NOT_CALLED = "the slices are not called: network[:n](X)"
_CAUSES = (
    (
        # What a convolution, average pooling and max pooling say.
        r"to conv2d, but got input of size: \[\d+, 784\]|range of \[-2, 1\], but got -3|"
        r"non-empty 3D or 4D",
        "a layer behind Reshape is given the rows: use slices from the start, network[:n](X)",
    ),
    (r"must be Tensor, not Sequential|got \(Sequential,", _NOT_CALLED),
    (r"'ReferenceLeNet5' object is not", "the layers are in model.network"),
)


def _model(pooling: str) -> ReferenceLeNet5:
    model = ReferenceLeNet5(pooling)
    randomize(list(model.parameters()), seed=4)
    return model


@torch.no_grad()
def _outputs(model: ReferenceLeNet5, X: Tensor) -> list[Tensor]:
    """Return what each layer of the network puts out, in double precision."""
    X, outputs = X.double(), []
    for layer in model.double().network:
        X = layer(X)
        outputs.append(X)
    return outputs


def _mistakes(outputs: list[Tensor], place: int, network: nn.Sequential) -> Iterator[Mistake]:
    """Yield the outputs of all other places, and what is left of the right one when cut."""
    if place == POOLED:
        yield "the two outputs are returned in the wrong order", outputs[CONVOLVED]
        unrectified = network[POOLED](outputs[CONVOLVED])
        yield "the pooling is given the convolution's output without ReLU", unrectified
    else:
        yield "the two outputs are returned in the wrong order", outputs[POOLED]
    for index, output in enumerate(outputs):
        if index != place:
            layer = type(network[index]).__name__.lstrip("_")
            yield f"this is the output of layer {index} ({layer}), not of layer {place}", output
    right = outputs[place]
    yield "only the first image's maps are returned", right[0]
    yield "only the first image's maps are returned", right[:1]
    yield "only the last image's maps are returned", right[-1]
    yield "only the last image's maps are returned", right[-1:]
    yield "only the first of six maps is returned", right[:, 0]
    yield "only the first of six maps is returned", right[:, :1]
    yield "the maps are flattened, and should stay [batch, 6, side, side]", right.flatten(1)
    yield "the six maps are averaged", right.mean(1)
    yield "the six maps are added up", right.sum(1)


def _expect(answer: Callable, pooling: str, X: Tensor, places: tuple[int, ...]) -> None:
    model, before = _model(pooling), X.clone()
    pair = attempt(
        "get_intermediate, given the reference network (Reshape, Conv2d, ReLU, pooling, …),",
        lambda: answer(model, X),
        causes=_CAUSES,
    )
    if not torch.equal(X, before):
        raise CheckError("get_intermediate changes the images it is given", "work on a copy")
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise CheckError(
            f"get_intermediate should return two tensors, not {_kinds(pair)}",
            "one of the two outputs is missing" if isinstance(pair, Tensor) else "",
        )
    if not all(isinstance(output, Tensor) for output in pair):
        raise CheckError(
            f"get_intermediate should return two tensors, not {_kinds(pair)}", _explain_pair(pair)
        )
    outputs = _outputs(_model(pooling), before)
    given = f"M_{pooling} with random weights, {len(X)} image{'s' if len(X) > 1 else ''}"
    for place in places:
        got = pair[0 if place == CONVOLVED else 1]
        mistakes = _mistakes(outputs, place, model.double().network)
        expect(
            f"get_intermediate, {NAMES[place]}",
            given,
            got,
            outputs[place],
            mistakes,
            batch_size=len(X),
        )


def _explain_pair(pair: list | tuple) -> str:
    """Return why two values are not two tensors."""
    if any(isinstance(output, nn.Sequential) for output in pair):
        return _NOT_CALLED
    if any(isinstance(output, nn.Module) for output in pair):
        return "the layers themselves are returned, not what network[:n](X) puts out"
    return "they are turned into arrays too early" if hasattr(pair[0], "dtype") else ""


def _kinds(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"{len(value)} values ({', '.join(type(v).__name__ for v in value)})"
    return f"a {type(value).__name__}"


@get_intermediate.part("the first convolution's output, before ReLU")
def _(answer: Callable) -> None:
    _expect(answer, "avg", rows(), (CONVOLVED,))


@get_intermediate.part("the first pooling layer's output")
def _(answer: Callable) -> None:
    _expect(answer, "avg", rows(), (POOLED,))


@get_intermediate.part("both, of M_max")
def _(answer: Callable) -> None:
    _expect(answer, "max", rows(), (CONVOLVED, POOLED))


@get_intermediate.part("both, of one image alone")
def _(answer: Callable) -> None:
    _expect(answer, "avg", rows()[3:], (CONVOLVED, POOLED))
