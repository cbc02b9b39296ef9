"""Which images a step needs, and how they are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from realdata.backbones import Preprocessing
from realdata.datasets import SPLITS
from realdata.finetune.config import FineTune
from realdata.pictures import Pictures
from realdata.protocol import Part
from sim.catalogue import DATASETS
from sim.samplers.batches import Batches
from sim.streams import stream

Item = tuple[int, float, float, bool]
"""(row, horizontal and vertical place of the crop, mirrored)."""


class Images(Dataset[Tensor]):
    """The images of one side of a problem.

    Parameters
    ----------
    read : callable () -> list of Pictures
        Opens the data set's splits; called once in each process, as open archives can't be shared between processes.
    part : Part
    preprocessing : Preprocessing
    """

    def __init__(self, read: Callable[[], list[Pictures]], part: Part, preprocessing: Preprocessing) -> None:
        self.read, self.part, self.preprocessing = read, part, preprocessing
        self._opened: tuple[int, list[Pictures]] | None = None

    @property
    def splits(self) -> list[Pictures]:
        """The data set's splits, as opened by this process."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), self.read()
        return self._opened[1]

    def __getitem__(self, item: Item) -> Tensor:
        """One image, (3, size, size)."""
        row, across, down, mirrored = item
        place = int(self.part.rows[row])
        border = len(self.splits[0])
        split, at = (self.splits[0], place) if place < border else (self.splits[1], place - border)
        image = self.preprocessing(split, np.array([at]), (across, down))[0]
        return image.flip(-1) if mirrored else image

    def middle(self) -> list[Item]:
        """Items for all images, the middle of each."""
        return [(row, 0.5, 0.5, False) for row in range(len(self.part.rows))]


def read_splits(name: str, place: Path) -> list[Pictures]:
    """The splits of a data set, opened."""
    return [DATASETS[name].read(place, split) for split in SPLITS]


class Steps:
    """The batches of a run's steps from ``first`` on, as items of `Images`.

    Parameters
    ----------
    config : FineTune
    groups : ndarray, shape (n,), int64
        What batches are balanced over.
    first : int
        Steps already done.

    Examples
    --------
    A run that goes on after a break meets the batches it would have met.

    >>> from realdata.finetune.config import FineTuneBatch
    >>> config = FineTune(steps=5, batch=FineTuneBatch(classes=2, per_class=2))
    >>> groups = np.repeat([0, 1, 2], 4)
    >>> whole, rest = (list(Steps(config, groups, first)) for first in (0, 3))
    >>> len(whole), whole[3:] == rest
    (5, True)
    """

    def __init__(self, config: FineTune, groups: np.ndarray, first: int) -> None:
        self.config, self.groups, self.first = config, groups, first

    def __iter__(self) -> Iterator[list[Item]]:
        c = self.config
        batches = Batches([c.seed], [self.groups], classes=c.batch.classes, per_class=c.batch.per_class)
        for step in range(c.steps):
            rows = batches.next()[0].tolist()
            if step < self.first:
                continue
            u = stream(f"{c.seed} step {step}", "augment").random((len(rows), 3))  # (B, 3)
            yield [
                (row, float(x), float(y), bool(z < 0.5)) if c.augment else (row, 0.5, 0.5, False)
                for row, (x, y, z) in zip(rows, u, strict=True)
            ]
