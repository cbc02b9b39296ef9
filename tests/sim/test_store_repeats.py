"""What a results folder does with a run that comes twice, and what it calls fields."""

from __future__ import annotations

from pathlib import Path

from sim.config import RunConfig, parse
from sim.sweeps.rows import flatten
from sim.sweeps.store import Store
from sim.training import RunResult


def test_a_run_that_is_added_again_stays_as_it_was(tmp_path: Path) -> None:
    """Two processes may train one run: the first to add it is the one whose rows, status and time are kept."""
    store = Store(tmp_path)
    first, second = (parse(RunConfig, {"seed": s}) for s in (0, 1))
    rows = [{"step": 1, "split": "test", "loss": 1.0}]
    store.add([RunResult(first, rows=rows)], 3.0)
    again = [{"step": 1, "split": "test", "loss": 9.0}, {"step": 2, "split": "test", "loss": 9.0}]
    store.add([RunResult(first, status="diverged", rows=again), RunResult(second, rows=rows)], 8.0)
    table = store.load().sort_values("seed")
    assert table[["seed", "status", "loss", "seconds"]].to_numpy().tolist() == [
        [0, "done", 1.0, 3.0],
        [1, "done", 1.0, 4.0],
    ]


def test_names_are_dotted_at_every_depth() -> None:
    assert flatten({"loss": {"params": {"alpha": {"low": 1}}}, "seed": 2}) == {"loss.params.alpha.low": 1, "seed": 2}
