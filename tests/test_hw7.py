"""The pooling study: its network, its checks, its parameters, and what it reaches on real MNIST."""

import os

import matplotlib as mpl
import numpy as np
import pytest
import torch
from cells import execute
from torch import nn

from helpers import checks, data, runtime, training
from helpers.checks import CheckError
from helpers.parameters import ParameterError

IMPORTS = {"nn": nn, "np": np, "torch": torch, "checks": checks}
SMALL = {"dataset": "stand-in", "threads": 1}
NETWORK = ("reshape", "network", "network-check")


def network(*cells: str, **options) -> dict[str, object]:
    torch.manual_seed(0)
    return execute("hw7", *(cells or NETWORK), **IMPORTS, **options)


def test_the_networks_are_those_of_the_assignment():
    LeNet5 = network()["LeNet5"]
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


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("nn.Conv2d(1, 6, kernel_size=5, padding=2)", "nn.Conv2d(1, 7, kernel_size=5, padding=2)"),
        ("nn.Linear(120, 84)", "nn.Linear(120, 84, bias=False)"),
        ("nn.Linear(84, 10)", "nn.Linear(84, 10), nn.Linear(10, 10)"),
        ("convolved = self.network[:2](X)", "convolved = self.network[:3](X)"),
        ("pooled = self.network[2:4](convolved)", "pooled = self.network[3:4](convolved)"),
        ("pooled = self.network[2:4](convolved)", "pooled = self.network[2:3](convolved)"),
        ('"avg": nn.AvgPool2d', '"avg": nn.MaxPool2d'),
    ],
)
def test_planted_wrong_answers_are_caught(right, wrong):
    with pytest.raises(CheckError):
        network(replace={right: wrong})


def test_counted_work_is_what_hooks_count():
    """Every product of the forward pass, counted another way: by the sizes of a plain unfolding."""
    names = network(*NETWORK, "count")
    for pooling in ("avg", "max", "no"):
        total = 0

        def add(layer, inputs, output):
            nonlocal total
            if isinstance(layer, nn.Conv2d):
                windows = nn.functional.unfold(inputs[0], layer.kernel_size, padding=layer.padding)
                total += windows[0].numel() * layer.out_channels
            elif isinstance(layer, nn.Linear):
                total += layer.in_features * layer.out_features

        model = names["LeNet5"](pooling)
        for layer in model.network:
            layer.register_forward_hook(add)
        model(torch.rand(1, 784))
        assert names["work"][pooling] == total


def test_layers_are_timed_with_the_gradients_that_training_computes():
    names = network()
    models = {pooling: names["LeNet5"](pooling) for pooling in ("max", "no")}
    asked = {layer: [] for layer in models["max"].network}
    for layer, seen in asked.items():
        layer.register_forward_pre_hook(lambda _, X, seen=seen: seen.append(X[0].requires_grad))
    names |= {"models": models, "train_set": (torch.zeros(2, 784, dtype=torch.uint8),)}
    names |= {"batch_size": 2, "device": torch.device("cpu")}
    times = execute("hw7", "time", **names, training=training, runtime=runtime)["seconds"]
    assert len(times["max"]) == 13 and len(times["no"]) == 11
    # None by the image, as a row and reshaped; both pooling layers are one module.
    assert [any(seen) for seen in asked.values()] == [False, False] + 10 * [True]


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"steps": -5}, "steps = -5: it must be a whole number of at least 1."),
        ({"batch_size": 0}, "batch_size = 0: it must be a whole number of at least 1."),
        ({"batch_size": 10**6}, "batch_size = 1000000: .* at most 1400"),
        ({"dataset": "mnits"}, "dataset = 'mnits': it must be one of 'auto', 'mnist', 'stand-in'."),
        ({"device": "tpu9"}, "device = 'tpu9': it must be one of 'auto', 'cpu'"),
        ({"learning_rate": "fast"}, "learning_rate = 'fast': it must be a finite number above 0."),
        ({"momentum": 1}, "momentum = 1: it must be a finite number at least 0 and below 1."),
        ({"display_every": 0}, "display_every = 0: "),
        ({"sample": 340}, "sample = 340: .* at most 339"),
        ({"seed": -1}, "seed = -1: "),
        ({"threads": 0}, "threads = 0: "),
        ({"output_folder": ""}, "output_folder = '': it must be a text that is not empty."),
    ],
)
def test_bad_parameters_fail_in_the_setup_cell(changes, sentence):
    with mpl.rc_context(), pytest.raises(ParameterError, match=sentence):
        execute("hw7", "parameters", "setup", **(SMALL | changes))


@pytest.mark.skipif(
    not os.environ.get(data.FOLDER_VARIABLE), reason="needs real MNIST in CNN_HOMEWORK_DATA"
)
def test_max_pooling_reaches_97_percent_in_2000_steps():
    mnist = data.mnist("mnist")
    train_set, test_set = (
        (torch.from_numpy(images).flatten(1), torch.from_numpy(labels))
        for images, labels in (
            (mnist.train_images, mnist.train_labels),
            (mnist.test_images, mnist.test_labels),
        )
    )
    model = network("reshape", "network")["LeNet5"]("max")
    history = training.train(
        model,
        torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        *train_set,
        steps=2000,
        batch_size=64,
        display_every=2000,
        seed=0,
        schedule=lambda step: 0.05 * (1 - step / 2000),
        evaluation={"test": test_set},
    )
    assert history.final("test_accuracy") > 0.97
