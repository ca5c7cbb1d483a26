"""What others show of a page: a card for each page, and a map of the site for search engines.

Both need the site's public address. GitHub Pages gives it, once `tools/stamp.py` has written the
repository's; under the placeholder that a fresh copy of this project carries, nothing is switched
on. A site that is served elsewhere says so in _config.yml, `html.baseurl`.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

# An account's name begins with a letter or digit; that of the placeholder does not.
REPOSITORY = re.compile(r"https://github\.com/([A-Za-z0-9][A-Za-z0-9-]*)/([\w.-]+)")
NO_CONTENT = ["genindex.html", "search.html"]


def site_address(repository: str) -> str:
    """Return where GitHub Pages serves a repository's site; empty for one that cannot exist."""
    found = REPOSITORY.fullmatch(repository)
    if not found:
        return ""
    host = f"{found[1].lower()}.github.io"
    return f"https://{host}/" if found[2].lower() == host else f"https://{host}/{found[2]}/"


def switch_on(app: Sphinx, config: Config) -> None:
    """Load the two extensions where the address is known."""
    repository = config.html_theme_options.get("repository_url", "")
    address = config.html_baseurl or site_address(repository)
    if not address or not REPOSITORY.fullmatch(repository):
        return
    config.html_baseurl = address
    app.setup_extension("sphinxext.opengraph")
    app.setup_extension("sphinx_sitemap")
    config.ogp_site_url = address
    config.ogp_site_name = config.html_title
    config.sitemap_url_scheme = "{link}"  # no folder for the language
    config.sitemap_excludes = NO_CONTENT


def begin_with_words(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Leave a chapter's buttons and the line on its course out of what its card says."""
    if isinstance(doctree, nodes.document) and page.startswith("notebooks/"):
        for paragraph in list(doctree.findall(nodes.paragraph))[:2]:
            first = next((child for child in paragraph.children if child.astext().strip()), None)
            if isinstance(first, (nodes.reference, nodes.emphasis)):
                paragraph.parent.remove(paragraph)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("config-inited", switch_on)
    app.connect("html-page-context", begin_with_words, priority=400)  # before the card is made
    return {"parallel_read_safe": True, "parallel_write_safe": True}
