"""The check of `train`: the handout's test script as a loop."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from helpers.checks.diagnosis import as_array, recognise, relation, same
from helpers.checks.errors import CheckError
from helpers.checks.numpy_lenet.reference import call, call_and_compare, numbers
from helpers.checks.numpy_lenet.updates import Rule as Update
from helpers.checks.parts import Check

train = Check("train", "parameters and reports agree with the reference, step by step")

Parameters = dict[int, dict[str, np.ndarray]]
_ABSENT = object()


@dataclass(frozen=True)
class Rule:
    """How the loop goes; a mistake replaces one of its pieces."""

    # Of the settings and the step, from 0.
    rate: Callable[[Mapping[str, float], int], float] = lambda s, step: (
        s["epsilon"] / (1 + s["gamma"] * step) ** s["power"]
    )
    mu: Callable[[Mapping[str, float]], float] = lambda s: s["mu"]
    decay: Callable[[Mapping[str, float]], float] = lambda s: s["decay"]
    batch: Callable[[int], int] = lambda step: step
    steps: Callable[[int], int] = lambda max_iter: max_iter
    # Of the parameters before and after an update, those that the next step goes on from.
    kept: Callable[[Parameters, Parameters], Parameters] = lambda old, new: new
    at_start: bool = False  # the gradient is always computed at the first parameters
    initial: Callable[[np.ndarray], np.ndarray] = np.zeros_like  # θ


MISTAKES: dict[str, dict[str, object]] = {
    "the parameters are never updated: what sgd_momentum returns is not kept": {
        "kept": lambda old, new: old
    },
    "momentum has no effect: settings['mu'] is not used, or the history starts anew in every step "
    "(param_winc is not kept, or made inside the loop)": {"mu": lambda s: 0.0},
    "the learning rate does not fall: get_lr needs the step": {"rate": lambda s, t: s["epsilon"]},
    "the learning rate falls one step too early: steps count from 0": {
        "rate": lambda s, t: s["epsilon"] / (1 + s["gamma"] * (t + 1)) ** s["power"]
    },
    "the learning rate falls one step too late": {
        "rate": lambda s, t: s["epsilon"] / (1 + s["gamma"] * max(t - 1, 0)) ** s["power"]
    },
    "gamma and power are swapped in get_lr": {
        "rate": lambda s, t: s["epsilon"] / (1 + s["power"] * t) ** s["gamma"]
    },
    "epsilon and gamma are swapped in get_lr": {
        "rate": lambda s, t: s["gamma"] / (1 + s["epsilon"] * t) ** s["power"]
    },
    "the power of the learning rate's decay is missing": {
        "rate": lambda s, t: s["epsilon"] / (1 + s["gamma"] * t)
    },
    "the learning rate is multiplied onto that of the last step": {
        "rate": lambda s, t: (
            s["epsilon"]
            / float(np.prod([(1 + s["gamma"] * k) ** s["power"] for k in range(t + 1)]))
        )
    },
    "the learning rate is 1": {"rate": lambda s, t: 1.0},
    "the sign of the learning rate is wrong": {"rate": lambda s, t: -s["epsilon"]},
    "mu and decay are swapped": {"mu": lambda s: s["decay"], "decay": lambda s: s["mu"]},
    "weight decay is missing: settings['decay'] is not used": {"decay": lambda s: 0.0},
    "every step uses the first batch: next(batches) belongs inside the loop": {
        "batch": lambda step: 0
    },
    "the first batch is skipped": {"batch": lambda step: step + 1},
    "every second batch is skipped: next(batches) is called twice in a step": {
        "batch": lambda step: 2 * step
    },
    "every second batch is skipped, and the first": {"batch": lambda step: 2 * step + 1},
    "images and labels are from different batches: next(batches) gives both at once": {
        "batch": lambda step: -1 - step
    },
    "there is one step too few": {"steps": lambda n: n - 1},
    "there is one step too many": {"steps": lambda n: n + 1},
    "the loop ends after one step": {"steps": lambda n: 1},
    "the loop ends after two steps": {"steps": lambda n: 2},
    "the gradient is computed at the first parameters in every step": {"at_start": True},
    "θ starts at one; it should start at zero": {"initial": np.ones_like},
    "θ starts as the parameters; it should start at zero": {"initial": np.array},
}


@dataclass(frozen=True)
class Exercise:
    """One call of `train`: settings, steps, and whether the batches differ."""

    max_iter: int
    epsilon: float = 0.1
    gamma: float = 0.0
    power: float = 0.75
    mu: float = 0.0
    decay: float = 0.0
    varied: bool = False
    dtype: type = np.float64

    def __str__(self) -> str:
        settings = ", ".join(f"{name} {value:g}" for name, value in self.settings.items())
        batches = "batches that differ" if self.varied else "batches that are all alike"
        return f"max_iter {self.max_iter}, {settings}, {batches}"

    @property
    def settings(self) -> dict[str, float]:
        """Return what the answer is given as settings."""
        names = ("epsilon", "gamma", "power", "mu", "decay")
        return {name: getattr(self, name) for name in names}

    def params(self) -> Parameters:
        """Return the parameters at the start, of two layers."""
        shapes = {2: (3, 4), 5: (2, 3)}
        return {
            i: {
                "w": numbers(shape, seed=i, dtype=self.dtype),
                "b": numbers(shape[:1], seed=10 + i, dtype=self.dtype),
            }
            for i, shape in shapes.items()
        }

    def batch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the images `[4, 6]` and labels `[6]` of a batch; below 0, of two of them."""
        if number < 0:  # see MISTAKES: the labels come from the batch after that of the images
            return self.batch(2 * (-1 - number))[0], self.batch(2 * (-1 - number) + 1)[1]
        seed = number if self.varied else 0
        return numbers((4, 6), 20 + seed), np.random.default_rng(40 + seed).integers(0, 10, 6)

    def follow(self, rule: Rule) -> Parameters:
        """Return the final parameters that `rule` leads to."""
        params = start = self.params()
        winc = _changed(params, rule.initial)
        for step in range(rule.steps(self.max_iter)):
            at = start if rule.at_start else params
            _, grad = gradient(at, *self.batch(rule.batch(step)))
            rate, settings = rule.rate(self.settings, step), self.settings
            new, theta = Update()(
                rate, rate, rule.mu(settings), rule.decay(settings), params, winc, grad
            )
            params, winc = rule.kept(params, new), theta
        return params


