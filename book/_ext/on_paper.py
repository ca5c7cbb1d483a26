"""The book on paper: what LaTeX needs to be told, and on the site the link to the PDF.

tools/paper.py makes the PDF. The link stands where a page has the comment `COMMENT`, and only if
the PDF is there and newer than every page and chapter.
"""

import math
import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

PDF = "cnn-homework.pdf"
COMMENT = "<!-- note: the PDF -->"
TAG = re.compile(r"\\tag\{[^}]*\}")
LINE = 120  # letters of a table that fit beside each other
BETWEEN = 3.3  # as wide as so many letters is the space between two columns
CODE = 1.4  # a letter of code is wider
WORD = 1.1  # a word may be in bold
PAGE = 11  # letters of "(page 123)", which follows a link within the book
LONG = 20  # a table of more rows may go on on the next page
START = 6  # lines of it that stand below its caption at least
AROUND = 4  # lines of caption and space


class Tables(SphinxPostTransform):
    """Give the columns of each table their side and, where they do not all fit, their width."""

    default_priority = 500
    formats = ("latex",)

    def run(self, **_: object) -> None:
        """Do so for all tables of the book."""
        for table in list(self.document.findall(nodes.table)):
            for head in list(table.findall(nodes.thead)):
                if not head.astext().strip():
                    head.parent.remove(head)
            for cell in table.findall(nodes.entry):
                if not cell.astext().strip():
                    cell.clear()  # an empty paragraph would make its row higher
            rows = [list(row.children) for row in table.findall(nodes.row)]
            spec, lines = columns(rows)
            place = table.parent.index(table)
            table.parent.insert(place, addnodes.tabular_col_spec(spec=spec))
            if len(rows) > LONG:
                table["classes"].append("longtable")
                lines = START
            # Else a caption may stay behind at the foot of a page.
            room = rf"\room{{{lines + AROUND}\baselineskip}}"
            table.parent.insert(place, nodes.raw("", room, format="latex"))


class Numbers(SphinxPostTransform):
    """Number the formulas that carry a number, outside of what Sphinx puts around them."""

    default_priority = 500
    formats = ("latex",)

    def run(self, **_: object) -> None:
        """Write each such formula so that LaTeX takes it."""
        for block in list(self.document.findall(nodes.math_block)):
            if tag := TAG.search(block.astext()):
                formula = TAG.sub("", block.astext()).strip()
                inner = f"\\begin{{split}}\n{formula}\n\\end{{split}}{tag[0]}"
                whole = f"\\begin{{equation*}}\n{inner}\n\\end{{equation*}}"
                block.replace_self(nodes.math_block(whole, whole, nowrap=True))


def columns(rows: list[list[nodes.entry]]) -> tuple[str, int]:
    """Return the columns of a table for LaTeX, from its rows of cells, and how many lines it has.

    Where the columns do not fit beside each other, words of the head are broken into lines first,
    then the cells of the widest columns.
    """
    columns = list(zip(*rows, strict=True))
    sides = ["right" if "text-right" in cell["classes"] else "left" for cell in rows[-1]]
    space = LINE - BETWEEN * len(columns)
    whole = [max(map(letters, column)) for column in columns]
    if sum(whole) <= space:
        return "{" + "".join(side[0] for side in sides) + "}", len(rows)
    words = [max(map(longest_word, column)) for column in columns]
    bodies = [max(map(letters, column[1:]), default=0) for column in columns]
    narrow = [max(pair) for pair in zip(bodies, words, strict=True)]
    pair = (narrow, whole) if sum(narrow) <= space else (words, narrow)
    widths = widths_within(space, *pair)
    specs = []
    for width, side in zip(widths, sides, strict=True):
        ragged = "raggedleft" if side == "right" else "raggedright"
        specs.append(rf">{{\{ragged}\arraybackslash}}p{{{(width + 1) / LINE:.3f}\linewidth}}")
    lines = sum(
        max(math.ceil(letters(cell) / width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "{" + "".join(specs) + "}", lines


def widths_within(space: float, least: list[float], most: list[float]) -> list[float]:
    """Return widths between the least and the most, the widest ones cut so that all fit."""
    cut = LINE
    while True:
        widths = [max(low, min(high, cut)) for low, high in zip(least, most, strict=True)]
        if sum(widths) <= space or cut == 0:
            return widths
        cut -= 1


def letters(cell: nodes.entry) -> float:
    """Return about how many letters wide the text of a cell is."""
    code = sum(len(node.astext()) for node in cell.findall(nodes.literal))
    links = [link for link in cell.findall(nodes.reference) if link.get("internal")]
    return len(cell.astext()) + (CODE - 1) * code + PAGE * len(links)


def longest_word(cell: nodes.entry) -> float:
    """Return about how many letters wide the longest word of a cell is, which is not broken."""
    words = [len(w) + sum(map(w.count, "mMwW")) / 2 for w in cell.astext().split()]
    return WORD * max(words, default=0) * (CODE if any(cell.findall(nodes.literal)) else 1)


class Link(SphinxTransform):
    """Offer the PDF where the comment stands."""

    default_priority = 500

    def apply(self) -> None:
        """Replace each such comment."""
        for comment in list(self.document.findall(nodes.raw)):
            if comment.astext().strip() == COMMENT and (pdf := current(Path(self.app.srcdir))):
                size = f"{pdf.stat().st_size / 1e6:.0f} MB"
                link = nodes.reference("", "a PDF of the whole book", refuri=PDF)
                says = [nodes.strong("", "On paper."), nodes.Text(" There is "), link]
                says.append(
                    nodes.Text(f" ({size}), in which answers stand at the end of each chapter.")
                )
                comment.replace_self(nodes.paragraph("", "", *says))


def current(book: Path) -> Path | None:
    """Return the PDF of the book in a folder, if there is one that is newer than the book."""
    pdf = book / "_build" / PDF
    files = [*book.glob("*.md"), *book.glob("notebooks/*.ipynb")]
    newest = max((file.stat().st_mtime for file in files), default=0)
    return pdf if pdf.exists() and pdf.stat().st_mtime > newest else None


def write(app: Sphinx, error: Exception | None) -> None:
    """Put the PDF into the site."""
    if not error and app.builder.name == "html" and (pdf := current(Path(app.srcdir))):
        shutil.copy(pdf, app.outdir)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.add_transform(Link)
    app.add_post_transform(Numbers)
    app.add_post_transform(Tables)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
