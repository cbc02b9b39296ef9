"""Results on data that isn't ours to ship: the rows of the shipped specifications, one file a specification.

Made with ``collapse sweep NAME --csv NAME.csv`` for a shipped specification NAME where its data are; the first line says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import resources

import pandas as pd

from sim.studies import RECORDED, easy_against, table
from sim.verdict import Interval, decide

METRICS = {"recall_at_1": "Recall@1 on fine labels", "map_at_r": "MAP@R on fine labels"}

TITLES = {
    "mnist": "MNIST: trained on even/odd, retrieved by digit",
    "fashion_mnist": "Fashion-MNIST: trained on tops/bottoms/shoes/bags, retrieved by product",
    "omniglot": "Omniglot: trained on alphabets, characters of new alphabets retrieved",
    "cub200_merged": "CUB-200 (100 species), frozen features: five species merged into a class, retrieved by species",
    "cub200_zero_shot": "CUB-200 (100 species), frozen features: trained on 50 species, retrieved by 50 new ones",
}


def names() -> list[str]:
    """Specifications whose rows are here, in the order of `TITLES`."""
    there = {p.name.removesuffix(".csv") for p in (resources.files("realdata") / "results").iterdir()}
    return [name for name in TITLES if name in there]


@functools.cache
def rows(name: str) -> pd.DataFrame:
    """One row a run: factors, seed and the metrics at the end of the training, on the test split."""
    with (resources.files("realdata") / "results" / f"{name}.csv").open() as file:
        return pd.read_csv(file, comment="#")


def _reader(name: str) -> Callable[[], pd.DataFrame]:
    return lambda: rows(name)


def markdown(name: str, metric: str = "recall_at_1") -> str:
    """A table of ``mean ± half of the 95 % interval`` by loss and positives (rows) and noise (columns).

    The better of easy and random positives is bold where the paired difference over seeds, adjusted over the table's
    comparisons (Holm), has p < 0.05.
    """
    found = rows(name)
    verdicts = {f.setting: f.verdict for f in decide(easy_against(found, {metric: METRICS[metric]}, "random"))}
    lines: dict[tuple[str, str, str], dict[float, str]] = {}
    for row in table(found, [metric]).to_dict("records"):
        loss, negative, positive, level = (row[c] for c in ("loss.name", "negative", "positive", "noise.level"))
        text = str(Interval(row[metric], row[f"{metric}_low"], row[f"{metric}_high"], int(row["runs"])))
        verdict = verdicts[f"{loss}, {negative} negatives, noise {level:g}"]
        bold = (verdict, positive) in (("holds", "easy"), ("fails", "random"))
        lines.setdefault((loss, negative, positive), {})[level] = f"**{text}**" if bold else text
    levels = sorted(found["noise.level"].unique())
    head = ["loss, negatives", "positives", *(f"noise {level:g}" for level in levels)]
    body = [[f"{loss}, {neg}", pos, *(cells[v] for v in levels)] for (loss, neg, pos), cells in sorted(lines.items())]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *body))


def page() -> str:
    """All tables as a Markdown page."""
    parts = [
        "# Real data: easy against random positives",
        "Recall@1 on fine labels of test images that aren't trained on; mean ± half of the 95 % interval over seeds 0 to 9; static symmetric "
        "noise on the training labels only. Bold: the better of easy (EPS) and random positives, where the paired difference over "
        "seeds has p < 0.05 (t-test, Holm over the table). The rows behind the tables are in `realdata/results/`; the first line of each "
        "file is the command that made it, for who has the data (`docs/data.md`). This page is written by `collapse data results`.",
    ]
    for name in names():
        found = rows(name)
        findings = decide(easy_against(found, METRICS, "random"))
        count = {v: sum(f.verdict == v for f in findings) for v in ("holds", "inconclusive", "fails")}
        parts += [
            f"## {TITLES[name]}",
            f"`collapse sweep {name}`: {len(found)} runs. Recall@1 and MAP@R greater with easy positives: confirmed in {count['holds']} of "
            f"{len(findings)} comparisons, undecided in {count['inconclusive']}, refuted in {count['fails']}.",
            markdown(name),
        ]
    return "\n\n".join(parts) + "\n"


for _name in names():
    RECORDED.register(_name)(_reader(_name))
