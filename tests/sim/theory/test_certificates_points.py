"""Certificates in rational points: bounds on distances and losses, and the cases near C8's threshold."""

from __future__ import annotations

import copy
import itertools
import math
from fractions import Fraction as F
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InvalidInput
from sim.theory import verifier
from sim.theory.certificates import NotFound, Points, certify_c7, certify_c8, exact_loss
from sim.theory.certificates.points import points_of, root_bounds
from sim.theory.verifier.embeddings import root


@settings(max_examples=200, deadline=None)
@given(st.fractions(min_value=0, max_value=100), st.integers(1, 30))
def test_both_programs_bound_a_root_alike(square: F, digits: int) -> None:
    low, high = root_bounds(square, digits)
    assert low**2 <= square <= high**2 and high - low <= F(1, 10**digits)
    assert (low == high) == (low**2 == square)
    assert root(square, digits) == (square, low, high)


NOISY = ((F(4, 5), F(1, 5)), (F(3, 10), F(7, 10)))


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(["triplet", "margin"]))
def test_the_value_is_a_close_upper_bound(data: st.DataObject, loss: Any) -> None:
    """Decimals on a line give it exactly; in the plane it exceeds the value at distances of 30 digits by what 6 digits lose."""
    classes = [0, 0, 0, 1, 1]
    beta = data.draw(st.fractions(-1, 3)) if loss == "margin" else None
    coordinate = st.builds(F, st.integers(-6, 6), st.sampled_from([1, 2, 5]))
    plane = tuple((data.draw(coordinate), data.draw(coordinate)) for _ in classes)
    line = tuple((x,) for x, _ in plane)
    D = [[abs(x[0] - y[0]) for y in line] for x in line]
    exact = exact_loss(D, classes, NOISY, loss=loss, positive="easy", alpha=F(1), beta=beta)
    assert points_of(line, classes, NOISY, loss, F(1), beta).value == exact
    rough, fine = (points_of(plane, classes, NOISY, loss, F(1), beta, digits).value for digits in (6, 30))
    assert fine <= rough <= fine + F(100, 10**6)
    text = {
        "classes": classes,
        "alpha": "1",
        "transition": [[str(x) for x in row] for row in NOISY],
        "positive": "easy",
    }
    setting = verifier.Setting({**text, "claim": "C7" if loss == "triplet" else "C8"})
    embedding = {"points": [[str(x) for x in row] for row in plane], "dimension": 2, "digits": 6, "value": str(rough)}
    assert (
        verifier.embeddings.check_embedding(setting, {**embedding, "beta": None if beta is None else str(beta)}, "")
        == rough
    )


@pytest.mark.parametrize(
    ("t", "per_class", "p", "collapsed", "at_most"),
    [
        (2, 4, "3/5", 3.176997, 3.074839),
        (2, 5, "13/20", 3.994160, 3.764576),
        (2, 6, "3/5", 4.798013, 4.735124),
        (3, 4, "7/10", 4.771540, 4.654600),
        (2, 3, "3/5", 2.328115, 2.2804),
    ],
)
def test_c8_near_its_threshold_in_the_plane(t: int, per_class: int, p: str, collapsed: float, at_most: float) -> None:
    with pytest.raises(NotFound, match="best embedding found"):
        certify_c8(p, per_class, "1/5", t, arrangement="line")
    certificate = certify_c8(p, per_class, "1/5", t, arrangement="plane")
    assert isinstance(certificate.better, Points) and certificate.dimensions == (2, None)
    assert float(certificate.collapsed_bound) == pytest.approx(collapsed, abs=1e-6)
    assert float(certificate.better.value) <= at_most
    assert verifier.verify(certificate.to_dict()) == []


def test_c7_where_no_line_is_better() -> None:
    with pytest.raises(NotFound):
        certify_c7("1/20", 4, "1/2", 3)
    plane = certify_c7("1/20", 4, "1/2", 3, arrangement="plane")
    space = certify_c7("9/10", 3, "1/2", arrangement="space")
    assert (plane.dimensions, space.dimensions) == ((2, None), (3, None))
    for certificate in (plane, space):
        assert certificate.better.value < certificate.collapsed_bound
        assert verifier.verify(certificate.to_dict()) == []


def test_arrangements_have_names() -> None:
    for certify, wrong in ((certify_c7, "pairs"), (certify_c8, "sphere"), (certify_c8, 2)):
        with pytest.raises(InvalidInput) as error:
            certify("9/10", 4, 1, arrangement=wrong)
        assert error.value.field == "arrangement"


def test_tampered_points_are_refused() -> None:
    data = certify_c8("3/5", 4, "1/5", arrangement="plane").to_dict()

    def with_better(**changes: Any) -> list[str]:
        return verifier.verify({**data, "better": {**data["better"], **changes}})

    points = data["better"]["points"]
    moved = copy.deepcopy(points)
    moved[3][1] = str(F(moved[3][1]) + F(1, 10**6))
    assert with_better(points=moved)[0].startswith("better: the value is")
    assert with_better(value=str(F(data["better"]["value"]) - F(1, 10**9)))[0].startswith("better: the value is")
    assert "rows of 3 numbers" in with_better(dimension=3)[0]
    assert "rows of 2 numbers" in with_better(points=points[:-1])[0]
    for digits in (0, 61, 10**9, True, "6", None):
        assert with_better(digits=digits) == ["better: digits are not an integer, 1 to 60"]
    assert with_better(digits=11)[0].startswith("better: the value is")
    for wrong in (None, 3, "x", [3] * 8, [[0.5, 0.5]] * 8, [["1e9", "0"]] * 8):
        assert len(with_better(points=wrong)) == 1


def test_ties_and_irrational_distances_are_ordered_exactly() -> None:
    """A neighbour nearer by 10^-40 is the nearest positive, though twelve digits do not tell the two apart."""
    near, far = F(1), F(1) + F(1, 10**40)
    line = ((F(0),), (near,), (-far,), (F(5),))
    diagonal = tuple((x, x) for (x,) in line)
    classes = [0, 0, 1, 1]
    clean = ((F(1), F(0)), (F(0), F(1)))
    value = points_of(diagonal, classes, clean, "triplet", F(1), None).value
    D = [[math.isqrt(2 * 10**60) * abs(x[0] - y[0]) / F(10**30) for y in line] for x in line]
    exact = exact_loss(D, classes, clean, loss="triplet", positive="easy", alpha=F(1))
    assert exact <= value <= exact + F(1, 10**10)
    assert all(a != b for a, b in itertools.combinations(line, 2))
