"""A trained network's way from a notebook into the book: its file, publishing it, the gate."""

import base64
import gzip
import hashlib
import json
import shutil

import catalogue
import gate
import nbformat
import numpy as np
import papermill
import publish
import pytest
import torch
from conftest import make_project
from torch import nn

from helpers import data, runtime, weights

HEADER = {"notebook": "sample", "network": "tiny", "date": "2026-11-28"}
EXPORT = '\nrun.export("tiny", {"w": np.arange(6.0).reshape(2, 3), "b": np.ones(2)}, bits=8)'


def some_arrays():
    rng = np.random.default_rng(0)
    return {
        "kernels": rng.normal(size=(3, 2, 5, 5)),
        "bias": rng.normal(size=3),
        "linear": torch.from_numpy(rng.normal(size=(4, 6))).requires_grad_(),
        "connected": torch.tensor([[True, False]]),
    }


@pytest.mark.parametrize("bits", [8, 16])
def test_a_network_comes_back_in_its_names_shapes_and_nearly_its_numbers(bits):
    header, arrays = weights.unpack(weights.pack(HEADER, some_arrays(), bits))
    assert HEADER.items() <= header.items()
    assert list(arrays) == ["kernels", "bias", "linear", "connected"]
    for name, array in some_arrays().items():
        expected = torch.as_tensor(array).detach().numpy().astype(np.float32)
        assert arrays[name].dtype == np.float32 and arrays[name].shape == expected.shape
        rows = np.abs(expected).reshape(len(expected), -1).max(axis=1)
        step = rows / 254 if bits == 8 and expected.ndim > 1 else rows * 2.0**-11
        error = np.abs(arrays[name] - expected).reshape(len(expected), -1).max(axis=1)
        assert np.all(error <= step * 1.001)


def test_eight_bits_follow_each_row_and_keep_a_row_of_zeros():
    rows = np.array([[1e-4, -0.5e-4], [0, 0], [127, 1]])
    _, arrays = weights.unpack(weights.pack(HEADER, {"w": rows}, 8))
    np.testing.assert_allclose(arrays["w"], [[1e-4, -0.5e-4], [0, 0], [127, 1]], rtol=1e-2)


def test_the_file_is_laid_out_as_documented():
    content = gzip.decompress(weights.pack(HEADER, {"b": np.array([1.0, -2]), "w": np.eye(2)}, 8))
    end = 4 + int.from_bytes(content[:4], "little")
    header = json.loads(content[4:end])
    assert header["arrays"] == [
        {"name": "b", "shape": [2], "type": "float16"},
        {"name": "w", "shape": [2, 2], "type": "int8"},
    ]
    assert header["sha256"] == hashlib.sha256(content[end:]).hexdigest()
    scale = np.float32(1 / 127).tobytes()
    assert content[end:] == b"\x00\x3c\x00\xc0" + 2 * scale + bytes([127, 0, 0, 127])


def test_the_same_weights_make_the_same_file():
    assert weights.pack(HEADER, some_arrays()) == weights.pack(HEADER, some_arrays())


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_numbers_that_no_file_can_hold_are_refused_by_name(value):
    with pytest.raises(ValueError, match="bias: its numbers must be finite"):
        weights.pack(HEADER, {"w": np.eye(2), "bias": np.array([0, value])})


def test_other_numbers_of_bits_are_refused():
    with pytest.raises(ValueError, match="bits = 4: it must be 8 or 16"):
        weights.pack(HEADER, {}, 4)


def test_a_damaged_file_is_refused():
    whole = weights.pack(HEADER, some_arrays())
    short = gzip.compress(gzip.decompress(whole)[:-2])
    longer = gzip.compress(gzip.decompress(whole) + b"\x00\x00")
    turned = bytearray(gzip.decompress(whole))
    turned[-1] ^= 1
    flipped = whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:]
    for file in (b"", b"<html>", whole[:-9], flipped, short, longer, gzip.compress(turned)):
        with pytest.raises(ValueError, match="the network's file is damaged"):
            weights.unpack(bytes(file))


@pytest.fixture
def run():
    images, labels = np.zeros((2, 1, 28, 28), np.uint8), np.zeros(2, np.int64)
    digits = data.ImageDataset(
        "MNIST", True, images, labels, images, labels, tuple("0123456789"), "sha256:0", "made here."
    )
    return runtime.Run("sample", seed=0, dataset=digits, device="cpu", parameters={})


def shown_by(run, monkeypatch):
    """Return the MIME bundle that `finish` hands to the notebook's output."""
    shown = []
    monkeypatch.setattr(runtime, "display", lambda bundle, raw: shown.append(bundle))
    run.finish()
    return shown[0]


def test_a_run_hands_its_networks_to_the_output_and_their_hashes_to_the_results(run, monkeypatch):
    model = nn.Linear(3, 2)
    run.export("M_avg", model.state_dict())
    bundle = shown_by(run, monkeypatch)
    file = base64.b64decode(bundle[runtime.NETWORKS_MIME]["M_avg"])
    header, arrays = weights.unpack(file)
    assert (header["notebook"], header["network"]) == ("sample", "M_avg")
    assert header["date"] == bundle[runtime.RESULTS_MIME]["provenance"]["date"]
    np.testing.assert_allclose(arrays["weight"], model.weight.detach(), atol=1e-3)
    recorded = bundle[runtime.RESULTS_MIME]["results"]["networks"]["M_avg"]
    sha256 = hashlib.sha256(file).hexdigest()
    assert recorded == {"sha256": sha256, "bits": 16, "bytes": len(file)}


