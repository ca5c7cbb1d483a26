"""Numbers that the end of a line must not tear apart: 60 000, 99.27 ± 0.08 %.

A number that tools/prose.py writes has such spaces inside already. This is for the numbers that are
typed, and for what stands beside a number of either kind.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

NO_BREAK = "\N{NO-BREAK SPACE}"
INSIDE = re.compile(r"(?<=\d) (?=\d{3}(?!\d))|(?<=\d) (?=[%±])|(?<=±) (?=\d)")
BEHIND = re.compile(r"^ (?=[%±])")  # a number may be in bold, and what belongs to it is not
IN_FRONT = re.compile(r"(?<=±) $")
AS_IT_IS = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)


class Unbroken(SphinxPostTransform):
    """Put spaces that do not break into the numbers of all running text."""

    default_priority = 900  # after glossary.py and others have made the text what it is

    def run(self, **_: object) -> None:
        """Do so for one page."""
        for text in list(self.document.findall(nodes.Text)):
            if isinstance(text.parent, AS_IT_IS):
                continue
            whole = unbroken(
                text.astext(),
                follows=_has_number_beside(text, -1),
                goes_on=_has_number_beside(text, 1),
            )
            if whole != text.astext():
                text.parent.replace(text, nodes.Text(whole))


def unbroken(text: str, *, follows: bool = False, goes_on: bool = False) -> str:
    """Return `text` with spaces that do not break inside its numbers, and before % and around ±.

    `follows` and `goes_on` say that a number in bold stands right before or behind the text.
    """
    text = INSIDE.sub(NO_BREAK, text)
    text = BEHIND.sub(NO_BREAK, text) if follows else text
    return IN_FRONT.sub(NO_BREAK, text) if goes_on else text


def _has_number_beside(text: nodes.Text, step: int) -> bool:
    """Say whether the neighbour of a text in its paragraph is a number in bold."""
    siblings = text.parent.children
    place = next(i for i, node in enumerate(siblings) if node is text) + step
    if not 0 <= place < len(siblings) or not isinstance(siblings[place], nodes.strong):
        return False
    number = siblings[place].astext()
    return number[-1:].isdigit() if step < 0 else number[:1].isdigit()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.add_post_transform(Unbroken)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
