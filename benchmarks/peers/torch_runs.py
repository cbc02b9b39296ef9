"""PyTorch: a loop over single runs with pytorch-metric-learning, and stacked runs batched by hand or by `torch.func.vmap`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_metric_learning import distances, losses, miners, reducers
from torch import Tensor, nn

from benchmarks.peers.cases import (
    ALPHA,
    BASE,
    CUTOFF,
    NO_LOSS_FROM,
    RATE,
    SHARP_NEGATIVE,
    SHARP_POSITIVE,
    TEMPERATURE,
    Case,
    Epochs,
    Start,
)

FAR = torch.finfo(torch.float32).max


def _library(case: Case) -> tuple[Any, Any]:
    """Miner or None, and loss, of pytorch-metric-learning."""
    plain: Any = distances.LpDistance(normalize_embeddings=False)
    if case.loss == "supcon":
        return None, losses.SupConLoss(temperature=TEMPERATURE)
    if case.loss == "multi_similarity":
        return None, losses.MultiSimilarityLoss(alpha=SHARP_POSITIVE, beta=SHARP_NEGATIVE, base=BASE)
    if case.negative == "distance_weighted":
        miner = miners.DistanceWeightedMiner(cutoff=CUTOFF, nonzero_loss_cutoff=NO_LOSS_FROM)
        return miner, losses.TripletMarginLoss(margin=ALPHA)
    miner = None
    if case.negative != "all":
        miner = miners.BatchEasyHardMiner(pos_strategy=case.positive, neg_strategy=case.negative, distance=plain)
    return miner, losses.TripletMarginLoss(margin=ALPHA, distance=plain, reducer=reducers.AvgNonZeroReducer())


class Loop:
    """One run in the usual style: modules, a miner object, a loss object, Adam."""

    runs = 1

    def __init__(self, case: Case, start: Start) -> None:
        self.case, self.block = case, 1
        self.start = start.part(slice(0, 1))
        self.miner, self.loss = _library(case)
        self.restart()

    def restart(self) -> None:
        """See `Side`."""
        layers: list[nn.Module] = []
        for weight, bias in zip(self.start.parameters[::2], self.start.parameters[1::2], strict=True):
            linear = nn.Linear(*weight.shape[1:])
            with torch.no_grad():
                linear.weight.copy_(weight[0].T)
                linear.bias.copy_(bias[0, 0])
            layers += [linear, nn.ReLU()]
        self.net = nn.Sequential(*layers[:-1])
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=RATE)
        self.batches = Epochs(self.start.labels, self.case.batch // 2)

    def advance(self) -> None:
        """See `Side`."""
        index = self.batches.next()
        self.on_batch(index, self.start.labels.gather(1, index))

    def on_batch(self, index: Tensor, labels: Tensor) -> Tensor:
        """See `Peer`."""
        embeddings = self._embed(self.start.x[index[0]])
        tuples = self.miner(embeddings, labels[0]) if self.miner else None
        loss: Tensor = self.loss(embeddings, labels[0], tuples)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()[None]

    def _embed(self, x: Tensor) -> Tensor:
        e: Tensor = self.net(x)  # (B, 2)
        return F.normalize(e) if self.case.normalize else e

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """See `Peer`."""
        return self._embed(x)[None]


def _mean_of_active(gap: Tensor) -> Tensor:
    """Mean over the positive terms, (R, ...) -> (R,)."""
    terms = gap.clamp_min(0).flatten(1)
    return terms.sum(1) / (terms > 0).sum(1).clamp_min(1)


def _masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Positives and negatives of every anchor, (R, B, B)."""
    same = labels.unsqueeze(2) == labels.unsqueeze(1)
    return same & ~torch.eye(labels.shape[1], dtype=torch.bool), ~same


