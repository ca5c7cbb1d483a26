"""The parts of the book that follow from what is published: contents, results, and the lists that
stand as blocks in pages which a person writes (tools/prose.py puts them there)."""

import re
from collections.abc import Callable
from pathlib import Path

from catalogue import CatalogueError, Entry, Project, look_up, read_results

COLAB = "https://colab.research.google.com/github"


PUBLISHED_RESULTS = """\
Every figure on this page was written by the published run of its notebook, on the real data set.
Beside each stands the target that was set before the run; an aim is what was hoped for beyond."""

SCRATCH_RESULTS = """\
This is a scratch book: its notebooks ran at small settings. Nothing on this page is a result, and
most targets are missed."""


def generated(project: Project) -> dict[Path, str]:
    """Return the text of every file that is generated as a whole, by path."""
    return {
        project.toc: table_of_contents(project),
        project.book / "results.md": results_page(project),
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
        f"  - file: {page}" for page in ("results", "running", "teaching", "data", "references")
    ]
    return "\n".join(lines) + "\n"


def chapter_list(project: Project) -> str:
    """Return the landing page's list of the homeworks, honest about those not there yet."""
    published = {entry.name for entry in project.published()}
    lines = []
    for entry in project.entries():
        if entry.name in published:
            title = f"[{entry.title}](notebooks/{entry.name}.ipynb)"
        else:
            title = f"{entry.title}, in preparation"
        lines.append(f"- **{title}** ({entry.course}). {entry.summary}.")
    return "\n".join(lines)


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


BLOCKS: dict[str, Callable[[Project], str]] = {"chapters": chapter_list, "notebooks": badge_list}


def blocks(project: Project) -> dict[str, str]:
    """Return the contents of every block, by the name that stands in its first comment."""
    return {name: written(project) for name, written in BLOCKS.items()}


def results_page(project: Project) -> str:
    """Return results.md: for each published notebook its targets beside what its run reached."""
    lines = ["# Results", "", SCRATCH_RESULTS if project.is_scratch else PUBLISHED_RESULTS]
    published = project.published()
    if not published:
        lines += ["", "No notebook has been published yet."]
    for entry in published:
        try:
            results = read_results(project.results(entry.name))
        except CatalogueError:
            continue  # the gate says what is wrong with it
        lines += ["", *_results_section(entry, results)]
    return "\n".join(lines) + "\n"


def _results_section(entry: Entry, results: dict) -> list[str]:
    made = results["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    lines = [
        f"## {entry.title}",
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
