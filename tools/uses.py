"""What a notebook uses of the package `helpers`, so that a change of it makes the copy stale.

From the notebook's code cells, names are followed to the functions, classes and constants of the
package that they stand for, and from these to those that they name in turn. A change of another
one, of a comment, a docstring or the formatting is none. A method is part of its class, and what
a module does when it is imported is part of the module. Nothing is executed.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from catalogue import BOOTSTRAP, CatalogueError, tags
from nbformat import NotebookNode

PACKAGE = "helpers"
LEFT_OUT = (
    *("checks", "progress", "student"),  # judge or announce a result, and make none
    *("data", "download", "image_files", "stand_ins"),  # read what the gate knows by its checksum
)
WHOLE = "*"  # of a module: everything that it defines
MAGIC = re.compile(r"(?m)^\s*[%!].*$")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Module:
    """The statements of one module: those that define a name, those that import, and the rest."""

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    rest: list[ast.stmt] = field(default_factory=list)
    # For a name that is imported from the package, the module and the name in it, or None where
    # it is the module itself.
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)


def uses(root: Path, notebook: NotebookNode) -> dict[str, str]:
    """Return what a notebook uses of the package in the folder `root`: a short hash by name.

    The names are such as "training.train", and "training" for what that module does when it is
    imported. The hashes are the same under every version of Python. Raises `CatalogueError` for
    code that is no Python.
    """
    modules = _read(root / PACKAGE)
    cells = [c for c in notebook.cells if c.cell_type == "code" and BOOTSTRAP not in tags(c)]
    code = _parsed(MAGIC.sub("", "\n".join(cell.source for cell in cells)), "the notebook's code")
    start = Module(rest=code.body, imports=_imports(code, modules))
    found: dict[str, str] = {}
    open_ends = list(_references(code.body, start, ""))
    while open_ends:
        module, name = open_ends.pop()
        here = modules[module]
        if name == WHOLE:
            open_ends += [(module, each) for each in here.definitions]
        elif name and name not in here.definitions:
            open_ends += _followed(here.imports.get(name))
            continue
        for key, nodes in ((module, here.rest), (f"{module}.{name}", here.definitions.get(name))):
            if nodes and key not in found:
                found[key] = _digest(nodes)
                open_ends += _references(nodes, here, module)
    return dict(sorted(found.items()))


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return the names under which two answers of `uses` differ."""
    return [name for name in sorted(before | now) if before.get(name) != now.get(name)]


def _read(package: Path) -> dict[str, Module]:
    """Return the modules of the package by name, without those that are left out."""
    trees = {}
    for file in sorted(package.rglob("*.py")):
        name = ".".join(file.relative_to(package).with_suffix("").parts)
        if name != "__init__" and name.partition(".")[0] not in LEFT_OUT:
            trees[name] = _parsed(file.read_text(encoding="utf-8"), f"{PACKAGE}.{name}")
    modules = {name: Module() for name in trees}
    for name, tree in trees.items():
        module = modules[name]
        module.imports = _imports(tree, modules)
        for node in _without_docstring(tree):
            names = list(_defined(node))
            for defined in names:
                module.definitions.setdefault(defined, []).append(node)
            if not names and not isinstance(node, ast.Import | ast.ImportFrom):
                module.rest.append(node)
    return modules


def _parsed(text: str, what: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise CatalogueError(f"{what}: line {error.lineno} is not Python") from None


def _defined(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement defines; none for a function called `_`, registered only."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        names = [node.name]
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
    else:
        names = []
    yield from (name for name in names if name != "_")


def _imports(tree: ast.AST, modules: Iterable[str]) -> dict[str, tuple[str, str | None]]:
    """Return what a tree imports from the package, wherever in it, by the name that it gets.

    Raises `CatalogueError` for a form of the import that is not followed.
    """
    found = {}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if any(name.partition(".")[0] == PACKAGE for name in names):
            raise CatalogueError(
                f"`import {names[0]}` does not tell what is used: from {PACKAGE} import …"
            )
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        package, _, inner = node.module.partition(".")
        for alias in node.names if package == PACKAGE else ():
            whole = f"{inner}.{alias.name}" if inner else alias.name
            if whole in modules:
                found[alias.asname or alias.name] = whole, None
            elif inner in modules:
                found[alias.asname or alias.name] = inner, alias.name
    return found


def _references(nodes: Iterable[ast.AST], here: Module, name: str) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of everything of the package that `nodes` name."""
    for node in nodes:
        is_attribute = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        imported = here.imports.get(node.value.id) if is_attribute else None
        if imported and imported[1] is None:
            yield imported[0], node.attr
            continue
        if isinstance(node, ast.Name):
            if node.id in here.definitions:
                yield name, node.id
            else:
                yield from _followed(here.imports.get(node.id))
        yield from _references(ast.iter_child_nodes(node), here, name)


def _followed(imported: tuple[str, str | None] | None) -> list[tuple[str, str]]:
    return [(imported[0], imported[1] or WHOLE)] if imported else []


def _without_docstring(node: ast.AST) -> list[ast.stmt]:
    first = node.body[0] if node.body else None
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return node.body[1:] if is_text and isinstance(first.value.value, str) else node.body


def _digest(nodes: list[ast.stmt]) -> str:
    return hashlib.sha256(repr(_plain(nodes)).encode("utf-8")).hexdigest()[:12]


def _plain(value: object) -> object:
    """Return a syntax tree as tuples, without what is empty: later Pythons add fields that are."""
    if isinstance(value, list):
        return tuple(map(_plain, value))
    if not isinstance(value, ast.AST):
        return type(value).__name__, repr(value)
    fields = dict(ast.iter_fields(value))
    if isinstance(value, DOCUMENTED):
        fields["body"] = _without_docstring(value)
    filled = ((key, part) for key, part in fields.items() if part not in (None, []))
    return type(value).__name__, *((key, _plain(part)) for key, part in filled if key != "kind")
