"""Theory: exact expected losses under label noise, their minimisers, certificates, and the claims that they decide."""

from __future__ import annotations

from sim.theory.expected import expected_loss, lower_bound, same_label, triplet_weights
from sim.theory.similarity import expected_similarity_loss

__all__ = ["expected_loss", "expected_similarity_loss", "lower_bound", "same_label", "triplet_weights"]
