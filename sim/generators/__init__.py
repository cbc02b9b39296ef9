"""Synthetic classes with several modes, for which everything about collapse can be known.

Units are the same in all generators: neighbouring modes lie a gap of 1 apart, the standard deviation across a mode is
1 / ``separation``. Modes are interleaved: the k-th mode of every class lies in *cell* k, so that the mode nearest to a mode
belongs to another class (but in `hierarchy`, where it is the other way round on purpose). ``overlap`` closes the gap between
neighbouring modes of different classes.

A generator is one decorated function in a file of this package, or in a module outside (see `generator`). Nothing else has to
know it: `generate` finds it by its name. Those named below can also be called from here.
"""

from .base import Generator, Layout, Sample, cell_centres, generate, generator
from .curves import moons, rings, spirals
from .hierarchy import hierarchy
from .mixtures import gaussian_mixture, nuisance_mixture
from .sphere_vmf import sphere_vmf
from .xor_grid import xor_grid

__all__ = [
    "Generator",
    "Layout",
    "Sample",
    "cell_centres",
    "gaussian_mixture",
    "generate",
    "generator",
    "hierarchy",
    "moons",
    "nuisance_mixture",
    "rings",
    "sphere_vmf",
    "spirals",
    "xor_grid",
]
