"""Noise-robust baselines as weights on a loss's tuples: which tuples count, and how much.

A weighting looks at the value of every tuple (an (anchor, positive, negative), an (anchor, positive), an anchor, or for the
softmax family a (sample, class) pair whose value is - log p) and gives it a weight without a gradient.
"""

from __future__ import annotations

import abc
from typing import Any

import torch
from torch import Tensor

from sim.catalogue import WEIGHTINGS
from sim.errors import InvalidInput, number, takes


class Weighting(abc.ABC):
    """Base of the weightings.

    Examples
    --------
    >>> class Bounded(Weighting):
    ...     def weights(self, terms, mask, progress):
    ...         return (mask & (terms <= 2)).to(terms.dtype)
    >>> Bounded().weights(torch.tensor([[1.0, 3.0]]), torch.tensor([[True, True]]), 0.0).tolist()
    [[1.0, 0.0]]
    """

    of_classes = False
    """Whether it needs (sample, class) pairs on the last two axes: the softmax family."""

    twins = False
    """Whether the second half of the runs are twins of the first half: same data, another initialisation."""

    transition: Tensor | None = None
    """P(noisy label | class) of each run, shape (R, t, t); given to `make`."""

    @abc.abstractmethod
    def weights(self, terms: Tensor, mask: Tensor, progress: float) -> Tensor:
        """Weights of R runs' tuples.

        Parameters
        ----------
        terms : Tensor, shape (R, ...)
            Values, without a gradient.
        mask : Tensor, bool, shape (R, ...)
            Which tuples there are; for the softmax family, each sample's own label.
        progress : float
            Share of the training that is over, in [0, 1).

        Returns
        -------
        Tensor, shape (R, ...), dtype of ``terms``
        """


def make(name: str, *, transition: Tensor | None = None, **params: Any) -> Weighting:
    """Build a weighting.

    Parameters
    ----------
    name : str
        A name in `sim.catalogue.WEIGHTINGS`.
    transition : Tensor, shape (R, t, t), optional
        P(noisy label | class) of each run, for those that correct by it.
    **params
        What the weighting takes.

    Raises
    ------
    InvalidInput
        For an unknown name or parameter, or a value out of range.

    Examples
    --------
    >>> make("trimmed", keep=0.5).weights(torch.tensor([[3.0, 1.0]]), torch.tensor([[True, True]]), 0.0).tolist()
    [[0.0, 1.0]]
    """
    takes("robust.params", WEIGHTINGS[name], params)
    weighting = WEIGHTINGS[name](**params)
    weighting.transition = transition
    return weighting


def smallest(terms: Tensor, mask: Tensor, fraction: float) -> Tensor:
    """1 for the ``fraction`` of a run's tuples (rounded up) with the smallest values, 0 for the others.

    Examples
    --------
    >>> smallest(torch.tensor([[0.3, 0.1, 0.2]]), torch.tensor([[True, True, True]]), 0.5).tolist()
    [[0.0, 1.0, 1.0]]
    """
    values = terms.masked_fill(~mask, torch.inf).flatten(1)  # (R, tuples)
    kept = (mask.flatten(1).sum(1, keepdim=True) * fraction).ceil().long()  # (R, 1)
    rank = values.argsort(dim=1, stable=True).argsort(dim=1)  # (R, tuples)
    chosen: Tensor = (rank < kept).view(terms.shape) & mask  # (R, ...)
    return chosen.to(terms.dtype)


def _share(name: str, value: float) -> float:
    return number(f"robust.params.{name}", value, "a number, 0 < it <= 1", lambda v: 0 < v <= 1)


@WEIGHTINGS.register("trimmed")
class Trimmed(Weighting):
    """Only the easiest tuples count (Shen & Sanghavi 2019, iterative trimmed loss; here over a batch).

    Parameters
    ----------
    keep : float
        Share of the tuples that count, in (0, 1].

    Examples
    --------
    >>> terms, mask = torch.tensor([[3.0, 1.0, 2.0, 9.0]]), torch.tensor([[True, True, True, False]])
    >>> Trimmed(keep=0.6).weights(terms, mask, progress=0.0).tolist()  # two of three
    [[0.0, 1.0, 1.0, 0.0]]
    """

    def __init__(self, *, keep: float = 0.8) -> None:
        self.keep = _share("keep", keep)

    def weights(self, terms: Tensor, mask: Tensor, progress: float) -> Tensor:
        """See `Weighting.weights`."""
        return smallest(terms, mask, self.keep)


