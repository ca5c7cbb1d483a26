"""A small chapter in the form of a converted notebook: kinds, solutions, points, stamps, folds."""

import stamp
from conftest import PARAMETERS, REF, TITLE, URL
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

SETUP = """\
# @title Show the imports
import matplotlib.pyplot as plt
import numpy as np

from helpers import checks, data, runtime

images, labels = np.zeros((2, 1, 28, 28), np.uint8), np.zeros(2, np.int64)
digits = data.ImageDataset(
    "stand-in digits", False, images, labels, images, labels, tuple("0123456789"), "sha256:0", "",
)
run = runtime.Run("sample", seed=0, dataset=digits, device="cpu", parameters={"steps": steps})"""

# What helpers/checks/hw7.py is for its chapter.
CHECKS = """\
# @title Show the checks
from helpers.checks import Check, CheckError
from helpers.checks.answers import attempt

checks.squares = Check("squares", "the squares of the numbers")
checks.net = Check("Net", "a network whose forward pass doubles")


def _expect(got, expected, hint):
    if got != expected:
        raise CheckError(f"expected {expected}, got {got}", hint)


@checks.squares.part("positive numbers")
def _(squares):
    got = attempt("squares([1, 2])", lambda: squares([1, 2]))
    _expect(got, [1, 4], "the numbers doubled")


@checks.squares.part("negative numbers")
def _(squares):
    got = attempt("squares([-1, -2])", lambda: squares([-1, -2]))
    _expect(got, [1, 4], "the sign is kept")


@checks.net.part("forward")
def _(Net):
    got = attempt("Net().forward(3)", lambda: Net().forward(3))
    _expect(got, 6, "the input is returned as it is")"""

SQUARES = '''\
def squares(numbers):
    """Return the square of each number. The order is kept."""
    ### BEGIN SOLUTION
    result = [number**2 for number in numbers]
    return result
    ### END SOLUTION


def total(numbers):
    """Return the sum, which other questions need too."""
    return sum(numbers)'''

NET = '''\
class Net:
    def forward(self, X):
        ### BEGIN SOLUTION: twice the input
        return 2 * X
        ### END SOLUTION

    def describe(self):
        return "a network"'''

LOOP = """\
# @title Show the code of this table
models = {}
for name in ("one", "two"):
    models[name] = Net().forward(3)
print("trained:", models)
run.record("models", models)"""

FIGURE = """\
# @title Show the code of this figure
figure, axes = plt.subplots()
axes.plot(squares(range(steps)))
plt.show()"""

TABLE = '# @title Show the code of this table\nprint("best:", max(models.values()))'

SCALE = """\
### BEGIN SOLUTION
scale, shift = 255, 0.5
### END SOLUTION
print("scale:", scale)"""

DISCUSSION = """\
### What follows?

<!-- note: asked: Why is the square never negative? -->
Because $(-x)(-x) = x^2$, in **100**<!-- models.one | .0f --> of 100 cases."""

PREDICT = """\
Predict first: is it **3**<!-- models.one | .0f --> or more?
<!-- holds: models.one > 2 -->

<details><summary>Answer</summary>

It is more.

</details>"""

EXERCISES = """\
## Exercises

1. What is $0^2$? Write `<!-- not a stamp -->`.

<details>
<summary>Answer</summary>

Nothing, $0$.

</details>

2. And $1^2$?

<details><summary>Answer</summary>One.</details>

## Summary

It ran."""


def chapter() -> NotebookNode:
    """Return the source of the chapter; it runs in a second or two."""

    def code(name: str, kind: str, source: str, **metadata: object) -> NotebookNode:
        return new_code_cell(source, id=name, metadata={"tags": [kind], **metadata})

    return new_notebook(
        cells=[
            new_markdown_cell(TITLE, id="title"),
            new_code_cell(
                stamp.bootstrap_cell(URL, REF),
                id="bootstrap",
                metadata={"tags": ["bootstrap", "remove-cell"]},
            ),
            code("parameters", "parameters", PARAMETERS),
            code("setup", "set-up", SETUP),
            code("checks", "set-up", CHECKS),
            new_markdown_cell("## (a) Squares [4 points]", id="squares-text"),
            code("squares", "answer", SQUARES),
            code("squares-check", "check", "checks.squares(squares)", points=4),
            new_markdown_cell("## (b) A network [8.5 points]", id="net-text"),
            code("net", "answer", NET),
            code("net-check", "check", "checks.net(Net)", points=2.5),
            code("loop", "report", LOOP, points=1),
            code("figure", "report", FIGURE),
            code("table", "report", TABLE),
            new_markdown_cell(
                DISCUSSION, id="discussion", metadata={"tags": ["answer"], "points": 3}
            ),
            code("scale", "answer", SCALE, points=2),
            code("scaled", "report", '# @title Show it\nprint("scaled:", shift * scale)'),
            new_markdown_cell(PREDICT, id="predict"),
            new_markdown_cell(EXERCISES, id="exercises"),
            code("finish", "set-up", "# @title Show the end\nrun.finish()"),
        ],
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
    )
