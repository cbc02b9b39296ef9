"""Where collapse begins and ends, computed from the exact expected losses: C3, C4, C5 and C7."""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN, POSITIVE_LOOK
from sim.catalogue import FIGURES

DIMENSIONS = range(1, 10)
LEVELS = ("19/20", "9/10", "4/5", "7/10", "3/5")


@functools.cache
def computed(tiny: bool) -> dict[str, Any]:
    """Everything that is drawn, a few cases of it in the profile tiny: minimised once a process."""
    from sim import noise
    from sim.theory import lower_bound
    from sim.theory.certificates import certify_c7
    from sim.theory.claims.base import minimisers, two_classes
    from sim.theory.minimise import minimise, within_between

    classes, noisy = two_classes(4), noise.symmetric(2, 0.9)
    bound = lower_bound(classes, noisy, alpha=0.5)
    spread = {}
    for m in DIMENSIONS[::6] if tiny else DIMENSIONS:
        found = minimise(classes, noisy, alpha=0.5, dim=m, bound=bound, restarts=3 if tiny else 6)
        spread[m] = [within_between(found.distances(k), classes)[0].mean() / 0.5 for k in minimisers(found)]
    squared = {}
    for p in (0.9,) if tiny else (0.95, 0.9, 0.8, 0.7, 0.6):
        for m in (2, 7):
            transition = noise.symmetric(2, p)
            found = minimise(classes, transition, loss="contrastive", squared=True, alpha=1.0, dim=m, restarts=3)
            squared[p, m] = within_between(found.distances(), classes)[0].mean()
    certified = {}
    for level in LEVELS[1:2] if tiny else LEVELS:
        certificate = certify_c7(level, 12, "1/2")
        assert certificate.better is not None
        certified[float(Fraction(level))] = (float(certificate.collapsed.value), float(certificate.better.value))
    return {"spread": spread, "squared": squared, "certified": certified}


def draw(source: Source) -> Figure:
    """Four panels."""
    from sim.theory.claims.base import agreement
    from sim.theory.claims.c4 import critical

    data = computed(source.profile == "tiny")
    figure, axes = plt.subplots(1, 4, figsize=(DOUBLE_COLUMN, 2.0))
    blue, orange = POSITIVE_LOOK["easy"]["color"], POSITIVE_LOOK["random"]["color"]

    axis = axes[0]
    for m, values in data["spread"].items():
        axis.plot([m] * len(values), values, "o", color=blue if m >= 7 else orange, markersize=3.5)
    axis.axvline(6.5, color="0.4", linewidth=0.8, linestyle=":")
    axis.set(
        title="C3 triplet, n = 8", xlabel="dimension m", ylabel="within-class distance / α", xticks=[1, 3, 5, 7, 9]
    )
    axis.set_yscale("symlog", linthresh=0.1)
    axis.set_ylim(-0.05, 30)

    axis = axes[1]
    t = np.arange(2, 101)
    boundary = [critical(int(k)) for k in t]
    axis.fill_between(t, 0.4, boundary, color=orange, alpha=0.25, linewidth=0)
    axis.plot(t, boundary, color=orange)
    axis.text(14, 0.55, "one point", fontsize=7)
    axis.text(4, 0.85, "class collapse", fontsize=7)
    axis.set(title="C4 margin, β learnt", xlabel="classes t", ylabel="p = P(label kept)", ylim=(0.4, 1), xscale="log")

    axis = axes[2]
    levels = np.linspace(0.55, 1, 50)
    axis.plot(1 - levels, [1 - agreement(2, p)[0] for p in levels], color="0.4", linewidth=1, label="(1 − s_in) α")
    for m, colour, marker in ((7, blue, "o"), (2, orange, "s")):
        points = [(1 - p, v) for (p, dim), v in data["squared"].items() if dim == m]
        axis.plot(*zip(*points, strict=True), marker, color=colour, label=f"minimised, m = {m}")
    axis.set(title="C5 squared contrastive", xlabel="label noise", ylabel="within-class distance / α")
    axis.set_ylim(0, 0.78)
    axis.legend(loc="upper left", handletextpad=0.3, fontsize=6)

    axis = axes[3]
    noise_levels = [1 - p for p in data["certified"]]
    for place, label, colour, marker in ((0, "best collapsed", orange, "s"), (1, "sub-clusters on a line", blue, "o")):
        axis.plot(
            noise_levels, [v[place] for v in data["certified"].values()], marker=marker, color=colour, label=label
        )
    axis.set(title="C7 EPS triplet (exact)", xlabel="label noise", ylabel="expected loss")
    axis.set_ylim(0, 85)
    axis.legend(loc="upper left", handletextpad=0.3, fontsize=6)
    for axis in axes:
        axis.grid(True)
    return figure


FIGURES.register("theory")(
    Entry(
        title="Where collapse begins and ends",
        caption=(
            "Minimisers of exact expected losses. C3: within-class distance of every minimiser found (two classes of four, p = 0.9): 0 "
            "up to m = n − 2, any value from m = n − 1 (dotted). C4: below p*(t) the margin loss with learnt boundary puts all "
            "classes on one point. C5: the squared contrastive loss keeps (1 − s_in) α where there is room. C7: with easy positives the "
            "best collapsed embedding (two classes of twelve) loses to sub-clusters on a line, in exact arithmetic."
        ),
        study=None,
        draw=draw,
    )
)
