"""The checks of the NumPy LeNet pass every right answer, and name the mistake in wrong ones."""

import re
import textwrap

import numpy as np
import pytest

from helpers import checks, convnet, numpy_layers
from helpers.checks import CheckError, numpy_lenet

# What NumPy warns of in some of the planted answers.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

Changes = list[tuple[str, str]]


def written(source: str, *changes: tuple[str, str]) -> object:
    """Return the last function of `source`, each `old` in it replaced by `new`."""
    for old, new in changes:
        assert old in source, f"{old!r} does not occur"
        source = source.replace(old, new)
    names = {"np": np, "convnet": convnet, "numpy_layers": numpy_layers}
    before = set(names)
    exec(compile(textwrap.dedent(source), "answer", "exec"), names)
    return [value for name, value in names.items() if name not in before][-1]


def passes(check, answer, capsys) -> None:
    check(answer)
    line = capsys.readouterr().out
    assert line.startswith(f"✓ {check.name}: ") and line.count("\n") == 1


def fails(check, source: str, changes: Changes, hint: str, parts: int | None = None) -> None:
    """Assert that the changed answer is refused, its mistake named, and `parts` parts fail."""
    answer = written(source, *changes)
    with pytest.raises(CheckError) as caught:
        check(answer)
    assert re.search(f"(?s)Likely mistake: .*{hint}", str(caught.value)), str(caught.value)
    if parts is not None:
        score = checks.score(check, answer)
        assert score.total - score.passed == parts, "\n".join(score.reasons)


# --- max pooling, forwards

POOL = """
def pooling_layer_forward(input, layer):
    k, s = layer["k"], layer["stride"]
    c, h, w, n = (input[name] for name in ("channel", "height", "width", "batch_size"))
    images = input["data"].reshape(c, h, w, n)
    rows, columns = (h - k) // s + 1, (w - k) // s + 1
    out = np.zeros((c, rows, columns, n))
    for i in range(rows):
        for j in range(columns):
            window = images[:, i * s : i * s + k, j * s : j * s + k]
            out[:, i, j] = window.max(axis=(1, 2))
    data = out.reshape(-1, n)
    sizes = {"channel": c, "height": rows, "width": columns, "batch_size": n}
    return {**sizes, "data": data, "diff": None}
"""
SIZES = 'sizes = {"channel": c, "height": rows, "width": columns, "batch_size": n}'
POOL_VIEWS = """
def pooling_layer_forward(input, layer):
    images, k, s = convnet.as_images(input, "pool"), layer["k"], layer["stride"]
    windows = np.lib.stride_tricks.sliding_window_view(images, (k, k), axis=(1, 2))
    return convnet.as_structure(windows[:, ::s, ::s].max(axis=(-2, -1)))
"""
POOL_COLUMNS = """
def pooling_layer_forward(input, layer):
    images, k, s = convnet.as_images(input, "pool"), layer["k"], layer["stride"]
    size = numpy_layers.output_size(images.shape[1:3], k, s)
    out = None
    for rows, columns in numpy_layers.window_slices(k, s, size):
        part = images[:, rows, columns]
        out = part.copy() if out is None else np.maximum(out, part, out=out)
    return convnet.as_structure(out)
"""
POOL_PURE = """
def pooling_layer_forward(input, layer):
    k, s, data = layer["k"], layer["stride"], input["data"]
    h, w = input["height"], input["width"]
    rows, columns = (h - k) // s + 1, (w - k) // s + 1
    output = dict(input)
    output["height"], output["width"] = rows, columns
    out = []
    for c in range(input["channel"]):
        for i in range(rows):
            for j in range(columns):
                best = []
                for b in range(input["batch_size"]):
                    seen = [data[c * h * w + (i * s + a) * w + j * s + e, b]
                            for a in range(k) for e in range(k)]
                    best.append(max(seen))
                out.append(best)
    output["data"] = np.array(out)
    return output
"""


@pytest.mark.parametrize("source", [POOL, POOL_VIEWS, POOL_COLUMNS, POOL_PURE])
def test_right_pooling_passes(source, capsys):
    passes(numpy_lenet.pooling_layer_forward, written(source), capsys)


MAX = "window.max(axis=(1, 2))"


