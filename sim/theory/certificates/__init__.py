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

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from sim.errors import InvalidInput, integer
from sim.files import write_text
from sim.theory.certificates.bounds import (
    Breakpoint,
    best_collapsed,
    breakpoints,
    lattices,
    margin_easy_global_bound,
    one_class_lower_bound,
    pair_bound,
)
from sim.theory.certificates.exact import (
    ZERO,
    Embedding,
    Loss,
    Matrix,
    Rational,
    embedding_of,
    exact_loss,
    gram_rank,
)
from sim.theory.certificates.search import better_on_line, in_pairs

__all__ = [
    "Breakpoint",
    "Certificate",
    "Embedding",
    "NotFound",
    "best_collapsed",
    "breakpoints",
    "certify_c3",
    "certify_c4",
    "certify_c7",
    "certify_c8",
    "exact_loss",
    "gram_rank",
    "lattices",
    "margin_easy_global_bound",
    "one_class_lower_bound",
    "pair_bound",
]

Arrangement = Literal["line", "pairs"]


MOST_SAMPLES = 100
"""Of a certificate: the verifier's limit."""

MOST_SEARCHED = 60
"""Samples up to which a better embedding is looked for: seconds; the time grows with the fourth power."""

MOST_CHARACTERS = 100
"""Of a rational given as text."""


class NotFound(RuntimeError):
    """The search found no embedding that proves the claim; that proves nothing."""


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
        """As JSON types; rationals are strings ``"num/den"`` or ``"num"``.

        Examples
        --------
        >>> certify_c3("9/10", 2, "1/2").to_dict()["transition"]
        [['9/10', '1/10'], ['1/10', '9/10']]
        """
        plain: dict[str, Any] = _plain(self)
        return plain

    def save(self, path: str | Path) -> None:
        """Write as JSON, for `sim.theory.verifier`."""
        write_text(path, json.dumps(self.to_dict(), indent=1) + "\n")


def _plain(x: Any) -> Any:
    """Rationals as text, tuples as lists, data classes as dictionaries."""
    if isinstance(x, Fraction):
        return str(x)
    if isinstance(x, tuple):
        return [_plain(v) for v in x]
    if hasattr(x, "__dataclass_fields__"):
        return {name: _plain(getattr(x, name)) for name in x.__dataclass_fields__}
    return x


def _rational(field: str, value: Rational, allowed: str, ok: Callable[[Fraction], bool]) -> Fraction:
    """``value`` as a fraction, if ``ok`` accepts it. A float is refused: 0.9 is not 9/10."""
    # An exponent is refused, too: "1e999999999" would be a number of a billion digits.
    written = not isinstance(value, str) or (len(value) <= MOST_CHARACTERS and "e" not in value.lower())
    if isinstance(value, (Fraction, int, str)) and not isinstance(value, bool) and written:
        try:
            number = Fraction(value)
        except (ValueError, ZeroDivisionError):
            pass
        else:
            if ok(number):
                return number
    raise InvalidInput(field, value, allowed)


def _setting(
    p: Rational, per_class: int, alpha: Rational, t: int, most: int = MOST_SAMPLES
) -> tuple[tuple[int, ...], Matrix, Fraction]:
    """Classes, transition matrix of symmetric noise and margin, checked."""
    t = integer("t", t, 2, most // 2)
    per_class = integer("per_class", per_class, 2, most // t)
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

    Examples
    --------
    >>> certificate = certify_c3("9/10", 3, "1/2")
    >>> certificate.verdict, certificate.collapsed.value == certificate.global_bound
    ('holds', True)
    """
    classes, transition, a = _setting(p, per_class, alpha, t)
    collapsed = embedding_of(_simplex(classes, a), classes, transition, "triplet", "all", a, None)
    bound = pair_bound(classes, transition, loss="triplet", alpha=a)
    return _attained("C3", classes, transition, a, collapsed, bound)


def certify_c4(p: Rational, per_class: int, alpha: Rational, t: int = 2) -> Certificate:
    """Certificate that a collapsed embedding attains C4's bound (margin, all positives, b learnt).

    s_in >= 1/2: centres 2a apart, b = a. Below the phase transition: all on one point, b = -a. Parameters: `certify_c3`.

    Examples
    --------
    >>> certify_c4("9/10", 3, "1/2").collapsed.beta
    Fraction(1, 2)
    """
    classes, transition, a = _setting(p, per_class, alpha, t)
    above = 2 * sum((x * x for x in transition[0]), ZERO) >= 1
    distances = _simplex(classes, 2 * a if above else ZERO)
    collapsed = embedding_of(distances, classes, transition, "margin", "all", a, a if above else -a)
    bound = pair_bound(classes, transition, loss="margin", alpha=a)
    return _attained("C4", classes, transition, a, collapsed, bound)


def _attained(
    claim: str, classes: tuple[int, ...], transition: Matrix, a: Fraction, collapsed: Embedding, bound: Fraction
) -> Certificate:
    """The certificate, if the embedding has no more than the bound."""
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
    return points, bound, embedding_of(distances, classes, transition, loss, "easy", a, beta)


def certify_c7(p: Rational, per_class: int, alpha: Rational, t: int = 2) -> Certificate:
    """Certificate that no minimiser of the expected EPS triplet loss is collapsed, in R^m for every m >= 1.

    The better embedding lies on a line. Parameters: `certify_c3`; t is 2 or 3.

    Raises
    ------
    NotFound
        No better embedding was found.

    Examples
    --------
    >>> certificate = certify_c7("9/10", 4, "1/2")
    >>> certificate.better.value < certificate.collapsed_bound
    True
    """
    classes, transition, a = _setting(p, per_class, alpha, t, MOST_SEARCHED)
    points, bound, collapsed = _collapsed(classes, transition, "triplet", a)
    better = better_on_line(classes, transition, "triplet", a)
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

    Examples
    --------
    >>> certify_c8("3/5", 3, 1, t=3).verdict
    'fails'
    """
    classes, transition, a = _setting(p, per_class, alpha, t, MOST_SEARCHED)
    points, bound, collapsed = _collapsed(classes, transition, "margin", a)
    everything = margin_easy_global_bound(classes, transition, a)
    better = None
    if collapsed.value > everything:
        better = (
            better_on_line(classes, transition, "margin", a)
            if arrangement == "line"
            else in_pairs(classes, transition, a)
        )
        if better.value >= bound:
            raise NotFound(f"C8: the best embedding found has {better.value}, collapsed ones have at least {bound}")
    verdict: Literal["holds", "fails"] = "fails" if better is None else "holds"
    return Certificate("C8", verdict, classes, transition, a, collapsed, better, points, bound, global_bound=everything)