@WEIGHTINGS.register("curriculum")
class Curriculum(Weighting):
    """Small-loss curriculum: the share of tuples that count falls from 1 to ``keep`` (MentorNet, Jiang et al. 2018; ramp of
    Han et al. 2018).

    Parameters
    ----------
    keep : float
        Final share, in (0, 1].
    ramp : float
        Share of the training over which it falls linearly, in (0, 1].

    Examples
    --------
    >>> terms, mask = torch.arange(8.0).unsqueeze(0), torch.ones(1, 8, dtype=torch.bool)
    >>> [int(Curriculum(keep=0.5, ramp=0.5).weights(terms, mask, p).sum()) for p in (0.0, 0.25, 0.5, 0.9)]
    [8, 6, 4, 4]
    """

    def __init__(self, *, keep: float = 0.8, ramp: float = 0.5) -> None:
        self.keep, self.ramp = _share("keep", keep), _share("ramp", ramp)

    def weights(self, terms: Tensor, mask: Tensor, progress: float) -> Tensor:
        """See `Weighting.weights`."""
        return smallest(terms, mask, 1 - (1 - self.keep) * min(1.0, progress / self.ramp))


@WEIGHTINGS.register("bootstrap")
class Bootstrap(Weighting):
    """Labels mixed with the net's own predictions: beta y + (1 - beta) p (Reed et al. 2015, eq. 6, soft).

    The gradient goes through log p only, as in the paper's cross entropy with p held fixed.

    Parameters
    ----------
    beta : float
        Trust in the labels, in (0, 1].

    Examples
    --------
    One sample of class 0 that the net finds as likely of class 1: values are - log p.

    >>> terms, own = -torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[True, False]]])
    >>> [round(w, 2) for w in Bootstrap(beta=0.8).weights(terms, own, progress=0.0).flatten().tolist()]
    [0.9, 0.1]
    """

    of_classes = True

    def __init__(self, *, beta: float = 0.95) -> None:
        self.beta = _share("beta", beta)

    def weights(self, terms: Tensor, mask: Tensor, progress: float) -> Tensor:
        """See `Weighting.weights`."""
        return self.beta * mask + (1 - self.beta) * (-terms).exp()


@WEIGHTINGS.register("forward")
class Forward(Weighting):
    """Forward correction by the run's own transition matrix T (Patrini et al. 2017): - log sum_c p_c T[c, y].

    Its gradient is that of - sum_c r_c log p_c with r_c = p_c T[c, y] / sum_k p_k T[k, y] held fixed, the posterior of
    the true class: these are the weights. (The value reported is this sum's, not the corrected loss's.)

    Examples
    --------
    One sample labelled 0; the net finds both classes as likely, one label in ten is wrong.

    >>> corrected = make("forward", transition=torch.tensor([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> terms, own = -torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[True, False]]])
    >>> [round(w, 2) for w in corrected.weights(terms, own, progress=0.0).flatten().tolist()]
    [0.9, 0.1]
    """

    of_classes = True

    def weights(self, terms: Tensor, mask: Tensor, progress: float) -> Tensor:
        """See `Weighting.weights`."""
        if self.transition is None:
            raise InvalidInput("transition", None, "the runs' transition matrices (R, t, t)")
        likelihood = mask.to(terms.dtype) @ self.transition.to(terms).mT  # (R, B, t)
        # Scaled by the largest probability: one underflowed to 0 everywhere would leave 0 / 0.
        joint = (-terms + terms.amin(-1, keepdim=True)).exp() * likelihood  # (R, B, t)
        total = joint.sum(-1, keepdim=True)  # (R, B, 1)
        return torch.where(total > 0, joint / total.clamp_min(torch.finfo(terms.dtype).tiny), mask.to(terms.dtype))


@WEIGHTINGS.register("disagreement")
class Disagreement(Weighting):
    """Update by disagreement: only samples on which a net and its twin predict different classes count
    (Malach & Shalev-Shwartz 2017).

    Parameters
    ----------
    warm_up : float
        Share of the training before which all samples count, in [0, 1).

    Examples
    --------
    A run and its twin, two samples of class 0: on the first they agree, on the second they don't.

    >>> terms = torch.tensor([[[0.1, 3.0], [0.1, 3.0]], [[0.2, 2.0], [2.0, 0.2]]])
    >>> own = torch.tensor([True, False]).expand(2, 2, 2)
    >>> Disagreement().weights(terms, own, progress=0.0)[0].tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """

    of_classes = True
    twins = True

    def __init__(self, *, warm_up: float = 0.0) -> None:
        self.warm_up = number("robust.params.warm_up", warm_up, "a number, 0 <= it < 1", lambda v: 0 <= v < 1)

    def weights(self, terms: Tensor, mask: Tensor, progress: float) -> Tensor:
        """See `Weighting.weights`; the second half of the runs are the twins."""
        if progress < self.warm_up:
            return mask.to(terms.dtype)
        first, second = terms.argmin(-1).chunk(2)  # (R / 2, B) each
        differ = (first != second).repeat(2, 1)  # (R, B)
        return (mask & differ.unsqueeze(-1)).to(terms.dtype)
