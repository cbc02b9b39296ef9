"""Certificates in exact rational arithmetic: who collapses (C3, C4) and who cannot (C7, C8).

A certificate is a finite set of rational numbers from which a reader, or the tiny program `sim.theory.verifier`,
checks a statement about *all* embeddings without trusting any optimiser. Embeddings are given by their distance
matrices: rational, and realisable in R^m for every m >= ``dimension``, the rank of the Gram matrix (Schoenberg 1935).

Notation: P[i] = T[c(i)] are the label probabilities of sample i, s_ij = P(Y_i = Y_j), a = alpha, b = beta, sums over
distinct indices. pi(i) is the nearest sample with the label of i (easy positive, EPS).

**C3, C4: the bound is attained.** For x, y >= 0 with x + y >= 2a, w x + w' y >= 2a min(w, w'). With
x = [D_ij - D_ik + a]_+ and y = [D_ik - D_ij + a]_+ this bounds the expected triplet loss from below; with
x = [D_ij - b + a]_+ and y = [b + a - D_ij]_+ the expected margin loss. The certificate is a collapsed embedding whose
value *is* the bound.

**C7: EPS triplet.** In a collapsed embedding only the N = t (t - 1) / 2 distances d_AB >= 0 of the centres matter, and an
anchor of class A depends on its t - 1 of them. The loss is linear on every cell of the arrangement of the hyperplanes
d_AB = 0, d_AB = a, d_AB = d_AC, d_AB = d_AC + a within d >= 0 (the nearest positive and the active hinges are fixed
there). The orthant holds no line and the loss is >= 0, so its minimum is attained at a vertex; at a vertex each d_AB
hangs on 0 or a by a chain of such equations, so d lies in {0, a, ..., N a}^N. Hence *every* collapsed embedding, in every
dimension, has at least the least loss on that lattice (whether or not its points obey the triangle inequality): a
finite list, the certificate's ``breakpoints``, anchor by anchor. For t = 2 the loss is a piecewise linear function of one
distance with breakpoints 0 and a. Where the minimiser is realisable it is the best collapsed embedding.
A class A that is collapsed alone, the others being free, costs a at least for every ordered pair of its
samples with different labels whose anchor has a positive: ``one_class_bound`` is the least of these over A.

**C8: EPS margin, b learnt.** Write z = D - b. An anchor's expected loss is
h(z) = E[z_pi + a]_+ + sum_k (1 - s_ik) [a - z_k]_+. Clipping z to [-a, a] never increases it, and on the box it is
linear while the order of the z_k is fixed, so its minimum is at a vertex of an order polytope: z_k in {-a, a}. With
S = {k: z_k = -a} the value is 2a (sum_{k in S} (1 - s_ik) + P(no positive in S) - P(no positive)). Therefore

- over *all* embeddings and all b, E >= ``global_bound`` = sum_i min_S of this;
- over the *collapsed* ones, z_ik = -b for the whole own class and clipping keeps z_AB >= -b, so only these vertices
  remain: b = -a with everything on one point, or b = a with d_AB in {0, 2a}: again a finite list of ``breakpoints``.

Adding k to S changes the sum by (1 - s_ik) - sum_y P_iy P_ky prod_{j in S} (1 - P_jy), which grows with S and is at least
1 - 2 s_ik. For symmetric noise neither a sample of another class nor a second one of the own class ever pays: min_S is
at S = {} when s_in <= 1/2 and at one sample of the own class otherwise. So
C8 *fails* for s_in = p^2 + (1-p)^2/(t-1) <= 1/2: one point with b = -a is a global minimiser in every dimension. And
it *holds* for s_in > 1/2 and classes of 3 or more in high dimension: there minimisers are pairs, not classes. In low
dimension it is settled by the certificate of an embedding on a line, where one is found.

All of this was derived for this project; the paper (Levi et al., arXiv 2006.05162) is the source of the setting only.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sim.errors import InvalidInput

Rational = Fraction | int | str
Matrix = tuple[tuple[Fraction, ...], ...]
Loss = Literal["triplet", "margin"]
Positive = Literal["all", "easy"]
Arrangement = Literal["line", "pairs"]

ZERO, ONE = Fraction(0), Fraction(1)


class NotFound(RuntimeError):
    """The search found no embedding that proves the claim; that proves nothing."""


@dataclass(frozen=True)
class Embedding:
    """An embedding with its exact expected loss.

    Attributes
    ----------
    distances : tuple of tuple of Fraction, (n, n)
        Euclidean distance matrix.
    dimension : int
        Rank of the Gram matrix: the embedding exists in R^m exactly for m >= dimension.
    value : Fraction
        Expected loss.
    beta : Fraction or None
        Margin loss: the boundary b. None for the triplet loss.
    """

    distances: Matrix
    dimension: int
    value: Fraction
    beta: Fraction | None = None


@dataclass(frozen=True)
class Breakpoint:
    """Expected loss of one anchor of class ``anchor`` in a collapsed embedding.

    Attributes
    ----------
    anchor : int
        Class of the anchor.
    centres : tuple of Fraction, (t,)
        Distances from its centre to every centre, 0 at ``anchor``.
    value : Fraction
        The anchor's expected loss.
    beta : Fraction or None
        As in `Embedding`.
    """

    anchor: int
    centres: tuple[Fraction, ...]
    value: Fraction
    beta: Fraction | None = None


@dataclass(frozen=True)
class Certificate:
    """A statement about all embeddings, with the numbers that prove it (see the module's text).

    Attributes
    ----------
    claim : str
        C3, C4, C7 or C8.
    verdict : str
        ``holds`` or ``fails`` (C8: the collapsed embedding is a global minimiser).
    classes : tuple of int, (n,)
        True class of each sample.
    transition : tuple of tuple of Fraction, (t, t)
    alpha : Fraction
    collapsed : Embedding
        The best collapsed embedding.
    better : Embedding or None
        C7, C8 where they hold: an embedding of smaller value, hence not collapsed.
    breakpoints : tuple of Breakpoint
        C7, C8: every candidate for the best collapsed embedding.
    collapsed_bound : Fraction or None
        C7, C8: no collapsed embedding has a smaller value.
    one_class_bound : Fraction or None
        C7: no embedding that collapses at least one class has a smaller value.
    global_bound : Fraction or None
        C3, C4, C8: no embedding at all has a smaller value.
    """

    claim: str
    verdict: Literal["holds", "fails"]
    classes: tuple[int, ...]
    transition: Matrix
    alpha: Fraction
    collapsed: Embedding
    better: Embedding | None = None
    breakpoints: tuple[Breakpoint, ...] = ()
    collapsed_bound: Fraction | None = None
    one_class_bound: Fraction | None = None
    global_bound: Fraction | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; rationals are strings ``"num/den"`` or ``"num"``."""
        plain: dict[str, Any] = _plain(self)
        return plain

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")


def _plain(x: Any) -> Any:
    if isinstance(x, Fraction):
        return str(x)
    if isinstance(x, tuple):
        return [_plain(v) for v in x]
    if hasattr(x, "__dataclass_fields__"):
        return {name: _plain(getattr(x, name)) for name in x.__dataclass_fields__}
    return x


# --- exact expected losses ---------------------------------------------------------------------------------------


def exact_loss(
    distances: Sequence[Sequence[Fraction]],
    classes: Sequence[int],
    transition: Sequence[Sequence[Fraction]],
    *,
    loss: Loss,
    positive: Positive,
    alpha: Fraction,
    beta: Fraction | None = None,
) -> Fraction:
    """Expected loss over independent noisy labels, in rational arithmetic.

    Parameters
    ----------
    distances : (n, n) sequence of Fraction
    classes : (n,) sequence of int
        True classes, indices into ``transition``.
    transition : (t, t) sequence of Fraction
        Row-stochastic; T[c][y] = P(label y | class c).
    loss : {"triplet", "margin"}
    positive : {"all", "easy"}
        Easy: the nearest sample with the anchor's label; an anchor without one has no positive term (so no triplet).
    alpha, beta : Fraction
        Margin and, for the margin loss, boundary.

    Returns
    -------
    Fraction
        Sum over distinct indices; O(t n^3) operations for the triplet loss.
    """
    total = ZERO
    for i, own in enumerate(classes):
        others = [(distances[i][j], c) for j, c in enumerate(classes) if j != i]
        total += _anchor_loss(others, transition, own, loss=loss, positive=positive, alpha=alpha, beta=beta)
    return total


def _anchor_loss(
    others: Sequence[tuple[Fraction, int]],
    transition: Sequence[Sequence[Fraction]],
    own: int,
    *,
    loss: Loss,
    positive: Positive,
    alpha: Fraction,
    beta: Fraction | None,
) -> Fraction:
    """Expected loss of one anchor of class ``own``; ``others`` = (distance, class) of every other sample."""
    others = sorted(others)
    total = ZERO
    for y, p_anchor in enumerate(transition[own]):
        chosen_before, of_label = ONE, ZERO
        for r, (d, c) in enumerate(others):
            chosen = transition[c][y] * (chosen_before if positive == "easy" else 1)
            if loss == "margin":
                assert beta is not None
                of_label += chosen * max(d - beta + alpha, ZERO)
            else:
                for s, (e, k) in enumerate(others):
                    if s != r and d - e + alpha > 0:
                        # An easy positive at rank r has no equal label before it already.
                        negative = ONE if positive == "easy" and s < r else 1 - transition[k][y]
                        of_label += chosen * negative * (d - e + alpha)
            chosen_before *= 1 - transition[c][y]
        if loss == "margin":
            assert beta is not None
            of_label += sum(((1 - transition[k][y]) * max(beta + alpha - e, ZERO) for e, k in others), ZERO)
        total += p_anchor * of_label
    return total


def gram_rank(distances: Sequence[Sequence[Fraction]]) -> int | None:
    """Least dimension in which a distance matrix is realised by points, or None where no dimension is enough.

    Schoenberg (1935): D is Euclidean iff G_ij = (D_0i^2 + D_0j^2 - D_ij^2) / 2 is positive semidefinite, and then the
    rank of G is the dimension. Decided by symmetric elimination in rational arithmetic.
    """
    n = len(distances)
    gram = [
        [(distances[0][i] ** 2 + distances[0][j] ** 2 - distances[i][j] ** 2) / 2 for j in range(1, n)]
        for i in range(1, n)
    ]
    rank = 0
    for k in range(n - 1):
        pivot = gram[k][k]
        if pivot < 0 or (pivot == 0 and any(gram[k][k + 1 :])):
            return None
        if pivot == 0:
            continue
        rank += 1
        for i in range(k + 1, n - 1):
            if gram[i][k]:
                factor = gram[i][k] / pivot
                for j in range(k + 1, n - 1):
                    gram[i][j] -= factor * gram[k][j]
    return rank


# --- bounds ------------------------------------------------------------------------------------------------------


def pair_bound(classes: Sequence[int], transition: Matrix, *, loss: Loss, alpha: Fraction) -> Fraction:
    """C3's and C4's lower bound on the expected loss with all positives, exact.

    2a sum_i sum_{j<k} min(w_ijk, w_ikj) for the triplet, 2a sum_{i != j} min(s_ij, 1 - s_ij) for the margin loss.
    """
    n = len(classes)
    rows = [transition[c] for c in classes]
    same = [[sum((p * q for p, q in zip(x, y, strict=True)), ZERO) for y in rows] for x in rows]
    total = ZERO
    for i in range(n):
        others = [j for j in range(n) if j != i]
        if loss == "margin":
            total += sum((min(same[i][j], 1 - same[i][j]) for j in others), ZERO)
            continue
        for j, k in itertools.combinations(others, 2):
            # w_ijk = P(Y_i = Y_j) - P(Y_i = Y_j = Y_k): the second term is common to both.
            all_three = sum((p * q * r for p, q, r in zip(rows[i], rows[j], rows[k], strict=True)), ZERO)
            total += min(same[i][j], same[i][k]) - all_three
    return 2 * alpha * total


def _sizes(classes: Sequence[int], t: int) -> list[int]:
    return [sum(c == a for c in classes) for a in range(t)]


def lattices(t: int, *, loss: Loss, alpha: Fraction) -> list[tuple[Fraction | None, tuple[Fraction, ...]]]:
    """Every b with the centre distances among which, at this b, the best collapsed embedding is (module text)."""
    if loss == "triplet":
        return [(None, tuple(alpha * k for k in range(t * (t - 1) // 2 + 1)))]
    return [(-alpha, (ZERO,)), (alpha, (ZERO, 2 * alpha))]


def breakpoints(classes: Sequence[int], transition: Matrix, *, loss: Loss, alpha: Fraction) -> tuple[Breakpoint, ...]:
    """An anchor's loss with easy positives, for every class of anchor and every choice of distances in `lattices`."""
    t = len(transition)
    sizes = _sizes(classes, t)
    found = []
    for beta, lattice in lattices(t, loss=loss, alpha=alpha):
        for anchor, x in itertools.product(range(t), itertools.product(lattice, repeat=t - 1)):
            centres = (*x[:anchor], ZERO, *x[anchor:])
            others = [(centres[c], c) for c in range(t) for _ in range(sizes[c] - (c == anchor))]
            value = _anchor_loss(others, transition, anchor, loss=loss, positive="easy", alpha=alpha, beta=beta)
            found.append(Breakpoint(anchor, centres, value, beta))
    return tuple(found)


def best_collapsed(
    classes: Sequence[int], points: Sequence[Breakpoint]
) -> tuple[Fraction, list[tuple[Matrix, Fraction | None]]]:
    """Least loss of collapsed embeddings, from all their `breakpoints`.

    Returns
    -------
    bound : Fraction
        No collapsed embedding, in any dimension and with any b, has a smaller loss.
    minimisers : list of ((t, t) centre distances, b)
        Where on the lattice the bound is attained. Not every one need be realisable.
    """
    t = max(classes) + 1
    sizes = _sizes(classes, t)
    of_anchor = {(p.anchor, p.beta, p.centres): p.value for p in points}
    pairs = list(itertools.combinations(range(t), 2))
    losses: dict[tuple[Matrix, Fraction | None], Fraction] = {}
    for beta in dict.fromkeys(p.beta for p in points):
        lattice = sorted(
            {d for p in points if p.beta == beta for d in p.centres[: p.anchor] + p.centres[p.anchor + 1 :]}
        )
        for chosen in itertools.product(lattice, repeat=len(pairs)):
            between = dict(zip(pairs, chosen, strict=True))
            centres = tuple(
                tuple(ZERO if a == b else between[min(a, b), max(a, b)] for b in range(t)) for a in range(t)
            )
            losses[centres, beta] = sum((sizes[a] * of_anchor[a, beta, centres[a]] for a in range(t)), ZERO)
    bound = min(losses.values())
    return bound, [where for where, value in losses.items() if value == bound]


def one_class_lower_bound(classes: Sequence[int], transition: Matrix, alpha: Fraction) -> Fraction:
    """Lower bound of the EPS triplet loss over embeddings in which at least one class is collapsed.

    min over classes A of a sum_{i != k in A} P(Y_k != Y_i, some j has Y_j = Y_i): such a pair is at distance 0.
    """
    sizes = _sizes(classes, len(transition))
    bounds = []
    for own, size in enumerate(sizes):
        pair = ZERO
        for y, p in enumerate(transition[own]):
            rest = [n - 2 * (c == own) for c, n in enumerate(sizes)]
            nobody = ONE
            for c, n in enumerate(rest):
                nobody *= (1 - transition[c][y]) ** n
            pair += p * (1 - p) * (1 - nobody)
        bounds.append(alpha * size * (size - 1) * pair)
    return min(bounds)


def margin_easy_global_bound(classes: Sequence[int], transition: Matrix, alpha: Fraction) -> Fraction:
    """Lower bound of the EPS margin loss over all embeddings and all b (module text, C8).

    A sample k with s_ik <= 1/2 never pays, whatever S holds. Among the others a second one must never pay,
    1 - s_ik >= sum_y P_iy P_ky (1 - P_jy); for symmetric noise they are of the own class and the difference is
    sum_y P_y (1 - P_y)^2 >= 0. Then min_S is over |S| <= 1. Another matrix is refused.
    """
    t = len(transition)
    sizes = _sizes(classes, t)
    total = ZERO
    for own in range(t):
        rest = [n - (c == own) for c, n in enumerate(sizes)]
        anchor = transition[own]
        meet = [sum((p * q for p, q in zip(anchor, transition[k], strict=True)), ZERO) for k in range(t)]
        paying = [c for c in range(t) if rest[c] and 2 * meet[c] > 1]
        for j, k in itertools.product(paying, repeat=2):
            gain = sum((anchor[y] * transition[k][y] * (1 - transition[j][y]) for y in range(t)), ZERO)
            if 1 - meet[k] < gain:
                raise InvalidInput("transition", transition, "a matrix under which a second near sample never pays")
        alone = ZERO
        for y in range(t):
            nobody = ONE
            for c in range(t):
                nobody *= (1 - transition[c][y]) ** rest[c]
            alone += anchor[y] * nobody
        least = min([ONE] + [2 * (1 - meet[k]) for k in paying])
        total += sizes[own] * (least - alone)
    return 2 * alpha * total


# --- search for the better embedding -----------------------------------------------------------------------------


def _float_losses(points: np.ndarray, rows: np.ndarray, *, loss: Loss, alpha: float, beta: float | None) -> np.ndarray:
    """EPS loss of K embeddings on a line, points (K, n), label probabilities rows (n, t) -> (K,)."""
    n = points.shape[1]
    d = np.abs(points[:, :, None] - points[:, None, :])
    d[:, np.arange(n), np.arange(n)] = -1.0
    order = np.argsort(d, axis=-1, kind="stable")[..., 1:]
    d = np.take_along_axis(d, order, -1)
    p = rows[order]
    before = np.cumprod(1 - p, axis=2)
    before = np.concatenate([np.ones_like(before[:, :, :1]), before[:, :, :-1]], axis=2)
    chosen = p * before * rows[None, :, None, :]
    if loss == "margin":
        assert beta is not None
        negative = 1 - np.einsum("it,kijt->kij", rows, p)
        terms = chosen.sum(-1) * np.maximum(d - beta + alpha, 0) + negative * np.maximum(beta + alpha - d, 0)
        return np.asarray(terms.sum((1, 2)))
    hinge = np.maximum(d[..., :, None] - d[..., None, :] + alpha, 0)
    earlier = np.tril(hinge, -1).sum(-1)
    later = np.matmul(np.triu(hinge, 1), 1 - p)
    return np.asarray((chosen * (earlier[..., None] + later)).sum((1, 2, 3)))


def _balanced(total: int, parts: int) -> list[int]:
    return [total // parts + (k < total % parts) for k in range(parts)]


def _line(classes: Sequence[int], loss_of: Callable[[np.ndarray], np.ndarray], step: int) -> np.ndarray:
    """Points on a line, in whole numbers, with a small loss: balanced sub-clusters, then moves of single points.

    Starts: every class in k sub-clusters, the classes interleaved or side by side, ``step`` between neighbours. Then each
    point in turn goes to the best whole-number place, until none moves. Deterministic.
    """
    t = max(classes) + 1
    n = len(classes)
    sizes = _sizes(classes, t)
    starts = []
    for parts in range(1, max(sizes) + 1):
        for interleaved in (True, False):
            places = np.zeros(n)
            for c in range(t):
                sub_cluster = np.repeat(np.arange(parts), _balanced(sizes[c], parts))
                at = sub_cluster * t + c if interleaved else c * parts + sub_cluster
                places[[i for i in range(n) if classes[i] == c]] = at * step
            starts.append(places)
    values = loss_of(np.stack(starts))
    points = starts[int(np.argmin(values))]
    best = float(values.min())
    moved = True
    while moved:
        moved = False
        for i in range(n):
            places = np.arange(points.min() - 2 * step, points.max() + 2 * step + 1)
            trials = np.repeat(points[None], len(places), 0)
            trials[:, i] = places
            values = loss_of(trials)
            if values.min() < best - 1e-9:
                best, points, moved = float(values.min()), trials[int(np.argmin(values))], True
    return points


def _better_on_line(classes: Sequence[int], transition: Matrix, loss: Loss, alpha: Fraction) -> Embedding:
    """Best embedding found on a line; in units of alpha everything is a whole number."""
    rows = np.array([[float(x) for x in transition[c]] for c in classes])
    tries: list[tuple[Fraction | None, int]] = [(None, 1)]
    if loss == "margin":
        tries = [(alpha, 2), (3 * alpha, 2)]
    found = []
    for beta, step in tries:
        b = None if beta is None else float(beta / alpha)

        def loss_of(points: np.ndarray, b: float | None = b) -> np.ndarray:
            return _float_losses(points, rows, loss=loss, alpha=1.0, beta=b)

        whole = [int(x) for x in _line(classes, loss_of, step)]
        distances = tuple(tuple(alpha * abs(x - y) for y in whole) for x in whole)
        found.append(_embedding(distances, classes, transition, loss, "easy", alpha, beta))
    return min(found, key=lambda e: e.value)


def _pairs(classes: Sequence[int], transition: Matrix, alpha: Fraction) -> Embedding:
    """EPS margin: pairs (and, in an odd class, one sample alone or a path of three), everything else 2a further away.

    Two distances, r = b - a within a pair and r + 2a = b + a else. r = 0 suits pairs; a path a - b - c, whose ends are
    r + 2a apart, needs r > 0, large enough for the points to exist (they approach a regular simplex).
    """
    n = len(classes)
    found = []
    for path in (False, True):
        near = set()
        for c in set(classes):
            members = [i for i in range(n) if classes[i] == c]
            near |= {frozenset(members[k : k + 2]) for k in range(0, len(members) - 1, 2)}
            if path and len(members) % 2 and len(members) > 1:
                near.add(frozenset(members[-2:]))
        for radius in itertools.count(2 if path else 0):
            distances = tuple(
                tuple(ZERO if i == j else alpha * (radius + 2 * (frozenset((i, j)) not in near)) for j in range(n))
                for i in range(n)
            )
            if gram_rank(distances) is not None:
                break
        found.append(_embedding(distances, classes, transition, "margin", "easy", alpha, (radius + 1) * alpha))
    return min(found, key=lambda e: e.value)


# --- certificates ------------------------------------------------------------------------------------------------


def _embedding(
    distances: Matrix,
    classes: Sequence[int],
    transition: Matrix,
    loss: Loss,
    positive: Positive,
    alpha: Fraction,
    beta: Fraction | None,
) -> Embedding:
    dimension = gram_rank(distances)
    assert dimension is not None
    value = exact_loss(distances, classes, transition, loss=loss, positive=positive, alpha=alpha, beta=beta)
    return Embedding(distances, dimension, value, beta)


def _rational(field: str, value: Rational, allowed: str, ok: Callable[[Fraction], bool]) -> Fraction:
    # A float is refused: 0.9 is not 9/10.
    if isinstance(value, (Fraction, int, str)) and not isinstance(value, bool):
        try:
            number = Fraction(value)
        except (ValueError, ZeroDivisionError):
            pass
        else:
            if ok(number):
                return number
    raise InvalidInput(field, value, allowed)


def _setting(p: Rational, per_class: int, alpha: Rational, t: int) -> tuple[tuple[int, ...], Matrix, Fraction]:
    if not isinstance(t, int) or t < 2:
        raise InvalidInput("t", t, "an integer >= 2")
    if not isinstance(per_class, int) or per_class < 2:
        raise InvalidInput("per_class", per_class, "an integer >= 2")
    keep = _rational("p", p, 'a rational in [0, 1], such as "9/10"', lambda x: 0 <= x <= 1)
    margin = _rational("alpha", alpha, 'a rational > 0, such as "1/2"', lambda x: x > 0)
    flip = (1 - keep) / (t - 1)
    transition = tuple(tuple(keep if c == y else flip for y in range(t)) for c in range(t))
    return tuple(c for c in range(t) for _ in range(per_class)), transition, margin


def _simplex(classes: Sequence[int], side: Fraction) -> Matrix:
    """Collapsed embedding with all centres ``side`` apart."""
    return tuple(tuple(ZERO if a == b else side for b in classes) for a in classes)


def certify_c3(p: Rational, per_class: int, alpha: Rational, t: int = 2) -> Certificate:
    """Certificate that the collapsed embedding with centres a apart attains C3's bound (triplet, all positives).

    Parameters
    ----------
    p : Fraction, int or str
        Probability of keeping the label, in [0, 1], exact ("9/10"); the rest goes evenly to the other classes.
    per_class : int
        Samples in each class, >= 2.
    alpha : Fraction, int or str
        Margin > 0.
    t : int
        Number of classes, >= 2.
    """
    classes, transition, a = _setting(p, per_class, alpha, t)
    collapsed = _embedding(_simplex(classes, a), classes, transition, "triplet", "all", a, None)
    bound = pair_bound(classes, transition, loss="triplet", alpha=a)
    return _attained("C3", classes, transition, a, collapsed, bound)


def certify_c4(p: Rational, per_class: int, alpha: Rational, t: int = 2) -> Certificate:
    """Certificate that a collapsed embedding attains C4's bound (margin, all positives, b learnt).

    s_in >= 1/2: centres 2a apart, b = a. Below the phase transition: all on one point, b = -a. Parameters: `certify_c3`.
    """
    classes, transition, a = _setting(p, per_class, alpha, t)
    above = 2 * sum((x * x for x in transition[0]), ZERO) >= 1
    distances = _simplex(classes, 2 * a if above else ZERO)
    collapsed = _embedding(distances, classes, transition, "margin", "all", a, a if above else -a)
    bound = pair_bound(classes, transition, loss="margin", alpha=a)
    return _attained("C4", classes, transition, a, collapsed, bound)


def _attained(
    claim: str, classes: tuple[int, ...], transition: Matrix, a: Fraction, collapsed: Embedding, bound: Fraction
) -> Certificate:
    if collapsed.value != bound:
        raise NotFound(f"{claim}: the collapsed embedding has {collapsed.value}, the bound is {bound}")
    return Certificate(claim, "holds", classes, transition, a, collapsed, global_bound=bound)


def _collapsed(
    classes: tuple[int, ...], transition: Matrix, loss: Loss, a: Fraction
) -> tuple[tuple[Breakpoint, ...], Fraction, Embedding]:
    """Breakpoints, bound and best collapsed embedding; of several the one of least dimension."""
    if len(transition) > 3:
        raise InvalidInput("t", len(transition), "2 or 3 (the number of breakpoints grows too fast with t)")
    points = breakpoints(classes, transition, loss=loss, alpha=a)
    bound, minimisers = best_collapsed(classes, points)
    candidates = []
    for centres, beta in minimisers:
        dimension = gram_rank(centres)
        if dimension is not None:
            candidates.append((dimension, centres, beta))
    if not candidates:
        raise NotFound(f"no points have the distances at which the bound {bound} on collapsed embeddings is attained")
    _, centres, beta = min(candidates, key=lambda c: c[0])
    distances = tuple(tuple(centres[c][k] for k in classes) for c in classes)
    return points, bound, _embedding(distances, classes, transition, loss, "easy", a, beta)


def certify_c7(p: Rational, per_class: int, alpha: Rational, t: int = 2) -> Certificate:
    """Certificate that no minimiser of the expected EPS triplet loss is collapsed, in R^m for every m >= 1.

    The better embedding lies on a line. Parameters: `certify_c3`; t is 2 or 3.

    Raises
    ------
    NotFound
        No better embedding was found.
    """
    classes, transition, a = _setting(p, per_class, alpha, t)
    points, bound, collapsed = _collapsed(classes, transition, "triplet", a)
    better = _better_on_line(classes, transition, "triplet", a)
    if better.value >= bound:
        raise NotFound(f"C7: the best embedding found has {better.value}, collapsed ones have at least {bound}")
    one_class = one_class_lower_bound(classes, transition, a)
    return Certificate("C7", "holds", classes, transition, a, collapsed, better, points, bound, one_class)


def certify_c8(
    p: Rational, per_class: int, alpha: Rational, t: int = 2, *, arrangement: Arrangement = "line"
) -> Certificate:
    """Certificate that no (or that some) minimiser of the expected EPS margin loss, b learnt, is collapsed.

    Parameters
    ----------
    p, per_class, alpha, t
        See `certify_c3`; t is 2 or 3.
    arrangement : {"line", "pairs"}
        Where the better embedding is looked for: on a line, good in every R^m; or in pairs at equal distances, which
        need about n/2 - 1 dimensions (n - 1 for classes of 3).

    Returns
    -------
    Certificate
        Verdict ``fails`` where the best collapsed embedding attains the bound over all embeddings.

    Raises
    ------
    NotFound
        Neither was found.
    """
    classes, transition, a = _setting(p, per_class, alpha, t)
    points, bound, collapsed = _collapsed(classes, transition, "margin", a)
    everything = margin_easy_global_bound(classes, transition, a)
    better = None
    if collapsed.value > everything:
        better = (
            _better_on_line(classes, transition, "margin", a)
            if arrangement == "line"
            else _pairs(classes, transition, a)
        )
        if better.value >= bound:
            raise NotFound(f"C8: the best embedding found has {better.value}, collapsed ones have at least {bound}")
    verdict: Literal["holds", "fails"] = "fails" if better is None else "holds"
    return Certificate("C8", verdict, classes, transition, a, collapsed, better, points, bound, global_bound=everything)
