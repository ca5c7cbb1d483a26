"""The gate before the book: `python tools/gate.py` says whether every executed copy may be shown.

Jupyter Book shows stored outputs, tracebacks included, without complaint; this is what protects
the site. A copy passes only when

- it is an undisturbed run of today's source: its cells ran 1…n in order, with the published
  parameters and no other injected code, on the real data set, and it reached every target;
- what it uses of `helpers` is as it was, or a person has said why its run would come out the same;
- its outputs and its injected cell are those that its run left: the run records their hash, and a
  table's text edited since, a figure replaced or an output deleted changes it;
- nothing in its outputs acts on a page or tells of the machine: no error, progress bar, widget,
  script or path;
- the file of its results holds what its outputs hold, and names the same run by that hash;
- the networks in the book are those that its run has exported, by the hashes in its results.

The prose around the copies passes only when its numbers and statements are those of the results
(tools/prose.py). The hash is no signature: it shows an edit, a mix-up of runs or a bad merge, not
the work of somebody who writes a new hash as well.
"""

import base64
import hashlib
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
    literals,
    look_up,
    outputs_hash,
    own_cells,
    read_notebook,
    read_results,
    source_hash,
    tags,
    what_decides_the_page,
)
from nbformat import NotebookNode
from uses import changes, uses

from helpers.data import CIFAR10_CHECKSUM, MNIST_CHECKSUM
from helpers.runtime import RESULTS_MIME

CHECKSUMS = {"MNIST": MNIST_CHECKSUM, "CIFAR-10": CIFAR10_CHECKSUM}
PROVENANCE = ("parameters", "dataset", "device", "versions", "seed", "seconds", "date")
RECORDED = ("injected", "source_sha256", "code_sha256", "helpers_sha256")  # by publishing
BUNDLE = {"notebook", "results", "provenance"}
CARRIED = "networks"  # of a copy's metadata: its networks' files, on their way into the book
NETWORK_REMEDY = "restore it from git, or publish the notebook again"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
MARKUP = ("text/html", "text/markdown", "image/svg+xml")
# What acts by itself: elements, attributes such as onload=, and addresses that are code.
ACTIVE = re.compile(
    r"""<(script|iframe|object|embed)\b|<[a-z][^>]*\son[a-z]+\s*=|["'(=]\s*javascript:""",
    re.IGNORECASE,
)
PROGRESS = re.compile(r"\r|█|\d+%\|")
FOLDERS = "|".join(("home", "root", "tmp", "Users", "content"))  # where people and Colab keep files
MACHINE_PATH = re.compile(rf"(?<![\w.])(/|[A-Z]:\\)({FOLDERS})[/\\][\w.]")


def result_bundles(notebook: NotebookNode) -> list[dict]:
    """Return what `Run.finish` left in the outputs; a whole run has exactly one."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    found = [output.get("data", {}).get(RESULTS_MIME) for output in outputs]
    return [bundle for bundle in found if isinstance(bundle, dict) and bundle.keys() >= BUNDLE]


def run_faults(entry: Entry, copy: NotebookNode) -> list[str]:
    """Return what is wrong with an executed notebook as a run, whatever its settings."""
    return [
        f"{entry.name}: {fault}"
        for faults in (
            _order_faults(copy),
            _output_faults(copy),
            _provenance_faults(copy),
            _injected_faults(copy),
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
    faults, damaged, exported = [], [], set()
    for entry in project.published():
        try:
            copy, source = read_copy(project, entry), read_notebook(project.source(entry.name))
        except CatalogueError as error:
            damaged.append(f"{entry.name}: {error}")
            continue
        faults += publication_faults(entry, copy, source)
        faults += helpers_faults(project, entry, copy, source)
        faults += [f"{entry.name}: {fault}" for fault in results_file_faults(project, entry, copy)]
        faults += network_faults(project, entry, copy)
        exported |= {project.network(entry.name, name) for name in networks_of(copy)}
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
    faults += [
        f"{file.name}: no published run has exported this network; remove it"
        for file in sorted(project.networks.glob("*"))
        if file not in exported and not damaged
    ]
    return [*damaged, *faults, *([] if damaged else prose.faults(project))]


def read_copy(project: Project, entry: Entry) -> NotebookNode:
    """Return the executed copy of an entry; `CatalogueError` says what to do if it is damaged."""
    try:
        return read_notebook(project.copy(entry.name))
    except CatalogueError as error:
        raise CatalogueError(
            f"{error}; restore the executed copy, or run the notebook again: "
            f"python tools/publish.py run {entry.name}"
        ) from None


def results_of(copy: NotebookNode) -> dict:
    """Return what book/results/<name>.json holds for a copy: its results and their provenance.

    `outputs_sha256` in the provenance names the run that both belong to.
    """
    bundle = result_bundles(copy)[0]
    run = copy.metadata.get("provenance", {}).get("outputs_sha256")
    return bundle["results"] | {"provenance": bundle["provenance"] | {"outputs_sha256": run}}


def changed_helpers(project: Project, copy: NotebookNode, source: NotebookNode) -> str:
    """Return in words what a copy used of `helpers` that is not so any more; "" if nothing."""
    recorded = copy.metadata.get("provenance", {}).get("helpers")
    if recorded is None:
        return "its run kept no record of what it used of helpers"
    changed = changes(recorded, uses(project.root, source))
    shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if changed[5:] else "")
    return f"what it uses of helpers has changed: {shown}" if changed else ""


def helpers_faults(
    project: Project, entry: Entry, copy: NotebookNode, source: NotebookNode
) -> list[str]:
    """Return why a copy is not one of today's `helpers`."""
    changed = changed_helpers(project, copy, source)
    remedy = f"publish it again, or say why it may stay: python tools/publish.py keep {entry.name}"
    return [f"{entry.name}: {changed}; {remedy}"] if changed else []


