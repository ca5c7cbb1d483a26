"""The check of `toy_answers`: the assignment's twelve questions on its toy network."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from helpers.checks.answers import attempt
from helpers.checks.diagnosis import as_array
from helpers.checks.errors import CheckError
from helpers.checks.parts import Check

toy_answers = Check("toy_answers", "all twelve answers are right")

_IMAGE = np.array([[0.0, 0, 4, 0], [0, 2, 5, 0], [0, 0, 1, 0], [0, 0, 2, 0]])
_FILTERS = np.array([[[1.0, 1], [2, 0]], [[2, 1], [0, 2]]])
_W1 = np.array(
    [
        [1, 0.5, 1, 2, -1, 1, 1, -1],
        [0.5, 1, 2, 1, -0.5, 0.5, -1, 1],
        [0.25, -1, 1, 1, 0.5, -1, -1, -1],
    ]
)
RATE = 0.01
LAST_COUNT = 7  # up to this question, answers are whole numbers
QUESTIONS = (
    "height and width of the convolution's output",
    "height and width of the pooling's output",
    "length of the ReLU's output",
    "length of the softmax's output",
    "entry (1,1,2) of the convolution's output",
    "entry (2,1,1) of the pooling's output",
    "entry 2 of the ReLU's output",
    "entry 2 of the softmax's output",
    "the cross entropy J",
    "dJ/dy",
    "dJ/dW1(1,1)",
    "dJ/dF1(1,1)",
)


def first(window: np.ndarray) -> np.ndarray:
    """Return the shares of a window's pixels in its gradient: the first maximum takes all."""
    share = np.zeros(window.size)
    share[window.argmax()] = 1
    return share.reshape(window.shape)


def last(window: np.ndarray) -> np.ndarray:
    """Return the same where the last maximum takes all."""
    return first(window[::-1, ::-1])[::-1, ::-1]


def every(window: np.ndarray) -> np.ndarray:
    """Return the same where every maximum takes all."""
    return (window == window.max()).astype(float)


def evenly(window: np.ndarray) -> np.ndarray:
    """Return the same where the maxima share."""
    return every(window) / every(window).sum()


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


@dataclass(frozen=True)
class Toy:
    """The toy network, forwards and backwards; a mistake replaces one of its pieces."""

    filters: np.ndarray = field(default_factory=lambda: _FILTERS)
    pool: Callable[[np.ndarray], float] = np.max
    stride: int = 1
    vectorise: Callable[[np.ndarray], np.ndarray] = np.ravel  # of [channel, row, column]
    w1: np.ndarray = field(default_factory=lambda: _W1)
    relu: Callable[[np.ndarray], np.ndarray] = lambda z: np.maximum(z, 0)
    softmax: Callable[[np.ndarray], np.ndarray] = _softmax
    label: int = 1
    loss: Callable[[np.ndarray, int], float] = lambda y, label: -np.log(y[label])
    by_scores: Callable[[np.ndarray, int], np.ndarray] = lambda y, label: y - np.eye(3)[label]
    share: Callable[[np.ndarray], np.ndarray] = first

    def answers(self) -> dict[int, object]:
        """Return what this network answers to the twelve questions."""
        conv = np.zeros((2, 3, 3))
        for f, i, j in np.ndindex(*conv.shape):
            conv[f, i, j] = (_IMAGE[i : i + 2, j : j + 2] * self.filters[f]).sum()
        side = 1 if self.stride == 2 else 2
        pooled = np.zeros((2, side, side))
        for f, i, j in np.ndindex(*pooled.shape):
            pooled[f, i, j] = self.pool(self._window(conv[f], i, j))
        vector = self.vectorise(pooled)
        z = self.w1[:, : len(vector)] @ vector
        scores = self.relu(z)
        y = self.softmax(scores)
        d_z = self.by_scores(y, self.label) * (z > 0)
        d_vector = self.w1[:, : len(vector)].T @ d_z
        by_entry = self.vectorise(np.arange(pooled.size).reshape(pooled.shape))
        d_pooled = np.zeros(pooled.size)
        d_pooled[by_entry.astype(int)] = d_vector
        d_pooled = d_pooled.reshape(pooled.shape)
        d_filter = 0.0
        for i, j in np.ndindex(side, side):
            share = self.share(self._window(conv[0], i, j))
            d_filter += d_pooled[0, i, j] * (share * self._window(_IMAGE, i, j)).sum()
        d_y = np.where(np.arange(3) == self.label, -1 / y[self.label], 0)
        sizes = [conv.shape[1:], pooled.shape[1:], len(scores), len(y)]
        entries = [conv[1, 0, 0], pooled[0, -1, 0], scores[1], y[1]]
        values = [self.loss(y, self.label), d_y, d_z[0] * vector[0], d_filter]
        return dict(enumerate([*sizes, *entries, *values], 1))

    def _window(self, values: np.ndarray, i: int, j: int) -> np.ndarray:
        top, left = self.stride * i, self.stride * j
        return values[top : top + 2, left : left + 2]


