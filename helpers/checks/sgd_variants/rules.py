"""The checks of `sgd_step`, `momentum_step` and `rmsprop_step`, over one step and over several."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from helpers.checks.answers import attempt
from helpers.checks.diagnosis import expect, same
from helpers.checks.errors import CheckError, NotWrittenYet
from helpers.checks.parts import Check
from helpers.checks.sgd_variants.functions import CAUSES, TOLERANCE, alike
from helpers.checks.sgd_variants.reference import standing_in

sgd_step = Check("sgd_step", "one step and five agree with the reference, in place")
momentum_step = Check("momentum_step", "theta and velocity agree with the reference over 5 steps")
rmsprop_step = Check("rmsprop_step", "theta and mean_square agree with the reference over 5 steps")

# What a rule takes off theta, and its new state; from gradient, state, learning rate, setting (α or
# ρ) and ε.
Update = Callable[[np.ndarray, np.ndarray, float, float, float], tuple[np.ndarray, np.ndarray]]

FIRST, LATER, STATE, IN_PLACE, EPSILON = (
    "the first step",
    "later steps",
    "the state after them",
    "theta is changed in place",
    "ε, and derivatives of zero",
)


@dataclass(frozen=True)
class Wrong:
    """What was done wrong, the rule that does it, and the parts that it costs their points.

    Without `parts`, it costs all in which it shows.
    """

    words: str
    update: Update
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Steps:
    """An exercise: gradients `[steps, n]` one after the other, a rate for each, and the rest."""

    gradients: np.ndarray
    rates: tuple[float, ...]
    state: np.ndarray
    setting: float = 0.0
    epsilon: float = 1e-8
    explicit: bool = False  # whether ε is an argument of the call

    @property
    def theta(self) -> np.ndarray:
        """Return the `theta` before the first step."""
        return np.linspace(-1, 1, self.gradients.shape[1], dtype=self.gradients.dtype)

    def follow(self, update: Update) -> np.ndarray:
        """Return how far `theta` has moved and the state, `[2, n]`, in double precision."""
        moved, state = np.zeros(len(self.state)), self.state.astype(np.float64)
        for gradient, rate in zip(self.gradients.astype(np.float64), self.rates, strict=True):
            with np.errstate(all="ignore"):
                change, state = update(gradient, state, rate, self.setting, self.epsilon)
            moved = moved - change
        return np.stack([moved, np.broadcast_to(state, moved.shape)])


@dataclass(frozen=True)
class Outcome:
    """What an answer made of an exercise, `[2, n]` as `Steps.follow` has it, and how."""

    values: np.ndarray
    returned: bool  # theta was returned and not changed in place
    gradients_kept: bool


@dataclass(frozen=True)
class Rule:
    """A rule's name, what its state is called, the reference and the known mistakes."""

    name: str
    state: str
    right: Update
    mistakes: tuple[Wrong, ...]
    setting: str = ""  # the letter of what it takes beside the learning rate
    has_epsilon: bool = False

    def run(self, answer: Callable, steps: Steps) -> Outcome:
        """Let the answer take all steps, each with the arrays that the one before left."""
        theta, state, returned = steps.theta, steps.state.copy(), False
        gradients = steps.gradients.copy()
        settings = (steps.setting,) if self.setting else ()
        settings += (steps.epsilon,) if steps.explicit else ()
        with standing_in(answer, self.name), np.errstate(all="ignore"):
            for gradient, rate in zip(gradients, steps.rates, strict=True):
                before = theta.copy()
                (result,) = attempt(
                    self.name,
                    partial(_in_a_tuple, answer, theta, gradient, state, rate, *settings),
                    causes=CAUSES,
                )
                if result is Ellipsis:
                    raise NotWrittenYet(f"{self.name} is not written yet.")
                new = result[0] if isinstance(result, tuple) and result else result
                new = new if isinstance(new, np.ndarray) and new.shape == theta.shape else None
                if new is not None and np.array_equal(theta, before):
                    theta, returned = new.copy(), True
        moved = theta.astype(np.float64) - steps.theta
        values = np.stack([moved, state.astype(np.float64)])
        return Outcome(values, returned, np.array_equal(gradients, steps.gradients))

    def expect(self, answer: Callable, steps: Steps, part: str, *which: int) -> Outcome:
        """Compare how far theta has moved (0), the state (1), or both, with the reference.

        A mistake that costs the points of another part is forgiven in this one.
        """
        outcome, expected = self.run(answer, steps), steps.follow(self.right)
        tolerance = TOLERANCE[str(steps.gradients.dtype)]
        for i in which or (0, 1):
            if same(outcome.values[i], expected[i], tolerance):
                continue
            wrong = self._recognise(answer)
            explained = wrong is not None and _agree(
                outcome.values, steps.follow(wrong.update), 10 * tolerance
            )
            if explained and wrong.parts and part not in wrong.parts:
                continue
            hint = wrong.words if explained else self._explain(answer, outcome)
            what = f"{self.name}, {('change of theta', self.state)[i]}"
            if hint and not np.isfinite(outcome.values[i]).all():
                raise CheckError(f"{what}: NaN or infinite\n  given: {self._given(steps)}", hint)
            expect(
                what,
                self._given(steps),
                outcome.values[i],
                expected[i],
                [(hint, outcome.values[i])] if hint else [],
                tolerance=tolerance,
            )
        return outcome

    def _given(self, steps: Steps) -> str:
        count = len(steps.rates)
        rates = ", ".join(f"{rate:g}" for rate in dict.fromkeys(steps.rates))
        setting = f", {self.setting} {steps.setting:g}" if self.setting else ""
        epsilon = f", ε {steps.epsilon:g}" if steps.explicit else ""
        return (
            f"{count} step{'s' if count > 1 else ''} with gradients of {len(steps.state)} numbers, "
            f"learning rate {rates}{setting}{epsilon}, {steps.gradients.dtype}"
        )

    def _recognise(self, answer: Callable) -> Wrong | None:
        """Return the mistake that explains what the answer makes of the probes."""
        try:
            got = [self.run(answer, probe).values for probe in _probes(self.has_epsilon)]
        except (CheckError, NotWrittenYet):
            return None
        for wrong, values in _probed(self):
            if all(_agree(a, b) for a, b in zip(got, values, strict=True)):
                return wrong
        return None

    def _explain(self, answer: Callable, outcome: Outcome) -> str:
        if outcome.values[0].any():
            return ""
        gradients = _gradients(31, 2)
        again = self.run(answer, Steps(gradients, (0.1,) * 2, _state(31), 0.9))
        return "" if again.values[0].any() else _NEVER_MOVES


