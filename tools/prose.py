"""Numbers, statements and lists in prose that follow the published results.

    python tools/prose.py            write today's values wherever they stand in the prose
    python tools/prose.py --check    write nothing, and say what is out of date or wrong

The prose is README.md, every page book/*.md, and the Markdown cells of the published notebooks,
in their sources and in their executed copies alike. An executed copy records the hash of its
source; writing moves that hash along, so that a new value never makes a run stale. `make book` and
every command of tools/publish.py that puts a run into the book write too, and the gate (and with
it a test) refuses whatever `--check` reports. The numbers are those of `book/results/`: a scratch
book of quick runs keeps the published ones. results.md is written by tools/pages.py as a whole.

A stamp is an HTML comment directly behind a number. It shows nowhere: not on the site, in Colab,
in JupyterLab or on GitHub.

    `M_no` takes **3.2**<!-- M_no.train_seconds / M_max.train_seconds | .1f --> times as long.

Before the last | stands an expression, behind it how Python is to format its value:

    .1f     3.2            two numbers in a range carry a stamp each: 2.1<!-- … -->–3.4<!-- … --> s
    .2%     99.31 %        the per cent sign, and the space before it, belong to the stamp; a number
                           of percentage points is written 100 * (a - b) | .1f
    ,       60 000         thousands are set off by a no-break space
    +.1f    −0.4           a minus sign, not a hyphen
    s       a name: one word, or any words between ** **, * * or ` `

Every other unit stands behind the comment: `2.3<!-- M_max.train_seconds / 60 | .1f --> min`. A
number that is not known yet is written `?`. In a row of a table, | is written \\|, or it would end
the cell there.

A condition says what a statement hangs on. It stands behind the statement, at the end of a line or
on a line of its own below the paragraph; when it no longer holds, a person rewrites the sentence.

    <!-- holds: M_max.test_accuracy - M_no.test_accuracy > 2 * M_max.seed_deviation -->

An expression is Jinja's, in its sandbox: arithmetic, comparisons, `and`, `or`, `not`, `in` and
`a if b else c`. `hw7.M_no.steps` is the key M_no, steps of book/results/hw7.json; within hw7 itself
`M_no.steps` will do. `benchmarks.numpy_lenet.rounds` is the key rounds of what the benchmark saved
in benchmarks/results/numpy_lenet.json. A key that is not a name stands in brackets:
`lab2.l1_strengths["1e-05"]`; entries of a list count from 0. There are min, max, sum, len, mean and
spread (the sample standard deviation), which take a list or a table, or several numbers, and abs
and round. What takes more than that belongs into the results, where the run records it.

A block is a part of a page that a function of tools/pages.py writes (`BLOCKS` there lists them):

    <!-- block: chapters -->
    …
    <!-- end of block -->

Any other comment is refused, lest a mistyped one go unnoticed; a remark is `<!-- note: … -->`.
Comments inside code are code, and nothing happens to them.

A number in digits with a unit or per cent sign, or behind ±, that carries no stamp is refused: it
may have been typed. The ones that no run of ours made (targets of an assignment, figures of a
paper, sizes of data) are listed with the reason in tools/prose.toml. Code, formulas, addresses and
the points in a heading (`## (b) Time [25 points]`) are not looked at.
"""

import argparse
import json
import re
import statistics
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pages
from catalogue import CatalogueError, Entry, Project, raw_notebook, rewrite_cells
from jinja2 import StrictUndefined, TemplateError, Undefined, meta
from jinja2.sandbox import SandboxedEnvironment
from markdown_it import MarkdownIt

NO_BREAK = "\u00a0"
MINUS = "\u2212"
COMMAND = "python tools/prose.py"

# What stands in a text's place where it must not be read, of the same length.
HIDDEN, STAMPED, COMMENT = "\ue000", "\ue001", "\ue002"

