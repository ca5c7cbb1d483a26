"""The notebooks of the book, as tools/notebooks.toml lists them, and where their files stand."""

import ast
import copy as copying
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode
from nbformat.v4.rwbase import rejoin_lines

ROOT = Path(__file__).resolve().parents[1]
INJECTED = "injected-parameters"
BOOTSTRAP = "bootstrap"
TITLE = re.compile(r"\A# @title\b[^\n]*\n*")  # what Colab and the site say of a folded cell
COMPARISONS = ("equal", "minimum", "above", "maximum", "below", "near", "count", "present")
DATASETS = ("MNIST", "CIFAR-10")
FIELDS = {  # of an entry in tools/notebooks.toml
    "title": str,
    "course": str,
    "summary": str,
    "dataset": str,
    "in_preparation": bool,
    "held_back": str,
    "published": dict,
    "quick": dict,
    "minutes": dict,
    "targets": list,
    "headline": str,
    "picture": str,
    "main": list,
}
MAIN_FIELDS = ("what", "asked", "paper", "ours", "runs", "time")  # of a row of the main results


class CatalogueError(ValueError):
    """tools/notebooks.toml or a notebook's parameters cell says something impossible."""


@dataclass(frozen=True)
class Target:
    """What one figure of the published results must be.

    `comparison` is one of `COMPARISONS`; `near` takes [value, tolerance], `count` is the number of
    entries of a list or table, and `present` asks only that the key is there. `aim` is not gated.
    """

    key: str
    comparison: str
    value: object
    text: str
    aim: str = ""

    def met_by(self, got: object) -> bool:
        """Tell whether the result `got` reaches the target."""
        if self.comparison == "present":
            return True
        if self.comparison == "count":
            return isinstance(got, (list, dict)) and len(got) == self.value
        if isinstance(got, bool) or not isinstance(got, (int, float)):
            return False
        if self.comparison == "near":
            value, tolerance = self.value
            return abs(got - value) <= tolerance
        return {
            "equal": got == self.value,
            "minimum": got >= self.value,
            "above": got > self.value,
            "maximum": got <= self.value,
            "below": got < self.value,
        }[self.comparison]


@dataclass(frozen=True)
class Entry:
    """One notebook: what it is, how it is run, and what its results must show."""

    name: str
    title: str
    course: str
    summary: str
    dataset: str
    in_preparation: bool
    held_back: str
    published: dict[str, object]
    quick: dict[str, object]
    minutes: dict[str, float]
    targets: tuple[Target, ...]
    headline: str = ""
    picture: str = ""
    main: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class Project:
    """The folders that publishing reads and writes; `book` differs for the quick scratch book."""

    root: Path = ROOT
    book: Path = field(default=ROOT / "book")

    @classmethod
    def at(cls, root: Path) -> "Project":
        """Return the project that stands in the folder `root`."""
        return cls(root, root / "book")

    @property
    def config(self) -> Path:
        return self.root / "book" / "_config.yml"

    @property
    def is_scratch(self) -> bool:
        return self.book != self.root / "book"

    @property
    def toc(self) -> Path:
        return self.book / "_toc.yml"

    @property
    def build(self) -> Path:
        return self.root / "build"

    def source(self, name: str) -> Path:
        return self.root / "notebooks" / f"{name}.ipynb"

    def copy(self, name: str) -> Path:
        return self.book / "notebooks" / f"{name}.ipynb"

    def results(self, name: str) -> Path:
        return self.book / "results" / f"{name}.json"

    @property
    def networks(self) -> Path:
        return self.book / "_static" / "networks"

    def network(self, name: str, network: str) -> Path:
        return self.networks / f"{name}-{network}.bin"

    def entries(self) -> list[Entry]:
        """Return every entry of tools/notebooks.toml in its order, those in preparation too.

        Raises `CatalogueError`, which names the entry or the line, for what cannot be one.
        """
        path = self.root / "tools" / "notebooks.toml"
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise CatalogueError(f"tools/notebooks.toml cannot be read: {error}") from None
        return [_entry(name, values) for name, values in table.items()]

    def ready(self) -> list[Entry]:
        """Return the entries whose notebook exists."""
        return [entry for entry in self.entries() if not entry.in_preparation]

    def entry(self, name: str) -> Entry:
        """Return the entry called `name`; `CatalogueError` names those that there are."""
        ready = {entry.name: entry for entry in self.ready()}
        if name not in ready:
            names = ", ".join(ready) or "none yet"
            raise CatalogueError(f"notebook = {name!r}: no such notebook; there are: {names}")
        return ready[name]

    def published(self) -> list[Entry]:
        """Return the entries that have an executed copy in the book."""
        return [entry for entry in self.ready() if self.copy(entry.name).exists()]

    def address(self) -> tuple[str, str]:
        """Return the public repository's address and branch, which stand in book/_config.yml."""
        repository = yaml.safe_load(self.config.read_text(encoding="utf-8"))["repository"]
        return repository["url"], repository["branch"]


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook of format 4; `CatalogueError` names a file that is none, and its line."""
    if not path.exists():
        raise CatalogueError(f"there is no {path.name} in {path.parent}")
    invalid = {}
    if raw_notebook(path).get("nbformat") == 4:
        notebook = nbformat.read(path, as_version=4, capture_validation_error=invalid)
    else:
        invalid["ValidationError"] = "its nbformat is not 4"
    if invalid:
        reason = str(invalid["ValidationError"]).splitlines()[0]
        raise CatalogueError(f"{path.name} in {path.parent} is not a notebook: {reason}")
    return notebook


def read_results(path: Path) -> dict:
    """Read a file of results; `CatalogueError` names one that is missing or damaged."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CatalogueError(f"there is no results file {path.name} in {path.parent}") from None
    except ValueError as error:
        raise CatalogueError(f"the results file {path.name} is not JSON: {error}") from None
    if not isinstance(results, dict) or not isinstance(results.get("provenance"), dict):
        raise CatalogueError(f"the results file {path.name} holds no results of a run")
    return results


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook of format 4, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")


