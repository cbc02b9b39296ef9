"""Exact expected losses under label noise.

Labels Y_i are independent with P(Y_i = y) = T[c(i), y]. An expected loss is the exact expectation over all labellings of a
sum over DISTINCT indices; D_ij are the distances of the embedding.

How it is fast: for a fixed anchor i and label y the weight of a triplet is a product of a weight on j and one on k, and a
hinge is linear where it is active. So the sum over triplets is a sum over pairs, sum_ij W_ij D_ij + constant, where W comes
from sorting each row of D once, prefix sums of the weights, and `searchsorted`: O(t n^2 log n) time, O(n^2) memory. W is also
the gradient (a subgradient where hinges have their kink or distances tie).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim.distances import floating
from sim.errors import InvalidInput, choice, number, within_memory
from sim.noise import asymmetric

LOSSES = ("triplet", "margin", "contrastive")
POSITIVES = ("all", "easy")
CHUNK_ENTRIES = 2**21
"""Entries of the distance matrix that are worked on at once."""
SYMMETRY_TOLERANCE = 1e-6
"""Relative asymmetry (and diagonal) of a distance matrix that is taken for rounding."""
MATRICES_HELD = 10
"""Matrices of the size of ``distances`` that forward and backward hold at the most."""


def check_labels(classes: Any, transition: Any) -> tuple[np.ndarray, np.ndarray]:
    """Classes (n,) int64 and transition matrix (t, t) float64, checked.

    Raises
    ------
    InvalidInput
        For a transition that isn't square and row-stochastic, or a class index outside of it.

    Examples
    --------
    >>> check_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8]])[0].tolist()
    [0, 0, 1]
    >>> check_labels([0, 2], [[0.9, 0.1], [0.2, 0.8]])
    Traceback (most recent call last):
    sim.errors.InvalidInput: classes: got 2; allowed: 0 to 1, the rows of the transition matrix
    """
    matrix = asymmetric(transition)
    try:
        labels = np.asarray(classes)
    except (TypeError, ValueError):
        raise InvalidInput("classes", classes, "a non-empty vector of integers") from None
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or not len(labels):
        raise InvalidInput("classes", f"{labels.dtype} {labels.shape}", "a non-empty vector of integers")
    if labels.min() < 0 or labels.max() >= len(matrix):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise InvalidInput("classes", int(wrong), f"0 to {len(matrix) - 1}, the rows of the transition matrix")
    return labels.astype(np.int64), matrix


def as_matrices(field: str, values: Any, shape: tuple[int, int], why: str) -> Tensor:
    """Matrices (..., *shape) as a tensor to compute with; whole numbers, and what isn't a tensor, as float64. ``why`` ends a refusal of the shape.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> as_matrices("distances", [[0, 0.5], [0.5, 0]], (2, 2), "").dtype
    torch.float64
    """
    wanted = f"(..., {shape[0]}, {shape[1]})"
    try:
        # Not from lists by itself: PyTorch would take their numbers for float32.
        found = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    except (TypeError, ValueError, RuntimeError):
        raise InvalidInput(field, type(values), f"an array of numbers {wanted}") from None
    if found.dim() < 2 or found.shape[-2:] != shape:
        raise InvalidInput(field, tuple(found.shape), wanted + why)
    computable = found.is_floating_point() or found.is_complex() or found.dtype == torch.bool
    return floating(field, found) if computable else found.double()


def check_distances(distances: Any, n: int) -> Tensor:
    """Distances (..., n, n) as a tensor, checked: float32 or float64, half precision widened to float32, whole numbers to float64.

    Raises
    ------
    InvalidInput
        For what isn't numbers, a wrong shape, NaN, negative entries, asymmetry or a non-zero diagonal; and for an n whose matrices
        would not fit into memory, before anything of that size is allocated.

    Examples
    --------
    >>> check_distances([[0, 1], [1, 0]], 2).dtype
    torch.float64
    >>> check_distances([[0, 1], [2, 0]], 2)
    Traceback (most recent call last):
    sim.errors.InvalidInput: distances: got 1.0; allowed: a symmetric matrix
    """
    d = as_matrices("distances", distances, (n, n), f", as there are {n} classes entries")
    if d.device.type == "cpu":
        within_memory("n", n, MATRICES_HELD * d.numel() * d.element_size())
    with torch.no_grad():
        if not torch.isfinite(d).all():
            raise InvalidInput("distances", "NaN or infinity", "finite numbers")
        if (d < 0).any():
            raise InvalidInput("distances", float(d.min()), "numbers >= 0")
        allowed = SYMMETRY_TOLERANCE * max(float(d.max()), 1e-30)
        if float(d.diagonal(dim1=-2, dim2=-1).max()) > allowed:
            raise InvalidInput("distances", float(d.diagonal(dim1=-2, dim2=-1).max()), "zeros on the diagonal")
        if float((d - d.mT).abs().max()) > allowed:
            raise InvalidInput("distances", float((d - d.mT).abs().max()), "a symmetric matrix")
    return d


def check_loss(loss: str, positive: str, alpha: float, beta: Any, squared: bool) -> tuple[float, Any]:
    """Refuse what isn't a loss of this module; alpha and beta, as float where they are numbers.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> check_loss("margin", "all", alpha=0.2, beta=None, squared=False)
    Traceback (most recent call last):
    sim.errors.InvalidInput: beta: got None; allowed: a number or a tensor, for the margin loss
    """
    choice("loss", loss, LOSSES)
    choice("positive", positive, POSITIVES)
    choice("squared", squared, (False, True))
    alpha = number("alpha", alpha, "a finite number > 0", lambda v: v > 0)
    if loss == "margin" and beta is None:
        raise InvalidInput("beta", None, "a number or a tensor, for the margin loss")
    if loss == "margin" and not (isinstance(beta, Tensor) and beta.is_floating_point()):
        beta = number("beta", beta, "a finite number or a tensor of them, for the margin loss", lambda _: True)
    if loss != "margin" and beta is not None:
        raise InvalidInput("beta", beta, f"None: the {loss} loss has no beta")
    if squared and loss != "contrastive":
        raise InvalidInput("squared", squared, f"False: squared terms belong to the contrastive loss, not to {loss}")
    return alpha, beta


def same_label(classes: Any, transition: Any) -> np.ndarray:
    """s_ij = P(Y_i = Y_j) for i != j, shape (n, n), float64; the diagonal has no meaning. Arguments: `expected_loss`.

    Examples
    --------
    >>> same_label([0, 0, 1], [[0.9, 0.1], [0.1, 0.9]])[0].round(2).tolist()
    [0.82, 0.82, 0.18]
    """
    labels, matrix = check_labels(classes, transition)
    within_memory("n", len(labels), 8 * len(labels) ** 2)
    p = matrix[labels]  # (n, t)
    same: np.ndarray = p @ p.T
    return same


def triplet_weights(classes: Any, transition: Any) -> np.ndarray:
    """w_ijk = P(Y_i = Y_j, Y_k != Y_i), shape (n, n, n), float64; 0 where indices coincide. For small n: n^3 numbers.

    Arguments: `expected_loss`.

    Examples
    --------
    The positive of the anchor's class and the negative of the other; and the other way round, which takes wrong labels.

    >>> weights = triplet_weights([0, 0, 1], [[0.9, 0.1], [0.1, 0.9]])
    >>> round(float(weights[0, 1, 2]), 3), round(float(weights[0, 2, 1]), 3)
    (0.73, 0.09)
    """
    labels, matrix = check_labels(classes, transition)
    within_memory("n", len(labels), 8 * len(labels) ** 3)
    p = matrix[labels]  # (n, t)
    weights: np.ndarray = np.einsum("iy,jy,ky->ijk", p, p, 1 - p)  # (n, n, n)
    n = np.arange(len(labels))
    weights[n, n, :] = 0
    weights[n, :, n] = 0
    weights[:, n, n] = 0
    return weights


def expected_loss(
    distances: Any,
    classes: Any,
    transition: Any,
    *,
    loss: str = "triplet",
    positive: str = "all",
    alpha: float,
    beta: Any = None,
    squared: bool = False,
) -> Tensor:
    """Expected loss over all labellings.

    - triplet, all: sum over distinct i, j, k of P(Y_i = Y_j != Y_k) [D_ij - D_ik + alpha]_+
    - triplet, easy: sum over i and k of the hinge of D_i,pi(i) - D_ik + alpha, pi(i) the nearest sample with i's label, over all k
      with another label; an anchor without a positive contributes nothing
    - margin: [D - beta + alpha]_+ on positive and [beta + alpha - D]_+ on negative pairs; easy: positive pairs are (i, pi(i))
    - contrastive: D on positive and [alpha - D]_+ on negative pairs, or their squares

    Pairs are ordered: each unordered pair counts twice.

    Parameters
    ----------
    distances : Tensor or array, shape (..., n, n)
        Symmetric, non-negative, zero diagonal. Differentiable. Half precision is computed, and the loss given, in float32.
    classes : array, shape (n,), integers
        True classes.
    transition : array, shape (t, t)
        Row-stochastic; T[c, y] = P(Y = y | class c).
    loss : str
        ``triplet``, ``margin`` or ``contrastive``.
    positive : str
        ``all`` or ``easy``. Ties in distance don't change the value; the gradient then belongs to the lower index.
    alpha : float
        Margin > 0.
    beta : float or Tensor broadcastable to ``distances.shape[:-2]``
        Boundary of the margin loss. Differentiable.
    squared : bool
        Square the terms of the contrastive loss.

    Returns
    -------
    Tensor, shape ``distances.shape[:-2]``

    Raises
    ------
    InvalidInput
        One clear line for any input that isn't as above, or too large for memory.

    Examples
    --------
    Two samples of one class and one of another on a line, without noise: triplets (0, 1, 2) and (1, 0, 2).

    >>> distances = [[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]]
    >>> expected_loss(distances, [0, 0, 1], [[1, 0], [0, 1]], alpha=1.5).item()
    0.5
    >>> noisy = [[0.9, 0.1], [0.1, 0.9]]
    >>> round(expected_loss(distances, [0, 0, 1], noisy, alpha=1.5, positive="easy").item(), 4)
    1.175
    """
    alpha, beta = check_loss(loss, positive, alpha, beta, squared)
    labels, matrix = check_labels(classes, transition)
    d = check_distances(distances, len(labels))  # (..., n, n)
    n, leading = len(labels), d.shape[:-2]
    p = torch.from_numpy(matrix[labels]).to(d)  # (n, t)
    if loss == "triplet":
        # (batch n, n) and (batch n,): a row for each anchor of each embedding
        weights, constant = triplet_sums(d.detach().reshape(-1, n), p, alpha, positive)
        return (weights.view(d.shape) * d).sum((-2, -1)) + constant.view(*leading, n).sum(-1)
    off_diagonal = ~torch.eye(n, dtype=torch.bool, device=d.device)
    same = p @ p.T  # (n, n)
    if positive == "all":
        use = (same * off_diagonal).expand_as(d)
    else:
        use = easy_probabilities(d.detach().reshape(-1, n), p).view(d.shape)
    unlike = (1 - same) * off_diagonal
    if loss == "margin":
        boundary = torch.as_tensor(beta, dtype=d.dtype, device=d.device)
        if boundary.dim() > len(leading) or any(
            b not in (1, k) for b, k in zip(boundary.shape[::-1], leading[::-1], strict=False)
        ):
            raise InvalidInput("beta", tuple(boundary.shape), f"a shape that broadcasts to {tuple(leading)}")
        boundary = boundary.expand(leading)[..., None, None]  # (..., 1, 1)
        pull, push = (d - boundary + alpha).clamp_min(0), (boundary + alpha - d).clamp_min(0)
    else:
        pull, push = d, (alpha - d).clamp_min(0)
        if squared:
            pull, push = pull.square(), push.square()
    return (use * pull + unlike * push).sum((-2, -1))


def _blocks(d: Tensor) -> list[slice]:
    """Slices of the rows of (rows, n) distances of at most `CHUNK_ENTRIES` entries."""
    step = max(1, CHUNK_ENTRIES // d.shape[1])
    return [slice(start, min(start + step, len(d))) for start in range(0, len(d), step)]


def _sorted_rows(d: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
    """A block's distances in increasing order, the anchor itself last at infinity: (values, order, anchors)."""
    n = d.shape[1]
    anchors = torch.arange(rows.start, rows.stop, device=d.device) % n
    block = d[rows].clone()  # (b, n)
    block[torch.arange(len(block), device=d.device), anchors] = torch.inf
    values, order = block.sort(dim=-1, stable=True)
    return values, order, anchors