@pytest.mark.parametrize(
    "changes, hint, parts",
    [
        ([('k, s = layer["k"], layer["stride"]', "k, s = 2, 2")], "2 × 2 and the stride", 3),
        ([('layer["k"]', "2")], r"window is 2 × 2, whatever layer\['k'\]", 2),
        ([('layer["stride"]', "2")], "stride is 2, whatever", 3),
        ([('layer["stride"]', 'layer["k"]')], "stride is taken to be k", 3),
        ([('layer["stride"]', "1")], "stride is taken to be 1", None),
        ([(MAX, "window.mean(axis=(1, 2))")], "the mean of each window", 6),
        ([(MAX, "window.min(axis=(1, 2))")], "the minimum of each window", 6),
        ([(MAX, "window.sum(axis=(1, 2))")], "the sum of each window", 6),
        ([(MAX, "window[:, 0, 0]")], "the first pixel of each window", 6),
        ([(MAX, "np.median(window, axis=(1, 2))")], "the median", 6),
        ([(MAX, "np.maximum(window.max(axis=(1, 2)), 0)")], "starts from 0", 1),
        ([(MAX, "np.abs(window).max(axis=(1, 2))")], "largest absolute", 1),
        ([(MAX, "window.max(axis=(0, 1, 2))")], "runs over the channels", 1),
        ([(MAX, "window.max(axis=(1, 2, 3))[:, None]")], "runs over the images", 1),
        ([("out[:, i, j] = window", "out[0, i, j] = window[0]"), ("axis=(1, 2)", "axis=(0, 1)")],
         "only the first channel", 1),
        ([("out[:, i, j] = window", "out[:, i, j, 0] = window[..., 0]")],
         "only the first image", 1),
        ([("reshape(c, h, w, n)", "reshape(h, w, c, n).transpose(2, 0, 1, 3)")],
         "read as height · width · channel", 1),
        ([("reshape(c, h, w, n)", "reshape(n, c, h, w).transpose(1, 2, 3, 0)")], "batch first", 1),
        ([("reshape(c, h, w, n)", "reshape(c, w, h, n).transpose(0, 2, 1, 3)")],
         "column by column", None),
        ([("reshape(c, h, w, n)", 'reshape((h, w, c, n), order="F").transpose(2, 0, 1, 3)')],
         "column by column", None),
        ([("out.reshape(-1, n)", "out.transpose(1, 2, 0, 3).reshape(-1, n)")],
         "flattened as height · width · channel", 1),
        ([("out.reshape(-1, n)", "out.transpose(0, 2, 1, 3).reshape(-1, n)")],
         "flattened column by column", None),
        ([("out.reshape(-1, n)", "out.transpose(3, 0, 1, 2).reshape(-1, n)")], "batch first", 1),
        ([("out.reshape(-1, n)", "out.reshape(-1, n).T")], "a row is an image", None),
        ([("out.reshape(-1, n)", "out")], "only the shape is not", None),
        ([("reshape(c, h, w, n)", "reshape(h, w, c, n).transpose(2, 0, 1, 3)"),
          ("out.reshape(-1, n)", "out.transpose(1, 2, 0, 3).reshape(-1, n)")],
         "read as height .*flattened as height", 1),
        ([("range(rows)", "range(rows - 1)"), ("range(columns)", "range(columns - 1)")],
         "last row and column of windows", None),
        ([("(h - k) // s + 1, (w - k) // s + 1", "(h - k) // s, (w - k) // s")],
         "last row and column of windows", None),
        ([('return {**sizes, "data": data, "diff": None}', "return data")],
         "the array is returned alone", 7),
        ([(SIZES, 'sizes = {"channel": c, "height": columns, "width": rows, "batch_size": n}')],
         "height and width are swapped", 1),
        ([(SIZES, "sizes = {**input}")], "height and width should be computed", 1),
        ([(SIZES, 'sizes = {"channel": c, "height": rows, "width": columns}')],
         "no batch_size", 1),
        ([(SIZES, SIZES + '; input["data"] = data')], "changed in place", 1),
        ([(SIZES, SIZES + '; input["data"] *= 0')], "changed in place", 1),
        ([(SIZES, SIZES + '; input.update(sizes)')], "changed in place", 1),
    ],
)  # fmt: skip
def test_wrong_pooling_is_named(changes, hint, parts):
    fails(numpy_lenet.pooling_layer_forward, POOL, changes, hint, parts)


# --- ReLU

RELU = """
def relu_forward(input, layer):
    x = input["data"]
    y = np.maximum(x, 0)
    return {**input, "data": y}
"""


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [("np.maximum(x, 0)", "x * (x > 0)")],
        [("np.maximum(x, 0)", "np.where(x > 0, x, 0)")],
        [("np.maximum(x, 0)", "(x + np.abs(x)) / 2")],
        [("np.maximum(x, 0)", "x.copy(); y[y < 0] = 0")],
        [('x = input["data"]', 'input = dict(input); x = input["data"]')],
        [('return {**input, "data": y}',
          'return convnet.as_structure(y.reshape(convnet.as_images(input, "").shape))')],
    ],
)  # fmt: skip
def test_right_relu_passes(changes, capsys):
    passes(numpy_lenet.relu_forward, written(RELU, *changes), capsys)


@pytest.mark.parametrize(
    "instead, hint, parts",
    [
        ("x", "nothing is done", 4),
        ("x.copy()", "nothing is done", 4),
        ("np.abs(x)", "absolute value", 4),
        ("np.maximum(x, 0.01 * x)", "leaky ReLU of slope 0.01", 4),
        ("np.maximum(x, 0.1 * x)", "leaky ReLU of slope 0.1", 4),
        ("np.clip(x, 0, 1)", "clipped at 1", 1),
        ("np.clip(x, 0, 6)", "clipped at 6", 1),
        ("(x > 0) * 1.0", "1 is returned for positive", 4),
        ("np.sign(x)", "it is the sign", 4),
        ("np.minimum(x, 0)", "the smaller", 4),
        ("np.maximum(-x, 0)", "larger of -x", 4),
        ("np.maximum(x, 1)", "x and 1", 4),
        ("x * (x > 1)", "between 0 and 1", None),
        ("1 / (1 + np.exp(-x))", "a sigmoid", 4),
        ("np.tanh(x)", "tanh", 4),
        ("np.log1p(np.exp(x))", "softplus", 4),
        ("np.maximum(x, 0).T", "transposed", 4),
        ("-np.maximum(x, 0)", "the sign is wrong", 4),
        ("np.maximum(x, 0, out=x)", "changed in place", 1),
        ("x * 0", "nothing but zeros", 4),
    ],
)
def test_wrong_relu_is_named(instead, hint, parts):
    fails(numpy_lenet.relu_forward, RELU, [("np.maximum(x, 0)", instead)], hint, parts)


@pytest.mark.parametrize(
    "returned, hint, parts",
    [
        ("y", "the array is returned alone", 4),
        ('{"data": y}', "no channel and no height", 1),
        ('{**input, "data": y, "height": input["width"], "width": input["height"]}',
         "height and width are swapped", 1),
        ('input | {"data": y, "height": len(y)}', "height should be computed", 1),
        ('input.update(data=y) or input', "changed in place", 1),
    ],
)  # fmt: skip
def test_wrong_relu_structures_are_named(returned, hint, parts):
    changes = [('{**input, "data": y}', returned)]
    fails(numpy_lenet.relu_forward, RELU, changes, hint, parts)


RELU_BACK = """
def relu_backward(output, input, layer):
    x, diff = input["data"], output["diff"]
    return diff * (x > 0)
"""


@pytest.mark.parametrize(
    "instead",
    [
        "diff * (x > 0)",
        "diff * (x >= 0)",
        "diff * (np.sign(x) + 1) / 2",
        "np.where(x > 0, diff, 0)",
        'diff * (output["data"] > 0)',
        'diff * np.sign(output["data"])',
        "diff * np.heaviside(x, 0.5)",
    ],
)
def test_right_relu_gradients_pass(instead, capsys):
    answer = written(RELU_BACK, ("diff * (x > 0)", instead))
    passes(numpy_lenet.relu_backward, answer, capsys)


