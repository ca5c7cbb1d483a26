"""NumPy LeNet: its answers against PyTorch and their checks, its parameters and its trainings."""

import itertools
import json
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from cells import ROOT, execute
from torch.nn import functional as F

from helpers import checkpoints, checks, convnet, figures, numpy_layers, parallel
from helpers import numpy_layers as nl
from helpers.checks import CheckError
from helpers.parameters import ParameterError
from helpers.progress import Progress

ANSWERS = {
    "toy_answers": "toy-answers",
    "pooling_layer_forward": "q1-pooling-forward",
    "relu_forward": "q2-relu-forward",
    "inner_product_forward": "q3-inner-product-forward",
    "pooling_layer_backward": "q4-pooling-backward",
    "relu_backward": "q5-relu-backward",
    "inner_product_backward": "q6-inner-product-backward",
    "convolution_loops": "convolution-loops",
    "convolution_backward_loops": "convolution-loops",
    "conv_layer_backward": "conv-layer-backward",
    "sgd_momentum": "q7-sgd-momentum",
    "train": "train",
    "random_shifts": "random-shifts",
}
CELLS = list(dict.fromkeys(ANSWERS.values()))
IMPORTS = {"np": np, "plt": plt, "checks": checks, "convnet": convnet, "itertools": itertools}
IMPORTS |= {"numpy_layers": numpy_layers, "figures": figures, "seed": 0, "batch_size": 8}
CLOSE = {"rtol": 1e-9, "atol": 1e-9}
SMALL = {
    **{"full_iterations": 6, "subset_iterations": 4, "selection_iterations": 3, "num_seeds": 2},
    **{"learning_rates": [0.02], "decays": [0.0], "shifts": [0, 1], "dataset": "stand-in"},
    "workers": 1,
}


@pytest.fixture(autouse=True)
def as_before(tmp_path, monkeypatch):
    """Figures and the style of figures end with each test, and so does its output folder."""
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context():
        mpl.use("agg")
        yield
        plt.close("all")


@pytest.fixture(scope="module")
def nb():
    np.random.seed(0)
    return execute("numpy_lenet", *CELLS, "functions", **IMPORTS)


# --- the answers


