"""A certificate states no more than it proves: statements, hypotheses, dimensions; each correction fails on the old statement."""

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
    certify_c3,
    certify_c3_of,
    certify_c4,
    certify_c7,
    certify_c7_between,
    certify_c8,
    exact_loss,
    gram_rank,
    pair_bound,
)
from sim.theory.certificates.hypotheses import MET, quantities
from sim.theory.verifier.statements import CONDITIONS

EVERY, SOME = "every minimiser is collapsed", "a collapsed embedding is a minimiser"
HALF_CLEAN = [["1", "0"], ["3/10", "7/10"]]


def tuples(rows: Any) -> tuple[tuple[F, ...], ...]:
    return tuple(tuple(F(x) for x in row) for row in rows)


def symmetric(t: int, p: str) -> tuple[tuple[F, ...], ...]:
    q = (1 - F(p)) / (t - 1)
    return tuples([[F(p) if c == y else q for y in range(t)] for c in range(t)])


@pytest.mark.parametrize(("p", "t"), [("1", 2), ("1/2", 2), ("0", 2), ("1", 3), ("1/3", 3), ("1/4", 4), ("1", 4)])
def test_c3_is_refused_where_spread_embeddings_attain_the_bound(p: str, t: int) -> None:
    with pytest.raises(InvalidInput, match="every minimiser is collapsed") as error:
        certify_c3(p, 3, "1/2", t)
    assert error.value.field == "p" and error.value.value == p
    weaker = certify_c3(p, 3, "1/2", t, statement=SOME)
    data = weaker.to_dict()
    assert verifier.verify(data) == []
    numbers = {name: str(x) for name, x in quantities(weaker.classes, weaker.transition).items()}
    wider = {**data, "statement": EVERY, "dimensions": [t - 1, 3 * t - 2]}
    assert "are needed, and no others" in verifier.verify(wider)[0]
    names = list(certify_c3("9/10", 3, "1/2").hypotheses)
    forged = {**wider, "hypotheses": {name: numbers[name] for name in names}}
    assert "is not met, it is 0" in verifier.verify(forged)[0]


def test_c3_is_refused_where_a_weight_is_zero() -> None:
    """Class 0 on a point, class 1 spread by c, c + a between: the bound is attained for every c in the plane."""
    classes, T, a = [0, 0, 0, 0, 1, 1], tuples(HALF_CLEAN), F(1, 2)
    bound = pair_bound(classes, T, loss="triplet", alpha=a)
    assert bound == F("2.52")
    for c in (F(0), F(3, 10), F(1), F(2)):
        D = [[F(0)] * 6 for _ in range(6)]
        for i, j in itertools.permutations(range(6), 2):
            D[i][j] = c + a if classes[i] != classes[j] else c * classes[i]
        assert gram_rank(D) in (1, 2)
        assert exact_loss(D, classes, T, loss="triplet", positive="all", alpha=a) == bound
    with pytest.raises(InvalidInput, match="P\\(Y_i = Y_k, Y_j != Y_i\\) > 0"):
        certify_c3_of(classes, HALF_CLEAN, a)
    assert certify_c3_of(classes, HALF_CLEAN, a, statement=SOME).dimensions == (1, None)


def test_c3_for_any_matrix() -> None:
    certificate = certify_c3_of(
        [0, 0, 1, 1, 1, 2, 2], [["7/10", "1/5", "1/10"], ["1/10", "7/10", "1/5"], ["1/5", "1/10", "7/10"]], 1
    )
    assert certificate.dimensions == (2, 5)
    assert verifier.verify(certificate.to_dict()) == []
    with pytest.raises(InvalidInput, match="s_AB - s_AC"):  # three different agreements
        certify_c3_of([0, 0, 1, 1, 2, 2], [["4/5", "1/5", 0], [0, "4/5", "1/5"], ["1/10", "1/10", "4/5"]], 1)
    with pytest.raises(NotFound, match="the bound is"):
        certify_c3_of(
            [0, 0, 1, 1, 2, 2], [["4/5", "1/5", 0], [0, "4/5", "1/5"], ["1/10", "1/10", "4/5"]], 1, statement=SOME
        )
    with pytest.raises(InvalidInput, match="s_AA - s_AB > 0"):
        certify_c3_of([0, 0, 0, 0, 1, 1], [[1, 0], ["3/5", "2/5"]], 1)
    with pytest.raises(InvalidInput, match="smallest class"):
        certify_c3_of([0, 0, 1], [["9/10", "1/10"], ["1/10", "9/10"]], 1)


