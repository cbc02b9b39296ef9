"""Studies: a set of runs, the statements they decide, and the table they fill. Figures and the report read studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.catalogue import STUDIES
from sim.config import CHANGES, SCHEMA, RunConfig
from sim.sweeps import spec
from sim.sweeps.rows import flatten
from sim.verdict import Finding, Statement, decide, interval

if TYPE_CHECKING:
    import pandas as pd

PROFILES = ("quick", "full", "tiny")
"""How much is run: minutes, most of an hour, or seconds (``tiny``: two seeds of the first loss, a few steps; to see that all
parts work, its verdicts mean nothing)."""

FINE_LABEL_METRICS = {"recall_at_1": "Recall@1 on fine labels", "map_at_r": "MAP@R on fine labels"}
"""What retrieval on real data is judged by: columns, and what they are called."""

FACTORS = ("loss.name", "negative", "positive", "noise.level")
"""What tells the rows of a study's table apart."""


@dataclass(frozen=True)
class Study:
    """A set of runs and what is asked of them.

    Attributes
    ----------
    title : str
    question : str
        What the study asks, in a sentence or two.
    configs : callable
        profile (``quick`` or ``full``) -> runs.
    findings : callable
        final rows (one a run, see `final`) -> decided statements.
    metrics : tuple of str
        The columns of its table.
    factors : tuple of str
        What tells the rows of its table apart.
    """

    title: str
    question: str
    configs: Callable[[str], list[RunConfig]]
    findings: Callable[[pd.DataFrame], list[Finding]]
    metrics: tuple[str, ...]
    factors: tuple[str, ...] = FACTORS

    def runs(self, profile: str, first_seed: int = 0) -> list[RunConfig]:
        """The study's runs with ``first_seed`` added to every seed; of a loss under several names (`same_losses`) the first."""
        from sim.losses.equal import distinct

        chosen = _tiny(self.configs("quick")) if profile == "tiny" else self.configs(profile)
        return [c.model_copy(update={"seed": c.seed + first_seed}) for c in distinct(chosen)[0]]

    def same_losses(self, profile: str) -> dict[str, list[str]]:
        """The losses that are run, to those that are the same in this study and therefore aren't.

        Examples
        --------
        >>> STUDIES["zoo"].same_losses("quick")
        {'npair': ['ntxent', 'supcon']}
        """
        from sim.losses.equal import distinct

        return distinct(self.configs("quick" if profile == "tiny" else profile))[1]


