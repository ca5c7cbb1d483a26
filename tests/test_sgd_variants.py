"""The study of update rules: its answers against PyTorch, its parameters, runs and exercises."""

import json
import re
import warnings

import matplotlib as mpl
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cells import ROOT, execute

from helpers import numpy_layers
from helpers.checks import CheckError
from helpers.checks import sgd_variants as checks
from helpers.parameters import ParameterError

NOTEBOOK = "sgd_variants"
LAYERS = (
    *("network", "softmax", "relu", "pool", "conv-forward", "conv-parameters", "conv-input"),
    *("dense", "forward", "backward"),
)
RULES = ("sgd", "momentum", "rmsprop")
DATA = ("load", "draw", "sets")
TRAINING = (*DATA, *LAYERS, *RULES, "batches", "train", "evaluate")
CHECKED = {
    "draw": ("draw_balanced",),
    "network": ("initialize",),
    "softmax": ("log_softmax", "cross_entropy"),
    "relu": ("relu_forward", "relu_backward"),
    "pool": ("max_pool_forward", "max_pool_backward"),
    "conv-forward": ("convolution_forward",),
    "conv-parameters": ("convolution_backward_parameters",),
    "conv-input": ("convolution_backward_input",),
    "dense": ("dense_forward", "dense_backward"),
    "forward": ("forward",),
    "backward": ("backward",),
    "sgd": ("sgd_step",),
    "momentum": ("momentum_step",),
    "rmsprop": ("rmsprop_step",),
    "batches": ("epoch_batches", "train_epoch"),
    "evaluate": ("evaluate",),
}
SMALL = {
    "images_per_class": 4,
    "test_images_per_class": 2,
    "held_out_per_class": 3,
    "epochs": 2,
    "batch_sizes": [8, 40],
    "study_batch_size": 8,
    "map_batch_sizes": [8, 40],
    "sgd_rates": [0.03, 0.3, 100.0],
    "momentum_rates": [0.003, 0.03, 100.0],
    "rmsprop_rates": [0.001, 0.01, 100.0],
    "num_seeds": 2,
    "pace_updates": 10,
    "pace_batch_sizes": [1, 8],
    "surface_points": 4,
    "workers": 1,
    "dataset": "stand-in",
}


def run(*cells: str, **options) -> dict[str, object]:
    with mpl.rc_context():
        return execute(NOTEBOOK, "parameters", "setup", *cells, **SMALL | options)


def run_whole(**options) -> dict[str, object]:
    """Execute every code cell but the bootstrap, without a window for the figures."""
    mpl.use("Agg")
    text = (ROOT / "notebooks" / f"{NOTEBOOK}.ipynb").read_text(encoding="utf-8")
    cells = [c["id"] for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    cells.remove("bootstrap")
    with warnings.catch_warnings(), mpl.rc_context():
        warnings.filterwarnings("ignore", message=".*non-interactive.*")
        warnings.filterwarnings("ignore", message=".*interactive mode.*")
        namespace = execute(NOTEBOOK, *cells, **SMALL | options)
    mpl.pyplot.close("all")
    json.dumps(namespace["run"].results, allow_nan=False)
    return namespace


@pytest.fixture(scope="module")
def training_cells() -> dict[str, object]:
    return run(*TRAINING)


@pytest.fixture(scope="module")
def layers(training_cells) -> dict[str, object]:
    return training_cells


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.copy()).requires_grad_()


def to_torch(images: np.ndarray) -> torch.Tensor:
    """Turn `[channels, height, width, batch]` into torch's `[batch, channels, height, width]`."""
    return tensor(numpy_layers.batch_first(images))


def batch_first_gradient(images: torch.Tensor) -> np.ndarray:
    return numpy_layers.batch_last(images.grad.numpy())


