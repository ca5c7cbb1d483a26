"""The page "Draw a digit": its script is joined well, and its networks compute as the chapters do.

The script's own tests are in tests/draw, for node's test runner; the page as a reader meets it is
in tests/test_draw_page.py. What needs node is skipped without it.
"""

import gzip
import importlib.util
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from catalogue import Project
from cells import ROOT, execute
from torch import nn

from helpers import convnet, data, numpy_layers, weights
from helpers.checks.custom_lenet5 import reference as lenet5

SOURCES = ROOT / "book" / "_draw"
TESTS = ROOT / "tests" / "draw"
NODE = shutil.which("node")
NEEDS_NODE = pytest.mark.skipif(not NODE, reason="node is not installed")
BIOME = ROOT / "node_modules" / ".bin" / "biome"
NETWORKS = ("custom_lenet5-LeNet5", "numpy_lenet-LeNet", "hw7-M_avg", "hw7-M_max")  # as shown
HEADER = {"notebook": "none", "network": "random", "date": "2026-11-28"}
LIMIT = 700_000  # bytes that a reader's browser may have to load for the page, compressed


def draw_extension():
    """Return the Sphinx extension that makes the page's script."""
    spec = importlib.util.spec_from_file_location("draw", ROOT / "book" / "_ext" / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


draw = draw_extension()


def page_modules():
    return {path.stem: path.read_text(encoding="utf-8") for path in SOURCES.glob("*.js")}


def node(*arguments, **options):
    """Run node and return what it printed."""
    run = subprocess.run([NODE, *map(str, arguments)], capture_output=True, text=True, **options)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


# --- The script -----------------------------------------------------------------------------------


@NEEDS_NODE
def test_the_scripts_own_tests_pass():
    node("--test", *sorted(TESTS.glob("*.test.js")))


@pytest.mark.skipif(not BIOME.exists(), reason="biome is not installed: npm install")
def test_the_script_is_formatted_and_linted():
    run = subprocess.run([BIOME, "check"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_modules_are_joined_in_the_order_in_which_they_need_each_other():
    modules = {
        "page": 'import { b } from "./b.js";\nimport {\n  a,\n} from "./a.js";\n\nb(a);\n',
        "b": 'import { a } from "./a.js";\nexport function b() {\n  return a;\n}\n',
        "a": "export const a = 1;\n",
        "unused": "nonsense",
    }
    script = draw.bundle(modules, "page")
    assert "import" not in script and "export" not in script and "nonsense" not in script
    assert script.index("const a") < script.index("function b") < script.index("b(a);")
    assert script.startswith('"use strict";\n(() => {')


@pytest.mark.parametrize(
    "modules, message",
    [
        ({"page": 'import { a } from "./a.js";\n'}, "page.js imports a.js, which does not exist"),
        ({"page": 'import a from "./a.js";\n', "a": ""}, "is no form that can be joined"),
        ({"page": "export default 1;\n"}, "is no form that can be joined"),
        ({"page": 'export { a } from "./a.js";\n', "a": ""}, "is no form that can be joined"),
        (
            {"page": 'import { b } from "./a.js";\nconst c = 1;\n', "a": "export class c {}\n"},
            "a.js and page.js both declare c",
        ),
        (
            {"page": 'import { b } from "./a.js";\n', "a": 'import { c } from "./page.js";\n'},
            "modules import each other: page → a → page",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused(modules, message):
    with pytest.raises(draw.BundleError, match=message.replace(".", r"\.")):
        draw.bundle(modules, "page")


@NEEDS_NODE
def test_the_joined_script_is_javascript(tmp_path):
    path = tmp_path / "draw.js"
    path.write_text(draw.bundle(page_modules(), "page"), encoding="utf-8")
    node("--check", path)


def test_every_module_says_what_it_is_for_and_is_used():
    script = draw.bundle(page_modules(), "page")
    for name, source in page_modules().items():
        assert source.startswith("/**"), name
        assert f"// {name}.js\n" in script, name


@NEEDS_NODE
def test_a_network_reaches_the_page_as_its_bytes(tmp_path):
    file = weights.pack(HEADER, {"w": np.eye(3)})
    script = "globalThis.networkFiles = {};\n" + draw.network_script("some", file)
    script += 'process.stdout.write(Buffer.from(networkFiles.some, "base64").toString("hex"));'
    (tmp_path / "some.cjs").write_text(script, encoding="utf-8")
    assert node(tmp_path / "some.cjs") == file.hex()


# --- The networks, against the chapters' own layers -----------------------------------------------


def numpy_lenet_reference(arrays, images):
    """Return the stages of the NumPy LeNet `[n, …]` for images `[n, 784]`, and probabilities."""
    imports = {
        "np": np,
        "convnet": convnet,
        "numpy_layers": numpy_layers,
        "batch_size": len(images),
    }
    nb = execute(
        "numpy_lenet", "q1-pooling-forward", "q2-relu-forward", "q3-inner-product-forward",
        "q4-pooling-backward", "q5-relu-backward", "q6-inner-product-backward", "functions",
        "lenet", **imports,
    )  # fmt: skip
    params = {i: {key: arrays[f"{i}.{key}"] for key in "wb"} for i in (2, 4, 6, 8)}
    layers, functions = nb["layers"], nb["functions"]
    output = convnet.conv_net_forward(params, layers, images.T, functions)
    stages = [output[i]["data"].T for i in (2, 3, 4, 5, 7)]
    scores = params[8]["w"] @ output[7]["data"] + params[8]["b"][:, np.newaxis]
    return [*stages, scores.T, convnet.predict(params, layers, images.T, functions).T]


def hw7_reference(pooling):
    """Return what computes the stages of M_avg or M_max, and the probabilities."""

    def reference(arrays, images):
        model = execute("hw7", "network", nn=nn)["LeNet5"](pooling)
        state = {name: torch.from_numpy(array) for name, array in arrays.items()}
        model.load_state_dict(state)
        X, stages = torch.from_numpy(images), []
        for layer in model.network:
            X = layer(X)
            stages.append(X)
        shown = [stages[i] for i in (2, 3, 5, 6, 9, 11, 12)]
        return [*shown, shown[-1].softmax(1)]

    return reference


def lenet5_reference(arrays, images):
    """Return the stages of LeNet-5 of 1998, and the probabilities, "none of these" the last."""
    own = {name: torch.from_numpy(array) for name, array in arrays.items()}
    squash = lenet5.ScaledTanh()
    # The page turns what a reader draws into the network's input; the chapter turns bytes.
    X = nn.functional.pad(torch.from_numpy(images).view(-1, 1, 28, 28), (2, 2, 2, 2))
    C1 = squash(lenet5.convolve(X * 1.275 - 0.1, own["C1.weight"], own["C1.bias"]))
    S2 = squash(lenet5.subsample(C1, own["S2.coefficient"], own["S2.bias"]))
    kernels = lenet5.spread(own["C3.weight"], own["connected"].bool())
    C3 = squash(lenet5.convolve(S2, kernels, own["C3.bias"]))
    S4 = squash(lenet5.subsample(C3, own["S4.coefficient"], own["S4.bias"]))
    C5 = squash(lenet5.convolve(S4, own["C5.weight"], own["C5.bias"]))
    F6 = squash(nn.functional.linear(C5.flatten(1), own["F6.weight"], own["F6.bias"]))
    scores = lenet5.score(F6, own["codes"])
    rubbish = torch.full((len(scores), 1), -10.0)
    return [C1, S2, C3, S4, C5, F6, -scores, torch.cat([scores, rubbish], 1).softmax(1)]


REFERENCES = {
    "numpy_lenet-LeNet": numpy_lenet_reference,
    "custom_lenet5-LeNet5": lenet5_reference,
    "hw7-M_avg": hw7_reference("avg"),
    "hw7-M_max": hw7_reference("max"),
}
SHAPES = {
    "numpy_lenet-LeNet": {
        **{"2.w": (20, 25), "2.b": (20,), "4.w": (50, 500), "4.b": (50,)},
        **{"6.w": (500, 800), "6.b": (500,), "8.w": (10, 500), "8.b": (10,)},
    },
    "custom_lenet5-LeNet5": {
        **{"C1.weight": (6, 1, 5, 5), "C1.bias": (6,), "S2.coefficient": (6,), "S2.bias": (6,)},
        **{"C3.weight": (60, 5, 5), "C3.bias": (16,), "S4.coefficient": (16,), "S4.bias": (16,)},
        **{"C5.weight": (120, 16, 5, 5), "C5.bias": (120,), "F6.weight": (84, 120)},
        **{"F6.bias": (84,)},
    },
}
SHAPES["hw7-M_avg"] = SHAPES["hw7-M_max"] = {
    **{"network.1.weight": (6, 1, 5, 5), "network.1.bias": (6,)},
    **{"network.4.weight": (16, 6, 5, 5), "network.4.bias": (16,)},
    **{"network.8.weight": (120, 400), "network.8.bias": (120,)},
    **{"network.10.weight": (84, 120), "network.10.bias": (84,)},
    **{"network.12.weight": (10, 84), "network.12.bias": (10,)},
}


def random_network(name):
    """Return the file of a network whose weights are random, of the size that trained ones have."""
    rng = np.random.default_rng(0)
    arrays = {
        key: rng.uniform(-1, 1, size=shape) * (3 / max(np.prod(shape[1:]), 3)) ** 0.5
        for key, shape in SHAPES[name].items()
    }
    if name != "custom_lenet5-LeNet5":
        return weights.pack(HEADER, arrays, 8)
    arrays["codes"] = rng.choice([-1.0, 1.0], size=(10, 84))
    arrays["connected"] = rng.permutation(np.arange(16 * 6) < 60).reshape(16, 6)  # as many as there
    return weights.pack(HEADER, arrays, 16)


def computed_by_the_page(path, images, tmp_path, *only):
    """Return what the page's script makes of images `[n, 784]`: numbers `[n, …]`, and the ms."""
    given, out = tmp_path / "images", tmp_path / "out"
    given.write_bytes(images.astype("<f4").tobytes())
    milliseconds = float(node(TESTS / "forward.js", path, given, out, *only))
    return np.fromfile(out, "<f4").reshape(len(images), -1), milliseconds


def assert_as_the_chapter_computes(path, images, tmp_path):
    _, arrays = weights.unpack(path.read_bytes())
    with torch.no_grad():
        stages = REFERENCES[path.stem](arrays, images)
    got, _ = computed_by_the_page(path, images, tmp_path)
    start = 0
    for number, stage in enumerate(stages):
        expected = np.asarray(stage).reshape(len(images), -1)
        end = start + expected.shape[1]
        scale = max(1.0, np.abs(expected).max())
        error = np.abs(got[:, start:end] - expected).max() / scale
        assert error <= 1e-4, f"stage {number} of {path.stem} is off by {error:.1e}"
        start = end
    assert start == got.shape[1]


@NEEDS_NODE
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_computes_what_the_chapters_layer_does(name, tmp_path):
    path = tmp_path / f"{name}.bin"
    path.write_bytes(random_network(name))
    images = np.random.default_rng(1).uniform(size=(5, 784)).astype(np.float32)
    assert_as_the_chapter_computes(path, images, tmp_path)


# --- The published networks -----------------------------------------------------------------------


def published(name):
    path = Project().networks / f"{name}.bin"
    if not path.exists():
        pytest.skip(f"{path.name} is not published yet")
    return path


@pytest.fixture(scope="module")
def mnist():
    try:
        return data.mnist("mnist")
    except data.DataError:
        pytest.skip("the real MNIST is not here")


def as_drawn(images):
    return images.reshape(len(images), -1).astype(np.float32) / 255


@NEEDS_NODE
@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_compute_as_in_the_chapter(name, mnist, tmp_path):
    assert_as_the_chapter_computes(published(name), as_drawn(mnist.test_images[:200]), tmp_path)


def published_error(name):
    """Return the share of test images that the published run's network got wrong."""
    notebook, network = name.split("-")
    results = json.loads(Project().results(notebook).read_text(encoding="utf-8"))
    if notebook == "numpy_lenet":
        return results["errors"]["wrong"] / 10_000
    if notebook == "hw7":
        return 1 - results[network]["test_accuracy"]
    return 1 - results["paper"]["test_accuracies"][0]


@NEEDS_NODE
@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_err_as_often_as_published(name, mnist, tmp_path):
    path = published(name)
    got, milliseconds = computed_by_the_page(path, as_drawn(mnist.test_images), tmp_path, "answers")
    answers = got[:, :10].argmax(1)
    error = np.mean(answers != mnist.test_labels)
    print(f"{name}: {10_000 * error:.0f} errors, {milliseconds} ms per image")
    # Rounded weights turn a few images around that were undecided.
    assert abs(error - published_error(name)) <= 0.0006


def test_the_page_is_light():
    """Of the networks that are not published yet, random ones stand in: they pack no better."""
    size = 0
    for name in NETWORKS:
        path = Project().networks / f"{name}.bin"
        file = path.read_bytes() if path.exists() else random_network(name)
        size += len(gzip.compress(draw.network_script(name, file).encode()))
    digits = Project().networks / "hw7-digits.bin"
    size += len(digits.read_bytes()) if digits.exists() else 0
    size += len(gzip.compress(draw.bundle(page_modules(), "page").encode()))
    size += len(gzip.compress((SOURCES / "draw.css").read_bytes()))
    assert size <= LIMIT
