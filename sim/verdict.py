"""How statements are decided: computed from runs, never written by hand."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sim.errors import InvalidInput

Verdict = Literal["holds", "fails", "inconclusive"]
LEVEL = 0.95
MOST_LISTED = 8
"""Settings that a sentence names; of more it tells the number."""


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Attributes
    ----------
    mean, low, high : float
        Student-t interval of the mean at level `LEVEL`; the bounds are NaN with fewer than two values.
    n : int
        Number of values.

    Examples
    --------
    >>> accuracy = Interval(mean=0.5, low=0.4, high=0.6, n=10)
    >>> print(accuracy)
    0.500 ± 0.100
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.half_width:.3f}"


def interval(values: Sequence[float] | np.ndarray, level: float = LEVEL) -> Interval:
    """Mean and Student-t confidence interval over independent runs.

    Parameters
    ----------
    values : sequence of float
        One a seed; NaN (a metric that is undefined for that run) is left out.
    level : float
        Confidence level in (0, 1).

    Examples
    --------
    >>> str(interval([0.4, 0.5, 0.6]))
    '0.500 ± 0.248'
    """
    from scipy import stats

    x = np.asarray(values, dtype=np.float64)
    x = x[~np.isnan(x)]
    if not len(x):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    if len(x) == 1:
        return Interval(float(x[0]), float("nan"), float("nan"), 1)
    half = stats.t.ppf(0.5 + level / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return Interval(float(x.mean()), float(x.mean() - half), float(x.mean() + half), len(x))


@dataclass(frozen=True)
class Finding:
    """A claim "a is greater than b" in one setting, decided from paired runs.

    Attributes
    ----------
    claim : str
        What is claimed, the same text in every setting.
    setting : str
        Where (``triplet, noise 0.1``).
    difference : Interval
        Of a - b over pairs (same seed: same data, initial net, batches and noise draws).
    p : float
        Two-sided p-value of a zero mean difference, adjusted for the number of statements decided together (Holm).
    verdict : str
        ``holds``: positive with p < 0.05; ``fails``: negative with p < 0.05; else ``inconclusive``.
    """

    claim: str
    setting: str
    difference: Interval
    p: float
    verdict: Verdict


Statement = tuple[str, str, Sequence[float], Sequence[float]]
"""(claim, setting, a, b)."""


def decide(statements: Sequence[Statement]) -> list[Finding]:
    """Decide statements "a > b" together.

    Parameters
    ----------
    statements : sequence of (claim, setting, a, b)
        ``a`` and ``b`` hold one value a seed, in the same order; pairs without a difference (NaN) are left out.

    Returns
    -------
    list of Finding
        In the order given.

    Notes
    -----
    Paired Student-t tests with Holm's correction (Holm 1979) over all statements of the call, so that at most 5 % of
    such families contain a false "holds" or "fails". Fewer than two pairs are inconclusive; a difference without any
    spread is decided by its sign.

    Examples
    --------
    >>> (finding,) = decide([("a is greater", "here", [0.5, 0.6, 0.7], [0.1, 0.3, 0.2])])
    >>> finding.verdict, round(finding.p, 3)
    ('holds', 0.02)
    """
    differences, raw = [], []
    for claim, setting, a, b in statements:
        if len(a) != len(b):
            raise InvalidInput(f"{claim} ({setting})", (len(a), len(b)), "as many values on both sides, one a seed")
        pairs = _pairs(a, b)
        differences.append(interval(pairs[0] - pairs[1]))
        raw.append(_p_value(pairs, differences[-1]))
    findings = []
    for (claim, setting, _, _), difference, p in zip(statements, differences, _holm(raw), strict=True):
        decided = p < 1 - LEVEL
        verdict: Verdict = "inconclusive" if not decided else "holds" if difference.mean > 0 else "fails"
        findings.append(Finding(claim, setting, difference, float(p), verdict))
    return findings


def _pairs(a: Sequence[float], b: Sequence[float]) -> np.ndarray:
    """Both sides, shape (2, n), without the pairs that have no difference: a NaN, or infinity twice."""
    pairs = np.array([a, b], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return pairs[:, ~np.isnan(pairs[0] - pairs[1])]


def _p_value(pairs: np.ndarray, difference: Interval) -> float:
    """Two-sided, of a paired t-test; where that isn't defined, of what can be seen."""
    from scipy import stats

    if difference.n < 2:
        return 1.0
    if difference.half_width == 0:
        return 1.0 if difference.mean == 0 else 0.0
    with warnings.catch_warnings():
        # Nearly equal differences lose precision; their p-value is next to 0 all the same.
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_rel(*pairs).pvalue)


def _holm(p: Sequence[float]) -> np.ndarray:
    """Adjusted for their number; shape (k,)."""
    from statsmodels.stats.multitest import multipletests

    if not p:
        return np.empty(0)
    adjusted: np.ndarray = multipletests(p, method="holm")[1]
    return adjusted


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict of several: ``holds`` if all hold, ``fails`` if any fails, else ``inconclusive``.

    Raises
    ------
    InvalidInput
        If there is none: nothing was asked, so nothing holds.

    Examples
    --------
    >>> together(["holds", "holds"]), together(["holds", "fails"]), together(["holds", "inconclusive"])
    ('holds', 'fails', 'inconclusive')
    """
    found = set(verdicts)
    if not found:
        raise InvalidInput("verdicts", [], "at least one")
    return "holds" if found == {"holds"} else "fails" if "fails" in found else "inconclusive"


def in_words(findings: Sequence[Finding]) -> list[str]:
    """One sentence a claim: in which settings it was confirmed, refuted and left undecided.

    Examples
    --------
    >>> in_words([Finding("a is greater", "here", interval([1.0, 2.0]), 0.2, "inconclusive")])
    ['A is greater: undecided in all 1 settings.']
    """
    sentences = []
    for claim in dict.fromkeys(f.claim for f in findings):
        of_claim = [f for f in findings if f.claim == claim]
        parts = []
        for verdict, word in (("holds", "confirmed"), ("fails", "refuted"), ("inconclusive", "undecided")):
            settings = [f.setting for f in of_claim if f.verdict == verdict]
            if len(settings) == len(of_claim):
                parts.append(f"{word} in all {len(settings)} settings")
            elif settings:
                listed = f" ({'; '.join(settings)})" if len(settings) <= MOST_LISTED else ""
                parts.append(f"{word} in {len(settings)} of {len(of_claim)} settings{listed}")
        sentences.append(f"{claim[0].upper()}{claim[1:]}: {', '.join(parts)}.")
    return sentences
