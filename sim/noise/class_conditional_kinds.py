"""Kinds of noise whose flips depend on the class alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.errors import InvalidInput
from sim.noise import asymmetric, class_conditional, pair_flip, symmetric


@class_conditional("symmetric")
def _symmetric(t: int, level: float) -> np.ndarray:
    return symmetric(t, 1 - level)


@class_conditional("pair_flip")
def _pair_flip(t: int, level: float) -> np.ndarray:
    return pair_flip(t, 1 - level)


@class_conditional("matrix")
def _matrix(t: int, level: float, *, matrix: Any) -> np.ndarray:
    """(1 - level) I + level M for a given M: level 0 is clean, and labels that leave go where M sends them."""
    destinations = asymmetric(matrix)
    if len(destinations) != t:
        raise InvalidInput("noise.params.matrix", destinations.shape, f"a {t} x {t} matrix, as there are {t} classes")
    return (1 - level) * np.eye(t) + level * destinations
