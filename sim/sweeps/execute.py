"""From runs to stored results: finished runs are skipped, the others are trained together in groups of equal shape."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sim.config import RunConfig
from sim.problems import Problem, build
from sim.sweeps.store import Store
from sim.training import train

MAX_GROUP = 64
"""Runs trained together at most: beyond it speed gains little, and an interruption loses at most one group."""


def groups(configs: Sequence[RunConfig], limit: int = MAX_GROUP) -> list[list[RunConfig]]:
    """Split runs into groups that can share a tensor program, at most ``limit`` runs each, in order of appearance."""
    by_shape: dict[tuple[object, ...], list[RunConfig]] = {}
    for config in configs:
        sizes = {k: v for k, v in config.data.params.items() if k != "seed"}
        by_shape.setdefault((config.shape(), config.data.name, repr(sorted(sizes.items()))), []).append(config)
    return [g[start : start + limit] for g in by_shape.values() for start in range(0, len(g), limit)]


def execute(
    configs: Sequence[RunConfig],
    store: Store,
    *,
    device: str = "cpu",
    on_start: Callable[[int], None] | None = None,
    on_steps: Callable[[int], None] | None = None,
) -> None:
    """Train the runs that the store doesn't hold yet.

    Parameters
    ----------
    configs : sequence of RunConfig
        Repeated ones are trained once.
    store : Store
    device : str
    on_start : callable, optional
        Called once with the number of run-steps to do.
    on_steps : callable, optional
        Called with the number of run-steps done since the last call.
    """
    done = store.finished(c.key() for c in configs)
    todo = list({c.key(): c for c in configs if c.key() not in done}.values())
    if on_start is not None:
        on_start(sum(c.steps for c in todo))
    for group in groups(todo):
        built: dict[str, Problem] = {}
        started = time.perf_counter()
        problems = []
        for config in group:
            # A data set that ignores the seed gives the same object again, so that its runs share memory.
            name = f"{config.data.model_dump_json()} {config.seed}"
            if name not in built:
                built[name] = build(config.data.name, config.seed, **config.data.params)
            problems.append(built[name])
        results = train(group, problems, device=device, on_steps=on_steps)
        store.add(results, time.perf_counter() - started)
