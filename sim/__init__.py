"""Simulation toolkit for class collapse in metric learning (losses, samplers, noise, training, metrics)."""
