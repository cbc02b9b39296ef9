"""Certificates: exact values against enumeration of labellings, known numbers, and tampering."""

from __future__ import annotations

import itertools
from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InvalidInput
from sim.theory import verifier
from sim.theory.certificates import (
    NotFound,
    best_collapsed,
    breakpoints,
    certify_c3,
    certify_c4,
    certify_c7,
    certify_c8,
    exact_loss,
    gram_rank,
    margin_easy_global_bound,
    one_class_lower_bound,
)
from sim.theory.verifier.bounds import bound_all
from sim.theory.verifier.setting import exact

LEVELS = ("3/5", "7/10", "4/5", "9/10", "19/20")


def enumerated(D: list[list[F]], classes: list[int], T: list[list[F]], loss: str, positive: str, a: F, b: F) -> F:
    """The definition: every labelling, weighted."""
    n, total = len(classes), F(0)
    for labels in itertools.product(range(len(T)), repeat=n):
        weight = F(1)
        for c, y in zip(classes, labels, strict=True):
            weight *= T[c][y]
        for i in range(n):
            mates = [D[i][j] for j in range(n) if j != i and labels[j] == labels[i]]
            others = [D[i][k] for k in range(n) if labels[k] != labels[i]]
            if positive == "easy":
                mates = [min(mates)] if mates else []
            if loss == "triplet":
                total += weight * sum((max(p - q + a, F(0)) for p in mates for q in others), F(0))
            else:
                total += weight * sum((max(p - b + a, F(0)) for p in mates), F(0))
                total += weight * sum((max(b + a - q, F(0)) for q in others), F(0))
    return total


def fractions(low: int, high: int) -> st.SearchStrategy[F]:
    return st.builds(F, st.integers(low, high), st.integers(1, 4))


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[list[F]], list[int], list[list[F]], F, F]:
    t = draw(st.integers(2, 3))
    classes = [*range(t), *draw(st.lists(st.integers(0, t - 1), max_size=5 - t))]
    weights = [draw(st.lists(st.integers(0, 4), min_size=t, max_size=t).filter(any)) for _ in range(t)]
    T = [[F(w, sum(row)) for w in row] for row in weights]
    n = len(classes)
    D = [[F(0)] * n for _ in range(n)]
    for i, j in itertools.combinations(range(n), 2):
        D[i][j] = D[j][i] = draw(fractions(0, 4))
    return D, classes, T, draw(fractions(1, 4)), draw(fractions(-3, 6))


@settings(max_examples=60, deadline=None)
@given(problems(), st.sampled_from(["triplet", "margin"]), st.sampled_from(["all", "easy"]))
def test_both_evaluators_equal_enumeration(problem: Any, loss: Any, positive: Any) -> None:
    D, classes, T, a, b = problem
    beta = b if loss == "margin" else None
    expected = enumerated(D, classes, T, loss, positive, a, b)
    assert exact_loss(D, classes, T, loss=loss, positive=positive, alpha=a, beta=beta) == expected
    claim = {("triplet", "all"): "C3", ("margin", "all"): "C4", ("triplet", "easy"): "C7", ("margin", "easy"): "C8"}
    text = {"transition": [[str(x) for x in row] for row in T], "classes": classes, "alpha": str(a)}
    setting = verifier.Setting({**text, "claim": claim[loss, positive], "positive": positive})
    assert setting.value([[exact(x) for x in row] for row in D], beta) == expected


def tuples(rows: Any) -> tuple[tuple[F, ...], ...]:
    return tuple(tuple(F(x) for x in row) for row in rows)


