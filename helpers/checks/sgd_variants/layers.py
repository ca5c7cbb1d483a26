"""The checks of ReLU, of max pooling and of the fully connected layer, forward and backward."""

from collections.abc import Callable, Iterator

import numpy as np

from helpers.checks.diagnosis import as_array, same
from helpers.checks.parts import Check
from helpers.checks.sgd_variants import reference
from helpers.checks.sgd_variants.functions import (
    Function,
    Mistake,
    in_single_precision,
)

relu_forward = Check("relu_forward", "max(x, 0) for arrays of three shapes")
relu_backward = Check("relu_backward", "passes the gradient on where the outputs are positive")
max_pool_forward = Check("max_pool_forward", "agrees with the reference for images of five sizes")
max_pool_backward = Check("max_pool_backward", "agrees with the reference, with and without ties")
dense_forward = Check("dense_forward", "agrees with the reference for layers of five sizes")
dense_backward = Check("dense_backward", "all three gradients agree with the reference")

KEPT = "single precision; the arguments stay as they are"


def _normal(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


# --- ReLU

_IMAGES = (3, 6, 4, 5)
_SHAPES = (_IMAGES, (7, 4), (11,))


def _relu_mistakes(x: np.ndarray) -> Iterator[Mistake]:
    yield Mistake("negative numbers are kept", (x,))
    yield Mistake("positive numbers are set to 0, not negative ones", (np.minimum(x, 0),))
    yield Mistake("this is the absolute value", (np.abs(x),))
    yield Mistake("1 is returned where x is positive, not x", ((x > 0).astype(float),))
    yield Mistake("numbers below 1 are lost as well", (np.maximum(x, 1),))
    for slope in (0.01, 0.1, 0.2):
        yield Mistake("this is a leaky ReLU", (np.where(x > 0, x, slope * x),))
    yield Mistake("this is a sigmoid", (1 / (1 + np.exp(-x)),))
    yield Mistake("this is tanh", (np.tanh(x),))
    yield Mistake("one maximum of the whole array is returned", (max(x.max(), 0),))


RELU_FORWARD = Function(
    "relu_forward", ("",), lambda x: (reference.relu_forward(x),), _relu_mistakes
)


@relu_forward.part("positive, negative and zero")
def _(answer: Callable) -> None:
    for seed, shape in enumerate(_SHAPES):
        (x,) = _normal(seed, shape)
        x.flat[0] = 0
        RELU_FORWARD.expect(answer, {"x": x})


@relu_forward.part(KEPT)
def _(answer: Callable) -> None:
    RELU_FORWARD.expect_unchanged(answer, in_single_precision({"x": _normal(3, _IMAGES)[0]}), KEPT)


def _relu_backward_mistakes(d_outputs: np.ndarray, outputs: np.ndarray) -> Iterator[Mistake]:
    yield Mistake(
        "the mask is missing or lets all through (outputs >= 0 always holds): the gradient is 0 "
        "where the output is 0",
        (d_outputs,),
    )
    yield Mistake(
        "the mask is that of the gradient's sign; it should be that of the outputs",
        (np.maximum(d_outputs, 0),),
    )
    yield Mistake(
        "the mask is that of the gradient's sign, beside that of the outputs",
        (np.maximum(d_outputs, 0) * (outputs > 0),),
    )
    yield Mistake("the gradient is multiplied by the outputs, not by their mask", (
        d_outputs * outputs,
    ))  # fmt: skip
    yield Mistake("the mask is returned without the gradient", ((outputs > 0).astype(float),))
    yield Mistake("the mask is turned round", (d_outputs * (outputs <= 0),))
    yield Mistake("the two arguments are confused", (outputs * (d_outputs > 0),))
    yield Mistake("the outputs are returned", (outputs,))


RELU_BACKWARD = Function(
    "relu_backward",
    ("",),
    lambda d_outputs, outputs: (reference.relu_backward(d_outputs, outputs),),
    _relu_backward_mistakes,
)


def _rectified(seed: int, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    d_outputs, x = _normal(seed, shape, shape)
    return {"d_outputs": d_outputs, "outputs": np.maximum(x, 0)}


@relu_backward.part("images")
def _(answer: Callable) -> None:
    for seed in range(2):
        RELU_BACKWARD.expect(answer, _rectified(seed, _IMAGES))


@relu_backward.part("rows of a fully connected layer, and small positive outputs")
def _(answer: Callable) -> None:
    for seed, shape in enumerate(_SHAPES[1:]):
        exercise = _rectified(seed, shape)
        exercise["outputs"] *= 1e-12  # no threshold above zero lets these through
        RELU_BACKWARD.expect(answer, exercise)


@relu_backward.part(KEPT)
def _(answer: Callable) -> None:
    RELU_BACKWARD.expect_unchanged(answer, in_single_precision(_rectified(3, _IMAGES)), KEPT)


# --- max pooling

_POOL_SIZES = ((2, 6, 4, 3), (1, 2, 8, 2), (3, 4, 4, 4), (4, 8, 2, 1))


def _windows(x: np.ndarray) -> np.ndarray:
    """Return a copy `[4, channels, height/2, width/2, batch]`, a place in the window at a time."""
    return np.stack([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)])


def _unwindowed(places: np.ndarray) -> np.ndarray:
    """Return images `[channels, height, width, batch]` of what `_windows` makes of them."""
    _, channels, height, width, batch = places.shape
    x = np.empty((channels, 2 * height, 2 * width, batch), places.dtype)
    for place, (i, j) in zip(places, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        x[:, i::2, j::2] = place
    return x


def _only_places(*places: int) -> np.ndarray:
    """Return 1 for these places of a window and 0 for the others, to multiply `_windows` with."""
    return np.isin(range(4), places).astype(float).reshape(4, 1, 1, 1, 1)


def _max_pool_mistakes(x: np.ndarray) -> Iterator[Mistake]:
    places = _windows(x)
    right = places.max(0)
    yield Mistake("the mean of each window is taken, not the maximum", (places.mean(0),))
    yield Mistake("the sum of each window is taken, not the maximum", (places.sum(0),))
    yield Mistake("the minimum of each window is taken, not the maximum", (places.min(0),))
    yield Mistake(
        "negative maxima become 0: the search starts at 0, and should start at -∞ or at a number "
        "of the window",
        (np.maximum(right, 0),),
        ("negative numbers",),
    )
    yield Mistake(
        "the largest absolute value is taken", (np.abs(places).max(0),), ("negative numbers",)
    )
    for place, where in zip(places, ("top left", "top right", "bottom left"), strict=False):
        yield Mistake(f"only the number at the {where} of each window is looked at", (place,))
    yield Mistake("only the bottom right number of each window is looked at", (places[3],))
    for pair, where in (((0, 1), "upper row"), ((2, 3), "lower row"), ((0, 2), "left column")):
        yield Mistake(f"only the {where} of each window is looked at", (places[list(pair)].max(0),))
    yield Mistake("only the diagonal of each window is looked at", (places[[0, 3]].max(0),))
    slid = np.stack([x[:, i : i - 1 or None, j : j - 1 or None] for i in (0, 1) for j in (0, 1)])
    yield Mistake("the stride is 1, and should be 2", (slid.max(0),))
    yield Mistake("the maximum runs over the batch too", (
        np.broadcast_to(right.max(-1, keepdims=True), right.shape),
    ))  # fmt: skip
    yield Mistake("the maximum runs over the channels too", (
        np.broadcast_to(right.max(0, keepdims=True), right.shape),
    ))  # fmt: skip
    channels, height, width, batch = x.shape
    for words, shape, axes in (
        ("the axes of a window are reshaped to (2, height / 2); it is (height / 2, 2)",
         (channels, 2, height // 2, 2, width // 2, batch), (1, 3)),
        ("the axes of a window are reshaped to (2, height / 2); it is (height / 2, 2)",
         (channels, 2, height // 2, width // 2, 2, batch), (1, 4)),
        ("the axes of a window are reshaped to (2, width / 2); it is (width / 2, 2)",
         (channels, height // 2, 2, 2, width // 2, batch), (2, 3)),
        ("a window is four neighbours of a row", (channels, height // 2, width // 2, 4, batch), 3),
    ):  # fmt: skip
        yield Mistake(words, (x.reshape(shape).max(axes),))


MAX_POOL_FORWARD = Function(
    "max_pool_forward", ("",), lambda x: (reference.max_pool_forward(x),), _max_pool_mistakes
)


@max_pool_forward.part("positive numbers")
def _(answer: Callable) -> None:
    for seed, shape in enumerate(_POOL_SIZES):
        (x,) = _normal(seed, shape)
        MAX_POOL_FORWARD.expect(answer, {"x": np.abs(x)})


@max_pool_forward.part("negative numbers")
def _(answer: Callable) -> None:
    for seed, shape in enumerate(_POOL_SIZES):
        (x,) = _normal(seed, shape)
        MAX_POOL_FORWARD.expect(answer, {"x": x})
        MAX_POOL_FORWARD.expect(answer, {"x": -np.abs(x)})


@max_pool_forward.part(KEPT)
def _(answer: Callable) -> None:
    (x,) = _normal(5, (4, 14, 14, 2))
    MAX_POOL_FORWARD.expect_unchanged(answer, in_single_precision({"x": np.abs(x)}), KEPT)


def _max_pool_backward_mistakes(
    d_outputs: np.ndarray, x: np.ndarray, outputs: np.ndarray
) -> Iterator[Mistake]:
    places = _windows(x)
    largest = places == places.max(0)
    first = _windows(reference.max_pool_backward(np.ones_like(outputs), x, outputs))
    yield Mistake(
        "each of several equal maxima gets the whole gradient; together they may get it once",
        (_unwindowed(largest * d_outputs),),
        (TIES,),
    )
    for words, shares in {
        "all four numbers of a window get the gradient, not only the maximum": np.ones_like(first),
        "the gradient is spread over the window as in average pooling": np.full_like(first, 0.25),
        "the minimum gets the gradient, not the maximum": places == places.min(0),
        "the mask is turned round: all but the maximum get the gradient": 1 - first,
        "only the left column of each window is looked at": first * _only_places(0, 2),
        "only the upper row of each window is looked at": first * _only_places(0, 1),
        "the gradient is multiplied by the maximum": first * outputs,
        "the gradient is multiplied by x": places,
        "always the top left number gets the gradient": _only_places(0),
        "always the bottom right number gets it": _only_places(3),
    }.items():
        yield Mistake(words, (_unwindowed(np.broadcast_to(shares * d_outputs, places.shape)),))
    yield Mistake("the mask of the maxima is returned without the gradient", (_unwindowed(first),))
    yield Mistake("the maximum itself is returned at its place", (_unwindowed(first * outputs),))
    yield Mistake(
        "the gradient is repeated as a whole (np.tile); each number has to be repeated (np.repeat)",
        (_unwindowed(first) * np.tile(d_outputs, (1, 2, 2, 1)),),
    )
    turned = first[[0, 2, 1, 3]]
    yield Mistake(
        "row and column inside the window are confused", (_unwindowed(turned * d_outputs),)
    )
    yield Mistake("d_outputs comes back in its own shape", (d_outputs,))


TIES = "equal maxima share one gradient"
MAX_POOL_BACKWARD = Function(
    "max_pool_backward",
    ("d_x",),
    lambda *arguments: (reference.max_pool_backward(*arguments),),
    _max_pool_backward_mistakes,
)


def _pooled(d_outputs: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
    return {"d_outputs": d_outputs, "x": x, "outputs": reference.max_pool_forward(x)}


def _pool_exercise(seed: int, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return an exercise without ties, and with numbers of both signs."""
    channels, height, width, batch = shape
    d_outputs, x = _normal(seed, (channels, height // 2, width // 2, batch), shape)
    return _pooled(d_outputs, x)


def _tied(seed: int, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return an exercise in which most windows have two to four equal maxima, often zeros."""
    exercise = _pool_exercise(seed, shape)
    rng = np.random.default_rng(seed)
    return _pooled(exercise["d_outputs"], rng.integers(0, 3, size=shape) * 0.5)


@max_pool_backward.part("a single maximum in each window")
def _(answer: Callable) -> None:
    for seed, shape in enumerate(_POOL_SIZES):
        MAX_POOL_BACKWARD.expect(answer, _pool_exercise(seed, shape))


@max_pool_backward.part(TIES)
def _(answer: Callable) -> None:
    for seed, shape in enumerate(_POOL_SIZES):
        for exercise in (_tied(seed, shape), _blank(shape)):
            if not _shares_are_right(answer, exercise):
                MAX_POOL_BACKWARD.expect(answer, exercise)


def _blank(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    exercise = _pool_exercise(9, shape)
    return _pooled(exercise["d_outputs"], np.zeros(shape))


def _shares_are_right(answer: Callable, exercise: dict[str, np.ndarray]) -> bool:
    """Tell whether the maxima of each window, and they alone, share its gradient.

    The first, the last, any, or all of them in parts: each of these is a subgradient.
    """
    (got,) = MAX_POOL_BACKWARD.call(answer, exercise)
    d_x = as_array("max_pool_backward, d_x", got)
    d_outputs, x, outputs = exercise.values()
    if d_x.shape != x.shape or not np.isfinite(d_x).all():
        return False
    shares = _windows(d_x) / d_outputs
    elsewhere = shares[_windows(x) != outputs]
    return not elsewhere.any() and shares.min() >= 0 and same(shares.sum(0), np.ones_like(outputs))


@max_pool_backward.part(KEPT)
def _(answer: Callable) -> None:
    exercise = in_single_precision(_pool_exercise(7, (4, 14, 14, 2)))
    MAX_POOL_BACKWARD.expect_unchanged(answer, exercise, KEPT)


# --- the fully connected layer

_DENSE_SIZES = ((5, 3, 4), (3, 5, 1), (4, 4, 4), (1, 6, 2))  # inputs, outputs, batch


def _dense(seed: int, inputs: int, outputs: int, batch: int) -> dict[str, np.ndarray]:
    x, weights, bias = _normal(seed, (inputs, batch), (outputs, inputs), (outputs,))
    return {"x": x, "weights": weights, "bias": bias}


def _dense_mistakes(x: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> Iterator[Mistake]:
    product, column = weights @ x, bias[:, np.newaxis]
    yield Mistake("the bias is missing", (product,), ("the biases",))
    yield Mistake("the bias is subtracted", (product - column,), ("the biases",))
    if len(bias) == x.shape[1]:
        yield Mistake(
            "the biases are added along the batch: bias[:, np.newaxis] adds one to each row",
            (product + bias,),
            ("the biases",),
        )
    if len(bias) == len(x):
        yield Mistake("the weights are transposed", (weights.T @ x + column,))
    if x.shape[0] == x.shape[1] == len(bias):
        yield Mistake("the factors are in the wrong order: x @ weights", (x @ weights + column,))
        yield Mistake("x is transposed", (weights @ x.T + column,))
    yield Mistake("a ReLU is applied already", (np.maximum(product + column, 0),))
    yield Mistake("the outputs come as rows, [batch, outputs]", ((product + column).T,))


DENSE_FORWARD = Function(
    "dense_forward",
    ("",),
    lambda *arguments: (reference.dense_forward(*arguments),),
    _dense_mistakes,
)


@dense_forward.part("the weights")
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(_DENSE_SIZES):
        exercise = _dense(seed, *sizes)
        exercise["bias"] *= 0
        DENSE_FORWARD.expect(answer, exercise)


@dense_forward.part("the biases")
def _(answer: Callable) -> None:
    for seed, sizes in enumerate(_DENSE_SIZES):
        DENSE_FORWARD.expect(answer, _dense(seed, *sizes), part="the biases")


@dense_forward.part(KEPT)
def _(answer: Callable) -> None:
    exercise = _dense(6, 7, 4, 3)
    exercise["bias"] *= 0
    DENSE_FORWARD.expect_unchanged(answer, in_single_precision(exercise), KEPT)


D_X, D_WEIGHTS, D_BIAS = GRADIENTS = ("d_x", "d_weights", "d_bias")


def _dense_backward_mistakes(
    d_outputs: np.ndarray, x: np.ndarray, weights: np.ndarray
) -> Iterator[Mistake]:
    right = d_x, d_weights, d_bias = reference.dense_backward(d_outputs, x, weights)
    batch = x.shape[1]
    for i, name in enumerate(GRADIENTS):
        others = ((other, right[j]) for j, other in enumerate(GRADIENTS) if j != i)
        for other, value in others:
            yield Mistake(
                f"{other} stands where {name} belongs: the order is d_x, d_weights, d_bias",
                _only(i, value),
            )
    for name, i in ((D_WEIGHTS, 1), (D_BIAS, 2)):
        yield Mistake(
            f"{name} is averaged over the batch: the 1 / batch is already in d_outputs",
            _only(i, right[i] / batch),
        )
        yield Mistake(
            f"{name} is that of the first image: the batch has to be added up",
            _only(i, (d_outputs[:, :1] @ x[:, :1].T, d_outputs[:, 0])[i - 1]),
        )
        yield Mistake(
            f"{name} is that of the last image: the batch has to be added up",
            _only(i, (d_outputs[:, -1:] @ x[:, -1:].T, d_outputs[:, -1])[i - 1]),
        )
    yield Mistake("d_weights is transposed: it has the shape of weights", (None, d_weights.T, None))
    yield Mistake(
        "d_weights is summed over all inputs or outputs: it is an outer product",
        (None, d_outputs * x if d_outputs.shape == x.shape else np.nan, None),
    )
    yield Mistake("d_bias has to be summed over the batch", (None, None, d_outputs))
    yield Mistake("d_bias has an axis of length 1 too many: it is [outputs]", (
        None, None, d_bias[:, np.newaxis],
    ))  # fmt: skip
    yield Mistake("d_bias is summed over the outputs, and should be over the batch", (
        None, None, d_outputs.sum(0),
    ))  # fmt: skip
    yield Mistake("d_bias is summed over everything", (None, None, d_outputs.sum()))
    if len(d_outputs) == len(x):
        yield Mistake("the weights have to be transposed in d_x", (weights @ d_outputs, None, None))
    if len(d_outputs) == len(x) == batch:
        yield Mistake("x has to be transposed in d_weights", (None, d_outputs @ x, None))
        yield Mistake("the factors of d_x are in the wrong order", (
            d_outputs @ weights, None, None,
        ))  # fmt: skip
        yield Mistake("d_outputs is transposed, and x should be, in d_weights", (
            None, d_outputs.T @ x, None,
        ))  # fmt: skip
    yield Mistake("d_x is averaged over the batch", (d_x / batch, None, None))


def _only(place: int, value: object) -> tuple[object, ...]:
    return tuple(value if i == place else None for i in range(3))


DENSE_BACKWARD = Function(
    "dense_backward", GRADIENTS, reference.dense_backward, _dense_backward_mistakes
)


def _dense_gradients(seed: int, inputs: int, outputs: int, batch: int) -> dict[str, np.ndarray]:
    d_outputs, x, weights = _normal(seed, (outputs, batch), (inputs, batch), (outputs, inputs))
    return {"d_outputs": d_outputs, "x": x, "weights": weights}


def _expect_dense_gradient(answer: Callable, name: str) -> None:
    for seed, sizes in enumerate(_DENSE_SIZES):
        DENSE_BACKWARD.expect(answer, _dense_gradients(seed, *sizes), [name])


@dense_backward.part("the gradient with respect to the inputs")
def _(answer: Callable) -> None:
    _expect_dense_gradient(answer, D_X)


@dense_backward.part("the gradient with respect to the weights")
def _(answer: Callable) -> None:
    _expect_dense_gradient(answer, D_WEIGHTS)


@dense_backward.part("the gradient with respect to the biases")
def _(answer: Callable) -> None:
    _expect_dense_gradient(answer, D_BIAS)


@dense_backward.part(KEPT)
def _(answer: Callable) -> None:
    exercise = in_single_precision(_dense_gradients(6, 7, 4, 1))
    DENSE_BACKWARD.expect_unchanged(answer, exercise, KEPT)
