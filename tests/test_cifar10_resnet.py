"""CIFAR-10 and ResNet-20: networks, stacks, their training, checks and parameters."""

import math

import matplotlib as mpl
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cells import execute
from torch import nn

from helpers import augmentation, checks, figures, runtime, stand_ins, training
from helpers.checks import CheckError
from helpers.parameters import ParameterError

NOTEBOOK = "cifar10_resnet"
DEVICE = torch.device("cpu")
IMPORTS = {
    "nn": nn, "np": np, "torch": torch, "F": F, "math": math, "seed": 0, "device": DEVICE,
    "checks": checks, "figures": figures, "runtime": runtime, "training": training,
    "augmentation": augmentation,
}  # fmt: skip
SMALL = {"dataset": "stand-in", "threads": 1, "validation_images": 200}
STACK = ("lenet5", "stack", "stack-train")


def cells(*names: str, **options) -> dict[str, object]:
    torch.manual_seed(0)
    return execute(NOTEBOOK, *names, **(IMPORTS | {"sweep_epochs": 1, "epoch": 10} | options))


def batch(count: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(count, 3, 32, 32, generator=generator)
    return X, torch.randint(0, 10, (count,), generator=generator)


# --- the networks


def test_lenet5_is_that_of_the_assignments_table():
    names = cells("lenet5")
    plain = names["lenet5"]()
    assert [type(layer) for layer in plain] == [
        *(nn.Conv2d, nn.ReLU, nn.MaxPool2d) * 2,
        *(nn.Flatten, nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear),
    ]
    convolutions = [layer for layer in plain if isinstance(layer, nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size, c.padding) for c in convolutions] == [
        (6, (5, 5), (0, 0)),
        (16, (5, 5), (0, 0)),
    ]
    assert sum(p.numel() for p in plain.parameters()) == 62_006
    normed = names["lenet5"](batch_norm=True, activation=nn.SiLU)
    kinds = [type(layer) for layer in normed]
    assert kinds.count(nn.BatchNorm2d) == kinds.count(nn.BatchNorm1d) == 2
    for at, layer in enumerate(normed[:-1]):  # behind each layer with weights but the last
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert isinstance(normed[at + 1], nn.BatchNorm2d | nn.BatchNorm1d)
            assert isinstance(normed[at + 2], nn.SiLU)


def test_resnet20_by_the_paper():
    ResNet = cells("resnet")["ResNet"]
    model = ResNet(3)
    assert sum(p.numel() for p in model.parameters()) == 269_722
    sizes = []
    for block in model.blocks:
        block.register_forward_hook(lambda m, i, o: sizes.append(tuple(o.shape[1:])))
    model(torch.zeros(2, 3, 32, 32))
    assert sizes == [(16, 32, 32)] * 3 + [(32, 16, 16)] * 3 + [(64, 8, 8)] * 3
    assert not [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    strided = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    assert [m.out_channels for m in strided] == [32, 64]
    # He et al. 2016, table 6: 0.27 M, 0.46 M, 0.66 M, 0.85 M parameters.
    counts = [sum(p.numel() for p in ResNet(n).parameters()) for n in (3, 5, 7, 9)]
    assert [round(count / 1e6, 2) for count in counts] == [0.27, 0.46, 0.66, 0.85]


def test_a_residual_block_adds_its_input():
    Block = cells("resnet")["ResidualBlock"]
    block = Block(4, 4, stride=1).eval()
    nn.init.zeros_(block.conv2.weight)
    X = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(block(X), X.relu())
    narrow = Block(4, 8, stride=2)
    expected = torch.cat([X[:, :, ::2, ::2], torch.zeros(2, 4, 3, 3)], dim=1)
    assert torch.equal(narrow.shortcut(X), expected)


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("for width in (16, 32, 64)", "for width in (16, 32, 32)"),
        ("for _ in range(n)", "for _ in range(n + 1)"),
        ("stride=width // channels", "stride=1"),
        ("residual + self.shortcut(X)", "residual"),
        ("X[:, :, :: self.stride, :: self.stride]", "F.avg_pool2d(X, self.stride)"),
        ("F.pad(X, (0, 0, 0, 0, 0, self.new_channels))", "X.repeat(1, 2, 1, 1)"),
        (
            "nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)",
            "nn.Conv2d(out_channels, out_channels, 3, padding=1)",
        ),
    ],
)
def test_planted_errors_in_resnet_are_caught(right, wrong):
    with pytest.raises((CheckError, RuntimeError)):
        cells("resnet", "resnet-check", replace={right: wrong}, **counters())