def _changed(params: Parameters, change: Callable[[np.ndarray], np.ndarray]) -> Parameters:
    return {i: {name: change(v) for name, v in own.items()} for i, own in params.items()}


def gradient(
    params: Parameters, x: np.ndarray, y: np.ndarray
) -> tuple[dict[str, float], Parameters]:
    """Return `cp` and `param_grad` of a cost that pulls every parameter to what x and y say."""
    pull = np.sin(5 * x[0, 0] + x[1, 2] + y @ np.arange(1.0, 1 + len(y)))
    cost, grad = 0.0, {}
    for i, own in params.items():
        grad[i] = {}
        for name, value in own.items():
            target = pull * np.cos(np.arange(value.size)).reshape(value.shape)
            away = value - target.astype(value.dtype)
            cost += float((away**2).sum()) / 2
            grad[i][name] = away
    return {"cost": cost, "percent": float(np.mod(cost, 1.0))}, grad


@dataclass
class Run:
    """What the answer did in one call."""

    exercise: Exercise
    final: object = None
    costs: list[dict[str, float]] = field(default_factory=list)  # of each call of gradient
    reports: list[tuple[object, object, object]] = field(default_factory=list)

    def arguments(self) -> dict[str, object]:
        """Return the answer's arguments; the functions among them note how they are called."""
        exercise = self.exercise

        def noted(params: Parameters, x: np.ndarray, y: np.ndarray) -> tuple:
            if len(self.costs) > 20 * (exercise.max_iter + 1):
                raise RuntimeError("gradient is called without end: the loop never stops")
            cp, grad = gradient(params, x, y)
            self.costs.append(dict(cp))
            return cp, grad

        def report(step: object, cp: object, params: object) -> None:
            self.reports.append(copy.deepcopy((step, cp, params)))

        return {
            "params": exercise.params(),
            "gradient": noted,
            "batches": _Batches(exercise),
            "settings": exercise.settings,
            "max_iter": exercise.max_iter,
            "report": report,
        }


