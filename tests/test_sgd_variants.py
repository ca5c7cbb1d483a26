"""The study of update rules: its layers and rules against PyTorch, its checks, draws and runs."""

import json
import os
import warnings

import matplotlib as mpl
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cells import ROOT, execute

from helpers import data, numpy_layers
from helpers.checks import CheckError
from helpers.parameters import ParameterError

NOTEBOOK = "sgd_variants"
LAYERS = ("network", "softmax", "relu", "pool", "dense", "forward", "backward")
RULES = ("sgd", "momentum", "rmsprop")
TRAINING = (*LAYERS, *RULES, "batches", "train", "evaluate")
SMALL = {
    "images_per_class": 4,
    "test_images_per_class": 2,
    "held_out_per_class": 3,
    "epochs": 2,
    "batch_sizes": [8, 40],
    "study_batch_size": 8,
    "tune_learning_rates": [0.003, 100.0],
    "tune_seeds": 2,
    "surface_points": 4,
    "tsne_all": False,
    "workers": 1,
    "dataset": "stand-in",
}


def run(*cells: str, **options) -> dict[str, object]:
    return execute(NOTEBOOK, "parameters", "setup", *cells, **options)


def run_whole(monkeypatch: pytest.MonkeyPatch, **options) -> dict[str, object]:
    """Execute every code cell but the bootstrap, without a window for the figures."""
    mpl.use("Agg")
    monkeypatch.setattr("IPython.display.Markdown", str)  # so that its text is printed
    text = (ROOT / "notebooks" / f"{NOTEBOOK}.ipynb").read_text(encoding="utf-8")
    cells = [c["id"] for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    cells.remove("bootstrap")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*non-interactive.*")
        warnings.filterwarnings("ignore", message=".*interactive mode.*")
        namespace = execute(NOTEBOOK, *cells, **SMALL | options)
    mpl.pyplot.close("all")
    json.dumps(namespace["run"].results, allow_nan=False)
    return namespace


@pytest.fixture(scope="module")
def layers() -> dict[str, object]:
    return run(*LAYERS)


@pytest.fixture(scope="module")
def training_cells() -> dict[str, object]:
    return run("begin", "data", *TRAINING, **SMALL)


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


def test_fully_connected_and_flattening_are_those_of_torch(layers):
    rng = np.random.default_rng(2)
    x, weights = rng.normal(size=(4, 7, 7, 3)), rng.normal(size=(5, 196))
    bias, d_outputs = rng.normal(size=5), rng.normal(size=(5, 3))
    flat = layers["flatten_forward"](x)
    outputs = layers["dense_forward"](flat, weights, bias)
    d_flat, d_weights, d_bias = layers["dense_backward"](d_outputs, flat, weights)
    d_x = layers["flatten_backward"](d_flat, x)

    X, W, b = to_torch(x), tensor(weights), tensor(bias)
    Y = F.linear(X.flatten(1), W, b)
    Y.backward(torch.from_numpy(d_outputs.T))
    np.testing.assert_allclose(outputs, Y.detach().numpy().T, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(d_weights, W.grad.numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(d_bias, b.grad.numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(d_x, batch_first_gradient(X), rtol=1e-12, atol=1e-13)


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
        rows = got[name] if got[name].ndim == 2 else numpy_layers.batch_first(got[name])
        rows = rows.T if rows.ndim == 2 else rows
        np.testing.assert_allclose(rows, activation.detach().numpy(), rtol=1e-10, atol=1e-12)
    error, gradient = layers["error_and_gradient"](theta, images, np.eye(10)[:, labels])
    assert error == pytest.approx(loss.item(), rel=1e-12)
    for name, array in layers["views"](gradient).items():
        np.testing.assert_allclose(array, p[name].grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


def test_float32_stays_float32(layers):
    theta = layers["initialize"](np.random.default_rng(0))
    images = np.zeros((1, 28, 28, 2), np.float32)
    one_hot = np.eye(10, dtype=np.float32)[:, :2]
    _, gradient = layers["error_and_gradient"](theta, images, one_hot)
    assert theta.dtype == gradient.dtype == np.float32
    assert layers["forward"](theta, images)["logits"].dtype == np.float32


# The update rules, against torch.optim


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
    """Ten updates of the published loop in float64 end where torch's autograd and optim end."""
    cells = dict(training_cells)
    examples, rng = cells["train_set"], np.random.default_rng(5)
    order, theta = rng.permutation(40), None
    start = cells["initialize"](rng, np.float64)
    p = {name: tensor(array) for name, array in cells["views"](start).items()}
    optimizer = {
        "sgd": lambda: torch.optim.SGD(p.values(), lr=0.001),
        "momentum": lambda: torch.optim.SGD(p.values(), lr=0.001, momentum=0.9),
        "rmsprop": lambda: torch.optim.RMSprop(p.values(), lr=0.001, alpha=0.9),
    }[rule]()
    batches = [order[i : i + 4] for i in range(0, 40, 4)]
    for batch in batches:
        optimizer.zero_grad()
        logits = torch_network(p, to_torch(examples.images[..., batch].astype(float)))["logits"]
        F.cross_entropy(logits, torch.from_numpy(examples.labels[batch])).backward()
        optimizer.step()

    double = cells["Examples"](
        examples.images.astype(float), examples.one_hot.astype(float), examples.labels
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(training_cells, "initialize", lambda rng: start.copy())
        patch.setitem(training_cells, "epoch_batches", lambda *_: batches)
        *_, theta = training_cells["train"](rule, double, 4, 0.001, 1, 0)
    for name, array in cells["views"](theta).items():
        np.testing.assert_allclose(
            array, p[name].detach().numpy(), rtol=1e-8, atol=1e-9, err_msg=name
        )


# The checks of the page catch wrong answers

WRONG = [
    # cells, check, right, planted
    (("network",), "network-check", '"hidden.weights": (49, 196)', '"hidden.weights": (50, 196)'),
    (("network",), "network-check", "math.sqrt(2 / inputs)", "math.sqrt(1 / inputs)"),
    (("network",), "network-check", 'endswith("weights")', 'endswith("s")'),
    (("network",), "network-check", "theta[start:end]", "theta[start:end].copy()"),
    (("softmax",), "softmax-check", "logits - logits.max(axis=0)", "logits"),
    (("softmax",), "softmax-check", ".sum(axis=0)", ".sum(axis=0, keepdims=True) + 1"),
    (("softmax",), "softmax-check", "- one_hot) / batch", "- one_hot)"),
    (("softmax",), "softmax-check", "np.exp(log_p) - one_hot", "one_hot - np.exp(log_p)"),
    (("softmax",), "softmax-check", ".sum()) / batch", ".sum())"),
    (("relu",), "relu-check", "np.maximum(x, 0)", "np.maximum(x, 0.01 * x)"),
    (("relu",), "relu-check", "(outputs > 0)", "(outputs >= 0)"),
    (("relu",), "relu-check", "d_outputs * (outputs > 0)", "d_outputs * outputs"),
    (("pool",), "pool-check", "reduce(np.maximum, windows(x))", "sum(windows(x)) / 4"),
    (("pool",), "pool-check", "free & (place == outputs)", "place == outputs"),
    (
        ("pool",),
        "pool-check",
        "zip(windows(x), windows(d_x)",
        "zip(windows(x)[::-1], windows(d_x)[::-1]",
    ),
    (("pool",), "pool-check", "d_outputs * first", "d_outputs / 4"),
    (("dense",), "dense-check", "bias[:, np.newaxis]", "0 * bias[:, np.newaxis]"),
    (("dense",), "dense-check", "d_outputs @ x.T", "d_outputs @ x.T / x.shape[1]"),
    (("dense",), "dense-check", "d_outputs.sum(axis=1)", "d_outputs.mean(axis=1)"),
    (("dense",), "dense-check", "weights.T @ d_outputs", "-weights.T @ d_outputs"),
    (("dense",), "dense-check", "x.reshape(-1, x.shape[-1])", "x.T.reshape(-1, x.shape[-1])"),
    (("dense",), "dense-check", "d_outputs.reshape(x.shape)", "d_outputs.reshape(x.shape) / 2"),
    (LAYERS, "gradient-check", 'relu_backward(d_hidden, a["hidden"])', "d_hidden"),
    (LAYERS, "gradient-check", 'relu_backward(d_relu2, a["relu2"])', "d_relu2"),
    (LAYERS, "gradient-check", 'relu_backward(d_relu1, a["relu1"])', "d_relu1"),
    (LAYERS, "gradient-check", 'd_conv2, a["columns2"]', '0.99 * d_conv2, a["columns2"]'),
    (LAYERS, "gradient-check", 'd_logits, a["hidden"]', '-d_logits, a["hidden"]'),
    (LAYERS, "gradient-check", 'd_conv1, a["columns1"]', 'd_conv1[:, ::-1], a["columns1"]'),
    (
        RULES,
        "rules-check",
        "theta -= learning_rate * gradient\n",
        "theta += learning_rate * gradient\n",
    ),
    (RULES, "rules-check", "velocity += gradient", "velocity += (1 - alpha) * gradient"),
    (RULES, "rules-check", "velocity *= alpha\n", "\n"),
    (RULES, "rules-check", "mean_square += (1 - rho) * gradient**2", "mean_square += gradient**2"),
    (RULES, "rules-check", "mean_square *= rho\n", "\n"),
    (RULES, "rules-check", "np.sqrt(mean_square)", "mean_square"),
    (RULES, "rules-check", "(np.sqrt(mean_square) + epsilon)", "np.sqrt(mean_square)"),
    (("batches",), "batches-check", "rng.permutation(count)", "np.arange(count)"),
    (("batches",), "batches-check", "rng.permutation(count)", "rng.integers(count, size=count)"),
    (
        ("batches",),
        "batches-check",
        "range(0, count, batch_size)",
        "range(0, count - 31, batch_size)",
    ),
    (
        ("begin", "data"),
        "data-check",
        "rng.permutation(np.concatenate(chosen))",
        "np.concatenate(chosen)",
    ),
    (("begin", "data"), "data-check", "replace=False", "replace=True"),
    (("begin", "data"), "data-check", "np.flatnonzero(labels == digit)", "len(labels)"),
    (
        ("begin", "data"),
        "data-check",
        "np.setdiff1d(np.arange(len(mnist.train_labels)), train_indices)",
        "np.arange(len(mnist.train_labels))",
    ),
    (
        ("network", *LAYERS, "tsne"),
        "tsne-check",
        ".kneighbors(return",
        ".kneighbors(points, return",
    ),
]


@pytest.mark.parametrize("cells, check, right, wrong", WRONG)
def test_a_planted_wrong_answer_is_caught(cells, check, right, wrong):
    data_cells = ("begin", "data") if check == "tsne-check" else ()
    cells = tuple(dict.fromkeys((*data_cells, *cells)))
    options = {**SMALL, "images_per_class": 40, "held_out_per_class": 30}
    with pytest.raises(CheckError), np.errstate(all="ignore"):
        run(*cells, check, replace={right: wrong}, **options)


# Draws, order, divergence


def test_draws_are_balanced_disjoint_and_fixed_by_the_seed(training_cells):
    cells = training_cells
    for name, per_class in (("train_set", 4), ("held_out", 3), ("test_set", 2)):
        assert np.bincount(cells[name].labels).tolist() == [per_class] * 10
    mnist = cells["mnist"]
    assert not set(cells["train_indices"]) & set(cells["others"][cells["kept_out"]])
    first = cells["train_indices"][0]
    np.testing.assert_array_equal(
        cells["train_set"].images[0, :, :, 0], mnist.train_images[first, 0] / np.float32(255)
    )
    same, other = (run("begin", "data", **SMALL | {"seed": s})["train_indices"] for s in (1, 2))
    assert (same == cells["train_indices"]).all() and (other != same).any()


def test_every_epoch_is_shuffled_and_all_rules_see_the_same_order(training_cells):
    orders = {rule: [] for rule in RULES}
    original = training_cells["epoch_batches"]
    for rule in RULES:

        def recording(*arguments, rule=rule):
            batches = original(*arguments)
            orders[rule].append(np.concatenate(batches))
            return batches

        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(training_cells, "epoch_batches", recording)
            list(training_cells["train"](rule, training_cells["train_set"], 7, 0.001, 4, 3))
    orders = np.array(list(orders.values()))
    assert orders.shape == (3, 4, 40)
    assert (np.sort(orders) == np.arange(40)).all()
    assert (orders == orders[0]).all()
    assert len({tuple(order) for order in orders[0]}) == 4


def test_the_same_seed_gives_the_same_run_and_another_seed_another(training_cells):
    def end(seed):
        *_, theta = training_cells["train"](
            "rmsprop", training_cells["train_set"], 8, 0.001, 2, seed
        )
        return theta

    assert (end(0) == end(0)).all()
    assert (end(0) != end(1)).any()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("rate", [10.0, 1e4, 1e30])
def test_a_diverging_run_is_caught_and_named(training_cells, rule, rate):
    with pytest.raises(ArithmeticError, match="in epoch [12]$") as caught:
        list(training_cells["train"](rule, training_cells["train_set"], 4, rate, 5, 0))
    assert type(caught.value).__name__ == "Diverged"


@pytest.mark.parametrize("rule, rate", [("sgd", 0.1), ("momentum", 0.01), ("rmsprop", 0.003)])
def test_a_good_rate_learns_and_is_not_called_divergence(training_cells, rule, rate):
    cells = training_cells
    thetas = list(cells["train"](rule, cells["train_set"], 4, rate, 40, 0))
    assert len(thetas) == 41
    error, accuracy = cells["evaluate"](thetas[-1], cells["train_set"])
    assert error < 0.1 and accuracy > 0.97


def test_evaluation_does_not_depend_on_the_chunks(training_cells):
    cells = training_cells
    theta = cells["initialize"](np.random.default_rng(0))
    whole, parts = (cells["evaluate"](theta, cells["train_set"], chunk) for chunk in (40, 7))
    assert parts == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"batch_sizes": [0]}, "batch_sizes[0] = 0"),
        ({"batch_sizes": [2000], "study_batch_size": 2000}, "batch_sizes[0] = 2000"),
        ({"batch_sizes": []}, "batch_sizes = []"),
        ({"batch_sizes": [1, 2]}, "study_batch_size = 10"),
        ({"learning_rate": 0}, "learning_rate = 0"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"momentum": 1.0}, "momentum = 1.0"),
        ({"rho": -0.1}, "rho = -0.1"),
        ({"epochs": 0}, "epochs = 0"),
        ({"epochs": 1.5}, "epochs = 1.5"),
        ({"images_per_class": 0}, "images_per_class = 0"),
        ({"test_images_per_class": True}, "test_images_per_class = True"),
        ({"tune_seeds": 1}, "tune_seeds = 1"),
        ({"tune_learning_rates": [0.1, -1]}, "tune_learning_rates[1] = -1"),
        ({"tsne_all": "yes"}, "tsne_all = 'yes'"),
        ({"sample": 100}, "sample = 100"),
        ({"seed": -1}, "seed = -1"),
        ({"workers": 0}, "workers = 0"),
        ({"dataset": "cifar10"}, "dataset = 'cifar10'"),
    ],
)
def test_bad_parameters_fail_in_one_sentence(options, words):
    with pytest.raises(ParameterError) as caught:
        run(**options)
    assert str(caught.value).startswith(words) and str(caught.value).count("\n") == 0


@pytest.mark.parametrize("name, value", [("images_per_class", 140), ("test_images_per_class", 35)])
def test_more_images_than_there_are_is_a_bad_parameter(name, value):
    with pytest.raises(ParameterError, match=f"{name} = {value}: .* at most"):
        run("begin", dataset="stand-in", **{name: value})


# The whole notebook


def test_the_whole_notebook_records_every_rule_and_batch_size(capsys, monkeypatch):
    namespace = run_whole(monkeypatch, tsne_all=True)
    results = namespace["run"].results
    assert set(results) == set(RULES)
    for rule in RULES:
        assert results[rule]["epochs"] == 2
        assert results[rule]["train_images"] == 40 and results[rule]["test_images"] == 20
        for batch_size in SMALL["batch_sizes"]:
            result = results[rule][f"batch_{batch_size}"]
            for part, examples in (("train", "train_set"), ("test", "test_set")):
                theta = namespace["runs"][rule, batch_size].thetas[-1]
                expected = namespace["evaluate"](theta, namespace[examples])
                got = result[f"{part}_error"], result[f"{part}_accuracy"]
                assert got == pytest.approx(expected)
            assert 0 <= result["all_test_accuracy"] <= 1
        best = 0.03 if rule == "sgd" else 0.003  # SGD's are 1/(1 - α) as large; the others diverge
        tuned = results[rule]["tuned"]
        assert tuned["learning_rate"] == best and tuned["seeds"] == 2
        ends = [namespace["ends"][rule, best, run_seed][0] for run_seed in (1, 2)]
        for part, examples in (("held_out", "held_out"), ("all_test", "all_test")):
            expected = [namespace["evaluate"](end, namespace[examples])[1] for end in ends]
            assert tuned[f"{part}_accuracy"] == pytest.approx(np.mean(expected))
            assert tuned[f"{part}_std"] == pytest.approx(np.std(expected, ddof=1))
    assert "RMSProp at 100" in capsys.readouterr().out


def test_the_whole_notebook_tells_when_every_run_diverges(capsys, monkeypatch):
    namespace = run_whole(monkeypatch, learning_rate=1e4, tune_learning_rates=[1e4])
    out = capsys.readouterr().out
    assert "Every run at this batch size diverged" in out
    assert "**Diverged**: SGD at batch 8, 40; momentum at batch 8, 40; RMSProp" in out
    for rule in RULES:
        assert namespace["run"].results[rule]["batch_8"]["verdict"] == "diverged"
        assert "train_accuracy" not in namespace["run"].results[rule]["batch_8"]


def test_a_diverged_run_is_not_drawn():
    mpl.use("Agg")
    cells = ("begin", "data", *TRAINING, "runs", "results", "curves-figures")
    namespace = run(*cells, **SMALL)
    axes = namespace["plot_runs"]("error", "error")
    assert [len(ax.lines) for ax in axes.flat] == [6, 6]
    namespace["runs"]["sgd", 8].diverged = "weights not finite in epoch 2"
    axes = namespace["plot_runs"]("error", "error")
    assert [len(ax.lines) for ax in axes.flat] == [4, 6]
    assert "SGD diverged" in [text.get_text() for text in axes[0, 0].texts]
    mpl.pyplot.close("all")


TUNING = (*TRAINING, "runs", "tuning", "best-rates", "tuning-figure", "tuning-discussion")
# Accuracies of planted runs from the seeds 1, 2, 3. None diverges; what is missing must not run.
PLANTED = {
    ("sgd", 0.01): [0.7],
    ("sgd", 0.1): [0.8, 0.9, 0.9],
    ("sgd", 1.0): [0.9, 0.7, 0.7],
    ("sgd", 10.0): [0.15],
    ("momentum", 0.001): [0.1],
    ("momentum", 0.01): [0.6, 0.8, 0.7],
    ("momentum", 0.1): [0.7, None, 0.9],
    ("momentum", 1.0): [None],
    ("rmsprop", 0.001): [None],
    ("rmsprop", 0.01): [0.5, None, 0.5],
    ("rmsprop", 0.1): [None],
    ("rmsprop", 1.0): [None],
}


def run_planted_tuning(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Run the tuning's cells on `PLANTED`; a run's end is its accuracy, on every set."""
    mpl.use("Agg")
    monkeypatch.setattr("IPython.display.Markdown", str)
    replace = {
        "*_, theta = train(rule, train_set, study_batch_size, rate, epochs, run_seed)": (
            "theta = planted[rule, rate][run_seed - 1]\n"
            "        if theta is None:\n"
            "            raise Diverged"
        ),
        "evaluate(theta, held_out)[1]": "theta",
        "evaluate(theta, all_test)[1]": "theta / 2",
    }
    options = SMALL | {"tune_learning_rates": [0.001, 0.01, 0.1, 1.0], "tune_seeds": 3, "epochs": 1}
    options["batch_sizes"] = [8]
    cells = ("begin", "data", *TUNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*non-interactive.*")
        return run(*cells, replace=replace, planted=PLANTED, **options)


def test_only_the_two_best_rates_of_the_first_seed_run_from_the_others(monkeypatch, capsys):
    namespace = run_planted_tuning(monkeypatch)
    expected = {(*key, s + 1) for key, runs in PLANTED.items() for s in range(len(runs))}
    assert set(namespace["ends"]) == expected
    assert namespace["finalists"] == {
        "sgd": [0.1, 1.0],
        "momentum": [0.01, 0.1],
        "rmsprop": [0.01],
    }
    # The mean over the seeds decides: not the first seed, nor a rate at which a run diverged.
    assert namespace["best_rates"] == {"sgd": 0.1, "momentum": 0.01}
    results = namespace["run"].results
    assert results["sgd"]["tuned"]["held_out_accuracy"] == pytest.approx(2.6 / 3)
    assert results["sgd"]["tuned"]["all_test_accuracy"] == pytest.approx(1.3 / 3)
    assert results["momentum"]["tuned"]["held_out_std"] == pytest.approx(0.1)
    assert "rmsprop" not in results

    left, right = mpl.pyplot.gcf().axes
    crosses = [line for line in left.lines if line.get_marker() == "x"]
    assert [len(line.get_xdata()) for line in crosses] == [0, 2, 4]
    marks = [np.isfinite(line.get_ydata()).sum() for line in left.lines if line not in crosses]
    assert marks == [4, 3, 1]
    ticks = [tick.get_text() for tick in right.get_xticklabels()]
    assert ticks == ["0.1", "1", "0.01", "0.1", "0.01"]
    assert [np.isfinite(line.get_ydata()).sum() for line in right.lines] == [3, 3, 3, 2, 2]
    bars = [np.ravel(bar.get_segments())[1::2].tolist() for bar in right.collections]
    means = [[mean, mean] for mean in (2.6 / 3, 2.3 / 3, 0.7)]
    assert bars == [*map(pytest.approx, means), [], []]  # no mean where a run diverged
    mpl.pyplot.close("all")

    out = capsys.readouterr().out
    assert "The first seed alone would have chosen 1 for SGD, not 0.1." in out
    assert "The first seed alone would have chosen 0.1 for momentum, not 0.01." in out
    assert "SGD at 0.01 by 10.0 points, momentum at 0.001 by 50.0 points." in out
    assert "diverged with momentum at 0.1, momentum at 1, RMSProp at 0.001, RMSProp at 0.01" in out
    assert "No run got to 20 % with SGD at 10, momentum at 0.001:" in out
    assert "From best to last: SGD, momentum" in out


@pytest.mark.parametrize("workers", [1, 2])
def test_runs_side_by_side_keep_their_order_and_none_is_no_failure(workers):
    side_by_side = run(*TRAINING, "begin", "data", "runs", **SMALL)["side_by_side"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(side_by_side.__globals__, "workers", workers)
        found = side_by_side("powers", "numbers", pow, [(3, 2), (2, 3), (1, 5)])
        assert list(found.items()) == [((3, 2), 9), ((2, 3), 8), ((1, 5), 1)]
        assert side_by_side("nothing", "numbers", pow, []) == {}


def test_the_plane_of_the_slice_holds_start_and_both_ends():
    plane = run(*LAYERS, "plane", alive=[])["plane"]
    rng = np.random.default_rng(0)
    start, *ends = rng.normal(size=(3, 30))
    directions = plane(start, ends)
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-12)
    for end in ends:
        coordinates = directions @ (end - start)
        np.testing.assert_allclose(start + coordinates @ directions, end, atol=1e-12)
        assert coordinates[1] > -1e-12
    assert (directions @ (ends[0] - start))[0] == pytest.approx(np.linalg.norm(ends[0] - start))


def test_the_surface_is_the_error_at_the_points_of_the_plane(monkeypatch):
    namespace = run_whole(monkeypatch)
    grid, heights = namespace["grid"], namespace["heights"]
    assert heights.shape == (4, 4)
    for row, column in np.ndindex(4, 4):
        coordinates = np.array([grid[0][column], grid[1][row]])
        theta = (namespace["origin"] + coordinates @ namespace["directions"]).astype(np.float32)
        error, _ = namespace["evaluate"](theta, namespace["train_set"])
        assert heights[row, column] == pytest.approx(error, rel=1e-5)


# Real images


@pytest.mark.skipif(
    not os.environ.get(data.FOLDER_VARIABLE), reason="needs real MNIST in CNN_HOMEWORK_DATA"
)
def test_rmsprop_learns_from_1000_real_images():
    cells = run("begin", "data", *TRAINING, dataset="mnist")
    *_, theta = cells["train"]("rmsprop", cells["train_set"], 100, 0.001, 15, 1)
    assert cells["evaluate"](theta, cells["train_set"])[1] > 0.85
    assert cells["evaluate"](theta, cells["all_test"])[1] > 0.82
