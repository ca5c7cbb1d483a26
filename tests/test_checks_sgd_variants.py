"""The checks of sgd_variants pass every right answer, and name the mistake in each wrong one."""

import math
import re
from dataclasses import replace
from functools import partial, reduce, wraps

import numpy as np
import planting
import pytest
import torch

from helpers import checks, numpy_layers
from helpers.checks import CheckError, NotWrittenYet, sgd_variants
from helpers.checks.sgd_variants import convolution, layers, network, reference, rules, softmax

# Right answers, one for each check. What the page gives, `views` and `unfold`, and what other
# answers would define, the checks put in place themselves.
ANSWERS = {
    "draw_balanced": """
def draw_balanced(labels, per_class, rng):
    chosen = [
        rng.choice(np.flatnonzero(labels == digit), per_class, replace=False) for digit in range(10)
    ]
    return rng.permutation(np.concatenate(chosen))
""",
    "initialize": """
def initialize(rng, dtype=np.float32):
    theta = np.zeros(PARAMETER_COUNT, dtype)
    for name, array in views(theta).items():
        if name.endswith("weights"):
            inputs = math.prod(array.shape[1:])
            array[...] = rng.normal(0, math.sqrt(2 / inputs), array.shape)
    return theta
""",
    "log_softmax": """
def log_softmax(logits):
    shifted = logits - logits.max(axis=0)
    return shifted - np.log(np.exp(shifted).sum(axis=0))
""",
    "cross_entropy": """
def cross_entropy(logits, one_hot):
    batch = logits.shape[1]
    log_p = log_softmax(logits)
    error = -float((one_hot * log_p).sum()) / batch
    return error, (np.exp(log_p) - one_hot) / batch
""",
    "relu_forward": """
def relu_forward(x):
    return np.maximum(x, 0)
""",
    "relu_backward": """
def relu_backward(d_outputs, outputs):
    return d_outputs * (outputs > 0)
""",
    "max_pool_forward": """
def max_pool_forward(x):
    return reduce(np.maximum, [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)])
""",
    "max_pool_backward": """
def max_pool_backward(d_outputs, x, outputs):
    d_x = np.zeros_like(x)
    free = np.ones(outputs.shape, bool)
    for i in (0, 1):
        for j in (0, 1):
            first = free & (x[:, i::2, j::2] == outputs)
            d_x[:, i::2, j::2] = d_outputs * first
            free &= ~first
    return d_x
""",
    "convolution_forward": """
def convolution_forward(x, weights, bias):
    filters, height, width, batch = len(weights), *x.shape[1:]
    outputs = weights.reshape(filters, -1) @ unfold(x) + bias[:, np.newaxis]
    return outputs.reshape(filters, height, width, batch)
""",
    "convolution_backward_parameters": """
def convolution_backward_parameters(d_outputs, x):
    rows = d_outputs.reshape(len(d_outputs), -1)
    d_weights = (rows @ unfold(x).T).reshape(len(d_outputs), len(x), 5, 5)
    return d_weights, rows.sum(axis=1)
""",
    "convolution_backward_input": """
def convolution_backward_input(d_outputs, weights):
    backwards = weights[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return convolution_forward(d_outputs, backwards, np.zeros(weights.shape[1], weights.dtype))
""",
    "dense_forward": """
def dense_forward(x, weights, bias):
    return weights @ x + bias[:, np.newaxis]
""",
    "dense_backward": """
def dense_backward(d_outputs, x, weights):
    return weights.T @ d_outputs, d_outputs @ x.T, d_outputs.sum(axis=1)
""",
    "forward": """
def forward(theta, images):
    p, a = views(theta), {"images": images}
    a["relu1"] = relu_forward(convolution_forward(images, p["conv1.weights"], p["conv1.bias"]))
    a["pool1"] = max_pool_forward(a["relu1"])
    a["relu2"] = relu_forward(convolution_forward(a["pool1"], p["conv2.weights"], p["conv2.bias"]))
    a["pool2"] = max_pool_forward(a["relu2"])
    a["flat"] = a["pool2"].reshape(196, -1)
    a["hidden"] = relu_forward(dense_forward(a["flat"], p["hidden.weights"], p["hidden.bias"]))
    a["logits"] = dense_forward(a["hidden"], p["output.weights"], p["output.bias"])
    return a
""",
    "backward": """
def backward(theta, activations, d_logits):
    p, a, gradient = views(theta), activations, np.empty_like(theta)
    g = views(gradient)
    d_hidden, g["output.weights"][...], g["output.bias"][...] = dense_backward(
        d_logits, a["hidden"], p["output.weights"]
    )
    d_sums = relu_backward(d_hidden, a["hidden"])
    d_flat, g["hidden.weights"][...], g["hidden.bias"][...] = dense_backward(
        d_sums, a["flat"], p["hidden.weights"]
    )
    d_pool2 = d_flat.reshape(a["pool2"].shape)
    d_relu2 = max_pool_backward(d_pool2, a["relu2"], a["pool2"])
    d_conv2 = relu_backward(d_relu2, a["relu2"])
    g["conv2.weights"][...], g["conv2.bias"][...] = convolution_backward_parameters(
        d_conv2, a["pool1"]
    )
    d_pool1 = convolution_backward_input(d_conv2, p["conv2.weights"])
    d_relu1 = max_pool_backward(d_pool1, a["relu1"], a["pool1"])
    d_conv1 = relu_backward(d_relu1, a["relu1"])
    g["conv1.weights"][...], g["conv1.bias"][...] = convolution_backward_parameters(
        d_conv1, a["images"]
    )
    return gradient
""",
    "sgd_step": """
def sgd_step(theta, gradient, state, learning_rate):
    theta -= learning_rate * gradient
""",
    "momentum_step": """
def momentum_step(theta, gradient, velocity, learning_rate, alpha):
    velocity *= alpha
    velocity += gradient
    theta -= learning_rate * velocity
""",
    "rmsprop_step": """
def rmsprop_step(theta, gradient, mean_square, learning_rate, rho, epsilon=1e-8):
    mean_square *= rho
    mean_square += (1 - rho) * gradient**2
    theta -= learning_rate * gradient / (np.sqrt(mean_square) + epsilon)
""",
    "epoch_batches": """
def epoch_batches(count, batch_size, rng):
    order = rng.permutation(count)
    return [order[first : first + batch_size] for first in range(0, count, batch_size)]
""",
    "train_epoch": """
def train_epoch(theta, examples, batches, error_and_gradient, step):
    total = 0.0
    for batch in batches:
        images, one_hot = examples.images[..., batch], examples.one_hot[:, batch]
        error, gradient = error_and_gradient(theta, images, one_hot)
        step(theta, gradient)
        total += error * len(batch)
    return total / sum(len(batch) for batch in batches)
""",
    "evaluate": """
def evaluate(theta, examples):
    error, correct, count = 0.0, 0, len(examples.labels)
    for first in range(0, count, 50):
        part = slice(first, first + 50)
        logits = forward(theta, examples.images[..., part])["logits"]
        error += cross_entropy(logits, examples.one_hot[:, part])[0] * logits.shape[1]
        correct += int((logits.argmax(axis=0) == examples.labels[part]).sum())
    return error / count, correct / count
""",
}


def check_of(name: str) -> checks.Check:
    return getattr(sgd_variants, name)


def written(name: str, *changes: tuple[str, str], source: str = "") -> object:
    """Return the answer to `name`, after each `old` in it has been replaced by `new`."""
    source = source or ANSWERS[name]
    scope = {"np": np, "math": math, "reduce": reduce, "layers": numpy_layers, "torch": torch}
    exec(compile(planting.edited(source, changes), "answer", "exec"), scope)
    return scope[name]


def fails(name: str, answer: object, hint: str) -> None:
    """Assert that the answer is refused and that the mistake is named."""
    with pytest.raises(CheckError) as caught:
        check_of(name)(answer)
    assert re.search(hint, str(caught.value), re.DOTALL), str(caught.value)


