"""What a version raises that cannot run on this machine."""


class Unavailable(RuntimeError):
    """This machine lacks what the version needs; the message says what."""
