"""What a page needs beyond MyST-NB: folds that say what they hold, captions, links to sections."""

import re
from html import escape

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

LOGGER = logging.getLogger(__name__)
ANSWERED = "Where each question is answered"
POINTS = re.compile(r"\s*\[[^\]]*points?\]")
LABEL = re.compile(r"^(\(\w\)|\w+( \d+)?:) ")  # "(a) " or "Question 1: "
CAPTION = re.compile(r"Figure \d+\.")
TITLE = re.compile(r"\A# @title\b[^\n]*\n*")


class Captions(SphinxTransform):
    """Mark a paragraph that begins "**Figure 3.**" directly below a code cell as its caption."""

    default_priority = 500

    def apply(self) -> None:
        """Give each such paragraph the class `cell-caption`."""
        for paragraph in self.document.findall(nodes.paragraph):
            above = paragraph.previous_sibling()
            if not isinstance(above, nodes.container) or above.get("nb_element") != "cell_code":
                continue
            begins = next((child for child in paragraph.children if child.astext()), None)
            if isinstance(begins, nodes.strong) and CAPTION.fullmatch(begins.astext()):
                paragraph["classes"].append("cell-caption")


class Titles(SphinxTransform):
    """Leave the line "# @title …", which is for Colab, out of a cell whose summary repeats it."""

    default_priority = 500

    def apply(self) -> None:
        """Cut the line from the source of each folded cell."""
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") == "cell_code" and cell.get("hide_mode") == "input":
                for block in cell.children[0].findall(nodes.literal_block):
                    source = TITLE.sub("", block.astext())
                    block.rawsource = source
                    block.clear()
                    block += nodes.Text(source)


class Sections(SphinxTransform):
    """Link the sections that a chapter's table of answered questions names in italics."""

    default_priority = 500

    def apply(self) -> None:
        """Make each such name a link; a name that no section has is told."""
        found: dict[str, str] = {}
        for section in self.document.findall(nodes.section):
            words = section.next_node(nodes.title).astext()
            bare = POINTS.sub("", words)
            for title in (words, bare, LABEL.sub("", bare)):
                found.setdefault(title.lower(), section["ids"][0])
        for section in list(self.document.findall(nodes.section)):
            if section.next_node(nodes.title).astext() != ANSWERED:
                continue
            for table in section.findall(nodes.table):
                for name in list(table.findall(nodes.emphasis)):
                    self.link(name, found)

    def link(self, name: nodes.emphasis, found: dict[str, str]) -> None:
        """Make one name a link."""
        if target := found.get(name.astext().lower()):
            name.replace_self(nodes.reference("", name.astext(), refid=target, internal=True))
        else:
            LOGGER.warning("no section is called %r", name.astext(), location=name)


def visit_folded(translator: HTML5Translator, node: HideCodeCellNode) -> None:
    """Open a folded cell. MyST-NB's own summary is read out as "Toggle hidden content"."""
    translator.body.append(
        '<details class="folded">\n<summary>'
        f'<span class="collapsed">{escape(node["prompt_show"])}</span>'
        f'<span class="expanded">{escape(node["prompt_hide"])}</span>'
        "</summary>\n"
    )


def depart_folded(translator: HTML5Translator, node: HideCodeCellNode) -> None:
    """Close a folded cell."""
    translator.body.append("</details>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.setup_extension("myst_nb")
    app.add_node(HideCodeCellNode, override=True, html=(visit_folded, depart_folded))
    app.add_transform(Captions)
    app.add_transform(Sections)
    app.add_transform(Titles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
