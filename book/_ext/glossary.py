"""The glossary: in each chapter, a term is linked to it where it first stands.

The links are made when the site is built, and not written into the notebooks. There they would have
to be whole addresses, since a relative link that is right in `notebooks/` is wrong in the executed
copy and in the student edition, and Colab follows none; sixty of these would make a chapter's
source hard to read and write. Made here, a link is always at the first place, and always has its
target, however a chapter is rewritten.

Terms are looked for in running text: not in headings, tables, links or formulas, nor in what is
folded away, since a first place there would go unseen. A term that the glossary sets in code is
looked for in code too. What stands in brackets may be missing: `fully connected (layer)`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform

PAGE = "glossary"
CHAPTERS = "notebooks/"
NOT_RUNNING = (nodes.title, nodes.reference, nodes.literal, nodes.math, nodes.math_block)
NOT_RUNNING += (nodes.literal_block, nodes.table, nodes.raw, nodes.comment)


@dataclass(frozen=True)
class Entry:
    """What the glossary says of one thing, which may have several names."""

    target: str
    names: tuple[str, ...]
    in_code: bool
    says: str


class Terms(SphinxPostTransform):
    """Link the first place of each term in a chapter."""

    default_priority = 500
    formats = ("html",)

    def run(self, **_: object) -> None:
        """Link them in one page."""
        page = self.env.docname
        if not page.startswith(CHAPTERS) or PAGE not in self.env.all_docs:
            return
        entries = entries_of(self.env)
        address = self.app.builder.get_relative_uri(page, PAGE)
        link(self.document, entries, address)


def entries_of(env: BuildEnvironment) -> list[Entry]:
    """Return the entries of the book's glossary, in its order."""
    entries = []
    for glossary in env.get_doctree(PAGE).findall(addnodes.glossary):
        for item in glossary.findall(nodes.definition_list_item):
            terms = list(item.findall(nodes.term))
            in_code = any(list(term.findall(nodes.literal)) for term in terms)
            names = tuple(term.astext() for term in terms)
            says = " ".join(item.next_node(nodes.definition).astext().split())
            entries.append(Entry(terms[0]["ids"][0], names, in_code, says))
    return entries


def pattern_of(name: str) -> str:
    """Return the regular expression of a term and its plural."""
    parts = re.split(r"\s*(\([^)]*\))", name)
    written = ""
    for number, part in enumerate(parts):
        words = r"\s+".join(re.escape(word) for word in part.strip("()").split())
        gap = r"\s+" if number % 2 and f" {part}" in name else ""
        written += f"(?:{gap}{words})?" if number % 2 else words
    if written.endswith("y"):
        return f"{written[:-1]}(?:y|ies)"
    return f"{written}(?:e?s)?"


def link(document: nodes.document, entries: list[Entry], address: str) -> None:
    """Link the first place of each entry in a page to the page of the glossary at `address`."""
    by_name = {f"n{i}": e for i, e in enumerate(entries)}
    # The longest first: in "max pooling" there is no "pooling".
    patterns = sorted(
        ((name, pattern_of(word)) for name, entry in by_name.items() for word in entry.names),
        key=lambda pair: -len(pair[1]),
    )
    numbered = {f"p{number}": by_name[name] for number, (name, _) in enumerate(patterns)}
    alternatives = "|".join(f"(?P<p{i}>{pattern})" for i, (_, pattern) in enumerate(patterns))
    anywhere = re.compile(rf"(?<![\w-])(?:{alternatives})(?![\w-])", re.IGNORECASE)
    left = set(entries)
    join_texts(document)
    for node in list(running_text(document)):
        in_code = isinstance(node, nodes.literal)
        text, position, pieces = node.astext(), 0, []
        for found in anywhere.finditer(text):
            entry = numbered[found.lastgroup]
            is_whole = found.group() == text
            if entry not in left or (in_code and not (entry.in_code and is_whole)):
                continue
            left.remove(entry)
            shown = node.deepcopy() if in_code else nodes.Text(found.group())
            pieces += [nodes.Text(text[position : found.start()]), reference(entry, address, shown)]
            position = found.end()
        if pieces:
            pieces.append(nodes.Text(text[position:]))
            node.parent.replace(node, [piece for piece in pieces if piece.astext()])


def join_texts(document: nodes.document) -> None:
    """Join texts that follow each other: MyST begins a new one with each line of the source."""
    for element in list(document.findall(nodes.TextElement)):
        joined: list[nodes.Node] = []
        for child in element.children:
            if joined and isinstance(child, nodes.Text) and isinstance(joined[-1], nodes.Text):
                joined[-1] = nodes.Text(f"{joined[-1]}{child}")
            else:
                joined.append(child)
        if len(joined) < len(element.children):
            element.clear()
            element.extend(joined)


def reference(entry: Entry, address: str, shown: nodes.Node) -> nodes.reference:
    """Return a link to an entry; what the glossary says shows when one points at it."""
    uri = f"{address}#{entry.target}"
    link = nodes.reference("", "", internal=True, refuri=uri, reftitle=entry.says)
    link["classes"].append("glossary-term")
    link += shown
    return link


def running_text(document: nodes.document) -> Iterator[nodes.Node]:
    """Return the pieces of text, and of code, in which terms are looked for, in their order."""
    folds = 0
    for node in document.findall():
        if isinstance(node, nodes.raw):
            folds += node.astext().count("<details") - node.astext().count("</details")
        elif not folds and isinstance(node, nodes.Text):
            if isinstance(node.parent, nodes.literal):
                if not any(_is_apart(parent) for parent in _above(node.parent)):
                    yield node.parent
            elif not any(_is_apart(parent) for parent in _above(node)):
                yield node


def _above(node: nodes.Node) -> Iterator[nodes.Node]:
    while node := node.parent:
        yield node


def _is_apart(node: nodes.Node) -> bool:
    return isinstance(node, NOT_RUNNING) or node.get("nb_element") == "cell_code"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.add_post_transform(Terms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