SPACES = " \u00a0\u2009\u202f"
DIGITS = (
    rf"(?<!\w)(?<!\d[.,])(?:\d{{1,3}}(?:[{SPACES},]\d{{3}})+(?!\d)|\d+)(?:\.\d+)?"  # 60 000 or 1.5
)
SIGNED = rf"(?:(?<![\w)\]])[+{MINUS}-])?{DIGITS}"
PER_CENT = rf"(?:[{SPACES}]?%)"

# Left to right, so that a comment in code is code, and a backtick in a comment is a comment.
INLINE = re.compile(
    r"""
      (?P<escaped> \\[\\`$<] )
    | (?P<comment> <!--.*?--> )
    | (?P<unclosed> <!-- )
    | (?P<code> (?<!`)(?P<ticks>`+)(?!`) (?:[^\n]|\n(?!\s*\n))+? (?<!`)(?P=ticks)(?!`) )
    | (?P<formula> \$\$.+?\$\$ | \$(?:\\.|[^$\\\n]|\n(?!\s*\n))+?\$
        | \\begin\{(?P<name>\w+\*?)\}.*?\\end\{(?P=name)\} )
    | (?P<target> (?<=\])\((?:[^()\n]|\([^()\n]*\))*\) | https?://[^\s<>)\]]+ )
    | (?P<tag> </?[A-Za-z][^<>]*> )
    """,
    re.VERBOSE | re.DOTALL,
)
MARKDOWN = MarkdownIt("commonmark").enable("table")
CODE_DIRECTIVES = ("code", "code-block", "code-cell", "literalinclude", "math", "eval-rst", "raw")

GAP = rf"(?:[{COMMENT}*_]|[^\S\n]|\n(?!\s*\n))*"
UNITS = r"""
    %|‰|per\s?cent\b|percentage\s+points?\b|points?\b|pp\b
    |[mµμn]s\b|min\b|milliseconds?\b|microseconds?\b|seconds?\b|minutes?\b|hours?\b|days?\b
    |[kKMGT]i?B\b|bytes?\b|[KMGT]?FLOP[Ss]?\b|[MG]Hz\b
    |times\b|fold\b|(?:[\w-]+\s+)?(?:per|a)\s+(?:second|minute|hour|day)\b|[\w-]+/s\b
"""
QUANTITY = re.compile(
    rf"""
    (?P<numbers>
      (?:(?:{SIGNED})|\d+,\d+|{STAMPED}+)
      (?:{GAP}(?:[–—±/-]|to\b|and\b|or\b){GAP}(?:(?:{DIGITS})|{STAMPED}+))*
    )
    (?: {GAP}-?(?:{UNITS})
      | {GAP}[×](?!\s*[\d{HIDDEN}{STAMPED}])       # 3.2× as long, but not 28 × 28
      | {GAP}(?<=[\s*_{COMMENT}])[sh]\b            # 3 s, but not "all 3s"
      | (?<=\.\d)[sh]\b | (?<=\.\d\d)[sh]\b
      | x\b                                        # 3.2x as long, but not 28x28
    )
    | ±{GAP}(?P<deviation>{DIGITS})
    """,
    re.VERBOSE,
)
HEADING = re.compile(r"(?m)^ {0,3}#+ .*$")
POINTS = re.compile(r"\[[^\[\]]*\bpoints?\]")
SENTENCE_END = re.compile(rf"[.!?][*_)\"”’{COMMENT}]*\s+|\n\s*\n|\n(?=\s*(?:[-*|#>]|\d+\.)\s?)")


class ProseError(ValueError):
    """A stamp or condition cannot be read; the message goes on from its place and sentence."""


@dataclass(frozen=True)
class Finding:
    """Something that may not stay: the sentence in which it stands, and what to do about it."""

    sentence: str
    message: str

    def __str__(self) -> str:
        return f"“{self.sentence}”: {self.message}" if self.sentence else self.message


