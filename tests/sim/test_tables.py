"""Tables: bold only where the seeds support it, differences decided, both forms well made."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from realdata import recorded
from sim.tables import best, differences, document, wide


def rows(gain: float, spread: float = 0.01, positives: tuple[str, ...] = ("random", "easy")) -> pd.DataFrame:
    """Five seeds at two noise levels; the k-th policy is better by k * gain at noise 0.2 only."""
    draws = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "loss.name": "multi_similarity",
                "negative": "all",
                "positive": positive,
                "noise.level": level,
                "seed": seed,
                "recall_at_1": 0.5 + k * gain * (level > 0) + spread * draws.standard_normal(),
                "map_at_r": 0.3,
            }
            for level in (0.0, 0.2)
            for k, positive in enumerate(positives)
            for seed in range(5)
        ]
    )


def test_best_needs_support_against_every_other() -> None:
    side = ("multi_similarity", "all", 0.2)
    assert best(rows(0.1), "recall_at_1") == {(*side, "easy")}
    assert best(rows(-0.1), "recall_at_1") == {(*side, "random")}
    assert best(rows(0.1, spread=0.2), "recall_at_1") == set()
    three = rows(0.1, positives=("random", "hard", "easy"))
    assert best(three, "recall_at_1") == {(*side, "easy")}
    tied = three.copy()
    tied.loc[(tied["positive"] == "hard") & (tied["noise.level"] > 0), "recall_at_1"] += 0.1
    assert best(tied, "recall_at_1") == set()
    assert best(rows(0.1, positives=("easy",)), "recall_at_1") == set()


def test_the_tables_hold_means_and_differences() -> None:
    frame = wide(rows(0.1), "recall_at_1", lambda text: f"<{text}>")
    assert list(frame.columns) == ["loss, negatives", "positives", "noise 0", "noise 0.2"]
    assert list(frame["positives"]) == ["easy", "random"]
    assert re.fullmatch(r"<0\.6\d\d ± 0\.0\d\d>", frame["noise 0.2"][0]) and "<" not in "".join(frame["noise 0"])
    found = differences(rows(0.1))
    assert list(found["easy better"]) == ["undecided", "confirmed", "undecided", "undecided"]
    assert float(found["easy - random"][1]) == pytest.approx(0.1, abs=0.02)


def test_both_forms() -> None:
    text = document(rows(0.1), "birds", "markdown")
    assert text.count("\n## ") + text.startswith("## ") == 3
    assert text.count("**0.6") == 1 and "| multi_similarity, all" in text
    tex = document(rows(0.1), "birds", "latex")
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 3
    assert (
        tex.count(r"\textbf{0.6") == 1 and r"multi\_similarity" in tex and r"$\pm$" in tex and "95 \\% interval" in tex
    )
    lines = [line for line in tex.splitlines() if not line.startswith("%")]
    assert not re.search(r"(?<!\\)[%_]", "\n".join(lines))
    assert document(rows(0.1, positives=("easy",)), "birds", "markdown").count("## ") == 2


def test_bold_on_recorded_rows_is_what_the_page_says() -> None:
    name = recorded.names()[0]
    text = wide(recorded.rows(name), "recall_at_1", lambda text: f"**{text}**").to_csv()
    assert 0 < text.count("**0.") <= 20
