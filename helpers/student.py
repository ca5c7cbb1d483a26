"""Let an unfinished notebook run to its end: a cell that waits for an answer says so and goes on.

The student edition calls `go_on()` once. From then on three errors are taken for what they are in
an unfinished notebook: `NotImplementedError` from a stub, a check that finds a stub, and a
`NameError` for a name that an unfinished cell above would have made. Each prints one line, and the
cell counts as done. Every other error stops the notebook with its traceback, as usual.
"""

import ast
import re
import sys
from collections.abc import Iterator

from IPython import get_ipython
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

from helpers.errors import ReaderError

# A cell that earns points in nbgrader's edition: done without a number, it would earn them all.
GRADED = "checks.graded("


def go_on() -> None:
    """Let cells that wait for an answer say so in one line; without IPython, do nothing."""
    shell = get_ipython()
    if shell is None:
        return
    listeners = shell.events.callbacks["post_run_cell"]
    if not any(isinstance(getattr(f, "__self__", None), _Unfinished) for f in listeners):
        unfinished = _Unfinished(shell)
        shell.set_custom_exc((NotImplementedError, NameError), unfinished.handle)
        shell.events.register("pre_run_cell", unfinished.begin)
        shell.events.register("post_run_cell", unfinished.end)


class _Unfinished:
    """What is still to be written in the notebook of one IPython shell.

    `waits_for` maps each name that an unfinished cell would have made to the answers it lacks.
    """

    def __init__(self, shell: InteractiveShell):
        self.shell = shell
        self.waits_for: dict[str, str] = {}
        self.cell = ""
        self.forgiven: tuple[BaseException, str] | None = None

    def begin(self, info) -> None:
        """Remember the source of the cell that is about to run."""
        self.cell, self.forgiven = info.raw_cell or "", None

    def handle(self, shell, kind, error, traceback, tb_offset=None) -> None:
        """Print the one line of a cell that waits for an answer; show any other error as usual."""
        answers = None if GRADED in self.cell else self._missing(error, traceback)
        if answers is None:
            shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
            return
        self.forgiven = error, answers
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")  # a half-drawn figure shows nothing
        if isinstance(error, ReaderError):
            print(f"○ {error}")
        elif traceback.tb_next is None or traceback.tb_next.tb_next is None:
            # Raised by the cell itself: either its own stub, or a name that is not there.
            own = isinstance(error, NotImplementedError)
            print(f"○ still to be written: {answers}" if own else _waiting(answers))
        else:
            print(_waiting(answers))

    def end(self, result: ExecutionResult) -> None:
        """Count a cell that waits for an answer as done, and note which names it did not make."""
        if self.forgiven is None or result.error_in_exec is not self.forgiven[0]:
            return
        result.error_in_exec = None
        _, answers = self.forgiven
        variables, definitions = _names(self._tree())
        names = self.shell.user_ns
        for name in variables:
            names.pop(name, None)  # it may be half made, such as a list that a loop was to fill
        missing = [*variables, *definitions, *re.findall(r"`(\w+)`", answers)]
        self.waits_for |= {name: answers for name in missing if name not in names}

    def _missing(self, error: BaseException, traceback) -> str | None:
        """Return the answers that `error` shows to be missing, or `None` for any other error."""
        if isinstance(error, NameError):
            return self.waits_for.get(error.name or "")
        stub = re.match(r"Write (.*?)(?::|\.?$)", str(error))
        if isinstance(error, ReaderError):
            return _quoted(str(error)) or "an answer above"
        if stub is None:
            return None
        while traceback.tb_next is not None:
            traceback = traceback.tb_next
        function = traceback.tb_frame.f_code.co_name
        if function == "<module>":  # nbgrader's stub names nothing, but the line above it does
            asked = re.search(r"^# Write (.*?)(?::|\.?$)", self.cell, re.MULTILINE)
            return _quoted(stub[1]) or _quoted(asked[1] if asked else "") or "an answer"
        return _quoted(stub[1]) or f"`{function}`"

    def _tree(self) -> ast.Module:
        try:
            return ast.parse(self.shell.transform_cell(self.cell))
        except SyntaxError:
            return ast.Module(body=[], type_ignores=[])


def _waiting(answers: str) -> str:
    verb = "are" if " and " in answers else "is"
    return f"○ waits for {answers}, which {verb} still to be written"


def _quoted(text: str) -> str:
    """Return the names that stand in backticks in `text`, as a list in words."""
    *first, last = list(dict.fromkeys(re.findall(r"`[^`]+`", text))) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _names(tree: ast.Module) -> tuple[list[str], list[str]]:
    """Return the names that a cell gives to values, and those of its definitions and imports."""
    variables, definitions = [], []
    for node in _outside_functions(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            definitions.append(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            definitions += [(alias.asname or alias.name).split(".")[0] for alias in node.names]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            variables.append(node.id)
    return list(dict.fromkeys(variables)), definitions


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    inner = (
        *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
        *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
    )
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, inner):
            yield from _outside_functions(child)
