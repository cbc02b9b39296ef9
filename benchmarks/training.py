"""Training many runs at once against a plain loop with pytorch-metric-learning that does the same work.

    python benchmarks/training.py [--quick] [--csv FILE]

Run-steps a second: the number of runs times the steps each makes in a second. A step draws a batch, embeds it, mines,
computes the loss, its gradient, and applies Adam. Both sides run in this process, in turns, each with the number of
threads that suits it best; figures are medians over the turns. Memory is the growth of a fresh process's peak.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pytorch_metric_learning import distances, losses, miners, reducers
from rich.console import Console
from rich.progress import track
from rich.table import Table

from sim.config import RunConfig, parse
from sim.problems import build
from sim.training import Trainer

console = Console(width=140)
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SECONDS = 1.0
TURNS = 5


@dataclass(frozen=True)
class Case:
    """One comparison: the same miner and loss here and in the peer."""

    name: str
    positive: str
    negative: str
    miner: Callable[[], Any] | None
    loss: Callable[[], Any]
    loss_name: str = "triplet"
    batch: int = 64
    runs: int = 256
    normalize: bool = False
    target: float | None = None


def _triplet() -> Any:
    return losses.TripletMarginLoss(
        margin=0.2, distance=distances.LpDistance(normalize_embeddings=False), reducer=reducers.AvgNonZeroReducer()
    )


def _on_sphere() -> Any:
    return losses.TripletMarginLoss(margin=0.2)


def _hard_miner(pos: str, neg: str) -> Callable[[], Any]:
    def make() -> Any:
        return miners.BatchEasyHardMiner(
            pos_strategy=pos, neg_strategy=neg, distance=distances.LpDistance(normalize_embeddings=False)
        )

    return make


CASES = [
    Case("EPS + semihard, triplet", "easy", "semihard", _hard_miner("easy", "semihard"), _triplet, target=20),
    Case("batch-hard, triplet", "hard", "hard", _hard_miner("hard", "hard"), _triplet),
    Case("all triplets, batch 64", "all", "all", None, _triplet, target=10),
    Case("all triplets, batch 512", "all", "all", None, _triplet, batch=512, runs=8, target=100),
    Case(
        "distance-weighted, triplet",
        "all",
        "distance_weighted",
        lambda: miners.DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=1.4),
        _on_sphere,
        normalize=True,
        target=20,
    ),
    Case("SupCon", "all", "all", None, lambda: losses.SupConLoss(temperature=0.1), "supcon", normalize=True),
    Case(
        "multi-similarity",
        "all",
        "all",
        None,
        lambda: losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5),
        "multi_similarity",
        normalize=True,
    ),
]


def config(case: Case, **changes: Any) -> RunConfig:
    """Two classes of four modes in the plane, MLP 2-64-64-2."""
    fields: dict[str, Any] = {
        "data": {"name": "gaussian_mixture", "params": {"samples_per_mode": max(75, case.batch // 6)}},
        "net": {"dim": 2, "normalize": case.normalize, "params": {"width": 64, "depth": 2}},
        "loss": {"name": case.loss_name},
        "positive": case.positive,
        "negative": case.negative,
        "batch": {"per_class": case.batch // 2},
        "noise": {"mode": "static", "level": 0.1},
        **changes,
    }
    return parse(RunConfig, fields)


def trainer(case: Case, runs: int | None = None, **changes: Any) -> Trainer:
    """The runs of a case, one seed each."""
    first = config(case, **changes)
    configs = [first.model_copy(update={"seed": s}) for s in range(runs or case.runs)]
    problem = build(first.data.name, 0, **first.data.params)
    return Trainer(configs, [problem] * len(configs))


class Peer:
    """One run in the usual style: modules, a miner object, a loss object, Adam."""

    def __init__(self, case: Case) -> None:
        problem = build("gaussian_mixture", 0, **config(case).data.params)
        self.x = torch.from_numpy(problem.train.x).float()
        self.labels = torch.from_numpy(problem.train.classes)
        self.members = [torch.nonzero(self.labels == c).flatten() for c in range(2)]
        self.net = torch.nn.Sequential(
            torch.nn.Linear(2, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2)
        )
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        self.miner = case.miner() if case.miner else None
        self.loss = case.loss()
        self.normalize, self.per_class = case.normalize, case.batch // 2

    def step(self) -> None:
        """One optimisation step."""
        index = torch.cat([m[torch.randperm(len(m))[: self.per_class]] for m in self.members])
        embeddings, labels = self.net(self.x[index]), self.labels[index]
        if self.normalize:
            embeddings = torch.nn.functional.normalize(embeddings)
        tuples = self.miner(embeddings, labels) if self.miner else None
        loss = self.loss(embeddings, labels, tuples)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


STEPS = 200
"""Steps of a turn at batch 64; fewer at larger ones."""


def rate(step: Callable[[], object], per_call: int, seconds: float = SECONDS) -> float:
    """Run-steps a second over about ``seconds``."""
    calls, started = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - started < seconds:
        step()
        calls += 1
    return per_call * calls / (time.perf_counter() - started)


def best_threads(step: Callable[[], object], per_call: int) -> int:
    """The number of threads that is fastest, by the medians of three short interleaved tries."""
    tried: dict[int, list[float]] = {threads: [] for threads in (1, CORES)}
    step()
    for _ in range(3):
        for threads, rates in tried.items():
            torch.set_num_threads(threads)
            rates.append(rate(step, per_call, SECONDS / 2))
    return max(tried, key=lambda k: statistics.median(tried[k]))


def against(case: Case) -> dict[str, Any]:
    """Medians of interleaved turns; in each both sides do the same steps of a run from its start, as a step's work changes with training."""
    threads = best_threads(trainer(case).step, case.runs), best_threads(Peer(case).step, 1)
    rates: tuple[list[float], list[float]] = ([], [])
    steps = max(3, STEPS * 64**2 // case.batch**2)
    for _ in range(TURNS):
        for side, (step, per_call) in enumerate(((trainer(case).step, case.runs), (Peer(case).step, 1))):
            torch.set_num_threads(threads[side])
            step()
            started = time.perf_counter()
            for _ in range(steps):
                step()
            rates[side].append(per_call * steps / (time.perf_counter() - started))
    a, b = (statistics.median(r) for r in rates)
    low, high = (f(x / y for x, y in zip(*rates, strict=True)) for f in (min, max))
    return {
        "case": case.name,
        "batch": case.batch,
        "runs": case.runs,
        "ours, run-steps/s": a,
        "peer, run-steps/s": b,
        "ratio": a / b,
        "ratio, least": low,
        "ratio, most": high,
        "target": case.target,
        "threads, ours": threads[0],
        "threads, peer": threads[1],
    }


def _high_water() -> float:
    """Peak resident memory of this process in MiB (not inherited from its parent, as ``ru_maxrss`` is)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _peak(side: str, name: str, batch: int) -> float:
    case = replace(next(c for c in CASES if c.name == name), batch=batch)
    torch.set_num_threads(1)
    small = replace(case, batch=16)
    (trainer(small, 1) if side == "ours" else Peer(small)).step()
    step = trainer(case, 1).step if side == "ours" else Peer(case).step
    before = _high_water()
    step()
    return _high_water() - before


def peak(side: str, case: Case) -> float:
    """MiB by which one step of one run raises the peak of a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, side, case.name, case.batch).result()


