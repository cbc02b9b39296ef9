"""Theory: exact expected losses under label noise, their minimisers, certificates, and the claims that they decide."""

from __future__ import annotations

from sim.theory.expected import expected_loss, lower_bound, same_label, triplet_weights

__all__ = ["expected_loss", "lower_bound", "same_label", "triplet_weights"]
