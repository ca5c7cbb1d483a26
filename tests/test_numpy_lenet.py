"""The published layers of notebooks/numpy_lenet.ipynb, and helpers.convnet around them.

The functions are taken from the notebook's cells, so that what is tested is what readers see.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cells import source
from torch.nn import functional as F

from helpers import checks, convnet, data
from helpers import numpy_layers as nl
from helpers.parameters import ParameterError

IMPORTS = "\n".join(
    line
    for line in source("numpy_lenet", "setup").splitlines()
    if line.startswith(("import ", "from "))
)
SOLUTIONS = [
    "q1-pooling-forward",
    "q2-relu-forward",
    "q3-inner-product-forward",
    "q4-pooling-backward",
    "q5-relu-backward",
    "q6-inner-product-backward",
    "q7-sgd-momentum",
    "random-shifts",
]
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def run_cells(*ids, names=None, changes=None):
    """Run cells in one namespace, as a kernel would, each after the replacement it is given."""
    names = {"seed": 0, "batch_size": 8, "workers": 2} | (names or {})
    exec(IMPORTS, names)
    for cell in ids:
        code = source("numpy_lenet", cell)
        if changes and cell in changes:
            old, new = changes[cell]
            assert old in code, f"{old!r} does not occur in {cell}"
            code = code.replace(old, new)
        exec(compile(code, cell, "exec"), names)
    return names


@pytest.fixture(scope="module")
def nb():
    return run_cells(*SOLUTIONS)


@pytest.fixture(scope="module")
def functions(nb):
    return {
        "POOLING": (nb["pooling_layer_forward"], nb["pooling_layer_backward"]),
        "RELU": (nb["relu_forward"], nb["relu_backward"]),
        "IP": (nb["inner_product_forward"], nb["inner_product_backward"]),
    }


def pooling_geometries(count, seed):
    """Return tuples of channels, height, width, batch, window, stride, padding that fit."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < count:
        k, stride = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        padding = int(rng.integers(0, k // 2 + 1))
        height, width = (k + stride * int(n) - 2 * padding for n in rng.integers(0, 5, 2))
        if min(height, width) >= 1:
            channels, batch = (int(v) for v in rng.integers(1, 4, 2))
            found.append((channels, height, width, batch, k, stride, padding))
    return found


GEOMETRIES = pooling_geometries(80, 0)
assert any(k > stride and padding for *_, k, stride, padding in GEOMETRIES)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_pooling_equals_pytorch(nb, geometry, ties):
    *shape, k, stride, padding = geometry
    rng = np.random.default_rng(1)
    x = rng.integers(-1, 2, shape).astype(float) if ties else rng.normal(size=shape)
    layer = {"type": "POOLING", "k": k, "stride": stride, "pad": padding}
    input = convnet.as_structure(x)
    output = nb["pooling_layer_forward"](input, layer)
    y = convnet.as_images(output, "test")

    tx = torch.tensor(nl.batch_first(x), requires_grad=True)
    ty = F.max_pool2d(tx, k, stride, padding)
    np.testing.assert_allclose(nl.batch_first(y), ty.detach(), **CLOSE)

    dy = rng.normal(size=y.shape)
    ty.backward(torch.tensor(nl.batch_first(dy)))
    output["diff"] = dy.reshape(output["data"].shape)
    dx = nb["pooling_layer_backward"](output, input, layer)
    assert dx.shape == input["data"].shape
    np.testing.assert_allclose(nl.batch_first(dx.reshape(shape)), tx.grad, **CLOSE)


def test_pooling_leaves_its_arguments_alone(nb):
    layer = {"k": 2, "stride": 1, "pad": 0}
    input = convnet.as_structure(np.random.default_rng(0).normal(size=(2, 3, 3, 2)))
    output = nb["pooling_layer_forward"](input, layer)
    output["diff"] = np.ones_like(output["data"])
    before = input["data"].copy()
    nb["pooling_layer_backward"](output, input, layer)
    np.testing.assert_array_equal(input["data"], before)
    np.testing.assert_array_equal(output["diff"], 1)


@pytest.mark.parametrize("seed", range(5))
def test_relu_and_inner_product_equal_pytorch(nb, seed):
    rng = np.random.default_rng(seed)
    channel, height, width, batch, num = (int(v) for v in rng.integers(1, 6, 5))
    input = convnet.as_structure(rng.normal(size=(channel, height, width, batch)))
    param = {"w": rng.normal(size=(num, len(input["data"]))), "b": rng.normal(size=num)}
    ip = nb["inner_product_forward"](input, {"num": num}, param)
    relu = nb["relu_forward"](ip, {})

    tx, tw, tb = (
        torch.tensor(a, requires_grad=True) for a in (input["data"].T, param["w"], param["b"])
    )
    ty = F.relu(F.linear(tx, tw, tb))
    np.testing.assert_allclose(relu["data"].T, ty.detach(), **CLOSE)

    relu["diff"] = rng.normal(size=relu["data"].shape)
    ty.backward(torch.tensor(relu["diff"].T))
    ip["diff"] = nb["relu_backward"](relu, ip, {})
    gradient, dx = nb["inner_product_backward"](ip, input, {"num": num}, param)
    np.testing.assert_allclose(dx.T, tx.grad, **CLOSE)
    np.testing.assert_allclose(gradient["w"], tw.grad, **CLOSE)
    np.testing.assert_allclose(gradient["b"], tb.grad, **CLOSE)


def test_sgd_momentum_equals_pytorch(nb):
    rng = np.random.default_rng(0)
    params = {2: {"w": rng.normal(size=(3, 4)), "b": rng.normal(size=3)}}
    winc = {2: {"w": np.zeros((3, 4)), "b": np.zeros(3)}}
    w, b = (torch.tensor(params[2][name], requires_grad=True) for name in ("w", "b"))
    groups = [
        {"params": [w], "lr": 0.1, "weight_decay": 0.01},
        {"params": [b], "lr": 0.2, "weight_decay": 0},
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    for _ in range(5):
        gradient = {2: {"w": rng.normal(size=(3, 4)), "b": rng.normal(size=3)}}
        w.grad, b.grad = (torch.tensor(gradient[2][name]) for name in ("w", "b"))
        optimizer.step()
        params, winc = nb["sgd_momentum"](0.1, 0.2, 0.9, 0.01, params, winc, gradient)
    np.testing.assert_allclose(params[2]["w"], w.detach(), **CLOSE)
    np.testing.assert_allclose(params[2]["b"], b.detach(), **CLOSE)


@pytest.mark.parametrize("shape", [(1, 28, 28, 64), (3, 5, 4, 7), (2, 1, 1, 1)])
@pytest.mark.parametrize("shift", [0, 1, 2, 6])
def test_random_shifts_pick_windows_of_the_padded_images(nb, shape, shift):
    rng = np.random.default_rng(0)
    images = rng.uniform(0.5, 1, shape).astype(np.float32)
    before = images.copy()
    shifted = nb["random_shifts"](images, shift, np.random.default_rng(3))
    assert shifted.shape == shape and shifted.dtype == np.float32
    np.testing.assert_array_equal(images, before)
    corners = np.random.default_rng(3).integers(0, 2 * shift + 1, size=(2, shape[3]))
    margin = [(0, 0), (shift, shift), (shift, shift)]
    for n, (top, left) in enumerate(corners.T):
        window = np.pad(images[..., n], margin)[:, top : top + shape[1], left : left + shape[2]]
        np.testing.assert_array_equal(shifted[..., n], window)


SMALL = {
    1: {"type": "DATA", "height": 9, "width": 7, "channel": 2, "batch_size": 6},
    2: {"type": "CONV", "num": 3, "k": 2, "stride": 1, "pad": 1},
    3: {"type": "POOLING", "k": 4, "stride": 2, "pad": 1},
    4: {"type": "CONV", "num": 4, "k": 3, "stride": 1, "pad": 1},
    5: {"type": "RELU"},
    6: {"type": "IP", "num": 7},
    7: {"type": "RELU"},
    8: {"type": "LOSS", "num": 5},
}


@pytest.fixture
def small():
    rng = np.random.default_rng(0)
    params = convnet.init_convnet(SMALL, 1, np.float64)
    for own in params.values():
        own["b"] += rng.normal(size=own["b"].shape)
    return params, rng.normal(size=(126, 6)), rng.integers(0, 5, 6)


def test_the_whole_network_equals_pytorch(small, functions):
    params, x, labels = small
    cp, gradient = convnet.conv_net(params, SMALL, x, labels, functions)

    tp = {
        i: {name: torch.tensor(a, requires_grad=True) for name, a in own.items()}
        for i, own in params.items()
    }
    a = torch.tensor(nl.batch_first(x.reshape(2, 9, 7, 6)))
    a = F.conv2d(a, tp[2]["w"].reshape(3, 2, 2, 2), tp[2]["b"], padding=1)
    a = F.max_pool2d(a, 4, 2, 1)
    a = F.relu(F.conv2d(a, tp[4]["w"].reshape(4, 3, 3, 3), tp[4]["b"], padding=1))
    a = F.relu(F.linear(a.flatten(1), tp[6]["w"], tp[6]["b"]))
    logits = F.linear(a, tp[8]["w"], tp[8]["b"])
    cost = F.cross_entropy(logits, torch.tensor(labels))
    cost.backward()
    assert cp["cost"] == pytest.approx(cost.item(), rel=1e-9)
    assert cp["percent"] == np.mean(logits.argmax(1).numpy() == labels)
    for i, own in gradient.items():
        for name, array in own.items():
            np.testing.assert_allclose(array, tp[i][name].grad, **CLOSE)


@pytest.mark.parametrize("cuts", [[], [3], [1], [2, 3]])
def test_parts_of_a_batch_give_the_whole_batchs_gradient(small, functions, cuts):
    params, x, labels = small
    cp, gradient = convnet.conv_net(params, SMALL, x, labels, functions)
    parts = list(zip(np.split(x, cuts, axis=1), np.split(labels, cuts), strict=True))
    with ThreadPoolExecutor(2) as team:
        part_cp, part_gradient = convnet.parallel_conv_net(team, parts, params, SMALL, functions)
    assert part_cp == pytest.approx(cp, rel=1e-12)
    for i, own in gradient.items():
        for name, array in own.items():
            np.testing.assert_allclose(part_gradient[i][name], array, rtol=1e-9, atol=1e-12)


def test_predict_returns_probabilities_in_order(small, functions):
    params, x, labels = small
    with ThreadPoolExecutor(2) as team:
        probabilities = convnet.predict(team, params, SMALL, x, functions, batch_size=4)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1)
    cost = -np.mean(np.log(probabilities[labels, np.arange(6)]))
    assert cost == pytest.approx(convnet.conv_net(params, SMALL, x, labels, functions)[0]["cost"])


def test_float32_stays_float32(small, functions):
    params, x, labels = small
    params = convnet.init_convnet(SMALL, 1)
    _, gradient = convnet.conv_net(params, SMALL, x.astype(np.float32), labels, functions)
    assert {a.dtype for own in gradient.values() for a in own.values()} == {np.dtype("float32")}


def test_softmax_loss_survives_large_scores():
    scores = np.array([[1000.0, 0], [0, -1000]])
    cost, probabilities, derivative = convnet.softmax_loss(scores, np.array([1, 0]))
    assert cost == 500
    np.testing.assert_array_equal(probabilities, [[1, 1], [0, 0]])
    np.testing.assert_array_equal(derivative, [[0.5, 0], [-0.5, 0]])


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0], [0], [0.0, 1.0]])
def test_impossible_labels_are_named(labels):
    with pytest.raises(ValueError, match="loss layer: labels must be 2 whole numbers from 0 to 1"):
        convnet.softmax_loss(np.zeros((2, 2)), np.array(labels))


