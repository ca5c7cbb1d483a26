"""Checkpoints: what they are taken up by, what not, and that nothing else feels them."""

import math
import multiprocessing
import os
import pickle
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_training import network, problem, run, sgd, shift, weights
from torch import nn

from helpers import checkpoints, runtime, training


@pytest.fixture(autouse=True)
def one_process_a_test():
    """What one test holds, the next one does not find."""
    yield
    end_process()


def end_process() -> None:
    """Do what the end of a process does: its locks are free, and it remembers nothing."""
    for checkpoint in checkpoints._held.values():
        checkpoint._lock.release()
    checkpoints._held.clear()


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.pt")}


# --- What decides the result is in the fingerprint ------------------------------------------------

EVALUATION = {"test": problem(100, seed=1)}


def file_of(folder: Path, model=None, optimizer=None, *, data=None, **changes) -> str:
    """Train two steps and return the name of the file that was held."""
    torch.manual_seed(changes.pop("torch_seed", 5))
    model = model or network()
    torch.manual_seed(changes.pop("torch_seed_of_training", 5))
    options = dict(steps=2, batch_size=32, display_every=2, seed=7, evaluation=EVALUATION)
    options |= dict(name="M", checkpoint_folder=folder) | changes
    training.train(model, optimizer or sgd(model), *(data or problem()), **options)
    (held,) = (checkpoint.path.name for checkpoint in checkpoints._held.values())
    training.remove_checkpoints(folder)
    return held


@pytest.fixture
def differ(tmp_path):
    """Assert that two trainings have different files, and that each finds its own again."""

    def compare(first, second):
        names = [file_of(tmp_path, **make()) for make in (first, second, first, second)]
        assert names[0] == names[2] and names[1] == names[3], "the same run has two fingerprints"
        assert names[0] != names[1], "one fingerprint for two runs"

    return compare


def optimized(kind, **settings):
    def make():
        model = network()
        return {"model": model, "optimizer": kind(model.parameters(), **settings)}

    return make


@pytest.mark.parametrize(
    "kind, settings, other",
    [
        (torch.optim.Adam, {}, {"eps": 1e-7}),
        (torch.optim.Adam, {}, {"amsgrad": True}),
        (torch.optim.Adam, {}, {"betas": (0.9, 0.99)}),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, {"dampening": 0.1}),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, {"nesterov": True}),
        (torch.optim.SGD, {"lr": 0.1}, {"maximize": True}),
        (torch.optim.SGD, {"lr": 0.1}, {"weight_decay": 1e-9}),
        (torch.optim.RMSprop, {}, {"centered": True}),
        (torch.optim.RMSprop, {}, {"alpha": 0.98}),
    ],
)
def test_every_setting_of_an_optimizer_counts(differ, kind, settings, other):
    differ(optimized(kind, **settings), optimized(kind, **settings | other))


def test_the_optimizers_own_step_counts(differ):
    def kind(sign):
        class Own(torch.optim.Optimizer):
            if sign:

                @torch.no_grad()
                def step(self):
                    for w in self.param_groups[0]["params"]:
                        w -= 0.1 * w.grad.sign()
            else:

                @torch.no_grad()
                def step(self):
                    for w in self.param_groups[0]["params"]:
                        w -= 0.1 * w.grad

        return lambda parameters: Own(parameters, {})

    differ(optimized(kind(True)), optimized(kind(False)))


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, X):
        ctx.save_for_backward(X)
        return X**3

    @staticmethod
    def backward(ctx, gradient):
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


class CubeWithAWrongBackward(Cube):
    @staticmethod
    def backward(ctx, gradient):
        return ctx.saved_tensors[0] ** 2 * gradient


def with_layer(forward):
    """Return a network whose first layer, with code of its own, is `forward`."""

    class Layer(nn.Module):
        def forward(self, X):
            return forward(self, X)

    def make():
        return {"model": nn.Sequential(Layer(), *network().children())}

    return make


def test_a_wrong_backward_counts(differ):
    differ(
        with_layer(lambda self, X: Cube.apply(X)),
        with_layer(lambda self, X: CubeWithAWrongBackward.apply(X)),
    )


