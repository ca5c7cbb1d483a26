"""Answer checks: each prints a line that begins with ✓, or raises and says what is wrong.

`equal`, `shape`, `close` and `true` compare single values. A module for each chapter, such as
`hw7`, has one `Check` for each thing that the assignment asks a student to write; `score` and
`graded` say how much of an answer is right.
"""

from helpers.checks import custom_lenet5, hw7, numpy_lenet, sgd_variants
from helpers.checks.comparisons import close, equal, shape, true
from helpers.checks.errors import CheckError, NotWrittenYet
from helpers.checks.parts import Check, Score, graded, score

__all__ = [
    "Check",
    "CheckError",
    "NotWrittenYet",
    "Score",
    "close",
    "custom_lenet5",
    "equal",
    "graded",
    "hw7",
    "numpy_lenet",
    "score",
    "sgd_variants",
    "shape",
    "true",
]
