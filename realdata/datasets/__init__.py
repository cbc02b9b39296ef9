"""Real data sets: one file each, entered in one registry."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable

from sim.errors import choice
from sim.generators import Sample
from sim.registry import Registry

SPLITS = ("train", "test")

DATASETS: Registry[Callable[[str | os.PathLike[str] | None, str], Sample]] = Registry("dataset")
"""name -> function (root, split) -> Sample."""


def load(name: str, root: str | os.PathLike[str] | None = None, split: str = "train") -> Sample:
    """Load one split of a data set.

    Parameters
    ----------
    name : str
        A name in `DATASETS`.
    root : path, optional
        The data set's folder; not needed for data that comes with a package.
    split : str
        ``train`` or ``test``.

    Returns
    -------
    Sample
        ``x`` images (n, channels, height, width) in [0, 1], float64; ``classes`` the coarse labels that are trained on;
        ``modes`` the fine labels that are retrieved.

    Raises
    ------
    InvalidInput
        For an unknown data set or split, or a folder that doesn't hold the data set.
    """
    choice("split", split, SPLITS)
    return DATASETS[name](root, split)


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
