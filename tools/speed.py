"""The tables of book/speed.md: what benchmarks/run.py measured and saved, job by job.

A figure is a comment, which book/_ext/speed_figures.py replaces when the site is built.
"""

import json
import math
import tomllib
from pathlib import Path

from catalogue import ROOT, CatalogueError, Project

JOBS = ROOT / "benchmarks" / "jobs.toml"
NO_BREAK = "\u00a0"


def blocks(project: Project) -> dict[str, str]:
    """Return the block of each job, by the name that stands in its first comment."""
    jobs = tomllib.loads(JOBS.read_text(encoding="utf-8"))
    return {f"speed of {name}": block(project, name, job) for name, job in jobs.items()}


def block(project: Project, name: str, job: dict) -> str:
    """Return a job's tables: that of the book's machine, then those of others, folded."""
    folder = project.root / "benchmarks" / "results"
    own, *others = [folder / f"{name}.json", *sorted(folder.glob(f"*/{name}.json"))]
    if own.exists():
        text = measured(name, job, own, project)
    else:
        text = f"This was not measured yet; `python benchmarks/run.py {name} --save` does it."
    for path in others:
        title = f"<summary>On another machine: {path.parent.name}</summary>"
        inside = measured(name, job, path, project)
        text += f"\n\n<details>\n{title}\n\n{inside}\n\n</details>"
    return text


def measured(name: str, job: dict, path: Path, project: Project) -> str:
    """Return the table of one file of results, its figure, and what it was made with.

    Raises `CatalogueError` for a file that is damaged.
    """
    file = path.relative_to(project.root).as_posix()
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CatalogueError(f"{file} is not JSON: {error}") from None
    table = growth_table(job, results) if "sizes" in job else comparison_table(job, results)
    figure = f"<!-- speed: {name} {file} -->"
    return "\n".join([*table, "", figure, "", made_with(results)])


def comparison_table(job: dict, results: dict) -> list[str]:
    """Return the lines of a table of versions, each beside the one that it is compared to."""
    lines = [
        f"| version | threads | time per {job['unit']} | relative to {job['compared']} |",
        "| :--- | ---: | ---: | ---: |",
    ]
    for version in job["versions"]:
        key = f"{version['name']}_{version['threads']}"
        shown = f"| {version['label']} | {version['threads']} "
        if key in results["left_out"]:
            lines.append(f"{shown}| not measured: {results['left_out'][key]} | |")
        elif key in results["milliseconds"]:
            steps = job.get("steps", 1)
            time = with_range(
                [steps * results["milliseconds"][key]],
                [steps * value for value in results["millisecond_ranges"][key]],
            )
            ratio = "1"
            if "beside" in version:
                ratio = ratio_of(results, f"{key}_over_{version['beside']}")
            lines.append(f"{shown}| {time} | {ratio} |")
    return lines


def growth_table(job: dict, results: dict) -> list[str]:
    """Return the lines of a table of sizes: time and memory, and by how much each has grown."""
    lines = [
        f"| {job['sizes']} | time per {job['unit']} | grown by | peak memory | grown by |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    before = None
    for version in job["versions"]:
        key = f"{version['name']}_{version['threads']}"
        if key not in results["milliseconds"]:
            continue
        time, memory = results["milliseconds"][key], results.get("megabytes", {}).get(key)
        shown = with_range([time], results["millisecond_ranges"][key])
        cells = [f"{version['size']:,}".replace(",", NO_BREAK), shown, "", "", ""]
        if memory is not None:
            cells[3] = f"{significant(memory)}{NO_BREAK}MB"
        if before:
            cells[2] = f"× {significant(time / before[0], 2)}"
            cells[4] = f"× {significant(memory / before[1], 2)}" if memory and before[1] else ""
        before = time, memory
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def with_range(middle: list[float], ends: list[float]) -> str:
    """Return milliseconds with their range, in the unit that suits the middle one."""
    unit, scale = ("s", 1000) if middle[0] >= 1000 else ("ms", 1)
    middle, low, high = (significant(value / scale) for value in (*middle, *ends))
    return f"{middle}{NO_BREAK}{unit} ({low}–{high})"


def ratio_of(results: dict, name: str) -> str:
    """Return a ratio with its range; "–" where one of its versions was left out."""
    if name not in results["ratios"]:
        return "–"
    values = (results["ratios"][name], *results["ratio_ranges"][name])
    ratio, low, high = (significant(value, 2) for value in values)  # their ranges are wide
    return f"{ratio} ({low}–{high})"


def significant(value: float, count: int = 3) -> str:
    """Return a positive number with `count` digits that matter, thousands set off."""
    if value <= 0:
        return "0"
    rounded = float(f"{value:.{count}g}")
    digits = max(0, count - 1 - math.floor(math.log10(rounded)))
    return f"{rounded:,.{digits}f}".replace(",", NO_BREAK)


def made_with(results: dict) -> str:
    """Return when and on what the results were made, and how busy the machine was."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    others = results["others"]
    used = "" if others is None else f"; others used {100 * others:.0f}{NO_BREAK}% of a core"
    turns = results["turns"] + results["discarded"]
    return (
        f"Measured on {results['date']}: {results['device']}, {versions}. "
        f"Rounds: {results['rounds']}; turns: {turns}, of which discarded: {results['discarded']}. "
        f"How busy the machine was: a known product took {results['busy']:.2f} times as long as at "
        f"its best{used}."
    )
