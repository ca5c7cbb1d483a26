"""The check of `train`: stochastic gradient descent with momentum and a falling learning rate."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.checks.answers import attempt, list_of_losses
from helpers.checks.diagnosis import RECOGNISED, Mistake, expect, same
from helpers.checks.errors import CheckError
from helpers.checks.hw7.reference import (
    bytes_and_labels,
    generator_from,
    require_unchanged,
    small_networks,
)
from helpers.checks.parts import Check

train = Check("train", "losses and weights agree with the reference on 3 networks, step by step")

IMAGES, BATCH_SIZE = 40, 8
# What Python and torch say of batches[step], `for indices in batches` and images[batches].
_CAUSES = (
    (
        r"'function' object is|got function|type 'function'",
        "batches is a function: call batches(step)",
    ),
)
Change = tuple[Tensor, Tensor]  # the new velocity of a parameter, and what is taken off it


def _heavy_ball(velocity: Tensor, gradient: Tensor, rate: float, momentum: float) -> Change:
    velocity = momentum * velocity + gradient
    return velocity, rate * velocity


def _plain(velocity: Tensor, gradient: Tensor, rate: float, momentum: float) -> Change:
    return velocity, rate * gradient


def _dampened(velocity: Tensor, gradient: Tensor, rate: float, momentum: float) -> Change:
    velocity = momentum * velocity + (1 - momentum) * gradient
    return velocity, rate * velocity


def _dampened_later(velocity: Tensor, gradient: Tensor, rate: float, momentum: float) -> Change:
    # As in torch.optim.SGD, which takes the whole of the first gradient.
    first = not velocity.any()
    velocity = gradient if first else momentum * velocity + (1 - momentum) * gradient
    return velocity, rate * velocity


def _nesterov(velocity: Tensor, gradient: Tensor, rate: float, momentum: float) -> Change:
    velocity = momentum * velocity + gradient
    return velocity, rate * (gradient + momentum * velocity)


def _rate_inside(velocity: Tensor, gradient: Tensor, rate: float, momentum: float) -> Change:
    velocity = momentum * velocity + rate * gradient
    return velocity, velocity


@dataclass(frozen=True)
class Rule:
    """How a network is trained; a mistake replaces one of the functions."""

    scale: Callable[[Tensor], Tensor] = lambda images: images.double() / 255
    indices: Callable[[Callable, int], Tensor] = lambda batches, step: batches(step)
    labels: Callable[[Tensor, Tensor], Tensor] = lambda labels, indices: labels[indices]
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    gradient: Callable[[Tensor, Tensor], Tensor] = lambda before, new: new
    rate: Callable[[int, int], float] = lambda step, steps: 1 - step / steps
    update: Callable[[Tensor, Tensor, float, float], Change] = _heavy_ball
    report: Callable[[np.ndarray], np.ndarray] = lambda losses: losses
    training: bool = True


# For each part of the rule: what is done wrong, and the function that does it.
MISTAKES = {
    "scale": {
        "the images are not divided by 255": lambda X: X.double(),
        "the images are divided by 255 twice": lambda X: X.double() / 255**2,
        "the images are divided by 256, not by 255": lambda X: X.double() / 256,
        "the images are divided by 255 as whole numbers (//)": lambda X: (X // 255).double(),
        "the images are mapped to -1…1, not to 0…1": lambda X: X.double() / 127.5 - 1,
    },
    "loss": {
        "the losses of the batch are summed, and should be averaged": partial(
            F.cross_entropy, reduction="sum"
        ),
        "a softmax comes before the cross-entropy, which has one already": (
            lambda z, y: F.cross_entropy(z.softmax(1), y)
        ),
        "the loss is divided by the batch size once too often": (
            lambda z, y: F.cross_entropy(z, y) / len(y)
        ),
        "the logits go into nll_loss without a log-softmax": F.nll_loss,
        "nll_loss is given probabilities: the logarithm is missing": (
            lambda z, y: F.nll_loss(z.softmax(1), y)
        ),
        "the loss is the squared error, not the cross-entropy": (
            lambda z, y: F.mse_loss(z, F.one_hot(y, 10).to(z.dtype))
        ),
    },
    "indices": {
        "each step uses the batch of step 0": lambda batches, step: batches(0),
        "each step uses the batch of the next one: the first step should use batches(0)": (
            lambda batches, step: batches(step + 1)
        ),
        "each step uses all images, not those of batches(step)": (
            lambda batches, step: torch.arange(IMAGES)
        ),
        "each step uses the first images, not those of batches(step)": (
            lambda batches, step: torch.arange(BATCH_SIZE)
        ),
    },
    "labels": {
        "the labels are not those of the batch: they need the same indices": (
            lambda labels, indices: labels[: len(indices)]
        ),
    },
    "rate": {
        "the weights are never updated": lambda t, n: 0.0,
        "the learning rate does not fall": lambda t, n: 1.0,
        "the learning rate falls one step too early: the first step should still use all of it": (
            lambda t, n: 1 - (t + 1) / n
        ),
        "the learning rate falls one step too late: only the first step should use all of it": (
            lambda t, n: 1 - max(t - 1, 0) / n
        ),
        "the learning rate falls too fast: step is divided by steps - 1, not by steps": (
            lambda t, n: 1 - t / max(n - 1, 1)
        ),
        "the learning rate falls too slowly: step is divided by steps + 1, not by steps": (
            lambda t, n: 1 - t / (n + 1)
        ),
        "each step multiplies the rate of the last; it should start from learning_rate anew": (
            lambda t, n: float(np.prod([1 - s / n for s in range(t + 1)]))
        ),
        "the learning rate rises": lambda t, n: t / n,
        "the learning rate falls to half of its first value, not towards 0": (
            lambda t, n: 1 - 0.5 * t / n
        ),
        "the learning rate falls as 1 / (step + 1), not linearly": lambda t, n: 1 / (t + 1),
        "the learning rate follows a cosine, not a line": (
            lambda t, n: 0.5 + 0.5 * float(np.cos(np.pi * t / n))
        ),
        "the sign of the update is wrong: it climbs": lambda t, n: t / n - 1,
    },
    "gradient": {
        "zero_grad() is missing: the gradients of all steps add up": lambda before, new: (
            before + new
        ),
    },
    "update": {
        "momentum has no effect: it is not passed on, or the optimizer (or the velocity) is made "
        "anew at each step": _plain,
        "the gradient is weighted with 1 - momentum in the velocity": _dampened,
        "dampening is on: the gradient is weighted with 1 - momentum": _dampened_later,
        "the momentum is Nesterov's": _nesterov,
        "the learning rate is inside the velocity; in PyTorch it multiplies the whole of it": (
            _rate_inside
        ),
    },
    "report": {
        "the mean of the losses so far is returned, not the loss of each step": (
            lambda losses: np.cumsum(losses) / np.arange(1, len(losses) + 1)
        ),
        "the losses of the steps are added up": np.cumsum,
    },
    "training": {"the network is in evaluation mode while it is trained": False},
}


_CHANGES = [
    (words, {part: function})
    for part, functions in MISTAKES.items()
    for words, function in functions.items()
]


@dataclass(frozen=True)
class Exercise:
    """One call of `train`: a network and the settings; images and labels are always the same."""

    name: str
    network: nn.Module
    steps: int
    momentum: float
    learning_rate: float = 0.05

    def __str__(self) -> str:
        return (
            f"{self.name}, steps {self.steps}, batches of {BATCH_SIZE} from {IMAGES} images, "
            f"learning_rate {self.learning_rate}, momentum {self.momentum}"
        )

    def batches(self, step: int) -> Tensor:
        """Return the indices of the batch of `step`; there is one for every step ever asked for."""
        return torch.randperm(IMAGES, generator=generator_from(100 + int(step)))[:BATCH_SIZE]

    def follow(self, rule: Rule, like: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the losses, and all trained parameters in a row, that `rule` gives.

        With `like`, stop at the first loss that is not as in there: it is not this rule.
        """
        images, labels = bytes_and_labels(IMAGES)
        network = copy.deepcopy(self.network).double().train(rule.training)
        parameters = list(network.parameters())
        velocities = [torch.zeros_like(parameter) for parameter in parameters]
        gradients = velocities
        losses = []
        for step in range(self.steps):
            indices = rule.indices(self.batches, step)
            logits = network(rule.scale(images[indices]))
            loss = rule.loss(logits, rule.labels(labels, indices))
            losses.append(loss.item())
            if like is not None and not same(
                rule.report(np.array(losses)), like[: step + 1], RECOGNISED
            ):
                break
            rate = self.learning_rate * rule.rate(step, self.steps)
            new = torch.autograd.grad(loss, parameters)
            gradients = [rule.gradient(a, b) for a, b in zip(gradients, new, strict=True)]
            for i, parameter in enumerate(parameters):
                velocities[i], change = rule.update(
                    velocities[i], gradients[i], rate, self.momentum
                )
                parameter.data -= change
        return rule.report(np.array(losses)), _in_a_row(network)

    def mistakes(self, like: np.ndarray) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
        """Yield each mistake with the losses and parameters that it gives, then every two.

        Two are tried together only where each may be one of the two: it leads to the first loss of
        `like` or does not touch the first loss; in an exercise of one step, it has any effect.
        """
        right, _ = self.follow(Rule())
        possible = []
        for words, change in _CHANGES:
            losses, parameters = self.follow(replace(Rule(), **change), like)
            yield words, (losses, parameters)
            later = len(losses) > 1 or change.keys() <= {"gradient", "rate", "update"}
            if later if self.steps > 1 else not same(losses, right):
                possible.append((words, change))
        for (words, change), (more, other) in combinations(possible, 2):
            if change.keys() != other.keys():
                rule = replace(Rule(), **change, **other)
                yield f"two: {words}; and {more}", self.follow(rule, like)


