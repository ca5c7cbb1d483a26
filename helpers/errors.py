"""Errors that a notebook shows as one sentence."""


class ReaderError(Exception):
    """An error whose message says all that the reader needs; IPython shows it without a traceback.

    Subclasses are raised for mistakes that a reader can mend: a parameter out of range, an answer
    that does not match, a data set that cannot be had.
    """

    def _render_traceback_(self) -> list[str]:
        # IPython's hook: the lines to show in place of the traceback.
        return [f"{type(self).__name__}: {self}"]
