"""The site: it builds without a warning, every chapter is there, and its buttons lead right."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import catalogue
import pages
import prose
import publish
import pytest
import sharing
import yaml
from catalogue import CatalogueError, Project
from conftest import ROOT
from nbformat.v4 import new_markdown_cell, new_notebook

COLAB = "https://colab.research.google.com/github"
RAW = "https://raw.githubusercontent.com"


def chapters(toc: Path) -> list[str]:
    """Return the names of all pages in a table of contents."""
    contents = yaml.safe_load(toc.read_text(encoding="utf-8"))
    files = [page["file"] for part in contents["parts"] for page in part["chapters"]]
    return [contents["root"], *files]


def page_faults(html: Path, project: Project) -> list[str]:
    """Return what is wrong with the built pages of a book."""
    url, branch = project.address()
    slug = url.removeprefix("https://github.com/")
    faults = []
    for chapter in chapters(project.toc):
        page = html / f"{chapter}.html"
        if not page.exists():
            faults.append(f"{chapter}: no page")
            continue
        text = page.read_text(encoding="utf-8")
        if "Traceback (most recent call last)" in text or "output traceback" in text:
            faults.append(f"{chapter}: shows a traceback")
        if chapter.startswith("notebooks/"):
            hrefs = re.findall(r'href="([^"]*)"', text)
            colab = [href for href in hrefs if href.startswith(COLAB)]
            if colab != 2 * [f"{COLAB}/{slug}/blob/{branch}/{chapter}.ipynb"]:
                faults.append(f"{chapter}: Colab links {colab}")
            download = [href for href in hrefs if href.startswith(RAW)]
            if download != [f"{RAW}/{slug}/{branch}/{chapter}.ipynb"]:
                faults.append(f"{chapter}: download links {download}")
            if "Injected by" in text or "%pip" in text:
                faults.append(f"{chapter}: shows a cell that is tagged for removal")
    return faults


@pytest.fixture(scope="module")
def sample_site(published_once, tmp_path_factory) -> Path:
    """The built site of the sample project."""
    return publish.build_site(published_once, tmp_path_factory.mktemp("sample-site")).parent


@pytest.mark.long
def test_the_book_builds_as_typed_and_every_chapter_is_there(book_site):
    assert page_faults(book_site, Project()) == []


@pytest.mark.long
@pytest.mark.xdist_group("quick book")
def test_the_quick_book_of_every_notebook_builds(quick_book):
    html = publish.build_site(quick_book).parent
    assert page_faults(html, quick_book) == []
    assert sorted(page.stem for page in (html / "notebooks").glob("*.html")) == sorted(
        entry.name for entry in quick_book.ready()
    )


@pytest.mark.long
def test_a_chapters_buttons_lead_to_its_source(sample_site, published_once):
    assert page_faults(sample_site, published_once) == []


def test_faults_of_pages_are_noticed(sample_site, published_once, tmp_path):
    html = shutil.copytree(sample_site, tmp_path / "html")
    (html / "data.html").unlink()
    page = html / "notebooks" / "sample.html"
    text = page.read_text(encoding="utf-8")
    branch = published_once.address()[1]
    text = text.replace(f"/blob/{branch}/notebooks/", f"/blob/{branch}/book/notebooks/")
    page.write_text(text + "Traceback (most recent call last)", encoding="utf-8")
    faults = page_faults(html, published_once)
    assert [fault.split(":")[0] for fault in faults] == ["notebooks/sample"] * 2 + ["data"]


def test_a_folded_cells_summary_says_what_is_inside_and_is_its_name(sample_site):
    text = (sample_site / "notebooks" / "sample.html").read_text(encoding="utf-8")
    assert (
        '<details class="folded">\n<summary><span class="collapsed">Show the code of this figure'
        in text
    )
    assert text.count('<details class="folded">') == 3
    # A label would be read out in place of what the summary shows.
    assert not re.findall(r"<summary[^>]*aria", text) and "Toggle hidden content" not in text
    assert "# @title" not in text


def test_only_a_caption_looks_like_one(sample_site):
    text = (sample_site / "notebooks" / "sample.html").read_text(encoding="utf-8")
    assert '<p class="cell-caption"><strong>Figure 1.</strong> A line.</p>' in text
    assert text.count("cell-caption") == 1


def test_markdown_in_a_folded_solution_is_shown_as_such(sample_site):
    text = (sample_site / "notebooks" / "sample.html").read_text(encoding="utf-8")
    solution = text[text.index("<summary>Answer</summary>") :].split("</details>")[0]
    assert "<em>is</em>" in solution and "highlight-python" in solution
    assert r'<span class="math notranslate nohighlight">\(y = x\)</span>' in solution


def test_pages_fetch_nothing_from_elsewhere(sample_site):
    for page in sample_site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img)[^>]*\bsrc="([^"]*)"', text)
        loaded += re.findall(r'<link[^>]*rel="stylesheet"[^>]*href="([^"]*)"', text)
        assert not [address for address in loaded if "//" in address], page


@pytest.mark.long
def test_a_broken_reference_stops_the_build(published_once, tmp_path):
    root = tmp_path / "project"
    shutil.copytree(published_once.root, root, symlinks=True)
    with (root / "book" / "data.md").open("a", encoding="utf-8") as file:
        file.write("\nSee [](no-such-page.md).\n")
    with pytest.raises(publish.Refused, match="no-such-page"):
        publish.build_site(Project.at(root))


@pytest.mark.long
def test_a_checkout_without_symbolic_links_builds_as_typed(published_once, tmp_path):
    root = tmp_path / "project"
    shutil.copytree(published_once.root, root, symlinks=True)
    for name in ("_config.yml", "_toc.yml"):
        # What git writes in a link's place on a system that has none.
        (root / name).write_text(f"book/{name}")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", "book/", "-W", "-n", "--keep-going"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert page_faults(root / "book" / "_build" / "html", Project.at(root)) == []


def test_the_settings_are_files_of_the_book_and_the_root_has_links_to_them():
    for name in ("_config.yml", "_toc.yml"):
        assert not (ROOT / "book" / name).is_symlink()
        # On a system without links, git writes the link's text into a file.
        link = ROOT / name
        goal = os.readlink(link) if link.is_symlink() else link.read_text(encoding="utf-8")
        assert goal == f"book/{name}"


def test_generated_pages_are_up_to_date():
    for path, text in pages.generated(Project()).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run tools/publish.py book"


def test_the_landing_page_shows_a_chapters_picture_result_and_time(sample_site):
    text = (sample_site / "index.html").read_text(encoding="utf-8")
    card = text[text.index('<section class="chapter-card"') :].split("</section>")[0]
    assert 'href="notebooks/sample.html"' in card
    (picture,) = re.findall(r'<img alt="A rising line" src="([^"]*)"', card)
    assert 100 < (sample_site / picture).stat().st_size < 50_000
    assert "It reads <strong>99.0</strong>\u00a0%." in card.replace(
        "</strong> %", "</strong>\u00a0%"
    )
    assert "5 minutes to read" in card and "a minute to run" in card
    assert "<!-- picture" not in text


def test_the_results_page_begins_with_the_main_results(published_once):
    text = (published_once.book / "results.md").read_text(encoding="utf-8")
    row = (
        "[A sample](notebooks/sample.ipynb) | accuracy | above 98\u00a0% |  | 99.0\u00a0% | 1 | 1.5"
    )
    assert row in text
    assert text.index(row) < text.index("<details>\n<summary>A sample</summary>")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("model.test_accuracy | .1f --> %.", "model.accuracy | .1f --> %.", "names no result"),
        (
            "It reads **?**<!-- 100 * model.test_accuracy | .1f -->",
            "It reads 98",
            "carries no stamp",
        ),
    ],
)
def test_a_headline_that_no_result_bears_out_is_refused(project, old, new, reason):
    path = project.root / "tools" / "notebooks.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    faults = [fault for fault in prose.faults(project) if "tools/notebooks.toml, sample" in fault]
    assert len(faults) == 1 and reason in faults[0]


def test_a_main_result_without_all_of_its_columns_is_refused(project):
    path = project.root / "tools" / "notebooks.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('paper = ""\n', ""), encoding="utf-8")
    with pytest.raises(CatalogueError, match="a main result needs what, asked, paper"):
        project.entries()


def test_every_question_leads_to_the_sections_that_answer_it(book_site):
    project = Project()
    page = (book_site / "questions.html").read_text(encoding="utf-8")
    assert not pages.SECTION.findall(pages.questions_page(project))  # each name is a link
    for entry in project.published():
        rows = pages.answered(catalogue.read_notebook(project.source(entry.name)))
        chapter = (book_site / "notebooks" / f"{entry.name}.html").read_text(encoding="utf-8")
        named = pages.SECTION.findall("\n".join(rows))
        anchors = re.findall(rf'href="notebooks/{entry.name}\.html#([^"]*)"', page)
        assert len(anchors) == len(named)
        assert not [anchor for anchor in anchors if f'id="{anchor}"' not in chapter]
        if rows:
            table = chapter[chapter.rindex('id="where-each-question-is-answered"') :]
            links = re.findall(r'href="#([^"]*)"', table.partition("</table>")[0])
            assert [link for link in links if link in anchors] == anchors


def test_a_chapter_whose_network_runs_on_the_drawing_page_leads_there(book_site):
    landing = (book_site / "index.html").read_text(encoding="utf-8")
    invited = set()
    for entry in Project().published():
        page = (book_site / "notebooks" / f"{entry.name}.html").read_text(encoding="utf-8")
        if re.search(r'<a class="head-link[^>]* href="../draw.html">', page):
            invited.add(entry.name)
    exported = {path.name.partition("-")[0] for path in Project().networks.glob("*.bin")}
    assert invited == exported and exported
    assert landing.count('href="draw.html">') >= len(exported)


def test_the_changes_of_each_chapter_reach_to_its_published_run():
    text = (ROOT / "book" / "changes.md").read_text(encoding="utf-8")
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    for entry in Project().published():
        dates = re.findall(r"(?m)^\*\*(\d{4}-\d\d-\d\d)\.\*\* ", sections[entry.title])
        made = catalogue.read_results(Project().results(entry.name))["provenance"]["date"]
        assert dates == sorted(dates, reverse=True) and dates[0] >= made, entry.name


def test_a_section_is_found_by_its_name_without_label_and_points():
    cells = [
        new_markdown_cell("# A\n\n## (b) Time [25 points]"),
        new_markdown_cell("## Q1: $x$, so"),
    ]
    found = pages.slugs(new_notebook(cells=cells))
    assert found["time"] == found["(b) time"] == "b-time-25-points"
    assert found["$x$, so"] == found["q1: $x$, so"] == "q1-x-so"


def test_a_picture_that_is_not_there_stops_the_build(project):
    path = project.book / "index.md"
    text = path.read_text(encoding="utf-8")
    assert "picture: sample figure" in text
    path.write_text(text.replace("picture: sample figure", "picture: sample none"), "utf-8")
    with pytest.raises(publish.Refused, match="there is no cell 'none'"):
        publish.build_site(project)


def test_pages_can_be_shared_once_the_address_is_stamped(sample_site, published_once):
    address = sharing.site_address(published_once.address()[0])
    names = chapters(published_once.toc)
    if not address:
        assert not (sample_site / "sitemap.xml").exists()
        assert "og:url" not in (sample_site / "index.html").read_text(encoding="utf-8")
        return
    title = yaml.safe_load(published_once.config.read_text(encoding="utf-8"))["title"]
    locations = re.findall(r"<loc>(.*?)</loc>", (sample_site / "sitemap.xml").read_text("utf-8"))
    assert sorted(locations) == sorted(f"{address}{name}.html" for name in names)
    for name in names:
        text = (sample_site / f"{name}.html").read_text(encoding="utf-8")
        assert f'<meta property="og:url" content="{address}{name}.html" />' in text
        assert f'<link rel="canonical" href="{address}{name}.html"' in text
        assert f'<meta property="og:site_name" content="{title}" />' in text
        (card,) = re.findall(r'<meta property="og:image" content="([^"]*)"', text)
        assert (sample_site / card.removeprefix(address)).stat().st_size > 5_000
        (says,) = re.findall(r'<meta property="og:description" content="([^"]*)"', text)
        assert len(says) > 20 and "Open in Colab" not in says


@pytest.mark.parametrize(
    ("repository", "address"),
    [
        ("https://github.com/Ann-Lee/cnn.v2", "https://ann-lee.github.io/cnn.v2/"),
        ("https://github.com/ann/Ann.github.io", "https://ann.github.io/"),
        ("https://github.com/-owner-/cnn-homework", ""),
        ("https://example.org/ann/cnn", ""),
    ],
)
def test_the_sites_address_follows_from_the_repositorys(repository, address):
    assert sharing.site_address(repository) == address


def test_no_page_loads_what_it_does_not_use(sample_site):
    for page in sample_site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "thebe" not in text and "togglebutton" not in text, page
        scripts = re.findall(r'<script[^>]*src="[^"]*mathjax[^"]*"[^>]*>', text)
        assert len(scripts) == ('class="math' in text), page
        assert all("defer" in script for script in scripts), page
