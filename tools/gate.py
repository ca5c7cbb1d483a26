"""The gate before the book: `python tools/gate.py` says whether every executed copy may be shown.

Jupyter Book shows stored outputs, tracebacks included, without complaint; this is what protects
the site. A copy passes only when it is an undisturbed run of today's source, with the published
parameters, on the real data set, that reached every target; and the prose around the copies only
when its numbers and statements are those of the results (tools/prose.py).
"""

import json
import math
import re
import sys
from collections.abc import Iterator

import prose
from catalogue import (
    INJECTED,
    CatalogueError,
    Entry,
    Project,
    look_up,
    own_cells,
    read_notebook,
    source_hash,
    tags,
    what_decides_the_page,
)
from nbformat import NotebookNode

from helpers.data import CIFAR10_CHECKSUM, MNIST_CHECKSUM
from helpers.runtime import RESULTS_MIME

CHECKSUMS = {"MNIST": MNIST_CHECKSUM, "CIFAR-10": CIFAR10_CHECKSUM}
PROVENANCE = ("parameters", "dataset", "device", "versions", "seed", "seconds", "date")
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
PROGRESS = re.compile(r"\r|█|\d+%\|")
FOLDERS = "|".join(("home", "root", "tmp", "Users", "content"))  # where people and Colab keep files
MACHINE_PATH = re.compile(rf"(?<![\w.])(/|[A-Z]:\\)({FOLDERS})[/\\][\w.]")


