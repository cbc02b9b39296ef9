"""Sweeps: from a specification to runs (`grid`), from runs to results (`execute`), on disk (`store`)."""
