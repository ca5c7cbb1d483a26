"""The checks of the NumPy LeNet pass every right answer, and name the mistake in wrong ones."""

import re

import numpy as np
import planting
import pytest

from helpers import checks, convnet, numpy_layers
from helpers.checks import CheckError, NotWrittenYet, numpy_lenet
from helpers.checks.numpy_lenet import toy, updates

# What NumPy warns of in some of the planted answers.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

Changes = list[tuple[str, str]]


def written(source: str, *changes: tuple[str, str]) -> object:
    """Return the last function of `source`, each `old` in it replaced by `new`."""
    names = {"np": np, "convnet": convnet, "numpy_layers": numpy_layers}
    before = set(names)
    exec(compile(planting.edited(source, changes), "answer", "exec"), names)
    return [value for name, value in names.items() if name not in before][-1]


def passes(check, answer, capsys) -> None:
    notes(check, answer, capsys)


def notes(check, answer, capsys) -> list[str]:
    """Assert that the answer passes, and return what is noted below the line that says so."""
    check(answer)
    line, *below = capsys.readouterr().out.splitlines()
    assert line.startswith(f"✓ {check.name}: ")
    assert all(words.startswith("  Note: ") for words in below)
    return below


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


def test_a_maximum_written_into_the_images_is_named():
    change = [("part.copy()", "part")]
    hint = r"writes into an array .*through a view.* start from \.copy\(\)"
    fails(numpy_lenet.pooling_layer_forward, POOL_COLUMNS, change, hint, 3)
    score = checks.score(numpy_lenet.pooling_layer_forward, written(POOL_COLUMNS, *change))
    assert "changed in place" in score.reasons[-1]


MAX = "window.max(axis=(1, 2))"


