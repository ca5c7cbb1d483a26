"""Run single cells of a notebook source, so that what is tested is what readers see."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def source(notebook: str, cell_id: str) -> str:
    """Return the source of one code cell of `notebooks/<notebook>.ipynb`."""
    text = (ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8")
    (cell,) = (c for c in json.loads(text)["cells"] if c["id"] == cell_id)
    return "".join(cell["source"])


def execute(
    notebook: str, *cell_ids: str, replace: dict[str, str] | None = None, **names: object
) -> dict[str, object]:
    """Execute cells in order and return their names.

    `names` are set beforehand and again after a cell called "parameters", as papermill would.
    `replace` maps a piece of source, which must occur, to what is planted in its place.
    """
    namespace = dict(names)
    code = {cell_id: source(notebook, cell_id) for cell_id in cell_ids}
    for old, new in (replace or {}).items():
        assert any(old in text for text in code.values()), f"no cell holds {old!r}"
        code = {cell_id: text.replace(old, new) for cell_id, text in code.items()}
    for cell_id, text in code.items():
        exec(compile(text, f"{notebook}:{cell_id}", "exec"), namespace)
        if cell_id == "parameters":
            namespace.update(names)
    return namespace
