"""One multi-modal problem embedded with and without easy positives across noise levels."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN, name_of
from sim.catalogue import FIGURES
from sim.look import scatter_modes
from sim.problems import build

LOSS = "triplet"
LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4)


def draw(source: Source) -> Figure:
    """A row for each positive policy, a column for each noise level; one run (the first seed) a panel, on new samples."""
    seed = min(c.seed for c in source.configs)
    chosen = [c for c in source.configs if c.loss.name == LOSS and c.seed == seed and c.noise.level in LEVELS]
    positives = list(dict.fromkeys(c.positive for c in chosen))
    figure, axes = plt.subplots(
        len(positives), len(LEVELS), figsize=(DOUBLE_COLUMN, 1.5 * len(positives) + 0.2), squeeze=False
    )
    for config in chosen:
        axis = axes[positives.index(config.positive), LEVELS.index(config.noise.level)]
        sample = build(config.data.name, config.seed, **config.data.params).test
        x = source.store.arrays(config)["embeddings_test"]
        x = x - x.mean(0)
        scatter_modes(axis, x, sample.classes, sample.modes, s=7)
        reach = 1.08 * np.abs(x).max()
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
        for side in ("top", "right"):
            axis.spines[side].set_visible(True)
        unit = 10 ** np.floor(np.log10(reach))
        axis.plot([-0.92 * reach, -0.92 * reach + unit], [-0.92 * reach] * 2, color="0.2", linewidth=1)
        axis.text(-0.92 * reach, -0.86 * reach, f"{unit:g}", fontsize=6, color="0.2", va="bottom")
        if config.positive == positives[0]:
            axis.set_title(f"noise {config.noise.level:g}")
    for positive, axis in zip(positives, axes[:, 0], strict=True):
        axis.set_ylabel(f"{name_of(positive)}\npositives")
    return figure


FIGURES.register("embeddings")(
    Entry(
        title="Embeddings with and without easy positives",
        caption=(
            "New samples of two classes (colour) of four modes (shape), embedded in the plane by nets trained with the triplet "
            "loss; one run (the first seed) a panel. Each panel has its own scale: the bar gives the length."
        ),
        study="noise_sweep",
        draw=draw,
    )
)
