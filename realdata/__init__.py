"""The same experiments on real data sets. Importing this package makes them problems and studies of `sim`."""

from __future__ import annotations

from realdata import benchmark, protocol, recorded

__all__ = ["benchmark", "protocol", "recorded"]
