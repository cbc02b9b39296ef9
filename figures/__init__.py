"""Figures: one file each, entered in `sim.catalogue.FIGURES`. They read the store and never train."""

from __future__ import annotations

from figures.entry import Entry, Source

__all__ = ["Entry", "Source"]