_RIGHT = Toy().answers()
_SHARES = {
    name: Toy(share=share).answers()[12] for name, share in (("last", last), ("even", evenly))
}

MISTAKES: dict[str, dict[str, object]] = {
    "the filters are rotated by 180°; here they lie on the image as they are": {
        "filters": _FILTERS[:, ::-1, ::-1]
    },
    "the filters are transposed": {"filters": _FILTERS.swapaxes(1, 2)},
    "filter 1 and filter 2 are swapped": {"filters": _FILTERS[::-1]},
    "the pooling has a stride of 2; here it is 1": {"stride": 2},
    "the mean of each window is taken, not its maximum": {"pool": np.mean, "share": evenly},
    "the pooled maps are vectorised column by column; it is row by row": {
        "vectorise": lambda maps: maps.swapaxes(1, 2).ravel()
    },
    "the pooled maps are vectorised pixel by pixel; it is channel by channel": {
        "vectorise": lambda maps: maps.transpose(1, 2, 0).ravel()
    },
    "the label is taken for class 1; the digit 1 is the second of 0, 1, 2": {"label": 0},
    "the label is taken for class 3; the digit 1 is the second of 0, 1, 2": {"label": 2},
    "the logarithm has base 10; the hint asks for base e": {
        "loss": lambda y, label: -np.log10(y[label])
    },
    "the logarithm has base 2; the hint asks for base e": {
        "loss": lambda y, label: -np.log2(y[label])
    },
    "the minus sign of the loss is missing": {"loss": lambda y, label: np.log(y[label])},
    "the loss is 1 - y2, not -ln y2": {"loss": lambda y, label: 1 - y[label]},
    "the loss is averaged over the three classes": {"loss": lambda y, label: -np.log(y[label]) / 3},
    "the scores are divided by their sum, without the exponential": {
        "softmax": lambda s: s / s.sum()
    },
    "the derivative with respect to the scores is y; the 1 at the label's class is missing": {
        "by_scores": lambda y, label: y
    },
    "the sign is wrong: dJ/ds is y minus the one-hot label": {
        "by_scores": lambda y, label: np.eye(3)[label] - y
    },
    "the derivative goes back past the softmax: dJ/dy is used as dJ/ds": {
        "by_scores": lambda y, label: -np.eye(3)[label] / y[label]
    },
    "the two pixels that tie for the maximum both get the whole gradient": {"share": every},
    "every pixel of a window gets the whole gradient": {"share": np.ones_like},
    "the gradient is spread evenly over each window, as for average pooling": {
        "share": lambda window: np.full(window.shape, 0.25)
    },
}


