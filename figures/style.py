"""One look for all figures: colours that colour-blind readers and grey printers can tell apart, always with a second cue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

if TYPE_CHECKING:
    import pandas as pd

    from sim.generators import Sample

STYLE = Path(__file__).parent / "paper.mplstyle"
DOUBLE_COLUMN = 6.9
"""Width of a two-column figure in inches."""

CLASS_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe & Ito (2008)."""
MODE_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
POSITIVE_LOOK: dict[str, dict[str, Any]] = {
    "easy": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "random": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "all": {"color": "#666666", "marker": "^", "linestyle": ":"},
    "semihard": {"color": "#009E73", "marker": "D", "linestyle": "-."},
    "hard": {"color": "#CC79A7", "marker": "v", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
}
POSITIVE_NAME = {"easy": "easy (EPS)"}


def line_with_band(axis: Axes, rows: pd.DataFrame, x: str, metric: str, positive: str, **look: Any) -> Line2D:
    """A positive policy's means over ``x`` with the band of their intervals, from rows of `sim.studies.table`."""
    own = {**POSITIVE_LOOK[positive], **look}
    (line,) = axis.plot(rows[x], rows[metric], **own)
    axis.fill_between(
        rows[x], rows[f"{metric}_low"], rows[f"{metric}_high"], color=own["color"], alpha=0.2, linewidth=0
    )
    return line


def scatter_modes(axis: Axes, x: np.ndarray, sample: Sample, **look: Any) -> None:
    """Points (n, 2) by class (colour) and mode in its class (shape)."""
    for c in range(sample.t):
        for k, mode in enumerate(np.unique(sample.modes[sample.classes == c])):
            own = x[sample.modes == mode]
            style = {"s": 3, "linewidths": 0, "alpha": 0.8, **look}
            axis.scatter(own[:, 0], own[:, 1], color=CLASS_COLOURS[c % 6], marker=MODE_MARKERS[k % 8], **style)
