"""One line of progress that a notebook replaces as work goes on, and a log collects as lines."""

import threading
import time

from IPython import get_ipython
from IPython.display import display


class Progress:
    """Shows how far `total` units of work have come: one live line in a notebook, lines in a log.

    `done` of them were done before, by a run that was interrupted.

    In Jupyter and Colab the line is rewritten in place, so that a published page keeps only the
    last one. Anywhere else a line is printed every `log_seconds`.
    """

    def __init__(self, what: str, total: int, *, done: int = 0, log_seconds: float = 10.0):
        self.what = what
        self._before = done
        self.total = total
        # A kernel can rewrite an output; a terminal or a log cannot.
        self._live = getattr(get_ipython(), "kernel", None) is not None
        self._every = 0.5 if self._live else log_seconds
        self._handle = None
        self._start = self._last = time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        """Say that `done` units are done, unless the last line is too recent."""
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            pace = (now - self._start) / max(done - self._before, 1)
            left = pace * (self.total - done)
            bar = "█" * (20 * done // self.total) + "░" * (20 - 20 * done // self.total)
            line = f"{self.what} {bar} {done:,} of {self.total:,}, about {left:.0f} s left"
            self._show(f"{line}; {note}" if note else line)

    def finish(self, line: str) -> None:
        """Replace the progress by its last word."""
        self._show(f"{self.what}: {line}")

    def _show(self, line: str) -> None:
        if not self._live:
            print(line, flush=True)
        elif self._handle is None:
            self._handle = display(_Line(line), display_id=True)
        else:
            self._handle.update(_Line(line))


class JointProgress:
    """One line for several pieces of work, which may run side by side, instead of a line for each.

    `total` counts the units of all pieces together; the last word names the `unit`.
    """

    def __init__(self, what: str, total: int, *, unit: str = "steps"):
        self._line = Progress(what, total)
        self._unit = unit
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def piece(self) -> "Piece":
        """Return the progress of one piece, to be used in place of a `Progress`."""
        return Piece(self)

    def _add(self, units: int) -> None:
        with self._lock:
            self._done += units
            self._line.update(self._done)
            if self._done == self._total:
                seconds = time.monotonic() - self._start
                self._line.finish(f"{self._total:,} {self._unit} in {seconds:.0f} s")


class Piece:
    """The part of a `JointProgress` that one piece of work brings forward."""

    def __init__(self, whole: JointProgress):
        self._whole = whole
        self._done = 0

    def update(self, done: int, note: str = "") -> None:
        """Say that `done` units of this piece are done; one of many pieces adds no note."""
        self._whole._add(done - self._done)
        self._done = done

    def finish(self, line: str) -> None:
        """Say nothing: the line belongs to all pieces."""


class _Line(str):
    """A string that IPython displays without quotes."""

    def __repr__(self) -> str:
        return str(self)