def test_a_backward_that_no_code_shows_counts(tmp_path, monkeypatch):
    """What a step does is in the fingerprint, whatever the code looks like."""
    make = with_layer(lambda self, X: X.square())
    marks = []
    for layer in (Cube, CubeWithAWrongBackward):
        monkeypatch.setattr(torch.Tensor, "square", lambda X, layer=layer: layer.apply(X))
        model = make()["model"]
        model[0] = nn.Sequential(nn.Conv2d(1, 1, 1), model[0])
        with torch.no_grad():
            for parameter in model[0].parameters():
                parameter.fill_(0.5)
        marks.append(file_of(tmp_path, model))
    assert marks[0] != marks[1]


def test_a_stray_detach_counts(differ):
    differ(with_layer(lambda self, X: X), with_layer(lambda self, X: X.detach()))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network()

    class Cut(Net):
        def forward(self, X):
            return self.network[3:](self.network[:3](X).detach())

    class Whole(Net):
        def forward(self, X):
            return self.network[3:](self.network[:3](X))

    differ(lambda: {"model": Cut()}, lambda: {"model": Whole()})


def test_code_for_training_alone_counts(differ):
    differ(
        with_layer(lambda self, X: X * 2 if self.training else X),
        with_layer(lambda self, X: X * 3 if self.training else X),
    )


def test_code_that_the_first_step_does_not_reach_counts(differ):
    def loss(after):
        def late(logits, y):
            return F.cross_entropy(logits, y) if len(y) else after * logits.sum()

        return lambda: {"loss_function": late}

    differ(loss(1.0), loss(2.0))


def test_frozen_layers_count(differ):
    def frozen():
        model = network()
        model[0].weight.requires_grad_(False)
        return {"model": model}

    differ(lambda: {"model": network()}, frozen)


def test_initial_weights_and_buffers_count(differ):
    def shifted():
        model = network()
        model[1].running_mean[2] = 1e-6
        return {"model": model}

    differ(lambda: {"model": network(0)}, lambda: {"model": network(1)})
    differ(lambda: {"model": network()}, shifted)


def changed(which, place, value):
    def make():
        data = problem()
        data[which][place] = value
        return {"data": data}

    return make


def test_every_image_and_label_counts(differ):
    differ(lambda: {}, changed(0, 399, 7))
    differ(lambda: {}, changed(1, 399, (problem()[1][399] + 1) % 3))
    differ(lambda: {}, lambda: {"data": tuple(tensor[:399] for tensor in problem())})


def test_the_evaluation_sets_count(differ):
    images, labels = problem(100, seed=1)
    differ(lambda: {}, lambda: {"evaluation": {"test": (images, (labels + 1) % 3)}})
    differ(lambda: {}, lambda: {"evaluation": {"validation": (images, labels)}})
    differ(lambda: {}, lambda: {"evaluation": {"test": (images[:99], labels[:99])}})


def test_the_whole_schedule_counts(differ):
    """Two schedules that differ in one step of 80, between any points one might sample."""

    def rates(at_77):
        table = [0.01] * 80
        table[77] = at_77
        return lambda: {"schedule": table.__getitem__, "steps": 80, "display_every": 80}

    differ(rates(0.01), rates(0.02))


def test_torchs_seed_counts(differ):
    differ(lambda: {}, lambda: {"torch_seed_of_training": 6})


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"batch_size": 16},
        {"steps": 3},
        {"display_every": 1},
        {"autocast": torch.bfloat16},
        {"augment": shift},
        {"preprocess": lambda images: images.float() / 254},
        {"loss_function": lambda logits, y: F.cross_entropy(logits, y, label_smoothing=0.1)},
    ],
)
def test_settings_and_functions_count(differ, change):
    differ(lambda: {}, lambda: change)


def measure_with(factor, model, images, labels):
    return {"spread": factor * len(images)}


FACTOR = 1.0


def measure_by_global(model, images, labels):
    return {"spread": FACTOR * len(images)}


