"""What the handout gives, helpers.convnet, with the layers that the notebook's page defines."""

from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pytest
import torch
from cells import execute
from torch.nn import functional as F

from helpers import convnet, data, numpy_layers
from helpers import numpy_layers as nl

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
LAYERS = [
    *("q1-pooling-forward", "q2-relu-forward", "q3-inner-product-forward"),
    *("q4-pooling-backward", "q5-relu-backward", "q6-inner-product-backward", "functions"),
]


@pytest.fixture(scope="module")
def functions():
    names = execute("numpy_lenet", *LAYERS, np=np, convnet=convnet, numpy_layers=numpy_layers)
    return names["functions"]


SMALL = {
    1: {"type": "DATA", "height": 9, "width": 7, "channel": 2, "batch_size": 6},
    2: {"type": "CONV", "num": 3, "k": 2, "stride": 1, "pad": 1},
    3: {"type": "POOLING", "k": 4, "stride": 2, "pad": 0},
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
    a = F.max_pool2d(a, 4, 2)
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
    probabilities = convnet.predict(params, SMALL, x, functions, batch_size=4)
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


@pytest.mark.parametrize("field", ["data", "diff"])
def test_a_field_in_the_place_of_the_layers_name_is_refused(field):
    with pytest.raises(ValueError, match="name of the layer first, then 'data' or 'diff'"):
        convnet.as_images(convnet.as_structure(np.zeros((2, 3, 4, 2))), field)


def test_a_structure_needs_four_axes():
    with pytest.raises(ValueError, match=r"as_structure needs .*got the shape \(24, 2\)"):
        convnet.as_structure(np.zeros((24, 2)))


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
        6: ((7, 4 * 4 * 3), (7,)),
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


def test_wrong_data_is_named(small, functions):
    params, x, labels = small
    with pytest.raises(ValueError, match=r"layer 1 \(DATA\): 'data' must have .*\(126, 6\)"):
        convnet.conv_net(params, SMALL, x[:-1], labels, functions)
    with pytest.raises(ValueError, match=r"layer 1 \(DATA\): 6 of 756 numbers .* finite"):
        convnet.conv_net(
            params, SMALL, np.where(np.arange(126) == 3, np.nan, x.T).T, labels, functions
        )
    params[6]["w"][0, 0] = np.inf
    with np.errstate(all="ignore"), pytest.raises(nl.NotFiniteError, match=r"layer 6 \(IP\): "):
        convnet.conv_net(params, SMALL, x, labels, functions)
    without = {kind: pair for kind, pair in functions.items() if kind != "RELU"}
    with pytest.raises(ValueError, match=r"layer 5 \(RELU\): no functions .* POOLING, IP"):
        convnet.conv_net(params, SMALL, x, labels, without)
    input = convnet.as_structure(np.zeros((2, 3, 3, 4)))
    with pytest.raises(ValueError, match="convolution layer: w must be .*8.*got .*7"):
        layer = {"num": 3, "k": 2, "stride": 1, "pad": 0}
        convnet.conv_layer_forward(input, layer, {"w": np.zeros((3, 7)), "b": np.zeros(3)})
    with pytest.raises(ValueError, match="loss layer: w is .*data must have 17 rows"):
        convnet.mlrloss(input, {}, {"w": np.zeros((2, 17)), "b": np.zeros(2)}, np.zeros(4, int))


def test_a_diverged_training_is_told_in_one_sentence():
    cause = nl.NotFiniteError("layer 8 (LOSS): the cost is nan")
    error = convnet.Diverged(7, {"epsilon": 30.0, "decay": 5e-4}, cause)
    assert str(error) == (
        "step 7, layer 8 (LOSS): the cost is nan. The settings were epsilon = 30, "
        "decay = 0.0005; a smaller epsilon is the usual cure, or a larger batch."
    )