def _special(number: int) -> Iterator[tuple[str, object]]:
    """Yield mistakes that belong to one question."""
    right, v = _RIGHT, np.array([8.0, 14, 7, 7, 14, 14, 11, 11])
    y = _softmax(np.array([36.0, 39, 0]))
    delta = y - np.array([0, 1.0, 0])
    special: dict[int, dict[str, object]] = {
        1: {
            "the output is not padded to the image's size: (4 − 2)/1 + 1": (4, 4),
            "the 1 in (4 − 2)/1 + 1 is missing, or the stride is taken for 2": (2, 2),
            "height and width are asked, not the number of entries": 9,
            "only height and width are asked, without the channels": (3, 3, 2),
        },
        2: {
            "the pooling has a stride of 2; here it is 1, so that windows overlap": (1, 1),
            "pooling leaves the size as it is only with padding": (3, 3),
            "height and width are asked, not the number of entries": 4,
            "only height and width are asked, without the channels": (2, 2, 2),
        },
        3: {
            "that is the length of the inner product's input": 8,
            "ReLU keeps all entries, those too that become 0": 2,
            "the network tells ten digits apart only in LeNet; here there are three": 10,
        },
        4: {
            "softmax gives one probability for each class, not one in all": 1,
            "that is the length of the inner product's input": 8,
            "the network tells ten digits apart only in LeNet; here there are three": 10,
        },
        5: {
            "that is entry (1,1,1): the third index is the channel": 0,
            "that is entry (2,2,2)": 11,
            "that is entry (1,2,2)": 14,
            "that is entry (2,1,2)": 2,
        },
        6: {
            "that is entry (2,1,2): the third index is the channel": 11,
            "that is entry (1,2,1): the first index is the row": 14,
            "that is entry (1,1,1); indices start at 1": 8,
        },
        7: {
            "that is entry 1; indices start at 1": 36,
            "that is entry 3; indices start at 1": 0,
            "that is the third entry before ReLU": -27,
        },
        8: {
            "that is entry 1; indices start at 1": y[0],
            "that is entry 3; indices start at 1": y[2],
            "a probability between 0 and 1 is asked, not a percentage": 100 * y[1],
            "that is the score; the softmax is still to come": 39,
        },
        9: {
            "that is the loss of class 1; the digit 1 is the second of 0, 1, 2": -np.log(y[0]),
        },
        10: {
            "that is dJ/ds, with respect to the scores, before the softmax; asked is dJ/dy": delta,
            "that is minus the derivative with respect to the scores; asked is dJ/dy": -delta,
            "the sign is wrong: the derivative of −ln y is −1/y": [0, 1 / y[1], 0],
            "only the entry of the label's class is given; dJ/dy has three": -1 / y[1],
            "every entry has a derivative −1/y; but J depends on y2 alone": -1 / y,
            "that is the one-hot label over 1, not over y": [0, -1, 0],
            "y itself is returned": y,
            "y2 is not under the fraction: the derivative of −ln y is −1/y": [0, -y[1], 0],
        },
        11: {
            "that is the entry after the step; asked is the derivative": 1 - RATE * right[11],
            "that is the step, rate times derivative; asked is the derivative": RATE * right[11],
            "the derivative with respect to z is not yet multiplied by the input v1": delta[0],
            "the sign is wrong, or it is dJ/dW1(2,1): the first index is the unit": delta[1] * v[0],
            "that is dJ/dW1(1,2): the second index is the input": delta[0] * v[1],
            "it is multiplied by W1(1,1) too, or by another input": delta[0] * v[2],
        },
        12: {
            "that is the entry after the step; asked is the derivative": 1 - RATE * right[12],
            "that is the step, rate times derivative; asked is the derivative": RATE * right[12],
            "the window with the tie is left out": delta[0] * -4,
            "the ReLU's mask is forgotten: unit 3 passes nothing back": right[12] + 0.25 * y[2],
            "the maxima's values are multiplied, not the pixels under the filter": (
                delta[0] * (0.5 * 8 - 0.5 * 14 - 7 + 7)
            ),
            "all windows are summed without their own derivatives": delta[0] * 8,
            "the whole of row 1 of W1 comes back, row 2 is left out": (
                delta[0] * (1 * 0 + 0.5 * 4 + 1 * 2 + 2 * 2)
            ),
            "only row 2 of W1 comes back, row 1 is left out": (
                -delta[0] * (0.5 * 0 + 1 * 4 + 2 * 2 + 1 * 2)
            ),
        },
    }
    yield from special[number].items()


