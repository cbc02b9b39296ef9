"""Spread, sub-clusters and retrieval against the noise level, with intervals."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN, line_with_band, looks_of, name_of
from sim.catalogue import FIGURES
from sim.studies import final, table


def draw_metrics(
    source: Source, metrics: dict[str, str], log: tuple[str, ...] = (), truth: dict[str, float] | None = None
) -> Figure:
    """A row for each loss, a column for each metric, a line for each positive policy.

    Parameters
    ----------
    source : Source
    metrics : mapping from columns to axis labels
    log : tuple of str
        Metrics on a logarithmic axis.
    truth : mapping from columns to numbers, optional
        Values known from the problem, drawn as dotted lines.
    """
    truth = truth or {}
    summary = table(final(source.results), list(metrics))
    looks = looks_of(summary["positive"])
    losses = sorted(summary["loss.name"].unique(), reverse=True)
    figure, axes = plt.subplots(
        len(losses),
        len(metrics),
        figsize=(DOUBLE_COLUMN, 1.7 * len(losses) + 0.3),
        sharex=True,
        sharey="col",
        squeeze=False,
    )
    for row, loss in zip(axes, losses, strict=True):
        for axis, (metric, label) in zip(row, metrics.items(), strict=True):
            for positive, lines in summary[summary["loss.name"] == loss].groupby("positive"):
                name = f"{name_of(positive)} positives"
                line_with_band(axis, lines, "noise.level", metric, looks[positive], label=name)
            if metric in truth:
                axis.axhline(truth[metric], color="0.4", linewidth=0.8, linestyle=":", zorder=0)
            if metric in log:
                axis.set_yscale("log")
            axis.grid(True)
            axis.set_title(f"{loss}: {label}")
    for axis in axes[-1]:
        axis.set_xlabel("label noise")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


FIGURES.register("spread_and_subclusters")(
    Entry(
        title="Spread and sub-clusters against noise",
        caption=(
            "Mean within-class distance and its ratio to the between-class distance, sub-clusters a class (single linkage at a "
            "fifth of the between-class distance; dotted: the true number) and Recall@1 on modes. Bands: 95 % intervals over seeds."
        ),
        study="noise_sweep",
        draw=lambda source: draw_metrics(
            source,
            {
                "within_mean": "within-class spread",
                "relative_spread": "relative spread",
                "subclusters_linkage": "sub-clusters",
                "recall_at_1": "Recall@1 (modes)",
            },
            log=("within_mean",),
            truth={"subclusters_linkage": 4.0},
        ),
    )
)