class Measure:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, model, images, labels):
        return {"spread": self.factor * len(images)}

    def bound(self, model, images, labels):
        return self(model, images, labels)


def closed(factor):
    return lambda model, images, labels: {"spread": factor * len(images)}


def defaulted(factor):
    return lambda model, images, labels, factor=factor: {"spread": factor * len(images)}


@pytest.mark.parametrize(
    "make",
    [
        closed,
        defaulted,
        lambda factor: partial(measure_with, factor),
        Measure,
        lambda factor: Measure(factor).bound,
        lambda factor: partial(measure_with, torch.tensor(factor)),
        lambda factor: partial(measure_with, np.float32(factor)),
        lambda factor: partial(closed(1.0), **{}) if factor == 1 else partial(measure_with, factor),
    ],
    ids=["closure", "default", "partial", "object", "method", "tensor", "number", "code"],
)
def test_another_measure_counts_wherever_the_difference_is(differ, make):
    differ(lambda: {"measure": make(1.0)}, lambda: {"measure": make(2.0)})


def test_what_a_global_name_stands_for_counts(tmp_path, monkeypatch):
    first = file_of(tmp_path, measure=measure_by_global)
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 2.0)
    assert file_of(tmp_path, measure=measure_by_global) != first


CELL = """
import torch
from torch import nn

def squash(X):
    return torch.{squash}(X)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(36, 3)

    def forward(self, X):
        if torch.is_grad_enabled() and len(X) == 1:
            return squash(X)  # not reached in the first step
        return self.layer(X.flatten(1))
"""


def test_a_function_that_a_notebook_cells_class_calls_counts(tmp_path):
    def from_cell(squash):
        namespace = {"__name__": "__main__"}
        exec(CELL.format(squash=squash), namespace)
        torch.manual_seed(0)
        return file_of(tmp_path, namespace["Net"]())

    assert from_cell("tanh") == from_cell("tanh") != from_cell("sigmoid")


def test_threads_and_precision_count(tmp_path):
    first = file_of(tmp_path)
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        torch.set_num_threads(before[0] + 1)
        assert file_of(tmp_path) != first
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision("medium")
        assert file_of(tmp_path) != first
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])
    assert file_of(tmp_path) == first


def test_the_code_of_the_loop_counts(tmp_path, monkeypatch):
    first = file_of(tmp_path)
    inner = training._Update.step

    def step(self):
        return inner(self)

    monkeypatch.setattr(training._Update, "step", step)
    assert file_of(tmp_path) != first


# --- Nothing else feels a fingerprint -------------------------------------------------------------


