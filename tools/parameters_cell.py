"""Write the comments of a notebook's `parameters` cell from the declaration in its set-up cell.

    python tools/parameters_cell.py            write them into every notebook that declares
    python tools/parameters_cell.py --check    change nothing, and fail where they differ

A comment says what the parameter means and which values it takes; readers see it in Colab and
JupyterLab, and `papermill --help-notebook` prints it. Every parameter must be declared, and every
declared name must be a parameter.
"""

import argparse
import ast
import sys

from catalogue import (
    CatalogueError,
    Project,
    parameters_of,
    read_notebook,
    tags,
    write_notebook,
)
from nbformat import NotebookNode

from helpers import data, parameters
from helpers.parameters import Kind

LINE_LENGTH = 100
NAMES = {"data": data, "parameters": parameters}  # what a declaration may use


def declaration_of(notebook: NotebookNode) -> dict[str, Kind]:
    """Return the kinds that a notebook declares by name; empty if it declares nothing.

    Only the arguments of its `parameters.declare(globals(), …)` are evaluated, not the cell.
    Raises `CatalogueError` for two such calls, or one that cannot be evaluated.
    """
    calls = [
        call
        for cell in notebook.cells
        if cell.cell_type == "code" and "parameters.declare(" in cell.source
        for call in ast.walk(ast.parse(cell.source))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "parameters.declare"
    ]
    if len(calls) > 1:
        raise CatalogueError(f"parameters.declare is called {len(calls)} times; once is enough")
    return {k.arg: _evaluated(k.arg, k.value) for call in calls for k in call.keywords}


def _evaluated(name: str | None, expression: ast.expr) -> Kind:
    source = ast.unparse(expression)
    shown = f"{name}={source}" if name else f"**{source}"
    try:
        kind = eval(source, dict(NAMES))
    except Exception as error:
        raise CatalogueError(
            f"the declaration {shown} cannot be evaluated ({error}); "
            f"it may use only literals, {' and '.join(NAMES)}"
        ) from None
    if name is None or not isinstance(kind, Kind):
        raise CatalogueError(f"the declaration {shown} is no kind of parameter")
    return kind


def documented(notebook: NotebookNode) -> str:
    """Return the source that the `parameters` cell must have: its literals, each with its comment.

    Raises `CatalogueError` for a parameter that is not declared, a declared name that is none, and
    a comment that does not fit.
    """
    kinds, literals = declaration_of(notebook), parameters_of(notebook)
    if undeclared := sorted(set(literals) - set(kinds)):
        raise CatalogueError(f"the parameter {undeclared[0]} is not declared")
    if unknown := sorted(set(kinds) - set(literals)):
        raise CatalogueError(f"{unknown[0]} is declared, but the parameters cell does not set it")
    cell = parameters_cell(notebook)
    lines = cell.source.split("\n")
    for assignment in ast.parse(cell.source).body:
        number = assignment.end_lineno - 1
        code = lines[number].encode()[: assignment.end_col_offset].decode()
        name = assignment.targets[0].id
        lines[number] = f"{code}  # {_comment(name, kinds[name])}"
        if len(lines[number]) > LINE_LENGTH:
            excess = len(lines[number]) - LINE_LENGTH
            raise CatalogueError(
                f"{name}: the line is {excess} characters too long: {lines[number]}"
            )
    return "\n".join(lines)


def _comment(name: str, kind: Kind) -> str:
    comment = kind.comment
    if set("=\n#") & set(comment):
        raise CatalogueError(f"{name}: papermill shows no comment with '=', '#' or a line break")
    return comment


def parameters_cell(notebook: NotebookNode) -> NotebookNode:
    """Return the one cell that is tagged `parameters`."""
    (cell,) = (cell for cell in notebook.cells if "parameters" in tags(cell))
    return cell


def outdated(project: Project) -> dict[str, NotebookNode]:
    """Return by name the notebooks whose comments are not those of their declaration, put right.

    Raises `CatalogueError`, which names the notebook, where that cannot be done.
    """
    found = {}
    for entry in project.ready():
        notebook = read_notebook(project.source(entry.name))
        try:
            if not declaration_of(notebook):
                continue
            source, cell = documented(notebook), parameters_cell(notebook)
        except CatalogueError as error:
            raise CatalogueError(f"{entry.name}: {error}") from None
        if cell.source != source:
            cell.source = source
            found[entry.name] = notebook
    return found


def main(arguments: list[str] | None = None, project: Project | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args(arguments)
    project = project or Project()
    try:
        found = outdated(project)
    except CatalogueError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    for name, notebook in found.items():
        if options.check:
            print(f"✗ {name}: its comments are not those of its declaration", file=sys.stderr)
        else:
            write_notebook(notebook, project.source(name))
            print(f"{name}: comments written")
    return 1 if options.check and found else 0


if __name__ == "__main__":
    sys.exit(main())
