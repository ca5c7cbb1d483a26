"""The check of `train`, which is given everything it needs and watched while it uses it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from helpers.checks.answers import Causes, attempt, list_of_losses
from helpers.checks.custom_lenet5 import reference
from helpers.checks.custom_lenet5.judging import CAUSES
from helpers.checks.custom_lenet5.reference import standing_in
from helpers.checks.diagnosis import Mistake, as_array, expect, same
from helpers.checks.errors import CheckError
from helpers.checks.parts import Check

train = Check("train", "batches, rates, gradients and losses of every step are the reference's")

_CAUSES: Causes = (
    (r"object is not subscriptable", "schedule is a function: schedule(step)"),
    (
        r"expected scalar type Float but found Byte|Byte|uint8|mat1 and mat2 must have the same",
        "the images are bytes: prepare(images[indices]) makes the network's input of them",
    ),
    (
        r"mat1 and mat2 shapes cannot be multiplied|shape.*1024",
        "the network is given images that are not prepared: prepare(…) makes 32 × 32 of 28 × 28",
    ),
    (r"out of bounds|IndexError", "an index runs past the end of the images"),
    *CAUSES,
)
TOLERANCE = 1e-5


class Network(nn.Module):
    """A linear network that notes its inputs, and whether it was in training mode."""

    def __init__(self, run: "Run"):
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.weight = nn.Parameter(torch.randn(4, 1024, generator=generator) / 32)
        self.bias = nn.Parameter(torch.randn(4, generator=generator))
        self.noted = [run]  # in a list, so that it is neither a parameter nor copied

    def forward(self, X: Tensor) -> Tensor:
        if X.shape[1:] != (1, 32, 32) or X.dtype != torch.float32:
            raise CheckError(
                f"train gives the network images {list(X.shape)} of {X.dtype}",
                "prepare(images[indices]) makes float32 [batch, 1, 32, 32] of the bytes",
            )
        run = self.noted[0]
        if len(run.forwards) > 10 * run.steps_asked:
            raise CheckError(f"train goes on after {run.steps_asked} steps", "the loop never ends")
        scores = X.flatten(1) @ self.weight.T + self.bias
        run.forwards.append((X.detach().clone(), self.training))
        return scores


class Optimizer(torch.optim.SGD):
    """Gradient descent of two parameter groups that notes rates and gradients of each step."""

    def __init__(self, model: Network, run: "Run"):
        groups = [{"params": [model.weight], "lr": 0.5}, {"params": [model.bias], "lr": 0.25}]
        super().__init__(groups)
        self.run = run

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> object:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        parameters = [p for group in self.param_groups for p in group["params"]]
        self.run.steps.append(
            Step(
                [float(group["lr"]) for group in self.param_groups],
                [p.detach().clone() for p in parameters],
                [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters],
                len(self.run.losses),
            )
        )
        super().step()
        return loss


@dataclass(frozen=True)
class Step:
    """What a step is taken with: rates of the groups, weights before it, and their gradients.

    `losses` is how many losses were computed before it.
    """

    rates: list[float]
    weights: list[Tensor]
    gradients: list[Tensor]
    losses: int


@dataclass
class Run:
    """One call of the answer: its settings, and what it did."""

    count: int
    batch_size: int
    steps_asked: int
    forwards: list[tuple[Tensor, bool]] = field(default_factory=list)  # input, training mode
    losses: list[tuple[Tensor, Tensor, float]] = field(
        default_factory=list
    )  # scores, labels, value
    steps: list[Step] = field(default_factory=list)
    returned: object = None
    final: list[Tensor] = field(default_factory=list)  # weights when it returns

    def __str__(self) -> str:
        return f"{self.count} images, batches of {self.batch_size}, {self.steps_asked} steps"

    def __deepcopy__(self, memo: dict) -> "Run":
        return self  # a copy of the network notes its calls here as well

    def data(self) -> tuple[Tensor, Tensor]:
        """Return images, uint8 `[count, 1, 28, 28]`, all different, and labels."""
        generator = torch.Generator().manual_seed(self.count)
        images = torch.randint(0, 256, (self.count, 1, 28, 28), generator=generator)
        return images.to(torch.uint8), torch.randint(0, 4, (self.count,), generator=generator)

    def generator(self) -> torch.Generator:
        """Return the generator that the answer is given, as it is at first."""
        return torch.Generator().manual_seed(11)

    def schedule(self, step: int) -> float:
        """Return a rate that is another one at each step, also beyond the last."""
        return 0.02 / (1.5 + float(step))

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return a loss that is not one of PyTorch's, and note the call."""
        value = loss_of(scores, labels)
        self.losses.append((scores.detach(), labels.clone(), value.item()))
        return value

    def indices(self) -> list[list[int]]:
        """Return which images each call of the network was given; -1 for none of them."""
        prepared = reference.prepare(self.data()[0]).flatten(1)
        found = []
        for X, _ in self.forwards:
            apart = (X.flatten(1)[:, None] - prepared).abs().amax(2)
            known = torch.where(apart.amin(1) < 1e-3, apart.argmin(1), -1)
            found.append(known.tolist())
        return found


