"""One look for figures and explorer: a colour for each class, a shape for each mode of a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLASS_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe & Ito (2008): colour-blind readers can tell them apart."""


@dataclass(frozen=True)
class Marker:
    """A mode's shape: its name in the explorer's front end (``dom.js``) and in Matplotlib."""

    outline: str
    matplotlib: str


MODE_MARKERS = (
    Marker("circle", "o"),
    Marker("square", "s"),
    Marker("triangle", "^"),
    Marker("diamond", "D"),
    Marker("down", "v"),
    Marker("plus", "P"),
    Marker("cross", "X"),
    Marker("star", "*"),
)


def scatter_modes(axis: Axes, x: np.ndarray, classes: np.ndarray, modes: np.ndarray, **style: Any) -> None:
    """Points by class (colour) and mode in its class (shape).

    Parameters
    ----------
    axis : Axes
        In the plane, or of three dimensions.
    x : ndarray, shape (n, 2) or (n, 3)
    classes, modes : ndarray, shape (n,), int64
        Modes count in the order of their ids within each class.
    **style
        For ``axis.scatter``.
    """
    for c in np.unique(classes):
        for k, mode in enumerate(np.unique(modes[classes == c])):
            own = (classes == c) & (modes == mode)
            colour, marker = CLASS_COLOURS[c % len(CLASS_COLOURS)], MODE_MARKERS[k % len(MODE_MARKERS)]
            look = {"s": 3, "linewidths": 0, "alpha": 0.85, **style}
            axis.scatter(*x[own].T, color=colour, marker=marker.matplotlib, **look)
