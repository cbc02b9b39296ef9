"""Real data sets: one file each, entered in one registry."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from realdata.pictures import Pictures
from sim.catalogue import DATASETS
from sim.errors import InvalidInput, choice
from sim.generators import Sample
from sim.problems import Problem

SPLITS = ("train", "test")

DATA_VARIABLE = "COLLAPSE_DATA"
"""Environment variable: a folder with one folder a data set."""


@dataclass(frozen=True)
class Download:
    """A file of the official release: where it is, what it is called in the data set's folder, its checksum as ``md5:...``.

    Examples
    --------
    >>> [download.name for download in DATASETS["omniglot"].downloads]
    ['images_background.zip', 'images_evaluation.zip']
    """

    url: str
    name: str
    checksum: str


@dataclass(frozen=True)
class DataSet:
    """How a data set is read, and what its official release holds.

    Attributes
    ----------
    read : callable (root, split) -> Pictures
    title : str
    layout : str
        What must be in its folder.
    labels : str
        What the coarse and the fine labels are.
    official : dict from split to (images, fine labels)
        Empty where there is no official release.
    downloads : tuple of Download
    gone : str
        Where copies are, if the official source no longer answers: then nothing is fetched, and checksums are only compared.
    bundled : bool
        Comes with a package: no folder.
    ks : tuple of int
        The K of Recall@K that are customary.

    Examples
    --------
    >>> digits = DATASETS["digits"]
    >>> digits.labels, digits.official["test"], digits.bundled
    ('even and odd; the ten digits', (719, 10), True)
    >>> len(digits.read(Path(), "test"))
    719
    """

    read: Callable[[Path, str], Pictures]
    title: str
    layout: str
    labels: str
    official: dict[str, tuple[int, int]]
    downloads: tuple[Download, ...] = ()
    gone: str = ""
    bundled: bool = False
    ks: tuple[int, ...] = (1, 2, 4, 8)

    def problem(self, name: str) -> Callable[..., Problem]:
        """What makes a problem of the data set that is registered under ``name``, see `realdata.protocol.problem`.

        Examples
        --------
        >>> DATASETS["digits"].problem("digits")(limit=5).train.n
        50
        """
        from realdata import protocol

        return functools.partial(protocol.problem, name)

    def fingerprint(self, name: str, **params: Any) -> str:
        """What the data set that is registered under ``name`` holds, see `realdata.protocol.fingerprint`.

        Examples
        --------
        >>> digits = DATASETS["digits"]
        >>> digits.fingerprint("digits") == digits.fingerprint("digits", limit=5)
        True
        """
        from realdata import protocol

        return protocol.fingerprint(name, **params)


def absent(name: str, root: Path, what: str) -> InvalidInput:
    """The error for a folder that doesn't hold its data set.

    Examples
    --------
    >>> print(absent("folder", Path("shelf"), "an image"))  # doctest: +ELLIPSIS
    root: got 'shelf'; allowed: a folder with images COARSE/FINE/image, ...; an image isn't there
    """
    found = DATASETS[name]
    if found.gone:
        fetch = f"; {found.gone}"
    else:
        fetch = f"; download it with: collapse data fetch {name} --root {root}" if found.downloads else ""
    return InvalidInput("root", str(root), f"a folder with {found.layout}; {what} isn't there{fetch}")


def locate(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """Where a data set is.

    Parameters
    ----------
    name : str
        A name in `DATASETS`.
    root : path, optional
        The data set's folder. If not given: the folder of its name in the folder that ``COLLAPSE_DATA`` names, or the one
        whose name begins so (``fashion-mnist`` for fashion_mnist, ``cub200-subset100`` for cub200).

    Raises
    ------
    InvalidInput
        If there is no such folder, or several could be meant.

    Examples
    --------
    >>> import tempfile
    >>> from unittest import mock
    >>> data = Path(tempfile.mkdtemp())
    >>> (data / "fashion-mnist").mkdir()
    >>> with mock.patch.dict(os.environ, {DATA_VARIABLE: str(data)}):
    ...     locate("fashion_mnist").name
    'fashion-mnist'
    """
    found = DATASETS[name]
    if found.bundled:
        if root is not None:
            raise InvalidInput("root", str(root), f"nothing: {found.title} come with a package")
        return Path()
    if root is not None:
        place = Path(root).expanduser()
        if not place.is_dir():
            raise absent(name, place, "the folder")
        return place
    if DATA_VARIABLE not in os.environ:
        raise InvalidInput(
            "root", None, f"{name}'s folder, here or as a folder {name} in the folder that {DATA_VARIABLE} names"
        )
    data = Path(os.environ[DATA_VARIABLE]).expanduser()
    if not data.is_dir():
        raise InvalidInput(DATA_VARIABLE, str(data), "a folder with a folder for each data set")
    own = {p: p.name.replace("-", "_") for p in sorted(data.iterdir()) if p.is_dir()}
    places = [p for p, n in own.items() if n == name] or [p for p, n in own.items() if n.startswith(f"{name}_")]
    if len(places) != 1:
        several = "several: " + ", ".join(p.name for p in places) if places else "none"
        raise InvalidInput(DATA_VARIABLE, str(data), f"one folder {name} (or {name}-...); there is {several}")
    return places[0]


def pictures(name: str, root: str | os.PathLike[str] | None = None, split: str = "train") -> Pictures:
    """One split of a data set, its images not yet read. See `load`.

    Examples
    --------
    >>> found = pictures("digits", split="test")
    >>> len(found), found.image(0).size, found.modes[:4].tolist(), found.classes[:4].tolist()
    (719, (8, 8), [0, 1, 4, 0], [0, 1, 0, 0])
    """
    choice("split", split, SPLITS)
    return DATASETS[name].read(locate(name, root), split)


def load(
    name: str, root: str | os.PathLike[str] | None = None, split: str = "train", size: int | None = None
) -> Sample:
    """Load one split of a data set.

    Parameters
    ----------
    name : str
        A name in `DATASETS`.
    root : path, optional
        The data set's folder; see `locate` for what is taken if it isn't given.
    split : str
        ``train`` or ``test``.
    size : int, optional
        Height and width of the images; default: their own, or what the data set's file says where that is large.

    Returns
    -------
    Sample
        ``x`` images (n, channels, height, width) in [0, 1], float32 (digits: float64); ``classes`` the coarse labels that
        are trained on; ``modes`` the fine labels that are retrieved.

    Raises
    ------
    InvalidInput
        For an unknown data set or split, or a folder that doesn't hold the data set whole and readable.

    Examples
    --------
    >>> sample = load("digits", split="test")
    >>> sample.x.shape, sample.t, len(np.unique(sample.modes))
    ((719, 1, 8, 8), 2, 10)
    """
    return pictures(name, root, split).sample(size)


def halves(fine: np.ndarray, split: str) -> np.ndarray:
    """Rows of the first half of the fine classes (train) or the rest (test): the zero-shot split of metric learning.

    Examples
    --------
    >>> halves(np.array([3, 3, 5, 7, 9]), "train").tolist()
    [0, 1, 2]
    """
    labels = np.unique(fine)
    if len(labels) == 1:
        raise InvalidInput("root", "one fine class", "two or more, to be halved into training and test classes")
    first = np.isin(fine, labels[: len(labels) // 2])
    return np.flatnonzero(first if split == "train" else ~first)
