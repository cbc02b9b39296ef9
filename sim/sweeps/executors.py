"""Where groups of runs are trained: in this process, in several processes, or on a dask cluster.

An executor takes groups and yields finished ones in any order; whoever called it writes them to the store. So a store
has one writer, however many workers train.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for_end
from typing import Any

import torch

from sim.config import RunConfig
from sim.errors import InvalidInput, integer
from sim.losses import LOSSES
from sim.nets import NETS
from sim.problems import PROBLEMS, Problem, build
from sim.registry import Registry
from sim.samplers import NEGATIVES, POSITIVES
from sim.training import RunResult, train

Group = list[RunConfig]
Done = tuple[list[RunResult], float]
"""Results of a group and the seconds it took."""

OnSteps = Callable[[int], None]

ATTEMPTS = 3
"""Times that workers may die in a row, without a group finishing in between, before a sweep gives up."""


PATIENCE = 60.0
"""Seconds that a dask cluster may be without any worker before a sweep gives up."""


@dataclass(frozen=True)
class Resources:
    """What the user lends to a sweep.

    Attributes
    ----------
    device : str
    workers : int or None
        Processes; None: one a core.
    scheduler : str or None
        Address of a dask scheduler; None: a cluster of ``workers`` processes on this machine.
    """

    device: str = "cpu"
    workers: int | None = None
    scheduler: str | None = None

    @property
    def processes(self) -> int:
        """Number of worker processes to start."""
        if self.workers is not None:
            return integer("workers", self.workers, 1)
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


Executor = Callable[[Sequence[Group], Resources, OnSteps], Iterator[Done]]

EXECUTORS: Registry[Executor] = Registry("executor")


def train_group(group: Group, device: str, on_steps: OnSteps | None = None) -> Done:
    """Build the problems of runs of one shape and train them together."""
    started = time.perf_counter()
    built: dict[str, Problem] = {}
    problems = []
    for config in group:
        # A data set that ignores the seed gives the same object again, so that its runs share memory.
        name = f"{config.data.model_dump_json()} {config.seed}"
        if name not in built:
            built[name] = build(config.data.name, config.seed, **config.data.params)
        problems.append(built[name])
    results = train(group, problems, device=device, on_steps=on_steps)
    return results, time.perf_counter() - started


def modules_of(groups: Sequence[Group]) -> list[str]:
    """Modules that registered what the runs name: a worker has to import them to know it."""
    entries: set[Any] = set()
    for config in {id(g): g[0] for g in groups}.values():
        entries |= {PROBLEMS[config.data.name], LOSSES[config.loss.name], NETS[config.net.kind]}
        entries |= {POSITIVES[config.positive].choose, NEGATIVES[config.negative].choose}
    return sorted({entry.__module__ for entry in entries})


@EXECUTORS.register("local")
def local(groups: Sequence[Group], resources: Resources, on_steps: OnSteps) -> Iterator[Done]:
    """One group after the other in this process, with PyTorch's own threads."""
    for group in groups:
        yield train_group(group, resources.device, on_steps)


class _Worker:
    """A worker process's link to its parent: how many steps are done, whether to stop."""

    steps: Any = None
    stop: Any = None

    @classmethod
    def start(cls, steps: Any, stop: Any, modules: Sequence[str]) -> None:
        cls.steps, cls.stop = steps, stop
        # Ctrl-C reaches every process of the terminal: the parent decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=cls._die_with_parent, daemon=True).start()
        # Workers share the cores; threads on top of them would only get in each other's way.
        torch.set_num_threads(1)
        for module in modules:
            importlib.import_module(module)

    @staticmethod
    def _die_with_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            wait_for_end([parent.sentinel])
            os._exit(1)

    @classmethod
    def on_steps(cls, done: int) -> None:
        if cls.stop.value:
            raise InterruptedError
        with cls.steps.get_lock():
            cls.steps.value += done

    @classmethod
    def train(cls, group: Group, device: str) -> Done:
        return train_group(group, device, cls.on_steps)


@EXECUTORS.register("processes")
def processes(groups: Sequence[Group], resources: Resources, on_steps: OnSteps) -> Iterator[Done]:
    """A pool of processes with one thread each; a killed worker's group is trained again by another."""
    context = multiprocessing.get_context("spawn")
    steps, stop = context.Value("q", 0), context.Value("b", 0)
    told = 0
    waiting = list(range(len(groups)))
    attempts = 0
    while waiting:
        pool = ProcessPoolExecutor(
            min(resources.processes, len(waiting)), context, _Worker.start, (steps, stop, modules_of(groups))
        )
        futures: dict[Future[Done], int] = {}
        try:
            for k in waiting:
                futures[pool.submit(_Worker.train, groups[k], resources.device)] = k
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


def _import_all(modules: Sequence[str]) -> None:
    torch.set_num_threads(1)
    for module in modules:
        importlib.import_module(module)


def _dask_group(group: Group, device: str, modules: Sequence[str]) -> Done:
    _import_all(modules)
    return train_group(group, device)


@EXECUTORS.register("dask")
def dask(groups: Sequence[Group], resources: Resources, on_steps: OnSteps) -> Iterator[Done]:
    """A dask cluster: the scheduler given, or one on this machine; dask moves a lost worker's groups to the others."""
    try:
        from distributed import Client, LocalCluster, TimeoutError, wait
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise InvalidInput(
            "executor", "dask", "local or processes, or install the extra: class-collapse[dask]"
        ) from None
    modules = modules_of(groups)
    with contextlib.ExitStack() as stack:
        address = resources.scheduler
        if address is None:
            try:
                cluster = LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=min(resources.processes, len(groups)),
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs="CRITICAL",
                )
            except RuntimeError as error:
                raise _dying(resources, f"one died while it started: {error}") from None
            address = stack.enter_context(cluster).scheduler_address
        try:
            client = stack.enter_context(Client(address, timeout=10))  # type: ignore[no-untyped-call]
        except OSError as error:
            raise InvalidInput("scheduler", address, f"the address of a running dask scheduler ({error})") from None
        pending = {client.submit(_dask_group, g, resources.device, modules, pure=False) for g in groups}
        while pending:
            try:
                # A cluster whose workers are all gone would be waited for for ever.
                ready, pending = wait(  # type: ignore[no-untyped-call]
                    pending, timeout=PATIENCE, return_when="FIRST_COMPLETED"
                )
            except TimeoutError:
                if not client.ncores():
                    raise _dying(resources, f"there was none for {PATIENCE:g} s") from None
                continue
            for future in ready:
                try:
                    done: Done = future.result()
                except KilledWorker:
                    raise _dying(resources, f"{ATTEMPTS} or more died with one group") from None
                on_steps(sum(r.config.steps for r in done[0]))
                future.release()
                yield done


def _dying(resources: Resources, what: str) -> InvalidInput:
    return InvalidInput("workers", resources.scheduler or resources.processes, f"workers that stay alive ({what})")
