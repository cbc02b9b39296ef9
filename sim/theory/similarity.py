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

from sim.distances import floating
from sim.errors import InvalidInput, choice, number, within_memory
from sim.theory.expected import POSITIVES, check_distances, check_labels
from sim.theory.integrals import all_positives, easiest, easy_positives, log_of_sum

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
    n, wide = len(labels), s.double()
    p = torch.from_numpy(matrix[labels]).to(wide)  # (n, t)
    if loss in OF_CLASSES:
        if positive != "all":
            raise InvalidInput("positive", positive, f"all with {loss}, which chooses no pairs")
        terms = -(p * (wide / given.get("temperature", 1.0)).log_softmax(-1)).sum(-1)  # (..., n)
    elif n == 1:
        terms = 0.0 * wide.sum(-1)  # nobody to be paired with
    elif loss == "lifted":
        terms = _lifted(wide, p, given["alpha"], positive)
    elif loss == "multi_similarity":
        terms = _multi_similarity(wide, p, positive, given["alpha"], given["beta"], given["base"])
    elif loss == "supcon" and positive == "all":
        terms = _supcon(wide / given["temperature"], labels, matrix)
    else:
        terms = _Rows.apply(wide / given["temperature"], p, positive)  # type: ignore[no-untyped-call]
    total: Tensor = terms.sum(-1)
    return (total / n if reduction == "mean" else total).to(s.dtype)


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
    try:
        s = similarities if isinstance(similarities, Tensor) else torch.as_tensor(np.asarray(similarities))
    except (TypeError, ValueError, RuntimeError):
        raise InvalidInput("similarities", type(similarities), f"an array of numbers (..., {n}, {width})") from None
    if s.dim() < 2 or s.shape[-2:] != (n, width):
        raise InvalidInput("similarities", tuple(s.shape), f"(..., {n}, {width})")
    s = floating("similarities", s) if s.is_floating_point() or s.is_complex() or s.dtype == torch.bool else s.double()
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


def _nearest(s: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Similarities of the others, the largest first (..., n, n - 1), and P(each is the anchor's easy positive)."""
    n = s.shape[-1]
    own = torch.eye(n, dtype=torch.bool, device=s.device)
    near, order = s.masked_fill(own, -torch.inf).sort(dim=-1, descending=True, stable=True)
    near, order = near[..., :-1], order[..., :-1]
    return near, sum((p[:, y, None] * easiest(p[:, y][order]) for y in range(p.shape[1])), torch.zeros_like(near))


def _multi_similarity(s: Tensor, p: Tensor, positive: str, alpha: float, beta: float, base: float) -> Tensor:
    negatives = _Rows.apply(beta * (s - base), p, positive, (1 - p).T.contiguous())  # type: ignore[no-untyped-call]
    if positive == "all":
        positives = _Rows.apply(-alpha * (s - base), p, positive, p.T.contiguous())  # type: ignore[no-untyped-call]
    else:
        near, rho = _nearest(s, p)
        positives = (rho * torch.nn.functional.softplus(-alpha * (near - base))).sum(-1)
    found: Tensor = positives / alpha + negatives / beta
    return found


def _supcon(x: Tensor, labels: np.ndarray, matrix: np.ndarray) -> Tensor:
    n = len(labels)
    own = torch.eye(n, dtype=torch.bool, device=x.device)
    use = torch.from_numpy(positive_shares(np.bincount(labels, minlength=len(matrix)), matrix)[labels][:, labels])
    use = use.to(x).masked_fill(own, 0.0)  # (n, n)
    return use.sum(-1) * x.masked_fill(own, -torch.inf).logsumexp(-1) - (use * x).sum(-1)


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


def _lifted(d: Tensor, p: Tensor, alpha: float, positive: str) -> Tensor:
    n = d.shape[-1]
    own = torch.eye(n, dtype=torch.bool, device=d.device)
    with torch.no_grad():
        nearest, farthest = d.masked_fill(own, torch.inf).min(-1).values, d.masked_fill(own, -torch.inf).max(-1).values
        if n > 1 and bool((nearest + alpha < farthest).any()):
            worst = float((farthest - nearest).max())
            allowed = (
                f"at least {worst:.6g}, the most by which one distance of a sample exceeds another: else the hinge acts"
            )
            raise InvalidInput("alpha", alpha, allowed)
    others = torch.where(own, 1.0, p.T[:, None, :])  # (t, 1 or n, n): P(k has label y), 1 for the anchor itself
    all_positive = (p.T * others.prod(-1)).T  # (n, t)
    none_positive = (p.T * torch.where(own, 1.0, 1 - p.T[:, None, :]).prod(-1)).T  # (n, t)
    x, push = d, alpha - d
    pushes = _Rows.apply(push, p, positive, (1 - p).T.contiguous(), False)  # type: ignore[no-untyped-call]
    # A labelling without a negative, or without a positive, has no term: take its logarithm of the other side away.
    without_positive = none_positive.sum(-1) * push.masked_fill(own, -torch.inf).logsumexp(-1)
    if positive == "all":
        pulls = _Rows.apply(x, p, positive, p.T.contiguous(), False)  # type: ignore[no-untyped-call]
        without_negative = all_positive.sum(-1) * x.masked_fill(own, -torch.inf).logsumexp(-1)
    else:
        near, rho = _nearest(-x, p)
        pulls = -(rho * near).sum(-1)
        without_negative = -all_positive.sum(-1) * near[..., 0]
    found: Tensor = pulls + pushes - without_positive - without_negative
    return found
