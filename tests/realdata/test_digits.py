"""Digits: the embedded default data set, its protocol and its benchmark."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

import realdata
from realdata import datasets
from realdata.benchmark import configs, findings
from realdata.protocol import problem
from sim import problems
from sim.errors import InvalidInput
from sim.studies import final
from sim.sweeps.execute import execute
from sim.sweeps.store import Store


def test_splits_share_no_image_and_cover_all() -> None:
    train, test = (datasets.load("digits", split=s) for s in ("train", "test"))
    assert train.n + test.n == 1797
    assert train.x.shape[1:] == (1, 8, 8)
    assert 0 <= train.x.min() < train.x.max() <= 1
    ours = sorted(map(bytes, np.concatenate([train.x, test.x]).reshape(1797, -1)))
    assert ours == sorted(map(bytes, load_digits().data / 16.0))
    for sample in (train, test):
        assert (sample.modes % 2 == sample.classes).all()
        assert sorted(set(sample.modes)) == list(range(10))


def test_bad_requests_are_named() -> None:
    with pytest.raises(InvalidInput, match="dataset: got 'mnist1'; allowed: one of .*digits, .*mnist"):
        datasets.load("mnist1")
    with pytest.raises(InvalidInput, match="split: got 'valid'; allowed: one of train, test"):
        datasets.load("digits", split="valid")
    with pytest.raises(
        InvalidInput, match="root: got '/data'; allowed: nothing: scikit-learn's digits come with a package"
    ):
        datasets.load("digits", root="/data")


def test_runs_share_one_copy_of_the_data() -> None:
    assert problems.build("digits", 0) is problems.build("digits", 1)
    assert problem("digits") is problems.build("digits", 5)


def test_benchmark_pairs_each_loss_with_its_negatives() -> None:
    runs = configs("digits", seeds=2)
    assert len(runs) == 2 * 2 * 4 * 2
    assert {(c.loss.name, c.negative) for c in runs} == {("triplet", "semihard"), ("margin", "distance_weighted")}
    assert {c.noise.mode for c in runs} == {"static"}
    with pytest.raises(InvalidInput, match="seeds: got 0"):
        configs("digits", seeds=0)
    assert realdata.benchmark is not None


def test_findings_ask_only_what_the_runs_can_answer(tmp_path: object) -> None:
    store = Store(tmp_path)  # type: ignore[arg-type]
    runs = configs(
        "digits", losses=["triplet"], positives=["easy"], noise=[0.0], seeds=2, settings={"steps": 3, "checkpoints": 1}
    )
    execute(runs, store)
    assert findings(final(store.load(runs))) == []


@pytest.mark.slow
def test_easy_positives_keep_digits_apart_under_noise(tmp_path: object) -> None:
    """C11 on digits at one noise level, five seeds: the published table's direction, decided by the shipped statements."""
    store = Store(tmp_path)  # type: ignore[arg-type]
    runs = configs("digits", noise=[0.2], seeds=5)
    execute(runs, store)
    decided = findings(final(store.load(runs)))
    assert len(decided) == 4
    assert all(f.verdict == "holds" for f in decided)
