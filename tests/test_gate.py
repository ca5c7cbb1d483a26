"""The gate: a good copy passes, and each thing it must refuse is planted once and refused."""

import json
import re

import catalogue
import gate
import nbformat
import pytest
from nbformat.v4 import new_output

from helpers.runtime import RESULTS_MIME


def change_copy(project, change):
    """Apply `change` to the published copy."""
    path = project.copy("sample")
    copy = catalogue.read_notebook(path)
    change(copy)
    catalogue.write_notebook(copy, path)


def cell(copy, name):
    """Return the cell called `name`."""
    return next(cell for cell in copy.cells if cell.id == name)


def bundle(copy):
    """Return the results that the copy's last cell shows."""
    return next(o.data[RESULTS_MIME] for o in cell(copy, "finish").outputs if "data" in o)


def stream(name, text):
    return new_output("stream", name=name, text=text)


def run_twice(copy):
    cell(copy, "body").execution_count = 7


def swap_cells(copy):
    copy.cells[3], copy.cells[4] = copy.cells[4], copy.cells[3]


def not_run(copy):
    cell(copy, "body").execution_count = None
    cell(copy, "body").outputs = []


def error(copy):
    cell(copy, "body").outputs.append(
        new_output("error", ename="ValueError", evalue="bad", traceback=["Traceback …"])
    )


def stderr(copy):
    cell(copy, "body").outputs.append(stream("stderr", "UserWarning: something\n"))


def progress_bar(copy):
    cell(copy, "body").outputs.append(stream("stdout", " 40%|████      | 4/10 [00:01<00:02]"))


def carriage_return(copy):
    cell(copy, "body").outputs.append(stream("stdout", "step 1\rstep 2"))


def widget(copy):
    cell(copy, "body").outputs.append(
        new_output("display_data", data={gate.WIDGET_MIME: {"model_id": "0"}})
    )


def machine_path(copy):
    cell(copy, "body").outputs.append(stream("stdout", "saved to /home/ann/cnn/out.pt\n"))


def no_provenance(copy):
    del copy.metadata["provenance"]


def part_of_the_provenance(copy):
    del copy.metadata["provenance"]["versions"]


def no_results(copy):
    cell(copy, "finish").outputs = []


def two_results(copy):
    cell(copy, "body").outputs += cell(copy, "finish").outputs


def results_of_another(copy):
    bundle(copy)["notebook"] = "hw7"


def key_missing(copy):
    del bundle(copy)["results"]["model"]["train_seconds"]


def not_finite(copy):
    bundle(copy)["results"]["model"]["train_loss"] = [0.1, float("nan")]


def not_finite_in_words(copy):
    bundle(copy)["results"]["model"]["train_loss"] = "inf"


def named_provenance(copy):
    bundle(copy)["results"]["provenance"] = {}


def target_missed(copy):
    bundle(copy)["results"]["model"]["test_accuracy"] = 0.98


def target_of_another_type(copy):
    bundle(copy)["results"]["model"]["steps"] = "3"


def stand_in(copy):
    copy.metadata["provenance"]["dataset"]["is_real"] = False


def other_data(copy):
    copy.metadata["provenance"]["dataset"]["name"] = "CIFAR-10"


def other_checksum(copy):
    copy.metadata["provenance"]["dataset"]["checksum"] = "sha256:" + "0" * 64


def provenance_of_another_run(copy):
    copy.metadata["provenance"]["seed"] = 1


def other_parameters(copy):
    copy.metadata["provenance"]["injected"] = {"steps": 2}


def edited_by_hand(copy):
    cell(copy, "summary").source += " Better than anything before."


def cell_added(copy):
    copy.cells.append(nbformat.v4.new_markdown_cell("One more thing.", id="more"))


PLANTED = [
    (run_twice, "cell body has execution count 7, expected 4"),
    (swap_cells, "did not run 1…n in order"),
    (not_run, "cell body has execution count None, expected 4"),
    (error, "cell body ended with an error: ValueError: bad"),
    (stderr, "cell body wrote to stderr: 'UserWarning: something'"),
    (progress_bar, "cell body left a raw progress bar"),
    (carriage_return, "cell body left a raw progress bar"),
    (widget, "cell body left a widget"),
    (machine_path, "cell body shows a path of the machine"),
    (no_provenance, "carries no provenance"),
    (part_of_the_provenance, "the provenance lacks versions"),
    (no_results, "0 cells show results"),
    (two_results, "2 cells show results"),
    (results_of_another, "those of 'hw7'"),
    (key_missing, "the results lack model.train_seconds"),
    (not_finite, "the result model.train_loss.1 is not finite: nan"),
    (not_finite_in_words, "the result model.train_loss is not finite: inf"),
    (named_provenance, "a result is called 'provenance'"),
    (target_missed, "model.test_accuracy = 0.98 misses its target: above 98 %"),
    (target_of_another_type, "model.steps = '3' misses its target: 3 steps"),
    (stand_in, "not the real MNIST"),
    (other_data, "the data was 'CIFAR-10', not the real MNIST"),
    (other_checksum, "is not that of MNIST"),
    (provenance_of_another_run, "the provenance's seed is not what the run itself showed"),
    (other_parameters, "run with the parameters {'steps': 2}"),
    (edited_by_hand, "the copy's own cells differ from the source's: summary"),
    (cell_added, "the copy's own cells differ from the source's: more"),
]


