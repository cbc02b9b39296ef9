"""One look for all figures: colours that colour-blind readers and grey printers can tell apart, always with a second cue."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sim.catalogue import POSITIVES
from sim.registry import natural
from sim.studies import columns_of

if TYPE_CHECKING:
    import pandas as pd

STYLE = Path(__file__).parent / "paper.mplstyle"
DOUBLE_COLUMN = 6.9
"""Width of a two-column figure in inches."""

Look = dict[str, Any]
"""Colour, marker and line, as matplotlib's ``plot`` takes them."""

POSITIVE_LOOK: dict[str, Look] = {
    "easy": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "random": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "all": {"color": "#666666", "marker": "^", "linestyle": ":"},
    "semihard": {"color": "#009E73", "marker": "D", "linestyle": "-."},
    "hard": {"color": "#CC79A7", "marker": "v", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
}
SPARE_COLOURS = ("#56B4E9", "#E69F00", "#F0E442", "#000000", "#882255")
SPARE_MARKERS = ("P", "X", "*", "<", ">", "h", "p")
# Five and seven have no common factor: all 35 differ, neighbours in colour and marker.
SPARE_LOOKS: list[Look] = [
    {"color": SPARE_COLOURS[k % 5], "marker": SPARE_MARKERS[k % 7], "linestyle": (0, (3, 1, 1, 1))} for k in range(35)
]


def looks_of(positives: Iterable[str]) -> dict[str, Look]:
    """A look for each positive policy of a figure, no two alike.

    A policy without a look of its own has one made of its name, the same in every figure; where two names made the same, the
    later one takes the next that is free (of 35).

    Examples
    --------
    >>> looks = looks_of(["easy", "k_easy:10", "k_easy:11"])
    >>> looks["easy"]["color"], looks["k_easy:10"] == looks["k_easy:11"]
    ('#0072B2', False)
    >>> looks["k_easy:10"] == looks_of(["k_easy:10"])["k_easy:10"]
    True
    """
    looks: dict[str, Look] = {}
    for positive in sorted(set(positives), key=natural):
        own = zlib.crc32(positive.encode()) % len(SPARE_LOOKS)
        by_choice = SPARE_LOOKS[own:] + SPARE_LOOKS[:own]
        free = (look for look in by_choice if look not in looks.values())
        looks[positive] = POSITIVE_LOOK.get(positive) or next(free, by_choice[0])
    return looks


def name_of(positive: str) -> str:
    """What a positive policy is called in figures.

    Examples
    --------
    >>> name_of("easy"), name_of("random"), name_of("k_easy:3")
    ('easy (EPS)', 'random', '3 easiest')
    """
    # Rows may be of a policy that isn't here any more.
    return (POSITIVES[positive].title if positive in POSITIVES else "") or positive


def line_with_band(axis: Axes, rows: pd.DataFrame, x: str, metric: str, look: Look, **more: Any) -> Line2D:
    """Means over ``x`` with the band of their intervals, from rows of `sim.studies.table`.

    A mean that is not over all of its row's runs says so beside its point.

    Parameters
    ----------
    axis : matplotlib axes
    rows : DataFrame
        With the columns ``x``, ``runs`` and those of the metric.
    x, metric : str
    look : Look
        Of `looks_of`.
    **more
        On top of it, for ``plot``: a label, another size of the markers.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> from sim.studies import table
    >>> rows = table(pd.DataFrame({"noise": [0.0, 0.0, 0.2, 0.2], "spread": [1.1, 0.9, 0.6, 0.4]}), ["spread"], ["noise"])
    >>> line = line_with_band(Figure().subplots(), rows, "noise", "spread", POSITIVE_LOOK["easy"], label="easy")
    >>> line.get_color(), line.get_label()
    ('#0072B2', 'easy')
    """
    mean, low, high, number = (rows[column] for column in columns_of(metric))
    (line,) = axis.plot(rows[x], mean, **{**look, **more})
    axis.fill_between(rows[x], low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    for at, y, n, runs in zip(rows[x], mean, number, rows["runs"], strict=True):
        if 0 < n < runs:
            text, colour = f"{n} of {runs}", line.get_color()
            axis.annotate(text, (at, y), xytext=(2, 3), textcoords="offset points", fontsize=5, color=colour)
    return line