# For each answer: what is changed, words that name the mistake, and how many parts it costs.
WRONG = {
    "draw_balanced": [
        (
            [("rng.permutation(np.concatenate(chosen))", "np.concatenate(chosen)")],
            "rng.permutation of all drawn indices mixes them",
            1,
        ),
        ([("replace=False", "replace=True")], "draws with replacement", 1),
        ([("np.flatnonzero(labels == digit)", "len(labels)")], "does not look at the labels", 2),
        ([("range(10)", "range(9)")], "a digit is left out", 1),
        ([("range(10)", "range(1, 10)")], "a digit is left out", 1),
        ([("rng.choice", "np.random.choice")], "elsewhere .np.random. and not from rng", 1),
        (
            [
                (
                    ("rng.choice(np.flatnonzero(labels == digit), per_class, replace=False)"),
                    "np.flatnonzero(labels == digit)[:per_class]",
                )
            ],
            "first examples of each digit",
            1,
        ),
        (
            [
                (
                    ("rng.choice(np.flatnonzero(labels == digit), per_class, replace=False)"),
                    (
                        "rng.permutation(np.flatnonzero(labels == digit)[: per_class + "
                        "3])[:per_class]"
                    ),
                )
            ],
            "not from all examples",
            1,
        ),
        ([("    chosen", "    rng = np.random.default_rng(0)\n    chosen")], "rng is not used", 1),
        (
            [("rng.permutation(np.concatenate(chosen))", "np.stack(chosen, 1).ravel()")],
            "the digits take turns",
            1,
        ),
        ([("per_class, replace", "per_class // 10 + 1, replace")], "draw_balanced", 2),
        (
            [("np.concatenate(chosen)", "np.concatenate([labels[c] for c in chosen])")],
            "the draw does not look at the labels",
            4,
        ),
        (
            [
                (
                    "rng.permutation(np.concatenate(chosen))",
                    "np.isin(np.arange(len(labels)), chosen)",
                )
            ],
            "np.flatnonzero gives the places",
            4,
        ),
        ([("    chosen", "    labels.sort()\n    chosen")], "changes its argument labels", 1),
    ],
    "initialize": [
        ([("2 / inputs", "2 / array.shape[1]")], "counts the channels alone", 1),
        (
            [("math.prod(array.shape[1:])", "math.prod(array.shape[2:]) or 1")],
            "the fan-in counts one kernel alone",
            2,
        ),
        (
            [
                (
                    "math.prod(array.shape[1:])",
                    "math.prod(array.shape[2:]) if array.ndim > 2 else array.shape[1]",
                )
            ],
            "one kernel alone",
            1,
        ),
        (
            [("math.prod(array.shape[1:])", "array.shape[0] * math.prod(array.shape[2:])")],
            "this is the fan-out",
            2,
        ),
        (
            [("math.prod(array.shape[1:])", "array.shape[0]")],
            "number of filters or outputs|fan-out",
            2,
        ),
        ([("math.prod(array.shape[1:])", "array.shape[-1]")], "one side of the kernel", 1),
        ([("math.prod(array.shape[1:])", "array.size")], "number of all weights", 2),
        ([("math.sqrt(2 / inputs)", "2 / inputs")], "is the variance", 2),
        ([("math.sqrt(2 / inputs)", "math.sqrt(1 / inputs)")], "the 2 for ReLU is missing", 2),
        ([("math.sqrt(2 / inputs)", "2 / math.sqrt(inputs)")], "the 2 stands outside the root", 2),
        (
            [("math.sqrt(2 / inputs)", "math.sqrt(2) / inputs")],
            "the root is taken of the 2 alone",
            2,
        ),
        ([("math.sqrt(2 / inputs)", "math.sqrt(inputs / 2)")], "upside down", 2),
        ([("math.sqrt(2 / inputs)", "0.01")], "all layers have the deviation 0.01", 2),
        ([("math.sqrt(2 / inputs)", "1")], "all layers have the deviation 1", 2),
        (
            [
                (
                    "math.sqrt(2 / inputs)",
                    ("math.sqrt(2 / (inputs + array.shape[0] * math.prod(array.shape[2:])))"),
                )
            ],
            "averaged .Glorot",
            2,
        ),
        (
            [("math.sqrt(2 / inputs)", "math.sqrt(2 / (25 if array.ndim > 2 else inputs))")],
            "the fan-in counts one kernel alone",
            1,
        ),
        (
            [
                (
                    "rng.normal(0, math.sqrt(2 / inputs), array.shape)",
                    "rng.uniform(-1, 1, array.shape) * math.sqrt(6 / inputs)",
                )
            ],
            "distribution is uniform",
            1,
        ),
        (
            [
                (
                    "rng.normal(0, math.sqrt(2 / inputs), array.shape)",
                    "rng.uniform(-1, 1, array.shape) * math.sqrt(2 / inputs)",
                )
            ],
            "uniform distribution's limit",
            3,
        ),
        (
            [
                (
                    "rng.normal(0, math.sqrt(2 / inputs), array.shape)",
                    "abs(rng.normal(0, math.sqrt(2 / inputs), array.shape))",
                )
            ],
            "all positive",
            1,
        ),
        (
            [("rng.normal(0,", "rng.normal(0.1,")],
            r"the deviation is 1\.22 times what it should be",
            3,
        ),
        (
            [
                ('if name.endswith("weights")', "if True"),
                ("array.shape[1:]", "array.shape[1:] or array.shape"),
            ],
            "drawn like the weights",
            1,
        ),
        (
            [("    return theta", "        if array.ndim == 1: array += 0.1\n    return theta")],
            "biases start at a constant",
            1,
        ),
        ([("rng.normal(", "np.random.normal(")], "elsewhere .np.random. and not from rng", 1),
        ([("rng.normal(", "np.random.default_rng(0).normal(")], "rng is not used|fixed seed", 4),
        (
            [("inputs), array.shape)", "inputs), array.shape[1:])")],
            "all kernels, or all rows, are equal",
            1,
        ),
        (
            [
                (
                    "array[...] = rng",
                    ("array[...] = np.random.default_rng(rng.bit_generator.seed_seq.entropy)"),
                )
            ],
            "a generator is made anew for each layer",
            1,
        ),
        ([("array[...] = ", "array = ")], r"array\[...\] = … fills a view", 6),
        ([("PARAMETER_COUNT, dtype", "PARAMETER_COUNT")], "made with the argument dtype", 1),
        (
            [("PARAMETER_COUNT, dtype", "PARAMETER_COUNT, np.float32")],
            "made with the argument dtype",
            1,
        ),
        ([("return theta", "return views(theta)")], "an array of shape", 6),
    ],
    "log_softmax": [
        ([("logits - logits.max(axis=0)", "logits")], "exp overflows", 1),
        ([("logits.max(axis=0)", "logits.max()")], "all columns share one maximum", 1),
        (
            [
                (
                    "return shifted - np.log(np.exp(shifted).sum(axis=0))",
                    "return np.log(np.exp(shifted) / np.exp(shifted).sum(axis=0))",
                )
            ],
            "too small for a float",
            1,
        ),
        (
            [
                (
                    "return shifted - np.log(np.exp(shifted).sum(axis=0))",
                    ("return np.log(np.exp(shifted) / np.exp(shifted).sum(axis=0) + 1e-12)"),
                )
            ],
            "too small for a float",
            1,
        ),
        (
            [
                ("logits - logits.max(axis=0)", "logits"),
                (
                    "return shifted - np.log(np.exp(shifted).sum(axis=0))",
                    "return np.log(np.exp(shifted) / np.exp(shifted).sum(axis=0))",
                ),
            ],
            "exp overflows",
            1,
        ),
        ([("sum(axis=0)", "sum()")], "all numbers of the batch", 3),
        (
            [
                ("max(axis=0)", "max(axis=1, keepdims=True)"),
                ("sum(axis=0)", "sum(axis=1, keepdims=True)"),
            ],
            "over the batch .axis 1",
            3,
        ),
        ([("np.log(", "np.log2(")], "the logarithm is log2, and should be the natural one", 3),
        (
            [("np.log(np.exp(shifted).sum(axis=0))", "np.exp(shifted).sum(axis=0)")],
            "the sum is subtracted, and its logarithm should be",
            3,
        ),
        (
            [
                (
                    "return shifted - np.log(np.exp(shifted).sum(axis=0))",
                    "return np.exp(shifted) / np.exp(shifted).sum(axis=0)",
                )
            ],
            "probabilities are returned",
            3,
        ),
        ([("return shifted - ", "return logits - ")], "from one of the two logits", 3),
        ([("return shifted - ", "return -shifted + ")], "the sign is wrong", 3),
        (
            [
                (
                    "shifted = logits - logits.max(axis=0)",
                    "logits -= logits.max(axis=0); shifted = logits",
                )
            ],
            "changes its argument logits",
            1,
        ),
        (
            [("logits - logits.max(axis=0)", "(logits - logits.max(axis=0)).astype(np.float32)")],
            "is float32 although the arguments are float64",
            2,
        ),
        (
            [("sum(axis=0))", "sum(axis=0))[:, np.newaxis]")],
            "two arrays that belong together differ in shape",
            3,
        ),
        (
            [("logits - logits.max(axis=0)", "np.clip(logits, -700, 700)")],
            "not what the reference gives",
            1,
        ),
    ],
    "cross_entropy": [
        (
            [
                (
                    "error = -float((one_hot * log_p).sum()) / batch",
                    "error = -float((one_hot * log_p).sum())",
                )
            ],
            "summed over the batch",
            1,
        ),
        ([(" / batch\n    return", " / logits.size\n    return")], "ten numbers of a column", 3),
        ([("error = -float", "error = float")], "the negative", 3),
        (
            [("(np.exp(log_p) - one_hot) / batch", "(np.exp(log_p) - one_hot)")],
            "not divided by the batch size",
            1,
        ),
        (
            [("(np.exp(log_p) - one_hot) / batch", "(one_hot - np.exp(log_p)) / batch")],
            "the sign of d_logits",
            3,
        ),
        (
            [("(np.exp(log_p) - one_hot) / batch", "(np.exp(log_p) - one_hot) / logits.size")],
            "divided by all numbers",
            3,
        ),
        (
            [("(np.exp(log_p) - one_hot) / batch", "(log_p - one_hot) / batch")],
            "np.exp is missing",
            3,
        ),
        ([("(np.exp(log_p) - one_hot) / batch", "np.exp(log_p) / batch")], "lacks - y", 3),
        (
            [("(np.exp(log_p) - one_hot) / batch", "-one_hot / np.exp(log_p) / batch")],
            "derivative by p",
            3,
        ),
        (
            [("(np.exp(log_p) - one_hot) / batch", "one_hot * (np.exp(log_p) - one_hot) / batch")],
            "true class only",
            3,
        ),
        ([("one_hot * log_p", "one_hot * np.exp(log_p)")], "the logarithm is missing", 3),
        ([("one_hot * log_p", "one_hot * logits")], "log_softmax is missing", 3),
        (
            [
                (
                    "(one_hot * log_p).sum()",
                    "(one_hot * log_p + (1 - one_hot) * np.log1p(-np.exp(log_p))).sum()",
                )
            ],
            "those of two classes",
            3,
        ),
        (
            [
                (
                    "log_p = log_softmax(logits)",
                    "log_p = logits - np.log(np.exp(logits).sum(axis=0))",
                )
            ],
            "exp overflows or underflows",
            1,
        ),
        (
            [("log_p = log_softmax(logits)", "p = np.exp(log_softmax(logits)); log_p = np.log(p)")],
            "exp overflows or underflows",
            1,
        ),
        (
            [
                (
                    "log_p = log_softmax(logits)",
                    "log_p = np.log(np.exp(log_softmax(logits)) + 1e-10)",
                )
            ],
            "the logarithm is taken of probabilities too small for a float",
            1,
        ),
        ([("return error, ", "return ")], "should return .the mean error, d_logits", 4),
        (
            [
                (
                    "return error, (np.exp(log_p) - one_hot) / batch",
                    "return (np.exp(log_p) - one_hot) / batch, error",
                )
            ],
            "not what the reference gives",
            4,
        ),
        (
            [("-float((one_hot * log_p).sum()) / batch", "-(one_hot * log_p).sum(0)")],
            "the error of each image",
            3,
        ),
        (
            [("    batch", "    logits -= logits.max(axis=0)\n    batch")],
            "changes its argument logits",
            1,
        ),
        ([("logits.shape[1]", "logits.shape[0]")], "not what the reference gives", 4),
    ],
    "relu_forward": [
        ([("np.maximum(x, 0)", "x")], "negative numbers are kept", 2),
        ([("np.maximum(x, 0)", "np.minimum(x, 0)")], "positive numbers are set to 0", 2),
        ([("np.maximum(x, 0)", "abs(x)")], "absolute value", 2),
        ([("np.maximum(x, 0)", "(x > 0) * 1.0")], "1 is returned where x is positive", 2),
        ([("np.maximum(x, 0)", "np.where(x > 0, x, 0.01 * x)")], "leaky", 2),
        ([("np.maximum(x, 0)", "np.maximum(x, 0, out=x)")], "changes its argument x", 1),
        ([("np.maximum(x, 0)", "max(x.max(), 0)")], "one maximum of the whole", 2),
        ([("np.maximum(x, 0)", "max(x, 0)")], "raised ValueError", 2),
    ],
    "relu_backward": [
        ([("outputs > 0", "outputs >= 0")], "lets all through", 3),
        ([("outputs > 0", "d_outputs > 0")], "of the gradient's sign", 3),
        ([("(outputs > 0)", "outputs")], "multiplied by the outputs", 3),
        ([("d_outputs * (outputs > 0)", "(outputs > 0) * 1.0")], "without the gradient", 3),
        ([("outputs > 0", "outputs <= 0")], "turned round", 3),
        (
            [("d_outputs * (outputs > 0)", "outputs * (d_outputs > 0)")],
            "two arguments are confused",
            3,
        ),
        ([("outputs > 0", "outputs > 1e-6")], "nothing but zeros", 1),
        (
            [
                (
                    "return d_outputs * (outputs > 0)",
                    "d_outputs[outputs <= 0] = 0\n    return d_outputs",
                )
            ],
            "changes its argument d_outputs",
            1,
        ),
        (
            [("d_outputs * (outputs > 0)", "np.maximum(d_outputs, 0) * (outputs > 0)")],
            "beside that of the outputs",
            3,
        ),
    ],
    "max_pool_forward": [
        (
            [("reduce(np.maximum, [", "sum(["), ("for j in (0, 1)])", "for j in (0, 1)]) / 4")],
            "the mean of each",
            3,
        ),
        ([("np.maximum", "np.add")], "the sum of each", 3),
        ([("np.maximum", "np.minimum")], "the minimum of each", 3),
        ([("(0, 1)])", "(0, 1)], 0)")], "negative maxima become 0", 1),
        ([("x[:, i::2, j::2]", "abs(x[:, i::2, j::2])")], "largest absolute value", 1),
        ([("for j in (0, 1)])", "for j in (0,)])")], "left column", 3),
        ([("for i in (0, 1) ", "for i in (0,) ")], "upper row", 3),
        ([("return ", "return x[:, ::2, ::2]  # ")], "the top left", 3),
        (
            [("x[:, i::2, j::2]", "x[:, i : i - 1 or None, j : j - 1 or None]")],
            "the stride is 1",
            3,
        ),
        (
            [
                (
                    "return ",
                    (
                        "c, h, w, b = x.shape; return x.reshape(c, 2, h // 2, 2, w // 2, "
                        "b).max((1, 3))  # "
                    ),
                )
            ],
            r"reshaped to \(2, height / 2\)",
            3,
        ),
        (
            [
                (
                    "return ",
                    ("c, h, w, b = x.shape; return x.reshape(c, h // 2, w // 2, 4, b).max(3)  # "),
                )
            ],
            "four neighbours of a row",
            3,
        ),
        (
            [
                (
                    "for j in (0, 1)])",
                    "for j in (0, 1)]).max(-1, keepdims=True) + 0 * x[:, ::2, ::2]",
                )
            ],
            "over the batch too",
            3,
        ),
        ([("return ", "x[:, ::2, ::2] = ")], "returned None", 3),
        ([("return ", "x *= 1; x[0, 0, 0, 0] = 0; return ")], "not what the reference gives", 2),
    ],
    "max_pool_backward": [
        (
            [("first = free & ", "first = ")],
            "each of several equal maxima gets the whole gradient",
            1,
        ),
        ([("d_outputs * first", "d_outputs")], "all four numbers", 3),
        ([("d_outputs * first", "d_outputs / 4")], "as in average pooling", 3),
        (
            [
                (
                    "== outputs",
                    ("== reduce(np.minimum, [x[:, a::2, b::2] for a in (0, 1) for b in (0, 1)])"),
                )
            ],
            "the minimum gets",
            3,
        ),
        ([("d_outputs * first", "d_outputs * ~first")], "turned round", 3),
        ([("d_outputs * first", "d_outputs * first * outputs")], "multiplied by the maximum", 3),
        ([("d_outputs * first", "d_outputs * x[:, i::2, j::2]")], "multiplied by x", 3),
        ([("d_outputs * first", "outputs * first")], "the maximum itself is returned", 3),
        ([("d_outputs * first", "first")], "without the gradient", 3),
        ([("d_x[:, i::2, j::2]", "d_x[:, j::2, i::2]")], "row and column", 3),
        (
            [("for j in (0, 1):", "for j in (0,):")],
            "only the left column of each window is looked at",
            3,
        ),
        ([("return d_x", "return d_outputs")], "its own shape", 3),
        (
            [("d_outputs * first", "np.where(first, d_outputs, 0) if i or j else d_outputs")],
            "not what the reference gives",
            3,
        ),
        (
            [("    return d_x", "    d_outputs *= 2\n    return d_x")],
            "changes its argument d_outputs",
            1,
        ),
    ],
    "convolution_forward": [
        (
            [("weights.reshape", "weights[..., ::-1, ::-1].reshape")],
            "flipped in both directions",
            1,
        ),
        ([("weights.reshape", "weights[..., ::-1, :].reshape")], "flipped upside down", 1),
        ([("weights.reshape", "weights[..., ::-1].reshape")], "flipped left to right", 1),
        ([("weights.reshape", "weights.swapaxes(2, 3).reshape")], "transposed", 1),
        ([(" + bias[:, np.newaxis]", "")], "the bias is missing", 1),
        ([("+ bias[:, np.newaxis]", "- bias[:, np.newaxis]")], "the bias is subtracted", 1),
        ([("+ bias[:, np.newaxis]", "+ len(x) * bias[:, np.newaxis]")], "once for each channel", 1),
        ([("+ bias[:, np.newaxis]", "+ bias[0]")], "the bias of the first one", 1),
        (
            [
                ("unfold(x)", "np.pad(layers.im2col(x, 5), 0)"),
                ("height, width, batch)", "height - 4, width - 4, batch)"),
            ],
            "the padding is missing",
            1,
        ),
        (
            [("unfold(x)", "layers.im2col(np.pad(x, ((0, 0), (4, 0), (4, 0), (0, 0))), 5)")],
            "all of the padding is before",
            1,
        ),
        (
            [("unfold(x)", "layers.im2col(np.pad(x, ((0, 0), (0, 4), (0, 4), (0, 0))), 5)")],
            "all of the padding is behind",
            1,
        ),
        (
            [
                (
                    "unfold(x)",
                    ("layers.im2col(np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), 'edge'), 5)"),
                )
            ],
            "mode 'edge'",
            1,
        ),
        (
            [
                (
                    "unfold(x)",
                    ("layers.im2col(np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), 'wrap'), 5)"),
                )
            ],
            "mode 'wrap'",
            1,
        ),
        (
            [
                (
                    "weights.reshape(filters, -1) @ unfold(x)",
                    "weights[:, 0].reshape(filters, -1) @ unfold(x[:1])",
                )
            ],
            "only the first channel",
            1,
        ),
        (
            [
                (
                    "weights.reshape(filters, -1) @ unfold(x)",
                    "weights[:, -1].reshape(filters, -1) @ unfold(x[-1:])",
                )
            ],
            "only the last channel",
            1,
        ),
        ([("@ unfold(x)", "@ unfold(x) / len(x)")], "channels are averaged", 1),
        (
            [
                (
                    "weights.reshape",
                    "(weights.swapaxes(0, 1) if len(x) == filters else weights).reshape",
                )
            ],
            "filters and channels are swapped",
            1,
        ),
        ([("unfold(x)", "unfold(x[::-1])")], "reverse order", 1),
        (
            [
                (
                    "return outputs.reshape(filters, height, width, batch)",
                    ("return outputs.reshape(filters, batch, height, width).transpose(0, 2, 3, 1)"),
                )
            ],
            "columns of the product are",
            4,
        ),
        ([("return outputs", "return outputs.clip(0)")], "ReLU is applied", 5),
        (
            [("height, width, batch)\n", "height, width, batch).transpose(3, 0, 1, 2)\n")],
            "batch-first",
            5,
        ),
        ([("    filters", "    x *= 2; x /= 4\n    filters")], "not what the reference gives", 5),
        ([("    return", "    x += 1\n    return")], "changes its argument x", 1),
        (
            [
                (
                    "weights.reshape(filters, -1)",
                    ("(weights * (np.arange(25) == 24).reshape(5, 5)).reshape(filters, -1)"),
                )
            ],
            "stands in the loop where",
            5,
        ),
    ],
    "convolution_backward_parameters": [
        (
            [("d_weights = (rows @ unfold(x).T)", "d_weights = (rows @ unfold(x).T / x.shape[3])")],
            "averaged over the batch",
            1,
        ),
        (
            [
                (
                    "d_weights = (rows @ unfold(x).T)",
                    "d_weights = (rows @ unfold(x).T / d_outputs[0].size)",
                )
            ],
            "d_weights is averaged over the pixels",
            1,
        ),
        ([("len(x), 5, 5)", "len(x), 5, 5)[..., ::-1, ::-1]")], "d_weights is flipped in both", 1),
        ([("len(x), 5, 5)", "len(x), 5, 5)[..., ::-1]")], "flipped left to right", 1),
        ([("len(x), 5, 5)", "len(x), 5, 5).swapaxes(2, 3)")], "transposed", 1),
        (
            [("(rows @ unfold(x).T).reshape", "(unfold(x) @ rows.T).reshape")],
            "has to be transposed before",
            1,
        ),
        (
            [("(rows @ unfold(x).T).reshape(len(d_outputs), len(x), 5, 5)", "rows @ unfold(x).T")],
            "still the matrix .filters",
            4,
        ),
        ([("rows = d_outputs", "rows = d_outputs.transpose(0, 3, 1, 2)")], "different orders", 1),
        (
            [
                (
                    "unfold(x)",
                    ("layers.im2col(np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), 'edge'), 5)"),
                )
            ],
            "mode 'edge'",
            1,
        ),
        (
            [("unfold(x)", "layers.im2col(np.pad(x, ((0, 0), (4, 0), (4, 0), (0, 0))), 5)")],
            "padding is before",
            1,
        ),
        (
            [
                ("rows = ", "rows = d_outputs[:, 2:-2, 2:-2].reshape(len(d_outputs), -1)  # "),
                ("unfold(x)", "layers.im2col(x, 5)"),
                ("rows.sum(axis=1)", "d_outputs.sum((1, 2, 3))"),
            ],
            "windows across the border",
            1,
        ),
        ([("rows.sum(axis=1)", "d_outputs.sum((1, 2))")], "summed over the batch too", 2),
        ([("rows.sum(axis=1)", "d_outputs.sum(3)")], "over height and width too", 2),
        ([("rows.sum(axis=1)", "d_outputs.mean((1, 2, 3))")], "averaged over pixels and batch", 2),
        (
            [("rows.sum(axis=1)", "rows.sum(axis=1) / x.shape[3]")],
            "d_bias is averaged over the batch",
            1,
        ),
        ([("rows.sum(axis=1)", "rows.sum()")], "over the filters too", 2),
        ([("rows.sum(axis=1)", "rows.sum(axis=1, keepdims=True)")], "axes of length 1 too many", 2),
        ([("rows.sum(axis=1)", "d_outputs.sum((0, 1, 2))")], "one number a filter", 2),
        (
            [("return d_weights, rows.sum(axis=1)", "return rows.sum(axis=1), d_weights")],
            "the order is",
            5,
        ),
        ([("    return d_weights, ", "    return ")], "should return .d_weights, d_bias", 5),
        (
            [("rows = d_outputs", "d_outputs *= 2; rows = d_outputs")],
            "every value is 2 times what it should be",
            5,
        ),
        ([("    return", "    d_outputs *= 0\n    return")], "nothing but zeros came", 2),
    ],
    "convolution_backward_input": [
        ([("weights[:, :, ::-1, ::-1]", "weights")], "the kernels are not flipped", 1),
        ([("weights[:, :, ::-1, ::-1]", "weights[:, :, ::-1]")], "flipped left to right after", 1),
        ([("weights[:, :, ::-1, ::-1]", "weights[:, :, :, ::-1]")], "flipped upside down after", 1),
        (
            [("weights[:, :, ::-1, ::-1]", "weights[:, :, ::-1, ::-1].swapaxes(2, 3)")],
            "transposed",
            1,
        ),
        (
            [(".transpose(1, 0, 2, 3)", "[:]"), ("weights.shape[1]", "weights.shape[0]")],
            "the kernels do not fit the images",
            4,
        ),
        (
            [
                (
                    "transpose(1, 0, 2, 3)",
                    ("transpose(*((0, 1) if len(weights) == weights.shape[1] else (1, 0)), 2, 3)"),
                )
            ],
            "filters and channels are not swapped",
            1,
        ),
        ([("backwards, np", "backwards / len(d_outputs), np")], "averaged, and should be added", 1),
        (
            [
                (
                    "convolution_forward(d_outputs, backwards",
                    "convolution_forward(d_outputs[:1], backwards[:, :1]",
                )
            ],
            "only the first filter",
            1,
        ),
        (
            [
                (
                    "convolution_forward(d_outputs,",
                    ("convolution_forward(np.pad(d_outputs, ((0, 0), (2, 2), (2, 2), (0, 0))),"),
                )
            ],
            "has to be cut off",
            1,
        ),
        (
            [
                (
                    "convolution_forward(d_outputs,",
                    (
                        "layers.convolution_forward(np.pad(d_outputs, ((0, 0), (2, 2), "
                        "(2, 2), (0, 0)), 'edge'),"
                    ),
                ),
                ("weights.dtype))", "weights.dtype))[0]"),
            ],
            "mode 'edge'",
            1,
        ),
        (
            [
                (
                    "convolution_forward(d_outputs,",
                    (
                        "layers.convolution_forward(np.pad(d_outputs, ((0, 0), (4, 0), "
                        "(4, 0), (0, 0))),"
                    ),
                ),
                ("weights.dtype))", "weights.dtype))[0]"),
            ],
            "the padding is cut off on the wrong side",
            1,
        ),
        (
            [
                (
                    "    return ",
                    (
                        "    d_outputs = d_outputs.copy(); d_outputs[:, [0, 1, -2, -1]] "
                        "= 0; d_outputs[:, :, [0, 1, -2, -1]] = 0\n    return "
                    ),
                )
            ],
            "the two outermost rows and columns of the image are left out",
            1,
        ),
        (
            [("weights.dtype))", "weights.dtype)) / d_outputs.shape[3]")],
            "averaged over the batch",
            3,
        ),
        (
            [("np.zeros(weights.shape[1], weights.dtype)", "np.ones(weights.shape[1])")],
            "off by .1, as when a bias",
            4,
        ),
        (
            [("    backwards", "    weights *= 2\n    backwards")],
            "every value is 2 times what it should be",
            4,
        ),
        ([("    return", "    d_outputs[0] = 0\n    return")], "nothing but zeros came", 4),
    ],
    "dense_forward": [
        ([(" + bias[:, np.newaxis]", "")], "the bias is missing", 1),
        ([("+ bias[:, np.newaxis]", "- bias[:, np.newaxis]")], "subtracted", 1),
        ([("bias[:, np.newaxis]", "bias")], "two arrays that belong together differ in shape", 3),
        ([("weights @ x", "weights.T @ x")], "has to be transposed", 3),
        ([("weights @ x", "x @ weights")], "their order is wrong", 3),
        (
            [("weights @ x", "(weights if len(weights) != len(x) else weights.T) @ x")],
            "the weights are transposed",
            2,
        ),
        (
            [
                (
                    "weights @ x + bias[:, np.newaxis]",
                    "np.maximum(weights @ x + bias[:, np.newaxis], 0)",
                )
            ],
            "ReLU",
            3,
        ),
        (
            [("weights @ x + bias[:, np.newaxis]", "(weights @ x + bias[:, np.newaxis]).T")],
            "come as rows",
            3,
        ),
        (
            [("weights @ x", "np.matmul(weights, x, dtype=np.float32)")],
            "an array inside is float32 although the arguments are float64",
            2,
        ),
        (
            [
                (
                    "    return",
                    (
                        "    x *= 2; x /= 2; x += 1; return weights @ (x - 1) + bias[:, "
                        "np.newaxis]\n    return"
                    ),
                )
            ],
            "changes its argument x",
            1,
        ),
    ],
    "dense_backward": [
        (
            [("d_outputs @ x.T", "d_outputs @ x.T / x.shape[1]")],
            "d_weights is averaged over the batch",
            1,
        ),
        (
            [("d_outputs.sum(axis=1)", "d_outputs.mean(axis=1)")],
            "d_bias is averaged over the batch",
            1,
        ),
        ([("d_outputs.sum(axis=1)", "d_outputs")], "d_bias has to be summed over the batch", 2),
        (
            [("d_outputs.sum(axis=1)", "d_outputs.sum(axis=1, keepdims=True)")],
            "axis of length 1 too many",
            2,
        ),
        ([("d_outputs.sum(axis=1)", "d_outputs.sum(axis=0)")], "summed over the outputs", 2),
        ([("d_outputs.sum(axis=1)", "d_outputs.sum()")], "summed over everything", 2),
        ([("d_outputs @ x.T", "x @ d_outputs.T")], "d_weights is transposed", 2),
        (
            [("weights.T @ d_outputs, ", "weights.T @ d_outputs / x.shape[1], ")],
            "d_x is averaged",
            1,
        ),
        (
            [
                (
                    "weights.T @ d_outputs, ",
                    "(weights if len(x) == len(weights) else weights.T) @ d_outputs, ",
                )
            ],
            "the weights have to be transposed in d_x",
            1,
        ),
        (
            [
                (
                    "d_outputs @ x.T",
                    "d_outputs @ (x if len(x) == x.shape[1] == len(weights) else x.T)",
                )
            ],
            "x has to be transposed in d_weights",
            1,
        ),
        (
            [("weights.T @ d_outputs, d_outputs @ x.T", "d_outputs @ x.T, weights.T @ d_outputs")],
            "d_weights stands where d_x belongs",
            3,
        ),
        ([("d_outputs @ x.T", "d_outputs[:, -1:] @ x[:, -1:].T")], "that of the last image", 1),
        ([(", d_outputs.sum(axis=1)", "")], "should return .d_x, d_weights, d_bias", 4),
        ([("weights.T @ d_outputs", "weights @ d_outputs")], "has to be transposed", 4),
        (
            [("    return", "    d_outputs /= 2; d_outputs *= 3\n    return")],
            r"every value is 1\.5 times what it should be",
            4,
        ),
    ],
    "forward": [
        (
            [
                (
                    (
                        'relu_forward(convolution_forward(images, p["conv1.weights"], '
                        'p["conv1.bias"]))'
                    ),
                    'convolution_forward(images, p["conv1.weights"], p["conv1.bias"])',
                )
            ],
            "relu1.*the ReLU is missing",
            1,
        ),
        (
            [
                (
                    (
                        'relu_forward(convolution_forward(a["pool1"], '
                        'p["conv2.weights"], p["conv2.bias"]))'
                    ),
                    ('convolution_forward(a["pool1"], p["conv2.weights"], p["conv2.bias"])'),
                )
            ],
            "relu2.*the ReLU is missing",
            1,
        ),
        (
            [
                (
                    (
                        'relu_forward(dense_forward(a["flat"], p["hidden.weights"], '
                        'p["hidden.bias"]))'
                    ),
                    'dense_forward(a["flat"], p["hidden.weights"], p["hidden.bias"])',
                )
            ],
            "hidden.*the ReLU is missing",
            1,
        ),
        (
            [
                (
                    (
                        'a["logits"] = dense_forward(a["hidden"], p["output.weights"], '
                        'p["output.bias"])'
                    ),
                    (
                        'a["logits"] = relu_forward(dense_forward(a["hidden"], '
                        'p["output.weights"], p["output.bias"]))'
                    ),
                )
            ],
            "no class can be marked down",
            1,
        ),
        (
            [
                (
                    (
                        'a["logits"] = dense_forward(a["hidden"], p["output.weights"], '
                        'p["output.bias"])'
                    ),
                    (
                        'a["logits"] = log_softmax(dense_forward(a["hidden"], '
                        'p["output.weights"], p["output.bias"]))'
                    ),
                )
            ],
            "these are ln p",
            1,
        ),
        (
            [
                (
                    (
                        'a["logits"] = dense_forward(a["hidden"], p["output.weights"], '
                        'p["output.bias"])'
                    ),
                    (
                        'a["logits"] = np.exp(log_softmax(dense_forward(a["hidden"], '
                        'p["output.weights"], p["output.bias"])))'
                    ),
                )
            ],
            "these are probabilities",
            1,
        ),
        ([('p["conv2.bias"]', 'p["conv1.bias"]')], "relu2.*the bias is that of the first", 1),
        ([('a["pool2"].reshape(196, -1)', 'a["pool2"].reshape(-1, 196).T')], "images are mixed", 1),
        (
            [('a["pool2"].reshape(196, -1)', 'a["pool2"].transpose(1, 2, 0, 3).reshape(196, -1)')],
            "height, width, channels",
            1,
        ),
        ([('"images": images', "")], "'images' is missing", 1),
        (
            [
                (
                    '    a["pool2"] = max_pool_forward(a["relu2"])',
                    '    a["pool2"] = max_pool_forward(a["relu2"]) * 0.5',
                )
            ],
            "0.5 times",
            1,
        ),
        ([('max_pool_forward(a["relu1"])', 'a["relu1"][:, ::2, ::2]')], "pool1", 1),
        ([("return a", 'return a["logits"]')], "should return a dictionary", 5),
        (
            [
                ('a["hidden"] = ', 'a["dense1"] = a["hidden"] = '),
                ("return a", 'del a["hidden"]; return a'),
            ],
            "'hidden' is missing",
            2,
        ),
        ([("return a", "theta += 1; return a")], "changes its argument theta", 1),
        (
            [("return a", "return {name: 0 * value for name, value in a.items()}")],
            "nothing but zeros came",
            5,
        ),
    ],
    "backward": [
        (
            [('relu_backward(d_hidden, a["hidden"])', "d_hidden")],
            "mask of the hidden layer is forgotten",
            1,
        ),
        (
            [('relu_backward(d_relu2, a["relu2"])', "d_relu2")],
            "mask of the second convolution is forgotten",
            1,
        ),
        (
            [('relu_backward(d_relu1, a["relu1"])', "d_relu1")],
            "mask of the first convolution is forgotten",
            1,
        ),
        (
            [
                ('relu_backward(d_hidden, a["hidden"])', "d_hidden"),
                ('relu_backward(d_relu2, a["relu2"])', "d_relu2"),
                ('relu_backward(d_relu1, a["relu1"])', "d_relu1"),
            ],
            "mask of the hidden layer",
            3,
        ),
        (
            [
                (
                    'd_logits, a["hidden"], p["output.weights"]',
                    'd_logits / d_logits.shape[1], a["hidden"], p["output.weights"]',
                )
            ],
            "divided by the batch size again",
            1,
        ),
        (
            [
                (
                    'd_logits, a["hidden"], p["output.weights"]',
                    '-d_logits, a["hidden"], p["output.weights"]',
                )
            ],
            "sign of d_logits",
            1,
        ),
        (
            [
                (
                    'd_logits, a["hidden"], p["output.weights"]',
                    ('relu_backward(d_logits, a["logits"]), a["hidden"], p["output.weights"]'),
                )
            ],
            "logits, which have no ReLU",
            1,
        ),
        (
            [
                (
                    'd_flat.reshape(a["pool2"].shape)',
                    "d_flat.reshape(-1, 4, 7, 7).transpose(1, 2, 3, 0)",
                )
            ],
            "images are mixed",
            1,
        ),
        (
            [
                (
                    'd_flat.reshape(a["pool2"].shape)',
                    "d_flat.reshape(7, 7, 4, -1).transpose(2, 0, 1, 3)",
                )
            ],
            "height, width, channels",
            1,
        ),
        (
            [
                (
                    'max_pool_backward(d_pool2, a["relu2"], a["pool2"])',
                    "d_pool2.repeat(2, 1).repeat(2, 2)",
                )
            ],
            "second pooling gives its gradient to all four",
            1,
        ),
        (
            [
                (
                    'max_pool_backward(d_pool1, a["relu1"], a["pool1"])',
                    "d_pool1.repeat(2, 1).repeat(2, 2) / 4",
                )
            ],
            "first pooling goes back as average",
            1,
        ),
        (
            [('convolution_backward_input(d_conv2, p["conv2.weights"])', "d_conv2")],
            "is left out",
            1,
        ),
        (
            [
                (
                    'convolution_backward_input(d_conv2, p["conv2.weights"])',
                    'convolution_backward_input(d_relu2, p["conv2.weights"])',
                )
            ],
            "without its ReLU mask",
            1,
        ),
        (
            [
                (
                    'd_sums, a["flat"], p["hidden.weights"]\n    )',
                    (
                        'd_sums, a["flat"], p["hidden.weights"]\n    )\n    d_flat = '
                        'p["hidden.weights"].T @ d_hidden'
                    ),
                )
            ],
            "passed on below the hidden layer without",
            1,
        ),
        ([('relu_backward(d_relu1, a["relu1"])', "np.maximum(d_relu1, 0)")], "gradient's sign", 1),
        (
            [('g["conv1.weights"][...], g["conv1.bias"][...] = ', "_ = ")],
            "not what the reference gives",
            2,
        ),
        (
            [
                ('g["conv2.weights"][...], g["conv2.bias"][...] = ', "_ = "),
                ("np.empty", "np.zeros"),
            ],
            "is not written into",
            1,
        ),
        (
            [("np.empty_like(theta)", "np.zeros_like(theta)"), ('g["hidden.bias"][...] =', "_ =")],
            "biases' gradient is not written",
            1,
        ),
        (
            [
                ('relu_backward(d_hidden, a["hidden"])', "d_hidden"),
                ('relu_backward(d_relu1, a["relu1"])', "d_relu1"),
            ],
            "hidden layer",
            2,
        ),
        ([('a["images"]', 'a["columns"]')], "the check gives these and no others", 5),
        ([("return gradient", "return g")], "should return a vector of shape", 5),
        ([("return gradient", "return gradient[:-1]")], "should return a vector of shape", 5),
        (
            [("return gradient", "d_logits *= 2; return gradient")],
            "changes its argument d_logits",
            1,
        ),
        (
            [("return gradient", 'a["hidden"] *= 2; return gradient')],
            "activations changes its argument hidden",
            1,
        ),
        ([("return gradient", "return -gradient")], "the sign of d_logits is changed", 1),
        (
            [
                ('relu_backward(d_hidden, a["hidden"])', "d_hidden"),
                ('convolution_backward_input(d_conv2, p["conv2.weights"])', "d_conv2"),
            ],
            "mask of the hidden layer is forgotten",
            2,
        ),
    ],
    "sgd_step": [
        ([("theta -=", "theta +=")], "the sign is wrong", 1),
        ([("learning_rate * gradient", "gradient")], "the learning rate is missing", 1),
        (
            [("theta -= learning_rate * gradient", "theta = theta - learning_rate * gradient")],
            "theta has not changed",
            3,
        ),
        (
            [("theta -= learning_rate * gradient", "return theta - learning_rate * gradient")],
            "leaves the one that it was given",
            1,
        ),
        ([("learning_rate * gradient", "learning_rate * gradient**2")], "enters squared", 1),
        ([("learning_rate * gradient", "learning_rate * np.sign(gradient)")], "sign counts", 1),
        (
            [("learning_rate * gradient", "gradient / learning_rate")],
            "divided by the learning rate",
            1,
        ),
        (
            [("learning_rate * gradient", "learning_rate * gradient; state += gradient")],
            "the gradients add up",
            1,
        ),
        (
            [("learning_rate * gradient", "learning_rate * gradient; state[...] = gradient")],
            "it takes the gradient",
            1,
        ),
        (
            [
                (
                    "theta -= learning_rate * gradient",
                    "state *= 0.9; state += gradient; theta -= learning_rate * state",
                )
            ],
            "a step with momentum",
            2,
        ),
        (
            [("theta -= ", "gradient *= learning_rate; theta -= gradient #")],
            "changes the gradient",
            1,
        ),
        (
            [("theta -= learning_rate * gradient", "state -= learning_rate * gradient")],
            "instead of theta",
            3,
        ),
        (
            [
                (
                    "theta -= learning_rate * gradient",
                    "theta -= learning_rate * gradient / np.linalg.norm(gradient)",
                )
            ],
            "divided by its length",
            1,
        ),
        (
            [("learning_rate * gradient", "0.001 * gradient")],
            r"the learning rate is always 0\.001",
            1,
        ),
        (
            [("theta -= learning_rate * gradient", "theta[:3] -= learning_rate * gradient[:3]")],
            "not what the reference gives",
            3,
        ),
    ],
    "momentum_step": [
        ([("theta -=", "theta +=")], "the sign of the step is wrong", 1),
        ([("learning_rate * velocity", "velocity")], "the learning rate is missing", 1),
        (
            [("velocity += gradient", "velocity += (1 - alpha) * gradient")],
            "weighted with 1 - α",
            1,
        ),
        (
            [("learning_rate * velocity", "learning_rate * (gradient + alpha * velocity)")],
            "Nesterov",
            1,
        ),
        (
            [
                (
                    "velocity *= alpha\n    velocity += gradient",
                    "velocity = alpha * velocity + gradient",
                )
            ],
            "the velocity is not kept",
            1,
        ),
        (
            [
                ("velocity += gradient", "velocity += learning_rate * gradient"),
                ("learning_rate * velocity", "velocity"),
            ],
            "inside the velocity",
            1,
        ),
        (
            [
                ("velocity += gradient", "velocity -= learning_rate * gradient"),
                ("theta -= learning_rate * velocity", "theta += velocity"),
            ],
            "v = αv - ηg",
            1,
        ),
        (
            [("velocity *= alpha\n    velocity += gradient", "velocity[...] = gradient")],
            "this is SGD",
            1,
        ),
        (
            [("learning_rate * velocity", "learning_rate * gradient")],
            "the velocity has no effect on theta",
            2,
        ),
        (
            [
                (
                    (
                        "    velocity *= alpha\n    velocity += gradient\n    theta -= "
                        "learning_rate * velocity"
                    ),
                    (
                        "    theta -= learning_rate * velocity\n    velocity *= alpha\n    "
                        "velocity += gradient"
                    ),
                )
            ],
            "the old velocity, before",
            1,
        ),
        (
            [("theta -= learning_rate * velocity", "theta = theta - learning_rate * velocity")],
            "theta has not changed",
            4,
        ),
        (
            [("theta -= learning_rate * velocity", "return theta - learning_rate * velocity")],
            "leaves the one that it was given",
            1,
        ),
        (
            [
                (
                    (
                        "velocity *= alpha\n    velocity += gradient\n    theta -= "
                        "learning_rate * velocity"
                    ),
                    (
                        "gradient += alpha * velocity; velocity[...] = gradient; theta "
                        "-= learning_rate * velocity"
                    ),
                )
            ],
            r"gradient \*= … works on the caller's array",
            1,
        ),
        ([("velocity *= alpha", "velocity *= 0.9")], r"α is always 0\.9, whatever is asked for", 1),
        (
            [("velocity += gradient", "velocity += gradient + 0.1 * theta")],
            "not what the reference gives",
            4,
        ),
        (
            [
                (
                    (
                        "velocity *= alpha\n    velocity += gradient\n    theta -= "
                        "learning_rate * velocity"
                    ),
                    "theta -= learning_rate * gradient",
                )
            ],
            "the velocity is neither used nor changed",
            2,
        ),
        (
            [
                ("    velocity *= alpha\n", ""),
                ("velocity += gradient", "velocity += alpha * gradient"),
            ],
            "α multiplies the gradient",
            1,
        ),
    ],
    "rmsprop_step": [
        ([("theta -=", "theta +=")], "the sign of the step is wrong", 1),
        ([("learning_rate * gradient /", "gradient /")], "the learning rate is missing", 1),
        ([("(1 - rho) * gradient", "gradient")], r"\(1 - ρ\) is missing", 1),
        ([("gradient**2", "gradient")], "the gradients are summed without their square", 1),
        ([("np.sqrt(mean_square)", "mean_square")], "the root is missing", 1),
        (
            [("(np.sqrt(mean_square) + epsilon)", "np.sqrt(mean_square + epsilon)")],
            "ε stands inside the root",
            1,
        ),
        ([("(np.sqrt(mean_square) + epsilon)", "np.sqrt(mean_square)")], "ε is missing", 1),
        ([(" + epsilon", " + 1e-8")], "ε is always 1e-08, whatever is asked for", 1),
        ([(" + epsilon", " + 1e-6")], "ε is always 1e-06, whatever is asked for", 1),
        (
            [
                (
                    "mean_square *= rho\n    mean_square += (1 - rho) * gradient**2",
                    "mean_square = rho * mean_square + (1 - rho) * gradient**2",
                )
            ],
            "mean_square is not kept",
            1,
        ),
        (
            [
                (
                    ("    theta -= learning_rate * gradient / (np.sqrt(mean_square) + epsilon)\n"),
                    "",
                ),
                (
                    "    mean_square *= rho",
                    (
                        "    theta -= learning_rate * gradient / (np.sqrt(mean_square) + "
                        "epsilon)\n    mean_square *= rho"
                    ),
                ),
            ],
            "the step uses the old mean",
            1,
        ),
        (
            [
                (
                    ("theta -= learning_rate * gradient / (np.sqrt(mean_square) + epsilon)"),
                    ("theta = theta - learning_rate * gradient / (np.sqrt(mean_square) + epsilon)"),
                )
            ],
            "theta has not changed",
            5,
        ),
        (
            [("theta -= learning_rate", "return theta - learning_rate")],
            "leaves the one that it was given",
            1,
        ),
        (
            [
                (
                    ("theta -= learning_rate * gradient / (np.sqrt(mean_square) + epsilon)"),
                    "theta -= learning_rate * gradient",
                )
            ],
            "this is SGD",
            5,
        ),
        (
            [
                ("    mean_square *= rho", "    gradient **= 2\n    mean_square *= rho"),
                ("gradient**2", "gradient"),
            ],
            "the gradient enters the step squared",
            2,
        ),
        (
            [
                (
                    ("theta -= learning_rate * gradient / (np.sqrt(mean_square) + epsilon)"),
                    (
                        "mean_square **= 0.5; theta -= learning_rate * gradient / "
                        "(mean_square + epsilon)"
                    ),
                )
            ],
            "the root is kept",
            1,
        ),
        (
            [("mean_square *= rho", "mean_square *= 0.9"), ("(1 - rho)", "0.1")],
            r"ρ is always 0\.9, whatever is asked for",
            1,
        ),
        (
            [
                (
                    "mean_square += (1 - rho) * gradient**2",
                    "mean_square += (1 - rho) * gradient**2 + epsilon",
                )
            ],
            "ε is added to the mean",
            1,
        ),
    ],
    "epoch_batches": [
        ([("rng.permutation(count)", "np.arange(count)")], "rng.permutation is missing", 1),
        ([("rng.permutation(count)", "np.random.permutation(count)")], "elsewhere", 1),
        (
            [("rng.permutation(count)", "np.random.default_rng(0).permutation(count)")],
            "fixed seed",
            1,
        ),
        (
            [("range(0, count, batch_size)", "range(0, count - batch_size + 1, batch_size)")],
            "the last, smaller batch is dropped",
            1,
        ),
        (
            [("range(0, count, batch_size)", "range(0, count + 1, batch_size)")],
            "empty batch at the end",
            1,
        ),
        (
            [("rng.permutation(count)", "rng.integers(count, size=count)")],
            "each batch is drawn on its own",
            1,
        ),
        (
            [
                (
                    (
                        "return [order[first : first + batch_size] for first in range(0, "
                        "count, batch_size)]"
                    ),
                    "return np.array_split(order, -(-count // batch_size))",
                )
            ],
            "nearly equal size",
            1,
        ),
        (
            [
                (
                    (
                        "return [order[first : first + batch_size] for first in range(0, "
                        "count, batch_size)]"
                    ),
                    (
                        "return [order[first : first + batch_size] for first in "
                        "rng.permutation(range(0, count, batch_size))]"
                    ),
                ),
                ("rng.permutation(count)", "np.arange(count)"),
            ],
            "same images are together",
            1,
        ),
        (
            [
                (
                    "order[first : first + batch_size] for",
                    "rng.permutation(order[first : first + batch_size]) for",
                ),
                ("order = rng.permutation(count)", "order = np.arange(count)"),
            ],
            "same images are together",
            1,
        ),
        (
            [("rng.permutation(count)", "np.roll(np.arange(count), rng.integers(count))")],
            ("the order is turned round by a random number of places, and not shuffled"),
            1,
        ),
        (
            [("rng.permutation(count)", "np.append(rng.permutation(count - 1), count - 1)")],
            "not all images are shuffled",
            1,
        ),
        ([("rng.permutation(count)", "rng.permutation(count) + 1")], "indices run from 0", 3),
        (
            [
                (
                    (
                        "[order[first : first + batch_size] for first in range(0, count, "
                        "batch_size)]"
                    ),
                    (
                        "(order[first : first + batch_size] for first in range(0, count, "
                        "batch_size))"
                    ),
                )
            ],
            "yield makes a generator",
            3,
        ),
        (
            [
                (
                    (
                        "return [order[first : first + batch_size] for first in range(0, "
                        "count, batch_size)]"
                    ),
                    "return order",
                )
            ],
            "epoch_batches should return a list of index arrays, not ndarray",
            3,
        ),
        (
            [("range(0, count, batch_size)", "range(0, count, batch_size + 1)")],
            "epoch_batches, sizes",
            2,
        ),
        (
            [
                (
                    "return [",
                    ("order = np.append(order, order[: -count % batch_size])\n    return ["),
                )
            ],
            "filled up",
            1,
        ),
        (
            [
                (
                    "order[first : first + batch_size]",
                    "order[first : first + batch_size].astype(float)",
                )
            ],
            "whole numbers",
            3,
        ),
    ],
    "train_epoch": [
        ([("        step(theta, gradient)\n", "")], "never takes a step", 2),
        (
            [("examples.one_hot[:, batch]", "examples.one_hot[:, : len(batch)]")],
            "need the same indices",
            1,
        ),
        (
            [("examples.images[..., batch]", "examples.images[..., : len(batch)]")],
            "first images of the set",
            1,
        ),
        (
            [("for batch in batches:", "for batch in batches[:-1]:")],
            "last, smaller batch is left out",
            2,
        ),
        ([("for batch in batches:", "for batch in batches[::-1]:")], "those of batch", 1),
        ([("for batch in batches:", "for batch in map(np.sort, batches):")], "are sorted", 1),
        (
            [
                ("error * len(batch)", "error"),
                ("sum(len(batch) for batch in batches)", "len(batches)"),
            ],
            "a smaller batch counts less",
            1,
        ),
        ([("error * len(batch)", "error")], "divided by all images", 1),
        ([("total / sum(len(batch) for batch in batches)", "total")], "not averaged", 1),
        ([("total / sum(len(batch) for batch in batches)", "error")], "last batch alone", 1),
        (
            [("total / sum(len(batch) for batch in batches)", "total / len(batches)")],
            "number of batches",
            1,
        ),
        ([("len(batch)\n    return", "len(batches[0])\n    return")], "as large as the first", 1),
        (
            [
                ("        step(theta, gradient)\n", ""),
                ("    return", "    step(theta, gradient)\n    return"),
            ],
            "behind the loop",
            1,
        ),
        (
            [("        step(theta, gradient)", "        step(theta.copy(), gradient)")],
            ("each gradient has to be computed at the theta that the last step left"),
            1,
        ),
        (
            [("    total = 0.0", "    theta = theta.copy()\n    total = 0.0")],
            "a copy of theta is trained",
            1,
        ),
        (
            [("step(theta, gradient)", "step(theta, gradient); step(theta, gradient)")],
            "a step is taken twice",
            1,
        ),
        (
            [("step(theta, gradient)", "step(theta, gradient * len(batch))")],
            "multiplied by the size of the batch",
            1,
        ),
        (
            [("step(theta, gradient)", "step(theta, gradient / len(batch))")],
            "divided by the size of the batch again",
            1,
        ),
        (
            [
                (
                    "        step(theta, gradient)\n",
                    (
                        "        step(theta, gradient)\n        error, _ = "
                        "error_and_gradient(theta, images, one_hot)\n"
                    ),
                )
            ],
            "error_and_gradient is called twice for each batch",
            3,
        ),
        (
            [("examples.images[..., batch]", "examples.images[batch]")],
            "the batch is the last axis",
            4,
        ),
        (
            [("examples.one_hot[:, batch]", "examples.one_hot[batch]")],
            "the batch is the last axis",
            4,
        ),
        ([("    return total", "        return total")], "ends after one batch", 2),
        (
            [("    return total / sum(len(batch) for batch in batches)", "    pass")],
            "returned None",
            4,
        ),
        (
            [("total += ", "examples.images *= 0.5; total += ")],
            "train_epoch raised FrozenInstanceError in line 4",
            4,
        ),
        (
            [
                (
                    "    total = 0.0",
                    (
                        "    total = 0.0\n    gradients = [error_and_gradient(theta, "
                        "examples.images[..., b], examples.one_hot[:, b])[1] for b in "
                        "batches]"
                    ),
                )
            ],
            "error_and_gradient is called twice for each batch",
            3,
        ),
        (
            [("step(theta, gradient)", "theta -= gradient")],
            r"step\(theta, gradient\) is missing",
            2,
        ),
    ],
    "evaluate": [
        ([("range(0, count, 50)", "range(0, count - 49, 50)")], "the last chunk is dropped|", 2),
        (
            [("range(0, count, 50)", "range(0, count // 50 * 50 or 1, 50)")],
            "the last chunk is dropped",
            1,
        ),
        (
            [
                (
                    (
                        "error += cross_entropy(logits, examples.one_hot[:, part])[0] * "
                        "logits.shape[1]"
                    ),
                    "error += cross_entropy(logits, examples.one_hot[:, part])[0]",
                ),
                ("return error / count", "return error / -(-count // 50)"),
            ],
            "mean of the chunks' means",
            1,
        ),
        ([("error / count, correct / count", "error, correct / count")], "errors are summed", 3),
        ([("error / count, correct / count", "correct / count, error / count")], "wrong order", 4),
        ([("correct / count", "100 * correct / count")], "in per cent", 3),
        ([("correct / count", "correct")], "correct answers are counted", 3),
        ([("correct / count", "1 - correct / count")], "fraction of wrong answers", 3),
        ([("correct / count", "correct // count")], "whole-number division", 3),
        ([("argmax", "argmin")], "argmin", 3),
        (
            [("argmax(axis=0)", "argmax(axis=1)")],
            "two arrays that belong together differ in shape",
            4,
        ),
        (
            [
                (
                    (
                        "error += cross_entropy(logits, examples.one_hot[:, part])[0] * "
                        "logits.shape[1]"
                    ),
                    "error += cross_entropy(logits, examples.one_hot[:, part])[0]",
                )
            ],
            "the chunks' means are added up and divided by all images",
            3,
        ),
        ([("error += cross_entropy", "error = cross_entropy")], "not what the reference gives", 2),
        (
            [("return error / count, correct / count", "return error / count")],
            "should return .mean error, accuracy",
            4,
        ),
        (
            [("    error, correct", "    theta *= 0.5\n    error, correct")],
            "not what the reference gives",
            3,
        ),
        (
            [("    error, correct", "    examples.images[...] *= 0.5\n    error, correct")],
            "not what the reference gives",
            4,
        ),
        ([("    return", "    theta *= 0.5\n    return")], "changes theta", 1),
        (
            [("examples.images[..., part]", "examples.images[..., :50]")],
            "not what the reference gives",
            3,
        ),
    ],
}