@pytest.mark.parametrize(
    "instead, hint, parts",
    [
        ("diff", "the whole gradient passes", 4),
        ("diff * (diff > 0)", "sign of the gradient decides", 4),
        ("np.maximum(diff, 0)", "sign of the gradient decides", 4),
        ("diff * (diff > 0) * (x > 0)", "has to be positive too", 4),
        ("diff * (x < 0)", "where the input was negative", 4),
        ("(x > 0) * 1.0", "the mask alone", 4),
        ("x * (x > 0)", "input is passed back", 4),
        ("diff * x * (x > 0)", "multiplied by the input", 4),
        ("diff * np.sign(x)", "multiplied by the sign", 4),
        ("-diff * (x > 0)", "the sign is wrong", 4),
        ("np.where(x > 0, diff, 0.01 * diff)", "leaky ReLU of slope 0.01", 4),
        ("diff * (x > 0) / x.shape[1]", "divided by the batch size", 4),
        ("diff * (x > 1)", "nothing but zeros|above 1", 4),
        ("diff * (x > 0.5)", "threshold is 0.5", None),
        ("(diff * (x > 0)).T", "transposed", 4),
        ("np.multiply(diff, x > 0, out=diff)", "changed in place", 1),
        ("diff * (x > 0) + 2 * diff * (x == 0)", "", 1),
        ("diff * (x > 0) - diff * (x == 0)", "", 1),
    ],
)
def test_wrong_relu_gradients_are_named(instead, hint, parts):
    answer = written(RELU_BACK, ("diff * (x > 0)", instead))
    if hint:
        fails(numpy_lenet.relu_backward, RELU_BACK, [("diff * (x > 0)", instead)], hint, parts)
    else:
        assert checks.score(numpy_lenet.relu_backward, answer).passed == 3


def test_relu_left_out_forwards_and_backwards_alike_is_refused():
    nothing_done = written(RELU, ("np.maximum(x, 0)", "x"))
    all_passes = written(RELU_BACK, ("diff * (x > 0)", "diff"))
    assert checks.score(numpy_lenet.relu_forward, nothing_done).passed == 0
    assert checks.score(numpy_lenet.relu_backward, all_passes).passed == 0


# --- inner product

IP = """
def inner_product_forward(input, layer, param):
    w, b, x = param["w"], param["b"], input["data"]
    z = w @ x + b[:, np.newaxis]
    num, n = z.shape
    return {"height": num, "width": 1, "channel": 1, "batch_size": n, "data": z, "diff": None}
"""
IP_Z = "w @ x + b[:, np.newaxis]"


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [(IP_Z, "np.dot(w, x) + np.repeat(b.reshape(-1, 1), x.shape[1], axis=1)")],
        [(IP_Z, "np.einsum('nd,db->nb', w, x) + b[:, None]")],
        [(IP_Z, "(x.T @ w.T + b).T")],
        [(IP_Z, "np.array([w @ x[:, i] + b for i in range(x.shape[1])]).T")],
        [("num, n = z.shape", 'num, n = layer["num"], input["batch_size"]')],
    ],
)
def test_right_inner_products_pass(changes, capsys):
    passes(numpy_lenet.inner_product_forward, written(IP, *changes), capsys)


@pytest.mark.parametrize(
    "changes, hint, parts",
    [
        ([(IP_Z, "w @ x")], "the bias is missing", 2),
        ([(IP_Z, "w @ x - b[:, None]")], "the bias is subtracted", 2),
        ([(IP_Z, "w @ x + 2 * b[:, None]")], "added twice", 2),
        ([(IP_Z, "w @ x + b.mean()")], "the mean of the biases", 2),
        ([(IP_Z, "w @ x + b[0]")], "the first bias", 2),
        ([(IP_Z, "w @ x + (b if len(b) == x.shape[1] else b[:, None])")], "along the batch", 1),
        ([(IP_Z, "w @ x + b")], "b runs along the batch", None),
        ([(IP_Z, "w.T @ x + b[:, None]")], "a factor is transposed", None),
        ([(IP_Z, "(w.T if w.shape[0] == w.shape[1] else w) @ x + b[:, None]")],
         "W is transposed", 1),
        ([(IP_Z, "x.T @ w + b[:, None]")], "a factor is transposed", None),
        ([(IP_Z, "(w @ x + b[:, None]).T")], "a row is an image", None),
        ([(IP_Z, "np.repeat(w @ x[:, :1] + b[:, None], x.shape[1], 1)")],
         "every image gets the output of the first", 3),
        ([(IP_Z, "np.maximum(w @ x + b[:, None], 0)")], "ReLU is applied", None),
        ([(IP_Z, "np.exp(w @ x + b[:, None]); z = z / z.sum(0)")], "a softmax is applied", None),
        ([('"data": z', '"data": z[:2]')], "", None),
        ([('"height": num, "width": 1', '"height": 1, "width": num')], "swapped", 1),
        ([('"width": 1, "channel": 1', '"width": 1, "channel": num')], "channel should be", 1),
        ([('"width": 1, ', "")], "no width", 1),
        ([("num, n = z.shape", "num, n = 500, 64")], "height and batch_size|batch_size", 1),
        ([("num, n = z.shape", "num, n = z.shape; input['data'] = z")], "changed in place", 1),
        ([(IP_Z, "w @ x + b[:, None]; b += 1")], "changed in place", 1),
        ([('return {', 'return z; {')], "the array is returned alone", 6),
    ],
)  # fmt: skip
def test_wrong_inner_products_are_named(changes, hint, parts):
    if hint:
        fails(numpy_lenet.inner_product_forward, IP, changes, hint, parts)
    else:
        assert checks.score(numpy_lenet.inner_product_forward, written(IP, *changes)).passed < 6


