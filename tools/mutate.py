"""Mutation testing: plant small faults into a module, one at a time, and see if its tests fail.

python tools/mutate.py                       every module in tools/mutation.toml
python tools/mutate.py helpers/progress.py   one module, or several
    --processes 4                            so many mutants at a time

A module passes if at least 90 % of its mutants are caught and every other one is accepted, with a
reason, in tools/mutation.toml; that file also says which tests a module is held to. A mutant whose
tests run five times as long as they should is caught as well. The exit status is 1 if a module does
not pass.

mutmut plants the faults. It changes the bodies of functions, but not of those with a decorator
other than `classmethod` and `staticmethod`, nor what stands at module level. It needs `fork`, so it
does not run on Windows. All work is done on a copy in build/mutation.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from catalogue import ROOT

SETTINGS = ROOT / "tools" / "mutation.toml"
LEAST_SHARE = 0.9
CAUGHT = ("killed", "timeout", "segfault")
FAILED = ("not checked", "check was interrupted by user", "skipped")

# What the tests read, besides the module under test.
COPIED = ("helpers", "tools", "tests", "notebooks", "book")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "_build", ".ipynb_checkpoints")

# A fork server, since a process that has used torch must not be forked itself.
MUTMUT = """[mutmut]
source_paths={source}
only_mutate={module}
also_copy=
    {copied}
pytest_add_cli_args_test_selection=
    {tests}
pytest_add_cli_args=
    -p
    no:cacheprovider
process_isolation=forkserver
use_git_change_detection=false
timeout_constant=4
timeout_multiplier=5
"""


class MutationError(Exception):
    """mutmut cannot run, or a module is not listed; the message says what to do."""


@dataclass(frozen=True)
class Mutant:
    """A change of one function, and what became of it under the tests.

    `was` and `becomes` hold the changed lines, without their indentation; `status` is mutmut's.
    """

    function: str
    was: str
    becomes: str
    status: str

    def __str__(self) -> str:
        return f"{self.function} ({self.status})\n    - {self.was}\n    + {self.becomes}"

    def is_meant_by(self, entry: Mapping[str, str]) -> bool:
        """Return whether an entry of the accepted mutants describes this one."""
        return all(getattr(self, key) == entry[key] for key in ("function", "was", "becomes"))


def lay_out(module: str, tests: Sequence[str], folder: Path) -> None:
    """Copy what the tests of a module need to `folder`, with mutmut's settings for it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=LEFT_OUT)
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, folder)
    source = Path(module)
    if source.parts[0] == "tools":
        # The tools import each other by their bare names, and mutmut must know a module by the name
        # under which it is imported: that is so below `src`.
        source = Path("src", source.name)
        (folder / "src").mkdir()
        shutil.move(folder / module, folder / source)
    copied = [name for name in os.listdir(folder) if name not in ("src", "tests", source.parts[0])]
    settings = MUTMUT.format(
        source=source.parts[0],
        module=source,
        copied="\n    ".join(sorted(copied)),
        tests="\n    ".join(tests),
    )
    (folder / "setup.cfg").write_text(settings, encoding="utf-8")


def mutmut(folder: Path, *arguments: str, stdout: int | None = subprocess.PIPE) -> str:
    """Run mutmut in `folder` and return its output, unless that goes to another `stdout`.

    Raises `MutationError` if mutmut fails.
    """
    mutants = folder.resolve() / "mutants"
    paths = os.pathsep.join(map(str, (mutants, mutants / "src")))
    run = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=stdout,
        text=True,
    )
    if run.returncode:
        raise MutationError(
            f"mutmut {arguments[0]} failed in {folder}\n{run.stdout or ''}".rstrip()
        )
    return run.stdout or ""


def found(folder: Path) -> list[Mutant]:
    """Return the mutants of the run in `folder`; those that were caught without their lines."""
    mutants = []
    for line in mutmut(folder, "results", "--all", "true").splitlines():
        name, _, status = line.strip().rpartition(": ")
        function = name.rpartition("__mutmut_")[0].rpartition(".")[2]
        # `x_name` is a function, `xǁClassǁname` a method.
        function = function.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
        was = becomes = ""
        if status not in CAUGHT:
            was, becomes = changed_lines(mutmut(folder, "show", name))
        mutants.append(Mutant(function, was, becomes, status))
    if unfinished := [mutant for mutant in mutants if mutant.status in FAILED]:
        raise MutationError(f"the run in {folder} was cut short: {len(unfinished)} not tried")
    return mutants


def changed_lines(difference: str) -> tuple[str, str]:
    """Return the lines that a unified diff takes away, and those that it adds, each joined."""
    sides = []
    for sign in "-+":
        lines = [line for line in difference.splitlines() if line.startswith(sign)]
        sides.append(" ".join(line[1:].strip() for line in lines if line[:3] != 3 * sign))
    return sides[0], sides[1]


def judge(
    module: str, mutants: Sequence[Mutant], accepted: Sequence[Mapping[str, str]]
) -> tuple[str, list[str]]:
    """Return a sentence with the score of a module, and what is wrong: nothing if it passes."""
    survivors = [mutant for mutant in mutants if mutant.status not in CAUGHT]
    caught = len(mutants) - len(survivors)
    share = caught / max(len(mutants), 1)
    faults = [
        f"not caught: {mutant}"
        for mutant in survivors
        if not any(mutant.is_meant_by(entry) for entry in accepted)
    ]
    faults += [
        f"accepted, but there is no such mutant any more, or it is caught: {entry}"
        for entry in accepted
        if not any(mutant.is_meant_by(entry) for mutant in survivors)
    ]
    if not mutants:
        faults.append("no mutant was made")
    elif share < LEAST_SHARE:
        faults.append(f"{share:.0%} are caught; it must be at least {LEAST_SHARE:.0%}")
    return f"{module}: {caught} of {len(mutants)} mutants are caught ({share:.1%})", faults


def read_settings(path: Path = SETTINGS) -> dict[str, dict]:
    """Return `tests` and `accepted` of each module; raises `MutationError` for a faulty entry."""
    settings = tomllib.loads(path.read_text(encoding="utf-8"))
    for module, entry in settings.items():
        entry.setdefault("accepted", [])
        for accepted in entry["accepted"]:
            missing = {"function", "was", "becomes", "because"} - accepted.keys()
            if missing:
                raise MutationError(f"{path.name}: {module}: {accepted} lacks {sorted(missing)}")
    return settings


def mutate(module: str, entry: Mapping[str, Sequence], processes: int) -> bool:
    """Try every mutant of a module, print its score and its faults, and return if it passes."""
    folder = ROOT / "build" / "mutation" / module.removesuffix(".py").replace("/", ".")
    lay_out(module, entry["tests"], folder)
    mutmut(folder, "run", "--max-children", str(processes), stdout=None)
    score, faults = judge(module, found(folder), entry["accepted"])
    print("\n".join([("✗ " if faults else "✓ ") + score, *faults]), flush=True)
    return not faults


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="such as helpers/progress.py; all by default")
    parser.add_argument("--processes", type=int, default=1, help="mutants at a time")
    options = parser.parse_args(arguments)
    try:
        settings = read_settings()
        for module in options.modules:
            if module not in settings:
                listed = ", ".join(settings)
                raise MutationError(f"{module} is not in tools/mutation.toml; listed are {listed}")
        modules = options.modules or list(settings)
        passed = [mutate(module, settings[module], options.processes) for module in modules]
    except MutationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