def test_im2col_conv_and_col2im_conv_take_structures():
    layer = {"k": 2, "stride": 1, "pad": 1}
    input = convnet.as_structure(np.random.default_rng(0).normal(size=(2, 3, 4, 2)))
    columns = convnet.im2col_conv(input, layer)
    assert columns.shape == (8, 4 * 5 * 2)
    # With this padding every pixel lies in all four places of a window.
    np.testing.assert_allclose(convnet.col2im_conv(columns, input, layer), 4 * input["data"])


def test_rows_follow_the_assignments_index():
    images = np.arange(2 * 3 * 4 * 1.0).reshape(2, 3, 4, 1)
    column = convnet.as_structure(images)["data"][:, 0]
    for k, i, j in np.ndindex(2, 3, 4):
        row = (i + 1 - 1) * 4 + (j + 1) + (k + 1 - 1) * 3 * 4
        assert column[row - 1] == images[k, i, j, 0]


def test_load_mnist():
    digits = data.mnist("stand-in")
    x, y, xtest, ytest = convnet.load_mnist(True, digits)
    assert x.shape == (784, len(digits.train_labels)) and x.dtype == np.float32
    assert x.min() == 0 and x.max() == 1
    np.testing.assert_allclose(x[:, 3], digits.train_images[3].ravel() / 255, rtol=1e-6)
    few, few_labels, same, _ = convnet.load_mnist(False, digits)
    assert few.shape[1] == len(few_labels) == -(-x.shape[1] // 20)
    np.testing.assert_array_equal(few, x[:, ::20])
    np.testing.assert_array_equal(few_labels, y[::20])
    np.testing.assert_array_equal(same, xtest)
    assert len(ytest) == xtest.shape[1]


def test_init_convnet():
    params = convnet.init_convnet(SMALL, 3)
    shapes = {i: (own["w"].shape, own["b"].shape) for i, own in params.items()}
    assert shapes == {
        2: ((3, 8), (3,)),
        4: ((4, 27), (4,)),
        6: ((7, 4 * 5 * 4), (7,)),
        8: ((5, 7), (5,)),
    }
    for own in params.values():
        bound = np.sqrt(3 / own["w"].shape[1])
        assert 0.8 * bound < abs(own["w"]).max() <= np.float32(bound)
        assert not own["b"].any()
    again, other = convnet.init_convnet(SMALL, 3), convnet.init_convnet(SMALL, 4)
    np.testing.assert_array_equal(params[2]["w"], again[2]["w"])
    assert (params[2]["w"] != other[2]["w"]).any()


def test_get_lr():
    assert convnet.get_lr(0, 0.01, 1e-4, 0.75) == 0.01
    assert convnet.get_lr(10_000, 0.01, 1e-4, 0.75) == pytest.approx(0.01 / 2**0.75)


def test_random_batches_go_through_all_images_before_any_returns():
    batches = list(islice(convnet.random_batches(10, 4, 0), 10))
    assert {len(batch) for batch in batches} == {4}
    rounds = np.concatenate(batches).reshape(4, 10)
    np.testing.assert_array_equal(np.sort(rounds, axis=1), np.tile(np.arange(10), (4, 1)))
    assert (rounds[0] != rounds[1]).any()
    again = next(convnet.random_batches(10, 4, 0))
    np.testing.assert_array_equal(batches[0], again)
    assert len(next(convnet.random_batches(3, 8, 0))) == 8


def changed(i, **values):
    return SMALL | {i: SMALL[i] | values}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (changed(3, k=20, pad=0), r"layer 3 \(POOLING\): the window's height 20 over .* height 10"),
        (changed(4, stride=2, pad=0, k=3), r"layer 4 \(CONV\): .*must be a multiple of 2"),
        (changed(2, k=0), r"layer 2 \(CONV\): kernel_size must be a whole number of at least 1"),
        (changed(5, type="TANH"), "types among DATA, CONV, POOLING, IP, RELU, LOSS"),
        (changed(8, type="IP"), "begin with DATA and end with LOSS"),
        ({i + 1: layer for i, layer in SMALL.items()}, "keys 1 to 8"),
    ],
)
def test_layers_that_cannot_be_are_named(layers, message):
    with pytest.raises(ValueError, match=message):
        convnet.init_convnet(layers, 0)


