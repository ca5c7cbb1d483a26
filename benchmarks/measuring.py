"""How the benchmarks are measured: versions in turns, and a rule that tells a busy machine.

Versions take turns, round after round, so that whatever slows the machine down for a while hits all
of them. Before and after each turn a known product is timed on all threads at once. A turn is
disturbed, and discarded, by a rule that does not look at its own time:

- the median of the products around it is more than `PRODUCT_LIMIT` times the shortest one of the
  run so far, or
- (on Linux, which tells) other processes, or the neighbours of a virtual machine, used more than
  `OTHERS_LIMIT` of a core that the job could have had.

A disturbed turn is repeated at once, up to `TRIES` times in all. A job counts if each version, and
each pair of versions that a ratio is of, has at least `SHARE` of the rounds undisturbed; otherwise
the machine was too busy, and nothing of the job is saved.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
JOBS = ROOT / "benchmarks" / "jobs.toml"

THREADS = 2  # as many as any version uses
PROBES = 5  # products before each turn
SIZE = 600  # rows and columns of their matrices
# On a virtual machine with two cores and nothing else to do, the products around a turn took 1.1 to
# 1.8 times their best in nine turns of ten, as its unseen neighbours came and went, and others used
# at most 0.03 of a core. A second process that computes beside shows in `OTHERS_LIMIT`: it uses a
# whole core, and slows the best products down with the rest.
PRODUCT_LIMIT = 1.75
OTHERS_LIMIT = 0.15
TRIES = 3
SHARE = 0.6


class JobFailed(RuntimeError):
    """A version of a job could not be measured; the message says which and why."""


# --- jobs


@dataclass(frozen=True)
class Version:
    """One way to do a job's work; `key` is its name in the results."""

    name: str
    threads: int
    label: str
    beside: str = ""
    size: int = 0

    @property
    def key(self) -> str:
        return f"{self.name}_{self.threads}"


