"""The parts of the book that follow from what is published: contents, results, and the lists that
stand as blocks in pages which a person writes (tools/prose.py puts them there)."""

import re
from collections.abc import Callable
from pathlib import Path

import editions
import grading
import speed
from catalogue import (
    MAIN_FIELDS,
    CatalogueError,
    Entry,
    Project,
    look_up,
    read_notebook,
    read_results,
    tags,
)
from nbformat import NotebookNode
from solutions import headings

COLAB = "https://colab.research.google.com/github"


PUBLISHED_RESULTS = """\
Every figure on this page was written by the published run of its notebook, on the real data set. ±
is the standard deviation over *n* trainings from different seeds; where *n* is 1, nothing is known
of the spread. The time is that of one training on the hardware named."""

DETAILS = """\
## Every target

For each chapter all that was asked for before its run, and what the run reached; an aim is what was
hoped for beyond."""

WHOLE = ("results.md", "questions.md")  # pages that no person writes

QUESTIONS = """\
# Where each question is answered

All questions of the five assignments, in our own words, with the points that the assignment gives
for them, and the sections in which they are answered."""

SCRATCH_RESULTS = """\
This is a scratch book: its notebooks ran at small settings. Nothing on this page is a result, and
most targets are missed."""


def generated(project: Project) -> dict[Path, str]:
    """Return the text of every file that is generated as a whole, by path."""
    return {
        project.toc: table_of_contents(project),
        project.book / "results.md": results_page(project),
        project.book / "questions.md": questions_page(project),
    }


def write(project: Project) -> None:
    """Write every generated file whose text has changed."""
    for path, text in generated(project).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")


def table_of_contents(project: Project) -> str:
    """Return _toc.yml: the prose pages, and a chapter for each published notebook."""
    lines = ["# Written by tools/pages.py.", "format: jb-book", "root: index", "parts:"]
    chapters = [f"notebooks/{entry.name}" for entry in project.published()]
    if chapters:
        lines += ["- caption: The homeworks", "  chapters:"]
        lines += [f"  - file: {chapter}" for chapter in chapters]
    lines += ["- caption: Try it", "  chapters:", "  - file: draw"]
    lines += ["- caption: About", "  chapters:"]
    lines += [
        f"  - file: {page}"
        for page in (
            *("results", "questions", "speed", "running", "teaching", "data"),
            *("glossary", "references", "changes"),
        )
    ]
    return "\n".join(lines) + "\n"


def chapter_list(project: Project) -> str:
    """Return the landing page's chapters: what each found, how long it takes, and its picture.

    The picture is a comment, which book/_ext/landing.py replaces when the site is built.
    """
    published = {entry.name for entry in project.published()}
    return "\n\n".join(
        _chapter(project, entry) if entry.name in published else _planned(entry)
        for entry in project.entries()
    )


def _chapter(project: Project, entry: Entry) -> str:
    lines = [f"### [{entry.title}](notebooks/{entry.name}.ipynb)", ""]
    if entry.picture:
        lines += [f"<!-- picture: {entry.name} {entry.picture} -->", ""]
    lines += [f"{entry.summary}.", ""]
    if entry.headline:
        lines += [_filled(project, entry, entry.headline), ""]
    about = [f"*{entry.course}*"]
    if "reading" in entry.minutes:
        about.append(f"{rough_time(entry.minutes['reading'])} to read")
    about.append(f"{rough_time(entry.minutes['published'])} to run on two processor cores")
    if any(project.networks.glob(f"{entry.name}-*.bin")):
        about.append("[draw a digit for its network](draw.md)")
    return "\n".join([*lines, " · ".join(about)])


def _planned(entry: Entry) -> str:
    return f"### {entry.title}\n\n{entry.summary}.\n\n*{entry.course}* · in preparation"


def _filled(project: Project, entry: Entry, text: str) -> str:
    import prose  # which imports this module

    filled = prose.filled(text, prose.names_of(entry, prose.results_by_name(project)))
    return re.sub(r"[ \n]+", " ", filled)  # a no-break space stays


def rough_time(minutes: float) -> str:
    """Return how long something takes, as one says it."""
    if minutes < 2:
        return "a minute"
    if minutes == 60:
        return "an hour"
    if minutes < 90:
        return f"{minutes:g} minutes"
    return f"{minutes / 60:.2g} hours"