def test_wrong_data_is_named(small, functions, nb):
    params, x, labels = small
    with pytest.raises(ValueError, match=r"layer 1 \(DATA\): 'data' must have .*\(126, 6\)"):
        convnet.conv_net(params, SMALL, x[:-1], labels, functions)
    with pytest.raises(ValueError, match=r"layer 1 \(DATA\): 6 of 756 numbers .* finite"):
        convnet.conv_net(
            params, SMALL, np.where(np.arange(126) == 3, np.nan, x.T).T, labels, functions
        )
    params[6]["w"][0, 0] = np.inf
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"layer 6 \(IP\): "):
        convnet.conv_net(params, SMALL, x, labels, functions)
    without = {kind: pair for kind, pair in functions.items() if kind != "RELU"}
    with pytest.raises(ValueError, match=r"layer 5 \(RELU\): no functions .* POOLING, IP"):
        convnet.conv_net(params, SMALL, x, labels, without)
    input = convnet.as_structure(np.zeros((2, 3, 3, 4)))
    with pytest.raises(ValueError, match="inner product layer: w is .*17.*data is .*18"):
        nb["inner_product_forward"](input, {"num": 2}, {"w": np.zeros((2, 17)), "b": np.zeros(2)})
    with pytest.raises(ValueError, match="convolution layer: w must be .*8.*got .*7"):
        layer = {"num": 3, "k": 2, "stride": 1, "pad": 0}
        convnet.conv_layer_forward(input, layer, {"w": np.zeros((3, 7)), "b": np.zeros(3)})
    with pytest.raises(ValueError, match="loss layer: w is .*data must have 17 rows"):
        convnet.mlrloss(input, {}, {"w": np.zeros((2, 17)), "b": np.zeros(2)}, np.zeros(4, int))
    for layer, message in [
        ({"k": 2, "stride": 2, "pad": 0}, "multiple of 2"),
        ({"k": 4, "stride": 1, "pad": 0}, "does not fit"),
        ({"k": 2, "stride": 1, "pad": 2}, "padding 2 must be below the window's 2"),
    ]:
        with pytest.raises(ValueError, match=f"pooling layer: .*{message}"):
            nb["pooling_layer_forward"](input, layer)