def _tiny(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Two seeds of the first loss, six steps."""
    first = configs[0].loss.name
    chosen = [c for c in configs if c.loss.name == first and c.seed < 2]
    return [c.model_copy(update={"steps": 6, "checkpoints": 1}) for c in chosen]


def final(results: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """The last checkpoint of every run that finished, on one split."""
    done = results[(results["status"] == "done") & (results["split"] == split)]
    return done[done["step"] == done.groupby("key")["step"].transform("max")]


def table(last: pd.DataFrame, metrics: Sequence[str], factors: Sequence[str] = FACTORS) -> pd.DataFrame:
    """Mean and 95 % interval over seeds.

    Parameters
    ----------
    last : DataFrame
        One row a run.
    metrics, factors : sequences of columns

    Returns
    -------
    DataFrame
        A row for each combination of the factors: the factors, ``runs``, and for each metric ``<metric>``, ``<metric>_low``,
        ``<metric>_high`` and ``<metric>_n``: how many of the runs have the metric (runs stored before it was there, or for which it
        is undefined, don't), which the mean is over.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"positive": ["easy", "easy"], "recall_at_1": [0.8, 0.9]})
    >>> table(rows, ["recall_at_1"], ["positive"])[["runs", "recall_at_1", "recall_at_1_n"]].round(2).to_dict("records")
    [{'runs': 2, 'recall_at_1': 0.85, 'recall_at_1_n': 2}]
    """
    import pandas as pd

    rows = []
    for values, group in last.groupby(list(factors), sort=True, dropna=False):
        row = {**dict(zip(factors, values, strict=True)), "runs": len(group)}
        for metric in metrics:
            # Runs stored before a metric was there don't have its column.
            i = interval(group[metric].to_numpy() if metric in group else [])
            row |= dict(zip(columns_of(metric), (i.mean, i.low, i.high, i.n), strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def columns_of(metric: str) -> tuple[str, str, str, str]:
    """The columns of a metric in a `table`: mean, low, high, number of runs that have it.

    Examples
    --------
    >>> columns_of("spread")
    ('spread', 'spread_low', 'spread_high', 'spread_n')
    """
    return metric, f"{metric}_low", f"{metric}_high", f"{metric}_n"


def made_with(rows: pd.DataFrame, name: str = "") -> str:
    """What must be said of rows that were made with another `SCHEMA` than today's; empty if there are none.

    Parameters
    ----------
    rows : DataFrame
        Results, their version in the column ``schema``; without it they are today's.
    name : str
        The shipped specification whose runs they are; else their own columns say what the runs set.

    Examples
    --------
    >>> import pandas as pd
    >>> made_with(pd.DataFrame({"schema": [1, 1], "data.name": "mnist", "data.params.test_limit": [None, 300.0]}))
    'recorded with schema 1: not what this version computes (the images that test_limit picks are drawn from another stream)'
    >>> made_with(pd.DataFrame({"seed": [0, 1]}))
    ''
    """
    if "schema" not in rows:
        return ""
    notes = []
    for version in sorted({int(v) for v in rows["schema"].dropna()} - {SCHEMA}):
        own = rows[rows["schema"] == version]
        since = [change for v in range(version + 1, SCHEMA + 1) for change in CHANGES[v]]
        runs = _runs_of(own, name)
        hit = [change.what for change in since if runs is None or any(map(change.hits, runs))]
        if version > SCHEMA:
            said = f"this version has {SCHEMA}"
        elif hit:
            said = f"{'may not be' if runs is None else 'not'} what this version computes ({'; '.join(hit)})"
        else:
            said = "what has changed since leaves these runs as they are"
        notes.append(f"recorded with schema {version}: {said}")
    return "; ".join(notes)


def _runs_of(rows: pd.DataFrame, name: str) -> list[dict[str, Any]] | None:
    """The fields that runs set; None if neither a specification nor the rows say."""
    if name in spec.shipped():
        return [flatten(c.model_dump(mode="json")) for c in spec.load(name, check=False)]
    if "data.name" not in rows:
        return None
    return [{str(k): v for k, v in run.items() if v == v} for run in rows.drop_duplicates().to_dict("records")]


def paired(
    last: pd.DataFrame, metric: str, a: dict[str, object], b: dict[str, object]
) -> tuple[list[float], list[float]]:
    """The metric of two settings, matched by seed.

    Parameters
    ----------
    last : DataFrame
        One row a run.
    a, b : mapping from columns to values
        The two settings.

    Returns
    -------
    (list, list)
        One value a seed that both have.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"positive": ["easy", "random", "easy"], "seed": [0, 0, 1], "spread": [0.5, 0.2, 0.6]})
    >>> paired(rows, "spread", {"positive": "easy"}, {"positive": "random"})
    ([0.5], [0.2])
    """
    import pandas as pd

    sides = []
    for setting in (a, b):
        mask = pd.Series(True, index=last.index)
        for column, value in setting.items():
            mask &= last[column] == value
        sides.append(last[mask].set_index("seed")[metric])
    seeds = sides[0].index.intersection(sides[1].index).sort_values()
    return list(sides[0][seeds]), list(sides[1][seeds])


def easy_against(last: pd.DataFrame, metrics: dict[str, str], baseline: str) -> list[Statement]:
    """For each loss and noise level: the metric is greater with easy positives than with the baseline's.

    Parameters
    ----------
    last : DataFrame
        One row a run.
    metrics : mapping from columns to what they are called
    baseline : str
        A positive policy.
    """
    statements: list[Statement] = []
    for metric, called in metrics.items():
        for (loss, negative, level), _ in last.groupby(["loss.name", "negative", "noise.level"]):
            setting = {"loss.name": loss, "negative": negative, "noise.level": level}
            a, b = paired(last, metric, {**setting, "positive": "easy"}, {**setting, "positive": baseline})
            where = f"{loss}, {negative} negatives, noise {level:g}"
            statements.append((f"{called} is greater with easy than with {baseline} positives", where, a, b))
    return statements


def _k_effect_findings(last: pd.DataFrame) -> list[Finding]:
    statements: list[Statement] = []
    for metric, called in {
        "subclusters_linkage": "the number of sub-clusters a class",
        "recall_at_1": "Recall@1 on modes",
    }.items():
        for k in sorted(last["batch.per_class"].unique()):
            easy, random = ({"batch.per_class": k, "positive": p} for p in ("easy", "random"))
            claim = f"{called} is greater with easy than with random positives"
            statements.append((claim, f"{k} samples a class in the batch", *paired(last, metric, easy, random)))
    return decide(statements)


def falls_with_noise(last: pd.DataFrame, metrics: dict[str, str], positive: str) -> list[Statement]:
    """For each loss and noise level above 0: the metric is greater without noise than at this level.

    Parameters
    ----------
    last, metrics
        See `easy_against`.
    positive : str
        The positive policy looked at.
    """
    statements: list[Statement] = []
    for metric, called in metrics.items():
        for (loss, negative, level), _ in last[last["noise.level"] > 0].groupby(
            ["loss.name", "negative", "noise.level"]
        ):
            setting = {"loss.name": loss, "negative": negative, "positive": positive}
            clean, noisy = paired(last, metric, {**setting, "noise.level": 0.0}, {**setting, "noise.level": level})
            where = f"{loss}, {negative} negatives, noise {level:g}"
            statements.append(
                (f"with {positive} positives {called} is greater without noise than with noise", where, clean, noisy)
            )
    return statements


def _noise_sweep_findings(last: pd.DataFrame) -> list[Finding]:
    falls = {
        "within_mean": "the within-class spread",
        "relative_spread": "the spread relative to the between-class distance",
    }
    kept = {"subclusters_linkage": "the number of sub-clusters a class", "recall_at_1": "Recall@1 on modes"}
    return decide(falls_with_noise(last, falls, "random") + easy_against(last, kept, "random"))


STUDIES.register("noise_sweep")(
    Study(
        title="Two classes of four modes: label noise, with and without easy positives",
        question=(
            "Small nets are trained on two classes of four interleaved Gaussian modes, with labels drawn afresh at every "
            "step. Does label noise pull a class's modes together, and do easy positives keep them apart?"
        ),
        configs=lambda profile: spec.load(f"noise_sweep_{profile}"),
        findings=_noise_sweep_findings,
        metrics=(
            "within_mean",
            "between_mean",
            "relative_spread",
            "subclusters_linkage",
            "mode_purity",
            "effective_rank",
            "recall_at_1",
            "class_recall_at_1",
        ),
    )
)


STUDIES.register("k_effect")(
    Study(
        title="Samples a class in the batch",
        question=(
            "Easy positives choose among the K - 1 other samples of the anchor's label in the batch: with K = 2 there is nothing to choose from. "
            "How many does it take (triplet loss, 20 % of the labels wrong, drawn afresh at every step)?"
        ),
        configs=lambda profile: spec.load("k_effect"),
        findings=_k_effect_findings,
        metrics=("within_mean", "relative_spread", "subclusters_linkage", "recall_at_1"),
        factors=("batch.per_class", "positive"),
    )
)

STUDIES.register("training")(
    Study(
        title="Embeddings across training",
        question="How do the modes of a class come together, or stay apart, as training goes on under label noise? Single runs, to be looked at.",
        configs=lambda profile: spec.load("training"),
        findings=lambda last: [],
        metrics=("within_mean", "relative_spread", "subclusters_linkage", "recall_at_1"),
        factors=("positive", "steps"),
    )
)

STUDIES.register("zoo")(
    Study(
        title="Every loss, three positives",
        question=(
            "The same two classes of four modes, embedded on the sphere with every loss of the toolkit and random, hardest or easy positives (losses on "
            "class vectors choose none). Which of them keep the modes of a class under label noise?"
        ),
        configs=lambda profile: spec.load(f"zoo_{profile}"),
        findings=lambda last: decide(
            easy_against(
                last[last["positive"] != "all"],
                {"subclusters_linkage": "the number of sub-clusters a class", "recall_at_1": "Recall@1 on modes"},
                "random",
            )
        ),
        metrics=("within_mean", "relative_spread", "subclusters_linkage", "recall_at_1", "class_recall_at_1"),
    )
)