CASES = [(name, *case) for name, cases in WRONG.items() for case in cases]


@pytest.mark.parametrize("name, changes, hint, parts", CASES)
def test_wrong_answers_are_named_and_cost_their_own_parts(name, changes, hint, parts):
    outcomes = list(check_of(name).outcomes(written(name, *changes)))
    failures = [failure for _, failure in outcomes if failure is not None]
    assert failures and all(isinstance(failure, CheckError) for failure in failures)
    assert re.search(hint, str(failures[0]), re.DOTALL), str(failures[0])
    assert len(failures) == parts, [part for part, failure in outcomes if failure is not None]


# --- right answers, also such as are written in other ways

OTHERS = {
    "draw_balanced": [
        """
        def draw_balanced(labels, per_class, rng):
            order, kept = rng.permutation(len(labels)), []
            counts = np.zeros(10, int)
            for index in order:
                if counts[labels[index]] < per_class:
                    counts[labels[index]] += 1
                    kept.append(int(index))
            return kept
        """,
        """
        def draw_balanced(labels, per_class, rng):
            indices = []
            for digit in range(10):
                places = np.where(labels == digit)[0]
                rng.shuffle(places)
                indices.extend(places[:per_class])
            rng.shuffle(indices)
            return np.array(indices)
        """,
    ],
    "initialize": [
        """
        def initialize(rng, dtype=np.float32):
            pieces = []
            for shape in SHAPES.values():
                size = math.prod(shape)
                scale = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0
                pieces.append(scale * rng.standard_normal(size))
            return np.concatenate(pieces).astype(dtype)
        """,
    ],
    "log_softmax": [
        """
        def log_softmax(logits):
            m = logits.max(axis=0, keepdims=True)
            return logits - (m + np.log(np.sum(np.exp(logits - m), axis=0, keepdims=True)))
        """,
        """
        def log_softmax(logits):
            return logits - np.logaddexp.reduce(logits, axis=0)
        """,
    ],
    "cross_entropy": [
        """
        def cross_entropy(logits, one_hot):
            log_p, batch = log_softmax(logits), len(one_hot[0])
            errors = -log_p[one_hot.argmax(axis=0), np.arange(batch)]
            gradient = np.exp(log_p)
            gradient[one_hot.argmax(axis=0), np.arange(batch)] -= 1
            return errors.mean(), gradient / batch
        """,
    ],
    "relu_forward": [
        "def relu_forward(x):\n    return x * (x > 0)",
        "def relu_forward(x):\n    return np.clip(x, 0, None)",
    ],
    "relu_backward": [
        "def relu_backward(d_outputs, outputs):\n    return np.where(outputs > 0, d_outputs, 0)",
        """
        def relu_backward(d_outputs, outputs):
            d_x = d_outputs.copy()
            d_x[outputs == 0] = 0
            return d_x
        """,
    ],
    "max_pool_forward": [
        """
        def max_pool_forward(x):
            c, h, w, b = x.shape
            return x.reshape(c, h // 2, 2, w // 2, 2, b).max(axis=(2, 4))
        """,
        """
        def max_pool_forward(x):
            c, h, w, b = x.shape
            outputs = np.empty((c, h // 2, w // 2, b))
            for i in range(h // 2):
                for j in range(w // 2):
                    outputs[:, i, j] = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max(axis=(1, 2))
            return outputs
        """,
    ],
    "max_pool_backward": [
        # The last of equal maxima gets the gradient; then each of them its share.
        ANSWERS["max_pool_backward"].replace("(0, 1)", "(1, 0)"),
        """
        def max_pool_backward(d_outputs, x, outputs):
            c, h, w, b = x.shape
            places = x.reshape(c, h // 2, 2, w // 2, 2, b)
            largest = places == outputs[:, :, None, :, None]
            shares = largest / largest.sum(axis=(2, 4), keepdims=True)
            return (shares * d_outputs[:, :, None, :, None]).reshape(x.shape)
        """,
    ],
    "convolution_forward": [
        """
        def convolution_forward(x, weights, bias):
            filters, channels, height, width, batch = *weights.shape[:2], *x.shape[1:]
            padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
            outputs = np.zeros((filters, height, width, batch), x.dtype)
            for i in range(5):
                for j in range(5):
                    window = padded[:, i : i + height, j : j + width]
                    outputs += np.tensordot(weights[:, :, i, j], window, axes=1)
            return outputs + bias[:, None, None, None]
        """,
        """
        def convolution_forward(x, weights, bias):
            return layers.convolution_forward(x, weights, bias, padding=2)[0]
        """,
    ],
    "convolution_backward_parameters": [
        """
        def convolution_backward_parameters(d_outputs, x):
            _, height, width, _ = x.shape
            padded = layers.pad(x, 2)
            d_weights = np.empty((len(d_outputs), len(x), 5, 5))
            for i in range(5):
                for j in range(5):
                    window = padded[:, i : i + height, j : j + width]
                    d_weights[..., i, j] = np.einsum("fhwb,chwb->fc", d_outputs, window)
            return [d_weights, np.einsum("fhwb->f", d_outputs)]
        """,
    ],
    "convolution_backward_input": [
        """
        def convolution_backward_input(d_outputs, weights):
            filters, height, width, batch = d_outputs.shape
            columns = weights.reshape(filters, -1).T @ d_outputs.reshape(filters, -1)
            return layers.col2im(columns, (weights.shape[1], height, width, batch), 5, 1, 2)
        """,
        """
        def convolution_backward_input(d_outputs, weights):
            _, height, width, batch = d_outputs.shape
            padded = np.zeros((weights.shape[1], height + 4, width + 4, batch), d_outputs.dtype)
            for i in range(5):
                for j in range(5):
                    back = np.tensordot(weights[:, :, i, j].T, d_outputs, axes=1)
                    padded[:, i : i + height, j : j + width] += back
            return padded[:, 2:-2, 2:-2]
        """,
    ],
    "dense_forward": [
        "def dense_forward(x, weights, bias):\n    return (x.T @ weights.T + bias).T",
    ],
    "dense_backward": [
        """
        def dense_backward(d_outputs, x, weights):
            d_weights = sum(np.outer(d, column) for d, column in zip(d_outputs.T, x.T))
            return [(d_outputs.T @ weights).T, d_weights, d_outputs @ np.ones(x.shape[1])]
        """,
    ],
    "forward": [
        ANSWERS["forward"].replace("return a", 'a["columns"] = None\n    return a'),
        ANSWERS["forward"].replace("reshape(196, -1)", "reshape(-1, images.shape[3])"),
        # ReLU and max pooling may change places where the activation is kept as well.
        ANSWERS["forward"].replace(
            'max_pool_forward(a["relu1"])',
            "relu_forward(max_pool_forward(convolution_forward("
            'images, p["conv1.weights"], p["conv1.bias"])))',
        ),
    ],
    "backward": [
        ANSWERS["backward"].replace("np.empty_like", "np.zeros_like"),
        # The mask may come before the pooling's way back, with the pooled outputs.
        ANSWERS["backward"]
        .replace(
            "max_pool_backward(d_pool2,", 'max_pool_backward(relu_backward(d_pool2, a["pool2"]),'
        )
        .replace('relu_backward(d_relu2, a["relu2"])', "d_relu2"),
        ANSWERS["backward"].replace(
            "return gradient", "return np.concatenate([array.ravel() for array in g.values()])"
        ),
    ],
    "sgd_step": [
        ANSWERS["sgd_step"].replace("theta -= ", "theta[...] = theta - "),
        ANSWERS["sgd_step"].replace("gradient\n", "gradient\n    return theta\n"),
        """
        def sgd_step(theta, gradient, state, learning_rate):
            np.subtract(theta, learning_rate * gradient, out=theta)
        """,
    ],
    "momentum_step": [
        """
        def momentum_step(theta, gradient, velocity, learning_rate, alpha):
            velocity[:] = alpha * velocity + gradient
            theta[:] = theta - learning_rate * velocity
            return theta, velocity
        """,
    ],
    "rmsprop_step": [
        """
        def rmsprop_step(theta, gradient, mean_square, learning_rate, rho, epsilon=1e-8):
            mean_square += (1 - rho) * (gradient * gradient - mean_square)
            theta -= gradient * (learning_rate / (mean_square**0.5 + epsilon))
        """,
    ],
    "epoch_batches": [
        """
        def epoch_batches(count, batch_size, rng):
            order = np.arange(count)
            rng.shuffle(order)
            return np.split(order, range(batch_size, count, batch_size))
        """,
        """
        def epoch_batches(count, batch_size, rng):
            order, batches = list(rng.permutation(count)), []
            while order:
                batches.append(order[:batch_size])
                order = order[batch_size:]
            return batches
        """,
    ],
    "train_epoch": [
        """
        def train_epoch(theta, examples, batches, error_and_gradient, step):
            errors, sizes = [], []
            for batch in batches:
                images = examples.images[:, :, :, batch]
                error, gradient = error_and_gradient(theta, images, examples.one_hot[:, batch])
                step(theta, gradient)
                errors.append(error)
                sizes.append(images.shape[3])
            return np.average(errors, weights=sizes)
        """,
    ],
    "evaluate": [
        """
        def evaluate(theta, examples):
            logits = forward(theta, examples.images)["logits"]
            error, _ = cross_entropy(logits, examples.one_hot)
            return error, np.mean(logits.argmax(axis=0) == examples.labels)
        """,
        ANSWERS["evaluate"].replace("50", "512"),
        """
        def evaluate(theta, examples):
            parts = np.array_split(np.arange(len(examples.labels)), 3)
            logits = [forward(theta, examples.images[..., part])["logits"] for part in parts]
            logits = np.concatenate(logits, axis=1)
            right = examples.one_hot[logits.argmax(axis=0), np.arange(logits.shape[1])]
            return cross_entropy(logits, examples.one_hot)[0], right.sum() / len(right)
        """,
    ],
}
RIGHT = [(name, source) for name in ANSWERS for source in [ANSWERS[name], *OTHERS[name]]]