# The checks of the page, and wrong answers that each must catch.
PREPARATION = {
    "q1-check": ["structures", "q1-pooling-forward"],
    "q2-check": ["structures", "q2-relu-forward"],
    "q3-check": ["structures", "q3-inner-product-forward"],
    "q4-check": ["structures", "q1-pooling-forward", "q1-check", "q4-pooling-backward"],
    "q5-check": ["structures", "q2-relu-forward", "q5-relu-backward"],
    "q6-check": ["structures", "q3-inner-product-forward", "q6-inner-product-backward"],
    "q7-check": ["q7-sgd-momentum"],
    "random-shifts-check": ["random-shifts"],
    "network-check": [*SOLUTIONS, "functions"],
    "toy-answers": [*SOLUTIONS, "toy-network"],
}


@pytest.mark.parametrize("check", PREPARATION)
def test_checks_pass_on_the_right_answers(check, monkeypatch):
    monkeypatch.setattr("helpers.figures.table", lambda *a, **k: None)
    np.random.seed(0)
    run_cells(*PREPARATION[check], check)


@pytest.mark.parametrize(
    ("check", "cell", "old", "new"),
    [
        ("q1-check", "q1-pooling-forward", "np.maximum", "np.minimum"),
        ("q1-check", "q1-pooling-forward", "value=-np.inf", "value=0"),
        ("q1-check", "q1-pooling-forward", "windows[1:]", "windows[1:-1]"),
        ("q1-check", "q1-pooling-forward", "(k, stride, size)", "(k, k, size)"),
        ("q2-check", "q2-relu-forward", "np.maximum(input['data'], 0)", "abs(input['data'])"),
        ("q2-check", "q2-relu-forward", "np.maximum(input['data'], 0)", "input['data']"),
        ("q3-check", "q3-inner-product-forward", " + b[:, np.newaxis]", ""),
        ("q3-check", "q3-inner-product-forward", "(1, layer['num'],", "(layer['num'], 1,"),
        ("q4-check", "q4-pooling-backward", "waiting &= ~first", "pass"),
        ("q4-check", "q4-pooling-backward", "columns] += diff * first", "columns] = diff * first"),
        ("q4-check", "q4-pooling-backward", "layer['stride'] < layer['k']", "False"),
        ("q4-check", "q4-pooling-backward", "columns] = diff", "columns] = 2 * diff"),
        ("q4-check", "q4-pooling-backward", "in windows:", "in windows[::-1]:"),
        ("q4-check", "q4-pooling-backward", "== maxima", ">= maxima - 1"),
        ("q5-check", "q5-relu-backward", "> 0", ">= 0"),
        ("q5-check", "q5-relu-backward", "output['diff'] *", "1.0 *"),
        ("q6-check", "q6-inner-product-backward", "diff.sum(axis=1)", "diff.mean(axis=1)"),
        ("q6-check", "q6-inner-product-backward", "'w': diff", "'w': 1.001 * diff"),
        ("q6-check", "q6-inner-product-backward", "param['w'].T @ diff", "2 * param['w'].T @ diff"),
        ("q7-check", "q7-sgd-momentum", "mu * param_winc[i]['w'] + ", ""),
        ("q7-check", "q7-sgd-momentum", "b_rate * grad['b']", "b_rate * (grad['b'] + decay * b)"),
        ("q7-check", "q7-sgd-momentum", "grad['w'] + decay * w", "grad['w']"),
        ("q7-check", "q7-sgd-momentum", "+ b_rate", "+ w_rate"),
        ("q7-check", "q7-sgd-momentum", "'w': w - theta_w", "'w': w + theta_w"),
        ("q7-check", "q7-sgd-momentum", "'w': theta_w", "'w': grad['w']"),
        ("random-shifts-check", "random-shifts", "2 * shift + 1", "2 * shift"),
        ("random-shifts-check", "random-shifts", "integers(0, 2", "integers(1, 2"),
        ("random-shifts-check", "random-shifts", "size=(2, batch_size)", "size=(2, 1)"),
        ("random-shifts-check", "random-shifts", "np.newaxis] + lefts", "np.newaxis] + tops"),
        ("random-shifts-check", "random-shifts", "pad(images, shift)", "pad(images, shift, 1)"),
        (
            "random-shifts-check",
            "random-shifts",
            "pad(images, shift)",
            "np.pad(images, ((0, 0), (shift,) * 2, (shift,) * 2, (0, 0)), 'wrap')",
        ),
        (
            "random-shifts-check",
            "random-shifts",
            "rng.integers",
            "np.random.default_rng().integers",
        ),
        ("random-shifts-check", "random-shifts", ", np.arange(batch_size)]", ", :][..., 0, :]"),
        ("network-check", "q4-pooling-backward", "+= diff * first", "= diff * first"),
        ("network-check", "q5-relu-backward", "(input['data'] > 0)", "1"),
        ("toy-answers", "q4-pooling-backward", "in windows:", "in windows[::-1]:"),
        ("toy-answers", "q3-inner-product-forward", "w @ x", "w[:, ::-1] @ x"),
    ],
)
def test_checks_catch_wrong_answers(check, cell, old, new, monkeypatch):
    monkeypatch.setattr("helpers.figures.table", lambda *a, **k: None)
    np.random.seed(0)
    ids = [*PREPARATION[check]]
    with pytest.raises((checks.CheckError, ValueError)):
        # Double quotes in the notebook, single ones above, so that the list stays readable.
        run_cells(*ids, check, changes={cell: (old.replace("'", '"'), new.replace("'", '"'))})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("full_iterations", 0),
        ("subset_iterations", 1.5),
        ("selection_iterations", -1),
        ("max_shift", -1),
        ("max_shift", 2.5),
        ("max_shift", 5),
        ("batch_size", "64"),
        ("workers", 0),
        ("workers", 65),
        ("sample", 10**6),
        ("seed", -1),
        ("dataset", "cifar10"),
    ],
)
def test_parameters_are_checked_before_any_work(name, value):
    names = {}
    exec(source("numpy_lenet", "parameters"), names)
    names |= {"dataset": "stand-in", name: value}
    with pytest.raises(ParameterError, match=name):
        exec(source("numpy_lenet", "setup"), names)