@dataclass(frozen=True)
class Job:
    """What jobs.toml says of one job."""

    name: str
    title: str
    versions: tuple[Version, ...]
    unit: str
    module: str = ""
    steps: float = 1
    least: int = 3
    compared: str = ""
    sizes: str = ""
    ratios: dict[str, tuple[str, str]] = field(default_factory=dict)

    def pairs(self, keys: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Return the ratios among the versions `keys` by name: each beside its own, then `ratios`.

        Each is a pair of versions, the one whose time is divided and the one it is divided by.
        """
        known = set(keys)
        own = {f"{v.key}_over_{v.beside}": (v.key, v.beside) for v in self.versions if v.beside}
        return {name: pair for name, pair in (own | self.ratios).items() if known.issuperset(pair)}


def read_jobs(path: Path = JOBS) -> dict[str, Job]:
    """Return the jobs of jobs.toml by name.

    Raises `ValueError` for two versions of one name, and for a ratio of one that is not there.
    """
    jobs = {}
    for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
        entry["versions"] = tuple(Version(**version) for version in entry["versions"])
        entry["ratios"] = {key: tuple(pair) for key, pair in entry.get("ratios", {}).items()}
        job = jobs[name] = Job(name, **{"module": name} | entry)
        keys = [version.key for version in job.versions]
        named = {version.beside for version in job.versions} - {""}
        named.update(*job.ratios.values())
        if len(set(keys)) < len(keys) or not named <= set(keys):
            raise ValueError(f"{path.name}, {name}: versions {keys}, ratios of {sorted(named)}")
    return jobs


# --- how busy the machine is


class Product:
    """A matrix product that needs `THREADS` cores; `best` is its shortest time so far."""

    def __init__(self):
        import numpy as np
        from threadpoolctl import threadpool_limits

        threadpool_limits(1)
        self.team = ThreadPoolExecutor(THREADS)
        self.matrix = np.ones((SIZE, SIZE), np.float32)
        self.best = math.inf
        self()

    def __call__(self) -> list[float]:
        """Return the times of a few products, in seconds."""
        time.sleep(0.05)  # a version's idle threads spin on for a moment
        times = [self._once() for _ in range(PROBES)]
        self.best = min(self.best, *times)
        return times

    def _once(self) -> float:
        start = time.perf_counter()
        list(self.team.map(lambda _: self.matrix @ self.matrix, range(THREADS)))
        return time.perf_counter() - start


def used_in_all() -> float | None:
    """Return the processor time that all have used, in seconds; None where no one tells.

    A virtual machine's neighbours count with what the host says it gave to them ("steal").
    """
    try:
        with open("/proc/stat", encoding="ascii") as lines:
            user, nice, system, _, _, irq, softirq, steal, *_ = map(int, next(lines).split()[1:])
    except OSError:
        return None
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def used_in_session(session: int) -> float:
    """Return the processor time of a session's processes and of their children that have ended."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            values = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(values[3]) == session:
            ticks += sum(map(int, values[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


# --- turns


@dataclass(frozen=True)
class Turn:
    """What came of one turn, and how busy the machine was.

    `seconds` is the time of a step, `product` the median of the products before and after the turn,
    in seconds, and `others` the cores that others used meanwhile beyond the spare ones.
    """

    seconds: float
    product: float
    others: float | None = None
    megabytes: float | None = None

    def is_disturbed(self, best: float) -> bool:
        """Tell whether the machine was busy; `best` is the shortest product of the run."""
        return self.product > PRODUCT_LIMIT * best or (self.others or 0) > OTHERS_LIMIT


@dataclass
class Measured:
    """The turns of a job by version and round; where all tries were disturbed, the last one."""

    turns: dict[str, dict[int, Turn]]
    rounds: int
    best: float
    discarded: list[Turn] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def quiet(self, key: str) -> dict[int, Turn]:
        """Return a version's undisturbed turns by round."""
        turns = self.turns[key].items()
        return {number: turn for number, turn in turns if not turn.is_disturbed(self.best)}

    def disturbance(self, pairs: Iterable[tuple[str, str]]) -> str:
        """Return why the job does not count, in a sentence; "" if it does."""
        quiet = {key: set(self.quiet(key)) for key in self.turns}
        shared = [*quiet.values(), *(quiet[above] & quiet[below] for above, below in pairs)]
        if all(len(rounds) >= needed(self.rounds) for rounds in shared):
            return ""
        turns = [
            *self.discarded,
            *(t for by_round in self.turns.values() for t in by_round.values()),
        ]
        disturbed = [turn for turn in turns if turn.is_disturbed(self.best)]
        product = max(turn.product for turn in disturbed) / self.best
        others = max(turn.others or 0 for turn in disturbed)
        return (
            f"the machine was busy: {len(disturbed)} of {len(turns)} turns were disturbed; a known "
            f"product took up to {product:.2f} times as long as at its best (limit "
            f"{PRODUCT_LIMIT:.2f}), and others used up to {others:.2f} of a core (limit "
            f"{OTHERS_LIMIT:.2f})"
        )


def needed(rounds: int) -> int:
    """Return how many of `rounds` must be undisturbed."""
    return math.ceil(SHARE * rounds)


def take_turns(
    keys: Iterable[str],
    take: Callable[[str], dict],
    product: Callable[[], list[float]],
    rounds: int,
) -> Measured:
    """Let the versions `keys` take turns, `rounds` times.

    `take` gives a version its turn and returns its `seconds`, `others` and `megabytes`; `product`
    times the known product, and its `best` is the shortest time so far. Once a version has too many
    disturbed rounds for the job to count, nothing is repeated any more.
    """
    measured = Measured({key: {} for key in keys}, rounds, product.best)
    tries, before = TRIES, product()
    for number in range(rounds):
        for key, turns in measured.turns.items():
            for _ in range(tries):
                values = take(key)
                after = product()
                measured.best = product.best
                if number in turns:  # the try before, which was disturbed
                    measured.discarded.append(turns[number])
                turn = turns[number] = Turn(product=median(before + after), **values)
                before = after
                if not turn.is_disturbed(measured.best):
                    break
            if number + 1 - len(measured.quiet(key)) > rounds - needed(rounds):
                tries = 1
    return measured


# --- processes


class Worker:
    """The process of one version (benchmarks/worker.py), ready for its turns.

    `unavailable` says why the machine cannot run the version, and `versions` what it has loaded.
    Raises `JobFailed` if the process ends before it answers.
    """

    def __init__(self, job: Job, version: Version):
        self.job, self.version = job, version
        variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(variables, str(version.threads))
        # Without this variable OpenBLAS chooses its kernels for the processor, as PyTorch does.
        environment.pop("OPENBLAS_CORETYPE", None)
        command = [sys.executable, str(ROOT / "benchmarks" / "worker.py"), job.module]
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*command, version.name, str(version.threads)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            encoding="utf-8",
            start_new_session=True,  # so that its processor time can be told from others'
        )
        try:
            answer = self._answer()
        except BaseException:
            self.close()
            raise
        self.unavailable = answer.get("unavailable", "")
        self.versions = answer.get("versions", {})

    def take(self, seconds: float) -> dict:
        """Give the version a turn of at least so many seconds, and return what came of it."""
        in_all, own, start = used_in_all(), used_in_session(self.process.pid), time.perf_counter()
        print(
            json.dumps({"seconds": seconds, "least": self.job.least}),
            file=self.process.stdin,
            flush=True,
        )
        answer = self._answer()
        wall = time.perf_counter() - start
        others = None
        if in_all is not None:
            own = used_in_session(self.process.pid) - own
            spare = max(0, os.cpu_count() - THREADS)
            others = max(0.0, (used_in_all() - in_all - own) / wall - spare)
        return answer | {"others": others}

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        told = self.errors.read().strip().splitlines() or [f"it ended with {self.process.poll()}"]
        raise JobFailed(f"{self.job.name}, {self.version.key}: {told[-1]}")

    def close(self) -> None:
        """End the process."""
        try:
            self.process.stdin.close()
            self.process.wait(timeout=3)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def measure(
    job: Job, product: Product, rounds: int, seconds: float, tell: Callable[[str], None] = print
) -> Measured:
    """Measure a job: each version in its own process, which lives until the last round.

    Raises `JobFailed` when a version cannot be measured.
    """
    workers, left_out, versions = {}, {}, {}
    try:
        for version in job.versions:
            worker = Worker(job, version)
            if worker.unavailable:
                left_out[version.key] = worker.unavailable
                worker.close()
                continue
            workers[version.key] = worker
            versions |= worker.versions
        measured = take_turns(workers, lambda key: workers[key].take(seconds), product, rounds)
    finally:
        for worker in workers.values():
            worker.close()
    measured.left_out, measured.versions = left_out, versions
    return measured


def summary(job: Job, measured: Measured) -> dict:
    """Return a job's results from its undisturbed turns; from all where they are too few."""
    counts = not measured.disturbance(job.pairs(measured.turns).values())
    turns = {key: measured.quiet(key) if counts else measured.turns[key] for key in measured.turns}
    times = {key: [1000 * turn.seconds for turn in own.values()] for key, own in turns.items()}
    ratios = {}
    for name, (above, below) in job.pairs(turns).items():
        shared = turns[above].keys() & turns[below].keys()
        ratios[name] = [turns[above][n].seconds / turns[below][n].seconds for n in shared]
    kept = [turn for own in turns.values() for turn in own.values()]
    discarded = len(measured.discarded) + sum(map(len, measured.turns.values())) - len(kept)
    results = {
        "rounds": measured.rounds,
        "turns": len(kept),
        "discarded": discarded,
        "busy": median(turn.product for turn in kept) / measured.best,
        "busy_limit": PRODUCT_LIMIT,
        "others": None,
        "others_limit": OTHERS_LIMIT,
        "milliseconds": {key: median(values) for key, values in times.items()},
        "millisecond_ranges": {key: [min(v), max(v)] for key, v in times.items()},
        "ratios": {name: median(values) for name, values in ratios.items()},
        "ratio_ranges": {name: [min(v), max(v)] for name, v in ratios.items()},
        "left_out": measured.left_out,
    }
    if all(turn.others is not None for turn in kept):
        results["others"] = median(turn.others for turn in kept)
    if job.sizes and all(turn.megabytes is not None for turn in kept):
        needed_at_most = {k: max(t.megabytes for t in own.values()) for k, own in turns.items()}
        results["megabytes"] = needed_at_most
    return results