def shares(case: Case) -> dict[str, float]:
    """Milliseconds of a step's parts, single-threaded: batch, net, mining and loss, backward, optimiser."""
    torch.set_num_threads(1)
    t = trainer(case)
    spent: dict[str, list[float]] = {}
    for _ in range(30):
        marks = [time.perf_counter()]

        def mark(name: str, marks: list[float] = marks) -> None:
            marks.append(time.perf_counter())
            spent.setdefault(name, []).append((marks[-1] - marks[-2]) * 1000)

        index = t.batches.next()
        labels = t.labels.draw(index, t.draws)
        x = t.splits["train"].rows(index)
        mark("batch")
        embeddings = t.net(x, index)
        mark("net")
        leaf = embeddings.detach().requires_grad_()
        loss = t.loss(leaf, labels, positive=case.positive, negative=case.negative, generator=t.draws)
        mark("mining and loss")
        (upstream,) = torch.autograd.grad(loss.sum(), leaf)
        mark("gradient of the loss")
        gradients = torch.autograd.grad(embeddings, t.parameters, upstream)
        mark("gradient of the net")
        t.optimizer.step(gradients, 1.0)
        mark("optimiser")
    return {name: statistics.median(values) for name, values in spent.items()}


def machine() -> dict[str, float]:
    """What one thread of this machine reaches: GFLOP/s of a float32 product, GB/s of a copy."""
    torch.set_num_threads(1)
    a, big = torch.randn(1024, 1024), torch.randn(16_000_000)
    out = torch.empty_like(big)
    gemm = statistics.median(rate(lambda: a @ a, 1, 0.3) for _ in range(3))
    copy = statistics.median(rate(lambda: out.copy_(big), 1, 0.3) for _ in range(3))
    return {"GFLOP/s": gemm * 2 * 1024**3 / 1e9, "GB/s": copy * 2 * big.numel() * 4 / 1e9}


