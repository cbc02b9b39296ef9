"""What an evaluation costs: milliseconds a run, by metric, on trained embeddings of the study `noise_sweep_quick`.

    python benchmarks/metrics.py [--turns N]

The runs of the sweep's first program train for 300 steps, then `METRICS` are computed one after another on their test samples, as
`evaluate_runs` does it: what several share counts for the first of them. One thread; medians of processor time over the turns.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from sim.catalogue import METRICS
from sim.metrics.base import DEFAULT, Runs, prepare
from sim.problems import build
from sim.sweeps.spec import load
from sim.training import train

STEPS = 300


def trained() -> Runs:
    """Embeddings of one group of the sweep, half-way from their initial state."""
    configs = load("noise_sweep_quick")
    configs = [config for config in configs if config.program() == configs[0].program()]
    configs = [config.model_copy(update={"steps": STEPS, "checkpoints": 1}) for config in configs]
    problems = [build(config.data.name, config.seed, **config.data.params) for config in configs]
    results = train(configs, problems)
    _, chunks = prepare(
        np.stack([result.arrays["embeddings_test"] for result in results]),
        np.stack([problem.test.classes for problem in problems]),
        np.stack([problem.test.modes for problem in problems]),
        DEFAULT,
    )
    return next(chunks)


def turn(runs: Runs) -> dict[str, float]:
    """Milliseconds a run for each metric."""
    runs = Runs(runs.x, runs.classes, runs.fine, runs.class_of_fine, runs.n_classes, runs.options)
    found = {}
    for name in METRICS:
        start = time.thread_time()
        METRICS[name].values(runs)
        found[name] = 1e3 * (time.thread_time() - start) / len(runs.x)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    torch.set_num_threads(1)
    runs = trained()
    turn(runs)  # compiles
    found = [turn(runs) for _ in range(turns)]
    table = Table("metric", "ms a run", title=f"{len(runs.x)} runs of {runs.x.shape[1]} samples x {runs.x.shape[2]}")
    for name in METRICS:
        table.add_row(name, f"{statistics.median(of[name] for of in found):.3f}")
    for title, heavy in (("light", False), ("all", True)):
        sums = [sum(of[name] for name in METRICS if heavy or not METRICS[name].heavy) for of in found]
        table.add_row(title, f"{statistics.median(sums):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