def counters() -> dict[str, object]:
    """Return the two counting functions that earlier cells of the notebook define."""
    counted = cells("problem-1-9")["layer_counts"]
    return {
        "layer_counts": counted,
        "parameter_count": lambda model: sum(p.numel() for p in model.parameters()),
    }


def test_resnets_checks_pass_on_the_answer():
    cells("resnet", "resnet-check", **counters())


@pytest.mark.parametrize(
    "right, wrong", [("X * torch.sigmoid(X)", "X * torch.tanh(X)"), ("X * torch.sig", "torch.sig")]
)
def test_planted_errors_in_swish_are_caught(right, wrong):
    cells("swish", "swish-check")
    with pytest.raises(CheckError):
        cells("swish", "swish-check", replace={right: wrong})


def test_counts_are_those_of_a_direct_unfolding():
    layer_counts = cells("problem-1-9")["layer_counts"]
    model = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, groups=2), nn.Flatten(), nn.Linear(54, 5))
    counted = layer_counts(model, torch.zeros(1, 4, 8, 8))
    assert [(c[1], c[2], c[3]) for c in counted] == [
        ((6, 3, 3), 6 * 2 * 9 + 6, 9 * 6 * 2 * 9),
        ((5,), 55 * 5, 54 * 5),
    ]
    assert not [hooks for m in model.modules() if (hooks := m._forward_hooks)]


# Lab 1's answers with their checks: up to the one that trains a network, and those behind it.
FIRST_LAB = ("normalize", "normalize-check", "lenet5", "sanity-check")
FIRST_LAB_ON = ("optimizer", "optimizer-check", "stack", "stack-check")


def first_lab(replace: dict[str, str] | None = None) -> dict[str, object]:
    """Execute the first part on stand-in images."""
    images, labels = stand_ins.shapes(20, 5)[0]
    train_set = torch.from_numpy(images), torch.from_numpy(labels)
    return cells(*FIRST_LAB, train_set=train_set, **counters(), replace=replace)


@pytest.fixture(scope="module")
def begun() -> dict[str, object]:
    """The names that the first part leaves, when all of its answers are right."""
    return first_lab()


def test_the_first_labs_checks_pass_on_the_answers(begun):
    cells(*FIRST_LAB_ON, **begun)


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("Normalize.fit(train_set[0])", "Normalize.fit(train_set[0] // 2)"),
        ("nn.Conv2d(6, 16, kernel_size=5)", "nn.Conv2d(6, 16, kernel_size=5, bias=False)"),
        ("nn.Linear(120, 84)", "nn.Linear(120, 84), nn.Linear(84, 84)"),
        ("activation()]", "nn.Dropout(1.0)]"),  # learns nothing: seen by the batch alone
    ],
)
def test_planted_errors_in_the_first_lab_are_caught(right, wrong):
    with pytest.raises(CheckError):
        first_lab({right: wrong})


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("lr=learning_rate, momentum=0.9", "lr=learning_rate, momentum=0.5"),
        ("momentum=0.9, weight_decay=weight_decay", "momentum=0.9"),
        ("self.bias[:, None]", "0 * self.bias[:, None]"),
        ("torch.cat([getattr(layer, name)", "torch.cat([getattr(layers[0], name)"),
        (".transpose(1, 2)  # [batch, 10, N]", ".transpose(1, 2).flip(2)"),
    ],
)
def test_planted_errors_in_the_rest_of_the_first_lab_are_caught(begun, right, wrong):
    with pytest.raises(CheckError):
        cells(*FIRST_LAB_ON, replace={right: wrong}, **begun)


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("nn.init.kaiming_normal_(layer.weight)", "nn.init.normal_(layer.weight)"),
        ("nn.init.zeros_(layer.bias)", "nn.init.ones_(layer.bias)"),
    ],
)
def test_planted_errors_in_the_initialisation_are_caught(right, wrong):
    with pytest.raises(CheckError):
        cells("lenet5", "init", replace={right: wrong})


# --- stacks


