"""One group after the other in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sim.catalogue import EXECUTORS
from sim.sweeps.executors import Done, Group, OnSteps, Resources, train_group


@EXECUTORS.register("local")
def local(groups: Sequence[Group], resources: Resources, on_steps: OnSteps) -> Iterator[Done]:
    """One group after the other in this process, with PyTorch's own threads.

    Examples
    --------
    >>> from sim.config import Batch, RunConfig
    >>> config = RunConfig(steps=2, checkpoints=1, batch=Batch(per_class=4))
    >>> steps = []
    >>> ((results, _),) = local([[config]], Resources(), steps.append)
    >>> [result.config == config for result in results], sum(steps)
    ([True], 2)
    """
    for group in groups:
        yield train_group(group, resources.device, on_steps)
