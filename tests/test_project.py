"""The project's parts agree: dependencies, addresses, notebooks and their entries."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

import catalogue
import gate
import nbformat
import pages
import publish
import pytest
import stamp
import yaml
from catalogue import Project
from conftest import ROOT
from loopback import serving

SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_every_package_of_the_helpers_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "helpers").rglob("*.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == {
        ".".join(folder.parts) for folder in folders
    }


def test_the_hash_of_the_helpers_covers_every_module(tmp_path):
    shutil.copytree(ROOT / "helpers", tmp_path / "helpers")
    hashes = {catalogue.helpers_hash(tmp_path)}
    modules = sorted((tmp_path / "helpers").rglob("*.py"))
    for module in modules:
        module.write_text(module.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        hashes.add(catalogue.helpers_hash(tmp_path))
    assert len(hashes) == len(modules) + 1


def test_the_citation_is_readable():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["license"] == "MIT"
    assert citation["repository-code"] == Project().address()[0]


@pytest.mark.parametrize("page", ["README.md", "book/running.md", ".ci/run"])
def test_a_command_that_a_page_names_is_one_of_the_makefiles(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z]+):.*## ", makefile))
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"(?:^|`)make(?: [A-Z]+=\S+)* ([a-z]+)", text, re.MULTILINE)
    assert named and set(named) <= targets


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_is_content(arguments):
    run = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "."], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout


# --- the notebooks


def test_each_notebook_has_an_entry_and_each_entry_a_notebook():
    ready = {entry.name for entry in Project().ready()}
    assert {source.stem for source in SOURCES} == ready


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_source_has_the_projects_form(path):
    notebook = catalogue.read_notebook(path)
    entry = Project().entry(path.stem)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell.id for cell in code if cell.outputs or cell.execution_count]
    names = [cell.id for cell in notebook.cells]
    assert len(set(names)) == len(names)
    assert not [name for name in names if not re.fullmatch(r"[a-z0-9-]+", name)]
    # An id that a program made up changes whenever the notebook is written anew.
    assert not [name for name in names if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f-]+)?", name)]
    assert names[:4] == ["title", "bootstrap", "parameters", "setup"]
    assert names[-1] == "finish" and "run.finish()" in notebook.cells[-1].source
    assert "remove-cell" in catalogue.tags(notebook.cells[1])
    assert notebook.cells[0].source.splitlines()[0] == f"# {entry.title}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_notebooks_parameters_are_literals_and_its_settings_name_them(path):
    parameters = catalogue.parameters_of(catalogue.read_notebook(path))
    entry = Project().entry(path.stem)
    assert set(entry.published) <= set(parameters)
    assert set(entry.quick) <= set(parameters)
    assert entry.quick["dataset"] == "stand-in"
    assert {"published", "quick"} <= set(entry.minutes)


def test_the_bootstrap_cell_is_the_same_everywhere():
    # What this cell holds does not make a copy stale, so it may hold nothing else.
    for path in stamp.notebooks(Project()):
        notebook = catalogue.read_notebook(path)
        (cell,) = [cell for cell in notebook.cells if "bootstrap" in catalogue.tags(cell)]
        assert cell.source == stamp.bootstrap_cell(*Project().address()), path
        assert cell.id == "bootstrap"


def test_a_new_bootstrap_cell_leaves_the_runs_as_they_are(project, monkeypatch):
    entry = project.entry("sample")
    monkeypatch.setattr(stamp, "BOOTSTRAP_CELL", stamp.BOOTSTRAP_CELL + "  # URL@REF")
    stamp.stamp(project, *project.address())
    assert gate.book_faults(project) == []
    assert publish.state(project, entry) == "fresh"
    source = catalogue.read_notebook(project.source("sample"))
    source.cells[1].source += "\n"  # by hand: what was run is still as good as new
    nbformat.write(source, project.source("sample"))
    assert publish.state(project, entry) == "prose"
    source.cells[3].source += "\n"
    nbformat.write(source, project.source("sample"))
    assert publish.state(project, entry) == "stale"


@pytest.mark.long
@pytest.mark.xdist_group("quick book")
def test_every_notebook_runs_at_its_quick_settings_without_data_or_network(quick_book):
    for entry in quick_book.ready():
        copy = catalogue.read_notebook(quick_book.copy(entry.name))
        assert gate.run_faults(entry, copy) == []
        assert not copy.metadata["provenance"]["dataset"]["is_real"]


# --- the address


OPENED = r"google\.com/github/([^/]+/[^/]+)/blob/(.+?)/(?:student/)?notebooks"
DOWNLOADED = r"usercontent\.com/([^/]+/[^/]+)/(.+?)/(?:student/)?notebooks"
BROWSED = r"//github\.com/([^/]+/[^/]+)/(?:blob|tree)/(.+?)/(?:student/|book/)?notebooks"
INSTALLED = r"git\+https://github\.com/([^/]+/[^/@]+)@([\w./-]+)"


def addresses(project: Project) -> set[tuple[str, str]]:
    """Return every (account/repository, branch) that links and bootstrap cells name."""
    found = set()
    for path in [*stamp.texts(project), *stamp.notebooks(project)]:
        text = path.read_text(encoding="utf-8")
        for pattern in (OPENED, DOWNLOADED, BROWSED, INSTALLED):
            found |= set(re.findall(pattern, text))
    for path in (project.book / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(OPENED, text))
    return found


def test_the_address_is_the_same_everywhere():
    url, branch = Project().address()
    assert addresses(Project()) == {(url.removeprefix("https://github.com/"), branch)}


@pytest.fixture
def whole_project(tmp_path) -> Project:
    """A copy of this project's own notebooks, pages and published copies."""
    root = tmp_path / "project"
    root.mkdir()
    for folder in ("notebooks", "tools", "helpers", "book"):
        ignored = shutil.ignore_patterns("_build", "__pycache__", ".ipynb_checkpoints")
        shutil.copytree(ROOT / folder, root / folder, symlinks=True, ignore=ignored)
    for name in ("README.md", "CITATION.cff"):
        shutil.copy(ROOT / name, root / name)
    return Project.at(root)


