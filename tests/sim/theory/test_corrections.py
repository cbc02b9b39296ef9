"""Statements of the theory that were once wrong or too strong: each test fails on the old one."""

from __future__ import annotations

import numpy as np
import pytest

from sim import noise
from sim.streams import stream
from sim.theory.batch import pair_use
from sim.theory.claims import Setting, c3, c4, c5, c6, c10
from sim.theory.claims.base import agreement, collapse_verdict, embed, two_classes
from sim.theory.expected import expected_loss, lower_bound
from sim.theory.minimise import minimise, within_between

IDENTITY, EXCHANGED = np.eye(2), np.array([[0.0, 1.0], [1.0, 0.0]])


# C3: strict weights.


@pytest.mark.parametrize("transition", [c3.NOT_STRICT, IDENTITY, EXCHANGED, noise.symmetric(3, 1.0)])
def test_c3_needs_strict_weights(transition) -> None:
    """Its agreements are as C3 wants them, its weights are not: p = 1, and p = 0 with two classes, are such cases."""
    same = np.asarray(transition) @ np.asarray(transition).T
    off = same[~np.eye(len(same), dtype=bool)]
    assert np.ptp(off) == 0 and same.diagonal().min() > off.max()
    assert not c3.strict_weights(transition)
    assert not c3.meets_condition(transition)


def test_c3_holds_at_p_0_with_three_classes() -> None:
    never_kept = (np.ones((3, 3)) - np.eye(3)) / 2
    assert c3.meets_condition(never_kept)
    assert c3.case(np.repeat([0, 1, 2], 2), never_kept, 2, Setting())[0] == "holds"


@pytest.mark.parametrize("within", [0.0, 0.3, 1.0, 2.0])
def test_c3_spread_embeddings_attain_the_bound_without_strict_weights(within: float) -> None:
    points, classes = c3.spread_without_strict_weights(within)
    assert within_between(embed(points).numpy(), classes)[0].max() == pytest.approx(within)
    value = float(expected_loss(embed(points), classes, c3.NOT_STRICT, alpha=c3.ALPHA))
    assert value == pytest.approx(lower_bound(classes, c3.NOT_STRICT, alpha=c3.ALPHA), rel=1e-12)
    assert value == pytest.approx(2.52, rel=1e-12)


def test_c3_sizes_and_dimension_are_hypotheses() -> None:
    transition = noise.symmetric(3, 0.8)
    for sizes, dim, met in [([2, 2, 2], 4, True), ([2, 2, 2], 5, False), ([2, 2, 2], 1, False), ([1, 3, 3], 2, False)]:
        classes = np.repeat([0, 1, 2], sizes)
        assert all(c3.hypotheses(transition, classes, dim).values()) is met, (sizes, dim)


def test_c3_ties_allow_a_gap_up_to_alpha_only() -> None:
    """At p = 1/t all agreements tie: four points a step apart on a line, two steps at most between an anchor's distances."""
    classes, even = two_classes(2), noise.symmetric(2, 0.5)
    bound = lower_bound(classes, even, alpha=1.0)
    for step, attained in ((0.5, True), (0.51, False)):
        value = float(expected_loss(embed(step * np.arange(4)[:, None]), classes, even, alpha=1.0))
        assert (value <= bound * (1 + 1e-12)) is attained


def test_c3_excludes_clean_labels() -> None:
    """Agreements alone, the old C3 condition, accept the noise-free case; spread embeddings are minimal there."""
    classes = two_classes(2)
    s_in, s_out = agreement(2, 1.0)
    assert s_in > s_out and not c3.meets_condition(noise.symmetric(2, 1.0))
    found = minimise(classes, noise.symmetric(2, 1.0), alpha=0.5, bound=0.0, restarts=6)
    assert collapse_verdict(found, classes, 0.5)[0] == "fails"


# C3: pair-flip noise.


@pytest.mark.parametrize("p", [0.8, 0.5, 0.2])
def test_pair_flip_with_three_classes_collapses(p: float) -> None:
    noisy = noise.pair_flip(3, p)
    assert c3.meets_condition(noisy)
    classes = np.repeat([0, 1, 2], 3)
    verdict, evidence = c3.case(classes, noisy, 2, Setting())
    assert verdict == "holds"
    if p == 0.8:
        assert evidence["bound"] == pytest.approx(27.36, rel=1e-12)


def test_pair_flip_with_four_classes_is_attained_spread_only() -> None:
    noisy = noise.pair_flip(4, 0.8)
    assert not c3.meets_condition(noisy)
    verdict, evidence = c3.pair_flip_four(Setting())
    assert verdict == "holds"
    assert evidence["bound"] == pytest.approx(8.96, rel=1e-12)
    assert evidence["largest within"] == pytest.approx(2 * np.sqrt(2) * c3.ALPHA)
    assert evidence["best collapsed"] > 10.7


def test_pair_flip_with_four_classes_needs_its_distance() -> None:
    """In R^5 nothing below 2 sqrt(2) alpha attains the bound: shrunk to two thirds, the embedding does not."""
    points, classes = c3.pair_flip_minimiser()
    noisy = noise.pair_flip(4, 0.8)
    bound = lower_bound(classes, noisy, alpha=c3.ALPHA)
    assert float(expected_loss(embed(points * 2 / 3), classes, noisy, alpha=c3.ALPHA)) > bound + 0.1
    found = minimise(classes, noisy, alpha=c3.ALPHA, dim=5, bound=bound, restarts=6)
    assert found.best == pytest.approx(bound, rel=1e-6)
    within, _ = within_between(found.distances(), classes)
    assert within.min() > 2 * np.sqrt(2) * c3.ALPHA * (1 - 1e-2)