def result_bundles(notebook: NotebookNode) -> list[dict]:
    """Return what `Run.finish` left in the outputs; a whole run has exactly one."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output.get("data", {}) for output in outputs]
    return [data[RESULTS_MIME] for data in shown if RESULTS_MIME in data]


def run_faults(entry: Entry, copy: NotebookNode) -> list[str]:
    """Return what is wrong with an executed notebook as a run, whatever its settings."""
    return [
        f"{entry.name}: {fault}"
        for faults in (
            _order_faults(copy),
            _output_faults(copy),
            _provenance_faults(copy),
            _bundle_faults(entry, copy),
        )
        for fault in faults
    ]


def publication_faults(entry: Entry, copy: NotebookNode, source: NotebookNode) -> list[str]:
    """Return every reason not to publish an executed notebook."""
    faults = [*_source_faults(copy, source), *_data_faults(entry, copy)]
    faults += _target_faults(entry, copy)
    return run_faults(entry, copy) + [f"{entry.name}: {fault}" for fault in faults]


def book_faults(project: Project) -> list[str]:
    """Return every reason why the book as it stands may not be shown."""
    faults = []
    for entry in project.published():
        copy = read_notebook(project.copy(entry.name))
        faults += publication_faults(entry, copy, read_notebook(project.source(entry.name)))
        faults += [f"{entry.name}: {fault}" for fault in _results_file_faults(project, entry, copy)]
    published = {entry.name for entry in project.published()}
    for kind, files in (
        ("an executed copy", (project.book / "notebooks").glob("*.ipynb")),
        ("a results file", (project.book / "results").glob("*.json")),
    ):
        faults += [
            f"{file.stem}: there is {kind} of it in the book, but no such published notebook"
            for file in sorted(files)
            if file.stem not in published
        ]
    return faults + prose.faults(project)


def results_of(copy: NotebookNode) -> dict:
    """Return what book/results/<name>.json holds for a copy: its results and their provenance."""
    bundle = result_bundles(copy)[0]
    return bundle["results"] | {"provenance": bundle["provenance"]}


def _order_faults(copy: NotebookNode) -> Iterator[str]:
    expected = 0
    for cell in copy.cells:
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        expected += 1
        if cell.execution_count != expected:
            yield (
                f"cell {cell.id} has execution count {cell.execution_count}, expected {expected}: "
                "the cells did not run 1…n in order"
            )
            return


def _output_faults(copy: NotebookNode) -> Iterator[str]:
    for cell in copy.cells:
        for output in cell.get("outputs", []):
            for fault in _one_output_faults(output):
                yield f"cell {cell.id} {fault}"


def _one_output_faults(output: NotebookNode) -> Iterator[str]:
    if output.output_type == "error":
        yield f"ended with an error: {output.ename}: {output.evalue}"
        return
    if output.output_type == "stream" and output.name == "stderr":
        yield f"wrote to stderr: {output.text.strip().splitlines()[0][:80]!r}"
    data = output.get("data", {})
    if WIDGET_MIME in data:
        yield "left a widget, which a page cannot show"
    text = output.get("text", "") + "".join(v for k, v in data.items() if k.startswith("text/"))
    if PROGRESS.search(text):
        yield "left a raw progress bar"
    if path := MACHINE_PATH.search(text):
        yield f"shows a path of the machine that ran it ({path.group()}…)"


def _provenance_faults(copy: NotebookNode) -> Iterator[str]:
    provenance = copy.metadata.get("provenance")
    if not provenance:
        yield "the copy carries no provenance in its metadata"
        return
    missing = [key for key in (*PROVENANCE, "injected", "source_sha256") if key not in provenance]
    if missing:
        yield f"the provenance lacks {', '.join(missing)}"
    for key in PROVENANCE:
        if any(
            bundle["provenance"].get(key) != provenance.get(key) for bundle in result_bundles(copy)
        ):
            yield f"the provenance's {key} is not what the run itself showed"


def _bundle_faults(entry: Entry, copy: NotebookNode) -> Iterator[str]:
    bundles = result_bundles(copy)
    if len(bundles) != 1:
        yield f"{len(bundles)} cells show results; exactly one, run.finish(), must"
        return
    results = bundles[0]["results"]
    if bundles[0]["notebook"] != entry.name:
        yield f"its results say that they are those of {bundles[0]['notebook']!r}"
    if "provenance" in results:
        yield "a result is called 'provenance', a name that the results file needs itself"
    for key in dict.fromkeys(target.key for target in entry.targets):
        if _found(results, key) is None:
            yield f"the results lack {key}"
    for key, number in _numbers(results):
        if not math.isfinite(number):
            yield f"the result {key} is not finite: {number}"


def _source_faults(copy: NotebookNode, source: NotebookNode) -> Iterator[str]:
    recorded = copy.metadata.get("provenance", {}).get("source_sha256")
    changed = _changed_cells(copy, source)
    if recorded != source_hash(source):
        where = f" (cells: {', '.join(changed)})" if changed else ""
        yield f"the source has changed since this copy was made{where}: publish it again"
    elif changed:
        yield f"the copy's own cells differ from the source's: {', '.join(changed)}"


def _changed_cells(copy: NotebookNode, source: NotebookNode) -> list[str]:
    def by_id(notebook: NotebookNode) -> dict[str, list]:
        return {cell.id: what_decides_the_page(cell) for cell in own_cells(notebook)}

    here, there = by_id(copy), by_id(source)
    changed = [name for name in dict.fromkeys([*there, *here]) if here.get(name) != there.get(name)]
    return changed or (["their order"] if list(here) != list(there) else [])


def _data_faults(entry: Entry, copy: NotebookNode) -> Iterator[str]:
    provenance = copy.metadata.get("provenance", {})
    dataset = provenance.get("dataset", {})
    if dataset.get("name") != entry.dataset or not dataset.get("is_real"):
        yield f"the data was {dataset.get('name')!r}, not the real {entry.dataset}"
    elif dataset.get("checksum") != CHECKSUMS[entry.dataset]:
        yield f"the data's checksum {dataset.get('checksum')!r} is not that of {entry.dataset}"
    if provenance.get("injected") != entry.published:
        yield (
            f"it was run with the parameters {provenance.get('injected')}, "
            f"not with the published {entry.published}"
        )
    injected = [cell for cell in copy.cells if INJECTED in tags(cell)]
    if any("remove-cell" not in tags(cell) for cell in injected):
        yield "the cell injected-parameters is not tagged remove-cell"


def _target_faults(entry: Entry, copy: NotebookNode) -> Iterator[str]:
    bundles = result_bundles(copy)
    results = bundles[0]["results"] if bundles else {}
    for target in entry.targets:
        got = _found(results, target.key)
        if got is not None and not target.met_by(got):
            yield f"the result {target.key} = {_short(got)} misses its target: {target.text}"


def _results_file_faults(project: Project, entry: Entry, copy: NotebookNode) -> Iterator[str]:
    path = project.results(entry.name)
    if not path.exists():
        yield f"there is no results file {path.name} beside its copy"
        return
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        yield f"the results file {path.name} is not JSON: {error}"
        return
    if result_bundles(copy) and stored != results_of(copy):
        yield f"the results file {path.name} differs from the results in the executed copy"


def _found(results: dict, key: str) -> object | None:
    try:
        return look_up(results, key)
    except KeyError:
        return None


def _numbers(value: object, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, str) and value.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        yield key, float(value)
    elif isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            yield from _numbers(item, f"{key}.{name}" if key else str(name))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def main() -> int:
    """Check the whole book; return 1 when something in it may not be shown."""
    project = Project()
    try:
        faults = book_faults(project)
    except CatalogueError as error:
        faults = [str(error)]
    for fault in faults:
        print(f"✗ {fault}")
    if not faults:
        print(f"✓ {len(project.published())} executed copies and the prose may be shown")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
