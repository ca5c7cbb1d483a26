"""The kinds of code cells: one tag decides how the site, Colab and JupyterLab show a cell.

python tools/kinds.py            write it into every notebook in notebooks/
python tools/kinds.py --check    only say what is wrong or would change; the exit status is 1 then

The author gives each code cell one tag of `KINDS`, and a folded cell a first line such as
`# @title Show the code of this figure`. All else follows: MyST-NB's tag `hide-input` and its two
prompts, Colab's `cellView`, JupyterLab's `source_hidden`. A notebook without any kind is one that
has not been converted yet; it stays as it is.
"""

import argparse
import copy as copying
import re
import sys
from collections.abc import Iterator

from catalogue import (
    TITLE,
    CatalogueError,
    Project,
    own_cells,
    read_notebook,
    tags,
    write_notebook,
)
from nbformat import NotebookNode

SHOWN = ("answer", "check")
FOLDED = ("report", "set-up")
KINDS = (*SHOWN, *FOLDED)
WITHOUT_KIND = ("bootstrap", "parameters")
# Other tags that a code cell with a kind may have; `hide-input` is this tool's own.
BESIDES = ("hide-input", "full-width", "output_scroll", "scroll-output")

PROMPTS = ("code_prompt_show", "code_prompt_hide")


class KindError(CatalogueError):
    """Cells whose kinds or titles are at fault; the message has one line a cell."""


def kind_of(cell: NotebookNode) -> str | None:
    """Return a cell's kind, or None when it has none."""
    return next((tag for tag in tags(cell) if tag in KINDS), None)


def title_of(cell: NotebookNode) -> str | None:
    """Return what stands behind `# @title` in a cell's first line, or None without such a line."""
    found = TITLE.match(cell.source)
    return found and found.group().removeprefix("# @title").strip()


def is_converted(notebook: NotebookNode) -> bool:
    """Tell whether any cell of a notebook has a kind."""
    return any(kind_of(cell) for cell in own_cells(notebook))


def kind_faults(name: str, notebook: NotebookNode) -> list[str]:
    """Return what is wrong with the kinds and titles of the notebook called `name`."""
    if not is_converted(notebook):
        return []
    return [
        f"{name}: cell {cell.id} {fault}"
        for cell in own_cells(notebook)
        for fault in (_code_faults if cell.cell_type == "code" else _prose_faults)(cell)
    ]


def with_kinds(name: str, notebook: NotebookNode) -> NotebookNode:
    """Return the notebook called `name` with all that follows from its kinds.

    Raises `KindError` when a kind or a title is at fault.
    """
    if faults := kind_faults(name, notebook):
        raise KindError("\n".join(faults))
    new = copying.deepcopy(notebook)
    if is_converted(new):
        for cell in own_cells(new):
            if cell.cell_type == "code" and "bootstrap" not in tags(cell):
                if kind_of(cell) in FOLDED:
                    _fold(cell)
                else:
                    _unfold(cell)
    return new


def _prose_faults(cell: NotebookNode) -> Iterator[str]:
    if kind_of(cell) not in (None, "answer"):
        yield f"is Markdown and has the kind {kind_of(cell)!r}; allowed there: 'answer', or none"


def _code_faults(cell: NotebookNode) -> Iterator[str]:
    kinds = [tag for tag in tags(cell) if tag in KINDS]
    special = [tag for tag in tags(cell) if tag in WITHOUT_KIND]
    if special:
        if kinds:
            yield f"is the {special[0]} cell and has the kind {kinds[0]!r}; it must have none"
        if "parameters" in special:
            yield from _title_faults(cell, "the parameters cell")
        return
    for tag in tags(cell):
        if tag not in (*KINDS, *BESIDES):
            yield (
                f"has the tag {tag!r}; allowed are one kind ({', '.join(KINDS)}) "
                f"and, beside it, {', '.join(BESIDES)}"
            )
    if len(kinds) != 1:
        has = " and ".join(repr(kind) for kind in kinds) or "none"
        yield f"must have exactly one kind of {', '.join(KINDS)}; it has {has}"
        return
    yield from _title_faults(cell, f"a cell of the kind {kinds[0]!r}")


def _title_faults(cell: NotebookNode, what: str) -> Iterator[str]:
    title = title_of(cell)
    body = TITLE.sub("", cell.source)
    if re.search(r"^\s*#\s*@title\b", body, re.MULTILINE):
        yield "has a second or misplaced title; one is allowed, as its first line '# @title …'"
    if kind_of(cell) in FOLDED:
        if title is None:
            yield f"is folded, since it is {what}: its first line must be '# @title Show …'"
        elif not re.match(r"Show \S", title):
            yield f"has the title {title!r}; it must begin with 'Show ' and name what is folded"
        elif not body.strip():
            yield "has a title and no code below it; a folded cell must have both"
    elif title is not None:
        yield f"has the title {title!r} but is shown, since it is {what}; a folded cell has one"


def _fold(cell: NotebookNode) -> None:
    show = title_of(cell)
    if "hide-input" not in tags(cell):
        cell.metadata["tags"] = [*tags(cell), "hide-input"]
    hide = "Hide " + show.removeprefix("Show ")
    cell.metadata.setdefault("mystnb", NotebookNode()).update(
        zip(PROMPTS, (show, hide), strict=True)
    )
    cell.metadata["cellView"] = "form"
    cell.metadata.setdefault("jupyter", NotebookNode())["source_hidden"] = True


def _unfold(cell: NotebookNode) -> None:
    cell.metadata["tags"] = [tag for tag in tags(cell) if tag != "hide-input"]
    cell.metadata.pop("cellView", None)
    for group, keys in (("tags", ()), ("mystnb", PROMPTS), ("jupyter", ("source_hidden",))):
        for key in keys:
            cell.metadata.get(group, {}).pop(key, None)
        if not cell.metadata.get(group):
            cell.metadata.pop(group, None)


def changes(project: Project) -> dict[str, NotebookNode]:
    """Return the sources that the kinds would change, by name, as they then are.

    Raises `KindError` with every fault of every source.
    """
    sources = {entry.name: read_notebook(project.source(entry.name)) for entry in project.ready()}
    if faults := [fault for name, source in sources.items() for fault in kind_faults(name, source)]:
        raise KindError("\n".join(faults))
    new = {name: with_kinds(name, source) for name, source in sources.items()}
    return {name: notebook for name, notebook in new.items() if notebook != sources[name]}


def main(arguments: list[str] | None = None) -> int:
    """Write or check as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    project = Project()
    try:
        changed = changes(project)
    except CatalogueError as error:
        print("\n".join(f"✗ {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 1
    for name, notebook in changed.items():
        if options.check:
            print(f"✗ {name}: its cells do not fold as their kinds say: run tools/kinds.py")
        else:
            write_notebook(notebook, project.source(name))
            print(f"{name}: folds as its kinds say")
    if not changed:
        print("✓ every notebook folds as its kinds say")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
