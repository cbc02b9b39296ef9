"""C7 for all p of an interval: polynomials, their roots and signs by two methods, and tampering."""

from __future__ import annotations

from fractions import Fraction as F
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InvalidInput
from sim.theory import verifier
from sim.theory.certificates import (
    NotFound,
    best_collapsed,
    breakpoints,
    certify_c7,
    certify_c7_between,
    exact_loss,
)
from sim.theory.certificates.interval import loss_polynomial
from sim.theory.certificates.polynomials import is_positive, last_root, roots_between, trimmed, value
from sim.theory.claims.c7 import slope, slope_bound
from sim.theory.verifier.interval import bernstein, positive


def times(f: list[F], g: list[F]) -> list[F]:
    product = [F(0)] * (len(f) + len(g) - 1)
    for i, x in enumerate(f):
        for j, y in enumerate(g):
            product[i + j] += x * y
    return product


def setting() -> verifier.Setting:
    return verifier.Setting(
        {"claim": "C7", "positive": "easy", "classes": [0, 1], "transition": [["1", "0"], ["0", "1"]], "alpha": "1"}
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.fractions(-2, 3, max_denominator=12), max_size=5), st.sampled_from([F(-1), F(2)]))
def test_roots_are_counted_and_signs_agree(roots: list[F], leading: F) -> None:
    """Sturm against Bernstein, on products of known factors, with roots at the ends and double ones."""
    f = [leading]
    for r in roots:
        f = times(f, [-r, F(1)])
    inside = {r for r in roots if 0 < r < 1}
    assert roots_between(trimmed(f), F(0), F(1)) == len(inside)
    expected = not inside and value(tuple(f), F(1, 2)) > 0
    assert is_positive(trimmed(f), F(0), F(1)) == expected
    assert positive(setting(), f, F(0), F(1)) == expected
    if inside:
        low, high = last_root(trimmed(f), F(0), F(1), F(1, 1000))
        assert low <= max(inside) <= high and high - low <= F(1, 1000)
        assert roots_between(trimmed(f), high, F(1)) == 0


def test_bernstein_coefficients_at_the_ends_are_values() -> None:
    f = [F(1), F(-3), F(0), F(2)]
    b = bernstein(f, F(1, 3), F(2))
    assert (b[0], b[-1]) == (value(tuple(f), F(1, 3)), value(tuple(f), F(2)))


@pytest.mark.parametrize("p", ["0", "1/7", "1/2", "9/10", "1"])
def test_polynomials_are_the_losses(p: str) -> None:
    D = tuple(tuple(F(abs(x - y)) for y in (0, 2, 3, 1, 4, 1)) for x in (0, 2, 3, 1, 4, 1))
    classes = (0, 0, 0, 1, 1, 1)
    T = ((F(p), 1 - F(p)), (1 - F(p), F(p)))
    expected = exact_loss(D, classes, T, loss="triplet", positive="easy", alpha=F(1))
    assert value(loss_polynomial(D, classes, F(1)), F(p)) == expected
    assert value(loss_polynomial(D, classes, F(1)), 1 - F(p)) == expected  # labels renamed


@pytest.mark.parametrize("per_class", [4, 5, 6, 7])
def test_one_embedding_on_a_line_for_every_p(per_class: int) -> None:
    certificate = certify_c7_between(per_class, "1/2")
    assert (certificate.interval, certificate.dimensions) == ((0, 1), (1, None))
    assert verifier.verify(certificate.to_dict()) == []
    # The gains are those of certificates for single p, at a p where the search finds the same.
    single = certify_c7("99/100", per_class, "1/2")
    gain = min(value(f, F(99, 100)) for f in certificate.gains)
    assert single.collapsed_bound - single.better.value == gain


@pytest.mark.parametrize("per_class", [6, 7, 8])
def test_slope_for_every_p(per_class: int) -> None:
    certificate = certify_c7_between(per_class, method="slope")
    assert (certificate.interval, certificate.dimensions) == ((0, 1), (2, None))
    assert verifier.verify(certificate.to_dict()) == []
    for p in (F(1, 9), F(1, 2), F(17, 20)):
        assert value(certificate.gains[1], p) == -slope(per_class, p)


def test_slope_of_five_a_class_begins_at_a_root() -> None:
    certificate = certify_c7_between(5, method="slope")
    low, high = certificate.root
    assert certificate.interval == (high, 1) and 0 < high - low < F(1, 10**6)
    assert float(high) == pytest.approx(0.742863, abs=1e-6)
    assert slope(5, low) > 0 > slope(5, high)
    data = certificate.to_dict()
    assert verifier.verify(data) == []
    for root in (
        [str(low), "3/4"],
        ["7/10", str(high)],
        [str(high), str(high)],
        ["9/10", "19/20"],
        [str(high), str(low)],
    ):
        assert verifier.verify({**data, "root": root})[0].startswith("root: ")
    shifted = {**data, "interval": ["3/4", "1"]}
    assert verifier.verify(shifted) == ["root: its bounds are not where the interval begins"]
    assert verifier.verify({**shifted, "root": None}) == []
    wider = verifier.verify({**data, "interval": ["37/50", "1"], "root": None})
    assert wider == ["gains: number 1 is not positive between 37/50 and 1"]


