"""Choices where distances tie or classes have collapsed, with and without compiled kernels, against definitions in plain Python."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from sim import distances, kernels, samplers
from sim.catalogue import NEGATIVES, POSITIVES
from sim.errors import InvalidInput
from sim.losses import make
from sim.samplers import Batch, Chosen, choose, resolve, select
from sim.samplers.policies import draw, farthest, nearest
from sim.samplers.tuples import Tuples, active_counts

ALPHA = 0.5
JUST_BELOW_ONE = 1 - 2.0**-24


@pytest.fixture(params=["compiled", "tensors"], autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything here holds for the kernels and for the tensor programs beside them."""
    if request.param == "tensors":
        monkeypatch.setattr(kernels, "AVAILABLE", False)
    elif not kernels.AVAILABLE:
        pytest.skip("Numba isn't installed (extra: fast)")
    return str(request.param)


def batch(regime: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Four runs of twelve (large: 60) samples on a grid whose distances are exact, so that they tie often."""
    generator, size = torch.Generator().manual_seed(0), 60 if regime == "large" else 12
    x = torch.randint(0, 6, (4, size, 1), generator=generator).to(dtype) / 4
    labels = torch.randint(0, 3, (4, size), generator=generator)
    if regime == "classes collapsed":
        x = labels.unsqueeze(-1).to(dtype) / 4
    elif regime == "all collapsed":
        x = torch.zeros_like(x)
    elif regime == "one class apart":
        x = (labels == 0).unsqueeze(-1).to(dtype)
    return x, labels


REGIMES = ["grid", "classes collapsed", "all collapsed", "one class apart"]


def chosen(x: Tensor, labels: Tensor, positive: str, negative: str) -> tuple[Chosen, Chosen]:
    """The positions that the policies choose, by the way that `select` takes."""
    sampling = resolve(positive, negative)
    if sampling.compiled and kernels.usable(x):
        return samplers._compiled_choice(x, labels, sampling)
    same = labels.unsqueeze(2) == labels.unsqueeze(1)
    alone = same & ~torch.eye(labels.shape[1], dtype=torch.bool)
    return choose(Batch(distances.pairwise(x), alone, ~same, x.shape[-1], None), sampling)


def triplets(x: Tensor, labels: Tensor, positive: str, negative: str) -> list[tuple[int, int, int]]:
    """The triplets of one run by the policies' own definitions, in order."""
    pos, neg = POSITIVES[positive], NEGATIVES[negative]
    rows = (x - x.mT).abs().tolist()
    found = []
    for a, row in enumerate(rows):
        same = [j for j in range(len(rows)) if j != a and labels[j] == labels[a]]
        other = [k for k in range(len(rows)) if labels[k] != labels[a]]
        if pos.reads_other_side:
            for k in neg.reference(row, other, math.nan, ALPHA):
                found += [(a, p, k) for p in pos.reference(row, same, row[k], ALPHA)]
        else:
            for p in pos.reference(row, same, math.nan, ALPHA):
                found += [(a, p, k) for k in neg.reference(row, other, row[p], ALPHA)]
    return found


def pairs(*, single: bool) -> list[tuple[str, str]]:
    """Pairs of policies with a definition; with single negatives (``single``), or all that the triplet loss takes."""
    positives = [p for p in [*POSITIVES, "k_easy:2", "easy_within:0.25"] if POSITIVES[p].reference is not None]
    negatives = [n for n in NEGATIVES if NEGATIVES[n].reference is not None and (NEGATIVES[n].single or not single)]
    found = []
    for positive, negative in itertools.product(positives, negatives):
        try:
            make("triplet").sampling(positive, negative)
        except InvalidInput:
            continue
        found.append((positive, negative))
    return found


@pytest.mark.parametrize("regime", [*REGIMES, "large"])
@pytest.mark.parametrize(("positive", "negative"), pairs(single=True))
def test_positions_are_those_of_the_definition(positive: str, negative: str, regime: str) -> None:
    """Ties go to the lowest position, and no sample of a wrong class is ever taken for one that is missing."""
    x, labels = batch(regime)
    positives, negatives = chosen(x, labels, positive, negative)
    for r in range(len(x)):
        found = []
        for a, k in itertools.product(range(x.shape[1]), range(negatives.index.shape[2])):
            slots = range(positives.mask.shape[2]) if negatives.index.shape[2] == 1 else [k]
            for s in slots:
                if positives.mask[r, a, s] and negatives.mask[r, a, k, 0]:
                    p = s if positives.index is None else int(positives.index[r, a, s])
                    found.append((a, p, int(negatives.index[r, a, k, 0])))
        expected = triplets(x[r], labels[r], positive, negative)
        assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("reduction", ["mean", "avg_nonzero"])
@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize(("positive", "negative"), pairs(single=False))
def test_losses_count_the_triplets_of_the_definition(positive: str, negative: str, regime: str, reduction: str) -> None:
    """A negative as far as the positive is not semi-hard, one at positive + alpha is, and its hinge is 0."""
    x, labels = batch(regime, torch.float64)
    ours = make("triplet", alpha=ALPHA, reduction=reduction)(x, labels, positive=positive, negative=negative)
    counts = select(x, labels, positive=positive, negative=negative, alpha=torch.full((4,), ALPHA)).triplets()
    margin = make("margin", alpha=0.25, beta=0.5, reduction=reduction)
    of_pairs = select(x, labels, positive=positive, negative=negative, alpha=torch.full((4,), 0.25)).triplet_counts()
    for r in range(len(x)):
        d = (x[r] - x[r].mT).abs().tolist()
        found = triplets(x[r], labels[r], positive, negative)
        terms = [max(d[a][p] - d[a][k] + ALPHA, 0.0) for a, p, k in found]
        divisor = {"mean": len(terms), "avg_nonzero": sum(t > 0 for t in terms)}[reduction]
        assert float(ours[r]) == pytest.approx(sum(terms) / max(divisor, 1), abs=1e-12)
        assert int(counts[r]) == len(found)
        assert int(of_pairs[0][r].sum()) == int(of_pairs[1][r].sum())
        if negative == "semihard_all":
            continue
        terms = [max(d[a][p] - 0.25, 0.0) for a, p, _ in found]
        terms += [max(0.75 - d[a][k], 0.0) for a, _, k in found]
        divisor = {"mean": len(terms), "avg_nonzero": sum(t > 0 for t in terms)}[reduction]
        value = margin(x, labels, positive=positive, negative=negative)[r]
        assert float(value) == pytest.approx(sum(terms) / max(divisor, 1), abs=1e-12)


def test_the_extremes_of_a_collapsed_row() -> None:
    """All distances 0, three of six samples allowed: the first that is allowed."""
    row, mask = torch.zeros(6), torch.tensor([False, False, True, False, True, True])
    assert nearest(row, mask).index.item() == farthest(row, mask).index.item() == 2


def test_a_positive_at_the_limit_is_within_it() -> None:
    x, labels = torch.tensor([[[0.0], [0.25], [1.0]]]), torch.tensor([[0, 0, 0]])
    within, below = (
        select(x, labels, positive=f"easy_within:{limit}", negative="all").pos_mask.flatten().tolist()
        for limit in (0.25, 0.2499)
    )
    assert (within, below) == ([True, True, False], [False, False, False])


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_active_counts_take_the_right_side_of_a_tie(inclusive: bool, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    d = torch.randint(0, 8, (4, 12, 12), generator=generator).to(dtype) / 4
    pos = torch.rand(4, 12, 12, generator=generator) < 0.4
    neg = ~pos & (torch.rand(4, 12, 12, generator=generator) < 0.8)
    alpha = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=dtype)
    of_pos, of_neg = active_counts(Tuples(d, d.unsqueeze(2), pos, neg.unsqueeze(2)), alpha, inclusive=inclusive)
    gap = (d + alpha.view(-1, 1, 1)).unsqueeze(3) - d.unsqueeze(2)
    active = (gap >= 0 if inclusive else gap > 0) & pos.unsqueeze(3) & neg.unsqueeze(2)
    assert torch.equal(of_pos.long(), active.sum(3)) and torch.equal(of_neg.squeeze(2).long(), active.sum(2))


def test_a_draw_that_rounds_up_to_the_total_takes_the_last_column_with_weight() -> None:
    """The least number above 0 times .9 is that number again."""
    weights = torch.tensor([[[0.0, 0.0, 1e-45, 0.0], [0.0, 1e-45, 0.0, 0.0]]])
    assert draw(weights, torch.full((1, 2, 1), 0.9)).index.flatten().tolist() == [2, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("u", [0.0, JUST_BELOW_ONE])
def test_the_ends_of_the_unit_interval_draw_negatives_of_other_classes(u: float, dtype: torch.dtype) -> None:
    """First and last samples of a batch are of an anchor's own class: what runs over an end would be one of them."""

    class Constant:
        def uniform(self, purpose: str, like: Tensor, shape: tuple[int, ...]) -> Tensor:
            return torch.full(shape, u, dtype=like.dtype)

    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(400, 12, 5, generator=generator, dtype=dtype), dim=-1)
    labels = torch.tensor([1, 0, 2, 2, 1, 2, 1, 2, 1, 0, 0, 1]).expand(400, -1)
    others = distances.pairwise(x).masked_fill(labels.unsqueeze(2) == labels.unsqueeze(1), torch.inf)
    for negative in ("distance_weighted", "random"):
        tuples = select(x, labels, positive="easy", negative=negative, generator=Constant())
        assert ((tuples.negative.flatten(2) - others).abs().amin(-1) < 1e-6).all(), negative


@pytest.mark.parametrize(("positive", "negative"), [("random", "random"), ("random", "all"), ("all", "random")])
def test_random_choices_are_other_samples_of_the_right_class(positive: str, negative: str) -> None:
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    x = torch.tensor([1.0, 2, 4, 8, 16, 32]).view(1, 6, 1).expand(200, -1, -1)  # all distances differ
    tuples = select(
        x, labels.expand(200, -1), positive=positive, negative=negative, generator=torch.Generator().manual_seed(0)
    )
    d, same = distances.pairwise(x[0]), labels[:, None] == labels
    for a in range(6):
        alike = {float(d[a, j]) for j in range(6) if same[a, j] and j != a}
        assert set(tuples.positive[:, a][tuples.pos_mask[:, a]].tolist()) == alike
        assert set(tuples.negative[:, a][tuples.neg_mask[:, a]].tolist()) == set(d[a][~same[a]].tolist())


@pytest.mark.parametrize(("positive", "negative"), [("semihard", "hard"), ("easy", "semihard"), ("all", "semihard")])
def test_half_a_tuple_is_no_choice(positive: str, negative: str) -> None:
    """Where the side that chooses last finds nothing, a loss on pairs has no pair of the other side either."""
    x, labels = torch.tensor([[[0.0], [5.0], [1.0], [6.0]]]), torch.tensor([[0, 0, 1, 1]])
    tuples = select(x, labels, positive=positive, negative=negative)
    # Mates are 5 apart, the nearest of the other class 1: no positive is nearer; a negative is farther for the ends only.
    whole = [False] * 4 if positive == "semihard" else [True, False, False, True]
    assert tuples.pos_mask.any(-1).flatten().tolist() == tuples.neg_mask.flatten(2).any(-1).flatten().tolist() == whole


@pytest.mark.parametrize("positive", ["all", "k_easy:2", "k_easy:30"])
@pytest.mark.parametrize("negative", ["semihard", "random"])
def test_losses_on_pairs_take_one_negative_for_each_positive(positive: str, negative: str) -> None:
    """Not one for each slot of the batch: the anchor itself and samples of other classes are no positives."""
    labels = torch.tensor([[0, 0, 0, 1, 1, 2]])
    x = torch.tensor([0.0, 1, 3, 3.5, 2, 7]).view(1, 6, 1)
    tuples = select(x, labels, positive=positive, negative=negative, generator=torch.Generator().manual_seed(0))
    mates = [2, 2, 2, 1, 1, 0]
    assert tuples.pos_mask.sum(2).flatten().tolist() == tuples.neg_mask.sum((2, 3)).flatten().tolist() == mates
    if negative == "semihard":
        pairs = triplets(x[0], labels[0], "all", "semihard")
        d = (x[0] - x[0].mT).abs().tolist()
        assert sorted(tuples.negative[tuples.neg_mask].tolist()) == sorted(d[a][k] for a, _, k in pairs)
        value = make("contrastive", alpha=4.0, reduction="sum")(x, labels, positive=positive, negative=negative)
        assert float(value) == pytest.approx(sum(d[a][p] + max(4 - d[a][k], 0) for a, p, k in pairs))


def test_one_near_pair_leaves_the_other_anchors_their_weights() -> None:
    """In 512 dimensions a maximum over all rows would underflow every row but two; and draws would go to the first columns."""
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(1, 64, 512, generator=generator), dim=-1)
    x[0, 1] = torch.nn.functional.normalize(x[0, 0] + 1e-3 * x[0, 1], dim=-1)
    labels = torch.arange(64)[None] % 8
    tuples = select(x, labels, positive="easy", negative="distance_weighted", generator=generator)
    assert tuples.neg_mask.all() and torch.isfinite(tuples.negative).all()
    assert (tuples.negative.flatten()[2:] > 1.2).all() and (tuples.negative.flatten()[:2] < 0.01).all()


def test_far_negatives_are_drawn_evenly_and_near_ones_by_their_density() -> None:
    """Weights of two negatives at distances 1 and 0.7 in three dimensions, (2 - m) log D: 1 to 1 / 0.7; beyond 1.4: even."""
    angle = torch.tensor([0.0, 2 * math.asin(0.5), 2 * math.asin(0.35), 3.0])
    near = torch.stack([angle.cos(), angle.sin(), torch.zeros(4)], -1)[:3]  # distances 1 and 0.7 from the first
    far = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [-0.9, math.sqrt(0.19), 0.0]])
    for x, share in ((near, 1 / (1 + 1 / 0.7)), (far, 0.5)):
        labels = torch.tensor([0, 1, 2, 0])
        points = torch.cat([x, x[:1]])  # the fourth sample is the first one's positive
        draws = 20_000
        tuples = select(
            points.expand(draws, -1, -1), labels.expand(draws, -1), positive="easy", negative="distance_weighted",
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        first = (tuples.negative[:, 0].flatten() - (x[1] - x[0]).norm()).abs() < 1e-5
        assert float(first.float().mean()) == pytest.approx(share, abs=4 * 0.5 / draws**0.5)
