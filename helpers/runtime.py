"""Where and how a notebook ran: device, threads, seed, time, results and their provenance."""

import base64
import ctypes
import datetime
import hashlib
import json
import os
import platform
import random
import re
import time
from collections.abc import Mapping
from html import escape
from importlib import metadata
from types import TracebackType

import numpy as np
import torch
from IPython.display import HTML, display
from threadpoolctl import threadpool_info, threadpool_limits
from torch import Tensor

from helpers import sources, weights
from helpers.data import ImageDataset
from helpers.parameters import ParameterError, Seed, Threads

RESULTS_MIME = "application/vnd.cnn-homework.run+json"
NETWORKS_MIME = "application/vnd.cnn-homework.networks+json"
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "matplotlib")


def select_device(name: str | torch.device = "auto", parameter: str = "device") -> torch.device:
    """Return the torch device called `name`; "auto" is the first CUDA GPU, or else the CPU.

    Raises `ParameterError`, which names the `parameter`, for a name that torch does not know or a
    device that is not there.
    """
    if isinstance(name, torch.device):  # a cell that ends in `device = …` can then be run again
        name = str(name)
    available = ["cpu"]
    available += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    available += ["mps"] if torch.backends.mps.is_available() else []
    if name == "auto":
        # Not "mps": its convolutions are not deterministic, so a seed would not fix the run.
        name = "cuda" if len(available) > 1 and available[1] == "cuda:0" else "cpu"
    names = {"cuda": "cuda:0"} if "cuda:0" in available else {}
    if not isinstance(name, str) or names.get(name, name) not in available:
        shown = ", ".join(map(repr, ["auto", *available]))
        raise ParameterError(parameter, name, f"one of {shown} on this machine")
    return torch.device(names.get(name, name))