@dataclass(frozen=True)
class Run:
    """What the answer made of an exercise: losses, the network, and the steps it asked for."""

    exercise: Exercise
    losses: np.ndarray
    network: nn.Module
    asked: list[int]

    def mistakes(self) -> Iterator[Mistake]:
        """Yield mistakes with their losses, those first that the network itself gives away."""
        still, _ = self.exercise.follow(replace(Rule(), rate=lambda step, steps: 0.0))
        if same(_in_a_row(self.network), _in_a_row(self.exercise.network), 0.0):
            yield self._why_unchanged(), still
        for words, (losses, _) in self.exercise.mistakes(self.losses):
            yield words, losses
        if not self.asked:
            yield "batches is never called: it says which images each step uses", self.losses
        elif set(self.asked) != set(range(self.exercise.steps)):
            asked = ", ".join(map(str, self.asked[:10]))
            yield f"batches is asked for the steps {asked}; they should be 0, 1, …", self.losses

    def _why_unchanged(self) -> str:
        if all(parameter.grad is None for parameter in self.network.parameters()):
            return (
                "the weights never change and have no gradient: loss.backward() is missing, or "
                "zero_grad() stands between it and the update"
            )
        if all(not parameter.grad.any() for parameter in self.network.parameters()):
            return "zero_grad() stands between loss.backward() and the update"
        return "the weights never change although they have gradients: optimizer.step() is missing"


