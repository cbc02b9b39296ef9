"""How a real data set becomes a problem: what is trained on, what is retrieved, and which images are for which.

- *coarse*: train on the coarse labels of the training split, retrieve the fine labels of the test split;
- *zero_shot*: train on the fine labels of the first half of the fine classes, retrieve those of the other half;
- *merged*: fine classes are merged into super-classes that are trained on, so that every class's modes are known.

Label noise is the run's (`sim.config.Noise`): it changes the labels trained on, never those that metrics look at.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from realdata import backbones
from realdata import features as frozen
from realdata.datasets import SPLITS, locate
from realdata.digests import joined
from realdata.pictures import Pictures
from realdata.trees import state
from sim.catalogue import DATASETS
from sim.errors import InvalidInput, choice, integer
from sim.generators import Sample
from sim.problems import Problem
from sim.streams import stream

PROTOCOLS = ("coarse", "zero_shot", "merged")


@dataclass(frozen=True)
class Protocol:
    """What is trained on and what is retrieved.

    Attributes
    ----------
    kind : str
        A name in `PROTOCOLS`. *zero_shot* keeps splits that share no fine class (CUB-200, Cars196, Online Products and
        Omniglot); others are put together and halved by fine class. *merged* keeps splits that share their fine classes;
        others are put together, and half of every fine class's images (drawn once for all) are for testing.
    per_super : int
        For *merged*: fine classes a super-class, >= 2; the last one may have fewer.
    merge_seed : int, optional
        For *merged*: neighbours in the data set's order are merged, or with a seed, fine classes in an order drawn from it.
    limit, test_limit : int, optional
        At most so many training and test images of each fine class, the same ones every time.

    Raises
    ------
    InvalidInput
        For a value out of range, or one that this kind doesn't use.

    Examples
    --------
    >>> Protocol("merged", per_super=5).merge_seed is None  # neighbours are merged
    True
    >>> Protocol("coarse", per_super=5)
    Traceback (most recent call last):
    sim.errors.InvalidInput: per_super: got 5; allowed: nothing, but with protocol = merged
    """

    kind: str = "coarse"
    per_super: int | None = None
    merge_seed: int | None = None
    limit: int | None = None
    test_limit: int | None = None

    def __post_init__(self) -> None:
        choice("protocol", self.kind, PROTOCOLS)
        for name, least in (("per_super", 2), ("merge_seed", 0), ("limit", 1), ("test_limit", 1)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, integer(name, value, least))
        if self.kind == "merged" and self.per_super is None:
            raise InvalidInput("per_super", None, "an integer >= 2 with protocol = merged")
        for name in ("per_super", "merge_seed"):
            if self.kind != "merged" and getattr(self, name) is not None:
                raise InvalidInput(name, getattr(self, name), "nothing, but with protocol = merged")


@dataclass(frozen=True)
class Part:
    """The images of one side of a problem.

    Attributes
    ----------
    rows : ndarray, shape (n,), int64
        Places among both splits' images, training split first, in increasing order.
    classes, modes : ndarray, shape (n,), int64
        What is trained on, 0..t-1; what is retrieved.

    Examples
    --------
    >>> side = Part(rows=np.array([0, 2, 3]), classes=np.array([0, 0, 1]), modes=np.array([4, 6, 9]))
    >>> len(side.rows), dict(zip(side.modes.tolist(), side.classes.tolist()))
    (3, {4: 0, 6: 0, 9: 1})
    """

    rows: np.ndarray
    classes: np.ndarray
    modes: np.ndarray


def parts(train: Pictures, test: Pictures, protocol: Protocol) -> tuple[Part, Part]:
    """Which images are trained on and which are tested on, with which labels. No image is read.

    Parameters
    ----------
    train, test : Pictures
        The data set's splits.
    protocol : Protocol

    Returns
    -------
    (Part, Part)
        Training and test side.

    Examples
    --------
    >>> from realdata.datasets import pictures
    >>> digits = [pictures("digits", split=split) for split in SPLITS]
    >>> train, test = parts(*digits, Protocol("merged", per_super=5, limit=1))  # 0 to 4 against 5 to 9
    >>> sorted(zip(train.modes.tolist(), train.classes.tolist()))
    [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (6, 1), (7, 1), (8, 1), (9, 1)]
    >>> train, test = parts(*digits, Protocol("zero_shot"))
    >>> np.unique(train.modes).tolist(), np.unique(test.modes).tolist()
    ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])
    """
    fine = np.concatenate([train.modes, test.modes])  # (training images + test images,)
    testing = np.arange(len(fine)) >= len(train)
    labels = np.unique(fine)
    shared = len(np.intersect1d(train.modes, test.modes)) > 0
    if protocol.kind == "coarse":
        classes = np.concatenate([train.classes, test.classes])
    elif protocol.kind == "zero_shot":
        classes = fine
        if shared:
            testing = ~np.isin(fine, labels[: len(labels) // 2])
    else:
        order = labels if protocol.merge_seed is None else stream(protocol.merge_seed, "merge").permutation(labels)
        classes = np.argsort(order)[np.searchsorted(labels, fine)] // (protocol.per_super or 1)
        if not shared:
            place, count = _places(fine, "held out")
            testing = place < count // 2
    return _part(~testing, classes, fine, protocol.limit), _part(testing, classes, fine, protocol.test_limit)


def _part(side: np.ndarray, classes: np.ndarray, fine: np.ndarray, limit: int | None) -> Part:
    """The rows of one side, with their classes counted from 0."""
    rows = np.flatnonzero(side)
    if limit is not None:
        rows = rows[_places(fine[rows], "limit")[0] < limit]
    return Part(rows, np.unique(classes[rows], return_inverse=True)[1].astype(np.int64), fine[rows])


def _places(fine: np.ndarray, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """Each image's place in its fine class, in an order drawn once for all; and the size of its fine class."""
    order = stream(0, purpose).permutation(len(fine))
    order = order[np.argsort(fine[order], kind="stable")]
    _, start, count = np.unique(fine[order], return_index=True, return_counts=True)
    places = np.empty((2, len(fine)), np.int64)
    places[:, order] = np.arange(len(fine)) - np.repeat(start, count), np.repeat(count, count)
    return places[0], places[1]


