"""Whether two objects would compute the same: everything that they are made of, as one digest.

`Reader` follows an object to its last part: the code of functions and classes, what their closures,
defaults and global names refer to, attributes, the bytes of tensors. Code is read as bytecode,
because that is what runs: a source file, or a notebook's cell, may say something else by now.
What belongs to an installed library is told by its name and the library's version.

`Undo` remembers the same objects and sets them back after a trial.
"""

import dis
import functools
import hashlib
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import singledispatch
from pathlib import Path, PosixPath, WindowsPath

import numpy as np
import torch
from torch import Tensor, nn

PLAIN = {
    type(None), type(...), bool, int, float, complex, str, bytes, range, slice, PosixPath,
    WindowsPath, torch.dtype, torch.device, torch.layout, torch.memory_format,
}  # fmt: skip
HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE of a class: it was made by a `class` statement


class Unreadable(Exception):
    """An object holds something whose content cannot be told, such as an open file or a lock."""


class Reader:
    """Reads objects to their last part; `objects` are those that it came by.

    Raises `Unreadable` for what cannot be read.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[bytes, object]] = {}
        self._depth = 0

    @property
    def objects(self) -> list[object]:
        """What was read so far, but for numbers, strings and their like."""
        return [value for _, value in self._known.values()]

    def digest(self, value: object) -> bytes:
        """Return 32 bytes that are the same for what would compute the same."""
        if type(value) in PLAIN:
            return _sha256(type(value).__name__.encode(), repr(value).encode())
        if id(value) in self._known:
            return self._known[id(value)][0]
        # An object that holds itself is told by where this happens. To hold on to the object keeps
        # its id from being given to another.
        self._known[id(value)] = _sha256(b"inside %d" % self._depth), value
        self._depth += 1
        try:
            parts = [self.digest(part) for part in made_of(value)]
        except Unreadable:
            raise
        except Exception as error:
            what = f"{type(value).__module__}.{type(value).__qualname__}"
            raise Unreadable(f"the content of a {what} cannot be told ({error})") from error
        self._depth -= 1
        if isinstance(value, set | frozenset):
            parts.sort()
        self._known[id(value)] = _sha256(type(value).__name__.encode(), *parts), value
        return self._known[id(value)][0]


def _sha256(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


# --- What an object is made of --------------------------------------------------------------------


@singledispatch
def made_of(value: object) -> Iterable[object]:
    """Return the parts that decide what `value` does; here, those that a pickle would hold."""
    yield type(value)
    yield from _attributes(value)
    reduced = value.__reduce_ex__(4)
    parts = [reduced] if isinstance(reduced, str) else reduced
    yield from (list(part) if isinstance(part, Iterator) else part for part in parts)


def _attributes(value: object) -> Iterable[object]:
    for name, attribute in getattr(value, "__dict__", {}).items():
        yield name
        yield attribute


@made_of.register
def _(function: types.FunctionType) -> Iterable[object]:
    library = _library(function)
    if library and function.__closure__ is None:
        yield library
        return
    yield from (function.__code__, function.__defaults__, function.__kwdefaults__)
    yield function.__closure__
    yield from _attributes(function)
    for name, value in _named_globals(function):
        yield name
        yield value


def _named_globals(function: types.FunctionType) -> Iterable[tuple[str, object]]:
    """Yield the global names of a function, and of its own modules what it names of them."""
    codes = list(_codes(function.__code__))
    attributes = sorted({name for code in codes for name in code.co_names})
    names = sorted({name for code in codes for name in _global_names(code)})
    found = [(name, function.__globals__[name]) for name in names if name in function.__globals__]
    for name, value in found:  # grows meanwhile, by modules within modules
        yield name, value
        if isinstance(value, types.ModuleType) and not _library(value):
            found += [(f"{name}.{a}", getattr(value, a)) for a in attributes if hasattr(value, a)]


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _global_names(code: types.CodeType, how: str = "GLOBAL") -> set[str]:
    return {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if how in instruction.opname or instruction.opname == "LOAD_NAME"
    }


@made_of.register
def _(code: types.CodeType) -> Iterable[object]:
    yield from (code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_freevars)
    yield from (code.co_cellvars, code.co_flags, code.co_exceptiontable)
    yield from (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)


@made_of.register
def _(kind: type) -> Iterable[object]:
    library = _library(kind)
    if library:
        yield library
        return
    yield from (kind.__qualname__, kind.__bases__, type(kind))
    for name, value in _members(kind):
        yield name
        yield value


def _members(kind: type) -> list[tuple[str, object]]:
    """Return what the body of a class defined, without Python's own notes on it."""
    functions = types.FunctionType | classmethod | staticmethod | property
    return [
        (name, value)
        for name, value in sorted(vars(kind).items())
        if isinstance(value, functions) or not (name.startswith("__") or name == "_abc_impl")
    ]


