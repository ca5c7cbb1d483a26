"""What several test modules share: where tools are found, and a small published project."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book" / "_ext")]

import kinds  # noqa: E402
import nbformat  # noqa: E402
import pytest  # noqa: E402
import stamp  # noqa: E402
from catalogue import Project  # noqa: E402
from filelock import FileLock  # noqa: E402
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook  # noqa: E402

URL, REF = Project().address()  # whatever this project is stamped with
ADDRESS = URL.removeprefix("https://github.com/")

COLAB = "https://colab.research.google.com/github"

TITLE = f"""# A sample

[Open in Colab]({COLAB}/{ADDRESS}/blob/{REF}/notebooks/sample.ipynb) ·
[Download this notebook](https://raw.githubusercontent.com/{ADDRESS}/{REF}/notebooks/sample.ipynb)

A formula, $\\sqrt{{2}}$, and a numbered one that has equation (1) for its name:

$$
a^2 + b^2 = c^2 \\tag{{1}}
$$"""

PARAMETERS = """steps = 3  # training steps
fail = False  # raise an error
dataset = "auto"  # the data"""

# A run that trains nothing: its data set only claims to be MNIST, which is all the gate can see.
SETUP = """# @title Show the imports and the data
import numpy as np
from helpers import data, runtime

images = np.zeros((2, 1, 28, 28), np.uint8)
labels = np.zeros(2, np.int64)
is_real = dataset != "stand-in"
digits = data.ImageDataset(
    "MNIST" if is_real else "stand-in digits", is_real, images, labels, images, labels,
    tuple("0123456789"), data.MNIST_CHECKSUM if is_real else "sha256:0", "made by a test.",
)
parameters = {"steps": steps, "dataset": dataset}
run = runtime.Run("sample", seed=0, dataset=digits, device="cpu", parameters=parameters)"""

BODY = """if fail:
    raise RuntimeError("the planted error")
print(f"{steps} steps")
run.record("model", {"steps": steps, "test_accuracy": 0.99, "train_seconds": 1.5})"""

FIGURE = """# @title Show the code of this figure
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(4, 3))
axes.plot(range(steps))
plt.show()"""

CAPTION = "**Figure 1.** A line."

SOLUTION = """<details>
<summary>Answer</summary>

It *is* a line, $y = x$:

```python
y = x
```

</details>"""

FINISH = """# @title Show how the results are recorded
run.finish()"""

CATALOGUE = """[sample]
title = "A sample"
course = "No course"
summary = "Nothing"
dataset = "MNIST"
quick = { steps = 2, dataset = "stand-in" }
minutes = { reading = 5, published = 0.1, quick = 0.1 }
picture = "figure"
headline = "It reads **?**<!-- 100 * model.test_accuracy | .1f --> %."
targets = [
  { keys = ["model.steps"], equal = 3, text = "3 steps" },
  { keys = ["model.test_accuracy"], above = 0.98, text = "above 98 %", aim = "99 %" },
  { keys = ["model.train_seconds"], present = true, text = "reported" },
]

[[sample.main]]
what = "accuracy"
asked = "above 98 %"
paper = ""
ours = "?<!-- 100 * model.test_accuracy | .1f --> %"
runs = "1"
time = "?<!-- model.train_seconds | .1f --> s"

[planned]
title = "A planned notebook"
course = "No course"
summary = "Nothing"
dataset = "CIFAR-10"
in_preparation = true
targets = []
"""


def sample_notebook() -> nbformat.NotebookNode:
    """Return a notebook of the project's format that runs in a second."""
    removed = {"tags": ["bootstrap", "remove-cell"]}
    figure = {"tags": ["report"], "mystnb": {"image": {"alt": "A rising line"}}}
    notebook = new_notebook(
        cells=[
            new_markdown_cell(TITLE, id="title"),
            new_code_cell(stamp.bootstrap_cell(URL, REF), id="bootstrap", metadata=removed),
            new_code_cell(PARAMETERS, id="parameters", metadata={"tags": ["parameters"]}),
            new_code_cell(SETUP, id="setup", metadata={"tags": ["set-up"]}),
            new_code_cell(BODY, id="body", metadata={"tags": ["answer"]}),
            new_code_cell(FIGURE, id="figure", metadata=figure),
            new_markdown_cell(CAPTION, id="figure-caption"),
            new_markdown_cell(SOLUTION, id="solution"),
            new_markdown_cell("## Summary\n\nIt ran.", id="summary"),
            new_code_cell(FINISH, id="finish", metadata={"tags": ["report"]}),
        ],
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
    )
    return kinds.with_kinds("sample", notebook)


def make_project(root: Path) -> Project:
    """Lay out a project with the real book's prose, one sample notebook, and nothing published."""
    for folder in ("notebooks", "tools", "helpers"):
        (root / folder).mkdir(parents=True)
    shutil.copytree(
        ROOT / "book",
        root / "book",
        ignore=shutil.ignore_patterns("_build", "notebooks", "results", "networks"),
    )
    for name in ("README.md", "CITATION.cff"):
        shutil.copy(ROOT / name, root / name)
    shutil.copy(ROOT / "tools" / "prose.toml", root / "tools")
    for page in (root / "README.md", *(root / "book").glob("*.md")):
        # The sample project has none of the results that the real pages' numbers follow.
        text = page.read_text(encoding="utf-8")
        text = re.sub(r"\S*<!-- (?!block|note|end of block).*?-->", "…", text, flags=re.DOTALL)
        page.write_text(text, encoding="utf-8")
    nbformat.write(sample_notebook(), root / "notebooks" / "sample.ipynb")
    (root / "tools" / "notebooks.toml").write_text(CATALOGUE, encoding="utf-8")
    return Project.at(root)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Plan the work of several processes (pytest-xdist): none makes again what another has made.

    Tests that use a fixture of their module stay together; the long ones begin, so that no process
    waits for one at the end. One process alone keeps to the order of the files.
    """
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        fixtures = item._fixtureinfo.name2fixturedefs.values()
        if any(definitions[-1].scope == "module" for definitions in fixtures):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def made_once(name: str, factory, config: pytest.Config, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` has filled, once for all processes that share the tests."""
    base = factory.getbasetemp()
    base = base.parent if hasattr(config, "workerinput") else base
    folder, done = base / name, base / f"{name}.done"
    with FileLock(base / f"{name}.lock"):
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def published_once(tmp_path_factory, request) -> Project:
    """A project whose sample notebook has been published; nobody may write in it."""
    import publish

    def make(folder: Path) -> None:
        project = make_project(folder)
        publish.publish(project, project.entry("sample"))

    return Project.at(made_once("published", tmp_path_factory, request.config, make))


@pytest.fixture
def project(published_once: Project, tmp_path: Path) -> Project:
    """A fresh copy of a project with one published notebook."""
    root = tmp_path / "project"
    shutil.copytree(published_once.root, root, symlinks=True)
    return Project.at(root)


@pytest.fixture(scope="session")
def quick_book(tmp_path_factory) -> Project:
    """The scratch book of every notebook at its quick settings, made without data or network."""
    import publish

    root = tmp_path_factory.mktemp("quick") / "project"
    root.mkdir()
    ignored = shutil.ignore_patterns("_build", "__pycache__", ".ipynb_checkpoints")
    for folder in ("notebooks", "tools", "helpers", "book", "benchmarks"):
        shutil.copytree(ROOT / folder, root / folder, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "README.md", root / "README.md")
    with pytest.MonkeyPatch.context() as patch:
        nowhere = "http://127.0.0.1:9"
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(name, nowhere)
        patch.setenv("CNN_HOMEWORK_DATA", str(root / "no-data"))
        patch.setenv("XDG_CACHE_HOME", str(root / "no-cache"))
        return publish.quick_book(Project.at(root))


@pytest.fixture(scope="session")
def book_site(tmp_path_factory, request) -> Path:
    """The HTML of the book itself, built once as the README types it; nobody may write in it."""

    def make(folder: Path) -> None:
        command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/"]
        command += ["-W", "-n", "--keep-going", "--path-output", str(folder)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr

    site = made_once("book-site", tmp_path_factory, request.config, make)
    return site / "_build" / "html"


NEEDS_BROWSER = 'needs the extra "browser": pip install -e ".[browser]"'


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A headless Chromium, of the system's."""
    playwright = pytest.importorskip("playwright.sync_api", reason=NEEDS_BROWSER)
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        # No sandbox: where the tests run as root, as in a container, Chromium has none.
        chromium = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, from the Python package that carries it."""
    pytest.importorskip("axe_playwright_python", reason=NEEDS_BROWSER)
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