@pytest.mark.slow
def test_three_classes_begin_at_a_root() -> None:
    certificate = certify_c7_between(4, t=3)
    assert len(certificate.gains) == 20 and certificate.dimensions == (1, None)
    assert certificate.interval == (certificate.root[1], 1)
    assert F(1, 20) < certificate.interval[0] < F(1, 15)  # at 1/20 the plane is needed
    data = certificate.to_dict()
    assert verifier.verify(data) == []
    for p in (F(1, 10), F(1, 3), F(9, 10)):
        T = tuple(tuple(p if c == y else (1 - p) / 2 for y in range(3)) for c in range(3))
        bound, _ = best_collapsed(certificate.classes, breakpoints(certificate.classes, T, loss="triplet", alpha=F(1)))
        better = exact_loss(certificate.distances, certificate.classes, T, loss="triplet", positive="easy", alpha=F(1))
        assert bound - better == min(value(f, p) for f in certificate.gains) > 0
    assert "is not positive" in verifier.verify({**data, "interval": ["1/20", "1"], "root": None})[0]
    assert verifier.verify({**data, "gains": data["gains"][:-1]}) == ["gains: not 20 polynomials"]
    assert verifier.verify({**data, "classes": [0] * 5 + [1] * 4 + [2] * 3}) == ["classes: not of equal size"]


@pytest.mark.parametrize(("per_class", "method"), [(3, "embedding"), (3, "slope"), (4, "slope"), (2, "embedding")])
def test_nothing_is_certified_that_is_not_so(per_class: int, method: Any) -> None:
    with pytest.raises(NotFound, match="does not beat every collapsed embedding"):
        certify_c7_between(per_class, method=method)


def test_tampered_intervals_are_refused() -> None:
    data = certify_c7_between(4).to_dict()
    other = certify_c7_between(6, method="slope").to_dict()
    refused: list[dict[str, Any]] = [
        {"interval": ["-1/10", "1"]}, {"interval": ["0", "11/10"]}, {"interval": ["1/2", "1/2"]}, {"interval": ["0"]},
        {"interval": [0, 1]}, {"interval": ["1" + "0" * 600, "1"]}, {"method": "slope"}, {"method": "magic"},
        {"gains": [data["gains"][0]]}, {"gains": [[], []]}, {"gains": data["gains"][::-1]}, {"gains": [data["gains"][0] + ["0"] * 9] * 2},
        {"claim": "C8"}, {"claim": "C3", "statement": "every minimiser is collapsed"}, {"distances": other["distances"]},
        {"classes": [0] * 8}, {"alpha": "2"}, {"root": ["0", "1/2"]}, {"positive": "easy"}, {"distances": None},
    ]  # fmt: skip
    for change in refused:
        assert len(verifier.verify({**data, **change})) == 1, change
    assert verifier.verify({**data, "interval": ["1/3", "2/3"]}) == []
    # A step that is no movement across: longer than alpha, or along the line of centres.
    D = [[F(x) for x in row] for row in other["distances"]]
    long = [
        [str(3 * x) if x and other["classes"][i] == other["classes"][j] else str(x) for j, x in enumerate(row)]
        for i, row in enumerate(D)
    ]
    assert verifier.verify({**other, "distances": long}) == ["distances: for a slope none is above alpha"]
    along = [
        [str(x * F(1, 2)) if other["classes"][i] != other["classes"][j] else str(x) for j, x in enumerate(row)]
        for i, row in enumerate(D)
    ]
    assert verifier.verify({**other, "distances": along}) == ["distances: for a slope classes are alpha apart"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"per_class": 13}, "per_class"),
        ({"per_class": 6, "t": 3}, "per_class"),
        ({"per_class": 4, "t": 4}, "t"),
        ({"per_class": 4, "t": 3, "method": "slope"}, "t"),
        ({"per_class": 1}, "per_class"),
        ({"per_class": 4, "alpha": 0.5}, "alpha"),
        ({"per_class": 4, "low": 0.5}, "low"),
        ({"per_class": 4, "low": "1"}, "low"),
        ({"per_class": 4, "low": "1/2", "high": "1/2"}, "high"),
        ({"per_class": 4, "method": "luck"}, "method"),
    ],
)
def test_bad_input(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        certify_c7_between(**arguments)
    assert error.value.field == field


def test_slope_is_the_rate_of_the_exact_loss() -> None:
    """Splitting by h = 1/1000 in the plane, bounded by rational points, against the first-order model."""
    k, p, h = 6, F(9, 10), F(1, 1000)
    classes = [0] * k + [1] * k
    T = ((p, 1 - p), (1 - p, p))

    def loss(h: F) -> F:
        from sim.theory.certificates.points import points_of

        points = tuple((F(c), h * (i % k < k // 2)) for i, c in enumerate(classes))
        return points_of(points, classes, T, "triplet", F(1), None, digits=30).value

    assert float((loss(h) - loss(F(0))) / h) == pytest.approx(float(slope(k, p)), rel=1e-2)


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 30), st.fractions(0, 1, max_denominator=200))
def test_slope_is_negative_for_eight_or_more(k: int, p: F) -> None:
    """The bound of docs/claims/C7.md: slope <= -2 s bound sum of u (1 - u)."""
    assert slope_bound(k) > 0
    assert slope(k, p) <= -2 * (k // 2) * slope_bound(k) * 2 * p * (1 - p)


def test_the_bound_grows() -> None:
    for first in (8, 9):
        bounds = [slope_bound(k) for k in range(first, 80, 2)]
        assert bounds == sorted(bounds)
    assert slope_bound(6) < 0 and slope_bound(7) < 0  # settled by certificates


@pytest.mark.parametrize("k", [3, 4, 7, 20])
def test_apart_is_better_than_one_point(k: int) -> None:
    classes = (0,) * k + (1,) * k
    for p in (F(1, 100), F(1, 3), F(1, 2), F(99, 100)):
        T = ((p, 1 - p), (1 - p, p))
        one_point, apart = (
            exact_loss(
                [[side * (b != c) for b in classes] for c in classes],
                classes,
                T,
                loss="triplet",
                positive="easy",
                alpha=F(1),
            )
            for side in (F(0), F(1))
        )
        assert one_point - apart >= 2 * k * F(k, 8)
