"""Cars196: 16,185 pictures of 196 models of cars (Krause, Stark, Deng & Fei-Fei 2013)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from realdata.datasets import DataSet, Download, absent, halves
from realdata.pictures import FilePictures, codes
from realdata.trees import Shelf, Tree, refusal
from sim.catalogue import DATASETS

SIZE = 64
TOGETHER = "cars_annos.mat"
APART = (
    ("cars_train", ("devkit/cars_train_annos.mat",)),
    ("cars_test", ("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat")),
)
MODELS = "devkit/cars_meta.mat"
SOURCE = "https://ai.stanford.edu/~jkrause/"


def read(root: Path, split: str) -> FilePictures:
    """Train: the first half of the models; test: the others (the split of metric learning, not cars_train and cars_test).

    Coarse labels are the makes, the first words of the models' names.

    Examples
    --------
    >>> read(Path("empty"), "train")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidInput: root: got 'empty'; allowed: a folder with car_ims...; cars_annos.mat or devkit/cars_train_annos.mat isn't there; ...
    """
    shelf = Shelf(root)
    listed, names = _together(shelf) if shelf.find(TOGETHER) else _apart(shelf)
    fine = np.array([model for _, _, model in listed]) - 1
    if set(fine) - set(range(len(names))) or not len(fine):
        raise refusal(f"annotated models {sorted(set(fine + 1))}", root, f"models numbered 1..{len(names)}")
    rows = halves(fine, split)
    makes = [names[fine[row]].split()[0] for row in rows]
    return FilePictures([listed[row][:2] for row in rows], codes(makes), fine[rows], size=SIZE)


Listed = list[tuple[Tree, str, int]]


def _together(shelf: Shelf) -> tuple[Listed, list[str]]:
    """The release in one piece: car_ims and cars_annos.mat."""
    tables = _mat(_find(shelf, TOGETHER), TOGETHER, "annotations", "class_names")
    images = _find(shelf, "car_ims")
    notes = np.atleast_1d(tables["annotations"])
    return [(images, str(n["relative_im_path"]), int(n["class"])) for n in notes], _names(tables)


def _apart(shelf: Shelf) -> tuple[Listed, list[str]]:
    """The release in two: cars_train, cars_test, devkit and the test labels."""
    listed: Listed = []
    for folder, places in APART:
        found = [(tree, place) for place in places if (tree := shelf.find(place))]
        if not found:
            raise absent("cars196", shelf.root, f"{TOGETHER} or {places[0]}")
        notes = _mat(*found[0], "annotations")["annotations"]
        images = _find(shelf, folder)
        listed += [(images, f"{folder}/{n['fname']}", int(n["class"])) for n in np.atleast_1d(notes)]
    return listed, _names(_mat(_find(shelf, MODELS), MODELS, "class_names"))


def _find(shelf: Shelf, what: str) -> Tree:
    tree = shelf.find(what)
    if tree is None:
        raise absent("cars196", shelf.root, what)
    return tree


def _names(tables: dict[str, Any]) -> list[str]:
    return [str(name) for name in np.atleast_1d(tables["class_names"])]


def _mat(tree: Tree, name: str, *needed: str) -> dict[str, Any]:
    content = tree.read(name)
    try:
        tables: dict[str, Any] = loadmat(io.BytesIO(content), squeeze_me=True)
    # scipy raises nearly anything on a broken file.
    except Exception as error:
        raise tree.refusal(name, f"a readable MATLAB file ({error})") from None
    fields = {"relative_im_path", "class"} if name == TOGETHER else {"fname", "class"}
    for table in needed:
        if table not in tables:
            raise tree.refusal(name, f"a table {table}")
        if table == "annotations" and not fields <= set(tables[table].dtype.names or ()):
            raise tree.refusal(name, f"annotations with {' and '.join(sorted(fields))}")
    return tables


DATASETS.register("cars196")(
    DataSet(
        read,
        title="Cars196",
        layout=(
            "car_ims and cars_annos.mat, or cars_train, cars_test, devkit and cars_test_annos_withlabels.mat "
            "(folders, or archives of them)"
        ),
        labels="makes; models",
        official={"train": (8054, 98), "test": (8131, 98)},
        downloads=(
            Download(f"{SOURCE}car196/cars_train.tgz", "cars_train.tgz", "md5:065e5b463ae28d29e77c1b4b166cfe61"),
            Download(f"{SOURCE}car196/cars_test.tgz", "cars_test.tgz", "md5:4ce7ebf6a94d07f1952d94dd34c4d501"),
            Download(f"{SOURCE}cars/car_devkit.tgz", "car_devkit.tgz", "md5:c3b158d763b6e2245038c8ad08e45376"),
            Download(
                f"{SOURCE}car196/cars_test_annos_withlabels.mat",
                "cars_test_annos_withlabels.mat",
                "md5:b0a2b23655a3edd16d84508592a98d10",
            ),
        ),
    )
)
