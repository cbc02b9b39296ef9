"""C12: best rows, the reduced convex program, splitting by intervals; values that were derived by an independent program."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import noise
from sim.errors import InvalidInput
from sim.theory import expected_similarity_loss
from sim.theory.claims import Setting, c12
from sim.theory.claims.c12 import least_of_rows, spread_minimiser, spreading_helps
from sim.theory.descent import Search
from sim.theory.minimise import minimise
from sim.theory.reduced import CONVEX, _Program, best_gap, limit_of_gap, reduced_minimum
from sim.theory.similarity import checked_parameters
from sim.theory.splitting import INTERVALS, _kappa, kappa, splitting

SETTINGS: dict[str, dict[str, Any]] = {
    "npair": {"temperature": 0.5, "cosine": True},
    "ntxent": {"temperature": 0.2},
    "supcon": {"temperature": 0.1},
    "multi_similarity": {"beta": 10.0},
}


@pytest.mark.parametrize(
    ("p", "supcon", "ntxent"), [(0.95, 2.333, 4.624), (0.9, 1.586, 3.347), (0.8, 0.802, 1.723), (0.7, 0.349, 0.693)]
)
def test_gaps_of_twelve_a_class(p: float, supcon: float, ntxent: float) -> None:
    found = [best_gap(12, noise.symmetric(2, p), loss=loss) for loss in ("supcon", "ntxent", "npair")]
    assert found == pytest.approx([supcon, ntxent, ntxent], abs=6e-4)


@pytest.mark.parametrize("loss", ["supcon", "ntxent"])
@pytest.mark.parametrize(("t", "p"), [(2, 0.9), (3, 0.7), (3, 0.1), (4, 0.9)])
def test_the_gap_is_that_of_the_best_row(t: int, p: float, loss: str) -> None:
    """Of two values side by side on either side of it, and of rows drawn at random, none is better."""
    classes, transition = np.repeat(np.arange(t), 3), noise.symmetric(t, p)
    best = least_of_rows(loss, 1.0, t, 3, p)
    gap = best_gap(3, transition, loss=loss)
    rows = [(gap + shift) * (classes[:, None] == classes) for shift in (-1e-3, 1e-3)]
    rows += list(
        np.random.default_rng(0).normal(size=(50, len(classes), len(classes))) + gap * (classes[:, None] == classes)
    )
    values = expected_similarity_loss(np.array(rows), classes, transition, loss=loss, temperature=1.0, cosine=False)
    assert values.min() > best
    assert (values[:2] - best).max() < 1e-4


def test_gaps_at_the_edges() -> None:
    for loss in ("supcon", "ntxent"):
        assert best_gap(4, noise.symmetric(2, 0.5), loss=loss) == pytest.approx(0, abs=1e-9)
        assert best_gap(4, noise.symmetric(3, 1 / 3), loss=loss) == pytest.approx(0, abs=1e-9)
        # Labels that are more often wrong than right agree as often.
        assert best_gap(4, noise.symmetric(2, 0.1), loss=loss) == pytest.approx(
            best_gap(4, noise.symmetric(2, 0.9), loss=loss)
        )
    assert best_gap(4, noise.symmetric(2, 1.0), loss="supcon") == np.inf
    with pytest.raises(InvalidInput, match="symmetric noise"):
        best_gap(4, [[0.9, 0.1], [0.3, 0.7]], loss="ntxent")
    for arguments, field in (
        ((4, noise.symmetric(2, 0.9), "multi_similarity"), "loss"),
        ((1, noise.symmetric(2, 0.9), "supcon"), "per_class"),
        ((10**7, noise.symmetric(2, 0.9), "supcon"), "per_class"),
        ((4, [[0.9, 0.2], [0.1, 0.9]], "supcon"), "matrix"),
    ):
        with pytest.raises(InvalidInput, match=f"^{field}: "):
            best_gap(*arguments[:2], loss=arguments[2])
    for p in (0, 1, float("nan")):
        with pytest.raises(InvalidInput, match="^p: "):
            limit_of_gap(p)
    for case, field in (
        ((1, 0.9, 0.1, 0), "per_class"),
        ((3, 0.5, 0.1, 0), "p"),
        ((3, 0.9, 0, 0), "temperature"),
        ((3, 0.9, 0.1, 1), "cosine"),
    ):
        with pytest.raises(InvalidInput, match=f"^{field}: "):
            kappa(*case)


def test_large_classes_have_the_gap_of_the_formula() -> None:
    errors = [best_gap(k, noise.symmetric(2, 0.8), loss="ntxent") - limit_of_gap(0.8) for k in (40, 80, 160)]
    assert abs(errors[2]) < 0.01
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.05)
    assert errors[2] / errors[1] == pytest.approx(0.5, abs=0.05)


@given(
    loss=st.sampled_from(CONVEX),
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=3).filter(lambda sizes: sum(sizes) > 2),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=40, deadline=None)
def test_nothing_lies_below_the_reduced_minimum(loss: str, sizes: list[int], seed: int) -> None:
    """Any noise, any sizes; random embeddings, and such as come near."""
    draws = np.random.default_rng(seed)
    t, classes = len(sizes), np.repeat(np.arange(len(sizes)), sizes)
    transition = draws.dirichlet(np.ones(t), size=t)
    found = reduced_minimum(classes, transition, loss=loss, **SETTINGS[loss])
    points = (
        draws.normal(size=(40, len(classes), 3)) * 10.0 ** draws.uniform(-2, 0, (40, 1, 1))
        + draws.normal(size=(40, t, 3))[:, classes]
    )
    points /= np.linalg.norm(points, axis=-1, keepdims=True)
    cosines = np.einsum("rnm,rkm->rnk", points, points)
    values = expected_similarity_loss(cosines, classes, transition, loss=loss, **SETTINGS[loss])
    assert float(values.min()) >= found.all.bound - 1e-9 * abs(found.all.bound)
    collapsed = np.einsum(
        "rnm,rkm->rnk", *[(points[:, [np.flatnonzero(classes == c)[0] for c in range(t)]])[:, classes]] * 2
    )
    values = expected_similarity_loss(collapsed, classes, transition, loss=loss, **SETTINGS[loss])
    assert float(values.min()) >= found.collapsed.bound - 1e-9 * abs(found.collapsed.bound)
    for least in (found.all, found.collapsed):
        assert 0 <= least.value - least.bound + 1e-12 < 1e-5 * abs(least.value)
    assert found.all.bound <= found.collapsed.value


@pytest.mark.parametrize(("sizes", "p"), [([3, 9], 0.9), ([12, 12], 0.9), ([2, 3, 4], 0.8)])
@pytest.mark.parametrize("loss", CONVEX)
def test_the_reduced_minimum_is_attained(loss: str, sizes: list[int], p: float) -> None:
    """By points whose Gram matrix is constant on pairs of classes; their value is that of the expectation itself."""
    t, classes = len(sizes), np.repeat(np.arange(len(sizes)), sizes)
    found = reduced_minimum(classes, noise.symmetric(t, p), loss=loss, **SETTINGS[loss])
    gram = found.all.centres.copy()
    np.fill_diagonal(gram, found.within)
    gram = gram[np.ix_(classes, classes)]
    np.fill_diagonal(gram, 1.0)
    assert np.linalg.eigvalsh(gram)[0] > -1e-9
    value = expected_similarity_loss(gram, classes, noise.symmetric(t, p), loss=loss, **SETTINGS[loss])
    assert float(value) == pytest.approx(found.all.value, rel=1e-12)


@pytest.mark.parametrize(
    ("per_class", "p", "within"), [(4, 0.95, 1.0), (4, 0.9, 1.0), (4, 0.8, 0.5335), (12, 0.95, 1.0), (12, 0.9, 0.61)]
)
def test_where_multi_similarity_collapses(per_class: int, p: float, within: float) -> None:
    found = reduced_minimum(np.repeat([0, 1], per_class), noise.symmetric(2, p), loss="multi_similarity")
    assert found.within == pytest.approx([within, within], abs=1e-3)
    assert found.verdict == ("holds" if within == 1 else "fails")


@pytest.mark.parametrize("loss", CONVEX)
def test_the_reduced_gradient_is_that_of_differences(loss: str) -> None:
    given = checked_parameters(loss, SETTINGS[loss])
    program = _Program(np.repeat([0, 1, 2], [1, 3, 4]), noise.symmetric(3, 0.8), loss, given)
    factor = np.random.default_rng(0).normal(size=(3, 3)) / 3
    centres = factor @ factor.T
    centres[0, 0] = 1.0
    _, gradient = program.evaluate(centres)
    for a, b in ((1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        change = np.zeros((3, 3))
        change[a, b] = change[b, a] = 1e-6
        ahead, behind = (program.evaluate(centres + sign * change)[0] for sign in (1, -1))
        assert float((gradient * change).sum()) == pytest.approx((ahead - behind) / 2, rel=1e-5, abs=1e-12)


def test_minimisers_agree_with_the_reduced_program() -> None:
    classes, transition = np.repeat([0, 1], [2, 4]), noise.symmetric(2, 0.9)
    for loss in ("supcon", "multi_similarity"):
        found = reduced_minimum(classes, transition, loss=loss, **SETTINGS[loss])
        free = minimise(
            classes,
            transition,
            loss=loss,
            geometry="sphere",
            dim=6,
            restarts=3,
            search=Search(500, 500),
            **SETTINGS[loss],
        )
        assert free.best == pytest.approx(found.all.value, rel=1e-6)


def test_what_the_reduced_program_refuses() -> None:
    for changed, field in (
        ({"loss": "lifted"}, "loss"),
        ({"loss": "npair", "cosine": False}, "cosine"),
        ({"loss": "supcon", "temperature": 0}, "temperature"),
        ({"loss": "supcon", "classes": [0, 0, 0]}, "classes"),
        ({"loss": "supcon", "classes": np.arange(17), "transition": noise.symmetric(17, 0.9)}, "transition"),
    ):
        arguments: dict[str, Any] = {"classes": [0, 0, 1], "transition": noise.symmetric(2, 0.9), **changed}
        with pytest.raises(InvalidInput, match=f"^{field}: "):
            reduced_minimum(arguments.pop("classes"), arguments.pop("transition"), **arguments)


def test_a_spread_embedding_attains_the_bound_in_one_dimension_more() -> None:
    """C12 stops at m = n - 2."""
    case = ("supcon", 0.1, 2, 6, 0.9)
    points = spread_minimiser(*case)
    assert points.shape == (12, 11)
    cosines = points @ points.T
    np.testing.assert_allclose(cosines.diagonal(), 1, atol=1e-12)
    value = expected_similarity_loss(
        cosines, np.repeat([0, 1], 6), noise.symmetric(2, 0.9), loss="supcon", temperature=0.1
    )
    assert float(value) == pytest.approx(least_of_rows(*case), rel=1e-12)
    assert cosines[0, 1] < 0.01


def test_the_larger_of_two_classes_spreads() -> None:
    """C: at the best collapsed embedding of 3 and 9 samples, in steps that are orthogonal to both centres."""
    classes, transition = np.repeat([0, 1], [3, 9]), noise.symmetric(2, 0.9)
    setting: dict[str, Any] = {"loss": "supcon", "temperature": 0.1}
    best = minimise(classes, transition, geometry="sphere", dim=2, restarts=3, collapsed=True, **setting)
    assert best.best == pytest.approx(26.64233, abs=1e-5)
    points = np.pad(best.embeddings[0].numpy(), [(0, 0), (0, 1)])
    slopes = spreading_helps(points, classes, transition, **setting)
    assert slopes[0] < 0 < slopes[1]
    assert sum(slopes) == pytest.approx(0, abs=1e-6)
    h = 0.02
    for c, sign in ((1, -1), (0, 1)):
        moved = points.copy()
        moved[classes == c, 2] = h * np.where(np.arange((classes == c).sum()) % 2, 1, -1)
        moved /= np.linalg.norm(moved, axis=1, keepdims=True)
        value = float(expected_similarity_loss(moved @ moved.T, classes, transition, **setting))
        assert sign * (value - best.best) > 0


@pytest.mark.parametrize("loss", ["ntxent", "supcon", "npair"])
@pytest.mark.parametrize(
    ("per_class", "p", "temperature", "cosine"),
    [(3, 0.9, 0.1, 0.68), (6, 0.95, 0.5, -1.0), (5, 0.3, 0.2, 0.4), (2, 0.9, 0.3, 0.1)],
)
def test_kappa_is_the_second_difference(per_class: int, p: float, temperature: float, cosine: float, loss: str) -> None:
    classes, transition = np.repeat([0, 1], per_class), noise.symmetric(2, p)
    values = []
    for h in (0.0, 1e-3, 2e-3):
        points = np.zeros((2 * per_class, 3))
        points[classes == 0, 0] = np.sqrt(1 - h * h)
        points[classes == 0, 2] = h * np.where(np.arange(per_class) < (per_class + 1) // 2, 1, -1)
        points[classes == 1, :2] = cosine, np.sqrt(1 - cosine**2)
        setting: dict[str, Any] = {"loss": loss, "positive": "easy", "temperature": temperature, "cosine": True}
        values.append(float(expected_similarity_loss((points @ points.T).clip(-1, 1), classes, transition, **setting)))
    # Without the term in h^4.
    second = (16 * (values[1] - values[0]) - (values[2] - values[0])) / 12e-6
    assert kappa(per_class, p, temperature, cosine) == pytest.approx(second, rel=1e-4, abs=1e-4)


@given(st.integers(2, 6), st.floats(0.02, 0.98), st.floats(0.05, 1), st.floats(-1, 0.99))
@settings(max_examples=40, deadline=None)
def test_intervals_hold_what_floats_give(per_class: int, p: float, temperature: float, cosine: float) -> None:
    found = _kappa(per_class, INTERVALS.mpf(p), INTERVALS.mpf(temperature), INTERVALS.mpf(cosine), INTERVALS.exp)
    value = _kappa(per_class, p, temperature, cosine, lambda x: float(np.exp(x)))
    slack = 1e-9 * (1 + abs(value))
    assert float(found.a) - slack <= value <= float(found.b) + slack
    assert float(found.b) - float(found.a) < 1e-12 * (1 + abs(value))


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        ((3, "9/10", "1/10"), "holds"),
        ((4, "9/10", "1/2"), "holds"),
        ((4, "1/10", "1/2"), "holds"),
        ((3, "99/100", 1), "fails"),
        ((2, "9/10", "1/10"), "inconclusive"),
    ],
)
def test_who_splits(case: tuple[Any, ...], verdict: str) -> None:
    found = splitting(*case)
    assert found.verdict == verdict
    assert (found.undecided is None) == (verdict == "holds")
    if verdict == "fails":
        assert kappa(case[0], float(Fraction(case[1])), float(case[2]), found.undecided[0]) > 0


def test_a_proof_that_runs_out_of_intervals_is_none() -> None:
    assert splitting(3, "9/10", "1/10", most=3).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("case", "field"),
    [
        ((1, "9/10", "1/10"), "per_class"),
        ((3, "1/2", "1/10"), "p"),
        ((3, 1, "1/10"), "p"),
        ((3, "x", "1/10"), "p"),
        ((3, "9/10", 0), "temperature"),
        ((3, "9/10", float("nan")), "temperature"),
        ((3, "9/10", "1/1000"), "temperature"),
        ((3, 0.9, "1/10"), "p"),
        ((3, "9e-999999999", "1/10"), "p"),
        ((10**9, "9/10", "1/10"), "per_class"),
    ],
)
def test_what_is_no_case_is_refused(case: tuple[Any, ...], field: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: "):
        splitting(*case)


def test_the_easy_losses_are_one() -> None:
    """Easy-positive SupCon, NT-Xent and N-pair of cosines: kappa is said once for all of them."""
    points = torch.nn.functional.normalize(
        torch.randn(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64), dim=1
    )
    values = [
        float(
            expected_similarity_loss(
                points @ points.T,
                [0, 0, 0, 1, 1, 1, 1],
                noise.symmetric(2, 0.8),
                loss=loss,
                positive="easy",
                temperature=0.3,
                cosine=True,
            )
        )
        for loss in ("ntxent", "supcon", "npair")
    ]
    assert values == pytest.approx([values[0]] * 3, rel=1e-14)


def test_the_check_at_a_reduced_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """One case of A and of B; nothing is left out of the parts that are documented otherwise."""
    monkeypatch.setattr(Setting, "restarts", property(lambda _: 4))
    for name in ("EQUAL", "SIMPLEX"):
        monkeypatch.setattr(c12, name, dict([next(iter(getattr(c12, name).items()))]))
    monkeypatch.setitem(c12.SPLIT, "quick", [(3, "9/10", "1/10")])
    outcome = c12.check(Setting())
    assert all(outcome.hypotheses.values())
    assert outcome.verdict == "holds"
    assert outcome.counter_example.verdict == outcome.counter_example.demanded
    assert {text: part.verdict for text, part in outcome.parts.items()} == {
        text: verdict for text, verdict in c12.DOCUMENTED.items() if text in outcome.parts
    }
    # Seven cases of A and B are documented.
    assert len(outcome.parts) == len(c12.DOCUMENTED) - 5


def test_a_search_that_finds_a_spread_minimiser_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A in m = n - 1, by search rather than by construction, and a temperature that predicts another cosine."""
    monkeypatch.setattr(Setting, "restarts", property(lambda _: 18))
    case = ("supcon", 0.1, 2, 3, 0.9, 5)
    monkeypatch.setitem(c12.EQUAL, "spread", case)
    part, evidence = c12._collapse("spread", case, Setting())
    assert part.verdict == "fails"
    assert evidence["within_max"][1] > 0.1
    monkeypatch.setattr(c12, "best_gap", lambda *_, **__: 1.0)
    monkeypatch.setattr(c12, "least_of_rows", lambda *_: None)
    part, _ = c12._collapse("spread", ("supcon", 0.1, 2, 3, 0.9, 2), Setting())
    assert part.verdict == "fails"
