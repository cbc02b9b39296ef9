"""The claims, one file each; every verdict is computed, and each has a counter-example on which the opposite is demanded."""

from __future__ import annotations

from sim.catalogue import CLAIMS
from sim.theory.claims.base import Claim, CounterExample, Outcome, Part, Setting, report, unexpected

__all__ = ["CLAIMS", "Claim", "CounterExample", "Outcome", "Part", "Setting", "report", "unexpected"]
