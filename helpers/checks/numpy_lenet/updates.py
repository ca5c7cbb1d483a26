"""The check of `sgd_momentum`: the update rule of the assignment's equations 9 to 13."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from helpers.checks.diagnosis import as_array, expect, recognise, same
from helpers.checks.errors import CheckError
from helpers.checks.numpy_lenet.reference import call, call_and_compare, numbers
from helpers.checks.parts import Check

sgd_momentum = Check("sgd_momentum", "params and θ agree with the reference, step by step")

Parameters = Mapping[int, Mapping[str, np.ndarray]]
Update = tuple[np.ndarray, np.ndarray]  # the new parameter and the new θ
# Of a parameter, its θ and gradient, the rate and μ.
Step = Callable[[np.ndarray, np.ndarray, np.ndarray, float, float], Update]


def _momentum(p: np.ndarray, theta: np.ndarray, g: np.ndarray, rate: float, mu: float) -> Update:
    theta = mu * theta + rate * g
    return p - theta, theta


@dataclass(frozen=True)
class Rule:
    """The update of one parameter; a mistake replaces one of its pieces."""

    step: Step = _momentum
    rate: Callable[[str, float, float], float] = lambda name, w_rate, b_rate: (
        w_rate if name == "w" else b_rate
    )
    decay: Callable[[str, float], float] = lambda name, decay: decay if name == "w" else 0.0
    # What the update takes off besides: the weights' decay outside θ, for instance.
    after: Callable[[str, np.ndarray, np.ndarray, float, float], np.ndarray] = (
        lambda name, old, new, rate, decay: new
    )
    result: Callable[[Parameters, Parameters], tuple[Parameters, Parameters]] = (
        lambda params, winc: (params, winc)
    )

    def __call__(
        self,
        w_rate: float,
        b_rate: float,
        mu: float,
        decay: float,
        params: Parameters,
        param_winc: Parameters,
        param_grad: Parameters,
    ) -> tuple[Parameters, Parameters]:
        """Return new params and θ, as the answer should; the arguments stay as they are."""
        new, history = {}, {}
        for i, own in params.items():
            new[i], history[i] = {}, {}
            for name, p in own.items():
                rate = self.rate(name, w_rate, b_rate)
                g = param_grad[i][name] + self.decay(name, decay) * p
                stepped, theta = self.step(p, param_winc[i][name], g, rate, mu)
                new[i][name] = self.after(name, p, stepped, rate, decay)
                history[i][name] = theta
        return self.result(new, history)


def _without_history(new: Parameters, winc: Parameters) -> tuple[Parameters, Parameters]:
    return new, {i: {name: 0 * v for name, v in own.items()} for i, own in winc.items()}


# What is done wrong, and the pieces of the rule that do it.
MISTAKES: dict[str, dict[str, Callable]] = {
    "weight decay is missing: λ · w belongs to the gradient of w": {"decay": lambda n, d: 0.0},
    "weight decay acts on the biases too; it is for the weights only": {"decay": lambda n, d: d},
    "weight decay acts on the biases, and not on the weights": {
        "decay": lambda n, d: d if n == "b" else 0.0
    },
    "weight decay has the wrong sign": {"decay": lambda n, d: -d if n == "w" else 0.0},
    "weight decay is λ/2 · w; the derivative of λ/2 · w² is λ · w": {
        "decay": lambda n, d: d / 2 if n == "w" else 0.0
    },
    "weight decay is 2λ · w; the derivative of λ/2 · w² is λ · w": {
        "decay": lambda n, d: 2 * d if n == "w" else 0.0
    },
    "weight decay is taken off w beside θ; it belongs to the gradient, inside θ": {
        "decay": lambda n, d: 0.0,
        "after": lambda n, old, new, rate, d: new - rate * d * old if n == "w" else new,
    },
    "weight decay is taken off w beside θ and without the rate": {
        "decay": lambda n, d: 0.0,
        "after": lambda n, old, new, rate, d: new - d * old if n == "w" else new,
    },
    "weight decay is computed from the new w, after the step": {
        "decay": lambda n, d: 0.0,
        "after": lambda n, old, new, rate, d: new * (1 - rate * d) if n == "w" else new,
    },
    "the rates of w and b are swapped": {"rate": lambda n, w, b: b if n == "w" else w},
    "w_rate is used for b too; b has its own rate": {"rate": lambda n, w, b: w},
    "b_rate is used for w too; w has its own rate": {"rate": lambda n, w, b: b},
    "the learning rate is not used": {"rate": lambda n, w, b: 1.0},
    "momentum is missing: θ starts anew from α · gradient": {
        "step": lambda p, t, g, r, mu: (p - r * g, r * g)
    },
    "μ is not used: the whole of the old θ is kept": {
        "step": lambda p, t, g, r, mu: (p - t - r * g, t + r * g)
    },
    "the learning rate is outside θ, as in PyTorch; the assignment has θ = μθ + α · gradient": {
        "step": lambda p, t, g, r, mu: (p - r * (mu * t + g), mu * t + g)
    },
    "the gradient is weighted with 1 - μ (dampening); θ = μθ + α · gradient": {
        "step": lambda p, t, g, r, mu: (
            p - (mu * t + (1 - mu) * r * g),
            mu * t + (1 - mu) * r * g,
        )
    },
    "the momentum is Nesterov's: w − (μθ + α · gradient) with the new θ": {
        "step": lambda p, t, g, r, mu: (
            p - (mu * (mu * t + r * g) + r * g),
            mu * t + r * g,
        )
    },
    "the rate multiplies the old θ too": {
        "step": lambda p, t, g, r, mu: (p - r * (mu * t + g), r * (mu * t + g))
    },
    "the sign of the update is wrong: w − θ goes downhill": {
        "step": lambda p, t, g, r, mu: (p + (mu * t + r * g), mu * t + r * g)
    },
    "θ has the sign of the update: here θ = μθ + α · gradient and w − θ": {
        "step": lambda p, t, g, r, mu: (p + mu * t - r * g, mu * t - r * g)
    },
    "the history is subtracted: θ = α · gradient − μθ": {
        "step": lambda p, t, g, r, mu: (p - (r * g - mu * t), r * g - mu * t)
    },
    "only α · gradient is taken off w; the whole of the new θ should be": {
        "step": lambda p, t, g, r, mu: (p - r * g, mu * t + r * g)
    },
    "μ multiplies θ once more when it is taken off": {
        "step": lambda p, t, g, r, mu: (p - mu * (mu * t + r * g), mu * t + r * g)
    },
    "the old θ is returned; the new one should be": {
        "step": lambda p, t, g, r, mu: (p - (mu * t + r * g), t)
    },
    "the parameters are returned as they came, or the old θ is taken off, which is zero in the "
    "first step": {"step": lambda p, t, g, r, mu: (p, mu * t + r * g)},
    "nothing is updated": {"step": lambda p, t, g, r, mu: (p, t)},
    "the old θ is taken off w; the new one should be": {
        "step": lambda p, t, g, r, mu: (p - t, mu * t + r * g)
    },
    "the gradient takes the place of θ": {"step": lambda p, t, g, r, mu: (p - mu * t - r * g, g)},
    "params and param_winc are returned in the wrong order": {"result": lambda p, t: (t, p)},
    "param_winc is returned as zeros": {"result": _without_history},
    "the gradient is added without its history, and the rate is missing": {
        "step": lambda p, t, g, r, mu: (p - g, g)
    },
}


@dataclass(frozen=True)
class Case:
    """A call, or several in a row with the rates of `rates`."""

    rates: tuple[tuple[float, float], ...] = ((0.1, 0.1),)
    mu: float = 0.9
    decay: float = 0.0
    at_rest: bool = True
    keys: tuple[int, ...] = (2,)
    steepest: float = 1.0  # the largest entry of a gradient
    dtype: type = np.float64

    def __str__(self) -> str:
        rates = " then ".join(f"w_rate {w:g}, b_rate {b:g}" for w, b in self.rates)
        theta = "zero" if self.at_rest else "not zero"
        keys = ", ".join(map(str, self.keys))
        return (
            f"{rates}; mu {self.mu:g}, decay {self.decay:g}, θ {theta}, layers {keys}, "
            f"gradients up to {self.steepest:g}"
        )

    def parameters(self, seed: int, scale: float = 1.0) -> dict[int, dict[str, np.ndarray]]:
        """Return `w` and `b` of every layer, each of its own shape, from `-scale` to `scale`."""
        return {
            i: {
                "w": scale * numbers((2 + i % 3, i + 1), seed + i, dtype=self.dtype),
                "b": scale * numbers((2 + i % 3,), seed + 50 + i, dtype=self.dtype),
            }
            for i in self.keys
        }

    def follow(self, rule: Callable) -> Iterator[tuple[Parameters, Parameters]]:
        """Yield what `rule` returns in each step, given what it returned in the last."""
        params, winc = self.parameters(100), self.parameters(200)
        if self.at_rest:
            winc = {i: {n: np.zeros_like(v) for n, v in own.items()} for i, own in winc.items()}
        for step, (w_rate, b_rate) in enumerate(self.rates):
            grad = self.parameters(300 + 7 * step, self.steepest)
            params, winc = rule(w_rate, b_rate, self.mu, self.decay, params, winc, grad)
            yield params, winc


def _names(params: Parameters, winc: Parameters) -> dict[str, object]:
    """Return all arrays by what a message calls them."""
    return {
        f"{what}[{i}][{name!r}]": array
        for what, both in (("new params", params), ("new param_winc (θ)", winc))
        for i, own in both.items()
        for name, array in own.items()
    }


def _require_form(result: object, like: Parameters, given: str) -> tuple[Parameters, Parameters]:
    """Return the answer's pair of dictionaries, or raise `CheckError`."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        alone = "only params is returned; θ has to come back too for the next step"
        raise CheckError(
            f"sgd_momentum should return (new_params, new_winc), not {type(result).__name__}",
            alone if isinstance(result, Mapping) else "",
        )
    for what, part in zip(("new_params", "new_winc"), result, strict=True):
        keys = list(part) if isinstance(part, Mapping) else None
        if keys is None or set(keys) != set(like):
            raise CheckError(
                f"sgd_momentum: {what} should have the layers {list(like)}, got "
                f"{type(part).__name__ if keys is None else keys}\n  given: {given}",
                "the layers are the keys of params, which need not be 1, 2, 3, …",
            )
        for i, own in part.items():
            if not isinstance(own, Mapping) or set(own) != {"w", "b"}:
                raise CheckError(
                    f"sgd_momentum: {what}[{i}] should have 'w' and 'b', got {own!r:.60}",
                    "both w and b of each layer have to be updated",
                )
    return result[0], result[1]


