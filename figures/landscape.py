"""Expected loss of a class as its parts move apart: clean against noisy labels, all against easy positives; a loss of distances and one of cosines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN, Look
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

TEMPERATURE = 0.5
PER_CLASS = 6
HALVES_APART = np.linspace(0, 2, 41)
"""Distances between a class's halves on the unit sphere."""
TOP = {"all": 13.5, "easy": 1.5}
"""Of the axes of the loss a sample: room for a legend."""
NEAR = np.linspace(0, 0.7, 15)
"""Where the parabola of the predicted curvature is drawn."""


def pieces(_: str) -> list[Piece]:
    """A line each: the triplet loss, then NT-Xent."""
    from sim.sweeps.pieces import Piece
    from sim.theory.diagrams import landscape, split_landscape

    lines = [(positive, level) for positive in POSITIVES for level in NOISE]
    axes = {"apart": APART.tolist(), "classes_apart": CLASSES_APART.tolist()}
    split = {"temperature": TEMPERATURE, "per_class": PER_CLASS, "apart": HALVES_APART.tolist()}
    return [
        *(Piece(landscape, {"positive": positive, "level": level, **axes}, seconds=0.4) for positive, level in lines),
        *(
            Piece(split_landscape, {"positive": positive, "level": level, **split}, seconds=0.5)
            for positive, level in lines
        ),
    ]


def draw(source: Source) -> Figure:
    """Above the triplet loss, below NT-Xent; a panel for all positives, one for easy ones."""
    import seaborn as sns

    figure, axes = plt.subplots(2, 2, figsize=(DOUBLE_COLUMN, 4.6))
    shades = sns.color_palette("viridis", len(NOISE))
    lines = iter(source.theory)
    for axis, title in zip(axes[0], POSITIVES.values(), strict=True):
        for level, colour in zip(NOISE, shades, strict=True):
            _line(axis, APART, np.array(next(lines)), level, colour)
        axis.set(title=f"triplet, {title}", xlabel=r"distance between a class's modes / $\alpha$")
    for axis, (positive, title) in zip(axes[1], POSITIVES.items(), strict=True):
        for level, colour in zip(NOISE, shades, strict=True):
            found = next(lines)
            _line(axis, HALVES_APART, np.array(found["loss"]), level, colour)
            if level > 0:
                _predicted(axis, positive, level, found)
        axis.set(
            title=f"NT-Xent, {title}", xlabel="distance between a class's halves (unit sphere)", ylim=(0, TOP[positive])
        )
        handles, labels = axis.get_legend_handles_labels()
        axis.legend(handles[-1:], labels[-1:], loc="upper left", fontsize=6.5)
    axes[0, 0].set_ylabel(r"expected loss a tuple / $\alpha$")
    axes[1, 0].set_ylabel("expected loss a sample")
    axes[0, 1].legend(title="label noise", ncols=2)
    return figure


def _line(axis: Axes, apart: np.ndarray, loss: np.ndarray, level: float, colour: Any) -> None:
    """A noise level's losses, a dot at the least."""
    axis.plot(apart, loss, LOOK[level], color=colour, label=f"{level:g}")
    best = int(loss.argmin())
    axis.plot(apart[best], loss[best], "o", color=colour, markersize=5, clip_on=False, zorder=3)


def _predicted(axis: Axes, positive: str, level: float, found: dict[str, Any]) -> None:
    """C12: with all positives the least loss of all embeddings, a collapsed one's; with easy ones how the loss falls as a class splits."""
    from sim.theory.claims.c12 import least_of_rows
    from sim.theory.splitting import kappa

    if positive == "all":
        least = least_of_rows("ntxent", TEMPERATURE, 2, PER_CLASS, 1 - level) / (2 * PER_CLASS)
        look: Look = {"markersize": 9, "markerfacecolor": "none", "markeredgecolor": "black", "clip_on": False}
        axis.plot(0, least, "o", label="predicted: no embedding lies below", **look)
        return
    loss = found["loss"]
    best = int(np.argmin(loss))
    axis.annotate(
        f"−{1 - loss[best] / loss[0]:.0%}",
        (HALVES_APART[best], loss[best]),
        xytext=(0, 5),
        textcoords="offset points",
        fontsize=6.5,
        ha="center",
    )
    bend = kappa(PER_CLASS, 1 - level, TEMPERATURE, found["cosine"][0]) / (2 * PER_CLASS)
    axis.plot(
        NEAR,
        loss[0] + bend * (NEAR / 2) ** 2,
        color="black",
        linewidth=0.8,
        label="predicted near 0: κ h², κ < 0",
    )


FIGURES.register("landscape")(
    Entry(
        title="Expected loss of a class that is split: triplet and NT-Xent",
        caption=(
            "Exact expectation over symmetric label noise. Dots: least loss (the first of equal ones). Above: triplet loss, two classes of two modes of six samples "
            "each, a mode on a point, in the plane; for each distance between a class's modes the distance between the classes is the best one. Without noise modes may stand "
            "apart at no cost; with noise and all positives the loss falls to the collapsed class at 0; with easy positives it doesn't. Below: NT-Xent of "
            f"temperature {TEMPERATURE}, two classes of {PER_CLASS} samples on the unit sphere in R^3, one class on a point, the other split in halves orthogonally to the "
            "centres; the centres' cosine is the best one. All positives: the collapsed class is best; rings: the bound of C12, below which no embedding "
            "lies. Easy positives with noise: the loss falls as the class is split (by so much of the collapsed class's); black: E(0) + κ h², h half the distance, κ by exact sums (C12, part D)."
        ),
        study=None,
        draw=draw,
        pieces=pieces,
    )
)