@dataclass
class Reading:
    """What a text says when its stamps and blocks are written anew, and what is wrong with it.

    `drifted` is what writing mends, `faults` what a person must mend; `unstamped` are the numbers
    with a unit, as pairs (start, end) of their places in `base`, the text with its blocks written.
    """

    text: str
    base: str = ""
    drifted: list[Finding] = field(default_factory=list)
    faults: list[Finding] = field(default_factory=list)
    unstamped: list[tuple[int, int]] = field(default_factory=list)


# --- expressions


def _entries(items: tuple) -> list:
    """Return what a function was called with: numbers, or the entries of one list or table."""
    if len(items) != 1 or not isinstance(items[0], (list, tuple, dict)):
        return list(items)
    return list(items[0].values() if isinstance(items[0], dict) else items[0])


FUNCTIONS: dict[str, Callable] = {
    "min": lambda *items: min(_entries(items)),
    "max": lambda *items: max(_entries(items)),
    "sum": lambda *items: sum(_entries(items)),
    "len": len,
    "mean": lambda *items: statistics.fmean(_entries(items)),
    "spread": lambda *items: statistics.stdev(_entries(items)),
    "abs": abs,
    "round": round,
}


class ResultsEnvironment(SandboxedEnvironment):
    """Jinja's sandbox over tables of results: a dot means an entry of a table and nothing else."""

    def __init__(self):
        super().__init__(undefined=StrictUndefined)
        self.globals = dict(FUNCTIONS)
        self.filters, self.tests = {}, {}

    def getattr(self, obj, attribute):
        """Return the entry `attribute` of the table `obj`."""
        return self.getitem(obj, attribute)

    def getitem(self, obj, argument):
        """Return the entry `argument` of a table or list; what is not there is undefined."""
        if isinstance(obj, Undefined):
            return obj  # which says what was not there
        if isinstance(obj, (dict, list)):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                known = [repr(key) for key in obj] if isinstance(obj, dict) else []
                there = f"there are: {_some(known)}" if known else f"it has {len(obj)} entries"
                return self.undefined(hint=f"there is no entry {argument!r}; {there}")
        return self.undefined(hint=f"{obj!r} is not a table, and has no entry {argument!r}")


ENVIRONMENT = ResultsEnvironment()


def evaluate(expression: str, names: dict) -> object:
    """Return the value of an expression over the results `names`; `ProseError` if it has none."""
    try:
        compiled = ENVIRONMENT.compile_expression(expression, undefined_to_none=False)
        used = meta.find_undeclared_variables(ENVIRONMENT.parse("{{" + expression + "}}"))
    except TemplateError as error:
        raise ProseError(f"{expression!r} is not an expression: {error.message}") from None
    for name in sorted(used - set(names) - set(FUNCTIONS)):
        raise ProseError(
            f"{expression!r} names no result: no result and no notebook is called {name!r}; "
            f"there are: {_some(sorted(names)) or 'none yet'}"
        )
    try:
        value = compiled(**names)
        if isinstance(value, Undefined):
            str(value)  # raises, and says what is not there
    except TemplateError as error:
        raise ProseError(f"{expression!r} names no result: {error.message}") from None
    except Exception as error:  # whatever a sum of wrong things may raise
        raise ProseError(f"{expression!r} cannot be computed: {error}") from None
    return value


def written(value: object, spec: str) -> str:
    """Return a number or name as the format `spec` writes it in prose."""
    if isinstance(value, str):
        if spec != "s":
            raise ProseError(f"the result is the name {value!r}: its format is s, not {spec!r}")
        if not value.strip() or re.search(r"[*`<>|\n]", value):
            raise ProseError(f"the result {value!r} cannot stand in a sentence")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ProseError(f"the result is {_some([repr(value)])}, not a number or a name")
    try:
        text = format(value, spec)
    except ValueError as error:
        raise ProseError(f"{spec!r} is no format for {value!r}: {error}") from None
    text = text.replace(",", NO_BREAK).replace("-", MINUS)
    text = re.sub("%$", f"{NO_BREAK}%", text)
    if not re.search("[1-9]", text):
        text = text.lstrip(f"{MINUS}+")
    if not re.fullmatch(f"{SIGNED}{PER_CENT}?", text):
        raise ProseError(f"the format {spec!r} writes {text!r}, which is not a plain number")
    return text


