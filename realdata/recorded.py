"""Results on data that isn't ours to ship: the rows of the shipped specifications, one file a specification.

Made with ``collapse sweep NAME --csv NAME.csv`` for a shipped specification NAME where its data are; the first line says so, and
the column ``schema`` which version of the training program (`sim.config.SCHEMA`) made them.
A plugin brings its own: `sim.catalogue.RECORDED` takes a function without arguments that gives such rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import resources
from typing import TYPE_CHECKING

from sim.catalogue import RECORDED
from sim.studies import FINE_LABEL_METRICS, easy_against, made_with
from sim.tables import markdown, wide
from sim.verdict import decide

if TYPE_CHECKING:
    import pandas as pd

TITLES = {
    "digits": "Digits: trained on even/odd, retrieved by digit",
    "mnist": "MNIST: trained on even/odd, retrieved by digit",
    "fashion_mnist": "Fashion-MNIST: trained on tops/bottoms/shoes/bags, retrieved by product",
    "omniglot": "Omniglot: trained on alphabets, characters of new alphabets retrieved",
    "cub200_merged": "CUB-200 (100 species), frozen features: five species merged into a class, retrieved by species",
    "cub200_zero_shot": "CUB-200 (100 species), frozen features: trained on 50 species, retrieved by 50 new ones",
}


def names() -> list[str]:
    """Specifications whose rows are here, in the order of `TITLES`; those without a title come last.

    Examples
    --------
    >>> names()[:3]
    ['digits', 'mnist', 'fashion_mnist']
    """
    files = [p.name for p in (resources.files("realdata") / "results").iterdir()]
    there = sorted(name.removesuffix(".csv") for name in files if name.endswith(".csv"))
    return [*(name for name in TITLES if name in there), *(name for name in there if name not in TITLES)]


@functools.cache
def rows(name: str) -> pd.DataFrame:
    """One row a run: factors, seed and the metrics at the end of the training, on the test split.

    Examples
    --------
    >>> digits = rows("digits")
    >>> sorted(digits["positive"].unique()), digits["seed"].nunique()
    (['easy', 'random'], 10)
    """
    import pandas as pd

    with (resources.files("realdata") / "results" / f"{name}.csv").open() as file:
        return pd.read_csv(file, comment="#")


def _reader(name: str) -> Callable[[], pd.DataFrame]:
    return lambda: rows(name)


def page() -> str:
    """All tables as a Markdown page: a section for each entry of `sim.catalogue.RECORDED`.

    Examples
    --------
    >>> page().splitlines()[0]
    '# Real data: easy against random positives'
    """
    parts = [
        "# Real data: easy against random positives",
        "Recall@1 on fine labels of test images that aren't trained on; mean ± half of the 95 % interval over seeds 0 to 9; static symmetric "
        "noise on the training labels only. Bold: the better of easy (EPS) and random positives, where the paired difference over "
        "seeds has p < 0.05 (t-test, Holm over the table). The rows behind the tables are in `realdata/results/`; the first line of each "
        "file is the command that made it, for who has the data (`docs/data.md`). This page is written by `collapse data results`.",
    ]
    for name in RECORDED:
        found = RECORDED[name]()
        findings = decide(easy_against(found, FINE_LABEL_METRICS, "random"))
        count = {v: sum(f.verdict == v for f in findings) for v in ("holds", "inconclusive", "fails")}
        command = f"`collapse sweep {name}`: " if name in names() else ""
        note = made_with(found, name)
        parts += [
            f"## {TITLES.get(name, name)}",
            f"{command}{len(found)} runs. Recall@1 and MAP@R greater with easy positives: confirmed in {count['holds']} of "
            f"{len(findings)} comparisons, undecided in {count['inconclusive']}, refuted in {count['fails']}.",
            *([f"**{note[0].upper()}{note[1:]}.**"] if note else []),
            markdown(wide(found, "recall_at_1", lambda text: f"**{text}**")),
        ]
    return "\n\n".join(parts) + "\n"


for _name in names():
    RECORDED.register(_name)(_reader(_name))
