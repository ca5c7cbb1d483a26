"""Seconds that nbgrader takes to grade a submission of each assignment and to write its feedback.

    python benchmarks/grading.py [--submissions 4] [--only hw7]

Each assignment is made in an empty folder, as book/teaching.md says, with nbgrader's own commands.
The submissions hold the right answers, so every cell runs to its end; an unfinished one takes less.
What nbgrader needs to start is spread over the submissions, as it is over a class. Two times are
told: on the clock, and on the processor, which counts no other work on the machine and so says more
where there is some.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import editions  # noqa: E402
from catalogue import Project, read_notebook, write_notebook  # noqa: E402


def nbgrader(course: Path, command: str, assignment: str) -> tuple[float, float]:
    """Run one of nbgrader's commands on an assignment; return seconds: clock, and processor."""
    scripts = str(Path(sys.executable).parent)  # nbgrader calls `alembic`
    env = os.environ | {"PATH": scripts + os.pathsep + os.environ["PATH"]}
    env |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    began, used = time.perf_counter(), processor_seconds()
    subprocess.run(
        [sys.executable, "-m", "nbgrader", command, assignment],
        cwd=course,
        env=env,
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began, processor_seconds() - used


def processor_seconds() -> float:
    """Return the processor time of all that this process has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def submit(course: Path, name: str, number: int) -> None:
    """Hand in the right answers of an assignment for one student."""
    answers = read_notebook(course / "source" / name / f"{name}.ipynb")
    written = {cell.id: cell.source for cell in answers.cells}
    notebook = read_notebook(course / "release" / name / f"{name}.ipynb")
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = written[cell.id]
    path = course / "submitted" / f"student-{number}" / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True)
    write_notebook(notebook, path)


def graded(course: Path, name: str, submissions: int) -> dict[str, float]:
    """Grade an assignment; return the seconds for each submission."""
    nbgrader(course, "generate_assignment", name)
    for number in range(submissions):
        submit(course, name, number)
    clock, processor = nbgrader(course, "autograde", name)
    feedback = nbgrader(course, "generate_feedback", name)[1]
    return {
        "seconds": clock / submissions,
        "processor_seconds": processor / submissions,
        "feedback_seconds": feedback / submissions,
    }


def main() -> None:
    """Grade every assignment, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=4)
    parser.add_argument("--only", help="one assignment, such as hw7")
    options = parser.parse_args()
    project = Project()
    course = Path(tempfile.mkdtemp())
    try:
        editions.write_course(project, course)
        for entry in editions.converted(project):
            if options.only in (None, entry.name):
                times = graded(course, entry.name, options.submissions)
                shown = {name: f"{value:.1f}" for name, value in times.items()}
                print(entry.name, shown, flush=True)
    finally:
        shutil.rmtree(course)


if __name__ == "__main__":
    main()
