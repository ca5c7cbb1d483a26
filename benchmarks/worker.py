"""One version of a benchmark, in a process of its own: benchmarks/run.py starts it.

    python benchmarks/worker.py MODULE VERSION THREADS

It answers in JSON, a line each: first with the versions of what it has loaded (or, under
`unavailable`, why this machine cannot run the version), then, to each line {"seconds", "least"},
with the median time of a step during a turn of at least that long and of at least so many calls,
and the memory that the step needed at its peak. Whatever else is printed goes to stderr.
"""

import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from statistics import median

from versions.unavailable import Unavailable

WARM_UP = 3  # calls, unless they take more than a second
STATUS = "/proc/self/status"


def turn(call: Callable[[], None], steps: int, seconds: float, least: int) -> float:
    """Return the median time of a step, in seconds; `call` makes `steps` of them."""
    times = []
    while len(times) < least or sum(times) < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return median(times) / steps


def memory(field: str) -> int | None:
    """Return a field of this process's status in bytes; None where the system has no such file."""
    try:
        with open(STATUS, encoding="ascii") as lines:
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))
    except OSError:
        return None


def forget_peak() -> None:
    """Let the memory's peak be taken from now on: preparing needs more for a moment."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass


def loaded_versions() -> dict[str, str]:
    """Return the versions of Python, of the packages that are loaded, and of NumPy's BLAS."""
    names = [name for name in ("numpy", "torch", "torchvision") if name in sys.modules]
    versions = {"python": platform.python_version()}
    versions |= {name: sys.modules[name].__version__ for name in names}
    if "threadpoolctl" in sys.modules:
        for library in sys.modules["threadpoolctl"].threadpool_info():
            if library["user_api"] == "blas":  # the first is NumPy's
                version = f"{library['version']} ({library.get('architecture', 'unknown')})"
                return versions | {library["internal_api"]: version}
    return versions


def main(module: str, version: str, threads: str) -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(value: dict) -> None:
        print(json.dumps(value), file=answers, flush=True)

    imported = importlib.import_module(f"versions.{module}")
    try:
        call, steps = imported.make(version, int(threads))
    except Unavailable as reason:
        answer({"unavailable": str(reason)})
        return
    at_rest = memory("VmRSS")
    forget_peak()
    start = time.perf_counter()
    for _ in range(WARM_UP):
        call()
        if time.perf_counter() - start > 1:
            break
    answer({"versions": loaded_versions()})
    for line in sys.stdin:
        seconds = turn(call, steps, **json.loads(line))
        needed = None if at_rest is None else (memory("VmHWM") - at_rest) / 1e6
        answer({"seconds": seconds, "megabytes": needed})


if __name__ == "__main__":
    main(*sys.argv[1:])
