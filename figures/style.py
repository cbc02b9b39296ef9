"""One look for all figures: colours that colour-blind readers and grey printers can tell apart, always with a second cue."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sim.catalogue import POSITIVES

if TYPE_CHECKING:
    import pandas as pd


STYLE = Path(__file__).parent / "paper.mplstyle"
DOUBLE_COLUMN = 6.9
"""Width of a two-column figure in inches."""

POSITIVE_LOOK: dict[str, dict[str, Any]] = {
    "easy": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "random": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "all": {"color": "#666666", "marker": "^", "linestyle": ":"},
    "semihard": {"color": "#009E73", "marker": "D", "linestyle": "-."},
    "hard": {"color": "#CC79A7", "marker": "v", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
}
SPARE_COLOURS = ("#56B4E9", "#E69F00", "#F0E442", "#000000", "#882255")
SPARE_MARKERS = ("P", "X", "*", "<", ">", "h", "p")


def look_of(positive: str) -> dict[str, Any]:
    """Colour, marker and line of a positive policy; of one without a look of its own always the same, made of its name.

    Examples
    --------
    >>> look_of("easy")["color"]
    '#0072B2'
    >>> look_of("k_easy:3") == look_of("k_easy:3") != look_of("k_easy:4")
    True
    """
    if positive in POSITIVE_LOOK:
        return POSITIVE_LOOK[positive]
    number = zlib.crc32(positive.encode())
    return {
        "color": SPARE_COLOURS[number % len(SPARE_COLOURS)],
        "marker": SPARE_MARKERS[number % len(SPARE_MARKERS)],
        "linestyle": (0, (3, 1, 1, 1)),
    }


def name_of(positive: str) -> str:
    """What a positive policy is called in figures.

    Examples
    --------
    >>> name_of("easy"), name_of("random"), name_of("k_easy:3")
    ('easy (EPS)', 'random', '3 easiest')
    """
    # Rows may be of a policy that isn't here any more.
    return (POSITIVES[positive].title if positive in POSITIVES else "") or positive


def line_with_band(axis: Axes, rows: pd.DataFrame, x: str, metric: str, positive: str, **look: Any) -> Line2D:
    """A positive policy's means over ``x`` with the band of their intervals, from rows of `sim.studies.table`."""
    own = {**look_of(positive), **look}
    (line,) = axis.plot(rows[x], rows[metric], **own)
    axis.fill_between(
        rows[x], rows[f"{metric}_low"], rows[f"{metric}_high"], color=own["color"], alpha=0.2, linewidth=0
    )
    return line
