"""Embedding nets with a leading run axis: R nets of one shape advance in one tensor program.

Every parameter has shape (R, ...); run r's initial values come from its own stream, so they don't depend on which
other runs share the program.

A net is a class registered in `sim.catalogue.NETS`, in a file of this package or in a module outside. Nothing else has to know it.
"""

from .base import ACTIVATIONS, Net, activation_of, fan_in_bound, initial
from .conv import Conv
from .mlp import MLP, Linear
from .table import Table

__all__ = ["ACTIVATIONS", "MLP", "Conv", "Linear", "Net", "Table", "activation_of", "fan_in_bound", "initial"]