def _probes(has_epsilon: bool) -> list[Steps]:
    """Return exercises in which no two mistakes look alike; one with an ε of its own."""
    gradients, state = _gradients(30, 5) * np.geomspace(1e-8, 1, _NUMBERS), _state(30)
    gradients[:, 3] = 0
    state[:4] = 0
    probe = Steps(gradients, (0.1, 0.3, 0.05, 0.1, 0.2), state, 0.7)
    return [probe, replace(probe, epsilon=0.3, explicit=True)] if has_epsilon else [probe]


@cache
def _probed(rule: Rule) -> list[tuple[Wrong, list[np.ndarray]]]:
    """Return the mistakes of a rule, each with what it makes of the probes."""
    probes = _probes(rule.has_epsilon)
    return [(wrong, [probe.follow(wrong.update) for probe in probes]) for wrong in rule.mistakes]


_NEVER_MOVES = (
    "theta has not changed: theta = theta - … makes a new array, which the caller never sees; "
    "theta -= … or theta[...] = … changes the one that was given"
)


def _in_a_tuple(answer: Callable, *arguments: object) -> tuple[object]:
    # The rules return None, which would otherwise be taken for a missing `return`.
    return (answer(*arguments),)


def _agree(got: np.ndarray, value: np.ndarray, tolerance: float = 1e-6) -> bool:
    """Tell whether theta and state agree, each to `tolerance` of its own largest number.

    A change of theta that is lost in its rounding agrees with none.
    """
    lost = np.allclose(got[0], value[0], rtol=0, atol=1e-15)
    return (lost or alike(got[0], value[0], tolerance)) and alike(got[1], value[1], tolerance)


# --- exercises

_NUMBERS = 7


def _gradients(seed: int, steps: int, scale: float = 1.0) -> np.ndarray:
    """Return gradients of both signs and of several sizes around `scale`."""
    rng = np.random.default_rng(seed)
    return scale * rng.normal(size=(steps, _NUMBERS)) * np.geomspace(0.1, 3, _NUMBERS)


def _state(seed: int) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).normal(size=_NUMBERS)) + 0.5


def _zero() -> np.ndarray:
    return np.zeros(_NUMBERS)