@pytest.mark.parametrize(
    ("classes", "transition", "field"),
    [
        ([0, 0, 1, 1], [], "transition"),
        ([0, 0, 1, 1], 3, "transition"),
        ([0, 0, 1, 1], [["1/2", "1/2"], ["1/2"]], "transition"),
        ([0, 0, 1, 1], [["1/2", "1/2"], ["1/2", "1/3"]], "transition"),
        ([0, 0, 1, 1], [[0.5, 0.5], ["1/2", "1/2"]], "transition"),
        ([0, 0, 2, 2], [["9/10", "1/10"], ["1/10", "9/10"]], "classes"),
        (None, [["9/10", "1/10"], ["1/10", "9/10"]], "classes"),
    ],
)
def test_bad_matrices(classes: Any, transition: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        certify_c3_of(classes, transition, 1)
    assert error.value.field == field


@pytest.mark.parametrize(("p", "t"), [("1", 2), ("1/2", 2), ("0", 2), ("1", 3), ("2/3", 3)])
def test_c4_is_refused_where_more_is_claimed_than_proved(p: str, t: int) -> None:
    with pytest.raises(InvalidInput, match="every minimiser is collapsed"):
        certify_c4(p, 3, "1/5", t)
    assert verifier.verify(certify_c4(p, 3, "1/5", t, statement=SOME).to_dict()) == []


def test_c4_below_its_threshold() -> None:
    """One point takes three classes; two classes collapse as above, b = a, at every p != 1/2."""
    assert certify_c4("3/10", 3, "1/5", 2).statement == EVERY
    assert certify_c4("3/10", 3, "1/5", 2).collapsed.beta == F(1, 5)
    with pytest.raises(InvalidInput, match="greatest s_AA < 1/2"):
        certify_c4("3/10", 3, "1/5", 2, statement="every minimiser is one point")
    assert certify_c4("3/5", 3, "1/5", 3).statement == "every minimiser is one point"
    with pytest.raises(InvalidInput, match="least s_AA > 1/2"):
        certify_c4("3/5", 3, "1/5", 3, statement=EVERY)
    with pytest.raises(InvalidInput) as error:
        certify_c4("3/5", 3, "1/5", statement="no minimiser is collapsed")
    assert error.value.field == "statement"


@pytest.mark.parametrize("p", ["0", "9/10"])
@pytest.mark.parametrize("sizes", [(2, 2, 2), (2, 3, 4)])
def test_beyond_m_of_n_minus_2_spread_embeddings_attain_the_bounds(p: str, sizes: tuple[int, ...]) -> None:
    """c within and c + a (c + 2a) between exist in exactly n - 1 dimensions: the range of m is sharp."""
    classes = np.repeat(range(3), sizes).tolist()
    n, T = len(classes), symmetric(3, p)
    for c in (F(1, 7), F(3)):
        for loss, a in (("triplet", F(1)), ("margin", F(1, 2))):
            D = [[c * (i != j) + F(classes[i] != classes[j]) for j in range(n)] for i in range(n)]
            assert gram_rank(D) == n - 1
            attained = exact_loss(
                D, classes, T, loss=loss, positive="all", alpha=a, beta=c + a if loss == "margin" else None
            )
            if loss == "triplet" or p == "9/10":
                assert attained == pair_bound(classes, T, loss=loss, alpha=a)


@pytest.mark.parametrize(
    ("certificate", "dimensions"),
    [
        (certify_c3("9/10", 3, 1, 3), [[1, 7], [2, 8], [2, None], [0, 7], [3, 2], [True, 7], ["2", 7], [2], 3]),
        (certify_c4("9/10", 3, 1), [[0, 4], [1, 5], [1, None]]),
        (certify_c4("3/5", 3, 1, 3), [[0, 7], [1, 8], [1, None]]),
        (certify_c7("9/10", 4, 1), [[0, None], [0, 3]]),
        (certify_c8("3/5", 4, 1, arrangement="plane"), [[1, None], [1, 1]]),
        (certify_c8("9/10", 2, 1, 3), [[1, None]]),
        (certify_c7_between(6, method="slope"), [[1, None], [1, 5]]),
    ],
)
def test_wider_dimensions_are_refused_and_narrower_accepted(certificate: Any, dimensions: list[Any]) -> None:
    data = certificate.to_dict()
    for wider in dimensions:
        [said] = verifier.verify({**data, "dimensions": wider})
        assert said.startswith(("dimensions: ", "malformed: "))
    first, last = data["dimensions"]
    assert verifier.verify({**data, "dimensions": [first + 1, last or 9]}) == []


@pytest.mark.parametrize("certificate", [certify_c3("9/10", 3, 1), certify_c8("9/10", 4, 1), certify_c7_between(4)])
def test_other_statements_and_hypotheses_are_refused(certificate: Any) -> None:
    data = certificate.to_dict()
    for statement in {key[1] for key in verifier.statements.PROVABLE} | {"all is well", 7, None}:
        if statement != certificate.statement:
            assert len(verifier.verify({**data, "statement": statement})) == 1
    name = next(iter(data["hypotheses"]))
    for wrong in ({}, {**data["hypotheses"], "x > 0": "1"}, {**data["hypotheses"], name: "1000"}, [], None):
        assert len(verifier.verify({**data, "hypotheses": wrong})) == 1
    assert verifier.verify({**data, "verdict": "fails"}) == [f"{certificate.claim}: the verdict is not 'fails'"]
    assert verifier.verify({**data, "note": "9" * 10**6}) == ["unknown field: 'note'"]


def test_c7_and_c8_fail_where_a_collapsed_embedding_attains_the_bound() -> None:
    for certificate in (
        certify_c7("9/10", 4, 1, positive="all"),
        certify_c7(1, 4, 1),
        certify_c8(1, 4, 1),
        certify_c8("9/10", 2, 1),
    ):
        assert (certificate.verdict, certificate.statement) == ("fails", SOME)
        data = certificate.to_dict()
        assert verifier.verify(data) == []
        assert verifier.verify({**data, "verdict": "holds"}) != []
    assert verifier.verify({**certify_c7("9/10", 4, 1).to_dict(), "positive": "all"}) != []
    assert "the positives are" in verifier.verify({**certify_c3("9/10", 4, 1).to_dict(), "positive": "easy"})[0]


def test_c8_of_two_a_class_is_false_from_t_minus_1_dimensions_on() -> None:
    for p, t in (("9/10", 2), ("3/5", 2), ("9/10", 3), ("7/10", 3)):
        certificate = certify_c8(p, 2, "1/5", t)
        assert certificate.dimensions == (t - 1, None)
        assert certificate.collapsed.value == certificate.global_bound
    assert certify_c8("3/5", 2, "1/5", 3).statement == "one point, with b = -a, is a minimiser"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_both_programs_compute_the_same_hypotheses(data: st.DataObject) -> None:
    t = data.draw(st.integers(2, 4))
    weights = [data.draw(st.lists(st.integers(0, 5), min_size=t, max_size=t).filter(any)) for _ in range(t)]
    T = tuples([[F(w, sum(row)) for w in row] for row in weights])
    classes = [c for c in range(t) for _ in range(2)]
    text = {"transition": [[str(x) for x in row] for row in T], "classes": classes, "alpha": "1"}
    setting = verifier.Setting({**text, "claim": "C3", "positive": "all"})
    computed = {name: number(setting) for name, (number, _) in CONDITIONS.items()}
    assert computed == quantities(classes, T)
    assert {name: ok(computed[name]) for name, (_, ok) in CONDITIONS.items()} == {
        name: MET[name](x) for name, x in computed.items()
    }