class _Batches:
    """The batches of an exercise without end; a copy begins anew."""

    def __init__(self, exercise: Exercise):
        self.exercise, self.numbers = exercise, count()

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        return self.exercise.batch(next(self.numbers))

    def __deepcopy__(self, memo: dict) -> "_Batches":
        return self

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None


@contextmanager
def _reference_update(answer: Callable) -> Iterator[None]:
    """Put the reference in the place of the answer's own `sgd_momentum` while the block runs."""

    def sgd_momentum(*arguments: object, **named: object) -> tuple[Parameters, Parameters]:
        return Update()(*copy.deepcopy(arguments), **copy.deepcopy(named))

    names = getattr(answer, "__globals__", {})
    before = names.get("sgd_momentum", _ABSENT)
    names["sgd_momentum"] = sgd_momentum
    try:
        yield
    finally:
        if before is _ABSENT:
            names.pop("sgd_momentum", None)
        else:
            names["sgd_momentum"] = before


def _run(answer: Callable, exercise: Exercise) -> Run:
    """Let the answer train on copies of the exercise's parameters."""
    run = Run(exercise)
    with _reference_update(answer):
        run.final = call("train", str(exercise), answer, *run.arguments().values())
    return run


def _expect_final(run: Run) -> None:
    """Raise `CheckError` unless the returned parameters are the reference's."""
    right = run.exercise.follow(Rule())
    got = _in_a_row(run.final, right, run.exercise)
    wanted = _in_a_row(right, right, run.exercise)
    if same(got, wanted):
        return
    hint = recognise(got, _mistakes(run)) or relation(got, wanted)
    first = next((k for k in range(got.size) if not same(got[[k]], wanted[[k]])), 0)
    raise CheckError(
        "train: the final parameters are not the reference's\n"
        f"  given: {run.exercise}\n  expected: {wanted[first]:.5g} for the first that differs\n"
        f"  got: {got[first]:.5g}",
        hint,
    )


def _mistakes(run: Run) -> Iterator[tuple[str, np.ndarray]]:
    right = run.exercise.params()
    for words, pieces in MISTAKES.items():
        final = run.exercise.follow(replace(Rule(), **pieces))
        yield words, _in_a_row(final, right, run.exercise)


def _in_a_row(params: object, like: Parameters, exercise: Exercise) -> np.ndarray:
    """Return all parameters in one vector, or raise `CheckError` where they have another form."""
    if isinstance(params, tuple | list):
        raise CheckError(
            f"train should return the final params alone, got {len(params)} values\n"
            f"  given: {exercise}"
        )
    for i, own in like.items():
        fits = isinstance(params, Mapping) and isinstance(params.get(i), Mapping)
        if not fits or any(np.shape(params[i].get(name)) != v.shape for name, v in own.items()):
            raise CheckError(
                f"train should return params, a dictionary with the layers {list(like)}\n"
                f"  given: {exercise}\n  got: {params!r:.80}"
            )
    arrays = [params[i][name] for i, own in like.items() for name in own]
    return np.concatenate([as_array("train, params", array).ravel() for array in arrays])


@train.part("one step")
def _(answer: Callable) -> None:
    _expect_final(_run(answer, Exercise(max_iter=1)))
    _expect_final(_run(answer, Exercise(max_iter=1, epsilon=0.3, dtype=np.float32)))


