"""Run a notebook with papermill, and make of what it wrote a copy that the book can hold."""

import copy as copying
import shutil
import sys
import time
from pathlib import Path

import papermill
from catalogue import (
    INJECTED,
    CatalogueError,
    Entry,
    Project,
    code_hash,
    helpers_hash,
    outputs_hash,
    own_cells,
    parameters_of,
    read_notebook,
    source_hash,
    tags,
)
from gate import CARRIED, result_bundles
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from uses import uses

from helpers.runtime import NETWORKS_MIME


class RunFailed(RuntimeError):
    """A notebook did not run to its end; the message names the cell and the half-executed copy."""


class ProgressEngine(NBClientEngine):
    """papermill's own engine, which also prints a line for each code cell as it goes."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **settings):
        """Execute the notebook in `nb_man`, announcing each code cell and its seconds."""
        code = [index for index, cell in enumerate(nb_man.nb.cells) if cell.cell_type == "code"]
        announced_start, announced_complete = nb_man.cell_start, nb_man.cell_complete
        started = {}

        def cell_start(cell, cell_index=None, **rest):
            if cell_index in code:
                started[cell_index] = time.perf_counter()
                cls.current = INJECTED if INJECTED in tags(cell) else cell.id
                place = f"[{code.index(cell_index) + 1}/{len(code)}]"
                print(f"  {place:>8} {cls.current} ", end="", flush=True)
            announced_start(cell, cell_index, **rest)

        def cell_complete(cell, cell_index=None, **rest):
            announced_complete(cell, cell_index, **rest)
            if cell_index in started:
                print(f"{time.perf_counter() - started.pop(cell_index):.1f} s", flush=True)

        nb_man.cell_start, nb_man.cell_complete = cell_start, cell_complete
        super().execute_managed_notebook(nb_man, kernel_name, **settings)


papermill_engines.register("progress", ProgressEngine)


def execute(
    project: Project, entry: Entry, parameters: dict, output: Path, folder: Path
) -> NotebookNode:
    """Run an entry's source with `parameters` in the working folder `folder`; return the copy.

    papermill writes to `output` as it goes. Raises `CatalogueError` for a parameter that the
    notebook does not have, and `RunFailed` when a cell fails.
    """
    source = project.source(entry.name)
    notebook = read_notebook(source)
    unknown = sorted(set(parameters) - set(parameters_of(notebook)))
    if unknown:
        known = ", ".join(parameters_of(notebook))
        raise CatalogueError(f"{entry.name} has no parameter {unknown[0]!r}; it has: {known}")
    folder.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    # Read now: whoever edits the package meanwhile changes nothing of what this run has imported.
    used = uses(project.root, notebook)
    ProgressEngine.current = "(starting the kernel)"
    try:
        papermill.execute_notebook(
            source,
            output,
            parameters=parameters,
            engine_name="progress",
            progress_bar=False,
            cwd=folder,
            # Else ipykernel warns on the terminal that it is not encrypted, on one's own machine.
            extra_arguments=["--log-level=CRITICAL"],
        )
    except PapermillExecutionError as error:
        raise _failed(entry, f"{error.ename}: {error.evalue}", output) from None
    except (DeadKernelError, CellTimeoutError) as error:
        raise _failed(entry, str(error).strip().splitlines()[0], output) from None
    except KeyboardInterrupt:
        raise _failed(entry, "interrupted; the same command goes on with it", output) from None
    return presentable(read_notebook(output), notebook, used)


def _failed(entry: Entry, reason: str, output: Path) -> RunFailed:
    print(flush=True)
    return RunFailed(
        f"{entry.name}: cell {ProgressEngine.current} failed: {reason}\n"
        f"  the half-executed copy is {output}; nothing in the book has changed"
    )


def presentable(
    executed: NotebookNode, source_of: NotebookNode, used: dict[str, str]
) -> NotebookNode:
    """Return an executed notebook as the book keeps it: provenance in, papermill's notes out.

    `used` is what its run used of the package `helpers`; the run itself tells the hash of it all.
    The provenance ends with the hash of the outputs, by which the gate knows them again. Networks
    go from the outputs into the metadata, which carry them to where they are put into the book.
    """
    copy = copying.deepcopy(executed)
    injected = dict(copy.metadata.get("papermill", {}).get("parameters", {}))
    bundles = result_bundles(copy)
    kept = ("kernelspec", "language_info")
    copy.metadata = NotebookNode({k: v for k, v in copy.metadata.items() if k in kept})
    if bundles:
        copy.metadata["provenance"] = bundles[0]["provenance"] | {
            "injected": injected,
            "source_sha256": source_hash(source_of),
            "code_sha256": code_hash(source_of),
            "helpers": used,
        }
    for cell in copy.cells:
        for output in cell.get("outputs", []):
            if networks := output.get("data", {}).pop(NETWORKS_MIME, None):
                copy.metadata[CARRIED] = networks
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if INJECTED in tags(cell):
            cell.id = INJECTED
            cell.metadata["tags"] = [INJECTED, "remove-cell"]
        if not tags(cell):
            cell.metadata.pop("tags", None)
    if bundles:
        copy.metadata["provenance"]["outputs_sha256"] = outputs_hash(copy)
    return copy


def with_new_prose(copy: NotebookNode, source: NotebookNode) -> NotebookNode:
    """Return today's `source` with the outputs of `copy`, whose code cells are the same.

    A corrected sentence must not cost hours of training, and cannot change a result.
    """
    if code_hash(copy) != code_hash(source):
        raise ValueError("the code cells differ: the notebook must be run again")
    outputs = {cell.id: cell for cell in own_cells(copy) if cell.cell_type == "code"}
    fresh = copying.deepcopy(source)
    fresh.metadata = copying.deepcopy(copy.metadata)
    if "provenance" in fresh.metadata:
        fresh.metadata["provenance"]["source_sha256"] = source_hash(source)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs = outputs[cell.id].outputs
            cell.execution_count = outputs[cell.id].execution_count
    injected = [cell for cell in copy.cells if INJECTED in tags(cell)]
    after = [index for index, cell in enumerate(fresh.cells) if "parameters" in tags(cell)][0] + 1
    fresh.cells[after:after] = injected
    return fresh


def working_folder(project: Project, entry: Entry, resume: bool = False) -> Path:
    """Return the folder in which a published run keeps its checkpoints, emptied when it must be.

    It is kept only when it belongs to an unfinished run of the very same code and parameters, or
    when `resume` says so.
    """
    folder = project.build / "published" / entry.name
    mark = folder / ".run"
    notebook = read_notebook(project.source(entry.name))
    run = f"{code_hash(notebook)} {helpers_hash(project.root)} {sorted(entry.published.items())}"
    if folder.exists() and not resume and (not mark.exists() or mark.read_text() != run):
        shutil.rmtree(folder)
    elif folder.exists():
        print("  going on from the checkpoints of an earlier run", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(run)
    return folder


def close_working_folder(folder: Path) -> None:
    """Mark a published run as finished, so that the next one begins anew."""
    (folder / ".run").write_text("finished")
