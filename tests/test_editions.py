"""The editions for students: what is left out, what stays, and what an unfinished notebook does."""

import html
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import catalogue
import chapter
import editions
import grading
import nbformat
import publish
import pytest
import solutions
import stamp
import submissions
from catalogue import Project, tags
from conftest import ADDRESS, REF, ROOT, make_project
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from solutions import EditionError

FILLED = {
    "squares": "    return [number * number for number in numbers]",
    "net": "        return X + X",
    "scale": "scale, shift = 255, 0.5",
}


@pytest.fixture
def sample(tmp_path) -> Project:
    """A project with one converted chapter, nothing published."""
    project = make_project(tmp_path / "project")
    catalogue.write_notebook(chapter.chapter(), project.source("sample"))
    return project


def by_id(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """Return the cells of a notebook by their ids."""
    return {cell.id: cell for cell in notebook.cells}


def edit(project: Project, cell: str, old: str, new: str) -> None:
    """Replace a piece of a cell of the sample's source, which must occur in it once."""
    source = catalogue.read_notebook(project.source("sample"))
    text = by_id(source)[cell].source
    assert text.count(old) == 1
    by_id(source)[cell].source = text.replace(old, new)
    catalogue.write_notebook(source, project.source("sample"))


def filled(notebook: NotebookNode, **code: str) -> NotebookNode:
    """Return a student's notebook with `code` in the place of the stubs of these cells."""
    for name, lines in code.items():
        cell = by_id(notebook)[name]
        kept = [line for line in cell.source.split("\n") if "raise NotImplementedError" not in line]
        at = [n for n, line in enumerate(cell.source.split("\n")) if "raise NotImpl" in line][0]
        cell.source = "\n".join([*kept[:at], lines, *kept[at:]])
    return notebook


def run(notebook: NotebookNode, folder: Path, **options: object) -> dict[str, str]:
    """Run a notebook in a kernel and return each code cell's printed text, by the cell's id."""
    NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": folder}}, **options
    ).execute()
    return {
        cell.id: "".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream")
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


# --- stubs


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            'def f(x):\n    """Return x. Then more."""\n    ### BEGIN SOLUTION\n    return x\n'
            "    ### END SOLUTION\n\n\ndef g():\n    return 1",
            'def f(x):\n    """Return x. Then more."""\n    raise NotImplementedError("Write `f`: '
            'return x.")\n\n\ndef g():\n    return 1',
        ),
        (
            "class A:\n    def f(self):\n        y = 1\n        ### BEGIN SOLUTION: twice y\n"
            "        y = 2 * y\n        ### END SOLUTION\n        return y",
            "class A:\n    def f(self):\n        y = 1\n        raise NotImplementedError("
            '"Write the missing lines of `A.f`: twice y")\n        return y',
        ),
        (
            "### BEGIN SOLUTION\na, b = 1, 2\n### END SOLUTION\nprint(a)",
            'raise NotImplementedError("Write `a` and `b`.")\nprint(a)',
        ),
        (
            "### BEGIN SOLUTION\ndef f(x):\n    \"\"\"Return x.\"\"\"\n    return x\n\n\n"
            "### END SOLUTION\n\n\ndef g(x):\n    ### BEGIN SOLUTION\n    return f(x)\n"
            "    ### END SOLUTION",
            'def f(x):\n    """Return x."""\n    raise NotImplementedError("Write `f`: return x.")'
            '\n\n\ndef g(x):\n    raise NotImplementedError("Write `g`.")',
        ),
        ("x = 1", "x = 1"),
        ("%pip install x", "%pip install x"),
    ],
    ids=["function", "method", "module", "whole functions", "none", "magic"],
)  # fmt: skip
def test_a_stub_names_what_is_to_be_written_and_all_else_stays(before, after):
    assert solutions.stubbed(before, "cell") == after


