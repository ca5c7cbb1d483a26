"""The environment that is active: used when it has all that is needed, else told why not."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import environment
import pytest
from conftest import ROOT


def test_the_environment_that_runs_the_tests_has_every_dependency():
    environment.require_dependencies(ROOT)


def test_the_active_environment_is_that_of_the_python_that_asks(tmp_path):
    for name in ("CONDA_PREFIX", "VIRTUAL_ENV"):
        assert environment.active_environment({name: str(tmp_path)}, tmp_path) == tmp_path
    both = {"CONDA_PREFIX": "/opt/conda", "VIRTUAL_ENV": str(tmp_path)}
    assert environment.active_environment(both, tmp_path) == tmp_path
    for variables, reason in (
        ({}, "no environment is active"),
        ({"CONDA_PREFIX": ""}, "no environment is active"),
        ({"CONDA_PREFIX": "/opt/conda"}, f"`python` is that of {tmp_path}"),
    ):
        with pytest.raises(environment.Unfit, match=reason):
            environment.active_environment(variables, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"torch>=2.6"', '"torch>=99"', r"^it lacks torch>=99$"),
        ('"pytest>=8"', '"pytest<8"', r"^it lacks pytest<8$"),
        ('"papermill>=2.6"', '"papermill>=99", "no-such-thing"', "papermill>=99, no-such-thing"),
        ('"jupyter-book>=1.0.4,<2"', '"jupyter-book>=2"', "jupyter-book>=2"),
        ('requires-python = ">=3.11"', 'requires-python = ">=99"', "it has Python 3"),
    ],
)
def test_what_an_environment_lacks_is_named(tmp_path, old, new, reason):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "pyproject.toml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(environment.Unfit, match=reason):
        environment.require_dependencies(tmp_path)


def test_a_dependency_of_another_system_is_not_missed(tmp_path):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    elsewhere = '"torch>=2.6", "none; sys_platform == \'none\'"'
    text = text.replace('"torch>=2.6"', elsewhere)
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    environment.require_dependencies(tmp_path)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A checkout that has what `make` reads, and the package."""
    root = tmp_path / "checkout"
    (root / "tools").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, root / name)
    shutil.copy(ROOT / "tools" / "environment.py", root / "tools")
    shutil.copytree(ROOT / "helpers", root / "helpers")
    return root


def planned(checkout: Path, *arguments: str, **variables: str) -> str:
    """Return what `make` would do in a checkout, with `python` being the one that runs the tests.

    `variables` are those that activating an environment sets.
    """
    commands = checkout.parent / "commands"
    commands.mkdir(exist_ok=True)
    python = commands / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    env = {k: v for k, v in os.environ.items() if k not in ("CONDA_PREFIX", "VIRTUAL_ENV")}
    env |= variables | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    run = subprocess.run(
        ["make", "--dry-run", *arguments],
        cwd=checkout,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


def test_make_uses_the_active_environment_when_it_will_do(checkout):
    for name in ("CONDA_PREFIX", "VIRTUAL_ENV"):
        plan = planned(checkout, "book", **{name: sys.prefix}, PYTHONPATH=str(checkout))
        assert f"Using the active environment, {sys.prefix}" in plan
        assert "python tools/publish.py book" in plan
        assert "-m venv" not in plan and "pip install" not in plan


def test_make_makes_its_own_environment_when_the_active_one_will_not_do(checkout):
    elsewhere = checkout.parent / "elsewhere"
    shutil.copytree(checkout / "helpers", elsewhere / "helpers")
    for arguments, variables in (
        (["book"], {"PYTHONPATH": str(checkout)}),  # none is active
        (["book"], {"CONDA_PREFIX": "/opt/conda", "PYTHONPATH": str(checkout)}),
        (["book"], {"CONDA_PREFIX": sys.prefix, "PYTHONPATH": str(elsewhere)}),
        (["book", "PYTHON=python"], {"CONDA_PREFIX": sys.prefix, "PYTHONPATH": str(checkout)}),
    ):
        plan = planned(checkout, *arguments, **variables)
        assert "-m venv .venv" in plan
        assert ".venv/bin/python tools/publish.py book" in plan


def test_an_environment_that_will_not_do_is_told_why(tmp_path):
    # A project of its own: of the environment that make keeps, which may run this, nothing is told.
    script = tmp_path / "project" / "tools" / "environment.py"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "environment.py", script)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "project")
    command = [sys.executable, str(script)]
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").touch()
    env = os.environ | {"VIRTUAL_ENV": sys.prefix, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.startswith("Not using the environment that is active: its `helpers` is the")
    assert "python -m pip install --no-deps -e ." in run.stderr


def test_versions_are_read_from_what_is_installed(monkeypatch):
    whole_version = metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda name: "0.1" if name == "numpy" else whole_version(name)
    )
    with pytest.raises(environment.Unfit, match=r"^it lacks numpy>=1.26$"):
        environment.require_dependencies(ROOT)
