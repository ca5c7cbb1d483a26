"""Write the public repository's address wherever it stands.

    python tools/stamp.py https://github.com/somebody/cnn-homework [--ref main]

The address belongs to `repository` in _config.yml. The links and bootstrap cells of the notebooks,
README.md, CITATION.cff and the book's pages repeat it, and this command rewrites them all. The
executed copies are stamped as well, since their links are the ones a reader presses; the source
hash that a copy records moves with it, so a fresh copy stays fresh and a stale one stays stale.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import pages
from catalogue import Project, code_hash, read_notebook, source_hash

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
    ):
        pattern = rf"({before}){old_slug}{between}{re.escape(old_ref)}{after or end}"
        text = re.sub(pattern, rf"\g<1>{new_slug}{between}{new_ref}{after}", text)
    return re.sub(rf"(https://github\.com/){old_slug}{end}", rf"\g<1>{new_slug}", text)


def stamp_notebook(path: Path, old: tuple[str, str], new: tuple[str, str]) -> None:
    """Stamp the cells of the notebook in the file `path`, and leave every other byte alone."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    for cell in raw["cells"]:
        source = cell["source"]
        text = source if isinstance(source, str) else "".join(source)
        cell["source"] = stamp_text(text, old, new).splitlines(True)
    path.write_text(_as_json(raw), encoding="utf-8", newline="\n")


def stamp_copy(project: Project, name: str, old: tuple[str, str], new: tuple[str, str]) -> None:
    """Stamp an executed copy, and let the hashes that it records follow its cells."""
    path = project.copy(name)
    before = read_notebook(path)
    stamp_notebook(path, old, new)
    after = read_notebook(path)
    raw = json.loads(path.read_text(encoding="utf-8"))
    provenance = raw["metadata"]["provenance"]
    for key, hash_of in (("source_sha256", source_hash), ("code_sha256", code_hash)):
        if provenance[key] == hash_of(before):
            provenance[key] = hash_of(after)
    path.write_text(_as_json(raw), encoding="utf-8", newline="\n")


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
    for path in (project.root / "notebooks").glob("*.ipynb"):
        stamp_notebook(path, old, new)
    for entry in project.published():
        stamp_copy(project, entry.name, old, new)
    for path in texts(project):
        text = stamp_text(path.read_text(encoding="utf-8"), old, new)
        if path == project.config:
            text = re.sub(r"(?m)^(  branch\s*:\s*).*$", rf"\g<1>{ref}", text)
        path.write_text(text, encoding="utf-8", newline="\n")
    pages.write(project)


def _as_json(raw: dict) -> str:
    return json.dumps(raw, indent=1, ensure_ascii=False) + "\n"


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