def test_a_long_stub_is_broken_and_says_the_same():
    request = "the losses of all steps, one for each, in the order in which the steps were taken"
    source = f"def train():\n    ### BEGIN SOLUTION: {request}\n    pass\n    ### END SOLUTION"
    stub = solutions.stubbed(source, "cell")
    assert max(map(len, stub.split("\n"))) <= 100
    names = {}
    exec(stub, names)
    with pytest.raises(NotImplementedError, match=f"^Write `train`: {request}$"):
        names["train"]()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("### BEGIN SOLUTION\nx = 1", "line 1: this solution has no end"),
        ("x = 1\n### END SOLUTION", "line 2: this end has no beginning"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION", "a solution inside"),
        ("if x:\n    ### BEGIN SOLUTION\n    x\n### END SOLUTION", "no beginning above it"),
        ("# BEGIN SOLUTION\nx = 1\n# END SOLUTION", "line 1: '# BEGIN SOLUTION' is no mark"),
        ("### BEGIN SOLUTION\nx = (\n### END SOLUTION", "not plain Python"),
        ("### BEGIN SOLUTION\nx = 1\n### END SOLUTION\ndef f(): ...", "f stands behind"),
    ],
)
def test_marks_that_are_not_in_order_are_refused(source, reason):
    with pytest.raises(EditionError, match=f"cell here.*{re.escape(reason)}"):
        solutions.stubbed(source, "here")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_the_solutions_of_every_source_can_be_left_out(path):
    notebook = catalogue.read_notebook(path)
    cells = [c for c in notebook.cells if c.cell_type == "code" and "SOLUTION" in c.source]
    assert cells
    for cell in cells:
        stub = solutions.stubbed(cell.source, cell.id)
        assert "SOLUTION" not in stub and "NotImplementedError" in stub
        compile(stub, cell.id, "exec")


# --- prose


def test_the_prose_of_the_student_edition_has_no_stamps_and_no_answers(sample):
    cells = by_id(editions.student_edition(sample, "sample"))
    assert cells["discussion-question"].source == (
        "### What follows?\n\n*Your answer (3 points):* Why is the square never negative?"
    )
    assert cells["discussion"].source == "" and tags(cells["discussion"]) == ["answer"]
    assert cells["predict"].source.startswith("Predict first: is it **3** or more?\n\n<details>")
    assert "It is more." in cells["predict"].source
    exercises = cells["exercises"].source
    assert "Nothing" not in exercises and "One." not in exercises
    assert "2. And $1^2$?" in exercises and exercises.endswith("## Summary\n\nIt ran.")
    assert "`<!-- not a stamp -->`" in exercises


def test_a_fold_called_a_solution_goes_wherever_it_stands_and_exercises_end_at_the_next_heading():
    fold = "\n\n<details><summary>{}</summary>{}</details>"
    texts = [
        "# A" + fold.format("A <b>solution</b>", "gone") + fold.format("Answer", "kept 1"),
        "## Exercises" + fold.format("Answer", "gone"),
        "### Exercise 2\n```\n# no heading\n```" + fold.format("Hint", "gone"),
        "## End" + fold.format("Answer", "kept 2"),
    ]
    left = "\n".join(solutions.without_solutions(texts))
    assert "gone" not in left and "kept 1" in left and "kept 2" in left
    assert "# no heading" in left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("**3**<!-- a.b | .1f --> s", "**3** s"),
        ("a\n<!-- holds: a > b -->\n\nb", "a\n\nb"),
        ("a <!-- x --> b <!-- y -->", "a  b "),
        ("```html\n<!-- kept -->\n```", "```html\n<!-- kept -->\n```"),
        ("<!-- several\nlines -->\na", "a"),
    ],
)
def test_comments_leave_the_prose_but_not_the_code(text, left):
    assert solutions.plain(text) == left


# --- the student edition as a file


def test_the_student_edition_keeps_cells_and_has_links_of_its_own(sample):
    source = catalogue.read_notebook(sample.source("sample"))
    edition = editions.student_edition(sample, "sample")
    nbformat.validate(edition)
    added = {"student", "discussion-question"}
    assert [c.id for c in edition.cells if c.id not in added] == [c.id for c in source.cells]
    text = editions.as_text(edition)
    assert "SOLUTION" not in text and "number**2" not in text and "never negative?" in text
    for link in (
        f"colab.research.google.com/github/{ADDRESS}/blob/{REF}/student/notebooks/sample.ipynb",
        f"raw.githubusercontent.com/{ADDRESS}/{REF}/student/notebooks/sample.ipynb",
        f"//github.com/{ADDRESS}/blob/{REF}/book/notebooks/sample.ipynb",
    ):
        assert link in text
    assert "def total" in text and "def describe" in text
    assert by_id(edition)["loop"].metadata["jupyter"] == {"source_hidden": True}
    assert by_id(edition)["student"].metadata["cellView"] == "form"