def _in_a_row(network: nn.Module) -> np.ndarray:
    return torch.cat([p.detach().double().flatten() for p in network.parameters()]).numpy()


def _run(answer: Callable, exercise: Exercise) -> Run:
    """Let the answer train a copy of the exercise's network."""
    network, asked = copy.deepcopy(exercise.network), []
    images, labels = bytes_and_labels(IMAGES)

    def batches(step: int) -> Tensor:
        asked.append(int(step))
        return exercise.batches(step)

    losses = attempt(
        "train",
        lambda: answer(
            network,
            images,
            labels,
            batches,
            steps=exercise.steps,
            learning_rate=exercise.learning_rate,
            momentum=exercise.momentum,
        ),
        causes=_CAUSES,
    )
    require_unchanged("train", images, labels, *bytes_and_labels(IMAGES))
    return Run(exercise, _as_losses(losses, exercise), network, asked)


def _as_losses(losses: object, exercise: Exercise) -> np.ndarray:
    """Return the answer's list as an array `[steps]`, or raise `CheckError`."""
    losses = list_of_losses(losses, exercise.steps)
    if len(losses) != exercise.steps:
        raise CheckError(
            f"train returns {len(losses)} losses\n  given: {exercise}",
            _explain_length(losses, exercise),
        )
    return np.array([float(loss) for loss in losses])


