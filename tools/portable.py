"""What a notebook's Markdown may hold: only what Colab, JupyterLab, GitHub and the site all show.

CommonMark, tables, LaTeX and plain HTML are. MyST's directives, roles, labels and footnotes show
raw outside the site, and a caption in a cell's metadata does not show there at all.
"""

import re
from collections.abc import Iterator

from catalogue import own_cells
from markdown_it import MarkdownIt
from nbformat import NotebookNode

CAPTION = re.compile(r"\*\*Figure (\d+)\.\*\* \S")
# What of MyST stands in running text. Code, where all of this is just text, is left out before.
MYST = {
    r"\{[\w:+.-]+\}\0": "the MyST role {}`…`",
    r"^:{3,}.*$": "the MyST fence {}",
    r"^\([\w:.-]+\)=\s*$": "the MyST label {}",
    r"\$\$[ \t]*\([\w:.-]+\)[ \t]*$": "the MyST equation label {}",
    r"\\(?:label|ref|eqref)\b": "{}, which needs numbers that the site alone gives",
    r"\[\^[^\]\s]+\]": "the footnote {}",
    r"^\+\+\+.*$": "the MyST block break {}",
    r"^%.*$": "the MyST comment {}",
}
HINT = "allowed are CommonMark, tables, LaTeX ('\\tag{1}' numbers a formula) and plain HTML"


def portability_faults(name: str, notebook: NotebookNode) -> list[str]:
    """Return what in the notebook called `name` shows raw, or not at all, outside the site."""
    faults = [
        f"{name}: cell {cell.id} holds {fault}; {HINT}"
        for cell in own_cells(notebook)
        if cell.cell_type == "markdown"
        for fault in _myst_in(cell.source)
    ]
    return faults + [f"{name}: {fault}" for fault in _caption_faults(own_cells(notebook))]


def _myst_in(text: str) -> Iterator[str]:
    for token in MarkdownIt().parse(text):
        if token.type == "fence" and token.info.startswith("{"):
            yield f"the MyST directive {token.info.split()[0]}"
    running = _without_code(text)
    for pattern, what in MYST.items():
        for found in re.finditer(pattern, running, re.MULTILINE):
            yield what.format(found.group().strip("\0").strip())


def _without_code(text: str) -> str:
    """Return Markdown with each code block left out and each code span as one NUL character."""
    lines = text.splitlines()
    for token in MarkdownIt().parse(text):
        if token.type in ("fence", "code_block"):
            lines[slice(*token.map)] = [""] * (token.map[1] - token.map[0])
    return re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "\0", "\n".join(lines), flags=re.DOTALL)


def _caption_faults(cells: list[NotebookNode]) -> Iterator[str]:
    number = 0
    for above, cell in zip([None, *cells], cells, strict=False):
        if "figure" in cell.metadata.get("mystnb", {}):
            yield (
                f"cell {cell.id} has its caption in its metadata; allowed is a Markdown cell "
                "below it that begins '**Figure n.** '"
            )
        if cell.cell_type != "markdown" or not cell.source.startswith("**Figure"):
            continue
        number += 1
        if not CAPTION.match(cell.source):
            yield f"cell {cell.id} begins {cell.source[:20]!r}; allowed: '**Figure {number}.** …'"
        elif int(CAPTION.match(cell.source).group(1)) != number:
            yield f"cell {cell.id} begins {cell.source[:13]!r}; in order, it is Figure {number}"
        if above is None or not above.metadata.get("mystnb", {}).get("image", {}).get("alt"):
            yield (
                f"cell {cell.id} is a caption; it must stand directly below a code cell that shows "
                "a figure and describes it in mystnb.image.alt"
            )