def _first(rule: Rule, answer: Callable, setting: float = 0.0) -> None:
    for seed, rate in enumerate((0.001, 0.3, 2.0)):
        steps = Steps(_gradients(seed, 1), (rate,), _zero(), setting)
        rule.expect(answer, steps, FIRST, 0)


def _later(rule: Rule, answer: Callable, *which: int, part: str, settings: tuple[float, ...]):
    # The rate changes too, as in training with a schedule: one inside the state shows.
    constant, falling = (0.1,) * 5, (0.1, 0.1, 0.05, 0.02, 0.01)
    for seed, setting in enumerate(settings):
        for rates, state in ((constant, _zero()), (falling, _state(seed))):
            gradients = _gradients(10 + seed, 5)
            rule.expect(answer, Steps(gradients, rates, state, setting), part, *which)


def _in_place(rule: Rule, answer: Callable, setting: float = 0.0) -> None:
    for dtype in (np.float64, np.float32):
        steps = Steps(_gradients(5, 2).astype(dtype), (0.5,) * 2, _zero().astype(dtype), setting)
        outcome = rule.expect(answer, steps, IN_PLACE, 0)
        if outcome.returned:
            raise CheckError(
                f"{rule.name} returns a new theta and leaves the one that it was given",
                "theta -= … or theta[...] = … changes it in place, and nothing is returned",
            )
        if not outcome.values[0].any():
            raise CheckError(f"{rule.name} leaves theta as it was")
    if not rule.run(answer, Steps(_gradients(6, 2), (0.5,) * 2, _state(6), setting)).gradients_kept:
        raise CheckError(
            f"{rule.name} changes the gradient that it is given",
            "gradient *= … works on the caller's array: make a new one",
        )


def _wrongs(mistakes: Mapping[tuple[str, ...], Mapping[str, Update]]) -> tuple[Wrong, ...]:
    """Return the mistakes, which are given by the parts that they cost and by words."""
    return tuple(
        Wrong(words, update, parts)
        for parts, updates in mistakes.items()
        for words, update in updates.items()
    )


# --- SGD: what it is given as state must stay as it is

SGD = Rule(
    "sgd_step",
    "state",
    lambda g, s, rate, _, e: (rate * g, s),
    _wrongs(
        {
            (FIRST,): {
                "the sign is wrong: the step goes up the gradient": (
                    lambda g, s, r, _, e: (-r * g, s)
                ),
                "the learning rate is missing": lambda g, s, r, _, e: (g, s),
                "the learning rate is always 0.001": lambda g, s, r, _, e: (0.001 * g, s),
                "the gradient is divided by the learning rate": lambda g, s, r, _, e: (g / r, s),
                "the learning rate enters squared": lambda g, s, r, _, e: (r * r * g, s),
                "only the gradient's sign counts": lambda g, s, r, _, e: (r * np.sign(g), s),
                "the gradient enters squared": lambda g, s, r, _, e: (r * g**2, s),
                "the gradient is divided by its length": lambda g, s, r, _, e: (
                    r * g / np.linalg.norm(g), s,
                ),
                "the gradient is averaged over all parameters": lambda g, s, r, _, e: (
                    np.full_like(g, r * g.mean()), s,
                ),
            },
            (): {
                "the state is changed instead of theta": lambda g, s, r, _, e: (0 * g, s - r * g),
            },
            (LATER, STATE): {
                "this is a step with momentum: the state enters, and SGD has none": (
                    lambda g, s, r, _, e: (r * (0.9 * s + g), 0.9 * s + g)
                ),
            },
            (STATE,): {
                "the state is changed: it takes the gradient": lambda g, s, r, _, e: (r * g, g),
                "the state is changed: the gradients add up": lambda g, s, r, _, e: (r * g, s + g),
                "the state is changed as well": lambda g, s, r, _, e: (r * g, s - r * g),
            },
        }
    ),
)  # fmt: skip


@sgd_step.part("one step")
def _(answer: Callable) -> None:
    _first(SGD, answer)


@sgd_step.part("five steps")
def _(answer: Callable) -> None:
    _later(SGD, answer, 0, part=LATER, settings=(0.0, 0.0))


@sgd_step.part("theta, and only theta, is changed in place")
def _(answer: Callable) -> None:
    _in_place(SGD, answer)
    _later(SGD, answer, 0, 1, part=STATE, settings=(0.0,))


# --- momentum


def _new(g: np.ndarray, v: np.ndarray, alpha: float) -> np.ndarray:
    return alpha * v + g


