"""Where collapse begins and ends, computed from the exact expected losses: C3, C4, C5, C7 and C12."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN, POSITIVE_LOOK, Look
from sim.catalogue import FIGURES

if TYPE_CHECKING:
    from sim.sweeps.pieces import Piece

DIMENSIONS = range(1, 10)
SQUARED_DIMENSIONS = (7, 2)
LEVELS = ("19/20", "9/10", "4/5", "7/10", "3/5")

TEMPERATURE = 0.5
PER_CLASS = 6
SPHERE = 3
"""Dimension of the space of the unit sphere."""
RESTARTS, STEPS = 3, 150
SOFTMAX = {("ntxent", "all"): "NT-Xent", ("supcon", "all"): "SupCon", ("ntxent", "easy"): "NT-Xent, EPS"}
SOFTMAX_LOOK: dict[tuple[str, str], Look] = {
    ("ntxent", "all"): {"color": "#009E73", "marker": "D", "linestyle": "-"},
    ("supcon", "all"): {
        "color": "#CC79A7",
        "marker": "v",
        "linestyle": "--",
        "markersize": 6,
        "markerfacecolor": "none",
    },
    ("ntxent", "easy"): {**POSITIVE_LOOK["easy"]},
}
SIZES = {4: "-", 12: "--"}
"""Samples a class, for multi-similarity, with their lines."""


def cases(profile: str) -> tuple[list[int], list[tuple[float, int]], list[str]]:
    """Dimensions (C3), p and dimension (C5), p (C7); a few of each in the profile tiny."""
    if profile == "tiny":
        return [DIMENSIONS[0], DIMENSIONS[6]], [(0.9, m) for m in SQUARED_DIMENSIONS], [LEVELS[1]]
    return list(DIMENSIONS), [(float(Fraction(p)), m) for p in LEVELS for m in SQUARED_DIMENSIONS], list(LEVELS)


def similarity_cases(profile: str) -> tuple[list[tuple[str, str, float]], list[tuple[int, float]]]:
    """Loss, positive and p; samples a class and p of multi-similarity: both of C12."""
    levels = [0.9] if profile == "tiny" else [float(Fraction(p)) for p in LEVELS]
    softmax = [(*case, p) for case in SOFTMAX for p in levels]
    # Where classes of four stop collapsing a level more.
    return softmax, [(k, p) for k in SIZES for p in sorted({*levels, 0.85})]


def pieces(profile: str) -> list[Piece]:
    """All that is drawn of `cases` and of `similarity_cases`, in their order."""
    from sim.sweeps.pieces import Piece
    from sim.theory.diagrams import (
        easy_triplet_values,
        multi_similarity_within,
        softmax_minima,
        squared_contrastive_spread,
        triplet_spread,
    )

    dimensions, squared, levels = cases(profile)
    softmax, multi = similarity_cases(profile)
    setting = {"temperature": TEMPERATURE, "per_class": PER_CLASS, "dim": SPHERE, "restarts": RESTARTS, "steps": STEPS}
    restarts = 3 if profile == "tiny" else 6
    return [
        *(Piece(triplet_spread, {"dim": m, "restarts": restarts}, seconds=0.4) for m in dimensions),
        *(Piece(squared_contrastive_spread, {"p": p, "dim": m}, seconds=0.2) for p, m in squared),
        *(Piece(easy_triplet_values, {"p": p}, seconds=0.7) for p in levels),
        *(
            Piece(softmax_minima, {"loss": loss, "positive": positive, "p": p, **setting}, seconds=0.5)
            for loss, positive, p in softmax
        ),
        *(Piece(multi_similarity_within, {"per_class": k, "p": p}, seconds=0.4) for k, p in multi),
    ]


def draw(source: Source) -> Figure:
    """Four panels of losses of distances, three of losses of cosines."""
    from sim.theory.claims.base import agreement
    from sim.theory.claims.c4 import critical

    dimensions, squared, exact = cases(source.profile)
    values = iter(source.theory)
    spread = {m: next(values) for m in dimensions}
    squared_spread = {case: next(values) for case in squared}
    certified = {p: next(values) for p in exact}
    figure = plt.figure(figsize=(DOUBLE_COLUMN, 4.0))
    above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
    axes = [*above.subplots(1, 4), *below.subplots(1, 3)]
    blue, orange = POSITIVE_LOOK["easy"]["color"], POSITIVE_LOOK["random"]["color"]

    axis = axes[0]
    for m, found in spread.items():
        axis.plot([m] * len(found), found, "o", color=blue if m >= 7 else orange, markersize=3.5)
    axis.axvline(6.5, color="0.4", linewidth=0.8, linestyle=":")
    axis.set(
        title="C3 triplet, n = 8", xlabel="dimension m", ylabel="within-class distance / α", xticks=[1, 3, 5, 7, 9]
    )
    axis.set_yscale("symlog", linthresh=0.1)
    axis.set_ylim(-0.05, 30)

    axis = axes[1]
    t = np.arange(3, 101)  # two classes never fall onto one point
    boundary = [critical(int(k)) for k in t]
    axis.fill_between(t, 0.4, boundary, color=orange, alpha=0.25, linewidth=0)
    axis.plot(t, boundary, color=orange)
    axis.text(14, 0.55, "one point", fontsize=7)
    axis.text(4, 0.85, "class collapse", fontsize=7)
    axis.set(title="C4 margin, β learnt", xlabel="classes t", ylabel="p = P(label kept)", ylim=(0.4, 1), xscale="log")
    axis.set_xticks([3, 10, 100], ["3", "10", "100"])

    axis = axes[2]
    levels = np.linspace(0.55, 1, 50)
    axis.plot(1 - levels, [1 - agreement(2, p)[0] for p in levels], color="0.4", linewidth=1, label="(1 − s_in) α")
    for m, colour, marker in zip(SQUARED_DIMENSIONS, (blue, orange), "os", strict=True):
        points = [(1 - p, v) for (p, dim), v in squared_spread.items() if dim == m]
        axis.plot(*zip(*points, strict=True), marker, color=colour, label=f"minimised, m = {m}")
    axis.set(title="C5 squared contrastive", xlabel="label noise", ylabel="within-class distance / α")
    axis.set_ylim(0, 0.78)
    axis.legend(loc="upper left", handletextpad=0.3, fontsize=6)

    axis = axes[3]
    noise_levels = [1 - float(Fraction(p)) for p in certified]
    for place, label, colour, marker in ((0, "best collapsed", orange, "s"), (1, "sub-clusters on a line", blue, "o")):
        axis.plot(noise_levels, [v[place] for v in certified.values()], marker=marker, color=colour, label=label)
    axis.set(title="C7 EPS triplet (exact)", xlabel="label noise", ylabel="expected loss")
    axis.set_ylim(0, 85)
    axis.legend(loc="upper left", handletextpad=0.3, fontsize=6)
    softmax, multi = similarity_cases(source.profile)
    minima = {case: next(values) for case in softmax}
    _centres(axes[4], minima)
    _floor(axes[5], minima)
    _multi_similarity(axes[6], {case: next(values) for case in multi})
    for axis in axes[4:]:
        axis.set_xlim(0, 0.5)
    for axis in axes:
        axis.grid(True)
    return figure


def _centres(axis: Axes, minima: dict[tuple[str, str, float], dict[str, float]]) -> None:
    """The centres' cosine with all positives: predicted, and at the best embedding that minimisation found."""
    from sim.noise import symmetric
    from sim.theory.reduced import best_gap

    noise_levels = np.linspace(0.01, 0.49, 49)
    for loss, positive in SOFTMAX:
        if positive != "all":
            continue
        look = SOFTMAX_LOOK[loss, positive]
        gaps = [best_gap(PER_CLASS, symmetric(2, 1 - level), loss=loss) for level in noise_levels]
        predicted = np.maximum(1 - TEMPERATURE * np.array(gaps), -1)
        axis.plot(noise_levels, predicted, color=look["color"], linestyle=look["linestyle"], linewidth=1)
        found = [(1 - p, v["cosine"]) for (name, which, p), v in minima.items() if (name, which) == (loss, positive)]
        axis.plot(*zip(*found, strict=True), **{**look, "linestyle": ""}, label=SOFTMAX[loss, positive])
    axis.plot([], [], color="0.4", linewidth=1, label="1 − τ g*, at least −1")
    axis.set(
        title="C12 all positives: centres", xlabel="label noise", ylabel="cosine of the centres", ylim=(-1.08, 1.08)
    )
    axis.legend(loc="lower right", handletextpad=0.3, fontsize=6)