def networks(names: dict, count: int = 3, **options) -> list[nn.Sequential]:
    built = []
    for n in range(count):
        torch.manual_seed(n)
        built.append(names["lenet5"](**options))
    return built


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("shared", [True, False])
def test_a_stack_computes_what_its_networks_do_and_so_do_its_gradients(batch_norm, shared):
    names = cells(*STACK)
    singles = [m.double() for m in networks(names, batch_norm=batch_norm)]
    wide = names["stack"](singles, shared).double()
    X, y = batch()
    own = [X.double() * (1 if shared else n + 1) for n in range(3)]
    logits = wide(own[0] if shared else torch.cat(own, dim=1))
    alone = [m(x) for m, x in zip(singles, own, strict=True)]
    torch.testing.assert_close(logits, torch.cat(alone, dim=1))
    names["each_loss"](logits, y).sum().backward()
    for single, x in zip(singles, own, strict=True):
        F.cross_entropy(single(x), y).backward()
    for p, *parts in zip(wide.parameters(), *(m.parameters() for m in singles), strict=True):
        expected = torch.cat([part.grad.flatten() for part in parts])
        torch.testing.assert_close(p.grad.flatten(), expected, rtol=1e-7, atol=1e-10)


def test_stacked_sgd_is_torchs_sgd_with_a_rate_and_a_penalty_for_each():
    names = cells(*STACK)
    rates, decays = [0.01, 0.1, 0.03], [0.0, 0.01, 0.1]
    singles = [m.double() for m in networks(names)]
    wide = names["stack"](singles).double()
    optimizer = names["StackedSGD"](wide, rates, decays)
    own = [
        torch.optim.SGD(m.parameters(), lr=rate, momentum=0.9, weight_decay=decay)
        for m, rate, decay in zip(singles, rates, decays, strict=True)
    ]
    X, y = batch()
    for _ in range(5):
        optimizer.zero_grad()
        names["each_loss"](wide(X.double()), y).sum().backward()
        optimizer.step()
        for model, single in zip(singles, own, strict=True):
            single.zero_grad()
            F.cross_entropy(model(X.double()), y).backward()
            single.step()
    for p, *parts in zip(wide.parameters(), *(m.parameters() for m in singles), strict=True):
        expected = torch.cat([part.detach().flatten() for part in parts])
        torch.testing.assert_close(p.detach().flatten(), expected, rtol=1e-6, atol=1e-8)


def test_a_network_that_diverges_leaves_the_others_as_they_were(tmp_path):
    names = cells(*STACK, **study(tmp_path))
    settings = dict(weight_decay=[0.0] * 3, num_epochs=1)
    quiet = names["train_stack"](
        networks(names, batch_norm=False), "a", learning_rates=[0.01, 0.02, 0.05], **settings
    )[1]
    loud = names["train_stack"](
        networks(names, batch_norm=False), "b", learning_rates=[0.01, 1e12, 0.05], **settings
    )[1]
    assert not math.isfinite(loud[1]["train_loss"][-1])
    for n in (0, 2):
        np.testing.assert_allclose(loud[n]["train_loss"], quiet[n]["train_loss"], rtol=1e-3)


