"""Sides take turns, in processes that are kept: medians of interleaved turns survive a busy machine better than one long measurement each.

One process holds this package, the loop, both stacked PyTorch programs and JAX; more loops, JAX with more devices and everything on
a single core have processes of their own, as a process can't have less or more cores later on.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.peers.cases import BATCHED, JAX, LOOP, OURS, VMAP, Case, Ours, Side, Start
from benchmarks.peers.equal import check_weighted, first_steps, refuse_unequal

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))

MOST_STEPS = 480
"""Of a turn: a step's work changes with training, and all sides are to do the same."""


@dataclass(frozen=True)
class Setup:
    """A side of a case and how it is run.

    Attributes
    ----------
    chunk : int
        Runs that the side takes at once; 0: all.
    devices : int
        Of JAX.
    """

    side: str
    case: Case
    runs: int
    threads: int = 1
    chunk: int = 0
    devices: int = 1

    def __str__(self) -> str:
        words = [f"{self.threads} thread{'s' * (self.threads > 1)}"] if self.side != JAX else []
        if self.side in (BATCHED, VMAP, JAX):
            shared = {0: "all runs at once", 1: "run after run"}
            words.append(shared.get(self.chunk, f"{self.chunk} runs at once"))
        return ", ".join(words + [f"{self.devices} devices"] * (self.devices > 1))

    def make(self) -> Side:
        """Build it; what it starts with is the same for all sides."""
        if self.side == OURS:
            return Ours(self.case, self.runs)
        start, chunk = Start.of(self.case, self.runs), self.chunk or self.runs
        if self.side == JAX:
            from benchmarks.peers.jax_runs import JaxRuns

            return JaxRuns(self.case, start, chunk=chunk, devices=self.devices)
        from benchmarks.peers.torch_runs import Loop, Stacked

        if self.side == LOOP:
            return Loop(self.case, start)
        return Stacked(self.case, start, transform="batched" if self.side == BATCHED else "vmap", chunk=chunk)


@dataclass(frozen=True)
class Turn:
    """Run-steps done, seconds passed, and seconds of all the process's threads."""

    steps: int
    wall: float
    cpu: float


_held: dict[Setup, Side] = {}
"""Of a worker: what it has built."""


def _timed(side: Side, calls: int) -> Turn:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        side.advance()
    return Turn(side.runs * side.block * calls, time.perf_counter() - wall, time.process_time() - cpu)


def prepare(setup: Setup) -> Turn:
    """Build a side, let it compile, and time one call."""
    torch.set_num_threads(setup.threads)
    side = _held[setup] = setup.make()
    side.advance()
    return _timed(side, 1)


def take(setup: Setup, calls: int) -> Turn:
    """A turn from the start."""
    torch.set_num_threads(setup.threads)
    side = _held[setup]
    side.restart()
    return _timed(side, calls)


def check(setup: Setup) -> None:
    """Raise unless a peer's first losses are ours."""
    peer: Any = _held[setup]
    peer.restart()
    if setup.case.negative == "distance_weighted":
        check_weighted(setup.case, peer, str(setup.side))
    else:
        refuse_unequal(setup.case, peer, first_steps(setup.case, setup.runs), setup.side)


def forget(keep: tuple[Setup, ...] = ()) -> None:
    """Let go of all sides but some."""
    for setup in [s for s in _held if s not in keep]:
        del _held[setup]


@contextmanager
def _inherited(cores: list[int], environment: dict[str, str]) -> Iterator[None]:
    """What is started meanwhile has these cores and variables."""
    before, affinity = dict(os.environ), os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    os.environ.update(environment)
    if affinity is not None:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        if affinity is not None:
            os.sched_setaffinity(0, affinity)


class Worker:
    """A process that holds sides.

    Parameters
    ----------
    cores : list of int
    environment : dict
        Variables set before anything is imported.
    """

    def __init__(self, cores: list[int], environment: dict[str, str] | None = None) -> None:
        self.cores = cores
        self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        with _inherited(cores, {"OMP_NUM_THREADS": str(len(cores)), **(environment or {})}):
            self.ask(forget).result()

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call a function there."""
        return self.pool.submit(function, *arguments)

    def end(self) -> None:
        """End the process."""
        self.pool.shutdown()


def jax_on_devices(count: int) -> dict[str, str]:
    """Variables that give JAX so many host devices."""
    return {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}".strip()}


@dataclass(frozen=True)
class Team:
    """Processes that run a setup side by side; their steps count together."""

    name: str
    workers: tuple[Worker, ...]
    setup: Setup

    def __str__(self) -> str:
        several = len(self.workers) > 1
        return f"{len(self.workers)} processes" if several else str(self.setup)

    def _together(self, function: Callable[..., Turn], *arguments: Any) -> Turn:
        asked = [worker.ask(function, self.setup, *arguments) for worker in self.workers]
        turns: list[Turn] = [future.result() for future in asked]
        return Turn(sum(t.steps for t in turns), max(t.wall for t in turns), sum(t.cpu for t in turns))

    def prepare(self) -> Turn:
        """See `prepare`."""
        return self._together(prepare)

    def take(self, calls: int) -> Turn:
        """See `take`."""
        return self._together(take, calls)

    def check(self) -> None:
        """See `check`."""
        self.workers[0].ask(check, self.setup).result()


@dataclass(frozen=True)
class Rates:
    """A team's run-steps a second in each turn."""

    team: Team
    values: list[float]

    @property
    def median(self) -> float:
        """The median turn."""
        return statistics.median(self.values)


def measure(
    sides: dict[str, list[Team]],
    *,
    turns: int,
    seconds: float,
    clock: str,
    checked: bool = True,
    say: Callable[[str], object] = lambda _: None,
) -> dict[str, Rates]:
    """Rates of each side's fastest team, in interleaved turns.

    Parameters
    ----------
    sides : dict
        Name -> teams to choose from.
    turns : int
    seconds : float
        About as long a turn lasts, if it has so many steps.
    clock : str
        ``wall`` or ``cpu``.
    checked : bool
        Whether every peer's first losses are compared with ours before.
    say : callable
        Called with what is being done.

    Raises
    ------
    RuntimeError
        If they aren't equal.
    """

    def rate(turn: Turn) -> float:
        return turn.steps / float(getattr(turn, clock))

    best: dict[str, tuple[Team, int]] = {}
    for name, teams in sides.items():
        tried = []
        for team in teams:
            say(f"{team.setup.case.title}, batch {team.setup.case.batch}, {name}: {team}")
            tried.append((team, team.prepare()))
        team, first = max(tried, key=lambda one: rate(one[1]))
        block = first.steps // team.setup.runs // len(team.workers)
        best[name] = team, max(1, min(MOST_STEPS // block, round(seconds / first.wall)))
        if checked and name != OURS:
            team.check()
        for worker in {worker for team in teams for worker in team.workers}:
            worker.ask(forget, tuple(team.setup for team, _ in best.values())).result()
    found: dict[str, Rates] = {name: Rates(team, []) for name, (team, _) in best.items()}
    for turn in range(turns):
        for name, (team, calls) in best.items():
            say(f"{team.setup.case.title}, batch {team.setup.case.batch}, turn {turn + 1} of {turns}: {name}")
            found[name].values.append(rate(team.take(calls)))
    for worker in {worker for team, _ in best.values() for worker in team.workers}:
        worker.ask(forget).result()
    return found
