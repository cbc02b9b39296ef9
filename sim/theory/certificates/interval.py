"""C7 for every p of an interval at once: the loss at fixed distances is a polynomial in p, and its sign is decided.

Two or three classes of k samples, labels kept with probability p. Every collapsed embedding has at least the least loss over
the lattice of the package's text: for t = 2 the centres' distance is 0 or a, for t = 3 each of the three is 0, a, 2a or 3a; by
symmetry their order does not matter. For t = 2 renaming the labels turns p into 1 - p and leaves every loss as it is.

**embedding.** A fixed embedding D' beats all collapsed ones wherever E(d; p) - E(D'; p) > 0 for each d of the lattice, polynomials
of degree n at most. The statement holds in R^m for m >= the dimension of D'.

**slope**, t = 2. At d = a move the samples of each class to places across the line of centres, at h times fixed distances e_ij
<= a. Distances within a class become h e_ij, those between classes change by O(h^2). The loss is linear in h <= 1 along
the distances D_h = h e_ij within and a between (no order of distances and no active hinge changes for 0 < h < 1), so its
slope along the movement is E(D_1; p) - E(a; p), although no points have the distances D_1. If that is negative and
E(0; p) - E(a; p) > 0, the best collapsed embedding is not even a local minimum, for m >= 1 + the dimension of e.

For two places, s and k - s samples, the slope for an anchor among s is the sum over u in {p, 1 - p} of
(1 - u) [(u^(s-1) - u^(k-1)) (s - 1 + k (1 - u)) - (k - s) (u - u^s + u^(k-1) (1 - (1 - u)^k))], in units of a:
with probability (1 - u) u^r its label is that of the r-th nearest and of none before it. From r = s - 1 on the positive is
one unit away, which costs 1 for each of s - 1 + k (1 - u) negatives that are no such unit away, and each negative that is saves 1.
`sim/theory/claims/c7.py` and docs/claims/C7.md draw from it that the slope is negative for every k >= 8 and every p.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from sim.errors import choice, integer
from sim.theory.certificates.certificate import IntervalCertificate, NotFound
from sim.theory.certificates.exact import ZERO, Matrix, Rational, exact_loss
from sim.theory.certificates.hypotheses import NONE, SIZE
from sim.theory.certificates.inputs import margin_of, rational, symmetric
from sim.theory.certificates.polynomials import Polynomial, interpolated, is_positive, last_root, roots_between, trimmed
from sim.theory.certificates.search import better_on_line

SEARCHED_AT = {2: Fraction(99, 100), 3: Fraction(3, 5)}
"""For t classes the p at which the embedding is looked for that is to be better at every p."""
MOST_PER_CLASS = {2: 12, 3: 5}
"""For t classes. The time grows with the fourth power and more: ten seconds for the verifier."""
ROOT_WIDTH = Fraction(1, 10**6)
"""Between the bounds on a root."""


def loss_polynomial(distances: Matrix, classes: Sequence[int], alpha: Fraction) -> Polynomial:
    """Expected EPS triplet loss at fixed distances, as a polynomial in p.

    Examples
    --------
    Two classes of two on a point each, a = 1 apart.

    >>> apart = tuple(tuple(Fraction(int(a != b)) for b in (0, 0, 1, 1)) for a in (0, 0, 1, 1))
    >>> [int(c) for c in loss_polynomial(apart, (0, 0, 1, 1), Fraction(1))]
    [0, 8, 24, -64, 32]
    """

    def loss(p: Fraction) -> Fraction:
        return exact_loss(
            distances, classes, symmetric(max(classes) + 1, p), loss="triplet", positive="easy", alpha=alpha, beta=None
        )

    return interpolated(loss, len(classes))


def _less(f: Polynomial, g: Polynomial) -> Polynomial:
    """f - g."""
    return trimmed([x - y for x, y in itertools.zip_longest(f, g, fillvalue=ZERO)])


def candidates(t: int, per_class: int, alpha: Fraction) -> list[Matrix]:
    """Collapsed embeddings of t classes among which, at every p, one of least loss is; those that differ by names once.

    Examples
    --------
    >>> len(candidates(2, 4, Fraction(1))), len(candidates(3, 4, Fraction(1)))
    (2, 20)
    """
    classes = [c for c in range(t) for _ in range(per_class)]
    pairs = list(itertools.combinations(range(t), 2))
    found = []
    for chosen in itertools.combinations_with_replacement(range(len(pairs) + 1), len(pairs)):
        between = dict(zip(pairs, chosen, strict=True))
        found.append(tuple(tuple(alpha * between.get((min(b, c), max(b, c)), 0) for c in classes) for b in classes))
    return found


def certify_c7_between(
    per_class: int,
    alpha: Rational = 1,
    t: int = 2,
    *,
    low: Rational = 0,
    high: Rational = 1,
    method: Literal["embedding", "slope"] = "embedding",
) -> IntervalCertificate:
    """Certificate of C7 for all p in an open interval: symmetric noise, no minimiser is collapsed.

    Parameters
    ----------
    per_class : int
        Samples in each class, 2 to `MOST_PER_CLASS`.
    alpha : Fraction, int or str
        Margin > 0.
    t : int
        Number of classes, 2 or 3 (only by ``embedding``).
    low, high : Fraction, int or str
        The interval, within [0, 1].
    method : {"embedding", "slope"}
        One embedding on a line that is better at each p, in every m >= 1; or the slope of the loss at the best collapsed embedding
        when each class splits in two halves across, for m >= 2. Where this is so only near ``high``, the certificate's interval
        begins at the last root.

    Raises
    ------
    InvalidInput
    NotFound
        It is not so near ``high``.

    Examples
    --------
    >>> certificate = certify_c7_between(4)
    >>> [str(p) for p in certificate.interval], certificate.dimensions
    (['0', '1'], (1, None))
    """
    choice("method", method, ("embedding", "slope"))
    t = integer("t", t, 2, 3 if method == "embedding" else 2)
    k = integer("per_class", per_class, 2, MOST_PER_CLASS[t])
    a = margin_of(alpha)
    first = rational("low", low, "a rational in [0, 1)", lambda x: 0 <= x < 1)
    last = rational("high", high, f"a rational in ({first}, 1]", lambda x: first < x <= 1)
    classes = tuple(c for c in range(t) for _ in range(k))
    if method == "embedding":
        found = better_on_line(classes, symmetric(t, SEARCHED_AT[t]), "triplet", a)
        distances, dimension = found.distances, found.dimension
    else:
        place = [i % k < k // 2 for i in range(2 * k)]
        distances = tuple(
            tuple(a * (classes[i] != classes[j] or place[i] != place[j]) for j in range(2 * k)) for i in range(2 * k)
        )
        dimension = 2
    losses = [loss_polynomial(D, classes, a) for D in candidates(t, k, a)]
    other = loss_polynomial(distances, classes, a)
    gains = [_less(f, other) for f in losses]
    if method == "slope":
        gains[0] = _less(losses[0], losses[1])
    root = None
    for gain in gains:
        if roots_between(gain, first, last):
            root = last_root(gain, first, last, ROOT_WIDTH)
            first = root[1]
    if not all(is_positive(gain, first, last) for gain in gains):
        raise NotFound(f"C7: the best {method} found does not beat every collapsed embedding up to p = {last!s:.40}")
    conditions = {SIZE: Fraction(k)}
    return IntervalCertificate(
        "C7", "holds", NONE, conditions, (max(1, dimension), None), classes, a, (first, last), method,
        distances, tuple(gains), root,
    )  # fmt: skip
