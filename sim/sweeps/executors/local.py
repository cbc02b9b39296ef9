"""One group after the other in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sim.catalogue import EXECUTORS
from sim.sweeps.executors import Done, Group, OnSteps, Resources, train_group


@EXECUTORS.register("local")
def local(groups: Sequence[Group], resources: Resources, on_steps: OnSteps) -> Iterator[Done]:
    """One group after the other in this process, with PyTorch's own threads."""
    for group in groups:
        yield train_group(group, resources.device, on_steps)
