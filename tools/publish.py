"""Publish the notebooks: run, gate, move into the book, build the site.

python tools/publish.py book                    publish what is stale, then build the site
python tools/publish.py book --profile quick    every notebook, small, into a scratch book
python tools/publish.py book --profile full     repeat every published run, then build
python tools/publish.py run hw7                 publish one notebook, stale or not
python tools/publish.py accept hw7 out.ipynb    publish a copy that papermill made elsewhere
python tools/publish.py keep hw7 --because …    a change of helpers is none for its run, and why
python tools/publish.py build                   build the site from what the book holds
"""

import argparse
import copy as copying
import datetime
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import editions
import pages
import prose
from catalogue import (
    CatalogueError,
    Entry,
    Project,
    code_hash,
    helpers_hash,
    read_notebook,
    source_hash,
    write_notebook,
)
from execute import (
    RunFailed,
    close_working_folder,
    execute,
    presentable,
    with_new_prose,
    working_folder,
)
from gate import (
    CARRIED,
    book_faults,
    changed_helpers,
    helpers_faults,
    network_faults,
    network_files,
    publication_faults,
    read_copy,
    result_bundles,
    results_file_faults,
    results_of,
    run_faults,
)
from nbformat import NotebookNode
from uses import changes, uses

from helpers import data
from helpers.sources import package_hash


class Refused(RuntimeError):
    """The gate refused something; the message has one line a reason."""


def state(project: Project, entry: Entry) -> str:
    """Return what the book has of a notebook: "fresh", "new", "stale", "prose" or "results"."""
    return standing(project, entry)[0]


def standing(project: Project, entry: Entry) -> tuple[str, str]:
    """Return what the book has of a notebook, and the reason in words.

    "new" and "stale" ask for a run; for "prose" and "results" the run's copy is there, and only the
    sentences around it, or the file of its results, must be brought in line. Raises
    `CatalogueError` for a notebook that cannot be read.
    """
    path = project.copy(entry.name)
    source = read_notebook(project.source(entry.name))
    if not path.exists():
        if project.results(entry.name).exists():
            return "new", f"its executed copy is missing ({path}), which would spare the run"
        return "new", "not published yet"
    copy = read_copy(project, entry)
    provenance = copy.metadata.get("provenance", {})
    if not provenance:
        return "stale", "its copy carries no provenance"
    same_source = provenance.get("source_sha256") == source_hash(source)
    if not same_source and provenance.get("code_sha256") != code_hash(source):
        return "stale", "its code has changed"
    if provenance.get("injected") != entry.published:
        given, wanted = provenance.get("injected"), entry.published
        return "stale", f"its published parameters have changed from {given} to {wanted}"
    if changed := changed_helpers(project, copy, source):
        return "stale", changed
    if not same_source:
        return "prose", "only its prose has changed, its run is kept"
    if faults := results_file_faults(project, entry, copy):
        return "results", faults[0]
    return "fresh", "it is up to date"


def publish(project: Project, entry: Entry, resume: bool = False) -> None:
    """Run one notebook with its published parameters, gate it and move it into the book."""
    folder = working_folder(project, entry, resume)
    output = folder.with_suffix(".ipynb")
    copy = execute(project, entry, entry.published, output, folder)
    admit(project, entry, copy, output)
    close_working_folder(folder)


def admit(project: Project, entry: Entry, copy: NotebookNode, at: Path) -> None:
    """Move a copy and its results into the book if the gate lets it pass, else raise `Refused`.

    Prose that was changed in the source since the copy's run began is taken over, and the new
    numbers are written into it. A sentence that they make false does not undo the run: the gate
    before the site refuses it until a person has rewritten it.
    """
    source = read_notebook(project.source(entry.name))
    if code_hash(copy) == code_hash(source):
        copy = with_new_prose(copy, source)
    faults = publication_faults(entry, copy, source) + network_faults(project, entry, copy)
    faults += helpers_faults(project, entry, copy, source)
    if faults:
        raise Refused("\n".join([*faults, f"the executed copy is {at}; the book has not changed"]))
    move(project, entry.name, copy)
    write_pages(project)