@made_of.register
def _(module: types.ModuleType) -> Iterable[object]:
    yield _library(module) or module.__name__


@made_of.register
def _(method: types.MethodType) -> Iterable[object]:
    return method.__func__, method.__self__


@made_of.register(types.BuiltinFunctionType)
@made_of.register(types.MethodWrapperType)
def _(function: types.BuiltinFunctionType) -> Iterable[object]:
    return function.__qualname__, function.__self__


@made_of.register(types.WrapperDescriptorType)
@made_of.register(types.MethodDescriptorType)
@made_of.register(types.ClassMethodDescriptorType)
@made_of.register(types.GetSetDescriptorType)
@made_of.register(types.MemberDescriptorType)
def _(descriptor: types.WrapperDescriptorType) -> Iterable[object]:
    return descriptor.__qualname__, descriptor.__objclass__


@made_of.register(classmethod)
@made_of.register(staticmethod)
def _(method: classmethod) -> Iterable[object]:
    return (method.__func__,)


@made_of.register
def _(value: property) -> Iterable[object]:
    return value.fget, value.fset, value.fdel


@made_of.register
def _(value: functools.cached_property) -> Iterable[object]:
    return (value.func,)


@made_of.register
def _(cell: types.CellType) -> Iterable[object]:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ("empty",)


@made_of.register
def _(reference: weakref.ref) -> Iterable[object]:
    return (reference(),)


@made_of.register
def _(mapping: types.MappingProxyType) -> Iterable[object]:
    return (dict(mapping),)


@made_of.register(list)
@made_of.register(tuple)
@made_of.register(set)
@made_of.register(frozenset)
def _(values: Iterable[object]) -> Iterable[object]:
    yield from _attributes(values)
    yield from values


@made_of.register
def _(values: dict) -> Iterable[object]:
    yield from _attributes(values)
    for key, value in values.items():
        yield key
        yield value


@made_of.register(nn.Module)
@made_of.register(torch.optim.Optimizer)
def _(value: nn.Module) -> Iterable[object]:
    yield type(value)
    for name, attribute in vars(value).items():
        yield name
        # The keys of hooks are numbers that torch counts up for as long as the process lives.
        yield list(attribute.values()) if name.endswith("_hooks") else attribute


@made_of.register
def _(tensor: Tensor) -> Iterable[object]:
    yield from (type(tensor), tensor.dtype, tuple(tensor.shape), tensor.stride())
    yield from (tensor.device.type, tensor.requires_grad, tensor.is_leaf)
    yield hashlib.sha256(_bytes(tensor).cpu().numpy()).digest()
    for hooks in ("_backward_hooks", "_post_accumulate_grad_hooks"):
        yield list((getattr(tensor, hooks, None) or {}).values())
    yield from _attributes(tensor)


