"""LeNet-5 with own layers: the layers against PyTorch's, the network against the paper, the rules.

What is executed here are the cells of the published notebook, by their ids.
"""

import ast
import json
import math
import re
from itertools import product

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cells import ROOT, execute, source
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from helpers import checkpoints, checks, training
from helpers.checks import CheckError
from helpers.parameters import ParameterError

NOTEBOOK = "custom_lenet5"
ANSWERS = {
    "prepare": "prepare",
    "output_size": "output-size",
    "convolution_loops": "loops",
    "convolution_unfold": "unfold",
    "gather_windows": "windows",
    "scatter_windows": "windows",
    "convolve": "convolve",
    "Convolution2d": "convolution",
    "AveragePooling2d": "pooling",
    "MaxPooling2d": "maximum",
    "ScaledTanh": "squashing",
    "TrainableSubsampling2d": "subsampling",
    "PartialConvolution2d": "partial",
    "RadialBasisOutput": "radial-basis",
    "discriminative_loss": "loss",
    "lenet5": "lenet5",
    "train": "train",
}
GIVEN = ("given", "seen-by", "windows-function", "window-sum", "connections", "codes")
# In the order of the page: a base class or a constant must be there before it is used.
PAGE = (
    *("prepare", "output-size", "loops", "given", "unfold", "seen-by", "windows"),
    *("windows-function", "convolve", "convolution", "window-sum", "pooling", "maximum"),
    *("squashing", "subsampling", "connections", "partial", "codes", "radial-basis", "loss"),
    *("lenet5", "train", "newton"),
)
assert {*ANSWERS.values(), *GIVEN} <= {*PAGE}
NETWORKS = ("parameters", "setup", *PAGE, "counts", "variants", "same-steps", "fit", "ledger-cases")
SMALL = {
    **{"dataset": "stand-in", "num_epochs": 1, "comparison_epochs": 1, "selection_epochs": 1},
    **{"num_seeds": 2, "ledger_seeds": 2, "batch_size": 200, "most_rates": 1, "workers": 1},
    **{"learning_rates": [0.004], "newton_rates": [0.0001], "momentum_rates": [0.002]},
}


@pytest.fixture(autouse=True)
def as_before(tmp_path, monkeypatch):
    """Figures, the style of figures and the output folder end with each test."""
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context():
        mpl.use("agg")
        yield
        plt.close("all")


def run(*cells: str, **options) -> dict[str, object]:
    return execute(NOTEBOOK, *cells, **{**SMALL, **options})


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("lenet5")
    with mpl.rc_context():
        return run(*NETWORKS, output_folder=str(folder))


def code_cells() -> dict[str, str]:
    text = (ROOT / "notebooks" / f"{NOTEBOOK}.ipynb").read_text(encoding="utf-8")
    cells = (c for c in json.loads(text)["cells"] if c["cell_type"] == "code")
    return {cell["id"]: "".join(cell["source"]) for cell in cells}


# --- The rule of the assignment: no convolution, pooling or unfolding of the framework ---

FORBIDDEN = re.compile(r"conv|pool|fold|im2col|col2im|correlate|cudnn|mkldnn", re.IGNORECASE)
# What the notebook may import; above all, not helpers.numpy_layers, which holds a convolution.
IMPORTS = {
    "collections": {"OrderedDict"},
    "collections.abc": {"Callable"},
    "dataclasses": {"dataclass"},
    "functools": {"partial"},
    "helpers": {
        *("checkpoints", "checks", "data", "figures", "paired", "parallel", "parameters"),
        *("runtime", "training"),
    },
    "itertools": {"product"},
    "math": set(),
    "matplotlib.patches": {"Rectangle"},
    "matplotlib.pyplot": set(),
    "numpy": set(),
    "scipy": {"stats"},
    "time": set(),
    "torch": {"nn"},
}
# What only looks like a way round: phrases of the page, and whose attributes they are.
HARMLESS = ("parameters.declare(\n    globals(),", "getattr(chosen, ")
BESIDES = {
    *("chosen.output_folder", "parameters.Folder", "run.export"),
    *("model._modules", "build().to(device)._modules"),
}
# Ways to reach a function without writing its name as an attribute.
BACK_DOORS = {
    "getattr", "eval", "exec", "compile", "globals", "locals", "vars", "dir", "breakpoint",
    "get_ipython", "open", "input", "delattr", "setattr",
}  # fmt: skip
BACK_ROOMS = {"ops", "hub", "jit", "load", "library", "export", "compile", "package", "overrides"}