def _mined(case: Case, e: Tensor, labels: Tensor) -> Tensor:
    """One positive and one negative an anchor are chosen without gradient; two distances an anchor have one."""
    positives, negatives = _masks(labels)
    with torch.no_grad():
        d = (e.unsqueeze(2) - e.unsqueeze(1)).square().sum(-1)  # (R, B, B)
        if case.positive == "easy":
            d_ap, p = d.masked_fill(~positives, FAR).min(-1, keepdim=True)
        else:
            d_ap, p = d.masked_fill(~positives, -1.0).max(-1, keepdim=True)
        if case.negative == "semihard":
            negatives = negatives & (d > d_ap)
        d_an, n = d.masked_fill(~negatives, FAR).min(-1, keepdim=True)
        found = ((d_ap >= 0) & (d_ap < FAR) & (d_an < FAR)).squeeze(-1)
    to_p, to_n = (
        torch.linalg.vector_norm(e - e.gather(1, k.expand(-1, -1, e.shape[-1])), dim=-1) for k in (p, n)
    )  # (R, B)
    return _mean_of_active((to_p - to_n + ALPHA).where(found, 0.0))


def _distances(e: Tensor) -> Tensor:
    return torch.cdist(e, e, compute_mode="donot_use_mm_for_euclid_dist")


def _all_triplets(_: Case, e: Tensor, labels: Tensor) -> Tensor:
    positives, negatives = _masks(labels)
    d = _distances(e)
    gap = d.unsqueeze(3) - d.unsqueeze(2) + ALPHA  # (R, B, B, B)
    return _mean_of_active(gap * (positives.unsqueeze(3) & negatives.unsqueeze(2)))


def _distance_weighted(_: Case, e: Tensor, labels: Tensor) -> Tensor:
    """A negative for each positive pair, drawn with Wu et al.'s weights."""
    positives, negatives = _masks(labels)
    d = _distances(e)
    with torch.no_grad():
        clamped = d.clamp_min(CUTOFF)
        log_weight = (2 - e.shape[-1]) * clamped.log() - (e.shape[-1] - 3) / 2 * (1 - clamped.square() / 4).clamp_min(
            1e-8
        ).log()
        allowed = negatives & (d < NO_LOSS_FROM)
        log_weight = log_weight.masked_fill(~allowed, -FAR)
        weight = (log_weight - log_weight.amax(-1, keepdim=True)).exp() * allowed
        # An anchor without a negative so near draws from all of its negatives alike.
        weight = torch.where(allowed.any(-1, keepdim=True), weight, negatives.float())
        total = weight.cumsum(-1)  # (R, B, B)
        drawn = torch.searchsorted(total, torch.rand_like(d) * total[..., -1:], right=True).clamp_max(d.shape[-1] - 1)
    return _mean_of_active((d - d.gather(-1, drawn) + ALPHA) * (positives & negatives.any(-1, keepdim=True)))


def _supcon(_: Case, e: Tensor, labels: Tensor) -> Tensor:
    positives, _negatives = _masks(labels)
    s = e @ e.mT / TEMPERATURE
    others = s.masked_fill(torch.eye(s.shape[-1], dtype=torch.bool), -FAR)
    share = s - others.logsumexp(-1, keepdim=True)  # (R, B, B)
    count = positives.sum(-1)
    terms = -(share * positives).sum(-1) / count.clamp_min(1)  # (R, B)
    return terms.sum(1) / (count > 0).sum(1).clamp_min(1)


def _multi_similarity(_: Case, e: Tensor, labels: Tensor) -> Tensor:
    positives, negatives = _masks(labels)
    s = e @ e.mT - BASE
    near = (-SHARP_POSITIVE * s).masked_fill(~positives, -FAR).logsumexp(-1)
    far = (SHARP_NEGATIVE * s).masked_fill(~negatives, -FAR).logsumexp(-1)
    return (F.softplus(near) / SHARP_POSITIVE + F.softplus(far) / SHARP_NEGATIVE).mean(1)