IP_BACK = """
def inner_product_backward(output, input, layer, param):
    diff, x, w = output["diff"], input["data"], param["w"]
    d_w = diff @ x.T
    d_b = diff.sum(axis=1)
    return {"w": d_w, "b": d_b}, w.T @ diff
"""


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [("diff @ x.T", "np.einsum('nb,db->nd', diff, x)")],
        [("diff @ x.T", "sum(np.outer(diff[:, i], x[:, i]) for i in range(x.shape[1]))")],
        [("diff.sum(axis=1)", "diff @ np.ones(diff.shape[1])")],
        [("w.T @ diff", "(diff.T @ w).T")],
        [("return {", "return [{"), ("w.T @ diff", "w.T @ diff]")],
    ],
)
def test_right_inner_product_gradients_pass(changes, capsys):
    passes(numpy_lenet.inner_product_backward, written(IP_BACK, *changes), capsys)


@pytest.mark.parametrize(
    "changes, hint, parts",
    [
        ([("diff @ x.T", "diff @ x.T / x.shape[1]")], "divided by the batch size", 1),
        ([("diff.sum(axis=1)", "diff.mean(axis=1)")], "divided by the batch size", 1),
        ([("w.T @ diff", "w.T @ diff / x.shape[1]")], "divided by the batch size", 1),
        ([("diff @ x.T", "diff @ x.T * x.shape[1]")], "multiplied by the batch size", 1),
        ([("diff.sum(axis=1)", "diff.sum(axis=1, keepdims=True)")], "kept as a column", 2),
        ([("diff.sum(axis=1)", "diff.sum(axis=1)[None]")], "kept as a row", 2),
        ([("diff.sum(axis=1)", "diff.sum(axis=0)")], "summed over the units", 2),
        ([("diff.sum(axis=1)", "diff")], "not summed over the images", 2),
        ([("diff.sum(axis=1)", "diff.sum()")], "one number for all units", 2),
        ([("diff.sum(axis=1)", "diff[:, 0]")], "only the first image counts", 1),
        ([("diff.sum(axis=1)", "np.zeros(len(diff))")], "b is left at zero", 2),
        ([("diff @ x.T", "x @ diff.T")], "the gradient is transposed", 2),
        ([("diff @ x.T", "np.outer(diff[:, -1], x[:, -1])")], "only the last image", 1),
        ([("diff @ x.T", "np.zeros_like(w)")], "nothing but zeros", 2),
        ([("diff @ x.T", "w")], "w and b themselves", 2),
        ([('diff, x, w = output["diff"]', 'diff, x, w = output["data"]')],
         r"output\['data'\] is used", 4),
        ([("diff @ x.T", "-diff @ x.T")], "subtracted", 2),
        ([('{"w": d_w, "b": d_b}', '{"w": d_b, "b": d_w}')], "w and b are swapped", 3),
        ([('return {"w": d_w, "b": d_b}, w.T @ diff', 'return w.T @ diff, {"w": d_w, "b": d_b}')],
         "wrong order", 4),
        ([(', w.T @ diff', '')], "returned alone", 4),
        ([('{"w": d_w, "b": d_b}', '{"w": d_w}')], "gradient of b is missing", 4),
        ([("w.T @ diff", "w @ diff")], "a factor is transposed", None),
        ([("w.T @ diff", "(w if len(w) == len(x) else w.T) @ diff")], "has to be transposed", 1),
        ([("w.T @ diff", "(w.T @ diff).T")], "transposed", None),
        ([("d_w = diff", "diff /= 2; d_w = 2 * diff"), ("diff.sum(axis=1)", "2 * diff.sum(axis=1)"),
          ("w.T @ diff", "2 * w.T @ diff")], "changed in place", 1),
        ([("d_w = ", 'd_w = param["w"] = ')], "changed in place", 1),
    ],
)  # fmt: skip
def test_wrong_inner_product_gradients_are_named(changes, hint, parts):
    fails(numpy_lenet.inner_product_backward, IP_BACK, changes, hint, parts)


# --- max pooling, backwards

POOL_BACK = """
def pooling_layer_backward(output, input, layer):
    k, s = layer["k"], layer["stride"]
    c, h, w, n = (input[name] for name in ("channel", "height", "width", "batch_size"))
    rows, columns = output["height"], output["width"]
    images = input["data"].reshape(c, h, w, n)
    diff = output["diff"].reshape(c, rows, columns, n)
    input_od = np.zeros((c, h, w, n))
    for i, j in np.ndindex(rows, columns):
        for channel in range(c):
            for image in range(n):
                window = images[channel, i * s : i * s + k, j * s : j * s + k, image]
                a, b = np.unravel_index(window.argmax(), window.shape)
                input_od[channel, i * s + a, j * s + b, image] += diff[channel, i, j, image]
    return input_od.reshape(-1, n)
"""
BEST = "a, b = np.unravel_index(window.argmax(), window.shape)"
ADD = "input_od[channel, i * s + a, j * s + b, image] += diff[channel, i, j, image]"
TARGET = "input_od[channel, i * s : i * s + k, j * s : j * s + k, image]"
WHOLE = TARGET + " += {} * diff[channel, i, j, image]"
MASKED = WHOLE.format("(window == window.max())")


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [(BEST, "a, b = np.argwhere(window == window.max())[-1]")],  # the last
        [(BEST, "a, b = np.argwhere(window.T == window.max())[0][::-1]")],  # column by column
        [(BEST, "m = window == window.max(); m = m / m.sum()"), (ADD, WHOLE.format("m"))],
        [("window.argmax()", "np.flatnonzero(window.ravel() == output['data'].reshape("
          "c, rows, columns, n)[channel, i, j, image])[0]")],
        [("np.zeros((c, h, w, n))", "np.zeros_like(images)")],
    ],
)  # fmt: skip
def test_right_pooling_gradients_pass(changes, capsys):
    passes(numpy_lenet.pooling_layer_backward, written(POOL_BACK, *changes), capsys)


