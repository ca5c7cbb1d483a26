"""The book on paper: what becomes of tables, folds and notes, and the PDF itself."""

import os
import re
import shutil
import time

import nbformat
import on_paper
import paper
import pytest
from catalogue import Project, read_notebook
from conftest import ROOT
from docutils import nodes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import figures

PROVENANCE = (
    '<table><caption>How this run was made</caption><tbody><tr><th scope="row" style="text-align:'
    'left">Seed</th><td style="text-align:left">0</td></tr></tbody></table>'
)
FOLD = "<details>\n<summary>{}</summary>\n\n{}\n\n</details>"


def shown_by_figures(monkeypatch, rows: list[dict], **settings: object) -> str:
    """Return the HTML of the table that a cell shows."""
    shown = []
    monkeypatch.setattr(figures, "display", lambda data, raw: shown.append(data["text/html"]))
    figures.table(rows, **settings)
    return shown[0]


def chapter_of(*cells: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the cells of a chapter `sample` on paper."""
    return paper.chapter("sample", new_notebook(cells=list(cells))).cells


# --- tables


def test_a_table_that_code_shows_becomes_one_of_markdown(monkeypatch):
    rows = [{"rule": "SGD | plain", "loss (*)": "1 < 2"}, {"rule": "a_b_c", "loss (*)": 3}]
    html = shown_by_figures(monkeypatch, rows, caption="$5 a run")
    assert paper.table(html).splitlines() == [
        r"```{table} \$5 a run",
        r"| rule | loss \(\*\) |",
        "| :--- | ---: |",
        r"| SGD \| plain | 1 \< 2 |",
        r"| a\_b\_c | 3 |",
        "```",
    ]


def test_how_a_run_was_made_becomes_a_table_without_a_head():
    assert paper.table(PROVENANCE).splitlines() == [
        "```{table} How this run was made",
        "|  |  |",
        "| :--- | :--- |",
        "| Seed | 0 |",
        "```",
    ]


def test_a_cells_tables_are_converted_and_its_other_outputs_stay():
    plain = new_output("display_data", {"text/plain": "forty steps"})
    bundle = {"text/html": PROVENANCE, "text/plain": '{"seed": 0}'}
    (cell,) = chapter_of(new_code_cell("x", outputs=[plain, new_output("display_data", bundle)]))
    assert cell.outputs[0] == plain
    assert set(cell.outputs[1].data) == {"text/markdown"}


def table_rows(*rows: list[str]) -> list[list[nodes.entry]]:
    """Return rows of cells, the first cell on the left, the others on the right."""
    return [
        [
            nodes.entry("", nodes.paragraph("", text), classes=["text-right"] if column else [])
            for column, text in enumerate(row)
        ]
        for row in rows
    ]


def test_a_small_table_keeps_its_columns_as_wide_as_they_are():
    assert on_paper.columns(table_rows(["a", "b"], ["1", "2"])) == ("{lr}", 2)


def test_a_wide_table_fits_and_its_words_stay_whole():
    head = ["momentum", "the same in very many words", *["a long heading of a column"] * 8]
    spec, lines = on_paper.columns(table_rows(head, ["momentum", "word " * 40, *["99.1"] * 8]))
    shares = [float(share) for share in re.findall(r"p\{([\d.]+)\\linewidth\}", spec)]
    assert len(shares) == 10 and sum(shares) < 1
    assert shares[0] > len("momentum") / on_paper.LINE
    assert shares[1] == max(shares) and shares[2] > len("heading") / on_paper.LINE
    assert spec.count("raggedleft") == 9 and lines > 5


# --- folds, notes, figures, outputs


def test_an_answer_stands_at_the_end_and_each_place_names_the_other():
    first, second, answers = chapter_of(
        new_markdown_cell(f"**Predict.** Why?\n\n{FOLD.format('Answer', 'Because.')}\n\nNext."),
        new_markdown_cell(FOLD.format("Think about it this way", "Look:\n\n```python\nx\n```")),
    )
    assert first.source == (
        "**Predict.** Why?\n\n(sample-question-1)=\n→ [Answer 1](#sample-answer-1)\n\nNext."
    )
    assert second.source.endswith("→ Think about it this way: [Answer 2](#sample-answer-2)")
    assert answers.source.startswith("## Answers\n")
    one, two = answers.source.split("(sample-answer-2)=")
    assert one.index("(sample-answer-1)=\n**Answer 1**") < one.index("Because.")
    assert "(#sample-question-1)" in one and "(#sample-question-2)" in two
    assert "```python\nx\n```" in two and "details" not in one + two


def test_every_fold_of_the_book_is_found():
    for entry in Project().published():
        copy = read_notebook(Project().copy(entry.name))
        cells = paper.chapter(entry.name, copy).cells
        folds = sum(cell.source.count("<details") for cell in copy.cells)
        assert not [cell.id for cell in cells if "<details" in cell.source]
        assert sum(len(re.findall(r"-question-\d+\)=", cell.source)) for cell in cells) == folds


def test_what_is_folded_on_a_page_stands_below_a_heading():
    assert paper.page(FOLD.format("Every target", "All.")) == "### Every target\n\nAll."


def test_notes_for_screen_and_paper_are_followed():
    text = (
        "<!-- note: on the screen -->\nPress.\n\n<!-- note: end of screen -->\n"
        "<!-- note: on paper: *Read* it. -->\n\nBoth."
    )
    assert paper.for_paper(text) == "\n*Read* it.\n\nBoth."


def test_buttons_and_the_code_that_is_folded_are_left_out():
    head = "# A\n\n[Open in Colab](https://c) ·\n[Download](https://d)\n\n*Homework 1*"
    hidden = {"tags": ["report", "hide-input"]}
    output = new_output("stream", text="✓ right")
    title, with_output, without = chapter_of(
        new_markdown_cell(head),
        new_code_cell("draw()", metadata=hidden, outputs=[output]),
        new_code_cell("import x", metadata=hidden),
    )
    assert title.source == "# A\n\n*Homework 1*"
    assert with_output.metadata.tags == ["remove-input"] and with_output.outputs == [output]
    assert without.metadata.tags == ["remove-cell"]


def test_a_caption_stays_with_its_figure():
    (caption,) = chapter_of(new_markdown_cell("**Figure 3.** A line."))
    assert caption.source == f"{paper.TOGETHER}**Figure 3.** A line."


def test_what_scrolls_on_the_screen_is_shortened():
    prints = [new_output("stream", text=f"line {number}\n") for number in range(20)]
    scrolls = {"tags": ["scroll-output"]}
    (cell,) = chapter_of(new_code_cell("x", metadata=scrolls, outputs=prints))
    (output,) = cell.outputs
    assert output.text.splitlines() == [
        *(f"line {number}" for number in range(paper.SHOWN)),
        "… 14 more lines, which the notebook shows",
    ]


def test_the_copy_that_the_gate_hashes_is_not_changed():
    path = Project().copy("hw7")
    before, copy = path.read_bytes(), read_notebook(path)
    same = nbformat.writes(copy)
    paper.chapter("hw7", copy)
    assert nbformat.writes(copy) == same and path.read_bytes() == before


# --- LaTeX


def test_without_latex_one_sentence_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert paper.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("✗ xelatex and latexmk of LaTeX cannot be found")
    assert f"apt-get install {paper.PACKAGES}" in line


@pytest.mark.parametrize(
    ("log", "fault"),
    [
        ("Missing character: There is no ✓ in font FreeMono!\n", "no ✓ in font"),
        ("Overfull \\hbox (33.1pt too wide) in paragraph at lines 4--5\n\\TU x\n", "33.1pt"),
        ("! LaTeX Error: File `x.sty' not found.\n\nType X\n\nl.7 \\usepackage{x}\n", "x.sty"),
        ("LaTeX Warning: Hyper reference `a:b' on page 3 undefined\n", "undefined"),
    ],
)
def test_what_latex_could_not_set_is_told(log, fault):
    (told,) = paper.log_faults(f"This is XeTeX\n{log}Output written\n")
    assert fault in told


def test_a_line_that_sticks_out_by_a_hair_is_left():
    assert paper.log_faults("Overfull \\hbox (4.5pt too wide) in paragraph\n\\TU x\n") == []


def test_the_packages_are_the_same_wherever_they_are_named():
    for path in ("book/running.md", ".github/workflows/pages.yml"):
        text = (ROOT / path).read_text(encoding="utf-8").replace("\\\n", "")
        text = " ".join(text.split())
        assert paper.PACKAGES in text, path


def test_the_title_page_says_where_the_site_is_once_that_is_known(project):
    settings = {"title": "A & B", "author": "somebody"}
    page = paper.title_page(project, settings).replace(r"\sphinxhyphen{}", "-")
    assert r"A \& B" in page and "By somebody" in page and "MIT licence" in page
    assert re.search(r"of \d{4}-\d\d-\d\d to \d{4}", page)
    project.config.write_text(
        "repository: {url: 'https://github.com/who/cnn', branch: main}\n", encoding="utf-8"
    )
    assert r"\url{https://who.github.io/cnn/}" in paper.title_page(project, settings)


# --- the link on the site


def test_the_site_offers_a_pdf_only_if_it_is_as_new_as_the_book(tmp_path):
    (tmp_path / "_build").mkdir()
    page, pdf = tmp_path / "index.md", tmp_path / "_build" / on_paper.PDF
    page.touch()
    assert on_paper.current(tmp_path) is None
    pdf.write_bytes(b"%PDF")
    os.utime(page, (time.time() - 60,) * 2)
    assert on_paper.current(tmp_path) == pdf
    os.utime(page, (time.time() + 60,) * 2)
    assert on_paper.current(tmp_path) is None


@pytest.mark.long
def test_the_site_links_the_pdf(project):
    import publish

    pdf = project.book / "_build" / on_paper.PDF
    html = publish.build_site(project).parent
    assert on_paper.PDF not in (html / "index.html").read_text(encoding="utf-8")
    pdf.write_bytes(b"%PDF" + bytes(3_700_000))
    html = publish.build_site(project).parent
    index = (html / "index.html").read_text(encoding="utf-8")
    assert f'href="{on_paper.PDF}"' in index and "(4 MB)" in index
    assert (html / on_paper.PDF).read_bytes() == pdf.read_bytes()


# --- the PDF


@pytest.fixture(scope="module")
def pdf(tmp_path_factory):
    """The PDF of the book itself, read by pypdf."""
    pypdf = pytest.importorskip(
        "pypdf", reason='needs the extra "paper": pip install -e ".[paper]"'
    )
    if missing := [name for name in paper.PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"{', '.join(missing)} not installed: apt-get install {paper.PACKAGES}")
    root = tmp_path_factory.mktemp("paper")
    for folder in ("book", "benchmarks", "tools"):
        ignored = shutil.ignore_patterns("_build", "__pycache__")
        shutil.copytree(ROOT / folder, root / folder, symlinks=True, ignore=ignored)
    return pypdf.PdfReader(paper.make_pdf(Project.at(root)))


@pytest.fixture(scope="module")
def texts(pdf) -> list[str]:
    """The text of each page."""
    return [page.extract_text() for page in pdf.pages]


def outline(pdf) -> dict[str, int]:
    """Return the pages, from 0, on which the chapters begin, by their titles."""
    chapters = [entry for entry in pdf.outline if not isinstance(entry, list)]
    return {entry.title: pdf.get_destination_page_number(entry) for entry in chapters}


@pytest.mark.long
def test_the_pdf_has_contents_and_every_page_its_number(pdf, texts):
    begins = outline(pdf)
    titles = [entry.title for entry in Project().published()]
    assert set(titles) <= set(begins)
    contents = " ".join(" ".join(texts[1:4]).split())
    first = begins["About this book"]
    for title in titles:
        assert re.search(rf"{re.escape(title)}[ .]*{begins[title] - first + 1}\b", contents), title
    for number, text in enumerate(texts[first:], start=1):
        assert str(number) in text.split(), number


@pytest.mark.long
def test_every_chapter_of_the_pdf_has_its_figures_and_answers(pdf, texts):
    begins = sorted(outline(pdf).values()) + [len(texts)]
    for entry in Project().published():
        copy = read_notebook(Project().copy(entry.name))
        start = outline(pdf)[entry.title]
        pages = range(start, next(begin for begin in begins if begin > start))
        drawn = sum(
            "image/png" in output.get("data", {})
            for cell in copy.cells
            for output in cell.get("outputs", [])
        )
        assert sum(len(pdf.pages[page].images) for page in pages) == drawn
        text = " ".join(" ".join(texts[page] for page in pages).split())
        folds = sum(cell.source.count("<details>") for cell in copy.cells)
        for number in range(1, folds + 1):
            assert re.search(rf"→ [^→]*Answer {number} \(page \d+\)", text), (entry.name, number)
            assert f"Answer {number} to the question (page" in text, (entry.name, number)
        assert "How this run was made" in text


@pytest.mark.long
def test_nothing_of_markdown_html_or_the_screen_is_left_in_the_pdf(texts):
    text = "\n".join(texts)
    for left in ("| --- |", "<details", "<!--", '{"parameters"', "Open in Colab]("):
        assert left not in text, left


@pytest.mark.long
def test_no_reference_of_the_pdf_leads_nowhere(pdf, texts):
    assert "??" not in "\n".join(texts)
    links = [
        annotation.get_object()
        for page in pdf.pages
        for annotation in page.get("/Annots", [])
        if annotation.get_object()["/Subtype"] == "/Link"
    ]
    inside = [link["/A"]["/D"] for link in links if link.get("/A", {}).get("/S") == "/GoTo"]
    names = set(pdf.named_destinations)
    assert len(inside) > 300 and set(inside) <= names