def _prefix(values: Tensor) -> Tensor:
    """Sums of the first 0, 1, ..., n entries along the last axis."""
    return torch.nn.functional.pad(values.cumsum(-1), (1, 0))


def easiest(has_label: Tensor) -> Tensor:
    """P(the r-th nearest is the nearest with the anchor's label), from P(it has that label) in order of distance.

    Examples
    --------
    >>> easiest(torch.tensor([0.5, 0.5, 1.0])).tolist()
    [0.5, 0.25, 0.25]
    """
    none_before = torch.cat([torch.ones_like(has_label[..., :1]), (1 - has_label[..., :-1]).cumprod(-1)], -1)
    return has_label * none_before


def triplet_sums(d: Tensor, p: Tensor, alpha: float, positive: str) -> tuple[Tensor, Tensor]:
    """Weights W (rows, n) and constants (rows,) with expected loss = sum W D + sum constant; rows are (batch, anchor)."""
    n = d.shape[1]
    weights, constant = torch.empty_like(d), d.new_empty(len(d))
    before = torch.arange(n, device=d.device)
    for rows in _blocks(d):
        values, order, anchors = _sorted_rows(d, rows)  # (b, n), (b, n), (b,): b rows at once
        reach = values + alpha
        # Both look-ups compare the same rounded numbers, so they agree on which triplets are active.
        # With the r-th as positive the negatives before ``within`` are active; with it as negative, the positives from ``beyond``.
        within = torch.searchsorted(values, reach)  # (b, n)
        beyond = torch.searchsorted(reach, values, right=True)  # (b, n)
        # The anchor stands last, at infinity: it is in no triplet.
        within[:, -1] = beyond[:, -1] = 0
        block = torch.zeros_like(values)  # (b, n), in the order of distance
        total = torch.zeros_like(constant[rows])  # (b,)
        for y in range(p.shape[1]):
            has_label = p[:, y][order]  # (b, n)
            lacks_label = 1 - has_label
            has_label[:, -1] = lacks_label[:, -1] = 0
            anchor_has_label = p[anchors, y].unsqueeze(-1)  # (b, 1)
            negatives = _prefix(lacks_label)  # (b, n + 1)
            if positive == "all":
                positives = _prefix(has_label)
                # j and k are distinct: take each sample's own weight out of its sum over the others.
                of_positive = has_label * (negatives.gather(-1, within) - lacks_label)
                of_negative = lacks_label * (positives[:, -1:] - positives.gather(-1, beyond) - has_label)
            else:
                nearest = easiest(has_label)
                positives = _prefix(nearest)
                # Samples before the nearest same-label one are negatives already; those after it if they lack the label.
                of_positive = nearest * (before + (negatives.gather(-1, within) - negatives[:, 1:]))
                of_negative = (positives[:, -1:] - positives[:, 1:]) + lacks_label * (
                    positives[:, :-1] - positives.gather(-1, beyond)
                )
            of_positive[:, -1] = of_negative[:, -1] = 0
            block += anchor_has_label * (of_positive - of_negative)
            total += alpha * (anchor_has_label * of_positive).sum(-1)
        weights[rows] = torch.empty_like(block).scatter_(-1, order, block)
        constant[rows] = total
    return weights, constant


