"""The checks of the inner product layer, forwards and backwards."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from helpers.checks.diagnosis import Mistake, expect
from helpers.checks.numpy_lenet.reference import (
    Structure,
    call,
    call_and_compare,
    data_of,
    expect_sizes,
    flat,
    numbers,
    pair_of,
    structure,
)
from helpers.checks.parts import Check

inner_product_forward = Check(
    "inner_product_forward", "Wx + b and the sizes agree with the reference"
)
inner_product_backward = Check(
    "inner_product_backward", "param_grad and input_od agree with the reference"
)


@dataclass(frozen=True)
class Product:
    """An inner product layer with `num` outputs, given maps, and the gradient at its output."""

    shape: tuple[int, int, int, int]
    num: int
    dtype: type = np.float64
    biased: bool = True

    def __str__(self) -> str:
        d, batch_size = self.x.shape
        bias = "" if self.biased else ", b zero"
        return f"num {self.num}, data [{d}, {batch_size}] ({self.x.dtype}){bias}"

    @property
    def x(self) -> np.ndarray:
        """Return the data `[d, batch_size]`."""
        return flat(numbers(self.shape, seed=1, dtype=self.dtype))

    @property
    def diff(self) -> np.ndarray:
        """Return the derivative with respect to the output `[num, batch_size]`."""
        return numbers((self.num, self.shape[3]), seed=2, lowest=-0.7, dtype=self.dtype)

    @property
    def param(self) -> dict[str, np.ndarray]:
        """Return `w` `[num, d]` and `b` `[num]`."""
        w = numbers((self.num, len(self.x)), seed=3, dtype=self.dtype)
        b = numbers((self.num,), seed=4, lowest=0.5, dtype=self.dtype) ** 2
        return {"w": w, "b": b if self.biased else 0 * b}

    def forward_arguments(self) -> dict[str, object]:
        """Return input, layer and param by name."""
        input = structure(numbers(self.shape, seed=1, dtype=self.dtype))
        return {"input": input, "layer": {"type": "IP", "num": self.num}, "param": self.param}

    def backward_arguments(self) -> dict[str, object]:
        """Return output, input, layer and param by name."""
        output = self.output(self.outputs().astype(self.dtype))
        return {"output": output | {"diff": self.diff}, **self.forward_arguments()}

    def outputs(self) -> np.ndarray:
        """Return Wx + b, `[num, batch_size]`, summed number by number."""
        w, b, x = self.param["w"], self.param["b"], self.x
        outputs = np.empty((self.num, x.shape[1]))
        for n, image in np.ndindex(*outputs.shape):
            products = (float(a) * float(c) for a, c in zip(w[n], x[:, image], strict=True))
            outputs[n, image] = sum(products) + b[n]
        return outputs

    def output(self, data: np.ndarray) -> Structure:
        """Return the output structure that holds `data`: `num` high, 1 wide, one channel."""
        return structure(data.reshape(1, self.num, 1, -1))

    def forward_mistakes(self) -> Iterator[Mistake]:
        """Yield wrong outputs with what leads to them."""
        w, b, x = self.param["w"], self.param["b"], self.x
        wx, right = w @ x, self.outputs()
        yield "the bias is missing", wx
        yield "the bias is subtracted", wx - b[:, np.newaxis]
        yield "the bias is added twice", right + b[:, np.newaxis]
        yield "the mean of the biases is added to every unit", wx + b.mean()
        yield "the first bias is added to every unit", wx + b[0]
        if x.shape[1] in (1, self.num):
            yield "b runs along the batch; each number of b belongs to a row of Wx", wx + b
        if self.num == len(x):
            yield "W is transposed", w.T @ x + b[:, np.newaxis]
            yield "W is transposed and the bias is missing", w.T @ x
            if self.num == x.shape[1]:
                yield "W is transposed and b runs along the batch", w.T @ x + b
                yield "x and W are multiplied in the wrong order", x @ w + b[:, np.newaxis]
                yield "x and W are multiplied in the wrong order, and b along the batch", x @ w + b
        yield "a row is an image; the columns should be", right.T
        first = np.repeat(right[:, :1], right.shape[1], axis=1)
        yield "every image gets the output of the first", first
        yield "ReLU is applied; it is a layer of its own", np.maximum(right, 0)
        yield "the products are divided by the number of inputs", wx / len(x) + b[:, np.newaxis]
        scores = np.exp(right - right.max(axis=0))
        yield "a softmax is applied", scores / scores.sum(axis=0)


def _forward(answer: Callable, product: Product) -> object:
    name, given = inner_product_forward.name, str(product)
    result = call(name, given, answer, *product.forward_arguments().values())
    data, mistakes = data_of(name, result), product.forward_mistakes()
    expect(f"{name}, data", given, data, product.outputs(), mistakes)
    return result


@inner_product_forward.part("Wx of one image")
def _(answer: Callable) -> None:
    _forward(answer, Product((1, 3, 1, 1), num=2, biased=False))
    _forward(answer, Product((2, 2, 3, 1), num=5, dtype=np.float32, biased=False))


@inner_product_forward.part("Wx of several images")
def _(answer: Callable) -> None:
    _forward(answer, Product((2, 3, 2, 4), num=5, biased=False))
    _forward(answer, Product((1, 7, 1, 3), num=2, dtype=np.float32, biased=False))


@inner_product_forward.part("the bias")
def _(answer: Callable) -> None:
    _forward(answer, Product((2, 3, 2, 1), num=5))
    _forward(answer, Product((1, 7, 1, 3), num=2, dtype=np.float32))


@inner_product_forward.part("as many units as inputs and images")
def _(answer: Callable) -> None:
    _forward(answer, Product((1, 4, 1, 4), num=4))
    _forward(answer, Product((2, 3, 2, 12), num=12, dtype=np.float32))


@inner_product_forward.part("the sizes of the output")
def _(answer: Callable) -> None:
    name = inner_product_forward.name
    for product in (
        Product((2, 3, 2, 1), num=5, biased=False),
        Product((1, 2, 2, 1), num=1, biased=False),
    ):
        result = _forward(answer, product)
        expect_sizes(name, str(product), result, np.empty((1, product.num, 1, 1)))


@inner_product_forward.part("the arguments are left as they were")
def _(answer: Callable) -> None:
    name, product = inner_product_forward.name, Product((2, 3, 2, 1), num=5, biased=False)
    result = call_and_compare(name, str(product), answer, product.forward_arguments())
    data, mistakes = data_of(name, result), product.forward_mistakes()
    expect(f"{name}, data", str(product), data, product.outputs(), mistakes)


# --- backwards


@dataclass(frozen=True)
class Gradients:
    """What the backward pass returns, laid out by what it is the derivative with respect to."""

    w: object
    b: object
    input_od: object


def _right(product: Product) -> Gradients:
    """Return the derivatives, summed number by number."""
    x, diff, w = product.x.astype(float), product.diff.astype(float), product.param["w"]
    d_w, d_b, d_x = np.zeros(w.shape), np.zeros(len(w)), np.zeros(x.shape)
    for n, image in np.ndindex(*diff.shape):
        d_b[n] += diff[n, image]
        d_w[n] += diff[n, image] * x[:, image]
        d_x[:, image] += diff[n, image] * w[n]
    return Gradients(d_w, d_b, d_x)


def _wrong(product: Product, right: Gradients) -> Iterator[tuple[str, Gradients]]:
    """Yield mistakes, with all that they give."""
    x, diff, w = product.x.astype(float), product.diff.astype(float), product.param["w"]
    batch_size, nothing = diff.shape[1], np.array(np.nan)
    yield (
        "divided by the batch size: that division is in output['diff'] already, and the images' "
        "gradients are summed",
        Gradients(right.w / batch_size, right.b / batch_size, right.input_od / batch_size),
    )
    yield "multiplied by the batch size", Gradients(*(batch_size * g for g in _fields(right)))
    yield "the gradient is subtracted", Gradients(*(-g for g in _fields(right)))
    yield (
        "output['data'] is used in place of output['diff']",
        Gradients(product.outputs() @ x.T, product.outputs().sum(1), w.T @ product.outputs()),
    )
    yield (
        "output['diff'] is not used",
        Gradients(np.ones_like(diff) @ x.T, np.ones(len(w)) * batch_size, w.T @ np.ones_like(diff)),
    )
    yield "output['diff'] is not used", Gradients(nothing, np.ones(len(w)), nothing)
    yield (
        "w and b themselves are returned, not their gradients",
        Gradients(product.param["w"], product.param["b"], x),
    )
    yield "the gradients of w and b are swapped", Gradients(right.b, right.w, nothing)
    yield (
        "only the first image counts; the images' gradients are summed",
        Gradients(np.outer(diff[:, 0], x[:, 0]), diff[:, 0], nothing),
    )
    yield (
        "only the last image counts; the images' gradients are summed",
        Gradients(np.outer(diff[:, -1], x[:, -1]), diff[:, -1], nothing),
    )
    yield "the gradient is transposed", Gradients(right.w.T, nothing, right.input_od.T)
    yield (
        "b is kept as a column [num, 1]; its gradient is [num], as in param",
        Gradients(nothing, right.b[:, np.newaxis], nothing),
    )
    yield (
        "b is kept as a row; its gradient is [num], as in param",
        Gradients(nothing, right.b[np.newaxis], nothing),
    )
    yield (
        "the gradient is summed over the units, not over the images",
        Gradients(nothing, diff.sum(axis=0), nothing),
    )
    yield "the gradient of b is not summed over the images", Gradients(nothing, diff, nothing)
    yield (
        "the gradient of b is summed over units and images",
        Gradients(nothing, np.full(len(w), diff.sum()), nothing),
    )
    yield "the gradient of b is one number for all units", Gradients(nothing, diff.sum(), nothing)
    yield "the gradient of b is left at zero", Gradients(nothing, np.zeros(len(w)), nothing)
    if len(w) == len(x):
        yield "W has to be transposed: input_od is Wᵀ diff", Gradients(nothing, nothing, w @ diff)
    else:
        yield "W has to be transposed", Gradients(nothing, nothing, (diff.T @ w))
    yield "the input is multiplied, not the weights", Gradients(nothing, nothing, x * diff.sum(0))
    yield (
        "the gradient of w is that of b, repeated",
        Gradients(np.repeat(right.b[:, np.newaxis], len(x), 1), nothing, nothing),
    )
    yield (
        "input_od is that of the mean image, for all images",
        Gradients(
            nothing, nothing, np.repeat(right.input_od.mean(1, keepdims=True), batch_size, 1)
        ),
    )


def _fields(gradients: Gradients) -> tuple:
    return gradients.w, gradients.b, gradients.input_od


def _expect_gradient(product: Product, result: object, which: str) -> None:
    """Compare one of `w`, `b` and `input_od`."""
    name, right = inner_product_backward.name, _right(product)
    param_grad, input_od = pair_of(name, result)
    got: Mapping[str, object] = {**param_grad, "input_od": input_od}
    what = f"{name}, " + (which if which == "input_od" else f"param_grad[{which!r}]")
    mistakes = ((words, getattr(wrong, which)) for words, wrong in _wrong(product, right))
    expect(what, str(product), got[which], getattr(right, which), mistakes)


def _expect_in_all(answer: Callable, which: str) -> None:
    for product in (
        Product((2, 3, 2, 12), num=5),
        Product((1, 3, 1, 1), num=2),
        Product((1, 7, 1, 3), num=2, dtype=np.float32),
        Product((1, 4, 1, 4), num=4),
    ):
        arguments = product.backward_arguments().values()
        result = call(inner_product_backward.name, str(product), answer, *arguments)
        _expect_gradient(product, result, which)


@inner_product_backward.part("the gradient with respect to w")
def _(answer: Callable) -> None:
    _expect_in_all(answer, "w")


@inner_product_backward.part("the gradient with respect to b")
def _(answer: Callable) -> None:
    _expect_in_all(answer, "b")


@inner_product_backward.part("the gradient with respect to the input")
def _(answer: Callable) -> None:
    _expect_in_all(answer, "input_od")


@inner_product_backward.part("the arguments are left as they were")
def _(answer: Callable) -> None:
    product = Product((2, 3, 2, 1), num=5)
    arguments = product.backward_arguments()
    result = call_and_compare(inner_product_backward.name, str(product), answer, arguments)
    for which in ("w", "b", "input_od"):
        _expect_gradient(product, result, which)
