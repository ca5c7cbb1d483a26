"""The solutions in a notebook's cells, and what stands in their place where a student writes them.

A solution stands between the lines `### BEGIN SOLUTION` and `### END SOLUTION`; the first may say
what to write, `### BEGIN SOLUTION: the seven layers, in order`. A Markdown cell with the tag
`answer` is a solution as a whole, but for the headings that it begins with; a comment in it may say
what is asked, `<!-- note: asked: Why does it take longer? -->`.
"""

import ast
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from catalogue import CatalogueError

MARK = re.compile(r"(?P<indent>\s*)### (?P<which>BEGIN|END) SOLUTION(?::\s*(?P<asked>.*\S))?\s*")
ASKED = re.compile(r"<!-- note: asked: (.*?\S)\s*-->", re.DOTALL)
CODE = (
    r"(?P<code>^(?P<fence>```+|~~~+).*?^(?P=fence)"
    r"|(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))"
)
COMMENT = r"<!--(?:(?!-->).)*-->"
COMMENT_OR_CODE = re.compile(
    rf"{CODE}|^[ \t]*(?:{COMMENT}[ \t]*)+(?:\n|\Z)|{COMMENT}", re.DOTALL | re.MULTILINE
)
HEADING = re.compile(
    rf"{CODE}|^(?P<level>\#{{1,6}})[ \t]+(?P<words>[^\n]*)", re.DOTALL | re.MULTILINE
)
FOLD = re.compile(
    r"\n*<details\b[^>]*>\s*<summary\b[^>]*>(?P<summary>.*?)</summary>.*?</details>",
    re.DOTALL | re.IGNORECASE,
)
WIDTH = 88  # of a stub's line


class EditionError(CatalogueError):
    """A source from which no edition for students can be made; the message names the cell."""


@dataclass(frozen=True)
class Region:
    """A solution in a cell's code: the numbers of its marks' lines, from 1, and what it asks."""

    begin: int
    end: int
    indent: str
    asked: str

    def holds(self, node: ast.AST) -> bool:
        """Tell whether a node of the cell's syntax tree begins inside the region."""
        return self.begin < node.lineno < self.end


def regions(source: str, cell: str) -> list[Region]:
    """Return the solutions in the source of the cell called `cell`.

    Raises `EditionError` for a mark without its partner, or with another indentation than that.
    """
    found, opened = [], None
    for number, line in enumerate(source.split("\n"), start=1):
        mark = MARK.fullmatch(line)
        if mark is None:
            if re.search(r"(BEGIN|END) SOLUTION", line):
                raise EditionError(f"cell {cell}, line {number}: {line.strip()!r} is no mark")
        elif mark["which"] == "BEGIN":
            if opened is not None:
                raise EditionError(f"cell {cell}, line {number}: a solution inside a solution")
            opened = number, mark
        elif opened is None or opened[1]["indent"] != mark["indent"]:
            raise EditionError(f"cell {cell}, line {number}: this end has no beginning above it")
        else:
            found.append(Region(opened[0], number, mark["indent"], opened[1]["asked"] or ""))
            opened = None
    if opened is not None:
        raise EditionError(f"cell {cell}, line {opened[0]}: this solution has no end")
    return found


def with_marks_inside(source: str, cell: str) -> str:
    """Return the source with the marks of whole definitions moved into the functions' bodies.

    So the functions are there, and only calling one fails, while its answer is to be written.
    Raises `EditionError` when definitions would be lost behind a solution at module level.
    """
    tree, lines = _tree(source, cell), source.split("\n")
    before: dict[int, list[str]] = {}
    for region in regions(source, cell):
        inside = [node for node in tree.body if region.holds(node)]
        if region.indent or not inside:
            continue
        if not all(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in inside):
            lost = [n for n in tree.body if isinstance(n, DEFINITIONS) and n.lineno > region.end]
            if lost:
                raise EditionError(
                    f"cell {cell}: {lost[0].name} stands behind a solution at module level, so it "
                    "would not be there until that is written; give it a cell of its own"
                )
            continue
        lines[region.begin - 1] = lines[region.end - 1] = None
        for function in (f for node in inside for f in _functions(node)):
            first, last = _body(function, cell)
            indent = " " * function.body[0].col_offset
            asked = f": {region.asked}" if region.asked else ""
            before.setdefault(first, []).append(f"{indent}### BEGIN SOLUTION{asked}")
            before.setdefault(last + 1, []).append(f"{indent}### END SOLUTION")
    moved = []
    for number, line in enumerate([*lines, None], start=1):
        moved += before.get(number, [])
        moved += [] if line is None else [line]
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(moved)).strip("\n") if before else source


DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


def stubbed(source: str, cell: str) -> str:
    """Return the source of a cell with a stub in place of each solution, and all else as it is.

    A stub raises `NotImplementedError` with a sentence that names what is to be written.
    """
    if not regions(source, cell):
        return source
    source = with_marks_inside(source, cell)
    found, tree, lines = regions(source, cell), _tree(source, cell), source.split("\n")
    for region in reversed(found):
        sentence = _sentence(tree, region, found)
        lines[region.begin - 1 : region.end] = _stub(sentence, region.indent)
    return "\n".join(lines)


