"""The edition for nbgrader: which cells a student writes, which earn points, and how many."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from catalogue import Entry, tags
from kinds import with_kinds
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from solutions import EditionError, headings, regions, with_requests

POINTS = re.compile(r"\[(\d+(?:\.\d+)?) points?\]\s*$")

COURSE_SETTINGS = '''\
"""The settings of this nbgrader course: `nbgrader generate_assignment hw7` and so on."""

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "cnn-homework"
# What stands in an assignment where its solution was. Cells that wait for an answer know the stub
# by its first word.
c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("Write your answer here.")'}
c.ClearSolutions.text_stub = "*Write your answer here.*"
# A cell may train a network for a while; with nbgrader's own limit of 30 s it would be cut off.
c.Execute.timeout = 900
'''

GO_ON = """\
# @title Show how a cell that waits for an answer goes on
from helpers import student

student.go_on()"""


@dataclass(frozen=True)
class Section:
    """A section whose heading promises points, and the points of the cells below it."""

    heading: str
    promised: float
    given: tuple[float, ...]


def sections(notebook: NotebookNode) -> list[Section]:
    """Return the sections whose headings name points, as in `## (b) Time [25 points]`.

    A section ends at the next heading that names points, or that is of its level or above.
    Raises `EditionError` for a cell with points outside such a section.
    """
    found: list[Section] = []
    level = 0
    for cell in notebook.cells:
        for _, depth, words in headings(cell.source) if cell.cell_type == "markdown" else []:
            promise = POINTS.search(words)
            if promise:
                found.append(Section(words, float(promise[1]), ()))
                level = depth
            elif depth <= level:
                level = 0
        if "points" in cell.metadata:
            if not level:
                raise EditionError(f"cell {cell.id} has points, but the heading above it has none")
            last = found[-1]
            found[-1] = Section(last.heading, last.promised, (*last.given, _points(cell)))
    return found


def point_faults(notebook: NotebookNode) -> list[str]:
    """Return a sentence for each heading whose points its cells do not add up to."""
    return [
        f"{section.heading}: its cells have {sum(section.given):g} points"
        for section in sections(notebook)
        if abs(sum(section.given) - section.promised) > 1e-9
    ]


def graded_edition(notebook: NotebookNode, entry: Entry) -> NotebookNode:
    """Return a source as the instructor's notebook of an nbgrader assignment.

    Solution cells keep their marks, which `nbgrader generate_assignment` strips; a check with
    points becomes a test with partial credit, and all other code is read-only. Raises
    `EditionError` when points do not add up, or a cell cannot be graded as it stands.
    """
    if faults := point_faults(notebook):
        raise EditionError("\n".join(f"{entry.name}: {fault}" for fault in faults))
    notebook.cells = [new for cell in notebook.cells for new in _graded(cell, entry)]
    return with_kinds(entry.name, notebook)


def go_on() -> NotebookNode:
    """Return the cell that lets an unfinished notebook run to its end."""
    return new_code_cell(GO_ON, id="student", metadata={"tags": ["set-up"]})


def _graded(cell: NotebookNode, entry: Entry) -> Iterator[NotebookNode]:
    """Yield what becomes of one cell."""
    points = _points(cell) if "points" in cell.metadata else None
    where = f"{entry.name}:{cell.id}"
    is_code = cell.cell_type == "code"
    if is_code and regions(cell.source, where):
        cell.source = with_requests(cell.source, where)
        yield _marked(cell, points, solution=True)
    elif is_code and points is not None and "check" in tags(cell):
        cell.source = _test(cell.source, points, where)
        yield _marked(cell, points, solution=False)
    elif is_code:
        yield _locked(cell)
        if points is not None:
            yield _task(cell, points)
    elif "answer" in tags(cell):
        # nbgrader takes no written answer that is not graded: one without points is worth none.
        yield _marked(cell, points or 0, solution=True)
    elif points is not None:
        raise EditionError(f"cell {where} has points, and neither asks nor shows anything")
    else:
        yield cell
    if "bootstrap" in tags(cell):
        yield _locked(go_on())
    if "parameters" in tags(cell):
        yield _locked(_quick_parameters(entry))


def _test(source: str, points: float, where: str) -> str:
    """Return a check, `checks.hw7.train(train)`, as a test whose value is the points earned."""
    try:
        (line,) = ast.parse(source).body
        call = line.value
        (answer,) = call.args
        check = ast.unparse(call.func)
        fits = isinstance(answer, ast.Name) and check.startswith("checks.") and not call.keywords
    except (SyntaxError, ValueError, AttributeError):
        fits = False
    if not fits:
        raise EditionError(
            f"cell {where} has points, so it must be one check of one name, such as "
            "checks.hw7.train(train)"
        )
    # A name that a submission does not define is `None`, and not a NameError before the check.
    return f'checks.graded({check}, globals().get("{answer.id}"), points={points:g})'


def _quick_parameters(entry: Entry) -> NotebookNode:
    lines = [
        "# @title Show the small settings for grading",
        "import os",
        "",
        'if "NBGRADER_EXECUTION" in os.environ:  # nbgrader runs this: small, and no download',
        *(f"    {name} = {_literal(value)}" for name, value in entry.quick.items()),
    ]
    metadata = {"tags": ["set-up"]}
    return new_code_cell("\n".join(lines), id="quick-parameters", metadata=metadata)


def _literal(value: object) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _task(cell: NotebookNode, points: float) -> NotebookNode:
    """Return the cell that earns the points, given by hand, for what the code above it shows."""
    worth = f"{points:g} point{'' if points == 1 else 's'}"
    text = f"*What the cell above shows earns up to {worth}, given by a person.*"
    task = new_markdown_cell(text, id=f"{cell.id}-points")
    task.metadata["nbgrader"] = _settings(task, task=True, locked=True) | {"points": points}
    return task


def _locked(cell: NotebookNode) -> NotebookNode:
    cell.metadata["nbgrader"] = _settings(cell, locked=True)
    return cell


def _marked(cell: NotebookNode, points: float | None, *, solution: bool) -> NotebookNode:
    """Return a cell that is written by the student, graded, or both and then graded by hand."""
    is_graded = points is not None
    settings = _settings(cell, grade=is_graded, solution=solution, locked=not solution)
    cell.metadata["nbgrader"] = settings | ({"points": points} if is_graded else {})
    return cell


def _settings(
    cell: NotebookNode,
    *,
    grade: bool = False,
    solution: bool = False,
    locked: bool = False,
    task: bool = False,
) -> NotebookNode:
    """Return nbgrader's metadata, version 3; the cell's id is its name in the gradebook."""
    return NotebookNode(
        schema_version=3,
        grade_id=cell.id,
        grade=grade,
        solution=solution,
        locked=locked,
        task=task,
    )


def _points(cell: NotebookNode) -> float:
    points = cell.metadata["points"]
    if isinstance(points, bool) or not isinstance(points, int | float) or not points > 0:
        raise EditionError(f"cell {cell.id}: points = {points!r}: expected a number above 0")
    return points