def test_drift_is_told_and_mended(sample, monkeypatch, capsys):
    monkeypatch.setattr(editions, "Project", lambda: sample)
    path = editions.student_path(sample, "sample")
    assert editions.main(["student", "--check"]) == 1 and not path.exists()
    assert editions.main(["student"]) == 0 and editions.main(["student", "--check"]) == 0
    edit(sample, "squares", "need too", "need as well")
    stray = path.with_name("stray.ipynb")
    stray.write_text("{}")
    assert editions.main(["student", "--check"]) == 1
    told = capsys.readouterr().out
    assert "student/notebooks/sample.ipynb is out of date" in told and "stray.ipynb" in told
    assert editions.main(["student"]) == 0 and not stray.exists()
    assert "need as well" in path.read_text(encoding="utf-8")
    edit(sample, "squares", "### END SOLUTION", "")
    assert editions.main(["student"]) == 1
    assert "✗ cell sample:squares, line 3: this solution has no end" in capsys.readouterr().err


def test_the_committed_student_edition_is_that_of_todays_sources():
    assert editions.drifted(Project()) == []


def test_a_notebook_without_kinds_has_no_student_edition(sample):
    source = catalogue.read_notebook(sample.source("sample"))
    for cell in source.cells:
        cell.metadata.pop("tags", None)
    catalogue.write_notebook(source, sample.source("sample"))
    assert editions.converted(sample) == [] and editions.write(sample) == []


def test_a_title_cell_without_links_is_refused(sample):
    edit(sample, "title", "[Open in Colab]", "[Colab]")
    with pytest.raises(EditionError, match="title cell"):
        editions.student_edition(sample, "sample")


def test_a_new_address_and_a_published_run_reach_the_student_edition(project):
    path = editions.student_path(project, "sample")
    assert path.exists() and editions.drifted(project) == []
    stamp.stamp(project, "https://github.com/ann-lee/cnn.v2", "dev")
    text = path.read_text(encoding="utf-8")
    assert ADDRESS not in text and "ann-lee/cnn.v2/blob/dev/student/notebooks/sample.ipynb" in text
    assert editions.drifted(project) == []
    source = catalogue.read_notebook(project.source("sample"))
    by_id(source)["summary"].source += "\n\nIt was quick."
    catalogue.write_notebook(source, project.source("sample"))
    publish.refresh(project, project.entry("sample"))
    assert "It was quick." in path.read_text(encoding="utf-8")


# --- running an unfinished notebook


def test_an_unfinished_notebook_runs_to_its_end_and_says_what_it_waits_for(sample):
    printed = run(editions.student_edition(sample, "sample"), sample.root)
    waits = "○ waits for {}, which is still to be written\n"
    assert printed["squares-check"].startswith("○ ") and "`squares`" in printed["squares-check"]
    assert printed["squares-check"].count("\n") == 1
    assert printed["loop"] == waits.format("`Net.forward`")
    assert printed["table"] == waits.format("`Net.forward`")  # `models` was begun, and is gone
    assert printed["figure"] == waits.format("`squares`")
    assert printed["scale"] == "○ still to be written: `scale` and `shift`\n"
    assert printed["scaled"] == waits.format("`scale` and `shift`").replace("is still", "are still")


def test_a_half_written_notebook_runs_what_it_can(sample):
    edition = filled(editions.student_edition(sample, "sample"), squares=FILLED["squares"])
    printed = run(edition, sample.root)
    assert printed["squares-check"].startswith("✓ squares")
    assert printed["figure"] == ""
    assert [o.output_type for o in by_id(edition)["figure"].outputs] == ["display_data"]
    assert printed["loop"].startswith("○ waits for `Net.forward`")


