"""What a certificate holds, and how it is written as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from sim.files import write_text
from sim.theory.certificates.bounds import Breakpoint
from sim.theory.certificates.exact import Embedding, Matrix, Positive
from sim.theory.certificates.hypotheses import Claim, Dimensions, Statement
from sim.theory.certificates.points import Points
from sim.theory.certificates.polynomials import Polynomial


class NotFound(RuntimeError):
    """The search found no embedding that proves the claim; that proves nothing."""


class Saved:
    """What is written as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; rationals are strings ``"num/den"`` or ``"num"``.

        Examples
        --------
        >>> from sim.theory.certificates import certify_c3
        >>> certify_c3("9/10", 2, "1/2").to_dict()["transition"]
        [['9/10', '1/10'], ['1/10', '9/10']]
        """
        plain: dict[str, Any] = _plain(self)
        return plain

    def save(self, path: str | Path) -> None:
        """Write as JSON, for `sim.theory.verifier`."""
        write_text(path, json.dumps(self.to_dict(), indent=1) + "\n")


@dataclass(frozen=True)
class Certificate(Saved):
    """A statement about all embeddings, with the numbers that prove it (see the package's text).

    Attributes
    ----------
    claim : str
        C3, C4, C7 or C8.
    verdict : str
        ``holds`` or ``fails`` (C7, C8: a collapsed embedding is a minimiser).
    statement : str
        What is proved, one of a fixed list (`hypotheses.Statement`).
    hypotheses : dict
        Exact condition -> the number that it is about, which meets it.
    dimensions : (int, int or None)
        The least and the greatest m of the R^m in which the statement holds; None: no greatest.
    positive : str
        ``all`` (C3, C4, and C7's counter-example) or ``easy``.
    classes : tuple of int, (n,)
        True class of each sample.
    transition : tuple of tuple of Fraction, (t, t)
    alpha : Fraction
    collapsed : Embedding
        The best collapsed embedding.
    better : Embedding, Points or None
        C7, C8 where they hold: an embedding of smaller value, hence not collapsed.
    breakpoints : tuple of Breakpoint
        C7, C8 where they hold: every candidate for the best collapsed embedding.
    collapsed_bound : Fraction or None
        C7, C8 where they hold: no collapsed embedding has a smaller value.
    one_class_bound : Fraction or None
        C7 where it holds: no embedding that collapses at least one class has a smaller value.
    global_bound : Fraction or None
        C3, C4, C8, and C7 where it fails: no embedding at all has a smaller value.
    """

    claim: Claim
    verdict: Literal["holds", "fails"]
    statement: Statement
    hypotheses: dict[str, Fraction]
    dimensions: Dimensions
    positive: Positive
    classes: tuple[int, ...]
    transition: Matrix
    alpha: Fraction
    collapsed: Embedding
    better: Embedding | Points | None = None
    breakpoints: tuple[Breakpoint, ...] = ()
    collapsed_bound: Fraction | None = None
    one_class_bound: Fraction | None = None
    global_bound: Fraction | None = None


@dataclass(frozen=True)
class IntervalCertificate(Saved):
    """C7 for every p of an open interval: two or three classes of equal size, symmetric noise.

    Attributes
    ----------
    claim, verdict, statement : str
        ``C7``, ``holds``, ``no minimiser is collapsed``.
    hypotheses : dict
        As in `Certificate`.
    dimensions : (int, None)
    classes : tuple of int, (n,)
    alpha : Fraction
    interval : (Fraction, Fraction)
        Open interval of p, within [0, 1].
    method : str
        ``embedding``: ``distances`` are those of a better embedding. ``slope``: they are the collapsed ones with centres alpha
        apart, plus a step across the line of centres to first order; the loss falls along that step.
    distances : tuple of tuple of Fraction, (n, n)
    gains : tuple of Polynomial
        Coefficients of powers of p, lowest first; all positive on the interval. For each collapsed embedding of
        `interval.candidates` its loss, less that at ``distances``; for ``slope`` the first is less the second collapsed embedding's.
    root : (Fraction, Fraction) or None
        Where the interval begins at a root of a gain: bounds between which it changes its sign, the greater being the interval's
        beginning.
    """

    claim: Literal["C7"]
    verdict: Literal["holds"]
    statement: Statement
    hypotheses: dict[str, Fraction]
    dimensions: Dimensions
    classes: tuple[int, ...]
    alpha: Fraction
    interval: tuple[Fraction, Fraction]
    method: Literal["embedding", "slope"]
    distances: Matrix
    gains: tuple[Polynomial, ...]
    root: tuple[Fraction, Fraction] | None = None


def _plain(x: Any) -> Any:
    """Rationals as text, tuples as lists, data classes as dictionaries."""
    if isinstance(x, Fraction):
        return str(x)
    if isinstance(x, tuple):
        return [_plain(v) for v in x]
    if isinstance(x, dict):
        return {name: _plain(v) for name, v in x.items()}
    if hasattr(x, "__dataclass_fields__"):
        return {name: _plain(getattr(x, name)) for name in x.__dataclass_fields__}
    return x