def _floor(axis: Axes, minima: dict[tuple[str, str, float], dict[str, float]]) -> None:
    """The least loss that minimisation found, over that of the best collapsed embedding."""
    axis.axhline(1, color=POSITIVE_LOOK["random"]["color"], linewidth=1, label="best collapsed", zorder=1)
    for (loss, positive), label in SOFTMAX.items():
        found = [
            (1 - p, v["best"] / v["collapsed"])
            for (name, which, p), v in minima.items()
            if (name, which) == (loss, positive)
        ]
        look = SOFTMAX_LOOK[loss, positive]
        axis.plot(*zip(*found, strict=True), **{**look, "linestyle": "-" if positive == "easy" else ""}, label=label)
    axis.set(
        title="C12 free against collapsed",
        xlabel="label noise",
        ylabel="loss found / collapsed",
        ylim=(0.8, 1.13),
    )
    axis.legend(loc="upper left", handletextpad=0.3, fontsize=6, ncols=2, columnspacing=1)


def _multi_similarity(axis: Axes, found: dict[tuple[int, float], tuple[float, str]]) -> None:
    """Cosines inside classes at the least loss; filled where a collapsed embedding is proven to be best."""
    collapsed, spread = POSITIVE_LOOK["random"]["color"], POSITIVE_LOOK["easy"]["color"]
    for (k, line), marker, size in zip(SIZES.items(), "so", (6, 4), strict=True):
        points = sorted((1 - p, *value) for (per_class, p), value in found.items() if per_class == k)
        axis.plot([x for x, _, _ in points], [within for _, within, _ in points], line, color="0.5", linewidth=0.8)
        for at, y, verdict in points:
            edge, face = ("white", collapsed) if verdict == "holds" else (spread, "white")
            axis.plot(at, y, marker, markeredgecolor=edge, markerfacecolor=face, markersize=size)
        axis.plot([], [], line, marker=marker, color="0.5", linewidth=0.8, markersize=size, label=f"k = {k}")
    axis.plot([], [], "s", color=collapsed, label="collapse, proven")
    axis.plot([], [], "s", color=spread, markerfacecolor="white", label="spread")
    axis.set(title="C12 multi-similarity", xlabel="label noise", ylabel="cosine inside classes", ylim=(0.4, 1.05))
    axis.legend(loc="upper right", handletextpad=0.3, fontsize=6)


