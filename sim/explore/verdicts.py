"""What became of classes and modes: the verdicts, what decides between them, and how they are put into words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TOTAL_COLLAPSE_BELOW = 0.1
"""Total collapse: the mean distance between any two points is below this share of the margin (of 1 for a loss without one)."""

CLASS_COLLAPSE_BELOW = 0.1
"""Class collapse: the mean distance inside a class is below this share of the mean distance between classes."""


@dataclass(frozen=True)
class Verdict:
    """How a verdict is put into words.

    Attributes
    ----------
    title : str
        What stands on a badge.
    explanation : str
        What it means, as a sentence without a capital and a full stop.
    """

    title: str
    explanation: str


VERDICTS = {
    "total": Verdict(
        "TOTAL collapse",
        f"all points on one point: the mean distance between any two is below {TOTAL_COLLAPSE_BELOW:g} of the margin",
    ),
    "class": Verdict(
        "CLASS collapse",
        f"each class on a point: the mean distance inside a class is below {CLASS_COLLAPSE_BELOW:g} of that between classes",
    ),
    "merged": Verdict(
        "modes merged", "each class is one piece (linked within a fifth of the distance between classes)"
    ),
    "partly": Verdict("some modes kept", "classes are in several pieces, but in fewer than they have modes"),
    "kept": Verdict("modes kept", "classes are in as many pieces as they have modes"),
    "diverged": Verdict("diverged", "the loss is not finite: take a lower learning rate"),
}


def verdict(values: Mapping[str, float], *, margin: float, modes: int) -> str:
    """The verdict on an embedding.

    Parameters
    ----------
    values : mapping
        ``global_spread``, ``relative_spread`` and ``subclusters`` (pieces a class), see `sim.explore.engine.SHOWN_METRICS`.
    margin : float
        What total collapse is measured by.
    modes : int
        Modes a class has.

    Returns
    -------
    str
        A name in `VERDICTS`, never ``diverged``: a diverged run has no metrics.

    Examples
    --------
    >>> spread = {"global_spread": 0.6, "relative_spread": 0.5, "subclusters": 4.0}
    >>> verdict(spread, margin=0.5, modes=4)
    'kept'
    >>> VERDICTS[verdict({**spread, "relative_spread": 0.05}, margin=0.5, modes=4)].title
    'CLASS collapse'
    """
    if values["global_spread"] < TOTAL_COLLAPSE_BELOW * margin:
        return "total"
    if values["relative_spread"] < CLASS_COLLAPSE_BELOW:
        return "class"
    if values["subclusters"] <= 1:
        return "merged"
    return "kept" if values["subclusters"] > modes - 0.5 else "partly"
