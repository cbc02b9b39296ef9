"""The one kind of error a user's input can cause."""

from __future__ import annotations


class InvalidInput(ValueError):
    """A value from outside that is not allowed.

    The message always has the form ``field: got value; allowed: what``, on one line, so that the
    command line can print it as it is (exit code 2, no traceback).

    Parameters
    ----------
    field : str
        Name of the offending field as the user wrote it (``noise``, ``batch.per_class``).
    value : object
        What was given. Long values are cut.
    allowed : str
        What would have been accepted.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        shown = " ".join(repr(value).split())
        if len(shown) > 120:
            shown = shown[:117] + "..."
        super().__init__(f"{field}: got {shown}; allowed: {allowed}")

    def __reduce__(self) -> tuple[type, tuple[str, object, str]]:
        return type(self), (self.field, self.value, self.allowed)