def badge_list(project: Project) -> str:
    """Return README.md's table of the notebooks with their Colab badges."""
    url, branch = project.address()
    slug = url.removeprefix("https://github.com/")
    badge = "![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)"
    lines = ["| notebook | homework | |", "| --- | --- | --- |"]
    for entry in project.entries():
        name = f"`{entry.name}`"
        link = "in preparation"
        if not entry.in_preparation:
            name = f"[{name}](notebooks/{entry.name}.ipynb)"
            link = f"[{badge}]({COLAB}/{slug}/blob/{branch}/notebooks/{entry.name}.ipynb)"
        lines.append(f"| {name} | {entry.title} ({entry.course}) | {link} |")
    return "\n".join(lines)


def assignment_list(project: Project) -> str:
    """Return the page on teaching's table: what an assignment of each chapter takes and gives."""
    lines = [
        "| chapter | points | by checks | by hand | to read | to run in full |",
        "| :--- | ---: | ---: | ---: | :--- | :--- |",
    ]
    for entry in editions.converted(project):
        notebook = read_notebook(project.source(entry.name))
        by_checks, by_hand = points_of(notebook)
        link = f"[{entry.title}](notebooks/{entry.name}.ipynb)"
        reading = rough_time(entry.minutes["reading"]) if "reading" in entry.minutes else ""
        cells = [link, *(f"{points:g}" for points in (by_checks + by_hand, by_checks, by_hand))]
        cells += [reading, rough_time(entry.minutes["published"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def points_of(notebook: NotebookNode) -> tuple[float, float]:
    """Return the points that a chapter's checks give, and those that a person gives."""
    grading.sections(notebook)  # raises for points that cannot be given
    by_checks = by_hand = 0
    for cell in notebook.cells:
        if "check" in tags(cell):
            by_checks += cell.metadata.get("points", 0)
        else:
            by_hand += cell.metadata.get("points", 0)
    return by_checks, by_hand


def run_list(project: Project) -> str:
    """Return a table of the published runs: how long each took, and on what."""
    lines = [
        "| chapter | time | threads | hardware | date |",
        "| :--- | ---: | ---: | :--- | :--- |",
    ]
    for entry in project.published():
        try:
            made = read_results(project.results(entry.name))["provenance"]
        except CatalogueError:
            continue  # the gate says what is wrong with it
        link = f"[{entry.title}](notebooks/{entry.name}.ipynb)"
        time = _unbroken(seconds(made["seconds"]))
        lines.append(f"| {link} | {time} | {made['threads']} | {made['device']} | {made['date']} |")
    return "\n".join(lines)


BLOCKS: dict[str, Callable[[Project], str]] = {
    "assignments": assignment_list,
    "chapters": chapter_list,
    "notebooks": badge_list,
    "runs": run_list,
}


def blocks(project: Project) -> dict[str, str]:
    """Return the contents of every block, by the name that stands in its first comment."""
    return {name: written(project) for name, written in BLOCKS.items()} | speed.blocks(project)


def results_page(project: Project) -> str:
    """Return results.md: the main results of the book, then all targets, folded by chapter."""
    lines = ["# Results", "", SCRATCH_RESULTS if project.is_scratch else PUBLISHED_RESULTS]
    found = []
    for entry in project.published():
        try:
            found.append((entry, read_results(project.results(entry.name))))
        except CatalogueError:
            continue  # the gate says what is wrong with it
    if not found:
        return "\n".join([*lines, "", "No notebook has been published yet."]) + "\n"
    lines += ["", *_main_table(project, found), "", DETAILS]
    for entry, results in found:
        lines += ["", *_results_section(entry, results)]
    return "\n".join(lines) + "\n"


ANSWERED = "## Where each question is answered"
SECTION = re.compile(r"(?<![*\w])\*([^*|]+)\*(?![*\w])")


def questions_page(project: Project) -> str:
    """Return questions.md: the tables at the ends of the chapters, with links to their sections."""
    lines = [QUESTIONS]
    for entry in project.published():
        notebook = read_notebook(project.source(entry.name))
        address = f"notebooks/{entry.name}.ipynb"
        lines += ["", f"## {entry.title}", "", f"{entry.course} · [chapter]({address})", ""]
        rows = answered(notebook) or ["This chapter has no such table yet."]
        found = slugs(notebook)

        def linked(match: re.Match, found: dict = found, address: str = address) -> str:
            slug = found.get(match[1].lower())
            return f"[{match[1]}]({address}#{slug})" if slug else match[0]

        lines += [SECTION.sub(linked, row) for row in rows]
    return "\n".join(lines) + "\n"


def answered(notebook: NotebookNode) -> list[str]:
    """Return the lines of a chapter's table of where each question is answered, if it has one."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and ANSWERED in cell.source:
            section = cell.source.partition(ANSWERED)[2].partition("\n## ")[0]
            return [line for line in section.splitlines() if line.startswith("|")]
    return []


def slugs(notebook: NotebookNode) -> dict[str, str]:
    """Return the anchors of a chapter's sections by their titles, in small letters.

    A title counts without its points and without its label too, `(a)` or `Question 1:`.
    The anchors are GitHub's, which MyST repeats (`myst_heading_anchors` in _config.yml).
    """
    found: dict[str, str] = {}
    for cell in notebook.cells:
        for _, _, words in headings(cell.source) if cell.cell_type == "markdown" else []:
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            bare = re.sub(r"\s*\[[^\]]*points?\]", "", words)
            for title in (words, bare, re.sub(r"^(\(\w\)|\w+( \d+)?:) ", "", bare)):
                found.setdefault(title.lower(), slug)
    return found


def _main_table(project: Project, found: list[tuple[Entry, dict]]) -> list[str]:
    lines = [
        "| chapter | result | asked | paper | ours | *n* | time | hardware |",
        "| :--- | :--- | :--- | :--- | :--- | ---: | ---: | :--- |",
    ]
    for entry, results in found:
        link = f"[{entry.title}](notebooks/{entry.name}.ipynb)"
        made_on = results["provenance"]["device"]
        for row in entry.main:
            cells = [link, *(_filled(project, entry, row[key]) for key in MAIN_FIELDS), made_on]
            lines.append(f"| {' | '.join(map(_unbroken, cells))} |")
            link = made_on = ""  # stand once, in a chapter's first row
    return lines


def _results_section(entry: Entry, results: dict) -> list[str]:
    made = results["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    lines = [
        f"<details>\n<summary>{entry.title}</summary>",
        "",
        f"{entry.course} · [chapter](notebooks/{entry.name}.ipynb)",
        "",
        "| result | target | reached |",
        "| :--- | :--- | ---: |",
    ]
    for target in entry.targets:
        wanted = _unbroken(target.text + (f"; aim: {target.aim}" if target.aim else ""))
        try:
            got = look_up(results, target.key)
        except KeyError:
            lines.append(f"| `{target.key}` | {wanted} | – ✗ |")
            continue
        mark = "✓" if target.met_by(got) else "✗"
        lines.append(
            f"| `{target.key}` | {wanted} | {_unbroken(shown(target.key, got))}\u00a0{mark} |"
        )
    dataset = made["dataset"]
    data = dataset["name"]
    if not dataset["is_real"]:
        data = f"**{data}, which is not the real data set**"
    lines += [
        "",
        f"Made on {made['date']} in {seconds(made['seconds'])}, with seed {made['seed']}, "
        f"on {data}. "
        f"Hardware: {made['device']}. Versions: {versions}.",
        "",
        "</details>",
    ]
    return lines


def shown(key: str, value: object) -> str:
    """Return a result as a reader wants to see it, by the unit that its key names."""
    if isinstance(value, (dict, list)):
        return f"{len(value)} entries"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if key.endswith("_accuracy"):
            return f"{100 * value:.2f} %"
        if key.endswith("_seconds"):
            return seconds(value)
        return f"{value:,}".replace(",", " ") if isinstance(value, int) else f"{value:.4g}"
    return str(value)


def seconds(value: float) -> str:
    """Return a time span in the unit that suits it."""
    if value < 120:
        return f"{value:.1f} s" if value >= 1 else f"{1000 * value:.0f} ms"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def _unbroken(text: str) -> str:
    """Return `text` with its numbers kept from breaking over two lines."""
    return re.sub(r"(\d) (?=\d{3}\b|%|s\b|min\b|h\b|entries\b)", "\\1\u00a0", text)