@train.part("as many steps as max_iter")
def _(answer: Callable) -> None:
    for max_iter in (3, 5):
        _expect_final(_run(answer, Exercise(max_iter)))
    _expect_final(_run(answer, Exercise(20, epsilon=0.3)))  # until the cost is next to nothing


@train.part("the learning rate falls")
def _(answer: Callable) -> None:
    _expect_final(_run(answer, Exercise(4, gamma=0.5)))
    _expect_final(_run(answer, Exercise(6, gamma=0.2, power=1.5)))
    _expect_final(_run(answer, Exercise(150, gamma=0.5)))


@train.part("momentum")
def _(answer: Callable) -> None:
    _expect_final(_run(answer, Exercise(4, mu=0.9)))


@train.part("weight decay")
def _(answer: Callable) -> None:
    _expect_final(_run(answer, Exercise(3, decay=0.4)))


@train.part("a new batch in every step, and all settings together")
def _(answer: Callable) -> None:
    _expect_final(_run(answer, Exercise(4, varied=True)))
    _expect_final(_run(answer, Exercise(6, gamma=0.3, mu=0.6, decay=0.4, varied=True)))


@train.part("a report after every step")
def _(answer: Callable) -> None:
    exercise = Exercise(6)
    run = _run(answer, exercise)
    reference = [
        exercise.follow(replace(Rule(), steps=lambda n, k=k: k))
        for k in range(exercise.max_iter + 2)
    ]
    costs = [gradient(params, *exercise.batch(0))[0]["cost"] for params in reference]
    steps = [step for step, _, _ in run.reports]
    if steps != [1, 2, 3, 4, 5, 6]:
        raise CheckError(
            "train: report should be called once after every step, with the steps 1 to 6\n"
            f"  given: {exercise}\n  got: {', '.join(map(repr, steps)) or 'no report'}",
            _explain_steps(steps),
        )
    for step, cp, params in run.reports:
        cost = cp.get("cost") if isinstance(cp, Mapping) else None
        if cost is None:
            raise CheckError(
                f"train: report should be given cp, what gradient returned first, got {cp!r:.60}",
                "the cost alone is reported" if isinstance(cp, float | np.floating) else "",
            )
        if not np.isclose(cost, costs[step - 1], rtol=1e-5):
            hints = {costs[step]: "it is the cost of the next step, computed anew"}
            if step > 1:
                hints[costs[step - 2]] = "it is the cost of the step before"
            hints[costs[0]] = "it is always the cost of the first step"
            raise CheckError(
                f"train: the cost reported after step {step} is not that of this step\n"
                f"  given: {exercise}\n  expected: {costs[step - 1]:.6g}\n  got: {cost:.6g}",
                next((why for value, why in hints.items() if np.isclose(cost, value)), ""),
            )
        got = _in_a_row(params, reference[0], exercise)
        if not same(got, _in_a_row(reference[step], reference[0], exercise)):
            before = same(got, _in_a_row(reference[step - 1], reference[0], exercise))
            raise CheckError(
                f"train: the params reported after step {step} are not those after its update\n"
                f"  given: {exercise}",
                "report is called before the update" if before else "",
            )


def _explain_steps(steps: list[object]) -> str:
    known = {
        (): "report is never called",
        (0, 1, 2, 3, 4, 5): "steps are reported from 1: step + 1",
        (6,): "report is called once at the end; it belongs inside the loop",
        (1,): "the loop ends after one step",
        (2, 3, 4, 5, 6, 7): "steps are reported from 1",
        (1, 2, 3, 4, 5): "there is one step too few",
        (1, 2, 3, 4, 5, 6, 7): "there is one step too many",
    }
    try:
        return known.get(tuple(steps), "")
    except TypeError:  # steps that cannot be looked up, arrays for instance
        return "the first argument of report is the step"


@train.part("the params that were given are left as they were")
def _(answer: Callable) -> None:
    run = Run(Exercise(max_iter=1))
    with _reference_update(answer):
        run.final = call_and_compare("train", str(run.exercise), answer, run.arguments())
    _expect_final(run)
