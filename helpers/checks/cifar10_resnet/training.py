"""The checks of `sgd`, `train_epoch` and `evaluate`, which are watched while they work."""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, TensorDataset

from helpers.checks.answers import Causes
from helpers.checks.cifar10_resnet.judging import call, pair
from helpers.checks.diagnosis import Mistake, as_array, consistent, expect, same
from helpers.checks.errors import CheckError
from helpers.checks.exercises import normal
from helpers.checks.measures import Measures, measures, wrong_measures, wrongly_joined
from helpers.checks.parts import Check

sgd = Check("sgd", "six steps agree with momentum 0.9 and an L2 penalty")
train_epoch = Check("train_epoch", "batches, gradients, loss and accuracy are the reference's")
evaluate = Check("evaluate", "loss and accuracy agree with the reference, in evaluation mode")

# --- sgd

Update = tuple[Tensor, Tensor]  # the new velocity of a parameter, and what is taken off it


@dataclass(frozen=True)
class Rule:
    """Gradient descent; a mistake replaces one of its settings."""

    momentum: float = 0.9
    nesterov: bool = False
    dampening: float = 0.0
    rate: Callable[[float], float] = lambda rate: rate
    decay: Callable[[float, float], float] = lambda decay, first_rate: decay
    decoupled: bool = False
    spared: str = ""  # parameters of this name have no penalty
    penalty: Callable[[Tensor], Tensor] = lambda w: w
    sign: float = 1.0

    def follow(self, steps: "Steps") -> np.ndarray:
        """Return all parameters after the steps, in a row."""
        W = dict(steps.start)
        velocity: dict[str, Tensor] = {}
        for gradients, lr in zip(steps.gradients, steps.rates, strict=True):
            lr = self.rate(lr)
            for name, w in W.items():
                decay = 0.0 if self.spared and self.spared in name else steps.weight_decay
                decay = self.decay(decay, steps.rates[0])
                g = self.sign * gradients[name]
                if not self.decoupled:
                    g = g + decay * self.penalty(w)
                first = name not in velocity
                v = self.momentum * velocity.get(name, 0 * g)
                velocity[name] = v + (g if first else (1 - self.dampening) * g)
                step = g + self.momentum * velocity[name] if self.nesterov else velocity[name]
                if self.decoupled:
                    W[name] = w - lr * decay * w
                W[name] = W[name] - lr * step
        return torch.cat([w.flatten() for w in W.values()]).numpy()


@dataclass(frozen=True)
class Steps:
    """An exercise: gradients for each step, the rates, and the strength of the penalty."""

    rates: tuple[float, ...]
    weight_decay: float

    def model(self) -> nn.Module:
        """Return a network with a convolution, a normalisation and a linear layer."""
        model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 4))
        with torch.no_grad():
            for seed, parameter in enumerate(model.parameters()):
                parameter.copy_(1 + normal(*parameter.shape, seed=seed))
        return model.double()

    @cached_property
    def gradients(self) -> list[dict[str, Tensor]]:
        """Return the gradients of each step by the parameters' names."""
        return [
            {name: normal(*p.shape, seed=50 * t + i)
             for i, (name, p) in enumerate(self.start.items())}
            for t in range(len(self.rates))
        ]  # fmt: skip

    @cached_property
    def start(self) -> dict[str, Tensor]:
        """Return the parameters before the steps, by their names."""
        return {name: p.detach() for name, p in self.model().named_parameters()}

    def __str__(self) -> str:
        rates = ", ".join(f"{rate:g}" for rate in dict.fromkeys(self.rates))
        return f"{len(self.rates)} steps, learning rate {rates}, weight_decay {self.weight_decay:g}"