def test_the_pooling_gradient_of_slices_passes(capsys):
    source = """
    def pooling_layer_backward(output, input, layer):
        images, diff = convnet.as_images(input, ""), convnet.as_images(output, "", "diff")
        maxima = convnet.as_images(output, "")
        input_od, waiting = np.zeros_like(images), np.ones(maxima.shape, bool)
        size = maxima.shape[1:3]
        for rows, columns in numpy_layers.window_slices(layer["k"], layer["stride"], size):
            first = waiting & (images[:, rows, columns] == maxima)
            input_od[:, rows, columns] += diff * first
            waiting &= ~first
        return input_od.reshape(input["data"].shape)
    """
    passes(numpy_lenet.pooling_layer_backward, written(source), capsys)
    fails(
        numpy_lenet.pooling_layer_backward,
        source,
        [("+= diff * first", "= diff * first")],
        "have to be added",
        1,
    )
    fails(
        numpy_lenet.pooling_layer_backward,
        source,
        [("waiting &= ~first", "")],
        "every pixel that attains the maximum gets the whole",
        1,
    )


@pytest.mark.parametrize(
    "changes, hint, parts",
    [
        ([(ADD, MASKED)], "every pixel that attains the maximum gets the whole gradient", 1),
        ([(ADD, ADD.replace("+=", "="))], "have to be added", 1),
        ([(ADD, "share = np.zeros((k, k)); share[a, b] = 1; "
           + WHOLE.replace("+=", "=").format("share"))], "have to be added", 1),
        ([(ADD, WHOLE.format("1 / k**2"))], "spread evenly", 7),
        ([(ADD, WHOLE.format("1"))], "every pixel of the window gets the whole", 7),
        ([(BEST, "a = b = 0")], "first pixel of each window", 7),
        ([("argmax", "argmin")], "smallest pixel", 7),
        ([(ADD, "input_od[channel, i * s + b, j * s + a, image] += diff[channel, i, j, image]")],
         "row and column inside the window are swapped", 7),
        ([("+= diff[channel, i, j, image]", "+= window.max() * diff[channel, i, j, image]")],
         "multiplied by the maximum", 7),
        ([("+= diff[channel, i, j, image]", "+= 1")], r"output\['diff'\] is not used", 7),
        ([('output["diff"]', 'output["data"]')], r"output\['data'\] is passed back", 7),
        ([("+= diff[", "-= diff[")], "the sign is wrong", 7),
        ([("range(c)", "range(1)")], "only the first channel", 1),
        ([("range(n)", "range(1)")], "only the first image", 1),
        ([("diff[channel, i, j, image]", "diff[0, i, j, image]")], "every channel gets", 1),
        ([("diff[channel, i, j, image]", "diff[channel, i, j, 0]")], "every image gets", 1),
        ([('layer["stride"]', 'layer["k"]')], "stride is taken to be k|raised|", None),
        ([('k, s = layer["k"], layer["stride"]', "k, s = 2, 2")], "", None),
        ([('layer["k"]', "2")], r"window is 2 × 2, whatever layer\['k'\]", None),
        ([('layer["stride"]', "1")], "stride is taken to be 1", None),
        ([("images = input[\"data\"].reshape(c, h, w, n)",
           "images = input[\"data\"].reshape(h, w, c, n).transpose(2, 0, 1, 3)")],
         "data is read as height · width · channel", 1),
        ([("reshape(c, rows, columns, n)", "reshape(rows, columns, c, n).transpose(2, 0, 1, 3)")],
         "diff: data is read as height · width · channel", 1),
        ([("reshape(c, rows, columns, n)", "reshape(n, c, rows, columns).transpose(1, 2, 3, 0)")],
         "diff: data is reshaped with the batch first", 1),
        ([("input_od.reshape(-1, n)", "input_od.transpose(1, 2, 0, 3).reshape(-1, n)")],
         "flattened as height · width · channel", 1),
        ([("input_od.reshape(-1, n)", "input_od.transpose(3, 0, 1, 2).reshape(-1, n)")],
         "batch first", 1),
        ([("input_od.reshape(-1, n)", "input_od")], "only the shape is not", 7),
        ([("input_od.reshape(-1, n)", "input_od.reshape(-1, n).T")], "a row is an image", 7),
        ([(BEST, "a, b = np.unravel_index(np.maximum(window, 0).argmax(), window.shape)")],
         "starts from 0", None),
        ([("range(n):", "range(n):\n                if images[channel, i * s : i * s + k, "
           "j * s : j * s + k, image].max() <= 0: continue")], "starts from 0", None),
        ([("input_od.reshape(-1, n)", "input_od.reshape(-1, n) / k**2")], "divided by k²", None),
        ([("np.ndindex(rows, columns)", "np.ndindex(rows - 1, columns - 1)")],
         "last row and column", None),
        ([("np.zeros((c, h, w, n))", "images")], "", None),
        ([("return input_od", 'output["diff"] *= 2; return input_od')], "changed in place", 1),
        ([("return input_od", 'input["diff"] = input_od; return input_od')], "changed in place", 1),
    ],
)  # fmt: skip
def test_wrong_pooling_gradients_are_named(changes, hint, parts):
    check = numpy_lenet.pooling_layer_backward
    if hint:
        fails(check, POOL_BACK, changes, hint, parts)
    else:
        assert checks.score(check, written(POOL_BACK, *changes)).passed < 7


# --- convolution, in loops

LOOPS = """
def convolution_loops(image, w):
    channels, height, width = image.shape
    filters, _, k, _ = w.shape
    rows, columns = height - k + 1, width - k + 1
    out = np.zeros((filters, rows, columns))
    for f in range(filters):
        for i in range(rows):
            for j in range(columns):
                for c in range(channels):
                    for a in range(k):
                        for b in range(k):
                            out[f, i, j] += w[f, c, a, b] * image[c, i + a, j + b]
    return out
"""
PRODUCT = "out[f, i, j] += w[f, c, a, b] * image[c, i + a, j + b]"