def test_a_finished_notebook_runs_as_its_source_does(sample):
    printed = run(filled(editions.student_edition(sample, "sample"), **FILLED), sample.root)
    source = run(catalogue.read_notebook(sample.source("sample")), sample.root)
    assert {name: text for name, text in printed.items() if name != "student"} == source
    assert printed["table"] == "best: 6\n"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("total(nummers)", "NameError"),
        ("total([nummer])", "NameError"),
        ("total(numbers, 1)", "TypeError"),
        ("raise NotImplementedError('later')", "NotImplementedError"),
        ("raise NotImplementedError", "NotImplementedError"),
        ("raise ReaderError('the answer is wrong')", "ReaderError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_every_other_error_stays_an_error(tmp_path, code, name):
    cells = [
        "from helpers import student\nfrom helpers.errors import ReaderError\nstudent.go_on()",
        'raise NotImplementedError("Write `missing`.")',
        "def total(numbers):\n    return sum(numbers)\n\n\nnumbers = [1]",
        code,
    ]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    run(notebook, tmp_path, allow_errors=True)
    assert [o.get("ename", "") for cell in notebook.cells for o in cell.outputs] == ["", name]


def test_the_traceback_of_such_an_error_is_the_usual_one(tmp_path):
    def traceback_after(first: str) -> str:
        failing = "def f():\n    return no_such_name\n\n\nf()"
        notebook = new_notebook(cells=[new_code_cell(first), new_code_cell(failing)])
        run(notebook, tmp_path, allow_errors=True)
        (error,) = notebook.cells[1].outputs
        assert error.ename == "NameError"
        return re.sub(r"/\S*ipykernel\S*|0x\w+", "", "\n".join(error.traceback))

    twice = "from helpers import student\nstudent.go_on()\nstudent.go_on()"
    assert traceback_after(twice) == traceback_after("pass")


def test_outside_ipython_nothing_happens():
    code = "from helpers import student; student.go_on(); print('fine')"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout == "fine\n", ran.stderr


# --- nbgrader's edition


def test_the_graded_edition_marks_what_is_written_graded_and_read_only(sample, tmp_path):
    (path,) = editions.write_course(sample, tmp_path / "course")
    notebook = catalogue.read_notebook(path)
    nbformat.validate(notebook)
    role = {}
    for cell in notebook.cells:
        settings = cell.metadata.get("nbgrader")
        if settings:
            assert settings.grade_id == cell.id and settings.schema_version == 3
            flags = [f for f in ("grade", "solution", "locked", "task") if settings[f]]
            role[cell.id] = (*flags, *([settings.points] if "points" in settings else []))
    assert role["squares"] == role["net"] == ("solution",)
    assert role["squares-check"] == ("grade", "locked", 4)
    assert role["scale"] == ("grade", "solution", 2)
    assert role["discussion"] == ("grade", "solution", 3)
    assert role["loop-points"] == ("locked", "task", 1)
    code = {cell.id for cell in notebook.cells if cell.cell_type == "code"}
    assert all(role[name] == ("locked",) for name in code - {"squares", "net", "scale"}
               - {"squares-check", "net-check"})  # fmt: skip
    cells = by_id(notebook)
    assert cells["squares-check"].source == (
        'checks.graded(checks.squares, globals().get("squares"), points=4)'
    )
    assert "[Open in Colab]" not in cells["title"].source
    assert "# Write `scale` and `shift`.\n### BEGIN SOLUTION" in cells["scale"].source
    assert 'dataset = "stand-in"' in cells["quick-parameters"].source
    assert "One." not in cells["exercises"].source and "<!-- models" not in path.read_text()


def test_an_instructors_settings_are_not_overwritten(sample, tmp_path):
    tmp_path.joinpath("nbgrader_config.py").write_text("# mine")
    editions.write_course(sample, tmp_path)
    assert tmp_path.joinpath("nbgrader_config.py").read_text() == "# mine"


@pytest.mark.parametrize(
    ("cell", "old", "new", "reason"),
    [
        ("squares-text", "[4 points]", "[5 points]", r"\(a\) Squares .*: its cells have 4 points"),
        ("squares-text", " [4 points]", "", "squares-check has points, but the heading"),
        ("squares-check", "(squares)", "(squares, 3)", "one check of one name"),
        ("squares-check", "(squares)", "(squares)\nprint()", "one check of one name"),
        ("squares-check", "checks.squares(", "print(", "one check of one name"),
    ],
)
def test_points_that_cannot_be_given_are_refused(sample, tmp_path, cell, old, new, reason):
    edit(sample, cell, old, new)
    with pytest.raises(EditionError, match=reason):
        editions.write_course(sample, tmp_path)


@pytest.mark.parametrize("points", [0, -1, "2", True, None])
def test_points_are_numbers_above_zero(sample, tmp_path, points):
    source = catalogue.read_notebook(sample.source("sample"))
    by_id(source)["net-check"].metadata["points"] = points
    with pytest.raises(EditionError, match="expected a number above 0"):
        grading.sections(source)


def test_points_belong_to_the_section_of_their_heading():
    def text(source: str, **metadata: object) -> NotebookNode:
        return new_markdown_cell(source, metadata=metadata)

    cells = [text("## A [3 points]"), text("### x"), text("a", points=1), text("b", points=2.0)]
    cells += [text("```\n# code\n```"), text("## (b) B [1 point]"), text("c", points=1)]
    notebook = new_notebook(cells=cells)
    assert grading.point_faults(notebook) == []
    assert [s.given for s in grading.sections(notebook)] == [(1, 2.0), (1,)]
    notebook.cells += [text("## C"), text("d", points=1)]
    with pytest.raises(EditionError, match="the heading above it has none"):
        grading.sections(notebook)


@pytest.mark.parametrize("entry", editions.converted(Project()), ids=lambda entry: entry.name)
def test_the_points_of_every_converted_chapter_add_up(entry):
    assert grading.point_faults(catalogue.read_notebook(Project().source(entry.name))) == []


needs_nbgrader = pytest.mark.skipif(
    importlib.util.find_spec("nbgrader") is None, reason="nbgrader is not installed"
)


class Course:
    """An nbgrader course in a folder: it hands out, takes in, grades, and gives feedback."""

    def __init__(self, folder: Path, assignment: str):
        self.folder, self.assignment = folder, assignment

    def nbgrader(self, command: str) -> None:
        """Run one of nbgrader's commands on the assignment."""
        scripts = str(Path(sys.executable).parent)  # nbgrader calls `alembic`
        env = os.environ | {"PATH": scripts + os.pathsep + os.environ["PATH"]}
        ran = subprocess.run(
            [sys.executable, "-m", "nbgrader", command, self.assignment],
            **{"cwd": self.folder, "env": env | {"PYTHONPATH": str(ROOT)}},
            **{"capture_output": True, "text": True},
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def answers(self) -> dict[str, str]:
        """Return the right answers, by the ids of their cells."""
        folder = self.folder / "source" / self.assignment
        source = catalogue.read_notebook(folder / f"{self.assignment}.ipynb")
        written = [c for c in source.cells if c.metadata.get("nbgrader", {}).get("solution")]
        return {cell.id: cell.source for cell in written}

    def with_others(self, others: dict[str, str]) -> dict[str, str]:
        """Return the right answers with other code at their ends, by what a cell defines."""
        answers = self.answers()
        for definition, code in others.items():
            (cell,) = (name for name, text in answers.items() if f"\n{definition}(" in f"\n{text}")
            answers[cell] += f"\n\n{code}"
        return answers

    def submit(self, student: str, answers: dict[str, str]) -> None:
        """Hand in the released notebook with `answers` as the sources of these cells."""
        name = f"{self.assignment}.ipynb"
        notebook = catalogue.read_notebook(self.folder / "release" / self.assignment / name)
        for cell_id, source in answers.items():
            by_id(notebook)[cell_id].source = source
        path = self.folder / "submitted" / student / self.assignment / name
        catalogue.write_notebook(notebook, path)

    def scores(self, student: str) -> dict[str, float | None]:
        """Return the points that nbgrader gave for each cell; None where a person has to."""
        from nbgrader.api import Gradebook

        with Gradebook(f"sqlite:///{self.folder}/gradebook.db", "cnn-homework") as book:
            (notebook,) = book.find_submission(self.assignment, student).notebooks
            return {grade.name: grade.auto_score for grade in notebook.grades}

    def errors(self, student: str) -> list[tuple[str, str]]:
        """Return the cells that ended in an error when they were graded, with the error."""
        folder = self.folder / "autograded" / student / self.assignment
        notebook = catalogue.read_notebook(folder / f"{self.assignment}.ipynb")
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        return [(c.id, o.ename) for c in code for o in c.outputs if o.output_type == "error"]

    def feedback(self, student: str) -> str:
        """Return the feedback's HTML."""
        folder = self.folder / "feedback" / student / self.assignment
        return (folder / f"{self.assignment}.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def graded_sample(tmp_path_factory) -> Course:
    """The sample's assignment, with four submissions graded."""
    root = tmp_path_factory.mktemp("graded")
    project = make_project(root / "project")
    catalogue.write_notebook(chapter.chapter(), project.source("sample"))
    return graded(project, "sample", root / "course", SAMPLE_SUBMISSIONS)


SAMPLE_SUBMISSIONS = {
    "half": {
        "squares": "import warnings\n\n\ndef squares(numbers):\n    warnings.warn('a warning')\n"
        "    return [n * abs(n) for n in numbers]"
    },
    "wrong": {"squares": "def squares(x):\n    return x * 2", "net": "class Net: pass"},
    "empty": {},
}


def graded(project: Project, name: str, folder: Path, submissions: dict[str, dict]) -> Course:
    """Write a course, hand in the right answers and what `submissions` say, and grade it all."""
    course = released(project, name, folder)
    course.submit("right", course.answers())
    for student, answers in submissions.items():
        course.submit(student, answers)
    course.nbgrader("autograde")
    course.nbgrader("generate_feedback")
    return course


def released(project: Project, name: str, folder: Path) -> Course:
    """Write a course and generate its assignment."""
    editions.write_course(project, folder)
    course = Course(folder, name)
    course.nbgrader("generate_assignment")
    return course


@needs_nbgrader
@pytest.mark.long
def test_nbgrader_gives_partial_credit_and_leaves_the_rest_to_a_person(graded_sample):
    by_hand = {"discussion": None, "scale": None, "loop-points": None}
    unanswered = by_hand | {"discussion": 0, "scale": 0}
    assert graded_sample.scores("right") == {"squares-check": 4, "net-check": 2.5} | by_hand
    assert graded_sample.scores("half") == {"squares-check": 2, "net-check": 0} | unanswered
    assert graded_sample.scores("wrong") == {"squares-check": 0, "net-check": 0} | unanswered
    assert graded_sample.scores("empty") == {"squares-check": 0, "net-check": 0} | unanswered


@needs_nbgrader
def test_the_feedback_holds_the_reasons(graded_sample):
    assert "the sign is kept" in graded_sample.feedback("half")
    assert "the numbers doubled" in graded_sample.feedback("wrong")
    empty = graded_sample.feedback("empty")
    assert "is not written yet" in empty and "waits for `squares`" in empty
    assert "NameError" not in empty and "NotImplementedError:" not in empty


@needs_nbgrader
def test_what_is_released_holds_no_answer(graded_sample):
    released = (graded_sample.folder / "release/sample/sample.ipynb").read_text(encoding="utf-8")
    assert "SOLUTION" not in released and "number**2" not in released
    assert "Because" not in released and "# Write `scale` and `shift`." in released


CONVERTED = [entry.name for entry in editions.converted(Project())]


@needs_nbgrader
@pytest.mark.parametrize("name", CONVERTED)
@pytest.mark.long
def test_every_converted_chapter_is_graded_as_it_deserves(name, tmp_path):
    course = released(Project(), name, tmp_path)
    course.submit("right", course.answers())
    course.submit("half", course.with_others(submissions.HALF[name]))
    course.submit("wrong", course.with_others(submissions.WRONG[name]))
    course.submit("empty", {})
    course.nbgrader("autograde")
    course.nbgrader("generate_feedback")

    source = catalogue.read_notebook(tmp_path / "source" / name / f"{name}.ipynb")
    tests = {
        re.search(r'get\("(\w+)"\)', cell.source)[1]: (cell.id, cell.metadata["nbgrader"]["points"])
        for cell in source.cells
        if "checks.graded(" in cell.source
    }
    partly = submissions.PARTLY[name]
    assert tests.keys() == partly.keys()
    scores = {student: course.scores(student) for student in ("right", "half", "wrong", "empty")}
    of = {
        student: {answer: scores[student][cell] for answer, (cell, _) in tests.items()}
        for student in scores
    }
    full = {answer: points for answer, (_, points) in tests.items()}
    assert of["right"] == full
    shares = {answer: share * full[answer] for answer, (share, _) in partly.items()}
    assert of["half"] == pytest.approx(shares, abs=0.01)
    assert set(of["wrong"].values()) == set(of["empty"].values()) == {0}
    by_hand = set(scores["right"]) - {cell for cell, _ in tests.values()}
    assert by_hand and all(scores["right"][cell] is None for cell in by_hand)

    text = {student: html.unescape(course.feedback(student)) for student in scores}
    assert all(reason in text["half"] for _, reason in partly.values())
    assert text["wrong"].count("✗") >= len(tests)
    assert "○ waits for" in text["empty"] and "is not written yet" in text["empty"]
    assert course.errors("right") == course.errors("empty") == []


@pytest.mark.parametrize(
    "error", ["NameError('no', name='train')", "NotImplementedError('Write `f`.')"]
)
def test_a_cell_that_earns_points_never_counts_as_done_without_them(tmp_path, error):
    cells = [
        "from types import SimpleNamespace\nfrom helpers import student\nstudent.go_on()",
        'raise NotImplementedError("Write `train`.")',
        f"def graded():\n    raise {error}\n\n\nchecks = SimpleNamespace(graded=graded)",
        "checks.graded()",
    ]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    run(notebook, tmp_path, allow_errors=True)
    assert [o.output_type for o in notebook.cells[-1].outputs] == ["error"]
