"""The landing page's pictures: each is a figure of a chapter's executed copy, made small.

tools/pages.py writes below a chapter's heading a comment, `<!-- picture: NAME CELL -->`. What it
names is the last picture that the cell CELL shows in notebooks/NAME.ipynb; its alternative text is
that of the cell.
"""

import base64
import io
import json
import os
import re
from pathlib import Path

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
COMMENT = re.compile(r"<!-- picture: (\S+) (\S+) -->\s*")
SIZE = (720, 400)  # pixels at most: twice what a card shows, for fine screens


class Pictures(SphinxTransform):
    """Put a small picture where the comment stands, and mark its section as a card."""

    default_priority = 500

    def apply(self) -> None:
        """Replace each such comment."""
        for comment in list(self.document.findall(nodes.raw)):
            if found := COMMENT.fullmatch(comment.astext()):
                self.replace(comment, *found.groups())

    def replace(self, comment: nodes.raw, name: str, cell: str) -> None:
        """Put the picture of a cell of the chapter `name` in the comment's place."""
        try:
            picture, says = picture_of(Path(self.env.srcdir) / "notebooks" / f"{name}.ipynb", cell)
        except (OSError, LookupError) as error:
            LOGGER.warning("no picture of %s: %s", name, error, location=comment)
            return
        goal = Path(self.env.doctreedir) / "pictures" / f"card-{name}.png"
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.write_bytes(small(picture))
        self.env.note_dependency(f"notebooks/{name}.ipynb")
        page = Path(self.env.doc2path(self.env.docname)).parent
        image = nodes.image(uri=Path(os.path.relpath(goal, page)).as_posix(), alt=says)
        comment.parent["classes"].append("chapter-card")
        comment.replace_self(image)


def picture_of(notebook: Path, cell: str) -> tuple[bytes, str]:
    """Return the last picture of a cell, a PNG, and its alternative text.

    Raises `LookupError` when there is no such cell, picture or text.
    """
    for each in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if each["id"] == cell:
            says = each["metadata"].get("mystnb", {}).get("image", {}).get("alt")
            shown = [output.get("data", {}).get("image/png") for output in each.get("outputs", [])]
            if not says or not any(shown):
                raise LookupError(f"the cell {cell!r} shows none, or has no alternative text")
            return base64.b64decode([png for png in shown if png][-1]), says
    raise LookupError(f"there is no cell {cell!r}")


def small(picture: bytes) -> bytes:
    """Return a picture that fits into SIZE, as a PNG."""
    with Image.open(io.BytesIO(picture)) as image:
        image = image.convert("RGB")
        image.thumbnail(SIZE, Image.Resampling.LANCZOS)
        out = io.BytesIO()
        image.quantize(128).save(out, "PNG", optimize=True)
    return out.getvalue()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.add_transform(Pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
