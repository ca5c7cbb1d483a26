"""Answers to a check, right ones and wrong ones, made from a right one by changing its text."""

import textwrap
from collections.abc import Iterable
from types import ModuleType

from helpers import checks


def edited(source: str, changes: Iterable[tuple[str, str]]) -> str:
    """Return `source` with each `old` made `new`; an `old` that does not occur fails the test."""
    for old, new in changes:
        assert old in source, f"{old!r} does not occur"
        source = source.replace(old, new)
    return textwrap.dedent(source)


def judged(chapter: ModuleType, name: str, answer: object, capsys) -> tuple[int, str]:
    """Return how many parts of a chapter's check an answer fails, and what is printed of each."""
    check = getattr(chapter, name)
    points = len(check.parts)
    failed = points - checks.graded(check, answer, points)
    out = capsys.readouterr()
    assert "Traceback" not in out.out + out.err
    return round(failed), out.out