def blank_edged_images(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return images that are zero but for a patch, as MNIST's are: full of equal pixels."""
    images = np.zeros((1, 28, 28, count))
    images[:, 9:19, 8:20] = np.rint(2 * rng.random((1, 10, 12, count))) / 2
    return images


# The answers and their checks


@pytest.mark.parametrize("name", [name for names in CHECKED.values() for name in names])
def test_every_answer_passes_its_own_check(training_cells, name, capsys):
    getattr(checks, name)(training_cells[name])
    assert capsys.readouterr().out.startswith("✓")


WRONG = [
    # check, cell, right, planted
    ("draw_balanced", "draw", "replace=False", "replace=True"),
    ("draw_balanced", "draw", "rng.permutation(np.concatenate(chosen))", "np.concatenate(chosen)"),
    ("initialize", "network", "math.prod(array.shape[1:])", "array.shape[1]"),
    ("initialize", "network", "math.prod(array.shape[1:])", "array.shape[0]"),
    ("initialize", "network", "math.sqrt(2 / fan_in)", "2 / fan_in"),
    ("initialize", "network", "2 / fan_in", "1 / fan_in"),
    ("initialize", "network", 'endswith("weights")', 'endswith("s")'),
    ("log_softmax", "softmax", "logits - logits.max(axis=0)", "logits"),
    ("cross_entropy", "softmax", "- one_hot) / batch", "- one_hot)"),
    ("cross_entropy", "softmax", "np.exp(log_p) - one_hot", "one_hot - np.exp(log_p)"),
    ("cross_entropy", "softmax", ".sum()) / batch", ".sum())"),
    ("relu_forward", "relu", "np.maximum(x, 0)", "np.maximum(x, 0.01 * x)"),
    ("relu_backward", "relu", "(outputs > 0)", "(outputs >= 0)"),
    ("max_pool_forward", "pool", "reduce(np.maximum, places(x))", "sum(places(x)) / 4"),
    ("max_pool_backward", "pool", "waiting & (place == outputs)", "place == outputs"),
    ("max_pool_backward", "pool", "(places(x), places(d_x)", "(places(x), places(d_x)[::-1]"),
    ("convolution_forward", "conv-forward", "bias[:, np.newaxis]", "0 * bias[:, np.newaxis]"),
    ("convolution_forward", "conv-forward", "(len(weights), -1)", "(len(weights), -1)[:, ::-1]"),
    ("convolution_backward_parameters", "conv-parameters", "sum(axis=1)", "mean(axis=1)"),
    ("convolution_backward_parameters", "conv-parameters", "unfold(x) @", "unfold(x)[::-1] @"),
    ("convolution_backward_input", "conv-input", "::-1, ::-1", "::-1, :"),
    ("convolution_backward_input", "conv-input", "::-1, ::-1", ":, :"),
    ("dense_forward", "dense", "bias[:, np.newaxis]", "0 * bias[:, np.newaxis]"),
    ("dense_backward", "dense", "d_outputs @ x.T", "d_outputs @ x.T / x.shape[1]"),
    ("dense_backward", "dense", "d_outputs.sum(axis=1)", "d_outputs.mean(axis=1)"),
    ("forward", "forward", "relu_forward(dense_forward(", "(dense_forward("),
    ("forward", "forward", "reshape(196, -1)", "reshape(-1, 196).T"),
    ("backward", "backward", 'd = relu_backward(d, a["hidden"])', "pass"),
    ("backward", "backward", 'd = relu_backward(d, a["relu2"])', "pass"),
    ("backward", "backward", '_parameters(d, a["pool1"])', '_parameters(d, a["pool1"] / 2)'),
    ("sgd_step", "sgd", "theta -=", "theta +="),
    ("sgd_step", "sgd", "theta -= learning_rate", "theta = theta - learning_rate"),
    ("momentum_step", "momentum", "velocity += gradient", "velocity += (1 - alpha) * gradient"),
    ("momentum_step", "momentum", "velocity *= alpha", "pass"),
    ("rmsprop_step", "rmsprop", "(1 - rho) * gradient**2", "gradient**2"),
    ("rmsprop_step", "rmsprop", "np.sqrt(mean_square) + epsilon", "np.sqrt(mean_square + epsilon)"),
    ("epoch_batches", "batches", "rng.permutation(count)", "np.arange(count)"),
    ("epoch_batches", "batches", "range(0, count, batch_size)", "range(0, count - 1, batch_size)"),
    ("train_epoch", "batches", "error * len(batch)", "error"),
    ("train_epoch", "batches", "step(theta, gradient)\n", "step(theta, gradient.copy() / 2)\n"),
    ("evaluate", "evaluate", "* logits.shape[1]", "* 100"),
    ("evaluate", "evaluate", "argmax(axis=0)", "argmin(axis=0)"),
]  # fmt: skip


@pytest.mark.parametrize("check, cell, right, wrong", WRONG)
def test_an_error_planted_into_an_answer_is_caught(training_cells, check, cell, right, wrong):
    names = execute(NOTEBOOK, cell, replace={right: wrong}, **training_cells)
    with pytest.raises(CheckError), np.errstate(all="ignore"):
        getattr(checks, check)(names[check])


@pytest.mark.parametrize("cell", ["finite", "gradient"])
def test_the_checks_by_finite_differences_pass(training_cells, cell, capsys):
    execute(NOTEBOOK, cell, **training_cells)
    assert capsys.readouterr().out.count("✓") == (6 if cell == "finite" else 1)


@pytest.mark.parametrize(
    "check, cell, right, wrong",
    [
        ("finite", "conv-input", "::-1, ::-1", "::-1, :"),
        ("finite", "conv-parameters", "sum(axis=1)", "mean(axis=1)"),
        ("gradient", "relu", "d_outputs * (outputs > 0)", "d_outputs"),
        ("gradient", "pool", "d_outputs * first", "d_outputs / 4"),
        ("gradient", "softmax", "- one_hot) / batch", "- one_hot)"),
    ],
)
def test_finite_differences_catch_what_is_planted(check, cell, right, wrong):
    with pytest.raises(CheckError):
        run(*LAYERS, check, replace={right: wrong})


# The layers, against PyTorch in float64


def test_cross_entropy_is_that_of_torch(layers):
    rng = np.random.default_rng(0)
    logits, labels = 30 * rng.normal(size=(10, 7)), rng.integers(10, size=7)
    z = tensor(logits.T)
    expected = F.cross_entropy(z, torch.from_numpy(labels))
    expected.backward()
    error, gradient = layers["cross_entropy"](logits, np.eye(10)[:, labels])
    assert error == pytest.approx(expected.item(), rel=1e-13)
    np.testing.assert_allclose(gradient, z.grad.numpy().T, rtol=1e-12, atol=1e-16)


def test_relu_and_max_pooling_are_those_of_torch_with_ties_and_zeros(layers):
    rng = np.random.default_rng(1)
    x = rng.integers(-2, 3, size=(3, 6, 8, 5)).astype(float)  # full of ties and exact zeros
    d_outputs = rng.normal(size=(3, 3, 4, 5))
    rectified = layers["relu_forward"](x)
    pooled = layers["max_pool_forward"](rectified)
    d_rectified = layers["max_pool_backward"](d_outputs, rectified, pooled)
    d_x = layers["relu_backward"](d_rectified, rectified)

    X = to_torch(x)
    R = X.relu()
    R.retain_grad()
    Y = F.max_pool2d(R, 2)
    Y.backward(torch.from_numpy(numpy_layers.batch_first(d_outputs)))
    np.testing.assert_array_equal(pooled, numpy_layers.batch_last(Y.detach().numpy()))
    np.testing.assert_array_equal(d_rectified, batch_first_gradient(R))
    np.testing.assert_array_equal(d_x, batch_first_gradient(X))


@pytest.mark.parametrize("channels, filters, height, width", [(1, 4, 28, 28), (3, 2, 6, 9)])
def test_the_convolution_is_that_of_torch(layers, channels, filters, height, width):
    rng = np.random.default_rng(2)
    x, d_outputs = (rng.normal(size=(n, height, width, 3)) for n in (channels, filters))
    weights, bias = rng.normal(size=(filters, channels, 5, 5)), rng.normal(size=filters)
    X, W, b = to_torch(x), tensor(weights), tensor(bias)
    Y = F.conv2d(X, W, b, padding=2)
    Y.backward(torch.from_numpy(numpy_layers.batch_first(d_outputs)))
    outputs = layers["convolution_forward"](x, weights, bias)
    d_weights, d_bias = layers["convolution_backward_parameters"](d_outputs, x)
    d_x = layers["convolution_backward_input"](d_outputs, weights)
    for got, expected in (
        (outputs, numpy_layers.batch_last(Y.detach().numpy())),
        (d_weights, W.grad.numpy()),
        (d_bias, b.grad.numpy()),
        (d_x, batch_first_gradient(X)),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-11)


def test_fully_connected_layers_are_those_of_torch(layers):
    rng = np.random.default_rng(2)
    x, weights = rng.normal(size=(196, 3)), rng.normal(size=(5, 196))
    bias, d_outputs = rng.normal(size=5), rng.normal(size=(5, 3))
    outputs = layers["dense_forward"](x, weights, bias)
    d_x, d_weights, d_bias = layers["dense_backward"](d_outputs, x, weights)

    X, W, b = tensor(x.T), tensor(weights), tensor(bias)
    Y = F.linear(X, W, b)
    Y.backward(torch.from_numpy(d_outputs.T))
    for got, expected in (
        (outputs, Y.detach().numpy().T),
        (d_weights, W.grad.numpy()),
        (d_bias, b.grad.numpy()),
        (d_x, X.grad.numpy().T),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


def torch_network(p: dict[str, torch.Tensor], images: torch.Tensor) -> dict[str, torch.Tensor]:
    a = {"relu1": F.conv2d(images, p["conv1.weights"], p["conv1.bias"], padding=2).relu()}
    a["pool1"] = F.max_pool2d(a["relu1"], 2)
    a["relu2"] = F.conv2d(a["pool1"], p["conv2.weights"], p["conv2.bias"], padding=2).relu()
    a["pool2"] = F.max_pool2d(a["relu2"], 2)
    a["flat"] = a["pool2"].flatten(1)
    a["hidden"] = F.linear(a["flat"], p["hidden.weights"], p["hidden.bias"]).relu()
    a["logits"] = F.linear(a["hidden"], p["output.weights"], p["output.bias"])
    return a


@pytest.mark.parametrize("random_biases", [False, True])
@pytest.mark.parametrize("batch", [1, 6])
def test_whole_network_and_its_gradient_are_those_of_torch(layers, batch, random_biases):
    rng = np.random.default_rng(3)
    images, labels = blank_edged_images(rng, batch), rng.integers(10, size=batch)
    theta = layers["initialize"](rng, np.float64)
    if random_biases:
        theta += 0.1 * rng.normal(size=theta.shape)
    p = {name: tensor(array) for name, array in layers["views"](theta).items()}
    expected = torch_network(p, to_torch(images))
    loss = F.cross_entropy(expected["logits"], torch.from_numpy(labels))
    loss.backward()

    got = layers["forward"](theta, images)
    for name, activation in expected.items():
        rows = got[name].T if got[name].ndim == 2 else numpy_layers.batch_first(got[name])
        np.testing.assert_allclose(rows, activation.detach().numpy(), rtol=1e-10, atol=1e-12)
    error, gradient = layers["error_and_gradient"](theta, images, np.eye(10)[:, labels])
    assert error == pytest.approx(loss.item(), rel=1e-12)
    for name, array in layers["views"](gradient).items():
        np.testing.assert_allclose(array, p[name].grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


def test_float32_stays_float32_and_the_arrays_are_views(layers):
    theta = layers["initialize"](np.random.default_rng(0))
    images = np.zeros((1, 28, 28, 2), np.float32)
    one_hot = np.eye(10, dtype=np.float32)[:, :2]
    _, gradient = layers["error_and_gradient"](theta, images, one_hot)
    assert theta.dtype == gradient.dtype == np.float32
    assert layers["forward"](theta, images)["logits"].dtype == np.float32
    layers["views"](theta)["output.bias"][0] = 7
    assert theta[-10] == 7 and len(theta) == 10_661


# The update rules and the training, against torch.optim


@pytest.mark.parametrize(
    "rule, optimizer",
    [
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.01)),
        ("momentum", lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8)),
        ("rmsprop", lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.7)),
    ],
)
def test_each_rule_is_that_of_torch_step_by_step(rule, optimizer):
    cells = run(*TRAINING, momentum=0.8, rho=0.7)
    rng = np.random.default_rng(4)
    theta = rng.normal(size=50)
    expected, state = tensor(theta), np.zeros(50)
    optimizer = optimizer([expected])
    for step in range(30):
        gradient = rng.normal(size=50) * 10.0 ** rng.integers(-6, 3, size=50)
        gradient[rng.integers(50, size=5)] = 0
        expected.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        cells["RULES"][rule](theta, gradient, state, 0.01)
        np.testing.assert_allclose(
            theta, expected.detach().numpy(), rtol=1e-12, atol=1e-14, err_msg=f"step {step}"
        )


