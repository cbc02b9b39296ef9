"""Time and memory of exact expected losses against n, beside the direct n^3 evaluation and Monte Carlo.

Run with ``python benchmarks/expected_loss.py``. Each cell is measured in a process of its own (peak memory is that of the process
above an idle one). The Monte-Carlo column extrapolates: time of one draw of all labels and its loss, times the number of draws
after which the standard error is 1e-3 of the value.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from sim import noise
from sim.losses import make
from sim.theory import expected_loss, expected_similarity_loss

ALPHA, P = 0.5, 0.9
SIZES = (128, 256, 512, 1024, 2048, 4096)
DIRECT_UP_TO = 1024
MONTE_CARLO_UP_TO = 2048
SIMILARITY_LOSSES = {
    "N-pair and NT-Xent": ("ntxent", "all", {"temperature": 0.05}),
    "the same, easy positives": ("ntxent", "easy", {"temperature": 0.05}),
    "SupCon": ("supcon", "all", {"temperature": 0.05}),
    "multi-similarity": ("multi_similarity", "all", {}),
}
SIMILARITY_SIZES = (1024, 4096)


def problem(n: int, dim: int = 2) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """n points in R^dim, two classes."""
    x = torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x, np.arange(n) % 2, noise.symmetric(2, P)


def ours(n: int, positive: str = "all") -> float:
    """Forward and backward; the value."""
    x, classes, transition = problem(n)
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").requires_grad_()
    value = expected_loss(d, classes, transition, positive=positive, alpha=ALPHA)
    value.backward()
    return float(value.detach())


def easy(n: int) -> float:
    """The same with easy positives."""
    return ours(n, "easy")


def direct(n: int) -> float:
    """The definition, one anchor at a time, forward and backward."""
    x, classes, transition = problem(n)
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").requires_grad_()
    p = torch.from_numpy(transition[classes])
    total = torch.zeros((), dtype=torch.float64)
    for i in range(n):
        w = (p[i] * p) @ (1 - p).T
        w[i, :] = w[:, i] = 0
        w.fill_diagonal_(0)
        term = (w * (d[i][:, None] - d[i][None, :] + ALPHA).clamp_min(0)).sum()
        term.backward()
        total += term.detach()
    return float(total)


def similarity(n: int, name: str) -> float:
    """A similarity loss on the sphere in R^16, forward and backward; the value."""
    loss, positive, params = SIMILARITY_LOSSES[name]
    x, classes, transition = problem(n, 16)
    x = torch.nn.functional.normalize(x, dim=-1)
    s = (x @ x.T).requires_grad_()
    value = expected_similarity_loss(s, classes, transition, loss=loss, positive=positive, **params)
    value.backward()
    return float(value.detach())


def monte_carlo(n: int, name: str = "") -> tuple[float, float]:
    """(seconds for one draw forward and backward, draws for a relative standard error of 1e-3): of triplets, or a similarity loss."""
    loss_name, positive, params = SIMILARITY_LOSSES.get(name, ("triplet", "all", {"alpha": ALPHA}))
    x, classes, transition = problem(n, 16 if name else 2)
    loss = make(loss_name, **params, reduction="sum")
    rows, truth = torch.from_numpy(transition[classes]), torch.from_numpy(classes)
    generator = torch.Generator().manual_seed(0)
    values, seconds = [], []
    for _ in range(12):
        u, v = torch.rand(2, n, generator=generator, dtype=torch.float64)
        started = time.perf_counter()
        points = x[None].clone().requires_grad_()
        value = loss(points, noise.flip(rows, truth, u, v)[None], positive=positive, negative="all")
        value.sum().backward()
        seconds.append(time.perf_counter() - started)
        values.append(float(value.detach()))
    return float(np.median(seconds)), float((np.std(values, ddof=1) / np.mean(values) / 1e-3) ** 2)


def _child(work: Callable[[int], object], n: int, out: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    torch.set_num_threads(2)
    work(16)
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    result = work(n)
    seconds = time.perf_counter() - started
    out.put((result, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) / 1024))


def measure(work: Callable[[int], object], n: int) -> tuple[object, float, float]:
    """(result, seconds, MiB above idle) in a fresh process."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    child = context.Process(target=_child, args=(work, n, out))
    child.start()
    result: tuple[object, float, float] = out.get()
    child.join()
    return result


def main() -> None:
    """Print the table."""
    table = Table(
        "n", "all: s", "MiB", "easy: s", "MiB", "direct: s", "MiB", "relative difference", "Monte Carlo: s", "draws"
    )
    for n in SIZES:
        value, seconds, memory = measure(ours, n)
        _, easy_seconds, easy_memory = measure(easy, n)
        row = [str(n), f"{seconds:.3f}", f"{memory:.0f}", f"{easy_seconds:.3f}", f"{easy_memory:.0f}"]
        if n <= DIRECT_UP_TO:
            exact, direct_seconds, direct_memory = measure(direct, n)
            assert isinstance(value, float)
            assert isinstance(exact, float)
            row += [f"{direct_seconds:.2f}", f"{direct_memory:.0f}", f"{abs(value / exact - 1):.1e}"]
        else:
            row += ["", "", ""]
        if n <= MONTE_CARLO_UP_TO:
            drawn, _, _ = measure(monte_carlo, n)
            per_draw, draws = drawn[0], max(drawn[1], 1)
            row += [f"{per_draw * draws:.2f}", f"{draws:.0f}"]
        table.add_row(*row)
    console = Console(width=130)
    console.print(table)
    table = Table("loss", "n", "s", "MiB", "Monte Carlo: s", "draws")
    for name in SIMILARITY_LOSSES:
        for n in SIMILARITY_SIZES:
            _, seconds, memory = measure(partial(similarity, name=name), n)
            row = [name, str(n), f"{seconds:.2f}", f"{memory:.0f}"]
            if n <= MONTE_CARLO_UP_TO:
                drawn, _, _ = measure(partial(monte_carlo, name=name), n)
                per_draw, draws = drawn[0], max(drawn[1], 1)
                row += [f"{per_draw * draws:.2f}", f"{draws:.0f}"]
            table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
