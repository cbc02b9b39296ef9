"""Intervals and decisions: coverage, family-wise error, and the cases at the edges."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest
from scipy import stats

from sim.errors import InvalidInput
from sim.verdict import decide, in_words, interval, together


def test_interval_equals_scipy() -> None:
    x = np.random.default_rng(0).normal(size=12)
    low, high = stats.t.interval(0.95, 11, loc=x.mean(), scale=stats.sem(x))
    ours = interval(x)
    assert (ours.low, ours.high) == (pytest.approx(low), pytest.approx(high))
    assert ours.mean == pytest.approx(x.mean())


def test_intervals_cover_at_their_level() -> None:
    rng = np.random.default_rng(1)
    covered = [(i := interval(rng.normal(size=8))).low <= 0 <= i.high for _ in range(2000)]
    assert abs(np.mean(covered) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_undefined_values_are_left_out() -> None:
    assert interval([1.0, float("nan"), 3.0]).n == 2
    assert np.isnan(interval([]).mean)
    assert np.isnan(interval([1.0]).low)


def test_decisions() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=10)
    noise = rng.normal(size=10)
    up, down, level = decide(
        [
            ("c", "up", a + 1, a + 0.01 * noise),
            ("c", "down", a, a + 1 + 0.01 * noise),
            ("c", "level", a, a + noise - noise.mean()),
        ]
    )
    assert (up.verdict, down.verdict, level.verdict) == ("holds", "fails", "inconclusive")
    expected = stats.ttest_rel(a, a + noise - noise.mean()).pvalue
    assert level.p == pytest.approx(expected)


def test_edges() -> None:
    same, shifted, single = decide([("c", "=", [1, 1], [1, 1]), ("c", ">", [2, 2], [1, 1]), ("c", "one", [2], [1])])
    assert (same.verdict, shifted.verdict, single.verdict) == ("inconclusive", "holds", "inconclusive")
    with pytest.raises(InvalidInput, match="as many values on both sides"):
        decide([("c", "x", [1, 2], [1])])


def test_holm_by_hand() -> None:
    """p-values that Holm multiplies by 3, 2 and 1 in their order, and never lets fall."""
    rng = np.random.default_rng(0)
    sides = [(rng.normal(shift, 1, 8), np.zeros(8)) for shift in (1.4, 0.9, 0.8)]
    raw = np.array([stats.ttest_rel(a, b).pvalue for a, b in sides])
    order = np.argsort(raw)
    expected = np.empty(3)
    expected[order] = np.minimum(np.maximum.accumulate(raw[order] * [3, 2, 1]), 1)
    found = decide([("a is greater", str(k), a, b) for k, (a, b) in enumerate(sides)])
    np.testing.assert_allclose([f.p for f in found], expected)


def test_pairs_with_a_nan_are_left_out_of_the_test() -> None:
    a, b = [0.5, np.nan, 0.6, 0.7], [0.1, 0.2, 0.3, 0.2]
    (whole,) = decide([("a is greater", "x", [0.5, 0.6, 0.7], [0.1, 0.3, 0.2])])
    (found,) = decide([("a is greater", "x", a, b)])
    assert (found.p, found.difference) == (pytest.approx(whole.p), whole.difference)


def test_pairs_without_a_difference_are_left_out_of_the_test() -> None:
    """Two runs of one seed that both diverged to infinity say nothing about which is greater."""
    a, b = [np.inf, 0.5, 0.6, 0.7], [np.inf, 0.1, 0.3, 0.2]
    (whole,) = decide([("a is greater", "x", a[1:], b[1:])])
    (found,) = decide([("a is greater", "x", a, b)])
    assert found == whole and found.verdict == "holds"


def test_differences_that_only_rounding_tells_apart_are_decided_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = decide([("a is greater", "x", [0.1 + 0.2, 0.1 + 0.2, 0.1 + 0.2, 0.3], [0.1] * 4)])
    assert found.verdict == "holds" and found.p < 1e-30


def test_several_verdicts_are_one() -> None:
    assert together(["holds"]) == "holds"
    assert together(["inconclusive", "fails", "holds"]) == "fails"
    assert together(["inconclusive", "holds"]) == "inconclusive"
    with pytest.raises(InvalidInput, match="verdicts: got"):
        together([])


def test_family_wise_error_stays_below_five_per_cent(monkeypatch: pytest.MonkeyPatch) -> None:
    # statsmodels collects garbage at every call; with everything that other tests loaded, that takes minutes in all.
    monkeypatch.setattr(gc, "collect", lambda: 0)
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(400):
        findings = decide([("c", "null", rng.normal(size=6), rng.normal(size=6)) for _ in range(5)])
        wrong += any(f.verdict != "inconclusive" for f in findings)
    assert wrong / 400 < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)


def test_words_say_where() -> None:
    up, down, flat = (
        ([2.0, 2.1, 2.0], [1.0, 1.0, 1.1]),
        ([1.0, 1.1, 1.0], [2.0, 2.0, 2.1]),
        ([1.0, 2.0, 3.0], [3.0, 1.0, 2.0]),
    )
    findings = decide([("a", "s1", *up), ("a", "s2", *down), ("a", "s3", *flat), ("b", "s1", *up), ("b", "s2", *up)])
    assert in_words(findings) == [
        "A: confirmed in 1 of 3 settings (s1), refuted in 1 of 3 settings (s2), undecided in 1 of 3 settings (s3).",
        "B: confirmed in all 2 settings.",
    ]


def test_one_difference_in_twenty_by_chance_is_the_limit() -> None:
    """p just below .05 decides, p just above doesn't: three pairs, whose t is the quantile of two degrees of freedom."""
    for wanted, verdict in ((0.049, "holds"), (0.051, "inconclusive"), (0.5, "inconclusive"), (0.949, "inconclusive")):
        shift = stats.t.ppf(1 - wanted / 2, 2) / np.sqrt(3)
        (found,) = decide([("a is greater", "x", shift + np.array([-1.0, 0.0, 1.0]), [0.0] * 3)])
        assert (found.p, found.verdict) == (pytest.approx(wanted), verdict)