def raw_notebook(path: Path) -> dict:
    """Return what the JSON of a notebook's file holds; `CatalogueError` if it is no notebook."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CatalogueError(f"{path.name} in {path.parent} is not a notebook: {error}") from None
    if not (isinstance(raw, dict) and isinstance(raw.get("cells"), list)):
        raise CatalogueError(f"{path.name} in {path.parent} is not a notebook: it has no cells")
    return raw


def rewrite_cells(path: Path, change: Callable[[dict, str], str]) -> bool:
    """Rewrite the cells of a notebook's file; tell whether any has changed.

    `change` takes a cell, as it stands in the file, and its source, and returns the new source.
    Every other byte is left alone, but for the hashes that an executed copy records of its source:
    one that held goes on holding.
    """
    raw = raw_notebook(path)
    changed = False
    for cell in raw["cells"]:
        text = "".join(cell["source"])
        new = change(cell, text)
        if new != text:
            cell["source"] = new.splitlines(True)
            changed = True
    if not changed:
        return False
    content = path.read_bytes().decode("utf-8")
    before = nbformat.reads(content, as_version=4)
    after = nbformat.reads(json.dumps(raw), as_version=4)
    recorded = raw["metadata"].get("provenance", {})
    for key, hash_of in (("source_sha256", source_hash), ("code_sha256", code_hash)):
        if recorded.get(key) == hash_of(before):
            recorded[key] = hash_of(after)
    text = json.dumps(raw, indent=1, ensure_ascii=False) + "\n"
    line_end = "\r\n" if "\r\n" in content else "\n"
    path.write_bytes(text.replace("\n", line_end).encode("utf-8"))
    return True


def tags(cell: NotebookNode) -> list[str]:
    """Return a cell's tags."""
    return cell.metadata.get("tags", [])


