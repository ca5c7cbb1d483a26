"""Publishing: run, gate, move, and what must not happen when a step fails."""

import json
import os
import shutil
from pathlib import Path

import catalogue
import execute
import nbformat
import pages
import publish
import pytest


def edit(project, cell_id, change):
    """Change the source of one cell of the sample notebook."""
    path = project.source("sample")
    notebook = catalogue.read_notebook(path)
    (cell,) = [cell for cell in notebook.cells if cell.id == cell_id]
    cell.source = change(cell.source)
    nbformat.write(notebook, path)


def edit_catalogue(project, old, new):
    """Replace `old` by `new` in tools/notebooks.toml."""
    path = project.root / "tools" / "notebooks.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def snapshot(project):
    """Return every file of the book with its bytes."""
    return {file: file.read_bytes() for file in project.book.rglob("*") if file.is_file()}


def test_a_published_copy_carries_its_provenance_and_nothing_of_the_machine(project):
    copy = catalogue.read_notebook(project.copy("sample"))
    provenance = copy.metadata["provenance"]
    source = catalogue.read_notebook(project.source("sample"))
    assert provenance["source_sha256"] == catalogue.source_hash(source)
    assert provenance["dataset"]["is_real"] and provenance["seed"] == 0
    assert provenance["parameters"] == {"steps": 3, "dataset": "auto"}
    assert set(copy.metadata) == {"kernelspec", "language_info", "provenance"}
    text = project.copy("sample").read_text(encoding="utf-8")
    assert str(project.root) not in text and "papermill" not in text and "iopub" not in text


def test_the_results_file_holds_the_runs_own_results_under_the_documented_keys(project):
    results = json.loads(project.results("sample").read_text(encoding="utf-8"))
    assert results["model"] == {"steps": 3, "test_accuracy": 0.99, "train_seconds": 1.5}
    assert results["provenance"]["dataset"]["name"] == "MNIST"


def test_publishing_writes_contents_results_page_and_chapter_list(project):
    assert "  - file: notebooks/sample\n" in project.toc.read_text(encoding="utf-8")
    page = (project.book / "results.md").read_text(encoding="utf-8")
    page = page.replace("\u00a0", " ")
    assert "| `model.test_accuracy` | above 98 %; aim: 99 % | 99.00 % ✓ |" in page
    assert "| `model.train_seconds` | reported | 1.5 s ✓ |" in page
    index = (project.book / "index.md").read_text(encoding="utf-8")
    assert "[A sample](notebooks/sample.ipynb)" in index
    planned = index[index.index("### A planned notebook\n") :]
    assert planned.index("in preparation") < planned.index("<!-- end of block -->")


def test_the_results_page_marks_a_missed_and_a_missing_target(project):
    path = project.results("sample")
    results = json.loads(path.read_text(encoding="utf-8"))
    results["model"]["test_accuracy"] = 0.5
    del results["model"]["train_seconds"]
    path.write_text(json.dumps(results), encoding="utf-8")
    page = pages.results_page(project).replace("\u00a0", " ")
    assert "| 50.00 % ✗ |" in page
    assert "| `model.train_seconds` | reported | – ✗ |" in page


def test_injected_parameters_are_hidden_and_the_order_still_counts(project):
    edit_catalogue(project, "\nquick =", "\npublished = { steps = 3 }\nquick =")
    entry = project.entry("sample")
    assert publish.book_faults(project)  # the old copy was made without the parameter
    publish.publish(project, entry)
    copy = catalogue.read_notebook(project.copy("sample"))
    (injected,) = [cell for cell in copy.cells if cell.id == "injected-parameters"]
    assert set(injected.metadata["tags"]) == {"injected-parameters", "remove-cell"}
    assert copy.metadata["provenance"]["injected"] == {"steps": 3}
    assert publish.book_faults(project) == []


def test_an_error_in_a_cell_changes_nothing_and_is_told(project, capsys):
    before = snapshot(project)
    edit(project, "body", lambda source: source.replace("if fail:", "if True:"))
    with pytest.raises(execute.RunFailed) as caught:
        publish.publish(project, project.entry("sample"))
    message = str(caught.value)
    assert "cell body failed: RuntimeError: the planted error" in message
    left = project.build / "published" / "sample.ipynb"
    assert str(left) in message and left.exists()
    assert snapshot(project) == before
    assert "setup" in capsys.readouterr().out