def objections(code: str) -> list[str]:
    """Return what in `code` could reach a convolution, pooling or unfolding of the framework.

    The code's own classes and functions may have such names; nothing that is imported, and no
    attribute of anything, may.
    """
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [f"import {a.name}" for a in node.names if a.name not in IMPORTS]
        elif isinstance(node, ast.ImportFrom):
            allowed = IMPORTS.get(node.module or "", set())
            found += [f"from {node.module} import {a.name}" for a in node.names
                      if node.level or a.name not in allowed]  # fmt: skip
        elif isinstance(node, ast.Attribute):
            whole = ast.unparse(node)
            if whole in BESIDES or whole.startswith("checks.custom_lenet5."):
                continue
            private = node.attr.startswith("_") and node.attr != "__init__"
            if FORBIDDEN.search(node.attr) or private or node.attr in BACK_ROOMS:
                found.append(f"attribute {node.attr}")
        elif isinstance(node, ast.Name):
            if node.id in BACK_DOORS or node.id.startswith("__"):
                found.append(f"name {node.id}")
        elif isinstance(node, ast.MatchClass):
            found += [f"pattern {name}" for name in node.kwd_attrs]
    return found


def test_the_notebook_uses_no_layer_of_the_framework():
    cells = code_cells()
    bootstrap = cells.pop("bootstrap")
    assert re.findall(r"^\s*%.*", bootstrap, re.M) == re.findall(r"^\s*%pip .*", bootstrap, re.M)
    for phrase in HARMLESS:
        assert any(phrase in code for code in cells.values())
        cells = {cell_id: code.replace(phrase, "dict(") for cell_id, code in cells.items()}
    views = cells["unfold"].count(".unfold(")
    assert views == 2 and "X.unfold(2, " in cells["unfold"]  # a view of a tensor, no layer
    assert objections(cells.pop("unfold")) == views * ["attribute unfold"]
    for cell_id, code in cells.items():
        assert objections(code) == [], cell_id


@pytest.mark.parametrize(
    "code",
    [
        "import torch.nn.functional as G",
        "import torch.nn.functional as G\nG.conv2d(X, W)",
        "from torch.nn import Conv2d",
        "from torch.nn import AvgPool2d as Mean",
        "from torch.nn import functional",
        "from torch.nn.functional import *",
        "from torch import conv2d as c",
        "from torch import *",
        "from .layers import convolve",
        "import torchvision",
        "import scipy.signal as s",
        "from helpers import numpy_layers",
        "from helpers.numpy_layers import conv_layer_forward",
        "import helpers.convnet",
        "import importlib",
        "import operator",
        "import sys",
        "layer = nn.Conv2d(1, 6, 5)",
        "layer = nn.LazyConv2d(6, 5)",
        "layer = nn.AvgPool2d(2)",
        "layer = nn.AdaptiveMaxPool2d(2)",
        "layer = nn.MaxPool2d(2)",
        "layer = nn.LPPool2d(2, 2)",
        "unfold = nn.Unfold(5)",
        "fold = nn.Fold(8, 5)",
        "class Mine(nn.Conv2d): pass",
        "class Mine(nn.modules.conv._ConvNd): pass",
        "nn.functional.conv2d(X, W)",
        "torch.nn.functional.avg_pool2d(X, 2)",
        "nn.functional.max_pool2d_with_indices(X, 2)",
        "nn.functional.unfold(X, 5)",
        "nn.functional.fold(X, 8, 5)",
        "nn.functional.interpolate; nn.functional.lp_pool2d(X, 2, 2)",
        "X.unfold(1, 5, 1)",
        "torch.conv2d(X, W)",
        "torch.convolution(X, W, b)",
        "torch.max_pool2d(X, 2)",
        "torch.mkldnn_convolution(X, W)",
        "torch.cudnn_convolution(X, W)",
        "torch.ops.aten.convolution(X, W)",
        "torch.ops.aten['x']",
        "torch._C._nn.im2col(X)",
        "torch._VF.something(X)",
        "torch.jit.trace",
        "torch.hub.load('x', 'y')",
        "np.convolve(a, b)",
        "f = torch.conv2d\nf(X, W)",
        "G = nn.functional\nG.conv2d(X, W)",
        "[nn.functional][0].conv2d(X, W)",
        "(lambda m: m.conv2d)(nn.functional)(X, W)",
        "getattr(nn, 'Conv' + '2d')(1, 6, 5)",
        "g = getattr\ng(nn, name)",
        "nn.__dict__['Conv2d']",
        "vars(nn.functional)['conv2d']",
        "nn.__getattribute__('Conv2d')",
        "object.__getattribute__(nn, 'Conv2d')",
        "__import__('torch.nn.functional')",
        "__builtins__",
        "eval('nn.Conv2d')",
        "exec('import torch.nn.functional as F')",
        "globals()['nn']",
        "match nn:\n    case object(Conv2d=layer):\n        pass",
        "def f():\n    return [g(X) for g in (torch.nn.functional.avg_pool2d,)]",
    ],
)
def test_the_refusal_works(code):
    assert objections(code)
    # Also inside what the notebook really holds.
    assert objections(source(NOTEBOOK, "convolve") + "\n" + code)


@pytest.mark.parametrize(
    "code",
    [
        "class Convolution2d(nn.Module):\n    pass\nConvolution2d(1, 6, 5)",
        "layers = [AveragePooling2d(2), MaxPooling2d(), convolve(X, W, b)]",
        "super().__init__()\nnn.Flatten()\nnn.functional.cross_entropy(X, y)",
        "from helpers import checks, training\nimport torch\nfrom torch import nn",
        "X.as_strided(shape, steps).contiguous()",
    ],
)
def test_the_refusal_leaves_honest_code_alone(code):
    assert objections(code) == []


