"""Expected loss of a two-mode class as its modes move apart: clean against noisy labels, all against easy positives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN
from sim.catalogue import FIGURES

if TYPE_CHECKING:
    from sim.sweeps.pieces import Piece

POSITIVES = {"all": "all positives", "easy": "easy positives (EPS)"}
NOISE = (0.0, 0.1, 0.2, 0.3)
APART = np.linspace(0, 2, 81)
"""Distances between a class's two modes, in units of alpha."""
CLASSES_APART = np.linspace(0.5, 3, 201)
"""Distances between the classes that are tried for each of them, in units of alpha."""
LOOK = {0.0: "-", 0.1: "--", 0.2: "-.", 0.3: ":"}


def pieces(_: str) -> list[Piece]:
    """A line each."""
    from sim.sweeps.pieces import Piece
    from sim.theory.diagrams import landscape

    axes = {"apart": APART.tolist(), "classes_apart": CLASSES_APART.tolist()}
    return [
        Piece(landscape, {"positive": positive, "level": level, **axes}, seconds=0.4)
        for positive in POSITIVES
        for level in NOISE
    ]


def draw(source: Source) -> Figure:
    """A panel for all positives, one for easy ones."""
    import seaborn as sns

    figure, axes = plt.subplots(1, 2, figsize=(DOUBLE_COLUMN, 2.4), sharex=True)
    shades = sns.color_palette("viridis", len(NOISE))
    lines = iter(source.theory)
    for axis, title in zip(axes, POSITIVES.values(), strict=True):
        for level, colour in zip(NOISE, shades, strict=True):
            loss = np.array(next(lines))
            axis.plot(APART, loss, LOOK[level], color=colour, label=f"{level:g}")
            best = int(loss.argmin())
            axis.plot(APART[best], loss[best], "o", color=colour, markersize=5, clip_on=False, zorder=3)
        axis.set(title=title, xlabel=r"distance between a class's modes / $\alpha$")
    axes[0].set_ylabel(r"expected loss a tuple / $\alpha$")
    axes[1].legend(title="label noise")
    return figure


FIGURES.register("landscape")(
    Entry(
        title="Expected triplet loss of a class with two modes",
        caption=(
            "Two classes of two modes of six samples each, a mode on a point, in the plane; for each distance between a class's modes the "
            "distance between the classes is the best one. Exact expectation over symmetric label noise. Dots: least loss (the first of "
            "equal ones). Without noise modes may stand apart at no cost; with noise and all positives the loss falls to the collapsed "
            "class at 0; with easy positives it doesn't."
        ),
        study=None,
        draw=draw,
        pieces=pieces,
    )
)