def easy_probabilities(d: Tensor, p: Tensor) -> Tensor:
    """P(j is i's easy positive), shape of ``d`` (rows, n)."""
    use = torch.empty_like(d)
    for rows in _blocks(d):
        _, order, anchors = _sorted_rows(d, rows)
        block = torch.zeros_like(d[rows])
        for y in range(p.shape[1]):
            has_label = p[:, y][order]  # (b, n)
            has_label[:, -1] = 0
            block += p[anchors, y].unsqueeze(-1) * easiest(has_label)
        use[rows] = torch.empty_like(block).scatter_(-1, order, block)
    return use


def lower_bound(classes: Any, transition: Any, *, loss: str = "triplet", alpha: float) -> float:
    """The bound that pairs of hinges put on an expected loss with all positives (claims C3 and C4).

    Triplet: 2 alpha sum over i and unordered {j, k} of min(w_ijk, w_ikj), from w [x + a]_+ + w' [a - x]_+ >= 2a min(w, w').
    Margin, any beta: 2 alpha sum over i != j of min(s_ij, 1 - s_ij), the same with x = D_ij - beta.

    Parameters
    ----------
    classes, transition, alpha
        See `expected_loss`.
    loss : str
        ``triplet`` or ``margin``.

    Returns
    -------
    float
        Counted over classes: O(t^3) time, whatever the number of samples.

    Examples
    --------
    >>> lower_bound([0, 0, 1, 1], [[1, 0], [0, 1]], alpha=0.5)
    0.0
    """
    choice("loss", loss, ("triplet", "margin"))
    alpha = number("alpha", alpha, "a finite number > 0", lambda v: v > 0)
    labels, matrix = check_labels(classes, transition)
    t = len(matrix)
    sizes = np.bincount(labels, minlength=t).astype(np.float64)
    same = matrix @ matrix.T  # (t, t)
    if loss == "margin":
        pairs = np.outer(sizes, sizes) - np.diag(sizes)
        return float(2 * alpha * (pairs * np.minimum(same, 1 - same)).sum())
    total = 0.0
    for c in range(t):
        others = sizes.copy()
        others[c] -= 1
        weights = same[c][:, None] - (matrix[c] * matrix) @ matrix.T  # (t, t): w_cjk for an anchor of class c
        least = np.minimum(weights, weights.T)
        pairs = np.outer(others, others)
        np.fill_diagonal(pairs, others * (others - 1))
        total += sizes[c] * (pairs * least).sum() / 2
    return float(2 * alpha * total)
