"""Studies: a set of runs, the statements they decide, and the table they fill. Figures and the report read studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from sim.config import RunConfig
from sim.registry import Registry
from sim.sweeps.grid import grid
from sim.verdict import Finding, decide, interval

PROFILES = ("quick", "full")

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
        profile -> runs.
    findings : callable
        final rows (one a run, see `final`) -> decided statements.
    metrics : tuple of str
        The columns of its table.
    """

    title: str
    question: str
    configs: Callable[[str], list[RunConfig]]
    findings: Callable[[pd.DataFrame], list[Finding]]
    metrics: tuple[str, ...]


STUDIES: Registry[Study] = Registry("study")


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
        A row for each combination of the factors: the factors, ``runs``, and ``<metric>``, ``<metric>_low``,
        ``<metric>_high``.
    """
    rows = []
    for values, group in last.groupby(list(factors), sort=True):
        row = {**dict(zip(factors, values, strict=True)), "runs": len(group)}
        for metric in metrics:
            i = interval(group[metric].to_numpy())
            row |= {metric: i.mean, f"{metric}_low": i.low, f"{metric}_high": i.high}
        rows.append(row)
    return pd.DataFrame(rows)


def paired(last: pd.DataFrame, metric: str, a: dict[str, object], b: dict[str, object]) -> tuple[list[float], list[float]]:
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
    """
    sides = []
    for setting in (a, b):
        mask = pd.Series(True, index=last.index)
        for column, value in setting.items():
            mask &= last[column] == value
        sides.append(last[mask].set_index("seed")[metric])
    seeds = sides[0].index.intersection(sides[1].index).sort_values()
    return list(sides[0][seeds]), list(sides[1][seeds])


def easy_against(last: pd.DataFrame, metrics: dict[str, str], baseline: str) -> list[Finding]:
    """For each loss and noise level: is the metric greater with easy positives than with the baseline's?

    Parameters
    ----------
    last : DataFrame
        One row a run.
    metrics : mapping from columns to what they are called
    baseline : str
        A positive policy.
    """
    statements = []
    for metric, called in metrics.items():
        for (loss, level), _ in last.groupby(["loss.name", "noise.level"]):
            setting = {"loss.name": loss, "noise.level": level}
            a, b = paired(last, metric, {**setting, "positive": "easy"}, {**setting, "positive": baseline})
            statements.append((f"{loss}, noise {level:g}: {called} is greater with easy than with {baseline} positives", a, b))
    return decide(statements)
