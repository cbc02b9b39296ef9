"""The one kind of error a user's input can cause, and the checks that raise it most."""

from __future__ import annotations

import inspect
import itertools
import math
import numbers
import os
import reprlib
from collections.abc import Callable, Hashable, Iterable
from typing import Any

MOST_SHOWN = 120
"""Characters of a value in a message."""

MOST_SAID = 2000
"""Characters of each other part of a message."""

LARGEST = 2**63 - 1
"""The largest integer that arrays and the results' index hold."""


class _Short(reprlib.Repr):
    """Looks at the beginning of a value only: a message about a huge value is as quick as about a small one."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = self.maxarray = 20
        self.maxdict, self.maxstring, self.maxother = 20, 2 * MOST_SHOWN, 2 * MOST_SHOWN

    def repr_int(self, x: int, level: int) -> str:
        digits = x.bit_length() * math.log10(2)
        return repr(x) if digits < MOST_SHOWN else f"an integer of {digits:.0f} digits"

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        # As the user wrote it: the base class sorts.
        if level <= 0 and x:
            return "{...}"
        items = itertools.islice(x.items(), self.maxdict)
        shown = [f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in items]
        return "{" + ", ".join(shown + ["..."] * (len(x) > self.maxdict)) + "}"


_SHORT = _Short()


def shown(value: object) -> str:
    """A value as a message shows it: on one line, cut at `MOST_SHOWN` characters.

    Examples
    --------
    >>> shown({"b": 1, "a": [0.5]}), shown(10**400)
    ("{'b': 1, 'a': [0.5]}", 'an integer of 400 digits')
    """
    try:
        text = _SHORT.repr(value)
    # Whatever a stranger's object does when it is to be shown, the message must come.
    except Exception:
        text = f"a {type(value).__name__}"
    return one_line(text, MOST_SHOWN)


def one_line(text: str, most: int = MOST_SAID) -> str:
    r"""A text on one line, control characters written out, cut at so many characters.

    Examples
    --------
    >>> one_line("a file\n called \x1b[1m"), one_line("x" * 99, 10)
    ('a file called \\x1b[1m', 'xxxxxxx...')
    """
    words = " ".join(text[: 2 * most].split())
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in words)
    return line if len(line) <= most and len(text) <= 2 * most else line[: most - 3] + "..."


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
        super().__init__(f"{one_line(field, MOST_SHOWN)}: got {shown(value)}; allowed: {one_line(allowed)}")

    def __reduce__(self) -> tuple[type, tuple[str, object, str]]:
        return type(self), (self.field, self.value, self.allowed)


def integer(field: str, value: Any, least: int, most: int | None = None) -> int:
    """``value``, if it is an integer from ``least`` to ``most`` (`LARGEST` if not given).

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
    if not fits or not least <= value <= (LARGEST if most is None else most):
        endless = most is None and not (fits and value > LARGEST)
        raise InvalidInput(
            field,
            value,
            f"an integer >= {least}" if endless else f"an integer, {least} to {LARGEST if most is None else most}",
        )
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
    try:
        fits = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        fits = False
    if not fits or not ok(value):
        raise InvalidInput(field, value, allowed)
    return float(value)


def memory() -> int:
    """This machine's memory in bytes."""
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def within_memory(field: str, value: object, needed: float) -> None:
    """Refuse a size whose arrays this machine's memory can't hold, before anything of that size is made.

    Parameters
    ----------
    field, value
        The size, as the user wrote it.
    needed : float
        Bytes, estimated from below.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> within_memory("net.params.width", 64, needed=4 * 64**2)
    """
    if needed > memory():
        raise InvalidInput(
            field, value, f"less: {needed / 2**30:,.1f} GiB would be needed, this machine has {memory() / 2**30:,.1f}"
        )


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
    if not isinstance(value, Hashable) or value not in names:
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