def _expect_step(
    given: str,
    got: tuple[Parameters, Parameters],
    right: tuple[Parameters, Parameters],
    mistakes: Iterator[tuple[str, tuple[Parameters, Parameters]]],
) -> None:
    """Compare all arrays; a mistake has to explain all of them, or else the first wrong one."""
    actual = {name: as_array(f"sgd_momentum, {name}", v) for name, v in _names(*got).items()}
    wanted = _names(*right)
    wrong = next((n for n, v in wanted.items() if not same(actual[n], np.asarray(v))), None)
    if wrong is None:
        return
    explained = [(words, _names(*value)) for words, value in mistakes]
    everything = ((words, _in_a_row(value)) for words, value in explained)
    hint = recognise(_in_a_row(actual), everything)
    first = [(words, value[wrong]) for words, value in explained]
    named = [(hint, actual[wrong])] if hint else first
    expect(f"sgd_momentum, {wrong}", given, actual[wrong], wanted[wrong], named)


def _in_a_row(arrays: Mapping[str, object]) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in arrays.values()]).astype(float)


def _mistakes(case: Case, step: int) -> Iterator[tuple[str, tuple[Parameters, Parameters]]]:
    """Yield what each mistake leads to after `step` steps."""
    for words, pieces in MISTAKES.items():
        *_, reached = islice(case.follow(replace(Rule(), **pieces)), step)
        yield words, reached