def pooling_geometries(count, seed):
    """Return tuples of channels, height, width, batch, window and stride that fit."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < count:
        k, stride = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        height, width = (k + stride * int(n) for n in rng.integers(0, 5, 2))
        channels, batch = (int(v) for v in rng.integers(1, 4, 2))
        found.append((channels, height, width, batch, k, stride))
    return found


GEOMETRIES = pooling_geometries(40, 0)
assert any(k > stride for *_, k, stride in GEOMETRIES)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_pooling_equals_pytorch(nb, geometry, ties):
    *shape, k, stride = geometry
    rng = np.random.default_rng(1)
    x = rng.integers(-1, 2, shape).astype(float) if ties else rng.normal(size=shape)
    layer = {"type": "POOLING", "k": k, "stride": stride, "pad": 0}
    input = convnet.as_structure(x)
    before = x.copy()
    output = nb["pooling_layer_forward"](input, layer)
    y = convnet.as_images(output, "test")

    tx = torch.tensor(nl.batch_first(x), requires_grad=True)
    ty = F.max_pool2d(tx, k, stride)
    np.testing.assert_allclose(nl.batch_first(y), ty.detach(), **CLOSE)

    dy = rng.normal(size=y.shape)
    ty.backward(torch.tensor(nl.batch_first(dy)))
    output["diff"] = dy.reshape(output["data"].shape)
    dx = nb["pooling_layer_backward"](output, input, layer)
    assert dx.shape == input["data"].shape
    np.testing.assert_allclose(nl.batch_first(dx.reshape(shape)), tx.grad, **CLOSE)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    "layer, message",
    [
        ({"k": 2, "stride": 2, "pad": 0}, "multiple of 2"),
        ({"k": 4, "stride": 1, "pad": 0}, "does not fit"),
        ({"k": 2, "stride": 1, "pad": 1}, "pad must be 0, got 1"),
    ],
)
def test_pooling_that_cannot_be_is_named(nb, layer, message):
    input = convnet.as_structure(np.zeros((2, 3, 3, 4)))
    with pytest.raises(ValueError, match=f"pooling layer: .*{message}"):
        nb["pooling_layer_forward"](input, layer)


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


def test_the_convolution_in_loops_equals_pytorch(nb):
    rng = np.random.default_rng(0)
    image, w = rng.normal(size=(3, 7, 6)), rng.normal(size=(4, 3, 3, 3))
    tx, tw = (torch.tensor(a, requires_grad=True) for a in (image, w))
    ty = F.conv2d(tx[None], tw)[0]
    np.testing.assert_allclose(nb["convolution_loops"](image, w), ty.detach(), **CLOSE)
    delta = rng.normal(size=ty.shape)
    ty.backward(torch.tensor(delta))
    d_w, d_image = nb["convolution_backward_loops"](delta, image, w)
    np.testing.assert_allclose(d_w, tw.grad, **CLOSE)
    np.testing.assert_allclose(d_image, tx.grad, **CLOSE)


@pytest.mark.parametrize("stride, padding", [(1, 0), (2, 1), (1, 2)])
def test_the_convolution_in_matrices_equals_the_handouts(nb, stride, padding):
    rng = np.random.default_rng(0)
    layer = {"num": 4, "k": 3, "stride": stride, "pad": padding}
    input = convnet.as_structure(rng.normal(size=(2, 5, 7, 3)))
    param = {"w": rng.normal(size=(4, 18)), "b": rng.normal(size=4)}
    output = convnet.conv_layer_forward(input, layer, param)
    output["diff"] = rng.normal(size=output["data"].shape)
    got, expected = (
        function(output, input, layer, param)
        for function in (nb["conv_layer_backward"], convnet.conv_layer_backward)
    )
    for name in ("w", "b"):
        np.testing.assert_allclose(got[0][name], expected[0][name], **CLOSE)
    np.testing.assert_allclose(got[1], expected[1], **CLOSE)


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


# --- the checks on the page


def test_every_answer_passes_its_own_check(nb, capsys):
    for name in ANSWERS:
        getattr(checks.numpy_lenet, name)(nb[name])
    lines = capsys.readouterr().out
    assert lines.count("✓") == len(ANSWERS) and "Note" not in lines


@pytest.mark.parametrize(
    "name, right, wrong",
    [
        ("toy_answers", "max(2, 7, 0, 1)", "max(8, 14, 7, 7)"),
        ("pooling_layer_forward", "np.maximum", "np.minimum"),
        ("relu_forward", 'np.maximum(input["data"], 0)', 'abs(input["data"])'),
        ("inner_product_forward", ' + param["b"][:, np.newaxis]', ""),
        ("pooling_layer_backward", "waiting &= ~first", "pass"),
        ("relu_backward", ' * (input["data"] > 0)', ""),
        ("inner_product_backward", "diff.sum(axis=1)", "diff.mean(axis=1)"),
        ("convolution_loops", "w[f] * image", "w[f, :, ::-1] * image"),
        ("convolution_backward_loops", "+= d_outputs[f, i, j] * w[f]", "= d_outputs[f, i, j]"),
        ("conv_layer_backward", "diff @ columns.T", "np.zeros_like(param['w'])"),
        ("sgd_momentum", "grad[\"w\"] + decay * w", "grad[\"w\"]"),
        ("train", "params, param_winc = sgd_momentum(", "_ = sgd_momentum("),
        ("random_shifts", "np.newaxis] + lefts", "np.newaxis] + tops"),
    ],
)  # fmt: skip
def test_an_error_planted_into_an_answer_is_caught(name, right, wrong):
    names = execute("numpy_lenet", *CELLS, replace={right: wrong}, **IMPORTS)
    with pytest.raises(CheckError):
        getattr(checks.numpy_lenet, name)(names[name])


PAGE = [*CELLS, "functions"]


@pytest.mark.parametrize(
    "cell, right, wrong",
    [
        ("network-check", "gradient += diff * first", "gradient += 2 * diff * first"),
        ("network-check", '(input["data"] > 0)', "1"),
        ("two-ways", "* image[:, i : i + k, j : j + k]\n    ", "* image[:, : k, : k]\n    "),
        ("two-ways", "* w[f]\n    return", "* w[f, :, ::-1]\n    return"),
    ],
)
def test_the_pages_own_comparisons_can_fail(cell, right, wrong):
    np.random.seed(0)
    execute("numpy_lenet", *PAGE, cell, **IMPORTS)
    with pytest.raises(CheckError):
        execute("numpy_lenet", *PAGE, cell, replace={right: wrong}, **IMPORTS)


def test_the_code_in_the_exercises_answers_runs(nb, capsys):
    notebook = json.loads((ROOT / "notebooks" / "numpy_lenet.ipynb").read_text(encoding="utf-8"))
    (cell,) = (c for c in notebook["cells"] if c["id"] == "exercises")
    blocks = re.findall(r"```python\n(.*?)```", "".join(cell["source"]), re.DOTALL)
    maps = convnet.as_structure(np.random.default_rng(0).integers(0, 3, (2, 4, 6, 5)))
    names = {**nb, "still_maps": {2: maps}, "layers": {3: {"k": 2, "stride": 2, "pad": 0}}}
    for block in blocks:
        exec(block, names)
    assert len(blocks) >= 6 and capsys.readouterr().out.count("✓") == 4


def test_the_five_bugs_differ_as_the_solution_says(nb):
    names = execute("numpy_lenet", *CELLS, "bug-hunt", **IMPORTS)
    right, answers = names["right"], names["answers"]
    corners = [(0, 0), (0, 3), (3, 0), (3, 3)]
    same = {name: np.abs(got - right) < 1e-6 for name, got in answers.items()}
    assert all(same[name][corner] for name in "AC" for corner in corners)
    assert [bool(same["D"][corner]) for corner in corners] == [True, False, False, True]
    np.testing.assert_allclose(answers["A"][1:3, 1:3], right[1:3, 1:3] / 4)
    assert right[0, 0] == 1 and answers["B"][0, 0] == 5
    assert same["E"][1:3, 1:3].all() and answers["E"].sum() == right[1:3, 1:3].sum()


def test_the_machine_agrees_with_the_pencil(nb):
    records = {}
    run = type(
        "Run", (), {"record": staticmethod(lambda key, values: records.update({key: values}))}
    )
    names = {**IMPORTS, "run": run}
    execute("numpy_lenet", *PAGE, "toy-network", "toy-machine", "toy-kink", "toy-step", **names)
    by_hand = nb["toy_answers"]()
    for expected, got in zip(by_hand.values(), records["toy"].values(), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-9)
    unit = records["toy_kink"]["unit"]
    assert records["toy_kink"]["from_left"] == pytest.approx(-2 * unit, rel=1e-4)
    assert records["toy_kink"]["from_right"] == pytest.approx(unit, rel=1e-4)
    assert records["toy_step"]["after"] < records["toy_step"]["before"]


# --- parameters


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"full_iterations": 0}, "full_iterations = 0: it must be a whole number of at least 1"),
        ({"full_iterations": 1e4}, "full_iterations = 10000.0: .*; write 10000"),
        ({"subset_iterations": 1.5}, "subset_iterations = 1.5: "),
        ({"selection_iterations": -1}, "selection_iterations = -1: "),
        ({"learning_rates": []}, r"learning_rates = \[\]: "),
        ({"learning_rates": [0.1, "fast"]}, r"learning_rates\[1\] = 'fast': "),
        ({"learning_rates": [0.1, 0.1]}, r"learning_rates = \[0.1, 0.1\]: .* without duplicates"),
        ({"learning_rates": [0]}, r"learning_rates\[0\] = 0: "),
        ({"decays": [-0.1]}, r"decays\[0\] = -0.1: "),
        ({"shifts": [1, 2]}, r"shifts = \[1, 2\]: .* a list with a 0"),
        ({"shifts": [0, 5]}, r"shifts\[1\] = 5: .* at most 4"),
        ({"shifts": [0, 2.5]}, r"shifts\[1\] = 2.5: "),
        ({"num_seeds": 0}, "num_seeds = 0: "),
        ({"num_seeds": 21}, "num_seeds = 21: "),
        ({"batch_size": "64"}, "batch_size = '64': "),
        ({"batch_size": 10**6}, "batch_size = 1000000: .* at most 700, half of the training"),
        ({"workers": 0}, "workers = 0: "),
        ({"workers": 65}, "workers = 65: "),
        ({"sample": 10**6}, "sample = 1000000: .* at most 339"),
        ({"seed": -1}, "seed = -1: "),
        ({"seed": 2**32}, "seed = 4294967296: "),
        ({"seed": 2**32 - 1}, "seed = 4294967295: .* the last of the 3 seeds is valid"),
        ({"output_folder": ""}, "output_folder = '': "),
        ({"dataset": "cifar10"}, "dataset = 'cifar10': it must be one of 'auto', 'mnist', 'stand"),
    ],
)
def test_bad_parameters_fail_in_the_setup_cell(changes, sentence):
    with pytest.raises(ParameterError, match=sentence):
        execute("numpy_lenet", "parameters", "setup", **{"dataset": "stand-in"} | changes)


# --- the trainings

TRAINING = ["parameters", "setup", *CELLS, "functions", "lenet", "fit"]


def prepared(*cells, **changes):
    return execute("numpy_lenet", *TRAINING, *cells, **SMALL | changes)


def fitted(names, number=0, together=False, **changes):
    settings = {"epsilon": 0.01, "gamma": 1e-4, "power": 0.75, "mu": 0.9, "decay": 5e-4, "shift": 0}
    train_set, test_set = (names["xtrain"], names["ytrain"]), (names["xtest"], names["ytest"])
    progress = Progress("a run", 6) if together else None
    one = names["job"](
        settings | changes, 6, train_set, test_set, number, tests=3, progress=progress
    )
    return one.compute()


def test_trainings_repeat_themselves_and_workers_change_only_the_rounding():
    names = prepared(workers=2)
    alone, again = fitted(names), fitted(names)
    assert alone["costs"] == again["costs"] and alone["tested"] == again["tested"]
    assert [tested["step"] for tested in alone["tested"]] == [2, 4, 6]
    assert alone["seconds"] > 0
    assert fitted(names, together=True)["costs"] == pytest.approx(alone["costs"], rel=1e-4)
    assert fitted(names, number=1)["costs"] != alone["costs"]


def test_a_batch_of_one_image_is_no_reason_to_stop():
    names = prepared(batch_size=1, workers=3)
    assert len(fitted(names, together=True)["costs"]) == 6


def test_shifts_move_the_images_and_nothing_else():
    names = prepared()
    moved = fitted(names, shift=2)
    assert moved["costs"] == fitted(names, shift=2)["costs"]
    assert moved["costs"] != fitted(names)["costs"]
    digits, labels = names["xtrain"], names["ytrain"]
    order = convnet.random_batches(len(labels), 64, 0)
    batches = names["shifted_batches"](digits, labels, 2, 0)
    for indices, (batch, batch_labels) in itertools.islice(zip(order, batches, strict=False), 5):
        np.testing.assert_array_equal(batch_labels, labels[indices])
        originals = np.pad(digits[:, indices].reshape(28, 28, 64), [(2, 2), (2, 2), (0, 0)])
        for n in range(64):
            windows = np.lib.stride_tricks.sliding_window_view(originals[..., n], (28, 28))
            assert (windows == batch[:, n].reshape(28, 28)).all(axis=(2, 3)).any()


def test_divergence_is_one_sentence_with_step_and_settings():
    names = prepared()
    with pytest.raises(convnet.Diverged, match=r"step \d, layer \d .*epsilon = 1e\+30.*cure"):
        fitted(names, epsilon=1e30)


def test_settings_are_chosen_on_training_images_alone():
    names = prepared()
    seen = []

    def job(settings, max_iter, train_set, test_set, number):
        seen.append((settings, train_set, test_set, number))
        cost = np.inf if settings["epsilon"] == 0.04 else abs(settings["epsilon"] - 0.021) + number
        result = {"tested": [{"cost": cost, "accuracy": 0.0}]}
        return parallel.Job("a trial", {"settings": settings, "seed": number}, lambda: result)

    cells = ("choice",)
    rates = {"learning_rates": [0.01, 0.02, 0.04], "decays": [0.0, 0.1]}
    names = execute("numpy_lenet", *cells, **names | rates | {"job": job})
    assert names["best"]["epsilon"] == 0.02
    assert {number for *_, number in seen} == {0, 1}
    count = len(names["ytrain"])
    for settings, (x, y), (xheld, yheld), _ in seen:
        assert len(yheld) == count // 6
        np.testing.assert_array_equal(np.concatenate([y, yheld]), names["ytrain"])
        assert x.shape[1] + xheld.shape[1] == count
        assert settings["gamma"] == pytest.approx(1e-3 * 6 / 3)  # stretched to fewer steps


def test_rates_that_all_diverge_are_refused():
    with pytest.raises(ParameterError, match=r"learning_rates = \[1e\+30\]: .* do not diverge"):
        prepared("choice", learning_rates=[1e30])


def test_results_are_means_over_seeds_and_say_each():
    names = prepared("choice", "full")
    recorded = names["run"].results["full"]
    assert recorded["test_accuracy"] == pytest.approx(np.mean(recorded["by_seed"]))
    assert recorded["deviation"] == pytest.approx(np.std(recorded["by_seed"], ddof=1))
    assert len(recorded["by_seed"]) == 2 and recorded["train_seconds"] > 0
    assert recorded["epsilon"] == 0.02 and names["run"].results["classic"]["epsilon"] == 0.01


def test_a_training_that_an_interrupted_run_had_finished_is_taken_over(capsys):
    names = prepared()
    sets = (names["xtrain"], names["ytrain"]), (names["xtest"], names["ytest"])

    def trained():
        return names["side_by_side"]("a run", [names["job"](names["classic"], 6, *sets, 0)])[0]

    def end_process():
        for held in list(checkpoints._held.values()):
            checkpoints._give_up(held._lock)
        checkpoints._held.clear()

    names |= execute("numpy_lenet", "choice", **names)
    capsys.readouterr()
    first = trained()
    end_process()
    second = trained()
    assert capsys.readouterr().out.count("1 taken over from") == 1
    assert second["costs"] == first["costs"] and second["seconds"] == first["seconds"]
    np.testing.assert_array_equal(second["params"][2]["w"], first["params"][2]["w"])
    end_process()
    # With another pooling it is trained again.
    names["functions"]["RELU"] = (lambda input, layer: {**input, "diff": None}, None)
    with pytest.raises(TypeError):
        trained()
