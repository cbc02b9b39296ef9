"""Ctrl-C and SIGTERM end a command with `KeyboardInterrupt`, but never in the middle of an import or of a compilation.

An exception that comes while PyTorch's C++ code sets itself up aborts the process; one in a library's import may be taken for a
missing library; one where LLVM calls Python is dropped. So a signal waits until what is imported or compiled is there: seconds.
"""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import ClassVar

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it; Typer gives it, too."""

TERMINATED = 143
"""Exit code after SIGTERM, by which batch systems and ``kill`` end a process."""

SECONDS_BETWEEN_LOOKS = 0.05

MOST_SECONDS = 30.0
"""A plug-in may work while it is imported, for ever."""

CALLED_FROM_COMPILED_CODE = frozenset(
    {"_frozen_importlib", "_frozen_importlib_external", "importlib", "llvmlite", "numba"}
)
"""Packages that run Python below compiled code through which no exception passes."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came: as Ctrl-C, which event loops and libraries let through, and nothing takes for an error."""

    came: ClassVar[bool] = False


_heard: float | None = None


def must_wait(frame: FrameType | None) -> bool:
    """Whether an exception may get lost, or do harm, on its way up from a frame.

    Examples
    --------
    >>> import sys
    >>> must_wait(sys._getframe())
    False
    """
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] in CALLED_FROM_COMPILED_CODE:
            return True
        frame = frame.f_back
    return False


def _answer(number: int, frame: FrameType | None) -> None:
    global _heard
    if _heard is None:
        _heard = time.monotonic()
    if must_wait(frame) and time.monotonic() - _heard < MOST_SECONDS:
        timer = threading.Timer(SECONDS_BETWEEN_LOOKS, signal.pthread_kill, [threading.main_thread().ident, number])
        timer.daemon = True
        timer.start()
        return
    _heard = None
    if number == signal.SIGTERM:
        Terminated.came = True
        raise Terminated
    raise KeyboardInterrupt


def listen() -> None:
    """Take over SIGTERM, and Ctrl-C unless it is ignored, as it is in the background of a shell."""
    signal.signal(signal.SIGTERM, _answer)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _answer)