_RIGHT = Rule()
_RULES: dict[str, dict[str, object]] = {
    "momentum has no effect: it is not passed on": {"momentum": 0.0},
    "the momentum is Nesterov's": {"nesterov": True},
    "dampening is on: the gradient is weighted with 1 - momentum": {"dampening": 0.9},
    "the penalty is missing: weight_decay is not passed on": {"decay": lambda d, r: 0.0},
    "the penalty does not pass through the momentum, as in AdamW: it is no L2 penalty": {
        "decoupled": True
    },
    "biases and shifts have no penalty; SGD's weight_decay acts on all parameters": {
        "spared": "bias"
    },
    "the normalisation has no penalty; SGD's weight_decay acts on all parameters": {"spared": "1."},
    "weight_decay is doubled": {"decay": lambda d, r: 2 * d},
    "weight_decay is halved": {"decay": lambda d, r: d / 2},
    "weight_decay is multiplied by the learning rate, which SGD does by itself": {
        "decay": lambda d, r: d * r
    },
    "weight_decay has the wrong sign: the weights grow": {"decay": lambda d, r: -d},
    "the penalty is L1: it pulls by the sign of each weight": {"penalty": torch.sign},
    "the sign of the step is wrong: maximize is on": {"sign": -1.0},
    **{
        f"momentum is {momentum:g}, and should be 0.9": {"momentum": momentum}
        for momentum in (0.99, 0.5, 0.95, 0.8, 0.1)
    },
    **{
        f"the learning rate is always {rate:g}": {"rate": lambda r, rate=rate: rate}
        for rate in (0.001, 0.01, 0.1)
    },
    **{
        f"weight_decay is always {decay:g}": {"decay": lambda d, r, decay=decay: decay}
        for decay in (1e-4, 5e-4, 1e-3, 1e-2)
    },
}


def _step(answer: Callable, steps: Steps) -> np.ndarray:
    """Let the answer's optimizer take the steps; return all parameters in a row."""
    model = steps.model()
    optimizer = call("sgd", answer, lambda: answer(model, steps.rates[0], steps.weight_decay))
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise CheckError(f"sgd should return an optimizer, not {optimizer!r:.60}")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [name for name, p in model.named_parameters() if id(p) not in held]
    if missing:
        raise CheckError(
            f"sgd: the optimizer does not have {', '.join(missing)}",
            "a copy of the network is trained"
            if len(missing) == len(list(model.parameters()))
            else "model.parameters() are all of them",
        )
    for gradients, rate in zip(steps.gradients, steps.rates, strict=True):
        for group in optimizer.param_groups:
            # As a schedule sets it. Where the answer has another rate, it keeps that at first.
            if rate != steps.rates[0]:
                group["lr"] = rate
        for name, parameter in model.named_parameters():
            parameter.grad = gradients[name].clone()
        call("sgd: optimizer.step()", answer, lambda: (optimizer.step(), True))
    return torch.cat([p.detach().double().flatten() for p in model.parameters()]).numpy()


def _expect_steps(answer: Callable, steps: Steps, kind: str = "") -> None:
    got, right = _step(answer, steps), _RIGHT.follow(steps)
    start = torch.cat([p.flatten() for p in steps.start.values()]).numpy()
    settings = list(_RULES.items())

    def wrong() -> Iterator[Mistake]:
        yield "the parameters never change", 0 * start
        for words, change in settings:
            yield words, replace(_RIGHT, **change).follow(steps) - start
        for (words, change), (more, other) in combinations(settings, 2):
            if change.keys().isdisjoint(other):
                rule = replace(_RIGHT, **change, **other)
                yield f"two: {words}; and {more}", rule.follow(steps) - start

    expect(
        f"sgd, change of the parameters{kind}", str(steps), got - start, right - start, wrong(),
        tolerance=1e-9,
    )  # fmt: skip


@sgd.part("the learning rate, in one step without penalty")
def _(answer: Callable) -> None:
    for rate in (0.02, 0.3):
        _expect_steps(answer, Steps((rate,), 0.0))


@sgd.part("momentum, over several steps without penalty")
def _(answer: Callable) -> None:
    _expect_steps(answer, Steps((0.05,) * 5, 0.0))


@sgd.part("the penalty, in one step")
def _(answer: Callable) -> None:
    for decay in (0.3, 0.05):
        _expect_steps(answer, Steps((0.1,), decay))


@sgd.part("both, while the learning rate falls")
def _(answer: Callable) -> None:
    _expect_steps(answer, Steps((0.1, 0.1, 0.1, 0.05, 0.02, 0.02), 0.2))


# --- a network, a loader and an optimizer that note what is done with them

Measured = tuple[str, Measures]  # what is wrong, and the loss and the accuracy that it gives
TOLERANCE = 2e-6
_DEVICE = torch.device("cpu")
_CLASSES = 5


