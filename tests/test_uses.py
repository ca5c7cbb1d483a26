"""What a notebook uses of `helpers`: what counts as a change for it, and what does not."""

import ast
import re

import pytest
import uses
from catalogue import CatalogueError, Project, read_notebook
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

TRAINING = '''\
"""The loop."""

from helpers import data, layers
from helpers.progress import Progress
from helpers.runtime import Stopwatch as Watch
from helpers.checkpoints import save as save

RATE = 0.1  # of each step
OTHER = 7
FIRST, LAST = 0, 1


def train(model, loss):
    """Train `model`."""
    with Watch():
        (loss + _penalty(model)).backward()
    return layers.ORDER, data.mnist()


def _penalty(model):
    return RATE * FIRST


def never_called():
    return OTHER
'''
MODULES = {
    "training": TRAINING,
    "runtime": "class Stopwatch:\n    seconds = 0\n\n\nclass Unused:\n    pass\n",
    "layers": "ORDER = [2, 1]\n\n\n@register\ndef _(value):\n    return ORDER\n",
    "checkpoints": "def save(content):\n    return _write(content)\n\n\n"
    "def _write(content):\n    from helpers.figures import look\n\n    return look\n",
    "figures": "def look(ax):\n    return ax\n\n\ndef unseen():\n    pass\n",
    "progress": "class Progress:\n    pass\n",
    "data": "def mnist():\n    return 1\n",
    "checks/hw7": "def train(answer):\n    return answer\n",
    "checks/__init__": "",
    "__init__": '"""The package."""\n',
}
CELLS = (
    "%matplotlib inline\nfrom helpers import checks, training",
    "history = training.train(model, loss)\nchecks.train(history)",
)


def notebook(*cells):
    bootstrap = new_code_cell("from helpers import figures\nfigures.look", id="bootstrap")
    bootstrap.metadata["tags"] = ["bootstrap"]
    text = new_markdown_cell("`training.never_called` is not code.")
    return new_notebook(cells=[bootstrap, text, *map(new_code_cell, cells)])


@pytest.fixture
def used(tmp_path):
    """Return a function: what the cells use of the package, with some of its text replaced."""

    def of(*cells, **replaced):
        for name, text in MODULES.items():
            path = tmp_path / "helpers" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            old, new = replaced.get(name, ("", ""))
            assert old in text
            path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return uses.uses(tmp_path, notebook(*(cells or CELLS)))

    return of


def test_names_are_followed_from_the_notebook_to_the_last_one(used):
    assert list(used()) == [
        "layers",  # what is registered when the module is imported
        "layers.ORDER",
        "runtime.Stopwatch",
        "training.FIRST",
        "training.LAST",  # of the same statement
        "training.RATE",
        "training._penalty",
        "training.train",
    ]


@pytest.mark.parametrize(
    "cell, expected",
    [
        ("from helpers.training import _penalty as p\np(1)", "training._penalty"),
        ("from helpers import training as t\nt.save(1)", "checkpoints._write figures.look"),
        ("def f():\n    from helpers import figures\n    return figures.look", "figures.look"),
        ("from helpers import figures\ngetattr(figures, name)", "figures.look figures.unseen"),
        ("from helpers import runtime\nclass My(runtime.Stopwatch): pass", "runtime.Stopwatch"),
        ("from helpers import training\nx = training.LAST", "training.LAST"),
    ],
)
def test_every_way_to_name_something_counts(used, cell, expected):
    assert set(expected.split()) <= used(cell).keys()


@pytest.mark.parametrize(
    "module, old, new, changed",
    [
        ("training", "(loss", "(-loss", "train"),
        ("training", "RATE = 0.1", "RATE = 0.2", "RATE"),
        ("training", "FIRST, LAST = 0, 1", "FIRST, LAST = 1, 1", "FIRST LAST"),
        ("training", "RATE * FIRST", "RATE * OTHER", "FIRST LAST OTHER _penalty"),
        ("runtime", "seconds = 0", "seconds = 0.0", "runtime.Stopwatch"),
        ("runtime", "seconds = 0", "seconds = '0'", "runtime.Stopwatch"),
        ("layers", "return ORDER", "return ORDER[0]", "layers"),
        ("layers", "@register\n", "@register(int)\n", "layers"),
        ("layers", "[2, 1]", "None", "layers.ORDER"),
        # None of these is a change.
        ("training", '"""Train `model`."""', '"""Train it."""', ""),
        ("training", '    """Train `model`."""\n', "", ""),
        ("training", "  # of each step", "", ""),
        ("training", '"""The loop."""', "", ""),
        ("training", "RATE * FIRST", "(RATE  *\n            FIRST)", ""),
        ("training", "return OTHER", "return -OTHER", ""),
        ("training", "OTHER = 7", "OTHER = 8", ""),
        ("runtime", "class Unused:\n    pass", "", ""),
        ("figures", "return ax", "return 2 * ax", ""),
        ("progress", "pass", "x = 1", ""),
        ("data", "return 1", "return 2", ""),
        ("checks/hw7", "return answer", "return not answer", ""),
    ],
)
def test_a_change_counts_for_those_that_use_it(used, module, old, new, changed):
    found = uses.changes(used(), used(**{module: (old, new)}))
    names = [
        name if "." in name or name == "layers" else f"training.{name}" for name in changed.split()
    ]
    assert found == sorted(names)


def test_what_later_pythons_add_to_a_tree_is_no_change():
    (function,) = ast.parse("def f(x: int) -> int:\n    return f'{x}'").body
    before = uses._digest([function])
    function.type_params, function.type_comment = [], None
    assert uses._digest([function]) == before
    function.body[0].value = None
    assert uses._digest([function]) != before


@pytest.mark.parametrize(
    "cell, words",
    [
        ("import helpers.training", "`import helpers.training` does not tell what is used"),
        ("def f(:", "the notebook's code: line 1 is not Python"),
    ],
)
def test_what_cannot_be_followed_is_said(used, cell, words):
    with pytest.raises(CatalogueError, match=re.escape(words)):
        used(cell)


def test_a_loss_with_the_wrong_sign_concerns_each_chapter_that_trains_with_it():
    sources = {entry.name: Project().source(entry.name) for entry in Project().ready()}
    used = {name: uses.uses(ROOT, read_notebook(path)) for name, path in sources.items()}
    concerned = {name for name, names in used.items() if "training.train" in names}
    assert concerned == {"hw7", "custom_lenet5", "cifar10_resnet"}
