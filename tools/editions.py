"""The two editions for students, made from the sources: one to work in, one for nbgrader.

python tools/editions.py student            write student/notebooks/, one notebook a chapter
python tools/editions.py student --check    only say what would change; the exit status is 1 then
python tools/editions.py nbgrader FOLDER    write the sources of an nbgrader course into FOLDER

Both are made of every notebook whose cells have kinds (tools/kinds.py). tools/solutions.py says how
a solution is marked; in both editions it is left out, as are the folded solutions of exercises.
"""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
from catalogue import CatalogueError, Entry, Project, read_notebook, tags, write_notebook
from grading import COURSE_SETTINGS, go_on, graded_edition
from kinds import is_converted, with_kinds
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from solutions import (
    EditionError,
    plain,
    question_and_answer,
    stubbed,
    without_solutions,
)

COLAB = "https://colab.research.google.com/github"
RAW = "https://raw.githubusercontent.com"

ABOUT = """\
**This is the student edition.** The answers are yours to write: in code, where \
`NotImplementedError` is raised, and in words, below *Your answer*. You can run all cells at any \
time. A cell that needs an answer which is not there yet says so in one line, and the notebook \
goes on."""


def converted(project: Project) -> list[Entry]:
    """Return the entries whose source has kinds of cells, in the book's order."""
    return [e for e in project.ready() if is_converted(read_notebook(project.source(e.name)))]


def student_path(project: Project, name: str) -> Path:
    """Return where the student edition of the notebook called `name` stands."""
    return project.root / "student" / "notebooks" / f"{name}.ipynb"


def student_edition(project: Project, name: str) -> NotebookNode:
    """Return the student edition of a source, its cells' ids kept.

    Raises `EditionError` for a source of which none can be made.
    """
    notebook = for_students(read_notebook(project.source(name)))
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = stubbed(cell.source, f"{name}:{cell.id}")
        elif "answer" in tags(cell):
            cell.source = ""
        if cell.id == "title":
            cell.source = with_head(cell.source, student_head(project, name))
        cells.append(cell)
        if "bootstrap" in tags(cell):
            cells.append(go_on())
    notebook.cells = cells
    return with_kinds(name, notebook)


def for_students(notebook: NotebookNode) -> NotebookNode:
    """Return a source whose prose is for students: no stamps, no folded solutions of exercises.

    Above each Markdown answer stands a new cell with what is asked.
    """
    prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    others = [cell for cell in prose if "answer" not in tags(cell)]
    texts = without_solutions([cell.source for cell in others])
    for cell, text in zip(others, texts, strict=True):
        cell.source = plain(text)
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and "answer" in tags(cell):
            prompt, cell.source = question_and_answer(cell.source, cell.metadata.get("points"))
            cells.append(new_markdown_cell(prompt, id=f"{cell.id}-question"))
        cells.append(cell)
    notebook.cells = cells
    return notebook


def student_head(project: Project, name: str) -> str:
    """Return the links of the student edition, and what it is."""
    url, branch = project.address()
    slug = url.removeprefix("https://github.com/")
    path = f"student/notebooks/{name}.ipynb"
    return (
        f"[Open in Colab]({COLAB}/{slug}/blob/{branch}/{path}) ·\n"
        f"[Download this notebook]({RAW}/{slug}/{branch}/{path}) ·\n"
        f"[The chapter with its answers]({url}/blob/{branch}/book/notebooks/{name}.ipynb)\n\n"
        f"{ABOUT}"
    )


def with_head(title: str, head: str) -> str:
    """Return a title cell with `head` in place of the paragraph of links, if it has one.

    Raises `EditionError` when the paragraph below the title is another one.
    """
    paragraphs = re.split(r"\n{2,}", title)
    if len(paragraphs) < 2 or not paragraphs[1].startswith("[Open in Colab]"):
        raise EditionError(
            "the title cell must have the links '[Open in Colab](…)' below its title"
        )
    return "\n\n".join([paragraphs[0], *([head] if head else []), *paragraphs[2:]])


def generated(project: Project) -> dict[Path, str]:
    """Return the text of every student edition of a project, by path."""
    return {
        student_path(project, entry.name): as_text(student_edition(project, entry.name))
        for entry in converted(project)
    }


def as_text(notebook: NotebookNode) -> str:
    """Return a notebook as the text of its file."""
    return nbformat.writes(notebook) + "\n"


def drifted(project: Project) -> list[Path]:
    """Return the files below student/notebooks that are missing, outdated or of no source."""
    wanted = generated(project)
    there = set(student_path(project, "any").parent.glob("*.ipynb"))
    outdated = {path for path, text in wanted.items() if path in there and _read(path) != text}
    return sorted((set(wanted) - there) | (there - set(wanted)) | outdated)


def write(project: Project) -> list[Path]:
    """Bring student/notebooks up to date; return the files that were written or removed."""
    wanted, changed = generated(project), drifted(project)
    for path in changed:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8", newline="\n")
        else:
            path.unlink()
    return changed


def write_course(project: Project, folder: Path) -> list[Path]:
    """Write the sources and the settings of an nbgrader course; return the assignments' files.

    An existing nbgrader_config.py stays as it is.
    """
    written = []
    for entry in converted(project):
        source = for_students(read_notebook(project.source(entry.name)))
        source.cells[0].source = with_head(source.cells[0].source, "")
        notebook = graded_edition(source, entry)
        written.append(folder / "source" / entry.name / f"{entry.name}.ipynb")
        write_notebook(notebook, written[-1])
    settings = folder / "nbgrader_config.py"
    if not settings.exists():
        settings.write_text(COURSE_SETTINGS, encoding="utf-8", newline="\n")
    return written


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _student(project: Project, options: argparse.Namespace) -> int:
    changed = drifted(project) if options.check else write(project)
    for path in changed:
        name = path.relative_to(project.root)
        print(f"✗ {name} is out of date: tools/editions.py student" if options.check else name)
    if not changed:
        print("✓ the student edition is up to date")
    return 1 if options.check and changed else 0


def _nbgrader(project: Project, options: argparse.Namespace) -> int:
    for path in write_course(project, options.folder):
        print(path)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Write or check as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="EDITION")
    student = commands.add_parser("student", help="write student/notebooks/")
    student.add_argument("--check", action="store_true", help="write nothing")
    student.set_defaults(command=_student)
    course = commands.add_parser("nbgrader", help="write the sources of an nbgrader course")
    course.add_argument("folder", metavar="FOLDER", type=Path, help="the course's folder")
    course.set_defaults(command=_nbgrader)
    options = parser.parse_args(arguments)
    command: Callable[[Project, argparse.Namespace], int] = options.command
    try:
        return command(Project(), options)
    except CatalogueError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
