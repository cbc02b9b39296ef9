"""Certificates for one p: of C3 and C4 by bounds that are attained, of C7 and C8 by embeddings that beat every collapsed one."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

from sim.errors import InvalidInput, choice
from sim.theory.certificates.bounds import (
    Breakpoint,
    best_collapsed,
    breakpoints,
    margin_easy_global_bound,
    one_class_lower_bound,
    pair_bound,
)
from sim.theory.certificates.certificate import Certificate, NotFound
from sim.theory.certificates.exact import ZERO, Embedding, Loss, Matrix, Positive, Rational, embedding_of, gram_rank
from sim.theory.certificates.hypotheses import (
    EVERY,
    NONE,
    ONE_POINT,
    SOME,
    TOTAL,
    Claim,
    Dimensions,
    Statement,
    hypotheses,
)
from sim.theory.certificates.inputs import MOST_SEARCHED, general, margin_of, setting
from sim.theory.certificates.points import Points, better_in_space
from sim.theory.certificates.search import better_on_line, in_pairs

Arrangement = Literal["line", "plane", "space", "pairs"]
IN_SPACE = {"plane": 2, "space": 3}
"""Arrangements in rational points, with their dimension."""


def _simplex(classes: Sequence[int], side: Fraction) -> Matrix:
    """Collapsed embedding with all centres ``side`` apart."""
    return tuple(tuple(ZERO if a == b else side for b in classes) for a in classes)


def certify_c3(
    p: Rational, per_class: int, alpha: Rational, t: int = 2, *, statement: Statement = "every minimiser is collapsed"
) -> Certificate:
    """Certificate of C3 (triplet, all positives): every minimiser is collapsed, for t - 1 <= m <= n - 2.

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
    statement : str
        Or the weaker "a collapsed embedding is a minimiser", in every m >= t - 1, which holds at p = 1 and p = 1/t, too.

    Raises
    ------
    InvalidInput
        If a hypothesis of the statement is not met: p = 1, p = 1/t, and p = 0 for t = 2.

    Examples
    --------
    >>> certificate = certify_c3("9/10", 3, "1/2")
    >>> certificate.statement, certificate.dimensions
    ('every minimiser is collapsed', (1, 4))
    >>> certify_c3(1, 3, "1/2", statement="a collapsed embedding is a minimiser").dimensions
    (1, None)
    """
    classes, transition, a = setting(p, per_class, alpha, t)
    return _c3(classes, transition, a, statement, ("p", p))


def certify_c3_of(
    classes: Sequence[int],
    transition: Sequence[Sequence[Rational]],
    alpha: Rational,
    *,
    statement: Statement = "every minimiser is collapsed",
) -> Certificate:
    """C3 for any classes and any transition matrix.

    Parameters
    ----------
    classes : (n,) sequence of int
        True classes, all of 0, ..., t - 1; at most 100 samples.
    transition : (t, t) sequence of Fraction, int or str
        Row-stochastic; T[c][y] = P(label y | class c).
    alpha, statement
        See `certify_c3`.

    Raises
    ------
    InvalidInput
        Also if a hypothesis is not met.
    NotFound
        The collapsed embedding with centres alpha apart does not attain the bound.

    Examples
    --------
    >>> certify_c3_of([0, 0, 0, 1, 1], [["9/10", "1/10"], ["3/10", "7/10"]], 1).dimensions
    (1, 3)
    """
    checked, T = general(classes, transition)
    return _c3(checked, T, margin_of(alpha), statement, None)


def _c3(
    classes: tuple[int, ...], transition: Matrix, a: Fraction, statement: Statement, given: tuple[str, Any] | None
) -> Certificate:
    """C3, for input that was checked; ``given`` is to blame if a hypothesis is not met."""
    choice("statement", statement, (EVERY, SOME))
    conditions = hypotheses("C3", statement, classes, transition, given)
    collapsed = embedding_of(_simplex(classes, a), classes, transition, "triplet", "all", a, None)
    bound = pair_bound(classes, transition, loss="triplet", alpha=a)
    return _attained("C3", statement, conditions, classes, transition, a, collapsed, bound)


def certify_c4(
    p: Rational, per_class: int, alpha: Rational, t: int = 2, *, statement: Statement | None = None
) -> Certificate:
    """Certificate of C4 (margin, all positives, b learnt).

    s_in > 1/2: every minimiser is collapsed, centres 2a apart, b = a, for t - 1 <= m <= n - 2. s_in < 1/2 (only for t >= 3,
    below the phase transition): every minimiser is one point, b = -a, for m <= n - 2.

    Parameters
    ----------
    p, per_class, alpha, t
        See `certify_c3`.
    statement : str, optional
        Which one is wanted; by default the one for this s_in. "a collapsed embedding is a minimiser" holds at every p.

    Raises
    ------
    InvalidInput
        If a hypothesis is not met: s_in = 1/2 (t = 2: p = 1/2), p = 1, and p = 0 for t = 2.

    Examples
    --------
    >>> certify_c4("9/10", 3, "1/2").collapsed.beta
    Fraction(1, 2)
    >>> certify_c4("1/2", 3, "1/2", t=3).statement
    'every minimiser is one point'
    """
    classes, transition, a = setting(p, per_class, alpha, t)
    twice = 2 * sum((x * x for x in transition[0]), ZERO)
    statement = statement or (TOTAL if twice < 1 else EVERY)
    choice("statement", statement, (EVERY, TOTAL, SOME))
    conditions = hypotheses("C4", statement, classes, transition, ("p", p))
    apart = twice >= 1
    distances = _simplex(classes, 2 * a if apart else ZERO)
    collapsed = embedding_of(distances, classes, transition, "margin", "all", a, a if apart else -a)
    bound = pair_bound(classes, transition, loss="margin", alpha=a)
    return _attained("C4", statement, conditions, classes, transition, a, collapsed, bound)


def _attained(
    claim: Claim,
    statement: Statement,
    conditions: dict[str, Fraction],
    classes: tuple[int, ...],
    transition: Matrix,
    a: Fraction,
    collapsed: Embedding,
    bound: Fraction,
    positive: Positive = "all",
) -> Certificate:
    """The certificate, if the embedding has no more than the bound."""
    if collapsed.value != bound:
        raise NotFound(
            f"{claim}: the collapsed embedding has {float(collapsed.value):.9g}, the bound is {float(bound):.9g}"
        )
    unique = statement in (EVERY, TOTAL)
    return Certificate(
        claim,
        "holds" if claim in ("C3", "C4") else "fails",
        statement,
        conditions,
        (max(1, collapsed.dimension), len(classes) - 2 if unique else None),
        positive,
        classes,
        transition,
        a,
        collapsed,
        global_bound=bound,
    )


def _collapsed(
    classes: tuple[int, ...], transition: Matrix, loss: Loss, a: Fraction, positive: Positive
) -> tuple[tuple[Breakpoint, ...], Fraction, Embedding]:
    """Breakpoints, bound and best collapsed embedding; of several the one of least dimension."""
    if len(transition) > 3:
        raise InvalidInput("t", len(transition), "2 or 3 (the number of breakpoints grows too fast with t)")
    points = breakpoints(classes, transition, loss=loss, alpha=a, positive=positive)
    bound, minimisers = best_collapsed(classes, points)
    candidates = []
    for centres, beta in minimisers:
        dimension = gram_rank(centres)
        if dimension is not None:
            candidates.append((dimension, centres, beta))
    if not candidates:
        raise NotFound(
            f"no points have the distances at which the bound {float(bound):.9g} on collapsed embeddings is attained"
        )
    _, centres, beta = min(candidates, key=lambda c: c[0])
    distances = tuple(tuple(centres[c][k] for k in classes) for c in classes)
    return points, bound, embedding_of(distances, classes, transition, loss, positive, a, beta)


def _better(
    arrangement: Arrangement, classes: tuple[int, ...], transition: Matrix, loss: Loss, a: Fraction
) -> Embedding | Points:
    """The best embedding found in an arrangement."""
    if arrangement == "line":
        return better_on_line(classes, transition, loss, a)
    if arrangement == "pairs":
        return in_pairs(classes, transition, a)
    return better_in_space(classes, transition, loss, a, IN_SPACE[arrangement])


def certify_c7(
    p: Rational,
    per_class: int,
    alpha: Rational,
    t: int = 2,
    *,
    arrangement: Arrangement = "line",
    positive: Positive = "easy",
) -> Certificate:
    """Certificate that no minimiser of the expected EPS triplet loss is collapsed, in every m >= that of the better embedding.

    Parameters
    ----------
    p, per_class, alpha, t
        See `certify_c3`; t is 2 or 3.
    arrangement : {"line", "plane", "space"}
        Where the better embedding is looked for: R^1, R^2 or R^3.
    positive : {"easy", "all"}
        All positives are the counter-example: there a collapsed embedding attains the bound over all embeddings.

    Returns
    -------
    Certificate
        Verdict ``fails`` ("a collapsed embedding is a minimiser") where the best collapsed embedding attains that bound, which for
        easy positives is 0.

    Raises
    ------
    NotFound
        No better embedding was found.

    Examples
    --------
    >>> certificate = certify_c7("9/10", 4, "1/2")
    >>> certificate.better.value < certificate.collapsed_bound, certificate.dimensions
    (True, (1, None))
    >>> certify_c7("9/10", 4, "1/2", positive="all").verdict
    'fails'
    """
    choice("arrangement", arrangement, ("line", *IN_SPACE))
    choice("positive", positive, ("easy", "all"))
    classes, transition, a = setting(p, per_class, alpha, t, MOST_SEARCHED)
    points, bound, collapsed = _collapsed(classes, transition, "triplet", a, positive)
    everything = ZERO if positive == "easy" else pair_bound(classes, transition, loss="triplet", alpha=a)
    if collapsed.value == everything:
        conditions = hypotheses("C7", SOME, classes, transition, ("p", p))
        return _attained("C7", SOME, conditions, classes, transition, a, collapsed, everything, positive)
    if positive == "all":
        raise NotFound(f"C7: with all positives nothing is proved at {p!s:.40}")
    conditions = hypotheses("C7", NONE, classes, transition, ("p", p))
    better = _better(arrangement, classes, transition, "triplet", a)
    one_class = one_class_lower_bound(classes, transition, a)
    return _beaten("C7", conditions, classes, transition, a, collapsed, better, points, bound, one_class=one_class)


def _beaten(
    claim: Claim,
    conditions: dict[str, Fraction],
    classes: tuple[int, ...],
    transition: Matrix,
    a: Fraction,
    collapsed: Embedding,
    better: Embedding | Points,
    points: tuple[Breakpoint, ...],
    bound: Fraction,
    one_class: Fraction | None = None,
    everything: Fraction | None = None,
) -> Certificate:
    """The certificate, if the better embedding is better."""
    if better.value >= bound:
        values = f"{float(better.value):.9g}, collapsed ones have at least {float(bound):.9g}"
        raise NotFound(f"{claim}: the best embedding found has {values}")
    dimensions: Dimensions = (max(1, better.dimension), None)
    return Certificate(
        claim, "holds", NONE, conditions, dimensions, "easy", classes, transition, a, collapsed,
        better, points, bound, one_class, everything,
    )  # fmt: skip


def certify_c8(
    p: Rational, per_class: int, alpha: Rational, t: int = 2, *, arrangement: Arrangement = "line"
) -> Certificate:
    """Certificate that no (or that some) minimiser of the expected EPS margin loss, b learnt, is collapsed.

    Parameters
    ----------
    p, per_class, alpha, t
        See `certify_c3`; t is 2 or 3.
    arrangement : {"line", "plane", "space", "pairs"}
        Where the better embedding is looked for: R^1, R^2, R^3; or in pairs at equal distances, which need about n/2 - 1
        dimensions (n - 1 for classes of 3).

    Returns
    -------
    Certificate
        Verdict ``fails`` where the best collapsed embedding attains the bound over all embeddings: for s_in <= 1/2 ("one point, with
        b = -a, is a minimiser", in every m), for two samples a class and for p = 1 ("a collapsed embedding is a minimiser", m >= t - 1).

    Raises
    ------
    NotFound
        Neither was found.

    Examples
    --------
    >>> certify_c8("3/5", 3, 1, t=3).statement
    'one point, with b = -a, is a minimiser'
    >>> certify_c8("9/10", 2, 1, t=3).dimensions
    (2, None)
    """
    choice("arrangement", arrangement, ("line", *IN_SPACE, "pairs"))
    classes, transition, a = setting(p, per_class, alpha, t, MOST_SEARCHED)
    points, bound, collapsed = _collapsed(classes, transition, "margin", a, "easy")
    everything = margin_easy_global_bound(classes, transition, a)
    if collapsed.value == everything:
        statement = ONE_POINT if collapsed.dimension == 0 else SOME
        conditions = hypotheses("C8", statement, classes, transition, ("p", p))
        return _attained("C8", statement, conditions, classes, transition, a, collapsed, everything, "easy")
    conditions = hypotheses("C8", NONE, classes, transition, ("p", p))
    better = _better(arrangement, classes, transition, "margin", a)
    return _beaten("C8", conditions, classes, transition, a, collapsed, better, points, bound, everything=everything)
