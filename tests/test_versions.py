"""The environment: every dependency is pinned, and the pins resolve on every machine named."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.version import Version

CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}

# The oldest Python that is allowed, Debian 12's, and the newest of each minor version since.
PYTHONS = ("3.11.0", "3.11.2", "3.12", "3.13", "3.14")
SYSTEMS = {"linux": "linux", "macos": "darwin", "windows": "win32"}

# What torch chooses for itself, by the kind of GPU.
CHOSEN_BY_TORCH = re.compile(r"nvidia-|cuda-|triton$")

# A line of what the resolver says when it was the network that failed, not the pins.
NO_NETWORK = re.compile(r"(?i)failed to fetch|error sending request|dns error|timed out|connect")


def project() -> dict:
    """Return the table `project` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(*but: str) -> list[Requirement]:
    """Return the dependencies of pyproject.toml, those of its extras included, `but` some."""
    extras = [rows for name, rows in project()["optional-dependencies"].items() if name not in but]
    lines = [line for group in (project()["dependencies"], *extras) for line in group]
    return [Requirement(line) for line in lines]


def pins(python: str, system: str) -> dict[str, str]:
    """Return the versions that constraints.txt gives for one Python and system, by name."""
    full = python if python.count(".") == 2 else f"{python}.0"
    minor = ".".join(full.split(".")[:2])
    environment = {"python_full_version": full, "python_version": minor}
    environment["sys_platform"] = SYSTEMS[system]
    found = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(environment):
            assert pin.name not in found, f"{pin.name} is pinned twice for {python} on {system}"
            (exact,) = pin.specifier
            assert exact.operator == "=="
            found[pin.name] = exact.version
    return found


everywhere = pytest.mark.parametrize(
    ("python", "system"), [(python, system) for python in PYTHONS for system in SYSTEMS]
)


def test_conda_gets_the_same_dependencies():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = {r.name: r.specifier for r in map(Requirement, environment["dependencies"])}
    pip = {CONDA_NAMES.get(r.name, r.name): r.specifier for r in requirements("browser", "paper")}
    python = Requirement(f"python{project()['requires-python']}").specifier
    assert conda == pip | {"python": python, "pip": Requirement("pip").specifier}


@everywhere
def test_every_dependency_has_an_exact_version_that_is_allowed(python, system):
    pinned = pins(python, system)
    for requirement in requirements():
        assert requirement.specifier.contains(Version(pinned[requirement.name])), requirement
    assert (pinned["torch"], pinned["torchvision"]) == ("2.14.0", "0.29.0")
    assert not [name for name in pinned if CHOSEN_BY_TORCH.match(name)]


def test_the_declared_minimum_is_among_the_pythons_that_are_tried():
    assert Requirement(f"python{project()['requires-python']}") == Requirement("python>=3.11")
    assert PYTHONS[0] == "3.11.0"


# --- the resolver's own word


@pytest.fixture(scope="module")
def index() -> None:
    """The package index, asked once; where it cannot be reached, what needs it is skipped."""
    resolve("3.12", "linux", ROOT / "constraints.txt")


def resolve(python: str, system: str, constraints: Path) -> dict[str, str]:
    """Return the versions that uv would install for one Python and system, by name.

    Skips the test where the package index cannot be reached. Raises `RuntimeError`, with what uv
    says, when there is no solution.
    """
    pytest.importorskip("uv", reason="uv is not installed; it comes with the extra `test`")
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--all-extras"]
    command += ["--constraint", str(constraints), "--python-version", python]
    command += ["--python-platform", system, "--no-header", "--no-annotate", "--quiet"]
    # uv knows no newer macOS than 13 by itself, and torch no older one than 14.
    settings = {"MACOSX_DEPLOYMENT_TARGET": "14.0", "UV_HTTP_TIMEOUT": "10", "NO_COLOR": "1"}
    settings["UV_HTTP_RETRIES"] = "1"
    settings["UV_PYTHON_DOWNLOADS"] = "never"  # the question is put for another Python, not to it
    try:
        run = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=os.environ | settings,
            timeout=120,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("the package index did not answer within two minutes")
    if run.returncode and "No solution found" not in run.stderr and NO_NETWORK.search(run.stderr):
        pytest.skip(f"the package index cannot be reached: {run.stderr.strip().splitlines()[-1]}")
    if run.returncode:
        raise RuntimeError(run.stderr)
    lines = [line.split(";")[0].split() for line in run.stdout.splitlines()]
    return dict(words[0].split("==") for words in lines if words and "==" in words[0])


@everywhere
def test_the_pins_resolve_and_leave_nothing_open(index, python, system):
    resolved = resolve(python, system, ROOT / "constraints.txt")
    chosen = {name for name in resolved if CHOSEN_BY_TORCH.match(name)}
    pinned = pins(python, system)
    assert {name: pinned.get(name) for name in resolved.keys() - chosen} == {
        name: version for name, version in resolved.items() if name not in chosen
    }


def test_a_pin_that_needs_a_newer_python_is_noticed(index, tmp_path):
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    planted, lines = re.subn(r"(?m)^soupsieve==.*$", "soupsieve==4.1.1", text)
    assert lines == 2
    (tmp_path / "constraints.txt").write_text(planted, encoding="utf-8")
    with pytest.raises(RuntimeError, match="soupsieve"):
        resolve("3.11.2", "linux", tmp_path / "constraints.txt")
    resolve("3.12", "linux", tmp_path / "constraints.txt")


def test_an_index_that_cannot_be_reached_skips_and_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="the package index cannot be reached"):
        resolve("3.12", "linux", ROOT / "constraints.txt")
