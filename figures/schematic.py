"""The method in one picture, drawn from a batch: an anchor's positives, the one EPS picks, and where the gradients push."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN
from sim.catalogue import FIGURES
from sim.look import scatter_modes

ALPHA = 1.2
MISLABELLED = 4
"""The sample of class 0 that has the other class's label."""


@dataclass(frozen=True)
class Scene:
    """A batch in the embedding plane.

    Attributes
    ----------
    x : ndarray, shape (n, 2)
    classes, modes, labels : ndarray, shape (n,)
    anchor, easy : int
        The anchor and its nearest sample of the same label.
    pushes : dict of ndarray, shape (n, 2)
        The negative gradient of the triplet loss with all and with easy positives, all negatives.
    """

    x: np.ndarray
    classes: np.ndarray
    modes: np.ndarray
    labels: np.ndarray
    anchor: int
    easy: int
    pushes: dict[str, np.ndarray]


@functools.cache
def computed() -> Scene:
    """Two classes of two modes, five samples each, one label wrong."""
    import torch

    from sim import losses
    from sim.generators import generate
    from sim.samplers.draws import RunDraws

    sample = generate("gaussian_mixture", classes=2, modes_per_class=2, samples_per_mode=5, separation=5.0, seed=3)
    labels = sample.classes.copy()
    labels[MISLABELLED] = 1
    pushes = {}
    for positive in ("all", "easy"):
        x = torch.tensor(sample.x[None], requires_grad=True)
        loss = losses.make("triplet", alpha=ALPHA, reduction="mean")
        value = loss(x, torch.from_numpy(labels[None]), positive=positive, negative="all", generator=RunDraws([0]))
        (gradient,) = torch.autograd.grad(value.sum(), x)
        pushes[positive] = -gradient[0].numpy()
    d = np.linalg.norm(sample.x[:, None] - sample.x, axis=-1)
    mates = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
    # The anchor of whose positives the farthest is farthest: a class's two modes are then both in the picture.
    own = np.where(mates & (sample.classes == 0)[:, None] & (labels == 0)[:, None], d, -np.inf)
    anchor = int(own.max(1).argmax())
    return Scene(
        sample.x,
        sample.classes,
        sample.modes,
        labels,
        anchor,
        int(np.where(mates[anchor], d[anchor], np.inf).argmin()),
        pushes,
    )


def _points(axis: Axes, scene: Scene) -> None:
    scatter_modes(axis, scene.x, scene.classes, scene.modes, s=25, alpha=1, linewidths=1, zorder=3)
    wrong = scene.x[scene.labels != scene.classes]
    axis.scatter(wrong[:, 0], wrong[:, 1], s=100, facecolors="none", edgecolors="black", linewidths=0.9, zorder=4)
    low, high = scene.x.min(0) - 0.45, scene.x.max(0) + 0.45
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], aspect="equal")
    for spine in axis.spines.values():
        spine.set_visible(True)


def draw(_: Source) -> Figure:
    """The anchor and its positives; the push with all positives; the push with easy ones, one below the other."""
    scene = computed()
    figure, axes = plt.subplots(3, 1, figsize=(0.75 * DOUBLE_COLUMN, 4.2))
    x, anchor = scene.x, scene.anchor
    for axis in axes:
        _points(axis, scene)
    mates = [i for i in range(len(x)) if i != anchor and scene.labels[i] == scene.labels[anchor]]
    for i in mates:
        easy = i == scene.easy
        axes[0].plot(
            *x[[anchor, i]].T,
            color="black" if easy else "0.55",
            linewidth=1.8 if easy else 0.7,
            linestyle="-" if easy else (0, (3, 2)),
            zorder=2,
        )
    axes[0].plot(
        *x[anchor], "o", markersize=11, markerfacecolor="none", markeredgecolor="black", markeredgewidth=1.6, zorder=5
    )
    axes[0].annotate("anchor", x[anchor], (0, -16), textcoords="offset points", ha="center", fontsize=7, zorder=6)
    axes[0].set_title("positives of an anchor")
    axes[0].legend(
        handles=[
            Line2D([], [], color="black", linewidth=1.8, label="easy (EPS)"),
            Line2D([], [], color="0.55", linewidth=0.7, linestyle=(0, (3, 2)), label="other positives"),
            Line2D(
                [],
                [],
                marker="o",
                linestyle="",
                markersize=8,
                markerfacecolor="none",
                markeredgecolor="black",
                label="wrong label",
            ),
        ],
        loc="upper center",
        bbox_to_anchor=(0.5, 0.02),
        ncols=3,
    )
    longest = max(np.linalg.norm(p, axis=1).max() for p in scene.pushes.values())
    for axis, (positive, title) in zip(
        axes[1:], (("all", "push with all positives"), ("easy", "push with easy positives")), strict=True
    ):
        push = scene.pushes[positive] / longest * 0.55
        axis.quiver(*x.T, *push.T, angles="xy", scale_units="xy", scale=1, width=0.005, color="0.15", zorder=4)
        towards = _towards_the_class(scene, positive)
        axis.set_title(f"{title} ({towards:+.0%} of it towards the means of the classes)")
    return figure


def _towards_the_class(scene: Scene, positive: str) -> float:
    """Share of the total push of rightly labelled samples that points to the mean of their class."""
    kept = scene.labels == scene.classes
    centre = np.stack([scene.x[scene.classes == c].mean(0) for c in scene.classes])
    inward = centre - scene.x
    inward /= np.linalg.norm(inward, axis=1, keepdims=True)
    push = scene.pushes[positive]
    return float((push * inward).sum(1)[kept].sum() / np.linalg.norm(push, axis=1)[kept].sum())


FIGURES.register("schematic")(
    Entry(
        title="Easy positive sampling",
        caption=(
            "A batch of two classes (colour) of two modes (shape), one label wrong (ring). Top: an anchor, the samples that have its label, and the nearest of "
            "them, which EPS takes as the only positive. Middle and bottom: the negative gradient of the triplet loss (all negatives; arrows of one "
            "scale): all positives pull a class's modes together, easy ones leave them where they are and act at the borders."
        ),
        study=None,
        draw=draw,
    )
)
