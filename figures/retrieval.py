"""Qualitative retrieval: queries and their nearest neighbours, right and wrong marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN, STYLE, name_of
from sim.catalogue import DATASETS, FIGURES
from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.files import whole
from sim.problems import build
from sim.sweeps.store import Store

QUERIES, NEIGHBOURS = 8, 6
RIGHT, WRONG = "#0072B2", "#D55E00"
NOISE, LOSS = 0.2, "triplet"


def queries(modes: np.ndarray, number: int = QUERIES) -> np.ndarray:
    """Rows of the queries, chosen before anything was trained: the first sample of each of ``number`` evenly spaced fine labels.

    Labels that only one sample has are left out: nothing can be retrieved for them.
    """
    _, first, count = np.unique(modes, return_index=True, return_counts=True)
    first = first[count > 1]
    rows: np.ndarray = first[np.unique(np.linspace(0, len(first) - 1, min(number, len(first))).round().astype(int))]
    return rows


def neighbours(embeddings: np.ndarray, rows: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """The k nearest other samples of each query, nearest first, shape (queries, k)."""
    from sklearn.neighbors import NearestNeighbors

    k = min(k, len(embeddings) - 1)
    found = NearestNeighbors(n_neighbors=k + 1).fit(embeddings).kneighbors(embeddings[rows], return_distance=False)
    # Where samples coincide the query needn't be its own nearest: leave it out by its index.
    return np.stack([line[line != row][:k] for line, row in zip(found, rows, strict=True)])


def _show(axis: Axes, picture: Image.Image, right: bool | None) -> None:
    grey = picture.mode in ("L", "1", "P")
    axis.imshow(np.asarray(picture.convert("L" if grey else "RGB")), cmap="gray_r", vmin=0, vmax=255)
    axis.set(xticks=[], yticks=[])
    colour = "0.2" if right is None else RIGHT if right else WRONG
    for spine in axis.spines.values():
        spine.set(
            visible=True,
            color=colour,
            linewidth=0.8 if right is None else 1.8,
            linestyle="-" if right is not False else (0, (2, 1)),
        )
    if right is not None:
        # Drawn marks: a font's ticks and crosses may be missing.
        axis.plot(0.88, 0.12, marker="o", color="white", markersize=8, transform=axis.transAxes, clip_on=False)
        axis.plot(
            0.88,
            0.12,
            marker="P" if right else "X",
            color=colour,
            markersize=6,
            transform=axis.transAxes,
            clip_on=False,
            markeredgewidth=0,
        )


def gallery(configs: Sequence[RunConfig], store: Store) -> Figure:
    """One block of columns for each run: each line a query and its nearest neighbours among the test images.

    Parameters
    ----------
    configs : sequence of RunConfig
        Runs of one real data set that differ in their positives, stored with ``save_embeddings``.
    store : Store

    Raises
    ------
    InvalidInput
        If the runs aren't of a data set with pictures, or left no embeddings.
    """
    from realdata.protocol import pictures_of_test

    data = configs[0].data
    if data.name not in DATASETS:
        raise InvalidInput("retrieval", data.name, f"a data set with pictures: {DATASETS.names()}")
    modes = build(data.name, configs[0].seed, **data.params).test.modes
    rows = queries(modes)
    sides = [(c, neighbours(store.arrays(c)["embeddings_test"], rows)) for c in configs]
    k = sides[0][1].shape[1]
    wanted = sorted({int(r) for r in rows} | {int(r) for _, found in sides for r in found.ravel()})
    pictures = dict(zip(wanted, pictures_of_test(data.name, data.params, wanted), strict=True))
    size = DOUBLE_COLUMN / (len(sides) * (k + 1) + 0.5 * (len(sides) - 1))
    figure = plt.figure(figsize=(DOUBLE_COLUMN, size * len(rows) + 0.45))
    for block, (config, found) in zip(figure.subfigures(1, len(sides), squeeze=False)[0], sides, strict=True):
        axes = block.subplots(len(rows), k + 1, squeeze=False)
        right = modes[found] == modes[rows][:, None]
        name = name_of(config.positive)
        block.suptitle(f"{name} positives: {right.sum()} of {right.size} right", fontsize=8)
        axes[0, 0].set_title("query", fontsize=7)
        axes[0, 1].set_title("nearest first", fontsize=7, loc="left")
        for line, row, near, hit in zip(axes, rows, found, right, strict=True):
            _show(line[0], pictures[int(row)], None)
            for axis, r, h in zip(line[1:], near, hit, strict=True):
                _show(axis, pictures[int(r)], bool(h))
    return figure


def write_gallery(configs: Sequence[RunConfig], store: Store, place: Path) -> None:
    """Draw a `gallery` to a file, its kind by its suffix.

    Raises
    ------
    InvalidInput
        Also for a suffix that can't be drawn.
    """
    if place.suffix not in (".pdf", ".png", ".svg"):
        raise InvalidInput("retrieval", str(place), "a name that ends with .pdf, .png or .svg")
    with mpl.rc_context():
        mpl.use("Agg")
        plt.style.use(STYLE)
        figure = gallery(configs, store)
        with whole(place) as file:
            figure.savefig(file, format=place.suffix[1:])
        plt.close(figure)


def draw(source: Source) -> Figure:
    """Random and easy positives, the first seed."""
    chosen = {
        c.positive: c
        for c in reversed(source.configs)
        if (c.loss.name, c.noise.level) == (LOSS, NOISE) and c.positive in ("random", "easy")
    }
    return gallery([chosen[p] for p in ("random", "easy")], source.store)


FIGURES.register("retrieval")(
    Entry(
        title="Queries and their nearest neighbours",
        caption=(
            "Test images of digits, embedded by nets trained on even/odd labels of which a fifth are wrong (triplet loss, first seed). Each line: "
            "a query (the first test image of each of eight digits) and its six nearest neighbours; solid blue and plus: the same digit, dashed orange and "
            "cross: another one. The counts are of this picture; the tables have Recall@1 over all queries and seeds."
        ),
        study="digits",
        draw=draw,
        of_runs=write_gallery,
    )
)
