"""Kinds of cells: one tag decides how a cell folds; faulty kinds are refused by a sentence."""

import catalogue
import execute
import kinds
import nbformat
import publish
import pytest
from catalogue import Project
from conftest import sample_notebook
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

NAMES = [entry.name for entry in Project().ready()]
TITLED = "# @title Show the code of this figure\nplot()"


def notebook(*cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a converted notebook with a shown answer and the given cells."""
    answer = new_code_cell("1 + 1", id="answer-one", metadata={"tags": ["answer"]})
    return new_notebook(cells=[answer, *cells])


def code(source: str, *tags: str, **metadata: object) -> nbformat.NotebookNode:
    """Return a code cell called `cell`."""
    return new_code_cell(source, id="cell", metadata={"tags": list(tags), **metadata})


def fold(cell: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the cell as the tool writes it."""
    return kinds.with_kinds("sample", notebook(cell)).cells[-1]


# --- what follows from a kind


@pytest.mark.parametrize("name", NAMES)
def test_every_source_and_its_copy_fold_as_their_kinds_say(name):
    source = catalogue.read_notebook(Project().source(name))
    assert kinds.with_kinds(name, source) == source
    copy = catalogue.read_notebook(Project().copy(name))
    assert kinds.with_kinds(name, copy) == copy


@pytest.mark.parametrize("kind", ["report", "set-up"])
def test_a_folded_kind_is_folded_on_the_site_in_colab_and_in_jupyterlab(kind):
    cell = fold(code(TITLED, kind, mystnb={"image": {"alt": "A line"}}))
    assert cell.metadata == {
        "tags": [kind, "hide-input"],
        "mystnb": {
            "image": {"alt": "A line"},
            "code_prompt_show": "Show the code of this figure",
            "code_prompt_hide": "Hide the code of this figure",
        },
        "cellView": "form",
        "jupyter": {"source_hidden": True},
    }
    nbformat.validate(notebook(cell))


@pytest.mark.parametrize("kind", ["answer", "check"])
def test_a_shown_kind_loses_all_that_would_fold_it(kind):
    folded = fold(code(TITLED, "report", mystnb={"image": {"alt": "A line"}})).metadata
    folded["tags"] = [kind, "hide-input"]
    folded["jupyter"]["outputs_hidden"] = False
    assert fold(code("plot()", **folded)).metadata == {
        "tags": [kind],
        "mystnb": {"image": {"alt": "A line"}},
        "jupyter": {"outputs_hidden": False},
    }
    bare = fold(code("plot()", kind, "hide-input", jupyter={"source_hidden": True}))
    assert bare.metadata == {"tags": [kind]}


def test_a_new_title_reaches_the_prompts():
    cell = fold(code(TITLED, "report"))
    cell.source = cell.source.replace("figure", "table")
    assert fold(cell).metadata["mystnb"]["code_prompt_show"] == "Show the code of this table"


def test_writing_twice_changes_nothing():
    once = sample_notebook()
    assert kinds.with_kinds("sample", once) == once


def test_the_bootstrap_cell_stays_removed_and_the_parameters_are_shown():
    cells = {cell.id: cell for cell in sample_notebook().cells}
    assert cells["bootstrap"].metadata == {"tags": ["bootstrap", "remove-cell"]}
    parameters = code("steps = 3", "parameters", "hide-input", cellView="form")
    assert fold(parameters).metadata == {"tags": ["parameters"]}


def test_a_notebook_without_kinds_is_not_converted_and_stays_as_it_is():
    cell = code(TITLED, "hide-input", "hide-output", cellView="form")
    old = new_notebook(cells=[cell, new_code_cell("2", id="two")])
    assert not kinds.is_converted(old)
    assert kinds.with_kinds("old", old) == old


def test_papermills_injected_cell_needs_no_kind():
    injected = new_code_cell("steps = 3", id="injected-parameters")
    injected.metadata["tags"] = ["injected-parameters", "remove-cell"]
    assert kinds.with_kinds("sample", notebook(injected)).cells[-1] == injected


# --- faults

FAULTS = {
    "two kinds": (
        code("1", "answer", "check"),
        "must have exactly one kind of answer, check, report, set-up; it has 'answer' and 'check'",
    ),
    "no kind": (code("1"), "must have exactly one kind of answer, check, report, set-up; it has n"),
    "unknown": (code("1", "answer", "setup"), "has the tag 'setup'; allowed are one kind (answer,"),
    "hidden output": (code(TITLED, "report", "hide-output"), "has the tag 'hide-output'; allowed"),
    "no title": (code("plot()", "report"), "is folded, since it is a cell of the kind 'report'"),
    "late title": (code(f"import x\n{TITLED}", "report"), "has a second or misplaced title"),
    "two titles": (code(f"{TITLED}\n{TITLED}", "report"), "has a second or misplaced title"),
    "title": (code("# @title The figure\nplot()", "report"), "it must begin with 'Show '"),
    "empty title": (code("# @title\nplot()", "set-up"), "it must begin with 'Show '"),
    "only a title": (code("# @title Show nothing", "set-up"), "has a title and no code below it"),
    "shown title": (
        code(TITLED, "check"),
        "has the title 'Show the code of this figure' but is shown, since it is a cell of the kind",
    ),
    "titled parameters": (
        code("# @title Show the parameters\nsteps = 3", "parameters"),
        "but is shown, since it is the parameters cell",
    ),
    "parameters": (code("a = 1", "parameters", "answer"), "is the parameters cell and has the kin"),
    "markdown": (
        new_markdown_cell("Text", id="cell", metadata={"tags": ["report"]}),
        "is Markdown and has the kind 'report'; allowed there: 'answer', or none",
    ),
}


@pytest.mark.parametrize("planted", FAULTS)
def test_a_faulty_kind_is_refused_by_a_sentence_with_notebook_cell_and_what_is_allowed(planted):
    cell, sentence = FAULTS[planted]
    with pytest.raises(kinds.KindError) as caught:
        kinds.with_kinds("hw7", notebook(cell))
    assert [line for line in str(caught.value).splitlines() if sentence in line]
    assert all(line.startswith("hw7: cell cell ") for line in str(caught.value).splitlines())


def test_a_markdown_answer_alone_makes_a_notebook_a_converted_one():
    answer = new_markdown_cell("So it is.", id="so", metadata={"tags": ["answer"]})
    old = new_notebook(cells=[answer, new_code_cell("1", id="one")])
    (fault,) = kinds.kind_faults("hw7", old)
    assert "cell one must have exactly one kind" in fault


# --- the command


@pytest.fixture
def here(project, monkeypatch):
    """The sample project, as the one that the command works on."""
    monkeypatch.setattr(kinds, "Project", lambda: project)
    return project


def change(project: Project, cell_id: str, edit) -> None:
    """Let `edit` change a cell of the sample's source."""
    source = catalogue.read_notebook(project.source("sample"))
    edit(next(cell for cell in source.cells if cell.id == cell_id))
    catalogue.write_notebook(source, project.source("sample"))


def test_the_command_writes_what_follows_and_check_only_tells(here, capsys):
    assert kinds.main(["--check"]) == 0
    change(here, "figure", lambda cell: cell.metadata.pop("cellView"))
    before = here.source("sample").read_bytes()
    assert kinds.main(["--check"]) == 1
    assert "sample: its cells do not fold as their kinds say" in capsys.readouterr().out
    assert here.source("sample").read_bytes() == before
    assert kinds.main([]) == 0 and kinds.main(["--check"]) == 0


def test_the_command_refuses_a_fault_and_writes_nothing(here, capsys):
    change(here, "figure", lambda cell: cell.metadata.update(tags=["report", "check"]))
    before = here.source("sample").read_bytes()
    assert kinds.main([]) == 1
    assert "✗ sample: cell figure must have exactly one kind" in capsys.readouterr().err
    assert here.source("sample").read_bytes() == before


# --- publishing: how a cell folds is prose


def to_check(cell):
    cell.metadata["tags"] = ["check"]
    cell.source = catalogue.TITLE.sub("", cell.source)


def retitle(cell):
    cell.source = cell.source.replace("Show the code of this figure", "Show how it is drawn")


@pytest.mark.parametrize("edit", [to_check, retitle])
def test_another_kind_or_title_needs_no_run(here, monkeypatch, edit):
    monkeypatch.setattr(execute.papermill, "execute_notebook", None)
    entry = here.entry("sample")
    change(here, "figure", edit)
    assert kinds.main([]) == 0
    assert publish.state(here, entry) == "prose"
    assert any("(cells: figure)" in fault for fault in publish.book_faults(here))
    publish.refresh(here, entry)
    assert publish.state(here, entry) == "fresh" and publish.book_faults(here) == []
    copy, source = (
        catalogue.read_notebook(p) for p in (here.copy("sample"), here.source("sample"))
    )
    (figure,), (wanted,) = (
        [cell for cell in book.cells if cell.id == "figure"] for book in (copy, source)
    )
    assert (figure.source, figure.metadata) == (wanted.source, wanted.metadata)
    assert figure.outputs and kinds.with_kinds("sample", copy) == copy


@pytest.mark.parametrize("key", ["cellView", "jupyter"])
def test_folding_that_the_copy_lacks_is_noticed(project, key):
    copy = catalogue.read_notebook(project.copy("sample"))
    next(cell for cell in copy.cells if cell.id == "figure").metadata.pop(key)
    source = catalogue.read_notebook(project.source("sample"))
    assert catalogue.source_hash(copy) != catalogue.source_hash(source)
    assert catalogue.code_hash(copy) == catalogue.code_hash(source)


def test_a_title_is_not_code_and_all_else_is():
    plain, titled = (notebook(code(text, "report")) for text in ("plot()", TITLED))
    assert catalogue.code_hash(plain) == catalogue.code_hash(titled)
    for text in ("plot(1)", "# a comment\nplot()", "plot()\n# @title Show", "# @titled\nplot()"):
        other = notebook(code(text, "report"))
        assert catalogue.code_hash(other) != catalogue.code_hash(plain)