def _some(items: list[str]) -> str:
    text = ", ".join(items)
    return text if len(text) <= 300 else text[:299] + "…"


# --- reading a text


@dataclass
class Pieces:
    """The places of a text that are not its prose, as pairs (start, end)."""

    hidden: list[tuple[int, int]] = field(default_factory=list)
    comments: list[tuple[int, int]] = field(default_factory=list)
    unclosed: list[tuple[int, int]] = field(default_factory=list)
    tables: list[tuple[int, int]] = field(default_factory=list)
    raw: list[tuple[int, int]] = field(default_factory=list)

    def add(self, other: "Pieces", offset: int) -> None:
        """Take over the places of a part of the text that begins at `offset`."""
        for name in vars(self):
            places = ((start + offset, end + offset) for start, end in getattr(other, name))
            getattr(self, name).extend(places)


def pieces_of(text: str) -> Pieces:
    """Return what in a Markdown text is code, formula, address, tag, comment and table."""
    pieces = Pieces()
    lines = [0]
    for line in text.split("\n"):
        lines.append(lines[-1] + len(line) + 1)
    lines[-1] = len(text)
    tokens = MARKDOWN.parse(text)
    blocks = []
    for index, token in enumerate(tokens):
        if token.map is None:
            continue
        place = (lines[token.map[0]], lines[token.map[1]])
        directive = re.match(r"\{([\w:-]+)\}", token.info) if token.type == "fence" else None
        if directive and directive[1] not in CODE_DIRECTIVES:
            inside = (lines[token.map[0] + 1], place[1])
            pieces.add(pieces_of(text[slice(*inside)]), inside[0])
            pieces.hidden.append((place[0], inside[0]))
            blocks.append(place)
        elif token.type in ("fence", "code_block"):
            pieces.hidden.append(place)
            blocks.append(place)
        elif token.type == "table_open":
            pieces.tables.append(place)
        elif token.type == "html_block" and _cuts(tokens, index):
            pieces.raw.append(place)
    position = 0
    for start, end in [*sorted(blocks), (len(text), len(text))]:
        # Before a block of code, so that a stray backtick there never pairs with one behind it.
        pieces.add(_inline_pieces(text[position:start]), position)
        position = max(position, end)
    return pieces


def _cuts(tokens: list, index: int) -> bool:
    """Tell whether a comment that begins a line would cut a paragraph in two, or hide a part."""
    token = tokens[index]
    if not token.content.lstrip().startswith("<!--"):
        return False
    if token.content.rstrip().partition("-->")[2].partition("\n")[0].strip():
        return True
    before, after = tokens[index - 1 : index], tokens[index + 1 : index + 2]
    if not (before and after and before[0].type == "paragraph_close"):
        return False
    paragraph = tokens[index - 3]
    adjoins = paragraph.map and paragraph.map[1] == token.map[0]
    return bool(adjoins and after[0].type == "paragraph_open" and after[0].map[0] == token.map[1])


def _inline_pieces(text: str) -> Pieces:
    pieces = Pieces()
    for match in INLINE.finditer(text):
        if match["comment"]:
            pieces.comments.append(match.span())
        elif match["unclosed"]:
            pieces.unclosed.append(match.span())
        elif not match["escaped"]:
            pieces.hidden.append(match.span())
    return pieces


