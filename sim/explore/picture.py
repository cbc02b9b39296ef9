"""What the explorer shows, where there is no browser: a picture of the present state, and a film of a run."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from sim.errors import InvalidInput
from sim.explore.engine import Engine
from sim.explore.verdicts import VERDICTS
from sim.look import scatter_modes


def _scatter(axis: Axes, x: np.ndarray, engine: Engine, labels: np.ndarray) -> None:
    sample = engine.problem.train
    scatter_modes(axis, x[:, :2], sample.classes, sample.modes, s=9)
    flipped = labels != sample.classes
    axis.scatter(x[flipped, 0], x[flipped, 1], s=26, facecolors="none", edgecolors="black", linewidths=0.5)
    axis.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")


def draw(engine: Engine, dpi: int = 100) -> bytes:
    """A PNG: the input space and each embedding (of a sphere the first two axes); colour class, shape mode, ring flipped label."""
    embeddings, labels, state = engine.embeddings(), engine.labels(), engine.state
    figure = Figure(figsize=(3 * (1 + len(embeddings)), 3.35), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 1 + len(embeddings), squeeze=False)[0]
    titles = ["input space"]
    for k, positive in enumerate(state.positives):
        titles.append(f"{positive} positives: {VERDICTS[str(engine.metrics(k)['verdict'])].title}")
    for axis, x, title in zip(axes, [engine.inputs(), *embeddings], titles, strict=True):
        _scatter(axis, x, engine, labels)
        axis.set_title(title, fontsize=10)
        if axis is not axes[0] and state.geometry == "plane":
            # As long as the margin: the panels have scales of their own.
            left, low = x.min(0) - 0.04 * np.ptp(x, axis=0).max()
            axis.plot([left, left + state.margin], [low, low], color="black", linewidth=2)
            axis.annotate("margin", (left, low), (0, 3), textcoords="offset points", fontsize=8)
    figure.suptitle(f"{state.loss} loss, label noise {state.noise:g}, step {engine.step_count:,}", fontsize=10)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=dpi)
    return picture.getvalue()


def animate(engine: Engine, place: Path, *, frames: int = 24, steps: int = 60, milliseconds: int = 160) -> None:
    """A film of the next ``steps * (frames - 1)`` steps, to a GIF or WebP file.

    Raises
    ------
    InvalidInput
        For another kind of file.
    """
    if place.suffix not in (".gif", ".webp"):
        raise InvalidInput("animation", str(place), "a name that ends with .gif or .webp")
    pictures = []
    for k in range(frames):
        for _ in range(steps if k else 0):
            engine.advance()
        pictures.append(Image.open(io.BytesIO(draw(engine, dpi=80))).convert("RGB").quantize(48))
    durations = [milliseconds] * (frames - 1) + [8 * milliseconds]
    pictures[0].save(place, save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=True)
