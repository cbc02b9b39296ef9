"""A pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch

from sim.catalogue import EXECUTORS
from sim.errors import InvalidInput
from sim.known import Known, known
from sim.sweeps.executors import ATTEMPTS, Done, Group, OnSteps, Resources, train_group
from sim.watcher import deaf_to_ctrl_c, watched


class Worker:
    """A worker process's link to its parent: how many steps are done, whether to stop, what the parent knows."""

    steps: Any = None
    stop: Any = None
    unusable: InvalidInput | None = None

    @classmethod
    def start(cls, steps: Any, stop: Any, outside: Known) -> None:
        """Run once in each process."""
        cls.steps, cls.stop = steps, stop
        # Workers share the cores; threads on top of them would only get in each other's way.
        torch.set_num_threads(1)
        try:
            outside.restore()
        except InvalidInput as error:
            # A pool whose workers fail to start says no more than that: let the first group say why.
            cls.unusable = error

    @classmethod
    def on_steps(cls, done: int) -> None:
        """Count steps, and stop where the parent wants that."""
        if cls.stop.value:
            raise InterruptedError
        with cls.steps.get_lock():
            cls.steps.value += done

    @classmethod
    def train(cls, group: Group, device: str) -> Done:
        """Train a group."""
        if cls.unusable is not None:
            raise cls.unusable
        return train_group(group, device, cls.on_steps)


@EXECUTORS.register("processes")
def processes(groups: Sequence[Group], resources: Resources, on_steps: OnSteps) -> Iterator[Done]:
    """A pool of processes with one thread each; a killed worker's group is trained again by another."""
    context = multiprocessing.get_context("spawn")
    steps, stop = context.Value("q", 0), context.Value("b", 0)
    outside = known()
    told = 0
    waiting = list(range(len(groups)))
    attempts = 0
    while waiting:
        pool = ProcessPoolExecutor(
            min(resources.processes, len(waiting)), context, Worker.start, (steps, stop, outside)
        )
        futures: dict[Future[Done], int] = {}
        try:
            try:
                with watched(), deaf_to_ctrl_c():
                    for k in waiting:
                        futures[pool.submit(Worker.train, groups[k], resources.device)] = k
            except BrokenPipeError:
                raise BrokenProcessPool("a worker died before it was told what to do") from None
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
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
                    "workers", resources.processes, f"as many as memory allows: workers died {ATTEMPTS} times in a row"
                ) from None
        finally:
            stop.value = 1
            pool.shutdown(cancel_futures=True)
            stop.value = 0