def simplex(t: int, p: str) -> tuple[tuple[F, ...], ...]:
    q = (1 - F(p)) / (t - 1)
    return tuples([[F(p) if c == y else q for y in range(t)] for c in range(t)])


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([("triplet", 2), ("triplet", 3), ("margin", 2), ("margin", 3)]))
def test_no_collapsed_embedding_is_below_the_bound(data: st.DataObject, case: Any) -> None:
    """Any sizes, any transition matrix, any centres on a grid finer than the lattice."""
    loss, t = case
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=t, max_size=t))
    classes = [c for c, size in enumerate(sizes) for _ in range(size)]
    weights = [data.draw(st.lists(st.integers(0, 5), min_size=t, max_size=t).filter(any)) for _ in range(t)]
    T = tuples([[F(w, sum(row)) for w in row] for row in weights])
    points = breakpoints(classes, T, loss=loss, alpha=F(1))
    bound, _ = best_collapsed(classes, points)
    between = {pair: data.draw(fractions(0, 8)) for pair in itertools.combinations(range(t), 2)}
    D = [[F(0) if c == k else between[min(c, k), max(c, k)] for k in classes] for c in classes]
    beta = data.draw(fractions(-3, 6)) if loss == "margin" else None
    assert exact_loss(D, classes, T, loss=loss, positive="easy", alpha=F(1), beta=beta) >= bound


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_embedding_is_below_the_eps_margin_bound(data: st.DataObject) -> None:
    t, size = data.draw(st.sampled_from([(2, 2), (2, 3), (3, 2)]))
    classes = [c for c in range(t) for _ in range(size)]
    T = simplex(t, data.draw(st.sampled_from(["0", "1/3", "1/2", *LEVELS, "1"])))
    n = len(classes)
    D = [[F(0)] * n for _ in range(n)]
    for i, j in itertools.combinations(range(n), 2):
        D[i][j] = D[j][i] = data.draw(fractions(0, 6))
    loss = exact_loss(D, classes, T, loss="margin", positive="easy", alpha=F(1), beta=data.draw(fractions(-3, 6)))
    assert loss >= margin_easy_global_bound(classes, T, F(1))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_embedding_with_one_class_collapsed_is_below_its_bound(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=2, max_size=2))
    classes = [c for c, size in enumerate(sizes) for _ in range(size)]
    T = simplex(2, data.draw(st.sampled_from(LEVELS)))
    line = [data.draw(fractions(0, 6)) * c for c in classes]
    D = [[abs(x - y) for y in line] for x in line]
    loss = exact_loss(D, classes, T, loss="triplet", positive="easy", alpha=F(1))
    assert loss >= one_class_lower_bound(classes, T, F(1))


def test_gram_rank_is_the_dimension_of_the_points() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        line = [F(int(x)) for x in rng.integers(-5, 6, 6)]
        D = [[abs(x - y) for y in line] for x in line]
        expected = int(len(set(line)) > 1)
        assert gram_rank(D) == verifier.dimension(D) == expected
    rectangle = [[F(x) for x in row] for row in ((0, 3, 5, 4), (3, 0, 4, 5), (5, 4, 0, 3), (4, 5, 3, 0))]
    assert gram_rank(rectangle) == verifier.dimension(rectangle) == 2
    for k in range(2, 6):
        D = [[F(int(i != j)) for j in range(k)] for i in range(k)]
        assert gram_rank(D) == verifier.dimension(D) == k - 1


@pytest.mark.parametrize(
    "D",
    [
        ((0, 1, 3), (1, 0, 1), (3, 1, 0)),  # no triangle
        ((0, 2, 2, 1), (2, 0, 2, 1), (2, 2, 0, 1), (1, 1, 1, 0)),  # a metric, but the centre of the triangle is nearer
        ((0, 0, 1), (0, 0, 2), (1, 2, 0)),  # one point, two distances to a third
    ],
)
def test_impossible_distances_are_refused(D: Any) -> None:
    assert gram_rank(tuples(D)) is None
    with pytest.raises(verifier.Refused, match="not Euclidean"):
        verifier.dimension([list(row) for row in tuples(D)])


@pytest.mark.parametrize(
    ("p", "collapsed", "found_in_the_plane"),
    [
        ("19/20", 16.499, 3.943),
        ("9/10", 28.354, 7.844),
        ("4/5", 45.003, 15.406),
        ("7/10", 56.480, 21.216),
        ("3/5", 63.641, 25.282),
    ],
)
def test_c7_reproduces_the_measured_values(p: str, collapsed: float, found_in_the_plane: float) -> None:
    certificate = certify_c7(p, 12, "1/2")
    assert round(float(certificate.collapsed.value), 3) == collapsed
    assert certificate.better is not None and certificate.one_class_bound is not None
    assert certificate.better.dimension == 1
    assert float(certificate.better.value) < 1.05 * found_in_the_plane
    # Sharper than the claim: it beats every embedding that collapses even one class.
    assert certificate.better.value < certificate.one_class_bound
    assert verifier.verify(certificate.to_dict()) == []


def test_c7_best_collapsed_centres_of_three_classes() -> None:
    """Much noise: the three centres lie on a line (a, a, 2a); little noise: on an equilateral triangle."""
    noisy, clean = certify_c7("3/5", 6, "1/2", 3), certify_c7("9/10", 6, "1/2", 3)
    assert (noisy.collapsed.dimension, clean.collapsed.dimension) == (1, 2)
    for certificate in (noisy, clean):
        assert certificate.collapsed.value == certificate.collapsed_bound
        assert verifier.verify(certificate.to_dict()) == []


