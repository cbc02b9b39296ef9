"""Where groups of runs are trained: in this process, in several processes, or on a dask cluster; one file each.

An executor takes groups and yields finished ones in any order; whoever called it writes them to the store. So a store
has one writer, however many workers train.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sim.catalogue import PROBLEMS
from sim.config import RunConfig
from sim.errors import integer
from sim.problems import Problem, build, fingerprint
from sim.sweeps.pool import OnSteps as OnSteps
from sim.sweeps.pool import cores
from sim.training import RunResult, train

Group = list[RunConfig]
Done = tuple[list[RunResult], float]
"""Results of a group and the seconds it took."""


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

    Examples
    --------
    >>> Resources(workers=2).processes, Resources().processes >= 1
    (2, True)
    """

    device: str = "cpu"
    workers: int | None = None
    scheduler: str | None = None

    @property
    def processes(self) -> int:
        """Number of worker processes to start."""
        if self.workers is not None:
            return integer("workers", self.workers, 1)
        return cores()


Executor = Callable[[Sequence[Group], Resources, OnSteps], Iterator[Done]]
"""Entered in `sim.catalogue.EXECUTORS`. Called without groups, too, where a command has nothing to train: it may have to clean up after
one that was killed."""


def train_group(group: Group, device: str, on_steps: OnSteps | None = None) -> Done:
    """Build the problems of runs of one program and train them together.

    Examples
    --------
    >>> from sim.sweeps.grid import grid
    >>> base = {"steps": 2, "checkpoints": 1, "data.params": {"samples_per_mode": 8}, "batch.per_class": 4}
    >>> results, seconds = train_group(grid(base, {"seed": range(3)}), "cpu")
    >>> [result.status for result in results], seconds > 0
    (['done', 'done', 'done'], True)
    """
    started = time.perf_counter()
    built: dict[str, Problem] = {}
    problems, of = [], {}
    for config in group:
        of[_data(config)] = config
        # A data set that ignores the seed gives the same object again, so that its runs share memory.
        name = f"{config.data.model_dump_json()} {config.seed}"
        if name not in built:
            built[name] = build(config.data.name, config.seed, **config.data.params)
        problems.append(built[name])
    results = train(group, problems, device=device, on_steps=on_steps)
    # Asked here and now: another machine, or a later moment, may have other data.
    read = {name: fingerprint(c.data.name, c.seed, **c.data.params) for name, c in of.items()}
    for result in results:
        result.data = read[_data(result.config)]
    return results, time.perf_counter() - started


def _data(config: RunConfig) -> str:
    return f"{config.data.model_dump_json()} {config.seed if config.data.name in PROBLEMS else ''}"
