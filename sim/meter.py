"""What is told of runs as they train: their mean loss, and a row for each checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sim import columns
from sim.errors import InvalidInput
from sim.losses import Loss

Row = dict[str, float | int | str]
"""One checkpoint and split of a run."""


class LossMeter:
    """Mean loss of R runs since the last `restart`, and whose loss has stopped being finite.

    Examples
    --------
    >>> meter = LossMeter(2)
    >>> meter.add(torch.tensor([1.0, torch.inf]))
    >>> meter.add(torch.tensor([3.0, 1.0]))
    >>> meter.mean(0), meter.not_finite()
    (2.0, [1])
    """

    def __init__(self, runs: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64) -> None:
        self.total = torch.zeros(runs, device=device, dtype=dtype)  # (R,)
        self.steps = 0

    def add(self, loss: Tensor) -> None:
        """One step's losses (R,)."""
        self.total += loss.detach()
        self.steps += 1

    def mean(self, run: int) -> float:
        """A run's mean; NaN before the first step."""
        return float(self.total[run] / self.steps) if self.steps else float("nan")

    def not_finite(self) -> list[int]:
        """Runs that have met a loss which isn't finite."""
        found: list[int] = (~torch.isfinite(self.total)).nonzero().flatten().tolist()
        return found

    def restart(self) -> None:
        """Forget all steps."""
        self.total.zero_()
        self.steps = 0


def metric_row(step: int, split: str, meter: LossMeter, run: int, loss: Loss, values: Mapping[str, float]) -> Row:
    """A row of results: where it was taken, the mean loss, what the loss has learnt, the metrics.

    Examples
    --------
    >>> from sim import losses
    >>> meter, margin = LossMeter(2), losses.make("margin", runs=2, classes=2, learn_beta="global")
    >>> meter.add(torch.tensor([1.0, 3.0]))
    >>> metric_row(10, "test", meter, 1, margin, {"recall_at_1": 0.9})
    {'step': 10, 'split': 'test', 'loss': 3.0, 'beta': 1.2, 'recall_at_1': 0.9}
    """
    learnt = {name: float(value[run]) for name, value in loss.learnt().items()}
    for name in values:
        columns.check_name(name)
        if name in learnt:
            raise InvalidInput("metric", name, f"a name that isn't what the loss learns ({', '.join(learnt)})")
    return {"step": step, "split": split, "loss": meter.mean(run), **learnt, **values}