@pytest.mark.parametrize("p", ["0", "1/10", "1/3", "1/2", "9/10", "1"])
@pytest.mark.parametrize("t", [2, 3, 4])
def test_c3_and_c4_bounds_are_attained_at_every_p(p: str, t: int) -> None:
    """In every m >= the collapsed embedding's dimension; that is less than "every minimiser is collapsed"."""
    weaker = "a collapsed embedding is a minimiser"
    for certificate in (certify_c3(p, 3, "1/2", t, statement=weaker), certify_c4(p, 3, "1/5", t, statement=weaker)):
        assert certificate.collapsed.value == certificate.global_bound
        assert certificate.dimensions == (max(1, certificate.collapsed.dimension), None)
        assert verifier.verify(certificate.to_dict()) == []


def test_c3_reproduces_the_measured_bound() -> None:
    assert certify_c3("9/10", 4, "1/2").global_bound == F("15.12")


def test_c4_phase_transition() -> None:
    """Above s_in = 1/2 the classes stay apart; below everything falls onto one point with b = -a."""
    above, below = certify_c4("17/25", 3, "1/5", 3), certify_c4("13/20", 3, "1/5", 3)
    assert (above.collapsed.dimension, above.collapsed.beta) == (2, F(1, 5))
    assert (below.collapsed.dimension, below.collapsed.beta) == (0, -F(1, 5))
    assert (above.statement, below.statement) == ("every minimiser is collapsed", "every minimiser is one point")
    assert (above.dimensions, below.dimensions) == ((2, 7), (1, 7))


def test_c8_holds_by_pairs_that_no_embedding_beats() -> None:
    for p, t in (("9/10", 2), ("3/5", 2), ("7/10", 3)):
        certificate = certify_c8(p, 6, "1/5", t, arrangement="pairs")
        assert certificate.verdict == "holds" and certificate.better is not None
        assert certificate.better.value == certificate.global_bound
        assert certificate.better.dimension == 3 * t - 1
        assert verifier.verify(certificate.to_dict()) == []


def test_c8_odd_classes_use_a_single_sample_or_a_path() -> None:
    single, path = (certify_c8(p, 3, "1/5", arrangement="pairs") for p in ("3/5", "19/20"))
    assert single.better is not None and path.better is not None
    assert single.better.beta == F(1, 5) and path.better.beta is not None and path.better.beta > F(3, 5)
    for certificate in (single, path):
        assert verifier.verify(certificate.to_dict()) == []


def test_c8_holds_in_every_dimension() -> None:
    certificate = certify_c8("9/10", 6, "1/5")
    assert certificate.better is not None and certificate.better.dimension == 1
    assert verifier.verify(certificate.to_dict()) == []


@pytest.mark.parametrize(("p", "per_class", "t"), [("3/5", 4, 3), ("2/3", 4, 3), ("9/10", 2, 2), ("1/2", 4, 2)])
def test_c8_fails_below_the_phase_transition_and_for_pairs(p: str, per_class: int, t: int) -> None:
    certificate = certify_c8(p, per_class, "1/5", t)
    assert certificate.verdict == "fails" and certificate.better is None
    assert certificate.collapsed.value == certificate.global_bound
    assert verifier.verify(certificate.to_dict()) == []


def test_nothing_is_certified_without_a_better_embedding() -> None:
    with pytest.raises(NotFound, match="best embedding found"):
        certify_c7("9/10", 2, "1/2")
    with pytest.raises(NotFound, match="best embedding found"):
        certify_c8("3/5", 4, "1/5", arrangement="line")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((0.9, 4, "1/2"), "p"),
        (("11/10", 4, "1/2"), "p"),
        (("9/0", 4, "1/2"), "p"),
        (("9/10", 1, "1/2"), "per_class"),
        (("9/10", 4, "0"), "alpha"),
        (("9/10", 4, "1/2", 1), "t"),
        (("9/10", 2, "1/2", 4), "t"),
    ],
)
def test_bad_input(arguments: tuple[Any, ...], field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        certify_c7(*arguments)
    assert error.value.field == field


def test_eps_margin_bound_outside_symmetric_noise() -> None:
    """Equal to the verifier's list of all near sets where its hypothesis holds; refused where a second one pays."""
    classes = [0, 0, 1, 1]
    T = tuples([["9/10", "1/10"], ["19/20", "1/20"]])
    setting = {"transition": [[str(x) for x in row] for row in T], "classes": classes, "alpha": "1"}
    setting |= {"claim": "C8", "positive": "easy"}
    assert margin_easy_global_bound(classes, T, F(1)) == bound_all(verifier.Setting(setting))
    with pytest.raises(InvalidInput, match="transition"):
        margin_easy_global_bound(classes, tuples([["1", "0"], ["3/5", "2/5"]]), F(1))