@pytest.mark.parametrize("rule", RULES)
def test_training_is_that_of_torch(training_cells, rule):
    """Ten updates of the page's own loop in float64 end where torch's autograd and optim end."""
    cells = training_cells
    examples = cells["train_set"]
    double = cells["Examples"](
        examples.images.astype(float), examples.one_hot.astype(float), examples.labels
    )
    rng = np.random.default_rng(5)
    start = cells["initialize"](rng, np.float64)
    p = {name: tensor(array) for name, array in cells["views"](start).items()}
    optimizer = {
        "sgd": lambda: torch.optim.SGD(p.values(), lr=0.001),
        "momentum": lambda: torch.optim.SGD(p.values(), lr=0.001, momentum=0.9),
        "rmsprop": lambda: torch.optim.RMSprop(p.values(), lr=0.001, alpha=0.9),
    }[rule]()
    batches = np.split(rng.permutation(40), 10)
    losses = []
    for batch in batches:
        optimizer.zero_grad()
        logits = torch_network(p, to_torch(double.images[..., batch]))["logits"]
        loss = F.cross_entropy(logits, torch.from_numpy(examples.labels[batch]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    theta, state = start.copy(), np.zeros_like(start)

    def step(theta, gradient):
        cells["RULES"][rule](theta, gradient, state, 0.001)

    mean = cells["train_epoch"](theta, double, batches, cells["error_and_gradient"], step)
    assert mean == pytest.approx(np.mean(losses), rel=1e-9)
    for name, array in cells["views"](theta).items():
        np.testing.assert_allclose(
            array, p[name].detach().numpy(), rtol=1e-8, atol=1e-9, err_msg=name
        )


# Draws, order, divergence


def test_draws_are_balanced_disjoint_and_fixed_by_the_seed(training_cells):
    cells = training_cells
    for name, per_class in (("train_set", 4), ("held_out", 3), ("test_set", 2)):
        assert np.bincount(cells[name].labels).tolist() == [per_class] * 10
        assert (cells[name].one_hot.argmax(0) == cells[name].labels).all()
        assert cells[name].images.flags.c_contiguous and cells[name].images.max() == 1
    trained = {image.tobytes() for image in np.moveaxis(cells["train_set"].images, -1, 0)}
    held = {image.tobytes() for image in np.moveaxis(cells["held_out"].images, -1, 0)}
    assert not trained & held
    mnist = cells["mnist"]
    assert np.array_equal(cells["train_images"], mnist.train_images[:, 0])
    assert np.array_equal(cells["test_labels"], mnist.test_labels)
    same, other = (run(*DATA, seed=s)["train_set"].images for s in (1, 2))
    assert (same == cells["train_set"].images).all() and (other != same).any()


def test_all_rules_see_the_same_order_and_every_epoch_another(training_cells):
    orders = {rule: [] for rule in RULES}
    original = training_cells["epoch_batches"]
    for rule in RULES:

        def recording(*arguments, rule=rule):
            batches = original(*arguments)
            orders[rule].append(np.concatenate(batches))
            return batches

        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(training_cells, "epoch_batches", recording)
            list(training_cells["train"](rule, 0.001, 7, 3))
    orders = np.array(list(orders.values()))
    assert orders.shape == (3, 2, 40)
    assert (np.sort(orders) == np.arange(40)).all()
    assert (orders == orders[0]).all() and (orders[0][0] != orders[0][1]).any()


def test_the_same_seed_gives_the_same_run_and_another_seed_another(training_cells):
    def end(seed):
        *_, theta = training_cells["train"]("rmsprop", 0.001, 8, seed)
        return theta

    assert (end(0) == end(0)).all()
    assert (end(0) != end(1)).any()


@pytest.mark.parametrize("rule", RULES)
def test_a_run_that_overflows_yields_nothing_more(training_cells, rule):
    thetas = list(training_cells["train"](rule, 1e30, 4, 0))
    assert len(thetas) < 3
    assert all(np.isfinite(theta).all() for theta in thetas)


@pytest.mark.parametrize("rule, rate", [("sgd", 0.1), ("momentum", 0.01), ("rmsprop", 0.003)])
def test_a_good_rate_learns(rule, rate):
    cells = run(*TRAINING, epochs=40)
    thetas = list(cells["train"](rule, rate, 4, 0))
    assert len(thetas) == 41
    error, accuracy = cells["evaluate"](thetas[-1], cells["train_set"])
    assert error < 0.1 and accuracy > 0.97


# Parameters


@pytest.mark.parametrize(
    "options, words",
    [
        ({"images_per_class": 0}, "images_per_class = 0: "),
        ({"images_per_class": 140}, "images_per_class = 140: .* one of each digit is left"),
        ({"test_images_per_class": True}, "test_images_per_class = True: "),
        ({"test_images_per_class": 1}, "test_images_per_class = 1: .* at least 2"),
        ({"test_images_per_class": 99}, "test_images_per_class = 99: .* the rarest digit"),
        ({"held_out_per_class": 0}, "held_out_per_class = 0: "),
        ({"epochs": 0}, "epochs = 0: "),
        ({"epochs": 1.5}, "epochs = 1.5: "),
        ({"batch_sizes": [0]}, r"batch_sizes\[0\] = 0: "),
        ({"batch_sizes": []}, r"batch_sizes = \[\]: "),
        ({"batch_sizes": [8, 41]}, r"batch_sizes = \[8, 41\]: .* at most 40"),
        ({"batch_sizes": [40, 8]}, r"batch_sizes = \[40, 8\]: .* a list that increases"),
        ({"batch_sizes": [4, 40]}, "study_batch_size = 8: .* one of batch_sizes"),
        ({"map_batch_sizes": [4, 40]}, "study_batch_size = 8: .* one of map_batch_sizes"),
        ({"map_batch_sizes": [8, 8]}, r"map_batch_sizes = \[8, 8\]: .* a list that increases"),
        ({"study_batch_size": 0}, "study_batch_size = 0: "),
        ({"learning_rate": 0}, "learning_rate = 0: "),
        ({"learning_rate": float("nan")}, "learning_rate = nan: "),
        ({"momentum": 1.0}, "momentum = 1.0: "),
        ({"rho": -0.1}, "rho = -0.1: "),
        ({"sgd_rates": [0.1, -1]}, r"sgd_rates\[1\] = -1: "),
        ({"sgd_rates": [0.1, 0.1]}, r"sgd_rates = \[0.1, 0.1\]: .* a list that increases"),
        ({"momentum_rates": []}, r"momentum_rates = \[\]: "),
        ({"rmsprop_rates": [0.1, "fast"]}, r"rmsprop_rates\[1\] = 'fast': "),
        ({"num_seeds": 1}, "num_seeds = 1: "),
        ({"num_seeds": 21}, "num_seeds = 21: "),
        ({"pace_updates": 9}, "pace_updates = 9: "),
        ({"pace_batch_sizes": [0, 8]}, r"pace_batch_sizes\[0\] = 0: "),
        ({"pace_batch_sizes": [1, 400]}, r"pace_batch_sizes = \[1, 400\]: .* at most 40"),
        ({"sample": 20}, "sample = 20: .* at most 19"),
        ({"perplexity": 1}, "perplexity = 1: "),
        ({"surface_points": 2}, "surface_points = 2: "),
        ({"seed": -1}, "seed = -1: "),
        ({"seed": 2**32 - 1}, "seed = 4294967295: .* the last of the 2 seeds is valid"),
        ({"workers": 0}, "workers = 0: "),
        ({"dataset": "cifar10"}, "dataset = 'cifar10': "),
    ],
)
def test_bad_parameters_fail_in_the_setup_cell(options, words):
    with pytest.raises(ParameterError, match=f"^{words}") as caught:
        run(**options)
    assert str(caught.value).count("\n") == 0


def test_no_more_images_are_held_out_than_there_are():
    cells = run(images_per_class=130, held_out_per_class=10_000)
    assert cells["held_out_per_class"] + 130 == np.bincount(cells["mnist"].train_labels).min()
    assert cells["run"].parameters["held_out_per_class"] == cells["held_out_per_class"]


# The whole notebook


@pytest.fixture(scope="module")
def whole() -> dict[str, object]:
    return run_whole()


def test_the_whole_notebook_records_what_it_measured(whole):
    results = whole["run"].results
    for rule in RULES:
        assert results[rule]["epochs"] == 2
        assert results[rule]["train_images"] == 40 and results[rule]["test_images"] == 20
        for batch_size in SMALL["batch_sizes"]:
            result, (thetas, _) = (
                results[rule][f"batch_{batch_size}"],
                whole["runs"][rule, batch_size],
            )
            for part, examples in (("train", "train_set"), ("test", "test_set")):
                expected = whole["evaluate"](thetas[-1], whole[examples])
                got = result[f"{part}_error"], result[f"{part}_accuracy"]
                assert got == pytest.approx(expected)
            assert not result["diverged"] and 0 <= result["all_test_accuracy"] <= 1
        best = results["best"][rule]
        ends = [whole["ends"][rule, best["learning_rate"], 8, s] for s in whole["SEEDS"]]
        held = [whole["evaluate"](end[0], whole["held_out"])[0] for end in ends]
        means = results[f"rates_{rule}"]
        assert means[f"{best['learning_rate']:g}"]["held_out_error"] == pytest.approx(np.mean(held))
        assert min(m["held_out_error"] for m in means.values()) == pytest.approx(np.mean(held))


def test_a_best_rate_has_its_neighbours_tried(whole):
    for rule in RULES:
        rates, tried = whole["RATES"][rule], whole["tried"][rule]
        at = rates.index(whole["best_rates"][rule])
        assert {*rates[max(at - 1, 0) : at + 2]} <= {*tried}


def test_paths_distances_and_dead_units_are_what_they_are_called(whole):
    for results in whole["pace"].values():
        for result in results:
            assert result["path"] >= result["distance"] > 0
            assert len(result["errors"]) == 6
    theta = whole["initialize"](np.random.default_rng(0))
    p = whole["views"](theta)
    p["conv1.bias"][1:3] = -1e6
    p["hidden.bias"][:7] = -1e6
    error, *dead = whole["error_and_dead"](theta)
    assert error == pytest.approx(whole["evaluate"](theta, whole["train_set"])[0])
    alive = whole["forward"](theta, whole["train_set"].images)["hidden"].max(axis=1) > 0
    assert dead[0] == 2 and dead[2] == 49 - alive.sum() >= 7


def test_the_plane_goes_through_the_ends(whole):
    rng = np.random.default_rng(0)
    start, one, other = rng.normal(size=(3, 50))
    directions = whole["plane"](start, [one, other])
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-12)
    for end in (one, other):
        held = (end - start) @ directions.T @ directions
        np.testing.assert_allclose(held, end - start, atol=1e-12)
    assert ((one - start) @ directions.T)[0] > 0 and ((other - start) @ directions.T)[1] > 0


@pytest.mark.long
def test_the_whole_notebook_runs_when_everything_diverges(capsys):
    rates = {f"{rule}_rates": [1e20] for rule in RULES}
    namespace = run_whole(learning_rate=1e20, **rates)
    results = namespace["run"].results
    for rule in RULES:
        assert results[rule]["batch_8"]["diverged"]
        assert "train_accuracy" not in results[rule]["batch_8"]
    assert "there is no slice to show" in capsys.readouterr().out


def test_the_solutions_of_the_exercises_run(whole, capsys):
    text = (ROOT / "notebooks" / f"{NOTEBOOK}.ipynb").read_text(encoding="utf-8")
    (cell,) = (c for c in json.loads(text)["cells"] if c["id"] == "exercises")
    blocks = re.findall(r"```python\n(.*?)```", "".join(cell["source"]), re.DOTALL)
    names = dict(whole)
    for block in blocks:
        exec(compile(block, "exercises", "exec"), names)
    assert len(blocks) == 9
    assert "✓ ∂S/∂x with stride 2" in capsys.readouterr().out
