"""Starting Python anew and importing: the packages alone, and what each chapter begins with.

The files are in the system's cache and compiled to bytecode, as they are from the second start on.
"""

import subprocess
import sys
from collections.abc import Callable

from versions import cells

IMPORTS = {
    "nothing": "pass",
    "frameworks": "import torch, torchvision, matplotlib.pyplot",
    "numpy": "import numpy, matplotlib.pyplot",
    "torch": "import torch",
    "helpers": "import helpers.data",
}


def make(version: str, threads: int) -> tuple[Callable[[], None], int]:
    """Return a function that starts Python once, and 1."""
    kind, _, chapter = version.partition("_")
    program = cells.imports(chapter) if kind == "chapter" else IMPORTS[version]
    command = [sys.executable, "-c", program]

    def start() -> None:
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True)

    return start, 1