FIGURES.register("theory")(
    Entry(
        title="Where collapse begins and ends",
        caption=(
            "Minimisers of exact expected losses. C3: within-class distance of every minimiser found (two classes of four, p = 0.9): 0 "
            "up to m = n − 2, any value from m = n − 1 (dotted). C4: below p*(t) the margin loss with learnt boundary puts all "
            "classes on one point, if there are three or more. C5: the squared contrastive loss keeps (1 − s_in) α where there is room. C7: with easy positives the "
            "best collapsed embedding (two classes of twelve) loses to sub-clusters on a line, in exact arithmetic. C12, two classes on the unit sphere. "
            f"NT-Xent and SupCon: temperature τ = {TEMPERATURE}, k = {PER_CLASS} samples a class, in R^{SPHERE}; markers: the best of {RESTARTS} random starts (seed 0) of a "
            f"descent of {STEPS} + {STEPS} steps that "
            "isn't told the least value. Left: all positives, mean cosine between the classes; lines: 1 − τ g*, at least −1, g* the gap of an anchor's best row. Middle: the least loss found over that of the best "
            "collapsed embedding (a descent among those): no gain with all positives, a gain with easy ones (EPS). Right: multi-similarity (α, β, base 2, 50, 0.5), all positives, "
            "k samples a class, in any dimension, by a convex program: cosine inside classes at the least loss; filled: a collapsed embedding is proven best to 1e-8, open: none is."
        ),
        study=None,
        draw=draw,
        pieces=pieces,
    )
)
