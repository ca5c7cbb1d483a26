"""Write the public repository's address wherever it stands.

    python tools/stamp.py https://github.com/somebody/cnn-homework [--ref main]

The address belongs to `repository` in _config.yml. The links and bootstrap cells of the notebooks,
README.md, CITATION.cff and the book's pages repeat it, and this command rewrites them all. The
executed copies are stamped as well, since their links are the ones a reader presses; the source
hash that a copy records moves with it, so a fresh copy stays fresh and a stale one stays stale.
"""

import argparse
import re
import sys
from pathlib import Path

import editions
import pages
import prose
from catalogue import Project, rewrite_cells

# GitHub allows letters, digits and single hyphens inside an account's name; "-owner-" is none.
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9](?:-?[A-Za-z0-9])*)/([\w.-]+?)(?:\.git)?/?")


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


def texts(project: Project) -> list[Path]:
    """Return the text files that may name the address; _config.yml, which owns it, is the last."""
    files = [project.root / "README.md", project.root / "CITATION.cff"]
    return [*files, *sorted(project.book.glob("*.md")), project.config]


def stamp(project: Project, url: str, ref: str) -> None:
    """Write the address `url` and the branch `ref` everywhere; `StampError` if they cannot be."""
    address = ADDRESS.fullmatch(url)
    if not address:
        raise StampError(f"URL = {url!r}: expected https://github.com/ACCOUNT/REPOSITORY")
    if not re.fullmatch(r"[\w.-]+(?:/[\w.-]+)*", ref):
        raise StampError(f"--ref = {ref!r}: expected the name of a branch, tag or commit")
    old, new = project.address(), (f"https://github.com/{address[1]}/{address[2]}", ref)
    copies = [project.copy(entry.name) for entry in project.published()]
    for path in (*(project.root / "notebooks").glob("*.ipynb"), *copies):
        rewrite_cells(path, lambda cell, text: stamp_text(text, old, new))
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
    parser.add_argument("url", metavar="URL", help="https://github.com/ACCOUNT/REPOSITORY")
    parser.add_argument("--ref", default="main", help="branch, tag or commit (default: main)")
    options = parser.parse_args(arguments)
    try:
        stamp(Project(), options.url, options.ref)
    except StampError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    print(f"The address is now {options.url}, branch {options.ref}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