def test_a_good_copy_passes(project):
    assert gate.book_faults(project) == []


@pytest.mark.parametrize(("plant", "reason"), PLANTED, ids=[p.__name__ for p, _ in PLANTED])
def test_a_planted_fault_is_refused_in_a_sentence(project, plant, reason):
    change_copy(project, plant)
    faults = gate.book_faults(project)
    assert any(reason in fault for fault in faults), faults
    assert all(fault.startswith("sample: ") for fault in faults)


def test_every_reason_is_told_at_once(project):
    change_copy(project, error)
    change_copy(project, stand_in)
    change_copy(project, target_missed)
    text = "\n".join(gate.book_faults(project))
    assert "ended with an error" in text
    assert "not the real MNIST" in text
    assert "misses its target" in text


@pytest.mark.parametrize("name", ["body", "summary", "figure"])
def test_a_changed_source_is_refused_and_its_cell_named(project, name):
    path = project.source("sample")
    source = catalogue.read_notebook(path)
    if name == "figure":
        cell(source, name).metadata["mystnb"]["image"]["alt"] = "Another line"
    else:
        cell(source, name).source += "\n"
    nbformat.write(source, path)
    (fault,) = gate.book_faults(project)
    assert f"the source has changed since this copy was made (cells: {name})" in fault


def test_a_visible_injected_cell_is_refused(project):
    def inject(copy):
        injected = nbformat.v4.new_code_cell("steps = 3", id="injected-parameters")
        injected.metadata["tags"] = ["injected-parameters"]
        copy.cells.insert(3, injected)

    change_copy(project, inject)
    assert any("not tagged remove-cell" in fault for fault in gate.book_faults(project))


def test_results_that_differ_from_the_copys_are_refused(project):
    path = project.results("sample")
    results = json.loads(path.read_text(encoding="utf-8"))
    results["model"]["test_accuracy"] = 0.999
    path.write_text(json.dumps(results), encoding="utf-8")
    assert any("differs from the results" in fault for fault in gate.book_faults(project))
    path.write_text("{", encoding="utf-8")
    assert any("is not JSON" in fault for fault in gate.book_faults(project))
    path.unlink()
    assert any("no results file" in fault for fault in gate.book_faults(project))


def test_a_copy_of_no_notebook_is_refused(project):
    project.copy("sample").rename(project.copy("other"))
    faults = "\n".join(gate.book_faults(project))
    assert "other: there is an executed copy" in faults
    assert "sample: there is a results file" in faults


@pytest.mark.parametrize(
    ("comparison", "value", "good", "bad"),
    [
        ("equal", 3, 3, 4),
        ("minimum", 0.5, 0.5, 0.499),
        ("above", 0.5, 0.501, 0.5),
        ("maximum", 0.5, 0.5, 0.501),
        ("below", 0.5, 0.499, 0.5),
        ("near", [2.3, 0.1], 2.35, 2.45),
        ("count", 2, {"a": 1, "b": 2}, {"a": 1}),
        ("count", 2, [1, 2], 2),
        ("equal", 1, 1, True),
        ("minimum", 0.5, 0.6, "0.6"),
        ("above", 0, 1, float("nan")),
    ],
)
def test_targets(comparison, value, good, bad):
    target = catalogue.Target("key", comparison, value, "text")
    assert target.met_by(good)
    assert not target.met_by(bad)


def test_the_whole_book_of_this_project_passes():
    assert gate.book_faults(catalogue.Project()) == []


def test_an_impossible_catalogue_is_refused(project):
    path = project.root / "tools" / "notebooks.toml"
    text = path.read_text(encoding="utf-8")
    for old, new, reason in (
        ("above = 0.98", "abvoe = 0.98", "needs exactly one of equal"),
        ('course = "No course"\nsummary = "Nothing"\ndataset = "MNIST"', "", "lacks 'course'"),
    ):
        path.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(catalogue.CatalogueError, match=re.escape(reason)):
            project.entries()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("steps = 3\nhalf = steps / 2", "not a literal in the parameters cell: half = steps / 2"),
        ("import os", "not an assignment in the parameters cell: import os"),
        ("n = len([1])", "not a literal"),
    ],
)
def test_a_parameters_cell_holds_literals_only(project, source, reason):
    notebook = catalogue.read_notebook(project.source("sample"))
    cell(notebook, "parameters").source = source
    with pytest.raises(catalogue.CatalogueError, match=re.escape(reason)):
        catalogue.parameters_of(notebook)


@pytest.mark.parametrize("folder", ["home", "root", "tmp", "Users", "content"])
def test_paths_of_a_machine_are_told_from_addresses(folder):
    for shown in (f"/{folder}/ann", f"in /{folder}/.cache", rf"C:\{folder}\ann"):
        assert gate.MACHINE_PATH.search(shown), shown
    for shown in (f"https://example.org/{folder}/ann", f"build/{folder}/x", f"/{folder} "):
        assert not gate.MACHINE_PATH.search(shown), shown
