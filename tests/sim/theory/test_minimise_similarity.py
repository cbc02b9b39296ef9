"""Minimisers of the similarity losses: derivatives, the collapsed reference, and values that were derived otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sim import noise
from sim.errors import InvalidInput
from sim.theory import expected_similarity_loss
from sim.theory.descent import OfSimilarities, Search
from sim.theory.minimise import SIMILARITY_LOSSES, Minima, minimise, within_between
from sim.theory.similarity import Expectation, checked_parameters, positive_shares

TWO = np.repeat([0, 1], 6)
NOISY = noise.symmetric(2, 0.9)


def found(loss: str, positive: str = "all", **setting: object) -> tuple[Minima, Minima]:
    """The best embeddings found on the sphere, free and collapsed."""
    arguments = {"loss": loss, "positive": positive, "geometry": "sphere", "dim": 3, "restarts": 9, **setting}
    search = Search(steps=800, polish=800)
    free, collapsed = (minimise(TWO, NOISY, collapsed=c, search=search, **arguments) for c in (False, True))  # type: ignore[arg-type]
    return free, collapsed


@pytest.mark.parametrize("collapsed", [False, True])
@pytest.mark.parametrize("geometry", ["plane", "sphere"])
@pytest.mark.parametrize("positive", ["all", "easy"])
@pytest.mark.parametrize("loss", SIMILARITY_LOSSES)
def test_gradients_are_those_of_differences(loss: str, positive: str, geometry: str, collapsed: bool) -> None:
    classes, transition = np.array([0, 1, 1, 0, 1]), np.array([[0.9, 0.1], [0.3, 0.7]])
    given = checked_parameters(loss, {} if loss == "multi_similarity" else {"temperature": 0.5})
    expectation = Expectation(loss, positive, classes, transition, given)
    objective = OfSimilarities(classes, transition, geometry, collapsed, expectation)
    draws = np.random.default_rng(0)
    points = draws.normal(size=(2, 2 if collapsed else 5, 3))
    value, gradient, _ = objective.evaluate(points, np.zeros(2))
    placed = objective.expanded(objective.project(points))
    s = np.einsum("rnm,rkm->rnk", placed, placed)
    same = expected_similarity_loss(s, classes, transition, loss=loss, positive=positive, **{**given, "cosine": False})
    np.testing.assert_allclose(value, same, rtol=1e-12)
    step = 1e-6
    for place in np.ndindex(points.shape[1:]):
        shift = np.zeros_like(points)
        shift[(slice(None), *place)] = step
        ahead, behind = (objective.evaluate(points + sign * shift, np.zeros(2))[0] for sign in (1, -1))
        np.testing.assert_allclose(gradient[(slice(None), *place)], (ahead - behind) / (2 * step), atol=1e-6)


def test_supcon_collapses_to_the_predicted_angle() -> None:
    """Centres' cosine 1 - temperature log(c_in / c_out); the value was found by an independent program."""
    free, collapsed = found("supcon", temperature=0.1)
    shares = positive_shares(np.array([6, 6]), NOISY)
    predicted = 1 - 0.1 * np.log(shares[0, 0] / shares[0, 1])
    assert predicted == pytest.approx(0.8335, abs=1e-4)
    points = free.embeddings[0].numpy()
    assert float(points[0] @ points[6]) == pytest.approx(predicted, abs=1e-4)
    assert within_between(free.distances(), TWO)[0].max() < 1e-3
    assert free.best == pytest.approx(25.46413, abs=1e-4)
    assert collapsed.best == pytest.approx(free.best, rel=1e-7)


def test_nt_xent_collapses_with_all_positives_and_not_with_easy_ones() -> None:
    """Values of theory that was worked out independently."""
    free, collapsed = found("ntxent", temperature=0.5, restarts=3)
    assert collapsed.best == pytest.approx(67.78965, abs=1e-4)
    assert free.best == pytest.approx(collapsed.best, rel=1e-7)
    free, collapsed = found("ntxent", "easy", temperature=0.5, restarts=6)
    assert collapsed.best == pytest.approx(8.996, abs=1e-3)
    assert free.best < 7.8
    assert within_between(free.distances(), TWO)[0].max() > 0.1


def test_collapsed_embeddings_have_a_point_a_class() -> None:
    free, collapsed = found("multi_similarity", restarts=2)
    assert collapsed.embeddings.shape == free.embeddings.shape == (2, 12, 3)
    assert within_between(collapsed.distances(), TWO)[0].max() == 0
    triplets = minimise(TWO, NOISY, alpha=0.5, collapsed=True, restarts=3, search=Search(200, 400))
    assert within_between(triplets.distances(), TWO)[0].max() == 0
    assert within_between(triplets.distances(), TWO)[1].max() == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"loss": "lifted"}, "loss"),
        ({"positive": "hard"}, "positive"),
        ({"temperature": -1.0}, "temperature"),
        ({"alpha": 1.0}, "alpha"),
        ({"beta": "learn"}, "beta"),
        ({"squared": True}, "squared"),
        ({"collapsed": "yes"}, "collapsed"),
        ({"collapsed": True, "start": torch.zeros(1, 12, 3)}, "start"),
        ({"loss": "triplet", "temperature": 1.0, "alpha": 1.0}, "temperature"),
    ],
)
def test_what_it_does_not_take_is_refused(changed: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: got "):
        minimise(TWO, NOISY, **{"loss": "ntxent", **changed})  # type: ignore[arg-type]
