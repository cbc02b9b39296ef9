"""C8. EPS margin loss, noisy labels, beta learnt: no minimiser is collapsed where s_in > 1/2; below, one point is least.

Proof by certificate (`sim.theory.certificates`, which derives both halves). For s_in <= 1/2 one point with b = -a is a global minimiser
in every dimension. For two samples a class and s_in > 1/2 the collapsed simplex, sides 2a, b = a, is one in every m >= t - 1. Else the best
collapsed embedding is one of a finite list, and an embedding on a line, in rational points of the plane, or in pairs lies below it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import numpy as np

from sim import noise
from sim.catalogue import CLAIMS
from sim.theory.certificates import Certificate, NotFound, certify_c8
from sim.theory.claims.base import Claim, CounterExample, Outcome, Part, Setting, agreement, opposite, part_of_cases
from sim.theory.descent import Search
from sim.theory.minimise import minimise
from sim.theory.verifier import verify
from sim.verdict import Verdict, together

ALPHA = Fraction(1, 5)
NEAR = [(2, 4, "3/5"), (2, 5, "13/20"), (2, 6, "3/5"), (3, 4, "7/10")]
"""Near the threshold: nothing better is found on a line, but in the plane."""
CASES = {"quick": [(2, 6, "9/10"), (2, 6, "4/5"), (3, 4, "9/10"), *NEAR]}
CASES["full"] = [(t, k, p) for t in (2, 3) for k in (3, 4, 6, 8) for p in ("19/20", "9/10", "4/5")] + NEAR
COUNTER = (3, 4, "3/5")
"""The last case near the threshold, at another p: s_in < 1/2."""

Case = tuple[Verdict, dict[str, Any]]


def hypotheses(t: int, per_class: int, p: str) -> dict[str, bool]:
    """C8's hypotheses, for symmetric noise.

    Examples
    --------
    >>> [text for text, met in hypotheses(3, 2, "3/5").items() if not met]
    ['s_in > 1/2', 'three or more samples a class']
    """
    keep = Fraction(p)
    flip = (1 - keep) / (t - 1)
    return {
        "s_in > 1/2": keep**2 + (t - 1) * flip**2 > Fraction(1, 2),
        "q > 0": flip > 0,
        "three or more samples a class": per_class >= 3,
    }


def _certificate(t: int, per_class: int, p: str) -> tuple[Certificate | None, list[str]]:
    """The first one that is found: on a line, in the plane, in high dimension; with the reasons why the others were not."""
    reasons: list[str] = []
    arrangements: tuple[Literal["line", "plane", "pairs"], ...] = ("line", "plane", "pairs")
    for arrangement in arrangements:
        try:
            return certify_c8(p, per_class, ALPHA, t, arrangement=arrangement), reasons
        except NotFound as reason:
            reasons.append(f"{arrangement}: {reason}")
    return None, reasons


def case(t: int, per_class: int, p: str, setting: Setting) -> Case:
    """Certificate, verifier, and a free search in the plane: is no minimiser collapsed?

    ``fails`` where the best collapsed embedding attains the bound over all embeddings and the search finds nothing below it.

    Examples
    --------
    >>> case(3, 4, "3/5", Setting())[0], case(2, 2, "9/10", Setting())[0], case(2, 3, "9/10", Setting())[0]
    ('fails', 'fails', 'holds')
    """
    certificate, reasons = _certificate(t, per_class, p)
    if certificate is None:
        return "inconclusive", {"reasons": reasons}
    refused = verify(certificate.to_dict())
    free = minimise(
        np.repeat(np.arange(t), per_class),
        noise.symmetric(t, float(Fraction(p))),
        loss="margin",
        positive="easy",
        alpha=float(ALPHA),
        beta="learn",
        dim=2,
        restarts=setting.restarts,
        seed=setting.seed,
        search=Search(steps=400, polish=400),
    ).best
    collapsed, better = float(certificate.collapsed.value), certificate.better
    evidence = {
        "statement": certificate.statement,
        "dimensions": certificate.dimensions,
        "best collapsed (exact)": collapsed,
        "better (exact, or an upper bound)": None if better is None else float(better.value),
        "bound over all embeddings (exact)": float(certificate.global_bound or 0),
        "best free, m = 2": free,
        "not found": reasons,
        "verifier": refused or "accepts",
    }
    # What is better in many dimensions only need not show in the plane.
    in_plane = certificate.dimensions[0] <= 2
    agreed = not refused and (not in_plane or (free < collapsed * (1 - 1e-9)) == (certificate.verdict == "holds"))
    return (certificate.verdict if agreed else "inconclusive"), evidence


ABOVE = "s_in > 1/2, three or more a class: no minimiser is collapsed"
BELOW = "s_in <= 1/2: one point, with beta = -alpha, is a minimiser in every m"
PAIRS = "two a class, s_in > 1/2: a collapsed embedding is a minimiser in every m >= t - 1"


def check(setting: Setting) -> Outcome:
    """s_in > 1/2 for two and three classes, up to the threshold; the counter-example at s_in < 1/2; two samples a class."""
    cases = {(t, k, p): case(t, k, p, setting) for t, k, p in CASES[setting.size]}
    counter = case(*COUNTER, setting)
    below = [counter, case(2, 4, "1/2", setting)]
    pairs = [case(t, 2, p, setting) for t, p in ((2, "9/10"), (3, "9/10"), (2, "3/5"))]
    parts: dict[str, Part] = {
        ABOVE: part_of_cases([v for v, _ in cases.values()]),
        BELOW: part_of_cases([opposite(v) for v, _ in below]),
        PAIRS: part_of_cases([opposite(v) for v, _ in pairs]),
    }
    met = [hypotheses(t, k, p) for t, k, p in cases]
    first = next(iter(cases.values()))[1]
    t, k, p = COUNTER
    evidence: dict[str, Any] = {
        f"t = {t}, {k} a class, p = {p}": {"verdict": v, **e} for (t, k, p), (v, e) in cases.items()
    }
    return Outcome(
        hypotheses={text: all(of_case[text] for of_case in met) for text in met[0]},
        verdict=together(part.verdict for part in parts.values()),
        bound=first.get("best collapsed (exact)"),
        best=first.get("better (exact, or an upper bound)"),
        evidence=evidence | {"s_in <= 1/2": [e for _, e in below], "two a class": [e for _, e in pairs]},
        counter_example=CounterExample(
            f"t = {t}, {k} a class, p = {p}: s_in = {agreement(t, float(Fraction(p)))[0]:.2f} < 1/2",
            counter[0],
            "fails",
        ),
        parts=parts,
    )


CLAIMS.register("C8")(
    Claim(
        "EPS margin, noisy, beta learnt, three or more a class: no minimiser is collapsed where certified, s_in > 1/2; else one point is least",
        "holds",
        check,
        {ABOVE: "holds", BELOW: "holds", PAIRS: "holds"},
    )
)
