"""Floors and ceilings: values by hand, runs that are trained on fine labels, statements that could come out otherwise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sim import baselines, problems
from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.generators import Sample
from sim.problems import Problem, build
from sim.sweeps.grid import grid
from sim.verdict import decide

# Two classes of two modes. By angle every sample's nearest is of its mode; by distance that of the first mode's is of another class.
X = np.array([[1.0, 0.0], [5.0, 0.1], [0.0, 1.0], [0.1, 5.0], [-1.0, 0.0], [-5.0, 0.1], [0.0, -1.0], [0.1, -5.0]])
SQUARE = Sample(X, np.repeat([0, 1], 4), np.repeat(np.arange(4), 2))


def test_inputs_by_angle_and_by_distance() -> None:
    found = baselines.of_inputs(Problem(SQUARE, SQUARE), dim=2)
    assert found["input, cosine"]["recall_at_1"] == 1
    # The four short ones are nearer to each other than to their own.
    assert found["input, Euclidean"]["recall_at_1"] == 0.5
    # All of two dimensions is left, but the centre is taken away: the angles change, the distances don't.
    assert found["PCA to 2, Euclidean"] == pytest.approx(found["input, Euclidean"])


def test_components_are_those_of_the_training_inputs() -> None:
    """The training inputs vary in the first coordinate only, which tells the modes of the test inputs apart; the second is noise."""
    draws = np.random.default_rng(0)
    classes, modes = np.repeat([0, 1], 20), np.repeat(np.arange(4), 10)
    train = Sample(np.c_[modes + 0.01 * draws.normal(size=40), 1e-6 * draws.normal(size=40)], classes, modes)
    test = Sample(np.c_[modes + 0.01 * draws.normal(size=40), 100 * draws.normal(size=40)], classes, modes)
    found = baselines.of_inputs(Problem(train, test), dim=1)
    assert found["PCA to 1, Euclidean"]["recall_at_1"] == 1
    assert found["input, Euclidean"]["recall_at_1"] < 0.7
    assert baselines.of_inputs(Problem(train, test), dim=1, split="train")["input, Euclidean"]["recall_at_1"] == 1


def test_a_row_of_zeros_is_no_nan() -> None:
    sample = Sample(np.vstack([np.zeros((1, 2)), X[1:]]), SQUARE.classes, SQUARE.modes)
    assert np.isfinite(baselines.of_inputs(Problem(sample, sample), dim=2)["input, cosine"]["recall_at_1"])


def test_fine_labels_are_trained_on() -> None:
    coarse, fine = (build("rings", 0, samples_per_mode=10, trained_on=labels) for labels in ("classes", "modes"))
    assert np.array_equal(coarse.train.x, fine.train.x) and np.array_equal(coarse.test.modes, fine.test.modes)
    assert fine.train.t == len(np.unique(coarse.train.modes)) > coarse.train.t
    # One object for one problem: its memory is shared by runs.
    assert build("digits", 0, trained_on="modes") is build("digits", 1, trained_on="modes")
    assert problems.fingerprint("digits", 0, trained_on="modes") == problems.fingerprint("digits", 0)
    with pytest.raises(InvalidInput, match=r"^data\.params\.trained_on: got 'fine'; allowed: "):
        build("rings", 0, trained_on="fine")


def test_splits_without_common_classes_count_their_own() -> None:
    built = build("digits", 0, protocol="zero_shot", trained_on="modes")
    assert (built.train.t, built.test.t) == (5, 5)


def test_ceilings_are_clean_runs_of_each_loss_and_seed() -> None:
    configs = grid(
        {"data.name": "digits", "batch.per_class": 32},
        {"loss.name": ["triplet", "margin"], "positive": ["random", "easy"], "noise.level": [0.1, 0.3], "seed": [0, 1]},
    )
    found = baselines.ceilings(configs)
    assert [(c.loss.name, c.positive, c.seed) for c in found] == [
        ("triplet", "random", 0),
        ("triplet", "random", 1),
        ("margin", "random", 0),
        ("margin", "random", 1),
    ]
    assert {(c.noise.level, c.data.params["trained_on"], c.batch.classes, c.batch.per_class) for c in found} == {
        (0.0, "modes", 8, 8)
    }
    for config in found:
        config.check()
    zero_shot = grid({"data.name": "digits", "data.params": {"protocol": "zero_shot"}}, {"seed": [0]})
    assert baselines.ceilings(zero_shot) == []


def test_rows_are_of_the_runs_seeds() -> None:
    configs = grid(
        {"data.name": "rings", "data.params": {"samples_per_mode": 10}},
        {"positive": ["easy", "random"], "seed": [3, 4]},
    )
    values = dict.fromkeys(baselines.METRICS, 0.25)
    results = pd.DataFrame(
        [
            {"seed": c.seed, "positive": c.positive, "split": "test", "step": step, **values}
            for c in configs
            for step in (0, 9)
        ]
    )
    ceiling = pd.DataFrame([{"seed": 3, "loss.name": "triplet", "positive": "random", "negative": "hard", **values}])
    found = baselines.rows(configs, results, ceiling)
    assert found.groupby("baseline")["seed"].apply(list).to_dict() == {
        "input, Euclidean": [3, 4],
        "input, cosine": [3, 4],
        "PCA to 2, Euclidean": [3, 4],
        "PCA to 2, cosine": [3, 4],
        "untrained net": [3, 4],
        "trained on fine labels, no noise: triplet, random, hard": [3],
    }
    # Drawn data differ from seed to seed.
    assert found[found["baseline"] == "input, Euclidean"]["relative_spread"].nunique() == 2
    assert baselines.table_of(found)["baseline"].tolist() == list(dict.fromkeys(found["baseline"]))


@pytest.mark.parametrize(("input_value", "verdict"), [(0.2, "holds"), (0.8, "fails"), (0.5, "inconclusive")])
def test_better_than_the_input_is_decided(input_value: float, verdict: str) -> None:
    last = pd.DataFrame(
        {
            "loss.name": "triplet", "negative": "hard", "noise.level": 0.1, "positive": "easy", "seed": [0, 1, 2, 3],
            "recall_at_1": [0.49, 0.52, 0.51, 0.48], "map_at_r": [0.49, 0.52, 0.51, 0.48],
        }
    )  # fmt: skip
    names = {True: "input, cosine", False: "input, Euclidean"}
    for normalize, name in names.items():
        found = pd.DataFrame(
            [
                {"baseline": b, "seed": s, "recall_at_1": v, "map_at_r": v}
                for b, v in ((name, input_value), (names[not normalize], np.nan))
                for s in range(4)
            ]
        )
        findings = decide(baselines.better_than_input(last, found, normalize))
        assert [f.verdict for f in findings] == [verdict, verdict]
        assert findings[0].claim == "Recall@1 on fine labels is greater with easy positives than of the input as it is"


def test_trained_on_is_part_of_a_runs_name() -> None:
    config = RunConfig()
    other = config.model_copy(update={"data": config.data.model_copy(update={"params": {"trained_on": "modes"}})})
    assert config.key() != other.key()