def has_fast_bfloat16(device: torch.device | str) -> bool:
    """Return whether `device` computes in bfloat16 by itself; where it is emulated, it is slow."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_cpuinfo("flags").split())


def set_threads(count: int) -> None:
    """Let torch and NumPy's BLAS use `count` threads each, and keep the memory that they free.

    Raises `ParameterError` for more than this machine can keep busy: a kernel dies of very many.
    """
    Threads().check("threads", count)
    torch.set_num_threads(count)
    threadpool_limits(count)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Tell glibc not to hand freed blocks back to the system; elsewhere, do nothing.

    A training step frees and takes the same large blocks over and over, and pages that come anew
    from the system must be zeroed: 10 to 25 % of a step of ResNet-20. One heap for all threads
    saves the two workers of the LeNet in NumPy about 4 % of theirs.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        trim_threshold, mmap_max, arena_max = -1, -4, -8  # M_TRIM_THRESHOLD, … in malloc.h
        libc.mallopt(arena_max, 1)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
        # The same for worker processes that are started from here on.
        os.environ |= {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_MAX_": "0"}
        os.environ["MALLOC_TRIM_THRESHOLD_"] = str(2**31 - 1)


def set_seed(seed: int) -> None:
    """Seed every random generator that a notebook may touch, and ask for deterministic kernels.

    Raises `ParameterError` for a seed that one of them does not take.
    """
    Seed().check("seed", seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def synchronize(device: torch.device) -> None:
    """Wait until `device` has done all that it was given, so that a clock read means something."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Stopwatch:
    """Wall-clock seconds of a `with` block, the device synchronised before and after.

    `seconds` adds up over several uses of the same stopwatch.
    """

    def __init__(self, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.seconds = 0.0

    def __enter__(self) -> "Stopwatch":
        synchronize(self.device)
        self._start = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            synchronize(self.device)
        self.seconds += time.perf_counter() - self._start


def device_name(device: torch.device | str) -> str:
    """Return what the hardware calls itself; for a CPU, with its number of cores."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()} ({os.cpu_count()} cores)"


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(field: str) -> str:
    """Return what Linux says in `field` of its first processor; "" elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            values = (line.split(":", 1)[1].strip() for line in lines if line.startswith(field))
            return next(values, "")
    except OSError:
        return ""


class Run:
    """One execution of a notebook: its results, and what they were made with.

    `record` collects results and `export` networks; `finish` shows the provenance and puts all
    three into the notebook's output, from where `tools/publish.py` takes them. Nothing is written
    to a file here.
    """

    def __init__(
        self,
        notebook: str,
        *,
        seed: int,
        dataset: ImageDataset,
        device: torch.device | str,
        parameters: dict[str, object],
    ):
        self.notebook = notebook
        self.dataset = dataset
        self.device = torch.device(device)
        self.seed = seed
        self.parameters = parameters
        self.results: dict[str, dict[str, object]] = {}
        self._networks: dict[str, str] = {}  # their files, in base64
        self._helpers_sha256 = sources.package_hash()  # at the start: they may be edited meanwhile
        self._start = time.perf_counter()
        self._earlier = 0.0
        if not dataset.is_real:
            display(HTML(stand_in_banner(dataset)))

    def record(self, name: str, values: dict[str, object]) -> None:
        """Add `values` to the results under `name`; a second call for a name adds to the first.

        Values must be representable in JSON and finite, else `ValueError` names the culprit.
        """
        for key, value in values.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise ValueError(f"result {name}.{key} = {value!r}: {error}") from None
        self.results.setdefault(name, {}).update(values)

    def export(self, name: str, arrays: Mapping[str, np.ndarray | Tensor], bits: int = 16) -> None:
        """Hand a trained network to the page "Draw a digit"; `arrays` are its weights by name.

        With 8 `bits` instead of 16, its file is half as large and each weight is off by up to 1/254
        of the largest in its row. The results then name the file by its hash, under `networks`.
        Raises `ValueError` for a name that is no identifier, and as `helpers.weights.pack` does.
        """
        if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
            raise ValueError(f"the network's name must be letters, digits and _, got {name!r}")
        header = {"notebook": self.notebook, "network": name, "date": _today()}
        file = weights.pack(header, arrays, bits)
        sha256 = hashlib.sha256(file).hexdigest()
        self._networks[name] = base64.b64encode(file).decode()
        self.record("networks", {name: {"sha256": sha256, "bits": bits, "bytes": len(file)}})

    @property
    def seconds(self) -> float:
        """How long this run has taken so far, with its parts before an interruption."""
        return self._earlier + time.perf_counter() - self._start

    def go_on_after(self, seconds: float) -> None:
        """Count the first `seconds` of a run that was interrupted and that this one goes on with.

        They end with the last result that is taken over; of several calls the largest counts.
        """
        self._earlier = max(self._earlier, seconds)

    def provenance(self) -> dict[str, object]:
        """Return what a reader needs to repeat this run, as a JSON-able dictionary."""
        dataset = self.dataset
        return {
            "parameters": self.parameters,
            "dataset": {
                "name": dataset.name,
                "is_real": dataset.is_real,
                "checksum": dataset.checksum,
                "source": dataset.source,
            },
            "device": device_name(self.device),
            "device_type": self.device.type,
            "threads": torch.get_num_threads(),
            "helpers_sha256": self._helpers_sha256,
            "seed": self.seed,
            "versions": {"python": platform.python_version()}
            | {package: metadata.version(package) for package in PACKAGES}
            | _blas(),
            "seconds": round(self.seconds, 1),
            "resumed": self._earlier > 0,
            "date": _today(),
        }

    def finish(self) -> None:
        """Show how this run was made, and hand results and provenance to the notebook's output."""
        provenance = self.provenance()
        bundle = {"notebook": self.notebook, "results": self.results, "provenance": provenance}
        data = {"text/html": _provenance_html(provenance), "text/plain": json.dumps(provenance)}
        networks = {NETWORKS_MIME: self._networks} if self._networks else {}
        display(data | {RESULTS_MIME: bundle} | networks, raw=True)


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _blas() -> dict[str, str]:
    """Return the library behind NumPy's matrix products and the processor that its code is for.

    Both can change the order in which a product is summed, and so its last digits.
    """
    for library in threadpool_info():
        if library["user_api"] == "blas":  # the first is NumPy's, loaded before any other
            processor = library.get("architecture", "processor unknown")
            return {library["internal_api"]: f"{library['version']} ({processor})"}
    return {}


def stand_in_banner(dataset: ImageDataset) -> str:
    """Return the HTML of the warning that heads a notebook which runs on stand-in data."""
    return (
        '<div role="alert" style="border:2px solid #b35900;background:#fff4e5;color:#3d1f00;'
        'padding:0.7em 1em;border-radius:4px">'
        f"<strong>Not the real data set.</strong> This run uses {escape(dataset.name)}: "
        f"{escape(dataset.source)} Its figures say nothing about the real data.</div>"
    )


def _provenance_html(provenance: dict[str, object]) -> str:
    dataset = provenance["dataset"]
    real = "" if dataset["is_real"] else " (a stand-in, not the real data set)"
    parts = ", in more than one part," if provenance["resumed"] else ""
    rows = {
        "Data": f"{dataset['name']}{real}, {dataset['checksum'][:23]}…",
        "Device": f"{provenance['device']}, threads: {provenance['threads']}",
        "Seed": provenance["seed"],
        "Versions": ", ".join(f"{k} {v}" for k, v in provenance["versions"].items()),
        "Time": f"{provenance['seconds']:,.0f} s{parts} on {provenance['date']}",
        "Parameters": ", ".join(f"{k} = {v!r}" for k, v in provenance["parameters"].items()),
    }
    cells = "".join(
        f'<tr><th scope="row" style="text-align:left">{k}</th>'
        f'<td style="text-align:left">{escape(str(v))}</td></tr>'
        for k, v in rows.items()
    )
    return f"<table><caption>How this run was made</caption><tbody>{cells}</tbody></table>"
