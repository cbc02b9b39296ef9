"""Simulation toolkit for class collapse in metric learning (losses, samplers, noise, training, metrics)."""

import os

# Read once, when PyTorch's OpenMP library is loaded: threads that wait sleep. By default they spin, and where the machine has other
# work two threads of one process then take several times as long as one.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
