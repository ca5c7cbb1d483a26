"""The glossary: each term is linked once in a chapter, where it first stands, and to its entry."""

import re

import glossary
import pytest
from catalogue import Project
from conftest import ROOT
from sphinx.application import Sphinx

GLOSSARY = """# Glossary

```{glossary}
batch
mini-batch
  Some images.

batch normalisation
  A layer.

fully connected (layer)
  A layer too.

overfit(ting)
  Too close.

`im2col`
  A table.

penalty
  A term.
```
"""

TARGET = "../glossary.html#term-"
LINK = re.compile(r'<a class="glossary-term[^"]*" href="([^"]*)" title="([^"]*)">(.*?)</a>', re.S)


CASES = {
    "A batch, and a batch.": [("batch", "batch")],
    "Two *Mini-batches*, a batch.": [("batch", "Mini-batches")],
    "A fully\nconnected part.": [("fully-connected-layer", "fully\nconnected")],
    "Fully connected layers.": [("fully-connected-layer", "Fully connected layers")],
    "They overfit.": [("overfit-ting", "overfit")],
    "Penalties.": [("penalty", "Penalties")],
    "Batch normalisation of a batch.": [
        ("batch-normalisation", "Batch normalisation"),
        ("batch", "batch"),
    ],
    "Batch normalisation, batch\nnormalisation.": [("batch-normalisation", "Batch normalisation")],
    "The `im2col` of a `batch`.": [("im2col", "im2col")],
    "A call of `im2col(x)`.": [],
    "## A batch\n\n| batch |\n| --- |\n| batch |\n\n$\\text{batch}$": [],
    "[a batch](../index.md) in batch-size, rebatch": [],
    "<details>\n<summary>A</summary>\n\nA batch.\n\n</details>\n\nMy batches.": [
        ("batch", "batches")
    ],
    "```python\nbatch = 1\n```": [],
}


@pytest.fixture(scope="module")
def links(tmp_path_factory) -> dict[str, list[tuple[str, str]]]:
    """The links to the glossary, by the text of the chapter in which they stand."""
    folder = tmp_path_factory.mktemp("glossary")
    (folder / "notebooks").mkdir()
    names = {text: f"notebooks/case-{number}" for number, text in enumerate(CASES)}
    contents = "\n".join(["glossary", "page", *names.values()])
    (folder / "index.md").write_text(f"# Book\n\n```{{toctree}}\n{contents}\n```\n")
    (folder / "glossary.md").write_text(GLOSSARY)
    (folder / "page.md").write_text("# A page\n\nA batch.\n")
    for text, name in names.items():
        (folder / f"{name}.md").write_text(f"# Chapter\n\n{text}\n")
    settings = {
        "extensions": ["myst_parser", "glossary"],
        "myst_enable_extensions": ["dollarmath"],
        "suppress_warnings": ["myst.header"],
    }
    out = folder / "out"
    app = Sphinx(
        str(folder), None, str(out), str(folder / "trees"), "html", settings, status=None,
        warningiserror=True,
    )  # fmt: skip
    app.build()
    pages = names | {"page": "page"}
    return {text: found_links((out / f"{name}.html").read_text()) for text, name in pages.items()}


def found_links(html: str) -> list[tuple[str, str]]:
    """Return the links to the glossary in a page: their target's name, and what they say."""
    links = [(target, re.sub("<[^>]*>", "", text)) for target, _, text in LINK.findall(html)]
    assert all(target.startswith(TARGET) for target, _ in links)
    return [(target.removeprefix(TARGET), text) for target, text in links]


@pytest.mark.parametrize("text", CASES)
def test_a_term_is_linked_where_it_first_stands_in_running_text(links, text):
    assert links[text] == CASES[text]


def test_a_page_that_is_no_chapter_has_no_such_links(links):
    assert links["page"] == []


def test_what_stands_in_brackets_may_be_missing_but_not_run_into_the_word():
    pattern = re.compile(glossary.pattern_of("fully connected (layer)"))
    assert pattern.fullmatch("fully connected") and pattern.fullmatch("fully  connected layers")
    assert not pattern.fullmatch("fully connectedlayer")


# --- the book's own


def entries() -> dict[tuple[str, ...], str]:
    """Return what the book's glossary says of each thing, by its names as written there."""
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    found = {}
    for entry in text.partition("```{glossary}\n")[2].partition("```")[0].split("\n\n"):
        lines = entry.splitlines()
        names = tuple(line for line in lines if not line.startswith(" "))
        assert lines[: len(names)] == list(names)
        found[names] = " ".join(line.strip() for line in lines[len(names) :])
    return found


def test_the_glossary_is_in_order_and_says_a_sentence_or_three_of_each_term():
    names = [[name.strip("`").lower() for name in names] for names in entries()]
    first = [of_one[0] for of_one in names]
    assert first == sorted(first) and len(first) > 40
    every = [name for of_one in names for name in of_one]
    assert len(set(every)) == len(every)
    for of_one, says in entries().items():
        assert re.fullmatch(r"[A-Z].*\.", says), of_one
        assert len(re.findall(r"\.(?= [A-Z]|$)", says)) <= 3 and len(says) < 300, of_one


def test_each_chapter_links_each_term_once_and_each_term_is_of_some_chapter(book_site):
    page = (book_site / "glossary.html").read_text(encoding="utf-8")
    there = set(re.findall(r'<dt id="term-([^"]*)"', page))
    used = set()
    for entry in Project().published():
        html = (book_site / "notebooks" / f"{entry.name}.html").read_text(encoding="utf-8")
        targets = [target for target, _ in found_links(html)]
        assert len(targets) > 20, entry.name
        assert len(set(targets)) == len(targets) and set(targets) <= there
        used |= set(targets)
    first = {re.sub(r"\W+", "-", names[0].strip("`")).strip("-") for names in entries()}
    unused = first - used
    assert not unused, f"no chapter uses {sorted(unused)}: take them out of book/glossary.md"
