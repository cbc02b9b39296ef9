"""Where the integrals of `sim.theory.integrals` are taken, and how far that can be from their values.

E log X = log mu + integral over v of [exp(-mu u) - E exp(-X u)], u = e^v, for a positive random X and any mu > 0 (Frullani). Here mu = E X. The
trapezoidal rule takes it at u = u_0, u_0 2^(1/F), u_0 2^(2/F), ..., F nodes a doubling.
"""

from __future__ import annotations

import math

from sim.compiled import compiled

FINE = 2
"""Nodes a doubling."""

LEFT = 1e-14
"""What the nodes left out before the first one come to at the most, per expected term."""

NEGLIGIBLE, BEYOND = 1e-16, 40.0
"""A row ends where E exp(-X u) and mu u have come so far."""

SMALLEST = 1e-300


@compiled
def first_node(largest: float, fine: int) -> float:
    """The first u: by Jensen the integrand before it is at most (u X)^2 / 2, and X is at most ``largest``.

    Examples
    --------
    >>> 1e-7 < first_node(1.0, 2) < 2e-7
    True
    """
    h = math.log(2.0) / fine
    found: float = math.sqrt(2.0 * LEFT * (1.0 - math.exp(-2.0 * h)) / h) / largest
    return found


def error_bound(fine: int = FINE) -> float:
    """How far a term's expectation can be from what the nodes give, rounding aside.

    The infinite rule errs, for one value of X, by sum over k != 0 of Gamma(-i w_k) (mu^(i w_k) - X^(i w_k)), w_k = 2 pi k / h with h = log(2) / F
    (Poisson's formula), so by at most 4 sum over k > 0 of |Gamma(i w_k)|, where |Gamma(i w)|^2 = pi / (w sinh(pi w)). The nodes left out add `LEFT`
    before the first one and, after the last one, `NEGLIGIBLE` for every node that exp(-X u) could still need.

    Parameters
    ----------
    fine : int
        Nodes a doubling, F.

    Returns
    -------
    float
        Per expected term: to be multiplied by the expected number of terms.

    Examples
    --------
    >>> error_bound(2) < 1.2e-12, error_bound(1) < 1e-5, error_bound(4) < 3e-14
    (True, True, True)
    """
    bound = 0.0
    for k in range(1, 4):
        w = 2 * math.pi * k * fine / math.log(2)
        # As exponentials: sinh may be beyond the numbers.
        bound += 4 * math.sqrt(2 * math.pi / w / (1 - math.exp(-2 * math.pi * w))) * math.exp(-math.pi * w / 2)
    return bound + LEFT + 100 * NEGLIGIBLE
