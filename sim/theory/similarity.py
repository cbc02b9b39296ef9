"""Exact expected losses of similarities under label noise: the losses of `sim.losses` that put a positive against many negatives.

Labels are independent with P(Y_i = y) = T[c(i), y], as in `sim.theory.expected`. The expectation of a logarithm of a sum over random negatives is a
one-dimensional integral (`sim.theory.integrals`); SupCon's denominator isn't random, its weights are sums over binomials; the softmax family is
linear in the label.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor
from torch.autograd.function import once_differentiable

from sim.errors import InvalidInput, choice, number, within_memory
from sim.theory.expected import POSITIVES, as_matrices, check_distances, check_labels, easy_probabilities
from sim.theory.integrals import all_positives, easy_positives, log_of_sum

DEFAULTS: dict[str, dict[str, Any]] = {
    "npair": {"temperature": 1.0, "cosine": False},
    "ntxent": {"temperature": 0.07, "cosine": True},
    "supcon": {"temperature": 0.1, "cosine": True},
    "multi_similarity": {"alpha": 2.0, "beta": 50.0, "base": 0.5, "cosine": True},
    "lifted": {"alpha": 1.0},
    "softmax": {},
    "normalized_softmax": {"temperature": 0.05},
}
"""Losses, and the parameters of each with the defaults of `sim.losses`."""

OF_CLASSES = ("softmax", "normalized_softmax")
"""Losses whose similarities are those to class vectors, (..., n, t)."""

OF_ALL_SAMPLES = ("multi_similarity", *OF_CLASSES)
"""Losses with a term for every sample under every labelling, so that their mean is their sum over n."""

COSINE_TOLERANCE = 1e-4
"""What rounding may put beyond 1."""

MATRICES_HELD = 6
"""Matrices of float64 of the size of ``similarities`` that forward and backward hold at the most."""


def expected_similarity_loss(
    similarities: Any,
    classes: Any,
    transition: Any,
    *,
    loss: str,
    positive: str = "all",
    reduction: str = "sum",
    **params: Any,
) -> Tensor:
    """Expected loss over all labellings, exact up to `sim.theory.nodes.error_bound` per expected term.

    - npair, ntxent: a term for each (anchor, positive), log(1 + sum over negatives k of exp((s_ik - s_ij) / temperature)); easy: for the most
      similar positive only
    - supcon: a term for each anchor with a positive; easy: equal to ntxent
    - multi_similarity: a term for each sample; easy: the most similar positive only
    - lifted: a term for each anchor with a positive and a negative, of distances, without its hinge: so only where that never acts
    - softmax, normalized_softmax: cross entropy of logits, or of cosines / temperature, to class vectors

    Parameters
    ----------
    similarities : Tensor or array, shape (..., n, n); (..., n, t) for the softmax family
        Cosines or dot products; for ``lifted`` distances. The diagonal isn't read. Differentiable, once. Computed in float64.
    classes : array, shape (n,), integers
        True classes.
    transition : array, shape (t, t)
        Row-stochastic; T[c, y] = P(Y = y | class c).
    loss : str
        A key of `DEFAULTS`.
    positive : str
        ``all`` or ``easy``. Ties don't change the value; the gradient then belongs to the lower index.
    reduction : str
        ``sum``; ``mean`` where every sample has a term, whatever the labels: multi_similarity and the softmax family. Other means divide by
        random numbers of terms: estimate them (`sim.theory.batch`).
    **params
        As in `sim.losses`: ``temperature``, ``alpha``, ``beta``, ``base``; ``cosine`` = False lifts the check that similarities are in [-1, 1].

    Returns
    -------
    Tensor, shape ``similarities.shape[:-2]``, dtype of ``similarities`` (float64 for what isn't a tensor)

    Raises
    ------
    InvalidInput

    Examples
    --------
    Two samples of one class and one of another, without noise: two terms, log(1 + e^(0 - 0.8)) and log(1 + e^(0.6 - 0.8)).

    >>> similarities = [[1.0, 0.8, 0.0], [0.8, 1.0, 0.6], [0.0, 0.6, 1.0]]
    >>> round(expected_similarity_loss(similarities, [0, 0, 1], np.eye(2), loss="npair").item(), 6)
    0.96924
    >>> noisy = [[0.9, 0.1], [0.2, 0.8]]
    >>> round(expected_similarity_loss(similarities, [0, 0, 1], noisy, loss="npair", positive="easy").item(), 6)
    0.939985
    """
    choice("loss", loss, DEFAULTS)
    choice("positive", positive, POSITIVES)
    choice("reduction", reduction, ("sum", "mean") if loss in OF_ALL_SAMPLES else ("sum",))
    given = checked_parameters(loss, params)
    labels, matrix = check_labels(classes, transition)
    s = _checked(similarities, labels, matrix, loss, given)
    if loss in OF_CLASSES and positive != "all":
        raise InvalidInput("positive", positive, f"all with {loss}, which chooses no pairs")
    wide = s.double()
    total: Tensor = Expectation(loss, positive, labels, matrix, given, wide.device).terms(wide).sum(-1)
    return (total / len(labels) if reduction == "mean" else total).to(s.dtype)


class Expectation:
    """A loss with the labels that it is expected over, prepared: for who asks many times. Arguments: `expected_similarity_loss`, checked.

    Examples
    --------
    >>> prepared = Expectation("ntxent", "all", np.array([0, 0, 1]), np.eye(2), {"temperature": 1.0})
    >>> prepared.terms(torch.tensor([[1.0, 0.8, 0.0], [0.8, 1.0, 0.6], [0.0, 0.6, 1.0]], dtype=torch.float64)).numpy().round(4).tolist()
    [0.3711, 0.5981, 0.0]
    """

    def __init__(
        self,
        loss: str,
        positive: str,
        labels: np.ndarray,
        matrix: np.ndarray,
        given: dict[str, Any],
        device: str | torch.device = "cpu",
    ) -> None:
        self.loss, self.positive, self.given = loss, positive, given
        self.p = torch.from_numpy(matrix[labels]).to(device)  # (n, t)
        self.own = torch.eye(len(labels), dtype=torch.bool, device=device)
        if loss == "supcon" and positive == "all":
            shares = positive_shares(np.bincount(labels, minlength=len(matrix)), matrix)[labels][:, labels]
            self.use = torch.from_numpy(shares).to(device).masked_fill(self.own, 0.0)  # (n, n)

    def terms(self, s: Tensor) -> Tensor:
        """The expectations of the anchors' terms (..., n), float64, of similarities (..., n, n or t) in float64."""
        given = self.given
        if self.loss in OF_CLASSES:
            found: Tensor = -(self.p * (s / given.get("temperature", 1.0)).log_softmax(-1)).sum(-1)
        elif len(self.p) == 1:
            found = 0.0 * s.sum(-1)  # nobody to be paired with
        elif self.loss == "lifted":
            found = self._lifted(s, given["alpha"])
        elif self.loss == "multi_similarity":
            found = self._multi_similarity(s, given["alpha"], given["beta"], given["base"])
        elif self.loss == "supcon" and self.positive == "all":
            x = s / given["temperature"]
            others = x.masked_fill(self.own, -torch.inf)
            found = self.use.sum(-1) * others.logsumexp(-1) - (self.use * x).sum(-1)
        else:
            found = _Rows.apply(s / given["temperature"], self.p, self.positive)  # type: ignore[no-untyped-call]
        return found

    def _log_of_sum(self, x: Tensor, chances: Tensor, one: bool) -> Tensor:
        found: Tensor = _Rows.apply(x, self.p, self.positive, chances.T.contiguous(), one)  # type: ignore[no-untyped-call]
        return found

    def _easy(self, distances: Tensor) -> Tensor:
        """P(each is the anchor's easy positive), shape of ``distances`` (..., n, n), or of what grows as they do."""
        n = len(self.p)
        return easy_probabilities(distances.detach().reshape(-1, n), self.p).view(distances.shape)

    def _multi_similarity(self, s: Tensor, alpha: float, beta: float, base: float) -> Tensor:
        negatives = self._log_of_sum(beta * (s - base), 1 - self.p, True)
        if self.positive == "all":
            positives = self._log_of_sum(-alpha * (s - base), self.p, True)
        else:
            positives = (self._easy(-s) * torch.nn.functional.softplus(-alpha * (s - base))).sum(-1)
        return positives / alpha + negatives / beta

    def _lifted(self, d: Tensor, alpha: float) -> Tensor:
        with torch.no_grad():
            nearest = d.masked_fill(self.own, torch.inf).min(-1).values
            worst = float((d.masked_fill(self.own, -torch.inf).max(-1).values - nearest).max())
            if worst > alpha:
                allowed = f"at least {worst:.6g}, the most by which one distance of a sample exceeds another: else the hinge acts"
                raise InvalidInput("alpha", alpha, allowed)
        of_label = self.p.T[:, None, :]  # (t, 1, n): P(k has label y)
        all_positive = (self.p.T * of_label.where(~self.own, 1.0).prod(-1)).sum(0)  # (n,)
        none_positive = (self.p.T * (1 - of_label).where(~self.own, 1.0).prod(-1)).sum(0)  # (n,)
        push = alpha - d
        found = self._log_of_sum(push, 1 - self.p, False)
        # A labelling without a positive, or without a negative, has no term: take its logarithm of the other side away.
        found = found - none_positive * push.masked_fill(self.own, -torch.inf).logsumexp(-1)
        if self.positive == "all":
            found = found + self._log_of_sum(d, self.p, False)
            return found - all_positive * d.masked_fill(self.own, -torch.inf).logsumexp(-1)
        return found + (self._easy(d) * d).sum(-1) - all_positive * d.masked_fill(self.own, torch.inf).min(-1).values


def checked_parameters(loss: str, params: dict[str, Any]) -> dict[str, Any]:
    """All parameters of a loss, checked.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> checked_parameters("ntxent", {"temperature": 1})
    {'temperature': 1.0, 'cosine': True}
    """
    found = dict(DEFAULTS[loss])
    for name, value in params.items():
        if name not in found:
            raise InvalidInput(name, value, f"nothing: {loss} takes " + (", ".join(found) or "no parameter"))
        if name == "cosine":
            choice(name, value, (True, False))
            found[name] = bool(value)
        elif name == "base":
            found[name] = number(name, value, "a finite number", lambda _: True)
        else:
            found[name] = number(name, value, "a finite number > 0", lambda v: v > 0)
    return found


def _checked(similarities: Any, labels: np.ndarray, matrix: np.ndarray, loss: str, given: dict[str, Any]) -> Tensor:
    n, width = len(labels), len(matrix) if loss in OF_CLASSES else len(labels)
    if loss == "lifted":
        return check_distances(similarities, n)
    s = as_matrices("similarities", similarities, (n, width), "")
    if s.device.type == "cpu":
        within_memory("n", n, 8 * MATRICES_HELD * s.numel())
    with torch.no_grad():
        if not torch.isfinite(s).all():
            raise InvalidInput("similarities", "NaN or infinity", "finite numbers")
        if (given.get("cosine") or loss == "normalized_softmax") and float(s.abs().max()) > 1 + COSINE_TOLERANCE:
            worst = float(s.flatten()[s.abs().argmax()])
            allowed = "cosines, -1 to 1" + ("; or cosine=False for dot products" if "cosine" in given else "")
            raise InvalidInput("similarities", worst, allowed)
    return s


class _Rows(torch.autograd.Function):
    """x (..., n, n) -> expectations of the anchors' terms (..., n): for the pair losses by name, else of a logarithm of a sum."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, p: Tensor, positive: str, chances: Tensor | None = None, one: bool = True
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (... n, n)
        if chances is not None:
            value, slope = log_of_sum(rows, chances, p, one)
        else:
            value, slope = (all_positives if positive == "all" else easy_positives)(rows, p)
        ctx.save_for_backward(slope.view(x.shape))
        return value.view(x.shape[:-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return grads[0].unsqueeze(-1) * slope, None, None, None, None


def positive_shares(sizes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """E [1 / number of positives; j is one] for an anchor of class A and another sample j of class B, shape (t, t).

    The others with a label are a sum of binomials, one a class: all terms are positive, so nothing cancels.

    Parameters
    ----------
    sizes : ndarray, shape (t,), integers
        Samples of each class.
    matrix : ndarray, shape (t, t)

    Examples
    --------
    Without noise each of the two other samples of a class of three is half of the positives.

    >>> positive_shares(np.array([3, 2]), np.eye(2)).tolist()
    [[0.5, 0.0], [0.0, 1.0]]
    """
    t = len(matrix)
    found = np.zeros((t, t))
    for a in range(t):
        for b in range(t):
            rest = sizes - np.eye(t, dtype=np.int64)[a] - np.eye(t, dtype=np.int64)[b]
            if rest.min() < 0:
                continue
            for y in np.flatnonzero(matrix[a] * matrix[b]):
                count = np.ones(1)
                for c, k in enumerate(rest):
                    count = np.convolve(count, binom.pmf(np.arange(k + 1), k, matrix[c, y]))
                found[a, b] += matrix[a, y] * matrix[b, y] * (count / (1 + np.arange(len(count)))).sum()
    return found
