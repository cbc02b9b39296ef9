"""Values of unusual types that a check accepts are used as the plain numbers that they stand for; others are refused."""

from __future__ import annotations

import itertools
import json
import random
from fractions import Fraction

import numpy as np
import pytest
import torch

from sim import losses, metrics, noise
from sim.config import RunConfig, parse
from sim.errors import InvalidInput
from sim.theory import expected_loss
from sim.theory.batch import pair_use
from sim.theory.certificates.bounds import pair_bound
from sim.theory.certificates.exact import exact_loss
from sim.theory.descent import Search
from sim.theory.minimise import minimise


def test_small_integers_do_not_overflow() -> None:
    clean = [[1.0, 0.0], [0.0, 1.0]]
    for small in (np.int8(100), np.uint8(100)):
        for found, expected in zip(pair_use(clean, small), pair_use(clean, 100), strict=True):
            np.testing.assert_array_equal(found, expected)
    Search(steps=np.int8(100)).check()
    assert noise.empirical_transition(np.arange(20), np.arange(20), np.int8(20)).shape == (20, 20)


def test_integers_as_large_as_a_float_are_numbers() -> None:
    samples, classes = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)), np.arange(8) % 2
    found = metrics.evaluate(samples, classes, classes, heavy=True, options=metrics.Options(link_distance=10**30))
    assert found["subclusters_linkage"] == 1.0
    line = [[0.0, 1.0], [1.0, 0.0]]
    huge = [expected_loss(line, [0, 1], np.eye(2), alpha=alpha, loss="contrastive").item() for alpha in (10**30, 1e30)]
    assert huge[0] == huge[1] > 1e30


def test_numbers_in_lists_are_float64() -> None:
    third = [[0.0, 1 / 3], [1 / 3, 0.0]]
    found = expected_loss(third, [0, 0], np.eye(2), alpha=1.0, loss="contrastive")
    assert found.dtype == torch.float64 and found.item() == 2 / 3


@pytest.mark.parametrize("squared", ["yes", [], None, 2, np.ones(2)])
def test_what_is_no_truth_value_is_refused(squared: object) -> None:
    with pytest.raises(InvalidInput, match="squared: got .*; allowed: one of False, True"):
        minimise([0, 1], np.eye(2), alpha=1.0, loss="contrastive", squared=squared)  # type: ignore[arg-type]


def test_a_fraction_is_a_level() -> None:
    for kind in ("symmetric", "pair_flip"):
        found, expected = (noise.transition(kind, 3, level) for level in (Fraction(1, 4), 0.25))
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("ks", [[1, [2]], [[1], [2, 3]], [1, None]])
def test_ks_that_are_no_numbers_are_refused(ks: list[object]) -> None:
    with pytest.raises(InvalidInput, match="ks: got "):
        metrics.Options(ks=ks)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [3, {"a": 1}, None])
def test_a_library_s_loss_is_named_by_a_text(name: object) -> None:
    pytest.importorskip("pytorch_metric_learning")
    with pytest.raises(InvalidInput, match="loss.params.loss: got .*one of .*TripletMarginLoss"):
        losses.make("pml", loss=name, runs=1)


def test_a_configuration_is_what_its_json_says() -> None:
    config = parse(RunConfig, {"data": {"params": {"a": (1, ("b", ()))}}})
    assert config.data.params == {"a": [1, ["b", []]]}
    assert parse(RunConfig, json.loads(config.model_dump_json())) == config


@pytest.mark.parametrize("params", [{"a": "\ud800"}, {"\udfff": 1}, {"a": [{"b": "x\udc80"}]}])
def test_half_a_surrogate_pair_is_no_text(params: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="allowed: texts .of Unicode."):
        parse(RunConfig, {"data": {"params": params}})


def test_exact_sums_are_those_of_their_definitions() -> None:
    """With zeros and ones in T, unequal classes and ties in distance."""
    draws = random.Random(0)
    for case in range(60):
        t, n = draws.choice((2, 3)), draws.randrange(3, 8)
        classes = [k % t for k in range(n)]
        whole = [[draws.choice((0, 1, 2, 5)) for _ in range(t)] for _ in range(t)]
        transition = tuple(
            tuple(Fraction(x, sum(row)) for x in row) if sum(row) else (Fraction(1), *[Fraction(0)] * (t - 1))
            for row in whole
        )
        places = [draws.randrange(4) for _ in range(n)]
        d = tuple(tuple(Fraction(abs(x - y), 2) for y in places) for x in places)
        alpha = Fraction(draws.choice((1, 2, 3)), 2)
        weight = {
            (i, j, k): sum(
                transition[classes[i]][y] * transition[classes[j]][y] * (1 - transition[classes[k]][y])
                for y in range(t)
            )
            for i, j, k in itertools.permutations(range(n), 3)
        }
        hinges = sum(w * max(d[i][j] - d[i][k] + alpha, Fraction(0)) for (i, j, k), w in weight.items())
        setting = {"loss": "triplet", "alpha": alpha}
        assert exact_loss(d, classes, transition, positive="all", **setting) == hinges, case
        bound = sum(min(weight[i, j, k], weight[i, k, j]) for i, j, k in weight if j < k)
        assert pair_bound(classes, transition, **setting) == 2 * alpha * bound, case
        easy = float(exact_loss(d, classes, transition, positive="easy", **setting))
        floats = [[[float(x) for x in row] for row in matrix] for matrix in (d, transition)]
        engine = expected_loss(floats[0], classes, floats[1], loss="triplet", positive="easy", alpha=float(alpha))
        assert engine.item() == pytest.approx(easy, rel=1e-12, abs=1e-12), case
