"""The figures of the page about speed, drawn from what the benchmarks saved.

tools/speed.py writes below a table a comment, `<!-- speed: JOB FILE -->`. FILE is the file of
results, from the root of the project; what JOB's versions are called stands in
benchmarks/jobs.toml.
"""

import json
import os
import tomllib
from pathlib import Path

import matplotlib as mpl
from docutils import nodes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from helpers import figures

LOGGER = logging.getLogger(__name__)
COMMENT = "<!-- speed: "


class SpeedFigures(SphinxTransform):
    """Put a figure where the comment stands."""

    default_priority = 500

    def apply(self) -> None:
        """Replace each such comment."""
        for comment in list(self.document.findall(nodes.raw)):
            text = comment.astext().strip()
            if text.startswith(COMMENT):
                job, _, file = text.removeprefix(COMMENT).removesuffix("-->").strip().partition(" ")
                self.replace(comment, job, file)

    def replace(self, comment: nodes.raw, name: str, file: str) -> None:
        """Draw the results of the job `name` in the comment's place."""
        try:
            root = root_of(Path(self.env.srcdir))
            text = (root / "benchmarks" / "jobs.toml").read_text(encoding="utf-8")
            job = tomllib.loads(text)[name]
            results = json.loads((root / file).read_text(encoding="utf-8"))
        except (OSError, LookupError, ValueError) as error:
            LOGGER.warning("no figure of %s: %s", file, error, location=comment)
            return
        kind, date = (
            ("svg", "Date") if self.app.builder.format == "html" else ("pdf", "CreationDate")
        )
        goal = Path(self.env.doctreedir) / "speed" / f"{file.replace('/', '-')}.{kind}"
        goal.parent.mkdir(parents=True, exist_ok=True)
        style = {"svg.hashsalt": name}  # the same file for the same results
        with mpl.rc_context(style):
            figures.use_style()
            draw = growth if "sizes" in job else comparison
            draw(job, results).savefig(goal, metadata={date: None})
        self.env.note_dependency(str(root / file))
        page = Path(self.env.doc2path(self.env.docname)).parent
        says = f"{job['title']}: the times of the table above, on a logarithmic scale"
        comment.replace_self(
            nodes.image(uri=Path(os.path.relpath(goal, page)).as_posix(), alt=says)
        )


def root_of(folder: Path) -> Path:
    """Return the project that a book belongs to, a scratch book too."""
    for parent in folder.resolve().parents:
        if (parent / "benchmarks" / "jobs.toml").exists():
            return parent
    raise LookupError(f"no folder above {folder} holds benchmarks/jobs.toml")


def comparison(job: dict, results: dict) -> Figure:
    """Return a figure with a line for each version: its median time, and its range."""
    rows = [
        (f"{plain(version['label'])}, {version['threads']}", key)
        for version in job["versions"]
        if (key := f"{version['name']}_{version['threads']}") in results["milliseconds"]
    ]
    steps = job.get("steps", 1)
    scale, unit = (
        (1000, "s") if max(results["milliseconds"].values()) * steps > 10_000 else (1, "ms")
    )
    figure = Figure(figsize=(7.5, 0.9 + 0.28 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for row, (_, key) in enumerate(rows):
        low, high = (steps * value / scale for value in results["millisecond_ranges"][key])
        axes.plot([low, high], [row, row], color=figures.COLORS[0], linewidth=3)
        axes.plot(steps * results["milliseconds"][key] / scale, row, "o", color=figures.COLORS[0])
    axes.set_xscale("log")
    with_plain_numbers(axes.xaxis)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.invert_yaxis()
    axes.set(xlabel=f"time per {job['unit']} ({unit})", ylabel="version, threads")
    return figure


def growth(job: dict, results: dict) -> Figure:
    """Return a figure of time and of peak memory against size, both on logarithmic scales."""
    keys = {f"{v['name']}_{v['threads']}": v["size"] for v in job["versions"]}
    panels = {f"time per {job['unit']} (ms)": results["milliseconds"]}
    if "megabytes" in results:
        panels["peak memory (MB)"] = results["megabytes"]
    figure = Figure(figsize=(3.8 * len(panels), 3), layout="constrained")
    drawn = zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True)
    for axes, (label, values) in drawn:
        sizes = [size for key, size in keys.items() if key in values]
        axes.plot(sizes, [values[key] for key in keys if key in values], "o-")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        with_plain_numbers(axes.yaxis)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set(xlabel=job["sizes"], ylabel=label)
    return figure


def with_plain_numbers(axis: Axis) -> None:
    """Write 20 and 0.5 on a logarithmic axis, not powers of ten."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))


def plain(label: str) -> str:
    """Return a label without Markdown."""
    return label.replace("`", "")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.add_transform(SpeedFigures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