def read(text: str, names: dict, blocks: dict[str, str]) -> Reading:
    """Read a Markdown text: write its blocks and stamps anew, and find what is wrong with it.

    `names` are the results that its expressions see, `blocks` the contents of its blocks by name.
    """
    reading = _read_blocks(text, blocks)
    text = reading.base = reading.text
    pieces = pieces_of(text)
    pieces.comments.sort()
    inside = _inside_blocks(text, pieces)
    edits, seen = [], [*((place, HIDDEN) for place in [*pieces.hidden, *inside])]
    seen += [(place, COMMENT) for place in pieces.comments]
    for start, end in pieces.comments:
        if any(a <= start < b for a, b in inside):
            continue
        body = text[start + 4 : end - 3].strip()
        sentence = sentence_at(text, start)
        try:
            if condition := re.match(r"holds\s*:(.*)", body, re.DOTALL):
                _check_condition(condition[1].strip(), names)
            elif not re.match(r"(?:block|note)\s*:|end of block$", body):
                place, new = _read_stamp(text, start, end, names, pieces)
                seen.append((place, STAMPED))
                if text[slice(*place)] != new:
                    edits.append((place, new))
                    message = _drift(text[slice(*place)], new)
                    reading.drifted.append(Finding(sentence, f"{message}: run {COMMAND}"))
        except ProseError as error:
            reading.faults.append(Finding(sentence, str(error)))
            if meant := re.search(rf"{SIGNED}{PER_CENT}?[*_`]*$", text[:start][-40:]):
                seen.append(((start - len(meant[0]), start), STAMPED))  # told once is enough
    for start, _ in pieces.unclosed[:1]:
        reading.faults.append(
            Finding(sentence_at(text, start), "a comment begins with <!-- and never ends with -->")
        )
    for start, end in pieces.raw:
        shown = " ".join(text[start:end].split())
        reading.faults.append(
            Finding(
                shown,
                "a comment that begins a line ends the paragraph there: put it at the "
                "end of the line before, or below the paragraph",
            )
        )
    reading.unstamped = _unstamped(text, seen)
    for (start, end), new in sorted(edits, reverse=True):
        reading.text = reading.text[:start] + new + reading.text[end:]
    return reading


def _read_blocks(text: str, blocks: dict[str, str]) -> Reading:
    """Return a text with the contents of its blocks written anew."""
    reading = Reading(text)
    if "<!--" not in text:
        return reading
    edits, begun = [], None
    for start, end in sorted(pieces_of(text).comments):
        body = text[start + 4 : end - 3].strip()
        if opening := re.match(r"block\s*:(.*)", body, re.DOTALL):
            if begun:
                reading.faults.append(Finding(body, "the block before it has no end of block"))
            begun = (opening[1].strip(), end)
        elif body == "end of block" and not begun:
            reading.faults.append(Finding(body, "there is no block: NAME before it"))
        elif body == "end of block":
            name, inside = begun
            begun = None
            if name not in blocks:
                there = _some(sorted(blocks)) or "none in a notebook"
                reading.faults.append(
                    Finding(f"block: {name}", f"no such block; there are: {there}")
                )
            elif text[inside:start] != f"\n{blocks[name]}\n":
                reading.drifted.append(
                    Finding(f"block: {name}", f"the block is out of date: run {COMMAND}")
                )
                edits.append((inside, start, f"\n{blocks[name]}\n"))
    if begun:
        reading.faults.append(Finding(f"block: {begun[0]}", "the block has no end of block"))
    for start, end, new in reversed(edits):
        reading.text = reading.text[:start] + new + reading.text[end:]
    return reading


def _inside_blocks(text: str, pieces: Pieces) -> list[tuple[int, int]]:
    """Return what blocks hold: it was written by a function, and is not read again."""
    inside, begun = [], None
    for start, end in pieces.comments:
        body = text[start + 4 : end - 3].strip()
        if re.match(r"block\s*:", body):
            begun = end
        elif body == "end of block" and begun is not None:
            inside.append((begun, start))
            begun = None
    return inside


def _drift(old: str, new: str) -> str:
    if re.sub(rf"[{SPACES},]", "", old).replace("-", MINUS) == re.sub(rf"[{SPACES},]", "", new):
        return f"{old} is not written as its format has it, with no-break spaces and a minus sign"
    return f"says {old}, the results say {new}"