@pytest.mark.parametrize("name, source", RIGHT)
def test_right_answers_pass(name, source, capsys):
    check_of(name)(written(name, source=source))
    line = capsys.readouterr().out
    assert line.startswith(f"✓ {name}: ") and line.count("\n") == 1


# --- each mistake that a check knows, made by an answer

FUNCTIONS = [
    (softmax.LOG_SOFTMAX, {"logits": softmax._logits(5, 900.0, 0, levels=3000.0)}),
    (softmax.CROSS_ENTROPY, softmax._example(7, 1.5, 0)),
    (layers.RELU_FORWARD, {"x": np.linspace(-2, 3, 12)}),
    (layers.RELU_BACKWARD, layers._rectified(0, (4, 5))),
    (layers.MAX_POOL_FORWARD, {"x": np.random.default_rng(0).normal(size=(3, 4, 6, 5)) - 0.7}),
    (layers.MAX_POOL_BACKWARD, layers._tied(1, (2, 6, 4, 3))),
    (layers.DENSE_FORWARD, layers._dense(2, 4, 4, 4)),
    (layers.DENSE_BACKWARD, layers._dense_gradients(2, 4, 4, 4)),
    (convolution.FORWARD, convolution._forward(1, (3, 3, 7, 7, 3))),
    (convolution.PARAMETERS, convolution._parameters(1, (3, 3, 7, 7, 3))),
    (convolution.INPUT, convolution._input(1, (3, 3, 7, 7, 3))),
]