def test_a_run_without_networks_says_nothing_of_them(run, monkeypatch):
    bundle = shown_by(run, monkeypatch)
    assert runtime.NETWORKS_MIME not in bundle
    assert "networks" not in bundle[runtime.RESULTS_MIME]["results"]


def test_a_network_needs_a_name_that_can_be_a_files(run):
    for name in ("", "../x", "a b", "7", "é"):
        with pytest.raises(ValueError, match="the network's name must be"):
            run.export(name, {})


# --- Publishing -----------------------------------------------------------------------------------


def export_something(project, code=EXPORT):
    """Let the sample notebook export a network."""
    path = project.source("sample")
    notebook = catalogue.read_notebook(path)
    (cell,) = [cell for cell in notebook.cells if cell.id == "body"]
    cell.source += code
    nbformat.write(notebook, path)


def recorded_hash(project):
    results = json.loads(project.results("sample").read_text(encoding="utf-8"))
    return results["networks"]["tiny"]["sha256"]


@pytest.fixture(scope="module")
def exported_once(tmp_path_factory):
    """A project whose published sample has exported a network; nobody may write in it."""
    project = make_project(tmp_path_factory.mktemp("exported") / "project")
    export_something(project)
    publish.publish(project, project.entry("sample"))
    return project


@pytest.fixture
def exported(exported_once, tmp_path):
    """A fresh copy of that project."""
    shutil.copytree(exported_once.root, tmp_path / "project", symlinks=True)
    return catalogue.Project.at(tmp_path / "project")


def test_publishing_puts_the_network_beside_the_copy_that_no_longer_carries_it(exported):
    file = exported.network("sample", "tiny").read_bytes()
    header, arrays = weights.unpack(file)
    assert header["notebook"] == "sample"
    np.testing.assert_allclose(arrays["w"], [[0, 1, 2], [3, 4, 5]], atol=0.02)
    assert hashlib.sha256(file).hexdigest() == recorded_hash(exported)
    copy = catalogue.read_notebook(exported.copy("sample"))
    assert gate.CARRIED not in copy.metadata
    text = exported.copy("sample").read_text(encoding="utf-8")
    assert runtime.NETWORKS_MIME not in text and base64.b64encode(file).decode()[:60] not in text
    assert publish.book_faults(exported) == []
    assert publish.state(exported, exported.entry("sample")) == "fresh"


def test_a_notebook_that_exports_nothing_is_left_alone(project):
    assert not project.networks.exists()
    assert publish.book_faults(project) == []


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda path: path.unlink(), "the network sample-tiny.bin is missing"),
        (lambda path: path.write_bytes(weights.pack(HEADER, some_arrays())), "is not the one that"),
        (lambda path: path.with_name("other.bin").write_bytes(b"x"), "other.bin: no published run"),
    ],
)
def test_the_gate_refuses_networks_that_are_not_the_published_runs(exported, spoil, message):
    spoil(exported.network("sample", "tiny"))
    fault, *others = publish.book_faults(exported)
    assert message in fault
    # Without the file, the landing page should not lead to where it can be tried.
    assert all(
        other.startswith("book/index.md: ") and "the block is out of date" in other
        for other in others
    )


def test_new_prose_keeps_the_network(exported):
    before = exported.network("sample", "tiny").read_bytes()
    path = exported.source("sample")
    notebook = catalogue.read_notebook(path)
    notebook.cells[-2].source += " Truly."
    nbformat.write(notebook, path)
    ((action, entry, _),) = publish.plan(exported, "default")
    assert action is publish.refresh
    action(exported, entry)
    assert exported.network("sample", "tiny").read_bytes() == before
    assert publish.book_faults(exported) == []


def test_another_machines_copy_brings_its_network(exported):
    path, executed = exported.source("sample"), exported.root / "out.ipynb"
    notebook = catalogue.read_notebook(path)
    (cell,) = [cell for cell in notebook.cells if cell.id == "body"]
    cell.source = cell.source.replace("np.ones(2)", "np.zeros(2)")
    nbformat.write(notebook, path)
    papermill.execute_notebook(path, executed, progress_bar=False)
    publish.accept(exported, exported.entry("sample"), executed)
    _, arrays = weights.unpack(exported.network("sample", "tiny").read_bytes())
    assert arrays["b"].tolist() == [0, 0]
    assert publish.book_faults(exported) == []


def test_a_copy_that_has_lost_its_network_is_not_published(project):
    export_something(project)
    before = project.copy("sample").read_bytes()
    executed = project.root / "out.ipynb"
    papermill.execute_notebook(project.source("sample"), executed, progress_bar=False)
    notebook = catalogue.read_notebook(executed)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(runtime.NETWORKS_MIME, None)
    nbformat.write(notebook, executed)
    with pytest.raises(publish.Refused, match="the network sample-tiny.bin is missing"):
        publish.accept(project, project.entry("sample"), executed)
    assert project.copy("sample").read_bytes() == before and not project.networks.exists()


def test_a_move_that_fails_takes_the_network_back(exported, monkeypatch):
    path = exported.network("sample", "tiny")
    before = path.read_bytes()
    copy = catalogue.read_notebook(exported.copy("sample"))
    copy.metadata[gate.CARRIED] = {"tiny": base64.b64encode(b"new").decode()}
    whole_replace = publish.os.replace

    def replace(source, goal):
        whole_replace(source, goal)
        if goal == path:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish.os, "replace", replace)
    with pytest.raises(OSError, match="No space left"):
        publish.move(exported, "sample", copy)
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]
