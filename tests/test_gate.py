"""The gate: a good copy passes, and each thing it must refuse is planted once and refused."""

import json
import re
import runpy

import catalogue
import execute
import gate
import kinds
import nbformat
import prose
import publish
import pytest
import stamp
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

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


def table_edited(copy):
    data = next(o.data for o in cell(copy, "finish").outputs if "data" in o)
    data["text/html"] = data["text/html"].replace("Seed", "Sead")


def text_of_a_table_edited(copy):
    data = next(o.data for o in cell(copy, "finish").outputs if "data" in o)
    data["text/plain"] += " "


def printed_text_edited(copy):
    cell(copy, "body").outputs[0].text = "4 steps\n"


def figure_replaced(copy):
    (output,) = cell(copy, "figure").outputs
    output.data["image/png"] = output.data["image/png"][:-8] + "AAAAAAA="


def figure_resized(copy):
    cell(copy, "figure").outputs[0].metadata["image/png"] = {"width": 1}


def outputs_deleted(copy):
    cell(copy, "body").outputs = []


def outputs_exchanged(copy):
    body, figure = cell(copy, "body"), cell(copy, "figure")
    body.outputs, figure.outputs = figure.outputs, body.outputs


def output_added(copy):
    cell(copy, "setup").outputs.append(stream("stdout", "Better than anything before.\n"))


def no_hash_of_the_outputs(copy):
    del copy.metadata["provenance"]["outputs_sha256"]


def hash_of_other_outputs(copy):
    copy.metadata["provenance"]["outputs_sha256"] = "0" * 64


def no_hash_of_helpers(copy):
    del copy.metadata["provenance"]["helpers_sha256"]


def no_hash_of_the_code(copy):
    del copy.metadata["provenance"]["code_sha256"]


def other_threads(copy):
    copy.metadata["provenance"]["threads"] = 1024


def half_a_bundle(copy):
    del bundle(copy)["results"]


def result_of_zero(copy):
    bundle(copy)["results"]["model"]["test_accuracy"] = 0


def steps_of_zero(copy):
    bundle(copy)["results"]["model"]["steps"] = 0.0


def inject(copy, source, given, cell_type=new_code_cell):
    """Give the copy a cell of injected parameters, and a provenance that says `given`."""
    copy.metadata["provenance"]["injected"] = given
    tagged = {"tags": [catalogue.INJECTED, "remove-cell"]}
    copy.cells.insert(3, cell_type(source, id=catalogue.INJECTED, metadata=tagged))


def injected_code(copy):
    inject(copy, "steps = 3\nimport os", {"steps": 3})


def injected_call(copy):
    inject(copy, "steps = int(3)", {"steps": 3})


def injected_second_target(copy):
    inject(copy, "steps = catalogue.x = 3", {"steps": 3})


def injected_nonsense(copy):
    inject(copy, "steps = 3\nsteps = (", {"steps": 3})


def injected_other_value(copy):
    inject(copy, "steps = 4", {"steps": 3})


def injected_other_type(copy):
    inject(copy, "steps = True", {"steps": 1})


def injected_more(copy):
    inject(copy, 'steps = 3\ndataset = "auto"', {"steps": 3})


def injected_unsaid(copy):
    inject(copy, "# Parameters", {})


def injected_twice(copy):
    inject(copy, "steps = 3", {"steps": 3})
    copy.cells[3].id = "another"
    inject(copy, "steps = 3", {"steps": 3})


def injected_missing(copy):
    copy.metadata["provenance"]["injected"] = {"steps": 3}


def injected_prose(copy):
    inject(copy, "steps = 3", {"steps": 3}, new_markdown_cell)


MIMES = ("text/html", "text/plain", "image/png")
NOT_ITS_OWN = "its outputs or its injected cell are not those that its run left"

