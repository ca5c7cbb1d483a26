"""The pooling study: its network, its account of a step, its parameters, and what it reaches."""

import copy
import os

import matplotlib as mpl
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cells import execute
from scipy import stats
from torch import nn

from helpers import data, runtime, training
from helpers.checks import CheckError
from helpers.checks import hw7 as checks
from helpers.parameters import ParameterError

IMPORTS = {"nn": nn, "np": np, "torch": torch, "F": F}
SMALL = {"dataset": "stand-in", "threads": 1, "steps": 4, "display_every": 2}


@pytest.fixture(scope="module")
def answers() -> dict[str, object]:
    """The names that the answer cells define."""
    torch.manual_seed(0)
    return execute("hw7", "network", "count", "train", "evaluate", "intermediate", **IMPORTS)


def settings(tmp_path, **changes) -> dict[str, object]:
    return SMALL | {"output_folder": str(tmp_path / "out")} | changes


# --- the answers


def test_the_networks_are_those_of_the_assignment(answers):
    LeNet5 = answers["LeNet5"]
    kinds = [type(layer).__name__ for layer in LeNet5("max").network]
    assert kinds == [
        *("Reshape", "Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "MaxPool2d"),
        *("Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"),
    ]
    average = LeNet5("avg").network
    assert isinstance(average[3], nn.AvgPool2d) and isinstance(average[6], nn.AvgPool2d)
    first, second = average[1], average[4]
    assert (first.kernel_size, first.stride, first.padding) == ((5, 5), (1, 1), (2, 2))
    assert (second.kernel_size, second.stride, second.padding) == ((5, 5), (1, 1), (0, 0))
    assert [layer.out_features for layer in average[8::2]] == [120, 84, 10]
    none = LeNet5("no").network
    assert not any(isinstance(layer, nn.AvgPool2d | nn.MaxPool2d) for layer in none)
    assert none[6].in_features == 16 * 24 * 24


def test_every_answer_passes_its_own_check(answers, capsys):
    checks.initialize_network(answers["LeNet5"])
    for name in ("multiply_adds", "train", "evaluate", "get_intermediate"):
        getattr(checks, name)(answers[name])
    assert capsys.readouterr().out.count("✓") == 5


@pytest.mark.parametrize(
    "check, cell, right, wrong",
    [
        ("initialize_network", "network", '"avg": nn.AvgPool2d', '"avg": nn.MaxPool2d'),
        ("initialize_network", "network", "kernel_size=5, padding=2", "kernel_size=5, padding=1"),
        ("multiply_adds", "count", " * layer.in_channels", ""),
        ("train", "train", "optimizer.zero_grad()", "pass"),
        ("evaluate", "evaluate", 'reduction="sum"', 'reduction="mean"'),
        ("get_intermediate", "intermediate", "network[:2]", "network[:3]"),
    ],
)
def test_an_error_planted_into_an_answer_is_caught(check, cell, right, wrong):
    names = execute("hw7", cell, replace={right: wrong}, **IMPORTS | {"LeNet5": nn.Module})
    answer = names["LeNet5" if check == "initialize_network" else check]
    with pytest.raises(CheckError):
        getattr(checks, check)(answer)


def test_counted_work_is_what_a_plain_unfolding_makes(answers):
    """Every product of the forward pass, counted another way: by the sizes of the windows."""
    for pooling, expected in (("avg", 416_520), ("max", 416_520), ("no", 2_616_840)):
        counts = {"unfolded": 0, "answered": 0}

        def add(layer, inputs, output, counts=counts):
            counts["answered"] += answers["multiply_adds"](layer, output.shape[1:])
            if isinstance(layer, nn.Conv2d):
                windows = F.unfold(inputs[0], layer.kernel_size, padding=layer.padding)
                counts["unfolded"] += windows[0].numel() * layer.out_channels
            elif isinstance(layer, nn.Linear):
                counts["unfolded"] += layer.weight.numel()

        model = answers["LeNet5"](pooling)
        for layer in model.network:
            layer.register_forward_hook(add)
        model(torch.rand(1, 784))
        assert counts == {"unfolded": expected, "answered": expected}


# --- the account of a step


@pytest.fixture(scope="module")
def account(answers) -> dict[str, object]:
    """The cell that times a step, on three small networks and few images."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (40, 784), dtype=torch.uint8)
    return execute(
        "hw7",
        "time",
        NAMES={"avg": "M_avg", "max": "M_max", "no": "M_no"},
        models={p: answers["LeNet5"](p) for p in ("avg", "max", "no")},
        train_set=(images, torch.randint(0, 10, (40,))),
        batch_size=8,
        steps=20,
        seed=0,
        momentum=0.9,
        device=torch.device("cpu"),
        training=training,
        runtime=runtime,
        copy=copy,
        time=__import__("time"),
        **IMPORTS,
    )


@pytest.mark.parametrize("pooling", ["avg", "max", "no"])
def test_a_step_taken_apart_is_the_same_step(account, answers, pooling):
    whole = answers["LeNet5"](pooling)
    apart = copy.deepcopy(whole)
    for model, step in ((whole, account["timed_step"]), (apart, account["timed_parts"])):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        for first in (0, 8):
            step(model, optimizer, torch.arange(first, first + 8))
    for one, other in zip(whole.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_every_layer_belongs_to_a_part_and_every_part_takes_time(account, answers):
    assert account["part_of"](answers["LeNet5"]("max")) == [
        *("fetch the batch", "convolution 1", "ReLU", "pooling"),
        *("convolution 2", "ReLU", "pooling", "fetch the batch"),
        *("fully connected", "ReLU", "fully connected", "ReLU", "fully connected"),
    ]
    for pooling, repeats in account["measured"].items():
        without = {"pooling"} if pooling == "no" else set()
        for repeat in repeats:
            assert {part for part, seconds in repeat.items() if seconds == 0} == without


# --- parameters


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"steps": -5}, "steps = -5: it must be a whole number of at least 1"),
        ({"steps": 3e4}, "steps = 30000.0: .*; write 30000"),
        ({"batch_size": 0}, "batch_size = 0: "),
        ({"batch_size": 10**6}, "batch_size = 1000000: .* at most 700, half of the training"),
        ({"learning_rates": []}, r"learning_rates = \[\]: "),
        ({"learning_rates": [0.1, "fast"]}, r"learning_rates\[1\] = 'fast': "),
        ({"learning_rates": [0.1, 0.1]}, r"learning_rates = \[0.1, 0.1\]: .* without duplicates"),
        ({"selection_share": 1.5}, "selection_share = 1.5: "),
        ({"momentum": 1}, "momentum = 1: it must be a finite number at least 0 and below 1"),
        ({"num_seeds": 0}, "num_seeds = 0: "),
        ({"display_every": 0}, "display_every = 0: "),
        ({"sample": 340}, "sample = 340: .* at most 339"),
        ({"seed": -1}, "seed = -1: "),
        ({"seed": 2**32}, "seed = 4294967296: "),
        ({"seed": 2**32 - 1}, "seed = 4294967295: .* the last of the 3 seeds is valid"),
        ({"dataset": "mnits"}, "dataset = 'mnits': it must be one of 'auto', 'mnist', 'stand-in'"),
        ({"device": "tpu9"}, "device = 'tpu9': it must be one of 'auto', 'cpu'"),
        ({"threads": 10**9}, "threads = 1000000000: "),
        ({"workers": 0}, "workers = 0: "),
        ({"output_folder": ""}, "output_folder = '': "),
    ],
)
def test_bad_parameters_fail_in_the_setup_cell(changes, sentence, tmp_path):
    with mpl.rc_context(), pytest.raises(ParameterError, match=sentence):
        execute("hw7", "parameters", "setup", **settings(tmp_path, **changes))


def test_a_file_is_no_output_folder(tmp_path):
    (tmp_path / "out").write_text("a file")
    with mpl.rc_context(), pytest.raises(ParameterError, match="output_folder = .* this is a file"):
        execute("hw7", "parameters", "setup", **settings(tmp_path))


# --- the trainings


def trained(tmp_path, *cells, **changes) -> dict[str, object]:
    with mpl.rc_context():
        names = ("parameters", "setup", "network", "selection", *cells)
        return execute("hw7", *names, **settings(tmp_path, **changes))


def test_trainings_side_by_side_are_the_trainings_alone(tmp_path):
    final = []
    for workers in (1, 2):
        folder = str(tmp_path / str(workers))
        changes = {"workers": workers, "output_folder": folder, "learning_rates": [0.05]}
        final.append(
            trained(tmp_path, "fit", "difference", **changes, num_seeds=2, steps=5)["final"]
        )
    for pooling in ("avg", "max", "no"):
        assert np.array_equal(final[0][pooling], final[1][pooling])


def test_the_comparison_is_paired_and_its_limit_is_that_of_a_t_test(tmp_path):
    names = trained(tmp_path, "fit", "difference", num_seeds=3, learning_rates=[0.05], steps=3)
    final, recorded = names["final"], names["run"].results["differences"]
    differences = final["max"] - final["no"]
    assert recorded["max_minus_no"] == pytest.approx(differences.mean())
    # The residual mean square of a table of models and seeds, as analysis of variance has it.
    table = np.stack(list(final.values()))
    residual = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    error = np.sqrt(2 * (residual**2).sum() / 4 / 3)
    assert recorded["freedom"] == 4
    assert recorded["limit"] == pytest.approx(stats.t.ppf(1 - 0.05 / 6, 4) * error)
    assert names["run"].parameters["comparison_steps"] == 3  # no more than the long runs have


def test_seeds_differ_and_a_long_run_keeps_its_weights(tmp_path):
    names = trained(tmp_path, "fit", num_seeds=2, learning_rates=[0.05])
    one, other = names["starts"]["max"]
    assert not torch.equal(one.network[1].weight, other.network[1].weight)
    files = sorted(path.name for path in (tmp_path / "out").glob("*.pt"))
    assert files == [f"M_{p}-seed-0-4-steps.pt" for p in ("avg", "max", "no")]
    saved = torch.load(tmp_path / "out" / "M_max-seed-0-4-steps.pt", weights_only=True)
    assert torch.equal(saved["network.1.weight"], names["models"]["max"].network[1].weight)


def test_a_rate_that_diverges_is_not_chosen(tmp_path):
    names = trained(tmp_path, num_seeds=1, learning_rates=[1e6, 0.01], selection_share=1.0, steps=8)
    assert set(names["best_rates"].values()) == {0.01}
    assert names["errors"][:, 0].min() == 1.0


@pytest.mark.skipif(
    not os.environ.get(data.FOLDER_VARIABLE), reason="needs real MNIST in CNN_HOMEWORK_DATA"
)
def test_max_pooling_reaches_97_percent_in_2000_steps(answers):
    mnist = data.mnist("mnist")
    images = torch.from_numpy(mnist.train_images).flatten(1)
    labels = torch.from_numpy(mnist.train_labels)
    torch.manual_seed(0)
    model = answers["LeNet5"]("max")
    batches = training.BatchOrder(len(labels), 64, 0)
    answers["train"](model, images, labels, batches, steps=2000, learning_rate=0.05, momentum=0.9)
    test = torch.from_numpy(mnist.test_images).flatten(1), torch.from_numpy(mnist.test_labels)
    assert answers["evaluate"](model, *test)[1] > 0.97
