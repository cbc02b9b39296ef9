"""What a run-step costs against what its products must cost, and the memory that sides take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.peers.cases import OURS, Case, trainer
from benchmarks.peers.turns import CORES, Setup, Worker, _timed

SIZES = (64, 128, 256, 512, 1024)
"""Of the square products by which the rate of a core is measured, from in the first cache to in memory."""


def products(case: Case) -> int:
    """Floating-point operations of the net's products in a run-step: forward, and the gradients of weights and of hidden layers.

    Examples
    --------
    >>> products(Case("", "easy", "semihard"))
    1654784
    """
    first, hidden, last = 2 * case.width, case.width**2, 2 * case.width
    return 2 * case.batch * (2 * (first + hidden + last) + hidden + last)


def _seconds(work: Callable[[], object], least: float = 0.05) -> float:
    """CPU seconds a call, the best of three."""
    found = []
    for _ in range(3):
        calls, started = 0, time.process_time()
        while (passed := time.process_time() - started) < least:
            work()
            calls += 1
        found.append(passed / calls)
    return min(found)


def rate_of_products() -> float:
    """Floating-point operations a second of a float32 product on one core, at its best size.

    The right sides of many products are kept, so that a small product is not its call's cost.
    """
    torch.set_num_threads(1)
    rates = []
    for size in SIZES:
        a, b = torch.randn(2, max(1, 256 // size), size, size)
        out = torch.empty_like(a)
        rates.append(2 * a.numel() * size / _seconds(lambda a=a, b=b, out=out: torch.bmm(a, b, out=out)))
    return max(rates)


def shares(case: Case, runs: int) -> dict[str, float]:
    """CPU microseconds of a run-step on one core: all of it, its draws alone, its products at the core's best rate."""
    torch.set_num_threads(1)
    drawn = trainer(case, runs)

    def draw() -> None:
        for _ in range(64):
            drawn.labels.draw(drawn.batches.next(), drawn.draws)

    side = Setup(OURS, case, runs).make()
    side.advance()
    turns = [_timed(side, 2) for _ in range(3)]
    return {
        "all": 1e6 * statistics.median(t.cpu / t.steps for t in turns),
        "draws": 1e6 * _seconds(draw) / 64 / runs,
        "products": 1e6 * products(case) / rate_of_products(),
    }


def _high_water() -> float:
    """Peak resident memory of this process in MiB (not inherited from its parent, as ``ru_maxrss`` is)."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def _growth(small: Setup, setup: Setup) -> float:
    small.make().advance()
    before = _high_water()
    setup.make().advance()
    return _high_water() - before


def peak(setup: Setup) -> float:
    """MiB by which building a side and its first steps raise the peak of a fresh process, in which a small one has run before."""
    worker = Worker(CORES[:1])
    case = setup.case
    small = Setup(
        setup.side, Case(case.title, case.positive, case.negative, case.loss, 16, normalize=case.normalize), 1
    )
    try:
        found: float = worker.ask(_growth, small, setup).result()
    finally:
        worker.end()
    return found