def test_right_convolutions_pass(capsys):
    for source in (
        LOOPS,
        """
        def convolution_loops(image, w):
            windows = np.lib.stride_tricks.sliding_window_view(image, w.shape[2:], axis=(1, 2))
            return np.einsum("fcab,cijab->fij", w, windows)
        """,
        """
        def convolution_loops(image, w):
            zero = np.zeros(len(w), w.dtype)
            return numpy_layers.convolution_forward(image[..., None], w, zero)[0][..., 0]
        """,
        """
        def convolution_loops(image, w):
            k = w.shape[-1]
            return np.array([[[float(np.sum(f * image[:, i : i + k, j : j + k]))
                for j in range(image.shape[2] - k + 1)]
                for i in range(image.shape[1] - k + 1)] for f in w])
        """,
    ):
        passes(numpy_lenet.convolution_loops, written(source), capsys)


@pytest.mark.parametrize(
    "changes, hint, parts",
    [
        ([("w[f, c, a, b]", "w[f, c, k - 1 - a, k - 1 - b]")], "turned round by 180°", 5),
        ([("w[f, c, a, b]", "w[f, c, b, a]")], "transposed", 5),
        ([("w[f, c, a, b]", "w[f, c, a, k - 1 - b]")], "mirrored", 5),
        ([("w[f, c, a, b]", "w[f, c, k - 1 - a, b]")], "upside down", 5),
        ([("w[f, c, a, b]", "w[f, 0, a, b]")], "filter of the first channel", 3),
        ([("w[f, c, a, b]", "w[0, c, a, b]")], "first filter is used for all", 2),
        ([("+=", "=")], "only one product of each window", 5),
        ([("range(channels)", "range(1)")], "only the first channel", 3),
        ([("for c in range(channels):", "for c in range(channels):\n"
           "                    out[f, i, j] = 0")], "only the last channel", 3),
        ([("return out", "return out / channels")], "mean over the channels", 3),
        ([("return out", "return out / w[0].size")], "mean of the products", 5),
        ([("- k + 1, width - k + 1", "- k, width - k")], "off by one", 5),
        ([("range(rows)", "range(rows - 1)"), ("range(columns)", "range(columns - 1)")],
         "off by one", 5),
        ([("np.zeros((filters, rows, columns))", "np.zeros((filters, height, width))")],
         "as large as the image", 5),
        ([("return out", "return out.swapaxes(1, 2)")], "rows and columns", 5),
        ([("return out", "return np.moveaxis(out, 0, -1)")], "filters come last", 5),
        ([("return out", "return out.sum(0)")], "outputs of the filters are summed", 5),
        ([("range(filters)", "range(1)")], "only the first filter", 2),
        ([("out[f, i, j] +=", "out[c, i, j] +="), ("np.zeros((filters,", "np.zeros((channels,"),
          ("range(filters)", "range(1)")], "channels of the image are not summed", 3),
        ([("channels, height", "image = np.pad(image, ((0, 0), (w.shape[2] // 2,) * 2, "
           "(w.shape[2] // 2,) * 2)); channels, height")], "padded with zeros", 5),
        ([("return out", "return np.maximum(out, 0)")], "ReLU is applied", 5),
        ([("return out", "image *= 2; return out")], "changed in place", 1),
        ([("return out", "w[...] = w[:, :, ::-1, ::-1]; return out")], "changed in place", 1),
        ([("return out", "return out * 0")], "nothing but zeros", 5),
    ],
)  # fmt: skip
def test_wrong_convolutions_are_named(changes, hint, parts):
    fails(numpy_lenet.convolution_loops, LOOPS, changes, hint, parts)


LOOPS_BACK = """
def convolution_backward_loops(d_outputs, image, w):
    filters, channels, k, _ = w.shape
    _, rows, columns = d_outputs.shape
    d_w, d_image = np.zeros(w.shape), np.zeros(image.shape)
    for f in range(filters):
        for i in range(rows):
            for j in range(columns):
                for c in range(channels):
                    for a in range(k):
                        for b in range(k):
                            d_w[f, c, a, b] += d_outputs[f, i, j] * image[c, i + a, j + b]
                            d_image[c, i + a, j + b] += d_outputs[f, i, j] * w[f, c, a, b]
    return d_w, d_image
"""
D_W = "d_w[f, c, a, b] += d_outputs[f, i, j] * image[c, i + a, j + b]"
D_IMAGE = "d_image[c, i + a, j + b] += d_outputs[f, i, j] * w[f, c, a, b]"


def test_right_convolution_gradients_pass(capsys):
    for source in (
        LOOPS_BACK,
        """
        def convolution_backward_loops(d_outputs, image, w):
            k, view = w.shape[2], np.lib.stride_tricks.sliding_window_view
            windows = view(image, d_outputs.shape[1:], axis=(1, 2))
            d_w = np.einsum("fij,cabij->fcab", d_outputs, windows)
            padded = np.pad(d_outputs, ((0, 0), (k - 1, k - 1), (k - 1, k - 1)))
            windows = view(padded, (k, k), axis=(1, 2))
            return d_w, np.einsum("fcab,fijab->cij", w[:, :, ::-1, ::-1], windows)
        """,
        """
        def convolution_backward_loops(d_outputs, image, w):
            columns = numpy_layers.im2col(image[..., None], w.shape[2])
            d_image, d_w, _ = numpy_layers.convolution_backward(
                d_outputs[..., None], columns, w, (*image.shape, 1))
            return [d_w, d_image[..., 0]]
        """,
    ):
        passes(numpy_lenet.convolution_backward_loops, written(source), capsys)


FULL = """
def convolution_backward_loops(d_outputs, image, w):
    k, view = w.shape[2], np.lib.stride_tricks.sliding_window_view
    d_w = np.einsum("fij,cabij->fcab", d_outputs, view(image, d_outputs.shape[1:], axis=(1, 2)))
    padded = np.pad(d_outputs, ((0, 0), (k - 1, k - 1), (k - 1, k - 1)))
    return d_w, np.einsum("fcab,fijab->cij", w[:, :, ::-1, ::-1], view(padded, (k, k), axis=(1, 2)))
"""