MOMENTUM = Rule(
    "momentum_step",
    "velocity",
    lambda g, v, r, a, e: (r * _new(g, v, a), _new(g, v, a)),
    _wrongs(
        {
            (FIRST,): {
                "the sign of the step is wrong": (
                    lambda g, v, r, a, e: (-r * _new(g, v, a), _new(g, v, a))
                ),
                "the learning rate is missing": (
                    lambda g, v, r, a, e: (_new(g, v, a), _new(g, v, a))
                ),
                "the learning rate is always 0.001": (
                    lambda g, v, r, a, e: (0.001 * _new(g, v, a), _new(g, v, a))
                ),
                "the gradient is weighted with 1 - α in the velocity; here it enters whole": (
                    lambda g, v, r, a, e: (r * (a * v + (1 - a) * g), a * v + (1 - a) * g)
                ),
                "the step is Nesterov's, g + α v": (
                    lambda g, v, r, a, e: (r * (g + a * _new(g, v, a)), _new(g, v, a))
                ),
                "the step uses the old velocity, before the gradient enters": (
                    lambda g, v, r, a, e: (r * v, _new(g, v, a))
                ),
                "α and 1 - α are swapped": (
                    lambda g, v, r, a, e: (r * ((1 - a) * v + a * g), (1 - a) * v + a * g)
                ),
                "α multiplies the gradient, not the velocity": (
                    lambda g, v, r, a, e: (r * (v + a * g), v + a * g)
                ),
                "α multiplies the sum of velocity and gradient": (
                    lambda g, v, r, a, e: (r * a * (v + g), a * (v + g))
                ),
                "α multiplies the step as well": (
                    lambda g, v, r, a, e: (r * a * _new(g, v, a), _new(g, v, a))
                ),
                "the learning rate stands in the velocity and in the step": (
                    lambda g, v, r, a, e: (r * (a * v + r * g), a * v + r * g)
                ),
                "the gradient enters squared": (
                    lambda g, v, r, a, e: (r * (a * v + g**2), a * v + g**2)
                ),
                "the gradient and the velocity are both taken off": (
                    lambda g, v, r, a, e: (r * (g + _new(g, v, a)), _new(g, v, a))
                ),
            },
            (LATER, STATE): {
                "the velocity is neither used nor changed: this is SGD": (
                    lambda g, v, r, a, e: (r * g, v)
                ),
                "the velocity has no effect on theta: this is SGD": (
                    lambda g, v, r, a, e: (r * g, _new(g, v, a))
                ),
            },
            (LATER,): {
                "α is always 0.9, whatever is asked for": (
                    lambda g, v, r, a, e: (r * _new(g, v, 0.9), _new(g, v, 0.9))
                ),
                "α is missing: the velocity is the plain sum of all gradients": (
                    lambda g, v, r, a, e: (r * (v + g), v + g)
                ),
                "the velocity is multiplied by 1 - α, and should be by α": (
                    lambda g, v, r, a, e: (r * ((1 - a) * v + g), (1 - a) * v + g)
                ),
                "the sign of the old velocity is wrong": (
                    lambda g, v, r, a, e: (r * (g - a * v), g - a * v)
                ),
                "the old velocity has no effect: this is SGD": lambda g, v, r, a, e: (r * g, g),
                "the velocity is that of the step before: α multiplies it twice": (
                    lambda g, v, r, a, e: (r * (a * a * v + g), a * a * v + g)
                ),
            },
            (STATE,): {
                "the velocity is not kept: velocity = … makes a new array; velocity *= α and "
                "velocity += … change the one that was given": (
                    lambda g, v, r, a, e: (r * _new(g, v, a), v)
                ),
                "the learning rate is inside the velocity; here it multiplies the whole of it": (
                    lambda g, v, r, a, e: (a * v + r * g, a * v + r * g)
                ),
                "the velocity has the opposite sign and holds the learning rate (v = αv - ηg); "
                "here it is v = αv + g": lambda g, v, r, a, e: (-(a * v - r * g), a * v - r * g),
                "the velocity has the opposite sign": (
                    lambda g, v, r, a, e: (r * (g - a * v), a * v - g)
                ),
                "the gradient is kept, not the velocity": (
                    lambda g, v, r, a, e: (r * _new(g, v, a), g)
                ),
                "the learning rate is multiplied into the velocity that is kept": (
                    lambda g, v, r, a, e: (r * _new(g, v, a), r * _new(g, v, a))
                ),
            },
        }
    ),
    setting="α",
)  # fmt: skip
_ALPHAS = (0.9, 0.5)