def _bytes(tensor: Tensor) -> Tensor:
    """Return the bytes of a tensor in the order of its memory, which spares most a copy."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    return tensor.permute(order).contiguous().reshape(-1).view(torch.uint8)


@made_of.register
def _(array: np.ndarray) -> Iterable[object]:
    yield from (type(array), array.dtype.str, array.shape)
    yield array.tolist() if array.dtype.hasobject else hashlib.sha256(array.tobytes()).digest()


@made_of.register
def _(number: np.generic) -> Iterable[object]:
    return number.dtype.str, number.tobytes()


@made_of.register
def _(generator: torch.Generator) -> Iterable[object]:
    return generator.device, generator.get_state()


@made_of.register
def _(generator: np.random.Generator) -> Iterable[object]:
    return (generator.bit_generator.state,)


# --- What comes from a library --------------------------------------------------------------------


def _library(value: object) -> str:
    """Return name and version of a module, class or function of a library; "" for our own.

    The standard library counts as one, and so does an installed package with a version, but not
    this one, which changes more often than its version.
    """
    is_module = isinstance(value, types.ModuleType)
    name = value.__name__ if is_module else f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, type) and not value.__flags__ & HEAP_TYPE:
        return name
    version = _version((value.__name__ if is_module else str(value.__module__)).partition(".")[0])
    return f"{name} {version}" if version and (is_module or _is_found(value)) else ""


@functools.cache
def _version(package: str) -> str:
    if package in sys.stdlib_module_names or package == "builtins":
        return sys.version
    if package in ("__main__", __name__.partition(".")[0]) or package not in sys.modules:
        return ""
    module = sys.modules[package]
    folders = Path(getattr(module, "__file__", None) or "").parts
    installed = not {"site-packages", "dist-packages"}.isdisjoint(folders)
    return str(getattr(module, "__version__", "")) if installed else ""


def _is_found(value: type | types.FunctionType) -> bool:
    """Return whether a class or function is the one that its module has under its name."""
    place = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        place = getattr(place, name, None)
    return place is value


# --- Setting back ---------------------------------------------------------------------------------


class Undo:
    """Remembers what `objects` hold now; calling it sets them back and returns what had changed."""

    def __init__(self, objects: Iterable[object]):
        self._kept = [(value, keep(value)) for value in objects]

    def __call__(self) -> list[object]:
        return [value for value, set_back in self._kept if set_back()]


@singledispatch
def keep(value: object) -> Callable[[], bool]:
    """Return a function that sets `value` back to now, and returns whether it had changed."""
    attributes = getattr(value, "__dict__", None)
    return keep(attributes) if isinstance(attributes, dict) else _nothing


def _nothing() -> bool:
    return False


def _same(first: object, second: object) -> bool:
    plain = type(first) is type(second) and type(first) in PLAIN
    return first is second or (plain and first == second)


def _same_all(first: Iterable[object], second: Iterable[object]) -> bool:
    first, second = list(first), list(second)
    return len(first) == len(second) and all(map(_same, first, second))


@keep.register(types.ModuleType)
def _(module: types.ModuleType) -> Callable[[], bool]:
    return _nothing


@keep.register
def _(function: types.FunctionType) -> Callable[[], bool]:
    if _library(function):
        return _nothing
    places = function.__globals__
    names = {n for code in _codes(function.__code__) for n in _global_names(code, "STORE_GLOBAL")}
    before = {name: places[name] for name in names if name in places}

    def set_back() -> bool:
        changed = not all(_same(places[name], value) for name, value in before.items())
        places.update(before)
        return changed

    return set_back


@keep.register
def _(kind: type) -> Callable[[], bool]:
    if _library(kind):
        return _nothing
    before = dict(_members(kind))

    def set_back() -> bool:
        after = dict(_members(kind))
        for name in after.keys() - before.keys():
            delattr(kind, name)
        for name, value in before.items():
            if not _same(value, after.get(name)):
                setattr(kind, name, value)
        return after.keys() != before.keys() or not all(_same(after[n], before[n]) for n in before)

    return set_back


@keep.register
def _(cell: types.CellType) -> Callable[[], bool]:
    try:
        before = cell.cell_contents
    except ValueError:
        return _nothing

    def set_back() -> bool:
        changed = not _same(cell.cell_contents, before)
        cell.cell_contents = before
        return changed

    return set_back


@keep.register
def _(values: dict) -> Callable[[], bool]:
    before = dict(values)

    def set_back() -> bool:
        same = _same_all(values, before) and _same_all(values.values(), before.values())
        if not same:
            values.clear()
            values.update(before)
        return not same

    return set_back


@keep.register
def _(values: list) -> Callable[[], bool]:
    before = list(values)

    def set_back() -> bool:
        same = _same_all(values, before)
        if not same:
            values[:] = before
        return not same

    return set_back


@keep.register(set)
@keep.register(deque)
def _(values: set) -> Callable[[], bool]:
    before = values.copy()

    def set_back() -> bool:
        changed = values != before
        if changed:
            values.clear()
            (values.update if isinstance(values, set) else values.extend)(before)
        return changed

    return set_back


@keep.register
def _(tensor: Tensor) -> Callable[[], bool]:
    before = tensor.detach().clone()
    gradient = tensor.grad if tensor.is_leaf else None
    set_gradient_back = _nothing if gradient is None else keep(gradient)

    def set_back() -> bool:
        if tensor.is_leaf:
            tensor.grad = gradient
            set_gradient_back()
        now = tensor.detach().clone()  # laid out as `before` is
        changed = not torch.equal(_bytes(now), _bytes(before))
        if changed:
            with torch.no_grad():
                tensor.copy_(before)
        return changed

    return set_back


@keep.register
def _(array: np.ndarray) -> Callable[[], bool]:
    before = array.copy()

    def set_back() -> bool:
        changed = array.tobytes() != before.tobytes()
        if changed:
            array[...] = before
        return changed

    return set_back


@keep.register
def _(generator: torch.Generator) -> Callable[[], bool]:
    before = generator.get_state()

    def set_back() -> bool:
        changed = not torch.equal(generator.get_state(), before)
        generator.set_state(before)
        return changed

    return set_back


@keep.register
def _(generator: np.random.Generator) -> Callable[[], bool]:
    before = generator.bit_generator.state

    def set_back() -> bool:
        changed = repr(generator.bit_generator.state) != repr(before)
        generator.bit_generator.state = before
        return changed

    return set_back