def _check_condition(expression: str, names: dict) -> None:
    value = evaluate(expression, names)
    if value is False:
        raise ProseError(
            f"it no longer holds that {expression}: rewrite the sentence, and the condition with it"
        )
    if value is not True:
        raise ProseError(f"the condition {expression!r} is {value!r}, neither true nor false")


def _read_stamp(
    text: str, start: int, end: int, names: dict, pieces: Pieces
) -> tuple[tuple[int, int], str]:
    """Return the place of what the comment at `start` to `end` stamps, and what it must be."""
    body = text[start + 4 : end - 3].strip()
    if any(a <= start < b for a, b in pieces.tables):
        if re.search(r"(?<!\\)\|", body):
            raise ProseError(f"<!-- {body} --> stands in a table, where | is written \\|")
        body = body.replace("\\|", "|")
    expression, bar, spec = (part.strip() for part in body.rpartition("|"))
    if not (expression and bar and spec):
        raise ProseError(
            f"<!-- {body} --> is neither a stamp (EXPRESSION | FORMAT) nor a condition (holds: "
            "EXPRESSION); a remark is <!-- note: … -->"
        )
    value = evaluate(expression, names)
    try:
        new = written(value, spec)
    except ProseError as error:
        raise ProseError(f"{expression} | {spec}: {error}") from None
    line = text.rfind("\n", 0, start) + 1
    place = _place_of(text[line:start], new, is_name=isinstance(value, str))
    if spec.endswith("%") and re.match(rf"[*_`]*{PER_CENT}", text[end:]):
        raise ProseError(f"the format {spec} writes the per cent sign before the comment")
    return (line + place[0], line + place[1]), new


def _place_of(before: str, new: str, is_name: bool) -> tuple[int, int]:
    """Return where in the line `before` a comment stands the number or name that it stamps."""
    if not is_name:
        sign = rf"{PER_CENT}?" if new.endswith("%") else ""
        # The one character before, so that a hyphen counts as a minus only where a minus can be.
        found = re.search(
            rf"(?P<number>(?:{SIGNED}|(?<![\w)\]])-{DIGITS}){sign}|\?)[*_`]*$", before
        )
        if found:
            return found.span("number")
        wanted = "a per cent sign or a number" if sign else "a number"
        raise ProseError(
            f"the comment must stand directly behind {wanted}, to be written {new}, not behind "
            f"{before[-20:]!r}; a unit goes behind the comment"
        )
    for pattern in (r"\*\*([^*]+)\*\*$", r"(?<!\*)\*([^*]+)\*$", r"`([^`]+)`$"):
        if found := re.search(pattern, before):
            return found.span(1)
    found = re.search(r"([\w.-]+|\?)$", before)
    if found and re.fullmatch(r"[\w.-]+", new):
        return found.span(1)
    raise ProseError(f"the name {new!r} is not one word: put it between ** **, * * or ` `")


def _unstamped(text: str, seen: list[tuple[tuple[int, int], str]]) -> list[tuple[int, int]]:
    """Return the places of the numbers with a unit that carry no stamp.

    `seen` says what stands in the text beside prose: places, and the character that hides each.
    """
    masked = list(text)
    for (start, end), mark in seen:
        masked[start:end] = mark * (end - start)
    masked = "".join(masked)
    masked = HEADING.sub(
        lambda heading: POINTS.sub(lambda points: HIDDEN * len(points[0]), heading[0]), masked
    )
    return [
        match.span()
        for match in QUANTITY.finditer(masked)
        if match["deviation"] or re.search(r"\d", match["numbers"])
    ]


