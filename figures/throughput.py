"""Throughput against pytorch-metric-learning, as the benchmark recorded it."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN
from sim.catalogue import FIGURES

if TYPE_CHECKING:
    import pandas as pd


def rows() -> pd.DataFrame:
    """One row a case; the file's first line is the command that made it."""
    import pandas as pd

    with (resources.files("figures") / "data" / "throughput.csv").open() as file:
        return pd.read_csv(file, comment="#")


def draw(_: Source) -> Figure:
    """A bar for each case with its least and greatest ratio; a tick where the aim was."""
    data = rows().iloc[::-1].reset_index(drop=True)
    figure, axis = plt.subplots(figsize=(DOUBLE_COLUMN, 2.2))
    beyond = [data["ratio"] - data["ratio, least"], data["ratio, most"] - data["ratio"]]
    axis.barh(
        data.index, data["ratio"], xerr=beyond, color="#56B4E9", height=0.6, error_kw={"linewidth": 0.9, "capsize": 2}
    )
    for place, (ratio, most) in enumerate(zip(data["ratio"], data["ratio, most"], strict=True)):
        axis.text(most * 1.08, place, f"{ratio:.3g}", va="center", fontsize=7)
    aims = data.dropna(subset=["target"])
    axis.plot(aims["target"], aims.index, "|", color="black", markersize=13, markeredgewidth=1.6, label="aim")
    axis.axvline(1, color="0.4", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_yticks(
        data.index,
        [
            f"{case}\n(batch {batch}, {runs} runs)"
            for case, batch, runs in zip(data["case"], data["batch"], data["runs"], strict=True)
        ],
        fontsize=6,
    )
    axis.set(
        xlabel="run-steps a second, ours over pytorch-metric-learning's", xlim=(0.8, 2 * data["ratio, most"].max())
    )
    axis.grid(True, axis="x")
    axis.legend(loc="lower right")
    return figure


FIGURES.register("throughput")(
    Entry(
        title="Speed against a plain loop",
        caption=(
            "Run-steps a second over those of a plain loop with pytorch-metric-learning doing the same work in the same process; medians of interleaved "
            "turns, whiskers least and greatest ratio (`python benchmarks/training.py`; README says on what machine)."
        ),
        study=None,
        draw=draw,
    )
)
