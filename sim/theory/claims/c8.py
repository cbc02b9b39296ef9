"""C8. EPS margin loss, noisy labels, beta learnt: no minimiser is collapsed where s_in > 1/2; below, one point is least.

Proof by certificate (`sim.theory.certificates`, which derives both halves).
"""

from __future__ import annotations

from typing import Any

from sim.catalogue import CLAIMS
from sim.theory.certificates import NotFound, certify_c8
from sim.theory.claims.base import Claim, CounterExample, Outcome, Setting, agreement
from sim.theory.verifier import verify
from sim.verdict import Verdict, together

CASES = {"quick": [(2, 6, "9/10"), (2, 6, "4/5"), (3, 4, "9/10")]}
CASES["full"] = [(t, k, p) for t in (2, 3) for k in (4, 6, 8) for p in ("19/20", "9/10", "4/5")]


def _case(t: int, per_class: int, p: str) -> tuple[Verdict, dict[str, Any]]:
    """Certify one case, on a line if possible, else in high dimension, and verify the certificate."""
    for arrangement in ("line", "pairs"):
        try:
            certificate = certify_c8(p, per_class, "1/5", t, arrangement=arrangement)
        except NotFound:
            continue
        refused = verify(certificate.to_dict())
        evidence = {
            "best collapsed (exact)": float(certificate.collapsed.value),
            "better (exact)": None if certificate.better is None else float(certificate.better.value),
            "dimension of the better one": None if certificate.better is None else certificate.better.dimension,
            "bound over all embeddings (exact)": float(certificate.global_bound or 0),
            "verifier": refused or "accepts",
        }
        return ("inconclusive" if refused else certificate.verdict), evidence
    return "inconclusive", {"reason": "no certificate was found"}


def check(setting: Setting) -> Outcome:
    """s_in > 1/2 for two and three classes; the counter-example t = 3, p = 0.6, where s_in < 1/2."""
    size = setting.size
    cases = {f"t = {t}, {k} a class, p = {p}": _case(t, k, p) for t, k, p in CASES[size]}
    counter = _case(3, 4, "3/5")
    verdict = together(v for v, _ in cases.values())
    first = next(iter(cases.values()))[1]
    return Outcome(
        hypotheses={"s_in > 1/2": True, "beta is learnt": True, "three or more samples a class": True},
        verdict=verdict,
        bound=first.get("best collapsed (exact)"),
        best=first.get("better (exact)"),
        evidence={k: {"verdict": v, **e} for k, (v, e) in cases.items()} | {"t = 3, p = 3/5": counter[1]},
        counter_example=CounterExample(f"t = 3, p = 0.6: s_in = {agreement(3, 0.6)[0]:.2f} < 1/2", counter[0], "fails"),
    )


CLAIMS.register("C8")(
    Claim("EPS margin, noisy, beta learnt: no minimiser is collapsed where s_in > 1/2", "holds", check)
)
