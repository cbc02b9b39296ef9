"""One look for all figures: colours that colour-blind readers and grey printers can tell apart, always with a second cue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