@pytest.mark.parametrize(
    "source, changes, hint, parts",
    [
        (FULL, [("w[:, :, ::-1, ::-1]", "w")], "a correlation with the filter as it lies", 5),
        (FULL, [("w[:, :, ::-1, ::-1]", "w[:, :, ::-1]")], "along one axis", 5),
        (FULL, [("w[:, :, ::-1, ::-1]", "w.swapaxes(2, 3)[:, :, ::-1, ::-1]")], "transposed", 5),
        (LOOPS_BACK, [(D_W, D_W.replace("+=", "="))], "overwritten at each place", 5),
        (LOOPS_BACK, [(D_IMAGE, D_IMAGE.replace("+=", "="))], "keeps the gradient of the last", 5),
        (LOOPS_BACK, [("return d_w, d_image", "return d_image, d_w")], "wrong order", 9),
        (LOOPS_BACK, [("return d_w, d_image", "return d_w")], "returned alone", 9),
        (LOOPS_BACK, [("return d_w,", "return d_w[:, :, ::-1, ::-1],")], "turned round by 180°", 5),
        (LOOPS_BACK, [("return d_w,", "return d_w.swapaxes(2, 3),")], "transposed", 5),
        (LOOPS_BACK, [("return d_w,", "return d_w.swapaxes(0, 1),")], "filters and channels", None),
        (LOOPS_BACK, [("return d_w,", "return d_w / d_outputs[0].size,")], "mean over the places", 5),
        (LOOPS_BACK, [("return d_w,", "return -d_w,")], "the sign is wrong", 5),
        (LOOPS_BACK, [("return d_w,", "return d_w * 0,")], "nothing but zeros|stay at zero", 5),
        (LOOPS_BACK, [("return d_w, d_image", "return d_w, -d_image")], "the sign is wrong", 5),
        (LOOPS_BACK, [(D_W, D_W.replace("d_outputs[f, i, j]", "1"))], "d_outputs is not used", 5),
        (LOOPS_BACK, [(D_IMAGE, D_IMAGE.replace("d_outputs[f, i, j]", "1"))],
         "d_outputs is not used", 5),
        (LOOPS_BACK, [(D_W, D_W.replace("d_outputs[f,", "d_outputs[0,"))], "first output", 2),
        (LOOPS_BACK, [(D_IMAGE, D_IMAGE.replace("w[f, c", "w[f, 0"))], "filter of the first", 3),
        (LOOPS_BACK, [(D_IMAGE, D_IMAGE.replace("w[f, c", "w[0, c"))], "first filter is used", 2),
        (LOOPS_BACK, [(D_IMAGE, D_IMAGE.replace("w[f, c, a, b]", "w[f, c, b, a]"))],
         "transposed", 5),
        (LOOPS_BACK, [(D_IMAGE, D_IMAGE.replace("w[f, c, a, b]", "1"))], "weights are not used", 5),
        (LOOPS_BACK, [("range(rows)", "range(rows - 1)"),
                      ("range(columns)", "range(columns - 1)")], "last row and column", 9),
        (LOOPS_BACK, [("return d_w, d_image", "e = k - 1; h = image.shape[1]; v = image.shape[2]; "
                       "m = 0 * d_image; m[:, e : h - e, e : v - e] = d_image[:, e : h - e, "
                       "e : v - e]; return d_w, m")], "border is lost", None),
        (FULL, [("((0, 0), (k - 1, k - 1), (k - 1, k - 1))", "((0, 0), (0, 0), (0, 0))")],
         "", None),
        (LOOPS_BACK, [("for f in range(filters):", "for f in range(filters):\n"
                       "        d_image = np.zeros(image.shape)")], "only the last filter", 2),
        (LOOPS_BACK, [("return d_w,", "return d_w.sum(1),")], "channels are summed", None),
        (LOOPS_BACK, [("return d_w,", "d_outputs *= 2; return d_w,")], "changed in place", 1),
        (LOOPS_BACK, [("return d_w,", "w += 1; return d_w,")], "changed in place", 1),
        (LOOPS_BACK, [("return d_w,", "image[...] = 0; return d_w,")], "changed in place", 1),
    ],
)  # fmt: skip
def test_wrong_convolution_gradients_are_named(source, changes, hint, parts):
    check = numpy_lenet.convolution_backward_loops
    if hint:
        fails(check, source, changes, hint, parts)
    else:
        assert checks.score(check, written(source, *changes)).passed < 9


def test_correlating_with_the_unflipped_filter_costs_only_the_image(capsys):
    """It is the classic mistake, and d_w earns its points all the same."""
    answer = written(FULL, ("w[:, :, ::-1, ::-1]", "w"))
    checks.graded(numpy_lenet.convolution_backward_loops, answer, 9)
    lines = capsys.readouterr().out
    assert lines.count("✓") == 4 and lines.count("✗") == 5
    assert lines.count("a correlation with the filter as it lies") == 1


# --- the layer with im2col and col2im

LAYER = """
def conv_layer_backward(output, input, layer, param):
    num, k, stride, pad = (layer[name] for name in ("num", "k", "stride", "pad"))
    diff = output["diff"].reshape(num, -1)
    columns = output["columns"]
    d_w = diff @ columns.T
    d_b = diff.sum(axis=1)
    d_columns = param["w"].T @ diff
    input_od = convnet.col2im_conv(d_columns, input, layer)
    return {"w": d_w, "b": d_b}, input_od
"""
COLUMNS = 'columns = output["columns"]'
COL2IM = "convnet.col2im_conv(d_columns, input, layer)"


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [(COLUMNS, "columns = convnet.im2col_conv(input, layer)")],
        [("diff.sum(axis=1)", 'convnet.as_images(output, "", "diff").sum(axis=(1, 2, 3))')],
        [("diff @ columns.T", "(columns @ diff.T).T")],
    ],
)
def test_right_convolution_layers_pass(changes, capsys):
    passes(numpy_lenet.conv_layer_backward, written(LAYER, *changes), capsys)
    numpy_lenet.conv_layer_backward(convnet.conv_layer_backward)


