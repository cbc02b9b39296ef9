"""How a real data set becomes a problem: coarse-to-fine (train on coarse labels, retrieve on the fine ones)."""

from __future__ import annotations

import functools
from collections.abc import Callable

from realdata.datasets import DATASETS, load
from sim.problems import PROBLEMS, Problem


@functools.lru_cache(maxsize=4)
def coarse_to_fine(name: str, root: str | None) -> Problem:
    """Train on a data set's coarse labels, retrieve on the fine labels of its test split.

    The same object is given again for the same arguments, so that runs share the data's memory.
    """
    return Problem(load(name, root, "train"), load(name, root, "test"))


def _problem(name: str) -> Callable[..., Problem]:
    def build(*, seed: int, root: str | None = None) -> Problem:
        return coarse_to_fine(name, root)

    return build


for _name in DATASETS:
    PROBLEMS.register(_name)(_problem(_name))
