"""Throughput against the peers, as the benchmark recorded it."""

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

LOOKS = {
    "loop": ("#0072B2", "o"),
    "a loop a core": ("#56B4E9", "D"),
    "batched by hand": ("#E69F00", "s"),
    "torch.func.vmap": ("#D55E00", "^"),
    "JAX": ("#009E73", "v"),
}
"""Colour and marker of each peer."""


def rows() -> pd.DataFrame:
    """One row a measured number (`benchmarks/peers/rows.py` says what its columns are); the first lines say how, when and where."""
    import pandas as pd

    with (resources.files("figures") / "data" / "throughput.csv").open() as file:
        return pd.read_csv(file, comment="#")


def ratios() -> pd.DataFrame:
    """How many times a peer's run-steps a second ours are, on all cores; a row a case and peer."""
    found = rows()
    chosen = (found["section"] == "speed") & (found["measure"] == "run-steps a second") & found["ratio"].notna()
    return found[chosen]


def draw(_: Source) -> Figure:
    """A mark for each case and peer with its least and greatest ratio; a tick where an aim was."""
    data = ratios()
    names = [f"{case}\n(batch {batch})" for case, batch in zip(data["case"], data["batch"], strict=True)]
    lines = list(dict.fromkeys(names))[::-1]
    data = data.assign(line=[lines.index(name) for name in names])
    figure, axis = plt.subplots(figsize=(DOUBLE_COLUMN, 0.6 + 0.34 * len(lines)))
    for k, (peer, (colour, marker)) in enumerate(LOOKS.items()):
        of_peer = data[data["side"] == peer]
        height = of_peer["line"] + 0.15 * (2 - k)
        beyond = [of_peer["ratio"] - of_peer["least"], of_peer["most"] - of_peer["ratio"]]
        axis.errorbar(
            of_peer["ratio"], height, xerr=beyond, fmt=marker, color=colour, markersize=4, linewidth=0.9, label=peer
        )
        axis.plot(of_peer["aim"], height, "|", color=colour, markersize=9, markeredgewidth=1.6)
    axis.axvline(1, color="0.4", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_yticks(range(len(lines)), lines, fontsize=6)
    axis.set(xlabel="run-steps a second, ours over the peer's (ticks: aims)")
    axis.grid(True, axis="x")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


FIGURES.register("throughput")(
    Entry(
        title="Speed against other ways to train many runs",
        caption=(
            "Run-steps a second over those of peers doing the same work: a loop with pytorch-metric-learning, such a loop on every core, runs batched by hand and by "
            "torch.func.vmap, and JAX, each with its fastest setting; medians of interleaved turns, whiskers least and greatest ratio "
            "(`python benchmarks/training.py`; README says on what machine)."
        ),
        study=None,
        draw=draw,
    )
)