Inputs = Callable[[Pictures, str, np.ndarray], np.ndarray]
"""(a split, its name, rows) -> what the net is given for these rows."""


def _sample(part: Part, splits: list[Pictures], inputs: Inputs) -> Sample:
    border = len(splits[0])
    own = [part.rows[part.rows < border], part.rows[part.rows >= border] - border]
    read = [inputs(split, name, rows) for split, name, rows in zip(splits, SPLITS, own, strict=True) if len(rows)]
    return Sample(read[0] if len(read) == 1 else np.concatenate(read), part.classes, part.modes)


def problem(
    name: str,
    root: str | None = None,
    *,
    seed: int = 0,
    protocol: str = "coarse",
    per_super: int | None = None,
    merge_seed: int | None = None,
    limit: int | None = None,
    test_limit: int | None = None,
    size: int | None = None,
    features: str | None = None,
) -> Problem:
    """A problem made of a data set. The same object is given again for the same arguments and data, so that runs share its memory.

    Parameters
    ----------
    name : str
        A name in `realdata.datasets.DATASETS`.
    root : str, optional
        The data set's folder, see `realdata.datasets.locate`. A run's key holds it where it is given: with
        ``COLLAPSE_DATA`` instead, results have the same key wherever the data are.
    seed : int
        The run's seed, which changes nothing: the data are the same for all.
    protocol, per_super, merge_seed, limit, test_limit
        See `Protocol`.
    size : int, optional
        Side of the images, see `realdata.datasets.load`.
    features : str, optional
        A backbone, see `realdata.backbones.backbone`: x is its features (n, d) instead of pixels.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> built = problem("digits", limit=20, test_limit=5)
    >>> built.train.n, built.test.n, built.train.t
    (200, 50, 2)
    """
    if size is not None:
        size = integer("size", size, 4)
        if features is not None:
            raise InvalidInput("size", size, "nothing with features: the backbone decides")
    chosen = Protocol(protocol, per_super, merge_seed, limit, test_limit)
    content = fingerprint(name, root, features=features)
    return _built(name, locate(name, root), content, chosen, size, features)