def flops(case: Case) -> float:
    """Floating-point operations of the net's products in a run-step: forward, and twice that backward."""
    return 3 * 2 * case.batch * (2 * 64 + 64 * 64 + 64 * 2)


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a table."""
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(
            *[
                ""
                if v is None
                else f"{v:,.3g}"
                if isinstance(v, float) and v < 100
                else f"{v:,.0f}"
                if isinstance(v, float)
                else str(v)
                for v in row.values()
            ]
        )
    console.print(table)


def main() -> None:
    """Print the tables."""
    global SECONDS, STEPS, TURNS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three short turns, no scaling")
    parser.add_argument("--csv", type=Path, help="also write the ratios to this file")
    arguments = parser.parse_args()
    if arguments.quick:
        SECONDS, STEPS, TURNS = 0.4, 50, 3
    torch.manual_seed(0)
    rows = [against(case) for case in track(CASES, "peer", console=console, transient=True)]
    show(f"run-steps a second, medians of {TURNS} interleaved turns of {STEPS} steps, {CORES} cores", rows)
    if arguments.csv:
        text = pd.DataFrame(rows).to_csv(index=False, float_format="%.4g", lineterminator="\n")
        arguments.csv.write_text(f"# python benchmarks/training.py --csv {arguments.csv}\n{text}")

    eps, uniform = (trainer(CASES[0], positive=p, negative="random") for p in ("easy", "random"))
    torch.set_num_threads(best_threads(eps.step, 256))
    turns = [(rate(uniform.step, 256), rate(eps.step, 256)) for _ in range(TURNS)]
    cost = statistics.median(u / e - 1 for u, e in turns)
    console.print(f"easy positives cost {cost:+.1%} over random positives (random negatives, batch 64, 256 runs)")

    large = CASES[3]
    mine, theirs = peak("ours", large), peak("peer", large)
    console.print(
        f"peak memory of one step, all triplets, batch 512, one run: {mine:.1f} MiB, peer {theirs:.0f} MiB; "
        f"batch 2,048: {peak('ours', replace(large, batch=2048)):.0f} MiB"
    )

    limits, parts = machine(), shares(CASES[0])
    total = sum(parts.values())
    text = ", ".join(f"{name} {ms:.2f} ms ({ms / total:.0%})" for name, ms in parts.items())
    console.print(f"a step of {CASES[0].name}, 256 runs, one thread: {total:.1f} ms: {text}")
    reached = flops(CASES[0]) * 256 / ((parts["net"] + parts["gradient of the net"]) / 1000) / 1e9
    console.print(
        f"one thread reaches {limits['GFLOP/s']:.0f} GFLOP/s in a large product and {limits['GB/s']:.1f} GB/s in a copy; "
        f"the net's products run at {reached:.0f} GFLOP/s"
    )
    if arguments.quick:
        return
    scaling: list[dict[str, Any]] = []
    for runs in (1, 4, 16, 64, 256, 1024):
        t = trainer(CASES[0], runs)
        torch.set_num_threads(best_threads(t.step, runs))
        scaling.append({"what": "runs", "value": runs, "run-steps/s": rate(t.step, runs)})
    for batch in (16, 64, 256, 1024):
        case = replace(CASES[0], batch=batch, runs=max(1, 8192 // batch))
        t = trainer(case)
        torch.set_num_threads(best_threads(t.step, case.runs))
        scaling.append({"what": f"batch ({case.runs} runs)", "value": batch, "run-steps/s": rate(t.step, case.runs)})
    for width in (16, 64, 256):
        t = trainer(CASES[0], 64, net={"dim": 2, "params": {"width": width, "depth": 2}})
        torch.set_num_threads(best_threads(t.step, 64))
        scaling.append({"what": "width (64 runs)", "value": width, "run-steps/s": rate(t.step, 64)})
    for threads in range(1, CORES + 1):
        t = trainer(CASES[0])
        torch.set_num_threads(threads)
        scaling.append({"what": "threads (256 runs)", "value": threads, "run-steps/s": rate(t.step, 256)})
    show("scaling of EPS + semihard, triplet, batch 64 unless said", scaling)


if __name__ == "__main__":
    main()
