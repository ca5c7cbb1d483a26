"""A notebook's Markdown holds only what Colab, JupyterLab, GitHub and the site all show."""

import catalogue
import portable
import pytest
from catalogue import Project
from conftest import sample_notebook
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

NAMES = [entry.name for entry in Project().ready()]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_shows_nothing_raw_outside_the_site(name):
    notebook = catalogue.read_notebook(Project().source(name))
    assert portable.portability_faults(name, notebook) == []


def test_the_sample_notebook_is_portable():
    assert portable.portability_faults("sample", sample_notebook()) == []


MYST = {
    "```{list-table}\n* - a\n  - b\n```": "the MyST directive {list-table}",
    "- item\n\n  ```{note}\n  Text\n  ```": "the MyST directive {note}",
    "~~~{figure} a.png\nA caption.\n~~~": "the MyST directive {figure}",
    "````{admonition} Title\nText\n````": "the MyST directive {admonition}",
    "```{code-cell} python\n1\n```": "the MyST directive {code-cell}",
    "Text.\n\n:::{note}\nText\n:::": "the MyST fence :::{note}",
    "See {eq}`loss`.": "the MyST role {eq}",
    "It was shown {cite:p}`lecun1998gradient`.": "the MyST role {cite:p}",
    "See {ref}`a text\nover two lines <x>`.": "the MyST role {ref}",
    "$$\nx = 1\n$$ (loss)": "the MyST equation label $$ (loss)",
    "(target)=\n## A heading": "the MyST label (target)=",
    "$$\nx \\label{loss}\n$$": "\\label, which needs numbers",
    "See \\eqref{loss}.": "\\eqref, which needs numbers",
    "A claim.[^1]": "the footnote [^1]",
    "Text.\n\n+++\n\nText.": "the MyST block break +++",
    "% A comment.\nText.": "the MyST comment % A comment.",
}


@pytest.mark.parametrize("text", MYST)
def test_what_is_mysts_own_is_refused_and_its_cell_named(text):
    notebook = new_notebook(cells=[new_markdown_cell(f"A sentence.\n\n{text}", id="prose")])
    faults = portable.portability_faults("hw7", notebook)
    assert [fault for fault in faults if f"hw7: cell prose holds {MYST[text]}" in fault]
    assert all("allowed are CommonMark, tables, LaTeX" in fault for fault in faults)


@pytest.mark.parametrize(
    "text",
    [
        "Write `{x}` and `{eq}`.",
        "Write ``{eq}`loss` `` as code.",
        "```python\nf'{x}'  # {eq}`loss` [^1]\n% no comment\n```",
        "    (code)=\n    {eq}`loss`",
        "$$ (i-1)\\cdot w + j $$",
        "$$\nx = \\frac{1}{2} \\tag{1}\n$$\n\nBy equation (1), $f(\\{1, 2\\})$ is 50 % of it.",
        "| a | b |\n| --- | --- |\n| 1 | `{c}` |",
        "<details>\n<summary>Answer</summary>\n\nIt is $x$.\n\n</details>",
        "**3.2**<!-- M_no.train_seconds / M_max.train_seconds | .1f --> times",
        "[a link](https://example.org) and a range $[0, 1]$",
    ],
)
def test_common_markdown_passes(text):
    notebook = new_notebook(cells=[new_markdown_cell(text, id="prose")])
    assert portable.portability_faults("hw7", notebook) == []


# --- captions


def figure(name: str) -> list:
    """Return a code cell that shows a figure."""
    metadata = {"mystnb": {"image": {"alt": "A line"}}}
    return new_code_cell("plot()", id=name, metadata=metadata)


def caption(text: str, name: str = "a-caption"):
    """Return a Markdown cell."""
    return new_markdown_cell(text, id=name)


def test_captions_numbered_in_order_below_their_figures_pass():
    cells = [figure("a"), caption("**Figure 1.** A."), figure("b")]
    cells += [caption("**Figure 2.** B.", "b-caption"), caption("**Bold.** Text.", "text")]
    assert portable.portability_faults("hw7", new_notebook(cells=cells)) == []


def test_a_caption_in_metadata_is_refused():
    cell = figure("a")
    cell.metadata["mystnb"]["figure"] = {"caption": "A line."}
    (fault,) = portable.portability_faults("hw7", new_notebook(cells=[cell]))
    assert fault.startswith("hw7: cell a has its caption in its metadata; allowed is a Markdown")


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (
            [figure("a"), caption("**Figure 2.** A.")],
            "begins '**Figure 2.**'; in order, it is Figu",
        ),
        ([figure("a"), caption("**Figure 1** A.")], "allowed: '**Figure 1.** …'"),
        ([figure("a"), caption("**Figure 1.**")], "allowed: '**Figure 1.** …'"),
        (
            [new_code_cell("1", id="a"), caption("**Figure 1.** A.")],
            "must stand directly below a co",
        ),
        (
            [figure("a"), caption("Text.", "text"), caption("**Figure 1.** A.")],
            "must stand directly below a code cell that shows a figure",
        ),
        ([caption("**Figure 1.** A."), figure("a")], "must stand directly below a code cell"),
    ],
)
def test_a_faulty_caption_is_refused(cells, sentence):
    (fault,) = portable.portability_faults("hw7", new_notebook(cells=cells))
    assert sentence in fault and "cell a-caption" in fault


def test_two_captions_with_one_number_are_refused():
    cells = [
        figure("a"),
        caption("**Figure 1.** A."),
        figure("b"),
        caption("**Figure 1.** B.", "b-caption"),
    ]
    (fault,) = portable.portability_faults("hw7", new_notebook(cells=cells))
    assert "in order, it is Figure 2" in fault