PLANTED = [
    (table_edited, NOT_ITS_OWN),
    (text_of_a_table_edited, NOT_ITS_OWN),
    (printed_text_edited, NOT_ITS_OWN),
    (figure_replaced, NOT_ITS_OWN),
    (figure_resized, NOT_ITS_OWN),
    (outputs_deleted, NOT_ITS_OWN),
    (outputs_exchanged, NOT_ITS_OWN),
    (output_added, NOT_ITS_OWN),
    (hash_of_other_outputs, NOT_ITS_OWN),
    (no_hash_of_the_outputs, "its run recorded no hash of its outputs"),
    (no_hash_of_helpers, "the provenance lacks helpers_sha256"),
    (no_hash_of_the_code, "the provenance lacks code_sha256"),
    (other_threads, "the provenance's threads is not what the run itself showed"),
    (half_a_bundle, "0 cells show results"),
    (result_of_zero, "model.test_accuracy = 0 misses its target"),
    (steps_of_zero, "model.steps = 0.0 misses its target"),
    (injected_code, "not an assignment in the injected cell: import os"),
    (injected_call, "not a literal in the injected cell: steps = int(3)"),
    (injected_second_target, "not an assignment in the injected cell: steps = catalogue.x = 3"),
    (injected_nonsense, "line 2 of the injected cell is not Python"),
    (injected_other_value, "the injected cell sets {'steps': 4}, the provenance says {'steps': 3}"),
    (injected_other_type, "the injected cell sets {'steps': True}, the provenance says"),
    (injected_more, "the injected cell sets {'steps': 3, 'dataset': 'auto'}, the provenance says"),
    (injected_unsaid, "1 cells with injected parameters, expected 0"),
    (injected_twice, "2 cells with injected parameters, expected 1"),
    (injected_missing, "0 cells with injected parameters, expected 1"),
    (injected_prose, "the injected cell is no code"),
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


@pytest.mark.parametrize(
    ("mime", "text"),
    [
        ("text/html", "<p>Well.</p><script>alert(1)</script>"),
        ("text/html", "<SCRIPT src='https://example.org/x.js'></SCRIPT>"),
        ("text/html", '<img src="x" onerror="alert(1)">'),
        ("text/html", '<iframe src="https://example.org"></iframe>'),
        ("text/html", '<a href="javascript:alert(1)">here</a>'),
        ("text/markdown", "Well.<script>alert(1)</script>"),
        ("text/markdown", "[here](javascript:alert(1))"),
        ("image/svg+xml", "<svg onload=alert(1)></svg>"),
    ],
)
def test_an_output_that_acts_on_the_page_is_refused(project, mime, text):
    def act(copy):
        cell(copy, "body").outputs.append(new_output("display_data", data={mime: text}))
        copy.metadata["provenance"]["outputs_sha256"] = catalogue.outputs_hash(copy)

    change_copy(project, act)
    faults = gate.book_faults(project)
    assert any("cell body shows what acts on the page by itself: '" in fault for fault in faults)


def test_javascript_is_refused(project):
    def act(copy):
        data = {"application/javascript": "alert(1)"}
        cell(copy, "body").outputs.append(new_output("display_data", data=data))

    change_copy(project, act)
    assert any("cell body left JavaScript" in fault for fault in gate.book_faults(project))


@pytest.mark.parametrize(
    ("mime", "text"),
    [
        ("text/html", "<p>loss < 0.1 and one = 2, once = 3</p><td class='on'>description</td>"),
        ("text/markdown", "The loss is $a < b$, on step = 3; JavaScript: none."),
        ("text/plain", "<script>"),
    ],
)
def test_an_output_that_only_looks_like_it_does_not_act(project, mime, text):
    output = new_output("display_data", data={mime: text})
    assert not list(gate._one_output_faults(output))


def with_new_prose(project):
    source = catalogue.read_notebook(project.source("sample"))
    cell(source, "summary").source += " Truly."
    copy = execute.with_new_prose(catalogue.read_notebook(project.copy("sample")), source)
    catalogue.write_notebook(copy, project.copy("sample"))


def with_new_stamps(project):
    catalogue.rewrite_cells(
        project.copy("sample"),
        lambda cell, text: text + " 3" if cell["cell_type"] == "markdown" else text,
    )


def with_another_address(project):
    stamp.stamp(project, "https://github.com/somebody/else", "v1")
    prose.write(project)


def with_another_kind(project):
    copy = catalogue.read_notebook(project.copy("sample"))
    cell(copy, "body").metadata["tags"] = ["report"]
    cell(copy, "body").source = "# @title Show the body\n" + cell(copy, "body").source
    catalogue.write_notebook(kinds.with_kinds("sample", copy), project.copy("sample"))


def with_lines_as_they_come(project):
    path = project.copy("sample")
    raw = json.loads(path.read_text(encoding="utf-8"))
    for one in raw["cells"]:
        one["source"] = "".join(one["source"])
        for output in one.get("outputs", []):
            for holder, key in [(output, "text"), *((output.get("data"), m) for m in MIMES)]:
                if isinstance((holder or {}).get(key), list):
                    holder[key] = "".join(holder[key])
    path.write_text(json.dumps(raw, indent=2), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        with_new_prose,
        with_new_stamps,
        with_another_address,
        with_another_kind,
        with_lines_as_they_come,
    ],
)
def test_what_changes_no_output_keeps_their_hash(project, change):
    before = project.copy("sample").read_bytes()
    change(project)
    assert project.copy("sample").read_bytes() != before
    assert not any(NOT_ITS_OWN in fault for fault in gate.book_faults(project))


