"""Expected loss of a two-mode class as its modes move apart: clean against noisy labels, all against easy positives."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN
from sim.catalogue import FIGURES

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.5
PER_MODE = 6
NOISE = (0.0, 0.1, 0.2, 0.3)
APART = np.linspace(0, 2, 81)
"""Distances between a class's two modes, in units of alpha."""
CLASSES_APART = np.linspace(0.5, 3, 201)
"""Distances between the classes that are tried for each of them, in units of alpha."""
LOOK = {0.0: "-", 0.1: "--", 0.2: "-.", 0.3: ":"}


@functools.cache
def computed() -> pd.DataFrame:
    """``positives``, ``noise``, ``apart`` and ``loss`` (an anchor), the least over the distances between the classes."""
    import pandas as pd
    import torch

    from sim.distances import pairwise
    from sim.noise import symmetric
    from sim.theory import expected_loss

    x = torch.zeros(len(APART), len(CLASSES_APART), 4 * PER_MODE, 2, dtype=torch.float64)
    mode, side = (torch.arange(4 * PER_MODE) // PER_MODE % 2) * 2 - 1, torch.arange(4 * PER_MODE) // (2 * PER_MODE)
    x[..., 0] = ALPHA / 2 * torch.from_numpy(APART)[:, None, None] * mode
    x[..., 1] = ALPHA * torch.from_numpy(CLASSES_APART)[None, :, None] * side
    distances = pairwise(x.flatten(0, 1))
    rows = []
    for positive in ("all", "easy"):
        for level in NOISE:
            value = expected_loss(
                distances, side.numpy(), symmetric(2, 1 - level), loss="triplet", positive=positive, alpha=ALPHA
            )
            least = value.view(len(APART), -1).min(1).values / (4 * PER_MODE)
            triplets = (2 * PER_MODE - 1 if positive == "all" else 1) * 2 * PER_MODE
            rows.append(
                pd.DataFrame(
                    {"positives": positive, "noise": level, "apart": APART, "loss": (least / triplets / ALPHA).numpy()}
                )
            )
    return pd.concat(rows)


def draw(_: Source) -> Figure:
    """A panel for all positives, one for easy ones."""
    import seaborn as sns

    figure, axes = plt.subplots(1, 2, figsize=(DOUBLE_COLUMN, 2.4), sharex=True)
    shades = sns.color_palette("viridis", len(NOISE))
    for axis, (positive, title) in zip(axes, (("all", "all positives"), ("easy", "easy positives (EPS)")), strict=True):
        for level, colour in zip(NOISE, shades, strict=True):
            lines = computed()
            own = lines[(lines["positives"] == positive) & (lines["noise"] == level)]
            axis.plot(own["apart"], own["loss"], LOOK[level], color=colour, label=f"{level:g}")
            best = own.iloc[int(own["loss"].to_numpy().argmin())]
            axis.plot(best["apart"], best["loss"], "o", color=colour, markersize=5, clip_on=False, zorder=3)
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
    )
)