def _explain_length(losses: list, exercise: Exercise) -> str:
    if not losses:
        return "no loss is ever appended"
    known = {
        exercise.steps - 1: "one step too few: the steps should be range(steps)",
        exercise.steps + 1: "one step too many: the steps should be range(steps)",
        1: "the return stands inside the loop, so that it ends after one step",
    }
    return known.get(len(losses), "steps says how many gradient steps to take")


def _expect_losses(run: Run) -> None:
    right, _ = run.exercise.follow(Rule())
    given = str(run.exercise)
    expect("train, losses", given, run.losses, right, run.mistakes(), batch_size=BATCH_SIZE)


def _expect_weights(run: Run) -> None:
    _, right = run.exercise.follow(Rule())
    got = _in_a_row(run.network)
    if same(got, _in_a_row(run.exercise.network), 0.0):
        hint = "a copy of the network is trained, or its weights are put back"
        raise CheckError(
            f"train leaves the weights of the network as they were\n  given: {run.exercise}", hint
        )

    def mistakes() -> Iterator[Mistake]:
        last = replace(Rule(), rate=lambda t, n: 0.0 if t == n - 1 else 1 - t / n)
        yield "the last step does not update the weights", run.exercise.follow(last)[1]
        for words, (_, weights) in run.exercise.mistakes(run.losses):
            yield words, weights

    expect("train, weights after training", str(run.exercise), got, right, mistakes())


@train.part("the loss of the first step")
def _(answer: Callable) -> None:
    for name, network in small_networks().items():
        _expect_losses(_run(answer, Exercise(name, network, steps=1, momentum=0.9)))


def _expect_updates(answer: Callable, steps: int, momentum: float) -> None:
    """Compare the losses of a linear network, with what was wrong in the first one forgiven.

    A wrong loss costs the points of its own part, and not those of right updates behind it.
    """
    name = "a linear network"
    run = _run(answer, Exercise(name, small_networks()[name], steps, momentum))
    for _, change in _CHANGES:
        if change.keys() <= {"scale", "loss", "indices", "labels"}:
            losses, _ = run.exercise.follow(replace(Rule(), **change), run.losses)
            if same(losses, run.losses, RECOGNISED):
                return
    _expect_losses(run)


@train.part("an update without momentum")
def _(answer: Callable) -> None:
    _expect_updates(answer, steps=2, momentum=0.0)


@train.part("the learning rate falls")
def _(answer: Callable) -> None:
    _expect_updates(answer, steps=6, momentum=0.0)


@train.part("momentum")
def _(answer: Callable) -> None:
    _expect_updates(answer, steps=7, momentum=0.8)


@train.part("the network that was given is trained, in training mode")
def _(answer: Callable) -> None:
    for name, network in small_networks().items():
        run = _run(answer, Exercise(name, network, steps=8, momentum=0.9, learning_rate=0.02))
        _expect_losses(run)
        _expect_weights(run)