@pytest.mark.parametrize("function, arguments", FUNCTIONS)
def test_an_answer_with_a_known_mistake_fails_the_parts_of_that_mistake(function, arguments):
    right, harmless = function.right(*arguments.values()), []
    for mistake in function.mistakes(*arguments.values()):
        results = [r if m is None else m for r, m in zip(right, mistake.results, strict=True)]
        if all(
            np.shape(a) == np.shape(b) and np.allclose(a, b)
            for a, b in zip(right, results, strict=True)
        ):
            harmless.append(mistake.words)
            continue
        returned = results if len(results) > 1 else results[0]
        for part in ("", *mistake.parts):
            with pytest.raises(CheckError, match="Likely mistake"):
                function.expect(lambda *_, r=returned: r, arguments, part=part)
    # Only what is right for small logits may be right at all.
    assert not harmless or function is softmax.CROSS_ENTROPY, harmless


@pytest.mark.parametrize("rule", [rules.SGD, rules.MOMENTUM, rules.RMSPROP])
def test_a_rule_with_a_known_mistake_is_named_and_costs_the_parts_of_that_mistake(rule):
    order = [rules.FIRST, rules.LATER, rules.STATE, rules.EPSILON]
    for wrong in rule.mistakes:

        def answer(theta, gradient, state, rate, setting=0.0, epsilon=1e-8, wrong=wrong):
            change, new = wrong.update(gradient, state.copy(), rate, setting, epsilon)
            theta -= change
            state[...] = new

        outcomes = [failure for _, failure in check_of(rule.name).outcomes(answer)]
        failed = [place for place, failure in enumerate(outcomes) if failure is not None]
        if wrong.parts:
            assert failed == [order.index(part) for part in wrong.parts], wrong.words
        assert failed and wrong.words in str(outcomes[failed[0]]), (wrong.words, outcomes)