def sentence_at(text: str, position: int) -> str:
    """Return the sentence of a Markdown text at or just before a position, without comments."""
    masked = re.sub(r"<!--.*?-->", lambda match: COMMENT * len(match[0]), text, flags=re.DOTALL)
    while position and (position >= len(masked) or masked[position] in f"{COMMENT} \n"):
        position -= 1
    ends = [match.end() for match in SENTENCE_END.finditer(masked)]
    begin = max((end for end in ends if end <= position), default=0)
    end = min((end for end in ends if end > position), default=len(masked))
    sentence = " ".join(masked[begin:end].replace(COMMENT, "").split())
    return sentence if len(sentence) <= 200 else sentence[:199] + "…"


# --- the project's prose


@dataclass(frozen=True)
class Document:
    """A page, or one Markdown cell: the name of its whole, its place in it, and its text."""

    name: str
    place: str
    text: str
    names: dict
    blocks: dict[str, str]

    def reading(self) -> Reading:
        """Read the text, and write it anew."""
        return read(self.text, self.names, self.blocks)


def results_by_name(project: Project) -> dict[str, dict]:
    """Return the published notebooks' results by name, and under `benchmarks` what those saved.

    A file that holds no table is left out: the gate, or a stamp that names it, says so.
    """
    saved = sorted((project.root / "benchmarks" / "results").glob("*.json"))
    benchmarks = _tables({path.stem: path for path in saved})
    notebooks = _tables({entry.name: project.results(entry.name) for entry in project.published()})
    return notebooks | ({"benchmarks": benchmarks} if benchmarks else {})


def _tables(paths: dict[str, Path]) -> dict[str, dict]:
    """Return the tables that JSON files hold; a file that holds none is left out."""
    tables = {}
    for name, path in paths.items():
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(value, dict):
            tables[name] = value
    return tables


def page_files(project: Project) -> list[Path]:
    """Return the prose pages: the book's, and README.md where the book is not a scratch book."""
    pages_of_the_book = sorted(project.book.glob("*.md"))
    files = [path for path in pages_of_the_book if path.name != "results.md"]
    readme = project.root / "README.md"
    return files if project.is_scratch or not readme.exists() else [readme, *files]


def filled(text: str, names: dict) -> str:
    """Return a text with its stamps' values written, and without its comments.

    For what tools/notebooks.toml says of a chapter's results; `faults` tells what has no value.
    """
    return re.sub(r"\s*<!--.*?-->", "", read(text, names, {}).text, flags=re.DOTALL)


def names_of(entry: Entry, results: dict[str, dict]) -> dict:
    """Return the names that an expression about one notebook sees: its own results first."""
    return results.get(entry.name, {}) | results


def documents(project: Project) -> Iterator[Document]:
    """Return every page, what tools/notebooks.toml says of results, and every Markdown cell of the
    published notebooks, as it stands."""
    results, blocks = results_by_name(project), pages.blocks(project)
    for path in page_files(project):
        name = path.relative_to(project.root).as_posix()
        yield Document(name, name, read_page(path)[0], results, blocks)
    for entry in project.published():
        names = names_of(entry, results)
        stamped = [text for row in entry.main for text in row.values() if "<!--" in text]
        for text in filter(None, (entry.headline, *stamped)):
            # Their values are never written there, so none has drifted.
            text = read(text, names, {}).text
            place = f"tools/notebooks.toml, {entry.name}"
            yield Document(entry.name, place, text, names, {})
        for path in (project.source(entry.name), project.copy(entry.name)):
            for cell in raw_notebook(path)["cells"]:
                if cell["cell_type"] == "markdown":
                    place = f"{entry.name}: cell {cell.get('id', '')}"
                    yield Document(entry.name, place, "".join(cell["source"]), names, {})


def faults(project: Project) -> list[str]:
    """Return every reason why the prose of the project may not be shown, each in a sentence."""
    allowed = Allowed(project)
    found, seen = [], set()
    for document in documents(project):
        if (document.place, document.text) in seen:
            continue  # a copy repeats its source
        seen.add((document.place, document.text))
        reading = document.reading()
        found += [f"{document.place}: {one}" for one in (*reading.drifted, *reading.faults)]
        refused = allowed.refused(document.name, reading)
        found += [f"{document.place}: {finding}" for finding in refused]
    return [*dict.fromkeys(found), *allowed.unused(project)]