@pytest.mark.parametrize(
    "changes, hint, parts",
    [
        ([("diff @ columns.T", "np.zeros_like(param['w'])")], "w is left at zero", 4),
        ([("diff @ columns.T", "param['w']")], "w itself is returned", 4),
        ([("diff @ columns.T", "(diff @ columns.T).T")], "w is transposed", 4),
        ([("diff @ columns.T", '(diff @ columns.T).reshape(num, input["channel"], k, k)')],
         "keeps the shape", 4),
        ([("diff @ columns.T", 'diff @ columns.T / input["batch_size"]')],
         "divided by the batch size", 3),
        ([("diff @ columns.T", 'diff @ columns.T * input["batch_size"] / diff.shape[1]')],
         "mean over the windows", None),
        ([("diff @ columns.T", "diff @ columns.T / diff.shape[1]")],
         "mean over (the )?windows", 4),
        ([("diff.sum(axis=1)", "np.zeros(num)")], "b is left at zero", 2),
        ([("diff.sum(axis=1)", "diff.mean(axis=1)")], "mean over (the )?windows", 2),
        ([("diff.sum(axis=1)", "diff.sum(axis=1, keepdims=True)")], "kept as a column", 2),
        ([("diff.sum(axis=1)", 'diff.sum(axis=1) / input["batch_size"]')],
         "divided by the batch size", 1),
        ([("diff.sum(axis=1)", 'output["diff"].sum(axis=1)')], "images only", 2),
        ([("diff.sum(axis=1)", "np.full(num, diff.sum())")], "over the filters too", 2),
        ([("diff.sum(axis=1)", 'diff.reshape(num, -1, input["batch_size"])[..., 0].sum(1)')],
         "only the first image", 1),
        ([('"w": d_w, "b": d_b', '"w": d_w')], "gradient of b is missing", 8),
        ([('return {"w": d_w, "b": d_b}, input_od', 'return input_od, {"w": d_w, "b": d_b}')],
         "wrong order", 8),
        ([(COL2IM, "0 * " + COL2IM)], "input_od is left at zero", 4),
        ([("diff = output", 'diff = output["data"].reshape(num, -1); _ = output')],
         r"output\['data'\] is used", None),
        ([(COLUMNS, 'columns = convnet.im2col_conv(input, layer | {"pad": 0})')],
         "", None),
        ([("param[\"w\"].T", "param[\"w\"].reshape(num, -1, k, k)[:, :, ::-1, ::-1]"
           ".reshape(num, -1).T")], "turned round once too often", 4),
        ([("param[\"w\"].T", "param[\"w\"].reshape(num, k, k, -1).transpose(0, 3, 1, 2)"
           ".reshape(num, -1).T")], "channel last", None),
        ([(COL2IM, COL2IM + "; input_od[...] = input_od[:, [0]]")],
         "all images get the gradient of the first", 3),
        ([(COL2IM, COL2IM + '; input_od = input_od.reshape(input["channel"], input["height"], '
           'input["width"], -1).transpose(1, 2, 0, 3).reshape(input_od.shape)')],
         "flattened as height · width · channel", None),
        ([(COL2IM, COL2IM + "; input_od = input_od.T")], "a row is an image", 4),
        ([('output["diff"].reshape(num, -1)',
           'output["diff"].reshape(output["height"], output["width"], num, -1)'
           '.transpose(2, 0, 1, 3).reshape(num, -1)')],
         "output\\['diff'\\]: data is read as height · width · channel", None),
        ([(COL2IM, "numpy_layers.pad(" + COL2IM + '.reshape(input["channel"], input["height"], '
           'input["width"], -1), pad); input_od = input_od.reshape(-1, input["batch_size"])')],
         "", None),
        ([(COL2IM, COL2IM + "; diff *= 2")], "changed in place", 1),
        ([(COL2IM, COL2IM + '; param["w"] -= d_w')], "changed in place", 1),
    ],
)  # fmt: skip
def test_wrong_convolution_layers_are_named(changes, hint, parts):
    check = numpy_lenet.conv_layer_backward
    if hint:
        fails(check, LAYER, changes, hint, parts)
    else:
        assert checks.score(check, written(LAYER, *changes)).passed < 8


def test_a_stride_or_a_padding_that_is_ignored_costs_its_parts():
    source = """
    def conv_layer_backward(output, input, layer, param):
        images, w = convnet.as_images(input, ""), param["w"]
        k, s, p = layer["k"], layer["stride"], layer["pad"]
        channel, height, width, n = images.shape
        diff = convnet.as_images(output, "", "diff")
        padded = np.pad(images, ((0, 0), (p, p), (p, p), (0, 0)))
        filters = w.reshape(len(w), channel, k, k)
        d_w, d_padded = np.zeros(filters.shape), np.zeros(padded.shape)
        for i in range(diff.shape[1]):
            for j in range(diff.shape[2]):
                here = slice(s * i, s * i + k), slice(s * j, s * j + k)
                window = padded[:, here[0], here[1]]
                if window.shape[1:3] != (k, k):
                    continue
                d_w += np.einsum("fn,cabn->fcab", diff[:, i, j], window)
                d_padded[:, here[0], here[1]] += np.einsum("fn,fcab->cabn", diff[:, i, j], filters)
        input_od = d_padded[:, p : p + height, p : p + width].reshape(-1, n)
        return {"w": d_w.reshape(w.shape), "b": diff.sum((1, 2, 3))}, input_od
    """
    check = numpy_lenet.conv_layer_backward
    check(written(source))
    fails(check, source, [('layer["stride"]', "1")], r"layer\['stride'\] is ignored", 4)
    fails(check, source, [('layer["pad"]', "0")], r"layer\['pad'\] is ignored", 2)
    overwritten = [("d_padded[:, here[0], here[1]] +=", "d_padded[:, here[0], here[1]] =")]
    fails(check, source, overwritten, "those of all windows that hold it are summed", None)
    corner = [("p : p + height, p : p + width", ":height, :width")]
    fails(check, source, corner, "cut off at one side only", 1)
    whole = [("[:, p : p + height, p : p + width]", "")]
    fails(check, source, whole, "border is not cut off", 1)
