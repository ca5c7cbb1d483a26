"""LeNet-5 with own layers: the layers against PyTorch's, the network against the paper, the rules.

What is executed here are the cells of the published notebook, by their ids.
"""

import ast
import json
import re
from itertools import product
from types import SimpleNamespace

import matplotlib as mpl
import pytest
import torch
import torch.nn.functional as F
from cells import ROOT, execute, source
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.checks import CheckError
from helpers.parameters import ParameterError

NOTEBOOK = "custom_lenet5"
START = ("parameters", "setup", "run", "prepare", "data")
CONVOLUTION = ("output-size", "seen-by", "windows", "settings", "convolve", "convolution")
LAYERS = (*CONVOLUTION, "window-sum", "pooling")
PARTS = ("squashing", "connections", "partial-convolution", "codes", "radial-basis")
NETWORK = (
    *START, *LAYERS, *PARTS, "build", "initialise", "variants", "counts", "all-variants",
)  # fmt: skip
SMALL = {
    "dataset": "stand-in",
    "num_epochs": 1,
    "num_seeds": 2,
    "batch_size": 100,
    "learning_rates": [0.002, 0.01],
    "selection_epochs": 1,
    "threads": 1,
}


def run(*cells: str, **options) -> dict[str, object]:
    return execute(NOTEBOOK, *cells, **{**SMALL, **options})


@pytest.fixture(scope="module")
def network() -> dict[str, object]:
    return run(*NETWORK)


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
    "helpers": {"checks", "data", "figures", "parameters", "runtime", "training"},
    "IPython.display": {"Markdown", "display"},
    "itertools": {"product"},
    "math": set(),
    "matplotlib.patches": {"Rectangle"},
    "matplotlib.pyplot": set(),
    "numpy": set(),
    "pathlib": {"Path"},
    "torch": {"nn"},
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
    for variant in network["variants"]:
        assert executed(variant.build()) == set(), variant.name


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
    assert_same(gradients(network["MaxPooling2d"]()(X), X), gradients(nn.MaxPool2d(2)(X), X))


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
    assert network["paper"].build()(X).shape == (0, 10)
    assert network["modern"].build()(X).shape == (0, 10)


@pytest.mark.parametrize(
    "arguments, settings",
    [((1, 6, 5), {}), ((2, 3, (2, 3)), {"stride": 2, "padding": (0, 1), "bias": False}),
     ((2, 3, 3), {"padding": 1})],
)  # fmt: skip
def test_layers_print_themselves_as_pytorch_s(network, arguments, settings):
    ours = repr(network["Convolution2d"](*arguments, **settings))
    assert ours.replace("Convolution2d", "Conv2d") == repr(nn.Conv2d(*arguments, **settings))
    for pooling in [(2,), (3, 2), ((2, 3), (1, 2), (1, 1))]:
        ours = repr(network["AveragePooling2d"](*pooling))
        assert ours.replace("AveragePooling2d", "AvgPool2d") == repr(nn.AvgPool2d(*pooling))


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
    for module in (layer, pooling, network["TrainableSubsampling2d"](3), network["MaxPooling2d"]()):
        with pytest.raises(ValueError, match=r"shape \(3, 8, 8\); it must be \[batch, channels"):
            module(torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="the input has 2 channels; it must have 3"):
        layer(torch.zeros(1, 2, 8, 8))
    words = "a window of 5 pixels does not fit into a side of 4 pixels with padding 0"
    with pytest.raises(ValueError, match=words):
        layer(torch.zeros(1, 3, 8, 4))
    with pytest.raises(ValueError, match="window of 4 pixels .* side of 3 pixels .* at most 3"):
        pooling(torch.zeros(1, 3, 3, 8))
    with pytest.raises(ValueError, match="padding = 2: it must be at most half of kernel_size = 3"):
        network["AveragePooling2d"](3, padding=2)


