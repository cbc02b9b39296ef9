"""Without noise: where the loss is zero (C2, C6), with all and with easy positives."""

from __future__ import annotations

import functools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN
from sim.catalogue import FIGURES
from sim.look import scatter_modes

PER_MODE = 3
MODES_APART = np.linspace(0, 3, 61)
"""Distance between a class's modes, in margins."""
CLASSES_APART = np.linspace(0, 4, 81)
"""Distance between the classes, in margins."""
EXAMPLES = {"A": (0.0, 1.5), "B": (1.5, 3.0), "C": (2.5, 1.5)}
"""(modes apart, classes apart): collapsed; spread out; modes nearer to the other class than to each other."""


def positions(modes_apart: float, classes_apart: float) -> np.ndarray:
    """Two classes of two modes, each mode on a point, at the corners of a rectangle; (4 PER_MODE, 2)."""
    mode = np.arange(4 * PER_MODE) // PER_MODE % 2
    side = np.arange(4 * PER_MODE) // (2 * PER_MODE)
    return np.stack([modes_apart * (mode - 0.5), classes_apart * (side - 0.5)], axis=1)


@functools.cache
def computed() -> dict[str, np.ndarray]:
    """Expected loss a tuple in margins, (classes apart, modes apart), for all and easy positives, clean labels."""
    import torch

    from sim.distances import pairwise
    from sim.noise import symmetric
    from sim.theory import expected_loss

    grid = np.stack([positions(u, v) for v in CLASSES_APART for u in MODES_APART])
    distances = pairwise(torch.from_numpy(grid))
    classes = np.arange(4 * PER_MODE) // (2 * PER_MODE)
    found = {}
    for positive in ("all", "easy"):
        loss = expected_loss(distances, classes, symmetric(2, 1.0), loss="triplet", positive=positive, alpha=1.0)
        others = (2 * PER_MODE - 1 if positive == "all" else 1) * 2 * PER_MODE * 4 * PER_MODE
        found[positive] = (loss / others).view(len(CLASSES_APART), len(MODES_APART)).numpy()
    return found


def draw(_: Source) -> Figure:
    """Two maps of the loss with their zero sets, and three embeddings out of them."""
    figure, axes = plt.subplots(1, 3, figsize=(DOUBLE_COLUMN, 2.35), width_ratios=(1, 1, 0.95))
    top = max(v.max() for v in computed().values())
    for axis, (positive, title) in zip(
        axes, (("all", "all positives"), ("easy", "easy positives (EPS)")), strict=False
    ):
        loss = computed()[positive]
        shown = axis.pcolormesh(
            MODES_APART, CLASSES_APART, loss, cmap="magma_r", vmin=0, vmax=top, shading="nearest", rasterized=True
        )
        zero = np.where(loss <= 1e-12, 1.0, 0.0)
        axis.contourf(MODES_APART, CLASSES_APART, zero, levels=[0.5, 1.5], colors=["#ffffff"])
        axis.contourf(MODES_APART, CLASSES_APART, zero, levels=[0.5, 1.5], colors="none", hatches=["////"])
        axis.text(
            0.06,
            0.93,
            "zero loss",
            transform=axis.transAxes,
            fontsize=7,
            va="top",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
        for name, (u, v) in EXAMPLES.items():
            axis.plot(u, v, "o", markersize=9, markerfacecolor="white", markeredgecolor="black", clip_on=False)
            axis.text(u, v, name, fontsize=6, ha="center", va="center_baseline", clip_on=False)
        axis.set(
            title=title, xlabel="modes of a class apart / α", ylabel="classes apart / α" if positive == "all" else ""
        )
    figure.colorbar(shown, ax=axes[1], label="loss a triplet / α", pad=0.03)
    axis = axes[2]
    for k, (name, (u, v)) in enumerate(EXAMPLES.items()):
        x = positions(u, v)
        place = np.array([5.0 * k, 0.0])
        row = np.arange(len(x))
        scatter_modes(axis, x + place, row // (2 * PER_MODE), row // PER_MODE % 2, s=36, alpha=1, linewidths=1)
        axis.text(place[0], 2.35, name, ha="center", fontsize=8)
        losses = [
            computed()[p][np.abs(CLASSES_APART - v).argmin(), np.abs(MODES_APART - u).argmin()] for p in ("all", "easy")
        ]
        axis.text(
            place[0],
            -2.45,
            "\n".join(f"{p}: {loss:.2g}" for p, loss in zip(("all", "easy"), losses, strict=True)),
            ha="center",
            va="top",
            fontsize=6.5,
        )
    axis.plot([-1.8, -0.8], [-2.0, -2.0], color="black", linewidth=1.4)
    axis.text(-1.3, -1.9, "α", fontsize=7, ha="center", va="bottom")
    axis.set(
        title="three embeddings, their losses / α",
        xlim=(-2.2, 12.2),
        ylim=(-4.2, 3.1),
        xticks=[],
        yticks=[],
        aspect="equal",
    )
    for spine in axis.spines.values():
        spine.set_visible(False)
    return figure


FIGURES.register("zero_loss")(
    Entry(
        title="Clean labels: the embeddings of zero loss (C2, C6)",
        caption=(
            "Exact triplet loss without label noise of two classes (colour) of two modes (shape) at the corners of a rectangle, each mode on a point. Hatched: "
            "zero. With all positives a class may be spread out as long as the other is farther by the margin (B); with easy positives its modes "
            "may be anywhere a margin from the other class (C): a strictly larger set. Collapse (A) is one zero among many."
        ),
        study=None,
        draw=draw,
    )
)