class Network(nn.Module):
    """A small network with batch normalisation that notes each of its calls."""

    def __init__(self, run: "Run"):
        super().__init__()
        self.linear, self.norm = nn.Linear(3 * 4 * 5, 6), nn.BatchNorm1d(6)
        self.last = nn.Linear(6, _CLASSES)
        self.noted = [run]  # in a list, so that it is neither a module nor copied
        with torch.no_grad():
            for seed, tensor in enumerate((*self.parameters(), self.norm.running_mean)):
                spread = 3 / tensor[0].numel() ** 0.5 if tensor.dim() > 1 else 1
                tensor.copy_(spread * normal(*tensor.shape, seed=seed))
            self.norm.running_var.fill_(3.0)

    def forward(self, X: Tensor) -> Tensor:
        run = self.noted[0]
        if len(run.calls) > 20 * len(run.sizes):
            raise CheckError(f"{run.name} never ends", "go through the loader once")
        state = {name: value.detach().clone() for name, value in self.state_dict().items()}
        logits = self.logits(X)
        run.calls.append(
            Call(X.detach().clone(), logits.detach().clone(), self.training,
                 torch.is_grad_enabled(), state, len(run.steps))
        )  # fmt: skip
        return logits

    def logits(self, X: Tensor) -> Tensor:
        """Return the logits, and note nothing."""
        return self.last(F.relu(self.norm(self.linear(X.flatten(1)))))


@dataclass(frozen=True)
class Call:
    """One call of the network: input, output, mode, whether gradients are tracked, its state."""

    X: Tensor
    logits: Tensor
    training: bool
    tracks: bool
    state: dict[str, Tensor]
    steps: int  # that were taken before


class Loader(DataLoader):
    """A DataLoader that notes the batches it gives."""

    def __init__(self, run: "Run", data_set: TensorDataset, batch_size: int, *, shuffle: bool):
        super().__init__(
            data_set, batch_size, shuffle=shuffle, generator=torch.Generator().manual_seed(3)
        )
        self.__dict__["run"] = run

    def __iter__(self):
        self.run.passes += 1
        if self.run.passes > 5:
            raise CheckError(f"{self.run.name} goes through the loader again and again")
        for X, y in super().__iter__():
            self.run.batches.append((X.clone(), y.clone()))
            self.run.alive.append((X, y))  # so that the identity of a batch is not used again
            yield X, y


class Optimizer(torch.optim.SGD):
    """Gradient descent with momentum that notes the gradients of each step."""

    def __init__(self, run: "Run", model: nn.Module):
        super().__init__(model.parameters(), 0.05, 0.9)
        self.__dict__["run"] = run

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> object:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients = [p.grad for p in self.param_groups[0]["params"]]
        self.run.steps.append(
            (len(self.run.calls), [None if g is None else g.clone() for g in gradients])
        )
        super().step()
        return loss


class Moves(TorchFunctionMode):
    """Notes which tensors are moved to a device."""

    def __init__(self):
        super().__init__()
        self.moved: set[int] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        values = [*args, *(kwargs or {}).values()]
        named = any(isinstance(v, torch.device) or v == "cpu" for v in values
                    if isinstance(v, torch.device | str))  # fmt: skip
        if args and named and func is not torch.device:
            self.moved.add(id(args[0]))
        return func(*args, **(kwargs or {}))