def noisy(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """An augmentation that draws from every random generator there is."""
    by = random.randint(-1, 1) + np.random.randint(-1, 2)
    return shift(images, generator).roll(by, dims=2)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop"])
def test_with_and_without_checkpoints_the_bits_are_the_same(tmp_path, kind):
    optimizers = {
        "SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        "Adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
        "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
    }
    results = []
    for folder in (None, tmp_path):
        model = network()
        runtime.set_seed(3)
        history = run(
            model, optimizers[kind](model.parameters()), augment=noisy, checkpoint_folder=folder,
            checkpoint_seconds=0.0, schedule=lambda t: 0.01 / (1 + t),
        )  # fmt: skip
        drawn = torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()
        state = {key: value.tolist() for key, value in model.state_dict().items()}
        results.append((state, history.steps, history.curves, drawn))
    assert files(tmp_path), "nothing was saved"
    assert results[0] == results[1]


def test_a_fingerprint_leaves_modes_gradients_and_state_as_they_were(tmp_path):
    model = network().eval()
    model[1].train()
    optimizer = torch.optim.Adam(model.parameters())
    seen = []

    def measure(model, images, labels):
        state = len(optimizer.state), [p.grad for p in model.parameters()]
        seen.append((model.training, model[1].training, *state))
        return {"nothing": 0.0}

    run(model, optimizer, steps=1, measure=measure, checkpoint_folder=tmp_path)
    assert seen[0] == (False, True, 0, [None] * 6)


# --- What cannot be told is not resumed -----------------------------------------------------------


class Counting(torch.optim.SGD):
    """Keeps a number of its own beside the optimizer's state."""

    count = 0

    def step(self, closure=None):
        self.count += 1
        self.param_groups[0]["lr"] = 0.1 / self.count
        return super().step(closure)


def counting_loss():
    seen = []

    def loss_function(logits, y):
        seen.append(len(y))
        return F.cross_entropy(logits, y) / len(seen)

    return loss_function


class LearntLoss(nn.Module):
    """Has a parameter that is the optimizer's, but not the model's."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, logits, y):
        return F.cross_entropy(logits * self.scale, y)


def unresumable(what):
    model = network()
    if what == "an open file":
        file = open(os.devnull)  # noqa: SIM115
        return {"loss_function": lambda X, y: F.cross_entropy(X, y) + (file is None)}
    if what == "a list":
        return {"loss_function": counting_loss()}
    if what == "a number in the optimizer":
        return {"model": model, "optimizer": Counting(model.parameters(), lr=0.1)}
    if what == "a parameter of the loss":
        loss = LearntLoss()
        parameters = [*model.parameters(), *loss.parameters()]
        return {
            "model": model,
            "optimizer": torch.optim.SGD(parameters, 0.1),
            "loss_function": loss,
        }
    if what == "the clock":
        return {"loss_function": lambda X, y: F.cross_entropy(X, y) * (1 + time.perf_counter() % 1)}
    raise ValueError(what)


@pytest.mark.parametrize(
    "what, words",
    [
        ("an open file", "loss function: the content of a _io.TextIOWrapper cannot be told"),
        ("a list", "a step changes a list that a checkpoint does not hold"),
        ("a number in the optimizer", "a step changes a Counting"),
        ("a parameter of the loss", "a step changes a Parameter"),
        ("the clock", "a step taken twice gives different numbers"),
    ],
)
def test_what_cannot_be_told_or_saved_is_trained_without_checkpoints(tmp_path, capsys, what, words):
    options = {"steps": 40, "name": "M", "checkpoint_folder": tmp_path, "checkpoint_seconds": 0.0}
    run(**{"model": network()} | unresumable(what) | options)
    said = capsys.readouterr().out
    assert said.count("M: trained without checkpoints, because") == 1 and words in said
    assert not list(tmp_path.iterdir())


def test_a_step_that_was_only_tried_leaves_no_trace_in_what_it_changed(tmp_path):
    results = []
    for folder in (None, tmp_path):
        model = network()
        optimizer = Counting(model.parameters(), lr=0.1)
        torch.manual_seed(5)
        run(model, optimizer, loss_function=counting_loss(), checkpoint_folder=folder)
        results.append((optimizer.count, weights(model).tolist()))
    assert results[0] == results[1]


# --- Going on -------------------------------------------------------------------------------------


def stop_at(step: int):
    """Return a method of `Progress` that interrupts a training at this step."""

    def update(self, done, note=""):
        if done >= step:
            raise KeyboardInterrupt

    return update


def interrupted(monkeypatch, at: int, **options) -> None:
    """Train until step `at` is reached, and stop there as a reader does."""

    with monkeypatch.context() as patched:
        patched.setattr(training.Progress, "update", stop_at(at))
        with pytest.raises(KeyboardInterrupt):
            resumable(**options)


def resumable(**options):
    model = network()
    torch.manual_seed(5)
    defaults = {"name": "M", "augment": shift, "checkpoint_seconds": 0.0}
    history = run(model, **defaults | options)
    return model, history


def test_an_interrupted_run_says_where_it_goes_on_and_how_to_begin_afresh(
    tmp_path, monkeypatch, capsys
):
    whole, expected = resumable()
    interrupted(monkeypatch, at=33, checkpoint_folder=tmp_path)
    end_process()
    capsys.readouterr()
    model, history = resumable(checkpoint_folder=tmp_path)
    (name,) = files(tmp_path)
    line = capsys.readouterr().out.splitlines()[0]
    assert line == (
        f"M: goes on from step 33 of 60, {tmp_path / name}; "
        "delete this file to train from the start"
    )
    assert torch.equal(weights(model), weights(whole))
    assert history.steps == expected.steps and history.curves == expected.curves


def test_a_cell_that_was_stopped_goes_on_in_the_same_kernel(tmp_path, monkeypatch, capsys):
    interrupted(monkeypatch, at=33, checkpoint_folder=tmp_path)
    resumable(checkpoint_folder=tmp_path)
    assert "goes on from step 33" in capsys.readouterr().out


def test_deleting_the_file_begins_afresh(tmp_path, monkeypatch, capsys):
    interrupted(monkeypatch, at=33, checkpoint_folder=tmp_path)
    end_process()
    for path in tmp_path.glob("*.pt"):
        path.unlink()
    resumable(checkpoint_folder=tmp_path)
    assert "goes on" not in capsys.readouterr().out


def count_steps(monkeypatch) -> list[int]:
    """Return a list that grows by the number of each step that the loop takes."""
    taken = []
    monkeypatch.setattr(training.Progress, "update", lambda self, done, note="": taken.append(done))
    return taken


def test_a_finished_training_of_an_unfinished_notebook_is_taken_over_whole(
    tmp_path, monkeypatch, capsys
):
    taken = count_steps(monkeypatch)
    first, trained = resumable(checkpoint_folder=tmp_path)
    end_process()
    taken.clear()
    second, history = resumable(checkpoint_folder=tmp_path)
    assert not taken, "trained again"
    assert torch.equal(weights(first), weights(second)) and history == trained
    (name,) = files(tmp_path)
    assert f"M: taken over whole from {tmp_path / name}; delete this file to train" in (
        capsys.readouterr().out
    )


def test_a_finished_training_is_no_cache(tmp_path, monkeypatch, capsys):
    """In its own process, and in another once the notebook has ended, it trains again."""
    taken = count_steps(monkeypatch)
    resumable(checkpoint_folder=tmp_path)
    for end in (lambda: None, lambda: training.remove_checkpoints(tmp_path)):
        end()
        taken.clear()
        resumable(checkpoint_folder=tmp_path)
        assert taken == list(range(1, 61))
    # Stopped while it trains again, it goes on from there and not from the whole one.
    interrupted(monkeypatch, at=10, checkpoint_folder=tmp_path)
    resumable(checkpoint_folder=tmp_path)
    said = capsys.readouterr().out
    assert "goes on from step 10 " in said and "taken over" not in said


def test_seconds_and_steps_of_a_resumed_run_add_up(tmp_path, monkeypatch):
    interrupted(monkeypatch, at=47, checkpoint_folder=tmp_path)
    end_process()
    (path,) = tmp_path.glob("*.pt")
    saved = torch.load(path, weights_only=True)
    assert saved["step"] == 47 and saved["history"]["steps"] == [0, 20, 40]
    for key in ("train_seconds", "evaluation_seconds", "setup_seconds"):
        saved["history"][key] = 1000.0
    checkpoints.save_atomically(saved, path)
    _, history = resumable(checkpoint_folder=tmp_path)
    assert history.steps == [0, 20, 40, 60]
    assert all(len(curve) == 4 for curve in history.curves.values())
    assert 1000 < history.train_seconds < 1100 and 1000 < history.evaluation_seconds < 1100
    assert history.setup_seconds == 1000


class Remembering(nn.Module):
    """Has a buffer that the network keeps out of its state_dict."""

    def __init__(self):
        super().__init__()
        self.network = network()
        self.register_buffer("steps", torch.zeros(()), persistent=False)

    def forward(self, X):
        if self.training:
            self.steps += 1
        return self.network(X) / self.steps.clamp(min=1)


def test_buffers_outside_the_state_dict_are_resumed_too(tmp_path, monkeypatch):
    def trained(folder):
        torch.manual_seed(0)
        model = Remembering()
        torch.manual_seed(5)
        run(model, checkpoint_folder=folder, checkpoint_seconds=0.0)
        return weights(model).tolist(), model.steps.item()

    expected = trained(None)
    with monkeypatch.context() as patched:
        patched.setattr(training.Progress, "update", stop_at(33))
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path)
    end_process()
    assert trained(tmp_path) == expected and expected[1] == 60


def test_saves_come_early_and_then_at_the_chosen_pace(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    checkpoint = checkpoints.hold(tmp_path, "M", "0" * 12)
    checkpoint.start_clock(30.0)
    saves = []
    while now[0] < 130:
        if checkpoint.is_due():
            checkpoint.save({"step": 1})
            saves.append(now[0])
        now[0] += 0.5
    assert saves[0] <= 3 and saves[1] <= 8
    assert np.diff(saves[4:]).tolist() == pytest.approx([30.0] * len(saves[5:]))
    checkpoint.start_clock(0.5)
    assert not checkpoint.is_due()
    now[0] += 0.5
    assert checkpoint.is_due()


def test_a_save_does_not_wait_for_a_display_step(tmp_path, monkeypatch):
    """Steps that take seconds must not be lost by the hundred."""
    saved = []
    monkeypatch.setattr(
        checkpoints.Checkpoint, "save", lambda self, content: saved.append(content["step"])
    )
    run(network(), steps=30, display_every=30, checkpoint_folder=tmp_path, checkpoint_seconds=0.0)
    assert saved == list(range(1, 31))


# --- Files ----------------------------------------------------------------------------------------


def test_a_trial_run_leaves_the_checkpoint_of_a_killed_long_one(tmp_path, monkeypatch):
    interrupted(monkeypatch, at=33, checkpoint_folder=tmp_path)
    end_process()
    long = files(tmp_path)
    resumable(checkpoint_folder=tmp_path, steps=5)
    assert len(files(tmp_path)) == 2
    training.remove_checkpoints(tmp_path)
    assert files(tmp_path) == long
    end_process()
    resumable(checkpoint_folder=tmp_path)
    training.remove_checkpoints(tmp_path)
    assert not list(tmp_path.iterdir()), "something is left"


def test_what_a_killed_save_left_is_cleared_away(tmp_path, monkeypatch):
    interrupted(monkeypatch, at=33, checkpoint_folder=tmp_path)
    end_process()
    (name,) = files(tmp_path)
    (tmp_path / f"{name}abc.part").write_bytes(b"half")
    (tmp_path / "M-0123456789ab.ptxyz.part").write_bytes(b"half of another run")
    interrupted(monkeypatch, at=40, checkpoint_folder=tmp_path)
    assert [path.name for path in tmp_path.glob("*.part")] == ["M-0123456789ab.ptxyz.part"]
    training.remove_checkpoints(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_save_of_weights_left_is_cleared_away_by_the_next(tmp_path):
    old, new = (tmp_path / f"weights.pt{age}.part" for age in ("old", "new"))
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 3600,) * 2)
    training.save_atomically({"a": torch.ones(2)}, tmp_path / "weights.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["weights.pt", new.name]


def test_a_name_may_hold_what_a_files_name_may_not(tmp_path):
    run(network(), steps=1, name="C3 = all / “new”: 1*1?", checkpoint_folder=tmp_path)
    (path,) = tmp_path.glob("*.pt")
    assert path.name.startswith("C3 = all _ _new__ 1_1_-")


def test_a_damaged_checkpoint_is_named(tmp_path):
    resumable(checkpoint_folder=tmp_path)
    end_process()
    (path,) = tmp_path.glob("*.pt")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(checkpoints.CheckpointError, match="cannot be read.*delete it") as caught:
        resumable(checkpoint_folder=tmp_path)
    assert str(path) in str(caught.value)


def test_a_folder_that_is_a_file_is_named_before_training(tmp_path, monkeypatch):
    taken = count_steps(monkeypatch)
    (tmp_path / "taken").write_text("")
    with pytest.raises(checkpoints.CheckpointError, match=r"cannot be written to .*taken"):
        resumable(checkpoint_folder=tmp_path / "taken")
    assert not taken


def test_a_full_disk_is_told_in_one_sentence(tmp_path, monkeypatch):
    def full(content, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_atomically", full)
    words = r"the checkpoint .*M-.*\.pt cannot be written \(No space left on device\)"
    with pytest.raises(checkpoints.CheckpointError, match=words):
        resumable(checkpoint_folder=tmp_path)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("planted",)


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    resumable(checkpoint_folder=tmp_path)
    end_process()
    (path,) = tmp_path.glob("*.pt")
    torch.save({"step": Malicious()}, path)
    with pytest.raises(checkpoints.CheckpointError):
        resumable(checkpoint_folder=tmp_path)
    path.write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(checkpoints.CheckpointError):
        resumable(checkpoint_folder=tmp_path)
    assert not (tmp_path / "planted").exists()


def test_a_full_disk_keeps_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "weights.pt"
    training.save_atomically({"a": torch.ones(2)}, path)

    def full(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        training.save_atomically({"a": torch.zeros(2)}, path)
    assert [p.name for p in tmp_path.iterdir()] == ["weights.pt"]
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.ones(2))


def test_a_checkpoint_is_never_written_in_place(tmp_path):
    """Whoever has the older one open goes on seeing it, whole."""
    path = tmp_path / "weights.pt"
    training.save_atomically({"step": 1}, path)
    with open(path, "rb") as older:
        training.save_atomically({"step": 2}, path)
        assert torch.load(older, weights_only=True) == {"step": 1}
    assert torch.load(path, weights_only=True) == {"step": 2}


def test_deterministic_kernels_are_asked_for():
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
        runtime.set_seed(0)
        assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


# --- Other processes ------------------------------------------------------------------------------

PROCESSES = multiprocessing.get_context("forkserver")
# What takes the time of a process's start is imported once, by the one that the others come from.
PROCESSES.set_forkserver_preload(["pytest", "torch", "helpers.training"])


def train_and_save(
    result: Path, said: Path, folder: Path, slow: bool, steps: int, remove: bool
) -> None:
    """Train in `folder` and write what came of it to `result`, and what was printed to `said`."""
    with said.open("w", encoding="utf-8", buffering=1) as sys.stdout:
        torch.set_num_threads(1)
        if slow:
            training.Progress.update = lambda *_: time.sleep(0.02)
        model = network()
        torch.manual_seed(5)
        options = {"checkpoint_folder": folder, "checkpoint_seconds": 0.0}
        history = run(model, steps=steps, augment=shift, name="M", **options)
        torch.save((weights(model), history.steps, history.curves), result)
        if remove:
            training.remove_checkpoints(folder)


def process(
    tmp_path: Path, result: str, *, slow: bool = False, steps: int = 300, remove: bool = False
) -> multiprocessing.Process:
    """Start a training in `tmp_path/folder` that writes what came of it to `result`."""
    where = (tmp_path / result, tmp_path / f"{result}.txt", tmp_path / "folder")
    arguments = (*where, slow, steps, remove)
    started = PROCESSES.Process(target=train_and_save, args=arguments, daemon=True)
    started.start()
    return started


def finished(process: multiprocessing.Process, tmp_path: Path, result: str) -> str:
    """Wait for a process and return what it printed."""
    process.join(timeout=120)
    said = (tmp_path / f"{result}.txt").read_text(encoding="utf-8")
    assert process.exitcode == 0, said
    return said


def wait_for_checkpoint(process: multiprocessing.Process, folder: Path) -> Path:
    deadline = time.monotonic() + 100
    while not (found := list(folder.glob("*.pt"))):
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.02)
    return found[0]


def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    killed = process(tmp_path, "killed", slow=True)
    path = wait_for_checkpoint(killed, tmp_path / "folder")
    time.sleep(0.2)
    os.kill(killed.pid, signal.SIGKILL)
    killed.join(timeout=10)
    assert killed.exitcode == -signal.SIGKILL
    step = torch.load(path, weights_only=True)["step"]
    assert 0 < step < 300
    said = finished(process(tmp_path, "resumed", remove=True), tmp_path, "resumed")
    assert f"M: goes on from step {step} of 300, {path}" in said
    assert not list((tmp_path / "folder").iterdir())
    finished(process(tmp_path, "whole"), tmp_path, "whole")
    expected, steps, curves = torch.load(tmp_path / "whole", weights_only=True)
    resumed, resumed_steps, resumed_curves = torch.load(tmp_path / "resumed", weights_only=True)
    assert torch.equal(resumed, expected)
    assert resumed_steps == steps and resumed_curves == curves


def test_two_runs_at_once_do_not_mix(tmp_path):
    """The same run and another, while one is under way: both end right and leave it alone."""
    folder = tmp_path / "folder"
    first = process(tmp_path, "first", slow=True, steps=100_000)
    path = wait_for_checkpoint(first, folder)
    try:
        other = process(tmp_path, "other", remove=True)
        said = finished(other, tmp_path, "other")
        assert "without checkpoints" not in said and "goes on" not in said
        assert list(folder.glob("*.pt")) == [path]
        same = process(tmp_path, "same", steps=100_000, remove=True)
        deadline = time.monotonic() + 60
        told = tmp_path / "same.txt"
        while not (told.exists() and (line := told.read_text(encoding="utf-8")).endswith("\n")):
            assert same.is_alive() and time.monotonic() < deadline
            time.sleep(0.02)
        assert "another process holds that of the same training" in line, line
        same.kill()
        same.join()
        assert first.is_alive(), "the first run was disturbed"
        step = torch.load(path, weights_only=True)["step"]
        deadline = time.monotonic() + 60
        while torch.load(path, weights_only=True)["step"] == step:
            assert time.monotonic() < deadline, "the first run saves no more"
            time.sleep(0.05)
    finally:
        first.kill()
        first.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_does_not_take_its_parents_files_for_its_own(tmp_path):
    resumable(checkpoint_folder=tmp_path)
    (held,) = checkpoints._held.values()
    _, _, mark = held.path.stem.rpartition("-")
    child = os.fork()
    if child == 0:  # leave by _exit, whatever happens
        try:
            training.remove_checkpoints(tmp_path)
            os._exit(0 if checkpoints.hold(tmp_path, "M", mark) is None else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert files(tmp_path) == {held.path.name}
    assert checkpoints.hold(tmp_path, "M", mark) is held


# --- Batches for a loop of one's own --------------------------------------------------------------


def test_a_loop_of_ones_own_can_take_the_same_batches():
    images, labels = problem()
    seen = []

    def loss_function(logits, y):
        if torch.is_grad_enabled():
            seen.append(y)
        return F.cross_entropy(logits, y)

    run(network(), steps=30, loss_function=loss_function)
    batches = training.BatchOrder(400, 32, 7)
    assert all(torch.equal(labels[batches(step)], y) for step, y in enumerate(seen))
    assert len(seen) == 30 and math.ceil(30 * 32 / 400) == 3  # over the border of an epoch


def test_finished_work_is_taken_over_by_the_next_process_only_if_nothing_changed(tmp_path):
    def step(x):
        return 2 * x

    result = {"params": {2: np.arange(3.0)}, "costs": [1.5, step(1)], "words": "done"}

    def next_process():
        for held in list(checkpoints._held.values()):
            checkpoints._give_up(held._lock)
        checkpoints._held.clear()

    def work(**decides):
        return checkpoints.Finished(tmp_path, "a run", {"step": step, "seed": 0} | decides)

    first = work()
    assert first.load() is None
    first.save(result)
    next_process()
    again = work().load()
    np.testing.assert_array_equal(again["params"][2], result["params"][2])
    assert again["costs"] == [1.5, 2] and again["words"] == "done"
    assert work(seed=1).load() is None
    assert work(step=lambda x: 3 * x).load() is None
    assert work().load() is None  # in one process, to run a cell again is to compute again


def test_finished_work_that_cannot_be_read_is_not_kept(tmp_path):
    with open(tmp_path / "open", "w") as file:
        work = checkpoints.Finished(tmp_path, "a run", {"file": file})
        work.save({"a": 7})
        assert work.load() is None
    assert not list(tmp_path.glob("*.pt"))
