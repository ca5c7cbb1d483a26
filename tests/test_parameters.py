"""Bad parameters are named in one sentence."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import data, parameters, runtime
from helpers.errors import ReaderError
from helpers.parameters import MissingParameterError, ParameterError


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
            "steps = 3.0: it must be a whole number of at least 1; write 3.",
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
            "learning_rate = '0.1': it must be a finite number at most 1; write 0.1.",
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


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", torch.device("cuda")])
def test_a_gpu_that_is_asked_for_and_not_there_is_never_replaced_by_the_cpu(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    expected = f"device = {str(name)!r}: it must be one of 'auto', 'cpu' on this machine."
    for check in (runtime.select_device, lambda value: declare(device=value).device):
        with pytest.raises(ParameterError) as caught:
            check(name)
        assert str(caught.value) == expected
    assert runtime.select_device("auto") == torch.device("cpu")


def test_the_cpu_is_taken_where_it_is_asked_for_and_mps_only_then(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert runtime.select_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert runtime.select_device("auto") == torch.device("cpu")
    assert runtime.select_device("mps") == torch.device("mps")


def test_a_checked_device_is_still_a_device():
    assert runtime.select_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(ParameterError, match="where = 'tpu'"):
        runtime.select_device("tpu", "where")


# --- one declaration, with parameters like those of the pooling study

KINDS = {
    "steps": parameters.Integer("gradient steps of each network", minimum=1),
    "batch_size": parameters.Integer("images per step", minimum=1),
    "learning_rate": parameters.Number("of the first step", above=0),
    "learning_rates": parameters.Numbers("candidates", above=0),
    "momentum": parameters.Number("share of the step before", minimum=0, below=1),
    "display_every": parameters.Integer("steps between two evaluations", minimum=1),
    "sample": parameters.Integer("the test image whose features are shown", minimum=0),
    "num_seeds": parameters.Integer("trainings of each network", minimum=2),
    "selection_steps": parameters.Integer("steps of each candidate", minimum=1),
    "seed": parameters.Seed(),
    "dataset": parameters.Dataset(data.MNIST_CHOICES),
    "device": parameters.Device(),
    "threads": parameters.Threads(),
    "output_folder": parameters.Folder(),
}
GOOD = {
    "steps": 30_000,
    "batch_size": 64,
    "learning_rate": 0.05,
    "learning_rates": [0.02, 0.05],
    "momentum": 0.9,
    "display_every": 1_000,
    "sample": 7,
    "num_seeds": 3,
    "selection_steps": 500,
    "seed": 0,
    "dataset": "auto",
    "device": "cpu",
    "threads": 1,
    "output_folder": "build/hw7",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder of our own to run in, a home in it, and a machine of two cores."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(parameters, "cpu_count", lambda: 2)
    (tmp_path / "file").write_text("in the way")
    return tmp_path


def declare(**changes):
    return parameters.declare(GOOD | changes, **KINDS)


SEED_RULE = "a whole number of at least 0 and at most 4294967295"
WRITABLE = "a folder in which files can be written"
CHOICES = "one of 'auto', 'mnist', 'stand-in'"


@pytest.mark.parametrize(
    "name, value, allowed",
    [
        ("steps", 0, "a whole number of at least 1"),
        ("steps", -5, "a whole number of at least 1"),
        ("steps", True, "a whole number of at least 1"),
        ("steps", None, "a whole number of at least 1"),
        ("steps", "many", "a whole number of at least 1"),
        ("steps", 2.5, "a whole number of at least 1"),
        ("steps", -5.0, "a whole number of at least 1"),
        ("steps", float("inf"), "a whole number of at least 1"),
        ("steps", float("nan"), "a whole number of at least 1"),
        # What papermill makes of `-p steps 3e4`, and of `-r steps 30_000`.
        ("steps", 30000.0, "a whole number of at least 1; write 30000"),
        ("steps", "30_000", "a whole number of at least 1; write 30000"),
        ("batch_size", 0, "a whole number of at least 1"),
        ("batch_size", [64], "a whole number of at least 1"),
        ("batch_size", 64.0, "a whole number of at least 1; write 64"),
        ("learning_rate", 0, "a finite number above 0"),
        ("learning_rate", -0.1, "a finite number above 0"),
        ("learning_rate", float("nan"), "a finite number above 0"),
        ("learning_rate", float("inf"), "a finite number above 0"),
        ("learning_rate", 10**400, "a finite number above 0"),
        ("learning_rate", "fast", "a finite number above 0"),
        ("learning_rate", "-1", "a finite number above 0"),
        ("learning_rate", "1e-3", "a finite number above 0; write 0.001"),
        ("learning_rate", 1j, "a finite number above 0"),
        ("learning_rates", [], "a list with at least one element"),
        ("learning_rates", 0.1, "a list with at least one element"),
        ("learning_rates", {0.1}, "a list with at least one element"),
        ("learning_rates", "0.1", "a list with at least one element"),
        (
            "learning_rates",
            "[0.1, 0.2]",  # what papermill makes of `-p learning_rates "[0.1, 0.2]"`
            "a list with at least one element; "
            "papermill takes a list as -y 'learning_rates: [0.1, 0.2]'",
        ),
        ("momentum", 1, "a finite number at least 0 and below 1"),
        ("momentum", -0.1, "a finite number at least 0 and below 1"),
        ("momentum", False, "a finite number at least 0 and below 1"),
        ("display_every", 0, "a whole number of at least 1"),
        ("sample", -1, "a whole number of at least 0"),
        ("num_seeds", 1, "a whole number of at least 2"),
        ("selection_steps", 0, "a whole number of at least 1"),
        ("seed", -1, SEED_RULE),
        ("seed", 2**32, SEED_RULE),
        ("seed", 0.5, SEED_RULE),
        ("seed", 1.0, f"{SEED_RULE}; write 1"),
        ("dataset", "mnits", CHOICES),
        ("dataset", "MNIST", CHOICES),
        ("dataset", "cifar10", CHOICES),
        ("dataset", None, CHOICES),
        ("dataset", ["mnist"], CHOICES),
        ("threads", 0, "a whole number of at least 1"),
        ("threads", 1e9, "a whole number of at least 1; write 1000000000"),
        ("threads", 10**9, "at most 8: 4 per core, and this machine has 2"),
        ("threads", 9, "at most 8: 4 per core, and this machine has 2"),
        ("output_folder", "", "a text that is not empty"),
        ("output_folder", None, "a text that is not empty"),
        ("output_folder", 7, "a text that is not empty"),
        ("output_folder", "file", f"{WRITABLE}, and this is a file"),
        ("output_folder", "file/below", f"{WRITABLE} (Not a directory)"),
        ("output_folder", "long" * 100, f"{WRITABLE} (File name too long)"),
        ("output_folder", "~nobody-here/x", f"{WRITABLE} (Could not determine home directory)"),
        ("output_folder", "a\0b", f"{WRITABLE} (embedded null byte)"),
    ],
)
def test_a_bad_value_of_the_pooling_study(name, value, allowed):
    with pytest.raises(ParameterError) as caught:
        declare(**{name: value})
    assert str(caught.value) == f"{name} = {value!r}: it must be {allowed}."


@pytest.mark.parametrize("value", ["tpu9", "cuda:99", "CPU", "", None, 0])
def test_a_bad_device_of_the_pooling_study(value):
    with pytest.raises(
        ParameterError, match=f"device = {value!r}: it must be one of 'auto', 'cpu'"
    ):
        declare(device=value)


def test_a_bad_element_of_a_list_is_named():
    for bad, shown in [(0, "0"), ("x", "'x'"), (True, "True"), (float("nan"), "nan")]:
        with pytest.raises(ParameterError) as caught:
            declare(learning_rates=[0.1, bad])
        expected = f"learning_rates[1] = {shown}: it must be a finite number above 0."
        assert str(caught.value) == expected
    with pytest.raises(ParameterError, match=r"learning_rates\[0\] = '1e-3': .*; write 0.001"):
        declare(learning_rates=["1e-3"])  # as YAML reads it


@pytest.mark.parametrize(
    "name, value, used",
    [
        ("steps", 1, 1),
        ("steps", 30_000, 30_000),
        ("steps", np.int64(3), 3),
        ("steps", np.uint8(3), 3),
        ("batch_size", 1, 1),
        ("learning_rate", 1, 1.0),
        ("learning_rate", 1e-12, 1e-12),
        ("learning_rate", np.float32(0.5), 0.5),
        ("learning_rates", (0.5, 1), [0.5, 1.0]),
        ("learning_rates", [0.5], [0.5]),
        ("momentum", 0, 0.0),
        ("momentum", 0.999, 0.999),
        ("sample", 0, 0),
        ("num_seeds", 2, 2),
        ("seed", 0, 0),
        ("seed", 2**32 - 1, 2**32 - 1),
        ("dataset", "mnist", "mnist"),
        ("dataset", "stand-in", "stand-in"),
        ("device", "auto", runtime.select_device("auto")),
        ("device", torch.device("cpu"), torch.device("cpu")),
        ("threads", 8, 8),
        ("output_folder", "build/new/folder", Path("build/new/folder")),
        ("output_folder", ".", Path(".")),
        ("output_folder", Path("build"), Path("build")),
    ],
)
def test_a_good_value_of_the_pooling_study(name, value, used):
    got = getattr(declare(**{name: value}), name)
    assert got == used and type(got) is type(used)


def test_the_largest_seed_is_taken_by_every_generator():
    runtime.set_seed(declare(seed=parameters.LARGEST_SEED).seed)
    with pytest.raises(ValueError):
        np.random.seed(parameters.LARGEST_SEED + 1)


def test_the_output_folder_is_made_where_it_was_named(elsewhere):
    assert declare(output_folder="build/hw7").output_folder.is_dir()
    folder = declare(output_folder="~/My Results").output_folder
    assert folder == elsewhere / "home" / "My Results" and folder.is_dir()
    assert list(folder.iterdir()) == []  # no trace of the trial


def test_an_output_folder_that_cannot_be_written(monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(ParameterError, match=r"'build': .* can be written \(Permission denied\)\."):
        declare(output_folder="build")


def test_what_is_recorded_is_what_no_other_entry_of_the_provenance_holds():
    elsewhere_recorded = {"seed", "dataset", "device", "threads", "output_folder"}
    chosen = declare(learning_rate=1, learning_rates=(1,))
    expected = GOOD | {"learning_rate": 1.0, "learning_rates": [1.0]}
    assert chosen.recorded == {k: v for k, v in expected.items() if k not in elsewhere_recorded}
    # So that the run can be repeated from it, the types count as well.
    assert [type(v) for v in chosen.recorded.values()][:4] == [int, int, float, list]


def test_a_name_that_is_not_set_is_refused():
    notebook = {name: value for name, value in GOOD.items() if name != "momentum"}
    with pytest.raises(MissingParameterError, match="momentum has no value: run the parameters"):
        parameters.declare(notebook, **KINDS)
    assert issubclass(MissingParameterError, ReaderError)


def test_a_name_that_is_not_declared_is_no_attribute():
    with pytest.raises(
        AttributeError, match="no parameter 'step' is declared; there are: .'steps'"
    ):
        declare().step  # noqa: B018
    for name in ("recorded", "cap"):
        with pytest.raises(ValueError, match=f"a parameter cannot be called '{name}'"):
            parameters.declare({name: 1}, **{name: parameters.Integer("x", minimum=0)})


def test_bounds_that_the_data_tell():
    chosen = declare(batch_size=1400, sample=340)
    chosen.at_most("batch_size", 1400, "the number of training images")
    with pytest.raises(ParameterError) as caught:
        chosen.at_most("batch_size", 1399, "the number of training images")
    expected = "batch_size = 1400: it must be at most 1399, the number of training images."
    assert str(caught.value) == expected
    with pytest.raises(ParameterError) as caught:
        chosen.at_most("learning_rates", 0.04, "the largest rate that was tried")
    assert str(caught.value).startswith("learning_rates = [0.02, 0.05]: it must be at most 0.04, ")
    chosen.require("sample", True, "even")
    with pytest.raises(ParameterError) as caught:
        chosen.require("sample", chosen.sample < 340, "the number of a test image, 0 to 339")
    assert str(caught.value) == "sample = 340: it must be the number of a test image, 0 to 339."


def test_a_value_that_is_capped_is_recorded_as_used():
    chosen = declare(display_every=1000, learning_rate=2)
    recorded = chosen.recorded  # what a `Run` was given before
    assert chosen.cap("display_every", 2000) == 1000 == recorded["display_every"]
    assert chosen.cap("display_every", np.int64(60)) == 60
    assert chosen.display_every == 60 == recorded["display_every"]
    assert type(recorded["display_every"]) is int
    chosen.cap("learning_rate", 1)
    assert type(recorded["learning_rate"]) is float and recorded["learning_rate"] == 1
    chosen.cap("threads", 1)
    assert "threads" not in recorded


@pytest.mark.parametrize(
    "kind, comment",
    [
        (KINDS["steps"], "gradient steps of each network; a whole number of at least 1"),
        (KINDS["momentum"], "share of the step before; a finite number at least 0 and below 1"),
        (KINDS["learning_rates"], "candidates; a list of finite numbers above 0"),
        (
            parameters.Integers("sizes", minimum=1, maximum=9),
            "sizes; a list of whole numbers of at least 1 and at most 9",
        ),
        (parameters.Boolean("also that"), "also that; True or False"),
        (parameters.Choice("how", ("a", "b")), "how; one of 'a', 'b'"),
        (KINDS["seed"], f"fixes every random choice; {SEED_RULE}"),
        (
            KINDS["dataset"],
            "the images; 'mnist', 'stand-in', or 'auto': the real set if it can be had",
        ),
        (
            KINDS["device"],
            "where the networks train; 'cpu', 'cuda', or 'auto': a GPU if there is one",
        ),
        (
            KINDS["threads"],
            "CPU threads (their number changes the last digits); from 1 to 4 per core",
        ),
        (
            KINDS["output_folder"],
            "weights and checkpoints go here; a folder, made if missing",
        ),
    ],
)
def test_the_comment_says_what_it_means_and_what_is_allowed(kind, comment):
    assert kind.comment == comment


@pytest.mark.parametrize(
    "value, options", [(1.0, [1, 10]), (True, [1, 10]), (np.ones(2), [1]), ("a", ["A"])]
)
def test_a_choice_is_of_the_same_type(value, options):
    with pytest.raises(ParameterError):
        parameters.Choice("x", options).check("x", value)
    assert parameters.Choice("x", [1, 10]).check("x", 10) == 10


def test_the_import_is_light():
    code = "import sys, helpers.parameters; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "False", answer.stderr