def test_the_hash_is_the_same_however_lines_are_split():
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [new_code_cell("x", id="x", outputs=[stream("stdout", "a\nb\n")])]
    notebook.cells[0].outputs.append(
        new_output("display_data", data={"text/plain": "c\nd", "application/json": ["e", "f"]})
    )
    whole = catalogue.outputs_hash(notebook)
    notebook.cells[0].outputs[0].text = ["a\n", "b\n"]
    notebook.cells[0].outputs[1].data["text/plain"] = ["c\n", "d"]
    assert catalogue.outputs_hash(notebook) == whole
    assert notebook.cells[0].outputs[0].text == ["a\n", "b\n"]  # it is only looked at
    notebook.cells[0].outputs[1].data["application/json"] = "ef"
    assert catalogue.outputs_hash(notebook) != whole


def test_the_injected_cell_of_a_run_is_part_of_the_hash(project):
    path = project.root / "tools" / "notebooks.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("\nquick =", "\npublished = { steps = 3 }\nquick ="), "utf-8")
    publish.publish(project, project.entry("sample"))
    assert gate.book_faults(project) == []

    def comment(copy):
        cell(copy, catalogue.INJECTED).source += "  # three"

    change_copy(project, comment)
    (fault,) = gate.book_faults(project)
    assert NOT_ITS_OWN in fault


def test_a_result_of_zero_is_a_result(project):
    def zero(copy):
        bundle(copy)["results"]["model"]["train_seconds"] = 0.0

    change_copy(project, zero)
    faults = "\n".join(gate.book_faults(project))
    assert "lacks" not in faults and "lack " not in faults and "misses" not in faults


@pytest.mark.parametrize(
    ("plant", "status", "shown"),
    [
        (lambda project: None, 0, "✓ 1 executed copies and the prose may be shown"),
        (lambda project: change_copy(project, error), 1, "✗ sample: cell body ended with an error"),
        (
            lambda project: (project.root / "tools" / "notebooks.toml").write_text("x", "utf-8"),
            1,
            "✗ tools/notebooks.toml cannot be read",
        ),
    ],
    ids=["good", "faulty", "unreadable"],
)
def test_the_gates_exit_status(project, monkeypatch, capsys, plant, status, shown):
    plant(project)
    monkeypatch.setattr(catalogue, "Project", lambda: project)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(gate.__file__, run_name="__main__")
    assert ended.value.code == status
    assert shown in capsys.readouterr().out