def trained(workers, seed=0, **changes):
    """Return what the notebook's training loop returns after six steps on the stand-in digits."""
    names = {"workers": workers, "seed": seed}
    with ThreadPoolExecutor(workers) as team:
        cells = [*SOLUTIONS, "functions", "lenet", "train"]
        names = run_cells(*cells, names=names | {"team": team})
        x, y, xtest, ytest = convnet.load_mnist(True, data.mnist("stand-in"))
        settings = {"epsilon": 0.01, "gamma": 1e-4, "power": 0.75, "mu": 0.9, "decay": 5e-4}
        settings |= {"shift": 0} | changes
        return names["train"](settings, 6, (x, y), (xtest[:, :50], ytest[:50]))


def test_training_is_repeatable_and_logs_as_the_assignment_does(capsys):
    first, second = trained(2), trained(2)
    assert first["costs"] == second["costs"]
    assert first["tested"] == second["tested"]
    assert first["seconds"] > 0
    assert trained(1)["costs"] == pytest.approx(first["costs"], rel=1e-4)
    assert trained(2, seed=1)["costs"] != first["costs"]
    lines = [line for line in capsys.readouterr().out.splitlines() if line[:1] in "ct"]
    assert any(line.startswith("test accuracy: 0.") for line in lines)
    cost = next(line for line in lines if line.startswith("cost"))
    assert cost == f"cost = {first['costs'][0]:f} training_percent = " + cost.split()[-1]


