"""Processes on this machine."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from sim.catalogue import EXECUTORS
from sim.sweeps.executors import Done, Group, OnSteps, Resources, train_group
from sim.sweeps.pool import in_processes


@EXECUTORS.register("processes")
def processes(groups: Sequence[Group], resources: Resources, on_steps: OnSteps) -> Iterator[Done]:
    """Processes with one thread each; a killed worker's group is trained again by another."""
    return in_processes(functools.partial(_train, resources.device), groups, resources.processes, on_steps)


def _train(device: str, group: Group, on_steps: OnSteps) -> Done:
    return train_group(group, device, on_steps)
