"""C3. Triplet loss, noisy labels: for m <= n - 2 every minimiser is class-collapsed, with centres exactly alpha apart.

Bound. For an anchor i and an unordered pair {j, k} put x = D_ij - D_ik. The two ordered triplets cost
w_ijk [x + a]_+ + w_ikj [a - x]_+ >= 2a min(w_ijk, w_ikj), with equality for w_ijk > w_ikj > 0 only at x = -a.

General condition. w_ijk - w_ikj = sum_y P_iy (P_jy - P_ky) = s_ij - s_ik with s_AB = (T T')_AB. So the bound is attained
iff D_ik - D_ij = a whenever s_ij > s_ik (all w > 0). Let every class A satisfy s_AA > s_AB and let all s_AB, B != A, be equal
(symmetric noise: s_in - s_out = (p - q)^2 > 0 for p != 1/t, also below 1/t). Then distances from i take two values: c_i inside
its class and c_i + a outside. Symmetry of D makes all c_i equal c. If c > 0, the points of a class are a regular simplex and each is
equidistant from all points of another class: classes lie in orthogonal spaces around their centres, n points in general position,
which needs m >= n - 1. For m <= n - 2 hence c = 0: collapse, and t points a apart exist iff m >= t - 1.

Where the condition fails: with three different values of s for one anchor the bound asks for gaps of a, a and a in a row and isn't
attained; with t = 2 and s_00 > s_01 > s_11 (a class whose labels agree less with themselves than with the other's) class 1 is
pushed apart instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim import noise
from sim.catalogue import CLAIMS
from sim.theory.claims.base import Claim, CounterExample, Outcome, Setting, collapse_verdict, two_classes
from sim.theory.expected import lower_bound
from sim.theory.minimise import minimise
from sim.verdict import Verdict, together

ALPHA = 0.5


def meets_condition(transition: Any) -> bool:
    """The general condition: s_AA > s_AB for all B, and all s_AB with B != A equal.

    Examples
    --------
    >>> meets_condition([[0.9, 0.1], [0.3, 0.7]]), meets_condition([[1.0, 0.0], [0.6, 0.4]])
    (True, False)
    """
    matrix = noise.asymmetric(transition)
    same = matrix @ matrix.T
    off = same[~np.eye(len(same), dtype=bool)]
    return bool(np.ptp(off) < 1e-12 and same.diagonal().min() > off.max() + 1e-12)


def case(classes: np.ndarray, transition: Any, dim: int, setting: Setting) -> tuple[Verdict, dict[str, Any]]:
    """Minimise one case and say whether all minimisers found are collapsed."""
    bound = lower_bound(classes, transition, alpha=ALPHA)
    found = minimise(
        classes, transition, alpha=ALPHA, dim=dim, bound=bound, restarts=setting.restarts, seed=setting.seed
    )
    return collapse_verdict(found, classes, ALPHA)


def check(setting: Setting) -> Outcome:
    """n = 8 over m around n - 1; p through 1/t; unequal sizes; non-symmetric matrices inside and outside the condition."""
    classes = two_classes(4)
    n = len(classes)
    over_m = {m: case(classes, noise.symmetric(2, 0.9), m, setting) for m in (1, 2, n - 2, n - 1, n)}
    over_p = {p: case(classes, noise.symmetric(2, p), 2, setting) for p in (0.95, 0.7, 0.6, 0.5, 0.4, 0.2)}
    unequal = case(np.repeat([0, 1], [2, 6]), noise.symmetric(2, 0.9), 2, setting)
    three = np.repeat([0, 1, 2], 3)
    three_classes = case(three, noise.symmetric(3, 0.8), 2, setting)
    # s_00 = 0.82, s_11 = 0.58, s_01 = 0.34: not symmetric, but inside the condition.
    inside = [[0.9, 0.1], [0.3, 0.7]]
    skewed = case(classes, inside, 2, setting)
    # s_00 = 1, s_01 = 0.6, s_11 = 0.52: class 1 agrees more with class 0 than with itself.
    outside = [[1.0, 0.0], [0.6, 0.4]]
    pushed = case(np.repeat([0, 1], [4, 2]), outside, 2, setting)
    inside_verdicts = [
        *(over_m[m][0] for m in (1, 2, n - 2)),
        *(v for p, (v, _) in over_p.items() if p != 0.5),
        unequal[0],
        three_classes[0],
        skewed[0],
    ]
    verdict = together([*inside_verdicts, "holds" if meets_condition(inside) else "inconclusive"])
    return Outcome(
        hypotheses={
            "q > 0 and p != 1/t (in general: s_AA > s_AB, all s_AB equal)": meets_condition(noise.symmetric(2, 0.9)),
            "every class has two samples or more": True,
            "t - 1 <= m <= n - 2": True,
        },
        verdict=verdict,
        bound=over_m[2][1]["bound"],
        best=over_m[2][1]["best"],
        evidence={
            "over m (n = 8, p = 0.9)": {str(m): {"verdict": v, **e} for m, (v, e) in over_m.items()},
            "over p (n = 8, m = 2)": {str(p): {"verdict": v, **e} for p, (v, e) in over_p.items()},
            "class sizes 2 and 6": {"verdict": unequal[0], **unequal[1]},
            "three classes of three, p = 0.8": {"verdict": three_classes[0], **three_classes[1]},
            f"non-symmetric, inside the condition {inside}": {"verdict": skewed[0], **skewed[1]},
            f"non-symmetric, outside the condition {outside}": {
                "meets_condition": meets_condition(outside),
                "verdict": pushed[0],
                **pushed[1],
            },
        },
        counter_example=CounterExample(f"m = n - 1 = {n - 1}", over_m[n - 1][0], "fails"),
    )


CLAIMS.register("C3")(
    Claim("triplet, noisy: for m <= n - 2 every minimiser is collapsed, centres alpha apart", "holds", check)
)