@pytest.mark.parametrize("words, changes, layers", list(network._wrong_ways()))
def test_a_wrong_way_back_costs_its_layers_and_no_other(words, changes, layers):
    def answer(theta, activations, d_logits):
        way = replace(network.Way(), **changes)
        by_layer = way.gradients(theta, activations, d_logits)
        return np.concatenate(by_layer[::-1])  # the output layer stands last in theta

    outcomes = dict(check_of("backward").outcomes(answer))
    failed = {part for part, failure in outcomes.items() if failure is not None}
    assert failed == {f"the gradient of {layer}" for layer in layers}
    assert any(words in str(failure) for failure in outcomes.values())


def test_two_mistakes_in_different_layers_are_both_named():
    answer = written(
        "backward",
        ('relu_backward(d_hidden, a["hidden"])', "d_hidden"),
        ('max_pool_backward(d_pool1, a["relu1"], a["pool1"])', "d_pool1.repeat(2, 1).repeat(2, 2)"),
    )
    reasons = checks.score(sgd_variants.backward, answer).reasons
    assert len(reasons) == 2 and "mask of the hidden layer is forgotten" in reasons[0]
    assert "two: " in reasons[1] and "first pooling gives its gradient to all" in reasons[1]


# --- the reference

DTYPES = (np.float32, np.float64)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_checks_pass_the_reference_itself(name):
    if name in reference.REFERENCE:
        check_of(name)(reference.REFERENCE[name])


