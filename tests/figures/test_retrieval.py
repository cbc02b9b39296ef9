"""The picture of retrieval shows the nearest neighbours there are, and marks right and wrong by more than colour."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from figures.retrieval import NEIGHBOURS, gallery, neighbours, queries, write_gallery
from realdata.benchmark import configs
from sim.errors import InvalidInput
from sim.sweeps.execute import execute
from sim.sweeps.store import Store


def test_queries_are_the_first_of_each_label_that_can_be_retrieved() -> None:
    modes = np.array([5, 3, 3, 9, 5, 7, 7])
    assert list(queries(modes)) == [1, 0, 5]
    assert list(queries(modes, 2)) == [1, 5]


def test_neighbours_leave_out_the_query_even_among_duplicates() -> None:
    x = np.zeros((9, 2))
    x[8] = 1
    found = neighbours(x, np.array([0, 3, 8]), 4)
    assert found.shape == (3, 4)
    assert all(row not in line for row, line in zip((0, 3, 8), found, strict=True))
    line = np.arange(6.0)[:, None]
    assert neighbours(line, np.array([0]), 3).tolist() == [[1, 2, 3]]


def test_the_gallery(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    runs = configs("digits", losses=["triplet"], noise=[0.0], seeds=1, settings={"steps": 5, "checkpoints": 1})
    execute(runs, store)
    mpl.use("Agg")
    figure = gallery(runs, store)
    assert len(figure.axes) == 2 * 8 * (1 + NEIGHBOURS)
    marks = [[line.get_marker() for line in axis.lines[1:]] for axis in figure.axes]
    assert sum(m == [] for m in marks) == 2 * 8  # the queries
    counted = [int(sub.get_suptitle().split(": ")[1].split(" of ")[0]) for sub in figure.subfigs]
    assert sum(m == ["P"] for m in marks) == sum(counted)
    assert sum(m == ["X"] for m in marks) == 2 * 8 * NEIGHBOURS - sum(counted) > 0
    plt.close(figure)
    with pytest.raises(InvalidInput, match="a name that ends with .pdf, .png or .svg"):
        write_gallery(runs, store, tmp_path / "x.doc")
    rings = configs("rings", losses=["triplet"], noise=[0.0], seeds=1)
    with pytest.raises(InvalidInput, match="retrieval: got 'rings'; allowed: a data set with pictures"):
        gallery(rings, store)
