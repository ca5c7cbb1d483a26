"""What a notebook's parameters mean and may be: stated once, checked, recorded and documented.

A notebook's set-up cell declares every name of its `parameters` cell:

    chosen = parameters.declare(
        globals(),
        steps=parameters.Integer("gradient steps of each network", minimum=1),
        seed=parameters.Seed(),
        output_folder=parameters.Folder(),
    )

A value that the notebook cannot work with is a `ParameterError` of one sentence. The checked values
are attributes of `chosen`, `chosen.recorded` is what the provenance lists, and the comments of the
`parameters` cell are written from the declaration by tools/parameters_cell.py.
"""

import ast
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import ClassVar

from joblib import cpu_count

from helpers.errors import ReaderError

LARGEST_SEED = 2**32 - 1  # NumPy and scikit-learn take no more
THREADS_PER_CORE = 4  # leaves room to repeat a run of a larger machine; many more only wait


class ParameterError(ReaderError, ValueError):
    """A parameter has a value that the notebook cannot work with."""

    def __init__(self, name: str, value: object, allowed: str):
        super().__init__(f"{name} = {value!r}: it must be {allowed}.")


class MissingParameterError(ReaderError, NameError):
    """A parameter has no value."""

    def __init__(self, name: str):
        super().__init__(f"{name} has no value: run the parameters cell first; it must set {name}.")


# The kinds of parameters --------------------------------------------------------------------------


class Kind(ABC):
    """What one parameter means, and which values it takes."""

    meaning: str
    is_recorded: ClassVar[bool] = True  # False: the provenance has it elsewhere, or must not

    @property
    @abstractmethod
    def rule(self) -> str:
        """The values that are allowed, in words that hold on every machine."""

    @abstractmethod
    def check(self, name: str, value: object) -> object:
        """Return `value` as the notebook uses it; raises `ParameterError` if it is not allowed."""

    @property
    def comment(self) -> str:
        """The comment behind the parameter's literal in the `parameters` cell."""
        return f"{self.meaning}; {self.rule}"


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number in `[minimum, maximum]`; `True` and `1.0` are none, NumPy's integers are."""

    meaning: str
    _: KW_ONLY
    minimum: int
    maximum: int | None = None

    @property
    def rule(self) -> str:
        return self._one

    @property
    def _one(self) -> str:
        return f"a whole number {self._bounds}"

    @property
    def _bounds(self) -> str:
        upper = "" if self.maximum is None else f" and at most {self.maximum}"
        return f"of at least {self.minimum}{upper}"

    def check(self, name: str, value: object) -> int:
        if not self._allows(value):
            meant = _whole_number(value)
            hint = f"; write {meant}" if self._allows(meant) else ""
            raise ParameterError(name, value, self._one + hint)
        return int(value)

    def _allows(self, value: object) -> bool:
        if not isinstance(value, Integral) or isinstance(value, bool):
            return False
        return value >= self.minimum and (self.maximum is None or value <= self.maximum)


@dataclass(frozen=True)
class Integers(Integer):
    """A list of whole numbers, each as `Integer` has it."""

    @property
    def rule(self) -> str:
        return f"a list of whole numbers {self._bounds}"

    def check(self, name: str, value: object) -> list[int]:
        check = super().check
        return [check(f"{name}[{i}]", item) for i, item in enumerate(_items(name, value))]


@dataclass(frozen=True)
class Number(Kind):
    """A finite number; `minimum` and `maximum` are allowed themselves, `above` and `below` not."""

    meaning: str
    _: KW_ONLY
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    below: float | None = None

    @property
    def rule(self) -> str:
        return self._one

    @property
    def _one(self) -> str:
        return f"a finite number {self._bounds}".strip()

    @property
    def _bounds(self) -> str:
        bounds = {
            "at least": self.minimum,
            "above": self.above,
            "at most": self.maximum,
            "below": self.below,
        }
        return " and ".join(f"{words} {b:g}" for words, b in bounds.items() if b is not None)

    def check(self, name: str, value: object) -> float:
        if not self._allows(value):
            meant = _number(value)
            hint = f"; write {meant}" if self._allows(meant) else ""
            raise ParameterError(name, value, self._one + hint)
        return float(value)

    def _allows(self, value: object) -> bool:
        if not isinstance(value, Real) or isinstance(value, bool) or not _is_finite(value):
            return False
        return (
            (self.minimum is None or value >= self.minimum)
            and (self.above is None or value > self.above)
            and (self.maximum is None or value <= self.maximum)
            and (self.below is None or value < self.below)
        )


