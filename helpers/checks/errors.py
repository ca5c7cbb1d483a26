"""What a check raises: an answer that is wrong, and one that is not written yet."""

from helpers.errors import ReaderError


class CheckError(ReaderError, AssertionError):
    """An answer differs from what was expected; `hint` is the likely mistake, or empty."""

    def __init__(self, message: str, hint: str = ""):
        super().__init__(f"{message}\n  Likely mistake: {hint}." if hint else message)
        self.hint = hint

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


class NotWrittenYet(ReaderError, NotImplementedError):
    """An answer is still the stub that the notebook came with."""

    def _render_traceback_(self) -> list[str]:
        return [f"… {self}"]
