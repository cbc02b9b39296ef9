"""How a real data set becomes a problem: what is trained on, what is retrieved, and which images are for which.

- *coarse*: train on the coarse labels of the training split, retrieve the fine labels of the test split;
- *zero_shot*: train on the fine labels of the first half of the fine classes, retrieve those of the other half;
- *merged*: fine classes are merged into super-classes that are trained on, so that every class's modes are known.

Label noise is the run's (`sim.config.Noise`): it changes the labels trained on, never those that metrics look at.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realdata import features as frozen
from realdata.datasets import DATASETS, SPLITS, locate, pictures
from realdata.pictures import Pictures
from sim.errors import InvalidInput, choice, integer
from sim.generators import Sample
from sim.problems import PROBLEMS, Problem
from sim.streams import stream

PROTOCOLS = ("coarse", "zero_shot", "merged")


@dataclass(frozen=True)
class Part:
    """The images of one side of a problem.

    Attributes
    ----------
    rows : ndarray, shape (n,), int64
        Places among both splits' images, training split first, in increasing order.
    classes, modes : ndarray, shape (n,), int64
        What is trained on, 0..t-1; what is retrieved.
    """

    rows: np.ndarray
    classes: np.ndarray
    modes: np.ndarray

    def limited(self, most: int | None, purpose: str) -> Part:
        """At most ``most`` images of each fine class, the same ones every time."""
        if most is None:
            return self
        order = stream(0, purpose).permutation(len(self.rows))
        order = order[np.argsort(self.modes[order], kind="stable")]
        _, start, counts = np.unique(self.modes[order], return_index=True, return_counts=True)
        kept = np.sort(order[np.arange(len(order)) - np.repeat(start, counts) < most])
        return Part(self.rows[kept], self.classes[kept], self.modes[kept])


def _part(rows: np.ndarray, classes: np.ndarray, fine: np.ndarray) -> Part:
    """Chosen rows, with their classes counted from 0."""
    return Part(rows, np.unique(classes[rows], return_inverse=True)[1].astype(np.int64), fine[rows])


def parts(
    train: Pictures,
    test: Pictures,
    protocol: str = "coarse",
    *,
    per_super: int | None = None,
    merge_seed: int | None = None,
    limit: int | None = None,
    test_limit: int | None = None,
) -> tuple[Part, Part]:
    """Which images are trained on and which are tested on, with which labels. No image is read.

    Parameters
    ----------
    train, test : Pictures
        The data set's splits.
    protocol : str
        A name in `PROTOCOLS`. *zero_shot* keeps splits that share no fine class (CUB-200, Cars196, Online Products and
        Omniglot); others are put together and halved by fine class. *merged* keeps splits that share their fine classes;
        others are put together, and half of every fine class's images (drawn once for all) are for testing.
    per_super : int
        For *merged*: fine classes a super-class, >= 2; the last one may have fewer.
    merge_seed : int, optional
        For *merged*: neighbours in the data set's order are merged, or with a seed, fine classes in an order drawn from it.
    limit, test_limit : int, optional
        At most so many training and test images of each fine class.

    Raises
    ------
    InvalidInput
    """
    choice("protocol", protocol, PROTOCOLS)
    if protocol == "merged":
        integer("per_super", per_super, 2)
    else:
        for name, value in (("per_super", per_super), ("merge_seed", merge_seed)):
            if value is not None:
                raise InvalidInput(name, value, "nothing, but with protocol = merged")
    fine = np.concatenate([train.modes, test.modes])
    apart = np.arange(len(fine)) >= len(train)
    labels = np.unique(fine)
    shared = np.intersect1d(train.modes, test.modes)
    if protocol == "coarse":
        classes = np.concatenate([train.classes, test.classes])
        if not len(np.setdiff1d(train.modes, test.modes)) and not len(np.setdiff1d(test.modes, train.modes)):
            # The same labels on both sides keep the same numbers.
            assert np.array_equal(np.unique(train.classes), np.unique(test.classes))
    elif protocol == "zero_shot":
        classes = fine
        if len(shared):
            apart = ~np.isin(fine, labels[: len(labels) // 2])
    else:
        order = (
            labels if merge_seed is None else stream(integer("merge_seed", merge_seed, 0), "merge").permutation(labels)
        )
        classes = np.argsort(order)[np.searchsorted(labels, fine)] // integer("per_super", per_super, 2)
        if not len(shared):
            apart = _half_of_each(fine)
    sides = (_part(np.flatnonzero(side), classes, fine) for side in (~apart, apart))
    most = (("limit", limit), ("test_limit", test_limit))
    chosen = [
        side.limited(None if value is None else integer(name, value, 1), name)
        for side, (name, value) in zip(sides, most, strict=True)
    ]
    return chosen[0], chosen[1]


def _half_of_each(fine: np.ndarray) -> np.ndarray:
    """True for half of each fine class's images (the smaller half where it's odd), drawn once for all."""
    order = stream(0, "held out").permutation(len(fine))
    order = order[np.argsort(fine[order], kind="stable")]
    _, start, counts = np.unique(fine[order], return_index=True, return_counts=True)
    held = np.zeros(len(fine), bool)
    held[order] = np.arange(len(fine)) - np.repeat(start, counts) < np.repeat(counts // 2, counts)
    return held


Inputs = Callable[[Pictures, str, np.ndarray], np.ndarray]
"""(a split, its name, rows) -> what the net is given for these rows."""


def _sample(part: Part, splits: tuple[Pictures, Pictures], inputs: Inputs) -> Sample:
    border = len(splits[0])
    own = [part.rows[part.rows < border], part.rows[part.rows >= border] - border]
    read = [inputs(split, name, rows) for split, name, rows in zip(splits, SPLITS, own, strict=True) if len(rows)]
    return Sample(read[0] if len(read) == 1 else np.concatenate(read), part.classes, part.modes)


def problem(
    name: str,
    root: str | None = None,
    *,
    protocol: str = "coarse",
    per_super: int | None = None,
    merge_seed: int | None = None,
    limit: int | None = None,
    test_limit: int | None = None,
    size: int | None = None,
    features: str | None = None,
) -> Problem:
    """A problem made of a data set. The same object is given again for the same arguments, so that runs share its memory.

    Parameters
    ----------
    name : str
        A name in `realdata.datasets.DATASETS`.
    root : str, optional
        The data set's folder, see `realdata.datasets.locate`. A run's key holds it where it is given: with
        ``COLLAPSE_DATA`` instead, results have the same key wherever the data are.
    protocol, per_super, merge_seed, limit, test_limit
        See `parts`.
    size : int, optional
        Side of the images, see `realdata.datasets.load`.
    features : str, optional
        A backbone, see `realdata.features.backbone`: x is its features (n, d) instead of pixels.

    Raises
    ------
    InvalidInput
    """
    if features is not None and size is not None:
        raise InvalidInput("size", size, "nothing with features: the backbone decides")
    chosen = (protocol, per_super, merge_seed, limit, test_limit, size, features)
    return _built(name, None if DATASETS[name].bundled and root is None else locate(name, root), *chosen)


@functools.lru_cache(maxsize=4)
def _built(
    name: str,
    place: Path | None,
    protocol: str,
    per_super: int | None,
    merge_seed: int | None,
    limit: int | None,
    test_limit: int | None,
    size: int | None,
    features: str | None,
) -> Problem:
    splits = (pictures(name, place, "train"), pictures(name, place, "test"))
    options = {"per_super": per_super, "merge_seed": merge_seed, "limit": limit, "test_limit": test_limit}
    train, test = parts(*splits, protocol, **options)
    if features is None:

        def inputs(split: Pictures, which: str, rows: np.ndarray) -> np.ndarray:
            return split.pixels(None if len(rows) == len(split) else rows, size)
    else:
        net = frozen.backbone(features)

        def inputs(split: Pictures, which: str, rows: np.ndarray) -> np.ndarray:
            return frozen.extract(split, f"{name}-{which}", net)[rows]

    return Problem(_sample(train, splits, inputs), _sample(test, splits, inputs))


def _problem(name: str) -> Callable[..., Problem]:
    def build(
        *,
        seed: int,
        root: str | None = None,
        protocol: str = "coarse",
        per_super: int | None = None,
        merge_seed: int | None = None,
        limit: int | None = None,
        test_limit: int | None = None,
        size: int | None = None,
        features: str | None = None,
    ) -> Problem:
        return problem(
            name,
            root,
            protocol=protocol,
            per_super=per_super,
            merge_seed=merge_seed,
            limit=limit,
            test_limit=test_limit,
            size=size,
            features=features,
        )

    return build


for _name in DATASETS:
    PROBLEMS.register(_name)(_problem(_name))
