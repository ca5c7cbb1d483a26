"""Checkpoints: what an interrupted training goes on from, and when it may.

A checkpoint is a file `<name>-<fingerprint>.pt`. Its fingerprint stands for everything that
decides the result, so that no training goes on from what other code, data or settings have made.
One process at a time holds a file, by a lock beside it.

A checkpoint serves a notebook, or a script, that was interrupted: run again, it takes up each
training where it was, those that had finished as well. `remove_checkpoints`, at its end, deletes
what it has held; then there is nothing to take up. A process never takes up a training that it has
itself brought to its end: to run a cell again is to train again.
"""

import hashlib
import os
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import filelock
import numpy as np
import torch
from torch import Tensor

from helpers.errors import ReaderError
from helpers.fingerprints import Reader, Undo, Unreadable

# The first save comes early, since the first minute of a run is when most of them are stopped.
FIRST_SAVE_SECONDS = 2.0
# A save takes seconds; a part of one that is older belongs to a process that is gone.
ABANDONED_SECONDS = 600.0


class CheckpointError(ReaderError, RuntimeError):
    """A checkpoint cannot be read or written; the message says which, and what to do."""


class NotResumable(Exception):
    """A training that could not go on to the result of an uninterrupted one; says why."""


# --- Files ----------------------------------------------------------------------------------------