def test_a_kernel_that_dies_changes_nothing_and_is_told(project):
    before = snapshot(project)
    edit(project, "body", lambda source: "import os\nos.kill(os.getpid(), 9)")
    with pytest.raises(execute.RunFailed, match="cell body failed: Kernel died"):
        publish.publish(project, project.entry("sample"))
    assert snapshot(project) == before


def test_a_missed_target_changes_nothing_and_is_told(project):
    before = snapshot(project)
    edit(project, "body", lambda source: source.replace("0.99", "0.97"))
    with pytest.raises(publish.Refused, match=r"model.test_accuracy = 0.97 misses its target"):
        publish.publish(project, project.entry("sample"))
    assert snapshot(project) == before


def test_a_move_that_fails_halfway_is_taken_back(project, monkeypatch):
    before = snapshot(project)
    copy = catalogue.read_notebook(project.copy("sample"))
    copy.cells[0].source = "# Another"
    whole_replace = os.replace

    def replace(source, goal):
        if str(goal).endswith(".json"):
            raise OSError(28, "No space left on device")
        whole_replace(source, goal)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="No space left"):
        publish.move(project, "sample", copy)
    assert snapshot(project) == before


def test_a_move_replaces_whole_files_that_lay_ready(project, monkeypatch):
    before = snapshot(project)
    copy = catalogue.read_notebook(project.copy("sample"))
    copy.metadata["provenance"]["outputs_sha256"] = "0" * 64
    goals = (project.copy("sample"), project.results("sample"))
    whole_replace, moved = os.replace, {}

    def replace(source, goal):
        assert goal.read_bytes() == before[goal]  # nobody ever sees half a file
        assert source.parent == goal.parent  # else it would be copied to another disk
        moved[goal] = source.read_bytes()
        whole_replace(source, goal)

    monkeypatch.setattr(os, "replace", replace)
    publish.move(project, "sample", copy)
    assert tuple(moved) == goals
    for goal in goals:
        assert goal.read_bytes() == moved[goal] != before[goal]
    assert set(snapshot(project)) == set(before)


def test_a_move_that_cannot_write_leaves_the_book_alone(project, monkeypatch):
    before = snapshot(project)
    whole_write = Path.write_text

    def write(path, text, **rest):
        whole_write(path, text[: len(text) // 2], **rest)
        assert all(file.read_bytes() == content for file, content in before.items())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write)
    with pytest.raises(OSError, match="No space left"):
        publish.move(project, "sample", catalogue.read_notebook(project.copy("sample")))
    assert snapshot(project) == before


def test_a_run_records_the_hashes_of_helpers_and_outputs_that_it_had(project):
    (project.root / "helpers" / "layers.py").write_text("x = 1\n", encoding="utf-8")
    publish.publish(project, project.entry("sample"))
    copy = catalogue.read_notebook(project.copy("sample"))
    provenance = copy.metadata["provenance"]
    assert provenance["helpers_sha256"] == catalogue.helpers_hash(project.root)
    assert provenance["outputs_sha256"] == catalogue.outputs_hash(copy)
    results = json.loads(project.results("sample").read_text(encoding="utf-8"))
    assert results["provenance"]["outputs_sha256"] == provenance["outputs_sha256"]
    (project.root / "helpers" / "layers.py").write_text("x = 2\n", encoding="utf-8")
    assert provenance["helpers_sha256"] != catalogue.helpers_hash(project.root)


def test_changed_published_parameters_ask_for_a_run_and_say_so(project):
    edit_catalogue(project, "\nquick =", "\npublished = { steps = 3 }\nquick =")
    entry = project.entry("sample")
    assert publish.state(project, entry) == "stale"
    ((action, _, reason),) = publish.plan(project, "default")
    assert action is publish.publish
    assert reason == "its published parameters have changed from {} to {'steps': 3}"
    edit(project, "summary", lambda source: source + " Truly.")
    assert publish.state(project, entry) == "stale"  # not "prose": its run was another
    action(project, entry)
    assert publish.plan(project, "default") == [] and publish.book_faults(project) == []


def lose(path):
    path.unlink()


def damage(path):
    path.write_text("<<<<<<< HEAD\n" + path.read_text(encoding="utf-8"), encoding="utf-8")


def mix_up(path):
    results = json.loads(path.read_text(encoding="utf-8"))
    results["provenance"]["outputs_sha256"] = "0" * 64
    path.write_text(json.dumps(results), encoding="utf-8")


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        (lose, "there is no results file sample.json in "),
        (damage, "is not JSON: Expecting value: line 1"),
        (mix_up, "sample.json belongs to another run than the copy"),
    ],
)
def test_results_that_are_not_there_are_written_from_the_copy(project, monkeypatch, plant, reason):
    monkeypatch.setattr(execute.papermill, "execute_notebook", None)
    before = snapshot(project)
    plant(project.results("sample"))
    assert publish.state(project, project.entry("sample")) == "results"
    ((action, entry, told),) = publish.plan(project, "default")
    assert reason in told
    action(project, entry)
    assert snapshot(project) == before