def move(project: Project, name: str, copy: NotebookNode) -> None:
    """Put a copy, its results and the networks that it carries into the book, all or nothing."""
    text = json.dumps(results_of(copy), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    networks = {project.network(name, key): file for key, file in network_files(copy).items()}
    goals = (project.copy(name), project.results(name), *networks)
    new = [goal.with_name(f".{goal.name}.new") for goal in goals]
    copy = copying.deepcopy(copy)
    copy.metadata.pop(CARRIED, None)
    old = [goal.read_bytes() if goal.exists() else None for goal in goals]
    try:
        write_notebook(copy, new[0])
        new[1].parent.mkdir(parents=True, exist_ok=True)
        new[1].write_text(text, encoding="utf-8", newline="\n")
        for path, file in zip(new[2:], networks.values(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file)
        for source, goal in zip(new, goals, strict=True):
            os.replace(source, goal)
    except BaseException:
        for goal, content in zip(goals, old, strict=True):
            if content is None:
                goal.unlink(missing_ok=True)
            else:
                goal.write_bytes(content)
        raise
    finally:
        for file in new:
            file.unlink(missing_ok=True)


def write_pages(project: Project) -> None:
    """Write what follows from the published runs: contents, results, and the numbers in prose.

    The student edition follows from the prose in turn.
    """
    pages.write(project)
    prose.write(project)
    if not project.is_scratch:
        editions.write(project)


def refresh(project: Project, entry: Entry) -> None:
    """Carry a source's new prose into its executed copy, and write the copy's results anew."""
    admit(project, entry, read_copy(project, entry), project.copy(entry.name))


def accept(project: Project, entry: Entry, executed: Path) -> None:
    """Gate a copy that papermill made on another machine, and move it into the book.

    A copy that the book has already had is refused: it carries the hash of its outputs, and must
    not get a new one.
    """
    if not executed.is_file():
        raise Refused(f"{executed}: there is no such file")
    source, copy = read_notebook(project.source(entry.name)), read_notebook(executed)
    if "papermill" not in copy.metadata:
        raise Refused(f"{executed}: not as papermill wrote it; give the output file of its run")
    for bundle in result_bundles(copy):
        if bundle["provenance"].get("helpers_sha256") != package_hash():
            raise Refused(f"{executed}: it ran with other helpers than those that are here")
    admit(project, entry, presentable(copy, source, uses(project.root, source)), executed)


def keep(project: Project, entry: Entry, because: str) -> None:
    """Let the published run of an entry stand although what it uses of `helpers` has changed.

    Its provenance gets the names that have changed and the reason, a sentence by whoever has seen
    that the change makes no difference to this run. Raises `Refused` where there is nothing to keep
    or no reason.
    """
    source, copy = read_notebook(project.source(entry.name)), read_copy(project, entry)
    provenance = copy.metadata.get("provenance", {})
    if provenance.get("code_sha256") != code_hash(source):
        raise Refused(f"{entry.name}: its own code has changed: publish it again")
    now, changed = uses(project.root, source), changed_helpers(project, copy, source)
    if not changed:
        raise Refused(f"{entry.name}: nothing that it uses of helpers has changed")
    if not because.strip():
        raise Refused(f"{entry.name}: {changed}; --because must say why that is none for its run")
    names = changes(provenance["helpers"], now) if "helpers" in provenance else []
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    kept = {"date": today, "changed": names, "because": because.strip()}
    copy.metadata["provenance"] |= {"helpers": now, "kept": [*provenance.get("kept", []), kept]}
    write_notebook(copy, project.copy(entry.name))


def quick_book(project: Project) -> Project:
    """Execute every notebook at its quick settings into a fresh scratch book under build/quick."""
    scratch = replace(project, book=project.build / "quick" / "book")
    shutil.rmtree(project.build / "quick", ignore_errors=True)
    shutil.copytree(
        project.book,
        scratch.book,
        ignore=shutil.ignore_patterns(
            "_build", "_config.yml", "_toc.yml", "*.ipynb", "*.json", "networks"
        ),
    )
    for entry in project.ready():
        print(f"{entry.name}: about {duration(entry.minutes['quick'])}", flush=True)
        output = project.build / "quick" / "executed" / f"{entry.name}.ipynb"
        folder = project.build / "quick" / "work" / entry.name
        copy = execute(project, entry, entry.quick, output, folder)
        if faults := run_faults(entry, copy):
            raise Refused("\n".join([*faults, f"the executed copy is {output}"]))
        move(scratch, entry.name, copy)
    write_pages(scratch)
    return scratch


def build_site(project: Project, output: Path | None = None) -> Path:
    """Build the book's HTML, every warning an error; return the path of its first page.

    A scratch book has the settings of the project's own, so they are named on the command line.
    Raises `Refused` with the builder's last lines when it fails.
    """
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(project.book)]
    command += ["--config", str(project.config), "--toc", str(project.toc)]
    command += ["--path-output", str(output or project.book)]
    command += ["-W", "-n", "--keep-going", "--all"]
    html = (output or project.book) / "_build" / "html"
    shutil.rmtree(html, ignore_errors=True)
    print("Building the site, about half a minute.", flush=True)
    run = subprocess.run(
        command, cwd=project.root, capture_output=True, text=True, errors="replace"
    )
    if run.returncode:
        lines = (run.stdout + run.stderr).splitlines()
        told = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines[-15:]
        raise Refused("\n".join(["jupyter-book could not build the site:", *told]))
    return html / "index.html"


def require_data(entry: Entry) -> None:
    """Load the real data set that a published run needs, before hours are spent without it.

    Raises `helpers.data.DataError`, which says what was tried and what to do.
    """
    sets = {"MNIST": (data.mnist, "mnist"), "CIFAR-10": (data.cifar10, "cifar10")}
    load, choice = sets[entry.dataset]
    load(choice)


def require_helpers(project: Project) -> None:
    """Raise `Refused` unless `import helpers` gives the package of the project."""
    if package_hash() != helpers_hash(project.root):
        raise Refused(
            f"`import helpers` gives another package than {project.root / 'helpers'}: "
            "python -m pip install --no-deps -e ."
        )


def duration(minutes: float) -> str:
    """Return a number of minutes in words."""
    if minutes >= 90:
        return f"{minutes / 60:.1f} hours"
    if minutes < 1:
        return f"{60 * minutes:.0f} seconds"
    return "a minute" if minutes == 1 else f"{minutes:g} minutes"


def plan(project: Project, profile: str) -> list[tuple[Callable, Entry, str]]:
    """Return what the default or the full profile will do: action, notebook and reason."""
    steps = []
    for entry in project.ready():
        if entry.held_back:
            continue
        if profile == "full":
            steps.append((publish, entry, "every published run is repeated"))
            continue
        now, reason = standing(project, entry)
        if now in ("prose", "results"):
            steps.append((refresh, entry, reason))
        elif now != "fresh":
            steps.append((publish, entry, reason))
    return steps


def book(project: Project, profile: str) -> Path:
    """Bring the book up to date as the profile says, build it, and return its first page."""
    if profile == "quick":
        total = sum(entry.minutes["quick"] for entry in project.ready()) + 1
        print(
            f"Quick: {len(project.ready())} notebooks at small settings into a scratch book under "
            f"build/quick, about {duration(total)}. The book itself is not touched.",
            flush=True,
        )
        return build_site(quick_book(project))
    steps = plan(project, profile)
    for action, entry, reason in steps:
        time_needed = duration(entry.minutes["published"]) if action is publish else "a second"
        print(f"Will publish {entry.name}: {reason}; about {time_needed} on two cores")
    for entry in project.ready():
        if entry.held_back:
            print(f"Will not publish {entry.name}: {entry.held_back}")
    if not steps:
        print("Every published notebook is up to date.")
    for action, entry, _ in steps:
        print(entry.name, flush=True)
        if action is publish:
            require_data(entry)
            require_helpers(project)
        action(project, entry)
        print("  published", flush=True)
    write_pages(project)
    if faults := book_faults(project):
        raise Refused("\n".join(faults))
    return build_site(project)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    whole = commands.add_parser("book", help="publish what is stale and build the site")
    whole.add_argument("--profile", choices=("default", "quick", "full"), default="default")
    commands.add_parser("build", help="build the site from what the book holds")
    one = commands.add_parser("run", help="publish one notebook, stale or not")
    one.add_argument("notebook")
    one.add_argument(
        "--resume",
        action="store_true",
        help="go on from an earlier run's checkpoints, even a finished one's",
    )
    made = commands.add_parser("accept", help="publish a copy executed on another machine")
    made.add_argument("notebook")
    made.add_argument("executed", type=Path)
    kept = commands.add_parser("keep", help="say that a change of helpers is none for a copy")
    kept.add_argument("notebook")
    kept.add_argument("--because", default="", help="why the run would come out the same")
    options = parser.parse_args(arguments)

    project = Project()
    try:
        if options.command == "run":
            entry = project.entry(options.notebook)
            require_helpers(project)
            require_data(entry)
            print(f"{entry.name}: about {duration(entry.minutes['published'])} on two cores")
            publish(project, entry, options.resume)
        elif options.command == "accept":
            require_helpers(project)
            accept(project, project.entry(options.notebook), options.executed)
        elif options.command == "keep":
            keep(project, project.entry(options.notebook), options.because)
            return 0
        if options.command in ("run", "accept"):
            if faults := prose.faults(project):
                raise Refused("\n".join(["published; left to mend in the prose:", *faults]))
        else:
            whole_book = options.command == "book"
            site = book(project, options.profile) if whole_book else build_site(project)
            print(f"The book is at {site.as_uri()}")
    except (CatalogueError, RunFailed, Refused, data.DataError) as error:
        print("\n".join(f"✗ {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