def test_gradients_of_the_reference_are_those_of_finite_differences():
    rng = np.random.default_rng(0)
    theta, images = network._theta(rng), network._images(rng, 2)
    one_hot = np.eye(10)[:, [3, 8]]
    _, gradient = reference.error_and_gradient(theta, images, one_hot)
    directions = rng.normal(size=(6, len(theta))) / len(theta) ** 0.5
    move = np.zeros(len(directions))

    def moved_error():
        logits = reference.forward(theta + move @ directions, images)["logits"]
        return reference.cross_entropy(logits, one_hot)[0]

    numeric = numpy_layers.finite_difference(moved_error, move, h=1e-6)
    np.testing.assert_allclose(directions @ gradient, numeric, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_reference_agrees_with_the_numpy_layers_and_keeps_the_number_type(dtype):
    rng = np.random.default_rng(1)
    x, weights = rng.normal(size=(3, 6, 8, 2)), rng.normal(size=(4, 3, 5, 5))
    bias, d_outputs = rng.normal(size=4), rng.normal(size=(4, 6, 8, 2))
    x, weights, bias, d_outputs = (a.astype(dtype) for a in (x, weights, bias, d_outputs))
    outputs, columns = numpy_layers.convolution_forward(x, weights, bias, padding=2)
    d_x, d_weights, d_bias = numpy_layers.convolution_backward(
        d_outputs, columns, weights, x.shape, padding=2
    )
    pairs = [
        (reference.unfold(x), columns),
        (reference.convolution_forward(x, weights, bias), outputs),
        (reference.convolution_backward_parameters(d_outputs, x)[0], d_weights),
        (reference.convolution_backward_parameters(d_outputs, x)[1], d_bias),
        (reference.convolution_backward_input(d_outputs, weights), d_x),
    ]
    for got, expected in pairs:
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_of_equal_maxima_the_reference_takes_the_first():
    x = np.zeros((1, 4, 2, 1))
    x[0, 2:, :, 0] = [[1, 2], [2, 2]]
    d_x = reference.max_pool_backward(
        np.array([3.0, 5.0]).reshape(1, 2, 1, 1), x, reference.max_pool_forward(x)
    )
    np.testing.assert_array_equal(d_x[0, ..., 0], [[3, 0], [0, 0], [0, 5], [0, 0]])


# --- one answer is judged, and not those that it calls

CALLERS = [
    name
    for name, source in ANSWERS.items()
    if any(f"{other}(" in source.split(":", 1)[1] for other in (*ANSWERS, "views", "unfold"))
]


def nonsense(*arguments, **options):
    raise RuntimeError("a neighbour was called")


@pytest.mark.parametrize("name", CALLERS)
def test_wrong_neighbours_cost_nothing_and_are_there_again_afterwards(name):
    answer = written(name)
    scope = answer.__globals__
    neighbours = {other: nonsense for other in reference.REFERENCE if other != name}
    del neighbours["unfold"]  # a name that is missing stays missing
    scope.update(neighbours)
    check_of(name)(answer)
    assert all(scope[other] is nonsense for other in neighbours) and "unfold" not in scope
    broken = written(name, ("    return", "    1 / 0\n    return"))
    broken.__globals__.update(neighbours)
    fails(name, broken, "ZeroDivisionError")
    assert all(broken.__globals__[other] is nonsense for other in neighbours)


def test_most_answers_call_others():
    assert {"forward", "backward", "evaluate", "cross_entropy", "initialize"} <= set(CALLERS)


@pytest.mark.parametrize("wrap", [partial, lambda f: wraps(f)(lambda *a, **k: f(*a, **k))])
def test_the_neighbours_of_a_wrapped_answer_are_found(wrap):
    check_of("cross_entropy")(wrap(written("cross_entropy")))


# --- all of them

STUBS = ("raise NotImplementedError('Write `it`.')", "pass", "...", '"""Say."""', "return ...")


@pytest.mark.parametrize("stub", STUBS)
@pytest.mark.parametrize("name", ANSWERS)
def test_a_stub_gets_one_sentence_and_no_points(name, stub, capsys):
    head = ANSWERS[name].strip().split("\n")[0]
    answer = written(name, source=f"{head}\n    {stub}\n")
    with pytest.raises(NotWrittenYet) as caught:
        check_of(name)(answer)
    assert "is not written yet." in str(caught.value) and "\n" not in str(caught.value)
    assert checks.graded(check_of(name), answer, 10) == 0
    assert capsys.readouterr().out.count("\n") == 1


NOTHING = {
    "None": lambda *_: None,
    "0": lambda *_: 0,
    "1.0": lambda *_: 1.0,
    "an empty list": lambda *_: [],
    "two zeros": lambda *_: (0, 0),
    "a pair of zero and none": lambda *_: (0.0, None),
    "a dictionary": lambda *_: {},
    "a ragged list": lambda *_: [1, [2, 3]],
    "a text": lambda *_: "text",
    "an object": lambda *_: object(),
    "its first argument": lambda *a: a[0],
    "its second argument": lambda *a: a[1] if len(a) > 1 else a[0],
    "its last argument": lambda *a: a[-1],
    "its arguments": lambda *a: a,
    "its first two arguments": lambda *a: a[:2],
    "zeros like its first argument": lambda *a: np.zeros(np.shape(a[0])),
    "ones like its first argument": lambda *a: np.ones(np.shape(a[0])),
    "a theta of zeros": lambda *a: np.zeros(reference.PARAMETER_COUNT),
    "a theta of ones": lambda *a: np.ones(reference.PARAMETER_COUNT),
    "the first indices": lambda *a: np.arange(10 * a[1]) if isinstance(a[1], int) else None,
}


@pytest.mark.parametrize("nothing", NOTHING)
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_does_nothing_earns_nothing(name, nothing):
    score = checks.score(check_of(name), NOTHING[nothing])
    assert score.passed == 0, score


@pytest.mark.parametrize("value", [None, 3, "train", [], np.ones(3)])
@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_no_function_is_refused(name, value):
    with pytest.raises((CheckError, NotWrittenYet)):
        check_of(name)(value)
    assert checks.score(check_of(name), value).passed == 0


@pytest.mark.parametrize("name", ANSWERS)
def test_an_error_in_the_answer_is_one_sentence_with_its_line(name):
    head = ANSWERS[name].strip().split("\n")[0]
    answer = written(name, (head, f"{head}\n    nonsense = 1 / 0"))
    with pytest.raises(CheckError, match="raised ZeroDivisionError in line 3") as caught:
        check_of(name)(answer)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_check_leaves_the_notebook_as_it_was(name):
    answer = written(name)
    names = {key: value for key, value in answer.__globals__.items() if key != name}

    def numbers():
        return np.random.rand(3).tolist(), torch.rand(3).tolist()

    def seeded():
        np.random.seed(3)
        torch.manual_seed(3)

    seeded()
    before, errors = numbers(), np.geterr()
    seeded()
    check_of(name)(answer)
    assert numbers() == before and np.geterr() == errors
    assert {key: v for key, v in answer.__globals__.items() if key != name} == names


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ANSWERS)
def test_right_answers_earn_all_points_and_no_warning(name, capsys):
    check = check_of(name)
    assert checks.graded(check, written(name), 5) == 5
    assert capsys.readouterr().out.count("✓") == len(check.parts) > 1


