"""From runs to stored results: finished runs are skipped, the others are trained together in groups of one program."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from sim.catalogue import EXECUTORS
from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.sweeps import inputs
from sim.sweeps.executors import Resources
from sim.sweeps.pool import number_of_processes
from sim.sweeps.store import Store

MOST_RUNS_TOGETHER = 256
"""Runs trained together at most: beyond it speed gains little."""

MOST_STEPS_TOGETHER = 1_000_000
"""Run-steps of a group at most, if it has several runs: an interruption loses the groups that are being trained."""

MOST_BYTES_TOGETHER = 2**30
"""Memory of a group at most, if it has several runs, as far as `bytes_of` estimates it."""

MATRICES_OF_A_RUN = 16
"""Matrices of float64 numbers, samples of the batch by samples of the batch and its memory, that a run holds in a step, roughly."""

SAMPLES_A_SECOND = 1_000_000
"""Samples of batches, times run-steps, that one core trains and evaluates in a second, roughly."""


def bytes_of(config: RunConfig) -> int:
    """The memory of a run in a step, estimated by what grows fastest: its matrices of pairs.

    Examples
    --------
    >>> bytes_of(RunConfig()) < 2**20
    True
    """
    size = max(config.batch.classes, 1) * config.batch.per_class
    return 8 * MATRICES_OF_A_RUN * size * (size + config.memory.size)


def seconds_of(config: RunConfig) -> float:
    """What a run takes on one core, very roughly: to tell moments from minutes, and to let the longest begin first.

    Examples
    --------
    >>> seconds_of(RunConfig(steps=10)) < seconds_of(RunConfig())
    True
    """
    size = max(config.batch.classes, 1) * config.batch.per_class
    return config.steps * size / SAMPLES_A_SECOND


def groups(configs: Sequence[RunConfig], limit: int = MOST_RUNS_TOGETHER) -> list[list[RunConfig]]:
    """Split runs into groups that can share a tensor program: of equal sizes, and no larger than speed, memory and the
    work lost by an interruption allow.

    Parameters
    ----------
    configs : sequence of RunConfig
    limit : int
        Runs in a group at most.

    Returns
    -------
    list of list of RunConfig
        What takes longest first.

    Examples
    --------
    Runs of one program go together: other seeds and noise levels do, another width doesn't.

    >>> from sim.sweeps.grid import grid
    >>> runs = grid({}, {"net.params": [{"width": 8}, {"width": 16}], "noise.level": [0, 0.2], "seed": range(3)})
    >>> [len(g) for g in groups(runs)], [len(g) for g in groups(runs, limit=4)]
    ([6, 6], [3, 3, 3, 3])
    """
    by_program: dict[tuple[object, ...], list[RunConfig]] = {}
    for config in configs:
        sizes = {k: v for k, v in config.data.params.items() if k != "seed"}
        by_program.setdefault((config.program(), config.data.name, repr(sorted(sizes.items()))), []).append(config)
    cut = []
    for alike in by_program.values():
        first = alike[0]
        most = max(1, min(limit, MOST_STEPS_TOGETHER // first.steps, MOST_BYTES_TOGETHER // bytes_of(first)))
        parts = math.ceil(len(alike) / most)
        places = [len(alike) * k // parts for k in range(parts + 1)]
        cut += [alike[a:b] for a, b in itertools.pairwise(places)]
    return sorted(cut, key=lambda group: -len(group) * seconds_of(group[0]))


def suitable(configs: Sequence[RunConfig], resources: Resources) -> str:
    """The executor for runs where the user names none: processes where there is work for several and the cores are what trains.

    Examples
    --------
    >>> from sim.sweeps.grid import grid
    >>> two = Resources(workers=2)
    >>> suitable(grid({"steps": 20}, {"seed": range(3)}), two), suitable(grid({}, {"seed": range(300)}), two)
    ('local', 'processes')
    """
    if resources.scheduler is not None:
        return "dask"
    # Processes would share one accelerator, and its memory.
    if resources.device != "cpu":
        return "local"
    seconds = sum(map(seconds_of, configs))
    return "processes" if number_of_processes(seconds, len(configs), resources.processes) > 1 else "local"


def execute(
    configs: Sequence[RunConfig],
    store: Store,
    *,
    executor: str | None = None,
    resources: Resources | None = None,
    on_start: Callable[[int], None] | None = None,
    on_steps: Callable[[int], None] | None = None,
) -> None:
    """Train the runs that the store doesn't hold yet, whole and on the data and code that are here now.

    Parameters
    ----------
    configs : sequence of RunConfig
        Repeated ones are trained once.
    store : Store
        Written group by group, by this process only.
    executor : str, optional
        A name in `sim.catalogue.EXECUTORS`; None: the `suitable` one.
    resources : Resources, optional
    on_start : callable, optional
        Called once with the number of run-steps to do.
    on_steps : callable, optional
        Called with the number of run-steps done since the last call.

    Raises
    ------
    InvalidInput
        Also if the data aren't there, or change while runs train on them.

    Examples
    --------
    What is there is not trained again.

    >>> import tempfile
    >>> from sim.sweeps.grid import grid
    >>> store, announced = Store(tempfile.mkdtemp()), []
    >>> base = {"steps": 2, "checkpoints": 1, "data.params": {"samples_per_mode": 8}, "batch.per_class": 4}
    >>> execute(grid(base, {"seed": range(1)}), store, on_start=announced.append)
    >>> execute(grid(base, {"seed": range(3)}), store, on_start=announced.append)
    >>> announced, sorted(set(store.load()["seed"]))
    ([2, 4], [0, 1, 2])
    """
    resources = resources or Resources()
    if executor is not None:
        EXECUTORS[executor]
    reading = inputs.Reading()
    by_key = {c.key(): c for c in configs}
    read = {key: reading.of(c) for key, c in by_key.items()}
    done = store.finished(by_key.values(), read)
    todo = [c for key, c in by_key.items() if key not in done]
    if on_start is not None:
        on_start(sum(c.steps for c in todo))
    if executor is None:
        executor = suitable(todo, resources)
    limit = MOST_RUNS_TOGETHER
    if executor != "local":
        # Enough groups for all workers, and a few more, so that none waits long for the last one.
        limit = min(limit, max(1, math.ceil(len(todo) / (2 * resources.processes))))
    for results, seconds in EXECUTORS[executor](groups(todo, limit), resources, on_steps or (lambda _: None)):
        for result in results:
            if result.data is not None and result.data != reading.data(result.config):
                raise InvalidInput(
                    "data.name",
                    result.config.data.name,
                    "data that are the same for whoever trains on them and stay as they are meanwhile: "
                    f"the {len(results)} runs just trained read others, and are not stored",
                )
        store.add(results, seconds, read)
