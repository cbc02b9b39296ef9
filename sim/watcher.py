"""Worker processes that end with the process that started them, even if that was killed while they still import.

A spawned process first runs its parent's main module, then imports what its work needs: seconds in which it would not notice
that nobody waits for it. Inside `watched` it runs this module instead, which imports nothing, before anything else. What the
parent's main module registered reaches workers by value (`sim.known`), so a script needs no ``if __name__ == "__main__":``.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import spawn
from typing import Any

PARENT = "COLLAPSE_PARENT"
"""Environment variable: the process to end with."""

SECONDS_BETWEEN_LOOKS = 0.2

_lock = threading.Lock()
_inside = 0
_as_python_does = spawn.get_preparation_data


def _preparation_data(name: str) -> dict[str, Any]:
    data = _as_python_does(name)
    data.pop("init_main_from_path", None)
    return {**data, "init_main_from_name": "sim.watcher"}


@contextmanager
def watched() -> Iterator[None]:
    """Let processes that `multiprocessing` spawns meanwhile, from any thread, end with this one.

    Examples
    --------
    >>> with watched():
    ...     spawn.get_preparation_data("worker")["init_main_from_name"]
    'sim.watcher'
    """
    global _inside
    with _lock:
        _inside += 1
        spawn.get_preparation_data = _preparation_data
        os.environ[PARENT] = str(os.getpid())
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                spawn.get_preparation_data = _as_python_does
                os.environ.pop(PARENT, None)


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Let processes started meanwhile, from this thread or from new ones, never hear of Ctrl-C.

    It reaches every process of the terminal; what it means is for the one that started them to decide.

    Examples
    --------
    >>> with deaf_to_ctrl_c():
    ...     signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    True
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until what is begun here is whole: half a cluster can't be closed. The second one doesn't wait.

    Examples
    --------
    >>> with uninterrupted():
    ...     signal.getsignal(signal.SIGINT) is signal.default_int_handler
    False
    """
    if threading.current_thread() is not threading.main_thread():
        # Signals come to the main thread only.
        yield
        return
    heard: list[int] = []

    def hear(number: int, _: object) -> None:
        if heard:
            raise KeyboardInterrupt
        heard.append(number)

    before = {int(signum): signal.signal(signum, hear) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in heard:
            signal.raise_signal(number)


def _end_with(parent: int) -> None:
    # The pipe from the parent that `multiprocessing` watches isn't known yet. An orphan gets another parent.
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)


if __name__ == "__mp_main__":
    threading.Thread(target=_end_with, args=(int(os.environ[PARENT]),), daemon=True).start()