def test_points_are_given_part_by_part_with_reasons(capsys):
    answer = written(
        "rmsprop_step", ("np.sqrt(mean_square) + epsilon", "np.sqrt(mean_square + epsilon)")
    )
    assert checks.graded(sgd_variants.rmsprop_step, answer, 5) == 4
    lines = capsys.readouterr().out
    assert lines.count("✓") == 4 and lines.count("ε stands inside the root") == 1
    assert lines.endswith("4 of 5 parts: 4 of 5 points\n")


def test_every_check_is_offered_and_tested():
    assert set(sgd_variants.__all__) == set(ANSWERS) == set(OTHERS) == set(WRONG)
    assert all(check_of(name).name == name for name in ANSWERS)


@pytest.mark.parametrize("highest", [4, 6])
def test_a_relu_that_is_cut_off_is_refused(highest):
    with pytest.raises(CheckError):
        checks.sgd_variants.relu_forward(lambda x: np.clip(x, 0, highest))


def test_the_mean_error_is_over_the_images_of_the_batches():
    def answer(theta, examples, batches, error_and_gradient, step):
        total = 0.0
        for batch in batches:
            images, one_hot = examples.images[..., batch], examples.one_hot[:, batch]
            error, gradient = error_and_gradient(theta, images, one_hot)
            step(theta, gradient)
            total += error * len(batch)
        return total / len(examples.labels)

    with pytest.raises(CheckError):
        checks.sgd_variants.train_epoch(answer)