def test_results_are_not_written_from_a_copy_that_was_edited(project):
    project.results("sample").unlink()
    path = project.copy("sample")
    path.write_text(path.read_text(encoding="utf-8").replace("0.99", "0.999"), encoding="utf-8")
    ((action, entry, _),) = publish.plan(project, "default")
    with pytest.raises(publish.Refused, match="are not those that its run left"):
        action(project, entry)
    assert not project.results("sample").exists()


def test_a_copy_that_is_missing_though_its_results_are_there_is_named(project):
    project.copy("sample").unlink()
    ((action, _, reason),) = publish.plan(project, "default")
    assert action is publish.publish
    assert reason.startswith("its executed copy is missing (") and "sample.ipynb" in reason
    project.results("sample").unlink()
    ((_, _, reason),) = publish.plan(project, "default")
    assert reason == "not published yet"


def test_a_damaged_file_ends_the_command_in_one_sentence(project, monkeypatch, capsys):
    monkeypatch.setattr(publish, "Project", lambda: project)
    damage(project.copy("sample"))
    assert publish.main(["book"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("✗ sample.ipynb in ") and "line 1 column 1" in line
    assert "python tools/publish.py run sample" in line
    edit_catalogue(project, "[sample]", "[sample")
    assert publish.main(["book"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("✗ tools/notebooks.toml cannot be read: ") and "at line 1" in line


def test_a_damaged_copy_is_replaced_by_a_run(project):
    damage(project.copy("sample"))
    damage(project.results("sample"))
    publish.publish(project, project.entry("sample"))
    assert publish.book_faults(project) == []


def test_state_tells_new_fresh_prose_and_stale(project):
    entry = project.entry("sample")
    assert publish.state(project, entry) == "fresh"
    edit(project, "summary", lambda source: source + " Truly.")
    assert publish.state(project, entry) == "prose"
    edit(project, "body", lambda source: source + "\npass")
    assert publish.state(project, entry) == "stale"
    project.copy("sample").unlink()
    assert publish.state(project, entry) == "new"


def test_new_prose_is_carried_over_without_a_run(project, monkeypatch):
    monkeypatch.setattr(execute.papermill, "execute_notebook", None)
    old = catalogue.read_notebook(project.copy("sample"))
    edit(project, "summary", lambda source: "## Summary\n\nIt ran well.")
    ((action, entry, _),) = publish.plan(project, "default")
    action(project, entry)
    new = catalogue.read_notebook(project.copy("sample"))
    assert "It ran well." in "".join(cell.source for cell in new.cells)
    assert [c.outputs for c in new.cells if c.cell_type == "code"] == [
        c.outputs for c in old.cells if c.cell_type == "code"
    ]
    assert publish.book_faults(project) == []


def test_prose_that_changes_during_a_run_does_not_cost_the_run(project, monkeypatch):
    whole_execute = publish.execute

    def execute_and_edit(*arguments):
        copy = whole_execute(*arguments)
        edit(project, "summary", lambda source: "## Summary\n\nChanged meanwhile.")
        return copy

    monkeypatch.setattr(publish, "execute", execute_and_edit)
    publish.publish(project, project.entry("sample"))
    assert "Changed meanwhile." in project.copy("sample").read_text(encoding="utf-8")
    assert publish.book_faults(project) == []


def test_code_that_changes_during_a_run_is_refused(project, monkeypatch):
    whole_execute = publish.execute

    def execute_and_edit(*arguments):
        copy = whole_execute(*arguments)
        edit(project, "body", lambda source: source + "\npass")
        return copy

    monkeypatch.setattr(publish, "execute", execute_and_edit)
    with pytest.raises(publish.Refused, match=r"changed since this copy was made \(cells: body\)"):
        publish.publish(project, project.entry("sample"))


def test_new_prose_is_never_put_around_other_code(project):
    copy = catalogue.read_notebook(project.copy("sample"))
    edit(project, "body", lambda source: source + "\npass")
    with pytest.raises(ValueError, match="must be run again"):
        execute.with_new_prose(copy, catalogue.read_notebook(project.source("sample")))


def test_an_unknown_parameter_is_refused_before_the_run(project):
    entry = project.entry("sample")
    with pytest.raises(catalogue.CatalogueError, match="no parameter 'stpes'; it has: steps"):
        execute.execute(
            project, entry, {"stpes": 1}, project.build / "x.ipynb", project.build / "x"
        )


def test_an_unknown_notebook_is_refused_by_name(project):
    with pytest.raises(catalogue.CatalogueError, match="'hw8': no such notebook; there are: sampl"):
        project.entry("hw8")


def test_an_interrupted_run_keeps_its_checkpoints_and_a_finished_one_does_not(project, capsys):
    entry = project.entry("sample")
    folder = execute.working_folder(project, entry)
    (folder / "checkpoint").write_text("step 7", encoding="utf-8")
    assert (execute.working_folder(project, entry) / "checkpoint").exists()
    assert "going on" in capsys.readouterr().err
    execute.close_working_folder(folder)
    assert (execute.working_folder(project, entry, resume=True) / "checkpoint").exists()
    execute.close_working_folder(folder)
    assert not (execute.working_folder(project, entry) / "checkpoint").exists()


def test_checkpoints_of_other_code_are_not_used(project):
    entry = project.entry("sample")
    folder = execute.working_folder(project, entry)
    (folder / "checkpoint").write_text("step 7", encoding="utf-8")
    edit(project, "body", lambda source: source + "\npass")
    assert not (execute.working_folder(project, entry) / "checkpoint").exists()


def test_checkpoints_of_other_helpers_are_not_used(project):
    entry = project.entry("sample")
    folder = execute.working_folder(project, entry)
    (folder / "checkpoint").write_text("step 7", encoding="utf-8")
    (project.root / "helpers" / "layers.py").write_text("x = 1\n", encoding="utf-8")
    assert not (execute.working_folder(project, entry) / "checkpoint").exists()


def test_a_copy_made_elsewhere_is_accepted_when_the_gate_lets_it_pass(project, tmp_path):
    made = tmp_path / "out.ipynb"
    entry = project.entry("sample")
    execute.papermill.execute_notebook(project.source("sample"), made, progress_bar=False)
    shutil.rmtree(project.book / "notebooks")
    with pytest.raises(publish.Refused, match="no such file"):
        publish.accept(project, entry, tmp_path / "other.ipynb")
    publish.accept(project, entry, made)
    assert publish.book_faults(project) == []


def test_a_copy_of_other_code_made_elsewhere_is_refused(project, tmp_path):
    made = tmp_path / "out.ipynb"
    execute.papermill.execute_notebook(project.source("sample"), made, progress_bar=False)
    edit(project, "body", lambda source: source + "\npass")
    with pytest.raises(publish.Refused, match="differ from the source's: body"):
        publish.accept(project, project.entry("sample"), made)


def test_a_copy_of_the_book_is_not_accepted_to_get_a_new_hash(project):
    before = snapshot(project)
    with pytest.raises(publish.Refused, match="not as papermill wrote it"):
        publish.accept(project, project.entry("sample"), project.copy("sample"))
    assert snapshot(project) == before


@pytest.mark.long
def test_the_quick_profile_fills_a_scratch_book_and_leaves_the_book_alone(project):
    before = snapshot(project)
    scratch = publish.quick_book(project)
    assert snapshot(project) == before
    page = (scratch.book / "results.md").read_text(encoding="utf-8")
    assert "not the real data set" in page
    assert "notebooks/sample" in scratch.toc.read_text(encoding="utf-8")
    assert (publish.build_site(scratch).parent / "notebooks" / "sample.html").exists()


def test_the_full_profile_repeats_what_is_fresh(project):
    assert publish.plan(project, "default") == []
    ((action, entry, _),) = publish.plan(project, "full")
    assert action is publish.publish and entry.name == "sample"


def test_a_published_run_is_not_started_without_its_data(project, monkeypatch):
    def no_data(choice):
        raise publish.data.DataError("MNIST cannot be had")

    monkeypatch.setattr(publish.data, "mnist", no_data)
    edit(project, "body", lambda source: source + "\npass")
    with pytest.raises(publish.data.DataError):
        publish.book(project, "default")
