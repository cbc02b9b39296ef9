"""The claims, one file each; every verdict is computed, and each has a counter-example on which the opposite is demanded."""

from __future__ import annotations

import importlib
import pkgutil

from sim.theory.claims.base import CLAIMS, Claim, CounterExample, Outcome, Setting, report

for _module in sorted((m.name for m in pkgutil.iter_modules(__path__)), key=lambda name: (len(name), name)):
    importlib.import_module(f"{__name__}.{_module}")

__all__ = ["CLAIMS", "Claim", "CounterExample", "Outcome", "Setting", "report"]
