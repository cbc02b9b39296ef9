"""Protocols: which images are trained on, with which labels."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from realdata.datasets import pictures
from realdata.protocol import Protocol, parts, problem
from sim import noise, problems
from sim.config import RunConfig, dotted, parse
from sim.errors import InvalidInput
from sim.sweeps.execute import execute
from sim.sweeps.store import Store
from sim.training import train


def test_coarse_trains_on_coarse_labels(mnist: Path) -> None:
    built = problem("mnist", str(mnist))
    assert built.train.n == 60 and built.test.n == 30
    assert (built.train.classes == built.train.modes % 2).all()


def test_zero_shot_keeps_splits_that_share_no_class(cub200: Path) -> None:
    built = problem("cub200", str(cub200), protocol="zero_shot", size=8)
    np.testing.assert_array_equal(built.train.classes, np.repeat([0, 1, 2], 4))
    np.testing.assert_array_equal(built.test.classes, np.repeat([0, 1, 2], 4))
    np.testing.assert_array_equal(built.test.modes, np.repeat([3, 4, 5], 4))


def test_zero_shot_halves_the_classes_of_other_data_sets(mnist: Path) -> None:
    built = problem("mnist", str(mnist), protocol="zero_shot")
    assert set(built.train.modes) == {0, 1, 2, 3, 4} and set(built.test.modes) == {5, 6, 7, 8, 9}
    assert built.train.n + built.test.n == 90
    assert built.test.t == 5
    for side in (built.train, built.test):
        np.testing.assert_allclose(side.x[:, 0, 0, 0], 20 * side.modes / 255, rtol=1e-6)


def test_merged_makes_super_classes_of_known_modes(mnist: Path, cub200: Path) -> None:
    built = problem("mnist", str(mnist), protocol="merged", per_super=5)
    assert built.train.n == 60  # the splits share their digits, so they stay
    assert (built.train.classes == built.train.modes // 5).all()
    birds = problem("cub200", str(cub200), protocol="merged", per_super=2, size=8)
    for side in (birds.train, birds.test):
        assert side.n == 12
        assert (side.classes == side.modes // 2).all()
        np.testing.assert_array_equal(np.bincount(side.modes), [2] * 6)
    greys = np.concatenate([side.x.mean((1, 2, 3)) for side in (birds.train, birds.test)])
    assert np.abs(np.sort((255 * greys).round()) - np.arange(24)).max() <= 1  # every picture once


def test_merging_can_be_shuffled(mnist: Path) -> None:
    def groups(seed: int | None) -> list[list[int]]:
        built = problem("mnist", str(mnist), protocol="merged", per_super=3, merge_seed=seed)
        return [sorted(set(built.train.modes[built.train.classes == c].tolist())) for c in range(built.train.t)]

    assert groups(None) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    shuffled = groups(1)
    assert [len(group) for group in shuffled] == [3, 3, 3, 1]
    assert sorted(itertools.chain(*shuffled)) == list(range(10))
    assert shuffled != groups(None) and shuffled == groups(1) and shuffled != groups(2)


def test_limits_are_per_fine_class_and_nested(mnist: Path) -> None:
    train, test = (pictures("mnist", mnist, split) for split in ("train", "test"))
    rows = {}
    for limit in (2, 4):
        side, other = parts(train, test, Protocol(limit=limit, test_limit=1))
        np.testing.assert_array_equal(np.bincount(side.modes), [limit] * 10)
        np.testing.assert_array_equal(np.bincount(other.modes), [1] * 10)
        rows[limit] = set(side.rows.tolist())
    assert rows[2] < rows[4]
    assert problem("mnist", str(mnist), limit=100).train.n == 60


def test_omniglot_is_zero_shot_by_its_official_split(omniglot: Path) -> None:
    built = problem("omniglot", str(omniglot), protocol="zero_shot")
    assert built.train.t == 6 and built.test.t == 4
    assert set(built.test.modes) == {964, 965, 966, 967}


def test_runs_share_memory_and_seeds_change_nothing(mnist: Path) -> None:
    params = {"root": str(mnist), "protocol": "zero_shot"}
    assert problems.build("mnist", 0, **params) is problems.build("mnist", 1, **params)


def test_noise_is_on_training_labels_only(mnist: Path) -> None:
    built = problem("mnist", str(mnist))
    before = built.train.classes.copy(), built.test.classes.copy()
    flipped = noise.static_labels(noise.label_probabilities("symmetric", 0.4, built.train), built.train.classes, seed=0)
    assert (flipped != built.train.classes).any()
    np.testing.assert_array_equal(built.train.classes, before[0])
    np.testing.assert_array_equal(built.test.classes, before[1])


def test_a_run_trains_on_a_protocol(cub200: Path, tmp_path: Path) -> None:
    params = {"root": str(cub200), "protocol": "merged", "per_super": 3, "size": 8}
    config = RunConfig.model_validate(
        {"data": {"name": "cub200", "params": params}, "batch": {"per_class": 4}, "steps": 2, "checkpoints": 1}
    )
    store = Store(tmp_path / "store")
    execute([config], store)
    assert set(store.load([config])["status"]) == {"done"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"protocol": "few_shot"}, "protocol: got 'few_shot'; allowed: one of coarse, zero_shot, merged"),
        ({"protocol": "merged"}, "per_super: got None"),
        ({"protocol": "merged", "per_super": 1}, "per_super: got 1"),
        ({"protocol": "merged", "per_super": 2, "merge_seed": -1}, "merge_seed: got -1"),
        ({"per_super": 2}, "per_super: got 2; allowed: nothing, but with protocol = merged"),
        ({"limit": 0}, "limit: got 0"),
        ({"limit": [3]}, "limit: got"),
        ({"size": 2}, "size: got 2"),
        ({"size": 8, "features": "efficientnet_lite0"}, "size: got 8; allowed: nothing with features"),
        (
            {"features": "resnet1000"},
            "features: got 'resnet1000'; allowed: one of efficientnet_lite0, small_conv, or a folder",
        ),
        ({"root": 3}, "root: got 3; allowed: text"),
        ({"colour": 1}, "data.params.colour: got 1; allowed: no such parameter"),
    ],
)
def test_bad_parameters_are_named(mnist: Path, params: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        problems.build("mnist", 0, **{"root": str(mnist), **params})


def test_a_data_set_has_its_customary_recalls(sop: Path, cub200: Path) -> None:
    """Recall at 1, 10, 100, 1,000 for Online Products; beyond the number of samples it means all of them."""
    assert problem("cub200", str(cub200)).ks == (1, 2, 4, 8)
    products = problem("sop", str(sop), protocol="zero_shot", size=8)
    assert products.ks == (1, 10, 100, 1000)
    config = parse(
        RunConfig, dotted({"data.name": "sop", "batch": {"classes": 4, "per_class": 3}, "steps": 2, "checkpoints": 1})
    )
    row = train([config], [products])[0].rows[-1]
    assert {"recall_at_1", "recall_at_10", "recall_at_100", "recall_at_1000"} <= set(row)
    assert row["recall_at_1"] <= row["recall_at_10"] <= row["recall_at_1000"] == 1.0