def _mistakes(number: int) -> Iterator[tuple[str, object]]:
    yield from _special(number)
    for words, pieces in MISTAKES.items():
        yield words, replace(Toy(), **pieces).answers()[number]
    for words, share in (("last", last), ("even", evenly)):
        value = Toy(share=share).answers()[number]
        if number == 12:
            yield f"that is the step with “{words}”, rate times derivative", RATE * value
            yield f"that is the entry after the step with “{words}”", 1 - RATE * value
    if number >= 5:
        yield "the sign is wrong", -np.asarray(_RIGHT[number], dtype=float)


def _near(got: np.ndarray, expected: object) -> bool:
    """Tell whether numbers agree as far as a person rounds: 5·10⁻⁵, or 10⁻⁴ of the number."""
    wanted = np.asarray(expected, dtype=float)
    if got.shape != wanted.shape:
        return False
    return bool((np.abs(got - wanted) <= np.maximum(5e-5, 1e-4 * np.abs(wanted))).all())


def _whole(got: np.ndarray) -> bool:
    return bool((got == np.round(got)).all())


def _accepted(number: int) -> list[object]:
    """Return the right answers; the last question has one for each way to break its tie."""
    return [_RIGHT[number], *(_SHARES.values() if number == 12 else ())]


def _explain_form(number: int, got: np.ndarray) -> str:
    """Say when an answer has too few or too many decimals, or not as many numbers as asked for."""
    if number <= LAST_COUNT and not _whole(got):
        return "the answer is a whole number"
    if number <= 2 and got.size == 1:
        return "height and width are two numbers"
    if number == 12 and got.size > 1:
        return "one answer is asked for; each defensible one is accepted"
    if np.ndim(_RIGHT[number]) == 0 and got.shape == (1,):
        return "a plain number is asked for"
    for value in _accepted(number):
        rounded = (np.round(np.asarray(value, dtype=float), places) for places in (1, 2, 3))
        if any(got.shape == r.shape and np.allclose(got, r, atol=1e-9) for r in rounded):
            return "right when rounded; give four decimals or more"
    return ""


def _expect_answer(answer: Callable, number: int) -> None:
    answers = attempt("toy_answers", answer)
    what = f"toy_answers, question {number}: {QUESTIONS[number - 1]}"
    if not isinstance(answers, Mapping):
        raise CheckError(
            f"toy_answers should return a dictionary {{1: …, 12: …}}, not {type(answers).__name__}"
        )
    if answers.get(number) is None or answers[number] is Ellipsis:
        raise CheckError(f"{what}: there is no answer yet")
    got = as_array(what, answers[number])
    if np.asarray(answers[number]).dtype.kind in "US":
        raise CheckError(f"{what}: {answers[number]!r} is a text", "a number has no quotes")
    if got.shape == (3, 1) or got.shape == (1, 3):
        got = got.ravel()  # a column or a row of three is a vector too
    near = any(_near(got, value) for value in _accepted(number))
    if near and (number > LAST_COUNT or _whole(got)):
        return
    if number == 10 and got.shape == (3,) and _near(np.abs(got), np.abs(_RIGHT[10])):
        hint = "the sign is wrong: the derivative of −ln y is −1/y"
    elif number >= 8 and not got.any():  # left blank: mistakes that end near zero explain nothing
        hint = ""
    else:
        mistakes = () if near else _mistakes(number)
        explained = (words for words, value in mistakes if _near(got, value))
        hint = next(explained, "") or _explain_form(number, got)
    shown = np.array2string(got, precision=6, separator=", ")
    raise CheckError(f"{what}: {shown} is not right", hint)


for _number, _question in enumerate(QUESTIONS, 1):

    def _part(answer: Callable, number: int = _number) -> None:
        _expect_answer(answer, number)

    toy_answers.part(f"question {_number}: {_question}")(_part)
