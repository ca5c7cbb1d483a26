"""Measure what the book's code costs, beside what a user would pick instead: one table.

    python benchmarks/run.py                      every job of the table
    python benchmarks/run.py --growth             how time and memory grow, with batch and width
    python benchmarks/run.py numpy_lenet cifar10  these jobs alone
    python benchmarks/run.py --save               and save the figures, for the book

The jobs stand in benchmarks/jobs.toml, their code in benchmarks/versions, and how the versions take
turns, and when a machine is too busy for its figures to count, in benchmarks/measuring.py. The
machine should do nothing else meanwhile. A job that was disturbed, or whose version failed, leaves
the others as they are.

With --save each job that counts goes to benchmarks/results/JOB.json: one file per job and not per
machine, so that a job can be measured again by itself, and so that prose names a figure without
naming a machine (tools/prose.py: `benchmarks.numpy_lenet.ratios.numpy_over_torch_1`). These are the
figures of the book's machine, and --save refuses to replace them with another's. A further machine
saves into a folder of its own, `--save laptop` into benchmarks/results/laptop; the page
book/speed.md shows it below. After saving, write the page anew: python tools/prose.py.
"""

import argparse
import json
import os
import re
import sys
import time
from datetime import date
from importlib import metadata
from pathlib import Path

import measuring
from measuring import Job, JobFailed, Product, measure, read_jobs, summary

RESULTS = measuring.ROOT / "benchmarks" / "results"
PACKAGES = ("numpy", "torch", "torchvision")
LEAST_ROUNDS = 3  # of what is saved: fewer have no spread worth telling


def save(path: Path, results: dict) -> None:
    """Write a job's results, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8", newline="\n")
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def others_results(paths: list[Path], device: str) -> list[str]:
    """Return a sentence for each file of results that another machine made."""
    made_on = {
        path: json.loads(path.read_text("utf-8"))["device"] for path in paths if path.exists()
    }
    return [
        f"{path.name} was measured on {other}, and this is {device}: give this machine's results a "
        f"folder of their own (--save NAME), or delete that file first"
        for path, other in made_on.items()
        if other != device
    ]


def table(job: Job, results: dict) -> str:
    """Return a job's results as lines of text."""
    lines = [f"{job.title}, {job.unit}"]
    width = max(len(version.label) for version in job.versions)
    for version in job.versions:
        start = f"  {version.label:{width}}  {version.threads} thread{'s' * (version.threads > 1)}"
        if version.key in results["left_out"]:
            lines.append(f"{start:{width + 13}}  {results['left_out'][version.key]}")
            continue
        low, high = results["millisecond_ranges"][version.key]
        middle = results["milliseconds"][version.key]
        shown = [f"{job.steps * value:.4g}" for value in (middle, low, high)]
        line = f"{start:{width + 13}}  {shown[0]} ms ({shown[1]}–{shown[2]})"
        if ratio := results["ratios"].get(f"{version.key}_over_{version.beside}"):
            low, high = results["ratio_ranges"][f"{version.key}_over_{version.beside}"]
            line += f"  × {ratio:.2f} ({low:.2f}–{high:.2f})"
        if version.key in results.get("megabytes", {}):
            line += f"  {results['megabytes'][version.key]:.0f} MB"
        lines.append(line)
    others = "unknown" if results["others"] is None else f"{results['others']:.2f}"
    lines.append(
        f"  busy: the product took {results['busy']:.3f} of its best, others used {others} cores; "
        f"{results['discarded']} of {results['turns'] + results['discarded']} turns discarded"
    )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure what the command line names; return 1 if a job failed or could not be saved."""
    jobs = read_jobs()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"of: {', '.join(jobs)}")
    parser.add_argument("--growth", action="store_true", help="the jobs about growth instead")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each version (5)")
    parser.add_argument("--seconds", type=float, default=1, help="length of a turn at least (1)")
    parser.add_argument("--save", nargs="?", const="", metavar="NAME", help="save what counts")
    options = parser.parse_args(arguments)
    if unknown := set(options.jobs) - set(jobs):
        parser.error(f"no job is called {', '.join(unknown)}; there are: {', '.join(jobs)}")
    saving = options.save is not None
    if saving and options.save in jobs:
        parser.error(f"--save {options.save} names a job, not a machine: put the jobs first")
    if saving and not re.fullmatch(r"(?:[A-Za-z]\w*)?", options.save, re.ASCII):
        parser.error(f"--save {options.save}: a machine's name has letters, digits and _")
    least = LEAST_ROUNDS if saving else 1
    if options.rounds < least:
        parser.error(f"--rounds {options.rounds}: it must be at least {least}")
    names = options.jobs or [n for n, job in jobs.items() if bool(job.sizes) == options.growth]

    from helpers import runtime  # after the command line: it takes a moment

    device = runtime.device_name("cpu")
    goals = {name: RESULTS / options.save / f"{name}.json" for name in names} if saving else {}
    if reasons := others_results(list(goals.values()), device):
        parser.error("\n".join(reasons))

    product, faults = Product(), []
    for name in names:
        job, start = jobs[name], time.perf_counter()
        try:
            measured = measure(job, product, options.rounds, options.seconds)
        except JobFailed as error:
            faults.append(f"{error}; nothing of this job is saved")
            print(f"{job.title}: failed\n", flush=True)
            continue
        versions = {package: metadata.version(package) for package in PACKAGES}
        results = {"date": date.today().isoformat(), "device": device}
        results |= {"versions": versions | measured.versions} | summary(job, measured)
        print(table(job, results))
        if reason := measured.disturbance(job.pairs(measured.turns).values()):
            print(f"  NOT TO BE TRUSTED: {reason}")
            faults += [f"{name} is not saved: {reason}"] if saving else []
        elif saving:
            save(goals[name], results)
            print(f"  saved: benchmarks/results/{goals[name].relative_to(RESULTS).as_posix()}")
        print(f"  measured in {time.perf_counter() - start:.0f} s\n", flush=True)
    for fault in faults:
        print(f"✗ {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