def loss_of(case: Case) -> Callable[[Case, Tensor, Tensor], Tensor]:
    """Embeddings (R, B, 2) and labels (R, B) -> losses (R,)."""
    if case.loss != "triplet":
        return {"supcon": _supcon, "multi_similarity": _multi_similarity}[case.loss]
    return {"all": _all_triplets, "distance_weighted": _distance_weighted}.get(case.negative, _mined)


class _Together:
    """Some runs that advance together: stacked parameters, one fused Adam."""

    def __init__(self, case: Case, start: Start, transform: str) -> None:
        self.case, self.start = case, start
        self.parameters = [p.detach().clone().requires_grad_() for p in start.parameters]
        self.optimizer = torch.optim.Adam(self.parameters, lr=RATE, fused=True)
        self.batches = Epochs(start.labels, case.batch // 2)
        self.gradient = self._by_autograd
        if transform == "vmap":
            of_all = torch.func.vmap(torch.func.grad_and_value(self._of_one), randomness="different")
            self.gradient = lambda x, labels: of_all([p.detach().squeeze(1) for p in self.parameters], x, labels)

    def embed(self, x: Tensor) -> Tensor:
        """(R, B, 2) -> (R, B, 2)."""
        w1, b1, w2, b2, w3, b3 = self.parameters
        hidden = torch.baddbmm(b2, torch.baddbmm(b1, x, w1).relu(), w2).relu()
        e = torch.baddbmm(b3, hidden, w3)  # (R, B, 2)
        return F.normalize(e, dim=-1) if self.case.normalize else e

    def _by_autograd(self, x: Tensor, labels: Tensor) -> tuple[Any, Tensor]:
        values = loss_of(self.case)(self.case, self.embed(x), labels)
        return torch.autograd.grad(values.sum(), self.parameters), values

    def _of_one(self, parameters: list[Tensor], x: Tensor, labels: Tensor) -> Tensor:
        w1, b1, w2, b2, w3, b3 = parameters
        e = F.linear(F.linear(F.linear(x, w1.T, b1).relu(), w2.T, b2).relu(), w3.T, b3)  # (B, 2)
        e = F.normalize(e, dim=-1) if self.case.normalize else e
        return loss_of(self.case)(self.case, e[None], labels[None])[0]

    def on_batch(self, index: Tensor, labels: Tensor) -> Tensor:
        gradients, values = self.gradient(self.start.x[index], labels)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient.view_as(parameter)
        self.optimizer.step()
        return values.detach()

    def steps(self, count: int) -> None:
        for _ in range(count):
            index = self.batches.next()
            self.on_batch(index, self.start.labels.gather(1, index))


class Stacked:
    """R runs in one program, ``chunk`` of them at a time so that their arrays stay in the cache.

    Parameters
    ----------
    transform : str
        ``batched``: the runs are an axis of every operation, written by hand; ``vmap``: a run's program by `torch.func`.
    """

    def __init__(self, case: Case, start: Start, *, transform: str, chunk: int) -> None:
        self.case, self.start, self.transform = case, start, transform
        self.runs, self.block = len(start.labels), min(8, case.block)
        self.slices = [slice(first, first + chunk) for first in range(0, self.runs, chunk)]
        self.restart()

    def restart(self) -> None:
        """See `Side`."""
        self.parts = [_Together(self.case, self.start.part(runs), self.transform) for runs in self.slices]

    def advance(self) -> None:
        """See `Side`."""
        for part in self.parts:
            part.steps(self.block)

    def on_batch(self, index: Tensor, labels: Tensor) -> Tensor:
        """See `Peer`."""
        return torch.cat(
            [part.on_batch(index[runs], labels[runs]) for part, runs in zip(self.parts, self.slices, strict=True)]
        )

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """See `Peer`."""
        return torch.cat([part.embed(x.expand(len(part.parameters[0]), -1, -1)) for part in self.parts])
