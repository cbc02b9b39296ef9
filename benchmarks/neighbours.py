"""Exact nearest neighbours of 60,000 x 128: Recall@K with ties treated exactly, beside faiss's flat index alone.

    python benchmarks/neighbours.py [--samples N] [--dim M]

Each side runs in a fresh process (peak memory is its own), three interleaved turns; medians. Three ways: `recall_at_k` as it is
(faiss proposes, double precision decides), the same without faiss, and faiss's IndexFlatL2 alone in single precision.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

SIDES = ("ours", "ours, without faiss", "faiss alone")
TURNS = 3
KS = (1, 2, 4, 8)


def high_water() -> float:
    """Peak resident memory of this process in MiB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def measure(side: str, samples: int, dim: int) -> tuple[float, float]:
    """Seconds, and MiB by which the peak grew."""
    import faiss

    from sim import metrics
    from sim.metrics import search

    threads = torch.get_num_threads()
    faiss.omp_set_num_threads(threads)
    draws = np.random.default_rng(0)
    labels = np.arange(samples) // 10
    # Modes as a trained net would leave them: a label's samples nearer to each other than to the rest.
    x = draws.standard_normal((samples // 10 + 1, dim))[labels] + 0.7 * draws.standard_normal((samples, dim))
    small = x[:500]
    metrics.recall_at_k(small, labels[:500] // 10, labels[:500])
    before, started = high_water(), time.perf_counter()
    if side == "faiss alone":
        single = x.astype(np.float32)
        index = faiss.IndexFlatL2(dim)
        index.add(single)
        index.search(single, max(KS) + 1)
    else:
        if side == "ours, without faiss":
            search.FROM = samples + 1
        metrics.recall_at_k(x, labels // 10, labels, options=metrics.Options(ks=KS))
    return time.perf_counter() - started, high_water() - before


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=60_000)
    parser.add_argument("--dim", type=int, default=128)
    arguments = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    for _ in range(TURNS):
        for side in SIDES:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                found[side].append(pool.submit(measure, side, arguments.samples, arguments.dim).result())
    peer = statistics.median(s for s, _ in found["faiss alone"])
    table = Table(
        "side", "s", "times faiss alone", "MiB", title=f"{arguments.samples:,} x {arguments.dim}, k = {max(KS)}"
    )
    for side, values in found.items():
        seconds = statistics.median(s for s, _ in values)
        table.add_row(side, f"{seconds:.2f}", f"{seconds / peer:.2f}", f"{max(m for _, m in values):.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
