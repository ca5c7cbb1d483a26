"""Bad parameters are named in one sentence."""

import numpy as np
import pytest
import torch

from helpers import parameters, runtime
from helpers.parameters import ParameterError


@pytest.mark.parametrize(
    "check, sentence",
    [
        (
            lambda: parameters.integer("steps", -5, minimum=1),
            "steps = -5: it must be a whole number of at least 1.",
        ),
        (
            lambda: parameters.integer("sample", 10, minimum=0, maximum=9),
            "sample = 10: it must be a whole number of at least 0 and at most 9.",
        ),
        (
            lambda: parameters.integer("steps", 3.0, minimum=1),
            "steps = 3.0: it must be a whole number of at least 1.",
        ),
        (
            lambda: parameters.integer("steps", True, minimum=1),
            "steps = True: it must be a whole number of at least 1.",
        ),
        (
            lambda: parameters.integer("steps", "many", minimum=1),
            "steps = 'many': it must be a whole number of at least 1.",
        ),
        (
            lambda: parameters.number("momentum", 1.0, minimum=0, below=1),
            "momentum = 1.0: it must be a finite number at least 0 and below 1.",
        ),
        (
            lambda: parameters.number("learning_rate", 0, above=0),
            "learning_rate = 0: it must be a finite number above 0.",
        ),
        (
            lambda: parameters.number("learning_rate", float("nan"), above=0),
            "learning_rate = nan: it must be a finite number above 0.",
        ),
        (
            lambda: parameters.number("learning_rate", "0.1", maximum=1),
            "learning_rate = '0.1': it must be a finite number at most 1.",
        ),
        (
            lambda: parameters.choice("dataset", "mnits", ("auto", "mnist")),
            "dataset = 'mnits': it must be one of 'auto', 'mnist'.",
        ),
        (
            lambda: parameters.choice("dataset", ["mnist"], ("auto", "mnist")),
            "dataset = ['mnist']: it must be one of 'auto', 'mnist'.",
        ),
        (
            lambda: parameters.integers("batch_sizes", [1, 0], minimum=1),
            "batch_sizes[1] = 0: it must be a whole number of at least 1.",
        ),
        (
            lambda: parameters.integers("batch_sizes", [], minimum=1),
            "batch_sizes = []: it must be a list with at least one element.",
        ),
        (
            lambda: parameters.numbers("rates", 0.1, above=0),
            "rates = 0.1: it must be a list with at least one element.",
        ),
        (lambda: parameters.boolean("tsne_all", 1), "tsne_all = 1: it must be True or False."),
        (
            lambda: parameters.text("output_folder", " "),
            "output_folder = ' ': it must be a text that is not empty.",
        ),
    ],
)
def test_the_sentence_names_parameter_value_and_rule(check, sentence):
    with pytest.raises(ParameterError) as caught:
        check()
    assert str(caught.value) == sentence
    assert caught.value._render_traceback_() == [f"ParameterError: {sentence}"]


def test_good_values_come_back():
    assert parameters.integer("n", np.int64(3), minimum=3, maximum=3) == 3
    assert parameters.number("r", 1, minimum=1, maximum=1) == 1.0
    assert parameters.choice("d", "b", ("a", "b")) == "b"
    assert parameters.integers("n", [1, 2], minimum=1) == [1, 2]
    assert parameters.numbers("r", (0.5,), above=0) == [0.5]
    assert parameters.boolean("b", False) is False
    assert parameters.text("t", "build") == "build"


@pytest.mark.parametrize("name", ["tpu9", "cuda:99", "", None, 3, "CPU"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(ParameterError, match="device = .*'auto', 'cpu'"):
        runtime.select_device(name)


def test_devices_that_are_there():
    assert runtime.select_device("cpu") == torch.device("cpu")
    expected = "cuda:0" if torch.cuda.is_available() else "cpu"
    assert runtime.select_device("auto") == torch.device(expected)


def test_a_gpu_is_chosen_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert runtime.select_device("auto") == torch.device("cuda:0")
    assert runtime.select_device("cuda") == torch.device("cuda:0")
    assert runtime.select_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ParameterError, match="cuda:2"):
        runtime.select_device("cuda:2")