def _expect(answer: Callable, case: Case) -> None:
    """Compare the answer with the reference after every step of `case`."""
    like = case.parameters(100)

    def called(*arguments: object) -> tuple[Parameters, Parameters]:
        return _require_form(call("sgd_momentum", str(case), answer, *arguments), like, str(case))

    both = zip(case.follow(called), case.follow(Rule()), strict=True)
    for step, (got, right) in enumerate(both, 1):
        given = str(case) if len(case.rates) == 1 else f"{case}; after step {step}"
        _expect_step(given, got, right, _mistakes(case, step))


@sgd_momentum.part("a first step: θ = α · gradient")
def _(answer: Callable) -> None:
    _expect(answer, Case())
    _expect(answer, Case(mu=0.0))


@sgd_momentum.part("momentum: θ = μθ + α · gradient")
def _(answer: Callable) -> None:
    _expect(answer, Case(at_rest=False))
    _expect(answer, Case(at_rest=False, mu=0.5, dtype=np.float32))


@sgd_momentum.part("w and b have rates of their own")
def _(answer: Callable) -> None:
    _expect(answer, Case(rates=((0.1, 0.3),), mu=0.0))
    _expect(answer, Case(rates=((0.2, 0.01),), mu=0.0))


@sgd_momentum.part("weight decay, of w only")
def _(answer: Callable) -> None:
    _expect(answer, Case(mu=0.0, decay=0.3))


@sgd_momentum.part("several layers, not numbered 1, 2, 3")
def _(answer: Callable) -> None:
    _expect(answer, Case(mu=0.0, keys=(2, 5, 8)))
    _expect(answer, Case(mu=0.0, keys=(7, 4)))


@sgd_momentum.part("several steps with falling rates, and all of the rule together")
def _(answer: Callable) -> None:
    _expect(answer, Case(rates=tuple((rate, rate) for rate in (0.2, 0.1, 0.05, 0.02))))
    together = Case(
        rates=((0.2, 0.3), (0.1, 0.03), (0.04, 0.08)),
        mu=0.7,
        decay=0.3,
        at_rest=False,
        keys=(2, 5, 8),
        steepest=10.0,
        dtype=np.float32,
    )
    _expect(answer, together)


@sgd_momentum.part("the arguments are left as they were")
def _(answer: Callable) -> None:
    names = ("w_rate", "b_rate", "mu", "decay", "params", "param_winc", "param_grad")

    given = "w and b of layer 2, with their θ and gradients"

    def compared(*values: object) -> tuple[Parameters, Parameters]:
        arguments = dict(zip(names, values, strict=True))
        result = call_and_compare("sgd_momentum", given, answer, arguments)
        return _require_form(result, arguments["params"], given)

    case = Case(mu=0.0)
    ((got, right),) = zip(case.follow(compared), case.follow(Rule()), strict=True)
    _expect_step(str(case), got, right, _mistakes(case, 1))
    # Where all pieces of the rule take part: only what becomes of the arguments counts here.
    list(Case(decay=0.3, at_rest=False).follow(compared))
