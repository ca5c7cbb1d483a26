"""A check made of named parts, so that a half-right answer earns its half and knows the rest."""

import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from textwrap import indent

from helpers.checks.answers import require_written, undisturbed
from helpers.checks.errors import CheckError, NotWrittenYet
from helpers.errors import ReaderError

Part = Callable[[object], None]

# What the part that is running has to say besides.
_notes: list[str] = []
_suspicions: list[str] = []


def note(words: str) -> None:
    """Have `words` printed below the check's line if the answer passes; for a part to call."""
    _notes.append(words)


def suspect(words: str) -> None:
    """Make `words` the likely mistake if the part fails and names none; for a part to call."""
    _suspicions.append(words)


@dataclass(frozen=True)
class Score:
    """How many of `total` parts an answer passed, and the reason of each that it did not."""

    passed: int
    total: int
    reasons: tuple[str, ...]


class Check:
    """What judges one answer: parts, each a function of the answer that raises `CheckError`.

    `name` is that of the answer, and `success` what is true of one that passes. Calling the check
    raises the first part's failure, or prints a line. A part must not pass for an answer that does
    nothing, or points would be given for it.
    """

    def __init__(self, name: str, success: str):
        self.name, self.success = name, success
        self.parts: dict[str, Part] = {}
        self.notes: dict[str, None] = {}  # of the parts that passed last, each once, in order
        self.__doc__ = f"Check `{name}`; raises `CheckError` or `NotWrittenYet`."

    def part(self, name: str) -> Callable[[Part], Part]:
        """Add the decorated function as the part called `name`."""

        def add(part: Part) -> Part:
            self.parts[name] = part
            return part

        return add

    def outcomes(self, answer: object) -> Iterator[tuple[str, ReaderError | None]]:
        """Yield each part's name with what it raised, or None."""
        self.notes.clear()
        for name, part in self.parts.items():
            _notes.clear()
            _suspicions.clear()
            with undisturbed():
                try:
                    if not isinstance(answer, type):
                        require_written(self.name, answer)
                    part(answer)
                    failure = None
                    self.notes |= dict.fromkeys(_notes)
                except (CheckError, NotWrittenYet) as error:
                    failure = _suspected(error)
            yield name, failure

    def __call__(self, answer: object) -> None:
        for _, failure in self.outcomes(answer):
            if failure is not None:
                raise failure
        print(f"✓ {self.name}: {self.success}")
        self.print_notes()

    def print_notes(self) -> None:
        """Print what the parts noted of an answer that passes."""
        for words in self.notes:
            print(f"  Note: {words}")


def _suspected(failure: ReaderError) -> ReaderError:
    if isinstance(failure, CheckError) and not failure.hint and _suspicions:
        suspected = CheckError(str(failure), _suspicions[0])
        suspected.__cause__ = failure.__cause__
        return suspected
    return failure


def score(check: Check, answer: object) -> Score:
    """Return how much of `answer` is right; raises nothing for a wrong or unwritten one."""
    failures = [failure for _, failure in check.outcomes(answer)]
    reasons = tuple(str(failure) for failure in failures if failure is not None)
    return Score(len(failures) - len(reasons), len(failures), reasons)


def graded(check: Check, answer: object, points: float) -> float:
    """Print a line for each part of `check`, ✓ or ✗ with its reason, and return the points earned.

    All parts weigh the same. An answer that is not written yet earns nothing. What it writes to
    the error stream goes to the output instead: for a warning there nbgrader would give no points.
    """
    with redirect_stderr(sys.stdout):
        outcomes = list(check.outcomes(answer))
    if all(isinstance(failure, NotWrittenYet) for _, failure in outcomes):
        print(f"✗ {outcomes[0][1]} (0 of {points:g} points)")
        return 0.0
    said = set()
    for name, failure in outcomes:
        if failure is None:
            print(f"✓ {check.name}: {name}")
            continue
        repeated = failure.hint in said if isinstance(failure, CheckError) else False
        reason = "for the same reason" if repeated else indent(str(failure), "  ").lstrip()
        print(f"✗ {check.name}: {name}\n  {reason}")
        if isinstance(failure, CheckError) and failure.hint:
            said.add(failure.hint)
    passed = sum(failure is None for _, failure in outcomes)
    if passed == len(outcomes):
        check.print_notes()
    earned = round(float(points) * passed / len(outcomes), 2)
    print(f"{passed} of {len(outcomes)} parts: {earned:g} of {points:g} points")
    return earned
