"""Random draws: right distribution, independent of company; batches distinct and balanced."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from sim import kernels
from sim.errors import InvalidInput
from sim.samplers import RunDraws, select
from sim.samplers.batches import Batches, distinct
from sim.samplers.policies import draw


def test_draw_follows_the_weights() -> None:
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0, 6.0, 0.0]).expand(1, 1, -1)
    uniforms = torch.rand(1, 1, 20_000, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(draw(weights, uniforms).index.flatten(), minlength=6)
    assert counts[[0, 2, 5]].sum() == 0
    assert stats.chisquare(counts[[1, 3, 4]], 20_000 * np.array([0.1, 0.3, 0.6])).pvalue > 1e-4


def test_draw_at_the_edges_of_the_unit_interval_never_takes_a_column_without_weight() -> None:
    weights = torch.tensor([[[0.0, 0.1, 0.7, 0.0]]])
    edge = torch.tensor([[[0.0, float(np.nextafter(np.float32(1), np.float32(0)))]]])
    assert draw(weights, edge).index.flatten().tolist() == [1, 2]
    nothing = draw(torch.zeros(1, 1, 4), edge)
    assert not nothing.mask.any()


@pytest.mark.parametrize("side", ["positive", "negative"])
def test_random_choices_are_uniform(side: str) -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    x = torch.arange(8.0)[:, None].expand(5000, -1, -1)
    x = x**2
    tuples = select(
        x,
        labels.expand(5000, -1),
        positive="random",
        negative="random",
        generator=torch.Generator().manual_seed(1),
    )
    drawn = (tuples.positive if side == "positive" else tuples.negative)[:, 0].flatten()
    expected = [1.0, 4.0, 9.0] if side == "positive" else [16.0, 25.0, 36.0, 49.0]
    counts = [int((drawn == e).sum()) for e in expected]
    assert sum(counts) == 5000
    assert stats.chisquare(counts).pvalue > 1e-4


def test_a_runs_draws_do_not_depend_on_its_company_nor_on_the_block() -> None:
    like = torch.zeros(1)
    alone, among = RunDraws([7], block=3), RunDraws([1, 7, 9], block=8)
    for _ in range(20):
        a = alone.uniform("x", like, (1, 5))
        among.uniform("y", like, (3, 2))
        assert torch.equal(a[0], among.uniform("x", like, (3, 5))[1])


def test_distinct_is_uniform_over_subsets() -> None:
    uniforms = torch.rand(30_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    picks = distinct(uniforms, torch.tensor(4))
    assert (picks[:, 0] != picks[:, 1]).all()
    cells = torch.bincount(picks[:, 0] * 4 + picks[:, 1], minlength=16).view(4, 4)
    assert cells.diagonal().sum() == 0
    assert stats.chisquare(cells[~torch.eye(4, dtype=torch.bool)]).pvalue > 1e-4


@pytest.mark.skipif(not kernels.AVAILABLE, reason="needs Numba")
@pytest.mark.parametrize(("classes", "per_class"), [(3, 5), (0, 9), (2, 20), (4, 1)])
def test_batches_are_the_same_compiled_and_as_tensors(
    classes: int, per_class: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = [np.random.default_rng(seed).permutation(np.repeat(np.arange(4), 20)) for seed in range(3)]
    one, other = (Batches(range(3), groups, classes=classes, per_class=per_class) for _ in range(2))
    compiled = one.take(20)
    monkeypatch.setattr(kernels, "AVAILABLE", False)
    assert torch.equal(compiled, other.take(20))


def test_distinct_can_take_everything() -> None:
    picks = distinct(torch.rand(100, 9, dtype=torch.float64), torch.tensor(9))
    assert (picks.sort(-1).values == torch.arange(9)).all()


def test_balanced_batches() -> None:
    labels = np.array([0] * 5 + [1] * 9 + [2] * 6)
    other = np.random.default_rng(0).permutation(labels)
    batches = Batches([3, 4], [labels, other], classes=2, per_class=4, block=4)
    seen = set()
    for _ in range(50):
        index = batches.next()
        for row, truth in zip(index, (labels, other), strict=True):
            drawn = truth[row].reshape(2, 4)
            assert (drawn == drawn[:, :1]).all()
            assert drawn[0, 0] != drawn[1, 0]
            assert len(set(row.tolist())) == 8
            seen.add(tuple(sorted(drawn[:, 0])))
    assert seen == {(0, 1), (0, 2), (1, 2)}
    alone = Batches([4], [other], classes=2, per_class=4, block=7)
    again = Batches([3, 4], [labels, other], classes=2, per_class=4)
    for _ in range(30):
        assert torch.equal(alone.next()[0], again.next()[1])


def test_a_balanced_batchs_samples_do_not_depend_on_its_classes() -> None:
    labels = np.repeat(np.arange(4), 4)
    batches = Batches([0], [labels], classes=2, per_class=2)
    cells = np.zeros((4, 4))
    for _ in range(3000):
        first = int(batches.next()[0, 0])
        cells[first // 4, first % 4] += 1
    assert stats.chisquare(cells.flatten()).pvalue > 1e-4


def test_uniform_batches_cover_everything_evenly() -> None:
    batches = Batches([0], [np.zeros(10, dtype=np.int64)], classes=0, per_class=4)
    counts = torch.bincount(torch.cat([batches.next()[0] for _ in range(2500)]), minlength=10)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_impossible_batches_are_refused() -> None:
    labels = np.array([0] * 5 + [1] * 3)
    with pytest.raises(
        InvalidInput, match=r"batch\.per_class: got 4; allowed: at most 3, the samples that class 1 has"
    ):
        Batches([0], [labels], classes=2, per_class=4)
    with pytest.raises(InvalidInput, match=r"batch\.classes: got 3; allowed: at most 2"):
        Batches([0], [labels], classes=3, per_class=2)
    with pytest.raises(
        InvalidInput, match=r"batch\.per_class: got 9; allowed: at most 8, the samples that the data set has"
    ):
        Batches([0], [labels], classes=0, per_class=9)
