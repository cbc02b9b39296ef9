"""Processes of this machine with one thread each, for work that comes in parts: groups of runs, pieces of theory.

`number_of_processes` is the one place that decides whether work is worth them. Threads inside one process bring less: half of a
run's time goes into evaluations and small products that don't spread over them, and two processes with threads on one machine get
in each other's way (`sim/__init__.py`).
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from sim.errors import InvalidInput
from sim.known import Known, known
from sim.watcher import deaf_to_ctrl_c, watched

ATTEMPTS = 3
"""Times that workers may die in a row, without a part finishing in between, before they are given up."""

SECONDS_TO_START = 4.0
"""Processor time that a process takes to start: mostly the import of PyTorch."""

SECONDS_BETWEEN_LOOKS = 0.2
"""Of workers, whether they are to end; of their parent, how many steps are done."""

OnSteps = Callable[[int], None]

Part = TypeVar("Part")
Result = TypeVar("Result")


def cores() -> int:
    """The cores that this process may use; a worker has one.

    Examples
    --------
    >>> cores() >= 1
    True
    """
    if Worker.steps is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def number_of_processes(seconds: float, parts: int, most: int) -> int:
    """How many processes are worth their start; 1: none but this one.

    Parameters
    ----------
    seconds : float
        What the work takes on one core, roughly.
    parts : int
        Into how many it can be divided.
    most : int
        Processes there may be.

    Examples
    --------
    >>> number_of_processes(1.0, parts=10, most=8), number_of_processes(40.0, parts=10, most=8)
    (1, 8)
    """
    wanted = min(parts, most, int(seconds / SECONDS_TO_START))
    return wanted if seconds > SECONDS_TO_START + seconds / max(wanted, 1) else 1


class Worker:
    """A worker process's link to its parent: how many steps are done, whether to stop, what the parent knows."""

    steps: Any = None
    stop: Any = None
    unusable: InvalidInput | None = None

    @classmethod
    def start(cls, steps: Any, stop: Any, outside: Known) -> None:
        """Run once in each process."""
        cls.steps, cls.stop = steps, stop
        threading.Thread(target=cls._end_when_told, daemon=True).start()
        # Workers share the cores; threads on top of them would only get in each other's way.
        torch.set_num_threads(1)
        try:
            outside.restore()
        except InvalidInput as error:
            # A pool whose workers fail to start says no more than that: let the first part say why.
            cls.unusable = error

    @classmethod
    def _end_when_told(cls) -> None:
        """End in the middle of a part: who interrupts doesn't wait for it."""
        while not cls.stop.value:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    @classmethod
    def on_steps(cls, done: int) -> None:
        """Count steps."""
        with cls.steps.get_lock():
            cls.steps.value += done

    @classmethod
    def work(cls, function: Callable[[Part, OnSteps], Result], part: Part) -> Result:
        """Do a part."""
        if cls.unusable is not None:
            raise cls.unusable
        return function(part, cls.on_steps)


def in_processes(
    function: Callable[[Part, OnSteps], Result], parts: Sequence[Part], processes: int, on_steps: OnSteps
) -> Iterator[Result]:
    """Do parts of work in processes with one thread each, in any order; a killed worker's part is done again by another.

    Parameters
    ----------
    function : callable
        (part, on_steps) -> result, of a module that can be imported; it calls ``on_steps`` with the steps done since the last call.
    parts : sequence
        Those that take longest first, so that no worker waits long for the last one.
    processes : int
    on_steps : callable
        Called here with the steps that the workers have done since the last call.

    Raises
    ------
    InvalidInput
        If workers keep dying, or what ``function`` raises.
    """
    context = multiprocessing.get_context("spawn")
    steps, stop = context.Value("q", 0), context.Value("b", 0)
    outside = known()
    told = 0
    waiting = list(range(len(parts)))
    attempts = 0
    while waiting:
        pool = ProcessPoolExecutor(min(processes, len(waiting)), context, Worker.start, (steps, stop, outside))
        futures: dict[Future[Result], int] = {}
        try:
            try:
                with watched(), deaf_to_ctrl_c():
                    for k in waiting:
                        futures[pool.submit(Worker.work, function, parts[k])] = k
            except BrokenPipeError:
                raise BrokenProcessPool("a worker died before it was told what to do") from None
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED)
                if steps.value > told:
                    on_steps(steps.value - told)
                    told = steps.value
                for future in done:
                    yield future.result()
                    waiting.remove(futures[future])
                    attempts = 0
        except BrokenProcessPool:
            attempts += 1
            if attempts == ATTEMPTS:
                raise InvalidInput(
                    "workers", processes, f"as many as memory allows: workers died {ATTEMPTS} times in a row"
                ) from None
        finally:
            stop.value = 1
            pool.shutdown(cancel_futures=True)
            stop.value = 0


def here_or_in_processes(
    function: Callable[[Part, OnSteps], Result], parts: Sequence[Part], seconds: float, most: int, on_steps: OnSteps
) -> Iterator[Result]:
    """`in_processes` where `number_of_processes` finds them worth their start, else one part after the other in this process.

    Examples
    --------
    >>> done = []
    >>> def twice(part, on_steps):
    ...     on_steps(1)
    ...     return 2 * part
    >>> list(here_or_in_processes(twice, [1, 2], 0.1, 4, done.append)), done
    ([2, 4], [1, 1])
    """
    processes = number_of_processes(seconds, len(parts), most)
    if processes > 1:
        return in_processes(function, parts, processes, on_steps)
    return (function(part, on_steps) for part in parts)