@momentum_step.part("the first step, from rest")
def _(answer: Callable) -> None:
    _first(MOMENTUM, answer, 0.9)


@momentum_step.part("later steps")
def _(answer: Callable) -> None:
    _later(MOMENTUM, answer, 0, part=LATER, settings=_ALPHAS)


@momentum_step.part("the velocity")
def _(answer: Callable) -> None:
    _later(MOMENTUM, answer, 0, 1, part=STATE, settings=_ALPHAS)


@momentum_step.part("theta is changed in place, and the gradient is not")
def _(answer: Callable) -> None:
    _in_place(MOMENTUM, answer, 0.8)


# --- RMSProp


_EPSILONS = [10.0**-digits for digits in (8, 7, 6, 5, 10)]


def _mean(g: np.ndarray, s: np.ndarray, rho: float) -> np.ndarray:
    return rho * s + (1 - rho) * g**2


def _step(g: np.ndarray, s: np.ndarray, rate: float, epsilon: float) -> np.ndarray:
    return rate * g / (np.sqrt(s) + epsilon)


def _with_mean(mean: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> Update:
    """Return the rule with another mean of squares."""
    return lambda g, s, r, p, e: (_step(g, mean(g, s, p), r, e), mean(g, s, p))


def _with_step(step: Callable[[np.ndarray, np.ndarray, float, float], np.ndarray]) -> Update:
    """Return the rule with another step."""
    return lambda g, s, r, p, e: (step(g, _mean(g, s, p), r, e), _mean(g, s, p))


RMSPROP = Rule(
    "rmsprop_step",
    "mean_square",
    _with_mean(_mean),
    _wrongs(
        {
            (FIRST,): {
                "the sign of the step is wrong": _with_step(lambda g, s, r, e: -_step(g, s, r, e)),
                "the learning rate is missing": _with_step(lambda g, s, r, e: _step(g, s, 1, e)),
                "the learning rate is always 0.001": _with_step(
                    lambda g, s, r, e: _step(g, s, 0.001, e)
                ),
                "(1 - ρ) is missing before the square": _with_mean(lambda g, s, p: p * s + g**2),
                "ρ and 1 - ρ are swapped": _with_mean(lambda g, s, p: (1 - p) * s + p * g**2),
                "the square is that of the whole mean": _with_mean(
                    lambda g, s, p: (p * s + (1 - p) * g) ** 2
                ),
                "(1 - ρ) is squared along with the gradient": _with_mean(
                    lambda g, s, p: p * s + ((1 - p) * g) ** 2
                ),
                "the gradients are summed without their square": _with_mean(
                    lambda g, s, p: p * s + (1 - p) * g
                ),
                "absolute values are averaged, not squares": _with_mean(
                    lambda g, s, p: p * s + (1 - p) * np.abs(g)
                ),
                "the squares are averaged over all parameters; each has its own mean": _with_mean(
                    lambda g, s, p: p * s + (1 - p) * (g**2).mean()
                ),
                "the squares are added up without forgetting (AdaGrad)": _with_mean(
                    lambda g, s, p: s + g**2
                ),
                "the root is missing": _with_step(lambda g, s, r, e: r * g / (s + e)),
                "the gradient is missing in the step": _with_step(
                    lambda g, s, r, e: r / (np.sqrt(s) + e)
                ),
                "the gradient enters the step squared": _with_step(
                    lambda g, s, r, e: r * g**2 / (np.sqrt(s) + e)
                ),
                "the step is multiplied by the root, and should be divided": _with_step(
                    lambda g, s, r, e: r * g * (np.sqrt(s) + e)
                ),
                "the mean is corrected for its start, as in Adam: it is divided by 1 - ρ": (
                    lambda g, s, r, p, e: (_step(g, _mean(g, s, p) / (1 - p), r, e), _mean(g, s, p))
                ),
                "the step uses the old mean: the square of this gradient belongs in first": (
                    lambda g, s, r, p, e: (_step(g, s, r, e), _mean(g, s, p))
                ),
                "the old mean is neither used nor kept: the gradient is divided by its own size": (
                    lambda g, s, r, p, e: (_step(g, g**2, r, e), s)
                ),
                "the mean is that of the last gradient alone, not weighted": _with_mean(
                    lambda g, s, p: g**2
                ),
            },
            (): {
                "this is SGD: the mean of squares has no effect": _with_step(
                    lambda g, s, r, e: r * g
                ),
                "this is SGD: the mean of squares is neither used nor changed": (
                    lambda g, s, r, p, e: (r * g, s)
                ),
            },
            (LATER,): {
                "ρ is always 0.9, whatever is asked for": _with_mean(
                    lambda g, s, p: _mean(g, s, 0.9)
                ),
                "ρ is missing: squares are only added": _with_mean(
                    lambda g, s, p: s + (1 - p) * g**2
                ),
                "the old mean has no effect": _with_mean(lambda g, s, p: (1 - p) * g**2),
                "the old mean is multiplied by 1 - ρ, and should be by ρ": _with_mean(
                    lambda g, s, p: (1 - p) * s + (1 - p) * g**2
                ),
                "the old mean is squared": _with_mean(lambda g, s, p: p * s**2 + (1 - p) * g**2),
            },
            (STATE,): {
                "mean_square is not kept: mean_square = … makes a new array; mean_square *= ρ and "
                "mean_square += … change the one that was given": (
                    lambda g, s, r, p, e: (_step(g, _mean(g, s, p), r, e), s)
                ),
                "the root is kept, not the mean of squares": (
                    lambda g, s, r, p, e: (_step(g, _mean(g, s, p), r, e), np.sqrt(_mean(g, s, p)))
                ),
                "the root is kept, with ε": (
                    lambda g, s, r, p, e: (
                        _step(g, _mean(g, s, p), r, e), np.sqrt(_mean(g, s, p)) + e,
                    )
                ),
                "the square of the last gradient is kept, not the mean": (
                    lambda g, s, r, p, e: (_step(g, _mean(g, s, p), r, e), g**2)
                ),
            },
            (EPSILON,): {
                "ε stands inside the root, √(s + ε); here it is √s + ε": _with_step(
                    lambda g, s, r, e: r * g / np.sqrt(s + e)
                ),
                "ε stands inside the root, squared": _with_step(
                    lambda g, s, r, e: r * g / np.sqrt(s + e**2)
                ),
                "ε is missing: where the gradient is 0, this is 0 / 0": _with_step(
                    lambda g, s, r, e: r * g / np.sqrt(s)
                ),
                "ε is added to the mean that is kept": (
                    lambda g, s, r, p, e: (_step(g, _mean(g, s, p) + e, r, e), _mean(g, s, p) + e)
                ),
                "ε is added to the step, not to the root": _with_step(
                    lambda g, s, r, e: r * (g / np.sqrt(s) + e)
                ),
                **{
                    f"ε is always {c:g}, whatever is asked for": _with_step(
                        lambda g, s, r, e, c=c: _step(g, s, r, c)
                    )
                    for c in _EPSILONS
                },
                **{
                    f"ε is {c:g} where nothing else is asked for; it should be 1e-8": _with_step(
                        lambda g, s, r, e, c=c: _step(g, s, r, c if e == 1e-8 else e)
                    )
                    for c in _EPSILONS[1:]
                },
                "the larger of √s and ε is taken; here they are added": _with_step(
                    lambda g, s, r, e: r * g / np.maximum(np.sqrt(s), e)
                ),
            },
        }
    ),
    setting="ρ",
    has_epsilon=True,
)  # fmt: skip
_RHOS = (0.9, 0.6)


@rmsprop_step.part("the first step, from a mean of zero")
def _(answer: Callable) -> None:
    _first(RMSPROP, answer, 0.9)


@rmsprop_step.part("later steps")
def _(answer: Callable) -> None:
    _later(RMSPROP, answer, 0, part=LATER, settings=_RHOS)


@rmsprop_step.part("the mean of squares")
def _(answer: Callable) -> None:
    _later(RMSPROP, answer, 0, 1, part=STATE, settings=_RHOS)


@rmsprop_step.part(EPSILON)
def _(answer: Callable) -> None:
    some_zero = _gradients(20, 3)
    some_zero[:, ::3] = 0
    for gradients in (some_zero, _gradients(21, 3, scale=1e-8), np.zeros((1, _NUMBERS))):
        rates = (0.1,) * len(gradients)
        RMSPROP.expect(answer, Steps(gradients, rates, _zero(), 0.9), EPSILON)
    RMSPROP.expect(answer, Steps(some_zero, (0.1,) * 3, _zero(), 0.9, 0.3, True), EPSILON)


@rmsprop_step.part("theta is changed in place, and the gradient is not")
def _(answer: Callable) -> None:
    _in_place(RMSPROP, answer, 0.8)
