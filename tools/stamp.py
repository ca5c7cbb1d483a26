"""Write the public repository's address wherever it stands.

    python tools/stamp.py https://github.com/somebody/cnn-homework [--ref main]
    python tools/stamp.py --ref v1.0    the same address, another branch, tag or commit
    python tools/stamp.py               the same address again, for a new bootstrap cell

The address belongs to `repository` in book/_config.yml. The links and bootstrap cells of the
notebooks, README.md, CITATION.cff and the book's pages repeat it, and this command rewrites them
all. The bootstrap cell's text belongs here. The executed copies are stamped as well, since their
links are the ones a reader presses; the hashes that a copy records move with it, so a fresh copy
stays fresh and a stale one stays stale.
"""

import argparse
import re
import sys
from pathlib import Path

import editions
import pages
import prose
from catalogue import BOOTSTRAP, Project, rewrite_cells

# GitHub allows letters, digits and single hyphens inside an account's name; "-owner-" is none.
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9](?:-?[A-Za-z0-9])*)/([\w.-]+?)(?:\.git)?/?")

BOOTSTRAP_CELL = """\
try:
    from helpers import runtime
except ImportError:
    %pip install --quiet "cnn-homework @ git+URL@REF"
    try:
        from helpers import runtime
    except ImportError as error:

        class NotInstalled(RuntimeError):
            def _render_traceback_(self):  # IPython then shows the sentence alone
                return [str(self)]

        raise NotInstalled(
            f"This notebook's package could not be installed ({error}): pip says why above; "
            "once that is mended, run this cell again."
        ) from None"""


class StampError(ValueError):
    """The address or branch cannot be one of a public GitHub repository."""


def stamp_text(text: str, old: tuple[str, str], new: tuple[str, str]) -> str:
    """Return `text` with every form of the address and branch `old` turned into `new`."""
    (old_url, old_ref), (new_url, new_ref) = old, new
    old_slug = re.escape(old_url.removeprefix("https://github.com/"))
    new_slug = new_url.removeprefix("https://github.com/")
    end = r"(?![\w-])"
    for before, between, after in (
        (r"colab\.research\.google\.com/github/", "/blob/", "/"),
        (r"raw\.githubusercontent\.com/", "/", "/"),
        (r"git\+https://github\.com/", "@", ""),
        (r"https://github\.com/", "/blob/", "/"),
        (r"https://github\.com/", "/tree/", "/"),
    ):
        pattern = rf"({before}){old_slug}{between}{re.escape(old_ref)}{after or end}"
        text = re.sub(pattern, rf"\g<1>{new_slug}{between}{new_ref}{after}", text)
    return re.sub(rf"(https://github\.com/){old_slug}{end}", rf"\g<1>{new_slug}", text)


def bootstrap_cell(url: str, ref: str) -> str:
    """Return the source of every notebook's bootstrap cell.

    Where `helpers` is missing, as in Colab, it installs the package from the branch, tag or commit
    `ref` of the repository `url`; anywhere else it does nothing.
    """
    return BOOTSTRAP_CELL.replace("URL@REF", f"{url}@{ref}")


def texts(project: Project) -> list[Path]:
    """Return the text files that may name the address; the last, book/_config.yml, owns it."""
    files = [project.root / "README.md", project.root / "CITATION.cff"]
    return [*files, *sorted(project.book.glob("*.md")), project.config]


def notebooks(project: Project) -> list[Path]:
    """Return the notebooks that are opened in Colab: the sources and their student editions."""
    folders = (project.root / "notebooks", project.root / "student" / "notebooks")
    return [path for folder in folders for path in sorted(folder.glob("*.ipynb"))]


def stamp(project: Project, url: str, ref: str) -> None:
    """Write the address `url` and the branch `ref` everywhere; `StampError` if they cannot be.

    The address that the project already has is always one that can be.
    """
    old = project.address()
    address = ADDRESS.fullmatch(url)
    if address:
        url = f"https://github.com/{address[1]}/{address[2]}"
    elif url != old[0]:
        raise StampError(f"URL = {url!r}: expected https://github.com/ACCOUNT/REPOSITORY")
    if not re.fullmatch(r"[\w.-]+(?:/[\w.-]+)*", ref):
        raise StampError(f"--ref = {ref!r}: expected the name of a branch, tag or commit")
    new = (url, ref)

    def stamped(cell: dict, text: str) -> str:
        is_bootstrap = BOOTSTRAP in cell["metadata"].get("tags", [])
        return bootstrap_cell(*new) if is_bootstrap else stamp_text(text, old, new)

    copies = [project.copy(entry.name) for entry in project.published()]
    for path in (*notebooks(project), *copies):
        rewrite_cells(path, stamped)
    for path in texts(project):
        text = stamp_text(path.read_text(encoding="utf-8"), old, new)
        if path == project.config:
            text = re.sub(r"(?m)^(  branch\s*:\s*).*$", rf"\g<1>{ref}", text)
        path.write_text(text, encoding="utf-8", newline="\n")
    pages.write(project)
    prose.write(project)
    editions.write(project)


def main(arguments: list[str] | None = None) -> int:
    """Stamp the address that the command line gives; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        help="https://github.com/ACCOUNT/REPOSITORY (default: the address as it is)",
    )
    parser.add_argument(
        "--ref",
        help="branch, tag or commit (default: main, or the one as it is where URL is left out)",
    )
    options = parser.parse_args(arguments)
    project = Project()
    current_url, current_ref = project.address()
    url = options.url or current_url
    ref = options.ref or ("main" if options.url else current_ref)
    try:
        stamp(project, url, ref)
    except StampError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    print(f"The address is now {url}, branch {ref}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
