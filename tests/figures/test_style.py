"""Every positive policy has a look, and in one figure no two look alike."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from figures import Source
from figures.style import POSITIVE_LOOK, SPARE_LOOKS, looks_of
from sim.catalogue import FIGURES, POSITIVES

mpl.use("Agg")

# By their names alone k_easy:10 and k_easy:11 would look the same, and so would two of the limits.
STRANGERS = ["k_easy:10", "k_easy:11", "k_easy:3", "easy_within:0.25", "easy_within:1", "own", "gone"]


def drawn(name: str) -> list[tuple[object, object]]:
    """Colour and marker of every line in the first panel of a figure, from made-up rows."""
    rows = pd.DataFrame(
        {"positive": p, "loss.name": "triplet", "negative": "random", "noise.level": level, "seed": seed}
        | {"key": f"{p} {level} {seed}", "status": "done", "split": "test", "step": 1, "batch.per_class": 8}
        | dict.fromkeys(("within_mean", "relative_spread", "subclusters_linkage", "recall_at_1"), level + 0.1 * seed)
        for p in [*STRANGERS, *POSITIVE_LOOK]
        for level in (0.1, 0.2)
        for seed in range(3)
    )
    rows["within_mean"] += 1.0
    figure = FIGURES[name].draw(Source(None, "quick", [], rows))  # type: ignore[arg-type]
    lines = [line for line in figure.axes[0].get_lines() if line.get_marker() not in ("None", None)]
    plt.close(figure)
    return [(line.get_color(), line.get_marker()) for line in lines]


@pytest.mark.parametrize("name", ["spread_and_subclusters", "k_effect"])
def test_no_two_positives_of_a_figure_look_alike(name: str, replace: Callable[..., None]) -> None:
    replace(POSITIVES, "own", POSITIVES["easy"])
    looks = drawn(name)
    assert len(looks) == len(set(looks)) == len(STRANGERS) + len(POSITIVE_LOOK)


def test_there_are_as_many_looks_as_are_promised() -> None:
    names = [f"k_easy:{k}" for k in range(len(SPARE_LOOKS))]
    assert len({str(look) for look in looks_of(names).values()}) == len(SPARE_LOOKS) == 35
    assert not any(look in POSITIVE_LOOK.values() for look in SPARE_LOOKS)
    assert set(looks_of([*names, "one more"])) == {*names, "one more"}


def test_looks_do_not_depend_on_the_order() -> None:
    shuffled = np.random.default_rng(0).permutation(STRANGERS).tolist()
    assert looks_of(shuffled) == looks_of(STRANGERS)
