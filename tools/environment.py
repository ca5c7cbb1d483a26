"""Say whether the environment that is active has all that this project needs.

    python tools/environment.py    print the folder of that environment, or on stderr why it will
                                   not do

The Makefile asks this before it makes an environment of its own. Nothing but Python is needed.
"""

import importlib.util
import os
import sys
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("book", "test", "teach")


class Unfit(RuntimeError):
    """An environment is not one to work in; the message says why, and what would help."""


def active_environment(variables: dict[str, str], prefix: Path) -> Path:
    """Return the folder of the active environment, which is that of the Python that asks.

    `variables` are the environment variables and `prefix` the folder of this Python. Raises
    `Unfit` when no environment was activated or when `python` is not that environment's.
    """
    active = {variables.get(name, "") for name in ("CONDA_PREFIX", "VIRTUAL_ENV")} - {""}
    if not active:
        raise Unfit("no environment is active")
    if prefix.resolve() not in {Path(folder).resolve() for folder in active}:
        raise Unfit(f"`python` is that of {prefix}")
    return prefix


def require_dependencies(root: Path) -> None:
    """Raise `Unfit` unless this Python has every dependency of the project in the folder `root`."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    try:
        from packaging.requirements import Requirement
    except ImportError:
        raise Unfit("it lacks packaging") from None
    python = Requirement(f"python{project['requires-python']}")
    if not python.specifier.contains(".".join(map(str, sys.version_info[:3]))):
        raise Unfit(f"it has Python {sys.version.split()[0]}, not {python.specifier}")
    lines = list(project["dependencies"])
    for extra in EXTRAS:
        lines += project["optional-dependencies"][extra]
    missing = [line for line in lines if not _is_met(Requirement(line))]
    if missing:
        raise Unfit(f"it lacks {', '.join(missing)}")


def require_package(root: Path) -> None:
    """Raise `Unfit` unless `import helpers` finds the package in the folder `root`.

    The folder itself is not on this script's path, so that a kernel finds it there as well.
    """
    found = importlib.util.find_spec("helpers")
    install = "python -m pip install --no-deps -e ."
    if found is None or found.origin is None:
        raise Unfit(f"it lacks this project's package `helpers`: {install}")
    if Path(found.origin).resolve().parents[1] != root.resolve():
        raise Unfit(f"its `helpers` is the one at {Path(found.origin).parent}, not this: {install}")


def _is_met(requirement) -> bool:
    if requirement.marker and not requirement.marker.evaluate():
        return True
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def main() -> int:
    """Print the folder of the active environment if it will do; return the exit status."""
    try:
        folder = active_environment(dict(os.environ), Path(sys.prefix))
        if folder.resolve() == (ROOT / ".venv").resolve():
            return 1  # the one that make keeps up to date itself
        require_dependencies(ROOT)
        require_package(ROOT)
    except Unfit as error:
        print(f"Not using the environment that is active: {error}.", file=sys.stderr)
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