def test_the_size_rule_equals_pytorch_s(network):
    for n, k, s, p in product(range(1, 12), range(1, 7), range(1, 5), range(4)):
        if n + 2 * p >= k:
            expected = F.conv2d(torch.zeros(1, 1, n, n), torch.zeros(1, 1, k, k), None, s, p)
            assert network["output_size"](n, k, s, p) == expected.shape[2]


# --- LeNet-5 as it was published ---


def test_parameters_are_the_paper_s_layer_by_layer(network):
    counts = network["layer_counts"](network["paper"].build())
    assert {name: count for name, count in counts.items() if count} == {
        "C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48120, "F6": 10164,
    }  # fmt: skip
    counts = network["layer_counts"](network["modern"].build())
    assert {name: count for name, count in counts.items() if count} == {
        "C1": 156, "C3": 2416, "C5": 48120, "F6": 10164, "output": 850,
    }  # fmt: skip
    assert network["run"].results["paper"]["trainable_parameters"] == 60_000


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
    model = network["paper"].build().double()
    X, labels = double(3, 1, 32, 32), torch.tensor([3, 0, 9])

    def squash(a):
        return 1.7159 * torch.tanh(2 * a / 3)

    def subsample(X, layer):
        mean = F.avg_pool2d(X, 2) * 4
        return squash(mean * layer.coefficient.view(-1, 1, 1) + layer.bias.view(-1, 1, 1))

    kernels = torch.zeros(16, 6, 5, 5, dtype=torch.double)
    kernels[network["CONNECTED"]] = model.C3.weight
    state = subsample(squash(F.conv2d(X, model.C1.weight, model.C1.bias)), model.S2[0])
    state = subsample(squash(F.conv2d(state, kernels, model.C3.bias)), model.S4[0])
    state = squash(F.conv2d(state, model.C5.weight, model.C5.bias)).flatten(1)
    state = squash(F.linear(state, model.F6.weight, model.F6.bias))
    distances = torch.cdist(state, network["codes"].double()).square()
    terms = torch.cat([-distances, torch.full((3, 1), -network["RUBBISH"])], 1).exp().sum(1).log()
    loss = (distances[torch.arange(3), labels] + terms).mean()
    scores = model(X)
    torch.testing.assert_close(scores, -distances, rtol=1e-9, atol=1e-9)
    got = network["discriminative_loss"](scores, labels)
    assert_same(gradients(got, X, *model.parameters()), gradients(loss, X, *model.parameters()))


def test_initial_weights_follow_the_paper_s_rule(network):
    torch.manual_seed(0)
    model = network["paper"].build()
    for layer, fan_in in [(model.C1, 25), (model.C5, 400), (model.F6, 120)]:
        bound = 2.4 / fan_in
        assert 0.9 * bound < layer.weight.abs().max() <= bound
    sees_all = model.C3.outputs == 15
    assert 0.9 * 2.4 / 150 < model.C3.weight[sees_all].abs().max() <= 2.4 / 150
    assert 0.9 * 2.4 / 75 < model.C3.weight[model.C3.outputs < 6].abs().max() <= 2.4 / 75
    subsampling = torch.cat([model.S2[0].coefficient, model.S4[0].coefficient])
    assert 0.4 < subsampling.abs().max() <= 0.6
    relu = {variant.name: variant for variant in network["variants"]}["ReLU"].build()
    assert 0.9 * (6 / 25) ** 0.5 < relu.C1.weight.abs().max() <= (6 / 25) ** 0.5
    assert relu.S2[0].coefficient.tolist() == [0.25] * 6 and not relu.S2[0].bias.any()


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
    model = network["paper"].build()
    assert "codes" not in dict(model.named_parameters())


def test_the_loss_pushes_near_wrong_classes_away_and_leaves_far_ones(network):
    scores = torch.tensor([[-2.0, -3.0, -200.0]], dtype=torch.double, requires_grad=True)
    network["discriminative_loss"](scores, torch.tensor([0])).backward()
    right, near, far = scores.grad[0].tolist()
    assert right < 0 < near and abs(far) < 1e-12