class Run:
    """One call of an answer on a set of images, in batches the last of which is smaller."""

    def __init__(self, name: str, answer: Callable, count: int, batch_size: int, *, learns: bool):
        self.name, self.batch_size = name, batch_size
        self.sizes = [batch_size] * (count // batch_size)
        self.sizes += [count % batch_size] * (count % batch_size > 0)
        self.given = f"{count} images in batches of {', '.join(map(str, self.sizes))}"
        self.calls: list[Call] = []
        self.batches: list[tuple[Tensor, Tensor]] = []
        self.alive: list[tuple[Tensor, Tensor]] = []
        self.steps: list[tuple[int, list[Tensor | None]]] = []
        self.passes = 0
        self.model = Network(self)
        self.start = copy.deepcopy(self.model.state_dict())
        images = normal(count, 3, 4, 5, seed=count).float()
        labels = torch.randint(
            0, _CLASSES, (count,), generator=torch.Generator().manual_seed(count)
        )
        with torch.no_grad():
            guesses = copy.deepcopy(self.model).eval().logits(images)
        # About half of the labels are right; the last are as wrong as can be, so that a small last
        # batch shows when it has too much weight.
        labels = torch.where(labels < 2, guesses.argmax(1), labels)
        labels[-3:] = guesses[-3:].argmin(1)
        data_set = TensorDataset(images, labels)
        # In the mode that the answer has to change.
        self.model.train(not learns)
        loader = Loader(self, data_set, batch_size, shuffle=learns)
        moves = Moves()
        arguments = [self.model, loader]
        if learns:
            arguments.append(Optimizer(self, self.model))

        def action() -> object:
            with moves:
                return answer(*arguments, _DEVICE)

        result = call(name, answer, action, causes=_CAUSES)
        self.values = pair(name, result, ("mean loss", "accuracy"))
        self.moved = [[id(t) in moves.moved for t in batch] for batch in self.alive]
        if not self.calls:
            raise CheckError(f"{name} never calls the network", "for X, y in loader: model(X)")
        for which, value in zip(("loss", "accuracy"), self.values, strict=True):
            if isinstance(value, Tensor) and value.requires_grad:
                raise CheckError(
                    f"{name} returns a {which} that is a tensor with a gradient",
                    "it keeps the graphs of all batches in memory; add up loss.item()",
                )

    def __deepcopy__(self, memo: dict) -> "Run":
        return self

    def require_batches(self) -> None:
        """Raise `CheckError` unless the network saw each batch of the loader, once and whole."""
        if self.passes != 1 or len(self.batches) != len(self.sizes):
            given = len(self.batches)
            raise CheckError(
                f"{self.name} takes {given} batches out of the loader, which has "
                f"{len(self.sizes)}\n  given: {self.given}",
                "the loop ends after the first batch: return stands inside it"
                if given == 1
                else "the loader is gone through more than once"
                if self.passes > 1
                else "the last batch is left out",
            )
        if len(self.calls) != len(self.batches):
            raise CheckError(
                f"{self.name} calls the network {len(self.calls)} times for {len(self.batches)} "
                f"batches\n  given: {self.given}",
                "the network is called twice for each batch: keep the logits"
                if len(self.calls) == 2 * len(self.batches)
                else "the call stands behind the loop, not in it"
                if len(self.calls) == 1
                else "some batches never reach the network"
                if len(self.calls) < len(self.batches)
                else "",
            )
        for i, (call_, (X, _)) in enumerate(zip(self.calls, self.batches, strict=True)):
            wrong = [("the images are divided by 255 again: the loader gives them ready", X / 255)]
            if not torch.equal(call_.X, X):
                expect(f"{self.name}, images of batch {i}", self.given, call_.X, X, wrong)

    def joined(self) -> tuple[Tensor, Tensor]:
        """Return the logits and labels of all images as they were met, in double precision."""
        logits = torch.cat([c.logits for c in self.calls]).double()
        return logits, torch.cat([y for _, y in self.batches])


_CAUSES: Causes = (
    (
        r"object is not iterable.*Loader|'Loader' object is not (subscriptable|callable)",
        "a loader gives batches in a loop: for X, y in loader",
    ),
    (r"grad can be implicitly created only for scalar", "average the losses of the batch"),
    (
        r"only one element tensors|a Tensor with \d+ elements cannot",
        ".item() takes one number; add up first: (… == y).sum().item()",
    ),
    (
        r"Expected floating point type for target|expected scalar type Long|0D or 1D target",
        "cross_entropy takes logits [batch, classes] and labels [batch] of whole numbers, in this "
        "order",
    ),
)  # fmt: skip
# Images and batch size: the last batch is smaller; as large; there is one batch only.
_CASES = ((22, 8), (24, 8), (9, 16))


def _runs(name: str, answer: Callable, *, learns: bool) -> Iterator[Run]:
    for count, batch_size in _CASES:
        yield Run(name, answer, count, batch_size, learns=learns)


def _expect_moved(name: str, answer: Callable, *, learns: bool) -> None:
    for run in _runs(name, answer, learns=learns):
        run.require_batches()
        for i, (X, y) in enumerate(run.moved):
            if not (X and y):
                what = "images and labels" if not (X or y) else "labels" if X else "images"
                raise CheckError(
                    f"{name}: the {what} of batch {i} never go to the device\n  given: {run.given}",
                    "X, y = X.to(device), y.to(device): where the network is on a GPU, the batch "
                    "has to go there",
                )


def _expect_numbers(
    runs: Iterable[Run], which: int, later: Callable[[Run], Iterator[Measured]] = lambda run: ()
) -> None:
    """Compare the loss (0) or the accuracy (1) with that of the logits as they were met.

    `later` yields what else may have been measured. A mistake is named where it explains all runs.
    """
    cases, compared = [], []
    for run in runs:
        if len(run.calls) < len(run.batches):
            run.require_batches()
        logits, labels = _as_met(run)
        what = f"{run.name}, {('mean loss', 'accuracy')[which]}"
        got = as_array(what, run.values[which])
        sizes = [len(y) for _, y in run.batches]
        wrong = chain(
            wrong_measures(logits, labels),
            wrongly_joined(logits, labels, sizes, batch_size=run.batch_size),
            later(run),
        )
        cases.append((got, [(words, values[which]) for words, values in wrong]))
        compared.append((what, run.given, got, measures(logits, labels)[which]))
    if all(same(got, np.asarray(right), TOLERANCE) for _, _, got, right in compared):
        return
    hint = consistent(cases)
    for what, given, got, right in compared:
        expect(what, given, got, right, [(hint, got)] if hint else [], tolerance=TOLERANCE)


def _as_met(run: Run) -> tuple[Tensor, Tensor]:
    """Return logits and labels of all images; of several calls for a batch, the first counts."""
    step = max(1, len(run.calls) // len(run.batches))
    logits = [c.logits for c in run.calls[::step]][: len(run.batches)]
    batches = [(z, y) for z, (_, y) in zip(logits, run.batches, strict=False) if len(z) == len(y)]
    if not batches:
        run.require_batches()
    zs, ys = zip(*batches, strict=True)
    return torch.cat(zs).double(), torch.cat(ys)


# --- an epoch of training


def _of_network(run: Run, state: dict[str, Tensor], X: Tensor, training: bool) -> tuple:
    """Return a copy of the network in some state, in double precision, and its logits."""
    model = copy.deepcopy(run.model)
    model.load_state_dict(state)
    model.double().train(training)
    return model, model.logits(X.double())


def _later_measures(run: Run) -> Iterator[Measured]:
    """Yield what is measured at other times than when the images are met."""
    labels = torch.cat([y for _, y in run.batches])
    last = {k: v.detach().clone() for k, v in run.model.state_dict().items()}
    states = [c.state for c in run.calls[1:]] + [last]
    with torch.no_grad():
        after = [
            _of_network(run, s, X, True)[1] for s, (X, _) in zip(states, run.batches, strict=False)
        ]
        if len(after) == len(run.batches):
            yield (
                "it is measured after each step, and should be with the logits of the step",
                measures(torch.cat(after), labels),
            )
        for training in (False, True):
            end = [_of_network(run, last, X, training)[1] for X, _ in run.batches]
            yield (
                "it is measured at the end of the epoch, and should be as the images are met",
                measures(torch.cat(end), labels),
            )


@train_epoch.part("every batch once, on the device")
def _(answer: Callable) -> None:
    _expect_moved("train_epoch", answer, learns=True)
    for run in _runs("train_epoch", answer, learns=True):
        _require_steps(run)


def _require_steps(run: Run) -> None:
    """Raise `CheckError` unless one step is taken after each call of the network."""
    if [calls for calls, _ in run.steps] == list(range(1, len(run.calls) + 1)):
        return
    taken, asked = len(run.steps), len(run.batches)
    hints = {
        0: "optimizer.step() is missing",
        2 * asked: "optimizer.step() is called twice for each batch",
        asked: "optimizer.step() comes before the network's logits of the batch",
    }
    if asked > 1:
        hints[1] = "optimizer.step() stands behind the loop, not in it"
    raise CheckError(
        f"train_epoch takes {taken} steps for {asked} batches\n  given: {run.given}",
        hints.get(taken, ""),
    )


@train_epoch.part("the gradient of each step")
def _(answer: Callable) -> None:
    for run in _runs("train_epoch", answer, learns=True):
        run.require_batches()
        _require_steps(run)
        before: list[np.ndarray] = []
        for t, (_, found) in enumerate(run.steps):
            call_, (X, y) = run.calls[t], run.batches[t]
            right = _gradient(run, call_, X, y)
            got = np.concatenate([
                np.zeros(p.numel()) if g is None else g.double().flatten().numpy()
                for p, g in zip(run.model.parameters(), found, strict=True)
            ])  # fmt: skip
            expect(
                f"train_epoch, gradient of step {t}",
                run.given,
                got,
                right,
                _wrong_gradients(run, call_, X, y, right, before),
                tolerance=1e-4,
            )
            before.append(right)


def _gradient(
    run: Run,
    call_: Call,
    X: Tensor,
    y: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> np.ndarray:
    # In the mode in which the network was called: the mode is judged by itself.
    model, logits = _of_network(run, call_.state, X, call_.training)
    found = torch.autograd.grad(loss(logits, y), list(model.parameters()))
    return torch.cat([g.flatten() for g in found]).numpy()


def _wrong_gradients(
    run: Run, call_: Call, X: Tensor, y: Tensor, right: np.ndarray, before: list[np.ndarray]
) -> Iterator[Mistake]:
    yield (
        "there is no gradient: loss.backward() is missing or stands behind the step, or "
        "zero_grad() stands between them", 0 * right,
    )  # fmt: skip
    yield (
        "the gradients of all steps add up: optimizer.zero_grad() is missing",
        sum(before, right),
    )
    if before:
        yield "it is that of the step before: optimizer.step() comes before backward()", before[-1]
        yield (
            "the gradients of all steps before are added up, without this one",
            sum(before[1:], before[0]),
        )
    yield "backward() is called twice", 2 * right
    yield "the losses of the batch are summed, and should be averaged", right * len(y)
    of = partial(_gradient, run, call_, X, y)
    for words, loss in {
        "a softmax comes before the cross-entropy, which has one already": (
            lambda z, y: F.cross_entropy(z.softmax(1), y)
        ),
        "a softmax over the batch comes before the cross-entropy": (
            lambda z, y: F.cross_entropy(z.softmax(0), y)
        ),
        "the logits go into nll_loss without a log-softmax": F.nll_loss,
        "nll_loss is given probabilities: the logarithm is missing": (
            lambda z, y: F.nll_loss(z.softmax(1), y)
        ),
        "the loss is the squared error, not the cross-entropy": (
            lambda z, y: F.mse_loss(z, F.one_hot(y, _CLASSES).to(z.dtype))
        ),
        "the labels are smoothed, which is not asked for here": partial(
            F.cross_entropy, label_smoothing=0.1
        ),
        "the loss is divided by the number of batches": lambda z, y: (
            F.cross_entropy(z, y) / len(run.batches)
        ),
        "the loss is divided by the batch size once too often": lambda z, y: (
            F.cross_entropy(z, y) / len(y)
        ),
        "the labels are in reverse order": lambda z, y: F.cross_entropy(z, y.flip(0)),
        "the sign of the loss is wrong": lambda z, y: -F.cross_entropy(z, y),
        "the loss is measured against the network's own answers, not the labels": lambda z, y: (
            F.cross_entropy(z, z.argmax(1))
        ),
    }.items():
        yield words, of(loss)
    norm = np.linalg.norm(right)
    for longest in (1.0, 0.1, 5.0):
        yield "the gradient is clipped, which is not asked for here", right * min(1, longest / norm)


@train_epoch.part("the mean loss of the images as they are met")
def _(answer: Callable) -> None:
    _expect_numbers(_runs("train_epoch", answer, learns=True), 0, _later_measures)


@train_epoch.part("the accuracy of the images as they are met")
def _(answer: Callable) -> None:
    _expect_numbers(_runs("train_epoch", answer, learns=True), 1, _later_measures)


@train_epoch.part("training mode")
def _(answer: Callable) -> None:
    for run in _runs("train_epoch", answer, learns=True):
        _require_steps(run)
        if not all(c.training for c in run.calls):
            raise CheckError(
                "train_epoch leaves the network in evaluation mode while it learns",
                "model.train() belongs before the loop: batch normalisation then uses the batch",
            )


# --- evaluation


@evaluate.part("every batch once, on the device")
def _(answer: Callable) -> None:
    _expect_moved("evaluate", answer, learns=False)


@evaluate.part("the mean loss over the images")
def _(answer: Callable) -> None:
    _expect_numbers(_runs("evaluate", answer, learns=False), 0)


@evaluate.part("the accuracy over the images")
def _(answer: Callable) -> None:
    _expect_numbers(_runs("evaluate", answer, learns=False), 1)


@evaluate.part("evaluation mode, and the network stays as it is")
def _(answer: Callable) -> None:
    for run in _runs("evaluate", answer, learns=False):
        run.require_batches()
        if any(c.training for c in run.calls):
            raise CheckError(
                f"evaluate leaves the network in training mode\n  given: {run.given}",
                "model.eval() is missing: the answers would depend on the batch, and the running "
                "averages would change",
            )
        now = run.model.state_dict()
        changed = [k for k, v in run.start.items() if not same(as_array(k, now[k]), as_array(k, v))]
        if changed:
            raise CheckError(f"evaluate changes {', '.join(changed)} of the network")


@evaluate.part("no gradients")
def _(answer: Callable) -> None:
    for run in _runs("evaluate", answer, learns=False):
        run.require_batches()
        if any(c.tracks for c in run.calls):
            raise CheckError(
                f"evaluate tracks gradients, which costs time and memory\n  given: {run.given}",
                "torch.no_grad() is missing",
            )
