"""What no embedding, or no collapsed one, goes below: exact bounds and the finite lists that prove them."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from sim.errors import InvalidInput
from sim.theory.certificates.exact import ONE, ZERO, Loss, Matrix, Positive, anchor_loss, at


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


def pair_bound(classes: Sequence[int], transition: Matrix, *, loss: Loss, alpha: Fraction) -> Fraction:
    """C3's and C4's lower bound on the expected loss with all positives, exact.

    2a sum_i sum_{j<k} min(w_ijk, w_ikj) for the triplet, 2a sum_{i != j} min(s_ij, 1 - s_ij) for the margin loss.

    Examples
    --------
    Two classes of four, p = 9/10, a = 1/2: `sim.theory.lower_bound`, exactly.

    >>> noisy = ((Fraction("9/10"), Fraction("1/10")), (Fraction("1/10"), Fraction("9/10")))
    >>> pair_bound([0, 0, 0, 0, 1, 1, 1, 1], noisy, loss="triplet", alpha=Fraction("1/2"))
    Fraction(378, 25)
    """
    t = len(transition)
    sizes = class_sizes(classes, t)
    # Whole numbers over one denominator: a hundred times as fast as fractions.
    unit = math.lcm(*(x.denominator for row in transition for x in row))
    rows = [[int(x * unit) for x in row] for row in transition]
    same = [[sum(map(operator.mul, x, y)) for y in rows] for x in rows]  # times unit^2
    total = 0  # times unit^2 for the margin loss, unit^3 for triplets
    for a in range(t):
        others = [size - (c == a) for c, size in enumerate(sizes)]
        if loss == "margin":
            total += sizes[a] * sum(k * min(s, unit**2 - s) for k, s in zip(others, same[a], strict=True))
            continue
        for b, c in itertools.combinations_with_replacement(range(t), 2):
            pairs = others[b] * others[c] if b < c else others[b] * (others[b] - 1) // 2
            if sizes[a] and pairs > 0:
                # w_ijk = P(Y_i = Y_j) - P(Y_i = Y_j = Y_k): the second term is common to both.
                all_three = sum(x * y * z for x, y, z in zip(rows[a], rows[b], rows[c], strict=True))
                total += sizes[a] * pairs * (min(same[a][b], same[a][c]) * unit - all_three)
    return 2 * alpha * Fraction(total, unit ** (2 if loss == "margin" else 3))


def class_sizes(classes: Sequence[int], t: int) -> list[int]:
    """Samples of each of the t classes."""
    return [sum(c == a for c in classes) for a in range(t)]


def lattices(t: int, *, loss: Loss, alpha: Fraction) -> list[tuple[Fraction | None, tuple[Fraction, ...]]]:
    """Every b with the centre distances among which, at this b, the best collapsed embedding is (text of the package).

    Examples
    --------
    >>> lattices(2, loss="triplet", alpha=Fraction(1, 2))
    [(None, (Fraction(0, 1), Fraction(1, 2)))]
    """
    if loss == "triplet":
        return [(None, tuple(alpha * k for k in range(t * (t - 1) // 2 + 1)))]
    return [(-alpha, (ZERO,)), (alpha, (ZERO, 2 * alpha))]


def breakpoints(
    classes: Sequence[int], transition: Matrix, *, loss: Loss, alpha: Fraction, positive: Positive = "easy"
) -> tuple[Breakpoint, ...]:
    """An anchor's loss for every class of anchor and every choice of distances in `lattices`.

    The margin loss has its lattice with easy positives only.

    Examples
    --------
    Two classes of two, clean labels, a = 1: an anchor pays a for each of the others on its own point.

    >>> clean = ((Fraction(1), Fraction(0)), (Fraction(0), Fraction(1)))
    >>> [(p.anchor, int(sum(p.centres)), int(p.value)) for p in breakpoints([0, 0, 1, 1], clean, loss="triplet", alpha=Fraction(1))]
    [(0, 0, 2), (0, 1, 0), (1, 0, 2), (1, 1, 0)]
    """
    t = len(transition)
    sizes = class_sizes(classes, t)
    found = []
    for beta, lattice in lattices(t, loss=loss, alpha=alpha):
        for anchor, x in itertools.product(range(t), itertools.product(lattice, repeat=t - 1)):
            centres = (*x[:anchor], ZERO, *x[anchor:])
            others = [at(centres[c], c) for c in range(t) for _ in range(sizes[c] - (c == anchor))]
            value = anchor_loss(others, transition, anchor, loss=loss, positive=positive, alpha=alpha, beta=beta)
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

    Examples
    --------
    Clean labels: centres a apart cost nothing.

    >>> clean = ((Fraction(1), Fraction(0)), (Fraction(0), Fraction(1)))
    >>> bound, minimisers = best_collapsed([0, 0, 1, 1], breakpoints([0, 0, 1, 1], clean, loss="triplet", alpha=Fraction(1)))
    >>> int(bound), [[[int(d) for d in row] for row in centres] for centres, _ in minimisers]
    (0, [[[0, 1], [1, 0]]])
    """
    t = max(classes) + 1
    sizes = class_sizes(classes, t)
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

    Examples
    --------
    >>> noisy = ((Fraction("9/10"), Fraction("1/10")), (Fraction("1/10"), Fraction("9/10")))
    >>> one_class_lower_bound([0, 0, 1, 1], noisy, alpha=Fraction("1/2"))
    Fraction(531, 5000)
    """
    sizes = class_sizes(classes, len(transition))
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
    """Lower bound of the EPS margin loss over all embeddings and all b (text of the package, C8).

    A sample k with s_ik <= 1/2 never pays, whatever S holds. Among the others a second one must never pay,
    1 - s_ik >= sum_y P_iy P_ky (1 - P_jy); for symmetric noise they are of the own class and the difference is
    sum_y P_y (1 - P_y)^2 >= 0. Then min_S is over |S| <= 1. Another matrix is refused.

    Raises
    ------
    InvalidInput
        For a transition under which a second near sample may pay.

    Examples
    --------
    Clean labels: nothing need be paid.

    >>> clean = ((Fraction(1), Fraction(0)), (Fraction(0), Fraction(1)))
    >>> margin_easy_global_bound([0, 0, 1, 1], clean, alpha=Fraction(1))
    Fraction(0, 1)
    """
    t = len(transition)
    sizes = class_sizes(classes, t)
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