class Recorder(TorchDispatchMode):
    """Notes the name of every operation that PyTorch really executes, backward included."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(str(function))
        return function(*args, **(kwargs or {}))


def executed(model: nn.Module) -> set[str]:
    with Recorder() as recorder:
        model(torch.randn(2, 1, 32, 32)).square().sum().backward()
    return {name for name in recorder.names if FORBIDDEN.search(name)}


def test_no_variant_executes_a_layer_of_the_framework(network):
    for name, case in network["CASES"].items():
        assert executed(case.build()) == set(), name


def test_the_views_of_unfold_copy_nothing(network):
    X, weight = torch.randn(2, 3, 6, 7, requires_grad=True), torch.randn(4, 3, 3, 2)
    with Recorder() as recorder:
        network["convolution_unfold"](X, weight, None).sum().backward()
    found = {name for name in recorder.names if FORBIDDEN.search(name)}
    assert found == {"aten.unfold.default", "aten.unfold_backward.default"}


def test_the_recorder_sees_the_framework_s_layers():
    names = executed(nn.Sequential(nn.Conv2d(1, 2, 5), nn.AvgPool2d(2)))
    assert {"aten.convolution.default", "aten.avg_pool2d_backward.default"} <= names


# --- The layers against PyTorch's ---

KERNELS, STRIDES, PADDINGS = [1, 2, 5, (3, 2)], [1, 2, 3, (1, 3)], [0, 1, 2, (0, 2)]
GEOMETRIES = list(product(KERNELS, STRIDES, PADDINGS))


def double(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.double, generator=generator).requires_grad_()


def gradients(output: torch.Tensor, *inputs: torch.Tensor) -> list[torch.Tensor]:
    weights = torch.linspace(-1, 2, output.numel(), dtype=torch.double).view(output.shape)
    return [output, *torch.autograd.grad((output * weights).sum(), inputs)]


def assert_same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel_size, stride, padding", GEOMETRIES)
@pytest.mark.parametrize("channels, bias", [((1, 1), True), ((3, 4), True), ((2, 5), False)])
def test_convolution_equals_pytorch_s(network, channels, bias, kernel_size, stride, padding):
    settings = {"stride": stride, "padding": padding, "bias": bias}
    theirs = nn.Conv2d(*channels, kernel_size, **settings).double()
    ours = network["Convolution2d"](*channels, kernel_size, **settings).double()
    ours.load_state_dict(theirs.state_dict())
    for height, width in [(5, 7), (8, 5)]:
        X = double(2, channels[0], height, width)
        assert_same(
            gradients(ours(X), X, *ours.parameters()),
            gradients(theirs(X), X, *theirs.parameters()),
        )


@pytest.mark.parametrize("kernel_size, stride, padding", GEOMETRIES)
def test_pooling_equals_pytorch_s(network, kernel_size, stride, padding):
    pairs = [v if isinstance(v, tuple) else (v, v) for v in (padding, kernel_size)]
    if any(2 * p > k for p, k in zip(*pairs, strict=True)):
        with pytest.raises(ValueError, match="padding = .* at most half of kernel_size"):
            network["AveragePooling2d"](kernel_size, stride, padding)
        return
    theirs = nn.AvgPool2d(kernel_size, stride, padding)
    ours = network["AveragePooling2d"](kernel_size, stride, padding)
    for height, width in [(5, 7), (8, 5)]:
        X = double(2, 3, height, width)
        assert_same(gradients(ours(X), X), gradients(theirs(X), X))


def test_pooling_strides_by_its_window_if_nothing_is_said(network):
    X = double(2, 3, 7, 6)
    assert_same([network["AveragePooling2d"]((3, 2))(X)], [nn.AvgPool2d((3, 2))(X)])


def test_maximum_equals_pytorch_s(network):
    X = double(2, 3, 7, 6)
    assert_same(gradients(network["MaxPooling2d"](2)(X), X), gradients(nn.MaxPool2d(2)(X), X))
    overlapping = gradients(network["MaxPooling2d"]((3, 2), 1)(X), X)
    assert_same(overlapping, gradients(nn.MaxPool2d((3, 2), 1)(X), X))


def test_gradients_agree_with_finite_differences(network):
    layer = network["Convolution2d"](2, 3, (3, 2), stride=(2, 1), padding=(1, 0)).double()
    X = double(2, 2, 5, 4)

    def convolve(X, W, b):
        return network["convolve"](X, W, b, layer.stride, layer.padding)

    assert torch.autograd.gradcheck(convolve, (X, *layer.parameters()))
    assert torch.autograd.gradgradcheck(convolve, (X, *layer.parameters()))
    pooling = network["AveragePooling2d"]((2, 3), stride=1, padding=1)
    assert torch.autograd.gradcheck(pooling, X)
    assert torch.autograd.gradgradcheck(pooling, X)
    assert torch.autograd.gradcheck(network["TrainableSubsampling2d"](2).double(), X)


@pytest.mark.parametrize("order", ["channels last", "batch last", "transposed", "expanded"])
def test_any_order_in_memory_is_taken(network, order):
    X = torch.randn(3, 4, 6, 6)
    X = {
        "channels last": X.to(memory_format=torch.channels_last),
        "batch last": X.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2),
        "transposed": X.transpose(2, 3),
        "expanded": X[:1].expand(3, 4, 6, 6),
    }[order]
    layer = network["Convolution2d"](4, 5, 3, padding=1)
    expected = F.conv2d(X.contiguous(), layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(X), expected)
    torch.testing.assert_close(layer(X[1:]), expected[1:])
    pooled = network["AveragePooling2d"](2)(X[1:])
    torch.testing.assert_close(pooled, F.avg_pool2d(X[1:].contiguous(), 2))


def test_an_empty_batch_passes(network):
    X = torch.zeros(0, 1, 32, 32)
    assert network["lenet5"]()(X).shape == (0, 10)
    assert network["modern_reading"]()(X).shape == (0, 10)


def test_initial_weights_are_as_wide_as_pytorch_s(network):
    torch.manual_seed(0)
    ours, theirs = network["Convolution2d"](16, 120, 5), nn.Conv2d(16, 120, 5)
    for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert mine.shape == reference.shape
        assert mine.abs().max() <= 0.05 and reference.abs().max() <= 0.05
        assert mine.std().item() == pytest.approx(reference.std().item(), rel=0.2)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((0, 6, 5), "in_channels, out_channels = (0, 6): it must be a whole number of at least 1"),
        ((1, 6, 0), "kernel_size = 0: it must be a whole number of at least 1"),
        ((1, 6, 2.5), "kernel_size = 2.5: it must be a whole number of at least 1"),
        ((1, 6, (5, 5, 5)), "kernel_size = (5, 5, 5): it must be"),
        ((1, 6, True), "kernel_size = True: it must be"),
        ((1, 6, 5, 0), "stride = 0: it must be a whole number of at least 1"),
        ((1, 6, 5, 1, -1), "padding = -1: it must be a whole number of at least 0"),
    ],
)
def test_impossible_settings_are_named(network, arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        network["Convolution2d"](*arguments)


def test_impossible_inputs_are_named(network):
    layer, pooling = network["Convolution2d"](3, 6, 5), network["AveragePooling2d"](4)
    for module in (
        layer,
        pooling,
        network["TrainableSubsampling2d"](3),
        network["MaxPooling2d"](2),
    ):
        with pytest.raises(ValueError, match=r"shape \(3, 8, 8\); it must be \[batch, channels"):
            module(torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="the input has 2 channels; it must have 3"):
        layer(torch.zeros(1, 2, 8, 8))
    words = "a window of 5 pixels does not fit into a side of 4 pixels with padding 0"
    with pytest.raises(ValueError, match=words):
        layer(torch.zeros(1, 3, 8, 4))
    with pytest.raises(ValueError, match="window of 4 pixels .* side of 3 pixels .* at most 3"):
        pooling(torch.zeros(1, 3, 3, 8))
    with pytest.raises(ValueError, match="padding = 2: it must be at most half of kernel_size"):
        network["AveragePooling2d"](3, padding=2)


def test_the_size_rule_equals_pytorch_s(network):
    for n, k, s, p in product(range(1, 12), range(1, 7), range(1, 5), range(4)):
        if n + 2 * p >= k:
            expected = F.conv2d(torch.zeros(1, 1, n, n), torch.zeros(1, 1, k, k), None, s, p)
            assert network["output_size"](n, k, s, p) == expected.shape[2]


# --- LeNet-5 as it was published ---


def test_parameters_are_the_paper_s_layer_by_layer(network):
    counts = {name: network["trainable_parameters"](layer)
              for name, layer in network["lenet5"]().named_children()}  # fmt: skip
    assert {name: count for name, count in counts.items() if count} == {
        "C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48120, "F6": 10164,
    }  # fmt: skip
    recorded = network["run"].results["paper"]
    assert recorded["trainable_parameters"] == 60_000
    assert recorded["mean_pooling_parameters"] == 60_000 - 44
    assert recorded["modern_parameters"] == 61_706
    assert network["trainable_parameters"](network["modern_reading"]()) == 61_706


def test_connections_are_the_paper_s_table(network):
    # Table I, column by column as the paper's text describes it.
    columns = [{(o + d) % 6 for d in range(3)} for o in range(6)]
    columns += [{(o + d) % 6 for d in range(4)} for o in range(6)]
    columns += [{0, 1, 3, 4}, {1, 2, 4, 5}, {0, 2, 3, 5}, set(range(6))]
    table = network["CONNECTED"]
    assert table.shape == (16, 6)
    assert [set(row.nonzero().flatten().tolist()) for row in table] == columns


def test_a_partial_convolution_is_a_masked_one(network):
    layer = network["PartialConvolution2d"](network["CONNECTED"], 5).double()
    dense = torch.zeros(16, 6, 5, 5, dtype=torch.double)
    dense[network["CONNECTED"]] = layer.weight.detach()
    dense.requires_grad_()
    X = double(2, 6, 14, 14)
    ours = gradients(layer(X), X, layer.weight, layer.bias)
    bias = layer.bias.detach().requires_grad_()
    theirs = gradients(F.conv2d(X, dense, bias), X, dense, bias)
    theirs[2] = theirs[2][network["CONNECTED"]]
    assert_same(ours, theirs)


def test_the_whole_network_equals_one_of_pytorch_s_layers(network):
    torch.manual_seed(0)
    model = network["lenet5"]().double()
    X, labels = double(3, 1, 32, 32), torch.tensor([3, 0, 9])

    def squash(a):
        return 1.7159 * torch.tanh(2 * a / 3)

    def subsample(X, layer):
        mean = F.avg_pool2d(X, 2) * 4
        return squash(mean * layer.coefficient.view(-1, 1, 1) + layer.bias.view(-1, 1, 1))

    kernels = torch.zeros(16, 6, 5, 5, dtype=torch.double)
    kernels[network["CONNECTED"]] = model.C3.weight
    state = subsample(squash(F.conv2d(X, model.C1.weight, model.C1.bias)), model.S2)
    state = subsample(squash(F.conv2d(state, kernels, model.C3.bias)), model.S4)
    state = squash(F.conv2d(state, model.C5.weight, model.C5.bias)).flatten(1)
    state = squash(F.linear(state, model.F6.weight, model.F6.bias))
    distances = torch.cdist(state, network["codes"].double()).square()
    terms = torch.cat([-distances, torch.full((3, 1), -10.0)], 1).exp().sum(1).log()
    loss = (distances[torch.arange(3), labels] + terms).mean()
    scores = model(X)
    torch.testing.assert_close(scores, -distances, rtol=1e-9, atol=1e-9)
    got = network["discriminative_loss"](scores, labels)
    assert_same(gradients(got, X, *model.parameters()), gradients(loss, X, *model.parameters()))


def test_initial_weights_follow_the_paper_s_rule(network):
    torch.manual_seed(0)
    model = network["lenet5"]()
    for layer, fan_in in [(model.C1, 25), (model.C5, 400), (model.F6, 120)]:
        bound = 2.4 / fan_in
        assert 0.9 * bound < layer.weight.abs().max() <= bound
    outputs = network["CONNECTED"].nonzero()[:, 0]
    assert 0.9 * 2.4 / 150 < model.C3.weight[outputs == 15].abs().max() <= 2.4 / 150
    assert 0.9 * 2.4 / 75 < model.C3.weight[outputs < 6].abs().max() <= 2.4 / 75
    subsampling = torch.cat([model.S2.coefficient, model.S4.coefficient])
    assert 0.4 < subsampling.abs().max() <= 0.6


def test_kaiming_s_weights_are_the_same_numbers_stretched(network):
    torch.manual_seed(0)
    old = network["lenet5"]()
    torch.manual_seed(0)
    new = network["CASES"]["tanh, Kaiming"].build()
    for name, fan_in in {"C1": 25, "C5": 400, "F6": 120}.items():
        one, other = old.get_submodule(name), new.get_submodule(name)
        torch.testing.assert_close(other.weight, one.weight * math.sqrt(6 * fan_in) / 2.4)
        assert not other.bias.any()
    fan_in = 25.0 * network["CONNECTED"].sum(1)[network["CONNECTED"].nonzero()[:, 0]]
    stretched = old.C3.weight * ((6 * fan_in).sqrt() / 2.4)[:, None, None]
    torch.testing.assert_close(new.C3.weight, stretched)
    assert new.S2.coefficient.tolist() == [0.25] * 6 and not new.S4.bias.any()


def test_codes_are_ten_different_pictures(network):
    codes = network["codes"]
    assert codes.shape == (10, 84) and set(codes.unique().tolist()) == {-1.0, 1.0}
    assert len(codes.unique(dim=0)) == 10
    pictures = codes.view(10, 12, 7)
    # Zero and eight are their own mirror images, one has a foot: no drawing was cut or shifted.
    for digit in (0, 8):
        assert torch.equal(pictures[digit], pictures[digit].flip(1))
        assert torch.equal(pictures[0], pictures[0].flip(0))
    assert pictures[1, -1].tolist() == [-1, 1, 1, 1, 1, 1, -1]
    assert torch.equal(pictures[7, 0], torch.ones(7))
    model = network["lenet5"]()
    assert "codes" not in dict(model.named_parameters())


def test_the_loss_pushes_near_wrong_classes_away_and_leaves_far_ones(network):
    scores = torch.tensor([[-2.0, -3.0, -200.0]], dtype=torch.double, requires_grad=True)
    network["discriminative_loss"](scores, torch.tensor([0])).backward()
    right, near, far = scores.grad[0].tolist()
    assert right < 0 < near and abs(far) < 1e-12


def test_each_variant_changes_one_thing(network):
    def parts(name):
        torch.manual_seed(0)
        model = network["CASES"][name].build()
        return {
            child: (type(layer).__name__, [p.detach().clone() for p in layer.parameters()])
            for child, layer in model.named_children()
        }

    def differ(one, other):
        return one[0] != other[0] or not all(map(torch.equal, one[1], other[1]))

    paper = parts("paper")
    changed = {
        name: {child for child, part in parts(name).items() if differ(part, paper[child])}
        for name in network["VARIANTS"]
    }
    squashing = {f"squash{i}" for i in range(1, 6)}
    weights = {"C1", "S2", "C3", "S4", "C5", "F6"}
    pooling, squashed = {"S2", "S4"}, {"squash2", "squash4"}
    assert changed == {
        "paper": set(),
        "tanh, Kaiming": weights,
        "ReLU, 1998": squashing,
        "ReLU, Kaiming": weights | squashing,
        "no squashing": squashed,
        "no coefficient": pooling,
        "plain mean": pooling | squashed,
        "plain maximum": pooling | squashed,
        "full connections": {"C3"},
        "linear output": {"output"},
        "modern reading": weights | squashing | {"squash6", "output"},
    }
    losses = {name: case.loss for name, case in network["CASES"].items()}
    assert {name for name, loss in losses.items() if loss is F.cross_entropy} == {
        "linear output",
        "modern reading",
    }


# --- The checks on the page


def test_every_answer_passes_its_own_check(network, capsys):
    for name in ANSWERS:
        getattr(checks.custom_lenet5, name)(network[name])
    lines = capsys.readouterr().out
    assert lines.count("✓") == len(ANSWERS) and "Note" not in lines


IMPORTED = ("parameters", "setup")
WRONG = [
    ("prepare", "padded[:, :, 2:30, 2:30] = images", "padded[:, :, 1:29, 2:30] = images"),
    ("output_size", "room // stride + 1", "-(-room // stride) + 1"),
    ("convolution_loops", "v * stride[1]", "v * stride[0]"),
    ("convolution_unfold", "stride[0]).unfold(3, weight.shape[3], stride[1]",
     "stride[1]).unfold(3, weight.shape[3], stride[0]"),
    ("gather_windows", "channel, row, column, stride[0]", "channel, column, row, stride[0]"),
    ("scatter_windows", ".add_(windows[:, i, j])", ".copy_(windows[:, i, j])"),
    ("convolve", "weight.flatten(1), windows", "weight.flip(3).flatten(1), windows"),
    ("Convolution2d", "if bias else None", "if True else None"),
    ("AveragePooling2d", "total / math.prod(self.window)", "total / self.window[0]"),
    ("MaxPooling2d", "windows.amax((1, 2))", "windows.mean((1, 2))"),
    ("ScaledTanh", "2 / 3 * a", "3 / 2 * a"),
    ("TrainableSubsampling2d", "return total * self", "return total / 4 * self"),
    ("PartialConvolution2d", "self.inputs), self", "5 - self.inputs), self"),
    ("RadialBasisOutput", "** 2).sum(2)", "** 2).mean(2)"),
    ("discriminative_loss", "-rubbish)", "rubbish)"),
    ("lenet5", "model.C3.bias /= of_maps", "pass"),
    ("train", "optimizer.zero_grad()", "pass"),
]  # fmt: skip


@pytest.mark.parametrize("name, right, wrong", WRONG)
def test_an_error_planted_into_an_answer_is_caught(name, right, wrong):
    names = run(*IMPORTED, *PAGE, replace={right: wrong})
    with pytest.raises(CheckError):
        getattr(checks.custom_lenet5, name)(names[name])


def test_the_code_in_the_exercises_answers_runs(network, capsys):
    notebook = json.loads((ROOT / "notebooks" / f"{NOTEBOOK}.ipynb").read_text(encoding="utf-8"))
    (cell,) = (c for c in notebook["cells"] if c["id"] == "exercises")
    text = "".join(cell["source"])
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = dict(network)
    for block in blocks:
        exec(block, names)
    assert len(blocks) >= 6 and text.count("<details>") >= 6
    assert capsys.readouterr().out.count("✓") >= 9


# --- The optimiser of the paper


def test_curvatures_are_exact_in_the_last_layer(network):
    torch.manual_seed(0)
    model = network["lenet5"]().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 4  # so that the signal arrives
    model.output.codes = model.output.codes.double()
    X = network["prepare"](network["train_images"][:3]).double()
    names = [name for name, _ in model.named_parameters()]
    found = dict(zip(names, network["curvatures"](model, X), strict=True))
    for parameter, h in zip(model.parameters(), found.values(), strict=True):
        assert h.shape == parameter.shape and (h >= 0).all()

    def loss(state):
        return network["discriminative_loss"](model.output(state[None]), torch.tensor([4]))

    inputs = model[:-3](X)
    sums = model.F6(inputs).detach()
    hessians = torch.stack(
        [torch.autograd.functional.hessian(loss, model.squash6(a)).diagonal() for a in sums]
    )
    slopes = 1.7159 * 2 / 3 * (1 - torch.tanh(2 / 3 * sums) ** 2)
    of_sums = hessians * slopes**2
    torch.testing.assert_close(found["F6.bias"], of_sums.mean(0))
    weights = (of_sums[:, :, None] * inputs[:, None] ** 2).mean(0)
    torch.testing.assert_close(found["F6.weight"], weights)


def test_curvatures_of_shared_weights_are_summed_over_their_places(network):
    # C5 has one place; C1 and a constant image have 28 · 28 equal ones.
    torch.manual_seed(0)
    model = network["lenet5"]()
    h = dict(
        zip(
            dict(model.named_parameters()),
            network["curvatures"](model, torch.ones(1, 1, 32, 32)),
            strict=True,
        )
    )
    torch.testing.assert_close(h["C1.weight"], h["C1.bias"][:, None, None, None].expand(6, 1, 5, 5))


def test_levenberg_divides_by_the_curvature_and_measures_once_an_epoch(network):
    p = nn.Parameter(torch.tensor([1.0, 2.0]))
    measured = []

    def curvatures():
        measured.append(1)
        return [torch.tensor([0.0, 0.08])]

    optimizer = network["StochasticDiagonalLM"]([p], 0.1, curvatures, every=2, mu=0.02)
    for _ in range(3):
        p.grad = torch.tensor([0.01, 0.01])
        optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor([1 - 3 * 0.05, 2 - 3 * 0.01]))
    assert len(measured) == 2


# --- The experiments


def test_both_loops_take_the_same_steps(network):
    assert network["run"].results["loops"]["difference"] < 1e-3
    names = run("parameters", "setup", *PAGE, "counts", "variants")
    with pytest.raises(CheckError):
        execute(NOTEBOOK, "same-steps", **names | {"train": broken(names["train"])})


def broken(train):
    def other(*arguments, schedule, **settings):
        return train(*arguments, schedule=lambda step: schedule(step) / 2, **settings)

    return other


def test_distorted_images_differ_a_little(network):
    images = network["train_images"][:50]
    moved = network["distort"](images, torch.Generator().manual_seed(0))
    assert moved.dtype == torch.uint8 and moved.shape == images.shape
    assert torch.equal(moved, network["distort"](images, torch.Generator().manual_seed(0)))
    ink = images.float().sum((1, 2, 3)), moved.float().sum((1, 2, 3))
    assert (ink[1] / ink[0] - 1).abs().median() < 0.2
    assert (moved != images).flatten(1).any(1).float().mean() > 0.9


def fitted(names, case="paper", number=0, epochs=1, **watched):
    return names["fit"](
        names["CASES"][case], 0.004, epochs, number, names["fit_set"], names["validation_set"],
        watched,
    )  # fmt: skip


@pytest.mark.parametrize("case", ["paper", "one fixed order", "Levenberg–Marquardt"])
def test_the_same_seed_trains_the_same_network(network, case):
    first, again, other = (fitted(network, case, number) for number in (3, 3, 4))
    for name, value in first["state"].items():
        np.testing.assert_array_equal(value, again["state"][name])
    assert any((value != other["state"][name]).any() for name, value in first["state"].items())


def test_the_ledger_s_entries_are_paired_with_the_paper_s_network(network):
    paper = fitted(network)
    # The first step sees the same images and weights, so its loss is the same.
    for case in ("Levenberg–Marquardt", "momentum", "one fixed order"):
        assert fitted(network, case)["losses"][0] == pytest.approx(paper["losses"][0], rel=1e-4)


def test_a_fixed_order_is_the_same_in_every_epoch(network):
    seen = []
    names = {**network, "train": lambda *a, **k: seen.append(k["generator"].initial_seed()) or
             [torch.zeros(())]}  # fmt: skip
    fit = execute(NOTEBOOK, "fit", "ledger-cases", **names)
    for case in ("one fixed order", "Levenberg–Marquardt"):
        fitted(fit, case, epochs=3)
    assert seen[0] == seen[1] == seen[2] == seen[3] and len(set(seen[3:])) == 3


def test_a_training_that_diverges_counts_as_the_worst(network, monkeypatch):
    def diverges(*_, **__):
        raise training.TrainingDiverged("x", 3, math.nan, "", training.History())

    monkeypatch.setattr(training, "train", diverges)
    assert fitted(network)["error"] == 1.0


def test_validation_images_are_not_trained_on(network):
    fit, validation = set(network["fit_rows"].tolist()), set(network["validation_rows"].tolist())
    assert fit.isdisjoint(validation)
    assert len(fit | validation) == len(network["train_labels"])


def test_a_search_goes_on_until_the_best_rate_is_inside(network):
    asked = []
    best = {"paper": 0.001, "momentum": 0.05}

    def side_by_side(what, jobs):
        asked.extend(jobs)
        errors = [
            # Rates that are much too large fail, the largest of them by chance the least.
            0.9 - rate if rate > 3 * best[name] else abs(math.log(rate / best[name])) / 50
            for name, rate, *_ in jobs
        ]
        return [{"error": error} for error in errors]

    names = {**network, "most_rates": 12, "job": lambda *a: a, "side_by_side": side_by_side}
    names = execute(NOTEBOOK, "select", **names | {"CASES": {n: network["CASES"][n] for n in best}})
    for name, errors in names["selection"].items():
        assert list(errors) == sorted(errors)
        assert min(errors) < names["best_rate"][name] < max(errors)
        assert names["best_rate"][name] == pytest.approx(best[name], rel=0.5)
    assert {number for *_, number, _, _ in asked} == {0}


def test_what_spreads_otherwise_has_no_part_in_the_limit(network):
    names = execute(NOTEBOOK, "select", "compare", **network | {
        "job": lambda *a, **k: a, "side_by_side": lambda what, jobs: [
            {"error": {"paper": 0.010, "ReLU, 1998": 0.05}.get(name, 0.011) + 0.0001 * (number % 3),
             "seconds": 1.0} for name, _, _, number, *_ in jobs],
    })  # fmt: skip
    comparison = names["comparison"]
    assert ("ReLU, 1998", "paper") not in comparison.differences
    assert comparison.mean("plain mean", "paper") == pytest.approx(0.001)
    assert ("plain maximum", "plain mean") in comparison.differences


@pytest.mark.filterwarnings("ignore:.*non-interactive.*")
def test_a_training_that_an_interrupted_run_had_finished_is_taken_over(network, capsys):
    def trained():
        return network["side_by_side"]("one", [network["job"](
            "modern reading", 0.004, 1, 0, network["fit_set"], network["validation_set"]
        )])[0]  # fmt: skip

    first = trained()
    for held in list(checkpoints._held.values()):  # as when the process ends
        checkpoints._give_up(held._lock)
    checkpoints._held.clear()
    second = trained()
    assert "1 taken over from" in capsys.readouterr().out
    assert first["error"] == second["error"]
    np.testing.assert_array_equal(first["losses"], second["losses"])


# --- Parameters, and the notebook as a whole


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"num_epochs": 0}, "num_epochs = 0: it must be a whole number of at least 1"),
        ({"comparison_epochs": 1.5}, "comparison_epochs = 1.5: "),
        ({"selection_epochs": 0}, "selection_epochs = 0: "),
        ({"num_seeds": 1}, "num_seeds = 1: "),
        ({"ledger_seeds": 3}, "ledger_seeds = 3: .* at most 2, the number of seeds"),
        ({"batch_size": 10_000}, "batch_size = 10000: .* the number of images to train on"),
        ({"learning_rates": []}, r"learning_rates = \[\]: "),
        ({"learning_rates": [0.1, -1]}, r"learning_rates\[1\] = -1: "),
        ({"newton_rates": [0.2, 0.1]}, r"newton_rates = \[0.2, 0.1\]: .* a list that increases"),
        ({"momentum_rates": [0.1, 0.1]}, "momentum_rates = .* a list that increases"),
        ({"most_rates": 0}, "most_rates = 0: "),
        ({"validation_fraction": 0.6}, "validation_fraction = 0.6: "),
        ({"workers": 0}, "workers = 0: "),
        ({"seed": 2**32 - 1}, "seed = 4294967295: .* the last of the 2 seeds is valid"),
        ({"dataset": "cifar10"}, "dataset = 'cifar10': "),
        ({"device": "abacus"}, "device = 'abacus': "),
        ({"output_folder": " "}, "output_folder = ' ': "),
    ],
)
def test_a_parameter_out_of_range_is_named(changes, sentence):
    with pytest.raises(ParameterError, match=sentence):
        run("parameters", "setup", **changes)


@pytest.mark.filterwarnings("ignore:.*non-interactive.*")
def test_the_whole_notebook_runs_and_records_its_results(tmp_path):
    cells = [cell_id for cell_id in code_cells() if cell_id != "bootstrap"]
    whole = run(*cells, output_folder=str(tmp_path / "out"))
    results = whole["run"].results
    json.dumps(results, allow_nan=False)
    paper = results["paper"]
    assert paper["trainable_parameters"] == 60_000
    assert paper["test_accuracy"] == pytest.approx(sum(paper["test_accuracies"]) / 2)
    assert paper["mean_low"] <= paper["test_error"] <= paper["mean_high"]
    assert set(results["variants"]) == set(whole["VARIANTS"])
    assert set(results["ledger"]) == {"paper", *whole["LEDGER"]}
    assert results["networks"]["LeNet5"]["bytes"] > 100_000
    # The recorded accuracy is that of the network that the figures show.
    scores = whole["predict"](whole["lenet"], whole["test_images"])
    right = (scores.argmax(1) == whole["test_labels"]).double().mean()
    assert paper["test_accuracies"][0] == pytest.approx(right.item())
    assert whole["matrix"].sum() == len(whole["test_labels"])
    assert not list((tmp_path / "out").rglob("*.pt")), "checkpoints are left"