def loss_of(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of (own score - 1)² + 0.1 · Σ scores²."""
    own = scores.gather(1, labels[:, None])[:, 0]
    return ((own - 1).square() + 0.1 * scores.square().sum(1)).mean()


def _run(answer: Callable, count: int, batch_size: int, steps: int) -> Run:
    """Let the answer train a network, which it is given in evaluation mode."""
    run = Run(count, batch_size, steps)
    images, labels = run.data()
    model = Network(run).eval()
    optimizer = Optimizer(model, run)
    with standing_in(answer, "train"):
        run.returned = attempt(
            "train",
            lambda: answer(
                *(model, optimizer, images, labels),
                steps=steps,
                batch_size=batch_size,
                schedule=run.schedule,
                loss_function=run.loss,
                generator=run.generator(),
            ),
            causes=_CAUSES,
        )
    run.final = [model.weight.detach().clone(), model.bias.detach().clone()]
    for what, now, before in zip(("images", "labels"), (images, labels), run.data(), strict=True):
        if not torch.equal(now, before):
            raise CheckError(f"train changes the {what} that it is given", "work on a copy")
    if not run.forwards:
        raise CheckError("train never calls the network", "model(prepare(images[indices]))")
    if not run.losses:
        raise CheckError(
            f"train never calls loss_function\n  given: {run}",
            "the loss that is given has to be used, loss_function(scores, labels)",
        )
    return run


# Images, batch size, steps: on across the border of epochs; without a rest; one batch an epoch.
_CASES = ((10, 4, 8), (9, 3, 7), (4, 4, 3), (7, 5, 2))


def _runs(answer: Callable) -> Iterator[Run]:
    for case in _CASES:
        yield _run(answer, *case)


# --- the batches


def _cut(order: list[int], size: int, steps: int) -> list[list[int]]:
    return [order[size * t : size * (t + 1)] for t in range(steps)]


def _orders(run: Run) -> Iterator[tuple[str, list[list[int]]]]:
    """Yield the right batches, with no words, then wrong ones with what is wrong about them."""
    n, size, steps = run.count, run.batch_size, run.steps_asked

    def permutations() -> Iterator[list[int]]:
        generator = run.generator()
        while True:
            yield torch.randperm(n, generator=generator).tolist()

    draw = permutations()
    epochs = [next(draw) for _ in range(size * (steps + 2) // n + steps + 2)]
    row = [index for epoch in epochs for index in epoch]
    yield "", _cut(row, size, steps)
    for words, order in {
        "the images are not shuffled": list(range(n)) * len(epochs),
        "one permutation is used in all epochs; a fresh one is asked for": epochs[0] * len(epochs),
        "the first permutation is thrown away": row[n:],
        "the first batch is left out: step 0 takes the first": row[size:],
    }.items():
        yield words, _cut(order, size, steps)
    yield "a permutation is drawn anew at each step", [epoch[:size] for epoch in epochs[:steps]]
    yield "all steps use the first batch", [row[:size]] * steps
    yield "all images are used at each step", [epochs[0]] * steps
    whole, rest, again = n // size * size, [], []
    for epoch in epochs:
        rest += _cut(epoch, size, -(-n // size))
        again += _cut(epoch[:whole], size, n // size)
    yield (
        "the last batch of an epoch is cut short; it goes on with the next permutation",
        (rest[:steps]),
    )
    yield (
        "the rest of an epoch is dropped; the last batch goes on with the next permutation",
        (again[:steps]),
    )
    generator = run.generator()
    drawn = [torch.randint(n, (size,), generator=generator).tolist() for _ in range(steps)]
    yield "the images are drawn with replacement; an epoch should see each once", drawn


@train.part("the batches, in the order of the permutations")
def _(answer: Callable) -> None:
    for run in _runs(answer):
        got = run.indices()
        (_, right), *wrong = _orders(run)
        if got == right:
            continue
        hint = next((words for words, batches in wrong if batches == got), "")
        raise CheckError(
            f"train: the network is not given the batches of the permutations\n  given: {run}\n"
            f"  expected: {_shown(right)}\n  got: {_shown(got)}",
            hint or _explain_batches(got, right, run),
        )


def _shown(batches: list[list[int]]) -> str:
    return ", ".join(map(str, batches[:4])) + (", …" if len(batches) > 4 else "")


def _explain_batches(got: list[list[int]], right: list[list[int]], run: Run) -> str:
    if any(-1 in batch for batch in got):
        return "the images are changed on their way to the network, beside prepare(…)"
    if got[: len(right)] == right:
        many = len(got) / len(right)
        return (
            f"the network is called {many:.0f} times at each step"
            if many >= 2
            else ("there are more steps than `steps`")
        )
    if right[: len(got)] == got:
        return "there are fewer steps than `steps`"
    if [batch for batch in got[::2]] == right or got[1::2] == right:
        return "the network is called twice at each step"
    if list(map(sorted, got)) == list(map(sorted, right)):
        return "the images of a batch are in another order"
    if list(map(len, got)) == list(map(len, right)):
        return "torch.randperm(len(labels), generator=generator) gives the order, once an epoch"
    return ""


@train.part("the labels of each batch, and the loss that is given")
def _(answer: Callable) -> None:
    for run in _runs(answer):
        labels = run.data()[1]
        if len(run.losses) != len(run.forwards):
            raise CheckError(
                f"train calls the network {len(run.forwards)} times and loss_function "
                f"{len(run.losses)} times\n  given: {run}"
            )
        batches = zip(run.indices(), run.forwards, run.losses, strict=True)
        for t, (indices, (X, _), (scores, got, _)) in enumerate(batches):
            if len(scores) != len(X) or got.shape != (len(X),):
                raise CheckError(
                    f"train gives {list(scores.shape)} scores and {list(got.shape)} labels to "
                    f"loss_function at step {t}\n  given: {run}",
                    "loss_function(model(X), labels[indices])",
                )
            if -1 in indices:
                raise CheckError(
                    f"train gives the network other images than prepared ones\n  given: {run}",
                    "prepare(images[indices]) is the input, without further changes",
                )
            right = labels[indices]
            if not torch.equal(got, right):
                expect(
                    f"train, labels of step {t}", str(run), got, right,
                    [("the first labels are used: they need the images' indices",
                      labels[: len(right)])],
                )  # fmt: skip
        if len(run.losses) != run.steps_asked:
            raise CheckError(f"train computes {len(run.losses)} losses\n  given: {run}")


# --- the steps


def _require_steps(run: Run) -> None:
    """Raise `CheckError` unless there is one step after each loss."""
    if [step.losses for step in run.steps] == list(range(1, len(run.losses) + 1)):
        return
    hints = {
        0: "optimizer.step() is missing",
        1: "optimizer.step() stands outside the loop",
        2 * len(run.losses): "optimizer.step() is called twice at each step",
        len(run.losses): "the step is taken before the loss of its batch is computed",
    }
    raise CheckError(
        f"train takes {len(run.steps)} steps, not one after each of {len(run.losses)} losses\n"
        f"  given: {run}",
        hints.get(len(run.steps), ""),
    )


@train.part("the learning rate of each step, in every parameter group")
def _(answer: Callable) -> None:
    for run in _runs(answer):
        _require_steps(run)
        got = np.array([step.rates for step in run.steps])
        times = np.arange(len(run.steps))

        def rates(at: np.ndarray, run: Run = run) -> np.ndarray:
            return np.array([[run.schedule(max(t, 0))] * 2 for t in at])

        first = np.tile([0.5, 0.25], (len(times), 1))
        late = np.concatenate([first[:1], rates(times)[:-1]])
        right = rates(times)
        mistakes: list[Mistake] = [
            ("the schedule is never used", first),
            ("the rate is set after the step: it holds for the next one", late),
            ("the schedule begins at step 1: the first step is step 0", rates(times + 1)),
            ("the schedule is read one step too late", rates(times - 1)),
            ("the schedule is read for step 0 only", rates(0 * times)),
            ("only the first parameter group gets the rate",
             np.stack([right[:, 0], first[:, 1]], 1)),
            ("only the last parameter group gets the rate",
             np.stack([first[:, 0], right[:, 1]], 1)),
            ("the first rate is multiplied by the schedule's", right * first),
            ("the rate is multiplied by the schedule's at each step",
             first * np.cumprod(right, 0)),
            ("the schedule is given the epoch, not the step",
             rates(times * run.batch_size // run.count)),
        ]  # fmt: skip
        expect("train, rates of the steps", str(run), got, right, mistakes, tolerance=1e-9)


@train.part("the gradient that each step is taken with")
def _(answer: Callable) -> None:
    for run in _runs(answer):
        _require_steps(run)
        before: list[np.ndarray] = []
        for t, step in enumerate(run.steps):
            W, b = (w.double().requires_grad_() for w in step.weights)
            X, labels = run.forwards[t][0].double(), run.losses[t][1]
            loss_of(X.flatten(1) @ W.T + b, labels).backward()
            right, got = _in_a_row([W.grad, b.grad]), _in_a_row(step.gradients)
            mistakes = [
                ("there is no gradient: loss.backward() is missing or stands behind the step, "
                 "zero_grad() stands between them, or a copy of the network is trained", 0 * right),
                ("the gradients of all steps add up: optimizer.zero_grad() is missing",
                 sum(before, right)),
                ("it is that of the step before: optimizer.step() comes before backward()",
                 before[-1] if before else 0 * right),
                ("backward() is called twice", 2 * right),
                ("the gradient is summed over the batch", right * len(labels)),
                ("the gradient is scaled to the length 1", right / np.linalg.norm(right)),
            ]  # fmt: skip
            expect(f"train, gradient of step {t}", str(run), got, right, mistakes,
                   tolerance=TOLERANCE)  # fmt: skip
            before.append(right)


def _require_the_optimizer_alone(run: Run) -> None:
    """Raise `CheckError` if anything but the steps changes the weights."""
    after = [*(step.weights for step in run.steps[1:]), run.final]
    for t, (step, found) in enumerate(zip(run.steps, after, strict=True)):
        parts = zip(step.weights, step.rates, step.gradients, strict=True)
        right = _in_a_row([w - rate * gradient for w, rate, gradient in parts])
        if not same(_in_a_row(found), right, TOLERANCE):
            raise CheckError(
                f"train: the weights after step {t} are not those that the step leaves\n"
                f"  given: {run}",
                "only optimizer.step() should change the weights",
            )


def _in_a_row(tensors: list[Tensor]) -> np.ndarray:
    return torch.cat([t.detach().double().flatten() for t in tensors]).numpy()


# --- what comes back


@train.part("the losses of all steps, without their graphs")
def _(answer: Callable) -> None:
    for run in _runs(answer):
        losses = list_of_losses(run.returned, run.steps_asked)
        right = np.array([value for _, _, value in run.losses])
        got = as_array("train, losses", losses)
        if got.shape != (run.steps_asked,):
            raise CheckError(
                f"train returns {len(losses)} losses of the shape {got.shape[1:]}\n  given: {run}",
                "return one number for each step",
            )
        mistakes: list[Mistake] = [
            ("the losses are added up over the steps", np.cumsum(right)),
            ("it is the mean of the losses so far",
             np.cumsum(right) / np.arange(1, len(right) + 1)),
            ("the losses are multiplied by the batch size", right * run.batch_size),
            ("all are the last step's loss", np.full_like(right, right[-1])),
        ]  # fmt: skip
        if right.shape != got.shape:
            raise CheckError(
                f"train computes {len(right)} losses, not {run.steps_asked}\n  given: {run}"
            )
        expect("train, losses", str(run), got, right, mistakes, tolerance=TOLERANCE)


@train.part("the network is in training mode, and learns")
def _(answer: Callable) -> None:
    for run in _runs(answer):
        _require_steps(run)
        if not all(training for _, training in run.forwards):
            raise CheckError(
                "train leaves the network in evaluation mode while it learns",
                "model.train() belongs before the loop: a network with dropout needs it",
            )
        _require_the_optimizer_alone(run)
        first, last = run.steps[0], run.steps[-1]
        if run.steps_asked > 1 and same(_in_a_row(first.weights), _in_a_row(last.weights), 0.0):
            raise CheckError(
                "train leaves the weights as they were", "optimizer.step() does nothing"
            )