@pytest.mark.parametrize(
    "changes, hint, parts",
    [
        ([('k, s = layer["k"], layer["stride"]', "k, s = 2, 2")], "2 × 2 and the stride", 4),
        ([('layer["k"]', "2")], r"window is 2 × 2, whatever layer\['k'\]", 3),
        ([('layer["stride"]', "2")], "stride is 2, whatever", 3),
        ([('layer["stride"]', 'layer["k"]')], "stride is taken to be k", 4),
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
        ("x * (x > 1)", "nothing but zeros", 3),
        ("1 / (1 + np.exp(-x))", "a sigmoid", 4),
        ("np.tanh(x)", "tanh", 4),
        ("np.log1p(np.exp(x))", "softplus", 4),
        ("np.maximum(x, 0).T", "transposed", 4),
        ("np.max(x, 0)", "np.maximum compares number by number", 4),
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
        ("diff * (x > 1)", "nothing but zeros|above 1", 3),
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


def test_a_structure_in_place_of_a_derivative_is_named():
    for check, source, result in (
        (numpy_lenet.relu_backward, RELU_BACK, "diff * (x > 0)"),
        (numpy_lenet.pooling_layer_backward, POOL_BACK, "input_od.reshape(-1, n)"),
    ):
        wrapped = [(f"return {result}", 'return input | {"diff": ' + result + "}")]
        fails(check, source, wrapped, "return the array input_od alone", len(check.parts))


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
        ([("diff.sum(axis=1)", "diff[:, 0]")], "only the first image counts", 2),
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


POOL_BACK_SLICES = """
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
SLICES_ADD = "input_od[:, rows, columns] += diff * first"


@pytest.mark.parametrize(
    "changes, hint, parts",
    [
        ([(SLICES_ADD, "g = input_od[:, rows, columns]; g[first] = diff[first]")],
         "have to be added", 2),
        ([(SLICES_ADD, "g = input_od[:, rows, columns]; g = g + diff * first")],
         r"g = g \+ … makes a new array", 7),
        ([("waiting &= ~first", "waiting = ~first")], "has been served waits again", 1),
    ],
)  # fmt: skip
def test_wrong_pooling_gradients_of_slices_are_named(changes, hint, parts):
    fails(numpy_lenet.pooling_layer_backward, POOL_BACK_SLICES, changes, hint, parts)


@pytest.mark.parametrize(
    "changes, does",
    [
        ([(BEST, "a, b = np.argwhere(window == window.max())[-1]")], "to the last pixel"),
        ([(BEST, "m = window == window.max(); m = m / m.sum()"), (ADD, WHOLE.format("m"))],
         "shares the derivative out"),
        ([(BEST, "a, b = np.argwhere(window.T == window.max())[0][::-1]")], "in another way"),
    ],
)  # fmt: skip
def test_another_way_with_ties_passes_and_is_noted(changes, does, capsys):
    same_type = ("np.zeros((c, h, w, n))", "np.zeros_like(images)")
    check = numpy_lenet.pooling_layer_backward
    assert notes(check, written(POOL_BACK, same_type), capsys) == []
    (words,) = notes(check, written(POOL_BACK, same_type, *changes), capsys)
    assert does in words and "the first pixel take all" in words


def test_the_pooling_gradient_of_slices_passes(capsys):
    source = POOL_BACK_SLICES
    passes(numpy_lenet.pooling_layer_backward, written(source), capsys)
    fails(
        numpy_lenet.pooling_layer_backward,
        source,
        [("+= diff * first", "= diff * first")],
        "have to be added",
        3,
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
        ([(ADD, ADD.replace("+=", "="))], "have to be added", 2),
        ([(ADD, "share = np.zeros((k, k)); share[a, b] = 1; "
           + WHOLE.replace("+=", "=").format("share"))], "have to be added", 2),
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
        ([("w[f, c, a, b]", "w[f, c, k - 1 - a, k - 1 - b]")], "rotated by 180°", 5),
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
        (LOOPS_BACK, [("return d_w,", "return d_w[:, :, ::-1, ::-1],")], "rotated by 180°", 5),
        (LOOPS_BACK, [("return d_w,", "return d_w.swapaxes(2, 3),")], "transposed", 5),
        (LOOPS_BACK, [("return d_w,", "return d_w.swapaxes(0, 1),")], "filters and channels", None),
        (LOOPS_BACK, [("return d_w,", "return d_w / d_outputs[0].size,")],
         "mean over the places", 5),
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
        ([(COL2IM, "d_columns")], "col2im_conv adds it up", 4),
        ([("diff = output", 'diff = output["data"].reshape(num, -1); _ = output')],
         r"output\['data'\] is used", None),
        ([(COLUMNS, 'columns = convnet.im2col_conv(input, layer | {"pad": 0})')],
         "", None),
        ([("param[\"w\"].T", "param[\"w\"].reshape(num, -1, k, k)[:, :, ::-1, ::-1]"
           ".reshape(num, -1).T")], "rotated once too often", 4),
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


# --- the update rule

SGD = """
def sgd_momentum(w_rate, b_rate, mu, decay, params, param_winc, param_grad):
    new_params, new_winc = {}, {}
    for i in params:
        w, b = params[i]["w"], params[i]["b"]
        d_w = param_grad[i]["w"] + decay * w
        d_b = param_grad[i]["b"]
        theta_w = mu * param_winc[i]["w"] + w_rate * d_w
        theta_b = mu * param_winc[i]["b"] + b_rate * d_b
        new_params[i] = {"w": w - theta_w, "b": b - theta_b}
        new_winc[i] = {"w": theta_w, "b": theta_b}
    return new_params, new_winc
"""
SGD_COPIES = """
def sgd_momentum(w_rate, b_rate, mu, decay, params, param_winc, param_grad):
    import copy
    params, param_winc = copy.deepcopy(params), copy.deepcopy(param_winc)
    for i, grad in param_grad.items():
        for name, rate, own in (("w", w_rate, decay), ("b", b_rate, 0)):
            param_winc[i][name] *= mu
            param_winc[i][name] += rate * (grad[name] + own * params[i][name])
            params[i][name] -= param_winc[i][name]
    return [params, param_winc]
"""
THETAS = [
    'theta_w = mu * param_winc[i]["w"] + w_rate * d_w',
    'theta_b = mu * param_winc[i]["b"] + b_rate * d_b',
]
STEP = '{"w": w - theta_w, "b": b - theta_b}'


def both(old: str, new: str) -> Changes:
    """Return a change of the two lines of θ: `old` and `new` are written with w."""
    pairs = (("w_rate", "b_rate"), ("d_w", "d_b"), ("theta_w", "theta_b"), ('"w"', '"b"'))
    for_b = [old, new]
    for a, b in pairs:
        for_b = [text.replace(a, b) for text in for_b]
    return [(old, new), tuple(for_b)] if for_b[0] != old else [(old, new)]


@pytest.mark.parametrize("source", [SGD, SGD_COPIES])
def test_right_updates_pass(source, capsys):
    passes(numpy_lenet.sgd_momentum, written(source), capsys)


@pytest.mark.parametrize(
    "changes, hint, parts",
    [
        ([(" + decay * w", "")], "weight decay is missing", 2),
        ([('d_b = param_grad[i]["b"]', 'd_b = param_grad[i]["b"] + decay * b')],
         "acts on the biases too", 2),
        ([("+ decay * w", "- decay * w")], "decay has the wrong sign", 2),
        ([("+ decay * w", "+ decay / 2 * w")], "λ/2 · w", 2),
        ([("+ decay * w", "+ 2 * decay * w")], "2λ · w", 2),
        ([(" + decay * w", ""), ('"w": w - theta_w', '"w": w - theta_w - w_rate * decay * w')],
         "beside θ; it belongs", 2),
        ([(" + decay * w", ""), ('"w": w - theta_w', '"w": w - theta_w - decay * w')],
         "without the rate", 2),
        ([(" + decay * w", ""), ('"w": w - theta_w', '"w": (w - theta_w) * (1 - w_rate * decay)')],
         "from the new w", 2),
        ([("w_rate * d_w", "b_rate * d_w"), ("b_rate * d_b", "w_rate * d_b")], "swapped", 2),
        ([("b_rate * d_b", "w_rate * d_b")], "w_rate is used for b too", 2),
        ([("w_rate * d_w", "b_rate * d_w")], "b_rate is used for w too", 2),
        ([("w_rate * d_w", "d_w"), ("b_rate * d_b", "d_b")], "rate is not used", 7),
        (both('mu * param_winc[i]["w"] + ', ""), "momentum is missing", 2),
        (both('mu * param_winc[i]["w"]', 'param_winc[i]["w"]'), "μ is not used", 2),
        (both(" + w_rate * d_w", " + d_w") + [(STEP, '{"w": w - w_rate * theta_w, '
         '"b": b - b_rate * theta_b}')], "outside θ, as in PyTorch", 7),
        (both(" + w_rate * d_w", " + (1 - mu) * w_rate * d_w"), "dampening", 3),
        ([(STEP, '{"w": w - mu * theta_w - w_rate * d_w, "b": b - mu * theta_b - b_rate * d_b}')],
         "Nesterov", 3),
        (both('mu * param_winc[i]["w"] + w_rate * d_w', 'w_rate * (mu * param_winc[i]["w"] + d_w)'),
         "rate multiplies the old θ too", 2),
        ([(STEP, '{"w": w + theta_w, "b": b + theta_b}')], "sign of the update is wrong", 7),
        (both('["w"] + w_rate * d_w', '["w"] - w_rate * d_w')
         + [(STEP, '{"w": w + theta_w, "b": b + theta_b}')], "θ has the sign of the update", 7),
        (both('mu * param_winc[i]["w"] + w_rate', '-mu * param_winc[i]["w"] + w_rate'),
         "history is subtracted", 2),
        ([(STEP, '{"w": w - param_winc[i]["w"], "b": b - param_winc[i]["b"]}')],
         "or the old θ is taken off, which is zero in the first step", 7),
        ([(STEP, '{"w": w - w_rate * d_w, "b": b - b_rate * d_b}')],
         "only α · gradient is taken off", 2),
        ([('{"w": theta_w, "b": theta_b}', "param_winc[i]")], "the old θ is returned", 7),
        ([(STEP, "params[i]")], "returned as they came", 7),
        ([("return new_params, new_winc", "return params, param_winc")], "nothing is updated", 7),
        ([("return new_params, new_winc", "return new_winc, new_params")], "wrong order", 7),
        ([("return new_params, new_winc", "return new_params")], "only params is returned", 7),
        ([("for i in params", "for i in range(1, len(params) + 1)")], "", None),
        ([("for i in params", "for i in [2]")], "layers are the keys of params", 2),
        ([('"w": w - theta_w, "b": b - theta_b', '"w": w - theta_w')], "both w and b", 7),
        ([('"w": w - theta_w, "b": b - theta_b', '"w": w - theta_w, "b": b')], "", None),
        ([('theta_w = mu * param_winc[i]["w"] + w_rate * d_w',
           'theta_w = param_winc[i]["w"]; theta_w *= mu; theta_w += w_rate * d_w')],
         "changed in place", 1),
        ([(STEP, STEP + '; w -= theta_w')], "changed in place", 1),
        ([("new_params, new_winc = {}, {}", "new_params, new_winc = params, param_winc")],
         "changed in place", 1),
        ([('d_w = param_grad[i]["w"] + decay * w', 'd_w = param_grad[i]["w"]; d_w += decay * w')],
         "", None),
        ([("new_winc[i] = {", "param_grad[i]['w'] *= 2; new_winc[i] = {")], "changed in place", 1),
    ],
)  # fmt: skip
def test_wrong_updates_are_named(changes, hint, parts):
    check = numpy_lenet.sgd_momentum
    if hint:
        fails(check, SGD, changes, hint, parts)
    else:
        assert checks.score(check, written(SGD, *changes)).passed < 7


def test_a_velocity_changed_in_place_costs_one_part():
    source = SGD_COPIES.replace("copy.deepcopy(param_winc)", "param_winc")
    fails(numpy_lenet.sgd_momentum, source, [], r"changed in place", 1)


def test_every_mistake_of_the_update_shows():
    cases = [
        updates.Case(rates=((0.2, 0.3), (0.1, 0.2)), decay=0.3, at_rest=False, keys=(2, 5)),
        updates.Case(mu=0.0, decay=0.3),
    ]
    for words, pieces in updates.MISTAKES.items():
        wrong = updates.replace(updates.Rule(), **pieces)
        with pytest.raises(CheckError) as caught:
            for case in cases:
                for got, right in zip(case.follow(wrong), case.follow(updates.Rule()), strict=True):
                    updates._expect_step(str(case), got, right, iter([(words, got)]))
        assert caught.value.hint == words


# --- the toy network

RIGHT_TOY = {
    1: (3, 3),
    2: (2, 2),
    3: 3,
    4: 3,
    5: 4,
    6: 7,
    7: 39,
    8: 0.952574,
    9: 0.048587,
    10: (0, -1.049787, 0),
    11: 0.379407,
    12: -0.094852,
}

TOY = f"\ndef toy_answers():\n    return {RIGHT_TOY}\n"


def answering(**changes):
    """Return an answer with some questions, `q5=…`, answered otherwise."""
    answers = RIGHT_TOY | {int(number[1:]): value for number, value in changes.items()}
    return lambda: answers


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"q12": 0.047426},
        {"q12": -0.023713},
        {"q8": 0.95257, "q9": 0.04859, "q11": 0.37941, "q12": -0.09485},
        {"q1": [3, 3], "q2": np.array([2, 2]), "q10": np.array([[0.0], [-1.04979], [0.0]])},
        {"q3": 3.0, "q7": np.float64(39), "q10": [0.0, -1.0498, 0.0]},
    ],
)
def test_right_toy_answers_pass(changes, capsys):
    passes(numpy_lenet.toy_answers, answering(**changes), capsys)


@pytest.mark.parametrize(
    "number, value, hint",
    [
        (1, (4, 4), "not padded"),
        (1, 9, "not the number of entries"),
        (1, (3, 3, 2), "without the channels"),
        (2, (1, 1), "stride of 2"),
        (3, 8, "inner product's input"),
        (3, 2, "ReLU keeps all entries"),
        (4, 1, "one probability for each class"),
        (5, 0, r"entry \(1,1,1\)"),
        (5, 11, r"entry \(2,2,2\)"),
        (6, 11, r"entry \(2,1,2\)"),
        (6, 14, r"entry \(1,2,1\)"),
        (6, 8, r"entry \(1,1,1\)"),
        (7, 36, "entry 1; indices start at 1"),
        (7, 0, "entry 3; indices start at 1"),
        (8, 0.047426, "entry 1"),
        (8, 95.2574, "percentage"),
        (8, 0.52, "without the exponential"),
        (9, 3.048587, "class 1"),
        (9, 39.0486, "class 3"),
        (9, 0.021101, "base 10"),
        (9, 0.070096, "base 2"),
        (9, -0.048587, "minus sign"),
        (9, 0.047426, "1 - y2"),
        (10, (0.047426, -0.047426, 0), "with respect to the scores"),
        (10, (0, 1.049787, 0), "sign is wrong"),
        (10, -1.049787, "only the entry of the label"),
        (10, (0.952574, 0.047426, 0), ""),
        (10, (-21.0855, 0, 0), "class 1"),
        (11, -0.379407, "sign is wrong"),
        (11, 0.99620593, "after the step"),
        (11, 0.00379407, "rate times derivative"),
        (11, 0.047426, "not yet multiplied"),
        (11, 0.663962, r"W1\(1,2\)"),
        (11, 7.620593, ""),
        (11, 0.0, ""),
        (12, 0.094852, "sign is wrong"),
        (12, 0.142278, "both get the whole gradient"),
        (12, 1.000949, "after the step"),
        (12, -0.000948518, "rate times derivative"),
        (12, -0.189703, "tie is left out"),
        (12, 0.379407, ""),
        (3, 3.5, "a whole number"),
        (3, 3.0001, "a whole number"),
        (7, "39", "no quotes"),
        (8, 0.953, "four decimals or more"),
        (9, 0.049, "four decimals or more"),
        (11, 0.379, "four decimals or more"),
        (12, -0.095, "four decimals or more"),
        (12, 0.047, "four decimals or more"),
        (10, (0, -1.05, 0), "four decimals or more"),
        (7, (39,), "a plain number is asked for"),
        (1, 3, "height and width are two numbers"),
        (2, 3, "height and width are two numbers"),
        (12, (-0.094852, 0.047426, -0.023713), "one answer is asked for"),
    ],
)
def test_wrong_toy_answers_are_named(number, value, hint):
    answer = answering(**{f"q{number}": value})
    with pytest.raises(CheckError) as caught:
        numpy_lenet.toy_answers(answer)
    text = str(caught.value)
    assert text.startswith(f"toy_answers, question {number}: ")
    if hint:
        assert re.search(f"Likely mistake: .*{hint}", text), text
    assert checks.score(numpy_lenet.toy_answers, answer).passed == 11


@pytest.mark.parametrize(
    "pieces, numbers, hint",
    [
        ({"filters": toy._FILTERS[:, ::-1, ::-1]}, {7}, "rotated by 180°"),
        ({"vectorise": lambda m: m.swapaxes(1, 2).ravel()}, {7}, "column by column"),
        ({"vectorise": lambda m: m.transpose(1, 2, 0).ravel()}, {7}, "pixel by pixel"),
        ({"pool": np.mean, "share": toy.evenly}, {6, 7}, "the mean of each window"),
        ({"filters": toy._FILTERS[::-1]}, {7}, "filter 1 and filter 2 are swapped"),
        ({"share": toy.every}, {12}, "both get the whole gradient"),
    ],
)
def test_a_toy_network_with_a_mistake_is_recognised(pieces, numbers, hint):
    answers = toy.replace(toy.Toy(), **pieces).answers()
    score = checks.score(numpy_lenet.toy_answers, lambda: answers)
    assert score.passed <= 12 - len(numbers)
    for number in numbers:
        reason = next(r for r in score.reasons if f"question {number}:" in r)
        assert re.search(hint, reason), reason


def test_toy_answers_that_are_missing_cost_their_points_only(capsys):
    answers = {number: RIGHT_TOY[number] for number in range(1, 7)}
    assert checks.graded(numpy_lenet.toy_answers, lambda: answers, 12) == 6
    assert (
        "question 7: entry 2 of the ReLU's output: there is no answer yet"
        in capsys.readouterr().out
    )
    for nothing in (None, ...):
        blank = dict.fromkeys(range(1, 13), nothing)
        reasons = checks.score(numpy_lenet.toy_answers, lambda blank=blank: blank).reasons
        assert len(reasons) == 12 and all("no answer yet" in reason for reason in reasons)
    assert checks.score(numpy_lenet.toy_answers, lambda: []).passed == 0


def test_the_toy_reference_is_what_the_given_network_computes():
    image = convnet.as_structure(toy._IMAGE.reshape(1, 4, 4, 1))
    param = {"w": toy._FILTERS.reshape(2, 4), "b": np.zeros(2)}
    conv = convnet.conv_layer_forward(image, {"num": 2, "k": 2, "stride": 1, "pad": 0}, param)
    pooled = written(POOL)(conv, {"k": 2, "stride": 1})
    z = toy._W1 @ pooled["data"]
    J, y, dJ_ds = convnet.softmax_loss(np.maximum(z, 0), np.array([1]))
    pooled["diff"] = toy._W1.T @ (dJ_ds * (z > 0))
    conv["diff"] = written(POOL_BACK)(pooled, conv, {"k": 2, "stride": 1})
    layer = {"num": 2, "k": 2, "stride": 1, "pad": 0}
    grad, _ = convnet.conv_layer_backward(conv, image, layer, param)
    right = toy.Toy().answers()
    assert np.allclose([right[9], right[8], right[12]], [J, y[1, 0], grad["w"][0, 0]])
    assert np.isclose(right[11], dJ_ds[0, 0] * pooled["data"][0, 0])


# --- random shifts

SHIFTS = """
def random_shifts(images, shift, rng):
    channel, height, width, batch_size = images.shape
    downs = rng.integers(-shift, shift + 1, size=batch_size)
    acrosses = rng.integers(-shift, shift + 1, size=batch_size)
    padded = numpy_layers.pad(images, shift)
    moved = np.zeros_like(images)
    for n in range(batch_size):
        top, left = shift - downs[n], shift - acrosses[n]
        moved[..., n] = padded[:, top : top + height, left : left + width, n]
    return moved
"""
DOWNS = "downs = rng.integers(-shift, shift + 1, size=batch_size)"
ACROSSES = "acrosses = rng.integers(-shift, shift + 1, size=batch_size)"
PADDED = "numpy_layers.pad(images, shift)"
NP_PAD = "np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)){})"


def draws(new: str) -> Changes:
    """Return changes that draw both moves with `new`."""
    return [(DOWNS, f"downs = {new}"), (ACROSSES, f"acrosses = {new}")]


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [(DOWNS, "downs, acrosses = rng.integers(-shift, shift + 1, (2, batch_size))"),
         (ACROSSES, "")],
        draws("np.array([rng.choice(range(-shift, shift + 1)) for _ in range(batch_size)])"),
        draws("np.floor(rng.uniform(-shift, shift + 1, batch_size)).astype(int)"),
        draws("rng.integers(-shift, shift, batch_size, endpoint=True)"),
        draws("rng.permuted(np.tile(np.arange(-shift, shift + 1), (batch_size, 1)), axis=1)[:, 0]"),
        [("shift - downs[n], shift - acrosses[n]", "shift + downs[n], shift + acrosses[n]")],
    ],
)  # fmt: skip
def test_right_shifts_pass(changes, capsys):
    passes(numpy_lenet.random_shifts, written(SHIFTS, *changes), capsys)


@pytest.mark.parametrize("seed", range(8))
def test_right_shifts_pass_whatever_is_drawn(seed, monkeypatch):
    """The thresholds leave room: eight other draws of the right answer pass as well."""
    answer = written(SHIFTS)
    shuffled = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda own=0: shuffled([seed, 99, own]))
    for name, part in numpy_lenet.random_shifts.parts.items():
        if "likely" in name or "across" in name or "own" in name:
            part(answer)


@pytest.mark.parametrize(
    "changes, hint, parts",
    [
        ([("size=batch_size)", "size=1).repeat(batch_size)")], "one number is drawn", 1),
        ([(ACROSSES, "acrosses = downs")], "are the same number", 1),
        ([(ACROSSES, "acrosses = -downs")], "across is minus down", 1),
        (draws("rng.integers(-shift, max(shift, 1 - shift), size=batch_size)"),
         "one end never comes", None),
        (draws("rng.integers(-shift, shift, size=batch_size)"), "one end never comes", None),
        (draws("rng.integers(0, 2 * shift, size=batch_size) - shift")
         + [("shift - downs[n], shift - acrosses[n]", "shift + downs[n], shift + acrosses[n]")],
         "one end never comes", None),
        ([(PADDED, "np.pad(images, shift)")], "channels and batch are padded too", None),
        ([("return moved", "return np.pad(moved, shift)")], "channels and batch are padded", None),
        (draws("rng.integers(min(1 - shift, 0), shift + 1, size=batch_size)"),
         "one end never comes", None),
        (draws("rng.integers(0, shift + 1, size=batch_size)"), "one side only", None),
        (draws("shift * rng.choice([-1, 1], size=batch_size)"), "0 never comes|whole shift", None),
        (draws("shift * rng.choice([-1, 0, 1], size=batch_size)"), "whole shift or not at all", 1),
        (draws("np.round(rng.uniform(-shift, shift, batch_size)).astype(int)"),
         "ends come less often", 1),
        (draws("np.round(rng.normal(0, shift / 2, batch_size)).clip(-shift, shift).astype(int)"),
         "ends come less often", 1),
        (draws("rng.uniform(-shift, shift, batch_size).astype(int)"), "as they came", None),
        ([(DOWNS, "downs = np.zeros(batch_size, int)")], "never move in this", None),
        ([(ACROSSES, "acrosses = np.zeros(batch_size, int)")], "never move in this", None),
        (draws("np.zeros(batch_size, int)"), "no image has moved|as they came", 7),
        ([("moved[..., n] = padded[:, top : top + height, left : left + width, n]",
           "moved[..., n] = np.roll(images[..., n], (downs[n], acrosses[n]), (1, 2))")],
         r"np\.roll", None),
        ([(PADDED, NP_PAD.format(", mode='edge'"))], "border's pixels are repeated", None),
        ([(PADDED, NP_PAD.format(", mode='reflect'"))], "border is mirrored", None),
        ([(PADDED, NP_PAD.format(", constant_values=1"))], "1 comes in at the border", None),
        ([("rng.integers(-shift, shift + 1,", "rng.integers(-2 * shift, 2 * shift + 1,"),
          (PADDED, "numpy_layers.pad(images, 2 * shift)"),
          ("shift - downs[n], shift - acrosses[n]",
           "2 * shift - downs[n], 2 * shift - acrosses[n]")], "may be moved by", None),
        ([("return moved", "return padded")], "padded images are returned", None),
        ([("return moved", "images[...] = moved; return moved")], "changed in place", 1),
        ([("return moved", "return images")], "as they came", 7),
        (draws("np.random.randint(-shift, shift + 1, size=batch_size)"), "drawn from np.random", 1),
        ([("channel, height", "rng = np.random.default_rng(0); channel, height")], "", None),
        ([("channel, height", "import copy; rng = copy.deepcopy(rng); channel, height")], "", None),
        ([("channel, height", "shift = min(shift, 2); channel, height")],
         "", None),
        ([("channel, height", "shift = 1; channel, height")], "", None),
        ([("return moved", "return moved + 0.5 * (moved > 0)")], "values change", None),
        ([("return moved", "return -moved")], "sign of the pixels", None),
        ([("return moved", "return moved[..., ::-1]")], "reversed in their batch", None),
        ([("return moved", "return moved[0]")], "", None),
    ],
)  # fmt: skip
def test_wrong_shifts_are_named(changes, hint, parts):
    check = numpy_lenet.random_shifts
    if hint:
        fails(check, SHIFTS, changes, hint, parts)
    else:
        assert checks.score(check, written(SHIFTS, *changes)).passed < 7


def test_channels_that_move_apart_are_named():
    source = """
    def random_shifts(images, shift, rng):
        moved = np.zeros_like(images)
        for c, n in np.ndindex(images.shape[0], images.shape[3]):
            top, left = rng.integers(0, 2 * shift + 1, 2)
            padded = np.pad(images[c, :, :, n], shift)
            height, width = images.shape[1:3]
            moved[c, :, :, n] = padded[top : top + height, left : left + width]
        return moved
    """
    fails(numpy_lenet.random_shifts, source, [], "channels of one image move apart")


# --- the training loop

TRAIN = """
def train(params, gradient, batches, settings, max_iter, report):
    zeros = np.zeros_like
    winc = {i: {name: zeros(v) for name, v in own.items()} for i, own in params.items()}
    mu, decay = settings["mu"], settings["decay"]
    start = params
    for step in range(max_iter):
        x, y = next(batches)
        cp, grad = gradient(params, x, y)
        rate = convnet.get_lr(step, *(settings[n] for n in ("epsilon", "gamma", "power")))
        params, winc = sgd_momentum(rate, rate, mu, decay, params, winc, grad)
        report(step + 1, cp, params)
    return params
"""
UPDATE = "params, winc = sgd_momentum(rate, rate, mu, decay, params, winc, grad)"


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [("for step in range(max_iter):\n        x, y = next(batches)",
          "for step, (x, y) in zip(range(max_iter), batches):")],
        [("for step in range(max_iter):", "step = -1\n    while (step := step + 1) < max_iter:")],
        [("convnet.get_lr(step, *(settings[n] for n in (\"epsilon\", \"gamma\", \"power\")))",
          "settings['epsilon'] / (1 + settings['gamma'] * step) ** settings['power']")],
        [(UPDATE, UPDATE.replace("params, winc =", "params, new =") + "; winc = new")],
        [("rate, rate, mu, decay, params, winc, grad", "w_rate=rate, b_rate=rate, mu=mu, "
          "decay=decay, params=params, param_winc=winc, param_grad=grad")],
    ],
)  # fmt: skip
def test_right_training_loops_pass(changes, capsys):
    passes(numpy_lenet.train, written(TRAIN, *changes), capsys)


@pytest.mark.parametrize(
    "changes, hint, parts",
    [
        ([(UPDATE, UPDATE.replace("params, winc =", "new, winc ="))], "never updated", 8),
        ([(UPDATE, "pass")], "never updated", 8),
        ([("return params", "return start")], "never updated", 7),
        ([(UPDATE, UPDATE.replace("params, winc =", "params, new ="))], "history starts anew", 2),
        ([(UPDATE, UPDATE.replace("winc, grad", "{i: {n: 0 * v for n, v in o.items()} for i, o in "
           "winc.items()}, grad"))], "history starts anew", 2),
        ([("convnet.get_lr(step,", "convnet.get_lr(0,")], "does not fall", 2),
        ([("convnet.get_lr(step,", "convnet.get_lr(step + 1,")], "one step too early", 2),
        ([("convnet.get_lr(step,", "convnet.get_lr(max(step - 1, 0),")], "one step too late", 2),
        ([('"gamma", "power"', '"power", "gamma"')], "gamma and power are swapped", 2),
        ([('"epsilon", "gamma"', '"gamma", "epsilon"')], "", None),
        ([('mu, decay = settings["mu"], settings["decay"]',
           'mu, decay = settings["mu"], 0')], "weight decay is missing", 2),
        ([('mu, decay = settings["mu"], settings["decay"]',
           'mu, decay = 0, settings["decay"]')], "momentum has no effect", 2),
        ([('mu, decay = settings["mu"], settings["decay"]',
           'decay, mu = settings["mu"], settings["decay"]')], "mu and decay are swapped", 3),
        ([("start = params", "x, y = next(batches)"), ("    x, y = next(batches)\n        cp",
           "    cp")], "next\\(batches\\) belongs inside", 1),
        ([("start = params", "next(batches)")], "first batch is skipped", 1),
        ([("x, y = next(batches)", "next(batches); x, y = next(batches)")], "batch is skipped", 1),
        ([("x, y = next(batches)", "x, y = next(batches)[0], next(batches)[1]")],
         "from different batches", 1),
        ([("range(max_iter)", "range(max_iter + 1)")], "one step too many", 8),
        ([("range(max_iter)", "range(max_iter - 1)")], "one step too few|never updated", 8),
        ([("range(max_iter)", "range(1)")], "ends after one step", None),
        ([("    return params", "        return params")], "ends after one step", None),
        ([("gradient(params, x, y)", "gradient(start, x, y)")], "at the first parameters", None),
        ([("zeros = np.zeros_like", "zeros = np.ones_like")], "θ starts at one", 2),
        ([("zeros(v)", "v")], "θ starts as the parameters", 2),
        ([(UPDATE, UPDATE.replace("rate, rate", "-rate, -rate"))],
         "sign of the learning rate is wrong", None),
        ([(UPDATE + "\n        report(step + 1, cp, params)",
           "report(step + 1, cp, params)\n        " + UPDATE)], "before the update", 1),
        ([("report(step + 1, cp, params)", "pass")], "report is never called", 1),
        ([("report(step + 1,", "report(step,")], "steps are reported from 1", 1),
        ([("    report(step + 1, cp, params)", "report(step + 1, cp, params)")],
         "once at the end", 1),
        ([("report(step + 1, cp,", "report(step + 1, gradient(params, x, y)[0],")],
         "cost of the next step", 1),
        ([("report(step + 1, cp,", 'report(step + 1, cp["cost"],')], "cost alone", 1),
        ([("start = params", "first = None"), ("cp, grad = gradient(params, x, y)",
           "cp, grad = gradient(params, x, y); first = first or cp; cp = first")],
         "cost of the first step|step before", 1),
        ([("return params", "return params, winc")], "", None),
        ([("start = params", "start = {i: dict(o) for i, o in params.items()}"),
          (UPDATE, "new, winc = sgd_momentum(rate, rate, mu, decay, params, winc, grad)\n"
           "        for i in params:\n            params[i].update(new[i])")],
         "changed in place", 1),
    ],
)  # fmt: skip
def test_wrong_training_loops_are_named(changes, hint, parts):
    check = numpy_lenet.train
    if hint:
        fails(check, TRAIN, changes, hint, parts)
    else:
        assert checks.score(check, written(TRAIN, *changes)).passed < 8


def test_a_loop_that_never_ends_is_refused():
    with pytest.raises(CheckError, match="the loop never stops"):
        numpy_lenet.train(
            written(TRAIN, ("for step in range(max_iter):", "step = 0\n    while 1:"))
        )


def test_the_notebook_gets_its_own_update_back():
    def own(*arguments):
        raise AssertionError("the check uses the reference, not the reader's own update")

    for source in (TRAIN, TRAIN.replace("x, y = next(batches)", "x, y = 1 / 0")):
        answer = written(source)
        answer.__globals__["sgd_momentum"] = own
        checks.score(numpy_lenet.train, answer)
        assert answer.__globals__["sgd_momentum"] is own
        del answer.__globals__["sgd_momentum"]
        checks.score(numpy_lenet.train, answer)
        assert "sgd_momentum" not in answer.__globals__


# --- what is wrong in some cases only


def only_if(condition: str, result: str, otherwise: str) -> tuple[str, str]:
    """Return the change of `return otherwise` to another result where a condition holds."""
    return f"return {otherwise}", f"return {result} if {condition} else {otherwise}"


def each(draws: str) -> Changes:
    """Return changes that make other moves of `downs` and `acrosses`, the numbers drawn."""
    return [(ACROSSES, f"{ACROSSES}; {draws}")]


def unmoved(condition: str) -> Changes:
    return [only_if(condition, "images.copy()", "moved")]


@pytest.mark.parametrize(
    "changes",
    [
        each("acrosses = downs if batch_size > 1 else acrosses"),
        each("acrosses = np.roll(downs, 1) if batch_size > 1 else acrosses"),
        each("downs[:] = downs * (rng.random(batch_size) < 0.5) if batch_size > 1 else downs"),
        each("downs.sort()"),
        each("downs[1::2] = -downs[::2][: batch_size // 2]"),
        each("downs[1::2] = downs[::2][: batch_size // 2]"),
        unmoved("channel == 1"),
        unmoved("height > width"),
        unmoved("channel >= 3"),
        draws("np.clip(rng.integers(-shift, shift + 1, size=batch_size), -3, 3)"),
        draws("np.clip(np.rint(rng.normal(0, 0.91 * shift, batch_size)), -shift, shift)"
              ".astype(int)"),
    ],
)  # fmt: skip
def test_moves_that_are_wrong_in_some_batches_are_refused(changes):
    with pytest.raises(CheckError):
        numpy_lenet.random_shifts(written(SHIFTS, *changes))


@pytest.mark.parametrize(
    "changes",
    [
        [("d_w = param_grad", "d_w = 0 * w + param_grad"),
         ("w_rate * d_w", 'w_rate * param_grad[i]["w"] + b_rate * decay * w')],
        [(" + decay * w", " + decay * w * (mu == 0)"),
         ('"w": w - theta_w', '"w": w - theta_w - w_rate * decay * w * (mu > 0)')],
        [("b_rate * d_b", "(w_rate if mu else b_rate) * d_b")],
        [("mu * param_winc[i]", "(mu if i == min(params) else 0) * param_winc[i]")],
        [("decay * w", "(decay if i == min(params) else 0) * w")],
        [('param_grad[i]["w"] +', 'np.clip(param_grad[i]["w"], -1, 1) +'),
         ('d_b = param_grad[i]["b"]', 'd_b = np.clip(param_grad[i]["b"], -1, 1)')],
    ],
)  # fmt: skip
def test_updates_whose_pieces_do_not_go_together_are_refused(changes):
    with pytest.raises(CheckError):
        numpy_lenet.sgd_momentum(written(SGD, *changes))


MU = 'mu, decay = settings["mu"], settings["decay"]'


@pytest.mark.parametrize(
    "changes",
    [
        [("(settings[n] for n in", '(0 if mu and n == "gamma" else settings[n] for n in')],
        [(MU, f"{MU}; mu = 0 if decay else mu")],
        [(MU, f'{MU}; mu = 0 if settings["gamma"] else mu')],
        [(MU, f"{MU}; mu = 0.9 if mu else 0")],
        [("report(step + 1, cp, params)", "step < 4 and report(step + 1, cp, params)")],
        [("start = params", 'best, least = params, 1e9'),
         ("report(step + 1, cp, params)", "report(step + 1, cp, params)\n"
          '        if cp["cost"] <= least: best, least = params, cp["cost"]'),
         ("return params", "return best")],
        [("rate = ", 'if cp["cost"] < 1e-3: break\n        rate = ')],
        [("get_lr(step,", "get_lr(min(step, 100),")],
    ],
)  # fmt: skip
def test_loops_that_go_wrong_later_or_with_several_settings_are_refused(changes):
    with pytest.raises(CheckError):
        numpy_lenet.train(written(TRAIN, *changes))


IN_A_BUFFER = """
def pooling_layer_forward(input, layer, buffers={}):
    images, k, s = convnet.as_images(input, "pool"), layer["k"], layer["stride"]
    windows = np.lib.stride_tricks.sliding_window_view(images, (k, k), axis=(1, 2))
    output = convnet.as_structure(windows[:, ::s, ::s].max(axis=(-2, -1)))
    data = output["data"]
    buffer = buffers.setdefault((data.shape, data.dtype), np.empty_like(data))
    buffer[...] = data
    return output | {"data": buffer}
"""


@pytest.mark.parametrize(
    "source, changes",
    [
        (POOL, [("data = out", "out[-1] *= not (k > s and c > 1); data = out")]),
        (POOL, [("window.max(axis=(1, 2))", "window[:, :3, :3].max(axis=(1, 2))")]),
        (POOL, [("data = out", "out *= n > 1 or h == w; data = out")]),
        (POOL, [("data = out", "out = out.transpose(3, 1, 2, 0) if c == n else out; data = out")]),
        (POOL, [(MAX, "np.maximum(window.max(axis=(1, 2)), -10)")]),
        (POOL, [(MAX, "np.maximum(window.max(axis=(1, 2)), -1e4)")]),
        (POOL, [("data = out.reshape(-1, n)",
                 "data = images.reshape(-1, n) if k == s == 1 else out.reshape(-1, n)")]),
        (IN_A_BUFFER, []),
    ],
)  # fmt: skip
def test_pooling_that_is_wrong_in_some_cases_is_refused(source, changes):
    with pytest.raises(CheckError):
        numpy_lenet.pooling_layer_forward(written(source, *changes))


@pytest.mark.parametrize(
    "changes",
    [
        [("return input_od.reshape(-1, n)",
          "return input_od.reshape(-1, n) * (k <= s or c == 1)")],
        [(ADD, "m = np.zeros((k, k)); m[a, b] = 1; m = window == window.max() if k > s else m; "
          + WHOLE.format("m"))],
        [("window.argmax()", "np.isclose(window, window.max(), 1e-3, 1e-3).argmax()")],
        [("return input_od.reshape(-1, n)",
          "return input_od.reshape(-1, n) * (k < 4)")],
    ],
)  # fmt: skip
def test_pooling_gradients_that_are_wrong_in_some_cases_are_refused(changes):
    with pytest.raises(CheckError):
        numpy_lenet.pooling_layer_backward(written(POOL_BACK, *changes))


@pytest.mark.parametrize(
    "check, source, changes",
    [
        ("convolution_loops", LOOPS, [("filters, _", "w = FLIP if k > 3 else w; filters, _")]),
        ("convolution_loops", LOOPS, [
            ("filters, _", "w = FLIP if k % 2 < (height != width) else w; filters, _")]),
        ("convolution_loops", LOOPS, [("return out", "return out * (out[0].size > 1)")]),
        ("convolution_backward_loops", LOOPS_BACK, [
            ("return d_w, d_image", "return d_w, d_image * (k < 4)")]),
        ("conv_layer_backward", LAYER, [(COL2IM, COL2IM + ' * (input["batch_size"] < 4)')]),
        ("conv_layer_backward", LAYER, [(COL2IM, COL2IM + " * (pad < k)")]),
        ("inner_product_backward", IP_BACK, [
            ('"w": d_w', '"w": d_w / (x.shape[1] if x.shape[1] > 8 else 1)')]),
        ("relu_forward", RELU, [("np.maximum(x, 0)", "np.clip(x, 0, 1e3)")]),
        ("relu_forward", RELU, [("np.maximum(x, 0)", "np.maximum(x, 1e-5 * x)")]),
        ("relu_forward", RELU, [("np.maximum(x, 0)", "x * (x > 1e-3)")]),
        ("relu_forward", RELU, [("np.maximum(x, 0)", "x if x.min() >= 0 else np.maximum(x, 0)")]),
        ("relu_forward", RELU, [('"data": y', '"data": y, "diff": np.zeros(3)')]),
        ("relu_backward", RELU_BACK, [("x > 0", "x > 1e-3")]),
        ("toy_answers", TOY, [("3: 3,", "3: 3.0001,")]),
        ("toy_answers", TOY, [("7: 39,", "7: '39',")]),
    ],
)  # fmt: skip
def test_answers_that_are_wrong_in_some_cases_are_refused(check, source, changes):
    k = "k = w.shape[-1]; height, width = image.shape[1:]; "
    changes = [
        (a, (k if "FLIP" in b else "") + b.replace("FLIP", "w[:, :, ::-1, ::-1]"))
        for a, b in changes
    ]
    with pytest.raises(CheckError):
        getattr(numpy_lenet, check)(written(source, *changes))


# --- all of them

ALL = {
    "pooling_layer_forward": POOL,
    "pooling_layer_backward": POOL_BACK,
    "relu_forward": RELU,
    "relu_backward": RELU_BACK,
    "inner_product_forward": IP,
    "inner_product_backward": IP_BACK,
    "convolution_loops": LOOPS,
    "convolution_backward_loops": LOOPS_BACK,
    "conv_layer_backward": LAYER,
    "sgd_momentum": SGD,
    "random_shifts": SHIFTS,
    "train": TRAIN,
    "toy_answers": TOY,
}


def test_there_is_a_check_for_each_answer():
    assert set(ALL) == set(numpy_lenet.__all__)
    for name in ALL:
        assert getattr(checks.numpy_lenet, name).name == name


@pytest.fixture(params=list(ALL))
def question(request):
    return getattr(numpy_lenet, request.param), ALL[request.param]


STUBS = ("raise NotImplementedError('Write the code.')", "pass", "...", '"""Say."""', "return ...")


@pytest.mark.parametrize("stub", STUBS)
def test_a_stub_gets_one_sentence_and_no_points(question, stub, capsys):
    check, source = question
    answer = written(re.match(r"\n?def .*\n", source)[0] + f"    {stub}\n")
    with pytest.raises(NotWrittenYet) as caught:
        check(answer)
    assert "is not written yet." in str(caught.value) and "\n" not in str(caught.value)
    assert checks.graded(check, answer, 10) == 0
    assert capsys.readouterr().out.count("\n") == 1


VALUES = (
    "0",
    "1.0",
    "[]",
    "{}",
    "(0, 0)",
    "(1, {})",
    "({}, 1)",
    "({}, {})",
    "'text'",
    "np.zeros((4, 1))",
    "{'data': np.zeros((4, 1)), 'height': 2, 'width': 2, 'channel': 1, 'batch_size': 1}",
    "({'w': np.zeros((2, 3)), 'b': np.zeros(2)}, np.zeros((3, 1)))",
    "(np.zeros((1, 1, 2, 2)), np.zeros((1, 4, 4)))",
    "{n: 0 for n in range(13)}",
    "a[0]",
    "{**a[0]}",
    "a[0]['data']",
    "a[0]['diff']",
    "(a[3], a[1]['data'])",
    "({name: 0 * value for name, value in a[3].items()}, 0 * a[1]['data'])",
    "(a[2], a[1])",
    "(0 * a[2], 0 * a[1])",
    "(a[4], a[5])",
    "a",
    "object()",
)


def test_a_constant_or_an_argument_earns_nothing(question):
    check, _ = question
    for value in VALUES:
        answer = eval(f"lambda *a: {value}", {"np": np})
        assert checks.score(check, answer).passed == 0, value


@pytest.mark.parametrize("value", [None, 3, "train", []])
def test_what_is_no_function_is_refused(question, value):
    check, _ = question
    with pytest.raises((CheckError, NotWrittenYet)):
        check(value)
    assert checks.score(check, value).passed == 0


def test_an_error_in_the_answer_is_one_sentence_with_its_line(question):
    check, source = question
    head = re.search(r"def .*\n", source)
    answer = written(source, (head[0], f"{head[0]}    nonsense = 1 / 0\n"))
    with pytest.raises(CheckError, match="raised ZeroDivisionError in line") as caught:
        check(answer)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    "source, changes, hint",
    [
        (RELU, [("(input, layer)", "(input)")], "not those that the exercise names"),
        (RELU, [("np.maximum(x, 0)", "np.maximum(x, 0, x, x)")], "that is called in this line"),
        (RELU, [('x = input["data"]', "x = convnet.as_images(input)")],
         "that is called in this line"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_told_from_those_of_a_call(source, changes, hint):
    fails(numpy_lenet.relu_forward, source, changes, hint, 4)


@pytest.mark.parametrize(
    "name, changes",
    [
        ("pooling_layer_forward", []),
        ("pooling_layer_backward", []),
        ("relu_forward", [("np.maximum(x, 0)", "np.maximum(x, np.zeros(x.shape))")]),
        ("relu_backward", [("(x > 0)", "(x > 0).astype(float)")]),
        ("inner_product_forward", [('input["data"]', 'input["data"].astype(float)')]),
        ("inner_product_backward", [('output["diff"]', 'output["diff"].astype(float)')]),
        ("conv_layer_backward", [('output["diff"]', 'output["diff"].astype(float)')]),
        ("random_shifts", [("np.zeros_like(images)", "np.zeros(images.shape)")]),
        ("sgd_momentum", both("w_rate * d_w", "np.float64(w_rate) * d_w")),
        ("train", [("zeros(v)", "zeros(v).astype(float)")]),
    ],
)
def test_double_precision_passes_and_is_noted(name, changes, capsys):
    check, answer = getattr(numpy_lenet, name), written(ALL[name], *changes)
    (words,) = notes(check, answer, capsys)
    assert "float32 came in and float64 went out" in words
    assert checks.graded(check, answer, 3) == 3
    assert capsys.readouterr().out.count(words) == 1


def test_loops_may_be_in_double_precision(capsys):
    for name in ("convolution_loops", "convolution_backward_loops"):
        assert notes(getattr(numpy_lenet, name), written(ALL[name]), capsys) == []


def test_a_check_leaves_numpy_as_it_was(question):
    check, source = question
    answer = written(source)
    np.random.seed(3)
    before = np.random.rand(3).tolist()
    np.random.seed(3)
    check(answer)
    assert np.random.rand(3).tolist() == before


def test_every_part_says_something_of_its_own(question):
    check, _ = question
    assert len(check.parts) >= 4 and len(set(check.parts)) == len(check.parts)


def test_points_are_given_part_by_part_with_reasons(capsys):
    assert checks.graded(numpy_lenet.sgd_momentum, written(SGD), 7) == 7
    assert capsys.readouterr().out.count("✓") == 7
    half = written(SGD, (" + decay * w", ""))
    assert checks.graded(numpy_lenet.sgd_momentum, half, 7) == 5
    lines = capsys.readouterr().out
    assert lines.count("✗") == 2 and "weight decay is missing" in lines
    assert lines.endswith("5 of 7 parts: 5 of 7 points\n")