# C4.


@pytest.mark.parametrize("p", [0.3, 0.1])
def test_c4_two_classes_below_one_half_collapse_onto_two_points(p: float) -> None:
    assert c4.predicted(2, p) == (2.0, 1.0)
    verdict, evidence = c4.case(two_classes(3), p, "learn", Setting())
    assert verdict == "holds"
    assert evidence["between"] == pytest.approx([2 * c4.ALPHA] * 2, rel=1e-3)
    assert evidence["betas"] == pytest.approx([c4.ALPHA] * 2, rel=1e-3)


def test_c4_states_nothing_at_its_borders() -> None:
    assert c4.predicted(2, 0.5) is None
    assert c4.predicted(2, 1.0) is None
    assert c4.predicted(3, c4.critical(3)) is None
    assert c4.predicted(3, c4.critical(3) - 0.05) == (0.0, -1.0)


def test_c4_dimension_is_a_hypothesis_on_both_sides() -> None:
    classes = np.repeat([0, 1, 2], 2)
    for p in (0.8, 0.6):
        assert all(c4.hypotheses(3, p, classes, 4, "learn").values())
        assert not all(c4.hypotheses(3, p, classes, 5, "learn").values())
        assert not all(c4.hypotheses(3, p, classes, 4, 0.1).values())
        assert c4.case(classes, p, "learn", Setting(), dim=5)[0] == "fails"


def test_as_often_positive_as_negative_needs_both_kinds() -> None:
    for t in (3, 5):
        even = noise.symmetric(t, 1 / t)
        u, v = pair_use(even, 3)
        assert np.abs(u - v).max() < 1e-12
        u, v = pair_use(even, 3, needs_both=False)
        assert np.abs(u - v).max() > 1e-4


# C5.


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize(
    "loss", [{"loss": "contrastive"}, {"loss": "margin", "beta": 1.0}, {"loss": "margin", "beta": 0.3}], ids=str
)
def test_c5_collapses_in_every_dimension(loss, dim: int) -> None:
    classes = np.repeat([0, 1, 2], 2)
    assert c5.meets_condition(c5.SKEWED)
    assert c5.case(classes, np.array(c5.SKEWED), dim, Setting(), **loss)[0] == "holds"


@pytest.mark.parametrize("loss", ["contrastive", "margin"])
def test_c5_moving_a_class_to_its_best_member_lowers_the_loss(loss: str) -> None:
    """The proof's step, for any embedding: for the best of its members the loss falls strictly."""
    classes, rng = np.repeat([0, 1, 2], 3), stream(0, "C5")
    params = {"alpha": 1.0, **({"beta": 0.7} if loss == "margin" else {})}
    for _ in range(50):
        points = rng.normal(size=(9, int(rng.integers(1, 4)))) * rng.choice([0.3, 2.0])
        moved = []
        for member in range(3):
            tried = points.copy()
            tried[:3] = points[member]
            moved.append(float(expected_loss(embed(tried), classes, c5.SKEWED, loss=loss, **params)))
        assert min(moved) < float(expected_loss(embed(points), classes, c5.SKEWED, loss=loss, **params))


def test_c5_needs_agreement_above_one_half_and_beta_at_most_alpha() -> None:
    classes = np.repeat([0, 1, 2], 2)
    faint, clear = noise.symmetric(3, 0.6), noise.symmetric(3, 0.8)
    assert not c5.meets_condition(faint)
    assert c5.case(classes, faint, 5, Setting(), loss="contrastive")[0] == "fails"
    assert c5.case(classes, clear, 2, Setting(), loss="margin", beta=2.0)[0] == "fails"


# C6.


def test_c6_zero_sets_are_equal_with_two_a_class() -> None:
    assert not c6.strictly_larger([2, 2]) and not c6.strictly_larger([5]) and c6.strictly_larger([2, 3])
    classes, rng, zero = two_classes(2), stream(0, "C6 pairs"), 0
    for _ in range(200):
        centres = rng.uniform(0, rng.choice([0.5, 12.0]), size=(2, 1, 2))
        found = c6.losses((centres + 0.2 * rng.normal(size=(2, 2, 2))).reshape(4, 2), classes, p=1.0)
        assert found["easy"] == found["all"]
        zero += found["easy"] == 0
    assert 20 < zero < 180


@pytest.mark.parametrize("sizes", [[3, 2], [2, 4, 2], [2, 3]])
def test_c6_zero_set_is_strictly_larger_with_three_a_class(sizes: list[int]) -> None:
    points, classes = c6.chain(sizes)
    assert c6.condition(points, classes)
    found = c6.losses(points, classes, p=1.0)
    assert found["easy"] == 0 < found["all"]


# C10.


@pytest.mark.parametrize(("temperature", "verdict"), [(0.9, "fails"), (0.92, "holds")])
def test_normalised_softmax_collapses_from_the_threshold_on(temperature: float, verdict: str) -> None:
    assert c10.threshold(0.9) == pytest.approx(0.910, abs=5e-4)
    found, evidence = c10.of_temperature(0.9, temperature, Setting())
    assert evidence["minimisers"] > 0
    assert found == verdict


@pytest.mark.parametrize(("dim", "verdict"), [(2, "holds"), (3, "fails")])
def test_softmax_collapses_in_one_dimension_less_than_classes(dim: int, verdict: str) -> None:
    found, evidence = c10.of_dimension(dim, Setting())
    assert evidence["minimisers"] > 0
    assert found == verdict