def study(folder, **changes) -> dict[str, object]:
    """Return what `train_stack` finds in the notebook: small sets, normalisation, sizes."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (64,), generator=generator)
    return {
        "folder": folder,
        "train_set": (images, labels),
        "watched": {"train": (images, labels), "validation": (images[:32], labels[:32])},
        "normalize": augmentation.Normalize.fit(images),
        "padded_images": augmentation.pad(images, 4),
        "batch_size": 16,
        "epoch": 4,
    } | changes


def test_an_l1_penalty_shrinks_weights_of_its_own_network_alone(tmp_path):
    names = cells(*STACK, **study(tmp_path))
    model, curves, _ = names["train_stack"](
        networks(names, 2, batch_norm=True), "l1", learning_rates=[0.02, 0.02],
        weight_decay=[0.0, 0.0], l1=[0.0, 0.01], num_epochs=6,
    )  # fmt: skip
    plain, _ = names["train_stack"](
        networks(names, 2, batch_norm=True), "none", learning_rates=[0.02, 0.02],
        weight_decay=[0.0, 0.0], num_epochs=6,
    )[:2]  # fmt: skip
    with_penalty, without = (names["weight_magnitudes"](m, 2) for m in (model, plain))
    torch.testing.assert_close(with_penalty[0], without[0], rtol=1e-3, atol=0)
    assert with_penalty[1] < 0.8 * without[1]
    assert set(curves[0]) == {
        *("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "steps")
    }


def test_each_option_of_augmentation_gets_its_own_images():
    names = cells("augment", **{"train_stack": lambda *a, **k: (None, [], 0.0)}, replace={
        "networks_like(lenet5, len(options))": "[]",
        'LAB1["learning_rate"]': "0.1",
        'LAB1["weight_decay"]': "0.1",
    }, lab1_epochs=1)  # fmt: skip
    each = names["EachItsOwn"]([(0, False), (4, False), (2, True)])
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (32, 3, 32, 32), generator=generator, dtype=torch.uint8)
    versions = each(augmentation.pad(images, 4), torch.Generator().manual_seed(0))
    assert versions.shape == (32, 9, 32, 32)
    assert torch.equal(versions[:, :3], images)
    frame = [int((versions[:, 3 * k : 3 * k + 3] == 0).any(1).sum()) for k in range(3)]
    assert frame[0] == 0 < frame[2] < frame[1]


# --- the rest


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing():
    names = cells("one-cycle", "one-cycle-check")
    rates = [names["one_cycle"](step, 100, 0.2, 0.2) for step in range(100)]
    assert max(rates) == pytest.approx(0.2) and rates.index(max(rates)) in (19, 20)
    assert np.all(np.diff(rates[:20]) > 0) and np.all(np.diff(rates[20:]) < 0)
    assert 0 < rates[-1] < 0.01 and 0 < rates[0] < 0.02
    assert names["one_cycle"](0, 1, 0.2, 0.2) > 0


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("peak * min(", "min("),
        ("round(warm_up * steps)", "round(0.5 * steps)"),
        ("(step + 1) / turn, ", "1.0, "),  # at the peak from the first step on
        (", (steps - step) / (steps - turn + 1)", ", 1.0"),  # at the peak to the last
    ],
)
def test_planted_errors_in_the_schedule_are_caught(right, wrong):
    with pytest.raises(CheckError):
        cells("one-cycle", "one-cycle-check", replace={right: wrong})


def predicted(replace: dict[str, str] | None = None) -> None:
    """Execute the prediction and its check for a network that has learnt its images by heart."""
    runtime.set_seed(0)
    images, labels = (torch.from_numpy(part) for part in stand_ins.shapes(10, 5)[0])
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    normalize = augmentation.Normalize.fit(images)
    history = training.train(
        model, torch.optim.Adam(model.parameters(), lr=1e-3), images, labels, steps=30,
        batch_size=50, display_every=30, seed=0, preprocess=normalize,
        evaluation={"validation": (images, labels)},
    )  # fmt: skip
    cells(
        "predict", "predict-check", resnets=[(model, history)], normalize=normalize,
        validation_set=(images, labels), validation_images=len(images), replace=replace,
    )  # fmt: skip


def test_the_predictions_check_passes_on_the_answer():
    predicted()


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("model(normalize(part))", "model(part.float())"),
        ("images.split(500)", "images[:-1].split(500)"),
        ("images.split(500)", "images.flip(0).split(500)"),
    ],
)
def test_planted_errors_in_the_predictions_are_caught(right, wrong):
    with pytest.raises(CheckError):
        predicted({right: wrong})


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"lab1_epochs": 0}, "lab1_epochs = 0: it must be a whole number of at least 1."),
        ({"resnet_epochs": 2.5}, "resnet_epochs = 2.5: "),
        ({"num_seeds": 1}, "num_seeds = 1: it must be a whole number of at least 2."),
        ({"batch_size": 10**6}, "batch_size = 1000000: .* at most 1800"),
        ({"validation_images": 1500}, "validation_images = 1500: .* at most 1000"),
        ({"dataset": "mnist"}, "dataset = 'mnist': it must be one of 'auto', 'cifar10'"),
        ({"precision": "half"}, "precision = 'half': it must be one of 'auto', 'float32'"),
        ({"device": "tpu9"}, "device = 'tpu9': it must be one of 'auto', 'cpu'"),
        ({"seed": -1}, "seed = -1: "),
        ({"threads": 0}, "threads = 0: "),
        ({"output_folder": " "}, "output_folder = ' ': it must be a text that is not empty."),
    ],
)
def test_bad_parameters_fail_in_the_setup_cell(changes, sentence):
    with mpl.rc_context(), pytest.raises(ParameterError, match=sentence):
        execute(NOTEBOOK, "parameters", "setup", **(SMALL | changes))
