"""What the versions take from the notebooks: the layers of a chapter, and what it imports."""

import ast
import json
from collections.abc import Sequence
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


class MissingCells(LookupError):
    """A notebook lacks cells that a benchmark takes from it."""


def sources(notebook: str, cell_ids: Sequence[str]) -> list[str]:
    """Return the code of the named cells; `MissingCells` names all that are not there."""
    path = NOTEBOOKS / f"{notebook}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = {cell["id"]: "".join(cell["source"]) for cell in cells}
    if missing := [name for name in cell_ids if name not in code]:
        raise MissingCells(
            f"notebooks/{notebook}.ipynb has no cell {', '.join(missing)}, which "
            "benchmarks/versions takes from it"
        )
    return [code[name] for name in cell_ids]


def imports(notebook: str) -> str:
    """Return the import statements of a notebook's cell `setup`, and nothing else of it."""
    (setup,) = sources(notebook, ["setup"])
    body = [node for node in ast.parse(setup).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return ast.unparse(ast.Module(body, []))


def definitions(notebook: str, cell_ids: Sequence[str], **names: object) -> dict[str, object]:
    """Return what a notebook imports and what the named cells define, given `names`.

    Of the cells only definitions and assignments are run, so that no training begins.
    """
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    exec(imports(notebook), names)
    for name, source in zip(cell_ids, sources(notebook, cell_ids), strict=True):
        body = [node for node in ast.parse(source).body if isinstance(node, kinds)]
        exec(compile(ast.Module(body, []), f"cell {name}", "exec"), names)
    return names