def test_each_variant_changes_one_thing(network):
    def parts(variant):
        return [repr(layer) for layer in variant.build()]

    paper = parts(network["paper"])
    names = list(dict(network["paper"].build().named_children()))
    changed = {
        v.name: {names[i] for i, part in enumerate(parts(v)) if part != paper[i]}
        for v in network["variants"]
    }
    assert changed["paper"] == set()
    assert changed["full connections"] == {"C3"}
    assert changed["average pooling"] == changed["max pooling"] == {"S2", "S4"}
    assert changed["ReLU"] == {"squash1", "S2", "squash3", "S4", "squash5"}
    assert changed["linear output"] == {"output"}
    everything = {"squash1", "S2", "C3", "squash3", "S4", "squash5", "squash6", "output"}
    assert changed["modern reading"] == changed["modern, max pooling"] == everything


# --- The check cells catch wrong answers ---

BEFORE_CHECK = {
    "prepare-check": START[:-1],
    "output-size-check": ("output-size",),
    "seen-by-check": ("seen-by",),
    "convolution-check": CONVOLUTION,
    "grid-check": CONVOLUTION,
    "pooling-check": LAYERS,
    "parts-check": (*LAYERS, *PARTS[:3]),
    "radial-basis-check": (*LAYERS, *PARTS),
    "counts-check": NETWORK[:-1],
    "all-variants-check": NETWORK,
}
WRONG = [
    ("prepare-check", "return padded.float() *", "return padded.double() *"),
    ("prepare-check", "padded[:, :, 2:30, 2:30] = images", "padded[:, :, 1:29, 2:30] = images"),
    ("prepare-check", "/ 255) + BACKGROUND", "/ 255)"),
    ("prepare-check", "BACKGROUND, INK = -0.1, 1.175", "BACKGROUND, INK = -0.1, 1.0"),
    ("output-size-check", "room // stride + 1", "room // stride"),
    ("output-size-check", "room // stride + 1", "-(-room // stride) + 1"),
    ("output-size-check", "size + 2 * padding - kernel_size", "size + padding - kernel_size"),
    ("seen-by-check", "return X[:, rows, columns]", "return X[:, columns, rows]"),
    ("seen-by-check", "return X[:, rows, columns]", "return X[:, rows, columns].clone()"),
    ("seen-by-check", "slice(i, i +", "slice(j, j +"),
    ("convolution-check", ".add_(grad_windows[:, i, j])", ".copy_(grad_windows[:, i, j])"),
    ("convolution-check", "stride[0] * row, stride[1] * column", "row, column"),
    ("convolution-check", "channel, row, column, stride[0]", "channel, column, row, stride[0]"),
    ("convolution-check", "torch.addmm(bias[:, None], kernels", "torch.mm(kernels"),
    ("convolution-check", "rows : rows + height, columns :", "0:height, columns :"),
    ("convolution-check", "weight.flatten(1), windows", "weight.flip(3).flatten(1), windows"),
    ("grid-check", "self.padding = pair(\"padding\", padding, 0)", "self.padding = (0, 0)"),
    ("pooling-check", "total / math.prod(self.window)", "total / self.window[0]"),
    ("pooling-check", "total += seen_by", "total -= seen_by"),
    ("pooling-check", ".add_(grad_total)", ".copy_(grad_total)"),
    ("pooling-check", "X = pad(batch_last(X), self.frame)", "X = batch_last(X)"),
    ("parts-check", "1.7159 * torch.tanh", "1.7 * torch.tanh"),
    ("parts-check", "2 / 3 * a", "3 / 2 * a"),
    ("parts-check", "self.coefficient[:, None, None] +", "self.coefficient[:, None, None] / 4 +"),
    ("parts-check", "X...XXX..XXXX.XX", "XX..XX...XXXX.XX"),
    ("parts-check", "(self.outputs, self.inputs), self", "(self.outputs, 5 - self.inputs), self"),
    ("radial-basis-check", "return -((X[:, None]", "return ((X[:, None]"),
    ("radial-basis-check", "** 2).sum(2)", "** 2).mean(2)"),
    ("radial-basis-check", "torch.cat([scores, rubbish], 1).logsumexp(1)", "scores.logsumexp(1)"),
    ("radial-basis-check", "-RUBBISH)", "RUBBISH)"),
    ("radial-basis-check", "[:, 0]).mean()", "[:, 0]).sum()"),
    ("counts-check", 'register_buffer("codes", codes, persistent=False)',
     "codes = nn.Parameter(codes)"),
    ("counts-check", "PartialConvolution2d(CONNECTED, 5)", "Convolution2d(6, 16, 5)"),
    ("counts-check", "lambda fan_in: 2.4 / fan_in", "lambda fan_in: 24 / fan_in"),
    ("all-variants-check", "windows.amax((1, 2))", "windows.mean((1, 2))"),
]  # fmt: skip


