"""Results as tables for readers: mean ± half of the 95 % interval, bold where a paired test supports it, and the differences."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sim.studies import FINE_LABEL_METRICS, columns_of, easy_against, paired, table
from sim.verdict import Finding, Interval, decide

if TYPE_CHECKING:
    import pandas as pd

SIDE = ["loss.name", "negative", "noise.level"]


def readable(summary: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """A table as text: factors, number of runs, ``mean ± half-width`` for each metric."""
    numbers = {column for metric in metrics for column in columns_of(metric)}
    shown = summary[[c for c in summary.columns if c not in numbers]].copy()
    for metric in metrics:
        shown[metric] = [cell(row, metric) for row in summary.to_dict("records")]
    return shown


def cell(row: Mapping[Hashable, Any], metric: str) -> str:
    """A metric of a row of `sim.studies.table` as text; where not all of the row's runs have it, over how many the mean is.

    Examples
    --------
    >>> row = {"runs": 5, "spread": 0.5, "spread_low": 0.4, "spread_high": 0.6, "spread_n": 5}
    >>> cell(row, "spread"), cell({**row, "spread_n": 3}, "spread")
    ('0.500 ± 0.100', '0.500 ± 0.100 (mean of 3 of 5)')
    """
    mean, low, high, n = (row[column] for column in columns_of(metric))
    return f"{Interval(mean, low, high, n)}{share(n, row['runs'])}"


def share(n: int, runs: int) -> str:
    """What is added to a mean over ``n`` of ``runs`` runs; nothing where it is over all.

    Examples
    --------
    >>> share(1, 2), share(2, 2)
    (' (mean of 1 of 2)', '')
    """
    return "" if n == runs else f" (mean of {n} of {runs})"


def best(last: pd.DataFrame, metric: str) -> set[tuple[object, object, object, str]]:
    """Where one positive policy is better than each of the others.

    The policy with the greatest mean is compared with every other one over seeds (paired t-tests, Holm over all comparisons of the
    table); it is best where all p < 0.05.

    Returns
    -------
    set of (loss, negative, noise level, positive)
    """
    statements, of = [], []
    for (loss, negative, level), group in last.groupby(SIDE):
        means = {str(positive): of_policy[metric].mean() for positive, of_policy in group.groupby("positive")}
        top = max(means, key=lambda positive: means[positive])
        setting = {"loss.name": loss, "negative": negative, "noise.level": level}
        for other in sorted(means.keys() - {top}):
            sides = paired(last, metric, {**setting, "positive": top}, {**setting, "positive": other})
            statements.append((metric, other, *sides))
            of.append((loss, negative, level, top))
    if not statements:
        return set()
    verdicts = [f.verdict == "holds" for f in decide(statements)]
    return {key for key in of if all(v for k, v in zip(of, verdicts, strict=True) if k == key)}


def wide(last: pd.DataFrame, metric: str, bold: Callable[[str], str]) -> pd.DataFrame:
    """A row for each loss and positive policy, a column for each noise level; cells ``mean ± half-width`` over seeds.

    Parameters
    ----------
    last : DataFrame
        One row a run.
    metric : str
    bold : callable
        What to do with the text of a cell that is `best`.
    """
    import pandas as pd

    chosen = best(last, metric)
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in table(last, [metric]).to_dict("records"):
        loss, negative, positive, level = (row[c] for c in ("loss.name", "negative", "positive", "noise.level"))
        text = cell(row, metric)
        marked = bold(text) if (loss, negative, level, positive) in chosen else text
        lines.setdefault((loss, negative, positive), {})[f"noise {level:g}"] = marked
    return pd.DataFrame(
        [
            {"loss, negatives": f"{loss}, {negative}", "positives": positive, **cells}
            for (loss, negative, positive), cells in sorted(lines.items())
        ]
    )


def differences(last: pd.DataFrame, baseline: str = "random") -> pd.DataFrame:
    """Easy minus baseline positives, paired by seed: mean, 95 % interval, p (Holm over the table) and verdict."""
    import pandas as pd

    findings = decide(easy_against(last, FINE_LABEL_METRICS, baseline))
    return pd.DataFrame([_difference(f, baseline) for f in findings])


def _difference(finding: Finding, baseline: str) -> dict[str, object]:
    d = finding.difference
    return {
        "metric": finding.claim.split(" is greater")[0],
        "setting": finding.setting,
        f"easy - {baseline}": f"{d.mean:+.3f}",
        "95 % interval": f"{d.low:+.3f} to {d.high:+.3f}",
        "seeds": d.n,
        "p (Holm)": f"{finding.p:.2g}",
        "easy better": {"holds": "confirmed", "fails": "refuted", "inconclusive": "undecided"}[finding.verdict],
    }


def markdown(frame: pd.DataFrame) -> str:
    """A table in Markdown; numbers stay as they are written."""
    return str(frame.to_markdown(index=False, disable_numparse=True))


def latex(frame: pd.DataFrame) -> str:
    r"""A table in LaTeX (needs booktabs); text in it may hold \textbf and $\pm$."""
    shown = frame.map(lambda v: str(v).replace("±", r"$\pm$")).rename(columns=_escaped)
    text: str = shown.map(_escaped).style.hide(axis="index").to_latex(hrules=True)
    return text


def _escaped(text: str) -> str:
    return text.replace("_", r"\_").replace("%", r"\%")


def document(last: pd.DataFrame, title: str, form: str, baselines: pd.DataFrame | None = None) -> str:
    """The tables of a benchmark, ``form`` markdown or latex; ``baselines`` as `sim.baselines.table_of` gives them."""
    bold: Callable[[str], str] = (lambda t: f"**{t}**") if form == "markdown" else (lambda t: rf"\textbf{{{t}}}")
    heading = "## {}\n\n{}\n" if form == "markdown" else "% {}\n{}"
    written = markdown if form == "markdown" else latex
    seeds = last["seed"].nunique()
    parts = [
        heading.format(
            f"{title}: {called}; mean ± half of the 95 % interval over {seeds} seeds", written(wide(last, metric, bold))
        )
        for metric, called in FINE_LABEL_METRICS.items()
    ]
    if baselines is not None:
        metrics = list(FINE_LABEL_METRICS)
        shown = readable(baselines, metrics)[["baseline", *metrics]].rename(columns=FINE_LABEL_METRICS)
        parts.append(heading.format(f"{title}: floor and ceiling over the same {seeds} seeds", written(shown)))
    if {"easy", "random"} <= set(last["positive"]):
        parts.append(
            heading.format(f"{title}: easy minus random positives, paired by seed", written(differences(last)))
        )
    return "\n".join(parts)
