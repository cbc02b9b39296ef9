"""The real-data tables as a figure: Recall@1 on fine labels against label noise."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN, POSITIVE_LOOK, line_with_band, name_of
from sim.catalogue import FIGURES, LOSSES, RECORDED
from sim.studies import made_with, table

SHOWN = ("triplet", "margin", "multi_similarity", "npair")
"""Losses with a column."""
SHORT = {
    "digits": "digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "omniglot": "Omniglot",
    "cub200_merged": "CUB, merged",
    "cub200_zero_shot": "CUB, zero-shot",
}
MARKS = ("*", "†", "‡", "§")
"""Of rows that were recorded with another version; below the figure stands what each means."""


def draw(_: Source) -> Figure:
    """A row for each data set, a column for each loss."""
    sets = list(RECORDED)
    figure, axes = plt.subplots(
        len(sets),
        len(SHOWN),
        figsize=(DOUBLE_COLUMN, 1.25 * len(sets) + 0.5),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    notes: list[str] = []
    for line, data in zip(axes, sets, strict=True):
        rows = RECORDED[data]()
        summary = table(rows, ["recall_at_1"])
        note = made_with(rows, data)
        if note and note not in notes:
            notes.append(note)
        mark = MARKS[notes.index(note) % len(MARKS)] if note else ""
        for axis, loss in zip(line, SHOWN, strict=True):
            for positive in ("easy", "random"):
                own = summary[(summary["loss.name"] == loss) & (summary["positive"] == positive)]
                look = {**POSITIVE_LOOK[positive], "label": name_of(positive), "markersize": 3}
                line_with_band(axis, own, "noise.level", "recall_at_1", look)
            if axis in axes[0]:
                axis.set_title(LOSSES[loss].title or loss)
            if axis in axes[-1]:
                axis.set_xlabel("label noise")
        line[0].set_ylabel(f"{SHORT.get(data, data)}{mark}\nRecall@1")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, [f"{label} positives" for label in labels], loc="outside upper center", ncols=len(labels))
    if notes:
        figure.supxlabel(
            "\n".join(f"{mark} {note}" for mark, note in zip(itertools.cycle(MARKS), notes)),
            fontsize=6,
            x=0.01,
            ha="left",
        )
    return figure


FIGURES.register("real_data")(
    Entry(
        title="Real data: fine labels retrieved after training on noisy labels",
        caption=(
            "Recall@1 on fine labels of test images, static symmetric noise on the training labels; mean and 95 % interval over ten seeds. "
            "Negatives: triplet semi-hard, margin distance-weighted, the others all. Drawn from the rows that come with the code "
            "(`realdata/results/`, `collapse sweep NAME --csv FILE`); docs/results.md has the numbers."
        ),
        study=None,
        draw=draw,
    )
)