def test_one_command_changes_the_address_everywhere(whole_project):
    url, _ = whole_project.address()
    stamp.stamp(whole_project, "https://github.com/Ann-Lee/cnn.v2/", "v1.0")
    assert whole_project.address() == ("https://github.com/Ann-Lee/cnn.v2", "v1.0")
    assert addresses(whole_project) == {("Ann-Lee/cnn.v2", "v1.0")}
    slug = url.removeprefix("https://github.com/")
    for path in whole_project.root.rglob("*"):
        if path.suffix in (".md", ".ipynb", ".yml", ".cff"):
            assert slug not in path.read_text(encoding="utf-8"), path
    for path, text in pages.generated(whole_project).items():
        assert path.read_text(encoding="utf-8") == text
    assert gate.book_faults(whole_project) == gate.book_faults(Project())


def test_stamping_twice_comes_back_byte_for_byte(whole_project):
    stamp.stamp(whole_project, "https://github.com/ann/cnn", "main")
    first = {path: path.read_bytes() for path in whole_project.root.rglob("*") if path.is_file()}
    stamp.stamp(whole_project, "https://github.com/bob/other", "dev")
    stamp.stamp(whole_project, "https://github.com/ann/cnn", "main")
    assert first == {p: p.read_bytes() for p in whole_project.root.rglob("*") if p.is_file()}


def test_stamping_keeps_fresh_copies_fresh_and_stale_ones_stale(project):
    stamp.stamp(project, "https://github.com/ann/cnn", "main")
    assert gate.book_faults(project) == []
    source = catalogue.read_notebook(project.source("sample"))
    source.cells[-2].source += " Again."
    nbformat.write(source, project.source("sample"))
    stamp.stamp(project, "https://github.com/bob/cnn", "main")
    (fault,) = gate.book_faults(project)
    assert "the source has changed since this copy was made" in fault