@pytest.mark.parametrize("cell_id", BEFORE_CHECK)
def test_checks_pass_on_the_answers(cell_id, capsys):
    needed = BEFORE_CHECK[cell_id]
    start = () if needed[0] == START[0] else START
    run(*start, *(c for c in needed if c not in start), cell_id)
    assert "✓" in capsys.readouterr().out


@pytest.mark.parametrize("cell_id, right, wrong", WRONG)
def test_checks_catch_wrong_answers(cell_id, right, wrong):
    needed = BEFORE_CHECK[cell_id]
    start = () if needed[0] == START[0] else START
    cells = (*start, *(c for c in needed if c not in start), cell_id)
    # Some planted errors PyTorch itself finds, by shapes that do not match.
    with pytest.raises((CheckError, RuntimeError)):
        run(*cells, replace={right: wrong})


# --- The notebook as a whole ---


@pytest.mark.parametrize(
    "name, value",
    [("num_epochs", 0), ("num_seeds", 0), ("batch_size", 0), ("batch_size", 10_000),
     ("learning_rates", []), ("learning_rates", [0.1, -1]), ("selection_epochs", 1.5),
     ("validation_fraction", 0), ("validation_fraction", 0.6), ("seed", -1), ("threads", 0),
     ("dataset", "cifar10"), ("device", "abacus"), ("output_folder", " ")],
)  # fmt: skip
def test_a_parameter_out_of_range_is_named(name, value):
    with pytest.raises(ParameterError, match=name):
        run("parameters", "setup", "run", **{name: value})


def run_whole(folder, **options) -> dict[str, object]:
    """Execute every code cell but the bootstrap, without a window for the figures."""
    mpl.use("Agg")
    cells = [cell_id for cell_id in code_cells() if cell_id != "bootstrap"]
    namespace = run(*cells, output_folder=str(folder), **options)
    mpl.pyplot.close("all")
    return namespace


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("lenet5")
    return run_whole(folder) | {"folder": folder}


@pytest.mark.filterwarnings("ignore:.*non-interactive.*")
def test_the_whole_notebook_runs_and_records_its_results(whole):
    results = whole["run"].results
    json.dumps(results, allow_nan=False)
    paper = results["paper"]
    assert paper["trainable_parameters"] == 60_000
    assert paper["test_accuracy"] == pytest.approx(sum(paper["test_accuracies"]) / 2)
    assert paper["learning_rate"] in SMALL["learning_rates"]
    assert set(results["variants"]) == set(whole["outcomes"])
    for variant in results["variants"].values():
        assert len(variant["test_accuracies"]) == SMALL["num_seeds"]
        assert variant["test_error"] == pytest.approx(1 - variant["test_accuracy"])
    # The recorded accuracy is that of the network that the figures show.
    scores = whole["predict"](whole["lenet"], whole["test_images"])
    right = (scores.argmax(1) == whole["test_labels"]).double().mean()
    assert paper["test_accuracies"][0] == pytest.approx(right.item())
    assert whole["matrix"].sum() == len(whole["test_labels"])
    assert not list(whole["folder"].rglob("*.pt")), "checkpoints are left"


