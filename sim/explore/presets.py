"""The explorer's presets: what differs from the default state."""

from __future__ import annotations

from sim.catalogue import PRESETS

PRESETS.register("clean labels")({})
PRESETS.register("noise collapses classes")({"noise": 0.2, "noise_mode": "resampled"})
PRESETS.register("flipped once")({"noise": 0.3})
PRESETS.register("batch-hard")({"noise": 0.1, "positive": "hard", "negative": "hard"})
PRESETS.register("margin loss on a sphere")(
    {"loss": "margin", "negative": "distance_weighted", "geometry": "sphere", "noise": 0.2, "margin": 0.2}
)
PRESETS.register("three classes in rings")({"generator": "rings", "classes": 3, "noise": 0.2})
