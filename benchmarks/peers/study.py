"""A whole study from the start of its command to the rows of all its runs: training and evaluation, with empty and with filled caches.

``python -m benchmarks.peers.study SIDE RUNS STEPS CHUNK`` is the command of a peer; this package's is ``collapse train --seeds RUNS``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.peers.cases import CASES, LOOP, OURS, Peer, config, trainer
from benchmarks.peers.turns import CORES, Setup
from sim import metrics
from sim.problems import build

CASE = CASES["eps"]
CHECKPOINTS = 5
LOOPED = 2
"""Runs of the loop that are trained by each process; the time of the others follows from theirs."""

ROOT = Path(__file__).parents[2]


def _environment(caches: Path, root: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(root),
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def _command(side: str, runs: int, steps: int, chunk: int, folder: Path) -> list[str]:
    if side != OURS:
        return [sys.executable, "-m", "benchmarks.peers.study", side, str(runs), str(steps), str(chunk)]
    file = folder / "run.yaml"
    file.write_text(
        yaml.safe_dump(config(CASE, steps=steps, checkpoints=CHECKPOINTS).model_dump(mode="json", exclude={"seed"}))
    )
    return [sys.executable, "-m", "sim.cli", "train", "--config", str(file), "--seeds", str(runs), "--out", str(folder / "out")]  # fmt: skip


def seconds(side: str, runs: int, steps: int, caches: Path, *, chunk: int = 0, root: Path = ROOT) -> float:
    """From the command's start to its end.

    Parameters
    ----------
    caches : Path
        Where kernels and compiled programs are kept: an empty folder is a cold start.
    chunk : int
        See `Setup`.
    root : Path
        Where the package is: another checkout measures another version.

    Raises
    ------
    RuntimeError
        If the command fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = _command(side, runs, steps, chunk, Path(folder))
        started = time.perf_counter()
        done = subprocess.run(command, cwd=root if side == OURS else ROOT, env=_environment(caches, root), capture_output=True, text=True)  # fmt: skip
        passed = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    if side == LOOP:
        # The processes trained LOOPED runs each; a start is paid once, training and evaluation for every run.
        each = float(done.stdout.split()[-1])
        return passed - each * LOOPED + each * runs / len(CORES)
    return passed


def _evaluated(embeddings: Any, heavy: bool) -> int:
    first = config(CASE)
    test = build(first.data.name, 0, **first.data.params).test
    return len(metrics.evaluate_runs(embeddings, test.classes, test.modes, heavy=heavy))


def _trained(side: Peer, steps: int, pool: ProcessPoolExecutor) -> list[Future[int]]:
    """Train to the last step, and let other processes evaluate at the checkpoints (a process that trains has no core to lend)."""
    x = trainer(CASE, 1).splits["test"].x
    asked: list[Future[int]] = []
    for checkpoint in range(CHECKPOINTS + 1):
        if checkpoint:
            for _ in range(steps // CHECKPOINTS // side.block):
                side.advance()
        parts = torch.tensor_split(side.embed(x), min(side.runs, len(CORES)))
        asked += [pool.submit(_evaluated, part.numpy(), checkpoint == CHECKPOINTS) for part in parts]
    return asked


def _looped(runs: int, steps: int) -> float:
    """Seconds of a run of the loop, evaluation included, in this process."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    for _ in range(runs):
        side: Any = Setup(LOOP, CASE, 1).make()
        x = trainer(CASE, 1).splits["test"].x
        for checkpoint in range(CHECKPOINTS + 1):
            for _ in range(steps // CHECKPOINTS if checkpoint else 0):
                side.advance()
            _evaluated(side.embed(x).numpy(), checkpoint == CHECKPOINTS)
    return (time.perf_counter() - started) / runs


def main(side: str, runs: int, steps: int, chunk: int) -> None:
    """A peer's study; the loop prints the seconds of a run."""
    with ProcessPoolExecutor(len(CORES), get_context("spawn")) as pool:
        if side == LOOP:
            print(max(pool.map(_looped, [LOOPED] * len(CORES), [steps] * len(CORES))))
            return
        program: Any = Setup(side, CASE, runs, chunk=chunk).make()
        done = sum(future.result() for future in _trained(program, steps, pool))
        print(done)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
