"""The checks of the squashing function, of the output's scores and of the paper's loss."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.checks.custom_lenet5 import reference
from helpers.checks.custom_lenet5.judging import Exercise, build
from helpers.checks.errors import CheckError
from helpers.checks.exercises import Function, normal
from helpers.checks.parts import Check

ScaledTanh = Check("ScaledTanh", "values and gradients agree with the reference")
RadialBasisOutput = Check("RadialBasisOutput", "scores and gradients agree with the reference")
discriminative_loss = Check(
    "discriminative_loss", "losses and gradients agree with the reference, without overflow"
)

# --- squashing

A, S = 1.7159, 2 / 3
_SQUASHINGS: dict[str, Function] = {
    "both scales are missing: it is tanh(a)": torch.tanh,
    "the factor 1.7159 is missing": lambda a: torch.tanh(S * a),
    "the 2/3 inside is missing": lambda a: A * torch.tanh(a),
    "the 2/3 belongs inside tanh": lambda a: A * torch.tanh(a) * S,
    "it is 2/3, not 3/2, that a is multiplied by": lambda a: A * torch.tanh(a / S),
    "2/3 is rounded, or a whole-number division": lambda a: A * torch.tanh(0.6667 * a),
    "2/3 is rounded": lambda a: A * torch.tanh(0.667 * a),
    "2/3 is rounded to 0.66": lambda a: A * torch.tanh(0.66 * a),
    "the two constants are swapped": lambda a: S * torch.tanh(A * a),
    "a is multiplied by 1.7159 inside tanh as well": lambda a: A * torch.tanh(A * S * a),
    "2 // 3 is 0": lambda a: 0 * a,
    "1.7159 is rounded to 1.716": lambda a: 1.716 * torch.tanh(S * a),
    "1.7159 is rounded to 1.72": lambda a: 1.72 * torch.tanh(S * a),
    "1.7159 is rounded to 1.7": lambda a: 1.7 * torch.tanh(S * a),
    "a sigmoid takes the place of tanh": lambda a: A * torch.sigmoid(S * a),
    "the values are clipped, where tanh bends smoothly": lambda a: (S * a * A).clamp(-A, A),
    "nothing is done": lambda a: a,
}


def _judge_squashing(answer: type, a: Tensor, *, single: bool = False, **options: bool) -> None:
    layer = build("ScaledTanh", answer, has={})
    exercise = Exercise({"a": a}, reference.ScaledTanh(), list(_SQUASHINGS.items()))
    exercise = exercise.in_single_precision() if single else exercise
    exercise.judge("ScaledTanh", answer, lambda a: layer(a), **options)


@ScaledTanh.part("the values")
def _(answer: type) -> None:
    _judge_squashing(answer, torch.linspace(-4, 5, 12).double())
    _judge_squashing(answer, normal(2, 3, 4, 5))


@ScaledTanh.part("the gradient")
def _(answer: type) -> None:
    _judge_squashing(answer, normal(2, 3, 4, 5), gradients=True)


@ScaledTanh.part("very large numbers; single precision; the argument stays as it is")
def _(answer: type) -> None:
    for single in (False, True):
        # Numbers of usual size are among them, so that not all gradients are about 0.
        numbers = torch.cat([1e3 * normal(3, 4), normal(3, 4, seed=1)])
        _judge_squashing(answer, numbers, single=single, gradients=True)
        _judge_squashing(answer, normal(3, 4), single=single, kept=True)


# --- scores

# What is done with the differences [batch, classes, features] in place of -Σ(x - code)².
_NOT_SCORES: dict[str, Function] = {
    "the sign is wrong: the nearest code has the largest score": lambda d: d.square().sum(2),
    "the distance is not squared": lambda d: -d.square().sum(2).sqrt(),
    "absolute differences take the place of squares": lambda d: -d.abs().sum(2),
    "the differences are not squared": lambda d: -d.sum(2),
    "the mean over the features is taken, not the sum": lambda d: -d.square().mean(2),
    "half of the squared distance is taken": lambda d: -d.square().sum(2) / 2,
    "the axes are [classes, batch]; the batch belongs first": lambda d: -d.square().sum(2).T,
    "the sum runs over the classes, not over the features": lambda d: -d.square().sum(1),
    "the sum runs over the batch, not over the features": lambda d: -d.square().sum(0),
    "the sum runs over the batch too": lambda d: -d.square().sum((0, 2)),
    "it is exp(-distance²), a bell curve": lambda d: (-d.square().sum(2)).exp(),
    "a softmax is applied": lambda d: (-d.square().sum(2)).softmax(1),
    "a log-softmax is applied": lambda d: (-d.square().sum(2)).log_softmax(1),
    "squared after the sum; each difference is squared first": lambda d: -d.sum(2).square(),
}


def _judge_scores(answer: type, X: Tensor, codes: Tensor, **options: bool) -> None:
    given = codes.clone()
    layer = build("RadialBasisOutput", answer, given, has={}).to(X.dtype)

    def differences(reduce: Function, X: Tensor) -> Tensor:
        return reduce(X[:, None] - codes.to(X.dtype))

    mistakes = [(words, partial(differences, reduce)) for words, reduce in _NOT_SCORES.items()]
    mistakes += [
        ("it is the product with the codes, as in a linear layer", lambda X: X @ codes.to(X).T),
        ("the codes are added, not subtracted", lambda X: reference.score(X, -codes.to(X))),
    ]
    right = partial(reference.score, codes=codes.to(X.dtype))
    exercise = Exercise({"X": X}, right, mistakes, f"codes {list(codes.shape)}")
    exercise.judge("RadialBasisOutput", answer, lambda X: layer(X), **options)
    if not torch.equal(given, codes):
        raise CheckError("RadialBasisOutput changes the codes that it is given", "work on a copy")


@RadialBasisOutput.part("minus the squared distance to each code")
def _(answer: type) -> None:
    _judge_scores(answer, normal(3, 5, seed=1), normal(4, 5, seed=2))
    _judge_scores(answer, normal(1, 2, seed=3), normal(3, 2, seed=4))
    _judge_scores(answer, normal(4, 4, seed=5), normal(4, 4, seed=6))


@RadialBasisOutput.part("the gradient, also at a code")
def _(answer: type) -> None:
    codes = normal(4, 5, seed=2)
    X = torch.cat([normal(3, 5, seed=1), codes[1:3]])
    _judge_scores(answer, X, codes, gradients=True)


@RadialBasisOutput.part("the codes are a buffer; single precision; X stays as it is")
def _(answer: type) -> None:
    codes = normal(4, 5, seed=2).sign()
    layer = build("RadialBasisOutput", answer, codes.clone(), has={})
    held = [*layer.buffers(), *layer.parameters()]  # the latter are not trained
    if not any(torch.equal(tensor, codes) for tensor in held):
        raise CheckError(
            "RadialBasisOutput holds no buffer with the codes",
            "self.register_buffer(…) lets the codes move to the GPU with the network",
        )
    for dtype in (torch.float64, torch.float32):
        _judge_scores(answer, normal(3, 5, seed=1).to(dtype), codes, kept=True)


# --- the loss


def _not_the_loss(rubbish: float) -> dict[str, Function]:
    """Return mistakes, as functions of the scores `[batch, classes]` and the labels."""

    def own(scores: Tensor, labels: Tensor) -> Tensor:
        return -scores.gather(1, labels[:, None])[:, 0]

    def total(scores: Tensor, j: float = rubbish) -> Tensor:
        return torch.cat([scores, torch.full_like(scores[:, :1], -j)], 1).logsumexp(1)

    def others(scores: Tensor, labels: Tensor) -> Tensor:
        return total(scores.scatter(1, labels[:, None], -torch.inf))

    each = lambda s, y: own(s, y) + total(s)  # noqa: E731
    return {
        "the rubbish class e^-j is missing: it is the cross-entropy": F.cross_entropy,
        "the sign of j is wrong: it is e^-j": lambda s, y: (own(s, y) + total(s, -rubbish)).mean(),
        "j is added without e^-…": (
            lambda s, y: (own(s, y) + (s.exp().sum(1) + rubbish).log()).mean()
        ),
        "j itself is added, not e^-j": lambda s, y: (
            own(s, y) + total(s, -math.log(rubbish))
        ).mean(),
        "j is always 10, whatever rubbish says": lambda s, y: (own(s, y) + total(s, 10.0)).mean(),
        "y_D is missing": lambda s, y: total(s).mean(),
        "the logarithm is missing: the loss is y_D alone": lambda s, y: own(s, y).mean(),
        "the sign of the scores is wrong: y = -scores": (
            lambda s, y: (own(-s, y) + total(-s)).mean()
        ),
        "y_D has the wrong sign": lambda s, y: (total(s) - own(s, y)).mean(),
        "the sign of the logarithm is wrong": lambda s, y: (own(s, y) - total(s)).mean(),
        "the sum runs over the other classes only": lambda s, y: (own(s, y) + others(s, y)).mean(),
        "the losses of the batch are added up; the mean is asked for": lambda s, y: each(
            s, y
        ).sum(),
        "the losses of the batch are returned; their mean is asked for": each,
        "scores[:, labels] takes all labels' scores of every image: gather takes one of each": (
            lambda s, y: (total(s)[:, None] - s[:, y]).mean()
        ),
        "divided by the number of classes, not by the batch size": (
            lambda s, y: each(s, y).sum() / s.shape[1]
        ),
        "divided by the batch size twice": lambda s, y: each(s, y).mean() / len(y),
        "a softmax is taken first, which the loss has already": (
            lambda s, y: each(s.softmax(1), y).mean()
        ),
        "the logarithm is of base 2": lambda s, y: (own(s, y) + total(s) / math.log(2)).mean(),
        "only the first image of the batch counts": lambda s, y: each(s, y)[0],
        "the label is always 0": lambda s, y: each(s, 0 * y).mean(),
        "the mean is that of y_D alone; the logarithms are added up": (
            lambda s, y: own(s, y).mean() + total(s).sum()
        ),
        "the sum under the logarithm runs over the whole batch": (
            lambda s, y: own(s, y).mean() + total(s.reshape(1, -1))[0]
        ),
    }


def _judge_loss(
    answer: Callable, scores: Tensor, labels: Tensor, rubbish: float | None = None, **options: bool
) -> None:
    settings = {} if rubbish is None else {"rubbish": rubbish}
    j = 10.0 if rubbish is None else rubbish
    exercise = Exercise(
        {"scores": scores, "labels": labels},
        partial(reference.discriminative_loss, **settings),
        list(_not_the_loss(j).items()),
        f"rubbish {j:g}",
    )
    if scores.abs().max() > 500:  # where many mistakes come to the same
        exercise = replace(exercise, mistakes=())
    action = lambda scores, labels: answer(scores, labels, **settings)  # noqa: E731
    exercise.judge("discriminative_loss", answer, action, **options)


# Scores and labels; the sum is led by the rubbish class, by other classes, and by the right one.
def _batch(size: int, classes: int, away: float, seed: int) -> tuple[Tensor, Tensor]:
    scores = -away - 4 * normal(size, classes, seed=seed).abs()
    labels = torch.randint(0, classes, (size,), generator=torch.Generator().manual_seed(seed))
    return scores, labels


@discriminative_loss.part("one image")
def _(answer: Callable) -> None:
    for seed, away in enumerate((0.5, 8.0, 14.0)):
        _judge_loss(answer, *_batch(1, 4, away, seed))


@discriminative_loss.part("the mean over a batch")
def _(answer: Callable) -> None:
    for seed, away in enumerate((0.5, 8.0, 14.0)):
        _judge_loss(answer, *_batch(3, 10, away, seed))
    _judge_loss(answer, *_batch(4, 4, 6.0, 9))


@discriminative_loss.part("another rubbish")
def _(answer: Callable) -> None:
    for rubbish in (2.0, 0.5, 20.0):
        _judge_loss(answer, *_batch(3, 5, 3.0, 4), rubbish)


@discriminative_loss.part("the gradient")
def _(answer: Callable) -> None:
    for away in (0.5, 8.0, 14.0):
        _judge_loss(answer, *_batch(3, 5, away, 5), gradients=True)


@discriminative_loss.part("far from all codes, and a large rubbish in single precision")
def _(answer: Callable) -> None:
    for away in (1e4, 2e3):
        _judge_loss(answer, *_batch(3, 5, away, 6), gradients=True)
    for away in (92.0, 150.0):  # e^-92 is not precise in float32, and e^-150 is 0
        scores, labels = _batch(3, 5, away, 6)
        _judge_loss(answer, scores.float(), labels, 120.0, gradients=True)


@discriminative_loss.part("single precision; the arguments stay as they are")
def _(answer: Callable) -> None:
    scores, labels = _batch(3, 5, 6.0, 7)
    for given in (scores, scores.float()):
        _judge_loss(answer, given, labels, kept=True)
