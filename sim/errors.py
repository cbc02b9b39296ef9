"""The one kind of error a user's input can cause, and the checks that raise it most."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any


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

    Examples
    --------
    >>> raise InvalidInput("noise.p", 1.5, "a number in [0, 1]")
    Traceback (most recent call last):
    sim.errors.InvalidInput: noise.p: got 1.5; allowed: a number in [0, 1]
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        shown = " ".join(repr(value).split())
        if len(shown) > 120:
            shown = shown[:117] + "..."
        super().__init__(f"{field}: got {shown}; allowed: {allowed}")

    def __reduce__(self) -> tuple[type, tuple[str, object, str]]:
        return type(self), (self.field, self.value, self.allowed)


def integer(field: str, value: Any, least: int, most: int | None = None) -> int:
    """``value``, if it is an integer from ``least`` to ``most``.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> integer("seeds", 3, least=1)
    3
    >>> integer("seeds", 0, least=1)
    Traceback (most recent call last):
    sim.errors.InvalidInput: seeds: got 0; allowed: an integer >= 1
    """
    fits = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not fits or value < least or (most is not None and value > most):
        raise InvalidInput(field, value, f"an integer >= {least}" if most is None else f"an integer, {least} to {most}")
    return int(value)


def number(field: str, value: Any, allowed: str, ok: Callable[[float], bool]) -> float:
    """``value``, if it is a finite number that ``ok`` accepts.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> number("alpha", 1, "a number above 0", lambda a: a > 0)
    1.0
    >>> number("alpha", float("inf"), "a number above 0", lambda a: a > 0)
    Traceback (most recent call last):
    sim.errors.InvalidInput: alpha: got inf; allowed: a number above 0
    """
    fits = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not fits or not math.isfinite(value) or not ok(value):
        raise InvalidInput(field, value, allowed)
    return float(value)


def choice(field: str, value: Any, allowed: Iterable[Any]) -> None:
    """Refuse a value that isn't one of those allowed.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> choice("positive", "esay", ["easy", "hard"])
    Traceback (most recent call last):
    sim.errors.InvalidInput: positive: got 'esay'; allowed: one of easy, hard
    """
    names = list(allowed)
    if value not in names:
        raise InvalidInput(field, value, "one of " + ", ".join(map(str, names)))


def takes(field: str, function: Callable[..., Any], arguments: dict[str, Any], given: tuple[str, ...] = ()) -> None:
    """Refuse keyword arguments that a function doesn't take, or lacks.

    Parameters
    ----------
    field : str
        Where the user wrote them.
    function : callable
    arguments : mapping
        What the user wrote.
    given : tuple of str
        Parameters that the caller fills in, and that are not the user's.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> def blobs(seed, spread, modes=1): ...
    >>> takes("generator", blobs, {"spread": 0.1}, given=("seed",))
    >>> takes("generator", blobs, {"spread": 0.1, "width": 2}, given=("seed",))
    Traceback (most recent call last):
    sim.errors.InvalidInput: generator.width: got 2; allowed: no such parameter; there are spread, modes
    """
    own = [
        p
        for name, p in inspect.signature(function).parameters.items()
        if name not in given and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    listed = ", ".join(p.name for p in own) or "nothing"
    for name in arguments:
        if name not in [p.name for p in own]:
            raise InvalidInput(f"{field}.{name}", arguments[name], f"no such parameter; there are {listed}")
    for p in own:
        if p.default is p.empty and p.name not in arguments:
            raise InvalidInput(f"{field}.{p.name}", None, f"a value: it has no default (parameters: {listed})")