def fingerprint(name: str, root: str | None = None, *, features: str | None = None, **params: Any) -> str:
    """What a data set holds: a hash of every image's content and label, equal for folders and archives of the same files.

    A second look at unchanged files reads none of them, see `realdata.digests`.

    Parameters
    ----------
    name, root
        See `problem`.
    features : str, optional
        With a backbone, its weights and preprocessing are hashed as well.
    **params
        Of `problem`; nothing else in them changes what is there.

    Raises
    ------
    InvalidInput
        If the data aren't there, or can't be read.

    Examples
    --------
    >>> fingerprint("digits") == fingerprint("digits", seed=1, protocol="zero_shot"), len(fingerprint("digits"))
    (True, 64)
    """
    for field, value in (("root", root), ("features", features)):
        if value is not None and not isinstance(value, str):
            raise InvalidInput(field, value, "text")
    place = locate(name, root)
    images = _content(name, place, "" if DATASETS[name].bundled else state(place))
    if features is None:
        return images
    net = backbones.backbone(features)
    return joined(images, net.name, net.digest(), asdict(net.preprocessing))


@functools.lru_cache(maxsize=16)
def _content(name: str, root: Path, state: str) -> str:
    splits = [DATASETS[name].read(root, split) for split in SPLITS]
    return joined(name, [[s.fingerprint(), s.classes.tolist(), s.modes.tolist()] for s in splits])


def pictures_of_test(name: str, params: dict[str, Any], rows: Sequence[int]) -> list[Image.Image]:
    """Pictures of test samples of a problem, whatever the net was given of them.

    Parameters
    ----------
    name, params
        As `problem` takes them.
    rows : sequence of int
        Places in the problem's test sample.

    Examples
    --------
    >>> [picture.size for picture in pictures_of_test("digits", {"protocol": "coarse"}, [0, 718])]
    [(8, 8), (8, 8)]
    """
    fields = {
        "kind" if k == "protocol" else k: v
        for k, v in params.items()
        if k not in ("root", "size", "features", "trained_on")
    }
    root = locate(name, params.get("root"))
    splits = [DATASETS[name].read(root, split) for split in SPLITS]
    places = parts(splits[0], splits[1], Protocol(**fields))[1].rows[list(rows)]
    border = len(splits[0])
    return [splits[0].image(p) if p < border else splits[1].image(p - border) for p in map(int, places)]


@functools.lru_cache(maxsize=4)
def _built(name: str, root: Path, content: str, protocol: Protocol, size: int | None, features: str | None) -> Problem:
    """``content`` is what the data were when this was built: others are built anew."""
    splits = [DATASETS[name].read(root, split) for split in SPLITS]
    train, test = parts(splits[0], splits[1], protocol)
    if features is None:

        def inputs(split: Pictures, which: str, rows: np.ndarray) -> np.ndarray:
            return split.pixels(None if len(rows) == len(split) else rows, size)
    else:
        net = backbones.backbone(features)

        def inputs(split: Pictures, which: str, rows: np.ndarray) -> np.ndarray:
            found: np.ndarray = frozen.extract(split, f"{name}-{which}", net)[rows]
            return found

    return Problem(_sample(train, splits, inputs), _sample(test, splits, inputs), DATASETS[name].ks)