def own_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells that the author wrote: all but the one papermill injects."""
    return [cell for cell in notebook.cells if INJECTED not in tags(cell)]


def what_decides_the_page(cell: NotebookNode) -> list:
    """Return all of a cell that its page or its folding hangs on: the same in an executed copy."""
    folding = {key: cell.metadata[key] for key in ("cellView", "jupyter") if key in cell.metadata}
    page = [cell.cell_type, cell.id, cell.source, tags(cell), cell.metadata.get("mystnb", {})]
    return [*page, folding] if folding else page


def source_hash(notebook: NotebookNode) -> str:
    """Return the SHA-256 of a notebook's cells: kind, name, source, tags and page settings.

    The same for a source and for its executed copy.
    """
    return _hash(what_decides_the_page(cell) for cell in own_cells(notebook))


def code_hash(notebook: NotebookNode) -> str:
    """Return the SHA-256 of the code cells alone: what decides the results.

    A folded cell's title is prose, and a better one must not cost a run. The bootstrap cell only
    installs the package that a run records by itself.
    """
    cells = [cell for cell in own_cells(notebook) if cell.cell_type == "code"]
    decisive = [cell for cell in cells if BOOTSTRAP not in tags(cell)]
    return _hash([cell.id, TITLE.sub("", cell.source)] for cell in decisive)


def outputs_hash(notebook: NotebookNode) -> str:
    """Return the SHA-256 of what a run left: all outputs, their counts, and the injected cell.

    What may change around them without a run does not enter: prose, titles, folding, and how a
    file splits its lines.
    """
    whole = rejoin_lines(copying.deepcopy(notebook))
    return _hash(
        [cell.id, cell.execution_count, cell.outputs, cell.source if INJECTED in tags(cell) else ""]
        for cell in whole.cells
        if cell.cell_type == "code"
    )


def helpers_hash(root: Path) -> str:
    """Return the SHA-256 of the sources of the helpers package and its subpackages."""
    package = root / "helpers"
    files = {file.relative_to(package).as_posix(): file for file in package.rglob("*.py")}
    return _hash([name, files[name].read_text(encoding="utf-8")] for name in sorted(files))


def parameters_of(notebook: NotebookNode) -> dict[str, object]:
    """Return the names and literal values of the `parameters` cell.

    Raises `CatalogueError` when there is not exactly one such cell, or it holds anything but
    assignments of literals.
    """
    cells = [cell for cell in notebook.cells if "parameters" in tags(cell)]
    if len(cells) != 1:
        raise CatalogueError(f"{len(cells)} cells are tagged 'parameters'; exactly one must be")
    return literals(cells[0].source, "parameters")


def literals(source: str, cell: str) -> dict[str, object]:
    """Return the names and values that a cell assigns; `CatalogueError` if it does anything else.

    `cell` is what the error calls it.
    """
    try:
        lines = ast.parse(source).body
    except SyntaxError as error:
        raise CatalogueError(f"line {error.lineno} of the {cell} cell is not Python") from None
    values = {}
    for line in lines:
        is_assignment = isinstance(line, ast.Assign) and len(line.targets) == 1
        if not (is_assignment and isinstance(line.targets[0], ast.Name)):
            raise CatalogueError(f"not an assignment in the {cell} cell: {ast.unparse(line)}")
        try:
            values[line.targets[0].id] = ast.literal_eval(line.value)
        except (ValueError, TypeError):
            shown = ast.unparse(line)
            raise CatalogueError(f"not a literal in the {cell} cell: {shown}") from None
    return values


def look_up(results: dict, key: str) -> object:
    """Return the value under a dotted key such as "M_max.test_accuracy"; `KeyError` if absent."""
    value = results
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise KeyError(key)
        value = value[part]
    return value


def _entry(name: str, values: object) -> Entry:
    where = f"[{name}] in tools/notebooks.toml"
    if not isinstance(values, dict):
        raise CatalogueError(f"{name} in tools/notebooks.toml is not the table of a notebook")
    for key, value in values.items():
        if key not in FIELDS:
            raise CatalogueError(f"{where} has {key!r}; allowed are {', '.join(FIELDS)}")
        if not isinstance(value, FIELDS[key]):
            kind = FIELDS[key].__name__
            raise CatalogueError(f"{where}: {key} = {value!r}: expected a {kind}")
    try:
        entry = Entry(
            name=name,
            title=values["title"],
            course=values["course"],
            summary=values["summary"],
            dataset=values["dataset"],
            in_preparation=values.get("in_preparation", False),
            held_back=values.get("held_back", ""),
            published=values.get("published", {}),
            quick=values.get("quick", {}),
            minutes=values.get("minutes", {}),
            targets=tuple(_targets(where, values["targets"])),
            headline=values.get("headline", "").strip(),
            picture=values.get("picture", ""),
            main=tuple(_main_rows(where, values.get("main", []))),
        )
    except KeyError as error:
        raise CatalogueError(f"{where} lacks {error}") from None
    if entry.dataset not in DATASETS:
        allowed = " or ".join(DATASETS)
        raise CatalogueError(f"{where}: dataset = {entry.dataset!r}: expected {allowed}")
    for profile in () if entry.in_preparation else ("published", "quick"):
        if not isinstance(entry.minutes.get(profile), (int, float)):
            raise CatalogueError(f"{where}: minutes lacks the number {profile!r}")
    return entry


def _main_rows(where: str, rows: list) -> Iterator[dict[str, str]]:
    for row in rows:
        if not isinstance(row, dict) or set(row) != set(MAIN_FIELDS):
            raise CatalogueError(f"{where}: a main result needs {', '.join(MAIN_FIELDS)}: {row}")
        yield {name: str(row[name]) for name in MAIN_FIELDS}


def _targets(where: str, rows: list) -> Iterator[Target]:
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("keys"), list):
            raise CatalogueError(f"{where}: a target without a list of keys: {row}")
        comparison = [name for name in COMPARISONS if name in row]
        if len(comparison) != 1:
            allowed = ", ".join(COMPARISONS)
            raise CatalogueError(
                f"{where}: the target of {row['keys']} needs exactly one of {allowed}"
            )
        if unknown := sorted(set(row) - {"keys", "text", "aim", *comparison}):
            raise CatalogueError(f"{where}: the target of {row['keys']} has {unknown[0]!r}")
        value = row[comparison[0]]
        numbers = value if comparison == ["near"] else [value]
        if not (
            isinstance(numbers, list)
            and len(numbers) == (2 if comparison == ["near"] else 1)
            and all(isinstance(number, (int, float)) for number in numbers)
        ):
            raise CatalogueError(
                f"{where}: the target of {row['keys']}: {comparison[0]} = {value!r} is no number"
            )
        for key in row["keys"]:
            yield Target(key, comparison[0], value, row["text"], row.get("aim", ""))


def _hash(items: Iterator) -> str:
    text = json.dumps(list(items), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