@pytest.mark.filterwarnings("ignore:.*non-interactive.*")
def test_one_seed_and_a_hopeless_rate_still_give_a_true_page(tmp_path, capsys):
    whole = run_whole(tmp_path, num_seeds=1, learning_rates=[1e-9])
    assert whole["run"].results["paper"]["test_error_deviation"] is None
    assert "says little" in whole["compare"]("ReLU")


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ((0.9920, 0.9914, 0.9881), "our mean is no worse"),  # 95 images; as floats, above 0.0095
        ((0.9905, 0.9910, 0.9899), "our best seed reaches it, our mean does not"),
        ((0.9904, 0.9904, 0.9904), "none of our seeds reaches"),
    ],
)
def test_the_verdict_on_the_paper_counts_whole_images(accuracies, words):
    errors = [1 - accuracy for accuracy in accuracies]
    names = {"outcomes": {"paper": SimpleNamespace(errors=errors)}, "test_labels": range(10_000)}
    names |= {"mnist": SimpleNamespace(is_real=True), "num_seeds": 3, "num_epochs": 1}
    names |= {"with_deviation": str, "percent": str, "display": print, "Markdown": str}
    assert words in execute(NOTEBOOK, "summary-words", **names)["verdict"]


@pytest.mark.parametrize(
    ("rates", "chosen", "words"),
    [
        ([1, 2, 3], {"a": 2, "b": 2}, ["No variant chose a rate at an end"]),
        ([1, 2, 3], {"a": 1, "b": 2, "c": 3}, ["At an end of the range for a, c:"]),
        ([1], {"a": 1}, []),
    ],
)
def test_a_choice_at_an_end_of_the_range_is_told(rates, chosen, words):
    shown = []
    names = {"learning_rates": rates, "chosen": chosen}
    execute(NOTEBOOK, "select-words", **names, display=shown.append, Markdown=str)
    assert len(shown) == len(words)
    assert all(word in text for word, text in zip(words, shown, strict=True))


def test_validation_images_are_not_trained_on(network):
    fit, validation = set(network["fit_rows"].tolist()), set(network["validation_rows"].tolist())
    assert fit.isdisjoint(validation)
    assert len(fit | validation) == len(network["train_labels"])


def test_the_same_seed_trains_the_same_network(network, tmp_path):
    network = run(*NETWORK, "train-network", output_folder=str(tmp_path))

    def train(seed):
        model, _ = network["train_network"](
            network["paper"], 0.002, 1, network["validation_set"], seed, name="twice",
            display_every=10, evaluation={"validation": network["validation_set"]},
        )  # fmt: skip
        for path in tmp_path.rglob("*.pt"):
            path.unlink()
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    first, again, other = train(3), train(3), train(4)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_words_follow_the_numbers(whole):
    names = {"errors": [0.01, 0.012], "seconds": [1.0, 1.0], "model": None}
    Outcome, compare = whole["Outcome"], whole["compare"]
    outcomes = compare.__globals__["outcomes"]
    before = dict(outcomes)
    try:
        outcomes["paper"] = Outcome(**names)
        outcomes["ReLU"] = Outcome(**names | {"errors": [0.05, 0.051]})
        assert "3.95 points worse, more than twice" in compare("ReLU")
        outcomes["ReLU"] = Outcome(**names | {"errors": [0.0105, 0.0111]})
        assert "0.02 points better, within twice" in compare("ReLU")
        outcomes["ReLU"] = Outcome(**names)
        assert "0.00 points apart" in compare("ReLU")
    finally:
        outcomes.update(before)