@dataclass(frozen=True)
class Numbers(Number):
    """A list of numbers, each as `Number` has it."""

    @property
    def rule(self) -> str:
        return f"a list of finite numbers {self._bounds}".strip()

    def check(self, name: str, value: object) -> list[float]:
        check = super().check
        return [check(f"{name}[{i}]", item) for i, item in enumerate(_items(name, value))]


@dataclass(frozen=True)
class Boolean(Kind):
    """`True` or `False`."""

    meaning: str
    rule: ClassVar[str] = "True or False"

    def check(self, name: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise ParameterError(name, value, self.rule)
        return value


@dataclass(frozen=True)
class Choice(Kind):
    """One of `options`."""

    meaning: str
    options: Sequence[object]

    @property
    def rule(self) -> str:
        return "one of " + ", ".join(map(repr, self.options))

    def check(self, name: str, value: object) -> object:
        # Types are compared first: 1.0 and True equal 1, and an array equals nothing.
        if not any(type(value) is type(option) and value == option for option in self.options):
            raise ParameterError(name, value, self.rule)
        return value


@dataclass(frozen=True)
class Dataset(Kind):
    """Which data set to load: one of `options`, which are those of a function of `helpers.data`."""

    options: tuple[str, ...]
    meaning: str = "the images"
    is_recorded: ClassVar[bool] = False  # as "auto": what it became is in the provenance

    @property
    def rule(self) -> str:
        named = ", ".join(repr(option) for option in self.options if option != "auto")
        return f"{named}, or 'auto': the real set if it can be had"

    def check(self, name: str, value: object) -> str:
        return choice(name, value, self.options)


@dataclass(frozen=True)
class Seed(Kind):
    """The seed of all random numbers."""

    meaning: str = "fixes every random choice"
    is_recorded: ClassVar[bool] = False  # the provenance has an entry of its own
    rule: ClassVar[str] = f"a whole number of at least 0 and at most {LARGEST_SEED}"

    def check(self, name: str, value: object) -> int:
        return integer(name, value, minimum=0, maximum=LARGEST_SEED)


@dataclass(frozen=True)
class Threads(Kind):
    """A number of CPU threads that this machine can keep busy."""

    meaning: str = "CPU threads (their number changes the last digits)"
    is_recorded: ClassVar[bool] = False  # the provenance has an entry of its own
    rule: ClassVar[str] = f"from 1 to {THREADS_PER_CORE} per core"

    def check(self, name: str, value: object) -> int:
        cores = cpu_count()
        count = integer(name, value, minimum=1)
        if count > THREADS_PER_CORE * cores:
            machine = f"{THREADS_PER_CORE} per core, and this machine has {cores}"
            raise ParameterError(name, value, f"at most {THREADS_PER_CORE * cores}: {machine}")
        return count


@dataclass(frozen=True)
class Device(Kind):
    """Where the networks are computed; the checked value is a `torch.device`."""

    meaning: str = "where the networks train"
    is_recorded: ClassVar[bool] = False  # as "auto": what it became is in the provenance
    rule: ClassVar[str] = "'cpu', 'cuda', or 'auto': a GPU if there is one"

    def check(self, name: str, value: object) -> object:
        from helpers.runtime import select_device  # which imports this module, and torch

        return select_device(value, name)


@dataclass(frozen=True)
class Folder(Kind):
    """A folder to write to, made if it is missing; the checked value is a `Path`."""

    meaning: str = "weights and checkpoints go here"
    is_recorded: ClassVar[bool] = False  # it is of one machine, and changes no result
    rule: ClassVar[str] = "a folder, made if missing"

    def check(self, name: str, value: object) -> Path:
        if isinstance(value, Path):  # the cell has run before
            value = str(value)
        named = Path(text(name, value))
        allowed = "a folder in which files can be written"
        try:
            folder = named.expanduser()
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except FileExistsError:
            raise ParameterError(name, value, f"{allowed}, and this is a file") from None
        except OSError as error:
            raise ParameterError(name, value, f"{allowed} ({error.strerror or error})") from None
        except (RuntimeError, ValueError) as error:  # no such user's home, a null character
            raise ParameterError(name, value, f"{allowed} ({str(error).rstrip('.')})") from None
        return folder


# The declaration ----------------------------------------------------------------------------------


class Chosen:
    """The checked parameters of a notebook, as attributes.

    `recorded` is what belongs in the provenance: a dictionary that JSON can hold. A later `cap`
    changes it too.
    """

    def __init__(self, values: dict[str, object], recorded: dict[str, object]):
        self._values = values
        self.recorded = recorded

    def __getattr__(self, name: str) -> object:
        values = self.__dict__.get("_values", {})
        if name not in values:
            raise AttributeError(f"no parameter {name!r} is declared; there are: {list(values)}")
        return values[name]

    def at_most(self, name: str, maximum: float, because: str) -> None:
        """Raise `ParameterError` if a parameter, or an element of it, is more than `maximum`.

        `because` says what the maximum is, such as "the number of training images".
        """
        value = self._values[name]
        largest = max(value) if isinstance(value, list) else value
        self.require(name, largest <= maximum, f"at most {maximum}, {because}")

    def require(self, name: str, holds: bool, allowed: str) -> None:
        """Raise `ParameterError` that says what is `allowed`, unless the condition `holds`."""
        if not holds:
            raise ParameterError(name, self._values[name], allowed)

    def cap(self, name: str, maximum: float) -> float:
        """Return the parameter or `maximum`, whichever is less, and record what is returned."""
        value = self._values[name]
        used = type(value)(min(value, maximum))
        self._values[name] = used
        if name in self.recorded:
            self.recorded[name] = used
        return used


def declare(notebook: Mapping[str, object], /, **kinds: Kind) -> Chosen:
    """Check every declared parameter of a notebook, whose `globals()` are given, in their order.

    Raises `ParameterError` for a value that is not allowed, `MissingParameterError` for a name that
    the notebook does not define.
    """
    if missing := [name for name in kinds if name not in notebook]:
        raise MissingParameterError(missing[0])
    if taken := [name for name in kinds if name in dir(Chosen) or name == "recorded"]:
        raise ValueError(f"a parameter cannot be called {taken[0]!r}: `Chosen` needs that name")
    values = {name: kind.check(name, notebook[name]) for name, kind in kinds.items()}
    recorded = {name: values[name] for name, kind in kinds.items() if kind.is_recorded}
    return Chosen(values, recorded)


# The same checks one by one -----------------------------------------------------------------------


def integer(name: str, value: int, *, minimum: int, maximum: int | None = None) -> int:
    """Return `value` as an `int` if `Integer` allows it; raises `ParameterError` otherwise."""
    return Integer("", minimum=minimum, maximum=maximum).check(name, value)


def number(name: str, value: float, **bounds: float | None) -> float:
    """Return `value` as a `float` if `Number` allows it; raises `ParameterError` otherwise."""
    return Number("", **bounds).check(name, value)


def integers(name: str, values: Sequence[int], **bounds: int) -> list[int]:
    """Return `values` as a list if `Integers` allows it; raises `ParameterError` otherwise."""
    return Integers("", **bounds).check(name, values)


def numbers(name: str, values: Sequence[float], **bounds: float) -> list[float]:
    """Return `values` as a list if `Numbers` allows it; raises `ParameterError` otherwise."""
    return Numbers("", **bounds).check(name, values)


def choice(name: str, value: object, allowed: Sequence[object]) -> object:
    """Return `value` if it is one of `allowed`; raises `ParameterError` otherwise."""
    return Choice("", allowed).check(name, value)


def boolean(name: str, value: bool) -> bool:
    """Return `value` if it is `True` or `False`; raises `ParameterError` otherwise."""
    return Boolean("").check(name, value)


def text(name: str, value: str) -> str:
    """Return `value` if it is a string with something in it; raises `ParameterError` otherwise."""
    if not isinstance(value, str) or not value.strip():
        raise ParameterError(name, value, "a text that is not empty")
    return value


# What a value seems to mean -----------------------------------------------------------------------


def _items(name: str, values: object) -> Sequence[object]:
    if isinstance(values, list | tuple) and values:
        return values
    hint = ""
    if isinstance(values, str) and isinstance(_literal(values), list):  # papermill's -p does that
        hint = f"; papermill takes a list as -y '{name}: {values}'"
    raise ParameterError(name, values, f"a list with at least one element{hint}")


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


def _whole_number(value: object) -> int | None:
    """Return the whole number that `value` stands for: papermill reads 3e4 as a float."""
    meant = _number(value)
    return int(meant) if meant is not None and meant.is_integer() else None


def _number(value: object) -> float | None:
    """Return the number that `value` stands for: YAML reads 1e-3 as a text."""
    if not isinstance(value, str | float):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _is_finite(value: Real) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False
