"""Run an answer safely: a stub, an error, a missing `return` and changed settings become sentences.

Nothing that an answer does to the random generators or to torch's settings outlives `undisturbed`.
"""

import dis
import os
import random
import re
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FunctionType

import numpy as np
import torch

from helpers.checks.errors import CheckError, NotWrittenYet

_LIBRARIES = tuple(
    os.path.join(folder, "")
    for folder in {
        *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
        str(Path(torch.__file__).resolve().parents[1]),
        str(Path(__file__).resolve().parents[1]),
    }
)

Causes = tuple[tuple[str, str], ...]  # a pattern in an error's message, what it comes from

# What torch says in the commonest cases, and what it comes from.
_CAUSES: Causes = (
    (
        r"does not require grad|does not have a grad_fn",
        "something cuts the gradient off before backward(): .detach(), .data, .item() or "
        "torch.no_grad()",
    ),
    (
        r"backward through the graph a second time",
        "losses of earlier steps are still part of this step's graph; keep loss.item()",
    ),
    (
        r"'Byte'|Byte and|and Byte|found Byte|unsigned char|ByteTensor",
        "the images are bytes (uint8) and have to be turned into floats first",
    ),
    (
        r"can't be cast to the desired output type Byte",
        "the images are bytes (uint8): divide a copy, images.float() / 255, not in place",
    ),
    (
        r"Float and Double|Double and Float|found Double|Double but",
        "single and double precision (float32 and float64) are mixed",
    ),
    (
        r"size of tensor a .* must match the size of tensor b",
        "two tensors that belong together differ in shape: look at the axis of argmax or mean, "
        "and at the indices",
    ),
    (r"can't convert CUDA tensor to numpy", "the tensor has to come back with .cpu() first"),
    (r"Can't call numpy\(\) on Tensor that requires grad", "call .detach() before .numpy()"),
)
_ARGUMENTS = r"missing \d+ required|unexpected keyword|positional argument"


def attempt(
    what: str,
    action: Callable[[], object],
    explain: Callable[[], str] = lambda: "",
    *,
    causes: Causes = (),
) -> object:
    """Return what `action` returns, which calls the answer that a message names as `what`.

    Raises `NotWrittenYet` for a stub, and `CheckError` when the answer raises an error or returns
    None. The error is chained; the message says its type, its own message and the answer's line.
    `causes` says what messages come from in this exercise, before those that `cause` knows;
    `explain()` is asked for the likely mistake where the message is none of these.
    """
    try:
        result = action()
    except CheckError:
        raise
    except (Exception, SystemExit) as error:
        frames = _frames(error)
        if _is_stub(error, frames):
            raise NotWrittenYet(f"{what} is not written yet. {error}".rstrip()) from None
        place = f" in line {frames[-1].lineno}" if frames else ""
        line = f": {frames[-1].line}" if frames and frames[-1].line else ""
        # torch appends its own C++ frames to some messages; the first lines say it.
        message = "\n".join(str(error).splitlines()[:2])
        raise CheckError(
            f"{what} raised {type(error).__name__}{place}{line}\n  {message}",
            cause(message, causes) or _misfit(message, frames) or explain(),
        ) from error
    if result is Ellipsis:
        raise NotWrittenYet(f"{what} is not written yet.")
    if result is None:
        raise CheckError(f"{what} returned None", explain() or "the return statement is missing")
    return result


def require_written(what: str, function: object) -> None:
    """Raise `NotWrittenYet` for a function whose body is `pass` or `...`, and refuse no function.

    Such a body returns None, which would otherwise be taken for a missing `return`.
    """
    if function is None or function is Ellipsis:
        raise NotWrittenYet(f"{what} is not written yet.")
    if not callable(function):
        raise CheckError(f"{what} must be a function, not {function!r:.80}")
    if isinstance(function, FunctionType):
        body = {i.opname for i in dis.get_instructions(function)}
        if body <= {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}:
            constants = [c for c in function.__code__.co_consts if c is not function.__doc__]
            if all(c is None or c is Ellipsis for c in constants):
                raise NotWrittenYet(f"{what} is not written yet.")


def list_of_losses(losses: object, steps: int) -> list | tuple:
    """Return what `train` returned, as a list of a loss for each step; `CheckError` if it is none.

    How many there are, and what they hold, is for the caller to judge.
    """
    if isinstance(losses, np.ndarray | torch.Tensor) and losses.ndim == 1:
        losses = list(losses)
    if not isinstance(losses, list | tuple):
        raise CheckError(
            f"train should return a list of {steps} losses, not {losses!r:.80}",
            "one loss is returned, not those of all steps",
        )
    if any(isinstance(loss, torch.Tensor) and loss.requires_grad for loss in losses):
        raise CheckError(
            "train returns losses that are tensors with gradients",
            "each keeps the graph of its step in memory; append loss.item()",
        )
    return losses


def cause(message: str, causes: Causes = ()) -> str:
    """Return what a message usually comes from, by `causes` or torch's commonest, or ""."""
    known = (*causes, *_CAUSES)
    return next((why for pattern, why in known if re.search(pattern, message)), "")


def _misfit(message: str, frames: list[traceback.FrameSummary]) -> str:
    """Say whose arguments do not fit: the answer's own, in which no line ran yet, or a call's."""
    if not re.search(_ARGUMENTS, message):
        return ""
    if frames:
        return "a function that is called in this line takes other arguments"
    return "the arguments are not those that the exercise names"


@contextmanager
def undisturbed() -> Iterator[None]:
    """Give the block fixed random generators and torch's defaults; afterwards all is as before.

    Inside, tensors are made on the CPU and gradients are tracked.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    # A mode for the device costs time in each call of torch, so it is used where it is needed.
    elsewhere = torch.get_default_device().type != "cpu"
    on_cpu = torch.device("cpu") if elsewhere else nullcontext()
    random.seed(0)
    np.random.seed(0)
    torch.default_generator.manual_seed(0)  # torch.manual_seed would seed the GPUs too
    torch.set_default_dtype(torch.float32)
    try:
        with on_cpu, torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of the traceback that belong to the answer."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]


def _is_stub(error: BaseException, frames: list[traceback.FrameSummary]) -> bool:
    # torch raises NotImplementedError as well: '"addmm" not implemented for Byte'.
    raised_here = frames and traceback.extract_tb(error.__traceback__)[-1] == frames[-1]
    from_torch = re.search("not implemented for|Could not run", str(error))
    return isinstance(error, NotImplementedError) and bool(raised_here) and not from_torch