def test_shifts_move_the_images_and_nothing_else():
    moved = trained(1, shift=2)
    assert moved["costs"] == trained(1, shift=2)["costs"]
    assert trained(2, shift=2)["costs"] == pytest.approx(moved["costs"], rel=1e-4)
    assert moved["costs"] != trained(1)["costs"]

    names = run_cells("random-shifts", "lenet", "train")
    digits, labels, _, _ = convnet.load_mnist(True, data.mnist("stand-in"))
    order = convnet.random_batches(len(labels), 8, 0)
    batches = names["training_batches"](digits, labels, 2)
    for chosen, (batch, batch_labels) in islice(zip(order, batches, strict=False), 20):
        np.testing.assert_array_equal(batch_labels, labels[chosen])
        originals = np.pad(digits[:, chosen].reshape(28, 28, 8), [(2, 2), (2, 2), (0, 0)])
        for n in range(8):
            windows = np.lib.stride_tricks.sliding_window_view(originals[..., n], (28, 28))
            assert (windows == batch[:, n].reshape(28, 28)).all(axis=(2, 3)).any()


def test_settings_are_chosen_by_cost_on_training_images_alone(monkeypatch):
    monkeypatch.setattr("helpers.figures.table", lambda *a, **k: None)
    digits = data.mnist("stand-in")
    runs, records = [], {}

    def train(settings, max_iter, train_set, test_set, name="test"):
        runs.append((settings, len(train_set[1]), test_set, name))
        # Shift 1 has the lowest cost, then the larger λ; the accuracy says the opposite.
        cost = abs(settings["shift"] - 1) - 100 * settings["decay"]
        test = {"step": max_iter, "accuracy": 0.5 + cost / 10, "cost": cost}
        return {"params": None, "costs": [1.0] * max_iter, "tested": [test], "seconds": 1.0}

    names = {"train": train, "evaluate": lambda *a: {"accuracy": 0.5}, "mnist": digits}
    names |= {"run": SimpleNamespace(record=lambda key, values: records.update({key: values}))}
    names |= {"full_iterations": 10, "subset_iterations": 4, "selection_iterations": 2}
    cells = ["candidates", "select", "subset", "subset-first-result", "subset-selection"]
    cells += ["subset-selection-result", "subset-chosen", "subset-result", "selection"]
    cells += ["selection-result", "full", "full-result", "full-answer"]
    names = run_cells(*cells, names=names | {"max_shift": 2})

    assert records["subset"]["shift"] == records["full"]["shift"] == 1
    assert records["subset"]["gamma"] == 10 / 4 * records["full"]["gamma"]
    assert records["classic"]["epsilon"] == 0.01
    decays = [c["decay"] for c in names["candidates"].values() if not c["shift"]]
    assert records["full_without_shifts"]["decay"] == max(decays)
    for key in ("subset_without_shifts", "full_without_shifts", "classic"):
        assert records[key]["shift"] == 0
    whole = {len(names["ysubset"]): names["xsubset"], len(names["ytrain"]): names["xtrain"]}
    for _, count, (images, labels), name in runs:
        if name == "test":
            assert len(labels) == len(digits.test_labels)
        else:
            np.testing.assert_array_equal(images, whole[count + len(labels)][:, count:])
    kinds = [name for *_, name in runs]
    assert kinds.count("test") == 5
    assert kinds.count("validation") == 2 * len(names["candidates"])
    shiftless = run_cells("candidates", names={"max_shift": 0})["candidates"]
    assert not any(settings["shift"] for settings in shiftless.values())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_divergence_names_step_and_settings():
    with pytest.raises(ValueError, match=r"step \d of .*'epsilon': 1e\+30.*layer \d \("):
        trained(1, epsilon=1e30)