class Allowed:
    """The numbers with a unit that tools/prose.toml allows to stand without a stamp."""

    def __init__(self, project: Project):
        path = project.root / "tools" / "prose.toml"
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            self.texts = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise CatalogueError(f"tools/prose.toml cannot be read: {error}") from None
        for name, texts in self.texts.items():
            if not isinstance(texts, dict) or not all(
                isinstance(reason, str) and reason.strip() for reason in texts.values()
            ):
                raise CatalogueError(f"tools/prose.toml, [{name}]: each text needs its reason")
        self.used = set()

    def refused(self, name: str, reading: Reading) -> Iterator[Finding]:
        """Return what is unstamped in a text of the page or notebook `name` and not allowed."""
        places = []
        for text in self.texts.get(name, {}):
            pattern = r"\s+".join(re.escape(word) for word in text.split())
            for match in re.finditer(pattern, reading.base):
                places.append((*match.span(), text))
        for start, end in reading.unstamped:
            covering = [text for a, b, text in places if a <= start and end <= b]
            self.used.update((name, text) for text in covering)
            if not covering:
                quantity = re.sub(r"<!--.*?-->|\*", "", reading.base[start:end], flags=re.DOTALL)
                quantity = " ".join(quantity.split())
                yield Finding(
                    sentence_at(reading.base, start),
                    f"{quantity} carries no stamp: write <!-- EXPRESSION | FORMAT --> behind a "
                    "number that a run made, or list one that none made in tools/prose.toml",
                )

    def unused(self, project: Project) -> Iterator[str]:
        """Return what is listed and stands nowhere, for the pages that there are."""
        here = {path.relative_to(project.root).as_posix() for path in page_files(project)}
        here |= {entry.name for entry in project.published()}
        for name, texts in self.texts.items():
            for text in texts:
                if name in here and (name, text) not in self.used:
                    yield f"{name}: tools/prose.toml allows {text!r}, which does not stand there"


# --- writing


def read_page(path: Path) -> tuple[str, str]:
    """Return the text of a page with plain line ends, and the line end that it has in its file."""
    text = path.read_bytes().decode("utf-8")
    if "\r\n" in text and text.count("\r\n") == text.count("\n"):
        return text.replace("\r\n", "\n"), "\r\n"
    return text, "\n"


def write(project: Project) -> list[Path]:
    """Write every block and stamp anew, and return the files that have changed.

    In a scratch book only the blocks are written: its numbers stay the published ones. What a
    person must mend is left as it stands, for `faults` to tell.
    """
    changed = []
    results, blocks = results_by_name(project), pages.blocks(project)
    for path in page_files(project):
        text, line_end = read_page(path)
        reading = _read_blocks(text, blocks) if project.is_scratch else read(text, results, blocks)
        if reading.text != text:
            path.write_bytes(reading.text.replace("\n", line_end).encode("utf-8"))
            changed.append(path)
    if project.is_scratch:
        return changed
    for entry in project.published():
        names = names_of(entry, results)

        def anew(cell: dict, text: str, names: dict = names) -> str:
            return read(text, names, {}).text if cell["cell_type"] == "markdown" else text

        for path in (project.source(entry.name), project.copy(entry.name)):
            if rewrite_cells(path, anew):
                changed.append(path)
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Write or check the prose of the project; return 1 when a person must mend something."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, only report")
    options = parser.parse_args(arguments)
    project = Project()
    try:
        changed = [] if options.check else write(project)
        found = faults(project)
    except CatalogueError as error:
        changed, found = [], [str(error)]
    for path in changed:
        print(f"written: {path.relative_to(project.root).as_posix()}")
    for fault in found:
        print(f"✗ {fault}")
    if not found:
        print("✓ the prose says what the results say")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