def test_stamping_changes_this_projects_address_only():
    old, new = ("https://github.com/ann/cnn", "main"), ("https://github.com/bob/net", "dev")
    text = "https://github.com/ann/cnn-2 https://github.com/anna/cnn https://github.com/vdumoulin/x"
    assert stamp.stamp_text(text, old, new) == text
    text = "see https://github.com/ann/cnn."
    assert stamp.stamp_text(text, old, new) == "see https://github.com/bob/net."


@pytest.mark.parametrize(
    ("url", "ref"),
    [
        ("http://github.com/ann/cnn", "main"),
        ("https://gitlab.com/ann/cnn", "main"),
        ("https://github.com/-owner-/cnn", "main"),
        ("https://github.com/ann", "main"),
        ("https://github.com/ann/cnn/tree/main", "main"),
        ("https://github.com/ann/cnn", "a branch"),
        ("https://github.com/ann/cnn", ""),
    ],
)
def test_an_impossible_address_is_refused_and_changes_nothing(project, url, ref):
    files = [path for path in project.root.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    with pytest.raises(stamp.StampError, match="expected"):
        stamp.stamp(project, url, ref)
    assert before == {path: path.read_bytes() for path in files}


def test_the_command_keeps_the_address_that_it_is_not_given(project, monkeypatch, capsys):
    monkeypatch.setattr(stamp, "Project", lambda: project)
    url, ref = project.address()
    assert stamp.main(["--ref", "v1.0"]) == 0
    assert project.address() == (url, "v1.0")
    assert stamp.main([]) == 0
    assert project.address() == (url, "v1.0")
    assert f"The address is now {url}, branch v1.0." in capsys.readouterr().out
    assert stamp.main(["https://github.com/ann/REF"]) == 0
    assert project.address() == ("https://github.com/ann/REF", "main")
    assert addresses(project) == {("ann/REF", "main")}
    assert stamp.main(["https://github.com/-owner-/none"]) == 1
    assert gate.book_faults(project) == []


ADDRESS_TESTS = [
    ("test_project.py", "address or stamp or bootstrap_cell_is or form or citation"),
    ("test_gate.py", "good_copy or whole_book or new_prose"),
    ("test_publish.py", "carries or writes"),
    ("test_site.py", "buttons or faults_of_pages"),
]


@pytest.mark.skipif("CNN_HOMEWORK_STAMPED" in os.environ, reason="this is the stamped copy's run")
@pytest.mark.long
def test_the_tests_pass_at_another_address_too(tmp_path):
    root = tmp_path / "stamped"
    left_out = (".git", ".venv", "build", "_build", "__pycache__", ".*_cache", "*.egg-info")
    shutil.copytree(ROOT, root, symlinks=True, ignore=shutil.ignore_patterns(*left_out))
    env = os.environ | {"CNN_HOMEWORK_STAMPED": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "tools/stamp.py", "https://github.com/ann-lee/cnn.v2"]
    subprocess.run([*command, "--ref", "v1.0"], cwd=root, env=env, check=True)
    chosen = " or ".join(f"({file} and ({tests}))" for file, tests in ADDRESS_TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen]
    command += [f"tests/{file}" for file, _ in ADDRESS_TESTS]
    run = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


# --- the bootstrap cell


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder, whatever the user's own settings are."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Iterator[str]:
    """The address of a git repository on loopback with this project's package on `main`."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(
        ROOT / "helpers", folder / "helpers", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--message", "The package")
    git(folder, "update-server-info")  # so that a plain file server can serve it
    with serving(folder) as address:
        yield f"{address}/.git"


@pytest.fixture(scope="module")
def colab_machine(tmp_path_factory) -> Path:
    """The Python of a fresh environment that has torch and all else, but not this package."""
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder / "venv", with_pip=True)
    here = Path(nbformat.__file__).parents[1]
    (folder / "given").mkdir()
    for entry in here.iterdir():
        ours = ("cnn_homework", "__editable__", "pip", "distutils-precedence")
        # An installation that is not editable has the package itself here.
        if entry.name != "helpers" and not entry.name.startswith(ours):
            (folder / "given" / entry.name).symlink_to(entry)
    (site_packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    for entry in site_packages.glob("setuptools*"):
        shutil.rmtree(entry)  # the given one is new enough to build the package without a network
    (site_packages / "given.pth").write_text(str(folder / "given"), encoding="utf-8")
    return folder / "venv" / "bin" / "python"


@pytest.fixture
def colab(colab_machine) -> Iterator[Path]:
    """The Python of that environment, from which the package is removed again."""
    yield colab_machine
    uninstall = [colab_machine, "-m", "pip", "uninstall", "--quiet", "--yes", "cnn-homework"]
    subprocess.run(uninstall, check=True, capture_output=True)


def run_cells(python: Path, cells: list[str], folder: Path) -> subprocess.CompletedProcess:
    """Run cells in IPython, as a notebook would, in an environment without a network."""
    script = folder / "cells.py"
    script.write_text(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        f"for cell in {cells!r}:\n    shell.run_cell(cell).raise_error()\n",
        encoding="utf-8",
    )
    return run_python(python, script, folder)


def run_python(python: Path, script: Path, folder: Path) -> subprocess.CompletedProcess:
    """Run a script in an environment without a network."""
    # No index and no isolated build: whatever the cell installs must be there or be the package.
    settings = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_CONFIG_FILE": os.devnull}
    settings |= {"no_proxy": "127.0.0.1"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    return subprocess.run(
        [python, script], cwd=folder, capture_output=True, text=True, env=kept | settings
    )


@pytest.mark.long
def test_the_bootstrap_cell_installs_the_package_and_leaves_torch_alone(
    repository, colab, tmp_path
):
    url, branch = Project().address()
    bootstrap = stamp.bootstrap_cell(url, branch)
    local = bootstrap.replace(f"git+{url}@{branch}", f"git+{repository}@{branch}")
    assert local != bootstrap
    where = "import torch; print('torch is at', torch.__file__, torch.__version__)"
    missing = run_cells(colab, [where, "import helpers"], tmp_path)
    assert "No module named 'helpers'" in missing.stdout + missing.stderr
    torch_before = re.search("torch is at .*", missing.stdout).group()

    run = run_cells(colab, [local, where, "from helpers import runtime; print(runtime)"], tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert torch_before in run.stdout
    site_packages = next((colab.parents[1] / "lib").glob("python*/site-packages"))
    installed = {path.name.split("-")[0] for path in site_packages.glob("*.dist-info")}
    assert installed == {"pip", "cnn_homework"}


def test_a_failed_installation_ends_with_one_sentence(repository, colab, tmp_path):
    url, branch = Project().address()
    failing = stamp.bootstrap_cell(url, branch).replace(f"git+{url}", f"git+{repository}/none")
    run = run_cells(colab, [failing], tmp_path)
    assert run.returncode != 0  # so that no later cell runs
    # What a notebook shows: the cell's output, then the error as IPython writes it.
    shell = "from IPython.core.interactiveshell import InteractiveShell as S\n"
    script = tmp_path / "shown.py"
    script.write_text(f"{shell}S.instance(colors='NoColor').run_cell({failing!r})\n", "utf-8")
    shown = run_python(colab, script, tmp_path)
    last = shown.stdout.strip().splitlines()[-1]
    assert last == (
        "This notebook's package could not be installed (No module named 'helpers'): pip says why "
        "above; once that is mended, run this cell again."
    )
    assert "Traceback" not in shown.stdout
    assert "git clone" in shown.stdout  # what pip says of it


def test_the_bootstrap_cell_does_nothing_where_the_package_is(tmp_path):
    bootstrap = stamp.bootstrap_cell(*Project().address())
    run = run_cells(Path(sys.executable), [bootstrap], tmp_path)
    assert run.returncode == 0 and run.stdout == "", run.stdout + run.stderr