def with_requests(source: str, cell: str) -> str:
    """Return the source of a cell with a comment above each solution that says what to write."""
    if not regions(source, cell):
        return source
    source = with_marks_inside(source, cell)
    found, tree, lines = regions(source, cell), _tree(source, cell), source.split("\n")
    for region in reversed(found):
        request = textwrap.wrap(_sentence(tree, region, found), WIDTH - len(region.indent))
        lines[region.begin - 1 : region.begin - 1] = [f"{region.indent}# {r}" for r in request]
    return "\n".join(lines)


def question_and_answer(source: str, points: float | None) -> tuple[str, str]:
    """Return what a Markdown answer becomes for a student: the prompt, and the answer taken out."""
    heads = re.match(r"(?:#{1,6} [^\n]*\n*|\s*\n)*", source).end()
    asked = "".join(f" {text}" for text in ASKED.findall(source))
    worth = f" ({points:g} point{'' if points == 1 else 's'})" if points else ""
    prompt = f"{plain(source[:heads])}\n\n*Your answer{worth}:*{asked}".strip()
    return prompt, plain(source[heads:]).strip()


def plain(text: str) -> str:
    """Return Markdown without its HTML comments, such as stamps; those in code stay."""
    return COMMENT_OR_CODE.sub(lambda found: found["code"] or "", text).rstrip("\n")


def headings(text: str) -> list[tuple[int, int, str]]:
    """Return the headings of Markdown: where each begins, its level and its words."""
    found = [match for match in HEADING.finditer(text) if match["level"]]
    return [(match.start(), len(match["level"]), match["words"].strip()) for match in found]


def without_solutions(texts: list[str]) -> list[str]:
    """Return a notebook's Markdown cells without the folded solutions of its exercises.

    These are all folds below a heading with the word "exercise", and those whose summary says
    "solution" anywhere. Other folds, such as answers to "predict first", stay.
    """
    level, cleaned = 0, []  # the level of the heading of the exercises that we are in, or 0
    for text in texts:
        starts = [0, *(start for start, _, _ in headings(text)), len(text)]
        kept = ""
        for start, end in pairwise(starts):
            part = text[start:end]
            for _, depth, words in headings(part)[:1]:
                if re.search(r"\bexercises?\b", words, re.IGNORECASE):
                    level = level or depth
                elif depth <= level:
                    level = 0
            kept += FOLD.sub(_left_of_a_fold if not level else "", part)
        cleaned.append(kept)
    return cleaned


def _left_of_a_fold(fold: re.Match) -> str:
    return "" if re.search(r"\bsolutions?\b", fold["summary"], re.IGNORECASE) else fold.group()


def _tree(source: str, cell: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise EditionError(f"cell {cell}, line {error.lineno}: not plain Python") from None


def _functions(node: ast.AST) -> Iterator[ast.FunctionDef]:
    """Yield a definition, or the methods of a class."""
    if isinstance(node, ast.FunctionDef):
        yield node
    elif isinstance(node, ast.ClassDef):
        for child in node.body:
            yield from _functions(child)


def _body(function: ast.FunctionDef, cell: str) -> tuple[int, int]:
    """Return the first and the last line of a function's body, its docstring apart."""
    first = function.body[0]
    if ast.get_docstring(function) is not None and len(function.body) > 1:
        return first.end_lineno + 1, function.end_lineno
    if first.lineno <= function.lineno or ast.get_docstring(function) is not None:
        raise EditionError(f"cell {cell}: {function.name} has no body that could be written")
    return first.lineno, function.end_lineno


def _sentence(tree: ast.Module, region: Region, found: list[Region]) -> str:
    """Return what a stub says: the name of what is to be written, and what it is."""
    chain = list(_around(tree, region))
    if not chain:
        inside = [node for node in tree.body if region.holds(node)]
        names = dict.fromkeys(name for node in inside for name in _made(node))
        what = " and ".join(f"`{name}`" for name in names) or "the missing lines"
        return f"Write {what}: {region.asked}" if region.asked else f"Write {what}."
    inner, name = chain[-1], ".".join(node.name for node in chain)
    documented = ast.get_docstring(inner)
    given = [n for n in inner.body[documented is not None :] if not any(r.holds(n) for r in found)]
    what = f"the missing lines of `{name}`" if given else f"`{name}`"
    asked = region.asked or _first_sentence(documented or "")
    return f"Write {what}: {asked}" if asked else f"Write {what}."


def _around(node: ast.AST, region: Region) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Yield the definitions around a region, the outermost first."""
    for child in ast.iter_child_nodes(node):
        if getattr(child, "lineno", region.end) < region.begin < (child.end_lineno or 0):
            if isinstance(child, DEFINITIONS):
                yield child
            yield from _around(child, region)


def _made(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement at module level makes."""
    if isinstance(node, DEFINITIONS):
        yield node.name
    else:
        for child in ast.walk(node):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                yield child.id


def _first_sentence(text: str) -> str:
    """Return the first sentence of a docstring, to go on behind a colon."""
    sentence = re.split(r"(?<=[.])\s|[;:](?=\s)", " ".join(text.split()), maxsplit=1)[0]
    return sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() else sentence


def _stub(sentence: str, indent: str) -> list[str]:
    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)

    line = f"{indent}raise NotImplementedError({quoted(sentence)})"
    if len(line) <= WIDTH:
        return [line]
    parts = textwrap.wrap(sentence, WIDTH - len(indent) - 8, break_long_words=False)
    parts = [part + " " for part in parts[:-1]] + parts[-1:]
    return [
        f"{indent}raise NotImplementedError(",
        *(f"{indent}    {quoted(part)}" for part in parts),
        f"{indent})",
    ]