def conflict(text):
    return text.replace('"cells"', '<<<<<<< HEAD\n "cells"', 1)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (conflict, "is not a notebook: Expecting property name enclosed in double quotes: line 2"),
        (lambda text: text[: len(text) // 2], "is not a notebook: "),
        (lambda text: "{}", "is not a notebook: it has no cells"),
        (lambda text: text.replace('"nbformat": 4', '"nbformat": 3'), "its nbformat is not 4"),
        (lambda text: text.replace('"code"', '"cod"'), "is not a notebook: "),
    ],
    ids=["conflict", "half", "empty", "format", "kind"],
)
def test_a_damaged_copy_is_told_in_a_sentence(project, damage, reason):
    path = project.copy("sample")
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    (fault,) = gate.book_faults(project)
    assert fault.startswith("sample: sample.ipynb in ") and reason in fault and "\n" not in fault
    assert "restore the executed copy" in fault
    assert "python tools/publish.py run sample" in fault


def test_a_missing_or_damaged_source_is_told_in_a_sentence(project):
    path = project.source("sample")
    path.write_text("{", encoding="utf-8")
    (fault,) = gate.book_faults(project)
    assert "sample.ipynb in " in fault and "line 1" in fault and "restore" not in fault
    path.unlink()
    (fault,) = gate.book_faults(project)
    assert f"there is no sample.ipynb in {path.parent}" in fault


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
    def show(copy):
        inject(copy, "steps = 3", {"steps": 3})
        copy.cells[3].metadata["tags"] = [catalogue.INJECTED]

    change_copy(project, show)
    assert any("not tagged remove-cell" in fault for fault in gate.book_faults(project))


def test_results_that_differ_from_the_copys_are_refused(project):
    path = project.results("sample")
    results = json.loads(path.read_text(encoding="utf-8"))
    results["model"]["test_accuracy"] = 0.999
    path.write_text(json.dumps(results), encoding="utf-8")
    (fault,) = (one for one in gate.book_faults(project) if "differs from the results" in one)
    assert "`make book` writes it" in fault
    results["provenance"]["outputs_sha256"] = "0" * 64
    path.write_text(json.dumps(results), encoding="utf-8")
    assert any("belongs to another run" in fault for fault in gate.book_faults(project))
    for damaged in ("[]", "{}", '{"provenance": 1}'):
        path.write_text(damaged, encoding="utf-8")
        assert any("holds no results of a run" in fault for fault in gate.book_faults(project))
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


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("above = 0.98", "abvoe = 0.98", "needs exactly one of equal"),
        ('course = "No course"\nsummary = "Nothing"\ndataset = "MNIST"', "", "lacks 'course'"),
        ('title = "A sample"', 'title = "A sample', "notebooks.toml cannot be read: "),
        ('title = "A sample"', 'title = "A sample', "(at line 2, column "),
        ("minutes =", "minuts =", "[sample] in tools/notebooks.toml has 'minuts'; allowed are"),
        ("quick = 0.1", "quik = 0.1", "minutes lacks the number 'quick'"),
        ("published = 0.1", 'published = "long"', "minutes lacks the number 'published'"),
        ('dataset = "MNIST"', 'dataset = "MINST"', "dataset = 'MINST': expected MNIST or CIFAR-10"),
        ('title = "A sample"', "title = 3", "title = 3: expected a str"),
        ("[sample]", "x = 1\n[sample]", "x in tools/notebooks.toml is not the table of a notebook"),
        ("targets = []", "targets = [3]", "a target without a list of keys: 3"),
        ("aim =", "aimm =", "the target of ['model.test_accuracy'] has 'aimm'"),
        ("above = 0.98", 'above = "98 %"', "above = '98 %' is no number"),
        ("above = 0.98", "near = 0.98", "near = 0.98 is no number"),
        ("above = 0.98", "near = [0.98]", "near = [0.98] is no number"),
    ],
)
def test_an_impossible_catalogue_is_refused(project, old, new, reason):
    path = project.root / "tools" / "notebooks.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(catalogue.CatalogueError, match=re.escape(reason)):
        project.entries()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("steps = 3\nhalf = steps / 2", "not a literal in the parameters cell: half = steps / 2"),
        ("import os", "not an assignment in the parameters cell: import os"),
        ("n = len([1])", "not a literal"),
        ("n = {[]: 1}", "not a literal"),
        ("steps = np.random.seed = 3", "not an assignment in the parameters cell"),
        ("steps = 3\nsteps = (", "line 2 of the parameters cell is not Python"),
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
