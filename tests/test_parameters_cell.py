"""The comments of a parameters cell come from the declaration, and say the same."""

import catalogue
import papermill
import parameters_cell
import pytest
from catalogue import CatalogueError, Project
from conftest import ROOT, make_project, sample_notebook
from nbformat import NotebookNode

from helpers import parameters

SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))
DECLARING = [
    path for path in SOURCES if parameters_cell.declaration_of(catalogue.read_notebook(path))
]

LITERALS = """# What a reader may change.
steps = 30_000
rates = [0.1, 0.2]  # an old comment
name = "größe"   # nothing

many = [
    1,  # the first
    2,
]"""
DOCUMENTED = """# What a reader may change.
steps = 30_000  # gradient steps; a whole number of at least 1
rates = [0.1, 0.2]  # candidates; a list of finite numbers above 0
name = "größe"  # what is counted; one of 'größe', 'zahl'

many = [
    1,  # the first
    2,
]  # sizes; a list of whole numbers of at least 1"""
DECLARATION = """from somewhere_else import whatever

whatever.train(not_defined_here)
chosen = parameters.declare(
    globals(),
    steps=parameters.Integer("gradient steps", minimum=1),
    rates=parameters.Numbers("candidates", above=0),
    name=parameters.Choice("what is counted", ("größe", "zahl")),
    many=parameters.Integers("sizes", minimum=1),
)"""


def notebook(literals: str = LITERALS, declaration: str = DECLARATION) -> NotebookNode:
    """Return the tests' small notebook with these two cells."""
    made = sample_notebook()
    made.cells[2].source, made.cells[3].source = literals, declaration
    return made


def test_comments_come_from_the_declaration_and_literals_stay():
    assert parameters_cell.documented(notebook()) == DOCUMENTED
    assert parameters_cell.documented(notebook(DOCUMENTED)) == DOCUMENTED


def test_papermill_shows_the_comments(tmp_path):
    written = notebook(DOCUMENTED)
    catalogue.write_notebook(written, tmp_path / "sample.ipynb")
    shown = papermill.inspect_notebook(tmp_path / "sample.ipynb")
    kinds = parameters_cell.declaration_of(written)
    assert {name: entry["help"] for name, entry in shown.items()} == {
        name: kind.comment for name, kind in kinds.items()
    }
    assert shown["steps"]["default"] == "30_000"


@pytest.mark.parametrize(
    "literals, declaration, sentence",
    [
        (LITERALS + "\nextra = 1", DECLARATION, "the parameter extra is not declared"),
        (
            LITERALS.replace("steps = 30_000\n", ""),
            DECLARATION,
            "steps is declared, but the parameters cell does not set it",
        ),
        (LITERALS, DECLARATION + "\n" + DECLARATION, "parameters.declare is called 2 times"),
        (
            LITERALS,
            DECLARATION.replace("minimum=1),\n    rates", "minimum=lowest),\n    rates"),
            r"steps=.* cannot be evaluated \(name 'lowest' is not defined\); it may use only "
            "literals, data and parameters",
        ),
        (
            LITERALS,
            DECLARATION.replace("minimum", "least", 1),
            "steps=.* cannot be evaluated .*least",
        ),
        (
            LITERALS,
            DECLARATION.replace('parameters.Numbers("candidates", above=0)', '"candidates"'),
            "rates='candidates' is no kind of parameter",
        ),
        (
            LITERALS,
            DECLARATION.replace("globals(),", "globals(), **others,"),
            r"the declaration \*\*others cannot be evaluated",
        ),
        (
            LITERALS,
            DECLARATION.replace("gradient steps", "gradient steps " + 20 * "on "),
            "steps: the line is 23 characters too long: steps = 30_000  # gradient",
        ),
        (
            LITERALS,
            DECLARATION.replace("candidates", "x = 1"),
            "rates: papermill shows no comment with '='",
        ),
        (LITERALS + "\nlater = steps + 1", DECLARATION, "not a literal in the parameters cell"),
    ],
)
def test_what_does_not_fit_is_refused(literals, declaration, sentence):
    with pytest.raises(CatalogueError, match=sentence):
        parameters_cell.documented(notebook(literals, declaration))


@pytest.fixture
def sample(tmp_path) -> Project:
    """A project whose one notebook declares its parameters, with comments that are old."""
    project = make_project(tmp_path / "project")
    catalogue.write_notebook(notebook(), project.source("sample"))
    return project


def test_the_command_writes_once_and_then_finds_nothing(sample, capsys):
    before = sample.source("sample").read_bytes()
    assert parameters_cell.main(["--check"], sample) == 1
    assert "✗ sample: its comments are not those of its declaration" in capsys.readouterr().err
    assert sample.source("sample").read_bytes() == before
    assert parameters_cell.main([], sample) == 0
    assert capsys.readouterr().out == "sample: comments written\n"
    assert catalogue.read_notebook(sample.source("sample")) == notebook(DOCUMENTED)
    assert parameters_cell.main(["--check"], sample) == 0
    assert parameters_cell.main([], sample) == 0
    assert capsys.readouterr().out == ""


def test_the_command_names_the_notebook_that_cannot_be_written(sample, capsys):
    catalogue.write_notebook(notebook(LITERALS + "\nextra = 1"), sample.source("sample"))
    before = sample.source("sample").read_bytes()
    for arguments in ([], ["--check"]):
        assert parameters_cell.main(arguments, sample) == 1
        assert capsys.readouterr().err == "✗ sample: the parameter extra is not declared\n"
    assert sample.source("sample").read_bytes() == before


def test_a_notebook_that_declares_nothing_is_left_alone(tmp_path):
    project = make_project(tmp_path / "project")
    before = project.source("sample").read_bytes()
    assert parameters_cell.main([], project) == 0
    assert project.source("sample").read_bytes() == before


# --- the notebooks of the book


@pytest.mark.parametrize("path", DECLARING, ids=lambda path: path.stem)
def test_the_books_comments_are_those_of_the_declaration(path):
    notebook = catalogue.read_notebook(path)
    cell = parameters_cell.parameters_cell(notebook)
    assert cell.source == parameters_cell.documented(notebook)


@pytest.mark.parametrize("path", DECLARING, ids=lambda path: path.stem)
def test_the_books_own_settings_are_allowed(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parameters, "cpu_count", lambda: 2)
    notebook, entry = catalogue.read_notebook(path), Project().entry(path.stem)
    kinds = parameters_cell.declaration_of(notebook)
    literals = catalogue.parameters_of(notebook)
    for settings in ({}, entry.published, entry.quick):
        parameters.declare(literals | settings, **kinds)
