"""The page "Draw a digit": its script, its style, and the networks, for that page alone.

A browser loads no module, and fetches no file, for a page that is opened from a folder (file://).
So the modules in book/_draw become one script, and each network's file a script that hands it over.
They are not in book/_static, because Jupyter Book puts every script there on every page.
"""

import base64
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

PAGE = "draw"
IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) )", re.MULTILINE)
DECLARED = re.compile(r"^(?:async )?(?:function|class|const|let|var) (\w+)", re.MULTILINE)


class BundleError(ValueError):
    """The modules cannot be joined; the message says why."""


def bundle(modules: Mapping[str, str], entry: str) -> str:
    """Return one script that does what the module called `entry` does.

    `modules` are sources by name. They import by names in braces from "./<name>.js" and export
    declarations, nothing else; no two may declare the same name. Raises `BundleError`.
    """
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...] = ()) -> None:
        if name in above:
            raise BundleError(f"modules import each other: {' → '.join([*above, name])}")
        if name not in modules:
            raise BundleError(f"{above[-1]}.js imports {name}.js, which does not exist")
        for other in IMPORT.findall(modules[name]):
            visit(other, (*above, name))
        if name not in order:
            order.append(name)

    visit(entry)
    parts, owner = [], {}
    for name in order:
        source = EXPORT.sub("", IMPORT.sub("", modules[name]))
        if left := re.search(r"^(import|export)\b.*", source, re.MULTILINE):
            raise BundleError(f"{name}.js: {left.group()!r} is no form that can be joined")
        for declared in DECLARED.findall(source):
            if declared in owner:
                raise BundleError(f"{owner[declared]}.js and {name}.js both declare {declared}")
            owner[declared] = name
        parts.append(f"// {name}.js\n{source}")
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def published(names: Iterable[str]) -> str:
    """Return the line that says which networks there are, so that no other one is asked for."""
    return f"globalThis.publishedNetworks = {json.dumps(list(names))};\n"


def network_script(name: str, file: bytes) -> str:
    """Return the script that hands over a network's file."""
    return f'networkFiles["{name}"] = "{base64.b64encode(file).decode()}";\n'


class Invitation(SphinxTransform):
    """Lead from the links at the head of a chapter whose network runs on the page to that page."""

    default_priority = 500

    def apply(self) -> None:
        """Add one more link to the first paragraph of such a chapter."""
        chapter = Path(self.env.docname).name
        networks = Path(self.app.srcdir) / "_static" / "networks"
        if not any(networks.glob(f"{chapter}-*.bin")):
            return
        # The notebook's metadata come before the text, as paragraphs too.
        head = self.document.next_node(nodes.section).next_node(nodes.paragraph)
        target = self.app.builder.get_relative_uri(self.env.docname, PAGE)
        link = nodes.reference("", "Draw a digit", refuri=target, internal=True)
        link["classes"].append("head-link")
        head += [nodes.Text(" · "), link]


def add_to_page(app: Sphinx, page: str, *_: object) -> None:
    """Let the page load script and style; other pages do not."""
    if page == PAGE:
        app.add_css_file("draw/draw.css")
        app.add_js_file("draw/draw.js", loading_method="defer")


def write(app: Sphinx, error: Exception | None) -> None:
    """Write script, style and networks into the site."""
    if error or app.builder.name != "html":
        return
    sources, static = Path(app.srcdir) / "_draw", Path(app.outdir) / "_static"
    (static / "draw").mkdir(parents=True, exist_ok=True)
    shutil.copy(sources / "draw.css", static / "draw")
    modules = {path.stem: path.read_text(encoding="utf-8") for path in sources.glob("*.js")}
    networks = sorted((Path(app.srcdir) / "_static" / "networks").glob("*.bin"))
    script = published(path.stem for path in networks) + bundle(modules, "page")
    (static / "draw" / "draw.js").write_text(script, encoding="utf-8", newline="\n")
    for path in networks:
        goal = static / "networks" / f"{path.stem}.js"
        goal.parent.mkdir(exist_ok=True)
        goal.write_text(network_script(path.stem, path.read_bytes()), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.add_transform(Invitation)
    app.connect("html-page-context", add_to_page)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
