"""Embeddings across training: the same run after more and more steps, with random and with easy positives."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN, name_of
from sim.catalogue import FIGURES
from sim.look import scatter_modes
from sim.problems import build


def draw(source: Source) -> Figure:
    """A row for each positive policy, a column for each number of steps; each panel has its own scale, with a bar as long as the margin."""
    positives = list(dict.fromkeys(c.positive for c in source.configs))
    steps = sorted({c.steps for c in source.configs})
    figure, axes = plt.subplots(
        len(positives), len(steps), figsize=(DOUBLE_COLUMN, 1.45 * len(positives) + 0.2), squeeze=False
    )
    for config in source.configs:
        axis = axes[positives.index(config.positive), steps.index(config.steps)]
        sample = build(config.data.name, config.seed, **config.data.params).test
        x = source.store.arrays(config)["embeddings_test"]
        middle = x.mean(0)
        reach = 1.1 * np.abs(x - middle).max()
        scatter_modes(axis, x - middle, sample.classes, sample.modes)
        margin = config.loss.params["alpha"]
        axis.plot([-0.95 * reach, -0.95 * reach + margin], [-0.93 * reach] * 2, color="black", linewidth=1.4)
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
        for spine in axis.spines.values():
            spine.set_visible(True)
        if config.positive == positives[0]:
            axis.set_title(f"step {config.steps:,}")
        if config.steps == steps[0]:
            axis.set_ylabel(f"{name_of(config.positive)}\npositives")
    return figure


FIGURES.register("training")(
    Entry(
        title="Embeddings across training",
        caption=(
            "New samples of two classes (colour) of four modes (shape), embedded in the plane after more and more steps with the triplet loss, 20 % of "
            "the labels drawn wrong at every step; one run a row (the first seed), the same data, initial net, batches and noise draws in both. Each "
            "panel has its own scale; the bar in its corner is as long as the margin (a dot where the panel is wide)."
        ),
        study="training",
        draw=draw,
    )
)
