"""A number and what belongs to it stay on one line."""

import subprocess
import sys

import pytest
from conftest import ROOT

CASES = {
    "60 000 images of 1 234 567": "60_000 images of 1_234_567",
    "91.25 % of them": "91.25_% of them",
    "99.27 ± 0.08 %": "99.27_±_0.08_%",
    "**99.27** ± **0.08** %, 10 000": "<strong>99.27</strong>_±_<strong>0.08</strong>_%, 10_000",
    "In 1998 100 images, and 5 20 7": "In 1998_100 images, and 5 20 7",
    "8 1000 and a 100": "8 1000 and a 100",
    "**Note** % 5": "<strong>Note</strong> % 5",
    "`60 000`": '<span class="pre">60</span> <span class="pre">000</span>',
    "$60 000$": r"\(60 000\)",
    "*60 000*": "<em>60_000</em>",
}


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    """One page with every case in a paragraph of its own; `_` for a space that does not break."""
    folder = tmp_path_factory.mktemp("unbroken")
    text = "\n\n".join(CASES)
    (folder / "index.md").write_text(f"# Book\n\n{text}\n\n```text\n7 000 %\n```\n")
    (folder / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT / 'book' / '_ext')!r})\n"
        "extensions = ['myst_parser', 'sphinx.ext.mathjax', 'unbroken']\n"
        "myst_enable_extensions = ['dollarmath']\n"
    )
    out = folder / "out"
    # In a process of its own: a second Sphinx in one process warns of the first.
    subprocess.run([sys.executable, "-m", "sphinx", "-qW", folder, out], check=True)
    return (out / "index.html").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", "_")


@pytest.mark.parametrize("text", CASES)
def test_a_number_is_not_torn_apart(page, text):
    assert CASES[text] in page


def test_code_stays_as_it_is(page):
    assert "7 000 %" in page


def test_the_book_uses_it(book_site):
    page = (book_site / "data.html").read_text(encoding="utf-8")
    assert "60\N{NO-BREAK SPACE}000" in page and "60 000" not in page
