"""From runs to stored results: finished runs are skipped, the others are trained together in groups of one program."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sim.catalogue import EXECUTORS
from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.sweeps import inputs
from sim.sweeps.executors import Resources
from sim.sweeps.store import Store

MOST_RUNS_TOGETHER = 64
"""Runs trained together at most: beyond it speed gains little, and an interruption loses at most one group."""


def groups(configs: Sequence[RunConfig], limit: int = MOST_RUNS_TOGETHER) -> list[list[RunConfig]]:
    """Split runs into groups that can share a tensor program, at most ``limit`` runs each, in order of appearance.

    Examples
    --------
    Runs of one program go together: other seeds and noise levels do, another width doesn't.

    >>> from sim.sweeps.grid import grid
    >>> runs = grid({}, {"net.params": [{"width": 8}, {"width": 16}], "noise.level": [0, 0.2], "seed": range(3)})
    >>> [len(g) for g in groups(runs)]
    [6, 6]
    """
    by_program: dict[tuple[object, ...], list[RunConfig]] = {}
    for config in configs:
        sizes = {k: v for k, v in config.data.params.items() if k != "seed"}
        by_program.setdefault((config.program(), config.data.name, repr(sorted(sizes.items()))), []).append(config)
    return [g[start : start + limit] for g in by_program.values() for start in range(0, len(g), limit)]


def execute(
    configs: Sequence[RunConfig],
    store: Store,
    *,
    executor: str = "local",
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
    executor : str
        A name in `sim.sweeps.executors.EXECUTORS`.
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
    chosen, resources = EXECUTORS[executor], resources or Resources()
    reading = inputs.Reading()
    read = {c.key(): reading.of(c) for c in configs}
    done = store.finished(configs, read)
    todo = list({c.key(): c for c in configs if c.key() not in done}.values())
    if on_start is not None:
        on_start(sum(c.steps for c in todo))
    if not todo:
        return
    limit = MOST_RUNS_TOGETHER
    if executor != "local":
        # Enough groups for all workers, and a few more, so that none waits long for the last one.
        limit = min(MOST_RUNS_TOGETHER, math.ceil(len(todo) / (2 * resources.processes)))
    for results, seconds in chosen(groups(todo, limit), resources, on_steps or (lambda _: None)):
        for result in results:
            if result.data is not None and result.data != reading.data(result.config):
                raise InvalidInput(
                    "data.name",
                    result.config.data.name,
                    "data that are the same for whoever trains on them and stay as they are meanwhile: "
                    f"the {len(results)} runs just trained read others, and are not stored",
                )
        store.add(results, seconds, read)
