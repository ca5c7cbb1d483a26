"""Independent trainings side by side, each in a process of its own that computes with one thread.

Networks as small as these leave most of a second thread idle.
"""

import contextlib
import io
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from joblib import Parallel, delayed, parallel_config

from helpers import runtime, sources
from helpers.checkpoints import Finished
from helpers.progress import JointProgress


@dataclass(frozen=True)
class Job:
    """One piece of work, whose result is what `compute()` returns.

    A result holds NumPy arrays, numbers and texts, in lists and dictionaries. `decides` is all that
    it hangs on, as `checkpoints.Finished` takes it, besides the code of `compute` and of this
    package, which count by themselves; `name` stands in the name of its file.
    """

    name: str
    decides: Mapping[str, object]
    compute: Callable[[], object]


def results(
    what: str,
    jobs: Sequence[Job],
    *,
    workers: int,
    folder: str | Path,
    expected: type[Exception] | tuple[type[Exception], ...] = (),
    run: runtime.Run | None = None,
) -> list[object]:
    """Return the results of `jobs`, in their order; an `expected` exception stands for a result.

    `workers` processes compute at once; what a job prints there is dropped. One worker is this
    process itself, with the threads that it has. What an interrupted run had finished is taken
    over from `folder`, and `run` counts the time that it took until then. Any other exception of a
    job is raised, and the rest is given up.
    """
    found = [
        Finished(folder, job.name, {"computed by": _code(job.compute), **job.decides})
        for job in jobs
    ]
    outcomes = [saved.load() for saved in found]
    missing = [i for i, outcome in enumerate(outcomes) if outcome is None]
    taken_over = len(jobs) - len(missing)
    if taken_over:
        print(f"{what}: {taken_over} taken over from {folder}; delete it to start afresh.")
        if run is not None:
            run.go_on_after(max(saved.after for saved in found))
    # One alone can show how far it has come.
    progress = JointProgress(what, len(missing), unit="done") if len(missing) > 1 else None
    computed = _computed([jobs[i].compute for i in missing], min(workers, len(missing)))
    for i, outcome in zip(missing, computed, strict=True):
        if not isinstance(outcome, Exception):
            found[i].save(outcome, 0.0 if run is None else run.seconds)
        elif not isinstance(outcome, expected):
            raise outcome
        outcomes[i] = outcome
        if progress is not None:
            progress.piece().update(1)
    return outcomes


def _code(compute: Callable[[], object]) -> tuple[object, ...]:
    """Return the code of a job, and the hash of this package, which it calls.

    What a notebook's function calls of the notebook stands in `decides`. The arguments of a partial
    are left out: to read them, all images, would take seconds.
    """
    function = compute.func if isinstance(compute, partial) else compute
    own = [getattr(function, name, None) for name in ("__code__", "__defaults__", "__closure__")]
    return (*own, sources.package_hash())


def _computed(computations: list[Callable[[], object]], workers: int) -> Iterator[object]:
    """Yield results, or the exceptions in their place, in order and as they come."""
    if workers <= 1:
        yield from map(_outcome, computations)
        return
    with (
        warnings.catch_warnings(),
        parallel_config("loky", n_jobs=workers, inner_max_num_threads=1),
    ):
        # A process that keeps large data is replaced: joblib takes that for a leak, and says so.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        # Without memory maps: PyTorch warns about arrays that it cannot write to.
        yield from Parallel(return_as="generator", max_nbytes=None)(
            map(delayed(_in_a_process), computations)
        )


def _in_a_process(compute: Callable[[], object]) -> object:
    runtime.set_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):  # a notebook would show it
        outcome = _outcome(compute)
    if isinstance(outcome, Exception):  # its traceback stays behind
        outcome.add_note("".join(traceback.format_exception(outcome)))
    return outcome


def _outcome(compute: Callable[[], object]) -> object:
    try:
        return compute()
    except Exception as error:
        return error