def networks_of(copy: NotebookNode) -> dict[str, dict]:
    """Return what the results say of the networks that a copy's run exported, by name."""
    bundles = result_bundles(copy)
    return bundles[0]["results"].get("networks", {}) if bundles else {}


def network_files(copy: NotebookNode) -> dict[str, bytes]:
    """Return the files of the networks that a copy carries, by name; empty once they are moved."""
    carried = copy.metadata.get(CARRIED, {})
    return {name: base64.b64decode(text) for name, text in carried.items()}


def network_faults(project: Project, entry: Entry, copy: NotebookNode) -> list[str]:
    """Return why the networks that a copy carries, or else the book's, are not its run's."""
    files = network_files(copy)
    faults = [
        f"{entry.name}: its results do not tell of the network {name}"
        for name in files.keys() - networks_of(copy).keys()
    ]
    for name, recorded in networks_of(copy).items():
        path = project.network(entry.name, name)
        file = files.get(name) or (path.read_bytes() if path.exists() else b"")
        if not file:
            faults.append(f"{entry.name}: the network {path.name} is missing: {NETWORK_REMEDY}")
        elif hashlib.sha256(file).hexdigest() != recorded["sha256"]:
            faults.append(
                f"{entry.name}: the network {path.name} is not the one that the published run has "
                f"exported: {NETWORK_REMEDY}"
            )
    return faults


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
    if active := ACTIVE.search("".join(data.get(mime, "") for mime in MARKUP)):
        yield f"shows what acts on the page by itself: {active.group()[:40]!r}"
    if any("javascript" in mime for mime in data):
        yield "left JavaScript, which would run in the page"
    if path := MACHINE_PATH.search(text):
        yield f"shows a path of the machine that ran it ({path.group()}…)"


def _provenance_faults(copy: NotebookNode) -> Iterator[str]:
    provenance = copy.metadata.get("provenance")
    if not provenance:
        yield "the copy carries no provenance in its metadata"
        return
    missing = [key for key in (*PROVENANCE, *RECORDED) if key not in provenance]
    if missing:
        yield f"the provenance lacks {', '.join(missing)}"
    for bundle in result_bundles(copy):
        for key in dict.fromkeys([*PROVENANCE, *bundle["provenance"]]):
            if bundle["provenance"].get(key) != provenance.get(key):
                yield f"the provenance's {key} is not what the run itself showed"
    if "outputs_sha256" not in provenance:
        yield "its run recorded no hash of its outputs, so they may be any: publish it again"
    elif provenance["outputs_sha256"] != outputs_hash(copy):
        yield (
            "its outputs or its injected cell are not those that its run left: restore the "
            "executed copy, or publish it again"
        )


def _injected_faults(copy: NotebookNode) -> Iterator[str]:
    given = copy.metadata.get("provenance", {}).get("injected", {})
    cells = [cell for cell in copy.cells if INJECTED in tags(cell)]
    expected = 1 if given else 0
    if len(cells) != expected:
        yield f"it has {len(cells)} cells with injected parameters, expected {expected}"
    for cell in cells:
        if cell.cell_type != "code":
            yield "the injected cell is no code"
            continue
        try:
            assigned = literals(cell.source, "injected")
        except CatalogueError as error:
            yield str(error)
            continue
        # As text, because True == 1 in Python.
        if _as_text(assigned) != _as_text(given):
            yield f"the injected cell sets {assigned}, the provenance says {given}"


def _as_text(values: dict) -> str:
    return repr(sorted(values.items()))


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


def results_file_faults(project: Project, entry: Entry, copy: NotebookNode) -> list[str]:
    """Return why an entry's file of results does not belong to `copy`, its executed copy."""
    path = project.results(entry.name)
    remedy = "`make book` writes it from the executed copy"
    try:
        stored = read_results(path)
    except CatalogueError as error:
        return [f"{error}; {remedy}"]
    if not result_bundles(copy) or stored == (results := results_of(copy)):
        return []
    run = results["provenance"]["outputs_sha256"]
    if stored["provenance"].get("outputs_sha256") != run:
        return [f"the results file {path.name} belongs to another run than the copy; {remedy}"]
    return [f"the results file {path.name} differs from the results in the copy; {remedy}"]


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