def save_atomically(content: object, path: str | Path) -> None:
    """Save tensors and plain containers of them at `path`, whole or not at all.

    What a killed process left of an earlier save to the same path is deleted. Raises the `OSError`
    of a folder that cannot be written; an older file then stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for part in _parts(path):
        if time.time() - part.stat().st_mtime > ABANDONED_SECONDS:
            part.unlink(missing_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _parts(path: Path) -> list[Path]:
    """Return the unfinished saves to `path`."""
    return [p for p in path.parent.glob("*.part") if p.name.startswith(path.name)]


class Checkpoint:
    """The file of one training, which this process alone reads and writes.

    `complete` says that this process has brought the training to its end. Made by `hold`.
    """

    def __init__(self, path: Path, lock: filelock.BaseFileLock):
        self.path = path
        self.complete = False
        self.process = os.getpid()
        self._lock = lock
        self._pause = self._due = 0.0

    def start_clock(self, seconds: float) -> None:
        """Let `is_due` say when to save: early at first, then every `seconds`."""
        self._longest = seconds
        self._pause = min(FIRST_SAVE_SECONDS, seconds)
        self._due = time.monotonic() + self._pause

    def is_due(self) -> bool:
        """Return whether the last save was long enough ago."""
        return time.monotonic() >= self._due

    def load(self) -> dict | None:
        """Return what was saved, with its tensors on the CPU; None if there is nothing to take up.

        Raises `CheckpointError` if the file cannot be read.
        """
        if self.complete:  # and now trained once more
            self.path.unlink(missing_ok=True)
            self.complete = False
        if not self.path.exists():
            return None
        try:
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise CheckpointError(
                f"the checkpoint {self.path} cannot be read "
                f"({str(error).splitlines()[0]}); delete it to train from the start"
            ) from error

    def save(self, content: dict) -> None:
        """Save `content`, whole or not at all.

        Raises `CheckpointError` if that is impossible.
        """
        try:
            save_atomically(content, self.path)
        except OSError as error:
            raise CheckpointError(
                f"the checkpoint {self.path} cannot be written ({error.strerror or error})"
            ) from error
        self._pause = min(2 * self._pause, self._longest)
        self._due = time.monotonic() + self._pause

    def remove(self) -> None:
        """Delete the file and give it up."""
        self.path.unlink(missing_ok=True)
        _give_up(self._lock)


# The files that this process holds. Like the locks themselves they belong to the process, from the
# start of a training to the end of the notebook, and not to any one call.
_held: dict[Path, Checkpoint] = {}


def hold(folder: str | Path, name: str, fingerprint: str) -> Checkpoint | None:
    """Return the checkpoint of a training, or None if another process holds it.

    What a killed process left half-written is deleted. Raises `CheckpointError` if the folder
    cannot be written.
    """
    # A name may hold what a file's name may not.
    path = Path(folder) / (re.sub(r"[^\w.,+= ()-]", "_", name)[:100] + f"-{fingerprint}.pt")
    held = _held.get(path.resolve())
    if held is not None and held.process == os.getpid():
        return held
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
    except OSError as error:
        raise CheckpointError(
            f"checkpoints cannot be written to {folder} ({error.strerror or error})"
        ) from error
    if lock is None:
        return None
    for part in _parts(path):
        part.unlink(missing_ok=True)
    _held[path.resolve()] = held = Checkpoint(path, lock)
    return held


def remove_checkpoints(folder: str | Path) -> None:
    """Delete the checkpoints in `folder` that this process wrote or took up.

    Those of other runs stay, but for what is left of a save when its process is gone.
    """
    folder = Path(folder).resolve()
    for path, checkpoint in list(_held.items()):
        if path.parent == folder and checkpoint.process == os.getpid():
            checkpoint.remove()
            del _held[path]
    for left in [*folder.glob("*.pt*.part"), *folder.glob("*.pt.lock")]:
        path = left.with_name(left.name[: left.name.rindex(".pt") + 3])
        lock = _lock(path)
        if lock is not None:
            for part in _parts(path):
                part.unlink(missing_ok=True)
            _give_up(lock)


def _lock(path: Path) -> filelock.BaseFileLock | None:
    """Return the lock of a checkpoint, taken; None if another process has it."""
    lock = filelock.FileLock(f"{path}.lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        return None
    return lock


def _give_up(lock: filelock.BaseFileLock) -> None:
    """Release a lock and delete its file."""
    if os.name == "posix":  # elsewhere, an open file cannot be deleted
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
    if os.name != "posix":
        with suppress(PermissionError):  # of another process that has taken it meanwhile
            Path(lock.lock_file).unlink(missing_ok=True)


# --- Work that is finished once -------------------------------------------------------------------


class Finished:
    """The result of one piece of work, kept for a run that is interrupted after it.

    `decides` is all that the result hangs on, besides versions, threads and precision, which count
    by themselves; functions among it are read down to the code that they call. What cannot be read,
    and what another process holds, is not kept. `after` is how many seconds the run had taken when
    the loaded result was saved. Raises `CheckpointError` if the folder cannot be written.
    """

    after = 0.0

    def __init__(self, folder: str | Path, name: str, decides: Mapping[str, object]):
        try:
            all_that_decides = [dict(decides), environment(torch.device("cpu"))]
            self._file = hold(folder, name, Reader().digest(all_that_decides).hex()[:12])
        except Unreadable:
            self._file = None

    def load(self) -> object | None:
        """Return the result that an interrupted run had saved; None if there is none.

        Raises `CheckpointError` if the file cannot be read.
        """
        saved = self._file and self._file.load()
        if saved is None:
            return None
        self._file.complete = True
        self.after = saved.get("after", 0.0)
        return _converted(saved["result"], Tensor, Tensor.numpy)

    def save(self, result: object, after: float = 0.0) -> None:
        """Keep `result`: NumPy arrays, numbers and texts, in lists and dictionaries."""
        if self._file is not None:
            self._file.start_clock(0.0)
            kept = _converted(result, np.ndarray, torch.from_numpy)
            self._file.save({"result": kept, "after": after})
            self._file.complete = True


def _converted(value: object, kind: type, convert: Callable[[object], object]) -> object:
    """Return `value` with everything of `kind` in it converted."""
    if isinstance(value, kind):
        return convert(value)
    if isinstance(value, dict):
        return {key: _converted(part, kind, convert) for key, part in value.items()}
    if isinstance(value, list):
        return [_converted(part, kind, convert) for part in value]
    return value


# --- Fingerprints ---------------------------------------------------------------------------------


def fingerprint(
    parts: Mapping[str, object],
    *,
    data: Iterable[Tensor],
    saved: Iterable[object],
    device: torch.device,
    take_step: Callable[[], object],
) -> str:
    """Return twelve hex digits that change with everything that decides a training's result.

    `parts` is what the training is made of, by name; `data` are the tensors among it that it only
    reads, and `saved` the objects that its checkpoint brings back. `take_step` takes the first
    step and returns what came of it: gradients and updated parameters tell what no reading of code
    can. Whatever the step changes is set back, so that a training runs the same with and without a
    fingerprint.

    Raises `NotResumable` or `Unreadable` if a part cannot be read, if a step taken twice gives
    different numbers, or if it changes something that is not in `saved`.
    """
    reader, digest = Reader(), hashlib.sha256()
    try:
        for name, part in parts.items():
            digest.update(name.encode() + reader.digest(part))
    except Unreadable as error:
        raise NotResumable(f"{name}: {error}") from error
    read_only = {id(tensor) for tensor in data}
    undo = Undo(value for value in reader.objects if id(value) not in read_only)
    may_change = {id(value) for value in saved}
    before = random_states(device)
    outcomes = []
    for _ in range(2):
        try:
            outcomes.append(Reader().digest(take_step()))
            after = random_states(device)
        finally:
            changed = [value for value in undo() if id(value) not in may_change]
            set_random_states(device, before)
        if changed:
            raise NotResumable(
                f"a step changes a {type(changed[0]).__name__} that a checkpoint does not hold"
            )
    if outcomes[0] != outcomes[1]:
        raise NotResumable("a step taken twice gives different numbers")
    # The state of a generator matters if a step draws from it. Of torch's own it is taken to do so:
    # a network may begin to later.
    drawn = {n: s for n, s in before.items() if n.startswith("torch") or s != after[n]}
    digest.update(outcomes[0] + Reader().digest(drawn))
    return digest.hexdigest()[:12]


def environment(device: torch.device) -> dict[str, object]:
    """Return what decides about the last digits of a sum, besides the code that is run."""
    return {
        "versions": [torch.__version__, np.__version__],
        "device": device.type,
        "processor": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "default type": torch.get_default_dtype(),
        "precision of products": torch.get_float32_matmul_precision(),
        "TensorFloat-32": torch.backends.cudnn.allow_tf32,
        "deterministic": [
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
            torch.are_deterministic_algorithms_enabled(),
        ],
        "autocast": [
            torch.is_autocast_enabled(device.type),
            torch.get_autocast_dtype(device.type),
        ],
        "oneDNN": torch.backends.mkldnn.enabled,
    }


# --- Random states --------------------------------------------------------------------------------


def random_states(device: torch.device) -> dict[str, object]:
    """Return the states of all global random generators, as tensors and plain containers."""
    kind, keys, *rest = np.random.get_state()
    states = {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["torch, cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["torch, mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(device: torch.device, states: Mapping[str, object]) -> None:
    """Set all global random generators to `states`."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["torch, cuda"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["torch, mps"])
