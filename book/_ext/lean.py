"""What a page loads and how it is marked up, once Sphinx and its theme are done with it.

The extensions that jupyter-book brings load scripts and styles that nothing here uses, some of them
twice, and jupyter-book loads each script in `_static`, MathJax too, before a page is shown. Two
kinds of markup that others write are an obstacle to screen readers.
"""

import re

from sphinx.application import Sphinx

UNUSED = re.compile(r"thebe|togglebutton|toggleHint|toggleOpenOnPrint")
UNUSED_SETTINGS = re.compile(
    r'<script type="text/x-thebe-config">.*?</script>|<script>kernelName = .*?</script>', re.DOTALL
)
EMPTY_HEADER = re.compile(r"<th\b[^>]*>\s*</th>")


def mend(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Leave out what the page does not use, and mend its tables and its list of references."""
    body = UNUSED_SETTINGS.sub("", context.get("body", ""))
    body = EMPTY_HEADER.sub("<td></td>", body)
    context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')
    styles = context["css_files"]
    styles[:] = [style for style in styles if not UNUSED.search(_shown(style))]
    has_formulas = 'class="math' in body
    context["script_files"][:] = [
        script
        for script in context["script_files"]
        if not UNUSED.search(shown := _shown(script))
        and ("MathJax" not in shown or has_formulas)
        and ("mathjax/" not in shown or (has_formulas and "defer" in script.attributes))
    ]


def _shown(script: object) -> str:
    """Return the name of a script's file, and what the script holds if it has none."""
    attributes = getattr(script, "attributes", {})
    return f"{getattr(script, 'filename', script)} {attributes.get('body', '')}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    # After the theme, which adds scripts of its own.
    app.connect("html-page-context", mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
